"""`verify`: whether a place holds what it should, and whether that is any good."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from visprep import wire
from visprep.changes import MARKER, read_manifest, read_record
from visprep.digests import Digester, digest_of
from visprep.engines.local import map_ordered
from visprep.errors import BadRecord, PlaceMissing, UnknownContent, UnknownName, VisprepError
from visprep.findings import Finding, Report
from visprep.formats import tasks
from visprep.manifest import DATASET, MANIFEST, File, Manifest, diff
from visprep.progress import OnProgress, Progress, unheard
from visprep.rules import Depth
from visprep.rules import files as file_rules
from visprep.rules import tasks as task_rules
from visprep.stores import S3Settings, Store, is_record, open_store
from visprep.stores.local import LocalStore

FORMATS = ("tasks",)


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
    return _Verification(open_store(os.fspath(place), s3), as_, depth, layout, jobs, progress).report()


class _Verification:
    """One look at one place."""

    def __init__(
        self, store: Store, as_: str | None, depth: str | None, layout: str, jobs: int | None, progress: OnProgress
    ) -> None:
        self.local = isinstance(store, LocalStore)
        self.store, self.jobs, self.progress = store, jobs, progress
        self.as_ = _one_of("format", as_, FORMATS) if as_ else None
        self.depth = Depth(_one_of("depth", depth, tuple(Depth))) if depth else self._usual_depth()
        self.layout = tasks.layout(layout)

    def _usual_depth(self) -> Depth:
        return Depth.DECODE if self.local else Depth.HEADERS

    def report(self) -> Report:
        listing = [file for file in self.store.list() if not is_record(file.path)]
        found = tasks.find(listing, Path(os.path.realpath(self.store.place)).parts if self.local else ())
        if self.as_ is None and not found.directories:
            raise UnknownContent(
                f"{self.store.place}: nothing here that visprep can check",
                hint="expected {domain}_task/{task_id}/first_frame.png and so on; --as tasks checks it all the same",
            )
        files = [file for file in listing if not file.path.endswith("/") and file.path != DATASET]
        findings = [
            *self._record_findings(files),
            *task_rules.check_place(found, self.layout),
            *self._task_findings(found.directories),
        ]
        checked = {"tasks": len(found.directories), "files": len(files)}
        return Report.of(self.store.place, findings, checked=checked, format="tasks", depth=self.depth.value)

    def _record_findings(self, files: list[File]) -> Iterator[Finding]:
        """What the place's own record says against it."""
        if read_record(self.store, MARKER) is not None:
            yield file_rules.PLACE_INCOMPLETE.at(MARKER, "a command that changes this place was begun and not ended")
        try:
            manifest = read_manifest(self.store)
        except BadRecord as error:
            yield file_rules.MANIFEST_DAMAGED.at(MANIFEST, error.message)
            return
        if manifest is not None:
            yield from file_rules.check(diff(manifest.files, self._with_digests(files)))
            yield from self._dataset_findings(manifest)

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
        return self._each("Reading", files, self._digest)

    async def _digest(self, file: File) -> File:
        hashing = _Hashing()
        await self.store.fetch(file, hashing)
        return replace(file, digest=hashing.digest)

    def _task_findings(self, directories: Iterable[tasks.TaskDirectory]) -> Iterator[Finding]:
        """Load every task as deep as needed and hold it against the rules."""
