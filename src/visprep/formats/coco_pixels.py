"""The pixels of a segmentation, just those that cocoapi gives it (common/maskApi.c, rleFrPoly and rleDecode)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.formats.coco_runs import uncompressed

__all__ = ["pixels"]

Mask = npt.NDArray[np.uint8]
#: Cocoapi walks along an outline in steps of a fifth of a pixel.
_FINE = 5.0
#: Steps of one outline: that of an image with 65,535 pixels a side has fewer.
_STEPS = 20_000_000


def pixels(segmentation: Any, height: int, width: int) -> Mask:
    """The mask of an annotation, `height` x `width`, 1 where the object is.

    ValueError, saying why, when it is neither a list of polygons nor runs, or runs that are not those of such an image.
    """
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        raise ValueError(f"its segmentation is {type(segmentation).__name__}, neither polygons nor runs")
    mask = np.zeros((height, width), np.uint8)
    for polygon in segmentation:
        mask |= _of_polygon(polygon, height, width)
    return mask


def _of_runs(segmentation: dict[str, Any], height: int, width: int) -> Mask:
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if isinstance(counts, str):
        counts = uncompressed(counts)
    if not isinstance(counts, list) or not all(isinstance(one, int) and one >= 0 for one in counts):
        raise ValueError("the runs of its segmentation are no counts")
    if size != [height, width] or sum(counts) != height * width:
        raise ValueError(f"its runs are {sum(counts)} pixels of {size}, the image has [{height}, {width}]")
    values = np.arange(len(counts), dtype=np.uint8) & 1
    return np.ascontiguousarray(np.repeat(values, counts).reshape(width, height).T)


def _of_polygon(polygon: Any, height: int, width: int) -> Mask:
    try:
        numbers = np.array(polygon, np.float64)
        if numbers.ndim != 1 or not np.isfinite(numbers).all():
            raise ValueError
    except (ValueError, TypeError):
        raise ValueError("a polygon of its segmentation is no list of numbers") from None
    points = np.trunc(_FINE * numbers[: len(numbers) // 2 * 2].reshape(-1, 2) + 0.5)
    if len(points) < 3:
        return np.zeros((height, width), np.uint8)
    x, y = _outline(points)
    # Where the outline steps to another column: a crossing of that column, if it is one of whole pixels
    stepped = np.flatnonzero(x[1:] != x[:-1]) + 1
    columns = (np.where(x[stepped] < x[stepped - 1], x[stepped], x[stepped] - 1) + 0.5) / _FINE - 0.5
    inside = (np.floor(columns) == columns) & (columns >= 0) & (columns <= width - 1)
    rows = (np.minimum(y[stepped], y[stepped - 1])[inside] + 0.5) / _FINE - 0.5
    rows = np.ceil(np.clip(rows, 0, height))
    crossings = (columns[inside] * height + rows).astype(np.int64)
    # Column by column, a pixel is inside when an odd number of crossings came before it
    flips = np.bincount(crossings, minlength=height * width + 1)[: height * width]
    return np.ascontiguousarray((np.cumsum(flips) & 1).astype(np.uint8).reshape(width, height).T)


def _outline(points: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """All points of the fine grid along a polygon, each edge from its start to its end."""
    starts, ends = points, np.roll(points, -1, axis=0)
    across = np.abs(ends - starts)
    flat = across[:, 0] >= across[:, 1]
    steps = across.max(axis=1)
    if float(steps.sum()) > _STEPS:
        raise ValueError("a polygon of its segmentation reaches beyond all reason")
    # An edge is always drawn from its lower coordinate on, so that neighbors share one line
    axis = np.where(flat, 0, 1)
    each = np.arange(len(points))
    flipped = starts[each, axis] > ends[each, axis]
    low, high = np.where(flipped[:, None], ends, starts), np.where(flipped[:, None], starts, ends)
    rise = np.where(flat, high[:, 1] - low[:, 1], high[:, 0] - low[:, 0]) / np.maximum(steps, 1)
    counts = steps.astype(np.int64) + 1
    edge = np.repeat(each, counts)
    nth = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    along = np.where(flipped[edge], steps[edge] - nth, nth)
    straight = along + low[edge, axis[edge]]
    slanted = np.trunc(low[edge, 1 - axis[edge]] + rise[edge] * along + 0.5)
    return np.where(flat[edge], straight, slanted), np.where(flat[edge], slanted, straight)
