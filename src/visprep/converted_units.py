"""The records of one config and split of a source, converted where somebody has time for it: what a worker does.

That is the smallest unit whose bytes depend on no other: what a row is called depends on those before it.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import sources, temporary, wire
from visprep.digests import digest_of
from visprep.engines.local import map_ordered
from visprep.errors import FileMissing, PlaceMissing, VisprepError, WouldOverwrite, WrongContent
from visprep.formats import tasks
from visprep.manifest import File
from visprep.progress import unheard
from visprep.records import Files, Record, Skipped, Task
from visprep.shards import ShardReader
from visprep.sources import Selection, Upstream
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["BATCH", "DAMAGED", "Unit", "UnitDone", "convert_all", "encoded", "fit"]

log = logging.getLogger("visprep.download")

#: Why a row is skipped whose frames look sound until they are decoded.
DAMAGED = "a frame does not decode"
#: Records that are encoded and written together.
BATCH = 64


@dataclass(frozen=True, slots=True)
class Unit:
    """A config and split to convert. What is at `replaceable` is visprep's own, and may be replaced."""

    split: str
    config: str
    replaceable: frozenset[str] = frozenset()


@dataclass(slots=True)
class UnitDone:
    """What came of a unit; `keys` are those of its records, `disk` the most bytes that its shards took at once."""

    unit: Unit
    keys: list[str] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    kept: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, VisprepError]] = field(default_factory=list)
    tasks: int = 0
    disk: int = 0


def convert_all(
    units: Sequence[Unit],
    *,
    source: str,
    upstream: Upstream,
    selection: Selection,
    target: Store,
    fresh: bool,
    overwrite: bool,
) -> list[UnitDone]:
    """Convert units into files of `target`; of one that is not `fresh` it is looked what lies there already."""
    with temporary.directory("shards") as folder:
        work = _Work(source, upstream, selection, target, fresh, overwrite, folder)
        return [work.convert(unit) for unit in units]


@dataclass(frozen=True, slots=True)
class _Work:
    source: str
    upstream: Upstream
    selection: Selection
    target: Store
    fresh: bool
    overwrite: bool
    folder: Path

    def convert(self, unit: Unit) -> UnitDone:
        done = UnitDone(unit)
        shards = tuple(one for one in self.upstream.shards if (one.split, one.config) == (unit.split, unit.config))
        upstream = replace(self.upstream, shards=shards)
        reader = ShardReader(upstream, self.folder, None, unheard, keep=False)
        reader.check_space()
        records = self._records(upstream, unit, reader, done)
        while batch := list(itertools.islice(records, BATCH)):
            whole = [one for one in map_ordered(encoded, batch) if one]
            done.skipped += Counter({DAMAGED: len(batch) - len(whole)})
            done.tasks += len(whole)
            writes = ((path, self._place(path, data, done)) for one in whole for path, data in one.items())
            for path, outcome in surviving(wire.run(writes)):
                if isinstance(outcome, VisprepError):
                    done.failures.append((path, outcome))
                else:
                    done.files.append(outcome)
        done.disk = reader.disk
        return done

    def _records(self, upstream: Upstream, unit: Unit, reader: ShardReader, done: UnitDone) -> Iterator[Task | Files]:
        found = sources.records(sources.get(self.source), upstream, unit.split, self.selection, reader)
        for record in fit(found, self.selection.layout, done.skipped):
            done.keys.append(record.key)
            yield record

    async def _place(self, path: str, data: bytes, done: UnitDone) -> File:
        """Put `data` at `path` unless it is there already; WouldOverwrite when something else is."""
        if not self.fresh:
            try:
                current = await self.target.hash(path, "sha256")
            except (FileMissing, PlaceMissing):
                return await self.target.write(path, data)
            if current == digest_of(data):
                done.kept += 1
                there = await self.target.stat(path)
                return File(path, len(data), current, etag=None if isinstance(self.target, LocalStore) else there.etag)
            if not (self.overwrite or path in done.unit.replaceable):
                raise WouldOverwrite.of(self.target.place, (path,))
        return await self.target.write(path, data)


def fit(found: Iterator[Record], layout: str, skipped: Counter[str]) -> Iterator[Task | Files]:
    """The records that can be written in a layout; what is skipped is counted."""
    wanted = tasks.layout(layout)
    for record in found:
        reason = tasks.lacks(record, wanted) if isinstance(record, Task) else None
        if isinstance(record, Skipped):
            skipped[record.reason] += record.count
        elif reason:
            skipped[reason] += 1
        else:
            yield record


def encoded(task: Task | Files) -> dict[str, bytes] | None:
    """The files of a record, None for a task whose frames do not decode: it must not end the others."""
    if isinstance(task, Files):
        return dict(task.files)
    try:
        return tasks.files_of(task)
    except WrongContent as error:
        log.warning("%s", error.message)
        return None
