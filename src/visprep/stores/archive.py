"""An archive as a read-only store: nothing is unpacked to look inside, and nothing in it can reach outside.

What is here is about zip files; `tar` has what is otherwise with tar files.

The archive is memory-mapped piece by piece, and opened anew for each, so that the store can be pickled, forked, and
used by several threads. Should the disk fail under a map, or the archive be cut short in the very moment in which it
is read, the system ends the process: that is the price of the map.
"""

from __future__ import annotations

import contextlib
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from visprep.digests import Digester
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    DiskError,
    FileMissing,
    PlaceMissing,
)
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.zip_directory import Limits, Member, read_directory, window
from visprep.stores.zip_members import MemberStream, whole
from visprep.wire import Sink

_BLOCK = 1024 * 1024
#: Members that are read bit by bit at the same time, and so need not be inflated from their start each time.
_STREAMS = 8

#: What tells whether a file is still the one that was looked at: size, time of change, and number.
Stamp = tuple[int, int, int]


class ArchiveStore:
    """The files in the zip file at `place`.

    A member that is no sound file (a link, encrypted, a name that leaves the place, one of two with the same name)
    is listed, and refuses to be read: UnsafePath, AccessDenied or WrongContent. Every byte that is read of a member
    to its end has passed its CRC-32. `limits` say when an archive that claims to hold a lot is refused.
    """

    def __init__(self, place: str | os.PathLike[str], limits: Limits | None = None) -> None:
        self.place = os.fspath(place)
        self._archive = os.path.realpath(self.place)
        self._limits = limits or Limits()
        self._forget()

    def __repr__(self) -> str:
        return f"ArchiveStore({self.place!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "_archive": self._archive, "_limits": self._limits}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._known: tuple[Stamp, dict[str, Member]] | None = None
        self._streams: dict[tuple[str, int], MemberStream] = {}

    def list(self) -> Iterator[File]:
        """See `Store.list`. WrongContent when the archive is damaged, or claims more than its limits allow."""
        for member in self.members().values():
            yield self._told(member)

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        return self._told(self.member(path))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`. The CRC is checked unless the end is not read, or the beginning of a stored member."""
        member = self.readable(path)
        end = member.size if length is None else min(member.size, offset + length)
        if offset == 0 and end == member.size:
            return bytes(whole(self.look(member.offset, member.limit), member, self.place))
        if offset >= end:
            return b""
        # Two threads cannot take the same one.
        stream = self._streams.pop((path, offset), None) or MemberStream(self.look, member, self.place)
        stream.skip(offset)
        data = stream.read(end - offset)
        if end < member.size:
            for oldest in list(self._streams)[: 1 - _STREAMS]:
                self._streams.pop(oldest, None)
            self._streams[path, end] = stream
        return data

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: here the member is read."""
        member = self.readable(path)
        digester = Digester(algorithm, size=member.size)
        for block in self._blocks(member):
            digester.update(block)
        return digester.digest(algorithm)

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`. Read from the beginning in any case, since the CRC is that of the whole."""
        at, wanted = 0, sink.position
        for block in self._blocks(self.readable(file.path)):
            at += len(block)
            if at > wanted:
                sink.write(block[max(0, wanted - at + len(block)) :])

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`: always AccessDenied."""
        raise self._read_only(file.path)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`: always AccessDenied."""
        raise self._read_only(path)

    async def delete(self, path: str) -> None:
        """See `Store.delete`: always AccessDenied."""
        raise self._read_only(path)

    def members(self) -> dict[str, Member]:
        """All members by their path, in order of its bytes."""
        with self._open() as (descriptor, stamp):
            if not self._known or self._known[0] != stamp:
                self._forget()
                self._known = stamp, self._directory(descriptor, stamp)
            return self._known[1]

    def _directory(self, descriptor: int, stamp: Stamp) -> dict[str, Member]:
        return read_directory(functools.partial(window, descriptor), stamp[0], self.place, self._limits)

    def _told(self, member: Member) -> File:
        # The CRC says which content was meant: a part of a file from another archive of this name is not gone on with
        return File(member.path, member.size, etag=f'"{member.crc:08x}-{member.size:x}"')

    def member(self, path: str) -> Member:
        """The member at `path`; FileMissing when there is none."""
        found = self.members().get(path)
        if found is None or path.endswith("/"):
            raise FileMissing(f"{path}: not in {self.place}", hint=f"see what is: visprep ls {self.place}")
        return found

    def readable(self, path: str) -> Member:
        """The member at `path`; the error that says why when it cannot be read."""
        member = self.member(path)
        if member.fault:
            fault = member.fault
            raise fault.kind(f"{self.place}: {path}: {fault.message}", hint=fault.hint)
        return member

    def in_order(self, files: Iterable[File]) -> Sequence[File]:
        """The same files in the order in which they lie in the archive, those that are not in it first."""
        members = self.members()
        return sorted(files, key=lambda file: members[file.path].offset if file.path in members else -1)

    def reader(self, members: Sequence[Member]) -> Callable[[Member], memoryview | bytes]:
        """What gives the content of members that lie close together, checked; WrongContent when it is wrong."""
        start = min((member.offset for member in members), default=0)
        view = self.look(start, max((member.limit for member in members), default=0))
        return lambda member: whole(view[member.offset - start : member.limit - start], member, self.place)

    def segment(self, path: str) -> int | None:
        """A number that those members share that are best read in one go; None where that is so of any."""
        return None

    def look(self, start: int, end: int) -> memoryview:
        """The bytes of the archive from `start` to `end`; ChangedMeanwhile when it is not the one that was listed."""
        with self._open() as (descriptor, stamp):
            if not self._known or stamp != self._known[0]:
                raise self._changed()
            try:
                return window(descriptor, start, end)
            except ValueError:  # it became shorter just now
                raise self._changed() from None

    def _blocks(self, member: Member) -> Iterator[bytes]:
        stream = MemberStream(self.look, member, self.place)
        while block := stream.read(_BLOCK):
            yield block

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[int, Stamp]]:
        """The archive, open for as long as the block lasts, and its stamp."""
        descriptor = None
        try:
            # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever
            flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(self._archive, flags)
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise PlaceMissing(f"{self.place}: not a regular file, so not an archive", hint="check the path")
            yield descriptor, (facts.st_size, facts.st_mtime_ns, facts.st_ino)
        except (FileNotFoundError, NotADirectoryError):
            raise PlaceMissing(f"{self.place}: no such file", hint="check the path") from None
        except PermissionError:
            raise AccessDenied(f"{self.place}: permission denied", hint="check the owner and permissions") from None
        except OSError as error:
            raise DiskError(f"{self.place}: {(error.strerror or str(error)).lower()}") from error
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _changed(self) -> ChangedMeanwhile:
        return ChangedMeanwhile(f"{self.place} changed while it was read", hint="run the same command again")

    def _read_only(self, path: str) -> AccessDenied:
        return AccessDenied(
            f"{path}: {self.place} is an archive, which is read-only", hint="name a directory or s3://bucket/prefix"
        )
