"""The images of a dataset in a few arrays: some tens of bytes each, and nothing that grows once workers look at it.

A Python object is written to whenever it is looked at, since its references are counted. In forked workers that copies
the page that it lies on, and in the end every worker has a copy of all of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from visprep.loaders.fetch import ImageFile

#: Bytes of a SHA-256.
_WIDTH = 32
_UNKNOWN, _SHA256, _OTHER = range(3)


class Texts:
    """Texts, one after the other in one piece of memory."""

    def __init__(self, texts: Iterable[str]) -> None:
        ends, pieces, end = array("q", [0]), [], 0
        for text in texts:
            piece = text.encode("utf-8", "surrogateescape")
            end += len(piece)
            ends.append(end)
            pieces.append(piece)
        self._bytes = b"".join(pieces)
        self._ends = np.frombuffer(ends, np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> str:
        if not 0 <= number < len(self):
            raise IndexError(number)
        first, last = self._ends[number : number + 2].tolist()
        return self._bytes[first:last].decode("utf-8", "surrogateescape")


class FileTable:
    """Images by number. Of `version`, a SHA-256 is kept as it is, and what else it may be as a digest of it."""

    def __init__(self, files: Iterable[ImageFile]) -> None:
        homes: dict[str, int] = {}
        home_of, sizes, kinds = array("I"), array("q"), bytearray()
        versions, names = bytearray(), []
        for file in files:
            home, slash, name = file.url.rpartition("/")
            home_of.append(homes.setdefault(home + slash, len(homes)))
            sizes.append(-1 if file.size is None else file.size)
            names.append(name)
            kind, version = _packed(file.version)
            kinds.append(kind)
            versions += version
        self._homes, self._names = Texts(homes), Texts(names)
        self._home_of, self._sizes = np.frombuffer(home_of, np.uint32), np.frombuffer(sizes, np.int64)
        self._kinds = np.frombuffer(bytes(kinds), np.uint8)
        self._versions: NDArray[np.uint8] = np.frombuffer(bytes(versions), np.uint8).reshape(-1, _WIDTH)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, number: int) -> ImageFile:
        url = self._homes[int(self._home_of[number])] + self._names[number]
        size, kind = int(self._sizes[number]), self._kinds[number]
        version = None
        if kind != _UNKNOWN:
            version = ("sha256:" if kind == _SHA256 else "is:") + self._versions[number].tobytes().hex()
        return ImageFile(url, None if size < 0 else size, version)


def _packed(version: str | None) -> tuple[int, bytes]:
    if version is None:
        return _UNKNOWN, bytes(_WIDTH)
    algorithm, _, text = version.partition(":")
    if algorithm == "sha256" and len(text) == 2 * _WIDTH:
        return _SHA256, bytes.fromhex(text)
    return _OTHER, blake2b(version.encode("utf-8", "surrogateescape"), digest_size=_WIDTH).digest()
