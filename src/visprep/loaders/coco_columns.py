"""What a loader must know of a COCO JSON file beforehand: where the records of each image and its annotations are."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from visprep.errors import WrongContent
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_scan import Ints, Malformed, Opened, Records, Value, scan
from visprep.loaders.mapped_columns import Array

__all__ = ["columns_of"]

_HINT = "visprep verify says all that is wrong with it"


class _Image(msgspec.Struct, gc=False):
    id: int


class _Annotation(msgspec.Struct, gc=False):
    image_id: int


class _AnyImage(msgspec.Struct, gc=False):
    id: Any = None


class _AnyAnnotation(msgspec.Struct, gc=False):
    image_id: Any = None


#: The lists that are read: the number that is wanted of their records; how those are decoded in haste, and with care.
_NUMBERS = {"images": "id", "annotations": "image_id"}
_FAST: dict[str, msgspec.json.Decoder[list[Any]]] = {
    "images": msgspec.json.Decoder(list[_Image]),
    "annotations": msgspec.json.Decoder(list[_Annotation]),
}
_CAREFUL: dict[str, msgspec.json.Decoder[Any]] = {
    "images": msgspec.json.Decoder(_AnyImage),
    "annotations": msgspec.json.Decoder(_AnyAnnotation),
}


def columns_of(file: JsonFile, called: str) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read the file once: its columns, and what to note with them; in errors it is `called` so.

    `ids`, `starts` and `lengths` are those of the images, in the order of the file. The annotations of image n are
    number `first[n]` to `first[n + 1]` of `own_starts` and `own_lengths`, in the order of the file. `categories` are
    the bytes of the categories, as a JSON list. The notes count annotations of images that are not there, `strays`,
    and name the first such image, `stray`.

    WrongContent, saying where, when it is no JSON, no object with `images`, when two images have one id, or when an
    id is no whole number; ids that are floats without a fraction count as such.
    """
    numbers: dict[str, list[Ints]] = {"images": [], "annotations": []}
    spans: dict[str, list[tuple[Ints, Ints]]] = {"images": [], "annotations": []}
    categories: list[bytes] = []
    seen: set[str] = set()
    try:
        for event in scan(file.chunks(), _FAST):
            if isinstance(event, Opened | Value):
                _expect_once(called, event, seen)
            elif isinstance(event, Records) and event.key in _NUMBERS:
                numbers[event.key].append(_numbers(called, event))
                spans[event.key].append(event.spans())
            elif isinstance(event, Records) and event.key == "categories":
                categories += [data for _, data in event.elements()]
    except Malformed as wrong:
        where = f"line {wrong.line}, column {wrong.column}, byte {wrong.offset}"
        raise WrongContent(f"{called}: {wrong.message} ({where})", hint=_HINT) from None
    if "images" not in seen:
        raise WrongContent(f"{called}: there is no list of images in it", hint=_HINT)
    ids, (starts, lengths) = _joined(numbers["images"]), _spans(spans["images"])
    by_id = np.argsort(ids, kind="stable")
    _expect_unique(called, ids, by_id)
    arrays, notes = _grouped(ids[by_id], by_id, _joined(numbers["annotations"]), _spans(spans["annotations"]))
    listed = b"[" + b",".join(categories) + b"]"
    try:
        msgspec.json.decode(listed, type=list[dict[str, Any]])
    except (ValueError, RecursionError):
        raise WrongContent(f"{called}: 'categories' is no list of objects", hint=_HINT) from None
    return {
        "ids": ids,
        "starts": starts,
        "lengths": lengths.astype(np.uint32),
        **arrays,
        "categories": np.frombuffer(listed, np.uint8),
    }, notes


def _expect_once(called: str, event: Opened | Value, seen: set[str]) -> None:
    if isinstance(event, Opened) and event.whole:
        raise WrongContent(
            f"{called}: a list, not an object with images",
            hint="a file of results is none to train on: name that of the annotations",
        )
    if event.key in seen:
        raise WrongContent(f"{called}: {event.key!r} stands there twice", hint=_HINT)
    if isinstance(event, Value) and event.key in (*_NUMBERS, "categories") and event.data != b"null":
        raise WrongContent(f"{called}: {event.key!r} is no list", hint=_HINT)
    seen.add(event.key)


def _numbers(called: str, event: Records) -> Ints:
    """The ids of a run of records."""
    rows, name = event.rows, _NUMBERS[event.key]
    if rows is not None:
        try:
            return np.fromiter(map(attrgetter(name), rows), np.int64, len(rows))
        except OverflowError:
            pass
    return np.array(list(_one_by_one(called, event, name)), np.int64)


def _one_by_one(called: str, event: Records, name: str) -> Iterator[int]:
    for number, (offset, data) in enumerate(event.elements(), event.first):
        where = f"{called}: /{event.key}/{number} at byte {offset}"
        try:
            value = getattr(_CAREFUL[event.key].decode(data), name)
        except (ValueError, RecursionError) as problem:
            raise WrongContent(f"{where}: {problem}", hint=_HINT) from None
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if not isinstance(whole, int) or isinstance(whole, bool) or not -(2**63) <= whole < 2**63:
            raise WrongContent(f"{where}: its {name!r} is {value!r}, not a whole number", hint=_HINT)
        yield whole


def _joined(parts: list[Ints]) -> Ints:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _spans(parts: list[tuple[Ints, Ints]]) -> tuple[Ints, Ints]:
    return _joined([starts for starts, _ in parts]), _joined([lengths for _, lengths in parts])


def _expect_unique(called: str, ids: Ints, by_id: Ints) -> None:
    in_order = ids[by_id]
    twice = np.flatnonzero(in_order[1:] == in_order[:-1])
    if len(twice):
        first, second = by_id[twice[0]], by_id[twice[0] + 1]
        more = f", and {len(twice) - 1:,} more have an id that is another's" if len(twice) > 1 else ""
        words = f"/images/{first} and /images/{second} have one id, {ids[first]}: nobody can tell whose annotations"
        raise WrongContent(f"{called}: {words} are whose{more}", hint=_HINT)


def _grouped(
    in_order: Ints, by_id: Ints, image_ids: Ints, spans: tuple[Ints, Ints]
) -> tuple[dict[str, Array], dict[str, Any]]:
    """The annotations by their images."""
    starts, lengths = spans
    at = np.searchsorted(in_order, image_ids)
    known = at < len(in_order)
    known[known] = in_order[at[known]] == image_ids[known]
    owners = by_id[at[known]]
    order = np.argsort(owners, kind="stable")
    first = np.searchsorted(owners[order], np.arange(len(by_id) + 1))
    strays = image_ids[~known]
    notes = {"strays": len(strays), "stray": int(strays[0]) if len(strays) else None}
    return {
        "first": first.astype(np.int64),
        "own_starts": starts[known][order],
        "own_lengths": lengths[known][order].astype(np.uint32),
    }, notes
