"""Conversions that break off, each way: killed at random moments, or on a disk that is full, they end in the same."""

import os
import subprocess

import pytest
from PIL import Image

import coco_place
import visprep
from conftest import tree
from killing import kill_count, leftovers, random_kills
from record_places import make_tasks
from visprep._convert import _WAYS
from visprep.testing import open_images_tools as tools
from visprep.testing.open_images import lay_out
from visprep.video import write_video

#: What a way is asked for beside.
OPTIONS = {("frames", "tasks"): {"window": 4, "prompt": "Go on."}, ("videos", "tasks"): {"prompt": "Go on."}}
OPTIONS |= {("coco", "coco"): {"max_side": 90}, ("coco", "yolo"): {"max_side": 90, "task": "segment"}}
OPTIONS |= {("tasks", to): {"shard_tasks": 30} for to in ("parquet", "webdataset")}


@pytest.fixture(autouse=True)
def one_day(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """`origins(kind)` -> a place of it, large enough to be killed in the middle."""
    home = tmp_path_factory.mktemp("origins")

    def made(kind, place):
        if kind == "coco":
            coco_place.make(place, 300, 60)
        elif kind in ("yolo", "voc"):
            visprep.convert(of("coco"), to=kind, output=place)
        elif kind == "tasks":
            make_tasks(place, 150)
        elif kind in ("parquet", "webdataset"):
            visprep.convert(of("tasks"), to=kind, output=place, shard_tasks=40)
        elif kind == "open-images":
            tools.fiftyone(lay_out(home / "upstream"), place)
        else:
            frames = [Image.new("RGB", (32, 32), (at * 20, 9, 9)) for at in range(12)]
            for number in range(36):
                episode = place / f"walk/episode{number}"
                episode.parent.mkdir(parents=True, exist_ok=True)
                if kind == "videos":
                    write_video(frames, episode.with_suffix(".mp4"))
                    continue
                episode.mkdir()
                for at, frame in enumerate(frames):
                    frame.save(episode / f"frame_{at}.png")

    def of(kind):
        if not (home / kind).exists():
            made(kind, home / kind)
        return home / kind

    return of


def argv(origin, way, output):
    options = [
        word for name, value in OPTIONS.get(way, {}).items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    return ("convert", origin, "--to", way[1], "--output", output, *options)


@pytest.mark.parametrize("way", _WAYS, ids="-".join)
def test_killed_at_random_moments_it_ends_in_the_same_bytes(origins, tmp_path, way):
    """All files, with what visprep keeps of its own: the record says nothing of how often it was begun."""
    origin = origins(way[0])
    visprep.convert(origin, to=way[1], output=tmp_path / "whole", **OPTIONS.get(way, {}))
    whole = tree(tmp_path / "whole")
    assert "dataset.json" in whole

    def place(number):
        return tmp_path / f"round-{number}"

    def check(number):
        assert tree(place(number)) == whole
        assert not leftovers(place(number))
        assert not (place(number) / ".visprep/cache").exists()

    random_kills(
        lambda number: argv(origin, way, place(number)),
        lambda number: (place(number) / ".visprep").exists() and "dataset.json" not in os.listdir(place(number)),
        check,
        seed="-".join(way),
        tries=kill_count(3),
        longest=0.1,
    )


@pytest.mark.parametrize("way", _WAYS, ids="-".join)
def test_a_full_disk_is_told_and_with_room_it_is_completed(origins, tmp_path, run, small_disk, way):
    origin, output = origins(way[0]), small_disk / "made"
    visprep.convert(origin, to=way[1], output=tmp_path / "whole", **OPTIONS.get(way, {}))
    for size in ("64k", "256k"):
        subprocess.run(["mount", "-o", f"remount,size={size}", small_disk], check=True)
        ended = run(*argv(origin, way, output), "--json")
        assert ended.code == 3, (ended.out, ended.err)
        assert "disk-full" in ended.err + ended.out
        assert "Traceback" not in ended.err
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    ended = run(*argv(origin, way, output))
    assert ended.code == 0, ended.err
    assert tree(output) == tree(tmp_path / "whole")
