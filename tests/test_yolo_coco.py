"""Annotations of COCO as rows of YOLO and back: what survives, and that all else is named."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from visprep.formats import coco_runs, yolo
from visprep.formats.mask_outlines import extent, joined, outlines, surface
from visprep.formats.yolo_coco import Task, fitted, flips, id_of, ids_of, read_back
from visprep.rules.yolo import check

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZES = st.tuples(st.integers(1, 9_999), st.integers(1, 9_999))
#: Shares of an image in steps that are none of a float's.
PARTS = st.integers(0, 1_000).map(lambda part: part / 1_000)
#: Any value that JSON may have where COCO wants a number or a list.
JUNK = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["counts", "size", "x"]), inner),
    max_leaves=12,
)


def inside(size, *parts):
    """Pixels of an image to two decimals, as COCO writes them."""
    return [min(round(part * size[at % 2], 2), float(size[at % 2])) for at, part in enumerate(parts)]


def through_a_file(row, size, keypoints=None):
    """The annotation that comes back once the row was written and read."""
    (read,) = yolo.read(yolo.write([row]), keypoints)
    assert read == row
    return read_back(read, size, keypoints)


@st.composite
def boxes(draw):
    size = draw(SIZES)
    left, right = sorted(draw(st.tuples(PARTS, PARTS)))
    top, bottom = sorted(draw(st.tuples(PARTS, PARTS)))
    x, y, end, low = inside(size, left, top, right, bottom)
    assume(end > x and low > y)
    return size, [x, y, round(end - x, 2), round(low - y, 2)]


@SETTINGS
@given(boxes())
def test_a_box_comes_back_to_the_last_digit(both):
    size, box = both
    found = fitted({"bbox": box, "area": round(box[2] * box[3], 9), "iscrowd": 0, "id": 1}, 3, size, Task.DETECT)
    assert found.lost == ()
    assert found.row.label == 3
    assert through_a_file(found.row, size)["bbox"] == box


@SETTINGS
@given(SIZES, st.lists(st.tuples(PARTS, PARTS), min_size=3, max_size=12))
def test_a_polygon_comes_back_to_the_last_digit(size, points):
    polygon = inside(size, *(part for point in points for part in point))
    x, y, width, height = extent(polygon)
    assume(width > 0 and height > 0)
    box = [round(number, 9) for number in (x, y, width, height)]
    annotation = {"segmentation": [polygon], "bbox": box, "area": round(abs(surface(polygon)), 9)}
    found = fitted(annotation, 0, size, Task.SEGMENT)
    assert found.lost == ()
    back = through_a_file(found.row, size)
    assert back["segmentation"] == [polygon]
    assert back["bbox"] == pytest.approx([x, y, width, height], abs=1e-8)


@SETTINGS
@given(boxes(), st.lists(st.tuples(PARTS, PARTS, st.sampled_from([0, 1, 2])), max_size=5), st.integers(0, 3))
def test_keypoints_come_back_to_the_last_digit(both, joints, more):
    size, box = both
    keypoints = [number for x, y, flag in joints for number in (*inside(size, x, y), flag)]
    seen = sum(flag > 0 for *_, flag in joints)
    count = len(joints) + more
    assume(count)
    annotation = {"bbox": box, "keypoints": keypoints, "num_keypoints": seen}
    found = fitted(annotation, 0, size, Task.POSE, count)
    assert found.lost == (() if joints else ("annotations.keypoints.missing",))
    back = through_a_file(found.row, size, (count, 3))
    assert back["keypoints"] == keypoints + [0, 0, 0] * more
    assert (back["bbox"], back["num_keypoints"]) == (box, seen)


@SETTINGS
@given(st.sampled_from(Task), SIZES, st.dictionaries(
    st.sampled_from(["bbox", "segmentation", "keypoints", "num_keypoints", "area", "iscrowd", "mine"]),
    JUNK | st.lists(st.floats(-50, 12_000) | st.integers(-50, 12_000), max_size=9)
    | st.lists(st.lists(st.floats(-50, 12_000), max_size=9), max_size=3)))  # fmt: skip
def test_whatever_an_annotation_says_a_row_is_one_that_readers_take_and_the_rest_is_named(task, size, annotation):
    found = fitted(annotation, 0, size, task, 2)
    keypoints = (2, 3) if task is Task.POSE else None
    if found.row is None:
        assert found.lost in (("annotations",), ("annotations.iscrowd",))
        return
    rows = list(yolo.read(yolo.write([found.row]), keypoints))
    faults = check(rows, "a.txt", image="a.jpg", count=1, keypoints=keypoints, size=size)
    assert [one.code for one in faults if one.level == "error" and one.code != "yolo-box-negative"] == []
    assert all(0 <= number <= 1 for number in (*found.row.polygon, *(found.row.box or ())))
    back = through_a_file(found.row, size, keypoints)
    for key in annotation.keys() - back.keys():
        value = annotation[key]
        empty = not value or (key == "keypoints" and isinstance(value, list) and not any(value))
        assert f"annotations.{key}" in found.lost or empty or key in ("segmentation", "keypoints", "num_keypoints")
    if "annotations.bbox" not in found.lost and annotation.get("bbox"):
        assert back["bbox"] == pytest.approx(annotation["bbox"], rel=1e-6, abs=1e-6)


BOX, HALF = [1, 1, 5, 5], [1, 1, 6, 1, 6, 6]


def rle(*counts):
    return {"counts": list(counts), "size": [10, 10]}


@pytest.mark.parametrize(
    ("annotation", "task", "lost"),
    [
        ({"bbox": BOX, "segmentation": [HALF]}, Task.DETECT, ["segmentation"]),
        ({"bbox": BOX, "segmentation": [], "keypoints": [0, 0, 0]}, Task.DETECT, ["keypoints", "segmentation"]),
        ({"bbox": BOX, "keypoints": [3, 3, 2], "num_keypoints": 1}, Task.DETECT, ["keypoints", "num_keypoints"]),
        ({"bbox": BOX, "score": 0.5, "attributes": {}}, Task.DETECT, ["attributes", "score"]),
        ({"bbox": BOX, "area": 24.5}, Task.DETECT, ["area"]),
        ({"bbox": [1, 1, 1.0000000001, 5]}, Task.DETECT, ["bbox"]),
        ({"bbox": BOX, "segmentation": []}, Task.SEGMENT, ["segmentation"]),
        ({"bbox": [-3, 1, 8, 5]}, Task.DETECT, ["bbox"]),
        ({"bbox": [-0.5, 1, 8, 5]}, Task.DETECT, []),
        ({"bbox": BOX, "segmentation": [HALF]}, Task.SEGMENT, []),
        ({"bbox": [1, 1, 9, 9], "segmentation": [HALF]}, Task.SEGMENT, ["bbox"]),
        ({"bbox": BOX}, Task.SEGMENT, []),
        ({"bbox": [0, 0, 0, 0], "segmentation": [HALF]}, Task.SEGMENT, ["bbox"]),
        ({"segmentation": [HALF]}, Task.SEGMENT, []),
        ({"bbox": BOX, "segmentation": [[1, 1, 6, 6]]}, Task.SEGMENT, ["segmentation"]),
        ({"bbox": [1, 1, 8, 5], "segmentation": [HALF, [8, 5, 9, 5, 9, 6]]}, Task.SEGMENT, ["segmentation"]),
        ({"bbox": [1, 1, 9, 5], "segmentation": [[1, 1, 12, 1, 6, 6]]}, Task.SEGMENT, ["segmentation"]),
        ({"bbox": [2, 0, 1, 2], "segmentation": rle(20, 2, 78)}, Task.SEGMENT, ["segmentation.counts"]),
        ({"bbox": [2, 0, 1, 2], "segmentation": rle(20, 2, 3)}, Task.SEGMENT, ["segmentation.counts"]),
        ({"bbox": BOX, "keypoints": [3, 3, 2, 30, 3, 2], "num_keypoints": 2}, Task.POSE, ["keypoints"]),
        ({"bbox": BOX, "keypoints": [3, 3, 2], "num_keypoints": 7}, Task.POSE, ["num_keypoints"]),
        ({"bbox": BOX, "keypoints": [3] * 9}, Task.POSE, ["keypoints"]),
        ({"bbox": BOX, "iscrowd": 1}, Task.DETECT, ["iscrowd"]),
        ({"bbox": [1, 1, 0, 5]}, Task.DETECT, [""]),
        ({"bbox": [11, 1, 5, 5]}, Task.DETECT, [""]),
        ({"category_id": 3}, Task.DETECT, [""]),
        ({"bbox": [10**400, 1, 5, 5]}, Task.DETECT, [""]),
        ({"bbox": [float("nan"), 1, 5, 5]}, Task.DETECT, [""]),
    ],
)  # fmt: skip
def test_what_is_lost_is_named(annotation, task, lost):
    found = fitted(annotation, 0, (10, 10), task, 2)
    assert sorted(found.lost) == [f"annotations.{name}".rstrip(".") for name in lost]
    assert (found.row is None) == (lost in ([""], ["iscrowd"]))


# Masks


@SETTINGS
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_outlines_hold_the_mask_and_its_holes(pixels):
    rings = outlines(pixels)
    assert all(number.is_integer() for ring in rings for number in ring)
    filled = np.logical_or.reduce([inner(ring, pixels.shape) for ring in rings] or [np.zeros_like(pixels)])
    assert not (pixels & ~filled).any()
    assert sum(map(surface, rings)) >= pixels.sum()
    if not _holes(pixels):
        assert (filled == pixels).all()
        assert sum(map(surface, rings)) == pixels.sum()


def inner(ring, shape):
    """The pixels whose middle is in a polygon: a ray from it crosses its edges an odd number of times."""
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    found = np.zeros(shape, bool)
    corners = list(zip(ring[0::2], ring[1::2], strict=True))
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        if ay != by:
            found ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) * (bx - ax) / (by - ay))
    return found


def _holes(pixels):
    """Whether something empty is shut in, also by pixels that touch at a corner only."""
    padded = np.pad(pixels, 1)
    reached = {(0, 0)}
    waiting = [(0, 0)]
    while waiting:
        y, x = waiting.pop()
        for one in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if (
                0 <= one[0] < padded.shape[0]
                and 0 <= one[1] < padded.shape[1]
                and not padded[one]
                and one not in reached
            ):
                reached.add(one)
                waiting.append(one)
    return len(reached) < (~padded).sum()


def test_polygons_become_one_by_bridges_without_width():
    squares = [[0, 0, 2, 0, 2, 2, 0, 2], [5, 0, 7, 0, 7, 2, 5, 2], [5, 5, 6, 5, 6, 6, 5, 6]]
    ring = joined(squares)
    assert surface(ring) == 4 + 4 + 1
    assert extent(ring) == (0, 0, 7, 6)
    assert {(ring[at], ring[at + 1]) for at in range(0, len(ring), 2)} == {
        (one[at], one[at + 1]) for one in squares for at in range(0, 8, 2)
    }


@pytest.mark.parametrize("compressed", [False, True])
def test_a_mask_becomes_its_outline(compressed):
    pixels = np.zeros((12, 20), np.uint8)
    pixels[3:7, 5:15] = 1
    pixels[9:11, 2:4] = 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], pixels.T.ravel()])))
    runs = np.diff([0, *edges, pixels.size])
    counts = coco_runs.compressed(runs) if compressed else runs.tolist()
    annotation = {"bbox": [2, 3, 13, 8], "segmentation": {"counts": counts, "size": [12, 20]}, "area": 44}
    found = fitted(annotation, 0, (20, 12), Task.SEGMENT)
    assert found.lost == ("annotations.segmentation.counts",)
    back = through_a_file(found.row, (20, 12))
    assert (back["area"], back["bbox"]) == (44, [2, 3, 13, 8])
    assert (inner(back["segmentation"][0], (12, 20)) == pixels).all()


# Names


def test_sides_that_are_mirrored():
    assert flips(["nose", "left_eye", "right_eye"]) == (0, 2, 1)
    assert flips(["left_eye", "nose"]) == flips(["nose", "tail"]) == flips([]) == ()


def test_ids_that_names_tell():
    assert [id_of(name) for name in ("val/000000000139.jpg", "7.png", "a1.jpg", "٣.jpg", f"{10**18}.jpg", ".jpg")] == [
        139, 7, None, None, None, None]  # fmt: skip
    assert ids_of(["1.jpg", "a/02.jpg"]) == [1, 2]
    assert ids_of(["1.jpg", "01.png"]) is ids_of(["1.jpg", None]) is None


def test_a_share_is_written_in_few_digits():
    found = fitted({"bbox": [10.21, 20.43, 100.5, 33.33]}, 0, (640, 427), Task.DETECT)
    assert all(len(word) <= 14 for word in yolo.write([found.row]).decode().split())
    assert math.isclose(found.row.box[2], 100.5 / 640, abs_tol=1e-12)
