"""COCO brought by the workers of an engine: stretches of one archive, and the same place in the end."""

import json
import random

import boto3
import pytest

from conftest import tree
from visprep import S3Settings
from visprep.archive_download import CollectOptions, collect
from visprep.engines import open_engine
from visprep.engines.processes import Processes
from visprep.errors import Incomplete
from visprep.manifest import MANIFEST
from visprep.sources import Mirror as At
from visprep.sources import Selection
from visprep.sources.coco import Coco
from visprep.stores import open_store
from visprep.testing import Mirror
from visprep.testing.coco import pack, sums


@pytest.fixture(scope="module")
def engine():
    workers = Processes(2)
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Images for several slices, and annotations for one."""
    folder, noise = tmp_path_factory.mktemp("upstream"), random.Random(3)
    images = {f"val2017/{number:012}.jpg": noise.randbytes(150_000) for number in range(100)}
    pack(folder / "zips/val2017.zip", images)
    labels = {f"annotations/{name}_val2017.json": b"{}" for name in ("captions", "instances", "person_keypoints")}
    pack(folder / "annotations/annotations_trainval2017.zip", labels)
    return folder


@pytest.fixture
def upstream(root):
    with Mirror(root) as mirror:
        yield mirror


def given(root):
    lines = [line.split("  ") for line in sums(root).read_text().splitlines()]
    return {name.removesuffix(".zip"): {"sha256": digest} for digest, name in lines}


def bring(place, root, *urls, **more):
    options = CollectOptions(tuple(At(url) for url in urls), given(root), **more)
    store = open_store(str(place), S3Settings())
    return collect(Coco(), Selection(splits=("val2017",)), store, options, lambda told: None)


def objects(bucket, prefix="coco/"):
    client = boto3.client("s3")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    keys = [one["Key"] for one in listed]
    return {key.removeprefix(prefix): client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def plain(found):
    lines = [json.loads(line) for line in found[MANIFEST].splitlines()]
    return found | {MANIFEST: [{key: one[key] for key in one if key != "etag"} for one in lines]}


def test_what_workers_bring_is_what_one_process_brings(root, upstream, engine, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bring(tmp_path / "one", root, upstream.url)
    came = bring(tmp_path / "many", root, upstream.url, engine=engine)
    assert (came.files, came.checked["val2017"]) == (103, "crc32")
    assert tree(tmp_path / "many") == tree(tmp_path / "one")
    came = bring(f"s3://{bucket}/coco", root, upstream.url, engine=engine)
    assert came.files == 103
    assert plain(objects(bucket)) == plain(tree(tmp_path / "one"))


def test_only_what_is_missing_is_brought(root, upstream, engine, bucket):
    place, client = f"s3://{bucket}/coco", boto3.client("s3")
    bring(place, root, upstream.url, engine=engine)
    gone = sorted(path for path in objects(bucket) if path.endswith(".jpg"))[:60]
    for path in (*gone, MANIFEST):
        client.delete_object(Bucket=bucket, Key=f"coco/{path}")
    sent = sum(one.sent for one in upstream.requests)
    came = bring(place, root, upstream.url, engine=engine)
    assert (came.files, came.kept) == (60, 43)
    assert sum(one.sent for one in upstream.requests) - sent < 60 * 150_000 + 600_000


def test_a_damaged_image_comes_from_the_next_mirror(root, upstream, engine, tmp_path):
    other = tmp_path / "other"
    damaged = bytearray((root / "zips/val2017.zip").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (other / "zips").mkdir(parents=True)
    (other / "annotations").mkdir()
    (other / "zips/val2017.zip").write_bytes(damaged)
    name = "annotations/annotations_trainval2017.zip"
    (other / name).write_bytes((root / name).read_bytes())
    with Mirror(other) as bad:
        with pytest.raises(Incomplete):
            bring(tmp_path / "bad", root, bad.url, f"{bad.url}/nothing", engine=engine)
        came = bring(tmp_path / "coco", root, bad.url, upstream.url, engine=engine)
    assert came.files == 103
    assert len(list((tmp_path / "coco/val2017").iterdir())) == 100


@pytest.mark.xdist_group("ray")
def test_a_cluster_that_loses_a_node_brings_the_same(root, upstream, ray_cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bring(tmp_path / "one", root, upstream.url)
    killed = []

    def kill(told):
        if not killed and told.stage == "Fetching" and told.done > 1_000_000:  # the first slice came back
            killed.append(told)
            ray_cluster.kill_a_node()

    with open_engine("ray", ray_address=ray_cluster.address) as cluster:
        options = CollectOptions((At(upstream.url),), given(root), engine=cluster)
        came = collect(Coco(), Selection(splits=("val2017",)), open_store(str(tmp_path / "many")), options, kill)
    assert killed
    assert came.files == 103
    assert tree(tmp_path / "many") == tree(tmp_path / "one")
