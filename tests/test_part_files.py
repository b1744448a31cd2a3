"""The files of parts: links and copies, made once, never in the way of others, and whole after a kill."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

import visprep
from conftest import tree
from record_places import make_task, make_tasks
from visprep import errors
from visprep.changes import begin
from visprep.part_files import PartFiles
from visprep.provenance import step
from visprep.recordsets import read_recordset
from visprep.stores import PART_SUFFIX, open_store
from visprep.stores.local import identity

FILES = 4


@pytest.fixture
def origin(tmp_path):
    return make_tasks(tmp_path / "questions")


def halves(recordset, shift=0):
    """Every third record goes to val, the others to train."""
    val = (np.arange(len(recordset.keys)) + shift) % 3 == 0
    return {"train": ~val, "val": val}


def put(origin, output, how, *, shift=0, before=("train", "val"), members=None):
    """What split does with the files of parts; what was done, as counts: written, kept, removed."""
    recordset = read_recordset([str(origin)])
    with begin(open_store(str(output)), step("split", "questions/", options={"how": how, "shift": shift})) as change:
        parts = members if members is not None else halves(recordset, shift)
        files = PartFiles(recordset, parts, change, how=how, before=before)
        if not files.idle or change.resumed:
            change.mark()
            change.commit(files.carry_out(), (change.step,))
    return files.written, files.kept, files.removed


def below(output, *parts):
    """The files of parts with their bytes, by path below the part."""
    return {
        file.relative_to(output / part).as_posix(): file.read_bytes()
        for part in parts
        for file in sorted((output / part).rglob("*"))
        if file.is_file() and not file.name.endswith(PART_SUFFIX)
    }


def inodes(place):
    return {file.stat().st_ino for file in place.rglob("*") if file.is_file()}


@pytest.mark.parametrize("how", ["links", "copies"])
def test_every_file_is_in_one_part_with_its_bytes(origin, tmp_path, how):
    output = tmp_path / "parts"
    assert put(origin, output, how) == (12 * FILES, 0, 0)
    assert below(output, "train", "val") == tree(origin)
    assert not below(output, "train").keys() & below(output, "val").keys()
    assert bool(inodes(output / "train") <= inodes(origin)) is (how == "links")
    assert bool(inodes(output / "train") & inodes(origin)) is (how == "links")
    report = visprep.verify(output, depth="content")
    assert not report.failed
    assert not visprep.verify(output / "train", as_="tasks").failed


@pytest.mark.parametrize("how", ["links", "copies"])
def test_the_same_again_does_nothing(origin, tmp_path, how):
    output = tmp_path / "parts"
    put(origin, output, how)
    before = tree(output)
    times = {file: file.stat().st_mtime_ns for file in output.rglob("*")}
    assert put(origin, output, how) == (0, 12 * FILES, 0)
    assert tree(output) == before
    assert {file: file.stat().st_mtime_ns for file in output.rglob("*") if file in times} == times


@pytest.mark.parametrize("how", ["links", "copies"])
def test_what_moves_goes_from_where_it_was(origin, tmp_path, how):
    output = tmp_path / "parts"
    put(origin, output, how)
    put(origin, output, how, shift=1)
    put(origin, tmp_path / "anew", how, shift=1)
    assert below(output, "train") == below(tmp_path / "anew", "train")
    assert below(output, "val") == below(tmp_path / "anew", "val")
    assert (output / ".visprep/manifest.jsonl").read_bytes().splitlines()[1:] == (
        tmp_path / "anew/.visprep/manifest.jsonl"
    ).read_bytes().splitlines()[1:]


def test_what_is_left_out_now_goes_and_so_do_parts_that_are_no_more(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "copies")
    count = len(read_recordset([str(origin)]).keys)
    members = {"all": np.arange(count) > 0}
    put(origin, output, "copies", members=members)
    assert sorted(one.name for one in output.iterdir()) == [".visprep", "all", "dataset.json"]
    assert len(below(output, "all")) == 11 * FILES


def test_ids_after_copies_leave_no_copies(origin, tmp_path):
    put(origin, tmp_path / "parts", "copies")
    assert put(origin, tmp_path / "parts", "ids") == (0, 0, 12 * FILES)
    assert not (tmp_path / "parts/train").exists()


def test_links_become_copies_and_copies_links(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "links")
    assert put(origin, output, "copies") == (12 * FILES, 0, 0)
    assert not inodes(output / "train") & inodes(origin)
    assert put(origin, output, "links") == (12 * FILES, 0, 0)
    assert inodes(output / "train") <= inodes(origin)
    assert below(output, "train", "val") == tree(origin)


# What is in the way


@pytest.mark.parametrize("how", ["links", "copies"])
def test_files_of_others_stay(origin, tmp_path, how):
    recordset = read_recordset([str(origin)])
    (home,) = (tmp_path / "parts" / part for part, mask in halves(recordset).items() if mask[0])
    theirs = home / recordset.keys[0] / "prompt.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(errors.WouldOverwrite) as refused:
        put(origin, tmp_path / "parts", how)
    assert refused.value.paths == (theirs.relative_to(tmp_path / "parts").as_posix(),)
    assert "--overwrite" not in refused.value.hint
    assert tree(tmp_path / "parts") == {theirs.relative_to(tmp_path / "parts").as_posix(): b"mine"}


@pytest.mark.parametrize("shift", [0, 1])
def test_a_copy_that_was_edited_stays(origin, tmp_path, shift):
    output = tmp_path / "parts"
    put(origin, output, "copies")
    edited = output / "val" / read_recordset([str(origin)]).keys[0] / "prompt.txt"
    edited.write_text("changed by hand")
    before = tree(output)
    with pytest.raises(errors.WouldOverwrite):
        put(origin, output, "copies", shift=shift)
    assert tree(output) == before


def test_the_last_copy_of_a_file_stays(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "copies")
    shutil.rmtree(origin / read_recordset([str(origin)]).keys[0])
    before = tree(output)
    with pytest.raises(errors.WouldOverwrite) as refused:
        put(origin, output, "copies")
    assert len(refused.value.paths) == FILES
    assert "input" in refused.value.message
    assert tree(output) == before


def test_a_link_to_what_the_input_lost_stays_too(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "links")
    shutil.rmtree(origin / read_recordset([str(origin)]).keys[0])
    with pytest.raises(errors.WouldOverwrite):
        put(origin, output, "links")


def test_files_that_others_put_into_a_part_are_left_alone(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "copies")
    (output / "train/README.md").write_text("mine")
    put(origin, output, "copies", shift=1)
    assert (output / "train/README.md").read_text() == "mine"


# What changed at the input


def test_a_prompt_mended_in_its_place_shows_in_the_links_and_in_the_record(origin, tmp_path):
    output = tmp_path / "parts"
    put(origin, output, "links")
    key = read_recordset([str(origin)]).keys[0]
    (origin / key / "prompt.txt").write_text("Mended.\n")
    assert visprep.verify(output, depth="content").failed
    put(origin, output, "links")
    assert not visprep.verify(output, depth="content").failed


@pytest.mark.parametrize("how", ["links", "copies"])
def test_a_file_that_was_replaced_is_taken_again(origin, tmp_path, how):
    output = tmp_path / "parts"
    put(origin, output, how)
    key = read_recordset([str(origin)]).keys[0]
    (origin / "new").write_text("Another.\n")
    (origin / "new").replace(origin / key / "prompt.txt")
    assert put(origin, output, how) == (1, 12 * FILES - 1, 0)
    assert (output / "val" / key / "prompt.txt").read_text() == "Another.\n"
    assert not visprep.verify(output, depth="content").failed


@pytest.mark.parametrize("how", ["links", "copies"])
@pytest.mark.parametrize("leads", ["nowhere", "prompt.txt", "/dev/null"])
def test_what_cannot_be_read_fails_alone_and_is_made_later(origin, tmp_path, how, leads):
    key = read_recordset([str(origin)]).keys[0]
    prompt = origin / key / "prompt.txt"
    prompt.unlink()
    prompt.symlink_to(leads)
    with pytest.raises(errors.Incomplete) as failed:
        put(origin, tmp_path / "parts", how)
    ((path, error),) = failed.value.failures
    assert (path, f"{key}/prompt.txt" in str(error)) == (f"val/{key}/prompt.txt", True)
    assert len(below(tmp_path / "parts", "train", "val")) == 12 * FILES - 1
    prompt.unlink()
    prompt.write_text("There again.\n")
    assert put(origin, tmp_path / "parts", how) == (1, 12 * FILES - 1, 0)
    assert below(tmp_path / "parts", "train", "val") == tree(origin)


@pytest.mark.parametrize("how", ["links", "copies"])
def test_a_symbolic_link_in_a_task_is_followed(origin, tmp_path, how):
    key = read_recordset([str(origin)]).keys[0]
    (origin / key / "final_frame.png").unlink()
    (origin / key / "final_frame.png").symlink_to("first_frame.png")
    put(origin, tmp_path / "parts", how)
    made = tmp_path / "parts/val" / key / "final_frame.png"
    assert not made.is_symlink()
    assert made.read_bytes() == (origin / key / "first_frame.png").read_bytes()
    assert put(origin, tmp_path / "parts", how)[0] == 0


# Where there are no links, and other places


@pytest.fixture
def other_disk():
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is only one file system here")
    folder = Path(tempfile.mkdtemp(dir=shared))
    yield folder
    shutil.rmtree(folder)


def test_links_across_file_systems_are_refused_before_anything_is_done(origin, other_disk):
    with pytest.raises(errors.DiskError) as refused:
        put(origin, other_disk / "parts", "links")
    assert "--how copies" in refused.value.hint
    assert not (other_disk / "parts").exists()
    put(origin, other_disk / "parts", "copies")
    assert below(other_disk / "parts", "train", "val") == tree(origin)


def test_an_output_in_the_input_is_refused_but_for_ids(origin):
    before = tree(origin)
    for how in ("links", "copies"):
        for output in (origin, origin / "parts"):
            with pytest.raises(errors.UsageError):
                put(origin, output, how)
    assert tree(origin) == before
    put(origin, origin / "parts", "ids")


def test_an_input_where_a_part_goes_is_refused(tmp_path):
    origin = make_tasks(tmp_path / "data/train")
    with pytest.raises(errors.UsageError):
        put(origin, tmp_path / "data", "copies")


def test_two_records_of_one_path_are_refused(tmp_path):
    for part in ("train", "val"):
        make_task(tmp_path / "data", f"{part}/maze_task/t0", 1)
    members = {"all": np.ones(2, np.bool_)}
    with pytest.raises(errors.WrongContent) as refused:
        put(tmp_path / "data", tmp_path / "parts", "copies", members=members)
    assert "train/maze_task/t0" in refused.value.message


def test_tasks_of_a_zip_file_are_copied_and_not_linked(origin, tmp_path):
    with zipfile.ZipFile(tmp_path / "questions.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in tree(origin).items():
            archive.writestr(path, data)
    put(tmp_path / "questions.zip", tmp_path / "parts", "copies")
    assert below(tmp_path / "parts", "train", "val") == tree(origin)
    assert put(tmp_path / "questions.zip", tmp_path / "parts", "copies")[0] == 0
    with pytest.raises(errors.UsageError):
        put(tmp_path / "questions.zip", tmp_path / "other", "links")


@pytest.mark.parametrize("uploaded", [True, False])
def test_tasks_on_s3_are_copied_and_not_linked(origin, tmp_path, bucket, uploaded):
    place = f"s3://{bucket}/questions"
    if uploaded:
        visprep.upload(origin, place)
    else:
        import boto3

        for path, data in tree(origin).items():
            boto3.client("s3").put_object(Bucket=bucket, Key=f"questions/{path}", Body=data)
    expected = tree(origin)
    put(place, tmp_path / "parts", "copies")
    assert below(tmp_path / "parts", "train", "val") == expected
    assert put(place, tmp_path / "parts", "copies") == (0, 12 * FILES, 0)
    with pytest.raises(errors.UsageError):
        put(place, tmp_path / "other", "links")
    with pytest.raises(errors.UsageError):
        put(origin, f"s3://{bucket}/parts", "links")


def test_a_place_with_a_record_has_its_digests_taken_over(origin, tmp_path):
    visprep.download(f"{origin}/", tmp_path / "recorded")
    for how in ("links", "copies"):
        put(tmp_path / "recorded", tmp_path / how, how)
        assert not visprep.verify(tmp_path / how, depth="content").failed
        assert below(tmp_path / how, "train", "val") == tree(origin)


@pytest.mark.parametrize("recorded", [True, False])
def test_what_is_known_of_a_file_is_known_after_it_was_linked(origin, tmp_path, recorded):
    for file in origin.rglob("*.png"):
        os.utime(file, (1_700_000_000, 1_700_000_000))
    if recorded:
        (origin / ".visprep").mkdir()
    output = tmp_path / "parts"
    put(origin, output, "links")
    assert (origin / ".visprep/cache").is_dir() is recorded  # nothing is begun in a directory that may be anybody's
    (memory,) = (origin if recorded else output).glob(".visprep/cache/verified*.jsonl")
    known = {one["path"]: one["etag"] for one in map(json.loads, memory.read_text().splitlines()[1:])}
    assert known == {file.relative_to(origin).as_posix(): identity(file.stat()) for file in origin.rglob("*_frame.png")}
