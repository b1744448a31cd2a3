"""The manifest that a place is about to have, made file by file: of any length, in little memory."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from typing import IO

from visprep import temporary, wire
from visprep.manifest import MANIFEST, File, entry_line, header_line, with_etags
from visprep.stores import Store
from visprep.stores.local import LocalStore

#: Bytes of a manifest that are held in memory; a longer one is made in a temporary file.
_HELD = 8 * 1024 * 1024
#: Lines that are hashed and written at once.
_TOGETHER = 500


class Draft:
    """A manifest in the making: files are added in order of path, then it is written, whole or not at all.

    `digest` is that of the file list alone, `files` and `size` count what was added, files and bytes. On disk an ETag
    is not worth noting, since it does not outlive a copy of the directory.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._etags = store, not isinstance(store, LocalStore)
        self._body: IO[bytes] = tempfile.SpooledTemporaryFile(_HELD)  # noqa: SIM115 -- it lives as we do
        self._hash = hashlib.sha256()
        self._plain: list[bytes] = []
        self._lines: list[bytes] = []
        self.files = self.size = 0

    def __del__(self) -> None:
        self._body.close()

    @classmethod
    def of(cls, store: Store, files: Iterable[File]) -> Draft:
        """A draft of sorted files."""
        draft = cls(store)
        for file in files:
            draft.add(file)
        return draft

    def add(self, file: File) -> None:
        """One more file, after all others in the order of paths."""
        line = entry_line(file)
        self._plain.append(line)
        self._lines.append(with_etags(line, file) if self._etags else line)
        self.files += 1
        self.size += file.size or 0
        if len(self._lines) == _TOGETHER:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(b"".join(self._plain))
        self._body.write(b"".join(self._lines))
        self._plain.clear()
        self._lines.clear()

    @property
    def digest(self) -> str:
        """`sha256:hex` of the file list as it is now; see `Manifest.digest`."""
        self._flush()
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, dataset: str | None) -> None:
        """Put the manifest in its place; `dataset` is the digest of the `dataset.json` that belongs to it."""
        self._flush()
        header = header_line(self.files, self.size, dataset)
        length = self._body.tell()
        self._body.seek(0)
        if length < _HELD:
            wire.wait(self._store.write(MANIFEST, header + self._body.read()))
            return
        with temporary.directory("manifest") as folder:
            path = folder / MANIFEST
            path.parent.mkdir()
            with path.open("wb") as out:
                out.write(header)
                shutil.copyfileobj(self._body, out)
            wire.wait(self._store.receive(File(MANIFEST, path.stat().st_size), LocalStore(folder)))
