"""From a zip file on a server straight to files: the archive itself is never on disk.

Ranges of it are on their way at once, a few dozen megabytes are in memory at the most. Threads check and write what has
arrived: many small files each in one go, a large one in the order of its pieces. Where all of the archive is asked
for, one more thread computes its digest, in order, as the bytes pass.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from visprep import wire
from visprep.digests import Digester
from visprep.engines.local import cores
from visprep.errors import VisprepError, WrongContent
from visprep.manifest import File
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import Buffer, Packed, RemoteZip
from visprep.stores.spans import Span, spans
from visprep.stores.unpacking import Landing, part_of
from visprep.stores.zip_members import MemberStream, whole
from visprep.wire import Window

_MEBIBYTE = 1024 * 1024
#: Bytes of an archive that are in memory at once, arrived or on their way.
_HELD = 64 * _MEBIBYTE
#: Ranges on their way at once: at first, and at the most, where that turns out to be faster.
_FIRST, _MOST = 8, 32
#: Seconds between two looks at what the threads have done, and until one that found no room for a range looks again.
_GLANCE, _NAP = 0.1, 0.005
#: Seconds that a thread is waited for when the command is interrupted; it stops at the next byte that comes.
_PARTING = 2.0
#: What a large file is written in, in bytes.
_BLOCK = _MEBIBYTE

Outcome: TypeAlias = "tuple[str, File | VisprepError]"
#: What the threads tell: an outcome, what ended one, how many bytes came, or (None) that memory has become free.
Told: TypeAlias = "queue.SimpleQueue[Outcome | BaseException | int | None]"


class Unzipping:
    """Some files of an archive on their way to a directory.

    With `algorithm` all bytes of the archive are fetched, and after the last outcome `digest` is theirs
    (`algorithm:hex`). Without `digests` small files are checked by their CRC-32 alone, as unzip does, and come back
    without a SHA-256. `jobs` ranges are under way (None: what is best), `memory` bytes held; `aside` is for wrong ones.
    """

    def __init__(
        self,
        archive: RemoteZip,
        files: Iterable[Packed],
        target: LocalStore,
        *,
        algorithm: str | None = None,
        digests: bool = True,
        jobs: int | None = None,
        aside: str | None = None,
        memory: int = _HELD,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._archive, self._on_bytes, self._digests = archive, on_bytes, digests
        self._threads, self._jobs = min(jobs or cores(), cores()), jobs or _MOST
        listed = list(files)
        self._refused = [one for one in listed if one.member.fault]
        self._spans = spans((one for one in listed if not one.member.fault), archive.size if algorithm else None)
        self._landing = Landing(target, aside)
        self._told: Told = queue.SimpleQueue()
        self._memory = _Memory(self._told, memory)
        self._stopped = self._asked_all = False
        self._waiting: Span | None = None
        self._lock = threading.Lock()
        # Those of which the order matters: what has arrived is handed on when all before it has
        self._order: deque[_Arrival] = deque()
        self._large = _Writing(archive, self._landing, target, self._told)
        self._hashing = _Hashing(algorithm, archive.size, self._told) if algorithm else None

    @property
    def digest(self) -> str | None:
        """`algorithm:hex` of the whole archive, None where it was not asked for."""
        return self._hashing.digest if self._hashing else None

    def outcomes(self) -> Generator[Outcome, None, None]:
        """The path and the finished file, or the error, of each file as it ends.

        What stands in the way of all of them, such as the network, is raised. Files are checked by their CRC-32, and
        come back with their SHA-256.
        """
        for one in self._refused:
            fault = one.member.fault
            assert fault
            yield one.path, fault.kind(f"{self._archive.file.path}: {one.path}: {fault.message}", hint=fault.hint)
        followers = [self._large, *([self._hashing] if self._hashing else [])]
        # Who fetches a range unpacks it, too: its bytes are still in that processor's cache
        fetchers = [
            threading.Thread(target=self._fetch, name=f"visprep-unzip-{number}", daemon=True)
            for number in range(self._threads)
        ]
        with contextlib.ExitStack() as ending:
            for follower in followers:
                follower.start()
                ending.callback(follower.stop)
            for fetcher in fetchers:
                fetcher.start()
                ending.callback(fetcher.join, _PARTING)
            ending.callback(self._stop)
            while self._memory.held or any(fetcher.is_alive() for fetcher in fetchers):
                yield from self._finished(wait=True)
            for follower in followers:
                follower.end()
            yield from self._finished()

    def _stop(self) -> None:
        self._stopped = True

    def _fetch(self) -> None:
        """What each of the fetching threads does."""
        most = max(1, self._jobs // self._threads)
        window = Window(min(most, max(1, _FIRST // self._threads)), most)
        try:
            while not (self._asked_all or self._stopped):
                with contextlib.closing(wire.run(self._asked(), window, self._heard)) as arrivals:
                    for arrival, outcome in arrivals:
                        if isinstance(outcome, VisprepError):
                            raise outcome
                        self._arrived(arrival)
                if not self._asked_all:  # there is no room, and nothing is on its way
                    time.sleep(_NAP)
        except _Stopped:
            pass
        except BaseException as error:
            self._told.put(error)
        self._told.put(None)

    def _heard(self, count: int) -> None:
        if self._stopped:
            raise _Stopped
        self._told.put(count)

    def _asked(self) -> Iterator[tuple[_Arrival, wire.Job[str | None]] | None]:
        """A job for every range that no other thread has taken, as soon as there is room for its bytes."""
        while arrival := self._taken():
            store, file = self._archive.store, self._archive.file
            if arrival is True:
                yield None
            else:
                yield arrival, store.fetch_range(file, arrival.span.start, arrival.span.length, arrival.buffer)

    def _taken(self) -> _Arrival | bool:
        """The next range; True when there is no room for it yet, False when there is none."""
        with self._lock:
            span = self._waiting or next(self._spans, None)
            self._waiting = span
            if span is None:
                self._asked_all = True
                return False
            if not self._memory.has_room(span.length):
                return True
            self._waiting = None
            arrival = _Arrival(span, self._memory, bool(self._hashing))
            if self._hashing or span.large:
                self._order.append(arrival)
            return arrival

    def _arrived(self, arrival: _Arrival) -> None:
        """Unpack what lies in a range, and hand on what waits for it."""
        if arrival.span.files:
            self._unpack(arrival)
        with self._lock:
            arrival.here = True
            while self._order and self._order[0].here:
                first = self._order.popleft()
                if first.span.large:
                    self._large.take(first)
                if self._hashing:
                    self._hashing.take(first)

    def _unpack(self, arrival: _Arrival) -> None:
        for one in arrival.span.files:
            self._told.put((one.path, self._one(one, arrival)))
        arrival.had()

    def _one(self, one: Packed, arrival: _Arrival) -> File | VisprepError:
        member, start = one.member, arrival.span.start
        try:
            view = arrival.buffer.view[member.offset - start : member.limit - start]
            data = whole(view, member, self._archive.file.path)
            self._landing.put(one.path, member, data)
        except WrongContent as error:
            return self._landing.refuse(one.path, member, view, error)
        except VisprepError as error:
            return error
        return File(one.path, member.size, f"sha256:{hashlib.sha256(data).hexdigest()}" if self._digests else None)

    def _finished(self, *, wait: bool = False) -> Iterator[Outcome]:
        """What has ended meanwhile; with `wait`, something is waited for first."""
        with contextlib.suppress(queue.Empty):
            while True:
                told = self._told.get(wait, _GLANCE)
                wait = False
                if isinstance(told, BaseException):
                    raise told
                if isinstance(told, tuple):
                    yield told
                elif told and self._on_bytes:
                    self._on_bytes(told)


class _Memory:
    """The bytes that may be held at once, in pieces that are used again and again: fresh ones cost the system a lot."""

    def __init__(self, told: Told, room: int) -> None:
        self.held = self.most = 0
        self._told, self._room = told, room
        self._spare, self._lock = list[bytearray](), threading.Lock()

    def has_room(self, length: int) -> bool:
        return not self.held or self.held + length <= self._room

    def take(self, length: int) -> Buffer:
        with self._lock:
            self.held += length
            self.most = max(self.most, self.held)
            found = next((at for at, spare in enumerate(self._spare) if len(spare) >= length), None)
            spare = None if found is None else self._spare.pop(found)
        return Buffer(length, spare or bytearray(-(-length // _MEBIBYTE) * _MEBIBYTE))

    def give_back(self, buffer: Buffer) -> None:
        with self._lock:
            self.held -= len(buffer.view)
            self._spare.append(buffer.memory)
        self._told.put(None)


class _Arrival:
    """A range and the memory for it, which is free when all who want its bytes have had them."""

    def __init__(self, span: Span, memory: _Memory, hashed: bool) -> None:
        self.span, self.buffer = span, memory.take(span.length)
        self.here = False
        self._memory, self._lock = memory, threading.Lock()
        self._wanting = bool(span.files) + bool(span.large) + hashed

    def had(self) -> None:
        """One of them has had its bytes."""
        with self._lock:
            self._wanting -= 1
            if not self._wanting:
                self._memory.give_back(self.buffer)


class _Follower(threading.Thread, ABC):
    """Takes ranges in the order of the archive."""

    def __init__(self, told: Told) -> None:
        super().__init__(name="visprep-unzip-order", daemon=True)
        self._told = told
        self._waiting: queue.SimpleQueue[_Arrival | None] = queue.SimpleQueue()
        self._stopped = False

    def take(self, arrival: _Arrival) -> None:
        """Give it the next range."""
        self._waiting.put(arrival)

    def end(self) -> None:
        """Wait until it has done all that it was given."""
        self._waiting.put(None)
        self.join()

    def stop(self) -> None:
        """End it, at once."""
        self._stopped = True
        self.end()

    def run(self) -> None:
        try:
            self.follow()
        except _Stopped:
            pass
        except BaseException as bug:
            self._told.put(bug)

    @abstractmethod
    def follow(self) -> None:
        """Do its work, until there is no next range."""

    def next(self) -> _Arrival | None:
        """The next range, None when that was all."""
        arrival = self._waiting.get()
        if self._stopped:
            raise _Stopped
        return arrival


class _Stopped(Exception):
    """The command has ended, and a thread that still works shall end too."""


class _Hashing(_Follower):
    """Computes the digest of an archive."""

    def __init__(self, algorithm: str, size: int, told: Told) -> None:
        super().__init__(told)
        self._algorithm, self._size = algorithm, size
        self._digester = Digester(algorithm)

    @property
    def digest(self) -> str | None:
        """`algorithm:hex`, None as long as not all of it has passed."""
        return self._digester.digest(self._algorithm) if self._digester.position == self._size else None

    def follow(self) -> None:
        while arrival := self.next():
            self._digester.update(arrival.buffer.view)
            arrival.had()


class _Writing(_Follower):
    """Writes large files, one after the other, from pieces."""

    def __init__(self, archive: RemoteZip, landing: Landing, target: LocalStore, told: Told) -> None:
        super().__init__(told)
        self._place, self._landing, self._target = archive.file.path, landing, target
        self._pieces: deque[_Arrival] = deque()

    def follow(self) -> None:
        while (first := self.next()) is not None:
            self._pieces.append(first)
            large = first.span.large
            assert large
            try:
                told: File | VisprepError = self._write(large)
            except VisprepError as error:
                told = error
            self._pass(large.member.limit)
            self._told.put((large.path, told))

    def _write(self, large: Packed) -> File:
        folder, _, name = large.path.rpartition("/")
        digester = Digester("sha256")
        with self._target.errors(large.path):
            where = self._landing.folder(folder)
            part = Path(where, part_of(name, large.member))
            try:
                stream = MemberStream(self._look, large.member, self._place)
                with open(part, "wb", opener=_no_links) as out:
                    while block := stream.read(_BLOCK):
                        out.write(block)
                        digester.update(block)
                part.replace(Path(where, name))
            except BaseException as error:
                self._landing.give_up(large.path, part, error)
                raise
        return File(large.path, large.member.size, digester.digest("sha256"))

    def _look(self, start: int, end: int) -> memoryview:
        """The bytes between two offsets; those before them are not needed any more."""
        if start >= end:
            return memoryview(b"")
        while self._pieces and self._pieces[0].span.end <= start:
            self._pieces.popleft().had()
        while not self._pieces or self._pieces[-1].span.end < end:
            arrival = self.next()
            if arrival is None:
                raise _Stopped
            if arrival.span.end <= start:
                arrival.had()
            else:
                self._pieces.append(arrival)
        parts = []
        for piece in self._pieces:
            first = piece.span.start
            parts.append(piece.buffer.view[max(0, start - first) : max(0, end - first)])
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def _pass(self, end: int) -> None:
        """Let go of all pieces up to an offset, those that have not come yet too."""
        last = self._pieces[-1].span.end if self._pieces else 0
        while last < end:
            arrival = self.next()
            if arrival is None:
                raise _Stopped
            last = arrival.span.end
            self._pieces.append(arrival)
        while self._pieces:
            self._pieces.popleft().had()


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
