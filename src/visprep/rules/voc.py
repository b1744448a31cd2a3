"""The rules of annotations of Pascal VOC: whether each XML file says something that readers take, and fits its image.

What lies between files stands in `voc_sets`, what is wrong with an image by itself in `image_files`. Of the elements of
one file that are wrong in one way, there is one finding, with the lines of the first ten.
"""

from __future__ import annotations

from collections.abc import Iterator

from visprep.findings import Finding, Level
from visprep.formats.voc import VocAnnotation, VocFault, VocObject
from visprep.rules import Depth, Rule
from visprep.rules.lines import Said, together

H = Depth.HEADERS

VOC_BOX_EMPTY = Rule(
    "voc-box-empty",
    Level.WARNING,
    H,
    "The ends of a box are one and the same.",
    "Most readers subtract them, and get a width or a height of 0: losses divide by it.",
    "remove the object, or write the box again",
    bad="xmin and xmax are both 10.",
    near="xmin is 10, xmax is 11.",
)
VOC_BOX_FRACTION = Rule(
    "voc-box-fraction",
    Level.WARNING,
    H,
    "An end of a box is no whole number.",
    "Many readers take whole numbers only, and stop there. VOC2011 has a few such boxes.",
    "round it, or keep it where your loader copes with it",
    bad="`<xmin>45.7</xmin>`, or `<xmin>45.0</xmin>`.",
    near="`<xmin>45</xmin>`.",
)
VOC_BOX_OUTSIDE = Rule(
    "voc-box-outside",
    Level.ERROR,
    H,
    "A box leaves its image by more than a pixel.",
    "It was drawn on, or computed for, another size of the image: crops fail, and what is learned is shifted.",
    "compute the box again, or cut it to the image",
    bad="xmax is 502 in an image 500 pixels wide.",
    near="xmin is 0 and xmax is 500 there: it counts from 0.",
)
VOC_BOX_SWAPPED = Rule(
    "voc-box-swapped",
    Level.ERROR,
    H,
    "A box ends before it begins.",
    "Its ends are swapped, or it is x, y, width, height: overlaps come out negative, and losses become NaN.",
    "write the smaller end as xmin, or ymin",
    bad="xmin is 100, xmax is 40.",
    near="xmin is 40, xmax is 100.",
)
VOC_FLAG = Rule(
    "voc-flag",
    Level.WARNING,
    H,
    "`truncated`, `difficult` or `occluded` is not 0 or 1.",
    "Evaluation leaves out what is difficult, and readers make a number of it: they stop, or count otherwise.",
    "write 0 or 1",
    bad="`<difficult>Unspecified</difficult>`.",
    near="`<difficult/>`, or no such element.",
)
VOC_FORM = Rule(
    "voc-form",
    Level.ERROR,
    H,
    "An element is missing that readers need: the root `annotation`, `name` or `bndbox` of an object, an end of a box.",
    "Readers stop there.",
    "export the annotation again, or write what is missing",
    bad="An `<object>` without `<name>`; a `<bndbox>` without `<ymax>`.",
    near="An `<object>` without `<pose>`; a file without any `<object>`.",
)
VOC_NUMBER = Rule(
    "voc-number",
    Level.ERROR,
    H,
    "What should be a number is none: an end of a box, or width, height and depth of the image.",
    "Readers stop there.",
    "write a number",
    bad="`<xmin>12px</xmin>`; `<width>-5</width>`.",
    near="`<xmin> 12 </xmin>`.",
)
VOC_OBJECT_REPEATED = Rule(
    "voc-object-repeated",
    Level.WARNING,
    H,
    "Two objects of a file have the same name and the same box.",
    "It counts twice.",
    "remove one of the two",
    bad="Two `<object>` of the name dog with one and the same box.",
    near="A dog and a cat with one and the same box.",
)
VOC_SIZE_MISMATCH = Rule(
    "voc-size-mismatch",
    Level.ERROR,
    H,
    "The image has another width or height than its annotation says.",
    "Boxes are divided by the size that the file says, or by that of the image: one of the two is wrong.",
    "see which is right; where the image was resized, compute the boxes again",
    bad="`<width>500</width>`, and the image is 250 pixels wide.",
    near="`<depth>1</depth>` with a color image.",
)
VOC_SIZE_MISSING = Rule(
    "voc-size-missing",
    Level.WARNING,
    H,
    "An annotation does not say the width and height of its image, or says 0.",
    "Readers that divide by it stop there.",
    "write width and height of the image",
    bad="No `<size>`; or `<width>0</width>`.",
    near="No `<depth>`.",
)
VOC_XML_DAMAGED = Rule(
    "voc-xml-damaged",
    Level.ERROR,
    H,
    "An annotation is no XML: cut off, damaged, or something else.",
    "Readers stop there.",
    "fetch or export it again",
    bad="The file ends within an `<object>`.",
    near="A file without an XML declaration, as VOC's own.",
)
VOC_XML_REFUSED = Rule(
    "voc-xml-refused",
    Level.ERROR,
    H,
    "An annotation declares entities, asks for another file, is nested more than 40 deep, or has more than 64 MB.",
    "No tool writes such: it may read other files of this machine, or fill its memory, in readers that obey it.",
    "look where the file comes from; write it without a DOCTYPE",
    bad='`<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>` before `<annotation>`.',
    near="`&amp;` in a name.",
)

RULES: tuple[Rule, ...] = (
    VOC_BOX_EMPTY,
    VOC_BOX_FRACTION,
    VOC_BOX_OUTSIDE,
    VOC_BOX_SWAPPED,
    VOC_FLAG,
    VOC_FORM,
    VOC_NUMBER,
    VOC_OBJECT_REPEATED,
    VOC_SIZE_MISMATCH,
    VOC_SIZE_MISSING,
    VOC_XML_DAMAGED,
    VOC_XML_REFUSED,
)

_OF_KIND = {"flag": VOC_FLAG, "form": VOC_FORM, "fraction": VOC_BOX_FRACTION, "number": VOC_NUMBER}


def check(
    annotation: VocAnnotation,
    faults: list[VocFault],
    path: str,
    *,
    image: str | None = None,
    stored: tuple[int, int] | None = None,
    upright: tuple[int, int] | None = None,
) -> Iterator[Finding]:
    """What is wrong with an annotation.

    `stored` is width and height of its image as they are in the file, `upright` as they are shown, None where nobody
    knows.
    """
    where = {"image": image} if image else {}
    said: dict[str, list[Said]] = {}
    for one in (*((_OF_KIND[fault.kind], fault.line, fault.words) for fault in faults), *_of_objects(annotation)):
        said.setdefault(one[0].code, []).append(one)
    size = annotation.size if annotation.size and min(annotation.size) > 0 else None
    fits = not (size and stored and size != stored)  # else that is the fault, and boxes outside follow from it
    for one in _of_boxes(annotation.objects, (size or upright) if fits else None):
        said.setdefault(one[0].code, []).append(one)
    for all_of_one in said.values():
        yield together(all_of_one, path, **where)
    line = annotation.line("size")
    if not size and not any(fault.kind == "number" or "its root" in fault.words for fault in faults):
        words = "it does not say the size of its image" if annotation.size is None else "it says that the size is 0"
        yield VOC_SIZE_MISSING.at(path, words, line=line, **where)
    elif size and stored and not fits:
        words = f"it says {size[0]} x {size[1]}, and the image has {stored[0]} x {stored[1]} pixels"
        if size == stored[::-1]:
            words += ": width and height are exchanged" + (", as its EXIF shows it" if size == upright else "")
        yield VOC_SIZE_MISMATCH.at(path, words, line=line, expected=list(stored), actual=list(size), **where)


def _of_objects(annotation: VocAnnotation) -> Iterator[Said]:
    seen: dict[tuple[str, object], int] = {}
    for one in annotation.objects:
        key = one.name, one.box
        if one.box and key in seen:
            yield VOC_OBJECT_REPEATED, one.line, f"{one.name[:40]!r} is the same as in line {seen[key]}"
        seen.setdefault(key, one.line)


def _of_boxes(objects: tuple[VocObject, ...], size: tuple[int, int] | None) -> Iterator[Said]:
    for one in objects:
        yield from _of_boxes(one.parts, size)
        if one.box is None:
            continue
        left, top, right, bottom = one.box
        box = f"the box {left:g}, {top:g}, {right:g}, {bottom:g} of {one.name[:40]!r}"
        if right < left or bottom < top:
            yield VOC_BOX_SWAPPED, one.line, f"{box} ends before it begins"
        elif right == left or bottom == top:
            yield VOC_BOX_EMPTY, one.line, f"{box} is empty"
        if size and (min(left, top) < 0 or right > size[0] + 1 or bottom > size[1] + 1):
            yield VOC_BOX_OUTSIDE, one.line, f"{box} leaves its image of {size[0]} x {size[1]}"
