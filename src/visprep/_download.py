"""`download`: a source, or another place, into a place."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import provenance, sources, wire
from visprep._copy import CopyResult, copy_place, incomplete, would_overwrite
from visprep.changes import CACHE, PlaceChange, begin, write_journal
from visprep.digests import digest_of
from visprep.engines.local import map_ordered
from visprep.errors import (
    NothingConverted,
    PlaceMissing,
    SourceError,
    UsageError,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.formats import tasks
from visprep.manifest import DATASET, Change, File, diff
from visprep.progress import OnProgress, Progress, unheard
from visprep.records import Skipped, Task
from visprep.settings import S3Settings
from visprep.shards import ShardReader
from visprep.sources import Selection, Source, Upstream
from visprep.stores import Store, data_files, open_store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

log = logging.getLogger("visprep.download")


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What a download from a source did. `skipped` counts upstream's rows that became no task, by reason."""

    source: str
    target: str
    revision: str | None
    tasks: int = 0
    files: int = 0
    kept: int = 0
    skipped: dict[str, int] = field(default_factory=dict)


def download(
    source: str,
    output: str | os.PathLike[str] | None = None,
    *,
    split: str | Sequence[str] = (),
    limit: int | None = None,
    config: str | Sequence[str] = (),
    layout: str = "template",
    revision: str | None = None,
    overwrite: bool = False,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> DownloadResult | CopyResult:
    """Bring a source (`videothinkbench`, `sample`) or a place (`s3://bucket/prefix`) to `output`.

    `split` and `config` name several at once with commas or as a sequence; `limit` is the number of tasks to write of
    each split, in upstream's order. `output` is `data/questions` for a source, `data/{last part}` for a place, unless
    given. Interrupted, the same call goes on where it stopped; repeated, it does nothing. Files that visprep did not
    write, or that changed since, are replaced only with `overwrite`.

    UnknownName and UsageError for what does not exist, SourceError and NetworkError when upstream fails,
    NothingConverted when not one task came of it, Incomplete when some files failed.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: at least 1", hint="leave it out to take everything")
    target = open_store(os.fspath(output or default_output(source)), s3)
    if _is_place(source):
        if split or limit or config or revision:
            raise UsageError(
                f"{source} is a place: --split, --limit, --config and --revision are for sources", hint="leave them out"
            )
        return copy_place(
            open_store(source, s3), target, "download", may_replace=overwrite, jobs=jobs, progress=progress
        )
    tasks.layout(layout)  # a wrong name must show before anything else happens
    selection = Selection(_names(split), _names(config), limit, revision, layout)
    return _SourceDownload(sources.get(source), selection, target, overwrite, jobs, progress).run()


def default_output(source: str) -> str:
    """Where a download goes when nobody says: `data/questions` for tasks, `data/{last part}` for a place."""
    if _is_place(source):
        return f"data/{source.rstrip('/').rpartition('/')[2]}"
    return "data/questions"


def _is_place(source: str) -> bool:
    return "://" in source or (("/" in source or source in (".", "..")) and not source.startswith("hf:"))


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


#: What reads a shard, and so might one day change what is written.
_PACKAGES = ("datasets", "huggingface-hub", "pyarrow")


class _SourceDownload:
    """One download of one selection of a source into one place."""

    def __init__(
        self,
        source: Source,
        selection: Selection,
        target: Store,
        overwrite: bool,
        jobs: int | None,
        progress: OnProgress,
    ) -> None:
        self.source, self.selection, self.target = source, selection, target
        self.overwrite, self.jobs, self.progress = overwrite, jobs, progress
        self.skipped: Counter[str] = Counter()
        self.tasks = 0
        self.present: dict[str, File] = {}

    def run(self) -> DownloadResult:
        upstream = self.source.resolve(self.selection)
        step = self._step(upstream)
        with begin(self.target, step, overwrite=self.overwrite) as change:
            self.present = {file.path: file for file in _listed(self.target)}
            if change.repeats and not change.resumed and self._whole(change):
                counts = change.dataset.steps[-1].counts if change.dataset else {}
                return self._result(upstream, tasks=counts.get("tasks", 0), kept=len(self.present))
            with _cache_of(self.target) as cache:
                reader = ShardReader(upstream, cache, self.selection.limit, self.progress)
                reader.check_space()
                change.mark()
                files = self._convert(change, upstream, reader)
                if files:
                    return self._finish(change, upstream, files)
            change.abandon()
            raise self._nothing()

    def _step(self, upstream: Upstream) -> provenance.Step:
        options = {
            "config": list(self.selection.configs),
            "limit": self.selection.limit,
            "layout": self.selection.layout,
        }
        return provenance.step(
            "download",
            self.source.name,
            packages=("numpy", "pillow", *(_PACKAGES if upstream.store else ())),
            revision=upstream.revision,
            splits=self.selection.splits or self.source.default_splits,
            options={key: value for key, value in options.items() if value},
            license=self.source.license,
        )

    def _whole(self, change: PlaceChange) -> bool:
        """Whether everything that the manifest promises is there; a changed file stops us unless we may replace it."""
        if change.manifest is None:
            return False
        changed = []
        present = map_ordered(self._hashed, self.present.values(), self.jobs)
        for difference in diff(change.manifest.files, present):
            if difference.change is Change.MISSING:
                return False
            if difference.change in (Change.SIZE, Change.CONTENT):
                changed.append(difference.path)
        if changed and not self.overwrite:
            raise would_overwrite(self.target.place, tuple(changed))
        return not changed

    def _hashed(self, file: File) -> File:
        return File(file.path, file.size, wire.wait(self.target.hash(file.path, "sha256")))

    def _convert(self, change: PlaceChange, upstream: Upstream, reader: ShardReader) -> list[File]:
        """Write every record; the files that are now there."""
        failures: list[tuple[str, VisprepError]] = []
        files: list[File] = []
        encoded = map_ordered(_encoded, self._records(upstream, reader), self.jobs)
        for path, outcome in surviving(wire.run(self._writes(change, encoded))):
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
                continue
            change.note(outcome)
            files.append(outcome)
            if path.endswith("/prompt.txt"):
                self.progress(Progress("Writing tasks", len(files), None))
        conflicts = tuple(path for path, error in failures if isinstance(error, WouldOverwrite))
        if failures:
            write_journal(self.target, change.step, failures)
            if len(conflicts) == len(failures):
                raise would_overwrite(self.target.place, conflicts)
            raise incomplete(failures, len(files) + len(failures))
        return files

    def _records(self, upstream: Upstream, reader: ShardReader) -> Iterator[Task]:
        """The tasks to write, up to the limit of each split; what is skipped is counted."""
        layout, seen = tasks.layout(self.selection.layout), set[str]()
        for split in self.selection.splits or self.source.default_splits:
            written = 0
            for record in self.source.records(upstream, split, self.selection, reader):
                reason = record.reason if isinstance(record, Skipped) else tasks.lacks(record, layout)
                if isinstance(record, Skipped):
                    self.skipped[record.reason] += record.count
                elif reason:
                    self.skipped[reason] += 1
                elif record.key in seen:
                    raise SourceError(f"{self.source.name}: two of upstream's rows are called {record.key}")
                else:
                    seen.add(record.key)
                    yield record
                    written += 1
                    self.tasks += 1
                    if written == self.selection.limit:
                        break

    def _writes(
        self, change: PlaceChange, encoded: Iterable[dict[str, bytes] | WrongContent]
    ) -> Iterator[tuple[str, wire.Job[File]]]:
        """A job for every file of every task; a task whose frames do not decode is skipped, and said so."""
        for task in encoded:
            if isinstance(task, WrongContent):
                log.warning("%s", task.message)
                self.skipped["a frame does not decode"] += 1
                self.tasks -= 1
                continue
            for path, data in task.items():
                known = change.known.get(path)
                yield path, _place(self.target, path, data, self.present.get(path), known, self.overwrite)

    def _finish(self, change: PlaceChange, upstream: Upstream, files: list[File]) -> DownloadResult:
        everything = {path: file for path, file in change.known.items() if path in self.present}
        everything |= {file.path: file for file in files}
        steps = change.dataset.steps if change.dataset else ()
        if not change.repeats:
            counts = {"tasks": self.tasks, "files": len(files), "skipped": sum(self.skipped.values())}
            steps = (*steps, replace(change.step, counts=counts))
        change.commit(everything.values(), steps)
        kept = sum(file.path in self.present for file in files)
        return self._result(upstream, tasks=self.tasks, files=len(files) - kept, kept=kept)

    def _nothing(self) -> NothingConverted:
        reasons = "; ".join(f"{count} rows: {reason}" for reason, count in self.skipped.items())
        return NothingConverted(
            f"{self.source.name}: nothing to write ({reasons or 'upstream has no rows for this selection'})",
            hint="--layout vmevalkit takes tasks without a final frame" if self.skipped else None,
        )

    def _result(self, upstream: Upstream, **counts: int) -> DownloadResult:
        return DownloadResult(
            self.source.name, self.target.place, upstream.revision, skipped=dict(self.skipped), **counts
        )


def _encoded(task: Task) -> dict[str, bytes] | WrongContent:
    """The files of a task, or why there can be none: an error must not end the other tasks."""
    try:
        return tasks.files_of(task)
    except WrongContent as error:
        return error


async def _place(
    target: Store, path: str, data: bytes, present: File | None, known: File | None, overwrite: bool
) -> File:
    """Put `data` at `path` unless it is there already; WouldOverwrite when something that is not ours is."""
    if present is not None:
        digest = digest_of(data)
        current = await target.hash(path, "sha256")
        if current == digest:
            return File(path, len(data), digest)
        if not overwrite and (known is None or known.digest != current):
            raise would_overwrite(target.place, (path,))
    return await target.write(path, data)


def _listed(target: Store) -> Iterator[File]:
    try:
        yield from (file for file in data_files(target) if file.path != DATASET)
    except PlaceMissing:
        return


class _cache_of:  # noqa: N801 -- used as a verb
    """The directory for fetched shards: in the place itself, or a temporary one when the place is not on disk.

    It is removed when all went well, and kept for the next try when not.
    """

    def __init__(self, target: Store) -> None:
        self._temporary = not isinstance(target, LocalStore)
        self._path = Path(tempfile.mkdtemp()) if self._temporary else Path(target.place) / CACHE

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None or self._temporary:
            shutil.rmtree(self._path, ignore_errors=True)
