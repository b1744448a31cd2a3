"""Files of an archive on their way to a directory: which are missing, and bringing them from one mirror or another."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from visprep import wire
from visprep.asides import on_s3, put_object_aside
from visprep.belongings import Belongings
from visprep.changes import PlaceChange, present_files
from visprep.engines import Engine
from visprep.engines.local import map_ordered
from visprep.errors import AccessDenied, FileMissing, UnsafePath, VisprepError, WouldOverwrite, WrongContent
from visprep.journal import Failures
from visprep.manifest import Change, File, bare_etag, diff
from visprep.mirrors import (
    NESTED,
    QUARANTINE,
    TRY_ANOTHER,
    Mirrors,
    Opened,
    check_room,
    is_of_mirror,
    put_aside,
    wrong_digest,
)
from visprep.own_record import CACHE
from visprep.sources import Archive
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import DiskRanges, Packed, RemoteZip
from visprep.stores.spans import Span, spans
from visprep.transfer import surviving
from visprep.unzipping import Unzipping, is_of_target
from visprep.unzipping_slices import Share, Spreading, cut
from visprep.wire import RangesIgnored

Broken: TypeAlias = "list[tuple[str, VisprepError]]"


@dataclass(slots=True)
class Part:
    """One archive of a download: what of it is missing, and what is there."""

    mirrors: Mirrors
    opened: Opened
    missing: list[Packed] = field(default_factory=list)
    there: list[File] = field(default_factory=list)

    @property
    def archive(self) -> Archive:
        """The archive, with what of it is wanted."""
        return self.opened.archive


class Extraction:
    """Archives unpacked into one directory: `files` are there now, `checked` says how each archive was.

    `unproven` are those of which all is here now, but did not come in one go, so that their digest says nothing.
    `written` and `kept` count files. `heard` is told of bytes as they come. `scratch` is for zips in zips on their way
    to a bucket. Where `engine` spreads, its workers take the files of an archive among them.
    """

    def __init__(
        self,
        target: Store,
        change: PlaceChange,
        *,
        may_replace: bool,
        jobs: int | None,
        heard: Callable[[str, int], None],
        engine: Engine | None = None,
    ) -> None:
        self.target, self.change, self._engine = target, change, engine
        self._belongings = Belongings(change)
        self.may_replace, self.jobs, self._heard = may_replace, jobs, heard
        self.files: dict[str, File] = {}
        self.checked: dict[str, str] = {}
        self.unproven: set[str] = set()
        self.written = self.kept = 0
        self.scratch: LocalStore | None = None
        self._read: dict[str, File] = {}

    def hashed(self, file: File, algorithm: str = "sha256", store: LocalStore | None = None) -> File:
        """A file with its digest as it lies there, or in another directory."""
        return File(file.path, file.size, wire.wait((store or self.target).hash(file.path, algorithm)))

    def check_place(self, source: str, folders: Iterable[str]) -> None:
        """PlaceIncomplete when another selection was begun here and not ended, WouldOverwrite for another dataset.

        `folders` are those that this source writes to.
        """
        change = self.change
        begun = change.begun
        if begun and not begun.same_request(change.step):
            # Some that a killed command finished it had no time to note
            within = tuple(f"{name}/" for name in (*begun.splits, *folders))
            new = (file.path for file in present_files(self.target) if file.path not in change.listed)
            if change.notes or any(path.startswith(within) for path in new):
                raise change.unfinished(begun)
        if not self.may_replace:
            change.refuse(one.source for one in change.downloads() if one.source != source)

    def check_folders(self, paths: Iterable[str]) -> None:
        """UnsafePath when a directory that files of these paths go to lies outside the place, through a link."""
        if not isinstance(self.target, LocalStore):
            return
        for folder in sorted({path.rpartition("/")[0] for path in paths}):
            try:
                self.target.real_folder(folder)
            except UnsafePath as error:
                error.hint = "put a directory in the place of the link, or choose another --output"
                raise

    def is_whole(self) -> bool:
        """Whether all that the manifest promises is there, and is as it says; then it all counts as kept."""
        if self.change.manifest is None:
            return False
        if not isinstance(self.target, LocalStore):
            whole = all(map(self.ours_is_there, self.change.listed))
            self.kept = len(self.change.listed) if whole else 0
            return whole
        listed = [file for file in present_files(self.target) if file.path in self.change.listed]
        hashed = map_ordered(self.hashed, listed, self.jobs)
        lacking = Change.MISSING, Change.SIZE, Change.CONTENT
        if any(difference.change in lacking for difference in diff(self.change.manifest.files, hashed)):
            return False
        self.kept = len(listed)
        return True

    def commit(self) -> None:
        """End the change: what was there before and still is, and what was written now, is what the place holds."""
        change = self.change
        present = {file.path for file in present_files(self.target)}
        everything = {path: file for path, file in change.listed.items() if path in present} | self.files
        steps = change.dataset.steps if change.dataset else ()
        if not (change.repeats and steps[-1].origin == change.step.origin):
            steps = (*steps, replace(change.step, counts={"files": len(self.files)}))
        change.commit(everything.values(), steps)

    def compare(self, part: Part) -> None:
        """Find out which of the wanted files are there; WouldOverwrite when others have their names."""
        part.missing, part.there = [], []
        wanted = {one.path: one for one in part.opened.files}
        want = sorted((as_file(one) for one in wanted.values()), key=lambda file: file.sort_key)
        sizes = {file.path: file.size for file in want}
        present = [file for file in present_files(self.target) if file.path in wanted]
        same_size = (file for file in present if file.size == sizes[file.path])
        have = {file.path: file for file in present}
        checked = map_ordered(self._crc, same_size, self.jobs) if self._on_disk else self._told(same_size, want)
        have |= {file.path: file for file in checked}
        in_the_way = []
        for difference in diff(want, sorted(have.values(), key=lambda file: file.sort_key)):
            path = difference.path
            if difference.change is Change.SAME:
                part.there.append(self._known(path, sizes[path]))
                continue
            if difference.change is not Change.MISSING and not self.ours(path):
                in_the_way.append(path)
            part.missing.append(wanted[path])
        if in_the_way and not self.may_replace:
            raise WouldOverwrite.of(self.target.place, in_the_way)

    def _crc(self, file: File) -> File:
        return self.hashed(file, "crc32")

    def _told(self, files: Iterable[File], want: Iterable[File]) -> Iterator[File]:
        """Objects with their CRC-32: as it was noted with their ETag, else they are read.

        Of one that the manifest lists with its ETag, the CRC-32 was right when it came.
        """
        from visprep.stores.s3_streams import digests_of  # here, since directories need none of it

        right = {file.path: file.digest for file in want}
        unknown = []
        for file in files:
            known = self.files.get(file.path) or self.change.known(file.path)
            if known and known.etag and file.etag and bare_etag(known.etag) == bare_etag(file.etag):
                yield replace(file, digest=known.md5 or right[file.path])
            else:
                unknown.append(file)
        bucket = on_s3(self.target)
        for file, told in map_ordered(
            lambda file: (file, digests_of(bucket, file, "crc32", "sha256")), unknown, self.jobs or wire.IN_FLIGHT
        ):
            self._read[file.path] = replace(file, digest=told["sha256"], md5=told["crc32"], mtime=None)
            yield replace(file, digest=told["crc32"])

    @property
    def _on_disk(self) -> bool:
        return isinstance(self.target, LocalStore)

    def _known(self, path: str, size: int | None) -> File:
        """A file that is there, with its SHA-256: as we noted it when we wrote it, or read once more."""
        if path in self._read:
            return self._read[path]
        known = self.change.known(path)
        if known and not self._on_disk:
            return known
        if known and known.size == size and known.digest and known.digest.startswith("sha256:"):
            return File(path, size, known.digest)
        return self.hashed(File(path, size))

    def ours(self, path: str) -> bool:
        """Whether visprep wrote a file, and nobody changed it since."""
        if not self._on_disk:
            return self._belongings.is_ours(path)
        known = self.change.known(path)
        return known is not None and known.digest == wire.wait(self.target.hash(path, "sha256"))

    def ours_is_there(self, path: str) -> bool:
        """Whether a file lies there, and is one that visprep wrote."""
        return self._belongings.is_ours(path)

    def lies_there(self, path: str) -> bool:
        """Whether anything lies there."""
        return self._belongings.is_there(path)

    def asked(self, part: Part) -> list[Span]:
        """The ranges that will be asked for."""
        size = part.opened.zip.size if self._in_one_go(part) else None
        return [] if part.opened.kept else list(spans(part.missing, size))

    def _in_one_go(self, part: Part) -> str | None:
        """The algorithm by which all of an archive is checked as it passes; None when only a part of it is fetched."""
        algorithm = next(iter(part.archive.digests), None)
        all_of_it = part.opened.whole and not part.there and len(part.missing) == len(part.opened.files)
        return algorithm if all_of_it and not part.opened.kept else None

    def bring(self, part: Part, failures: Failures) -> None:
        """Fetch what is missing of an archive; from the next mirror what one does not give."""
        again = False
        for file in part.there:
            self.files[file.path] = file
        while True:
            broken: Broken = []
            try:
                broken = self._fetch(part, f"{QUARANTINE}/{part.archive.name}" if again else None)
                if not broken:
                    break
            except RangesIgnored:  # of so small an archive that its directory was all of it
                part.opened = part.mirrors.whole()
                self.compare(part)
                continue
            except VisprepError as problem:
                if is_of_target(problem) or not is_of_mirror(problem):
                    raise
                part.mirrors.problems.append(problem)
                again = True
            if broken and not again:  # a byte may have been turned on the way
                again = True
                continue
            try:
                if not self._on_disk:  # where nothing else sweeps
                    self._drop_kept(part)
                part.opened = part.mirrors.next()
            except VisprepError:
                if not broken:
                    raise
                for path, error in broken:
                    error.message += "" if path in part.opened.lacking else f"; {part.opened.place} sent it"
                    error.hint = TRY_ANOTHER if isinstance(error, WrongContent) else error.hint
                    failures.append((path, error))
                return
            again = False
            self.compare(part)
            if not part.opened.kept:  # what another mirror sent may have been put aside, and takes its room too
                need = sum(one.member.size for one in part.missing)
                why = "".join(f"; {problem.message}" for problem in part.mirrors.problems)
                check_room(self.target, need, f"{part.archive.path} of the next mirror", why)
        self._drop_kept(part)
        if part.opened.kept and not part.opened.kept.path.startswith(CACHE):
            self.files[part.opened.kept.path] = part.opened.kept
            self.change.note(part.opened.kept)

    def _drop_kept(self, part: Part) -> None:
        """Remove an archive that was only brought here to be unpacked."""
        if part.opened.kept and part.opened.kept.path.startswith(CACHE):
            wire.wait(self.target.delete(part.opened.kept.path))

    def _fetch(self, part: Part, aside: str | None) -> Broken:
        """Fetch what is missing, as far as it can be had; what could not, and why. Wrong bytes are put `aside`."""
        where = f"it is not in {part.archive.path} at {part.opened.place}"
        lacking: Broken = [(path, FileMissing(f"{path}: {where}")) for path in part.opened.lacking]
        if not part.missing:
            return lacking
        unzipping = self._unzipping(part, aside)
        missing = {one.path: one for one in part.missing}
        broken: Broken = []
        done: list[str] = []
        try:
            with contextlib.closing(unzipping.outcomes()) as outcomes:
                for path, outcome in surviving(outcomes):
                    if isinstance(outcome, VisprepError):
                        if is_of_target(outcome) and isinstance(outcome, AccessDenied):
                            raise outcome
                        broken.append((path, outcome))
                    elif path.startswith(NESTED) and (inner := self._unpack(outcome, part, done)):
                        broken += inner
                    else:
                        self._note(outcome, done)
                        del missing[path]
        finally:
            part.missing = list(missing.values())
        if part.opened.kept:
            self.checked[part.archive.name] = next(iter(part.archive.digests), "crc32")
        elif unzipping.digest and not broken:
            self._check_digest(part, unzipping.digest, done)
        else:
            self.checked[part.archive.name] = "crc32"
            if part.opened.whole and part.archive.digests:
                self.unproven.add(part.archive.name)
        return broken + lacking

    def _unzipping(self, part: Part, aside: str | None) -> Unzipping | Spreading:
        """What fetches what is missing of an archive: this process, or workers where there is enough for several."""
        heard = functools.partial(self._heard, part.archive.path)
        nested = any(one.path.startswith(NESTED) for one in part.missing)
        if self._engine and self._engine.spreads and not nested and len(work := cut(part.missing)) > 1:
            return Spreading(self._engine, Share(part.opened.zip, self.target, aside), work, heard)
        return Unzipping(
            part.opened.zip,
            part.missing,
            self.target,
            algorithm=self._in_one_go(part),
            jobs=self.jobs,
            aside=aside,
            scratch=self.scratch,
            on_bytes=None if part.opened.kept else heard,
        )

    def note(self, file: File) -> None:
        """Remember a file that was written."""
        self.change.note(file)
        self._belongings.came(file)
        self.files[file.path] = file
        self.written += 1

    def _note(self, file: File, done: list[str]) -> None:
        """Remember a file that is there now, unless it was only on its way through the cache."""
        if not file.path.startswith(NESTED):
            self.note(file)
            done.append(file.path)

    def _unpack(self, file: File, part: Part, done: list[str]) -> Broken:
        """Unpack a zip that was in an archive; what of it could not be, and why."""
        holder = self.target if isinstance(self.target, LocalStore) else self.scratch
        assert holder
        zipped = RemoteZip(DiskRanges(holder), file)
        folder = file.path.removeprefix(NESTED).rpartition("/")[0]
        found = (replace(one, path=f"{folder}/{one.path}") for one in wire.wait(zipped.files()))
        wanted = [one for one in found if part.archive.wants(one.path)]
        broken: Broken = []
        with contextlib.closing(Unzipping(zipped, wanted, self.target).outcomes()) as outcomes:
            for path, outcome in surviving(outcomes):
                if isinstance(outcome, VisprepError):
                    broken.append((path, outcome))
                else:
                    self._note(outcome, done)
        wire.wait(holder.delete(file.path))
        return broken

    def _check_digest(self, part: Part, arrived: str, done: list[str]) -> None:
        """WrongContent when the archive is not the recorded one: what came out of it is put aside then."""
        wrong = wrong_digest(part.archive, arrived, part.opened.place)
        if wrong is None:
            self.checked[part.archive.name] = arrived.partition(":")[0]
            self.unproven.discard(part.archive.name)
            return
        for path in done:
            self.written -= self.files.pop(path, None) is not None
            if self._on_disk:
                put_aside(self.target, path, f"{part.archive.name}/{path}")
        if not self._on_disk:
            into = f"{QUARANTINE}/{part.archive.name}"
            for _, moved in wire.run((path, put_object_aside(self.target, path, f"{into}/{path}")) for path in done):
                if isinstance(moved, VisprepError):
                    raise moved
            for path in done:
                self._belongings.gone(path)
        wrong.message += f"; what was in it was put aside in .visprep/quarantine/{part.archive.name}"
        raise wrong


def as_file(one: Packed) -> File:
    """A file in an archive, with the CRC-32 that the archive tells."""
    return File(one.path, one.member.size, f"crc32:{one.member.crc:08x}")
