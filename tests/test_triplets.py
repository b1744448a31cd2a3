"""Triplets: how they are found in a listing, and the rules of them, each with its bad case and its near miss."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import visprep
from drawn import SIZE, picture, put, triplet, triplets, turned
from visprep.formats.triplets import DIFFICULTIES, find, is_member
from visprep.manifest import File, order
from visprep.rules.triplets import RULES

Change = Callable[[Path], Any]

FEMALE = "easy/female"
PERSON, CLOTH, TRY_ON = (
    f"{FEMALE}/{name}"
    for name in ("initial_image/001_person.png", "cloth_image/001_cloth_dress.png", "try_on_image/001_vton.png")
)


def listing(*paths: str) -> list[File]:
    return [File(path, 1) for path in sorted(paths, key=order)]


def member(directory: str, stem: str, suffix: str = "png") -> tuple[str, str, str]:
    return (
        f"{directory}/initial_image/{stem}_person.{suffix}",
        f"{directory}/cloth_image/{stem}_cloth_x.{suffix}",
        f"{directory}/try_on_image/{stem}_vton.{suffix}",
    )


# Finding


def test_a_stem_stands_for_another_triplet_in_each_directory() -> None:
    strays: list[File] = []
    found = list(
        find(
            listing(*member("a/easy/female", "001"), *member("a/easy/male", "001", "jpeg"), "a/easy/notes.txt"),
            stray=strays.append,
        )
    )
    assert [one.key for one in found] == ["a/easy/female/001", "a/easy/male/001"]
    assert [one.difficulty for one in found] == ["easy", "easy"]
    assert all(one.complete and not one.missing and not one.near for one in found)
    assert [one.path for one in found[1].files] == list(member("a/easy/male", "001", "jpeg"))
    assert found[1].person is found[1].persons[0]
    assert [one.path for one in strays] == ["a/easy/notes.txt"]


@pytest.mark.parametrize(
    ("directory", "place", "difficulty"),
    [
        ("hard/female", (), "hard"),
        ("easy/Hard/female", (), "hard"),
        ("female", ("data", "medium"), "medium"),
        ("female", ("medium", "data", "vton"), None),
        ("harder/female", (), None),
    ],
)
def test_the_difficulty_is_what_the_path_says_nearest(directory: str, place: tuple[str, ...], difficulty: Any) -> None:
    (found,) = find(listing(*member(directory, "1")), place)
    assert found.difficulty == difficulty
    assert difficulty in (*DIFFICULTIES, None)


def test_a_place_may_be_the_directory_of_the_three_folders() -> None:
    (found,) = find(listing(*(path.removeprefix("x/") for path in member("x", "7"))))
    assert (found.key, found.directory, found.stem, found.complete) == ("7", "", "7", True)


def test_a_stem_may_have_the_word_cloth_in_it() -> None:
    paths = ("d/initial_image/a_cloth_b_person.png", "d/cloth_image/a_cloth_b_cloth_c.png", "d/try_on_image/x_vton.png")
    first, second = find(listing(*paths, "d/cloth_image/x_cloth_a_cloth_b.png"))
    assert (first.stem, [one.path for one in first.files]) == ("a_cloth_b", list(paths[:2]))
    assert (second.stem, [one.path for one in second.cloths]) == ("x", ["d/cloth_image/x_cloth_a_cloth_b.png"])


def test_of_several_stems_that_a_cloth_may_have_the_longest_that_is_known_is_its_own() -> None:
    persons = [f"d/initial_image/{stem}_person.png" for stem in ("a", "a_cloth_b")]
    cloth = "d/cloth_image/a_cloth_b_cloth_c.png"
    cloths = {one.stem: [file.path for file in one.cloths] for one in find(listing(*persons, cloth))}
    assert cloths == {"a": [], "a_cloth_b": [cloth]}


@pytest.mark.parametrize(
    ("name", "known", "stem"),
    [("_cloth_cloth_x.png", (), "_cloth"), ("a_cloth_cloth_x.png", (), "a"), ("_cloth_b_cloth_x.png", (), "_cloth_b"),
     ("a_cloth_cloth_x.png", ("a_cloth",), "a_cloth"), ("a_cloth__cloth_x.png", ("a_cloth_",), "a_cloth_")],
)  # fmt: skip
def test_every_name_of_a_cloth_has_a_stem(name: str, known: tuple[str, ...], stem: str) -> None:
    paths = [f"d/initial_image/{one}_person.png" for one in known]
    (found,) = find(listing(f"d/cloth_image/{name}", *paths))
    assert (found.stem, len(found.cloths)) == (stem, 1)


@pytest.mark.parametrize("word", ["a_cloth_", "a_person_"])
@pytest.mark.parametrize("suffix", [".png", ".txt", ".webp"])
def test_a_name_that_no_disk_takes_is_a_stray(word: str, suffix: str) -> None:
    """Regular expressions would take minutes for it: archives may have names of 64 KB."""
    strays: list[File] = []
    paths = [f"{folder}/{word * 8000}{suffix}" for folder in ("cloth_image", "initial_image")]
    assert list(find(listing(*paths), stray=strays.append)) == []
    assert [file.path for file in strays] == paths
    assert not any(map(is_member, paths))


def test_a_name_as_long_as_a_disk_takes_is_a_member() -> None:
    name = "é" * 240 + "_cloth_d.png"  # 252 characters
    (found,) = find(listing(f"cloth_image/{name}"))
    assert found.stem == "é" * 240


def test_the_missing_files_are_named() -> None:
    (found,) = find(listing("d/initial_image/1_person.jpg"))
    assert found.missing == ("d/cloth_image/1_cloth_*.jpg", "d/try_on_image/1_vton.jpg")
    assert (found.cloth, found.try_on) == (None, None)


def test_what_is_hidden_or_elsewhere_is_none() -> None:
    strays: list[File] = []
    paths = ("__MACOSX/d/initial_image/1_person.png", "d/initial_image/._1_person.png", "d/photos/1_person.png")
    assert list(find(listing(*paths, "1_vton.png"), stray=strays.append)) == []
    assert {one.path for one in strays} == {*paths, "1_vton.png"}
    assert not any(map(is_member, paths))


NAMES = st.sampled_from(["easy", "male", "initial_image", "cloth_image", "try_on_image", "a", "initial_image-2"])
FILES = st.sampled_from(["1_person.png", "1_cloth_a.png", "1_vton.png", "2_person.jpg", "x.txt", "1_VTON.png", ""])
PATHS = st.lists(
    st.tuples(st.lists(NAMES, max_size=4), FILES).map(lambda one: "/".join((*one[0], one[1]))), max_size=30
)


@given(PATHS)
def test_every_file_comes_out_once(paths: list[str]) -> None:
    paths = sorted({path for path in paths if path}, key=order)
    strays: list[File] = []
    found = list(find(listing(*paths), stray=strays.append))
    out = [file.path for one in found for file in (*one.files, *one.near)] + [file.path for file in strays]
    assert sorted(out, key=order) == [path for path in paths if not path.endswith("/")]
    assert len({one.key for one in found}) == len(found)


@given(PATHS)
def test_directories_do_not_see_each_other(paths: list[str]) -> None:
    """What is found below a directory is what would be found if there were nothing else."""
    files = listing(*{path for path in paths if path})
    inside = [file for file in files if file.path.startswith("easy/")]
    below = [one for one in find(files) if one.directory == "easy" or one.directory.startswith("easy/")]
    assert below == [one for one in find(inside) if one.directory]


def test_a_long_listing_is_held_a_directory_at_a_time() -> None:
    passed = 0

    def files() -> Any:
        nonlocal passed
        for number in range(1000):
            for file in listing(*member(f"d{number:04}", "1")):
                passed += 1
                yield file

    found = find(files())
    next(found)
    assert passed <= 4
    assert sum(1 for _ in found) == 999


# Rules


def rename(old: str, new: str) -> Change:
    def change(root: Path) -> None:
        put(root, new, (root / old).read_bytes())
        (root / old).unlink()

    return change


def also(path: str, data: bytes | None = None) -> Change:
    return lambda root: put(root, path, picture(99) if data is None else data)


def as_jpeg(root: Path) -> None:
    (root / PERSON).unlink()
    put(root, PERSON.replace(".png", ".jpeg"), picture(9, format="JPEG"))


def gone(*paths: str) -> Change:
    return lambda root: [(root / path).unlink() for path in paths]


def empty(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    put(root, "photo.jpg", picture(1, format="JPEG"))


def one_triplet(root: Path) -> None:
    empty(root)
    (root / "photo.jpg").unlink()
    triplet(root, FEMALE, "001", 1)


def of_size(**sizes: tuple[int, int]) -> Change:
    return lambda root: triplet(root, FEMALE, "001", 50, **sizes)


#: Code, level, path, what is bad, what is near
CASES: list[tuple[str, str, str, Change, Change]] = [
    ("no-triplets", "error", ".", empty, one_triplet),
    ("triplet-ambiguous", "error", CLOTH, also(f"{FEMALE}/cloth_image/001_cloth_shirt.png"), also("README.md", b"x")),
    (
        "triplet-ambiguous",
        "error",
        f"{FEMALE}/initial_image/001_person.jpg",
        also(f"{FEMALE}/initial_image/001_person.jpg", picture(9, format="JPEG")),
        also("LICENSE", b"x"),
    ),
    (
        "triplet-cloth-size",
        "warning",
        CLOTH,
        of_size(cloth=(16, 16)),
        of_size(person=(16, 16), cloth=(16, 16), vton=(16, 16)),
    ),
    ("triplet-incomplete", "error", TRY_ON, gone(TRY_ON), as_jpeg),
    (
        "triplet-incomplete",
        "error",
        TRY_ON,
        rename(TRY_ON, f"{FEMALE}/try_on_image/001_VTON.png"),
        gone(PERSON, CLOTH, TRY_ON),
    ),
    ("triplet-size", "error", TRY_ON, of_size(vton=(12, 8)), of_size(person=(8, 8), cloth=(8, 8), vton=(8, 8))),
    ("unexpected-file", "warning", f"{FEMALE}/notes.txt", also(f"{FEMALE}/notes.txt", b"x"), also("readme.txt", b"x")),
    ("hidden-file", "warning", ".DS_Store", also(".DS_Store", b"x"), also(".gitignore", b"x")),
    (
        "directory-link",
        "error",
        "link",
        lambda root: (root / "link").symlink_to("easy"),
        lambda root: (root / "empty").mkdir(),
    ),
]
DAMAGES: list[tuple[str, bytes]] = [
    ("image-empty", b""),
    ("image-truncated", picture(5)[:-40]),
    ("image-not-image", b"<html>"),
    ("image-other-format", picture(5, format="JPEG")),
]


@pytest.mark.parametrize(("code", "level", "path", "bad", "near"), CASES)
def test_bad_is_found_and_near_is_not(
    tmp_path: Path, code: str, level: str, path: str, bad: Change, near: Change
) -> None:
    bad(triplets(tmp_path / "bad"))
    found = [(one.code, one.level, one.path) for one in visprep.verify(tmp_path / "bad", as_="vton").findings]
    assert (code, level, path) in found
    assert len(found) == (2 if code == "no-triplets" else 1)  # photo.jpg is unexpected, too
    near(triplets(tmp_path / "near"))
    assert visprep.verify(tmp_path / "near", as_="vton").findings == ()


def test_every_rule_has_its_case() -> None:
    assert {code for code, *_ in CASES} >= {rule.code for rule in RULES}


@pytest.mark.parametrize(("code", "data"), DAMAGES)
@pytest.mark.parametrize("path", [PERSON, CLOTH, TRY_ON])
def test_a_damaged_picture_has_the_code_that_it_has_in_coco(tmp_path: Path, path: str, code: str, data: bytes) -> None:
    put(triplets(tmp_path), path, data)
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [(code, path)]


NEAR_NAMES = [
    "try_on_image/001_VTON.png",
    "try_on_image/001_vton.PNG",
    "try_on_image/001_vton.webp",
    "try_on_image/001_vton_2.png",
    "initial_image/001_vton.png",
    "cloth_image/001_vton.png",
    "Try_On_Image/001_vton.png",
    "001_vton.png",
]


@pytest.mark.parametrize("name", NEAR_NAMES)
def test_the_finding_names_what_may_be_meant(tmp_path: Path, name: str) -> None:
    triplets(tmp_path)
    (tmp_path / TRY_ON).unlink()
    put(tmp_path, f"{FEMALE}/{name}", picture(5, format="WEBP" if name.endswith("webp") else "PNG", lossless=True))
    (found,) = visprep.verify(tmp_path).findings
    assert (found.code, found.path, found.where) == (
        "triplet-incomplete",
        TRY_ON,
        {"triplet": f"{FEMALE}/001", "instead": f"{FEMALE}/{name}"},
    )
    assert f"{FEMALE}/{name} is there instead" in found.message


def test_a_cloth_needs_a_word_after_its_stem(tmp_path: Path) -> None:
    rename(CLOTH, f"{FEMALE}/cloth_image/001_cloth.png")(triplets(tmp_path))
    (found,) = visprep.verify(tmp_path).findings
    assert (found.code, found.path) == ("triplet-incomplete", f"{FEMALE}/cloth_image/001_cloth_*.png")
    assert found.where["instead"] == f"{FEMALE}/cloth_image/001_cloth.png"


def test_what_is_named_like_a_picture_and_stands_for_none_is_unexpected(tmp_path: Path) -> None:
    put(triplets(tmp_path), f"{FEMALE}/try_on_image/001_vton.PNG", picture(5))
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [
        ("unexpected-file", f"{FEMALE}/try_on_image/001_vton.PNG")
    ]


def test_sizes_are_those_that_are_shown(tmp_path: Path) -> None:
    put(triplets(tmp_path), PERSON, turned(5, SIZE[::-1]))
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [("image-rotated", PERSON)]


def test_every_subset_of_three_pictures_is_told(tmp_path: Path) -> None:
    for number, kept in enumerate(itertools.chain(*(itertools.combinations(range(3), n) for n in (1, 2)))):
        place = triplets(tmp_path / str(number))
        paths = (PERSON, CLOTH, TRY_ON)
        gone(*(path for at, path in enumerate(paths) if at not in kept))(place)
        missing = {path.replace("dress", "*") for at, path in enumerate(paths) if at not in kept}
        found = visprep.verify(place, depth="names").findings
        assert {(one.code, one.path) for one in found} == {("triplet-incomplete", path) for path in missing}
