"""`verify`: whether a place holds what it should, and whether that is any good."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from visprep import wire
from visprep.changes import MARKER, read_manifest, read_record
from visprep.digests import DigestSink, digest_of
from visprep.engines.local import check_count, map_ordered
from visprep.errors import BadRecord, StoreError, UnknownContent, UnknownName, VisprepError
from visprep.findings import Finding, Report
from visprep.formats import tasks
from visprep.manifest import DATASET, MANIFEST, File, Manifest, diff
from visprep.progress import OnProgress, Progress, unheard
from visprep.rules import Depth
from visprep.rules import files as file_rules
from visprep.rules import tasks as task_rules
from visprep.settings import S3Settings
from visprep.stores import Store, is_record, open_store
from visprep.stores.local import LocalStore

A = TypeVar("A")
B = TypeVar("B")

FORMATS = ("tasks",)
#: What the rules of tasks and the rules of files say of one and the same fault.
_SAME_FAULT = {
    task_rules.TASK_FILE_EMPTY.code: file_rules.FILE_SIZE.code,
    task_rules.TASK_FILE_MISSING.code: file_rules.FILE_MISSING.code,
    task_rules.TASK_FILE_UNREADABLE.code: file_rules.FILE_UNREADABLE.code,
}


def verify(
    place: str | os.PathLike[str],
    *,
    as_: str | None = None,
    depth: str | None = None,
    layout: str = "template",
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Report:
    """Check a place against its manifest, where it has one, and against the rules of its format.

    `as_` names the format (`tasks`); left out, it is guessed from what is there, and UnknownContent says that
    nothing was recognized. `depth` is `names`, `sizes`, `headers`, `decode` or `content`; left out, it is `decode`
    on disk and `headers` on S3. `layout` names the files that a task must have.

    What is wrong with the data is in the report; PlaceMissing, NetworkError and CredentialsError are raised.
    """
    check_count("jobs", jobs)
    return _Verification(open_store(os.fspath(place), s3), as_, depth, layout, jobs, progress).report()


class _Verification:
    """One look at one place."""

    def __init__(
        self, store: Store, as_: str | None, depth: str | None, layout: str, jobs: int | None, progress: OnProgress
    ) -> None:
        self.local = isinstance(store, LocalStore)
        self.store, self.jobs, self.progress = store, jobs, progress
        self.as_ = _one_of("format", as_, FORMATS) if as_ else None
        usual = Depth.DECODE if self.local else Depth.HEADERS
        self.depth = Depth(_one_of("depth", depth, tuple(Depth))) if depth else usual
        self.layout = tasks.layout(layout)
        self.unreadable: list[Finding] = []

    def report(self) -> Report:
        listing = [file for file in self.store.list() if not is_record(file.path)]
        found = tasks.find(listing, self._place_name())
        if self.as_ is None and not found.directories:
            raise UnknownContent(
                f"{self.store.place}: nothing here that visprep can check",
                hint="expected {domain}_task/{task_id}/first_frame.png and so on; --as tasks checks it all the same",
            )
        files = [file for file in listing if not file.path.endswith("/") and file.path != DATASET]
        about_tasks = [*task_rules.check_place(found, self.layout), *self._task_findings(found.directories)]
        # A missing frame is one fault, though both the manifest and the layout ask for it
        told = {(_SAME_FAULT.get(finding.code), finding.path) for finding in about_tasks}
        about_files = [one for one in self._record_findings(files) if (one.code, one.path) not in told]
        return Report.of(
            self.store.place,
            about_files + about_tasks,
            checked={"tasks": len(found.directories), "files": len(files)},
            format="tasks",
            depth=self.depth.value,
        )

    def _place_name(self) -> tuple[str, ...]:
        place = os.path.realpath(self.store.place) if self.local else self.store.place
        return tuple(part for part in place.split("/") if part)

    def _record_findings(self, files: list[File]) -> Iterator[Finding]:
        """What the place's own record says against it."""
        if read_record(self.store, MARKER) is not None:
            yield file_rules.PLACE_INCOMPLETE.at(MARKER, "a command that changes this place was begun and not ended")
        try:
            manifest = read_manifest(self.store)
        except BadRecord as error:
            yield file_rules.MANIFEST_DAMAGED.at(MANIFEST, error.message)
            return
        if manifest is None:
            return
        yield from file_rules.check(diff(manifest.files, self._with_digests(files)), self.depth)
        yield from self._dataset_findings(manifest)
        yield from self.unreadable

    def _dataset_findings(self, manifest: Manifest) -> Iterator[Finding]:
        data = read_record(self.store, DATASET)
        if data is None:
            yield file_rules.FILE_MISSING.at(DATASET, "the manifest speaks of it, and it is not there")
        elif digest_of(data) != manifest.dataset:
            yield file_rules.FILE_CHANGED.at(DATASET, "it is not the one that the manifest was written for")

    def _with_digests(self, files: list[File]) -> Iterable[File]:
        """The files with the sha256 of their bytes, read for that, where the depth asks for it."""
        if not self.depth.reaches(Depth.CONTENT):
            return files
        hashed = self._each("Reading", files, lambda file: self._digest(file), "files")
        return sorted(hashed, key=lambda file: file.sort_key)

    async def _digest(self, file: File) -> File:
        hashing = DigestSink()
        try:
            await self.store.fetch(file, hashing)
        except StoreError as error:
            self.unreadable.append(file_rules.FILE_UNREADABLE.at(file.path, error.message))
            return replace(file, digest=None)
        return replace(file, digest=hashing.digest)

    def _task_findings(self, directories: tuple[tasks.TaskDirectory, ...]) -> Iterator[Finding]:
        """Load every task as deep as needed and hold it against the rules."""

        async def findings(directory: tasks.TaskDirectory) -> list[Finding]:
            loaded = await tasks.load(self.store, directory, self.depth.value)
            return task_rules.check(loaded, self.layout, self.depth)

        for found in self._each("Verifying", directories, findings, "tasks"):
            yield from found

    def _each(self, stage: str, items: Sequence[A], work: Callable[[A], wire.Job[B]], unit: str) -> Iterator[B]:
        """`work` of every item: in threads where it is the disk and the processor that it waits for, else in flight."""
        if self.local:
            results = map_ordered(lambda item: wire.wait(work(item)), items, self.jobs)
        else:
            results = _unwrapped(wire.run(((None, work(item)) for item in items), self.jobs or wire.IN_FLIGHT))
        for done, result in enumerate(results, 1):
            self.progress(Progress(stage, done, len(items), unit))
            yield result


def _unwrapped(outcomes: Iterable[tuple[None, B | VisprepError]]) -> Iterator[B]:
    for _, outcome in outcomes:
        if isinstance(outcome, VisprepError):
            raise outcome
        yield outcome


def _one_of(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise UnknownName(f"there is no {what} {str(name)!r}", hint=f"there are: {', '.join(known)}")
    return name
