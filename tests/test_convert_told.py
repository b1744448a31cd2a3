"""What a conversion tells beside what it makes: losses when files failed, and what of the origin is not there."""

import json
import re
import shlex

import boto3
import pytest

import visprep
from drawn import picture, put
from record_places import make_tasks
from s3_door import Door, action, error
from visprep.errors import Incomplete, PlaceIncomplete, UsageError, WouldOverwrite, WrongContent


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
    result = ended.value.result
    assert any(one.message.startswith("licenses: ") for one in result.findings)
    assert [(one.path, one.reason) for one in result.failed] == [("images/train2017/2.jpg", "wrong-content")]
    told = run("convert", place, "--to", "yolo", "--output", tmp_path / "other", "--max-side", "8")
    assert told.code == 3
    assert "licenses: yolo cannot carry it" in told.err
    assert "note: there are no images for val" in told.err


def test_json_is_there_when_some_files_failed_too(run, tmp_path):
    place = coco(tmp_path / "coco", present=2)
    put(place, "train2017/2.jpg", b"no image")
    for kept in (0, 4):  # the second time only what failed is tried again
        told = run("convert", place, "--to", "yolo", "--output", tmp_path / "yolo", "--max-side", "8", "--json")
        found = json.loads(told.out)
        assert told.code == 3
        assert (found["files"], found["kept"], found["images"]) == (4 - kept, kept, {"train2017": 2})
        assert found["losses"]["licenses"] == 1
        assert found["notes"][0].startswith("there are no images for val")
        (failed,) = found["failed"]
        assert failed["path"] == "images/train2017/2.jpg"
        assert failed["reason"] == "wrong-content"
        assert "1 of 5 files failed" in told.err


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_an_odd_license_or_supercategory_is_carried_or_told(tmp_path, to):
    place = coco(tmp_path / "coco", present=2)
    file = place / "annotations/instances_train2017.json"
    document = json.loads(file.read_bytes())
    document["images"][0]["license"] = "CC BY"
    document["categories"][0]["supercategory"] = 7
    file.write_text(json.dumps(document))
    result = visprep.convert(place, to=to, output=tmp_path / "made")
    told = [result.losses.get(name) for name in ("images.license", "categories.supercategory")]
    assert told == ([None, None] if to == "coco" else [2, 1])
    if to == "coco":
        assert json.loads((tmp_path / "made/annotations/instances_train2017.json").read_bytes()) == document


def test_images_that_are_not_there_are_counted(tmp_path):
    place = coco(tmp_path / "coco", count=3, present=1)
    (note,) = visprep.convert(place, to="coco", output=tmp_path / "again").notes
    assert "2 images not there: their records were" in note
    (note,) = visprep.convert(coco(tmp_path / "two", present=1), to="coco", output=tmp_path / "second").notes
    assert "1 image not there: its record was" in note
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
    refused = visprep.convert(tmp_path / "yolo", to="coco", output=tmp_path / "lossless", lossless=True)
    assert (refused.refused, refused.losses) == (True, {"images": 1})
    with pytest.raises(Incomplete, match=f"val: {way} is not here") as told:
        visprep.convert(tmp_path / "yolo", to="coco", output=tmp_path / "coco")
    assert told.value.exit_code == 3
    assert "data.yaml" in told.value.hint
    assert not list((tmp_path / "coco").rglob("*secret*"))


def test_a_place_that_is_unfinished_is_not_converted(bucket, tmp_path):
    """On disk and on S3, the whole place and its JSON alike; what is converted by itself is whole however that is."""
    place, far = coco(tmp_path / "coco"), f"s3://{bucket}/coco"
    visprep.sync(place, far)
    put(place, ".visprep/in-progress", b"")
    boto3.client("s3").put_object(Bucket=bucket, Key="coco/.visprep/in-progress", Body=b"")
    for given in (place, far):
        for path in (str(given), f"{given}/annotations/instances_train2017.json"):
            for output in (tmp_path / "again", f"s3://{bucket}/again"):
                with pytest.raises(PlaceIncomplete, match=f"^{given}: a command was begun here and not ended"):
                    visprep.convert(path, to="coco", output=output)
    assert not (tmp_path / "again").exists()
    assert not boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix="again/")["KeyCount"]
    make_tasks(tmp_path / "tasks", 2)
    visprep.convert(tmp_path / "tasks", to="webdataset", output=tmp_path / "tars")
    put(tmp_path / "tars", ".visprep/in-progress", b"")
    (tar,) = (tmp_path / "tars").rglob("*.tar")
    assert visprep.convert(tar, to="tasks", output=tmp_path / "made").files
    with pytest.raises(PlaceIncomplete):
        visprep.convert(tmp_path / "tars", to="tasks", output=tmp_path / "all")


def test_a_class_that_xml_cannot_have_is_named(tmp_path):
    place = coco(tmp_path / "coco")
    path = place / "annotations/instances_train2017.json"
    path.write_text(path.read_text().replace('"cat"', '"c\\u0001at"'))
    with pytest.raises(Incomplete, match=r"U\+0001 cannot be written in XML: '<name>c\\x01at</name>'") as told:
        visprep.convert(place, to="voc", output=tmp_path / "voc")
    assert "--classes" in told.value.hint
    put(tmp_path, "classes.txt", b"c\x01at = cat\n")
    visprep.convert(place, to="voc", output=tmp_path / "mended", classes=tmp_path / "classes.txt")


def test_the_same_source_with_other_options_is_told_for_what_it_is(run, tmp_path):
    place = coco(tmp_path / "coco")
    visprep.convert(place, to="coco", output=tmp_path / "out", max_side=16)
    with pytest.raises(WouldOverwrite) as told:
        visprep.convert(place, to="yolo", output=tmp_path / "out")
    assert "coco was converted here before, in another way: --max-side was 16, now not given; --task" in str(told.value)
    assert "--to was coco, now yolo" in str(told.value)
    assert told.value.hint == f"choose another --output, or delete {tmp_path / 'out'} first"
    with pytest.raises(WouldOverwrite, match="another dataset lies here, coco"):
        visprep.convert(coco(tmp_path / "other"), to="coco", output=tmp_path / "out")


def test_so_it_is_of_one_that_was_not_ended(tmp_path):
    place = coco(tmp_path / "coco")
    put(place, "train2017/2.jpg", b"no image")
    with pytest.raises(Incomplete):
        visprep.convert(place, to="coco", output=tmp_path / "out", max_side=16)
    with pytest.raises(PlaceIncomplete, match="lies here, in another way: --max-side was 16, now 8") as told:
        visprep.convert(place, to="coco", output=tmp_path / "out", max_side=8)
    assert told.value.hint.startswith("finish it with the same options, choose another --output, or delete")


def test_what_is_wrong_in_the_origin_is_to_be_mended_first(tmp_path):
    put(tmp_path, "voc/Annotations/a.xml", b"<annotation><size>")
    put(tmp_path, "voc/JPEGImages/a.jpg", picture(1, (32, 24), "JPEG"))
    put(tmp_path, "voc/JPEGImages/b.jpg", picture(2, (32, 24), "JPEG"))
    put(tmp_path, "voc/Annotations/b.xml", b"<annotation/>")
    with pytest.raises(Incomplete, match=r"Annotations/a\.xml") as told:
        visprep.convert(tmp_path / "voc", to="coco", output=tmp_path / "coco")
    assert told.value.hint.startswith("mend what is named there, or take it away; then run the same command again")
    (tmp_path / "voc/Annotations/a.xml").unlink()
    visprep.convert(tmp_path / "voc", to="coco", output=tmp_path / "coco")


@pytest.mark.parametrize(
    ("to", "said", "unsaid"),
    [
        ("parquet", ["tasks ("], ["COCO", "parquet files", "videos"]),
        ("tasks", ["parquet files of tasks", "WebDataset", "videos", "image sequences"], ["COCO", "Open Images"]),
        ("coco", ["COCO", "YOLO", "Pascal VOC", "Open Images", "FiftyOne: "], ["tasks (", "videos"]),
    ],
)
def test_an_unknown_place_is_told_what_could_become_that(run, tmp_path, to, said, unsaid):
    put(tmp_path, "there/notes.txt", b"x")
    told = run("convert", tmp_path / "there", "--to", to, "--output", tmp_path / "new")
    assert told.code == run("verify", tmp_path / "there").code == 3
    assert "[unknown-content]" in told.err
    assert all(one in told.err for one in said)
    assert not any(one in told.err for one in unsaid)


@pytest.mark.parametrize(
    "field",
    [
        {"bbox": ["1", 1, 5, 5]},
        {"bbox": [1, 1, 5]},
        {"bbox": [1, 1, 5, 5, 5]},
        {"bbox": [1e308, 1, 5, 5]},
        {"bbox": [10**400, 1, 5, 5]},
        {"bbox": [True, 1, 5, 5]},
        {"bbox": "all"},
        {"area": "25"},
        {"keypoints": [1, 1, 2, 3, 3]},
        {"keypoints": [1, 1, None]},
        {"segmentation": [[1, 1, 5, 5, 5]]},
        {"segmentation": [1, 1, 5, 5, 5, 1]},
        {"segmentation": "all"},
    ],
    ids=json.dumps,
)
def test_records_of_which_nobody_knows_the_size_are_not_made_smaller_in_part(tmp_path, field):
    place = coco(tmp_path / "coco")
    path = place / "annotations/instances_train2017.json"
    document = json.loads(path.read_bytes())
    document["annotations"][0] |= {"id": 77, **field}
    path.write_text(json.dumps(document))
    with pytest.raises(WrongContent, match="annotation 77: its ") as told:
        visprep.convert(place, to="coco", output=tmp_path / "small", max_side=16)
    assert next(iter(field)).rstrip("s") in told.value.message or "polygon" in told.value.message
    assert not (tmp_path / "small").exists()
    visprep.convert(place, to="coco", output=tmp_path / "same", max_side=32)  # no image is made smaller
    assert (tmp_path / "same/annotations/instances_train2017.json").read_bytes() == path.read_bytes()


def test_what_says_nothing_of_size_is_made_smaller_as_before(tmp_path):
    place = coco(tmp_path / "coco")
    path = place / "annotations/instances_train2017.json"
    document = json.loads(path.read_bytes())
    document["annotations"][0] |= {"segmentation": [], "keypoints": None}
    path.write_text(json.dumps(document))
    visprep.convert(place, to="coco", output=tmp_path / "small", max_side=16)
    (one,) = json.loads((tmp_path / "small/annotations/instances_train2017.json").read_bytes())["annotations"]
    assert (one["bbox"], one["segmentation"], one["keypoints"]) == ([0.5, 0.5, 2.5, 2.5], [], None)


def test_images_with_a_record_in_several_files_are_told_by_both_ids(tmp_path):
    place = coco(tmp_path / "coco", count=2)
    document = json.loads((place / "annotations/instances_train2017.json").read_bytes())
    more = {**document, "images": [{**document["images"][1], "id": 2}], "annotations": []}
    put(place, "annotations/more.json", json.dumps(more).encode())
    options = {"to": "coco", "merge": [str(place / "annotations/more.json")], "renumber": True}
    result = visprep.convert(
        place / "annotations/instances_train2017.json", output=tmp_path / "one", lossless=True, **options
    )
    words = "1 image has a record in several files, and keeps each: 2.jpg is image 2 of instances_train2017.json, "
    assert result.notes == (f"{words}and image 3 of more.json",)
    (path,) = tmp_path.glob("one/annotations/*.json")
    assert [one["file_name"] for one in json.loads(path.read_bytes())["images"]] == ["1.jpg", "2.jpg", "2.jpg"]


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_files_that_nobody_names_are_counted(tmp_path, to):
    place = coco(tmp_path / "coco")
    before = visprep.convert(place, to=to, output=tmp_path / "before").notes
    put(place, "train2017/extra.jpg", b"x")
    put(place, "LICENSE.txt", b"x")
    result = visprep.convert(place, to=to, output=tmp_path / "after")
    assert result.notes == (*before, "2 files left out, which no annotation file names: LICENSE.txt for one")
    one = visprep.convert(place / "annotations/instances_train2017.json", to=to, output=tmp_path / "one")
    assert one.notes == before


def test_masks_of_panoptic_annotations_are_named(tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 24, "height": 16}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}],
        "categories": [{"id": 1, "name": "cat", "isthing": 1}],
    }
    put(tmp_path / "coco", "annotations/panoptic_val2017.json", json.dumps(document).encode())
    for path in ("val2017/a.jpg", "panoptic_val2017/a.png", "LICENSE.txt"):
        put(tmp_path / "coco", path, picture(1, format="JPEG" if path.endswith("jpg") else "PNG"))
    result = visprep.convert(tmp_path / "coco", to="coco", output=tmp_path / "again")
    assert result.notes[-1] == "1 file left out, which no annotation file names: LICENSE.txt"
    assert (tmp_path / "again/panoptic_val2017/a.png").exists()


@pytest.mark.parametrize("of", ["yolo", "voc"])
def test_so_it_is_on_the_way_back(tmp_path, of):
    visprep.convert(coco(tmp_path / "coco"), to=of, output=tmp_path / of)
    before = visprep.convert(tmp_path / of, to="coco", output=tmp_path / "before").notes
    assert not any("left out" in note for note in before)
    put(tmp_path / of, "LICENSE.txt", b"x")
    put(tmp_path / of, "labels/train2017/none.txt", b"0 0.5 0.5 0.1 0.1\n")
    (*_, note) = visprep.convert(tmp_path / of, to="coco", output=tmp_path / "after").notes
    assert note.startswith("2 files left out")


def test_one_file_on_s3_needs_no_leave_to_list(bucket, s3_server, tmp_path):
    visprep.sync(coco(tmp_path / "coco"), f"s3://{bucket}/coco")

    def answer(seen):  # what is not there looks so to those who may not list
        lacking = seen.path.endswith("/in-progress") or action(seen) == "s3:ListBucket"
        return error(403, "AccessDenied") if lacking else None

    with Door(s3_server, answer) as door:
        path = f"s3://{bucket}/coco/annotations/instances_train2017.json"
        s3 = visprep.S3Settings(endpoint_url=door.url)
        result = visprep.convert(path, to="coco", output=tmp_path / "out", image_root="s3://b/images", s3=s3)
    assert (result.files, result.images) == (1, {"annotations/instances_train2017.json": 2})


def test_a_file_does_not_join_itself(tmp_path):
    place = coco(tmp_path / "coco")
    path = place / "annotations/instances_train2017.json"
    with pytest.raises(UsageError, match="it is there twice"):
        visprep.convert(path, to="coco", output=tmp_path / "out", merge=[str(path)], renumber=True)


def test_files_of_an_earlier_run_that_nothing_makes_any_more_are_told(tmp_path):
    place = coco(tmp_path / "coco")
    before = visprep.convert(place, to="yolo", output=tmp_path / "yolo").notes
    (place / "train2017/2.jpg").unlink()
    for _ in range(2):
        result = visprep.convert(place, to="yolo", output=tmp_path / "yolo")
        assert result.notes == (
            *before,
            "2 files of an earlier run, which this one does not make, stay: images/train2017/2.jpg for one",
        )
    assert (tmp_path / "yolo/images/train2017/2.jpg").exists()


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_a_place_with_files_of_others_is_refused(tmp_path, to):
    """What lies in images/ already would be trained on, too."""
    place = coco(tmp_path / "coco")
    put(tmp_path, "out/images/train2017/old.jpg", picture(9, (32, 24), "JPEG"))
    put(tmp_path, "out/.hidden", b"")
    with pytest.raises(WouldOverwrite, match=r"images/train2017/old\.jpg") as told:
        visprep.convert(place, to=to, output=tmp_path / "out")
    assert told.value.exit_code == 3
    assert not (tmp_path / "out/dataset.json").exists()
    (tmp_path / "out/images/train2017/old.jpg").unlink()
    visprep.convert(place, to=to, output=tmp_path / "out")
    put(tmp_path, "out/images/train2017/mine.jpg", b"")
    again = visprep.convert(place, to=to, output=tmp_path / "out")
    assert again.files == 0
    assert again.notes[-1] == "1 file that visprep did not write lies here, too: images/train2017/mine.jpg"


def test_what_takes_two_conversions_is_told_step_by_step(run, tmp_path):
    visprep.download("sample", tmp_path / "oi", config="open-images", split="validation")
    told = run("convert", tmp_path / "oi", "--to", "yolo", "--output", tmp_path / "yolo")
    (line,) = re.findall(r"hint: .*: visprep (convert .*) --output DIR", told.err)
    assert told.code == 2
    assert run(*shlex.split(line), "--output", tmp_path / "yolo").code == 0
    told = run("convert", tmp_path / "yolo", "--to", "voc", "--output", tmp_path / "voc")
    assert f"first: visprep convert {tmp_path / 'yolo'} --to coco --output DIR; then convert DIR --to voc" in told.err
