"""COCO to YOLO and YOLO to COCO: places, what readers of them need, and what is lost on the way."""

import json

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import coco_documents
import labeled_places
import visprep
from conftest import tree
from drawn import picture, put, turned
from visprep.errors import Incomplete, UnknownName, UsageError, WouldOverwrite, WrongContent

SIZE = (64, 48)
SETTINGS = settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))


def put_coco(root, name, document, kind="instances", images=True):
    """A split of a place: its annotation file, and its images, which are as large as the records say."""
    for image in document["images"] if images else ():
        seed = image["id"] % 2**32
        put(root, f"{name}/{image['file_name']}", picture(seed, (image["width"], image["height"]), "JPEG"))
    put(root, f"annotations/{kind}_{name}.json", coco_documents.written(document))
    return root


def small(first=1, count=3, **annotation):
    """Images with an annotation of each of two classes, and nothing that YOLO cannot carry but the ids of these."""
    images = [
        {"id": number, "file_name": f"{number:012}.jpg", "width": SIZE[0], "height": SIZE[1]}
        for number in range(first, first + count)
    ]
    annotations = [
        {"id": 10 * image["id"] + id, "image_id": image["id"], "category_id": id, "bbox": [1.25 * id, 2, 20.37, 10]}
        | {"area": 203.7, "iscrowd": 0} | annotation
        for image in images
        for id in (1, 2)
    ]  # fmt: skip
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "no"}],
    }


def to_yolo(place, output, **options):
    return visprep.convert(place, to="yolo", output=output, **options)


def to_coco(place, output, **options):
    return visprep.convert(place, to="coco", output=output, **options)


def sound(place, *but, as_="yolo"):
    """verify --as yolo, to the last pixel: no finding but those."""
    report = visprep.verify(place, as_=as_, depth="content")
    assert sorted({one.code for one in report.findings}) == sorted(but)
    return report


def data(place):
    """All files but the record of how they came about."""
    return {
        path: found for path, found in tree(place).items() if path not in ("dataset.json", ".visprep/manifest.jsonl")
    }


def only(place, pattern="annotations/*.json"):
    (path,) = place.glob(pattern)
    return json.loads(path.read_bytes())


def told(document):
    """What a document says of each image, whatever its numbers are."""
    names = {one["id"]: one["file_name"] for one in document["images"]}
    classes = {one["id"]: one["name"] for one in document["categories"]}
    found = {one["file_name"]: (one["width"], one["height"], []) for one in document["images"]}
    for one in document["annotations"]:
        rest = {key: value for key, value in one.items() if key not in ("id", "image_id", "category_id")}
        found[names[one["image_id"]]][2].append((classes[one["category_id"]], rest))
    return found


# Parts and directories


def test_parts_go_by_the_names_of_the_annotation_files(tmp_path):
    for first, name in enumerate(("train2017", "val2017", "test2017", "train2014")):
        put_coco(tmp_path / "coco", name, small(1 + 10 * first))
    result = to_yolo(tmp_path / "coco", tmp_path / "yolo")
    assert result.images == {"test2017": 3, "train2014": 3, "train2017": 3, "val2017": 3}
    assert (result.linked, result.notes) == (12, ())
    data = yaml.safe_load((tmp_path / "yolo/data.yaml").read_bytes())
    assert data == {
        "train": ["images/train2014", "images/train2017"], "val": "images/val2017", "test": "images/test2017",
        "nc": 2, "names": {0: "cat", 1: "no"}}  # fmt: skip
    sound(tmp_path / "yolo")
    label = (tmp_path / "yolo/labels/val2017/000000000011.txt").read_text()
    assert label == "0 0.178671875 0.14583333333 0.31828125 0.20833333333\n" \
                    "1 0.198203125 0.14583333333 0.31828125 0.20833333333\n"  # fmt: skip
    image = "train2017/000000000001.jpg"
    assert (tmp_path / "yolo/images" / image).samefile(tmp_path / "coco" / image)


def test_one_split_alone_is_for_training_and_for_validation(tmp_path):
    result = to_yolo(put_coco(tmp_path / "coco", "val2017", small()), tmp_path / "yolo")
    assert result.notes == ("there are no images for train, which readers want: data.yaml names those of val for it",)
    sound(tmp_path / "yolo")
    back = to_coco(tmp_path / "yolo", tmp_path / "back")
    assert back.images == {"val2017": 3}
    put(tmp_path, "one/a.json", coco_documents.written(small()))
    for image in small()["images"]:
        put(tmp_path, f"one/pictures/{image['file_name']}", picture(image["id"], SIZE, "JPEG"))
    assert to_yolo(tmp_path / "one/a.json", tmp_path / "two").images == {"a": 3}  # what tells no part is for training
    assert yaml.safe_load((tmp_path / "two/data.yaml").read_bytes())["train"] == "images/a"


def test_an_image_that_shows_nothing_has_an_empty_label(tmp_path):
    document = small()
    document["annotations"] = document["annotations"][:2]
    to_yolo(put_coco(tmp_path / "coco", "train", document), tmp_path / "yolo")
    assert [path.stat().st_size > 0 for path in sorted(tmp_path.glob("yolo/labels/train/*"))] == [True, False, False]
    sound(tmp_path / "yolo")


def test_names_with_directories(tmp_path):
    document = small()
    for image, name in zip(document["images"], ("a/1.jpg", "b/1.jpg", "images/2.jpg"), strict=True):
        image["file_name"] = name
    to_yolo(put_coco(tmp_path / "coco", "train", document), tmp_path / "yolo")
    assert (tmp_path / "yolo/labels/train/b/1.txt").is_file()
    assert (tmp_path / "yolo/images/train/labels/2.txt").is_file()  # where it is looked for
    sound(tmp_path / "yolo")


# Tasks


@pytest.mark.parametrize(
    ("task", "made"),
    [("detect", small), ("segment", coco_documents.instances), ("pose", coco_documents.keypoints)],
)
def test_the_task_is_what_the_annotations_are_good_for(tmp_path, task, made):
    kind = "person_keypoints" if task == "pose" else "instances"
    place = put_coco(tmp_path / "coco", "train", made(), kind)
    to_yolo(place, tmp_path / "yolo")
    to_yolo(place, tmp_path / "said", task=task)
    assert data(tmp_path / "yolo") == data(tmp_path / "said")
    sound(tmp_path / "yolo")
    columns = {len(line.split()) for path in tmp_path.glob("yolo/labels/*/*") for line in path.read_text().splitlines()}
    assert columns == {{"detect": 5, "segment": 9, "pose": 14}[task]}
    to_coco(tmp_path / "yolo", tmp_path / "back")
    sound(tmp_path / "back", as_="coco")
    crowd = {one["id"] for one in made()["annotations"] if one["iscrowd"]}
    want = made() | {"annotations": [one for one in made()["annotations"] if one["id"] not in crowd]}
    for one in want["annotations"]:
        if task != "segment":
            one.pop("segmentation", None)
    assert told(only(tmp_path / "back")) == told(want)


def test_pose_names_its_keypoints(tmp_path):
    place = put_coco(tmp_path / "coco", "train", coco_documents.keypoints(), "person_keypoints")
    result = to_yolo(place, tmp_path / "yolo")
    data = yaml.safe_load((tmp_path / "yolo/data.yaml").read_bytes())
    assert (data["kpt_shape"], data["flip_idx"]) == ([3, 3], [0, 2, 1])
    assert data["kpt_names"] == {0: coco_documents.JOINTS, 1: ["0", "1", "2"]}
    assert (result.losses["categories.skeleton"], result.losses["annotations.segmentation"]) == (1, 5)
    back = to_coco(tmp_path / "yolo", tmp_path / "back")
    assert back.losses == {"data.flip_idx": 1}
    assert only(tmp_path / "back", "annotations/person_keypoints_train.json")["categories"][0] == {
        "id": 1, "name": "person", "keypoints": coco_documents.JOINTS, "skeleton": []}  # fmt: skip


def test_of_two_files_about_the_same_images_one_is_named(tmp_path):
    place = put_coco(tmp_path / "coco", "val2017", coco_documents.instances())
    put_coco(place, "val2017", coco_documents.keypoints(), "person_keypoints")
    put_coco(place, "val2017", coco_documents.captions(), "captions")
    with pytest.raises(UsageError, match="tell of the same images") as refused:
        to_yolo(place, tmp_path / "yolo")
    assert refused.value.hint == "name one of them, or say --task pose or --task segment"
    assert not (tmp_path / "yolo").exists()
    result = to_yolo(place, tmp_path / "pose", task="pose")
    assert result.losses["annotations"] == 6 + 3  # those of instances and captions
    assert "captions" not in str(to_yolo(place / "annotations/instances_val2017.json", tmp_path / "one").losses)
    assert to_yolo(place, tmp_path / "boxes", task="detect").losses["annotations.segmentation"] == 5
    sound(tmp_path / "boxes")


# Losses


def test_what_is_lost_is_told_by_field(tmp_path, run):
    place = put_coco(tmp_path / "coco", "train", coco_documents.instances())
    result = to_yolo(place, tmp_path / "yolo")
    assert result.losses == {
        "annotations.id": 4, "annotations.iscrowd": 1, "categories.id": 1, "categories.supercategory": 2,
        "images.coco_url": 3, "images.date_captured": 3, "images.flickr_url": 3, "images.license": 3,
        "info": 1, "licenses": 1}  # fmt: skip
    assert [one.code for one in result.findings] == ["field-lost"] * 10
    ended = run("convert", place, "--to", "yolo", "--output", "new", "--lossless")
    assert ended.code == 1
    assert "annotations.iscrowd: yolo cannot carry it; 1 record lost it, annotation 900100000100 for one" in " ".join(
        ended.err.split()
    )
    assert not (tmp_path / "work/new").exists()


def test_nothing_is_lost_where_there_is_nothing_to_lose(tmp_path):
    document = small()
    for one in document["annotations"]:
        del one["id"]
    place = put_coco(tmp_path / "coco", "train", document)
    result = to_yolo(place, tmp_path / "yolo", lossless=True)
    assert (result.losses, result.refused) == ({}, False)
    back = to_coco(tmp_path / "yolo", tmp_path / "back", lossless=True)
    assert (back.losses, back.refused) == ({}, False)
    again = only(tmp_path / "back")
    assert [{key: value for key, value in one.items() if key != "id"} for one in again["annotations"]] == document[
        "annotations"
    ]
    assert (again["images"], again["categories"]) == (document["images"], document["categories"])


def test_images_that_cannot_go_there_are_lost_and_the_rest_is_sound(tmp_path):
    document = small(count=5)
    document["images"][1]["file_name"] = "000000000001.png"  # asks for the label of the first
    document["images"][2]["file_name"] = "a.gif"
    document["images"][3]["file_name"] = "../b.jpg"
    document["annotations"].append({"id": 900, "image_id": 77, "category_id": 1, "bbox": [1, 1, 5, 5]})
    document["annotations"].append({"id": 901, "image_id": 5, "category_id": 9, "bbox": [1, 1, 5, 5]})
    document["annotations"].append({"id": 902, "image_id": 5, "category_id": 1, "bbox": [1, 1, 5, 0]})
    result = to_yolo(put_coco(tmp_path / "coco", "train", document), tmp_path / "yolo")
    assert (result.losses["images"], result.losses["annotations"], result.images) == (3, 3, {"train": 2})
    sound(tmp_path / "yolo")


def test_a_record_that_cannot_be_read_is_told_and_the_rest_is_done(tmp_path):
    document = small()
    document["annotations"][1]["image_id"] = "x"
    place = put_coco(tmp_path / "coco", "train", document)
    with pytest.raises(Incomplete, match=r"instances_train\.json: /annotations/1 at byte"):
        to_yolo(place, tmp_path / "yolo")
    labels = sorted(tmp_path.glob("yolo/labels/train/*.txt"))
    assert [len(path.read_text().splitlines()) for path in labels] == [1, 2, 2]
    status = visprep.status(tmp_path / "yolo")
    assert status.state == "unfinished"
    assert status.go_on.startswith("visprep convert path/to/coco --task detect --to yolo --output")
    put(place, "annotations/instances_train.json", coco_documents.written(small()))
    to_yolo(place, tmp_path / "yolo")
    assert labels[0].read_text().count("\n") == 2
    sound(tmp_path / "yolo")


def test_where_no_record_can_be_read_that_is_the_error(tmp_path):
    document = small(count=1)
    document["images"][0]["width"] = "64"
    with pytest.raises(WrongContent, match=r"instances_train\.json: /images/0 at byte"):
        to_yolo(put_coco(tmp_path / "coco", "train", document, images=False), tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


@pytest.mark.parametrize(
    ("top", "task", "said"),
    [
        ({"categories": []}, None, "it has no category"),
        ({}, "pose", "no category has keypoints"),
        ({"images": []}, None, "none of its images is there"),
    ],
)
def test_what_can_be_no_dataset_of_yolo_is_refused(tmp_path, top, task, said):
    with pytest.raises(UsageError, match=said):
        to_yolo(put_coco(tmp_path / "coco", "train", small() | top), tmp_path / "yolo", task=task)
    assert not (tmp_path / "yolo").exists()


def test_categories_of_one_name_become_one(tmp_path):
    document = small()
    document["categories"][1]["name"] = "cat"
    result = to_yolo(put_coco(tmp_path / "coco", "train", document), tmp_path / "yolo")
    assert result.losses == {"annotations.id": 6, "categories.id": 1}
    assert yaml.safe_load((tmp_path / "yolo/data.yaml").read_bytes())["names"] == {0: "cat"}
    sound(tmp_path / "yolo")


def test_without_images_there_is_nothing_to_convert(tmp_path):
    with pytest.raises(UsageError, match="none of its images is there"):
        to_yolo(put_coco(tmp_path / "coco", "train", small(), images=False), tmp_path / "yolo")
    assert not (tmp_path / "yolo").exists()


@SETTINGS
@given(st.data())
def test_there_and_back(tmp_path_factory, data):
    """Any boxes of any classes: all that is not named as lost is the same again."""
    root = tmp_path_factory.mktemp("there")
    document = small(count=data.draw(st.integers(1, 4)))
    document["annotations"] = data.draw(st.lists(st.builds(
        lambda id, image, label, left, top, width, height, more: {
            "id": id, "image_id": image["id"], "category_id": label,
            "bbox": [left / 100, top / 100, min(width, 6400 - left) / 100, min(height, 4800 - top) / 100], **more},
        st.integers(1, 2**60), st.sampled_from(document["images"]), st.sampled_from([1, 2]),
        st.integers(0, 6390), st.integers(0, 4790), st.integers(1, 6400), st.integers(1, 4800),
        st.sampled_from([{}, {"iscrowd": 0}, {"iscrowd": 1}, {"score": 0.5}, {"area": 1}]),
    ), max_size=6))  # fmt: skip
    result = to_yolo(put_coco(root / "coco", "train", document), root / "yolo")
    sound(root / "yolo", *_repeated(root / "yolo"))
    to_coco(root / "yolo", root / "back")
    kept = [one for one in document["annotations"] if not one.get("iscrowd")]
    rows = [one for image in document["images"] for one in kept if one["image_id"] == image["id"]]
    lost = {
        "annotations.id": sum(one["id"] != number for number, one in enumerate(rows, 1)),
        "annotations.iscrowd": len(document["annotations"]) - len(kept),
        "annotations.score": sum("score" in one for one in kept),
        "annotations.area": sum("area" in one and round(one["bbox"][2] * one["bbox"][3], 9) != 1 for one in kept),
    }  # fmt: skip
    assert result.losses == {name: count for name, count in lost.items() if count}
    ours, theirs = told(only(root / "back")), told(document | {"annotations": kept})
    assert ours.keys() == theirs.keys()
    for name, (*size, objects) in theirs.items():
        assert list(ours[name][:2]) == size
        assert [(label, one["bbox"]) for label, one in ours[name][2]] == [
            (label, one["bbox"]) for label, one in objects
        ]


def _repeated(place):
    rows = [path.read_text().splitlines() for path in place.glob("labels/*/*.txt")]
    return ["yolo-row-repeated"] if any(len(set(some)) < len(some) for some in rows) else []


# Classes


def test_classes_are_renamed_kept_and_dropped(tmp_path):
    place = put_coco(tmp_path / "coco", "train", small())
    put(tmp_path, "map.txt", b"no=pet\ncat=pet\n")
    to_yolo(place, tmp_path / "one", classes=tmp_path / "map.txt")
    assert yaml.safe_load((tmp_path / "one/data.yaml").read_bytes())["names"] == {0: "pet"}
    sound(tmp_path / "one")
    put(tmp_path, "map.txt", b"-cat\n")
    result = to_yolo(place, tmp_path / "two", classes=tmp_path / "map.txt")
    assert "annotations" not in result.losses
    to_coco(tmp_path / "two", tmp_path / "back")
    assert [one["name"] for one in only(tmp_path / "back")["categories"]] == ["no"]
    assert {one["bbox"][0] for one in only(tmp_path / "back")["annotations"]} == {2.5}
    put(tmp_path, "map.txt", b"cow=pet\n")
    for convert, origin in ((to_yolo, place), (to_coco, tmp_path / "one")):
        with pytest.raises(UnknownName, match="cow"):
            convert(origin, tmp_path / "new", classes=tmp_path / "map.txt")
    put(tmp_path, "map.txt", b"-cat\n-no\n")
    with pytest.raises(UsageError, match="no class is left"):
        to_yolo(place, tmp_path / "new", classes=tmp_path / "map.txt")


# YOLO to COCO


def test_a_place_of_yolo_becomes_coco(tmp_path):
    place = labeled_places.yolo(tmp_path / "yolo", labeled_places.DATA + b"download: https://example.com\n")
    result = to_coco(place, tmp_path / "coco")
    assert (result.kind, result.images, result.losses) == ("yolo", {"train": 2, "val": 1}, {"data.download": 1})
    sound(tmp_path / "coco", as_="coco")
    train = only(tmp_path / "coco", "annotations/instances_train.json")
    assert [one["file_name"] for one in train["images"]] == ["a.jpg", "b.jpg"]
    assert train["annotations"][0] == {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [9, 6, 6, 4], "area": 24, "iscrowd": 0}  # fmt: skip
    assert only(tmp_path / "coco", "annotations/instances_val.json")["images"][0]["id"] == 3
    assert (tmp_path / "coco/train/a.jpg").samefile(place / "images/train/a.jpg")
    assert to_coco(place, tmp_path / "no", lossless=True).refused
    again = to_coco(place, tmp_path / "coco")
    assert (again.files, again.kept) == (0, result.files)
    put(place, "other.yaml", labeled_places.DATA)
    assert to_coco(place, tmp_path / "two").notes == ("data.yaml is read, and not other.yaml",)


@pytest.mark.parametrize("layout", ["roboflow", "lists", "darknet", "bare"])
def test_places_as_other_tools_lay_them_out(tmp_path, layout):
    place = tmp_path / "place"
    homes = {
        "roboflow": ("train/images/a.jpg", "valid/images/b.jpg"), "lists": ("images/000/a.jpg", "images/001/b.jpg"),
        "darknet": ("obj_train_data/a.jpg", "obj_train_data/b.jpg"),
        "bare": ("images/train/a.jpg", "images/val/b.jpg")}  # fmt: skip
    for seed, image in enumerate(homes[layout]):
        put(place, image, picture(seed, SIZE, "JPEG"))
        stem = image.replace("images/", "labels/").removesuffix(".jpg")
        put(place, f"{stem}.txt", labeled_places.BOX)
    names = {"darknet": "obj.names", "bare": "classes.txt"}.get(layout)
    if names:
        put(place, names, b"cat\ndog\n")
    elif layout == "lists":
        put(place, "train.txt", b"./images/000/a.jpg\n")
        put(place, "val.txt", b"./images/001/b.jpg\n")
        put(place, "data.yaml", b"train: train.txt\nval: val.txt\nnc: 2\n")
    else:
        put(place, "data.yaml", b"train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n")
    result = to_coco(place, tmp_path / "coco")
    assert result.images == {
        "roboflow": {"train": 1, "valid": 1}, "lists": {"train": 1, "val": 1},
        "darknet": {"obj_train_data": 2}, "bare": {"train": 1, "val": 1}}[layout]  # fmt: skip
    sound(tmp_path / "coco", as_="coco")
    names = {
        one["name"]
        for path in tmp_path.glob("coco/annotations/*")
        for one in json.loads(path.read_bytes())["categories"]
    }
    assert names == ({"0", "1"} if layout == "lists" else {"cat", "dog"})


def test_an_image_that_is_turned_is_as_large_as_readers_see_it(tmp_path):
    place = labeled_places.yolo(tmp_path / "yolo")
    put(place, "images/val/c.jpg", turned(7, (24, 16)))
    to_coco(place, tmp_path / "coco")
    (image,) = only(tmp_path / "coco", "annotations/instances_val.json")["images"]
    assert (image["width"], image["height"]) == (16, 24)


@pytest.mark.parametrize(
    ("path", "data", "said"),
    [
        ("labels/train/a.txt", b"0 0.5 0.5 0.2\n", "line 1: it has 4 columns"),
        ("labels/train/a.txt", b"0 0.5 0.5 0.2 0.2\n7 0.5 0.5 0.2 0.2\n", "line 2: there is no class 7"),
        ("images/train/a.jpg", b"no image", "a.jpg"),
    ],
)
def test_a_record_that_is_none_is_told_and_mended(tmp_path, monkeypatch, path, data, said):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    place = labeled_places.yolo(tmp_path / "yolo")
    to_coco(place, tmp_path / "whole")
    good = (place / path).read_bytes()
    (place / path).unlink()
    (place / path).write_bytes(data)
    with pytest.raises(Incomplete, match="1 of 5 files failed") as ended:
        to_coco(place, tmp_path / "coco")
    assert said in str(ended.value)
    assert [one["id"] for one in only(tmp_path / "coco", "annotations/*train.json")["images"]] == [2]
    assert visprep.status(tmp_path / "coco").state == "unfinished"
    (place / path).unlink()
    (place / path).write_bytes(good)
    to_coco(place, tmp_path / "coco")
    assert tree(tmp_path / "coco") == tree(tmp_path / "whole")


def test_what_is_lacking_is_named(tmp_path):
    place = labeled_places.yolo(tmp_path / "yolo", None)
    with pytest.raises(UsageError, match="what the classes are called"):
        to_coco(place, tmp_path / "coco")
    put(place, "data.yaml", b"train: images/train\nval: images/val\nnames: [cat, dog\n")
    with pytest.raises(WrongContent, match=r"data\.yaml"):
        to_coco(place, tmp_path / "coco")
    put(place, "data.yaml", b"train: gone\nval: gone\nnames: [cat, dog]\n")
    for path in place.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(UsageError, match="no image is there"):
        to_coco(place, tmp_path / "coco")
    assert not (tmp_path / "coco").exists()


# Again, and in the way


def test_a_second_run_does_nothing_and_files_of_others_stay(tmp_path):
    place = put_coco(tmp_path / "coco", "train", small())
    first = to_yolo(place, tmp_path / "yolo")
    before = tree(tmp_path / "yolo")
    again = to_yolo(place, tmp_path / "yolo")
    assert (again.files, again.kept) == (0, first.files)
    assert tree(tmp_path / "yolo") == before
    put(tmp_path, "other/labels/train/000000000002.txt", b"mine")
    with pytest.raises(WouldOverwrite, match=r"000000000002\.txt"):
        to_yolo(place, tmp_path / "other")
    assert tree(tmp_path / "other") == {"labels/train/000000000002.txt": b"mine"}


def test_it_is_the_same_from_an_archive(tmp_path):
    import zipfile

    place = put_coco(tmp_path / "coco", "train", small())
    with zipfile.ZipFile(tmp_path / "coco.zip", "w") as archive:
        for path, content in tree(place).items():
            archive.writestr(path, content)
    to_yolo(place, tmp_path / "one")
    to_yolo(tmp_path / "coco.zip", tmp_path / "two")
    assert data(tmp_path / "one") == data(tmp_path / "two")


def test_it_is_the_same_from_s3(tmp_path, bucket):
    place = put_coco(tmp_path / "coco", "train", small())
    visprep.upload(place, f"s3://{bucket}/coco")
    to_yolo(place, tmp_path / "one", max_side=32)
    to_yolo(f"s3://{bucket}/coco", tmp_path / "two", max_side=32)
    to_yolo(f"s3://{bucket}/coco/annotations/instances_train.json", tmp_path / "three", max_side=32)
    visprep.upload(tmp_path / "one", f"s3://{bucket}/yolo")
    to_coco(tmp_path / "one", tmp_path / "four")
    to_coco(f"s3://{bucket}/yolo", tmp_path / "five")
    assert data(tmp_path / "one") == data(tmp_path / "two") == data(tmp_path / "three")
    assert data(tmp_path / "four") == data(tmp_path / "five")
    sound(tmp_path / "five", as_="coco")


def test_the_command_line(tmp_path, run):
    place = put_coco(tmp_path / "coco", "train", coco_documents.instances())
    ended = run("convert", place, "--to", "yolo", "--output", "boxes", "--task", "detect", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["losses"]["annotations.segmentation"] == 5
    ended = run("convert", place, "--to", "coco", "--output", "x", "--task", "detect")
    assert (ended.code, "--task says nothing of coco to coco" in ended.err) == (2, True)
    assert run("convert", place, "--to", "yolo", "--output", "x", "--task", "classify").code == 2


# Keypoints that are not there


def posed(root):
    """Two persons, of whom one has no keypoints and one has all at 0, a dog that has two, and a car that has none."""
    document = small(count=1)
    document["categories"] = [
        {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"], "skeleton": []},
        {"id": 2, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": []},
        {"id": 3, "name": "car"},
    ]
    base = document["annotations"][0]
    points = {
        3: {"keypoints": [2, 2, 2, 3, 3, 1, 0, 0, 0], "num_keypoints": 2},
        4: {},
        5: {"keypoints": [0] * 9, "num_keypoints": 0},
        6: {"category_id": 2, "keypoints": [2, 2, 2, 3, 3, 2], "num_keypoints": 2},
        7: {"category_id": 3},
    }
    document["annotations"] = [base | {"id": id, "category_id": 1} | one for id, one in points.items()]
    return put_coco(root, "train", document, "person_keypoints")


def test_keypoints_that_are_not_there_are_told_and_not_made_up(tmp_path):
    place = posed(tmp_path / "coco")
    result = to_yolo(place, tmp_path / "yolo")
    (found,) = [one for one in result.findings if one.where["field"] == "annotations.keypoints.missing"]
    assert (found.where["count"], "annotation 4 for one" in found.message) == (2, True)
    assert "annotations.keypoints" not in result.losses
    assert to_yolo(place, tmp_path / "none", lossless=True).refused
    to_coco(tmp_path / "yolo", tmp_path / "back")
    back = only(tmp_path / "back")
    assert [one.get("keypoints") for one in back["categories"]] == [
        ["nose", "left_eye", "right_eye"],
        ["nose", "tail"],
        None,
    ]
    assert [(one.get("keypoints"), one.get("num_keypoints")) for one in back["annotations"]] == [
        ([2, 2, 2, 3, 3, 1, 0, 0, 0], 2),
        ([0] * 9, 0),
        ([0] * 9, 0),
        ([2, 2, 2, 3, 3, 2], 2),
        (None, None),
    ]


def test_keypoints_of_a_class_that_is_said_to_have_none_are_told(tmp_path):
    to_yolo(posed(tmp_path / "coco"), tmp_path / "yolo")
    (label,) = tmp_path.glob("yolo/labels/train/*.txt")
    lines = label.read_text().splitlines()
    lines[-1] = "2 0.5 0.5 0.1 0.1 0.5 0.5 2 0 0 0 0 0 0"
    label.unlink()
    label.write_text("\n".join(lines) + "\n")
    result = to_coco(tmp_path / "yolo", tmp_path / "back")
    assert result.losses["keypoints"] == 1
    assert "keypoints" not in only(tmp_path / "back")["annotations"][-1]


def test_keypoints_without_names_are_numbered(tmp_path):
    to_yolo(posed(tmp_path / "coco"), tmp_path / "yolo")
    data = tmp_path / "yolo/data.yaml"
    content = yaml.safe_load(data.read_bytes())
    del content["kpt_names"]
    data.unlink()
    data.write_text(yaml.safe_dump(content))
    result = to_coco(tmp_path / "yolo", tmp_path / "back")
    assert result.notes == ("data.yaml has no kpt_names: keypoints are called 1 to 3",)
    assert {tuple(one["keypoints"]) for one in only(tmp_path / "back")["categories"]} == {("1", "2", "3")}
    content["kpt_names"] = {number: ["0", "1", "2"] for number in range(3)}  # as ultralytics has it by itself
    data.write_text(yaml.safe_dump(content))
    to_coco(tmp_path / "yolo", tmp_path / "named")
    assert {tuple(one["keypoints"]) for one in only(tmp_path / "named")["categories"]} == {("0", "1", "2")}
