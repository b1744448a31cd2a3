"""Label files that toolkits write beside the images: a box a line, the name of its class and its corners in pixels.

OIDv4_ToolKit and OIDv6 write `Polar bear 12.8 0.0 1023.36 682.5` (left, top, right, bottom; OIDv6 `polar_bear`). The
corners are upstream's numbers times the size of the image, so that upstream's come back by dividing: they have nine
decimals at most.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from visprep.errors import WrongContent
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_csv import image_name

__all__ = ["COLUMNS", "LabelFiles", "LabelLine", "label_lines", "plain"]

#: The columns that such files can fill; no other is known of their boxes.
COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
#: Decimals of upstream's coordinates, at most.
_DECIMALS = 9


@dataclass(frozen=True, slots=True)
class LabelLine:
    """One box: the name of its class as it is written there, and its corners (left, top, right, bottom) in pixels."""

    name: str
    corners: tuple[float, float, float, float]


def plain(name: str) -> str:
    """What names of a class have in common, however a toolkit writes it."""
    return name.replace("_", " ").strip().casefold()


def label_lines(data: bytes, path: str) -> Iterator[LabelLine]:
    """The boxes of a label file; WrongContent, with the number of the line, for one that is none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongContent(f"{path}: it is not UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        name, *corners = line.strip().rsplit(maxsplit=4)[:5] or [""]
        if not name:
            continue
        try:
            left, top, right, bottom = map(float, corners)
        except ValueError:
            left = math.nan
        if math.isnan(left) or not all(map(math.isfinite, (left, top, right, bottom))):
            raise WrongContent(
                f"{path}, line {number}: {line.strip()[:60]!r} is not a class, left, top, right and bottom",
                hint="download the labels again with the tool that made them, or take that line out",
            )
        yield LabelLine(name.replace("_", " "), (left, top, right, bottom))


class Reads(Protocol):
    """Gives the bytes of a file."""

    def __call__(self, path: str) -> bytes:
        """The bytes of the file at this path."""
        ...


@dataclass(slots=True)
class LabelFiles:
    """The label files of one split as a table of boxes: `files` are image and path, `sizes` those of the images.

    Without `classes` the name of a class stands for its MID. `rows` were written, `repeated` were left out since
    another file of the image has them too, `unsized` since the image has no size. `names` are the classes that came.
    """

    files: Iterable[tuple[int, str]]
    sizes: Mapping[int, tuple[int, int]]
    load: Reads
    classes: Classes | None = None
    rows: int = 0
    repeated: int = 0
    unsized: int = 0
    names: set[str] = field(default_factory=set)

    def write(self, path: Path) -> int:
        """Write the table to a file, which is made or replaced; how many rows it has.

        WrongContent for a line that cannot be read, and for a class that is not in the list.
        """
        self.rows = self.repeated = self.unsized = 0
        mids = {plain(name): mid for mid, name in reversed(list(self.classes.names.items()))} if self.classes else None
        with path.open("w", encoding="utf-8", newline="") as out:
            rows = csv.writer(out, lineterminator="\n")
            rows.writerow(COLUMNS)
            image, before = -1, frozenset[LabelLine]()
            for number, name in sorted(self.files):
                if number != image:
                    image, before = number, frozenset()
                lines = list(label_lines(self.load(name), name))
                size = self.sizes.get(number)
                if size is None:
                    self.unsized += len(lines)
                    continue
                new = [line for line in lines if line not in before]
                self.repeated += len(lines) - len(new)
                before |= frozenset(lines)
                rows.writerows(self._row(number, line, size, mids, name) for line in new)
                self.rows += len(new)
        return self.rows

    def _row(
        self, number: int, line: LabelLine, size: tuple[int, int], mids: Mapping[str, str] | None, path: str
    ) -> tuple[str, ...]:
        mid = line.name if mids is None else mids.get(plain(line.name))
        if mid is None:
            raise WrongContent(
                f"{path}: there is no class {line.name!r} in the list of classes",
                hint="take the list that the tool used: class-descriptions-boxable.csv",
            )
        self.names.add(mid)
        left, top, right, bottom = line.corners
        (width, height) = size
        corners = (left / width, right / width, top / height, bottom / height)
        return image_name(number), mid, *map(_decimal, corners)


def _decimal(value: float) -> str:
    """A number as upstream writes them, without zeros at the end."""
    return f"{value:.{_DECIMALS}f}".rstrip("0").rstrip(".") or "0"
