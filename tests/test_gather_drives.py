"""`visprep gather` where a notebook has its data: on a mounted drive, by DATA_DIR and SPLITS_DIR."""

from __future__ import annotations

import contextlib
import json

import pytest

import visprep
from conftest import tree
from drives import Drive, NotHere
from killing import kill_at_work, kill_count, leftovers
from killing import visprep as start
from visprep.testing import Mirror
from visprep.testing.coco import lay_out


@contextlib.contextmanager
def mounted(kind, folder):
    try:
        drive = Drive(kind, folder).__enter__()
    except NotHere as why:
        pytest.skip(f"no {kind} can be mounted here: {why}")
    try:
        yield drive
    finally:
        drive.__exit__()


@pytest.fixture(params=["exfat", "rclone"])
def drive(request, tmp_path):
    with mounted(request.param, tmp_path) as drive:
        yield drive


@pytest.fixture
def coco(drive, tmp_path, monkeypatch):
    """The words of a command that gathers COCO's sample onto the drive."""
    monkeypatch.setenv("DATA_DIR", str(drive.point / "data/coco"))
    monkeypatch.setenv("SPLITS_DIR", str(drive.point / "data/cleaned_splits"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    sums = lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        what = ("--split", "train2017,val2017", "--labels", "instances", "--parts", "train=0.5,val=0.3,test=0.2")
        yield ("gather", "coco", *what, "--name", "maxsight", "--mirror", mirror.url, "--checksums", str(sums))


def test_the_next_session_finds_all_of_it(run, coco, drive):
    argv = (*coco, "--clean", "--near-duplicates")
    ended = run(*argv)
    assert ended.code == 0, ended.err
    place = drive.point / "data"
    told = json.loads((place / "cleaned_splits/split.json").read_bytes())
    assert sum(part["records"] for part in told["parts"]) == 16
    before = {path: data for path, data in tree(place).items() if "/.visprep/cache/" not in path}
    drive.again()
    ended = run(*argv, "--json")
    assert (ended.code, json.loads(ended.out)["nothing_to_do"]) == (0, True), ended.err
    assert {path: data for path, data in tree(place).items() if "/.visprep/cache/" not in path} == before
    for name in ("coco", "cleaned_splits"):
        assert not visprep.verify(place / name, depth="content").failed
        assert not leftovers(place / name)


def test_copies_of_the_parts_need_no_links(run, coco, drive):
    place = drive.point / "data/cleaned_splits"
    refused = run(*coco, "--how", "links")
    assert (refused.code, "--how copies" in refused.err) == (3, True), refused.err
    ended = run(*coco, "--how", "copies")
    assert ended.code == 0, ended.err
    copied = [path for path in place.rglob("*.jpg") if ".visprep" not in path.parts]
    assert len(copied) == 16
    drive.again()
    assert "nothing to do" in run(*coco, "--how", "copies").err


def test_killed_it_is_gone_on_with(coco, drive, run, tmp_path):
    place, killed = drive.point / "data", 0
    for seconds in (0.0, 0.05, 0.1, 0.2, 0.3)[: kill_count(5)]:
        process = start(*coco, cwd=tmp_path)
        killed += kill_at_work(process, (place / "coco").exists, seconds)
    assert killed
    ended = run(*coco)
    assert ended.code == 0, ended.err
    assert not leftovers(place / "coco")
    assert not leftovers(place / "cleaned_splits")
    assert not visprep.verify(place / "coco", depth="content").failed
    assert not visprep.verify(place / "cleaned_splits", depth="content").failed
    whole = tmp_path / "whole"
    assert run(*coco, "--output", whole / "coco", "--splits", whole / "cleaned_splits").code == 0
    wanted = {path: data for path, data in tree(whole).items() if not path.startswith("cleaned_splits/.visprep")}
    for path in ("cleaned_splits/split.json", "cleaned_splits/dataset.json"):  # the way to the data stands in it
        del wanted[path]
    have = tree(place)
    assert [path for path in wanted if "/.visprep/cache/" not in path and have.get(path) != wanted[path]] == []


def test_what_is_remembered_of_files_is_never_wrong(run, coco, drive, tmp_path):
    """Inodes may be others the next time, or those of other files: then files are read again."""
    assert run(*coco).code == 0
    data, copy = drive.point / "data/coco", tmp_path / "copy"
    assert run("sync", data, copy).code == 0
    drive.again()
    assert "0 files copied" in run("sync", data, copy).err
    name = "annotations/instances_val2017.json"
    text = (data / name).read_bytes()
    (data / name).write_bytes(text.replace(b"kite", b"kits"))
    drive.again()
    assert run("sync", data, copy).code == 0
    assert (copy / name).read_bytes() == text.replace(b"kite", b"kits")


def test_a_drive_that_takes_no_more_of_a_file_does_and_says_why_it_does_not_go_on(run, tmp_path):
    argv = ("gather", "sample", "--parts", "train=0.5,test=0.5", "--limit", "6")
    with mounted("rclone-bare", tmp_path) as drive:
        where = ("--output", drive.point / "data", "--splits", drive.point / "splits")
        ended = run(*argv, *where)
        assert ended.code == 0, ended.err
        drive.again()
        assert "nothing to do" in run(*argv, *where).err
        assert not leftovers(drive.point / "data")
        marker = drive.point / "data/.visprep/in-progress"
        (drive.point / "data/dataset.json").unlink()
        marker.write_text('{"format_version": 1}\n')  # as a kill leaves it
        ended = run(*argv, *where)
        assert (ended.code, "[disk-error]" in ended.err) == (3, True)
