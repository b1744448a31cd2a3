"""A tar file, plain or compressed by gzip, as a read-only store: nothing is unpacked to look inside.

A tar file has no directory: to know what is in it, all of it is passed over once. Of a compressed one that means to
inflate it; then it is remembered where one can go on later (`GzipStream`), and what each file is.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from visprep.descriptors import pread
from visprep.digests import fast_zlib
from visprep.errors import StoreError
from visprep.manifest import File
from visprep.stores.archive import ArchiveStore, Stamp
from visprep.stores.deflate_points import Point
from visprep.stores.gzip_stream import GzipStream, Restart
from visprep.stores.tar_headers import Header, headers
from visprep.stores.zip_directory import Limits, Member, by_path, damaged

_BLOCK = 1024 * 1024
#: Inflated bytes between two places to go on at: at least, and by the size of the archive, so that few are remembered.
_SPACING, _PLACES = 32 * 1024 * 1024, 512
#: Pieces of work that the thread which hashes may be behind.
_AHEAD = 64
#: Streams that are kept for those who read on.
_STREAMS = 8


class Found(NamedTuple):
    """A member, and what its content is where the pass had to read it."""

    header: Header
    crc: int = 0
    sha256: str | None = None


@dataclass(slots=True)
class Contents:
    """What one pass over an archive found, with the places to go on at of a compressed one."""

    zipped: bool
    found: list[Found]
    restarts: list[Restart]

    def dump(self) -> bytes:
        """As text."""
        restarts = []
        for one in self.restarts:
            told = asdict(one)
            if one.point:
                told["point"] |= {name: base64.b64encode(told["point"][name]).decode() for name in ("lead", "window")}
            restarts.append(told)
        found = [
            (one.name.decode("latin-1"), one.kind.decode("latin-1"), one.size, one.offset, one.sparse, crc, sha256)
            for one, crc, sha256 in self.found
        ]
        return json.dumps({"zipped": self.zipped, "found": found, "restarts": restarts}).encode()

    @classmethod
    def load(cls, data: Any) -> Contents:
        """What `dump` told."""
        restarts = []
        for told in data["restarts"]:
            if point := told.pop("point"):
                point |= {name: base64.b64decode(point[name]) for name in ("lead", "window")}
            restarts.append(Restart(**told, point=Point(**point) if point else None))
        found = [
            Found(Header(name.encode("latin-1"), kind.encode("latin-1"), size, offset, sparse), crc, sha256)
            for name, kind, size, offset, sparse, crc, sha256 in data["found"]
        ]
        return cls(data["zipped"], found, restarts)


class TarStore(ArchiveStore):
    """The files in the tar file at `place`, which may be compressed by gzip, whatever its name.

    Links, devices, sparse files, names that leave the place, and one of several with one name are listed, and refuse
    to be read. A compressed archive has passed its CRC-32 before anything of it is read.
    """

    def __init__(self, place: str | os.PathLike[str], limits: Limits | None = None, *, spacing: int = _SPACING) -> None:
        super().__init__(place, limits)
        self._spacing = spacing
        self._written: Path | None = None

    def __repr__(self) -> str:
        return f"TarStore({self.place!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_spacing": self._spacing, "_written": self._written}

    def _forget(self) -> None:
        super()._forget()
        self._contents: Contents | None = None
        self._digests: dict[int, str | None] = {}
        self._open_streams: list[GzipStream] = []

    def _directory(self, descriptor: int, stamp: Stamp) -> dict[str, Member]:
        if self._contents is None:
            self._contents = self._pass_over(descriptor, stamp[0])
        members = []
        for header, crc, sha256 in self._contents.found:
            if member := header.member(crc):
                members.append(member)
                self._digests[member.offset] = sha256
        return by_path(members)

    def _pass_over(self, descriptor: int, size: int) -> Contents:
        contents = Contents(pread(descriptor, 2, 0) == b"\x1f\x8b", [], [])
        if not contents.zipped:
            contents.found = [Found(one) for one in headers(_OnDisk(descriptor, size), self.place)]
            return contents
        at = 0

        def source() -> bytes:
            nonlocal at
            data = pread(descriptor, _BLOCK, at)
            at += len(data)
            return data

        spacing = max(self._spacing, size // _PLACES)
        most, most_empty = self._limits.most(size), self._limits.most_empty(size)
        stream = GzipStream(source, self.place, spacing=spacing, on_restart=contents.restarts.append, most=most)
        with _Hashing() as hashing:
            for header in headers(stream, self.place, most_empty):
                hashed, crc, left = hashing.of(len(contents.found)), 0, header.length
                while left and (data := stream.read(min(left, _BLOCK))):
                    hashed(data)
                    crc = fast_zlib.crc32(data, crc)
                    left -= len(data)
                contents.found.append(Found(header, crc))
        contents.found = [one._replace(sha256=hashing.digest(at)) for at, one in enumerate(contents.found)]
        return contents

    def remember(self, path: Path) -> None:
        """Write down what the pass over a compressed archive found, so that nobody need do it again: see `recall`."""
        self.members()
        if self._contents and self._contents.zipped and self._known:
            stamp = json.dumps(self._known[0]).encode()
            part = path.with_name(f"{path.name}.new")
            part.write_bytes(stamp + b"\n" + self._contents.dump())
            part.replace(path)
            self._written = path

    def recall(self, path: Path | None = None) -> None:
        """Take what was written down, if it is about this very archive; where the store itself knows, if no `path`."""
        path = path or self._written
        if path is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError, StoreError):
            told, _, contents = path.read_bytes().partition(b"\n")
            with self._open() as (_, stamp):
                present = stamp
            if tuple(json.loads(told)) == present:
                found = Contents.load(json.loads(contents))
                self._forget()
                self._contents = found
                self._known = present, self._directory(-1, present)

    def segment(self, path: str) -> int | None:
        """Between which two places to go on at a member begins: who reads all of one wastes nothing; None for any."""
        member = self._known[1].get(path) if self._known and self._zipped else None
        if member is None:
            return None
        return bisect_right([one.position for one in self._restarts], member.offset)

    @property
    def _zipped(self) -> bool:
        return self._contents is not None and self._contents.zipped

    @property
    def _restarts(self) -> list[Restart]:
        return self._contents.restarts if self._contents else []

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        member = self.readable(path)
        end = member.size if length is None else min(member.size, offset + length)
        if offset >= end:
            return b""
        data = self._between(member.offset + offset, member.offset + end)
        if end - offset == member.size:
            self._check(member, fast_zlib.crc32(data))
        return data

    def reader(self, members: Sequence[Member]) -> Callable[[Member], memoryview | bytes]:
        """See `ArchiveStore.reader`."""
        if self._zipped:
            return self._whole
        start = min((member.offset for member in members), default=0)
        view = self.look(start, max((member.limit for member in members), default=0))
        return lambda member: view[member.offset - start : member.limit - start]

    def _whole(self, member: Member) -> bytes:
        data = self._between(member.offset, member.limit)
        self._check(member, fast_zlib.crc32(data))
        return data

    def _between(self, start: int, end: int) -> bytes:
        """The bytes of the archive, inflated, from `start` to `end`."""
        if not self._zipped:
            return bytes(self.look(start, end))
        stream = self._stream(start)
        stream.skip(start - stream.position)
        data = stream.read(end - start)
        if len(data) < end - start:
            raise self._changed()
        self._open_streams = [*self._open_streams, stream][-_STREAMS:]
        return data

    def _stream(self, start: int) -> GzipStream:
        """One that is open and on its way to `start`, or another from the last place before it."""
        number = bisect_right([one.position for one in self._restarts], start)
        restart = self._restarts[number - 1] if number else Restart()
        best = None
        for stream in list(self._open_streams):
            if restart.position <= stream.position <= start and (best is None or stream.position > best.position):
                best = stream
        if best is not None:
            with contextlib.suppress(ValueError):  # another thread took it
                self._open_streams.remove(best)
                return best
        at = restart.offset

        def source() -> memoryview:
            nonlocal at
            assert self._known
            data = self.look(at, min(at + _BLOCK, self._known[0][0]))
            at += len(data)
            return data

        return GzipStream(source, self.place, restart)

    def _check(self, member: Member, crc: int) -> None:
        if self._zipped and crc != member.crc:
            raise damaged(f"{self.place}: {member.path}", f"its CRC-32 is {crc:08x}, and was {member.crc:08x} before")

    def _blocks(self, member: Member) -> Iterator[bytes]:
        crc = 0
        for at in range(member.offset, member.limit, _BLOCK):
            data = self._between(at, min(at + _BLOCK, member.limit))
            crc = fast_zlib.crc32(data, crc)
            if at + len(data) == member.limit:
                self._check(member, crc)
            yield data

    def _told(self, member: Member) -> File:
        if self._zipped:
            sha256 = self._digests.get(member.offset)
            return replace(super()._told(member), digest=None if member.path.endswith("/") else sha256)
        assert self._known  # of a plain one nothing but the file itself says which content is meant
        _, mtime, _ = self._known[0]
        return File(member.path, member.size, etag=f'"{mtime:x}-{member.offset:x}-{member.size:x}"')


class _Hashing:
    """A thread that computes the SHA-256 of one file after another, while the next bytes are inflated."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "visprep-sha256")
        self._under_way: deque[Future[None]] = deque()
        self._digests: dict[int, str] = {}
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.shutdown(cancel_futures=exc[0] is not None)

    def of(self, number: int) -> Callable[[bytes], None]:
        """What takes the bytes of the next file."""
        self._do(self._begin, number)
        return lambda data: self._do(self._update, number, data)

    def digest(self, number: int) -> str:
        """`sha256:hex` of a file."""
        return f"sha256:{self._digests[number]}"

    def _do(self, work: Callable[..., None], *what: Any) -> None:
        self._under_way.append(self._thread.submit(work, *what))
        if len(self._under_way) > _AHEAD:
            self._under_way.popleft().result()

    def _begin(self, number: int) -> None:
        self._hash = hashlib.sha256()
        self._digests[number] = self._hash.hexdigest()

    def _update(self, number: int, data: bytes) -> None:
        self._hash.update(data)
        self._digests[number] = self._hash.hexdigest()


class _OnDisk:
    """The bytes of a plain archive, of which only those are read that are asked for."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size
        self.position = 0

    def read(self, length: int) -> bytes:
        data = pread(self._descriptor, length, self.position)
        self.position += len(data)
        return data

    def skip(self, length: int) -> int:
        passed = min(length, self._size - self.position)
        self.position += passed
        return passed
