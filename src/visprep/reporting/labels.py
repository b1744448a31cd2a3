"""Images with labels of YOLO, or with the XML of Pascal VOC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

from visprep import wire
from visprep.errors import StoreError
from visprep.findings import Finding
from visprep.formats import voc, yolo
from visprep.formats.voc_place import VocPlace
from visprep.formats.xml_tree import NotXml
from visprep.formats.yolo import Row
from visprep.formats.yolo_coco import read_back
from visprep.formats.yolo_place import YoloPlace
from visprep.manifest import File
from visprep.page.payload import Shape, Text
from visprep.reporting import Draft, Size
from visprep.reporting.coco import MOST
from visprep.reporting.directories import DirectorySubject
from visprep.reporting.shapes import drawn
from visprep.stores import Store

#: Bytes of a label that are read.
_LONGEST = 4_000_000


class Labels(Protocol):
    """What labels say of images, by their paths."""

    def shows(self, path: str) -> bool:
        """Whether a file is an image that may have a label."""

    def part(self, image: str) -> str | None:
        """The part of an image."""

    def label(self, image: str) -> File | None:
        """The file of its label."""

    def read(self, data: bytes, size: Size) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """What a label says of an image of that size: class and annotation, as COCO has it; faults are left out."""


class LabeledSubject:
    """See `Subject`: plain images, with what labels say of them."""

    unit, grouped_by = "images", "Split"

    def __init__(self, images: DirectorySubject, store: Store, labels: Labels) -> None:
        self._images, self._store, self._labels = images, store, labels
        self._paths = [one.files[0].path for one in images.records.records]

    @property
    def count(self) -> int:
        """See `Subject`."""
        return self._images.count

    @property
    def names(self) -> Sequence[str]:
        """See `Subject`."""
        return self._images.names

    @cached_property
    def groups(self) -> Sequence[str]:
        """See `Subject`: the part by the data file or the sets, else by the directory."""
        told = self._images.groups
        return [self._labels.part(path) or group for path, group in zip(self._paths, told, strict=True)]

    @cached_property
    def _owners(self) -> Mapping[str, int]:
        """The image of each label."""
        labels = ((self._labels.label(path), number) for number, path in enumerate(self._paths))
        return {label.path: number for label, number in labels if label}

    def owner(self, finding: Finding) -> int | None:
        """See `Subject`."""
        number = self._owners.get(finding.path)
        return self._images.owner(finding) if number is None else number

    def drafts(self, numbers: Sequence[int]) -> Iterable[Draft]:
        """See `Subject`: directories are no classes here."""
        for one in self._images.drafts(numbers):
            without = () if self._labels.label(self._paths[one.number]) else ("no label",)
            yield replace(one, group=self.groups[one.number], classes=(), tags=without)

    def shapes(self, number: int, sizes: Sequence[Size | None]) -> tuple[list[Shape], list[Text]]:
        """See `Subject`."""
        label, size = self._labels.label(self._paths[number]), sizes[0]
        if label is None or size is None:
            return [], []
        found: list[Shape] = []
        count = 0
        with contextlib.suppress(StoreError):
            data = wire.wait(self._store.read(label.path, 0, _LONGEST))
            for count, (name, annotation) in enumerate(self._labels.read(data, size), 1):
                if count <= MOST:
                    found += drawn(annotation, name, size)
        return found, [Text("annotations", f"{MOST} of {count:,} are drawn")] if count > MOST else []


class YoloLabels:
    """See `Labels`: rows of text, whose classes data.yaml names."""

    def __init__(self, place: YoloPlace) -> None:
        self._place = place
        self._parts = {record.image.path: record.part for record, _ in place.records()}
        named = place.sets[0].data.names if place.sets else place.class_names
        self._names = dict(named) if isinstance(named, Mapping) else dict(enumerate(named or ()))
        self._keypoints = place.sets[0].keypoints if place.sets else None

    def shows(self, path: str) -> bool:
        """See `Labels`: any image, since one that is in no part would be found nowhere else."""
        return path in self._place.images

    def part(self, image: str) -> str | None:
        """See `Labels`."""
        return self._parts.get(image)

    def label(self, image: str) -> File | None:
        """See `Labels`."""
        return self._place.label(image)

    def read(self, data: bytes, size: Size) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """See `Labels`."""
        for row in yolo.read(data, self._keypoints):
            if isinstance(row, Row):
                yield str(self._names.get(row.label, f"class {row.label}")), read_back(row, size, self._keypoints)


class VocLabels:
    """See `Labels`: XML, whose corners count from 1."""

    def __init__(self, place: VocPlace) -> None:
        self._labels = {image.path: one.annotation for one in place.records for image in one.images}
        stems = {(one.root, one.stem): [image.path for image in one.images] for one in place.records}
        self._parts: dict[str, str] = {}
        for one in place.sets():
            if one.kind == "Main" and one.name == one.part != "trainval":
                for member in one.members:
                    for path in stems.get((one.root, member.stem), ()):
                        self._parts.setdefault(path, one.part)

    def shows(self, path: str) -> bool:
        """See `Labels`: masks are no such images."""
        return path in self._labels

    def part(self, image: str) -> str | None:
        """See `Labels`."""
        return self._parts.get(image)

    def label(self, image: str) -> File | None:
        """See `Labels`."""
        return self._labels.get(image)

    def read(self, data: bytes, size: Size) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """See `Labels`."""
        try:
            annotation, _ = voc.read(data)
        except NotXml:
            return
        for one in annotation.objects:
            for part in (one, *one.parts):
                if part.box is not None:
                    yield part.name, {"bbox": list(voc.pixels(part.box))}
