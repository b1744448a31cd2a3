"""The classes of two sets of annotation files: which is which, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visprep.differences import CategoryDifference, RecordDifference, RenumberedDifference, fields_between
from visprep.differences.coco_side import Document, Side
from visprep.differences.matching import Ints
from visprep.formats.coco_json import MISSING

_ID = frozenset({"id"})
_Category = Mapping[str, Any]


@dataclass(frozen=True)
class Classes:
    """The class of each annotation of a side as a number that both sides share, and what each is called here."""

    numbers: Ints
    names: Mapping[int, str]

    def name(self, row: int) -> str | None:
        """What the class of an annotation is called; None for an annotation without one."""
        return self.names.get(int(self.numbers[row]))


def differences(a: Document, b: Document, path: str) -> Iterator[RecordDifference]:
    """How the classes of two files differ: first those of A, then those that only B has."""
    pairs = _pairs(a.categories, b.categories)
    renumbered = 0
    for one, other in pairs:
        if one is None or other is None:
            there = one or other or {}
            ids = (there["id"], None) if one else (None, there["id"])
            yield CategoryDifference("removed" if one else "added", path, there["name"], *ids)
            continue
        fields = fields_between(one, other, _ID)
        renumbered += one["id"] != other["id"]
        if fields:
            yield CategoryDifference("changed", path, one["name"], one["id"], other["id"], fields)
    if renumbered:
        yield RenumberedDifference("changed", path, "categories", renumbered)


def renamed(a: Document, b: Document) -> dict[str, str]:
    """The names of classes in B that have another in A."""
    pairs = _pairs(a.categories, b.categories)
    return {b["name"]: a["name"] for a, b in pairs if a and b and a["name"] != b["name"]}


def number_classes(left: Side, right: Side, other_names: Mapping[str, str]) -> tuple[Classes, Classes]:
    """The classes of both sides by number; `other_names` are those of B that have another in A."""
    known: dict[str, int] = {}
    return _numbered(left, {}, known), _numbered(right, other_names, known)


def _numbered(side: Side, other_names: Mapping[str, str], known: dict[str, int]) -> Classes:
    numbers = np.full(len(side.ids), -1, np.int64)
    names: dict[int, str] = {}
    for at, document in enumerate(side.documents):
        called = {category.id: category.name for category in document.index.categories}
        first, last = side.firsts["annotations"][at : at + 2].tolist()
        ids, inverse = np.unique(side.category_ids[first:last], return_inverse=True)
        found = []
        for id in ids.tolist():
            name = called.get(id, f"#{id}")
            number = -1 if id == MISSING else known.setdefault(other_names.get(name, name), len(known))
            found.append(number)
            if number >= 0:
                names[number] = name
        numbers[first:last] = np.array(found, np.int64)[inverse]
    return Classes(numbers, names)


def _pairs(a: Sequence[_Category], b: Sequence[_Category]) -> list[tuple[_Category | None, _Category | None]]:
    """The classes of both files side by side: by name, those left by id; None where one has no such class."""
    by_name = _firsts(b, "name")
    found = {number: by_name.pop(one["name"]) for number, one in enumerate(a) if one["name"] in by_name}
    left = [number for number in range(len(b)) if number not in set(found.values())]
    by_id = {b[number]["id"]: number for number in reversed(left)}
    for number, one in enumerate(a):
        if number not in found and one["id"] in by_id:
            found[number] = by_id.pop(one["id"])
    taken = set(found.values())
    sides = [(one, b[found[number]] if number in found else None) for number, one in enumerate(a)]
    return [*sides, *((None, b[number]) for number in left if number not in taken)]


def _firsts(categories: Sequence[_Category], key: str) -> dict[Any, int]:
    return {one[key]: number for number, one in reversed(list(enumerate(categories)))}
