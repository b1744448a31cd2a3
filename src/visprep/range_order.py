"""The ranges of an archive that are in memory, and the threads that want them in order.

One computes the digest of the whole archive, another one hands on files that are larger than a range.
"""

from __future__ import annotations

import functools
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from visprep.digests import Digester
from visprep.errors import VisprepError
from visprep.handles import part
from visprep.manifest import File
from visprep.stores.remote_zip import Buffer, Packed, RemoteZip
from visprep.stores.spans import Span
from visprep.stores.zip_members import MemberStream

_MEBIBYTE = 1024 * 1024

Outcome: TypeAlias = "tuple[str, File | VisprepError]"
#: What the threads tell: an outcome, what ended one, how many bytes came, or (None) that memory has become free.
Told: TypeAlias = "queue.SimpleQueue[Outcome | BaseException | int | None]"


class Memory:
    """The bytes that may be held at once, in pieces that are used again and again: fresh ones cost the system a lot."""

    def __init__(self, told: Told, room: int) -> None:
        self.held = self.most = 0
        self._ended = False
        self._told, self._room = told, room
        self._spare, self._lock = list[bytearray](), threading.Lock()

    def has_room(self, length: int) -> bool:
        """Whether so many bytes more may be held."""
        return not self.held or self.held + length <= self._room

    def take(self, length: int) -> Buffer:
        """Memory for so many bytes."""
        with self._lock:
            self.held += length
            self.most = max(self.most, self.held)
            found = next((at for at, spare in enumerate(self._spare) if len(spare) >= length), None)
            spare = None if found is None else self._spare.pop(found)
        return Buffer(length, spare or bytearray(-(-length // _MEBIBYTE) * _MEBIBYTE))

    def give_back(self, buffer: Buffer) -> None:
        """Nobody looks at these bytes any more."""
        with self._lock:
            self.held -= len(buffer.view)
            if not self._ended:
                self._spare.append(buffer.memory)
        self._told.put(None)

    def end(self) -> None:
        """Nothing more is taken: let go of what is spare, whoever still holds on to this."""
        with self._lock:
            self._ended = True
            self._spare.clear()


class Arrival:
    """A range and the memory for it, which is free when all who want its bytes have had them."""

    def __init__(self, span: Span, memory: Memory, hashed: bool) -> None:
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


class Follower(threading.Thread, ABC):
    """Takes ranges in the order of the archive."""

    def __init__(self, told: Told) -> None:
        super().__init__(name="visprep-unzip-order", daemon=True)
        self._told = told
        self._waiting: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
        self._stopped = False

    def take(self, arrival: Arrival) -> None:
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
        """See `threading.Thread`; what is a bug is told."""
        try:
            self.follow()
        except Stopped:
            pass
        except BaseException as bug:
            self._told.put(bug)
        finally:
            part()

    @abstractmethod
    def follow(self) -> None:
        """Do its work, until there is no next range."""

    def next(self) -> Arrival | None:
        """The next range, None when that was all."""
        arrival = self._waiting.get()
        if self._stopped:
            raise Stopped
        return arrival


class Stopped(Exception):
    """The command has ended, and a thread that still works shall end too."""


class Hashing(Follower):
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
        """See `Follower`."""
        while arrival := self.next():
            self._digester.update(arrival.buffer.view)
            arrival.had()


class Writing(Follower):
    """Hands large files on, one after the other, from pieces; `write` gets each, and what opens its bytes."""

    def __init__(self, archive: RemoteZip, write: Callable[[Packed, Callable[[], MemberStream]], File], told: Told):
        super().__init__(told)
        self._place, self._write = archive.file.path, write
        self._pieces: deque[Arrival] = deque()

    def follow(self) -> None:
        """See `Follower`."""
        while (first := self.next()) is not None:
            self._pieces.append(first)
            large = first.span.large
            assert large
            stream = functools.partial(MemberStream, self._look, large.member, self._place)
            try:
                told: File | VisprepError = self._write(large, stream)
            except VisprepError as error:
                told = error
            self._pass(large.member.limit)
            self._told.put((large.path, told))

    def _look(self, start: int, end: int) -> memoryview:
        """The bytes between two offsets; those before them are not needed any more."""
        if start >= end:
            return memoryview(b"")
        while self._pieces and self._pieces[0].span.end <= start:
            self._pieces.popleft().had()
        while not self._pieces or self._pieces[-1].span.end < end:
            arrival = self.next()
            if arrival is None:
                raise Stopped
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
                raise Stopped
            last = arrival.span.end
            self._pieces.append(arrival)
        while self._pieces:
            self._pieces.popleft().had()
