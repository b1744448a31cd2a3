"""How two sets of COCO annotation files differ: documents, classes, images, annotations, and images that moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visprep.differences import (
    DocumentDifference,
    FieldChange,
    ImageDifference,
    RecordDifference,
    RenumberedDifference,
    SplitDifference,
    coco_classes,
    fields_between,
)
from visprep.differences.coco_alone import Alone, Pool
from visprep.differences.coco_annotations import Owned, match
from visprep.differences.coco_side import Document, Mark, Side, batches, known_id
from visprep.differences.coco_telling import Telling
from visprep.formats.coco_place import split_of


@dataclass(frozen=True)
class Compared:
    """Two sets of annotation files of one kind; `least` is how much boxes overlap that may be the same one.

    `alone` are the images that only A has, and only B. `moved` are the moves that were told so far: an image that is in
    another file than before is told once; None where that is not told at all.
    """

    pool: Pool
    alone: tuple[Alone, Alone]
    least: float
    moved: set[tuple[str, str, str]] | None

    @property
    def left(self) -> Side:
        """The files in A."""
        return self.pool.left

    @property
    def right(self) -> Side:
        """The files in B."""
        return self.pool.right

    def differences(self) -> Iterator[RecordDifference]:
        """What differs: by file what is no image, then images and annotations by the names of images, then moves."""
        by_pair = {document.pair: document for document in self.right.documents}
        others: dict[str, str] = {}
        for a in self.left.documents:
            if (b := by_pair.get(a.pair)) is not None:
                if fields := _of_document(a, b):
                    yield DocumentDifference("changed", a.path, fields)
                yield from coco_classes.differences(a, b, a.path)
                others |= coco_classes.renamed(a, b)
        yield from self._images()
        yield from self._annotations(others)
        if self.moved is not None:
            yield from self._moved(self.moved)

    def _images(self) -> Iterator[RecordDifference]:
        a, b = self.pool.both
        gone, come = (one.told for one in self.alone)
        other = self.left.image_marks[a] != self.right.image_marks[b]
        events = [(*self.left.image(row), row, -1) for row in gone]
        events += [(*self.right.image(row), -1, row) for row in come]
        pairs = zip(a[other].tolist(), b[other].tolist(), strict=True)
        events += [(*self.left.image(row_a), row_a, row_b) for row_a, row_b in pairs]
        for some in batches(sorted(events)):
            said = self._said([(row_a, row_b) for *_, row_a, row_b in some if row_a >= 0 and row_b >= 0])
            for name, id, row_a, row_b in some:
                if row_b < 0:
                    yield ImageDifference("removed", self.left.home(row_a).path, name, known_id(id), None, gone[row_a])
                elif row_a < 0:
                    yield ImageDifference("added", self.right.home(row_b).path, name, None, known_id(id), come[row_b])
                elif fields := fields_between(*next(said), frozenset({"id"})):
                    ids = known_id(id), known_id(int(self.right.image_ids[row_b]))
                    yield ImageDifference("changed", self.left.home(row_a).path, name, *ids, 0, fields)
        if renumbered := int((self.left.image_ids[a] != self.right.image_ids[b]).sum()):
            yield RenumberedDifference("changed", self._pool, "images", renumbered)

    def _annotations(self, others: dict[str, str]) -> Iterator[RecordDifference]:
        classes_a, classes_b = coco_classes.number_classes(self.left, self.right, others)
        known_a, known_b = (one.known for one in self.alone)
        here = np.zeros(len(self.left.names) + 1, np.bool_)  # one more, for annotations without an image
        here[self.pool.both[0]] = here[known_a] = here[-1] = True
        owners_a = self.left.owners
        numbers_b = np.append(self.pool.partners, -1)
        numbers_b[known_b] = len(self.left.names) + np.arange(len(known_b))  # no image in A has these
        owners_b = numbers_b[self.right.owners]
        owned_a = Owned(owners_a, classes_a.numbers, here[owners_a])
        owned_b = Owned(owners_b, classes_b.numbers, (self.right.owners < 0) | (owners_b >= 0))
        found = match(self.left, self.right, owned_a, owned_b, self.least)
        yield from Telling(self.left, self.right, found, classes_a, classes_b, others).differences()
        if found.renumbered:
            yield RenumberedDifference("changed", self._pool, "annotations", found.renumbered)

    def _moved(self, told: set[tuple[str, str, str]]) -> Iterator[RecordDifference]:
        a, b = self.pool.both
        pair_a, pair_b = (np.array([one.pair for one in side.documents], np.int64) for side in (self.left, self.right))
        moved = np.flatnonzero(pair_a[self.left.image_document[a]] != pair_b[self.right.image_document[b]])
        found = []
        for row_a, row_b in zip(a[moved].tolist(), b[moved].tolist(), strict=True):
            old, new = self.left.home(row_a), self.right.home(row_b)
            found.append((self.left.image(row_a)[0], _split(old), _split(new), new.path))
        for name, was, now, path in sorted(found):
            if (name, was, now) not in told:
                yield SplitDifference("moved", path, name, was, now)
        told.update((name, was, now) for name, was, now, _ in found)

    def _said(self, pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What the records of some pairs of images say on both sides."""
        rows_a, rows_b = np.array(pairs, np.int64).reshape(-1, 2).T
        return zip(self.left.records("images", rows_a), self.right.records("images", rows_b), strict=True)

    @property
    def _pool(self) -> str:
        """The files that are compared, by the first of them."""
        return min(document.path for document in (*self.left.documents, *self.right.documents))


def _of_document(a: Document, b: Document) -> tuple[FieldChange, ...]:
    """What two files say otherwise beside their records; of lists that are not known no value is told."""
    changed = fields_between(a.others, b.others)
    return tuple(FieldChange(one.name, _value(one.a), _value(one.b)) for one in changed)


def _value(value: Any) -> Any:
    return None if isinstance(value, Mark) else value


def _split(document: Document) -> str:
    return split_of(document.index.file.name).name
