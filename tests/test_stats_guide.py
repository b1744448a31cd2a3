"""The guide to statistics: its commands run, its screen is what is shown, its tables are those of the code."""

import json
import re
import shlex
from pathlib import Path

import boto3
import pytest

import coco_place
import record_places
import visprep
from doc_pages import commands
from visprep._stats import _COUNT, PIXELS
from visprep.statistics.histograms import MEDIUM, SMALL

GUIDE = (Path(__file__).parents[1] / "docs/stats.md").read_text(encoding="utf-8")
COMMANDS = commands(GUIDE)


def first_cells(heading):
    """What stands in backticks in the first column of a table."""
    rows = GUIDE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([a-z-]+)` \|", rows, re.MULTILINE)


@pytest.fixture
def work(run, tmp_path):
    assert run("download", "sample", "--config", "coco", "--output", "data/coco").code == 0
    record_places.make_tasks(tmp_path / "work/data/questions")
    return tmp_path / "work"


def test_its_commands_run_and_its_screen_is_what_is_shown(run, work, bucket):
    boto3.client("s3").create_bucket(Bucket="my-bucket")
    assert run("upload", "data/coco", "s3://my-bucket/datasets/coco").code == 0
    shown = {line: run(*shlex.split(line)[1:]) for line in COMMANDS}
    assert {ended.code for ended in shown.values()} == {0}
    assert len(shown) == 4
    (screen,) = re.findall(r"```text\n(.*?)```", GUIDE, re.DOTALL)
    assert shown["visprep stats data/coco"].out.startswith(screen)


def test_the_kinds_and_numbers_are_those_of_the_code():
    assert sorted(first_cells("Kind")) == sorted(_COUNT)
    assert f"a sample of {PIXELS} images" in GUIDE
    assert f"below {SMALL} x {SMALL}, below {MEDIUM} x {MEDIUM} pixels" in GUIDE


def test_every_histogram_is_on_the_page(tmp_path):
    coco = coco_place.make(tmp_path / "coco", 2, 1)
    for kind in ("person_keypoints", "captions"):
        (coco / f"annotations/{kind}_val2017.json").write_text(json.dumps(coco_place.annotations([3], kind)))
    record_places.make_tasks(tmp_path / "tasks", 2)
    record_places.make_triplets(tmp_path / "vton", count=1)
    record_places.make_episodes(tmp_path / "frames", count=1)
    places = (coco, *(tmp_path / name for name in ("tasks", "vton", "frames")))
    assert {one.name for place in places for one in visprep.stats(place).histograms} == set(first_cells("Histogram"))
