"""Tasks, and the sample of every kind, straight to S3: the same place as on disk; by an engine's workers too."""

import json
import tempfile

import boto3
import pytest

from conftest import tree
from killing import kill_count, random_kills
from s3_places import Objects, on_disk
from visprep import download
from visprep.engines.processes import Processes
from visprep.errors import NothingConverted, WouldOverwrite
from visprep.testing import LocalHub
from vtb_upstream import REPOSITORY, row, upstream_files

COUNTS = {"Eyeballing_Puzzles": 6, "Visual_Puzzles": 3, "ARC_AGI_2": 2, "Mazes": 4, "Text_Centric_Tasks": 2}


@pytest.fixture(autouse=True)
def settled(monkeypatch, bucket, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield
    assert not list((tmp_path / "temporary").iterdir())


@pytest.fixture(scope="module")
def served():
    with LocalHub() as server:
        server.add(REPOSITORY).commit(upstream_files(COUNTS, row_group_size=2))
        yield server


@pytest.fixture
def hub(served, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", served.url)
    served.requests.clear()
    yield served
    served.clear_faults()


@pytest.fixture
def there(s3_server, bucket):
    return Objects(boto3.client("s3", endpoint_url=s3_server), bucket, "tasks")


@pytest.fixture(scope="module")
def workers():
    with Processes(2) as engine:
        yield engine


@pytest.fixture
def get(run):
    def call(*words, code=0):
        ended = run("download", *words)
        assert ended.code == code, ended.err
        return ended

    return call


def shards(hub):
    return sum("parquet" in one.path for one in hub.requests if one.method == "GET")


def test_a_bucket_has_what_a_directory_has_and_shards_lie_on_disk_one_at_a_time(get, hub, there, tmp_path):
    words = "videothinkbench", "--split", "minitest,test", "--output"
    get(*words, tmp_path / "calm")
    told = json.loads(get(*words, there.place, "--json").out)
    assert there.tree() == on_disk(tmp_path / "calm")
    sizes = [len(data) for data in upstream_files(COUNTS, row_group_size=2).values()]
    assert 0 < told["disk"] <= max(sizes)
    hub.requests.clear()
    again = json.loads(get(*words, there.place, "--json").out)
    assert (again["files"], shards(hub)) == (0, 0)


@pytest.mark.parametrize(
    "words",
    [["sample"], ["sample", "--config", "vton"], ["sample", "--config", "frames"], ["sample", "--config", "coco"]],
)
def test_the_sample_of_every_kind_comes_to_a_bucket(get, there, tmp_path, words):
    get(*words, "--output", tmp_path / "calm")
    get(*words, "--output", there.place)
    assert there.tree() == on_disk(tmp_path / "calm")
    assert json.loads(get(*words, "--output", there.place, "--json").out)["files"] == 0


def test_a_limit_and_the_rest_later(get, hub, there, tmp_path):
    for place in (tmp_path / "calm", there.place):
        get("videothinkbench", "--limit", "2", "--output", place)
        get("videothinkbench", "--limit", "5", "--output", place)
    assert there.tree() == on_disk(tmp_path / "calm")


def test_what_is_not_ours_is_not_overwritten(get, hub, there):
    get("videothinkbench", "--config", "Mazes", "--output", there.place)
    calm = there.tree()
    path = next(one for one in calm if one.endswith("prompt.txt"))
    there.put(path, b"mine")
    assert path in get("videothinkbench", "--config", "Mazes", "--output", there.place, code=3).err
    assert there.read(path) == b"mine"
    get("videothinkbench", "--config", "Mazes", "--output", there.place, "--overwrite")
    assert there.tree() == calm


def test_killed_at_random_moments_it_ends_in_the_same_objects(get, hub, there, tmp_path):
    get("videothinkbench", "--split", "test", "--output", tmp_path / "calm")
    hub.fault("GET .*parquet", times=None, slow=10_000)  # so that even a busy machine looks before it is over

    def place(number):
        return Objects(there.client, there.bucket, f"round-{number}")

    def check(number):
        assert place(number).tree() == on_disk(tmp_path / "calm")

    random_kills(
        lambda number: ["download", "videothinkbench", "--split", "test", "--output", place(number).place, "--jobs", 2],
        lambda number: ".visprep/in-progress" in place(number).listed(),
        check,
        seed=11,
        tries=kill_count(2),
        longest=0.15,
    )


def test_workers_make_the_same_of_it(get, hub, there, workers, tmp_path):
    get("videothinkbench", "--split", "minitest,test", "--output", tmp_path / "calm")
    for place in (tmp_path / "here", there.place):
        made = download("videothinkbench", place, split="minitest,test", engine=workers)
        again = download("videothinkbench", place, split="minitest,test", engine=workers)
        assert made.files > 0 == again.files
        assert again.kept == made.files
    assert tree(tmp_path / "here") == tree(tmp_path / "calm")
    assert there.tree() == on_disk(tmp_path / "calm")


def test_workers_replace_what_is_ours_when_upstream_moves_on_and_nothing_else(get, hub, there, workers, tmp_path):
    wanted = {"split": "test", "config": "Mazes"}
    words = "videothinkbench", "--split", "test", "--config", "Mazes", "--output"
    repository = hub.repositories[REPOSITORY]
    get(*words, tmp_path / "calm")
    download("videothinkbench", there.place, engine=workers, **wanted)
    moved = [row("Mazes", number, prompt=f"Otherwise {number}") for number in range(4)]
    try:
        repository.commit(upstream_files(COUNTS, row_group_size=2, Mazes=moved))
        get(*words, tmp_path / "calm")
        download("videothinkbench", there.place, engine=workers, **wanted)
        assert there.tree() == on_disk(tmp_path / "calm")
        path = next(one for one in there.listed() if one.endswith("prompt.txt"))
        there.put(path, b"mine")
        with pytest.raises(WouldOverwrite) as refused:
            download("videothinkbench", there.place, engine=workers, **wanted)
        assert refused.value.paths == (path,)
        assert there.read(path) == b"mine"
    finally:
        repository.commit(upstream_files(COUNTS, row_group_size=2))


def test_of_a_bucket_that_there_is_not_is_told_before_shards_come(get, hub):
    ended = get("videothinkbench", "--split", "test", "--output", "s3://no-such-bucket-here/tasks", code=3)
    assert ("[place-missing]" in ended.err, shards(hub)) == (True, 0)


def test_workers_that_find_nothing_leave_nothing(hub, there, workers):
    with pytest.raises(NothingConverted):
        download("videothinkbench", there.place, split="test", config="Text_Centric_Tasks", engine=workers)
    assert there.listed() == {}
