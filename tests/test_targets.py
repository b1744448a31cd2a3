"""Targets as torchvision's reference makes them, and masks to the pixel as pycocotools draws them."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from visprep import errors  # noqa: E402 -- torch first, or nothing
from visprep.formats.coco_pixels import pixels  # noqa: E402
from visprep.loaders.coco_index import CocoIndex  # noqa: E402
from visprep.loaders.targets import target_of  # noqa: E402

INFO = {"id": 7, "width": 40, "height": 30}
SIZE = (40, 30)


def annotation(**more: Any) -> dict[str, Any]:
    known = {"id": 1, "image_id": 7, "category_id": 3, "bbox": [2, 3, 10, 5], "area": 50.5, "iscrowd": 0}
    return {**known, "segmentation": [[2, 3, 12, 3, 12, 8, 2, 8]], **more}


def theirs(segmentation: Any, height: int, width: int) -> Any:
    masks = pytest.importorskip("pycocotools.mask")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is older than the numpy of today
        decoded = masks.decode(masks.frPyObjects(segmentation, height, width))
    return decoded.any(axis=2).astype(np.uint8) if decoded.ndim == 3 else decoded


def test_masks_of_the_real_files_are_those_of_pycocotools(real_coco: Path, tmp_path: Path) -> None:
    seen = 0
    for name in ("train2017", "val2017"):
        index = CocoIndex(real_coco / f"annotations/instances_{name}.json", index_dir=tmp_path)
        for number in range(len(index)):
            info = index.image(number)
            for one in index.annotations(number):
                mask = pixels(one["segmentation"], info["height"], info["width"])
                assert np.array_equal(mask, theirs(one["segmentation"], info["height"], info["width"]))
                seen += 1
    assert seen > 250


def test_masks_of_any_polygon_are_those_of_pycocotools() -> None:
    dice = random.Random(5)
    for _ in range(400):
        height, width = dice.randrange(1, 60), dice.randrange(1, 60)
        whole, reach = dice.random() < 0.3, dice.choice((0, 5, 200))
        polygons = []
        for _ in range(dice.randrange(1, 4)):
            points = [
                dice.uniform(-reach, (width, height)[nth % 2] + reach) for nth in range(2 * dice.randrange(3, 12))
            ]
            points = [float(round(one)) for one in points] if whole else points
            if dice.random() < 0.2:
                points[2:4] = points[:2]  # a point that comes twice
            polygons.append(points)
        assert np.array_equal(pixels(polygons, height, width), theirs(polygons, height, width)), polygons


def test_masks_of_runs_are_those_of_pycocotools() -> None:
    masks = pytest.importorskip("pycocotools.mask")
    drawn = (np.random.default_rng(1).random((23, 31)) < 0.4).astype(np.uint8)
    packed = masks.encode(np.asfortranarray(drawn))
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    assert np.array_equal(pixels(text, 23, 31), drawn)
    flat = drawn.T.reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], *([[0]] if flat[0] else []), edges, [len(flat)]])).astype(int).tolist()
    assert np.array_equal(pixels({"size": [23, 31], "counts": counts}, 23, 31), drawn)


def test_what_encloses_nothing_has_no_pixels() -> None:
    assert not pixels([], 4, 5).any()
    assert not pixels([[], [1, 1], [1, 1, 3, 3]], 4, 5).any()
    assert pixels([[0, 0, 5, 0, 5, 4, 0, 4, 9]], 4, 5).all()


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "NoneType"),
        ("abc", "str"),
        ([["a", 1, 2, 3, 4, 5]], "no list of numbers"),
        ([[[1, 2], [3, 4], [5, 6]]], "no list of numbers"),
        ([1, 2, 3, 4, 5, 6], "no list of numbers"),
        ([[0, 0, 1e9, 0, 1e9, 1e9]], "beyond all reason"),
        ({"size": [4, 5]}, "no counts"),
        ({"size": [4, 5], "counts": [3, -1, 18]}, "no counts"),
        ({"size": [4, 5], "counts": [21]}, "21 pixels"),
        ({"size": [5, 4], "counts": [20]}, r"\[5, 4\]"),
        ({"size": [4, 5], "counts": "\x7f"}, "no compressed mask"),
    ],
)
def test_what_cannot_be_drawn_is_refused(segmentation: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        pixels(segmentation, 4, 5)
    with pytest.raises(errors.WrongContent, match="annotation 1 cannot be drawn"):
        target_of({"id": 7}, [annotation(segmentation=segmentation)], (5, 4), "torchvision")


def test_a_target_is_as_the_reference_makes_it() -> None:
    crowd = annotation(id=2, iscrowd=1, segmentation={"size": [30, 40], "counts": [1200]})
    beyond = annotation(id=3, bbox=[35.5, -2, 20, 10.5], category_id=90)
    flat = annotation(id=4, bbox=[5, 5, 7, 0])
    target = target_of(INFO, [annotation(), crowd, beyond, flat], SIZE, "torchvision")
    assert target["boxes"].tolist() == [[2, 3, 12, 8], [35.5, 0, 40, 8.5]]
    assert target["boxes"].dtype == target["area"].dtype == torch.float32
    assert target["labels"].tolist() == [3, 90]
    assert target["labels"].dtype == target["iscrowd"].dtype == torch.int64
    assert target["iscrowd"].tolist() == [0, 0]
    assert target["area"].tolist() == [50.5, 50.5]
    assert target["image_id"] == 7
    assert target["masks"].shape == (2, 30, 40)
    assert target["masks"].dtype == torch.uint8
    assert target["masks"][0].sum() == 50
    assert "keypoints" not in target
    assert "masks" not in target_of(INFO, [annotation()], SIZE, "torchvision", masks=False)


def test_an_image_without_annotations_has_an_empty_target() -> None:
    target = target_of(INFO, [], SIZE, "torchvision")
    assert {key: tuple(value.shape) for key, value in target.items() if key != "image_id"} == {
        "boxes": (0, 4),
        "labels": (0,),
        "area": (0,),
        "iscrowd": (0,),
        "masks": (0, 30, 40),
    }


def test_keypoints_and_what_is_left_out_of_records() -> None:
    person = annotation(keypoints=[1, 2, 2, 0, 0, 0], num_keypoints=1)
    target = target_of(INFO, [person, {**person, "bbox": [0, 0, 0, 0]}], SIZE, "torchvision")
    assert target["keypoints"].tolist() == [[[1, 2, 2], [0, 0, 0]]]
    assert target_of(INFO, [{**person, "bbox": [0, 0, 0, 0]}], SIZE, "torchvision")["keypoints"].shape[0] == 0
    bare = target_of({}, [{"category_id": 1.0, "bbox": [1, 1, 2, 3]}], SIZE, "torchvision")
    assert bare["area"].tolist() == [6]
    assert bare["labels"].tolist() == [1]
    assert "masks" not in bare


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"bbox": None}, "annotation 1 has no box"),
        ({"bbox": [1, 2, 3]}, "annotation 1 has no box"),
        ({"bbox": [1, 2, 3, "4"]}, "annotation 1 has no box"),
        ({"category_id": None}, "has no category_id"),
        ({"category_id": 1.5}, "has no category_id"),
        ({"keypoints": [1, 2]}, "keypoints"),
        ({"keypoints": "x"}, "keypoints"),
    ],
)
def test_annotations_that_make_no_target(more: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.WrongContent, match=words):
        target_of(INFO, [annotation(**more)], SIZE, "torchvision")


def test_another_size_than_the_record_says() -> None:
    with pytest.raises(errors.WrongContent, match="image 7: the image has 30 x 40 pixels, its record says 40 x 30"):
        target_of(INFO, [], (30, 40), "torchvision")
    with pytest.raises(errors.UsageError, match="target_format='yolo'"):
        target_of(INFO, [], SIZE, "yolo")  # type: ignore[arg-type]
