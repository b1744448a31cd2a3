"""`visprep split` on COCO files: what goes where, what stays as it was to the byte, and what a second run does."""

from __future__ import annotations

import json
import shutil

import pytest

import scenes
import visprep
from coco_place import annotations, edited, make
from conftest import tree
from visprep.errors import BadRecord, UsageError, WouldOverwrite
from visprep.split_file import load

TRAIN = "data/coco/annotations/instances_train2017.json"
VAL = "data/coco/annotations/instances_val2017.json"
PARTS = "train=0.8,val=0.1,test=0.1"
EXAMPLE = (
    "split", TRAIN, "--output", "data/cleaned_splits", "--parts", PARTS, "--seed", "42", "--stratify",
    "--group-by", "game", "--clean", "--name", "maxsight",
)  # fmt: skip


@pytest.fixture
def place(run, tmp_path):
    """A dataset in the working directory, whose images are of 30 games."""
    place = make(tmp_path / "work/data/coco", train=60, val=12)
    with edited(place / "annotations/instances_train2017.json") as data:
        for image in data["images"]:
            image["game"] = f"game {image['id'] % 30}"
    return place


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/data/cleaned_splits"


def read(out, name):
    return json.loads((out / name).read_text())


def told(out):
    return load((out / "split.json").read_bytes(), "split.json")


def names(out, *files):
    return {one["file_name"] for file in files for one in read(out, file)["images"]}


def test_the_example_of_the_issue_works_as_it_stands(run, place, out):
    (place / "val2017/000000000061.jpg").rename(place / "train2017/other.jpg")  # nobody names it
    copy = place / "train2017/000000000001.jpg"
    shutil.copy(copy, place / "train2017/000000000002.jpg")
    ended = run(*EXAMPLE[:-3], "--near-duplicates", *EXAMPLE[-3:])
    assert ended.code == 0, ended.err
    files = [f"maxsight_{part}.json" for part in ("train", "val", "test")]
    assert sorted(path.name for path in out.iterdir()) == sorted([".visprep", "dataset.json", "split.json", *files])
    split = told(out)
    assert (split.seed, split.method, split.group_by, split.name) == (42, "stable", "game", "maxsight")
    assert split.near_duplicates is not None
    original = json.loads((place / "annotations/instances_train2017.json").read_text())
    assert sorted(one["id"] for file in files for one in read(out, file)["images"]) == list(range(1, 61))
    assert sum(len(read(out, file)["annotations"]) for file in files) == 120
    games = [{one["game"] for one in read(out, file)["images"]} for file in files]
    assert sum(map(len, games)) == len(set.union(*games)) == 30
    part = split.part_of()
    assert part["000000000001.jpg"] == part["000000000002.jpg"]
    assert all(read(out, file)["categories"] == original["categories"] for file in files)


def test_the_example_without_images_works_too(run, place, out):
    shutil.rmtree(place / "train2017")
    ended = run(*EXAMPLE, "--near-duplicates")
    assert (ended.code, "none of the pictures is here" in ended.err) == (2, True)
    assert run(*EXAMPLE).code == 0
    assert len(names(out, "maxsight_train.json", "maxsight_val.json", "maxsight_test.json")) == 60


def test_records_are_the_same_bytes_and_nothing_gets_lost(run, place, out):
    file = place / "annotations/instances_train2017.json"
    odd = '{ "id" : %d,"image_id":%d, "category_id": 1, "bbox":[1.50, 2,3e0,4], "area": 12.0, "iscrowd":0, "mine": "é"}'
    head = '{"mine": {"of": [1, 2]}, "videos": [{"id": 1}], "images": ['
    images = [f'{{"file_name":"{n}.jpg" , "id": {n},"width":640, "height":480, "mine": 1.0}}' for n in range(1, 51)]
    rows = [odd % (n, n % 50 + 1) for n in range(1, 201)]
    categories = '[{"id": 1, "name": "a", "mine": 1}, {"id": 7, "name": "unused"}]'
    file.write_text(
        head + ",\n ".join(images) + '], "annotations": [' + ", ".join(rows) + '], "categories": ' + categories + "}"
    )
    assert run("split", file, "--output", out, "--parts", PARTS).code == 0
    seen = []
    for part in ("train", "val", "test"):
        text = (out / f"instances_{part}.json").read_text()
        data = json.loads(text)
        assert text.startswith(head)
        assert text.endswith('], "categories": ' + categories + "}")
        assert [rows[one["id"] - 1] in text for one in data["annotations"]] == [True] * len(data["annotations"])
        assert all(images[one["id"] - 1] in text for one in data["images"])
        ids = {one["id"] for one in data["images"]}
        assert {one["image_id"] for one in data["annotations"]} <= ids
        seen += [one["id"] for one in data["annotations"]]
    assert sorted(seen) == list(range(1, 201))


def test_a_second_run_does_nothing_and_says_so(run, place, out):
    run(*EXAMPLE)
    before = tree(out)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    ended = run(*EXAMPLE, "--json")
    assert (ended.code, json.loads(ended.out)["written"]) == (0, [])
    assert "nothing was written" in run(*EXAMPLE).out
    assert tree(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == stamps


def test_json_tells_everything_but_the_members(run, place):
    ended = run(*EXAMPLE, "--json")
    data = json.loads(ended.out)
    assert data["format_version"] == 1
    assert [part["asked"] for part in data["split"]["parts"]] == [0.8, 0.1, 0.1]
    assert sum(part["records"] for part in data["split"]["parts"]) == 60
    assert {one["name"]: sum(one["parts"].values()) for one in data["split"]["classes"]} == {"person": 60, "dog": 60}
    assert "members" not in data["split"]
    assert len(data["written"]) == 4


def test_the_screen_tells_what_was_asked_and_reached(run, place):
    ended = run("split", TRAIN, "-o", "out", "--parts", "train=48,val=6", "--seed", "1")
    assert ended.code == 0
    assert "--method exact" in ended.out
    assert "train                 48  (asked 48, 80.00%)" in ended.out
    assert "left out: 6 records (6 rest)" in ended.out
    assert "percentage points" in ended.out


def test_names_follow_the_input_where_none_is_given(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", "a=0.5,b=0.5")
    assert {path.name for path in out.glob("*.json")} == {
        "instances_a.json", "instances_b.json", "split.json", "dataset.json"
    }  # fmt: skip


def test_the_output_is_that_of_the_environment_or_the_usual_one(run, place, out, monkeypatch, tmp_path):
    run("split", TRAIN, "--parts", PARTS)
    assert (out / "split.json").is_file()
    monkeypatch.setenv("SPLITS_DIR", str(tmp_path / "drive"))
    run("split", TRAIN, "--parts", PARTS)
    assert (tmp_path / "drive/split.json").is_file()


# growing


def grow(place, more):
    with edited(place / "annotations/instances_train2017.json") as data:
        new = annotations(list(range(1001, 1001 + more)))
        for image in new["images"]:
            image["game"] = f"new {image['id']}"
        shift = 10_000
        data["images"] = new["images"] + data["images"]
        data["annotations"] += [one | {"id": one["id"] + shift} for one in new["annotations"]]


@pytest.mark.parametrize("more", [1, 6, 60])
def test_what_is_added_moves_nothing(run, place, out, more):
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--seed", "7")
    before = told(out).part_of()
    grow(place, more)
    ended = run("split", TRAIN, "--output", out, "--parts", PARTS, "--seed", "7")
    assert ended.code == 0
    after = told(out)
    assert {key: after.part_of()[key] for key in before} == before
    assert after.moved == ()


@pytest.mark.parametrize("more", [1, 6, 60])
def test_exact_parts_are_extended_and_move_nothing(run, place, out, more):
    first = ("split", TRAIN, "--output", out, "--parts", PARTS, "--method", "exact", "--stratify")
    assert run(*first).code == 0
    before = told(out)
    assert [part.records for part in before.parts] == [48, 6, 6]
    grow(place, more)
    again = (*first, "--extend", out / "split.json")
    assert run(*again).code == 0
    after = told(out)
    assert {key: after.part_of()[key] for key in before.part_of()} == before.part_of()
    assert after.moved == ()
    assert sum(part.records for part in after.parts) == 60 + more
    held = tree(out)
    assert "nothing was written" in run(*again).out
    assert tree(out) == held


def test_what_moved_is_told_with_the_reason(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--seed", "1")
    before = told(out).part_of()
    ended = run("split", TRAIN, "--output", out, "--parts", PARTS, "--seed", "2")
    after = told(out)
    moved = {one.key: (one.from_, one.to) for one in after.moved}
    assert moved == {key: (part, after.part_of()[key]) for key, part in before.items() if part != after.part_of()[key]}
    assert {one.why for one in after.moved} == {"other seed"}
    assert f"moved since the split before: {len(moved)} records" in ended.out
    held = tree(out)
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--seed", "2")
    assert tree(out) == held


def test_a_record_that_is_gone_has_moved_to_none(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", PARTS)
    part = told(out).part_of()["000000000003.jpg"]
    with edited(place / "annotations/instances_train2017.json") as data:
        data["images"] = [one for one in data["images"] if one["id"] != 3]
    ended = run("split", TRAIN, "--output", out, "--parts", PARTS)
    (move,) = told(out).moved
    assert (move.key, move.from_, move.to, move.why) == ("000000000003.jpg", part, None, "not there any more")
    assert "left out: 2 annotations (2 annotation-image-unknown)" in ended.out


def test_a_tie_between_placed_records_is_a_leak_and_moves_nothing(run, place, out):
    (place / "annotations/instances_train2017.json").write_text(json.dumps(annotations(list(range(1, 61)))))
    argv = ("split", TRAIN, "--output", out, "--parts", PARTS, "--group-by", "game", "--extend", out / "split.json")
    run("split", TRAIN, "--output", out, "--parts", PARTS)
    before = told(out).part_of()
    train = next(key for key, part in before.items() if part == "train")
    test = next(key for key, part in before.items() if part == "test")
    with edited(place / "annotations/instances_train2017.json") as data:
        data["images"] += annotations([1001, 1002])["images"]
        for image in data["images"]:
            if image["file_name"] in (train, test) or image["id"] == 1001:
                image["game"] = "both"
    ended = run(*argv)
    assert (ended.code, "[leak-across-parts]" in ended.out, "--clean" in ended.err) == (1, True, True)
    after = told(out)
    assert {key: after.part_of()[key] for key in before} == before
    assert after.part_of()["000000001001.jpg"] in ("train", "test")
    held = tree(out)
    again = run(*argv)
    assert (again.code, "nothing was written" in again.out) == (1, True)
    assert tree(out) == held


def test_with_clean_who_ties_two_parts_is_left_out(run, place, out):
    (place / "annotations/instances_train2017.json").write_text(json.dumps(annotations(list(range(1, 61)))))
    run("split", TRAIN, "--output", out, "--parts", PARTS)
    shutil.copy(out / "split.json", out.parent / "first.json")
    train, test = (told(out).members[part][0] for part in ("train", "test"))
    shutil.copy(place / "train2017" / train, place / "train2017/a.jpg")
    shutil.copy(place / "train2017" / train, place / "train2017" / test)
    with edited(place / "annotations/instances_train2017.json") as data:
        data["images"] += [data["images"][0] | {"id": 1001, "file_name": "a.jpg"}]
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--near-duplicates", "--extend", out.parent / "first.json")
    ended = run(*argv)
    assert (ended.code, "belong together" in ended.out) == (1, True)
    ended = run(*argv, "--clean")
    assert told(out).left_out.records == {"leak-across-parts": 1}
    assert "a.jpg" not in told(out).part_of()
    assert ended.code == 1  # the two that were placed before are copies all the same


def test_with_clean_two_that_only_the_new_one_tied_are_no_leak(run, out, tmp_path):
    """The new triplet has the person of one, and the try-on of another."""
    place = tmp_path / "work/triplets"
    scenes.vton(place, {"hard": {f"{at:04}": scenes.photo(at) for at in range(10)}})
    run("split", place, "-o", out, "--parts", PARTS, "--method", "exact")
    shutil.copy(out / "split.json", out.parent / "first.json")
    train, test = (told(out).members[part][0].rpartition("/")[2] for part in ("train", "test"))
    home = place / "hard/female"
    shutil.copy(home / f"initial_image/{train}_person.jpg", home / "initial_image/new_person.jpg")
    shutil.copy(home / f"cloth_image/{train}_cloth_1.jpg", home / "cloth_image/new_cloth_1.jpg")
    shutil.copy(home / f"try_on_image/{test}_vton.jpg", home / "try_on_image/new_vton.jpg")
    argv = ("split", place, "-o", out, "--parts", PARTS, "--method", "exact", "--near-duplicates")
    ended = run(*argv, "--extend", out.parent / "first.json")
    assert (ended.code, ended.out.count("[leak-across-parts]")) == (1, 1)
    assert "of one group with records of different parts: hard/female/new" in ended.out
    ended = run(*argv, "--extend", out.parent / "first.json", "--clean")
    assert (ended.code, "[leak-across-parts]" in ended.out) == (0, False)
    assert told(out).left_out.records == {"leak-across-parts": 1}
    assert run("leaks", out).code == 0


def test_an_image_that_cannot_be_compared_is_told_or_left_out(run, place, out):
    image = place / "train2017/000000000004.jpg"
    image.write_bytes(image.read_bytes()[:60])
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--near-duplicates")
    ended = run(*argv)
    assert (ended.code, "[image-not-compared]" in ended.out) == (1, True)
    assert "not compared, since they are not there, or cannot be read: 1 picture" in ended.out
    assert len(told(out).part_of()) == 60
    ended = run(*argv, "--clean")
    assert (ended.code, ended.out.count("not compared")) == (0, 0)
    assert len(told(out).part_of()) == 59


def test_images_that_are_not_there_are_told_as_not_compared(run, place, out):
    for number in (4, 7, 9):
        (place / f"train2017/{number:012}.jpg").unlink()
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--near-duplicates")
    ended = run(*argv)
    assert ended.code == 1
    assert "not compared, since they are not there, or cannot be read: 3 pictures" in ended.out
    (finding,) = told(out).findings
    assert (finding["code"], finding["where"]) == ("image-not-compared", {"key": "000000000004.jpg", "count": 3})
    assert "hint: --clean leaves out images that are not there" in ended.err
    ended = run(*argv, "--clean")
    assert (ended.code, told(out).left_out.records, told(out).findings) == (0, {"image-missing": 3}, ())


# outputs of an earlier split


def test_the_new_split_replaces_the_old_one(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--name", "m")
    (out / "mine.txt").write_text("mine")
    ended = run("split", TRAIN, "--output", out, "--parts", "fit=0.5,check=0.5", "--name", "m")
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "m_fit.json", "m_check.json", "split.json", "dataset.json", "mine.txt"
    }  # fmt: skip
    assert "removed: 3 files" in ended.out
    listed = {file.path for file in visprep.Manifest.load((out / ".visprep/manifest.jsonl").read_bytes()).files}
    assert listed == {"m_fit.json", "m_check.json", "split.json"}
    assert [step["command"] for step in read(out, "dataset.json")["steps"]] == ["split"]


def test_what_somebody_changed_of_the_old_split_stays(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", PARTS)
    (out / "instances_val.json").write_text("mine")
    assert run("split", TRAIN, "--output", out, "--parts", "a=0.5,b=0.5").code == 0
    assert (out / "instances_val.json").read_text() == "mine"
    assert not (out / "instances_train.json").exists()
    listed = {file.path for file in visprep.Manifest.load((out / ".visprep/manifest.jsonl").read_bytes()).files}
    assert listed == {"instances_a.json", "instances_b.json", "split.json"}


@pytest.mark.parametrize("argv", [(TRAIN, "--name", "other"), (VAL, "--name", "m")])
def test_a_split_of_something_else_is_not_replaced(run, place, out, argv):
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--name", "m")
    held = tree(out)
    ended = run("split", *argv, "--output", out, "--parts", PARTS)
    assert (ended.code, "[would-overwrite]" in ended.err, "the split 'm' of data/coco" in ended.err) == (3, True, True)
    assert tree(out) == held


def test_a_grown_file_of_another_name_replaces_it(run, place, out):
    run("split", TRAIN, "--output", out, "--parts", PARTS, "--name", "m")
    grow(place, 6)
    (place / "annotations/instances_train2017.json").rename(place / "annotations/instances_more.json")
    argv = ("split", "data/coco/annotations/instances_more.json", "--output", out, "--parts", PARTS, "--name", "m")
    assert run(*argv).code == 0
    assert told(out).moved == ()
    assert run(*argv, "--extend", out / "split.json").code == 0


@pytest.mark.parametrize("file", ["maxsight_train.json", "split.json"])
def test_files_of_others_are_never_replaced(run, place, out, file):
    out.mkdir(parents=True)
    (out / file).write_text("mine")
    ended = run(*EXAMPLE)
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert [path.name for path in out.iterdir()] == [file]
    assert (out / file).read_text() == "mine"


def test_what_was_changed_since_is_not_replaced(run, place, out):
    run(*EXAMPLE)
    with (out / "maxsight_val.json").open("a") as file:
        file.write(" ")
    held = tree(out)
    ended = run(*EXAMPLE)
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert tree(out) == held


# the library


def test_the_library_gives_what_split_json_says(place, out):
    result = visprep.split(place / "annotations/instances_train2017.json", output=out, parts="a=0.5,b=0.5", seed=3)
    assert (result.split, result.failed, result.removed) == (told(out), False, ())
    with pytest.raises(UsageError):
        visprep.split(place / "annotations/instances_train2017.json", output=out)
    (out / "split.json").write_text("{}")
    with pytest.raises(BadRecord):
        visprep.split(
            place / "annotations/instances_train2017.json", output=out, parts="a=0.5,b=0.5", extend=out / "split.json"
        )
    with pytest.raises(WouldOverwrite):
        visprep.split(place / "annotations/instances_train2017.json", output=out, parts="a=0.5,b=0.5")
