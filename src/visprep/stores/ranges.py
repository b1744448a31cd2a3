"""Receiving a large file: several of its ranges on their way at once, each written to its place in the unfinished file.

Behind the place where the file will end stands, until it is whole, how much of every range is there. A later run
goes on with that, also after a kill: what was noted was written before. The digests are computed by threads of their
own, which follow the finished ranges from the start; they read what was just written, out of the page cache.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from visprep.digests import Digester, algorithm_of
from visprep.manifest import File
from visprep.stores import Store
from visprep.wire import RangesIgnored, Sink, each, until

_MEBIBYTE = 1024 * 1024
#: Files below this size come in one stream, in bytes.
LARGE = 32 * _MEBIBYTE
#: Ranges on their way at once, and the bounds of their size.
_AT_ONCE = 8
_SMALLEST, _LARGEST = 8 * _MEBIBYTE, 32 * _MEBIBYTE
#: What is gathered before it is written, in bytes and in pieces (the system takes 1,024 pieces at once).
_GATHERED, _PIECES = 256 * 1024, 512
#: What is read back at once to be hashed: it stays in the processor's cache.
_BLOCK = 256 * 1024

#: Behind the file: a mark, the size of the ranges, the hash of what says which content is meant; then the counts.
_HEAD = struct.Struct("<8sQ32s")
_MARK = b"vp-parts"
_COUNT = struct.Struct("<I")

Errors = Callable[[str], AbstractContextManager[None]]


@runtime_checkable
class Ranged(Protocol):
    """A store that can be asked for parts of a file."""

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> str | None:
        """Write the bytes `offset + sink.position` to `offset + length` of `file` to `sink`.

        Returns when all arrived: the sha256 of the whole file, where the place told it. ChangedMeanwhile when the
        file is not the one with the ETag of `file`; wire.RangesIgnored when only whole files can be had.
        """
        ...


async def pinned(file: File, origin: Store) -> File | None:
    """`file` with what tells its versions apart (digest or strong ETag); None when it must come in one stream."""
    if not hasattr(os, "pwritev") or not isinstance(origin, Ranged) or (file.size or 0) < LARGE:
        return None
    if file.digest or _strong(file.etag):
        return file
    now = await origin.stat(file.path)
    return replace(file, etag=now.etag) if now.size == file.size and _strong(now.etag) else None


async def fill(part: Path, file: File, origin: Ranged, errors: Errors) -> tuple[dict[str, str], str | None]:
    """Bring all of `file`, as `pinned` returned it, into `part`; its digests by algorithm, not yet compared.

    With them the sha256 that the origin told, if it did.

    `errors` turns the disk's refusals into errors about a path. After RangesIgnored, `part` holds the first bytes of
    the file and nothing else.
    """
    with contextlib.ExitStack() as ending:
        with errors(file.path):
            unfinished = _Unfinished(part, file)
        ending.callback(unfinished.close)
        followers = [_Follower(unfinished, name) for name in {"sha256"} | _promised(file)]
        for follower in followers:
            follower.start()
            ending.callback(follower.stop)
        told: set[str] = set()
        missing = unfinished.missing()
        try:
            await each((_bring(unfinished, at, file, origin, errors, told) for at in missing), lambda: _AT_ONCE)
        except RangesIgnored:
            with errors(file.path):
                unfinished.cut(unfinished.prefix)
            raise
        for follower in followers:
            await until(follower.ended)
            with errors(file.path):
                follower.check()
        with errors(file.path):
            unfinished.cut(unfinished.size)
        return {follower.algorithm: follower.digest() for follower in followers}, min(told, default=None)


async def _bring(unfinished: _Unfinished, at: int, file: File, origin: Ranged, errors: Errors, told: set[str]) -> None:
    """Bring what is missing of one range; what came stays noted, whatever happens. `told` gets the file's sha256."""
    sink = _RangeSink(unfinished, at, lambda: errors(file.path))
    try:
        if sha256 := await origin.fetch_range(file, at * unfinished.unit, sink.length, sink):
            told.add(sha256)
    except BaseException:
        with contextlib.suppress(OSError):
            sink.flush()
        raise
    with errors(file.path):
        sink.flush()
    unfinished.finish(at)


def _promised(file: File) -> set[str]:
    return {algorithm_of(file.digest)} if file.digest else set()


def _strong(etag: str | None) -> bool:
    return bool(etag) and not str(etag).startswith("W/")


class _Unfinished:
    """The file on disk that ranges are written to: `prefix` bytes are there from the start on, without a gap."""

    def __init__(self, path: Path, file: File) -> None:
        assert file.size
        self.size = file.size
        self.unit = min(max(file.size // 128, _SMALLEST), _LARGEST)
        self._tag = hashlib.sha256((file.digest or file.etag or "").encode("utf-8", "surrogateescape")).digest()
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            self._held = self._noted(believed=file.digest is not None)
            self._whole = [held == self.length(at) for at, held in enumerate(self._held)]
            # The notes alone make the file grow: without them it would look as if all of it had come
            notes = _HEAD.pack(_MARK, self.unit, self._tag) + b"".join(map(_COUNT.pack, self._held))
            if os.pwrite(self.descriptor, notes, self.size) < len(notes):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except BaseException:
            self.close()
            raise
        self._first_missing = 0
        self.grown = threading.Condition()
        self._advance()

    def _noted(self, *, believed: bool) -> list[int]:
        """How much of each range is there already; a file of the whole size without notes only if it is `believed`."""
        there = os.fstat(self.descriptor).st_size
        ranges = -(-self.size // self.unit)
        if there < self.size + believed:  # of one stream; or whole, which a digest will show
            return [min(max(0, there - at * self.unit), self.length(at)) for at in range(ranges)]
        length = _HEAD.size + ranges * _COUNT.size
        notes = os.pread(self.descriptor, length, self.size)
        if there - self.size != length or notes[: _HEAD.size] != _HEAD.pack(_MARK, self.unit, self._tag):
            os.ftruncate(self.descriptor, 0)
            return [0] * ranges
        counts = [held for (held,) in _COUNT.iter_unpack(notes[_HEAD.size :])]
        return [min(held, self.length(at)) for at, held in enumerate(counts)]

    def length(self, at: int) -> int:
        """Bytes of a range."""
        return min(self.unit, self.size - at * self.unit)

    def held(self, at: int) -> int:
        """Bytes of a range that are there, from its start on."""
        return self._held[at]

    def missing(self) -> Iterator[int]:
        """The ranges that are not whole, in order."""
        return (at for at, whole in enumerate(self._whole) if not whole)

    def write(self, at: int, pieces: list[bytes | memoryview]) -> None:
        """Write what follows in a range, then note that it is there."""
        position = at * self.unit + self._held[at]
        wanted = sum(map(len, pieces))
        written = os.pwritev(self.descriptor, pieces, position)
        if written < wanted:  # a disk that is nearly full takes what it can; the rest says why
            rest = memoryview(b"".join(pieces))
            while written < wanted:
                written += os.pwrite(self.descriptor, rest[written:], position + written)
        self._note(at, self._held[at] + wanted)

    def forget(self, at: int) -> None:
        """A range starts over."""
        self._note(at, 0)

    def _note(self, at: int, held: int) -> None:
        os.pwrite(self.descriptor, _COUNT.pack(held), self.size + _HEAD.size + at * _COUNT.size)
        self._held[at] = held

    def finish(self, at: int) -> None:
        """A range is whole, and does not start over any more."""
        self._whole[at] = True
        if at == self._first_missing:
            self._advance()

    def _advance(self) -> None:
        with self.grown:
            while self._first_missing < len(self._whole) and self._whole[self._first_missing]:
                self._first_missing += 1
            self.prefix = min(self.size, self._first_missing * self.unit)
            self.grown.notify_all()

    def cut(self, size: int) -> None:
        """Leave the first bytes, and no notes."""
        os.ftruncate(self.descriptor, size)

    def close(self) -> None:
        os.close(self.descriptor)


class _RangeSink:
    """The sink for one range: gathers pieces, writes many at once."""

    takes_views = True

    def __init__(self, unfinished: _Unfinished, at: int, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._unfinished, self._at, self._errors = unfinished, at, errors
        self.length = unfinished.length(at)
        self.position = unfinished.held(at)
        self._pieces: list[bytes | memoryview] = []
        self._gathered = 0

    def write(self, data: bytes | memoryview) -> None:
        self._pieces.append(data)
        self.position += len(data)
        self._gathered += len(data)
        view = isinstance(data, memoryview)
        if view or self._gathered >= _GATHERED or len(self._pieces) >= _PIECES:
            with self._errors():
                self.flush()

    def restart(self) -> None:
        self._pieces, self._gathered, self.position = [], 0, 0
        with self._errors():
            self._unfinished.forget(self._at)

    def flush(self) -> None:
        """Write what was gathered."""
        pieces, self._pieces, self._gathered = self._pieces, [], 0
        if pieces:
            self._unfinished.write(self._at, pieces)


class _Follower(threading.Thread):
    """Computes one digest of a file whose first bytes grow in number."""

    def __init__(self, unfinished: _Unfinished, algorithm: str) -> None:
        super().__init__(name=f"visprep-{algorithm}", daemon=True)
        self.algorithm = algorithm
        self._unfinished = unfinished
        self._digester = Digester(algorithm, size=unfinished.size)
        self._stopped = False
        self._trouble: BaseException | None = None

    def run(self) -> None:
        try:
            self._follow()
        except BaseException as trouble:
            self._trouble = trouble

    def _follow(self) -> None:
        unfinished, block = self._unfinished, bytearray(_BLOCK)
        view = memoryview(block)
        while self._digester.position < unfinished.size:
            with unfinished.grown:
                while unfinished.prefix <= self._digester.position and not self._stopped:
                    unfinished.grown.wait()
            while (left := unfinished.prefix - self._digester.position) > 0 and not self._stopped:
                got = os.preadv(unfinished.descriptor, [view[: min(left, _BLOCK)]], self._digester.position)
                if not got:
                    raise OSError(errno.EIO, "the unfinished file became shorter")
                self._digester.update(view[:got])
            if self._stopped:
                return

    def ended(self) -> bool:
        """Whether it has nothing more to do, or gave up."""
        return not self.is_alive()

    def check(self) -> None:
        """Raise what it gave up for."""
        if self._trouble:
            raise self._trouble

    def digest(self) -> str:
        """`algorithm:hex` of the whole file."""
        return self._digester.digest(self.algorithm)

    def stop(self) -> None:
        """End it, at once."""
        with self._unfinished.grown:
            self._stopped = True
            self._unfinished.grown.notify_all()
        self.join()
