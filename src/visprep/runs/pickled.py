"""Snapshots on their way to a place, straight from their buffers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from visprep.errors import AccessDenied, FileMissing, WrongContent
from visprep.manifest import File
from visprep.runs.snapshots import Snapshot
from visprep.stores import Store
from visprep.stores.s3 import S3Store
from visprep.wire import Patience, Sink, wait

#: What is handed on at once, in bytes.
_PIECE = 1024 * 1024


def write_checkpoint(store: Store, path: str, snapshot: Snapshot, *, patience: Patience | None = None) -> File:
    """Make the file of a snapshot at `path`; its size and digest (`sha256:hex`).

    It appears under its name when it is whole, and the server confirmed its checksum, or not at all. Several threads
    may write one snapshot at the same time. Raises StoreError, NetworkError or CredentialsError.
    """
    with snapshot.reading() as image:
        # On disk the unfinished file is named so that whoever sweeps finds it: by what is known before the content is
        file = File(path, len(image)) if isinstance(store, S3Store) else File(path)
        received = wait(store.receive(file, _Image(path, image)), patience)
        if received.size != len(image):
            raise WrongContent(f"{path}: {received.size} bytes were written, {len(image)} were meant")
    return received


class _Image:
    """A store of one file, which is in memory, and can only be read."""

    def __init__(self, path: str, image: memoryview) -> None:
        self.place = "memory"
        self._path, self._image = path, image

    def list(self) -> Iterator[File]:
        yield File(self._path, len(self._image))

    async def stat(self, path: str) -> File:
        return File(path, len(self._of(path)))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        image = self._of(path)
        return bytes(image[offset:] if length is None else image[offset : offset + length])

    async def hash(self, path: str, algorithm: str) -> str | None:
        return None

    async def fetch(self, file: File, sink: Sink) -> None:
        image = self._of(file.path)
        while piece := image[sink.position : sink.position + _PIECE]:
            sink.write(piece)  # type: ignore[arg-type]

    def view(self, path: str) -> memoryview:
        """The bytes as `stores.s3_memory` sends them."""
        return self._of(path)

    def _of(self, path: str) -> memoryview:
        if path != self._path:
            raise FileMissing(f"{path}: not there")
        return self._image

    async def receive(self, file: File, origin: Store) -> NoReturn:
        raise AccessDenied(f"{file.path}: a snapshot is only read")

    async def write(self, path: str, data: bytes) -> NoReturn:
        raise AccessDenied(f"{path}: a snapshot is only read")

    async def delete(self, path: str) -> NoReturn:
        raise AccessDenied(f"{path}: a snapshot is only read")
