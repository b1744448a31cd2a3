"""What lies at a place while it is changed, and which of it visprep wrote."""

from __future__ import annotations

import functools

from visprep import wire
from visprep.changes import PlaceChange, present_files
from visprep.errors import FileMissing
from visprep.manifest import File, bare_etag
from visprep.stores.local import LocalStore

__all__ = ["Belongings"]


class Belongings:
    """The files of a place, and whether each is the one that visprep wrote there.

    A directory is asked anew for each. A bucket is listed once, when the first is asked for: an object is still the one
    that was noted as long as it has the ETag that was noted with it. What comes or goes after that must be told: `came`
    and `gone`.
    """

    def __init__(self, change: PlaceChange) -> None:
        self._change, self._store = change, change.store

    @functools.cached_property
    def _etags(self) -> dict[str, str | None]:
        """Of a bucket: path -> bare ETag."""
        return {file.path: bare_etag(file.etag) if file.etag else None for file in present_files(self._store)}

    def came(self, file: File) -> None:
        """A file was written there just now."""
        if "_etags" in self.__dict__:
            self._etags[file.path] = bare_etag(file.etag) if file.etag else None

    def gone(self, path: str) -> None:
        """A file was taken away just now."""
        if "_etags" in self.__dict__:
            self._etags.pop(path, None)

    def is_there(self, path: str) -> bool:
        """Whether anything lies there."""
        if isinstance(self._store, LocalStore):
            return (self._store.root / path).exists()
        return path in self._etags

    def is_ours(self, path: str) -> bool:
        """Whether a file lies there, and is one that visprep wrote and nobody changed since."""
        known = self._change.known(path)
        if known is None:
            return False
        if isinstance(self._store, LocalStore):
            there = (self._store.root / path).is_file()
            return there and known.digest == wire.wait(self._store.hash(path, "sha256"))
        if path not in self._etags:
            return False
        etag = self._etags[path]
        if known.etag and etag:
            return bare_etag(known.etag) == etag
        try:
            return known.digest is not None and known.digest == wire.wait(self._store.hash(path, "sha256"))
        except FileMissing:
            return False
