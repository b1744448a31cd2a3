"""All rows of a table of Open Images, and where each begins, though some of them cannot be read."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from visprep.errors import WrongContent
from visprep.formats.open_images_blocks import BLOCK, Block, CsvFile, Numbers
from visprep.formats.open_images_csv import Batch, Reader, wrong_rows
from visprep.formats.open_images_tables import Holds, Kind

__all__ = ["Rows", "lenient", "rows"]

#: Threads that take blocks apart, and blocks that wait for one.
_THREADS, _AHEAD = 2, 3


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a table, None where none can be read, and the byte of the file at which each begins.

    `wrong` are those that cannot be read: where they begin, and why.
    """

    batch: Batch | None
    offsets: Numbers
    wrong: list[tuple[int, str]] = field(default_factory=list)


def lenient(kind: Kind) -> Kind:
    """The kind, with any number for a flag: so another one spoils no row, and is told as what it is."""
    loose: dict[str, Holds] = {
        name: "maybe-number" if holds == "flag" else holds for name, holds in kind.optional.items()
    }
    return replace(kind, optional=loose)


def rows(file: CsvFile, kind: Kind, columns: Collection[str] | None = None, block: int = BLOCK) -> Iterator[Rows]:
    """All rows of a table, some at a time, in the order of the file; of their columns only some when named.

    MissingExtra without pyarrow; WrongContent when a row has no end.
    """
    reader = Reader(file, kind, None, columns)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="visprep-rows") as pool:
        waiting: deque[Future[Rows]] = deque()
        try:
            for one in file.blocks(block):
                waiting.append(pool.submit(_taken, reader, one))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _taken(reader: Reader, block: Block) -> Rows:
    try:
        return _placed(reader.parse(block), None, block.offset)
    except WrongContent as problem:
        told = problem.message
    wrong = list(wrong_rows(block, reader.file.columns, reader.kind))
    if not wrong:  # pyarrow refuses what we would take
        return Rows(None, _NONE, [(block.offset, told)])
    starts = block.exact_starts()
    bounds = [*starts.tolist(), len(block.data)]
    bad = {start for start, _ in wrong}
    good = b"".join(block.data[start:stop] for start, stop in itertools.pairwise(bounds) if start not in bad)
    noted = [(block.offset + start, why) for start, why in wrong]
    try:
        batch = reader.parse(Block(good, block.offset)) if good else None
    except WrongContent as problem:
        return Rows(None, _NONE, [*noted, (block.offset, problem.message)])
    return replace(_placed(batch, starts[~np.isin(starts, sorted(bad))], block.offset), wrong=noted)


_NONE: Numbers = np.zeros(0, np.int64)


def _placed(batch: Batch | None, starts: Numbers | None, offset: int) -> Rows:
    """A batch with where its rows begin; where quotes stand so oddly that nobody can tell, the block does for all."""
    if batch is None:
        return Rows(None, _NONE)
    found = batch.block.starts if starts is None else starts
    return Rows(batch, (found if len(found) == len(batch) else np.zeros(len(batch), np.int64)) + offset)
