"""The guide to splits: its commands run, in order, and what it says of their outputs is so."""

import json
import re
import shlex
from pathlib import Path

import pytest

from coco_place import annotations, edited, make
from doc_pages import commands

GUIDE = (Path(__file__).parents[1] / "docs/split.md").read_text()
COMMANDS = commands(GUIDE)


@pytest.fixture
def place(run, tmp_path):
    place = make(tmp_path / "work/data/coco", train=40, val=6)
    (place / "annotations/captions_train2017.json").write_text(json.dumps(annotations(list(range(1, 41)), "captions")))
    with edited(place / "annotations/instances_train2017.json") as data:
        for image in data["images"]:
            image["game"] = f"game {image['id'] % 20}"
    return place


def test_its_commands_run(run, place, tmp_path):
    assert len(COMMANDS) == 6
    for line in COMMANDS:
        ended = run(*shlex.split(line)[1:])
        assert ended.code == 0, f"{line}: {ended.err}{ended.out}"
    data = tmp_path / "work/data"
    assert all((data / f"cleaned_splits/maxsight_{part}.json").is_file() for part in ("train", "val", "test"))
    assert (data / "carved/carved_val.json").read_bytes() == (place / "annotations/instances_val2017.json").read_bytes()
    images = [
        json.loads((data / f"both/both_{kind}_train.json").read_text())["images"] for kind in ("instances", "captions")
    ]
    assert [one["id"] for one in images[0]] == [one["id"] for one in images[1]]


def test_its_links_lead_to_pages():
    findings = (Path(__file__).parents[1] / "docs/findings.md").read_text()
    for code in re.findall(r"findings\.md#([a-z-]+)", GUIDE):
        assert f"## `{code}`" in findings
