"""An archive at its mirrors, one after the other: found, held against what is recorded of it, and opened.

Mostly it stays where it is, and ranges of it are read. It is brought here whole where that is wanted, and where a
server does not send parts of a file.
"""

from __future__ import annotations

import contextlib
import filecmp
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from visprep import temporary, wire
from visprep.asides import on_s3, put_object_aside
from visprep.changes import present_files
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    DiskFull,
    FileMissing,
    NetworkError,
    SourceError,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.manifest import RECORD_DIR, File
from visprep.own_record import CACHE
from visprep.sources import Archive, Mirror
from visprep.stores import Store
from visprep.stores.arrivals import part_name
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import DiskRanges, Packed, RemoteZip
from visprep.wire import RangesIgnored, Sink

#: Where what did not agree with its checksum is put aside.
QUARANTINE = f"{RECORD_DIR}/quarantine"
#: Where zips are unpacked from that lie in an archive and are compressed there once more.
NESTED = f"{CACHE}/nested/"
#: Where archives stay that are to be kept.
KEPT = "archives"
_WILD = re.compile(r"[*?\[]")
TRY_ANOTHER = "try another --mirror"
TRUST = "try another --mirror; if the archive itself was made anew and you trust it, say its checksum with --checksums"


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive that can be read: the wanted files in it, and `others`, how many there are besides.

    `kept` is the file that it is at the target, None where it stayed at the mirror. A zip in it that is compressed once
    more, so that the files in it cannot be told, has a path that begins with `NESTED`. `lacking` are paths that were
    asked for and are not in it.
    """

    archive: Archive
    zip: RemoteZip
    files: tuple[Packed, ...]
    others: int
    kept: File | None = None
    place: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether all that is in it is wanted."""
        return not self.others


class Mirrors:
    """The mirrors of one archive: an iterator over those that give it, as they are needed.

    `problems` says what was wrong with those before. With `keep` archives are brought to `target` and stay there;
    `may_move` says of a path there whether a file that is not the archive may be put aside. With `in_parts` a mirror
    does not give it that sends no parts of a file. One that lacks some of its files is another archive, unless it
    `may_lack` them. Of a bucket, `known` says what visprep wrote there and is there still, so that it need not be read
    again, and `came` is told of each archive that is there now.
    """

    def __init__(
        self,
        archive: Archive,
        mirrors: Iterable[Mirror],
        target: Store,
        *,
        keep: bool,
        may_move: Callable[[str], bool],
        in_parts: bool,
        on_bytes: Callable[[int], None],
        may_lack: bool = False,
        known: Callable[[str], File | None] = lambda _: None,
        came: Callable[[File], None] = lambda _: None,
    ) -> None:
        self.archive = archive
        self.problems: list[VisprepError] = []
        self._target, self._keep, self._in_parts, self._on_bytes = target, keep, in_parts, on_bytes
        self._may_lack, self._known, self._came = may_lack, known, came
        self._may_move, self._mirrors = may_move, tuple(mirrors)
        self._kept = f"{KEPT}/{archive.name}.zip"
        self._opened = self._each()
        self._present: tuple[HttpStore, File]

    def next(self) -> Opened:
        """The archive at the next mirror that gives it; the error that says what is wrong with all, when none does."""
        found = next(self._opened, None)
        if found is None:
            raise self.failed()
        return found

    def whole(self) -> Opened:
        """The archive of the present mirror, brought here whole, since parts of it cannot be had; or of the next."""
        try:
            return self._whole()
        except VisprepError as problem:
            if not is_of_mirror(problem):
                raise
            self.problems.append(problem)
            return self.next()

    def _whole(self) -> Opened:
        store, file = self._present
        kept = f"{CACHE}/{self.archive.name}.zip"
        return self._at_target(kept, self._bring(store, file, kept), store.place)

    def need(self) -> int:
        """Bytes that the archive and what is in it will take where it is kept, as far as a mirror tells beforehand.

        In a bucket there is always room.
        """
        if not isinstance(self._target, LocalStore):
            return 0
        if self._is_there(self._kept):
            return self._unpacked(self._target, wire.wait(self._target.stat(self._kept)))
        for mirror in self._mirrors:
            with contextlib.suppress(VisprepError):  # it is told when the archive is opened
                return self._need(self._target, self._stat(mirror), self._kept)
        return 0

    def failed(self) -> VisprepError:
        """What is wrong with all mirrors."""
        if len(self.problems) == 1:
            return self.problems[0]
        told = "; ".join(f"{problem.message} [{problem.slug}]" for problem in self.problems)
        hints = {problem.hint for problem in self.problems if problem.hint}
        problem = SourceError(
            f"{self.archive.path}: no mirror gives it: {told}", hint=hints.pop() if len(hints) == 1 else TRUST
        )
        if self.problems:
            problem.__cause__ = ExceptionGroup("mirrors", self.problems)
        return problem

    def _each(self) -> Iterator[Opened]:
        for mirror in self._mirrors:
            try:
                yield self._open(mirror)
            except VisprepError as problem:
                if not is_of_mirror(problem):
                    raise
                self.problems.append(problem)

    def _open(self, mirror: Mirror) -> Opened:
        store, kept = HttpStore(mirror.url), self._kept
        if self._keep and self._is_there(kept):
            try:
                return self._at_target(kept, wire.wait(self._target.stat(kept)), self._target.place, self._may_move)
            except WrongContent as problem:
                if self._is_there(kept):
                    raise
                self.problems.append(problem)  # it was put aside, and the right one comes in its place
        file = self._stat(mirror)
        self._present = store, file
        if self._keep:
            return self._at_target(kept, self._bring(store, file, kept), store.place)
        try:
            archive = RemoteZip(store, file)
            return self._found(archive, wire.wait(archive.files()), None, store.place)
        except RangesIgnored:
            if self._in_parts:
                raise
            return self._whole()

    def _stat(self, mirror: Mirror) -> File:
        """The archive as a mirror has it; WrongContent when its size is not the recorded one."""
        file = wire.wait(HttpStore(mirror.url).stat(mirror.path(self.archive)))
        if self.archive.size not in (None, file.size):
            raise WrongContent(
                f"{file.path}: {mirror.url} has {file.size} bytes, {self.archive.size} are recorded", hint=TRUST
            )
        return file

    def _found(self, archive: RemoteZip, files: tuple[Packed, ...], kept: File | None, place: str) -> Opened:
        wanted = tuple(
            replace(one, path=f"{NESTED}{one.path}") if self._may_hold(one.path) else one
            for one in files
            if self.archive.wants(one.path) or self._may_hold(one.path)
        )
        there = {one.path.removeprefix(NESTED) for one in wanted}
        named = {path for path in self.archive.wanted if not _WILD.search(path)} | self.archive.paths
        within = [f"{path.removesuffix('.zip')}/" for path in there if path.endswith(".zip")]
        lacking = sorted(path for path in named - there if not path.startswith(tuple(within)))
        if (lacking or not wanted) and not (self._may_lack and named):
            more = f" and {len(lacking) - 3} others" if len(lacking) > 3 else ""
            raise WrongContent(
                f"{archive.file.path}: {place} has no {', '.join(lacking[:3] or self.archive.wanted)}{more} in it",
                hint="it is another archive of that name, or has no such labels: try another --mirror, or --labels",
            )
        if self.archive.folder:
            wanted = tuple(replace(one, path=f"{self.archive.folder}/{one.path}") for one in wanted)
            lacking = [f"{self.archive.folder}/{path}" for path in lacking]
        return Opened(self.archive, archive, wanted, len(files) - len(wanted), kept, place, tuple(lacking))

    def _may_hold(self, path: str) -> bool:
        """Whether a zip in the archive, compressed once more, has wanted files: by the directory of its name."""
        folder = path.removesuffix(".zip")
        wanted = (*self.archive.wanted, *self.archive.paths)
        return folder != path and any(pattern.startswith(f"{folder}/") for pattern in wanted)

    def _bring(self, store: HttpStore, file: File, kept: str) -> File:
        """Bring the whole archive to the target, going on where an earlier try stopped."""
        wanted = replace(file, path=kept)
        if not isinstance(self._target, LocalStore):
            return self._stream(store, file, wanted)
        check_room(self._target, self._need(self._target, file, kept), f"{file.path} and what is in it")
        for _, outcome in wire.run(
            [(kept, self._target.receive(wanted, _Renamed(store, file.path)))],  # type: ignore[arg-type]
            1,
            self._on_bytes,
        ):
            if isinstance(outcome, VisprepError):
                raise outcome
            return outcome
        raise AssertionError("unreachable")

    def _stream(self, store: HttpStore, file: File, wanted: File) -> File:
        """Bring the whole archive to a bucket; WrongContent, and nothing is there, when it is not the recorded one."""
        from visprep.stores.s3_streams import bring  # here, since directories need none of it

        recorded = next((f"{name}:{value}" for name, value in self.archive.digests.items()), None)
        try:
            came = bring(on_s3(self._target), replace(wanted, digest=recorded), store, file.path, self._on_bytes)
        except WrongContent as problem:
            message = f"{self.archive.path}: {store.place} sent another archive than is recorded: {problem.message}"
            raise WrongContent(message, hint=TRUST) from None
        if wanted.path == self._kept:
            self._came(came)
        return came

    def _is_there(self, path: str) -> bool:
        if isinstance(self._target, LocalStore):
            return (self._target.root / path).is_file()
        try:
            wire.wait(self._target.stat(path))
        except FileMissing:
            return False
        return True

    def _need(self, target: LocalStore, file: File, kept: str) -> int:
        """Bytes that an archive will take that is brought here whole, with what is in it."""
        whole = Path(target.root, kept)
        begun = whole.with_name(part_name(whole.name, replace(file, path=kept)))
        return (file.size or 0) - (begun.stat().st_size if begun.is_file() else 0) + self._unpacked(target, file)

    def _unpacked(self, target: LocalStore, file: File) -> int:
        """Bytes that the files in an archive will take, about as many as itself, beside those that are here."""
        here = sum(one.size or 0 for one in present_files(target) if self.archive.wants(one.path))
        return max(0, (file.size or 0) - here)

    def _at_target(self, kept: str, file: File, place: str, may_move: Callable[[str], bool] = lambda _: True) -> Opened:
        file = replace(file, digest=self._checked(kept, file, place, may_move))
        ranges = DiskRanges(self._target) if isinstance(self._target, LocalStore) else on_s3(self._target)
        archive = RemoteZip(ranges, file)
        return self._found(archive, wire.wait(archive.files()), file, place)

    def _checked_there(self, kept: str, file: File, place: str, may_move: Callable[[str], bool]) -> str | None:
        """As `_checked`, of an archive in a bucket: it is read for that, unless it is known to be what came."""
        from visprep.stores.s3_streams import digests_of  # here, since directories need none of it

        known = self._known(kept)
        if known is not None or kept != self._kept or place != self._target.place:
            return known.digest if known else file.digest  # it was held against what is recorded as it came
        told = digests_of(on_s3(self._target), file, *{"sha256", *self.archive.digests})
        wrong = [name for name, value in self.archive.digests.items() if told[name] != f"{name}:{value}"]
        if wrong or self.archive.size not in (None, file.size):
            if not may_move(kept):
                raise WouldOverwrite.of(self._target.place, [kept])
            aside = put_aside(self._target, kept, f"{self.archive.name}.zip")
            what = f"{self.archive.path}: {place} has another archive than is recorded; it was put aside as {aside}"
            raise WrongContent(what, hint=TRUST)
        return told["sha256"]

    def _checked(self, kept: str, file: File, place: str, may_move: Callable[[str], bool]) -> str | None:
        """The SHA-256 of an archive that is here; WrongContent, and it is put aside, when it is not as recorded.

        WouldOverwrite when it is somebody else's.
        """
        if not isinstance(self._target, LocalStore):
            return self._checked_there(kept, file, place, may_move)
        told = {"sha256": file.digest or wire.wait(self._target.hash(kept, "sha256"))}
        recorded = {name: f"{name}:{value}" for name, value in self.archive.digests.items()}
        strongest = next(iter(recorded), "sha256")
        if strongest not in told:
            told[strongest] = wire.wait(self._target.hash(kept, strongest))
        if self.archive.size not in (None, file.size) or (recorded and told[strongest] != recorded[strongest]):
            if not may_move(kept):
                raise WouldOverwrite.of(self._target.place, [kept])
            for name in recorded.keys() - told.keys():
                told[name] = wire.wait(self._target.hash(kept, name))
            words = []
            if self.archive.size not in (None, file.size):
                words.append(f"its size is {file.size}, and {self.archive.size} is recorded")
            for name, digest in self.archive.digests.items():
                words.append(f"its {name} is {(told[name] or '').partition(':')[2]}, and {digest} is recorded")
            aside = put_aside(self._target, kept, f"{self.archive.name}.zip")
            raise WrongContent(
                f"{self.archive.path}: {place} sent another archive than is recorded: {'; '.join(words)}; it was put "
                f"aside as {aside}",
                hint=TRUST,
            )
        return told["sha256"]


def is_of_mirror(problem: VisprepError) -> bool:
    """Whether another mirror may do better."""
    return isinstance(problem, NetworkError | FileMissing | AccessDenied | WrongContent | ChangedMeanwhile)


def check_room(target: Store, need: int, what: str, why: str = "") -> None:
    """DiskFull when so many bytes are more than are free on a disk."""
    if not isinstance(target, LocalStore):
        return
    free = target.free()
    if need > free:
        raise DiskFull(
            f"{target.place}: {need:,} bytes are needed for {what}, {free:,} are free{why}",
            hint=temporary.way_out(target.root, "free some space, choose another --output, or ask for less"),
        )


def put_aside(target: Store, path: str, name: str) -> str:
    """Move a file of a place into its quarantine, beside others of that name, on S3 in place of it; where it is now."""
    if not isinstance(target, LocalStore):
        wire.wait(put_object_aside(target, path, f"{QUARANTINE}/{name}"))
        return f"{QUARANTINE}/{name}"
    with target.errors(path):
        moved, where = Path(target.root, path), Path(target.root, QUARANTINE, name)
        stem, number = where.stem, 1
        while where.exists() and not filecmp.cmp(moved, where, shallow=False):
            number += 1
            where = where.with_stem(f"{stem}-{number}")
        where.parent.mkdir(parents=True, exist_ok=True)
        moved.replace(where)
        return where.relative_to(target.root).as_posix()


def wrong_digest(archive: Archive, arrived: str, place: str) -> WrongContent | None:
    """The error about an archive whose digest is not the recorded one; None when it is."""
    algorithm, _, value = arrived.partition(":")
    recorded = archive.digests.get(algorithm)
    if recorded in (None, value):
        return None
    return WrongContent(
        f"{archive.path}: the {algorithm} of what {place} sent is {value}, and {recorded} is recorded", hint=TRUST
    )


class _Renamed:
    """One file of a web server under another name."""

    def __init__(self, store: HttpStore, path: str) -> None:
        self._store, self._path = store, path
        self.place = store.place

    async def stat(self, path: str) -> File:
        return replace(await self._store.stat(self._path), path=path)

    async def fetch(self, file: File, sink: Sink) -> None:
        await self._store.fetch(replace(file, path=self._path), sink)

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> None:
        await self._store.fetch_range(replace(file, path=self._path), offset, length, sink)
