"""Fingerprinting the images of a place: read and decoded in parallel, and remembered."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from visprep import wire
from visprep.engines import Engine, crew_for, slices
from visprep.engines.local import map_ordered
from visprep.errors import StoreError, VisprepError, WorkerLost, WrongContent
from visprep.fingerprints import ROW, Rows, fingerprint
from visprep.image_loading import IMAGE_BYTES
from visprep.manifest import File, bare_etag
from visprep.print_memory import PrintMemory
from visprep.progress import OnProgress, Pulse, unheard
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import on_this_machine

#: Images that go to a worker together, and their bytes.
_SLICE, _SLICE_BYTES = 256, 64 * 1024 * 1024
#: Images from which on processes of this machine are worth their beginning.
_WORTH = 1_000


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of files, a row each in their order, not `there` for those in `unread`: numbers and what was wrong.

    `remembered` of them were known without decoding.
    """

    rows: Rows
    unread: dict[int, StoreError | WorkerLost]
    remembered: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An image to look at, by its number, and the fingerprint that was of its path before, packed."""

    number: int
    file: File
    before: bytes | None


def fingerprints_of(
    store: Store,
    files: Sequence[File],
    *,
    holder: Store | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    progress: OnProgress = unheard,
) -> Prints:
    """The fingerprints of images, as they were listed: with size and ETag, each path once.

    What is learned is remembered at the place if it is a directory with a `.visprep`, else in the directory of
    `holder`, also when the run is interrupted. Files that cannot be read or decoded are in `unread`; NetworkError,
    CredentialsError and PlaceMissing are raised. `jobs` are threads, None: one a core; an `engine` that spreads looks
    at the images elsewhere, and one that kills its worker is in `unread` too.
    """
    rows = np.zeros(len(files), ROW)
    unread: dict[int, StoreError | WorkerLost] = {}
    fresh = np.zeros(len(files), np.bool_)
    pulse = Pulse(progress)
    with PrintMemory(store, holder) as memory:
        for number, size, etag, row in memory.recall({file.path: number for number, file in enumerate(files)}):
            file = files[number]
            rows[number] = row[0]
            fresh[number] = file.size == size and file.etag is not None and bare_etag(file.etag) == etag
        remembered = done = int(fresh.sum())
        wanted = [
            _Wanted(number, files[number], rows[number].tobytes() if rows["there"][number] else None)
            for number in np.flatnonzero(~fresh).tolist()
        ]
        for number, outcome in _looked_at(store, wanted, jobs, engine):
            done += 1
            if isinstance(outcome, VisprepError):
                rows[number] = np.zeros((), ROW)
                unread[number] = outcome
            else:
                row = np.frombuffer(outcome, ROW)
                rows[number] = row[0]
                memory.learn(files[number], row)
            pulse("Fingerprinting", done, len(files), "images")
    pulse("Fingerprinting", done, len(files), "images", last=True)
    return Prints(rows, dict(sorted(unread.items())), remembered)


_Look: TypeAlias = "tuple[int, bytes | StoreError | WorkerLost]"


def _looked_at(store: Store, wanted: Sequence[_Wanted], jobs: int | None, engine: Engine | None) -> Iterator[_Look]:
    """The fingerprint of each image, packed, or why there is none."""
    engine = crew_for(engine, isinstance(store, LocalStore) and len(wanted) >= _WORTH) if wanted else None
    if engine is None:
        yield from _look(store, wanted, jobs)
        return
    engine.check(store)
    cut = slices(wanted, _SLICE, _SLICE_BYTES, lambda one: one.file.size or 0)
    for looks in engine.map(
        functools.partial(_look_in_worker, store), cut, lost=lambda one, error: (one.number, error)
    ):
        yield from looks


def _look_in_worker(store: Store, wanted: Sequence[_Wanted]) -> list[_Look]:
    return list(_look(store, wanted, None))


def _look(store: Store, wanted: Iterable[_Wanted], jobs: int | None) -> Iterator[_Look]:
    """Look at images in this process."""

    def print_of(item: tuple[_Wanted, bytes | StoreError]) -> _Look:
        one, data = item
        if isinstance(data, StoreError):
            return one.number, data
        if one.before and hashlib.sha256(data).digest() == np.frombuffer(one.before, ROW)["bytes"].tobytes():
            return one.number, one.before  # a link was made to it, or it was copied: only its times are others
        try:
            return one.number, fingerprint(data).row().tobytes()
        except StoreError as error:
            return one.number, error

    def read(one: _Wanted) -> _Look:
        try:
            return print_of((one, wire.wait(_content(store, one.file))))
        except StoreError as error:
            return one.number, error

    if on_this_machine(store):
        yield from map_ordered(read, wanted, jobs)
    else:
        yield from map_ordered(print_of, _fetched(store, wanted), jobs)


def _fetched(store: Store, wanted: Iterable[_Wanted]) -> Iterator[tuple[_Wanted, bytes | StoreError]]:
    """The bytes of files over the network, many at once."""
    for one, outcome in wire.run(((one, _content(store, one.file)) for one in wanted), wire.IN_FLIGHT):
        if isinstance(outcome, VisprepError) and not isinstance(outcome, StoreError):
            raise outcome
        yield one, outcome


async def _content(store: Store, file: File) -> bytes:
    if (file.size or 0) > IMAGE_BYTES:
        raise WrongContent(f"{file.path} has {file.size:,} bytes; an image has {IMAGE_BYTES:,} at the most")
    return await store.read(file.path, 0, None if file.size is None else file.size + 1)
