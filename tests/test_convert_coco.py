"""COCO to COCO: what survives, byte for byte; names of images, classes, and files that become one."""

import json
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import visprep
from conftest import tree
from visprep.errors import UnknownName, UsageError, WouldOverwrite, WrongContent

#: Numbers whose digits a reader of floats would not write again, 64-bit ids, blanks, escapes, unknown keys, RLE.
HOSTILE = (
    '{"info": {"year": 2017, "x": 1.10}, "unknown": {"deep": [1.0, 2e0, {"a": null}]},\n'
    ' "licenses": [{"id": 1, "name": "CC", "url": "u"}, {"id": 7, "name": "none"}],\n'
    ' "images": [{"id": 9007199254740993, "file_name": "\\u00e9\\/a.jpg", "width": 64, "height": 48, "license": 7, '
    '"flickr_url": "f", "mine": [1.50]},\n'
    '   {"file_name": "b.jpg", "width": 64, "height": 48, "id": 2}],\n'
    ' "annotations": [\n'
    '  {"id": 900100002685, "image_id": 2, "category_id": 90, "bbox": [1.10, 2.0, 3e0, 4], "area": 43.3125, '
    '"iscrowd": 1, "segmentation": {"counts": "PPYo1", "size": [48, 64]}, "score": 0.30000000000000004},\n'
    '  {"category_id": 1, "segmentation": [[6.625, 1, 2, 3, 4, 5.0]], "id": 5, "image_id": 9007199254740993, '
    '"bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0, "attributes": {"category_id": 3}} ],\n'
    ' "categories": [{"id": 1, "name": "cat", "supercategory": "animal", "color": "red"},'
    ' {"id": 90, "name": "brush"}], "more": [ ]}\n'
)


def small(first=1, categories=((1, "cat"), (2, "dog")), **top):
    images = [{"id": first + n, "file_name": f"{first + n}.jpg", "width": 8, "height": 8} for n in range(2)]
    annotations = [
        {"id": 10 * image["id"] + id, "image_id": image["id"], "category_id": id, "bbox": [0.5, 1, 2, 3]}
        for image in images
        for id, _ in categories
    ]
    kinds = [{"id": id, "name": name, "supercategory": "thing"} for id, name in categories]
    return {"images": images, "annotations": annotations, "categories": kinds} | top


@pytest.fixture
def write(tmp_path):
    def call(name, document, images=()):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
        for image, data in dict(images).items():
            (path.parents[1] / image).parent.mkdir(parents=True, exist_ok=True)
            (path.parents[1] / image).write_bytes(data)
        return path

    return call


def converted(place, output, **options):
    return visprep.convert(place, to="coco", output=output, **options)


def only(place):
    (path,) = place.glob("annotations/*.json")
    return json.loads(path.read_bytes())


def refused(message, place, output, **options):
    with pytest.raises(UsageError, match=f"(?m){message}") as told:
        converted(place, output, **options)
    assert told.value.hint
    assert not output.exists()
    return told.value


# What survives


def test_every_byte_stays(write, tmp_path):
    path = write("d/annotations/instances_val2017.json", HOSTILE, {"val2017/b.jpg": b"b", "val2017/é/a.jpg": b"a"})
    result = converted(tmp_path / "d", tmp_path / "new")
    assert (tmp_path / "new/annotations/instances_val2017.json").read_bytes() == path.read_bytes()
    assert (result.files, result.linked, result.losses, result.findings) == (3, 2, {}, ())
    assert (tmp_path / "new/val2017/é/a.jpg").samefile(tmp_path / "d/val2017/é/a.jpg")
    assert visprep.verify(tmp_path / "new", depth="names", select=["file-missing"]).findings == ()


def test_a_prefix_comes_and_goes_and_nothing_else_changes(write, tmp_path):
    path = write("d/annotations/instances_val2017.json", HOSTILE)
    converted(path, tmp_path / "far", image_root="s3://bucket/a b")
    far = tmp_path / "far/annotations/instances_val2017.json"
    expected = HOSTILE.replace('"file_name": "', '"file_name": "s3://bucket/a b/')
    assert far.read_text(encoding="utf-8") == expected
    converted(far, tmp_path / "back", strip_root="s3://bucket/a b/")
    assert (tmp_path / "back/annotations/instances_val2017.json").read_text(encoding="utf-8") == HOSTILE


def test_of_a_place_the_directory_of_the_split_comes_between(write, tmp_path):
    for split, first in (("train2017", 1), ("val2017", 5)):
        document = small(first)
        images = {f"{split}/{one['file_name']}": b"x" for one in document["images"]}
        write(f"d/annotations/instances_{split}.json", document, images)
    converted(tmp_path / "d", tmp_path / "far", image_root="s3://bucket/coco/")
    names = json.loads((tmp_path / "far/annotations/instances_val2017.json").read_bytes())["images"]
    assert [one["file_name"] for one in names] == [f"s3://bucket/coco/val2017/{n}.jpg" for n in (5, 6)]
    assert not list((tmp_path / "far").rglob("*.jpg"))
    converted(tmp_path / "far", tmp_path / "back", strip_root="s3://bucket/coco")
    for path in (tmp_path / "d").glob("annotations/*"):
        assert (tmp_path / "back/annotations" / path.name).read_bytes() == path.read_bytes()


def test_prefixes_that_do_not_fit_are_told(write, tmp_path):
    path = write("a.json", small())
    far = write("far.json", json.dumps(small()).replace('"file_name": "', '"file_name": "s3://b/'))
    refused("begins with s3://c/", far, tmp_path / "new", strip_root="s3://c")
    refused("has the name s3://b/1.jpg already", far, tmp_path / "new", image_root="s3://c")
    refused("no prefix", path, tmp_path / "new", image_root="/")
    converted(far, tmp_path / "moved", strip_root="s3://b", image_root="s3://c/d")
    assert [one["file_name"] for one in json.loads((tmp_path / "moved/far.json").read_bytes())["images"]] == [
        "s3://c/d/1.jpg",
        "s3://c/d/2.jpg",
    ]


numbers = st.integers(-(2**63) + 1, 2**63 - 1)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
extra = st.dictionaries(st.text(max_size=6).map("_".__add__), anything, max_size=3)


def records(**fixed):
    return st.builds(lambda rest, own: rest | own, extra, st.fixed_dictionaries(fixed))


images = st.lists(
    records(id=numbers, file_name=st.text(min_size=1, max_size=9), width=numbers, height=numbers),
    max_size=4,
    unique_by=lambda one: one["id"],
)
annotations = st.lists(
    records(
        id=numbers, image_id=numbers, category_id=st.sampled_from([3, 2**40, 5]), segmentation=anything, bbox=anything
    ),
    max_size=4,
)
documents = st.builds(
    lambda rest, i, a: (
        rest
        | {
            "images": i,
            "annotations": a,
            "categories": [{"id": 3, "name": "a"}, {"name": "b", "id": 2**40, "x": 1.5}],
        }
    ),
    extra,
    images,
    annotations,
)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents, st.booleans(), st.sampled_from([None, 1]), st.data())
def test_whatever_a_file_says_it_says_afterwards(tmp_path_factory, document, ascii_only, indent, data):
    place = tmp_path_factory.mktemp("any")
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    (place / "a.json").write_text(text, encoding="utf-8", newline="")
    converted(place / "a.json", place / "same")
    assert (place / "same/a.json").read_bytes() == (place / "a.json").read_bytes()
    (place / "classes.txt").write_text("a = c\n")
    converted(place / "a.json", place / "renamed", classes=place / "classes.txt")
    document["categories"][0]["name"] = "c"
    assert json.loads((place / "renamed/a.json").read_bytes()) == document
    if document["images"] and not any("://" in one["file_name"] for one in document["images"]):
        converted(place / "renamed/a.json", place / "far", image_root="s3://b/p")
        converted(place / "far/a.json", place / "back", strip_root="s3://b/p")
        assert (place / "back/a.json").read_bytes() == (place / "renamed/a.json").read_bytes()
    dropped = data.draw(st.sampled_from(["-a", "b", "a=b"]))
    (place / "classes.txt").write_text(dropped)
    converted(place / "a.json", place / "fewer", classes=place / "classes.txt")
    expected = [dict(one) for one in document["annotations"]]
    if dropped == "a=b":
        for one in expected:
            one["category_id"] = 2**40 if one["category_id"] == 3 else one["category_id"]
    else:
        expected = [one for one in expected if one["category_id"] != 3]
    fewer = json.loads((place / "fewer/a.json").read_bytes())
    assert fewer == document | {"annotations": expected, "categories": document["categories"][1:]}


# Classes


def test_classes_are_renamed_kept_dropped_and_made_one(write, tmp_path):
    path = write("a.json", small(categories=((1, "cat"), (2, "dog"), (3, "car"), (4, "pet"))))
    classes = write("map.txt", "# mine\ncat = pet   # it is\ndog=pet\n\n-car\n")
    result = converted(path, tmp_path / "new", classes=classes)
    found = json.loads((tmp_path / "new/a.json").read_bytes())
    assert [(one["id"], one["name"]) for one in found["categories"]] == [(4, "pet")]
    assert {one["category_id"] for one in found["annotations"]} == {4}
    assert (len(found["images"]), len(found["annotations"]), result.losses) == (2, 6, {})
    converted(path, tmp_path / "kept", classes=write("kept.txt", "dog\ncar = auto\n"))
    found = json.loads((tmp_path / "kept/a.json").read_bytes())
    assert [(one["id"], one["name"]) for one in found["categories"]] == [(2, "dog"), (3, "auto")]
    assert {one["category_id"] for one in found["annotations"]} == {2, 3}


def test_what_a_class_of_several_says_beside_is_lost_and_told(write, tmp_path, run):
    document = small()
    document["categories"][1] |= {"supercategory": "animal", "color": "red"}
    path = write("a.json", document)
    classes = write("map.txt", "dog=cat")
    result = converted(path, tmp_path / "new", classes=classes)
    assert result.losses == {"categories.color": 1, "categories.supercategory": 1}
    assert [(one.code, one.level, one.where["field"]) for one in result.findings] == [
        ("field-lost", "note", "categories.color"),
        ("field-lost", "note", "categories.supercategory"),
    ]
    ended = run("convert", path, "--to", "coco", "-o", tmp_path / "no", "--classes", classes, "--lossless", "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["refused"], told["losses"]) == (1, True, result.losses)
    assert not (tmp_path / "no").exists()
    ended = run("convert", path, "--to", "coco", "-o", tmp_path / "no", "--classes", classes, "--lossless")
    assert (ended.code, "nothing was written" in ended.err, "[field-lost]" in ended.err) == (1, True, True)
    assert run("convert", path, "--to", "coco", "-o", tmp_path / "no", "--lossless").code == 0


def test_maps_that_make_no_sense(write, tmp_path):
    path = write("a.json", small())
    for text, words in (
        ("", "no line"),
        ("=x", "line 1"),
        ("cat=", "line 1"),
        ("cat\n-cat", "line 2 speaks of 'cat' again, as line 1"),
    ):
        refused(words, path, tmp_path / "new", classes=write("map.txt", text))
    assert isinstance(refused("no class 'cta'", path, tmp_path / "new", classes=write("m.txt", "cta=x")), UnknownName)
    document = small()
    document["categories"][0]["keypoints"] = ["nose"]
    hint = refused("keypoints differ", write("b.json", document), tmp_path / "new", classes=write("m.txt", "cat=dog"))
    assert hint


def test_segments_of_panoptic_annotations_keep_their_classes(write, tmp_path):
    document = small()
    for one in document["annotations"]:
        one["segments_info"] = [{"id": 1, "category_id": one.pop("category_id")}]
    path = write("d/annotations/panoptic_val2017.json", document)
    refused("panoptic segments", path, tmp_path / "new", classes=write("m.txt", "-cat"))
    converted(path, tmp_path / "new", classes=write("m.txt", "cat=lion"))
    assert [one["name"] for one in only(tmp_path / "new")["categories"]] == ["lion", "dog"]


# Files that become one


def test_files_become_one(write, tmp_path):
    one = write("a/annotations/a.json", small(1, info={"year": 1}), {"images/1.jpg": b"1", "images/2.jpg": b"2"})
    two = write("b/annotations/b.json", small(5, info={"year": 2}, tags=["x"]), {"pictures/5.jpg": b"5"})
    result = converted(one, tmp_path / "new", merge=[str(two)])
    first, second = small(1), small(5)
    assert only(tmp_path / "new") == {
        "images": first["images"] + second["images"],
        "annotations": first["annotations"] + second["annotations"],
        "categories": first["categories"],
        "info": {"year": 1},
        "tags": ["x"],
    }
    assert result.losses == {"info.year": 1}
    assert sorted(path.name for path in (tmp_path / "new/images").iterdir()) == ["1.jpg", "2.jpg", "5.jpg"]


def test_ids_that_clash_are_an_error_or_become_others(write, tmp_path):
    license = {"licenses": [{"id": 1, "name": "A"}]}
    first = small(1, categories=((1, "cat"), (2, "dog")), **license)
    second = small(2, categories=((1, "dog"), (3, "car")), licenses=[{"id": 1, "name": "B"}])
    for one in second["images"]:
        one |= {"license": 1, "file_name": f"other-{one['id']}.jpg"}
    one, two = write("a.json", first), write("b.json", second)
    told = refused("images whose ids are taken: 2$", one, tmp_path / "new", merge=[two])
    assert "--renumber" in told.hint
    converted(one, tmp_path / "new", merge=[two], renumber=True)
    found = json.loads((tmp_path / "new/a.json").read_bytes())
    assert [image["id"] for image in found["images"]] == [1, 2, 4, 3]
    assert [(kind["id"], kind["name"]) for kind in found["categories"]] == [(1, "cat"), (2, "dog"), (3, "car")]
    assert found["licenses"] == [{"id": 1, "name": "A"}, {"id": 2, "name": "B"}]
    ids = [one["id"] for one in found["annotations"]]
    assert len(set(ids)) == len(ids) == 8
    names = {image["id"]: image["file_name"] for image in found["images"]}
    kinds = {kind["id"]: kind["name"] for kind in found["categories"]}
    said = [(names[one["image_id"]], kinds[one["category_id"]]) for one in found["annotations"]]
    assert said[4:] == [(f"other-{n}.jpg", kind) for n in (2, 3) for kind in ("dog", "car")]
    assert [image.get("license") for image in found["images"]] == [None, None, 2, 2]


def test_the_first_three_clashes_are_named(write, tmp_path):
    one, two = write("a.json", small(1)), write("b.json", small(1))
    document = small(7)
    document["annotations"] = [one | {"id": n} for n, one in enumerate(small(1)["annotations"] * 2, 11)]
    refused("images whose ids are taken: 1, 2$", one, tmp_path / "new", merge=[two])
    first = small(1)
    first["annotations"] = document["annotations"]
    told = refused(
        "annotations whose ids are taken: 11, 12, 13 and 5 more$",
        write("c.json", first),
        tmp_path / "new",
        merge=[write("d.json", document)],
    )
    assert told
    third = small(7, categories=((1, "cat"), (2, "bird"), (3, "dog")))
    third["annotations"] = []
    refused("2 is 'dog' and 'bird', 'dog' is 2 and 3$", one, tmp_path / "new", merge=[write("e.json", third)])


def test_images_of_one_name_must_be_the_same(write, tmp_path):
    one = write("a/annotations/a.json", small(1), {"images/1.jpg": b"1"})
    second = small(5)
    second["images"][0]["file_name"] = "1.jpg"
    two = write("b/annotations/b.json", second, {"images/1.jpg": b"other"})
    refused("different images called 1.jpg", one, tmp_path / "new", merge=[two])
    (tmp_path / "b/images/1.jpg").write_bytes(b"1")
    converted(one, tmp_path / "new", merge=[two])
    assert (tmp_path / "new/images/1.jpg").read_bytes() == b"1"


def test_what_cannot_be_merged(write, tmp_path):
    write("d/annotations/instances_a.json", small(1))
    write("d/annotations/instances_b.json", small(5))
    refused("--merge joins one file", tmp_path / "d", tmp_path / "new", merge=[write("x.json", small(9))])
    refused("not a JSON file", write("y.json", small(1)), tmp_path / "new", merge=[tmp_path])


def test_records_that_cannot_be_read_pass_as_they_are_and_are_not_changed(write, tmp_path):
    document = small()
    document["annotations"][1]["id"] = "seven"
    path = write("a.json", document)
    converted(path, tmp_path / "same")
    assert (tmp_path / "same/a.json").read_bytes() == path.read_bytes()
    with pytest.raises(WrongContent, match=r"a\.json"):
        converted(path, tmp_path / "new", classes=write("m.txt", "cat=lion"))
    assert not (tmp_path / "new").exists()


# Places


def test_again_it_does_nothing_and_other_files_are_left_alone(write, tmp_path):
    write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1", "val2017/2.jpg": b"2"})
    converted(tmp_path / "d", tmp_path / "new")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "new").rglob("*") if path.is_file()}
    result = converted(tmp_path / "d", tmp_path / "new")
    assert (result.files, result.kept) == (0, 3)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "new").rglob("*") if path.is_file()} == before
    with pytest.raises(WouldOverwrite):
        converted(tmp_path / "d", tmp_path / "new", image_root="s3://b")
    (tmp_path / "other/val2017").mkdir(parents=True)
    (tmp_path / "other/val2017/1.jpg").write_bytes(b"mine")
    (tmp_path / "other/val2017/2.jpg").write_bytes(b"2")
    with pytest.raises(WouldOverwrite) as told:
        converted(tmp_path / "d", tmp_path / "other")
    assert told.value.paths == ("val2017/1.jpg",)
    assert sorted(tree(tmp_path / "other")) == ["val2017/1.jpg", "val2017/2.jpg"]
    (tmp_path / "d/val2017/1.jpg").write_bytes(b"new")
    (tmp_path / "new/val2017/1.jpg").unlink()
    assert converted(tmp_path / "d", tmp_path / "new").files == 1
    assert visprep.verify(tmp_path / "new", depth="content", select=["file-missing", "file-changed"]).findings == ()


PROGRAM = "import sys, visprep; visprep.convert(sys.argv[1], to='coco', output=sys.argv[2])"


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(write, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    document = small()
    document["images"] = [{"id": n, "file_name": f"{n}.jpg", "width": 8, "height": 8} for n in range(3000)]
    write("d/annotations/instances_val2017.json", document, {f"val2017/{n}.jpg": b"%d" % n for n in range(3000)})
    converted(tmp_path / "d", tmp_path / "whole")
    killed = 0
    for number, (path, seconds) in enumerate(
        [("cache/documents", 0.0), ("in-progress", 0.0), ("in-progress", 0.02), ("in-progress", 0.1)]
    ):
        place = tmp_path / f"killed-{number}"
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "d"), str(place)])
        while process.poll() is None and not (place / ".visprep" / path).exists():
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        converted(tmp_path / "d", place)
        assert tree(place) == tree(tmp_path / "whole")
        assert not (place / ".visprep/cache").exists()
        assert not (place / ".visprep/in-progress").exists()
    assert killed


def test_without_links_it_copies(write, tmp_path, small_disk):
    write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1"})
    result = converted(tmp_path / "d", small_disk / "new")
    assert (result.files, result.linked, result.copied) == (2, 0, 1)


def test_from_s3_images_are_copied(write, tmp_path, bucket):
    write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1", "val2017/2.jpg": b"2"})
    visprep.upload(tmp_path / "d", f"s3://{bucket}/coco")
    result = converted(f"s3://{bucket}/coco", tmp_path / "new")
    assert (result.files, result.copied) == (3, 2)
    assert converted(f"s3://{bucket}/coco", tmp_path / "new").files == 0
    result = converted(f"s3://{bucket}/coco/annotations/instances_val2017.json", tmp_path / "one")
    assert result.files == 3
    assert (tmp_path / "one/val2017/1.jpg").read_bytes() == b"1"


def test_what_a_way_has_no_use_for_is_refused(run, write, tmp_path):
    write("d/annotations/instances_val2017.json", small())
    for words, said in (
        (("d", "--to", "coco", "--renumber"), "without --merge"),
        (("d", "--to", "tasks"), "tasks"),
        (("d/none.json", "--to", "coco"), "no such file"),
    ):
        ended = run("convert", tmp_path / words[0], *words[1:], "--output", tmp_path / "new")
        assert (ended.code in (2, 3), said in ended.err) == (True, True), ended.err
        assert not (tmp_path / "new").exists()


def test_nothing_is_written_into_what_is_converted(write, tmp_path):
    path = write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1"})
    before = tree(tmp_path / "d")
    for place in (tmp_path / "d", tmp_path / "d/annotations", path):
        for output in ("d", "d/annotations", "d/annotations/new", "d/new"):
            with pytest.raises(UsageError, match="lies in") as told:
                converted(place, tmp_path / output)
            assert "d-coco" in told.value.hint
    assert tree(tmp_path / "d") == before
    converted(path, tmp_path / "new")
    (step,) = json.loads((tmp_path / "new/dataset.json").read_bytes())["steps"]
    assert (step["source"], step["options"]) == (
        "d",
        {"from": "coco", "to": "coco", "file": "annotations/instances_val2017.json"},
    )


def test_who_listens_hears_how_far_it_is(write, tmp_path):
    write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1"})
    heard = []
    converted(tmp_path / "d", tmp_path / "new", progress=heard.append)
    size = (tmp_path / "new/annotations/instances_val2017.json").stat().st_size
    stages = {one.stage: (one.done, one.total, one.unit) for one in heard}
    assert stages["Writing annotations"] == (size, None, "bytes")
    assert stages["Writing"] == (1, 1, "files")


def test_status_tells_how_to_go_on(run, write, tmp_path):
    path = write("d/annotations/instances_val2017.json", small(), {"val2017/1.jpg": b"1"})
    other = write("e/more.json", small(7))
    classes = write("m.txt", "cat=lion")
    new = tmp_path / "new"
    converted(path, new, merge=[other], classes=classes, renumber=True)
    (new / ".visprep/in-progress").write_bytes(
        json.dumps({"format_version": 1, "step": json.loads((new / "dataset.json").read_bytes())["steps"][0]}).encode()
    )
    said = run("status", new).out
    command = "visprep convert path/to/d/annotations/instances_val2017.json --to coco --renumber"
    command += f" --classes path/to/classes.txt --merge path/to/more.json --output {new}"
    assert command in " ".join(said.split())
