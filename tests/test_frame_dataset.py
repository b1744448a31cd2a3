"""Datasets of frames: single ones, pairs and windows, on disk and on S3, and what a gap is."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_transforms import Compose, FlipTogether, Resize, ToTensor
from loader_places import client
from told_pictures import Told, settings, told_by
from visprep import errors
from visprep.loaders.warned import DatasetWarning
from visprep.loaders.windows import Windows, runs

torch = pytest.importorskip("torch", reason="torch is in the torch extra")
from torch.utils.data import DataLoader, Subset  # noqa: E402

from visprep.loaders.frames import FrameDataset  # noqa: E402

EPISODES = {
    "game1/episode1": (1, 2, 3, 4, 5),
    "game1/episode2": (9, 10, 11, 100, 101),  # a gap
    "game2/episode1": (10, 20, 30, 40),  # every tenth
    "game2/episode2": (7,),
}


@pytest.fixture
def told() -> Told:
    told = Told()
    for path, numbers in EPISODES.items():
        told.episode(path, numbers)
    return told


@pytest.fixture
def place(told: Told, tmp_path: Path) -> Path:
    return told.on_disk(tmp_path / "pokemon_frames")


def shown(dataset: FrameDataset) -> list[tuple[str, list[int]]]:
    return [(info["episode"], info["numbers"].tolist()) for _, info in (dataset[at] for at in range(len(dataset)))]


# -- Windows, as arithmetic


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([5], [[5]]),
        ([0, 1, 2], [[0, 1, 2]]),
        ([1, 2, 4, 5], [[1, 2], [4, 5]]),
        ([1, 5], [[1, 5]]),  # as `verify` sees it
        ([10, 20, 30, 50, 60], [[10, 20, 30], [50, 60]]),
        ([3, 17, 40, 41, 90, 200], [[3, 17, 40, 41, 90, 200]]),  # a selection without a rule
        ([9, 10, 11, 100, 101], [[9, 10, 11], [100, 101]]),
    ],
)
def test_where_a_run_ends(numbers: list[int], expected: list[list[int]]) -> None:
    assert [numbers[first:last] for first, last in runs(numbers, False)] == expected
    assert [numbers[first:last] for first, last in runs(numbers, True)] == ([numbers] if numbers else [])


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
def test_windows_are_those_that_fit(lengths: list[int], window: int, stride: int, step: int) -> None:
    windows, expected, first = Windows(window, stride, step), [], 0
    for episode, length in enumerate(lengths):
        windows.add(first, first + length, episode)
        for start in range(0, length, stride):
            frames = [first + start + step * nth for nth in range(window)]
            if frames[-1] < first + length:
                expected.append((frames, episode))
        first += length
    assert len(windows) == len(expected)
    found = [windows.at(index) for index in range(len(windows))]
    assert [(list(frames), episode) for frames, episode in found] == expected
    again = pickle.loads(pickle.dumps(windows))
    assert [again.at(index) for index in range(len(again))] == found


# -- What a sample is


def test_single_frames_in_the_order_of_their_numbers(told: Told, place: Path) -> None:
    dataset = FrameDataset(place)
    assert (len(dataset), dataset.frames, dataset.episodes) == (15, 15, 4)
    assert shown(dataset) == [(path, [number]) for path, numbers in EPISODES.items() for number in numbers]
    image, info = dataset[6]
    assert told_by(image) == told.numbers["game1/episode2/frame_010.png"]
    assert {**info, "numbers": None} == {"game": "game1", "episode": "game1/episode2", "numbers": None}
    assert torch.equal(info["numbers"], torch.tensor([10]))


def test_numbers_count_not_how_they_are_written(tmp_path: Path) -> None:
    told = Told()
    for name in ("frame_10.png", "frame_2.png", "frame_0001.jpg"):
        told.add(f"game/episode/{name}")
    dataset = FrameDataset(told.on_disk(tmp_path))
    assert [number for _, (number,) in shown(dataset)] == [1, 2, 10]


def test_pairs_never_leave_an_episode_nor_cross_a_gap(told: Told, place: Path) -> None:
    dataset = FrameDataset(place, window=2)
    pairs = {
        "game1/episode1": [[1, 2], [2, 3], [3, 4], [4, 5]],
        "game1/episode2": [[9, 10], [10, 11], [100, 101]],
        "game2/episode1": [[10, 20], [20, 30], [30, 40]],
    }
    assert shown(dataset) == [(path, pair) for path, found in pairs.items() for pair in found]
    (before, after), info = dataset[5]
    expected = [told.numbers[f"game1/episode2/frame_{number:03}.png"] for number in info["numbers"].tolist()]
    assert [told_by(before), told_by(after)] == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"window": 3}, [[1, 2, 3], [2, 3, 4], [3, 4, 5]]),
        ({"window": 2, "stride": 2}, [[1, 2], [3, 4]]),
        ({"window": 2, "step": 3}, [[1, 4], [2, 5]]),
        ({"window": 3, "step": 2, "stride": 5}, [[1, 3, 5]]),
        ({"stride": 2}, [[1], [3], [5]]),
        ({"window": 5}, [[1, 2, 3, 4, 5]]),
    ],
)
def test_windows(options: dict[str, int], expected: list[list[int]], place: Path) -> None:
    assert [numbers for _, numbers in shown(FrameDataset(place / "game1/episode1", **options))] == expected


def test_gaps_may_be_ignored(place: Path) -> None:
    found = shown(FrameDataset(place / "game1", window=2, gaps="ignore"))
    assert ("game1/episode2", [11, 100]) not in found  # paths are below the prefix
    assert ("episode2", [11, 100]) in found


def test_a_prefix_may_be_an_episode(place: Path) -> None:
    _, info = FrameDataset(place / "game2" / "episode2")[0]
    assert (info["game"], info["episode"]) == ("game2", "episode2")


def test_several_prefixes_and_overlapping_ones(place: Path) -> None:
    dataset = FrameDataset([place / "game1", place / "game2", place / "game2"])
    assert len(dataset) == 15


def test_collated_windows(place: Path) -> None:
    dataset = FrameDataset(place / "game1", transform=Compose([Resize((8, 8)), ToTensor()]), window=3)
    images, info = next(iter(DataLoader(dataset, batch_size=4)))
    assert [one.shape for one in images] == [(4, 3, 8, 8)] * 3
    assert torch.stack(images, 1).shape == (4, 3, 3, 8, 8)
    assert info["numbers"].tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 5], [9, 10, 11]]
    assert info["episode"] == ["episode1"] * 3 + ["episode2"]
    single, info = next(iter(DataLoader(FrameDataset(place, transform=ToTensor()), batch_size=4)))
    assert (single.shape, info["numbers"].shape) == ((4, 3, 16, 12), (4, 1))


def test_the_images_of_a_window_are_transformed_together(place: Path) -> None:
    seen: list[int] = []

    def joint(*images: Any) -> Sequence[Any]:
        seen.append(len(images))
        return FlipTogether()(*images)

    dataset = FrameDataset(place, transform=np.asarray, window=3, joint_transform=joint)
    images, _ = dataset[0]
    assert ([type(image) for image in images], seen) == ([np.ndarray] * 3, [3])
    # Of one image, torchvision's transforms give one
    assert FrameDataset(place, joint_transform=lambda image: image.width)[0][0] == 12
    with pytest.raises(TypeError, match="was given 2 images and gave back 1"):
        FrameDataset(place, window=2, joint_transform=lambda *images: images[:1])[0]


# -- What is found


def test_of_one_number_the_last_by_name_is_taken(tmp_path: Path) -> None:
    told = Told()
    for name in ("frame_1.png", "frame_01.png", "frame_2.jpg", "frame_2.png", "frame_3.png"):
        told.add(f"game/episode/{name}")
    with pytest.warns(DatasetWarning) as warned:
        dataset = FrameDataset(told.on_disk(tmp_path))
    assert str(warned[0].message).splitlines() == [
        f"{tmp_path}/game/episode/{name} is passed by: another frame has its number"
        for name in ("frame_01.png", "frame_2.jpg")
    ]
    assert [told_by(image) for image, _ in (dataset[at] for at in range(3))] == [
        told.numbers[f"game/episode/{name}"] for name in ("frame_1.png", "frame_2.png", "frame_3.png")
    ]


def test_what_is_nearly_a_frame_is_told(tmp_path: Path) -> None:
    told = Told()
    told.episode("game/episode", (1, 2))
    told.add("game/episode/Frame_3.PNG")
    with pytest.warns(DatasetWarning, match="Frame_3.PNG is not named as frames are, and passed by"):
        assert len(FrameDataset(told.on_disk(tmp_path))) == 2


def test_nothing_there_is_said(place: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.PlaceMissing, match="nowhere"):
        FrameDataset(tmp_path / "nowhere")
    (tmp_path / "else").mkdir()
    (tmp_path / "else/photo.png").write_bytes(b"")
    with pytest.raises(errors.UnknownContent, match="there is no frame under") as refused:
        FrameDataset(tmp_path / "else")
    assert "{game}/{episode}/frame_{number}.png" in str(refused.value.hint)
    with pytest.raises(errors.UnknownContent, match=r"takes 11 frames in a row, and the longest .* gap has 5"):
        FrameDataset(place, window=6, step=2)
    with pytest.raises(errors.UnknownContent, match="the longest stretch has 5"):
        FrameDataset(place, window=6, gaps="ignore")
    (tmp_path / "far").mkdir()
    (tmp_path / f"far/frame_{2**63}.png").write_bytes(b"")
    with pytest.raises(errors.UnknownContent, match="its number is greater"):
        FrameDataset(tmp_path / "far")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window=0"),
        ({"window": 1.5}, "window=1.5"),
        ({"stride": -1}, "stride=-1"),
        ({"step": True}, "step=True"),
        ({"gaps": "fill"}, "gaps='fill'"),
    ],
)
def test_requests_that_make_no_sense(options: dict[str, Any], words: str, place: Path) -> None:
    with pytest.raises(errors.UsageError, match=words) as refused:
        FrameDataset(place, **options)
    assert refused.value.hint


def test_the_default_prefix_needs_a_bucket_or_a_directory(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    with pytest.raises(errors.UsageError, match="'pokemon_frames': no bucket is named"):
        FrameDataset()
    monkeypatch.chdir(tmp_path)
    assert len(FrameDataset()) == 15


# -- S3 and bad images


def test_a_bad_frame_makes_bad_windows(place: Path) -> None:
    (place / "game1/episode1/frame_003.png").write_bytes(b"no image")
    dataset = FrameDataset(place, window=2)
    assert [at for at in range(len(dataset)) if dataset[at] is None] == [1, 2]
    assert {failure.url for failure in dataset.failures} == {str(place / "game1/episode1/frame_003.png")}


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_workers_read_windows_from_s3(
    told: Told,
    context: str,
    s3_process: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("S3_BUCKET_NAME", told.in_bucket(s3_process, "pokemon_frames/"))
    dataset = FrameDataset(transform=ToTensor(), window=2, settings=settings(s3_process))
    first = dataset[0]
    loader = DataLoader(dataset, 5, num_workers=2 if context == "fork" else 1, multiprocessing_context=context)
    batches = list(loader)
    assert torch.equal(batches[0][0][0][0], first[0][0])
    assert [numbers for _, info in batches for numbers in info["numbers"].tolist()] == [
        numbers for _, numbers in shown(dataset)
    ]
    if context == "fork":
        assert FrameDataset("pokemon_frames/game2", s3_client=client(s3_process))[0][1]["game"] == "game2"
        assert Subset(dataset, [2])[0][1]["episode"] == "game1/episode1"
        assert shown(pickle.loads(pickle.dumps(dataset))) == shown(dataset)
