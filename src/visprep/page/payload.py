"""What a page shows, as plain data: whoever makes a page fills in a `Payload`.

All text is text: nothing in it is read as HTML. Coordinates are pixels of the original picture, whatever the size of
the one that is shown. Indices point into `Payload.items` and `FindingsSummary.items`, from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["image", "task", "triplet", "episode"]
ShapeKind = Literal["box", "outline", "keypoints"]
# `was` is the earlier place of something moved; `changed` is where it was, as another class or with other fields
State = Literal["", "same", "added", "removed", "moved", "was", "changed"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A line about the whole: `value` links to `href` where that is an http(s) address."""

    label: str
    value: str
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A command that made the dataset what it is: its verb, one sentence, and what was recorded of it."""

    name: str
    text: str = ""
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart; `count` is not negative."""

    label: str
    count: int | float


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars in the order they are shown; `unit` says what is counted ("images").

    Of more than 16 bars, a page folds away those after 12.
    """

    title: str
    unit: str
    bars: tuple[Bar, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text below a title; numbers are set right where a column of them is all digits."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One thing wrong (or one difference); `item` is where it can be seen, `href` the page of its code."""

    code: str
    level: str
    path: str
    message: str
    hint: str = ""
    item: int | None = None
    href: str | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """How many findings have a code, and the level of the gravest of them."""

    code: str
    level: str
    count: int


@dataclass(frozen=True, slots=True)
class FindingsSummary:
    """Counts of all findings by level, as {"error": 2}, and by code; `items` may be fewer, then `note` says so.

    Left out, the counts by code are those of the rows.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    items: tuple[FindingRow, ...] = ()
    note: str = ""
    codes: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a `data:image/...` address, with the size of the original in pixels.

    Where `src` is "" a box of that size is shown, with `note` in it: say there why it cannot be seen.
    """

    label: str
    src: str
    width: int
    height: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is drawn over picture number `picture` of an item.

    A box or an outline is an SVG path (`d`, even-odd for holes); keypoints are `points` (x, y, visible as in COCO:
    0 is not drawn, 1 is hidden, 2 is seen), with `skeleton` the pairs of points, from 0, that are joined.
    `detail` stands beside the label in the list ("crowd", "IoU 0.83", "id 12").
    """

    picture: int
    kind: ShapeKind
    label: str
    d: str = ""
    points: tuple[tuple[float, float, int], ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    state: State = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A caption, a prompt, or any other words that belong to an item; new lines are kept."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Video:
    """A video as a `data:video/...` address, or "" where it is not in the page; `note` is shown in both cases."""

    src: str
    type: str = "video/mp4"
    note: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One image with its annotations, one task, one triplet, one episode.

    `group` is what one filters by first (a split, a domain). `classes` adds to those of the shapes, for what is not
    drawn. `findings` are indices into the findings' rows, and `codes` counts all findings about it by code,
    those that have no row too; left out, the rows are all.
    """

    name: str
    group: str = ""
    kind: Kind = "image"
    pictures: tuple[Picture, ...] = ()
    shapes: tuple[Shape, ...] = ()
    texts: tuple[Text, ...] = ()
    tags: tuple[str, ...] = ()
    video: Video | None = None
    findings: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    codes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two items (indices) side by side, with what they are to each other and how far apart (or None)."""

    a: int
    b: int
    what: str
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """All that a page shows. Parts that are empty are not on the page.

    `total` is how many items there are in all, `how` a sentence on which of them are shown. `titles` renames parts:
    the keys are "facts", "steps", "charts", "findings", "items", "pairs", and of labels "group" (of the filter by it),
    "finding" and "message" (above the columns of findings).
    """

    title: str
    place: str
    kind: str
    facts: tuple[Fact, ...] = ()
    steps: tuple[Step, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()
    findings: FindingsSummary = field(default_factory=FindingsSummary)
    items: tuple[Item, ...] = ()
    pairs: tuple[Pair, ...] = ()
    total: int = 0
    how: str = ""
    summary: str = ""
    footer: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)


def box(picture: int, x: float, y: float, width: float, height: float, label: str, **more: str) -> Shape:
    """Return the shape of a COCO box; `more` is `state` and `detail`."""
    path = f"M{x:.6g} {y:.6g}h{width:.6g}v{height:.6g}h{-width:.6g}Z"
    return Shape(picture, "box", label, path, **more)  # type: ignore[arg-type]


def polygons(picture: int, rings: tuple[tuple[float, ...], ...], label: str, **more: str) -> Shape:
    """Return the shape of COCO polygons, each a row of x, y, x, y, ...; `more` is `state` and `detail`."""
    drawn = []
    for ring in rings:
        at = [f"{x:.5g} {y:.5g}" for x, y in zip(ring[::2], ring[1::2], strict=False)]
        drawn.append("M" + "L".join(at) + "Z")
    return Shape(picture, "outline", label, "".join(drawn), **more)  # type: ignore[arg-type]
