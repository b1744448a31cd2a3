"""Episodes: how they are found in a listing, and the rules of them, each with its bad case and its near miss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import visprep
from drawn import SIZE, episodes, picture, put, turned
from visprep.formats.episodes import find, is_member
from visprep.manifest import File, order
from visprep.rules.episodes import RULES

Change = Callable[[Path], Any]

E1 = "game1/episode1"


def listing(*paths: str) -> list[File]:
    return [File(path, 1) for path in sorted(paths, key=order)]


# Finding


def test_frames_come_in_the_order_of_their_numbers() -> None:
    names = ("frame_10.png", "frame_2.png", "frame_0001.jpg", "frame_03.jpeg", "frame_100.png")
    strays: list[File] = []
    (found,) = find(listing(*(f"a/game/e/{name}" for name in names), "a/game/cover.png"), stray=strays.append)
    assert found.numbers == (1, 2, 3, 10, 100)
    assert [file.path.rpartition("/")[2] for file in found.frames] == [names[2], names[1], names[3], names[0], names[4]]
    assert (found.key, found.path, found.game, found.home) == ("a/game/e", "a/game/e", "game", "a/game")
    assert [file.path for file in strays] == ["a/game/cover.png"]


def test_a_place_may_be_an_episode_or_a_game() -> None:
    (episode,) = find(listing("frame_1.png"), ("data", "red", "e1"))
    assert (episode.key, episode.path, episode.game, episode.home) == (".", "", "red", ".")
    (episode,) = find(listing("e1/frame_1.png"), ("data", "red"))
    assert (episode.key, episode.game) == ("e1", "red")
    (episode,) = find(listing("frame_1.png"))
    assert episode.game is None


def test_what_is_hidden_or_named_otherwise_is_none() -> None:
    paths = ("__MACOSX/e/frame_1.png", ".git/frame_1.png", "e/._frame_1.png", "e/first_frame.png", "e/frame_x.png")
    strays: list[File] = []
    assert list(find(listing(*paths), stray=strays.append)) == []
    assert {file.path for file in strays} == set(paths)
    assert not any(map(is_member, paths))


@pytest.mark.parametrize(
    "name", ["Frame_1.png", "frame_1.PNG", "frame1.png", "frame-1.png", "frame_1.webp", "frame_ 1.jpg"]
)
def test_names_that_are_nearly_those_of_frames(name: str) -> None:
    (found,) = find(listing(f"e/{name}", "e/frame_2.png"))
    assert (found.numbers, [file.path for file in found.near]) == ((2,), [f"e/{name}"])


def test_a_number_of_any_length_is_no_trap() -> None:
    strays: list[File] = []
    names = [f"e/frame_{'9' * digits}.png" for digits in (19, 200, 18, 5000, 1000)]
    (found,) = find(listing(*names), stray=strays.append)
    assert found.numbers == tuple(10**digits - 1 for digits in (18, 19, 200, 1000))
    assert [file.path for file in strays] == [names[3]]  # longer than any name on a disk or on S3


def test_frames_that_are_named_by_nanoseconds_are_an_episode(tmp_path: Path) -> None:
    stamps = [1_763_755_200_123_456_789 + number * 33_333_333 for number in (0, 1, 2, 4)]
    for stamp in stamps:
        put(tmp_path / "in", f"game/walk/frame_{stamp:030}.png", picture(stamp % 97))
    report = visprep.verify(tmp_path / "in")
    assert (report.format, [one.code for one in report.findings]) == ("frames", ["episode-gap"])
    made = visprep.split(tmp_path / "in", output=tmp_path / "out", parts="all=1.0", how="copies")
    assert made.files_written == 4


PATHS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(["a", "a-b", "b", ".c"]), max_size=3),
        st.sampled_from(["frame_1.png", "frame_01.png", "frame_10.jpg", "Frame_2.png", "x.txt", ""]),
    ).map(lambda one: "/".join((*one[0], one[1]))),
    max_size=30,
)


@given(PATHS)
def test_every_file_comes_out_once(paths: list[str]) -> None:
    paths = sorted({path for path in paths if path}, key=order)
    strays: list[File] = []
    found = list(find(listing(*paths), stray=strays.append))
    out = [file.path for one in found for file in (*one.frames, *one.near)] + [file.path for file in strays]
    assert sorted(out, key=order) == [path for path in paths if not path.endswith("/")]
    assert len({one.key for one in found}) == len(found)
    assert all(list(one.numbers) == sorted(one.numbers) for one in found)


def test_a_long_listing_is_held_an_episode_at_a_time() -> None:
    passed = 0

    def files() -> Any:
        nonlocal passed
        for number in range(100_000):
            passed += 1
            yield File(f"g/e{number // 10:05}/frame_{number % 10}.png", 1)

    found = find(files())
    next(found)
    assert passed <= 11
    assert sum(1 for _ in found) == 9_999


# Rules


def also(path: str, data: bytes | None = None) -> Change:
    return lambda root: put(root, path, picture(99) if data is None else data)


def renamed(old: str, new: str) -> Change:
    return lambda root: (root / E1 / old).rename(root / E1 / new)


def empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    put(root, "photo.jpg", picture(1, format="JPEG"))


def one_frame(root: Path) -> None:
    empty(root)
    (root / "photo.jpg").rename(root / "frame_7.jpg")


def numbered(*numbers: int) -> Change:
    def change(root: Path) -> None:
        for path in (root / E1).iterdir():
            path.unlink()
        for number in numbers:
            put(root, f"{E1}/frame_{number}.png", picture(number))

    return change


def sized(*paths: str) -> Change:
    return lambda root: [put(root, path, picture(77 + at, (8, 8))) for at, path in enumerate(paths)]


ALL_OF_E1 = tuple(f"{E1}/frame_{number:03}.png" for number in (1, 2, 3))
#: Code, level, path, what is bad, what is near
CASES: list[tuple[str, str, str, Change, Change]] = [
    ("no-frames", "error", ".", empty, one_frame),
    (
        "episode-file-name",
        "error",
        f"{E1}/Frame_002.PNG",
        renamed("frame_002.png", "Frame_002.PNG"),
        renamed("frame_002.png", "frame_2.png"),
    ),
    ("episode-gap", "error", E1, numbered(1, 2, 4), numbered(10, 20, 30)),
    ("episode-gap", "error", E1, numbered(10, 20, 40), numbered(5, 6, 7)),
    ("episode-gap", "error", E1, numbered(0, 1, 2, 5, 6), numbered(3, 500, 1000)),
    (
        "episode-number-repeated",
        "error",
        f"{E1}/frame_1.png",
        also(f"{E1}/frame_1.png"),
        also("game1/episode3/frame_1.png"),
    ),
    ("episode-size", "error", E1, sized(ALL_OF_E1[1]), also(ALL_OF_E1[1], turned(5, SIZE[::-1]))),
    (
        "game-size",
        "note",
        "game1",
        sized(*ALL_OF_E1),
        sized(*ALL_OF_E1, *(path.replace("episode1", "episode2") for path in ALL_OF_E1)),
    ),
    ("unexpected-file", "warning", f"{E1}/cover.png", also(f"{E1}/cover.png"), also("LICENSE.txt", b"x")),
    ("hidden-file", "warning", f"{E1}/.DS_Store", also(f"{E1}/.DS_Store", b"x"), also(".gitattributes", b"x")),
    (
        "directory-link",
        "error",
        "game3",
        lambda root: (root / "game3").symlink_to("game1"),
        lambda root: (root / "game3").mkdir(),
    ),
]


@pytest.mark.parametrize(("code", "level", "path", "bad", "near"), CASES)
def test_bad_is_found_and_near_is_not(
    tmp_path: Path, code: str, level: str, path: str, bad: Change, near: Change
) -> None:
    bad(episodes(tmp_path / "bad"))
    found = [(one.code, one.level, one.path) for one in visprep.verify(tmp_path / "bad", as_="frames").findings]
    assert (code, level, path) in found
    assert len(found) == (2 if code == "no-frames" else 1)  # photo.jpg is unexpected, too
    near(episodes(tmp_path / "near"))
    others = [one.code for one in visprep.verify(tmp_path / "near", as_="frames").findings]
    assert others == (["image-rotated"] if code == "episode-size" else [])


def test_every_rule_has_its_case() -> None:
    assert {code for code, *_ in CASES} >= {rule.code for rule in RULES}


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("image-empty", b""),
        ("image-truncated", picture(5)[:-40]),
        ("image-not-image", b"<html>"),
        ("image-other-format", picture(5, format="JPEG")),
    ],
)
def test_a_damaged_frame_has_the_code_that_it_has_in_coco(tmp_path: Path, code: str, data: bytes) -> None:
    put(episodes(tmp_path), ALL_OF_E1[1], data)
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [(code, ALL_OF_E1[1])]


def test_each_gap_is_told_with_its_numbers(tmp_path: Path) -> None:
    numbered(0, 1, 2, 5, 6, 8, 9)(episodes(tmp_path))
    told = visprep.verify(tmp_path, depth="names").findings
    assert {one.where["id"]: (one.where["count"], one.message) for one in told} == {
        "3-4": (2, "frames 3 to 4 of 0 to 9 are not there"),
        "7": (1, "frame 7 of 0 to 9 is not there"),
    }


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [((1, 3), 1), ((1, 3, 5), 0), ((1, 5), 0), ((0, 4, 8, 16), 1), ((0, 4, 8, 13), 0), ((7,), 0), ((1, 2, 3, 90), 1)],
)
def test_a_gap_is_the_exception_among_the_steps(tmp_path: Path, numbers: tuple[int, ...], gaps: int) -> None:
    numbered(*numbers)(episodes(tmp_path))
    assert [one.code for one in visprep.verify(tmp_path, depth="names").findings] == ["episode-gap"] * gaps


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        (range(0, 3000, 30), []),
        ((*range(0, 3000, 30), 3001), ["3000"]),
        ((*range(0, 1500, 30), 1501, *range(1530, 3000, 30)), ["1500"]),
        ((*range(0, 1500, 30), *range(1590, 3000, 30), 3001), ["1500-1560", "3000"]),
        ((0, 30, 61, 93, 120, 155, 160, 195), []),
    ],
)
def test_frames_out_of_step_hide_no_gap(tmp_path: Path, numbers: Sequence[int], gaps: list[str]) -> None:
    numbered(*numbers)(episodes(tmp_path))
    assert sorted(one.where["id"] for one in visprep.verify(tmp_path, depth="names").findings) == gaps


def test_a_frame_that_is_nearly_named_leaves_no_gap(tmp_path: Path) -> None:
    renamed("frame_002.png", "frame-002.png")(episodes(tmp_path))
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["episode-file-name"]
