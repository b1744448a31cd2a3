"""The files of a place of COCO that its annotation files name, so that the others can be told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from visprep import panoptic_check
from visprep.converting import Origin
from visprep.recordsets.coco_files import CocoFile

__all__ = ["left_out"]


def left_out(origin: Origin, files: Sequence[CocoFile]) -> Iterator[str]:
    """What there is to say of files that no annotation file names; nothing where one file alone was asked for."""
    if origin.file is not None or any(file.home.store.place != origin.store.place for file in files):
        return
    used: set[str] = set()
    for file in files:
        used.add(file.file.path)
        used.update(there.path for row in range(len(file.record)) if (there := file.image(row)))
        if file.kind == "panoptic":
            used.update(mask.path for mask in panoptic_check.masks(file.file.index, file.home.listing) or ())
    yield from origin.left_out(used, "which no annotation file names")
