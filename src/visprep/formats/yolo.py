"""Label files of YOLO: a text file for each image, an object a row, in shares of the image's width and height.

    {class} {center x} {center y} {width} {height}                                   a box
    {class} {x1} {y1} {x2} {y2} {x3} {y3} ...                                        a polygon, of three points or more
    {class} {center x} {center y} {width} {height} {x1} {y1} [{visible}] ...         a box with keypoints

Which of these a row is stands nowhere: with `kpt_shape` in data.yaml all rows have keypoints; else a row of more than
six columns is a polygon, and then so are all rows of its file. That is how ultralytics reads them. Boxes that are
turned have four corners, and look like polygons of four points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from visprep.formats.decimals import digits, number_in, rounded

#: The endings of names that ultralytics takes for images.
SUFFIXES = frozenset({"bmp", "dng", "heic", "jpeg", "jpg", "mpo", "pfm", "png", "tif", "tiff", "webp"})
#: Columns of a box, and the most that a row may have and be no polygon.
_BOX, _NO_POLYGON = 5, 6

#: How many keypoints an object has, and numbers each: 2, or 3 with whether it is visible.
Keypoints = tuple[int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Row:
    """One object: `label` is the number of its class, all else are shares of the image's width and height.

    `box` is center x, center y, width, height, None for a polygon; `polygon` is x1, y1, x2, y2 and so on, empty for a
    box; `keypoints` as many groups of two or three numbers as the dataset has. `line` is that of the file, from 1.
    """

    label: int
    box: Box | None = None
    polygon: tuple[float, ...] = ()
    keypoints: tuple[float, ...] = ()
    line: int = field(default=0, compare=False)

    @property
    def numbers(self) -> tuple[float, ...]:
        """All that follows the class, as it is written."""
        return (*(self.box or ()), *self.polygon, *self.keypoints)


class Wrong(StrEnum):
    """Why a line is no row."""

    ENCODING = "encoding"
    BLANK = "blank"
    COLUMNS = "columns"
    NUMBER = "number"
    CLASS = "class"
    CLASS_FLOAT = "class-float"
    SHORT = "short"


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is not a row as it should be, and why, in words. Of `CLASS_FLOAT` the row comes too."""

    line: int
    wrong: Wrong
    words: str


def read(data: bytes, keypoints: Keypoints | None = None) -> Iterator[Row | Fault]:
    """The rows of a label file, line by line; what is not one comes as a Fault. Nothing is raised.

    `keypoints` is the `kpt_shape` of the dataset. Empty lines are passed over.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        at = data.count(b"\n", 0, problem.start) + 1
        yield Fault(at, Wrong.ENCODING, f"byte {problem.start} is not UTF-8")
        return
    if text.startswith("\ufeff"):
        yield Fault(1, Wrong.ENCODING, "it begins with a byte order mark")
        text = text[1:]
    lines = [(number, line, line.split()) for number, line in enumerate(text.rstrip().splitlines(), 1)]
    polygons = keypoints is None and any(len(words) > _NO_POLYGON for _, _, words in lines)
    begun = False
    for number, line, words in lines:
        begun = begun or bool(words)
        if words:
            yield from _row(number, words, keypoints, polygons)
        elif line and begun:
            yield Fault(number, Wrong.BLANK, "it has spaces, and nothing else")


def _row(line: int, words: Sequence[str], keypoints: Keypoints | None, polygons: bool) -> Iterator[Row | Fault]:
    if wrong := _columns(len(words), keypoints, polygons):
        yield Fault(line, *wrong)
        return
    label = number_in(words[0])
    if label is None or not label.is_integer():
        yield Fault(line, Wrong.CLASS, f"{words[0][:40]!r} is no number of a class")
        return
    rest: list[float] = []
    for word in words[1:]:
        number = number_in(word)
        if number is None:
            yield Fault(line, Wrong.NUMBER, f"{word[:40]!r} is no number")
            return
        rest.append(number)
    if not words[0].lstrip("+-").isdecimal():
        yield Fault(line, Wrong.CLASS_FLOAT, f"the class is written {words[0][:40]}")
    if polygons:
        yield Row(int(label), polygon=tuple(rest), line=line)
    else:
        yield Row(int(label), (rest[0], rest[1], rest[2], rest[3]), keypoints=tuple(rest[4:]), line=line)


def _columns(count: int, keypoints: Keypoints | None, polygons: bool) -> tuple[Wrong, str] | None:
    """What is wrong with how many columns a row has."""
    if keypoints:
        wanted = _BOX + keypoints[0] * keypoints[1]
        words = f"it has {count} columns; with kpt_shape {list(keypoints)} rows have {wanted}"
        return None if count == wanted else (Wrong.COLUMNS, words)
    if not polygons:
        if count == _BOX:
            return None
        more = ": the last may be a confidence, as predictions have it" if count == _NO_POLYGON else ""
        return Wrong.COLUMNS, f"it has {count} columns; a box has 5{more}"
    if count == _BOX:
        return Wrong.SHORT, "it has 5 columns, others are polygons: two points here, or a box among polygons"
    if count < _BOX or count % 2 == 0:
        return Wrong.COLUMNS, f"it has {count} columns; a polygon has a class and pairs of numbers"
    return None


def write(rows: Iterable[Row]) -> bytes:
    """A label file with these rows; empty where there are none, which says that the image shows nothing.

    Every number is written in the fewest digits that are read as the same number again, without an exponent.
    """
    return "".join(f"{row.label} {' '.join(map(digits, row.numbers))}\n" for row in rows).encode()


def label_of(image: str) -> str:
    """The path of the label file of an image, as ultralytics looks for it, whether or not it is there.

    The last directory called `images` becomes `labels`, the ending becomes `.txt`; where no directory is called so, the
    label lies beside its image.
    """
    before, found, after = f"/{image}".rpartition("/images/")
    path = f"{before}/labels/{after}" if found else f"/{image}"
    home, _, name = path.rpartition("/")
    return f"{home}/{name.rpartition('.')[0] or name}.txt"[1:]


def is_image(path: str) -> bool:
    """Whether ultralytics takes a file for an image, by its name."""
    return path.rpartition(".")[2].lower() in SUFFIXES


# Between shares and pixels: `size` is width and height of the image.


def shares(box: Box, size: tuple[int, int]) -> Box:
    """A box of COCO (x, y, width, height in pixels) as center x, center y, width, height in shares."""
    x, y, width, height = box
    return (x + width / 2) / size[0], (y + height / 2) / size[1], width / size[0], height / size[1]


def pixels(box: Box, size: tuple[int, int]) -> Box:
    """The box of a row as COCO has it: x, y, width, height in pixels, to nine decimals, as many as survive the way."""
    center_x, center_y, width, height = box
    left, top = (center_x - width / 2) * size[0], (center_y - height / 2) * size[1]
    return rounded(left), rounded(top), rounded(width * size[0]), rounded(height * size[1])


def point_pixels(points: Sequence[float], size: tuple[int, int]) -> tuple[float, ...]:
    """x1, y1, x2, y2 and so on, from shares to pixels, to nine decimals."""
    return tuple(rounded(number * size[at % 2]) for at, number in enumerate(points))
