"""Parts as copies in a bucket: the same files as in a directory, made once, and never over those of others."""

import json
import re

import boto3
import pytest

from conftest import tree
from killing import visprep
from s3_places import Objects
from visprep.testing import FaultyS3

PARTS = ("--parts", "train=0.5,val=0.3,test=0.2")


@pytest.fixture(autouse=True)
def one_date(monkeypatch, bucket):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module", params=["disk", "bucket"])
def kind(request):
    return request.param


@pytest.fixture
def there(s3_server, bucket):
    return Objects(boto3.client("s3", endpoint_url=s3_server), bucket, "parts")


@pytest.fixture
def origin(run, kind, tmp_path, bucket):
    place = tmp_path / "vton" if kind == "disk" else f"s3://{bucket}/vton"
    assert run("download", "sample", "--config", "vton", "--output", place).code == 0
    return place


def images(files):
    return {path: data for path, data in files.items() if path.endswith((".jpg", ".png"))}


def test_copies_are_those_of_a_directory_and_follow_the_split(run, origin, there, tmp_path):
    for parts in (PARTS, ("--parts", "train=0.2,val=0.8")):
        words = ("split", origin, *parts, "--how", "copies", "--output")
        assert run(*words, tmp_path / "calm").code == 0
        ended = run(*words, there.place)
        assert ended.code == 0, ended.err
        calm, found = tree(tmp_path / "calm"), there.tree()
        assert found.keys() == calm.keys()
        assert images(found) == images(calm) != {}
        before = there.listed()
        assert run(*words, there.place).code == 0
        assert there.listed() == before


def test_what_is_not_ours_is_not_overwritten_or_removed(run, origin, there):
    words = ("split", origin, *PARTS, "--how", "copies", "--output", there.place)
    assert run(*words).code == 0
    path = next(iter(images(there.listed())))
    there.put(path, b"mine")
    ended = run(*words)
    assert (ended.code, path in ended.err) == (3, True)
    ended = run("split", origin, "--parts", "other=1.0", "--how", "copies", "--output", there.place)
    assert ended.code == 3
    assert there.read(path) == b"mine"


def test_killed_it_ends_in_the_same_objects(run, origin, there, s3_server, tmp_path):
    words = ["split", origin, *PARTS, "--how", "copies", "--output"]
    assert run(*words, tmp_path / "calm").code == 0
    with FaultyS3(s3_server) as slow:
        last = max(images(tree(tmp_path / "calm")))
        slow.fault(f"PUT /.*/parts/{re.escape(last)}", times=None, stall=True)  # so that it is at work
        process = visprep(*words, there.place, "--endpoint-url", slow.url)
        while process.poll() is None and not images(there.listed()):
            pass
        process.kill()
        process.communicate()
    assert ".visprep/in-progress" in there.listed()
    assert last not in there.listed()
    assert json.loads(run("status", there.place, "--json").out)["state"] == "unfinished"
    ended = run(*words, there.place)
    assert ended.code == 0, ended.err
    assert images(there.tree()) == images(tree(tmp_path / "calm"))


def test_links_are_refused_and_copies_named(run, origin, there):
    ended = run("split", origin, *PARTS, "--how", "links", "--output", there.place)
    assert (ended.code, "--how copies" in ended.err) == (2, True)
    assert there.listed() == {}


def test_where_a_copy_of_annotations_has_no_room_the_hint_is_tmpdir(run, bucket, small_disk, monkeypatch):
    body = json.dumps({"images": [], "annotations": [], "categories": [], "info": {"of": "x" * 200_000}}).encode()
    boto3.client("s3").put_object(Bucket=bucket, Key="large/annotations/instances_val2017.json", Body=body)
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    ended = run("split", f"s3://{bucket}/large", "--parts", "a=0.5,b=0.5", "--output", f"s3://{bucket}/parts")
    assert ended.code == 3
    assert "no space left on device [disk-full]" in ended.err
    assert "set TMPDIR to a directory that has room" in ended.err
