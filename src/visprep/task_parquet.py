"""Tables of tasks as parquet files: written, and read by their names first and by single cells then.

A row group has a hundred tasks at most, and few bytes, so that neither a writer nor a reader ever holds much.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import IO, Any

from visprep.errors import MissingExtra, WrongContent
from visprep.formats import task_rows
from visprep.formats.parquet import RangedFile, damage_in
from visprep.manifest import File
from visprep.stores import Store

__all__ = ["Tables", "check_installed", "write"]

#: Row groups that are held for those who want more of their cells.
_KEPT = 3


def check_installed() -> None:
    """MissingExtra where parquet can neither be written nor read."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtra("tables of tasks", "hf") from None


def write(out: IO[bytes], groups: Iterable[list[dict[str, Any]]]) -> None:
    """Write a parquet file of rows, each list of them a row group; the same bytes for the same rows and pyarrow."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = {"binary": pyarrow.binary(), "string": pyarrow.string()}
    file = pyarrow.struct([(name, kinds[kind]) for name, kind in task_rows.FILE])
    types = {"string": pyarrow.string(), "image": file, "file": file, "files": pyarrow.list_(file)}
    metadata = {"huggingface": json.dumps({"info": {"features": task_rows.features()}})}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in task_rows.COLUMNS], metadata)
    text = [name for name, kind in task_rows.COLUMNS if kind == "string"]
    with ParquetWriter(
        out,
        schema,
        # Pictures and videos do not get smaller a second time
        compression=dict.fromkeys(text, "snappy"),
        use_dictionary=["domain"],
        write_statistics=["id", "domain", "path"],
        write_page_checksum=True,
    ) as writer:
        for rows in groups:
            writer.write_table(pyarrow.Table.from_pylist(rows, schema), row_group_size=max(1, len(rows)))


class Tables:
    """The parquet files of a place, as tables of tasks; safe to be used by several threads."""

    def __init__(self, store: Store, files: Iterable[File]) -> None:
        self._store, self.files = store, tuple(files)
        self._groups: OrderedDict[tuple[int, int], Any] = OrderedDict()
        self._opened: dict[int, Any] = {}
        self._lock = threading.Lock()

    def columns(self, number: int) -> tuple[tuple[str, ...], int]:
        """The columns of a file, and how many rows it has; WrongContent when it has not those of tasks."""
        name = self.files[number].path
        with self._lock, damage_in(name):
            opened = self._open(number)
            columns = tuple(opened.schema_arrow.names)
            kinds = {field.name: str(field.type) for field in opened.schema_arrow}
            rows = opened.metadata.num_rows
        lacking = sorted(task_rows.NEEDED - set(columns))
        if lacking:
            raise WrongContent(
                f"{name} is no table of tasks: it has no column {lacking[0]}, but {', '.join(columns)}",
                hint="a dataset of a hub becomes tasks by: visprep download hf:ORG/NAME --map FIELD=COLUMN",
            )
        for column, kind in task_rows.COLUMNS:
            told = kinds.get(column, "")
            if told and told != "null" and ("binary" in told) == (kind == "string"):
                raise WrongContent(f"{name} is no table of tasks: its column {column} is of {told}")
        return columns, rows

    def rows(self, number: int) -> Iterator[tuple[int, int, dict[str, Any]]]:
        """Of each row of a file, its row group and place in that, and what names its files: no bytes are read."""
        name = self.files[number].path
        with self._lock, damage_in(name):
            opened = self._open(number)
            there = set(opened.schema_arrow.names)
            leaves = [opened.schema.column(at).path for at in range(len(opened.schema.names))]
            known = {column for column, _ in task_rows.COLUMNS} & there
            wanted = [leaf for leaf in leaves if leaf.partition(".")[0] in known and not leaf.endswith(".bytes")]
            groups = opened.metadata.num_row_groups
        for group in range(groups):
            with self._lock, damage_in(name):
                rows = self._open(number).read_row_group(group, columns=wanted, use_threads=False).to_pylist()
            yield from ((group, at, row) for at, row in enumerate(rows))

    def cell(self, number: int, group: int, at: int, column: str, of: int | None) -> Any:
        """What stands in a row's column, where there are several the one with this number."""
        with self._lock, damage_in(self.files[number].path):
            table = self._groups.pop((number, group), None)
            if table is None:
                table = self._open(number).read_row_group(group, use_threads=False)
            self._groups[number, group] = table
            while len(self._groups) > _KEPT:
                self._groups.popitem(last=False)
            cell = table.column(column)[at]
            return cell.as_py() if of is None else cell[of].as_py()

    def _open(self, number: int) -> Any:
        import pyarrow.parquet

        if number not in self._opened:
            self._opened.clear()
            source = RangedFile(self._store, self.files[number])
            self._opened[number] = pyarrow.parquet.ParquetFile(
                source, pre_buffer=False, page_checksum_verification=True
            )
        return self._opened[number]
