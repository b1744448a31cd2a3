"""The index of a COCO JSON file: the same records as in the file, kept, shared, and never of another file."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coco_documents
from loader_places import Photographs
from visprep import errors
from visprep.loaders.coco_index import CocoIndex, index_directory
from visprep.testing.mirror import Mirror


def write(path: Path, document: Any) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.fixture(scope="module")
def old_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that was written long enough ago; nobody can set the time of a change, so this takes two seconds."""
    path = write(tmp_path_factory.mktemp("old") / "a.json", scattered())
    while time.time_ns() - path.stat().st_ctime_ns < 2_100_000_000:
        time.sleep(0.05)
    return path


def scattered(images: int = 40, annotations: int = 400, seed: int = 3) -> dict[str, Any]:
    """Images with big ids in no order, annotations in no order of their images, and keys that nobody knows."""
    dice = random.Random(seed)
    ids = dice.sample(range(1, 2**60), images)
    return {
        "images": [
            {"id": id_, "file_name": f"{id_}.jpg", "width": 640, "height": 480, "note": 'é\n"{['} for id_ in ids
        ],
        "annotations": [
            {
                "id": number,
                "image_id": dice.choice(ids[: images - 5]),
                "category_id": 3,
                "bbox": [1.5, 2, 3, 4.25],
                "segmentation": {"counts": "a}]\\", "size": [480, 640]},
                "unknown": [{"image_id": 5}],
            }
            for number in range(annotations)
        ],
        "categories": [{"id": 3, "name": "kite", "keypoints": ["nose"], "skeleton": [[1, 1]], "own": {"x": None}}],
        "other": {"images": []},
    }


def expect(index: CocoIndex, document: dict[str, Any]) -> None:
    """The index says what the document says."""
    assert len(index) == len(document["images"])
    assert index.image_ids.tolist() == [one["id"] for one in document["images"]]
    for number, image in enumerate(document["images"]):
        assert index.image(number) == image
        assert index.annotations(number) == [one for one in document["annotations"] if one["image_id"] == image["id"]]
    assert index.categories == document["categories"]


@pytest.mark.parametrize("indent", [None, 2])
def test_the_records_are_those_of_the_file(tmp_path: Path, indent: int | None) -> None:
    document = scattered()
    file = write(tmp_path / "a.json", json.dumps(document, indent=indent, ensure_ascii=False))
    index = CocoIndex(file, index_dir=tmp_path / "index")
    expect(index, document)
    expect(pickle.loads(pickle.dumps(index)), document)
    assert index.annotation_counts.sum() == 400
    assert index.file_name(0) == document["images"][0]["file_name"]


def test_the_real_files_give_what_pycocotools_gives(real_coco: Path, tmp_path: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco")
    for name in ("train2017", "val2017"):
        file = real_coco / f"annotations/instances_{name}.json"
        index, theirs = CocoIndex(file, index_dir=tmp_path), pycocotools.COCO(file)
        for number, id_ in enumerate(index.image_ids.tolist()):
            assert index.image(number) == theirs.imgs[id_]
            assert index.annotations(number) == theirs.imgToAnns[id_]
        assert index.categories == theirs.dataset["categories"]


def test_a_second_start_reads_the_file_no_more(old_file: Path, tmp_path: Path) -> None:
    keep = tmp_path / "index"
    CocoIndex(old_file, index_dir=keep)
    (columns,) = keep.glob("*/columns")
    before = columns.stat()
    again = CocoIndex(old_file, index_dir=keep)
    expect(again, scattered())
    assert (columns.stat().st_ino, columns.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_was_written_just_now_is_not_trusted_later(tmp_path: Path) -> None:
    keep, file = tmp_path / "index", tmp_path / "a.json"
    write(file, scattered())
    CocoIndex(file, index_dir=keep)
    (columns,) = keep.glob("*/columns")
    before = columns.stat().st_ino
    CocoIndex(file, index_dir=keep)
    assert columns.stat().st_ino != before


def test_another_file_under_the_same_name_is_another_index(tmp_path: Path) -> None:
    keep, file = tmp_path / "index", tmp_path / "a.json"
    first = CocoIndex(write(file, scattered(seed=1)), index_dir=keep)
    write(tmp_path / "b.json", scattered(seed=2)).replace(file)
    expect(CocoIndex(file, index_dir=keep), scattered(seed=2))
    expect(first, scattered(seed=1))  # what is open stays what it was
    with pytest.raises(errors.ChangedMeanwhile, match=r"a\.json changed since the dataset was made"):
        pickle.loads(pickle.dumps(first)).image(0)  # a worker that is started now would read the new one
    first.check_same()


def test_a_file_that_is_written_over_is_noticed(tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", scattered(seed=1))
    index = CocoIndex(file, index_dir=tmp_path / "index")
    with file.open("r+") as out:
        out.truncate(100)
    with pytest.raises(errors.ChangedMeanwhile, match="changed since"):
        index.image(30)
    with pytest.raises(errors.ChangedMeanwhile):
        index.check_same()


@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "head", "empty"])
def test_a_damaged_index_is_made_anew(old_file: Path, tmp_path: Path, damage: str) -> None:
    keep = tmp_path / "index"
    CocoIndex(old_file, index_dir=keep)
    (columns,) = keep.glob("*/columns")
    data = columns.read_bytes()
    bad = {
        "cut": data[:-10],
        "flipped": data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        "other": b"something else\n" + data,
        "head": data.replace(b'"columns":', b'"columms":'),
        "empty": b"",
    }[damage]
    columns.write_bytes(bad)
    expect(CocoIndex(old_file, index_dir=keep), scattered())
    assert columns.read_bytes() == data


def test_an_index_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    index = CocoIndex(write(tmp_path / "a.json", scattered()), index_dir=tmp_path / "index")
    packed = pickle.dumps(index)
    for columns in (tmp_path / "index").glob("*/columns"):
        columns.unlink()
    with pytest.raises(errors.DiskError, match="the index of"):
        pickle.loads(packed).image(0)
    expect(index, scattered())


def test_without_a_directory_for_it_the_index_is_in_memory(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    file = write(tmp_path / "a.json", scattered())
    with pytest.warns(RuntimeWarning, match="no index can be kept there"):
        index = CocoIndex(file, index_dir=tmp_path / "taken/index")
    expect(index, scattered())
    expect(pickle.loads(pickle.dumps(index)), scattered())


def test_a_full_disk_is_no_reason_not_to_train(small_disk: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", scattered(2_000, 4_000))
    with pytest.warns(RuntimeWarning, match="No space left"):
        index = CocoIndex(file, index_dir=small_disk / "index")
    assert index.image(1_999) == scattered(2_000, 4_000)["images"][1_999]
    assert not list((small_disk / "index").glob("*/.*"))


def test_old_indexes_are_swept_and_nothing_else(tmp_path: Path) -> None:
    keep = tmp_path / "index"
    CocoIndex(write(tmp_path / "a.json", scattered(seed=1)), index_dir=keep)
    (old,) = keep.iterdir()
    (keep / "foreign").mkdir()
    for folder in keep.iterdir():
        os.utime(folder, (1e9, 1e9))
    CocoIndex(write(tmp_path / "b.json", scattered(seed=2)), index_dir=keep)
    assert not old.exists()
    assert (keep / "foreign").exists()
    assert len(list(keep.iterdir())) == 2


def test_the_working_directory_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.json", scattered())
    monkeypatch.chdir(tmp_path)
    index = CocoIndex("a.json", index_dir=tmp_path / "index")
    monkeypatch.chdir("/")
    expect(pickle.loads(pickle.dumps(index)), scattered())


def test_the_directory_is_where_caches_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert index_directory() == tmp_path / ".cache/visprep/index"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # such a value is to be ignored
    assert index_directory() == tmp_path / ".cache/visprep/index"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    CocoIndex(write(tmp_path / "a.json", scattered()))
    assert list((tmp_path / "xdg/visprep/index").glob("*/columns"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"images": [{"id": 1}, {"id": 2,}]}', "byte"),
        ('{"images": [{"id": 1}', "ends"),
        ("", "holds nothing"),
        ("[]", "a list, not an object"),
        ('[{"image_id": 1}]', "a list, not an object"),
        ('{"annotations": []}', "no list of images"),
        ('{"images": {}}', "'images' is no list"),
        ('{"images": [], "images": []}', "stands there twice"),
        ('{"images": [{"id": "one"}]}', "/images/0 at byte 12: its 'id' is 'one'"),
        ('{"images": [{"id": 1.5}]}', "its 'id' is 1.5"),
        ('{"images": [{"id": true}]}', "its 'id' is True"),
        ('{"images": [{"id": 99999999999999999999}]}', "its 'id' is"),
        ('{"images": [{}]}', "its 'id' is None"),
        ('{"images": [7]}', "/images/0 at byte 12"),
        ('{"images": [{"id": 1}], "annotations": [{"image_id": 1}, {"id": 2}]}', "/annotations/1 at byte 57"),
        ('{"images": [{"id": 1, "x": NaN}]}', "/images/0 at byte 12"),
        ('{"images": [], "categories": [1]}', "'categories' is no list of objects"),
        ('{"images": [{"id": 4}, {"id": 5}, {"id": 4}]}', "/images/0 and /images/2 have one id, 4"),
        ('{"images": [{"id": 4}, {"id": 5}, {"id": 4}, {"id": 5}]}', "and 1 more"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    file = write(tmp_path / "bad.json", text)
    with pytest.raises(errors.WrongContent, match=words) as raised:
        CocoIndex(file, index_dir=tmp_path / "index")
    assert "bad.json" in raised.value.message
    assert raised.value.hint
    assert not list((tmp_path / "index").glob("*/columns"))


def test_no_file_and_a_directory(tmp_path: Path) -> None:
    with pytest.raises(errors.FileMissing, match=r"no\.json"):
        CocoIndex(tmp_path / "no.json", index_dir=tmp_path)
    with pytest.raises(errors.UsageError, match="is a directory"):
        CocoIndex(tmp_path, index_dir=tmp_path)


def test_ends_of_what_is_allowed(tmp_path: Path) -> None:
    text = '{"images": [{"id": 9e2, "file_name": ""}, {"id": 3.0}, {"id": -4, "file_name": "x"}], "annotations": '
    text += '[{"image_id": 3, "n": 1}, {"image_id": 77}, {"image_id": 900}, {"image_id": 3.0, "n": 2}'
    text += ', {"image_id": 8}]}'
    index = CocoIndex(write(tmp_path / "a.json", text), index_dir=tmp_path / "index")
    assert index.image_ids.tolist() == [900, 3, -4]
    assert [len(index.annotations(number)) for number in range(3)] == [1, 2, 0]
    assert [one["n"] for one in index.annotations(1)] == [1, 2]
    assert (index.strays, index.stray) == (2, 77)
    assert index.categories == []
    for number in (0, 1):
        with pytest.raises(errors.WrongContent, match="has no file_name"):
            index.file_name(number)
    for text in ('{"images": []}', '{"images": [], "annotations": null, "categories": null}'):
        empty = CocoIndex(write(tmp_path / "b.json", text), index_dir=tmp_path / "index")
        assert (len(empty), empty.categories, empty.strays) == (0, [], 0)


def test_processes_that_start_together_build_it_once(old_file: Path, tmp_path: Path) -> None:
    keep = tmp_path / "index"
    code = "import sys; from visprep.loaders.coco_index import CocoIndex"
    code += "; i = CocoIndex(sys.argv[1], index_dir=sys.argv[2])"
    code += "; print(i._mapped.stat().st_ino, int(i.annotation_counts.sum()))"
    command = [sys.executable, "-c", code, str(old_file), str(keep)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate()[0] for process in running}
    assert len(said) == 1
    assert said.pop().split()[1] == "400"
    assert len(list(keep.glob("*/columns"))) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_other_processes_map_what_one_built(tmp_path: Path, method: str) -> None:
    index = CocoIndex(write(tmp_path / "a.json", scattered()), index_dir=tmp_path / "index")
    index.image(0)  # its file is open before the fork
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(index.annotations, range(40))
    assert found == [index.annotations(number) for number in range(40)]
    assert len(pickle.dumps(index)) < 2_000


# -- files that are elsewhere


def test_on_s3_it_is_fetched_once_and_stays_what_it_was(photographs: Photographs, tmp_path: Path) -> None:
    keep = tmp_path / "index"
    url = photographs.put("annotations/a.json", json.dumps(scattered(seed=1)).encode())
    first = CocoIndex(url, access=photographs.settings, index_dir=keep)
    expect(first, scattered(seed=1))
    made = sorted(keep.glob("*/*"))
    before = [one.stat().st_ino for one in made]
    CocoIndex(url, access=photographs.settings, index_dir=keep)
    assert [one.stat().st_ino for one in sorted(keep.glob("*/*"))] == before
    photographs.put("annotations/a.json", json.dumps(scattered(seed=2)).encode())
    expect(first, scattered(seed=1))
    expect(pickle.loads(pickle.dumps(first)), scattered(seed=1))
    expect(CocoIndex(url, access=photographs.settings, index_dir=keep), scattered(seed=2))


def test_on_s3_what_is_not_there_or_is_no_json_is_told_by_its_url(photographs: Photographs, tmp_path: Path) -> None:
    url = f"s3://{photographs.bucket}/no.json"
    with pytest.raises(errors.FileMissing, match=r"no\.json"):
        CocoIndex(url, access=photographs.settings, index_dir=tmp_path)
    url = photographs.put("bad.json", b'{"images": [')
    with pytest.raises(errors.WrongContent, match=url):
        CocoIndex(url, access=photographs.settings, index_dir=tmp_path)
    (tmp_path / "taken").write_text("a file")
    with pytest.warns(RuntimeWarning), pytest.raises(errors.DiskError, match="must be fetched"):
        CocoIndex(url, access=photographs.settings, index_dir=tmp_path / "taken/x")


def test_on_the_web(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    write(tmp_path / "www/a.json", scattered())
    with Mirror(tmp_path / "www") as mirror:
        index = CocoIndex(f"{mirror.url}/a.json", index_dir=tmp_path / "index")
        with pytest.raises(errors.FileMissing):
            CocoIndex(f"{mirror.url}/b.json", index_dir=tmp_path / "index")
    expect(index, scattered())


def test_it_knows_no_torch() -> None:
    code = "import sys; import visprep.loaders.coco_index; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_keypoints_and_captions(tmp_path: Path) -> None:
    for document in (coco_documents.keypoints(), coco_documents.captions(), coco_documents.panoptic()):
        file = write(tmp_path / "a.json", document)
        expect(CocoIndex(file, index_dir=tmp_path / "index"), {"categories": [], **document})


def test_counts_are_those_of_each_image(tmp_path: Path) -> None:
    document = scattered()
    index = CocoIndex(write(tmp_path / "a.json", document), index_dir=tmp_path / "index")
    counts = [sum(one["image_id"] == id_ for one in document["annotations"]) for id_ in index.image_ids.tolist()]
    assert index.annotation_counts.tolist() == counts
    assert np.array(counts[-5:]).sum() == 0
