"""Compressed masks (RLE) of COCO: their runs, and what these add up to, many masks at once.

Six bits a character from `0` on, the sixth says that the number goes on; from the fourth number on each is a difference
to the one before the last (cocoapi, common/maskApi.c, rleFrString).
"""

from __future__ import annotations

import numpy as np

from visprep.formats.coco_scan import Ints

__all__ = ["compressed", "totals", "uncompressed"]

#: Characters of a number that is decoded together with others: 35 bits.
_LONGEST = 7


def totals(texts: list[str]) -> tuple[Ints, Ints] | None:
    """The sum of the runs of each mask, and the least of them.

    None when there is none, or one of them takes more care: it cannot be decoded, or its numbers are absurdly large.
    """
    if not texts or not all(map(str.isascii, texts)):
        return None
    bits = np.frombuffer("".join(texts).encode(), np.uint8) - np.uint8(48)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.flatnonzero(bits & 32 == 0)
    stops = np.cumsum(lengths)
    if not len(bits) or bits.max() > 63 or lengths.min() == 0 or (bits[stops - 1] & 32).any():
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    sizes = ends - starts + 1
    if sizes.max() > _LONGEST:
        return None
    values = np.zeros(len(starts), np.int64)
    for at in range(int(sizes.max())):
        some = np.flatnonzero(sizes > at)
        values[some] |= (bits[starts[some] + at] & 31).astype(np.int64) << (5 * at)
    values -= np.where(bits[ends] & 16 != 0, np.int64(1) << (5 * sizes), 0)
    firsts = np.searchsorted(ends, stops - lengths)
    places = np.arange(len(values)) - np.repeat(firsts, np.diff(np.append(firsts, len(values))))
    for parity in (0, 1):  # each adds to the one before the last: two rows of their own
        row, fresh = values[parity::2], np.flatnonzero(places[parity::2] <= 2)
        sums = np.cumsum(row)
        values[parity::2] = sums - np.repeat(sums[fresh] - row[fresh], np.diff(np.append(fresh, len(row))))
    if np.abs(np.add.reduceat(values.astype(np.float64), firsts)).max() > 2**52:
        return None
    return np.add.reduceat(values, firsts), np.minimum.reduceat(values, firsts)


def uncompressed(text: str) -> list[int]:
    """The runs of a compressed mask; ValueError when it is none."""
    counts: list[int] = []
    value = shift = 0
    for character in text.encode():
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError(f"character {chr(character)!r} stands in no compressed mask")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            if shift > 60:
                raise ValueError("a run of the compressed mask has more than 60 bits")
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("the compressed mask ends within a number")
    return counts


def compressed(counts: Ints) -> str:
    """Runs as a compressed mask, as cocoapi writes it; `uncompressed` gives the runs back."""
    values = np.array(counts, np.int64)
    values[3:] -= np.asarray(counts, np.int64)[1:-2]
    groups = np.zeros((len(values), 13), np.uint8)
    there = np.zeros((len(values), 13), np.bool_)
    going = np.ones(len(values), np.bool_)
    for at in range(13):
        bits = values & 31
        values = values >> 5
        more = going & np.where(bits & 16 != 0, values != -1, values != 0)
        groups[:, at] = bits + 32 * more + 48
        there[:, at] = going
        going = more
        if not going.any():
            break
    return groups[there].tobytes().decode()
