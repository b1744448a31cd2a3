"""Parts by a hash: a record's part depends on its own group's key and the seed, and on nothing else that there is."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from visprep.partition.parts import LEFT_OUT, Parts
from visprep.partition.population import Ints

_WHOLE = 1 << 64


def hashes(keys: Iterable[str], seed: int) -> npt.NDArray[np.uint64]:
    """A number of 64 bits for each key, even over all of them, another for another seed."""
    start = hashlib.blake2b(digest_size=8, key=str(seed).encode()[:64])
    found = bytearray()
    for key in keys:
        one = start.copy()
        one.update(key.encode("utf-8", "surrogatepass"))
        found += one.digest()
    return np.frombuffer(bytes(found), ">u8").astype(np.uint64)


def by_hash(keys: Iterable[str], parts: Parts, seed: int) -> Ints:
    """The part of each group: its hash, cut by the shares summed up. Parts that stay get none."""
    taking = [(number, part.size) for number, part in enumerate(parts.parts) if part.size]
    limits = [int(limit * _WHOLE) for limit in itertools.accumulate(size for _, size in taking)]
    # A limit of the whole does not fit into 64 bits: no hash reaches it.
    inner = np.array([limit for limit in limits if limit < _WHOLE], np.uint64)
    numbers = np.array([*(number for number, _ in taking), LEFT_OUT], np.int64)
    return numbers[np.searchsorted(inner, hashes(keys, seed), side="right")]
