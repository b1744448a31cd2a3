"""A set in COCO's shape, drawn by code: photographs' place is taken by shapes on paper.

Ten images of `train2017` and six of `val2017`, JPEG, with boxes, masks (polygons, and one crowd), captions, and the
licenses of COCO. The same version of visprep draws the same pictures everywhere; their bytes depend on nothing but the
installed Pillow.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

#: Images of each split.
COUNTS: Mapping[str, int] = MappingProxyType({"train2017": 10, "val2017": 6})
_WIDTH, _HEIGHT = 160, 120
#: The ids are those that COCO gave to the nearest that it has.
_CATEGORIES = (
    {"id": 37, "name": "sports ball", "supercategory": "sports"},
    {"id": 38, "name": "kite", "supercategory": "sports"},
    {"id": 84, "name": "book", "supercategory": "indoor"},
)
#: Nobody is in these pictures, but the keypoints that a person would have are told.
_PERSON = {
    "id": 1,
    "name": "person",
    "supercategory": "person",
    "keypoints": ["nose", "left_eye", "right_eye"],
    "skeleton": [[1, 2], [1, 3]],
}
_LICENSES = (
    {"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"},
    {"id": 5, "name": "Attribution-ShareAlike License", "url": "http://creativecommons.org/licenses/by-sa/2.0/"},
)
_COLORS = ((222, 75, 69), (66, 122, 208), (243, 196, 64), (78, 168, 96))
_INFO = {
    "description": "The embedded sample of visprep, in the shape of COCO 2017",
    "url": "drawn by visprep itself",
    "version": "1.0",
    "year": 2017,
    "contributor": "visprep",
    "date_created": "2017/09/01",
}

Points = list[tuple[float, float]]


@dataclass(slots=True)
class Split:
    """The JPEGs of one split by name, and the annotation files that belong to it by label."""

    images: dict[str, bytes] = field(default_factory=dict)
    labels: dict[str, bytes] = field(default_factory=dict)


def draw(limit: int | None = None) -> dict[str, Split]:
    """Every split of the sample, drawn now; of each the first `limit` images, and what is told of these."""
    return {split: _draw(split, count, limit or count) for split, count in COUNTS.items()}


def _draw(split: str, count: int, limit: int) -> Split:
    drawn = Split()
    images: list[dict[str, Any]] = []
    instances: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for number in range(min(limit, count)):
        rng = random.Random(f"{split}/{number}")
        image_id = 1000 * (1 + list(COUNTS).index(split)) + 7 * number
        name = f"{image_id:012}.jpg"
        shapes = [] if number == count - 1 else [_shape(rng) for _ in range(1 + number % 3)]
        drawn.images[name] = _jpeg(shapes, rng)
        images.append(
            {
                "license": _LICENSES[number % 2]["id"],
                "file_name": name,
                "coco_url": f"http://images.cocodataset.org/{split}/{name}",
                "height": _HEIGHT,
                "width": _WIDTH,
                "date_captured": "2013-11-14 17:02:52",
                "flickr_url": f"http://farm7.staticflickr.com/0/{image_id}_z.jpg",
                "id": image_id,
            }
        )
        for place, (category, points, _) in enumerate(shapes):
            instances.append(_instance(100 * image_id + place, image_id, category, points))
        captions.append({"image_id": image_id, "id": 100 * image_id, "caption": f"{len(shapes)} shapes on paper"})
    instances.append(_crowd(images[0]["id"]))
    head = {"info": _INFO, "licenses": _LICENSES, "images": images}
    drawn.labels["instances"] = _json(head | {"annotations": instances, "categories": _CATEGORIES})
    drawn.labels["captions"] = _json(head | {"annotations": captions})
    drawn.labels["person_keypoints"] = _json(head | {"annotations": [], "categories": [_PERSON]})
    return drawn


def _shape(rng: random.Random) -> tuple[int, Points, tuple[int, int, int]]:
    """The place of a shape in the list of categories, its corners, and its color."""
    category, size = rng.randrange(len(_CATEGORIES)), rng.randrange(14, 30)
    x, y = rng.randrange(size, _WIDTH - size), rng.randrange(size, _HEIGHT - size)
    corners: tuple[Points, ...] = (
        [(1, 0), (0.7, 0.7), (0, 1), (-0.7, 0.7), (-1, 0), (-0.7, -0.7), (0, -1), (0.7, -0.7)],
        [(0, -1), (0.8, 0), (0, 1), (-0.8, 0)],
        [(-1, -0.6), (1, -0.6), (1, 0.6), (-1, 0.6)],
    )
    return category, [(x + size * dx, y + size * dy) for dx, dy in corners[category]], rng.choice(_COLORS)


def _instance(number: int, image_id: int, category: int, points: Points) -> dict[str, Any]:
    xs, ys = [round(x, 2) for x, _ in points], [round(y, 2) for _, y in points]
    shifted = zip(xs, ys, xs[1:] + xs[:1], ys[1:] + ys[:1], strict=True)
    area = abs(sum(x * y2 - x2 * y for x, y, x2, y2 in shifted)) / 2
    box = [min(xs), min(ys), round(max(xs) - min(xs), 2), round(max(ys) - min(ys), 2)]
    return {
        "segmentation": [[number for point in zip(xs, ys, strict=True) for number in point]],
        "area": round(area, 4),
        "iscrowd": 0,
        "image_id": image_id,
        "bbox": box,
        "category_id": _CATEGORIES[category]["id"],
        "id": number,
    }


def _crowd(image_id: int) -> dict[str, Any]:
    """A crowd: the first two columns of an image, as uncompressed RLE."""
    return {
        "segmentation": {"counts": [0, 2 * _HEIGHT, (_WIDTH - 2) * _HEIGHT], "size": [_HEIGHT, _WIDTH]},
        "area": 2 * _HEIGHT,
        "iscrowd": 1,
        "image_id": image_id,
        "bbox": [0, 0, 2, _HEIGHT],
        "category_id": 84,
        "id": 908400000000 + image_id,
    }


def _jpeg(shapes: list[tuple[int, Points, tuple[int, int, int]]], rng: random.Random) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (_WIDTH, _HEIGHT), (250, 248, 243 - rng.randrange(16)))
    pen = ImageDraw.Draw(picture)
    for _, points, color in shapes:
        pen.polygon(points, fill=color)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=90)
    return written.getvalue()


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(", ", ": ")).encode()
