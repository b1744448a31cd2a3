"""Rows of Open Images that a selection keeps, seen before the images come: whether COCO JSON can be made of them.

An image costs more to fetch than all that is told of it; and a row that cannot be read is to be named by upstream's
table and its line there, since what is kept of it may lie nowhere yet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from visprep.errors import WrongContent
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_csv import Batch, image_name, open_table, read
from visprep.formats.open_images_facts import TOLD
from visprep.formats.open_images_tables import BOXES, FLAGS, IMAGES, MASKS

__all__ = ["Checked", "Kept", "checked"]

#: The corners of a mask's box, beside what a table of masks must have.
_CORNERS = ("BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax")
_NAME = re.compile(r"[^/\\\0]+")
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    IMAGES.name: (*TOLD[1:], "License"),
    BOXES.name: (*BOXES.columns, *FLAGS, "Source", "Confidence"),
    MASKS.name: (*MASKS.columns, *_CORNERS),
}


class Kept(CsvFile):
    """Rows that were taken from a table, which lie below its header in a file: messages name the table."""

    def __init__(self, path: Path, taken_from: CsvFile) -> None:
        super().__init__(path, taken_from.name)
        self._taken_from = taken_from

    def place(self, offset: int) -> str:
        """See `CsvFile.place`: the first line of the table that is the same."""
        with self.path.open("rb") as rows:
            rows.seek(offset)
            line = rows.readline().rstrip(b"\r\n")
        with self._taken_from.path.open("rb") as table:
            for number, other in enumerate(table, 1):
                if other.rstrip(b"\r\n") == line:
                    return f"{self.name}, line {number}"
        return f"{self.name}, among its rows"


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows of which COCO JSON can be made: `odd` counts boxes that are turned round, or go beyond their image."""

    tables: Mapping[str, Kept]
    odd: int


def checked(files: Mapping[str, tuple[Path, CsvFile]], classes: Classes) -> Checked:
    """The rows of a split, by kind: where they lie, and the table that they were taken from.

    WrongContent, with upstream's table and the line there, for a row that cannot be read, a box of a class that is not
    among `classes`, and a mask that can lie in no archive.
    """
    odd = 0
    tables = {}
    for kind in (IMAGES, BOXES, MASKS):
        if kind.name not in files:
            continue
        path, taken_from = files[kind.name]
        open_table(path, kind, taken_from.name)
        table = tables[kind.name] = Kept(path, taken_from)
        for batch in read(table, kind, None, _COLUMNS[kind.name]):
            if kind is BOXES:
                _check_classes(table, batch, classes)
                odd += _odd(batch)
            elif kind is MASKS:
                _check_names(table, batch)
    return Checked(tables, odd)


def _odd(batch: Batch) -> int:
    corners = [batch.numbers(name) for name in ("XMin", "XMax", "YMin", "YMax")]
    wrong = (corners[0] > corners[1]) | (corners[2] > corners[3])
    for one in corners:
        wrong |= (one < 0) | (one > 1)
    return int(np.count_nonzero(wrong))


def _check_classes(table: Kept, batch: Batch, classes: Classes) -> None:
    labels = batch.columns["LabelName"]
    known = np.array([mid in classes.numbers for mid in labels.dictionary.to_pylist()], np.bool_)
    if known.all():
        return
    found = known[labels.indices.to_numpy()]
    if not found.all():
        at = int(np.argmin(found))
        raise WrongContent(
            f"{_place(table, batch, at)}: a box of image {image_name(int(batch.images[at]))} is of class "
            f"{labels[at].as_py()}, which is not in the list of classes",
        )


def _check_names(table: Kept, batch: Batch) -> None:
    """The archives of masks are told apart by the first digit of the images' ids, with which the names begin."""
    for at, path in enumerate(batch.texts("MaskPath")):
        digit = image_name(int(batch.images[at]))[0]
        if path[:1] != digit or not _NAME.fullmatch(path):
            raise WrongContent(
                f"{_place(table, batch, at)}: MaskPath is {path[:60]!r}, and of image "
                f"{image_name(int(batch.images[at]))} a name is needed that begins with {digit}, as its id does"
            )


def _place(table: Kept, batch: Batch, at: int) -> str:
    return table.place(batch.block.place(int(batch.block.starts[at])))
