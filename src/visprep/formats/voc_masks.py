"""Masks of Pascal VOC: pictures whose pixels number the objects of an annotation, 255 for what is not decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.errors import WrongContent
from visprep.formats.coco_runs import compressed
from visprep.formats.open_images_masks import column_runs
from visprep.formats.voc import Box

__all__ = ["Segments", "segments"]

_UNDECIDED = 255
#: How much of the two boxes together an object's box and that of its pixels must share.
_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Segments:
    """Of each object what the record of its annotation gains, nothing for one without pixels.

    `undecided`: some pixels are of no object, nor of none.
    """

    keys: tuple[dict[str, Any], ...]
    undecided: bool


def segments(data: bytes, size: tuple[int, int], boxes: Sequence[Box | None]) -> Segments:
    """The masks of the objects of an annotation, of a picture in SegmentationObject.

    WrongContent when it is no such picture, has another size than its image, or the pixels of a number lie elsewhere
    than the box of that object: nothing then tells which is whose.
    """
    from visprep.images import decode

    picture = decode(data)
    if picture.mode not in ("P", "L"):
        raise WrongContent(f"its pixels are no numbers but {picture.mode}")
    if picture.size != size:
        raise WrongContent(f"it has {picture.size[0]} x {picture.size[1]} pixels, its image {size[0]} x {size[1]}")
    pixels = np.asarray(picture)
    numbers = set(np.unique(pixels).tolist())
    found: list[dict[str, Any]] = [{} for _ in boxes]
    for number in sorted(numbers - {0, _UNDECIDED}):
        box = boxes[number - 1] if number <= len(boxes) else None
        if box is None:
            raise WrongContent(f"it has pixels of the object {number}, and the annotation tells of {len(boxes)}")
        of_it = pixels == number
        if _shared(of_it, box) < _ALIKE:
            raise WrongContent(f"the pixels of the object {number} lie elsewhere than its box")
        counts = {"size": [size[1], size[0]], "counts": compressed(column_runs(of_it, (0, 0), size))}
        found[number - 1] = {"segmentation": counts, "area": int(of_it.sum())}
    return Segments(tuple(found), _UNDECIDED in numbers)


def _shared(pixels: npt.NDArray[np.bool_], box: Box) -> float:
    """How much the box around some pixels and a box that counts from 1 have in common, in parts of both together."""
    down, across = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    own = (float(across[0] + 1), float(down[0] + 1), float(across[-1] + 1), float(down[-1] + 1))
    width = min(own[2], box[2]) - max(own[0], box[0]) + 1
    height = min(own[3], box[3]) - max(own[1], box[1]) + 1
    both = max(0.0, width) * max(0.0, height)
    areas = [(one[2] - one[0] + 1) * (one[3] - one[1] + 1) for one in (own, box)]
    return both / max(sum(areas) - both, 1.0)
