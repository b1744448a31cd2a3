"""`diff`: how the files of two places differ."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from visprep import wire
from visprep.digests import DigestSink
from visprep.engines.local import check_count
from visprep.errors import BadRecord
from visprep.known import Memory, known_files
from visprep.manifest import DATASET, RECORD_DIR, File
from visprep.own_record import Listed, read_dataset
from visprep.plans import Action, plan
from visprep.progress import OnProgress, Progress, unheard
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.local import LocalStore


@dataclass(frozen=True, slots=True)
class FileDifference:
    """One path that differs: `change` is `removed` (only in A), `added` (only in B) or `changed`; sizes in bytes."""

    change: str
    path: str
    size_a: int | None
    size_b: int | None


def diff(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Iterator[FileDifference]:
    """Every file that only one of two places has, or that has other bytes there, in order of path.

    Digests that are known are compared; what no digest is known of is read on both sides. visprep's own record of two
    places is not compared. PlaceMissing when one of the places is not there.
    """
    check_count("jobs", jobs)
    left, right = open_store(os.fspath(a), s3), open_store(os.fspath(b), s3)
    ours = all(_has_record(store) for store in (left, right))  # then dataset.json tells of each place its own history
    with _memory(left) as left_memory, _memory(right) as right_memory:
        operations = plan(
            _files(left, left_memory, ours), _files(right, right_memory, ours), left, right, delete=True, jobs=jobs
        )
        for done, one in enumerate(operations, 1):
            progress(Progress("Comparing", done, None))
            have = one.have.size if one.have else None
            if one.action is Action.CREATE:
                yield FileDifference("removed", one.file.path, one.file.size, None)
            elif one.action is Action.DELETE:
                yield FileDifference("added", one.file.path, None, have)
            elif one.action is Action.REPLACE and not (one.unsure and _equal(one.file, left, right)):
                yield FileDifference("changed", one.file.path, one.file.size, have)
            elif one.have:
                left_memory.learn(one.file)
                right_memory.learn(one.have)


def _memory(store: Store) -> Memory:
    """What is remembered of a place; a directory without a record of ours is only looked at."""
    return Memory(store, store if isinstance(store, LocalStore) and (store.root / RECORD_DIR).is_dir() else None)


def _has_record(store: Store) -> bool:
    try:
        return read_dataset(store) is not None
    except BadRecord:  # somebody else's
        return False


def _files(store: Store, memory: Memory, ours: bool) -> Iterator[File]:
    """The files of a place; empty directories and marker keys are none."""
    listed = None if isinstance(store, LocalStore) else Listed.read(store)
    for file in known_files(store, listed, memory):
        if file.size is None and isinstance(store, LocalStore):
            wire.wait(store.stat(file.path))  # it says why it cannot be read
        if not (ours and file.path == DATASET) and (file.size or not file.path.endswith("/")):
            yield file


def _equal(file: File, left: Store, right: Store) -> bool:
    """Whether both sides have the same bytes, found out by reading them."""
    digests = []
    for store in (left, right):
        sink = DigestSink()
        wire.wait(store.fetch(File(file.path), sink))
        digests.append(sink.digest)
    return digests[0] == digests[1]
