"""Which annotation of one side is which of the other: by id, and where ids were renumbered by what the boxes show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.differences.coco_side import Details, Side
from visprep.differences.matching import Ints, keyed, matched, overlapping, overlaps
from visprep.formats.coco_json import MISSING

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Owned:
    """Of each annotation of a side the number of its image, the same on both sides, and of its class.

    -1 stands for annotations whose image is not in their file; those of images that only one side has are not `here`.
    """

    images: Ints
    classes: Ints
    here: Mask


@dataclass(frozen=True)
class Outcome:
    """What became of the annotations that are not the same byte for byte.

    `a` and `b` are their rows, with their `details`; `pairs` are numbers in these, `gone` and `come` those left.
    `renumbered` counts pairs with another id.
    """

    a: Ints
    b: Ints
    details_a: Details
    details_b: Details
    pairs: tuple[Ints, Ints]
    gone: Ints
    come: Ints
    renumbered: int


def match(left: Side, right: Side, owned_a: Owned, owned_b: Owned, least: float) -> Outcome:
    """Find the annotations of the left side on the right; boxes that overlap by `least` may be the same one.

    In this order: the same bytes; the same id, class and box; the same box, class and all else under another id; the
    same box and class; the same id, unless more were found under another one; the box of the same class that overlaps
    most, then of any class. All that within an image.
    """
    here_a, here_b = np.flatnonzero(owned_a.here), np.flatnonzero(owned_b.here)
    keys = keyed(_columns(left, owned_a, here_a), _columns(right, owned_b, here_b))
    same_a, same_b = matched(*keys)
    rest_a, rest_b = np.delete(here_a, same_a), np.delete(here_b, same_b)
    work = _Matching(left, right, owned_a, owned_b, rest_a, rest_b)
    work.run(len(same_a), least)
    at_a, at_b = work.pairs
    renumbered = int((left.ids[rest_a[at_a]] != right.ids[rest_b[at_b]]).sum())
    gone, come = np.flatnonzero(work.free_a), np.flatnonzero(work.free_b)
    return Outcome(
        rest_a, rest_b, work.details_a, work.details_b, work.pairs, gone, come, renumbered
    )  # fmt: skip


def _columns(side: Side, owned: Owned, rows: Ints) -> tuple[Ints, ...]:
    return owned.images[rows], side.ids[rows], side.marks[rows], owned.classes[rows]


class _Matching:
    """The annotations that are not the same bytes, and the pairs of them that were found."""

    def __init__(self, left: Side, right: Side, owned_a: Owned, owned_b: Owned, a: Ints, b: Ints) -> None:
        self._sides, self._rows = (left, right), (a, b)
        self.details_a, self.details_b = left.details(a), right.details(b)
        self.images = owned_a.images[a], owned_b.images[b]
        self.classes = owned_a.classes[a], owned_b.classes[b]
        self.ids = left.ids[a], right.ids[b]
        self.free_a: Mask = np.ones(len(a), np.bool_)
        self.free_b: Mask = np.ones(len(b), np.bool_)
        self._found: list[tuple[Ints, Ints]] = []

    @property
    def pairs(self) -> tuple[Ints, Ints]:
        a, b = zip(*self._found, strict=True) if self._found else ((), ())
        empty = np.empty(0, np.int64)
        return np.concatenate([empty, *a]), np.concatenate([empty, *b])

    def run(self, kept: int, least: float) -> None:
        """Find pairs, the surest first; `kept` have their id for certain."""
        marks = self.details_a.marks, self.details_b.marks
        known = self.ids[0] != MISSING, self.ids[1] != MISSING
        boxed = ~np.isnan(self.details_a.boxes[:, 0]), ~np.isnan(self.details_b.boxes[:, 0])
        alike = self.images, self.classes, marks
        kept += self.take((self.images, self.ids, self.classes, marks), known)
        moved = self.take((*alike, self._rests(alike, boxed)))
        moved += self.take(alike, boxed)
        if kept >= moved:
            self.take((self.images, self.ids), known)
        self.take((self.images, self.classes, self.ids), (~known[0] & ~boxed[0], ~known[1] & ~boxed[1]))  # panoptic
        self.take_overlapping((self.images, self.classes), boxed, least)
        self.take_overlapping((self.images,), boxed, least)

    def _rests(self, columns: tuple[tuple[Ints, Ints], ...], boxed: tuple[Mask, Mask]) -> tuple[Ints, Ints]:
        """Marks of all else that annotations say, where the columns cannot tell them apart; 0 for others."""
        rows = self._free(None)
        keys = _keys(columns, *rows)
        crowded = np.bincount(keys[0], minlength=1), np.bincount(keys[1], minlength=1)
        found = []
        for number, (side, all_rows) in enumerate(zip(self._sides, self._rows, strict=True)):
            marks = np.zeros(len(all_rows), np.int64)
            both = np.zeros(len(rows[number]), np.bool_)
            for counts in crowded:
                both |= np.append(counts, 0)[np.minimum(keys[number], len(counts))] > 1
            asked = rows[number][both | ~boxed[number][rows[number]]]
            marks[asked] = side.rests(all_rows[asked])
            found.append(marks)
        return found[0], found[1]

    def take(self, columns: tuple[tuple[Ints, Ints], ...], only: tuple[Mask, Mask] | None = None) -> int:
        """Pair those that are free and have the same in all columns; how many."""
        rows_a, rows_b = self._free(only)
        at_a, at_b = matched(*_keys(columns, rows_a, rows_b))
        self._pair(rows_a[at_a], rows_b[at_b])
        return len(at_a)

    def take_overlapping(self, columns: tuple[tuple[Ints, Ints], ...], only: tuple[Mask, Mask], least: float) -> None:
        """Pair boxes that are free, have the same in all columns, and overlap."""
        rows_a, rows_b = self._free(only)
        if not len(rows_a) or not len(rows_b):
            return
        keys_a, keys_b = _keys(columns, rows_a, rows_b)
        order_a, order_b = np.argsort(keys_a, kind="stable"), np.argsort(keys_b, kind="stable")
        boxes_a, boxes_b = self.details_a.boxes[rows_a[order_a]], self.details_b.boxes[rows_b[order_b]]
        sorted_a, sorted_b = keys_a[order_a], keys_b[order_b]
        groups = np.flatnonzero(np.diff(sorted_a, prepend=-1))
        ends_a = np.append(groups[1:], len(sorted_a))
        starts_b = np.searchsorted(sorted_b, sorted_a[groups], side="left")
        ends_b = np.searchsorted(sorted_b, sorted_a[groups], side="right")
        found: list[tuple[int, int]] = []
        single = (ends_a - groups == 1) & (ends_b - starts_b == 1)
        alone_a, alone_b = groups[single], starts_b[single]
        share = overlaps(boxes_a[alone_a], boxes_b[alone_b])
        fit = (share >= least) & (share > 0)
        found += zip(alone_a[fit].tolist(), alone_b[fit].tolist(), strict=True)
        several = np.flatnonzero(~single & (ends_b > starts_b))
        for begin, end, begin_b, end_b in np.column_stack([groups, ends_a, starts_b, ends_b])[several].tolist():
            for one, other in overlapping(boxes_a[begin:end], boxes_b[begin_b:end_b], least):
                found.append((begin + one, begin_b + other))
        if found:
            at = np.array(found, np.int64)
            self._pair(rows_a[order_a[at[:, 0]]], rows_b[order_b[at[:, 1]]])

    def _free(self, only: tuple[Mask, Mask] | None) -> tuple[Ints, Ints]:
        free_a, free_b = (self.free_a, self.free_b) if only is None else (self.free_a & only[0], self.free_b & only[1])
        return np.flatnonzero(free_a), np.flatnonzero(free_b)

    def _pair(self, a: Ints, b: Ints) -> None:
        self.free_a[a] = False
        self.free_b[b] = False
        self._found.append((a, b))


def _keys(columns: tuple[tuple[Ints, Ints], ...], rows_a: Ints, rows_b: Ints) -> tuple[Ints, Ints]:
    return keyed(tuple(a[rows_a] for a, _ in columns), tuple(b[rows_b] for _, b in columns))
