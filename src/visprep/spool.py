"""A list that may be longer than memory: beyond some length it goes on in a temporary file."""

from __future__ import annotations

import heapq
import itertools
import marshal
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Generic, TypeVar

from visprep.errors import DiskFull

T = TypeVar("T")

#: Items in a block, which is what goes to the file at once.
_BLOCK = 2_000
#: Items that are sorted in memory at once, and those in a block of such a run: of each run one block is in memory.
_RUN, _RUN_BLOCK = 32_000, 250


class Spool(Generic[T]):
    """Items of one kind, in the order in which they were appended, to be read as often as needed.

    `pack` makes plain data of an item (what `marshal` takes), `unpack` is its reverse. The first 20,000 items are kept
    as they are; beyond, blocks of them are compressed into a file that has no name, so that nothing can be left behind.
    `in_memory` is that number of items, `block` how many go to the file at once.
    """

    def __init__(
        self, pack: Callable[[T], Any], unpack: Callable[[Any], T], in_memory: int = 20_000, block: int = _BLOCK
    ) -> None:
        self._pack, self._unpack, self._in_memory, self._block = pack, unpack, in_memory, block
        self._kept: list[T] = []
        self._tail: list[T] = []
        self._file: IO[bytes] | None = None
        self._blocks: list[tuple[int, int]] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def append(self, item: T) -> None:
        """Take one more item."""
        self._length += 1
        if len(self._kept) < self._in_memory:
            self._kept.append(item)
            return
        self._tail.append(item)
        if len(self._tail) == self._block:
            self._write()

    def _write(self) -> None:
        block = zlib.compress(marshal.dumps([self._pack(item) for item in self._tail]), 1)
        try:
            self._file = self._file or tempfile.TemporaryFile(prefix="visprep-")  # noqa: SIM115 -- it lives as we do
            self._blocks.append((self._file.seek(0, 2), len(block)))
            self._file.write(block)
        except OSError as error:
            raise DiskFull(
                f"no temporary file can be written: {error.strerror}", hint="free some space, or set TMPDIR"
            ) from error
        self._tail.clear()

    def __iter__(self) -> Iterator[T]:
        yield from self._kept
        yield from self._read(self._blocks)
        yield from self._tail

    def _read(self, blocks: Iterable[tuple[int, int]]) -> Iterator[T]:
        for start, length in blocks:
            assert self._file is not None
            self._file.seek(start)
            block = zlib.decompress(self._file.read(length))
            for packed in marshal.loads(block):  # noqa: S302 -- we wrote it, into a file that nobody else can name
                yield self._unpack(packed)

    def sorted(self, key: Callable[[T], Any]) -> Iterator[T]:
        """The items in order of `key`; of equal ones, what was appended first comes first."""
        if self._length <= _RUN:
            yield from sorted(self, key=key)
            return
        runs, items = Spool(self._pack, self._unpack, in_memory=0, block=_RUN_BLOCK), iter(self)
        while some := sorted(itertools.islice(items, _RUN), key=key):
            for item in some:
                runs.append(item)
        blocks = _RUN // _RUN_BLOCK
        runs._write()
        starts = range(0, len(runs._blocks), blocks)
        yield from heapq.merge(*(runs._read(runs._blocks[at : at + blocks]) for at in starts), key=key)
