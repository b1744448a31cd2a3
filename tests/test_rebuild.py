"""A dataset made again from its dataset.json: the same to the byte, or what is not, and what upstream changed."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from coco_place import make
from conftest import tree
from record_places import make_tasks
from visprep import rebuild
from visprep.manifest import DATASET, MANIFEST
from visprep.sources.sample_coco import draw
from visprep.testing import LocalHub, Mirror
from visprep.testing.coco import lay_out, sums
from visprep.testing.open_images import lay_out as lay_out_open_images
from vtb_upstream import REPOSITORY, upstream_files

PARTS = ("--parts", "train=0.5,test=0.5")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server with COCO as its own lays it out."""
    root = tmp_path_factory.mktemp("coco")
    lay_out(root)
    with Mirror(root) as server:
        server.root_ = root
        yield server


@pytest.fixture(autouse=True)
def forgotten(web):
    web.requests.clear()


@pytest.fixture
def coco(run, web):
    """`coco("out", "--limit", "3")`: a download of it, with the checksums that it has now."""

    def call(output, *options):
        argv = ("--mirror", web.url, "--checksums", web.root_ / "SHA256SUMS", "--output", output, *map(str, options))
        ended = run("download", "coco", *argv)
        assert ended.code == 0, ended.err
        return Path(output)

    return call


@pytest.fixture
def hub(monkeypatch):
    with LocalHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def data(place):
    """The files of a place but for its record."""
    return {path: said for path, said in tree(place).items() if not path.startswith(".visprep") and path != DATASET}


def steps(place):
    return json.loads((Path(place) / DATASET).read_bytes())["steps"]


def same(run, place, *more):
    """Rebuild a place beside it: it is the same, and nothing else is left."""
    place = Path(place)
    again, before = place.with_name(f"{place.name}-again"), set(place.parent.iterdir())
    ended = run("rebuild", place, "--output", again, *more)
    assert (ended.code, ended.out.startswith("the same: ")) == (0, True), ended
    assert data(again) == data(place)
    assert set(place.parent.iterdir()) - before == {again}
    return again


def as_json(ended):
    document = json.loads(ended.out)
    assert document["format_version"] == 1
    return document


# the same again


@pytest.mark.parametrize(
    "options",
    [
        ("--split", "val2017,train2017", "--limit", "3", "--seed", "7"),
        ("--split", "val2017", "--classes", "kite,book", "--only-matching", "--labels", "instances"),
        ("--split", "val2017", "--keep-archives", "--labels", "captions"),
    ],
)
def test_a_download_of_coco(run, coco, options):
    same(run, coco("coco", *options))


def test_ids_are_recorded_so_that_their_file_may_be_gone(run, coco, web):
    chosen = [
        one["id"] for one in json.loads((coco("all") / "annotations/instances_val2017.json").read_bytes())["images"]
    ]
    Path("ids.txt").write_text(f"{chosen[2]}\n{chosen[0]}  # a remark\n")
    place = coco("some", "--split", "val2017", "--ids", "ids.txt")
    Path("ids.txt").unlink()
    assert steps(place)[0]["origin"]["ids"] == f"{chosen[2]} {chosen[0]}"
    same(run, place)
    # as an earlier version left it, which kept a digest alone
    document = json.loads((place / DATASET).read_bytes())
    del document["steps"][0]["origin"]["ids"]
    Path("old.json").write_text(json.dumps(document))
    web.requests.clear()
    ended = run("rebuild", "old.json", "--check")
    assert (ended.code, "not-repeatable" in ended.err, "--origin ids=FILE" in ended.err) == (3, True, True)
    Path("ids.txt").write_text(f"{chosen[0]}\n")
    assert run("rebuild", "old.json", "--check", "--origin", "ids=ids.txt").code == 3
    assert not web.requests
    Path("ids.txt").write_text(f"{chosen[2]}\n{chosen[0]}\n")
    assert run("rebuild", "old.json", "--check", "--origin", "ids=ids.txt").code == 0


def test_what_was_put_aside_is_put_aside_again(run, tmp_path, bucket):
    root, splits = tmp_path / "bad", draw()
    split = splits["val2017"]
    images = dict(split.images)
    images[min(images)] = b"no picture at all"
    lay_out(root, {"val2017": replace(split, images=images)})
    with Mirror(root) as server:
        argv = ("download", "coco", "--mirror", server.url, "--checksums", root / "SHA256SUMS", "--split", "val2017")
        assert run(*argv, "--output", "coco").code == 0
        assert run("fix", "coco", "--how", "quarantine").code == 0
        assert [one["command"] for one in steps("coco")] == ["download", "fix"]
        again = same(run, "coco")
        assert not (again / "val2017" / min(images)).exists()
        ended = run("rebuild", "coco", "--output", f"s3://{bucket}/again")
        assert (ended.code, "fix works on a directory" in ended.err) == (3, True)


def test_several_downloads_into_one_place(run, coco):
    coco("coco", "--split", "val2017", "--limit", "2")
    place = coco("coco", "--split", "train2017", "--limit", "3")
    assert [one["splits"] for one in steps(place)] == [["val2017"], ["train2017"]]
    again = same(run, place)
    assert [one["splits"] for one in steps(again)] == [["val2017"], ["train2017"]]


def test_tasks_of_the_revision_that_was_taken(run, hub):
    repository = hub.add(REPOSITORY)
    first = repository.commit(upstream_files(3))
    assert run("download", "videothinkbench", "--split", "test", "--limit", "2", "--output", "tasks").code == 0
    repository.commit(upstream_files(4))
    assert steps("tasks")[0]["revision"] == first
    same(run, "tasks")
    # and what is not named by a revision any more is an answer of --check, elsewhere an error
    repository.commits.pop(first)
    ended = run("rebuild", "tasks", "--check", "--json")
    assert (ended.code, as_json(ended)["same"]) == (1, False)
    assert [one["reason"] for one in as_json(ended)["changed"]] == ["source-missing"]
    ended = run("rebuild", "tasks", "--output", "never")
    assert (ended.code, "[source-missing]" in ended.err) == (3, True)


def test_open_images_with_a_list_of_images(run, tmp_path):
    root = tmp_path / "upstream"
    with Mirror(root) as server:
        made = lay_out_open_images(root, f"{server.url}/flickr", {"train": 3, "validation": 4, "test": 2})
        chosen = [f"validation/{one.id}" for one in made.of("validation")[:2]]
        Path("list.txt").write_text("\n".join(chosen))
        argv = ("--via", "http", "--mirror", server.url, "--ids", "list.txt", "--labels", "boxes,image-labels")
        ended = run("download", "open-images", *argv, "--output", "oi")
        assert ended.code == 0, ended.err
        Path("list.txt").unlink()
        same(run, "oi")


def test_a_chain_of_conversions_and_a_split_from_upstream_on(run, coco):
    coco("coco", "--split", "val2017", "--labels", "instances")
    Path("classes.txt").write_text("kite=flyer\nbook\n")
    assert run("convert", "coco", "--to", "yolo", "--output", "yolo", "--classes", "classes.txt").code == 0
    assert run("convert", "yolo", "--to", "coco", "--output", "back").code == 0
    assert run("split", "back", *PARTS, "--output", "of all").code == 0
    same(run, "of all")
    (split,) = Path("back/annotations").iterdir()
    assert run("split", split, *PARTS, "--output", "parts", "--name", "mine", "--seed", "3").code == 0
    shutil.rmtree("coco")
    shutil.rmtree("yolo")
    Path("classes.txt").unlink()
    same(run, "back")
    shutil.rmtree("back")
    shutil.copy("parts/dataset.json", "recipe.json")
    ended = run("rebuild", "recipe.json", "--check", "--json")
    assert (ended.code, as_json(ended)["same"]) == (0, True)
    assert [one["place"] for one in as_json(ended)["steps"]] == ["coco", "yolo", "back", None]


def test_merged_files_of_two_places(run, coco):
    coco("one", "--split", "val2017", "--labels", "instances")
    coco("two", "--split", "train2017", "--labels", "instances")
    files = [
        f"{place}/annotations/instances_{split}.json" for place, split in (("one", "val2017"), ("two", "train2017"))
    ]
    ended = run("convert", files[0], "--merge", files[1], "--renumber", "--to", "coco", "--output", "both")
    assert ended.code == 0, ended.err
    shutil.rmtree("one")
    shutil.rmtree("two")
    same(run, "both")


def test_a_split_that_extends_another_and_links_its_files(run, coco):
    coco("small", "--split", "val2017", "--limit", "3", "--labels", "instances")
    name = "annotations/instances_val2017.json"
    assert run("split", f"small/{name}", *PARTS, "--output", "first", "--method", "exact").code == 0
    coco("large", "--split", "val2017", "--labels", "instances")
    argv = ("--extend", "first/split.json", "--how", "links")
    assert run("split", f"large/{name}", *PARTS, "--method", "exact", "--output", "second", *argv).code == 0
    for place in ("small", "large", "first"):
        shutil.rmtree(place)
    same(run, "second")


def test_a_split_that_tells_what_moved_since_the_one_before(run, coco):
    coco("coco", "--split", "val2017", "--labels", "instances")
    file = "coco/annotations/instances_val2017.json"
    for seed in ("1", "2", "3", "3"):
        assert run("split", file, *PARTS, "--seed", seed, "--output", "parts").code == 0
    assert json.loads(Path("parts/split.json").read_bytes())["moved"]
    (one,) = steps("parts")
    assert [earlier["options"]["seed"] for earlier in one["origin"]["replaced"][0]["steps"]] == [2]
    shutil.rmtree("coco")
    again = same(run, "parts")
    assert run("rebuild", "parts", "--output", again).code == 0


def test_a_part_of_a_place(run, coco, bucket):
    coco("coco", "--split", "val2017", "--limit", "3")
    assert run("sync", "coco", "labels", "--include", "annotations/*").code == 0
    shutil.rmtree("coco")
    same(run, "labels")
    Path("labels").rename("all labels")
    ended = run("rebuild", "all labels", "--dry-run", "--output", f"s3://{bucket}/x y")
    told = [line.partition(": ")[2] for line in ended.out.splitlines()]
    assert [shlex.split(line)[:4] for line in told] == [
        ["visprep", "download", "coco", "--output"],
        ["visprep", "sync", "coco", f"s3://{bucket}/x y"],
    ]
    assert shlex.split(told[0])[4] == "coco"


@pytest.mark.parametrize("config", ["vton", "frames", "coco", "open-images"])
def test_every_kind_of_the_sample(run, config):
    assert run("download", "sample", "--config", config, "--limit", "1", "--output", "sample").code == 0
    same(run, "sample")


def test_a_dataset_of_the_hub_with_a_map_of_columns(run, hub):
    hub.add(REPOSITORY).commit(upstream_files(2))
    argv = ("--config", "Mazes", "--split", "test", "--map", "first_frame=image,final_frame=solution_image")
    ended = run("download", f"hf:{REPOSITORY}", *argv, "--output", "tasks")
    assert ended.code == 0, ended.err
    same(run, "tasks")


def test_places_on_s3(run, coco, bucket):
    coco("coco", "--split", "val2017", "--limit", "2", "--labels", "instances")
    assert run("upload", "coco", f"s3://{bucket}/coco").code == 0
    ended = run("rebuild", f"s3://{bucket}/coco/dataset.json", "--output", f"s3://{bucket}/again")
    assert (ended.code, ended.out.startswith("the same: ")) == (0, True), ended
    assert run("diff", f"s3://{bucket}/coco", f"s3://{bucket}/again").code == 0
    assert run("rebuild", f"s3://{bucket}/again", "--check").code == 0
    assert run("rebuild", "coco", "--output", f"s3://{bucket}/again").code == 0  # there it is already
    argv = ("convert", f"s3://{bucket}/coco", "--to", "yolo", "--output", f"s3://{bucket}/yolo")
    assert run(*argv).code == 0
    assert run("rebuild", f"s3://{bucket}/yolo", "--output", f"s3://{bucket}/yolo-again").code == 0
    assert run("publish", "coco", f"s3://{bucket}/published").code == 0
    assert run("rebuild", f"s3://{bucket}/published", "--check").code == 0
    shutil.make_archive("packed", "zip", "coco")
    assert run("rebuild", "packed.zip", "--check").code == 0


def test_an_upload_of_what_has_no_record(run, bucket):
    make(Path("photos"), train=1, val=1)
    assert run("upload", "photos", f"s3://{bucket}/photos").code == 0
    outputs = ("again", "again", f"s3://{bucket}/again")  # repeated, it writes nothing
    for how in (("--check",), *(("--output", output) for output in outputs)):
        ended = run("rebuild", f"s3://{bucket}/photos", "--origin", "photos=photos", *how)
        assert (ended.code, ended.out.startswith("the same: 4 files")) == (0, True), ended


def test_repeated_it_asks_nobody_and_broken_off_it_goes_on(run, coco, web):
    coco("coco", "--split", "val2017", "--limit", "2", "--labels", "instances")
    coco("coco", "--split", "train2017", "--labels", "instances")
    assert run("convert", "coco", "--to", "voc", "--output", "voc").code == 0
    shutil.rmtree("coco")
    archive = web.root_ / "zips/train2017.zip"
    archive.rename(archive.with_suffix(".aside"))
    try:
        ended = run("rebuild", "voc", "--output", "voc-again")
        assert (ended.code, ".voc-again.visprep-rebuild keeps" in ended.err) == (3, True), ended.err
    finally:
        archive.with_suffix(".aside").rename(archive)
    (beside,) = Path().glob(".*")
    (room,) = beside.glob("*/coco")
    assert run("status", room).code == 0
    web.requests.clear()
    again = Path("voc-again")
    assert run("rebuild", "voc", "--output", again).code == 0
    assert not [one for one in web.requests if "zips/val2017" in one.path]
    assert (data(again), beside.exists()) == (data("voc"), False)
    web.requests.clear()
    before = tree(again)
    assert run("rebuild", "voc", "--output", again).code == 0
    assert (tree(again), web.requests) == (before, [])


# not the same


def test_what_upstream_has_otherwise_is_told(run, web, tmp_path):
    root = tmp_path / "other"
    shutil.copytree(web.root_, root)
    with Mirror(root) as server:
        argv = ("download", "coco", "--mirror", server.url, "--checksums", root / "SHA256SUMS", "--split", "val2017")
        assert run(*argv, "--output", "coco").code == 0
        archive = root / "zips/val2017.zip"
        archive.write_bytes(archive.read_bytes().replace(b"\xff\xd8\xff", b"\xff\xd8\xfe", 1))
        ended = run("rebuild", "coco", "--check", "--json")
        assert ended.code == 1, ended.err
        assert (as_json(ended)["same"], as_json(ended)["rebuilt"]) == (False, None)
        assert "wrong-content" in {one["reason"] for one in as_json(ended)["changed"]}
        ended = run("rebuild", "coco", "--check")
        assert (ended.code, "upstream changed: " in ended.out) == (1, True)
        assert run("rebuild", "coco", "--output", "never").code == 3
    # nobody there is no answer
    ended = run("rebuild", "coco", "--check")
    assert (ended.code, "[unreachable]" in ended.err) == (3, True)


def test_check_holds_what_lies_there_against_the_record(run, coco, bucket):
    place = coco("coco", "--split", "val2017", "--limit", "3", "--labels", "instances")
    assert run("sync", "coco", f"s3://{bucket}/coco").code == 0
    shutil.copy("coco/dataset.json", "recipe.json")
    gone, cut, damaged = sorted((place / "val2017").iterdir())
    ended = run("rebuild", "coco", "--check")
    assert (ended.code, "as the files in coco are" in ended.out) == (0, True), ended
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    (place / "of mine.txt").write_text("x")
    for given in ("coco", "coco/dataset.json"):
        ended = run("rebuild", given, "--check", "--json")
        said = as_json(ended)
        assert (ended.code, said["same"], said["astray"], said["unread"]) == (1, True, 4, 0)
        assert [one["change"] for one in said["lying"]] == ["extra", "missing", "changed", "changed"]
    ended = run("rebuild", "coco", "--check")
    assert (ended.code, "not the same: 4 files in coco are not as recorded" in ended.out) == (1, True)
    ended = run("rebuild", "coco", "--output", "again")
    assert (ended.code, "the files in coco were not read" in ended.out) == (0, True)
    assert run("rebuild", "recipe.json", "--check").code == 0  # of it nobody says where the files lie
    ended = run("rebuild", f"s3://{bucket}/coco", "--check", "--json")
    assert (ended.code, as_json(ended)["astray"]) == (0, 0)
    for file in (cut, damaged):
        boto3.client("s3").put_object(Bucket=bucket, Key=f"coco/val2017/{file.name}", Body=file.read_bytes())
    ended = run("rebuild", f"s3://{bucket}/coco", "--check", "--json")
    assert (ended.code, as_json(ended)["astray"], as_json(ended)["unread"]) == (1, 1, 1)


def test_a_description_at_the_top_of_a_place_is_no_stray_file(run):
    written(run)
    place = Path("small")
    for to, name in (("croissant", "croissant.json"), ("hf-card", "README.md")):
        assert run("export-metadata", str(place), "--to", to, "--output", str(place / name)).code == 0
    assert run("rebuild", str(place), "--check").code == 0
    (place / "README.md").write_text("# Another")
    ended = run("rebuild", str(place), "--check", "--json")
    assert (ended.code, [one["path"] for one in as_json(ended)["lying"]]) == (1, ["README.md"])


def test_files_that_differ_are_named_where_their_list_is_known(run, web, tmp_path):
    root = tmp_path / "other"
    shutil.copytree(web.root_, root)
    with Mirror(root) as server:
        argv = ("download", "coco", "--mirror", server.url, "--split", "val2017", "--labels", "instances")
        sums(root)
        assert run(*argv, "--limit", "2", "--checksums", root / "SHA256SUMS", "--output", "coco").code == 0
        document = json.loads(Path("coco/dataset.json").read_bytes())
        document["steps"][0]["options"]["limit"] = 3
        document["steps"][0]["date"] = "2020-01-01T00:00:00Z"
        told = json.dumps(document).encode()
        Path("other.json").write_bytes(told)
        ended = run("rebuild", "other.json", "--check", "--json")
        assert (ended.code, as_json(ended)["same"], as_json(ended)["differing"]) == (1, False, None)
        Path("coco/dataset.json").write_bytes(told)
        _vouch("coco", told)
        ended = run("rebuild", "coco", "--output", "again", "--json")
        said = as_json(ended)
        assert (ended.code, said["same"], said["differing"], said["target"]) == (1, False, 3, "again")
        assert [one["change"] for one in said["apart"]] == ["changed", "changed", "extra"], said
        assert run("rebuild", "coco", "--output", "again").out.count("\n") == 4


def _vouch(place, told):
    """Make the manifest believe in another dataset.json."""
    import hashlib

    manifest = Path(place, MANIFEST)
    header, _, rest = manifest.read_bytes().partition(b"\n")
    said = json.loads(header) | {"dataset": f"sha256:{hashlib.sha256(told).hexdigest()}"}
    manifest.write_bytes(json.dumps(said).encode() + b"\n" + rest)


# what cannot be repeated is said before anything is fetched


def written(run, *more, change=None, source="sample"):
    """A dataset.json of a small place, with other steps."""
    assert run("download", "sample", "--limit", "1", "--output", "small").code == 0
    document = json.loads(Path("small/dataset.json").read_bytes())
    if change:
        document["steps"][0] |= change
    document["steps"] += more
    Path("recipe.json").write_text(json.dumps(document))
    return document


@pytest.mark.parametrize(
    ("change", "more", "words"),
    [
        ({"source": "arrows"}, (), "there is no source 'arrows'"),
        ({"versions": {"visprep": "0.1.0", "no-such-package": "1"}}, (), "no-such-package, which is not installed"),
        ({"options": {"layout": "another"}}, (), "layout"),
        ({"options": {"layout": "template", "speed": 3}}, (), "'speed' is unknown"),
        ({"source": "s3://somewhere/else", "options": {}}, (), "nothing is recorded of s3://somewhere/else"),
        ({}, ({"command": "edit", "source": "by hand", "counts": {"changed": 2}},), "edited by hand: 2 changed"),
        ({}, ({"command": "enlarge", "source": "all"},), "'enlarge' is unknown"),
        ({}, ({"command": "convert", "source": "photos", "options": {"to": "coco"}},), "--origin photos=PLACE"),
        ({}, ({"command": "upload", "source": "photos"},), "--origin photos=PLACE"),
        ({}, ({"command": "split", "source": "photos", "origin": {"inputs": ["a/photos"]}},), "--origin photos=PLACE"),
        ({}, ({"command": "fix", "source": "magic"},), "fix --how magic"),
    ],
)  # fmt: skip
def test_what_cannot_be_repeated_is_told_first(run, change, more, words):
    written(run, *more, change=change)
    ended = run("rebuild", "recipe.json", "--output", "again")
    assert (ended.code, "[not-repeatable]" in ended.err, words in ended.err) == (3, True, True), ended.err
    assert not Path("again").exists()
    ended = run("rebuild", "recipe.json", "--dry-run")
    assert (ended.code, words in ended.out) == (1, True)
    assert run("rebuild", "recipe.json", "--dry-run", "--json").code == 1


def test_partly_does_the_rest_and_names_what_differs(run):
    assert run("download", "sample", "--limit", "1", "--output", "small").code == 0
    prompt = next(Path("small").rglob("prompt.txt"))
    prompt.write_text("another\n")
    assert run("sync", "small", "copy").code == 0
    assert [one["command"] for one in steps("copy")] == ["download", "edit"]
    assert run("rebuild", "copy", "--check").code == 3
    ended = run("rebuild", "copy", "--check", "--partly", "--json")
    assert (ended.code, [one["path"] for one in as_json(ended)["apart"]]) == (
        1,
        [prompt.relative_to("small").as_posix()],
    )
    assert as_json(ended)["repeatable"] is False


def test_a_place_that_nothing_is_recorded_of_is_used_where_somebody_says_where_it_lies(run, tmp_path):
    make(tmp_path / "photos", train=4, val=2)
    assert run("convert", tmp_path / "photos", "--to", "voc", "--output", "voc").code == 0
    assert run("rebuild", "voc", "--check").code == 3
    (tmp_path / "photos").rename(tmp_path / "moved")
    same(run, "voc", "--origin", f"photos={tmp_path / 'moved'}")
    make_tasks(tmp_path / "tasks", 2)
    assert run("split", tmp_path / "tasks", *PARTS, "--output", "parts").code == 0
    same(run, "parts", "--origin", f"tasks={tmp_path / 'tasks'}")
    Path("tasks").mkdir()
    assert run("sync", tmp_path / "tasks", "copy").code == 0
    if Path("copy/dataset.json").exists():
        same(run, "copy", "--origin", f"tasks={tmp_path / 'tasks'}")


def test_other_versions_are_told(run):
    written(run, change={"versions": {"visprep": "0.0.1", "python": "3.10.0"}})
    ended = run("rebuild", "recipe.json", "--output", "again")
    assert (ended.code, "note: made with visprep 0.0.1, now " in ended.err, "python 3.10.0" in ended.err) == (
        0,
        True,
        True,
    )
    assert len(rebuild("recipe.json", dry_run=True).versions) == 2


# wrong usage, and files that are no such thing


def test_wrong_usage(run):
    written(run)
    for argv in (
        ("recipe.json",),
        ("recipe.json", "--check", "--output", "again"),
        ("recipe.json", "--check", "--dry-run"),
        ("small", "--output", "small"),
        ("small", "--output", "small/again"),
        ("small", "--output", "again.zip"),
        ("recipe.json", "--output", "again", "--origin", "photos"),
        ("recipe.json", "--output", "again", "--origin", "a=b", "--origin", "a=c"),
        ("recipe.json", "--output", "again", "--origin", "smal=small"),
    ):
        assert run("rebuild", *argv).code == 2, argv
    assert not Path("again").exists()


def test_what_lies_at_the_output_stays(run):
    written(run)
    assert run("download", "sample", "--limit", "2", "--output", "other").code == 0
    before = tree("other")
    ended = run("rebuild", "recipe.json", "--output", "other")
    assert (ended.code, "[would-overwrite]" in ended.err) == (3, True)
    assert tree("other") == before


def test_files_of_others_are_no_part_of_what_is_the_same(run, bucket):
    written(run)
    make(Path("photos"), train=1, val=1)
    before = tree("photos")
    assert run("upload", "photos", f"s3://{bucket}/photos").code == 0
    for output in ("photos", f"s3://{bucket}"):
        ended = run("rebuild", "recipe.json", "--output", output)
        assert (ended.code, "[would-overwrite]" in ended.err, ended.out) == (3, True, "")
    assert tree("photos") == before
    Path("empty").mkdir()
    assert run("rebuild", "recipe.json", "--output", "empty").code == 0
    Path("empty/of-others.txt").write_text("no step makes it, and none takes it away")
    ended = run("rebuild", "recipe.json", "--output", "empty")
    assert (ended.code, "of-others.txt" in ended.err, ended.out) == (3, True, "")
    Path("empty/of-others.txt").unlink()
    assert run("export-metadata", "empty", "--to", "hf-card", "--output", "empty/README.md").code == 0
    assert run("rebuild", "recipe.json", "--output", "empty").code == 0


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("", "bad-record"),
        ("[]", "bad-record"),
        ('{"info": {}, "images": [', "bad-record"),
        ('{"members": {}, "parts": []}', "bad-record"),
        ('{"format_version": 1, "steps": []}', "bad-record"),
        ('{"format_version": 2, "steps": [], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [], "files": ""}', "not-repeatable"),
        ('{"format_version": 1, "steps": [1], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": 3, "source": "a"}], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "download", "source": "coco", "options": []}], "files": ""}',
         "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "download", "source": "coco", "options": {"limit": "3"}}],'
         ' "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "convert", "source": "a"}], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "convert", "source": "a", "options": {"to": "coco"}, "origin":'
         ' {"made_from": [{"name": "a", "paths": ["../../etc"]}]}}], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "convert", "source": "a", "options": {"to": "coco"}, "origin":'
         ' {"made_from": 3}}], "files": ""}', "bad-record"),
        ('{"format_version": 1, "steps": [{"command": "split", "source": "a", "origin": {"replaced": [3]}}],'
         ' "files": ""}', "bad-record"),
        ("[" * 100_000, "bad-record"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_record(run, text, slug):
    Path("some.json").write_text(text)
    ended = run("rebuild", "some.json", "--check")
    assert (ended.code, f"[{slug}]" in ended.err) == (3, True), ended.err


def test_what_something_else_is_and_what_may_be_meant(run):
    assert run("download", "sample", "--config", "coco", "--limit", "1", "--output", "data/coco").code == 0
    assert run("split", "data/coco/annotations/instances_train2017.json", *PARTS, "--output", "parts").code == 0
    Path("readme.md").write_text("x")
    for given, words in (
        ("readme.md", "it is a file, and no dataset.json"),
        ("data", "did you mean data/coco?"),
        ("data/coco/annotations/instances_train2017.json", "annotation file, and no dataset.json"),
        ("parts/split.json", "it is a split.json"),
    ):
        ended = run("rebuild", given, "--check")
        assert (ended.code, words in ended.err) == (3, True), ended.err


def test_where_there_is_none(run, bucket):
    Path("empty").mkdir()
    for given, slug in (
        ("empty", "file-missing"),
        ("empty/dataset.json", "file-missing"),
        ("gone", "place-missing"),
        (f"s3://{bucket}/none/dataset.json", "place-missing"),
        ("s3://no-such-bucket/none", "place-missing"),
        ("gone.zip", "place-missing"),
        ("s3://none.json", "bad-place"),
    ):
        ended = run("rebuild", given, "--check")
        assert (ended.code, f"[{slug}]" in ended.err) == (2 if slug == "bad-place" else 3, True), ended.err
