"""Downloading COCO: from a mirror in the official layout, whole, cut, killed, and with everything that can be wrong."""

import csv
import hashlib
import json
import random
import shlex
import shutil
import signal
import time
import zipfile
import zlib
from pathlib import Path

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pytest

from conftest import tree
from killing import kill_count, leftovers, random_kills, visprep, visprep_itself
from visprep import download
from visprep.errors import UsageError
from visprep.sources.sample_coco import Split, draw
from visprep.testing import Mirror
from visprep.testing.coco import lay_out, pack, sums

LABELS = ("captions", "instances", "person_keypoints")


@pytest.fixture
def root(tmp_path):
    lay_out(tmp_path / "upstream")
    return tmp_path / "upstream"


@pytest.fixture
def upstream(root):
    with Mirror(root) as mirror:
        yield mirror


@pytest.fixture
def get(run, upstream, root, tmp_path):
    """`get("--limit", 3)` -> exit code, what the JSON says, stderr."""

    def call(*more, mirror=None, sums=root / "SHA256SUMS", output=tmp_path / "coco"):
        said = ("--checksums", sums) if sums else ()
        ended = run(
            "download", "coco", "--mirror", mirror or upstream.url, *said, "--output", output, "--json", *map(str, more)
        )
        return ended.code, json.loads(ended.out) if ended.out else {}, ended.err

    return call


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep")}


def images(place):
    return sorted(path for path in data(place) if path.endswith(".jpg"))


def document(place, name="instances_val2017"):
    return json.loads((place / f"annotations/{name}.json").read_bytes())


def requested(mirror, pattern=""):
    return [one.line for one in mirror.requests if pattern in one.line]


# whole splits


def test_splits_come_with_their_annotations(get, root, tmp_path):
    code, said, _ = get("--split", "val2017,train2017")
    assert code == 0
    assert said["files"] == 22
    assert said["checked"] == dict.fromkeys(("annotations_trainval2017", "train2017", "val2017"), "sha256")
    there = data(tmp_path / "coco")
    assert set(there) == {
        "dataset.json",
        *(f"annotations/{label}_{split}2017.json" for label in LABELS for split in ("train", "val")),
        *(path.relative_to(root).as_posix() for path in root.glob("*2017/*.jpg")),
    }
    assert all(content == (root / path).read_bytes() for path, content in there.items() if path.endswith(".jpg"))
    assert not leftovers(tmp_path / "coco")


def test_one_split_needs_a_part_of_the_annotations(get, tmp_path):
    code, said, _ = get("--labels", "captions")
    assert code == 0
    assert said["checked"] == {"annotations_trainval2017": "crc32", "val2017": "sha256"}
    assert {path for path in data(tmp_path / "coco") if path.startswith("ann")} == {"annotations/captions_val2017.json"}


def test_repeated_it_asks_nobody(get, upstream, tmp_path):
    get()
    before, asked = tree(tmp_path / "coco"), len(upstream.requests)
    code, said, _ = get()
    assert (code, said["files"], said["kept"]) == (0, 0, 9)
    assert len(upstream.requests) == asked
    assert tree(tmp_path / "coco") == before


def test_what_was_unpacked_by_hand_is_kept(get, root, upstream, tmp_path):
    with zipfile.ZipFile(root / "zips/val2017.zip") as archive:
        archive.extractall(tmp_path / "coco")
    code, said, _ = get()
    assert (code, said["files"], said["kept"]) == (0, 3, 6)
    assert "val2017" not in said["checked"]


def test_connections_that_break_are_gone_on_with(get, upstream, root, tmp_path):
    upstream.fault("GET /zips/val2017", times=3, cut=0.5, reset=True)
    code, said, _ = get()
    assert upstream.spent
    assert (code, said["checked"]["val2017"]) == (0, "sha256")
    assert (tmp_path / "coco" / images(tmp_path / "coco")[0]).read_bytes()


def test_a_byte_turned_on_the_way_is_asked_for_again(get, upstream, tmp_path):
    upstream.fault("GET /zips/val2017", after=1, flip=9000)  # the first is for the directory
    code, said, _ = get("--jobs", 1)  # more, and it may be the short range at the end that comes first
    assert upstream.spent
    assert (code, said["files"], said["checked"]["val2017"]) == (0, 9, "crc32")
    assert all(content[-2:] == b"\xff\xd9" for path, content in data(tmp_path / "coco").items() if "jpg" in path)


def test_a_damaged_archive_is_told_by_its_crc_and_healed_by_another_mirror(get, root, tmp_path):
    lay_out(tmp_path / "bad")
    path = tmp_path / "bad/zips/val2017.zip"
    broken = bytearray(path.read_bytes())
    broken[9000] ^= 1
    path.write_bytes(broken)
    with Mirror(tmp_path / "bad") as bad, Mirror(root) as good:
        code, _, err = get(mirror=bad.url)
        assert code == 3
        (aside,) = (tmp_path / "coco/.visprep/quarantine/val2017/val2017").iterdir()
        with zipfile.ZipFile(path) as archive:
            told = archive.getinfo(f"val2017/{aside.name}").CRC
        for part in (f"{told:08x}", f"{zlib.crc32(aside.read_bytes()):08x}", bad.url, "put aside in", "--mirror"):
            assert part in err
        assert "[incomplete]" in err
        assert len(images(tmp_path / "coco")) == 5
        code, said, _ = get(mirror=f"{bad.url},{good.url}")
    assert (code, said["files"], said["kept"]) == (0, 1, 8)


def test_the_record_tells_where_it_came_from(get, root, upstream, tmp_path):
    def step(place=tmp_path / "coco"):
        return json.loads((place / "dataset.json").read_bytes())["steps"][-1]

    sums = dict(line.split()[::-1] for line in (root / "SHA256SUMS").read_text().splitlines())
    with_password = upstream.url.replace("//", "//user:secret@")
    assert get("--limit", 2, "--seed", 0, mirror=f"{with_password}?token=secret")[0] == 0
    assert step()["options"] == {"limit": 2, "seed": 0}
    assert step()["origin"] == {
        "archives": {
            "annotations/annotations_trainval2017.zip": {"sha256": sums["annotations_trainval2017.zip"]},
            "zips/val2017.zip": {"sha256": sums["val2017.zip"]},
        },
        "mirrors": [upstream.url],
        "checksums": "given",
    }
    assert not [path for path, content in tree(tmp_path / "coco").items() if b"secret" in content]
    # What was begun from one mirror and ended from another came from both
    with Mirror(root) as other:
        other.fault("GET /(zips/)?val2017", after=1, times=None, status=403)
        assert get(mirror=other.url, output=tmp_path / "two")[0] == 3
        assert get(output=tmp_path / "two")[0] == 0
        assert step(tmp_path / "two")["origin"]["mirrors"] == [other.url, upstream.url]
        for path in (tmp_path / "coco").glob("val2017/*"):
            path.unlink()
        assert get("--limit", 2, "--seed", 0, mirror=f"{other.url},{upstream.url}")[0] == 0
        assert step()["origin"]["mirrors"] == [other.url, upstream.url]


def test_another_archive_than_the_recorded_one_is_put_aside(get, root, tmp_path):
    told = root / "SHA256SUMS"
    wrong = told.read_text().replace(told.read_text().splitlines()[-1][:64], "ab" * 32)
    (tmp_path / "WRONG").write_text(wrong)
    code, _, err = get(sums=tmp_path / "WRONG")
    assert code == 3
    assert "the sha256 of what http" in err
    assert "[wrong-content]" in err
    assert "ab" * 32 in err
    assert images(tmp_path / "coco") == []
    assert len(list((tmp_path / "coco/.visprep/quarantine/val2017/val2017").iterdir())) == 6
    code, said, _ = get()
    assert (code, said["files"]) == (0, 6)


def test_an_archive_of_another_size_than_the_recorded_one_is_refused(get, tmp_path):
    code, _, err = get("--labels", "instances", sums=None)
    assert code == 3
    assert "252907541 are recorded" in err
    assert "[wrong-content]" in err
    assert data(tmp_path / "coco") == {}


def test_mirrors_are_tried_in_turn(get, root, upstream, tmp_path):
    (tmp_path / "empty").mkdir()
    with Mirror(tmp_path / "empty") as empty, Mirror(tmp_path, page=b"<html>log in</html>") as portal:
        code, said, _ = get(mirror=f"{empty.url},{portal.url},{upstream.url}")
        assert (code, said["files"]) == (0, 9)
        code, _, err = get(mirror=f"{empty.url},{portal.url}", output=tmp_path / "other")
        assert code == 3
        for part in ("no mirror gives it", "[file-missing]", "[wrong-content]", "web page"):
            assert part in err


def test_without_a_mirror_it_is_the_official_address(run, root, upstream, monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", upstream.url)  # which is asked for http://images.cocodataset.org/zips/...
    ended = run("download", "coco", "--checksums", root / "SHA256SUMS", "--output", tmp_path / "coco")
    assert ended.code == 0, ended.err
    assert len(images(tmp_path / "coco")) == 6
    assert requested(upstream, "GET http://images.cocodataset.org/zips/val2017.zip")


def test_a_mirror_that_dies_is_followed_by_the_next(get, root, upstream, tmp_path):
    with Mirror(root) as dying:
        dying.fault("GET /zips/val2017", after=1, times=None, status=404)
        code, said, _ = get(mirror=f"{dying.url},{upstream.url}")
    assert (code, said["files"]) == (0, 9)


@pytest.mark.parametrize("how", [{"status": 404}, {"status": 403}, {"status": 200, "body": b"<!doctype html>hello"}])
def test_what_no_mirror_gives_is_said(get, upstream, tmp_path, how):
    upstream.fault("zips/val2017", times=None, **how)
    code, _, err = get()
    assert code == 3
    assert "val2017.zip" in err
    assert data(tmp_path / "coco") == {}


def test_a_server_that_sends_no_parts_is_asked_for_the_whole(get, root, tmp_path):
    with Mirror(root, ranges=False) as plain:
        code, said, _ = get(mirror=plain.url)
    assert (code, said["files"]) == (0, 9)
    assert set(said["checked"].values()) == {"sha256"}
    assert not leftovers(tmp_path / "coco")
    assert not list((tmp_path / "coco").rglob("*.zip"))


# archives that are kept


def test_archives_stay_when_they_are_to_be_kept(get, root, upstream, tmp_path):
    code, said, _ = get("--keep-archives")
    assert (code, said["checked"]) == (0, {"annotations_trainval2017": "sha256", "val2017": "sha256"})
    assert data(tmp_path / "coco")["archives/val2017.zip"] == (root / "zips/val2017.zip").read_bytes()
    listed = (tmp_path / "coco/.visprep/manifest.jsonl").read_text()
    assert "archives/val2017.zip" in listed
    for path in (tmp_path / "coco").glob("val2017/*.jpg"):
        path.unlink()
    asked = len(upstream.requests)
    code, said, _ = get("--keep-archives")
    assert (code, said["files"]) == (0, 6)
    assert len(upstream.requests) == asked


def test_a_bad_archive_that_was_to_be_kept_is_put_aside(get, root, upstream, tmp_path):
    md5 = "0" * 32
    (tmp_path / "WRONG").write_text(f"{(root / 'SHA256SUMS').read_text()}{md5}  val2017.zip\n".replace("\n", "\n"))
    lines = (root / "SHA256SUMS").read_text().splitlines()
    (tmp_path / "WRONG").write_text("\n".join([*lines[:-1], "ab" * 32 + "  val2017.zip", md5 + "  val2017.zip"]))
    code, _, err = get("--keep-archives", sums=tmp_path / "WRONG")
    assert code == 3
    sha256, md5 = (lines[-1][:64], hashlib.md5((root / "zips/val2017.zip").read_bytes()).hexdigest())
    assert f"its sha256 is {sha256}, and {'ab' * 32} is recorded; its md5 is {md5}, and {'0' * 32} is recorded" in err
    assert f"{upstream.url} sent" in err
    assert ".visprep/quarantine/val2017.zip" in err
    there = tmp_path / "coco/.visprep/quarantine/val2017.zip"
    assert there.read_bytes() == (root / "zips/val2017.zip").read_bytes()


# zips within


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_masks_come_out_of_the_zip_within(get, root, tmp_path, method):
    masks = {f"panoptic_val2017/{number:012}.png": random.Random(number).randbytes(3000) for number in range(40)}
    pack(tmp_path / "inner.zip", masks | {"__MACOSX/._x": b"litter"}, zipfile.ZIP_DEFLATED)
    files = {
        "annotations/panoptic_val2017.json": b"{}",
        "annotations/panoptic_val2017.zip": (tmp_path / "inner.zip").read_bytes(),
        "__MACOSX/annotations/._panoptic_val2017.json": b"litter",
    }
    pack(root / "annotations/panoptic_annotations_trainval2017.zip", files, method)
    sums(root)
    code, said, err = get("--labels", "panoptic")
    assert code == 0, err
    assert said["checked"]["panoptic_annotations_trainval2017"] == "sha256"
    there = data(tmp_path / "coco")
    assert {path: there[f"annotations/{path}"] for path in masks} == masks
    assert not [path for path in there if "MACOSX" in path or path.endswith(".zip")]
    assert not list((tmp_path / "coco/.visprep").rglob("*.zip"))


# kills


@pytest.fixture
def large(tmp_path):
    """A split of 200 images of 40 kB, whose archive comes slowly."""
    rng = random.Random(7)
    names = {f"{number:012}.jpg": rng.randbytes(40_000) for number in range(200)}
    records = [{"id": number, "file_name": name, "width": 1, "height": 1} for number, name in enumerate(names)]
    label = json.dumps({"images": records, "annotations": [], "categories": []}).encode()
    lay_out(tmp_path / "large", {"val2017": Split(names, {"instances": label})})
    with Mirror(tmp_path / "large") as mirror:
        sums = tmp_path / "large/SHA256SUMS"
        mirror.command = ("download", "coco", "--mirror", mirror.url, "--labels", "instances", "--checksums", sums)
        yield mirror


def test_a_killed_download_goes_on_where_it_stopped(large, tmp_path):
    place = tmp_path / "coco"
    argv = (
        "download",
        "coco",
        "--mirror",
        large.url,
        "--labels",
        "instances",
        "--checksums",
        tmp_path / "large/SHA256SUMS",
        "--output",
        place,
    )
    large.fault("GET /zips", times=None, after=1, slow=2_000_000)
    process = visprep(*argv)
    deadline = time.monotonic() + 60
    while len(list(place.glob("val2017/*.jpg"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    there = len(list(place.glob("val2017/*.jpg")))
    assert 20 <= there < 200
    assert (place / ".visprep/in-progress").exists()
    large.clear_faults()
    asked = len(large.requests)
    ended = visprep(*argv, "--json")
    out, err = ended.communicate(timeout=60)
    assert ended.returncode == 0, err
    said = json.loads(out)
    assert said["kept"] >= there
    assert said["checked"]["val2017"] == "crc32"
    again = sum(one.sent for one in large.requests[asked:])
    assert again < (200 - there + 1) * 40_200 + 300_000
    assert data(place)["val2017/000000000199.jpg"] == (tmp_path / "large/val2017/000000000199.jpg").read_bytes()
    assert not leftovers(place)
    undisturbed = tmp_path / "undisturbed"
    other = visprep(*argv[:-1], undisturbed)
    other.communicate(timeout=60)
    both = [(one / ".visprep/manifest.jsonl").read_text().splitlines()[1:] for one in (place, undisturbed)]
    assert both[0] == both[1]


@pytest.mark.parametrize("zips", [True, False])
def test_a_killed_subset_goes_on_where_it_stopped(large, tmp_path, zips):
    place = tmp_path / "coco"
    argv = (*large.command, "--limit", "150", "--jobs", "2", "--output", place)
    large.fault("GET /zips", times=None, after=1, slow=2_000_000)
    if not zips:  # then the images come one by one
        (tmp_path / "large/zips/val2017.zip").unlink()
        large.fault("GET /val2017/", times=None, delay=0.2)
    process = visprep(*argv)
    deadline = time.monotonic() + 60
    while len(list(place.glob("val2017/*.jpg"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert 5 <= len(images(place)) < 150
    marker = place / ".visprep/in-progress"
    begun, *_ = marker.read_bytes().splitlines(keepends=True)
    marker.write_bytes(begun)  # as if it had had no time to note any
    large.clear_faults()
    if not zips:
        theirs = place / images(place)[0]
        whole = theirs.read_bytes()
        theirs.write_bytes(b"mine")
        again = visprep(*argv)
        assert b"[would-overwrite]" in again.communicate(timeout=60)[1]
        assert theirs.read_bytes() == b"mine"
        theirs.write_bytes(whole)
    again = visprep(*argv)
    assert (again.communicate(timeout=60)[1], again.returncode)[1] == 0
    assert images(place) == [f"val2017/{number:012}.jpg" for number in range(150)]
    assert all((place / path).read_bytes() == (tmp_path / "large" / path).read_bytes() for path in images(place))
    assert not leftovers(place)
    assert not (place / ".visprep/cache").exists()


def test_another_selection_does_not_end_what_was_begun(large, run, tmp_path):
    place = tmp_path / "coco"
    large.fault("GET /zips", times=None, after=1, slow=2_000_000)
    process = visprep(*large.command, "--output", place)
    deadline = time.monotonic() + 60
    while len(list(place.glob("val2017/*.jpg"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert 5 <= len(images(place)) < 200
    large.clear_faults()
    before = tree(place)
    ended = run(*large.command, "--limit", "3", "--output", place)
    assert (ended.code, "[place-incomplete]" in ended.err) == (3, True)
    assert tree(place) == before
    assert run(*large.command, "--output", place).code == 0
    assert run(*large.command, "--limit", "3", "--output", place).code == 0


def test_killed_at_random_moments_it_ends_in_the_same_files(large, tmp_path):
    large.fault("GET /zips", times=None, slow=8_000_000)
    whole = {path.name: path.read_bytes() for path in (tmp_path / "large/val2017").iterdir()}

    def place(number):
        return tmp_path / f"round-{number}"

    def check(number):
        assert {path.name: path.read_bytes() for path in place(number).glob("val2017/*")} == whole
        assert not leftovers(place(number))

    random_kills(
        lambda number: (*large.command, "--output", place(number)),
        lambda number: (place(number) / ".visprep/in-progress").exists(),
        check,
        seed=11,
        tries=kill_count(6),
        longest=0.5,
        least=2,
    )


def test_an_interrupt_ends_it_in_order_and_it_goes_on(large, tmp_path):
    place = tmp_path / "coco"
    large.fault("GET /zips", times=None, after=1, slow=1_000_000)
    process = visprep_itself(*large.command, "--output", place)
    deadline = time.monotonic() + 60
    while len(list(place.glob("val2017/*.jpg"))) < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"run the same command again" in err
    assert 20 <= len(list(place.glob("val2017/*.jpg"))) < 200
    large.clear_faults()
    again = visprep(*large.command, "--output", place)
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(images(place)) == 200
    assert not leftovers(place)


def test_status_names_the_command_that_goes_on(get, run, upstream, tmp_path):
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "work/ids").write_text("2000\n2007\n2021\n")
    chosen = (
        "--ids",
        "ids",
        "--licenses",
        "5,4",
        "--limit",
        "2",
        "--seed",
        "7",
        "--classes",
        "kite,book",
        "--only-matching",
    )
    upstream.fault("GET /zips/val2017", times=None, after=1, status=404)  # the first is for the directory
    upstream.fault("GET /val2017", times=None, status=404)
    code, _, err = get(*chosen)
    assert code == 3, err
    said = json.loads(run("status", tmp_path / "coco", "--json").out)
    words = said["go_on"].split()
    assert words[:3] == ["visprep", "download", "coco"]
    for option, value in zip(chosen[2:-1:2], chosen[3:-1:2], strict=True):
        assert words[words.index(option) + 1] == value
    assert "--only-matching" in words
    assert words[words.index("--mirror") + 1] == upstream.url
    upstream.clear_faults()
    assert get(*chosen)[0] == 0


def test_the_command_to_go_on_needs_no_file_of_checksums(get, run, root, upstream, tmp_path):
    """What was given is held against all the same: it stands in the marker."""
    assert get(output=tmp_path / "whole")[0] == 0
    upstream.fault("GET /zips/val2017", times=None, after=1, status=404)
    assert get()[0] == 3
    upstream.clear_faults()
    (root / "SHA256SUMS").unlink()
    _, *words = shlex.split(json.loads(run("status", tmp_path / "coco", "--json").out)["go_on"])
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert data(tmp_path / "coco").keys() == data(tmp_path / "whole").keys()
    steps = [json.loads((tmp_path / one / "dataset.json").read_bytes())["steps"][-1] for one in ("coco", "whole")]
    assert steps[0]["origin"] == steps[1]["origin"]


def test_recorded_checksums_hold_when_the_command_goes_on(get, run, root, upstream, tmp_path):
    upstream.fault("GET /zips/val2017", times=None, after=1, status=404)
    assert get("--labels", "instances")[0] == 3
    upstream.clear_faults()
    lay_out(root, {"val2017": Split({"another.jpg": b"\xff\xd8"}, draw()["val2017"].labels)})
    _, *words = shlex.split(json.loads(run("status", tmp_path / "coco", "--json").out)["go_on"])
    ended = run(*words)
    assert (ended.code, "[wrong-content]" in ended.err) == (3, True)


def test_a_split_without_the_labels_asked_for_is_told(get, run, root, upstream, tmp_path):
    split = draw()["val2017"]
    sums = lay_out(root, {**draw(), "test2017": Split(split.images, {"image_info": split.labels["instances"]})})
    argv = ("--split", "val2017,test2017", "--labels", "instances")
    code, said, _ = get(*argv)
    assert (code, said["unlabeled"]) == (0, ["test2017"])
    assert not (tmp_path / "coco/annotations/image_info_test2017.json").exists()
    more = ("--mirror", upstream.url, "--checksums", sums, "--output", tmp_path / "coco")
    assert "none of these labels in test2017" in run("download", "coco", *argv, *more).err  # repeated too
    assert get("--split", "val2017", "--labels", "instances", output=tmp_path / "val")[1]["unlabeled"] == []
    assert get("--split", "val2017,test2017", output=tmp_path / "both")[1]["unlabeled"] == []


def test_what_was_wrong_with_single_images_is_told_though_there_is_no_archive(get, root, upstream, tmp_path):
    (root / "zips/val2017.zip").unlink()
    for path in (root / "val2017").iterdir():
        upstream.fault(f"GET /val2017/{path.name}", times=None, status=403)
    code, _, err = get("--limit", 2)
    assert code == 3
    assert "[access-denied]" in err
    assert "val2017/0000" in err
    journal = (tmp_path / "coco/.visprep/journal.jsonl").read_text()
    assert journal.count("access-denied") == 2
    upstream.clear_faults()
    assert get("--limit", 2)[0] == 0


def test_an_archive_that_is_nowhere_is_told_where_no_mirror_has_single_images(get, root):
    (root / "zips/val2017.zip").unlink()
    for path in (root / "val2017").iterdir():
        path.unlink()
    code, _, err = get("--limit", 2)
    assert (code, "[file-missing]" in err) == (3, True)


def test_one_is_no_plural(get, run, root, upstream, tmp_path):
    argv = ("--labels", "captions", "--limit", 1, "--mirror", upstream.url, "--checksums", root / "SHA256SUMS")
    argv = tuple(map(str, argv))
    assert ": 3 files written, 0 kept" in run("download", "coco", *argv, "--output", tmp_path / "one").err
    (tmp_path / "one/NOTICE.csv").unlink()
    ended = run("download", "coco", *argv, "--output", tmp_path / "one")
    assert ": 1 file written, 2 kept" in ended.err
    assert "note: 1 image: " in ended.err


# Without enough space for the images, and without enough for the annotations by which they are chosen
@pytest.mark.parametrize(("argv", "padding"), [((), 0), (("--limit", "2"), 100_000)])
def test_a_disk_without_room_is_told_before_the_first_byte(run, small_disk, tmp_path, argv, padding):
    files = {f"{number:012}.jpg": bytes(200_000) for number in range(12)}
    records = [{"id": number, "file_name": name, "width": 1, "height": 1} for number, name in enumerate(files)]
    whole = {"info": " " * padding, "images": records, "annotations": [], "categories": []}
    lay_out(tmp_path / "large", {"val2017": Split(files, {"instances": json.dumps(whole).encode()})})
    with Mirror(tmp_path / "large") as mirror:
        argv += ("--mirror", mirror.url, "--labels", "instances", "--checksums", tmp_path / "large/SHA256SUMS")
        ended = run("download", "coco", *argv, "--output", small_disk / "place")
        assert ended.code == 3
        assert "[disk-full]" in ended.err
        assert "bytes are needed for" in ended.err
        assert sum(one.sent for one in mirror.requests) < 300_000 * 2
    assert not (small_disk / "place").exists()


# what is asked for


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--split", "val2071"), "did you mean val2017?"),
        (("--labels", "instance"), "did you mean instances?"),
        (("--labels", "panoptic", "--split", "val2014"), "there is no label 'panoptic'"),
        (("--classes", "kites"), "did you mean kite?"),
        (("--ids", "IDS"), "there is no image 99"),
        (("--ids", "EMPTY"), "there is no id in it"),
        (("--ids", "IDS", "--licenses", "2"), "no license 2"),
        (("--licenses", "99"), "there is no license 99"),
        (("--licenses", "99"), "5 (Attribution-ShareAlike License)"),
        (("--classes", "38"), "38 is kite"),
        (("--classes", "kite", "--split", "test2017"), "there are none of test2017"),
        (("--classes", "kite", "--split", "val2017,test2017"), "there are none of test2017"),
        (("--split", ""), "--split '' names nothing"),
        (("--classes", " ,"), "--classes ' ,' names nothing"),
        (("--config", "x"), "--config"),
        (("--map", "a=b"), "--map"),
        (("--only-matching",), "--classes"),
        (("--seed", "1"), "--limit"),
        (("--licenses", "by"), "not whole numbers"),
        (("--limit", "3", "--keep-archives"), "--keep-archives"),
    ],
)
def test_what_makes_no_sense_is_refused(get, tmp_path, argv, words):
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "work/IDS").write_text("2000\n99  # not there\n")
    (tmp_path / "work/EMPTY").write_text("# none\n")
    code, _, err = get(*argv)
    assert code == 2, err
    assert words in err
    assert data(tmp_path / "coco") == {}


def test_filters_that_leave_no_image_are_named(get, tmp_path):
    (tmp_path / "work").mkdir(exist_ok=True)
    (tmp_path / "work/ids").write_text("2000\n")
    code, _, err = get("--ids", "ids", "--licenses", "5", "--labels", "instances")
    assert code == 2
    assert "is left by --licenses and --ids" in err


def test_files_of_somebody_else_stay(get, tmp_path):
    theirs = tmp_path / "coco/val2017/000000002000.jpg"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    code, _, err = get()
    assert code == 3
    assert "[would-overwrite]" in err
    assert theirs.read_bytes() == b"mine"
    code, said, _ = get("--overwrite")
    assert (code, said["files"]) == (0, 9)
    assert theirs.read_bytes() != b"mine"
    theirs.write_bytes(b"mine")
    assert get()[0] == 3
    code, said, _ = get("--overwrite")
    assert (code, said["files"], said["kept"]) == (0, 1, 8)


def test_a_directory_of_another_dataset_is_refused(get, run, upstream, tmp_path):
    assert run("download", "sample", "--output", tmp_path / "coco").code == 0
    before = tree(tmp_path / "coco")
    code, _, err = get()
    assert code == 3
    assert "another dataset lies here, sample" in err
    assert "[would-overwrite]" in err
    assert tree(tmp_path / "coco") == before
    assert upstream.requests == []
    assert get("--overwrite")[0] == 0


def test_tasks_do_not_go_among_images(get, run, tmp_path):
    assert get()[0] == 0
    before = tree(tmp_path / "coco")
    ended = run("download", "sample", "--output", tmp_path / "coco")
    assert (ended.code, "another dataset lies here, coco" in ended.err) == (3, True)
    assert tree(tmp_path / "coco") == before
    assert run("download", "sample", "--output", tmp_path / "coco", "--overwrite").code == 0


# subsets


def test_a_limit_takes_the_first_and_a_larger_one_adds(get, upstream, root, tmp_path):
    place = tmp_path / "coco"
    code, said, err = get("--limit", 2)
    assert code == 0, err
    assert [one["id"] for one in document(place)["images"]] == [2000, 2007]
    assert images(place) == [f"val2017/{number:012}.jpg" for number in (2000, 2007)]
    before = {path: (place / path).stat().st_mtime_ns for path in images(place)}
    code, said, _ = get("--limit", 4)
    assert (code, said["kept"]) == (0, 2)
    assert [one["id"] for one in document(place)["images"]] == [2000, 2007, 2014, 2021]
    assert {path: (place / path).stat().st_mtime_ns for path in before} == before


def test_a_seed_draws_and_a_larger_limit_keeps_what_was_drawn(get, tmp_path):
    drawn = []
    for limit in (2, 4):
        assert get("--limit", limit, "--seed", 7, "--split", "train2017")[0] == 0
        drawn.append([one["id"] for one in document(tmp_path / "coco", "instances_train2017")["images"]])
    assert set(drawn[0]) < set(drawn[1])
    assert drawn[0] != [1000, 1007]


def test_records_are_the_same_bytes(get, root, tmp_path):
    assert get("--classes", "kite", "--labels", "instances")[0] == 0
    whole, kept = json.loads(_original(root)), document(tmp_path / "coco")
    ids = {one["image_id"] for one in whole["annotations"] if one["category_id"] == 38}
    assert kept["images"] == [one for one in whole["images"] if one["id"] in ids]
    assert kept["annotations"] == [one for one in whole["annotations"] if one["image_id"] in ids]
    assert kept["categories"] == whole["categories"]
    assert get("--classes", "kite", "--labels", "instances", "--only-matching")[0] == 0
    kept = document(tmp_path / "coco")
    assert kept["annotations"] == [one for one in whole["annotations"] if one["category_id"] == 38]


def _original(root):
    with zipfile.ZipFile(root / "annotations/annotations_trainval2017.zip") as archive:
        return archive.read("annotations/instances_val2017.json")


def test_licenses_and_ids_choose_and_the_notice_says_whose_they_are(get, tmp_path):
    code, said, _ = get("--licenses", "5")
    assert (code, said["images"]) == (0, {"Attribution-ShareAlike License": 3})
    rows = list(csv.DictReader((tmp_path / "coco/NOTICE.csv").open(newline="")))
    assert [row["license_id"] for row in rows] == ["5"] * 3
    assert rows[0]["flickr_url"] == "http://farm7.staticflickr.com/0/2007_z.jpg"
    (tmp_path / "work/ids").write_text("2000\n")
    assert get("--ids", "ids")[0] == 0
    rows = list(csv.DictReader((tmp_path / "coco/NOTICE.csv").open(newline="")))
    assert [row["file_name"] for row in rows] == [f"val2017/{number:012}.jpg" for number in (2000, 2007, 2021, 2035)]


def test_a_seed_of_zero_and_arrays_of_numbers_are_options_like_others(upstream, root, tmp_path):
    with pytest.raises(UsageError, match="--seed"):
        download("sample", tmp_path / "sample", seed=0)
    chosen = {"ids": np.array([2000, 2007]), "licenses": np.array([4, 5]), "limit": 1, "seed": 0}
    with pytest.raises(UsageError, match="--ids, --licenses, --seed"):
        download("sample", tmp_path / "sample", **chosen)
    sums = root / "SHA256SUMS"
    download("coco", tmp_path / "coco", mirror=upstream.url, checksums=sums, labels="instances", **chosen)
    assert len(images(tmp_path / "coco")) == 1


@pytest.mark.parametrize("name", ["annotations/instances_val2017.json", "NOTICE.csv"])
def test_what_a_subset_writes_does_not_replace_files_of_somebody_else(get, upstream, tmp_path, name):
    theirs = tmp_path / "coco" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    for more in ((), ("--dry-run",)):
        code, _, err = get("--limit", 2, *more)
        assert (code, "[would-overwrite]" in err, name in err) == (3, True, True)
    assert theirs.read_bytes() == b"mine"
    assert images(tmp_path / "coco") == []
    assert requested(upstream, "GET /val2017/") == []
    assert get("--limit", 2, "--overwrite")[0] == 0
    assert theirs.read_bytes() != b"mine"


def test_what_a_subset_writes_is_kept_where_it_is_there_already(get, tmp_path):
    assert get("--limit", 2)[0] == 0
    before = data(tmp_path / "coco")
    shutil.rmtree(tmp_path / "coco/.visprep")
    (tmp_path / "coco/dataset.json").unlink()
    code, said, err = get("--limit", 2)
    assert (code, said.get("files")) == (0, 0), err
    assert {path: content for path, content in data(tmp_path / "coco").items() if path != "dataset.json"} == {
        path: content for path, content in before.items() if path != "dataset.json"
    }


def test_a_file_that_changed_since_stays_unless_it_may_go(get, tmp_path):
    assert get()[0] == 0
    changed = tmp_path / "coco/val2017/000000002000.jpg"
    whole = changed.read_bytes()
    changed.write_bytes(b"edited")
    code, _, err = get()
    assert (code, "[would-overwrite]" in err, "000000002000.jpg" in err) == (3, True, True)
    assert changed.read_bytes() == b"edited"
    assert get("--overwrite")[0] == 0
    assert changed.read_bytes() == whole


def test_another_split_is_added_to_what_is_recorded(get, tmp_path):
    assert get("--limit", 2)[0] == 0
    assert get("--limit", 2, "--split", "train2017")[0] == 0
    listed = (tmp_path / "coco/.visprep/manifest.jsonl").read_text()
    assert all(f'"{path}"' in listed for path in data(tmp_path / "coco") if path != "dataset.json")
    assert len(images(tmp_path / "coco")) == 4


def test_notice_and_manifest_forget_what_is_gone(get, tmp_path):
    assert get("--limit", 2)[0] == 0
    (tmp_path / "coco/val2017/000000002000.jpg").unlink()
    (tmp_path / "work/ids").write_text("2021\n")
    assert get("--ids", "ids")[0] == 0
    rows = list(csv.DictReader((tmp_path / "coco/NOTICE.csv").open(newline="")))
    assert [row["file_name"] for row in rows] == [f"val2017/{number:012}.jpg" for number in (2007, 2021)]
    assert "000000002000.jpg" not in (tmp_path / "coco/.visprep/manifest.jsonl").read_text()


def test_a_dry_run_says_all_and_leaves_nothing(get, tmp_path):
    code, said, _ = get("--limit", 2, "--dry-run")
    assert (code, said["planned"], said["files"], sum(said["images"].values())) == (0, True, 6, 2)
    assert said["requests"] >= 1
    expected = said
    assert not (tmp_path / "coco").exists()
    code, said, _ = get("--dry-run")
    assert (code, said["planned"], said["files"]) == (0, True, 9)
    assert said["disk"] > 0 < said["bytes"]
    assert not (tmp_path / "coco").exists()
    code, said, _ = get("--limit", 2)
    assert (code, said["files"]) == (0, expected["files"])
    del (there := data(tmp_path / "coco"))["dataset.json"]
    assert expected["disk"] == sum(map(len, there.values()))
    code, said, _ = get("--limit", 3, "--dry-run")
    assert (code, said["files"], said["kept"]) == (0, 5, 2)


def test_a_dry_run_says_about_where_nothing_tells_the_size(get, run, root, upstream, tmp_path):
    (root / "zips/val2017.zip").unlink()
    argv = ("--mirror", upstream.url, "--checksums", root / "SHA256SUMS", "--output", tmp_path / "coco", "--dry-run")
    ended = run("download", "coco", "--limit", "2", *argv)
    assert ended.code == 0
    assert "requests, about " in ended.err


def test_the_notice_and_the_record_follow_what_is_there(get, run, root, upstream, tmp_path):
    def rows():
        return [row["file_name"] for row in csv.DictReader((tmp_path / "coco/NOTICE.csv").open(newline=""))]

    assert get("--limit", 2)[0] == 0
    code, said, _ = get()
    assert (code, said["others"]) == (0, 0)
    assert rows() == images(tmp_path / "coco")
    assert len(rows()) == 6
    argv = ("--mirror", upstream.url, "--checksums", root / "SHA256SUMS", "--output", tmp_path / "coco")
    ended = run("download", "coco", "--limit", "1", *argv)
    assert "note: 5 images from before stay" in ended.err
    assert len(rows()) == 6
    assert get("--limit", 6)[1]["others"] == 0


def test_annotations_in_the_way_are_told_before_the_first_image(get, upstream, tmp_path):
    theirs = tmp_path / "coco/annotations/instances_val2017.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"{}")
    code, _, err = get("--limit", 2)
    assert (code, "[would-overwrite]" in err) == (3, True)
    assert images(tmp_path / "coco") == []


def test_some_of_many_come_by_ranges(large, run, tmp_path):
    argv = (
        "download",
        "coco",
        "--mirror",
        large.url,
        "--labels",
        "instances",
        "--checksums",
        tmp_path / "large/SHA256SUMS",
        "--json",
    )
    assert run(*argv, "--limit", "2", "--output", tmp_path / "few").code == 0
    assert len(requested(large, "GET /zips/")) == 2
    assert run(*argv, "--limit", "150", "--output", tmp_path / "many").code == 0
    assert not requested(large, "GET /val2017/")
    assert 4 <= len(requested(large, "GET /zips/")) < 10
    assert len(images(tmp_path / "many")) == 150


@pytest.mark.parametrize("limit", [1, 5])
def test_images_come_one_by_one_where_there_is_no_archive(get, run, root, upstream, tmp_path, limit):
    (root / "zips/val2017.zip").unlink()
    code, said, err = get("--limit", limit)
    assert (code, said["unchecked"]) == (0, limit), err
    assert len(images(tmp_path / "coco")) == len(requested(upstream, "GET /val2017/")) == limit
    argv = ("--mirror", upstream.url, "--checksums", root / "SHA256SUMS", "--output", tmp_path / "other")
    ended = run("download", "coco", "--limit", str(limit), *argv)
    assert f"note: {limit} image{'s' * (limit > 1)} not checked by any checksum" in ended.err


def test_some_images_of_a_server_that_sends_no_parts(large, run, tmp_path):
    argv = (*large.command, "--json", "--output", tmp_path / "coco")
    with Mirror(tmp_path / "large", ranges=False) as plain:
        argv = tuple(plain.url if one == large.url else one for one in argv)
        ended = run(*argv, "--limit", "3")
        assert (ended.code, json.loads(ended.out)["unchecked"]) == (0, 3), ended.err
        assert len(images(tmp_path / "coco")) == len(requested(plain, "GET /val2017/")) == 3
        for path in tmp_path.glob("large/val2017/*"):
            path.unlink()
        ended = run(*argv, "--limit", "4")
    said = json.loads(ended.out)
    assert (ended.code, said["unchecked"], said["checked"]) == (0, 0, {"val2017": "sha256"}), ended.err
    assert len(images(tmp_path / "coco")) == 4
    assert not list((tmp_path / "coco").rglob("*.zip"))


def test_single_images_are_held_against_the_directory_of_an_archive(get, root, upstream, tmp_path):
    upstream.fault("GET /zips/val2017", times=None, after=1, status=403)  # the first is for the directory
    code, said, err = get("--limit", 1)
    assert (code, said["unchecked"], said["checked"]["val2017"]) == (0, 0, "crc32"), err
    upstream.clear_faults()
    upstream.fault("GET /zips/val2017", times=None, after=1, status=403)
    upstream.fault("GET /val2017/", times=None, flip=900)
    code, _, err = get("--limit", 2)
    assert code == 3
    assert images(tmp_path / "coco") == ["val2017/000000002000.jpg"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--classes", "kite"), "--classes goes by instances, and there are none of test2017"),
        (("--labels", "instances", "--limit", "2"), "there is no label instances in test2017"),
    ],
)
def test_a_split_without_the_label_that_chooses_is_refused(get, upstream, argv, words):
    code, _, err = get("--split", "val2017,test2017", *argv)
    assert code == 2
    assert words in err
    assert "these splits" in err
    assert upstream.requests == []


def test_each_split_is_chosen_by_the_labels_that_it_has(get, root, tmp_path):
    split = draw()["val2017"]
    lay_out(root, {**draw(), "test2017": Split(split.images, {"image_info": split.labels["instances"]})})
    code, _, err = get("--split", "val2017,test2017", "--limit", 2)
    assert code == 0, err
    assert len(images(tmp_path / "coco")) == 4
    assert len(document(tmp_path / "coco", "image_info_test2017")["images"]) == 2


def test_only_matching_leaves_panoptic_annotations_whole(get, root, tmp_path):
    whole = json.loads(_original(root))
    segment = {"id": 1, "category_id": 38, "area": 5, "bbox": [0, 0, 1, 1], "iscrowd": 0}
    names = [one["file_name"].replace("jpg", "png") for one in whole["images"]]
    whole["annotations"] = [
        {"image_id": one["id"], "file_name": name, "segments_info": [segment]}
        for one, name in zip(whole["images"], names, strict=True)
    ]
    pack(tmp_path / "inner.zip", {f"panoptic_val2017/{name}": name.encode() for name in names})
    files = {
        "annotations/panoptic_val2017.json": json.dumps(whole).encode(),
        "annotations/panoptic_val2017.zip": (tmp_path / "inner.zip").read_bytes(),
    }
    pack(root / "annotations/panoptic_annotations_trainval2017.zip", files)
    sums(root)
    code, _, err = get("--classes", "kite", "--only-matching", "--labels", "instances,panoptic,captions")
    assert code == 0, err
    chosen = {one["id"] for one in document(tmp_path / "coco")["images"]}
    assert 0 < len(chosen) < len(names)
    assert {one["category_id"] for one in document(tmp_path / "coco")["annotations"]} == {38}
    for name in ("panoptic_val2017", "captions_val2017"):
        assert {one["image_id"] for one in document(tmp_path / "coco", name)["annotations"]} == chosen
    assert len(list((tmp_path / "coco/annotations/panoptic_val2017").iterdir())) == len(chosen)


def test_another_archive_is_no_reason_to_take_single_images(get, upstream, tmp_path):
    upstream.fault("GET /zips/val2017", times=None, status=200, body=b"<!doctype html>log in")
    code, _, err = get("--limit", 1)
    assert code == 3, err
    assert not requested(upstream, "GET /val2017/")


# real images, and what others make of the result


@pytest.fixture
def real(tmp_path):
    """Real images and annotations in the official layout, where the machine has them; the sample elsewhere."""
    place = Path(__file__).parents[2] / "shared" / "real" / "coco"
    splits = None
    if place.is_dir():
        splits = {
            split: Split(
                {path.name: path.read_bytes() for path in sorted((place / split).glob("*.jpg"))},
                {"instances": (place / f"annotations/instances_{split}.json").read_bytes()},
            )
            for split in ("train2017", "val2017")
        }
    lay_out(tmp_path / "real", splits)
    with Mirror(tmp_path / "real") as mirror:
        yield mirror


@pytest.mark.parametrize("chosen", [(), ("--limit", "4", "--seed", "3"), ("--licenses", "4,5")])
def test_what_came_is_clean_and_others_load_it(real, get, run, tmp_path, chosen, capsys):
    real.fault("GET /", times=6, probability=0.3, seed=1, cut=0.5, reset=True)
    place = tmp_path / "coco"
    argv = ("--split", "val2017,train2017", "--labels", "instances", *chosen)
    code, _, err = get(*argv, mirror=real.url, sums=tmp_path / "real/SHA256SUMS")
    assert code == 0, err
    ended = run("verify", place, "--depth", "content", "--format", "json")
    assert (ended.code, json.loads(ended.out)["findings"]) == (0, [])
    for split in ("val2017", "train2017"):
        path = place / f"annotations/instances_{split}.json"
        for load in (pycocotools.coco.COCO, faster_coco_eval.COCO):
            loaded = load(str(path))
            assert all((place / split / one["file_name"]).is_file() for one in loaded.loadImgs(loaded.getImgIds()))
            assert all(loaded.annToRLE(one)["size"] for one in loaded.loadAnns(loaded.getAnnIds(iscrowd=0))[:5])
    capsys.readouterr()
