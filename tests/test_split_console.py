"""What people see of a split, where it could say more than is true, or less."""

from __future__ import annotations

from pathlib import Path

import pytest

import visprep
from coco_place import make
from record_places import make_tasks, picture, write

FILE = "data/coco/annotations/instances_train2017.json"
COMMAND = ("split", FILE, "-o", "out", "--parts", "train=0.5,test=0.5")


@pytest.fixture
def place(run, tmp_path):
    return make(tmp_path / "work/data/coco", train=20, val=4)


def test_where_every_record_stands_alone_nothing_is_kept_together(run, place):
    assert "kept together: 0 groups of several records" in run(*COMMAND, "--group-by", "id").out
    assert "kept together: 1 group of several records" in run(*COMMAND, "--group-by", "license").out


def test_moves_that_are_not_shown_are_counted(run, place):
    run(*COMMAND)
    ended = run(*COMMAND, "--seed", "9")
    moved = len(visprep.split(FILE, output="out", parts="train=0.5,test=0.5", seed=9).split.moved)
    assert moved > 5
    assert f"\n  and {moved - 5} more, see split.json\n" in ended.out
    assert ended.out.count(" -> ") == 5


def test_what_was_only_recorded_is_not_called_nothing(run, tmp_path):
    tasks = make_tasks(tmp_path / "work/tasks")
    command = ("split", "tasks", "-o", "out", "--parts", "all=1.0", "--how", "links")
    assert run(*command).code == 0
    assert "nothing was written" in run(*command).out
    (tasks / "maze_task/maze_0000/prompt.txt").write_text("Mended in its place.\n")
    before = Path("out/.visprep/manifest.jsonl").read_bytes()
    assert "all is there already, and recorded as it is now" in run(*command).out
    assert Path("out/.visprep/manifest.jsonl").read_bytes() != before
    assert "nothing was written" in run(*command).out


def test_links_that_were_made_anew_are_not_called_nothing(run, tmp_path):
    make_tasks(tmp_path / "work/tasks")
    command = ("split", "tasks", "-o", "out", "--parts", "all=1.0", "--how", "links")
    run(*command)
    Path("out/all/maze_task/maze_0000/prompt.txt").unlink()
    ended = run(*command)
    assert "already, " not in ended.out
    assert "links: 1 made" in ended.out


def test_a_damaged_picture_of_the_sample_is_had_again_as_the_hint_says(run, tmp_path):
    download = ("download", "sample", "--config", "vton", "-o", "sample")
    assert run(*download).code == 0
    damaged = next((tmp_path / "work/sample").rglob("*_person.png"))
    whole = damaged.read_bytes()
    write(damaged, picture(1)[:-40])
    ended = run("verify", "sample")
    assert (ended.code, "move it away and run the download again" in ended.out) == (1, True)
    refused = run("fix", "sample", "--how", "refetch")
    assert (refused.code, "run the download again" in refused.err) == (2, True)
    damaged.unlink()
    assert run(*download).code == 0
    assert damaged.read_bytes() == whole
    assert run("verify", "sample", "--depth", "content").code == 0
