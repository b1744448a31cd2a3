"""The sample as COCO, as Open Images, as triplets and as frames: downloaded on the road that every source takes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import visprep
from conftest import tree
from visprep.errors import UnknownName, UsageError, WouldOverwrite
from visprep.formats import episodes, triplets
from visprep.stores.local import LocalStore
from visprep.testing import Mirror
from visprep.testing.open_images_sample import lay_out

#: Config, records, files, format
KINDS = [
    ("coco", "images", 16, 22),
    ("open-images", "images", 20, 72),
    ("vton", "triplets", 8, 24),
    ("frames", "episodes", 5, 49),
]
every_kind = pytest.mark.parametrize(("config", "kind", "records", "files"), KINDS, ids=[kind[0] for kind in KINDS])


@pytest.fixture(autouse=True)
def one_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@every_kind
def test_it_arrives_whole_and_clean(run, config, kind, records, files):
    ended = run("download", "sample", "--config", config)
    assert (ended.code, ended.err) == (0, f"data/sample-{config}: {records} {kind}, {files} files written, 0 kept\n")
    place = f"data/sample-{config}"
    report = visprep.verify(place, depth="content")
    assert (report.findings, report.format, report.checked[kind]) == ((), config, records)
    step = json.loads(Path(place, "dataset.json").read_text())["steps"][0]
    assert step["counts"] == {kind: records, "files": files, "skipped": 0}
    assert step["options"]["config"] == [config]
    before = tree(place)
    assert f"0 files written, {files} kept" in run("download", "sample", "--config", config).err
    assert tree(place) == before
    assert f"{records} {kind}" in run("status", place).out


@every_kind
def test_a_download_that_is_stopped_goes_on(tmp_path, monkeypatch, config, kind, records, files):
    class Enough(Exception):
        pass

    def stop(progress):
        if progress.stage == "Writing":
            raise Enough

    visprep.download("sample", tmp_path / "calm", config=config)
    with pytest.raises(Enough):
        visprep.download("sample", tmp_path / "stopped", config=config, progress=stop)
    assert visprep.status(tmp_path / "stopped").state == "unfinished"
    visprep.download("sample", tmp_path / "stopped", config=config)
    assert tree(tmp_path / "stopped") == tree(tmp_path / "calm")


@every_kind
def test_another_process_draws_the_same_bytes(tmp_path, config, kind, records, files):
    code = f"import sys, visprep; visprep.download('sample', sys.argv[1], config={config!r})"
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], env=environment, check=True)
    visprep.download("sample", tmp_path / "here", config=config)
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


@every_kind
def test_a_limit_takes_the_first_of_them(tmp_path, config, kind, records, files):
    some = visprep.download("sample", tmp_path / "some", config=config, limit=2)
    assert (some.kind, some.tasks) == (kind, 2 * {"coco": 2, "open-images": 3}.get(config, 1))
    assert visprep.verify(tmp_path / "some").findings == ()
    visprep.download("sample", tmp_path / "all", config=config)
    kept = {path: data for path, data in tree(tmp_path / "some").items() if path.endswith((".png", ".jpg"))}
    assert kept.items() <= tree(tmp_path / "all").items()


def test_a_split_of_coco_comes_alone(tmp_path):
    visprep.download("sample", tmp_path, config="coco", split="val2017")
    assert {path.split("/")[0] for path in tree(tmp_path)} == {"annotations", "val2017", "dataset.json", ".visprep"}
    with pytest.raises(UnknownName) as caught:
        visprep.download("sample", tmp_path, config="coco", split="test")
    assert caught.value.hint == "it has: train2017, val2017"


def test_a_split_of_open_images_comes_alone_with_its_lists(tmp_path):
    visprep.download("sample", tmp_path, config="open-images", split="validation")
    assert {path.split("/")[0] for path in tree(tmp_path)} == {
        "annotations", "validation", "masks", "labels", "dataset.json", ".visprep",
    }  # fmt: skip
    assert len(list((tmp_path / "labels").glob("*.*"))) == 3
    with pytest.raises(UnknownName) as caught:
        visprep.download("sample", tmp_path, config="open-images", split="val")
    assert caught.value.hint == "it has: train, validation, test"


@pytest.mark.parametrize("limit", [None, 3])
def test_as_open_images_it_is_what_open_images_itself_would_bring(tmp_path, limit):
    lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as server:
        visprep.download(
            "open-images", tmp_path / "brought", via="http", mirror=server.url, limit=limit,
            split="train,validation,test", labels="boxes,masks,relationships,image-labels,points",
        )  # fmt: skip
    visprep.download("sample", tmp_path / "drawn", config="open-images", limit=limit)
    brought, drawn = tree(tmp_path / "brought"), tree(tmp_path / "drawn")
    assert brought.keys() == drawn.keys()
    assert {path for path in drawn if drawn[path] != brought[path]} == {"dataset.json", ".visprep/manifest.jsonl"}
    annotations = json.loads(drawn["annotations/instances_train.json"])["annotations"]
    assert {one["iscrowd"] for one in annotations} == {0, 1}
    assert sum("segmentation" in one for one in annotations) == sum(path.startswith("masks/train") for path in drawn)


def test_without_pyarrow_it_says_what_to_install(tmp_path):
    program = f"""
import sys
sys.modules["pyarrow"] = None  # as where it is not installed
import visprep
from visprep.errors import MissingExtra
try:
    visprep.download("sample", {str(tmp_path / "oi")!r}, config="open-images")
except MissingExtra as error:
    print(error.slug, error.hint)
visprep.download("sample", {str(tmp_path / "coco")!r}, config="coco")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("missing-extra pip install")
    assert not (tmp_path / "oi").exists()
    assert (tmp_path / "coco/dataset.json").exists()


def test_kinds_do_not_mix(tmp_path):
    with pytest.raises(UsageError, match="datasets of their own"):
        visprep.download("sample", tmp_path, config="vton,frames")
    for first, second in (
        ("tasks", "vton"), ("vton", "frames"), ("frames", "tasks"), ("coco", "open-images"), ("open-images", "coco"),
    ):  # fmt: skip
        visprep.download("sample", tmp_path / first, config=first)
        with pytest.raises(WouldOverwrite, match="another dataset lies here"):
            visprep.download("sample", tmp_path / first, config=second)
        shutil.rmtree(tmp_path / first)


def test_tasks_are_what_comes_when_nothing_is_said(run):
    assert run("download", "sample").err == "data/questions: 32 tasks, 128 files written, 0 kept\n"
    assert "0 files written" in run("download", "sample", "--config", "tasks", "--output", "data/questions").err


def test_the_triplets_have_the_same_stems_in_every_directory(tmp_path):
    visprep.download("sample", tmp_path, config="vton")
    found = list(triplets.find(LocalStore(tmp_path).list()))
    assert {one.difficulty for one in found} == {"easy", "hard"}
    assert len({one.directory for one in found}) == 4
    assert {one.stem for one in found} == {"001", "002"}
    assert all(one.complete for one in found)
    assert len({Path(tmp_path, file.path).read_bytes() for one in found for file in one.files}) == 24


def test_the_episodes_are_numbered_in_several_ways(tmp_path):
    visprep.download("sample", tmp_path, config="frames")
    found = list(episodes.find(LocalStore(tmp_path).list()))
    assert [(one.game, one.numbers[0], one.numbers[-1]) for one in found] == [
        ("bounce", 1, 12), ("bounce", 0, 10), ("walk", 1, 8), ("walk", 1, 12), ("walk", 96, 101),
    ]  # fmt: skip
    assert all(list(one.numbers) == list(range(one.numbers[0], one.numbers[-1] + 1)) for one in found)
    assert len({Path(tmp_path, file.path).read_bytes() for one in found for file in one.frames}) == 49
