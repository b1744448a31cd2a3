"""Carrying out what `plans` says: moving files between two places, many at a time.

A failure of one file is an outcome, not an end: the rest goes on. Nothing here deletes.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

from visprep import wire
from visprep.digests import algorithm_of
from visprep.engines.local import map_ordered
from visprep.errors import CredentialsError, DiskFull, NetworkError, VisprepError, WrongContent
from visprep.manifest import File
from visprep.plans import MOVING, Operation
from visprep.stores import Store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore
from visprep.stores.unpacking import unpack
from visprep.window import Window

#: Files above this size in bytes have threads of their own, one file a thread at a time.
LARGE = 2**24
_LARGE_THREADS = 2
#: Seconds that such a thread is waited for when the command is interrupted; it stops at the next byte that moves.
_PARTING = 2.0
#: What a thread does in one go: so many files, or so many bytes.
_BATCH, _BATCH_BYTES = 64, 8 * 1024 * 1024
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
) -> Iterator[tuple[str, File | VisprepError]]:
    """Carry out CREATE and REPLACE; the path and the finished file, or the error, as each ends.

    All others are passed over. Errors that would meet every other file too (no credentials, a full disk, a server
    that fails again and again) are raised. `jobs` says how many files are under way at once, or, when both ends are on
    this machine, how many threads work on them; None: as many as turns out best. `bandwidth` is in bytes per second;
    `on_bytes` is told of bytes as they come.
    """
    moving = (one.file for one in operations if one.action in MOVING)
    if on_this_machine(origin) and on_this_machine(target):
        yield from surviving(in_threads(moving, origin, target, jobs=jobs, on_bytes=on_bytes))
        return
    window = Window(jobs or 32, jobs or 256, bandwidth=bandwidth)
    threads = 0 if bandwidth else min(jobs or _LARGE_THREADS, _LARGE_THREADS)  # one thread, so that it keeps the limit
    with _LargeFiles(origin, target, threads, on_bytes) as large:
        moves = ((file, _received(file, origin, target)) for file in moving if not large.takes(file))
        with contextlib.closing(wire.run(moves, window, on_bytes, weigh=lambda file: file.size or 0)) as small:
            yield from surviving(large.beside((file.path, outcome) for file, outcome in small))


async def _received(file: File, origin: Store, target: Store) -> File:
    """See `Store.receive`; an MD5 that was only an ETag of an encrypted object is not held against what arrives."""
    try:
        return await target.receive(file, origin)
    except WrongContent:
        if algorithm_of(file.digest or "") != "md5":
            raise
        now = await origin.stat(file.path)
        if now.etag != file.etag or now.digest == file.digest:
            raise
        return await target.receive(replace(file, digest=now.digest), origin)


class _LargeFiles:
    """Threads that move large files, one at a time each, beside the many small ones of the calling thread."""

    def __init__(self, origin: Store, target: Store, threads: int, on_bytes: Callable[[int], None] | None) -> None:
        self._origin, self._target, self._on_bytes = origin, target, on_bytes
        self._threads = threads
        self._running: list[threading.Thread] = []
        self._waiting: queue.SimpleQueue[File | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[tuple[str, File | VisprepError] | BaseException] = queue.SimpleQueue()
        self._owed = 0
        self._stopped = False

    def __enter__(self) -> _LargeFiles:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopped = True
        for _ in self._running:
            self._waiting.put(None)
        for running in self._running:
            running.join(_PARTING)

    def takes(self, file: File) -> bool:
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

    def beside(self, small: Iterable[tuple[str, File | VisprepError]]) -> Iterator[tuple[str, File | VisprepError]]:
        """The outcomes of the small files, and of the large ones as they come."""
        for outcome in small:
            yield outcome
            yield from self._come(wait=False)
        while self._owed:
            yield from self._come(wait=True)

    def _come(self, *, wait: bool) -> Iterator[tuple[str, File | VisprepError]]:
        with contextlib.suppress(queue.Empty):
            while self._owed:
                outcome = self._ended.get(wait, 0.2 if wait else None)
                if isinstance(outcome, BaseException):
                    raise outcome
                self._owed -= 1
                yield outcome

    def _work(self) -> None:
        try:
            while (file := self._waiting.get()) is not None and not self._stopped:
                job = _received(file, self._origin, self._target)
                for outcome in wire.run([(file.path, job)], 1, self._heard):
                    self._ended.put(outcome)
        except _Stopped:
            pass
        except BaseException as error:
            self._ended.put(error)

    def _heard(self, moved: int) -> None:
        if self._stopped:
            raise _Stopped
        if self._on_bytes:
            self._on_bytes(moved)


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

    def work(batch: list[File]) -> list[tuple[str, File | VisprepError]]:
        if isinstance(origin, ArchiveStore) and isinstance(target, LocalStore):
            return unpack(batch, origin, target, digests=digests)
        return list(wire.run(((file.path, target.receive(file, origin)) for file in batch), 1))

    for batch in map_ordered(work, _batches(files), jobs):
        for path, outcome in batch:
            if on_bytes and isinstance(outcome, File):
                on_bytes(outcome.size or 0)
            yield path, outcome


def on_this_machine(store: Store) -> bool:
    """Whether what a store does costs disk and processor, so that threads help, rather than waiting for a network."""
    return isinstance(store, (ArchiveStore, LocalStore))


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    """The files in lists that are each worth a thread's while, and do not keep it from the next for long."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == _BATCH or size + (file.size or 0) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size or 0
    if batch:
        yield batch


def surviving(
    outcomes: Iterator[tuple[str, File | VisprepError]],
) -> Iterator[tuple[str, File | VisprepError]]:
    """The same outcomes, until one shows that going on is pointless: after that its error is raised, and all closed."""
    silence = 0
    try:
        for path, outcome in outcomes:
            if isinstance(outcome, (CredentialsError, DiskFull)):
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
