"""`visprep verify` of COCO datasets: annotation files, images, and what is between them."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

import visprep
from coco_place import annotations, edited, make
from image_faults import encoded, photo
from visprep import wire
from visprep.coco_check import CocoCheck
from visprep.engines.local import Local
from visprep.image_headers import HEAD_BYTES
from visprep.looking import Looking
from visprep.progress import unheard
from visprep.rounds import Eye, Rounds
from visprep.rules import Depth, coco_files
from visprep.selection import Scope
from visprep.stores.memory import MemoryStore
from visprep.traffic import Traffic

VAL = "annotations/instances_val2017.json"
TRAIN = "annotations/instances_train2017.json"


@pytest.fixture
def place(tmp_path):
    return make(tmp_path / "coco")


def image(place, number=7, split="val2017"):
    return place / split / f"{number:012}.jpg"


def found(place, **options):
    return {(one.code, one.path) for one in visprep.verify(place, **options).findings}


def codes(place, **options):
    return [one.code for one in visprep.verify(place, **options).findings]


def test_a_sound_dataset_has_no_findings(run, place):
    report = visprep.verify(place, depth="content")
    assert (report.findings, report.format) == ((), "coco")
    assert dict(report.checked) == {"images": 9, "annotations": 18, "files": 11}
    ended = run("verify", place)
    assert (ended.code, "9 images, 18 annotations" in ended.out) == (0, True)


@pytest.mark.parametrize("depth", ["names", "sizes", "headers", "decode", "content"])
def test_every_depth_is_quiet_about_what_is_sound(place, depth):
    assert codes(place, depth=depth) == []


# References


def test_an_image_that_is_missing_and_one_that_nobody_names(place):
    image(place).rename(place / "val2017/extra.jpg")
    report = visprep.verify(place, depth="names")
    missing, unlisted = report.findings
    assert (missing.code, missing.path) == ("image-missing", VAL)
    assert missing.where["pointer"] == "/images/0"
    assert missing.where["file"] == "val2017/000000000007.jpg"
    record = (place / VAL).read_bytes()[missing.where["byte"] :]
    assert json.JSONDecoder().raw_decode(record.decode())[0]["id"] == missing.where["image_id"] == 7
    assert (unlisted.code, unlisted.path) == ("image-unlisted", "val2017/extra.jpg")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_missing_image_has_a_line_and_a_column(place, indent):
    (place / VAL).write_text(json.dumps(json.loads((place / VAL).read_text()), indent=indent))
    for number in (7, 9):
        image(place, number).unlink()
    for finding in visprep.verify(place, depth="names").findings:
        line = (place / VAL).read_text().split("\n")[finding.where["line"] - 1]
        rest = line[finding.where["column"] - 1 :]
        assert rest == "{" if indent else json.JSONDecoder().raw_decode(rest)[0]["id"] == finding.where["image_id"]
        assert (finding.where["line"] == 1) == (indent is None)


@pytest.mark.parametrize(("missing", "more"), [(1_000, 0), (1_502, 502)])
def test_a_thousand_missing_images_are_told_and_the_rest_counted(place, missing, more):
    with edited(place / VAL) as data:
        data["images"] += [data["images"][0] | {"id": n, "file_name": f"{n}.jpg"} for n in range(100, 100 + missing)]
    findings = [one for one in visprep.verify(place, depth="names").findings if one.code == "image-missing"]
    told = [one for one in findings if "file" in one.where]
    rest = [(one.path, one.where["count"]) for one in findings if one not in told]
    assert (len(told), rest) == (1_000, [(VAL, more)] if more else [])


def test_images_that_nobody_names_are_counted_by_directory(place):
    for number in range(1_003):
        (place / f"val2017/{number}.jpg").touch()
    findings = visprep.verify(place, depth="names").findings
    assert {one.code for one in findings} == {"image-unlisted"}
    assert [one.where.get("count") for one in findings if one.path == "val2017"] == [3]
    assert len(findings) == 1_001


def test_images_that_are_all_elsewhere_are_a_note(place):
    shutil.rmtree(place / "train2017")
    assert found(place) == {("images-absent", TRAIN)}
    assert not visprep.verify(place).failed


def test_an_empty_directory_of_a_split_lacks_all_of_them(place):
    for one in (place / "train2017").iterdir():
        one.unlink()
    (place / "train2017/other.jpg").write_bytes(image(place).read_bytes())
    assert codes(place).count("image-missing") == 6


def test_a_cleaned_file_stands_for_the_one_beside_it(place):
    image(place).unlink()
    with edited(place / VAL) as data:
        data["images"].pop(0)
        data["annotations"] = [one for one in data["annotations"] if one["image_id"] != 7]
    (place / VAL).rename(place / "annotations/instances_val2017.cleaned.json")
    assert codes(place) == []
    (place / VAL).write_text(json.dumps(annotations([7, 8, 9])))
    report = visprep.verify(place, expect="official")
    assert ("annotations-set-aside", VAL) in {(one.code, one.path) for one in report.findings}
    assert "image-missing" not in {one.code for one in report.findings}
    assert report.checked["annotations"] == 16
    counts = {(one.path, one.where["key"]): one.where["actual"] for one in report.findings if "actual" in one.where}
    assert counts[VAL, "annotations"] == 4


def test_images_named_by_two_files_are_looked_at_once(place):
    (place / "annotations/captions_val2017.json").write_text(json.dumps(annotations([7, 8, 9], "captions")))
    image(place).unlink()
    assert sorted(one.path for one in visprep.verify(place).findings) == ["annotations/captions_val2017.json", VAL]
    assert visprep.verify(place).checked["images"] == 8


@pytest.mark.parametrize(
    ("json_at", "images_at"),
    [
        ("_annotations.coco.json", ""),
        ("train/_annotations.coco.json", "train"),
        ("labels.json", "data"),
        ("annotations/instances_default.json", "images"),
        ("annotations/val.json", "images/val"),
    ],
)
def test_other_layouts_are_understood(tmp_path, json_at, images_at):
    place = tmp_path / "place"
    for path in (place / json_at, place / images_at / "x"):
        path.parent.mkdir(parents=True, exist_ok=True)
    (place / json_at).write_text(json.dumps(annotations([1, 2])))
    for id in (1, 2):
        (place / images_at / f"{id:012}.jpg").write_bytes(encoded(photo(id, 96, 64)))
    report = visprep.verify(place)
    assert (report.format, report.findings) == ("coco", ())
    (place / images_at / "000000000002.jpg").unlink()
    assert codes(place) == ["image-missing"]


def test_names_that_lead_out_of_the_place_lead_nowhere(place):
    with edited(place / VAL) as data:
        data["images"][0]["file_name"] = "../secret.jpg"
    assert found(place, select=["image-missing", "image-name-unsafe"]) == {("image-name-unsafe", VAL)}


# Images


def plant(place, data, number=7):
    image(place, number).write_bytes(data)


def test_bad_images_are_named(place):
    good = image(place).read_bytes()
    plant(place, good[:-40], 7)
    plant(place, b"<html>", 8)
    plant(place, b"", 9)
    assert found(place) == {
        ("image-truncated", "val2017/000000000007.jpg"),
        ("image-not-image", "val2017/000000000008.jpg"),
        ("image-empty", "val2017/000000000009.jpg"),
    }
    assert codes(place, depth="sizes") == ["image-empty"]


def turned(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encoded(photo(7, 96, 64), exif=exif)


def resize(place, width, height):
    with edited(place / VAL) as data:
        data["images"][0] |= {"width": width, "height": height}
        data["annotations"] = [one for one in data["annotations"] if one["image_id"] != 7]


def test_a_rotation_by_exif_is_told_from_a_plain_mismatch(place):
    plant(place, turned(6))
    assert codes(place) == ["image-rotated"]
    resize(place, 64, 96)
    (finding,) = visprep.verify(place).findings
    assert (finding.code, finding.path) == ("image-size-rotated", "val2017/000000000007.jpg")
    assert finding.where["actual"] == [96, 64]
    plant(place, turned(3))
    assert codes(place) == ["image-size-mismatch", "image-rotated"]
    plant(place, turned(1))
    (finding,) = visprep.verify(place).findings
    assert (finding.code, "exchanged" in finding.message) == ("image-size-mismatch", True)
    resize(place, 96, 65)
    (finding,) = visprep.verify(place, depth="headers").findings
    assert (finding.code, "exchanged" in finding.message) == ("image-size-mismatch", False)


def test_an_image_that_cannot_be_read(run, place):
    image(place).unlink()
    image(place).symlink_to("/nowhere/at/all.jpg")
    ended = run("verify", place)
    assert (ended.code, "[image-unreadable]" in ended.out) == (3, True)


def test_on_s3_every_image_is_held_against_what_is_said_of_itself(run, place, bucket):
    comment = b"\xff\xfe" + (60_000).to_bytes(2, "big") + b" " * 59_998
    for path, split in ((TRAIN, "train2017"), (VAL, "val2017")):
        with edited(place / path) as data:
            for number, one in enumerate(data["images"]):
                one |= {"width": 200 + one["id"], "height": 70}
                made = encoded(photo(1, 200 + one["id"], 70))
                slow = 2 * comment if number % 2 == 0 else b""  # what takes two requests ends after others
                image(place, one["id"], split).write_bytes(made[:2] + slow + made[2:])
    assert run("upload", place, f"s3://{bucket}/coco").code == 0
    assert codes(f"s3://{bucket}/coco", depth="headers") == []


# Splits


def test_the_same_bytes_in_two_splits(place):
    plant(place, image(place, 2, "train2017").read_bytes(), 7)
    (finding,) = visprep.verify(place, depth="headers").findings
    assert (finding.code, finding.path) == ("image-in-two-splits", "val2017/000000000007.jpg")
    assert finding.where["first"] == "train2017/000000000002.jpg"
    changed = bytearray(image(place).read_bytes())
    changed[changed.index(b"JFIF") + 7] ^= 1
    plant(place, bytes(changed))
    assert codes(place) == []


def test_the_same_beginning_in_two_splits(run, place, bucket):
    first = bytearray(encoded(photo(2, 400, 300), quality=98))
    second = first.copy()
    second[-1_000] ^= 1
    assert first[:HEAD_BYTES] == second[:HEAD_BYTES]
    image(place, 2, "train2017").write_bytes(first)
    plant(place, second)
    for path, which in ((TRAIN, 1), (VAL, 0)):
        with edited(place / path) as data:
            data["images"][which] |= {"width": 400, "height": 300}
    assert run("upload", place, f"s3://{bucket}/coco").code == 0
    assert codes(f"s3://{bucket}/coco", depth="headers") == []  # the rest of them is not read
    plant(place, first)
    assert codes(place, depth="headers") == ["image-in-two-splits"]


def test_the_same_id_and_name_in_two_splits(place):
    shutil.copy(image(place, 2, "train2017"), place / "val2017")
    with edited(place / VAL) as data:
        data["images"][0] |= {"id": 2, "file_name": "000000000002.jpg"}
        for one in data["annotations"]:
            one["image_id"] = 2 if one["image_id"] == 7 else one["image_id"]
    image(place).unlink()
    assert codes(place, depth="names") == ["image-in-two-splits"]
    assert codes(place) == ["image-in-two-splits"]
    (place / "val2017/000000000002.jpg").write_bytes(encoded(photo(77, 96, 64)))
    assert codes(place) == ["image-in-two-splits"]  # of another size in bytes: not compared, so id and name decide


def test_the_same_id_and_name_of_other_bytes_is_another_image(place):
    data = image(place, 2, "train2017").read_bytes()
    changed = bytearray(data)
    changed[changed.index(b"JFIF") + 7] ^= 1
    image(place).unlink()
    (place / "val2017/000000000002.jpg").write_bytes(changed)
    with edited(place / VAL) as told:
        told["images"][0] |= {"id": 2, "file_name": "000000000002.jpg"}
        for one in told["annotations"]:
            one["image_id"] = 2 if one["image_id"] == 7 else one["image_id"]
    assert codes(place) == ["image-id-in-two-splits"]


def test_ids_that_stand_for_other_images_are_counted(place):
    with edited(place / VAL) as data:
        for number, one in enumerate(data["images"], 1):
            one["id"] = number
            one["file_name"] = f"v{number}.jpg"
            image(place, number + 6).rename(place / f"val2017/v{number}.jpg")
        for one in data["annotations"]:
            one["image_id"] -= 6
    (finding,) = visprep.verify(place).findings
    assert (finding.code, finding.where["count"]) == ("image-id-in-two-splits", 3)
    assert "3 ids for another image in each, such as 1" in finding.message
    assert finding.where["pointer"] == "/images/0"


def test_names_that_stand_for_other_images_are_counted(place):
    with edited(place / VAL) as data:
        data["images"][0]["file_name"] = "000000000002.jpg"
    image(place).rename(place / "val2017/000000000002.jpg")
    assert codes(place, ignore=["image-id-of-name"]) == ["image-name-in-two-splits"]


def test_other_years_part_the_same_images_anew(place):
    (place / VAL).rename(place / "annotations/instances_val2014.json")
    (place / "val2017").rename(place / "val2014")
    shutil.copy(image(place, 2, "train2017"), image(place, 7, "val2014"))
    assert codes(place) == []


# Panoptic masks


@pytest.fixture
def panoptic(place):
    """The same with panoptic annotations: two segments on each image of val2017."""
    folder = place / "annotations/panoptic_val2017"
    folder.mkdir()
    data = json.loads((place / VAL).read_text())
    data["annotations"] = []
    data["categories"] = [{"id": 1, "name": "person", "supercategory": "person", "isthing": 1, "color": [220, 20, 60]}]
    for one in data["images"]:
        mask = Image.new("RGB", (96, 64))
        mask.paste((5, 1, 0), (10, 10, 30, 30))
        mask.paste((0, 0, 1), (40, 10, 60, 30))
        mask.save(folder / f"{one['id']:012}.png")
        segments = [
            {"id": id, "category_id": 1, "area": 400, "bbox": [x, 10, 20, 20], "iscrowd": 0}
            for id, x in ((261, 10), (65536, 40))
        ]
        data["annotations"].append(
            {"image_id": one["id"], "file_name": f"{one['id']:012}.png", "segments_info": segments}
        )
    (place / "annotations/panoptic_val2017.json").write_text(json.dumps(data))
    return place


PANOPTIC = "annotations/panoptic_val2017.json"
MASK = "annotations/panoptic_val2017/000000000007.png"


def test_masks_that_are_sound(panoptic):
    assert codes(panoptic) == []


def test_masks_below_the_images_are_no_images_that_nobody_names(panoptic):
    for path in (VAL, TRAIN, PANOPTIC):
        with edited(panoptic / path) as data:
            for one in data["images"]:
                one["file_name"] = f"{'train2017' if path == TRAIN else 'val2017'}/{one['file_name']}"
    assert codes(panoptic) == []


def test_a_mask_that_is_missing(panoptic):
    (panoptic / MASK).unlink()
    (finding,) = visprep.verify(panoptic, depth="names").findings
    assert (finding.code, finding.path, finding.where["file"]) == ("mask-missing", PANOPTIC, MASK)
    shutil.rmtree(panoptic / "annotations/panoptic_val2017")
    assert found(panoptic) == {("images-absent", PANOPTIC)}


def test_a_mask_that_nobody_names(panoptic):
    extra = MASK.replace("7.png", "70.png")
    shutil.copy(panoptic / MASK, panoptic / extra)
    assert found(panoptic, depth="names") == {("image-unlisted", extra)}


@pytest.mark.parametrize(
    ("color", "where", "words"),
    [
        ((7, 0, 0), (0, 0, 1, 1), "no record tells of: 7"),
        ((0, 0, 0), (40, 10, 60, 30), "none of the pixels of: 65536"),
        ((0, 0, 0), (0, 0, 1, 1), None),
    ],
)
def test_a_mask_shows_just_what_is_told(panoptic, color, where, words):
    image = Image.open(panoptic / MASK).copy()
    image.paste(color, where)
    image.save(panoptic / MASK)
    findings = visprep.verify(panoptic).findings
    assert [one.code for one in findings] == (["mask-segments"] if words else [])
    assert all(words in one.message for one in findings)
    assert codes(panoptic, depth="headers") == []


def test_masks_of_another_form(panoptic):
    Image.open(panoptic / MASK).convert("P").save(panoptic / MASK)
    assert found(panoptic) == {("mask-segments", MASK)}
    Image.new("RGB", (96, 65)).save(panoptic / MASK)
    assert found(panoptic) == {("mask-segments", MASK), ("image-size-mismatch", MASK)}
    (panoptic / MASK).write_bytes((panoptic / MASK).read_bytes()[:-20])
    assert found(panoptic) == {("image-truncated", MASK)}


# Counts


def test_the_counts_of_the_original(run, place):
    assert found(place, expect="official") == {
        ("count-unexpected", path) for path in (TRAIN, VAL, "train2017", "val2017")
    }
    ended = run("verify", place, "--expect", "official")
    assert (ended.code, "36,781 are expected" in ended.out) == (1, True)
    for split in ("train2017", "val2017"):
        (place / split).rename(place / f"my-{split}")
    assert ("count-unexpected", ".") in found(place, expect="official")


def test_numbers_that_nobody_confirmed_are_a_warning(place):
    (place / "annotations/captions_val2017.json").write_text(json.dumps(annotations([7, 8, 9], "captions")))
    findings = visprep.verify(place, expect="official", select=["count-doubtful"]).findings
    assert {(one.level, one.where["key"]) for one in findings} == {("warning", "annotations"), ("warning", "images")}


def test_counts_of_a_file(run, place, tmp_path):
    file = tmp_path / "counts.json"
    file.write_text(json.dumps({VAL: {"images": 3, "annotations": 6, "categories": 2}, "val2017/": {"files": 3}}))
    assert codes(place, expect=file) == []
    file.write_text(
        json.dumps({VAL: {"annotations": 7}, "val2017": {"files": 4}, "annotations/no.json": {"images": 1}})
    )
    assert found(place, expect=file) == {("count-unexpected", path) for path in (VAL, "val2017", "annotations/no.json")}
    for text in ("[]", "{}", "no", '{"a": {"images": "3"}}', '{"a": {"pictures": 3}}', '{"a": {"images": true}}'):
        file.write_text(text)
        ended = run("verify", place, "--expect", file)
        assert (ended.code, "[usage]" in ended.err) == (2, True), text
    assert "[file-missing]" in run("verify", place, "--expect", tmp_path / "none.json").err


# What is asked, and how


def test_a_loader_wants_addresses_on_s3(run, place):
    assert found(place, for_="loader") == {("loader-file-name", VAL), ("loader-file-name", TRAIN)}
    with edited(place / VAL) as data:
        for one in data["images"]:
            one["file_name"] = f"s3://my-bucket/val2017/{one['file_name']}"
        data["images"][1]["file_name"] = "s3://my-bucket"
    unsafe, finding = visprep.verify(place / VAL, for_="loader").findings
    assert unsafe.code == "image-name-unsafe"
    assert (finding.code, finding.where["pointer"], finding.where["count"]) == ("loader-file-name", "/images/1", 1)
    assert "1 of 3 images" in finding.message
    assert finding.where["column"] == finding.where["byte"] + 1
    assert run("verify", place / VAL, "--for", "training").code == 2


def test_addresses_on_s3_and_on_the_web_name_images_that_are_elsewhere(place):
    with edited(place / VAL) as data:
        for one, home in zip(
            data["images"], ("s3://my-bucket/val2017", "https://localhost/a", "http://h"), strict=True
        ):
            one["file_name"] = f"{home}/{one['file_name']}"
    shutil.rmtree(place / "val2017")
    assert found(place) == {("images-absent", VAL)}
    assert codes(place / VAL) == codes(place / VAL, for_="loader")[:-1] == []


def test_a_file_alone_is_looked_at(run, place):
    assert run("verify", place / VAL).code == 0
    assert run("verify", place / VAL, "--as", "coco").code == 0
    with edited(place / VAL) as data:
        data["annotations"][0]["bbox"] = [1, 2, 3]
    ended = run("verify", place / VAL)
    assert (ended.code, "[box-form]" in ended.out) == (1, True)


@pytest.mark.parametrize(
    "options", [("--as", "tasks"), ("--expect", "official"), ("--only-changed", "HEAD"), ("--dry-run",)]
)
def test_of_a_file_some_things_cannot_be_asked(run, place, options):
    ended = run("verify", place / VAL, *options)
    assert (ended.code, "[usage]" in ended.err) == (2, True)


def test_only_what_changed_is_looked_at(place):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=place, check=True)

    git("init", "-q")
    git("add", ".")
    plant(place, b"", 7)
    git("commit", "-q", "-a", "-m", "one bad image")
    assert codes(place, only_changed="HEAD") == []
    plant(place, b"", 8)
    image(place, 9).unlink()
    assert found(place, only_changed="HEAD") == {
        ("image-empty", "val2017/000000000008.jpg"),
        ("image-missing", VAL),
    }


def test_a_file_that_is_not_there(run, tmp_path):
    ended = run("verify", tmp_path / "none.json")
    assert (ended.code, "[file-missing]" in ended.err) == (3, True)
    assert "[bad-place]" in run("verify", "s3://none.json").err


def test_a_place_without_annotations(run, tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place/photo.jpg").write_bytes(encoded(photo(1, 96, 64)))
    assert run("verify", tmp_path / "place").code == 3
    ended = run("verify", tmp_path / "place", "--as", "coco")
    assert (ended.code, "[no-annotations]" in ended.out) == (1, True)


@pytest.mark.parametrize("name", ["instances_val2017", "person_keypoints_val2017", "image_info_val2017", "val"])
def test_annotations_without_annotations(run, place, name):
    with edited(place / VAL) as data:
        del data["annotations"]
    (place / VAL).rename(place / f"annotations/{name}.json")
    expected = ["annotations-missing"] if name.endswith("s_val2017") else []
    assert codes(place) == codes(place / f"annotations/{name}.json") == expected
    with edited(place / f"annotations/{name}.json") as data:
        data["annotations"] = []
    assert codes(place) == []


def test_a_damaged_file_is_a_finding(run, place):
    (place / VAL).write_bytes((place / VAL).read_bytes()[:-20])
    for depth in ("names", "decode"):
        ended = run("verify", place, "--depth", depth)
        assert (ended.code, "[json-cut]" in ended.out) == (1, True)


def test_a_json_file_of_something_else_is_passed_over(place):
    (place / "notes.json").write_text('{"who": "me"}')
    (place / "results.json").write_text("[]")
    assert codes(place) == []


class Counting(MemoryStore):
    """Knows how often each file was read."""

    def __init__(self, files):
        super().__init__(files=files)
        self.reads = Counter()

    async def read(self, path, offset=0, length=None):
        self.reads[path] += 1
        return await super().read(path, offset, length)


def test_json_files_of_something_else_are_read_once():
    store = Counting({f"{name}.json": b'{"who": "me"}' for name in range(50)})
    wire.wait(store.write("results.json", b'[{"image_id": 7, "caption": "a"}]'))
    wire.wait(store.write("mine.json", json.dumps(annotations([1])).encode()))
    rounds = Rounds(Eye(store, Depth.NAMES, near=True), Local(None), 1, unheard, Traffic())
    check = CocoCheck(Looking(list(store.list()), rounds))
    told = [(one.code, one.path) for one in check.findings(Scope(None, ()))]
    assert told == [("results-not-checked", "results.json"), ("images-absent", "mine.json")]
    assert check.names == ("mine.json",)
    del store.reads["mine.json"]
    assert len(store.reads) == 51
    assert set(store.reads.values()) == {1}


def test_results_beside_annotations_are_told_of(place):
    (place / "results.json").write_text('[{"image_id": 7, "caption": "a"}]')
    assert found(place) == {("results-not-checked", "results.json")}


@pytest.mark.parametrize("depth", ["names", "decode"])
@pytest.mark.parametrize("data", ["[]", '[1, 2, {"foo": 3}]', '[{"image_id": 7, "caption": "a"}]'])
def test_a_list_in_place_of_annotations(run, place, data, depth):
    (place / VAL).write_text(data)
    assert ("json-top", VAL) in found(place, depth=depth)
    assert run("verify", place).code == 1


def test_what_is_no_json_comes_first(place):
    with edited(place / VAL) as data:
        data["annotations"][0]["bbox"] = [1, 2, 3]
    (place / VAL).write_text((place / VAL).read_text().replace('"person"', r'"\x"', 1))
    assert codes(place) == codes(place / VAL) == ["json-syntax", "box-form"]


def test_results_that_are_called_as_annotations_are(place):
    (place / "annotations/instances_val2017_results.json").write_text('[{"image_id": 7, "caption": "a"}]')
    assert codes(place) == ["results-not-checked"]


@pytest.mark.parametrize(
    ("key", "odd", "told"),
    [
        ("images", {"flickr_url": "http://x/" + "a" * 5_000}, []),
        ("images", {"coco_url": "http://x/000000000009.jpg?" + "a" * 5_000}, []),
        ("licenses", {"id": None}, ["license-form"]),
    ],
)
def test_what_is_a_matter_of_urls_and_licenses_hides_nothing_else(run, place, key, odd, told):
    with edited(place / VAL) as data:
        data[key][-1] |= odd
    image(place).unlink()
    assert sorted(codes(place)) == sorted([*told, "image-missing"])
    assert codes(place, depth="names") == ["image-missing"]
    ended = run("verify", place / VAL, "--for", "loader")
    assert (ended.code, "loader-file-name" in ended.out) == (1, True)


def test_a_file_name_that_is_too_long_is_told(run, place):
    with edited(place / VAL) as data:
        data["images"][0]["file_name"] = "a" * 5_000
    for options in ((), ("--for", "loader")):
        for what in (place, place / VAL):
            ended = run("verify", what, *options)
            assert (ended.code, "[image-name-unsafe]" in ended.out) == (1, True)


def test_in_a_zip_and_on_s3(run, place, tmp_path, bucket):
    plant(place, image(place).read_bytes()[:-40])
    archive = tmp_path / "coco.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(place.rglob("*.*")):
            packed.write(path, path.relative_to(place))
    assert codes(archive) == ["image-truncated"]
    assert run("upload", place, f"s3://{bucket}/coco").code == 0
    assert codes(f"s3://{bucket}/coco", depth="decode") == ["image-truncated"]
    assert codes(f"s3://{bucket}/coco/{VAL}") == []


def test_nothing_is_read_for_a_plan(run, place):
    ended = run("verify", place, "--dry-run", "--json")
    total = sum(path.stat().st_size for path in place.rglob("*.*"))
    assert json.loads(ended.out)["checked"] == {"images": 9, "annotations": 0, "files": 11, "bytes": total}


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../x", "/etc/passwd", "s3://a/b", "", ".", "..", "a/../../b", "val2017", "\0", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def victim(tmp_path_factory):
    return make(tmp_path_factory.mktemp("fuzz") / "coco")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_annotations_say_there_is_a_report(victim, data):
    sound = annotations([7, 8, 9])
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.sampled_from(["images", "annotations", "categories", "licenses", "top"]))
        if where == "top":
            sound[data.draw(st.sampled_from(sorted(sound)))] = data.draw(JUNK)
        elif isinstance(sound[where], list) and sound[where]:
            row = data.draw(st.sampled_from(sound[where]))
            if isinstance(row, dict) and row:
                row[data.draw(st.sampled_from(sorted(row)))] = data.draw(JUNK)
    (victim / VAL).write_text(json.dumps(sound))
    for depth in ("names", "headers"):
        assert visprep.verify(victim, as_="coco", depth=depth, expect="official").findings
    visprep.verify(victim / VAL, for_="loader")


def test_the_real_ones_are_sound(real_coco):
    assert codes(real_coco, depth="content") == []


def test_every_rule_is_found_somewhere_here():
    source = Path(__file__).read_text(encoding="utf-8")
    assert all(f'"{rule.code}"' in source or f"[{rule.code}]" in source for rule in coco_files.RULES)
