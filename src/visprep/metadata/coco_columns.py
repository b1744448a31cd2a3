"""What the records of a COCO JSON file say, and of which type: every key of every record is looked at."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from visprep.formats import coco_parts
from visprep.formats.coco_json import Index
from visprep.metadata import Column

_ROW: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: Keys that a JSON path can name without quotes; two are words of the language that some read it in.
_PLAIN = re.compile(r"(?!(?:parent|where)$)[A-Za-z_][A-Za-z0-9_]*")
#: Which kinds of values may stand in one column -> its type, and whether it is a list.
_TYPES: tuple[tuple[frozenset[str], str, bool], ...] = (
    (frozenset({"integer"}), "sc:Integer", False),
    (frozenset({"integer", "float"}), "sc:Float", False),
    (frozenset({"text"}), "sc:Text", False),
    (frozenset({"bool"}), "sc:Boolean", False),
    (frozenset({"four"}), "cr:BoundingBox", False),
    (frozenset({"integers", "empty"}), "sc:Integer", True),
    (frozenset({"integers", "floats", "four", "empty"}), "sc:Float", True),
    (frozenset({"texts", "empty"}), "sc:Text", True),
    (frozenset({"lists", "empty"}), "sc:Float", True),
)
#: What COCO means by its keys.
_MEANINGS = {
    "annotations": {
        "id": "The id of the annotation",
        "image_id": "The id of the image that it is about",
        "category_id": "The id of its category",
        "bbox": "Left, top, width and height in pixels",
        "area": "Area of the object in square pixels",
        "iscrowd": "1 for a group of objects that is annotated as one",
        "segmentation": "The outline as polygons: x, y, x, y, ... in pixels",
        "keypoints": "x, y and visibility (0 not labeled, 1 hidden, 2 visible) of each keypoint of the category",
        "num_keypoints": "How many keypoints are labeled",
        "caption": "What the image shows, in words",
        "file_name": "The image of the segments",
    },
    "images": {
        "id": "The id of the image",
        "file_name": "The file of the image",
        "width": "Width in pixels",
        "height": "Height in pixels",
        "license": "The id of the license, in the list licenses of the file",
    },
    "categories": {"id": "The id of the category", "name": "Its name", "supercategory": "What it is a kind of"},
}


def kinds_of(index: Index, key: Literal["images", "annotations"]) -> Mapping[str, frozenset[str]]:
    """Of each key of the records of a list, in the order in which they come, the kinds of values that it has."""
    columns = index.images if key == "images" else index.annotations
    found: dict[str, set[str]] = defaultdict(set)
    for numbers, data, base in coco_parts.runs(index.file, columns, np.arange(len(columns), dtype=np.int64)):
        view = memoryview(data)
        starts, lengths = (columns.starts[numbers] - base).tolist(), columns.lengths[numbers].tolist()
        for start, length in zip(starts, lengths, strict=True):
            for name, raw in _ROW.decode(view[start : start + length]).items():
                found[name].add(_kind(bytes(raw), name))
    return {name: frozenset(kinds) for name, kinds in found.items()}


def kinds_in(rows: list[Any]) -> Mapping[str, frozenset[str]]:
    """The same of records that are decoded."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for name, value in row.items() if isinstance(row, dict) else ():
            found[name].add(_kind(msgspec.json.encode(value), name))
    return {name: frozenset(kinds) for name, kinds in found.items()}


def columns_of(key: str, kinds: Mapping[str, frozenset[str]]) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """The columns of a list's records, and the keys whose values fit in none."""
    columns, odd = [], []
    for name, seen in kinds.items():
        said = seen - {"null"}
        found = next(((type_, many) for fitting, type_, many in _TYPES if said and said <= fitting), None)
        if said == {"empty"} or not said:  # nothing is in it anywhere
            continue
        if found is None or not _PLAIN.fullmatch(name):
            odd.append(name)
            continue
        columns.append(
            Column(
                name, found[0], {"jsonPath": f"$.{key}[*]"}, {"jsonPath": f"$.{name}"},
                _MEANINGS.get(key, {}).get(name, ""), "XYWH" if found[0] == "cr:BoundingBox" else None, found[1],
            )
        )  # fmt: skip
    return tuple(columns), tuple(odd)


def _kind(raw: bytes, name: str) -> str:
    """What a value is; there are millions."""
    kind = _BEGINNINGS.get(raw[0])
    if kind is not None:
        return kind
    if raw[0] != _LIST:
        return "float" if _broken(raw) else "integer"
    inner = raw[1:-1].strip()
    if not inner:
        return "empty"
    if inner[0] == _QUOTE:
        return "texts"
    if inner[0] == _LIST:
        return "mixed" if _odd(inner) else "lists"
    if _LIST in inner or _odd(inner):
        return "mixed"
    if name == "bbox" and inner.count(b",") == 3:
        return "four"
    return "floats" if _broken(inner) else "integers"


#: The first byte of a value that tells what it is.
_BEGINNINGS = {ord('"'): "text", ord("{"): "object", ord("n"): "null", ord("t"): "bool", ord("f"): "bool"}
_LIST, _QUOTE = ord("["), ord('"')
#: What is in a list that has something else than numbers in it, and in a number with a point or an exponent.
_odd = re.compile(rb'[{"ntf]').search
_broken = re.compile(rb"[.eE]").search
