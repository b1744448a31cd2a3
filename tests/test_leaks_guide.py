"""The guide to leaks: its commands run, in order, and end as it says."""

import re
import shlex
from pathlib import Path

import boto3
import pytest

import scenes
from doc_pages import commands
from scenes import document, encoded, photo, scene, write
from visprep._leaks import KINDS

GUIDE = (Path(__file__).parents[1] / "docs/leaks.md").read_text(encoding="utf-8")
COMMANDS = commands(GUIDE)


@pytest.fixture
def work(tmp_path, run):
    """Clean splits, a place with a leak, and a benchmark with a picture of COCO in it."""
    work = tmp_path / "work"
    train = {f"{number:04}.jpg": photo(number) for number in range(8)}
    scenes.coco(work / "data/coco", {"train": train, "val": {"0100.jpg": photo(100)}})
    write(work / "data/benchmark", {"1.jpg": encoded(scene(3).resize((80, 60)))})
    write(work / "data/mine/train", {"a.jpg": photo(200)})
    write(work / "data/theirs/test", {"b.jpg": photo(200)})
    write(work / "data/more", {"labels.json": document(["c.jpg"]), "c.jpg": photo(300)})
    assert run("split", "data/coco", "--parts", "train=0.5,val=0.5", "--output", "data/cleaned_splits").code == 0
    return work


def test_its_commands_run(run, work, bucket):
    boto3.client("s3").create_bucket(Bucket="my-bucket")
    assert run("upload", "data/coco", "s3://my-bucket/datasets/coco").code == 0
    codes = {line: run(*shlex.split(line)[1:]).code for line in COMMANDS}
    leaking = {line for line, code in codes.items() if code}
    assert set(codes.values()) == {0, 1}
    assert leaking == {line for line in COMMANDS if "benchmark" in line or "theirs" in line}
    assert len(COMMANDS) == 9


def test_the_kinds_are_those_of_the_code():
    listed = re.findall(r"^\| `([a-z]+)` \|", GUIDE, re.MULTILINE)
    assert listed == list(KINDS)
