"""Where polygons reach, straight from their bytes: no number becomes an object of Python.

COCO's polygons are some forty million numbers like 296.65. Eight bytes hold one of them whole, so eight digits are
turned into a number at a time by arithmetic on words of 64 bits, for all numbers of a block at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.formats.coco_scan import Ints

__all__ = ["Outlines", "outlines", "parsed"]

Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]

_PLAIN = b"0123456789.,[] \t\n\r"
_WORD = 8
#: By the length of a number: the bytes of the word that are its own, which are the last ones.
_OWN = np.array([0, *(2**64 - 2 ** (8 * (_WORD - n)) for n in range(1, _WORD + 1))], np.uint64)
_TENS = 10.0 ** np.arange(_WORD + 1)
#: Numbers of more than eight characters that are turned one by one, as a share of all.
_LONG = 0.02
#: Bytes that are looked at together: what is known of their numbers stays in the processor's cache.
_CHUNK = 160 * 1024


@dataclass(frozen=True, slots=True)
class Outlines:
    """Polygons: whose each is (the number of the segmentation), how many numbers it has, its least and largest x and y.

    `low` and `high` are those of polygons with at least one whole point; NaN for others.
    """

    owners: Ints
    lengths: Ints
    low: Floats
    high: Floats


def outlines(segmentations: list[bytes]) -> Outlines | None:
    """The polygons of some segmentations, each of them sound JSON that begins with a bracket.

    None when one is not a list of lists of numbers with at least one list, or a number is written in a way that takes
    more care: below 0, with an exponent, or many of them with more than eight characters.
    """
    parts = []
    first = size = 0
    for number, data in enumerate(segmentations, 1):
        size += len(data)
        if size >= _CHUNK or number == len(segmentations):
            part = _outlines(segmentations[first:number])
            if part is None:
                return None
            parts.append((part.owners + first, part.lengths, part.low, part.high))
            first, size = number, 0
    return Outlines(*map(np.concatenate, zip(*parts, strict=True)))


def _outlines(segmentations: list[bytes]) -> Outlines | None:
    blob = b" " * _WORD + b",".join(segmentations)
    if blob.translate(None, _PLAIN):
        return None
    text = np.frombuffer(blob, np.uint8)
    brackets = np.flatnonzero(text >= 0x5B)
    opening = text[brackets] == 0x5B
    depth = np.cumsum(np.where(opening, 1, -1))
    inner = opening & (depth == 2)
    opens, closes = brackets[inner], brackets[~opening & (depth == 1)]
    owners = np.cumsum(opening & (depth == 1))[inner] - 1
    if depth.max() > 2 or len(np.unique(owners)) != len(segmentations):
        return None
    digits = (text - np.uint8(0x2E)) < 12  # the point, and 0 to 9: a slash is not among the plain characters
    edges = np.flatnonzero(digits[1:] != digits[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    first, last = np.searchsorted(starts, opens), np.searchsorted(starts, closes)
    lengths = last - first
    if int(lengths.sum()) != len(starts):
        return None  # a number stands outside of all polygons
    values = parsed(blob, starts, ends)
    if values is None:
        return None
    low, high = np.full((len(opens), 2), np.nan), np.full((len(opens), 2), np.nan)
    whole = (lengths > 0) & (lengths % 2 == 0)
    if whole.any():
        if not whole.all():
            values = values[np.repeat(whole, lengths)]
        x, y = np.ascontiguousarray(values[0::2]), np.ascontiguousarray(values[1::2])
        at = np.concatenate([[0], np.cumsum(lengths[whole] // 2)[:-1]])
        for column, side in enumerate((x, y)):
            low[whole, column] = np.minimum.reduceat(side, at)
            high[whole, column] = np.maximum.reduceat(side, at)
    return Outlines(owners, lengths, low, high)


def parsed(blob: bytes, starts: Ints, ends: Ints) -> Floats | None:
    """The decimal numbers at these places of `blob`, to the last bit; none may end within its first eight bytes.

    None when too many of them have more than eight characters.
    """
    sizes = ends - starts
    long = np.flatnonzero(sizes > _WORD)
    if len(long) > _LONG * len(sizes):
        return None
    words: Words = np.ndarray((len(blob) - _WORD + 1,), "<u8", blob, strides=(1,))[ends - _WORD]
    words ^= np.uint64(0x3030303030303030)  # digits become their values, the point 0x1e
    words &= _OWN[np.minimum(sizes, _WORD)]
    point = words & np.uint64(0x1010101010101010)
    point >>= np.uint64(4)  # 1 in the byte of the point, 0 without one
    dotted = point != 0
    before = point - dotted  # all bits below the point; none without one
    whole = words & before
    words &= ~(before | (point * np.uint64(0xFF)))
    words |= whole << np.uint64(8)  # the point is gone: what stood before it moves up
    words *= np.uint64(2561)
    words >>= np.uint64(8)
    words &= np.uint64(0x00FF00FF00FF00FF)
    words *= np.uint64(6553601)
    words >>= np.uint64(16)
    words &= np.uint64(0x0000FFFF0000FFFF)
    words *= np.uint64(42949672960001)
    words >>= np.uint64(32)
    exponents = (point.astype(np.float64).view(np.int64) >> 52) - 1023  # 8 times the byte of the point
    values = words / _TENS[np.where(dotted, _WORD - 1 - (exponents >> 3), 0)]
    for at in long.tolist():
        values[at] = float(blob[starts[at] : ends[at]])
    return values
