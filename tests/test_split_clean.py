"""`split --clean`: what verify calls an error is left out, all of it, counted and listed; what is sound stays."""

from __future__ import annotations

import json
import shutil

import pytest

import visprep
from coco_place import annotations, edited, make
from conftest import tree
from engine_work import Counted
from visprep.split_file import load

FILE = "data/coco/annotations/instances_train2017.json"
SPLIT = ("split", FILE, "-o", "out", "--parts", "train=0.5,test=0.5")
CLEAN = (*SPLIT, "--clean")


@pytest.fixture
def place(run, tmp_path):
    return make(tmp_path / "work/data/coco", train=12, val=1)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/out"


def told(out):
    return load((out / "split.json").read_bytes(), "split.json")


def written(out):
    parts = [json.loads((out / f"instances_{part}.json").read_text()) for part in ("train", "test")]
    return {key: sorted(one["id"] for part in parts for one in part[key]) for key in ("images", "annotations")}


def sound(run, out):
    """Whether verify finds no error in what was written."""
    return [run("verify", out / f"instances_{part}.json").code for part in ("train", "test")] == [0, 0]


def edit(place):
    return edited(place / "annotations/instances_train2017.json")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda one: one.update(bbox=[1, 2, -3, 4]), "box-negative"),
        (lambda one: one.update(image_id=999), "annotation-image-unknown"),
        (lambda one: one.update(category_id=77), "category-unknown"),
        (lambda one: one.update(image_id="1"), "annotation-type"),
        (lambda one: one.update(id=2), "annotation-id-repeated"),
        (lambda one: one.pop("category_id"), "annotation-incomplete"),
        (lambda one: one.update(area=float("nan")), "json-nonfinite"),
        (lambda one: one.update(segmentation=[[1, 2, 3]]), "polygon-form"),
    ],
)
def test_an_annotation_at_fault_goes_and_its_image_stays(run, place, out, change, code):
    with edit(place) as data:
        change(data["annotations"][4])
        left = data["annotations"][4]["id"]
    found = [
        one["code"] for one in json.loads(run("verify", FILE, "--json").out)["findings"] if one["level"] == "error"
    ]
    assert len(found) == 1
    ended = run(*CLEAN)
    assert ended.code == 0, ended.err
    assert written(out)["images"] == list(range(1, 13))
    assert len(written(out)["annotations"]) == 23
    assert told(out).left_out.annotations == {found[0]: 1}
    (listed,) = told(out).left_out.listed
    assert (listed.why, listed.file) == (found[0], FILE)
    assert listed.annotation_id in (left, None)
    assert f"left out: 1 annotation (1 {found[0]})" in ended.out
    assert sound(run, out)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda one: one.update(width=0), "image-size-form"),
        (lambda one: one.pop("file_name"), "image-incomplete"),
        (lambda one: one.update(file_name="000000000001.jpg"), "image-name-repeated"),
        (lambda one: one.update(file_name="../x.jpg"), "image-name-unsafe"),
        (lambda one: one.update(id=1), "image-id-repeated"),
        (lambda one: one.update(id="4"), "image-type"),
    ],
)
def test_an_image_at_fault_goes_with_its_annotations(run, place, out, change, code):
    with edit(place) as data:
        before = data["images"][3]["file_name"]
        change(data["images"][3])
    ended = run(*CLEAN)
    assert ended.code == 0, ended.err
    assert written(out)["images"] == [1, 2, 3, *range(5, 13)]
    assert told(out).left_out.records == {code: 1}
    listed = told(out).left_out.listed
    assert [(one.why, one.file, one.row) for one in listed if one.row is not None] == [(code, FILE, 3)]
    assert listed[0].key == (data["images"][3].get("file_name") if code != "image-type" else None)
    counts = told(out).left_out.annotations
    assert (set(counts), sum(counts.values())) == ({"image-left-out"}, 2) or code in ("image-id-repeated", "image-type")
    assert sum(counts.values()) == len(listed) - 1 == 24 - len(written(out)["annotations"])
    assert before not in told(out).part_of()
    assert sound(run, out)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.pop("file_name"),
        lambda one: one.update(file_name="000000000001.jpg"),
        lambda one: one.update(id=1),
        lambda one: one.update(id="4"),
    ],
)
def test_without_clean_what_cannot_be_told_apart_is_an_error_that_names_it(run, place, out, change):
    with edit(place) as data:
        change(data["images"][3])
    ended = run(*SPLIT)
    assert (ended.code, "[wrong-content]" in ended.err, "--clean" in ended.err) == (3, True, True)
    assert FILE in ended.err
    assert f"visprep verify {FILE} says" in ended.err
    assert not out.exists()


def test_of_several_files_the_one_at_fault_is_named_as_it_was_said(run, place, tmp_path):
    for folder in ("one", "two"):
        (place / folder).mkdir()
        (place / folder / "_annotations.coco.json").write_text(json.dumps(annotations([1, 2, 3])))
    wrong = "data/coco/two/_annotations.coco.json"
    argv = ("split", "data/coco/one/_annotations.coco.json", wrong, "-o", "out", "--parts", "train=1.0")
    (tmp_path / "work" / wrong).write_text('{"images": [')
    ended = run(*argv)
    assert (ended.code, f"visprep: {wrong}: " in ended.err) == (3, True)
    assert f"visprep verify {wrong} says" in ended.err
    with edited(tmp_path / "work/data/coco/one/_annotations.coco.json") as data:
        (tmp_path / "work" / wrong).write_text(json.dumps(data))
        del data["images"][2]["file_name"]
    ended = run(*argv)
    assert "data/coco/one/_annotations.coco.json /images/2: it has no name" in ended.err
    assert "visprep verify data/coco/one/_annotations.coco.json says" in ended.err


def test_without_clean_what_is_wrong_but_can_be_split_passes_as_it_is(run, place, out):
    with edit(place) as data:
        data["annotations"][4]["bbox"] = [1, 2, -3, 4]
        data["annotations"][5]["image_id"] = 999
    ended = run(*SPLIT)
    assert ended.code == 0
    assert written(out)["annotations"] == [1, 2, 3, 4, 5, *range(7, 25)]
    assert told(out).left_out.annotations == {"annotation-image-unknown": 1}


def test_images_that_are_missing_broken_or_of_another_size_go(run, place, out):
    images = place / "train2017"
    (images / "000000000001.jpg").unlink()
    (images / "000000000002.jpg").write_bytes((images / "000000000002.jpg").read_bytes()[:-80])
    (images / "000000000003.jpg").write_bytes(b"")
    with edit(place) as data:
        data["images"][3]["width"] = 97
    assert run(*CLEAN).code == 0
    assert told(out).left_out.records == {
        "image-empty": 1, "image-missing": 1, "image-size-mismatch": 1, "image-truncated": 1
    }  # fmt: skip
    assert written(out)["images"] == list(range(5, 13))


@pytest.mark.parametrize(
    ("target", "hint"), [("../../elsewhere.jpg", "replace the link by the file"), ("gone.jpg", "try again")]
)
def test_an_image_that_cannot_be_read_is_named_once(run, place, out, target, hint):
    image = place / "train2017/000000000002.jpg"
    image.rename(place.parent / "elsewhere.jpg")
    image.symlink_to(target)
    ended = run(*CLEAN)
    assert (ended.code, ended.err.count(image.name), hint in ended.err) == (3, 1, True)
    assert ("try again" in ended.err) == (hint == "try again")
    assert not out.exists()


def test_thousands_of_one_kind_all_go(run, place, out):
    data = annotations(list(range(1, 1501)))
    for one in data["annotations"][::2]:
        one["bbox"] = [0, 0, -1, 1]
    for one in data["images"]:
        one["file_name"] = f"elsewhere/{one['id']}.jpg"
    shutil.rmtree(place / "train2017")
    (place / "annotations/instances_train2017.json").write_text(json.dumps(data))
    assert run(*CLEAN).code == 0
    assert told(out).left_out.annotations == {"box-negative": 1500}
    assert len(told(out).left_out.listed) == 1500
    assert sound(run, out)


def test_images_without_annotations_stay_unless_asked(run, place, out):
    with edit(place) as data:
        data["annotations"] = data["annotations"][:-2]
    run(*CLEAN)
    assert written(out)["images"] == list(range(1, 13))
    ended = run(*CLEAN, "--drop-empty")
    assert written(out)["images"] == list(range(1, 12))
    assert told(out).left_out.records == {"no-annotations": 1}
    assert "1 no-annotations" in ended.out


def test_an_image_whose_annotations_all_go_is_empty(run, place, out):
    with edit(place) as data:
        for one in data["annotations"][:2]:
            one["bbox"] = [0, 0, -1, 1]
    run(*CLEAN, "--drop-empty")
    assert told(out).left_out.records == {"no-annotations": 1}
    assert {one.name: one.records for one in told(out).classes} == {"person": 11, "dog": 11}


def test_what_no_record_can_be_blamed_for_ends_the_command(run, place, out):
    with edit(place) as data:
        data["categories"].append(data["categories"][0])
    ended = run(*CLEAN)
    assert (ended.code, "[category-id-repeated]" in ended.out) == (1, True)
    assert not out.exists()
    ended = run(*CLEAN, "--json")
    assert [one["code"] for one in json.loads(ended.out)["findings"]] == ["category-id-repeated"]


def test_a_download_that_has_not_ended_is_not_cleaned_away(run, place, out):
    (place / ".visprep").mkdir()
    (place / ".visprep/in-progress").write_text("{}")
    (place / "train2017/000000000001.jpg").unlink()
    ended = run(*CLEAN)
    assert (ended.code, "[place-incomplete]" in ended.err) == (3, True)
    assert not out.exists()


def test_when_nothing_is_left_that_is_told(run, place, out):
    with edit(place) as data:
        for one in data["images"]:
            one["width"] = 0
    ended = run(*CLEAN)
    assert (ended.code, "no record is left: image-size-form (12)" in ended.err) == (3, True)
    assert not out.exists()


def test_of_two_images_of_one_name_it_is_told_which_went(run, place, out):
    with edit(place) as data:
        data["images"][3]["file_name"] = "000000000001.jpg"
        data["annotations"] = data["annotations"][:7]  # one of the fourth
    assert run(*CLEAN).code == 0
    image, annotation = told(out).left_out.listed
    assert (image.key, image.image_id, image.row) == ("000000000001.jpg", 4, 3)
    assert (annotation.why, annotation.file, annotation.annotation_id) == ("image-left-out", FILE, 7)
    assert image.key in told(out).part_of()


def test_a_clean_file_comes_out_whole(run, place, out):
    run(*CLEAN)
    assert written(out) == {"images": list(range(1, 13)), "annotations": list(range(1, 25))}
    assert told(out).left_out.listed == ()


def test_an_engine_leaves_out_the_same(place, tmp_path, monkeypatch):
    """Of COCO, whose images it looks at, and of tasks, which it verifies."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (place / "train2017/000000000002.jpg").write_bytes(b"no image")
    (place / "train2017/000000000003.jpg").unlink()
    visprep.download("sample", tmp_path / "tasks", limit=4)
    next((tmp_path / "tasks").glob("*/*/first_frame.png")).write_bytes(b"no image")
    with Counted(1) as counted:
        for one, bad in ((place, 2), (tmp_path / "tasks", 1)):
            here, there = (tmp_path / f"{name}-{one.name}" for name in ("here", "there"))
            before = counted.lists
            visprep.split(one, output=here, parts="train=0.5,test=0.5", clean=True)
            visprep.split(one, output=there, parts="train=0.5,test=0.5", clean=True, engine=counted)
            assert tree(here) == tree(there)
            assert sum(told(here).left_out.records.values()) == bad
            assert counted.lists > before
