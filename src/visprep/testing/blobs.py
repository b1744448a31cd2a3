"""The content of a served file: bytes in memory, or a file on disk that is never loaded whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

#: Bytes read and written at a time.
PIECE = 64 * 1024


class Blob:
    """Content that can be read in part and knows its digests, which are computed when first asked for."""

    def __init__(self, content: bytes | Path) -> None:
        self._content = content
        self.size = len(content) if isinstance(content, bytes) else content.stat().st_size

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from `start` up to `stop` (to the end without it), in pieces."""
        stop = self.size if stop is None else stop
        if isinstance(self._content, bytes):
            for at in range(start, stop, PIECE):
                yield self._content[at : min(stop, at + PIECE)]
            return
        with self._content.open("rb") as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE, stop - start))):
                start += len(piece)
                yield piece

    @cached_property
    def sha256(self) -> str:
        """The SHA-256, in hex."""
        return self._digests[0]

    @cached_property
    def git_sha1(self) -> str:
        """The name that git would give this blob, in hex."""
        return self._digests[1]

    @cached_property
    def _digests(self) -> tuple[str, str]:
        plain, named = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)
        for piece in self.read():
            plain.update(piece)
            named.update(piece)
        return plain.hexdigest(), named.hexdigest()
