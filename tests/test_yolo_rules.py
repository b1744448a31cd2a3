"""The rules of YOLO: each with its bad case and its near miss, and how a place is found and read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import visprep
from drawn import picture, put
from labeled_places import BOX, DATA, jpeg, yolo
from visprep.errors import UnknownContent
from visprep.rules import yolo as rules
from visprep.rules import yolo_data

Change = Callable[[Path], Any]
A, B = "labels/train/a.txt", "labels/train/b.txt"
IMAGE = "images/train/a.jpg"
POLYGON = b"0 0.1 0.1 0.2 0.1 0.2 0.2\n"


def rows(*lines: str | bytes, data: bytes = DATA) -> Change:
    """The label of the first image, and a data file, in place of what was there."""
    text = b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines)
    return lambda root: (put(root, A, text), put(root, "data.yaml", data))


def data(text: str) -> Change:
    return lambda root: put(root, "data.yaml", text.encode())


def gone(*paths: str) -> Change:
    return lambda root: [(root / path).unlink() for path in paths]


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def also(path: str, content: bytes = b"") -> Change:
    return lambda root: put(root, path, content)


def bare(root: Path) -> None:
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    put(root, "photos/a.jpg", jpeg(1))


def beside(root: Path) -> None:
    bare(root)
    put(root, "photos/a.txt", BOX)
    put(root, "data.yaml", b"train: photos\nval: photos/../photos\nnames: [cat]\n")


def listed(*lines: str) -> Change:
    text = "".join(f"{line}\n" for line in lines).encode()
    return lambda root: (
        put(root, "train.txt", text),
        put(root, "data.yaml", DATA.replace(b"images/train", b"train.txt")),
    )


POSE = DATA + b"kpt_shape: [1, 3]\n"


def pose(visible: str) -> Change:
    def change(root: Path) -> None:
        put(root, "data.yaml", POSE)
        for path in (A, B, "labels/val/c.txt"):
            put(root, path, BOX.replace(b"\n", b" 0.5 0.5 2\n"))
        put(root, A, BOX.replace(b"\n", f" 0.5 0.5 {visible}\n".encode()))

    return change


NAMES = "train: images/train\nval: images/val\nnames: {}\n"
#: Rule, path, line, what is bad, what is near
CASES: list[tuple[Any, str, int | None, Change, Change]] = [
    (rules.YOLO_BOX_EMPTY, A, 1, rows("0 0.5 0.5 0.2 0"), rows("0 0.5 0.5 0.2 0.0001")),
    (rules.YOLO_BOX_NEGATIVE, A, 1, rows("0 0.5 0.5 -0.005 0.2"), rows("0 0.0005 0.5 0.001 0.2")),
    (rules.YOLO_BOX_OUTSIDE, A, 2, rows(BOX, "0 0.95 0.5 0.2 0.2"), rows("0 0.900001 0.5 0.2 0.2")),
    (rules.YOLO_CLASS_FLOAT, A, 1, rows("1.0 0.5 0.5 0.2 0.2"), rows("1 0.5 0.5 0.2 0.2")),
    (rules.YOLO_CLASS_FORM, A, 1, rows("cat 0.5 0.5 0.2 0.2"), rows("+1 0.5 0.5 0.2 0.2")),
    (rules.YOLO_CLASS_FORM, A, 1, rows("1.5 0.5 0.5 0.2 0.2"), rows("01 0.5 0.5 0.2 0.2")),
    (rules.YOLO_CLASS_RANGE, A, 1, rows("2 0.5 0.5 0.2 0.2"), rows("1 0.5 0.5 0.2 0.2")),
    (rules.YOLO_CLASS_RANGE, A, 1, rows("-1 0.5 0.5 0.2 0.2"), rows("0 0.5 0.5 0.2 0.2")),
    (rules.YOLO_IMAGE_SMALL, IMAGE, None, also(IMAGE, jpeg(1, (100, 9))), also(IMAGE, jpeg(1, (10, 10)))),
    (
        rules.YOLO_IMAGE_UNLISTED,
        "images/extra/d.jpg",
        None,
        both(also("images/extra/d.jpg", jpeg(4)), also("labels/extra/d.txt", BOX)),
        also("images/extra/d.jpg", jpeg(4)),
    ),
    (rules.YOLO_KEYPOINT_FLAG, A, 1, pose("0.7"), pose("1")),
    (rules.YOLO_LABEL_ENCODING, A, 1, rows(BOX.decode().encode("utf-16")), rows(BOX.replace(b"\n", b"\r\n"))),
    (rules.YOLO_LABEL_ENCODING, A, 1, rows(b"\xef\xbb\xbf" + BOX), rows(b"\n" + BOX + b"\n\n")),
    (rules.YOLO_LABEL_MISSING, IMAGE, None, gone(A), also(A)),
    (
        rules.YOLO_LABEL_UNUSED,
        "labels/train/z.txt",
        None,
        also("labels/train/z.txt", BOX),
        both(also("labels/classes.txt", b"cat\ndog\n"), also("notes.txt")),
    ),
    (
        rules.YOLO_LABELS_MISSING,
        "data.yaml",
        2,
        gone("labels/val/c.txt"),
        both(also("data.yaml", DATA + b"test: images/test\n"), also("images/test/t.jpg", jpeg(5))),
    ),
    (rules.YOLO_NOT_NORMALIZED, A, 1, rows("0 320 240 100 50"), rows("0 0.5 0.5 1.005 1")),
    (rules.YOLO_NOT_NORMALIZED, A, 1, rows("0 0.1 0.1 0.2 0.1 0.2 -0.2"), rows("0 0.1 0.1 0.2 0.1 0.2 -0.002")),
    (rules.YOLO_POLYGON_SHORT, A, 2, rows(POLYGON, BOX), rows(POLYGON, "0 0.4 0.4 0.6 0.4 0.6 0.6 0.4 0.6")),
    (rules.YOLO_ROW_COLUMNS, A, 2, rows(BOX, "0 0.5 0.5 0.2"), rows("0  0.5\t0.5 0.2 0.2")),
    (rules.YOLO_ROW_COLUMNS, A, 1, rows("0 0.5 0.5 0.2 0.2 0.93"), rows(POLYGON)),
    (rules.YOLO_ROW_COLUMNS, A, 1, rows("0 0.1 0.1 0.2 0.1 0.2 0.2 0.3"), rows("0 0.1 0.1 0.2 0.1 0.2 0.2 0.3 0.3")),
    (rules.YOLO_ROW_COLUMNS, A, 2, rows(BOX, "  ", "1 0.5 0.5 0.1 0.1"), rows(BOX, "", "1 0.5 0.5 0.1 0.1", "  ")),
    (rules.YOLO_ROW_NUMBER, A, 1, rows("0 0,5 0,5 0,2 0,2"), rows("0 5e-1 .5 0.2 0.2")),
    (rules.YOLO_ROW_NUMBER, A, 1, rows("0 nan 0.5 0.2 0.2"), rows("0 0.5 0.5 1 1")),
    (rules.YOLO_ROW_REPEATED, A, 3, rows(BOX, "1 0.5 0.5 0.2 0.2", BOX), rows(BOX, BOX.replace(b"0 ", b"1 ", 1))),
    (
        rules.YOLO_STEM_SHARED,
        IMAGE,
        None,
        also("images/train/a.png", picture(7)),
        both(
            also("images/val/a.jpg", jpeg(7)),
            also("labels/val/a.txt", BOX),
        ),
    ),
    (
        yolo_data.YOLO_DATA_FORM,
        "data.yaml",
        1,
        data("names: cat, dog\ntrain: images/train\nval: images/val\n"),
        data("names: [cat, dog]\ntrain: images/train\nvalidation: images/val\n"),
    ),
    (yolo_data.YOLO_DATA_FORM, "data.yaml", None, data("names: [cat\n"), data(DATA.decode() + "test:\n")),
    (yolo_data.YOLO_DATA_FORM, "data.yaml", 3, data(NAMES.format("[cat, [dog]]")), data(NAMES.format("[cat, dog]"))),
    (yolo_data.YOLO_DATA_MISSING, ".", None, gone("data.yaml"), both(gone("data.yaml"), also("pets.yaml", DATA))),
    (
        yolo_data.YOLO_IMAGE_MISSING,
        "train.txt",
        3,
        listed("./images/train/a.jpg", "./images/train/b.jpg", "./images/train/z.jpg"),
        listed("./images/train/a.jpg", "images/train/b.jpg"),
    ),
    (
        yolo_data.YOLO_IMAGE_REPEATED,
        "data.yaml",
        1,
        listed("./images/train/a.jpg", "./images/train/b.jpg", "./images/train/a.jpg"),
        listed("./images/train/b.jpg", "", "./images/train/a.jpg"),
    ),
    (yolo_data.YOLO_NAME_FORM, "data.yaml", 3, data(NAMES.format("[cat, no]")), data(NAMES.format('[cat, "no"]'))),
    (yolo_data.YOLO_NAME_REPEATED, "data.yaml", 3, data(NAMES.format("[cat, cat]")), data(NAMES.format("[cat, Cat]"))),
    (yolo_data.YOLO_NAMES_COUNT, "data.yaml", 4, data(DATA.decode() + "nc: 3\n"), data(DATA.decode() + "nc: 2\n")),
    (
        yolo_data.YOLO_NAMES_INDEX,
        "data.yaml",
        3,
        data(NAMES.format("{0: cat, 2: dog}")),
        data(NAMES.format("{1: cat, 0: dog}")),
    ),
    (
        yolo_data.YOLO_PART_MISSING,
        "data.yaml",
        4,
        data(DATA.decode() + "test: images/test\n"),
        data(DATA.decode().replace("images/", "../images/")),
    ),
    (
        yolo_data.YOLO_PARTS_OVERLAP,
        "data.yaml",
        3,
        data("names: [cat]\ntrain: images\nval: images/val\n"),
        lambda root: (
            shutil.rmtree(root / "images/val"),
            shutil.rmtree(root / "labels/val"),
            put(root, "data.yaml", b"names: [cat]\ntrain: images/train\nval: [images/train/]\n"),
        ),
    ),
    (
        yolo_data.YOLO_PATH_ELSEWHERE,
        "data.yaml",
        1,
        data("path: /content/datasets/pets\n" + DATA.decode()),
        lambda root: put(root, "data.yaml", f"path: {root.name}\n".encode() + DATA),
    ),
]


@pytest.mark.parametrize(("rule", "path", "line", "bad", "near"), CASES)
def test_bad_is_found_and_near_is_not(
    tmp_path: Path, rule: Any, path: str, line: int | None, bad: Change, near: Change
) -> None:
    bad(yolo(tmp_path / "bad"))
    (found,) = visprep.verify(tmp_path / "bad", as_="yolo").findings
    assert (found.code, found.level, found.path, found.where.get("line")) == (rule.code, rule.level, path, line)
    near(yolo(tmp_path / "near"))
    assert visprep.verify(tmp_path / "near", as_="yolo").findings == ()


def test_a_place_without_a_label_says_so(tmp_path: Path) -> None:
    bare(tmp_path)
    assert [one.code for one in visprep.verify(tmp_path, as_="yolo").findings] == ["no-labels"]
    beside(tmp_path)
    assert visprep.verify(tmp_path, as_="yolo").findings == ()


def test_every_rule_has_its_case() -> None:
    told = {rule.code for rule, *_ in CASES} | {rules.NO_LABELS.code}
    assert told == {rule.code for rule in (*rules.RULES, *yolo_data.RULES)}


@pytest.mark.parametrize(("code", "data"), [("image-empty", b""), ("image-truncated", jpeg(3)[:-30])])
def test_a_damaged_image_has_the_code_that_it_has_in_coco(tmp_path: Path, code: str, data: bytes) -> None:
    put(yolo(tmp_path), IMAGE, data)
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [(code, IMAGE)]


def test_many_rows_that_are_wrong_in_one_way_are_one_finding(tmp_path: Path) -> None:
    rows(*["0 320 240 100 50"] * 3, BOX, *[f"0 32 24 10 {n}" for n in range(20)])(yolo(tmp_path))
    found = {one.code: one for one in visprep.verify(tmp_path).findings}
    assert set(found) == {"yolo-not-normalized", "yolo-row-repeated"}
    one = found["yolo-not-normalized"]
    assert (one.where["count"], one.where["lines"]) == (23, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11])
    assert one.message == "line 1: 320 is no share of the image; and 22 more"


def test_a_fault_in_a_label_that_two_images_share_is_told_once(tmp_path: Path) -> None:
    put(yolo(tmp_path), "images/train/a.png", picture(9, (32, 24), "PNG"))
    rows("7 0.5 0.5 0.25 0.25", "0 0.5 0.5 0.2 nan")(tmp_path)
    found = [one.code for one in visprep.verify(tmp_path).findings]
    assert sorted(found) == ["yolo-class-range", "yolo-row-number", "yolo-stem-shared"]


def test_a_box_is_held_against_the_image_as_it_is_shown(tmp_path: Path) -> None:
    """A pixel of 24 is a share of 0.042, one of 16 is 0.0625: the one is too small for what leaves the image here."""
    yolo(tmp_path)
    put(tmp_path, A, b"0 0.5 0.5 1 1\n0 0.45 0.5 1 1\n")
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["yolo-box-outside"]
    put(tmp_path, "images/train/a.jpg", picture(3, (24, 16), "JPEG", exif=_lying()))
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["image-rotated"]


def _lying() -> Any:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


# Finding places, parts and labels


def roboflow(root: Path) -> None:
    for part in ("train", "valid"):
        put(root, f"{part}/images/a.jpg", jpeg(len(part)))
        put(root, f"{part}/labels/a.txt", BOX)
    put(root, "data.yaml", b"train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['cat']\n")


def nested(root: Path) -> None:
    """The data file beside the directory of the dataset, as ultralytics' own name it."""
    for part in ("train", "val"):
        put(root, f"coco8/images/{part}/a.jpg", jpeg(len(part)))
        put(root, f"coco8/labels/{part}/a.txt", BOX)
    put(root, "coco8.yaml", b"path: coco8\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: person\n")


def darknet(root: Path) -> None:
    """A label beside each image, and a list of images."""
    for name in "ab":
        put(root, f"obj_train_data/{name}.jpg", jpeg(ord(name)))
        put(root, f"obj_train_data/{name}.txt", BOX)
    put(root, "obj.names", b"cat\ndog\n")


def twice(root: Path) -> None:
    """A directory called images within another."""
    for part in ("train", "val"):
        put(root, f"images/labels/images/{part}/a.jpg", jpeg(len(part)))
        put(root, f"images/labels/labels/{part}/a.txt", BOX)
    put(root, "data.yaml", DATA.replace(b"images/", b"images/labels/images/"))


@pytest.mark.parametrize("make", [roboflow, nested, darknet, twice])
def test_the_usual_shapes_are_read(tmp_path: Path, make: Change) -> None:
    make(tmp_path)
    report = visprep.verify(tmp_path)
    assert (report.format, report.checked["images"], report.checked["objects"]) == ("yolo", 2, 2)
    assert [one.code for one in report.findings] == (["yolo-data-missing"] if make is darknet else [])


def test_a_list_of_images_on_another_machine_is_one_finding(tmp_path: Path) -> None:
    listed(*(f"/home/me/images/train/{n}.jpg" for n in range(9)))(yolo(tmp_path))
    found = [(one.code, one.message) for one in visprep.verify(tmp_path).findings]
    words = "train: train.txt: none of the 9 images that it names is here"
    assert ("yolo-part-missing", words) in found
    assert {code for code, _ in found} == {"yolo-part-missing", "yolo-image-unlisted"}


def test_a_directory_that_is_a_link_is_told(tmp_path: Path) -> None:
    yolo(tmp_path / "place")
    (tmp_path / "place/images").rename(tmp_path / "elsewhere")
    (tmp_path / "place/images").symlink_to(tmp_path / "elsewhere")
    found = [(one.code, one.path) for one in visprep.verify(tmp_path / "place", as_="yolo").findings]
    assert ("directory-link", "images") in found


def test_a_place_without_any_image_is_one_finding(tmp_path: Path) -> None:
    yolo(tmp_path, b"train: .\nval: .\nnames: [cat]\n")
    for path in tmp_path.glob("images/*/*.jpg"):
        path.unlink()
    found = [(one.code, one.path) for one in visprep.verify(tmp_path).findings]
    assert found == [("yolo-label-unused", "."), ("yolo-part-missing", "data.yaml"), ("yolo-part-missing", "data.yaml")]


def test_a_part_without_any_label_is_one_finding(tmp_path: Path) -> None:
    gone(A, B)(yolo(tmp_path))
    (found,) = visprep.verify(tmp_path).findings
    assert (found.code, found.where["key"], found.where["line"]) == ("yolo-labels-missing", "train", 1)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("./images/val/c.jpg", "./images/train/a.jpg", "./images/train/b.jpg"), "1 image of train is in val too"),
        (("./images/val/c.jpg", "./images/val/d.jpg"), "2 images of train are in val too"),
    ],
)
def test_images_in_two_parts_are_counted(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    listed(*lines)(yolo(tmp_path))
    put(tmp_path, "images/val/d.jpg", jpeg(8))
    put(tmp_path, "labels/val/d.txt", BOX)
    messages = [one.message for one in visprep.verify(tmp_path).findings if one.code == "yolo-parts-overlap"]
    assert messages == [f"{words}: images/val/c.jpg"]


def test_labels_are_looked_at_though_the_parts_are_not_here(tmp_path: Path) -> None:
    yolo(tmp_path, DATA.replace(b"images/", b"../../elsewhere/"))
    put(tmp_path, A, b"x\n")
    codes = [one.code for one in visprep.verify(tmp_path).findings]
    assert codes == ["yolo-part-missing", "yolo-part-missing", "yolo-row-columns"]


def test_classes_have_no_range_where_their_numbers_are_not_known(tmp_path: Path) -> None:
    yolo(tmp_path, NAMES.format("{a: cat}").encode())
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["yolo-names-index"]


def test_a_list_may_name_images_by_their_whole_path(tmp_path: Path) -> None:
    yolo(tmp_path)
    listed(*(f"{tmp_path.resolve()}/images/train/{name}.jpg" for name in "ab"))(tmp_path)
    assert visprep.verify(tmp_path).findings == ()


def test_a_place_of_coco_with_labels_too_is_coco(tmp_path: Path) -> None:
    yolo(tmp_path)
    put(tmp_path, "annotations/instances_train.json", json.dumps({"images": [], "annotations": []}).encode())
    assert visprep.verify(tmp_path, depth="names").format == "coco"


def test_images_called_frames_are_no_episode_where_they_have_labels(tmp_path: Path) -> None:
    yolo(tmp_path)
    put(tmp_path, "images/train/frame_1.jpg", jpeg(6))
    put(tmp_path, "labels/train/frame_1.txt", BOX)
    assert visprep.verify(tmp_path).format == "yolo"


def test_captions_beside_images_are_no_labels(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", jpeg(1))
    put(tmp_path, "a.txt", b"a cat\n")
    put(tmp_path, "mkdocs.yaml", b"site: x\n")
    with pytest.raises(UnknownContent):
        visprep.verify(tmp_path)


def test_classes_without_a_data_file_bound_the_numbers(tmp_path: Path) -> None:
    yolo(tmp_path, None)
    put(tmp_path, "labels/classes.txt", b"cat\n")
    put(tmp_path, A, b"1 0.5 0.5 0.2 0.2\n")
    assert {one.code for one in visprep.verify(tmp_path).findings} == {"yolo-class-range", "yolo-data-missing"}


@pytest.mark.parametrize(
    ("depth", "codes"), [("names", []), ("sizes", ["image-empty"]), ("headers", ["image-empty", "yolo-row-columns"])]
)
def test_depths(tmp_path: Path, depth: str, codes: list[str]) -> None:
    yolo(tmp_path)
    put(tmp_path, IMAGE, b"")
    put(tmp_path, B, b"0\n")
    assert [one.code for one in visprep.verify(tmp_path, depth=depth).findings] == codes


def test_a_dry_run_tells_the_bytes(tmp_path: Path) -> None:
    yolo(tmp_path)
    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*.*") if path.suffix in (".jpg", ".txt"))
    assert visprep.verify(tmp_path, dry_run=True).checked["bytes"] == sizes


def test_a_label_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    yolo(tmp_path)
    (tmp_path / A).unlink()
    (tmp_path / A).symlink_to("nowhere.txt")
    report = visprep.verify(tmp_path)
    assert [(one.code, one.path) for one in report.unread] == [("file-unreadable", A)]


def test_a_text_file_of_gigabytes_is_not_taken_for_a_label(tmp_path: Path) -> None:
    yolo(tmp_path)
    with (tmp_path / A).open("wb") as file:
        file.truncate(64_000_001)
    report = visprep.verify(tmp_path)
    assert [(one.code, one.path) for one in report.findings] == [("file-unreadable", A)]
