"""The rules of `images` in COCO JSON: that each has an id, a name and a size, and that no two are confused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec
import numpy as np

from visprep.findings import Level
from visprep.formats.coco_json import LONGEST_NAME, Int64
from visprep.formats.coco_scan import Ints
from visprep.rules import Depth, Rule
from visprep.rules.coco_notes import Notes

H = Depth.HEADERS

IMAGE_DATE = Rule(
    "image-date",
    Level.WARNING,
    H,
    "The `date_captured` of an image is no date of the form YYYY-MM-DD HH:MM:SS, nor one of ISO 8601.",
    "Tools that sort or split by date skip the image, or stop.",
    "write the date so, or leave the key out",
    bad='`"date_captured": "14/11/2013"`.',
    near='`"date_captured": "2013-11-14 17:02:52"`, or an empty text.',
)
IMAGE_ID_OF_NAME = Rule(
    "image-id-of-name",
    Level.WARNING,
    H,
    "The file name of an image is a number in COCO's manner, and another one than its id.",
    "Ids were given anew: results and annotations by the old ids belong to other images now.",
    "take the ids from the original; leave it where the numbers never were ids",
    bad="000000000139.jpg has the id 140.",
    near="COCO_val2014_000000000139.jpg has the id 139.",
)
IMAGE_ID_REPEATED = Rule(
    "image-id-repeated",
    Level.ERROR,
    H,
    "Two images have the same id.",
    "pycocotools keeps the last: the annotations of both are drawn on one image.",
    "give one of them another id, in its annotations too; or remove the copy",
    bad="Files of two tools were merged, and both count from 1.",
    near="An annotation has the same id as an image: those are counted apart.",
)
IMAGE_INCOMPLETE = Rule(
    "image-incomplete",
    Level.ERROR,
    H,
    "An image lacks `id`, `file_name`, `width` or `height`.",
    "It cannot be found, or boxes cannot be held against its size; masks cannot be made without one.",
    "add what is missing: the size stands in the header of the image file",
    bad='`{"id": 139, "file_name": "000000000139.jpg"}`.',
    near="No `license`, no `coco_url`, no `date_captured`: nobody needs them to train.",
)
IMAGE_LICENSE_UNKNOWN = Rule(
    "image-license-unknown",
    Level.WARNING,
    H,
    "The license of an image is none of those that the file lists.",
    "Nobody can tell on what terms the image may be used.",
    "add the license to `licenses`, or correct the number",
    bad='`"license": 9`, where `licenses` end with 8.',
    near="An image without `license`.",
)
IMAGE_NAME_CASE = Rule(
    "image-name-case",
    Level.WARNING,
    H,
    "The file names of two images differ only by case.",
    "On disks that fold case, as those of macOS and Windows do, one overwrites the other.",
    "rename one of them",
    bad="a.jpg and A.jpg.",
    near="train/a.jpg and val/a.jpg.",
)
IMAGE_NAME_REPEATED = Rule(
    "image-name-repeated",
    Level.ERROR,
    H,
    "Two images have the same file name.",
    "One picture is trained on under two ids; a subset of one of them loses the annotations of the other.",
    "merge the two, with their annotations; or correct the name",
    bad="Images 139 and 140 are both 000000000139.jpg.",
    near="train/a.jpg and val/a.jpg.",
)
IMAGE_NAME_UNSAFE = Rule(
    "image-name-unsafe",
    Level.ERROR,
    H,
    "The file name of an image is empty, absolute, leads out of the directory of images, is too long, or no full URL.",
    "Who downloads or unpacks by such names writes where nobody meant it; visprep refuses to.",
    "write the path below the directory of images, with /; or its address, s3://bucket/key or https://host/path",
    bad="../../etc/cron.d/a.jpg, or C:\\\\images\\\\a.jpg.",
    near="val2017/a..b.jpg, or s3://bucket/val2017/a.jpg.",
)
IMAGE_SIZE_FORM = Rule(
    "image-size-form",
    Level.ERROR,
    H,
    "The width or height of an image is not above 0, or beyond what any image file can have.",
    "Boxes are divided by it; masks of that size cannot be made.",
    "take the size from the header of the image file",
    bad='`"width": 0`.',
    near='`"width": 1`.',
)
IMAGE_TYPE = Rule(
    "image-type",
    Level.ERROR,
    H,
    "A member of an image is of another type than COCO has there.",
    "Readers with types stop; others fail later, where the value is used.",
    "write ids, license, width and height as whole numbers, all else as text",
    bad='`"id": "139"`.',
    near='`"license": null`.',
)
IMAGE_URL_OTHER = Rule(
    "image-url-other",
    Level.WARNING,
    H,
    "The `coco_url` of an image ends in the name of another file than `file_name`.",
    "What is downloaded is another picture than the one that was annotated.",
    "correct one of the two",
    bad=".../val2017/000000000140.jpg for 000000000139.jpg.",
    near="http://mscoco.org/images/139, as early releases of 2014 have it.",
)

RULES: tuple[Rule, ...] = (
    IMAGE_DATE,
    IMAGE_ID_OF_NAME,
    IMAGE_ID_REPEATED,
    IMAGE_INCOMPLETE,
    IMAGE_LICENSE_UNKNOWN,
    IMAGE_NAME_CASE,
    IMAGE_NAME_REPEATED,
    IMAGE_NAME_UNSAFE,
    IMAGE_SIZE_FORM,
    IMAGE_TYPE,
    IMAGE_URL_OTHER,
)

#: Pixels that a side may have: PNG and TIFF hold no more.
_LONGEST = 2**31 - 1
_DATE = re.compile(r"(\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?")
_OFFICIAL = re.compile(r"(?:COCO_(?:train|val|test)201[0-9]_)?([0-9]{12})\.[A-Za-z]+")
_DRIVE = re.compile(r"[A-Za-z]:")
_ADDRESS = re.compile(r"(?:s3|https?)://[^/\\\s]+/[^\\\0]+")


class Image(msgspec.Struct, gc=False):
    """An entry of `images`, as far as rules look at it."""

    id: Int64 | msgspec.UnsetType | None = msgspec.UNSET
    file_name: str | msgspec.UnsetType = msgspec.UNSET
    width: Int64 | msgspec.UnsetType = msgspec.UNSET
    height: Int64 | msgspec.UnsetType = msgspec.UNSET
    license: Int64 | msgspec.UnsetType | None = msgspec.UNSET
    coco_url: str | msgspec.UnsetType | None = msgspec.UNSET
    flickr_url: str | msgspec.UnsetType | None = msgspec.UNSET
    date_captured: str | msgspec.UnsetType | None = msgspec.UNSET


FIELDS: dict[str, Any] = {
    "id": Int64,
    "file_name": str,
    "width": Int64,
    "height": Int64,
    "license": Int64 | None,
    "coco_url": str | None,
    "flickr_url": str | None,
    "date_captured": str | None,
}
_NEEDED = ("id", "file_name", "width", "height")
_TEXTS = ("file_name", "coco_url", "flickr_url", "date_captured")


def quotes(rows: list[Image]) -> int:
    """The quotation marks that these rows have where no key is unknown, and none stands in a text."""
    marks = 0
    for name in FIELDS:
        there = [value for row in rows if (value := getattr(row, name)) is not msgspec.UNSET]
        texts = len(there) - there.count(None) if name in _TEXTS else 0
        marks += 2 * (len(there) + texts)
    return marks


class Images:
    """All images of a file, as they are read: what is wrong with each is noted at once, with all of them at the end."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._names: dict[str, int] = {}
        self._columns: list[Ints] = []
        self._numbers: list[Ints] = []
        self._licenses: dict[int, list[int]] = {}
        self.count = 0
        #: Whether a file name is longer than an index takes
        self.too_long = False
        #: Whether the ids of all are known: where one cannot be read, no image can be said to be missing
        self.whole = True

    def take(self, first: int, rows: list[Image], passed: Mapping[int, frozenset[str]]) -> None:
        """The next images."""
        sizes = []
        for number, row in enumerate(rows, first):
            if row.id.__class__ is int and row.width.__class__ is int and row.height.__class__ is int:
                sizes.append((row.id, row.width, row.height, number))
                if not (0 < row.width <= _LONGEST and 0 < row.height <= _LONGEST):
                    self._size(number, row)
            else:
                self._incomplete(number, row, passed.get(number, frozenset()))
                if row.id.__class__ is int:
                    sizes.append((row.id, 0, 0, number))
                else:
                    self.whole = False
            name = row.file_name
            if name.__class__ is str:
                self._named(number, row, name)
            elif row.id.__class__ is int and row.width.__class__ is int and row.height.__class__ is int:
                self._incomplete(number, row, passed.get(number, frozenset()))
            if row.license.__class__ is int:
                self._licenses.setdefault(row.license, []).append(number)
            if row.date_captured.__class__ is str and not _DATE.fullmatch(row.date_captured):
                self._add(IMAGE_DATE, f"date_captured is {row.date_captured!r}", number, "date_captured", row)
        self.count += len(rows)
        self._columns.append(np.array(sizes, np.int64).reshape(-1, 4))

    def _add(self, rule: Rule, message: str, number: int, field: str, row: Image) -> None:
        where = {"image_id": row.id if isinstance(row.id, int) else None}
        self._notes.add(rule, message, "images", number, field, where=where)

    def _size(self, number: int, row: Image) -> None:
        wrong = "height" if isinstance(row.width, int) and 0 < row.width <= _LONGEST else "width"
        self._add(IMAGE_SIZE_FORM, f"{row.file_name!r} is {row.width} x {row.height} pixels", number, wrong, row)

    def _incomplete(self, number: int, row: Image, passed: frozenset[str]) -> None:
        missing = [name for name in _NEEDED if getattr(row, name) in (msgspec.UNSET, None) and name not in passed]
        if missing:
            self._add(IMAGE_INCOMPLETE, f"the image lacks {', '.join(missing)}", number, "", row)

    def _named(self, number: int, row: Image, name: str) -> None:
        too_long = len(name) > LONGEST_NAME
        self.too_long |= too_long
        other = self._names.setdefault(name, number) if not too_long else number
        if other != number:
            words = f"{name!r} is the file name of /images/{other} too"
            self._add(IMAGE_NAME_REPEATED, words, number, "file_name", row)
        if unsafe(name) and not addressed(name):
            self._add(IMAGE_NAME_UNSAFE, f"file_name is {name[:200]!r}", number, "file_name", row)
            return
        base = name.rpartition("/")[2]
        if row.id.__class__ is int and (found := _OFFICIAL.fullmatch(base)) and int(found[1]) != row.id:
            self._add(IMAGE_ID_OF_NAME, f"{base} has the id {row.id}", number, "id", row)
        if row.coco_url.__class__ is str and not row.coco_url.endswith(base):
            end = PurePosixPath(row.coco_url.partition("?")[0]).name
            if "." in end and end != base:
                self._add(IMAGE_URL_OTHER, f"coco_url ends in {end!r}, file_name is {name!r}", number, "coco_url", row)

    def table(self) -> Ints:
        """Id, width, height and number of every image that has an id, sorted by id; 0 for a size that is missing."""
        whole = np.concatenate(self._columns) if self._columns else np.empty((0, 4), np.int64)
        return whole[np.argsort(whole[:, 0], kind="stable")]

    def finish(self, licenses: set[int] | None) -> None:
        """What shows when all images are known. `licenses` are the ids that the file lists, None if it lists none."""
        table = self.table()
        again = np.flatnonzero(table[1:, 0] == table[:-1, 0]) + 1
        for at in again.tolist():
            id_, number, other = int(table[at, 0]), int(table[at, 3]), int(table[at - 1, 3])
            words = f"the id {id_} is that of /images/{other} too"
            self._notes.add(IMAGE_ID_REPEATED, words, "images", number, "id", where={"image_id": id_})
        folded: dict[str, str] = {}
        for name, number in self._names.items():
            other_name = folded.setdefault(name.casefold(), name)
            if other_name != name:
                words = f"{name!r} and {other_name!r} differ only by case"
                self._notes.add(IMAGE_NAME_CASE, words, "images", number, "file_name", where={"key": name})
        unknown = {} if licenses is None else {one: self._licenses[one] for one in self._licenses.keys() - licenses}
        ids = dict(zip(table[:, 3].tolist(), table[:, 0].tolist(), strict=True)) if unknown else {}
        for license_, numbers in sorted(unknown.items()):
            for number in numbers:
                where = {"image_id": ids.get(number)}
                words = f"there is no license {license_} in the file"
                self._notes.add(IMAGE_LICENSE_UNKNOWN, words, "images", number, "license", where=where)


def unsafe(name: str) -> bool:
    """Whether a file name is empty, absolute, a URL, too long, or leads out of the directory of images."""
    return (
        not name.strip()
        or len(name) > LONGEST_NAME
        or name[0] == "/"
        or "\\" in name
        or "\0" in name
        or "://" in name
        or (".." in name and ".." in name.split("/"))
        or _DRIVE.match(name) is not None
    )


def addressed(name: str) -> bool:
    """Whether a file name is the address of an image that is elsewhere, on S3 or on the web."""
    return len(name) <= LONGEST_NAME and _ADDRESS.fullmatch(name) is not None and ".." not in name.split("/")
