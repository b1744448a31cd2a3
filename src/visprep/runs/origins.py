"""What a training was trained on: which dataset, by its manifest, and which commit of the code."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from visprep import git
from visprep.digests import digest_of
from visprep.errors import FileMissing, PlaceMissing, StoreError, VisprepError
from visprep.manifest import MANIFEST
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.published import PlaceStore
from visprep.stores.s3 import S3Store
from visprep.wire import wait

log = logging.getLogger("visprep.runs")

_PUBLISHED = re.compile(r"(.*?)/versions/([^/]+)/")


def trained_on(dataset: Any, *, s3: S3Settings | None = None) -> dict[str, Any]:
    """What `dataset` is, and the commit of the working directory, as plain data that a checkpoint can carry.

    `dataset` is one of visprep's datasets, what wraps one (a DataLoader, a `Subset`, a `ConcatDataset`), the place that
    it lies at, or a mapping that is kept as it is. `datasets` of the result has one entry for each place: `place`,
    `version` where it is published, `manifest_sha256` of the manifest that visprep wrote there or above, and of a COCO
    dataset `annotations` and their `annotations_sha256`. `commit` is git's, `dirty` whether files that git knows
    differ from it. What cannot be learned is None and logged: a training does not stop for it.
    """
    code = git.head(str(Path.cwd()))
    told: dict[str, Any] = {"commit": code[0], "dirty": code[1]} if code else {"commit": None, "dirty": None}
    if isinstance(dataset, Mapping):
        return {"datasets": [dict(dataset)], **told}
    return {"datasets": [_facts(*one, s3) for one in _origins(dataset)], **told}


def _origins(dataset: Any) -> Iterator[tuple[str, str | None, Any]]:
    """Each place or annotation file of a dataset, its version, and the dataset itself."""
    if isinstance(dataset, (str, os.PathLike)):
        place = os.fspath(dataset)
        yield (place if "://" in place else str(Path(place).expanduser().absolute())), None, None
        return
    for inner in _inside(dataset):
        yield from _origins(inner)
    for place, version in getattr(dataset, "origins", ()):
        yield place, version, dataset


def _inside(dataset: Any) -> list[Any]:
    """What a dataset of PyTorch, or a loader, is made of."""
    if isinstance(dataset, (list, tuple)):
        return list(dataset)
    inner = getattr(dataset, "dataset", None)
    several = getattr(dataset, "datasets", None)
    return ([] if inner is None else [inner]) + (list(several) if isinstance(several, (list, tuple)) else [])


def _facts(place: str, version: str | None, dataset: Any, s3: S3Settings | None) -> dict[str, Any]:
    settings = getattr(dataset, "settings", None) or s3
    facts: dict[str, Any] = {"place": place, "version": version, "manifest_sha256": None}
    try:
        if place.lower().endswith(".json"):
            facts["place"], _, _ = place.rpartition("/")
            facts |= {"annotations": place, "annotations_sha256": _content(place, settings)}
            if found := _PUBLISHED.match(place):
                facts["place"], facts["version"] = found[1], found[2]
        facts |= _manifest(facts["place"], settings)
    except VisprepError as problem:
        log.warning("what %s is could not be learned: %s [%s]", place, problem.message, problem.slug)
    facts["version"] = version or facts["version"]
    return facts


def _manifest(place: str, settings: S3Settings | None) -> dict[str, str | None]:
    """The place that a manifest was written for, this one or the nearest above, with its digest and version."""
    store = open_store(place or ".", settings)
    if isinstance(store, PlaceStore):
        store.locate()
        if store.version is not None:
            return {"version": store.version.name, "manifest_sha256": store.version.sha256}
    home = store.place.rstrip("/")
    while home and home not in ("s3:", "s3:/"):
        sha256 = _sha256(S3Store(home, settings) if home.startswith("s3://") else open_store(home, settings))
        if sha256 is not None:
            return {"place": home, "manifest_sha256": sha256}
        home = home.rpartition("/")[0]
    return {}


def _sha256(store: Store) -> str | None:
    """The digest of the manifest of a place; None when it has none."""
    try:
        told = wait(store.hash(MANIFEST, "sha256"))
        return (told or digest_of(wait(store.read(MANIFEST)))).partition(":")[2]
    except (FileMissing, PlaceMissing):
        return None
    except StoreError:  # to who may not list, S3 says "forbidden" of what is not there
        return None


def _content(name: str, settings: S3Settings | None) -> str | None:
    """The digest of an annotation file; of an object that tells none, None: it may be large."""
    home, _, base = name.rpartition("/")
    told = wait(open_store(home or "/", settings).hash(base, "sha256"))
    return told and told.partition(":")[2]
