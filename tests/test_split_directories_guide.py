"""The guide to splits of directories: its commands run, and its tables say what is so."""

import re
import shlex
from pathlib import Path

import pytest

from doc_pages import commands
from record_places import make_episodes, make_tasks, make_triplets, picture, write
from visprep.recordsets import read_recordset

GUIDE = (Path(__file__).parents[1] / "docs/split-directories.md").read_text()
COMMANDS = commands(GUIDE)


def test_its_commands_run(run, tmp_path):
    make_tasks(tmp_path / "work/data/questions", 60)
    assert len(COMMANDS) == 3
    for line in COMMANDS:
        ended = run(*shlex.split(line)[1:])
        assert ended.code == 0, f"{line}: {ended.err}{ended.out}"
    listed = (tmp_path / "work/data/question-lists/train.txt").read_text().splitlines()
    assert listed
    assert all((tmp_path / "work/data/question-parts/train" / key / "prompt.txt").is_file() for key in listed)


@pytest.mark.parametrize(
    ("row", "make", "key", "classes"),
    [
        ("tasks", make_tasks, "maze_task/maze_0000", ("maze", "sudoku")),
        ("triplets", make_triplets, "easy/female/001", ("easy", "hard")),
        ("episodes", make_episodes, "pong/episode_1", ("pong", "snake")),
        ("images", lambda place: write(place / "cat/1.png", picture(1)), "cat/1.png", ("cat",)),
    ],
)
def test_its_table_of_records(tmp_path, row, make, key, classes):
    (line,) = (line for line in GUIDE.splitlines() if line.startswith(f"| {row} |"))
    make(tmp_path)
    records = read_recordset([str(tmp_path)])
    assert key in records.keys
    assert records.classes == classes
    fields = set(re.findall(r"`(\w+)`", line.split("|")[4]))
    assert fields == set(records.fields)
