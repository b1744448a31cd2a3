"""Every road of Open Images' images ends in the same dataset, whatever fails or kills it on the way."""

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import threading
import time

import boto3
import pytest

from conftest import tree
from killing import kill_count, leftovers, random_kills, visprep
from open_images_web import served_upstream
from test_open_images_fiftyone import STAND_IN
from visprep.testing import FaultyS3, Mirror, open_images_tools
from visprep.testing.open_images import put_images

COUNTS = {"train": 40, "validation": 9, "test": 5}
ALL = "boxes,masks,relationships,image-labels,points"
#: What differs between two roads: the place's record, which names the road.
RECORD = {"dataset.json", ".visprep/manifest.jsonl"}


@pytest.fixture(autouse=True)
def one_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server of a small upstream, where Flickr redirects from dead originals; `web.upstream` has the rest."""
    with served_upstream(tmp_path_factory.mktemp("upstream"), COUNTS) as (server, upstream):
        server.upstream = upstream
        yield server


@pytest.fixture(autouse=True)
def sound_again(web):
    web.requests.clear()
    with contextlib.ExitStack() as stack:
        stack.callback(web.redirects.update, web.redirects.copy())
        yield stack
    web.clear_faults()


@pytest.fixture(scope="module")
def bucket(web, s3_server):
    """An S3 that has the images; between it and visprep stands what makes its trouble."""
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    put_images(web.upstream, client)
    with FaultyS3(s3_server) as faulty:
        yield faulty


@pytest.fixture
def command(web, bucket, tmp_path):
    """`command(road, place, ...)` -> the words of a download by that road."""
    sums = tmp_path / "SHA256SUMS"
    archives = sorted((web.directory / "open-images-dataset/tar").iterdir())
    sums.write_text("".join(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  tar/{one.name}\n" for one in archives))
    roads = {
        "http": ["--via", "http"],
        "s3": ["--endpoint-url", bucket.url],
        "fiftyone": ["--via", "fiftyone", "--endpoint-url", bucket.url],
        "tar": ["--via", "tar", "--checksums", sums],
    }

    def words(road, place, *more, mirror=web.url):
        where = ["--mirror", mirror, "--output", place]
        return ["download", "open-images", *roads[road], *where, "--split", "train,validation", "--labels", ALL, *more]

    yield words
    bucket.clear_faults()


@pytest.fixture
def get(run, command):
    """`get(road, place, ..., code=0)` -> what such a download says; it must end with this code."""

    def call(road, place, *more, code=0, **options):
        ended = run(*command(road, place, *more, **options))
        assert ended.code == code, ended.err
        return ended

    return call


@pytest.fixture(scope="module")
def undisturbed():
    """What comes of a download that nothing disturbs, by its options: made once, since it is always the same."""
    return {}


@pytest.fixture
def calm(get, undisturbed, tmp_path):
    """The files of an undisturbed download by HTTP."""
    return undisturbed_files(undisturbed, get, tmp_path)


def undisturbed_files(known, get, folder, *more):
    if more not in known:
        get("http", folder / "calm", *more)
        known[more] = tree(folder / "calm")
        shutil.rmtree(folder / "calm")
    return known[more]


def same_files(found, expected):
    """Whether two places hold the same, but for what their records say of how it came."""
    assert found.keys() == expected.keys()
    assert {path for path in found if found[path] != expected[path]} <= RECORD
    lists = [one[".visprep/manifest.jsonl"].partition(b"\n")[2] for one in (found, expected)]
    assert lists[0] == lists[1]
    return True


def same(found, expected):
    """Whether two places hold the same, and their records differ in nothing but the road."""
    steps, others = (json.loads(one["dataset.json"])["steps"] for one in (found, expected))
    for step in (*steps, *others):
        for name in ("via", "images"):
            assert step["origin"].pop(name)
    assert steps == others
    return same_files(found, expected)


def journal(place):
    lines = (place / ".visprep/journal.jsonl").read_text().splitlines()
    return {one["path"]: one["reason"] for one in map(json.loads, lines)}


def agree(run, place, lost):
    """`status` and `verify` know of these missing images, and of no others."""
    told = json.loads(run("status", place, "--json").out)
    assert told["state"] == ("unfinished" if lost else "complete")
    assert {one["path"] for one in told["failed"]} == set(lost)
    ended = run("verify", place, "--format", "json")
    errors = [one for one in json.loads(ended.out)["findings"] if one["level"] == "error"]
    missing = [one["where"].get("file") for one in errors if one["code"] != "place-incomplete"]
    assert sorted(missing, key=str) == sorted(lost), errors
    assert ended.code == (1 if lost else 0)


# the same by every road


@pytest.fixture
def fiftyone(monkeypatch, tmp_path):
    """Something called FiftyOne that fetches as its function does."""
    package = tmp_path / "packages/fiftyone/utils"
    package.mkdir(parents=True)
    for name, code in (("../__init__.py", ""), ("__init__.py", ""), ("openimages.py", STAND_IN)):
        (package / name).write_text(code)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "packages"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("STAND_IN_CALLS", str(tmp_path / "calls"))


SOME = ["--classes", "Animal", "--expand-hierarchy"]


@pytest.mark.parametrize(
    ("road", "more"),
    [
        (road, more)
        for road in ("s3", "fiftyone", "tar")
        for more in ([], ["--labels", "boxes"], SOME)
        if (road, more) != ("tar", SOME)
    ],
)
def test_every_road_gives_the_same_dataset(get, run, fiftyone, undisturbed, tmp_path, road, more):
    get(road, tmp_path / road, *more)
    assert same(tree(tmp_path / road), undisturbed_files(undisturbed, get, tmp_path, *more))
    agree(run, tmp_path / road, [])


def test_what_others_brought_converts_to_the_same_dataset(get, run, web, tmp_path):
    brought = [image for split in ("train", "validation") for image in web.upstream.of(split)]
    open_images_tools.downloader(web.upstream, tmp_path / "flat", brought)
    open_images_tools.fiftyone(web.upstream, tmp_path / "zoo", brought)
    # FiftyOne keeps the labels of whole images for the classes that have boxes only
    for name, labels in (("flat", "boxes"), ("zoo", "boxes,masks,relationships,points")):
        get("http", tmp_path / f"{name}-http", "--labels", labels)
        for file in tmp_path.glob("zoo/*/labels/classifications.csv"):
            file.unlink()
        ended = run("convert", tmp_path / name, "--to", "coco", "--output", tmp_path / f"{name}-coco")
        assert ended.code == 0, ended.err
        assert same_files(tree(tmp_path / f"{name}-coco"), tree(tmp_path / f"{name}-http"))
        agree(run, tmp_path / f"{name}-coco", [])


def test_what_one_road_began_another_ends(get, calm, web, tmp_path):
    web.fault("GET /open-images-dataset/train/[0-7]", times=None, status=404)
    get("http", tmp_path / "oi", code=3)
    web.clear_faults()
    get("s3", tmp_path / "oi")
    assert same_files(tree(tmp_path / "oi"), calm)


def test_another_choice_leaves_no_rows_of_the_one_before(get, run, tmp_path):
    place = tmp_path / "oi"
    get("http", place, "--labels", "masks")
    before = tree(place)
    ended = get("http", place, "--labels", "boxes", "--limit", "3", code=3)
    assert (
        "labels/train/masks.csv would stay, with rows of images that were chosen before [would-overwrite]" in ended.err
    )
    assert "ask for masks in --labels too" in ended.err
    assert tree(place) == before
    get("http", place, "--labels", "boxes")  # of the same images
    get("http", place, "--labels", "boxes,masks", "--limit", "3")
    assert len(json.loads((place / "annotations/instances_train.json").read_bytes())["images"]) == 3
    errors = json.loads(run("verify", place, "--format", "json").out)["counts"]["error"]
    assert errors == 0


# tables as each version wrote them


def _table(data):
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def _written(rows, **how):
    out = io.StringIO(newline="")
    csv.writer(out, **{"lineterminator": "\n"} | how).writerows(rows)
    return out.getvalue().encode()


def _other_columns(data):
    """The columns from the last to the first, and one more that no version of today has."""
    return _written([[*reversed(row), "More" if at == 0 else "1"] for at, row in enumerate(_table(data))])


def _other_order(data):
    """The rows of the images from the last to the first; those of each image stay in their order."""
    header, *rows = _table(data)
    column = next(at for at, name in enumerate(header) if name in ("ImageID", "ImageId"))
    return _written([header, *sorted(rows, key=lambda row: row[column], reverse=True)])


VARIANTS = {
    "windows": lambda data: _written(_table(data), lineterminator="\r\n"),
    "marked": lambda data: b"\xef\xbb\xbf" + data,
    "quoted": lambda data: _written(_table(data), quoting=csv.QUOTE_ALL),
    "no last line break": lambda data: data.removesuffix(b"\n"),
    "other columns": _other_columns,
    "other order": _other_order,
}


@pytest.fixture
def other(web, tmp_path):
    """`other(change, name)`: a mirror of an upstream whose files of that name are changed so."""
    root = tmp_path / "other"
    shutil.copytree(web.directory, root)
    with Mirror(root) as server:

        def call(change, *names):
            files = [file for name in names for file in (root / "openimages").rglob(name)]
            assert files
            for file in files:
                file.write_bytes(change(file.read_bytes()))
            return server.url

        yield call


def annotations(files):
    return {path: data for path, data in files.items() if path.startswith("annotations/")}


@pytest.mark.parametrize("name", list(VARIANTS))
def test_however_a_table_is_written_the_json_is_the_same(get, calm, other, run, tmp_path, name):
    changed = other(VARIANTS[name], "*rotation.csv", "*bbox.csv", "*segmentation.csv")
    get("http", tmp_path / "oi", mirror=changed)
    assert annotations(tree(tmp_path / "oi")) == annotations(calm) != {}
    kept = (tmp_path / "oi/labels/validation/boxes.csv").read_bytes()
    assert kept != calm["labels/validation/boxes.csv"] or name == "no last line break"
    agree(run, tmp_path / "oi", [])


def test_lists_of_classes_without_a_header_are_those_of_v5(get, undisturbed, other, run, tmp_path):
    changed = other(lambda data: data.partition(b"\n")[2], "oidv7-class-descriptions*.csv")
    get("http", tmp_path / "oi", "--classes", "Animal", mirror=changed)
    expected = undisturbed_files(undisturbed, get, tmp_path, "--classes", "Animal")
    assert annotations(tree(tmp_path / "oi")) == annotations(expected) != {}
    agree(run, tmp_path / "oi", [])


def test_the_boxes_of_train_give_the_same_with_clicks_and_without(get, calm, other, tmp_path):
    header, *rows = _table(calm["labels/train/boxes.csv"])
    clicks = [at for at, name in enumerate(header) if name.startswith("XClick")]
    assert len(clicks) == 8
    v4 = _written([row[: clicks[0]] for row in (header, *rows)])
    get("http", tmp_path / "oi", mirror=other(lambda _: v4, "oidv6-train-annotations-bbox.csv"))
    assert annotations(tree(tmp_path / "oi")) == annotations(calm)


def test_a_table_without_its_header_is_refused(get, other, tmp_path):
    changed = other(lambda data: data.partition(b"\n")[2], "validation-annotations-bbox.csv")
    ended = get("http", tmp_path / "oi", code=3, mirror=changed)
    assert "v5/validation-annotations-bbox.csv, line 1: the header has no column" in ended.err


# faults


@pytest.mark.parametrize("fault", ["reset-body", "short-body", "slow-down", "internal-error", "reset", "reset-headers"])
def test_trouble_that_passes_leaves_no_trace(get, calm, bucket, tmp_path, fault):
    bucket.fail(fault, key="train/", times=5)
    bucket.fail(fault, key="validation/", after=3, times=2)
    get("s3", tmp_path / "oi")
    assert bucket.spent
    assert same(tree(tmp_path / "oi"), calm)


@pytest.mark.parametrize(
    "how",
    [{"cut": 0.5, "reset": True}, {"cut": 0.5}, {"status": 503}, {"status": 500}, {"reset": True}, {"torn": True}],
)
def test_trouble_of_the_web_that_passes_leaves_no_trace(get, calm, web, tmp_path, how):
    web.fault("GET /open-images-dataset/train", times=5, **how)
    web.fault("GET /openimages/v5/.*masks", times=3, **how)
    web.fault("GET /openimages/.*bbox", times=2, **how)
    get("http", tmp_path / "oi")
    assert web.spent
    assert same(tree(tmp_path / "oi"), calm)


LOST = {
    "gone": ("file-missing", {"status": 404}),
    "forbidden": ("access-denied", {"status": 403}),
    "a page": ("wrong-content", {"status": 200, "body": b"<html>\n"}),
}


@pytest.mark.parametrize("kind", list(LOST))
@pytest.mark.parametrize("road", ["http", "s3"])
def test_images_that_stay_away_are_told_and_come_later(get, run, calm, web, bucket, tmp_path, road, kind):
    place = tmp_path / "oi"
    chosen = [image for split in ("train", "validation") for image in web.upstream.of(split)][3::7]
    lost = [f"{image.split}/{image.id}.jpg" for image in chosen]
    reason, how = LOST[kind]
    pattern = "|".join(image.id for image in chosen)
    web.fault(f"GET /open-images-dataset/.*({pattern})", times=None, **how)
    code = {"gone": "NoSuchKey", "forbidden": "AccessDenied"}.get(kind, "")
    bucket.fault(f"GET /open-images-dataset/.*({pattern})", times=None, code=code, **how)
    get(road, place, code=3)
    assert journal(place) == dict.fromkeys(lost, reason)
    agree(run, place, lost)
    partial = tree(place)
    assert partial.keys() == calm.keys() - set(lost) - {".visprep/manifest.jsonl", "dataset.json"}
    differing = {path for path in partial if partial[path] != calm[path]}
    assert differing == {"annotations/instances_train.json", "annotations/instances_validation.json"}
    for path in differing:
        found, whole = json.loads(partial[path]), json.loads(calm[path])
        there = [one for one in whole["images"] if one["file_name"] not in lost]
        assert found["images"] == there
        ids = {one["id"] for one in there}
        assert found["annotations"] == [one for one in whole["annotations"] if one["image_id"] in ids]
    before = {path: (place / path).stat().st_mtime_ns for path in partial}
    get(road, place, code=3)
    assert {path: (place / path).stat().st_mtime_ns for path in partial} == before
    assert journal(place) == dict.fromkeys(lost, reason)
    web.clear_faults()
    bucket.clear_faults()
    web.requests.clear()
    get(road, place)
    if road == "http":
        fetched = [one.path for one in web.requests if "/open-images-dataset/" in one.path and one.method == "GET"]
        assert sorted(path.partition("dataset/")[2] for path in fetched) == sorted(lost)
    agree(run, place, [])
    assert same(tree(place), calm)
    assert not leftovers(place)


def test_what_only_decoding_shows_verify_finds_and_fix_fetches_again(get, run, calm, web, tmp_path):
    place = tmp_path / "oi"
    image = web.upstream.of("train")[5]
    web.fault(f"GET /open-images-dataset/.*{image.id}", times=None, status=200, body=image.data[:-200])
    get("http", place)
    ended = run("verify", place, "--depth", "decode", "--format", "json")
    found = [one for one in json.loads(ended.out)["findings"] if one["level"] == "error"]
    assert {one["where"].get("file", one["path"]) for one in found} == {f"train/{image.id}.jpg"}, found
    web.clear_faults()
    fixed = run("fix", place, "--how", "refetch")
    assert fixed.code == 0, fixed.err
    assert (place / f"train/{image.id}.jpg").read_bytes() == image.data
    agree(run, place, [])


def test_a_disk_that_fills_up_ends_it_in_order_and_it_goes_on(get, command, calm, web, small_disk):
    assert "[disk-full]" in get("http", small_disk / "oi", code=3).err
    subprocess.run(["mount", "-o", "remount,size=32m", small_disk], check=True)
    web.fault("GET /open-images-dataset", times=None, slow=3_000)
    process = visprep(*command("http", small_disk / "oi", "--jobs", "2"))
    deadline = time.monotonic() + 60
    while len(list(small_disk.glob("oi/train/*.jpg"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    with (small_disk / "other").open("wb", buffering=0) as other, contextlib.suppress(OSError):
        while other.write(bytes(4096)):
            pass
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"[disk-full]" in err) == (3, True), err
    (small_disk / "other").unlink()
    web.clear_faults()
    get("http", small_disk / "oi")
    assert same(tree(small_disk / "oi"), calm)
    assert not leftovers(small_disk / "oi")


def test_dead_originals_are_told_each_time_and_the_rest_is_whole(get, run, web, sound_again, tmp_path):
    place = tmp_path / "oi"
    upstream = [image for split in ("train", "validation") for image in web.upstream.of(split)]
    dead = {f"{one.split}/{one.id}.jpg": one.facts[-1] for one in upstream if one.facts[-1] in ("90.0", "nan")}
    expected = {path: "file-missing" if turned == "90.0" else "wrong-content" for path, turned in dead.items()}
    for _ in range(2):
        get("http", place, "--original", code=3)
        assert journal(place) == expected
        agree(run, place, dead)
    back = [image for image in upstream if image.facts[-1] == "90.0"]  # it is shown again, or at last
    for image in back:
        web.redirects.pop(f"/flickr/{image.id}_o.jpg", None)
        file = web.directory / f"flickr/{image.id}_o.jpg"
        file.write_bytes(image.original)
        sound_again.callback(file.unlink)
    get("http", place, "--original", code=3)
    assert set(journal(place).values()) == {"wrong-content"}
    agree(run, place, [path for path, turned in dead.items() if turned == "nan"])


# kills


def at_work(place):
    return (place / ".visprep").exists()


@pytest.mark.parametrize(
    ("road", "slow"), [("http", "images"), ("s3", "images"), ("tar", "images"), ("http", "tables")]
)
def test_killed_at_random_moments_it_ends_in_the_same_bytes(command, calm, web, bucket, tmp_path, road, slow):
    for server in (web, bucket):
        server.fault("GET /open-images-dataset", times=None, slow=15_000 if slow == "images" else None)
    web.fault("GET /openimages", times=None, slow=100_000 if slow == "tables" else None)

    def place(number):
        return tmp_path / f"round-{number}"

    def check(number):
        assert same(tree(place(number)), calm)
        assert not leftovers(place(number))
        assert not (place(number) / ".visprep/cache").exists()

    random_kills(
        lambda number: command(road, place(number), "--jobs", "4"),
        lambda number: at_work(place(number)),
        check,
        seed=7,
        tries=kill_count(5),
        longest=1.5,
        least=2,
    )


def test_killed_at_random_moments_with_images_gone_the_journal_says_so_in_the_end(
    command, calm, get, run, web, bucket, tmp_path
):
    lost = [image.id for image in web.upstream.of("train")][::5]
    web.fault(f"GET /open-images-dataset/train/({'|'.join(lost)})", times=None, status=404)
    web.fault("GET /open-images-dataset", times=None, slow=15_000)
    place = tmp_path / "oi"
    for at in range(kill_count(4)):
        process = visprep(*command("http", place, "--jobs", "4"))
        time.sleep(0.4 + 0.35 * (at % 6))
        process.kill()
        process.communicate()
    get("http", place, code=3)
    assert journal(place) == {f"train/{one}.jpg": "file-missing" for one in lost}
    agree(run, place, [f"train/{one}.jpg" for one in lost])
    web.clear_faults()
    get("http", place)
    assert same(tree(place), calm)
    agree(run, place, [])


def test_an_interrupt_while_a_thread_is_started_is_one(get, monkeypatch, tmp_path):
    begin = threading.Thread.start

    def interrupted(thread):
        if thread.name == "visprep-untar":
            raise KeyboardInterrupt
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    get("tar", tmp_path / "oi", code=130)


@pytest.mark.parametrize("road", ["http", "s3", "tar"])
def test_an_interrupt_ends_it_in_order_and_it_goes_on(command, calm, get, run, web, bucket, tmp_path, road):
    place = tmp_path / "oi"
    for server in (web, bucket):
        server.fault("GET /open-images-dataset/train", times=None, after=6, slow=500)
    process = visprep(*command(road, place))
    deadline = time.monotonic() + 60
    while len(list(place.glob("train/*.jpg"))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"run the same command again" in err
    assert b"Traceback" not in err
    told = json.loads(run("status", place, "--json").out)
    assert told["state"] == "unfinished"
    assert told["go_on"].startswith("visprep download open-images")
    web.clear_faults()
    bucket.clear_faults()
    get(road, place)
    assert same(tree(place), calm)
    assert not leftovers(place)
