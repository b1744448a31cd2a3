"""Annotations of COCO for an image of another size: boxes, polygons, keypoints, masks and areas, and nothing else.

Records are changed as bytes: what has nothing to do with size stays as it was written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from visprep.errors import WrongContent
from visprep.formats import coco_runs
from visprep.formats.coco_bytes import element_end, last_member
from visprep.formats.coco_edits import encoded, replaced
from visprep.formats.coco_scan import Ints
from visprep.formats.decimals import rounded

__all__ = ["SIZED", "scaled_annotation", "scaled_image", "shrunk"]

Size = tuple[int, int]
#: What no pixel, nor any area, is beyond; whole numbers up to here are those that floats have, too.
_LARGEST = 2**53
#: The keys of an annotation that are in pixels. The area comes after the mask that it is counted of.
SIZED = ("bbox", "keypoints", "segmentation", "area")


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


def scaled_annotation(record: bytes, old: Size, new: Size, keys: Sequence[str] = SIZED) -> bytes:
    """An annotation of an image that was of size `old` and is `new`, in these of the keys that have to do with size.

    Numbers are multiplied by the ratios of widths and of heights, and rounded to nine decimals. A mask is what the
    nearest pixels of the old one were, and never without a pixel where that had some; its area is counted anew.
    WrongContent for a box, polygon, mask, area or keypoints that are none, and for a mask that is not of size `old`.
    """
    ratios = new[0] / old[0], new[1] / old[1]
    pixels = None
    for key in keys:
        value = _value(record, key)
        if value is None or value in ([], {}):
            continue
        if key == "bbox":
            value = _multiplied(_numbers(key, value, isinstance(value, list) and len(value) == 4), ratios)
        elif key == "keypoints":
            numbers = _numbers(key, value, isinstance(value, list) and len(value) % 3 == 0)
            value = [one if at % 3 == 2 else _times(one, ratios[at % 3]) for at, one in enumerate(numbers)]
        elif key == "segmentation" and isinstance(value, dict):
            value, pixels = _mask(value, old, new)
        elif key == "segmentation":
            value = [_multiplied(one, ratios) for one in _polygons(value)]
        else:
            (value,) = _numbers(key, [value], True)
            value = _times(value, ratios[0] * ratios[1]) if pixels is None else pixels
        record = replaced(record, key, encoded(value))
    return record


def _polygons(value: Any) -> list[list[float]]:
    if not isinstance(value, list):
        raise WrongContent(f"its segmentation is {_shown(value)}, and neither polygons nor a mask")
    return [_numbers("polygon", one, isinstance(one, list) and len(one) % 2 == 0) for one in value]


def _numbers(key: str, value: Any, whole: bool) -> list[float]:
    """The numbers of a list, as many as must be where it is `whole`; WrongContent for anything else."""
    if not (isinstance(value, list) and whole and all(map(_is_number, value))):
        raise WrongContent(f"its {key} is {_shown(value)}, which cannot be made smaller")
    return value


def _is_number(value: Any) -> bool:
    # Compared, since an int of JSON may be larger than any float
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _shown(value: Any) -> str:
    text = encoded(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _value(record: bytes, key: str) -> Any:
    at = last_member(record, key)
    return msgspec.json.decode(record[at : element_end(record, at, whole=True)]) if at else None


def _multiplied(numbers: list[float], ratios: tuple[float, float]) -> list[float]:
    return [_times(number, ratios[at % 2]) for at, number in enumerate(numbers)]


def _times(number: float, ratio: float) -> float:
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
