"""COCO JSON of Open Images held against the rows that it was made of, in step: neither is held in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from visprep.annotation_files import AnnotationFile, Told
from visprep.findings import Finding
from visprep.formats.coco_json import MISSING
from visprep.formats.coco_scan import Ints, Malformed, Records, scan
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_coco import in_pixels
from visprep.formats.open_images_csv import ImageIds, image_name, image_number
from visprep.formats.open_images_rows import lenient, rows
from visprep.formats.open_images_tables import BOXES
from visprep.rules.coco_notes import KEPT
from visprep.rules.open_images import ANNOTATION_UNLIKE_ROW, ANNOTATIONS_UNLIKE_ROWS, CATEGORY_UNLIKE_LIST

__all__ = ["JsonImages", "compare", "compare_categories"]

Floats = npt.NDArray[np.float64]

#: How far a number of a box may be from what its row says, in pixels.
_OFF = 0.01
_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")


@dataclass(frozen=True, slots=True)
class JsonImages:
    """The images of a JSON file, sorted by `ids`; `numbers` are their ids there, `rows` their places in its list.

    `strange` are the places of those whose name is none of the split's images.
    """

    ids: ImageIds
    numbers: Ints
    widths: Ints
    heights: Ints
    rows: Ints
    strange: tuple[int, ...]

    @classmethod
    def of(cls, one: AnnotationFile, split: str) -> JsonImages:
        """By their file names."""
        images = one.index.images
        known, strange = [], []
        for at, name in enumerate(images.file_names):
            folder, _, base = (name or "").rpartition("/")
            try:
                number = image_number(base.removesuffix(".jpg") if folder == split else "")
            except ValueError:
                strange.append(at)
            else:
                known.append((number, at))
        ids = np.array([number for number, _ in known], np.uint64)
        places = np.array([at for _, at in known], np.int64)
        order = np.argsort(ids, kind="stable")
        ids, places = ids[order], places[order]
        return cls(ids, images.ids[places], images.widths[places], images.heights[places], places, tuple(strange))

    def find(self, images: ImageIds) -> Ints:
        """The place of each image among `ids`, -1 for one that is not there."""
        return _places(self.ids, images)


@dataclass(frozen=True, slots=True)
class _Some:
    """Some rows, or annotations: the place of the image of each, and what it says; `marks` is where it stands."""

    places: Ints
    categories: Ints
    boxes: Floats
    crowds: Ints
    marks: Ints

    def __len__(self) -> int:
        return len(self.places)

    def take(self, which: Any) -> _Some:
        """Those of a mask, an order, or a slice."""
        return _Some(*(getattr(self, one.name)[which] for one in fields(self)))

    @classmethod
    def joined(cls, parts: list[_Some]) -> _Some:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)))


_Stream: TypeAlias = "Iterator[_Some]"


class _OutOfOrder(Exception):
    """Rows, or annotations, are not in the order of their images."""


class _Annotation(msgspec.Struct, gc=False):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


_DECODERS = {"annotations": msgspec.json.Decoder(list[_Annotation])}


def compare_categories(one: AnnotationFile, classes: Classes, told: Told) -> Iterator[Finding]:
    """The categories that are not as the list of classes numbers them."""
    names = list(classes.names.values())
    for at, category in enumerate(one.index.categories):
        right = names[category.id - 1] if 0 < category.id <= len(names) else None
        if right != category.name:
            is_called = f"is {right!r} there" if right is not None else "is not there"
            words = f"category {category.id} is {category.name!r}, and in the list of classes {category.id} {is_called}"
            where = {"pointer": f"/categories/{at}", "category_id": category.id}
            yield from told.at(one.path, CATEGORY_UNLIKE_LIST, one.path, words, **where)


def compare(
    one: AnnotationFile, images: JsonImages, boxes: CsvFile, name: str, classes: Classes, told: Told
) -> Iterator[Finding]:
    """What the annotations of a file say otherwise than the rows of their images in the table called `name`.

    Nothing where a record cannot be read as an annotation, which others tell. Both are read in step, as long as they
    are in the order of their images; else they are sorted in memory, which takes some 60 bytes for each.
    """
    look = _Comparison(one, images, boxes, name, classes, told)
    try:
        yield from look.findings(in_order=True)
    except _OutOfOrder:
        yield from look.findings(in_order=False)
    except (Malformed, _Unlike):
        return


class _Unlike(Exception):
    """An annotation is none."""


class _Comparison:
    def __init__(
        self, one: AnnotationFile, images: JsonImages, boxes: CsvFile, name: str, classes: Classes, told: Told
    ) -> None:
        self.one, self.images, self.boxes, self.name, self.told = one, images, boxes, name, told
        self.numbers: Mapping[str, int] = classes.numbers
        order = np.argsort(images.numbers, kind="stable")
        self._by_number = images.numbers[order], order

    def findings(self, *, in_order: bool) -> Iterator[Finding]:
        """Only when all is read, so that nothing is told twice."""
        unlike: list[tuple[str, dict[str, Any], int]] = []
        counts: list[tuple[int, int, int]] = []
        self.more = {ANNOTATIONS_UNLIKE_ROWS: 0, ANNOTATION_UNLIKE_ROW: 0}
        sides = (self._rows(), self._records())
        pairs = _paired(*(map(_in_order, sides) if in_order else map(_sorted, sides)))
        for rows_, records in pairs:
            counts += self._unlike_counts(rows_, records, KEPT - len(counts))
            unlike += self._unlike(*_alike(rows_, records), KEPT - len(unlike))
        lines = self.boxes.lines([offset for *_, offset in unlike])
        for place, said, is_ in counts:
            id = image_name(int(self.images.ids[place]))
            words = f"image {id} has {is_:,} annotations, and {said:,} rows in {self.name}"
            where = {"image_id": int(self.images.numbers[place]), "pointer": f"/images/{self.images.rows[place]}"}
            yield from self.told.at(self.one.path, ANNOTATIONS_UNLIKE_ROWS, self.one.path, words, **where)
        for (words, where, _), line in zip(unlike, lines, strict=True):
            words = f"{words} ({self.name}, line {line})"
            yield from self.told.at(self.one.path, ANNOTATION_UNLIKE_ROW, self.one.path, words, **where)
        for rule, more in self.more.items():
            self.told.counts[rule.code, self.one.path] += more

    def _unlike_counts(self, rows_: _Some, records: _Some, room: int) -> Iterator[tuple[int, int, int]]:
        both = np.unique(np.concatenate([rows_.places, records.places]))
        said = np.searchsorted(rows_.places, both, "right") - np.searchsorted(rows_.places, both, "left")
        are = np.searchsorted(records.places, both, "right") - np.searchsorted(records.places, both, "left")
        wrong = np.flatnonzero(said != are)
        self.more[ANNOTATIONS_UNLIKE_ROWS] += max(0, len(wrong) - room)
        for at in wrong[:room].tolist():
            yield int(both[at]), int(said[at]), int(are[at])

    def _unlike(self, rows_: _Some, records: _Some, room: int) -> Iterator[tuple[str, dict[str, Any], int]]:
        others = {
            "category_id": rows_.categories != records.categories,
            "bbox": ~(np.abs(rows_.boxes - records.boxes) <= _OFF).all(1),
            "iscrowd": rows_.crowds != records.crowds,
        }
        wrong_at = np.flatnonzero(np.any(list(others.values()), axis=0))
        self.more[ANNOTATION_UNLIKE_ROW] += max(0, len(wrong_at) - room)
        for at in wrong_at[:room].tolist():
            number = int(records.marks[at])
            which = next(name for name, wrong in others.items() if wrong[at])
            said, is_ = (_shown(side, which, at) for side in (rows_, records))
            id = int(self.one.index.annotations.ids[number])
            where = {"pointer": f"/annotations/{number}/{which}", "image_id": int(self._number(records, at))}
            where |= {} if id == MISSING else {"annotation_id": id}
            yield f"{which} is {is_}, and its row says {said}", where, int(rows_.marks[at])

    def _number(self, records: _Some, at: int) -> int:
        return int(self.images.numbers[records.places[at]])

    def _rows(self) -> _Stream:
        """The rows of images that the JSON has."""
        known: dict[str, int] = {}
        columns = [name for name in _COLUMNS if name in self.boxes.columns]
        for some in rows(self.boxes, lenient(BOXES), columns):
            if (batch := some.batch) is None:
                continue
            places = self.images.find(batch.images)
            kept = places >= 0
            at = places[kept]
            codes = batch.codes("LabelName", known)[kept]
            numbers = np.array([self.numbers.get(mid, 0) for mid in known], np.int64)
            x, w = in_pixels(batch.numbers("XMin")[kept], batch.numbers("XMax")[kept], self.images.widths[at])
            y, h = in_pixels(batch.numbers("YMin")[kept], batch.numbers("YMax")[kept], self.images.heights[at])
            crowds = np.zeros(len(at), np.int64)
            if "IsGroupOf" in columns:
                crowds = (batch.numbers("IsGroupOf")[kept] == 1).astype(np.int64)
            yield _Some(at, numbers[codes], np.column_stack([x, y, w, h]), crowds, some.offsets[kept])

    def _records(self) -> _Stream:
        """The annotations whose image the JSON has; _Unlike for what is none."""
        sorted_, order = self._by_number
        for event in scan(self.one.index.file.chunks(), _DECODERS):
            if not isinstance(event, Records) or event.key != "annotations":
                continue
            if event.rows is None:
                raise _Unlike
            found: list[_Annotation] = event.rows
            ids = np.array([one.image_id for one in found], np.int64)
            at = _places(sorted_, ids)
            kept = at >= 0
            yield _Some(
                order[at[kept]],
                np.array([one.category_id for one in found], np.int64)[kept],
                np.array([one.bbox for one in found], np.float64).reshape(-1, 4)[kept],
                np.array([one.iscrowd for one in found], np.int64)[kept],
                np.flatnonzero(kept) + event.first,
            )


def _shown(side: _Some, which: str, at: int) -> str:
    if which == "bbox":
        return "[" + ", ".join(f"{one:.6g}" for one in side.boxes[at].tolist()) + "]"
    column: Ints = side.categories if which == "category_id" else side.crowds
    return str(int(column[at]))


def _places(ids: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> Ints:
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[at] == wanted, at, np.int64(-1))


def _in_order(side: _Stream) -> _Stream:
    """The same; _OutOfOrder when the images do not come in their order."""
    last = 0
    for some in side:
        if not len(some):
            continue
        if some.places[0] < last or (np.diff(some.places) < 0).any():
            raise _OutOfOrder
        last = int(some.places[-1])
        yield some


def _sorted(side: _Stream) -> _Stream:
    parts = [some for some in side if len(some)]
    if parts:
        whole = _Some.joined(parts)
        yield whole.take(np.argsort(whole.places, kind="stable"))


def _alike(rows_: _Some, records: _Some) -> tuple[_Some, _Some]:
    """Those of both sides whose images have as many on the one as on the other: so they stand side by side."""
    top = int(max(rows_.places.max(initial=-1), records.places.max(initial=-1))) + 1
    low = int(min(rows_.places.min(initial=top), records.places.min(initial=top)))
    counts = [np.bincount(side.places - low, minlength=top - low) for side in (rows_, records)]
    same = counts[0] == counts[1]
    if same.all():
        return rows_, records
    return rows_.take(same[rows_.places - low]), records.take(same[records.places - low])


def _paired(left: _Stream, right: _Stream) -> Iterator[tuple[_Some, _Some]]:
    """What both sides have of the same images, all of it, some images at a time."""
    none = _Some(*(np.zeros(0, np.int64),) * 2, np.zeros((0, 4)), *(np.zeros(0, np.int64),) * 2)
    sides, held, ended = (left, right), [none, none], [False, False]
    while True:
        edges = [np.inf if ended[at] else held[at].places[-1] if len(held[at]) else -1 for at in (0, 1)]
        limit = min(edges)
        cuts = [int(np.searchsorted(held[at].places, limit)) for at in (0, 1)]
        if any(cuts):
            yield held[0].take(slice(cuts[0])), held[1].take(slice(cuts[1]))
            held = [held[at].take(slice(cuts[at], None)) for at in (0, 1)]
        if limit == np.inf:
            return
        at = edges.index(limit)
        more = next(sides[at], None)
        if more is None:
            ended[at] = True
        else:
            held[at] = _Some.joined([held[at], more])
