"""Open Images from its buckets to a directory: two roads, one dataset; and what happens when upstream fails."""

import json
import os
import signal
import subprocess
import sys
import time

import boto3
import pytest

from conftest import tree
from open_images_web import served_upstream
from visprep.errors import Incomplete, SourceError, UnknownName, UnsafePath, UsageError, WouldOverwrite
from visprep.formats.coco_json import JsonFile
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.rules.coco import check
from visprep.settings import S3Settings
from visprep.sources import Mirror as UpstreamMirror
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
from visprep.testing import FaultyS3
from visprep.testing.open_images import put_images


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A web server of the small upstream, with its dead originals redirected, and the upstream."""
    with served_upstream(tmp_path_factory.mktemp("upstream")) as served:
        yield served


@pytest.fixture(autouse=True)
def forgetful(served, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    served[0].requests.clear()
    yield
    served[0].clear_faults()


@pytest.fixture(scope="module")
def s3(served, s3_server):
    """The bucket of the images at an S3 on this machine."""
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    put_images(served[1], client)
    return s3_server


@pytest.fixture
def get(served, tmp_path):
    """`get(splits=("validation",), via="http")` -> the result; the rest of the words are of the selection."""
    server, _ = served

    def call(output=tmp_path / "oi", via="http", endpoint=None, original=False, **said):
        settings = S3Settings(endpoint_url=endpoint, no_sign_request=True) if endpoint else None
        more = {name: said.pop(name) for name in ("dry_run", "may_replace", "jobs") if name in said}
        options = BucketOptions(via, original, (UpstreamMirror(server.url),), settings, **more)
        return bring(OpenImages(), Selection(**said), LocalStore(output), options, unheard)

    return call


def data(place):
    return {path: content for path, content in tree(place).items() if not path.startswith(".visprep/cache")}


def document(place, split="validation"):
    return json.loads((place / f"annotations/instances_{split}.json").read_bytes())


def test_a_split_comes_with_its_rows_and_as_coco_json(get, served, tmp_path):
    upstream = served[1]
    result = get()
    images = upstream.of("validation")
    place = tmp_path / "oi"
    for image in images:
        assert (place / f"validation/{image.id}.jpg").read_bytes() == image.data
    tables = upstream.root / "openimages"
    assert (place / "labels/validation/boxes.csv").read_bytes() == (
        tables / "v5/validation-annotations-bbox.csv"
    ).read_bytes()
    told = tables / "2018_04/validation/validation-images-with-rotation.csv"
    assert (place / "labels/validation/images.csv").read_bytes() == told.read_bytes()
    names = "oidv7-class-descriptions-boxable.csv"
    assert (place / "labels" / names).read_bytes() == (tables / "v7" / names).read_bytes()
    assert (place / "labels/bbox_labels_600_hierarchy.json").is_file()
    found = document(place)
    assert {one["open_images_id"] for one in found["images"]} == {image.id for image in images}
    assert len(found["annotations"]) == sum(len(image.boxes) for image in images)
    assert result.boxes["validation"].annotations == len(found["annotations"])
    assert result.images == {"https://creativecommons.org/licenses/by/2.0/": len(images)}
    report = check(JsonFile.on_disk(place / "annotations/instances_validation.json"))
    assert not [one for one in report.findings if one.level == "error"]
    assert result.files == len(images) + 5


def test_both_roads_give_the_same_dataset(get, s3, tmp_path):
    get(tmp_path / "http", splits=("validation", "test"), labels=("boxes", "points"))
    get(tmp_path / "s3", "s3", s3, splits=("validation", "test"), labels=("boxes", "points"))
    http, bucket = data(tmp_path / "http"), data(tmp_path / "s3")
    assert http.keys() == bucket.keys()
    assert {path for path in http if http[path] != bucket[path]} == {"dataset.json", ".visprep/manifest.jsonl"}
    steps = [json.loads(each["dataset.json"])["steps"][0] for each in (http, bucket)]
    assert [step.pop("origin")["via"] for step in steps] == ["http", "s3"]
    assert steps[0] == steps[1]
    heads = [each[".visprep/manifest.jsonl"].split(b"\n", 1) for each in (http, bucket)]
    assert heads[0][1] == heads[1][1]


def test_masks_come_out_of_their_archives(get, served, tmp_path):
    images = served[1].of("train")
    result = get(splits=("train",), labels=("masks",), jobs=2)
    place = tmp_path / "oi"
    there = {path.name: path.read_bytes() for path in (place / "masks/train").iterdir()}
    assert there == {path: data for image in images for path, data in image.masks.items()}
    shapes = [one["segmentation"] for one in document(place, "train")["annotations"] if "segmentation" in one]
    assert len(shapes) == len(there) == result.boxes["train"].masks
    report = check(JsonFile.on_disk(place / "annotations/instances_train.json"))
    assert not [one for one in report.findings if one.level == "error"]
    before = data(place)
    assert (get(splits=("train",), labels=("masks",)).files, data(place)) == (0, before)
    few = get(tmp_path / "few", splits=("train",), labels=("masks",), classes=("Cat",), only_matching=True)
    assert {path.name for path in (tmp_path / "few/masks/train").iterdir()} == {
        path for path in there if "m01yrx" in path
    }
    assert few.boxes["train"].masks == len([path for path in there if "m01yrx" in path]) > 0


def test_nothing_is_asked_for_a_second_time(get, served, tmp_path):
    get()
    before = data(tmp_path / "oi")
    served[0].requests.clear()
    again = get()
    assert (again.files, again.kept) == (0, len(before) - 2)
    assert served[0].requests == []
    assert data(tmp_path / "oi") == before


def test_images_are_chosen_by_class_with_its_kinds(get, served, tmp_path):
    images = served[1].of("train")
    cats, animals = {"/m/01yrx"}, {"/m/0jbk", "/m/01yrx", "/m/0bt9lr"}

    def having(mids):
        return {image.id for image in images if any(row[2] in mids for row in image.boxes)}

    for name, asked, mids in (("1", {}, cats), ("2", {"expand_hierarchy": True}, animals)):
        classes = ("cat",) if mids is cats else ("Animal",)
        get(tmp_path / name, splits=("train",), classes=classes, **asked)
        found = document(tmp_path / name, "train")
        assert {one["open_images_id"] for one in found["images"]} == having(mids) != set()
        assert {one["category_id"] for one in found["annotations"]} > {1}  # other classes of these images too
    only = get(tmp_path / "3", splits=("train",), classes=("/m/01yrx",), only_matching=True)
    found = document(tmp_path / "3", "train")
    assert {one["LabelName"] for one in found["categories"]} == cats
    assert only.boxes["train"].annotations == sum(row[2] in cats for image in images for row in image.boxes)
    rows = (tmp_path / "3/labels/train/boxes.csv").read_text().splitlines()
    assert len(rows) == 1 + only.boxes["train"].annotations


def test_a_limit_takes_the_first_or_draws_and_grows(get, served, tmp_path):
    ids = [image.id for image in served[1].of("train")]

    def found(name, **said):
        get(tmp_path / name, splits=("train",), **said)
        return [one["open_images_id"] for one in document(tmp_path / name, "train")["images"]]

    assert found("1", limit=3) == ids[:3]
    few, more = found("2", limit=4, seed=7), found("3", limit=8, seed=7)
    assert set(few) < set(more)
    assert more != ids[:8]
    assert found("4", limit=4, seed=8) != few


def test_images_are_chosen_by_a_list_and_by_license(get, served, tmp_path):
    ids = [image.id for image in served[1].of("test")]
    result = get(splits=("test",), images={"test": tuple(ids[2:4])}, licenses=(4,))
    assert [one["open_images_id"] for one in document(tmp_path / "oi", "test")["images"]] == ids[2:4]
    assert sum(result.images.values()) == 2
    with pytest.raises(UnknownName, match="there is no image test/ffffffffffffffff in Open Images"):
        get(tmp_path / "2", splits=("test",), images={"test": ("f" * 16,)})
    with pytest.raises(UnknownName, match="there is no license 3 in test") as told:
        get(tmp_path / "2", splits=("test",), licenses=(3,))
    assert "4 (https://creativecommons.org/licenses/by/2.0/)" in told.value.hint
    assert not (tmp_path / "2").exists()


def test_labels_of_images_decide_by_what_people_found(get, served, tmp_path):
    images = served[1].of("validation")
    yes = {row[0] for image in images for row in image.rows.get("points", ()) if row[4] == "yes"}
    mids = tuple({row[3] for image in images for row in image.rows.get("points", ())})
    get(labels=("points",), classes=mids)
    assert {path.stem for path in (tmp_path / "oi/validation").iterdir()} == yes != {image.id for image in images}
    assert not (tmp_path / "oi/annotations").exists()
    with pytest.raises(UsageError, match="no image of validation is left by --classes"):
        get(tmp_path / "2", labels=("image-labels",), classes=("Bowl (bowls, dishes)",))  # each was found absent


@pytest.mark.parametrize(
    "said",
    [
        {"classes": ("Catt",)}, {"splits": ("val",)}, {"labels": ("captions",)}, {"only_matching": True},
        {"expand_hierarchy": True}, {"seed": 1}, {"via": "ftp"}, {"via": "s3", "original": True},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(get, served, tmp_path, said):
    with pytest.raises(UsageError):
        get(**said)
    assert not [path for path in data(tmp_path / "oi") if not path.startswith(".visprep")]
    assert not [one for one in served[0].requests if "/v5/" in one.line]


def test_a_dry_run_writes_nothing(get, served, tmp_path):
    plan = get(dry_run=True, limit=3)
    assert plan.planned
    assert (plan.files, plan.kept) == (3 + 5, 0)
    assert not (tmp_path / "oi").exists()
    assert not [one for one in served[0].requests if ".jpg" in one.line]


def test_a_directory_that_is_a_link_out_of_the_place_is_told_before_an_image_is_fetched(get, served, tmp_path):
    for path in (tmp_path / "away", tmp_path / "oi"):
        path.mkdir()
    (tmp_path / "oi/validation").symlink_to(tmp_path / "away")
    with pytest.raises(UnsafePath, match="validation is a link that leaves") as told:
        get(limit=3)
    assert "put a directory in the place of the link" in told.value.hint
    assert not [one for one in served[0].requests if ".jpg" in one.line]


def test_a_dry_run_counts_what_the_run_then_writes(get, tmp_path):
    for said in ({"limit": 3}, {"limit": 5}, {"limit": 5, "splits": ("test",)}, {"labels": ("points",)}):
        output = tmp_path / ("points" if "labels" in said else "boxes")
        plan, done = get(output, dry_run=True, **said), get(output, **said)
        assert (plan.files, plan.kept) == (done.files, done.kept)
    next((tmp_path / "boxes/test").glob("*.jpg")).unlink()
    said = {"limit": 5, "splits": ("test",)}
    plan, done = get(tmp_path / "boxes", dry_run=True, **said), get(tmp_path / "boxes", **said)
    assert (plan.files, plan.kept) == (done.files, done.kept)
    assert plan.files == 1


def test_images_that_are_not_there_are_told_and_repaired(get, served, tmp_path):
    server, upstream = served
    lost = [image.id for image in upstream.of("validation")][2:4]
    get(tmp_path / "whole")
    server.fault(rf"GET /open-images-dataset/validation/({'|'.join(lost)})", times=None, status=404)
    with pytest.raises(Incomplete, match="2 of 9 files failed"):
        get()
    lines = (tmp_path / "oi/.visprep/journal.jsonl").read_text().splitlines()
    journal = [json.loads(line) for line in lines]
    assert [(one["path"], one["reason"]) for one in journal] == [
        (f"validation/{one}.jpg", "file-missing") for one in lost
    ]
    assert len(list((tmp_path / "oi/validation").glob("*.jpg"))) == 7
    server.clear_faults()
    server.requests.clear()
    result = get()
    assert len([one for one in server.requests if "open-images-dataset" in one.line]) == 2
    assert not [one for one in server.requests if "openimages" in one.line and one.method == "GET"]
    assert result.boxes["validation"].images == 9
    assert data(tmp_path / "oi") == data(tmp_path / "whole")


def test_what_is_no_image_is_put_aside_and_fetched_again(get, served, tmp_path):
    _, upstream = served
    first = upstream.of("validation")[0]
    file = upstream.root / f"open-images-dataset/validation/{first.id}.jpg"
    file.write_bytes(b"nothing that is an image")
    try:
        with pytest.raises(Incomplete, match=r"1 of 9 files failed: .*put aside in \.visprep/quarantine"):
            get()
    finally:
        file.write_bytes(first.data)
    assert not (tmp_path / f"oi/validation/{first.id}.jpg").exists()
    get()
    assert (tmp_path / f"oi/validation/{first.id}.jpg").read_bytes() == first.data


def test_originals_are_held_against_their_md5_and_dead_ones_told(get, served, tmp_path):
    _, upstream = served
    images = upstream.of("train")
    dead = {image.id for image in images if image.facts[11] == "90.0"}
    changed = {image.id for image in images if image.facts[11] == "nan"}
    with pytest.raises(Incomplete):
        get(splits=("train",), original=True)
    lines = (tmp_path / "oi/.visprep/journal.jsonl").read_text().splitlines()
    journal = {json.loads(line)["path"][6:22]: json.loads(line) for line in lines}
    assert journal.keys() == dead | changed
    assert {journal[one]["reason"] for one in changed} == {"wrong-content"}
    assert {journal[one]["reason"] for one in dead} == {"file-missing"}
    shown = {path[8:24] for path in upstream.dead}
    assert {one for one in dead if "a placeholder is shown" in journal[one]["message"]} == shown & dead != dead
    there = {path.stem: path.read_bytes() for path in (tmp_path / "oi/train").glob("*.jpg")}
    assert there == {image.id: image.original for image in images if image.id not in dead | changed}
    with pytest.raises(Incomplete):  # what came of a placeholder is not taken for the beginning of the image
        get(splits=("train",), original=True)
    assert [one["reason"] for one in map(json.loads, lines)] == [
        json.loads(line)["reason"] for line in (tmp_path / "oi/.visprep/journal.jsonl").read_text().splitlines()
    ]


def test_resets_and_errors_of_s3_are_tried_again(get, s3, tmp_path):
    with FaultyS3(s3) as faulty:
        faulty.fail("reset-body", key="validation/", times=3)
        faulty.fail("slow-down", key="validation/", after=4, times=2)
        get(tmp_path / "1", "s3", faulty.url)
    get(tmp_path / "2", "s3", s3)
    assert data(tmp_path / "1").keys() == data(tmp_path / "2").keys()
    with FaultyS3(s3) as faulty:
        faulty.fail("no-such-key", key="validation/0", times=None)
        with pytest.raises(Incomplete):
            get(tmp_path / "3", "s3", faulty.url)
    get(tmp_path / "3", "s3", s3)
    assert data(tmp_path / "3").keys() == data(tmp_path / "2").keys()


def test_a_table_that_upstream_has_not_is_told(get, served, tmp_path):
    served[0].fault("HEAD /openimages/v5/validation-annotations-bbox.csv", times=None, status=404)
    served[0].fault("GET /openimages/v5/validation-annotations-bbox.csv", times=None, status=404)
    with pytest.raises(SourceError, match=r"v5/validation-annotations-bbox\.csv"):
        get()


def test_files_of_others_stay(get, served, tmp_path):
    image = served[1].of("validation")[1]
    mine = tmp_path / f"oi/validation/{image.id}.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(WouldOverwrite):
        get()
    assert mine.read_bytes() == b"mine"
    get(may_replace=True)
    assert mine.read_bytes() == image.data


def test_another_selection_follows_at_the_same_place(get, served, tmp_path):
    get(limit=2)
    get(limit=4)
    assert len(document(tmp_path / "oi")["images"]) == 4
    assert len(json.loads((tmp_path / "oi/dataset.json").read_bytes())["steps"]) == 2


PROGRAM = """
import sys
from visprep.open_images_download import BucketOptions, bring
from visprep.progress import unheard
from visprep.sources import Mirror, Selection
from visprep.sources.open_images import OpenImages
from visprep.stores.local import LocalStore
options = BucketOptions("http", mirrors=(Mirror(sys.argv[1]),), jobs=2)
bring(OpenImages(), Selection(splits=("train",)), LocalStore(sys.argv[2]), options, unheard)
"""


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(get, served, tmp_path):
    server, _ = served
    get(tmp_path / "whole", splits=("train",))
    for number, after in enumerate((1, 8, 15)):
        place = tmp_path / f"killed-{number}"
        server.requests.clear()
        server.fault("GET /open-images-dataset/train/", after=after, times=None, stall=True)
        killed = subprocess.Popen([sys.executable, "-c", PROGRAM, server.url, str(place)])
        while len([one for one in server.requests if "open-images-dataset" in one.line]) <= after:
            assert killed.poll() is None
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        server.clear_faults()
        assert (place / ".visprep/in-progress").exists()
        get(place, splits=("train",))
        assert data(place) == data(tmp_path / "whole")


# the command line


@pytest.fixture
def command(run, served, s3, tmp_path):
    """`command("--via", "http", ...)` -> exit code, stdout, stderr of a download to `oi`."""

    def call(*more):
        bucket = ("--endpoint-url", s3, "--mirror", served[0].url)
        return run("download", "open-images", *bucket, "--output", tmp_path / "oi", *more)

    return call


def test_the_command_brings_a_split_and_verify_and_status_agree(command, run, served, tmp_path):
    ended = command("--labels", "masks")
    assert ended.code == 0, ended.err
    boxes = sum(len(image.boxes) for image in served[1].of("validation"))
    assert f"note: validation: 9 images, {boxes} boxes" in ended.err
    assert "have a Rotation, which is told in the JSON and not applied" in ended.err
    assert "note: 9 images: https://creativecommons.org/licenses/by/2.0/" in ended.err
    assert not [one for one in served[0].requests if "open-images-dataset" in one.line]  # they came from the bucket
    verified = run("verify", tmp_path / "oi", "--depth", "content", "--format", "json")
    assert json.loads(verified.out)["counts"]["error"] == 0, verified.out
    assert verified.code == 0
    assert json.loads(run("status", tmp_path / "oi", "--json").out)["state"] == "complete"


def test_the_command_chooses(command, served, tmp_path):
    ids = [image.id for image in served[1].of("test")]
    (tmp_path / "ids.txt").write_text(f"test/{ids[1]}\ntest/{ids[3]}.jpg\n")
    ended = command("--ids", tmp_path / "ids.txt", "--via", "http", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["boxes"]["test"]["images"] == 2
    assert [one["open_images_id"] for one in document(tmp_path / "oi", "test")["images"]] == [ids[1], ids[3]]


def test_the_command_tells_what_failed_and_status_how_to_go_on(command, run, served, tmp_path):
    (lost, *_) = (image.id for image in served[1].of("validation") if image.boxes)
    served[0].fault(f"GET /open-images-dataset/validation/{lost}", times=None, status=404)
    ended = command("--via", "http", "--classes", "Animal,Car,Person,Vehicle,Wheel", "--expand-hierarchy")
    assert (ended.code, "[file-missing]" in ended.err) == (3, True)
    state = json.loads(run("status", tmp_path / "oi", "--json").out)
    assert state["state"] == "unfinished"
    assert "visprep download open-images" in state["go_on"]
    assert "--expand-hierarchy --mirror" in state["go_on"]
    assert "--via http" in state["go_on"]
    served[0].clear_faults()
    assert command("--via", "http", "--classes", "Animal,Car,Person,Vehicle,Wheel", "--expand-hierarchy").code == 0
    assert json.loads(run("status", tmp_path / "oi", "--json").out)["state"] == "complete"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--classes", "Doog"), "did you mean Dog?"),
        (("--keep-archives",), "no --keep-archives"),
        (("--via", "ftp"), "it is one of: s3, http, tar, fiftyone"),
        (("--ids", "ids.txt"), "line 2: 'val/0'"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(command, tmp_path, more, said):
    (tmp_path / "work/ids.txt").write_text("test/0000000000000000\nval/0\n")
    ended = command(*more)
    assert ended.code == 2
    assert said in ended.err


def test_other_sources_have_no_such_roads(run, tmp_path):
    for source in ("coco", "sample"):
        ended = run("download", source, "--via", "http", "--output", tmp_path / "x")
        assert (ended.code, "no --via" in ended.err) == (2, True)
