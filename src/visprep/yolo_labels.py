"""The rows of YOLO of one annotation file of COCO: made once, in the order of the file, and read image by image."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from visprep.coco_shrinking import size_of
from visprep.converting import Losses
from visprep.errors import DiskFull, VisprepError, WrongContent
from visprep.formats import yolo
from visprep.formats.coco_json import MISSING
from visprep.formats.coco_parts import runs
from visprep.formats.yolo import is_image, label_of
from visprep.formats.yolo_coco import Task, fitted, id_of
from visprep.manifest import File
from visprep.progress import Pulse
from visprep.recordsets import Ints, Mask
from visprep.recordsets.coco_files import CocoFile

__all__ = ["Labels", "Wanted"]

#: What of an image record comes back from the image itself, its name, or the order of the classes.
_IMAGE_CARRIED = frozenset({"file_name", "width", "height"})


@dataclass(frozen=True)
class Wanted:
    """What labels are to be: their task, and the number of each class.

    `names` are the new names of the classes by their old ones, None for those that are dropped; `joints` is how many
    keypoints a row has. `named`: the names of all images tell their ids.
    """

    task: Task
    numbers: Mapping[str, int]
    names: Mapping[str, str | None]
    joints: int = 0
    named: bool = False


@dataclass
class Labels:
    """The labels of the images of a file that go to `directory`; `kept` says which these are."""

    source: CocoFile
    directory: str
    kept: Mask = field(init=False)
    failures: list[tuple[str, VisprepError]] = field(default_factory=list)
    _sizes: Ints = field(init=False)
    _starts: Ints = field(init=False)
    _lengths: Ints = field(init=False)
    _order: Ints = field(init=False)
    _bounds: Ints = field(init=False)
    _rows: mmap.mmap | bytes = b""

    def __post_init__(self) -> None:
        count = len(self.source.file.index.annotations)
        self._starts, self._lengths = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._order = np.argsort(self.source.owner, kind="stable")
        owners = self.source.owner[self._order]
        self._bounds = np.searchsorted(owners, np.arange(len(self.source.record) + 1))
        self.kept = np.zeros(len(self.source.record), np.bool_)
        self.failures += [(self.source.file.path, problem) for _, _, problem in self.source.broken]

    def image_path(self, row: int) -> str:
        """Where an image goes."""
        return f"images/{self.directory}/{self.source.file.index.images.file_names[row]}"

    def images(self) -> Iterator[tuple[str, File, int, tuple[int, int]]]:
        """The images that are kept: where each goes, what it is now, its row, and its width and height."""
        for row in np.flatnonzero(self.kept).tolist():
            there = self.source.image(row)
            assert there is not None
            yield self.image_path(row), there, row, (int(self._sizes[row, 0]), int(self._sizes[row, 1]))

    def label(self, row: int) -> bytes:
        """The label of an image."""
        some = self._order[self._bounds[row] : self._bounds[row + 1]].tolist()
        return b"".join(self._rows[self._starts[at] : self._starts[at] + self._lengths[at]] for at in some)

    def tell_ids(self, first: int, losses: Losses) -> int:
        """Tell which annotations would have another id on the way back, which counts from `first`; the next number."""
        ids, number = self.source.file.index.annotations.ids, first
        for row in sorted(np.flatnonzero(self.kept).tolist(), key=self.image_path):
            for at in self._order[self._bounds[row] : self._bounds[row + 1]].tolist():
                if self._lengths[at]:
                    if ids[at] not in (number, MISSING):
                        losses.lost("annotations.id", self.source.file.path, _called(ids[at]))
                    number += 1
        return number

    def make(self, wanted: Wanted, losses: Losses, pulse: Pulse, taken: set[str]) -> None:
        """Make all rows; `taken` are the labels that others have, and gains those of this file."""
        self._sizes = sizes = self._chosen(losses, taken)
        self._tell_images(wanted.named, losses)
        try:
            with tempfile.TemporaryFile(prefix="visprep-") as file:
                at = 0
                for number, row in self._fitted(wanted, sizes, losses, pulse):
                    self._starts[number], self._lengths[number] = at, file.write(row)
                    at += len(row)
                file.flush()
                if at:
                    self._rows = mmap.mmap(file.fileno(), at, access=mmap.ACCESS_READ)
        except OSError as error:
            why = f"no temporary file can be written: {error.strerror}"
            raise DiskFull(why, hint="free some space, or set TMPDIR") from error
        self.source.file.index.file.check_same()

    def _chosen(self, losses: Losses, taken: set[str]) -> Ints:
        """Width and height of each image, and with it which images can go there at all."""
        images, path = self.source.file.index.images, self.source.file.path
        sizes = np.column_stack([images.widths, images.heights])
        for row, name in enumerate(images.file_names):
            there = self.source.image(row)
            label = label_of(self.image_path(row))
            if there is None or not is_image(there.path) or label in taken:
                losses.lost("images", path, f"image {images.ids[row]} ({name})")
                continue
            size = size_of(self.source, row)
            if size is None:
                self.failures.append((there.path, WrongContent(f"{there.path}: nothing tells its size")))
                continue
            sizes[row] = size
            taken.add(label)
            self.kept[row] = True
        return sizes

    def _tell_images(self, named: bool, losses: Losses) -> None:
        """Which fields of the image records nothing carries."""
        ids = self.source.file.index.images.ids
        for row, record in _records(self.source, "images", np.flatnonzero(self.kept)):
            for key in record.keys() - _IMAGE_CARRIED:
                if key != "id" or not named or ids[row] != id_of(record["file_name"]):
                    losses.lost(f"images.{key}", self.source.file.path, f"image {ids[row]}")

    def _fitted(self, wanted: Wanted, sizes: Ints, losses: Losses, pulse: Pulse) -> Iterator[tuple[int, bytes]]:
        """Each row with the number of its annotation; what rows do not say is told as lost."""
        index, path = self.source.file.index, self.source.file.path
        owner = self.source.owner
        classes = {one.id: wanted.names.get(one.name) for one in index.categories}
        known = np.array([id for id, name in classes.items() if name is not None], np.int64)
        dropped = np.array([id for id, name in classes.items() if name is None], np.int64)
        rows = np.flatnonzero(~np.isin(index.annotations.category_ids, dropped))
        gone = (owner[rows] < 0) | ~np.isin(index.annotations.category_ids[rows], known)
        for number in rows[gone].tolist():
            losses.lost("annotations", path, _called(index.annotations.ids[number]))
        rows = rows[~gone]
        rows = rows[self.kept[owner[rows]]]
        numbers = {id: wanted.numbers[name] for id, name in classes.items() if name is not None}
        lost: dict[tuple[str, ...], tuple[int, int]] = {}  # of those that lose the same the first, and how many
        for done, (number, record) in enumerate(_records(self.source, "annotations", rows), 1):
            size = int(sizes[owner[number], 0]), int(sizes[owner[number], 1])
            label = numbers[int(index.annotations.category_ids[number])]
            found = fitted(record, label, size, wanted.task, wanted.joints)
            names = found.lost
            if found.row is not None:
                yield number, yolo.write([found.row])
            first, count = lost.get(names) or (number, 0)
            lost[names] = first, count + 1
            if not done % 1000:
                pulse("Converting annotations", done, len(rows))
        for names, (first, count) in lost.items():
            for name in names:
                losses.lost(name, path, _called(index.annotations.ids[first]), count)


def _records(source: CocoFile, key: str, rows: Ints) -> Iterator[tuple[int, dict[str, Any]]]:
    """Some records of a file, decoded, with the row of each; such as are no objects are passed over."""
    index = source.file.index
    columns = index.images if key == "images" else index.annotations
    for numbers, data, base in runs(index.file, columns, rows):
        starts, lengths = (columns.starts[numbers] - base).tolist(), columns.lengths[numbers].tolist()
        view = memoryview(data)
        for number, start, length in zip(numbers.tolist(), starts, lengths, strict=True):
            with suppress(msgspec.ValidationError):
                yield number, _DECODER.decode(view[start : start + length])


_DECODER: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])


def _called(id: int) -> str:
    return "an annotation without an id" if id == MISSING else f"annotation {id}"
