"""`runs push`: what a directory has of runs to another place."""

from __future__ import annotations

import os
from pathlib import Path

from visprep.errors import PlaceMissing, UnknownContent, UnknownName, UsageError
from visprep.progress import OnProgress, unheard
from visprep.runs.carrying import Carried, Carrier
from visprep.runs.checkpoints import read_index
from visprep.runs.event_files import EventShipper
from visprep.runs.foreign import Foreign, found_in, found_right_in, run_of
from visprep.runs.layout import RunLayout, check_experiment
from visprep.runs.log_pieces import LogShipper
from visprep.runs.run_address import (
    ENDINGS,
    RunAddress,
    RunsPlace,
    chosen,
    experiments,
    files_below,
    find,
    is_checkpoint,
    meant,
    open_runs,
)
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore

WRITER = "visprep runs push"


def push(
    directory: str | os.PathLike[str],
    place: str | os.PathLike[str],
    *,
    experiment: str | None = None,
    layout: RunLayout | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Carried:
    """Send the runs of a directory, one of them, or one checkpoint, to a place; what is there already is not sent.

    So goes what a training kept in its fallback directory, and what was pulled. Checkpoints of other tools go too:
    `checkpoints_{condition}/best_model.pt` becomes one of the run `{condition}` (or of `experiment`), of the step and
    epoch that its name tells. One that `torch.save` did not make, or whose end is missing, is named by Incomplete when
    all else is done. Nothing at the place is deleted. WouldOverwrite when the place has another file of the
    name; ChangedMeanwhile when a training saved to the run at the same moment; UnknownContent when the directory has
    neither runs nor checkpoints; UsageError, UnknownName and PlaceMissing when it is none, or has no such run.
    """
    layout = layout or RunLayout()
    origin = Path(directory)
    if "://" in os.fspath(directory) or not origin.exists():
        away = "://" in os.fspath(directory)
        hint = "what is at another place is fetched by `visprep runs pull`" if away else "check the path"
        raise PlaceMissing(f"{directory}: no such directory on this machine", hint=hint)
    target = open_runs(place, s3)
    single = origin.is_file()
    if single and not is_checkpoint(origin.name):
        raise UnknownContent(f"{directory} is no checkpoint ({', '.join(ENDINGS)})", hint="name a directory, or one")
    address = _address(origin, layout, experiment)
    here = address.store
    if isinstance(here, LocalStore) and isinstance(target, LocalStore) and target.root == here.root:
        raise UsageError(f"{place} is the directory itself", hint="name another place")
    carrier = Carrier(address.store, target, layout, WRITER, progress=progress)
    if single:
        _push_file(carrier, address, origin, experiment)
    else:
        _push_directory(carrier, address, origin, experiment)
    return carrier.end()


def _address(origin: Path, layout: RunLayout, experiment: str | None) -> RunAddress:
    """What a path names; a checkpoint that lies as no run has it names nothing but itself."""
    try:
        return find(os.path.abspath(origin), layout, experiment)  # noqa: PTH100 -- links stay
    except UsageError:
        if not origin.is_file():
            raise
        return RunAddress(LocalStore(origin.parent))


def _push_file(carrier: Carrier, address: RunAddress, file: Path, experiment: str | None) -> None:
    if address.path is not None and address.experiment is not None:
        index, _ = read_index(address.store, carrier.layout, address.experiment)
        found = meant(address.path, carrier.layout, index)
        if found is not None:
            carrier.carry_checkpoints(address.experiment, [found.path])
            return
        experiment = address.experiment
    name = run_of(file.parent) if experiment is None else check_experiment(experiment)
    carrier.carry_foreign([Foreign(name, file)])


def _push_directory(carrier: Carrier, address: RunAddress, origin: Path, experiment: str | None) -> None:
    names: list[str] = []
    missing: UnknownName | PlaceMissing | None = None
    try:
        names = chosen(address, carrier.layout)
    except (UnknownName, PlaceMissing) as problem:
        missing = problem
    inside = Path(os.path.realpath(origin)) != carrier.origin.root if isinstance(carrier.origin, LocalStore) else False
    others = [] if names and inside else found_in(origin, experiment, _apart(carrier.origin, carrier.layout))
    if not names and not others:
        if isinstance(missing, UnknownName):
            raise missing
        raise UnknownContent(f"{origin} has neither runs nor checkpoints ({', '.join(ENDINGS)})", hint="check the path")
    for name in names:
        _push_run(carrier, name)
    carrier.carry_foreign(others)


def _apart(origin: RunsPlace, layout: RunLayout) -> list[Path]:
    """The directories of runs, where there are some: what lies there goes with them, or is not meant."""
    assert isinstance(origin, LocalStore)
    try:
        return [origin.root / layout.checkpoints(one) for one in experiments(origin, layout)]
    except PlaceMissing:
        return []


def _push_run(carrier: Carrier, name: str) -> None:
    """All of one run: the checkpoints that its index names, else those that there are; and what it logged."""
    origin, target, layout = carrier.origin, carrier.target, carrier.layout
    assert isinstance(origin, LocalStore)
    index, _ = read_index(origin, layout, name)
    if index.latest is not None:
        carrier.carry_checkpoints(name)
    else:
        carrier.carry_foreign(found_right_in(origin.root / layout.checkpoints(name), name))
    events, logs = layout.events(name), layout.logs(name)
    if isinstance(target, LocalStore):
        for path in (events, logs):
            carrier.carry_files(name, path, files_below(origin, path))
        return
    if (origin.root / events).is_dir():
        carrier.shipped(name, EventShipper(origin.root / events, target, events).ship(whole=True))
    if (origin.root / logs).is_dir():
        carrier.shipped(name, LogShipper(origin.root / logs, target, logs).ship(whole=True))
