"""What a conversion tells beside what it makes: losses when files failed, and what of the origin is not there."""

import json

import pytest

import visprep
from drawn import picture, put
from visprep.errors import Incomplete


def coco(root, count=2, present=2, **image):
    """A place of COCO with images that have a license, of which only some are there."""
    images = [
        {"id": number, "file_name": f"{number}.jpg", "width": 32, "height": 24, "license": 1} | image
        for number in range(1, count + 1)
    ]
    for one in images[:present]:
        put(root, f"train2017/{one['file_name']}", picture(one["id"], (32, 24), "JPEG"))
    document = {
        "images": images,
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
        "licenses": [{"id": 1, "name": "one"}],
    }
    put(root, "annotations/instances_train2017.json", json.dumps(document).encode())
    return root


def test_losses_are_told_when_some_files_failed_too(run, tmp_path):
    place = coco(tmp_path / "coco", present=2)
    put(place, "train2017/2.jpg", b"no image")
    with pytest.raises(Incomplete) as ended:
        visprep.convert(place, to="yolo", output=tmp_path / "yolo", max_side=8)
    assert any(one.message.startswith("licenses: ") for one in ended.value.findings)
    told = run("convert", place, "--to", "yolo", "--output", tmp_path / "other", "--max-side", "8")
    assert told.code == 3
    assert "licenses: yolo cannot carry it" in told.err


def test_images_that_are_not_there_are_counted(tmp_path):
    place = coco(tmp_path / "coco", count=3, present=1)
    (note,) = visprep.convert(place, to="coco", output=tmp_path / "again").notes
    assert "2 images not there" in note
    assert visprep.convert(coco(tmp_path / "whole"), to="coco", output=tmp_path / "other").notes == ()


def test_images_that_lie_elsewhere_are_no_matter(tmp_path):
    place = coco(tmp_path / "coco", count=1, present=0, file_name="s3://bucket/1.jpg")
    assert visprep.convert(place, to="coco", output=tmp_path / "again").notes == ()
    place = coco(tmp_path / "rooted", count=1, present=0)
    assert visprep.convert(place, to="coco", output=tmp_path / "far", image_root="s3://bucket").notes == ()


@pytest.mark.parametrize("way", ["images/nothere", "../secret"])
def test_parts_that_lead_nowhere_are_told(tmp_path, way):
    put(tmp_path, "secret/a.jpg", picture(1, (32, 24), "JPEG"))
    put(tmp_path, "yolo/images/train/a.jpg", picture(1, (32, 24), "JPEG"))
    put(tmp_path, "yolo/labels/train/a.txt", b"0 0.5 0.5 0.2 0.2\n")
    put(tmp_path, "yolo/data.yaml", f"train: images/train\nval: {way}\nnames: [cat]\n".encode())
    result = visprep.convert(tmp_path / "yolo", to="coco", output=tmp_path / "coco")
    (note,) = result.notes
    assert f"val: {way} is not here" in note
    assert not list((tmp_path / "coco").rglob("*secret*"))


def test_a_place_that_is_unfinished_is_told(tmp_path):
    place = coco(tmp_path / "coco")
    put(place, ".visprep/in-progress", b"")
    (note,) = visprep.convert(place, to="coco", output=tmp_path / "again").notes
    assert "begun" in note
    assert "not ended" in note


def test_a_class_that_xml_cannot_have_is_named(tmp_path):
    place = coco(tmp_path / "coco")
    path = place / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace('"cat"', '"c\\u0001at"'))
    with pytest.raises(Incomplete, match=r"U\+0001 cannot be written in XML: '<name>c\\x01at</name>'") as told:
        visprep.convert(place, to="voc", output=tmp_path / "voc")
    assert "--classes" in told.value.hint
    put(tmp_path, "classes.txt", b"c\x01at = cat\n")
    visprep.convert(place, to="voc", output=tmp_path / "mended", classes=tmp_path / "classes.txt")
