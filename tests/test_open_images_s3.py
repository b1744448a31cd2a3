"""Open Images straight to S3: the same place as on disk, but for the ETags in its manifest."""

import contextlib
import json
import tempfile

import boto3
import pytest

from conftest import tree
from killing import kill_count, random_kills
from open_images_web import served_upstream
from s3_places import Objects, on_disk
from visprep import download, status
from visprep.engines.processes import Processes
from visprep.errors import Incomplete
from visprep.testing import FaultyS3
from visprep.testing.open_images import put_images

COUNTS = {"train": 12, "validation": 9, "test": 2}


@pytest.fixture(autouse=True)
def one_date(monkeypatch, bucket, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A web server of a small upstream, where Flickr redirects from dead originals."""
    with served_upstream(tmp_path_factory.mktemp("upstream"), COUNTS) as (server, upstream):
        server.upstream = upstream
        yield server


@pytest.fixture(autouse=True)
def sound_again(web):
    web.requests.clear()
    yield
    web.clear_faults()


@pytest.fixture(scope="module")
def s3(web, s3_server):
    """A client of the S3 on this machine, where the bucket of the images is too."""
    client = boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    put_images(web.upstream, client)
    return client


@pytest.fixture
def oi(s3, bucket):
    """A place in a fresh bucket, as the objects that it has."""
    return Objects(s3, bucket, "oi")


@pytest.fixture
def words(web):
    def call(place, *more, via="http"):
        upstream = ["--via", via, "--mirror", web.url]
        return ["download", "open-images", *upstream, "--output", place, "--split", "validation", *more]

    return call


@pytest.fixture
def get(run, words):
    """`get(place, ..., code=0)` -> what such a download says; it must end with this code."""

    def call(place, *more, code=0, **options):
        ended = run(*words(place, *more, **options))
        assert ended.code == code, ended.err
        return ended

    return call


@pytest.mark.parametrize(
    ("via", "more"),
    [
        ("http", ["--labels", "boxes,relationships,points", "--split", "validation,test"]),
        ("s3", ["--labels", "boxes", "--limit", "4", "--seed", "3"]),
        ("http", ["--labels", "boxes,masks", "--split", "train,validation"]),
    ],
)
def test_a_bucket_has_what_a_directory_has(get, oi, tmp_path, via, more):
    get(tmp_path / "oi", *more, via=via)
    told = json.loads(get(oi.place, *more, "--json", via=via).out)
    assert oi.tree() == on_disk(tmp_path / "oi")
    assert told["disk"] > 0
    assert not list((tmp_path / "temporary").iterdir())


def test_originals_come_as_they_do_to_a_directory(get, oi, web, tmp_path):
    for place in (tmp_path / "oi", oi.place):
        assert "placeholder" in get(place, "--original", code=3).err
    bucket, disk = oi.listed(), tree(tmp_path / "oi")
    assert {path for path in bucket if path.endswith(".jpg")} == {path for path in disk if path.endswith(".jpg")}
    for path in disk.keys() & bucket.keys():
        if path.endswith(".jpg"):
            assert oi.read(path) == disk[path]


def test_the_same_again_does_nothing_and_a_lost_image_comes_back(get, oi, web):
    get(oi.place)
    before = oi.tree()
    told = json.loads(get(oi.place, "--json").out)
    assert told["files"] == 0
    assert told["kept"] == len(before) - 2
    lost = next(path for path in before if path.endswith(".jpg"))
    oi.delete(lost)
    web.requests.clear()
    assert json.loads(get(oi.place, "--json").out)["files"] == 1
    assert [one.path for one in web.requests if "open-images-dataset" in one.path] == [f"/open-images-dataset/{lost}"]
    assert oi.tree() == before


@pytest.mark.parametrize("path", ["image", "labels/validation/boxes.csv", "annotations/instances_validation.json"])
def test_what_is_not_ours_is_not_overwritten(get, oi, path):
    get(oi.place)
    calm = oi.tree()
    path = next(one for one in calm if one.endswith(".jpg")) if path == "image" else path
    oi.put(path, b"mine")
    assert path in get(oi.place, code=3).err
    assert oi.read(path) == b"mine"
    get(oi.place, "--overwrite")
    assert oi.tree() == calm


def test_a_dry_run_writes_nothing_and_says_what_it_would_take(get, oi):
    ended = get(oi.place, "--dry-run")
    assert "temporary" in ended.err
    assert oi.listed() == {}


def test_what_is_no_image_is_not_written(get, oi, web):
    path = f"validation/{web.upstream.of('validation')[2].id}.jpg"
    file = web.directory / "open-images-dataset" / path
    right = file.read_bytes()
    file.write_bytes(b"no image at all")
    try:
        assert path in get(oi.place, code=3).err
        assert path not in oi.listed()
        assert [(one.path, one.reason) for one in status(oi.place).failed] == [(path, "wrong-content")]
    finally:
        file.write_bytes(right)
    get(oi.place)
    assert path in oi.listed()
    assert status(oi.place).failed == ()
    assert ".visprep/journal.jsonl" not in oi.listed()


@pytest.mark.parametrize("slow", ["images", "writes"])
def test_killed_at_random_moments_it_ends_in_the_same_objects(words, get, s3, bucket, web, s3_server, tmp_path, slow):
    get(tmp_path / "calm")

    def there(number):
        return Objects(s3, bucket, f"round-{number}")

    def check(number):
        assert there(number).tree() == on_disk(tmp_path / "calm")

    with FaultyS3(s3_server) as faulty:
        if slow == "images":
            web.fault("GET /open-images-dataset", times=None, slow=15_000)
        else:
            faulty.fault("PUT /", times=None, delay=0.05)
        random_kills(
            lambda number: [*words(there(number).place, "--jobs", "2"), "--endpoint-url", faulty.url],
            lambda number: ".visprep/in-progress" in there(number).listed(),
            check,
            seed=5,
            tries=kill_count(3),
            longest=1.0,
        )


@pytest.mark.parametrize("via", ["fiftyone", "tar"])
def test_roads_that_need_a_directory_say_so(run, oi, words, via):
    ended = run(*words(oi.place, via=via))
    assert ended.code == 2
    assert "needs a directory" in ended.err
    assert oi.listed() == {}


@pytest.fixture(scope="module")
def workers():
    """An engine of processes."""
    with Processes(2) as engine:
        yield engine


@pytest.mark.parametrize("more", [{"labels": "boxes,masks", "via": "http"}, {"original": True}])
def test_workers_make_the_same_of_it_in_a_bucket_and_a_directory(get, oi, web, workers, tmp_path, more):
    said = [f"--{name}" if value is True else f"--{name}={value}" for name, value in more.items() if name != "via"]
    code = 3 if "original" in more else 0
    get(tmp_path / "calm", *said, code=code)
    for place in (tmp_path / "oi", oi.place):
        with pytest.raises(Incomplete) if code else contextlib.nullcontext():
            download("open-images", place, split="validation", mirror=web.url, engine=workers, **more)
    images = {path: data for path, data in tree(tmp_path / "calm").items() if path.endswith(".jpg")}
    assert images
    assert images == {path: data for path, data in tree(tmp_path / "oi").items() if path.endswith(".jpg")}
    assert images == {path: oi.read(path) for path in oi.listed() if path.endswith(".jpg")}
    if not code:
        assert tree(tmp_path / "oi") == tree(tmp_path / "calm")
        assert oi.tree() == on_disk(tmp_path / "calm")


def test_of_a_bucket_that_there_is_not_is_told_before_tables_come(run, web):
    words = ("open-images", "--via", "http", "--mirror", web.url, "--split", "test")
    ended = run("download", *words, "--output", "s3://no-such-bucket-here/oi")
    assert (ended.code, "[place-missing]" in ended.err, web.requests) == (3, True, [])
