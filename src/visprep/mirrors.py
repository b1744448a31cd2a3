"""An archive at its mirrors, one after the other: found, held against what is recorded of it, and opened.

Mostly it stays where it is, and ranges of it are read. It is brought here whole where that is wanted, and where a
server does not send parts of a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from visprep import wire
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    DiskFull,
    FileMissing,
    NetworkError,
    SourceError,
    VisprepError,
    WrongContent,
)
from visprep.manifest import RECORD_DIR, File
from visprep.own_record import CACHE
from visprep.sources import Archive, Mirror
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
_TRUST = "try another --mirror; if the archive itself was made anew and you trust it, say its checksum with --checksums"


@dataclass(frozen=True, slots=True)
class Opened:
    """An archive that can be read: the wanted files in it, and `others`, how many there are besides.

    `kept` is the file that it is at the target, None where it stayed at the mirror. A zip in it that is compressed once
    more, so that the files in it cannot be told, has a path that begins with `NESTED`.
    """

    archive: Archive
    zip: RemoteZip
    files: tuple[Packed, ...]
    others: int
    kept: File | None = None
    place: str = ""

    @property
    def whole(self) -> bool:
        """Whether all that is in it is wanted."""
        return not self.others


class Mirrors:
    """The mirrors of one archive: an iterator over those that give it, as they are needed.

    `problems` says what was wrong with those before. With `keep` archives are brought to `target` and stay there. With
    `in_parts` a mirror does not give it that sends no parts of a file.
    """

    def __init__(
        self,
        archive: Archive,
        mirrors: Iterable[Mirror],
        target: LocalStore,
        *,
        keep: bool,
        in_parts: bool,
        on_bytes: Callable[[int], None],
    ) -> None:
        self.archive = archive
        self.problems: list[VisprepError] = []
        self._target, self._keep, self._in_parts, self._on_bytes = target, keep, in_parts, on_bytes
        self._opened = self._each(mirrors)
        self._present: tuple[HttpStore, File]

    def next(self) -> Opened:
        """The archive at the next mirror that gives it; the error that says what is wrong with all, when none does."""
        found = next(self._opened, None)
        if found is None:
            raise self.failed()
        return found

    def whole(self) -> Opened:
        """The archive of the present mirror, brought here whole, since parts of it cannot be had."""
        store, file = self._present
        kept = f"{CACHE}/{self.archive.name}.zip"
        return self._at_target(kept, self._bring(store, file, kept), store.place)

    def failed(self) -> VisprepError:
        """What is wrong with all mirrors."""
        if len(self.problems) == 1:
            return self.problems[0]
        told = "; ".join(f"{problem.message} [{problem.slug}]" for problem in self.problems)
        hints = {problem.hint for problem in self.problems if problem.hint}
        return SourceError(
            f"{self.archive.path}: no mirror gives it: {told}", hint=hints.pop() if len(hints) == 1 else _TRUST
        )

    def _each(self, mirrors: Iterable[Mirror]) -> Iterator[Opened]:
        for mirror in mirrors:
            try:
                yield self._open(mirror)
            except VisprepError as problem:
                if not is_of_mirror(problem):
                    raise
                self.problems.append(problem)

    def _open(self, mirror: Mirror) -> Opened:
        store, path = HttpStore(mirror.url), mirror.path(self.archive)
        kept = f"{KEPT}/{self.archive.name}.zip"
        if self._keep and (self._target.root / kept).is_file():
            return self._at_target(kept, wire.wait(self._target.stat(kept)), store.place)
        file = wire.wait(store.stat(path))
        if self.archive.size not in (None, file.size):
            raise WrongContent(
                f"{path}: {store.place} has {file.size} bytes, {self.archive.size} are recorded", hint=_TRUST
            )
        self._present = store, file
        if self._keep:
            return self._at_target(kept, self._bring(store, file, kept), store.place)
        try:
            archive = RemoteZip(store, file)
            return self._found(archive, wire.wait(archive.files()), None, store.place)
        except RangesIgnored:
            if self._in_parts:
                raise
            return self.whole()

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
        if lacking or not wanted:
            more = f" and {len(lacking) - 3} others" if len(lacking) > 3 else ""
            raise WrongContent(
                f"{archive.file.path}: {place} has no {', '.join(lacking[:3] or self.archive.wanted)}{more} in it",
                hint="it is another archive of that name, or has no such labels: try another --mirror, or --labels",
            )
        return Opened(self.archive, archive, wanted, len(files) - len(wanted), kept, place)

    def _may_hold(self, path: str) -> bool:
        """Whether a zip in the archive, compressed once more, has wanted files: by the directory of its name."""
        folder = path.removesuffix(".zip")
        wanted = (*self.archive.wanted, *self.archive.paths)
        return folder != path and any(pattern.startswith(f"{folder}/") for pattern in wanted)

    def _bring(self, store: HttpStore, file: File, kept: str) -> File:
        """Bring the whole archive to the target, going on where an earlier try stopped."""
        need, free = 2 * (file.size or 0), self._target.free()
        if need > free:
            raise DiskFull(
                f"{self._target.place}: {need:,} bytes are needed for {file.path} and what is in it, {free:,} are free",
                hint="free some space, or choose another --output",
            )
        wanted = replace(file, path=kept)
        for _, outcome in wire.run(
            [(kept, self._target.receive(wanted, _Renamed(store, file.path)))],  # type: ignore[arg-type]
            1,
            self._on_bytes,
        ):
            if isinstance(outcome, VisprepError):
                raise outcome
            return outcome
        raise AssertionError("unreachable")

    def _at_target(self, kept: str, file: File, place: str) -> Opened:
        file = replace(file, digest=self._checked(kept, file, place))
        archive = RemoteZip(DiskRanges(self._target), file)
        return self._found(archive, wire.wait(archive.files()), file, place)

    def _checked(self, kept: str, file: File, place: str) -> str | None:
        """The SHA-256 of an archive that is here; WrongContent, and it is put aside, when it is not as recorded."""
        told = {"sha256": file.digest or wire.wait(self._target.hash(kept, "sha256"))}
        recorded = {name: f"{name}:{value}" for name, value in self.archive.digests.items()}
        strongest = next(iter(recorded), "sha256")
        if strongest not in told:
            told[strongest] = wire.wait(self._target.hash(kept, strongest))
        if self.archive.size not in (None, file.size) or (recorded and told[strongest] != recorded[strongest]):
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
                hint=_TRUST,
            )
        return told["sha256"]


def is_of_mirror(problem: VisprepError) -> bool:
    """Whether another mirror may do better."""
    return isinstance(problem, NetworkError | FileMissing | AccessDenied | WrongContent | ChangedMeanwhile)


def put_aside(target: LocalStore, path: str, name: str) -> str:
    """Move a file of a place into its quarantine; where it is now."""
    aside = f"{QUARANTINE}/{name}"
    with target.errors(path):
        where = Path(target.root, aside)
        where.parent.mkdir(parents=True, exist_ok=True)
        Path(target.root, path).replace(where)
    return aside


def wrong_digest(archive: Archive, arrived: str, place: str) -> WrongContent | None:
    """The error about an archive whose digest is not the recorded one; None when it is."""
    algorithm, _, value = arrived.partition(":")
    recorded = archive.digests.get(algorithm)
    if recorded in (None, value):
        return None
    return WrongContent(
        f"{archive.path}: the {algorithm} of what {place} sent is {value}, and {recorded} is recorded", hint=_TRUST
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
