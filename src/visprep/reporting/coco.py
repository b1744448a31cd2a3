"""Images of annotation files of COCO, with boxes, outlines, keypoints, captions, and panoptic segments."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np

from visprep import wire
from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.findings import Finding
from visprep.formats.coco_json import MISSING
from visprep.formats.coco_place import image_root, joined, original
from visprep.formats.coco_scan import Malformed, Records, scan
from visprep.image_loading import IMAGE_BYTES
from visprep.images import decode
from visprep.page.payload import Shape, Text, polygons
from visprep.recordsets.coco import CocoRecords
from visprep.recordsets.coco_files import CocoFile
from visprep.render.text import shortened
from visprep.reporting import Draft, Sight, Size
from visprep.reporting.shapes import Pairs, drawn, edges

#: Annotations of one image that are drawn, and segments of one mask.
MOST = 100
_POINTER = re.compile(r"/(images|annotations)/([0-9]{1,15})(?:/.*)?")
#: Masks by which the directory of all of them is looked for.
_TRIES = 3
#: Characters of a caption that are shown.
_CAPTION = 1_000

_Row = tuple[CocoFile, int]


class CocoSubject:
    """See `Subject`: the images of some annotation files, together with what all of them say of each."""

    unit, grouped_by = "images", "Split"

    def __init__(self, records: CocoRecords, place: str) -> None:
        self.records = records
        self._files = {self._path(file, place): file for file in records.files}
        self._classes = {id(file): {one.id: one.name for one in file.file.index.categories} for file in records.files}
        self._flagged: dict[tuple[int, int], list[str]] = defaultdict(list)
        self._rows: dict[int, list[_Row]] = {}
        self._images: dict[int, list[_Row]] = {}
        self._skeletons: dict[int, Mapping[int, Pairs]] = {}
        self._mask_roots: dict[int, list[str | None]] = {}

    @staticmethod
    def _path(file: CocoFile, place: str) -> str:
        """How findings call an annotation file: by its path in the place, or as it was named itself."""
        return file.given.removeprefix(f"{place.rstrip('/')}/")

    @property
    def count(self) -> int:
        """See `Subject`."""
        return self.records.count

    @property
    def names(self) -> Sequence[str]:
        """See `Subject`: the `file_name` of each."""
        return self.records.names

    @property
    def groups(self) -> Sequence[str]:
        """See `Subject`: upstream's split."""
        return self.records.labels

    # Findings

    def owner(self, finding: Finding) -> int | None:
        """See `Subject`: by the pointer of a finding about an annotation file, else by the path of the image."""
        file = self._files.get(finding.path) or self._files.get(str(finding.where.get("json")))
        if file is not None and finding.path in self._files:
            return self._at(file, finding)
        number = self._by_path.get(finding.path)
        if number is None and "image_id" in finding.where and file is not None:
            return self._at(file, finding)
        return number

    def _at(self, file: CocoFile, finding: Finding) -> int | None:
        found = _POINTER.fullmatch(str(finding.where.get("pointer", "")))
        row = int(found[2]) if found else -1
        if found and found[1] == "annotations" and row < len(file.owner):
            self._flagged[id(file), row].append(finding.code)
            return int(file.record[file.owner[row]]) if file.owner[row] >= 0 else None
        if found and found[1] == "images" and row < len(file.record):
            return int(file.record[row])
        rows = np.flatnonzero(file.file.index.images.ids == finding.where.get("image_id", MISSING))
        return int(file.record[rows[0]]) if len(rows) and finding.where.get("image_id") is not None else None

    @cached_property
    def _by_path(self) -> Mapping[str, int]:
        """The image at each path of the place that an annotation file names."""
        found: dict[str, int] = {}
        for file in self.records.files:
            if file.root is None:
                continue
            for row, number in enumerate(file.record.tolist()):
                path = file.file.image(row)
                if path is not None:
                    found.setdefault(path, number)
        return found

    # Drawing

    def drafts(self, numbers: Sequence[int]) -> Iterable[Draft]:
        """See `Subject`."""
        self._find(numbers)
        labels, names = self.records.labels, self.records.names
        for number in numbers:
            classes = dict.fromkeys(
                name
                for file, row in self._rows[number]
                for name in [self._classes[id(file)].get(int(file.file.index.annotations.category_ids[row]))]
                if name is not None
            )
            tags = () if self._rows[number] or not self._classes else ("no annotations",)
            sight = self._sight(number)
            store = sight.store
            yield Draft(
                number, names[number] or f"image {number}", labels[number], "image", store, (sight,),
                known=tuple(self._facts(number)), classes=tuple(classes), tags=tags,
            )  # fmt: skip

    def _find(self, numbers: Sequence[int]) -> None:
        """The rows of each of some images, and those of their annotations: those with findings come first."""
        self._rows = {number: [] for number in numbers}
        self._images = {number: [] for number in numbers}
        wanted = np.array(sorted(numbers), np.int64)
        for file in self.records.files:
            for row in np.flatnonzero(np.isin(file.record, wanted)).tolist():
                self._images[int(file.record[row])].append((file, row))
            owned = np.flatnonzero(file.owner >= 0)
            rows = owned[np.isin(file.record[file.owner[owned]], wanted)].tolist()
            for row in sorted(rows, key=lambda row: (id(file), row) not in self._flagged):
                self._rows[int(file.record[file.owner[row]])].append((file, row))

    def _sight(self, number: int) -> Sight:
        note, store = "none of its images is here", self.records.files[0].home.store
        stated: Size | None = None
        for file, row in self._images[number]:
            images, store = file.file.index.images, file.home.store
            width, height = int(images.widths[row]), int(images.heights[row])
            stated = (width, height) if min(width, height) > 0 else None
            if (there := file.image(row)) is not None:
                return Sight("", store, there, stated=stated, telling=True)
            if file.root is not None:
                note = "it is not there"
        return Sight("", store, None, note, stated)

    def _facts(self, number: int) -> Iterator[Text]:
        """What the image record says beside its size, and the license in words."""
        file, row = self._images[number][0]
        images = file.file.index.images
        yield Text("image", f"id {images.ids[row]}" if images.ids[row] != MISSING else "without an id")
        told = {one.id: one.name for one in file.file.index.licenses}.get(int(images.licenses[row]))
        if told:
            yield Text("license", told[:200])

    def shapes(self, number: int, sizes: Sequence[Size | None]) -> tuple[list[Shape], list[Text]]:
        """See `Subject`."""
        size = sizes[0] or (1, 1)
        found: list[Shape] = []
        texts: list[Text] = []
        rows = self._rows[number]
        boxed = {self._id(file, row) for file, row in rows if file.kind == "instances"}
        for file, row in rows[:MOST]:
            one = self._record(file, row)
            if isinstance(one.get("caption"), str):
                texts.append(Text("caption", shortened(one["caption"], _CAPTION)))
            if "segments_info" in one:
                found += self._segments(file, one)
                continue
            label = self._classes[id(file)].get(_whole(one.get("category_id")), "no class")
            detail = ", ".join(self._details(file, row, one))
            only = file.kind == "person_keypoints" and self._id(file, row) in boxed
            ties = self._ties(file).get(_whole(one.get("category_id")), ()) if one.get("keypoints") else ()
            found += drawn(one, label, size, ties, detail=detail, only_joints=only)
        if len(rows) > MOST:
            texts.append(Text("annotations", f"{MOST} of {len(rows):,} are drawn"))
        return found, texts

    def _id(self, file: CocoFile, row: int) -> tuple[Any, int]:
        return file.group, int(file.file.index.annotations.ids[row])

    def _details(self, file: CocoFile, row: int, one: Mapping[str, Any]) -> Iterator[str]:
        if isinstance(one.get("id"), int):
            yield f"id {one['id']}"
        if one.get("iscrowd") == 1:
            yield "crowd"
        if one.get("IsGroupOf") == 1:
            yield "group"
        yield from dict.fromkeys(self._flagged.get((id(file), row), ()))

    @staticmethod
    def _record(file: CocoFile, row: int) -> dict[str, Any]:
        """An annotation as it stands; nothing where it is no JSON object."""
        try:
            one = file.file.index.record("annotations", row)
        except (msgspec.DecodeError, VisprepError, RecursionError):
            return {}
        return one if isinstance(one, dict) else {}

    def _ties(self, file: CocoFile) -> Mapping[int, Pairs]:
        """Of each category the joints that are tied, from 0: read from the file again, once."""
        if id(file) not in self._skeletons:
            found: dict[int, Pairs] = {}
            try:
                for event in scan(file.file.index.file.chunks(), {}):
                    if isinstance(event, Records) and event.key == "categories":
                        found.update(_skeleton(data) for _, data in event.elements())
            except (Malformed, VisprepError):
                found = {}
            self._skeletons[id(file)] = found
        return self._skeletons[id(file)]

    # Panoptic masks

    def _segments(self, file: CocoFile, one: Mapping[str, Any]) -> Iterator[Shape]:
        """The outline of each segment of a panoptic annotation, where its mask is here."""
        try:
            colors = self._mask(file, str(one.get("file_name")))
        except StoreError:
            return
        told = one["segments_info"] if isinstance(one["segments_info"], list) else []
        for segment in [segment for segment in told if isinstance(segment, dict)][:MOST]:
            where = colors == _whole(segment.get("id"))
            if not where.any():
                continue
            label = self._classes[id(file)].get(_whole(segment.get("category_id")), "no class")
            yield polygons(0, tuple(edges(where)), label, detail=f"segment {segment.get('id')}")

    def _mask(self, file: CocoFile, name: str) -> Any:
        roots = self._mask_roots.setdefault(id(file), [])
        if not any(roots) and len(roots) < _TRIES:  # each look goes through all names of the place
            stem = original(file.file.path).rpartition("/")[2].removesuffix(".json")
            roots.append(image_root(file.file.path, [name], file.home.listing, called_like=stem))
        root = roots[-1]
        there = file.home.listing.get(joined(root, name)) if root is not None else None
        if there is None:
            raise WrongContent(f"{name}: the mask is not there")
        image = decode(wire.wait(file.home.store.read(there.path, 0, IMAGE_BYTES)))
        if image.mode != "RGB":
            raise WrongContent(f"{name}: no RGB")
        red, green, blue = (np.asarray(one).astype(np.int32) for one in image.split())
        return red | green << 8 | blue << 16


def _skeleton(data: bytes) -> tuple[int, Pairs]:
    """The id of a category and its skeleton, from 0; nothing is tied where it is not as it should be."""
    try:
        row = msgspec.json.decode(data)
        pairs = tuple((int(one) - 1, int(other) - 1) for one, other in row.get("skeleton") or ())
        return _whole(row.get("id")), pairs
    except (AttributeError, TypeError, ValueError, msgspec.DecodeError, RecursionError):
        return MISSING, ()


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) and value == int(value) else MISSING
