"""Open Images of which upstream does not give all: what is there has its JSON, and the rest comes later."""

import io
import json
import re
import zipfile

import pytest

from conftest import tree
from open_images_web import served_upstream
from visprep.errors import Incomplete, WouldOverwrite
from visprep.formats.coco_json import JsonFile
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.rules.coco import check
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out

IMAGES = "GET /open-images-dataset/validation/"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A web server of the small upstream, with its dead originals redirected, and the upstream."""
    with served_upstream(tmp_path_factory.mktemp("upstream")) as served:
        yield served


@pytest.fixture(autouse=True)
def forgetful(served, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    served[0].requests.clear()
    yield
    served[0].clear_faults()


@pytest.fixture
def get(served, tmp_path):
    """`get(splits=("validation",), original=False)` -> the result; the rest of the words are of the selection."""

    def call(output=tmp_path / "oi", original=False, mirrors=(served[0].url,), **said):
        options = BucketOptions("http", original, tuple(UpstreamMirror(url) for url in mirrors))
        return bring(OpenImages(), Selection(**said), LocalStore(output), options, unheard)

    return call


@pytest.fixture
def lacking(served):
    """`lacking("validation")` -> the masks that upstream's archives of a split lack from then on, in this test."""
    upstream = served[1]
    before = {}

    def call(split, count=2):
        wanted = sorted(path for image in upstream.of(split) for path in image.masks)[:count]
        for path in wanted:
            archive = upstream.root / f"openimages/v5/{split}-masks/{split}-masks-{path[0]}.zip"
            before.setdefault(archive, archive.read_bytes())
            out = io.BytesIO()
            with zipfile.ZipFile(archive) as old, zipfile.ZipFile(out, "w") as new:
                for member in old.infolist():
                    if member.filename != path:
                        new.writestr(zipfile.ZipInfo(member.filename, (2019, 5, 8, 0, 0, 0)), old.read(member))
            archive.write_bytes(out.getvalue())
        return wanted

    def restore():
        for archive, data in before.items():
            archive.write_bytes(data)

    call.restore = restore
    yield call
    restore()


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep/cache")}


def files(place):
    """The data files of a place with what changes when one is written anew."""
    found = (path for path in place.rglob("*") if path.is_file() and ".visprep" not in path.parts)
    return {path.relative_to(place).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def document(place, split="validation"):
    return json.loads((place / f"annotations/instances_{split}.json").read_bytes())


def journal(place):
    lines = (place / ".visprep/journal.jsonl").read_text().splitlines()
    return {entry["path"]: entry["reason"] for entry in map(json.loads, lines)}


def test_the_json_of_what_is_there_has_the_numbers_of_the_whole(get, served, tmp_path):
    server, upstream = served
    get(tmp_path / "whole")
    whole = document(tmp_path / "whole")
    ids = [image.id for image in upstream.of("validation")]
    lost = {ids[0], ids[3], ids[6]}
    server.fault(f"{IMAGES}({'|'.join(lost)})", times=None, status=404)
    place = tmp_path / "oi"
    with pytest.raises(Incomplete, match=r"3 of 9 files failed: .*annotations/ what is there"):
        get()
    assert journal(place) == {f"validation/{one}.jpg": "file-missing" for one in lost}
    part = document(place)
    assert part["images"] == [one for one in whole["images"] if one["open_images_id"] not in lost]
    there = {one["id"] for one in part["images"]}
    assert part["annotations"] == [one for one in whole["annotations"] if one["image_id"] in there]
    assert 0 < len(part["annotations"]) < len(whole["annotations"])
    assert part["categories"] == whole["categories"]
    for table in ("images", "boxes"):  # nobody loses a row
        name = f"labels/validation/{table}.csv"
        assert (place / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not [one for one in check(JsonFile.on_disk(place / "annotations/instances_validation.json")).findings
                if one.level == "error"]  # fmt: skip
    assert (place / ".visprep/in-progress").exists()
    assert not (place / ".visprep/manifest.jsonl").exists()


def test_run_again_it_ends_the_same_way_and_writes_nothing_anew(get, served, tmp_path):
    server, upstream = served
    lost = upstream.of("validation")[5].id
    server.fault(f"{IMAGES}{lost}", times=None, status=404)
    place = tmp_path / "oi"
    ended = []
    for _ in range(3):
        server.requests.clear()
        with pytest.raises(Incomplete) as told:
            get()
        ended.append((str(told.value), journal(place), files(place)))
    assert ended[0] == ended[1] == ended[2]
    assert {one.line for one in server.requests if one.method == "GET"} == {f"{IMAGES}{lost}.jpg"}


def test_one_after_the_other_they_come_and_the_end_is_that_of_an_undisturbed_run(get, served, tmp_path):
    server, upstream = served
    get(tmp_path / "whole")
    ids = [image.id for image in upstream.of("validation")]
    place, numbers = tmp_path / "oi", []
    for lost in ([ids[1], ids[4], ids[7]], [ids[4], ids[7]], [ids[7]]):
        server.clear_faults()
        server.fault(f"{IMAGES}({'|'.join(lost)})", times=None, status=404)
        with pytest.raises(Incomplete, match=f"{len(lost)} of 9 file"):
            get()
        numbers.append({one["open_images_id"]: one["id"] for one in document(place)["images"]})
        assert numbers[-1].keys() == set(ids) - set(lost)
    server.clear_faults()
    assert get().files > 0
    assert data(place) == data(tmp_path / "whole")
    final = {one["open_images_id"]: one["id"] for one in document(place)["images"]}
    assert all(one.items() <= final.items() for one in numbers)
    assert get().files == 0


def test_dead_originals_leave_the_others_with_their_json(get, served, tmp_path):
    _, upstream = served
    place = tmp_path / "oi"
    with pytest.raises(Incomplete):
        get(splits=("train",), original=True)
    failed = journal(place)
    assert set(failed.values()) == {"file-missing", "wrong-content"}
    ids = {image.id for image in upstream.of("train")}
    there = {one["open_images_id"] for one in document(place, "train")["images"]}
    assert there == ids - {path[6:22] for path in failed} != ids
    before = files(place), failed
    with pytest.raises(Incomplete):
        get(splits=("train",), original=True)
    assert (files(place), journal(place)) == before


def test_masks_that_an_archive_lacks_leave_their_boxes_bare(get, served, lacking, tmp_path):
    get(tmp_path / "whole", labels=("masks",))
    whole = document(tmp_path / "whole")
    lost = lacking("validation")
    place = tmp_path / "oi"
    with pytest.raises(Incomplete, match=r"it is not in v5/validation-masks/validation-masks-.\.zip at http"):
        get(labels=("masks",))
    assert journal(place) == {f"masks/validation/{path}": "file-missing" for path in lost}
    part = document(place)
    assert part["images"] == whole["images"]
    assert [one["id"] for one in part["annotations"]] == [one["id"] for one in whole["annotations"]]
    masked = [sum("segmentation" in one for one in each["annotations"]) for each in (part, whole)]
    assert masked[1] - masked[0] == len(lost)
    before = files(place)
    with pytest.raises(Incomplete):
        get(labels=("masks",))
    assert files(place) == before
    lacking.restore()
    get(labels=("masks",))
    assert data(place) == data(tmp_path / "whole")


def test_masks_that_one_mirror_lacks_come_from_the_next(get, served, lacking, tmp_path):
    server, upstream = served
    get(tmp_path / "whole", labels=("masks",))
    with Mirror(tmp_path / "other") as other:
        lay_out(tmp_path / "other", f"{server.url}/flickr")
        lacking("validation", 3)
        get(labels=("masks",), mirrors=(server.url, other.url))
    images = {path.name for path in (tmp_path / "oi/masks/validation").iterdir()}
    assert images == {path for image in upstream.of("validation") for path in image.masks}
    names = "annotations/instances_validation.json"
    assert (tmp_path / "oi" / names).read_bytes() == (tmp_path / "whole" / names).read_bytes()


def test_all_images_gone_is_told_and_repaired(get, served, tmp_path):
    server, _ = served
    get(tmp_path / "whole")
    server.fault(IMAGES, times=None, status=404)
    with pytest.raises(Incomplete, match="9 of 9 files failed"):
        get()
    assert (document(tmp_path / "oi")["images"], document(tmp_path / "oi")["annotations"]) == ([], [])
    server.clear_faults()
    get()
    assert data(tmp_path / "oi") == data(tmp_path / "whole")


def test_killed_while_a_json_takes_the_place_of_another_it_goes_on(get, served, tmp_path):
    """The marker is as a kill leaves it: the new JSON was noted, and either one lies there."""
    server, upstream = served
    get(tmp_path / "whole")
    ids = [image.id for image in upstream.of("validation")]
    name = "annotations/instances_validation.json"
    for number, new_is_there in enumerate((False, True)):
        place = tmp_path / f"killed-{number}"
        versions = []
        for lost in (ids[2:4], ids[2:3]):
            server.clear_faults()
            server.fault(f"{IMAGES}({'|'.join(lost)})", times=None, status=404)
            with pytest.raises(Incomplete):
                get(place)
            versions.append((place / name).read_bytes())
        assert versions[0] != versions[1]
        marker = place / ".visprep/in-progress"
        lines = marker.read_bytes().splitlines(keepends=True)
        *_, last = (at for at, line in enumerate(lines) if name.encode() in line)
        marker.write_bytes(b"".join(lines[:last]))
        (place / name).write_bytes(versions[new_is_there])
        server.clear_faults()
        get(place)
        assert data(place) == data(tmp_path / "whole")


def test_a_json_that_somebody_changed_meanwhile_stays(get, served, tmp_path):
    server, upstream = served
    server.fault(f"{IMAGES}{upstream.of('validation')[2].id}", times=None, status=404)
    with pytest.raises(Incomplete):
        get()
    mine = tmp_path / "oi/annotations/instances_validation.json"
    mine.write_text("{}")
    server.clear_faults()
    with pytest.raises(WouldOverwrite, match=re.escape("annotations/instances_validation.json")):
        get()
    assert mine.read_text() == "{}"


def test_the_command_ends_with_3_and_status_counts_the_same(run, served, tmp_path):
    server, upstream = served
    lost = [image.id for image in upstream.of("validation")][2:4]
    server.fault(f"{IMAGES}({'|'.join(lost)})", times=None, status=404)
    words = ("download", "open-images", "--via", "http", "--mirror", server.url, "--output", tmp_path / "oi")
    ended = run(*words)
    assert (ended.code, "2 of 9 files failed" in ended.err) == (3, True)
    state = json.loads(run("status", tmp_path / "oi", "--json").out)
    assert (state["state"], len(state["failed"])) == ("unfinished", 2)
    server.clear_faults()
    assert run(*words).code == 0
    state = json.loads(run("status", tmp_path / "oi", "--json").out)
    assert (state["state"], state["failed"]) == ("complete", [])
