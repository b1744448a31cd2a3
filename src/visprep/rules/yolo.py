"""The rules of YOLO's labels: whether each row says something that readers take, and between labels and images.

What is wrong with data.yaml stands in `yolo_data`, what is wrong with an image by itself in `image_files`. Of the rows
of one file that are wrong in one way, there is one finding, with the lines of the first ten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from visprep.findings import Finding, Level
from visprep.formats.yolo import Box, Fault, Keypoints, Row, Wrong
from visprep.rules import Depth, Rule
from visprep.rules.lines import Said, together

_DRAW = "draw or export the label of that image again"

NO_LABELS = Rule(
    "no-labels",
    Level.ERROR,
    Depth.NAMES,
    "No image of the place has a label of YOLO.",
    "It is empty, or another directory was meant; labels are looked for beside images, with `labels` for `images`.",
    "name the directory with images/ and labels/ in it; see docs/yolo-and-voc.md",
    bad="A place with one image, photos/a.jpg, and nothing else.",
    near="images/a.jpg with labels/a.txt.",
)
YOLO_BOX_EMPTY = Rule(
    "yolo-box-empty",
    Level.WARNING,
    Depth.HEADERS,
    "A box has a width or a height of 0.",
    "Losses divide by it; nothing can be learned from it.",
    "remove the row",
    bad="`0 0.5 0.5 0.2 0`.",
    near="`0 0.5 0.5 0.2 0.0001`.",
)
YOLO_BOX_NEGATIVE = Rule(
    "yolo-box-negative",
    Level.ERROR,
    Depth.HEADERS,
    "A box has a width or a height below 0.",
    "Its corners were swapped. ultralytics drops the image with all of its objects, or its loss becomes NaN.",
    "swap the corners, and compute width and height again",
    bad="`0 0.5 0.5 -0.005 0.2`.",
    near="`0 0.0005 0.5 0.001 0.2`.",
)
YOLO_BOX_OUTSIDE = Rule(
    "yolo-box-outside",
    Level.ERROR,
    Depth.HEADERS,
    "A box leaves its image by more than a pixel, and by more than a hundredth of it where nobody knows its size.",
    "It was computed for another size of the image, or from its corner and not from its center: all of it is shifted.",
    "compute the box again, or cut it to the image",
    bad="`0 0.95 0.5 0.2 0.2`: it ends at 1.05 times the width.",
    near="`0 0.900001 0.5 0.2 0.2`: rounding.",
)
YOLO_CLASS_FLOAT = Rule(
    "yolo-class-float",
    Level.WARNING,
    Depth.HEADERS,
    "The class of a row is written as a number with a point.",
    "ultralytics takes it, supervision and others stop there.",
    "write 1 in place of 1.0",
    bad="`1.0 0.5 0.5 0.2 0.2`.",
    near="`1 0.5 0.5 0.2 0.2`.",
)
YOLO_CLASS_FORM = Rule(
    "yolo-class-form",
    Level.ERROR,
    Depth.HEADERS,
    "A row does not begin with the number of a class.",
    "ultralytics drops the image with all of its objects, and says so in one line among many.",
    "write the number of the class, as data.yaml has it",
    bad="`cat 0.5 0.5 0.2 0.2`.",
    near="`0 0.5 0.5 0.2 0.2`.",
)
YOLO_CLASS_RANGE = Rule(
    "yolo-class-range",
    Level.ERROR,
    Depth.HEADERS,
    "A class is below 0, or there is none of that number.",
    "ultralytics drops the image with all of its objects; others fail in the loss, or learn a class without a name.",
    "count classes from 0, and name all of them in data.yaml",
    bad="`2 0.5 0.5 0.2 0.2` where data.yaml names classes 0 and 1.",
    near="`1 0.5 0.5 0.2 0.2` there; or a place without any names of classes.",
)
YOLO_IMAGE_SMALL = Rule(
    "yolo-image-small",
    Level.WARNING,
    Depth.HEADERS,
    "An image has fewer than 10 pixels from side to side, or from top to bottom.",
    "ultralytics drops it, and says so in one line among many.",
    "move it away, with its label",
    bad="An image of 100 x 9 pixels.",
    near="An image of 10 x 10 pixels.",
)
YOLO_IMAGE_UNLISTED = Rule(
    "yolo-image-unlisted",
    Level.WARNING,
    Depth.NAMES,
    "A label has its image, and no part of data.yaml has it.",
    "Nobody trains on it, and nobody tests with it.",
    "name its directory in data.yaml, add it to a list, or move it away",
    bad="images/extra/a.jpg and labels/extra/a.txt, and data.yaml names images/train and images/val.",
    near="images/extra/a.jpg without a label.",
)
YOLO_KEYPOINT_FLAG = Rule(
    "yolo-keypoint-flag",
    Level.ERROR,
    Depth.HEADERS,
    "The third number of a keypoint is not 0, 1 or 2.",
    "It says whether the point is seen; with another number there, columns are shifted, or points count by weight.",
    "write 0 for a point that is not labeled, 1 for one that is hidden, 2 for one that is seen",
    bad="A keypoint `0.5 0.5 0.7`, with kpt_shape [17, 3].",
    near="A keypoint `0.5 0.5 2`.",
)
YOLO_LABEL_ENCODING = Rule(
    "yolo-label-encoding",
    Level.ERROR,
    Depth.HEADERS,
    "A label file is not text in plain UTF-8.",
    "ultralytics drops the image. A byte order mark makes the first class no number, to older ones and to others.",
    "save it as UTF-8, without a byte order mark",
    bad="A label in UTF-16, or one that Notepad saved with a byte order mark.",
    near="A label with Windows' line ends.",
)
YOLO_LABEL_MISSING = Rule(
    "yolo-label-missing",
    Level.WARNING,
    Depth.NAMES,
    "An image has no label file.",
    "It is trained on as one that shows nothing. If its label was lost, objects in it count as background.",
    "where it shows nothing, say so with an empty label file; else label it, or move it away",
    bad="images/train/a.jpg without labels/train/a.txt.",
    near="An empty labels/train/a.txt; or images of `test` of which none has a label.",
)
YOLO_LABEL_UNUSED = Rule(
    "yolo-label-unused",
    Level.ERROR,
    Depth.NAMES,
    "A label file has no image.",
    "Its objects are lost to training, and nobody is told; most often the image was not downloaded, or is misnamed.",
    "fetch the image, or remove the label",
    bad="labels/train/a.txt, and images/train has no a.jpg, a.png and so on.",
    near="labels/classes.txt: names of classes; train.txt: a list of images.",
)
YOLO_LABELS_MISSING = Rule(
    "yolo-labels-missing",
    Level.ERROR,
    Depth.NAMES,
    "No image of a part has a label.",
    "Training goes on with images that show nothing, or stops: labels are looked for in `labels` beside `images`.",
    "move the labels to where they are looked for",
    bad="images/train has ten images, and labels/train is not there.",
    near="The same of `test`: labels of tests are often kept back.",
)
YOLO_NOT_NORMALIZED = Rule(
    "yolo-not-normalized",
    Level.ERROR,
    Depth.HEADERS,
    "A number of a row is above 1.01, or below -0.01: it is no share of the image.",
    "It may be pixels. ultralytics drops an image with such a box, all of its objects with it, and bends a polygon.",
    "divide by width and height of the image",
    bad="`0 320 240 100 50`.",
    near="`0 0.5 0.5 1.005 1`.",
)
YOLO_POLYGON_SHORT = Rule(
    "yolo-polygon-short",
    Level.ERROR,
    Depth.HEADERS,
    "A row has five columns in a file with polygons: a polygon of two points, or a box among polygons.",
    "ultralytics drops the image with all of its objects; older ones take center and size for two corners.",
    "write at least three points; a box as its four corners",
    bad="`0 0.5 0.5 0.2 0.2` beside `0 0.1 0.1 0.2 0.1 0.2 0.2`.",
    near="`0 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6` beside it.",
)
YOLO_ROW_COLUMNS = Rule(
    "yolo-row-columns",
    Level.ERROR,
    Depth.HEADERS,
    "A row has another number of columns than its kind has.",
    "ultralytics drops the image with all of its objects, and says so in one line among many.",
    "write 5 columns for a box, pairs after the class for a polygon, 5 and all keypoints where there is kpt_shape",
    bad="`0 0.5 0.5 0.2`; or `0 0.5 0.5 0.2 0.2 0.93`, a prediction with its confidence.",
    near="Two spaces, or a tab, between two columns.",
)
YOLO_ROW_NUMBER = Rule(
    "yolo-row-number",
    Level.ERROR,
    Depth.HEADERS,
    "A column of a row is no number, or is not finite.",
    "ultralytics drops the image, or training ends with NaN.",
    _DRAW,
    bad="`0 0,5 0,5 0,2 0,2`: a comma for a point; or `nan`.",
    near="`0 5e-1 .5 0.2 0.2`.",
)
YOLO_ROW_REPEATED = Rule(
    "yolo-row-repeated",
    Level.WARNING,
    Depth.HEADERS,
    "A row is in its file twice.",
    "The object counts twice; ultralytics takes the second away, others do not.",
    "remove one of the two",
    bad="`0 0.5 0.5 0.2 0.2`, and once more.",
    near="The same box with another class.",
)
YOLO_STEM_SHARED = Rule(
    "yolo-stem-shared",
    Level.ERROR,
    Depth.NAMES,
    "Two images ask for one label file: they differ in nothing but the ending.",
    "Both are trained with the same boxes, which fit one of them at most.",
    "rename one of the images, and give it a label of its own",
    bad="images/a.jpg and images/a.png.",
    near="images/train/a.jpg and images/val/a.jpg: their labels are in two directories.",
)

RULES: tuple[Rule, ...] = (
    NO_LABELS,
    YOLO_BOX_EMPTY,
    YOLO_BOX_NEGATIVE,
    YOLO_BOX_OUTSIDE,
    YOLO_CLASS_FLOAT,
    YOLO_CLASS_FORM,
    YOLO_CLASS_RANGE,
    YOLO_IMAGE_SMALL,
    YOLO_IMAGE_UNLISTED,
    YOLO_KEYPOINT_FLAG,
    YOLO_LABEL_ENCODING,
    YOLO_LABEL_MISSING,
    YOLO_LABEL_UNUSED,
    YOLO_LABELS_MISSING,
    YOLO_NOT_NORMALIZED,
    YOLO_POLYGON_SHORT,
    YOLO_ROW_COLUMNS,
    YOLO_ROW_NUMBER,
    YOLO_ROW_REPEATED,
    YOLO_STEM_SHARED,
)

_OF_FAULT = {
    Wrong.BLANK: YOLO_ROW_COLUMNS,
    Wrong.CLASS: YOLO_CLASS_FORM,
    Wrong.CLASS_FLOAT: YOLO_CLASS_FLOAT,
    Wrong.COLUMNS: YOLO_ROW_COLUMNS,
    Wrong.ENCODING: YOLO_LABEL_ENCODING,
    Wrong.NUMBER: YOLO_ROW_NUMBER,
    Wrong.SHORT: YOLO_POLYGON_SHORT,
}
#: How far ultralytics lets a number leave 0 to 1.
_SLACK = 0.01
#: Pixels of a side that it takes, at least.
_SMALLEST = 10


def check(
    rows: Iterable[Row | Fault],
    path: str,
    *,
    image: str,
    count: int | None = None,
    keypoints: Keypoints | None = None,
    size: tuple[int, int] | None = None,
) -> Iterator[Finding]:
    """What is wrong with the rows of one label file.

    `count` is how many classes there are, None where nobody knows; `size` width and height of the image, where known.
    """
    said: dict[str, list[Said]] = {}
    seen: dict[Row, int] = {}
    for row in rows:
        if isinstance(row, Fault):
            found: Iterable[Said] = [(_OF_FAULT[row.wrong], row.line, row.words)]
        else:
            found = _of_row(row, count, keypoints, size)
            if row in seen:
                found = [*found, (YOLO_ROW_REPEATED, row.line, f"it is the same as line {seen[row]}")]
            seen.setdefault(row, row.line)
        for one in found:
            said.setdefault(one[0].code, []).append(one)
    for all_of_one in said.values():
        yield together(all_of_one, path, image=image)


def check_size(path: str, size: tuple[int, int] | None) -> Iterator[Finding]:
    """Whether an image of this width and height is large enough; nothing where they are not known."""
    if size and min(size) < _SMALLEST:
        yield YOLO_IMAGE_SMALL.at(path, f"it has {size[0]} x {size[1]} pixels", actual=list(size))


def _of_row(row: Row, count: int | None, keypoints: Keypoints | None, size: tuple[int, int] | None) -> Iterator[Said]:
    if row.label < 0 or (count is not None and row.label >= count):
        known = f"; there are classes 0 to {count - 1}" if count else ""
        yield YOLO_CLASS_RANGE, row.line, f"it is of class {row.label}{known}"
    flags = row.keypoints[2::3] if keypoints and keypoints[1] == 3 else ()
    points = [number for at, number in enumerate(row.keypoints) if not flags or at % 3 != 2]
    far = [number for number in (*(row.box or ()), *row.polygon, *points) if not -_SLACK <= number <= 1 + _SLACK]
    if any(flag not in (0, 1, 2) for flag in flags):
        yield YOLO_KEYPOINT_FLAG, row.line, f"a keypoint has {next(f for f in flags if f not in (0, 1, 2)):g}"
    if far:
        yield YOLO_NOT_NORMALIZED, row.line, f"{far[0]:g} is no share of the image"
    elif row.box:
        yield from _of_box(row.box, row.line, size)


def _of_box(box: Box, line: int, size: tuple[int, int] | None) -> Iterator[Said]:
    x, y, width, height = box
    if width < 0 or height < 0:
        yield YOLO_BOX_NEGATIVE, line, f"the box is {width:g} wide and {height:g} high"
        return
    if width == 0 or height == 0:
        yield YOLO_BOX_EMPTY, line, f"the box is {width:g} wide and {height:g} high"
        return
    for center, length, of, side in ((x, width, "width", 0), (y, height, "height", 1)):
        slack = 1 / size[side] + 1e-6 if size else _SLACK
        first, last = center - length / 2, center + length / 2
        if first < -slack or last > 1 + slack:
            yield YOLO_BOX_OUTSIDE, line, f"the box reaches from {first:.6g} to {last:.6g} of the image's {of}"
            return
