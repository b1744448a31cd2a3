"""The rules of `annotations` in COCO JSON: what any of them must have, and what they point to.

Annotations come by the thousand: their numbers are looked at as columns, and Python sees only those that are odd.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from visprep.findings import Level
from visprep.formats.coco_json import MISSING, Int64
from visprep.formats.coco_scan import Ints, Raw
from visprep.rules import Depth, Rule, coco_keypoints, coco_masks
from visprep.rules.coco_boxes import AREA_EXCEEDS_BOX, BOX_FORM, BOX_OUTSIDE_IMAGE, Boxes, Floats
from visprep.rules.coco_keypoints import KEYPOINTS_FORM
from visprep.rules.coco_masks import POLYGON_OFF_BOX
from visprep.rules.coco_notes import Notes
from visprep.rules.coco_panoptic import SEGMENTS_FORM, Panoptic, Segment, check_captions

H = Depth.HEADERS
U = msgspec.UNSET

ANNOTATION_BARE = Rule(
    "annotation-bare",
    Level.WARNING,
    H,
    "An annotation of an object lacks `bbox`, `area` or `iscrowd`.",
    "pycocotools loads it, and stops at the missing key once it evaluates; some readers skip the annotation. Files of "
    "third parties often have none of them. With --against, such ground truth is an error.",
    "add the key: iscrowd is 0, and area width times height where there is no mask",
    bad='`{"id": 1, "image_id": 139, "category_id": 1, "bbox": [1, 2, 3, 4]}`.',
    near="A caption: it needs none of the three.",
)
ANNOTATION_ID_REPEATED = Rule(
    "annotation-id-repeated",
    Level.ERROR,
    H,
    "Two annotations have the same id.",
    "pycocotools keeps the last of them wherever it looks by id: objects are lost, evaluations wrong.",
    "number the annotations again",
    bad="Two files were merged, and both count from 1.",
    near="An annotation and an image with the same id.",
)
ANNOTATION_ID_ZERO = Rule(
    "annotation-id-zero",
    Level.WARNING,
    H,
    "An annotation has the id 0, or one below.",
    "pycocotools takes 0 for `no match`: that object counts as missed, however well it was found.",
    "count from 1",
    bad="Ids that were counted from 0.",
    near="The id 1.",
)
ANNOTATION_IMAGE_UNKNOWN = Rule(
    "annotation-image-unknown",
    Level.ERROR,
    H,
    "The `image_id` of an annotation is that of no image in the file.",
    "The annotation is never seen, or pycocotools stops with a KeyError.",
    "add the image, or remove its annotations",
    bad="Images were removed, and their annotations left.",
    near="An image without annotations: official files have many.",
)
ANNOTATION_INCOMPLETE = Rule(
    "annotation-incomplete",
    Level.ERROR,
    H,
    "An annotation lacks `id`, `image_id` or `category_id`.",
    "pycocotools stops with a KeyError when it loads the file.",
    "add the key",
    bad='`{"id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}`: of which image?.',
    near="A panoptic annotation without `id`: it goes by its image.",
)
ANNOTATION_TYPE = Rule(
    "annotation-type",
    Level.ERROR,
    H,
    "A member of an annotation is of another type than COCO has there.",
    'Readers with types stop; others find nothing, since `139` and `"139"` differ.',
    "write ids and iscrowd as whole numbers, area as a number, caption as text",
    bad='`"image_id": "139"`.',
    near='`"area": 100`: a whole number is a number.',
)
CATEGORY_UNKNOWN = Rule(
    "category-unknown",
    Level.ERROR,
    H,
    "The `category_id` of an annotation, or of a panoptic segment, is that of no category in the file.",
    "The object has no class name; mappings from ids to classes stop with a KeyError.",
    "add the category, or correct the id",
    bad="Ids were counted from 0 in the annotations and from 1 in the categories.",
    near="A category that no annotation uses.",
)
CROWD_VALUE = Rule(
    "crowd-value",
    Level.ERROR,
    H,
    "The `iscrowd` of an annotation is neither 0 nor 1.",
    "pycocotools takes anything but 0 for a crowd, and leaves it out of the evaluation.",
    "write 0 or 1",
    bad='`"iscrowd": 2`.',
    near='`"iscrowd": 1`.',
)

RULES: tuple[Rule, ...] = (
    ANNOTATION_BARE,
    ANNOTATION_ID_REPEATED,
    ANNOTATION_ID_ZERO,
    ANNOTATION_IMAGE_UNKNOWN,
    ANNOTATION_INCOMPLETE,
    ANNOTATION_TYPE,
    CATEGORY_UNKNOWN,
    CROWD_VALUE,
)


class Annotation(msgspec.Struct, gc=False):
    """An entry of `annotations` of whatever kind, as far as rules look at it."""

    id: Int64 | msgspec.UnsetType = U
    image_id: Int64 | msgspec.UnsetType = U
    category_id: Int64 | msgspec.UnsetType = U
    iscrowd: Int64 | msgspec.UnsetType = U
    area: float | msgspec.UnsetType = U
    bbox: tuple[float, float, float, float] | msgspec.UnsetType = U
    segmentation: Raw | msgspec.UnsetType = U
    keypoints: list[float] | msgspec.UnsetType = U
    num_keypoints: Int64 | msgspec.UnsetType = U
    caption: str | msgspec.UnsetType = U
    file_name: str | msgspec.UnsetType = U
    segments_info: list[Segment] | msgspec.UnsetType = U


FIELDS: dict[str, Any] = {
    "id": Int64,
    "image_id": Int64,
    "category_id": Int64,
    "iscrowd": Int64,
    "area": float,
    "bbox": tuple[float, float, float, float],
    "segmentation": Raw,
    "keypoints": list[float],
    "num_keypoints": Int64,
    "caption": str,
    "file_name": str,
    "segments_info": list[Segment],
}
#: The rules that speak of members of another type, where it is not annotation-type.
FORMS = {"bbox": BOX_FORM, "keypoints": KEYPOINTS_FORM, "segments_info": SEGMENTS_FORM}
_NOTHING: frozenset[str] = frozenset()
_INTS = ("id", "image_id", "category_id", "iscrowd")
_NO_BOX = (np.nan, np.nan, np.nan, np.nan)


class Annotations:
    """All annotations of a file, as they are read: what is wrong with each is noted at once, the rest at the end.

    `images` are id, width, height and number of every image, sorted by id; None when the file has no list of them.
    Unless that is the `whole` of them, an image that is not among them is no fault of its annotations.
    """

    def __init__(self, notes: Notes, images: Ints | None, whole: bool = True) -> None:
        self._notes, self._whole = notes, whole
        self._images = None if images is None else [np.ascontiguousarray(column) for column in images.T[:3]]
        self._boxes, self._panoptic = Boxes(), Panoptic()
        self._ids: list[Ints] = []
        self._categories: list[Ints] = []
        self._joints: list[tuple[int, int, int]] = []
        self.count = 0
        self.kinds: dict[str, int] = dict.fromkeys(("captions", "instances", "keypoints", "panoptic"), 0)

    @np.errstate(over="ignore", invalid="ignore")  # absurd numbers are compared like all others
    def take(self, first: int, rows: list[Annotation], passed: Mapping[int, frozenset[str]]) -> int | None:
        """The next annotations; the quotation marks they have where no key is unknown, None if that is not simple."""
        columns = _whole_columns(rows)
        plain = columns is not None
        table = columns if columns is not None else _columns_with_gaps(rows)
        ids, image_ids, category_ids, crowds = (np.ascontiguousarray(column) for column in table.T)
        self._ids.append(ids)
        self._categories.append(category_ids)

        def say(rule: Rule, words: str, at: int, field: str) -> None:
            if self._notes.full(rule):
                self._notes.count(rule, 1)
                return
            known = {"image_id": _known(image_ids[at]), "annotation_id": _known(ids[at])}
            self._notes.add(rule, _about(words, known), "annotations", first + at, field, where=known)

        sizes = self._sizes(image_ids, say)
        boxes: Floats = np.array([_NO_BOX if row.bbox is U else row.bbox for row in rows], np.float64).reshape(-1, 4)
        areas: Floats = np.array([np.nan if row.area is U else row.area for row in rows], np.float64)
        if not plain or np.isnan(areas).any() or np.isnan(boxes).any():
            plain = self._gaps(first, rows, passed, say) and plain
        else:
            jointed = sum(True for row in rows if row.keypoints is not U)
            self.kinds["keypoints"] += jointed
            self.kinds["instances"] += len(rows) - jointed
        self._boxes.take(boxes, areas, crowds, sizes, say)
        for at in np.flatnonzero((crowds != 0) & (crowds != 1) & (crowds != MISSING)).tolist():
            say(CROWD_VALUE, f"iscrowd is {crowds[at]}", at, "iscrowd")
        for at in np.flatnonzero((ids < 1) & (ids != MISSING)).tolist():
            say(ANNOTATION_ID_ZERO, f"the id is {ids[at]}", at, "id")
        masks = [(at, bytes(row.segmentation)) for at, row in enumerate(rows) if row.segmentation is not U]
        coco_masks.check(masks, crowds, boxes, sizes, say)
        others = self._others(first, rows, image_ids, sizes, passed, say)
        self.count += len(rows)
        if others or not plain:
            return None
        return 2 * (6 * len(rows) + len(masks)) + sum(data.count(b'"') for _, data in masks if data[0] != 0x5B)

    def _sizes(self, image_ids: Ints, say: Any) -> tuple[Ints, Ints]:
        """Width and height of the image of each, 0 where nobody knows; those of no image are noted."""
        if self._images is None or not len(self._images[0]):
            unknown = image_ids != MISSING if self._images is not None else np.zeros(len(image_ids), bool)
            widths = heights = np.zeros(len(image_ids), np.int64)
        else:
            known = self._images[0]
            at = np.searchsorted(known, image_ids).clip(max=len(known) - 1)
            missed = known[at] != image_ids
            unknown = missed & (image_ids != MISSING)
            widths, heights = (np.where(missed, 0, column[at]) for column in self._images[1:])
        for one in np.flatnonzero(unknown).tolist() if self._whole else ():
            say(ANNOTATION_IMAGE_UNKNOWN, "there is no such image in the file", one, "image_id")
        return widths, heights

    def _gaps(self, first: int, rows: list[Annotation], passed: Mapping[int, frozenset[str]], say: Any) -> bool:
        """Note what annotations lack; whether they lack nothing."""
        whole = True
        for at, row in enumerate(rows):
            passing = passed.get(first + at, _NOTHING)
            kind = _kind(row, passing)
            self.kinds[kind] += 1
            needed = {"captions": ("id", "image_id"), "panoptic": ("image_id",)}.get(kind, _INTS[:3])
            missing = [name for name in needed if getattr(row, name) is U and name not in passing]
            if missing:
                say(ANNOTATION_INCOMPLETE, f"it lacks {' and '.join(missing)}", at, "")
            bare: list[str] = []
            if kind in ("instances", "keypoints"):
                bare = [n for n in ("bbox", "area", "iscrowd") if getattr(row, n) is U and n not in passing]
            if bare:
                say(ANNOTATION_BARE, f"it lacks {' and '.join(bare)}", at, "")
            whole = whole and not (missing or bare or passing) and kind in ("instances", "keypoints")
        return whole

    def _others(
        self,
        first: int,
        rows: list[Annotation],
        image_ids: Ints,
        sizes: tuple[Ints, Ints],
        passed: Mapping[int, frozenset[str]],
        say: Any,
    ) -> bool:
        """Look at keypoints, captions and segments; whether there were any, or other texts."""
        keypoints = [
            (at, row.keypoints, None if row.num_keypoints is U else row.num_keypoints)
            for at, row in enumerate(rows)
            if row.keypoints is not U
        ]
        captions = [(at, row.caption) for at, row in enumerate(rows) if row.caption is not U]
        segments = [(at, first + at, row) for at, row in enumerate(rows) if row.segments_info is not U]
        if keypoints:
            coco_keypoints.check(keypoints, sizes, say)
            self._joints += [
                (int(rows[at].category_id), len(numbers), first + at)  # type: ignore[arg-type]
                for at, numbers, _ in keypoints
                if rows[at].category_id is not U and len(numbers) % 3 == 0
            ]
        check_captions(captions, say)
        named = ["file_name" not in passed.get(number, _NOTHING) for _, number, _ in segments]
        self._panoptic.take(segments, [int(image_ids[at]) for at, _, _ in segments], named, say)
        return bool(keypoints or captions or segments) or any(row.file_name is not U for row in rows)

    def finish(self, joints: Mapping[int, int | None] | None) -> bool:
        """What shows when all is known: `joints` for each category its keypoints, None when the file lists none.

        Returns whether annotations name categories, so that a list of them is needed.
        """
        if self._boxes.finish(self._notes):
            for echo in (AREA_EXCEEDS_BOX, BOX_OUTSIDE_IMAGE, POLYGON_OFF_BOX):
                self._notes.drop(echo)
        ids = np.concatenate(self._ids) if self._ids else np.empty(0, np.int64)
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        for at in (np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] != MISSING)) + 1).tolist():
            number, other = int(order[at]), int(order[at - 1])
            words = f"the id {ordered[at]} is that of /annotations/{other} too"
            self._notes.add(
                ANNOTATION_ID_REPEATED, words, "annotations", number, "id", where={"annotation_id": int(ordered[at])}
            )
        where: dict[str, Any]
        categories = np.concatenate(self._categories) if self._categories else np.empty(0, np.int64)
        if joints is None:
            return bool((categories != MISSING).any() or self._panoptic.used)
        known = np.array(sorted(joints), np.int64)
        for number in np.flatnonzero(~np.isin(categories, known) & (categories != MISSING)).tolist():
            where = {"annotation_id": _known(ids[number]), "category_id": int(categories[number])}
            words = f"there is no category {categories[number]} in the file"
            self._notes.add(CATEGORY_UNKNOWN, words, "annotations", number, "category_id", where=where)
        for category, number in self._panoptic.used.items():
            if category not in joints:
                words = f"a segment is of category {category}, and there is none"
                where = {"category_id": category}
                self._notes.add(CATEGORY_UNKNOWN, words, "annotations", number, "segments_info", where=where)
        for category, numbers, number in self._joints:
            wanted = joints.get(category)
            if wanted is not None and numbers not in (0, 3 * wanted):
                words = f"{numbers} numbers for the {wanted} joints of category {category}"
                where = {"annotation_id": _known(ids[number])}
                self._notes.add(KEYPOINTS_FORM, words, "annotations", number, "keypoints", where=where)
        return False


def _whole_columns(rows: list[Annotation]) -> Ints | None:
    try:
        return np.array([(row.id, row.image_id, row.category_id, row.iscrowd) for row in rows], np.int64)
    except TypeError:  # something is missing
        return None


def _columns_with_gaps(rows: list[Annotation]) -> Ints:
    numbers = [[MISSING if (one := getattr(row, name)) is U else one for name in _INTS] for row in rows]
    return np.array(numbers, np.int64).reshape(-1, 4)


def _kind(row: Annotation, passed: frozenset[str]) -> str:
    if row.segments_info is not U or "segments_info" in passed:
        return "panoptic"
    if row.caption is not U or "caption" in passed:
        return "captions"
    return "keypoints" if row.keypoints is not U or "keypoints" in passed else "instances"


def _known(number: Any) -> int | None:
    return None if number == MISSING else int(number)


def _about(words: str, known: Mapping[str, int | None]) -> str:
    told = " of ".join(
        f"{name[:-3]} {known[name]}" for name in ("annotation_id", "image_id") if known[name] is not None
    )
    return f"{told}: {words}" if told else words
