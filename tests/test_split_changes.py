"""`visprep split` when an input changes while it runs: what was read does not go together, and nothing is written."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import visprep
from coco_place import annotations, make
from visprep.errors import ChangedMeanwhile
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile
from visprep.recordsets import read_recordset


@pytest.fixture
def place(tmp_path):
    return make(tmp_path / "work/data/coco", train=20, val=4)


@pytest.fixture
def file(place):
    return place / "annotations/instances_train2017.json"


def replace(file, how):
    """Other bytes in place of a file, of the same size or longer."""
    data = json.loads(file.read_text())
    data["images"].reverse()
    text = json.dumps(data)
    new = file.with_suffix(".new")
    new.write_text(text if how == "same size" else text + " " * 30)
    new.rename(file)


@pytest.mark.parametrize("how", ["same size", "longer"])
def test_a_file_that_is_replaced_while_pictures_are_looked_at_ends_it(tmp_path, file, how):
    reported = []

    def swap(event):
        if not reported and event.stage.startswith("Fingerprint"):
            reported.append(event)
            replace(file, how)

    with pytest.raises(ChangedMeanwhile, match="instances_train2017"):
        visprep.split(file, output=tmp_path / "out", parts="train=0.5,val=0.5", near_duplicates=True, progress=swap)
    assert reported
    assert not list((tmp_path / "out").glob("*.json"))
    assert not visprep.split(file, output=tmp_path / "out", parts="train=0.5,val=0.5", near_duplicates=True).failed


@pytest.mark.parametrize("files", [1, 2])
def test_a_file_that_is_replaced_while_parts_are_written_ends_it(place, file, files):
    other = place / "annotations/captions_train2017.json"
    other.write_text(json.dumps(annotations(list(range(1, 21)), "captions")))
    records = read_recordset([str(one) for one in (file, other)[:files]])
    outputs = records.outputs({"train": np.arange(20) < 10}, None, "ids")
    chunks = next(outputs).chunks()
    assert next(chunks)
    replace(file, "same size")
    with pytest.raises(ChangedMeanwhile):
        list(chunks)


def test_a_file_that_has_another_time_and_the_same_bytes_is_the_same(tmp_path, file):
    """As on some network drives, which tell another time once a file has been read, or was sent."""
    touched = []

    def touch(event):
        touched.append(event)
        os.utime(file, (len(touched), len(touched)))

    visprep.split(file, output=tmp_path / "out", parts="train=0.5,val=0.5", near_duplicates=True, progress=touch)
    assert len(touched) > 1
    os.utime(file)
    visprep.split(file, output=tmp_path / "other", parts="train=0.5,val=0.5", near_duplicates=True)
    for name in ("instances_train.json", "instances_val.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_a_file_that_nobody_touched_is_the_same(file):
    index = coco_json.index(JsonFile.on_disk(file))
    index.file.check_same()
    replace(file, "longer")
    with pytest.raises(ChangedMeanwhile):
        index.file.check_same()
