"""The tutorials are followed from beginning to end, against the servers of the tests in place of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guides import Reader
from visprep.testing import LocalHub, Mirror
from visprep.testing.coco import lay_out as lay_out_coco
from visprep.testing.open_images_sample import lay_out as lay_out_open_images
from vtb_upstream import REPOSITORY, upstream_files

ROAD = Path(__file__).parents[1] / "docs/tutorials"
#: The least that the VQ-VAE takes.
SMALL = ("--image-size", "8", "--codes", "8", "--batch-size", "8", "--learning-rate", "0.001")


@pytest.fixture
def one_thread():
    """Two threads that wait for each other take many times as long where other work is done beside them."""
    torch = pytest.importorskip("torch", reason="torch is in the torch extra")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def follow(run, monkeypatch, bucket):
    """`follow(page, more=, **names)` does all that a page says; the bucket that it names is one on this machine."""

    def do(page, more=lambda words: (), **names):
        names = {"my-bucket": bucket, **names}

        def here(text):
            for name, stand_in in names.items():
                text = text.replace(name, stand_in)
            return text

        reader = Reader(run, monkeypatch, here, more)
        reader.follow(ROAD / page)
        return reader

    return do


def images_of(file):
    return {image["file_name"] for image in json.loads(Path(file).read_text())["images"]}


def test_every_tutorial_is_followed():
    assert {path.name for path in ROAD.glob("*.md")} == {
        *("coco-to-a-detector.md", "open-images-subset.md", "videothinkbench-to-s3.md"),
        *("try-on-training.md", "frames-and-a-vqvae.md"),
    }


def test_coco_to_a_detector(follow, one_thread, tmp_path, capsys):
    lay_out_coco(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        more = ("--mirror", mirror.url, "--checksums", tmp_path / "upstream/SHA256SUMS")
        done = follow("coco-to-a-detector.md", lambda words: more if "download" in words else ())
    assert done.names["losses"][-1] < done.names["losses"][0]
    train, test = (images_of(f"data/splits/coco_{part}.json") for part in ("train", "test"))
    assert train
    assert test
    assert not train & test
    assert len(list(Path("runs/checkpoints/detector").glob("*.pt"))) >= 1
    assert Path("data/yolo/data.yaml").is_file()


def test_open_images_subset(follow, tmp_path, capsys):
    lay_out_open_images(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        more = ("--via", "http", "--mirror", mirror.url)
        named = {"Cat,Dog": "Toy,Kite"}
        taking = {"download", "gather"}
        follow("open-images-subset.md", lambda words: more if taking & set(words) else (), **named)
    parts = [images_of(f"data/pet-splits/pets_{part}.json") for part in ("train", "val", "test")]
    assert set.union(*parts) == images_of("data/pets/annotations/instances_validation.json")
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_videothinkbench_to_s3(follow, monkeypatch):
    with LocalHub() as hub:
        hub.add(REPOSITORY).commit(upstream_files(6, row_group_size=2))
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        follow("videothinkbench-to-s3.md")
    assert len(list(Path("data/copy").glob("*_task/*/prompt.txt"))) == 10
    assert json.loads(Path("report.json").read_text())["counts"]["error"] == 0


def test_try_on_training(follow, one_thread):
    done = follow("try-on-training.md")
    assert done.names["losses"][-1] < done.names["losses"][0]
    counts = done.names["dataset"].counts
    assert counts["easy"] == counts["hard"] > counts["medium"] == 0


def test_frames_and_a_vqvae(follow, one_thread):
    pytest.importorskip("av", reason="PyAV is in the video extra")
    follow("frames-and-a-vqvae.md", lambda words: SMALL if words[0] == "python" else ())
    assert {path.name for path in Path("pulled/checkpoints").iterdir()} == {"second"}
    assert len(list(Path("runs/checkpoints/first").glob("checkpoint_epoch_*.pt"))) == 3
