"""The annotations that differ, told one by one, in the order of their images' names and of their ids."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from visprep.differences import AnnotationDifference, Box, FieldChange, coco_segments, fields_between
from visprep.differences.coco_annotations import Outcome
from visprep.differences.coco_classes import Classes
from visprep.differences.coco_side import APART, BATCH, Side, batches, box_of, decoded, known_id
from visprep.differences.matching import Floats, Ints, overlaps

_Record = Mapping[str, Any]
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IDS = APART - {"bbox"}
Mask = npt.NDArray[np.bool_]


class _Event(NamedTuple):
    """One annotation that differs: its rows in the outcome, -1 where a side has none."""

    image: str
    id: int
    a: int
    b: int


class _Boxes(NamedTuple):
    """The boxes of an annotation on both sides, and how much they overlap; None for what is none."""

    a: Box | None
    b: Box | None
    iou: float | None


@dataclass(frozen=True)
class Telling:
    """What is told of an outcome; `other_names` are the names of classes in B that have another in A."""

    left: Side
    right: Side
    found: Outcome
    classes_a: Classes
    classes_b: Classes
    other_names: Mapping[str, str]

    def differences(self) -> Iterator[AnnotationDifference]:
        """Those that are removed, added or changed."""
        for some in batches(sorted(self._events())):
            said_a = _said(self.left, self.found.a, [one.a for one in some])
            said_b = _said(self.right, self.found.b, [one.b for one in some])
            for one, boxes, a, b in zip(some, self._boxes(some), said_a, said_b, strict=True):
                pair = one.a >= 0 and one.b >= 0
                yield from self._changed(one, boxes, a, b) if pair else (self._alone(one, boxes, a or b),)

    def _boxes(self, some: Sequence[_Event]) -> Iterator[_Boxes]:
        """The boxes of some annotations, and their overlaps: one by one, these would take longer than all the rest."""
        a = _rows(self.found.details_a.boxes, [one.a for one in some])
        b = _rows(self.found.details_b.boxes, [one.b for one in some])
        for box_a, box_b, share in zip(a.tolist(), b.tolist(), overlaps(a, b).tolist(), strict=True):
            yield _Boxes(_box(box_a), _box(box_b), None if math.isnan(share) else round(share, 6))

    def _events(self) -> Iterator[_Event]:
        found = self.found
        at_a, at_b = found.pairs
        rows_a, rows_b = found.a[at_a], found.b[at_b]
        other = self.classes_a.numbers[rows_a] != self.classes_b.numbers[rows_b]
        other |= found.details_a.marks[at_a] != found.details_b.marks[at_b]
        alike = np.flatnonzero(~other)
        other[alike] = self._say_otherwise(rows_a[alike], rows_b[alike])
        for at in found.gone.tolist():
            yield _Event(*_address(self.left, int(found.a[at])), at, -1)
        for at in found.come.tolist():
            yield _Event(*_address(self.right, int(found.b[at])), -1, at)
        for pair in np.flatnonzero(other).tolist():
            one, two = int(at_a[pair]), int(at_b[pair])
            yield _Event(*_address(self.left, int(found.a[one])), one, two)

    def _say_otherwise(self, rows_a: Ints, rows_b: Ints) -> Mask:
        """Which pairs of the same class and box differ in another field."""
        found = np.zeros(len(rows_a), np.bool_)
        for start in range(0, len(rows_a), BATCH):
            some = slice(start, start + BATCH)
            said_a = self.left.raw("annotations", rows_a[some])
            said_b = self.right.raw("annotations", rows_b[some])
            found[some] = [_otherwise(a, b) for a, b in zip(said_a, said_b, strict=True)]
        return found

    def _alone(self, event: _Event, boxes: _Boxes, record: _Record) -> AnnotationDifference:
        """One that only one side has; of a caption, what it says."""
        gone = event.a >= 0
        side, rows, at = (self.left, self.found.a, event.a) if gone else (self.right, self.found.b, event.b)
        row, classes = int(rows[at]), self.classes_a if gone else self.classes_b
        text = record.get("caption")
        fields = (FieldChange("caption", text if gone else None, None if gone else text),) if text else ()
        id, name, box = known_id(event.id), classes.name(row), boxes.a or boxes.b
        path = side.document(row).path
        if gone:
            return AnnotationDifference("removed", path, event.image, id, None, name, None, box, None, None, (), fields)
        return AnnotationDifference("added", path, event.image, None, id, None, name, None, box, None, (), fields)

    def _changed(self, event: _Event, boxes: _Boxes, a: _Record, b: _Record) -> Iterator[AnnotationDifference]:
        found = self.found
        row_a, row_b = int(found.a[event.a]), int(found.b[event.b])
        homes = self.left.document(row_a), self.right.document(row_b)
        boxed = boxes.a is not None and boxes.b is not None
        apart = APART if boxed else APART - {"bbox"}
        if by_segment := coco_segments.comparable(a, b):
            apart |= {coco_segments.SEGMENTS}
        fields = fields_between(a, b, apart)
        other = self.classes_a.numbers[row_a] != self.classes_b.numbers[row_b]
        changes = ("moved", boxed and boxes.a != boxes.b), ("class", other), ("fields", bool(fields))
        if what := tuple(word for word, holds in changes if holds):
            ids = known_id(event.id), known_id(int(self.right.ids[row_b]))
            classes = self.classes_a.name(row_a), self.classes_b.name(row_b)
            known = homes[0].path, event.image, *ids, *classes, boxes.a, boxes.b, boxes.iou
            yield AnnotationDifference("changed", *known, what, fields)
        if by_segment:
            yield from coco_segments.differences(a, b, homes, event.image, self.other_names)


def _otherwise(data_a: bytes, data_b: bytes) -> bool:
    """Whether two annotations differ in a field; those that are written alike need not be decoded."""
    try:
        raw_a, raw_b = _FIELDS.decode(data_a), _FIELDS.decode(data_b)
        if raw_a.keys() == raw_b.keys() and all(raw_a[key] == raw_b[key] for key in raw_a.keys() - _IDS):
            return False
    except ValueError:
        pass
    a, b = decoded(data_a), decoded(data_b)
    return bool(fields_between(a, b, APART if box_of(a.get("bbox")) else APART - {"bbox"}))


def _said(side: Side, rows: Ints, chosen: Sequence[int]) -> Iterator[_Record]:
    """The records of some annotations, an empty one for -1."""
    wanted = np.array([at for at in chosen if at >= 0], np.int64)
    records = iter(side.records("annotations", rows[wanted]))
    return (next(records) if at >= 0 else {} for at in chosen)


def _address(side: Side, row: int) -> tuple[str, int]:
    """The name of the image of an annotation, empty without one, and its own id."""
    owner = int(side.owners[row])
    return side.image(owner)[0] if owner >= 0 else "", int(side.ids[row])


def _rows(boxes: Floats, chosen: Sequence[int]) -> Floats:
    """Some of the boxes, NaN for -1."""
    at = np.array(chosen, np.int64)
    found: Floats = np.full((len(at), 4), np.nan)
    found[at >= 0] = boxes[at[at >= 0]]
    return found


def _box(numbers: Sequence[float]) -> Box | None:
    x, y, width, height = numbers
    return None if math.isnan(x) else (x, y, width, height)
