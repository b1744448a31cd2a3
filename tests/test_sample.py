"""The source `sample`: what it draws, and that it always draws the same."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from visprep import sources
from visprep.errors import UnknownName, UsageError
from visprep.formats import tasks as task_layout
from visprep.records import Task
from visprep.sources import Selection, Upstream
from visprep.sources.sample import Sample
from visprep.testing.contracts import SourceContract

SOURCE = Sample()


class NoAccess:
    """An `Access` that must not be used."""

    def schema(self, shard):
        raise AssertionError("the sample has no shards")

    rows = schema


def drawn(selection: Selection | None = None) -> list[Task]:
    selection = selection or Selection()
    records = list(SOURCE.records(SOURCE.resolve(selection), "test", selection, NoAccess()))
    assert all(isinstance(record, Task) for record in records)
    return [record for record in records if isinstance(record, Task)]


def pixels(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (256, 256))
    return np.asarray(picture).astype(int)


TASKS = drawn()


class TestContract(SourceContract):
    name = "sample"

    @pytest.fixture
    def upstream(self) -> None:
        return None


def test_it_is_registered() -> None:
    assert isinstance(sources.get("sample"), Sample)
    assert (SOURCE.splits, SOURCE.default_splits, SOURCE.license) == (("test",), ("test",), "Apache-2.0")


def test_counts_are_exact() -> None:
    assert SOURCE.counts == {"test": len(TASKS)}
    domains = Counter(task.domain for task in TASKS)
    assert len(domains) == 4
    assert set(domains.values()) == {8}
    assert len({task.key for task in TASKS}) == len(TASKS)


def test_names_are_stable() -> None:
    assert [task.key for task in TASKS[:9:4]] == [
        "color_grid_task/color_grid_0000",
        "color_grid_task/color_grid_0004",
        "maze_task/maze_0000",
    ]


def test_every_task_fills_every_layout() -> None:
    for task in TASKS:
        for layout in task_layout.LAYOUTS.values():
            assert task_layout.lacks(task, layout) is None
        assert task_layout.segment(task.domain) == task.domain
        assert task_layout.segment(task.id) == task.id


def test_frames_differ_and_prompts_speak() -> None:
    for task in TASKS:
        assert task.final_frame is not None
        first, final = pixels(task.first_frame), pixels(task.final_frame)
        assert np.abs(first - final).max() > 50
        assert first.std() > 5
        assert len(task.prompt) > 60
        assert task.prompt.endswith(".")
    assert len({task.first_frame for task in TASKS}) == len(TASKS)
    assert all(
        len({task.prompt for task in TASKS if task.domain == domain}) > 1 for domain in ("color_grid", "ball_fall")
    )


def test_a_maze_keeps_its_walls() -> None:
    for task in TASKS:
        if task.domain == "maze":
            assert task.final_frame is not None
            first, final = pixels(task.first_frame), pixels(task.final_frame)
            walls = (first == (52, 58, 70)).all(axis=-1)
            assert walls.sum() > 1000
            assert (final[walls] == (52, 58, 70)).all()


def test_a_rotated_shape_keeps_its_size() -> None:
    for task in TASKS:
        if task.domain == "shape_rotation":
            assert task.final_frame is not None
            first, final = (
                Counter(map(tuple, pixels(data).reshape(-1, 3))) for data in (task.first_frame, task.final_frame)
            )
            (color, count), *_ = [one for one in first.most_common(3) if min(one[0]) < 200]
            assert abs(final[color] - count) < 0.02 * count


def test_a_color_grid_changes_in_one_cell() -> None:
    for task in TASKS:
        if task.domain == "color_grid":
            assert task.final_frame is not None
            rows, columns = np.nonzero(np.abs(pixels(task.first_frame) - pixels(task.final_frame)).max(axis=-1))
            assert max(np.ptp(rows), np.ptp(columns)) < 60


def test_a_ball_falls_straight_down() -> None:
    for task in TASKS:
        if task.domain == "ball_fall":
            assert task.final_frame is not None
            rows, columns = np.nonzero(np.abs(pixels(task.first_frame) - pixels(task.final_frame)).max(axis=-1))
            assert np.ptp(columns) <= 28
            assert np.ptp(rows) > 40


def test_another_process_draws_the_same_bytes() -> None:
    code = (
        "import hashlib; from visprep.sources.sample import Sample; from visprep.sources import Selection, Upstream\n"
        "total = hashlib.sha256()\n"
        "for task in Sample().records(Upstream(), 'test', Selection(), None):\n"
        "    total.update(repr(task).encode())\n"
        "print(total.hexdigest())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    total = hashlib.sha256()
    for task in TASKS:
        total.update(repr(task).encode())
    assert ended.stdout.strip() == total.hexdigest()


def test_only_what_is_pulled_is_drawn() -> None:
    records = SOURCE.records(Upstream(), "test", Selection(limit=1), NoAccess())
    assert next(records) == TASKS[0]
    records.close()


@pytest.mark.parametrize(
    ("selection", "words", "hint"),
    [
        (Selection(splits=("train",)), "no split 'train' in sample", "it has: test"),
        (
            Selection(configs=("Mazes",)),
            "no config 'Mazes' in sample",
            "it has: tasks, coco, open-images, vton, frames",
        ),
    ],
)
def test_names_that_there_are_not(selection: Selection, words: str, hint: str) -> None:
    with pytest.raises(UnknownName, match=words) as caught:
        SOURCE.resolve(selection)
    assert caught.value.hint == hint


def test_a_revision_means_nothing_here() -> None:
    with pytest.raises(UsageError, match="no revisions"):
        SOURCE.resolve(Selection(revision="main"))
