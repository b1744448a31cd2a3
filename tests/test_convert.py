"""Directories of Open Images that other tools leave, made into what a download of the same images makes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

import visprep
from conftest import tree
from visprep.errors import Incomplete, UsageError, WouldOverwrite, WrongContent
from visprep.formats.coco_json import JsonFile
from visprep.formats.open_images_labels import LabelFiles, label_lines
from visprep.formats.open_images_layouts import LAYOUTS, recognize
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.rules.coco import check
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing import open_images_tools as tools
from visprep.testing.open_images import lay_out

CLASSES = ("Cat", "Dog", "Person")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = tmp_path_factory.mktemp("upstream")
    with Mirror(root) as server:
        yield server, lay_out(root)


@pytest.fixture
def upstream(served, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    return served[1]


@pytest.fixture
def downloaded(served, tmp_path):
    """`downloaded(images, labels)` -> a place with these images, as `visprep download open-images` makes it."""

    def call(images, labels=("boxes",)):
        by_split = {}
        for image in images:
            by_split.setdefault(image.split, []).append(image.id)
        found = {split: tuple(ids) for split, ids in by_split.items()}
        chosen = Selection(splits=tuple(found), images=found, labels=labels)
        options = BucketOptions("http", mirrors=(UpstreamMirror(served[0].url),))
        bring(OpenImages(), chosen, LocalStore(tmp_path / "downloaded"), options, unheard)
        return tmp_path / "downloaded"

    return call


def convert(origin, output):
    return visprep.convert(origin, to="coco", output=output)


def data(place):
    """What two places must have in common: all but the record of how they came about."""
    return {
        path: content
        for path, content in tree(place).items()
        if path != "dataset.json" and not path.startswith(".visprep/")
    }


def documents(place):
    return {path.stem[10:]: json.loads(path.read_bytes()) for path in sorted(place.glob("annotations/*.json"))}


def unchanged(origin):
    return {
        path.relative_to(origin): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(origin.rglob("*"))
        if path.is_file()
    }


def faults(place):
    reports = [check(JsonFile.on_disk(path)) for path in place.glob("annotations/*.json")]
    assert reports
    return [one for report in reports for one in report.findings if one.level == "error"]


# What carries upstream's rows becomes what a download makes


def test_fiftyone(upstream, downloaded, tmp_path):
    images = [*upstream.of("train")[::2], *upstream.of("validation")]
    origin = tools.fiftyone(upstream, tmp_path / "open-images-v7", images)
    before = unchanged(origin)
    result = convert(origin, tmp_path / "oi")
    assert unchanged(origin) == before
    assert (result.kind, result.images) == ("FiftyOne", {"train": 10, "validation": 9})
    assert result.losses == {}
    labels = ("boxes", "masks", "relationships", "image-labels", "points")
    ours, theirs = data(tmp_path / "oi"), data(downloaded(images, labels))
    assert ours.keys() == theirs.keys()
    different = {path for path in ours if ours[path] != theirs[path]}
    assert different == {"labels/train/image-labels.csv", "labels/validation/image-labels.csv"}
    for path in different:  # FiftyOne has those of the classes with boxes alone, and a note says so
        assert set(ours[path].splitlines()) < set(theirs[path].splitlines())
    assert [note for note in result.notes if "image-labels" in note] == list(result.notes) != []


def test_one_split_of_fiftyone(upstream, tmp_path):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", upstream.of("test"))
    convert(origin, tmp_path / "all")
    result = convert(origin / "test", tmp_path / "one")
    assert result.images == {"test": 5}
    assert data(tmp_path / "one") == data(tmp_path / "all")


@pytest.mark.parametrize("tables", ["", "metadata"])
def test_the_official_downloader(upstream, downloaded, tmp_path, tables):
    images = upstream.images[::2]
    origin = tools.downloader(upstream, tmp_path / "flat", images, tables)
    result = convert(origin, tmp_path / "oi")
    assert (result.kind, result.losses, result.notes) == ("downloader.py", {}, ())
    assert data(tmp_path / "oi") == data(downloaded(images))


def test_datumaro(upstream, downloaded, tmp_path):
    images = upstream.of("validation")
    origin = tools.datumaro(upstream, tmp_path / "datumaro", images)
    result = convert(origin, tmp_path / "oi")
    assert (result.kind, result.losses) == ("datumaro", {})
    assert "categories are numbered by those of all classes that the hierarchy has" in result.notes[0]
    ours, theirs = data(tmp_path / "oi"), data(downloaded(images, ("boxes", "masks", "image-labels")))
    assert ours == theirs


def test_what_datumaro_exports(upstream, tmp_path):
    """Its own tables: lines end in CR LF, most is empty, names are MIDs, and the hierarchy has another root."""
    image, label = next((one, row) for one in upstream.of("train") for row in one.boxes if row[2] == "/m/083wq")
    origin = tmp_path / "exported"
    header = (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    images = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title"
    for path, data in {
        f"images/train/{image.id}.jpg": image.data,
        "annotations/train-images-with-rotation.csv": (
            f"{images},OriginalSize,OriginalMD5,Thumbnail300KURL,Rotation\r\n{image.id},train,,,,,,,,,,\r\n".encode()
        ),
        "annotations/train-annotations-bbox.csv": (
            f"{header}\r\n{image.id},,/m/083wq,1.0,{','.join(label[4:8])},-1,-1,-1,-1,-1\r\n".encode()
        ),
        "annotations/class-descriptions.csv": b"/m/083wq,/m/083wq\r\n/m/0k4j,/m/0k4j\r\n/m/07yv9,/m/07yv9\r\n",
        "annotations/bbox_labels_600_hierarchy.json": json.dumps(
            {"LabelName": "/m/0", "Subcategory": [{"LabelName": "/m/07yv9", "Subcategory": [{"LabelName": "/m/0k4j"}]}]}
        ).encode(),
        "annotations/images.meta": f"{image.id} 64 96\n".encode(),
    }.items():
        (origin / path).parent.mkdir(parents=True, exist_ok=True)
        (origin / path).write_bytes(data)
    result = convert(origin, tmp_path / "oi")
    assert (result.kind, result.losses) == ("datumaro", {"DisplayName": 3})
    (box,) = documents(tmp_path / "oi")["train"]["annotations"]
    assert (box["category_id"], box["IsGroupOf"], box["iscrowd"]) == (1, -1, 0)
    categories = documents(tmp_path / "oi")["train"]["categories"]
    assert [one["supercategory"] for one in categories] == ["Entity", "/m/07yv9", "/m/0"]
    assert faults(tmp_path / "oi") == []


def test_a_place_of_ours_stays_what_it_is(upstream, downloaded, tmp_path):
    place = downloaded(upstream.of("test"), ("masks", "points"))
    assert convert(place, tmp_path / "oi").kind == "visprep"
    assert data(tmp_path / "oi") == data(place)
    for image in upstream.of("test")[:2]:  # what was taken away by hand is not in the rows then
        (place / f"test/{image.id}.jpg").unlink()
    convert(place, tmp_path / "few")
    assert {one["open_images_id"] for one in documents(tmp_path / "few")["test"]["images"]} == {
        image.id for image in upstream.of("test")[2:]
    }


# What does not, says what is not told


@pytest.mark.parametrize(("tool", "name"), [(tools.oidv4, "OIDv4_ToolKit"), (tools.oidv6, "OIDv6")])
@pytest.mark.parametrize("together", [False, True])
def test_toolkits_with_their_tables(upstream, downloaded, tmp_path, tool, name, together):
    origin = tool(upstream, tmp_path / "kit", CLASSES, together=together)
    result = convert(origin, tmp_path / "oi")
    ids = {path.stem[-16:] for path in origin.rglob("*.jpg")}
    assert (result.kind, result.images) == (name, {"validation": len(ids)})
    told = dict.fromkeys(("Author", "License", "OriginalURL", "Rotation"), len(ids))
    assert result.losses == {**told, "supercategory": 7}
    assert result.boxes["validation"].annotations > 0
    theirs = downloaded([image for image in upstream.of("validation") if image.id in ids])
    boxes = "labels/validation/boxes.csv"
    assert (tmp_path / "oi" / boxes).read_bytes() == (theirs / boxes).read_bytes()
    ours, others = documents(tmp_path / "oi")["validation"], documents(theirs)["validation"]
    assert ours["annotations"] == others["annotations"]
    assert [one["id"] for one in ours["categories"]] == [one["id"] for one in others["categories"]]
    rows = (tmp_path / "oi/labels/validation/images.csv").read_text().splitlines()
    assert rows == ["ImageID,Subset", *(f"{one},validation" for one in sorted(ids))]


@pytest.mark.parametrize("tool", [tools.oidv4, tools.oidv6])
@pytest.mark.parametrize("together", [False, True])
def test_label_files_alone(upstream, downloaded, tmp_path, tool, together):
    origin = tool(upstream, tmp_path / "kit", CLASSES, ("train", "validation"), together=together, tables=False)
    result = convert(origin, tmp_path / "oi")
    assert not (tmp_path / "oi/labels").exists()
    assert faults(tmp_path / "oi") == []
    theirs = downloaded(
        [image for image in upstream.images if image.id in {p.stem[-16:] for p in origin.rglob("*.jpg")}]
    )
    count = 0
    for split, document in documents(theirs).items():
        ours = documents(tmp_path / "oi")[split]
        assert [one["open_images_id"] for one in ours["images"]] == [
            one["open_images_id"] for one in document["images"]
        ]

        def boxes(one):
            names = {category["id"]: category["name"].casefold() for category in one["categories"]}
            found = [(names[box["category_id"]], box["image_id"], *box["bbox"]) for box in one["annotations"]]
            return sorted(box for box in found if box[0] in {"cat", "dog", "person"})

        assert boxes(ours) == boxes(document) != []  # to the last digit
        assert [one["id"] for one in ours["categories"]] == [1, 2, 3]  # the same number in every split
        count += len(ours["annotations"])
    flags = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside", "Source")
    assert {result.losses[name] for name in flags} == {count}
    assert result.losses["LabelName"] == 3
    assert any("only the classes that were asked for" in note for note in result.notes)


def test_label_files_with_a_list_of_classes(upstream, tmp_path):
    origin = tools.oidv4(upstream, tmp_path / "kit", CLASSES)
    whole = convert(origin, tmp_path / "whole")
    (origin / "OID/csv_folder/validation-annotations-bbox.csv").unlink()
    result = convert(origin, tmp_path / "oi")
    assert "LabelName" not in result.losses
    assert result.losses["IsGroupOf"] == result.boxes["validation"].annotations
    assert result.boxes["validation"].annotations < whole.boxes["validation"].annotations  # of other classes none
    header, *rows = (tmp_path / "oi/labels/validation/boxes.csv").read_text().splitlines()
    assert header == "ImageID,LabelName,XMin,XMax,YMin,YMax"
    told = {tuple(row.split(",")) for row in rows}
    upstreams = {(row[0], row[2], *row[4:8]) for image in upstream.of("validation") for row in image.boxes}
    plain = {(image, mid, *(one.rstrip("0").rstrip(".") for one in corners)) for image, mid, *corners in upstreams}
    assert told <= plain


def test_images_that_no_table_has_keep_a_row(upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    other = upstream.of("test")[0]
    (origin / f"{other.id}.jpg").write_bytes(other.data)
    result = convert(origin, tmp_path / "oi")
    assert result.images == {"validation": 9}
    assert result.notes == ("1 images are left out: nothing tells of which split they are",)
    nested = tmp_path / "nested"
    shutil.move(origin / f"{other.id}.jpg", origin / f"validation-{other.id}.jpg")
    (origin / "validation").mkdir()
    for file in origin.glob("*.jpg"):
        file.rename(origin / "validation" / file.name[-20:])
    result = convert(origin, nested)  # the directory tells it, and no table has it
    assert result.images == {"validation": 10}
    assert result.losses == dict.fromkeys(("Author", "License", "OriginalURL", "Rotation"), 1)
    assert f"{other.id},validation,,,,,,,,,,\n" in (nested / "labels/validation/images.csv").read_text()


def test_of_an_image_that_lies_there_twice_the_longer_one_is_taken(upstream, tmp_path):
    origin = tools.oidv4(upstream, tmp_path / "kit", CLASSES, ("train",))
    found = {}
    for file in sorted(origin.rglob("*.jpg")):
        found.setdefault(file.name, []).append(file)
    first, *others = next(files for files in found.values() if len(files) > 1)
    whole = first.read_bytes()
    for broken in (first, others[0]):
        broken.write_bytes(whole[:100])
        convert(origin, tmp_path / broken.parent.name)
        assert (tmp_path / broken.parent.name / "train" / first.name).read_bytes() == whole
        broken.write_bytes(whole)


def test_masks_that_are_not_there(upstream, tmp_path):
    origin = tools.datumaro(upstream, tmp_path / "datumaro", upstream.of("train"))
    masks = sorted(origin.glob("masks/train/*.png"))
    masks[0].unlink()
    result = convert(origin, tmp_path / "one")
    assert result.losses == {"segmentation": 1}
    assert [path for path, _ in result.boxes["train"].broken] == [masks[0].name]
    shutil.rmtree(origin / "masks")
    result = convert(origin, tmp_path / "none")
    assert result.losses == {"segmentation": len(masks)}
    assert not (tmp_path / "none/labels/train/masks.csv").exists()
    assert faults(tmp_path / "none") == []


def test_the_dataset_of_a_toolkit_alone_points_at_its_tables(upstream, tmp_path):
    origin = tools.oidv4(upstream, tmp_path / "kit", CLASSES) / "OID"
    result = convert(origin / "Dataset", tmp_path / "oi")
    assert any(note.startswith("OID/csv_folder is not in what is converted") for note in result.notes)
    assert not [note for note in convert(origin, tmp_path / "all").notes if "csv_folder" in note]


def test_directories_that_are_links_are_told(upstream, tmp_path):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", [*upstream.of("test"), *upstream.of("validation")])
    (origin / "test").rename(tmp_path / "test")
    (origin / "test").symlink_to(tmp_path / "test")
    result = convert(origin, tmp_path / "oi")
    assert list(result.images) == ["validation"]
    assert "test is a link to a directory: nothing of it is taken" in result.notes


def test_other_names_of_splits_and_images_are_taken(upstream, tmp_path):
    images = upstream.of("validation")
    origin = tools.fiftyone(upstream, tmp_path / "zoo", images)
    convert(origin, tmp_path / "oi")
    (origin / "validation").rename(origin / "val")
    first, second = (origin / f"val/data/{image.id}.jpg" for image in images[:2])
    first.rename(first.with_suffix(".JPG"))
    second.rename(second.with_suffix(".jpeg"))
    result = convert(origin, tmp_path / "again")
    assert result.images == {"validation": 9}
    assert not [note for note in result.notes if "left out" in note]
    assert data(tmp_path / "again") == data(tmp_path / "oi")


def test_pictures_that_are_not_taken_are_counted(upstream, tmp_path):
    images = [*upstream.of("validation"), *upstream.of("test")]
    origin = tools.fiftyone(upstream, tmp_path / "zoo", images)
    (origin / "test").rename(origin / "held-out")
    taken = origin / "validation/data" / f"{images[0].id}.jpg"
    taken.rename(taken.with_suffix(".png"))
    (origin / "validation/data/cat.JPG").write_bytes(taken.with_suffix(".png").read_bytes())
    result = convert(origin, tmp_path / "oi")
    assert result.images == {"validation": 8}
    (note,) = (note for note in result.notes if "left out" in note)
    assert note == (
        "pictures left out, which lie or are called otherwise than images of FiftyOne: 7, such as "
        f"held-out/data/{images[9].id}.jpg"
    )


# Again, broken off, and in the way


def test_images_are_links_and_a_second_run_does_nothing(upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    first = convert(origin, tmp_path / "oi")
    assert (first.linked, first.kept) == (9, 0)
    image = next(origin.glob("*.jpg"))
    assert image.samefile(tmp_path / "oi/validation" / image.name)
    before = unchanged(tmp_path / "oi")
    again = convert(origin, tmp_path / "oi")
    assert (again.files, again.kept) == (0, first.files)
    assert unchanged(tmp_path / "oi") == before
    assert again.boxes == first.boxes
    sound = image.read_bytes()
    with image.open("ab") as file:  # of a file that has two names both change
        file.write(b"more")
    convert(origin, tmp_path / "oi")
    assert visprep.verify(tmp_path / "oi", depth="content").counts["error"] == 0
    image.unlink()
    image.write_bytes(sound)
    again = convert(origin, tmp_path / "oi")
    assert (again.files, again.linked) == (1, 1)
    assert tree(tmp_path / "oi") == {path.as_posix(): data for path, (data, _) in before.items()}


def test_it_grows_with_its_origin(upstream, tmp_path):
    images = upstream.of("train")
    origin = tools.downloader(upstream, tmp_path / "flat", images[:10])
    convert(origin, tmp_path / "oi")
    tools.downloader(upstream, origin, images)
    convert(origin, tmp_path / "oi")
    convert(origin, tmp_path / "new")
    assert data(tmp_path / "oi") == data(tmp_path / "new")
    (origin / f"{images[0].id}.jpg").unlink()
    before = unchanged(tmp_path / "oi")
    with pytest.raises(WouldOverwrite, match=f"does not have train/{images[0].id}.jpg\n") as told:
        convert(origin, tmp_path / "oi")
    assert "delete them there too" in told.value.hint
    assert unchanged(tmp_path / "oi") == before
    (tmp_path / f"oi/train/{images[0].id}.jpg").unlink()
    convert(origin, tmp_path / "oi")
    convert(origin, tmp_path / "few")
    assert data(tmp_path / "oi") == data(tmp_path / "few")


def test_an_image_that_is_none_is_told_and_mended(upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    convert(origin, tmp_path / "whole")
    bad = origin / f"{upstream.of('validation')[1].id}.jpg"
    sound = bad.read_bytes()
    bad.unlink()
    bad.write_bytes(b"nothing that is an image")
    for _ in range(2):
        with pytest.raises(Incomplete, match=f"1 of 14 files failed: .*{bad.name}"):
            convert(origin, tmp_path / "oi")
        assert visprep.status(tmp_path / "oi").state == "unfinished"
        (line,) = (tmp_path / "oi/.visprep/journal.jsonl").read_text().splitlines()
        assert json.loads(line)["path"] == f"validation/{bad.name}"
        assert len(documents(tmp_path / "oi")["validation"]["images"]) == 8
    bad.write_bytes(sound)
    convert(origin, tmp_path / "oi")
    assert tree(tmp_path / "oi") == tree(tmp_path / "whole")


def test_what_another_tool_left_becomes_a_place_on_s3_and_is_read_from_disk(run, upstream, bucket, tmp_path):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", upstream.of("test"))
    here, there = convert(origin, tmp_path / "oi"), convert(origin, f"s3://{bucket}/oi")
    assert (there.files, there.copied, there.boxes, there.losses) == (here.files, here.linked, here.boxes, here.losses)
    assert not list(visprep.diff(tmp_path / "oi", f"s3://{bucket}/oi"))
    visprep.upload(origin, f"s3://{bucket}/zoo")
    told = run("convert", f"s3://{bucket}/zoo", "--to", "coco", "--output", tmp_path / "far")
    assert (told.code, (tmp_path / "far").exists()) == (2, False)
    assert "what FiftyOne left is read from a directory" in told.err


def test_a_pipe_for_an_image_holds_nothing_up(upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    pipe = origin / f"{upstream.of('validation')[1].id}.jpg"
    pipe.unlink()
    os.mkfifo(pipe)
    with pytest.raises(Incomplete, match=f"1 of 14 files failed: .*{pipe.name} is no regular file"):
        convert(origin, tmp_path / "oi")
    assert len(list((tmp_path / "oi/validation").iterdir())) == 8


def test_files_of_others_stay_and_nothing_else_is_touched(upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    image = f"validation/{upstream.of('validation')[1].id}.jpg"
    for mine in (image, "labels/validation/boxes.csv"):
        place = tmp_path / mine.replace("/", "-")
        (place / mine).parent.mkdir(parents=True)
        (place / mine).write_bytes(b"mine")
        with pytest.raises(WouldOverwrite, match=mine) as told:
            convert(origin, place)
        assert told.value.hint == "move them away, or choose another --output"  # there is no --overwrite
        assert [path for path in place.rglob("*") if path.is_file()] == [place / mine]
        assert (place / mine).read_bytes() == b"mine"


def test_other_datasets_stay(upstream, downloaded, tmp_path):
    place = downloaded(upstream.of("test"))
    before = unchanged(place)
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("validation"))
    with pytest.raises(WouldOverwrite, match="another dataset lies here, open-images") as told:
        convert(origin, place)
    assert told.value.hint == "choose another --output"
    assert unchanged(place) == before
    convert(origin, tmp_path / "oi")
    with pytest.raises(WouldOverwrite, match="another dataset lies here, flat"):
        convert(tools.downloader(upstream, tmp_path / "other", upstream.of("test")), tmp_path / "oi")
    with pytest.raises(WouldOverwrite, match="another dataset lies here, flat"):
        visprep.download("sample", tmp_path / "oi", config="coco")


def test_another_directory_of_the_same_name_is_another_dataset(upstream, tmp_path):
    """FiftyOne calls each of its directories open-images-v7."""
    images = upstream.of("validation")
    first = tools.fiftyone(upstream, tmp_path / "a/open-images-v7", images[:5])
    convert(first, tmp_path / "oi")
    before = unchanged(tmp_path / "oi")
    for name, others in (("b", images[3:]), ("c", images[:4]), ("d", upstream.of("test"))):
        other = tools.fiftyone(upstream, tmp_path / name / "open-images-v7", others)
        with pytest.raises(WouldOverwrite, match="of another open-images-v7") as told:
            convert(other, tmp_path / "oi")
        assert told.value.hint.startswith("choose another --output")
        assert set(told.value.paths) == {f"validation/{one.id}.jpg" for one in images[:5] if one not in others}
        assert unchanged(tmp_path / "oi") == before
    assert convert(first, tmp_path / "oi").files == 0
    shutil.move(first, tmp_path / "moved/open-images-v7")  # wherever it lies, it is the same
    grown = tools.fiftyone(upstream, tmp_path / "moved/open-images-v7", [*images, *upstream.of("test")])
    assert convert(grown, tmp_path / "oi").images == {"validation": 9, "test": 5}


def test_of_an_unfinished_conversion_too(upstream, tmp_path):
    images = upstream.of("validation")
    first = tools.fiftyone(upstream, tmp_path / "a/open-images-v7", images[:5])
    bad = first / f"validation/data/{images[0].id}.jpg"
    bad.unlink()
    bad.write_bytes(b"none")
    with pytest.raises(Incomplete):
        convert(first, tmp_path / "oi")
    other = tools.fiftyone(upstream, tmp_path / "b/open-images-v7", images[5:])
    with pytest.raises(WouldOverwrite, match="of another open-images-v7"):
        convert(other, tmp_path / "oi")
    bad.unlink()  # it never came to the place
    assert convert(first, tmp_path / "oi").images == {"validation": 4}


PROGRAM = "import sys, visprep; visprep.convert(sys.argv[1], to='coco', output=sys.argv[2], jobs=1)"


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(upstream, tmp_path):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", upstream.of("train"))
    convert(origin, tmp_path / "whole")
    killed = 0
    moments = [(path, after) for path in ("cache/documents", "in-progress") for after in (0.0, 0.002, 0.01)]
    for number, (path, seconds) in enumerate(moments):
        place = tmp_path / f"killed-{number}"
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(origin), str(place)])
        while process.poll() is None and not (place / ".visprep" / path).exists():
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()  # nothing where it has ended meanwhile
        killed += process.wait() == -signal.SIGKILL
        convert(origin, place)
        assert tree(place) == tree(tmp_path / "whole")
        assert not (place / ".visprep/cache").exists()
    assert killed


def test_without_links_it_copies(upstream, tmp_path, small_disk):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("test")[:2])
    result = convert(origin, small_disk / "oi")
    assert (result.linked, result.copied, result.images) == (0, 2, {"test": 2})
    convert(origin, tmp_path / "oi")
    assert data(small_disk / "oi") == data(tmp_path / "oi")


def test_a_full_disk_is_told_before_the_first_image(run, upstream, tmp_path, small_disk):
    origin = tools.downloader(upstream, tmp_path / "flat")
    ended = run("convert", origin, "--to", "coco", "--output", small_disk / "oi")
    assert (ended.code, "[disk-full]" in ended.err) == (3, True)
    assert not list(small_disk.rglob("*.jpg"))


# Layouts and label files by themselves


def test_layouts_are_told_apart(upstream, tmp_path):
    made = {
        "FiftyOne": tools.fiftyone(upstream, tmp_path / "1"),
        "OIDv4_ToolKit": tools.oidv4(upstream, tmp_path / "2", CLASSES),
        "OIDv6": tools.oidv6(upstream, tmp_path / "3", CLASSES),
        "datumaro": tools.datumaro(upstream, tmp_path / "4"),
        "downloader.py": tools.downloader(upstream, tmp_path / "5"),
    }
    assert {*made, "visprep"} == {layout.name for layout in LAYOUTS}
    for name, root in made.items():
        paths = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
        for order in (sorted(paths), sorted(paths, reverse=True)):
            assert recognize(order).name == name
        assert recognize(path for path in paths if not path.endswith(".jpg")) is None
        assert recognize(path for path in paths if path.endswith(".jpg")) is None
    inner = made["OIDv4_ToolKit"]
    for folder in (inner / "OID", inner / "OID/Dataset"):
        assert convert(folder, tmp_path / f"out-{folder.name}").kind == "OIDv4_ToolKit"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Cat 1 2 3", "line 1: 'Cat 1 2 3'"),
        ("Cat 1 2 3 4\n\nCat 1 2 x 4", "line 3"),
        ("Cat 1 2 nan 4", "line 1"),
        ("Cat 1 2 3 inf", "line 1"),
        ("Cat", "line 1: 'Cat'"),
        ("1 2 3 4", "line 1"),
    ],
)
def test_bad_lines_of_label_files_are_named(text, said):
    with pytest.raises(WrongContent, match=said):
        list(label_lines(text.encode(), "Label/x.txt"))
    with pytest.raises(WrongContent, match="not UTF-8"):
        list(label_lines(b"Caf\xe9 1 2 3 4", "Label/x.txt"))


def test_label_lines():
    (line,) = label_lines(b"\xef\xbb\xbfPolar bear 12.8 0.0 1023.36 682.5\r\n", "x")
    assert (line.name, line.corners) == ("Polar bear", (12.8, 0.0, 1023.36, 682.5))
    (line,) = label_lines(b"kitchen_&_dining_room_table 1 2 3 4", "x")
    assert line.name == "kitchen & dining room table"


def test_boxes_that_two_files_have_come_once(tmp_path):
    files = {"a": b"Cat 1 2 3 4\nCat 1 2 3 4\nDog 5 6 7 8\n", "b": b"Cat 1 2 3 4\nDog 5 6 7 9\n"}
    table = LabelFiles([(1, "a"), (1, "b"), (2, "b")], {1: (10, 20)}, files.__getitem__)
    assert table.write(tmp_path / "boxes.csv") == 4  # twice in one file is upstream's own
    assert (table.repeated, table.unsized) == (1, 2)
    assert (tmp_path / "boxes.csv").read_text().splitlines()[1:3] == ["0000000000000001,Cat,0.1,0.3,0.1,0.2"] * 2


# The command line


def test_the_command(run, upstream, tmp_path):
    origin = tools.oidv4(upstream, tmp_path / "kit", CLASSES, tables=False)
    ended = run("convert", origin, "--to", "coco", "--output", tmp_path / "oi")
    assert ended.code == 0, ended.err
    assert f"{origin} is a directory of OIDv4_ToolKit" in ended.err
    assert "note: boxes are those of label files" in ended.err
    assert "IsGroupOf" in ended.err
    assert "which the rows" not in ended.err
    again = run("convert", origin, "--to", "coco", "--output", tmp_path / "oi", "--json")
    told = json.loads(again.out)
    assert (told["format_version"], told["files"]) == (1, 0)
    assert told["losses"]["IsGroupOf"] == told["boxes"]["validation"]["annotations"]
    verified = run("verify", tmp_path / "oi")
    assert verified.code == 0, verified.out
    state = json.loads(run("status", tmp_path / "oi", "--json").out)
    assert state["state"] == "complete"


@pytest.mark.parametrize("tool", ["fiftyone", "downloader", "datumaro"])
def test_verify_finds_nothing_in_what_was_converted(run, upstream, tmp_path, tool):
    origin = getattr(tools, tool)(upstream, tmp_path / "origin")
    assert run("convert", origin, "--to", "coco", "--output", tmp_path / "oi").code == 0
    verified = run("verify", tmp_path / "oi", "--depth", "content", "--format", "json")
    assert json.loads(verified.out)["counts"]["error"] == 0, verified.out


def test_a_directory_that_is_a_link_out_of_the_place_is_told_before_anything_is_written(run, upstream, tmp_path):
    origin = tools.fiftyone(upstream, tmp_path / "fo", upstream.of("validation"))
    away, place = tmp_path / "away", tmp_path / "oi"
    for path in (away, place):
        path.mkdir()
    (place / "validation").symlink_to(away)
    ended = run("convert", origin, "--to", "coco", "--output", place)
    assert (ended.code, ended.err.count("[unsafe-path]"), "run the same command" in ended.err) == (3, 1, False)
    assert "put a directory in the place of the link" in ended.err
    assert [path.name for path in place.iterdir() if path.name != ".visprep"] == ["validation"]
    assert not list(away.iterdir())


def test_an_image_that_was_lost_comes_back_as_verify_says(run, upstream, tmp_path):
    origin = tools.oidv6(upstream, tmp_path / "kit", CLASSES, ("validation",), tables=False)
    convert(origin, tmp_path / "oi")
    lost = next((tmp_path / "oi").rglob("*.jpg"))
    whole = lost.read_bytes()
    lost.unlink()
    told = next(one for one in visprep.verify(tmp_path / "oi").findings if one.code == "image-missing")
    assert "run the same download, or convert, again" in (told.hint or "")
    refused = run("fix", tmp_path / "oi", "--how", "refetch")
    assert (refused.code, "run the download again, or what else brought it" in refused.err) == (2, True)
    convert(origin, tmp_path / "oi")
    assert lost.read_bytes() == whole
    assert not visprep.verify(tmp_path / "oi").findings


def test_status_says_how_to_go_on(run, upstream, tmp_path):
    origin = tools.downloader(upstream, tmp_path / "flat", upstream.of("test"))
    next(origin.glob("*.jpg")).write_bytes(b"no image")
    ended = run("convert", origin, "--to", "coco", "--output", tmp_path / "oi")
    assert (ended.code, "[incomplete]" in ended.err) == (3, True)
    state = json.loads(run("status", tmp_path / "oi", "--json").out)
    assert state["go_on"] == f"visprep convert path/to/flat --to coco --output {tmp_path / 'oi'}"


def test_what_is_not_known_is_told(run, upstream, tmp_path):
    work = tmp_path / "work"
    (work / "empty").mkdir(parents=True)
    (work / "other/sub").mkdir(parents=True)
    (work / "other/sub/cat.jpg").write_bytes(b"x")
    (work / "other/notes.txt").write_bytes(b"x")
    (work / "file").write_bytes(b"x")
    tools.oidv6(upstream, work / "above/kit", CLASSES)
    tools.oidv4(upstream, work / "v4", CLASSES)
    for words, code, said in (
        (("nowhere", "--output", "new"), 3, ("[place-missing]", "nowhere: no such directory")),
        (("file", "--output", "new"), 3, ("[place-missing]", "is a file")),
        (("empty", "--output", "new"), 3, ("there is no file", "FiftyOne: ", "[unknown-content]")),
        (("other", "--output", "new"), 3, ("1 .jpg, 1 .txt in ./, sub/", "OIDv4_ToolKit: ")),
        (("above", "--output", "new"), 3, ("name above/kit, which looks like a directory of OIDv6",)),
        (
            ("v4/OID/Dataset/validation", "--output", "new"),
            3,
            ("a part of what OIDv4_ToolKit leaves", "/v4/OID/Dataset"),
        ),
        (("above/kit", "--output", "s3://bucket/x"), 3, ("[credentials]",)),
        (("above/kit", "--output", "above/kit"), 2, ("lies in what is converted", "--output above/kit-coco")),
        (("above/kit", "--output", "above/kit/new"), 2, ("lies in what is converted",)),
        (("above/kit", "--output", "above"), 2, ("what is converted lies in it",)),
        (("above/kit", "--output", "file"), 3, ("[disk-error]",)),
    ):
        before = unchanged(work)
        ended = run("convert", words[0], "--to", "coco", *words[1:])
        assert (ended.code, ended.out) == (code, ""), ended.err
        for one in said:
            assert one in ended.err.replace("\n", " ")
        assert unchanged(work) == before
        assert not (work / "new").exists()


def test_what_the_parser_refuses(run):
    for words in ((), ("x",), ("x", "--to", "coco"), ("x", "--output", "y"), ("x", "--to", "csv", "--output", "y")):
        assert run("convert", *words).code == 2
    with pytest.raises(UsageError, match="--to csv"):
        visprep.convert("x", to="csv", output="y")


def test_what_is_lacking_is_named(upstream, tmp_path):
    flat = tools.downloader(upstream, tmp_path / "flat", upstream.of("test"))
    (flat / "oidv7-class-descriptions-boxable.csv").unlink()
    with pytest.raises(UsageError, match="no list of classes is there") as told:
        convert(flat, tmp_path / "oi")
    assert "v5/class-descriptions-boxable.csv" in told.value.hint
    (flat / "test-annotations-bbox.csv").unlink()
    with pytest.raises(UsageError, match="no boxes are there"):
        convert(flat, tmp_path / "oi")
    (flat / "test-images-with-rotation.csv").unlink()
    with pytest.raises(UsageError, match="nothing there tells of which split the 5 images are"):
        convert(flat, tmp_path / "oi")
    assert not (tmp_path / "oi").exists()


def test_tables_that_cannot_be_read_are_named(upstream, tmp_path):
    flat = tools.downloader(upstream, tmp_path / "flat", upstream.of("test"))
    table = flat / "test-annotations-bbox.csv"
    sound = table.read_bytes()
    table.write_bytes(sound.replace(b",xclick,", b",", 1))
    with pytest.raises(WrongContent, match=r"test-annotations-bbox\.csv, line 2"):
        convert(flat, tmp_path / "oi")
    table.write_bytes(b"<html>gone</html>")
    with pytest.raises(WrongContent, match=r"test-annotations-bbox\.csv, line 1"):
        convert(flat, tmp_path / "oi")
    table.write_bytes(sound)
    (flat / "bbox_labels_600_hierarchy.json").write_bytes(b"[")
    with pytest.raises(WrongContent, match="hierarchy"):
        convert(flat, tmp_path / "oi")
    assert not (tmp_path / "oi").exists()


@pytest.mark.parametrize("tool", ["downloader", "fiftyone"])
def test_what_is_wrong_in_a_row_is_told_of_the_tables_own_line(upstream, tmp_path, tool):
    images = upstream.of("validation")[4:]
    origin = getattr(tools, tool)(upstream, tmp_path / "origin", images)
    table = origin / ("validation-annotations-bbox.csv" if tool == "downloader" else "validation/labels/detections.csv")
    name = table.relative_to(origin).as_posix()
    sound = table.read_bytes()
    lines = sound.splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if line.startswith(images[1].id.encode()))
    assert at > 2  # of images that are not taken rows come before
    row = lines[at].split(b",")
    for column, value, said in ((4, b"wide", f"line {at + 1}: XMin is 'wide'"), (2, b"/m/none", "of class /m/none")):
        changed = b",".join([*row[:column], value, *row[column + 1 :]])
        table.write_bytes(b"".join([*lines[:at], changed, *lines[at + 1 :]]))
        with pytest.raises(WrongContent) as told:
            convert(origin, tmp_path / "oi")
        assert told.value.message.startswith(name), told.value.message
        assert said in told.value.message
        assert told.value.hint
    assert not (tmp_path / "oi").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[", "no JSON that can be read"),
        (b"5", "an entry has no LabelName"),
        (b'{"LabelName": "Entity", "Subcategory": 5}', "what is below Entity is no list"),
        (b'{"LabelName": "Entity", "Subcategory": [7]}', "an entry has no LabelName"),
        (b'{"LabelName": "Entity", "Part": [{"LabelName": "Unicorn"}]}', "it names the class 'Unicorn'"),
        (b'{"LabelName": "/m/0bl9f", "Part": [' * 600 + b"]}" * 600, ""),
    ],
)
def test_a_hierarchy_that_is_none_is_named(upstream, tmp_path, data, said):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", upstream.of("test"))
    (origin / "test/metadata/hierarchy.json").write_bytes(data)
    with pytest.raises(WrongContent, match=r"^test/metadata/hierarchy\.json: ") as told:
        convert(origin, tmp_path / "oi")
    assert said in told.value.message
    assert "Error" not in told.value.message
    assert told.value.hint


@pytest.mark.parametrize("path", ["test/metadata/classes.csv", "test/metadata/point_classes.csv"])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", ": there is no class in it"),
        (b"<html>gone</html>\n", ": there is no class in it"),
        (b"/m/01yrx,Cat\nDog\n", ", line 2: 'Dog' is not a MID and a name"),
        (b"Cat\nDog\n", ", line 2: 'Dog' is not a MID and a name"),
    ],
)
def test_a_list_of_classes_that_is_none_is_named(upstream, tmp_path, path, data, said):
    origin = tools.fiftyone(upstream, tmp_path / "zoo", upstream.of("test"))
    (origin / path).write_bytes(data)
    with pytest.raises(WrongContent) as told:
        convert(origin, tmp_path / "oi")
    assert told.value.message == f"{path}{said}"
    assert "/m/01yrx,Cat" in told.value.hint
