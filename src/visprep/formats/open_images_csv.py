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
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from visprep.errors import MissingExtra, WrongContent
from visprep.formats.open_images_blocks import BLOCK, Block, CsvFile, Mask
from visprep.formats.open_images_tables import IMAGE_ID, Holds, Kind

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "Batch",
    "Reader",
    "Wanted",
    "check_reader",
    "image_name",
    "image_number",
    "open_table",
    "read",
    "wrong_rows",
]

#: The id of an image is 16 hex digits: 64 bits, by which it is sorted and found.
ImageIds = npt.NDArray[np.uint64]

#: Threads that take blocks apart, and blocks that wait for one: more of either only cost memory.
_THREADS = 2
_AHEAD = 3
#: Classes up to which it pays to look for their names in the bytes, and to take only those rows apart.
_LOOKED_FOR = 8
#: What stands for nothing in a column of numbers: Rotation says nan where the original was gone.
_NOTHING = ("", "nan", "NaN")
_DIGITS = np.full(256, 255, np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def image_number(name: str) -> int:
    """The number that an image's id is; ValueError when it is not 16 hex digits in lower case."""
    if not IMAGE_ID.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no id of an image: 16 of the digits 0 to 9 and a to f")
    return int(name, 16)


def image_name(number: int) -> str:
    """The id of an image as upstream writes it."""
    return f"{number:016x}"


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
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="visprep-csv") as pool:
        waiting: deque[Future[Batch | None]] = deque()
        try:
            for one in file.blocks(block):
                waiting.append(pool.submit(reader.parse, one))
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
        self._looked_for = None
        if wanted.classes and kind.classes and len(wanted.classes) <= _LOOKED_FOR:
            names = b"|".join(re.escape(mid.encode()) for mid in sorted(wanted.classes))
            self._looked_for = re.compile(rb"(?:%s)(?![^,\r\n])" % names)
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

    def parse(self, block: Block) -> Batch | None:
        """The wanted rows of a block, None when there are none; WrongContent as `read` says."""
        likely, data = self._likely(block)
        if not data:
            return None
        reading = self._reading.ReadOptions(
            column_names=self.file.columns, use_threads=False, block_size=max(1024, len(data) + 1)
        )
        try:
            table = self._reading.read_csv(
                self._arrow.BufferReader(data),
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
            images = _numbers(rows[self.kind.image])
        except (self._arrow.ArrowException, ValueError) as problem:
            raise self._wrong(block, problem) from None
        kept = None if mask is None else np.array(mask)
        if self.wanted.images is not None:
            found = _are_in(images, self.wanted.images)
            rows, images = rows.filter(self._arrow.array(found)), images[found]
            kept = found if kept is None else _narrowed(kept, found)
        if likely is not None and kept is not None:
            kept = _narrowed(likely, kept)
        if likely is None:
            block = replace(block, count=table.num_rows)
        return Batch(rows, images, block, kept) if len(images) else None

    def _likely(self, block: Block) -> tuple[Mask | None, bytes]:
        """The rows of a block in which the name of a wanted class stands, and their bytes; None for all of them.

        Rows that have quotes are all likely: a name may be hidden there.
        """
        if self._looked_for is None or b'"' in block.data:
            return None, block.data
        hits = [found.start() for found in self._looked_for.finditer(block.data)]
        likely = np.zeros(len(block.starts), np.bool_)
        likely[np.searchsorted(block.starts, hits, "right") - 1] = True
        return likely, block.rows(likely)

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
            line, why = self.file.lines([block.offset])[0], " ".join(str(problem).split())
            return WrongContent(f"{self.file.name}, at or after line {line}: {why}")
        (line,) = self.file.lines([block.offset + first[0]])
        return WrongContent(
            f"{self.file.name}, line {line}: {first[1]}", hint="fetch the file again, or take that line out"
        )


def _numbers(column: Any) -> ImageIds:
    """The numbers of a column of ids; ValueError when one of them is none."""
    letters = np.frombuffer(column.buffers()[1] or b"", np.uint8)[column.offset * 16 :][: len(column) * 16]
    digits = _DIGITS[letters]
    if (digits > 15).any():
        raise ValueError("an id of an image is not 16 hex digits")
    return np.asarray(((digits[::2] << 4) | digits[1::2]).view(">u8"), np.uint64)


def _narrowed(mask: Mask, among: Mask) -> Mask:
    """A mask of which only those places stay that `among`, which has one for each of them, says."""
    narrowed = mask.copy()
    narrowed[mask] = among
    return narrowed


def _are_in(images: ImageIds, wanted: ImageIds) -> Mask:
    if not len(wanted):
        return np.zeros(len(images), np.bool_)
    at = np.searchsorted(wanted, images)
    return np.asarray(wanted[np.minimum(at, len(wanted) - 1)] == images, np.bool_)


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
