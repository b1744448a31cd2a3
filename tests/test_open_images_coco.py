"""Open Images' rows as COCO JSON: every number is reckoned here from the text of its row, and masks by cocoapi."""

import csv
import io
import json
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from visprep.errors import FileMissing, WrongContent
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_runs import compressed, uncompressed
from visprep.formats.open_images_classes import class_names, hierarchy
from visprep.formats.open_images_coco import Conversion, Sizes, in_pixels
from visprep.formats.open_images_csv import image_name, open_table
from visprep.formats.open_images_facts import ImageFacts
from visprep.formats.open_images_masks import Masks, column_runs, in_size
from visprep.formats.open_images_tables import BOXES, FLAGS, IMAGES, MASKS
from visprep.rules.coco import check

CLASSES = class_names(b"/m/01yrx,Cat\n/m/0bt9lr,Dog\n/m/0k4j,Car\n", "classes.csv")
TREE = hierarchy(
    b'{"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/0k4j"}, {"LabelName": "/m/0jbk", "Subcategory": '
    b'[{"LabelName": "/m/01yrx"}, {"LabelName": "/m/0bt9lr"}]}]}',
    "hierarchy.json",
)
MIDS = list(CLASSES.names)
HEADER = [
    "ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", *FLAGS,
]  # fmt: skip


def text(rows, header):
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([header, *rows])
    return out.getvalue()


def drawn(images=9, seed=0):
    """Rows of boxes in the order of their images, as texts."""
    dice = random.Random(seed)
    rows = []
    for number in range(images):
        for _ in range(number % 4):
            left, right, top, bottom = (
                f"{dice.random() / 2 + half / 2:.{dice.choice((6, 9))}f}" for half in (0, 1, 0, 1)
            )
            flags = [dice.choice(("1", "0", "-1")) for _ in FLAGS]
            rows.append(
                [image_name(number * 7**20), "xclick", dice.choice(MIDS), "1", left, right, top, bottom, *flags]
            )
    return rows


#: cocoapi hands numpy arrays as they were before numpy 2.
OLD_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
SIZES = {image_name(number * 7**20): (1024, 500 + number) for number in range(9)}


def converted(tmp_path, rows, header=HEADER, sizes=SIZES, split="validation", **options):
    """What is written, what is told of it, and the bytes."""
    path = tmp_path / "boxes.csv"
    path.write_text(text(rows, header))
    boxes = open_table(path, BOXES)
    out = tmp_path / "out.json"
    told = Conversion(split, boxes, Sizes.of(sizes), CLASSES, TREE, **options).write(out)
    return json.loads(out.read_bytes()), told, out.read_bytes()


def test_every_row_becomes_the_annotation_that_it_says(tmp_path):
    rows = drawn()
    document, told, _ = converted(tmp_path, rows)
    assert [image["open_images_id"] for image in document["images"]] == sorted(SIZES)
    assert [image["id"] for image in document["images"]] == list(range(10_000_001, 10_000_010))
    assert [(image["width"], image["height"]) for image in document["images"]] == [SIZES[one] for one in sorted(SIZES)]
    assert document["images"][3]["file_name"] == f"validation/{sorted(SIZES)[3]}.jpg"
    names = {image["id"]: image["open_images_id"] for image in document["images"]}
    assert [one["id"] for one in document["annotations"]] == [100_000_001 + at for at in range(len(rows))]
    for row, one in zip(rows, document["annotations"], strict=True):
        said = dict(zip(HEADER, row, strict=True))
        width, height = SIZES[said["ImageID"]]
        left, right, top, bottom = (Fraction(said[name]) for name in ("XMin", "XMax", "YMin", "YMax"))
        exact = [left * width, top * height, (right - left) * width, (bottom - top) * height]
        assert one["bbox"] == [float(number) for number in exact]
        assert one["area"] == one["bbox"][2] * one["bbox"][3]
        assert names[one["image_id"]] == said["ImageID"]
        assert one["category_id"] == MIDS.index(said["LabelName"]) + 1
        assert one["iscrowd"] == (said["IsGroupOf"] == "1")
        assert {flag: str(one[flag]) for flag in FLAGS} == {flag: said[flag] for flag in FLAGS}
        assert one["Source"] == "xclick"
        assert "Confidence" not in one
    assert (told.images, told.annotations, told.categories, told.unsized) == (9, len(rows), 3, 0)


@pytest.mark.parametrize("split", ["train", "validation", "test", "mine"])
@pytest.mark.parametrize("every", [True, False])
def test_every_split_is_numbered_from_its_own_place(tmp_path, split, every):
    begins = {"validation": (10_000_001, 100_000_001), "test": (20_000_001, 200_000_001)}
    image, annotation = begins.get(split, (1, 1))
    rows = drawn()
    mixed = sorted(rows, key=lambda row: row[0], reverse=True)
    for some in (rows, mixed):
        document, _, _ = converted(tmp_path, some, split=split, every=every, block=200, gathered=2)
        ids = {one["open_images_id"]: one["id"] for one in document["images"]}
        names = sorted(SIZES if every else {row[0] for row in rows})
        assert ids == {name: image + at for at, name in enumerate(names)}
        assert [one["id"] for one in document["annotations"]] == [annotation + at for at in range(len(rows))]
        assert [one["image_id"] for one in document["annotations"]] == [ids[row[0]] for row in rows]


def test_categories_have_their_place_in_upstreams_list(tmp_path):
    document, _, _ = converted(tmp_path, drawn())
    assert document["categories"] == [
        {"id": 1, "name": "Cat", "supercategory": "/m/0jbk", "LabelName": "/m/01yrx"},
        {"id": 2, "name": "Dog", "supercategory": "/m/0jbk", "LabelName": "/m/0bt9lr"},
        {"id": 3, "name": "Car", "supercategory": "Entity", "LabelName": "/m/0k4j"},
    ]


def test_some_classes_keep_their_numbers_and_all_images(tmp_path):
    rows = drawn()
    document, _, _ = converted(tmp_path, rows, wanted={"/m/0bt9lr"})
    assert [one["id"] for one in document["categories"]] == [2]
    assert {one["category_id"] for one in document["annotations"]} == {2}
    assert len(document["annotations"]) == sum(row[2] == "/m/0bt9lr" for row in rows)
    assert len(document["images"]) == 9


def test_images_without_a_box_may_be_left_out(tmp_path):
    rows = drawn()
    mid = "/m/0bt9lr"
    wanted = sorted({row[0] for row in rows if row[2] == mid})
    assert 1 < len(wanted) < len({row[0] for row in rows})
    chosen = converted(tmp_path, rows, wanted={mid}, sizes={name: SIZES[name] for name in wanted})
    assert converted(tmp_path, rows, wanted={mid}, every=False, block=200) == (chosen[0], chosen[1], chosen[2])
    assert converted(tmp_path, rows[::-1], wanted={mid}, every=False)[0]["images"] == chosen[0]["images"]


def test_our_own_rules_find_nothing(tmp_path):
    converted(tmp_path, drawn())
    report = check(JsonFile.on_disk(tmp_path / "out.json"))
    assert {finding.code for finding in report.findings} <= {"images-without-annotations"}


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = drawn()
    _, told, data = converted(tmp_path, rows)
    assert converted(tmp_path, rows, block=200)[1:] == (told, data)  # some two rows
    dice = random.Random(1)
    images = sorted(SIZES)
    dice.shuffle(images)
    mixed = [row for image in images for row in rows if row[0] == image]
    assert mixed != rows
    assert converted(tmp_path, mixed)[1:] == (told, data)
    assert converted(tmp_path, mixed, gathered=2, block=200)[1:] == (told, data)


def test_the_tables_of_all_versions_give_the_same(tmp_path):
    rows = [row[:2] + row[2:] for row in drawn()]
    clicks = [f"XClick{number}{axis}" for axis in "XY" for number in range(1, 5)]
    _, _, data = converted(tmp_path, rows)
    assert converted(tmp_path, [[*row, *["-1"] * 8] for row in rows], [*HEADER, *clicks])[2] == data


def test_rows_of_images_without_a_size_are_counted(tmp_path):
    rows = drawn()
    sizes = dict(list(SIZES.items())[:6])
    document, told, _ = converted(tmp_path, rows, sizes=sizes)
    assert told.unsized == sum(row[0] not in sizes for row in rows) > 0
    assert len(document["annotations"]) == len(rows) - told.unsized
    assert converted(tmp_path, rows[::-1], sizes=sizes)[1].unsized == told.unsized
    document, told, _ = converted(tmp_path, rows, sizes={})
    assert (document["images"], document["annotations"], told.unsized) == ([], [], len(rows))


def test_numbers_go_over_all_that_were_chosen_and_stay_when_an_image_comes_later(tmp_path):
    rows = drawn()
    chosen = Sizes.of(SIZES).ids
    whole, _, data = converted(tmp_path, rows)
    assert converted(tmp_path, rows, numbered=chosen)[2] == data
    lost = {sorted(SIZES)[0], rows[0][0], rows[-1][0]}
    sizes = {name: size for name, size in SIZES.items() if name not in lost}
    document, told, part = converted(tmp_path, rows, sizes=sizes, numbered=chosen)
    assert document["images"] == [one for one in whole["images"] if one["open_images_id"] not in lost]
    there = {one["id"] for one in document["images"]}
    assert len(there) == len(SIZES) - len(lost) < max(there)
    assert document["annotations"] == [one for one in whole["annotations"] if one["image_id"] in there]
    assert 0 < told.unsized == len(rows) - told.annotations
    for options in ({"block": 200}, {"gathered": 2}):
        assert converted(tmp_path, rows, sizes=sizes, numbered=chosen, **options)[2] == part
    images = sorted(SIZES, reverse=True)
    mixed = [row for image in images for row in rows if row[0] == image]
    assert converted(tmp_path, mixed, sizes=sizes, numbered=chosen, gathered=2)[1:] == (told, part)
    # Rows of images that nobody chose have no number
    rest = chosen[chosen != Sizes.of({rows[0][0]: (1, 1)}).ids]
    few = converted(tmp_path, [row for row in rows if row[0] != rows[0][0]], sizes=sizes, numbered=rest)
    assert converted(tmp_path, rows, sizes=sizes, numbered=rest)[2] == few[2] != part


def test_a_confidence_that_is_not_1_and_missing_flags(tmp_path):
    rows = [[row[0], row[2], "0.5", *row[4:8]] for row in drawn()]
    document, _, _ = converted(tmp_path, rows, ["ImageID", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"])
    for one in document["annotations"]:
        assert list(one) == ["id", "image_id", "category_id", "bbox", "area", "iscrowd", "Confidence"]
        assert (one["iscrowd"], one["Confidence"]) == (0, 0.5)


def test_a_class_that_is_in_no_list_is_named(tmp_path):
    rows = drawn()
    rows[4][2] = "/m/new"
    with pytest.raises(WrongContent, match=f"boxes.csv: a box of image {rows[4][0]} is of class /m/new"):
        converted(tmp_path, rows)


def image_rows(*changes):
    header = [*IMAGES.columns, *IMAGES.optional]
    rows = []
    for name, change in zip(sorted(SIZES, reverse=True), changes, strict=False):
        told = {
            "ImageID": name, "Subset": "validation", "OriginalURL": f"https://example.org/{name}",
            "License": "https://creativecommons.org/licenses/by/2.0/", "Author": 'A "B", C', "Rotation": "0.0",
            **change,
        }  # fmt: skip
        rows.append([told.get(column, "") for column in header])
    return text(rows, header)


def test_what_is_told_of_the_images_stands_in_their_records(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text(
        image_rows({}, {"Rotation": "90.0"}, {"Rotation": ""}, {"License": "https://example.org/mine", "Author": ""})
    )
    facts = ImageFacts.read(open_table(path, IMAGES))
    document, told, _ = converted(tmp_path, drawn(), facts=facts)
    *_, fourth, third, second, first = document["images"]
    base = {
        "OriginalURL": f"https://example.org/{sorted(SIZES)[-1]}",
        "Author": 'A "B", C',
        "license": 4,
        "Rotation": 0,
    }
    assert {key: first[key] for key in base} == base
    assert (second["Rotation"], third["Rotation"], told.rotated) == (90.0, None, 1)
    assert fourth["license"] == 9
    assert "Author" not in fourth
    assert "Rotation" not in document["images"][0]  # nothing is told of that one
    assert document["licenses"] == [
        {"id": 4, "name": "Attribution License", "url": "https://creativecommons.org/licenses/by/2.0/"},
        {"id": 9, "name": "https://example.org/mine", "url": "https://example.org/mine"},
    ]


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8) * 255).convert("1").save(out, "PNG")
    return out.getvalue()


def mask_table(tmp_path, rows, boxes):
    header = [*MASKS.columns, *MASKS.optional]
    lines = []
    for at in boxes:
        image, _, mid, _, *corners = rows[at][:8]
        lines.append([f"{at}.png", image, mid, "0a", *(f"{float(one):.6f}" for one in corners), "0.8", "0.1 0.2 1"])
    path = tmp_path / "masks.csv"
    path.write_text(text(lines, header))
    return open_table(path, MASKS)


@OLD_NUMPY
def test_masks_are_told_as_cocoapi_reads_them(tmp_path):
    from pycocotools import mask as api

    rows = drawn()
    for row in rows:
        row[HEADER.index("IsGroupOf")] = "0"
    dice = np.random.default_rng(0)
    pixels = {f"{at}.png": dice.random((300, 400)) < 0.3 for at in (1, 4, 7)}  # of another size than the images
    pictures = {name: png(one) for name, one in pixels.items()} | {"2.png": b"no picture"}

    def load(paths):
        """As they come, which need not be the order in which they are wanted."""
        for path in reversed(list(paths)):
            yield path, pictures[path] if path in pictures else FileMissing(f"{path} is not there")

    table = mask_table(tmp_path, rows, [7, 1, 2, 4, 5])
    masks = Masks.read(table, CLASSES.numbers, load)
    document, told, _ = converted(tmp_path, rows, masks=masks)
    names = {image["id"]: image["open_images_id"] for image in document["images"]}
    with_masks = {at: one for at, one in enumerate(document["annotations"]) if "segmentation" in one}
    assert sorted(with_masks) == [1, 4, 7]
    for at, one in with_masks.items():
        width, height = SIZES[names[one["image_id"]]]
        assert one["segmentation"]["size"] == [height, width]
        found = api.decode(one["segmentation"]).astype(bool)
        assert (found == laid_out(pictures[f"{at}.png"], (width, height))).all()
        assert one["area"] == found.sum() == api.area(one["segmentation"])
    assert (told.masks, told.unused) == (3, 0)
    assert [path for path, _ in told.broken] == ["2.png", "5.png"]
    assert converted(tmp_path, rows[::-1], masks=masks)[1].masks == 3  # however the table is sorted
    assert not [one for one in check(JsonFile.on_disk(tmp_path / "out.json")).findings if one.level == "error"]


def test_a_mask_without_its_box_is_counted_and_a_group_may_have_one(tmp_path):
    rows = drawn()
    rows[1][HEADER.index("IsGroupOf")] = "1"
    table = mask_table(tmp_path, rows, [1, 2])
    rows[2][4] = "0.123"
    masks = Masks.read(table, CLASSES.numbers, lambda names: ((name, png([[1]])) for name in names))
    document, told, _ = converted(tmp_path, rows, masks=masks)
    assert [one["id"] for one in document["annotations"] if "segmentation" in one] == [100_000_002]
    assert (document["annotations"][1]["iscrowd"], told.masks, told.unused) == (1, 1, 1)


def test_a_table_of_masks_that_names_no_corners_is_refused(tmp_path):
    (tmp_path / "masks.csv").write_text("MaskPath,ImageID,LabelName,BoxXMin\n")
    with pytest.raises(WrongContent, match="does not name the corners of the boxes") as raised:
        Masks.read(open_table(tmp_path / "masks.csv", MASKS), CLASSES.numbers, lambda names: iter(()))
    assert "BoxXMin" in str(raised.value.hint)


def laid_out(data, size):
    """A mask as large as its image."""
    pixels, (left, top) = in_size(data, "a", size)
    whole = np.zeros(size[::-1], bool)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def test_a_mask_of_another_size_is_brought_to_that_of_its_image():
    small = np.array([[1, 0], [0, 1]], bool)
    assert (laid_out(png(small), (4, 6)) == np.kron(small, np.ones((3, 2), bool))).all()
    assert (laid_out(png(np.kron(small, np.ones((3, 2)))), (2, 2)) == small).all()
    with pytest.raises(WrongContent, match=r"m\.png: "):
        in_size(b"nothing", "m.png", (2, 2))


@st.composite
def sparse(draw):
    """Pixels with empty edges, or none that is set."""
    inner = draw(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4))
    edges = st.integers(0, 2)
    return np.pad(np.array(inner, bool), ((draw(edges), draw(edges)), (draw(edges), draw(edges))))


@given(sparse(), st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_each_pixel_is_that_of_the_mask_which_lies_below_its_middle(pixels, size):
    height, width = pixels.shape
    size = size or (width, height)
    expected = [
        [pixels[int(Fraction(2 * y + 1, 2 * size[1]) * height), int(Fraction(2 * x + 1, 2 * size[0]) * width)]
         for x in range(size[0])]
        for y in range(size[1])
    ]  # fmt: skip
    assert laid_out(png(pixels), size).tolist() == expected


@OLD_NUMPY
@given(sparse(), st.booleans())
def test_runs_go_by_columns_and_come_back(pixels, cut):
    from pycocotools import mask as api

    size = pixels.shape[::-1]
    inner, place = in_size(png(pixels), "a", size) if cut else (pixels, (0, 0))
    runs = column_runs(inner, place, size)
    assert compressed(runs) == api.encode(np.asfortranarray(pixels.astype(np.uint8)))["counts"].decode()
    assert uncompressed(compressed(runs)) == runs.tolist()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_compressed_runs_come_back_however_long_they_are(runs):
    assert uncompressed(compressed(np.array(runs))) == runs


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(1, 10_000))
def test_pixels_are_the_nearest_numbers_to_the_true_ones(low, high, length):
    begin, extent = in_pixels(np.array([low / 10**9]), np.array([high / 10**9]), np.array([length]))
    assert begin[0] == float(Fraction(low, 10**9) * length)
    assert extent[0] == float(Fraction(high - low, 10**9) * length)


def test_pixels_of_more_decimals_than_upstream_has():
    begin, extent = in_pixels(np.array([0.12345678901234567]), np.array([1.0]), np.array([1024]))
    assert begin[0] == 0.12345678901234567 * 1024
    assert extent[0] == (1 - 0.12345678901234567) * 1024
