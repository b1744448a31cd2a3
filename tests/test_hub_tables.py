"""Which files of a hub repository are whose: compared with what the `datasets` library makes of the same files."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from datasets.data_files import get_data_patterns, resolve_pattern, sanitize_patterns

from visprep.errors import SourceError
from visprep.sources.hub_tables import Names, bytes_of, configs_of, conventional, converted, text_of
from visprep.sources.patterns import matches, matching


def laid_out(root: Path, paths: Iterable[str]) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def found_by_the_library(root: Path, pattern: str) -> list[str]:
    try:
        found = resolve_pattern(pattern, str(root))
    except FileNotFoundError:
        return []
    return sorted(Path(path).relative_to(root).as_posix() for path in found)


def splits_by_the_library(root: Path) -> dict[str, list[str]]:
    splits = {}
    for split, patterns in sanitize_patterns(get_data_patterns(str(root))).items():
        splits[str(split)] = sorted({path for pattern in patterns for path in found_by_the_library(root, pattern)})
    return splits


TREES = [
    ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001-abc.parquet"],
    ["data/zebra-00000-of-00001.parquet", "data/apple-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"],
    ["data/v1.2-00000-of-00001.parquet", "train.parquet"],
    ["train.parquet", "test.parquet"],
    ["my_train_file.parquet", "my-dev.parquet", "contest.parquet"],
    ["train/a.parquet", "test/b.parquet", "other.parquet"],
    ["deep/train-full/x/a.parquet", "deep/eval/b.parquet"],
    ["train1/a.parquet", "2test/b.parquet", "training/c.parquet", "pretrain/d.parquet"],
    ["testing.parquet", "evaluation_v2.parquet", "valid 1.parquet", "latest.parquet"],
    ["a.parquet", "b/c.parquet"],
    ["train/test/a.parquet"],
    [".hidden/train.parquet", "__pycache__/test.parquet", "plain.parquet", ".dot.parquet"],
    ["train.parquet/a.parquet", "x_test_1.parquet"],
]


@pytest.mark.parametrize("paths", TREES, ids=[" ".join(paths) for paths in TREES])
def test_conventions(tmp_path: Path, paths: list[str]) -> None:
    assert conventional(paths) == splits_by_the_library(laid_out(tmp_path, paths))
    assert list(conventional(paths)) == list(splits_by_the_library(tmp_path))


def test_conventions_of_any_tree(tmp_path: Path) -> None:
    rng = random.Random(3)
    words = ["train", "test", "val", "dev", "eval", "data", "x", "trainer", "validation", "en", ".git", "__x"]
    for number in range(40):
        paths = set()
        for _ in range(rng.randint(1, 5)):
            parts = [
                rng.choice(words) + rng.choice(["", "-1", "_a", " b", "2", ".c", "z"])
                for _ in range(rng.choice((1, 1, 2, 2, 3)))
            ]
            paths.add("/".join(parts) + ".parquet")
        ours = conventional(paths)
        try:
            theirs = splits_by_the_library(laid_out(tmp_path / str(number), paths))
        except FileNotFoundError:
            theirs = {}
        assert ours == theirs, sorted(paths)


def test_conventions_below_a_folder() -> None:
    paths = ["sub/train/a.parquet", "sub/test.parquet", "train.parquet", "subway/test.parquet"]
    assert conventional(paths, "sub") == {"train": ["sub/train/a.parquet"]}
    assert conventional(["README.md", "a.csv"]) == {}


PATHS = (
    "a.parquet",
    "data/a.parquet",
    "data/b-1.parquet",
    "data/b-10.parquet",
    "data/deep/c.parquet",
    "data/[x].parquet",
    ".hidden/a.parquet",
    "data/.b.parquet",
    "__cache__/d.parquet",
)


@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "**",
        "**/*",
        "*.parquet",
        "data/*",
        "data/**",
        "data/**/*.parquet",
        "**/c.parquet",
        "data/b-?.parquet",
        "data/b-[0-9].parquet",
        "data/b-[0-9]*.parquet",
        "data/b-[!2-9].parquet",
        "data/[[]x].parquet",
        "[a-c].parquet",
        ".hidden/*",
        "__*/*",
        "data/.*",
        "*/a.parquet",
        "nothing*",
    ],
)
def test_patterns(tmp_path: Path, pattern: str) -> None:
    root = laid_out(tmp_path, PATHS)
    assert sorted(path for path in PATHS if matches(path, pattern)) == found_by_the_library(root, pattern)


def test_a_pattern_means_tables_only_and_a_name_means_itself() -> None:
    assert matches("data.csv", "data.csv")
    assert not matches("data.csv", "*")
    assert not matches("data.csv", "data-csv")
    assert matches("a+b.parquet", "a+b.parquet")


@pytest.mark.parametrize("pattern", ["data/b-[1].parquet", "**/**/a.parquet", "*[!a]*/*", "[d]*/*"])
def test_more_patterns(tmp_path: Path, pattern: str) -> None:
    root = laid_out(tmp_path, PATHS)
    assert matching(PATHS, pattern) == [path for path in PATHS if path in found_by_the_library(root, pattern)]


@pytest.mark.parametrize("pattern", ["[z-a].parquet", "[!z-a]x.parquet", "[a", "[]", "[!]", "a[]-[].parquet"])
def test_patterns_with_classes_of_nothing(pattern: str) -> None:
    assert not matches("a.parquet", pattern)


@pytest.mark.parametrize("pattern", ["**/" * 30 + "b.parquet", "a*" * 40 + "b.parquet", "**a" * 40 + "*b.parquet"])
def test_no_pattern_takes_for_ever(pattern: str) -> None:
    assert not matches("a/" * 100 + "a" * 100 + ".parquet", pattern)


def test_a_pattern_of_nothing_but_wildcards() -> None:
    with pytest.raises(SourceError, match="pattern of 100 wildcards"):
        matches("a.parquet", "*?" * 50)


@pytest.mark.parametrize(
    ("data_files", "wanted"),
    [
        (None, []),
        ("a.parquet", [(None, "f/a.parquet")]),
        (["./a", "b*"], [(None, "f/a"), (None, "f/b*")]),
        ([{"split": "x", "path": "a"}, {"split": 1, "path": ["b", "c"]}], [("x", "f/a"), ("1", "f/b"), ("1", "f/c")]),
        ({"x": "a", "y": ["b"]}, [("x", "f/a"), ("y", "f/b")]),
    ],
)
def test_a_card(data_files: Any, wanted: list[tuple[str | None, str]]) -> None:
    card = {"configs": [{"config_name": "one", "data_dir": "./f/", "data_files": data_files}, "nonsense", {}]}
    (config,) = configs_of(card)
    assert (config.name, config.folder, config.default) == ("one", "f", False)
    assert list(config.patterns("org/name")) == wanted


def test_a_card_that_makes_no_sense() -> None:
    assert configs_of({}) == configs_of({"configs": "x"}) == []
    (config,) = configs_of({"configs": [{"config_name": "one", "data_files": 7}]})
    with pytest.raises(SourceError, match="the card of org/name lists 7 as a data file"):
        list(config.patterns("org/name"))


def test_a_card_that_names_itself_or_has_no_end() -> None:
    itself: list[Any] = []
    itself.append(itself)
    many: Any = ["x"] * 50
    for _ in range(5):
        many = [many] * 50  # 50 lists in memory, and 50 ** 6 paths
    for data_files in (itself, {"path": itself}, many):
        (config,) = configs_of({"configs": [{"config_name": "one", "data_files": data_files}]})
        with pytest.raises(SourceError, match=r"without an end|too many data files"):
            list(config.patterns("org/name"))
    assert configs_of({"configs": [{"config_name": many}]}) == []


def test_the_hubs_own_copy_is_known_by_every_path_of_it() -> None:
    paths = ["b/train/0001.parquet", "b/train/0000.parquet", "a/x/0000.parquet", ".gitattributes"]
    assert converted(paths) == {"a": {"x": [paths[2]]}, "b": {"train": [paths[1], paths[0]]}}
    for other in ("train.parquet", "a/x/y/0000.parquet", "a/x/data.parquet"):
        assert converted([*paths, other]) == {}


@pytest.mark.parametrize(
    ("cell", "data"),
    [
        (b"x", b"x"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"x"), b"x"),
        ({"bytes": b"x", "path": "a"}, b"x"),
        (base64.b64encode(b"xyz").decode(), b"xyz"),
        ("data:image/png;base64,eHl6", b"xyz"),
        ("eH\nl6 ", b"xyz"),
        (None, None),
        (b"", None),
        ("", None),
        ("not base64!", None),
        ("eHl", None),
        ("\u00fc", None),
        ({"bytes": None, "path": "a"}, None),
        ({"path": "a"}, None),
        (7, None),
        ([b"x"], None),
    ],
)
def test_bytes_in_cells(cell: Any, data: bytes | None) -> None:
    assert bytes_of(cell) == data


def test_text_in_cells() -> None:
    assert [text_of(cell) for cell in (None, "", " a ", 7, 0)] == ["", "", "a", "7", "0"]


def test_names() -> None:
    names = Names("lead_")
    assert names.take("d", "x", 0) == ("d", "lead_x")
    assert names.take("d", "x", 1) == ("d", "lead_x-row00001")
    assert names.take("e", "x", 2) == ("e", "lead_x")
    assert names.take("d", "", 3) == ("d", "lead_row00003")
    assert names.take("d", "x-row00001", 4) == ("d", "lead_x-row00001-row00004")
    # The third of a name whose second name is taken already
    assert names.take("f", "y-row00007", 5) == ("f", "lead_y-row00007")
    assert names.take("f", "y", 6) == ("f", "lead_y")
    assert names.take("f", "y", 7) == ("f", "lead_y-row00007-row00007")


def test_names_that_differ_only_in_case_are_two_on_every_disk() -> None:
    names = Names("lead_")
    assert names.take("d", "abc", 0) == ("d", "lead_abc")
    assert names.take("d", "ABC", 1) == ("d", "lead_ABC-row00001")
    assert names.take("D", "abc", 2) == ("D", "lead_abc-row00002")
    assert names.take("e", "ABC", 3) == ("e", "lead_ABC")
