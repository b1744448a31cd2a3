"""`diff`: how two places, or two annotation files, differ: their files, and what these say of the records."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

from visprep import split_file, wire
from visprep.coco_file import is_one, opened
from visprep.differences import (
    Difference,
    FileDifference,
    NotCompared,
    RecordDifference,
    annotation_files,
    splits,
    tasks,
)
from visprep.differences.annotation_files import FilePair
from visprep.digests import DigestSink
from visprep.engines.local import check_count
from visprep.errors import BadRecord, FileMissing, UnknownContent, UsageError
from visprep.known_files import Memory, known_files
from visprep.manifest import DATASET, RECORD_DIR, File
from visprep.own_record import Listed, read_dataset
from visprep.plans import Action, Operation, plan
from visprep.progress import OnProgress, Progress, unheard
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.local import LocalStore


def diff(
    a: str | os.PathLike[str],
    b: str | os.PathLike[str],
    *,
    iou: float = 0.5,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Iterator[Difference]:
    """How two places differ: every file, in order of path, and after that what the files that differ say of records.

    Of files it is told which only one place has, and which have other bytes: digests that are known are compared; what
    no digest is known of is read on both sides. visprep's own record of two places is not compared. Of COCO JSON it is
    told which images, annotations and classes differ, of a split which record is in another part, of tasks which differ
    and how their prompts do. Annotations are the same by their id, and where ids were renumbered by image, class and
    box: boxes that overlap by `iou` (intersection over union, above 0 and at most 1) may be the same one.

    `a` and `b` may be two JSON files: annotation files, or two split.json. PlaceMissing or FileMissing when one of them
    is not there; UnknownContent for a JSON file that is neither. UsageError for a file and a place.
    """
    check_count("jobs", jobs)
    if not 0 < iou <= 1 or math.isnan(iou):
        raise UsageError(f"an overlap of {iou} says nothing", hint="--iou takes a number above 0, and at most 1")
    name_a, name_b = os.fspath(a), os.fspath(b)
    if is_one(name_a) != is_one(name_b):
        raise UsageError(f"{name_a} and {name_b}: one is a JSON file, the other a place", hint="name two of a kind")
    if is_one(name_a):
        yield from _between_files(name_a, name_b, iou, s3)
        return
    left, right = open_store(name_a, s3), open_store(name_b, s3)
    noted = _Noted()
    ours = all(_has_record(store) for store in (left, right))  # then dataset.json tells of each place its own history
    with _memory(left) as left_memory, _memory(right) as right_memory:
        operations = plan(
            _files(left, left_memory, ours), _files(right, right_memory, ours), left, right, delete=True, jobs=jobs
        )
        for done, one in enumerate(operations, 1):
            progress(Progress("Comparing", done, None))
            difference = _of_file(one, left, right)
            noted.take(one, difference)
            if difference:
                yield difference
            elif one.have:
                left_memory.learn(one.file)
                right_memory.learn(one.have)
    yield from noted.differences(left, right, iou, progress)


@dataclass
class _Noted:
    """What differs and may tell of records, noted while files come by."""

    directories: tasks.TaskDirectories = field(default_factory=tasks.TaskDirectories)
    in_a: set[str] = field(default_factory=set)
    in_b: set[str] = field(default_factory=set)
    same: set[str] = field(default_factory=set)

    def take(self, one: Operation, difference: FileDifference | None) -> None:
        path = one.file.path
        in_a, in_b = one.action is not Action.DELETE, one.action is not Action.CREATE
        self.directories.take(path, in_a, in_b, difference is not None)
        if difference and path.endswith(".json"):
            for there, paths in ((in_a, self.in_a), (in_b, self.in_b)):
                if there:
                    paths.add(path)
        elif path.endswith(".json") and in_a:
            self.same.add(path)

    def differences(self, left: Store, right: Store, iou: float, progress: OnProgress) -> Iterator[RecordDifference]:
        changed = {path for path in self.in_a & self.in_b if path.rpartition("/")[2] == split_file.SPLIT}
        pools = annotation_files.found(self.in_a, self.in_b, left, right)
        same = partial(annotation_files.same, self.same, left)
        yield from annotation_files.differences(pools, iou, not changed, same, progress)
        for path in sorted(changed):
            try:
                was, now = (wire.wait(store.read(path)) for store in (left, right))
                yield from splits.differences(was, now, path)
            except BadRecord as problem:
                yield NotCompared("not-compared", path, problem.message)
        yield from tasks.differences(self.directories.changes(), left, right)


def _between_files(a: str, b: str, iou: float, s3: S3Settings | None) -> Iterator[Difference]:
    """How two JSON files differ; nothing when they are the same bytes."""
    pair = FilePair(opened(a, s3), opened(b, s3))
    sizes = []
    for given, file in ((a, pair.a), (b, pair.b)):
        assert file
        try:
            sizes.append(file.size)
        except FileMissing as problem:
            raise FileMissing(f"{given}: no such file", hint=problem.hint or "check the path") from problem
    assert pair.a
    assert pair.b
    if _digest(pair.a.store, pair.a.name) == _digest(pair.b.store, pair.b.name):
        return
    yield FileDifference("changed", pair.path, *sizes)
    if all(file.name.rpartition("/")[2] == split_file.SPLIT for file in (pair.a, pair.b)):
        was, now = (wire.wait(one.store.read(one.name)) for one in (pair.a, pair.b))
        yield from splits.differences(was, now, pair.path)
        return
    for one in annotation_files.differences([[pair]], iou, moves=True):
        if isinstance(one, NotCompared):
            raise UnknownContent(one.why, hint="name two COCO annotation files, two split.json, or two places")
        yield one


def _of_file(one: Operation, left: Store, right: Store) -> FileDifference | None:
    have = one.have.size if one.have else None
    if one.action is Action.CREATE:
        return FileDifference("removed", one.file.path, one.file.size, None)
    if one.action is Action.DELETE:
        return FileDifference("added", one.file.path, None, have)
    if one.action is Action.REPLACE and not (one.unsure and _equal(one.file, left, right)):
        return FileDifference("changed", one.file.path, one.file.size, have)
    return None


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
    return _digest(left, file.path) == _digest(right, file.path)


def _digest(store: Store, path: str) -> str:
    sink = DigestSink()
    wire.wait(store.fetch(File(path), sink))
    return sink.digest
