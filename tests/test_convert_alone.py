"""One file as what is converted: a table, a shard, a video."""

import shutil

import pytest
from PIL import Image

import visprep
from conftest import tree
from record_places import make_tasks, write
from visprep.errors import FileMissing, PlaceMissing, UsageError, WouldOverwrite
from visprep.video import write_video

RECORD = ("dataset.json", ".visprep/manifest.jsonl")


def convert(origin, output, to="tasks", **options):
    return visprep.convert(origin, to=to, output=output, **options)


def data(place):
    return {path: content for path, content in tree(place).items() if path not in RECORD}


@pytest.fixture
def shards(tmp_path):
    """Five tasks, and the first of two shards of each format: it has three of them."""
    place = make_tasks(tmp_path / "questions", 5, domains=("maze",))
    for to in ("parquet", "webdataset"):
        convert(place, tmp_path / to, to, shard_tasks=3)
    first = {path: content for path, content in data(place).items() if path < "maze_task/maze_0003"}
    assert len(first) == 12
    names = {"parquet": "data/train-00000-of-00002.parquet", "webdataset": "train-000000.tar"}
    return {to: tmp_path / to / name for to, name in names.items()}, first


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_one_shard_becomes_its_tasks(shards, tmp_path, kind):
    files, first = shards
    result = convert(files[kind], tmp_path / "back")
    assert (result.kind, result.losses, data(tmp_path / "back")) == (kind, {}, first)
    assert convert(files[kind], tmp_path / "back").files == 0
    other = files[kind].with_name(files[kind].name.replace("0000-", "0001-").replace("0000.", "0001."))
    with pytest.raises(WouldOverwrite, match="in another way: file was"):
        convert(other, tmp_path / "back")


@pytest.mark.parametrize("kind", ["parquet", "webdataset"])
def test_one_shard_on_s3(shards, tmp_path, bucket, kind):
    files, first = shards
    visprep.upload(files[kind].parent, f"s3://{bucket}/there")
    convert(f"s3://{bucket}/there/{files[kind].name}", tmp_path / "back")
    assert data(tmp_path / "back") == first
    with pytest.raises(FileMissing):
        convert(f"s3://{bucket}/there/none{files[kind].suffix}", tmp_path / "none")


def test_a_tar_of_tasks_stays_a_place(shards, tmp_path):
    shutil.make_archive(str(tmp_path / "questions"), "tar", tmp_path / "questions")
    assert convert(tmp_path / "questions.tar", tmp_path / "again", "webdataset").kind == "tasks"
    assert data(tmp_path / "again").keys() == {"train-000000.tar"}


def test_one_video_becomes_its_task(tmp_path):
    for name in ("one.mp4", "two.AVI"):
        (tmp_path / "walk").mkdir(exist_ok=True)
        frames = [Image.new("RGB", (32, 32), (at * 30, 0, 0)) for at in range(4)]
        write_video(frames, tmp_path / "walk" / name.lower())
    (tmp_path / "walk/two.avi").rename(tmp_path / "walk/two.AVI")
    write(tmp_path / "walk/two.txt", b"Walk.\n")
    with pytest.raises(UsageError, match=r"nothing says what happens in one\.mp4"):
        convert(tmp_path / "walk/one.mp4", tmp_path / "none")
    for name, options in (("one.mp4", {"prompt": "Go."}), ("two.AVI", {})):
        result = convert(tmp_path / "walk" / name, tmp_path / "out" / name[:3], **options)
        home = f"walk_task/{name[:3]}"
        assert (result.kind, result.losses) == ("videos", {})
        assert data(tmp_path / "out" / name[:3]).keys() == {
            f"{home}/first_frame.png", f"{home}/final_frame.png", f"{home}/metadata.json",
            f"{home}/prompt.txt", f"{home}/ground_truth{name[3:].lower()}",
        }  # fmt: skip
    assert (tmp_path / "out/two/walk_task/two/prompt.txt").read_text() == "Walk.\n"


def test_other_files_are_no_places(tmp_path, run):
    write(tmp_path / "a.png", b"x")
    for name, said in (("a.png", "is a file, not a directory"), ("none.parquet", "no such directory")):
        with pytest.raises(PlaceMissing, match=said) as told:
            convert(tmp_path / name, tmp_path / "out")
        assert ".parquet" in told.value.hint
    write(tmp_path / "bad.parquet", b"PAR1")
    ended = run("convert", tmp_path / "bad.parquet", "--to", "tasks", "--output", tmp_path / "out")
    assert (ended.code, "bad.parquet" in ended.err, "Traceback" in ended.err) == (3, True, False)
    ended = run("convert", tmp_path / "bad.parquet", "--to", "coco", "--output", tmp_path / "out")
    assert (ended.code, "--to tasks" in ended.err) == (2, True)
