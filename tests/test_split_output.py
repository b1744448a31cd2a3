"""Where `visprep split` and `gather` do not write: into what is split, over it, and where other data lies."""

from __future__ import annotations

import json
import shutil

import pytest

import visprep
from coco_place import annotations, make
from conftest import tree

FILE = "data/coco/annotations/instances_train2017.json"
PARTS = "train=0.8,test=0.2"


@pytest.fixture
def place(run, tmp_path):
    return make(tmp_path / "work/data/coco", train=20, val=4)


def split(run, place, output, *more, parts=PARTS):
    return run("split", place, "-o", output, "--parts", parts, *more)


def refused(ended, code, words):
    assert (ended.code, words in ended.err) == (code, True), ended.err
    return ended.err.partition("hint: ")[2]


@pytest.mark.parametrize("how", ["ids", "links", "copies"])
@pytest.mark.parametrize("recorded", [True, False])
def test_a_downloaded_dataset_is_never_taken_for_an_earlier_split(run, tmp_path, recorded, how):
    sample = tmp_path / "work/sample"
    assert run("download", "sample", "--config", "coco", "-o", sample).code == 0
    shutil.copytree(sample, tmp_path / "work/copy")
    if not recorded:  # as a clone, or a copy of what a shell lists
        shutil.rmtree(tmp_path / "work/copy/.visprep")
    before = tree(tmp_path / "work/copy")
    file = sample / "annotations/instances_train2017.json"
    ended = split(run, file, "copy", "--how", how, parts="train2017=0.8,x=0.2")
    refused(ended, 3, "another dataset lies here, sample")
    assert tree(tmp_path / "work/copy") == before


def test_what_was_downloaded_beside_parts_is_not_ours(run, place, tmp_path):
    out = tmp_path / "work/out"
    assert split(run, FILE, out).code == 0
    assert run("download", "sample", "--config", "coco", "-o", out).code == 0
    before = tree(out)
    refused(split(run, FILE, out, "--how", "copies", parts="train2017=0.5,b=0.5"), 3, "another dataset lies here")
    assert tree(out) == before


def test_a_manifest_that_nobody_explains_makes_nothing_ours(run, place, tmp_path):
    out = tmp_path / "work/out"
    assert split(run, FILE, out).code == 0
    (out / "dataset.json").unlink()
    before = tree(out)
    refused(split(run, FILE, out, "--seed", "1"), 3, "dataset.json, which says what they are, does not")
    assert tree(out) == before


@pytest.mark.parametrize("target", ["data/coco/annotations", "data/coco", "data/coco/splits", "data", "."])
@pytest.mark.parametrize("source", [FILE, "data/coco", "data/coco/annotations"])
def test_no_output_lies_in_the_dataset_or_above_it(run, place, tmp_path, source, target):
    before = tree(tmp_path / "work")
    hint = refused(split(run, source, target), 2, " lies in ")
    assert tree(tmp_path / "work") == before
    assert split(run, source, hint.split()[-1]).code == 0  # what the hint says is true
    assert (tmp_path / "work/data/coco-splits/split.json").exists()


def test_no_output_lies_in_the_dataset_that_a_link_leads_to_or_from(run, place, tmp_path):
    other = tmp_path / "work/other/annotations"
    other.mkdir(parents=True)
    (other / "linked.json").symlink_to(place / "annotations/instances_train2017.json")
    for target in ("other", "other/splits", "data/coco", "data/coco/splits"):
        refused(split(run, "other/annotations/linked.json", target), 2, " lies in ")
    assert split(run, "other/annotations/linked.json", "parts").code == 0


def test_beside_a_file_that_lies_alone_parts_may_go(run, tmp_path):
    (tmp_path / "work/mine.json").write_text(json.dumps(annotations([1, 2, 3, 4, 5])))
    refused(split(run, "mine.json", "."), 2, "the input lies in it")
    assert split(run, "mine.json", "parts").code == 0


def test_no_output_on_s3_lies_in_the_dataset_or_above_it(run, place, bucket, tmp_path):
    far = f"s3://{bucket}/data/coco"
    assert run("upload", place, far).code == 0
    file = f"{far}/annotations/instances_train2017.json"
    before = tree(place)
    for source in (file, far):
        for target in (far, f"{far}/splits", f"{far}/annotations/a/b", f"s3://{bucket}/data", f"s3://{bucket}"):
            hint = refused(split(run, source, target), 2, " lies in ")
    assert run("download", far, "-o", "got").code == 0
    assert {path: data for path, data in tree(tmp_path / "work/got").items() if path in before} == before
    assert hint.split()[-1] == f"{far}-splits"
    assert split(run, far, hint.split()[-1]).code == 0
    deep = f"{far}/mine/of/it.json"  # the record is farther up
    import boto3

    boto3.client("s3").upload_file(str(place / "annotations/instances_val2017.json"), bucket, deep.split("/", 3)[3])
    refused(split(run, deep, f"{far}/mine/parts"), 2, "lies in the dataset")
    refused(split(run, FILE, far), 3, "another dataset lies here")


def test_no_parts_go_into_a_zip_file(run, place, tmp_path):
    refused(split(run, "nothing.json", "parts.zip"), 2, "not written into a zip file")
    ended = run("gather", "sample", "--parts", PARTS, "-o", "got", "--splits", "parts.zip")
    refused(ended, 2, "not written into a zip file")
    assert not (tmp_path / "work/got").exists()


@pytest.mark.parametrize("splits", ["data/coco", "data/coco/splits", "data"])
def test_gather_writes_no_parts_into_the_place_that_it_copies(run, place, tmp_path, splits):
    before = tree(place)
    ended = run("gather", "data/coco", "-o", "got", "--splits", splits, "--parts", PARTS)
    hint = refused(ended, 2, " lies in ")
    assert hint.split()[-2:] == ["--splits", "data/coco-splits"]
    assert tree(place) == before
    assert not (tmp_path / "work/got").exists()


def test_a_place_of_parts_that_was_copied_by_visprep_is_still_one(run, place, tmp_path, bucket):
    assert split(run, FILE, "out").code == 0
    assert run("upload", "out", f"s3://{bucket}/splits").code == 0
    assert split(run, FILE, f"s3://{bucket}/splits", "--seed", "3").code == 0
    assert not visprep.verify(f"s3://{bucket}/splits", depth="content").failed
