"""Between annotations of COCO and rows of YOLO: one object, without any file.

What a row cannot say is named, so that whoever writes rows can tell what was lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from visprep.formats import coco_runs, yolo
from visprep.formats.decimals import rounded
from visprep.formats.mask_outlines import Points, extent, joined, outlines, surface
from visprep.formats.yolo import Box, Keypoints, Row

__all__ = ["Fitted", "Task", "fitted", "flips", "id_of", "ids_of", "read_back"]

Size = tuple[int, int]
#: What of an annotation a row can carry, or is made anew of it.
_CARRIED = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd"})
_NUMBERS = frozenset({int, float})
#: What a pixel may be off and is the same to nine decimals.
_UNSEEN = 4e-10
_SIDES = (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT"))


class Task(StrEnum):
    """What a directory of YOLO is for: all of its rows are of one kind."""

    DETECT = "detect"
    SEGMENT = "segment"
    POSE = "pose"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What became of an annotation: its row, None when it can have none, and the fields that the row does not say."""

    row: Row | None
    lost: tuple[str, ...] = ()


def fitted(annotation: Mapping[str, Any], label: int, size: Size, task: Task, joints: int = 0) -> Fitted:
    """An annotation of COCO as a row of class `label`; `joints` is how many keypoints each row has for `Task.POSE`.

    A crowd has no row, and neither has what has no box within the image: of these `annotations.iscrowd` and
    `annotations` are lost.
    """
    if annotation.get("iscrowd"):
        return Fitted(None, ("annotations.iscrowd",))
    lost = [f"annotations.{key}" for key in annotation if key not in _CARRIED]
    told = _numbers(annotation.get("bbox"), 4)
    polygon: Points = ()
    if task is Task.SEGMENT:
        polygon, told_of_it = _polygon(annotation.get("segmentation"), size)
        lost = [name for name in lost if name != "annotations.segmentation"] + told_of_it
        told = told or (extent(polygon) if polygon else None)
    box = extent(polygon) if polygon else _within(told, size) if told else None
    if told is None or box is None:
        return Fitted(None, ("annotations",))
    if task is Task.SEGMENT:
        x, y, width, height = box
        polygon = polygon or (x, y, x + width, y, x + width, y + height, x, y + height)
        row = Row(label, polygon=tuple(_tight(number, size[at % 2]) for at, number in enumerate(polygon)))
    else:
        row = Row(label, _tight_box(box, size))
        if task is Task.POSE:
            points, spoken = _keypoints(annotation, size, joints)
            row = Row(label, row.box, keypoints=points)
            lost = [one for one in lost if one not in ("annotations.keypoints", "annotations.num_keypoints")] + spoken
    back = read_back(row, size, (joints, 3) if task is Task.POSE else None)
    lost += _changed(annotation, back)
    return Fitted(row, tuple(dict.fromkeys(lost)))


def _changed(annotation: Mapping[str, Any], back: Mapping[str, Any]) -> Iterator[str]:
    """What an annotation says and comes back as something else, to the last digit."""
    for key in ("bbox", "area", "iscrowd"):
        if key in annotation and annotation[key] != back[key]:
            yield f"annotations.{key}"
    polygons = annotation.get("segmentation")
    if "segmentation" in back and isinstance(polygons, list) and polygons != back["segmentation"]:
        yield "annotations.segmentation"
    points = annotation.get("keypoints")
    if isinstance(points, list) and points and "keypoints" in back and points != back["keypoints"][: len(points)]:
        yield "annotations.keypoints"


def read_back(row: Row, size: Size, keypoints: Keypoints | None = None) -> dict[str, Any]:
    """The annotation of COCO that a row is, without `id`, `image_id` and `category_id`; pixels to nine decimals."""
    if row.polygon:
        points = yolo.point_pixels(row.polygon, size)
        box = tuple(rounded(number) for number in extent(points))
        area = abs(surface(points))
        found: dict[str, Any] = {"segmentation": [[_plain(number) for number in points]]}
    else:
        assert row.box is not None
        box = yolo.pixels(row.box, size)
        found, area = {}, box[2] * box[3]
    found |= {"bbox": [_plain(number) for number in box], "area": _plain(rounded(area)), "iscrowd": 0}
    if keypoints:
        joints = list(_joints(row.keypoints, size, keypoints[1]))
        found["keypoints"] = [_plain(number) for joint in joints for number in joint]
        found["num_keypoints"] = sum(joint[2] > 0 for joint in joints)
    return found


def id_of(name: str) -> int | None:
    """The id that the name of an image tells, as 000000000139.jpg has 139; None where it tells none."""
    stem = name.rpartition("/")[2].rpartition(".")[0]
    return int(stem) if stem.isascii() and stem.isdecimal() and len(stem) <= 18 else None


def ids_of(names: Iterable[str | None]) -> list[int] | None:
    """The ids that the names of images tell; None unless all of them tell one, and no two the same."""
    found = [id_of(name or "") for name in names]
    known = [id for id in found if id is not None]
    return known if len(set(known)) == len(found) else None


def flips(names: Sequence[str]) -> tuple[int, ...]:
    """What each keypoint is called once the image is mirrored, by its number: left_eye is right_eye then.

    Empty where the names do not tell: one side is there without the other, or there are no sides.
    """
    numbers = {name: number for number, name in enumerate(names)}
    found = []
    for name in names:
        other = name
        for left, right in _SIDES:
            if left in name or right in name:
                other = name.replace(left, right) if left in name else name.replace(right, left)
        if other not in numbers:
            return ()
        found.append(numbers[other])
    return tuple(found) if found != sorted(found) else ()


def _numbers(value: Any, count: int) -> Box | None:
    fine = isinstance(value, list) and len(value) == count and all(map(_finite, value))
    return (value[0], value[1], value[2], value[3]) if fine else None


def _finite(value: Any) -> bool:
    # Compared, since an int of JSON may be larger than any float
    return type(value) in _NUMBERS and abs(value) <= sys.float_info.max


def _within(box: Box, size: Size) -> Box | None:
    """A box that readers take: itself, unless it is larger than its image or leaves it by more than a pixel.

    None where nothing of it is left.
    """
    x, y, width, height = box
    if width <= 0 or height <= 0:
        return None
    shares = yolo.shares(box, size)
    fits = min(shares) >= 0 and max(shares) <= 1
    if fits and x >= -1 and y >= -1 and x + width <= size[0] + 1 and y + height <= size[1] + 1:
        return box
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(x + width, size[0]), min(y + height, size[1])
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def _polygon(segmentation: Any, size: Size) -> tuple[Points, list[str]]:
    """The polygon of a row, empty where there is none, and what of the segmentation it does not say."""
    if not segmentation:
        return (), []
    if isinstance(segmentation, dict):
        return _of_mask(segmentation, size), ["annotations.segmentation.counts"]
    name = ["annotations.segmentation"]
    if not isinstance(segmentation, list):
        return (), name
    sound = [one for one in segmentation if isinstance(one, list) and len(one) >= 6 and len(one) % 2 == 0]
    sound = [one for one in sound if all(map(_finite, one))]
    if not sound:
        return (), name
    points = tuple(sound[0]) if len(sound) == 1 else joined(sound)
    inside = tuple(min(max(number, 0), size[at % 2]) for at, number in enumerate(points))
    if len(set(inside[0::2])) == 1 or len(set(inside[1::2])) == 1:
        return (), name  # nothing of it is in the image
    return inside, [] if len(segmentation) == 1 and inside == points else name


def _of_mask(mask: Mapping[str, Any], size: Size) -> Points:
    """The outline of a mask; empty for one that is none, is of another size, or has no pixel."""
    counts = mask.get("counts")
    try:
        runs = np.array(coco_runs.uncompressed(counts) if isinstance(counts, str) else counts, np.int64)
        if (
            mask.get("size") != [size[1], size[0]]
            or runs.ndim != 1
            or runs.min() < 0
            or runs.sum() != size[0] * size[1]
        ):
            return ()
    except (ValueError, TypeError, OverflowError):
        return ()
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size).T
    if not pixels.any():
        return ()
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    rings = outlines(pixels[top : rows[-1] + 1, left : columns[-1] + 1])
    return joined([[number + (top if at % 2 else left) for at, number in enumerate(ring)] for ring in rings])


def _keypoints(annotation: Mapping[str, Any], size: Size, joints: int) -> tuple[Points, list[str]]:
    """The keypoints of a row, zeros for those that the annotation lacks, and what it says and the row does not."""
    told = annotation.get("keypoints") or []
    if not told:
        return (0.0,) * (3 * joints), ["annotations.keypoints.missing"]
    if not isinstance(told, list) or len(told) % 3 or len(told) > 3 * joints or not all(map(_finite, told)):
        return (0.0,) * (3 * joints), ["annotations.keypoints"]
    found: list[float] = []
    lost = []
    for x, y, visible in zip(told[0::3], told[1::3], told[2::3], strict=True):
        inside = min(max(x, 0), size[0]), min(max(y, 0), size[1])
        if inside != (x, y) or visible not in (0, 1, 2):
            lost = ["annotations.keypoints"]
        flag = visible if visible in (0, 1, 2) else 2
        found += (_tight(inside[0], size[0]), _tight(inside[1], size[1]), float(flag))
    seen = sum(flag > 0 for flag in found[2::3])
    if annotation.get("num_keypoints", seen) != seen:
        lost.append("annotations.num_keypoints")
    return (*found, *(0.0,) * (3 * joints - len(told))), lost


def _joints(numbers: Sequence[float], size: Size, each: int) -> Iterator[tuple[float, float, int]]:
    """x, y and visibility; where rows do not say it, a keypoint is seen unless it is below 0, as ultralytics has it."""
    for at in range(0, len(numbers), each):
        x, y = yolo.point_pixels(numbers[at : at + 2], size)
        yield x, y, int(numbers[at + 2]) if each == 3 else (0 if min(x, y) < 0 else 2)


def _tight(pixel: float, length: int) -> float:
    """A pixel as a share, in as few decimals as give the same pixel again."""
    share = pixel / length
    short = round(share, 9 + len(str(length)))
    return short if abs(short * length - pixel) < _UNSEEN else share


def _tight_box(box: Box, size: Size) -> Box:
    """The same of a box."""
    exact = yolo.shares(box, size)
    across, down = (9 + len(str(length)) for length in size)
    short = round(exact[0], across), round(exact[1], down), round(exact[2], across), round(exact[3], down)
    return short if yolo.pixels(short, size) == tuple(map(rounded, box)) else exact


def _plain(number: float) -> float:
    """A number without a fraction as a whole one."""
    return int(number) if float(number).is_integer() else float(number)
