"""How runs end with their process, also where nobody closed them: at its exit, and at SIGTERM.

Schedulers (Slurm, Kubernetes, a spot instance's shutdown) send SIGTERM and, some seconds later, SIGKILL. Where the
program has no handler of its own, ours leaves the training as `sys.exit` does, so that `with` blocks end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
import weakref
from types import FrameType
from typing import Any, Protocol

#: Seconds from SIGTERM until the process goes, whatever is left; Slurm and Kubernetes give 30.
GRACE = 25.0


class Ending(Protocol):
    """What ends with the process."""

    def hurry(self, seconds: float) -> None:
        """End within so many seconds."""
        ...

    def close(self) -> None:
        """End."""
        ...

    def tell(self) -> None:
        """Warn of, or raise, what nobody was told yet."""
        ...


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_process = 0
_grace = GRACE


def with_the_process(work: Ending, *, sigterm: bool, grace: float = GRACE) -> None:
    """Close `work` when the process ends, and with `sigterm` also when it is told to."""
    global _process, _grace
    if _process != os.getpid():
        _open.clear()
        _process = os.getpid()
        _at_exit(_close_all)
    _open.add(work)
    _grace = grace
    if (
        sigterm
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminated)


def ended(work: Ending) -> None:
    """It is closed; after the last one SIGTERM means again what it meant before."""
    _open.discard(work)
    if (
        not _open
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is _terminated
    ):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminated(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # the next one ends the process at once
    if os.getpid() != _process:  # a child that was forked, as the workers of a DataLoader are
        os.kill(os.getpid(), number)
        return
    for work in list(_open):
        work.hurry(_grace)
    raise SystemExit(128 + number)


def _at_exit(call: Any) -> None:
    """Call it before the threads of the process are told to end: later, none can be started any more."""
    before = getattr(threading, "_register_atexit", None)  # what concurrent.futures uses; atexit comes too late
    with contextlib.suppress(RuntimeError):  # the process ends already
        (before or atexit.register)(call)


def _close_all() -> None:
    if os.getpid() != _process:
        return
    works = list(_open)
    for work in works:
        work.close()
    with contextlib.ExitStack() as all_of_them:
        for work in works:
            all_of_them.callback(work.tell)
