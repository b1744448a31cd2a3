"""The rules of boxes and areas in COCO JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.findings import Level
from visprep.formats.coco_scan import Ints
from visprep.rules import Depth, Rule
from visprep.rules.coco_notes import Notes

H = Depth.HEADERS
Floats = npt.NDArray[np.float64]

AREA_EXCEEDS_BOX = Rule(
    "area-exceeds-box",
    Level.WARNING,
    H,
    "The `area` of an annotation is larger than its box, by more than a hundredth and a pixel around it.",
    "Objects are evaluated as small, medium or large by it; the box or the area is of another size of the image.",
    "compute the area again, from the mask; where there is none, as width times height",
    bad="An area of 5,000 with a box of 50 x 50.",
    near="An area of 2,500 with a box of 50 x 50.",
)
AREA_FORM = Rule(
    "area-form",
    Level.WARNING,
    H,
    "The `area` of an annotation is 0 or below.",
    "Evaluation by size leaves it out; some readers drop the annotation.",
    "compute the area again, or remove the annotation",
    bad='`"area": 0.0`.',
    near='`"area": 0.5`.',
)
BOX_CORNERS = Rule(
    "box-corners",
    Level.ERROR,
    H,
    "The boxes of a file are written as x1, y1, x2, y2: most would leave their image as x, y, width, height.",
    "COCO's boxes are x, y, width, height: everything trained on these is far too large.",
    "subtract x1 from x2 and y1 from y2",
    bad="[400, 300, 600, 450] and its like in images of 640 x 480.",
    near="One box of many that leaves its image: that is box-outside-image.",
)
BOX_EMPTY = Rule(
    "box-empty",
    Level.WARNING,
    H,
    "A box has a width or a height of 0.",
    "Losses divide by it; most readers drop it. Official files have a handful of them.",
    "remove the annotation, or keep it where your loader copes with it",
    bad="[296.65, 388.33, 1.03, 0.0], annotation 918 of train2017.",
    near="[296.65, 388.33, 1.03, 0.01].",
)
BOX_FORM = Rule(
    "box-form",
    Level.ERROR,
    H,
    "The `bbox` of an annotation is not four numbers.",
    "Readers stop there, or shift what follows.",
    "write x, y, width, height",
    bad='`"bbox": [12, 30, 55]`.',
    near='`"bbox": [12, 30, 55.5, 40]`.',
)
BOX_NEGATIVE = Rule(
    "box-negative",
    Level.ERROR,
    H,
    "A box has a width or a height below 0.",
    "Its corners are swapped: overlaps come out negative, and losses become NaN.",
    "swap the corners, and compute width and height again",
    bad="[100, 100, -20, 50].",
    near="[-0.4, 100, 20, 50]: it begins a little left of the image.",
)
BOX_NORMALIZED = Rule(
    "box-normalized",
    Level.ERROR,
    H,
    "All boxes of a file lie between 0 and 1: they are shares of the image, not pixels.",
    "COCO counts in pixels: every object is read as a speck in the upper left corner.",
    "multiply by width and height of the image",
    bad="[0.25, 0.5, 0.1, 0.2], and all others like it.",
    near="One such box among others in pixels.",
)
BOX_OUTSIDE_IMAGE = Rule(
    "box-outside-image",
    Level.ERROR,
    H,
    "A box leaves its image by more than a pixel.",
    "It was computed for another size of the image: crops fail, and what is learned is shifted.",
    "compute the box again, or cut it to the image",
    bad="[600, 100, 80, 50] in an image 640 pixels wide.",
    near="[600, 100, 40.5, 50] there: rounding.",
)

RULES: tuple[Rule, ...] = (
    AREA_EXCEEDS_BOX,
    AREA_FORM,
    BOX_CORNERS,
    BOX_EMPTY,
    BOX_FORM,
    BOX_NEGATIVE,
    BOX_NORMALIZED,
    BOX_OUTSIDE_IMAGE,
)

#: Notes a rule, words, which of the annotations, and the member that is wrong.
Say = Callable[[Rule, str, int, str], None]


@dataclass
class Boxes:
    """All boxes of a file, as they are read: what is wrong with each is noted at once, with all of them at the end."""

    count: int = 0
    outside: int = 0
    corners: int = 0
    shares: int = 0

    def take(self, boxes: Floats, areas: Floats, crowds: Ints, sizes: tuple[Ints, Ints], say: Say) -> None:
        """The next boxes: NaN where there is none; `sizes` are 0 where nobody knows the image."""
        x, y, w, h = boxes.T
        width, height = sizes
        there = ~np.isnan(x)
        negative = (w < 0) | (h < 0)
        sized = there & ~negative & (width > 0)
        out = sized & ((x < -1) | (y < -1) | (x + w > width + 1) | (y + h > height + 1))
        like = sized & (w >= x) & (h >= y) & (w <= width + 1) & (h <= height + 1)
        share = there & (np.abs(boxes).max(axis=1, initial=0) <= 1)
        self.count += int(there.sum())
        self.outside += int(out.sum())
        self.corners += int(like.sum())
        self.shares += int(share.sum())
        empty = there & ~negative & ((w == 0) | (h == 0))
        whole = there & ~negative & ~empty & (crowds != 1)
        too_large = whole & (areas > (w + 1) * (h + 1) * 1.01)
        for at in np.flatnonzero(negative & there).tolist():
            say(BOX_NEGATIVE, f"the box {_text(boxes[at])} has a side below 0", at, "bbox")
        for at in np.flatnonzero(empty).tolist():
            say(BOX_EMPTY, f"the box {_text(boxes[at])} is empty", at, "bbox")
        for at in np.flatnonzero(out).tolist():
            where = f"leaves its image of {width[at]} x {height[at]}"
            say(BOX_OUTSIDE_IMAGE, f"the box {_text(boxes[at])} {where}", at, "bbox")
        for at in np.flatnonzero(areas <= 0).tolist():
            say(AREA_FORM, f"the area is {areas[at]:g}", at, "area")
        for at in np.flatnonzero(too_large).tolist():
            say(AREA_EXCEEDS_BOX, f"the area is {areas[at]:g}, the box {_text(boxes[at])}", at, "area")

    def finish(self, notes: Notes) -> bool:
        """What shows when all boxes are known; whether they mean something else than x, y, width, height in pixels."""
        if self.count >= 3 and self.shares == self.count:
            words = f"all {self.count:,} boxes lie between 0 and 1"
            notes.add(BOX_NORMALIZED, words, where={"pointer": "/annotations", "count": self.count})
            return True
        elif self.outside >= 3 and self.outside * 4 >= self.count and self.corners == self.count:
            words = f"{self.outside:,} of {self.count:,} boxes leave their image; read as corners, none does"
            notes.add(BOX_CORNERS, words, where={"pointer": "/annotations", "count": self.count})
            return True
        return False


def _text(box: Floats) -> str:
    return f"[{', '.join(f'{one:g}' for one in box)}]"
