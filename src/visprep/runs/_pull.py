"""`runs pull`: runs, or one checkpoint, to a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable

from visprep.engines.local import check_count
from visprep.errors import UsageError
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.runs.carrying import Carried, Carrier
from visprep.runs.checkpoints import read_index
from visprep.runs.layout import RunLayout
from visprep.runs.run_address import RunAddress, chosen, files_below, find, is_checkpoint, meant, open_runs
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.wire import wait

KINDS = ("checkpoints", "tensorboard", "logs")
#: Files that are made of others, for people: they are written anew as a training goes on.
DERIVED = ("training_latest.log", "metrics.jsonl")
WRITER = "visprep runs pull"


def pull(
    place: str | os.PathLike[str],
    output: str | os.PathLike[str] = "data/runs",
    *,
    experiment: str | None = None,
    only: str | Iterable[str] | None = None,
    jobs: int | None = None,
    layout: RunLayout | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Carried:
    """Fetch the runs of a place, one of them, or one checkpoint to a directory, under the paths that they have there.

    The directory is a place for runs then, of which a training can go on. `only` is what to fetch of a run, one or more
    of `checkpoints`, `tensorboard`, `logs`. What is there already stays, and a file that was broken off goes on; a run
    that is still being trained can be fetched again and again. WouldOverwrite when a file is in the way that is
    another, WrongContent when one is damaged at the place and the rest is done, Incomplete when some could not be had;
    UsageError, UnknownName, PlaceMissing and FileMissing when the place names nothing that is there.
    """
    check_count("jobs", jobs)
    layout, kinds = layout or RunLayout(), _kinds(only)
    address = find(place, layout, experiment, s3)
    target = open_runs(output)
    if not isinstance(target, LocalStore):
        raise UsageError(f"{output} is no directory", hint="runs are pulled to a disk; `visprep sync` copies places")
    if isinstance(address.store, LocalStore) and address.store.root == target.root:
        raise UsageError(f"{output} is the place itself", hint="choose another directory")
    carrier = Carrier(address.store, target, layout, WRITER, jobs, progress=progress)
    if address.path is not None and address.experiment is not None:
        _pull_one(carrier, address, address.experiment, address.path)
        return carrier.end()
    for name in chosen(address, layout):
        if "checkpoints" in kinds:
            _pull_checkpoints(carrier, name)
        for kind, path in (("tensorboard", layout.events(name)), ("logs", layout.logs(name))):
            if kind in kinds:
                carrier.carry_files(name, path, files_below(address.store, path), DERIVED)
    return carrier.end()


def _kinds(only: str | Iterable[str] | None) -> tuple[str, ...]:
    given = (only,) if isinstance(only, str) else tuple(only or KINDS)
    if unknown := [one for one in given if one not in KINDS]:
        raise UsageError(f"only={unknown[0]!r}", hint=f"it is one or more of: {', '.join(KINDS)}")
    return tuple(map(str, given))


def _pull_checkpoints(carrier: Carrier, name: str) -> None:
    """All that the index names; where there is none, all files: they are of another tool."""
    index, _ = read_index(carrier.origin, carrier.layout, name)
    if index.latest is not None:
        carrier.carry_checkpoints(name)
        return
    home = carrier.layout.checkpoints(name)
    carrier.carry_files(name, home, [one for one in files_below(carrier.origin, home) if is_checkpoint(one.path)])


def _pull_one(carrier: Carrier, address: RunAddress, name: str, path: str) -> None:
    index, _ = read_index(address.store, carrier.layout, name)
    found = meant(path, carrier.layout, index)
    if found is not None:
        carrier.carry_checkpoints(name, [found.path])
        return
    home, _, base = path.rpartition("/")
    told = wait(address.store.stat(path))
    carrier.carry_files(name, home, [File(base, told.size, told.digest)])
