"""The rules of COCO results: what keeps a file of detections, masks, keypoints or captions from being evaluated.

What has none of the errors, pycocotools and faster-coco-eval load and evaluate against the same ground truth. Both
take the kind of all results from the first, and look up what they need without asking whether it is there.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from visprep.findings import Finding, Level
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_scan import Malformed, Opened, Records, scan
from visprep.rules import Depth, Rule, coco_text
from visprep.rules.coco_masks import uncompressed
from visprep.rules.coco_notes import Notes, shortened

_H = Depth.HEADERS
_DUMP = "write the results again, from the model's output"


def _rule(code: str, level: Level, what: str, why: str, fix: str, bad: str, near: str) -> Rule:
    return Rule(f"results-{code}", level, _H, what, why, fix, bad, near)


_E, _W, _N = Level.ERROR, Level.WARNING, Level.NOTE
RESULTS_BOX_EMPTY = _rule(
    "box-empty", _W, "A box among results has no area, or a negative width or height.",
    "It matches nothing and counts as a false alarm; a negative one often is x2, y2 less than x1, y1.", _DUMP,
    "A box of [10, 10, 0, 5].", "A box of [10, 10, 0.1, 5].",
)  # fmt: skip
RESULTS_BOXES_OUTSIDE = _rule(
    "boxes-outside", _W, "More than a tenth of the boxes among results leave their images by more than a pixel.",
    "They look like corners, x1, y1, x2, y2, where x, y, width, height should be; or belong to a scaled image.",
    "convert them: x, y, x2 - x1, y2 - y1, in pixels of the original image",
    "Boxes of [300, 200, 500, 400] on images of 640 x 480.", "One box of twenty reaches over the edge.",
)  # fmt: skip
RESULTS_BOXES_TINY = _rule(
    "boxes-tiny", _W, "All boxes among results lie within one pixel.",
    "They are fractions of the image, and match nothing.", "multiply them by width and height of the image",
    "Boxes such as [0.25, 0.5, 0.1, 0.2].", "One of several boxes is that small.",
)  # fmt: skip
RESULTS_CAPTION_REPEATED = _rule(
    "caption-repeated", _E, "An image has more than one caption among results.",
    "The evaluation of captions asserts that there is one of each image.", "keep the best",
    "Two captions of image 139.", "The same caption of two images.",
)  # fmt: skip
RESULTS_CATEGORY_UNKNOWN = _rule(
    "category-unknown", _E, "A result is of a category that the ground truth does not have.",
    "It is passed over without a word; most often ids count from 0 or 1 without COCO's gaps, and all are wrong.",
    "map class numbers to the category ids of the ground truth", "Category 12, which COCO left out.",
    "A category of which this ground truth has no annotation.",
)  # fmt: skip
RESULTS_EMPTY = _rule(
    "empty", _E, "A file of results holds none.", "pycocotools fails on it: it looks at the first.", _DUMP,
    "A file with `[]` in it.", "One result for a thousand images.",
)  # fmt: skip
RESULTS_FORM = _rule(
    "form", _E, "A file of results is no list of objects.",
    "Evaluation asserts that it is a list; some tools wrap it in an object.", "write just the list of results",
    'The file is {"annotations": [...]}.', "A list of one object.",
)  # fmt: skip
RESULTS_IMAGE_UNKNOWN = _rule(
    "image-unknown", _E, "A result is of an image that the ground truth does not have.",
    "Evaluation asserts that it does: the results are of another split, or ids are texts or file names.",
    "take the ids of `images` of the ground truth", 'The image id "139", a text.', "An image without annotations.",
)  # fmt: skip
RESULTS_INCOMPLETE = _rule(
    "incomplete", _E, "A result lacks what all results of its kind must have.",
    "Evaluation looks it up and fails: image_id and category_id, score, and the box, mask or keypoints.", _DUMP,
    "A box without a score.", "A caption without a score.",
)  # fmt: skip
RESULTS_KEYPOINTS = _rule(
    "keypoints", _E, "A result has another number of keypoints than its category, or no numbers for them.",
    "They cannot be held against the ground truth, and evaluation fails.", "x, y and a third number for each joint",
    "34 numbers for 17 joints.", "51 numbers, each third of them 1.",
)  # fmt: skip
RESULTS_KIND_MIXED = _rule(
    "kind-mixed", _E, "Results of several kinds are in one file.",
    "The first decides what all of them are taken for.", "write one file for each kind",
    "A caption after a box.", "Boxes with a mask beside each.",
)  # fmt: skip
RESULTS_MANY = _rule(
    "many", _N, "An image has more results than are evaluated: 100 boxes or masks of a category, 20 sets of keypoints.",
    "Only those of the highest score count.", "keep the best, or leave it as it is",
    "101 boxes of persons on one image.", "100 boxes of persons on one image.",
)  # fmt: skip
RESULTS_MASK = _rule(
    "mask", _E, "A mask among results is no compressed RLE of the size of its image.",
    "pycocotools fails on polygons and uncompressed runs here, and reads beyond a mask that is too short.",
    "pycocotools.mask.encode, with counts decoded to text", "A list of polygons.",
    "A mask of one run: nothing is in it.",
)  # fmt: skip
RESULTS_NOT_CHECKED = _rule(
    "not-checked", _N, "A list lies among the annotation files: it looks like results, and was not looked into.",
    "Results mean something only beside the ground truth that they are of.",
    "visprep verify results.json --against instances.json", "results.json lies in annotations/.",
    "An annotation file lies there.",
)  # fmt: skip
RESULTS_REPEATED = _rule(
    "repeated", _W, "The same result comes twice.", "The second counts as a false alarm.",
    "leave it out; often the results of two runs were joined", "The same box, category, and score on one image, twice.",
    "The same box with another score.",
)  # fmt: skip
RESULTS_SCORE_RANGE = _rule(
    "score-range", _W, "Scores are not between 0 and 1.",
    "Only their order counts for mAP, but thresholds of other tools will not fit: they may be percent or logits.",
    "write probabilities", "A score of 97.", "A score of 1.",
)  # fmt: skip
RESULTS_SIGMAS = _rule(
    "sigmas", _W, "Keypoints are of a category with another number of joints than a person's 17.",
    "Evaluation knows how far each of 17 joints may be off, and fails on others unless it is told.",
    "set params.kpt_oks_sigmas of the evaluation", "A hand of 21 joints.", "A person of 17.",
)  # fmt: skip
RESULTS_TRUTH_LACKS = _rule(
    "truth-lacks", _E, "Annotations of the ground truth lack what evaluation needs.",
    "It looks up image_id, category_id, area, iscrowd and bbox, of masks segmentation, of keypoints num_keypoints.",
    "complete the ground truth: iscrowd is 0, area that of the mask, or width times height",
    "An annotation without `area`.", "Captions, which need none of these.",
)  # fmt: skip
RESULTS_TRUTH_UNSOUND = _rule(
    "truth-unsound", _E, "The ground truth has errors of its own, or is no annotation file.",
    "What is evaluated against it may fail, or mean nothing.", "visprep verify FILE, of the ground truth, tells them",
    "A box of the ground truth has three numbers.", "The ground truth has warnings only.",
)  # fmt: skip
RESULTS_TYPE = _rule(
    "type", _E, "A part of a result is of another type than it should be, or is NaN, infinite or too large.",
    "Evaluation fails on it, or sorts it anywhere.", _DUMP,
    'A score of "0.9", a text.', "A score of 1, a whole number.",
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    RESULTS_BOX_EMPTY, RESULTS_BOXES_OUTSIDE, RESULTS_BOXES_TINY, RESULTS_CAPTION_REPEATED, RESULTS_CATEGORY_UNKNOWN,
    RESULTS_EMPTY, RESULTS_FORM, RESULTS_IMAGE_UNKNOWN, RESULTS_INCOMPLETE, RESULTS_KEYPOINTS, RESULTS_KIND_MIXED,
    RESULTS_MANY, RESULTS_MASK, RESULTS_NOT_CHECKED, RESULTS_REPEATED, RESULTS_SCORE_RANGE, RESULTS_SIGMAS,
    RESULTS_TRUTH_LACKS, RESULTS_TRUTH_UNSOUND, RESULTS_TYPE,
)  # fmt: skip

#: Results of a kind that are evaluated of one image and category.
MOST = {"bbox": 100, "segmentation": 100, "keypoints": 20}
#: The largest number that evaluation can hold: more digits are JSON, and Python's, but no float.
_LARGEST = sys.float_info.max
_KINDS = ("caption", "bbox", "segmentation", "keypoints")
_ROWS = msgspec.json.Decoder(list[Any])


@dataclass(slots=True)
class Truth:
    """What results are held against: image id -> (width, height), category id -> its number of joints."""

    images: Mapping[int, tuple[int, int]]
    categories: Mapping[int, int]


@dataclass(slots=True)
class Results:
    """What looking at a file of results gave; `kinds` are those that it has: boxes with masks have two."""

    findings: tuple[Finding, ...] = ()
    count: int = 0
    kinds: tuple[str, ...] = ()


def check(file: JsonFile, truth: Truth, path: str | None = None) -> Results:
    """Hold a file of results against the rules and the images and categories of its ground truth, in bounded memory."""
    notes = Notes(file, path if path is not None else file.name)
    look = _Look(notes, truth)
    try:
        for event in scan(file.chunks(), {"": _ROWS}):
            if isinstance(event, Opened) and event.key == "":
                look.listed = True
            elif isinstance(event, Records) and event.key == "":
                notes.saw(event)
                for number, row in enumerate(_rows(event), event.first):
                    look.take(number, row)
    except Malformed as problem:
        coco_text.malformed(problem, notes)
    else:
        look.finish()
    return Results(tuple(notes.findings()), look.count, look.kinds)


_BROKEN = object()


def _rows(records: Records) -> Iterator[Any]:
    if records.rows is not None:
        yield from records.rows
        return
    for _, data in records.elements():
        try:
            yield msgspec.json.decode(data)
        except (ValueError, RecursionError):  # NaN, Infinity, and what is no JSON at all
            yield _BROKEN


@dataclass(slots=True)
class _Look:
    notes: Notes
    truth: Truth
    listed: bool = False
    count: int = 0
    kinds: tuple[str, ...] = ()
    boxes: int = 0
    outside: int = 0
    tiny: int = 0
    scores: int = 0
    odd_score: float = 0.0
    same: set[int] = field(default_factory=set)
    captioned: set[int] = field(default_factory=set)
    each: Counter[tuple[int, int]] = field(default_factory=Counter)
    joints: set[int] = field(default_factory=set)

    def take(self, number: int, row: Any) -> None:
        """The next result."""
        self.count += 1

        def say(rule: Rule, message: str, member: str = "") -> None:
            ids = {
                key: row[key] for key in ("image_id", "category_id") if isinstance(row, dict) and _whole(row.get(key))
            }
            self.notes.add(rule, message, "", number, member, where=ids)

        if row is _BROKEN:
            say(RESULTS_TYPE, "it is no JSON: NaN, Infinity, or damaged")
        elif not isinstance(row, dict):
            say(RESULTS_FORM, f"it is {str(row)[:40]!r}, no object")
        else:
            kinds = tuple(kind for kind in _KINDS if kind in row and not (kind == "bbox" and row[kind] == []))
            self.kinds = self.kinds or kinds
            if not kinds:
                say(RESULTS_INCOMPLETE, "it has no box, mask, keypoints or caption")
            elif kinds[0] != self.kinds[0] or set(self.kinds) - set(kinds):
                say(RESULTS_KIND_MIXED, f"it has {', '.join(kinds)}; the first has {', '.join(self.kinds)}")
            else:
                self._one(row, kinds, say)

    def _one(self, row: dict[str, Any], kinds: tuple[str, ...], say: Callable[..., None]) -> None:
        image = row.get("image_id")
        if image is None:
            say(RESULTS_INCOMPLETE, "it has no image_id")
            return
        if not isinstance(image, int) or image not in self.truth.images:
            say(RESULTS_IMAGE_UNKNOWN, f"the ground truth has no image {shortened(image)!r}", "image_id")
            return
        if kinds[0] == "caption":
            self._caption(row, image, say)
            return
        category, score = row.get("category_id"), row.get("score")
        for key, value in (("category_id", category), ("score", score)):
            if value is None:
                say(RESULTS_INCOMPLETE, f"it has no {key}")
                return
        if not isinstance(score, int | float) or not _number(score):
            say(RESULTS_TYPE, f"the score is {score!r}", "score")
            return
        if not 0 <= score <= 1:
            self.scores, self.odd_score = self.scores + 1, score
        if not isinstance(category, int) or category not in self.truth.categories:
            say(RESULTS_CATEGORY_UNKNOWN, f"the ground truth has no category {category!r}", "category_id")
            return
        self.each[image, category] += 1
        mark = hash((image, category, score, str([row[kind] for kind in kinds])))
        if mark in self.same:
            say(RESULTS_REPEATED, "the same result stands there before")
        self.same.add(mark)
        if "bbox" in kinds:
            self._box(row["bbox"], self.truth.images[image], say)
        if "segmentation" in kinds:
            _mask(row["segmentation"], self.truth.images[image], say)
        if "keypoints" in kinds:
            self._joints(row["keypoints"], self.truth.categories[category], say)

    def _caption(self, row: dict[str, Any], image: int, say: Callable[..., None]) -> None:
        if not isinstance(row["caption"], str):
            say(RESULTS_TYPE, f"the caption is {row['caption']!r}", "caption")
        if image in self.captioned:
            say(RESULTS_CAPTION_REPEATED, f"image {image} has a caption already")
        self.captioned.add(image)

    def _box(self, box: Any, size: tuple[int, int], say: Callable[..., None]) -> None:
        if not (isinstance(box, list) and len(box) == 4 and all(map(_number, box))):
            say(RESULTS_TYPE, f"the box is {str(box)[:80]}, not four numbers", "bbox")
            return
        x, y, width, height = box
        self.boxes += 1
        if width <= 0 or height <= 0:
            say(RESULTS_BOX_EMPTY, f"the box is {box}", "bbox")
        self.outside += size[0] > 0 and (x < -1 or y < -1 or x + width > size[0] + 1 or y + height > size[1] + 1)
        self.tiny += max(x + width, y + height) <= 1

    def _joints(self, keypoints: Any, joints: int, say: Callable[..., None]) -> None:
        if not (isinstance(keypoints, list) and keypoints and all(map(_number, keypoints))):
            say(RESULTS_KEYPOINTS, "the keypoints are no list of numbers", "keypoints")
        elif len(keypoints) != 3 * joints:
            say(RESULTS_KEYPOINTS, f"there are {len(keypoints)} numbers for {joints} joints", "keypoints")
        elif joints != 17:
            self.joints.add(joints)

    def finish(self) -> None:
        """What shows only when all results were seen."""
        if not self.listed:
            self.notes.add(RESULTS_FORM, "it is an object, where a list of results should be", where={})
            return
        if not self.count:
            self.notes.add(RESULTS_EMPTY, "the list is empty", where={})
        if self.boxes and self.tiny == self.boxes:
            self.notes.add(RESULTS_BOXES_TINY, f"all {self.boxes:,} boxes lie within one pixel", where={})
        elif self.outside * 10 > self.boxes:
            words = f"{self.outside:,} of {self.boxes:,} boxes leave their images"
            self.notes.add(RESULTS_BOXES_OUTSIDE, words, where={"count": self.outside})
        if self.scores:
            words = f"{self.scores:,} scores are not between 0 and 1, such as {self.odd_score:g}"
            self.notes.add(RESULTS_SCORE_RANGE, words, where={"count": self.scores})
        for joints in sorted(self.joints):
            self.notes.add(RESULTS_SIGMAS, f"there are categories of {joints} joints", where={"joints": joints})
        most = MOST.get(self.kinds[0] if self.kinds else "", math.inf)
        many = [pair for pair, count in self.each.items() if count > most]
        if many:
            image, category = many[0]
            words = f"{len(many):,} times an image has more than {most} of a category, such as image {image}"
            self.notes.add(RESULTS_MANY, words, where={"image_id": image, "category_id": category, "count": len(many)})


def _mask(mask: Any, size: tuple[int, int], say: Callable[..., None]) -> None:
    if not isinstance(mask, dict) or not isinstance(mask.get("counts"), str):
        kinds: dict[Any, str] = {list: "a list, as polygons are", dict: "not compressed"}
        found = kinds.get(type(mask), "of no known form")
        say(RESULTS_MASK, f"the mask is {found}", "segmentation")
        return
    height_width = mask.get("size")
    if height_width != [size[1], size[0]]:
        say(RESULTS_MASK, f"the size is {height_width}, that of the image {[size[1], size[0]]}", "segmentation")
        return
    try:
        counts = uncompressed(mask["counts"])
    except ValueError as problem:
        say(RESULTS_MASK, str(problem), "segmentation")
        return
    if sum(counts) != size[0] * size[1] or (counts and min(counts) < 0):
        say(RESULTS_MASK, f"the runs add up to {sum(counts):,}, not {size[1]} x {size[0]}", "segmentation")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
