"""`visprep fix`: bad images put aside, put back to the byte, or fetched again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zipfile

import pytest
from PIL import Image

import visprep
from coco_place import annotations, edited, make
from conftest import tree
from visprep.changes import begin
from visprep.provenance import step
from visprep.quarantine import Quarantine
from visprep.stores import open_store
from visprep.testing import Mirror
from visprep.testing.coco import lay_out

VAL = "annotations/instances_val2017.json"
CLEANED = "annotations/instances_val2017.cleaned.json"
BAD = "val2017/000000000007.jpg"
MISSING = "val2017/000000000008.jpg"


@pytest.fixture
def place(tmp_path):
    return make(tmp_path / "coco")


@pytest.fixture
def upstream(tmp_path):
    with Mirror(make(tmp_path / "upstream")) as mirror:
        yield mirror


@pytest.fixture
def recorded(tmp_path):
    """A place with a manifest and a record of where it came from."""
    visprep.download(str(make(tmp_path / "origin")), tmp_path / "coco")
    return tmp_path / "coco"


def spoil(place):
    (place / BAD).write_bytes((place / BAD).read_bytes()[:-64])
    (place / MISSING).unlink(missing_ok=True)


def everything(place):
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


def codes(place, **options):
    return sorted(one.code for one in visprep.verify(place, **options).findings)


# quarantine


def test_bad_images_are_put_aside_and_back(run, place):
    spoil(place)
    before = everything(place)
    ended = run("fix", place, "--how", "quarantine")
    assert (ended.code, "1 image put aside" in ended.err, CLEANED in ended.err) == (0, True, True)
    assert not (place / BAD).exists()
    assert (place / ".visprep/quarantine" / BAD).read_bytes() == before[BAD]
    assert (place / VAL).read_bytes() == before[VAL]
    kept = json.loads((place / CLEANED).read_text())
    assert [one["id"] for one in kept["images"]] == [9]
    assert {one["image_id"] for one in kept["annotations"]} == {9}
    assert kept["licenses"] == json.loads(before[VAL])["licenses"]
    assert run("verify", place / CLEANED).code == 0
    ended = run("fix", place, "--undo")
    assert (ended.code, "1 file put back" in ended.err) == (0, True)
    assert everything(place) == before


def test_the_cleaned_file_in_place_of_the_old_one_is_sound(place):
    spoil(place)
    visprep.fix(place, "quarantine")
    (place / CLEANED).replace(place / VAL)
    assert codes(place) == []


def test_what_is_left_verifies_without_an_error(run, recorded):
    spoil(recorded)
    ended = run("fix", recorded, "--how", "quarantine")
    assert f"visprep fix {recorded} --undo" in ended.err
    assert codes(recorded, depth="content") == ["annotations-set-aside"]
    after = tree(recorded)
    ended = run("fix", recorded, "--how", "quarantine")
    assert (ended.code, "nothing to do" in ended.err, "note:" in ended.err) == (0, True, False)
    assert tree(recorded) == after


def test_of_thousands_of_missing_images_all_are_taken_out(place):
    data = json.loads((place / VAL).read_text())
    data["images"] += [data["images"][0] | {"id": id, "file_name": f"{id:012}.jpg"} for id in range(1000, 2100)]
    (place / VAL).write_text(json.dumps(data))
    result = visprep.fix(place, "quarantine")
    assert (result.written, result.left) == ((CLEANED,), 0)
    assert len(json.loads((place / CLEANED).read_text())["images"]) == 3


def test_with_a_bad_mask_its_image_goes_out_of_the_panoptic_file(place):
    name = "annotations/panoptic_val2017.json"
    masks = place / "annotations/panoptic_val2017"
    masks.mkdir()
    data = annotations([7, 8, 9])
    data["annotations"] = [
        {"image_id": id, "file_name": f"{id:012}.png",
         "segments_info": [{"id": 1, "category_id": 1, "area": 6144, "bbox": [0, 0, 96, 64], "iscrowd": 0}]}
        for id in (7, 8, 9)
    ]  # fmt: skip
    data["categories"] = [{"id": 1, "name": "person", "supercategory": "person", "isthing": 1, "color": [1, 2, 3]}]
    (place / name).write_text(json.dumps(data))
    for id in (7, 8, 9):
        Image.new("RGB", (96, 64), (1, 0, 0)).save(masks / f"{id:012}.png")
    assert codes(place) == []
    mask = masks / "000000000008.png"
    mask.write_bytes(mask.read_bytes()[:-30])
    result = visprep.fix(place, "quarantine")
    assert (result.quarantined, result.left) == ((mask.relative_to(place).as_posix(),), 0)
    assert codes(place) == ["annotations-set-aside"]


def test_errors_that_no_way_to_fix_is_for_are_counted(run, place):
    (place / VAL).write_text((place / VAL).read_text().replace("10.0", "NaN"))
    before = everything(place)
    for options in (("--how", "quarantine"), ("--how", "refetch", "--mirror", place)):
        ended = run("fix", place, *options)
        assert (ended.code, "nothing to do" in ended.err, "does not repair" in ended.err) == (1, True, True)
    assert everything(place) == before


def test_a_sound_place_is_left_alone(run, place):
    before = everything(place)
    ended = run("fix", place, "--how", "quarantine", "--json")
    assert (ended.code, json.loads(ended.out)["quarantined"]) == (0, [])
    assert everything(place) == before
    assert "[file-missing]" in run("fix", place, "--undo").err


def test_the_record_of_a_place_follows_and_is_put_back(recorded):
    spoil(recorded)
    before = tree(recorded)
    visprep.fix(recorded, "quarantine")
    assert (recorded / ".visprep/manifest.jsonl").read_bytes() != before[".visprep/manifest.jsonl"]
    steps = json.loads((recorded / "dataset.json").read_text())["steps"]
    assert (steps[-1]["command"], steps[-1]["source"]) == ("fix", "quarantine")
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before


def test_twice_is_undone_at_once(place):
    spoil(place)
    before = everything(place)
    visprep.fix(place, "quarantine")
    third = place / "val2017/000000000009.jpg"
    whole = third.read_bytes()
    third.write_bytes(b"")
    result = visprep.fix(place, "quarantine")
    assert result.quarantined == ("val2017/000000000009.jpg",)
    assert json.loads((place / CLEANED).read_text())["images"] == []
    visprep.fix(place, undo=True)
    assert third.read_bytes() == b""
    third.write_bytes(whole)
    assert everything(place) == before


def test_what_somebody_changed_since_is_not_overwritten(run, place):
    spoil(place)
    visprep.fix(place, "quarantine")
    with edited(place / CLEANED) as data:
        data["info"]["mine"] = True
    before = everything(place)
    for argv in (("fix", place, "--undo"), ("fix", place, "--how", "quarantine")):
        ended = run(*argv)
        assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
        assert everything(place) == before


def test_a_place_that_another_command_changed_since_is_not_put_back(run, recorded, tmp_path):
    spoil(recorded)
    visprep.fix(recorded, "quarantine")
    visprep.download(str(tmp_path / "origin" / "train2017"), recorded, overwrite=True)
    before = tree(recorded)
    for argv in (("--undo",), ("--how", "quarantine")):
        (recorded / "train2017/000000000001.jpg").write_bytes(b"")
        assert "[would-overwrite]" in run("fix", recorded, *argv).err
    (recorded / "train2017/000000000001.jpg").write_bytes(before["train2017/000000000001.jpg"])
    assert tree(recorded) == before


def test_an_image_that_came_back_is_not_overwritten(run, place):
    spoil(place)
    visprep.fix(place, "quarantine")
    (place / BAD).write_bytes(b"mine")
    assert "[would-overwrite]" in run("fix", place, "--undo").err
    assert (place / BAD).read_bytes() == b"mine"


def test_a_file_of_that_name_is_not_overwritten(run, place):
    spoil(place)
    (place / CLEANED).write_text("{}")
    before = everything(place)
    ended = run("fix", place, "--how", "quarantine")
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert everything(place) == before


def test_a_damaged_record_of_the_quarantine_is_refused(run, place):
    spoil(place)
    visprep.fix(place, "quarantine")
    record = place / ".visprep/quarantine/undo.json"
    for text in ("", "[]", '{"format_version": 2}', record.read_text().replace(BAD, "../../x")):
        record.write_text(text)
        ended = run("fix", place, "--undo")
        assert (ended.code, any(slug in ended.err for slug in ("[bad-record]", "[unsafe-path]"))) == (3, True)


def test_what_to_do_about_files_in_the_way_is_said_and_works(run, recorded):
    spoil(recorded)
    before = tree(recorded)
    visprep.fix(recorded, "quarantine")
    (recorded / BAD).write_bytes(before["val2017/000000000009.jpg"])
    (recorded / CLEANED).write_bytes(before[VAL] + b" ")
    for argv in (("--undo",), ("--how", "quarantine")):
        ended = run("fix", recorded, *argv)
        assert (ended.code, "--output" in ended.err, "--overwrite" in ended.err) == (3, False, False)
    assert "move them away and use --undo again" in run("fix", recorded, "--undo").err
    (recorded / BAD).unlink()
    (recorded / CLEANED).unlink()
    assert run("fix", recorded, "--undo").code == 0
    assert tree(recorded) == before


def test_an_image_that_came_back_as_bad_is_not_lost(run, recorded):
    spoil(recorded)
    visprep.fix(recorded, "quarantine")
    (recorded / BAD).write_bytes(b"")
    before = tree(recorded)
    ended = run("fix", recorded, "--how", "quarantine")
    assert (ended.code, "[would-overwrite]" in ended.err, ".visprep/quarantine" in ended.err) == (3, True, True)
    assert tree(recorded) == before


#: What a command does to a directory, and the number of the deed at which it is killed.
KILLED = """
import os, sys, visprep
place, last, how = sys.argv[1], int(sys.argv[2]), sys.argv[3] or None
deeds = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}
def hook(event, given):
    global last
    if event in deeds or (event == "open" and isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR)):
        last -= 1
        if not last:
            os.kill(os.getpid(), 9)
sys.addaudithook(hook)
visprep.fix(place, how, undo=not how)
"""


def killed(place, deed, how):
    words = [sys.executable, "-B", "-c", KILLED, str(place), str(deed), how]
    return subprocess.run(words, stderr=subprocess.DEVNULL, timeout=100).returncode == -9


@pytest.mark.parametrize("deed", [12, 22, 32])
def test_killed_at_any_deed_it_can_be_undone_and_gone_on_with(run, recorded, deed, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    spoil(recorded)
    before = tree(recorded)
    visprep.fix(recorded, "quarantine")
    after = tree(recorded)
    visprep.fix(recorded, undo=True)
    assert killed(recorded, deed, "quarantine")
    status = visprep.status(recorded)
    if status.begun:
        ended = run("download", recorded.parent / "origin", "--output", recorded)
        assert (ended.code, "[place-incomplete]" in ended.err) == (3, True)
        assert "[place-incomplete]" in run("fix", recorded, "--how", "refetch", "--mirror", "o").err
        assert status.go_on == f"visprep fix {recorded} --how quarantine"
        assert status.finished == (recorded / ".visprep/quarantine" / BAD).exists()
    visprep.fix(recorded, "quarantine")
    assert tree(recorded) == after
    killed(recorded, deed - 9, "")
    with contextlib.suppress(visprep.errors.FileMissing):
        visprep.fix(recorded, undo=True)
    assert tree(recorded) == before


@pytest.mark.parametrize("moved", [0, 1])
def test_what_a_kill_left_can_be_undone_or_gone_on_with(recorded, moved):
    third = "val2017/000000000009.jpg"
    (recorded / third).write_bytes(b"")
    spoil(recorded)
    before = tree(recorded)
    bad, store = [BAD, third], open_store(str(recorded))
    quarantine = Quarantine(store)
    quarantine.open(bad, {CLEANED: "sha256:0"}, recorded=True)
    for path in bad[:moved]:
        quarantine.move(path)
    for torn in (None, "", '{"format_version": 1, "st'):  # no marker yet, or one that tells nothing
        if torn is not None:
            (recorded / ".visprep/in-progress").write_text(torn)
        with pytest.raises(visprep.errors.PlaceIncomplete) as refused:
            visprep.download(str(recorded.parent / "origin"), recorded)
        assert visprep.status(recorded).go_on == f"visprep fix {recorded} --how quarantine"
        assert visprep.status(recorded).go_on in refused.value.hint
        with pytest.raises(visprep.errors.PlaceIncomplete):
            visprep.fix(recorded, "refetch", mirror=str(recorded.parent / "origin"))
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before
    quarantine = Quarantine(store)
    quarantine.open(bad, {CLEANED: "sha256:0"}, recorded=True)
    for path in bad[:moved]:
        quarantine.move(path)
    visprep.fix(recorded, "quarantine")
    assert json.loads((recorded / CLEANED).read_text())["images"] == []
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before


# refetch


def test_bad_and_missing_images_are_fetched_again(run, recorded, upstream):
    before = tree(recorded)
    spoil(recorded)
    ended = run("fix", recorded, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "2 images fetched again" in ended.err) == (0, True)
    assert tree(recorded) == before
    assert len([one for one in upstream.requests if one.line.startswith("GET ")]) == 2
    assert codes(recorded, depth="content") == []


def test_a_place_may_stand_for_a_mirror(tmp_path, bucket):
    visprep.upload(str(make(tmp_path / "origin")), f"s3://{bucket}/coco")
    visprep.download(f"s3://{bucket}/coco", tmp_path / "coco")
    recorded = tmp_path / "coco"
    before = tree(recorded)
    spoil(recorded)
    result = visprep.fix(recorded, "refetch", mirror=f"s3://{bucket}/coco")
    assert result.refetched == (BAD, MISSING)
    assert tree(recorded) == before


def test_what_decodes_and_is_not_as_recorded_is_fetched_again(recorded, upstream):
    before = tree(recorded)
    (recorded / BAD).write_bytes(before["val2017/000000000009.jpg"])
    assert visprep.fix(recorded, "refetch", mirror=upstream.url).refetched == (BAD,)
    assert tree(recorded) == before


def test_of_a_directory_nothing_tells_where_it_is(run, recorded):
    spoil(recorded)
    before = tree(recorded)
    ended = run("fix", recorded, "--how", "refetch")
    assert (ended.code, "[usage]" in ended.err) == (2, True)
    assert tree(recorded) == before


def test_a_download_of_coco_is_fetched_again_from_its_mirrors(run, tmp_path):
    lay_out(tmp_path / "server")
    with Mirror(tmp_path / "server") as server:
        words = ("--mirror", server.url, "--checksums", tmp_path / "server/SHA256SUMS", "--output", tmp_path / "got")
        assert run("download", "coco", *words).code == 0
        before = tree(tmp_path / "got")
        first, second, *_ = sorted(tmp_path.glob("got/val2017/*.jpg"))
        first.write_bytes(first.read_bytes()[:-9])
        second.unlink()
        assert run("fix", tmp_path / "got", "--how", "refetch", "--mirror", server.url).code == 0
        assert tree(tmp_path / "got") == before


def test_without_a_record_a_mirror_must_be_named(run, place, upstream):
    whole = everything(place)
    spoil(place)
    ended = run("fix", place, "--how", "refetch")
    assert (ended.code, "[usage]" in ended.err) == (2, True)
    ended = run("fix", place, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "note: 2 images of these decode, and no manifest" in ended.err) == (0, True)
    assert everything(place) == whole


def test_what_arrives_and_is_bad_too_is_not_taken(run, place, upstream, tmp_path):
    spoil(place)
    before = everything(place)
    (tmp_path / "upstream" / BAD).write_bytes(b"<html>not found</html>")
    (tmp_path / "upstream" / MISSING).write_bytes(before[BAD])
    ended = run("fix", place, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "bad too" in ended.err) == (3, True)
    assert everything(place) == before


def test_what_cannot_be_had_stays_as_it_is(run, recorded, upstream):
    spoil(recorded)
    before = tree(recorded)
    upstream.fault("GET /val2017", times=100, status=404)
    ended = run("fix", recorded, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "[incomplete]" in ended.err) == (3, True)
    assert tree(recorded) == before


def test_other_bytes_than_the_recorded_ones_are_not_taken(run, recorded, upstream, tmp_path):
    spoil(recorded)
    before = tree(recorded)
    (tmp_path / "upstream" / BAD).write_bytes((tmp_path / "upstream/val2017/000000000009.jpg").read_bytes())
    ended = run("fix", recorded, "--how", "refetch", "--mirror", upstream.url)
    assert ended.code == 3
    assert (recorded / BAD).read_bytes() == before[BAD]
    assert (recorded / MISSING).exists()


def test_nothing_bad_asks_nobody(run, recorded, upstream):
    ended = run("fix", recorded, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "nothing to do" in ended.err, upstream.requests) == (0, True, [])


# usage


def test_a_second_fix_does_not_disturb_the_first(place):
    spoil(place)
    draft = place / ".visprep/cache/fix/draft"
    store = open_store(str(place))
    with begin(store, step("fix", "quarantine")):
        draft.parent.mkdir(parents=True)
        draft.write_text("of the first")
        for options in ({"how": "quarantine"}, {"how": "refetch", "mirror": str(place)}, {"undo": True}):
            with pytest.raises(visprep.errors.PlaceBusy):
                visprep.fix(place, **options)
        assert draft.exists()


@pytest.mark.parametrize(
    "options", [(), ("--how", "refetch", "--undo"), ("--how", "delete"), ("--undo", "--mirror", "o")]
)
def test_what_makes_no_sense_is_refused(run, place, options):
    assert run("fix", place, *options).code == 2


def test_only_a_directory_can_be_fixed(run, place, tmp_path):
    with zipfile.ZipFile(tmp_path / "coco.zip", "w") as archive:
        for path in sorted(place.rglob("*.*")):
            archive.write(path, path.relative_to(place))
    for words in (("--how", "quarantine"), ("--how", "refetch"), ("--undo",)):
        ended = run("fix", tmp_path / "coco.zip", *words)
        assert (ended.code, "only a directory can be fixed" in ended.err) == (2, True)
    assert "[usage]" in run("fix", "s3://bucket/coco", "--undo").err
    ended = run("fix", tmp_path / "none", "--how", "quarantine")
    assert (ended.code, "[place-missing]" in ended.err, "hint: " in ended.err) == (3, True, True)
