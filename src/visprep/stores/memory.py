"""A dictionary as a store, for tests and for small things that need no disk."""

from __future__ import annotations

import time
from collections.abc import Iterator

from visprep.digests import algorithm_of, digest_of
from visprep.errors import FileMissing, PlaceMissing, WrongContent
from visprep.manifest import File
from visprep.stores import Store, safe_path
from visprep.wire import Sink


class MemorySink:
    """A body in memory."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def position(self) -> int:
        """Bytes held so far."""
        return len(self._held)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._held += data

    def restart(self) -> None:
        """Forget everything."""
        self._held.clear()

    def getvalue(self) -> bytes:
        """All bytes held."""
        return bytes(self._held)


class MemoryStore:
    """Files in a dictionary; `place` is only its name."""

    #: `fetch` writes a file of at most `messages.SMALL` bytes to its sink at once, when all of it is here.
    hands_on_small_files_whole = True

    def __init__(self, place: str = "memory", files: dict[str, bytes] | None = None) -> None:
        self.place = place
        self._files: dict[str, tuple[bytes, float]] = {}
        for path, data in (files or {}).items():
            self._files[safe_path(path)] = (data, time.time())

    def list(self) -> Iterator[File]:
        """See `Store.list`."""
        if not self._files:
            raise PlaceMissing(f"{self.place}: nothing there")
        for path in sorted(self._files, key=lambda path: path.encode()):
            data, mtime = self._files[path]
            yield File(path, len(data), mtime=mtime)

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        data, mtime = self._get(path)
        return File(path, len(data), mtime=mtime)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        data = self._get(path)[0]
        return data[offset:] if length is None else data[offset : offset + length]

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`."""
        return digest_of(self._get(path)[0], algorithm)

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`."""
        sink.write(self._get(file.path)[0][sink.position :])

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`."""
        safe_path(file.path)
        sink = MemorySink()
        await origin.fetch(file, sink)
        data = sink.getvalue()
        if file.size is not None and len(data) != file.size:
            raise WrongContent(f"{file.path}: {len(data)} bytes arrived, {file.size} were promised")
        if file.digest and digest_of(data, algorithm_of(file.digest)) != file.digest:
            raise WrongContent(f"{file.path}: the digest of what arrived differs from the promised one")
        return await self.write(file.path, data)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`."""
        self._files[safe_path(path)] = (bytes(data), time.time())
        return File(path, len(data), digest_of(data))

    async def delete(self, path: str) -> None:
        """See `Store.delete`."""
        self._files.pop(path, None)

    def _get(self, path: str) -> tuple[bytes, float]:
        if path not in self._files:
            raise FileMissing(f"{path}: not there")
        return self._files[path]
