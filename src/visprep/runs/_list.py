"""`runs list`: the runs of a place, and how far each is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from visprep.runs.checkpoints import RunIndex
from visprep.runs.layout import RunLayout
from visprep.runs.run_address import RunsPlace, chosen, files_below, find, is_checkpoint, read_all
from visprep.settings import S3Settings


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run: how many checkpoints are kept, their bytes, and of the newest what it is and measured.

    Without a checkpoint that visprep named, the fields of the newest one are None; `others` counts the files there that
    look like checkpoints of another tool, and `bytes` are theirs.
    """

    experiment: str
    checkpoints: int = 0
    bytes: int = 0
    saved: str | None = None
    step: int | None = None
    epoch: int | None = None
    best_step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    writer: str = ""
    others: int = 0

    @classmethod
    def of(cls, index: RunIndex) -> RunSummary:
        """What an index says, in short."""
        kept, latest, best = index.checkpoints, index.latest, index.best
        if latest is None:
            return cls(index.experiment)
        size = sum(one.size for one in kept)
        facts = latest.saved, latest.step, latest.epoch, best.step if best else None
        return cls(index.experiment, len(kept), size, *facts, dict(latest.metrics), index.writer)


def list_runs(
    place: str | os.PathLike[str], *, layout: RunLayout | None = None, s3: S3Settings | None = None
) -> list[RunSummary]:
    """The runs of a place, sorted by name; where the place names one run, that one.

    PlaceMissing when there is none, BadRecord when an index is damaged; else what stores raise.
    """
    layout = layout or RunLayout()
    address = find(place, layout, s3=s3)
    names = chosen(address, layout)
    found = read_all(address.store, [layout.index(name) for name in names])
    indices = (_index(address.store.place, layout, name, found) for name in names)
    return [RunSummary.of(one) if one.latest else _foreign(address.store, layout, one.experiment) for one in indices]


def _foreign(store: RunsPlace, layout: RunLayout, experiment: str) -> RunSummary:
    files = [one for one in files_below(store, layout.checkpoints(experiment)) if is_checkpoint(one.path)]
    return RunSummary(experiment, bytes=sum(one.size or 0 for one in files), others=len(files))


def _index(place: str, layout: RunLayout, experiment: str, found: Mapping[str, bytes]) -> RunIndex:
    path = layout.index(experiment)
    if path not in found:
        return RunIndex(experiment)
    return RunIndex.load(found[path], f"{place}/{path}", experiment, layout.checkpoints(experiment))
