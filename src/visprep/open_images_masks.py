"""The masks of one split of Open Images at a place: whether each is there, decodes, and fits its box and its image."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from visprep.annotation_files import Told
from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.findings import Finding, Level
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_place import SplitFiles
from visprep.formats.open_images_rows import lenient, rows
from visprep.formats.open_images_tables import BOXES, MASKS
from visprep.images import decode
from visprep.looking import Looking
from visprep.manifest import File
from visprep.open_images_json import JsonImages
from visprep.rounds import Eye, Work
from visprep.rules import Depth, coco_files, image_files
from visprep.rules import open_images as rules
from visprep.rules.open_images_rows import RowNotes
from visprep.selection import Scope

__all__ = ["MaskCheck"]

#: How far a mask may reach over its box: in parts of the image, and in pixels of the mask.
_OVER, _PIXELS = 0.02, 1
#: How far the height of a mask may be from what its width says by the shape of its image, likewise.
_SHAPE, _ROWS = 0.01, 1.5
_CORNERS = ("XMin", "XMax", "YMin", "YMax")


@dataclass(frozen=True, slots=True)
class _Mask:
    """A mask at a place: the corners of its box (XMin, XMax, YMin, YMax) and the size of its image, where known."""

    path: str
    corners: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None


class MaskCheck:
    """One look at the masks of a split; `opened` are its tables, `classes` those that have boxes.

    The boxes of `spoiled` images are told to be wrong by others, so nothing is held against them.
    """

    def __init__(
        self,
        look: Looking,
        files: SplitFiles,
        opened: Mapping[str, CsvFile],
        classes: Classes | None,
        spoiled: Collection[int],
        told: Told,
    ) -> None:
        self.look, self.files, self.opened, self.classes, self.told = look, files, opened, classes, told
        self.spoiled = np.array(sorted(spoiled), np.uint64)
        self.folder = f"masks/{files.name}"

    def findings(self, scope: Scope, images: JsonImages | None) -> Iterator[Finding]:
        """All that is wrong; those are looked into that the scope holds. `images` are those of the JSON."""
        if "masks" not in self.opened:
            return
        yield from self._names()
        found = [_Mask(f"{self.folder}/{name}") for name in sorted(self.files.masks)]
        if self.look.depth.reaches(Depth.HEADERS) and (table := self._table()):
            yield from self._boxes(table)
            found = self._located(table, images)
        if self.look.depth.reaches(Depth.DECODE):
            files = {file.path: file for file in self.look.listing if file.path.startswith(f"{self.folder}/")}
            there = [(mask, files[mask.path]) for mask in found if scope.holds(mask.path)]
            for findings in self.look.rounds.over("Looking at masks", there, _SEEING, "masks", total=len(there)):
                yield from findings

    def _names(self) -> Iterator[Finding]:
        """The masks that are named and not there, or there and not named."""
        table = self.files.tables["masks"]
        notes = RowNotes(self.opened["masks"], table)
        named: set[str] = set()
        for some in rows(self.opened["masks"], MASKS, ("MaskPath", "ImageID")):
            for at, name in enumerate(some.batch.texts("MaskPath") if some.batch else ()):
                named.add(name)
                if name not in self.files.masks:
                    path = f"{self.folder}/{name[:200]}"
                    notes.add(rules.MASK_LOST, int(some.offsets[at]), f"the mask {path} is not there", file=path)
        yield from notes.findings()
        for name in sorted(self.files.masks - named):
            path = f"{self.folder}/{name}"
            yield from self.told.at(self.folder, coco_files.IMAGE_UNLISTED, path, f"{table} has no row of it")

    def _table(self) -> Masks | None:
        """The rows of masks; None when they cannot all be read, which others tell."""
        if self.classes is None:
            return None
        try:
            return Masks.read(self.opened["masks"], self.classes.numbers, _unread)
        except WrongContent:
            return None

    def _boxes(self, masks: Masks) -> Iterator[Finding]:
        """The rows of masks that belong to no box."""
        if "boxes" not in self.opened or self.classes is None:
            return
        taken = np.zeros(len(masks), np.bool_)
        known: dict[str, int] = {}
        for some in rows(self.opened["boxes"], lenient(BOXES), ("ImageID", "LabelName", *_CORNERS)):
            if some.batch is None:
                continue
            codes = some.batch.codes("LabelName", known)
            numbers = np.array([self.classes.numbers.get(mid, 0) for mid in known], np.int64)[codes]
            corners = np.column_stack([some.batch.numbers(name) for name in _CORNERS])
            for _ in masks.pairs(some.batch.images, numbers, corners, taken):
                pass
        taken |= np.isin(masks.images, self.spoiled)
        for at in np.flatnonzero(~taken).tolist():
            path = f"{self.folder}/{masks.paths[at]}"
            words = f"no box of its image and class has the corners that {self.files.tables['masks']} tells"
            yield from self.told.at(self.folder, rules.MASK_WITHOUT_BOX, path, words)

    def _located(self, masks: Masks, images: JsonImages | None) -> list[_Mask]:
        """The masks that are there, with what is known of each."""
        at = np.full(len(masks), -1, np.int64) if images is None else images.find(masks.images)
        known: dict[str, _Mask] = {}
        wrong = np.isin(masks.images, self.spoiled)
        for number, name in enumerate(masks.paths):
            if name in self.files.masks:
                size = None
                if images is not None and at[number] >= 0:
                    size = int(images.widths[at[number]]), int(images.heights[at[number]])
                corners = None if wrong[number] else tuple(masks.boxes[number].tolist())
                known[name] = _Mask(f"{self.folder}/{name}", corners, size)
        return [known.get(name) or _Mask(f"{self.folder}/{name}") for name in sorted(self.files.masks)]


async def _seen(eye: Eye, item: tuple[_Mask, File]) -> list[Finding]:
    mask, file = item
    try:
        data = await eye.read(file)
    except StoreError as problem:
        return _lost(item, problem)
    sight = image_files.look(data, mask.path, eye.depth)
    if faults := [one for one in sight.findings if one.level is Level.ERROR]:
        return [rules.MASK_DAMAGED.at(mask.path, faults[0].message)]
    picture = decode(data)
    picture = picture if picture.mode in ("1", "L") else picture.convert("L")
    return list(fit(mask, picture.size, picture.getbbox()))


def _lost(item: tuple[_Mask, File], error: VisprepError) -> list[Finding]:
    return [image_files.IMAGE_UNREADABLE.at(item[0].path, error.message, error=error.slug)]


_SEEING = Work(_seen, lambda item: item[1:], _lost, list[Finding])


def fit(mask: _Mask, size: tuple[int, int], covered: tuple[int, int, int, int] | None) -> Iterator[Finding]:
    """How a mask of this size, which covers pixels from left, top to right, bottom, does not fit its box or image."""
    width, height = size
    if mask.size and min(mask.size) > 0:
        wanted = width * mask.size[1] / mask.size[0]
        if abs(height - wanted) > max(_ROWS, _SHAPE * wanted):
            words = f"it has {width} x {height} pixels, and its image {mask.size[0]} x {mask.size[1]}"
            yield rules.MASK_SHAPE.at(mask.path, words, actual=[width, height], expected=list(mask.size))
    if covered is None:
        yield rules.MASK_BLANK.at(mask.path, "no pixel of it is set")
    elif mask.corners and not np.isnan(mask.corners).any():
        left, right, top, bottom = mask.corners
        box = (left * width, right * width, top * height, bottom * height)
        lies = (covered[0], covered[2], covered[1], covered[3])
        over = (box[0] - lies[0], lies[1] - box[1], box[2] - lies[2], lies[3] - box[3])
        most = [_OVER * side + _PIXELS for side in (width, width, height, height)]
        if any(one > limit for one, limit in zip(over, most, strict=True)):
            reach = f"x {lies[0]} to {lies[1]}, y {lies[2]} to {lies[3]}"
            words = f"it reaches {reach}, and its box x {box[0]:.1f} to {box[1]:.1f}, y {box[2]:.1f} to {box[3]:.1f}"
            yield rules.MASK_OUTSIDE_BOX.at(mask.path, words)


def _unread(names: Iterable[str]) -> Iterator[tuple[str, bytes | VisprepError]]:
    return ((name, WrongContent(f"{name}: not to be read")) for name in names)
