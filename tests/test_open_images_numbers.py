"""The ids in the COCO JSON of Open Images: no two splits share one, so their images can stand in one part."""

import json
import shutil
from pathlib import Path

import pytest

import visprep
from visprep.formats.open_images_tables import FIRST, SPLITS, first
from visprep.sources.open_images import BOXES
from visprep.testing import Mirror
from visprep.testing.open_images import lay_out

#: All images that there are, in whatever split.
ALL_IMAGES = 9_178_275
TRAIN, VALIDATION, TEST = (f"annotations/instances_{split}.json" for split in SPLITS)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("upstream")
    with Mirror(root) as server:
        lay_out(root, f"{server.url}/flickr")
        yield server


@pytest.fixture(scope="module")
def downloaded(server, tmp_path_factory):
    """All three splits, with boxes and masks."""
    place = tmp_path_factory.mktemp("downloaded") / "oi"
    visprep.download("open-images", place, via="http", mirror=server.url, split=SPLITS, labels="masks")
    return place


@pytest.fixture
def from_one(downloaded, tmp_path):
    """The same without a record, where validation counts from 1 too, as other tools do."""
    place = tmp_path / "from-one"
    shutil.copytree(downloaded, place, ignore=shutil.ignore_patterns(".visprep", "dataset.json"))
    told = document(place / VALIDATION)
    for one in told["images"]:
        one["id"] -= 10_000_000
    for one in told["annotations"]:
        one["id"] -= 100_000_000
        one["image_id"] -= 10_000_000
    (place / VALIDATION).write_text(json.dumps(told))
    return place


def document(path: Path):
    return json.loads(path.read_bytes())


def together(paths):
    """The images by id and the annotations by id of several files; no id is there twice."""
    found = []
    for key in ("images", "annotations"):
        records = [one for path in paths for one in document(path)[key]]
        found.append({one["id"]: one for one in records})
        assert len(found[-1]) == len(records) > 0
    return found


def test_whole_splits_have_room():
    for kind, most in (("image", dict.fromkeys(SPLITS, ALL_IMAGES)), ("annotation", BOXES)):
        begins = [getattr(FIRST[split], kind) for split in SPLITS]
        for split, begin, after in zip(SPLITS, begins, begins[1:], strict=False):
            assert begin + most[split] <= after
        assert begins[-1] + most["test"] < 2**31  # where tools keep ids in 32 bits
    assert first("mine") == first("train") == (1, 1)


def test_each_split_counts_from_where_it_begins(downloaded):
    for name, (image, annotation) in {
        TRAIN: (1, 1),
        VALIDATION: (10_000_001, 100_000_001),
        TEST: (20_000_001, 200_000_001),
    }.items():
        told = document(downloaded / name)
        for key, begin in (("images", image), ("annotations", annotation)):
            ids = [one["id"] for one in told[key]]
            assert ids == list(range(begin, begin + len(ids)))
            assert ids
        assert {one["image_id"] for one in told["annotations"]} <= {one["id"] for one in told["images"]}


def test_verify_of_all_splits_finds_nothing(downloaded):
    assert visprep.verify(downloaded, depth="content").findings == ()
    assert visprep.verify(downloaded, as_="coco", depth="content").findings == ()


def test_splits_that_share_ids_are_told_and_not_put_together(from_one, tmp_path, run):
    found = visprep.verify(from_one).findings
    assert [(one.code, one.path) for one in found] == [
        ("image-id-in-two-splits", VALIDATION),
        *[("numbers-unlike-rows", VALIDATION)] * 2,
    ]
    ended = run("split", from_one, "--parts", "train=0.5,val=0.5", "--output", tmp_path / "parts")
    assert (ended.code, "both have images with the id 1" in ended.err) == (2, True)
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("whole", [False, True])
def test_images_of_two_splits_go_into_one_part(downloaded, tmp_path, run, whole):
    """Divided anew, the place or files of it; every record is what it was."""
    files = [downloaded / one for one in ((TRAIN, VALIDATION, TEST) if whole else (TRAIN, VALIDATION))]
    parts = "train=0.5,val=0.3,test=0.2" if whole else "train=0.5,val=0.5"
    out = tmp_path / "parts"
    ended = run("split", *([downloaded] if whole else files), "--parts", parts, "--output", out)
    assert ended.code == 0, ended.err
    made = sorted(out.glob("instances_*.json"))
    assert len(made) == (3 if whole else 2)
    assert together(made) == together(files)
    for path in made:
        told = document(path)
        assert len({one["file_name"].partition("/")[0] for one in told["images"]}) > 1
        assert {one["image_id"] for one in told["annotations"]} <= {one["id"] for one in told["images"]}
    assert visprep.verify(out, depth="content").findings == ()
    leaks = run("leaks", out)
    assert (leaks.code, "no leaks" in leaks.err) == (0, True), leaks.err


def test_gather_divides_two_splits_anew(server, tmp_path, run):
    argv = (
        "gather", "open-images", "--split", "train,validation", "--via", "http", "--mirror", server.url,
        "--parts", "train=0.6,val=0.2,test=0.2", "--method", "exact", "--output", tmp_path / "oi", "--splits",
        tmp_path / "parts",
    )  # fmt: skip
    ended = run(*argv)
    assert ended.code == 0, ended.err
    made = [tmp_path / f"parts/instances_{part}.json" for part in ("train", "val", "test")]
    assert together(made) == together([tmp_path / "oi" / name for name in (TRAIN, VALIDATION)])
    assert {one["file_name"].partition("/")[0] for one in document(made[0])["images"]} == {"train", "validation"}
    verified = visprep.verify(tmp_path / "oi", depth="content")
    assert (verified.format, verified.findings) == ("open-images", ())
    again = run(*argv)
    assert (again.code, "nothing to do: all was there" in again.err) == (0, True)
