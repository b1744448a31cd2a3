"""What is published of a place: its files with their digests, its record, and where each lies below the prefix."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from visprep import provenance, wire
from visprep.digests import algorithm_of, digest_of
from visprep.engines.local import map_ordered
from visprep.histories import edits_by_hand
from visprep.known_files import known_files, memory_of, sha256_of
from visprep.manifest import DATASET, MANIFEST, File
from visprep.manifest_draft import Draft
from visprep.own_record import Listed, read_dataset, read_record
from visprep.progress import Pulse
from visprep.provenance import Dataset
from visprep.stores import Store, versions
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.versions import Listing, key_of

#: Files of a bucket about whose digest is asked at once.
_ASKED_AT_ONCE = 32


@dataclass(frozen=True)
class Edition:
    """The files of a place as they are now, sorted, each with its SHA-256.

    `made` are those that are not at the place as they are published: its record, where people changed files since it
    was written.
    """

    files: tuple[File, ...]
    made: dict[str, bytes]

    @cached_property
    def keys(self) -> dict[str, str]:
        """Where each file lies below the prefix."""
        return {file.path: key_of(file.path, file.digest or "") for file in self.files}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size or 0 for file in self.files)

    def manifest(self, annotations: tuple[str, ...]) -> bytes:
        """The manifest of a version of these files, of which loaders have these annotation files."""
        lines = (versions.line(file, self.keys[file.path]) for file in self.files)
        return versions.header(len(self.files), self.size, annotations) + b"".join(lines)

    def same_as(self, listing: Listing) -> bool:
        """Whether a version has the same files: of a record that was made anew, the date may differ."""
        theirs = {file.path: file.digest for file in listing.files if file.path not in self.made}
        return theirs == {file.path: file.digest for file in self.files if file.path not in self.made}


def edition(origin: Store, jobs: int | None, pulse: Pulse) -> Edition:
    """Look at a place, and read what has no known SHA-256."""
    listed = Listed.read(origin)
    memory = memory_of(origin, None, needed=False)
    with memory:
        known = [file for file in known_files(origin, listed, memory) if not file.path.endswith("/")]
        files = []
        jobs = jobs or (None if isinstance(origin, LocalStore) else _ASKED_AT_ONCE)
        for done, file in enumerate(map_ordered(lambda file: _hashed(file, origin), known, jobs), 1):
            memory.learn(file)
            files.append(File(file.path, file.size, file.digest))
            pulse("Hashing", done, len(known), last=done == len(known))
    made = _record(origin, listed, files)
    for path, data in made.items():
        files = [file for file in files if file.path != path]
        files.append(File(path, len(data), digest_of(data)))
    files.sort(key=lambda file: file.sort_key)
    return Edition(tuple(files), made)


def _hashed(file: File, origin: Store) -> File:
    if algorithm_of(file.digest or "") == "sha256":
        return file
    now = file if file.size is not None else wire.wait(origin.stat(file.path))
    return File(file.path, now.size, sha256_of(now, origin), file.mtime, file.etag)


def _record(origin: Store, listed: Listed | None, files: list[File]) -> dict[str, bytes]:
    """The record that goes along: as it is, or written anew where it does not say what is there now."""
    if listed is None:
        return {}
    data = [file for file in files if file.path != DATASET]
    dataset = next((file for file in files if file.path == DATASET), None)
    edits = edits_by_hand(listed.files, data)
    manifest = read_record(origin, MANIFEST)
    if manifest is not None and not edits and listed.dataset == (dataset and dataset.digest):
        return {MANIFEST: manifest}
    before = read_dataset(origin)
    store = MemoryStore()
    draft = Draft.of(store, data)
    steps = before.steps if before else ()
    if edits:
        steps = (*steps, provenance.step("edit", "by hand", options={"files": draft.digest}, counts=edits))
    written = wire.wait(store.write(DATASET, Dataset(steps, draft.digest).dump()))
    draft.write(written.digest)
    return {path: wire.wait(store.read(path)) for path in (DATASET, MANIFEST)}


def version_name(date: str, manifest: bytes) -> str:
    """What a version is called: names sort by date, and other files have another name."""
    return f"{date.replace('-', '').replace(':', '')}-{hashlib.sha256(manifest).hexdigest()[:8]}"


def missing(edition: Edition, there: dict[str, int]) -> Iterator[File]:
    """The files that are to be sent; `there` are the keys below the prefix with their sizes."""
    return (file for file in edition.files if there.get(edition.keys[file.path]) != file.size)


def hex_of(manifest: bytes) -> str:
    """The SHA-256 of a manifest, in hex."""
    return hashlib.sha256(manifest).hexdigest()


def now() -> str:
    """The time now, as it is written: when a version was replaced decides when it may go."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
