"""`verify_coco_dataset`: the answers that scripts ask for before they train."""

from __future__ import annotations

import inspect
import json
import os

import pytest

import visprep
from coco_place import make

ANSWERS = ["train_images", "val_images", "annotations", "train_annotations", "val_annotations"]


def test_its_arguments_are_those_that_scripts_give():
    parameters = inspect.signature(visprep.verify_coco_dataset).parameters
    assert {name: one.default for name, one in parameters.items()} == {
        "data_dir": "datasets/coco", "check_coco_raw": True,
    }  # fmt: skip


def test_nothing_is_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert visprep.verify_coco_dataset() == dict.fromkeys(ANSWERS, False)


def test_a_small_one_is_not_all_of_it(tmp_path):
    place = make(tmp_path / "coco")
    answers = visprep.verify_coco_dataset(place)
    assert answers == dict.fromkeys(ANSWERS, False) | {"annotations": True}
    assert answers.counts == {"train_images": 6, "val_images": 3, "train_annotations": 6, "val_annotations": 3}
    assert {one.code for one in answers.report.findings} == {"count-unexpected"}


def fill(place, split, count):
    (place / split).mkdir(parents=True)
    first = place / split / "0.jpg"
    first.write_bytes(b"")
    for number in range(1, count):
        os.link(first, place / split / f"{number}.jpg")


@pytest.mark.parametrize(("count", "enough"), [(4_000, False), (4_001, True)])
def test_more_than_4000_images_are_enough_of_val(tmp_path, count, enough):
    fill(tmp_path, "val2017", count)
    (tmp_path / "val2017/notes.txt").write_text("no image")
    (tmp_path / "annotations").mkdir()
    images = [{"id": number} for number in range(count)]
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps({"images": images}))
    answers = visprep.verify_coco_dataset(tmp_path)
    assert (answers["val_images"], answers["val_annotations"], answers["train_images"]) == (enough, enough, False)


@pytest.mark.parametrize(("count", "enough"), [(100_000, False), (100_001, True)])
def test_more_than_100000_images_are_enough_of_train(tmp_path, count, enough):
    (tmp_path / "annotations").mkdir()
    images = ",".join(f'{{"id": {number}}}' for number in range(count))
    (tmp_path / "annotations/instances_train2017.json").write_text(f'{{"images": [{images}]}}')
    assert visprep.verify_coco_dataset(tmp_path)["train_annotations"] is enough


def test_a_raw_directory_beside_it_is_taken_instead(tmp_path):
    make(tmp_path / "coco_raw")
    assert visprep.verify_coco_dataset(tmp_path / "coco").place == tmp_path / "coco_raw"
    assert visprep.verify_coco_dataset(tmp_path / "coco", check_coco_raw=False).place == tmp_path / "coco"


def test_damaged_annotations_are_false(tmp_path):
    place = make(tmp_path / "coco")
    (place / "annotations/instances_val2017.json").write_text("[")
    assert visprep.verify_coco_dataset(place).counts["val_annotations"] == 0
