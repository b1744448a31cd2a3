"""More pictures that are near in looks than can be compared each with each: that is told, never hidden."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visprep.split_file import load

SCENE = np.kron(np.random.default_rng(1).integers(0, 256, (8, 8)), np.ones((2, 2)))


def frames(count):
    """Pictures of one scene that differ by the noise of a sensor, as PNG."""
    rng = np.random.default_rng(2)
    for _ in range(count):
        pixels = np.clip(SCENE + rng.normal(0, 9, (16, 16)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST).convert("RGB").save(file, "PNG")
        yield file.getvalue()


@pytest.fixture
def crowd(run, tmp_path):
    """`crowd(count)` puts so many pictures into `shots/`."""

    def make(count):
        place = tmp_path / "work/shots"
        place.mkdir(parents=True)
        for number, data in enumerate(frames(count)):
            (place / f"{number:04}.png").write_bytes(data)

    return make


def split(run, *more):
    ended = run("split", "shots", "-o", "out", "--parts", "train=0.5,test=0.5", "--near-duplicates", *more)
    return ended, load(Path("out/split.json").read_bytes(), "split.json")


def test_a_crowd_is_told_by_split_and_by_leaks_and_its_certificate(run, crowd):
    crowd(900)
    ended, told = split(run, "--how", "copies")
    assert (ended.code, "[images-crowded]" in ended.out) == (0, True)
    assert 0 < told.crowded <= 900
    assert [one["where"]["count"] for one in told.findings if one["code"] == "images-crowded"] == [told.crowded]
    looked = run("leaks", "out", "--certificate", "c.json", "--json")
    found = json.loads(looked.out)
    assert "images-crowded" in {one["code"] for one in found["findings"]}
    certificate = json.loads(Path("c.json").read_text())
    assert 0 < certificate["compared"]["crowded"] == found["crowded"]
    assert certificate["result"] == found["result"] != "no leaks"
    assert run("leaks", "--check", "c.json").code == looked.code


def test_few_that_are_near_are_no_crowd(run, crowd):
    crowd(60)
    ended, told = split(run)
    assert (ended.code, told.crowded, told.findings) == (0, 0, ())
