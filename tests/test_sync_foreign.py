"""Objects that other tools put there, in parts: their ETags are no MD5s, and they carry no digest of ours."""

import json

import boto3
import pytest

from s3_door import Door
from visprep.manifest import MANIFEST
from visprep.stores.s3_answers import fit_for_header

MEBIBYTE = 2**20
#: In one part that fits one request of ours, and above what we send in one.
SIZES = {"small": 5_000, "medium": 6 * MEBIBYTE, "large": 9 * MEBIBYTE}


def in_parts(bucket, key, body, **more):
    """Put an object in parts, as other tools do."""
    client = boto3.client("s3")
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(body), 5 * MEBIBYTE), 1):
        piece = body[at : at + 5 * MEBIBYTE]
        part = client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=piece)
        parts.append({"ETag": part["ETag"], "PartNumber": number})
    whole = {"Parts": parts}
    client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload, MultipartUpload=whole)


def body_of(bucket, key):
    return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def heads(door, prefix):
    """The objects under a prefix that were asked about one by one."""
    asked = [seen.path.partition(f"/{prefix}/")[2] for seen in door.seen if seen.method == "HEAD"]
    return [path for path in asked if path and not path.startswith(".visprep")]


@pytest.fixture
def door(s3_server, monkeypatch):
    with Door(s3_server) as opened:
        monkeypatch.setenv("AWS_ENDPOINT_URL", opened.url)
        yield opened


@pytest.fixture
def origin(bucket):
    """A prefix with such an object of each size."""
    for name, size in SIZES.items():
        in_parts(bucket, f"origin/{name}", name[:1].encode() * size)
    return f"s3://{bucket}/origin"


class TestBetweenBuckets:
    """The copy tells with which ETag it was made."""

    def test_a_second_run_moves_nothing_and_asks_once_for_each(self, run, bucket, origin, door):
        target = f"s3://{bucket}/target"
        assert "3 files copied" in run("sync", origin, target).err
        assert all(body_of(bucket, f"target/{name}") == name[:1].encode() * size for name, size in SIZES.items())
        door.seen.clear()
        done = run("sync", origin, target)
        assert (done.code, "0 files copied" in done.err) == (0, True)
        assert heads(door, "origin") == []
        assert sorted(heads(door, "target")) == sorted([*SIZES, "medium"])  # of one is asked whether ETags are MD5s
        assert run("diff", origin, target).code == 0

    def test_a_manifest_tells_it_without_a_question(self, run, bucket, origin, door):
        target = f"s3://{bucket}/target"
        run("download", origin, "--output", target)
        assert [json.loads(line)["made_from"] for line in body_of(bucket, f"target/{MANIFEST}").splitlines()[1:]]
        for _ in range(2):
            door.seen.clear()
            done = run("sync", origin, target)
            assert (done.code, "0 files copied" in done.err) == (0, True)
            assert heads(door, "origin") == []
            assert heads(door, "target") == []
        in_parts(bucket, "origin/small", b"S" * SIZES["small"])
        assert "1 file copied" in run("sync", origin, target).err
        door.seen.clear()
        assert "0 files copied" in run("sync", origin, target).err
        assert heads(door, "target") == []

    @pytest.mark.parametrize("side", ["origin", "target"])
    @pytest.mark.parametrize("name", SIZES)
    def test_what_changed_since_is_copied(self, run, bucket, origin, side, name):
        target = f"s3://{bucket}/target"
        run("sync", origin, target)
        new = b"x" * SIZES[name]
        in_parts(bucket, f"{side}/{name}", new)
        assert "1 file copied" in run("sync", origin, target).err
        assert body_of(bucket, f"target/{name}") == body_of(bucket, f"origin/{name}")
        assert (body_of(bucket, f"target/{name}") == new) == (side == "origin")

    def test_one_large_object_that_others_put_in_one_request(self, run, bucket):
        boto3.client("s3").put_object(Bucket=bucket, Key="origin/x", Body=b"x" * 9 * MEBIBYTE)
        run("sync", f"s3://{bucket}/origin", f"s3://{bucket}/target")
        assert "0 files copied" in run("sync", f"s3://{bucket}/origin", f"s3://{bucket}/target").err

    def test_an_unfinished_upload_of_a_former_origin_is_not_gone_on_with_in_its_name(self, run, bucket):
        client, body = boto3.client("s3"), b"1" * 9 * MEBIBYTE
        in_parts(bucket, "origin/x", body)
        former = {"origin-etag": client.head_object(Bucket=bucket, Key="origin/x")["ETag"].strip('"')}
        target = {"Bucket": bucket, "Key": "target/x"}
        upload = client.create_multipart_upload(**target, ChecksumAlgorithm="SHA256", Metadata=former)["UploadId"]
        client.upload_part(**target, UploadId=upload, PartNumber=1, Body=body[: 8 * MEBIBYTE])
        in_parts(bucket, "origin/x", body[:-1] + b"2")
        assert run("sync", f"s3://{bucket}/origin", f"s3://{bucket}/target").code == 0
        assert body_of(bucket, "target/x")[-1:] == b"2"
        assert client.head_object(**target)["Metadata"] != former
        in_parts(bucket, "origin/x", body)
        run("sync", f"s3://{bucket}/origin", f"s3://{bucket}/target")
        assert body_of(bucket, "target/x") == body


def test_to_disk_a_second_run_moves_nothing(run, origin, door, tmp_path):
    for _ in range(2):
        done = run("sync", origin, tmp_path / "copy")
        assert done.code == 0
    assert "0 files copied" in done.err
    fetched = [seen.path for seen in door.seen if seen.method == "GET" and seen.path.endswith("large")]
    door.seen.clear()
    assert "0 files copied" in run("sync", origin, tmp_path / "copy").err
    assert fetched
    assert not [seen for seen in door.seen if seen.method == "GET" and seen.path.endswith(tuple(SIZES))]


@pytest.mark.parametrize(
    ("etag", "sent"),
    [
        ('"1-2"', "1-2"),
        ('W/"1"', "1"),
        (None, None),
        ('""', None),
        ('"1\nx-amz-acl: public-read"', None),
        ('"ü"', None),
    ],
)
def test_an_etag_is_sent_along_only_where_it_is_one(etag, sent):
    assert fit_for_header(etag) == sent
