"""Videos and image sequences as tasks."""

import json
import shutil
import signal
import subprocess
import sys

import boto3
import pytest
from PIL import Image, ImageDraw

import visprep
from conftest import tree
from record_places import picture, write
from visprep.errors import Incomplete, UsageError, WouldOverwrite, WrongContent
from visprep.formats.tasks import read
from visprep.sources.sample_frames import draw
from visprep.stores import open_store
from visprep.video import first_frame, last_frame, probe, psnr, write_video

RECORD = ("dataset.json", ".visprep/manifest.jsonl")
ASKED = "What happens next?"


@pytest.fixture(autouse=True)
def one_day(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def drawn(at, size=(64, 48)):
    image = Image.new("RGB", size, (230, 220, 200))
    ImageDraw.Draw(image).ellipse((4 * at, 10, 4 * at + 16, 26), fill=(10, 60 + at, 120))
    return image


def film(path, start=0, count=6, size=(64, 48)):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video([drawn(start + at, size) for at in range(count)], path)


@pytest.fixture
def videos(tmp_path):
    place = tmp_path / "clips"
    film(place / "walk/one.avi")
    film(place / "walk/two.mp4", 2)
    film(place / "run/three.AVI", 4, size=(65, 49))
    write(place / "walk/one.txt", b"\xef\xbb\xbf Walk on.\r\n\r\n")
    write(place / "walk/two.txt", "Geh über die Straße".encode())
    write(place / "run/three.txt", b"Run.\n")
    return place


@pytest.fixture
def frames(tmp_path):
    """The episodes of the sample: 12 and 11 frames of one game, 8, 12 and 6 of another."""
    place = tmp_path / "games"
    for _, files in draw():
        for path, data in files.items():
            write(place / path, data)
    return place


def convert(origin, output, **options):
    return visprep.convert(origin, to="tasks", output=output, **options)


def sizes(place):
    return sorted(probe(path).frames for path in place.rglob("ground_truth.*"))


def without_record(place):
    return {path: data for path, data in tree(place).items() if path not in RECORD}


def is_green(place):
    assert visprep.verify(place, depth="content").findings == ()
    return True


# Those that others read them with; there is no way back, since tasks do not say which frames an episode had


def shown(path):
    """All frames of a video, by PyAV."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as opened:
        return [frame.to_image() for frame in opened.decode(video=0)]


def held(path):
    """The pixels of a picture, by Pillow."""
    with Image.open(path) as opened:
        return opened.mode, opened.size, opened.convert("RGB").tobytes()


def test_frames_of_videos_are_those_that_pyav_shows(videos, tmp_path):
    convert(videos, tmp_path / "out")
    for origin, task in (("walk/one.avi", "walk_task/one"), ("walk/two.mp4", "walk_task/two")):
        frames = shown(videos / origin)
        truth = tmp_path / "out" / task / f"ground_truth{origin[-4:]}"
        assert len(shown(truth)) == len(frames) == 6
        for name, frame in (("first_frame.png", frames[0]), ("final_frame.png", frames[-1])):
            assert held(tmp_path / "out" / task / name) == ("RGB", frame.size, frame.tobytes())


@pytest.mark.parametrize("window", [None, 4])
def test_videos_of_frames_are_read_by_pyav(frames, tmp_path, window):
    convert(frames, tmp_path / "out", window=window, prompt=ASKED)
    tasks = sorted((tmp_path / "out").glob("*_task/*"))
    assert len(tasks) == {None: 5, 4: 11}[window]
    for task in tasks:
        told = json.loads((task / "metadata.json").read_bytes())
        numbered = {int(path.stem.rpartition("_")[2]): path for path in (frames / told["source"]).glob("frame_*")}
        numbers = range(told["first_number"], told["last_number"] + 1)
        want, found = [held(numbered[number]) for number in numbers], shown(task / "ground_truth.avi")
        assert (held(task / "first_frame.png"), held(task / "final_frame.png")) == (want[0], want[-1])
        assert len(found) == len(want) == (window or len(numbered))
        for (_, size, pixels), frame in zip(want, found, strict=True):
            assert frame.size == size
            assert psnr(Image.frombytes("RGB", size, pixels), frame) > 28


def test_opencv_reads_videos_of_frames(frames, tmp_path):
    cv2 = pytest.importorskip("cv2")
    convert(frames, tmp_path / "out", window=4, prompt=ASKED)
    for path in (tmp_path / "out").rglob("ground_truth.avi"):
        opened, found = cv2.VideoCapture(str(path)), []
        while (read := opened.read())[0]:
            found.append(read[1].shape[1::-1])
        assert found == [frame.size for frame in shown(path)]


# Videos


def test_a_video_is_the_ground_truth_of_its_task_and_its_ends_are_the_frames(videos, tmp_path):
    result = convert(videos, tmp_path / "out")
    assert (result.kind, result.files, result.linked, result.losses) == ("videos", 15, 3, {})
    assert is_green(tmp_path / "out")
    for origin, task in (("walk/one.avi", "walk_task/one"), ("walk/two.mp4", "walk_task/two"),
                         ("run/three.AVI", "run_task/three")):  # fmt: skip
        home, video = tmp_path / "out" / task, videos / origin
        truth = home / f"ground_truth{video.suffix.lower()}"
        assert truth.samefile(video)
        for name, frame in (("first_frame.png", first_frame(video)), ("final_frame.png", last_frame(video))):
            assert psnr(Image.open(home / name), frame) == float("inf")
        assert json.loads((home / "metadata.json").read_text()) == {"source": origin}
    tasks = {task.key: task.prompt for task in read(open_store(str(tmp_path / "out")))}
    assert tasks == {"run_task/three": "Run.", "walk_task/one": "Walk on.", "walk_task/two": "Geh über die Straße"}


def test_twice_does_nothing_and_elsewhere_is_the_same(videos, tmp_path):
    convert(videos, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    again = convert(videos, tmp_path / "out")
    assert (again.files, again.kept) == (0, 15)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shutil.copytree(videos, tmp_path / "else/clips")
    convert(tmp_path / "else/clips", tmp_path / "other", jobs=1)
    assert tree(tmp_path / "other") == tree(tmp_path / "out")


def test_levels_above_the_domain_stay_and_names_are_made_safe(tmp_path):
    place = tmp_path / "My clips"
    film(place / "train/a walk/ö 1.avi")
    film(place / "top.avi", 3)
    convert(place, tmp_path / "out", prompt=ASKED)
    assert is_green(tmp_path / "out")
    sources = {path.parent.relative_to(tmp_path / "out"): json.loads(path.read_text())["source"]
               for path in (tmp_path / "out").rglob("metadata.json")}  # fmt: skip
    assert sorted(sources.values()) == ["top.avi", "train/a walk/ö 1.avi"]
    (deep,) = (path for path, source in sources.items() if source.startswith("train"))
    assert deep.parts[0] == "train"
    assert deep.parts[1].startswith("a_walk-")
    assert deep.parts[1].endswith("_task")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_table_says_the_prompts(videos, tmp_path, name):
    (videos / "walk/one.txt").unlink()
    rows = [{"file_name": "one.avi", "prompt": "From a table, it is", "fps": "16"},
            {"file_name": "two.mp4", "prompt": "not this one", "fps": "16"}]  # fmt: skip
    if name.endswith("csv"):
        text = 'file_name,prompt,fps\none.avi,"From a table, it is",16\ntwo.mp4,not this one,16\ngone.mp4,x,16\n'
    else:
        rows.append({"file_name": "gone.mp4", "prompt": "x", "fps": 16})
        text = "\n".join(map(json.dumps, rows))
    write(videos / "walk" / name, text.encode())
    result = convert(videos, tmp_path / "out")
    assert result.losses == {"metadata": 1, "metadata.fps": 3}
    assert (tmp_path / "out/walk_task/one/prompt.txt").read_bytes() == b"From a table, it is\n"
    assert (tmp_path / "out/walk_task/two/prompt.txt").read_text() == "Geh über die Straße\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metadata.csv", "file_name,title\none.avi,x\n", "no column has the prompts"),
        ("metadata.jsonl", "[1]", "line 1 is no JSON object"),
        ("metadata.jsonl", '{"file_name": "one.avi", "prompt": "x"}\n{', "metadata.jsonl: Expecting"),
        ("metadata.jsonl", '{"file_name": "one.avi", "prompt": "x"}\n{"prompt": "y"}', "row 2 lacks"),
        ("metadata.csv", b"file_name,text\none.avi,\xff\n", "codec can't decode"),
    ],
)
def test_a_table_that_is_none_is_refused(videos, tmp_path, name, text, said):
    write(videos / "walk" / name, text if isinstance(text, bytes) else text.encode())
    with pytest.raises(WrongContent, match=said):
        convert(videos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_any_prompt_it_says_how_to_give_one(videos, tmp_path, run):
    for path in videos.rglob("*.txt"):
        path.unlink()
    ended = run("convert", videos, "--to", "tasks", "--output", tmp_path / "out")
    assert ended.code == 2
    assert "run/three.AVI" in ended.err
    assert "--prompt" in ended.err
    assert not (tmp_path / "out").exists()
    assert run("convert", videos, "--to", "tasks", "--output", tmp_path / "out", "--prompt", ASKED).code == 0
    assert {task.prompt for task in read(open_store(str(tmp_path / "out")))} == {ASKED}


def test_what_cannot_be_is_told_and_the_rest_is_done(videos, tmp_path):
    write(videos / "bad/cut.avi", (videos / "walk/one.avi").read_bytes()[:-3000])
    write(videos / "bad/no.mp4", b"no video")
    film(videos / "bad/short.avi", count=1)
    film(videos / "bad/silent.avi")
    for name in ("cut", "no", "short"):
        write(videos / f"bad/{name}.txt", b"x\n")
    film(videos / "bad/blank.avi")
    write(videos / "bad/blank.txt", b" \n")
    film(videos / "bad/latin.avi")
    write(videos / "bad/latin.txt", b"\xe4\n")
    film(videos / "bad/same.avi")
    film(videos / "bad/same.mp4")
    write(videos / "bad/same.txt", b"Two of one name\n")
    with pytest.raises(Incomplete) as failed:
        convert(videos, tmp_path / "out")
    told = {path: error.message for path, error in failed.value.failures}
    assert set(told) == {f"bad/{name}" for name in ("cut.avi", "no.mp4", "short.avi", "silent.avi", "blank.avi",
                                                    "latin.avi", "same.avi", "same.mp4")}  # fmt: skip
    assert "cut off" in told["bad/cut.avi"]
    assert "of 1 frame" in told["bad/short.avi"]
    assert "nothing says" in told["bad/silent.avi"]
    assert "one task" in told["bad/same.avi"]
    assert sizes(tmp_path / "out") == [6, 6, 6]
    shutil.rmtree(videos / "bad")
    film(videos / "bad/good.avi", 3)
    write(videos / "bad/good.txt", b"Mended.\n")
    convert(videos, tmp_path / "out")
    assert sizes(tmp_path / "out") == [6, 6, 6, 6]
    assert is_green(tmp_path / "out")


def test_other_files_are_lost_and_lossless_refuses(videos, tmp_path, run):
    write(videos / "LICENSE", b"free")
    write(videos / "walk/three.txt", b"Of no video.\n")
    refused = convert(videos, tmp_path / "out", lossless=True)
    assert (refused.refused, refused.losses) == (True, {"files": 2})
    assert not (tmp_path / "out").exists()
    ended = run("convert", videos, "--to", "tasks", "--output", tmp_path / "out", "--lossless")
    assert ended.code == 1
    assert "field-lost" in ended.err


def test_a_changed_video_is_never_taken_for_the_one_that_was(videos, tmp_path):
    convert(videos, tmp_path / "out")
    (videos / "walk/one.avi").unlink()
    film(videos / "walk/one.avi", 7)
    convert(videos, tmp_path / "out")
    home = tmp_path / "out/walk_task/one"
    assert psnr(Image.open(home / "first_frame.png"), first_frame(videos / "walk/one.avi")) == float("inf")
    assert is_green(tmp_path / "out")


def test_from_s3_they_are_copied(videos, frames, tmp_path, bucket):
    for origin, options in ((videos, {}), (frames, {"window": 6, "prompt": ASKED})):
        out, far = tmp_path / f"out-{origin.name}", f"s3://{bucket}/{origin.name}"
        visprep.upload(origin, far)
        convert(origin, out, **options)
        assert convert(far, tmp_path / f"far-{origin.name}", **options).linked == 0
        assert convert(far, tmp_path / f"far-{origin.name}", **options).files == 0
        assert without_record(tmp_path / f"far-{origin.name}") == without_record(out)


def test_a_change_on_s3_is_another_place(videos, tmp_path, bucket):
    far = f"s3://{bucket}/clips"
    visprep.upload(videos, far)
    convert(far, tmp_path / "out")
    changed = (videos / "walk/one.avi").read_bytes()[:-1] + b"!"
    boto3.client("s3").put_object(Bucket=bucket, Key="clips/walk/one.avi", Body=changed)
    with pytest.raises(WouldOverwrite):
        convert(far, tmp_path / "out")


def test_files_in_the_way_stay(videos, tmp_path):
    write(tmp_path / "out/walk_task/one/prompt.txt", b"mine\n")
    with pytest.raises(WouldOverwrite):
        convert(videos, tmp_path / "out")
    assert tree(tmp_path / "out") == {"walk_task/one/prompt.txt": b"mine\n"}


# Image sequences


def test_an_episode_becomes_a_task(frames, tmp_path):
    result = convert(frames, tmp_path / "out", prompt=ASKED)
    assert (result.kind, result.files, result.losses) == ("frames", 25, {"frames.pixels": 39})
    assert is_green(tmp_path / "out")
    assert sizes(tmp_path / "out") == [6, 8, 11, 12, 12]
    home = tmp_path / "out/walk_task/episode3"
    assert (home / "first_frame.png").read_bytes() == (frames / "walk/episode3/frame_96.png").read_bytes()
    assert (home / "final_frame.png").read_bytes() == (frames / "walk/episode3/frame_101.png").read_bytes()
    facts = {"source": "walk/episode3", "first_number": 96, "last_number": 101}
    assert json.loads((home / "metadata.json").read_text()) == facts


def test_windows_are_cut_and_what_is_left_is_told(frames, tmp_path):
    result = convert(frames, tmp_path / "out", window=4, prompt=ASKED)
    # 12, 11, 8, 12 and 6 frames
    assert result.losses == {"frames": 3 + 2, "frames.pixels": 2 * (3 + 2 + 2 + 3 + 1)}
    assert sizes(tmp_path / "out") == [4] * 11
    assert is_green(tmp_path / "out")
    home = tmp_path / "out/bounce_task/episode2_0001"
    assert json.loads((home / "metadata.json").read_text())["first_number"] == 4
    assert (home / "first_frame.png").read_bytes() == (frames / "bounce/episode2/frame_4.png").read_bytes()
    assert (home / "final_frame.png").read_bytes() == (frames / "bounce/episode2/frame_7.png").read_bytes()


def test_a_window_longer_than_an_episode_leaves_it_out(frames, tmp_path):
    result = convert(frames, tmp_path / "out", window=12, prompt=ASKED)
    assert sizes(tmp_path / "out") == [12, 12]
    assert result.losses["frames"] == 11 + 8 + 6


def test_the_same_frames_make_the_same_place_and_twice_does_nothing(frames, tmp_path):
    convert(frames, tmp_path / "out", window=5, prompt=ASKED)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}
    again = convert(frames, tmp_path / "out", window=5, prompt=ASKED)
    assert again.files == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    shutil.copytree(frames, tmp_path / "else/games")
    convert(tmp_path / "else/games", tmp_path / "other", window=5, prompt=ASKED, jobs=1)
    assert tree(tmp_path / "other") == tree(tmp_path / "out")
    with pytest.raises(WouldOverwrite):
        convert(frames, tmp_path / "out", window=4, prompt=ASKED)


def test_a_changed_frame_makes_another_video(frames, tmp_path):
    convert(frames, tmp_path / "out", prompt=ASKED)
    truth = tmp_path / "out/walk_task/episode3/ground_truth.avi"
    before = truth.read_bytes()
    shutil.copy(frames / "walk/episode3/frame_96.png", frames / "walk/episode3/frame_98.png")
    assert convert(frames, tmp_path / "out", prompt=ASKED).files == 1
    assert truth.read_bytes() != before


def test_prompts_of_episodes(frames, tmp_path):
    write(frames / "bounce/episode1.txt", b"Bounce.\n")
    write(frames / "bounce/episode2/prompt.txt", b"Bounce on.\n")
    write(frames / "metadata.csv", b"file_name,text\nwalk/episode1,Walk.\nwalk/episode2,Walk on.\n")
    result = convert(frames, tmp_path / "out", prompt=ASKED)
    assert set(result.losses) == {"frames.pixels"}
    tasks = {task.key: task.prompt for task in read(open_store(str(tmp_path / "out")))}
    assert tasks == {"bounce_task/episode1": "Bounce.", "bounce_task/episode2": "Bounce on.",
                     "walk_task/episode1": "Walk.", "walk_task/episode2": "Walk on.",
                     "walk_task/episode3": ASKED}  # fmt: skip


def test_episodes_that_cannot_be_are_told_and_gaps_are_noted(frames, tmp_path):
    write(frames / "walk/episode1/frame_3.png", picture(1))  # 00003 is there, too
    write(frames / "walk/episode2/frame_5.png", picture(1))
    write(frames / "walk/episode3/frame_97.png", b"no picture")
    (frames / "bounce/episode1/frame_005.png").unlink()
    write(frames / "bounce/alone/frame_1.png", picture(1))
    with pytest.raises(Incomplete) as failed:
        convert(frames, tmp_path / "out", prompt=ASKED)
    told = {path: error.message for path, error in failed.value.failures}
    assert set(told) == {"walk/episode1", "walk/episode2", "walk/episode3", "bounce/alone"}
    assert "same number" in told["walk/episode1"]
    assert "frame_5.png is 16 x 16" in told["walk/episode2"]
    assert sizes(tmp_path / "out") == [11, 11]
    for name in ("walk", "bounce/alone"):
        shutil.rmtree(frames / name)
    notes = convert(frames, tmp_path / "out", prompt=ASKED).notes
    assert notes == ("1 episode with gaps, over which videos jump; visprep verify names them",)


def test_one_episode_alone(frames, tmp_path):
    convert(frames / "walk/episode3", tmp_path / "out", prompt=ASKED)
    assert (tmp_path / "out/walk_task/episode3/prompt.txt").read_text() == f"{ASKED}\n"
    assert is_green(tmp_path / "out")


def test_from_a_zip(frames, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "games"), "zip", frames)
    convert(archive, tmp_path / "zipped", window=6, prompt=ASKED)
    convert(frames, tmp_path / "out", window=6, prompt=ASKED)
    assert without_record(tmp_path / "zipped") == without_record(tmp_path / "out")


def test_killed_it_goes_on(frames, tmp_path):
    command = [sys.executable, "-m", "visprep", "convert", str(frames), "--to", "tasks", "--output",
               str(tmp_path / "out"), "--prompt", ASKED, "--window", "2", "--jobs", "1"]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as begun:
        while begun.poll() is None and not list((tmp_path / "out").rglob("*_task/*/ground_truth.avi")):
            pass
        begun.send_signal(signal.SIGKILL)
    convert(frames, tmp_path / "out", prompt=ASKED, window=2)
    convert(frames, tmp_path / "whole", prompt=ASKED, window=2)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_by_the_command_line(frames, tmp_path, run):
    out = tmp_path / "out"
    ended = run("convert", frames, "--to", "tasks", "--output", out, "--window", "3", "--prompt", ASKED)
    assert ended.code == 0
    assert "is image sequences" in ended.err
    assert "frames.pixels" in ended.err
    assert run("convert", frames, "--to", "tasks", "--output", out, "--window", "3", "--prompt", ASKED).code == 0
    assert run("verify", out).code == 0
    assert run("convert", frames, "--to", "tasks", "--output", out, "--window", "1").code == 2


@pytest.mark.parametrize("options", [{"window": 1}, {"prompt": " "}, {"prompt": "\udcff"}, {"quality": 3}])
def test_wrong_options(frames, tmp_path, options):
    with pytest.raises(UsageError):
        convert(frames, tmp_path / "out", **{"prompt": ASKED, **options})


def test_window_is_for_frames_alone(videos, tmp_path):
    with pytest.raises(UsageError, match="--window says nothing of videos to tasks"):
        convert(videos, tmp_path / "out", window=4)
