"""What one COCO JSON file says that can be counted: a column for each key, read in one pass.

Records that say something of another type than they should are taken as far as they make sense: what is wrong with
them is for verify to tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from visprep.errors import WrongContent
from visprep.formats.coco_json import MISSING, Int64, JsonFile
from visprep.formats.coco_scan import Malformed, Opened, Records, scan
from visprep.statistics.histograms import Floats, Ints

#: What an annotation has for a mask.
NONE, POLYGONS, RLE = range(3)
#: Beyond this no length or area makes sense; so none overflows.
_FAR = 1e12
_HINT = "visprep verify says more"


class _Image(msgspec.Struct, gc=False):
    id: Int64 | None = None
    width: Int64 | None = None
    height: Int64 | None = None
    license: Int64 | None = None
    file_name: str | None = None


class _Box(msgspec.Struct, array_like=True, gc=False):
    x: float
    y: float
    width: float
    height: float


class _Segment(msgspec.Struct, gc=False):
    """An object of a panoptic annotation."""

    category_id: Int64 | None = None
    bbox: _Box | None = None
    area: float | None = None
    iscrowd: Int64 | None = None


class _Annotation(msgspec.Struct, gc=False):
    image_id: Int64 | None = None
    category_id: Int64 | None = None
    bbox: _Box | None = None
    area: float | None = None
    iscrowd: Int64 | None = None
    num_keypoints: Int64 | None = None
    caption: str | None = None
    segments_info: list[_Segment] | None = None
    segmentation: msgspec.Raw = msgspec.Raw()


_KINDS: dict[str, Any] = {"images": _Image, "annotations": _Annotation}
_DECODERS = {key: msgspec.json.Decoder(list[kind]) for key, kind in _KINDS.items()}  # type: ignore[valid-type]


@dataclass
class Columns:
    """The images and annotations of a file, in its order; MISSING, NaN or None where a record does not say.

    `areas` are those that annotations say, `sides` the width and height of their boxes. `masks` are NONE, POLYGONS or
    RLE; `joints` counts keypoints, -1 where there are none to be counted. `captions` are those of all annotations that
    have one, `captioned` the ids of their images. `unread` counts records that are no JSON objects. `keys` are the
    lists at the top.
    """

    names: list[str | None]
    ids: Ints
    sizes: Ints
    licenses: Ints
    image_ids: Ints
    category_ids: Ints
    areas: Floats
    sides: Floats
    crowds: Ints
    joints: Ints
    masks: Ints
    captions: list[str]
    captioned: Ints
    categories: dict[int, str] = field(default_factory=dict)
    license_names: dict[int, str] = field(default_factory=dict)
    keys: frozenset[str] = frozenset()
    unread: int = 0


def read(file: JsonFile) -> Columns:
    """The columns of a file; WrongContent when it is no JSON, or no object with images; what a store raises."""
    building = _Building()
    try:
        for event in scan(file.chunks(), _DECODERS):
            if isinstance(event, Opened):
                if event.whole:
                    raise WrongContent(f"{file.name}: a list, not an object with images", hint=_HINT)
                building.keys.add(event.key)
            elif isinstance(event, Records):
                building.take(event)
    except Malformed as wrong:
        where = f"line {wrong.line}, column {wrong.column}, byte {wrong.offset}"
        raise WrongContent(f"{file.name}: {wrong.message} ({where})", hint=_HINT) from None
    if "images" not in building.keys:
        raise WrongContent(f"{file.name}: there is no list of images in it", hint=_HINT)
    return building.columns()


class _Building:
    """Columns while they are made."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.names: list[str | None] = []
        self.images: list[Ints] = [np.empty((0, 4), np.int64)]
        self.whole: list[Ints] = [np.empty((0, 5), np.int64)]
        self.parts: list[Floats] = [np.empty((0, 3))]
        self.captions: list[str] = []
        self.captioned: list[int] = []
        self.categories: dict[int, str] = {}
        self.licenses: dict[int, str] = {}
        self.unread = 0

    def take(self, event: Records) -> None:
        if event.key in ("categories", "licenses"):
            for row in self._objects(event):
                self._name(event.key, row)
        elif event.key in _KINDS:
            rows = event.rows if event.rows is not None else list(self._loosely(event))
            (self._images if event.key == "images" else self._annotations)(rows)

    def _images(self, rows: list[_Image]) -> None:
        self.names += [row.file_name for row in rows]
        table = [(_or(row.id), _or(row.width), _or(row.height), _or(row.license)) for row in rows]
        self.images.append(np.array(table, np.int64).reshape(-1, 4))

    def _annotations(self, rows: list[_Annotation]) -> None:
        whole: list[tuple[int, ...]] = []
        parts: list[tuple[float, float, float]] = []
        for row in rows:
            image = _or(row.image_id)
            if row.caption is not None:
                self.captions.append(row.caption)
                self.captioned.append(image)
            for one in (row,) if row.segments_info is None else row.segments_info:
                of_row = one is row
                joints = row.num_keypoints if of_row else None
                mask = _mask(row.segmentation) if of_row else NONE
                whole.append((image, _or(one.category_id), one.iscrowd or 0, -1 if joints is None else joints, mask))
                box = one.bbox
                area = math.nan if one.area is None else one.area
                parts.append((area, box.width, box.height) if box else (area, math.nan, math.nan))
        self.whole.append(np.array(whole, np.int64).reshape(-1, 5))
        self.parts.append(np.array(parts, np.float64).reshape(-1, 3))

    def _objects(self, event: Records) -> Iterator[dict[str, Any]]:
        """The records of a run one by one, as far as they are objects."""
        for _, data in event.elements():
            try:
                row = msgspec.json.decode(data)
            except (ValueError, RecursionError):
                row = None
            if isinstance(row, dict):
                yield row
            else:
                self.unread += 1

    def _loosely(self, event: Records) -> Iterator[Any]:
        """The records of a run of which some are not of the type that they should be."""
        kind = _KINDS[event.key]
        for row in self._objects(event):
            segments = row.get("segments_info")
            if isinstance(segments, list):
                segments = [_meant(_Segment, one) for one in segments if isinstance(one, dict)]
            yield _meant(kind, {**row, "segments_info": segments})

    def _name(self, key: str, row: dict[str, Any]) -> None:
        id, name = _whole(row.get("id")), row.get("name")
        if id is None:
            return
        if key == "categories":
            self.categories[id] = name if isinstance(name, str) else f"category {id}"
        else:
            told = (name, row.get("url"), f"license {id}")
            self.licenses[id] = next(one for one in told if isinstance(one, str) and one)

    def columns(self) -> Columns:
        images, whole = np.concatenate(self.images), np.concatenate(self.whole)
        parts = np.concatenate(self.parts).clip(-_FAR, _FAR)
        return Columns(
            self.names,
            images[:, 0],
            images[:, 1:3],
            images[:, 3],
            whole[:, 0],
            whole[:, 1],
            parts[:, 0],
            parts[:, 1:],
            whole[:, 2],
            whole[:, 3],
            whole[:, 4],
            self.captions,
            np.array(self.captioned, np.int64),
            self.categories,
            self.licenses,
            frozenset(self.keys),
            self.unread,
        )


def _or(value: int | None) -> int:
    return MISSING if value is None else value


def _mask(raw: msgspec.Raw) -> int:
    start = bytes(memoryview(raw)[:1])
    return (
        RLE
        if start == b"{"
        else POLYGONS
        if start == b"[" and bytes(memoryview(raw)[1:8]).strip()[:1] != b"]"
        else NONE
    )


def _whole(value: Any) -> int | None:
    """A whole number of 64 bits, also where it is written as a float; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and abs(value) < 2**63 else None


def _fraction(value: Any) -> float | None:
    try:
        return float(value) if type(value) in (int, float) else None
    except OverflowError:
        return None


def _box(value: Any) -> _Box | None:
    numbers = [_fraction(one) for one in value[:4]] if isinstance(value, list) else []
    return _Box(*numbers) if len(numbers) == 4 and None not in numbers else None  # type: ignore[arg-type]


def _meant(kind: Any, row: dict[str, Any]) -> Any:
    """A record as far as what it says is of the types that it should be."""
    found: dict[str, Any] = {}
    for key in kind.__struct_fields__:
        value = row.get(key)
        if key == "bbox":
            found[key] = _box(value)
        elif key == "area":
            found[key] = _fraction(value)
        elif key in ("file_name", "caption"):
            found[key] = value if isinstance(value, str) else None
        elif key == "segments_info":
            found[key] = value if isinstance(value, list) else None
        elif key == "segmentation":
            found[key] = msgspec.Raw(
                b"{" if isinstance(value, dict) else b"[[" if isinstance(value, list) and value else b""
            )
        else:
            found[key] = _whole(value)
    return kind(**found)
