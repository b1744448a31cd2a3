"""A file of a web server straight into a bucket, as one stream: also from servers that send no parts of a file."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from visprep.digests import Digester
from visprep.errors import ServerFailed, VisprepError
from visprep.manifest import File
from visprep.stores import s3_parts, s3_uploads
from visprep.stores.s3 import S3Store
from visprep.wire import run, until, wait

if TYPE_CHECKING:
    from visprep.stores import Store

#: Pieces of what arrived that wait for a part of an upload; libcurl gives 16 to 512 KiB at once.
_WAITING = 64
#: Seconds between two looks at whether a stream is still wanted.
_GLANCE = 0.2


def bring(target: S3Store, file: File, origin: Any, path: str, on_bytes: Callable[[int], None] | None) -> File:
    """Make `file` at `target` of what `origin` has at `path`; nothing appears that differs from the promised digest.

    An upload of the same that was broken off is dropped: of such a stream nobody knows the middle.
    """
    drop(target, file)
    stream = _Stream(origin, replace(file, path=path, digest=None), on_bytes)
    try:
        return wait(s3_parts.receive(target, replace(file, etag=None), cast("Store", stream), anew=True))
    except BaseException:
        drop(target, file)
        raise
    finally:
        stream.close()


def drop(target: S3Store, file: File) -> None:
    """Drop what visprep uploaded of a file that goes in parts, and did not complete."""
    if (file.size or 0) > s3_parts.part_size(target.settings.part_size, file.size):
        with contextlib.suppress(VisprepError):  # not everyone may, and nothing depends on it
            s3_uploads.abort_stale(target, [file.path], age=float("-inf"))


def digests_of(target: S3Store, file: File, *algorithms: str) -> dict[str, str]:
    """Digests of an object, by their names, which is read for that; little of it is in memory."""
    sink = _Digests(algorithms)
    wait(target.fetch(replace(file, digest=None), sink))
    return {name: sink.digester.digest(name) for name in algorithms}


class _Digests:
    """A sink that keeps nothing but digests."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        self._algorithms = algorithms
        self.restart()

    @property
    def position(self) -> int:
        return self.digester.position

    def write(self, data: bytes) -> None:
        self.digester.update(data)

    def restart(self) -> None:
        self.digester = Digester(*self._algorithms)


class _Ended(Exception):
    """Nobody wants the rest."""


class _Stream:
    """A file as it comes, read by who sends it on: a store of one file, whose parts can be had in order only."""

    def __init__(self, origin: Any, file: File, on_bytes: Callable[[int], None] | None) -> None:
        self._origin, self._file, self._on_bytes = origin, file, on_bytes
        self._pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(_WAITING)
        self._held = bytearray()
        self._ended = self._stopped = False
        self.position = 0
        self._thread = threading.Thread(target=self._fetch, name="visprep-stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let go of the connection."""
        self._stopped = True
        self._thread.join()

    def write(self, data: bytes) -> None:
        """See `Sink`: waits until there is room."""
        self._put(bytes(data))
        self.position += len(data)

    def restart(self) -> None:
        """See `Sink`; what was handed on cannot be taken back."""
        if self.position:
            raise ServerFailed(f"{self._file.path}: the connection broke, and the server sends no parts of a file")

    def _put(self, piece: bytes | BaseException | None) -> None:
        while not self._stopped:
            with contextlib.suppress(queue.Full):
                self._pieces.put(piece, timeout=_GLANCE)
                return
        raise _Ended

    def _fetch(self) -> None:
        try:
            try:
                for _, outcome in run([(0, self._origin.fetch(self._file, self))], 1, self._on_bytes):
                    if isinstance(outcome, VisprepError):
                        raise outcome
                self._put(None)
            except _Ended:
                raise
            except BaseException as error:
                self._put(error)
        except _Ended:
            pass

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        return File(path, self._file.size)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`: the next bytes, whatever the offset."""
        wanted = length or 0
        while len(self._held) < wanted and not self._ended:
            await until(lambda: not self._pieces.empty())
            piece = self._pieces.get()
            if isinstance(piece, BaseException):
                self._ended = True
                raise piece
            self._ended = piece is None
            self._held += piece or b""
        data = bytes(self._held[:wanted])
        del self._held[:wanted]
        return data
