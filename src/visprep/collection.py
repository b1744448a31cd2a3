"""Bringing a source that keeps its files in archives to a directory: the files in them become the files of a place.

What is wanted is what the archives list, what is there is what lies on disk with the CRC-32 that an archive tells: so
an interrupted download goes on with the files that are missing, and nothing of an archive needs to be kept for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from visprep import provenance, wire
from visprep.changes import Failures, PlaceChange, begin, journal, present_files
from visprep.engines.local import map_ordered
from visprep.errors import DiskFull, Incomplete, UsageError, VisprepError, WouldOverwrite
from visprep.manifest import Change, File, diff
from visprep.mirrors import NESTED, OF_MIRROR, Mirrors, Opened, put_aside, wrong_digest
from visprep.own_record import CACHE
from visprep.progress import OnProgress, Pulse
from visprep.sources import Archive, Archived, Mirror, Selection
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import DiskRanges, Packed, RemoteZip
from visprep.stores.spans import spans
from visprep.transfer import surviving
from visprep.unzipping import Unzipping

__all__ = ["CollectOptions", "CollectResult", "collect"]


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """How a source's archives are brought.

    `mirrors` are used in place of the source's own, `checksums` (by the name of an archive, without `.zip`) in place of
    what is recorded. `may_replace` allows files of others to be replaced.
    """

    mirrors: tuple[Mirror, ...] = ()
    checksums: dict[str, dict[str, str]] | None = None
    keep_archives: bool = False
    may_replace: bool = False
    dry_run: bool = False
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class CollectResult:
    """What a download out of archives did, or with `planned` what it would do.

    `files` were written, `kept` were there already; `bytes` were, or are to be, downloaded in `requests`, and `disk` is
    what the files take. `checked` says of each archive what it was checked by: `sha256` or `md5` of all of it, or
    `crc32` of every file where only some of its files were fetched at once. `images` counts those of each license.
    """

    source: str
    target: str
    files: int = 0
    kept: int = 0
    bytes: int = 0
    disk: int = 0
    requests: int = 0
    checked: dict[str, str] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)
    planned: bool = False


def collect(
    source: Archived, selection: Selection, target: Store, options: CollectOptions, progress: OnProgress
) -> CollectResult:
    """Bring the selected files of a source to `target`; errors as `download` says."""
    archives = source.archives(selection)
    if not isinstance(target, LocalStore):
        raise UsageError(
            f"{source.name} is unpacked to a directory, and {target.place} is none",
            hint=f"download it to a directory, then: visprep upload DIRECTORY {target.place}",
        )
    return _Collection(source, selection, archives, target, options, progress).run()


@dataclass(slots=True)
class _Part:
    """One archive of a download: what of it is missing, and what is there."""

    mirrors: Mirrors
    opened: Opened
    missing: list[Packed] = field(default_factory=list)
    there: list[File] = field(default_factory=list)

    @property
    def archive(self) -> Archive:
        return self.opened.archive


class _Collection:
    """One download of one selection into one directory."""

    def __init__(
        self,
        source: Archived,
        selection: Selection,
        archives: tuple[Archive, ...],
        target: LocalStore,
        options: CollectOptions,
        progress: OnProgress,
    ) -> None:
        self.source, self.selection, self.target, self.options = source, selection, target, options
        self.archives = [self._recorded(archive) for archive in archives]
        self.pulse = Pulse(progress)
        self.files: dict[str, File] = {}
        self.checked: dict[str, str] = {}
        self.moved = self.requests = self.kept = self.disk = self.written = 0
        self.total: int | None = None

    def _recorded(self, archive: Archive) -> Archive:
        """The archive with the checksums that are to be believed."""
        said = self.options.checksums
        return archive if said is None else replace(archive, size=None, digests=said.get(archive.name, {}))

    def run(self) -> CollectResult:
        step = self._step()
        with begin(self.target, step, overwrite=self.options.may_replace) as change:
            if change.repeats and not change.resumed and self._is_whole(change):
                return self._result(planned=self.options.dry_run)
            if self.options.keep_archives and not self.options.dry_run:
                change.mark()
            with journal(self.target, change.step) as failures:
                parts = [self._part(archive) for archive in self.archives]
                for part in parts:
                    self._compare(part, change)
                self._plan(parts)
                if self.options.dry_run:
                    return self._result(planned=True)
                if not change.marked:
                    change.mark()
                for part in parts:
                    self._bring(part, change, failures)
                if failures:
                    raise Incomplete.of(failures, len(self.files) + len(failures))
            self._finish(change)
        return self._result()

    def _step(self) -> provenance.Step:
        options = {"labels": list(self.selection.labels), "keep-archives": self.options.keep_archives}
        return provenance.step(
            "download",
            self.source.name,
            splits=self.selection.splits or self.source.default_splits,
            options={key: value for key, value in options.items() if value},
            license=self.source.license,
        )

    def _is_whole(self, change: PlaceChange) -> bool:
        """Whether all that the manifest promises is there; a changed file stops us unless we may replace it."""
        if change.manifest is None:
            return False
        listed = [file for file in present_files(self.target) if file.path in change.listed]
        changed = []
        for difference in diff(change.manifest.files, map_ordered(self._hashed, listed, self.options.jobs)):
            if difference.change is Change.MISSING:
                return False
            if difference.change in (Change.SIZE, Change.CONTENT):
                changed.append(difference.path)
        if changed and not self.options.may_replace:
            raise WouldOverwrite.of(self.target.place, changed)
        self.kept = len(listed)
        return not changed

    def _hashed(self, file: File, algorithm: str = "sha256") -> File:
        return File(file.path, file.size, wire.wait(self.target.hash(file.path, algorithm)))

    def _part(self, archive: Archive) -> _Part:
        mirrors = Mirrors(
            archive,
            self.options.mirrors or self.source.mirrors,
            self.target,
            keep=self.options.keep_archives and not self.options.dry_run,
            on_bytes=lambda count: self._heard(archive.path, count),
        )
        return _Part(mirrors, mirrors.next())

    def _compare(self, part: _Part, change: PlaceChange) -> None:
        """Find out which of the wanted files are there; WouldOverwrite when others have their names."""
        part.missing, part.there = [], []
        wanted = {one.path: one for one in part.opened.files}
        want = sorted((_as_file(one) for one in wanted.values()), key=lambda file: file.sort_key)
        present = (file for file in present_files(self.target) if file.path in wanted)
        sizes = {file.path: file.size for file in want}
        same_size = [file for file in present if file.size == sizes[file.path]]
        have = {file.path: file for file in map_ordered(self._crc, same_size, self.options.jobs)}
        others = {file.path: file for file in present_files(self.target) if file.path in wanted} | have
        in_the_way = []
        for difference in diff(want, sorted(others.values(), key=lambda file: file.sort_key)):
            path = difference.path
            if difference.change is Change.SAME:
                part.there.append(self._known(path, sizes[path], change))
                continue
            if difference.change is not Change.MISSING and not self._ours(path, change):
                in_the_way.append(path)
            part.missing.append(wanted[path])
        if in_the_way and not self.options.may_replace:
            raise WouldOverwrite.of(self.target.place, in_the_way)

    def _crc(self, file: File) -> File:
        return self._hashed(file, "crc32")

    def _known(self, path: str, size: int | None, change: PlaceChange) -> File:
        """A file that is there, with its SHA-256: as we noted it when we wrote it, or read once more."""
        known = change.known(path)
        if known and known.size == size and known.digest and known.digest.startswith("sha256:"):
            return File(path, size, known.digest)
        return self._hashed(File(path, size))

    def _ours(self, path: str, change: PlaceChange) -> bool:
        known = change.known(path)
        return known is not None and known.digest == wire.wait(self.target.hash(path, "sha256"))

    def _plan(self, parts: list[_Part]) -> None:
        """Count what is to be done; DiskFull, before the first byte, when there is no room for it."""
        for part in parts:
            asked = list(spans(part.missing, part.opened.zip.size if self._in_one_go(part) else None))
            self.requests += 0 if part.opened.kept else len(asked)
            self.moved += 0 if part.opened.kept else sum(span.length for span in asked)
            self.disk += sum(one.member.size for one in part.missing)
            self.kept += len(part.there)
            if self.options.dry_run:
                self.written += len(part.missing)
        free = self.target.free()
        if self.disk > free:
            raise DiskFull(
                f"{self.target.place}: {self.disk:,} bytes are to be written, {free:,} are free",
                hint="free some space, choose another --output, or ask for less",
            )
        if not self.options.dry_run:
            self.moved, self.total = 0, self.moved

    def _in_one_go(self, part: _Part) -> str | None:
        """The algorithm by which all of an archive is checked as it passes; None when only a part of it is fetched."""
        algorithm = next(iter(part.archive.digests), None)
        all_of_it = part.opened.whole and not part.there and len(part.missing) == len(part.opened.files)
        return algorithm if all_of_it and not part.opened.kept else None

    def _bring(self, part: _Part, change: PlaceChange, failures: Failures) -> None:
        """Fetch what is missing of an archive; from the next mirror what one does not give."""
        again = False
        for file in part.there:
            self.files[file.path] = file
        while True:
            broken: list[tuple[str, VisprepError]] = []
            try:
                broken = self._fetch(part, change)
                if not broken:
                    break
            except OF_MIRROR as problem:
                part.mirrors.problems.append(problem)
                again = True
            if broken and not again:  # a byte may have been turned on the way
                again = True
                continue
            try:
                part.opened = part.mirrors.next()
            except VisprepError:
                if not broken:
                    raise
                for failure in broken:
                    failures.append(failure)
                return
            again = False
            self._compare(part, change)
        if part.opened.kept and part.opened.kept.path.startswith(CACHE):
            (self.target.root / part.opened.kept.path).unlink(missing_ok=True)
        elif part.opened.kept:
            self.files[part.opened.kept.path] = part.opened.kept
            change.note(part.opened.kept)

    def _fetch(self, part: _Part, change: PlaceChange) -> list[tuple[str, VisprepError]]:
        """Fetch what is missing, as far as it can be had; what could not, and why."""
        algorithm = self._in_one_go(part)
        broken: list[tuple[str, VisprepError]] = []
        unzipping = Unzipping(
            part.opened.zip,
            part.missing,
            self.target,
            algorithm=algorithm,
            jobs=self.options.jobs,
            on_bytes=lambda count: self._heard(part.archive.path, count),
        )
        missing = {one.path: one for one in part.missing}
        done: list[str] = []
        try:
            with contextlib.closing(unzipping.outcomes()) as outcomes:
                for path, outcome in surviving(outcomes):
                    if isinstance(outcome, VisprepError):
                        broken.append((path, outcome))
                        continue
                    del missing[path]
                    done += self._arrived(outcome, part, change, broken)
        finally:
            part.missing = list(missing.values())
        if part.opened.kept:
            self.checked[part.archive.name] = next(iter(part.archive.digests), "crc32")
        elif unzipping.digest and not broken:
            self._check_digest(part, unzipping.digest, done)
        else:
            self.checked[part.archive.name] = "crc32"
        return broken

    def _arrived(
        self, file: File, part: _Part, change: PlaceChange, broken: list[tuple[str, VisprepError]]
    ) -> Iterator[str]:
        """Note a file that is there now; of a zip that was in the archive, the files that come out of it."""
        if not file.path.startswith(NESTED):
            change.note(file)
            self.files[file.path] = file
            self.written += 1
            yield file.path
            return
        inner = RemoteZip(DiskRanges(self.target), file)
        folder = file.path.removeprefix(NESTED).rpartition("/")[0]
        found = (replace(one, path=f"{folder}/{one.path}") for one in wire.wait(inner.files()))
        wanted = [one for one in found if part.archive.wants(one.path)]
        with contextlib.closing(Unzipping(inner, wanted, self.target).outcomes()) as outcomes:
            for path, outcome in surviving(outcomes):
                if isinstance(outcome, VisprepError):
                    broken.append((path, outcome))
                else:
                    yield from self._arrived(outcome, part, change, broken)
        wire.wait(self.target.delete(file.path))

    def _check_digest(self, part: _Part, arrived: str, done: list[str]) -> None:
        """WrongContent when the archive is not the recorded one: what came out of it is put aside then."""
        wrong = wrong_digest(part.archive, arrived, part.opened.place)
        if wrong is None:
            self.checked[part.archive.name] = arrived.partition(":")[0]
            return
        for path in done:
            put_aside(self.target, path, f"{part.archive.name}/{path}")
            self.files.pop(path, None)
        wrong.message += f"; what was in it was put aside in .visprep/quarantine/{part.archive.name}"
        raise wrong

    def _heard(self, path: str, count: int) -> None:
        self.moved += count
        self.pulse(f"Fetching {path}" if self.total is None else "Fetching", self.moved, self.total, "bytes")

    def _finish(self, change: PlaceChange) -> None:
        present = {file.path for file in present_files(self.target)}
        everything = {path: file for path, file in change.listed.items() if path in present} | self.files
        steps = change.dataset.steps if change.dataset else ()
        if not change.repeats:
            steps = (*steps, replace(change.step, counts={"files": len(self.files)}))
        change.commit(everything.values(), steps)

    def _result(self, *, planned: bool = False) -> CollectResult:
        return CollectResult(
            self.source.name,
            self.target.place,
            files=self.written,
            kept=self.kept,
            bytes=self.moved,
            disk=self.disk,
            requests=self.requests,
            checked=dict(sorted(self.checked.items())),
            planned=planned,
        )


def _as_file(one: Packed) -> File:
    return File(one.path, one.member.size, f"crc32:{one.member.crc:08x}")
