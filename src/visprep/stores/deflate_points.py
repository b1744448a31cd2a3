"""Where a deflate stream can be gone on with, found while it is inflated, with nothing but zlib or ISA-L.

Neither tells where a block of the stream (RFC 1951) begins. So it is guessed: what looks like the head of a block is
inflated from there, and compared with what the stream itself gave. Blocks begin at any bit; before the rest of such a
byte are put empty blocks of our own, of so many bits that the two fit.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprep.digests import fast_zlib as _zlib

#: How far back a stream may refer, in bytes.
WINDOW = 32 * 1024
#: Compressed bytes before its end in which a block is looked for, as long as none is found; what must be kept of it.
_NEAR, _FURTHER, FAR = 48 * 1024, 128 * 1024, 512 * 1024
#: Inflated bytes that must be kept, and how many of them must be the same for a guess to be right.
KEPT, PROOF = 2 * 1024 * 1024, 1024
#: Bits that are looked at of a head: three of its kind, fourteen of counts, nineteen lengths of three.
_HEAD = 17 + 19 * 3


@dataclass(frozen=True, slots=True)
class Point:
    """A place to go on at: feed `lead` and the compressed bytes from `offset` on, and what comes begins at `position`.

    `window` is what came before. Both offsets count from where the caller of `find` lets them.
    """

    offset: int
    position: int
    lead: bytes
    window: bytes

    def inflating(self) -> Any:
        """A decompressor that waits for `lead` and what follows it, at once: ISA-L wants more than a lead."""
        return _zlib.decompressobj(-zlib.MAX_WBITS, self.window.rjust(WINDOW, b"\0"))


def find(compressed: bytes, inflated: bytes, offset: int, position: int) -> Point | None:
    """The last block that begins in `compressed`, which is what was fed last, up to `offset`; None when none is found.

    `inflated` is what came last, up to `position`.
    """
    for reach in (_NEAR, _FURTHER, FAR):
        for start, lead in _guesses(compressed[-reach:]):
            left = min(reach, len(compressed)) - start
            if point := _proven(compressed[len(compressed) - left :], lead, inflated, offset - left, position):
                return point
        if reach >= len(compressed):
            break
    return None


def _proven(rest: bytes, lead: bytes, inflated: bytes, offset: int, position: int) -> Point | None:
    """The point, when what is inflated from there on is what came."""
    with contextlib.suppress(_zlib.error):
        length = len(_inflate(lead, rest, bytes(WINDOW), KEPT))  # what it is depends on the window, its length does not
        before = len(inflated) - length
        if length < PROOF or before < min(WINDOW, position - length):
            return None
        window = inflated[max(0, before - WINDOW) : before]
        if _inflate(lead, rest, window.rjust(WINDOW, b"\0"), length + 1) == inflated[before:]:
            return Point(offset, position - length, lead, window)
    return None


def _inflate(lead: bytes, rest: bytes, window: bytes, most: int) -> bytes:
    inflating = _zlib.decompressobj(-zlib.MAX_WBITS, window)
    found: bytes = inflating.decompress(lead + rest, most)
    return found


def _guesses(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where a block may begin, the last first: the byte that follows, and the lead to it."""
    # Within a stored block every guess would come out right, to its end: what follows must have come too
    stored = ((at * 8, True) for at in _stored(data) if at + 4 + data[at] + 256 * data[at + 1] + PROOF < len(data))
    coded = ((at, False) for at in _coded(data))
    for bit, is_stored in sorted((*stored, *coded), reverse=True):
        if is_stored:
            yield bit // 8, b"\0"  # the head of a stored block, and what fills its byte
        else:
            yield bit // 8 + 1, _lead(bit % 8, data[bit // 8])


def _stored(data: bytes) -> list[int]:
    """Where a length stands twice, the second time inverted: so stored blocks begin, after the byte of their head."""
    raw = np.frombuffer(data, np.uint8)
    if len(raw) < 4:
        return []
    found = ((raw[:-3] ^ raw[2:-1]) == 0xFF) & ((raw[1:-2] ^ raw[3:]) == 0xFF)
    return [int(at) for at in np.flatnonzero(found)]


def _coded(data: bytes) -> list[int]:
    """The bits at which a block with codes of its own may begin, and not be the last: its code of codes is complete."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    count = len(bits) - _HEAD
    if count <= 0:
        return []
    kind = (bits[:count] == 0) & (bits[1 : count + 1] == 0) & (bits[2 : count + 2] == 1)
    at: NDArray[np.intp] = np.flatnonzero(kind)
    for first in (3, 8):  # no more than thirty codes of each, so not all of the upper four bits are set
        at = at[~np.logical_and.reduce([bits[at + first + one] == 1 for one in range(1, 5)])]
    lengths = sum(bits[at + 13 + one].astype(np.int16) << one for one in range(4)) + 4
    room = np.zeros(len(at), np.int32)
    for number in range(19):
        start = at + 17 + 3 * number
        length = bits[start] + 2 * bits[start + 1] + 4 * bits[start + 2]
        room += np.where((length > 0) & (number < lengths), 128 >> length.astype(np.int32), 0)
    return [int(one) for one in at[room == 128]]


def _lead(used: int, byte: int) -> bytes:
    """Empty blocks of so many bits that the last byte has `used` of them, and the rest of `byte` behind them."""
    odd = used % 2
    bits = _ODD * odd + _EVEN * next(n for n in range(4) if (len(_ODD) * odd + len(_EVEN) * n) % 8 == used)
    number = sum(bit << at for at, bit in enumerate(bits)) | (byte >> used << len(bits))
    return number.to_bytes((len(bits) - used) // 8 + 1, "little")


def _number(value: int, length: int) -> list[int]:
    return [value >> at & 1 for at in range(length)]


#: An empty block of the fixed codes, 10 bits.
_EVEN = [0, 1, 0, *[0] * 7]
#: An empty block of codes of its own, 95 bits: two of each kind, so that every code is complete.
_ODD = [
    *[0, 0, 1], *_number(0, 5), *_number(1, 5), *_number(15, 4),
    # The lengths of the codes of codes, in the order of the format: 1 for "1" and for "many zeros"
    *[bit for symbol in (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)
      for bit in _number(int(symbol in (1, 18)), 3)],
    0, 1, *_number(138 - 11, 7), 1, *_number(117 - 11, 7), 0, 0, 0,
    1,
]  # fmt: skip
