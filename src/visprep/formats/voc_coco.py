"""What Pascal VOC says of an image and its objects as COCO's records say it, and back.

COCO has no words for most of it. `pose`, `truncated`, `difficult` and `occluded` become keys of the annotation; all
other elements stand under the key `voc`, of the image or of the annotation, as objects of JSON: an element is its text,
or an object of what is in it, several of one name are a list, and an attribute is `@name`, as xmltodict has it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from visprep.formats import voc
from visprep.formats.decimals import rounded
from visprep.formats.voc import FLAGS, Box, VocAnnotation, VocObject
from visprep.formats.xml_tree import DEEPEST, Element

__all__ = [
    "SUPERCATEGORIES",
    "VOC",
    "Kept",
    "box_of",
    "has_box",
    "image_keys",
    "image_of",
    "kept",
    "object_keys",
    "whole",
]

#: The key of what COCO has no word for.
VOC = "voc"
_TEXT = "#text"
#: What XML 1.0 takes as a name, as far as ASCII goes, and cannot say in a text.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ILLEGAL = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
#: Elements within the key `voc` that may be, with room for those that they are written in.
_DEEPEST = DEEPEST - 4
_OF_IMAGE = frozenset({"filename", "object"})
_OF_OBJECT = frozenset({"name", "bndbox", "pose", *FLAGS})
_ANIMALS = ("bird", "cat", "cow", "dog", "horse", "sheep")
_VEHICLES = ("aeroplane", "bicycle", "boat", "bus", "car", "motorbike", "train")
_INDOOR = ("bottle", "chair", "diningtable", "pottedplant", "sofa", "tvmonitor")
#: What each of VOC's own twenty classes is, by its paper.
SUPERCATEGORIES: Mapping[str, str] = {
    "person": "person",
    **dict.fromkeys(_ANIMALS, "animal"),
    **dict.fromkeys(_VEHICLES, "vehicle"),
    **dict.fromkeys(_INDOOR, "indoor"),
}


# From VOC to COCO


def image_keys(annotation: VocAnnotation) -> tuple[dict[str, Any], bool]:
    """What an image record gains, and whether that is all that the file says beside its objects."""
    said: dict[str, Any] = {f"@{name}": value for name, value in annotation.attributes}
    if annotation.folder is not None:
        said["folder"] = annotation.folder
    if annotation.depth is not None:
        said["size"] = {"depth": annotation.depth}
    if annotation.segmented is not None:
        said["segmented"] = annotation.segmented
    others, whole = _plain(annotation.others)
    return ({VOC: said | others} if said or others else {}), whole


def object_keys(one: VocObject) -> tuple[dict[str, Any], bool]:
    """What an annotation record gains, and whether that is all that the object says beside its name and box."""
    found: dict[str, Any] = {} if one.pose is None else {"pose": one.pose}
    others, whole = _plain((*one.others, *(voc.as_element("part", part) for part in one.parts)))
    return {**found, **dict(one.flags), **({VOC: others} if others else {})}, whole


def box_of(corners: Box, first: int) -> tuple[list[float], float, bool]:
    """A box and its area, and whether the corners come back of it."""
    box = voc.pixels(corners, first)
    return [whole(one) for one in box], whole(rounded(box[2] * box[3])), voc.corners(box, first) == corners


def whole(number: float) -> float:
    """A number without a fraction as the whole number that it is."""
    return int(number) if number.is_integer() else number


def _plain(elements: tuple[Element, ...]) -> tuple[dict[str, Any], bool]:
    """Elements as JSON, and whether they come back of it."""
    found = _object(elements)
    return found, _elements(found) == list(elements)


def _object(elements: Iterable[Element]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for one in elements:
        found.setdefault(one.tag, []).append(_value(one))
    return {tag: values[0] if len(values) == 1 else values for tag, values in found.items()}


def _value(element: Element) -> Any:
    if not element.children and not element.attributes:
        return element.text
    text = {_TEXT: element.text} if element.text else {}
    attributes = {f"@{name}": value for name, value in element.attributes.items()}
    return {**attributes, **text, **_object(element.children)}


# From COCO to VOC


@dataclass(frozen=True, slots=True)
class Kept:
    """What of an annotation record VOC can say; `lost` are the keys of what it cannot."""

    box: tuple[float, float, float, float] | None = None
    pose: str | None = None
    flags: tuple[tuple[str, int], ...] = ()
    others: tuple[Element, ...] = ()
    lost: frozenset[str] = field(default_factory=frozenset)

    def object(self, name: str) -> VocObject:
        """The object; what readers ask for and the record does not tell is said as VOC says that it is unknown."""
        flags = {"truncated": 0, "difficult": 0, **dict(self.flags)}
        pose = "Unspecified" if self.pose is None else self.pose
        ordered = tuple((name, flags[name]) for name in FLAGS if name in flags)
        return VocObject(name, self.box, pose, ordered, others=self.others)


def kept(record: Mapping[str, Any], size: tuple[int, int] | None = None) -> Kept:
    """What VOC can say of an annotation record; without a box where it has none, or one without size.

    A box that leaves an image of `size` is cut, to the left and to the top also where the size is not known; there is
    none where nothing of it is left.
    """
    lost: set[str] = set()
    corners, same = _corners(record.get("bbox"))
    if corners and (cut := _cut(corners, size or (math.inf, math.inf))) != corners:
        corners, same = cut, False
    if corners is None or not same:
        lost.add("bbox")
    flags: dict[str, int] = {}
    pose, others = None, []
    for key, value in record.items():
        if key in ("id", "image_id", "category_id", "bbox"):
            continue
        if key == "pose" and _is_text(value):
            pose = value
        elif key in FLAGS and value in (0, 1):
            flags[key] = int(value)
        elif key == VOC and (found := _elements(value, _OF_OBJECT)):
            others = found
        elif not _goes_without_saying(key, value, corners):
            lost.add("segmentation.counts" if key == "segmentation" and isinstance(value, dict) else key)
    if record.get("iscrowd"):  # evaluation passes by both
        flags.setdefault("difficult", 1)
    return Kept(corners, pose, tuple(flags.items()), tuple(others), frozenset(lost))


def _goes_without_saying(key: str, value: object, corners: Box | None) -> bool:
    """Whether a value is what is made of VOC anyway."""
    if key == "area":
        return corners is not None and value == box_of(corners, 1)[1]
    return key == "iscrowd" and value == 0


def _corners(box: object) -> tuple[Box | None, bool]:
    """The corners of a box, and whether it comes back of them: one narrower than a pixel gets a whole one."""
    if not isinstance(box, list) or len(box) != 4:
        return None, False
    if not all(isinstance(one, int | float) and abs(one) < 1e15 for one in box) or min(box[2:]) < 0:
        return None, False
    left, top, right, bottom = voc.corners((box[0], box[1], box[2], box[3]))
    corners = left, top, max(left, right), max(top, bottom)
    return corners, list(voc.pixels(corners)) == box


def _cut(corners: Box, size: tuple[float, float]) -> Box | None:
    """Corners within an image; none is below 1, which readers would take for a sign that pixels count from 0."""
    left, top, right, bottom = corners
    if min(left, top) >= 1 and right <= size[0] and bottom <= size[1]:
        return corners
    left, top, right, bottom = max(left, 1), max(top, 1), min(right, size[0]), min(bottom, size[1])
    if right <= left - 1 or bottom <= top - 1:
        return None
    return min(left, right), min(top, bottom), right, bottom


def has_box(element: Element) -> bool:
    """Whether an element tells a box, however deep in it."""
    return element.tag in ("bndbox", *voc.CORNERS) or any(map(has_box, element.children))


def image_of(said: object, filename: str, size: tuple[int, int] | None) -> VocAnnotation | None:
    """An annotation without objects, of the value of the key `voc`; None when that is not of VOC's shape."""
    if not isinstance(said, Mapping):
        return None
    rest = dict(said)
    folder, depth, segmented = rest.pop("folder", None), rest.pop("size", None), rest.pop("segmented", None)
    attributes = {key: rest.pop(key) for key in list(rest) if key.startswith("@")}
    others = _elements(rest, _OF_IMAGE)
    channels = depth.get("depth") if isinstance(depth, Mapping) and set(depth) == {"depth"} else None
    numbers = [one for one in (channels, segmented) if one is not None]
    if (
        others is None
        or not (folder is None or _is_text(folder))
        or not (depth is None or channels is not None)
        or not all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < 2**53 for one in numbers)
        or not all(_NAME.fullmatch(key[1:]) and _is_text(value) for key, value in attributes.items())
    ):
        return None
    named = tuple((key[1:], value) for key, value in attributes.items())
    return VocAnnotation(filename, size, channels, (), folder, segmented, tuple(others), named)


def _is_text(value: object) -> bool:
    """Whether XML can say a text: as it is, with nothing around it."""
    return isinstance(value, str) and value == value.strip() and not _ILLEGAL.search(value)


def _elements(said: object, taken: frozenset[str] = frozenset()) -> list[Element] | None:
    """JSON as elements; None when it is not of the shape that `_plain` makes, or a name is taken."""
    if not isinstance(said, Mapping) or any(key in taken for key in said):
        return None
    try:
        return list(_made(said, _DEEPEST))
    except ValueError:
        return None


def _made(said: Mapping[str, Any], deep: int) -> Iterator[Element]:
    for tag, value in said.items():
        if not _NAME.fullmatch(tag) or (isinstance(value, list) and len(value) < 2) or not deep:
            raise ValueError(tag)
        for one in value if isinstance(value, list) else [value]:
            if _is_text(one):
                yield Element(tag, one)
            elif isinstance(one, Mapping) and one:
                attributes = {key[1:]: text for key, text in one.items() if key.startswith("@")}
                text = one.get(_TEXT, "")
                inner = {key: value for key, value in one.items() if key != _TEXT and not key.startswith("@")}
                if not all(_NAME.fullmatch(key) and _is_text(text) for key, text in attributes.items()):
                    raise ValueError(tag)
                if not _is_text(text) or (not inner and not attributes) or (_TEXT in one and not text):
                    raise ValueError(tag)
                yield Element(tag, text, list(_made(inner, deep - 1)), attributes)
            else:
                raise ValueError(tag)
