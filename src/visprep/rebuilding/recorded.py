"""What is recorded of a dataset: its steps, the digest of its files, and their list where the place is there too."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from visprep import wire
from visprep.copy_ends import name_of
from visprep.digests import digest_of
from visprep.errors import BadPlace, BadRecord, FileMissing, PlaceIncomplete, PlaceMissing
from visprep.formats.coco_place import beginning
from visprep.manifest import DATASET
from visprep.own_record import Listed, read_record, unfinished
from visprep.provenance import FORMAT_VERSION, Dataset
from visprep.settings import S3Settings
from visprep.split_file import SPLIT
from visprep.stores import ARCHIVES, Store, open_store
from visprep.stores.local import LocalStore

__all__ = ["Recorded"]


_NAME_ONE = f"name a {DATASET} that visprep wrote, or the place of one"
#: Directories above an annotation file in which its place is looked for, and places below one that are named.
_ABOVE, _SHOWN = 3, 3
#: Bytes with which a `dataset.json` has said that it is one.
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """The record of a dataset: `given` as it was named, `listed` None where only its `dataset.json` is known.

    `store` is where it lies, None where that is a file under another name.
    """

    given: str
    name: str
    dataset: Dataset
    listed: Listed | None
    store: Store | None

    @classmethod
    def read(cls, given: str, s3: S3Settings | None) -> Recorded:
        """The record that a place has, or that a file is; PlaceMissing, FileMissing or BadRecord when there is none.

        PlaceIncomplete when a command was begun at the place, and not ended.
        """
        home, slash, name = given.rpartition("/")
        far = "://" in given
        if name.lower().endswith(".json") and (far or Path(given).is_file() or name == DATASET):
            if far and not home.partition("://")[2]:
                raise BadPlace(f"{given!r} names no file in a bucket", hint=f"s3://bucket/prefix/{DATASET}")
            home = home or slash or "."
        else:
            home, name = given, DATASET
        store = open_store(home, s3)
        if isinstance(store, LocalStore) and not store.root.is_dir():
            if store.root.is_file():
                raise BadRecord(f"{given}: it is a file, and no {DATASET}", hint=_NAME_ONE)
            raise PlaceMissing(f"{given}: no such file or directory", hint=_NAME_ONE)
        if name != DATASET:  # a copy, wherever that lies
            dataset = _dataset(_read(store, name), given)
            return cls(given, name[: -len(".json")] or "dataset", dataset, None, None)
        if (words := unfinished(store)) is not None:
            raise PlaceIncomplete(
                f"{store.place}: {words} was begun there and not ended",
                hint="run that command again first, so that the place is whole",
            )
        data = _read(store, name)
        dataset = _dataset(data, given)
        listed = Listed.read(store)
        if listed and listed.dataset not in (None, digest_of(data)):
            listed = None  # the list of another time
        return cls(given, _called(store), dataset, listed, store)


def _read(store: Store, name: str) -> bytes:
    """The bytes of what should be a `dataset.json`; an annotation file, which may be large, is not read whole.

    FileMissing when it is not there, PlaceMissing when nothing is; BadRecord for an annotation file.
    """
    path = f"{store.place.rstrip('/')}/{name}"
    head = read_record(store, name, 0, _HEAD_BYTES)
    if head and b'"format_version"' not in head and (kind := wire.wait(beginning(store, name))):
        what = "COCO annotation file" if kind == "coco" else "list of results"
        raise BadRecord(f"{path}: it is a {what}, and no {DATASET}", hint=_near(store))
    data = read_record(store, name) if head else head
    if data is None:
        next(iter(store.list()), None)  # a bucket or an archive that is not there says so itself
        raise FileMissing(f"{path}: no such file", hint=_below(store))
    return data


def _dataset(data: bytes, given: str) -> Dataset:
    """What is in a `dataset.json`; BadRecord that says what it is instead."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{given}: it is no JSON ({error}), and so no {DATASET}", hint=_NAME_ONE) from None
    if not isinstance(document, dict):
        raise BadRecord(f"{given}: it is JSON, and no {DATASET}", hint=_NAME_ONE)
    if "members" in document and "parts" in document:
        hint = f"the {DATASET} beside it tells how the split was made: name that, or its directory"
        raise BadRecord(f"{given}: it is a {SPLIT}, and no {DATASET}", hint=hint)
    if lacking := [key for key in ("format_version", "steps", "files") if key not in document]:
        raise BadRecord(f"{given}: it is JSON, and no {DATASET}: it has no '{lacking[0]}'", hint=_NAME_ONE)
    try:
        return Dataset.load(data, given)
    except BadRecord as problem:
        newer = document["format_version"] != FORMAT_VERSION
        hint = "use the visprep that wrote it, or a newer one" if newer else f"{_NAME_ONE} that was not edited"
        raise BadRecord(problem.message, hint=hint) from None


def _near(store: Store) -> str:
    """What may have been meant by an annotation file: the place that it lies in."""
    if isinstance(store, LocalStore):
        for place in (store.place, *map(os.fspath, Path(store.place).parents[:_ABOVE])):
            if Path(place, DATASET).is_file():
                return f"did you mean the place that it lies in? {shlex.join(['visprep', 'rebuild', place])}"
    return _NAME_ONE


def _below(store: Store) -> str:
    """What may have been meant by a directory: places in it."""
    if isinstance(store, LocalStore):
        with contextlib.suppress(OSError):
            if places := sorted(os.fspath(one.parent) for one in Path(store.place).glob(f"*/{DATASET}")):
                return f"did you mean {' or '.join(places[:_SHOWN])}?"
    return "only what visprep made has one; visprep status PLACE says what is known of a place"


def _called(store: Store) -> str:
    name = name_of(store).rstrip("/").rpartition("/")[2]
    return next((name[: -len(ending)] for ending in ARCHIVES if name.lower().endswith(ending)), name) or "dataset"
