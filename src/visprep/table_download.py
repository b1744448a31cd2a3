"""Bringing a source to a place: its rows become the files of tasks."""

from __future__ import annotations

import contextlib
import functools
import itertools
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import provenance, sources, temporary, wire
from visprep.changes import PlaceChange, begin, present_files
from visprep.converted_units import BATCH, DAMAGED, Unit, UnitDone, convert_all, encoded, fit
from visprep.digests import digest_of
from visprep.engines import Engine
from visprep.engines.local import Local, map_ordered
from visprep.errors import (
    Incomplete,
    NothingConverted,
    SourceError,
    UsageError,
    VisprepError,
    WorkerLost,
    WouldOverwrite,
)
from visprep.formats import tasks
from visprep.journal import Failures, journal
from visprep.manifest import Change, File, bare_etag, diff
from visprep.own_record import CACHE, MARKER
from visprep.progress import OnProgress, Progress
from visprep.records import Files, Task
from visprep.render.text import counted
from visprep.shards import ShardReader
from visprep.sources import Mappable, Selection, Source, Upstream, Varied
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["DownloadResult", "Selection", "convert"]


@dataclass(frozen=True, slots=True)
class DownloadResult:
    """What a download from a source did.

    `tasks` counts its records: tasks, unless `kind` calls them otherwise. `skipped` counts upstream's rows that became
    none, by reason; `columns` says which column was taken for which field, where the source did not know. `disk` is the
    most bytes of shards that lay in a temporary directory at once, on each machine, where the place is not on disk.
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
    disk: int = 0


def convert(
    source: str,
    selection: Selection,
    target: Store,
    overwrite: bool,
    jobs: int | None,
    progress: OnProgress,
    engine: Engine | None = None,
) -> DownloadResult:
    """Write what is selected of a source as files of `target`; errors as `download` says."""
    tasks.layout(selection.layout)  # a wrong name must show before anything else happens
    found = sources.get(source)
    if selection.columns and not isinstance(found, Mappable):
        raise UsageError(f"{source} knows its own columns, so --map cannot say them", hint="leave it out")
    return _SourceDownload(found, selection, target, overwrite, jobs, progress, engine or Local(jobs)).run()


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
        engine: Engine,
    ) -> None:
        self.engine, self.disk = engine, 0
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
            change.check_bucket()
            with _cache_of(self.target) as cache, journal(self.target, change.step) as failures:
                if self.engine.spreads and upstream.store and self.selection.limit is None:
                    files = self._spread(change, upstream, failures)
                else:
                    on_disk = isinstance(self.target, LocalStore)
                    reader = ShardReader(upstream, cache, self.selection.limit, self.progress, keep=on_disk)
                    reader.check_space()
                    files = self._convert(change, upstream, reader, failures)
                    self.disk = 0 if on_disk else reader.disk
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

        def hashed(file: File) -> File:
            return File(file.path, file.size, wire.wait(self._digest(change, file.path)))

        for difference in diff(change.manifest.files, map_ordered(hashed, listed, self.jobs)):
            if difference.change is Change.MISSING:
                return False
            if difference.change in (Change.SIZE, Change.CONTENT):
                changed.append(difference.path)
        if changed and not self.overwrite:
            raise WouldOverwrite.of(self.target.place, tuple(changed))
        return not changed

    async def _digest(self, change: PlaceChange, path: str) -> str | None:
        """The digest of what lies at a path: on S3 as it was noted with the ETag that it still has."""
        known, there = change.known(path), self.present[path]
        told = known and known.etag and there.etag and not isinstance(self.target, LocalStore)
        if told and known and bare_etag(known.etag or "") == bare_etag(there.etag or ""):
            return known.digest
        return await self.target.hash(path, "sha256")

    def _convert(self, change: PlaceChange, upstream: Upstream, reader: ShardReader, failures: Failures) -> list[File]:
        """Write every record, up to the limit of each split; the files that are now there."""
        files: list[File] = []
        for split in self.splits:
            records, left = self._records(upstream, split, reader), self.selection.limit
            # In batches, so that no request waits in the air while the next shard is fetched
            while batch := list(itertools.islice(records, BATCH if left is None else min(BATCH, left))):
                whole = [task for task in map_ordered(encoded, batch, self.jobs) if task]
                self.skipped += Counter({DAMAGED: len(batch) - len(whole)})
                left = None if left is None else left - len(whole)
                self.tasks += len(whole)
                self._write(change, whole, files, failures)
                self.progress(Progress("Writing", self.tasks, None, upstream.kind))
        return files

    def _spread(self, change: PlaceChange, upstream: Upstream, failures: Failures) -> list[File]:
        """Let workers write every record, a config and split each; the files that are now there."""
        change.mark()
        self.engine.check(self.target)
        units = list(dict.fromkeys((one.split, one.config) for one in upstream.shards if one.split in self.splits))
        files: list[File] = []
        again = list(self._spread_units([Unit(*one) for one in units], change, upstream, failures, files))
        again = list(self._spread_units(again, change, upstream, failures, files))
        assert not again
        if not files and not failures and not change.resumed:
            wire.wait(self.target.delete(MARKER))
        return files

    def _spread_units(
        self, units: list[Unit], change: PlaceChange, upstream: Upstream, failures: Failures, files: list[File]
    ) -> Iterator[Unit]:
        """Take what came of units; those to do again, since what was in their way is ours."""
        work = functools.partial(
            convert_all,
            source=self.source.name,
            upstream=upstream,
            selection=self.selection,
            target=self.target,
            fresh=not self.present,
            overwrite=self.overwrite,
        )
        came = self.engine.map(work, ([unit] for unit in units), lost=_lost)
        for done in itertools.chain.from_iterable(came):
            ours = {
                path for path, error in done.failures if isinstance(error, WouldOverwrite) and self._ours(change, path)
            }
            if ours:
                for file in done.files:
                    change.note(file)
                yield replace(done.unit, replaceable=frozenset(ours))
                continue
            for key in done.keys:
                self._remember(key)
            for failure in done.failures:
                failures.append(failure)
            for file in done.files:
                change.note(file)
            files += done.files
            self.kept, self.tasks, self.disk = self.kept + done.kept, self.tasks + done.tasks, max(self.disk, done.disk)
            self.skipped += done.skipped
            self.progress(Progress("Writing", self.tasks, None, upstream.kind))

    def _ours(self, change: PlaceChange, path: str) -> bool:
        """Whether visprep wrote what lies at a path, and nobody changed it since."""
        known = change.known(path)
        if known is None or known.digest is None or path not in self.present:
            return False
        return known.digest == wire.wait(self._digest(change, path))

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
            current = await self._digest(change, path)
            if current == digest:
                self.kept += 1
                etag = None if isinstance(self.target, LocalStore) else self.present[path].etag
                return File(path, len(data), digest, etag=etag)
            ours = known is not None and known.digest is not None and known.digest == current
            if not (ours or self.overwrite):
                raise WouldOverwrite.of(self.target.place, (path,))
        return await self.target.write(path, data)

    def _records(self, upstream: Upstream, split: str, reader: ShardReader) -> Iterator[Task | Files]:
        """The records of a split that can be written; what is skipped is counted."""
        found = sources.records(self.source, upstream, split, self.selection, reader)
        for record in fit(found, self.selection.layout, self.skipped):
            self._remember(record.key)
            yield record

    def _remember(self, key: str) -> None:
        if key in self.keys:
            raise SourceError(f"{self.source.name}: two of upstream's rows are called {key}")
        self.keys.add(key)

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
            disk=self.disk,
            **counts,
        )


def _lost(unit: Unit, error: WorkerLost) -> UnitDone:
    return UnitDone(unit, failures=[(f"{unit.config}/{unit.split}", error)])


@contextlib.contextmanager
def _cache_of(target: Store) -> Iterator[Path]:
    """The directory for fetched shards: in the place itself, or a temporary one when the place is not on disk.

    That in the place is kept for the next try until the change is committed.
    """
    if isinstance(target, LocalStore):
        yield Path(target.place) / CACHE
    else:
        with temporary.directory("download") as folder:
            yield folder
