"""A list that may be longer than memory: beyond some length it goes on in a temporary file."""

from __future__ import annotations

import bisect
import functools
import itertools
import marshal
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Generic, TypeVar

from visprep.digests import fast_zlib
from visprep.errors import DiskFull

T = TypeVar("T")

#: Items in a block, which is what goes to the file at once.
_BLOCK = 2_000
#: Items that are sorted in memory at once, and those in a block of such a run: of each run one block is in memory.
_RUN, _RUN_BLOCK = 32_000, 250
#: Runs that are merged at once; more of them are first merged into longer ones.
_TOGETHER = 128


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
        #: Where each block begins, and where the next one will
        self._starts = array("Q", (0,))
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
        block = fast_zlib.compress(marshal.dumps([self._pack(item) for item in self._tail]), 1)
        try:
            self._file = self._file or tempfile.TemporaryFile(prefix="visprep-")  # noqa: SIM115 -- it lives as we do
            self._file.seek(self._starts[-1])
            self._file.write(block)
            self._starts.append(self._starts[-1] + len(block))
        except OSError as error:
            raise DiskFull(
                f"no temporary file can be written: {error.strerror}", hint="free some space, or set TMPDIR"
            ) from error
        self._tail.clear()

    def __iter__(self) -> Iterator[T]:
        yield from self._kept
        for block in self._read(0, len(self._starts) - 1):
            yield from block
        yield from self._tail

    def _read(self, first: int, end: int) -> Iterator[list[T]]:
        """The items of the blocks from `first` to before `end`, block by block."""
        for at in range(first, end):
            assert self._file is not None
            start, following = self._starts[at : at + 2]
            self._file.seek(start)
            block = fast_zlib.decompress(self._file.read(following - start))
            # We wrote it, into a file that nobody else can name
            yield list(map(self._unpack, marshal.loads(block)))  # noqa: S302

    def sorted(self, key: Callable[[T], Any], *, run: int = _RUN, together: int = _TOGETHER) -> Iterator[T]:
        """The items in order of `key`; of equal ones, what was appended first comes first.

        So many as `run` are sorted in memory at once, and `together` such runs are merged at once.
        """
        if self._length <= run:
            yield from sorted(self, key=key)
            return
        items = iter(self)
        spool, ends = self._runs(sorted(some, key=key) for some in iter(lambda: list(itertools.islice(items, run)), []))
        while len(ends) > together:
            groups = [range(at, min(at + together, len(ends))) for at in range(0, len(ends), together)]
            longer = map(functools.partial(spool._merged, ends, key=key), groups)
            spool, ends = self._runs(map(itertools.chain.from_iterable, longer))
        for some in spool._merged(ends, range(len(ends)), key):
            yield from some

    def _runs(self, runs: Iterable[Iterable[T]]) -> tuple[Spool[T], list[int]]:
        """Sorted runs in a file of their own, and the number of the block at which each ends."""
        spool, ends = Spool(self._pack, self._unpack, in_memory=0, block=_RUN_BLOCK), []
        for run in runs:
            for item in run:
                spool.append(item)
            if spool._tail:
                spool._write()
            ends.append(len(spool._starts) - 1)
        return spool, ends

    def _merged(self, ends: list[int], which: range, key: Callable[[T], Any]) -> Iterator[list[T]]:
        """The items of some runs as one run, in pieces.

        Of each run there is one block in memory. What comes before the earliest end of these is sorted at once, which
        takes a third of the time of choosing one item after the other.
        """
        runs = [_Run(self._read(ends[number - 1] if number else 0, ends[number]), key) for number in which]
        while runs := [run for run in runs if run.items]:
            last = min(run.keys[-1] for run in runs)
            piece: list[T] = []
            ended = False  # the first run that ends so may go on with equal ones, which come before those of later runs
            for run in runs:
                if run.keys[run.at] <= last:
                    piece += run.taken(last, equal=not ended)
                    ended = ended or not run.left
            for run in runs:
                if not run.left:
                    run.fill()
            piece.sort(key=key)
            yield piece


class _Run(Generic[T]):
    """A sorted run of which one block is in memory, given out from `at` on."""

    def __init__(self, blocks: Iterator[list[T]], key: Callable[[T], Any]) -> None:
        self._blocks, self._key = blocks, key
        self.fill()

    def fill(self) -> None:
        """Go on to the next block; `items` is empty where there is none."""
        self.items: list[T] = next(self._blocks, [])
        self.keys = list(map(self._key, self.items))
        self.at = 0

    @property
    def left(self) -> int:
        """How many items of the block were not given out."""
        return len(self.items) - self.at

    def taken(self, last: Any, *, equal: bool) -> list[T]:
        """The items up to a key, with those of that key where `equal` says so."""
        find = bisect.bisect_right if equal else bisect.bisect_left
        before, self.at = self.at, find(self.keys, last, self.at)
        return self.items[before : self.at]
