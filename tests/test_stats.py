"""`visprep.stats`: every kind of place in numbers that were reckoned by hand, and nothing written to any."""

import json
import shutil
import zipfile
from io import BytesIO

import boto3
import numpy as np
import pytest
from PIL import Image

import coco_place
import labeled_places
import record_places
import visprep
from conftest import tree
from drawn import put
from visprep.errors import FileMissing, PlaceMissing, UnknownContent, UnknownName, UsageError, WrongContent
from visprep.statistics.histograms import tallied


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Six and three images with two boxes each, with keypoints and captions of val2017 beside them."""
    place = coco_place.make(tmp_path_factory.mktemp("coco") / "coco")
    for kind in ("person_keypoints", "captions"):
        document = coco_place.annotations([7, 8, 9], kind)
        (place / f"annotations/{kind}_val2017.json").write_text(json.dumps(document))
    return place


@pytest.fixture(scope="module")
def open_images(tmp_path_factory):
    place = tmp_path_factory.mktemp("open-images") / "sample"
    visprep.download("sample", output=place, config="open-images")
    return place


def bars(found, name):
    """The bars of a histogram that are not empty."""
    one = found.histogram(name)
    return {label: count for label, count in zip(one.labels, one.counts, strict=True) if count}


def document(place, **lists):
    """A COCO JSON file with these lists, in a place of its own."""
    put(place, "annotations/instances_val2017.json", json.dumps({"images": [], "annotations": [], **lists}).encode())
    return place


# COCO


def test_coco_by_hand(coco):
    found = visprep.stats(coco)
    assert (found.kind, found.unit, found.records, found.images, found.absent) == ("coco", "images", 9, 9, 0)
    assert (found.annotations, found.empty) == (18, 0)
    assert [(one.name, one.records, one.annotations) for one in found.splits] == [
        ("train2017", 6, 12),
        ("val2017", 3, 6),
    ]
    assert [(one.name, one.records, one.annotations) for one in found.classes] == [("dog", 9, 9), ("person", 9, 9)]
    assert found.licenses == {"Attribution License": 9}
    assert bars(found, "boxes-per-image") == {"2": 9}
    assert bars(found, "box-areas") == {"small < 32x32": 18}  # 20 x 30
    assert bars(found, "box-shares") == {"5-20 %": 18}  # 600 of 6144
    assert bars(found, "masks") == {"polygons": 18}
    assert bars(found, "keypoints") == {"16-17": 6}
    assert bars(found, "captions-per-image") == {"2": 3}
    assert bars(found, "image-aspect") == {"1.25-2": 9}
    assert (found.sizes.known_from, found.sizes.different, found.sizes.median) == ("annotations", 1, (96, 64))
    assert (found.prompts.unit, found.prompts.count, found.prompts.different) == ("captions", 6, 6)
    assert bars(found, "annotation-files")["annotations/captions_val2017.json"] == 6


def test_files_and_bytes_are_those_of_ls(coco):
    files = list(visprep.ls(coco))
    found = visprep.stats(coco, pixels="none")
    assert (found.files, found.bytes) == (len(files), sum(file.size for file in files))


def test_objects_are_cut_at_32_and_96_by_their_own_area(tmp_path):
    image = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100}
    areas = (1023.9, 1024, 9215.9, 9216)
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100], "area": area}
        for number, area in enumerate(areas)
    ]
    annotations.append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100]})  # no area: that of the box
    found = visprep.stats(document(tmp_path, images=[image], annotations=annotations))
    assert found.histogram("box-areas").counts == (1, 2, 2)
    assert bars(found, "box-shares") == {"over 50 %": 5}
    assert "area" in found.histogram("box-areas").note


def test_images_without_annotations_and_classes_without_any(tmp_path):
    images = [{"id": id, "file_name": f"{id}.jpg", "width": 10, "height": 10} for id in (1, 2, 3)]
    annotations = [{"id": 1, "image_id": 2, "category_id": 5, "bbox": [0, 0, 2, 2]}] * 3
    categories = [{"id": 4, "name": "cat"}, {"id": 5, "name": "dog"}]
    found = visprep.stats(document(tmp_path, images=images, annotations=annotations, categories=categories))
    assert (found.empty, found.absent, found.images) == (2, 3, 0)
    assert [(one.name, one.records, one.annotations) for one in found.classes] == [("dog", 1, 3), ("cat", 0, 0)]
    assert bars(found, "boxes-per-image") == {"0": 2, "3": 1}
    assert found.sample is None


def test_panoptic_annotations_count_their_segments(tmp_path):
    segments = [{"id": at, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25, "iscrowd": 0} for at in range(3)]
    made = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "sky"}],
    }
    put(tmp_path, "annotations/panoptic_val2017.json", json.dumps(made).encode())
    found = visprep.stats(tmp_path)
    assert (found.annotations, found.classes[0].annotations, found.classes[0].records) == (3, 3, 1)


def test_run_length_masks_are_told_from_polygons(tmp_path):
    image = {"id": 1, "file_name": "a.jpg", "width": 10, "height": 10}
    masks = [{"counts": [1, 2], "size": [10, 10]}, [[0, 0, 5, 0, 5, 5]], [], None]
    annotations = [
        {
            "id": at,
            "image_id": 1,
            "category_id": 1,
            "bbox": [0, 0, 5, 5],
            **({"segmentation": one} if one is not None else {}),
        }
        for at, one in enumerate(masks)
    ]
    found = visprep.stats(document(tmp_path, images=[image], annotations=annotations))
    assert bars(found, "masks") == {"RLE": 1, "polygons": 1, "none": 2}


@pytest.mark.parametrize(
    "odd",
    [
        {"id": 1.0, "image_id": 1.0, "category_id": 1.0, "bbox": [0, 0, "5", 5]},
        {"id": 1, "image_id": None, "category_id": "x", "bbox": None, "area": True, "segmentation": 5},
        {"id": 10**30, "image_id": [1], "category_id": {}, "bbox": [1], "caption": 7, "num_keypoints": "2"},
        {"id": 1, "image_id": 1, "bbox": [10**400, 0, 1, 1], "area": 10**400, "segments_info": [1, {"bbox": 3}]},
        {"id": 1, "image_id": 1, "bbox": [0, 0, 1e308, 1e308]},
        {},
    ],
)
def test_what_makes_no_sense_is_passed_over_and_the_rest_counted(tmp_path, odd):
    sound = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "area": 25}
    images = [{"id": 1, "file_name": "a.jpg", "width": 10, "height": 10, "license": "odd"}, {"id": "x", "width": []}]
    made = document(
        tmp_path, images=images, annotations=[odd, sound], categories=[{"id": 1, "name": "cat"}, {}, {"id": 2}]
    )
    found = visprep.stats(made)
    assert found.records == 2
    assert found.classes[0].name == "cat"
    assert found.classes[0].annotations >= 1
    assert bars(found, "box-areas")


def test_records_that_are_no_objects_are_noted(tmp_path):
    found = visprep.stats(document(tmp_path, images=[1, None, {"id": 1}], annotations=["x"]))
    assert (found.records, found.annotations) == (1, 0)
    assert any("3 records" in note for note in found.notes)


def test_an_empty_file_is_nothing_and_no_error(tmp_path):
    found = visprep.stats(document(tmp_path))
    assert (found.records, found.annotations, found.empty, found.classes, found.sizes) == (0, 0, 0, (), None)


def test_a_damaged_file_is_noted_where_another_can_be_read(coco, tmp_path):
    place = shutil.copytree(coco, tmp_path / "coco")
    put(place, "annotations/instances_train2017.json", b'{"images": [')
    found = visprep.stats(place, pixels="none")
    assert [one.name for one in found.splits] == ["val2017"]
    assert any("instances_train2017.json" in note for note in found.notes)


@pytest.mark.parametrize("text", [b"", b"[1]", b"{}", b'{"images": 3}', b"\xff", b'{"images": [{"id": 1}', b"[" * 5000])
def test_a_file_that_cannot_be_read_is_said(tmp_path, text):
    put(tmp_path, "instances.json", text)
    with pytest.raises(WrongContent):
        visprep.stats(tmp_path / "instances.json")


def test_splits_of_one_name_are_told_apart(tmp_path):
    for home in ("a", "b"):
        put(tmp_path, f"{home}/instances_val2017.json", json.dumps(coco_place.annotations([1])).encode())
    found = visprep.stats(tmp_path)
    assert [one.name for one in found.splits] == ["a/instances_val2017", "b/instances_val2017"]
    assert (found.records, found.absent) == (2, 2)


def test_one_file_is_counted_by_itself(coco):
    file = coco / "annotations/instances_val2017.json"
    found = visprep.stats(file)
    assert (found.kind, found.files, found.bytes, found.records, found.annotations) == (
        "coco",
        1,
        file.stat().st_size,
        3,
        6,
    )
    assert (found.sample, found.images) == (None, 0)
    with pytest.raises(FileMissing):
        visprep.stats(coco / "annotations/none.json")


# Directories of records


def test_tasks_by_hand(tmp_path):
    record_places.make_tasks(tmp_path, 12)
    put(tmp_path, "maze_task/maze_0000/prompt.txt", b"Solve number 2.\n")
    put(tmp_path, "maze_task/maze_0004/prompt.txt", b"\xff\xfe")
    put(tmp_path, "maze_task/maze_0006/prompt.txt", b"A" * 1_500_000)  # not one of 1,000,000 characters
    (tmp_path / "sudoku_task/sudoku_0001/final_frame.png").unlink()
    found = visprep.stats(tmp_path)
    assert (found.kind, found.unit, found.records, found.images, found.incomplete) == ("tasks", "tasks", 12, 23, 1)
    assert [(one.name, one.records, one.annotations) for one in found.classes] == [
        ("maze", 6, None),
        ("sudoku", 6, None),
    ]
    assert (found.prompts.count, found.prompts.different) == (10, 9)
    assert [(one.text, one.count) for one in found.prompts.frequent] == [("Solve number 2.", 2)]
    assert bars(found, "prompt-lengths") == {"1-25": 10}
    assert bars(found, "task-files")["final_frame.png"] == 11
    assert any("2 prompts" in note for note in found.notes)
    assert visprep.stats(tmp_path, layout="vmevalkit", pixels="none").incomplete == 0
    with pytest.raises(UnknownName):
        visprep.stats(tmp_path, layout="vmeval")


def test_triplets_by_hand(tmp_path):
    record_places.make_triplets(tmp_path / "vton")
    (tmp_path / "vton/easy/male/cloth_image/001_cloth_a.png").unlink()
    found = visprep.stats(tmp_path / "vton")
    assert (found.kind, found.unit, found.records, found.images, found.incomplete) == ("vton", "triplets", 9, 26, 1)
    assert {one.name: one.records for one in found.classes} == {"easy/female": 3, "easy/male": 3, "hard/female": 3}
    assert bars(found, "triplet-files") == {"cloth": 8, "person": 9, "vton": 9}


def test_episodes_by_hand(tmp_path):
    record_places.make_episodes(tmp_path / "frames", count=2)
    found = visprep.stats(tmp_path / "frames")
    assert (found.kind, found.unit, found.records, found.images) == ("frames", "episodes", 4, 12)
    assert {one.name: one.records for one in found.classes} == {"pong": 2, "snake": 2}
    assert bars(found, "frames-per-episode") == {"2-9": 4}


def test_plain_images_by_their_directories(tmp_path):
    for split, label, count in (("train", "cat", 2), ("train", "dog", 1), ("val", "cat", 1)):
        for number in range(count):
            put(tmp_path, f"{split}/{label}/{number}.png", record_places.picture(number))
    found = visprep.stats(tmp_path)
    assert (found.kind, found.records) == ("images", 4)
    assert {one.name: one.records for one in found.splits} == {"train": 3, "val": 1}
    assert {one.name: one.records for one in found.classes} == {"cat": 3, "dog": 1}
    assert found.sample.copies == 2  # of number 0


# Labels in many files


def test_yolo_by_hand(tmp_path):
    labeled_places.yolo(tmp_path)
    put(tmp_path, "labels/train/b.txt", b"")
    put(tmp_path, "labels/train/a.txt", b"0 0.1 0.1 0.4 0.1 0.4 0.4\n")  # a polygon
    put(tmp_path, "labels/val/c.txt", b"1 0.5 0.5 1 1\n0 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.05 0.1\nnonsense\n")
    found = visprep.stats(tmp_path)
    assert (found.kind, found.records, found.annotations, found.empty) == ("yolo", 3, 4, 1)
    assert [(one.name, one.records, one.annotations, one.empty) for one in found.splits] == [
        ("train", 2, 1, 1),
        ("val", 1, 3, 0),
    ]
    assert {one.name: one.annotations for one in found.classes} == {"cat": 2, "dog": 1, "class 7": 1}
    assert (found.sizes.known_from, found.sizes.count) == ("headers", 3)
    assert bars(found, "box-shares") == {"over 50 %": 1, "20-50 %": 1, "5-20 %": 1, "0.1-1 %": 1}
    assert bars(found, "box-areas") == {"small < 32x32": 4}


def test_voc_by_hand(tmp_path):
    labeled_places.voc(tmp_path)
    put(tmp_path, "Annotations/b.xml", b"<annotation>")
    found = visprep.stats(tmp_path)
    assert (found.kind, found.records, found.annotations, found.absent) == ("voc", 3, 2, 0)
    assert {one.name: (one.records, one.annotations) for one in found.splits} == {
        "train": (2, 1),
        "val": (1, 1),
        "trainval": (3, 2),
    }
    assert [(one.name, one.records, one.annotations) for one in found.classes] == [("dog", 2, 2)]
    assert bars(found, "box-areas") == {"small < 32x32": 2}  # 19 x 10
    assert any("1 annotation file" in note for note in found.notes)


def test_open_images_say_the_same_as_json_and_as_rows(open_images, tmp_path):
    place = shutil.copytree(open_images, tmp_path / "place")
    as_json = visprep.stats(place)
    shutil.rmtree(place / "annotations")
    as_rows = visprep.stats(place)
    assert (as_json.kind, as_rows.kind) == ("open-images", "open-images")
    assert as_rows.annotations == as_json.annotations > 0
    assert as_rows.empty == as_json.empty
    assert set(as_rows.splits) == set(as_json.splits)
    assert set(as_rows.classes) <= set(as_json.classes)
    assert bars(as_rows, "boxes-per-image") == bars(as_json, "boxes-per-image")
    assert as_rows.images == as_json.images


def test_a_damaged_table_is_noted(open_images, tmp_path):
    place = shutil.copytree(open_images, tmp_path / "place")
    shutil.rmtree(place / "annotations")
    put(place, "labels/test/boxes.csv", b"no,such,columns\n1,2,3\n")
    found = visprep.stats(place, pixels="none")
    assert {one.name for one in found.splits if one.annotations is None} == {"test"}
    assert any("boxes.csv" in note for note in found.notes)


def test_tables_of_boxes_that_are_missing_or_empty(open_images, tmp_path):
    place = shutil.copytree(open_images, tmp_path / "place")
    shutil.rmtree(place / "annotations")
    (place / "labels/test/boxes.csv").unlink()
    for split in ("train", "validation"):
        table = place / f"labels/{split}/boxes.csv"
        table.write_bytes(table.read_bytes().splitlines(keepends=True)[0])
    found = visprep.stats(place, pixels="none")
    assert {one.name: one.annotations for one in found.splits} == {"test": None, "train": 0, "validation": 0}
    assert (found.annotations, found.classes) == (0, ())
    assert any(note.startswith("test: there is no table of boxes") for note in found.notes)


def test_kinds_beyond_those_shown_are_told_together():
    counts = {"a": 1, "b": 5, "c": 2, "d": 4}
    found = tallied("kinds", "Kinds", "files", counts, most=3)
    assert (found.labels, found.counts) == (("b", "d", "others"), (5, 4, 3))


# Pixels


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A black one, a white one, a gray JPEG twice, one with alpha, and one that is none."""
    place = tmp_path_factory.mktemp("pictures")

    def encoded(color, mode, kind):
        out = BytesIO()
        Image.new(mode, (20, 10), color).save(out, kind)
        return out.getvalue()

    put(place, "black.png", encoded((0, 0, 0), "RGB", "PNG"))
    put(place, "white.png", encoded((255, 255, 255), "RGB", "PNG"))
    for name in ("gray", "again"):
        put(place, f"{name}.jpg", encoded(100, "L", "JPEG"))
    put(place, "alpha.png", encoded((200, 200, 200, 255), "RGBA", "PNG"))
    put(place, "none.png", b"no image")
    return place


def test_modes_brightness_and_copies(pictures):
    found = visprep.stats(pictures)
    assert (found.sample.images, found.sample.looked, found.sample.unread) == (6, 6, 1)
    assert bars(found, "image-modes") == {"RGB": 2, "L": 2, "RGBA": 1}
    assert bars(found, "image-formats") == {"PNG": 3, "JPEG": 2}
    assert bars(found, "image-brightness") == {"0-31": 1, "96-127": 2, "192-223": 1, "224-255": 1}
    assert found.sample.brightness == (0, 100, 255)
    assert (found.sample.copies, found.sample.alike) == (1, 1)
    assert (found.sizes.known_from, found.sizes.count, found.sizes.smallest) == ("sample", 5, (20, 10))


def test_what_looks_alike_is_counted_beside_copies(tmp_path):
    from scenes import encoded, scene

    put(tmp_path, "a.jpg", encoded(scene(1)))
    put(tmp_path, "b.png", encoded(scene(1), "PNG"))
    put(tmp_path, "c.jpg", encoded(scene(2)))
    found = visprep.stats(tmp_path)
    assert (found.sample.copies, found.sample.alike) == (0, 1)


def test_the_sample_is_the_same_for_the_same_seed(tmp_path):
    for number in range(40):
        out = BytesIO()
        Image.fromarray(np.full((8, 8), 6 * number, np.uint8)).save(out, "PNG")
        put(tmp_path, f"{number}.png", out.getvalue())
    first, again, other = (visprep.stats(tmp_path, pixels=5, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert (first.sample.looked, first.sample.images) == (5, 40)
    assert first.sample.brightness != other.sample.brightness
    assert first.histogram("image-brightness").sampled
    whole = visprep.stats(tmp_path, pixels="all", jobs=1)
    assert (whole.sample.looked, whole.sample.brightness) == (40, (0, 117, 234))
    assert not whole.histogram("image-brightness").sampled
    assert visprep.stats(tmp_path, pixels=0).sample is None


@pytest.mark.parametrize("pixels", ["some", "-1", -1, "1.5", None, ""])
def test_other_numbers_of_images_are_refused(pictures, pixels):
    with pytest.raises(UsageError):
        visprep.stats(pictures, pixels=pixels)


def test_copies_are_known_by_the_manifest(tmp_path, bucket):
    place = tmp_path / "place"
    for number in range(4):
        put(place, f"{number}.png", record_places.picture(number % 3))
    assert visprep.stats(place, pixels="none").copies is None
    visprep.upload(place, f"s3://{bucket}/place")
    found = visprep.stats(f"s3://{bucket}/place", pixels="none")
    assert (found.copies.known_from, found.copies.compared, found.copies.copies) == ("manifest", 4, 1)


# Places


def test_a_bucket_says_the_same_as_the_directory(coco, bucket):
    client = boto3.client("s3")
    for path, data in tree(coco).items():
        client.put_object(Bucket=bucket, Key=f"coco/{path}", Body=data)
    there = visprep.stats(f"s3://{bucket}/coco")
    here = visprep.stats(coco)
    assert (there.copies.known_from, there.copies.copies) == ("listing", 0)
    for name in there.__slots__:
        if name not in ("place", "copies"):
            assert getattr(there, name) == getattr(here, name), name
    keys = {one["Key"] for one in client.list_objects_v2(Bucket=bucket)["Contents"]}
    assert keys == {f"coco/{path}" for path in tree(coco)}
    file = visprep.stats(f"s3://{bucket}/coco/annotations/instances_val2017.json")
    assert (file.records, file.annotations) == (3, 6)


def test_tables_of_open_images_are_read_from_a_bucket(open_images, bucket):
    client = boto3.client("s3")
    for path, data in tree(open_images).items():
        if not path.startswith(("annotations/", ".visprep/")):
            client.put_object(Bucket=bucket, Key=path, Body=data)
    found = visprep.stats(f"s3://{bucket}", pixels=3)
    assert found.annotations == visprep.stats(open_images, pixels="none").annotations
    assert found.sample.looked == 3


def test_an_archive_says_the_same_as_the_directory(tmp_path):
    labeled_places.yolo(tmp_path / "yolo")
    with zipfile.ZipFile(tmp_path / "yolo.zip", "w") as archive:
        for path, data in tree(tmp_path / "yolo").items():
            archive.writestr(path, data)
    here, there = visprep.stats(tmp_path / "yolo"), visprep.stats(tmp_path / "yolo.zip")
    assert (there.kind, there.records, there.annotations, there.classes) == (
        here.kind,
        here.records,
        here.annotations,
        here.classes,
    )
    assert there.sample == here.sample


def test_nothing_is_written(coco, tmp_path):
    place = shutil.copytree(coco, tmp_path / "coco")
    (place / ".visprep").mkdir()
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    visprep.stats(place)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_parts_that_are_lists_are_counted_by_split_json(tmp_path):
    record_places.make_tasks(tmp_path / "tasks")
    visprep.split(tmp_path / "tasks", output=tmp_path / "parts", parts="train=9,val=3")
    (tmp_path / "parts/dataset.json").unlink()
    found = visprep.stats(tmp_path / "parts")
    assert (found.kind, found.unit, found.records) == ("splits", "tasks", 12)
    assert {one.name: one.records for one in found.splits} == {"train": 9, "val": 3}
    assert {one.name: one.records for one in found.classes} == {"maze": 6, "sudoku": 6}


def test_a_place_with_a_record_alone_is_files(tmp_path):
    put(tmp_path, "notes.txt", b"text")
    with pytest.raises(UnknownContent):
        visprep.stats(tmp_path)
    put(tmp_path, ".visprep/manifest.jsonl", b"")
    found = visprep.stats(tmp_path)
    assert (found.kind, found.unit, found.records, found.files, found.bytes) == ("files", "files", 1, 1, 4)
    with pytest.raises(PlaceMissing):
        visprep.stats(tmp_path / "none")


def test_progress_is_told(coco):
    stages = []
    visprep.stats(coco, progress=lambda progress: stages.append((progress.stage, progress.done, progress.total)))
    assert ("Reading annotations", 4, 4) in stages
    assert stages[-1] == ("Looking at images", 9, 9)
