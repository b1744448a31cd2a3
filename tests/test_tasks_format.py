from __future__ import annotations

import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from visprep import wire
from visprep.errors import (
    AccessDenied,
    FileMissing,
    UnknownContent,
    UnknownName,
    Unreachable,
    VisprepError,
    WrongContent,
)
from visprep.formats import tasks
from visprep.formats.task_loading import load
from visprep.formats.tasks import Found, TaskDirectory, files_of, find, lacks, layout, read, segment, visible
from visprep.images import HEAD_BYTES, convert_to_pil_image, decode, probe
from visprep.manifest import File
from visprep.records import Task
from visprep.rules import Depth
from visprep.rules import tasks as rules
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.video import write_video

VTB = Path(__file__).parents[2] / "shared" / "real" / "vtb"


def frame(color: str = "red", size: tuple[int, int] = (8, 6), mode: str = "RGB", format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).convert(mode).save(buffer, format)
    return buffer.getvalue()


def task(**changes: Any) -> Task:
    facts = {"domain": "shapes", "id": "shapes_0001", "prompt": "Move it.", "first_frame": frame("red")}
    return Task(**{**facts, "final_frame": frame("blue"), **changes})


def listing(*paths: str) -> list[File]:
    return [File(path, 0 if path.endswith("/") else 5) for path in sorted(paths, key=str.encode)]


def shape(found: Found) -> tuple[dict[str, tuple[str | None, str, tuple[str, ...]]], list[str]]:
    """What was found, as plain data."""
    directories = {item.path: (item.domain, item.id, tuple(item.files)) for item in found.directories}
    return directories, [file.path for file in found.strays]


# Layouts


def test_layouts_are_known_by_name() -> None:
    assert layout("template").required == ("first_frame.png", "final_frame.png", "prompt.txt")
    assert layout("vmevalkit").required == ("first_frame.png", "prompt.txt")
    for name, known in tasks.LAYOUTS.items():
        assert known.name == name
        assert len(set(known.names)) == len(known.names)
    assert layout("vbvr").names == (
        "first_frame.png",
        "final_frame.png",
        "prompt.txt",
        "first_video.mp4",
        "last_video.mp4",
        "ground_truth.mp4",
        "metadata.json",
    )
    with pytest.raises(UnknownName, match="vbvr2") as error:
        layout("vbvr2")
    assert error.value.hint == "did you mean vbvr?"
    with pytest.raises(UnknownName) as error:
        layout("x")
    assert error.value.hint == "there are: template, vmevalkit, vbvr"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"final_frame": None}, "no final frame"),
        ({"first_frame": b""}, "no first frame"),
        ({"first_frame": b"<html>"}, "the first frame is not an image"),
        ({"first_frame": frame()[:-5]}, "the first frame is damaged"),
        ({"final_frame": frame(format="JPEG")[:-5]}, "the final frame is damaged"),
        ({"final_frame": frame(format="JPEG")}, None),
        ({"prompt": ""}, "no prompt"),
        ({"prompt": " \r\n\u3000\ufeff\u200b"}, "no prompt"),
        ({"prompt": "half \ud83d"}, "the prompt is not valid Unicode"),
    ],
)
def test_what_a_record_lacks(changes: dict[str, Any], reason: str | None) -> None:
    assert lacks(task(**changes), layout("template")) == reason


def test_vmevalkit_needs_no_final_frame() -> None:
    assert lacks(task(final_frame=None), layout("vmevalkit")) is None
    assert set(files_of(task(final_frame=None))) == {
        "shapes_task/shapes_0001/first_frame.png",
        "shapes_task/shapes_0001/prompt.txt",
    }


# Writing


def test_the_files_of_a_task() -> None:
    files = files_of(
        task(
            prompt="\ufeff Zeile eins\r\nZeile zwei\r \n",
            ground_truth=b"video",
            video_suffix=".mp4",
            metadata={"b": 1, "a": ["ä", None]},
        )
    )
    home = "shapes_task/shapes_0001"
    assert files[f"{home}/first_frame.png"] == frame("red")  # to the byte: it is plain already
    assert files[f"{home}/final_frame.png"] == frame("blue")
    assert files[f"{home}/prompt.txt"] == b"Zeile eins\nZeile zwei\n"
    assert files[f"{home}/ground_truth.mp4"] == b"video"
    assert files[f"{home}/metadata.json"].decode() == '{\n  "a": [\n    "ä",\n    null\n  ],\n  "b": 1\n}\n'
    assert len(files) == 5
    assert "metadata.json" not in "".join(files_of(task()))


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK"])
def test_frames_are_written_as_plain_png(mode: str) -> None:
    format = "JPEG" if mode == "CMYK" else "PNG"
    files = files_of(task(first_frame=frame("red", mode=mode, format=format)))
    assert probe(files["shapes_task/shapes_0001/first_frame.png"]).plain


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first_frame": b"junk"}, "first_frame.png: it is no image"),
        ({"final_frame": frame()[:-5]}, "final_frame.png: a PNG image, cut off"),
        ({"prompt": "\ud83d"}, "prompt.txt: half of a surrogate pair"),
        ({"metadata": {"score": float("nan")}}, "metadata.json: the metadata is not plain JSON"),
        ({"metadata": {"when": object()}}, "metadata.json: the metadata is not plain JSON"),
        ({"metadata": {"half": "\ud83d"}}, "metadata.json: the metadata is not plain JSON"),
        ({"ground_truth": b"x", "video_suffix": ".mkv"}, "not '.mkv'"),
    ],
)
def test_a_task_that_cannot_be_written_names_the_file(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(WrongContent) as error:
        files_of(task(**changes))
    assert words in error.value.message
    assert "shapes_task/shapes_0001" in error.value.message


@pytest.mark.parametrize("text", ["color_grid", "color_grid-00", "A", "1.2.3", "x" * 100, "-", "CON"])
def test_safe_names_stay(text: str) -> None:
    assert segment(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".hidden", "a/b", "a b", "../../etc", "é", "x" * 101, "a\nb", "\ud83d", "a\n"]
)
def test_other_names_are_made_safe(text: str) -> None:
    assert segment(text) != text
    assert segment(segment(text)) == segment(text)


def test_names_that_look_alike_once_safe_stay_apart() -> None:
    names = ["a b", "a/b", "a_b", "a  b", "é", "è", "e", "", ".", "x" * 101, "x" * 102]
    assert len({segment(name) for name in names}) == len(names)
    assert segment("a b") == "a_b-c8687a08"  # forever: ids must not change between versions


@given(st.text())
def test_every_text_makes_a_safe_segment(text: str) -> None:
    made = segment(text)
    assert 1 <= len(made) <= 100
    assert not made.startswith(".")
    assert made.isascii()
    assert all(char.isalnum() or char in "._-" for char in made)
    assert segment(text) == made


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n\r", "\u00a0\u2003\u3000", "\ufeff", "\u200b\u200d", "\0\x07", "\u2028"]
)
def test_blanks_are_not_visible(text: str) -> None:
    assert not visible(text)
    assert visible(text + "." + text)


# Finding


def test_a_root_a_domain_and_a_task_are_all_places() -> None:
    names = ("final_frame.png", "first_frame.png", "prompt.txt")
    below = [f"a_task/1/{name}" for name in names]
    for place, cut in (((), ""), (("questions", "a_task"), "a_task/"), (("a_task", "1"), "a_task/1/")):
        found = find(listing(*(path.removeprefix(cut) for path in below)), place)
        assert shape(found) == ({"a_task/1".removeprefix(cut.rstrip("/")).strip("/"): ("a", "1", names)}, [])
    deep = find(listing(*(f"x/y/{path}" for path in below)))
    assert shape(deep) == ({"x/y/a_task/1": ("a", "1", names)}, [])


@pytest.mark.parametrize(
    ("paths", "place", "directories", "strays"),
    [
        # the record of visprep is neither; a file of that name deeper down is a stray
        ([".visprep/manifest.jsonl", "dataset.json", "x/dataset.json"], (), {}, ["x/dataset.json"]),
        # whatever stands at {domain}_task/{id} is a task, were it empty
        (["a_task/1/"], (), {"a_task/1": ("a", "1", ())}, []),
        (["a_task/1/notes.md"], (), {"a_task/1": ("a", "1", ("notes.md",))}, []),
        (["a_task/1/sub/notes.md"], (), {"a_task/1": ("a", "1", ("sub/notes.md",))}, []),
        ([], ("a_task", "1"), {"": ("a", "1", ())}, []),
        # empty directories and markers elsewhere are nothing
        (["a_task/", "b/"], (), {}, []),
        (["a_task/1/", "a_task/1/prompt.txt"], (), {"a_task/1": ("a", "1", ("prompt.txt",))}, []),
        ([], ("a_task",), {}, []),
        # files beside the tasks are strays
        (["README.md", "a_task/x.txt", "a_task/1/prompt.txt"], (), {"a_task/1": ("a", "1", ("prompt.txt",))},
         ["README.md", "a_task/x.txt"]),
        # two files of a task make a directory one, wherever it stands
        (["a/1/first_frame.png", "a/1/prompt.txt"], (), {"a/1": (None, "1", ("first_frame.png", "prompt.txt"))}, []),
        (["first_frame.png", "prompt.txt"], ("home", "x"), {"": (None, "x", ("first_frame.png", "prompt.txt"))}, []),
        (["first_frame.png", "prompt.txt"], (), {"": (None, "", ("first_frame.png", "prompt.txt"))}, []),
        (["_task/1/first_frame.png", "_task/1/prompt.txt"], (),
         {"_task/1": (None, "1", ("first_frame.png", "prompt.txt"))}, []),
        # one alone does not
        (["a/1/prompt.txt", "a_task/1/prompt.txt"], (), {"a_task/1": ("a", "1", ("prompt.txt",))}, ["a/1/prompt.txt"]),
        # one level too deep: the task is the directory with the files, not the one above it
        (["a_task/1/sub/first_frame.png", "a_task/1/sub/prompt.txt"], (),
         {"a_task/1/sub": (None, "sub", ("first_frame.png", "prompt.txt"))}, []),
        # a place below a directory that happens to end in _task is still a root
        (["a_task/1/prompt.txt", "README.md"], ("my_task", "data"), {"a_task/1": ("a", "1", ("prompt.txt",))},
         ["README.md"]),
        (["a_task/1/prompt.txt"], ("data_task",), {"a_task/1": ("a", "1", ("prompt.txt",))}, []),
        # hidden directories, and what macOS leaves in archives, hold no tasks
        (["a_task/.ipynb_checkpoints/x.png", "__MACOSX/a_task/1/._prompt.txt"], (), {},
         ["__MACOSX/a_task/1/._prompt.txt", "a_task/.ipynb_checkpoints/x.png"]),
        # tasks within tasks
        (["a_task/1/b_task/2/prompt.txt", "a_task/1/prompt.txt"], (),
         {"a_task/1": ("a", "1", ("prompt.txt",)), "a_task/1/b_task/2": ("b", "2", ("prompt.txt",))}, []),
        # keys that only S3 can hold
        (["//prompt.txt", "a_task//prompt.txt", "a_task/1//prompt.txt"], (),
         {"a_task/1": ("a", "1", ("/prompt.txt",))}, ["//prompt.txt", "a_task//prompt.txt"]),
    ],
)  # fmt: skip
def test_directories_and_strays(
    paths: list[str], place: tuple[str, ...], directories: dict[str, Any], strays: list[str]
) -> None:
    assert shape(find(listing(*paths), place)) == (directories, strays)


def test_the_order_of_the_listing_does_not_matter() -> None:
    files = listing(
        *(f"{domain}_task/{number}/{name}" for domain in "ba" for number in (2, 10) for name in ("prompt.txt", "x"))
    )
    shuffled = files.copy()
    random.Random(1).shuffle(shuffled)
    found = find(shuffled)
    assert [item.path for item in found.directories] == ["a_task/10", "a_task/2", "b_task/10", "b_task/2"]
    assert found.directories[0].files["x"] in files


def test_paths_of_a_directorys_files() -> None:
    assert TaskDirectory("a_task/1", "a", "1").at("prompt.txt") == "a_task/1/prompt.txt"
    assert TaskDirectory("", "a", "1").at("prompt.txt") == "prompt.txt"


@pytest.mark.parametrize(
    ("path", "home", "generator"),
    [
        ("", ".", None),
        ("1", ".", None),
        ("a_task/1", "a_task", None),
        ("g/a_task/1", "g/a_task", "g"),
        ("questions/g/a_task/1", "questions/g/a_task", "g"),
    ],
)
def test_what_stands_above_a_directory(path: str, home: str, generator: str | None) -> None:
    directory = TaskDirectory(path, "a", "1")
    assert (directory.home, directory.generator) == (home, generator)


# Reading


class Refusing(MemoryStore):
    """A place where the files with these errors cannot be read; it counts the bytes that are."""

    def __init__(self, files: dict[str, bytes], errors: dict[str, VisprepError] | None = None) -> None:
        super().__init__(files=files)
        self.errors, self.taken = errors or {}, {}

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path in self.errors:
            raise self.errors[path]
        data = await super().read(path, offset, length)
        self.taken[path] = len(data)
        return data


def large_task(folder: Path) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(2):
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)).save(buffer, "PNG")
        frames.append(buffer.getvalue())
    pictures = [decode(frames[0]), decode(frames[1])]
    write_video(pictures, folder / "ground_truth.avi", codec="ffv1")
    film = (folder / "ground_truth.avi").read_bytes()
    return files_of(
        task(first_frame=frames[0], final_frame=frames[1], metadata={"a": 1}, ground_truth=film, video_suffix=".avi")
    )


@pytest.mark.parametrize("depth", Depth)
def test_reads_no_more_than_the_depth_needs(tmp_path: Path, depth: Depth) -> None:
    files = large_task(tmp_path)
    store = Refusing(files)
    (directory,) = find(store.list()).directories
    loaded = wire.wait(load(store, directory, depth))
    taken = {path.rpartition("/")[2]: size for path, size in store.taken.items()}
    if not depth.reaches(Depth.HEADERS):
        assert taken == {}
        return
    whole = depth.reaches(Depth.DECODE)
    for name, size in taken.items():
        full = len(files[f"shapes_task/shapes_0001/{name}"])
        assert size == (HEAD_BYTES if name.endswith(".png") and not whole else full)
        assert loaded.whole(name) == (size == full and name != "ground_truth.avi")
    videos = ["ground_truth.avi"] if whole else []
    assert sorted(taken) == ["final_frame.png", "first_frame.png", *videos, "metadata.json", "prompt.txt"]
    assert list(loaded.videos) == videos
    assert rules.check(loaded, layout("template"), depth) == []


def test_a_video_on_disk_stays_there(tmp_path: Path) -> None:
    store = written(tmp_path / "place", large_task(tmp_path))
    (directory,) = find(store.list()).directories
    loaded = wire.wait(load(store, directory, Depth.DECODE))
    assert loaded.videos == {"ground_truth.avi": store.root / "shapes_task/shapes_0001/ground_truth.avi"}
    assert rules.check(loaded, layout("template"), Depth.CONTENT) == []


def test_links_are_known_from_headers_on(tmp_path: Path) -> None:
    store = written(tmp_path, files_of(task()))
    home = tmp_path / "shapes_task/shapes_0001"
    (home / "prompt.txt").rename(tmp_path / "text")
    (home / "prompt.txt").symlink_to(tmp_path / "text")
    directory = next(one for one in find(store.list()).directories)
    for depth in Depth:
        links = frozenset({"prompt.txt"}) if depth.reaches(Depth.HEADERS) else frozenset()
        assert wire.wait(load(store, directory, depth)).links == links


def test_small_frames_are_whole_at_headers() -> None:
    store = MemoryStore(files=files_of(task()))
    (directory,) = find(store.list()).directories
    assert wire.wait(load(store, directory, Depth.HEADERS)).whole("first_frame.png")


def test_what_cannot_be_read_is_noted_and_the_rest_is_read() -> None:
    path = "shapes_task/shapes_0001/first_frame.png"
    store = Refusing(files_of(task()), {path: AccessDenied(f"{path}: not ours")})
    (directory,) = find(store.list()).directories
    loaded = wire.wait(load(store, directory, Depth.DECODE))
    assert set(loaded.contents) == {"final_frame.png", "prompt.txt"}
    assert loaded.unreadable["first_frame.png"].slug == "access-denied"


def test_a_broken_network_is_raised() -> None:
    store = Refusing(files_of(task()), {"shapes_task/shapes_0001/prompt.txt": Unreachable("no route")})
    (directory,) = find(store.list()).directories
    with pytest.raises(Unreachable):
        wire.wait(load(store, directory, Depth.HEADERS))


def written(root: Path, files: dict[str, bytes]) -> LocalStore:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return LocalStore(root)


def test_reading_back_gives_the_task(tmp_path: Path) -> None:
    original = task(ground_truth=b"video", video_suffix=".mp4", metadata={"source": "drawn"})
    store = written(tmp_path, files_of(original))
    assert list(read(store)) == [original]
    inner = LocalStore(tmp_path / "shapes_task" / "shapes_0001")
    assert list(read(inner, ("shapes_task", "shapes_0001"))) == [original]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda files: files.pop("shapes_task/shapes_0001/first_frame.png"), FileMissing),
        (lambda files: files.pop("shapes_task/shapes_0001/prompt.txt"), FileMissing),
        (lambda files: files.update({"shapes_task/shapes_0001/prompt.txt": b"caf\xe9"}), WrongContent),
        (lambda files: files.update({"shapes_task/shapes_0001/metadata.json": b"[1]"}), WrongContent),
        (lambda files: files.update({"shapes_task/shapes_0001/metadata.json": b"{"}), WrongContent),
        (lambda files: files.update({"shapes_task/shapes_0001/metadata.json": b"[" * 100_000}), WrongContent),
        (lambda files: files.update({"loose/first_frame.png": frame(), "loose/prompt.txt": b"x"}), UnknownContent),
    ],
)
def test_what_is_no_task_cannot_be_read_as_one(
    tmp_path: Path, change: Callable[[dict[str, bytes]], Any], error: type[VisprepError]
) -> None:
    files = files_of(task())
    change(files)
    with pytest.raises(error):
        list(read(written(tmp_path, files)))


# There and back


@st.composite
def drawn_tasks(draw: st.DrawFn) -> Task:
    mode = draw(st.sampled_from(["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"]))
    width, height = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    frames = []
    for level in (0, 1):  # the first pixel makes sure that the two differ
        noise = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        noise[0, 0] = (255 * level, 255 * level, 255 * level, 255)
        if mode == "I;16":
            image = Image.fromarray(noise[:, :, 0].astype(np.uint16) * 257)
        elif mode == "P":
            image = Image.fromarray(noise[:, :, 0])
            image.putpalette([value for value in range(256) for _ in range(3)])
        else:
            image = Image.fromarray(noise if mode != "CMYK" else noise[:, :, :3]).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, "TIFF" if mode == "CMYK" else draw(st.sampled_from(["PNG", "TIFF"])))
        frames.append(buffer.getvalue())
    # surrogates stand for no character, and lacks() says so; the rules warn of control characters
    readable = st.characters(exclude_categories=["Cs", "Cc"], include_characters="\t\n\r")
    prompt = draw(st.text(readable, max_size=60).filter(visible))
    name = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)
    metadata = draw(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers(), max_size=3))
    return Task(draw(name), draw(name), prompt, frames[0], frames[1], metadata=metadata)


@settings(max_examples=60, deadline=None)
@given(drawn_tasks())
def test_what_is_written_is_clean_and_comes_back_the_same(original: Task) -> None:
    assert lacks(original, layout("template")) is None
    files = files_of(original)
    assert files_of(original) == files
    store = MemoryStore(files=files)
    (directory,) = find(store.list()).directories
    for depth in Depth:
        loaded = wire.wait(load(store, directory, depth))
        assert rules.check(loaded, layout("template"), depth) == []
    assert rules.check_place(find(store.list()), layout("template")) == []
    (again,) = read(store)
    assert (again.domain, again.id) == (segment(original.domain), segment(original.id))
    assert again.prompt == tasks.tidy_prompt(original.prompt)
    assert dict(again.metadata) == dict(original.metadata)
    for before, after in ((original.first_frame, again.first_frame), (original.final_frame, again.final_frame)):
        shown = convert_to_pil_image(before)
        assert shown is not None
        assert after is not None
        assert decode(after).tobytes() == shown.tobytes()
    assert files_of(again) == files


@pytest.fixture
def puzzles() -> Iterator[tuple[dict[str, Any], Path]]:
    if not VTB.is_dir():
        pytest.skip(f"the real puzzles are not here ({VTB.name})")
    return (
        (puzzle, data.parent) for data in sorted(VTB.rglob("data.json")) for puzzle in json.loads(data.read_bytes())
    )


def test_real_puzzles_are_clean_and_kept_to_the_byte(
    tmp_path: Path, puzzles: Iterator[tuple[dict[str, Any], Path]]
) -> None:
    count = 0
    for puzzle, home in puzzles:
        frames = [(home / puzzle[key]).read_bytes() for key in ("image", "solution_image_path")]
        record = Task("visual_puzzles", puzzle["id"], puzzle["prompt"], *frames)
        assert lacks(record, layout("template")) is None
        files = files_of(record)
        assert list(files.values())[:2] == frames
        written(tmp_path, files)
        count += 1
    store = LocalStore(tmp_path)
    found = find(store.list())
    assert len(found.directories) == count > 0
    assert rules.check_place(found, layout("template")) == []
    for directory in found.directories:
        for depth in Depth:
            assert rules.check(wire.wait(load(store, directory, depth)), layout("template"), depth) == []
