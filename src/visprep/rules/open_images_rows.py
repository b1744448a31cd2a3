"""Holding the rows of one table of Open Images against the rules of rows, all of a batch at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.findings import Finding
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_csv import Batch, ImageIds, image_name
from visprep.formats.open_images_rows import Rows
from visprep.formats.open_images_tables import FLAGS, Kind
from visprep.rules import Rule
from visprep.rules.coco_notes import KEPT
from visprep.rules.open_images import (
    ROW_CLASS,
    ROW_CONFIDENCE,
    ROW_COORDINATES,
    ROW_FLAG,
    ROW_IMAGE,
    ROW_MALFORMED,
)

__all__ = ["RowCheck", "RowNotes", "columns_checked"]

Mask = npt.NDArray[np.bool_]

#: Low and high of every pair of corners, by the kind of table.
_PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "boxes": (("XMin", "XMax"), ("YMin", "YMax")),
    "masks": (("BoxXMin", "BoxXMax"), ("BoxYMin", "BoxYMax")),
    "relationships": (("XMin1", "XMax1"), ("YMin1", "YMax1"), ("XMin2", "XMax2"), ("YMin2", "YMax2")),
    "points": (("X", "X"), ("Y", "Y")),
}


def columns_checked(kind: Kind) -> frozenset[str]:
    """The columns of a table that the rules look at."""
    corners = {name for pair in _PAIRS.get(kind.name, ()) for name in pair}
    return frozenset({kind.image, *kind.classes, *corners, *FLAGS, "Confidence", "RelationshipLabel"})


@dataclass
class RowNotes:
    """What was found so far in one table: of one rule a thousand findings are kept, the rest are counted."""

    file: CsvFile
    path: str
    _kept: list[tuple[Rule, int, str, dict[str, Any]]] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _rules: dict[str, Rule] = field(default_factory=dict)

    def add(self, rule: Rule, offset: int, message: str, **where: Any) -> None:
        """What is wrong with the row that begins at a byte of the file."""
        self.count(rule, 1)
        if self._counts[rule.code] <= KEPT:
            self._kept.append((rule, offset, message, where))

    def count(self, rule: Rule, number: int) -> None:
        """So many more of a rule, not to be told one by one unless `add` told them."""
        self._rules[rule.code] = rule
        self._counts[rule.code] += number

    def room(self, rule: Rule) -> int:
        """How many more of a rule are kept."""
        return max(0, KEPT - self._counts[rule.code])

    def __contains__(self, rule: Rule) -> bool:
        return self._counts[rule.code] > 0

    def findings(self) -> Iterator[Finding]:
        """All of them, with the numbers of their lines: for these the file is read once more."""
        lines = self.file.lines([offset for _, offset, _, _ in self._kept]) if self._kept else []
        for (rule, _, message, where), line in zip(self._kept, lines, strict=True):
            yield rule.at(self.path, f"line {line}: {message}", line=line, **where)
        for code, count in self._counts.items():
            if count > KEPT:
                words = f"and {count - KEPT:,} more of this kind, not told one by one"
                yield self._rules[code].at(self.path, words, count=count - KEPT)


@dataclass
class RowCheck:
    """One look at the rows of a table; `images` are those that its split has, `classes` the MIDs of the list.

    None for either: nothing tells them, and rows are not held against it. `spoiled` are images of which a row was
    found wrong, for whoever meets the same in what is made of the rows.
    """

    kind: Kind
    notes: RowNotes
    images: ImageIds | None
    classes: Collection[str] | None
    count: int = 0
    spoiled: set[int] = field(default_factory=set)
    _known: dict[str, int] = field(default_factory=dict)

    def take(self, rows: Rows) -> None:
        """Some more rows."""
        self.count += len(rows.offsets) + len(rows.wrong)
        for offset, why in rows.wrong:
            self.notes.add(ROW_MALFORMED, offset, why)
        batch = rows.batch
        if batch is None:
            return
        if self.images is not None:
            lost = ~np.isin(batch.images, self.images)
            self._tell(ROW_IMAGE, rows, lost, lambda at: f"image {_id(batch, at)} has no row in images.csv")
        self._classes(rows, batch)
        for low, high in _PAIRS.get(self.kind.name, ()):
            if low in batch.columns.schema.names and high in batch.columns.schema.names:
                self._corners(rows, batch, low, high)
        there = set(batch.columns.schema.names)
        if "Confidence" in there:
            sure = batch.numbers("Confidence")
            self._tell(ROW_CONFIDENCE, rows, (sure < 0) | (sure > 1), lambda at: f"Confidence is {sure[at]:g}")
        for name in FLAGS:
            if name in there:
                self._flag(rows, name, batch.numbers(name))

    def _flag(self, rows: Rows, name: str, values: npt.NDArray[Any]) -> None:
        wrong = ~np.isin(values, (-1, 0, 1))

        def words(at: int) -> str:
            return f"{name} is {'empty' if np.isnan(values[at]) else f'{values[at]:g}'}, and 1, 0 or -1 is meant"

        self._tell(ROW_FLAG, rows, wrong, words, field=name)

    def _corners(self, rows: Rows, batch: Batch, low: str, high: str) -> None:
        first, last = batch.numbers(low), batch.numbers(high)
        outside = (first < 0) | (last > 1) | (first > 1) | (last < 0)
        wrong = outside if low == high else outside | (first >= last)  # what a mask leaves empty is not looked at

        def words(at: int) -> str:
            if low == high:
                return f"{low} is {first[at]:g}, outside of the image"
            return f"{low} is {first[at]:g} and {high} {last[at]:g}: " + (
                "outside of the image" if outside[at] else "not from the lesser to the greater"
            )

        self._tell(ROW_COORDINATES, rows, wrong, words, field=low)

    def _classes(self, rows: Rows, batch: Batch) -> None:
        if self.classes is None:
            return
        for name in self.kind.classes:
            codes = batch.codes(name, self._known)
            mids = list(self._known)
            strange = np.array([mid not in self.classes for mid in mids], np.bool_)[codes]
            if name == "LabelName2" and strange.any():  # an attribute, of which the lists of classes tell nothing
                strange &= np.array([label != "is" for label in batch.texts("RelationshipLabel")], np.bool_)

            def words(at: int, name: str = name, codes: Any = codes, mids: list[str] = mids) -> str:
                return f"{name} is {mids[codes[at]][:40]!r}, which the list of classes does not have"

            self._tell(ROW_CLASS, rows, strange, words, field=name)

    def _tell(self, rule: Rule, rows: Rows, wrong: Mask, words: Any, **where: Any) -> None:
        if not wrong.any():
            return
        assert rows.batch is not None
        self.spoiled.update(rows.batch.images[wrong].tolist())
        found = np.flatnonzero(wrong)
        told = found[: self.notes.room(rule)]
        for at in told.tolist():
            self.notes.add(rule, int(rows.offsets[at]), words(at), image_id=_id(rows.batch, at), **where)
        if len(found) > len(told):
            self.notes.count(rule, len(found) - len(told))


def _id(batch: Batch, at: int) -> str:
    return image_name(int(batch.images[at]))
