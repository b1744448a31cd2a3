"""`visprep split` on tasks, triplets, episodes and images: lists, links and copies, on disk and from S3."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from PIL import Image

import visprep
from conftest import tree
from killing import kill_count, leftovers, random_kills
from record_places import make_episodes, make_task, make_tasks, make_triplets, picture, write
from visprep.recordsets import read_recordset

PARTS = ("train", "val", "test")
ASKED = "train=0.6,val=0.2,test=0.2"
MAKERS = {"tasks": make_tasks, "vton": make_triplets, "frames": make_episodes}


def told(output):
    return json.loads((output / "split.json").read_text())


def members(output):
    return told(output)["members"]


def below(output, *parts):
    found = {}
    for part in parts:
        files = {
            file.relative_to(output / part).as_posix(): file.read_bytes()
            for file in (output / part).rglob("*")
            if file.is_file()
        }
        assert not found.keys() & files.keys()
        found |= files
    return found


@pytest.fixture
def questions(tmp_path):
    return make_tasks(tmp_path / "questions", 40)


# Every kind, every way


@pytest.mark.parametrize("kind", MAKERS)
def test_lists_name_every_record_once(run, tmp_path, kind):
    place = MAKERS[kind](tmp_path / "place", count=8) if kind != "tasks" else make_tasks(tmp_path / "place", 24)
    ended = run("split", place, "--output", "out", "--parts", ASKED)
    assert ended.code == 0, ended.err
    lists = {part: Path("out", f"{part}.txt").read_text().splitlines() for part in PARTS}
    assert lists == members(Path("out"))
    keys = [key for part in PARTS for key in lists[part]]
    assert len(keys) == len(set(keys)) == told(Path("out"))["records"] > 10
    assert all(lists[part] == sorted(lists[part]) for part in PARTS)
    for key in keys:
        home = place / (key if kind != "vton" else key.rpartition("/")[0])
        assert home.is_dir()
    assert told(Path("out"))["kind"] == kind
    assert run("split", place, "--output", "named", "--parts", ASKED, "--name", "maxsight").code == 0
    assert Path("named/maxsight_train.txt").read_bytes() == Path("out/train.txt").read_bytes()


@pytest.mark.parametrize("how", ["links", "copies"])
@pytest.mark.parametrize("kind", MAKERS)
def test_parts_hold_the_files_of_their_records(run, tmp_path, kind, how):
    place = MAKERS[kind](tmp_path / "place")
    command = ("split", place, "--output", "out", "--parts", ASKED, "--how", how)
    assert run(*command).code == 0
    assert below(Path("out"), *PARTS) == tree(place)
    for part in PARTS:
        if members(Path("out"))[part]:
            assert run("verify", f"out/{part}", "--as", kind).code == 0
    assert not visprep.verify("out", as_=kind, depth="content").failed
    before = tree("out")
    times = {file: file.lstat().st_mtime_ns for file in Path("out").rglob("*") if file.name != ".visprep"}
    again = run(*command)
    assert (again.code, "nothing was written" in again.out) == (0, True)
    assert tree("out") == before
    assert {file: file.lstat().st_mtime_ns for file in Path("out").rglob("*") if file in times} == times


@pytest.mark.parametrize("how", ["links", "copies"])
def test_what_grows_moves_nothing(run, questions, how):
    command = ("split", questions, "--output", "out", "--parts", ASKED, "--how", how)
    run(*command)
    before = {path: Path("out", path).lstat().st_ino for path in tree("out") if path.startswith(PARTS)}
    for number in range(100, 110):
        make_task(questions, f"maze_task/maze_{number}", number)
    assert run(*command).code == 0
    after = {path: Path("out", path).lstat().st_ino for path in tree("out") if path.startswith(PARTS)}
    assert before.items() <= after.items()
    assert below(Path("out"), *PARTS) == tree(questions)


def test_other_parts_take_the_place_of_those_before(run, questions):
    command = ("split", questions, "--output", "out", "--how", "copies")
    run(*command, "--parts", ASKED)
    assert run(*command, "--parts", "all=1.0").code == 0
    assert below(Path("out"), "all") == tree(questions)
    assert not any(Path("out", part).exists() for part in PARTS)
    assert not visprep.verify("out", depth="content").failed
    assert run("split", questions, "--output", "out", "--parts", ASKED).code == 0
    assert sorted(one.name for one in Path("out").iterdir()) == [
        ".visprep", "dataset.json", "split.json", "test.txt", "train.txt", "val.txt",
    ]  # fmt: skip
    assert not visprep.verify("out", depth="content", as_="tasks", select=["file-missing", "file-changed"]).findings


def test_a_copy_that_was_edited_ends_a_split(run, questions):
    command = ("split", questions, "--output", "out", "--parts", ASKED, "--how", "copies")
    run(*command)
    edited = Path("out/train", members(Path("out"))["train"][0], "prompt.txt")
    edited.write_text("by hand")
    before = tree("out")
    ended = run(*command, "--seed", "1")
    assert (ended.code, "would-overwrite" in ended.err) == (3, True)
    assert tree("out") == before


# Where records lie


def test_a_domain_alone_keeps_its_name(run, questions):
    assert run("split", questions / "maze_task", "--output", "out", "--parts", ASKED, "--how", "copies").code == 0
    assert set(below(Path("out"), *PARTS)) == {path for path in tree(questions) if path.startswith("maze_task/")}
    assert members(Path("out"))["train"][0].startswith("maze_0")
    assert run("verify", "out/train", "--as", "tasks").code == 0


def test_generators_above_domains_stay(run, tmp_path):
    for number in range(9):
        make_task(tmp_path / "place", f"g{number % 2}/maze_task/t{number}", number)
    assert run("split", tmp_path / "place", "--output", "out", "--parts", ASKED, "--how", "links").code == 0
    assert below(Path("out"), *PARTS) == tree(tmp_path / "place")


def test_a_game_alone_keeps_its_name(run, tmp_path):
    make_episodes(tmp_path / "place", count=9)
    assert run("split", tmp_path / "place/pong", "--output", "out", "--parts", ASKED, "--how", "copies").code == 0
    assert set(below(Path("out"), *PARTS)) == {path for path in tree(tmp_path / "place") if path.startswith("pong/")}


def test_triplets_of_one_difficulty_keep_its_name(run, tmp_path):
    make_triplets(tmp_path / "place", count=9)
    assert run("split", tmp_path / "place/hard", "--output", "out", "--parts", ASKED, "--how", "copies").code == 0
    assert set(below(Path("out"), *PARTS)) == {path for path in tree(tmp_path / "place") if path.startswith("hard/")}


@pytest.mark.parametrize(
    ("within", "archive", "made"),
    [
        ("pong/episode_1", "walk.zip", "walk"),
        ("pong", "pong.zip", "pong/episode_1"),
        ("pong", "Pong.ZIP", "Pong/episode_1"),
        (".", "games.zip", "pong/episode_1"),
    ],
)
def test_a_zip_file_is_called_as_what_was_packed(run, tmp_path, within, archive, made):
    place = make_episodes(tmp_path / "place", count=2)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", place / within)
    shutil.move(packed, archive)
    assert run("split", archive, "--output", "out", "--parts", "all=1.0", "--how", "copies").code == 0
    assert Path("out/all", made).is_dir()
    assert not [one for one in Path("out").rglob("*") if one.name.lower().endswith(".zip")]
    keys = members(Path("out"))["all"]
    assert keys == sorted(keys)
    assert made.removeprefix(f"{archive[:-4]}/") in keys
    if within == "pong":
        assert [one["name"] for one in told(Path("out"))["classes"]] == [archive[:-4]]


def test_a_test_part_is_carved_out_of_train_and_val_stays(run, tmp_path):
    for number in range(30):
        make_task(tmp_path / "place", f"{'val' if number % 3 == 0 else 'train'}/maze_task/t{number}", number)
    assert (
        run("split", tmp_path / "place", "--output", "out", "--parts", "train=0.8,test=0.2", "--how", "links").code == 0
    )
    assert {path.name for path in Path("out/val/maze_task").iterdir()} == {f"t{number}" for number in range(0, 30, 3)}
    assert Path("out/test/maze_task").is_dir()
    assert len(below(Path("out"), *PARTS)) == len(tree(tmp_path / "place"))


def test_a_part_is_no_generator_and_no_class(tmp_path):
    for number in range(4):
        make_task(tmp_path / "tasks", f"{'val' if number else 'train'}/maze_task/t{number}", number)
    make_task(tmp_path / "tasks", "train/g1/maze_task/t9", 9)
    records = read_recordset([str(tmp_path / "tasks")])
    assert set(zip(records.keys, records.parts, records.values("generator"), strict=True)) == {
        ("train/g1/maze_task/t9", "train", "g1"),
        ("train/maze_task/t0", "train", None),
        *((f"val/maze_task/t{number}", "val", None) for number in (1, 2, 3)),
    }
    make_triplets(tmp_path / "triplets", ("train", "val/female", "test/easy"))
    assert read_recordset([str(tmp_path / "triplets")]).classes == ("easy", "female")


def test_images_are_split_by_their_directories(run, tmp_path):
    for number in range(40):
        write(tmp_path / f"place/{'cat' if number % 2 else 'dog'}/{number:02d}.png", picture(number))
    command = ("split", tmp_path / "place", "--output", "out", "--parts", "train=0.5,val=0.5", "--how", "links")
    assert run(*command, "--stratify", "--method", "exact").code == 0
    assert {one["name"]: one["parts"] for one in told(Path("out"))["classes"]} == {
        "cat": {"train": 10, "val": 10},
        "dog": {"train": 10, "val": 10},
    }
    assert below(Path("out"), "train", "val") == tree(tmp_path / "place")
    assert run(*command, "--clean").code == 2


# Names


def test_odd_names_are_listed_and_linked_as_they_are(run, tmp_path):
    names = ["a b", "puzzle-ü-日本", "-x", "'quoted\"", "tab\there", "trailing "]
    for number, name in enumerate(names):
        make_task(tmp_path / "place", f"maze_task/{name}", number)
    command = ("split", tmp_path / "place", "--output", "out", "--parts", "all=1.0")
    assert run(*command).code == 0
    assert Path("out/all.txt").read_text(encoding="utf-8").split("\n") == [
        *sorted(f"maze_task/{name}" for name in names), "",
    ]  # fmt: skip
    assert run(*command, "--how", "links").code == 0
    assert below(Path("out"), "all") == tree(tmp_path / "place")


@pytest.mark.parametrize("name", [b"two\nlines", b"caf\xe9", "line\u2028separator".encode()])
def test_names_that_cannot_be_listed_are_refused(run, tmp_path, name):
    home = os.path.join(os.fsencode(tmp_path), b"place/maze_task", name)  # noqa: PTH118
    try:
        os.makedirs(home)  # noqa: PTH103
    except OSError:
        pytest.skip("this file system has no such names")
    with open(os.path.join(home, b"first_frame.png"), "wb") as file:  # noqa: PTH118, PTH123
        file.write(picture(1))
    ended = run("split", tmp_path / "place", "--output", "out", "--parts", "all=1.0")
    assert (ended.code, "[unsafe-path]" in ended.err) == (3, True)
    assert not Path("out").exists()


def test_a_link_to_a_task_directory_is_refused(run, questions):
    (questions / "maze_task/linked").symlink_to("maze_0000")
    ended = run("split", questions, "--output", "out", "--parts", ASKED)
    assert (ended.code, "maze_task/linked" in ended.err) == (3, True)
    (questions / "maze_task/linked").unlink()
    (questions / ".hidden").symlink_to("maze_task")
    assert run("split", questions, "--output", "out", "--parts", ASKED).code == 0


def test_places_of_two_kinds_are_no_record_set(run, questions, tmp_path):
    make_episodes(tmp_path / "episodes")
    ended = run("split", questions, tmp_path / "episodes", "--output", "out", "--parts", ASKED)
    assert (ended.code, "frames" in ended.err) == (2, True)


def test_two_places_are_one_record_set(run, questions, tmp_path):
    for number in range(5):
        make_task(tmp_path / "more", f"arc_task/a{number}", 500 + number)
    assert run("split", questions, tmp_path / "more", "--output", "out", "--parts", ASKED, "--how", "copies").code == 0
    assert below(Path("out"), *PARTS) == tree(questions) | tree(tmp_path / "more")
    ended = run("split", questions, questions, "--output", "twice", "--parts", ASKED)
    assert ended.code in (2, 3)


def test_a_place_without_records_is_told(run, tmp_path):
    write(tmp_path / "place/notes.txt", b"nothing")
    assert run("split", tmp_path / "place", "--output", "out", "--parts", ASKED).code == 3


# Cleaning


def left_out(output):
    return told(output)["left_out"]["records"]


def test_tasks_at_fault_are_left_out_and_counted(run, questions):
    keys = sorted(path.relative_to(questions).as_posix() for path in questions.glob("*_task/*"))
    command = ("split", questions, "--output", "out", "--parts", ASKED, "--how", "copies")
    (questions / keys[0] / "final_frame.png").unlink()
    (questions / keys[1] / "first_frame.png").write_bytes(picture(1)[:-20])
    (questions / keys[2] / "prompt.txt").write_bytes(b"")
    run(*command)
    assert {path.rpartition("/")[0] for path in below(Path("out"), *PARTS)} == set(keys)
    ended = run(*command, "--clean")
    assert ended.code == 0, ended.err
    assert sum(left_out(Path("out")).values()) == 3
    assert {one["key"] for one in told(Path("out"))["left_out"]["listed"]} == set(keys[:3])
    assert {path.rpartition("/")[0] for path in below(Path("out"), *PARTS)} == set(keys[3:])
    assert not visprep.verify("out", as_="tasks", depth="content").failed


def test_triplets_and_episodes_at_fault_are_left_out(run, tmp_path):
    triplets = make_triplets(tmp_path / "triplets", count=6)
    (triplets / "easy/male/try_on_image/002_vton.png").unlink()
    (triplets / "hard/female/initial_image/003_person.png").write_bytes(picture(5)[:-30])
    assert run("split", triplets, "--output", "of-triplets", "--parts", ASKED, "--clean").code == 0
    assert {one["key"] for one in told(Path("of-triplets"))["left_out"]["listed"]} == {
        "easy/male/002",
        "hard/female/003",
    }
    assert sum(len(keys) for keys in members(Path("of-triplets")).values()) == 16
    episodes = make_episodes(tmp_path / "episodes", count=6)
    (episodes / "pong/episode_1/frame_2.png").write_bytes(picture(5)[:-30])
    assert run("split", episodes, "--output", "of-episodes", "--parts", ASKED, "--clean").code == 0
    assert {one["key"] for one in told(Path("of-episodes"))["left_out"]["listed"]} == {"pong/episode_1"}


def test_an_error_that_no_task_can_be_blamed_for_ends_it(run, tmp_path, questions):
    visprep.download(f"{questions}/", tmp_path / "recorded")
    shutil.rmtree(next((tmp_path / "recorded/maze_task").iterdir()))
    ended = run("split", tmp_path / "recorded", "--output", "out", "--parts", ASKED, "--clean")
    assert (ended.code, "file-missing" in ended.out + ended.err) == (1, True)
    assert not Path("out").exists()
    assert run("split", tmp_path / "recorded", "--output", "out", "--parts", ASKED).code == 0


# Groups and classes


@pytest.mark.parametrize("field", ["source", "level.n"])
def test_tasks_are_grouped_by_what_their_metadata_says(run, questions, field):
    assert run("split", questions, "--output", "out", "--parts", "train=0.5,val=0.5", "--group-by", field).code == 0
    said = {}
    for part, keys in members(Path("out")).items():
        for key in keys:
            metadata = json.loads((questions / key / "metadata.json").read_text())
            said.setdefault(metadata["source"] if field == "source" else metadata["level"]["n"], set()).add(part)
    assert all(len(parts) == 1 for parts in said.values())
    assert told(Path("out"))["groups"] == len(said) < 4


def test_tasks_on_s3_are_grouped_by_what_their_metadata_says(run, questions, bucket):
    visprep.upload(questions, f"s3://{bucket}/q")
    command = ("split", "--output", "out", "--parts", "train=0.5,val=0.5", "--group-by", "source")
    assert run(*command, f"s3://{bucket}/q").code == 0
    assert told(Path("out"))["groups"] == 3


@pytest.mark.parametrize(
    ("kind", "field", "groups"),
    [
        ("tasks", "domain", 2),
        ("vton", "directory", 3), ("vton", "stem", 3), ("vton", "difficulty", 2),
        ("frames", "game", 2), ("frames", "directory", 2),
    ],
)  # fmt: skip
def test_records_are_grouped_by_what_their_paths_say(run, tmp_path, kind, field, groups):
    place = MAKERS[kind](tmp_path / "place")
    assert run("split", place, "--output", "out", "--parts", "train=0.5,val=0.5", "--group-by", field).code == 0
    assert told(Path("out"))["groups"] == groups


@pytest.mark.parametrize(("field", "near"), [("sorce", "source"), ("level.m", "level.n"), ("generator", "domain")])
def test_a_field_that_no_task_has_is_told_with_those_there_are(run, questions, field, near):
    ended = run("split", questions, "--output", "out", "--parts", ASKED, "--group-by", field)
    assert (ended.code, near in ended.err) == (2, True)


def test_every_domain_is_spread_evenly(run, tmp_path):
    place = make_tasks(tmp_path / "place", 90, domains=("maze", "sudoku", "arc"))
    command = ("split", place, "--output", "out", "--parts", "train=0.8,val=0.1,test=0.1")
    assert run(*command, "--method", "exact", "--stratify").code == 0
    assert {one["name"]: one["parts"] for one in told(Path("out"))["classes"]} == {
        domain: {"train": 24, "val": 3, "test": 3} for domain in ("arc", "maze", "sudoku")
    }


def test_tasks_that_begin_with_the_same_picture_stay_together(run, questions):
    maze, sudoku = questions / "maze_task", questions / "sudoku_task"
    shutil.copy(maze / "maze_0000/first_frame.png", sudoku / "sudoku_0001/first_frame.png")
    with Image.open(maze / "maze_0002/first_frame.png") as image:
        image.save(sudoku / "sudoku_0003/first_frame.png", compress_level=0)
    with Image.open(maze / "maze_0004/first_frame.png") as image:  # looks alike, as puzzles do
        image.save(sudoku / "sudoku_0005/first_frame.png", quality=90, format="JPEG")
    assert run("split", questions, "--output", "out", "--parts", ASKED, "--near-duplicates").code == 0
    assert told(Path("out"))["groups"] == 38


def test_episodes_that_share_half_of_their_frames_stay_together(run, tmp_path):
    place = make_episodes(tmp_path / "place", count=6, frames=4)
    for number in (1, 2):
        shutil.copy(place / f"pong/episode_0/frame_{number}.png", place / f"snake/episode_1/frame_{number}.png")
    shutil.copy(place / "pong/episode_2/frame_1.png", place / "snake/episode_3/frame_1.png")
    assert run("split", place, "--output", "out", "--parts", ASKED, "--near-duplicates").code == 0
    assert told(Path("out"))["groups"] == 11


def test_triplets_of_one_person_stay_together_and_those_of_one_cloth_need_not(run, tmp_path):
    place = make_triplets(tmp_path / "place", count=4)
    persons = [place / directory for directory in ("easy/female/initial_image", "easy/male/initial_image")]
    shutil.copy(persons[0] / "001_person.png", persons[1] / "002_person.png")
    cloths = [place / directory for directory in ("easy/female/cloth_image", "hard/female/cloth_image")]
    shutil.copy(cloths[0] / "003_cloth_a.png", cloths[1] / "003_cloth_a.png")
    assert run("split", place, "--output", "out", "--parts", ASKED, "--near-duplicates").code == 0
    assert told(Path("out"))["groups"] == 11


# S3, and disks without links


def test_lists_go_to_s3_and_come_from_there(run, questions, bucket):
    visprep.upload(questions, f"s3://{bucket}/q")
    assert run("split", questions, "--output", "out", "--parts", ASKED).code == 0
    command = ("split", f"s3://{bucket}/q", "--output", f"s3://{bucket}/parts", "--parts", ASKED)
    assert run(*command).code == 0
    assert run("download", f"s3://{bucket}/parts", "--output", "back").code == 0
    for part in PARTS:
        assert Path("back", f"{part}.txt").read_bytes() == Path("out", f"{part}.txt").read_bytes()
    assert run(*command, "--how", "links").code == 2


def test_copies_come_from_s3_and_links_do_not(run, questions, bucket):
    visprep.upload(questions, f"s3://{bucket}/q")
    command = ("split", f"s3://{bucket}/q", "--output", "out", "--parts", ASKED)
    ended = run(*command, "--how", "links")
    assert (ended.code, "--how copies" in ended.err) == (2, True)
    assert not Path("out").exists()
    assert run(*command, "--how", "copies").code == 0
    assert below(Path("out"), *PARTS) == {path: data for path, data in tree(questions).items() if "_task/" in path}


def test_links_across_file_systems_are_refused_and_nothing_is_there(run, questions):
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or shared.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        pytest.skip("there is only one file system here")
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        command = ("split", questions, "--output", f"{folder}/out", "--parts", ASKED)
        ended = run(*command, "--how", "links")
        assert (ended.code, "--how copies" in ended.err) == (3, True)
        assert list(Path(folder).iterdir()) == []
        assert run(*command, "--how", "copies").code == 0
        assert below(Path(folder, "out"), *PARTS) == tree(questions)


def test_an_output_among_the_records_is_refused(run, questions):
    before = tree(questions)
    for how in ("links", "copies"):
        for output in (questions, questions / "parts", questions / "maze_task/parts"):
            ended = run("split", questions, "--output", output, "--parts", ASKED, "--how", how)
            assert ended.code == 2
    assert tree(questions) == before


# Kills


@pytest.mark.parametrize("how", ["links", "copies"])
def test_a_kill_at_any_moment_and_the_same_command_end_in_the_same_bytes(tmp_path, monkeypatch, how):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    place = make_tasks(tmp_path / "place", 400)
    wish = {"parts": ASKED, "how": how}
    visprep.split(place, output=tmp_path / "whole", **wish, seed=1)
    expected = tree(tmp_path / "whole")

    def command(number):
        output = tmp_path / f"out{number}"
        return "split", place, "--output", output, "--parts", ASKED, "--how", how, "--seed", "1", "--quiet"

    def check(number):
        output = tmp_path / f"out{number}"
        assert tree(output) == expected
        assert not leftovers(output)

    def at_work(number):
        return (tmp_path / f"out{number}/.visprep/in-progress").exists()

    random_kills(command, at_work, check, seed=random.Random(how).random(), tries=kill_count(5), longest=0.15)


@pytest.mark.parametrize("how", ["links", "copies"])
def test_another_split_after_a_kill_ends_as_if_nothing_had_been(tmp_path, monkeypatch, how):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    place = make_tasks(tmp_path / "place", 200)
    visprep.split(place, output=tmp_path / "whole", parts=ASKED, how=how, seed=2)
    output = tmp_path / "out"

    def command(_):
        return "split", place, "--output", output, "--parts", ASKED, "--how", how, "--seed", "1", "--quiet"

    random_kills(
        command, lambda _: (output / ".visprep/in-progress").exists(), lambda _: None, 7, tries=1, longest=0.05, least=0
    )
    visprep.split(place, output=output, parts=ASKED, how=how, seed=2)
    ours = {path: data for path, data in tree(output).items() if path.startswith(PARTS)}
    assert ours == {path: data for path, data in tree(tmp_path / "whole").items() if path.startswith(PARTS)}
    assert not leftovers(output)


@pytest.mark.parametrize("kind", MAKERS)
def test_what_cannot_be_read_is_not_cleaned_away(run, tmp_path, kind):
    """A disk that is not mounted today is no fault of the records."""
    place = MAKERS[kind](tmp_path / "place", count=8)
    image = sorted(place.rglob("*.png"))[0]
    image.unlink()
    image.symlink_to(tmp_path / "not-mounted" / image.name)
    ended = run("split", place, "--output", "out", "--parts", ASKED, "--clean")
    assert (ended.code, "[disk-error]" in ended.err) == (3, True)
    assert ended.err.count(image.name) == 1
    assert ("replace the link" in ended.err, "try again" in ended.err) == (True, False)
    assert not Path("out").exists()


@pytest.mark.parametrize("below", ["", "maze_task"])
def test_a_place_in_which_a_command_has_not_ended_is_not_split(run, questions, below):
    """What has not come yet would be in no part, and nobody would know."""
    write(questions / ".visprep/in-progress", b'{"format_version": 1}\n')
    ended = run("split", questions / below, "--output", "out", "--parts", ASKED)
    assert (ended.code, "[place-incomplete]" in ended.err) == (3, True)
    assert "remove .visprep/in-progress there if it will never be finished" in ended.err
    assert not Path("out").exists()


@pytest.mark.parametrize("more", [(), ("--clean",)])
def test_of_two_places_with_records_of_one_name_the_directory_above_is_to_be_named(run, tmp_path, more):
    make_triplets(tmp_path / "work/vton")
    ended = run("split", "vton/easy", "vton/hard", "--output", "out", "--parts", ASKED, *more)
    assert (ended.code, "vton/easy and vton/hard: both are called 'female/001'" in ended.err) == (3, True)
    assert "hint: name the directory above both, vton, where their paths differ" in ended.err
    assert run("split", "vton", "--output", "out", "--parts", ASKED, *more).code == 0
