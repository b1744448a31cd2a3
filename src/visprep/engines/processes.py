"""Processes of this machine, each with an interpreter of its own, which end with the one that started them."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import pickle
import signal
import sys
import threading
import time
import types
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from visprep.engines.local import check_count, cores
from visprep.engines.spreading import Crew, Death
from visprep.engines.working import PAUSE, TRIES, Answer, Order, answer
from visprep.orphans import end_with_parent

if TYPE_CHECKING:
    from visprep.stores import Store


#: Seconds that workers have to leave nothing half done, once they are told to end.
_GRACE = 2.0
#: One at a time begins workers.
_beginning = threading.Lock()


class _Worker:
    """A process, our end of what connects us, and the number of the slice that it has."""

    __slots__ = ("line", "process", "slice")

    def __init__(self, line: Connection, process: BaseProcess) -> None:
        self.line, self.process = line, process
        self.slice: int | None = None


class Processes(Crew):
    """An engine of `workers` processes (None: one a core), which are started when there is work.

    They end with this process, also when it is killed. They begin anew, not as its copies, and know nothing of the
    script that it runs. `tries` and `pause` are those of work that cannot reach the network.
    """

    name = "processes"

    def __init__(self, workers: int | None = None, *, tries: int = TRIES, pause: float = PAUSE) -> None:
        check_count("jobs", workers)
        self.jobs = workers
        super().__init__(tries=tries, pause=pause)
        self._workers: list[_Worker] = []
        self._numbers = itertools.count()
        self._packed: tuple[Order | None, bytes] = (None, b"")

    def check(self, *stores: Store) -> None:
        """Nothing: the workers see what we see."""

    def close(self) -> None:
        """End the workers."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.line.close()
            worker.process.terminate()
        until = time.monotonic() + _GRACE
        for worker in workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()
            worker.process.close()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def room(self) -> int:
        """See `Crew`. A worker that still has what nobody asks for any more leaves no room."""
        return self.jobs or cores()

    def send(self, order: Order, items: Sequence[Any]) -> Hashable:
        """See `Crew`."""
        if self._packed[0] is not order:
            self._packed = order, pickle.dumps(order)
        number = next(self._numbers)
        message = pickle.dumps((self._packed[1], items))
        while True:
            worker = self._idle()
            worker.slice = number
            try:
                worker.line.send_bytes(message)
            except OSError:  # it died while it had nothing to do: nobody's fault
                self._bury(worker)
            else:
                return number

    def ended(self, sent: Mapping[Hashable, Any], seconds: float) -> Sequence[tuple[Hashable, Answer | Death]]:
        """See `Crew`."""
        busy = {worker.line: worker for worker in self._workers if worker.slice in sent}
        outcomes: list[tuple[Hashable, Answer | Death]] = []
        for line in wait(list(busy), seconds):
            worker = busy[line]  # type: ignore[index]
            number = worker.slice
            assert number is not None
            try:
                outcomes.append((number, pickle.loads(worker.line.recv_bytes())))  # noqa: S301 -- our own worker
                worker.slice = None
            except (EOFError, OSError):
                outcomes.append((number, Death(self._bury(worker))))
        return outcomes

    def forget(self, sent: Iterable[Hashable]) -> None:
        """See `Crew`: those who work on what nobody wants are ended."""
        gone = set(sent)
        for worker in [one for one in self._workers if one.slice in gone]:
            worker.process.terminate()
            self._bury(worker)

    def _idle(self) -> _Worker:
        """A worker that has nothing to do, a new one if need be."""
        for worker in self._workers:
            if worker.slice is None:
                return worker
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs,), name="visprep-worker", daemon=True
        )
        before = _hold_interrupts()
        try:
            with _without_main():
                process.start()
        finally:
            _allow_interrupts(before)
        theirs.close()
        worker = _Worker(ours, process)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker) -> str:
        """Take leave of a worker; how it ended, in words."""
        self._workers.remove(worker)
        worker.line.close()
        worker.process.join(_GRACE)
        if worker.process.exitcode is None:
            worker.process.kill()
            worker.process.join()
        code = worker.process.exitcode
        worker.process.close()
        return f"exit code {code}" if code is None or code >= 0 else f"killed by {_name_of(-code)}"


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """What is started now does not load the script that runs here, from its first line on, as `spawn` would have it."""
    with _beginning:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _hold_interrupts() -> Any:
    """Let what is started now never hear of Ctrl-C, which a terminal sends to all: the driver ends its workers."""
    if not hasattr(signal, "pthread_sigmask"):
        return None
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _allow_interrupts(before: Any) -> None:
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave(*_: object) -> None:
    """End in order: what is open is closed, and half a file is removed."""
    sys.unraisablehook = lambda _: None  # in a destructor it cannot be raised, and would be told on the terminal
    sys.exit(1)


def _serve(line: Connection) -> None:
    """The life of a worker."""
    end_with_parent()
    signal.signal(signal.SIGTERM, _leave)
    known: tuple[bytes, Order] | None = None
    while True:
        try:
            packed, items = pickle.loads(line.recv_bytes())  # noqa: S301 -- the driver's
        except (EOFError, OSError):
            return
        try:
            if known is None or known[0] != packed:
                known = packed, pickle.loads(packed)  # noqa: S301
            given = pickle.dumps(answer(known[1], items))
        except Exception as error:
            given = pickle.dumps(Answer(error=RuntimeError(f"{type(error).__name__}: {error}")))
        try:
            line.send_bytes(given)
        except OSError:  # nobody asks for it any more
            return
