"""A zip file on a server, and the files in it: its directory is read by ranges, and nothing else until it is wanted.

A zip that lies in it uncompressed, as COCO's panoptic masks do, is no file but what is in it: its members lie in the
outer one too, only further in.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from visprep.errors import ChangedMeanwhile
from visprep.manifest import File
from visprep.stores.local import LocalStore
from visprep.stores.ranges import Ranged
from visprep.stores.zip_directory import STORED, Limits, Member, damaged, read_directory
from visprep.wire import Sink, each

_MEBIBYTE = 1024 * 1024
#: What is read at first of the end of an archive: all of a small directory, and the end record of every one.
_TAIL = 256 * 1024
#: Bytes of one request for a part of a directory, and how many of them are on their way at once.
_PIECE, _AT_ONCE = _MEBIBYTE, 8


@dataclass(frozen=True, slots=True)
class Packed:
    """A file in an archive: the path that it will have, and where it lies, counted from the archive's start."""

    path: str
    member: Member


class Buffer:
    """A sink for so many bytes, in memory that may have been used before."""

    __slots__ = ("_memory", "position", "view")

    def __init__(self, length: int, memory: bytearray | None = None) -> None:
        self._memory = bytearray(length) if memory is None else memory
        self.view = memoryview(self._memory)[:length]
        self.position = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        end = self.position + len(data)
        self.view[self.position : end] = data
        self.position = end

    def restart(self) -> None:
        """Forget everything."""
        self.position = 0

    @property
    def memory(self) -> bytearray:
        """What the bytes lie in, to be used again when nobody looks at them any more."""
        return self._memory


class DiskRanges:
    """Ranges of the files of a directory, for an archive that is here already."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> None:
        """See `ranges.Ranged`."""
        while sink.position < length:
            data = await self._store.read(file.path, offset + sink.position, min(_PIECE, length - sink.position))
            if not data:
                raise ChangedMeanwhile(
                    f"{file.path} became shorter while it was read", hint="run the same command again"
                )
            sink.write(data)


@dataclass(frozen=True, slots=True)
class RemoteZip:
    """A zip file that `store` has: `file` is its path there, its size and ETag."""

    store: Ranged
    file: File

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        assert self.file.size is not None
        return self.file.size

    async def files(self) -> tuple[Packed, ...]:
        """The files in the archive, in the order in which they lie there.

        Of a zip within that is stored and not compressed, its files come in its place, in the directory it lies in.
        """
        held = _Held()
        packed: list[Packed] = []
        members = await self._listed(held, 0, self.size, self.file.path)
        for path, member in members.items():
            if path.endswith("/") or _is_litter(path):
                continue
            if path.lower().endswith(".zip") and member.method == STORED and not member.fault:
                packed += await self._within(held, path, member)
            else:
                packed.append(Packed(path, member))
        return tuple(sorted(packed, key=lambda one: one.member.offset))

    async def _within(self, held: _Held, path: str, member: Member) -> list[Packed]:
        """The files of a zip that is a stored member."""
        # Between the header that is known and the data lies an extra field, whose length only the archive tells
        await self._bring(held, member.offset, member.offset + 30)
        head = bytes(held.look(member.offset, member.offset + 30))
        start = member.offset + 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        place, folder = f"{self.file.path}: {path}", path.rpartition("/")[0]
        if head[:4] != b"PK\3\4" or start + member.size > member.limit:
            raise damaged(place, "its local header is not there, against the archive's directory")
        lead = f"{folder}/" if folder else ""
        return [
            Packed(lead + inner, replace(one, offset=one.offset + start, limit=one.limit + start))
            for inner, one in (await self._listed(held, start, member.size, place)).items()
            if not inner.endswith("/") and not _is_litter(inner)
        ]

    async def _listed(self, held: _Held, start: int, size: int, place: str) -> dict[str, Member]:
        """The members of the archive that begins at `start`, fetching what its directory turns out to need."""
        await self._bring(held, start + max(0, size - _TAIL), start + size)
        while True:
            try:
                return read_directory(functools.partial(held.look_from, start), size, place, Limits())
            except _NotHeld as gap:
                await self._bring(held, gap.start, gap.end)

    async def _bring(self, held: _Held, start: int, end: int) -> None:
        buffer = Buffer(end - start)

        async def piece(at: int) -> None:
            length = min(_PIECE, end - at)
            part = Buffer(length)
            await self.store.fetch_range(self.file, at, length, part)
            buffer.view[at - start : at - start + length] = part.view

        await each((piece(at) for at in range(start, end, _PIECE)), lambda: _AT_ONCE)
        held.add(start, buffer.view)


class _NotHeld(Exception):
    """Bytes of the archive are needed that have not been fetched."""

    def __init__(self, start: int, end: int) -> None:
        super().__init__(start, end)
        self.start, self.end = start, end


class _Held:
    """The parts of an archive that have been fetched."""

    def __init__(self) -> None:
        self._parts: list[tuple[int, memoryview]] = []

    def add(self, start: int, view: memoryview) -> None:
        self._parts.append((start, view))

    def look(self, start: int, end: int) -> memoryview:
        """The bytes between two offsets, `_NotHeld` when they are not all there."""
        for at, view in self._parts:
            if at <= start and end <= at + len(view):
                return view[start - at : end - at]
        raise _NotHeld(start, end)

    def look_from(self, zero: int, start: int, end: int) -> memoryview:
        """The same, with offsets that count from `zero`."""
        return self.look(zero + start, zero + end) if start < end else memoryview(b"")


def _is_litter(path: str) -> bool:
    """Whether a member is what macOS adds to the archives that it packs."""
    return path.startswith("__MACOSX/") or path.rpartition("/")[2] == ".DS_Store"
