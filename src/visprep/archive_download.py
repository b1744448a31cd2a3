"""Bringing a source that keeps its files in archives to a place: the files in them become the files of the place.

What is wanted is what the archives list, what is there is what lies there with the CRC-32 that an archive tells: so an
interrupted download goes on with the files that are missing, and nothing of an archive needs to be kept for that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from visprep import provenance, subsets, temporary
from visprep.ancestors import recorded_ids
from visprep.changes import PlaceChange, begin, present_files
from visprep.digests import digest_of
from visprep.documents import Documents
from visprep.engines import Engine
from visprep.errors import FileMissing, Incomplete, UsageError, VisprepError
from visprep.extraction import Extraction, Part
from visprep.journal import journal
from visprep.manifest import File
from visprep.mirrors import NESTED, Mirrors, check_room
from visprep.own_record import CACHE
from visprep.progress import OnProgress, Pulse
from visprep.single_images import Singles
from visprep.sources import Archive, Archived, Mirror, Selection
from visprep.stores import Store
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.subsets import Choice
from visprep.wire import RangesIgnored

__all__ = ["CollectOptions", "CollectResult", "collect"]


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """How a source's archives are brought.

    `mirrors` are used in place of the source's own, `checksums` (by the name of an archive, without `.zip`) in place of
    what is recorded. `may_replace` allows files of others to be replaced. An `engine` that spreads has the files of an
    archive brought by its workers.
    """

    mirrors: tuple[Mirror, ...] = ()
    checksums: dict[str, dict[str, str]] | None = None
    keep_archives: bool = False
    may_replace: bool = False
    dry_run: bool = False
    jobs: int | None = None
    engine: Engine | None = None


@dataclass(frozen=True, slots=True)
class CollectResult:
    """What a download out of archives did, or with `planned` what it would do.

    `files` were written, `kept` were there already; `bytes` were, or are to be, downloaded in `requests`, and `disk` is
    what the files take in a directory. On the way to a bucket `temporary` bytes at most lie in the temporary directory,
    and about `memory` at most in memory. `checked` says of each archive what it was checked by: `sha256` or `md5` of
    all of it, or `crc32` of every file where only some of its files were fetched at once. `unchecked` counts images
    that no checksum is known of, nor their size, so that what is planned with them is an estimate. `unproven` names
    archives that all is wanted of, and which were not held against what is recorded, since some of it was there
    already. `unlabeled` names the splits that have none of the labels asked for: their images come alone. `others`
    counts images of the same splits from before, which are not in the annotations that are written now. `images` counts
    those of each license.
    """

    source: str
    target: str
    files: int = 0
    kept: int = 0
    bytes: int = 0
    disk: int = 0
    requests: int = 0
    temporary: int = 0
    memory: int = 0
    checked: dict[str, str] = field(default_factory=dict)
    unchecked: int = 0
    unproven: tuple[str, ...] = ()
    unlabeled: tuple[str, ...] = ()
    others: int = 0
    images: dict[str, int] = field(default_factory=dict)
    planned: bool = False


#: Bytes of an archive, of files on their way, of parts of large ones and of buffers for the network that are in memory
#: at once, with what it takes to be there at all; and what is known of each file.
MEMORY, _KNOWN = 300_000_000, 2_500
#: Files of which manifest and notes are held in memory, and bytes of a temporary file that each takes where there are
#: more.
_FEW, _LINES = 20_000, 600


def collect(
    source: Archived, selection: Selection, target: Store, options: CollectOptions, progress: OnProgress
) -> CollectResult:
    """Bring the selected files of a source to `target`; errors as `download` says."""
    archives = source.archives(selection)
    if selection.chooses and options.keep_archives:
        raise UsageError("--keep-archives keeps whole archives: some images do not need them", hint="leave it out")
    if selection.only_matching and not selection.classes:
        raise UsageError("--only-matching goes with --classes", hint="add --classes, or leave --only-matching out")
    if selection.seed is not None and selection.limit is None:
        raise UsageError("--seed goes with --limit", hint="add --limit, or leave --seed out")
    return _Collection(source, selection, archives, target, options, progress).run()


class _Collection:
    """One download of one selection into one place."""

    def __init__(
        self,
        source: Archived,
        selection: Selection,
        archives: tuple[Archive, ...],
        target: Store,
        options: CollectOptions,
        progress: OnProgress,
    ) -> None:
        self.source, self.selection, self.target, self.options = source, selection, target, options
        self.archives = archives
        self.pulse = Pulse(progress)
        self.before = self.moved = self.requests = self.disk = self.temporary = self.memory = self.others = 0
        self.total: int | None = None

    def run(self) -> CollectResult:
        """Bring what is missing, and write the place's record."""
        with begin(self.target, self._step(), overwrite=self.options.may_replace) as change:
            self.extraction = Extraction(
                self.target,
                change,
                may_replace=self.options.may_replace,
                jobs=self.options.jobs,
                heard=self._heard,
                engine=self.options.engine,
            )
            mirrors = self.options.mirrors or self.source.mirrors
            loose = [HttpStore(mirror.url) for mirror in mirrors if mirror.loose]
            self.singles = Singles(self.extraction, loose, self.options.jobs, self._heard)
            self.extraction.check_place(self.source.name, ("annotations",))
            self._resume(change)
            if change.repeats and not change.resumed and self.extraction.is_whole():
                return self._result(None)
            change.check_bucket()
            if self.options.keep_archives and not self.options.dry_run:
                need = sum(self._mirrors(archive, self.target).need() for archive in self.archives)
                check_room(self.target, need, "the archives and what is in them")
                change.mark()
            with contextlib.ExitStack() as stack:
                on_disk = isinstance(self.target, LocalStore) and not self.options.dry_run
                folder = self._cache if on_disk else stack.enter_context(temporary.directory("download"))
                self._folder, self.extraction.scratch = folder, LocalStore(folder)
                self.documents = Documents(self.extraction, folder / "documents")
                choice = self._choice(folder / "annotations") if self.selection.chooses else None
                parts = [self._part(archive) for archive in (choice.archives if choice else self.archives)]
                images = list(self._image_parts(choice)) if choice else []
                for part in (*parts, *images):
                    self.extraction.compare(part)
                if choice:
                    self.documents.draft(choice)
                    self._count_others(change, choice)
                self._plan([*parts, *images])
                if self.options.dry_run:
                    missing = sum(len(part.missing) for part in (*parts, *images))
                    self.extraction.written = missing + len(self.singles.wanted) + len(self.documents.due)
                    return self._result(choice)
                if self.options.engine and self.options.engine.spreads:
                    self.options.engine.check(self.target)
                if not change.marked:
                    change.mark()
                self._bring(change, parts, images, choice)
            self.extraction.commit()
        return self._result(choice)

    def _step(self) -> provenance.Step:
        chosen = self.selection
        options = {
            "labels": list(chosen.labels),
            "classes": list(chosen.classes),
            "limit": chosen.limit,
            "seed": chosen.seed,
            "licenses": list(chosen.licenses),
            "ids": None if self._ids is None else digest_of(self._ids.encode()),
            "only-matching": chosen.only_matching,
            "keep-archives": self.options.keep_archives,
        }
        return provenance.step(
            "download",
            self.source.name,
            splits=chosen.splits or self.source.default_splits,
            options={key: value for key, value in options.items() if value or (value == 0 and value is not False)},
            origin=self._origin(),
            license=self.source.license,
        )

    @property
    def _ids(self) -> str | None:
        """The ids that are asked for, in words."""
        ids = self.selection.ids
        return None if ids is None else " ".join(map(str, ids))

    def _origin(self) -> dict[str, Any]:
        """Where it all comes from, and what the archives are held against; nothing that differs from run to run."""
        archives = {}
        for archive in map(self._held, self.archives):
            size = {} if archive.size is None else {"size": archive.size}
            archives[archive.path] = {**size, **archive.digests}
        origin: dict[str, Any] = {"archives": archives}
        if self.options.mirrors:
            origin["mirrors"] = [HttpStore(mirror.url).place for mirror in self.options.mirrors]
        if self.options.checksums is not None:
            origin["checksums"] = "given"
        return {**origin, **recorded_ids(self._ids)}

    def _held(self, archive: Archive) -> Archive:
        """An archive with the checksums that were given of it, where any were."""
        said = (self.options.checksums or {}).get(archive.name)
        return archive if said is None else replace(archive, size=None, digests=said)

    def _resume(self, change: PlaceChange) -> None:
        """The mirrors of an interrupted command are where some of the files came from.

        The checksums that it was given are believed until others are: nobody need keep the file that they came in.
        """
        begun = change.begun.origin if change.resumed and change.begun else {}
        if begun.get("checksums") and self.options.checksums is None:
            given = {Archive(path).name: told for path, told in begun["archives"].items() if "size" not in told}
            self.options = replace(self.options, checksums=given)
            change.step = replace(change.step, origin=self._origin())
        if earlier := begun.get("mirrors", []):
            mirrors = list(dict.fromkeys([*earlier, *change.step.origin.get("mirrors", [])]))
            change.step = replace(change.step, origin={**change.step.origin, "mirrors": mirrors})

    def _choice(self, folder: Path) -> Choice:
        """What the selection chooses, by annotations that are fetched into a directory."""
        return subsets.choose(self.source, self.selection, LocalStore(folder), self._mirrors)

    @property
    def _cache(self) -> Path:
        assert isinstance(self.target, LocalStore)
        return self.target.root / CACHE

    def _known(self, path: str) -> File | None:
        """What visprep wrote to a bucket and is there still."""
        return self.extraction.change.known(path) if self.extraction.ours_is_there(path) else None

    def _count_others(self, change: PlaceChange, choice: Choice) -> None:
        """Images of these splits from before, which the annotations that are written now do not name."""
        folders = tuple(f"{split}/" for split in self.selection.splits or self.source.default_splits)
        there = (file.path for file in present_files(self.target) if change.known(file.path))
        self.others = sum(path.startswith(folders) and path not in choice.notice for path in there)

    def _mirrors(self, archive: Archive, target: Store, *, in_parts: bool = False) -> Mirrors:
        return Mirrors(
            self._held(archive),
            self.options.mirrors or self.source.mirrors,
            target,
            keep=self.options.keep_archives and not self.options.dry_run,
            may_move=lambda path: self.options.may_replace or self.extraction.ours(path),
            in_parts=in_parts,
            on_bytes=lambda count: self._heard(archive.path, count),
            known=self._known,
            came=self.extraction.change.note,
        )

    def _part(self, archive: Archive) -> Part:
        mirrors = self._mirrors(archive, self.target, in_parts=self.options.dry_run)
        try:
            return Part(mirrors, mirrors.next())
        except RangesIgnored as problem:
            problem.hint = "leave out --dry-run, which would have to fetch all of it, or try another --mirror"
            raise

    def _image_parts(self, choice: Choice) -> Iterator[Part]:
        """The archives of the chosen images; of those that cannot be read in parts, the images are wanted one by one.

        Ranges need no more requests than the images' own addresses, and the archive's directory tells their CRC-32.
        """
        for archive in choice.images:
            mirrors = self._mirrors(archive, self.target, in_parts=True)
            try:
                yield Part(mirrors, mirrors.next())
            except VisprepError as problem:
                if not self.singles.can_do(problem, mirrors):
                    raise
                self.singles.want(map(File, archive.paths))

    def _plan(self, parts: list[Part]) -> None:
        """Count what is to be done; DiskFull, before the first byte, when there is no room for it."""
        asked, fetched = [span for part in parts for span in self.extraction.asked(part)], self.moved
        self.requests = len(asked) + len(self.singles.wanted)
        self.moved = sum(span.length for span in asked) + self.singles.bytes
        self.disk = sum(one.member.size for part in parts for one in part.missing) + self.singles.bytes
        self.disk += self.documents.bytes
        if not isinstance(self.target, LocalStore):
            self.temporary, self.disk = self._temporary(parts), 0
            self.memory = MEMORY + _KNOWN * self._files(parts)
        self.extraction.kept += sum(len(part.there) for part in parts)
        check_room(self.target, self.disk, "what is to be written")
        if not self.options.dry_run:
            self.moved, self.total = 0, self.moved
            self.before = fetched

    def _temporary(self, parts: list[Part]) -> int:
        """Bytes on the way to a bucket that need a disk: the annotations of a subset, zips in zips, a long manifest."""
        drafts = [path.stat().st_size for path in self._folder.rglob("*") if path.is_file()]
        zips = [one.member.size for part in parts for one in part.missing if one.path.startswith(NESTED)]
        files = self._files(parts)
        return sum(drafts) + sum(zips) + (files * _LINES if files > _FEW else 0)

    def _files(self, parts: list[Part]) -> int:
        """How many files the place will have, or a few more."""
        return len(self.extraction.change.listed) + sum(len(part.missing) + len(part.there) for part in parts)

    def _bring(self, change: PlaceChange, parts: list[Part], images: list[Part], choice: Choice | None) -> None:
        with journal(self.target, change.step) as failures:
            for part in parts:
                self.extraction.bring(part, failures)
            for part in images:
                try:
                    self.extraction.bring(part, failures)
                except VisprepError as problem:
                    if not self.singles.can_do(problem, part.mirrors):
                        raise
                    self.singles.take_over(part)
            left = self.singles.fetch()
            for split in sorted({path.partition("/")[0] for path in left}):
                lost = [path for path in left if path.startswith(f"{split}/")]
                try:
                    part = self._part(self.source.images(split).just(lost))
                except FileMissing as absent:  # then it is the images themselves that could not be had
                    if not any(path in self.singles.problems for path in lost):
                        raise
                    for path in lost:
                        failures.append((path, self.singles.problems.get(path, absent)))
                    continue
                self.extraction.compare(part)
                self.extraction.bring(part, failures)
            if failures:
                raise Incomplete.of(failures, len(self.extraction.files) + len(failures))
            if choice is None:
                self.documents.draft_notice(self.source, self.selection)
            self.documents.put()

    def _heard(self, path: str, count: int) -> None:
        self.moved += count
        self.pulse(f"Fetching {path}" if self.total is None else "Fetching", self.moved, self.total, "bytes")

    def _unlabeled(self) -> tuple[str, ...]:
        labeled = {one.split for one in self.source.labellings(self.selection)}
        return tuple(split for split in dict.fromkeys(self.selection.splits) if split not in labeled)

    def _result(self, choice: Choice | None) -> CollectResult:
        return CollectResult(
            self.source.name,
            self.target.place,
            files=self.extraction.written,
            kept=self.extraction.kept,
            bytes=self.before + self.moved,
            disk=self.disk,
            requests=self.requests,
            temporary=self.temporary,
            memory=self.memory,
            checked=dict(sorted(self.extraction.checked.items())),
            unchecked=self.singles.unchecked,
            unproven=tuple(sorted(self.extraction.unproven)),
            unlabeled=self._unlabeled(),
            others=self.others,
            images=dict(sorted(choice.licenses.items())) if choice else {},
            planned=self.options.dry_run,
        )
