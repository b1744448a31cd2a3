"""Which row of one table is which of another: by equal keys, and boxes by how much they overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from visprep.differences import Box

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Overlaps that are computed at once, and of one box how many are kept to choose from.
_AT_ONCE, _CHOICES = 1_000_000, 10


def keyed(columns_a: tuple[Ints, ...], columns_b: tuple[Ints, ...]) -> tuple[Ints, Ints]:
    """One number for each row of several columns, the same on both sides where all of them are the same."""
    count = len(columns_a[0])
    key = np.zeros(count + len(columns_b[0]), np.int64)
    for a, b in zip(columns_a, columns_b, strict=True):
        both = np.concatenate([a, b])
        distinct = _sorted_once(both)
        key = key * max(1, len(distinct)) + np.searchsorted(distinct, both)
        if len(columns_a) > 2:  # products of more than two could pass 2^63
            key = np.searchsorted(_sorted_once(key), key)
    return key[:count], key[count:]


def matched(keys_a: Ints, keys_b: Ints) -> tuple[Ints, Ints]:
    """The rows of both sides whose keys are equal; where several have one key, the first with the first, and so on."""
    order_a, order_b = np.argsort(keys_a, kind="stable"), np.argsort(keys_b, kind="stable")
    sorted_a, sorted_b = keys_a[order_a], keys_b[order_b]
    nth = np.arange(len(sorted_a)) - np.searchsorted(sorted_a, sorted_a, side="left")
    at = np.searchsorted(sorted_b, sorted_a, side="left") + nth
    found = at < np.searchsorted(sorted_b, sorted_a, side="right")
    return order_a[found], order_b[at[found]]


def overlaps(a: Floats, b: Floats) -> Floats:
    """How much boxes overlap, 0 to 1: intersection over union, row by row, of x, y, width and height; NaN for none."""
    corner = np.maximum(a[..., :2], b[..., :2])
    far = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.prod(np.clip(far - corner, 0, None), axis=-1)
    whole = np.prod(np.clip(a[..., 2:], 0, None), axis=-1) + np.prod(np.clip(b[..., 2:], 0, None), axis=-1) - shared
    found: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    found[np.isnan(shared)] = np.nan
    return found


def overlap(a: Box | None, b: Box | None) -> float | None:
    """How much two boxes overlap; None where one is none."""
    return None if a is None or b is None else round(float(overlaps(np.array([a]), np.array([b]))[0]), 6)


def overlapping(a: Floats, b: Floats, least: float) -> list[tuple[int, int]]:
    """Pairs of boxes that overlap at least so much, none twice, those that overlap most first."""
    step = max(1, _AT_ONCE // max(1, len(b)))
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(a), step):
        share = np.nan_to_num(overlaps(a[start : start + step, None], b[None]))
        for row, column in np.argwhere(_near(share, least)).tolist():
            found.append((-float(share[row, column]), start + row, column))
    taken_a: set[int] = set()
    taken_b: set[int] = set()
    pairs = []
    for _, row, column in sorted(found):
        if row not in taken_a and column not in taken_b:
            taken_a.add(row)
            taken_b.add(column)
            pairs.append((row, column))
    return pairs


def _near(share: Floats, least: float) -> npt.NDArray[np.bool_]:
    """Which overlaps are worth a choice: enough, more than none, and in a crowd the best few of each row."""
    enough: npt.NDArray[np.bool_] = (share >= least) & (share > 0)
    if share.shape[1] > _CHOICES:
        enough &= share >= -np.partition(-share, _CHOICES, axis=1)[:, _CHOICES, None]
    return enough


def _sorted_once(values: Ints) -> Ints:
    """Sorted, and each once; np.unique hashes from 2.3 on, which is slower for many."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
