"""Fingerprinting the images of a place: read and decoded in parallel, and remembered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.fingerprints import ROW, Rows, fingerprint
from visprep.image_loading import IMAGE_BYTES
from visprep.manifest import File, bare_etag
from visprep.print_memory import PrintMemory
from visprep.progress import OnProgress, Pulse, unheard
from visprep.stores import Store
from visprep.transfer import on_this_machine


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of files, a row each in their order, not `there` for those in `unread`: numbers and what was wrong.

    `remembered` of them were known without decoding.
    """

    rows: Rows
    unread: dict[int, StoreError]
    remembered: int


def fingerprints_of(
    store: Store,
    files: Sequence[File],
    *,
    holder: Store | None = None,
    jobs: int | None = None,
    progress: OnProgress = unheard,
) -> Prints:
    """The fingerprints of images, as they were listed: with size and ETag, each path once.

    What is learned is remembered at the place if it is a directory with a `.visprep`, else in the directory of
    `holder`, also when the run is interrupted. Files that cannot be read or decoded are in `unread`; NetworkError,
    CredentialsError and PlaceMissing are raised. `jobs` are threads, None: one a core.
    """
    rows = np.zeros(len(files), ROW)
    unread: dict[int, StoreError] = {}
    fresh = np.zeros(len(files), np.bool_)
    pulse = Pulse(progress)
    with PrintMemory(store, holder) as memory:
        for number, size, etag, row in memory.recall({file.path: number for number, file in enumerate(files)}):
            file = files[number]
            rows[number] = row[0]
            fresh[number] = file.size == size and file.etag is not None and bare_etag(file.etag) == etag
        remembered = done = int(fresh.sum())
        for number, outcome in _looked_at(store, files, np.flatnonzero(~fresh).tolist(), rows, jobs):
            done += 1
            if isinstance(outcome, StoreError):
                rows[number] = np.zeros((), ROW)
                unread[number] = outcome
            else:
                rows[number] = outcome[0]
                memory.learn(files[number], outcome)
            pulse("Fingerprinting", done, len(files), "images")
    pulse("Fingerprinting", done, len(files), "images", last=True)
    return Prints(rows, dict(sorted(unread.items())), remembered)


def _looked_at(
    store: Store, files: Sequence[File], numbers: Iterable[int], rows: Rows, jobs: int | None
) -> Iterator[tuple[int, Rows | StoreError]]:
    """The fingerprint of each file, or why there is none. `rows` are those that were of its path before."""

    def print_of(item: tuple[int, bytes | StoreError]) -> tuple[int, Rows | StoreError]:
        number, data = item
        if isinstance(data, StoreError):
            return number, data
        before = rows[number : number + 1]
        if before["there"][0] and hashlib.sha256(data).digest() == before["bytes"].tobytes():
            return number, before.copy()  # a link was made to it, or it was copied: only its times are others
        try:
            return number, fingerprint(data).row()
        except StoreError as error:
            return number, error

    def read(number: int) -> tuple[int, Rows | StoreError]:
        try:
            return print_of((number, wire.wait(_content(store, files[number]))))
        except StoreError as error:
            return number, error

    if on_this_machine(store):
        yield from map_ordered(read, numbers, jobs)
    else:
        yield from map_ordered(print_of, _fetched(store, files, numbers), jobs)


def _fetched(store: Store, files: Sequence[File], numbers: Iterable[int]) -> Iterator[tuple[int, bytes | StoreError]]:
    """The bytes of files over the network, many at once."""
    wanted = ((number, _content(store, files[number])) for number in numbers)
    for number, outcome in wire.run(wanted, wire.IN_FLIGHT):
        if isinstance(outcome, VisprepError) and not isinstance(outcome, StoreError):
            raise outcome
        yield number, outcome


async def _content(store: Store, file: File) -> bytes:
    if (file.size or 0) > IMAGE_BYTES:
        raise WrongContent(f"{file.path} has {file.size:,} bytes; an image has {IMAGE_BYTES:,} at the most")
    return await store.read(file.path, 0, None if file.size is None else file.size + 1)
