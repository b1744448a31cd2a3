"""What a conversion makes on S3: the same paths and bytes as in a directory, whoever of both ends is a bucket."""

import json

import boto3
import pytest

import visprep
from conftest import tree
from convert_origins import WAYS, Origins

NAMES = [f"{kind}-{to}" for kind, to, _ in WAYS]


@pytest.fixture(autouse=True)
def one_day(monkeypatch, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (tmp_path / "drafts").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "drafts"))


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    return Origins(tmp_path_factory.mktemp("origins")).of


def objects(bucket, prefix):
    """Every object below a prefix with its bytes, and the manifest without ETags."""
    client, found = boto3.client("s3"), {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/"):
        for one in page.get("Contents", ()):
            data = client.get_object(Bucket=bucket, Key=one["Key"])["Body"].read()
            path = one["Key"].removeprefix(f"{prefix}/")
            if path == ".visprep/manifest.jsonl":
                lines = [json.loads(line) for line in data.splitlines()]
                assert all("etag" in line for line in lines[1:])
                data = b"".join(json.dumps({k: v for k, v in line.items() if k != "etag"}).encode() for line in lines)
            found[path] = data
    return found


def plain(files):
    """The same of a directory."""
    lines = [json.loads(line) for line in files[".visprep/manifest.jsonl"].splitlines()]
    return {**files, ".visprep/manifest.jsonl": b"".join(json.dumps(line).encode() for line in lines)}


@pytest.mark.parametrize(("kind", "to", "options"), WAYS, ids=NAMES)
def test_it_is_the_same_on_s3(origins, bucket, tmp_path, kind, to, options):
    """From a directory and from S3; a second time nothing is done."""
    visprep.upload(origins(kind), f"s3://{bucket}/origin")
    for name, origin in (("near", origins(kind)), ("far", f"s3://{bucket}/origin")):
        here = visprep.convert(origin, to=to, output=tmp_path / name, **options)
        there = visprep.convert(origin, to=to, output=f"s3://{bucket}/{name}", **options)
        assert objects(bucket, name) == plain(tree(tmp_path / name))
        assert (there.files, there.losses, there.findings) == (here.files, here.losses, here.findings)
        assert there.linked == 0
        assert there.notes == here.notes
        again = visprep.convert(origin, to=to, output=f"s3://{bucket}/{name}", **options)
        assert (again.files, again.kept) == (0, there.files)
    assert list((tmp_path / "drafts").iterdir()) == []
