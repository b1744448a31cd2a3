"""The rules of `segmentation` in COCO JSON: polygons, and runs of pixels (RLE), compressed or not."""

from __future__ import annotations

import msgspec
import numpy as np

from visprep.findings import Level
from visprep.formats import coco_polygons
from visprep.formats.coco_polygons import Outlines
from visprep.formats.coco_runs import totals, uncompressed
from visprep.formats.coco_scan import Ints
from visprep.rules import Depth, Rule
from visprep.rules.coco_boxes import Floats, Say

__all__ = ["POLYGON_OFF_BOX", "RULES", "check", "uncompressed"]

H = Depth.HEADERS

CROWD_POLYGON = Rule(
    "crowd-polygon",
    Level.WARNING,
    H,
    "An annotation is a crowd, and has polygons.",
    "COCO writes crowds as RLE; some readers tell crowds by that, and fail on the polygon.",
    "encode the mask as RLE, or set iscrowd to 0",
    bad='`"iscrowd": 1, "segmentation": [[10, 10, ...]]`.',
    near='`"iscrowd": 0` with RLE, as many tools write masks.',
)
POLYGON_FLAT = Rule(
    "polygon-flat",
    Level.WARNING,
    H,
    "All points of a polygon lie on one horizontal or vertical line.",
    "Its mask is empty. Official files have a handful of them, where the box is empty too.",
    "remove the polygon, or draw it again",
    bad="[296.65, 388.33, 297.68, 388.33, 296.65, 388.33].",
    near="A polygon half a pixel high.",
)
POLYGON_OFF_BOX = Rule(
    "polygon-off-box",
    Level.WARNING,
    H,
    "The polygons of an annotation reach elsewhere than its box, by more than 3 pixels.",
    "One of the two was resized or flipped without the other: boxes and masks then train against each other.",
    "compute the box again, from the polygons",
    bad="A polygon from 10 to 60, in a box from 20 to 120.",
    near="A box rounded to whole pixels.",
)
POLYGON_ODD = Rule(
    "polygon-odd",
    Level.ERROR,
    H,
    "A polygon has an odd number of numbers.",
    "A coordinate is missing: all points after the gap have x and y swapped.",
    "draw the polygon again",
    bad="[10, 10, 20, 10, 20].",
    near="[10, 10, 20, 10, 20, 20].",
)
POLYGON_OUTSIDE_IMAGE = Rule(
    "polygon-outside-image",
    Level.WARNING,
    H,
    "A polygon leaves its image by more than a pixel.",
    "It was drawn for another size of the image: the mask is shifted, or cut off.",
    "compute it again, or cut it to the image",
    bad="A point at x 700 in an image 640 pixels wide.",
    near="A point at x 640.5 there: rounding.",
)
POLYGON_SHORT = Rule(
    "polygon-short",
    Level.ERROR,
    H,
    "A polygon has fewer than three points.",
    "It encloses nothing; four numbers are taken for a box by pycocotools.",
    "remove the polygon, or write a box as four points",
    bad="[10, 10, 60, 40].",
    near="[10, 10, 60, 10, 60, 40].",
)
RLE_COUNTS = Rule(
    "rle-counts",
    Level.ERROR,
    H,
    "The runs of a mask do not add up to its height times width, are below 0, or cannot be decoded.",
    "Decoders write outside of the mask, crash, or return another mask.",
    "encode the mask again, column by column",
    bad="counts [100, 20] with size [480, 640].",
    near="counts [0, 307200] with size [480, 640]: all of it is mask.",
)
RLE_SIZE = Rule(
    "rle-size",
    Level.ERROR,
    H,
    "The `size` of a mask is not [height, width] of its image.",
    "Masks of different sizes cannot be compared: evaluation stops.",
    "encode the mask again at the size of the image; check that height comes first",
    bad="[640, 480] for an image 640 wide and 480 high.",
    near="[480, 640] there.",
)
SEGMENTATION_EMPTY = Rule(
    "segmentation-empty",
    Level.WARNING,
    H,
    "The `segmentation` of an annotation is there, and empty.",
    "pycocotools makes no mask of it: training on masks, or evaluating them, stops there.",
    "leave the key out where there are only boxes",
    bad='`"segmentation": []`.',
    near="An annotation without the key.",
)
SEGMENTATION_FORM = Rule(
    "segmentation-form",
    Level.ERROR,
    H,
    "A `segmentation` is neither a list of polygons, each a flat list of numbers, nor {counts, size}.",
    "Masks cannot be made of it.",
    "write [[x1, y1, x2, y2, ...], ...], or RLE",
    bad="[10, 10, 20, 10, 20, 20]: the polygon is not in a list.",
    near="[[10, 10, 20, 10, 20, 20]].",
)

RULES: tuple[Rule, ...] = (
    CROWD_POLYGON,
    POLYGON_FLAT,
    POLYGON_ODD,
    POLYGON_OFF_BOX,
    POLYGON_OUTSIDE_IMAGE,
    POLYGON_SHORT,
    RLE_COUNTS,
    RLE_SIZE,
    SEGMENTATION_EMPTY,
    SEGMENTATION_FORM,
)


class Rle(msgspec.Struct, gc=False):
    """A mask as runs of pixels."""

    size: list[int]
    counts: list[int] | str


_RLE = msgspec.json.Decoder(Rle)
_POLYGONS = msgspec.json.Decoder(list[list[float]])
_MANY = msgspec.json.Decoder(list[list[list[float]]])
_FIELD = "segmentation"


def check(found: list[tuple[int, bytes]], crowds: Ints, boxes: Floats, sizes: tuple[Ints, Ints], say: Say) -> None:
    """Look at some segmentations: which annotation, and its bytes; all else is that of all annotations."""
    lists = [one for one in found if one[1][0] == 0x5B]
    if len(lists) < len(found):
        _others([one for one in found if one[1][0] != 0x5B], sizes, say)
    if not lists:
        return
    numbers = np.array([at for at, _ in lists])
    outlines = coco_polygons.outlines([data for _, data in lists])
    if outlines is None:
        numbers, outlines = _with_care(lists, say)
    owners = numbers[outlines.owners]
    for at in np.unique(owners[crowds[owners] == 1]).tolist():
        say(CROWD_POLYGON, "it is a crowd, and has polygons", at, _FIELD)
    lengths = outlines.lengths
    for at in np.flatnonzero((lengths < 6) | (lengths % 2 == 1)).tolist():
        rule = POLYGON_ODD if lengths[at] % 2 else POLYGON_SHORT if lengths[at] else SEGMENTATION_EMPTY
        say(rule, f"a polygon has {lengths[at]} numbers", int(owners[at]), _FIELD)
    whole = (lengths >= 6) & (lengths % 2 == 0)
    if whole.any() and whole.all():
        extents(outlines.low, outlines.high, owners, boxes, sizes, say)
    elif whole.any():
        extents(outlines.low[whole], outlines.high[whole], owners[whole], boxes, sizes, say)


def _others(found: list[tuple[int, bytes]], sizes: tuple[Ints, Ints], say: Say) -> None:
    """Look at segmentations that are no lists."""
    packed: list[tuple[int, Rle]] = []
    for at, data in found:
        try:
            mask = _RLE.decode(data)
        except RecursionError:
            say(SEGMENTATION_FORM, "the segmentation nests too deep", at, _FIELD)
        except ValueError as problem:
            say(SEGMENTATION_FORM, f"the segmentation: {problem}", at, _FIELD)
        else:
            if not _sized(at, mask, int(sizes[0][at]), int(sizes[1][at]), say):
                continue
            if isinstance(mask.counts, str):
                packed.append((at, mask))
            else:
                _runs(at, mask, sum(mask.counts), min(mask.counts, default=0), say)
    texts = [str(mask.counts) for _, mask in packed]
    known = totals(texts)
    for number, (at, mask) in enumerate(packed):
        try:
            counts = [] if known else uncompressed(texts[number])
        except ValueError as problem:
            say(RLE_COUNTS, str(problem), at, _FIELD)
            continue
        total, least = (known[0][number], known[1][number]) if known else (sum(counts), min(counts, default=0))
        _runs(at, mask, int(total), int(least), say)


def _with_care(found: list[tuple[int, bytes]], say: Say) -> tuple[Ints, Outlines]:
    """The polygons of segmentations that are lists of something, and the annotations that have them."""
    try:
        decoded = _MANY.decode(b"[" + b",".join(data for _, data in found) + b"]")
        rows = [(at, polygons) for (at, _), polygons in zip(found, decoded, strict=True)]
    except (ValueError, RecursionError):
        rows = []
        for at, data in found:
            try:
                rows.append((at, _POLYGONS.decode(data)))
            except RecursionError:
                say(SEGMENTATION_FORM, "the segmentation nests too deep", at, _FIELD)
            except ValueError as problem:
                say(SEGMENTATION_FORM, f"the segmentation: {problem}", at, _FIELD)
    for at, polygons in rows:
        if not polygons:
            say(SEGMENTATION_EMPTY, "the segmentation is an empty list", at, _FIELD)
    counts = [len(polygons) for _, polygons in rows]
    whole = [polygon for _, polygons in rows for polygon in polygons]
    low, high = np.full((len(whole), 2), np.nan), np.full((len(whole), 2), np.nan)
    for number, polygon in enumerate(whole):
        if polygon and len(polygon) % 2 == 0:
            x, y = polygon[0::2], polygon[1::2]
            low[number], high[number] = (min(x), min(y)), (max(x), max(y))
    lengths = np.fromiter(map(len, whole), np.int64, len(whole))
    owners = np.repeat(np.arange(len(rows)), counts)
    return np.array([at for at, _ in rows], np.int64), Outlines(owners, lengths, low, high)


def extents(low: Floats, high: Floats, owners: Ints, boxes: Floats, sizes: tuple[Ints, Ints], say: Say) -> None:
    """Look at where polygons reach: their least and largest x and y."""
    for at in np.flatnonzero((low == high).any(axis=1)).tolist():
        say(POLYGON_FLAT, f"all points of a polygon lie on {_line(low[at], high[at])}", int(owners[at]), _FIELD)
    width, height = sizes[0][owners], sizes[1][owners]
    outside = (low < -1).any(axis=1) | (high[:, 0] > width + 1) | (high[:, 1] > height + 1)
    for at in np.flatnonzero(outside & (width > 0)).tolist():
        reach = f"{low[at, 0]:g}, {low[at, 1]:g} to {high[at, 0]:g}, {high[at, 1]:g}"
        words = f"a polygon reaches from {reach}, the image is {width[at]} x {height[at]}"
        say(POLYGON_OUTSIDE_IMAGE, words, int(owners[at]), _FIELD)
    firsts = np.flatnonzero(np.concatenate([[True], owners[1:] != owners[:-1]]))
    least, most = np.minimum.reduceat(low, firsts), np.maximum.reduceat(high, firsts)
    box = boxes[owners[firsts]]
    off = (np.abs(least - box[:, :2]) > 3).any(axis=1) | (np.abs(most - box[:, :2] - box[:, 2:]) > 3).any(axis=1)
    sound = (box[:, 2:] > 0).all(axis=1)
    for at in np.flatnonzero(off & sound).tolist():
        reach = f"{least[at, 0]:g}, {least[at, 1]:g} to {most[at, 0]:g}, {most[at, 1]:g}"
        x, y, w, h = box[at].tolist()
        words = f"the polygons reach from {reach}, the box from {x:g}, {y:g} to {x + w:g}, {y + h:g}"
        say(POLYGON_OFF_BOX, words, int(owners[firsts[at]]), _FIELD)


def _line(low: Floats, high: Floats) -> str:
    if (low == high).all():
        return "one point"
    return "a horizontal line" if low[1] == high[1] else "a vertical line"


def _sized(at: int, mask: Rle, width: int, height: int, say: Say) -> bool:
    """Whether the size of a mask is one that its runs can be held against; where it is a wrong one, that is noted."""
    if len(mask.size) != 2 or min(mask.size) < 0:
        say(RLE_SIZE, f"the size is {mask.size[:3]}, not height and width", at, _FIELD)
        return False
    if width > 0 and mask.size != [height, width]:
        swapped = ": width and height are swapped" if mask.size == [width, height] else ""
        say(RLE_SIZE, f"the size is {mask.size}, that of the image {[height, width]}{swapped}", at, _FIELD)
    return True


def _runs(at: int, mask: Rle, total: int, least: int, say: Say) -> None:
    if least < 0:
        say(RLE_COUNTS, f"a run has the length {least}", at, _FIELD)
    elif total != mask.size[0] * mask.size[1]:
        say(RLE_COUNTS, f"the runs add up to {total:,}, not {mask.size[0]} x {mask.size[1]}", at, _FIELD)
