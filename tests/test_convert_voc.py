"""COCO to Pascal VOC and back: what is written is sound, what survives is the same, and what is lost is named."""

import io
import json
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import coco_place
import visprep
from conftest import tree
from drawn import picture, put
from labeled_places import jpeg, voc, xml
from test_voc import ANNOTATIONS, BOXES
from visprep.errors import Incomplete, UnknownName
from visprep.formats import voc as voc_format
from visprep.formats.coco_runs import uncompressed
from visprep.formats.voc_coco import image_keys, image_of, kept, object_keys
from visprep.image_headers import probe

FAST = settings(deadline=None, suppress_health_check=list(HealthCheck))
SLOW = settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))


def to_coco(place, output, **options):
    return visprep.convert(place, to="coco", output=output, **options)


def to_voc(place, output, **options):
    return visprep.convert(place, to="voc", output=output, **options)


def instances(place, name):
    return json.loads((place / f"annotations/instances_{name}.json").read_bytes())


def codes(place, format):
    return [one.code for one in visprep.verify(place, as_=format).findings]


def text(place, path):
    return (place / path).read_text(encoding="utf-8")


def data(place):
    return {
        path: content
        for path, content in tree(place).items()
        if path != "dataset.json" and not path.startswith(".visprep/")
    }


def write(place, document, name="instances_train", images=()):
    put(place, f"annotations/{name}.json", json.dumps(document).encode())
    for number, path in enumerate(images):
        put(place, path, jpeg(number))
    return place


def document(annotations=({},), names=("a.jpg",), categories=((1, "cat"),), **top):
    images = [{"id": n, "file_name": name, "width": 24, "height": 16} for n, name in enumerate(names, 1)]
    whole = [
        {"id": n, "image_id": 1, "category_id": categories[0][0], "bbox": [2, 3, 4, 5], "area": 20, "iscrowd": 0} | one
        for n, one in enumerate(annotations, 1)
    ]
    kinds = [{"id": id, "name": name} for id, name in categories]
    return {"images": images, "annotations": whole, "categories": kinds} | top


PART = {"part": {"name": "head", "bndbox": {"xmin": "4", "ymin": "5", "xmax": "6", "ymax": "7"}}}


# VOC to COCO


def test_voc_becomes_coco(tmp_path):
    result = to_coco(voc(tmp_path / "voc"), tmp_path / "coco")
    assert (result.kind, result.images, result.linked) == ("voc", {"train": 2, "val": 1}, 3)
    assert result.losses == {"ImageSets.Main.classes": 2, "ImageSets.Segmentation": 1, "SegmentationClass": 1}
    assert result.notes == ("trainval is train and val together: no file of its own",)
    assert codes(tmp_path / "coco", "coco") == []
    keys = {"folder": "VOC", "size": {"depth": 3}, "segmented": 0, "source": {"database": "drawn"}}
    assert instances(tmp_path / "coco", "val") == {
        "info": {},
        "licenses": [],
        "categories": [{"id": 1, "name": "dog", "supercategory": "animal"}],
        "images": [{"id": 3, "file_name": "c.jpg", "width": 24, "height": 16, "voc": keys}],
        "annotations": [
            {"id": 3, "image_id": 3, "category_id": 1, "bbox": [1, 2, 19, 10], "area": 190, "iscrowd": 0,
             "pose": "Unspecified", "truncated": 0, "difficult": 0}
        ],
    }  # fmt: skip
    assert (tmp_path / "coco/images/c.jpg").read_bytes() == (tmp_path / "voc/JPEGImages/c.jpg").read_bytes()


def test_there_and_back_the_files_of_voc_are_the_same(tmp_path):
    origin = voc(tmp_path / "voc")
    to_coco(origin, tmp_path / "coco")
    result = to_voc(tmp_path / "coco", tmp_path / "back")
    assert result.losses == {}
    ours, theirs = data(tmp_path / "back"), data(origin)
    lost = {"trainval.txt", "dog_train.txt"}
    assert theirs.keys() - ours.keys() == {
        *(f"ImageSets/Main/{name}" for name in lost), "ImageSets/Segmentation/train.txt", "SegmentationClass/a.png"
    }  # fmt: skip
    assert ours == {path: content for path, content in theirs.items() if path in ours}


def test_run_again_it_does_nothing(tmp_path):
    for place, call in ((voc(tmp_path / "voc"), to_coco), (coco_place.make(tmp_path / "coco"), to_voc)):
        output = tmp_path / f"of-{place.name}"
        first = call(place, output)
        before = {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()}
        second = call(place, output)
        assert (second.files, second.kept) == (0, first.files)
        assert {path: path.stat().st_mtime_ns for path in output.rglob("*") if path.is_file()} == before
        assert second.losses == first.losses


def shifted(place, by):
    """The same boxes, in files that count from 1 more or less."""
    for path in place.glob("Annotations/*.xml"):
        read = voc_format.read(path.read_bytes())[0]
        objects = tuple(
            voc_format.VocObject(one.name, tuple(end + by for end in one.box), one.pose, one.flags)
            for one in read.objects
        )
        path.write_bytes(voc_format.write(voc_format.VocAnnotation(read.filename, read.size, objects=objects)))


def test_files_that_count_from_0_are_taken_so(tmp_path):
    place = voc(tmp_path / "voc")
    shifted(place, -2)  # the boxes begin at 0, 1
    result = to_coco(place, tmp_path / "coco")
    assert result.notes[-1] == "3 of the boxes begin at 0: the corners are taken to count from there"
    assert instances(tmp_path / "coco", "val")["annotations"][0]["bbox"] == [0, 1, 18, 9]
    assert result.losses["object.bndbox.first"] == 3  # nothing says so: it is a guess
    assert to_coco(place, tmp_path / "refused", lossless=True).refused
    shifted(place, 1)
    result = to_coco(place, tmp_path / "from-1")
    assert len(result.notes) == 1
    assert instances(tmp_path / "from-1", "val")["annotations"][0]["bbox"] == [0, 1, 19, 10]


@pytest.mark.parametrize("outside", [[-1, -1, 20, 20], [-0.25, 3, 20, 20]])
def test_boxes_that_leave_their_image_move_no_others(tmp_path, outside):
    """A corner before the first pixel looks as if pixels counted from 0: it is cut, and ours are read from 1 anyway."""
    place = coco_place.make(tmp_path / "coco")
    path = place / "annotations/instances_val2017.json"
    document = json.loads(path.read_bytes())
    first, *_ = document["annotations"]
    inside = {**first, "id": 900, "bbox": [2, 3, 4, 5], "area": 20}
    document["annotations"] = [{**first, "bbox": outside, "area": 400}, inside]
    path.write_text(json.dumps(document))
    assert to_voc(place, tmp_path / "refused", lossless=True).refused
    result = to_voc(place, tmp_path / "voc")
    assert result.losses["annotations.bbox"] == 1
    back = to_coco(tmp_path / "voc", tmp_path / "again")
    assert "object.bndbox.first" not in back.losses
    boxes = [one["bbox"] for one in instances(tmp_path / "again", "val")["annotations"]]
    assert [2, 3, 4, 5] in boxes
    assert all(min(box) >= 0 for box in boxes)


def test_corners_of_ours_count_from_1_whatever_was_done_to_them(tmp_path):
    place = to_voc(coco_place.make(tmp_path / "coco"), tmp_path / "voc").target
    shifted(Path(place), -2)
    assert "object.bndbox.first" not in to_coco(place, tmp_path / "again").losses


def test_what_no_set_names_is_there_too(tmp_path):
    place = voc(tmp_path / "voc")
    put(place, "JPEGImages/d.png", jpeg(7))
    put(place, "Annotations/d.xml", xml("d"))
    result = to_coco(place, tmp_path / "coco")
    assert result.images == {"train": 2, "val": 1, "rest": 1}
    assert result.losses["filename"] == 1  # d.xml says d.jpg
    assert instances(tmp_path / "coco", "rest")["images"][0]["file_name"] == "d.png"
    (place / "ImageSets/Main/train.txt").unlink()
    result = to_coco(place, tmp_path / "both")
    assert result.images == {"trainval": 3, "val": 1, "rest": 1}


def test_annotations_beside_images_and_several_roots(tmp_path):
    for seed, path in enumerate(("train/a", "valid/a", "other/b")):
        put(tmp_path / "flat", f"{path}.jpg", jpeg(seed))
        put(tmp_path / "flat", f"{path}.xml", xml(path[-1]))
    result = to_coco(tmp_path / "flat", tmp_path / "coco")
    assert result.images == {"default": 1, "train": 1, "valid": 1}
    assert instances(tmp_path / "coco", "valid")["images"][0]["file_name"] == "valid/a.jpg"
    assert codes(tmp_path / "coco", "coco") == []
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / f"devkit/{year}")
    put(tmp_path / "devkit", "VOC2012/JPEGImages/a.jpg", jpeg(11))
    result = to_coco(tmp_path / "devkit", tmp_path / "kit")
    assert result.images == {"train": 4, "val": 2}
    names = [one["file_name"] for one in instances(tmp_path / "kit", "train")["images"]]
    assert names == ["VOC2007/a.jpg", "VOC2007/b.jpg", "VOC2012/a.jpg", "VOC2012/b.jpg"]


def test_classes_decide_names_and_numbers(tmp_path):
    place = voc(tmp_path / "voc")
    for stem, name in (("a", "zebra"), ("b", "ape")):
        put(place, f"Annotations/{stem}.xml", xml(stem).replace(b">dog<", f">{name}<".encode()))
    to_coco(place, tmp_path / "coco")
    names = [(one["id"], one["name"]) for one in instances(tmp_path / "coco", "val")["categories"]]
    assert names == [(1, "ape"), (2, "dog"), (3, "zebra")]
    assert "supercategory" not in instances(tmp_path / "coco", "val")["categories"][1]
    put(tmp_path, "classes.txt", b"zebra\ndog=pet\n-ape # not wanted\n")
    result = to_coco(place, tmp_path / "few", classes=tmp_path / "classes.txt")
    for split, ids in (("train", [1]), ("val", [2])):
        made = instances(tmp_path / "few", split)
        assert [(one["id"], one["name"]) for one in made["categories"]] == [(1, "zebra"), (2, "pet")]
        assert [one["category_id"] for one in made["annotations"]] == ids
    assert result.images == {"train": 2, "val": 1}
    put(tmp_path, "classes.txt", b"zebr\n")
    with pytest.raises(UnknownName):
        to_coco(place, tmp_path / "none", classes=tmp_path / "classes.txt")


def test_a_damaged_annotation_is_told_and_the_rest_is_done(tmp_path):
    place = voc(tmp_path / "voc")
    put(place, "Annotations/b.xml", xml("b")[:200])
    with pytest.raises(Incomplete, match=r"Annotations/b\.xml"):
        to_coco(place, tmp_path / "coco")
    assert [one["id"] for one in instances(tmp_path / "coco", "train")["images"]] == [1]
    assert not (tmp_path / "coco/images/b.jpg").exists()
    put(place, "Annotations/b.xml", xml("b"))
    to_coco(place, tmp_path / "coco")
    to_coco(place, tmp_path / "sound")
    assert data(tmp_path / "coco") == data(tmp_path / "sound")


def test_two_images_that_would_be_one_are_told(tmp_path):
    place = voc(tmp_path / "voc")
    put(place, "a.jpg", jpeg(8))
    put(place, "a.xml", xml("a"))
    with pytest.raises(Incomplete, match=r"its image would be a\.jpg, as that of Annotations/a\.xml"):
        to_coco(place, tmp_path / "coco")
    assert (tmp_path / "coco/images/a.jpg").read_bytes() == (place / "JPEGImages/a.jpg").read_bytes()


def test_flags_in_a_set_of_no_class_say_nothing(tmp_path):
    place = voc(tmp_path / "voc")
    put(place, "ImageSets/Main/train.txt", b"a 1\nb -1\n")
    assert to_coco(place, tmp_path / "coco").images == {"train": 2, "val": 1}


def test_sizes_that_annotations_do_not_say_are_those_of_images(tmp_path):
    place = voc(tmp_path / "voc")
    bare = b"<annotation><object><name>dog</name></object></annotation>"
    put(place, "Annotations/a.xml", bare)
    (place / "Annotations/b.xml").unlink()
    result = to_coco(place, tmp_path / "coco")
    sizes = [(one["width"], one["height"]) for one in instances(tmp_path / "coco", "train")["images"]]
    assert sizes == [(24, 16), (24, 16)]
    assert result.losses["object"] == 1  # it has no box
    (place / "JPEGImages/a.jpg").unlink()
    with pytest.raises(Incomplete, match="neither it nor an image tells the size"):
        to_coco(place, tmp_path / "other")


def mask(numbers):
    buffer = io.BytesIO()
    picture = Image.fromarray(np.array(numbers, np.uint8))
    picture.putpalette([one for color in range(256) for one in (color, 255 - color, 7)])
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_masks_become_rle_where_boxes_say_whose_they_are(tmp_path):
    place = voc(tmp_path / "voc")
    numbers = np.zeros((16, 24), np.uint8)
    numbers[2:12, 1:20] = 1  # the box is 2, 3, 20, 12 from 1
    numbers[2, 1:10] = 0
    numbers[12, 1:20] = 255
    put(place, "SegmentationObject/a.png", mask(numbers))
    elsewhere = np.zeros((16, 24), np.uint8)
    elsewhere[13:16, 20:24] = 1
    put(place, "SegmentationObject/b.png", mask(elsewhere))
    result = to_coco(place, tmp_path / "coco")
    first, second = instances(tmp_path / "coco", "train")["annotations"]
    line = np.repeat(np.arange(len(counts := uncompressed(first["segmentation"]["counts"]))) % 2, counts)
    assert ((numbers == 1) == line.reshape(24, 16).T).all()
    assert (first["segmentation"]["size"], first["area"]) == ([16, 24], 181)
    assert ("segmentation" in second, second["area"]) == (False, 190)
    assert (result.losses["SegmentationObject"], result.losses["SegmentationObject.255"]) == (1, 1)
    assert codes(tmp_path / "coco", "coco") == []
    back = to_voc(tmp_path / "coco", tmp_path / "back")
    assert back.losses == {"annotations.segmentation.counts": 1, "annotations.area": 1}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (mask(np.ones((8, 24))), "it has 24 x 8 pixels, its image 24 x 16"),
        (mask(np.full((16, 24), 2)), "it has pixels of the object 2, and the annotation tells of 1"),
        (picture(1), "its pixels are no numbers but RGB"),
    ],
)
def test_a_mask_that_does_not_fit_and_a_name_without_an_image_are_told(tmp_path, data, words):
    place = voc(tmp_path / "voc")
    put(place, "SegmentationObject/a.png", data)
    with (place / "ImageSets/Main/train.txt").open("a") as file:
        file.write("gone\n")
    result = to_coco(place, tmp_path / "coco")
    assert (result.losses["SegmentationObject"], result.losses["ImageSets.Main"]) == (1, 1)
    assert any(words in one.message for one in result.findings)
    assert "segmentation" not in instances(tmp_path / "coco", "train")["annotations"][0]


# COCO to VOC


def test_coco_becomes_voc_that_verifies_and_that_readers_read(tmp_path, run):
    place = coco_place.make(tmp_path / "coco")
    result = to_voc(place, tmp_path / "voc")
    assert (result.kind, result.images, result.linked) == ("coco", {"train": 6, "val": 3}, 9)
    assert result.losses == {
        "annotations.id": 6, "annotations.segmentation": 18, "categories.id": 2, "images.date_captured": 9,
        "images.license": 9, "info": 2, "licenses": 2,
    }  # fmt: skip
    assert [one.code for one in result.findings] == ["field-lost"] * 7
    assert run("verify", tmp_path / "voc", "--as", "voc").code == 0
    assert codes(tmp_path / "voc", "voc") == []
    assert text(tmp_path / "voc", "ImageSets/Main/val.txt") == "".join(f"{n:012}\n" for n in (7, 8, 9))
    read = [reader_of_torchvision(tmp_path / "voc", "val", number) for number in range(3)]
    for image, target in read:
        told = target["annotation"]
        assert image.size == (int(told["size"]["width"]), int(told["size"]["height"])) == coco_place.SIZE
        assert [one["name"] for one in told["object"]] == ["person", "dog"]
        assert told["object"][0]["bndbox"] == {"xmin": "11", "ymin": "9", "xmax": "30", "ymax": "38"}
        assert {told["object"][1][flag] for flag in ("difficult", "truncated")} == {"0"}


def reader_of_torchvision(root, image_set, number):
    """What torchvision.datasets.VOCDetection does to read one image and its annotation."""
    names = (root / f"ImageSets/Main/{image_set}.txt").read_text().splitlines()
    name = [one.strip() for one in names][number]

    def parse(node):
        found, children = {}, list(node)
        if children:
            lists = defaultdict(list)
            for child in map(parse, children):
                for key, value in child.items():
                    lists[key].append(value)
            if node.tag == "annotation":
                lists["object"] = [lists["object"]]
            found = {node.tag: {key: value[0] if len(value) == 1 else value for key, value in lists.items()}}
        if node.text and (said := node.text.strip()) and not children:
            found[node.tag] = said
        return found

    return (
        Image.open(root / "JPEGImages" / f"{name}.jpg").convert("RGB"),
        parse(ElementTree.parse(root / "Annotations" / f"{name}.xml").getroot()),
    )


def test_names_are_stems_and_no_two_are_one(tmp_path):
    names = ["d/a.jpg", "a.jpg", "a.png", "x y.jpg", "s3://bucket/p/q.jpg", "JPEGImages/z.jpg", "../up.jpg"]
    place = write(tmp_path / "coco", document(names=names), images=["d/a.jpg", "a.jpg", "x y.jpg"])
    put(place, "a.png", picture(7))
    result = to_voc(place, tmp_path / "voc")
    members = text(tmp_path / "voc", "ImageSets/Main/train.txt").split()
    assert members == ["d/a", "a", "a_2", "x_y", "q", "z", "up"]
    assert result.losses == {"images.file_name": 5, "images.id": 7}
    assert result.notes == ("3 images not there: annotations alone were written",)
    assert (tmp_path / "voc/JPEGImages/a_2.png").read_bytes() == (place / "a.png").read_bytes()
    assert codes(tmp_path / "voc", "voc") == ["voc-image-missing"] * 3 + ["voc-set-member"] * 3


@pytest.mark.parametrize(
    ("change", "lost", "kept_so"),
    [
        ({"iscrowd": 1}, {"annotations.iscrowd"}, "<difficult>1<"),
        ({"iscrowd": 1, "difficult": 0}, {"annotations.iscrowd"}, "<difficult>0<"),
        ({"difficult": 1, "truncated": 1, "occluded": 1, "pose": "Left"}, set(), "<pose>Left<"),
        ({"occluded": 2, "pose": " x"}, {"annotations.occluded", "annotations.pose"}, "<pose>Unspecified<"),
        ({"bbox": [0.5, 1.25, 3, 4], "area": 12}, set(), "<xmin>1.5</xmin>"),
        ({"bbox": [2, 3, 0.5, 0], "area": 0}, {"annotations.area", "annotations.bbox"}, "<xmax>3</xmax>"),
        ({"area": 19.5}, {"annotations.area"}, "<object>"),
        ({"segmentation": [[1, 1, 2, 2, 3, 3]]}, {"annotations.segmentation"}, "<object>"),
        ({"segmentation": {"size": [16, 24], "counts": "0"}}, {"annotations.segmentation.counts"}, "<object>"),
        ({"segmentation": [], "mine": None}, {"annotations.segmentation", "annotations.mine"}, "<object>"),
        ({"score": "", "voc": {}}, {"annotations.score", "annotations.voc"}, "<object>"),
        ({"iscrowd": None, "pose": None}, {"annotations.iscrowd", "annotations.pose"}, "<object>"),
        ({"mine": {"a": 1}, "id": 900100002685}, {"annotations.mine", "annotations.id"}, "<object>"),
        ({"voc": {"part": {"name": "head", "x": ["1", "2"]}}}, set(), "<x>2</x>"),
        ({"voc": {"bndbox": "1"}}, {"annotations.voc"}, "<object>"),
        ({"voc": {"1": "1"}}, {"annotations.voc"}, "<object>"),
        ({"category_id": 5}, {"annotations.category_id", "categories"}, "<annotation>"),
        ({"image_id": 5}, {"annotations.image_id", "categories"}, "<annotation>"),
        ({"bbox": None}, {"annotations.bbox", "annotations.area", "categories"}, "<annotation>"),
        ({"bbox": [-1, -1, 26, 18], "area": 468}, {"annotations.bbox", "annotations.area"}, "<xmax>24</xmax>"),
        ({"bbox": [-5, -5, 10, 10]}, {"annotations.bbox", "annotations.area"}, "<xmin>1</xmin>"),
        ({"bbox": [20, 3, 50, 50]}, {"annotations.bbox", "annotations.area"}, "<ymax>16</ymax>"),
        ({"bbox": [70, 3, 5, 5]}, {"annotations.bbox", "annotations.area", "categories"}, "<annotation>"),
    ],
)
def test_what_is_lost_of_an_annotation_is_named(tmp_path, change, lost, kept_so):
    place = write(tmp_path / "coco", document([change]), images=["a.jpg"])
    result = to_voc(place, tmp_path / "voc", lossless=True)
    assert (set(result.losses), result.refused) == (lost, bool(lost))
    assert (tmp_path / "voc").exists() is not result.refused
    to_voc(place, tmp_path / "kept")
    assert kept_so in text(tmp_path / "kept", "Annotations/a.xml")
    assert "voc-box-outside" not in codes(tmp_path / "kept", "voc")


def test_boxes_of_smaller_images_are_cut_where_these_end(tmp_path):
    place = write(tmp_path / "coco", document([{"bbox": [20, 3, 50, 50]}, {"bbox": [70, 3, 5, 5]}]), images=["a.jpg"])
    result = to_voc(place, tmp_path / "voc", max_side=12)
    assert (result.losses["annotations.bbox"], result.losses["annotations.area"]) == (2, 2)
    assert "<xmax>12</xmax>" in text(tmp_path / "voc", "Annotations/a.xml")
    assert text(tmp_path / "voc", "Annotations/a.xml").count("<object>") == 1
    assert "voc-box-outside" not in codes(tmp_path / "voc", "voc")


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".jpg", "é" * 200 + ".jpeg", "a" * 300, "a." + "b" * 300, "d" * 300 + "/a.jpg"]
)
def test_names_that_are_too_long_are_made_shorter(tmp_path, name):
    place = write(tmp_path / "coco", document(names=[name, f"b{name}", f"{name[:-4]}{name[-4:]}"]))
    result = to_voc(place, tmp_path / "voc")
    assert result.losses["images.file_name"] == 3
    members = text(tmp_path / "voc", "ImageSets/Main/train.txt").split()
    assert len(set(members)) == 3
    assert all((tmp_path / f"voc/Annotations/{one}.xml").is_file() for one in members)


def test_what_is_lost_of_the_rest_is_named(tmp_path):
    top = {"info": {"year": 1}, "licenses": [{"id": 1}, {"id": 2}], "mine": 3, "type": ""}
    whole = document(categories=((1, "cat"), (2, " dog "), (3, "ox")), **top)
    whole["images"][0] |= {"flickr_url": "f", "voc": {"folder": 1}}
    whole["categories"][0] |= {"supercategory": "animal", "color": "red"}
    whole["categories"][2] |= {"supercategory": "none"}
    whole["images"][0] |= {"license": None, "note": []}
    whole["annotations"].append(whole["annotations"][0] | {"id": 2, "category_id": 2})
    place = write(tmp_path / "coco", whole, images=["a.jpg"])
    assert to_voc(place, tmp_path / "voc").losses == {
        "info": 1, "licenses": 2, "mine": 1, "type": 1, "images.flickr_url": 1, "images.voc": 1, "categories.color": 1,
        "images.license": 1, "images.note": 1, "categories.supercategory": 1, "categories": 1, "categories.name": 1,
    }  # fmt: skip


def test_supercategories_beside_classes_that_are_not_of_voc_are_lost(tmp_path):
    whole = document([{}, {"category_id": 2}], categories=((1, "cat"), (2, "yak")))
    whole["categories"][0] |= {"supercategory": "animal"}
    place = write(tmp_path / "coco", whole, images=["a.jpg"])
    assert to_voc(place, tmp_path / "voc").losses["categories.supercategory"] == 1


def test_other_files_about_the_same_images_are_a_loss(tmp_path):
    place = coco_place.make(tmp_path / "coco")
    captions = json.dumps(coco_place.annotations([7, 8, 9], "captions")).encode()
    put(place, "annotations/captions_val2017.json", captions)
    result = to_voc(place, tmp_path / "voc")
    assert result.losses["captions.annotations"] == 6
    assert result.images == {"train": 6, "val": 3}


def test_images_that_are_called_by_numbers_keep_them(tmp_path):
    whole = document(names=["000000000139.jpg", "000000000025.jpg"])
    whole["images"][0]["id"] = whole["annotations"][0]["image_id"] = 139
    whole["images"][1]["id"] = 25
    place = write(tmp_path / "coco", whole, images=["000000000139.jpg", "000000000025.jpg"])
    assert to_voc(place, tmp_path / "voc", lossless=True).losses == {}
    to_coco(tmp_path / "voc", tmp_path / "back", lossless=True)
    back = instances(tmp_path / "back", "train")
    assert [one["id"] for one in back["images"]] == [25, 139]
    assert back["annotations"][0]["image_id"] == 139


def test_an_image_of_two_sets_is_one_image(tmp_path):
    place = write(tmp_path / "coco", document(), images=["images/a.jpg"])
    write(place, document(), "instances_all")
    result = to_voc(place, tmp_path / "voc")
    assert {path for path in data(tmp_path / "voc") if path.startswith("Ann")} == {"Annotations/a.xml"}
    assert (result.images, result.losses) == ({"all": 1, "train": 1}, {})
    write(place, document([{}, {}]), "instances_all")  # it says something else of the image
    to_voc(place, tmp_path / "two")
    assert text(tmp_path / "two", "ImageSets/Main/train.txt") == "a_2\n"


def test_classes_of_coco_are_renamed_and_dropped(tmp_path):
    whole = document([{}, {"category_id": 2, "bbox": [1, 1, 2, 2], "area": 4}], categories=((1, "cat"), (2, "dog")))
    place = write(tmp_path / "coco", whole, images=["a.jpg"])
    put(tmp_path, "classes.txt", b"cat=pet\n-dog\n")
    to_voc(place, tmp_path / "voc", classes=tmp_path / "classes.txt")
    names = [one.text for one in ElementTree.parse(tmp_path / "voc/Annotations/a.xml").iter("name")]
    assert names == ["pet"]


def test_a_record_that_cannot_be_read_is_told_and_the_rest_is_done(tmp_path):
    whole = document([{}, {"category_id": "x"}], names=["a.jpg", "b.jpg"])
    whole["images"][1]["width"] = "wide"
    place = write(tmp_path / "coco", whole, images=["a.jpg", "b.jpg"])
    with pytest.raises(Incomplete) as told:
        to_voc(place, tmp_path / "voc")
    assert [path for path, _ in told.value.failures] == ["annotations/instances_train.json"] * 2
    assert str(told.value).count("annotations/instances_train.json") == 2
    assert "/images/1 at byte" in str(told.value)
    assert text(tmp_path / "voc", "ImageSets/Main/train.txt") == "a\n"
    assert text(tmp_path / "voc", "Annotations/a.xml").count("<object>") == 1


def test_smaller_images_have_smaller_boxes(tmp_path):
    place = write(tmp_path / "coco", document([{"segmentation": []}, {"voc": PART, "pose": "Left"}]), images=["a.jpg"])
    result = to_voc(place, tmp_path / "voc", max_side=12)
    assert probe((tmp_path / "voc/JPEGImages/a.jpg").read_bytes()).size == (12, 8)
    read = voc_format.read((tmp_path / "voc/Annotations/a.xml").read_bytes())[0]
    assert (read.size, read.objects[0].box) == ((12, 8), (2.0, 2.5, 3.0, 4.0))  # 1, 1.5 and 2 x 2.5 wide and high
    assert (read.objects[1].pose, read.objects[1].parts) == ("Left", ())
    assert result.losses == {"annotations.segmentation": 1, "annotations.voc": 1}
    assert {one.level for one in visprep.verify(tmp_path / "voc").findings} == {"warning"}
    to_voc(place, tmp_path / "whole", max_side=24)
    result = to_coco(tmp_path / "whole", tmp_path / "back", max_side=12)
    made = instances(tmp_path / "back", "train")
    assert [(one["bbox"], one["area"]) for one in made["annotations"]] == [([1, 1.5, 2, 2.5], 5)] * 2
    assert (made["images"][0]["width"], result.losses) == (12, {"object.part": 1})
    assert probe((tmp_path / "back/images/a.jpg").read_bytes()).size == (12, 8)
    assert codes(tmp_path / "back", "coco") == []


def test_captions_have_no_place(tmp_path):
    whole = coco_place.annotations([1, 2], "captions")
    place = write(tmp_path / "coco", whole, "captions_val2017")
    assert to_voc(place, tmp_path / "voc").losses["annotations"] == 4


def test_a_class_that_xml_cannot_say_is_told_and_the_rest_is_done(tmp_path):
    whole = document([{}, {"image_id": 2, "category_id": 2}], ["a.jpg", "b.jpg"], ((1, "cat"), (2, "do\x01g")))
    place = write(tmp_path / "coco", whole, images=["a.jpg", "b.jpg"])
    with pytest.raises(Incomplete, match=r"Annotations/b\.xml"):
        to_voc(place, tmp_path / "voc")
    assert "<name>cat</name>" in text(tmp_path / "voc", "Annotations/a.xml")


@pytest.mark.parametrize("call", [to_coco, to_voc])
def test_out_of_an_archive_it_is_the_same(tmp_path, call):
    place = voc(tmp_path / "place") if call is to_coco else coco_place.make(tmp_path / "place", 2, 1)
    with zipfile.ZipFile(tmp_path / "place.zip", "w") as written:
        for path in sorted(place.rglob("*")):
            written.write(path, path.relative_to(place))
    result = call(tmp_path / "place.zip", tmp_path / "of-zip")
    same = call(place, tmp_path / "of-place")
    assert (result.linked, result.losses, result.notes) == (0, same.losses, same.notes)
    assert data(tmp_path / "of-zip") == data(tmp_path / "of-place")


def test_a_run_that_is_killed_goes_on(tmp_path):
    place = write(tmp_path / "coco", document(names=[f"{number}.jpg" for number in range(1, 2001)]))
    script = "import sys, visprep; visprep.convert(sys.argv[1], to='voc', output=sys.argv[2], jobs=1)"
    with subprocess.Popen([sys.executable, "-c", script, place, tmp_path / "voc"]) as process:
        while process.poll() is None and not any((tmp_path / "voc/Annotations").glob("*.xml")):
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    result = to_voc(place, tmp_path / "voc")
    assert (result.kept > 0, result.files + result.kept) == (True, 2001)
    to_voc(place, tmp_path / "whole")
    assert data(tmp_path / "voc") == data(tmp_path / "whole")


def test_on_the_command_line(tmp_path, run):
    place = coco_place.make(tmp_path / "coco", 2, 1)
    refused = run("convert", place, "--to", "voc", "--output", tmp_path / "voc", "--lossless")
    assert (refused.code, "annotations.segmentation: voc cannot carry it" in refused.err) == (1, True)
    assert run("convert", place, "--to", "voc", "--output", tmp_path / "voc").code == 0
    assert run("convert", tmp_path / "voc", "--to", "coco", "--output", tmp_path / "back", "--lossless").code == 0


# Whatever is there


@FAST
@given(ANNOTATIONS)
def test_what_voc_says_survives_coco(annotation):
    keys, whole = image_keys(annotation)
    read = image_of(json.loads(json.dumps(keys)).get("voc", {}), annotation.filename, annotation.size)
    told = voc_format.VocAnnotation(
        annotation.filename, annotation.size, annotation.depth, (), annotation.folder, annotation.segmented,
        annotation.others, annotation.attributes,
    )  # fmt: skip
    assert (read == told) is whole or not whole
    for one in annotation.objects:
        keys, whole = object_keys(one)
        back = kept(json.loads(json.dumps(keys)))
        if whole:
            assert back.lost == {"bbox"}
            assert [*back.others] == [*one.others, *(voc_format.as_element("part", part) for part in one.parts)]
        if whole and one.pose:
            assert (back.pose, dict(back.flags)) == (one.pose, dict(one.flags))


#: Pixels as tools write them, and as computations leave them.
PIXELS = st.integers(0, 8) | st.decimals(0, 8, places=2).map(float) | st.floats(0, 8)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab@#", max_size=3), inner, max_size=2),
    max_leaves=4,
)
RECORDS = st.fixed_dictionaries(
    {"bbox": st.lists(PIXELS, min_size=4, max_size=4), "category_id": st.sampled_from([1, 7, 2**53 + 1])},
    optional={
        "area": PIXELS, "iscrowd": st.sampled_from([0, 1]), "pose": st.sampled_from(["Left", "", " "]),
        "difficult": st.integers(0, 2), "truncated": st.integers(0, 1), "occluded": ANYTHING, "score": PIXELS,
        "segmentation": st.sampled_from([[], [[1, 1, 5, 1, 5, 5]], {"size": [16, 24], "counts": "PPYo1"}]),
        "voc": ANYTHING, "mine": ANYTHING,
    },
)  # fmt: skip
#: What stands there anyway on the way back.
SAID = {"iscrowd": 0, "pose": "Unspecified", "truncated": 0, "difficult": 0}


NOTHING = object()


@SLOW
@given(st.lists(st.tuples(st.sampled_from([2, 1]), RECORDS), max_size=5), st.dictionaries(st.text("xy"), ANYTHING))
def test_there_and_back_whatever_differs_is_named(records, image):
    whole = document([], ["a.jpg", "b.jpg"], ((1, "ape"), (7, "bear"), (2**53 + 1, "cow")))
    whole["images"][0] |= image
    whole["annotations"] = [{"id": number, "image_id": owner, **one} for number, (owner, one) in enumerate(records, 5)]
    with tempfile.TemporaryDirectory() as folder:
        place = write(Path(folder, "coco"), whole, images=["a.jpg", "b.jpg"])
        losses = to_voc(place, Path(folder, "voc")).losses
        assert {one.level for one in visprep.verify(Path(folder, "voc"), as_="voc").findings} <= {"warning"}
        to_coco(Path(folder, "voc"), Path(folder, "back"))
        back = instances(Path(folder, "back"), "train")
    differ = set()
    for was, now in zip(whole["images"], back["images"], strict=True):
        differ |= {f"images.{key}" for key, value in was.items() if now.get(key, NOTHING) != value}
        assert now.keys() <= was.keys()
    held = [one for owner in (1, 2) for one in whole["annotations"] if one["image_id"] == owner]
    names = [{one["id"]: one["name"] for one in said["categories"]} for said in (whole, back)]
    for was, now in zip(held, back["annotations"], strict=True):
        assert names[0][was["category_id"]] == names[1][now["category_id"]]
        for key, value in was.items():
            if key not in ("category_id", "image_id") and now.get(key, NOTHING) != value:
                differ.add(
                    "annotations.segmentation.counts"
                    if isinstance(value, dict) and key[0] == "s"
                    else f"annotations.{key}"
                )
        for key in now.keys() - was.keys() - {"area"}:
            assert now[key] == SAID[key] or (key, was.get("iscrowd")) == ("difficult", 1)
    used = {one["category_id"] for one in held}
    differ |= {"categories" for one in whole["categories"] if one["id"] not in used}
    ids = {name: id for id, name in names[1].items()}
    differ |= {"categories.id" for id, name in names[0].items() if id in used and ids[name] != id}
    assert differ == set(losses)


@FAST
@given(BOXES)
def test_boxes_come_back_or_are_named(box):
    box = [abs(one) % 1e9 for one in box]
    found = kept({"bbox": box})
    assert found.box is not None
    assert found.box[0] <= found.box[2]
    if "bbox" not in found.lost:
        assert list(voc_format.pixels(found.box)) == box
