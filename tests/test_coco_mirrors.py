"""Downloading COCO from mirrors that fail one way or another, and what is done about it."""

import hashlib
import json
import subprocess
import zipfile

import pytest

from conftest import tree
from visprep.errors import WouldOverwrite
from visprep.mirrors import Mirrors
from visprep.sources import Archive
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources.sample_coco import Split, draw
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.coco import lay_out, pack, sums


@pytest.fixture
def root(tmp_path):
    lay_out(tmp_path / "upstream")
    return tmp_path / "upstream"


@pytest.fixture
def get(run, root, tmp_path):
    """`get(mirrors, "--limit", 3)` -> exit code, what the JSON says, stderr."""

    def call(mirrors, *more, sums=root / "SHA256SUMS", output=tmp_path / "coco"):
        said = ("--checksums", sums) if sums else ()
        ended = run("download", "coco", "--mirror", mirrors, *said, "--output", output, "--json", *map(str, more))
        return ended.code, json.loads(ended.out) if ended.out else {}, ended.err

    return call


@pytest.fixture
def other(tmp_path):
    """The same, but val2017.zip has other images, of the same sizes."""
    lay_out(tmp_path / "other")
    images = draw()["val2017"].images
    pack(
        tmp_path / "other/zips/val2017.zip",
        {f"val2017/{name}": data[:-20] + bytes(18) + data[-2:] for name, data in images.items()},
    )
    return tmp_path / "other"


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep")}


def test_a_mirror_that_is_gone_is_followed_by_the_next_for_single_images_too(get, tmp_path):
    label = {
        "images": [{"id": one, "file_name": f"{one}.jpg", "width": 1, "height": 1} for one in range(1, 41)],
        "annotations": [],
        "categories": [],
    }
    images = {one["file_name"]: b"an image" for one in label["images"]}
    told = lay_out(tmp_path / "large", {"val2017": Split(images, {"instances": json.dumps(label).encode()})})
    (tmp_path / "large/zips/val2017.zip").unlink()
    with Mirror(tmp_path / "large") as half, Mirror(tmp_path / "large") as good:
        half.fault("GET /val2017/", times=None, cut=0.0, reset=True)
        argv = ("--labels", "instances", "--limit", 40, "--jobs", 40)
        code, _, err = get(f"{half.url},{good.url}", *argv, sums=told)
    assert code == 0, err
    assert len([path for path in data(tmp_path / "coco") if path.endswith(".jpg")]) == 40
    assert [one for one in good.requests if one.line.startswith("GET /val2017/")]


def test_a_wrong_archive_of_a_server_that_sends_no_parts_is_followed_by_the_next(get, root, other, tmp_path):
    with Mirror(other, ranges=False) as bad, Mirror(root) as good:
        code, said, err = get(f"{bad.url},{good.url}", "--labels", "instances")
    assert code == 0, err
    assert said["files"] == 7
    there = data(tmp_path / "coco")
    assert all(there[path.relative_to(root).as_posix()] == path.read_bytes() for path in root.glob("val2017/*"))


def test_a_dry_run_fetches_no_archive_that_it_cannot_look_into(get, tmp_path):
    (tmp_path / "large/zips").mkdir(parents=True)
    images = {f"val2017/{number}.jpg": bytes(6_000_000) for number in range(5)}
    pack(tmp_path / "large/zips/val2017.zip", images)
    lay_out(tmp_path / "large", {})
    pack(tmp_path / "large/annotations/annotations_trainval2017.zip", {"annotations/instances_val2017.json": b"{}"})
    with Mirror(tmp_path / "large", ranges=False) as plain, Mirror(tmp_path / "large") as good:
        code, _, err = get(plain.url, "--dry-run", "--labels", "instances", sums=sums(tmp_path / "large"))
        assert code == 3
        assert "does not send parts of a file" in err
        assert "leave out --dry-run" in err
        assert sum(one.sent for one in plain.requests) < 15_000_000  # what is on its way when the client leaves
        code, said, _ = get(f"{plain.url},{good.url}", "--dry-run", "--labels", "instances")
        assert (code, said["files"]) == (0, 6)
    assert not (tmp_path / "coco").exists()


def test_what_is_gone_on_with_believes_the_checksums_it_was_given_and_no_more(get, root, tmp_path):
    """Of an archive that none was given of, what is recorded holds as it did."""
    told = tmp_path / "some"
    lines = (root / "SHA256SUMS").read_text().splitlines()
    told.write_text("".join(f"{line}\n" for line in lines if "val2017.zip" in line and "annotations" not in line))
    with Mirror(root) as good:
        first, _, err = get(good.url, "--keep-archives", sums=told)
        again, _, same = get(good.url, "--keep-archives", sums=None)
    assert (first, again) == (3, 3)
    assert "252907541 are recorded" in err
    assert same == err


# archives that are kept


def test_an_archive_of_somebody_else_stays(get, root, tmp_path):
    mine = tmp_path / "coco/archives/val2017.zip"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with Mirror(root) as good:
        code, _, err = get(good.url, "--keep-archives")
        assert code == 3
        assert "[would-overwrite]" in err
        assert mine.read_bytes() == b"mine"
        assert get(good.url, "--keep-archives", "--overwrite")[0] == 0
    assert (tmp_path / "coco/.visprep/quarantine/val2017.zip").read_bytes() == b"mine"
    assert mine.read_bytes() == (root / "zips/val2017.zip").read_bytes()


def test_what_was_put_aside_before_stays(get, root, other, tmp_path):
    aside = tmp_path / "coco/.visprep/quarantine"
    aside.mkdir(parents=True)
    (aside / "val2017.zip").write_bytes(b"from before")
    with Mirror(other) as bad:
        for _ in range(2):
            assert get(bad.url, "--keep-archives")[0] == 3
    assert (aside / "val2017.zip").read_bytes() == b"from before"
    assert (aside / "val2017-2.zip").read_bytes() == (other / "zips/val2017.zip").read_bytes()
    assert len(list(aside.iterdir())) == 2


def test_an_archive_is_held_against_its_size_too(root, tmp_path):
    kept = tmp_path / "coco/archives/val2017.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes((root / "zips/val2017.zip").read_bytes())
    target = LocalStore(tmp_path / "coco")
    for size in (kept.stat().st_size, 5):
        mirrors = Mirrors(
            Archive("zips/val2017.zip", size), [UpstreamMirror("http://127.0.0.1:9")], target,
            keep=True, may_move=lambda path: False, in_parts=False, on_bytes=lambda count: None,
        )  # fmt: skip
        if size == 5:
            with pytest.raises(WouldOverwrite):
                mirrors.next()
        else:
            assert len(mirrors.next().files) == 6


# what archives are held against


def test_what_the_checksums_do_not_name_is_held_against_the_record(get, root, tmp_path):
    lines = (root / "SHA256SUMS").read_text().splitlines(keepends=True)
    (tmp_path / "ONE").write_text("".join(line for line in lines if "annotations" in line))
    with Mirror(root) as good:
        code, _, err = get(good.url, sums=tmp_path / "ONE")
    assert code == 3
    assert "val2017.zip" in err
    assert "815585330 are recorded" in err


def test_an_archive_that_did_not_come_in_one_go_is_warned_about(get, run, root, other, tmp_path):
    first = next((other / "zips").glob("val2017.zip"))
    with zipfile.ZipFile(first) as archive:
        archive.extract(archive.infolist()[1], tmp_path / "coco")
    with Mirror(other) as bad:
        code, said, _ = get(bad.url)
        assert (code, said["unproven"]) == (0, ["val2017"])
        argv = ("download", "coco", "--mirror", bad.url, "--checksums", root / "SHA256SUMS")
        for path in (tmp_path / "coco").glob("val2017/*7.jpg"):
            path.unlink()
        ended = run(*argv, "--output", tmp_path / "coco")
        assert (ended.code, "warning: val2017 was not held against its recorded checksum" in ended.err) == (0, True)
        ended = run(*argv, "--output", tmp_path / "coco", "--keep-archives")
        assert (ended.code, "[wrong-content]" in ended.err) == (3, True)


# what is there


def test_a_file_of_somebody_else_stays_though_its_size_is_right(get, root, tmp_path):
    name = "val2017/000000002000.jpg"
    theirs = tmp_path / "coco" / name
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(bytes((root / name).stat().st_size))
    with Mirror(root) as good:
        code, _, err = get(good.url)
    assert code == 3
    assert "[would-overwrite]" in err
    assert not any(theirs.read_bytes())


def test_a_noted_digest_counts_only_for_a_file_of_that_size(get, run, root, tmp_path):
    name = "val2017/000000002000.jpg"
    images = draw()["val2017"].images
    changed = {f"val2017/{one}": data[:-9] if name.endswith(one) else data for one, data in images.items()}
    lay_out(tmp_path / "changed")
    pack(tmp_path / "changed/zips/val2017.zip", changed)
    with Mirror(tmp_path / "changed") as other, Mirror(root) as good:
        assert get(other.url, "--labels", "captions", sums=sums(tmp_path / "changed"))[0] == 0
        (tmp_path / "coco" / name).write_bytes((root / name).read_bytes())
        assert get(good.url, "--labels", "instances")[0] == 0
    assert (
        hashlib.sha256((root / name).read_bytes()).hexdigest()
        in (tmp_path / "coco/.visprep/manifest.jsonl").read_text()
    )


# room


def laid_out(root, sizes):
    """Splits with one image of so many bytes; the path of their SHA256SUMS."""
    splits = {}
    for split, size in sizes.items():
        label = {"images": [{"id": 1, "file_name": "1.jpg", "width": 1, "height": 1}], "annotations": []}
        splits[split] = Split({"1.jpg": bytes(size)}, {"instances": json.dumps(label).encode()})
    return lay_out(root, splits)


def test_the_room_for_all_kept_archives_is_looked_at_before_the_first(get, small_disk, tmp_path):
    told = laid_out(tmp_path / "two", {"train2017": 20_000, "val2017": 20_000})
    with Mirror(tmp_path / "two") as mirror:
        argv = ("--split", "train2017,val2017", "--labels", "instances", "--keep-archives")
        code, _, err = get(mirror.url, *argv, sums=told, output=small_disk / "place")
        assert code == 3
        assert "[disk-full]" in err
        assert not [one for one in mirror.requests if one.line.startswith("GET")]
    assert not (small_disk / "place").exists()


def test_what_came_of_an_archive_before_needs_no_room_again(get, small_disk, tmp_path):
    told = laid_out(tmp_path / "one", {"val2017": 40_000})
    subprocess.run(["mount", "-o", "remount,size=112k", small_disk], check=True)
    argv = ("--labels", "instances", "--keep-archives")
    with Mirror(tmp_path / "one") as mirror:
        mirror.fault("GET /zips", times=1, cut=0.9, reset=True)
        mirror.fault("GET /zips", times=None, status=404)
        assert get(mirror.url, *argv, sums=told, output=small_disk / "place")[0] == 3
        mirror.clear_faults()
        code, _, err = get(mirror.url, *argv, sums=told, output=small_disk / "place")
    assert code == 0, err


def test_what_is_unpacked_needs_no_room_again(get, small_disk, tmp_path):
    told = laid_out(tmp_path / "one", {"val2017": 40_000})
    subprocess.run(["mount", "-o", "remount,size=120k", small_disk], check=True)
    place = small_disk / "place"
    with Mirror(tmp_path / "one") as mirror:
        assert get(mirror.url, "--labels", "instances", sums=told, output=place)[0] == 0
        code, _, err = get(mirror.url, "--labels", "instances", "--keep-archives", sums=told, output=place)
    assert code == 0, err
    assert (place / "archives/val2017.zip").stat().st_size > 40_000


def test_what_was_put_aside_may_leave_no_room_for_the_next_mirror(get, small_disk, tmp_path):
    told = laid_out(tmp_path / "good", {"val2017": 40_000})
    laid_out(tmp_path / "bad", {"val2017": 40_000})
    pack(tmp_path / "bad/zips/val2017.zip", {"val2017/1.jpg": b"x" * 40_000})
    with Mirror(tmp_path / "bad") as bad, Mirror(tmp_path / "good") as good:
        argv = ("--labels", "instances")
        code, _, err = get(f"{bad.url},{good.url}", *argv, sums=told, output=small_disk / "place")
    assert code == 3
    assert "[disk-full]" in err
    assert "bytes are needed for zips/val2017.zip of the next mirror" in err
    assert "is recorded; what was in it was put aside in .visprep/quarantine/val2017" in err


def test_a_whole_archive_is_not_fetched_where_it_has_no_room(get, small_disk, tmp_path):
    told = laid_out(tmp_path / "large", {"val2017": 300_000})
    with Mirror(tmp_path / "large", ranges=False) as plain:
        code, _, err = get(plain.url, "--labels", "instances", sums=told, output=small_disk / "place")
    assert code == 3
    assert "zips/val2017.zip and what is in it" in err
