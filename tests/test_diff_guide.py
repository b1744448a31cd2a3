"""The guide to diff: its commands run, and its output and tables are those of the code."""

import json
import re
import shlex
import shutil
from pathlib import Path

import boto3
import pytest

import visprep
from coco_place import make
from doc_pages import commands
from visprep import differences
from visprep.options import DiffFormat

GUIDE = (Path(__file__).parents[1] / "docs/diff.md").read_text(encoding="utf-8")
COMMANDS = commands(GUIDE)
VAL = "annotations/instances_val2017.json"


@pytest.fixture
def work(tmp_path, run):
    """A place, and another with the differences that the guide shows."""
    work = tmp_path / "work"
    make(work / "data/coco")
    shutil.copytree(work / "data/coco", work / "data/relabeled")
    path = work / "data/relabeled" / VAL
    told = json.loads(path.read_text())
    told["annotations"][0]["bbox"] = [13, 8, 20, 30]
    told["annotations"][2]["category_id"] = 18
    told["annotations"].pop()
    path.write_text(json.dumps(told))
    return work


def test_its_commands_run(run, work, bucket):
    boto3.client("s3").create_bucket(Bucket="my-bucket")
    assert run("upload", "data/relabeled", "s3://my-bucket/datasets/coco").code == 0
    told = [run(*shlex.split(line)[1:]) for line in COMMANDS]
    assert [one.code for one in told] == [1] * 5
    assert (work / "diff.html").stat().st_size > 20_000


def test_it_shows_what_is_told(run, work):
    shown = re.search(r"```text\n(.*?)```", GUIDE, re.DOTALL)[1]
    assert run("diff", "data/coco", "data/relabeled").out == shown


def test_its_tables_are_those_of_the_code():
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| `(\w+)` \|", GUIDE, re.MULTILINE))
    classes = [one for one in vars(differences).values() if hasattr(one, "kind") and isinstance(one, type)]
    assert rows == {one.kind: one.__name__ for one in classes}
    assert set(rows.values()) <= set(visprep.__all__)
    formats = re.findall(r"^\| `([a-z]+)` \| [^`|]+(?:`[^|]*)?\|$", GUIDE, re.MULTILINE)
    assert [one for one in formats if one in set(DiffFormat)] == list(DiffFormat)
