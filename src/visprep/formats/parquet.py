"""Parquet as a source of rows: a remote file's footer, its single row groups, and rows as `datasets` describes them.

A row group is the smallest part of a parquet file that can be had alone. So a few rows of a file of many gigabytes
cost its footer and one row group, copied into a small parquet file here, whose rows are then read.
"""

from __future__ import annotations

import io
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from visprep import wire
from visprep.errors import DiskError, FileMissing, MissingExtra, WrongContent
from visprep.manifest import File
from visprep.stores import PART_SUFFIX, Store
from visprep.stores.local import LocalStore

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

# A footer and small columns are read in many small pieces: whole blocks are fetched, and the last ones kept.
_BLOCK = 64 * 1024
_BLOCKS_KEPT = 64
# From this length on a read is one request of its own: a column of images is read once and never again.
_DIRECT = 8 * _BLOCK
# Rows taken apart at a time, of a row group that may hold thousands.
_BATCH = 64


class RangedFile(io.RawIOBase):
    """A file of a store, opened for reading anywhere in it; only what is read is fetched, in blocks of 64 KiB.

    Raises what the store raises, and WrongContent when the file is shorter than it claims.
    """

    def __init__(self, store: Store, file: File) -> None:
        super().__init__()
        self.name = file.path
        self._store = store
        size = file.size if file.size is not None else wire.wait(store.stat(file.path)).size
        if size is None:
            raise WrongContent(f"{file.path}: its store does not tell its size, so no part of it can be read alone")
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position of the next read, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, from here, or from the end; returns the new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to byte {base + offset}")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """The next `size` bytes, fewer at the end; all that is left without `size`."""
        start = min(self._position, self._size)
        end = self._size if size is None or size < 0 else min(self._size, start + size)
        data = self._fetch(start, end) if end - start >= _DIRECT else self._from_blocks(start, end)
        self._position = end if data else self._position
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`; returns how many bytes were there."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def _from_blocks(self, start: int, end: int) -> bytes:
        if start == end:
            return b""
        first, last = start // _BLOCK, (end - 1) // _BLOCK
        missing = [number for number in range(first, last + 1) if number not in self._blocks]
        if missing:
            begin = missing[0] * _BLOCK
            data = self._fetch(begin, min(self._size, (missing[-1] + 1) * _BLOCK))
            for at in range(0, len(data), _BLOCK):
                self._blocks[(begin + at) // _BLOCK] = data[at : at + _BLOCK]
        for number in range(first, last + 1):
            self._blocks.move_to_end(number)
        joined = b"".join(self._blocks[number] for number in range(first, last + 1))
        while len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return joined[start - first * _BLOCK : end - first * _BLOCK]

    def _fetch(self, start: int, end: int) -> bytes:
        data = wire.wait(self._store.read(self.name, start, end - start))
        if len(data) != end - start:
            raise WrongContent(
                f"{self.name}: bytes {start} to {end} were asked for, {len(data)} came",
                hint="the file changed upstream or is cut off there; try again",
            )
        return data


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group: its number of rows, and its size before compression in bytes."""

    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class ParquetSchema:
    """What the footer tells: the names of the columns, the number of rows, and the row groups in order.

    `binary` are the columns of bytes, or of what the `datasets` library wraps around them, one or a list of them.
    """

    columns: tuple[str, ...]
    rows: int
    row_groups: tuple[RowGroup, ...]
    binary: frozenset[str] = frozenset()


def schema(source: BinaryIO | RangedFile) -> ParquetSchema:
    """The footer of a parquet file, and nothing else of it; WrongContent when it is damaged or not parquet."""
    with damage_in(_name(source)):
        parquet = _open(source)
        footer = parquet.metadata
        # Not by way of their columns: on a damaged footer pyarrow's `column()` ends the process.
        groups = (footer.row_group(index) for index in range(footer.num_row_groups))
        row_groups = tuple(RowGroup(group.num_rows, group.total_byte_size) for group in groups)
        binary = frozenset(column.name for column in parquet.schema_arrow if _holds_bytes(column.type))
        return ParquetSchema(tuple(parquet.schema_arrow.names), footer.num_rows, row_groups, binary)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    if types.is_struct(kind):
        kind = next((field.type for field in kind if field.name == "bytes"), kind)
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def copy_row_group(source: BinaryIO | RangedFile, index: int, target: Path) -> None:
    """Make `target` a parquet file with the one row group `index` of `source`, and what its schema says of features.

    It appears under its name only when it is whole. WrongContent when the row group is damaged (page checksums are
    compared where the file has them), DiskFull or another StoreError when `target` cannot be written.
    """
    with damage_in(_name(source)):
        table = _open(source).read_row_group(index, use_threads=False)
    import pyarrow.parquet

    part = target.with_name(target.name + PART_SUFFIX)
    with LocalStore(target.parent).errors(str(target)):
        try:
            # Uncompressed: nearly all of it is images, which do not get smaller a second time.
            pyarrow.parquet.write_table(table, part, compression="none", row_group_size=max(1, table.num_rows))
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file on disk, as the features of the `datasets` library in it say, few at a time.

    An image, sound or video is `{"bytes": ..., "path": ...}`, not decoded. No copy is written; no cache and no network
    is touched. FileMissing, or WrongContent when the file is damaged (as `copy_row_group` says).
    """
    if not path.is_file():
        raise FileMissing(f"{path} is not there")
    with damage_in(str(path)):
        try:
            from datasets import Features
            from datasets.table import table_cast
        except ImportError as error:
            raise MissingExtra("reading parquet", "hf") from error
        import pyarrow

        # Not by `Dataset.from_parquet(streaming=True)`: threads of Arrow's hold its file, an object of Python's, and
        # one that lets go of it while Python ends takes the process down (https://github.com/apache/arrow/issues/45214).
        with _open(str(path)) as file:
            described = Features.from_arrow_schema(file.schema_arrow).arrow_schema
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_BATCH, row_groups=[group], use_threads=False):
                    yield from table_cast(pyarrow.Table.from_batches([batch]), described).to_pylist()


def _name(source: BinaryIO | RangedFile) -> str:
    return str(getattr(source, "name", "the parquet file"))


def _open(source: BinaryIO | RangedFile | str) -> ParquetFile:
    import pyarrow.parquet

    if not isinstance(source, str):
        source.seek(0)
    # pre_buffer would read from threads of pyarrow's own
    return pyarrow.parquet.ParquetFile(source, pre_buffer=False, page_checksum_verification=True)


@contextmanager
def damage_in(name: str) -> Iterator[None]:
    """What the libraries raise about a damaged file, as an error of ours that names it."""
    try:
        import pyarrow
    except ImportError as error:
        raise MissingExtra("reading parquet", "hf") from error
    try:
        yield
    # A flipped byte in the footer surfaces as any of these.
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DiskError(f"{name}: {error.strerror}") from error
        detail = " ".join(str(error).split())
        raise WrongContent(
            f"{name} is damaged or not parquet: {detail}",
            hint="fetch it again; if that does not help, it is damaged upstream",
        ) from error
