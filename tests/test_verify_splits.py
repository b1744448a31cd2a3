"""`visprep verify` of a place of parts: split.json against the files, and these against the images that they name."""

from __future__ import annotations

import json
import shutil

import pytest

import scenes
import visprep
from coco_place import annotations, edited, make
from visprep.errors import UnknownContent
from visprep.rules import splits as rules
from visprep.split_check import RULES


@pytest.fixture
def coco(tmp_path, monkeypatch):
    """Where two parts of COCO's train2017 lie, beside the data."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "data/coco", train=12, val=3)
    visprep.split(
        "data/coco/annotations/instances_train2017.json",
        output="data/parts", parts="first=0.5,second=0.5", method="exact", name="own",
    )  # fmt: skip
    return tmp_path / "data/parts"


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    visprep.download("sample", "data/questions", limit=8)
    visprep.split("data/questions", output="data/parts", parts="train=0.5,test=0.5", method="exact")
    return tmp_path / "data/parts"


def found(place, **options):
    return sorted((one.code, one.path) for one in visprep.verify(place, **options).findings)


def test_what_split_wrote_is_sound(coco, run):
    report = visprep.verify(coco)
    assert (report.findings, report.format) == ((), "splits")
    assert dict(report.checked) == {"parts": 2, "records": 12, "annotations": 24, "files": 3}
    for depth in ("names", "sizes", "headers", "content"):
        assert visprep.verify(coco, depth=depth).findings == ()
    assert set(RULES) <= set(report.rules)


@pytest.mark.parametrize("how", ["copies", "links"])
def test_parts_with_their_images_are_looked_at_as_a_dataset_too(tmp_path, coco, monkeypatch, how):
    source = "data/coco/annotations/instances_train2017.json"
    visprep.split(source, output="data/both", parts="train=0.5,test=0.5", method="exact", how=how)
    report = visprep.verify("data/both")
    assert (report.findings, report.checked["images"]) == ((), 12)
    image = next((tmp_path / "data/both/train").rglob("*.jpg"))
    data = image.read_bytes()
    image.unlink()
    image.write_bytes(data[:-40])
    assert "image-truncated" in {code for code, _ in found("data/both")}


def test_the_images_are_looked_for_where_split_found_them(coco, tmp_path, monkeypatch):
    monkeypatch.chdir("/")  # from the place itself upwards
    assert found(coco) == []
    image = sorted((tmp_path / "data/coco/train2017").iterdir())[0]
    image.unlink()
    ((code, path),) = found(coco)
    assert (code, path in ("own_first.json", "own_second.json")) == ("image-missing", True)


def test_images_that_are_nowhere_are_a_note(coco, tmp_path):
    shutil.rmtree(tmp_path / "data/coco")
    report = visprep.verify(coco)
    (one,) = report.findings
    assert (report.failed, one.code, one.path, one.hint) == (
        False, "images-absent", "split.json", "run it where split was run"
    )  # fmt: skip


def test_of_an_annotation_file_without_its_images_nobody_is_sent_elsewhere(coco, tmp_path):
    shutil.rmtree(tmp_path / "data/coco/train2017")
    (one,) = visprep.verify(coco).findings
    source = "data/coco/annotations/instances_train2017.json"
    assert (one.code, f"{source} is here, and none of its images" in one.message) == ("images-absent", True)
    assert one.hint == f"bring them to where {source} expects them, and verify again"


def test_of_a_dataset_on_s3_it_is_told_what_looks_at_the_images(coco, tmp_path, bucket):
    visprep.sync("data/coco", f"s3://{bucket}/coco")
    source = f"s3://{bucket}/coco/annotations/instances_train2017.json"
    visprep.split(source, output="data/far", parts="train=0.5,test=0.5", method="exact")
    (one,) = visprep.verify("data/far").findings
    assert (one.code, f"{source} is not on this machine" in one.message) == ("images-absent", True)
    assert one.hint == "visprep leaks data/far looks at all of them"
    assert visprep.leaks("data/far").result == "no leaks"


@pytest.fixture(params=["data/coco", "data/coco/annotations/labels.json"])
def odd(request, tmp_path, monkeypatch):
    """`odd(images)`: parts of images in that directory, whose annotations tell nothing of it by their name."""
    monkeypatch.chdir(tmp_path)
    place = make(tmp_path / "data/coco", train=12, val=0)
    (place / "annotations/instances_val2017.json").unlink()
    (place / "annotations/instances_train2017.json").rename(place / "annotations/labels.json")

    def split(images):
        (place / images).mkdir(parents=True, exist_ok=True)
        for path in (place / "train2017").iterdir():
            path.rename(place / images / path.name)
        visprep.split(request.param, output="data/parts", parts="train=0.5,test=0.5", method="exact")
        return place / images

    return split


@pytest.mark.parametrize("images", ["images", "images/annotations", "annotations/images", "annotations"])
def test_images_are_found_in_the_usual_directories(odd, images):
    there = odd(images)
    assert found("data/parts") == []
    sorted(there.glob("*.jpg"))[4].unlink()
    assert [code for code, _ in found("data/parts")] == ["image-missing"]


def test_images_in_a_directory_of_no_usual_name_are_found_or_a_note(odd, request):
    odd("pictures")
    (whole,) = request.node.callspec.params.values()
    assert [code for code, _ in found("data/parts")] == ([] if whole == "data/coco" else ["images-absent"])


def test_images_of_the_same_names_in_another_directory_are_none_of_them(odd, tmp_path):
    there = odd("images")
    shutil.copy(next(there.glob("*.jpg")), tmp_path / "data/coco/annotations")
    assert found("data/parts") == []


def test_where_none_of_the_images_is_there_that_is_a_note(coco, tmp_path):
    for path in (tmp_path / "data/coco/train2017").iterdir():
        path.unlink()
    assert found(coco) == [("images-absent", "split.json")]


@pytest.mark.parametrize("images", ["../" * 30 + "usr", "/usr", "..", "train2017/../train2017", "a\0b", "x" * 3000])
def test_a_stranger_cannot_have_the_machine_looked_through(coco, images):
    """Of what split.json says of a directory outside nothing is looked at, not even whether it is there."""
    shutil.rmtree(coco / ".visprep")
    with edited(coco / "split.json") as told:
        told["inputs"][0]["images"] = images
    assert found(coco) == [("images-absent", "split.json")]


@pytest.mark.parametrize("name", ["x" * 300 + ".jpg", "../train2017/{}", "/{}", "a\0.jpg"])
def test_names_of_images_that_no_disk_takes_are_missing(coco, name):
    with edited(coco / "own_first.json") as data:
        first = data["images"][0]
        first["file_name"] = name.replace("{}", first["file_name"])
    shutil.rmtree(coco / ".visprep")
    told = {one.code: one for one in visprep.verify(coco).findings}
    assert "image-missing" in told, told
    assert told["image-missing"].where["count"] == 1


def test_images_of_several_places_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = []
    for site in ("here", "there"):
        make(tmp_path / "data" / site, train=6, val=0)
        files.append(f"data/{site}/annotations/instances_train2017.json")
    with edited(tmp_path / files[1]) as data:
        for one in (*data["images"], *data["annotations"]):
            one["id"] += 100
        for one in data["annotations"]:
            one["image_id"] += 100
    visprep.split(files, output="data/parts", parts="train=0.5,test=0.5", method="exact")
    assert found("data/parts", ignore=("image-id-of-name",)) == []
    sorted((tmp_path / "data/there/train2017").iterdir())[2].unlink()
    assert [code for code, _ in found("data/parts", ignore=("image-id-of-name",))] == ["image-missing"]


def test_images_of_several_directories_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    visprep.download("sample", "data/coco", config="coco")
    visprep.split("data/coco", output="data/parts", parts="train=0.5,val=0.5", method="exact")
    assert found("data/parts") == []
    names = {
        one["file_name"] for one in json.loads((tmp_path / "data/parts/instances_train.json").read_text())["images"]
    }
    assert {name.partition("/")[0] for name in names} == {"train2017", "val2017"}


def test_an_image_taken_out_by_hand_is_told(coco):
    with edited(coco / "own_first.json") as data:
        gone = data["images"].pop()
        data["annotations"] = [one for one in data["annotations"] if one["image_id"] != gone["id"]]
    assert ("part-differs", "own_first.json") in found(coco)
    told = [one for one in visprep.verify(coco).findings if one.code == rules.PART_DIFFERS.code]
    assert [one.where["key"] for one in told] == [gone["file_name"]]


def test_a_file_written_anew_with_the_same_images_is_told_by_its_manifest(coco):
    with edited(coco / "own_first.json") as data:
        data["info"] = {"description": "formatted anew"}
    assert {code for code, _ in found(coco)} == {"file-size"}


def test_a_record_in_two_parts_is_a_leak(coco):
    other = json.loads((coco / "own_second.json").read_text())["images"][0]
    with edited(coco / "own_first.json") as data:
        data["images"].append(other)
    assert ("leak-across-parts", "own_second.json") in found(coco)
    assert ("part-differs", "own_first.json") in found(coco)


def test_without_a_manifest_the_files_are_held_against_split_json(coco):
    shutil.rmtree(coco / ".visprep")
    assert found(coco, depth="content") == []
    path = coco / "own_second.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"a test", b"a TEST"))
    assert found(coco) == []
    assert found(coco, depth="content") == [("part-differs", "own_second.json")]
    path.write_bytes(data + b"\n")
    assert found(coco) == [("part-differs", "own_second.json")]
    path.unlink()
    assert found(coco) == [("part-differs", "own_second.json")]


def test_with_a_manifest_one_fault_is_told_once(coco):
    (coco / "own_second.json").unlink()
    assert [code for code, path in found(coco) if path == "own_second.json"] == ["file-missing"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"format_version": 1', '"format_version": 99'),
        lambda text: "[]",
    ],
)
def test_a_damaged_split_json_is_told(coco, damage):
    path = coco / "split.json"
    path.write_text(damage(path.read_text()))
    assert ("split-damaged", "split.json") in found(coco)


def test_a_member_of_two_parts_makes_it_damaged(coco):
    path = coco / "split.json"
    told = json.loads(path.read_text())
    told["members"]["first"][0] = told["members"]["second"][0]
    path.write_text(json.dumps(told))
    assert ("split-damaged", "split.json") in found(coco)


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: told["outputs"][0].update(part="nope"),
        lambda told: told.update(inputs=[]),
        lambda told: told.update(tying=[told["members"]["first"][0]] * 2),
        lambda told: told.update(absent={"nope": []}),
    ],
)
def test_what_contradicts_itself_is_damaged(run, coco, damage):
    with edited(coco / "split.json") as told:
        damage(told)
    assert ("split-damaged", "split.json") in found(coco)
    for argv in (("leaks", coco), ("split", "data/coco", "--extend", coco / "split.json", "--parts", "first=1.0")):
        ended = run(*argv)
        assert (ended.code, "[bad-record]" in ended.err) == (3, True), ended.err


def test_the_split_json_of_another_tool_is_not_looked_into(tmp_path):
    place = make(tmp_path / "coco")
    (place / "split.json").write_text('{"train": ["a"], "val": ["a"]}')
    report = visprep.verify(place)
    assert (report.format, report.findings) == ("coco", ())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/split.json").write_text("{}")
    with pytest.raises(UnknownContent):
        visprep.verify(tmp_path / "other")


def test_lists_of_tasks_are_held_against_split_json(tasks):
    report = visprep.verify(tasks)
    assert (report.findings, dict(report.checked)) == ((), {"parts": 2, "records": 8, "files": 3})
    lines = (tasks / "test.txt").read_text().splitlines()
    with (tasks / "train.txt").open("a") as out:
        out.write(f"{lines[0]}\n")
    assert set(found(tasks)) == {
        ("file-size", "train.txt"),
        ("leak-across-parts", "test.txt"),
        ("part-differs", "train.txt"),
    }


def test_several_kinds_of_annotations_may_name_other_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = make(tmp_path / "data/coco", train=12, val=3)
    captions = annotations(list(range(1, 11)), "captions")
    (place / "annotations/captions_train2017.json").write_text(json.dumps(captions))
    files = [f"data/coco/annotations/{kind}_train2017.json" for kind in ("instances", "captions")]
    visprep.split(files, output="data/parts", parts="train=0.5,test=0.5", method="exact")
    assert found("data/parts") == []


def test_on_s3_the_parts_are_looked_at_and_the_images_are_not(coco, bucket):
    visprep.sync(coco, f"s3://{bucket}/parts")
    report = visprep.verify(f"s3://{bucket}/parts")
    assert (report.failed, [one.code for one in report.findings]) == (False, ["images-absent"])


def test_images_beside_their_annotations_are_found(tmp_path, monkeypatch):
    """As some exporters lay them out: all in one directory."""
    monkeypatch.chdir(tmp_path)
    place = make(tmp_path / "data/flat", train=12, val=3)
    for path in place.glob("train2017/*.jpg"):
        path.rename(place / path.name)
    (place / "annotations/instances_train2017.json").rename(place / "_annotations.coco.json")
    split = {"output": "data/parts", "parts": "train=0.5,test=0.5", "method": "exact"}
    visprep.split("data/flat/_annotations.coco.json", **split, clean=True)
    assert found("data/parts") == []
    next(iter(place.glob("*.jpg"))).unlink()
    assert [code for code, _ in found("data/parts")] == ["image-missing"]


@pytest.fixture(params=["copies", "links"])
def filed(request, tmp_path, monkeypatch):
    """How to split data so that its files lie in the parts, and nothing but split.json tells of them."""
    monkeypatch.chdir(tmp_path)

    def split(layout, source="data"):
        files = {f"{number}.jpg": scenes.photo(number) for number in range(4)}
        others = {f"{number}.jpg": scenes.photo(number + 4) for number in range(4)}
        layout(tmp_path / "data", {"easy": files, "hard": others})
        done = visprep.split(source, output="parts", parts="train=0.5,test=0.5", method="exact", how=request.param)
        assert "part-differs" not in {code for code, _ in found("parts")}
        shutil.rmtree(tmp_path / "parts/.visprep")
        return done

    return split


@pytest.mark.parametrize("layout", [scenes.tasks, scenes.vton, scenes.frames, scenes.images])
@pytest.mark.parametrize("source", ["data", "data/easy"])
def test_records_that_lie_in_the_parts_are_held_against_split_json(filed, tmp_path, layout, source):
    filed(layout, source)
    ours = {"part-differs", "leak-across-parts"}
    assert not [one for one in found("parts") if one[0] in ours]
    lost = next(path for path in sorted((tmp_path / "parts/train").rglob("*.*")) if path.is_file())
    stem = lost.name.partition("_")[0] if layout is scenes.vton else lost.parent.name
    home = lost.parent.parent
    own = [path for path in home.rglob("*.*") if path.name.startswith(f"{stem}_") or path.parent.name == stem]
    own = [lost] if layout is scenes.images else own
    for path in own:
        there = tmp_path / "parts/test" / path.relative_to(tmp_path / "parts/train")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    told = {one for one in found("parts", depth="names") if one[0] in ours}
    assert {code for code, _ in told} == ours
    assert ("part-differs", "test") in told
    assert ("part-differs", "train") not in told
    for path in own:
        path.unlink()
    assert {one for one in found("parts") if one[0] in ours} == {("part-differs", "test"), ("part-differs", "train")}
    for path in own:
        (tmp_path / "parts/test" / path.relative_to(tmp_path / "parts/train")).unlink()
    assert {one for one in found("parts") if one[0] in ours} == {("part-differs", "train")}
