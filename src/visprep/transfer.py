"""Carrying out what `plans` says: moving files between two places, many at a time.

A failure of one file is an outcome, not an end: the rest goes on. Nothing here deletes.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast

from visprep import wire
from visprep.engines import Engine
from visprep.engines.local import map_ordered
from visprep.errors import CredentialsError, DiskFull, NetworkError, PlaceMissing, VisprepError, WorkerLost
from visprep.manifest import File
from visprep.plans import MOVING, Operation
from visprep.request_window import Window
from visprep.small_files import moved, received
from visprep.stores import Store
from visprep.stores.archive import ArchiveStore
from visprep.stores.ends import Ends
from visprep.stores.local import LocalStore
from visprep.stores.unpacking import unpack

#: Files above this size in bytes have threads of their own, one file a thread at a time.
LARGE = 2**24
_LARGE_THREADS = 2
#: Seconds that such a thread is waited for when the command is interrupted; it stops at the next byte that moves.
_PARTING = 2.0
#: Seconds between two times that it tells how much moved.
_BLINK = 0.02
#: Large files that wait for a thread, at most.
_QUEUE = 1_000
#: What a thread does in one go: so many files, or so many bytes.
_BATCH, _BATCH_BYTES = 64, 8 * 1024 * 1024
#: What a worker of an engine does in one go: so many batches at first, and twice as many after so many slices, so that
#: all have something to do soon.
_MOST_BATCHES, _DOUBLED = 8, 8
#: After so many failures of the network in a row the other side is gone, and the rest would only wait for nothing.
_HOPELESS = 20


def apply(
    operations: Iterable[Operation],
    origin: Store,
    target: Store,
    *,
    jobs: int | None = None,
    bandwidth: float | None = None,
    on_bytes: Callable[[int], None] | None = None,
    engine: Engine | None = None,
) -> Generator[tuple[str, File | VisprepError], None, None]:
    """Carry out CREATE and REPLACE; the path and the finished file, or the error, as each ends.

    All others are passed over. Errors that would meet every other file too (no credentials, no such bucket, a full
    disk, a server that fails again and again) are raised. `jobs` says how many files are under way at once, or, when
    both ends are on this machine, how many threads work on them; None: as many as turns out best. `bandwidth` is in
    bytes per second; `on_bytes` is told of bytes as they come, in either direction. Large files move in threads:
    whoever does not take all outcomes closes it, and these end with the next bytes that move. With an `engine` that
    spreads work, slices of the files are moved by its workers, which share the `bandwidth`; outcomes come in order.
    """
    moving = (one.file for one in operations if one.action in MOVING)
    if engine and engine.spreads:
        yield from surviving(_spread(moving, origin, target, bandwidth, engine))
    else:
        yield from _carried(moving, origin, target, jobs, bandwidth, on_bytes)


def _carried(
    moving: Iterable[File],
    origin: Store,
    target: Store,
    jobs: int | None,
    bandwidth: float | None,
    on_bytes: Callable[[int], None] | None,
) -> Generator[tuple[str, File | VisprepError], None, None]:
    """See `apply`: in this process."""
    if on_this_machine(origin) and on_this_machine(target):
        yield from surviving(in_threads(moving, origin, target, jobs=jobs, on_bytes=on_bytes))
        return
    window = Window(jobs or 64, jobs or 256, bandwidth=bandwidth)
    threads = 0 if bandwidth else min(jobs or _LARGE_THREADS, _LARGE_THREADS)  # one thread, so that it keeps the limit
    with _LargeFiles(origin, target, threads, on_bytes) as large:

        def small() -> Generator[tuple[File, File | VisprepError], None, None]:
            return moved(files, origin, target, window, on_bytes)

        files = large.others(moving)
        yield from surviving(large.beside(small))


def _spread(
    moving: Iterable[File], origin: Store, target: Store, bandwidth: float | None, engine: Engine
) -> Generator[tuple[str, File | VisprepError], None, None]:
    """See `apply`: by the workers of an engine."""
    segment = None
    if isinstance(origin, ArchiveStore):
        moving, segment = origin.in_order(moving), origin.segment
    share = bandwidth / (engine.jobs or 1) if bandwidth else None
    work = partial(_move_slice, Ends(origin, target), share)
    for outcomes in engine.map(work, _slices(_batches(moving, segment)), lost=_lost):
        yield from outcomes


def _move_slice(ends: Ends, bandwidth: float | None, files: Sequence[File]) -> list[tuple[str, File | VisprepError]]:
    """What became of the files of a slice, in a worker, as far as it came: whoever gets it ends at the same outcome."""
    ends, outcomes = ends.here(), []
    try:
        with contextlib.closing(_carried(files, ends.origin, ends.target, None, bandwidth, None)) as moved:
            for outcome in moved:
                outcomes.append(outcome)
    except VisprepError as error:
        if not outcomes or outcomes[-1][1] is not error:
            raise
    return outcomes


def _lost(file: File, error: WorkerLost) -> tuple[str, File | VisprepError]:
    return file.path, error


def _slices(batches: Iterator[list[File]]) -> Iterator[list[File]]:
    """The files in lists that are each worth a worker's while, and are soon done again when he is lost."""
    for number in itertools.count():
        most = min(2 ** (number // _DOUBLED), _MOST_BATCHES)
        piece = [file for batch in itertools.islice(batches, most) for file in batch]
        if not piece:
            return
        yield piece


class _LargeFiles:
    """Threads that move large files, one at a time each, beside the many small ones of the calling thread."""

    def __init__(self, origin: Store, target: Store, threads: int, on_bytes: Callable[[int], None] | None) -> None:
        self._origin, self._target, self._on_bytes = origin, target, on_bytes
        self._threads = threads
        self._running: list[threading.Thread] = []
        self._waiting: queue.SimpleQueue[File | None] = queue.SimpleQueue()
        # What has ended, what ended a thread, and numbers of bytes that moved: the caller's thread tells them
        self._ended: queue.SimpleQueue[tuple[str, File | VisprepError] | BaseException | int] = queue.SimpleQueue()
        self._owed = 0
        self._stopped = self._seen_all = False

    def __enter__(self) -> _LargeFiles:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        for _ in self._running:
            self._waiting.put(None)
        for running in self._running:
            if running.is_alive():  # an interrupt may have come while it was started
                running.join(_PARTING)

    def others(self, files: Iterable[File]) -> Iterator[File | None]:
        """The files that are not large, None when none is there now; the large ones join the queue, if it has room."""
        for file in files:
            while self._owed > _QUEUE:
                yield None
            if not self._takes(file):
                yield file
        self._seen_all = True

    def _takes(self, file: File) -> bool:
        """Whether a file is large; then a thread will move it."""
        if not self._threads or (file.size or 0) <= LARGE:
            return False
        self._owed += 1
        self._waiting.put(file)
        if len(self._running) < min(self._threads, self._owed):
            thread = threading.Thread(target=self._work, name="visprep-large", daemon=True)
            self._running.append(thread)
            thread.start()
        return True

    def beside(
        self, small: Callable[[], Generator[tuple[File, File | VisprepError], None, None]]
    ) -> Iterator[tuple[str, File | VisprepError]]:
        """The outcomes of the small files, and of the large ones as they come; `small` moves those of `others`."""
        while not self._seen_all:
            with contextlib.closing(small()) as outcomes:
                for file, outcome in outcomes:
                    yield file.path, outcome
                    yield from self._come(self._owed)
            # It also ends when the queue is full and no small file is under way
            yield from self._come(_QUEUE)
        yield from self._come(0)

    def _come(self, most: int) -> Iterator[tuple[str, File | VisprepError]]:
        """What has ended, and what ends until at most so many large files are waited for."""
        while self._owed:
            try:
                outcome = self._ended.get(self._owed > most, 0.2)
            except queue.Empty:
                if self._owed <= most:
                    return
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            if isinstance(outcome, int):
                if self._on_bytes:
                    self._on_bytes(outcome)
                continue
            self._owed -= 1
            yield outcome

    def _work(self) -> None:
        try:
            while (file := self._waiting.get()) is not None and not self._stopped:
                job = received(file, self._origin, self._target)
                heard = _Seldom(self._heard)
                for outcome in wire.run([(file.path, job)], 1, heard):
                    heard.rest()
                    self._ended.put(outcome)
        except _Stopped:
            pass
        except BaseException as error:
            self._ended.put(error)

    def _heard(self, moved: int) -> None:
        if self._stopped:
            raise _Stopped
        self._ended.put(moved)


class _Seldom:
    """Hands on how many bytes moved, some times a second: each time wakes a thread that takes the interpreter away."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell, self._count, self._next = tell, 0, 0.0

    def __call__(self, moved: int) -> None:
        self._count += moved
        if (now := time.monotonic()) >= self._next:
            self._next = now + _BLINK
            self.rest()

    def rest(self) -> None:
        """Tell what was not told yet."""
        self._tell(self._count)
        self._count = 0


class _Stopped(Exception):
    """The command has ended, and a thread that still moves a file shall end too."""


def in_threads(
    files: Iterable[File],
    origin: Store,
    target: Store,
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    digests: bool = True,
) -> Iterator[tuple[str, File | VisprepError]]:
    """The path and the finished file, or the error, of each of `files`, with `jobs` threads (None: one a core).

    For two ends on this machine, where nothing waits but for the disk and the processor. Out of an archive, files
    come in the order in which they lie there; without `digests` they are checked by their CRC-32 alone, as unzip
    does, and come back without a SHA-256.
    """
    if isinstance(origin, ArchiveStore):
        files = origin.in_order(files)

    moved: queue.SimpleQueue[int] = queue.SimpleQueue()

    def work(batch: list[File]) -> list[tuple[str, File | VisprepError]]:
        if isinstance(origin, ArchiveStore) and isinstance(target, LocalStore):
            done = unpack(batch, origin, target, digests=digests)
        elif on_bytes and (batch[0].size or 0) > LARGE:
            told = cast(Store, _Telling(origin, moved.put))
            return list(wire.run(((file.path, target.receive(file, told)) for file in batch), 1))
        else:
            done = list(wire.run(((file.path, target.receive(file, origin)) for file in batch), 1))
        moved.put(sum(outcome.size or 0 for _, outcome in done if isinstance(outcome, File)))
        return done

    def tell() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                count = moved.get_nowait()
                if on_bytes:
                    on_bytes(count)

    segment = origin.segment if isinstance(origin, ArchiveStore) else None
    for batch in map_ordered(work, _batches(files, segment), jobs, meanwhile=tell):
        tell()
        yield from batch


class _Telling:
    """A store that tells how many bytes of its files it has handed on."""

    def __init__(self, store: Store, tell: Callable[[int], None]) -> None:
        self._store, self._tell = store, tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def fetch(self, file: File, sink: wire.Sink) -> str | None:
        """See `Store.fetch`."""
        return await self._store.fetch(file, _Telltale(sink, self._tell))


class _Telltale:
    """A sink that tells how many bytes it takes."""

    def __init__(self, sink: wire.Sink, tell: Callable[[int], None]) -> None:
        self._sink, self._tell = sink, tell

    @property
    def position(self) -> int:
        """See `Sink`."""
        return self._sink.position

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        self._sink.write(data)
        self._tell(len(data))

    def restart(self) -> None:
        """See `Sink`."""
        self._tell(-self._sink.position)
        self._sink.restart()


def on_this_machine(store: Store) -> bool:
    """Whether what a store does costs disk and processor, so that threads help, rather than waiting for a network."""
    return isinstance(store, (ArchiveStore, LocalStore))


def _batches(files: Iterable[File], segment: Callable[[str], int | None] | None = None) -> Iterator[list[File]]:
    """The files in lists that are each worth a thread's while, and do not keep it from the next for long.

    Where `segment` gives numbers, those of one number are one list.
    """
    batch: list[File] = []
    size, present = 0, None
    for file in files:
        number = segment(file.path) if segment else None
        full = len(batch) == _BATCH or size + (file.size or 0) > _BATCH_BYTES if number is None else number != present
        if batch and full:
            yield batch
            batch, size = [], 0
        batch.append(file)
        size, present = size + (file.size or 0), number
    if batch:
        yield batch


def surviving(
    outcomes: Iterator[tuple[str, File | VisprepError]],
) -> Iterator[tuple[str, File | VisprepError]]:
    """The same outcomes, until one shows that going on is pointless: after that its error is raised, and all closed."""
    silence = 0
    try:
        for path, outcome in outcomes:
            if isinstance(outcome, (CredentialsError, DiskFull, PlaceMissing)):
                yield path, outcome
                raise outcome
            if isinstance(outcome, NetworkError):
                silence += 1
                if silence >= _HOPELESS:
                    yield path, outcome
                    raise outcome
            else:
                silence = 0
            yield path, outcome
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()
