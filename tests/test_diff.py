"""`visprep diff` beyond files: images, annotations, classes, splits, tasks and prompts."""

import copy
import json
import math
import random
import re
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from PIL import ExifTags, Image

import visprep
from coco_documents import captions, instances, keypoints, panoptic
from coco_place import make
from visprep.differences.matching import keyed, matched, overlaps
from visprep.errors import FileMissing, UnknownContent, UsageError

#: Two images and two classes; the boxes of one class and image lie apart.
BOXES = [(0, 0, 10, 10), (50, 50, 20, 10), (100, 0, 30, 30)]


def document(boxes=BOXES, images=2):
    annotations = [
        {"id": 10 * image + number, "image_id": image, "category_id": 1 + number % 2, "bbox": list(box), "area": 5.0}
        for image in range(1, images + 1)
        for number, box in enumerate(boxes)
    ]
    return {
        "info": {"year": 2017},
        "images": [{"id": one, "file_name": f"{one}.jpg", "width": 200, "height": 100} for one in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


@pytest.fixture
def compared(tmp_path):
    """What diff tells of two documents, but for their file."""

    def compare(a, b, **options):
        for name, one in (("a.json", a), ("b.json", b)):
            (tmp_path / name).write_text(one if isinstance(one, str) else json.dumps(one))
        found = list(visprep.diff(tmp_path / "a.json", tmp_path / "b.json", **options))
        assert [one.kind for one in found].count("file") == bool(found)
        return found[1:]

    return compare


def edited(document, **changes):
    other = copy.deepcopy(document)
    for path, value in changes.items():
        key, row, name = path.split("__")
        other[key][int(row)][name] = value
    return other


def by_kind(found):
    return {kind: [one for one in found if one.kind == kind] for kind in {one.kind for one in found}}


class TestAnnotations:
    def test_the_same_bytes_are_no_difference(self, compared):
        assert compared(document(), document()) == []

    def test_other_bytes_that_say_the_same(self, compared):
        other = {key: document()[key] for key in reversed(document())}
        other["annotations"] = [dict(reversed(one.items())) | {"area": 5} for one in other["annotations"]]
        assert compared(document(), json.dumps(other, indent=1)) == []

    def test_a_moved_box(self, compared):
        (found,) = compared(document(), edited(document(), annotations__0__bbox=[5, 0, 10, 10]))
        assert (found.change, found.what, found.image, found.id_a, found.id_b) == (
            "changed",
            ("moved",),
            "1.jpg",
            10,
            10,
        )
        assert (found.box_a, found.box_b) == ((0, 0, 10, 10), (5, 0, 10, 10))
        assert found.iou == pytest.approx(1 / 3, abs=1e-6)

    def test_a_box_that_is_far_from_where_it_was_is_the_same_by_its_id(self, compared):
        (found,) = compared(document(), edited(document(), annotations__0__bbox=[150, 80, 10, 10]))
        assert (found.what, found.iou) == (("moved",), 0.0)

    def test_another_class(self, compared):
        (found,) = compared(document(), edited(document(), annotations__1__category_id=1))
        assert (found.what, found.class_a, found.class_b, found.iou) == (("class",), "dog", "cat", 1.0)

    def test_other_fields_with_their_values(self, compared):
        other = edited(document(), annotations__0__area=7, annotations__0__iscrowd=1)
        (found,) = compared(document(), other)
        assert found.what == ("fields",)
        assert [(one.name, one.a, one.b) for one in found.fields] == [("area", 5.0, 7), ("iscrowd", None, 1)]

    def test_null_and_nothing_say_the_same(self, compared):
        assert compared(document(), edited(document(), annotations__0__segmentation=None)) == []

    def test_all_at_once_is_one_difference(self, compared):
        other = edited(document(), annotations__2__bbox=[101, 0, 30, 30], annotations__2__category_id=2)
        (found,) = compared(document(), edited(other, annotations__2__area=1))
        assert found.what == ("moved", "class", "fields")

    def test_one_that_came_and_one_that_went(self, compared):
        other = document()
        other["annotations"][0] |= {"id": 99, "bbox": [150, 80, 10, 10]}
        went, came = compared(document(), other)
        assert (went.change, went.id_a, went.id_b, went.box_a, went.class_a) == (
            "removed",
            10,
            None,
            (0, 0, 10, 10),
            "cat",
        )
        assert (came.change, came.id_a, came.id_b, came.box_b, came.class_b) == (
            "added",
            None,
            99,
            (150, 80, 10, 10),
            "cat",
        )

    def test_an_annotation_of_another_image_went_and_came(self, compared):
        found = compared(document(), edited(document(), annotations__0__image_id=2))
        assert [(one.change, one.image) for one in found] == [("removed", "1.jpg"), ("added", "2.jpg")]

    def test_one_whose_image_is_not_in_the_file(self, compared):
        a = edited(document(), annotations__0__image_id=77)
        assert compared(a, json.dumps(a, indent=1)) == []
        (found,) = compared(a, edited(a, annotations__0__area=6))
        assert (found.image, found.what) == ("", ("fields",))

    def test_captions_by_their_words(self, compared):
        other = captions()
        other["annotations"][0]["caption"] = "Something else"
        gone = other["annotations"].pop()
        changed, removed = compared(captions(), other)
        assert changed.fields[0].b == "Something else"
        assert removed.fields[0].a == gone["caption"]

    def test_keypoints_are_fields(self, compared):
        other = keypoints()
        other["annotations"][0]["keypoints"][0] += 1
        (found,) = compared(keypoints(), other)
        assert [one.name for one in found.fields] == ["keypoints"]

    def test_segments_of_panoptic_files_one_by_one(self, compared):
        other = panoptic()
        segments = other["annotations"][0]["segments_info"]
        segments[0]["bbox"][0] += 1
        segments[1]["category_id"] = segments[0]["category_id"]
        segments.append({"id": 5, "category_id": 1, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0})
        found = compared(panoptic(), other)
        assert [(one.change, one.what) for one in found] == [
            ("changed", ("moved",)),
            ("changed", ("class",)),
            ("added", ()),
        ]
        assert 0 < found[0].iou < 1

    def test_segments_of_no_class_that_could_be(self, compared):
        other = panoptic()
        for one, value in zip(other["annotations"][0]["segments_info"], ({"a": 1}, None), strict=True):
            one["category_id"] = value
        assert [(one.what, one.class_b) for one in compared(panoptic(), other)] == [
            (("class",), "#{'a': 1}"),
            (("class",), None),
        ]

    def test_values_that_are_no_box(self, compared):
        a = edited(
            document(), annotations__0__bbox="none", annotations__1__bbox=[1, 2, 3], annotations__2__bbox=[1e300] * 4
        )
        assert compared(a, json.dumps(a, indent=1)) == []
        found = compared(document(), a)
        assert [one.what for one in found] == [("fields",)] * 3


class TestRenumbered:
    def test_all_ids_are_others(self, compared):
        other = document()
        for one in other["images"]:
            one["id"] += 100
        for one in other["annotations"]:
            one |= {"id": one["id"] + 7, "image_id": one["image_id"] + 100}
        found = compared(document(), other)
        assert [(one.kind, one.what, one.count) for one in found] == [("ids", "images", 2), ("ids", "annotations", 6)]

    def test_by_class_and_overlap(self, compared):
        other = document()
        for number, one in enumerate(other["annotations"]):
            one |= {"id": 1000 + number, "bbox": [one["bbox"][0] + 1, *one["bbox"][1:]]}
        found = by_kind(compared(document(), other))
        assert [one.what for one in found["annotation"]] == [("moved",)] * 6
        assert [(one.id_a, one.id_b) for one in found["annotation"]][:2] == [(10, 1000), (11, 1001)]
        assert found["ids"][0].count == 6

    def test_the_overlap_that_is_asked_for(self, compared):
        other = edited(document(), annotations__0__id=99, annotations__0__bbox=[3, 0, 10, 10])  # IoU 7/13
        assert [one.change for one in compared(document(), other)] == ["changed", "changed"]
        assert [one.change for one in compared(document(), other, iou=0.6)] == ["removed", "added"]

    def test_the_box_of_the_same_class_comes_first(self, compared):
        a = document(boxes=[(0, 0, 100, 100)], images=1)
        b = copy.deepcopy(a)
        near = {"image_id": 1, "area": 5.0}
        b["annotations"] = [
            near | {"id": 5, "category_id": 2, "bbox": [1, 0, 100, 100]},
            near | {"id": 6, "category_id": 1, "bbox": [9, 0, 100, 100]},
        ]
        found = by_kind(compared(a, b))["annotation"]
        assert [(one.change, one.id_b, one.what) for one in found] == [("added", 5, ()), ("changed", 6, ("moved",))]

    def test_then_the_box_of_another_class(self, compared):
        other = edited(document(), annotations__0__id=99, annotations__0__category_id=2)
        found = by_kind(compared(document(), other))["annotation"]
        assert [(one.what, one.id_b) for one in found] == [(("class",), 99)]

    def test_one_taken_out_and_the_rest_counted_anew(self, compared):
        """In one image, ids that still exist are of another annotation then."""
        boxes = [(20 * one, 0, 10, 10 + one) for one in range(9)]
        a = document(boxes, images=1)
        b = copy.deepcopy(a)
        del b["annotations"][2]
        for number, one in enumerate(b["annotations"]):
            one["id"] = 10 + number
        found = by_kind(compared(a, b))
        assert [(one.change, one.id_a) for one in found["annotation"]] == [("removed", 12)]
        assert found["ids"][0].count == 6

    def test_ids_that_stand_there_twice(self, compared):
        a = edited(document(), annotations__1__id=10)
        assert compared(a, json.dumps(a, indent=1)) == []
        (found,) = compared(a, edited(a, annotations__1__bbox=[51, 50, 20, 10]))
        assert found.what == ("moved",)

    def test_boxes_without_ids(self, compared):
        a = document()
        for one in a["annotations"]:
            del one["id"]
        b = edited(a, annotations__0__bbox=[1, 0, 10, 10])
        (found,) = compared(a, b)
        assert (found.what, found.id_a, found.id_b) == (("moved",), None, None)


class TestImages:
    def test_one_that_went_with_its_annotations(self, compared):
        found = compared(document(), document(images=1))
        assert [(one.kind, one.change, one.image, one.id_a, one.annotations) for one in found] == [
            ("image", "removed", "2.jpg", 2, 3)
        ]

    def test_one_that_came(self, compared):
        (found,) = compared(document(), document(images=3))
        assert (found.change, found.image, found.id_a, found.id_b, found.annotations) == ("added", "3.jpg", None, 3, 3)

    def test_fields(self, compared):
        (found,) = compared(document(), edited(document(), images__0__width=201))
        assert [(one.name, one.a, one.b) for one in found.fields] == [("width", 200, 201)]

    def test_another_directory_is_another_name_of_the_same(self, compared):
        other = document()
        for one in other["images"]:
            one |= {"file_name": f"s3://bucket/{one['file_name']}", "id": one["id"] + 9}
        for one in other["annotations"]:
            one["image_id"] += 9
        found = by_kind(compared(document(), other))
        assert [one.fields[0].b for one in found["image"]] == ["s3://bucket/1.jpg", "s3://bucket/2.jpg"]
        assert found.keys() == {"image", "ids"}

    def test_another_name_under_the_same_id(self, compared):
        (found,) = compared(document(), edited(document(), images__0__file_name="cat.jpg"))
        assert (found.change, found.image, [one.name for one in found.fields]) == ("changed", "1.jpg", ["file_name"])

    def test_an_id_says_nothing_where_the_others_were_renumbered(self, compared):
        a, b = document(images=4), document(images=4)
        for one, other in zip(b["images"], (2, 3, 4, 1), strict=True):
            one["id"] = other
        for one in b["annotations"]:
            one["image_id"] = {1: 2, 2: 3, 3: 4, 4: 1}[one["image_id"]]
        b["images"][0]["file_name"] = "new.jpg"  # its id was that of 2.jpg, and 1.jpg had that of 4.jpg
        found = by_kind(compared(a, b))
        assert [(one.change, one.image) for one in found["image"]] == [("removed", "1.jpg"), ("added", "new.jpg")]

    def test_an_id_says_nothing_where_the_size_is_another(self, compared):
        other = edited(document(), images__0__file_name="cat.jpg", images__0__width=1)
        assert [one.change for one in compared(document(), other)] == ["removed", "added"]


class TestClasses:
    def test_another_name_is_one_difference_and_none_of_the_annotations(self, compared):
        (found,) = compared(document(), edited(document(), categories__0__name="kitten"))
        assert (found.kind, found.change, found.name, found.fields[0].b) == ("category", "changed", "cat", "kitten")

    def test_other_ids(self, compared):
        other = document()
        for one in (*other["categories"], *other["annotations"]):
            key = "id" if "name" in one else "category_id"
            one[key] = 3 - one[key]
        found = compared(document(), other)
        assert [(one.kind, one.what, one.count) for one in found] == [("ids", "categories", 2)]

    def test_names_that_changed_places_change_the_annotations(self, compared):
        other = edited(document(), categories__0__name="dog", categories__1__name="cat")
        found = by_kind(compared(document(), other))
        assert [one.what for one in found["annotation"]] == [("class",)] * 6

    def test_one_that_came_and_one_that_went(self, compared):
        other = document()
        other["categories"] = [{"id": 1, "name": "cat"}, {"id": 7, "name": "owl", "supercategory": "bird"}]
        found = by_kind(compared(document(), other))
        assert [(one.change, one.name, one.id_a, one.id_b) for one in found["category"]] == [
            ("removed", "dog", 2, None),
            ("added", "owl", None, 7),
        ]
        assert {(one.class_a, one.class_b) for one in found["annotation"]} == {("dog", "#2")}

    def test_other_fields(self, compared):
        (found,) = compared(document(), edited(document(), categories__1__keypoints=["nose"]))
        assert found.fields[0].name == "keypoints"


def test_of_places_that_cannot_be_compared_nothing_is_printed(run, tmp_path):
    for format in ("text", "json", "markdown", "html"):
        ended = run("diff", tmp_path, tmp_path / "nowhere", "--format", format)
        assert (ended.code, ended.out) == (3, ""), format


def test_what_stands_beside_the_records(compared):
    other = document() | {"info": {"year": 2018}, "videos": [1]}
    (found,) = compared(document(), other)
    assert [(one.name, one.a, one.b) for one in found.fields] == [
        ("info", {"year": 2017}, {"year": 2018}),
        ("videos", None, None),
    ]


def test_lists_that_are_not_known_are_compared_wherever_they_are_cut(compared):
    """They come in runs of about a megabyte, which end elsewhere when something before them is longer."""
    tracks = [{"id": one, "words": "x" * 100} for one in range(12_000)]
    a = {"padding": "x", **document(), "tracks": tracks}
    found = compared(a, a | {"padding": "x" * 1000})
    assert [field.name for one in found for field in one.fields] == ["padding"]


class TestFiles:
    def test_the_file_comes_first(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps(document()))
        (tmp_path / "b.json").write_text(json.dumps(document(), indent=1))
        (found,) = visprep.diff(tmp_path / "a.json", tmp_path / "b.json")
        assert (found.kind, found.change, found.path) == ("file", "changed", "a.json")

    @pytest.mark.parametrize(
        "words", ["[]", "{}", "{", '{"images": {}}', '{"images": [{"id": "x"}], "annotations": []}']
    )
    def test_a_file_that_is_none(self, compared, words):
        if "x" in words:  # an image that cannot be read says nothing, and is an image all the same
            assert compared(document(), words)
            return
        with pytest.raises(UnknownContent):
            compared(document(), words)

    def test_one_that_is_not_there(self, tmp_path):
        (tmp_path / "a.json").write_text("{}")
        with pytest.raises(FileMissing):
            list(visprep.diff(tmp_path / "a.json", tmp_path / "none.json"))

    def test_a_file_and_a_place(self, tmp_path):
        with pytest.raises(UsageError):
            list(visprep.diff(tmp_path / "a.json", tmp_path))

    @pytest.mark.parametrize("iou", [0, -1, 1.1, math.nan])
    def test_an_overlap_that_says_nothing(self, tmp_path, iou):
        with pytest.raises(UsageError):
            list(visprep.diff(tmp_path, tmp_path, iou=iou))

    def test_on_s3(self, run, bucket, tmp_path):
        import boto3

        a, b = document(), edited(document(), annotations__0__bbox=[5, 0, 10, 10])
        (tmp_path / "a.json").write_text(json.dumps(a))
        boto3.client("s3").put_object(Bucket=bucket, Key="p/b.json", Body=json.dumps(b).encode())
        found = run("diff", tmp_path / "a.json", f"s3://{bucket}/p/b.json", "--json")
        assert found.code == 1
        assert [one["what"] for one in json.loads(found.out)["records"]] == [["moved"]]


@pytest.fixture
def places(tmp_path):
    """Two places that hold the same COCO dataset."""
    make(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    return tmp_path / "a", tmp_path / "b"


def rewritten(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


TRAIN, VAL = "annotations/instances_train2017.json", "annotations/instances_val2017.json"
CAPTIONS = "annotations/captions_val2017.json"


class TestPlaces:
    def test_only_files_that_differ_are_looked_into(self, places):
        a, b = places
        (a / TRAIN).write_text("no JSON")
        (b / TRAIN).write_text("no JSON")
        rewritten(b / VAL, lambda one: one["annotations"].pop())
        found = list(visprep.diff(a, b))
        assert [(one.kind, one.change) for one in found] == [("file", "changed"), ("annotation", "removed")]

    def test_a_file_that_cannot_be_read_is_told_of_and_the_others_are_compared(self, places, run):
        a, b = places
        (b / TRAIN).write_text("no JSON")
        rewritten(b / VAL, lambda one: one["annotations"].pop())
        found = list(visprep.diff(a, b))
        assert [(one.kind, one.path) for one in found if one.kind != "file"] == [
            ("not-compared", TRAIN),
            ("annotation", VAL),
        ]
        assert run("diff", a, b).code == 1

    def test_an_image_that_moved_to_another_split_keeps_its_annotations(self, places):
        a, b = places
        moved = []

        def take(train):
            image = train["images"].pop(0)
            mine = [one for one in train["annotations"] if one["image_id"] == image["id"]]
            train["annotations"] = [one for one in train["annotations"] if one["image_id"] != image["id"]]
            moved.append((image, mine))

        def give(val):
            image, mine = moved[0]
            val["images"].append(image | {"id": 9999})
            val["annotations"] += [one | {"image_id": 9999} for one in mine]

        rewritten(b / TRAIN, take)
        rewritten(b / VAL, give)
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.kind, one.change) for one in found] == [("ids", "changed"), ("split", "moved")]
        assert (found[1].record, found[1].a, found[1].b, found[1].path) == (
            moved[0][0]["file_name"],
            "train2017",
            "val2017",
            VAL,
        )

    def test_a_file_that_has_another_name(self, places):
        a, b = places
        (b / TRAIN).rename(b / "annotations" / "instances_mine.json")
        rewritten(b / "annotations" / "instances_mine.json", lambda one: one["annotations"].pop())
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.kind, one.change, one.path) for one in found] == [("annotation", "removed", TRAIN)]

    def test_a_file_that_is_gone_took_its_images(self, places):
        a, b = places
        (b / VAL).unlink()
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.kind, one.change, one.path) for one in found] == [("image", "removed", VAL)] * 3

    def test_captions_and_boxes_of_the_same_images_apart(self, places):
        a, b = places
        for place in places:
            words = json.loads((a / VAL).read_text())
            del words["categories"]
            words["annotations"] = [
                {"id": one["id"], "image_id": one["id"], "caption": "A dog."} for one in words["images"]
            ]
            (place / "annotations/captions_val2017.json").write_text(json.dumps(words))
        rewritten(b / "annotations/captions_val2017.json", lambda one: one["annotations"].pop())
        rewritten(b / VAL, lambda one: one["annotations"].pop())
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.kind, one.change) for one in found] == [("annotation", "removed")] * 2
        assert [one.class_a is None for one in found] == [False, True]

    def test_an_image_that_other_annotation_files_name_too_is_told_once(self, places, run):
        a, b = places
        document = json.loads((a / VAL).read_text())
        new = [document["images"][0] | {"id": 900 + number, "file_name": f"new{number}.jpg"} for number in range(3)]
        boxes = [document["annotations"][0] | {"id": one["id"], "image_id": one["id"]} for one in new[:2]]
        rewritten(b / VAL, lambda one: (one["images"].extend(new[:2]), one["annotations"].extend(boxes)))
        words = {"images": document["images"] + new, "annotations": []}
        words["annotations"] = [
            {"id": one["id"], "image_id": one["id"], "caption": "A dog."} for one in words["images"]
        ]
        (b / CAPTIONS).write_text(json.dumps(words))
        for (one, other), change in (((a, b), "added"), ((b, a), "removed")):
            found = [one for one in visprep.diff(one, other) if one.kind != "file"]
            assert [(one.kind, one.change, one.path) for one in found] == [
                ("image" if at < 3 else "annotation", change, VAL if at < 2 else CAPTIONS) for at in range(6)
            ]
            assert [(one.image, one.annotations) for one in found[:3]] == [
                ("new0.jpg", 2),
                ("new1.jpg", 2),
                ("new2.jpg", 1),
            ]
            assert [one.image for one in found[3:]] == [one["file_name"] for one in document["images"]]
        told = json.loads(run("diff", a, b, "--json").out)
        assert told["record_counts"]["image"] == {"removed": 0, "added": 3, "changed": 0}
        assert run("diff", a, b).err.count("images: 0 removed, 3 added, 0 changed") == 1
        assert "| images | 0 | 3 | 0 |" in run("diff", a, b, "--format", "markdown").out
        page = run("diff", a, b, "--format", "html").out
        assert re.search("images</td>.*?0</td>.*?3</td>.*?0</td>", page)
        assert re.search(r"All \d are on this page\.<", page)  # nothing of how some were chosen

    def test_an_image_that_changed_or_moved_in_several_files_is_counted_once(self, places, run):
        a, b = places
        moved, taller = "000000000001.jpg", "000000000002.jpg"
        for kind in ("instances", "captions"):
            for place in places:
                for split in ("train2017", "val2017"):
                    words = json.loads((place / f"annotations/instances_{split}.json").read_text())
                    (place / f"annotations/{kind}_{split}.json").write_text(json.dumps(words))
        for kind in ("captions", "instances"):
            train, val = (b / f"annotations/{kind}_{split}.json" for split in ("train2017", "val2017"))
            image = json.loads(train.read_text())["images"][0]
            assert image["file_name"] == moved
            rewritten(train, lambda one: (one["images"].pop(0), one["images"][0].update(height=65)))
            rewritten(val, lambda one, image=image: one["images"].append(image))
        told = json.loads(run("diff", a, b, "--json").out)
        images = [one for one in told["records"] if one["kind"] == "image"]
        assert [(one["image"], one["change"], one["path"]) for one in images] == [
            (taller, "changed", f"annotations/{kind}_train2017.json") for kind in ("instances", "captions")
        ]
        assert told["record_counts"]["image"] == {"removed": 0, "added": 0, "changed": 1}
        assert [one["record"] for one in told["records"] if one["kind"] == "split"] == [moved]
        lines = run("diff", a, b, "--format", "markdown").out.splitlines()
        assert f"- `! {TRAIN}: image {taller} (2): height 64 -> 65`" in lines

    def test_an_image_of_another_part_is_another_one_though_it_is_called_alike(self, places):
        a, b = places
        image = json.loads((a / TRAIN).read_text())["images"][0]
        rewritten(b / VAL, lambda one: one["images"].append(image))
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.kind, one.change, one.path) for one in found] == [("image", "added", VAL)]
        # One that the same file names twice is a record more
        rewritten(b / VAL, lambda one: one["images"].append(one["images"][0] | {"id": 901}))
        found = [one for one in visprep.diff(a, b) if one.kind != "file"]
        assert [(one.change, one.id_b) for one in found] == [("added", image["id"]), ("added", 901)]

    def test_json_that_is_something_else(self, places):
        a, b = places
        (a / "notes.json").write_text("[1]")
        (b / "notes.json").write_text("[2]")
        assert [one.kind for one in visprep.diff(a, b)] == ["file"]

    def test_with_a_place_on_s3_and_in_an_archive(self, places, run, bucket):
        a, b = places
        rewritten(b / VAL, lambda one: one["annotations"].pop())
        assert run("sync", b, f"s3://{bucket}/b").code == 0
        shutil.make_archive(str(b), "zip", b)
        here = [one for one in visprep.diff(a, b) if one.kind != "file"]
        for other in (f"s3://{bucket}/b", f"{b}.zip"):
            assert [one for one in visprep.diff(a, other) if one.kind != "file"] == here


class TestSplits:
    def split(self, run, place, output, seed):
        parts = ("--parts", "train=0.5,val=0.5", "--method", "exact", "--name", "x")
        assert run("split", place / TRAIN, "--output", output, *parts, "--seed", seed).code == 0

    def test_who_is_in_another_part(self, run, places, tmp_path):
        for seed in "12":
            self.split(run, places[0], tmp_path / seed, seed)
        was, now = (json.loads((tmp_path / seed / "split.json").read_text())["members"] for seed in "12")
        moved = {key for part in was for key in set(was[part]) - set(now[part])}
        assert moved
        found = [one for one in visprep.diff(tmp_path / "1", tmp_path / "2") if one.kind != "file"]
        assert {one.kind for one in found} == {"split"}  # once, though the annotation files tell of it too
        assert {one.record for one in found} == moved
        for one in found:
            assert one.record in was[one.a]
            assert one.record in now[one.b]
        alone = list(visprep.diff(tmp_path / "1/split.json", tmp_path / "2/split.json"))
        assert alone[1:] == found

    def test_one_that_came_and_one_that_went(self, run, places, tmp_path):
        for name in "12":
            self.split(run, places[0], tmp_path / name, "1")
        path = tmp_path / "2" / "split.json"
        split = json.loads(path.read_text())
        gone = split["members"]["train"][0]
        split["members"]["train"][0] = "new.jpg"
        path.write_text(json.dumps(split))
        found = [one for one in visprep.diff(tmp_path / "1", tmp_path / "2") if one.kind == "split"]
        assert [(one.change, one.record, one.a, one.b) for one in found] == sorted(
            [("removed", gone, "train", None), ("added", "new.jpg", None, "train")], key=lambda one: one[1]
        )

    def test_one_that_is_damaged(self, run, places, tmp_path):
        for name in "12":
            self.split(run, places[0], tmp_path / name, "1")
        (tmp_path / "2" / "split.json").write_text("{}")
        found = [one for one in visprep.diff(tmp_path / "1", tmp_path / "2") if one.kind != "file"]
        assert [(one.kind, one.path) for one in found] == [("not-compared", "split.json")]


class TestTasks:
    @pytest.fixture
    def tasks(self, tmp_path):
        for name in "ab":
            for task in ("maze_task/m1", "maze_task/m2", "deep/er/rotation_task/r1"):
                home = tmp_path / name / task
                (home / "frames").mkdir(parents=True)
                for file in ("final_frame.png", "first_frame.png", "frames/1.png"):
                    (home / file).write_bytes(task.encode())
                (home / "prompt.txt").write_text("Turn left.\n")
                (home / "metadata.json").write_text('{"level": 1}')
        return tmp_path / "a", tmp_path / "b"

    def records(self, tasks):
        return [one for one in visprep.diff(*tasks) if one.kind != "file"]

    def test_another_prompt(self, tasks):
        (tasks[1] / "maze_task/m2/prompt.txt").write_text("Turn right.\n")
        task, prompt = self.records(tasks)
        assert (task.kind, task.change, task.path, task.files) == ("task", "changed", "maze_task/m2", ("prompt.txt",))
        assert (prompt.kind, prompt.path, prompt.a, prompt.b) == (
            "prompt",
            "maze_task/m2/prompt.txt",
            "Turn left.",
            "Turn right.",
        )

    def test_another_line_end_is_no_other_prompt(self, tasks):
        (tasks[1] / "maze_task/m2/prompt.txt").write_bytes(b"Turn left.\r\n")
        assert [one.kind for one in self.records(tasks)] == ["task"]

    def test_one_that_went_and_one_that_came(self, tasks):
        shutil.rmtree(tasks[0] / "maze_task/m1")
        shutil.rmtree(tasks[1] / "deep")
        found = self.records(tasks)
        assert [(one.kind, one.change, one.path) for one in found] == [
            ("task", "removed", "deep/er/rotation_task/r1"),
            ("prompt", "removed", "deep/er/rotation_task/r1/prompt.txt"),
            ("task", "added", "maze_task/m1"),
            ("prompt", "added", "maze_task/m1/prompt.txt"),
        ]
        assert (found[1].a, found[1].b) == ("Turn left.", None)

    def test_metadata_by_its_fields(self, tasks):
        (tasks[1] / "maze_task/m1/metadata.json").write_text('{"level": 2, "seed": 5}')
        (found,) = self.records(tasks)
        assert [(one.name, one.a, one.b) for one in found.fields] == [("level", 1, 2), ("seed", None, 5)]

    def test_a_prompt_that_cannot_be_read_and_metadata_that_is_none(self, tasks):
        (tasks[1] / "maze_task/m1/metadata.json").write_text("[")
        (tasks[1] / "maze_task/m1/prompt.txt").write_bytes(b"\xff")
        task, prompt = self.records(tasks)
        assert [one.name for one in task.fields] == ["level"]
        assert prompt.b is None
        (tasks[1] / "maze_task/m1/prompt.txt").write_bytes(b"left " * 1_000_000)  # no text that a task has
        assert self.records(tasks)[1].b is None

    def test_a_place_that_is_a_task_itself(self, tasks):
        homes = tuple(place / "maze_task/m1" for place in tasks)
        (homes[1] / "prompt.txt").write_text("Turn right.\n")
        task, prompt = self.records(homes)
        assert (task.path, prompt.path) == ("", "prompt.txt")

    def test_files_below_a_task_are_files(self, tasks):
        (tasks[1] / "maze_task/m1/frames/1.png").write_bytes(b"other")
        assert self.records(tasks) == []


class TestTold:
    @pytest.fixture
    def differing(self, places):
        b = places[1]

        def change(one):
            one["annotations"][0]["bbox"][0] += 1
            one["images"][1]["file_name"] = "evil`|\x1b[31m</script>.jpg"

        rewritten(b / TRAIN, change)
        (b / "extra").mkdir()
        (b / "extra" / "x.txt").write_text("x")
        return places

    def test_other_ids_and_another_header_are_lines_too(self, run, tmp_path):
        other = document() | {"info": {"year": 2014}}
        for one in other["images"]:
            one["id"] += 100
        for one in other["annotations"]:
            one["image_id"] += 100
        for name, one in (("a.json", document()), ("b.json", other)):
            (tmp_path / name).write_text(json.dumps(one))
        told = run("diff", tmp_path / "a.json", tmp_path / "b.json")
        assert told.code == 1
        assert "other ids: 2 images\n" in told.out
        assert "header" in told.out
        assert "2014" in told.out

    def test_records_that_are_none_are_told_in_words(self, run, tmp_path):
        for name, one in (("a.json", 1), ("b.json", 2)):
            what = document()
            what["annotations"].append([one])
            what["images"] += [None] * (one - 1)
            (tmp_path / name).write_text(json.dumps(what))
        told = run("diff", tmp_path / "a.json", tmp_path / "b.json").out
        assert "+ image without a name\n" in told
        assert "! annotation without an image: the record [1] -> [2]\n" in told

    def test_in_words(self, run, differing):
        told = run("diff", *differing)
        assert told.code == 1
        lines = told.out.splitlines()
        assert lines[0].startswith(f"! {TRAIN}  (")
        assert lines[1] == "+ extra/x.txt  (1 B)"
        assert lines[2] == f"{TRAIN}:"
        assert lines[4].startswith("  ! annotation 1 of 000000000001.jpg: ")
        assert lines[4].endswith("(IoU 0.90)")
        assert "\x1b" not in told.out
        assert told.err.splitlines()[0] == "files: 0 removed, 1 added, 1 changed"
        assert "annotations: 0 removed, 0 added, 1 changed (1 moved)" in told.err

    def test_as_json(self, run, differing):
        told = json.loads(run("diff", *differing, "--json").out)
        assert told["counts"] == {"removed": 0, "added": 1, "changed": 1}
        assert [one["path"] for one in told["differences"]] == [TRAIN, "extra/x.txt"]
        assert Counter(one["kind"] for one in told["records"]) == {"image": 1, "annotation": 1}
        assert told["record_counts"]["annotation"]["moved"] == 1
        assert told["record_counts"]["image"] == {"removed": 0, "added": 0, "changed": 1}

    def test_nothing_differs(self, run, places):
        told = run("diff", *places, "--json")
        assert told.code == 0
        assert json.loads(told.out)["records"] == []
        assert run("diff", *places, "--format", "markdown").out.startswith("No differences")
        assert run("diff", *places).err == "no differences\n"
        assert run("diff", *places, "--quiet") == (0, "", "")

    def test_as_markdown(self, run, differing):
        told = run("diff", *differing, "--format", "markdown")
        assert told.code == 1
        assert "| annotations | 0 | 0 | 1 | 1 moved |" in told.out
        assert "- ``! image 000000000002.jpg" in told.out  # a longer fence, since the name has one
        assert "\x1b" not in told.out

    def test_markdown_fits_into_a_comment(self, run, tmp_path):
        for name, count in (("a", 0), ("b", 3_000)):
            (tmp_path / name).mkdir()
            images = [{"id": one, "file_name": f"{one:0200}.jpg", "width": 1, "height": 1} for one in range(count)]
            annotations = [
                {"id": one, "image_id": -1, "category_id": 1, "bbox": [one, 0, 1, 1]} for one in range(count)
            ]
            told = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "x" * 3000}]}
            (tmp_path / name / "instances.json").write_text(json.dumps(told))
        told = run("diff", tmp_path / "a", tmp_path / "b", "--format", "markdown").out
        assert "and 2,975 more" in told
        assert len(told) < 65_536

    @pytest.mark.parametrize("format", ["json", "markdown", "text"])
    def test_into_a_file_beside_the_words(self, run, differing, tmp_path, format):
        plain, alone = run("diff", *differing), run("diff", *differing, "--format", format).out
        told = run("diff", *differing, "--format", format, "--report", tmp_path / "report")
        assert (told.code, told.out, told.err) == (1, plain.out, plain.err)
        assert (tmp_path / "report").read_text() == alone

    def test_two_formats_at_once(self, run, places, tmp_path):
        for format, code in (("markdown", 2), ("html", 2), ("json", 0)):
            assert run("diff", *places, "--json", "--format", format).code == code
        told = run("verify", places[0], "--json", "--format", "sarif")
        assert (told.code, "[usage]" in told.err, told.out) == (2, True, "")

    def test_a_report_nowhere(self, run, places, tmp_path):
        assert run("diff", *places, "--report", tmp_path / "none" / "report").code == 3

    @pytest.mark.parametrize("format", ["text", "html"])
    def test_a_report_over_what_is_compared(self, run, differing, format):
        a, b = differing
        before = (a / TRAIN).read_bytes()
        for report in (a / TRAIN, b / "new.md", a / ".." / b.name / "new.md"):
            told = run("diff", a, b, "--format", format, "--report", report)
            assert (told.code, "[usage]" in told.err, told.out) == (2, True, "")
        assert run("diff", a / TRAIN, b / TRAIN, "--report", a / TRAIN).code == 2
        assert (a / TRAIN).read_bytes() == before
        assert not (b / "new.md").exists()

    def test_a_report_whose_words_nobody_reads_to_their_end(self, places, tmp_path):
        (places[1] / "many").mkdir()
        for number in range(3_000):
            (places[1] / "many" / f"{number:0100}").touch()
        argv = [sys.executable, "-m", "visprep", "diff", *map(str, places), "--report", str(tmp_path / "report")]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            process.stdout.close()
            told = process.stderr.read()
        assert (process.returncode, told) == (1, "files: 0 removed, 3,000 added, 0 changed\n")
        assert len((tmp_path / "report").read_text().splitlines()) == 3_000


class TestPage:
    @pytest.fixture
    def payload(self, run, tmp_path):
        def read(a, b, *options):
            told = run("diff", a, b, "--format", "html", "--report", tmp_path / "page.html", *options)
            assert told.code == 1
            page = (tmp_path / "page.html").read_text()
            return page, json.loads(
                re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.S)[1]
            )

        return read

    def test_what_changed_is_drawn_on_the_picture(self, payload, places):
        def change(one):
            one["annotations"][0]["bbox"][0] += 1
            one["annotations"][1]["category_id"] = 999
            one["annotations"].append(one["annotations"][2] | {"id": 5000, "bbox": [1, 1, 5, 5]})
            del one["annotations"][2]

        rewritten(places[1] / TRAIN, change)
        page, told = payload(*places)
        text = json.dumps(told)
        assert page.count("data:image/jpeg;base64,") == 2
        for state in ("moved", "was", "changed", "added", "removed"):
            assert f'"{state}"' in text
        assert "IoU 0.90" in page

    def test_prompts_and_frames_of_tasks(self, payload, tmp_path):
        for name, color in (("a", "red"), ("b", "blue")):
            home = tmp_path / name / "maze_task" / "m1"
            home.mkdir(parents=True)
            (home / "prompt.txt").write_text(f"Turn {color}.\n")
            for frame, of in (("first_frame.png", "white"), ("final_frame.png", color)):
                Image.new("RGB", (8, 8), of).save(home / frame)
        page, told = payload(tmp_path / "a", tmp_path / "b")
        text = json.dumps(told)
        assert page.count("data:image/jpeg;base64,") == 3  # the first frame is the same
        assert "Turn red." in text
        assert "Turn blue." in text

    def test_two_files_whose_pictures_lie_beside_them(self, payload, places):
        rewritten(places[1] / VAL, lambda one: one["annotations"].pop())
        assert "data:image/jpeg;base64," in payload(places[0] / VAL, places[1] / VAL)[0]

    @pytest.mark.parametrize("stated", [(40, 20), (20, 40)])
    def test_a_picture_lies_as_its_annotations_say(self, payload, tmp_path, stated):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        a = edited(document(images=1), images__0__width=stated[0], images__0__height=stated[1])
        for name, one in (("a", a), ("b", edited(a, annotations__0__bbox=[1, 2, 3, 4]))):
            (tmp_path / name).mkdir()
            (tmp_path / name / "instances.json").write_text(json.dumps(one))
            Image.new("RGB", (40, 20)).save(tmp_path / name / "1.jpg", exif=exif)
        page, _ = payload(tmp_path / "a", tmp_path / "b")
        assert re.findall(r'"width":(\d+),"height":(\d+)', page) == [tuple(map(str, stated))]

    def test_names_are_text_and_pictures_may_be_away(self, payload, tmp_path):
        name = "</script><img onerror=alert(1)>.jpg"
        a = edited(document(), images__0__file_name=name)
        for file, one in (("a.json", a), ("b.json", edited(a, annotations__0__bbox=[1, 2, 3, 4]))):
            (tmp_path / file).write_text(json.dumps(one))
        page, told = payload(tmp_path / "a.json", tmp_path / "b.json")
        assert "<img onerror" not in page
        assert name in json.dumps(told)
        assert "not in the place" in page

    def test_a_name_turns_no_numbers_and_fills_no_page(self, payload, tmp_path):
        """U+202E lets all that follows be read from right to left: the boxes and the arrow between them."""
        a = edited(document(), categories__0__name=f"\u202edog{'s' * 5_000}")
        for file, one in (("a.json", a), ("b.json", edited(a, annotations__0__bbox=[1, 2, 3, 4]))):
            (tmp_path / file).write_text(json.dumps(one))
        told = payload(tmp_path / "a.json", tmp_path / "b.json")[1]
        row = next(one for one in told["findings"] if one["code"] == "annotation")
        assert "\\u202edogs" in row["message"]
        assert (len(row["message"]), [len(one) for one in told["classes"]]) == (1_000, [100])

    def test_from_a_bucket(self, payload, places, run, bucket):
        rewritten(places[1] / VAL, lambda one: one["annotations"].pop())
        assert run("sync", places[1], f"s3://{bucket}/b").code == 0
        assert "data:image/jpeg;base64," in payload(places[0], f"s3://{bucket}/b")[0]


class TestMatching:
    def test_against_one_by_one(self):
        """Rows of several columns, drawn so that many are alike, and what a dictionary makes of them."""
        random.seed(13)
        for _ in range(50):
            a, b = (
                [tuple(random.choices((-(2**63), -1, 0, 7), k=3)) for _ in range(random.randrange(12))] for _ in "ab"
            )
            columns = [tuple(np.array([row[at] for row in rows], np.int64) for at in range(3)) for rows in (a, b)]
            rows_a, rows_b = matched(*keyed(*columns))
            left = [list(enumerate(a)), list(enumerate(b))]
            expected = []
            for number, row in left[0]:
                if (twin := next((at for at, other in left[1] if other == row), None)) is not None:
                    left[1].remove((twin, row))
                    expected.append((number, twin))
            assert sorted(zip(rows_a.tolist(), rows_b.tolist(), strict=True)) == expected

    def test_overlaps(self):
        boxes = np.array([[0, 0, 10, 10], [0, 0, 0, 0], [5, 5, 10, 10], [0, 0, np.nan, 1], [20, 0, 5, 5]], float)
        found = overlaps(boxes[0][None], boxes)
        assert found[[0, 1, 2, 4]].tolist() == pytest.approx([1, 0, 25 / 175, 0])
        assert math.isnan(found[3])

    def test_a_crowd(self, compared):
        """More boxes in one image than are compared at once, all renumbered and a little moved."""
        random.seed(5)
        boxes = [(random.randrange(4000), random.randrange(4000), 12, 12) for _ in range(1_500)]
        a = document(boxes, images=1)
        b = copy.deepcopy(a)
        random.shuffle(b["annotations"])
        for number, one in enumerate(b["annotations"]):
            x, y, *size = one["bbox"]
            one |= {"id": 5_000_000 + number, "bbox": [x + 1, y, *size]}
        found = by_kind(compared(a, b))["annotation"]
        right = [one for one in found if one.change == "changed" and one.box_b[0] == one.box_a[0] + 1]
        assert len(right) > 1_450  # a few lie so near to each other that another one fits as well


def test_the_order_is_the_same_whatever_that_of_the_file_is(compared):
    a, b = instances(6), instances(6)
    for number, one in enumerate(b["annotations"]):
        one["bbox"][0] += 1
        one["area"] = number
    first = compared(a, b)
    for one in (a, b):
        one["annotations"].reverse()
        one["images"].reverse()
    assert compared(a, b) == first
    assert first
