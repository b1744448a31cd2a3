"""Which records of a dataset are the same by their pictures: what split groups, and what leaks looks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from visprep.errors import VisprepError
from visprep.fingerprints import Kind
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.similar import Ints
from visprep.stores import Store


class Recognizable(Protocol):
    """What must be known of records: their kind, and the pictures by which each, told by its number, is recognized."""

    kind: str

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """Number of the record, store, file."""
        ...


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two records, by number, that are the same by their pictures; `images` are the paths of the two that tell."""

    first: int
    second: int
    kind: Kind
    distance: float
    images: tuple[str, str]


@dataclass(frozen=True, slots=True)
class Unread:
    """A picture that could not be read or decoded."""

    record: int
    file: File
    error: VisprepError


@dataclass(frozen=True, slots=True)
class RecordDuplicates:
    """What was found. `pairs` are links whose connected components are the groups, never all pairs.

    `bytes`, `pixels`, `looks`: of each record the smallest number of a record that it is the same as by that kind or a
    stricter one (its own where it is alone); each is coarser than the one before.
    """

    pairs: tuple[DuplicatePair, ...]
    bytes: Ints
    pixels: Ints
    looks: Ints
    unread: tuple[Unread, ...]
    images: int


def duplicate_records(
    records: Recognizable,
    count: int,
    *,
    holder: Store | None = None,
    jobs: int | None = None,
    progress: OnProgress = unheard,
) -> RecordDuplicates:
    """The records, numbered from 0 to `count`, that share pictures.

    What is learned of a directory is remembered in its cache, and of S3 in that of `holder`, if that is a directory.
    Images that cannot be read are in `unread`. NetworkError and CredentialsError are raised.
    """
    raise NotImplementedError
