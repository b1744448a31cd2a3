"""Annotations of Pascal VOC: an XML file for each image, an `object` for each box.

Boxes are `xmin`, `ymin`, `xmax`, `ymax` in pixels. VOC's own count from 1, and both ends belong to the box; many tools
count from 0. What a file holds beyond what is named here stays in its tree, and is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from visprep.errors import WrongContent
from visprep.formats import xml_tree
from visprep.formats.decimals import digits, number_in, rounded
from visprep.formats.xml_tree import Element, made

Box = tuple[float, float, float, float]
CORNERS = ("xmin", "ymin", "xmax", "ymax")
#: What is 0 or 1 of an object.
FLAGS = ("truncated", "difficult", "occluded")
#: The elements that are read: of the file, and of an object. All others are kept, and nothing is made of them.
_KNOWN = frozenset({"folder", "filename", "size", "segmented", "object"})
_KNOWN_OF_OBJECT = frozenset({"name", "pose", "bndbox", "part", *FLAGS})


@dataclass(frozen=True, slots=True)
class VocObject:
    """One object: the name of its class, its box (None where it has none that can be read), and what is told of it.

    `flags` are `truncated`, `difficult` and `occluded`, where they are said and are numbers. `parts` are objects of
    their own: head, hand, foot. `others` are all other elements, as they are; `line` is where it begins.
    """

    name: str
    box: Box | None
    pose: str | None = None
    flags: tuple[tuple[str, int], ...] = ()
    parts: tuple[VocObject, ...] = ()
    others: tuple[Element, ...] = ()
    line: int = field(default=0, compare=False)

    def flag(self, name: str) -> int:
        """`truncated`, `difficult` or `occluded`, 0 where it is not said."""
        return dict(self.flags).get(name, 0)


@dataclass(frozen=True, slots=True)
class VocAnnotation:
    """What an XML file says of one image.

    `size` is width and height, `depth` the number of channels, each None where it is not said. `others` are all other
    elements (source, owner and their like), as they are, and `attributes` those of the root, as labelImg's `verified`.
    `lines` are those of the elements at the top.
    """

    filename: str | None = None
    size: tuple[int, int] | None = None
    depth: int | None = None
    objects: tuple[VocObject, ...] = ()
    folder: str | None = None
    segmented: int | None = None
    others: tuple[Element, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    lines: tuple[tuple[str, int], ...] = field(default=(), compare=False)

    def line(self, tag: str) -> int:
        """The line of the first element of that name at the top; 1 where there is none."""
        return next((line for name, line in self.lines if name == tag), 1)


@dataclass(frozen=True, slots=True)
class VocFault:
    """What is wrong with an element: `kind` is `form`, `number`, `flag` or `fraction`."""

    line: int
    kind: str
    words: str


def read(data: bytes) -> tuple[VocAnnotation, list[VocFault]]:
    """What an XML file says, and what is wrong with how it says it; `xml_tree.NotXml` where it is no XML."""
    root = xml_tree.read(data)
    reading = _Reading()
    return reading.annotation(root), reading.faults


class _Reading:
    """One file as it is read."""

    def __init__(self) -> None:
        self.faults: list[VocFault] = []

    def annotation(self, root: Element) -> VocAnnotation:
        if root.tag != "annotation":
            self._fault(root, "form", f"its root is <{root.tag}>, not <annotation>")
            return VocAnnotation(lines=((root.tag, root.line),))
        size = root.find("size")
        width, height, depth = (self._whole(size, name) for name in ("width", "height", "depth"))
        return VocAnnotation(
            filename=root.value("filename"),
            size=(width, height) if width is not None and height is not None else None,
            depth=depth,
            objects=tuple(map(self.object, root.all("object"))),
            folder=root.value("folder"),
            segmented=self._whole(root, "segmented"),
            others=tuple(child for child in root.children if child.tag not in _KNOWN),
            attributes=tuple(root.attributes.items()),
            lines=tuple((child.tag, child.line) for child in root.children if child.tag != "object"),
        )

    def object(self, element: Element) -> VocObject:
        name = element.value("name")
        if not name:
            self._fault(element, "form", f"<{element.tag}> has no name")
        flags = [(flag, number) for flag in FLAGS if (number := self._flag(element, flag)) is not None]
        return VocObject(
            name=name or "",
            box=self._box(element),
            pose=element.value("pose"),
            flags=tuple(flags),
            parts=tuple(map(self.object, element.all("part"))),
            others=tuple(child for child in element.children if child.tag not in _KNOWN_OF_OBJECT),
            line=element.line,
        )

    def _box(self, element: Element) -> Box | None:
        boxes = list(element.all("bndbox"))
        if len(boxes) != 1:
            self._fault(element, "form", f"<{element.tag}> has {len(boxes) or 'no'} bndbox{'es' * (len(boxes) > 1)}")
            if not boxes:
                return None
        corners: list[float] = []
        for name in CORNERS:
            corner = boxes[0].find(name)
            if corner is None:
                self._fault(boxes[0], "form", f"<bndbox> has no {name}")
                return None
            number = number_in(corner.text)
            if number is None:
                self._fault(corner, "number", f"{name} is {corner.text[:40]!r}, which is no number")
                return None
            if not corner.text.lstrip("+-").isdecimal():
                self._fault(corner, "fraction", f"{name} is {corner.text[:40]}")
            corners.append(number)
        return corners[0], corners[1], corners[2], corners[3]

    def _flag(self, element: Element, name: str) -> int | None:
        child = element.find(name)
        if child is None or not child.text:
            return None
        if child.text not in ("0", "1"):
            self._fault(child, "flag", f"{name} is {child.text[:40]!r}, and not 0 or 1")
            return None
        return int(child.text)

    def _whole(self, element: Element | None, name: str) -> int | None:
        """A whole number, not below 0; None where there is none."""
        child = element.find(name) if element else None
        if child is None or not child.text:
            return None
        number = number_in(child.text)
        if number is None or not number.is_integer() or number < 0:
            self._fault(child, "number", f"{name} is {child.text[:40]!r}, which is no whole number")
            return None
        return int(number)

    def _fault(self, element: Element, kind: str, words: str) -> None:
        self.faults.append(VocFault(element.line, kind, words))


def write(annotation: VocAnnotation) -> bytes:
    """An XML file that says this, in the order of VOC's own files.

    Numbers are written in the fewest digits that are read as the same again, whole ones without a point: some readers
    take no others.
    """
    return xml_tree.write(Element("annotation", "", list(_top(annotation)), dict(annotation.attributes)))


def as_element(tag: str, one: VocObject) -> Element:
    """An object, or a part of one, as the element that is written."""
    return made(tag, _object(one))


def _top(annotation: VocAnnotation) -> Iterator[Element]:
    if annotation.folder is not None:
        yield made("folder", annotation.folder)
    if annotation.filename is not None:
        yield made("filename", annotation.filename)
    yield from annotation.others
    sizes = [] if annotation.size is None else list(zip(("width", "height"), annotation.size, strict=True))
    if annotation.depth is not None:
        sizes.append(("depth", annotation.depth))
    if sizes:
        yield made("size", [made(name, str(number)) for name, number in sizes])
    if annotation.segmented is not None:
        yield made("segmented", str(annotation.segmented))
    for one in annotation.objects:
        yield as_element("object", one)


def _object(one: VocObject) -> Iterator[Element]:
    yield made("name", one.name)
    if one.pose is not None:
        yield made("pose", one.pose)
    yield from (made(name, str(value)) for name, value in one.flags)
    if one.box is not None:
        corners = zip(CORNERS, one.box, strict=True)
        yield made("bndbox", [made(name, digits(number)) for name, number in corners])
    yield from one.others
    yield from (as_element("part", part) for part in one.parts)


# Between VOC's corners and boxes of COCO: `first` is the number of the first pixel, 1 in VOC's own files.


def corners(box: Box, first: int = 1) -> Box:
    """x, y, width, height as xmin, ymin, xmax, ymax.

    Where pixels count from 1, the last one belongs to the box; where they count from 0, xmax is x + width.
    """
    x, y, width, height = box
    return rounded(x + first), rounded(y + first), rounded(x + width), rounded(y + height)


def pixels(box: Box, first: int = 1) -> Box:
    """xmin, ymin, xmax, ymax as x, y, width, height: the way back from `corners`, to nine decimals."""
    left, top, right, bottom = box
    x, y = left - first, top - first
    return rounded(x), rounded(y), rounded(right - x), rounded(bottom - y)


# Sets: ImageSets/{Main,Segmentation,Layout,Action}/{name}.txt


@dataclass(frozen=True, slots=True)
class Member:
    """A line of a set: the stem of an image, and what follows it (-1, 0 or 1 in the sets of one class)."""

    stem: str
    flags: tuple[str, ...] = ()
    line: int = 0


def read_set(data: bytes) -> Iterator[Member]:
    """The members of a set, line by line; UnicodeDecodeError is passed on as WrongContent."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        at = data.count(b"\n", 0, problem.start) + 1
        raise WrongContent(f"line {at}: byte {problem.start} is not UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        if words := line.split():
            yield Member(words[0], tuple(words[1:]), number)


def write_set(stems: Iterable[str]) -> bytes:
    """A set with these images, a stem a line."""
    return "".join(f"{stem}\n" for stem in stems).encode()
