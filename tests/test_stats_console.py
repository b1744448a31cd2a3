"""`visprep stats` on the command line: one screen that fits, and JSON that says all."""

import json
import os
import subprocess
import sys

import pytest
from rich.cells import cell_len

import coco_place
import record_places
import visprep
from drawn import picture, put
from visprep.statistics import ClassStats, Histogram, PromptStats, Stats, TextCount
from visprep.stats_console import screen


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return coco_place.make(tmp_path_factory.mktemp("coco") / "coco")


def test_json_says_what_the_library_says(coco, run):
    ended = run("stats", coco, "--json")
    assert (ended.code, ended.err) == (0, "")
    said = json.loads(ended.out)
    found = visprep.stats(coco)
    assert said["format_version"] == 1
    assert said["place"] == str(coco)
    assert said["classes"][0] == {"name": "dog", "records": 9, "annotations": 9}
    assert [one["name"] for one in said["histograms"]] == [one.name for one in found.histograms]
    assert said["sample"]["looked"] == 9
    assert set(said) == {"format_version", *Stats.__slots__}


def test_the_screen_fits_and_names_what_counts(coco, run):
    ended = run("stats", coco)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert 20 <= len(lines) <= 40
    assert max(map(cell_len, lines)) <= 80
    for said in ("9, 18 annotations", "train2017 (6), val2017 (3)", "96 x 64 (9)", "person", "small < 32x32"):
        assert said in ended.out
    assert "█" in ended.out


def test_options_reach_the_library(coco, run):
    said = json.loads(run("stats", coco, "--json", "--pixels", "4", "--seed", "7", "--jobs", "1").out)
    assert (said["sample"]["looked"], said["sample"]["seed"]) == (4, 7)
    assert json.loads(run("stats", coco, "--json", "--pixels", "none").out)["sample"] is None
    assert run("stats", coco, "--pixels", "many").code == 2
    assert run("stats", coco / "none").code == 3
    assert run("stats", coco, "--layout", "nothing").code == 2


def test_one_is_called_one_and_names_of_files_are_whole(tmp_path, run):
    place = coco_place.make(tmp_path / "place", train=1, val=1)
    (place / "val2017/000000000002.jpg").unlink()
    told = run("stats", place).out
    assert ", 1 is not there\n" in told
    assert "the only image\n" in told
    put(tmp_path, "tasks/maze_task/1/first_frame.png", picture(1))
    put(tmp_path, "tasks/maze_task/1/ground_truth.mp4", b"a video")
    told = run("stats", tmp_path / "tasks").out
    assert "1 lacks a file" in told
    assert "ground_truth.mp4 " in told


def test_a_part_of_the_images_is_called_a_sample(coco, run):
    assert "4 of 9 images" in run("stats", coco, "--pixels", "4").out
    assert "sample" not in run("stats", coco).out


def test_what_nobody_knows_is_said(tmp_path, run):
    put(tmp_path, "place/notes.txt", b"text")
    ended = run("stats", tmp_path / "place")
    assert (ended.code, ended.out) == (3, "")
    assert "[unknown-content]" in ended.err
    assert "hint: " in ended.err


def filled(**more):
    """More than one screen can show, with names that would break it."""
    labels = tuple(f"{number}" for number in range(9))
    names = ("boxes-per-image", "box-areas", "box-shares", "image-aspect", "image-brightness", "image-megapixels",
             "caption-lengths", "keypoints", "masks")  # fmt: skip
    return Stats(
        "s3://bucket/" + "deep/" * 30,
        "coco",
        10**7,
        10**13,
        "images",
        10**7,
        10**7,
        12,
        annotations=10**8,
        empty=10**5,
        classes=tuple(ClassStats(f"{'犬' * 30}{number}\x1b[31m", 10**7, 10**8 - number) for number in range(900)),
        histograms=tuple(Histogram(name, "Title " * 12, "images", labels, tuple(range(9))) for name in names),
        licenses={f"Attribution-NonCommercial-ShareAlike License {number}": 10**6 for number in range(20)},
        prompts=PromptStats("captions", 10**7, 10**6, 1, 50, 10**5, (TextCount("a\nb\x1b[2J" * 50, 10**6),)),
        notes=("A long sentence. " * 40,) * 9,
        **more,
    )


@pytest.mark.parametrize("width", [40, 72, 80, 100])
@pytest.mark.parametrize("fine", [True, False])
def test_no_name_breaks_the_screen(width, fine):
    lines = list(screen(filled(), width, fine))
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)
    if width >= 72:
        assert len(lines) <= 45
    assert fine or all(set(line) <= set(map(chr, range(128))) | {"犬"} for line in lines)


def test_a_place_with_nothing_to_draw_is_a_line_or_two():
    lines = list(screen(Stats("place", "files", 3, 5, "files", 3), 80, True))
    assert lines == ["place: files, 3 files, 5 B", "  files      3"]


def test_a_text_that_is_cut_says_so():
    often = TextCount("x" * 60, 3), TextCount("y" * 61, 2)
    prompts = PromptStats("prompts", 5, 2, 60, 60, 61, often)
    told = "\n".join(screen(Stats("place", "tasks", 3, 5, "tasks", 3, prompts=prompts), 300, True))
    assert f"3 times '{'x' * 60}'; 2 times '{'y' * 60}'..." in told


def test_bars_are_as_long_as_their_counts():
    histogram = Histogram("boxes-per-image", "Boxes", "images", ("0", "1", "2"), (1, 400, 800))
    lines = list(screen(Stats("place", "coco", 1, 1, "images", 1, histograms=(histogram,)), 80, False))
    bars = [line.count("#") for line in lines[-3:]]
    assert bars[0] == 1  # never nothing for something
    assert bars[2] == 2 * bars[1]


def test_ascii_terminals_get_number_signs(tmp_path):
    record_places.make_tasks(tmp_path / "tasks", 2)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(
        [sys.executable, "-m", "visprep", "stats", tmp_path / "tasks"],
        capture_output=True, check=True, env=environment, text=True,
    )  # fmt: skip
    assert "#" in ended.stdout
    assert "\\u" not in ended.stdout
