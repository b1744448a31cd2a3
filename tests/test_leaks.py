"""leaks: planted copies are found in parts that anyone made, and nothing else is."""

import json
import shutil
from pathlib import Path

import pytest

import scenes
import visprep
from scenes import COPIES, FOUND_BY, document, encoded, photo, scene, write

#: Part -> pictures: no two are alike.
CLEAN = {
    "train": {f"{number:04}.jpg": photo(number) for number in range(12)},
    "val": {f"{number:04}.jpg": photo(number) for number in range(12, 16)},
    "test": {f"{number:04}.jpg": photo(number) for number in range(16, 20)},
}
PHOTOS = (scenes.coco, scenes.roboflow, scenes.images, scenes.vton)
LAYOUTS = (*PHOTOS, scenes.tasks, scenes.frames)


def planted(copies):
    """The clean parts, and in test a copy of another picture of train for each of `copies`."""
    added = {f"leak-{at}.jpg": COPIES[how](CLEAN["train"][f"{at:04}.jpg"]) for at, how in enumerate(copies)}
    return {**CLEAN, "test": {**CLEAN["test"], **added}}


def told(ended):
    """The findings of a run with --json."""
    return json.loads(ended.out)["findings"]


def leaks_of(ended):
    """The stem of each record that leaks -> by what, and the stem of the first."""
    return {
        Path(one["path"]).stem: (one["where"]["kind"], Path(one["where"]["first"]).stem)
        for one in told(ended)
        if one["code"].startswith("leak-")
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_clean_set_has_no_leaks(run, tmp_path, layout):
    layout(tmp_path / "place", CLEAN)
    ended = run("leaks", tmp_path / "place")
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "no findings")
    assert "3 parts, 20 records" in ended.out
    assert ended.err.endswith("no leaks\n")


@pytest.mark.parametrize("layout", PHOTOS)
def test_planted_copies_are_found_in_every_layout(run, tmp_path, layout):
    layout(tmp_path / "place", planted(COPIES))
    ended = run("leaks", tmp_path / "place", "--json")
    assert ended.code == 1
    assert leaks_of(ended) == {
        f"leak-{at}": (FOUND_BY.get(how, "perceptual"), f"{at:04}") for at, how in enumerate(COPIES)
    }
    assert len(told(ended)) == len(COPIES)
    assert {tuple(one["where"]["parts"]) for one in told(ended)} in ({("train", "test")}, {("train2017", "test2017")})
    assert {one["code"] for one in told(ended)} == {"leak-across-parts"}


@pytest.mark.parametrize("layout", [scenes.tasks, scenes.frames])
def test_frames_are_recognized_by_bytes_and_pixels(run, tmp_path, layout):
    layout(tmp_path / "place", planted(["bytes", "pixels"]))
    ended = run("leaks", tmp_path / "place", "--json")
    assert ended.code == 1
    assert {name: first for name, (_, first) in leaks_of(ended).items()} == {"leak-0": "0000", "leak-1": "0001"}


def test_the_json_says_all_there_is(run, tmp_path):
    scenes.coco(tmp_path / "place", planted(["bytes", "half"]))
    said = json.loads(run("leaks", tmp_path / "place", "--json").out)
    assert said["format_version"] == 1
    assert (said["result"], said["pairs"]) == ("leaks", 12 * 4 + 12 * 6 + 4 * 6)
    assert said["leaks"] == {"record": 0, "bytes": 1, "pixels": 0, "perceptual": 1, "group": 0}
    assert said["parts"][2] == {"name": "test2017", "records": 6, "images": 6, "not_compared": 0}
    assert said["bytes"] == sum(file.stat().st_size for file in (tmp_path / "place").rglob("*.jpg"))
    (half,) = [one for one in said["findings"] if one["where"]["kind"] == "perceptual"]
    assert half["path"] == "test2017/leak-1.jpg"
    assert half["where"]["first"] == "train2017/0001.jpg"
    assert 0 < half["where"]["distance"] < 6
    assert half["message"] == "it looks like train2017/0001.jpg in train2017"
    assert half["level"] == "error"


# Several places, each a part


@pytest.fixture
def two(tmp_path):
    """Two places of images; each copy of `COPIES` in the second."""
    parts = planted(COPIES)
    write(tmp_path / "work/mine", parts["train"])
    write(tmp_path / "work/theirs", parts["test"])
    return "mine", "theirs"


def test_several_places_are_a_part_each(run, two):
    ended = run("leaks", *two, "--json")
    assert ended.code == 1
    assert len(leaks_of(ended)) == len(COPIES)
    (first, *_) = told(ended)
    assert (first["path"], first["where"]["first"]) == ("theirs/leak-0.jpg", "mine/0000.jpg")
    assert first["where"]["parts"] == ["mine", "theirs"]


def test_against_another_place(run, two, tmp_path):
    ended = run("leaks", "mine", "--against", "theirs", "--json")
    assert ended.code == 1
    assert {one["code"] for one in told(ended)} == {"leak-across-places"}
    assert len(leaks_of(ended)) == len(COPIES)
    write(tmp_path / "work/others", CLEAN["val"])
    assert run("leaks", "mine", "--against", "others").code == 0


def test_against_does_not_look_at_parts(run, tmp_path):
    scenes.images(tmp_path / "work/mine", planted(COPIES))
    write(tmp_path / "work/theirs", {"a.jpg": photo(99)})
    assert run("leaks", "mine", "--against", "theirs").code == 0


def test_all_of_a_coco_place_is_held_against_images(run, tmp_path):
    scenes.coco(tmp_path / "work/mine", CLEAN)
    write(tmp_path / "work/theirs", {"a.jpg": COPIES["half"](CLEAN["val"]["0013.jpg"])})
    ended = run("leaks", "mine", "--against", "theirs", "--json")
    assert leaks_of(ended) == {"a": ("perceptual", "0013")}


def test_annotation_files_are_parts(run, tmp_path):
    place = tmp_path / "work/data"
    write(place / "images", {**CLEAN["train"], **CLEAN["val"], "again.jpg": CLEAN["train"]["0003.jpg"]})
    write(place, {"mine.json": document(list(CLEAN["train"])), "other.json": document([*CLEAN["val"], "0001.jpg"])})
    ended = run("leaks", "data/mine.json", "data/other.json", "--json")
    assert ended.code == 1
    assert leaks_of(ended) == {"0001": ("record", "0001")}
    write(place, {"other.json": document([*CLEAN["val"], "again.jpg"])})
    assert leaks_of(run("leaks", "data/mine.json", "data/other.json", "--json")) == {"again": ("bytes", "0003")}


def test_an_image_in_all_parts_is_told_of_each_pair(run, tmp_path):
    parts = {part: {**files, "same.jpg": photo(77)} for part, files in CLEAN.items()}
    scenes.images(tmp_path / "place", parts)
    found = told(run("leaks", tmp_path / "place", "--json"))
    pairs = [(one["path"].partition("/")[0], *one["where"]["parts"]) for one in found]
    assert sorted(pairs) == [("test", "train", "test"), ("test", "val", "test"), ("val", "train", "val")]


def test_splits_of_2014_and_of_2017_part_the_same_images(run, tmp_path):
    scenes.coco(tmp_path / "place", CLEAN)
    write(tmp_path / "place/val2014", CLEAN["train"])
    write(tmp_path / "place/annotations", {"instances_val2014.json": document(list(CLEAN["train"]))})
    ended = run("leaks", tmp_path / "place", "--json", "--certificate", "new.json")
    assert ended.code == 0
    assert {one["code"] for one in told(ended)} == {"part-not-compared"}
    apart = [("train2017", "val2014"), ("val2014", "val2017"), ("val2014", "test2017")]
    assert sorted(tuple(one["where"]["parts"]) for one in told(ended)) == sorted(apart)
    assert sorted(map(tuple, json.loads(Path("new.json").read_text())["uncompared"])) == sorted(apart)
    assert run("leaks", "--check", "new.json").code == 0


def test_a_part_of_no_year_is_held_against_those_of_every_year(run, tmp_path):
    scenes.coco(tmp_path / "place", {part: CLEAN[part] for part in ("train", "val")})
    copies = {**CLEAN["test"], "of-train.jpg": CLEAN["train"]["0003.jpg"], "of-2014.jpg": photo(60)}
    write(tmp_path / "place", {f"test/{name}": data for name, data in copies.items()})
    write(tmp_path / "place", {"val2014/0060.jpg": photo(60), "val2014/0004.jpg": CLEAN["train"]["0004.jpg"]})
    write(tmp_path / "place/annotations", {"instances_test.json": document(list(copies))})
    write(tmp_path / "place/annotations", {"instances_val2014.json": document(["0060.jpg", "0004.jpg"])})
    ended = run("leaks", tmp_path / "place", "--json")
    assert ended.code == 1
    assert leaks_of(ended) == {"of-train": ("bytes", "0003"), "of-2014": ("bytes", "0060")}


def test_parts_of_different_years_only_are_nothing_to_compare(run, tmp_path):
    write(tmp_path / "work/data", {"instances_train2014.json": document(["a.jpg"])})
    write(tmp_path / "work/data", {"instances_val2017.json": document(["a.jpg"])})
    ended = run("leaks", "data")
    assert ended.code == 2
    assert "parts of different years only" in ended.err


def test_what_is_in_no_part_is_told(run, tmp_path):
    scenes.images(tmp_path / "work/data", {**CLEAN, "holdout": {"a.jpg": CLEAN["train"]["0001.jpg"]}})
    ended = run("leaks", "data", "--json")
    assert ended.code == 0
    (one,) = told(ended)
    assert (one["code"], one["level"], one["path"]) == ("part-not-compared", "note", "holdout")
    assert one["message"] == "1 record in no part, compared with none"
    scenes.coco(tmp_path / "work/coco", CLEAN)
    write(tmp_path / "work/coco", {"extra/labels.json": document(["0000.jpg"])})
    (one,) = told(run("leaks", "coco", "--json"))
    assert (one["code"], one["path"]) == ("part-not-compared", "extra/labels.json")


def test_a_cleaned_annotation_file_stands_for_the_original(run, tmp_path):
    scenes.coco(tmp_path / "place", planted(["bytes"]))
    write(tmp_path / "place/annotations", {"instances_test2017.cleaned.json": document(["0016.jpg", "0017.jpg"])})
    ended = run("leaks", tmp_path / "place", "--json")
    assert (ended.code, told(ended)) == (0, [])
    assert json.loads(ended.out)["parts"][2]["records"] == 2


def test_tasks_with_an_annotation_file_among_them_are_tasks(run, tmp_path):
    scenes.tasks(tmp_path / "place", planted(["bytes"]))
    write(tmp_path / "place", {"instances_train2017.json": document(["a.jpg"])})
    ended = run("leaks", tmp_path / "place", "--json")
    assert leaks_of(ended) == {"leak-0": ("pixels", "0000")}


@pytest.mark.parametrize("layout", [scenes.coco, scenes.images])
def test_a_zip_file(run, tmp_path, layout):
    layout(tmp_path / "place", planted(["bytes", "half"]))
    shutil.make_archive(str(tmp_path / "work/data"), "zip", tmp_path / "place")
    found = leaks_of(run("leaks", "data.zip", "--json"))
    assert found == {"leak-0": ("bytes", "0000"), "leak-1": ("perceptual", "0001")}


def test_results_and_files_of_several_names_beside_the_annotations(run, tmp_path):
    scenes.coco(tmp_path / "place", planted(["bytes"]))
    place = tmp_path / "place/annotations"
    write(place, {"my_coco_results_val2017.json": '[{"image_id": 1, "category_id": 1, "score": 0.5}]'})
    write(place, {"captions_test2017.json": (place / "instances_test2017.json").read_bytes()})
    write(place, {"my_coco_test2017.json": document(["leak-0.jpg", "0016.jpg"])})
    ended = run("leaks", tmp_path / "place", "--json")
    assert leaks_of(ended) == {"leak-0": ("bytes", "0000")}
    assert [part["records"] for part in json.loads(ended.out)["parts"]] == [12, 4, 5]


# What cannot be compared


def test_images_that_are_no_images_are_told(run, tmp_path):
    scenes.coco(tmp_path / "place", CLEAN)
    (tmp_path / "place/val2017/0012.jpg").write_bytes(b"<html>not found</html>")
    (tmp_path / "place/val2017/0013.jpg").write_bytes(CLEAN["val"]["0013.jpg"][:2000])
    (tmp_path / "place/val2017/0014.jpg").unlink()
    ended = run("leaks", tmp_path / "place", "--json", "--certificate", "new.json")
    assert ended.code == 1
    found = {one["path"]: one["code"] for one in told(ended)}
    assert found == {f"val2017/00{number}.jpg": "image-not-compared" for number in (12, 13, 14)}
    said = json.loads(Path("new.json").read_text())
    assert said["result"] == json.loads(ended.out)["result"] == "incomplete"
    assert said["parts"][1]["not_compared"] == 3


def test_an_image_that_no_annotation_file_names_is_in_no_part(run, tmp_path):
    scenes.coco(tmp_path / "place", CLEAN)
    write(tmp_path / "place/train2017", {"unlisted.jpg": CLEAN["val"]["0012.jpg"], "broken.jpg": b"no image"})
    assert run("leaks", tmp_path / "place").code == 0


def test_an_image_that_may_not_be_read_is_an_error(run, tmp_path, bound):
    scenes.images(tmp_path / "place", CLEAN)
    (tmp_path / "place/val/cats/0012.jpg").chmod(0)
    ended = run("leaks", tmp_path / "place", "--json")
    assert ended.code == 3
    assert [one["code"] for one in told(ended)] == ["image-unreadable"]


def test_without_images_only_names_are_compared_and_it_is_told(run, tmp_path):
    write(tmp_path / "work", {"train.json": document(["a.jpg", "b.jpg"]), "test.json": document(["b.jpg", "c.jpg"])})
    ended = run("leaks", "train.json", "test.json", "--json")
    assert ended.code == 1
    assert leaks_of(ended) == {"b": ("record", "b")}
    lacking = [one for one in told(ended) if one["code"] == "image-not-compared"]
    assert [(one["path"], one["where"]["count"]) for one in lacking] == [("test.json", 2), ("train.json", 2)]
    assert lacking[0]["hint"] == "bring the images to where test.json expects them"


# What makes no sense


def test_one_part_is_nothing_to_compare(run, tmp_path):
    write(tmp_path / "work/data/train", CLEAN["train"])
    ended = run("leaks", "data")
    assert (ended.code, ended.out) == (2, "")
    assert "one part" in ended.err
    assert "visprep leaks data --against PLACE" in ended.err
    write(tmp_path / "work", {"train.json": document(["a.jpg"])})
    assert run("leaks", "train.json").code == 2
    assert run("leaks").code == 2
    assert run("leaks", "data", "data").code == 2


def test_records_of_different_kinds_are_not_compared(run, tmp_path):
    scenes.tasks(tmp_path / "work/puzzles", {"train": CLEAN["val"]})
    write(tmp_path / "work/photos", CLEAN["test"])
    ended = run("leaks", "puzzles", "photos")
    assert ended.code == 2
    assert "different kinds" in ended.err


def test_a_place_that_is_not_there(run):
    assert run("leaks", "nowhere").code == 3


# On S3


def test_a_prefix_on_s3(run, tmp_path, bucket):
    scenes.coco(tmp_path / "place", planted(["bytes", "half"]))
    there = f"s3://{bucket}/data"
    assert run("upload", tmp_path / "place", there).code == 0
    ended = run("leaks", there, "--json")
    assert ended.code == 1
    assert leaks_of(ended) == {"leak-0": ("bytes", "0000"), "leak-1": ("perceptual", "0001")}
    assert f"reading 22 images of {json.loads(ended.out)['bytes']:,} bytes" in ended.err
    write(tmp_path / "work/mine", {"a.jpg": photo(3)})
    assert leaks_of(run("leaks", there, "--against", "mine", "--json")) == {"a": ("bytes", "0003")}


def test_the_library_returns_what_the_command_shows(tmp_path):
    scenes.images(tmp_path / "place", planted(["bytes"]))
    found = visprep.leaks(tmp_path / "place")
    assert (found.result, found.failed, len(found.findings)) == ("leaks", True, 1)
    assert visprep.PartLooked("val", 4, 4, 0) in found.parts
    assert encoded(scene(1)) == photo(1)


@pytest.mark.parametrize("layout", [scenes.coco, scenes.vton])
def test_a_place_in_which_a_command_has_not_ended_is_told(run, tmp_path, layout):
    layout(tmp_path / "work/data", CLEAN)
    write(tmp_path / "work/data", {".visprep/in-progress": '{"format_version": 1}\n'})
    ended = run("leaks", "data", "--json", "--certificate", "leaks.json")
    assert (ended.code, json.loads(ended.out)["result"]) == (1, "incomplete")
    assert [one["code"] for one in told(ended)] == ["place-incomplete"]
    assert json.loads((tmp_path / "work/leaks.json").read_text())["result"] == "incomplete"
    (tmp_path / "work/data/.visprep/in-progress").unlink()
    ended = run("leaks", "--check", "leaks.json", "--json")
    assert (ended.code, json.loads(ended.out)["result"]) == (1, "no leaks")
    assert [one["where"]["field"] for one in told(ended)] == ["unfinished"]
