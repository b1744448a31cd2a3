"""Where parts may go: beside what is split, and where nothing lies but an earlier split."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from visprep import wire
from visprep.changes import PlaceChange
from visprep.coco_file import is_one
from visprep.errors import AccessDenied, BadRecord, DiskError, FileMissing, PlaceMissing, UsageError, WouldOverwrite
from visprep.manifest import DATASET, MANIFEST
from visprep.own_record import MARKER, read_dataset
from visprep.provenance import Step
from visprep.settings import S3Settings
from visprep.split_file import SPLIT, Split, load
from visprep.stores import Store, open_store
from visprep.stores.local import LocalStore

#: The directory that annotation files lie in, beside those of the images.
_ANNOTATIONS = "annotations"
#: The commands whose files at a place of parts are those of a split.
_OURS = frozenset({"split", "fix"})


def check_output(output: str, s3: S3Settings | None = None) -> Store:
    """The place that parts go to; UsageError when they cannot."""
    target = open_store(output, s3)
    if not isinstance(target, LocalStore) and "://" not in target.place:
        raise UsageError(
            f"{output}: parts are not written into an archive", hint="name a directory or s3://bucket/prefix"
        )
    return target


def check_apart(target: Store, places: Iterable[str], s3: S3Settings | None = None, option: str = "--output") -> None:
    """UsageError when parts would lie in the dataset that is split, or above it.

    They would be taken for more of it the next time, and their record for its own. The dataset is the place that is
    split, and all that has a record of visprep's around it; of a file in `annotations/` it is what that lies in.
    """
    for place in places:
        if isinstance(target, LocalStore) and "://" not in place:
            _check_on_disk(target, place, option)
        elif not isinstance(target, LocalStore) and "://" in place:
            _check_on_s3(target, place, s3, option)


def _check_on_disk(target: LocalStore, place: str, option: str) -> None:
    # A link lies in one dataset, and what it leads to perhaps in another
    named = Path(os.path.realpath(Path(place).absolute().parent), Path(place).absolute().name)
    for path in dict.fromkeys((Path(os.path.realpath(place)), named)):
        within = [folder for folder in path.parents if _has_record(folder)]
        own = [path] if path.is_dir() else []
        own += [path.parent.parent] if path.parent.name == _ANNOTATIONS else []
        own += [path.parent] if path.name == _ANNOTATIONS and path.is_dir() else []
        home = next((one for one in (*within[::-1], *own[::-1]) if target.root.is_relative_to(one)), None)
        outermost = min((*within, *own, path), key=lambda one: len(one.parts))
        beside = os.path.relpath(outermost.parent / f"{outermost.name.removesuffix('.json')}-splits")
        hint = f"name a directory beside it, such as {option} {beside}"
        if path.is_relative_to(target.root) and path != target.root:
            raise UsageError(f"{target.place}: the input lies in it, {place}", hint=hint)
        if home is not None:
            raise UsageError(f"{target.place} lies in the dataset that is split, {home}", hint=hint)


def _has_record(folder: Path) -> bool:
    return any((folder / record).is_file() for record in (MANIFEST, MARKER))


def _check_on_s3(target: Store, place: str, s3: S3Settings | None, option: str) -> None:
    there = f"{target.place.rstrip('/')}/"
    home = open_store(place, s3).place.rstrip("/")
    folder, _, last = home.rpartition("/")
    own = [] if is_one(place) else [home]
    if is_one(place):
        own += [folder.rpartition("/")[0]] if folder.endswith(f"/{_ANNOTATIONS}") else []
    elif last == _ANNOTATIONS:
        own.append(folder)
    hint = f"name a prefix beside it, such as {option} {(own[-1] if own else folder).rstrip('/')}-splits"
    if home.startswith(there):
        raise UsageError(f"{target.place}: the input lies in it, {place}", hint=hint)
    around = [one for one in _above(home) if there.startswith(f"{one}/")]
    for one in (*own, *(one for one in around if one not in own and _recorded(one, s3))):
        if there.startswith(f"{one}/"):
            raise UsageError(f"{target.place} lies in the dataset that is split, {one}", hint=hint)


def _above(place: str) -> Iterator[str]:
    """The prefixes that a place lies in, to its bucket."""
    while (place := place.rpartition("/")[0]) and not place.endswith("/"):
        yield place


def _recorded(place: str, s3: S3Settings | None) -> bool:
    store = open_store(place, s3)
    for record in (MANIFEST, MARKER):
        with contextlib.suppress(FileMissing, PlaceMissing, AccessDenied):
            wire.wait(store.stat(record))
            return True
    return False


def check_place(change: PlaceChange) -> None:
    """WouldOverwrite when something else than a split lies in the place: then no file there is one of ours.

    A manifest lists files whoever brought them; that of a place which nothing but splits made lists theirs alone.
    """
    steps = change.dataset.steps if change.dataset else ()
    if change.record is not None or steps:
        _check_steps(change.store, steps)


def check_ahead(target: Store, *, how: str, name: str | None, kind: str | None, extends: Split | None) -> None:
    """What can be known of the place for parts before there are records; `kind` is theirs, None when nobody knows.

    UsageError when it is no directory and must be one, DiskError when it can be none, WouldOverwrite when something
    else lies there, a split of another kind or name included.
    """
    if not isinstance(target, LocalStore):
        if how == "links":
            raise UsageError(f"{target.place}: S3 has no links", hint="--how copies, or --how ids")
    elif not next(path for path in (target.root, *target.root.parents) if path.exists()).is_dir():
        raise DiskError(f"{target.place}: not a directory, or in a file", hint="name another directory")
    with contextlib.suppress(BadRecord, FileMissing, PlaceMissing):  # which split knows what to do with
        steps = dataset.steps if (dataset := read_dataset(target)) else ()
        if not steps:
            return
        _check_steps(target, steps)
        before = load(wire.wait(target.read(SPLIT)), SPLIT)
        if before != extends and (before.name != name or kind not in (None, before.kind)):
            raise another(target, before)


def another(target: Store, before: Split) -> WouldOverwrite:
    """The error about a split that lies at the place, and is another one than that which is to be made."""
    called = f"the split {before.name!r}" if before.name else "a split"
    told = f"{called} of {', '.join(one.path for one in before.inputs)}"
    hint = "choose another --output, or remove that split"
    return WouldOverwrite(f"{target.place}: {told} lies there, which is another one", paths=(SPLIT,), hint=hint)


def _check_steps(target: Store, steps: Sequence[Step]) -> None:
    hint = "choose another --output"
    others = sorted({one.source for one in steps if one.command not in _OURS})
    if others:
        raise WouldOverwrite(f"{target.place}: another dataset lies here, {', '.join(others)}", hint=hint)
    if all(one.command != "split" for one in steps):
        raise WouldOverwrite(
            f"{target.place}: files of visprep's lie here, and {DATASET}, which says what they are, does not",
            paths=(DATASET, SPLIT),
            hint=hint,
        )
