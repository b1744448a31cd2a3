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
