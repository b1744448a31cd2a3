"""The sizes of the images of an annotation file, and its records for images that are made smaller."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visprep import wire
from visprep.errors import UsageError, WrongContent
from visprep.formats.coco_bytes import last_member
from visprep.formats.coco_scaling import SIZED, scaled_annotation, scaled_image, shrunk
from visprep.image_loading import see
from visprep.recordsets import Ints
from visprep.recordsets.coco_files import CocoFile
from visprep.rules import Depth
from visprep.stores.local import LocalStore

__all__ = ["Shrinking", "size_of"]

Size = tuple[int, int]


def size_of(file: CocoFile, row: int) -> Size | None:
    """Width and height of an image, by its record, else by the image; None where neither tells."""
    images = file.file.index.images
    told = int(images.widths[row]), int(images.heights[row])
    if min(told) > 0:
        return told
    there, store = file.image(row), file.home.store
    if there is None:
        return None
    return wire.wait(see(store, there, Depth.HEADERS, near=isinstance(store, LocalStore))).upright


class Shrinking:
    """The records of a file as they are to be where no image has a side of more than `most` pixels.

    UsageError for panoptic annotations, whose masks are images of their own, and where no image is there.
    """

    def __init__(self, file: CocoFile, most: int) -> None:
        if file.kind == "panoptic":
            raise UsageError(f"{file.given}: panoptic masks are not made smaller", hint="leave --max-side out")
        if file.root is None:
            words = f"{file.given}: none of its images is there to be made smaller"
            raise UsageError(words, hint="bring the images first, beside annotations/")
        self.file = file
        self.sizes: Ints = np.array([size_of(file, row) or (0, 0) for row in range(len(file.record))]).reshape(-1, 2)
        self._most = most

    def size(self, row: int) -> Size:
        """Width and height of an image as it is; 0 where nothing tells them."""
        return int(self.sizes[row, 0]), int(self.sizes[row, 1])

    def image(self, record: bytes, row: int) -> bytes:
        """The record of an image."""
        new = shrunk(self.size(row), self._most)
        return record if new is None else scaled_image(record, new)

    def annotation(self, record: bytes, row: int, keys: Sequence[str] = SIZED) -> bytes:
        """An annotation, with another size in these keys; WrongContent where one of them is malformed."""
        owner = int(self.file.owner[row])
        size = self.size(owner) if owner >= 0 else (0, 0)
        new = shrunk(size, self._most)
        if new is None:
            return record
        if last_member(record, "segments_info"):
            raise UsageError(f"{self.file.given}: panoptic masks are not made smaller", hint="leave --max-side out")
        try:
            return scaled_annotation(record, size, new, keys)
        except WrongContent as problem:
            which = f"annotation {self.file.file.index.annotations.ids[row]}"
            raise WrongContent(
                f"{self.file.given}: {which}: {problem.message}", hint="mend or drop it; visprep verify names all such"
            ) from None
