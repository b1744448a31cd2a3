"""`visprep verify` of a place on S3: what is found there, and how little is read for it, by the count of the server."""

from __future__ import annotations

import io
import json
import sys
import time
import zlib
from pathlib import Path

import boto3
import pytest
from PIL import Image

import visprep
from coco_place import edited, encoded, make
from drawn import picture
from visprep.engines.processes import Processes
from visprep.manifest import MANIFEST
from visprep.testing.s3 import FaultyS3
from visprep.traffic import LEAVING, LISTING, PRICES_OF, READING

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from planted_ends import image, planted

VAL = "annotations/instances_val2017.json"


@pytest.fixture
def watched(s3_server, monkeypatch, bucket):
    """A server before the bucket's that counts what it sends."""
    with FaultyS3(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def uploaded(tmp_path, bucket, run):
    """A dataset of COCO and its copy on S3, both with a manifest."""
    place = make(tmp_path / "coco")
    url = f"s3://{bucket}/coco"
    assert run("upload", place, url).code == 0
    return place, url


def put(bucket, key, data, **options):
    boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=data, **options)


def bodies(server, below):
    """The bytes that were sent of objects whose key holds this."""
    return sum(one.sent for one in server.requests if below in one.path and "list-type" not in one.path)


def errors(report):
    return {one.path for one in report.findings if one.level == "error"}


def test_planted_damage_is_found_from_next_to_nothing(bucket, watched):
    """At least 99 percent of it, reading less than 2 percent of objects that have 150 KB or more on average."""
    images, bad, total = [], set(), 0
    for number, (name, data, kind) in enumerate(planted(77, seed=20261122, every=2), 1):
        put(bucket, f"coco/val2017/{name}", data)
        images.append({"id": number, "file_name": name, "width": 640, "height": 480})
        bad |= {f"val2017/{name}"} if kind else set()
        total += len(data)
    categories = [{"id": 1, "name": "toy"}]
    put(bucket, f"coco/{VAL}", json.dumps({"images": images, "annotations": [], "categories": categories}).encode())
    assert (total / len(images) >= 150_000, len(bad)) == (True, 38)
    watched.requests.clear()
    report = visprep.verify(f"s3://{bucket}/coco", depth="headers")
    found = errors(report)
    assert found <= bad  # no false alarm
    assert len(found) >= 0.99 * len(bad)
    assert bodies(watched, "val2017/") < 0.02 * total
    assert report.traffic.requests == len(watched.requests)
    assert report.traffic.bytes == sum(one.sent for one in watched.requests)
    assert report.traffic.listings == sum("list-type" in one.path for one in watched.requests)


def test_with_a_manifest_every_replaced_object_is_found_and_no_other_is_read(uploaded, bucket, watched):
    place, url = uploaded
    paths = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.jpg"))
    assert visprep.verify(url).findings == ()
    for path in paths[::2]:
        data = bytearray((place / path).read_bytes())
        data[len(data) // 2] ^= 1
        put(bucket, f"coco/{path}", bytes(data))
    put(bucket, f"coco/{paths[1]}", (place / paths[1]).read_bytes() + b"\0")
    watched.requests.clear()
    report = visprep.verify(url, depth="headers")
    # One of them may be seen to be damaged, too
    assert {(one.code, one.path) for one in report.findings if one.code != "image-damaged"} == {
        *(("file-replaced", path) for path in paths[::2]),
        ("file-size", paths[1]),
    }
    assert bodies(watched, "2017/") == sum(bodies(watched, path) for path in paths[::2]) > 0
    assert report.spared == len(paths[1::2])
    for finding in report.findings:
        if finding.code == "file-replaced":
            assert len({finding.where["expected"], finding.where["actual"]}) == 2
    assert errors(visprep.verify(url, depth="content")) == errors(report)


def test_what_the_manifest_does_not_list_is_looked_into(uploaded, bucket, watched):
    _, url = uploaded
    put(bucket, "coco/val2017/new.jpg", image(3)[:-500])
    watched.requests.clear()
    report = visprep.verify(url)
    assert ("image-truncated", "val2017/new.jpg") in {(one.code, one.path) for one in report.findings}
    assert bodies(watched, "2017/") == bodies(watched, "2017/new.jpg") > 0


def test_an_object_that_was_sent_again_as_it_was_is_the_same(uploaded, bucket):
    """Another ETag, and the SHA-256 of the manifest: as after a copy onto itself with another encryption."""
    place, url = uploaded
    client, path = boto3.client("s3"), "val2017/000000000007.jpg"
    sha256 = client.head_object(Bucket=bucket, Key=f"coco/{path}")["Metadata"]["sha256"]
    parts = client.create_multipart_upload(Bucket=bucket, Key=f"coco/{path}", Metadata={"sha256": sha256})
    where = {"Bucket": bucket, "Key": f"coco/{path}", "UploadId": parts["UploadId"]}
    sent = client.upload_part(PartNumber=1, Body=(place / path).read_bytes(), **where)
    client.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent["ETag"]}]}, **where)
    assert client.head_object(Bucket=bucket, Key=f"coco/{path}")["ETag"].endswith('-1"')
    assert visprep.verify(url).findings == ()
    data = (place / path).read_bytes()  # and one whose SHA-256 is a lie is looked into all the same
    put(bucket, f"coco/{path}", data[: len(data) // 2] + bytes(len(data) - len(data) // 2), Metadata={"sha256": sha256})
    assert {(one.code, one.path) for one in visprep.verify(url).findings} == {("image-truncated", path)}


def test_where_the_manifest_has_no_etags_it_is_said_and_images_are_looked_into(run, uploaded, bucket, tmp_path):
    _, url = uploaded
    local = tmp_path / "local"
    assert run("download", url, "--output", local).code == 0
    for path in local.rglob("*"):  # as another tool copies a directory
        if path.is_file():
            put(bucket, f"plain/{path.relative_to(local).as_posix()}", path.read_bytes())
    size = (local / "val2017/000000000007.jpg").stat().st_size
    put(bucket, "plain/val2017/000000000007.jpg", b"<html>".ljust(size))
    report = visprep.verify(f"s3://{bucket}/plain")
    assert {(one.code, one.level.value) for one in report.findings} == {
        ("etags-unknown", "note"),
        ("image-not-image", "error"),
    }
    (note,) = (one for one in report.findings if one.code == "etags-unknown")
    assert (note.path, note.where["count"], report.spared) == (MANIFEST, 11, 0)


def test_dimensions_are_held_against_the_json(run, uploaded, bucket):
    place, url = uploaded
    with edited(place / VAL) as data:
        data["images"][0]["width"] += 1
    assert run("upload", place, url).code == 0
    (finding,) = visprep.verify(url, reread=True).findings
    assert (finding.code, finding.path) == ("image-size-mismatch", "val2017/000000000007.jpg")


@pytest.mark.parametrize("reread", [False, True])
def test_a_dry_run_tells_what_the_run_then_takes(run, uploaded, watched, reread):
    """Of a sound place, whose images are plain."""
    _, url = uploaded
    options = ("--reread",) if reread else ()
    dry = json.loads(run("verify", url, "--dry-run", "--json", *options).out)
    assert bodies(watched, "2017/0") == 0
    watched.requests.clear()
    wet = json.loads(run("verify", url, "--json", *options).out)
    for told in (dry, wet):
        traffic = told["traffic"]
        assert traffic["dollars"]["requests"] == pytest.approx(
            traffic["listings"] * LISTING + (traffic["requests"] - traffic["listings"]) * READING
        )
        assert traffic["dollars"]["transfer"] == pytest.approx(traffic["bytes"] * LEAVING)
        assert told["spared"] == (0 if reread else 9)
    assert wet["traffic"]["requests"] == len(watched.requests)
    assert dry["traffic"]["listings"] == wet["traffic"]["listings"]
    assert dry["traffic"]["requests"] == wet["traffic"]["requests"]
    assert 0 <= wet["traffic"]["bytes"] - dry["traffic"]["bytes"] < 1_000  # dataset.json, and an answer that says no


@pytest.mark.parametrize("kind", ["coco", "open-images", "tasks"])
def test_content_reads_what_is_looked_into_once(run, bucket, watched, tmp_path, kind):
    """Images, masks, frames, prompts, videos, JSON and tables, by whatever engine; and what changed is still found.

    The JSON of Open Images is read once more, to be held against the tables.
    """
    place, url = tmp_path / "place", f"s3://{bucket}/place"
    visprep.download("sample", place, config=None if kind == "tasks" else kind)
    assert run("upload", place, url).code == 0
    looked = [path for path in place.rglob("*") if path.suffix in (".jpg", ".png", ".txt", ".mp4", ".csv")]
    looked += place.glob("annotations/*.json") if kind == "coco" else ()
    assert looked
    dry = visprep.verify(url, depth="content", dry_run=True)
    with Processes(2) as processes:
        for engine in ("local", processes):
            watched.requests.clear()
            report = visprep.verify(url, depth="content", engine=engine)
            assert report.findings == ()
            for path in looked:
                assert bodies(watched, f"/{path.relative_to(place).as_posix()}") == path.stat().st_size, path
            assert dry.traffic.bytes <= report.traffic.bytes < 1.2 * dry.traffic.bytes
        victim = next(one for one in looked if one.suffix not in (".txt", ".csv")).relative_to(place).as_posix()
        data = bytearray((place / victim).read_bytes())
        data[len(data) // 2] ^= 1
        put(bucket, f"place/{victim}", bytes(data))
        for engine in ("local", processes):
            found = visprep.verify(url, depth="content", engine=engine).findings
            assert ("file-changed", victim) in {(one.code, one.path) for one in found}


def test_the_cost_is_told_in_words(run, uploaded):
    place, url = uploaded
    out = run("verify", url).out
    assert "other requests" in out
    assert "about $0.0000" in out
    assert "9 images were not looked into" in out
    assert "at least 1 listing" in run("verify", url, "--dry-run").out
    assert "$" not in run("verify", place).out
    assert "traffic" not in json.loads(run("verify", place, "--json").out)


def test_the_guide_has_the_prices_and_their_date():
    guide = (Path(__file__).parents[1] / "docs/s3.md").read_text()
    for words, dollars in (
        ("1,000 listings, of up to 1,000 objects each", LISTING * 1_000),
        ("1,000 other requests", READING * 1_000),
        ("a gigabyte that leaves AWS for the internet; within a region it is free", LEAVING * 1_000_000_000),
    ):
        assert f"| {words} | {dollars:.4f}".rstrip("0") in guide
    assert f"last looked up on {PRICES_OF}" in guide


def test_progress_tells_requests_and_bytes(uploaded):
    told = []
    report = visprep.verify(uploaded[1], reread=True, progress=lambda one: told.append(one.traffic.requests))
    assert 0 < told[0] <= told[-1] <= report.traffic.requests


def test_annotations_are_read_once(tmp_path, bucket, watched):
    """Also where several pieces are asked for, and what is wrong with them is what is wrong on disk."""
    images = [{"id": number, "file_name": f"{number:060}.jpg", "width": 8, "height": 8} for number in range(80_000)]
    boxes = [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [0, 0, 4, 4], "area": 16, "iscrowd": 0}]
    document = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "toy"}]}
    data = json.dumps(document).encode()
    assert len(data) > 8 * 1024 * 1024
    file = tmp_path / "coco" / VAL
    file.parent.mkdir(parents=True)
    for number, body in enumerate((data, data[: len(data) // 2], data.replace(b'"width": 8', b'"width": "8"', 1))):
        put(bucket, f"coco-{number}/{VAL}", body)
        file.write_bytes(body)
        watched.requests.clear()
        report = visprep.verify(f"s3://{bucket}/coco-{number}", as_="coco", depth="headers")
        assert bodies(watched, VAL) < 1.3 * len(body)  # more where a place in the text is told
        assert report.findings == visprep.verify(tmp_path / "coco", as_="coco", depth="headers").findings != ()


def in_small_chunks(png, size=1000):
    """The same picture with its pixels in hundreds of chunks."""
    at, head, tail, pixels = 8, png[:8], b"", b""
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            pixels += png[at + 8 : end - 4]
        elif pixels:
            tail += png[at:end]
        else:
            head += png[at:end]
        at = end
    bodies = [b"IDAT" + pixels[first : first + size] for first in range(0, len(pixels), size)]
    chunks = [(len(one) - 4).to_bytes(4, "big") + one + zlib.crc32(one).to_bytes(4, "big") for one in bodies]
    return head + b"".join(chunks) + tail


def test_frames_of_tasks_are_looked_at_by_their_first_and_last_bytes(run, tmp_path, bucket, watched):
    """What is found is what is found on disk: sizes, modes, duplicates, what is no PNG, and what has lost its end."""
    place, url = tmp_path / "tasks", f"s3://{bucket}/tasks"

    def put_task(name, first, final):
        for part, data in (("first_frame.png", first), ("final_frame.png", final), ("prompt.txt", name[:1].encode())):
            file = place / name / part
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def frame(seed, side=100, mode="RGB"):
        return encoded(Image.open(io.BytesIO(picture(seed, (side, side)))).convert(mode), "PNG")

    plain = encoded(Image.new("RGB", (1600, 1600), "white"), "PNG")
    assert 4096 < len(plain) < 65536
    put_task("maze_task/a1", frame(1), frame(2))
    put_task("maze_task/a2", frame(1), frame(3))  # the same question
    put_task("maze_task/b1", frame(4), frame(5, side=101))
    put_task("maze_task/b2", frame(6, mode="L"), frame(7))
    put_task("chess_task/c1", frame(2), frame(8, side=300))  # a frame of a1
    put_task("chess_task/c2", plain, frame(9, side=300)[:200_000])
    put_task("maze_task/c2", plain, b"<html>".ljust(9000))
    long = frame(10, side=300)
    put_task("maze_task/d1", long[:-12], frame(11, side=300)[:-9000].ljust(len(long), b"\0"))
    put_task(
        "maze_task/d2", frame(12, side=300)[:-5000] + frame(13, side=300)[-5000:], frame(14, side=300) + b"\0" * 900
    )
    put_task("maze_task/d3", in_small_chunks(frame(15, side=300)), in_small_chunks(frame(16, side=300))[:-9000])
    for file in place.rglob("*.*"):
        put(bucket, f"tasks/{file.relative_to(place).as_posix()}", file.read_bytes())
    here, dry = visprep.verify(place, depth="headers"), visprep.verify(url, dry_run=True)
    watched.requests.clear()
    there = visprep.verify(url)
    assert len({one.code for one in here.findings}) >= 5
    assert {one.path for one in here.findings if one.code == "frame-undecodable"} == {
        "chess_task/c2/final_frame.png",
        "maze_task/d1/first_frame.png",
        "maze_task/d1/final_frame.png",
        "maze_task/d3/final_frame.png",
    }
    assert there.findings == here.findings
    read = bodies(watched, "a1/f") + bodies(watched, "b1/f") + bodies(watched, "c1/f")
    assert read == 6 * 2 * 256
    assert dry.traffic.bytes <= there.traffic.bytes
    assert dry.traffic.requests <= there.traffic.requests


@pytest.mark.parametrize("recorded", [False, True], ids=["plain", "with-a-manifest"])
def test_images_of_a_published_place_are_vouched_for_by_its_version(run, tmp_path, bucket, watched, recorded):
    place, url = make(tmp_path / "coco"), f"s3://{bucket}/published"
    if recorded:
        assert run("upload", place, f"s3://{bucket}/coco").code == 0
    assert run("publish", place, url).code == 0
    client = boto3.client("s3")
    watched.requests.clear()
    report = visprep.verify(url)
    assert (report.findings, report.spared) == ((), 9)
    assert bodies(watched, "2017/0") == 0
    dry = visprep.verify(url, dry_run=True)
    assert (dry.traffic.listings, dry.traffic.requests) == (report.traffic.listings, report.traffic.requests)
    keys = [one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix="published/files/val2017/")["Contents"]]
    time.sleep(1.1)  # S3 tells seconds
    first = (place / "val2017/000000000007.jpg").read_bytes()
    put(bucket, keys[0], first)  # as it was, by somebody who tells no digest
    put(bucket, keys[1], first, Metadata={"sha256": "0" * 64})
    client.delete_object(Bucket=bucket, Key=keys[2])
    watched.requests.clear()
    report = visprep.verify(url)
    assert {(one.code, one.path) for one in report.findings if one.level == "error"} == {
        ("file-replaced", "val2017/000000000008.jpg"),
        ("image-unreadable", "val2017/000000000009.jpg"),
    }
    assert report.spared == 6
    assert bodies(watched, "train2017/0") == 0 < bodies(watched, "val2017/000000000007")
    put(bucket, keys[0], first + b"more")
    assert ("file-replaced", "val2017/000000000007.jpg") in {
        (one.code, one.path) for one in visprep.verify(url).findings
    }
