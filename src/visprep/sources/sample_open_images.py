"""A set in Open Images' shape, drawn by code: ten images of `train`, six of `validation`, four of `test`.

Every image has its row, as upstream's tables have it, and labels of each kind: boxes (one of a group), masks,
relationships, labels of the whole image, points. The COCO JSON is made by what makes it of Open Images' own rows. The
same version of visprep draws the same pictures everywhere; their bytes depend on nothing but the installed Pillow.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from visprep import temporary

__all__ = ["COUNTS", "Split", "draw", "instances", "lists"]

#: Images of each split.
COUNTS: Mapping[str, int] = MappingProxyType({"train": 10, "validation": 6, "test": 4})
#: What the list of the classes with boxes, and the hierarchy, are called.
BOXABLE, TREE = "oidv7-class-descriptions-boxable.csv", "bbox_labels_600_hierarchy.json"
_SIZES = ((160, 128), (128, 160), (128, 128))
#: The MIDs are upstream's. A kite is a kind of toy; what is made of paper has no boxes.
_TOY, _KITE, _BALL, _BOOK, _PAPER = "/m/0138tl", "/m/02zt3", "/m/018xm", "/m/0bt_c3", "/m/0641k"
_BOXABLE = ((_TOY, "Toy"), (_BALL, "Ball"), (_KITE, "Kite"), (_BOOK, "Book"))
_HIERARCHY = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {"LabelName": _TOY, "Subcategory": [{"LabelName": _KITE}]},
        {"LabelName": _BALL},
        {"LabelName": _BOOK},
    ],
}
#: The columns of each kind in upstream's order; the boxes of train have the clicks as well.
_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "images": "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,"
        "OriginalMD5,Thumbnail300KURL,Rotation",
        "boxes": "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,"
        "IsDepiction,IsInside",
        "masks": "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks",
        "relationships": "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,"
        "RelationshipLabel",
        "image-labels": "ImageID,Source,LabelName,Confidence",
        "points": "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel",
    }
)
_CLICKS = ",XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y"
_CORNERS: Mapping[str, tuple[tuple[float, float], ...]] = MappingProxyType(
    {
        _BALL: ((1, 0), (0.75, 0.75), (0, 1), (-0.75, 0.75), (-1, 0), (-0.75, -0.75), (0, -1), (0.75, -0.75)),
        _KITE: ((0, -1), (0.75, 0), (0, 1), (-0.75, 0)),
        _BOOK: ((-1, -0.5), (1, -0.5), (1, 0.5), (-1, 0.5)),
    }
)
_COLORS = ((222, 75, 69), (66, 122, 208), (243, 196, 64), (78, 168, 96))

Size: TypeAlias = tuple[int, int]
Points: TypeAlias = list[tuple[float, float]]


@dataclass(slots=True)
class Split:
    """One split: the JPEGs by id, the masks by `MaskPath`, and the rows of each kind of table, below its header."""

    images: dict[str, bytes] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)

    def tables(self) -> dict[str, bytes]:
        """The table of each kind as a CSV file."""
        return {kind: _csv(rows) for kind, rows in self.rows.items()}


def draw(split: str, limit: int | None = None) -> Split:
    """A split of the sample, drawn now: its first `limit` images, and what is told of these."""
    drawn = Split(rows={kind: [columns.split(",")] for kind, columns in _COLUMNS.items()})
    if split == "train":
        drawn.rows["boxes"] = [(_COLUMNS["boxes"] + _CLICKS).split(",")]
    numbers = {_image_id(split, number): number for number in range(COUNTS[split])}
    for name in sorted(numbers)[:limit]:
        _draw(drawn, split, name, numbers[name])
    return drawn


def lists() -> dict[str, bytes]:
    """The lists of classes and the hierarchy, by the names that their files have upstream."""
    header = ["LabelName", "DisplayName"]
    return {
        BOXABLE: _csv([header, *_BOXABLE]),
        "oidv7-class-descriptions.csv": _csv([header, (_PAPER, "Paper"), *_BOXABLE]),
        TREE: json.dumps(_HIERARCHY).encode(),
    }


def instances(split: str, drawn: Split) -> bytes:
    """The boxes and masks of a split as COCO JSON; MissingExtra without pyarrow."""
    # Only here, since whoever lists the sources need not wait for what reads tables
    from visprep.formats.open_images_classes import class_names, hierarchy
    from visprep.formats.open_images_coco import Conversion, Sizes
    from visprep.formats.open_images_csv import check_reader, open_table
    from visprep.formats.open_images_facts import ImageFacts
    from visprep.formats.open_images_masks import Masks
    from visprep.formats.open_images_tables import KINDS

    check_reader()
    with temporary.directory("sample") as folder:
        tables = {}
        for kind, data in drawn.tables().items():
            (folder / kind).write_bytes(data)
            tables[kind] = open_table(folder / kind, KINDS[kind])
        known = lists()
        classes = class_names(known[BOXABLE], BOXABLE)
        Conversion(
            split,
            tables["boxes"],
            Sizes.of(drawn.sizes),
            classes,
            hierarchy(known[TREE], TREE),
            ImageFacts.read(tables["images"]),
            Masks.read(tables["masks"], classes.numbers, lambda names: ((one, drawn.masks[one]) for one in names)),
        ).write(folder / "instances")
        return (folder / "instances").read_bytes()


def _image_id(split: str, number: int) -> str:
    return f"{random.Random(f'{split}/{number}').getrandbits(64):016x}"


def _draw(drawn: Split, split: str, name: str, number: int) -> None:
    """One image, and its rows of each kind; the last of a split has nothing but its paper."""
    rng = random.Random(name)
    size = _SIZES[number % len(_SIZES)]
    shapes = [_shape(rng, size) for _ in range(1 + number % 3)] if number < COUNTS[split] - 1 else []
    data = drawn.images[name] = _jpeg(shapes, size, rng)
    drawn.sizes[name] = size
    rows = drawn.rows
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    author = f"https://www.flickr.com/people/{number}/"
    rows["images"].append(
        [
            name, split, f"https://farm7.staticflickr.com/0/{name}_o.jpg", f"{author}{name}",
            "https://creativecommons.org/licenses/by/2.0/", author, "visprep, by code",
            f'{len(shapes)} "shapes", on paper', str(len(data)), md5,
            "" if number % 4 == 1 else f"https://c1.staticflickr.com/0/{name}_z.jpg", "90.0" if number == 3 else "0.0",
        ]
    )  # fmt: skip
    rows["image-labels"].append([name, "verification", _PAPER, "1"])
    for place, (mid, points, _) in enumerate(shapes):
        _label(drawn, (split, name, size), (mid, points), _texts(points, size), place)
    if len(shapes) > 1:
        first, second = ((mid, _texts(points, size)) for mid, points, _ in shapes[:2])
        rows["relationships"].append([name, first[0], second[0], *first[1], *second[1], "at"])
    for mid in [mid for mid in _CORNERS if mid not in [shape[0] for shape in shapes]][:1]:
        rows["image-labels"].append([name, "verification", mid, "0"])


def _label(drawn: Split, image: tuple[str, str, Size], shape: tuple[str, Points], texts: list[str], place: int) -> None:
    """The rows of one shape; the third of an image counts as a group, which has no mask."""
    (split, name, size), (mid, points), rows = image, shape, drawn.rows
    flags = ["0" if place else "-1", "0", "1" if place == 2 else "0", "1", "0"]
    clicks = [texts[0], texts[1], texts[0], texts[1], texts[2], texts[2], texts[3], texts[3]]
    rows["boxes"].append([name, "xclick", mid, "1", *texts, *flags, *(clicks if split == "train" else [])])
    if place < 2:
        box = f"{random.Random(f'{name}/{place}').getrandbits(32):08x}"
        path = f"{name}_{mid.replace('/', '')}_{box}.png"
        drawn.masks[path] = _mask(points, size)
        rows["masks"].append([path, name, mid, box, *texts, "0.95000", "0.50000 0.50000 1"])
    rows["image-labels"].append([name, "verification", mid, "1"])
    middle = [f"{sum(one) / len(points) / side:.6f}" for one, side in zip(zip(*points, strict=True), size, strict=True)]
    rows["points"].append([name, *middle, mid, "yes", "ih", "3", "0", "0", ""])


def _shape(rng: random.Random, size: Size) -> tuple[str, Points, tuple[int, int, int]]:
    """The class of a shape, its corners in pixels, which are even numbers, and its color."""
    mid, radius = rng.choice(list(_CORNERS)), rng.randrange(16, 33, 8)
    x, y = (rng.randrange(radius, side - radius, 2) for side in size)
    return mid, [(x + radius * dx, y + radius * dy) for dx, dy in _CORNERS[mid]], rng.choice(_COLORS)


def _texts(points: Points, size: Size) -> list[str]:
    """The box of a shape as upstream tells it: XMin, XMax, YMin, YMax in parts of the image."""
    across, down = ([point[axis] / size[axis] for point in points] for axis in (0, 1))
    return [f"{one:.6f}" for one in (min(across), max(across), min(down), max(down))]


def _jpeg(shapes: Iterable[tuple[str, Points, tuple[int, int, int]]], size: Size, rng: random.Random) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", size, (250, 248, 243 - rng.randrange(16)))
    pen = ImageDraw.Draw(picture)
    for _, points, color in shapes:
        pen.polygon(points, fill=color)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=90)
    return written.getvalue()


def _mask(points: Points, size: Size) -> bytes:
    """The pixels of a shape, in half the size of its image, as upstream's masks are often smaller."""
    from PIL import Image, ImageDraw

    picture = Image.new("1", (size[0] // 2, size[1] // 2))
    x, y = (sum(one) / len(points) for one in zip(*points, strict=True))
    # Pillow draws the last row and column of a polygon too
    ImageDraw.Draw(picture).polygon([(px / 2 - (px > x), py / 2 - (py > y)) for px, py in points], fill=1)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()
