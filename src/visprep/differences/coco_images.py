"""Which image of one side is which of the other: by file name, and by id where the ids were kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from visprep.differences.coco_side import Side
from visprep.differences.matching import Ints, keyed, matched
from visprep.formats.coco_json import MISSING

Mask = npt.NDArray[np.bool_]


def partners(left: Side, right: Side) -> Ints:
    """Of each image of the right side the one of the left that it is, -1 for none.

    Names count before ids, whole ones before those without directories, and images of the same pair of files before
    others. An id alone counts where most images that have their name have their id too, and where the size is the same.
    """
    return _Pairing(left, right).found


class _Pairing:
    """The pairs that were found so far."""

    def __init__(self, left: Side, right: Side) -> None:
        self.left, self.right = left, right
        self.found: Ints = np.full(len(right.names), -1, np.int64)
        self.free_a: Mask = np.ones(len(left.names), np.bool_)
        pairs_a, pairs_b = _pairs(left), _pairs(right)
        names_a, names_b = _numbered(left.names, right.names)
        named_a, named_b = names_a >= 0, names_b >= 0
        self.take((pairs_a, names_a, left.image_ids), (pairs_b, names_b, right.image_ids), named_a, named_b)
        kept = int((self.found >= 0).sum())
        self.take((pairs_a, names_a), (pairs_b, names_b), named_a, named_b)
        all_named = int((self.found >= 0).sum())
        self.take_bases((pairs_a,), (pairs_b,))
        if 2 * kept >= all_named:
            known_a, known_b = left.image_ids != MISSING, right.image_ids != MISSING
            ids_a, ids_b = (left.image_ids, *left.sizes.T), (right.image_ids, *right.sizes.T)
            self.take((pairs_a, *ids_a), (pairs_b, *ids_b), known_a, known_b)
        self.take((names_a,), (names_b,), named_a, named_b)
        self.take_bases((), ())

    @property
    def free_b(self) -> Mask:
        return self.found < 0

    def take(self, columns_a: tuple[Ints, ...], columns_b: tuple[Ints, ...], only_a: Mask, only_b: Mask) -> None:
        """Pair those that are free and have the same in all columns."""
        rows_a, rows_b = np.flatnonzero(self.free_a & only_a), np.flatnonzero(self.free_b & only_b)
        if len(rows_a) and len(rows_b):
            keys = keyed(tuple(one[rows_a] for one in columns_a), tuple(one[rows_b] for one in columns_b))
            at_a, at_b = matched(*keys)
            self.found[rows_b[at_b]] = rows_a[at_a]
            self.free_a[rows_a[at_a]] = False

    def take_bases(self, columns_a: tuple[Ints, ...], columns_b: tuple[Ints, ...]) -> None:
        """Pair those that are free and whose names without directories are the same, and those of no other."""
        free_a, free_b = self.free_a, self.free_b
        if not (free_a.any() and free_b.any()):
            return
        bases_a, bases_b = _numbered(_bases(self.left.names, free_a), _bases(self.right.names, free_b))
        single_a, single_b = _single(bases_a), _single(bases_b)
        self.take((*columns_a, bases_a), (*columns_b, bases_b), single_a, single_b)


def _pairs(side: Side) -> Ints:
    """The pair of files that each image is of."""
    numbers = np.array([document.pair for document in side.documents], np.int64)
    found: Ints = numbers[side.image_document]
    return found


def _numbered(a: Sequence[str | None], b: Sequence[str | None]) -> tuple[Ints, Ints]:
    """Texts as numbers, the same for the same; -1 for none."""
    numbers: dict[str, int] = {}
    given = ([numbers.setdefault(one, len(numbers)) if one else -1 for one in texts] for texts in (a, b))
    left, right = (np.array(one, np.int64) for one in given)
    return left, right


def _bases(names: Sequence[str | None], free: Mask) -> list[str | None]:
    return [name.rpartition("/")[2] if name and one else None for name, one in zip(names, free.tolist(), strict=True)]


def _single(numbers: Ints) -> Mask:
    """Which numbers, of those that are no -1, stand there once."""
    counts = np.bincount(numbers + 1, minlength=1)
    counts[0] = 0
    found: Mask = counts[numbers + 1] == 1
    return found
