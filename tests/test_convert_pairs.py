"""Every pair of formats there and back by the command: what no loss names is the same, and others read it."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import coco_place
import labeled_places
from conftest import tree
from record_places import make_tasks, write
from visprep._convert import _WAYS

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import kept_by_convert

FROM_COCO = ("coco", "voc", "yolo")
TO_COCO = ("voc", "yolo")
OF_TASKS = ("parquet", "webdataset")
#: What is only read: each has tests of its own.
ONE_WAY = {"frames", "open-images", "videos"}
#: What one way tells of the place of `coco`; the way back loses nothing more.
NAMED = {
    "coco": {},
    "voc": {
        "annotations.area": 2,
        "annotations.by_hand": 1,
        "annotations.id": 6,
        "annotations.iscrowd": 1,
        "annotations.segmentation": 17,
        "annotations.segmentation.counts": 1,
        "categories.id": 2,
        "images.date_captured": 9,
        "images.license": 9,
        "info": 2,
        "licenses": 2,
    },
    "yolo": {
        "annotations.area": 2,
        "annotations.by_hand": 1,
        "annotations.id": 16,
        "annotations.iscrowd": 1,
        "categories.id": 2,
        "categories.supercategory": 4,
        "images.date_captured": 9,
        "images.license": 9,
        "info": 2,
        "licenses": 2,
    },
}


@pytest.fixture
def coco(tmp_path):
    """A crowd, a box with fractions, an area that is not that of the box, and a key that nobody knows."""
    place = coco_place.make(tmp_path / "origin")
    with coco_place.edited(place / "annotations/instances_train2017.json") as document:
        first, crowd, third, *_ = document["annotations"]
        first.update(by_hand="yes", bbox=[10.25, 8.5, 20.125, 30.0])
        corners = [10.25, 8.5, 30.375, 8.5, 30.375, 38.5, 10.25, 38.5]
        first["segmentation"] = [corners]
        third["area"] = 300.5
        crowd.update(iscrowd=1, area=48, bbox=[10, 8, 6, 8])
        crowd["segmentation"] = {"counts": [648, *[8, 56] * 5, 8, 64 * 80 + 48], "size": [64, 96]}
    return place


@pytest.fixture
def tasks(tmp_path):
    place = make_tasks(tmp_path / "origin", 5)
    write(place / "maze_task/maze_0000/ground_truth.avi", b"RIFF....AVI ")
    write(place / "maze_task/maze_0002/notes/a.txt", b"")
    return place


@pytest.fixture
def convert(run):
    """`convert(place, to, output)` -> the losses that the command tells."""

    def call(place, to, output):
        done = run("convert", place, "--to", to, "--output", output, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)["losses"]

    return call


def documents(place):
    return {path.name: json.loads(path.read_bytes()) for path in sorted((place / "annotations").iterdir())}


def annotations_of(document, crowds=True):
    """The annotations by the name of their image, with the names of their classes instead of numbers."""
    names = {one["id"]: one["name"] for one in document["categories"]}
    images = {one["id"]: Path(one["file_name"]).stem for one in document["images"]}
    found = {}
    for one in document["annotations"]:
        if crowds or not one.get("iscrowd"):
            told = {**one, "image_id": images[one["image_id"]], "category_id": names[one["category_id"]]}
            found.setdefault(told["image_id"], []).append(told)
    return found


def by_name(records):
    return {Path(one.get("file_name", one.get("name"))).stem: one for one in records}


def changed(before, after, without_crowds):
    """The fields, with dots, that are not what they were."""
    found = {key for key in before if not isinstance(before[key], list) or key == "licenses"}
    found = {key for key in found if after.get(key) != before[key]}
    pairs = []
    for kind in ("images", "categories"):
        there, here = by_name(before[kind]), by_name(after[kind])
        assert there.keys() == here.keys()
        pairs += [(kind, one, here[name]) for name, one in there.items()]
    there, here = annotations_of(before, crowds=not without_crowds), annotations_of(after)
    assert {name: len(some) for name, some in there.items()} == {name: len(some) for name, some in here.items()}
    for name, some in there.items():
        pairs += [("annotations", *both) for both in zip(some, here[name], strict=True)]
    found |= {f"{kind}.{key}" for kind, one, other in pairs for key in one if other.get(key) != one[key]}
    return {name for name in found if name != "images.file_name"}


def named(field, losses):
    return any(loss == field or loss.startswith(f"{field}.") for loss in losses)


def test_every_way_is_tried():
    tried = {("coco", to) for to in FROM_COCO} | {(kind, "coco") for kind in TO_COCO}
    tried |= {pair for to in OF_TASKS for pair in (("tasks", to), (to, "tasks"))}
    assert {way for way in _WAYS if way[0] not in ONE_WAY} == tried


@pytest.mark.parametrize("via", FROM_COCO)
def test_of_coco_what_no_loss_names_is_the_same(coco, via, convert, run, tmp_path):
    losses = convert(coco, via, tmp_path / "there")
    assert run("verify", tmp_path / "there", "--as", via).code == 0
    assert convert(tmp_path / "there", "coco", tmp_path / "back") == {}
    assert losses == NAMED[via]
    before, after = documents(coco), documents(tmp_path / "back")
    if via == "voc":
        before = {name.replace("2017", ""): one for name, one in before.items()}
    assert before.keys() == after.keys()
    for name, one in before.items():
        found = changed(one, after[name], without_crowds=via == "yolo")
        assert {field for field in found if not named(field, losses)} == set()
        assert found >= {"info", "licenses"} & losses.keys()


def test_coco_of_coco_is_the_same_bytes(coco, convert, tmp_path):
    convert(coco, "coco", tmp_path / "there")
    assert data(tmp_path / "there") == data(coco)


def data(place):
    return {path: held for path, held in tree(place).items() if path != "dataset.json" and path[0] != "."}


@pytest.mark.parametrize(
    ("kind", "there", "back", "gone"),
    [
        ("yolo", {}, {"images.id": 3}, set()),
        (
            "voc",
            {"SegmentationClass": 1, "ImageSets.Main.classes": 2, "ImageSets.Segmentation": 1},
            {},
            {
                "SegmentationClass/a.png",
                "ImageSets/Main/dog_train.txt",
                "ImageSets/Main/trainval.txt",
                "ImageSets/Segmentation/train.txt",
            },
        ),
    ],
)
def test_labels_come_back_by_coco(kind, there, back, gone, convert, tmp_path):
    place = getattr(labeled_places, kind)(tmp_path / "origin")
    assert convert(place, "coco", tmp_path / "coco") == there
    assert convert(tmp_path / "coco", kind, tmp_path / "back") == back
    before, after = data(place), data(tmp_path / "back")
    assert before.keys() - after.keys() == gone
    assert {path for path in after if after[path] != before.get(path)} <= {"data.yaml"}


@pytest.mark.parametrize("via", OF_TASKS)
def test_tasks_come_back_to_the_byte(tasks, via, convert, tmp_path):
    assert convert(tasks, via, tmp_path / "there") == {}
    assert convert(tmp_path / "there", "tasks", tmp_path / "back") == {}
    assert data(tmp_path / "back") == data(tasks)


@pytest.mark.parametrize("kind", TO_COCO)
def test_pycocotools_reads_what_labels_become(kind, convert, tmp_path):
    from pycocotools.coco import COCO

    place = getattr(labeled_places, kind)(tmp_path / "origin")
    convert(place, "coco", tmp_path / "there")
    found = COCO(tmp_path / "there/annotations/instances_train.json")
    assert len(found.getImgIds()) == 2
    (first,) = found.loadAnns(found.getAnnIds(found.getImgIds()[0]))
    assert first["bbox"] == {"voc": [1, 2, 19, 10], "yolo": [9, 6, 6, 4]}[kind]
    assert first["area"] == first["bbox"][2] * first["bbox"][3]


def test_lxml_reads_voc(coco, convert, tmp_path):
    """As labelImg and many loaders do: the whole tree, with its paths."""
    etree = pytest.importorskip("lxml.etree")
    convert(coco, "voc", tmp_path / "there")
    documents_ = documents(coco).values()
    want = {image: len(found) for one in documents_ for image, found in annotations_of(one).items()}
    found = {}
    for path in (tmp_path / "there/Annotations").iterdir():
        tree_ = etree.parse(path, etree.XMLParser(dtd_validation=False, no_network=True))
        assert tree_.getroot().tag == "annotation"
        with Image.open(tmp_path / "there/JPEGImages" / tree_.xpath("string(/annotation/filename)")) as picture:
            assert picture.size == tuple(int(tree_.xpath(f"number(//size/{side})")) for side in ("width", "height"))
        boxes = tree_.xpath("//object[bndbox/xmin < bndbox/xmax and bndbox/ymin < bndbox/ymax]")
        if boxes:
            found[path.stem] = len(boxes)
    assert found == want


def test_elements_of_voc_are_those_that_readers_ask_for(coco, convert, tmp_path):
    """As torchvision's VOCDetection, and the loaders of detectors, take them out of each file."""
    convert(coco, "voc", tmp_path / "there")
    stems = (tmp_path / "there/ImageSets/Main/train.txt").read_text().split()
    assert len(stems) == 6
    for stem in stems:
        root = ElementTree.parse(tmp_path / f"there/Annotations/{stem}.xml").getroot()
        assert (tmp_path / "there/JPEGImages" / root.findtext("filename")).is_file()
        for one in root.iter("object"):
            assert one.findtext("difficult") in ("0", "1")
            left, top, right, bottom = (
                float(one.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= left <= right <= 96
            assert 1 <= top <= bottom <= 64


def test_the_page_says_what_the_script_finds_here(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["kept_by_convert.py"])
    kept_by_convert.main()
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == len(kept_by_convert.FIELDS) + len(kept_by_convert.CROWDS)
    assert {row.split("|")[2].strip() for row in rows} == {"kept"}
