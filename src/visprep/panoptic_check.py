"""The masks of panoptic annotations: whether each is there, and shows just the segments that its record tells of.

A mask is a PNG of the size of its image, in which each pixel's color is the id of a segment: R + 256 G + 65536 B; black
is no segment.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.findings import Finding
from visprep.formats.coco_json import Index
from visprep.formats.coco_place import image_root, joined, original
from visprep.formats.coco_scan import Malformed, Records, scan
from visprep.images import decode
from visprep.manifest import File
from visprep.rounds import Eye, Work
from visprep.rules import coco_files, image_files

#: Segments that one mask may have, and that are told of one by one.
_MOST, _SHOWN = 65_536, 3


class _Segment(msgspec.Struct, gc=False):
    id: int


class _Row(msgspec.Struct, gc=False):
    image_id: int
    file_name: str
    segments_info: list[_Segment]


_ROWS = msgspec.json.Decoder(list[_Row])


@dataclass(slots=True)
class Mask:
    """A mask that an annotation names: where it is, and the ids that it shall show."""

    number: int
    path: str
    image_id: int
    size: tuple[int, int] | None
    ids: frozenset[int] = field(repr=False)

    def where(self) -> dict[str, Any]:
        """The address of its record."""
        return {"pointer": f"/annotations/{self.number}", "image_id": self.image_id, "file": self.path}


def masks(index: Index, files: Collection[str]) -> list[Mask] | None:
    """The masks that a panoptic annotation file names; None when none of them is here."""
    path = index.file.name
    found: list[tuple[int, _Row]] = []
    try:
        for event in scan(index.file.chunks(), {"annotations": _ROWS}):
            if isinstance(event, Records) and event.key == "annotations":
                found += enumerate(event.rows or (), event.first)  # what is no such record is told by its rules
    except Malformed:
        return []
    stem = original(path).rpartition("/")[2].removesuffix(".json")
    root = image_root(path, [row.file_name for _, row in found], files, called_like=stem)
    if root is None:
        return None
    images = index.images
    sizes = dict(
        zip(images.ids.tolist(), zip(images.widths.tolist(), images.heights.tolist(), strict=True), strict=True)
    )
    return [
        Mask(number, joined(root, row.file_name), row.image_id, sizes.get(row.image_id), _ids(row))
        for number, row in found
    ]


def _ids(row: _Row) -> frozenset[int]:
    return frozenset(one.id for one in row.segments_info)


def looking(path: str) -> Work[tuple[Mask, File], list[Finding]]:
    """The work for masks, each with its file; `path` is the annotation file's."""
    return Work(functools.partial(_look, path=path), lambda item: item[1:], _lost, list[Finding])


def _lost(item: tuple[Mask, File], error: VisprepError) -> list[Finding]:
    return [image_files.IMAGE_UNREADABLE.at(item[0].path, error.message, error=error.slug)]


async def _look(eye: Eye, item: tuple[Mask, File], *, path: str) -> list[Finding]:
    mask, file = item
    try:
        data = await eye.read(file)
    except StoreError as problem:
        return _lost(item, problem)
    sight = image_files.look(data, mask.path, eye.depth)
    wrong = any(one.code in image_files.BAD for one in sight.findings)
    return [*sight.findings, *(() if wrong else _shown(mask, data, path))]


def _shown(mask: Mask, data: bytes, path: str) -> Iterator[Finding]:
    """What a mask shows that its record does not tell of, and the other way round."""
    try:
        image = decode(data)
    except WrongContent as problem:
        yield image_files.IMAGE_DAMAGED.at(mask.path, problem.message)
        return
    if mask.size and min(mask.size) > 0 and image.size != mask.size:
        words = "it has {} x {} pixels, {} says {} x {} of image {}".format(
            *image.size, path, *mask.size, mask.image_id
        )
        yield coco_files.IMAGE_SIZE_MISMATCH.at(mask.path, words, **mask.where(), json=path)
    colors = image.getcolors(_MOST) if image.mode == "RGB" else None
    if colors is None:
        words = f"its mode is {image.mode}, not RGB" if image.mode != "RGB" else f"it has more than {_MOST:,} colors"
        yield coco_files.MASK_SEGMENTS.at(mask.path, words, **mask.where(), json=path)
        return
    seen = {red + 256 * green + 65536 * blue for _, (red, green, blue) in colors} - {0}  # type: ignore[misc]
    told = [
        f"{what}: {', '.join(map(str, sorted(ids)[:_SHOWN]))}{' and others' * (len(ids) > _SHOWN)}"
        for what, ids in (
            ("segments that no record tells of", seen - mask.ids),
            ("none of the pixels of", mask.ids - seen),
        )
        if ids
    ]
    if told:
        yield coco_files.MASK_SEGMENTS.at(mask.path, f"it shows {'; '.join(told)}", **mask.where(), json=path)
