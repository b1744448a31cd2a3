"""Files of one or several stores under other names, as what a place is copied from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from visprep import wire
from visprep.manifest import File
from visprep.stores import Store


@dataclass(frozen=True, slots=True)
class Renamed:
    """A file that shall be called `path`, and where it is now."""

    path: str
    store: Store
    origin: File

    @property
    def file(self) -> File:
        """What it shall be, as far as that is known."""
        return replace(self.origin, path=self.path)


class RenamedStore:
    """Stands in for the stores of files that have other names here: as much of a `Store` as a copy asks of one."""

    def __init__(self, files: Mapping[str, Renamed]) -> None:
        self._files = files
        stores = {id(one.store): one.store for one in files.values()}.values()
        self.place = ", ".join(store.place for store in stores)
        self.hands_on_small_files_whole = all(getattr(one, "hands_on_small_files_whole", False) for one in stores)

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        one = self._files[path]
        return replace(await one.store.stat(one.origin.path), path=path)

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`."""
        one = self._files[path]
        return await one.store.hash(one.origin.path, algorithm)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        one = self._files[path]
        return await one.store.read(one.origin.path, offset, length)

    async def fetch(self, file: File, sink: wire.Sink) -> str | None:
        """See `Store.fetch`."""
        one = self._files[file.path]
        return await one.store.fetch(replace(file, path=one.origin.path), sink)
