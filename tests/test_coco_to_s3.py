"""COCO straight to S3: the same place as in a directory, and no archive on disk."""

import json
import random
import zipfile

import boto3
import pytest

import visprep
from conftest import tree
from killing import visprep as started
from visprep.manifest import MANIFEST
from visprep.stores import open_store
from visprep.testing import Mirror
from visprep.testing.coco import lay_out, pack, sums

PART = 5 * 1024 * 1024


@pytest.fixture
def root(tmp_path):
    lay_out(tmp_path / "upstream")
    return tmp_path / "upstream"


@pytest.fixture
def upstream(root):
    with Mirror(root) as mirror:
        yield mirror


@pytest.fixture
def get(run, upstream, root, tmp_path, bucket):
    """`get("--limit", 3)` -> exit code, what the JSON says, stderr; to the bucket, or to `output`."""

    def call(*more, mirror=None, output=f"s3://{bucket}/coco", sums=root / "SHA256SUMS"):
        said = ("--checksums", sums) if sums else ()
        ended = run(
            "download", "coco", "--mirror", mirror or upstream.url, *said, "--output", output, "--json", *map(str, more)
        )
        return ended.code, json.loads(ended.out) if ended.out else {}, ended.err

    return call


def objects(bucket, prefix="coco/"):
    client = boto3.client("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    return {key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def plain(found):
    """Files by path, and the lines of the manifest without ETags: what a directory and a bucket have in common."""
    lines = [json.loads(line) for line in found[MANIFEST].splitlines()]
    return found | {MANIFEST: [{key: one[key] for key in one if key != "etag"} for one in lines]}


def assert_same(bucket, place):
    there, here = objects(bucket), tree(place)
    assert plain(there) == plain(here)
    entries = [json.loads(line) for line in there[MANIFEST].splitlines()[1:]]
    assert all(one["etag"] for one in entries)


def bytes_sent(mirror):
    return sum(one.sent for one in mirror.requests)


@pytest.mark.parametrize(
    "options",
    [
        ("--split", "val2017,train2017"),
        ("--split", "val2017", "--limit", "3"),
        ("--split", "val2017,train2017", "--classes", "person", "--only-matching"),
        ("--split", "val2017", "--labels", "instances,panoptic"),
    ],
    ids=["whole", "limit", "classes", "panoptic"],
)
def test_the_bucket_has_what_a_directory_would_have(get, bucket, tmp_path, options, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (code, said, err), (_, here, _) = get(*options), get(*options, output=tmp_path / "coco")
    assert code == 0, err
    assert {key: said[key] for key in ("files", "checked")} == {key: here[key] for key in ("files", "checked")}
    assert_same(bucket, tmp_path / "coco")
    again = get(*options)
    assert (again[0], again[1]["files"], again[1]["bytes"]) == (0, 0, 0)
    assert visprep.status(f"s3://{bucket}/coco").state == "complete"
