"""A file that became a directory at the origin, or the reverse: with --delete, a copy on disk follows."""

import json
import os
import shutil
import zipfile

import boto3
import pytest

from conftest import tree


def fill(place, **files):
    """A directory with these files; `__` in a name is a slash."""
    for name, text in files.items():
        path = place / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return place


@pytest.fixture(params=["directory", "bucket", "zip"])
def moved(request, tmp_path):
    """Turns a directory into an origin of each kind."""
    bucket = request.getfixturevalue("bucket") if request.param == "bucket" else ""

    def call(folder):
        if request.param == "directory":
            return folder
        if request.param == "bucket":
            for path, data in tree(folder).items():
                boto3.client("s3").put_object(Bucket=bucket, Key=f"p/{path}", Body=data)
            return f"s3://{bucket}/p"
        with zipfile.ZipFile(tmp_path / "origin.zip", "w") as archive:
            for path, data in tree(folder).items():
                archive.writestr(path, data)
        return tmp_path / "origin.zip"

    return call


DEEP = {"a__b__c": "1", "a__b__d": "2", "a.txt": "3", "a-x__y": "4"}
FLAT = {"a": "old", "a.txt": "3", "a-x": "old too", "ä": "x"}


@pytest.mark.parametrize(("now", "before"), [(DEEP, FLAT), (FLAT, DEEP), ({"a__b": "1"}, DEEP), (DEEP, {"a__b": "1"})])
def test_it_follows_and_a_second_run_finds_nothing_to_do(run, tmp_path, moved, now, before):
    origin, copy = moved(fill(tmp_path / "origin", **now)), fill(tmp_path / "copy", **before)
    plain = run("sync", origin, copy)
    assert (plain.code, "--delete" in plain.err) == (3, True)
    untouched = {path: data for path, data in tree(fill(tmp_path / "before", **before)).items() if path in tree(copy)}
    assert {path: tree(copy)[path] for path in untouched} == untouched
    assert len(untouched) == len(before)
    done = run("sync", origin, copy, "--delete", "--yes", "--max-delete", "4")
    assert (done.code, done.err.count("error")) == (0, 0)
    assert tree(copy) == tree(tmp_path / "origin")
    assert not (copy / ".visprep/cache/arrived").exists()
    again = run("sync", origin, copy, "--delete", "--yes")
    assert (again.code, "0 files copied" in again.err, "deleted" in again.err) == (0, True, False)


def test_the_plan_says_why_and_is_carried_out(run, tmp_path):
    origin = fill(tmp_path / "origin", a__b="1", c="2", d="3")
    copy = fill(tmp_path / "copy", a="old", c__x="old", d="3")
    assert run("sync", origin, copy, "--delete", "--plan", tmp_path / "plan").code == 0
    lines = [json.loads(line) for line in (tmp_path / "plan").read_text().splitlines()[1:]]
    assert [(one["action"], one["path"], one["reason"]) for one in lines] == [
        ("delete", "a", "not at the origin"),
        ("create", "a/b", "not there, and a is a file until it is deleted"),
        ("create", "c", "not there"),
        ("delete", "c/x", "not at the origin, where c is a file"),
    ]
    refused = run("sync", "--apply", tmp_path / "plan")
    assert (refused.code, "too-many-deletes" in refused.err) == (3, True)
    assert run("sync", origin, copy, "--delete", "--max-delete", "2", "--plan", tmp_path / "plan").code == 0
    assert run("sync", "--apply", tmp_path / "plan").code == 0
    assert tree(copy) == tree(origin)


def test_nothing_goes_when_a_transfer_fails(run, tmp_path):
    origin = fill(tmp_path / "origin", a__b="1", c="2")
    copy = fill(tmp_path / "copy", a="old", c__x="old", d="old")
    (origin / "dead").symlink_to("nowhere")
    assert run("sync", origin, copy, "--delete", "--yes", "--max-delete", "3", "--exclude", "d").code == 3
    assert tree(copy) == {"a": b"old", "c/x": b"old", "d": b"old"}
    (origin / "dead").unlink()
    assert run("sync", origin, copy, "--delete", "--yes", "--max-delete", "3", "--exclude", "d").code == 0
    assert tree(copy) == {"a/b": b"1", "c": b"2", "d": b"old"}


def test_what_is_excluded_stays_and_so_does_its_directory(run, tmp_path):
    origin = fill(tmp_path / "origin", c="2", d="3")
    copy = fill(tmp_path / "copy", c__keep="mine")
    ended = run("sync", origin, copy, "--delete", "--yes", "--exclude", "*keep")
    assert (ended.code, "c:" in ended.err) == (3, True)
    assert {path: data for path, data in tree(copy).items() if not path.endswith(".visprep-part")} == {
        "c/keep": b"mine",
        "d": b"3",
    }


def test_a_record_is_kept(run, tmp_path):
    origin, copy = tmp_path / "origin", tmp_path / "copy"
    run("download", "sample", "--limit", "1", "--output", origin)
    run("sync", origin, copy)
    fill(origin, extra="x", other__y="y")
    run("sync", origin, copy)
    (origin / "extra").unlink()
    (origin / "other/y").unlink()
    (origin / "other").rmdir()
    fill(origin, extra__z="z", other="file")
    assert run("sync", origin, copy, "--delete", "--yes").code == 0
    assert (
        run("verify", copy, "--depth", "content", "--as", "tasks").code == run("verify", origin, "--as", "tasks").code
    )
    told = json.loads(run("verify", copy, "--depth", "content", "--json").out)["findings"]
    assert not [one for one in told if one["code"].startswith("file-")]
    assert (copy / "extra/z").read_text() == "z"


def test_empty_directories_give_way_and_what_a_kill_left_goes(run, tmp_path, bucket):
    for key in ("a", "b"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"p/{key}", Body=b"x")
    copy = tmp_path / "copy"
    (copy / "a/b/c").mkdir(parents=True)
    fill(copy / ".visprep/cache/arrived", b="half")
    assert run("sync", f"s3://{bucket}/p", copy).code == 0
    assert tree(copy) == {"a": b"x", "b": b"x"}
    assert not (copy / ".visprep/cache/arrived").exists()


def test_a_bucket_that_has_both_is_named(run, tmp_path, bucket):
    """On disk only one of them can be."""
    for key in ("a", "a/b", "a/c", "z"):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"p/{key}", Body=key.encode())
    copy = fill(tmp_path / "copy", a__b="a/b", a__old="x", a__0="x")
    ended = run("sync", f"s3://{bucket}/p", copy, "--delete", "--yes", "--max-delete", "9")
    assert (ended.code, "a file stands where a directory is needed" in ended.err) == (3, True)
    assert tree(copy) == {"a/b": b"a/b", "a/c": b"a/c", "a/old": b"x", "a/0": b"x", "z": b"z"}
    assert os.listdir(copy / ".visprep") == ["journal.jsonl"]


@pytest.mark.parametrize("target", ["file", "file/below/it"])
def test_a_target_that_is_a_file_is_named(run, tmp_path, target):
    (tmp_path / "file").write_text("x")
    ended = run("sync", fill(tmp_path / "origin", a="1"), tmp_path / target)
    assert (ended.code, "not a directory, or in a file" in ended.err, "--delete" in ended.err) == (3, True, False)


@pytest.mark.parametrize("place", ["file.tar.bz2", "file.tar.bz2/below/it"])
def test_a_file_in_place_of_a_place_is_not_advised_to_be_removed(run, tmp_path, place):
    (tmp_path / "file.tar.bz2").write_text("x")
    other = fill(tmp_path / "other", a="1")
    for places in ((tmp_path / place, other), (other, tmp_path / place)):
        ended = run("diff", *places)
        assert (ended.code, "[place-missing]" in ended.err, "remove" in ended.err) == (3, True, False)


def test_nothing_arrives_behind_a_link(run, tmp_path):
    origin, copy = fill(tmp_path / "origin", a__b="1"), fill(tmp_path / "copy", a="old")
    (tmp_path / "elsewhere").mkdir()
    (copy / ".visprep").mkdir()
    (copy / ".visprep/cache").symlink_to(tmp_path / "elsewhere")
    ended = run("sync", origin, copy, "--delete", "--yes", "--max-delete", "1")
    assert (ended.code, "[unsafe-path]" in ended.err) == (3, True)
    assert (copy / "a").read_text() == "old"
    assert not (tmp_path / "elsewhere/arrived").exists()


def test_what_lies_behind_a_link_in_place_of_the_cache_stays(run, tmp_path):
    origin, copy = fill(tmp_path / "origin", c="1"), fill(tmp_path / "copy", mine__x="mine", mine__arrived__y="mine")
    for at in (copy, tmp_path / "made"):
        (at / ".visprep").mkdir(parents=True)
        (at / ".visprep/cache").symlink_to(copy / "mine")
    for words in (("sync", origin, copy), ("download", origin, "--output", tmp_path / "made")):
        ended = run(*words)
        assert (ended.code, "[unsafe-path]" in ended.err) == (3, True), ended.err
        assert [(copy / "mine" / path).read_text() for path in ("x", "arrived/y")] == ["mine", "mine"]
    shutil.rmtree(copy / "mine")
    (copy / "mine").mkdir()  # what lies in an empty one is ours
    assert run("download", origin, "--output", tmp_path / "made").code == 0


def test_a_link_that_became_a_directory(run, tmp_path):
    origin, copy = fill(tmp_path / "origin", a__b="new"), fill(tmp_path / "copy", c="x")
    fill(tmp_path / "elsewhere", b="mine")
    (copy / "a").symlink_to(tmp_path / "elsewhere")
    assert run("sync", origin, copy).code == 3
    assert run("sync", origin, copy, "--delete", "--yes", "--max-delete", "2").code == 0
    assert tree(copy) == {"a/b": b"new"}
    assert (tmp_path / "elsewhere/b").read_text() == "mine"
