"""Open Images in small: the tables, masks, images and archives of its two buckets, laid out as upstream has them.

`lay_out(root)` writes three trees below a directory: `openimages/` (the tables and masks, by HTTPS only),
`open-images-dataset/` (the images, and archives of them) and `flickr/` (the originals). A `Mirror` of the directory
serves all three; `put_images` puts the second into a bucket. Every version's way to write a table is there, and what
upstream has of oddities: see `lay_out`.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TABLES, IMAGES, ORIGINALS = "openimages", "open-images-dataset", "flickr"
#: What Flickr shows in place of an image that is gone, with status 200.
PLACEHOLDER = "photo_unavailable.jpg"
COUNTS: Mapping[str, int] = {"train": 20, "validation": 9, "test": 5}
_CLASSES = (
    ("/m/0jbk", "Animal"),
    ("/m/01yrx", "Cat"),
    ("/m/0bt9lr", "Dog"),
    ("/m/01g317", "Person"),
    ("/m/07yv9", "Vehicle"),
    ("/m/0k4j", "Car"),
    ("/m/083wq", "Wheel"),
)
_MORE_CLASSES = (("/m/0100mhj", "Bowl (bowls, dishes)"), ("/m/011k07", "Tortoise"))
_HIERARCHY = {
    "LabelName": "/m/0bl9f",
    "Subcategory": [
        {"LabelName": "/m/0jbk", "Subcategory": [{"LabelName": "/m/01yrx"}, {"LabelName": "/m/0bt9lr"}]},
        {"LabelName": "/m/01g317"},
        {
            "LabelName": "/m/07yv9",
            "Subcategory": [{"LabelName": "/m/0k4j", "Part": [{"LabelName": "/m/083wq"}]}],
            "Part": [{"LabelName": "/m/083wq"}],
        },
    ],
}
_IMAGE_COLUMNS = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation"
)
_BOX_COLUMNS = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
)
_CLICK_COLUMNS = ",XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y"
_MASK_COLUMNS = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
_PAIR_COLUMNS = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
_POINT_COLUMNS = "ImageId,X,Y,Label,EstimatedYesNo,Source,YesVotes,NoVotes,UnsureVotes,TextLabel"
_TITLES = ("Cat, asleep", 'A "quoted" title', "two\nlines", "", "Straße 5", "plain")


@dataclass(slots=True)
class Image:
    """One image: its JPEG, its original, and its rows, as texts, of each kind of label."""

    id: str
    split: str
    data: bytes
    original: bytes
    facts: list[str]
    boxes: list[list[str]] = field(default_factory=list)
    clicks: list[list[str]] = field(default_factory=list)
    masks: dict[str, bytes] = field(default_factory=dict)
    mask_rows: list[list[str]] = field(default_factory=list)
    rows: dict[str, list[list[str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """What lies below `root`; `dead` are paths of originals that Flickr redirects to `placeholder`, for a `Mirror`."""

    root: Path
    images: tuple[Image, ...]
    dead: tuple[str, ...]
    placeholder: str

    def of(self, split: str) -> list[Image]:
        """The images of a split, in the order of their ids."""
        return [image for image in self.images if image.split == split]


def lay_out(
    root: Path, originals: str = "https://farm1.staticflickr.com", counts: Mapping[str, int] = COUNTS
) -> LaidOut:
    """Write it all below `root`; the originals are said to lie at the address `originals`.

    In every split: the first image has no boxes, the second is gray, one of five was turned by its author, one of five
    has a dead original (every other of these redirects to a placeholder, the rest are not there) and one of five
    another original than its MD5 says. Flags are -1 where nobody looked. Masks are smaller than their images. Titles
    have commas, quotes and line breaks.
    """
    images = [_image(split, at, originals) for split, count in counts.items() for at in range(count)]
    images.sort(key=lambda image: (image.split, image.id))
    upstream = LaidOut(root, tuple(images), tuple(f"/{ORIGINALS}/{name}" for name in _dead(images)), PLACEHOLDER)
    for path, data in (*_tables(upstream, counts), *_masks(upstream, counts), *_pictures(upstream, counts)):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return upstream


def put_images(upstream: LaidOut, client: Any, bucket: str = IMAGES) -> None:
    """Make a bucket by a boto3 client, and put the images and their archives into it under upstream's keys."""
    client.create_bucket(Bucket=bucket)
    home = upstream.root / IMAGES
    for path in sorted(home.rglob("*")):
        if path.is_file():
            client.put_object(
                Bucket=bucket, Key=path.relative_to(home).as_posix(), Body=path.read_bytes(), ACL="public-read"
            )


def _image(split: str, at: int, originals: str) -> Image:
    dice = random.Random(f"{split}/{at}")
    name = f"{at % 16:x}{dice.getrandbits(60):015x}"
    size = dice.choice(((96, 64), (64, 96), (80, 80)))
    data = _jpeg(dice, size, "L" if at == 1 else "RGB")
    original = _jpeg(dice, (size[0] * 2, size[1] * 2), "RGB")
    md5 = base64.b64encode(hashlib.md5(original if at % 5 != 4 else data, usedforsecurity=False).digest()).decode()
    facts = [
        name, split, f"{originals}/{name}_o.jpg", f"https://www.flickr.com/photos/{at}/{at}",
        "https://creativecommons.org/licenses/by/2.0/", f"https://www.flickr.com/people/{at}/",
        ("Jo, the 2nd", 'Al "X" Bo')[at % 2], _TITLES[at % len(_TITLES)], str(len(original)), md5,
        "" if at % 4 == 1 else f"https://c1.staticflickr.com/{name}_z.jpg", ("0.0", "", "90.0", "0.0", "nan")[at % 5],
    ]  # fmt: skip
    image = Image(name, split, data, original, facts)
    for number in range(at % 4):
        _label(image, dice, number, size)
    return image


def _label(image: Image, dice: random.Random, number: int, size: tuple[int, int]) -> None:
    """One box with what goes with it: nine decimals but in train, as upstream has them."""
    mid = dice.choice(_CLASSES)[0]
    decimals = 6 if image.split == "train" else 9
    left, top = dice.uniform(0, 0.5), dice.uniform(0, 0.5)
    corners = [left, left + dice.uniform(0.1, 0.5), top, top + dice.uniform(0.1, 0.5)]
    texts = [f"{one:.{decimals}f}" for one in corners]
    group = number == 2
    flags = [dice.choice(("0", "1", "-1")), dice.choice(("0", "1", "-1")), "1" if group else "0", "0", "-1"]
    source = "activemil" if number == 1 else "xclick"
    image.boxes.append([image.id, source, mid, "1", *texts, *flags])
    clicks = (
        ["-1"] * 8 if number == 1 else [texts[0], texts[1], texts[0], texts[1], texts[2], texts[2], texts[3], texts[3]]
    )
    image.clicks.append([*image.boxes[-1], *clicks])
    rounded = [f"{one:.6f}" for one in corners]
    if not group:
        box = f"{dice.getrandbits(32):08x}"
        path = f"{image.id}_{mid.replace('/', '')}_{box}.png"
        image.masks[path] = _mask((size[0] // 2, size[1] // 2), corners)
        clicked = "0.15808 0.26206 1;0.90333 0.41076 0"
        image.mask_rows.append([path, image.id, mid, box, *rounded, "0.62821", clicked])
    rows = image.rows
    rows.setdefault("relationships", []).append([image.id, mid, "/m/01g317", *rounded, *rounded, "at"])
    for confidence in ("1", "0"):
        label = mid if confidence == "1" else _MORE_CLASSES[0][0]
        rows.setdefault("image-labels", []).append([image.id, "verification", label, confidence])
    rows.setdefault("machine", []).append([image.id, "machine", mid, f"{dice.random():.1f}"])
    point = [image.id, rounded[0], rounded[2], mid, dice.choice(("yes", "no", "unsure")), "ih", "3", "0", "1", ""]
    rows.setdefault("points", []).append(point)


def _dead(images: Iterable[Image]) -> list[str]:
    """The originals that are gone: of every other of them Flickr shows a placeholder."""
    gone = [f"{image.id}_o.jpg" for image in images if image.facts[-1] == "90.0"]
    return gone[::2]


def _tables(upstream: LaidOut, counts: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    def table(path: str, header: str, rows: Iterable[Sequence[str]]) -> tuple[str, bytes]:
        out = io.StringIO(newline="")
        csv.writer(out, lineterminator="\n").writerows([*([header.split(",")] if header else []), *rows])
        return f"{TABLES}/{path}", out.getvalue().encode()

    def of(split: str, kind: str) -> list[list[str]]:
        return [row for image in upstream.of(split) for row in image.rows.get(kind, ())]

    everything = [image.facts for image in upstream.images]
    for split in counts:
        images = upstream.of(split)
        boxable = "-boxable" if split == "train" else ""
        yield table(
            f"2018_04/{split}/{split}-images{boxable}-with-rotation.csv", _IMAGE_COLUMNS, [one.facts for one in images]
        )
        boxes = [row for image in images for row in image.boxes]
        clicks = [row for image in images for row in image.clicks]
        yield table(f"2018_04/{split}/{split}-annotations-bbox.csv", _BOX_COLUMNS, boxes)
        if split == "train":
            yield table("v6/oidv6-train-annotations-bbox.csv", _BOX_COLUMNS + _CLICK_COLUMNS, clicks)
            yield table(
                "v6/oidv6-train-images-with-labels-with-rotation.csv", _IMAGE_COLUMNS, [one.facts for one in images]
            )
        else:
            yield table(f"v5/{split}-annotations-bbox.csv", _BOX_COLUMNS, boxes)
        masks = [row for image in images for row in image.mask_rows]
        yield table(f"v5/{split}-annotations-object-segmentation.csv", _MASK_COLUMNS, masks)
        yield table(f"v6/oidv6-{split}-annotations-vrd.csv", _PAIR_COLUMNS, of(split, "relationships"))
        human = "v6/oidv6-train" if split == "train" else f"v5/{split}"
        columns = "ImageID,Source,LabelName,Confidence"
        yield table(f"{human}-annotations-human-imagelabels.csv", columns, of(split, "image-labels"))
        yield table(f"2018_04/{split}/{split}-annotations-machine-imagelabels.csv", columns, of(split, "machine"))
        short = "val" if split == "validation" else split  # in this version alone
        yield table(f"v7/oidv7-{short}-annotations-point-labels.csv", _POINT_COLUMNS, of(split, "points"))
    yield table("2018_04/image_ids_and_rotation.csv", _IMAGE_COLUMNS, everything)
    names = "LabelName,DisplayName"
    yield table("v7/oidv7-class-descriptions-boxable.csv", names, _CLASSES)
    yield table("v7/oidv7-class-descriptions.csv", names, (*_MORE_CLASSES, *_CLASSES))
    yield table("v6/oidv6-class-descriptions.csv", names, (*_MORE_CLASSES, *_CLASSES))
    yield table("v5/class-descriptions-boxable.csv", "", _CLASSES)
    yield table("v6/oidv6-attributes-description.csv", "", [("/m/02gy9n", "Transparent")])
    yield f"{TABLES}/v5/classes-segmentation.txt", "".join(f"{mid}\n" for mid, _ in _CLASSES).encode()
    yield f"{TABLES}/2018_04/bbox_labels_600_hierarchy.json", json.dumps(_HIERARCHY).encode()


def _masks(upstream: LaidOut, counts: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Sixteen archives of each split, by the first digit of the images' ids; some are empty here."""
    for split in counts:
        for digit in "0123456789abcdef":
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as archive:
                for image in upstream.of(split):
                    for path, data in image.masks.items() if image.id.startswith(digit) else ():
                        archive.writestr(zipfile.ZipInfo(path, (2019, 5, 8, 0, 0, 0)), data)
            yield f"{TABLES}/v5/{split}-masks/{split}-masks-{digit}.zip", out.getvalue()


def _pictures(upstream: LaidOut, counts: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """The images, the archives of them (train in sixteen, by the first digit), and the originals that are left."""
    for image in upstream.images:
        yield f"{IMAGES}/{image.split}/{image.id}.jpg", image.data
        if image.facts[-1] != "90.0":
            yield f"{ORIGINALS}/{image.id}_o.jpg", image.original
    yield f"{ORIGINALS}/{PLACEHOLDER}", _jpeg(random.Random("gone"), (50, 37), "RGB")
    for split in counts:
        for part in [f"train_{digit}" for digit in "0123456789abcdef"] if split == "train" else [split]:
            begin = part.removeprefix("train_") if split == "train" else ""
            out = io.BytesIO()
            # No name and no time in the head of the archive, so that it is the same bytes every day
            with gzip.GzipFile("", "wb", 6, out, 0) as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
                for image in upstream.of(split):
                    if image.id.startswith(begin):
                        member = tarfile.TarInfo(f"{part}/{image.id}.jpg")
                        member.size = len(image.data)
                        archive.addfile(member, io.BytesIO(image.data))
            yield f"{IMAGES}/tar/{part}.tar.gz", out.getvalue()


def _jpeg(dice: random.Random, size: tuple[int, int], mode: str) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    picture = Pillow.new(mode, size, dice.randrange(256) if mode == "L" else tuple(dice.choices(range(256), k=3)))
    drawing = ImageDraw.Draw(picture)
    for _ in range(4):
        left, top = dice.randrange(size[0]), dice.randrange(size[1])
        color = dice.randrange(256) if mode == "L" else tuple(dice.choices(range(256), k=3))
        drawing.rectangle((left, top, left + size[0] // 3, top + size[1] // 3), fill=color)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=85)
    return out.getvalue()


def _mask(size: tuple[int, int], corners: Sequence[float]) -> bytes:
    from PIL import Image as Pillow
    from PIL import ImageDraw

    left, right, top, bottom = corners
    picture = Pillow.new("1", size)
    box = (left * size[0], top * size[1], right * size[0] - 1, bottom * size[1] - 1)
    ImageDraw.Draw(picture).ellipse([round(one) for one in box], fill=1)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
