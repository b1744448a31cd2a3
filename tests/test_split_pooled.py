"""`visprep split` on several splits as one: names tell whose image it is, whichever images are there."""

from __future__ import annotations

import json
import shutil

import pytest

from coco_place import annotations, edited, make
from visprep.split_file import load

PARTS = "train=0.5,val=0.5"


@pytest.fixture
def place(run, tmp_path):
    """Two splits whose images have the same names, and other ids."""
    place = make(tmp_path / "work/data/coco", train=20, val=20)
    with edited(place / "annotations/instances_val2017.json") as data:
        for image, named in zip(data["images"], sorted((place / "train2017").iterdir()), strict=True):
            (place / "val2017" / image["file_name"]).rename(place / "val2017" / f"new-{named.name}")
            image["file_name"] = named.name
        for one in data["annotations"]:
            one["id"] += 1000
    for image in (place / "val2017").iterdir():
        image.rename(image.with_name(image.name.removeprefix("new-")))
    return place


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/out"


def split(run, place, *more):
    files = [place / f"annotations/instances_{name}.json" for name in ("train2017", "val2017")]
    return run("split", *files, "-o", "out", "--parts", PARTS, *more)


def images(out):
    """The images of all parts: id and name."""
    files = sorted(out.glob("instances_*.json"))
    return {file.name: [(i["id"], i["file_name"]) for i in json.loads(file.read_text())["images"]] for file in files}


@pytest.mark.parametrize(
    ("layout", "gone"),
    [
        *(("", gone) for gone in ((), ("val2017",), ("train2017",), ("train2017", "val2017"))),
        *(("images", gone) for gone in ((), ("val2017",), ("train2017",))),
    ],
)
def test_names_are_the_same_whichever_images_are_there(run, place, out, gone, layout):
    for name in ("train2017", "val2017"):
        (place / layout).mkdir(exist_ok=True)
        if layout:
            (place / name).rename(place / layout / name)
        if name in gone:
            shutil.rmtree(place / layout / name)
    assert split(run, place).code == 0
    assert run("verify", "out").code == 0
    for part in images(out).values():
        assert len({name for _, name in part}) == len(part)
    above = f"{layout}/" if layout else ""
    found = {(id, name) for part in images(out).values() for id, name in part}
    assert found == {(n, f"{above}train2017/{n:012}.jpg") for n in range(1, 21)} | {
        (n, f"{above}val2017/{n - 20:012}.jpg") for n in range(21, 41)
    }


def test_an_image_of_another_split_is_not_taken_for_one_that_is_not_there(run, place, out):
    shutil.rmtree(place / "val2017")
    split(run, place, "--how", "copies")
    copied = {path.name for path in out.rglob("*.jpg")}
    assert copied == {f"{n:012}.jpg" for n in range(1, 21)}
    assert not list(out.glob("*/val2017"))
    assert len(list(out.rglob("*.jpg"))) == 20


def test_one_directory_of_all_images_needs_no_other_names(run, tmp_path, out):
    place = make(tmp_path / "work/data/coco", train=20, val=20)
    with edited(place / "annotations/instances_val2017.json") as data:
        for one in data["annotations"]:
            one["id"] += 1000
    (place / "images").mkdir()
    for image in [*(place / "train2017").iterdir(), *(place / "val2017").iterdir()]:
        image.rename(place / "images" / image.name)
    (place / "train2017").rmdir()
    (place / "val2017").rmdir()
    assert split(run, place).code == 0
    assert all("/" not in name for part in images(out).values() for _, name in part)


@pytest.mark.parametrize("there", [True, False])
def test_files_of_places_of_their_own_are_told_apart_by_these(run, tmp_path, out, there):
    files = [tmp_path / f"work/in/{split}/_annotations.coco.json" for split in ("train", "valid")]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True)
        data = annotations(list(range(1, 21)))
        for image in data["images"]:
            image["id"] += 100 * number
            if there:
                (file.parent / image["file_name"]).write_bytes(bytes([number]))
        for one in data["annotations"]:
            one |= {"id": one["id"] + 1000 * number, "image_id": one["image_id"] + 100 * number}
        file.write_text(json.dumps(data))
    assert run("split", *files, "-o", out, "--parts", "train=0.5,test=0.2,valid=0.3").code == 0
    found = {name for part in images(out).values() for _, name in part}
    assert found == {f"{split}/{n:012}.jpg" for split in ("train", "valid") for n in range(1, 21)}
    assert {one.directory for one in load((out / "split.json").read_bytes(), "split.json").inputs} == {"train", "valid"}


@pytest.mark.parametrize(
    "twice",
    [
        '"file_name": "zzz.jpg", "file_name": "000000000001.jpg"',
        '"file_name": "zzz.jpg", "file\\u005fname": "000000000001.jpg"',
        '"file_name": "000000000001.jpg", "note": "file_name"',
    ],
)
def test_of_a_name_that_stands_there_twice_the_one_that_counts_gains_the_directory(run, place, out, twice):
    train = place / "annotations/instances_train2017.json"
    text = train.read_text()
    assert text.count('"file_name": "000000000001.jpg"') == 1
    train.write_text(text.replace('"file_name": "000000000001.jpg"', twice))
    assert split(run, place).code == 0
    found = {name for part in images(out).values() for _, name in part}
    assert found == {f"{split}2017/{n:012}.jpg" for n in range(1, 21) for split in ("train", "val")}
