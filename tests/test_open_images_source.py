"""The source `open-images` against the small upstream of visprep.testing: each names its files by itself."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from visprep.errors import UnknownName
from visprep.formats.coco_json import JsonFile
from visprep.formats.open_images_classes import class_names, hierarchy
from visprep.formats.open_images_coco import Conversion, Sizes
from visprep.formats.open_images_csv import open_table, read
from visprep.formats.open_images_facts import ImageFacts
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_tables import BOXES, KINDS
from visprep.rules.coco import check
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.testing.open_images import lay_out

SOURCE = OpenImages()
EVERYTHING = Selection(splits=SOURCE.splits, labels=SOURCE.labels)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("upstream"))


def test_every_table_is_where_the_source_says_and_of_its_kind(upstream):
    tables = SOURCE.tables(EVERYTHING)
    assert len(tables) == 3 * 6
    for table in tables:
        rows = sum(
            len(batch) for batch in read(open_table(upstream.root / "openimages" / table.path, table.kind), table.kind)
        )
        assert rows == {
            "images": len(upstream.of(table.split)),
            "boxes": sum(len(image.boxes) for image in upstream.of(table.split)),
            "masks": sum(len(image.mask_rows) for image in upstream.of(table.split)),
        }.get(table.kind.name, sum(len(image.rows.get(table.kind.name, ())) for image in upstream.of(table.split)))
        assert rows
    assert {table.kept for table in tables} == {
        f"labels/{split}/{kind}.csv" for split in SOURCE.splits for kind in KINDS
    }


def test_classes_and_hierarchy_are_where_the_source_says(upstream):
    tables = upstream.root / "openimages"
    boxable, every = (
        class_names((tables / SOURCE.class_list(labels)).read_bytes(), "c") for labels in ((), ("points",))
    )
    assert boxable.names.items() < every.names.items()
    assert boxable.names == class_names((tables / "v5/class-descriptions-boxable.csv").read_bytes(), "v5").names
    assert set((tables / "v5/classes-segmentation.txt").read_text().split()) <= set(boxable.names)
    tree = hierarchy((tables / SOURCE.hierarchy).read_bytes(), "h")
    (animal,) = boxable.mids(["Animal"])
    assert [boxable.name(mid) for mid in tree.expand([animal])] == ["Animal", "Cat", "Dog"]


def test_the_default_is_the_boxes_of_validation():
    assert [table.path for table in SOURCE.tables(Selection())] == [
        "2018_04/validation/validation-images-with-rotation.csv",
        "v5/validation-annotations-bbox.csv",
    ]


def test_masks_come_with_their_boxes():
    tables = SOURCE.tables(Selection(splits=("test",), labels=("masks", "points")))
    assert [table.kind.name for table in tables] == ["images", "boxes", "masks", "points"]


@pytest.mark.parametrize("asked", [Selection(splits=("val",)), Selection(labels=("captions",))])
def test_what_there_is_not_is_told(asked):
    with pytest.raises(UnknownName, match="there is no"):
        SOURCE.tables(asked)


def test_archives_hold_the_images_of_the_bucket(upstream):
    for split in SOURCE.splits:
        found = {}
        for archive in SOURCE.image_archives(split):
            path = upstream.root / "open-images-dataset" / archive.path
            with tarfile.open(path, "r:gz") as opened:
                for member in opened:
                    found[member.name.rpartition("/")[2]] = opened.extractfile(member).read()
            assert archive.size > 10**10
            assert len(archive.digests["sha256"]) == 64
        assert found == {f"{image.id}.jpg": image.data for image in upstream.of(split)}
        for image in upstream.of(split):
            assert (upstream.root / "open-images-dataset" / split / f"{image.id}.jpg").read_bytes() == image.data
    assert len(SOURCE.image_archives("train")) == 16


def test_masks_are_in_the_archive_of_their_first_digit(upstream):
    masks = {path for image in upstream.of("validation") for path in image.masks}
    archives = SOURCE.mask_archives("validation", masks)
    assert len(archives) == len({path[0] for path in masks}) > 1
    for archive in archives:
        with zipfile.ZipFile(upstream.root / "openimages" / archive.path) as opened:
            assert set(opened.namelist()) == archive.paths == {path for path in masks if path[0] == archive.name[-1]}
        assert archive.folder == "masks/validation"


def test_the_small_upstream_has_upstreams_oddities(upstream):
    facts = [image.facts for image in upstream.images]
    assert any(row[10] == "" for row in facts)
    assert {row[11] for row in facts} >= {"", "nan", "0.0", "90.0"}
    assert any("\n" in row[7] for row in facts)
    assert any('"' in row[7] and '"' in row[6] for row in facts)
    assert any(Image.open(io.BytesIO(image.data)).mode == "L" for image in upstream.images)
    wrong = missing = 0
    for image in upstream.images:
        path = upstream.root / "flickr" / f"{image.id}_o.jpg"
        missing += not path.exists()
        digest = hashlib.md5(image.original).digest()
        wrong += base64.b64decode(image.facts[9]) != digest
        assert len(image.facts[9]) == 24
    assert (wrong > 0, missing > len(upstream.dead) > 0) == (True, True)
    assert any(not image.boxes for image in upstream.images)
    assert {flag for image in upstream.images for row in image.boxes for flag in row[8:]} == {"0", "1", "-1"}


def test_a_split_becomes_coco_json_with_its_masks(upstream, tmp_path):
    tables = upstream.root / "openimages"
    images, boxes, masks = (
        open_table(tables / table.path, table.kind) for table in SOURCE.tables(Selection(labels=("boxes", "masks")))
    )
    classes = class_names((tables / SOURCE.class_list()).read_bytes(), "classes")
    tree = hierarchy((tables / SOURCE.hierarchy).read_bytes(), "hierarchy")
    sizes = {image.id: Image.open(io.BytesIO(image.data)).size for image in upstream.of("validation")}
    pictures = {path: data for image in upstream.of("validation") for path, data in image.masks.items()}
    told = Conversion(
        "validation",
        boxes,
        Sizes.of(sizes),
        classes,
        tree,
        ImageFacts.read(images),
        Masks.read(masks, classes.numbers, lambda names: ((one, pictures[one]) for one in names)),
    ).write(tmp_path / "instances_validation.json")
    assert (told.images, told.masks, told.unused, told.broken) == (len(sizes), len(pictures), 0, [])
    assert told.rotated == sum(image.facts[11] == "90.0" for image in upstream.of("validation")) > 0
    document = json.loads((tmp_path / "instances_validation.json").read_bytes())
    assert [one["name"] for one in document["categories"] if one["supercategory"] == "Animal"] == ["Cat", "Dog"]
    report = check(JsonFile.on_disk(tmp_path / "instances_validation.json"))
    assert {one.code for one in report.findings if one.level == "error"} == set()
    assert np.all([one["area"] > 0 for one in document["annotations"]])


def test_the_small_upstream_is_the_same_every_time(tmp_path):
    first, second = lay_out(tmp_path / "1"), lay_out(tmp_path / "2")
    for path in sorted(first.root.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (second.root / path.relative_to(first.root)).read_bytes()


def test_the_v4_tables_are_there_too(upstream):
    for split in SOURCE.splits:
        path = upstream.root / f"openimages/2018_04/{split}/{split}-annotations-bbox.csv"
        boxes = sum(len(batch) for batch in read(open_table(path, BOXES), BOXES))
        assert boxes == sum(len(image.boxes) for image in upstream.of(split))
