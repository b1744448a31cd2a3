"""verify on places of YOLO and of VOC: on disk, in a zip, on S3; guessed, counted, chosen, and no deeper."""

import json
import subprocess
import zipfile

import pytest

import visprep
from drawn import picture, put
from labeled_places import BOX, DATA, jpeg, voc, xml, yolo

#: Format, what draws a place, an image of it with what is told of it, files that are no image, and what lacks its image
KINDS = [
    ("yolo", yolo, "images/train/a.jpg", "labels/train/a.txt", 7, "yolo-label-unused"),
    ("voc", voc, "JPEGImages/a.jpg", "Annotations/a.xml", 12, "voc-image-missing"),
]
every_kind = pytest.mark.parametrize(("format", "draw", "image", "label", "files", "lost"), KINDS, ids=["yolo", "voc"])


def codes(place, **options):
    return [one.code for one in visprep.verify(place, **options).findings]


def packed(place, archive):
    with zipfile.ZipFile(archive, "w") as written:
        for path in sorted(place.rglob("*")):
            if path.is_file():
                written.write(path, path.relative_to(place))
    return archive


def git(place, *words):
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    subprocess.run(["git", *identity, "-C", place, *words], check=True, capture_output=True)


@every_kind
def test_a_clean_place_is_guessed_and_counted(run, tmp_path, format, draw, image, label, files, lost):
    draw(tmp_path / "place")
    for depth in ("names", "sizes", "headers", "decode", "content"):
        report = visprep.verify(tmp_path / "place", depth=depth)
        objects = {} if depth in ("names", "sizes") else {"objects": 3}
        assert (report.format, report.findings) == (format, ())
        assert report.checked == {"images": 3, **objects, "files": files}
    ended = run("verify", tmp_path / "place", "--as", format)
    assert ended.code == 0
    assert f"(as {format}, depth decode)" in ended.out


@every_kind
def test_in_a_zip_and_on_s3(run, tmp_path, bucket, format, draw, image, label, files, lost):
    place = draw(tmp_path / "place")
    put(place, image, jpeg(1, (400, 300))[:-40])  # more than the 64 KB of a header
    assert (place / image).stat().st_size > 65536
    if format == "voc":
        put(place, "SegmentationClass/a.png", picture(2, (400, 300)))
    put(place, label, b"?")
    told = sorted(["image-truncated", {"yolo": "yolo-row-columns", "voc": "voc-xml-damaged"}[format]])
    report = visprep.verify(packed(place, tmp_path / "place.zip"))
    assert (report.format, sorted(one.code for one in report.findings)) == (format, told)
    url = f"s3://{bucket}/{format}"
    assert run("upload", place, url).code == 0
    assert sorted(codes(url, depth="decode")) == told
    report = visprep.verify(url)
    assert (report.format, report.depth, [one.code for one in report.findings]) == (format, "headers", told[1:])
    assert sorted(codes(url, reread=True)) == told
    ended = run("verify", url, "--json")
    assert ended.code == 1
    (found,) = json.loads(ended.out)["findings"]
    assert (found["path"], found["where"]["line"]) == (label, 1)


@every_kind
def test_only_what_changed_is_looked_at(tmp_path, format, draw, image, label, files, lost):
    place = draw(tmp_path)
    put(place, image.replace("a.jpg", "b.jpg"), b"")
    git(place, "init")
    git(place, "add", ".")
    git(place, "commit", "-m", "x")
    report = visprep.verify(place, only_changed="HEAD")
    assert (report.findings, set(report.checked.values())) == ((), {0})
    put(place, label, b"?")
    report = visprep.verify(place, only_changed="HEAD")
    assert [one.path for one in report.findings] == [label]
    assert report.checked["images"] == 1
    put(place, image, b"")
    git(place, "checkout", label)
    assert codes(place, only_changed="HEAD") == ["image-empty"]


def test_all_is_looked_at_when_a_data_file_changed(tmp_path):
    place = yolo(tmp_path)
    git(place, "init")
    git(place, "add", ".")
    git(place, "commit", "-m", "x")
    put(place, "data.yaml", DATA.replace(b"cat, dog", b"dog"))
    put(place, "labels/val/c.txt", BOX.replace(b"0 ", b"1 ", 1))
    git(place, "add", "labels")
    git(place, "commit", "-m", "y")
    assert codes(place, only_changed="HEAD") == ["yolo-class-range"]


@every_kind
def test_a_baseline_and_a_choice(run, tmp_path, format, draw, image, label, files, lost):
    place = draw(tmp_path / "place")
    put(place, label, b"?")
    put(place, image, b"")
    (code,) = set(codes(place)) - {"image-empty"}
    assert run("verify", place, "--report", tmp_path / "known.json", "--format", "json").code == 1
    ended = run("verify", place, "--baseline", tmp_path / "known.json")
    assert (ended.code, "2 known" in ended.out) == (0, True)
    assert codes(place, select=[code]) == [code]
    assert codes(place, ignore=[f"{code}:{label}"]) == ["image-empty"]


@every_kind
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_an_image_that_the_manifest_lists_is_missed_once(
    run, tmp_path, format, draw, image, label, files, lost, suffix
):
    """Both the manifest and the label ask for it."""
    place, elsewhere = draw(tmp_path / "place"), tmp_path / "elsewhere"
    if suffix == "png":
        (place / image).unlink()
        image = image.replace("jpg", "png")
        put(place, image, picture(3))
        put(place, label, {"yolo": BOX, "voc": xml("a").replace(b"a.jpg", b"a.png")}[format])
    assert run("download", packed(place, tmp_path / "place.zip"), "--output", elsewhere).code == 0
    assert codes(elsewhere, depth="content") == []
    (elsewhere / image).unlink()
    found = codes(elsewhere)
    assert [code for code in found if not code.startswith("voc-set")] == [lost]


def test_an_image_that_a_list_names_is_missed_once(tmp_path):
    place = yolo(tmp_path, DATA.replace(b"images/train", b"train.txt"))
    put(place, "train.txt", b"./images/train/a.jpg\n./images/train/b.jpg\n")
    (place / "images/train/a.jpg").unlink()
    assert codes(place) == ["yolo-image-missing"]


@every_kind
def test_a_mistyped_format_names_those_that_there_are(run, tmp_path, format, draw, image, label, files, lost):
    ended = run("verify", draw(tmp_path / "place"), "--as", f"{format}s")
    assert ended.code == 2
    assert format in ended.err


def test_a_large_place_is_read_a_label_at_a_time(tmp_path):
    """A thousand rows in each of a hundred labels; all findings of one label come before the next is read."""
    place = yolo(tmp_path)
    row = "".join(f"0 0.5 0.5 0.{number:03} 0.1\n" for number in range(1, 1000)).encode()
    for number in range(20):
        put(place, f"images/train/{number}.jpg", jpeg(number))
        put(place, f"labels/train/{number}.txt", row)
    report = visprep.verify(place, depth="headers")
    assert (report.findings, report.checked["objects"]) == ((), 3 + 20 * 999)
