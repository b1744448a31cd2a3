"""Whole splits from the archives that hold all their images: one stream each, gone on with where it broke.

An image is known by its name alone, `{id}.jpg`, wherever it lies in an archive. What is in an archive and in no table
is not taken; what is in a table and in no archive is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import MappingProxyType

from visprep import wire
from visprep.errors import DiskError, DiskFull, FileMissing, UsageError, VisprepError, WrongContent
from visprep.extraction import Extraction
from visprep.manifest import File
from visprep.mirrors import QUARANTINE, TRUST, is_of_mirror, put_aside, wrong_digest
from visprep.own_record import CACHE
from visprep.roads import ABOUT, BucketOptions, Site
from visprep.single_images import Singles
from visprep.sources import Archive, Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.http import HttpStore
from visprep.stores.unpacking import Landing
from visprep.stores.zip_directory import STORED, Member
from visprep.untarring import Notes, Untarring

__all__ = ["Archives", "Streams"]

#: Bytes that wait to be written, at most.
_WAITING = 64 * 1024 * 1024
#: An image has no more bytes than that.
_LARGEST = 512 * 1024 * 1024


class Archives:
    """The archives of whole splits, on the face of the bucket on the web, or at mirrors of it."""

    to_any_place = False  # what came is held against the digest of the whole at the end, and put aside where it differs

    def __init__(self, source: OpenImages, options: BucketOptions) -> None:
        self.source, self.options = source, options

    @property
    def places(self) -> list[str] | str:
        """See `Road.places`."""
        return [store.place for store in self._stores()]

    def check(self, selection: Selection) -> None:
        """See `Road.check`: whole splits only."""
        given = {
            "--limit": selection.limit is not None,
            "--classes": bool(selection.classes),
            "--ids": selection.images is not None,
            "--licenses": bool(selection.licenses),
        }
        if said := [name for name, is_said in given.items() if is_said]:
            raise UsageError(
                f"--via tar brings whole splits, and {', '.join(said)} asks for some images",
                hint="take --via s3 or --via http for them",
            )

    def files(self, site: Site) -> Iterator[File]:
        """See `Road.files`: nothing is known of them."""
        return map(File, site.choice.paths)

    def open(self, site: Site) -> Singles:
        """See `Road.open`."""
        archives = [
            (split, self._told(one)) for split in site.choice.images for one in self.source.image_archives(split)
        ]
        return Streams(site.extraction, archives, self._stores(), self.options.jobs, site.heard)

    def _told(self, archive: Archive) -> Archive:
        """An archive with the checksums that were given of it, where any were."""
        said = self.options.checksums.get(archive.name)
        if said and "sha256" not in said:
            raise UsageError(f"--checksums: of {archive.name} the SHA-256 is needed", hint="make it with sha256sum")
        return replace(archive, size=None, digests=MappingProxyType(said)) if said else archive

    def _stores(self) -> Sequence[HttpStore]:
        urls = [f"{mirror.url.rstrip('/')}/{self.source.bucket}" for mirror in self.options.mirrors]
        return [HttpStore(url) for url in urls or [self.source.images_url]]


class Streams(Singles):
    """Images that are wanted out of `archives`, each of a split, from the first of `stores` that gives it."""

    def __init__(
        self,
        extraction: Extraction,
        archives: Sequence[tuple[str, Archive]],
        stores: Sequence[HttpStore],
        jobs: int | None,
        heard: Callable[[str, int], None],
    ) -> None:
        super().__init__(extraction, (), jobs, heard, ABOUT)
        self._archives, self._stores = archives, stores

    def fetch(self) -> dict[str, VisprepError]:
        """See `Singles.fetch`: an archive of which nothing is wanted is not asked for."""
        for split, archive in self._archives:
            if self.of(split, archive):
                self._bring(split, archive)
        return self.left(FileMissing("its archive holds no image of this name"))

    @property
    def to_come(self) -> int:
        """See `Singles.to_come`: an archive comes whole, whatever of it is wanted."""
        wanted = [archive for split, archive in self._archives if self.of(split, archive)]
        return sum(self._size(archive) if archive.size is None else archive.size for archive in wanted)

    def _size(self, archive: Archive) -> int:
        for store in self._stores:
            with contextlib.suppress(VisprepError):  # it is told when the archive is fetched
                return wire.wait(store.stat(archive.path)).size or 0
        return 0

    def of(self, split: str, archive: Archive) -> list[str]:
        """What is wanted and belongs into an archive: those of train are cut by the first digit of the ids."""
        begin = f"{split}/{archive.name.removesuffix('.tar.gz').removeprefix(split).removeprefix('_')}"
        return [path for path in self.wanted if path.startswith(begin)]

    def _bring(self, split: str, archive: Archive) -> None:
        """Take what is wanted out of an archive, from the first mirror that gives it."""
        problems: list[VisprepError] = []
        for store in self._stores:
            try:
                return _Stream(self, split, archive, store).bring()
            except VisprepError as problem:
                if not is_of_mirror(problem):
                    raise
                problems.append(problem)
        for path in self.of(split, archive):
            self.problems[path] = problems[-1]
        return None

    def heard(self, count: int) -> None:
        """Tell of bytes that came."""
        self._heard("images", count)

    @property
    def extraction(self) -> Extraction:
        """What it all goes to."""
        return self._extraction

    def again(self, path: str) -> None:
        """Want a file again that came, and was put aside."""
        self.wanted[path] = File(path)
        self.extraction.written -= self.extraction.files.pop(path, None) is not None


class _Stream:
    """One archive at one mirror."""

    def __init__(self, streams: Streams, split: str, archive: Archive, store: HttpStore) -> None:
        self._streams, self._split, self._archive, self._store = streams, split, archive, store
        self._target = streams.directory
        self._landings: dict[str, Landing] = {}
        self._done: list[str] = []
        self._seen: set[str] = set()

    def bring(self) -> None:
        """Take out what is wanted; WrongContent, and what came out is put aside, when it is another archive."""
        recorded, change = self._archive.digests.get("sha256"), self._streams.extraction.change
        file = self._told()
        notes = Notes(
            self._target.root / CACHE / f"stream-{self._archive.name}",
            recorded or f"{file.etag or file.mtime} {file.size}",
        )
        if notes.progress and not notes.names.isdisjoint(path.rpartition("/")[2] for path in self._wanted()):
            notes.forget()  # some that passed are there no more
        if notes.progress and notes.progress.digest is not None:
            return  # all of it passed, and they were not in it
        self._seen = set(notes.names)
        try:
            self._pass(file, notes)
        except WrongContent as wrong:
            notes.forget()
            aside = f"{self._archive.name}"
            # What an earlier run took out of it, too
            came = change.noted.keys() & {f"{self._split}/{name}" for name in self._seen}
            for path in sorted(came.union(self._done)):
                if (self._target.root / path).is_file():
                    put_aside(self._target, path, f"{aside}/{path}")
                    self._streams.again(path)
            wrong.message += f"; what was in it was put aside in {QUARANTINE}/{aside}"
            raise

    def _told(self) -> File:
        file = wire.wait(self._store.stat(self._archive.path))
        if file.size is None or self._archive.size not in (None, file.size):
            has = "does not tell its size" if file.size is None else f"has {file.size} bytes"
            raise WrongContent(f"{file.path}: {self._store.place} {has}, {self._archive.size} are recorded", hint=TRUST)
        return file

    def _wanted(self) -> list[str]:
        return self._streams.of(self._split, self._archive)

    def _pass(self, file: File, notes: Notes) -> None:
        untarring = Untarring(self._store, file, notes, on_bytes=self._streams.heard)
        change, wanted = self._streams.extraction.change, self._streams.wanted
        taken: set[str] = set()

        def wants(name: str, size: int) -> bool:
            path = f"{self._split}/{name}"
            return path in wanted and path not in taken and size <= _LARGEST

        with contextlib.closing(_Writing(self._write, self._settle)) as writing:
            for name, header, data in untarring.members(wants):
                path = f"{self._split}/{name}"
                self._seen.add(name)
                if data is not None:
                    taken.add(path)
                    writing.take(path, header.offset, data)
                elif path in wanted and path not in taken:
                    self._streams.problems[path] = WrongContent(f"{path}: in {file.path} it is no plain file")
                if untarring.due:
                    writing.settle()
                    change.store_notes()
                    with self._target.errors(CACHE):
                        untarring.note()
        self._check(untarring.digest)
        change.store_notes()
        with self._target.errors(CACHE):
            untarring.end()

    def _write(self, path: str, offset: int, data: bytes) -> File | VisprepError:
        member = Member(path, b"", offset, STORED, 0, 0, len(data), len(data))
        try:
            self._landing(path).put(path, member, data)
        except VisprepError as error:
            return error
        return File(path, len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")

    def _landing(self, path: str) -> Landing:
        store = self._streams.store(path)
        return self._landings.setdefault(store.place, Landing(store))

    def _settle(self, path: str, outcome: File | VisprepError) -> None:
        """Take note of what was written, or could not be."""
        if isinstance(outcome, File):
            self._streams.arrived(outcome)
            self._done.append(outcome.path)
        elif isinstance(outcome, DiskFull | DiskError):
            raise outcome
        else:
            self._streams.problems[path] = outcome

    def _check(self, digest: str | None) -> None:
        """WrongContent when the archive is not the recorded one; where its digest is not known, its CRC-32 must do."""
        extraction, name = self._streams.extraction, self._archive.name
        if digest is None:
            extraction.checked[name] = "crc32"
            extraction.unproven.add(name)
        elif wrong := wrong_digest(self._archive, digest, self._store.place):
            raise wrong
        else:
            extraction.checked[name] = "sha256"


class _Writing:
    """A thread that writes what was taken out, while the next is inflated; `settle` is told of each, in order."""

    def __init__(
        self,
        write: Callable[[str, int, bytes], File | VisprepError],
        settle: Callable[[str, File | VisprepError], None],
    ) -> None:
        self._write, self._settle = write, settle
        self._thread = ThreadPoolExecutor(1, "visprep-write")
        self._waiting: deque[tuple[str, int, Future[File | VisprepError]]] = deque()
        self._held = 0

    def take(self, path: str, offset: int, data: bytes) -> None:
        """Write a file soon; who takes too many waits."""
        self._waiting.append((path, len(data), self._thread.submit(self._write, path, offset, data)))
        self._held += len(data)
        while self._held > _WAITING:
            self._next()

    def settle(self) -> None:
        """Wait until all is written."""
        while self._waiting:
            self._next()

    def close(self) -> None:
        """The same, also where something else went wrong."""
        try:
            self.settle()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _next(self) -> None:
        path, size, future = self._waiting.popleft()
        self._held -= size
        self._settle(path, future.result())
