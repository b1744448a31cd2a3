"""`visprep gather`: download, verify and split as one command, which stops where one of these does, and goes on."""

from __future__ import annotations

import json
import shlex
import shutil
import signal

import pytest

import visprep
from conftest import tree
from engine_work import Counted
from killing import kill_at_work, kill_count, leftovers
from killing import visprep as start
from visprep.testing import LocalHub, Mirror
from visprep.testing.coco import lay_out
from vtb_upstream import upstream_files

PARTS = "train=0.8,val=0.1,test=0.1"


@pytest.fixture
def upstream(tmp_path):
    lay_out(tmp_path / "upstream")
    with Mirror(tmp_path / "upstream") as mirror:
        yield mirror


@pytest.fixture
def coco(upstream, tmp_path):
    """The words of a command that gathers the two splits of the sample from the mirror."""
    where = ("--mirror", upstream.url, "--checksums", str(tmp_path / "upstream/SHA256SUMS"))
    return ("gather", "coco", "--split", "train2017,val2017", "--labels", "instances", *where, "--name", "maxsight")


def document(path):
    return json.loads(path.read_bytes())


def go_on(words):
    """The words of the command that is told to go on with."""
    (line,) = [line for line in words.splitlines() if "to go on: " in line]
    program, *argv = shlex.split(line.partition("to go on: ")[2])
    assert program == "visprep"
    return argv


def damage(place):
    """Cut off an image of train2017; its name."""
    image = sorted(place.glob("train2017/*.jpg"))[0]
    image.write_bytes(image.read_bytes()[:-40])
    return image.name


# what it does


def test_one_engine_does_all_three(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    visprep.download("sample", tmp_path / "origin", limit=2)
    lists = []
    for name in ("local", "spread"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with Counted(1) as counted:
            done = visprep.gather(
                str(tmp_path / "origin"), "data", parts="train=0.5,test=0.5", splits="parts", near_duplicates=True,
                engine=counted if name == "spread" else "local", say=lambda _, of=counted: lists.append(of.lists),
            )  # fmt: skip
            lists.append(counted.lists)
        assert done.split is not None
    for made in ("data", "parts"):
        assert tree(tmp_path / "local" / made) == tree(tmp_path / "spread" / made)
    download, verify, split, end = lists[4:]
    assert download == 0 < verify < split < end


def test_a_test_part_is_carved_out_of_coco(run, coco, tmp_path):
    """As the script of the seed did it: what upstream keeps for validation stays there."""
    ended = run(*coco, "--parts", "train=0.8,test=0.2", "--method", "exact", "--seed", "42")
    assert ended.code == 0, ended.err
    work = tmp_path / "work"
    names = {path.name for path in (work / "data/cleaned_splits").iterdir()} - {".visprep", "dataset.json"}
    assert names == {"maxsight_train.json", "maxsight_val.json", "maxsight_test.json", "split.json"}
    made = {part: document(work / f"data/cleaned_splits/maxsight_{part}.json") for part in ("train", "val", "test")}
    assert {part: len(one["images"]) for part, one in made.items()} == {"train": 8, "val": 6, "test": 2}
    whole = document(work / "data/coco/annotations/instances_val2017.json")
    assert made["val"]["annotations"] == whole["annotations"]
    told = document(work / "data/cleaned_splits/split.json")
    assert (told["seed"], told["method"], told["members"]["val"]) == (
        42,
        "exact",
        sorted(one["file_name"] for one in whole["images"]),
    )


def test_repeated_it_writes_nothing_and_says_so(run, coco, tmp_path):
    argv = (*coco, "--parts", PARTS)
    first = run(*argv)
    assert "nothing to do" not in first.err
    before = tree(tmp_path / "work")
    second = run(*argv)
    assert (second.code, "nothing to do: all was there" in second.err) == (0, True)
    assert tree(tmp_path / "work") == before
    told = json.loads(run(*argv, "--json").out)
    assert (told["nothing_to_do"], told["download"]["files"], told["split"]["written"]) == (True, 0, [])
    assert tree(tmp_path / "work") == before


def test_the_json_tells_every_step(run, coco, tmp_path):
    ended = run(
        *coco, "--parts", "train=6,val=3", "--output", tmp_path / "data", "--splits", tmp_path / "parts", "--json"
    )
    told = json.loads(ended.out)
    assert (ended.code, told["format_version"]) == (0, 1)
    assert (told["output"], told["splits"]) == (str(tmp_path / "data"), str(tmp_path / "parts"))
    assert told["download"]["files"] == 18
    assert told["verify"] == {
        "depth": "decode", "checked": {"images": 16, "annotations": 29, "files": 18},
        "counts": {"error": 0, "warning": 0, "note": 0}, "findings": [],
    }  # fmt: skip
    assert told["parts"] == {"train": 6, "val": 3}
    assert {tmp_path / "parts" / path for path in told["files"]} == set((tmp_path / "parts").glob("maxsight_*.json"))
    assert (told["stopped"], told["go_on"], told["nothing_to_do"]) == (None, None, False)


def test_the_environment_says_where_it_goes(run, coco, tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "drive/coco"))
    monkeypatch.setenv("SPLITS_DIR", str(tmp_path / "drive/splits"))
    assert run(*coco, "--parts", PARTS).code == 0
    assert (tmp_path / "drive/splits/maxsight_train.json").is_file()
    assert len(list((tmp_path / "drive/coco/train2017").iterdir())) == 10
    assert not (tmp_path / "work/data").exists()


def test_a_limit_is_drawn_by_the_seed(run, coco, tmp_path):
    argv = (*coco, "--parts", "train=0.5,test=0.5", "--limit", "3")
    chosen = {}
    for name, seed in (("first", ()), ("same", ()), ("drawn", ("--seed", "5"))):
        where = ("--output", tmp_path / name, "--splits", tmp_path / f"{name}-splits")
        assert run(*argv, *seed, *where).code == 0
        chosen[name] = sorted(path.name for path in (tmp_path / name).glob("*2017/*.jpg"))
    assert chosen["first"] == chosen["same"] != chosen["drawn"]
    assert {len(names) for names in chosen.values()} == {6}


def test_only_what_is_asked_for_is_split(run, coco, tmp_path):
    assert run(*coco, "--parts", "train=0.8,test=0.2").code == 0
    argv = [word for word in coco if word != "train2017,val2017"]
    argv.insert(3, "train2017")
    ended = run(*argv, "--parts", "train=0.8,test=0.2", "--splits", "data/others", "--json")
    assert (ended.code, set(json.loads(ended.out)["parts"])) == (0, {"train", "test"})


def test_several_kinds_of_annotations_go_to_the_same_parts(run, coco, tmp_path):
    argv = [word if word != "instances" else "instances,captions" for word in coco]
    assert run(*argv, "--parts", "train=0.5,test=0.5").code == 0
    for part in ("train", "test"):
        kinds = [
            document(tmp_path / f"work/data/cleaned_splits/maxsight_{kind}_{part}.json")["images"]
            for kind in ("instances", "captions")
        ]
        assert [one["id"] for one in kinds[0]] == [one["id"] for one in kinds[1]] != []


def test_the_sample_is_gathered_by_domains(run, tmp_path):
    argv = ("gather", "sample", "--parts", "train=0.5,test=0.5", "--method", "exact", "--group-by", "domain", "--json")
    ended = run(*argv)
    told = json.loads(ended.out)
    assert (ended.code, told["download"]["tasks"], told["parts"]) == (0, 32, {"train": 16, "test": 16})
    names = (tmp_path / "work/data/cleaned_splits/test.txt").read_text().splitlines()
    assert len({name.partition("/")[0] for name in names}) == 2
    assert json.loads(run(*argv).out)["nothing_to_do"]


@pytest.mark.parametrize(("config", "count"), [("coco", 16), ("vton", None), ("frames", None)])
def test_every_kind_of_the_sample_is_gathered(run, config, count):
    argv = ("gather", "sample", "--config", config, "--parts", "train=0.5,test=0.5", "--method", "exact", "--json")
    ended = run(*argv)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert told["output"] == f"data/sample-{config}"
    records = sum(told["parts"].values())
    assert records == (count or told["download"]["tasks"]) > 0
    assert json.loads(run(*argv).out)["nothing_to_do"]


def test_tasks_go_into_directories_of_their_parts(run, tmp_path):
    argv = ("gather", "sample", "--limit", "4", "--parts", "train=0.5,test=0.5", "--method", "exact", "--how", "copies")
    assert run(*argv).code == 0
    places = [tmp_path / f"work/data/cleaned_splits/{part}" for part in ("train", "test")]
    assert [len(list(place.rglob("prompt.txt"))) for place in places] == [2, 2]


def test_videothinkbench_and_tables_of_the_hub(run, monkeypatch):
    with LocalHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        files = upstream_files()
        hub.add("OpenMOSS-Team/VideoThinkBench").commit(files)
        (path, table) = next((path, data) for path, data in files.items() if path.endswith(".parquet"))
        assert path
        hub.add("org/name").commit({"data/train-00000-of-00001.parquet": table})
        parts = ("--parts", "train=0.5,test=0.5", "--method", "exact", "--json")
        ended = run("gather", "videothinkbench", "--output", "vtb", "--splits", "vtb-splits", *parts)
        assert ended.code == 0, ended.err
        assert sum(json.loads(ended.out)["parts"].values()) == json.loads(ended.out)["download"]["tasks"] > 2
        ended = run("gather", "hf:org/name", "--output", "own", "--splits", "own-splits", *parts)
        assert ended.code == 0, ended.err
        assert sum(json.loads(ended.out)["parts"].values()) > 0


def test_a_place_is_a_source_too(run, tmp_path):
    assert run("download", "sample", "--limit", "4", "--output", "origin").code == 0
    ended = run("gather", "./origin", "--output", "copy", "--parts", "train=0.5,test=0.5", "--json")
    assert (ended.code, sum(json.loads(ended.out)["parts"].values())) == (0, 4)
    assert (
        run("gather", "./origin", "--output", "copy", "--parts", "train=0.5,test=0.5").err.count("nothing to do") == 1
    )


def test_tasks_are_gathered_on_s3(run, bucket):
    where = ("--output", f"s3://{bucket}/tasks", "--splits", f"s3://{bucket}/parts")
    argv = ("gather", "sample", "--limit", "8", *where, "--parts", "train=0.5,test=0.5", "--method", "exact", "--json")
    told = json.loads(run(*argv).out)
    assert (told["parts"], told["verify"]["depth"]) == ({"train": 4, "test": 4}, "headers")
    assert json.loads(run(*argv).out)["nothing_to_do"]
    assert run("verify", f"s3://{bucket}/parts").code == 0
    assert run("gather", "coco", *where, "--parts", "train=1").code == 2


def test_what_looks_the_same_stays_together(run, coco, tmp_path):
    argv = (*coco, "--parts", "train=0.5,test=0.5", "--method", "exact", "--near-duplicates")
    assert run(*argv[:1], *argv[1:]).code == 0
    place = tmp_path / "work/data/coco/val2017"
    (source, target, *_) = sorted(place.iterdir())
    target.write_bytes(source.read_bytes())
    ended = run(*argv, "--skip-download", "--depth", "names", "--splits", "data/other")
    assert ended.code == 0, ended.err
    members = document(tmp_path / "work/data/other/split.json")["members"]
    (home,) = [part for part, keys in members.items() if source.name in keys]
    assert target.name in members[home]


# where it stops


def test_it_stops_where_verify_finds_errors(run, coco, tmp_path):
    argv = (*coco, "--parts", PARTS)
    assert run("download", *argv[1 : argv.index("--name")]).code == 0
    name = damage(tmp_path / "work/data/coco")
    ended = run(*argv, "--skip-download")
    assert (ended.code, "[image-truncated]" in ended.out) == (1, True)
    assert "verify found errors, and gather stopped there" in ended.err
    assert not (tmp_path / "work/data/cleaned_splits").exists()
    told = json.loads(run(*argv, "--skip-download", "--json").out)
    assert (told["stopped"], told["split"], told["verify"]["counts"]["error"]) == ("verify", None, 2)
    assert shlex.split(told["go_on"])[1:] == go_on(ended.err)
    ended = run(*go_on(ended.err))
    assert ended.code == 0, ended.err
    assert "image-truncated" in ended.out
    split = document(tmp_path / "work/data/cleaned_splits/split.json")
    assert split["left_out"]["records"] == {"image-truncated": 1}
    assert name not in {key for keys in split["members"].values() for key in keys}


def test_a_seed_of_nothing_is_gone_on_with(tmp_path, monkeypatch):
    """A download of some images by seed 0, split by it: not those by no seed."""
    monkeypatch.chdir(tmp_path)
    argv = {"parts": "train=0.5,test=0.5", "seed": 0, "splits": "parts"}
    empty = {"split": (), "labels": [], "map": {}, "mirror": None, "group_by": None}
    made = visprep.gather("sample", "place", **argv, **empty, limit=4)
    assert (made.stopped, made.idle) == (None, False)
    next((tmp_path / "place").rglob("first_frame.png")).unlink()
    stopped = visprep.gather("sample", "place", **argv, **empty, skip_download=True)
    words = "visprep gather sample --output place --parts train=0.5,test=0.5 --splits parts --seed 0"
    assert sorted(shlex.split(stopped.go_on)) == sorted([*words.split(), "--skip-download", "--clean"])


@pytest.mark.parametrize(
    ("config", "lost", "code", "clean"),
    [
        ("vton", ["*/*/cloth_image/*_cloth_*"], "triplet-incomplete", 0),
        ("vton", ["*/*/cloth_image/*", "*/*/initial_image/*", "*/*/try_on_image/*"], "file-missing", 1),
        ("frames", ["*/*/frame_00004.png"], "episode-gap", 0),
        ("frames", ["*/*/frame_00004.png", "*/*/frame_00001.png"], "file-missing", 0),  # and a gap
        ("frames", ["*/*/frame_00001.png"], "file-missing", 1),
    ],
)
def test_cleaning_leaves_out_what_lacks_a_file_that_came(run, tmp_path, config, lost, code, clean):
    """A record that is left out needs no file; where nothing else tells, what came is to be fetched again."""
    place = tmp_path / "work/place"
    assert run("download", "sample", "--config", config, "--output", "place").code == 0
    for pattern in lost:
        sorted(place.glob(pattern))[0].unlink()
    argv = ("gather", "./place", "--skip-download", "--parts", "train=0.5,test=0.5")
    ended = run(*argv)
    assert (ended.code, f"[{code}]" in ended.out) == (1, True), ended.out + ended.err
    ended = run(*argv, "--clean")
    assert (ended.code, (tmp_path / "work/data/cleaned_splits/split.json").exists()) == (clean, not clean), ended.err


def test_without_skip_the_download_heals_what_is_bad(run, coco, tmp_path):
    argv = (*coco, "--parts", PARTS)
    assert run(*argv).code == 0
    before = tree(tmp_path / "work")
    shutil.rmtree(tmp_path / "work/data/coco/val2017")
    assert run(*argv, "--skip-download").code == 1
    assert run(*argv).code == 0
    assert tree(tmp_path / "work") == before


def test_it_stops_where_a_download_fails(run, coco, upstream, tmp_path):
    upstream.fault("GET /zips/train2017", times=None, status=404)
    ended = run(*coco, "--parts", PARTS)
    assert (ended.code, "visprep: download: " in ended.err) == (3, True)
    assert not (tmp_path / "work/data/cleaned_splits").exists()
    upstream.clear_faults()
    assert run(*go_on(ended.err)).code == 0


def test_it_stops_where_images_are_not_there_at_all(run, coco, tmp_path):
    argv = (*coco, "--parts", PARTS)
    assert run("download", *argv[1 : argv.index("--name")]).code == 0
    shutil.rmtree(tmp_path / "work/data/coco/train2017")
    (tmp_path / "work/data/coco/.visprep/manifest.jsonl").unlink()
    ended = run(*argv, "--skip-download", "--clean")
    assert (ended.code, "[images-absent]" in ended.out) == (1, True)
    assert "verify found annotations without images, and gather stopped there" in ended.err
    assert "--skip-download" not in go_on(ended.err)


@pytest.mark.parametrize(("text", "code"), [("{", 3), ('{"images": [], "annotations": []}', 1)])
def test_it_stops_where_cleaning_does_not_help(run, coco, tmp_path, text, code):
    argv = (*coco, "--parts", PARTS, "--clean")
    assert run("download", *argv[1 : argv.index("--name")]).code == 0
    (tmp_path / "work/data/coco/annotations/instances_val2017.json").write_text(text)
    ended = run(*argv, "--skip-download")
    assert ended.code == code, ended.out + ended.err
    assert not list((tmp_path / "work").rglob("maxsight_*.json"))


def test_it_stops_where_the_parts_leak(run, tmp_path):
    """Two of a group are in different parts already, and a third one comes."""
    place, argv = tmp_path / "tasks", ("--output", tmp_path / "tasks", "--parts", "train=0.5,test=0.5")
    visprep.download("sample", place, limit=8)
    exact = (*argv, "--method", "exact", "--skip-download", "--splits", tmp_path / "splits")
    assert run("gather", "sample", *exact).code == 0
    visprep.download("sample", place, limit=9)
    visprep.download("sample", place)
    ended = run("gather", "sample", *exact, "--extend", tmp_path / "splits/split.json", "--group-by", "domain")
    assert (ended.code, "[leak-across-parts]" in ended.out) == (1, True)
    assert "split found errors, and gather stopped there" in ended.err
    assert "--clean" in go_on(ended.err)


def test_a_place_that_is_not_there_is_told(run, tmp_path):
    ended = run("gather", "coco", "--parts", PARTS, "--skip-download", "--output", "nowhere")
    assert (ended.code, "[place-missing]" in ended.err) == (3, True)
    assert "nowhere" in ended.err
    assert "leave out --skip-download to fetch it" in ended.err
    assert "to go on" not in ended.err  # pasted, it would fetch all of COCO
    assert list((tmp_path / "work").iterdir()) == []


def test_a_split_that_is_not_there_is_told(run, coco, tmp_path):
    argv = [word if word != "train2017,val2017" else "val2017" for word in coco]
    assert run(*argv, "--parts", "val=0.5,test=0.5").code == 0
    ended = run(*coco, "--parts", PARTS, "--skip-download", "--splits", "data/others")
    assert (ended.code, "[file-missing]" in ended.err) == (3, True)
    assert "annotations/instances_train2017.json" in ended.err
    assert ended.err.count("leave out --skip-download to fetch it") == 1
    assert "to go on" not in ended.err
    assert run(*coco, "--parts", PARTS, "--splits", "data/others").code == 0


def test_of_the_kinds_that_are_asked_for_those_that_are_there_are_told(run, coco, tmp_path):
    assert run(*coco, "--parts", PARTS).code == 0
    words = ("gather", "coco", "--split", "train2017,val2017", "--parts", PARTS, "--skip-download")
    ended = run(*words, "--splits", "data/others")
    assert (ended.code, "captions_train2017.json" in ended.err) == (3, True)
    assert "--labels instances takes what is there" in ended.err
    assert run(*words, "--splits", "data/others", "--labels", "instances").code == 0


def test_a_place_is_taken_where_it_lies(run, tmp_path):
    assert run("download", "sample", "--limit", "4", "--output", "origin").code == 0
    argv = ("gather", "./origin", "--skip-download", "--parts", "train=0.5,test=0.5")
    ended = run(*argv, "--json")
    assert (ended.code, json.loads(ended.out)["output"], sum(json.loads(ended.out)["parts"].values())) == (
        0, "./origin", 4
    )  # fmt: skip
    assert not (tmp_path / "work/data/origin").exists()
    next((tmp_path / "work/origin").rglob("first_frame.png")).unlink()
    ended = run(*argv)
    assert (ended.code, "--skip-download" in go_on(ended.err)) == (1, True)
    shutil.rmtree(tmp_path / "work/origin")
    ended = run(*argv)
    assert (ended.code, "[place-missing]" in ended.err, "to go on" in ended.err) == (3, True, False)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--parts", "train=0.9,test=0.9"), "--parts"),
        (("--parts", "train=0.9", "--splits", "data/coco/parts"), "one must not lie in the other"),
        (("--parts", "train=0.9", "--splits", "data"), "one must not lie in the other"),
        (("--parts", "train=0.9", "--splits", "data/coco"), "one must not lie in the other"),
        (("--parts", "train=0.9", "--method", "magic"), "method"),
        (("--parts", "train=0.9", "--extend", "nothing.json"), "nothing.json"),
        (("--parts", "train=0.9", "--name", "../up"), "--name"),
        (("--parts", "train=5", "--method", "stable"), "stable"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_fetched(run, coco, upstream, tmp_path, more, words):
    argv = [word for word in coco if word not in ("--name", "maxsight")]
    ended = run(*argv, *more)
    assert ended.code in (2, 3)
    assert words in ended.err
    assert upstream.requests == []
    assert list((tmp_path / "work").iterdir()) == []


def test_files_of_others_in_the_way_of_the_parts_are_told_by_the_options_of_gather(run, coco, tmp_path):
    place = tmp_path / "work/parts"
    place.mkdir()
    (place / "maxsight_train.json").write_text("mine")
    ended = run(*coco, "--parts", PARTS, "--splits", "parts")
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert "choose another --splits" in ended.err
    assert "--overwrite" not in ended.err
    assert "to go on" not in ended.err  # it would be refused again
    assert (place / "maxsight_train.json").read_text() == "mine"


def test_what_is_no_place_of_records_is_not_told_to_go_on_with(run, tmp_path):
    (tmp_path / "work/plain").mkdir()
    (tmp_path / "work/plain/notes.txt").write_text("nothing")
    ended = run("gather", "./plain", "--skip-download", "--parts", PARTS, "--splits", "parts")
    assert (ended.code, "[unknown-content]" in ended.err, "to go on" in ended.err) == (3, True, False)


def test_parts_that_cannot_go_where_they_should_are_told_before_anything_is_fetched(run, coco, upstream, tmp_path):
    work = tmp_path / "work"
    (work / "file").write_text("mine")
    assert run("download", "sample", "--limit", "2", "--output", "questions").code == 0
    assert run("split", "questions", "--output", "others", "--parts", "a=1.0").code == 0
    for splits, slug in (("file", "disk-error"), ("file/below", "disk-error"), ("questions", "would-overwrite"),
                         ("others", "would-overwrite")):  # fmt: skip
        ended = run(*coco, "--parts", PARTS, "--splits", splits)
        assert (ended.code, f"[{slug}]" in ended.err, "visprep: split: " in ended.err) == (3, True, True)
        assert "--output" not in ended.err.partition("to go on")[0]
        assert ("to go on" in ended.err) == (slug == "disk-error")
    assert upstream.requests == []
    assert not (work / "data").exists()


def test_a_sample_of_another_kind_does_not_go_into_its_parts(run, tmp_path):
    argv = ("gather", "sample", "--limit", "4", "--parts", "train=0.5,test=0.5")
    assert run(*argv).code == 0
    ended = run(*argv, "--config", "vton")
    assert (ended.code, "choose another --splits" in ended.err) == (3, True)
    assert not (tmp_path / "work/data/sample-vton").exists()


def test_links_on_s3_are_refused_before_anything_is_fetched(run, tmp_path, bucket):
    parts = ("--parts", "train=0.5,test=0.5")
    place = f"s3://{bucket}/parts"
    ended = run("gather", "sample", *parts, "--splits", place, "--how", "links")
    assert (ended.code, "S3 has no links" in ended.err) == (2, True)
    ended = run("gather", "sample", *parts, "--output", place, "--how", "links")
    assert (ended.code, "only files of a directory can be linked" in ended.err) == (2, True)
    assert not (tmp_path / "work/data").exists()
    with pytest.raises(visprep.VisprepError):
        visprep.verify(place)


def test_parts_do_not_go_into_the_source(run, tmp_path):
    assert run("download", "sample", "--limit", "4", "--output", "origin").code == 0
    before = tree(tmp_path / "work")
    for splits in ("./origin", "origin/parts", "."):
        ended = run("gather", "./origin", "--output", "copy", "--parts", "a=1.0", "--splits", splits)
        assert ended.code == 2
    assert tree(tmp_path / "work") == before


# how to go on


def test_a_file_that_was_damaged_is_replaced_by_the_command_that_is_told(run, tmp_path):
    argv = ("gather", "sample", "--limit", "4", "--parts", "train=0.5,test=0.5")
    assert run(*argv).code == 0
    image = next((tmp_path / "work/data/questions").rglob("first_frame.png"))
    whole = image.read_bytes()
    image.write_bytes(whole[:-20])
    ended = run(*argv)
    assert (ended.code, "[would-overwrite]" in ended.err, "then, to go on: " in ended.err) == (3, True, True)
    told = ended.err.partition("replace them: visprep ")[2].partition("; then")[0]
    assert run(*shlex.split(told)).code == 0
    assert image.read_bytes() == whole
    assert run(*go_on(ended.err)).code == 0


def test_what_cannot_be_read_does_not_bring_a_download(run, tmp_path):
    argv = ("gather", "sample", "--limit", "4", "--parts", "train=0.5,test=0.5")
    assert run("download", "sample", "--limit", "4").code == 0
    image = next((tmp_path / "work/data/questions").rglob("first_frame.png"))
    image.rename(tmp_path / "kept")
    image.symlink_to(tmp_path / "not-mounted")
    ended = run(*argv, "--skip-download")
    assert (ended.code, "see to what could not be read; then, to go on: " in ended.err) == (3, True)
    assert "verify found what could not be looked at" in ended.err
    assert "--skip-download" in go_on(ended.err)
    image.unlink()
    (tmp_path / "kept").rename(image)
    assert run(*go_on(ended.err)).code == 0


@pytest.mark.parametrize("more", [(), ("--clean",)])
def test_of_a_place_where_a_command_was_begun_it_is_told_to_finish_that(run, tmp_path, more):
    assert run("download", "sample", "--limit", "4", "--output", "place").code == 0
    marker = tmp_path / "work/place/.visprep/in-progress"
    marker.write_text('{"format_version": 1}\n')
    for source, where in (("./place", ()), ("sample", ("--output", "place"))):
        ended = run("gather", source, *where, "--skip-download", "--parts", "train=0.5,test=0.5", *more)
        assert (ended.code, "[place-incomplete]" in ended.out) == (1, True)
        assert "hint: finish the command that was begun there, or remove .visprep/in-progress" in ended.err
        assert "download brings" not in ended.err
        assert "--skip-download" in go_on(ended.err)
        assert ("--clean" in go_on(ended.err)) == bool(more)
    marker.unlink()
    assert run(*go_on(ended.err)).code == 0


def test_what_would_be_found_again_is_not_told_to_go_on_with(run, coco, tmp_path):
    argv = (*coco, "--parts", PARTS, "--clean")
    assert run("download", *argv[1 : argv.index("--name")]).code == 0
    path = tmp_path / "work/data/coco/annotations/instances_val2017.json"
    data = document(path)
    data["categories"].append(data["categories"][0])
    path.write_text(json.dumps(data))
    (tmp_path / "work/data/coco/.visprep/manifest.jsonl").unlink()
    ended = run(*argv, "--skip-download")
    assert (ended.code, "to go on" in ended.err) == (1, False)
    assert "leaving out records does not mend it" in ended.err
    assert json.loads(run(*argv, "--skip-download", "--json").out)["go_on"] is None


def test_fix_is_told_where_it_can_mend(run, coco, tmp_path):
    assert run("download", *coco[1 : coco.index("--name")]).code == 0
    damage(tmp_path / "work/data/coco")
    ended = run(*coco, "--parts", PARTS, "--skip-download")
    assert "visprep fix data/coco --how refetch mends images, and --clean leaves out what is wrong" in ended.err


def test_no_password_is_told(run, coco, upstream):
    secret = upstream.url.replace("//", "//user:secret@")
    argv = [word if word != upstream.url else secret for word in coco]
    upstream.fault("GET /zips", times=None, status=404)
    ended = run(*argv, "--parts", PARTS)
    assert ended.code == 3
    assert "secret" not in ended.err
    assert upstream.url in ended.err


# interrupted


def test_killed_at_any_moment_it_ends_in_the_same_bytes(coco, upstream, run, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    upstream.fault("GET /zips", times=None, delay=0.05)
    argv = (*coco, "--output", "coco", "--splits", "splits", "--parts", PARTS, "--how", "copies", "--jobs", "1")
    assert run(*argv).code == 0
    want = {path: data for path, data in tree(tmp_path / "work").items() if "/.visprep/cache" not in path}
    killed, tries = 0, kill_count(8)
    for number in range(tries):
        place = tmp_path / str(number)
        place.mkdir()
        for seconds in (0.03 * number, 0.3):
            process = start(*argv, cwd=place)
            at_work = (place / ("splits" if number % 2 else "coco")).exists
            killed += kill_at_work(process, at_work, seconds)
        ended = start(*argv, cwd=place)
        _, words = ended.communicate(timeout=100)
        assert ended.returncode == 0, words
        have = {path: data for path, data in tree(place).items() if "/.visprep/cache" not in path}
        assert have.keys() == want.keys()
        assert [path for path in want if have[path] != want[path]] == []
        assert not leftovers(place / "coco")
        assert not leftovers(place / "splits")
    assert killed > tries // 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_goes_on(coco, upstream, run, tmp_path, number):
    upstream.fault("GET /zips", times=None, delay=0.5)
    argv = (*coco, "--parts", PARTS, "--output", tmp_path / "coco", "--splits", tmp_path / "splits")
    process = start(*argv, cwd=tmp_path)
    while not (tmp_path / "coco/.visprep").exists():
        assert process.poll() is None
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert (process.returncode, b"run the same command again to go on" in words) == (130, True)
    upstream.clear_faults()
    assert run(*argv).code == 0
