"""The rules of data.yaml of YOLO: whether readers take it, and whether what it names is there."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from visprep.findings import Finding, Level
from visprep.formats.yolo_place import Source, YoloSet
from visprep.render.text import counted
from visprep.rules import Depth, Rule

YOLO_DATA_FORM = Rule(
    "yolo-data-form",
    Level.ERROR,
    Depth.NAMES,
    "A data file is not YAML as readers of YOLO want it.",
    "ultralytics stops there: it wants `train`, `val`, and `names` or `nc`.",
    "write it as docs/yolo-and-voc.md shows",
    bad="`names: cat, dog`; no `val`; or a bracket that is not closed.",
    near="`val` is called `validation`; there is no `test`.",
)
YOLO_DATA_MISSING = Rule(
    "yolo-data-missing",
    Level.WARNING,
    Depth.NAMES,
    "There are labels, and no data.yaml.",
    "Nothing tells which image is for training, and nothing that readers look at tells what the classes are called.",
    "write a data.yaml with train, val and names",
    bad="images/ and labels/, and nothing beside them; or with classes.txt.",
    near="coco8.yaml beside them.",
)
YOLO_IMAGE_MISSING = Rule(
    "yolo-image-missing",
    Level.ERROR,
    Depth.NAMES,
    "A list of a part names an image that is not there.",
    "ultralytics drops it, and trains with less.",
    "fetch the image, or take the line out of the list",
    bad="train.txt has the line ./images/a.jpg, and there is no such file.",
    near="./images/a.jpg is beside train.txt, be the place called otherwise than before.",
)
YOLO_IMAGE_REPEATED = Rule(
    "yolo-image-repeated",
    Level.WARNING,
    Depth.NAMES,
    "A part has an image twice: a list names it again, or two directories of it overlap.",
    "It counts double.",
    "take the second line out",
    bad="train.txt has the line ./images/a.jpg twice.",
    near="train.txt and val.txt have it once each: that is yolo-parts-overlap.",
)
YOLO_NAME_FORM = Rule(
    "yolo-name-form",
    Level.WARNING,
    Depth.NAMES,
    "The name of a class is no text to YAML, or is empty.",
    "Unquoted, no is False and 1.0 a number: the class comes out under another name.",
    "quote the name",
    bad="`names: [yes, no]`.",
    near='`names: ["yes", "no"]`.',
)
YOLO_NAME_REPEATED = Rule(
    "yolo-name-repeated",
    Level.WARNING,
    Depth.NAMES,
    "Two classes have one name.",
    "Results by name add up two classes, or lose one.",
    "rename one of them, or make one class of both",
    bad="`names: [cat, dog, cat]`.",
    near="`names: [cat, dog, Cat]`.",
)
YOLO_NAMES_COUNT = Rule(
    "yolo-names-count",
    Level.ERROR,
    Depth.NAMES,
    "`nc` is not the number of names.",
    "ultralytics stops there.",
    "leave `nc` out, or correct it",
    bad="`nc: 3` with `names: [cat, dog]`.",
    near="`nc: 2` there.",
)
YOLO_NAMES_INDEX = Rule(
    "yolo-names-index",
    Level.ERROR,
    Depth.NAMES,
    "The numbers of the classes do not count from 0, each once.",
    "ultralytics stops there, or a class has the name of another.",
    "number the names from 0, without a gap",
    bad="`names: {1: cat, 2: dog}`.",
    near="`names: {1: cat, 0: dog}`.",
)
YOLO_PART_MISSING = Rule(
    "yolo-part-missing",
    Level.ERROR,
    Depth.NAMES,
    "A directory or list of a part is not there, or has no image.",
    "ultralytics stops there, or tries to download the dataset.",
    "correct the path: parts are relative to `path`, and that to where data.yaml is",
    bad="`val: images/val`, and there is no such directory.",
    near="`val: ../valid/images` in data.yaml beside valid/, as Roboflow writes it.",
)
YOLO_PARTS_OVERLAP = Rule(
    "yolo-parts-overlap",
    Level.WARNING,
    Depth.NAMES,
    "An image is in two parts.",
    "What is tested with was trained on: results are better than they are.",
    "take it out of one of the parts",
    bad="`train: images` and `val: images/val`.",
    near="`train: images/a` and `val: images/a`: where there is one part only, both names are for it on purpose.",
)
YOLO_PATH_ELSEWHERE = Rule(
    "yolo-path-elsewhere",
    Level.WARNING,
    Depth.NAMES,
    "`path` of a data file is a directory of another machine, or another place.",
    "It is looked at as if it were here; readers look there, and find nothing or other images.",
    "leave `path` out, or write where the dataset is now",
    bad="`path: /content/datasets/pets` in a place that is not called so.",
    near="`path: pets` in a place that is called pets.",
)

RULES: tuple[Rule, ...] = (
    YOLO_DATA_FORM,
    YOLO_DATA_MISSING,
    YOLO_IMAGE_MISSING,
    YOLO_IMAGE_REPEATED,
    YOLO_NAME_FORM,
    YOLO_NAME_REPEATED,
    YOLO_NAMES_COUNT,
    YOLO_NAMES_INDEX,
    YOLO_PART_MISSING,
    YOLO_PARTS_OVERLAP,
    YOLO_PATH_ELSEWHERE,
)

_OF_KIND = {
    "count": YOLO_NAMES_COUNT,
    "form": YOLO_DATA_FORM,
    "index": YOLO_NAMES_INDEX,
    "name": YOLO_NAME_FORM,
    "repeated": YOLO_NAME_REPEATED,
}


def check(one: YoloSet) -> Iterator[Finding]:
    """What is wrong with a dataset as its data file tells it: the file, what it names, and its parts."""
    if one.path is None:
        return
    if one.fault:
        yield YOLO_DATA_FORM.at(one.path, one.fault)
        return
    for fault in one.faults:
        yield _OF_KIND[fault.kind].at(one.path, fault.words, line=fault.line, key=fault.key)
    if one.elsewhere:
        words = f"path is {one.data.path}, and its parts are here"
        yield YOLO_PATH_ELSEWHERE.at(one.path, words, line=one.data.lines.get("path", 1), key="path")
    for source in one.sources:
        yield from _of_source(one, source)
    parts = {part: frozenset(images) for part, images in one.parts().items()}
    homes = {part: {source.path for source in one.sources if source.part == part} for part in parts}
    for (first, here), (second, there) in itertools.combinations(parts.items(), 2):
        if (both := here & there) and homes[first] != homes[second]:
            words = f"{counted(len(both), 'image')} of {first} {'are' if len(both) > 1 else 'is'} in {second} too"
            where = {"line": one.data.lines.get(second, 1), "key": second, "count": len(both)}
            yield YOLO_PARTS_OVERLAP.at(one.path, f"{words}: {min(both)}", **where)


def _of_source(one: YoloSet, source: Source) -> Iterator[Finding]:
    assert one.path is not None
    where = {"line": one.data.lines.get(source.part, 1), "key": source.part}
    if source.path is None:
        yield YOLO_PART_MISSING.at(one.path, f"{source.part}: {source.written} is not here", **where)
        return
    if not source.images:
        words = f"none of the {counted(len(source.listed), 'image')} that it names is here" if source.listed else ""
        words = words or "it has no image"
        yield YOLO_PART_MISSING.at(one.path, f"{source.part}: {source.written}: {words}", **where)
        return
    there = frozenset(source.images)
    for listed in source.listed or ():
        if listed.path not in there:
            words = f"line {listed.line}: {listed.written} is not here"
            named = {"file": listed.path} if listed.path else {}
            yield YOLO_IMAGE_MISSING.at(source.path, words, line=listed.line, id=listed.written, **named)


def repeated(one: YoloSet) -> Iterator[Finding]:
    """The images that a part has twice."""
    for part in one.data.parts:
        counts = Counter(itertools.chain(*(source.images for source in one.sources if source.part == part)))
        if twice := [image for image, count in counts.items() if count > 1]:
            words = f"{part} has {counted(len(twice), 'image')} more than once: {min(twice)}"
            where = {"line": one.data.lines.get(part, 1), "key": part, "count": len(twice)}
            yield YOLO_IMAGE_REPEATED.at(one.path or ".", words, **where)
