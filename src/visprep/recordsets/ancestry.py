"""The history of a place that is about to be converted or split, as its `dataset.json` tells it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from visprep.ancestors import Ancestor, replaced, told
from visprep.coco_file import is_one
from visprep.copy_ends import name_of
from visprep.errors import AccessDenied, BadRecord, PlaceMissing
from visprep.manifest import DATASET
from visprep.own_record import read_dataset
from visprep.provenance import Dataset, Step
from visprep.recordsets.coco_files import home_of
from visprep.settings import S3Settings
from visprep.stores import Store, archive_ending, open_store
from visprep.stores.local import LocalStore

__all__ = ["ancestors_of", "split_history"]

#: Directories above a place that its record is looked for in.
_ABOVE = 3


def ancestors_of(places: Iterable[str], s3: S3Settings | None = None) -> tuple[Ancestor, ...]:
    """How each of the places, or files, that are taken came to be; neighbors of one place are told together."""
    found: list[Ancestor] = []
    for place in places:
        one = _ancestor(place, s3)
        last = found[-1] if found else None
        if last and last.steps and (last.name, last.files, last.steps) == (one.name, one.files, one.steps):
            found[-1] = Ancestor(last.name, (*last.paths, *one.paths), last.files, last.steps)
        else:
            found.append(one)
    return tuple(found)


def split_history(
    begun: Step, places: Sequence[str], extends: str | None, target: Store, s3: S3Settings | None
) -> dict[str, Any]:
    """How what is split came to be, and the split that is extended, or that lies at the target and is replaced."""
    found = {"made_from": ancestors_of(places, s3), "extended": ancestors_of([extends] if extends else (), s3)}
    if not extends:
        found["replaced"] = replaced(name_of(target), _dataset(target), begun)
    return told(**found)


def _ancestor(place: str, s3: S3Settings | None) -> Ancestor:
    for store, path in _homes(place, s3):
        if dataset := _dataset(store):
            return Ancestor(name_of(store), (path,), dataset.files, dataset.steps)
    return Ancestor(os.path.basename(os.path.abspath(place)) if "://" not in place else place)  # noqa: PTH100, PTH119


def _homes(place: str, s3: S3Settings | None) -> Iterator[tuple[Store, str]]:
    """The places whose record may tell of this one, the nearest first, and its path in each."""
    if "://" not in place and not os.path.exists(place):  # noqa: PTH110 -- never raises; whoever reads it tells
        return
    if is_one(place):
        home, path, _ = home_of(place, s3)
        yield home.store, path
    elif "://" in place:
        above, _, name = place.rstrip("/").rpartition("/")
        yield open_store(place, s3), ""
        if above.partition("://")[2] and "." in name:  # a file that is taken by itself
            yield open_store(above, s3), name
    else:
        path_ = Path(os.path.abspath(place))  # noqa: PTH100 -- a link stays in the place that it lies in
        if path_.is_dir() or archive_ending(place):
            yield open_store(place, s3), ""
        for folder in [one for one in list(path_.parents)[:_ABOVE] if (one / DATASET).is_file()]:
            yield LocalStore(folder), path_.relative_to(folder).as_posix()


def _dataset(store: Store) -> Dataset | None:
    with contextlib.suppress(AccessDenied, BadRecord, PlaceMissing):  # someone else's, or nothing to be seen
        return read_dataset(store)
    return None
