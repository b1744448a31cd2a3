"""report: what is on the page of a place is what lies there, and the page is written whole, where it may be."""

import functools
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

import coco_place
import drawn
import labeled_places
import record_places
import report_pages
import visprep
from report_pages import Shown, opened
from visprep.errors import BadRecord, DiskError, UnknownContent, UsageError, WouldOverwrite
from visprep.stores import PART_SUFFIX
from visprep.traffic import metered


def page(place, tmp_path, **options):
    """The page of a place."""
    visprep.report(place, output=tmp_path / "page.html", **options)
    return Shown(tmp_path / "page.html")


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    place = report_pages.coco(tmp_path_factory.mktemp("coco") / "place")
    made = visprep.report(place, output=place.parent / "page.html")
    return made, Shown(place.parent / "page.html"), place


# What is drawn


def test_a_page_shows_every_image_with_its_findings(coco):
    made, shown, place = coco
    assert (made.shown, made.records, made.kind) == (10, 10, "COCO")
    assert made.bytes == Path(made.output).stat().st_size
    assert set(shown.names) == {*(f"{number:012}.jpg" for number in range(1, 10)), "gone.jpg"}
    assert {one["group"] for one in shown.items} == {"train2017", "val2017"}
    assert made.findings == visprep.verify(place, depth="headers").counts
    assert shown.about("000000000001.jpg") >= {"box-outside-image"}
    assert shown.about("000000000002.jpg") >= {"image-truncated"}
    assert shown.about("gone.jpg") == {"image-missing"}
    assert not shown.about("000000000007.jpg")
    for at, finding in enumerate(shown.findings):
        if "item" in finding:
            assert at in shown.items[finding["item"]]["findings"]


def test_outlines_crowds_and_boxes_are_drawn_where_they_say_something(coco):
    shown = coco[1]
    outlined, beside = shown.shapes("000000000001.jpg")[-1], shown.shapes("000000000001.jpg")[:2]
    assert outlined == ("outline", "person", "id 1")  # whose box reaches as far, and is not drawn again
    assert [(kind, name) for kind, name, _ in beside] == [("outline", "dog"), ("box", "dog")]
    assert all("id 2" in detail and "box-outside-image" in detail for *_, detail in beside)  # they come first
    crowd = next(one for one in shown.shapes("000000000002.jpg") if "crowd" in one[2])
    assert crowd[0] == "outline"
    assert ("box", "person", "id 5") in shown.shapes("000000000003.jpg")


def test_an_image_gathers_what_all_files_say_of_it(coco):
    shown = coco[1]
    kinds = [kind for kind, *_ in shown.shapes("000000000007.jpg")]
    assert kinds.count("keypoints") == 2
    assert ("outline", "dog", "segment 5") in shown.shapes("000000000007.jpg")
    joints = next(one for one in shown["000000000007.jpg"]["shapes"] if one["kind"] == "keypoints")
    assert (joints["skeleton"], len(joints["points"])) == ([[0, 1]], 17)
    captions = [text for label, text in shown["000000000007.jpg"]["texts"] if label == "caption"]
    assert captions == [f"Picture 7 of noise, said in way {which}." for which in (0, 1)]


def test_a_mask_is_drawn_where_its_pixels_are(coco):
    (segment,) = [one for one in coco[1]["000000000007.jpg"]["shapes"] if one.get("detail") == "segment 5"]
    corners = {tuple(map(float, point.split())) for point in segment["d"].strip("MZ").split("L")}
    assert corners == {(10, 10), (50, 10), (50, 30), (10, 30)}


def test_pictures_are_small_and_say_how_large_they_were(coco):
    shown = coco[1]["000000000005.jpg"]["pictures"][0]
    assert (shown["width"], shown["height"]) == coco_place.SIZE
    assert opened(coco[1]["000000000005.jpg"]).size == coco_place.SIZE


def test_a_picture_that_cannot_be_shown_says_why(coco):
    cut, gone = (coco[1][name]["pictures"][0] for name in ("000000000002.jpg", "gone.jpg"))
    assert "src" not in cut
    assert "JPEG" in cut["note"]
    assert (gone["note"], gone["width"]) == ("it is not there", coco_place.SIZE[0])


def test_copies_stand_side_by_side(coco):
    shown = coco[1]
    named = [({shown.items[one]["name"], shown.items[other]["name"]}, what) for one, other, what, _ in shown.pairs]
    assert named == [({"000000000003.jpg", "000000000004.jpg"}, "The same bytes")]
    assert "near-duplicates 1 pair among the 8 images whose pictures can be read" in shown.section("facts")


def test_facts_and_charts_are_those_of_stats(coco):
    _, shown, place = coco
    told = visprep.stats(place)
    assert f"annotations {told.annotations:,}" in shown.section("facts")
    every = visprep.verify(place).checked["annotations"]
    assert every > told.annotations
    assert f"{every:,} annotations in all files" in shown.section("facts")
    assert "Attribution License" in shown.section("facts")
    for histogram in told.histograms:
        assert histogram.title in shown.section("charts")
    assert "train2017 7" in shown.section("charts")


def test_a_picture_that_lies_is_drawn_as_its_annotations_have_it(tmp_path):
    place = coco_place.make(tmp_path / "place", train=2, val=1)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.random.default_rng(5).integers(0, 256, (64, 96, 3), np.uint8)
    for number in (1, 2):
        Image.fromarray(pixels).save(place / f"train2017/{number:012}.jpg", exif=exif)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        data["images"][1] |= {"width": 64, "height": 96}
    shown = page(place, tmp_path)
    assert opened(shown["000000000001.jpg"]).size == (96, 64)
    assert opened(shown["000000000002.jpg"]).size == (64, 96)
    assert shown["000000000002.jpg"]["pictures"][0]["width"] == 64


def test_one_broken_file_hides_no_other(tmp_path):
    place = coco_place.make(tmp_path / "place", train=2, val=2)
    (place / "annotations/instances_val2017.json").write_text('{"images": [')
    shown = page(place, tmp_path)
    assert shown.names == ["000000000001.jpg", "000000000002.jpg"]
    assert "not read" in shown.section("facts")
    assert "json-syntax" in {one["code"] for one in shown.findings}
    (place / "annotations/instances_train2017.json").write_text("[")
    assert page(place, tmp_path).items == []


def test_a_file_of_annotations_by_itself(tmp_path):
    place = coco_place.make(tmp_path / "place", train=2, val=1)
    with coco_place.edited(file := place / "annotations/instances_train2017.json") as data:
        data["annotations"][0]["bbox"] = [0, 0, 500, 500]
    shown = page(file, tmp_path)
    assert opened(shown["000000000001.jpg"]).size == coco_place.SIZE
    assert shown.about("000000000001.jpg") >= {"box-outside-image"}


# Other kinds of records


def test_tasks_with_frames_texts_and_videos(tmp_path):
    pytest.importorskip("av")
    place = record_places.make_tasks(tmp_path / "place", 5)
    homes = sorted(one.parent for one in place.rglob("prompt.txt"))
    frames = [Image.new("RGB", (33, 21), (40 * at, 90, 10)) for at in range(6)]
    visprep_video(frames, homes[0] / "ground_truth.mp4", codec="mpeg4")
    visprep_video(frames, homes[1] / "ground_truth.avi")
    visprep_video([one.resize((32, 20)) for one in frames], homes[2] / "ground_truth.mp4")
    (homes[3] / "prompt.txt").unlink()
    (homes[3] / "ground_truth.avi").write_bytes(b"no video")
    (homes[4] / "final_frame.png").unlink()
    shown = page(place, tmp_path)
    names = [one.relative_to(place).as_posix() for one in homes]
    assert [one["label"] for one in shown[names[0]]["pictures"]] == ["first frame", "final frame"]
    assert dict(shown[names[0]]["texts"])["prompt"] == "Solve number 0."
    assert '"source": "s0"' in dict(shown[names[0]]["texts"])["metadata.json"]
    assert [shown[name]["video"].get("src", "")[:15] for name in names[:3]] == ["data:video/mp4;"] * 3
    assert ["made smaller" in shown[name]["video"]["note"] for name in names[:3]] == [True, True, False]
    assert "src" not in shown[names[3]]["video"]
    assert "neither AVI nor MP4" in shown[names[3]]["video"]["note"]
    assert shown[names[3]]["tags"] == ["no prompt"]
    assert shown[names[4]]["pictures"][1]["note"] == "it is not there"
    assert "task-file-missing" in shown.about(names[4])
    assert (shown.group, {one["group"] for one in shown.items}) == ("Domain", {"maze", "sudoku"})


def visprep_video(frames, path, codec=None):
    from visprep.video import write_video

    write_video(frames, path, 8, codec)


def test_triplets_and_episodes(tmp_path):
    shown = page(drawn.triplets(tmp_path / "vton"), tmp_path)
    assert [one["label"] for one in shown["easy/male/001"]["pictures"]] == ["person", "cloth", "try-on"]
    (tmp_path / "vton/easy/male/cloth_image/001_cloth_dress.png").unlink()
    shown = page(tmp_path / "vton", tmp_path)
    assert shown["easy/male/001"]["pictures"][1]["note"] == "it is not there"
    assert shown.about("easy/male/001")
    place = record_places.make_episodes(tmp_path / "frames", frames=20)
    shown = page(place, tmp_path)
    labels = [one["label"] for one in shown["pong/episode_0"]["pictures"]]
    assert (labels[0], labels[-1], len(labels)) == ("frame 1", "frame 20", 8)
    assert (shown.group, shown["pong/episode_0"]["group"]) == ("Game", "pong")


@pytest.mark.parametrize("make", [labeled_places.yolo, labeled_places.voc])
def test_labels_of_yolo_and_voc_are_drawn(tmp_path, make):
    shown = page(make(tmp_path / "place"), tmp_path)
    assert sorted(one["group"] for one in shown.items) == ["train", "train", "val"]
    drawn_on = {kind[:2] for name in shown.names for kind in shown.shapes(name)}
    assert drawn_on == {("box", "cat" if make is labeled_places.yolo else "dog")}
    assert all(one["count"] == 1 for one in shown.items)
    label = next((tmp_path / "place").rglob("a.txt" if make is labeled_places.yolo else "a.xml"))
    label.write_bytes(b"7 0.5\n<annotation")
    shown = page(tmp_path / "place", tmp_path)
    assert sum("findings" in one for one in shown.items) == 1


def test_plain_images_and_places_with_nothing_to_show(tmp_path):
    drawn.put(tmp_path, "plain/cats/1.png", drawn.picture(1))
    drawn.put(tmp_path, "plain/dogs/2.png", drawn.picture(2))
    shown = page(tmp_path / "plain", tmp_path)
    assert [(one["name"], one["group"]) for one in shown.items] == [("cats/1.png", "cats"), ("dogs/2.png", "dogs")]
    assert shown.section("findings") == ""
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownContent):
        visprep.report(tmp_path / "empty", output=tmp_path / "other.html")
    assert not (tmp_path / "other.html").exists()


def test_an_archive_is_shown_as_its_directory_is(tmp_path):
    place = drawn.triplets(tmp_path / "place")
    shutil.make_archive(tmp_path / "packed", "zip", place)
    assert page(tmp_path / "packed.zip", tmp_path).items == page(place, tmp_path).items


# Which are shown


def test_a_sample_has_all_findings_classes_and_splits_first(tmp_path):
    place = coco_place.make(tmp_path / "place", train=30, val=5)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        data["annotations"][20]["bbox"] = [0, 0, 500, 500]
        data["annotations"][40]["area"] = -1
        data["categories"].append({"id": 3, "name": "rare"})
        data["annotations"][50]["category_id"] = 3
    shown = page(place, tmp_path, sample=6)
    assert len(shown.items) == 6
    assert {"000000000011.jpg", "000000000021.jpg", "000000000026.jpg"} <= set(shown.names)
    assert {one["group"] for one in shown.items} == {"train2017", "val2017"}
    assert shown.names == sorted(shown.names)
    assert shown.names == page(place, tmp_path, sample=6).names != page(place, tmp_path, sample=6, seed=1).names
    assert "6 of 35 are on this page" in shown.section("items")
    assert page(place, tmp_path, sample=0).items == []


def test_findings_are_listed_up_to_a_number_and_counted_beyond(tmp_path):
    place = coco_place.make(tmp_path / "place", train=150, val=1)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        for one in data["annotations"]:
            one["bbox"] = [0, 0, 500, 500]
    shown = page(place, tmp_path, sample=10)
    assert len([one for one in shown.findings if one["code"] == "box-outside-image"]) == 100
    assert "verify lists all" in shown.section("findings")
    told = visprep.verify(place, depth="headers")
    assert shown.codes == dict(Counter(one.code for one in told.findings))
    assert sum(shown.codes.values()) == sum(told.counts.values()) > len(shown.findings)
    with_items = [one for one in shown.findings if "item" in one]
    assert {one["item"] for one in with_items} >= {0, 1, 2}  # what can be seen is listed before the rest


def test_an_image_counts_all_its_findings_and_each_code_is_listed(run, tmp_path):
    place = coco_place.make(tmp_path / "place", train=3, val=1)
    name, codes = "000000000002.jpg", [f"code-{number:02}" for number in range(14)]
    said = {"format_version": 1, "place": str(place), "findings": [
        {"code": code, "level": "error", "path": f"train2017/{name}", "message": f"{number}"}
        for code in codes for number in range(200)
    ]}  # fmt: skip
    (tmp_path / "said.json").write_text(json.dumps(said))
    shown = page(place, tmp_path, findings=tmp_path / "said.json")
    assert shown.codes == shown.counts(name) == dict.fromkeys(codes, 200)
    assert Counter(one["code"] for one in shown.findings) == dict.fromkeys(codes, 1000 // 14)
    assert shown.about(name) == set(codes)


@pytest.mark.parametrize("name", ["dataset.json", "annotations/captions_val2017.json"])
def test_one_file_that_tells_of_no_images_has_no_page(run, tmp_path, name):
    visprep.download("sample", tmp_path / "place", config="coco")
    file = tmp_path / "place" / name
    if name != "dataset.json":
        file.write_text('{"images": [')
    said = [run("stats", file), run("report", file, "--output", tmp_path / "page.html")]
    for ended in said:
        assert (ended.code, ended.out) == (3, "")
        assert f"visprep: {file}: " in ended.err
        assert f"hint: name the place: {tmp_path / 'place'}\n" in ended.err or f"visprep verify {file}" in ended.err
    assert said[0].err == said[1].err
    assert not (tmp_path / "page.html").exists()


def test_the_report_of_an_earlier_verify_is_taken(run, tmp_path):
    place = coco_place.make(tmp_path / "place", train=2, val=1)
    (place / "train2017/000000000002.jpg").write_bytes(b"")
    run("verify", place, "--format", "json", "--report", tmp_path / "said.json")
    (place / "train2017/000000000001.jpg").write_bytes(b"")
    shown = page(place, tmp_path, findings=tmp_path / "said.json")
    assert shown.about("000000000002.jpg") == {"image-empty"}
    assert not shown.about("000000000001.jpg")
    assert "taken from said.json" in shown.section("facts")
    said = json.loads((tmp_path / "said.json").read_bytes())
    said["findings"][0] |= {"path": "annotations/instances_train2017.json", "where": {"image_id": [1, 2, 3], "id": {}}}
    (tmp_path / "odd.json").write_text(json.dumps(said))
    assert not page(place, tmp_path, findings=tmp_path / "odd.json").about("000000000002.jpg")
    for text in (
        "{}", "[]", "no", '{"format_version": 1, "findings": [{}], "place": "p"}',
        '{"format_version": 1, "findings": [], "place": "p", "checked": {"files": Infinity}}',
    ):  # fmt: skip
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(BadRecord):
            page(place, tmp_path, findings=tmp_path / "bad.json")
    with pytest.raises(UsageError):
        page(place, tmp_path, findings=tmp_path / "said.json", depth="decode")


def test_a_bucket_is_asked_for_what_is_shown_alone(bucket, tmp_path):
    import boto3

    place = coco_place.make(tmp_path / "place", train=40, val=2)
    with coco_place.edited(place / "annotations/instances_val2017.json") as data:
        data["annotations"][0]["bbox"] = [0, 0, 500, 500]
    client = boto3.client("s3")
    for file in place.rglob("*.*"):
        client.upload_file(str(file), bucket, f"set/{file.relative_to(place).as_posix()}")
    with metered() as meter:
        shown = page(f"s3://{bucket}/set", tmp_path, sample=3)
    assert [opened(one).size for one in shown.items] == [coco_place.SIZE] * 3
    assert all(one["count"] >= 2 for one in shown.items)
    assert meter.requests < 40  # fewer than there are images
    assert shown.about("000000000041.jpg") == {"box-outside-image", "polygon-off-box"}
    here = page(place, tmp_path, sample=3)
    assert [one["pictures"] for one in here.items] == [one["pictures"] for one in shown.items]


@pytest.mark.parametrize(
    ("make", "record"),
    [(drawn.triplets, "easy/female"), (functools.partial(record_places.make_tasks, count=2), "maze_task/maze_0000")],
    ids=["triplets", "tasks"],
)
def test_records_in_a_bucket_that_are_the_same_stand_side_by_side(bucket, tmp_path, make, record):
    import boto3

    place = make(tmp_path / "place")
    shutil.copytree(place / record, place / f"{record}_again")
    client = boto3.client("s3")
    for file in place.rglob("*.*"):
        client.upload_file(str(file), bucket, f"set/{file.relative_to(place).as_posix()}")
    shown = page(f"s3://{bucket}/set", tmp_path)
    ((one, other, what, _),) = shown.pairs
    assert (all(record in shown.items[at]["name"] for at in (one, other)), what) == (True, "The same bytes")


# The file


def test_only_a_page_of_ours_is_replaced(run, tmp_path):
    place = drawn.triplets(tmp_path / "place")
    file = tmp_path / "page.html"
    file.write_text("<!doctype html><p>mine</p>")
    ended = run("report", place, "--output", file)
    assert (ended.code, file.read_text()) == (3, "<!doctype html><p>mine</p>")
    assert "[would-overwrite]" in ended.err
    assert "--overwrite" in ended.err
    assert run("report", place, "--output", file, "--overwrite").code == 0
    assert run("report", place, "--output", file, "--sample", "1").code == 0
    assert len(Shown(file).items) == 1
    assert not list(tmp_path.glob(f".*{PART_SUFFIX}"))
    with pytest.raises(WouldOverwrite):
        visprep.report(place, output=place / "easy/female/try_on_image/001_vton.png")
    for wrong, error in (("s3://bucket/page.html", UsageError), (tmp_path, DiskError), (tmp_path / "no/p", DiskError)):
        with pytest.raises(error):
            visprep.report(place, output=wrong)


def test_what_is_said_of_a_page(run, tmp_path):
    place = drawn.triplets(tmp_path / "place")
    ended = run("report", place, "--output", tmp_path / "page.html")
    size = (tmp_path / "page.html").stat().st_size
    assert ended.code == 0
    assert ended.out.startswith(f"{tmp_path / 'page.html'}: 4 of 4 records, {size / 1000:.1f} kB; no findings")
    said = json.loads(run("report", place, "--output", tmp_path / "page.html", "--json").out)
    assert (said["format_version"], said["shown"], said["bytes"]) == (1, 4, size)
    assert said["findings"] == {"error": 0, "warning": 0, "note": 0}
    assert run("report", place).code == 2
    assert run("report", place, "--output", tmp_path / "page.html", "--sample", "5001").code == 2
    assert run("report", tmp_path / "nowhere", "--output", tmp_path / "page.html").code == 3


def test_a_page_has_no_part_of_the_disk_it_was_made_on_but_what_it_shows(tmp_path):
    place = drawn.triplets(tmp_path / "place")
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "somebody at home"
    path = place / "easy/female/initial_image/001_person.png"
    Image.open(path).save(path, exif=exif)
    page(place, tmp_path)
    pictures = [opened(one, number) for one in Shown(tmp_path / "page.html").items for number in range(3)]
    assert all(not one.getexif() for one in pictures)


def test_a_page_of_many_images_shows_some(tmp_path):
    """Twenty thousand images that are not here, in nine classes."""
    place = tmp_path / "place"
    (place / "annotations").mkdir(parents=True)
    images = [{"id": id, "file_name": f"{id}.jpg", "width": 640, "height": 480} for id in range(20_000)]
    annotations = [{"id": id, "image_id": id, "category_id": id % 9, "bbox": [5, 4, 50, 40]} for id in range(20_000)]
    categories = [{"id": id, "name": str(id)} for id in range(9)]
    told = {"images": images, "annotations": annotations, "categories": categories}
    (place / "annotations/instances_all.json").write_text(json.dumps(told))
    made = visprep.report(place, output=tmp_path / "page.html", sample=200, depth="sizes")
    assert (made.records, made.shown) == (20_000, 200)
    assert made.bytes < 500_000
    shown = Shown(tmp_path / "page.html")
    assert {name for one in shown.names for _, name, _ in shown.shapes(one)} == {str(id) for id in range(9)}
    assert {one["pictures"][0]["note"] for one in shown.items} == {"none of its images is here"}


WEIRD = {
    "bbox": [None, "x", [], [1], [0, 0, -5, -5], {"a": 1}, [1e308, 1, 1, 1], 7],
    "segmentation": [7, [], [[]], [[1, 2]], [[1, "2", 3, 4, 5, 6]], {}, {"size": [2, 2], "counts": "x"},
                     {"size": ["a", 2], "counts": []}, {"size": [64, 96], "counts": [1, -1]}],
    "keypoints": [None, 7, [1, 2, 3], [0] * 51, ["a", 1, 2], [1, 2, 99]],
    "category_id": [None, "one", 1.5, 10**30, -1],
    "caption": [None, 7, ["a"], "\ud83d", "x" * 100_000],
    "segments_info": [None, 7, [7], [{}], [{"id": "a"}]],
    "id": [None, "a", 1.5, 10**30],
    "image_id": [None, "a", 99999],
}  # fmt: skip


def test_whatever_annotations_say_there_is_a_page(tmp_path):
    place = coco_place.make(tmp_path / "place", train=8, val=1)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        for key, values in WEIRD.items():
            data["annotations"] += [
                {"id": 1000 + at, "image_id": 1 + at % 8, "category_id": 1, key: value}
                for at, value in enumerate(values)
            ]
        data["categories"] += [{"id": 5}, {"id": 6, "name": "six", "skeleton": "no"}, {"id": 7, "name": "</script>"}]
        data["images"] += [{"id": 1, "file_name": "../../etc/passwd"}, {"file_name": None}, {"id": 70, "width": -1}, {}]
        data["licenses"] += [{"id": "a"}, 7]
    with coco_place.edited(place / "annotations/instances_val2017.json") as data:
        data["categories"] += [{"id": 7, "name": "</script><b>"}]
        data["annotations"][0]["category_id"] = 7
        data["annotations"][1]["keypoints"] = [1, 2, 2] * 17
    shown = page(place, tmp_path)
    assert ("outline", "</script><b>", "id 1") in shown.shapes("000000000009.jpg")
    assert any(kind == "keypoints" for kind, *_ in shown.shapes("000000000009.jpg"))
    assert shown.findings
    assert "etc/passwd" not in {one["name"] for one in shown.items if one["pictures"][0].get("src")}
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        del data["categories"][-3]  # without which the file can be read
        data["annotations"] = [
            one
            for one in data["annotations"]
            if all(
                isinstance(one.get(key, 0), int) and -1 < one.get(key, 0) < 2**60
                for key in ("id", "image_id", "category_id")
            )
        ]
    shown = page(place, tmp_path)
    assert {f"{number:012}.jpg" for number in range(1, 10)} <= set(shown.names)
