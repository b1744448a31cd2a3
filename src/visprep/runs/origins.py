"""What a training was trained on: which dataset, by its manifest, and which commit of the code."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from visprep import git
from visprep.errors import AccessDenied, FileMissing, PlaceMissing, VisprepError
from visprep.manifest import MANIFEST
from visprep.messages import Patience
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.published import pointer_of
from visprep.stores.s3 import S3Store
from visprep.wire import wait

log = logging.getLogger("visprep.runs")

#: A training waits for this: what is not told soon is not told.
_PATIENCE = Patience(connect=5, stall=10, attempts=2)
_PUBLISHED = re.compile(r"(.*?)/versions/([^/]+)/")


def trained_on(dataset: Any, *, s3: S3Settings | None = None, patience: Patience = _PATIENCE) -> dict[str, Any]:
    """What `dataset` is, and the commit of the working directory, as plain data that a checkpoint can carry.

    `dataset` is one of visprep's datasets, what wraps one (a DataLoader, a `Subset`, a `ConcatDataset`), the place or
    annotation file that it is made of, a mapping that is kept as it is, several of these, or None. `datasets` of the
    result has an entry for each place: `place`, or the place above that visprep keeps a manifest for; `version` where
    it is published; `manifest_sha256`; and of a COCO dataset `annotations` and `annotations_sha256`. `commit` is git's,
    `dirty` whether files that git knows differ from it. What cannot be learned is None, and an error is logged: a
    training does not stop for it.
    """
    code = git.head(".")
    told: dict[str, Any] = {"commit": code[0], "dirty": code[1]} if code else {"commit": None, "dirty": None}
    if isinstance(dataset, Mapping):
        return {"datasets": [dict(dataset)], **told}
    return {"datasets": [_facts(*one, s3, patience) for one in _origins(dataset)], **told}


def _origins(dataset: Any) -> Iterator[tuple[str, str | None, Any]]:
    """Each place or annotation file of a dataset, its version, and the dataset itself."""
    if isinstance(dataset, (str, os.PathLike)):
        yield _whole(os.fspath(dataset)), None, None
        return
    for inner in _inside(dataset):
        yield from _origins(inner)
    for place, version in getattr(dataset, "origins", ()):
        yield place, version, dataset


def _whole(place: str) -> str:
    """A place as it can be found from elsewhere; as it is where that cannot be told: the working directory is gone."""
    try:
        return place if "://" in place else str(Path(place).expanduser().absolute())
    except (OSError, RuntimeError):
        return place


def _inside(dataset: Any) -> list[Any]:
    """What a dataset of PyTorch, or a loader, is made of."""
    if isinstance(dataset, (list, tuple)):
        return list(dataset)
    inner = getattr(dataset, "dataset", None)
    several = getattr(dataset, "datasets", None)
    return ([] if inner is None else [inner]) + (list(several) if isinstance(several, (list, tuple)) else [])


def _facts(place: str, version: str | None, dataset: Any, s3: S3Settings | None, patience: Patience) -> dict[str, Any]:
    settings = getattr(dataset, "settings", None) or s3
    facts: dict[str, Any] = {"place": place, "version": version, "manifest_sha256": None}
    try:
        if place.lower().endswith(".json"):
            facts |= {"place": place.rpartition("/")[0] or "/", "annotations": place}
            facts["annotations_sha256"] = _digest(facts["place"], place.rpartition("/")[2], settings, patience)
            if found := _PUBLISHED.match(place):
                facts |= {"place": found[1], "version": found[2]}
        facts |= _manifest(facts["place"], facts["version"], settings, patience)
    except VisprepError as problem:
        log.warning("what %s is could not be learned: %s [%s]", place, problem.message, problem.slug)
    except OSError as problem:  # the working directory is gone
        log.warning("what %s is could not be learned: %s", place, problem)
    return facts


def _manifest(
    place: str, version: str | None, settings: S3Settings | None, patience: Patience
) -> dict[str, str | None]:
    """The place that a manifest was written for, this one or the nearest above, with its digest and version."""
    home = place.rstrip("/")
    while home and home not in ("s3:", "s3:/"):
        if home.startswith("s3://"):
            pointer, _ = wait(pointer_of(S3Store(home, settings)), patience)
            if pointer is not None:
                name = version or pointer.version.name
                told = next((one.sha256 for one in pointer.versions if one.name == name), None)
                return {"place": home, "version": name, "manifest_sha256": told}
        sha256 = _digest(home, MANIFEST, settings, patience)
        if sha256 is not None:
            return {"place": home, "manifest_sha256": sha256}
        home = home.rpartition("/")[0]
    return {}


def _digest(home: str, path: str, settings: S3Settings | None, patience: Patience) -> str | None:
    """The SHA-256 of a file; None where there is none, and for an object that does not tell it."""
    store = S3Store(home, settings) if home.startswith("s3://") else LocalStore(home)
    try:
        told = wait(store.hash(path, "sha256"), patience)
    except (FileMissing, PlaceMissing, AccessDenied):  # to who may not list, what is not there is forbidden
        return None
    return told and told.partition(":")[2]
