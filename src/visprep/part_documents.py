"""The documents of a split, annotation files and lists of names: first as drafts, then in place, each whole or not."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from visprep import temporary, wire
from visprep.changes import PlaceChange
from visprep.errors import AWAY, FileMissing, PlaceMissing, UnsafePath, WouldOverwrite
from visprep.known_files import sha256_of
from visprep.manifest import File
from visprep.own_record import CACHE, behind_link
from visprep.stores import Store
from visprep.stores.local import LocalStore

#: In the cache, which is emptied when the manifest is written.
_DRAFTS = f"{CACHE}/parts"


@contextlib.contextmanager
def drafting(store: Store) -> Iterator[LocalStore]:
    """A directory for what is not finished, on the same file system where that can be; it does not stay."""
    if not isinstance(store, LocalStore):
        with temporary.directory("parts") as folder:
            yield LocalStore(folder)
        return
    drafts = store.root / _DRAFTS
    if behind_link(store, _DRAFTS):
        raise UnsafePath(f"{store.place}: {_DRAFTS} leads elsewhere", hint="remove the link")
    shutil.rmtree(drafts, ignore_errors=True)  # what a kill left
    try:
        yield LocalStore(drafts)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)
        with contextlib.suppress(OSError):
            drafts.parent.rmdir()  # only when it is empty


class Documents:
    """Documents for the place of a change: `files` are all of them, `due` those that are not yet there as they are."""

    def __init__(self, change: PlaceChange, drafts: LocalStore) -> None:
        self._change, self._store, self._drafts = change, change.store, drafts
        self.files: dict[str, File] = {}
        self.due: dict[str, File] = {}

    def draft(self, path: str, chunks: Iterable[bytes]) -> File:
        """Write a document as a draft; WouldOverwrite when there is a file of somebody else in its place."""
        draft = self._drafts.root / path
        digest, size = hashlib.sha256(), 0
        with self._drafts.errors(path):
            draft.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb", buffering=0) as out, ThreadPoolExecutor(1) as aside:
                for chunk in chunks:
                    hashing = aside.submit(digest.update, chunk)
                    out.write(chunk)
                    hashing.result()
                    size += len(chunk)
        file = File(path, size, f"sha256:{digest.hexdigest()}")
        self.files[path] = file
        have = self.have(path)
        if have is None or have.digest != file.digest:
            if have is not None and not self.is_ours(have):
                raise WouldOverwrite.of(self._store.place, [path], AWAY)
            self.due[path] = file
        else:
            draft.unlink()
        return file

    def have(self, path: str) -> File | None:
        """What lies at a path now, with the digest of its bytes; None for nothing."""
        try:
            file = wire.wait(self._store.stat(path))
        except (FileMissing, PlaceMissing):
            return None
        known = self._listed(path)
        if not isinstance(self._store, LocalStore) and known and known.etag == file.etag and file.etag:
            return known
        return File(path, file.size, sha256_of(file, self._store), etag=file.etag)

    def is_ours(self, have: File) -> bool:
        """Whether visprep wrote what lies there, and nobody changed it since."""
        known = self._change.known(have.path)
        return known is not None and known.digest == have.digest

    def _listed(self, path: str) -> File | None:
        record = self._change.record
        return next((file for file in record.files if file.path == path), None) if record else None

    def put(self, path: str) -> None:
        """Put a document in its place, if it is due."""
        file = self.due.pop(path, None)
        if file is None:
            return
        if isinstance(self._store, LocalStore):
            self._store.adopt(path, self._drafts.root / Path(path))
        else:
            file = wire.wait(self._store.receive(file, self._drafts))
            self.files[path] = file
        self._change.note(file)
        self._change.store_notes()  # documents are few, and one that nobody knows is in the way of the next split
