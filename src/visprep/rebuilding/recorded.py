"""What is recorded of a dataset: its steps, the digest of its files, and their list where the place is there too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from visprep.copy_ends import name_of
from visprep.digests import digest_of
from visprep.errors import BadPlace, FileMissing, PlaceIncomplete, PlaceMissing
from visprep.manifest import DATASET
from visprep.own_record import Listed, read_record, unfinished
from visprep.provenance import Dataset
from visprep.settings import S3Settings
from visprep.stores import ARCHIVES, Store, open_store
from visprep.stores.local import LocalStore

__all__ = ["Recorded"]


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
            raise PlaceMissing(f"{given}: no such file or directory", hint=f"name a {DATASET}, or the place of one")
        data = read_record(store, name)
        if data is None:
            raise FileMissing(
                f"{store.place.rstrip('/')}/{name}: no such file",
                hint="only what visprep made has one; visprep status PLACE says what is known of a place",
            )
        if name != DATASET:  # a copy, wherever that lies
            return cls(given, name[: -len(".json")] or "dataset", Dataset.load(data, given), None, None)
        if (words := unfinished(store)) is not None:
            raise PlaceIncomplete(
                f"{store.place}: {words} was begun there and not ended",
                hint="run that command again first, so that the place is whole",
            )
        dataset = Dataset.load(data, store.place)
        listed = Listed.read(store)
        if listed and listed.dataset not in (None, digest_of(data)):
            listed = None  # the list of another time
        return cls(given, _called(store), dataset, listed, store)


def _called(store: Store) -> str:
    name = name_of(store).rstrip("/").rpartition("/")[2]
    return next((name[: -len(ending)] for ending in ARCHIVES if name.lower().endswith(ending)), name) or "dataset"
