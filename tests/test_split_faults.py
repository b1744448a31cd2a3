"""`visprep split` when something is in the way: wishes, files and disks that do not fit, and kills."""

from __future__ import annotations

import json
import shutil

import msgspec
import pytest

import visprep
from coco_place import annotations, make
from conftest import tree
from killing import kill_count, leftovers, random_kills
from visprep.errors import BadRecord, UsageError
from visprep.split_file import load

FILE = "data/coco/annotations/instances_train2017.json"
PARTS = "train=0.8,val=0.1,test=0.1"


@pytest.fixture
def place(run, tmp_path):
    return make(tmp_path / "work/data/coco", train=20, val=4)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "work/out"


def split(run, *more, parts=PARTS, file=FILE):
    return run("split", file, "-o", "out", "--parts", parts, *more)


def told(out):
    return load((out / "split.json").read_bytes(), "split.json")


# wishes


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--parts", ""), "for example --parts train=0.8,val=0.1,test=0.1"),
        (("--parts", "train=0.8,train=0.2"), "the same name"),
        (("--parts", "../train=0.8"), "cannot be the name of a part"),
        (("--parts", "train=0.8,val=0.3"), "more than 1"),
        (("--parts", "train=21"), "asks for 21 records"),
        (("--parts", "train=10", "--method", "stable"), "counts"),
        (("--parts", PARTS, "--method", "random"), "random"),
        (("--parts", PARTS, "--name", "../x"), "--name"),
        (("--parts", PARTS, "--name", ""), "--name"),
        (("--parts", PARTS, "--how", "moves"), "moves"),
        (("--parts", PARTS, "--group-by", "game"), "no image record has it"),
        (("--parts", PARTS, "--group-by", ""), "the name of a field"),
        (("--parts", PARTS, "-o", "s3://"), "s3://"),
    ],
)
def test_a_wish_that_makes_no_sense_is_wrong_usage_and_touches_nothing(run, place, out, argv, words):
    ended = run("split", FILE, "-o", "out", *argv)
    assert (ended.code, words in ended.err) == (2, True), ended.err
    assert not out.exists()


@pytest.mark.parametrize(
    "asked",
    [
        {"place": []},
        {"parts": {"train": 0.8, "test": 0.2}},
        {"parts": ""},
        {"seed": "x"},
        {"seed": 1.5},
        {"seed": True},
        {"method": ""},
        {"group_by": ""},
        {"group_by": 1},
    ],
)
def test_the_library_takes_nothing_for_what_it_is_not(place, out, asked):
    with pytest.raises(UsageError) as caught:
        visprep.split(**{"place": FILE, "output": out, "parts": PARTS, **asked})
    assert caught.value.hint
    assert not out.exists()


@pytest.mark.parametrize("places", [("",), ("", FILE), (FILE, "")])
def test_an_empty_place_is_none(run, place, out, places):
    ended = run("split", *places, "--output", out, "--parts", PARTS)
    assert (ended.code, "'' names no place" in ended.err, "[bad-place]" in ended.err) == (2, True, True)
    assert not out.exists()


@pytest.mark.parametrize("how", ["ids", "links"])
@pytest.mark.parametrize("name", ["split.json", "Dataset.JSON"])
def test_no_part_is_called_like_a_file_of_ours(run, place, out, name, how):
    before = tree(place)
    ended = run("split", FILE, "--output", out, "--parts", f"train=0.5,{name}=0.5", "--how", how)
    assert (ended.code, name in ended.err) == (2, True)
    assert not out.exists()
    assert tree(place) == before


def test_no_part_is_called_like_the_file_of_another(run, place, out):
    asked = ("--parts", "train=0.5,instances_train.json=0.5")
    assert run("split", FILE, "--output", out, *asked, "--how", "links").code == 2
    assert not out.exists()
    assert run("split", FILE, "--output", out, *asked, "--how", "ids").code == 0


def test_no_parts_are_told_with_an_example(run, place):
    ended = run("split", FILE)
    assert (ended.code, "train=0.8,val=0.1,test=0.1" in ended.err) == (2, True)


@pytest.mark.parametrize("target", ["data/coco/annotations", "data/coco", "data/coco/splits"])
def test_the_output_does_not_lie_in_what_is_split(run, place, target):
    before = tree(place)
    ended = run("split", "data/coco", "-o", target, "--parts", "train=0.9,test=0.1")
    assert (ended.code, "lies in" in ended.err, "--output" in ended.err) == (2, True, True)
    assert tree(place) == before


@pytest.mark.parametrize("target", ["data/coco/annotations", "data/coco", "data", "."])
def test_a_directory_that_the_file_lies_in_is_no_output(run, place, target):
    before = tree(place)
    ended = run("split", FILE, "-o", target, "--parts", PARTS)
    assert (ended.code, "the input lies in it" in ended.err) == (2, True)
    assert tree(place) == before


def test_a_place_with_a_record_is_not_mixed_with_its_parts(run, place):
    (place / ".visprep").mkdir()
    (place / ".visprep/manifest.jsonl").write_text("")
    ended = run("split", FILE, "-o", "data/coco/parts", "--parts", PARTS)
    assert (ended.code, "lies in the dataset" in ended.err) == (2, True)
    assert not (place / "parts").exists()


def test_a_place_of_other_data_is_no_output(run, place, out):
    assert run("download", "sample", "--limit", "1", "-o", out).code == 0
    before = tree(out)
    ended = split(run)
    assert (ended.code, "another dataset lies here" in ended.err) == (3, True)
    assert tree(out) == before


def test_an_output_that_is_a_file_is_told(run, place, out):
    out.write_text("mine")
    ended = split(run)
    assert (ended.code, "[disk-error]" in ended.err) == (3, True)
    assert out.read_text() == "mine"


# inputs


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("", "wrong-content"),
        ("{", "wrong-content"),
        ("[]", "wrong-content"),
        ("{}", "wrong-content"),
        ('{"images": [], "annotations": [], "categories": []}', "unknown-content"),
    ],
)
def test_a_file_without_records_is_told(run, place, out, text, slug):
    (place / "annotations/instances_train2017.json").write_text(text)
    for more in ((), ("--clean",)):
        ended = split(run, *more)
        assert (ended.code, f"[{slug}]" in ended.err) == (3, True)
    assert not out.exists()


def test_a_file_that_is_no_annotation_file_is_told(run, tmp_path, out):
    (tmp_path / "notes.txt").write_text("hello")
    ended = run("split", tmp_path / "notes.txt", "--output", out, "--parts", "train=0.5,test=0.5")
    assert (ended.code, "notes.txt is a file, not a directory [place-missing]" in ended.err) == (3, True)
    assert "remove" not in ended.err
    assert not out.exists()


def test_a_file_that_is_not_there_is_told(run, out):
    ended = split(run)
    assert (ended.code, "[file-missing]" in ended.err) == (3, True)
    assert not out.exists()


@pytest.mark.parametrize(("text", "parts"), [("[]", 3), ('"annotations": []', 3)])
def test_images_alone_can_be_split(run, place, out, text, parts):
    data = annotations(list(range(1, 21)))
    data["annotations"] = []
    if text != "[]":
        data = {"images": data["images"]}
    (place / "annotations/instances_train2017.json").write_text(json.dumps(data))
    assert split(run).code == 0
    assert sum(part.records for part in told(out).parts) == 20


def test_an_empty_part_is_a_file_without_records(run, place, out):
    assert split(run, parts="train=1.0,test=0").code == 0
    data = json.loads((out / "instances_test.json").read_text())
    assert (data["images"], data["annotations"], len(data["categories"])) == ([], [], 2)
    assert (out / "instances_train.json").read_bytes() == (place / "annotations/instances_train2017.json").read_bytes()


# --extend


def test_a_split_of_other_data_is_not_extended(run, place, out):
    split(run)
    (place / "annotations/instances_val2017.json").rename(place / "annotations/instances_other.json")
    ended = run("split", "data/coco/annotations/instances_other.json", "-o", "o", "--parts", PARTS, "--extend", out)
    assert (ended.code, "none is here" in ended.err) == (2, True)


def test_a_split_with_other_parts_is_not_extended(run, place, out):
    split(run)
    ended = split(run, "--extend", out / "split.json", parts="train=0.9,valid=0.1")
    assert (ended.code, "does not name val, test" in ended.err) == (2, True)
    assert split(run, "--extend", out / "split.json", parts="train=0.7,val=0.1,test=0.1,more=0.1").code == 0


def test_a_split_that_is_not_there_is_not_extended(run, place, out):
    ended = split(run, "--extend", "nowhere.json")
    assert (ended.code, "[file-missing]" in ended.err, "nowhere.json" in ended.err) == (3, True, True)


def test_parts_that_stayed_need_not_be_named_to_be_extended(run, place, out):
    argv = ("split", "data/coco", "-o", "out", "--parts", "train=0.8,test=0.2")
    assert run(*argv).code == 0
    before = told(out)
    assert run(*argv, "--extend", "out/split.json").code == 0
    assert told(out).members == before.members


@pytest.fixture
def good(run, place, out):
    split(run)
    return msgspec.json.decode((out / "split.json").read_bytes())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda one: one.update(format_version=2), "format_version is 2"),
        (lambda one: one.update(seed="1"), "$.seed"),
        (lambda one: one.pop("members"), "members"),
        (lambda one: one["members"].pop("val"), "its members those of"),
        (lambda one: one["members"]["train"].append("x"), "members"),
        (lambda one: one["members"]["train"].__setitem__(0, one["members"]["test"][0]), "is in train and in test"),
        (lambda one: one["parts"].append(one["parts"][0]), "its parts are"),
        (lambda one: one["parts"][0].pop("name"), "$.parts[0]"),
        (lambda one: one["moved"].append({"key": 1}), "$.moved[0]"),
    ],
)
def test_a_damaged_split_is_told(good, change, words):
    change(good)
    with pytest.raises(BadRecord) as raised:
        load(msgspec.json.encode(good), "it")
    assert words in raised.value.message
    assert raised.value.hint


def test_a_split_that_is_no_json_is_told(run, place, out):
    for text in (b"", b"\xff", b"[1]", b"{" * 10_000, b'{"format_version": 9}'):
        with pytest.raises(BadRecord):
            load(text, "it")
    (place / "split.json").write_text("{}")
    ended = split(run, "--extend", place / "split.json")
    assert (ended.code, "[bad-record]" in ended.err) == (3, True)


@pytest.mark.parametrize("replaced", [[5], 5, [{"name": 3, "paths": []}]])
def test_a_record_that_says_nonsense_of_what_it_replaced_is_told(run, place, out, replaced):
    split(run)
    document = msgspec.json.decode((out / "dataset.json").read_bytes())
    document["steps"][0].setdefault("origin", {})["replaced"] = replaced
    (out / "dataset.json").write_bytes(msgspec.json.encode(document))
    ended = split(run)
    assert (ended.code, "[bad-record]" in ended.err) == (3, True), ended.err


def test_what_split_json_says_is_read_again_as_it_was(run, place, out):
    split(run)
    assert told(out).dump() == (out / "split.json").read_bytes()


# disks


def test_a_full_disk_leaves_what_was_there(run, place, small_disk):
    data = annotations(list(range(1, 40)))
    file = place / "annotations/instances_train2017.json"
    file.write_text(json.dumps(data))
    assert run("split", FILE, "-o", small_disk, "--parts", PARTS).code == 0
    before = tree(small_disk)
    data["info"]["more"] = "x" * 40_000
    file.write_text(json.dumps(data))
    ended = run("split", FILE, "-o", small_disk, "--parts", PARTS)
    assert (ended.code, "[disk-full]" in ended.err) == (3, True)
    assert tree(small_disk) == before
    assert not leftovers(small_disk)


def test_where_nothing_can_be_written_that_is_told(run, place, out, bound):
    out.mkdir()
    out.chmod(0o500)
    ended = split(run)
    out.chmod(0o700)
    assert (ended.code, "[access-denied]" in ended.err) == (3, True)
    assert not list(out.iterdir())


# S3


def test_parts_go_to_s3_and_come_from_there(run, place, bucket, out):
    argv = ("-o", f"s3://{bucket}/splits", "--parts", PARTS, "--seed", "5")
    assert run("split", FILE, *argv).code == 0
    again = run("split", FILE, *argv)
    assert (again.code, "nothing was written" in again.out) == (0, True)
    assert run("download", f"s3://{bucket}/splits", "-o", "got").code == 0
    split(run, "--seed", "5")
    for part in ("train", "val", "test"):
        name = f"instances_{part}.json"
        assert (out.parent / "got" / name).read_bytes() == (out / name).read_bytes()
    assert run("upload", place, f"s3://{bucket}/coco").code == 0
    far = run(
        "split",
        f"s3://{bucket}/coco/annotations/instances_train2017.json",
        "-o",
        "far",
        "--parts",
        PARTS,
        "--seed",
        "5",
    )
    assert far.code == 0, far.err
    assert told(out.parent / "far").members == told(out).members
    assert (out.parent / "far/instances_val.json").read_bytes() == (out / "instances_val.json").read_bytes()
    ended = run("split", FILE, *argv, "--extend", f"s3://{bucket}/splits/split.json")
    assert ended.code == 0, ended.err
    ended = run("split", FILE, *argv, "--how", "links")
    assert (ended.code, "S3 has no links" in ended.err) == (2, True)


# kills


def test_killed_at_any_moment_the_same_command_ends_in_the_same_bytes(run, tmp_path):
    data = annotations(list(range(1, 3001)))
    file = tmp_path / "in/annotations/instances_train2017.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(data))
    out, undisturbed = tmp_path / "out", tmp_path / "undisturbed"

    def command(number, target=out):
        parts = PARTS if number % 2 else "fit=0.5,check=0.3,test=0.2"
        return ("split", file, "-o", target, "--parts", parts, "--name", "n", "--seed", str(number))

    def check(number):
        shutil.rmtree(undisturbed, ignore_errors=True)
        if number:
            assert run(*command(number - 1, undisturbed)).code == 0
        assert run(*command(number, undisturbed)).code == 0
        mine, theirs = tree(out), tree(undisturbed)
        assert mine.keys() == theirs.keys()
        assert {path for path in mine if mine[path] != theirs[path]} <= {"dataset.json", ".visprep/manifest.jsonl"}
        assert not leftovers(out)
        assert "nothing was written" in run(*command(number)).out

    def at_work(_):
        return (out / ".visprep/in-progress").exists() or (out / ".visprep/cache/parts").exists()

    random_kills(command, at_work, check, 11, tries=kill_count(12), longest=0.12)
