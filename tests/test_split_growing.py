"""`visprep split` on data that grows: other files that use the same names, records that were away, other wishes."""

from __future__ import annotations

import json

import pytest

import scenes
from coco_place import SIZE, annotations
from conftest import tree
from image_faults import encoded, photo
from visprep.split_file import load

ONE, TWO = "col/batch1/ann_one.json", "col/batch2/ann_two.json"
PARTS = "train=0.8,val=0.2"


@pytest.fixture
def write(run, tmp_path):
    """`write(path, names, first)` writes an annotation file of images of these names, with ids from `first` on."""

    def call(path, names, first=1, **more):
        data = annotations(list(range(first, first + len(names))))
        for image, name in zip(data["images"], names, strict=True):
            image |= {"file_name": name, **more}
        for one in data["annotations"]:
            one["id"] += 10 * first
        file = tmp_path / "work" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data))
        return file

    return call


@pytest.fixture
def told(tmp_path):
    return lambda out: load((tmp_path / "work" / out / "split.json").read_bytes(), "split.json")


def frames(start, stop):
    return [f"frame_{number:04}.jpg" for number in range(start, stop)]


# names that another file has too


@pytest.mark.parametrize("more", [(), ("--extend", "first"), ("--method", "exact", "--extend", "first/split.json")])
def test_a_second_file_with_the_same_names_moves_nothing(run, write, told, tmp_path, more):
    write(ONE, frames(0, 200))
    write(TWO, frames(0, 60), first=1001)
    run("split", ONE, "-o", "first", "--parts", PARTS)
    before = told("first").part_of()
    ended = run("split", ONE, TWO, "-o", "both", "--parts", PARTS, *more)
    assert ended.code == 0, ended.err
    after = told("both").part_of()
    ours = {key: after.get(key, after.get(f"ann_one/{key}")) for key in before}
    assert ours == before
    assert len(after) == 260
    assert told("both").moved == ()
    # and the other file's are told apart, in the files of parts too
    names = [
        (part, one["file_name"])
        for part in ("train", "val")
        for one in json.loads((tmp_path / f"work/both/instances_{part}.json").read_text())["images"]
    ]
    assert len({name for _, name in names}) == 260
    ended = run("verify", "both")
    assert "[part-differs]" not in ended.out
    assert "[image-name-repeated]" not in ended.out
    # what lay in the output is known by its inputs, too
    run("split", ONE, TWO, "-o", "first", "--parts", PARTS)
    assert told("first").moved == ()
    assert {
        key: told("first").part_of().get(key, told("first").part_of().get(f"ann_one/{key}")) for key in before
    } == before


@pytest.mark.parametrize("how", ["ids", "copies"])
def test_images_of_one_name_are_found_where_they_are(run, write, tmp_path, how):
    for number, path in enumerate((ONE, TWO)):
        file = write(path, frames(0, 6), first=1000 * number + 1)
        for at, name in enumerate(frames(0, 6)):
            (file.parent / name).write_bytes(encoded(photo(100 * number + at, *SIZE)))
    argv = ("split", ONE, TWO, "-o", "both", "--parts", "train=0.5,val=0.5", "--near-duplicates", "--how", how)
    assert run(*argv).code == 0
    ended = run("verify", "both")
    assert (ended.code, "no findings" in ended.out) == (0, True), ended.out
    assert run("leaks", "both").code == 0
    (tmp_path / "work" / TWO).with_name("frame_0003.jpg").unlink()
    ended = run("verify", "both")
    assert ("1 image of 6 not where split.json says, such as batch2/frame_0003.jpg" in ended.out) == (how == "ids")


def test_who_goes_back_to_one_file_moves_nothing_either(run, write, told):
    write(ONE, frames(0, 100))
    write(TWO, frames(50, 150), first=1001)
    run("split", ONE, TWO, "-o", "both", "--parts", PARTS, "--method", "exact")
    before = told("both").part_of()
    run("split", TWO, "-o", "two", "--parts", PARTS, "--method", "exact", "--extend", "both")
    after = told("two").part_of()
    assert after == {name: before.get(name, before.get(f"ann_two/{name}")) for name in frames(50, 150)}
    away = {name: before.get(name, before.get(f"ann_one/{name}")) for name in frames(0, 100)}
    assert sum(map(len, told("two").absent.values())) == 100
    run("split", ONE, TWO, "-o", "again", "--parts", PARTS, "--method", "exact", "--extend", "two")
    assert told("again").part_of() == before
    assert away == {name: before.get(name, before.get(f"ann_one/{name}")) for name in away}
    assert told("again").absent == {}


def test_which_of_two_is_meant_is_asked_where_nobody_can_tell(run, write, told, tmp_path):
    write("col/was.json", frames(0, 20))
    run("split", "col/was.json", "-o", "first", "--parts", PARTS)
    write(ONE, frames(0, 30))
    write(TWO, frames(10, 20), first=1001)
    held = tree(tmp_path / "work")
    ended = run("split", ONE, TWO, "-o", "both", "--parts", PARTS, "--extend", "first")
    assert (ended.code, "nothing tells which of them was in col/was.json" in ended.err) == (2, True)
    assert "ann_one, ann_two" in ended.err
    assert tree(tmp_path / "work") == held
    # the same bytes under another name tell it
    write(ONE, frames(0, 20))
    assert run("split", ONE, TWO, "-o", "both", "--parts", PARTS, "--extend", "first").code == 0
    after = told("both").part_of()
    assert told("first").part_of() == {name: after.get(name, after.get(f"ann_one/{name}")) for name in frames(0, 20)}


def test_files_that_are_called_alike_are_told_apart_by_their_directories(run, write, told):
    for number in (1, 2):
        write(f"col/batch{number}/frames/labels_coco.json", frames(0, 20), first=1000 * number)
    files = [f"col/batch{number}/frames/labels_coco.json" for number in (1, 2)]
    ended = run("split", *files, "-o", "both", "--parts", PARTS)
    assert ended.code == 0, ended.err
    keys = told("both").part_of()
    assert {key.rpartition("/")[0] for key in keys} == {f"batch{number}/frames/labels_coco" for number in (1, 2)}
    assert len(keys) == 40


# records that are away for a while


@pytest.mark.parametrize("method", ["exact", "stable"])
def test_a_record_that_was_away_returns_to_its_part(run, write, told, method):
    argv = ("--parts", PARTS, "--method", method, "--seed")
    write(ONE, frames(0, 100))
    run("split", ONE, "-o", "z1", *argv, "1")
    write(ONE, frames(80, 120))
    run("split", ONE, "-o", "z2", *argv, "2", "--extend", "z1")
    first, second = told("z1").part_of(), told("z2")
    away = {key: part for part, keys in second.absent.items() for key in keys}
    assert away == {name: first[name] for name in frames(0, 80)}
    write(ONE, frames(90, 125))
    run("split", ONE, "-o", "z3", *argv, "3", "--extend", "z2")
    assert len({key for keys in told("z3").absent.values() for key in keys}) == 90
    write(ONE, frames(0, 125))
    ended = run("split", ONE, "-o", "z4", *argv, "4", "--extend", "z3")
    after = told("z4")
    assert {key: after.part_of()[key] for key in first} == first
    assert {key: after.part_of()[key] for key in second.part_of()} == second.part_of()
    assert (after.absent, ended.code) == ({}, 0)


def test_a_record_that_was_at_fault_returns_to_its_part(run, write, told, tmp_path):
    file = write(ONE, frames(0, 40))
    run("split", ONE, "-o", "z1", "--parts", PARTS, "--method", "exact")
    sound = file.read_text()
    data = json.loads(sound)
    data["images"][7]["width"] = 0
    file.write_text(json.dumps(data))
    run("split", ONE, "-o", "z2", "--parts", PARTS, "--method", "exact", "--extend", "z1", "--clean", "--seed", "5")
    part = told("z1").part_of()["frame_0007.jpg"]
    assert told("z2").absent == {part: ("frame_0007.jpg",)}
    file.write_text(sound)
    run("split", ONE, "-o", "z3", "--parts", PARTS, "--method", "exact", "--extend", "z2", "--seed", "5")
    assert told("z3").part_of() == told("z1").part_of()


def test_absent_records_that_contradict_the_members_are_damage(run, write, tmp_path):
    write(ONE, frames(0, 10))
    run("split", ONE, "-o", "z1", "--parts", PARTS)
    file = tmp_path / "work/z1/split.json"
    data = json.loads(file.read_text())
    for absent in ({"test": ["x"]}, {"train": [data["members"]["train"][0]]}):
        file.write_text(json.dumps(data | {"absent": absent}))
        ended = run("split", ONE, "-o", "z2", "--parts", PARTS, "--extend", "z1")
        assert (ended.code, "[bad-record]" in ended.err) == (3, True), ended.err


# other wishes than before


def test_what_was_asked_otherwise_before_is_said(run, write, told):
    write(ONE, frames(0, 40), game="x")
    run("split", ONE, "-o", "z1", "--parts", PARTS, "--seed", "1")
    note = "note: the split to extend was made with other --parts, --seed, --group-by: what is placed stays"
    other = ("--parts", "train=0.5,val=0.5", "--seed", "2", "--group-by", "game")
    assert note in run("split", ONE, "-o", "z2", *other, "--extend", "z1").out
    assert "note:" not in run("split", ONE, "-o", "z3", "--parts", PARTS, "--seed", "1", "--extend", "z1").out
    assert json.loads(run("split", ONE, "-o", "z2", *other, "--extend", "z1", "--json").out)["notes"]


def test_what_is_stratified_is_exact(run, write, told):
    write(ONE, frames(0, 40))
    ended = run("split", ONE, "-o", "z1", "--parts", PARTS, "--stratify", "-q")
    assert "note: --stratify changes nothing with --method stable" in ended.out
    assert not told("z1").stratified
    assert "nothing was written" in run("split", ONE, "-o", "z1", "--parts", PARTS, "--stratify").out
    run("split", ONE, "-o", "z2", "--parts", PARTS, "--stratify", "--method", "exact")
    assert told("z2").stratified


def test_a_split_of_another_kind_is_not_extended(run, write, tmp_path):
    write(ONE, frames(0, 10))
    run("split", ONE, "-o", "z1", "--parts", PARTS)
    scenes.vton(tmp_path / "work/triplets", {"hard": {f"{at:04}": scenes.photo(at) for at in range(4)}})
    ended = run("split", "triplets", "-o", "z2", "--parts", PARTS, "--extend", "z1")
    assert (ended.code, "is one of coco, and what is split now is vton" in ended.err) == (2, True)


# what is counted


def test_who_is_left_out_for_tying_two_parts_counts_nowhere(run, write, told):
    file = write(ONE, frames(0, 60))
    argv = ("split", ONE, "--parts", "train=0.6,val=0.2,test=0.2", "--method", "exact", "--stratify")
    run(*argv, "-o", "z1")
    placed = told("z1").members
    data = json.loads(file.read_text())
    new = annotations(list(range(101, 113)))
    for image in new["images"][:8]:
        image["game"] = "tied"
    for image in data["images"]:
        if image["file_name"] in (placed["train"][0], placed["test"][0]):
            image["game"] = "tied"
    data["images"] += new["images"]
    data["annotations"] += [one | {"id": one["id"] + 10_000} for one in new["annotations"]]
    file.write_text(json.dumps(data))
    ended = run(*argv, "-o", "z2", "--group-by", "game", "--extend", "z1")
    assert "kept together: 0 groups of several records, 1 in several parts all the same" in ended.out
    ended = run(*argv, "-o", "z3", "--group-by", "game", "--extend", "z1", "--clean")
    after = told("z3")
    assert after.left_out.records == {"leak-across-parts": 8}
    assert [part.records for part in after.parts] == [38, 13, 13]
    assert sum(part.share for part in after.parts) == pytest.approx(1)
    assert [(one.records, one.error < 2) for one in after.classes] == [(64, True)] * 2


# what parts are called


@pytest.mark.parametrize("called", ["valid", "validation", "val"])
def test_the_valid_of_elsewhere_is_the_val_that_is_there(run, write, told, called):
    for number, split in enumerate(("train", "valid", "test")):
        write(f"robo/{split}/_annotations.coco.json", [f"{split}{at}.jpg" for at in range(10)], first=1000 * number + 1)
    ended = run("split", "robo", "-o", "z1", "--parts", f"train=0.5,{called}=0.5")
    assert ended.code == 0, ended.err
    assert [(part.name, part.asked) for part in told("z1").parts] == [("train", 0.5), (called, 0.5), ("test", None)]
    assert [part.records for part in told("z1").parts][2] == 10
    run("split", "robo", "-o", "z2", "--parts", "train=0.9,fit=0.1")
    assert [(part.name, part.records) for part in told("z2").parts][2:] == [("test", 10), ("val", 10)]


def test_directories_that_say_it_otherwise_are_the_parts_that_are_asked_for(run, told, tmp_path):
    for split in ("train", "valid", "test"):
        scenes.vton(tmp_path / "work/data" / split, {"hard": {f"{at:04}": scenes.photo(at) for at in range(4)}})
    assert run("split", "data", "-o", "z1", "--parts", "train=0.5,val=0.5").code == 0
    assert [(part.name, part.asked) for part in told("z1").parts] == [("train", 0.5), ("val", 0.5), ("test", None)]


# images without annotations


def test_a_caption_does_not_make_an_image_one_with_annotations(run, write, told, tmp_path):
    file = write("data/annotations/instances_train2017.json", frames(0, 20))
    data = json.loads(file.read_text())
    data["annotations"] = [one for one in data["annotations"] if one["image_id"] > 5]
    file.write_text(json.dumps(data))
    captions = annotations(list(range(1, 21)), "captions")
    for image, name in zip(captions["images"], frames(0, 20), strict=True):
        image["file_name"] = name
    captions["annotations"] = [one for one in captions["annotations"] if one["image_id"] > 2]
    (file.parent / "captions_train2017.json").write_text(json.dumps(captions))
    run("split", "data", "-o", "z1", "--parts", PARTS, "--drop-empty")
    assert told("z1").left_out.records == {"no-annotations": 5}
    # where there is nothing else, captions are what there is
    run("split", "data/annotations/captions_train2017.json", "-o", "z2", "--parts", PARTS, "--drop-empty")
    assert told("z2").left_out.records == {"no-annotations": 2}
