"""Options that mean nothing for what they are said of are told, and not taken as if they were heard."""

from __future__ import annotations

import pytest

from coco_place import make
from conftest import tree
from record_places import make_episodes, make_tasks, make_triplets

PARTS = ("--parts", "train=0.5,test=0.5")


@pytest.fixture
def places(tmp_path):
    work = tmp_path / "work"
    make_triplets(work / "triplets")
    make_episodes(work / "episodes")
    make_tasks(work / "tasks")
    make(work / "coco", train=6, val=2)
    return work


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("split", "triplets", *PARTS, "-o", "out", "--drop-empty"), "--drop-empty: triplets is no COCO dataset"),
        (("split", "tasks", *PARTS, "-o", "out", "--drop-empty"), "--drop-empty"),
        (("split", "triplets", *PARTS, "-o", "out", "--name", "mine", "--how", "links"), "--name mine"),
        (("split", "tasks", *PARTS, "-o", "out", "--name", "mine", "--how", "copies"), "--name mine"),
        (("split", "episodes", *PARTS, "-o", "out", "--layout", "vbvr"), "--layout vbvr: episodes holds no tasks"),
        (("split", "coco", *PARTS, "-o", "out", "--layout", "vbvr"), "--layout vbvr"),
        (("verify", "triplets", "--expect", "official"), "--expect"),
        (("verify", "tasks", "--expect", "official"), "--expect"),
        (("download", "sample", "--config", "vton", "-o", "out", "--layout", "vbvr"), "triplets, which has no"),
        (("download", "sample", "--config", "coco", "-o", "out", "--layout", "vbvr"), "images, which has no --layout"),
        (
            ("download", "sample", "--config", "open-images", "--classes", "Toy", "-o", "out"),
            "sample --config open-images is a source of images, which has no --classes",
        ),
        (("gather", "sample", "--config", "frames", *PARTS, "-o", "out", "--layout", "vbvr"), "has no --layout"),
    ],
)  # fmt: skip
def test_an_option_of_other_data_is_wrong_usage(run, places, argv, words):
    before = tree(places)
    ended = run(*argv)
    assert (ended.code, words in ended.err) == (2, True), ended.err
    assert tree(places) == before


@pytest.mark.parametrize(
    "argv",
    [
        ("split", "coco", *PARTS, "-o", "out", "--drop-empty", "--name", "mine", "--how", "copies"),
        ("split", "tasks", *PARTS, "-o", "out", "--name", "mine", "--layout", "vbvr"),
        ("download", "sample", "--config", "tasks", "-o", "out", "--layout", "vmevalkit"),
    ],
)
def test_where_it_means_something_it_is_heard(run, places, argv):
    ended = run(*argv)
    assert ended.code == 0, ended.err


def test_a_layout_of_a_place_without_tasks_is_told_of(run, places):
    ended = run("verify", "triplets", "--layout", "vbvr")
    assert (ended.code, "note: --layout says nothing here" in ended.err) == (0, True)
    assert "note" not in run("verify", "triplets").err
    assert "note" not in run("verify", "tasks", "--layout", "template").err
