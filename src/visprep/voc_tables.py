"""The images and boxes of a COCO file as Pascal VOC needs them: read once, kept as columns, and what VOC cannot say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from visprep import wire
from visprep.coco_shrinking import Shrinking
from visprep.converting import Losses
from visprep.formats import coco_parts, voc_coco
from visprep.formats.coco_json import MISSING
from visprep.formats.coco_scaling import shrunk
from visprep.formats.voc import FLAGS, VocAnnotation, VocObject
from visprep.formats.voc_coco import SUPERCATEGORIES, VOC
from visprep.formats.voc_stems import numbers
from visprep.image_loading import see
from visprep.recordsets import Ints
from visprep.recordsets.coco_files import CocoFile
from visprep.rules import Depth

__all__ = ["Table", "number_losses"]

_decode = msgspec.json.Decoder().decode
#: The keys of an image that VOC has a place for.
_OF_IMAGE = frozenset({"id", "file_name", "width", "height"})
#: The keys at the top that are told of otherwise.
_LISTS = frozenset({"images", "annotations", "categories"})
#: What the way back writes at the top.
_WRITTEN: tuple[tuple[str, object], ...] = (("info", {}), ("licenses", []))


class Table:
    """The boxes of one file, by image. `names` is what becomes of each class; losses are told as they are found.

    With `most`, all is told of images that have no side of more than so many pixels.
    """

    def __init__(
        self, file: CocoFile, names: Mapping[str, str | None], losses: Losses, most: int | None = None
    ) -> None:
        self._most = most
        self._smaller = Shrinking(file, most) if most else None
        self.file, self.losses = file, losses
        self.index = file.file.index
        self.path = file.file.path
        self.classes: list[str] = []
        #: The categories whose supercategory the way back gives, where all classes are VOC's own
        self.supercategories: list[int] = []
        self._poses: dict[str | None, int] = {None: -1}
        self._classes(names)
        self._top()
        self._images()
        self._annotations()
        self._pose_names = {number: pose for pose, number in self._poses.items()}

    def _lost(self, name: str, example: str, **where: object) -> None:
        self.losses.lost(name, self.path, example, 1, **where)

    def _classes(self, names: Mapping[str, str | None]) -> None:
        """Which class each category becomes: its number among `classes`, -1 for one that is dropped."""
        self._numbers: dict[int, int] = {}
        places: dict[str, int] = {}
        for one in self.index.categories:
            name = names[one.name]
            self._numbers[one.id] = -1 if name is None else places.setdefault(name, len(places))
            if name is not None and (name != name.strip() or not name):
                self._lost("categories.name", f"category {one.id}, {name!r},", category_id=one.id)
        self.classes = list(places)

    def _top(self) -> None:
        """What stands at the top of the file, and what is said of classes."""
        for key, value in coco_parts.frame(self.index).items():
            if key == "categories":
                for record in value:
                    self._category(record)
            elif key not in _LISTS and (key, value) not in _WRITTEN:
                count = len(value) or 1 if isinstance(value, list) else 1
                self.losses.lost(key, self.path, f"{key!r} of {self.path}", count)

    def _category(self, record: Mapping[str, Any]) -> None:
        example = f"category {record.get('id')}"
        for key, value in record.items():
            if key == "supercategory" and value == SUPERCATEGORIES.get(record["name"]):
                self.supercategories.append(record["id"])
            elif key not in ("id", "name"):
                self._lost(f"categories.{key}", example, category_id=record.get("id"))

    def _records(self, key: Literal["images", "annotations"], rows: Ints) -> Iterator[tuple[int, bytes]]:
        """Some records, in the order of the file."""
        columns = self.index.images if key == "images" else self.index.annotations
        for some, data, base in coco_parts.runs(self.index.file, columns, rows):
            starts = (columns.starts[some] - base).tolist()
            for row, start, length in zip(some.tolist(), starts, columns.lengths[some].tolist(), strict=True):
                yield row, data[start : start + length]

    def _sound(self, key: str, count: int) -> npt.NDArray[np.bool_]:
        """Which records could be read."""
        sound = np.ones(count, np.bool_)
        sound[[row for other, row, _ in self.file.broken if other == key]] = False
        return sound

    def _images(self) -> None:
        self._more = np.zeros(len(self.index.images), np.bool_)
        for row, data in self._records("images", np.flatnonzero(self._sound("images", len(self._more)))):
            record = _decode(data)
            for key, value in record.items():
                if key in _OF_IMAGE:
                    continue
                if key == VOC and value and voc_coco.image_of(value, "", None) is not None:
                    self._more[row] = True
                else:
                    self._lost(f"images.{key}", f"image {record.get('id')}", image_id=record.get("id"))

    def _annotations(self) -> None:
        """Every annotation once: its class, box, flags and pose; whether more is to be read of it again."""
        columns, owner = self.index.annotations, self.file.owner
        count = len(columns)
        self._box = np.zeros((count, 4))
        self._class = np.full(count, -1, np.int32)
        self._flags = np.full((count, len(FLAGS)), -1, np.int8)
        self._pose = np.full(count, -1, np.int32)
        self._extra = np.zeros(count, np.bool_)
        sound = self._sound("annotations", count)
        for row, data in self._records("annotations", np.flatnonzero(sound)):
            self._annotation(row, data)
        rows = np.flatnonzero(self._class >= 0)
        self._order = rows[np.argsort(owner[rows], kind="stable")]
        self._bounds = np.searchsorted(owner[self._order], np.arange(len(self.index.images) + 1))

    def _annotation(self, row: int, data: bytes) -> None:
        record = _decode(data)
        id = record.get("id")
        example, where = f"annotation {id}", {"annotation_id": id}
        if self.file.owner[row] < 0:
            self._lost("annotations.image_id", example, **where)
            return
        number = self._numbers.get(int(self.index.annotations.category_ids[row]))
        if number is None:
            known = "category_id" in record
            self._lost("annotations.category_id" if known else "annotations", example, **where)
            return
        if number < 0:
            return  # its class was to be dropped
        size = self._told(int(self.file.owner[row]))
        kept = voc_coco.kept(record, size)
        lost, others = kept.lost, kept.others
        if self._smaller and kept.box and (smaller := self._smaller.annotation(data, row, ("bbox",))) != data:
            new = shrunk(size, self._most) if size and self._most else None
            kept = voc_coco.kept(_decode(smaller), new)
            lost |= kept.lost & {"bbox"}
            if any(voc_coco.has_box(one) for one in others):  # that of a part would be one in the larger image
                lost, others = lost | {VOC}, ()
        for key in sorted(lost):
            self._lost(f"annotations.{key}", example, **where)
        if kept.box is None:
            return
        self._class[row], self._box[row] = number, kept.box
        self._pose[row] = self._poses.setdefault(kept.pose, len(self._poses) - 1)
        for name, value in kept.flags:
            self._flags[row, FLAGS.index(name)] = value
        self._extra[row] = bool(others)

    def number(self, category: int) -> int:
        """The place among `classes` of what a category becomes; -1 for one that is dropped."""
        return self._numbers[category]

    def rows(self, image: int) -> Ints:
        """The annotations of an image that become objects, in the order of the file."""
        found: Ints = self._order[self._bounds[image] : self._bounds[image + 1]]
        return found

    def class_name(self, annotation: int) -> str:
        """The class of an annotation that becomes an object."""
        return self.classes[int(self._class[annotation])].strip()

    def annotation(self, image: int, filename: str) -> VocAnnotation:
        """What is written of an image."""
        said = self.index.record("images", image).get(VOC) if self._more[image] else {}
        size = self.size(image)
        if size and self._most:
            size = shrunk(size, self._most) or size
        found = voc_coco.image_of(said, filename, size)
        assert found is not None  # it was looked at before
        return VocAnnotation(
            found.filename,
            found.size,
            found.depth,
            tuple(map(self._object, self.rows(image).tolist())),
            found.folder,
            found.segmented,
            found.others,
            found.attributes,
        )

    def _object(self, row: int) -> VocObject:
        left, top, right, bottom = self._box[row].tolist()
        others = voc_coco.kept(self.index.record("annotations", row)).others if self._extra[row] else ()
        flags = tuple((name, value) for name, value in zip(FLAGS, self._flags[row].tolist(), strict=True) if value >= 0)
        pose = self._pose_names[int(self._pose[row])]
        return voc_coco.Kept((left, top, right, bottom), pose, flags, others).object(self.class_name(row))

    def size(self, image: int) -> tuple[int, int] | None:
        """Width and height as the file says them, else as the image has them; None where nothing tells."""
        if size := self._told(image):
            return size
        there = self.file.image(image)
        return wire.wait(see(self.file.home.store, there, Depth.HEADERS, near=False)).size if there else None

    def _told(self, image: int) -> tuple[int, int] | None:
        """Width and height as the file says them."""
        size = int(self.index.images.widths[image]), int(self.index.images.heights[image])
        return size if min(size) > 0 else None


def number_losses(places: Sequence[tuple[str, Table, int]], losses: Losses) -> None:
    """Tell which ids would be others on the way back, where all is numbered anew, and which classes leave no trace.

    `places` are the stems of the images, with the table and row of each.
    """
    done = 0
    used: set[str] = set()
    ordered = sorted(places, key=lambda one: one[0])
    for number, (_, table, row) in zip(numbers([stem for stem, *_ in ordered]), ordered, strict=True):
        image = int(table.index.images.ids[row])
        if image not in (number, MISSING):
            losses.lost("images.id", table.path, f"image {image}", image_id=image)
        for annotation in table.rows(row).tolist():
            done += 1
            used.add(table.class_name(annotation))
            said = int(table.index.annotations.ids[annotation])
            if said not in (done, MISSING):
                losses.lost("annotations.id", table.path, f"annotation {said}", annotation_id=said)
    _class_losses({id(table): table for _, table, _ in places}.values(), used, losses)


def _class_losses(tables: Iterable[Table], used: set[str], losses: Losses) -> None:
    ids = {name: number for number, name in enumerate(sorted(used), 1)}
    told: set[tuple[int, str]] = set()
    theirs = used <= SUPERCATEGORIES.keys()
    for table in tables:
        for id in () if theirs else table.supercategories:
            losses.lost("categories.supercategory", table.path, f"category {id}", category_id=id)
        for one in table.index.categories:
            number = table.number(one.id)
            if number < 0 or (one.id, one.name) in told:
                continue
            told.add((one.id, one.name))
            name = table.classes[number].strip()
            example = f"category {one.id}, {one.name!r},"
            if name not in ids:
                losses.lost("categories", table.path, f"{example} of which there is no box", category_id=one.id)
            elif ids[name] != one.id:
                losses.lost("categories.id", table.path, example, category_id=one.id)
