"""YOLO's labels and data files: what is written is read as the same, and whatever is read, nothing is raised."""

from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from visprep.errors import WrongContent
from visprep.formats import yolo, yolo_data
from visprep.formats.decimals import digits, number_in
from visprep.formats.yolo import Fault, Row, Wrong, label_of
from visprep.formats.yolo_data import YoloData

SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHARES = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.integers(0, 10**6)
BOXES = st.builds(Row, LABELS, st.tuples(SHARES, SHARES, SHARES, SHARES))


def points(least: int) -> st.SearchStrategy[tuple[float, ...]]:
    pairs = st.lists(st.tuples(SHARES, SHARES), min_size=least, max_size=9)
    return pairs.map(lambda found: tuple(number for pair in found for number in pair))


POLYGONS = st.builds(Row, LABELS, st.none(), points(3))


@SETTINGS
@given(st.lists(BOXES) | st.lists(POLYGONS))
def test_rows_survive_to_the_last_bit(rows: list[Row]) -> None:
    read = list(yolo.read(yolo.write(rows)))
    assert read == rows
    assert [row.line for row in read] == list(range(1, len(rows) + 1))


@SETTINGS
@given(st.integers(1, 20), st.sampled_from([2, 3]), st.data())
def test_keypoints_survive_to_the_last_bit(count: int, each: int, data: st.DataObject) -> None:
    numbers = st.lists(SHARES, min_size=count * each, max_size=count * each).map(tuple)
    row = data.draw(st.builds(Row, LABELS, st.tuples(SHARES, SHARES, SHARES, SHARES), st.just(()), numbers))
    assert list(yolo.read(yolo.write([row]), (count, each))) == [row]


@SETTINGS
@given(SHARES)
def test_a_number_is_written_in_the_fewest_digits_without_an_exponent(number: float) -> None:
    text = digits(number)
    assert float(text) == number
    assert math.copysign(1, float(text)) == math.copysign(1, number)
    assert "e" not in text
    assert "." not in text or not text.endswith("0")
    shortest = repr(number).partition("e")[0].replace(".", "").replace("-", "").strip("0")
    assert text.replace(".", "").replace("-", "").strip("0") == shortest


@SETTINGS
@given(st.binary(max_size=200) | st.text("0123456789 .-+eE\n\r\tnaif_\u0660\x0c\u2028", max_size=200).map(str.encode))
def test_whatever_a_label_holds_the_answer_is_rows_and_faults(data: bytes) -> None:
    for shape in (None, (1, 2), (2, 3)):
        for one in yolo.read(data, shape):
            assert one.line >= 1
            if isinstance(one, Row):
                assert all(map(math.isfinite, one.numbers))
                assert bool(one.box) != bool(one.polygon)
                assert len(one.keypoints) == (shape[0] * shape[1] if shape else 0)


@pytest.mark.parametrize("text", ["1_0", "\u0661", "nan", "inf", "1e999", "0x1", "", "1.2.3", "--1", "\uff11"])
def test_what_is_no_number(text: str) -> None:
    assert number_in(text) is None


SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))


def pixels_up_to(most: int) -> st.SearchStrategy[float]:
    """Pixels with up to nine decimals."""
    return st.builds(lambda whole, places: round(whole / 10**places, places), st.integers(0, most), st.integers(0, 9))


@SETTINGS
@given(SIZES, st.data())
def test_pixels_of_nine_decimals_survive_the_way_into_shares(size: tuple[int, int], data: st.DataObject) -> None:
    box = data.draw(st.tuples(*(pixels_up_to(size[side % 2]) for side in range(4))))
    assert yolo.pixels(yolo.shares(box, size), size) == box
    (read,) = yolo.read(yolo.write([Row(0, yolo.shares(box, size))]))
    assert isinstance(read, Row)
    assert read.box is not None
    assert yolo.pixels(read.box, size) == box
    polygon = data.draw(st.lists(st.tuples(pixels_up_to(size[0]), pixels_up_to(size[1])), min_size=3, max_size=5))
    flat = [number for pair in polygon for number in pair]
    shares = [number / size[at % 2] for at, number in enumerate(flat)]
    assert list(yolo.point_pixels(shares, size)) == flat


def test_one_polygon_makes_polygons_of_all_rows() -> None:
    first, second = yolo.read(b"0 0.1 0.1 0.2 0.1 0.2 0.2\n1 0.5 0.5 0.2 0.2\n")
    assert first == Row(0, polygon=(0.1, 0.1, 0.2, 0.1, 0.2, 0.2))
    assert isinstance(second, Fault)
    assert (second.line, second.wrong) == (2, Wrong.SHORT)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("images/train/a.jpg", "labels/train/a.txt"),
        ("train/images/a.b.jpg", "train/labels/a.b.txt"),
        ("images/images/a.jpg", "images/labels/a.txt"),
        ("my-images/a.jpg", "my-images/a.txt"),
        ("images.v2/a.jpg", "images.v2/a.txt"),
        ("a.jpg", "a.txt"),
        ("x.y/a", "x.y/a.txt"),
    ],
)
def test_a_label_is_looked_for_as_ultralytics_does(image: str, label: str) -> None:
    assert label_of(image) == label


# Data files

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1).filter(
    lambda text: text.strip() == text and "\ufeff" not in text and text.isprintable()
)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map(tuple)


@st.composite
def data_files(draw: st.DrawFn) -> YoloData:
    names = dict(enumerate(draw(st.lists(WORDS, min_size=1, max_size=8, unique=True))))
    keypoints = draw(st.none() | st.tuples(st.integers(1, 40), st.sampled_from([2, 3])))
    return YoloData(
        path=draw(st.none() | WORDS),
        parts={"train": draw(PATHS), "val": draw(PATHS)} | ({"test": draw(PATHS)} if draw(st.booleans()) else {}),
        names=names,
        count=len(names),
        keypoints=keypoints,
        flip=tuple(range(keypoints[0])) if keypoints and draw(st.booleans()) else (),
        others=draw(st.dictionaries(WORDS.map("x{}".format), WORDS | st.lists(WORDS), max_size=3)),
    )


@SETTINGS
@given(data_files())
def test_data_files_survive(data: YoloData) -> None:
    written = yolo_data.write(data, ["made for\na test"])
    read, faults = yolo_data.read(written)
    assert faults == []
    assert (read.path, read.parts, read.names, read.count) == (data.path, data.parts, data.names, data.count)
    assert (read.keypoints, read.flip, read.others) == (data.keypoints, data.flip, data.others)
    loaded = yaml.safe_load(written)
    assert loaded["names"] == data.names
    assert loaded["nc"] == data.count
    assert loaded["train"] == (list(data.parts["train"]) if len(data.parts["train"]) > 1 else data.parts["train"][0])


@SETTINGS
@given(st.binary(max_size=200) | st.text("abn:[]{}&*!-,'\"0123 \n#|>?%<@`", max_size=200).map(str.encode))
def test_whatever_a_data_file_holds_it_is_read_or_refused(data: bytes) -> None:
    yolo_data.looks_like_one(data)
    try:
        _, faults = yolo_data.read(data)
    except WrongContent:
        faults = []
    assert all(fault.line >= 1 for fault in faults)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: [1\n\n", "line 3: expected ',' or ']'"),
        (b"- a\n", "no mapping"),
        (b"", "no mapping"),
        (b"a: *b\n", "undefined alias"),
        (b"a: 1\nb: \xff\n", "line 2: byte 8 is not UTF-8"),
        (b"a: \x07\n", "unacceptable character"),
        (b"[" * 100_000, "nested too deeply"),
        (b"a: &a [x]\nb: *a\n", "line 1: what begins here is used again"),
        (b"a: &a [*a]\n", "used again"),
        (b"#" * 1_000_001, "1,000,001 bytes"),
    ],
)
def test_what_is_refused_is_told_with_its_line(data: bytes, words: str) -> None:
    with pytest.raises(WrongContent, match=words.replace("[", r"\[")):
        yolo_data.read(data)


def test_tags_make_nothing() -> None:
    read, _ = yolo_data.read(b"names: [a]\ntrain: x\nval: y\nz: !!python/object/apply:os.system [exit 1]\n")
    assert read.others == {"z": ["exit 1"]}


def test_laughs_are_refused_and_merge_keys_do_not_multiply() -> None:
    lines = ["a0: &a0 {k: x}"] + [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 20)]
    with pytest.raises(WrongContent, match="used again"):
        yolo_data.read("\n".join(lines).encode())


def test_scalars_may_be_used_again() -> None:
    read, _ = yolo_data.read(b"train: &t images\nval: *t\nnc: 2\n")
    assert read.parts == {"train": ("images",), "val": ("images",)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [a, b]", {0: "a", 1: "b"}),
        ("names: {1: b, 0: a}", {1: "b", 0: "a"}),
        ("names: {'0': a}", {0: "a"}),
        ("names:\n- a\n- 'no'\n", {0: "a", 1: "no"}),
        ("nc: 3", {}),
    ],
)
def test_names_are_a_list_or_a_mapping(text: str, names: dict[int, str]) -> None:
    read, faults = yolo_data.read(f"train: x\nval: y\n{text}\n".encode())
    assert (read.names, faults, read.count) == (names, [], len(names) or 3)


@pytest.mark.parametrize(
    ("line", "text", "kind", "key"),
    [
        (4, "nc: 2\npath: [a]", "form", "path"),
        (5, "nc: 2\npath: a\npath: b", "form", "path"),
        (4, "nc: 2\n? [a]\n: b", "form", ""),
        (4, "nc: 2\ntest: [[a]]", "form", "test"),
        (4, "nc: 2\nkpt_shape: [17, 4]", "form", "kpt_shape"),
        (4, "nc: 2\nflip_idx: [0, right]", "form", "flip_idx"),
        (3, "nc: 0", "form", "nc"),
        (3, "nc: many", "form", "nc"),
        (3, "names: {0: a, 0: b}", "index", "names"),
        (3, "names: ['']", "name", "names"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_key(line: int, text: str, kind: str, key: str) -> None:
    _, faults = yolo_data.read(f"train: x\nval: y\n{text}\n".encode())
    assert [(fault.line, fault.kind, fault.key) for fault in faults] == [(line, kind, key)]


def test_ten_thousand_names_are_read() -> None:
    names = {number: f"class {number}" for number in range(10_000)}
    data = YoloData(parts={"train": ("a",), "val": ("b",)}, names=names, count=len(names))
    assert yolo_data.read(yolo_data.write(data))[0].names == names


def test_classes_are_one_a_line() -> None:
    assert yolo_data.classes(b"\xef\xbb\xbfcat\r\nbig dog\n\n") == ["cat", "big dog"]
    with pytest.raises(WrongContent):
        yolo_data.classes(b"\xff")
