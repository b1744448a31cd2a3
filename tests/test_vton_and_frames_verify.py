"""verify on places with triplets and with frames: on disk, in a zip, on S3; guessed, counted, chosen, and no deeper."""

import json
import subprocess
import zipfile

import pytest

import visprep
from drawn import episodes, picture, put, triplets
from visprep.errors import UnknownContent, UnknownName

TRY_ON = "easy/female/try_on_image/001_vton.png"
FRAME = "game1/episode1/frame_002.png"
#: Format, what draws a place, a picture of it, what is counted
KINDS = [
    ("vton", triplets, TRY_ON, {"triplets": 4, "images": 12, "files": 12}),
    ("frames", episodes, FRAME, {"episodes": 4, "frames": 12, "files": 12}),
]
every_kind = pytest.mark.parametrize(("format", "draw", "path", "checked"), KINDS, ids=["vton", "frames"])


def codes(place, **options):
    return [one.code for one in visprep.verify(place, **options).findings]


def packed(place, archive):
    with zipfile.ZipFile(archive, "w") as written:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                written.write(path, path.relative_to(place))
    return archive


def git(place, *words):
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", place, *words], check=True, capture_output=True
    )


@every_kind
def test_a_clean_place_is_guessed_and_counted(run, tmp_path, format, draw, path, checked):
    draw(tmp_path / "place")
    for depth in ("names", "sizes", "headers", "decode", "content"):
        report = visprep.verify(tmp_path / "place", depth=depth)
        assert (report.format, report.findings, report.checked) == (format, (), checked)
    ended = run("verify", tmp_path / "place")
    assert ended.code == 0
    assert f"12 files checked (as {format}, depth decode)" in ended.out


@every_kind
@pytest.mark.parametrize("depth", ["names", "sizes", "headers", "decode"])
def test_each_depth_sees_what_it_says(tmp_path, format, draw, path, checked, depth):
    place = draw(tmp_path)
    other = path.replace("001_vton", "001_person").replace("try_on", "initial").replace("002", "001")
    put(place, path, b"")
    put(place, other, picture(1)[:-40])
    seen = {"names": [], "sizes": ["image-empty"]}.get(depth, ["image-empty", "image-truncated"])
    assert sorted(codes(place, depth=depth)) == seen


@every_kind
def test_in_a_zip_and_on_s3(run, tmp_path, bucket, format, draw, path, checked):
    place = draw(tmp_path / "place")
    put(place, path, (place / path).read_bytes()[:-40])
    report = visprep.verify(packed(place, tmp_path / "place.zip"))
    assert ([one.code for one in report.findings], report.checked) == (["image-truncated"], checked)
    url = f"s3://{bucket}/{format}"
    assert run("upload", place, url).code == 0
    assert codes(url, depth="decode") == ["image-truncated"]
    report = visprep.verify(url, depth="names")
    assert (report.format, report.findings, report.checked) == (format, (), checked)
    for name in (path, f"{path.rpartition('/')[0]}/notes.txt"):
        (place / name).write_bytes(b"<html>" * 9)
    assert sorted(codes(place)) == sorted(["file-unlisted", "image-not-image", "unexpected-file"])[1:]
    assert run("upload", place, url).code == 0
    assert codes(url) == ["unexpected-file"]  # the images are as they were uploaded, bad as that was
    ended = run("verify", url, "--json", "--reread")
    assert ended.code == 1
    assert {(one["code"], one["path"]) for one in json.loads(ended.out)["findings"]} == {
        ("image-not-image", path),
        ("unexpected-file", f"{path.rpartition('/')[0]}/notes.txt"),
    }


@every_kind
def test_a_dry_run_counts_the_bytes_and_reads_none(tmp_path, bucket, run, format, draw, path, checked):
    place = draw(tmp_path / "place")
    put(place, path, picture(1, (300, 200)))  # more than the 64 KB of a header
    sizes = [file.stat().st_size for file in place.rglob("*.png")]
    assert max(sizes) > 65536
    report = visprep.verify(place, dry_run=True)
    assert (report.checked, report.findings) == ({**checked, "bytes": sum(sizes)}, ())
    assert visprep.verify(place, dry_run=True, depth="sizes").checked["bytes"] == 0
    assert run("upload", place, f"s3://{bucket}/x").code == 0
    dry = visprep.verify(f"s3://{bucket}/x", dry_run=True)
    assert (dry.checked["bytes"], dry.spared) == (0, len(sizes))  # the manifest vouches for them
    dry = visprep.verify(f"s3://{bucket}/x", dry_run=True, reread=True)
    assert (dry.checked["bytes"], dry.spared) == (sum(size if size <= 8192 else 512 for size in sizes), 0)
    everything = visprep.verify(f"s3://{bucket}/x", dry_run=True, depth="content")
    assert everything.checked["bytes"] == sum(sizes)  # what is decoded is hashed as it passes


@every_kind
def test_only_what_changed_is_looked_at_with_its_whole_record(tmp_path, format, draw, path, checked):
    place = draw(tmp_path)
    untouched = path.replace("easy/female", "hard/male").replace("game1", "game2")
    put(place, untouched, b"")
    git(place, "init")
    git(place, "add", ".")
    git(place, "commit", "-m", "x")
    report = visprep.verify(place, only_changed="HEAD")
    assert (report.findings, set(report.checked.values())) == ((), {0})
    put(place, path, picture(1, (8, 8)))
    report = visprep.verify(place, only_changed="HEAD")
    assert [one.code for one in report.findings] == [{"vton": "triplet-size", "frames": "episode-size"}[format]]
    assert list(report.checked.values()) == [1, 3, 3]
    (place / path).unlink()
    report = visprep.verify(place, only_changed="HEAD")
    assert [one.code for one in report.findings] == [{"vton": "triplet-incomplete", "frames": "episode-gap"}[format]]
    assert list(report.checked.values()) == [1, 2, 2]


def test_a_deleted_cloth_is_a_change_of_its_triplet(tmp_path):
    place = triplets(tmp_path)
    git(place, "init")
    git(place, "add", ".")
    git(place, "commit", "-m", "x")
    (place / "easy/female/cloth_image/001_cloth_dress.png").unlink()
    assert codes(place, only_changed="HEAD") == ["triplet-incomplete"]


@every_kind
def test_a_baseline_and_a_choice(run, tmp_path, format, draw, path, checked):
    place = draw(tmp_path / "place")
    (place / path).unlink()
    put(place, f"{path.rpartition('/')[0]}/notes.txt", b"x")
    code = {"vton": "triplet-incomplete", "frames": "episode-gap"}[format]
    assert run("verify", place, "--report", tmp_path / "known.json", "--format", "json").code == 1
    ended = run("verify", place, "--baseline", tmp_path / "known.json")
    assert (ended.code, "2 known" in ended.out) == (0, True)
    assert codes(place, select=[code]) == [code]
    assert codes(place, ignore=[code]) == ["unexpected-file"]
    assert codes(place, ignore=[f"{code}:{path.rpartition('/')[0]}*"]) == ["unexpected-file"]
    assert run("verify", place, "--ignore", code, "--fail-on", "warning").code == 1


@every_kind
def test_a_file_that_the_manifest_lists_is_missed_once(run, tmp_path, format, draw, path, checked):
    """Both the manifest and the layout ask for it."""
    place, elsewhere = draw(tmp_path / "place"), tmp_path / "elsewhere"
    assert run("download", packed(place, tmp_path / "place.zip"), "--output", elsewhere).code == 0
    assert codes(elsewhere, depth="content") == []
    (elsewhere / path).unlink()
    found = codes(elsewhere)
    assert found == {"vton": ["triplet-incomplete"], "frames": ["episode-gap"]}[format]


@pytest.mark.parametrize(
    ("config", "lost", "told"),
    [
        ("vton", ["easy/female/cloth_image/001_cloth_shirt.png"], ["triplet-incomplete"]),
        (
            "vton",
            [f"easy/female/{name}" for name in ("initial_image/001_person.png", "cloth_image/001_cloth_shirt.png")],
            ["triplet-incomplete", "triplet-incomplete"],
        ),
        ("frames", [f"walk/episode1/frame_0000{number}.png" for number in (2, 5, 6)], ["episode-gap"] * 2),
        (
            "frames",
            [f"walk/episode1/frame_0000{number}.png" for number in (1, 3, 8)],
            ["episode-gap", "file-missing", "file-missing"],
        ),
    ],
)
def test_what_the_record_lacks_is_no_missing_file_too(tmp_path, config, lost, told):
    """A cloth by the name that it had, a frame by its number; before the first frame, and after the last, is no gap."""
    visprep.download("sample", tmp_path / "place", config=config)
    for path in lost:
        (tmp_path / "place" / path).unlink()
    assert codes(tmp_path / "place") == told


def test_what_cannot_be_read_makes_the_exit_code_3(run, tmp_path):
    place = episodes(tmp_path / "place")
    (place / FRAME).unlink()
    (place / FRAME).symlink_to("nowhere")
    ended = run("verify", place)
    assert ended.code == 3
    assert "image-unreadable" in ended.out


@every_kind
def test_a_place_may_begin_at_any_level(tmp_path, format, draw, path, checked):
    draw(tmp_path / "deep/er")
    top, middle = path.split("/")[:2]
    for level, records in (("deep", 4), ("deep/er", 4), (f"deep/er/{top}", 2), (f"deep/er/{top}/{middle}", 1)):
        report = visprep.verify(tmp_path / level)
        assert (report.format, report.findings, next(iter(report.checked.values()))) == (format, (), records)


# Guessing


def test_frames_with_annotations_are_coco(tmp_path):
    place = episodes(tmp_path)
    put(place, "annotations/instances_val.json", b'{"images": [], "annotations": [], "categories": []}')
    assert visprep.verify(place).format == "coco"
    assert visprep.verify(place, as_="frames").format == "frames"


def test_tasks_come_first_and_triplets_before_frames(tmp_path):
    place = episodes(triplets(tmp_path))
    assert visprep.verify(place).format == "vton"
    for name in ("first_frame.png", "final_frame.png"):
        put(place, f"a_task/t0/{name}", picture(1))
    assert visprep.verify(place).format == "tasks"


def test_a_link_to_a_directory_does_not_hide_what_a_place_is(tmp_path):
    place = triplets(tmp_path / "place")
    (place / "more").symlink_to("easy")
    report = visprep.verify(place)
    assert (report.format, [one.code for one in report.findings]) == ("vton", ["directory-link"])


def test_nothing_known_is_told_with_what_would_be(tmp_path):
    put(tmp_path, "photo.jpg", b"x")
    with pytest.raises(UnknownContent) as caught:
        visprep.verify(tmp_path)
    assert "frame_{number}.png" in caught.value.hint
    assert "--as tasks, --as coco, --as yolo, --as voc, --as vton, --as frames" in caught.value.hint
    with pytest.raises(UnknownName, match="there is no format 'frame'"):
        visprep.verify(tmp_path, as_="frame")


@pytest.mark.parametrize(("format", "code"), [("vton", "no-triplets"), ("frames", "no-frames")])
def test_an_empty_directory_has_none(run, tmp_path, format, code):
    (tmp_path / "empty").mkdir()
    assert codes(tmp_path / "empty", as_=format) == [code]
    assert run("verify", tmp_path / "empty", "--as", format).code == 1


def test_a_place_inside_keeps_its_own_record(run, tmp_path):
    episodes(tmp_path / "place")
    assert run("download", f"{tmp_path / 'place'}/", "--output", tmp_path / "whole/inner").code == 0
    assert (tmp_path / "whole/inner/.visprep/manifest.jsonl").is_file()
    assert codes(tmp_path / "whole") == []
