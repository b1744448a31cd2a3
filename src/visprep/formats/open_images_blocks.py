"""A CSV file of any length cut into blocks of whole rows, each of which can be read by itself.

A row may go over several lines, where a quoted field holds a line break: no cut is made inside such a field.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.errors import FileMissing, WrongContent
from visprep.stores.arrivals import disk_errors

__all__ = ["BLOCK", "Block", "Buffers", "CsvFile", "Excerpt", "Mask", "Numbers", "Piece"]

#: Bytes of a block: small enough that some of them in flight cost nothing, large enough that a block costs little.
BLOCK = 4 * 1024 * 1024
#: No row of upstream's comes near this; what has no line break for so long is no table.
_LONGEST_ROW = 16 * 1024 * 1024
#: Bytes behind a buffer, so that words may be read at each of its bytes.
_SLACK = 16
_BOM = b"\xef\xbb\xbf"
#: A quoted field from its quote to its end, or to the end of what there is.
_QUOTED = re.compile(rb'(?<![^,\n\r])"[^"]*+(?:""[^"]*+)*+(?:"|\Z)')

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Some whole rows of a file as they are; `offset` is where in the file they begin, `count` how many there are.

    Where rows between them were left out, `places` says where in the file each begins.
    """

    data: bytes
    offset: int
    count: int | None = None
    places: Numbers | None = None

    def place(self, start: int) -> int:
        """Where in the file the row begins that begins there in the block."""
        if self.places is None:
            return self.offset + start
        return int(self.places[np.searchsorted(self.starts, start)])

    @cached_property
    def starts(self) -> Numbers:
        """Where in the block each row begins; empty lines are no rows."""
        ends = self._line_ends()
        if b'"' not in self.data:
            return self._starts(ends)
        quotes = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord('"'))
        starts = self._starts(ends[np.searchsorted(quotes, ends) % 2 == 0])
        # That is so where each quote begins or ends a field, or stands for one; some write others than these
        return starts if len(starts) == self.count else self.exact_starts()

    def exact_starts(self) -> Numbers:
        """The same, slower, where quotes may stand in fields that do not begin with one."""
        ends, spans = self._line_ends(), _quoted(self.data)
        if spans:  # a line break between quotes ends no row
            firsts, lasts = np.array(spans, np.int64).T
            field = np.searchsorted(firsts, ends, "right") - 1
            ends = ends[(field < 0) | (ends >= lasts[field])]
        return self._starts(ends)

    def _line_ends(self) -> Numbers:
        ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == ord("\n"))
        return ends if self.data.endswith(b"\n") else np.append(ends, len(self.data))

    def _starts(self, ends: Numbers) -> Numbers:
        begins = np.concatenate([[0], ends[:-1] + 1])
        lengths = ends - begins
        letters = np.frombuffer(self.data, np.uint8)
        empty = (lengths == 0) | ((lengths == 1) & (letters[np.minimum(begins, len(letters) - 1)] == ord("\r")))
        return np.asarray(begins[~empty], np.int64)

    def rows(self, mask: Mask | None) -> bytes:
        """The bytes of some rows, or of all, with a line break at the end; empty lines go with the row before them."""
        kept = self.data
        if mask is not None:
            edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
            bounds = np.append(self.starts, len(self.data))[edges].tolist()
            kept = b"".join(self.data[start:stop] for start, stop in zip(bounds[::2], bounds[1::2], strict=True))
        return kept + b"\n" if kept and not kept.endswith(b"\n") else kept


class _Buffer:
    """Memory that pieces of a file are read into, with as many flags beside it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = bytearray(size + _SLACK)
        self.letters = np.frombuffer(self.data, np.uint8)
        self.flags = np.zeros(size, np.bool_)


class Buffers:
    """Buffers that are used again: getting fresh memory takes longer than reading a file into it."""

    def __init__(self) -> None:
        self._spare: list[_Buffer] = []

    def take(self, size: int) -> _Buffer:
        """One that holds so many bytes."""
        buffer = self._spare.pop() if self._spare else _Buffer(size)
        return buffer if buffer.size >= size else _Buffer(size)

    def give(self, piece: Piece) -> None:
        """Take back the buffer of a piece, of which nothing is needed any more."""
        self._spare.append(piece.buffer)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole rows of a file, in a buffer that others come into: what shall stay of them must be copied."""

    buffer: _Buffer
    length: int
    offset: int

    @property
    def view(self) -> memoryview:
        """The bytes."""
        return memoryview(self.buffer.data)[: self.length]

    @property
    def letters(self) -> npt.NDArray[np.uint8]:
        """The bytes as numbers."""
        return self.buffer.letters[: self.length]

    @property
    def flags(self) -> Mask:
        """A place for one flag of each byte."""
        return self.buffer.flags[: self.length]

    def words(self, kind: str) -> npt.NDArray[Any]:
        """What begins at each byte, as numbers or others of at most 16 bytes; at the end they hold anything."""
        return np.ndarray((self.length,), kind, self.buffer.data, strides=(1,))

    def has(self, letter: bytes) -> bool:
        """Whether a letter stands in it."""
        return self.buffer.data.find(letter, 0, self.length) >= 0

    def block(self) -> Block:
        """A copy."""
        return Block(bytes(self.view), self.offset)


class CsvFile:
    """A CSV file on disk, its header read: `columns` are its names, `header` the line that told them.

    FileMissing, or another StoreError, when it cannot be read; WrongContent when no header stands there.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path, self.name = path, name or path.name
        with self._opened() as file:
            line = file.readline(_LONGEST_ROW)
        self.header = line if line.endswith(b"\n") else line + b"\n"
        self._begin = len(line)
        try:
            columns = next(csv.reader([line.removeprefix(_BOM).decode().strip("\r\n")], strict=True), [])
        except (UnicodeDecodeError, csv.Error):
            columns = []
        self.columns = [column.strip() for column in columns]
        if not any(self.columns):
            raise WrongContent(f"{self.name}, line 1: no header of a table stands there", hint="fetch the file again")

    @contextmanager
    def _opened(self) -> Iterator[FileIO]:
        if not self.path.is_file():
            raise FileMissing(f"{self.name} is not there")
        with disk_errors(self.name), self.path.open("rb", buffering=0) as file:
            yield file

    def blocks(self, size: int = BLOCK) -> Iterator[Block]:
        """The rows below the header, about `size` bytes of them at a time.

        WrongContent when a row is longer than 16 MiB, as when a quote is never closed.
        """
        buffers = Buffers()
        for piece in self.pieces(buffers, size):
            yield piece.block()
            buffers.give(piece)

    def pieces(self, buffers: Buffers, size: int = BLOCK) -> Iterator[Piece]:
        """What `blocks` gives, in buffers, which whoever gets them gives back."""
        with self._opened() as file:
            offset, length = self._begin, size
            while True:
                buffer = buffers.take(length)
                file.seek(offset)
                there = file.readinto(memoryview(buffer.data)[:length])
                last = there < length
                end = there if last else _last_row_end(buffer.data, there)
                if end > _LONGEST_ROW + size or (not end and length > _LONGEST_ROW):
                    raise WrongContent(
                        f"{self.name}, line {self.lines([offset])[0]}: the row that begins there has no end",
                        hint="a quote that is never closed, or no table at all: fetch the file again",
                    )
                if end:
                    yield Piece(buffer, end, offset)
                if last:
                    return
                # What is left of a row is read once more: no copy is made of the rest
                offset, length = offset + end, size if end else 2 * length

    def place(self, offset: int) -> str:
        """The file and the number of the line that holds a byte of it, in words."""
        return f"{self.name}, line {self.lines([offset])[0]}"

    def lines(self, offsets: Sequence[int]) -> list[int]:
        """The numbers, from 1, of the lines that hold these bytes of the file; it is read once for all of them."""
        found: dict[int, int] = {}
        wanted = sorted(set(offsets))
        line = 1
        with self._opened() as file:
            at = 0
            for offset in wanted:
                while at < offset:
                    data = file.read(min(BLOCK, offset - at))
                    if not data:
                        break
                    at += len(data)
                    line += data.count(b"\n")
                found[offset] = line
        return [found[offset] for offset in offsets]


class Excerpt(CsvFile):
    """Rows of another table, taken as they are into a file: messages tell its name, and the numbers of its lines."""

    def __init__(self, path: Path, whole: CsvFile) -> None:
        super().__init__(path, whole.name)
        self._whole = whole

    def lines(self, offsets: Sequence[int]) -> list[int]:
        """The numbers of the lines that begin at these bytes, in the whole table: the first ones that read so."""
        with self.path.open("rb") as file:
            begins = [file.seek(offset) >= 0 and file.readline().rstrip(b"\r\n") for offset in offsets]
        left = set(begins)
        found: dict[bytes | bool, int] = {}
        with self._whole.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if (plain := line.rstrip(b"\r\n")) in left:
                    found[plain] = number
                    left.remove(plain)
                    if not left:
                        break
        return [found.get(one, 0) for one in begins]


def _quoted(data: bytes) -> list[tuple[int, int]]:
    return [found.span() for found in _QUOTED.finditer(data)] if b'"' in data else []


def _last_row_end(data: bytearray, length: int) -> int:
    """Where, among the first bytes, the last row ends that is whole."""
    end = data.rfind(b"\n", 0, length) + 1
    if data.find(b'"', 0, length) < 0 or data.count(b'"', 0, end) % 2 == 0:  # mostly there is none, which is soon seen
        return end
    for field in reversed(list(_QUOTED.finditer(data, 0, length)) if end else []):
        first, last = field.span()
        if last < end:
            break
        if first < end:  # it holds that line break
            end = data.rfind(b"\n", 0, first) + 1
    return end
