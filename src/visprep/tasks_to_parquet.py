"""Tasks as the rows of parquet files, `data/{split}-{n:05d}-of-{N:05d}.parquet`, and a card beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from visprep import task_parquet
from visprep.convert_output import writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.formats.task_rows import card, row_of
from visprep.stores import Store
from visprep.task_shards import Shard, batches, put, result, shards, step, tasks_of

__all__ = ["convert"]

#: Bytes that a task may have: pyarrow reads no more than 2 GiB of a column at a time.
_LARGEST = 1_000_000_000


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`; MissingExtra without pyarrow."""
    task_parquet.check_installed()
    losses = Losses(wish.to)
    asked = step(origin, wish, "tasks", "pyarrow")
    with writing(target, asked, wish) as output:
        found = shards(tasks_of(origin, losses, output, _LARGEST), wish)
        output.document("README.md", _Card(card(dict.fromkeys(shard.split for shard in found))))
        names = (f"data/{one.split}-{one.number:05d}-of-{one.of:05d}.parquet" for one in found)
        files = {path: (one, partial(_write, origin.store, one)) for path, one in zip(names, found, strict=True)}
        put(output, origin, files)
        output.put(losses, lossless=wish.lossless)
    return result(origin, wish, "tasks", output, losses)


@dataclass(frozen=True, slots=True)
class _Card:
    """The README.md."""

    text: str

    def write(self, path: Path) -> None:
        """See `Document`."""
        path.write_text(self.text, encoding="utf-8", newline="\n")


def _write(store: Store, shard: Shard, out: IO[bytes]) -> None:
    """The rows of one file; the error of a file that cannot be read, or that changed meanwhile."""
    held = batches(store, shard.tasks)
    rows = ([row_of(task.path, task.found.domain, task.found.id, files) for task, files in some] for some in held)
    task_parquet.write(out, rows)
