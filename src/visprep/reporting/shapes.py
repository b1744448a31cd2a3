"""What is drawn of one annotation: its box, its outline, its keypoints, in pixels of the original picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.formats.coco_pixels import pixels
from visprep.formats.mask_outlines import extent, outlines, surface
from visprep.page.payload import Shape, box, polygons
from visprep.reporting import Size

#: Points a side of a picture has for an outline: more cannot be seen.
_FINE = 640
#: Points that one outline may have, and pixels of a mask that is looked at.
_POINTS, _MASK = 400, 100_000_000
_NUMBERS = (int, float)

Pairs = tuple[tuple[int, int], ...]


def drawn(
    annotation: Mapping[str, Any],
    label: str,
    size: Size,
    skeleton: Pairs = (),
    *,
    detail: str = "",
    only_joints: bool = False,
) -> Iterator[Shape]:
    """The shapes of an annotation of COCO; what of it is not as it should be is not drawn, and verify says so.

    A box is left out where the outline reaches just as far: where both are drawn, they do not agree.
    `skeleton` are the pairs of joints that are tied, from 0. With `only_joints` the rest is left to another annotation.
    """
    if not only_joints:
        rings = tuple(outline(annotation.get("segmentation"), size))
        if rings:
            yield polygons(0, rings, label, detail=detail)
        corners = numbers(annotation.get("bbox"))
        if len(corners) == 4 and not (rings and _as_far(rings, corners, size)):
            x, y, width, height = corners
            yield box(0, x, y, width, height, label, detail=detail)
    joints = numbers(annotation.get("keypoints"))
    if joints and len(joints) % 3 == 0 and any(joints[2::3]):
        points = tuple(
            (round(joints[at], 1), round(joints[at + 1], 1), min(max(int(joints[at + 2]), 0), 2))
            for at in range(0, len(joints), 3)
        )
        tied = tuple(pair for pair in skeleton if all(0 <= end < len(points) for end in pair))
        yield Shape(0, "keypoints", label, points=points, skeleton=tied, detail=detail)


def _as_far(rings: Sequence[tuple[float, ...]], corners: Sequence[float], size: Size) -> bool:
    """Whether outlines reach as far as a box does, as near as can be seen."""
    left, top, width, height = extent([one for ring in rings for one in ring])
    reach = (left, top, left + width, top + height)
    told = (corners[0], corners[1], corners[0] + corners[2], corners[1] + corners[3])
    seen = 2 + 3 * max(size) / _FINE  # masks are looked at in steps
    return all(abs(one - other) <= seen for one, other in zip(reach, told, strict=True))


def outline(segmentation: Any, size: Size) -> Iterator[tuple[float, ...]]:
    """The polygons of a segmentation, or of the outer edges of a mask, as fine as can be seen."""
    if isinstance(segmentation, list):
        for polygon in segmentation:
            ring = simplified(numbers(polygon), size)
            if len(ring) >= 6:
                yield ring
    elif isinstance(segmentation, dict):
        told = segmentation.get("size")
        if not (isinstance(told, list) and len(told) == 2 and all(isinstance(one, int) for one in told)):
            return
        if not 0 < told[0] * told[1] <= _MASK:
            return
        try:
            mask = pixels(segmentation, told[0], told[1])
        except (ValueError, OverflowError):
            return
        yield from edges(mask.astype(np.bool_))


def edges(mask: npt.NDArray[np.bool_]) -> Iterator[tuple[float, ...]]:
    """The outer edges of a mask: of one that is large, of every second pixel, every third, and so on."""
    step = max(1, -(-max(mask.shape) // _FINE))
    coarse = mask[step // 2 :: step, step // 2 :: step]
    rings = [tuple(step * one for one in ring) for ring in outlines(coarse)]
    size = mask.shape[1], mask.shape[0]
    for ring in sorted(rings, key=surface, reverse=True)[:50]:  # crumbs cannot be told from each other
        yield simplified(ring, size)


def simplified(ring: Sequence[float], size: Size) -> tuple[float, ...]:
    """A polygon without points that nobody can tell from the one before."""
    unit = max(*size, 1) / _FINE
    kept: list[float] = []
    for x, y in zip(ring[0::2], ring[1::2], strict=False):
        if not kept or abs(x - kept[-2]) > unit or abs(y - kept[-1]) > unit:
            kept += [round(x, 1), round(y, 1)]
    step = max(1, -(-len(kept) // 2 // _POINTS))
    return tuple(one for at in range(0, len(kept) - 1, 2 * step) for one in kept[at : at + 2])


def numbers(value: Any) -> list[float]:
    """A list of finite numbers; an empty one for anything else."""
    if not isinstance(value, list) or not all(type(one) in _NUMBERS for one in value):
        return []
    found = [float(one) for one in value if abs(one) < 1e9]
    return found if len(found) == len(value) and all(map(math.isfinite, found)) else []
