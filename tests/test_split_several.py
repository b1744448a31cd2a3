"""`visprep split` on several COCO files: of one split, of several, and of a whole place."""

from __future__ import annotations

import json

import pytest

from coco_place import annotations, edited, make
from conftest import tree
from visprep.split_file import load

TRAIN, VAL = (f"data/coco/annotations/instances_{split}.json" for split in ("train2017", "val2017"))
CAPTIONS = "data/coco/annotations/captions_train2017.json"
PARTS = "train=0.7,val=0.1,test=0.2"


@pytest.fixture
def place(run, tmp_path):
    place = make(tmp_path / "work/data/coco", train=40, val=10)
    (place / "annotations/captions_train2017.json").write_text(json.dumps(annotations(list(range(1, 41)), "captions")))
    with edited(place / "annotations/instances_val2017.json") as data:
        for one in data["annotations"]:
            one["id"] += 1000
    return place


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/out"


def read(out, name):
    return json.loads((out / name).read_text())


def told(out):
    return load((out / "split.json").read_bytes(), "split.json")


def names(out, file):
    return {one["file_name"] for one in read(out, file)["images"]}


def test_files_of_one_split_are_parted_alike(run, place, out):
    ended = run("split", TRAIN, CAPTIONS, "-o", out, "--parts", PARTS, "--name", "both")
    assert ended.code == 0
    assert told(out).records == 40
    for part in ("train", "val", "test"):
        assert names(out, f"both_instances_{part}.json") == names(out, f"both_captions_{part}.json")
        assert names(out, f"both_instances_{part}.json") == set(told(out).members[part])
    assert sum(len(read(out, f"both_captions_{part}.json")["annotations"]) for part in ("train", "val", "test")) == 80
    run("split", TRAIN, CAPTIONS, "-o", "unnamed", "--parts", PARTS)
    assert (out.parent / "unnamed/captions_val.json").is_file()
    run("split", TRAIN, CAPTIONS, "-o", "empty", "--parts", "train=1.0,test=0")
    assert (
        names(out.parent / "empty", "captions_test.json") == names(out.parent / "empty", "instances_test.json") == set()
    )


def test_a_test_part_is_carved_out_of_train_and_val_stays_to_the_byte(run, place, out):
    ended = run("split", TRAIN, VAL, "-o", out, "--parts", "train=0.9,test=0.1", "--name", "m", "--seed", "3")
    assert ended.code == 0
    assert (out / "m_val.json").read_bytes() == (place / "annotations/instances_val2017.json").read_bytes()
    assert names(out, "m_train.json") | names(out, "m_test.json") == {f"{n:012}.jpg" for n in range(1, 41)}
    parts = {part.name: (part.asked, part.records) for part in told(out).parts}
    assert parts["val"] == (None, 10)
    assert parts["train"][1] + parts["test"][1] == 40
    assert "val                   10  (stays)" in ended.out
    assert "moved" not in run("split", TRAIN, VAL, "-o", out, "--parts", "train=0.9,test=0.1", "--name", "m").err


def test_splits_that_are_pooled_name_the_directory_of_their_images(run, place, out):
    with edited(place / "annotations/instances_val2017.json") as data:
        data["info"]["description"] = "of val"  # may differ; what else stands at the top may not
    ended = run("split", TRAIN, VAL, "-o", out, "--parts", PARTS)
    assert ended.code == 0, ended.err
    found = {name for part in ("train", "val", "test") for name in names(out, f"instances_{part}.json")}
    assert found == {f"{split}2017/{n:012}.jpg" for n in range(1, 51) for split in ["train" if n <= 40 else "val"]}
    original = {
        one["id"]: one for file in (TRAIN, VAL) for one in json.loads((place.parents[1] / file).read_text())["images"]
    }
    for one in read(out, "instances_train.json")["images"]:
        assert {**one, "file_name": one["file_name"].partition("/")[2]} == original[one["id"]]
    assert sum(len(read(out, f"instances_{part}.json")["annotations"]) for part in ("train", "val", "test")) == 100
    assert {one.images for one in told(out).inputs} == {"train2017", "val2017"}
    assert set(told(out).part_of()) == {f"{n:012}.jpg" for n in range(1, 51)}
    for part in ("train", "val", "test"):
        assert run("verify", out / f"instances_{part}.json").code == 0


def test_pooling_more_moves_nothing(run, place, out):
    run("split", TRAIN, "-o", out, "--parts", PARTS)
    before = told(out).part_of()
    run("split", TRAIN, VAL, "-o", out, "--parts", PARTS)
    assert {key: told(out).part_of()[key] for key in before} == before


def test_a_whole_place_is_its_annotation_files(run, place, out):
    ended = run("split", "data/coco", "-o", out, "--parts", "train=0.9,test=0.1", "--name", "m")
    assert ended.code == 0
    assert [one.path for one in told(out).inputs] == [CAPTIONS, TRAIN, VAL]
    assert (out / "m_instances_val.json").read_bytes() == (place / "annotations/instances_val2017.json").read_bytes()
    assert not (out / "m_captions_val.json").exists()


def test_the_images_of_a_directory_of_annotations_lie_beside_it(run, place, out):
    ended = run("split", place / "annotations", "-o", out, "--parts", PARTS, "--how", "copies")
    assert ended.code == 0, ended.err
    assert sum(path.suffix == ".jpg" for path in out.rglob("*")) == 50
    assert run("split", place, "-o", "whole", "--parts", PARTS).code == 0
    assert told(out).members == told(out.parent / "whole").members


def test_names_that_two_splits_have_are_told_apart(run, tmp_path, out):
    files = [tmp_path / f"work/in/{split}/_annotations.coco.json" for split in ("train", "valid")]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True)
        data = annotations(list(range(1, 21)))
        for image in data["images"]:
            image["id"] += 100 * number
        for one in data["annotations"]:
            one |= {"id": one["id"] + 1000 * number, "image_id": one["image_id"] + 100 * number}
        file.write_text(json.dumps(data))
    assert run("split", *files, "-o", out, "--parts", PARTS).code == 0
    assert {key.partition("/")[0] for key in told(out).part_of()} == {"train", "valid"}
    assert len(told(out).part_of()) == 40


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["categories"].pop(), "differ in 'categories'"),
        (lambda data: data.update(videos=[1]), "differ in 'videos'"),
        (lambda data: data["annotations"][0].update(id=1), "both have annotations with the id 1"),
        (lambda data: data["images"][0].update(id=1), "both have images with the id 1"),
    ],
)
def test_files_that_cannot_become_one_are_refused(run, place, out, change, words):
    with edited(place / "annotations/instances_val2017.json") as data:
        change(data)
        if "images" in words:
            data["annotations"] = data["annotations"][2:]
    ended = run("split", TRAIN, VAL, "-o", out, "--parts", "train=0.5,val=0.5")
    assert (ended.code, words in ended.err) == (2, True)
    assert not out.exists()


def test_parts_that_upstream_does_not_have_are_refused(run, place, out):
    ended = run("split", TRAIN, VAL, "-o", out, "--parts", "fit=0.5,check=0.5")
    assert (ended.code, "names none of the parts that there are: train, val" in ended.err) == (2, True)
    assert run("split", TRAIN, "-o", out, "--parts", "fit=0.5,check=0.5").code == 0


def test_a_file_named_twice_is_refused(run, place, out):
    ended = run("split", TRAIN, TRAIN, "-o", out, "--parts", PARTS)
    assert (ended.code, "[usage]" in ended.err) == (2, True)


# images of the parts


@pytest.mark.parametrize("how", ["links", "copies"])
def test_images_go_to_their_parts_and_verify_finds_them(run, place, out, how):
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--how", how)
    assert run(*argv).code == 0
    for part in ("train", "val", "test"):
        there = {path.name for path in (out / part).iterdir()}
        assert there == names(out, f"instances_{part}.json")
        for name in there:
            assert (out / part / name).read_bytes() == (place / "train2017" / name).read_bytes()
            assert (out / part / name).samefile(place / "train2017" / name) == (how == "links")
    ended = run("verify", out)
    assert ended.code == 0, ended.out
    held = tree(out)
    assert "nothing was written" in run(*argv).out
    assert tree(out) == held
    assert run("split", TRAIN, "-o", out, "--parts", PARTS).code == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == [".visprep"]


def test_pooled_images_lie_where_their_new_names_say(run, place, out):
    run("split", TRAIN, VAL, "-o", out, "--parts", PARTS, "--how", "copies")
    for part in ("train", "val", "test"):
        assert all((out / part / name).is_file() for name in names(out, f"instances_{part}.json"))


def test_images_that_are_not_there_are_told(run, place, out):
    argv = ("split", TRAIN, "-o", out, "--parts", PARTS, "--how", "copies")
    (place / "train2017/000000000007.jpg").unlink()
    ended = run(*argv)
    assert (ended.code, "1 image of the parts not there" in ended.out) == (1, True)
    held = tree(out)
    assert "nothing was written" in run(*argv).out
    assert tree(out) == held
    assert run(*argv, "--clean").code == 0
    for path in (place / "train2017").iterdir():
        path.unlink()
    ended = run(*argv[:3], "none", *argv[4:])
    assert (ended.code, "none of the images is here" in ended.err) == (2, True)
    assert not (out.parent / "none").exists()


# groups


def test_groups_by_a_key_within_a_key_and_by_directory(run, place, out):
    with edited(place / "annotations/instances_train2017.json") as data:
        for image in data["images"][:-3]:
            image["meta"] = {"scene": image["id"] % 9}
            image["file_name"] = f"d{image['id'] % 5}/{image['file_name']}"
    for field, value in (
        ("meta.scene", lambda one: one.get("meta", one["id"])),
        ("directory", lambda one: one["file_name"].split("/")[0]),
    ):
        assert run("split", TRAIN, "-o", out, "--parts", PARTS, "--group-by", field).code == 0
        seen = {}
        for part in ("train", "val", "test"):
            for one in read(out, f"instances_{part}.json")["images"]:
                assert seen.setdefault(str(value(one)), part) == part


def test_records_without_the_field_stand_alone_and_are_counted(run, place, out):
    with edited(place / "annotations/instances_train2017.json") as data:
        for image in data["images"][:10]:
            image["scene"] = "one"
    ended = run("split", TRAIN, "-o", out, "--parts", PARTS, "--group-by", "scene")
    assert (told(out).groups, told(out).ungrouped) == (31, 30)
    assert "kept together: 1 group of several records; 30 without scene stand alone" in ended.out


def test_a_field_that_no_record_has_is_refused_with_the_nearest(run, place, out):
    ended = run("split", TRAIN, "-o", out, "--parts", PARTS, "--group-by", "licence")
    assert (ended.code, "did you mean license?" in ended.err) == (2, True)
    assert not out.exists()
