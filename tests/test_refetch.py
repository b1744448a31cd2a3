"""`visprep fix --how refetch`: what arrives is looked at, what was always bad heals, what was edited is kept."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

import visprep
from coco_place import annotations, make
from conftest import tree
from visprep.manifest import MANIFEST
from visprep.quarantine import Quarantine
from visprep.stores import open_store
from visprep.testing import Mirror
from visprep.testing.coco import lay_out

VAL = "annotations/instances_val2017.json"
IMAGE = "val2017/000000000007.jpg"
OTHER = "val2017/000000000009.jpg"
UNDO = ".visprep/quarantine/undo.json"
ASIDE = f".visprep/quarantine/{IMAGE}"


@pytest.fixture
def upstream(tmp_path):
    with Mirror(make(tmp_path / "upstream")) as mirror:
        yield mirror


@pytest.fixture
def recorded(tmp_path):
    visprep.download(str(make(tmp_path / "origin")), tmp_path / "coco")
    return tmp_path / "coco"


@pytest.fixture
def bad_from_the_start(tmp_path):
    """A place that was downloaded while an image was damaged at its origin: its manifest says so."""
    origin = make(tmp_path / "origin")
    (origin / IMAGE).write_bytes((origin / IMAGE).read_bytes()[:-64])
    visprep.download(str(origin), tmp_path / "coco")
    return tmp_path / "coco"


def codes(place, **options):
    return sorted(one.code for one in visprep.verify(place, **options).findings)


@pytest.mark.parametrize("there", [True, False])
def test_a_page_in_place_of_an_image_is_not_taken(run, tmp_path, upstream, there):
    place = make(tmp_path / "coco")
    (place / IMAGE).write_bytes(b"\xff\xd8\xff cut off")
    if not there:
        (place / IMAGE).unlink()
    before = tree(place)
    (tmp_path / "upstream" / IMAGE).write_bytes(b"<html>quota exceeded</html>")
    ended = run("fix", place, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "[incomplete]" in ended.err) == (3, True)
    assert tree(place) == before


def test_the_next_mirror_is_asked_where_one_has_a_bad_image(tmp_path, upstream):
    place = make(tmp_path / "coco")
    whole = tree(place)
    (place / IMAGE).write_bytes(b"")
    worse = make(tmp_path / "worse")
    (worse / IMAGE).write_bytes(whole[IMAGE][:-64])
    with Mirror(worse) as first:
        visprep.fix(place, "refetch", mirror=f"{first.url},{upstream.url}")
    assert tree(place) == whole


def test_more_images_than_are_told_one_by_one_are_fetched(tmp_path):
    place, count = make(tmp_path / "coco"), 1010
    shutil.rmtree(place / "train2017")
    (place / "annotations/instances_train2017.json").unlink()
    data = (place / IMAGE).read_bytes()
    (place / VAL).write_text(json.dumps(annotations(list(range(1, count + 1)))))
    with Mirror(tmp_path / "upstream") as mirror:
        (tmp_path / "upstream/val2017").mkdir(parents=True)
        for number in range(1, count + 1):
            (tmp_path / f"upstream/val2017/{number:012}.jpg").write_bytes(data)
        assert len(visprep.fix(place, "refetch", mirror=mirror.url).refetched) == count - 3
    assert len(list((place / "val2017").iterdir())) == count


def test_an_image_that_was_bad_when_it_came_heals(run, bad_from_the_start, upstream, tmp_path):
    place = bad_from_the_start
    assert codes(place, depth="content") == ["image-truncated"]
    assert run("fix", place, "--how", "refetch", "--mirror", upstream.url).code == 0
    assert (place / IMAGE).read_bytes() == (tmp_path / "upstream" / IMAGE).read_bytes()
    assert codes(place, depth="content") == []
    steps = json.loads((place / "dataset.json").read_text())["steps"]
    assert [(one["command"], one.get("counts")) for one in steps][-1] == ("fix", {"files": 1})
    assert sorted(path.name for path in (place / ".visprep").iterdir()) == ["manifest.jsonl"]


def test_a_kill_after_the_manifest_told_of_a_healed_image_is_gone_on_from(bad_from_the_start, upstream, tmp_path):
    place, bad = bad_from_the_start, (bad_from_the_start / IMAGE).read_bytes()
    visprep.fix(place, "refetch", mirror=upstream.url)
    healed = tree(place)
    (place / IMAGE).write_bytes(bad)
    visprep.fix(place, "refetch", mirror=upstream.url)
    assert tree(place) == healed


def test_where_an_origin_is_bad_still_nothing_changes(run, bad_from_the_start, tmp_path):
    before = tree(bad_from_the_start)
    with Mirror(tmp_path / "origin") as mirror:
        assert run("fix", bad_from_the_start, "--how", "refetch", "--mirror", mirror.url).code == 3
    assert tree(bad_from_the_start) == before


def test_an_edited_image_is_kept_and_comes_back(run, recorded, upstream):
    before = tree(recorded)
    (recorded / IMAGE).write_bytes(before[OTHER])  # it decodes, and is not what the manifest says
    edited = tree(recorded)
    ended = run("fix", recorded, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "1 image put aside" in ended.err) == (0, True)
    assert (recorded / IMAGE).read_bytes() == before[IMAGE]
    assert (recorded / ASIDE).read_bytes() == before[OTHER]
    assert codes(recorded, depth="content") == []
    assert visprep.fix(recorded, undo=True).restored == (IMAGE,)
    assert tree(recorded) == edited


def test_an_edited_image_that_cannot_be_had_stays(run, recorded, upstream):
    (recorded / IMAGE).write_bytes((recorded / OTHER).read_bytes())
    before = tree(recorded)
    upstream.fault("GET /val2017", times=100, status=404)
    assert run("fix", recorded, "--how", "refetch", "--mirror", upstream.url).code == 3
    assert tree(recorded) == before


def test_an_image_edited_once_more_is_not_lost(run, recorded, upstream):
    (recorded / IMAGE).write_bytes((recorded / OTHER).read_bytes())
    visprep.fix(recorded, "refetch", mirror=upstream.url)
    (recorded / IMAGE).write_bytes((recorded / "train2017/000000000001.jpg").read_bytes())
    before, undo = tree(recorded), (recorded / UNDO).read_bytes()
    for argv in (("--how", "refetch", "--mirror", upstream.url), ("--undo",)):
        ended = run("fix", recorded, *argv)
        assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
        assert tree(recorded) == before
        assert (recorded / ASIDE).read_bytes() == before[OTHER]
        assert (recorded / UNDO).read_bytes() == undo
        assert f"delete .visprep/quarantine, {IMAGE}" not in ended.err  # that would be the image itself


@pytest.mark.parametrize("moved", [False, True])
def test_what_a_kill_left_of_a_kept_image_can_be_undone_or_gone_on_with(recorded, upstream, moved):
    whole = (recorded / IMAGE).read_bytes()
    (recorded / IMAGE).write_bytes((recorded / OTHER).read_bytes())
    before = tree(recorded)

    def killed():
        quarantine = Quarantine(open_store(str(recorded)))
        quarantine.open([IMAGE], {IMAGE: recorded_digest(recorded)}, recorded=False)
        if moved:
            quarantine.move(IMAGE)

    killed()
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before
    killed()
    visprep.fix(recorded, "refetch", mirror=upstream.url)
    assert (recorded / IMAGE).read_bytes() == whole
    visprep.fix(recorded, undo=True)
    assert tree(recorded) == before


def recorded_digest(place):
    lines = map(json.loads, (place / MANIFEST).read_text().splitlines())
    return next(line["digest"] for line in lines if line.get("path") == IMAGE)


def test_another_picture_is_not_taken(run, tmp_path, upstream):
    place = make(tmp_path / "coco")
    (place / IMAGE).write_bytes(b"junk")
    before = tree(place)
    Image.new("RGB", (50, 40)).save(tmp_path / "upstream" / IMAGE)
    ended = run("fix", place, "--how", "refetch", "--mirror", upstream.url)
    assert (ended.code, "another picture: 50x40, not 96x64" in ended.err) == (3, True), ended.err
    assert tree(place) == before


def test_a_quarantine_that_broke_off_is_told_where_there_is_no_record(run, tmp_path):
    place = make(tmp_path / "coco")
    for path in (IMAGE, OTHER):
        (place / path).write_bytes(b"junk")
    run("fix", place, "--how", "quarantine")
    assert visprep.status(place).state == "unrecorded"
    (place / ASIDE).rename(place / IMAGE)  # as if it had been killed before this one
    told = visprep.status(place)
    assert (told.state, told.finished) == ("unfinished", 1)
    assert told.go_on == f"visprep fix {place} --how quarantine"
    (place / UNDO).write_text("{}")
    assert visprep.status(place).state == "unrecorded"


def test_the_mirrors_that_a_place_was_downloaded_from_are_asked_again(run, tmp_path):
    sums = lay_out(tmp_path / "server")
    with Mirror(tmp_path / "server") as gone, Mirror(tmp_path / "server") as mirror:
        gone.fault("GET /val2017/", times=None, status=404)
        place, urls = tmp_path / "coco", f"{gone.url},{mirror.url}"
        assert run("download", "coco", "--mirror", urls, "--checksums", sums, "--output", place).code == 0
        whole = tree(place)
        for path in sorted(place.glob("val2017/*.jpg"))[:2]:
            path.write_bytes(path.read_bytes()[:-64])
        ended = run("fix", place, "--how", "refetch")
        assert (ended.code, "2 images fetched again" in ended.err) == (0, True)
    now = tree(place)
    assert {path: now[path] for path in now if path.endswith(".jpg")} == {
        path: whole[path] for path in whole if path.endswith(".jpg")
    }


def test_where_the_mirrors_of_the_download_are_gone_those_of_the_source_are_asked(run, tmp_path, monkeypatch):
    sums = lay_out(tmp_path / "server")
    place = tmp_path / "coco"
    with Mirror(tmp_path / "server") as once:
        assert run("download", "coco", "--mirror", once.url, "--checksums", sums, "--output", place).code == 0
        bad = sorted(place.glob("val2017/*.jpg"))[0]
        whole = bad.read_bytes()
        bad.write_bytes(whole[:-64])
        once.fault("GET /val2017", times=None, status=404)
        with Mirror(tmp_path / "server") as own:
            monkeypatch.setenv("http_proxy", own.url)  # which is asked for http://images.cocodataset.org/val2017/...
            monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
            ended = run("fix", place, "--how", "refetch")
        assert (ended.code, bad.read_bytes() == whole) == (0, True), ended.err
        assert [one.line.split()[1] for one in once.requests if f"/val2017/{bad.name}" in one.line]
        assert [one.line.split()[1] for one in own.requests] == [f"http://images.cocodataset.org/val2017/{bad.name}"]
