"""The rules of Pascal VOC: each with its bad case and its near miss, and how a place is found and read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import visprep
from drawn import picture, put
from labeled_places import jpeg, voc, xml
from visprep.rules import voc as rules
from visprep.rules import voc_sets

Change = Callable[[Path], Any]
A, B = "Annotations/a.xml", "Annotations/b.xml"
IMAGE = "JPEGImages/a.jpg"
TRAIN = "ImageSets/Main/train.txt"
DOG = xml("a")[xml("a").index(b"\t<object>") : xml("a").index(b"</annotation>")]


def edit(*pairs: tuple[str, str]) -> Change:
    """The first annotation, with these words in place of those."""

    def change(root: Path) -> None:
        text = (root / A).read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        put(root, A, text.encode())

    return change


def also(path: str, content: bytes = b"") -> Change:
    return lambda root: put(root, path, content)


def gone(*paths: str) -> Change:
    return lambda root: [(root / path).unlink() for path in paths]


def both(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]


def corners(*ends: int) -> Change:
    names = ("xmin", "ymin", "xmax", "ymax")
    was = (2, 3, 20, 12)
    return edit(*((f"<{n}>{w}<", f"<{n}>{e}<") for n, w, e in zip(names, was, ends, strict=True)))


def doctype(declared: str, name: str) -> Change:
    return edit(("<annotation>", f"<!DOCTYPE annotation {declared}>\n<annotation>"), ("<name>dog", f"<name>{name}"))


LAUGHS = "[<!ENTITY a 'dog'><!ENTITY b '&a;&a;&a;&a;'>]"
DEEP = ("<pose>", "<pose>" + "<a>" * 50 + "</a>" * 50), ("</pose>", "</pose>")
#: Rule, path, line, what is bad, what is near
CASES: list[tuple[Any, str, int | None, Change, Change]] = [
    (rules.VOC_BOX_EMPTY, A, 13, corners(10, 3, 10, 12), corners(10, 3, 11, 12)),
    (rules.VOC_BOX_FRACTION, A, 19, edit(("<xmin>2<", "<xmin>2.5<")), edit(("<xmin>2<", "<xmin>2 <"))),
    (rules.VOC_BOX_OUTSIDE, A, 13, corners(2, 3, 26, 12), corners(0, 0, 25, 17)),
    (rules.VOC_BOX_OUTSIDE, A, 13, corners(-1, 3, 20, 12), corners(1, 1, 24, 16)),
    (rules.VOC_BOX_SWAPPED, A, 13, corners(20, 3, 2, 12), corners(2, 3, 20, 12)),
    (
        rules.VOC_FLAG,
        A,
        17,
        edit(("difficult>0<", "difficult>no<")),
        edit(("<difficult>0</difficult>", "<difficult/>")),
    ),
    (rules.VOC_FORM, A, 13, edit(("<name>dog</name>", "")), edit(("<pose>Unspecified</pose>", ""))),
    (rules.VOC_FORM, A, 18, edit(("<ymax>12</ymax>", "")), edit((DOG.decode(), ""))),
    (
        rules.VOC_FORM,
        A,
        1,
        edit(("annotation>", "annotations>")),
        edit(("<annotation>", '<annotation verified="yes">')),
    ),
    (rules.VOC_NUMBER, A, 19, edit(("<xmin>2<", "<xmin>2px<")), edit(("<xmin>2<", "<xmin> 2 <"))),
    (rules.VOC_NUMBER, A, 10, edit(("<depth>3<", "<depth>-3<")), edit(("<depth>3<", "<depth><"))),
    (
        rules.VOC_OBJECT_REPEATED,
        A,
        25,
        edit((DOG.decode(), DOG.decode() * 2)),
        edit((DOG.decode(), DOG.decode() + DOG.decode().replace("dog", "cat"))),
    ),
    (rules.VOC_SIZE_MISMATCH, A, 7, edit(("<width>24", "<width>48")), edit(("<depth>3", "<depth>1"))),
    (rules.VOC_SIZE_MISMATCH, A, 7, also(A, xml("a", (16, 24))), also(A, xml("a"))),
    (rules.VOC_SIZE_MISSING, A, 7, edit(("<width>24", "<width>0")), edit(("<depth>3</depth>", ""))),
    (rules.VOC_SIZE_MISSING, A, 1, edit(("size>", "sizes>")), edit(("<segmented>0</segmented>", ""))),
    (rules.VOC_XML_DAMAGED, A, 16, also(A, xml("a")[:290]), also(A, b'<?xml version="1.0"?>\n' + xml("a"))),
    (rules.VOC_XML_DAMAGED, A, 1, also(A), edit(("dog", "d\u00f8g"))),
    (rules.VOC_XML_DAMAGED, A, 1, also(A, b"<html><br></html>"), also(A, xml("a").replace(b"\n", b"\r\n"))),
    (
        rules.VOC_XML_REFUSED,
        A,
        1,
        doctype("[<!ENTITY a SYSTEM 'file:///etc/hostname'>]", "&a;"),
        doctype("", "&lt;dog"),
    ),
    (rules.VOC_XML_REFUSED, A, 1, doctype(LAUGHS, "&b;"), doctype("SYSTEM 'http://127.0.0.1:9/a.dtd'", "&amp;dog")),
    (rules.VOC_XML_REFUSED, A, 15, edit(*DEEP), edit(("<pose>", "<pose><a><a/></a>"))),
    (
        voc_sets.VOC_ANNOTATION_MISSING,
        "JPEGImages/d.jpg",
        None,
        also("JPEGImages/d.jpg", jpeg(4)),
        both(also("JPEGImages/d.jpg", jpeg(4)), also("ImageSets/Main/test.txt", b"d\n")),
    ),
    (voc_sets.VOC_CLASS_SPELLING, A, None, edit(("dog", "Dog")), edit(("dog", "dogs"))),
    (voc_sets.VOC_FILE_NAME, A, 3, edit(("a.jpg", "b.jpg")), edit(("<folder>VOC", "<folder>2007"))),
    (voc_sets.VOC_FILE_NAME, A, 3, edit(("a.jpg", "a")), also("Annotations/.a.xml", b"")),
    (
        voc_sets.VOC_IMAGE_MISSING,
        "Annotations/d.xml",
        None,
        also("Annotations/d.xml", xml("d")),
        both(also("Annotations/d.xml", xml("d").replace(b"d.jpg", b"d.png")), also("JPEGImages/d.png", picture(4))),
    ),
    (
        voc_sets.VOC_MASK_MISSING,
        "ImageSets/Segmentation/train.txt",
        2,
        also("ImageSets/Segmentation/train.txt", b"a\nb\n"),
        also("ImageSets/Segmentation/test.txt", b"b\n"),
    ),
    (
        voc_sets.VOC_MASK_SIZE,
        "SegmentationClass/a.png",
        None,
        also("SegmentationClass/a.png", picture(9, (12, 8))),
        also("SegmentationObject/a.png", picture(9, (12, 8))),
    ),
    (voc_sets.VOC_SET_FORM, TRAIN, 2, also(TRAIN, b"a\nb 1 c\n"), also(TRAIN, b"a  1\r\nb 0\r\n")),
    (voc_sets.VOC_SET_FORM, TRAIN, None, also(TRAIN, b"a\nb\xff\n"), also(TRAIN, b"\xef\xbb\xbfa\n\n")),
    (voc_sets.VOC_SET_MEMBER, TRAIN, 2, also(TRAIN, b"a\nb.jpg\n"), also("ImageSets/Layout/train.txt", b"a 1\na 2\n")),
    (voc_sets.VOC_SET_MEMBER, TRAIN, 1, also(TRAIN, b"x\ny\n"), also("ImageSets/Action/jump_train.txt", b"a 1 -1\n")),
    (voc_sets.VOC_SET_REPEATED, TRAIN, 3, also(TRAIN, b"a\nb\na\n"), also("ImageSets/Main/all.txt", b"a\nb\nc\n")),
    (
        voc_sets.VOC_SETS_OVERLAP,
        "ImageSets/Main/val.txt",
        2,
        also("ImageSets/Main/val.txt", b"c\na\n"),
        also("ImageSets/Segmentation/val.txt", b""),
    ),
    (
        voc_sets.VOC_STEM_SHARED,
        IMAGE,
        None,
        also("JPEGImages/a.png", picture(5)),
        both(also("VOC2012/JPEGImages/a.jpg", jpeg(5)), also("VOC2012/Annotations/a.xml", xml("a"))),
    ),
]


@pytest.mark.parametrize(("rule", "path", "line", "bad", "near"), CASES)
def test_bad_is_found_and_near_is_not(
    tmp_path: Path, rule: Any, path: str, line: int | None, bad: Change, near: Change
) -> None:
    bad(voc(tmp_path / "bad"))
    (found,) = visprep.verify(tmp_path / "bad").findings
    assert (found.code, found.level, found.path, found.where.get("line")) == (rule.code, rule.level, path, line)
    near(voc(tmp_path / "near"))
    assert visprep.verify(tmp_path / "near").findings == ()


def test_a_place_without_an_annotation_says_so(tmp_path: Path) -> None:
    put(tmp_path, "photos/a.jpg", jpeg(1))
    assert [one.code for one in visprep.verify(tmp_path, as_="voc").findings] == [voc_sets.NO_VOC.code]
    put(tmp_path, "photos/a.xml", xml("a"))
    assert visprep.verify(tmp_path, as_="voc").findings == ()


def test_every_rule_has_its_case() -> None:
    told = {rule.code for rule, *_ in CASES} | {voc_sets.NO_VOC.code}
    assert told == {rule.code for rule in (*rules.RULES, *voc_sets.RULES)}


def test_a_file_that_is_cut_off_tells_where(tmp_path: Path) -> None:
    put(voc(tmp_path), A, xml("a")[:290])
    (found,) = visprep.verify(tmp_path).findings
    assert found.message == "line 16: unclosed token, within <truncated>"
    assert (found.where["line"], found.where["column"]) == (16, 15)


@pytest.mark.parametrize("at", range(0, len(xml("a")) - 2, 7))
def test_cut_off_anywhere_it_is_damaged(tmp_path: Path, at: int) -> None:
    put(voc(tmp_path), A, xml("a")[:at])
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["voc-xml-damaged"]


def test_billion_laughs_cost_nothing(tmp_path: Path) -> None:
    entities = "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12))
    doctype(f"[<!ENTITY a0 'ha'>{entities}]", "&a11;")(voc(tmp_path))
    (found,) = visprep.verify(tmp_path).findings
    assert (found.code, found.path) == ("voc-xml-refused", A)
    assert "entity 'a0'" in found.message


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1", "cp1252", "shift_jis", "klingon"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    head = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n'
    known = encoding in ("utf-8-sig", "utf-16", "latin-1", "cp1252")
    put(voc(tmp_path), A, (head + xml("a").decode()).encode(encoding if known else "ascii"))
    assert [one.code for one in visprep.verify(tmp_path).findings] == ([] if known else ["voc-xml-damaged"])


@pytest.mark.parametrize(("code", "data"), [("image-empty", b""), ("image-truncated", jpeg(3)[:-30])])
def test_a_damaged_image_has_the_code_that_it_has_in_coco(tmp_path: Path, code: str, data: bytes) -> None:
    put(voc(tmp_path), IMAGE, data)
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [(code, IMAGE)]


def test_a_set_of_every_class_tells_a_missing_image_once(tmp_path: Path) -> None:
    voc(tmp_path)
    for name in ("train", "dog_train", "cat_train"):
        put(tmp_path, f"ImageSets/Main/{name}.txt", b"a\nb\nz\n")
    assert [one.code for one in visprep.verify(tmp_path).findings] == ["voc-set-member"]


def test_a_directory_that_is_a_link_is_told(tmp_path: Path) -> None:
    voc(tmp_path / "place")
    (tmp_path / "place/JPEGImages").rename(tmp_path / "elsewhere")
    (tmp_path / "place/JPEGImages").symlink_to(tmp_path / "elsewhere")
    found = [(one.code, one.path) for one in visprep.verify(tmp_path / "place", as_="voc").findings]
    assert ("directory-link", "JPEGImages") in found


def test_a_place_without_any_image_is_one_finding(tmp_path: Path) -> None:
    voc(tmp_path)
    for path in (tmp_path / "JPEGImages").iterdir():
        path.unlink()
    (found,) = visprep.verify(tmp_path).findings
    assert (found.code, found.path, found.where["count"]) == ("voc-image-missing", ".", 3)


def test_what_a_set_lacks_is_told_of_the_whole_set_before_that_of_a_class(tmp_path: Path) -> None:
    voc(tmp_path)
    (tmp_path / A).unlink()
    found = {(one.code, one.path) for one in visprep.verify(tmp_path).findings}
    assert found == {("voc-set-member", TRAIN), ("voc-annotation-missing", IMAGE)}


# Finding places


def devkit(root: Path) -> None:
    voc(root / "VOCdevkit/VOC2007")
    voc(root / "VOCdevkit/VOC2012")


def flat(root: Path) -> None:
    """As Roboflow exports it: annotations beside images, in a directory a part."""
    for part in ("train", "valid"):
        for stem in "abc":
            put(root, f"{part}/{stem}.jpg", jpeg(ord(stem)))
            put(root, f"{part}/{stem}.xml", xml(stem))


def supervision(root: Path) -> None:
    """As supervision writes it, with images/ beside Annotations/ in two parts."""
    for part in ("train", "valid"):
        for stem in "abc":
            put(root, f"{part}/images/{stem}.jpg", jpeg(ord(stem)))
            put(root, f"{part}/Annotations/{stem}.xml", xml(stem))


@pytest.mark.parametrize("make", [devkit, flat, supervision])
def test_the_usual_shapes_are_read(tmp_path: Path, make: Change) -> None:
    make(tmp_path)
    report = visprep.verify(tmp_path)
    assert (report.format, report.checked["images"], report.checked["objects"]) == ("voc", 6, 6)
    assert report.findings == ()


def test_xml_of_others_is_no_voc(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", jpeg(1))
    put(tmp_path, "a.xml", b"<note>x</note>")
    put(tmp_path, "pom.xml", b"<project/>")
    with pytest.raises(visprep.VisprepError, match="nothing here"):
        visprep.verify(tmp_path)


DEPTHS = [("names", []), ("sizes", ["image-empty"]), ("headers", ["image-empty", "voc-xml-damaged"])]


@pytest.mark.parametrize(("depth", "codes"), DEPTHS)
def test_depths(tmp_path: Path, depth: str, codes: list[str]) -> None:
    voc(tmp_path)
    put(tmp_path, B, b"<")
    put(tmp_path, IMAGE, b"")
    found = visprep.verify(tmp_path, depth=depth).findings
    assert sorted(one.code for one in found) == codes


def test_a_dry_run_tells_the_bytes(tmp_path: Path) -> None:
    voc(tmp_path)
    sizes = sum(path.stat().st_size for path in tmp_path.rglob("*.*") if path.suffix != ".txt")
    assert visprep.verify(tmp_path, dry_run=True).checked["bytes"] == sizes


def test_an_annotation_of_gigabytes_is_refused(tmp_path: Path) -> None:
    voc(tmp_path)
    with (tmp_path / A).open("wb") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    assert [(one.code, one.path) for one in visprep.verify(tmp_path).findings] == [("voc-xml-refused", A)]
