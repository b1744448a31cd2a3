"""The rules of `categories` and `licenses` in COCO JSON: small tables that everything else points to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from visprep.findings import Level
from visprep.formats.coco_json import Int64
from visprep.rules import Depth, Rule
from visprep.rules.coco_notes import Notes

H = Depth.HEADERS
U = msgspec.UNSET

CATEGORY_COLOR = Rule(
    "category-color",
    Level.ERROR,
    H,
    "A panoptic category has an `isthing` that is neither 0 nor 1, or a `color` that is not three numbers of 0 to 255.",
    "Things are evaluated as stuff or the other way round; drawing stops.",
    "write isthing as 0 or 1, and the color as [R, G, B]",
    bad='`"isthing": 2`.',
    near="A category with neither of the two, as those of instances.",
)
CATEGORY_ID_REPEATED = Rule(
    "category-id-repeated",
    Level.ERROR,
    H,
    "Two categories have the same id.",
    "The last one wins: the annotations of both get its name.",
    "give one of them another id, in its annotations too; or remove the copy",
    bad="Categories 3 `car` and 3 `truck`.",
    near="A category and an image with the same id.",
)
CATEGORY_ID_ZERO = Rule(
    "category-id-zero",
    Level.NOTE,
    H,
    "A category has the id 0, or one below.",
    "Many frameworks take 0 for the background, and silently train without the class.",
    "count from 1, as COCO does; or leave it where your framework counts from 0",
    bad="YOLO's classes, numbered from 0.",
    near="Ids with gaps: COCO's own go to 90 for 80 classes.",
)
CATEGORY_INCOMPLETE = Rule(
    "category-incomplete",
    Level.ERROR,
    H,
    "A category lacks `id` or `name`.",
    "Its annotations cannot be told from others, or have no class name.",
    "add what is missing",
    bad='`{"id": 1}`.',
    near="No `supercategory`.",
)
CATEGORY_JOINTS = Rule(
    "category-joints",
    Level.ERROR,
    H,
    "The `keypoints` of a category are no list of names, or its `skeleton` names joints that there are not.",
    "Drawing and evaluation index out of the list. The skeleton counts from 1.",
    "list the names, and pairs of their numbers from 1 on",
    bad="17 keypoints, and [0, 1] in the skeleton: it was counted from 0.",
    near="A category with keypoints and no skeleton.",
)
CATEGORY_NAME = Rule(
    "category-name",
    Level.WARNING,
    H,
    "The name of a category is empty, has blanks around it, or is that of another one.",
    "Classes are chosen by name: one is not found, or two are taken for one.",
    "correct the name, or merge the two",
    bad="`person ` with a blank at its end, beside `person`.",
    near="`traffic light`.",
)
CATEGORY_TYPE = Rule(
    "category-type",
    Level.ERROR,
    H,
    "A member of a category is of another type than COCO has there.",
    'Readers with types stop; others never find the category, since `1` and `"1"` differ.',
    "write the id as a whole number, the names as text",
    bad='`"id": "1"`.',
    near='`"supercategory": null`.',
)
LICENSE_FORM = Rule(
    "license-form",
    Level.WARNING,
    H,
    "An entry of `licenses` lacks its `id`, has the id of another one, or a member of another type.",
    "Nobody can tell on what terms the images may be used.",
    "number the licenses, with name and url as text",
    bad="Two licenses with the id 1.",
    near="A license without `url`.",
)

RULES: tuple[Rule, ...] = (
    CATEGORY_COLOR,
    CATEGORY_ID_REPEATED,
    CATEGORY_ID_ZERO,
    CATEGORY_INCOMPLETE,
    CATEGORY_JOINTS,
    CATEGORY_NAME,
    CATEGORY_TYPE,
    LICENSE_FORM,
)


class Category(msgspec.Struct, gc=False):
    """An entry of `categories`, as far as rules look at it."""

    id: Int64 | msgspec.UnsetType = U
    name: str | msgspec.UnsetType = U
    supercategory: str | msgspec.UnsetType | None = U
    keypoints: list[str] | msgspec.UnsetType = U
    skeleton: list[list[int]] | msgspec.UnsetType = U
    isthing: int | msgspec.UnsetType = U
    color: list[int] | msgspec.UnsetType = U


class License(msgspec.Struct, gc=False):
    """An entry of `licenses`."""

    id: Int64 | msgspec.UnsetType = U
    name: str | msgspec.UnsetType | None = U
    url: str | msgspec.UnsetType | None = U


CATEGORY_FIELDS: dict[str, Any] = {
    "id": Int64,
    "name": str,
    "supercategory": str | None,
    "keypoints": list[str],
    "skeleton": list[list[int]],
    "isthing": int,
    "color": list[int],
}
LICENSE_FIELDS: dict[str, Any] = {"id": Int64, "name": str | None, "url": str | None}


class Categories:
    """All categories of a file: `joints` tells for each id how many keypoints it has, None where it says nothing.

    `whole` is whether the ids of all are known: where one cannot be read, nothing can be said to be missing.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._names: dict[str, int] = {}
        self.joints: dict[int, int | None] = {}
        self.count = 0
        self.whole = True

    def take(self, first: int, rows: list[Category], passed: Mapping[int, frozenset[str]]) -> None:
        """The next categories."""
        for number, row in enumerate(rows, first):
            here = f"category {row.id}" if isinstance(row.id, int) else "the category"
            passing = passed.get(number, frozenset())
            missing = [name for name in ("id", "name") if getattr(row, name) is U and name not in passing]
            if missing:
                self._add(CATEGORY_INCOMPLETE, f"{here} lacks {' and '.join(missing)}", number, "", row)
            if isinstance(row.id, int):
                self._identified(number, row, row.id)
            else:
                self.whole = False
            if isinstance(row.name, str):
                self._named(number, row, row.name)
            self._jointed(number, row, here)
            self._colored(number, row, here)
        self.count += len(rows)

    def _add(self, rule: Rule, message: str, number: int, field: str, row: Category) -> None:
        ids = {"category_id": row.id if isinstance(row.id, int) else None}
        self._notes.add(rule, message, "categories", number, field, where=ids)

    def _identified(self, number: int, row: Category, id_: int) -> None:
        if id_ in self.joints:
            self._add(CATEGORY_ID_REPEATED, f"the id {id_} is that of another category too", number, "id", row)
        if id_ < 1:
            self._add(CATEGORY_ID_ZERO, f"category {row.name!r} has the id {id_}", number, "id", row)
        self.joints[id_] = len(row.keypoints) if isinstance(row.keypoints, list) else None

    def _named(self, number: int, row: Category, name: str) -> None:
        other = self._names.setdefault(name, number)
        if other != number:
            self._add(CATEGORY_NAME, f"{name!r} is the name of /categories/{other} too", number, "name", row)
        elif name.strip() != name or not name:
            self._add(CATEGORY_NAME, f"the name is {name!r}", number, "name", row)

    def _jointed(self, number: int, row: Category, here: str) -> None:
        if not isinstance(row.skeleton, list):
            return
        joints = len(row.keypoints) if isinstance(row.keypoints, list) else 0
        wrong = [pair for pair in row.skeleton if len(pair) != 2 or not all(1 <= one <= joints for one in pair)]
        if wrong:
            words = f"{here} has {joints} keypoints, and {wrong[0][:4]} in its skeleton"
            self._add(CATEGORY_JOINTS, words, number, "skeleton", row)

    def _colored(self, number: int, row: Category, here: str) -> None:
        if isinstance(row.isthing, int) and row.isthing not in (0, 1):
            self._add(CATEGORY_COLOR, f"{here}: isthing is {row.isthing}", number, "isthing", row)
        if isinstance(row.color, list) and (len(row.color) != 3 or not all(0 <= one <= 255 for one in row.color)):
            self._add(CATEGORY_COLOR, f"{here}: the color is {row.color[:4]}", number, "color", row)


class Licenses:
    """All licenses of a file: their `ids`, and whether these are the `whole` of them, or some cannot be read."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.ids: set[int] = set()
        self.whole = True

    def take(self, first: int, rows: list[License], passed: Mapping[int, frozenset[str]]) -> None:
        """The next licenses."""
        for number, row in enumerate(rows, first):
            if not isinstance(row.id, int):
                self.whole = False
                if "id" not in passed.get(number, frozenset()):
                    self._notes.add(LICENSE_FORM, "the license lacks its id", "licenses", number)
            elif row.id in self.ids:
                words = f"the id {row.id} is that of another license too"
                self._notes.add(LICENSE_FORM, words, "licenses", number, "id", where={"license_id": row.id})
            else:
                self.ids.add(row.id)
