"""What a checkpoint says of the data and the code that it was trained on."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess

import pytest

import visprep
from coco_place import make
from record_places import make_episodes, make_triplets
from visprep.runs import trained_on


class Wrapped:
    """What has a dataset in it, as a DataLoader and a Subset have."""

    def __init__(self, dataset):
        self.dataset = dataset


class Joined:
    """What has several, as a ConcatDataset has."""

    def __init__(self, *datasets):
        self.datasets = datasets


@pytest.fixture
def frames(tmp_path):
    make_episodes(tmp_path / "frames")
    return tmp_path / "frames"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def git(directory, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    subprocess.run(["git", "-C", directory, *who, *words], check=True, capture_output=True)


def test_the_commit_and_whether_files_differ(run, tmp_path):
    work = tmp_path / "work"
    assert trained_on(None) == {"datasets": [], "commit": None, "dirty": None}
    git(work, "init", "-q")
    assert trained_on(None)["commit"] is None
    (work / "train.py").write_text("a")
    git(work, "add", ".")
    git(work, "commit", "-qm", "a")
    (work / "new.txt").write_text("not known to git")
    told = trained_on(None)
    assert (len(told["commit"]), told["dirty"]) == (40, False)
    (work / "train.py").write_text("b")
    assert trained_on(None) == told | {"dirty": True}


def test_a_working_directory_that_is_gone(run, tmp_path):
    (tmp_path / "work").rmdir()
    nothing = {"place": "data", "version": None, "manifest_sha256": None}
    assert trained_on("data") == {"datasets": [nothing], "commit": None, "dirty": None}


def test_a_place_by_its_manifest_there_or_above(run, frames, tmp_path):
    assert trained_on(frames)["datasets"] == [{"place": str(frames), "version": None, "manifest_sha256": None}]
    assert run("download", frames, "-o", "copy").code == 0
    copy = tmp_path / "work/copy"
    expected = sha256((copy / ".visprep/manifest.jsonl").read_bytes())
    for one in ("copy", copy, f"{copy}/pong", copy / "pong/episode_0"):
        (told,) = trained_on(one)["datasets"]
        assert told == {"place": str(copy), "version": None, "manifest_sha256": expected}


def test_a_place_on_s3_and_a_published_one(run, frames, bucket):
    url = f"s3://{bucket}/a/frames"
    assert run("upload", frames, url).code == 0
    (told,) = trained_on(f"{url}/pong")["datasets"]
    manifest = visprep.open_store(url)
    from visprep.wire import wait

    expected = sha256(wait(manifest.read(".visprep/manifest.jsonl")))
    assert told == {"place": url, "version": None, "manifest_sha256": expected}
    published = f"s3://{bucket}/published"
    first = visprep.publish(frames, published).version
    (told,) = trained_on(f"{published}/snake")["datasets"]
    assert (told["place"], told["version"], len(told["manifest_sha256"])) == (published, first, 64)


def test_what_wraps_datasets_is_looked_into(frames, tmp_path):
    make_triplets(tmp_path / "triplets")
    several = Wrapped(Joined(Wrapped(str(frames)), [tmp_path / "triplets"]))
    told = [one["place"] for one in trained_on(several)["datasets"]]
    assert told == [str(frames), str(tmp_path / "triplets")]
    assert trained_on({"name": "mine"})["datasets"] == [{"name": "mine"}]
    assert trained_on(object())["datasets"] == []


def test_what_cannot_be_learned_stops_nothing(monkeypatch, caplog):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING, "visprep.runs"):
        (told,) = trained_on("s3://bucket/x")["datasets"]
    assert told == {"place": "s3://bucket/x", "version": None, "manifest_sha256": None}
    assert "[unreachable]" in caplog.text
    assert json.dumps(told)


def test_our_datasets_say_what_they_are_made_of(run, frames, bucket, tmp_path):
    torch = pytest.importorskip("torch")
    make_triplets(tmp_path / "triplets")
    published = f"s3://{bucket}/published"
    first = visprep.publish(frames, published).version
    dataset = visprep.FrameDataset(f"{published}/")
    make_episodes(frames, games=("more",))
    visprep.publish(frames, published)
    loader = torch.utils.data.DataLoader(torch.utils.data.Subset(dataset, [0]))
    (told,) = trained_on(loader)["datasets"]
    assert (told["place"], told["version"], len(told["manifest_sha256"])) == (published, first, 64)
    pairs = visprep.S3VTONDataset([tmp_path / "triplets/easy", tmp_path / "triplets/hard"])
    assert [one["place"] for one in trained_on(pairs)["datasets"]] == [
        str(tmp_path / "triplets/easy"),
        str(tmp_path / "triplets/hard"),
    ]
    make(tmp_path / "coco", train=2, val=1)
    file = tmp_path / "coco/annotations/instances_val2017.json"
    (told,) = trained_on(visprep.CocoS3Dataset(file))["datasets"]
    assert (told["annotations"], told["annotations_sha256"]) == (str(file), sha256(file.read_bytes()))
