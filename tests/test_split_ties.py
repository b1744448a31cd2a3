"""`visprep split --extend` and records that tie two parts together: they are bound to neither."""

from __future__ import annotations

import json
import shutil

import pytest

from coco_place import annotations, edited, make
from conftest import tree
from visprep.split_file import load

TRAIN = "data/coco/annotations/instances_train2017.json"
PARTS = "train=0.5,test=0.5"
NEW = "000000001001.jpg"


@pytest.fixture
def place(run, tmp_path):
    place = make(tmp_path / "work/data/coco", train=1, val=1)
    for images in ("train2017", "val2017"):
        shutil.rmtree(place / images)
    (place / "annotations/instances_train2017.json").write_text(json.dumps(annotations(list(range(1, 61)))))
    return place


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/out"


def told(out):
    return load((out / "split.json").read_bytes(), "split.json")


@pytest.fixture
def tied(run, place, out):
    """`tied(*more)` extends the split.json that lies in the output, by an image that ties two parts together."""
    run("split", TRAIN, "-o", out, "--parts", PARTS)
    train, test = (told(out).members[part][0] for part in ("train", "test"))
    with edited(place / "annotations/instances_train2017.json") as data:
        data["images"] += annotations([1001, 1002])["images"]
        for image in data["images"]:
            image["game"] = "both" if image["file_name"] in (train, test, NEW) else str(image["id"])
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--group-by", "game", "--extend", out / "split.json")
    return lambda *more: run(*argv, *more)


@pytest.mark.parametrize("method", ["stable", "exact"])
def test_what_the_split_itself_advises_helps_after_it_was_written(tied, out, method):
    before = told(out).part_of()
    ended = tied("--method", method)
    assert (ended.code, "hint: --clean leaves out new records" in ended.err) == (1, True)
    assert told(out).tying == (NEW,)
    cleaned = tied("--method", method, "--clean")
    assert told(out).left_out.records == {"leak-across-parts": 1}
    assert NEW not in told(out).part_of() | told(out).placed()
    assert {key: told(out).part_of()[key] for key in before} == before
    assert (told(out).tying, told(out).absent) == ((), {})
    # The two that were placed belong together by the field alone: that is told, and how to end it
    assert cleaned.code == 1
    assert "a split without --extend puts them together" in cleaned.err
    held = tree(out)
    assert "nothing was written" in tied("--method", method, "--clean").out
    assert tree(out) == held


def test_a_record_that_ties_stays_one_while_the_same_is_asked(tied, out):
    tied()
    held, first = tree(out), told(out)
    again = tied()
    assert (again.code, "nothing was written" in again.out, tree(out) == held) == (1, True, True)
    assert first.tying == (NEW,)


def test_a_record_that_tied_goes_with_the_one_that_it_still_belongs_to(tied, place, out):
    tied()
    was = told(out).part_of()
    mine = was[NEW]
    with edited(place / "annotations/instances_train2017.json") as data:
        for image in data["images"]:
            if image["game"] == "both" and image["file_name"] != NEW and was[image["file_name"]] == mine:
                image["game"] = "alone"
    ended = tied()
    assert ended.code == 0, ended.out
    assert told(out).part_of()[NEW] != mine
    assert told(out).tying == ()
    assert [move.key for move in told(out).moved] == [NEW]


def test_a_split_json_whose_tying_record_is_in_no_part_is_damaged(tied, run, out):
    tied()
    with edited(out / "split.json") as data:
        data["tying"] = ["nobody.jpg"]
    ended = tied()
    assert (ended.code, "ties parts together, and is in none" in ended.err) == (3, True)


def test_copies_of_an_image_that_is_left_out_stay_together(run, tmp_path, out):
    place = make(tmp_path / "work/data/copies", train=30, val=1)
    file = place / "annotations/instances_train2017.json"
    with edited(file) as data:
        bare = {image["id"] for image in data["images"][::3]}  # the first of each three copies
        data["annotations"] = [one for one in data["annotations"] if one["image_id"] not in bare]
        for first in range(0, 30, 3):
            for copy in (first + 1, first + 2):
                names = (place / "train2017" / data["images"][at]["file_name"] for at in (first, copy))
                shutil.copy(*names)
    for method in ("stable", "exact"):
        argv = ("--parts", PARTS, "--method", method, "--near-duplicates", "--drop-empty")
        assert run("split", file, "-o", out, *argv).code == 0
        assert (told(out).left_out.records, told(out).groups) == ({"no-annotations": 10}, 10)
        part_of = told(out).part_of()
        assert all(part_of[f"{n:012}.jpg"] == part_of[f"{n + 1:012}.jpg"] for n in range(2, 31, 3))


def test_with_clean_a_tie_by_a_copy_alone_leaves_nothing_to_be_told(run, tmp_path, out):
    place = make(tmp_path / "work/data/copies", train=20, val=1)
    file = place / "annotations/instances_train2017.json"
    argv = ("split", file, "-o", out, "--parts", PARTS)
    run(*argv)
    train, test = (told(out).members[part][0] for part in ("train", "test"))
    shutil.copy(place / "train2017" / train, place / "train2017/new.jpg")
    with edited(file) as data:
        (image,) = (image for image in data["images"] if image["file_name"] == test)
        image["game"] = "one"
        data["images"].append(image | {"id": 1001, "file_name": "new.jpg"})
    more = ("--near-duplicates", "--group-by", "game", "--extend", out / "split.json")
    assert run(*argv, *more).code == 1
    assert told(out).tying == ("new.jpg",)
    assert run(*argv, *more, "--clean").code == 0
    assert told(out).findings == ()
    assert told(out).left_out.records == {"leak-across-parts": 1}


def test_the_split_before_tells_of_its_files_until_they_are_removed(run, place, out):
    """A kill between would else leave files that nothing knows of: what a link says of each tells what came last."""
    run("split", TRAIN, "-o", out, "--parts", ",".join(f"p{n}=0.005" for n in range(200)))
    stale = out.parent / "stale"
    stale.mkdir()
    for file in out.glob("instances_*.json"):
        (stale / file.name).hardlink_to(file)
    held = len(list(stale.iterdir()))
    ended = run("split", TRAIN, "-o", out, "--parts", PARTS)
    assert (ended.code, f"removed: {held} files" in ended.out) == (0, True)
    removed = max(file.stat().st_ctime_ns for file in stale.iterdir())
    assert removed <= (out / "split.json").stat().st_ctime_ns
