"""COCO straight to S3: the same place as in a directory, and no archive on disk."""

import contextlib
import json
import random
import subprocess
import time
import zipfile

import boto3
import pytest

import visprep
from conftest import tree
from killing import visprep as started
from visprep.manifest import MANIFEST
from visprep.testing import FaultyS3, Mirror
from visprep.testing.coco import lay_out, pack, sums

ASIDE = ".visprep/quarantine/"


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
        ("--split", "val2017,train2017", "--classes", "kite", "--only-matching"),
    ],
    ids=["whole", "limit", "classes"],
)
def test_the_bucket_has_what_a_directory_would_have(get, bucket, tmp_path, options, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (code, said, err), (_, here, _) = get(*options), get(*options, output=tmp_path / "coco")
    assert code == 0, err
    assert {key: said[key] for key in ("files", "checked", "bytes")} == {
        key: here[key] for key in ("files", "checked", "bytes")
    }
    assert_same(bucket, tmp_path / "coco")
    again = get(*options)
    assert (again[0], again[1]["files"], again[1]["bytes"]) == (0, 0, 0)
    assert visprep.status(f"s3://{bucket}/coco").state == "complete"


def test_after_a_subset_the_notice_names_the_images_of_splits_that_come_now(get, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for output in (f"s3://{bucket}/coco", tmp_path / "coco"):
        assert get("--limit", "2", output=output)[0] == 0
        assert get("--split", "val2017,train2017", output=output)[0] == 0
    assert b"train2017/" in objects(bucket)["NOTICE.csv"]
    assert_same(bucket, tmp_path / "coco")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_in_zips_are_unpacked_too(get, root, bucket, tmp_path, method, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    masks = {f"panoptic_val2017/{number:012}.png": random.Random(number).randbytes(3000) for number in range(9)}
    pack(tmp_path / "inner.zip", masks, zipfile.ZIP_DEFLATED)
    inner = (tmp_path / "inner.zip").read_bytes()
    files = {"annotations/panoptic_val2017.json": b"{}", "annotations/panoptic_val2017.zip": inner}
    pack(root / "annotations/panoptic_annotations_trainval2017.zip", files, method)
    code, _, err = get("--labels", "panoptic", sums=sums(root))
    assert code == 0, err
    there = objects(bucket)
    assert {path: there.get(f"annotations/{path}") for path in masks} == masks
    assert not [key for key in there if key.endswith(".zip")]
    assert not list((tmp_path / "tmp").iterdir())


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Annotations that go in parts, and images that do not: where they lie, and what they are."""
    folder = tmp_path_factory.mktemp("large")
    noise = random.Random(5)
    images = {f"val2017/{number:012}.jpg": noise.randbytes(100_000) for number in range(60)}
    pack(folder / "zips/val2017.zip", images)
    labels = {
        "annotations/captions_val2017.json": noise.randbytes(9_000_000),
        "annotations/instances_val2017.json": b'{"images": []}' + b" " * 20_000_000,
        "annotations/person_keypoints_val2017.json": b"{}",
    }
    pack(folder / "annotations/annotations_trainval2017.zip", labels, zipfile.ZIP_DEFLATED)
    sums(folder)
    return folder, {**images, **labels}


def unfinished(bucket):
    return boto3.client("s3").list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_killed_again_and_again_it_ends_in_the_same_objects(bucket, large, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (folder, expected), rng = large, random.Random(7)
    place = f"s3://{bucket}/coco"
    with Mirror(folder) as mirror:
        argv = ("download", "coco", "--mirror", mirror.url, "--checksums", folder / "SHA256SUMS", "--output", place)
        killed = 0
        for _ in range(2):
            process = started(*argv)
            seen = len(mirror.requests)
            while process.poll() is None and len(mirror.requests) < seen + 8:  # it is at work
                time.sleep(0.01)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.6))
            process.kill()
            process.communicate()
            killed += process.returncode < 0
            if not process.returncode:
                break
        before, there = bytes_sent(mirror), objects(bucket)
        done = sum(len(data) for path, data in there.items() if path.endswith(".jpg"))
        assert all(data == expected[path] for path, data in there.items() if path in expected)
        ended = started(*argv)
        words = ended.communicate(timeout=100)
        assert ended.returncode == 0, words
        size = sum(path.stat().st_size for path in folder.glob("*/*.zip"))
        # What is there is not asked for again, but for small gaps, which cost less than requests
        assert bytes_sent(mirror) - before <= size - done + 1_500_000
    there = objects(bucket)
    assert {path: there[path] for path in expected} == expected
    assert set(there) == {*expected, "dataset.json", MANIFEST}
    assert killed
    assert not unfinished(bucket)
    assert not list((tmp_path / "tmp").iterdir())  # what those that were killed left is swept


def test_what_is_there_is_not_fetched_again(get, upstream, bucket):
    """Of a command that was broken off, with notes or without: bytes of the mirror are counted."""
    assert get()[0] == 0
    paths = sorted(objects(bucket))
    images = [path for path in paths if path.endswith(".jpg")]
    client = boto3.client("s3")
    for path in (images[0], MANIFEST, "dataset.json"):
        client.delete_object(Bucket=bucket, Key=f"coco/{path}")
    upstream.requests.clear()
    code, said, err = get()
    assert (code, said["files"], said["kept"]) == (0, 1, len(images) - 1 + 3), err
    assert bytes_sent(upstream) < 300_000
    assert set(objects(bucket)) == set(paths)


def test_objects_of_somebody_else_stay(get, bucket):
    client, name = boto3.client("s3"), "coco/val2017/000000002000.jpg"
    client.put_object(Bucket=bucket, Key=name, Body=b"mine")
    code, _, err = get()
    assert (code, "[would-overwrite]" in err) == (3, True)
    assert set(objects(bucket)) == {"val2017/000000002000.jpg"}
    assert get("--overwrite")[0] == 0
    assert objects(bucket)["val2017/000000002000.jpg"] != b"mine"


def test_an_object_that_was_replaced_since_stays_unless_it_may_go(get, bucket):
    assert get()[0] == 0
    name = "val2017/000000002000.jpg"
    size = len(objects(bucket)[name])
    boto3.client("s3").put_object(Bucket=bucket, Key=f"coco/{name}", Body=bytes(size))
    assert "[would-overwrite]" in get()[2]
    code, said, err = get("--overwrite")
    place = visprep.verify(f"s3://{bucket}/coco")
    assert (code, said["files"], said["kept"]) == (0, 1, place.checked["files"] - 1), err
    assert any(objects(bucket)[name])


def test_another_archive_than_the_recorded_one_is_put_aside(get, root, bucket, tmp_path):
    lines = (root / "SHA256SUMS").read_text().splitlines()
    wrong = [f"{'ab' * 32}  val2017.zip" if line.endswith(" val2017.zip") else line for line in lines]
    (tmp_path / "WRONG").write_text("\n".join(wrong))
    code, _, err = get(sums=tmp_path / "WRONG")
    assert (code, "[wrong-content]" in err) == (3, True)
    there = objects(bucket)
    assert not [path for path in there if path.startswith("val2017/")]
    aside = {path.removeprefix(f"{ASIDE}val2017/") for path in there if path.startswith(ASIDE)}
    assert {path.relative_to(root).as_posix() for path in root.glob("val2017/*")} == aside
    assert visprep.status(f"s3://{bucket}/coco").state == "unfinished"
    assert get()[0] == 0  # with the right ones it ends


def test_a_damaged_archive_is_healed_by_the_next_mirror(get, root, bucket, tmp_path):
    other = tmp_path / "other"
    lay_out(other)
    path = other / "zips/val2017.zip"
    damaged = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[1]
    damaged[first.header_offset + 300] ^= 1
    path.write_bytes(damaged)
    with Mirror(other) as bad, Mirror(root) as good:
        assert get(mirror=bad.url)[0] == 3
        assert first.filename not in objects(bucket)
        code, _, err = get(mirror=f"{bad.url},{good.url}")
    assert code == 0, err
    assert objects(bucket)[first.filename] == (root / first.filename).read_bytes()


def test_archives_are_kept_in_the_bucket(get, upstream, root, bucket):
    code, said, err = get("--keep-archives")
    assert (code, said["checked"]) == (0, {"annotations_trainval2017": "sha256", "val2017": "sha256"}), err
    assert said["bytes"] == bytes_sent(upstream)
    there = objects(bucket)
    assert there["archives/val2017.zip"] == (root / "zips/val2017.zip").read_bytes()
    boto3.client("s3").delete_object(Bucket=bucket, Key="coco/val2017/000000002000.jpg")
    asked = bytes_sent(upstream)
    code, said, err = get("--keep-archives")
    assert (code, said["files"]) == (0, 1), err
    assert bytes_sent(upstream) == asked
    assert objects(bucket) == there


def test_a_bad_archive_that_was_to_be_kept_never_appears(get, root, bucket, tmp_path):
    lines = (root / "SHA256SUMS").read_text().splitlines()
    (tmp_path / "WRONG").write_text("\n".join([*lines[:-1], "ab" * 32 + "  val2017.zip"]))
    code, _, err = get("--keep-archives", sums=tmp_path / "WRONG")
    assert (code, "[wrong-content]" in err) == (3, True)
    assert "archives/val2017.zip" not in objects(bucket)


def test_a_server_that_sends_no_parts_is_asked_for_the_whole(get, bucket, large):
    folder, expected = large
    with Mirror(folder, ranges=False) as whole:
        code, _, err = get(mirror=whole.url, sums=folder / "SHA256SUMS")
    assert code == 0, err
    there = objects(bucket)
    assert {path: there[path] for path in expected} == expected
    assert set(there) == {*expected, "dataset.json", MANIFEST}


def test_a_bucket_that_refuses_is_no_fault_of_the_mirror(get, upstream, bucket):
    code, _, err = get(output="s3://no-such-bucket-here/coco", mirror=f"{upstream.url},{upstream.url}")
    assert code == 3
    assert "mirror" not in err
    assert "no-such-bucket-here" in err
    assert not upstream.requests


def test_trouble_with_the_bucket_is_overcome(get, s3_server, bucket, large):
    folder, expected = large
    with FaultyS3(s3_server) as s3, Mirror(folder) as mirror:
        s3.fail("reset-upload", method="PUT", key="jpg$", times=2)
        s3.fail("slow-down", method="PUT", key="jpg$", after=9, times=3)
        s3.fail("internal-error", method="PUT", query="partNumber=2")
        s3.fail("error-in-200", method="POST", query="uploadId")
        more = ("--endpoint-url", s3.url)
        code, _, err = get(*more, mirror=mirror.url, sums=folder / "SHA256SUMS")
        assert code == 0, err
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"coco/{MANIFEST}")
        boto3.client("s3").delete_object(Bucket=bucket, Key="coco/val2017/000000000007.jpg")
        s3.fail("access-denied", method="PUT", key="jpg$", times=None)
        code, _, err = get(*more, mirror=f"{mirror.url},{mirror.url}", sums=folder / "SHA256SUMS")
    assert (code, "[access-denied]" in err) == (3, True)
    assert "mirror" not in err
    there = objects(bucket)
    assert {path: there.get(path) for path in expected if not path.endswith("07.jpg")} == {
        path: data for path, data in expected.items() if not path.endswith("07.jpg")
    }


def test_a_dry_run_says_what_it_takes_and_leaves_nothing(get, bucket):
    code, said, err = get("--dry-run", "--limit", "3")
    assert code == 0, err
    assert said["bytes"] > 0
    assert 0 < said["temporary"] < 10_000_000
    assert 0 < said["memory"] < 400_000_000
    assert said["disk"] == 0
    assert objects(bucket) == {}
    code, _, err = get("--dry-run", output="s3://no-such-bucket-here/coco")
    assert (code, "[place-missing]" in err) == (3, True)


def test_it_needs_less_disk_than_the_archive(bucket, small_disk, large, monkeypatch):
    """Where a file system of 64 kB is all that there is, for temporary files and the working directory."""
    folder, expected = large
    monkeypatch.setenv("TMPDIR", str(small_disk))
    with Mirror(folder) as mirror:
        argv = ("download", "coco", "--mirror", mirror.url, "--checksums", folder / "SHA256SUMS")
        argv += ("--output", f"s3://{bucket}/coco")
        ended = started(*argv, cwd=small_disk)
        words = ended.communicate(timeout=100)
        assert ended.returncode == 0, words
        subset = started(*argv[:-1], f"s3://{bucket}/some", "--limit", "3", cwd=small_disk)
        words = subset.communicate(timeout=100)
        assert (subset.returncode, b"[disk-full]" in words[1]) == (3, True), words
        assert b"TMPDIR" in words[1]
        assert b"--output" not in words[1]
    there = objects(bucket)
    assert {path: there[path] for path in expected} == expected
    assert not objects(bucket, "some/")
    assert not list(small_disk.iterdir())
