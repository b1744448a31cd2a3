"""Digests of bytes as they pass: `algorithm:hex`, the form in which a `File` carries them."""

from __future__ import annotations

import functools
import hashlib
import importlib
import zlib
from typing import Any, Protocol


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


#: What a digest may be. `git-sha1` is the SHA-1 of git's blob header and the bytes (git-scm.com, Git Objects).
ALGORITHMS = ("git-sha1", "md5", "sha256")


def _fastest() -> Any:
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


#: The module `zlib`, or ISA-L's where the package `isal` is there: the same results, several times faster.
fast_zlib = _fastest()


def crc32_of_both(first: int, second: int, length: int) -> int:
    """The CRC-32 of some bytes and `length` more after them, by the CRC-32s of the first and the second."""
    return _product(_power(length), first) ^ second


@functools.lru_cache(maxsize=64)
def _power(length: int) -> int:
    """What a CRC-32 is multiplied with when so many bytes follow: x to the power of their bits."""
    power, factor = 1 << 31, 1 << 23  # x to the power of 0, and of 8: the lowest power is the highest bit
    while length:
        if length & 1:
            power = _product(power, factor)
        factor, length = _product(factor, factor), length >> 1
    return power


def _product(one: int, other: int) -> int:
    """Of two polynomials, modulo that of CRC-32."""
    product = 0
    for bit in range(31, -1, -1):
        if one >> bit & 1:
            product ^= other
        other = other >> 1 ^ (0xEDB88320 if other & 1 else 0)
    return product


class _Crc32:
    """For comparing two readings of one file: it costs a thirtieth of a SHA-256."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        self._value = fast_zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


class Digester:
    """Several digests of one stream. `size` must be known beforehand for `git-sha1`, which hashes it first.

    Beside those of ALGORITHMS, `crc32` tells two readings of one file apart.
    """

    def __init__(self, *algorithms: str, size: int | None = None) -> None:
        self._hashes: dict[str, _Hash] = {name: _start(name, size) for name in algorithms}
        self.position = 0

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self.position += len(data)
        for one in self._hashes.values():
            one.update(data)

    def digest(self, algorithm: str) -> str:
        """`algorithm:hex` of what passed so far."""
        return f"{algorithm}:{self._hashes[algorithm].hexdigest()}"


def _start(algorithm: str, size: int | None) -> _Hash:
    if algorithm == "crc32":
        return _Crc32()
    if algorithm != "git-sha1":
        # MD5 is what upstreams and ETags give; it guards against accidents, not against attackers
        return hashlib.new(algorithm, usedforsecurity=False)
    if size is None:
        raise ValueError("git-sha1 hashes the size first, and it is not known")
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class DigestSink:
    """A sink that keeps of a body nothing but its sha256, and the digests `also`."""

    def __init__(self, *also: str) -> None:
        self._algorithms = "sha256", *also
        self._digester = Digester(*self._algorithms)

    @property
    def position(self) -> int:
        """Bytes that passed so far."""
        return self._digester.position

    @property
    def digest(self) -> str:
        """`sha256:hex` of what passed so far."""
        return self._digester.digest("sha256")

    def other(self, algorithm: str) -> str:
        """One of the other digests."""
        return self._digester.digest(algorithm)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._digester.update(data)

    def restart(self) -> None:
        """Forget everything."""
        self._digester = Digester(*self._algorithms)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """`algorithm:hex` of some bytes."""
    digester = Digester(algorithm, size=len(data))
    digester.update(data)
    return digester.digest(algorithm)


def algorithm_of(digest: str) -> str:
    """The part of a digest before the colon."""
    return digest.partition(":")[0]


def is_digest_of(digest: str | None, data: bytes) -> bool:
    """Whether `algorithm:hex` is that of some bytes; never when there is none, or of an algorithm that is not known."""
    algorithm = algorithm_of(digest or "")
    return algorithm in ALGORITHMS and digest_of(data, algorithm) == digest
