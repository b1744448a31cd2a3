"""Bringing a source to a place: its rows become the files of tasks."""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import provenance, sources, wire
from visprep.changes import Failures, PlaceChange, begin, journal, present_files
from visprep.digests import digest_of
from visprep.engines.local import map_ordered
from visprep.errors import (
    Incomplete,
    NothingConverted,
    SourceError,
    UsageError,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.formats import tasks
from visprep.manifest import Change, File, diff
from visprep.own_record import CACHE
from visprep.progress import OnProgress, Progress
from visprep.records import Files, Skipped, Task
from visprep.render.text import counted
from visprep.shards import ShardReader
from visprep.sources import Mappable, Selection, Source, Upstream, Varied
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["DownloadResult", "Selection", "convert"]

log = logging.getLogger("visprep.download")


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What a download from a source did.

    `tasks` counts its records: tasks, unless `kind` calls them otherwise. `skipped` counts upstream's rows that became
    none, by reason; `columns` says which column was taken for which field, where the source did not know.
    """

    source: str
    target: str
    revision: str | None
    tasks: int = 0
    files: int = 0
    kept: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    kind: str = "tasks"


def convert(
    source: str, selection: Selection, target: Store, overwrite: bool, jobs: int | None, progress: OnProgress
) -> DownloadResult:
    """Write what is selected of a source as files of `target`; errors as `download` says."""
    tasks.layout(selection.layout)  # a wrong name must show before anything else happens
    found = sources.get(source)
    if selection.columns and not isinstance(found, Mappable):
        raise UsageError(f"{source} knows its own columns, so --map cannot say them", hint="leave it out")
    return _SourceDownload(found, selection, target, overwrite, jobs, progress).run()


#: What reads a shard, and so might one day change what is written.
_PACKAGES = ("datasets", "huggingface-hub", "pyarrow")


#: Why a row is skipped whose frames look sound until they are decoded.
_DAMAGED = "a frame does not decode"
#: Tasks that are encoded and written together.
_BATCH = 64


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
        self.splits: tuple[str, ...] = ()
        self.keys: set[str] = set()
        self.kept = 0
        self.present: dict[str, File] = {}

    def run(self) -> DownloadResult:
        upstream = sources.resolve(self.source, self.selection)
        self.splits = upstream.splits or self.selection.splits or self.source.default_splits
        with begin(self.target, self._step(upstream), overwrite=self.overwrite) as change:
            if not self.overwrite:  # tasks of several sources may lie together, but not among the files of an archive
                others = (
                    one for one in change.downloads() if one.origin.get("archives") or self._differs(one, upstream)
                )
                change.refuse(one.source for one in others)
            self.present = {file.path: file for file in present_files(self.target)}
            if change.repeats and not change.resumed and self._whole(change):
                counts = change.dataset.steps[-1].counts if change.dataset else {}
                return self._result(upstream, tasks=counts.get(upstream.kind, 0), kept=counts.get("files", 0))
            with _cache_of(self.target) as cache, journal(self.target, change.step) as failures:
                reader = ShardReader(upstream, cache, self.selection.limit, self.progress)
                reader.check_space()
                files = self._convert(change, upstream, reader, failures)
                if failures:
                    raise self._unfinished(failures, len(files))
                if not files:
                    shutil.rmtree(cache, ignore_errors=True)
                    raise self._nothing()
            return self._finish(change, upstream, files)

    def _step(self, upstream: Upstream) -> provenance.Step:
        options = {
            "config": list(self.selection.configs),
            "limit": self.selection.limit,
            "layout": self.selection.layout,
            # With the fields that were to have no column: the columns' names might say otherwise the next time
            "map": {**upstream.columns, **{name: "" for name, column in self.selection.columns.items() if not column}},
        }
        plugin = sources.package_of(self.source.name)
        return provenance.step(
            "download",
            self.source.name,
            packages=("numpy", "pillow", *(_PACKAGES if upstream.store else ()), *([plugin] if plugin else ())),
            revision=upstream.revision,
            splits=self.splits,
            options={key: value for key, value in options.items() if value},
            license=upstream.license or self.source.license,
        )

    def _whole(self, change: PlaceChange) -> bool:
        """Whether everything that the manifest promises is there; a changed file stops us unless we may replace it."""
        if change.manifest is None:
            return False
        changed = []
        listed = [file for file in self.present.values() if file.path in change.listed]
        for difference in diff(change.manifest.files, map_ordered(self._hashed, listed, self.jobs)):
            if difference.change is Change.MISSING:
                return False
            if difference.change in (Change.SIZE, Change.CONTENT):
                changed.append(difference.path)
        if changed and not self.overwrite:
            raise WouldOverwrite.of(self.target.place, tuple(changed))
        return not changed

    def _hashed(self, file: File) -> File:
        return File(file.path, file.size, wire.wait(self.target.hash(file.path, "sha256")))

    def _convert(self, change: PlaceChange, upstream: Upstream, reader: ShardReader, failures: Failures) -> list[File]:
        """Write every record, up to the limit of each split; the files that are now there."""
        files: list[File] = []
        for split in self.splits:
            records, left = self._records(upstream, split, reader), self.selection.limit
            # In batches, so that no request waits in the air while the next shard is fetched
            while batch := list(itertools.islice(records, _BATCH if left is None else min(_BATCH, left))):
                encoded = [task for task in map_ordered(_encoded, batch, self.jobs) if task]
                self.skipped += Counter({_DAMAGED: len(batch) - len(encoded)})
                left = None if left is None else left - len(encoded)
                self.tasks += len(encoded)
                self._write(change, encoded, files, failures)
                self.progress(Progress("Writing", self.tasks, None, upstream.kind))
        return files

    def _write(
        self,
        change: PlaceChange,
        encoded: list[dict[str, bytes]],
        files: list[File],
        failures: Failures,
    ) -> None:
        """Put the files of some tasks in place; what is there then joins `files`."""
        if encoded and not change.marked:
            change.mark()
        writes = ((path, self._place(change, path, data)) for task in encoded for path, data in task.items())
        for path, outcome in surviving(wire.run(writes, self.jobs or wire.IN_FLIGHT)):
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
            else:
                change.note(outcome)
                files.append(outcome)

    async def _place(self, change: PlaceChange, path: str, data: bytes) -> File:
        """Put `data` at `path` unless it is there already; WouldOverwrite when something that is not ours is."""
        if path in self.present:
            digest, known = digest_of(data), change.known(path)
            current = await self.target.hash(path, "sha256")
            if current == digest:
                self.kept += 1
                return File(path, len(data), digest)
            ours = known is not None and known.digest is not None and known.digest == current
            if not (ours or self.overwrite):
                raise WouldOverwrite.of(self.target.place, (path,))
        return await self.target.write(path, data)

    def _records(self, upstream: Upstream, split: str, reader: ShardReader) -> Iterator[Task | Files]:
        """The records of a split that can be written; what is skipped is counted."""
        layout = tasks.layout(self.selection.layout)
        for record in sources.records(self.source, upstream, split, self.selection, reader):
            reason = tasks.lacks(record, layout) if isinstance(record, Task) else None
            if isinstance(record, Skipped):
                self.skipped[record.reason] += record.count
            elif reason:
                self.skipped[reason] += 1
            elif record.key in self.keys:
                raise SourceError(f"{self.source.name}: two of upstream's rows are called {record.key}")
            else:
                self.keys.add(record.key)
                yield record

    def _unfinished(self, failures: Failures, done: int) -> VisprepError:
        conflicts = tuple(path for path, error in failures if isinstance(error, WouldOverwrite))
        if len(conflicts) == len(failures):
            return WouldOverwrite.of(self.target.place, conflicts)
        return Incomplete.of(failures, done + len(failures))

    def _finish(self, change: PlaceChange, upstream: Upstream, files: list[File]) -> DownloadResult:
        everything = {path: file for path, file in change.listed.items() if path in self.present}
        everything |= {file.path: file for file in files}
        self._clear_debris(change, everything)
        steps = change.dataset.steps if change.dataset else ()
        if not change.repeats:
            counts = {upstream.kind: self.tasks, "files": len(files), "skipped": sum(self.skipped.values())}
            steps = (*steps, replace(change.step, counts=counts))
        change.commit(everything.values(), steps)
        return self._result(upstream, tasks=self.tasks, files=len(files) - self.kept, kept=self.kept)

    def _clear_debris(self, change: PlaceChange, everything: dict[str, File]) -> None:
        """Remove the halves of tasks that an interrupted command with other options left, and this one did not finish.

        Its whole tasks stay, as files that the manifest does not list.
        """
        left: dict[str, set[str]] = {}
        for path in change.noted.keys() - everything.keys():
            directory, _, name = path.rpartition("/")
            left.setdefault(directory, set()).add(name)
        whole = set(tasks.layout(self.selection.layout).required)
        whole |= {tasks.METADATA} & {path.rpartition("/")[2] for path in change.noted}
        for directory, names in left.items():
            if not names >= whole:
                change.clear(f"{directory}/{name}" for name in names)

    def _differs(self, step: provenance.Step, upstream: Upstream) -> bool:
        """Whether a step brought records of another kind, or of another config where each is a dataset of its own."""
        if upstream.kind == "tasks" or upstream.kind not in step.counts:
            return upstream.kind not in step.counts
        configs = step.options.get("config", [])
        return isinstance(self.source, Varied) and configs != list(self.selection.configs)

    def _nothing(self) -> NothingConverted:
        reasons = "; ".join(f"{counted(count, 'row')}: {reason}" for reason, count in self.skipped.items())
        return NothingConverted(
            f"{self.source.name}: nothing to write ({reasons or 'upstream has no rows for this selection'})",
            hint="--layout vmevalkit takes tasks without a final frame" if "no final frame" in self.skipped else None,
        )

    def _result(self, upstream: Upstream, **counts: int) -> DownloadResult:
        return DownloadResult(
            self.source.name,
            self.target.place,
            upstream.revision,
            skipped=dict(self.skipped),
            columns=dict(upstream.columns),
            kind=upstream.kind,
            **counts,
        )


def _encoded(task: Task | Files) -> dict[str, bytes] | None:
    """The files of a record, None for a task whose frames do not decode: it must not end the others."""
    if isinstance(task, Files):
        return dict(task.files)
    try:
        return tasks.files_of(task)
    except WrongContent as error:
        log.warning("%s", error.message)
        return None


class _cache_of:  # noqa: N801 -- used as a verb
    """The directory for fetched shards: in the place itself, or a temporary one when the place is not on disk.

    That in the place is kept for the next try until the change is committed.
    """

    def __init__(self, target: Store) -> None:
        self._temporary = not isinstance(target, LocalStore)
        self._path = Path(tempfile.mkdtemp()) if self._temporary else Path(target.place) / CACHE

    def __enter__(self) -> Path:
        return self._path

    def __exit__(self, *_: object) -> None:
        if self._temporary:
            shutil.rmtree(self._path, ignore_errors=True)
