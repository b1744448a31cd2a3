"""What a split that was killed left in the directories of parts, and what others put there: nothing passes unseen."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from conftest import tree
from record_places import make_episodes, make_tasks, picture, write
from visprep.changes import begin
from visprep.digests import digest_of
from visprep.manifest import File
from visprep.provenance import step
from visprep.stores import data_files, open_store

ASKED = "train=0.6,val=0.2,test=0.2"


@pytest.fixture
def questions(tmp_path):
    return make_tasks(tmp_path / "questions", 40)


def killed(run, place, output, *, parts=ASKED, how="copies", noted=0):
    """Leave there what a split leaves that is killed before it has noted more than some of its files."""
    assert run("split", place, "--output", output, "--parts", parts, "--seed", "7", "--how", how).code == 0
    made = data_files(open_store(str(output)))
    below = [file for file in made if "/" in file.path]
    shutil.rmtree(output / ".visprep")
    for file in output.iterdir():
        if file.is_file():
            file.unlink()
    begun = step("split", Path(place).name, options={"parts": parts, "seed": 7, "how": how})
    with begin(open_store(str(output)), begun) as change:
        change.mark()
        for file in below[:noted]:
            digest = digest_of((output / file.path).read_bytes())
            change.note(File(file.path, file.size, digest))


def below(output):
    return {path: data for path, data in tree(output).items() if "/" in path and not path.startswith(".visprep")}


@pytest.mark.parametrize("noted", [0, 40])
@pytest.mark.parametrize("then", ["links", "copies", "ids"])
@pytest.mark.parametrize("how", ["links", "copies"])
def test_another_split_leaves_nothing_of_one_that_was_killed(run, questions, tmp_path, how, then, noted):
    out = tmp_path / "out"
    killed(run, questions, out, how=how, noted=noted)
    command = ("split", questions, "--parts", ASKED, "--seed", "8", "--how", then)
    ended = run(*command, "--output", out)
    assert ended.code == 0, ended.err
    assert run(*command, "--output", tmp_path / "fresh").code == 0
    assert below(out) == below(tmp_path / "fresh")
    assert len(tree(questions)) == 160
    again = run(*command, "--output", out)
    assert (again.code, "all is there already" in again.out) == (0, True)


def test_parts_of_several_killed_splits_go_too(run, questions, tmp_path):
    out = tmp_path / "out"
    killed(run, questions, out, parts="a=0.5,b=0.5")
    with begin(open_store(str(out)), step("split", "questions", options={"parts": "c=0.5,d=0.5", "how": "ids"})) as two:
        two.mark()
    assert run("split", questions, "--output", out, "--parts", ASKED, "--how", "links").code == 0
    assert {path.partition("/")[0] for path in below(out)} == {"train", "val", "test"}


def test_parts_that_upstream_made_are_left_by_a_kill_too(run, tmp_path):
    place = tmp_path / "place"
    for part in ("train", "val"):
        make_episodes(place / part)
    killed(run, place, tmp_path / "out", parts="train=0.5,test=0.5")
    assert (tmp_path / "out/val").is_dir()
    assert run("split", place, "--output", tmp_path / "out", "--parts", "val=0.5,test=0.5").code == 0
    assert below(tmp_path / "out") == {}


def test_what_the_input_has_not_stays_and_ends_the_split(run, questions, tmp_path):
    out = tmp_path / "out"
    killed(run, questions, out)
    theirs = out / "train/maze_task/mine/first_frame.png"
    write(theirs, picture(9999))
    before = tree(out)
    for how in ("copies", "ids"):
        ended = run("split", questions, "--output", out, "--parts", ASKED, "--seed", "8", "--how", how)
        assert (ended.code, "train/maze_task/mine/first_frame.png" in ended.err) == (3, True)
        assert "[would-overwrite]" in ended.err
        assert tree(out) == before
    theirs.unlink()
    assert run("split", questions, "--output", out, "--parts", ASKED, "--seed", "8").code == 0


@pytest.mark.parametrize("how", ["links", "copies"])
def test_a_record_that_somebody_put_into_another_part_ends_the_same_split(run, questions, tmp_path, how):
    out = tmp_path / "out"
    command = ("split", questions, "--output", out, "--parts", ASKED, "--how", how)
    assert run(*command).code == 0
    task = next((out / "train/maze_task").iterdir())
    shutil.copytree(task, out / "val/maze_task" / task.name)
    before = tree(out)
    ended = run(*command)
    # Nothing says that a split of ours put it there: it is not removed either
    assert (ended.code, f"val/maze_task/{task.name}/" in ended.err) == (3, True)
    assert tree(out) == before


def test_what_is_no_record_in_a_part_is_left_alone(run, questions, tmp_path):
    out = tmp_path / "out"
    command = ("split", questions, "--output", out, "--parts", ASKED, "--how", "links")
    assert run(*command).code == 0
    for path in ("train/README.md", "train/.thumbs/x.png", "val/labels.cache", "other/cat.png"):
        write(out / path, b"mine")
    assert run(*command, "--seed", "3").code == 0
    assert (out / "train/README.md").read_bytes() == (out / "other/cat.png").read_bytes() == b"mine"


def test_a_directory_that_is_called_like_a_part_is_no_concern_of_lists(run, questions, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(questions, out / "train")
    for seed in ("1", "2"):
        assert run("split", questions, "--output", out, "--parts", ASKED, "--seed", seed).code == 0
    assert len(below(out)) == 160
    ended = run("split", questions, "--output", out, "--parts", ASKED, "--how", "copies")
    assert (ended.code, "would-overwrite" in ended.err) == (3, True)
    assert len(below(out)) == 160
