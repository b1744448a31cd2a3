"""`runs show`: one run, or one checkpoint of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from visprep.manifest import File
from visprep.runs.checkpoints import Checkpoint, read_index
from visprep.runs.layout import RunLayout
from visprep.runs.run_address import ENDINGS, RunsPlace, files_below, find, meant, only
from visprep.settings import S3Settings
from visprep.wire import wait


@dataclass(frozen=True, slots=True)
class RunShown:
    """A run: its checkpoints, the oldest first, and how much else lies there, as numbers of files and of bytes.

    `latest` and `best` are paths, relative to the place. `others` are files that look like checkpoints and that no
    index names: of other tools, or of a save that was broken off. Where one checkpoint was asked for, it is the only
    one here, and the rest is not looked at.
    """

    place: str
    experiment: str
    checkpoints: tuple[Checkpoint, ...]
    latest: str | None
    best: str | None
    writer: str = ""
    others: tuple[File, ...] = ()
    events: tuple[int, int] = (0, 0)
    logs: tuple[int, int] = (0, 0)


def show(
    place: str | os.PathLike[str],
    *,
    experiment: str | None = None,
    layout: RunLayout | None = None,
    s3: S3Settings | None = None,
) -> RunShown:
    """A run, or one checkpoint of it, as far as its index and the listings tell.

    UsageError when several runs are there and none is named, UnknownName when there is none of the name, PlaceMissing
    when there is none at all, FileMissing for a checkpoint that is not there; BadRecord when the index is damaged.
    """
    layout = layout or RunLayout()
    address = find(place, layout, experiment, s3)
    if address.path is not None and address.experiment is not None:
        return _one(address.store, layout, address.experiment, address.path)
    name = only(address, layout)
    index, _ = read_index(address.store, layout, name)
    known = {one.path for one in index.checkpoints}
    if known:
        known |= {layout.latest(name), layout.best(name)}
    home = layout.checkpoints(name)
    found = (replace(one, path=f"{home}/{one.path}") for one in files_below(address.store, home))
    return RunShown(
        address.store.place,
        name,
        index.checkpoints,
        index.latest.path if index.latest else None,
        index.best.path if index.best else None,
        index.writer,
        tuple(one for one in found if one.path.lower().endswith(ENDINGS) and one.path not in known),
        _amount(files_below(address.store, layout.events(name))),
        _amount(files_below(address.store, layout.logs(name))),
    )


def _one(store: RunsPlace, layout: RunLayout, experiment: str, path: str) -> RunShown:
    index, _ = read_index(store, layout, experiment)
    found = meant(path, layout, index)
    others = () if found else (wait(store.stat(path)),)
    latest, best = (one.path if one and one is found else None for one in (index.latest, index.best))
    return RunShown(store.place, experiment, (found,) if found else (), latest, best, index.writer, others)


def _amount(files: Iterable[File]) -> tuple[int, int]:
    sizes = [file.size or 0 for file in files]
    return len(sizes), sum(sizes)
