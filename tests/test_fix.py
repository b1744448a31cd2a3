"""`visprep fix`: bad images put aside, put back to the byte, or fetched again."""

from __future__ import annotations

import json

import pytest

import visprep
from coco_place import edited, make
from conftest import tree
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
    assert (ended.code, "1 images put aside" in ended.err, CLEANED in ended.err) == (0, True, True)
    assert not (place / BAD).exists()
    assert (place / ".visprep/quarantine" / BAD).read_bytes() == before[BAD]
    assert (place / VAL).read_bytes() == before[VAL]
    kept = json.loads((place / CLEANED).read_text())
    assert [one["id"] for one in kept["images"]] == [9]
    assert {one["image_id"] for one in kept["annotations"]} == {9}
    assert kept["licenses"] == json.loads(before[VAL])["licenses"]
    assert run("verify", place / CLEANED).code == 0
    ended = run("fix", place, "--undo")
    assert (ended.code, "1 files put back" in ended.err) == (0, True)
    assert everything(place) == before


def test_the_cleaned_file_in_place_of_the_old_one_is_sound(place):
    spoil(place)
    visprep.fix(place, "quarantine")
    (place / CLEANED).replace(place / VAL)
    assert codes(place) == []


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
    for argv in (("fix", recorded, "--undo"),):
        assert "[would-overwrite]" in run(*argv).err
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


@pytest.mark.parametrize("moved", [0, 1])
def test_what_a_kill_left_can_be_undone_or_gone_on_with(recorded, moved):
    third = "val2017/000000000009.jpg"
    (recorded / third).write_bytes(b"")
    spoil(recorded)
    before = tree(recorded)
    bad, store = [BAD, third], open_store(str(recorded))
    quarantine = Quarantine(store)
    quarantine.open(bad, [CLEANED], recorded=True)
    for path in bad[:moved]:
        quarantine.move(path)
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before
    quarantine = Quarantine(store)
    quarantine.open(bad, [CLEANED], recorded=True)
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
    assert run("fix", place, "--how", "refetch", "--mirror", upstream.url).code == 0
    assert everything(place) == whole


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


@pytest.mark.parametrize("options", [(), ("--how", "refetch", "--undo"), ("--how", "delete")])
def test_what_makes_no_sense_is_refused(run, place, options):
    assert run("fix", place, *options).code == 2


def test_only_a_directory_can_be_fixed(run, tmp_path):
    assert "[usage]" in run("fix", "s3://bucket/coco", "--undo").err
    ended = run("fix", tmp_path / "none", "--how", "quarantine")
    assert (ended.code, "[place-missing]" in ended.err) == (3, True)
