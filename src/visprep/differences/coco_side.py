"""One side of a comparison of COCO JSON files: their images and annotations as columns, with a mark for each record."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np

from visprep.coco_file import nearby
from visprep.differences import Box
from visprep.differences.matching import Floats, Ints
from visprep.formats import coco_json
from visprep.formats.coco_ids import rows_of
from visprep.formats.coco_json import MISSING, Annotations, Images, Index, JsonFile
from visprep.formats.coco_scan import Closed, Opened, Records, Value

#: Bytes of a file that are read at once, and bytes between two records that are rather read than skipped.
_TOGETHER, _GAP = 4 * 1024 * 1024, 64 * 1024
#: Records that are decoded at a time.
BATCH = 5_000
#: What an annotation says that is compared by its meaning.
APART = frozenset({"id", "image_id", "category_id", "bbox"})

#: No picture has coordinates beyond that, and products of such are numbers still.
_BEYOND = 1e15
_NO_BOX = (math.nan,) * 4

T = TypeVar("T")

Key = Literal["images", "annotations"]


class _Boxed(msgspec.Struct, gc=False):
    bbox: Box | None = None


_BOXED = msgspec.json.Decoder(_Boxed)


@dataclass(frozen=True)
class Document:
    """An annotation file that was read: `path` in its place, `pair` the number of the pair of files that it is of.

    `categories` are whole, `others` what stands beside the records; of lists that are not known, a mark.
    """

    path: str
    pair: int
    index: Index
    categories: tuple[dict[str, Any], ...]
    others: Mapping[str, Any]

    @classmethod
    def read(cls, path: str, pair: int, file: JsonFile) -> Document:
        """WrongContent for a file that is no COCO JSON that can be read; what a store raises."""
        near = nearby(file)
        categories: list[dict[str, Any]] = []
        marks: dict[str, Any] = {}

        def listen(event: Opened | Closed | Records | Value) -> None:
            if isinstance(event, Records) and event.key == "categories":
                categories.extend(decoded(data) for _, data in event.elements())
            elif isinstance(event, Records) and event.key not in ("images", "annotations", "licenses"):
                parts = map(bytes, event.rows) if event.rows else (data for _, data in event.elements())
                marks[event.key] = Mark(functools.reduce(_chained, parts, marks.get(event.key, Mark(0)).value))

        index = coco_json.index(near, [], listen)
        licenses = {"licenses": [asdict(one) for one in index.licenses]} if index.licenses else {}
        whole = zip(categories, index.categories, strict=True)
        classes = tuple({**said, "id": one.id, "name": one.name} for said, one in whole)
        return cls(path, pair, index, classes, {**index.others, **licenses, **marks})

    def raw(self, key: Key, rows: Ints | None = None) -> Iterator[bytes]:
        """The bytes of some records, or of all, in the order of the file, in which `rows` must be."""
        columns: Images | Annotations = self.index.images if key == "images" else self.index.annotations
        starts, lengths = columns.starts, columns.lengths
        if rows is not None:
            starts, lengths = starts[rows], lengths[rows]
        ends = starts + lengths
        breaks = np.flatnonzero(starts[1:] - ends[:-1] > _GAP) + 1
        for first, last in zip([0, *breaks.tolist()], [*breaks.tolist(), len(starts)], strict=True):
            at = first
            while at < last:
                base = int(starts[at])
                upto = min(last, max(at + 1, int(np.searchsorted(ends, base + _TOGETHER, side="right"))))
                data = self.index.file.read(base, int(ends[upto - 1]) - base)
                bounds = zip((starts[at:upto] - base).tolist(), (ends[at:upto] - base).tolist(), strict=True)
                yield from (data[start:stop] for start, stop in bounds)
                at = upto


@dataclass(frozen=True, slots=True)
class Mark:
    """Stands for a list that is only compared."""

    value: int


def _chained(mark: int, data: bytes) -> int:
    return hash((mark, data))


@dataclass(frozen=True)
class Details:
    """The boxes of some annotations, NaN for none, and a mark of each."""

    boxes: Floats
    marks: Ints


class Side:
    """The images and annotations of some documents, numbered through; no record itself is held.

    Marks are equal where the bytes of two records are.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.documents = tuple(documents)
        images = [document.index.images for document in documents]
        annotations = [document.index.annotations for document in documents]
        #: Of each document the number of its first image and annotation, and of what comes after the last
        self.firsts: dict[Key, Ints] = {
            "images": np.cumsum([0, *map(len, images)], dtype=np.int64),
            "annotations": np.cumsum([0, *map(len, annotations)], dtype=np.int64),
        }
        self.names = [name for one in images for name in one.file_names]
        self.image_ids = _joined([one.ids for one in images])
        self.sizes = np.column_stack([_joined([getattr(one, key) for one in images]) for key in ("widths", "heights")])
        self.image_document = np.repeat(np.arange(len(images)), list(map(len, images)))
        self.ids = _joined([one.ids for one in annotations])
        self.category_ids = _joined([one.category_ids for one in annotations])
        self._annotation_document = np.repeat(np.arange(len(annotations)), list(map(len, annotations)))
        self.owners = _joined([self._owners(number) for number in range(len(documents))])

    def _owners(self, number: int) -> Ints:
        """The number of the image of each annotation of a document; -1 where there is none. The first of twins."""
        index = self.documents[number].index
        rows = rows_of(index.images.ids, index.annotations.image_ids)
        return np.where(rows < 0, -1, rows + self.firsts["images"][number])

    @cached_property
    def image_marks(self) -> Ints:
        """A mark of each image."""
        return self._marks("images")

    @cached_property
    def marks(self) -> Ints:
        """A mark of each annotation."""
        return self._marks("annotations")

    def _marks(self, key: Key) -> Ints:
        count = int(self.firsts[key][-1])
        raw = (data for document in self.documents for data in document.raw(key))
        return np.fromiter(map(hash, raw), np.int64, count)

    def records(self, key: Key, rows: Ints) -> list[dict[str, Any]]:
        """Some records, decoded, in the order of `rows`."""
        return list(map(decoded, self.raw(key, rows)))

    def raw(self, key: Key, rows: Ints) -> list[bytes]:
        """The bytes of some records, in the order of `rows`."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        bounds = np.searchsorted(ordered, self.firsts[key])
        found = [b""] * len(rows)
        at = 0
        for number, document in enumerate(self.documents):
            some = ordered[bounds[number] : bounds[number + 1]] - self.firsts[key][number]
            for data in document.raw(key, some):
                found[order[at]] = data
                at += 1
        return found

    def details(self, rows: Ints) -> Details:
        """The boxes of some annotations, whose rows are in order."""
        found = [_box_in(data) for data in self._raw(rows)]
        boxes = np.array([box or _NO_BOX for box in found], np.float64).reshape(-1, 4)
        return Details(boxes, np.fromiter(map(hash, found), np.int64, len(found)))

    def rests(self, rows: Ints) -> Ints:
        """A mark of all that some annotations, whose rows are in order, say beside id, image and class."""
        apart = APART - {"bbox"}
        said = (rest_of(decoded(data), apart) for data in self._raw(rows))
        marks = (hash(msgspec.json.encode(one, order="sorted")) for one in said)
        return np.fromiter(marks, np.int64, len(rows))

    def _raw(self, rows: Ints) -> Iterator[bytes]:
        bounds = np.searchsorted(rows, self.firsts["annotations"]).tolist()
        for number, document in enumerate(self.documents):
            some = rows[bounds[number] : bounds[number + 1]]
            yield from document.raw("annotations", some - self.firsts["annotations"][number])

    def home(self, image: int) -> Document:
        """The file that an image stands in."""
        return self.documents[int(self.image_document[image])]

    def document(self, annotation: int) -> Document:
        """The file that an annotation stands in."""
        return self.documents[int(self._annotation_document[annotation])]

    def image(self, row: int) -> tuple[str, int]:
        """What an image is called, its file name or else its id; and the id."""
        id = int(self.image_ids[row])
        return self.names[row] or f"#{known_id(id)}", id


def batches(items: list[T]) -> Iterator[list[T]]:
    """The items, so many at a time that their records fit in memory."""
    return (items[at : at + BATCH] for at in range(0, len(items), BATCH))


def known_id(value: int) -> int | None:
    """An id as people see it: None where the record has none."""
    return None if value == MISSING else value


def rest_of(record: Mapping[str, Any], apart: frozenset[str] = APART) -> dict[str, Any]:
    """What a record says beside the fields `apart`; null says nothing."""
    return {key: value for key, value in record.items() if key not in apart and value is not None}


def box_of(value: Any) -> Box | None:
    """A box of four numbers; None for what is none."""
    sound = isinstance(value, list) and len(value) == 4
    if not sound or not all(isinstance(one, int | float) and abs(one) < _BEYOND for one in value):
        return None
    x, y, width, height = map(float, value)
    return x, y, width, height


def _box_in(data: bytes) -> Box | None:
    """The box of an annotation as it stands in the file."""
    try:
        box = _BOXED.decode(data).bbox
    except (ValueError, RecursionError):
        return box_of(decoded(data).get("bbox"))
    return box if box is None or -_BEYOND < min(box) <= max(box) < _BEYOND else None


def decoded(data: bytes) -> dict[str, Any]:
    """A record; one that is none, or cannot be read, is compared as it stands."""
    try:
        found = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {"": data.decode(errors="replace")}
    return found if isinstance(found, dict) else {"": found}


def _joined(columns: Sequence[Ints]) -> Ints:
    return np.concatenate(columns) if columns else np.empty(0, np.int64)
