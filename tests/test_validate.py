from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from visprep.errors import UnknownName
from visprep.validate import (
    task_data_findings,
    task_directory_findings,
    validate_task_data,
    validate_task_directory,
)

RED, BLUE = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")


def encoded(image: Image.Image, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


def directory(root: Path) -> Path:
    root.mkdir(parents=True)
    RED.save(root / "first_frame.png")
    BLUE.save(root / "final_frame.png")
    (root / "prompt.txt").write_text("Turn it blue.\n", encoding="utf-8")
    return root


# Data


def test_frames_may_be_whatever_can_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "red"
    path.write_bytes(encoded(RED, "BMP"))
    for first in (RED, np.asarray(RED), encoded(RED, "TIFF"), path, str(path), {"bytes": encoded(RED), "path": None}):
        assert task_data_findings(first, "Turn it blue.", BLUE) == []
        assert validate_task_data(first, "Turn it blue.", BLUE)
    assert validate_task_data(RED.convert("RGBA"), "Turn it blue.", BLUE.convert("L"))


@pytest.mark.parametrize(
    ("first", "prompt", "final", "code", "path"),
    [
        (None, "x", BLUE, "task-file-missing", "first_frame.png"),
        (RED, "x", None, "task-file-missing", "final_frame.png"),
        (RED, None, BLUE, "task-file-missing", "prompt.txt"),
        (RED, 7, BLUE, "task-file-missing", "prompt.txt"),
        (RED, b"x", BLUE, "task-file-missing", "prompt.txt"),
        (RED, "", BLUE, "prompt-empty", "prompt.txt"),
        (RED, " \n\u3000", BLUE, "prompt-blank", "prompt.txt"),
        (RED, "\ud83d", BLUE, "prompt-encoding", "prompt.txt"),
        (encoded(RED)[:-9], "x", BLUE, "frame-undecodable", "first_frame.png"),
        (RED, "x", "no/such.png", "frame-undecodable", "final_frame.png"),
        (RED, "x", np.zeros((3, 3, 7)), "frame-undecodable", "final_frame.png"),
        (RED, "x", object(), "frame-undecodable", "final_frame.png"),
        (RED, "x", BLUE.resize((9, 6)), "frame-size-mismatch", "final_frame.png"),
    ],
)
def test_bad_data_is_false_and_has_one_finding(first: Any, prompt: Any, final: Any, code: str, path: str) -> None:
    assert not validate_task_data(first, prompt, final)
    (finding,) = task_data_findings(first, prompt, final)
    assert (finding.code, finding.path) == (code, path)
    assert finding.hint


def test_identical_frames_are_a_warning_and_true() -> None:
    assert [finding.code for finding in task_data_findings(RED, "x", RED)] == ["frames-identical"]
    assert validate_task_data(RED, "x", RED)


def test_nothing_at_all_is_three_findings() -> None:
    assert [finding.code for finding in task_data_findings(None, None, None)] == ["task-file-missing"] * 3


# Directories


@pytest.mark.parametrize("name", ["shapes_task/t0", "t0", "data/ü b"])
def test_a_sound_directory_wherever_it_stands(tmp_path: Path, name: str) -> None:
    task_dir = directory(tmp_path / name)
    assert task_directory_findings(task_dir) == []
    assert validate_task_directory(task_dir)
    assert validate_task_directory(str(task_dir))


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(directory(tmp_path / "shapes_task" / "t0"))
    assert validate_task_directory(".")
    assert validate_task_directory(Path("../t0"))


@pytest.mark.parametrize("name", ["first_frame.png", "final_frame.png", "prompt.txt"])
def test_a_missing_or_empty_file_is_false(tmp_path: Path, name: str) -> None:
    task_dir = directory(tmp_path / "t0")
    (task_dir / name).write_bytes(b"")
    assert not validate_task_directory(task_dir)
    (task_dir / name).unlink()
    assert not validate_task_directory(task_dir)
    (finding,) = task_directory_findings(task_dir)
    assert (finding.code, finding.path) == ("task-file-missing", name)


def test_existence_alone_is_not_enough(tmp_path: Path) -> None:
    task_dir = directory(tmp_path / "t0")
    (task_dir / "first_frame.png").write_bytes(encoded(RED)[:-9])
    assert [finding.code for finding in task_directory_findings(task_dir)] == ["frame-undecodable"]
    assert not validate_task_directory(task_dir)


def test_warnings_are_findings_and_true(tmp_path: Path) -> None:
    task_dir = directory(tmp_path / "t0")
    (task_dir / "notes.md").write_text("x")
    (task_dir / "sub").mkdir()
    assert [finding.path for finding in task_directory_findings(task_dir)] == ["notes.md"]
    assert validate_task_directory(task_dir)


def test_what_is_no_directory_is_false_and_a_finding(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for nothing in (tmp_path / "nothing", str(tmp_path / "nothing"), file, file / "below", "nul\0", "x" * 5000):
        assert not validate_task_directory(nothing)
        (finding,) = task_directory_findings(nothing)
        assert finding.path == "."
    empty = tmp_path / "empty"
    empty.mkdir()
    assert [finding.code for finding in task_directory_findings(empty)] == ["task-file-missing"]


def test_a_loop_of_links_is_false(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert not validate_task_directory(loop)


def test_layouts(tmp_path: Path) -> None:
    task_dir = directory(tmp_path / "t0")
    (task_dir / "final_frame.png").unlink()
    assert task_directory_findings(task_dir, "vmevalkit") == []
    with pytest.raises(UnknownName):
        task_directory_findings(task_dir, "vbvr2")
