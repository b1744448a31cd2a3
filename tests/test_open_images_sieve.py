"""Rows of Open Images' tables found by their bytes: the same as by reading every row, and what is wrong is told."""

import csv
import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprep.errors import WrongContent
from visprep.formats.open_images_blocks import Buffers, CsvFile
from visprep.formats.open_images_csv import Wanted, image_name, image_number, open_table, read
from visprep.formats.open_images_sieve import sieve
from visprep.formats.open_images_tables import BOXES, RELATIONSHIPS

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,Note"
#: Those that begin alike, one that begins another, and some shorter than what is compared at once.
MIDS = ["/m/0", "/m/01", "/m/01yrx", "/m/01yrxa", "/m/01yrxab", "/m/0k4j", "/m/0k4jx", "/g/11c52p", "/t/ü"]
IMAGES = [image_name(number) for number in (0, 1, 2**63, 2**64 - 1, 7**20, 11**17)]


def row(image=IMAGES[1], mid=MIDS[2], number=".1", note=""):
    return f"{image},xclick,{mid},1,{number},.2,.3,.4,{note}"


def written(path, lines, end="\n", last=True):
    path.write_bytes((end.join([HEADER, *lines]) + end * last).encode())
    return open_table(path, BOXES)


def kept(file, wanted, block, columns=None):
    batches = list(read(file, BOXES, wanted, columns, block))
    for batch in batches:
        assert len(batch) == batch.columns.num_rows
    return b"".join(batch.raw() for batch in batches), [int(one) for batch in batches for one in batch.images]


@given(
    rows=st.lists(
        st.builds(
            row,
            st.sampled_from(IMAGES),
            st.sampled_from(MIDS),
            note=st.sampled_from(["", "x", "/m/01yrx", "a/m/0k4j", '"/m/01yrx, or"', '"two\nlines"', "é"]),
        ),
        max_size=60,
    ),
    classes=st.none() | st.sets(st.sampled_from([*MIDS, "/m/none", "odd"])),
    images=st.none() | st.sets(st.sampled_from(IMAGES)),
    block=st.sampled_from([60, 200, 1 << 16]),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_the_same_rows_are_found_as_by_reading_all(tmp_path_factory, rows, classes, images, block, end, last):
    file = written(tmp_path_factory.mktemp("table") / "boxes.csv", rows, end, last or not rows)
    expected = [
        one for one in rows
        if (classes is None or one.split(",")[2] in classes) and (images is None or one.split(",")[0] in images)
    ]  # fmt: skip
    numbers = None if images is None else np.array(sorted(map(image_number, images)), np.uint64)
    raw, found = kept(file, Wanted(classes=classes, images=numbers), block)
    assert list(csv.reader(io.StringIO(raw.decode(), newline=""))) == [
        fields for one in expected for fields in csv.reader(io.StringIO(one, newline=""))
    ]
    assert found == [image_number(one[:16]) for one in expected]


@pytest.mark.parametrize("count", [1, 12, 13, 300])
def test_many_classes_are_found_as_few_are(tmp_path, count):
    dice = random.Random(count)
    mids = [f"/m/0{dice.randrange(36**5):05}" for _ in range(600)]
    rows = [row(IMAGES[at % 6], dice.choice(mids)) for at in range(3000)]
    asked = set(mids[:count])
    raw, _ = kept(written(tmp_path / "boxes.csv", rows), Wanted(classes=asked), 10_000)
    assert raw.decode().splitlines() == [one for one in rows if one.split(",")[2] in asked]


def test_a_buffer_is_used_again_and_batches_stay_as_they_are(tmp_path):
    rows = [row(image_name(number), MIDS[number % 9], f".{number}") for number in range(1, 5000)]
    file = written(tmp_path / "boxes.csv", rows)
    batches = list(read(file, BOXES, Wanted(classes=MIDS[:5]), None, 4096))
    expected = [one for one in rows if one.split(",")[2] in MIDS[:5]]
    assert b"".join(batch.raw() for batch in batches).decode().splitlines() == expected
    assert [float(one) for batch in batches for one in batch.numbers("XMin")] == [
        float(one.split(",")[4]) for one in expected
    ]
    buffers, seen = Buffers(), set()
    for piece in file.pieces(buffers, 4096):
        seen.add(id(piece.buffer))
        buffers.give(piece)
    assert len(seen) == 1


PLACES = [0, 3, 150, 299]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("block", [100, 1000, 1 << 20])
def test_a_bad_row_that_is_asked_for_is_named_by_its_line(tmp_path, place, block):
    rows = [row(IMAGES[3], MIDS[2] if number % 7 == 0 else MIDS[5]) for number in range(300)]
    rows[place] = row(IMAGES[2], MIDS[2], "wide")
    file = written(tmp_path / "boxes.csv", rows)
    for wanted in (Wanted(classes=[MIDS[2]]), Wanted(images=np.array([2**63], np.uint64)), Wanted()):
        with pytest.raises(WrongContent) as told:
            kept(file, wanted, block)
        assert str(told.value).startswith(f"boxes.csv, line {place + 2}: XMin is 'wide', not a number")
    others = Wanted(classes=[MIDS[5]])
    assert kept(file, others, block)[0].count(b"\n") == sum(MIDS[5] in one for one in rows)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (row(mid="/m/none") + ",more", "it has 10 fields, and the header names 9 columns"),
        (row(mid="/m/none")[:31], "it has 3 fields, and the header names 9 columns"),
        ("<html>", "it has 1 fields, and the header names 9 columns"),
    ],
)
def test_a_row_of_another_length_is_named_though_nobody_asked_for_it(tmp_path, place, bad, said):
    rows = [row(IMAGES[3], MIDS[number % 9]) for number in range(300)]
    rows[place] = bad
    file = written(tmp_path / "boxes.csv", rows)
    for wanted in (Wanted(classes=[MIDS[5]]), Wanted(images=np.array([2**63], np.uint64))):
        for block in (100, 1 << 20):
            with pytest.raises(WrongContent) as told:
                kept(file, wanted, block)
            assert str(told.value).startswith(f"boxes.csv, line {place + 2}: {said}")


@pytest.mark.parametrize("bad", ["8000000000000000".upper() + "A", "800000000000000A", "80000000000000", ""])
def test_an_id_that_is_none_is_named_when_images_are_asked_for(tmp_path, bad):
    rows = [row(IMAGES[3]) for _ in range(99)]
    rows[50] = row(bad)
    file = written(tmp_path / "boxes.csv", rows)
    for last in (True, False):
        with pytest.raises(WrongContent, match=r"boxes.csv, line 52: ImageID is '.*', not the id of an image"):
            kept(file, Wanted(images=np.array([2**63], np.uint64)), 1 << 20)
        file = written(tmp_path / "boxes.csv", rows[:51], last=not last)


def test_what_is_not_plain_is_left_to_the_reader(tmp_path):
    plain = [row()] * 5
    wish = sieve(HEADER.split(","), BOXES, [MIDS[2]], None)

    def sieved(lines, end="\n"):
        (piece,) = written(tmp_path / "boxes.csv", lines, end).pieces(Buffers())
        return wish.rows(piece)

    assert sieved(plain).count == 5
    assert sieved([row(mid="/m/none")] * 5).data == b""
    assert sieved([*plain, "", row()]) is None
    assert sieved([*plain, "", row()], "\r\n") is None
    assert sieved([*plain, row(note='"x"')]) is None
    assert sieved([*plain, row() + ","]) is None
    assert sieved([*plain, "a\r" + row()]) is not None


def test_where_there_is_nothing_to_look_for_there_is_no_sieve():
    columns = list(BOXES.columns)
    images = np.array([1], np.uint64)
    assert sieve(columns, BOXES, None, None) is None
    assert sieve(columns, BOXES, ["Cat"], None) is None  # no MID
    assert sieve(columns[::-1], BOXES, None, images) is None  # the id does not stand first
    assert sieve(columns, BOXES, None, images) is not None
    assert sieve(columns[::-1], BOXES, ["/m/a"], images) is not None


def test_rows_of_two_classes_are_found_by_either(tmp_path):
    path = tmp_path / "relationships.csv"
    corners = ",".join([".1"] * 8)
    rows = [f"{IMAGES[1]},{first},{second},{corners},at" for first in MIDS for second in MIDS]
    path.write_text("\n".join([",".join(RELATIONSHIPS.columns), *rows, ""]))
    file = CsvFile(path)
    found = b"".join(batch.raw() for batch in read(file, RELATIONSHIPS, Wanted(classes=["/m/01yrx"])))
    assert found.decode().splitlines() == [one for one in rows if "/m/01yrx" in one.split(",")[1:3]]
