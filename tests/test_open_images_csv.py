"""Open Images' CSV files: every version is read by its header, in blocks cut anywhere, and what is wrong is named."""

import csv
import io
import random
import subprocess
import sys

import numpy as np
import pytest

from visprep.errors import FileMissing, MissingExtra, UnknownName, UsageError, WrongContent
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import class_names, hierarchy
from visprep.formats.open_images_csv import Wanted, image_name, image_number, open_table, read
from visprep.formats.open_images_tables import BOXES, FLAGS, IMAGE_LABELS, IMAGES, KINDS, MASKS, POINTS, RELATIONSHIPS
from visprep.lists import split_images_in

V5 = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
V6_TRAIN = V5 + "".join(f",XClick{number}{axis}" for axis in "XY" for number in range(1, 5))
ROW = "0001eeaf4aed83f9,xclick,/m/0cmf2,1,0.022673031,0.9642005,0.07103825,0.80054647,0,-1,1,0,0"
CLICKED = "000002b66c9c498e,activemil,/m/01g317,1,0.0125,0.195312,0.148438,0.5875,0,1,0,0,0" + ",-1" * 8
IMAGE_COLUMNS = [*IMAGES.columns, *IMAGES.optional]


def table(tmp_path, *lines, end="\n", name="boxes.csv"):
    path = tmp_path / name
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


def rows(path, kind, wanted=None, **options):
    """All rows that are read, as dictionaries, and the bytes that upstream wrote of them."""
    file = open_table(path, kind)
    found, raw = [], b""
    for batch in read(file, kind, wanted, **options):
        assert len(batch) == batch.columns.num_rows > 0
        found += batch.columns.to_pylist()
        raw += batch.raw()
    return found, raw


def ids(*names):
    return np.array(sorted(map(image_number, names)), np.uint64)


@pytest.mark.parametrize("name", ["0001EEAF4AED83F9", "0001eeaf4aed83f", "0001eeaf4aed83f99", "", "not a number...."])
def test_what_is_no_id_is_no_number(name):
    with pytest.raises(ValueError, match="is no id of an image"):
        image_number(name)


def test_boxes_of_validation_are_read_by_their_header(tmp_path):
    ((row,), raw) = rows(table(tmp_path, V5, ROW), BOXES)
    assert row["ImageID"] == b"0001eeaf4aed83f9"
    assert (row["XMin"], row["XMax"], row["YMin"], row["YMax"]) == (0.022673031, 0.9642005, 0.07103825, 0.80054647)
    assert [row[flag] for flag in FLAGS] == [0, -1, 1, 0, 0]
    assert raw.decode() == ROW + "\n"


def test_boxes_of_train_have_clicks_too(tmp_path):
    ((row,), raw) = rows(table(tmp_path, V6_TRAIN, CLICKED), BOXES)
    assert row["XClick4Y"] == -1
    assert row["LabelName"] == "/m/01g317"
    assert raw.decode() == CLICKED + "\n"


def test_columns_may_stand_anywhere_and_unknown_ones_are_passed_by(tmp_path):
    path = table(tmp_path, "New,YMax,YMin,XMax,XMin,LabelName,ImageID", "x,.4,.3,.2,.1,/m/a,0001eeaf4aed83f9")
    ((row,), _) = rows(path, BOXES)
    assert row == {
        "ImageID": b"0001eeaf4aed83f9", "LabelName": "/m/a", "XMin": 0.1, "XMax": 0.2, "YMin": 0.3, "YMax": 0.4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (MASKS, "0_m0_b.png,0001eeaf4aed83f9,/m/0b,b,0.1,0.2,0.3,0.4,0.5,0.1 0.2 1;0.3 0.4 0"),
        (RELATIONSHIPS, "0001eeaf4aed83f9,/m/0a,/m/0b,.1,.2,.3,.4,.1,.2,.3,.4,at"),
        (IMAGE_LABELS, "0001eeaf4aed83f9,/m/0a,1,verification"),
        (POINTS, "0001eeaf4aed83f9,.1,.2,/m/0a,yes,ih,3,0,0,"),
    ],
)
def test_every_kind_of_label_is_read(tmp_path, kind, line):
    (found, raw) = rows(table(tmp_path, ",".join([*kind.columns, *kind.optional]), line), kind)
    assert len(found) == 1
    assert found[0][kind.image] == b"0001eeaf4aed83f9"
    assert raw.decode() == line + "\n"
    mids = {found[0][name] for name in kind.classes}
    assert len(rows(tmp_path / "boxes.csv", kind, Wanted(classes=[max(mids)]))[0]) == 1
    assert rows(tmp_path / "boxes.csv", kind, Wanted(classes=["/m/none"])) == ([], b"")


def written(records):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(records)
    return out.getvalue().encode()


def image(number, **values):
    told = {
        "ImageID": image_name(number), "Subset": "train", "OriginalURL": "https://example.org/a.jpg",
        "OriginalSize": "123", "OriginalMD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "Rotation": "0.0", **values,
    }  # fmt: skip
    return [told.get(name, "") for name in IMAGE_COLUMNS]


def test_titles_hold_commas_quotes_and_line_breaks(tmp_path):
    titles = ["plain", 'a "quoted", one', "two\nlines", "", '"', ',",\n"\n,', 'five "" six']
    path = tmp_path / "images.csv"
    data = [image(number, Title=title, Author="A, B") for number, title in enumerate(titles)]
    path.write_bytes(written([IMAGE_COLUMNS, *data]))
    for block in (64, 100, 1000, 1 << 20):
        found, raw = rows(path, IMAGES, block=block)
        assert [row["Title"] for row in found] == titles
        assert raw == written(data)


def test_whatever_the_cuts_the_rows_are_those_of_csv_reader(tmp_path):
    dice = random.Random(7)
    letters = ['"', ",", "\n", "a", "b", "é", "\r\n", " "]
    data = [image(number, Title="".join(dice.choices(letters, k=dice.randrange(9)))) for number in range(300)]
    path = tmp_path / "images.csv"
    path.write_bytes(written([IMAGE_COLUMNS, *data]))
    for block in (50, 173, 4096):
        found, raw = rows(path, IMAGES, block=block)
        assert [row["Title"] for row in found] == [one[IMAGE_COLUMNS.index("Title")] for one in data]
        assert raw == written(data)
    chosen = data[3::7]
    found, raw = rows(path, IMAGES, Wanted(images=ids(*(one[0] for one in chosen))), block=200)
    assert raw == written(chosen)
    assert len(found) == len(chosen)


def test_quotes_may_stand_within_a_field_that_does_not_begin_with_one(tmp_path):
    path = tmp_path / "images.csv"
    lines = [",".join([image_name(number), "train", f"http://x/{'5' * number}", *[""] * 9]) for number in range(40)]
    lines[3] = lines[3].replace("555", '5"5')
    lines[20] = lines[20].replace("http://x", '"http://""x\n')[:-9] + '",,,,,,,,,'
    path.write_text("\n".join([",".join(IMAGE_COLUMNS), *lines, ""]))
    whole = rows(path, IMAGES)
    assert len(whole[0]) == 40
    assert whole[0][3]["OriginalURL"] == 'http://x/5"5'
    assert whole[1].decode() == "\n".join([*lines, ""])
    found, raw = rows(path, IMAGES, Wanted(images=ids(*map(image_name, range(19, 23)))))
    assert len(found) == 4
    assert raw.decode() == "\n".join([*lines[19:23], ""])


def test_what_upstream_leaves_empty_is_unknown(tmp_path):
    data = [image(1, Rotation="", OriginalSize=""), image(2, Rotation="nan"), image(3, Rotation="90.0")]
    path = tmp_path / "images.csv"
    path.write_bytes(written([IMAGE_COLUMNS, *data]))
    (batch,) = read(open_table(path, IMAGES), IMAGES)
    assert np.isnan(batch.numbers("Rotation")[:2]).all()
    assert batch.numbers("Rotation")[2] == 90
    assert batch.texts("Thumbnail300KURL") == ["", "", ""]


def test_line_ends_of_windows_a_mark_at_the_start_and_a_missing_end(tmp_path):
    path = table(tmp_path, "\ufeff" + V5, ROW, "", ROW, end="\r\n")
    found, raw = rows(path, BOXES)
    assert len(found) == 2
    assert raw.decode() == f"{ROW}\r\n\r\n{ROW}\r\n"  # an empty line is no row, and stays with the one before it
    path.write_text(f"{V5}\n{ROW}\n{ROW}")
    assert rows(path, BOXES)[1].decode() == f"{ROW}\n{ROW}\n"


def test_rows_are_chosen_by_split_image_and_class(tmp_path):
    data = [image(1), image(2, Subset="test"), image(3, Subset="validation")]
    path = tmp_path / "images.csv"
    path.write_bytes(written([IMAGE_COLUMNS, *data]))
    assert rows(path, IMAGES, Wanted(splits=["test", "validation"]))[1] == written(data[1:])
    assert rows(path, IMAGES, Wanted(splits=["test"], images=ids(image_name(1)))) == ([], b"")
    assert rows(path, IMAGES, Wanted(images=ids())) == ([], b"")
    other = ROW.replace("0001eeaf4aed83f9", "ffffeeaf4aed83f9").replace("/m/0cmf2", "/m/0dog")
    path = table(tmp_path, V5, ROW, other, ROW)
    assert rows(path, BOXES, Wanted(classes=["/m/0dog"]))[1].decode() == other + "\n"
    assert rows(path, BOXES, Wanted(splits=["test"]))[1].decode() == f"{ROW}\n{other}\n{ROW}\n"  # boxes tell no split
    both = Wanted(classes=["/m/0cmf2"], images=ids("0001eeaf4aed83f9"))
    assert rows(path, BOXES, both, block=90)[1].decode() == f"{ROW}\n{ROW}\n"
    ((row, _), _) = rows(path, BOXES, both, columns=["XMin"])
    assert row == {"ImageID": b"0001eeaf4aed83f9", "LabelName": "/m/0cmf2", "XMin": 0.022673031}


@pytest.mark.parametrize("count", [1, 3, 8, 9, 20])
@pytest.mark.parametrize("quoted", [False, True])
def test_few_classes_are_looked_for_in_the_bytes_and_many_are_not(tmp_path, count, quoted):
    dice = random.Random(count)
    mids = [f"/m/0{number}" for number in range(25)]  # /m/01 begins /m/010
    lines = []
    for number in range(300):
        first, second = dice.choice(mids), dice.choice(mids)
        told = f'"{dice.choice(mids)}, or\nnot"' if quoted and number % 7 == 0 else f"x{dice.choice(mids)}"
        corners = ",".join([".1"] * 8)
        lines.append(f"{image_name(number)},{told},{corners},{first},at{dice.choice(mids)},{second}")
    header = "ImageID,Note,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,LabelName1,RelationshipLabel,LabelName2"
    path = table(tmp_path, header, *lines)
    asked = set(dice.sample(mids, count))
    expected = [line for line in lines if asked & {line.split(",")[-3], line.split(",")[-1]}]
    for block in (500, 1 << 20):
        found, raw = rows(path, RELATIONSHIPS, Wanted(classes=asked), block=block)
        assert raw.decode() == "".join(f"{line}\n" for line in expected)
        assert [row["LabelName2"] for row in found] == [line.split(",")[-1] for line in expected]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (ROW.replace("0.9642005", "wide"), "XMax is 'wide', not a number"),
        (ROW.replace("0.9642005", ""), "XMax is '', not a number"),
        (ROW.replace("0.9642005", "inf"), "XMax is 'inf', not a number"),
        (ROW.replace(",-1,", ",maybe,"), "IsTruncated is 'maybe', not 1, 0 or -1"),
        (ROW.replace("0001eeaf", "0001EEAF"), "ImageID is '0001EEAF4aed83f9', not the id of an image"),
        (ROW[1:], "ImageID is '001eeaf4aed83f9', not the id of an image"),
        (ROW + ",1", "it has 14 fields, and the header names 13 columns"),
        (ROW[:40], "it has 5 fields, and the header names 13 columns"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(tmp_path, line, said):
    path = table(tmp_path, V5, *[ROW] * 9, line, *[ROW] * 9)
    for block in (100, 1 << 20):
        with pytest.raises(WrongContent) as told:
            rows(path, BOXES, block=block)
        assert str(told.value).startswith("boxes.csv, line 11: ")
        assert said in str(told.value)


def test_a_row_that_is_no_text_is_named(tmp_path):
    path = table(tmp_path, V5, ROW)
    path.write_bytes(path.read_bytes() + ROW.encode().replace(b"xclick", b"\xff\xfe"))
    with pytest.raises(WrongContent, match=r"boxes.csv, line 3: it is not UTF-8"):
        rows(path, BOXES)


def test_a_bad_row_is_counted_by_lines_not_by_rows(tmp_path):
    path = tmp_path / "images.csv"
    path.write_bytes(written([IMAGE_COLUMNS, image(1, Title="a\nb\nc"), [*image(2), "more"]]))
    with pytest.raises(WrongContent, match=r"images.csv, line 5: it has 13 fields"):
        rows(path, IMAGES)


def test_a_quote_that_is_never_closed_ends_in_an_error(tmp_path):
    path = table(tmp_path, V5, ROW.replace("xclick", '"xclick'), *[ROW] * 200_000)
    with pytest.raises(WrongContent, match=r"boxes.csv, line 2: the row that begins there has no end"):
        rows(path, BOXES, block=1000)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("ImageID,LabelName,XMin,XMax,YMin", "has no column YMax"),
        (V5 + ",XMin", "has the column XMin twice"),
        (ROW, "has no column ImageID"),
        ("", "no header"),
    ],
)
def test_a_header_that_is_not_of_the_kind_is_told(tmp_path, header, said):
    with pytest.raises(WrongContent, match=said) as told:
        open_table(table(tmp_path, header), BOXES)
    assert str(told.value).startswith("boxes.csv, line 1: ")


def test_a_table_that_is_not_there(tmp_path):
    with pytest.raises(FileMissing, match=r"train/boxes.csv is not there"):
        CsvFile(tmp_path / "boxes.csv", "train/boxes.csv")


def test_a_table_without_rows_has_no_batch(tmp_path):
    assert rows(table(tmp_path, V5), BOXES) == ([], b"")
    assert rows(table(tmp_path, V5, "", ""), BOXES) == ([], b"")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as told:
        rows(table(tmp_path, V5, ROW), BOXES)
    assert "visprep[hf]" in told.value.hint


def test_pyarrow_is_imported_when_a_table_is_read():
    code = (
        "import sys, visprep.formats.open_images_csv, visprep.formats.open_images_classes; "
        "sys.exit('pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_kinds_name_what_they_have():
    for name, kind in KINDS.items():
        assert kind.name == name
        assert {kind.image, *kind.classes} <= set(kind.columns)


NAMES = b'/m/01yrx,Cat\n/m/0bt9lr,Dog\n/m/01xq0k1,Cattle\n/m/0x,"Snake, or rope"\n'
TREE = b"""{"LabelName": "/m/0bl9f", "Subcategory": [
    {"LabelName": "/m/animal", "Subcategory": [
        {"LabelName": "/m/01yrx", "Part": [{"LabelName": "/m/paw"}]}, {"LabelName": "/m/0bt9lr"}]},
    {"LabelName": "/m/pet", "Subcategory": [{"LabelName": "/m/01yrx"}]}]}"""


@pytest.mark.parametrize("header", [b"", b"LabelName,DisplayName\n", b"\xef\xbb\xbfLabelName,DisplayName\r\n"])
def test_classes_have_a_header_or_none(header):
    classes = class_names(header + NAMES, "classes.csv")
    assert list(classes.names) == ["/m/01yrx", "/m/0bt9lr", "/m/01xq0k1", "/m/0x"]
    assert classes.mids(["Dog", "/m/01yrx", "cat", "Snake, or rope"]) == ("/m/0bt9lr", "/m/01yrx", "/m/0x")
    assert classes.mids(["Dog", "snake", "or rope", "Cat"]) == ("/m/0bt9lr", "/m/0x", "/m/01yrx")  # as commas part them
    assert classes.name("/m/01yrx") == "Cat"
    assert classes.name("/m/0bl9f") == "Entity"
    assert classes.name("/m/new") == "/m/new"


def test_a_name_of_several_classes_means_them_all():
    assert class_names(NAMES + b"/m/bat,Cat\n", "classes.csv").mids(["Cat"]) == ("/m/01yrx", "/m/bat")


@pytest.mark.parametrize(
    ("asked", "hint"),
    [("Catt", "did you mean Cat or Cattle?"), ("snake or rope", "did you mean Snake, or rope?"), ("/m/none", "MID")],
)
def test_an_unknown_class_is_told_with_the_nearest(asked, hint):
    with pytest.raises(UnknownName, match="there is no class") as told:
        class_names(NAMES, "classes.csv").mids([asked])
    assert hint in told.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (NAMES + b"/m/1\n", "classes.csv, line 5: '/m/1' is not a MID and a name"),
        (NAMES + b"Cat,/m/1\n", "classes.csv, line 5: "),
        (NAMES + b"/m/01yrx,Kitten\n", "classes.csv, line 5: /m/01yrx stands there twice"),
        (NAMES + b"/m/1,\xff\n", "classes.csv, line 5: it is not UTF-8"),
        (b"LabelName,DisplayName\n", "there is no class in it"),
        (b"<html>404</html>", "there is no class in it"),
    ],
)
def test_a_list_of_classes_that_is_none_is_told(data, said):
    with pytest.raises(WrongContent, match=said):
        class_names(data, "classes.csv")


def test_the_hierarchy_knows_kinds_and_not_parts():
    tree = hierarchy(TREE, "hierarchy.json")
    assert tree.expand(["/m/animal"]) == ("/m/animal", "/m/01yrx", "/m/0bt9lr")
    assert tree.expand(["/m/01yrx"]) == ("/m/01yrx",)
    assert set(tree.expand(["/m/0bl9f"])) == {"/m/0bl9f", "/m/animal", "/m/pet", "/m/01yrx", "/m/0bt9lr"}
    assert tree.parent("/m/01yrx") == "/m/animal"  # the first of two
    assert tree.parent("/m/animal") == tree.parent("/m/new") == "/m/0bl9f"


@pytest.mark.parametrize(
    "data", [b"<html>", b"[]", b"{}", b'{"LabelName": "/m/a", "Subcategory": 1}', b"[" * 100_000,
             b'{"LabelName": "/m/a", "Subcategory": ["/m/b"]}'],
)  # fmt: skip
def test_a_hierarchy_that_is_none_is_told(data):
    with pytest.raises(WrongContent, match=r"hierarchy.json: "):
        hierarchy(data, "hierarchy.json")


def test_the_official_list_of_images(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text(
        "train/f9e0434389a1d4dd\n\nvalidation/0001EEAF4AED83F9.jpg\r\n# mine\ntrain/0000000000000001 # a remark\n"
        "train/f9e0434389a1d4dd\n"
    )
    assert split_images_in(path, "ids") == {
        "train": ("f9e0434389a1d4dd", "0000000000000001"),
        "validation": ("0001eeaf4aed83f9",),
    }


def test_bad_lines_of_the_list_are_named_with_their_numbers(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text("train/f9e0434389a1d4dd\ntrain/\nval/f9e0434389a1d4dd\nf9e0434389a1d4dd\ntrain/f9e0434389a1d4ddx\n")
    with pytest.raises(UsageError) as told:
        split_images_in(path, "ids")
    assert "line 2: 'train/'; line 3: 'val/f9e0434389a1d4dd'; line 4: 'f9e0434389a1d4dd' and 1 more" in str(told.value)
    path.write_text("# nothing\n")
    with pytest.raises(UsageError, match="there is no image in it"):
        split_images_in(path, "ids")


def test_a_list_of_images_as_windows_writes_it(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes(b"\xef\xbb\xbftrain/00000000000000AB\r\ntest/00000000000000cd\r\n")
    assert split_images_in(path, "ids") == {"train": ("00000000000000ab",), "test": ("00000000000000cd",)}
