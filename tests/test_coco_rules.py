from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coco_documents import Document, base, captions, codes, in_memory, instances, keypoints, look, panoptic, written
from visprep.findings import Level
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_runs import totals, uncompressed
from visprep.rules.coco import RULES, check

Change = Callable[[Document], Any]
Case = tuple[str, Callable[[], Document], Change, Change]


def image(**changes: Any) -> Change:
    """Another first image; None removes a member."""
    return lambda document: changed(document["images"][0], changes)


def one(number: int = 1, /, **changes: Any) -> Change:
    """Another annotation."""
    return lambda document: changed(document["annotations"][number], changes)


def category(**changes: Any) -> Change:
    return lambda document: changed(document["categories"][0], changes)


def changed(record: dict[str, Any], changes: dict[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            del record[name]
        else:
            record[name] = value


def every(**how: Callable[[dict[str, Any]], Any]) -> Change:
    """Another value for a member of all annotations."""

    def change(document: Document) -> None:
        for annotation in document["annotations"]:
            annotation.update({name: make(annotation) for name, make in how.items()})

    return change


def also(key: str, record: Any) -> Change:
    return lambda document: document[key].append(record)


def again(key: str, **changes: Any) -> Change:
    """The last record once more, with changes."""
    return lambda document: document[key].append({**document[key][-1], **changes})


def text(old: str, new: str, encoding: str = "utf-8") -> Change:
    """The document with other text in one place."""

    def change(document: Document) -> bytes:
        before = json.dumps(document, ensure_ascii=False)
        assert old in before
        return before.replace(old, new, 1).encode(encoding)

    return change


def nothing(document: Document) -> None:
    """As it is."""


def boxes_only(document: Document) -> None:
    for annotation in document["annotations"]:
        annotation.pop("segmentation")


def both(*changes: Change) -> Change:
    def change(document: Document) -> None:
        for one_of_them in changes:
            one_of_them(document)

    return change


def images_named(*names: str) -> Change:
    """More images, with these names."""
    return lambda document: document["images"].extend(
        {"id": number, "file_name": name, "width": 640, "height": 480} for number, name in enumerate(names, 1)
    )


def boxes(*given: list[float]) -> Change:
    """Annotations with these boxes, and neither masks nor areas that speak of others."""

    def change(document: Document) -> None:
        document["annotations"] = [
            {"id": n, "image_id": 100, "category_id": 1, "bbox": box, "area": 1e-4, "iscrowd": 0}
            for n, box in enumerate(given, 1)
        ]

    return change


SQUARE = [[10.5, 20.25, 71.5, 20.25, 71.5, 60.75, 10.5, 60.75]]
ZEBRA = {"id": 24, "name": "zebra"}
DEEP, NOT_SO_DEEP = "[" * 9000 + "]" * 9000, "[" * 50 + "]" * 50

CASES: list[Case] = [
    ("annotation-bare", instances, one(area=None), lambda d: written(captions())),
    ("annotation-id-repeated", instances, one(2, id=2), one(2, id=100)),
    ("annotation-id-zero", instances, one(id=0), one(id=1)),
    ("annotation-image-unknown", instances, one(image_id=99), lambda d: d["annotations"].clear()),
    ("annotation-incomplete", instances, one(image_id=None), lambda d: written(panoptic())),
    ("annotation-type", instances, one(image_id="101"), one(area=100)),
    ("area-exceeds-box", instances, one(area=5000), one(area=2430)),
    ("area-form", instances, one(area=0.0), one(area=0.5)),
    (
        "box-corners",
        instances,
        boxes([400, 300, 600, 450], [300, 200, 600, 450], [350, 250, 600, 400], [1, 1, 2, 2]),
        boxes([400, 300, 10, 15], [300, 200, 60, 40], [350, 250, 60, 40], [1, 1, 2, 2]),
    ),
    ("box-empty", instances, one(bbox=[11.5, 20.25, 60.0, 0.0]), one(bbox=[11.5, 20.25, 60.0, 40.5])),
    ("box-form", instances, one(bbox=[12, 30, 55]), one(bbox=[12, 20, 60, 40])),
    (
        "box-negative",
        instances,
        one(bbox=[100, 100, -20, 50]),
        both(boxes_only, one(bbox=[-0.4, 9, 70, 40])),
    ),
    (
        "box-normalized",
        instances,
        boxes([0.25, 0.5, 0.1, 0.2], [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1]),
        boxes([0.25, 0.5, 0.1, 0.2], [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1], [10, 10, 1.5, 1]),
    ),
    (
        "box-outside-image",
        instances,
        both(boxes_only, one(bbox=[600, 100, 80, 50])),
        both(boxes_only, one(bbox=[600, 100, 40.5, 60])),
    ),
    ("caption-empty", captions, one(caption=" "), one(caption="A dog.")),
    ("category-color", panoptic, category(isthing=2), category(isthing=0)),
    ("category-id-repeated", instances, again("categories", name="cat"), again("categories", id=17, name="cat")),
    (
        "category-id-zero",
        instances,
        also("categories", {"id": 0, "name": "x"}),
        also("categories", ZEBRA),
    ),
    ("category-incomplete", instances, also("categories", {"id": 24}), also("categories", ZEBRA)),
    ("category-joints", keypoints, category(skeleton=[[0, 1]]), category(skeleton=[])),
    ("category-name", instances, category(name="person "), category(name="traffic light")),
    ("category-type", instances, also("categories", {"id": "7", "name": "x"}), text('"animal"', "null")),
    ("category-unknown", instances, one(category_id=24), also("categories", ZEBRA)),
    ("crowd-polygon", instances, one(iscrowd=1), one(segmentation={"counts": [307200], "size": [480, 640]})),
    ("crowd-value", instances, one(iscrowd=2), nothing),
    ("id-float", instances, text('"id": 900100000100', '"id": 900100000100.0'), one(area=100.0)),
    ("image-date", base, image(date_captured="14/11/2013"), image(date_captured="")),
    ("image-id-of-name", base, image(id=99), image(file_name="x100.jpg", coco_url=None)),
    (
        "image-id-repeated",
        base,
        again("images", file_name="b.jpg", coco_url=""),
        again("images", file_name="b.jpg", coco_url="", id=1),
    ),
    ("image-incomplete", base, image(height=None), image(license=None, coco_url=None, date_captured=None)),
    ("image-license-unknown", base, image(license=9), image(license=None)),
    ("image-name-case", base, images_named("a.jpg", "A.jpg"), images_named("train/a.jpg", "val/a.jpg")),
    ("image-name-repeated", base, images_named("a.jpg", "a.jpg"), images_named("train/a.jpg", "val/a.jpg")),
    ("image-name-unsafe", base, image(file_name="../a.jpg", coco_url=""), image(file_name="val/a..b.jpg", coco_url="")),
    ("image-size-form", base, image(width=0), image(width=1)),
    ("image-type", base, image(id="100"), text('"license": 4', '"license": null')),
    (
        "image-url-other",
        base,
        image(coco_url="http://x/000000000999.jpg"),
        image(coco_url="http://mscoco.org/images/100"),
    ),
    ("json-cut", instances, lambda d: written(d)[:-50], lambda d: written(d) + b"\n\n"),
    (
        "json-deep",
        instances,
        text('"year": 2017', f'"year": {DEEP}'),
        text('"year": 2017', f'"year": {NOT_SO_DEEP}'),
    ),
    ("json-empty", instances, lambda d: b" \n", lambda d: b'{"images": []}'),
    ("json-encoding", instances, text("000000000100.jpg", "caf\xe9.jpg", "latin-1"), text("COCO 2017", "caf\xe9")),
    (
        "json-key-repeated",
        instances,
        text('"iscrowd": 1', '"iscrowd": 1, "iscrowd": 1'),
        text('"area"', '"\\u0061rea"'),
    ),
    ("json-large", instances, one(note="x" * 9_000_000), one(note="x" * 7_000_000)),
    ("json-list-missing", instances, lambda d: d.pop("categories") and None, lambda d: d.pop("annotations") and None),
    ("json-not-finite", instances, text('"area": 2430.0', '"area": NaN'), category(name="NaN")),
    ("json-number-range", instances, one(id=2**63), one(id=2**63 - 1)),
    ("json-record", base, also("images", 17), lambda d: d["images"].clear()),
    ("json-syntax", instances, text('"categories": [', '"categories": [,'), lambda d: json.dumps(d, indent=2).encode()),
    ("json-top", base, lambda d: d.update(annotations={"1": {}}), lambda d: b"[]"),
    ("keypoints-count", keypoints, one(num_keypoints=0), one(num_keypoints=0, keypoints=[0] * 9)),
    ("keypoints-form", keypoints, one(keypoints=[30, 40, 2, 0, 0, 0], num_keypoints=1), nothing),
    (
        "keypoints-outside-image",
        keypoints,
        one(keypoints=[700, 40, 2, 0, 0, 0, 3, 4, 1]),
        one(keypoints=[640, 40, 2, 0, 0, 0, 3, 4, 1]),
    ),
    (
        "keypoints-unlabelled",
        keypoints,
        one(keypoints=[30, 40, 2, 9, 9, 0, 3, 4, 1]),
        one(keypoints=[30, 40, 2, 9, 9, 1, 0, 0, 0]),
    ),
    (
        "keypoints-visibility",
        keypoints,
        one(keypoints=[30, 40, 0.87, 9, 9, 3, 3, 4, 1], num_keypoints=3),
        one(keypoints=[30, 40, 2.0, 0, 0, 0, 3, 4, 1]),
    ),
    ("license-form", base, again("licenses"), lambda d: d["licenses"][0].pop("url") and None),
    ("panoptic-file", panoptic, one(file_name="000000000101.jpg"), nothing),
    ("panoptic-repeated", panoptic, again("annotations"), lambda d: written(instances())),
    ("polygon-flat", instances, one(segmentation=[*SQUARE, [11, 30, 12, 30, 13, 30]]), one(segmentation=SQUARE)),
    ("polygon-odd", instances, one(segmentation=[*SQUARE, [11, 30, 12, 30, 13, 30, 7]]), one(segmentation=SQUARE)),
    (
        "polygon-off-box",
        instances,
        one(segmentation=[[5, 20, 70, 20, 70, 60]]),
        one(segmentation=[[10, 20, 72, 20, 72, 60]]),
    ),
    (
        "polygon-outside-image",
        instances,
        one(bbox=[599, 20, 41, 40.5], area=9, segmentation=[[599, 20, 642, 20, 640, 60]]),
        one(bbox=[599, 20, 41, 40.5], area=9, segmentation=[[599, 20, 640.5, 20, 640, 60]]),
    ),
    ("polygon-short", instances, one(segmentation=[[11, 20, 72, 60]]), one(segmentation=[[11, 20, 72, 60, 11, 60]])),
    (
        "rle-counts",
        instances,
        one(segmentation={"counts": [100, 20], "size": [480, 640]}),
        one(segmentation={"counts": [0, 307200], "size": [480, 640]}),
    ),
    (
        "rle-size",
        instances,
        one(segmentation={"counts": [307200], "size": [640, 480]}),
        one(segmentation={"counts": [307200], "size": [480, 640]}),
    ),
    ("segment-id", panoptic, lambda d: d["annotations"][1]["segments_info"][0].update(id=0), nothing),
    ("segmentation-empty", instances, one(segmentation=[]), one(segmentation=None)),
    ("segmentation-form", instances, one(segmentation=SQUARE[0]), one(segmentation=SQUARE)),
    ("segments-form", panoptic, one(segments_info={"1": {}}), one(segments_info=[])),
]
IDS = [code for code, *_ in CASES]


def applied(document: Document, change: Change) -> Any:
    return made if isinstance(made := change(document), bytes) else document


def resolved(document: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        document = document[int(part) if isinstance(document, list) else part]
    return document


@pytest.mark.parametrize(("code", "make", "bad", "near"), CASES, ids=IDS)
def test_one_fault_gives_one_finding(code: str, make: Callable[[], Document], bad: Change, near: Change) -> None:
    assert codes(applied(make(), bad)) == [code]


@pytest.mark.parametrize(("code", "make", "bad", "near"), CASES, ids=IDS)
def test_a_near_miss_gives_nothing(code: str, make: Callable[[], Document], bad: Change, near: Change) -> None:
    assert codes(applied(make(), near)) == []


@pytest.mark.parametrize(("code", "make", "bad", "near"), CASES, ids=IDS)
def test_a_fault_is_named_at_its_byte_wherever_it_stands(
    code: str, make: Callable[[], Document], bad: Change, near: Change
) -> None:
    document = make()
    data = applied(document, bad)
    if isinstance(data, bytes):
        return  # what is wrong there is no JSON, or none that has pointers
    for shift in range(3):
        moved = copy.deepcopy(data)
        for key in ("images", "annotations", "categories"):
            if isinstance(moved.get(key), list):
                moved[key] = moved[key][shift:] + moved[key][:shift]
        for indent in (None, 1):
            whole = json.dumps(moved, indent=indent).encode()
            (finding,) = look(whole).findings
            where = finding.where
            assert finding.code == code
            if "byte" in where and "pointer" in where:
                value, _ = json.JSONDecoder().raw_decode(whole[where["byte"] :].decode())
                assert value == resolved(moved, where["pointer"])
                assert where["line"] == whole.count(b"\n", 0, where["byte"]) + 1
                assert where["column"] == where["byte"] - whole.rfind(b"\n", 0, where["byte"])


def test_every_rule_has_a_fault_and_a_near_miss() -> None:
    assert [rule.code for rule in RULES] == IDS
    assert len(RULES) >= 35


@pytest.mark.parametrize("make", [base, instances, keypoints, captions, panoptic])
def test_clean_documents_of_every_kind_give_nothing(make: Callable[[], Document]) -> None:
    checked = look(make())
    assert checked.findings == ()
    assert checked.readable
    assert checked.kind == ("images" if make is base else make.__name__)
    assert checked.counts == {
        "images": 3,
        "annotations": len(make()["annotations"]),
        "categories": 2 * (make is not captions),
    }


@pytest.mark.parametrize("make", [instances, keypoints, captions, panoptic])
def test_the_order_of_the_lists_does_not_matter(make: Callable[[], Document]) -> None:
    document = dict(reversed(make().items()))
    assert list(document)[-1] == "info"
    assert codes(document) == []
    document["annotations"][0]["image_id"] = 7
    assert codes(document) == ["annotation-image-unknown"]


def levels(document: Any) -> set[Level]:
    return {finding.level for finding in look(document).findings}


def of_facts(name: str) -> Any:
    """What official files, and those derived from them, have that looks wrong."""
    document = instances()
    flat = [[296.65, 388.33, 296.65, 388.33, 297.68, 388.33, 297.68, 388.33]]
    bare = {"id": 2, "image_id": 101, "category_id": 1, "bbox": [1, 2, 3, 4]}
    return {
        "a box without height": both(one(bbox=[296.65, 388.33, 1.03, 0.0], segmentation=flat, area=0.0)),
        "the id of a crowd": one(id=908400416500),
        "the id of a crowd as a float": one(id=908400416500.0),
        "images without annotations": lambda d: d["annotations"].__delitem__(slice(None)),
        "an image_info": lambda d: d.pop("annotations") and None,
        "no area, iscrowd and segmentation": lambda d: d["annotations"].__setitem__(1, bare),
        "an early coco_url": image(coco_url="http://mscoco.org/images/391895"),
        "a name of 2014": image(file_name="COCO_val2014_000000000100.jpg", coco_url="http://mscoco.org/images/100"),
        "gaps in the categories": lambda d: d["categories"].append({"id": 90, "name": "toothbrush"}),
        "no info": lambda d: d.pop("info") and None,
    }[name], document


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a box without height", ["area-form", "box-empty", "polygon-flat"]),
        ("the id of a crowd", []),
        ("the id of a crowd as a float", ["id-float"]),
        ("images without annotations", []),
        ("an image_info", []),
        ("no area, iscrowd and segmentation", ["annotation-bare"]),
        ("an early coco_url", []),
        ("a name of 2014", []),
        ("gaps in the categories", []),
        ("no info", []),
    ],
)
def test_the_oddities_of_official_files_are_no_errors(name: str, expected: list[str]) -> None:
    change, document = of_facts(name)
    change(document)
    assert sorted(codes(document)) == expected
    assert Level.ERROR not in levels(document)


def test_real_annotations_are_clean(real_coco: Path) -> None:
    for file in sorted((real_coco / "annotations").glob("*.json")):
        checked = check(JsonFile.on_disk(file))
        assert checked.findings == ()
        assert checked.kind == "instances"


def test_a_member_without_a_name_makes_no_list_of_results() -> None:
    assert look(b"[]").kind == "results"
    assert codes(b'{"": []}') == ["json-list-missing"]
    assert look(b'{"": []}').kind is None


def test_numbers_beyond_floats_are_named_outside_of_records_too() -> None:
    document = written(base()).replace(b'"year": 2017', b'"year": 1e999')
    assert codes(document) == ["json-number-range"]


def test_findings_tell_the_ids_of_what_they_are_about() -> None:
    document = instances()
    one(2, bbox=[1, 2, -3, 4])(document)
    (finding,) = look(document).findings
    assert {name: finding.where[name] for name in ("image_id", "annotation_id")} == {
        "image_id": 102,
        "annotation_id": 3,
    }
    assert finding.message == "annotation 3 of image 102: the box [1, 2, -3, 4] has a side below 0"
    assert finding.where["pointer"] == "/annotations/2/bbox"


@pytest.mark.parametrize(
    ("change", "ids"),
    [
        (image(width="d"), {"image_id": 100}),
        (image(license=77), {"image_id": 100}),
        (category(name=3), {"category_id": 1}),
        (one(bbox="d"), {"annotation_id": 2, "image_id": 101}),
    ],
)
def test_types_and_licenses_name_their_record(change: Change, ids: dict[str, int]) -> None:
    document = instances()
    change(document)
    (finding,) = look(document).findings
    assert {name: value for name, value in finding.where.items() if name.endswith("_id")} == ids


def test_a_file_is_named_as_the_caller_names_it() -> None:
    (finding,) = check(in_memory(b""), "annotations/instances_val2017.json").findings
    assert finding.path == "annotations/instances_val2017.json"


COMPRESSED = [
    ([0, 307200], "size and all mask"),
    ([100, 20, 307080], "three runs"),
    ([5, 7, 3, 9, 2, 307174], "differences below 0"),
]


@pytest.mark.parametrize("counts", [counts for counts, _ in COMPRESSED], ids=[name for _, name in COMPRESSED])
def test_compressed_masks_are_decoded_as_pycocotools_does(counts: list[int]) -> None:
    from pycocotools import mask

    text = mask.frPyObjects({"counts": counts, "size": [480, 640]}, 480, 640)["counts"].decode()
    assert uncompressed(text) == counts
    document = instances()
    one(segmentation={"counts": text, "size": [480, 640]})(document)
    assert codes(document) == []
    one(segmentation={"counts": text[:-1], "size": [480, 640]})(document)
    assert codes(document) == ["rle-counts"]


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_any_runs_come_back_from_their_compressed_form(counts: list[int]) -> None:
    assert uncompressed(compressed(counts)) == counts


@given(st.lists(st.lists(st.integers(0, 2**24), min_size=1, max_size=30), min_size=1, max_size=5))
def test_what_runs_add_up_to_is_told_for_many_masks_at_once(masks: list[list[int]]) -> None:
    found = totals(list(map(compressed, masks)))
    assert found is not None
    assert found[0].tolist() == list(map(sum, masks))
    assert found[1].tolist() == list(map(min, masks))


@pytest.mark.parametrize("text", ["", "1o", "é", "~", "P" * 9 + "1", "oooooo?" * 100_000])
def test_masks_that_take_care_are_left_to_others(text: str) -> None:
    assert totals(["04", text]) is None


def compressed(counts: list[int]) -> str:
    """As cocoapi's rleToString writes it."""
    text = ""
    for at, count in enumerate(counts):
        value = count - counts[at - 2] if at > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
            if not more:
                break
    return text


def alone(**changes: Any) -> Document:
    """A document with one annotation, which has neither mask nor area unless it is given one."""
    document = base()
    document["annotations"] = [{"id": 1, "image_id": 100, "category_id": 1, "area": 1e-3, "iscrowd": 0, **changes}]
    return document


@pytest.mark.parametrize(
    ("box", "outside"),
    [
        ([-1, 10, 20, 20], False),
        ([-1.01, 10, 20, 20], True),
        ([10, -1, 20, 20], False),
        ([10, -1.01, 20, 20], True),
        ([600, 10, 41, 20], False),
        ([600, 10, 41.01, 20], True),
        ([10, 400, 20, 81], False),
        ([10, 400, 20, 81.01], True),
    ],
)
def test_a_pixel_around_the_image_is_rounding(box: list[float], outside: bool) -> None:
    assert codes(alone(bbox=box)) == ["box-outside-image"] * outside
    x, y, w, h = box
    outline = alone(bbox=box, segmentation=[[x, y, x + w, y, x + w, y + h]])
    assert codes(outline) == ["box-outside-image", "polygon-outside-image"] * outside
    joints = keypoints()
    joints["annotations"][1]["keypoints"] = [x, y, 1, x + w, y + h, 2, 0, 0, 0]
    assert codes(joints) == ["keypoints-outside-image"] * outside


def test_keypoints_that_are_counted_and_not_there() -> None:
    assert codes(applied(keypoints(), one(num_keypoints=2, keypoints=[]))) == ["keypoints-count"]
    assert codes(applied(keypoints(), one(num_keypoints=0, keypoints=[]))) == []


@pytest.mark.parametrize(
    ("shift", "off"), [((3, 0, 0, 0), False), ((3.01, 0, 0, 0), True), ((0, 3.01, 0, 0), True), ((0, 0, 3.01, 0), True)]
)
def test_three_pixels_between_box_and_polygon_are_let_be(shift: tuple[float, ...], off: bool) -> None:
    left, top, right, bottom = (a + b for a, b in zip((100, 100, 200, 200), shift, strict=True))
    outline = [[left, top, right, top, right, bottom, left, bottom]]
    assert codes(alone(bbox=[100, 100, 100, 100], segmentation=outline)) == ["polygon-off-box"] * off


@pytest.mark.parametrize(("area", "found"), [(122.2, []), (122.3, ["area-exceeds-box"])])
def test_an_area_may_be_a_little_larger_than_its_box(area: float, found: list[str]) -> None:
    assert codes(alone(bbox=[100, 100, 10, 10], area=area)) == found


@pytest.mark.parametrize(
    ("new", "code"), [("NaN", "json-not-finite"), ("-Infinity", "json-not-finite"), ("tru", "json-syntax")]
)
def test_what_is_no_json_within_a_record_is_named_at_its_byte(new: str, code: str) -> None:
    data = written(instances()).replace(b'"area": 2430.0', b'"area": ' + new.encode(), 1)
    (finding,) = look(data).findings
    assert finding.code == code
    assert finding.where["pointer"] == "/annotations/1"
    assert data.index(new.encode()) <= finding.where["byte"] <= data.index(new.encode()) + len(new)


def test_the_area_of_a_crowd_is_not_held_against_its_box() -> None:
    assert codes(alone(bbox=[100, 100, 10, 10], area=5000)) == ["area-exceeds-box"]
    assert codes(alone(bbox=[100, 100, 10, 10], area=5000, iscrowd=1)) == []


def test_the_polygons_of_an_annotation_are_measured_together() -> None:
    left, right = [100, 100, 120, 100, 120, 150], [180, 100, 200, 100, 200, 150]
    assert codes(alone(bbox=[100, 100, 100, 50], segmentation=[left, right])) == []
    assert codes(alone(bbox=[100, 100, 100, 50], segmentation=[left])) == ["polygon-off-box"]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([10, 10, 20, 10, 30, 10], "a horizontal line"),
        ([10, 10, 10, 20, 10, 30], "a vertical line"),
        ([10, 10, 10, 10, 10, 10], "one point"),
    ],
)
def test_a_flat_polygon_says_how_it_is_flat(points: list[float], words: str) -> None:
    (finding,) = look(flat(points)).findings
    assert finding.code == "polygon-flat"
    assert finding.message.endswith(f"all points of a polygon lie on {words}")


def flat(points: list[float]) -> Document:
    """An annotation with such a polygon beside a sound one, without a box."""
    return alone(bbox=[10, 10, 30, 30], segmentation=[points, [10, 10, 40, 10, 40, 40]])


def test_many_findings_of_small_numbers_are_told_as_they_are_written() -> None:
    document = alone(bbox=[10, 10, 30, 30], segmentation=[[-5, 10, 40, 10, 40, 40]])
    found = {finding.code: finding.message for finding in look(document).findings}
    assert set(found) == {"polygon-off-box", "polygon-outside-image"}
    assert found["polygon-outside-image"].endswith("a polygon reaches from -5, 10 to 40, 40, the image is 640 x 480")


@pytest.mark.parametrize(
    ("code", "box"),
    [
        ("box-corners", lambda x, y, w, h: [x, y, x + w, y + h]),
        ("box-normalized", lambda x, y, w, h: [x / 640, y / 480, w / 640, h / 480]),
    ],
)
def test_boxes_that_mean_something_else_are_one_finding(code: str, box: Callable[..., list[float]]) -> None:
    document = base()
    document["annotations"] = [
        {
            "id": number + 1,
            "image_id": 100,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": box(300, 200 + number, 200, 150),
            "area": 30_000,
            "segmentation": [[300, 200 + number, 500, 200 + number, 500, 350 + number, 300, 350 + number]],
        }
        for number in range(5)
    ]
    (finding,) = look(document).findings
    assert finding.code == code
    assert finding.where == {"pointer": "/annotations", "count": 5}


@pytest.mark.parametrize(
    ("key", "field"), [("categories", "id"), ("categories", "name"), ("images", "id"), ("licenses", "id")]
)
def test_of_a_table_with_a_record_that_cannot_be_read_nothing_is_missing(key, field):
    """The one cause is told, and not what follows from it a thousand times."""
    document = instances()
    record = json.dumps(document[key][0])
    broken = json.dumps(document[key][0] | {field: "@"}).replace("@", "\\x")
    found = check(in_memory(json.dumps(document).replace(record, broken).encode()))
    assert [one.code for one in found.findings] == ["json-syntax"]
    document[key][0][field] = None
    told = {one.code for one in check(in_memory(written(document))).findings}
    assert not told & {"annotation-image-unknown", "category-unknown", "image-license-unknown"}


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("s3://bucket/a.jpg", True),
        ("https://localhost/a b.jpg?v=1", True),
        ("s3://bucket/../a.jpg", False),
        ("s3://bucket", False),
        ("s3:///a.jpg", False),
        ("file:///etc/passwd", False),
        ("ftp://localhost/a.jpg", False),
    ],
)
def test_an_address_is_a_name_and_half_of_one_is_none(name: str, safe: bool) -> None:
    document = base()
    document["images"][0] |= {"file_name": name, "coco_url": ""}
    assert codes(document) == ([] if safe else ["image-name-unsafe"])
