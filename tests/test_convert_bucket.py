"""What a conversion makes on S3: the same paths and bytes as in a directory, whoever of both ends is a bucket."""

import json
import os

import boto3
import pytest

import killing
import visprep
from conftest import tree
from convert_origins import WAYS, Origins
from record_places import make_tasks
from visprep.errors import AccessDenied, Incomplete, UsageError, WouldOverwrite
from visprep.testing.s3 import FaultyS3

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


def test_open_images_of_ours_is_the_same_on_s3(run, bucket, tmp_path):
    """Every pair of disk and S3 makes the same; a second time nothing is done, a lost image and mask come again."""
    place, far = tmp_path / "oi", f"s3://{bucket}/oi"
    visprep.download("sample", place, config="open-images")
    visprep.upload(place, far)
    here = visprep.convert(place, to="coco", output=tmp_path / "made")
    wanted = plain(tree(tmp_path / "made"))
    assert any(path.startswith("masks/") for path in wanted)
    assert any(path.startswith("labels/") for path in wanted)
    for name, origin in (("near", place), ("far", far)):
        there = visprep.convert(origin, to="coco", output=f"s3://{bucket}/{name}/made")
        assert (there.kind, there.images, there.boxes, there.notes) == (here.kind, here.images, here.boxes, here.notes)
        assert (there.files, there.copied, there.losses) == (here.files, here.linked, here.losses)
        found = objects(bucket, f"{name}/made")
        assert _apart(found, wanted) == (set() if name == "near" else {"dataset.json", ".visprep/manifest.jsonl"})
        again = visprep.convert(origin, to="coco", output=f"s3://{bucket}/{name}/made")
        assert (again.files, again.kept) == (0, here.files)
        for folder in ("masks/", "train/"):
            lost = next(path for path in sorted(found) if path.startswith(folder))
            boto3.client("s3").delete_object(Bucket=bucket, Key=f"{name}/made/{lost}")
        assert visprep.convert(origin, to="coco", output=f"s3://{bucket}/{name}/made").files == 2
        assert objects(bucket, f"{name}/made") == found
        assert run("verify", f"s3://{bucket}/{name}/made", "--depth", "content").code == 0
    visprep.convert(far, to="coco", output=tmp_path / "back/made")
    assert _apart(plain(tree(tmp_path / "back/made")), wanted) == {"dataset.json", ".visprep/manifest.jsonl"}
    assert os.listdir(tmp_path / "drafts") == []
    boto3.client("s3").put_object(Bucket=bucket, Key="near/made/annotations/instances_train.json", Body=b"mine")
    with pytest.raises(WouldOverwrite, match=r"annotations/instances_train\.json"):
        visprep.convert(place, to="coco", output=f"s3://{bucket}/near/made")


def _apart(found, wanted):
    return {path for path in found.keys() | wanted.keys() if found.get(path) != wanted.get(path)}


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


def test_one_annotation_file_and_images_of_another_bucket(origins, bucket, tmp_path):
    """The server copies: no image is read for it."""
    boto3.client("s3").create_bucket(Bucket=f"{bucket}-2")
    visprep.upload(origins("coco"), f"s3://{bucket}/coco")
    one = "annotations/instances_val2017.json"
    visprep.convert(origins("coco") / one, to="coco", output=tmp_path / "here")
    with FaultyS3(os.environ["AWS_ENDPOINT_URL"]) as server:
        server.fail("access-denied", method="GET", key="jpg$", times=None)
        s3 = visprep.S3Settings(endpoint_url=server.url)
        found = visprep.convert(f"s3://{bucket}/coco/{one}", to="coco", output=f"s3://{bucket}-2/x/coco", s3=s3)
    here, there = tree(tmp_path / "here"), objects(f"{bucket}-2", "x/coco")
    files = {path for path in here if not path.startswith(".visprep/") and path != "dataset.json"}
    assert {path: there[path] for path in files} == {path: here[path] for path in files}
    assert found.copied == sum(path.endswith(".jpg") for path in files) > 0
    head = boto3.client("s3").head_object(Bucket=f"{bucket}-2", Key="x/coco/" + min(files - {one}))
    assert len(head["Metadata"]["sha256"]) == 64


def test_images_of_others_are_read_for_their_digests(origins, bucket, tmp_path):
    """What tells no SHA-256 goes through this machine, and not over its disk."""
    for path, data in tree(origins("coco")).items():
        boto3.client("s3").put_object(Bucket=bucket, Key=f"coco/{path}", Body=data)
    visprep.convert(f"s3://{bucket}/coco", to="coco", output=f"s3://{bucket}/new")
    visprep.convert(f"s3://{bucket}/coco", to="coco", output=tmp_path / "here")
    assert objects(bucket, "new") == plain(tree(tmp_path / "here"))


def test_what_is_not_ours_stays(origins, bucket):
    client, place = boto3.client("s3"), f"s3://{bucket}/new"
    client.put_object(Bucket=bucket, Key="new/annotations/instances_val2017.json", Body=b"mine")
    with pytest.raises(WouldOverwrite):
        visprep.convert(origins("coco"), to="coco", output=place)
    client.delete_object(Bucket=bucket, Key="new/annotations/instances_val2017.json")
    client.put_object(Bucket=bucket, Key="new/mine.txt", Body=b"mine")
    with pytest.raises(WouldOverwrite):
        visprep.convert(origins("coco"), to="coco", output=place)
    assert list(objects(bucket, "new")) == ["mine.txt"]
    client.delete_object(Bucket=bucket, Key="new/mine.txt")
    visprep.convert(origins("coco"), to="coco", output=place)
    whole = objects(bucket, "new")
    image = next(path for path in whole if path.endswith(".jpg"))
    client.put_object(Bucket=bucket, Key=f"new/{image}", Body=b"mine")
    with pytest.raises(WouldOverwrite) as caught:
        visprep.convert(origins("coco"), to="coco", output=place)
    assert caught.value.paths == (image,)
    client.delete_object(Bucket=bucket, Key=f"new/{image}")
    assert visprep.convert(origins("coco"), to="coco", output=place).files == 1
    assert objects(bucket, "new") == whole
    with pytest.raises(WouldOverwrite, match="in another way"):
        visprep.convert(origins("coco"), to="coco", output=place, max_side=60)


@pytest.mark.parametrize("broken", ["images", "documents", "manifest"])
def test_broken_off_it_goes_on(origins, bucket, tmp_path, broken):
    """What an interrupted command noted, and what it had no time to note, is not written again."""
    keys = {"images": "jpg$", "documents": "instances_val2017.json$", "manifest": "manifest.jsonl$"}
    with FaultyS3(os.environ["AWS_ENDPOINT_URL"]) as server:
        server.fail("access-denied", method="PUT", key=keys[broken], after=2 * (broken == "images"), times=None)
        s3 = visprep.S3Settings(endpoint_url=server.url)
        with pytest.raises((Incomplete, AccessDenied)):
            visprep.convert(origins("coco"), to="coco", output=f"s3://{bucket}/new", max_side=60, s3=s3)
    assert ".visprep/in-progress" in boto_names(bucket)
    there = boto_names(bucket)
    done = visprep.convert(origins("coco"), to="coco", output=f"s3://{bucket}/new", max_side=60)
    assert done.kept == len([path for path in there if not path.startswith(".visprep/") and path != "dataset.json"])
    visprep.convert(origins("coco"), to="coco", output=tmp_path / "here", max_side=60)
    assert objects(bucket, "new") == plain(tree(tmp_path / "here"))


def test_killed_it_ends_in_the_same_objects(bucket, tmp_path):
    origin, new = make_tasks(tmp_path / "tasks", 200), f"s3://{bucket}/new"
    visprep.convert(origin, to="webdataset", output=tmp_path / "whole", shard_tasks=10)
    killed = 0
    for seconds in (0.02, 100):
        before = len(boto_names(bucket))
        process = killing.visprep("convert", origin, "--to", "webdataset", "--output", new, "--shard-tasks", 10)
        killed += killing.kill_at_work(process, lambda before=before: len(boto_names(bucket)) > before, seconds)
    assert killed
    assert process.returncode == 0
    assert objects(bucket, "new") == plain(tree(tmp_path / "whole"))


def test_places_in_each_other_are_refused(origins, bucket):
    visprep.upload(origins("coco"), f"s3://{bucket}/a/coco")
    for output in (f"s3://{bucket}/a/coco", f"s3://{bucket}/a/coco/new", f"s3://{bucket}/a"):
        with pytest.raises(UsageError):
            visprep.convert(f"s3://{bucket}/a/coco", to="yolo", output=output)
    one = f"s3://{bucket}/a/coco/annotations/instances_val2017.json"
    with pytest.raises(UsageError):
        visprep.convert(one, to="yolo", output=f"s3://{bucket}/a/coco/new")
    with pytest.raises(UsageError, match="archive"):
        visprep.convert(origins("coco"), to="yolo", output="new.zip")


def boto_names(bucket):
    told = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="new/")
    return [one["Key"].removeprefix("new/") for one in told.get("Contents", ())]
