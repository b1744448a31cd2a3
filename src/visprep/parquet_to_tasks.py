"""The rows of parquet files as tasks, each file of theirs byte for byte as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from visprep import task_parquet
from visprep.convert_output import writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.formats.task_rows import COLUMNS, bytes_of, home_of, names_of
from visprep.sources.patterns import PARQUET
from visprep.stores import Store
from visprep.task_files import Entry, plan
from visprep.task_shards import result, step

__all__ = ["convert"]

_KNOWN = frozenset(name for name, _ in COLUMNS)


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`; WrongContent for a table that is not one of tasks, MissingExtra without pyarrow."""
    task_parquet.check_installed()
    losses = Losses(wish.to)
    tables = task_parquet.Tables(origin.store, (one for one in origin.listing if one.path.endswith(PARQUET)))
    for number, file in enumerate(tables.files):
        columns, rows = tables.columns(number)
        for column in columns:
            if column not in _KNOWN:
                losses.lost(column, file.path, "the first row", rows)
    with writing(target, step(origin, wish, "parquet"), wish) as output:
        plan(lambda: _entries(tables), output)
        output.put(losses, lossless=wish.lossless)
    return result(origin, wish, "parquet", output, losses)


def _entries(tables: task_parquet.Tables) -> Iterator[Entry]:
    for number in range(len(tables.files)):
        for line, (group, at, row) in enumerate(tables.rows(number)):
            home, where = home_of(row), f"{tables.files[number].path}, row {line}"
            for name, (column, of) in names_of(row).items():
                path = f"{home}/{name}"
                yield path, _reading(tables, path, (number, group, at, column, of)), f"{where}: {name}"


def _reading(
    tables: task_parquet.Tables, path: str, where: tuple[int, int, int, str, int | None]
) -> Callable[[], bytes]:
    return lambda: bytes_of(where[3], tables.cell(*where), path)
