"""The rules of captions, and of panoptic annotations, in COCO JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from visprep.findings import Level
from visprep.formats.coco_json import Int64
from visprep.rules import Depth, Rule
from visprep.rules.coco_boxes import Say
from visprep.rules.coco_images import unsafe

H = Depth.HEADERS
U = msgspec.UNSET

CAPTION_EMPTY = Rule(
    "caption-empty",
    Level.WARNING,
    H,
    "A caption has no text.",
    "Models learn to say nothing; tokenizers of the evaluation stop at it.",
    "write the caption, or remove the annotation",
    bad='`"caption": " "`.',
    near='`"caption": "A dog."`.',
)
PANOPTIC_FILE = Rule(
    "panoptic-file",
    Level.ERROR,
    H,
    "The `file_name` of a panoptic annotation is missing, no .png, or leads out of its directory.",
    "The segments stand in that picture: in JPEG their numbers are blurred.",
    "name the PNG below the panoptic directory",
    bad="000000000139.jpg.",
    near="000000000139.png.",
)
PANOPTIC_REPEATED = Rule(
    "panoptic-repeated",
    Level.ERROR,
    H,
    "An image has two panoptic annotations.",
    "There is one for each image: the evaluation keeps the last.",
    "merge the two, or remove one",
    bad="Two annotations with image_id 139.",
    near="Two instances of image 139: there may be many of those.",
)
SEGMENT_ID = Rule(
    "segment-id",
    Level.ERROR,
    H,
    "The id of a segment is missing, that of another one of its image, 0, or beyond 24 bits.",
    "A segment is found by the color R + 256 G + 65536 B of its pixels; 0 means that a pixel has none.",
    "number the segments of an image again, in the JSON and in the PNG",
    bad='`"segments_info": [{"id": 0, ...}]`.',
    near="Segments of two images with the same id.",
)
SEGMENTS_FORM = Rule(
    "segments-form",
    Level.ERROR,
    H,
    "The `segments_info` of a panoptic annotation is no list of segments with the types that COCO has there.",
    "Readers stop there.",
    "write [{id, category_id, area, bbox, iscrowd}, ...]",
    bad='`"segments_info": {"3226956": {...}}`.',
    near='`"segments_info": []`: an image in which nothing is labeled.',
)

RULES: tuple[Rule, ...] = (CAPTION_EMPTY, PANOPTIC_FILE, PANOPTIC_REPEATED, SEGMENT_ID, SEGMENTS_FORM)


class Segment(msgspec.Struct, gc=False):
    """An entry of `segments_info`, as far as rules look at it."""

    id: Int64 | msgspec.UnsetType = U
    category_id: Int64 | msgspec.UnsetType = U
    area: float | msgspec.UnsetType = U
    bbox: tuple[float, float, float, float] | msgspec.UnsetType = U
    iscrowd: int | msgspec.UnsetType = U


def check_captions(found: list[tuple[int, str]], say: Say) -> None:
    """Look at some captions: which annotation, and its text."""
    for at, text in found:
        if not text or text.isspace():
            say(CAPTION_EMPTY, f"the caption is {text[:20]!r}", at, "caption")


class Panoptic:
    """All panoptic annotations of a file: `used` are the categories of their segments, with an annotation of each."""

    def __init__(self) -> None:
        self._images: dict[int, None] = {}
        self.used: dict[int, int] = {}

    def take(self, found: list[tuple[int, int, Any]], image_ids: list[int], known: list[bool], say: Say) -> None:
        """The next ones: which annotation, its number in the file, and its row; `known` is whether a file is named."""
        for (at, number, row), image_id, named in zip(found, image_ids, known, strict=True):
            if image_id in self._images:
                say(PANOPTIC_REPEATED, f"image {image_id} has another panoptic annotation", at, "image_id")
            self._images[image_id] = None
            if named and (row.file_name is U or not row.file_name.lower().endswith(".png") or unsafe(row.file_name)):
                what = "missing" if row.file_name is U else repr(row.file_name[:200])
                say(PANOPTIC_FILE, f"file_name is {what}", at, "" if row.file_name is U else "file_name")
            self._segments(at, number, row.segments_info, say)

    def _segments(self, at: int, number: int, segments: list[Segment], say: Say) -> None:
        ids = [segment.id for segment in segments]
        wrong = [id_ for id_ in ids if not isinstance(id_, int) or not 0 < id_ < 2**24]
        if wrong:
            told = "missing" if wrong[0] is U else str(wrong[0])
            say(SEGMENT_ID, f"the id of a segment is {told}", at, "segments_info")
        elif len(set(ids)) < len(ids):
            (twice, _), *_ = Counter(ids).most_common(1)
            say(SEGMENT_ID, f"two segments have the id {twice}", at, "segments_info")
        for segment in segments:
            if isinstance(segment.category_id, int):
                self.used.setdefault(segment.category_id, number)
