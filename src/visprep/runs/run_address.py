"""What people name when they speak of runs: where runs are, one run there, or one of its checkpoints."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visprep.errors import (
    BadPlace,
    FileMissing,
    PlaceMissing,
    UnknownName,
    UsageError,
    VisprepError,
    did_you_mean,
)
from visprep.manifest import File
from visprep.runs.checkpoints import Checkpoint, RunIndex
from visprep.runs.layout import RunLayout, check_experiment
from visprep.settings import S3Settings
from visprep.stores import Store, check_spelling, is_record, s3_answers
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import run, wait

#: How the files of checkpoints end, ours and those of other tools.
ENDINGS = (".pt", ".pth", ".ckpt", ".safetensors")

#: What runs can be kept at: the stores that can be written to.
RunsPlace = LocalStore | S3Store


@dataclass(frozen=True, slots=True)
class RunAddress:
    """The store of the place where runs are; the one run that is meant; the path of its one file that is meant."""

    store: RunsPlace
    experiment: str | None = None
    path: str | None = None


def is_checkpoint(name: str) -> bool:
    """Whether a file is a checkpoint by its name, and none that is still being written."""
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def open_runs(place: str | os.PathLike[str], s3: S3Settings | None = None) -> RunsPlace:
    """The store of a place that runs can be kept at; BadPlace when it is neither a directory nor on S3."""
    text = os.fspath(place)
    if text.startswith("s3://"):
        return S3Store(text, s3)
    check_spelling(text)
    if not text or "\0" in text or "://" in text or (text.startswith("hf:") and not Path(text).exists()):
        raise BadPlace(f"{text!r} is no place for runs", hint="name a directory, or s3://bucket/prefix")
    return LocalStore(text)


def find(
    place: str | os.PathLike[str], layout: RunLayout, experiment: str | None = None, s3: S3Settings | None = None
) -> RunAddress:
    """What `place` names: where runs are, `checkpoints/{experiment}` below it (or logs, or events), or a checkpoint.

    A place that has runs below it is where runs are, whatever it is called. UsageError when `experiment` is another
    than the one that is named.
    """
    if experiment is not None:
        check_experiment(experiment)
    text = os.fspath(place)
    named = _named(text, layout)
    if named is None:
        if text.lower().endswith(ENDINGS) and not Path(text).is_dir():
            hint = f"a checkpoint of a run is named PLACE/{layout.checkpoint_prefix}/EXPERIMENT/FILE"
            raise UsageError(f"{text} is no checkpoint of a run", hint=hint)
        return RunAddress(open_runs(text, s3), experiment)
    home, found, path = named
    if path is None:
        here = open_runs(text, s3)
        if set(folders(here, "")) & {one.partition("/")[0] for one in _prefixes(layout)}:
            return RunAddress(here, experiment)
    if experiment is not None and found is not None and found != experiment:
        raise UsageError(
            f"{text} is of the run {found!r}, and --experiment names {experiment!r}",
            hint="leave --experiment out, or name another place",
        )
    return RunAddress(open_runs(home, s3), found or experiment, path)


def _prefixes(layout: RunLayout) -> tuple[str, ...]:
    return layout.checkpoint_prefix, layout.tensorboard_prefix, layout.logs_prefix


def _named(text: str, layout: RunLayout) -> tuple[str, str | None, str | None] | None:
    """Place, experiment and path of the file, as the text alone has them; None when it has no such parts."""
    kinds = "|".join(re.escape(one) for one in _prefixes(layout))
    found = re.fullmatch(rf"(?:(.*?)/)??({kinds})(?:/([^/]+)(?:/([^/]+))?)?/*", text)
    if not found or found[1] in ("s3:", "s3:/"):
        return None
    home = found[1] if found[1] is not None else "."
    path = f"{found[2]}/{found[3]}/{found[4]}" if found[4] else None
    if path and not path.lower().endswith(ENDINGS):
        return None
    return home or "/", found[3], path


def experiments(store: RunsPlace, layout: RunLayout) -> list[str]:
    """The names of all runs that left anything at a place, sorted; PlaceMissing when there is none."""
    found = sorted({name for prefix in _prefixes(layout) for name in folders(store, prefix) if _is_experiment(name)})
    if not found:
        wanted = ", ".join(f"{one}/" for one in _prefixes(layout))
        raise PlaceMissing(f"there is no run at {store.place}: it has none of {wanted}", hint="check the name")
    return found


def _is_experiment(name: str) -> bool:
    """Whether a directory can be that of a run: others there are somebody else's."""
    try:
        check_experiment(name)
    except UsageError:
        return False
    return True


def chosen(address: RunAddress, layout: RunLayout) -> list[str]:
    """The runs that are meant: the one that is named, else all. UnknownName when there is none of that name."""
    there = experiments(address.store, layout)
    if address.experiment is None:
        return there
    if address.experiment not in there:
        hint = did_you_mean(address.experiment, there)
        raise UnknownName(f"there is no run {address.experiment!r} at {address.store.place}", hint=hint)
    return [address.experiment]


def only(address: RunAddress, layout: RunLayout) -> str:
    """The one run that is meant; UsageError when several are there and none is named."""
    there = chosen(address, layout)
    if len(there) > 1:
        shown = ", ".join(there[:5]) + (f" and {len(there) - 5} more" if len(there) > 5 else "")
        raise UsageError(f"several runs are at {address.store.place}: {shown}", hint="name one with --experiment")
    return there[0]


def folders(store: RunsPlace, path: str) -> list[str]:
    """The names of the directories right below a path of a store; none where there is nothing."""
    if isinstance(store, S3Store):
        return wait(_prefixes_below(store, path))
    root = store.root / path
    with disk_errors(str(root)):
        if not root.is_dir():
            return []
        with os.scandir(root) as scan:
            return [one.name for one in scan if one.is_dir() and not one.name.startswith(".")]


async def _prefixes_below(store: S3Store, path: str) -> list[str]:
    root = "/".join(one for one in (store.prefix, path) if one)
    query = {"list-type": "2", "encoding-type": "url", "delimiter": "/", "prefix": f"{root}/" if root else ""}
    found: list[str] = []
    token: str | None = ""
    while token is not None:
        asked = {**query, "continuation-token": token} if token else query
        response = await store.ask("s3:ListBucket", "GET", query=asked)
        names, token = s3_answers.folders(response, query["prefix"])
        found += names
    return found


def below(store: RunsPlace, path: str) -> RunsPlace:
    """The store of what lies below a path of another."""
    if isinstance(store, S3Store):
        made = S3Store(f"{store.place}/{path}", store.settings)
        made._known = store._known  # what was learned of the bucket need not be learned twice
        return made
    return LocalStore(store.root / path)


def files_below(store: RunsPlace, path: str) -> list[File]:
    """The files below a path of a store, under their paths there; none where there is nothing."""
    try:
        return [one for one in below(store, path).list() if not one.path.endswith("/") and not is_record(one.path)]
    except PlaceMissing:
        return []


def meant(path: str, layout: RunLayout, index: RunIndex) -> Checkpoint | None:
    """The checkpoint that an index has for a path, which may be that of the copy of the latest or the best."""
    copies = {layout.latest(index.experiment): index.latest, layout.best(index.experiment): index.best}
    return copies.get(path) or index.find(path)


def read_all(store: Store, paths: Iterable[str]) -> dict[str, bytes]:
    """The bytes of those of some files that are there, asked for all at once; raises what a store raises."""
    found: dict[str, bytes] = {}
    for path, outcome in run((path, store.read(path)) for path in paths):
        if isinstance(outcome, bytes):
            found[path] = outcome
        elif isinstance(outcome, VisprepError) and not isinstance(outcome, FileMissing):
            raise outcome
    return found
