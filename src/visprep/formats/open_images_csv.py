"""Reading Open Images' CSV files: rows of some images and classes, in batches, however long the file.

pyarrow takes the blocks of a file apart, some at once in threads; memory holds a few blocks, whatever the file's size.
A batch knows its rows as columns, and as the bytes that upstream wrote.
"""

from __future__ import annotations

import csv
import functools
import io
import itertools
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from visprep.errors import MissingExtra, WrongContent
from visprep.formats.open_images_blocks import BLOCK, Block, Buffers, CsvFile, Mask, Piece
from visprep.formats.open_images_ids import DIGITS, ImageIds, are_in, image_name, image_number, image_numbers
from visprep.formats.open_images_sieve import sieve
from visprep.formats.open_images_tables import IMAGE_ID, Holds, Kind

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Batch",
    "ImageIds",
    "Reader",
    "Wanted",
    "check_reader",
    "image_name",
    "image_number",
    "open_table",
    "read",
    "wrong_rows",
]

#: Threads that take blocks apart, and blocks that wait for one: more of either only cost memory.
_THREADS = 2
_AHEAD = 3
#: What stands for nothing in a column of numbers: Rotation says nan where the original was gone.
_NOTHING = ("", "nan", "NaN")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows are asked for: of these splits, images (their sorted numbers), and classes (MIDs); None: of all.

    A table without the column that would tell, as boxes have none of the split, is not held against it.
    """

    splits: Collection[str] | None = None
    images: ImageIds | None = None
    classes: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a table, in the order of the file: `columns` by name, as pyarrow has them.

    `mask` says which rows of `block` they are, None: all.
    """

    columns: pyarrow.RecordBatch
    images: ImageIds
    block: Block
    mask: Mask | None

    def __len__(self) -> int:
        return len(self.images)

    def raw(self) -> bytes:
        """The rows as upstream wrote them."""
        return self.block.rows(self.mask)

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """A column of numbers or flags; NaN where upstream says nothing."""
        return np.asarray(self.columns[name].to_numpy(zero_copy_only=False))

    def codes(self, name: str, known: dict[str, int]) -> npt.NDArray[np.int64]:
        """A column of a few texts that come again and again, as numbers: `known` gives them, and learns new ones."""
        column = self.columns[name]
        numbers = [known.setdefault(text, len(known)) for text in column.dictionary.to_pylist()]
        found: npt.NDArray[np.int64] = np.array(numbers, np.int64)[column.indices.to_numpy()]
        return found

    def texts(self, name: str) -> list[str]:
        """A column of texts."""
        found: list[str] = self.columns[name].to_pylist()
        return found


def check_reader() -> None:
    """MissingExtra when there is nothing to read tables with: better before gigabytes of them were fetched."""
    try:
        import pyarrow.csv  # noqa: F401
    except ImportError as error:
        raise MissingExtra("reading Open Images' tables", "hf") from error


def open_table(path: Path, kind: Kind, name: str | None = None) -> CsvFile:
    """A file on disk that is a table of this kind, by its header; `name` stands for it in messages.

    FileMissing when it is not there, WrongContent when its header lacks a column of the kind, or has one twice.
    """
    file = CsvFile(path, name)
    lacking = [column for column in kind.columns if column not in file.columns]
    twice = [column for column in kind.known if file.columns.count(column) > 1]
    if lacking or twice:
        what = f"has no column {', '.join(lacking)}" if lacking else f"has the column {', '.join(twice)} twice"
        raise WrongContent(
            f"{file.name}, line 1: the header {what}, so this is no table of {kind.name}",
            hint="fetch the file again; Open Images' tables are told apart by their headers",
        )
    return file


def read(
    file: CsvFile, kind: Kind, wanted: Wanted | None = None, columns: Collection[str] | None = None, block: int = BLOCK
) -> Iterator[Batch]:
    """The wanted rows of a table, in batches that are never empty; of their columns only some when these are named.

    MissingExtra without pyarrow; WrongContent, with the number of the line, for a row that cannot be read.
    """
    reader = Reader(file, kind, wanted, columns)
    buffers = Buffers()

    def taken(piece: Piece) -> Batch | None:
        try:
            return reader.sift(piece)
        finally:
            buffers.give(piece)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="visprep-csv") as pool:
        waiting: deque[Future[Batch | None]] = deque()
        try:
            for piece in file.pieces(buffers, block):
                waiting.append(pool.submit(taken, piece))
                if len(waiting) > _AHEAD and (batch := waiting.popleft().result()):
                    yield batch
            while waiting:
                if batch := waiting.popleft().result():
                    yield batch
        finally:
            for future in waiting:
                future.cancel()


class Reader:
    """What is asked of a table, as in `read`: it takes blocks apart one by one, in any thread."""

    def __init__(
        self, file: CsvFile, kind: Kind, wanted: Wanted | None = None, columns: Collection[str] | None = None
    ) -> None:
        check_reader()
        wanted = wanted or Wanted()
        import pyarrow
        import pyarrow.compute as compute
        import pyarrow.csv as reading

        self.file, self.kind, self.wanted = file, kind, wanted
        self._arrow, self._compute, self._reading = pyarrow, compute, reading
        there = [name for name in file.columns if name in kind.known]
        needed = {kind.image, *(kind.classes if wanted.classes is not None else ())}
        if wanted.splits is not None and kind.split in there:
            needed.add(kind.split)
        self.columns = [name for name in there if columns is None or name in columns or name in needed]
        self._classes = None if wanted.classes is None else pyarrow.array(sorted(wanted.classes), pyarrow.string())
        self._sieve = sieve(file.columns, kind, wanted.classes, wanted.images)
        self._splits = None if wanted.splits is None else pyarrow.array(sorted(wanted.splits), pyarrow.string())
        kinds: dict[Holds, Any] = {
            "image": pyarrow.binary(16),
            "text": pyarrow.string(),
            "number": pyarrow.float64(),
            "maybe-number": pyarrow.float64(),
            "flag": pyarrow.int8(),
        }
        texts = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())  # a few words that come again and again
        few = {*kind.classes, kind.split, "Source", "License"}
        self._parsing = reading.ParseOptions(newlines_in_values=True)
        self._converting = reading.ConvertOptions(
            column_types={name: texts if name in few else kinds[kind.known[name]] for name in self.columns},
            include_columns=self.columns,
            null_values=list(_NOTHING),
            strings_can_be_null=False,
        )

    def sift(self, piece: Piece) -> Batch | None:
        """The same as `parse` of a piece of the file, of which nothing is needed any more then."""
        likely = self._sieve.rows(piece) if self._sieve else None
        return self.parse(piece.block() if likely is None else likely)

    def parse(self, block: Block) -> Batch | None:
        """The wanted rows of a block, None when there are none; WrongContent as `read` says."""
        if not block.data:
            return None
        reading = self._reading.ReadOptions(
            column_names=self.file.columns, use_threads=False, block_size=max(1024, len(block.data) + 1)
        )
        try:
            table = self._reading.read_csv(
                self._arrow.BufferReader(block.data),
                read_options=reading,
                parse_options=self._parsing,
                convert_options=self._converting,
            )
            if not table.num_rows:
                return None
            (rows,) = table.combine_chunks().to_batches()
            mask = self._mask(rows)
            if mask is not None:
                rows = rows.filter(mask)
            self._check(rows)
            ids = rows[self.kind.image]
            images = image_numbers(
                np.frombuffer(ids.buffers()[1] or b"", np.uint8)[ids.offset * DIGITS :][: len(ids) * DIGITS]
            )
        except (self._arrow.ArrowException, ValueError) as problem:
            raise self._wrong(block, problem) from None
        kept = None if mask is None else np.array(mask)
        if self.wanted.images is not None:
            found = are_in(images, self.wanted.images)
            rows, images = rows.filter(self._arrow.array(found)), images[found]
            kept = found if kept is None else _narrowed(kept, found)
        return Batch(rows, images, replace(block, count=table.num_rows), kept) if len(images) else None

    def _mask(self, rows: pyarrow.RecordBatch) -> Any:
        """Which rows have a wanted class, and are of a wanted split; None when nothing was asked."""
        compute, masks = self._compute, []
        if self._classes is not None and self.kind.classes:
            found = [compute.is_in(rows[name], value_set=self._classes) for name in self.kind.classes]
            masks.append(functools.reduce(compute.or_, found))
        if self._splits is not None and self.kind.split in self.columns:
            masks.append(compute.is_in(rows[self.kind.split], value_set=self._splits))
        return functools.reduce(compute.and_, masks) if masks else None

    def _check(self, rows: pyarrow.RecordBatch) -> None:
        """ValueError when a number is missing, or is none that can be reckoned with."""
        for name in self.columns:
            holds = self.kind.known[name]
            if holds in ("image", "number", "flag") and rows[name].null_count:
                raise ValueError(f"{name} is missing")
            if holds == "number" and not np.isfinite(rows[name].to_numpy()).all():
                raise ValueError(f"{name} is infinite")

    def _wrong(self, block: Block, problem: Exception) -> WrongContent:
        first = next(wrong_rows(block, self.file.columns, self.kind), None)
        if first is None:  # pyarrow refuses what we would take
            why = " ".join(str(problem).split())
            return WrongContent(f"{self.file.place(block.place(0))}, or after it: {why}")
        place = self.file.place(block.place(first[0]))
        return WrongContent(f"{place}: {first[1]}", hint="fetch the file again, or take that line out")


def _narrowed(mask: Mask, among: Mask) -> Mask:
    """A mask of which only those places stay that `among`, which has one for each of them, says."""
    narrowed = mask.copy()
    narrowed[mask] = among
    return narrowed


def wrong_rows(block: Block, columns: Sequence[str], kind: Kind) -> Iterator[tuple[int, str]]:
    """The rows of a block that cannot be read, where each begins in it, and why: slowly, for what was found wrong."""
    bounds = [*block.exact_starts().tolist(), len(block.data)]
    for start, stop in itertools.pairwise(bounds):
        why = _wrong(block.data[start:stop], columns, kind)
        if why:
            yield start, why


def _wrong(row: bytes, columns: Sequence[str], kind: Kind) -> str | None:
    try:
        fields = next(csv.reader(io.StringIO(row.decode().rstrip("\r\n"), newline="")), [])
    except UnicodeDecodeError:
        return "it is not UTF-8"
    except csv.Error as problem:
        return str(problem)
    if len(fields) != len(columns):
        return f"it has {len(fields)} fields, and the header names {len(columns)} columns"
    for name, value in zip(columns, fields, strict=True):
        holds = kind.known.get(name, "text")
        if not _HOLDS[holds](value):
            return f"{name} is {value[:40]!r}, not {_WORDS[holds]}"
    return None


def _is_number(value: str) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False


_HOLDS: dict[Holds, Callable[[str], bool]] = {
    "image": lambda value: IMAGE_ID.fullmatch(value) is not None,
    "text": lambda value: True,
    "number": _is_number,
    "maybe-number": lambda value: value in _NOTHING or _is_number(value),
    "flag": lambda value: value in ("0", "1", "-1"),
}
_WORDS: dict[Holds, str] = {
    "image": "the id of an image (16 hex digits in lower case)",
    "text": "a text",
    "number": "a number",
    "maybe-number": "a number",
    "flag": "1, 0 or -1",
}
