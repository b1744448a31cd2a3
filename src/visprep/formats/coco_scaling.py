"""Annotations of COCO for an image of another size: boxes, polygons, keypoints, masks and areas, and nothing else.

Records are changed as bytes: what has nothing to do with size stays as it was written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from visprep.errors import WrongContent
from visprep.formats import coco_runs
from visprep.formats.coco_bytes import element_end, last_member
from visprep.formats.coco_edits import encoded, replaced
from visprep.formats.coco_scan import Ints
from visprep.formats.decimals import rounded

__all__ = ["scaled_annotation", "scaled_image", "shrunk"]

Size = tuple[int, int]


def shrunk(size: Size, most: int) -> Size | None:
    """Width and height with no side over `most`, as Pillow's `thumbnail` rounds them; None where none is."""
    width, height = size
    if width <= most and height <= most:
        return None
    aspect = width / height
    if aspect <= 1:
        return _nearest(most * aspect, lambda side: abs(aspect - side / most)), most
    return most, _nearest(most / aspect, lambda side: abs(aspect - most / side) if side else 0)


def _nearest(side: float, error: Any) -> int:
    return int(max(min(math.floor(side), math.ceil(side), key=error), 1))


def scaled_image(record: bytes, new: Size) -> bytes:
    """An image record with another width and height."""
    return replaced(replaced(record, "width", encoded(new[0])), "height", encoded(new[1]))


def scaled_annotation(record: bytes, old: Size, new: Size) -> bytes:
    """An annotation of an image that was of size `old` and is `new`.

    Numbers are multiplied by the ratios of widths and of heights, and rounded to nine decimals. A mask is what the
    nearest pixels of the old one were, and never without a pixel where that had some; its area is counted anew.
    WrongContent for a mask that cannot be read, or is not of size `old`.
    """
    ratios = new[0] / old[0], new[1] / old[1]
    pixels = None
    for key in ("bbox", "keypoints", "segmentation", "area"):
        value = _value(record, key)
        if key == "bbox" and isinstance(value, list):
            value = _multiplied(value, ratios)
        elif key == "keypoints" and isinstance(value, list):
            value = [one if at % 3 == 2 else _times(one, ratios[at % 3]) for at, one in enumerate(value)]
        elif key == "segmentation" and isinstance(value, list):
            value = [_multiplied(one, ratios) if isinstance(one, list) else one for one in value]
        elif key == "segmentation" and isinstance(value, dict):
            value, pixels = _mask(value, old, new)
        elif key == "area" and isinstance(value, int | float):
            value = _times(value, ratios[0] * ratios[1]) if pixels is None else pixels
        else:
            continue
        record = replaced(record, key, encoded(value))
    return record


def _value(record: bytes, key: str) -> Any:
    at = last_member(record, key)
    return msgspec.json.decode(record[at : element_end(record, at, whole=True)]) if at else None


def _multiplied(numbers: list[Any], ratios: tuple[float, float]) -> list[Any]:
    return [_times(number, ratios[at % 2]) for at, number in enumerate(numbers)]


def _times(number: Any, ratio: float) -> Any:
    if not isinstance(number, int | float):
        return number
    found = rounded(number * ratio)
    return int(found) if found.is_integer() else found


def _mask(mask: Mapping[str, Any], old: Size, new: Size) -> tuple[dict[str, Any], int]:
    """A mask in another size, in the form that it had, and how many pixels it has."""
    counts, told = mask.get("counts"), mask.get("size")
    try:
        runs = np.array(coco_runs.uncompressed(counts) if isinstance(counts, str) else counts, np.int64)
        fine = runs.ndim == 1 and bool((runs >= 0).all())
    except (ValueError, TypeError, OverflowError) as problem:
        raise WrongContent(f"a mask cannot be read: {problem}") from None
    if not fine or told != [old[1], old[0]] or runs.sum() != old[0] * old[1]:
        raise WrongContent(f"a mask has the size {told}, and its image is {old[1]} high and {old[0]} wide")
    ends = np.cumsum(runs)
    columns, rows = ((2 * np.arange(side) + 1) * was // (2 * side) for side, was in zip(new, old, strict=True))
    inside = np.searchsorted(ends, (columns[:, None] * old[1] + rows).ravel(), "right") % 2 == 1
    if not inside.any() and runs[1::2].any():  # finer than the new pixels
        longest = 2 * int(runs[1::2].argmax()) + 1
        column, row = divmod(int(ends[longest] - (runs[longest] + 1) // 2), old[1])
        inside[column * new[0] // old[0] * new[1] + row * new[1] // old[1]] = True
    found = _runs(inside)
    value = coco_runs.compressed(found) if isinstance(counts, str) else found.tolist()
    return {**mask, "counts": value, "size": [new[1], new[0]]}, int(inside.sum())


def _runs(inside: np.ndarray[Any, np.dtype[np.bool_]]) -> Ints:
    edges = np.flatnonzero(np.diff(inside)) + 1
    bounds = np.concatenate([[0], *([[0]] if inside[0] else []), edges, [len(inside)]])
    return np.diff(bounds)
