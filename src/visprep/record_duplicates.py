"""Which records of a dataset are the same by their pictures: what split groups, and what leaks looks for.

How pictures tell records depends on the kind:

- images of COCO and of plain directories, and persons and try-ons of triplets: by bytes, by pixels, and by looks;
- tasks: first frames, by bytes and by pixels, since puzzles of one kind all look alike; pictures of one color do not
  count, as an empty canvas is where many tasks begin;
- episodes: when at least half of the different frames of the one that has fewer are found in the other, by bytes or by
  pixels. Frames of one color do not count, nor do those that more than 1,000 episodes have, such as a title.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from visprep.engines import Engine
from visprep.errors import StoreError, WorkerLost
from visprep.fingerprinting import fingerprints_of
from visprep.fingerprints import ROW, Kind, Rows
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.similar import Components, Ints, classes
from visprep.stores import Store

Digest = bytes
#: Episodes that may have a frame, for it to tell anything.
_COMMON = 1_000


class Recognizable(Protocol):
    """What must be known of records: their kind, and the pictures by which each, told by its number, is recognized."""

    @property
    def kind(self) -> str:
        """What kind of records they are."""
        ...

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """Number of the record, store, file as it is listed; one file may be of several records."""
        ...


@dataclass(frozen=True, slots=True)
class Some:
    """Some records of many, by number."""

    all: Recognizable
    numbers: Collection[int]

    @property
    def kind(self) -> str:
        """See `Recognizable`."""
        return self.all.kind

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """See `Recognizable`."""
        return (one for one in self.all.images() if one[0] in self.numbers)


@dataclass(frozen=True, slots=True)
class DuplicatePair:
    """Two records, by number, that are the same by their pictures; `images` are the paths of the two that tell.

    `distance` is that of the thumbnails in gray levels, 0.0 for copies.
    """

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
    error: StoreError | WorkerLost


@dataclass(frozen=True, slots=True)
class RecordDuplicates:
    """What was found. `pairs` are links whose connected components are the groups, as few as tie them together.

    `bytes`, `pixels`, `looks`: of each record the smallest number of a record that it is the same as by that kind or a
    stricter one (its own where it is alone); each is coarser than the one before, and all are connected components.
    `digests` are the SHA-256 of its pictures that were read, in their order. `images` counts pictures, each file once,
    `compared` pairs of thumbnails that were held against each other, `crowded` those of `similar.Classes`.
    """

    pairs: tuple[DuplicatePair, ...]
    bytes: Ints
    pixels: Ints
    looks: Ints
    unread: tuple[Unread, ...]
    digests: tuple[tuple[Digest, ...], ...]
    images: int
    compared: int = 0
    crowded: int = 0


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of records: `record` and `image` are the two ends of who has which; an image is a file, once."""

    record: Ints
    image: Ints
    files: Sequence[File]
    rows: Rows
    unread: dict[int, StoreError | WorkerLost]


def duplicate_records(
    records: Recognizable,
    count: int,
    *,
    holder: Store | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    progress: OnProgress = unheard,
) -> RecordDuplicates:
    """The records, numbered from 0 to `count`, that share pictures.

    What is learned of a directory that has a `.visprep` is remembered there, of other places in `holder`, if that is a
    directory. `jobs` and `engine` are those of `fingerprints_of`.
    Images that cannot be read are in `unread`. NetworkError, CredentialsError and PlaceMissing are raised.
    """
    pictures = _pictures(records, holder, jobs, engine, progress)
    shown = pictures.rows.copy() if records.kind in ("tasks", "frames") else pictures.rows
    if shown is not pictures.rows:
        shown["there"] &= ~shown["one_color"]
    found = classes(shown, perceptual=shown is pictures.rows)
    joined = Components(count)
    reached: list[Ints] = []
    pairs: list[DuplicatePair] = []
    for kind, by in ((Kind.BYTES, found.bytes), (Kind.PIXELS, found.pixels), (Kind.PERCEPTUAL, found.looks)):
        if records.kind == "frames":
            links = iter(()) if kind is Kind.PERCEPTUAL else _episodes(pictures, by, shown["there"])
        else:
            linked = [(pair.first, pair.second, pair.distance) for pair in found.pairs if pair.kind is kind]
            links = _images(pictures, linked, shown["there"], once=kind is Kind.BYTES)
        for one, other, distance, paths in links:
            if joined.join(one, other):
                ordered = (one, other) if one < other else (other, one)
                pairs.append(DuplicatePair(*ordered, kind, distance, paths if one < other else paths[::-1]))
        reached.append(joined.firsts())
    by_bytes, by_pixels, by_looks = reached
    unread, digests = _told(pictures, count)
    return RecordDuplicates(
        tuple(pairs),
        by_bytes,
        by_pixels,
        by_looks,
        unread,
        digests,
        len(pictures.files),
        found.compared,
        found.crowded,
    )


def _pictures(
    records: Recognizable, holder: Store | None, jobs: int | None, engine: Engine | None, progress: OnProgress
) -> _Pictures:
    """Look at the pictures of all records, those of a store together."""
    stores: dict[str, Store] = {}
    of_store: defaultdict[str, list[int]] = defaultdict(list)
    numbers: dict[tuple[str, str], int] = {}
    files: list[File] = []
    ends: tuple[list[int], list[int]] = ([], [])
    for record, store, file in records.images():
        number = numbers.setdefault((store.place, file.path), len(files))
        if number == len(files):
            stores.setdefault(store.place, store)
            of_store[store.place].append(number)
            files.append(file)
        ends[0].append(record)
        ends[1].append(number)
    rows = np.zeros(len(files), ROW)
    unread: dict[int, StoreError | WorkerLost] = {}
    for place, here in of_store.items():
        prints = fingerprints_of(
            stores[place],
            [files[number] for number in here],
            holder=holder,
            jobs=jobs,
            engine=engine,
            progress=progress,
        )
        rows[here] = prints.rows
        unread |= {here[number]: error for number, error in prints.unread.items()}
    return _Pictures(np.array(ends[0], np.intp), np.array(ends[1], np.intp), files, rows, unread)


_Link = tuple[int, int, float, tuple[str, str]]


def _images(
    pictures: _Pictures, linked: Sequence[tuple[int, int, float]], shown: Rows, *, once: bool
) -> Iterator[_Link]:
    """Ties of records by pictures that are the same; with `once` also of those that have the very same file."""
    owner = np.full(len(pictures.files), -1)
    owner[pictures.image[::-1]] = pictures.record[::-1]  # the first of its owners stays
    if once:
        again = np.flatnonzero((owner[pictures.image] != pictures.record) & shown[pictures.image])
        for record, image in zip(pictures.record[again].tolist(), pictures.image[again].tolist(), strict=True):
            path = pictures.files[image].path
            yield int(owner[image]), record, 0.0, (path, path)
    for one, other, distance in linked:
        yield int(owner[one]), int(owner[other]), distance, (pictures.files[one].path, pictures.files[other].path)


def _episodes(pictures: _Pictures, by: Ints, shown: Rows) -> Iterator[_Link]:
    """Ties of episodes that share half of their frames; `by` is the class of each frame."""
    frames: defaultdict[int, dict[int, int]] = defaultdict(dict)  # of each episode: a frame of each class
    for record, image in zip(pictures.record.tolist(), pictures.image.tolist(), strict=True):
        if shown[image]:
            frames[record].setdefault(int(by[image]), image)
    same: dict[frozenset[int], int] = {}
    for record in sorted(frames):
        first = same.setdefault(frozenset(frames[record]), record)
        if first != record:  # so that many copies of one episode are no pairs of each with each
            yield _shared(pictures, frames, first, record)
    often = Counter(frame for record in same.values() for frame in frames[record])
    having: defaultdict[int, list[int]] = defaultdict(list)
    for record in same.values():
        telling = [frame for frame in frames[record] if 1 < often[frame] <= _COMMON]
        for other, common in Counter(one for frame in telling for one in having[frame]).items():
            if 2 * common >= min(len(frames[record]), len(frames[other])):
                yield _shared(pictures, frames, other, record)
        for frame in telling:
            having[frame].append(record)


def _shared(pictures: _Pictures, frames: dict[int, dict[int, int]], one: int, other: int) -> _Link:
    frame = min(frames[one].keys() & frames[other].keys())
    paths = pictures.files[frames[one][frame]].path, pictures.files[frames[other][frame]].path
    return one, other, 0.0, paths


def _told(pictures: _Pictures, count: int) -> tuple[tuple[Unread, ...], tuple[tuple[bytes, ...], ...]]:
    """What could not be read, and the digests of what could."""
    digests: list[list[bytes]] = [[] for _ in range(count)]
    unread = []
    for record, image in zip(pictures.record.tolist(), pictures.image.tolist(), strict=True):
        if image in pictures.unread:
            unread.append(Unread(record, pictures.files[image], pictures.unread[image]))
        else:
            digests[record].append(pictures.rows["bytes"][image].tobytes())
    return tuple(unread), tuple(map(tuple, digests))
