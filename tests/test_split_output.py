"""Where `visprep split` and `gather` do not write: into what is split, over it, and where other data lies."""

from __future__ import annotations

import json
import shutil

import pytest

import visprep
from coco_place import annotations, make
from conftest import tree
from visprep.errors import UsageError

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


@pytest.mark.parametrize(("link", "target"), [("cache/parts", "../../../elsewhere"), ("cache", "..")])
def test_a_link_in_place_of_a_directory_of_ours_is_not_followed(run, place, tmp_path, link, target):
    out = tmp_path / "work/out"
    (out / ".visprep" / link).parent.mkdir(parents=True)
    (out / ".visprep" / link).symlink_to(target)
    for mine in (out / "parts/mine.txt", tmp_path / "work/elsewhere/mine.txt"):
        mine.parent.mkdir()
        mine.write_text("mine")
    refused(split(run, FILE, "out"), 3, "[unsafe-path]")
    assert (out / "parts/mine.txt").exists()
    assert (tmp_path / "work/elsewhere/mine.txt").exists()


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
    refused(split(run, "nothing.json", "parts.zip"), 2, "not written into an archive")
    ended = run("gather", "sample", "--parts", PARTS, "-o", "got", "--splits", "parts.zip")
    refused(ended, 2, "not written into an archive")
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


# hints


def in_the_way(run, out):
    ended = split(run, FILE, out, "--seed", "4")
    return refused(ended, 3, "[would-overwrite]")


def test_what_is_in_the_way_is_told_by_options_that_there_are(run, place, tmp_path):
    out = tmp_path / "work/out"
    out.mkdir()
    (out / "instances_train.json").write_text("mine")
    assert in_the_way(run, "out") == "move them away, or choose another --output\n"
    (out / "instances_train.json").unlink()
    (out / "dataset.json").write_text("mine")
    assert in_the_way(run, "out") == "move it away, or name another directory\n"
    gathered = ("gather", "data/coco", "-o", "got", "--splits", "out", "--parts", PARTS)
    assert "--overwrite" not in run(*gathered).err


@pytest.mark.parametrize("spoiled", ["instances_train.json", "split.json"])
@pytest.mark.parametrize("recorded", [True, False])
def test_what_verify_says_of_a_changed_part_mends_it(run, place, tmp_path, spoiled, recorded):
    out = tmp_path / "work/out"
    assert split(run, FILE, out).code == 0
    good = tree(out)
    text = (out / spoiled).read_text()
    (out / spoiled).write_text(text.replace("000000000001.jpg", "000000000002.jpg"))
    if not recorded:
        shutil.rmtree(out / ".visprep")
    ended = run("verify", out, "--depth", "content")
    assert ended.code == 1
    assert "hint: remove it, then run the " in ended.out or "or remove it, then run the same split again" in ended.out
    assert "--overwrite" not in ended.out
    refused(split(run, FILE, out), 3, "[would-overwrite]")
    (out / spoiled).unlink()
    assert split(run, FILE, out).code == 0
    assert run("verify", out, "--depth", "content").code == 0
    assert {path: data for path, data in tree(out).items() if path in ("split.json", spoiled)} == {
        path: data for path, data in good.items() if path in ("split.json", spoiled)
    }


def test_the_parts_to_be_named_are_no_two_of_one_name(run, tmp_path):
    for part in ("test", "train"):
        folder = tmp_path / "work/robo" / part
        folder.mkdir(parents=True)
        first = 1 if part == "test" else 11
        (folder / "_annotations.coco.json").write_text(json.dumps(annotations(list(range(first, first + 10)))))
    files = [f"robo/{part}/_annotations.coco.json" for part in ("test", "train")]
    ended = run("split", *files, "-o", "out", "--parts", "holdout=0.5")
    hint = refused(ended, 2, "names none of the parts")
    assert hint.rstrip().endswith("--parts test=0.9,holdout=0.1")


def test_leaks_that_are_too_many_to_be_shown_are_told_by_an_option_of_leaks(run, tmp_path):
    file = tmp_path / "work/{}.json"
    for name in ("one", "two"):
        (tmp_path / f"work/{name}.json").write_text(json.dumps(annotations(list(range(1, 302)))))
    ended = run("leaks", str(file).format("one"), str(file).format("two"))
    assert "hint: --json tells all" in ended.out, ended.out[-500:] + ended.err
    assert len(json.loads(run("leaks", "one.json", "two.json", "--json").out)["findings"]) > 300


# places by name


def test_the_split_to_extend_may_be_a_place_on_s3(run, place, bucket):
    far = f"s3://{bucket}/splits"
    assert split(run, FILE, far).code == 0
    for name in (far, f"{far}/", f"{far}/split.json"):
        assert split(run, FILE, "out", "--extend", name).code == 0
    ended = split(run, FILE, "out", "--extend", f"s3://{bucket}/nothing")
    refused(ended, 3, f"s3://{bucket}/nothing/split.json: no such file")


def test_no_certificate_is_written_to_s3(run, place, tmp_path):
    with pytest.raises(UsageError):
        visprep.leaks([str(place)], certificate="s3://bucket/c.json")
    refused(run("leaks", place, "--certificate", "s3://bucket/c.json"), 2, "written to a disk")


# layouts


@pytest.mark.parametrize("asked", [(), ("--layout", "vmevalkit"), ("--layout", "template")])
@pytest.mark.parametrize("recorded", [True, False])
def test_cleaned_tasks_have_the_files_of_their_layout(run, tmp_path, recorded, asked):
    assert run("download", "sample", "--layout", "vmevalkit", "-o", "tasks").code == 0
    tasks = tmp_path / "work/tasks"
    for frame in tasks.rglob("final_frame.png"):
        frame.unlink()
    (tasks / ".visprep/manifest.jsonl").unlink()  # that would tell that they are not there
    if not recorded:
        (tasks / "dataset.json").unlink()
    count = len(list(tasks.rglob("prompt.txt")))
    ended = split(run, "tasks", "out", "--clean", *asked)
    if "template" in asked or not (recorded or asked):
        refused(ended, 3, "no record is left")
    else:
        assert ended.code == 0, ended.err
        split_of = json.loads((tmp_path / "work/out/split.json").read_text())
        assert sum(part["records"] for part in split_of["parts"]) == count
        assert split_of["left_out"]["records"] == {}


def test_there_is_no_other_layout(run, place, tmp_path):
    refused(split(run, FILE, "out", "--layout", "square"), 2, "no layout 'square'")
    assert not (tmp_path / "work/out").exists()
