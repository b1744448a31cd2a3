"""COCO JSON of Open Images held against the rows that it was made of, in step: neither is held in memory as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from visprep.annotation_files import AnnotationFile, Told
from visprep.findings import Finding
from visprep.formats.coco_scan import Ints, Malformed, Records, scan
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_coco import in_pixels
from visprep.formats.open_images_csv import ImageIds, image_name, image_number
from visprep.formats.open_images_ids import places_in
from visprep.formats.open_images_rows import lenient, rows
from visprep.formats.open_images_tables import BOXES, first
from visprep.rules.coco_notes import KEPT
from visprep.rules.open_images import (
    ANNOTATION_UNLIKE_ROW,
    ANNOTATIONS_UNLIKE_ROWS,
    CATEGORY_UNLIKE_LIST,
    NUMBERS_UNLIKE_ROWS,
)

__all__ = ["JsonImages", "compare", "compare_categories"]

Floats = npt.NDArray[np.float64]

#: How far a number of a box may be from what its row says, in pixels.
_OFF = 0.01
_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")


@dataclass(frozen=True, slots=True)
class JsonImages:
    """The images of a split's JSON, sorted by `ids`; `numbers` are their ids there, `rows` their places in its list.

    `strange` are the places of those whose name is none of the split's images.
    """

    split: str
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
        numbers, widths, heights = images.ids[places], images.widths[places], images.heights[places]
        return cls(split, ids, numbers, widths, heights, places, tuple(strange))

    def find(self, images: ImageIds) -> Ints:
        """The place of each image among `ids`, -1 for one that is not there."""
        return places_in(self.ids, images)


@dataclass(frozen=True, slots=True)
class _Some:
    """Some rows, or annotations: the place of the image of each, and what it says.

    `marks` is where it stands, `numbers` the id that it has, or should have.
    """

    places: Ints
    categories: Ints
    boxes: Floats
    crowds: Ints
    marks: Ints
    numbers: Ints

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
    id: int
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
    one: AnnotationFile,
    images: JsonImages,
    boxes: CsvFile,
    listed: ImageIds | None,
    but: Collection[int],
    classes: Classes,
    told: Told,
) -> Iterator[Finding]:
    """What the annotations of a file say otherwise than the rows of their images in a table of boxes.

    `listed` are all images that there are rows of, over which the numbers go from where those of the split begin;
    `but` are images that are not compared. Nothing where a record cannot be read as an annotation, which others tell.
    Both are read in step, as long as they are in the order of their images; else they are sorted in memory, which takes
    some 80 bytes for each.
    """
    look = _Comparison(one, images, boxes, listed, but, classes, told)
    try:
        yield from look.findings(in_order=True)
    except _OutOfOrder:
        yield from look.findings(in_order=False)
    except (Malformed, _Unlike):
        return


class _Unlike(Exception):
    """An annotation is none."""


class _Comparison:
    """See `compare`; the place of an image is that among the `listed`."""

    def __init__(
        self,
        one: AnnotationFile,
        images: JsonImages,
        boxes: CsvFile,
        listed: ImageIds | None,
        but: Collection[int],
        classes: Classes,
        told: Told,
    ) -> None:
        self.one, self.images, self.boxes, self.told = one, images, boxes, told
        self.listed = images.ids if listed is None else listed
        self.numbered = listed is not None
        self.first = first(images.split)
        self.mids: Mapping[str, int] = classes.numbers
        #: Of each listed image its place among those of the JSON, -1 where it is not to be compared
        self.there = images.find(self.listed)
        if but:
            self.there[np.isin(self.listed, np.array(sorted(but), np.uint64))] = -1
        order = np.argsort(images.numbers, kind="stable")
        self.by_number = images.numbers[order], places_in(self.listed, images.ids[order])

    def findings(self, *, in_order: bool) -> Iterator[Finding]:
        """Only when all is read, so that nothing is told twice."""
        unlike: list[tuple[str, dict[str, Any], int]] = []
        counts: list[tuple[int, int, int]] = []
        self.more = {ANNOTATIONS_UNLIKE_ROWS: 0, ANNOTATION_UNLIKE_ROW: 0}
        renumbered = 0
        order = _in_order if in_order else _sorted
        counted = _counted(order(self._rows()), self.first.annotation)
        for rows_, records in _paired(self._compared(counted), order(self._records())):
            counts += self._unlike_counts(rows_, records, KEPT - len(counts))
            rows_, records = _alike(rows_, records)
            unlike += self._unlike(rows_, records, KEPT - len(unlike))
            renumbered += int((rows_.numbers != records.numbers).sum())
        lines = self.boxes.lines([offset for *_, offset in unlike])
        path, name = self.one.path, self.boxes.name
        for place, said, is_ in counts:
            id, at = image_name(int(self.listed[place])), self.there[place]
            words = f"image {id} has {is_:,} annotations, and {said:,} rows in {name}"
            where = {"image_id": int(self.images.numbers[at]), "pointer": f"/images/{self.images.rows[at]}"}
            yield from self.told.at(path, ANNOTATIONS_UNLIKE_ROWS, path, words, **where)
        for (words, where, _), line in zip(unlike, lines, strict=True):
            yield from self.told.at(path, ANNOTATION_UNLIKE_ROW, path, f"{words} ({name}, line {line})", **where)
        for rule, more in self.more.items():
            self.told.counts[rule.code, path] += more
        if not counts and self.numbered:  # one row more or less changes all numbers after it
            yield from self._renumbered(renumbered)

    def _renumbered(self, annotations: int) -> Iterator[Finding]:
        places = places_in(self.listed, self.images.ids)
        if (places < 0).any():  # a row that is lost changes all numbers after it, too
            return
        images = int((self.images.numbers != places + self.first.image).sum())
        for count, what in ((images, "images"), (annotations, "annotations")):
            if count:
                words = f"{count:,} of its {what} have another id than their place among the rows gives them"
                yield NUMBERS_UNLIKE_ROWS.at(self.one.path, words, key=what, count=count)

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
            image = int(self.images.numbers[self.there[records.places[at]]])
            where = {"pointer": f"/annotations/{number}/{which}", "image_id": image}
            where["annotation_id"] = int(records.numbers[at])
            yield f"{which} is {is_}, and its row says {said}", where, int(rows_.marks[at])

    def _rows(self) -> _Stream:
        """The rows of listed images, with the corners that they tell."""
        known: dict[str, int] = {}
        columns = [name for name in _COLUMNS if name in self.boxes.columns]
        for some in rows(self.boxes, lenient(BOXES), columns):
            if (batch := some.batch) is None:
                continue
            places = places_in(self.listed, batch.images)
            codes = batch.codes("LabelName", known)
            categories = np.array([self.mids.get(mid, 0) for mid in known], np.int64)[codes]
            crowds = np.zeros(len(places), np.int64)
            if "IsGroupOf" in columns:
                crowds = (batch.numbers("IsGroupOf") == 1).astype(np.int64)
            corners = np.column_stack([batch.numbers(name) for name in ("XMin", "XMax", "YMin", "YMax")])
            yield _Some(places, categories, corners, crowds, some.offsets, places).take(places >= 0)

    def _compared(self, side: _Stream) -> _Stream:
        """Those of images that the JSON has, with their boxes in pixels."""
        for some in side:
            kept = some.take(self.there[some.places] >= 0)
            at = self.there[kept.places]
            x, w = in_pixels(kept.boxes[:, 0], kept.boxes[:, 1], self.images.widths[at])
            y, h = in_pixels(kept.boxes[:, 2], kept.boxes[:, 3], self.images.heights[at])
            if len(kept):
                yield replace(kept, boxes=np.column_stack([x, y, w, h]))

    def _records(self) -> _Stream:
        """The annotations of images that are compared; _Unlike for what is none."""
        numbers, places = self.by_number
        for event in scan(self.one.index.file.chunks(), _DECODERS):
            if not isinstance(event, Records) or event.key != "annotations":
                continue
            if event.rows is None:
                raise _Unlike
            found: list[_Annotation] = event.rows
            at = places_in(numbers, np.array([one.image_id for one in found], np.int64))
            of_image = np.where(at >= 0, places[at] if len(places) else -1, -1)
            kept = of_image >= 0
            kept[kept] = self.there[of_image[kept]] >= 0  # a table without a row lists no image at all
            some = _Some(
                of_image,
                np.array([one.category_id for one in found], np.int64),
                np.array([one.bbox for one in found], np.float64).reshape(-1, 4),
                np.array([one.iscrowd for one in found], np.int64),
                np.arange(event.first, event.first + len(found)),
                np.array([one.id for one in found], np.int64),
            )
            yield some.take(kept)


def _shown(side: _Some, which: str, at: int) -> str:
    if which == "bbox":
        return "[" + ", ".join(f"{one:.6g}" for one in side.boxes[at].tolist()) + "]"
    column: Ints = side.categories if which == "category_id" else side.crowds
    return str(int(column[at]))


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


def _counted(side: _Stream, count: int) -> _Stream:
    """The same, numbered from `count` on."""
    for some in side:
        yield replace(some, numbers=np.arange(count, count + len(some)))
        count += len(some)


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
    none = _Some(*(np.zeros(0, np.int64),) * 2, np.zeros((0, 4)), *(np.zeros(0, np.int64),) * 3)
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
