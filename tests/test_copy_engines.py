"""Places moved by the workers of an engine: the same bytes, records and failures as in one process, whatever dies."""

import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

import visprep
from conftest import tree
from deadly_places import Deadly
from killing import kill_count, leftovers
from visprep._copy import copy_place
from visprep.copying import CopyOptions
from visprep.engines import sights
from visprep.engines.processes import Processes
from visprep.errors import CredentialsError, Incomplete, UsageError
from visprep.manifest import MANIFEST
from visprep.own_record import MARKER
from visprep.stores import is_part
from visprep.stores.local import LocalStore
from visprep.testing import FaultyS3

PART = 5 * 1024 * 1024
#: More than two batches of small files, so more than two slices; one file goes in parts.
FILES = {
    **{f"train/{number:03}.txt": f"{number}\n".encode() * 20 for number in range(90)},
    "big.bin": random.Random(1).randbytes(PART + 7),
    "b/\u00fc +3.txt": "\u00fc\n".encode() * 9,
    "empty": b"",
}
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def same_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def processes():
    with Processes(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def cupboard(s3_server):
    client = boto3.client("s3", endpoint_url=s3_server, **KEYS)
    client.create_bucket(Bucket="engines")
    return client


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A directory, and what `upload` makes of it on S3, as every engine must."""
    return fill(tmp_path_factory.mktemp("origin") / "place", FILES)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """So many files that the digests of them are worth an engine."""
    files = {f"{number % 10}/{number:04}.txt": f"{number:04}".encode() * 6 for number in range(1_100)}
    return fill(tmp_path_factory.mktemp("many") / "place", files)


def fill(root, files):
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def settings(url):
    return visprep.S3Settings(endpoint_url=url, part_size=PART, access_key="testing", secret_key="testing")


def objects(client, prefix):
    """Every object under a prefix, with what S3 keeps beside its bytes."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="engines", Prefix=f"{prefix}/"):
        for one in page["Contents"]:
            got = client.get_object(Bucket="engines", Key=one["Key"])
            found[one["Key"].removeprefix(f"{prefix}/")] = got["Body"].read(), got["ContentType"], got["Metadata"]
    return found


def at(result, place):
    """A result, but for where it went."""
    return replace(result, origin=place, target=place)


def test_up_and_down_are_the_same_as_in_this_process(processes, cupboard, s3_server, origin, tmp_path):
    s3, told = settings(s3_server), []
    here = visprep.upload(origin, "s3://engines/here", s3=s3)
    there = visprep.upload(origin, "s3://engines/there", s3=s3, engine=processes, progress=told.append)
    assert at(there, "") == at(here, "")
    assert objects(cupboard, "there") == objects(cupboard, "here")
    assert set(FILES) | {MANIFEST, "dataset.json"} == set(objects(cupboard, "there"))
    assert (told[-1].stage, told[-1].done, told[-1].total) == ("Copying", len(FILES), len(FILES))

    here = visprep.sync("s3://engines/here", tmp_path / "here", s3=s3)
    there = visprep.sync("s3://engines/here", tmp_path / "there", s3=s3, engine=processes)
    assert at(there, "") == at(here, "")
    assert tree(tmp_path / "there") == tree(tmp_path / "here")
    assert leftovers(tmp_path / "there") == []
    again = visprep.sync("s3://engines/here", tmp_path / "there", s3=s3, engine=processes)
    assert (again.moved, again.kept) == (0, len(FILES))


def test_a_plan_made_here_is_carried_out_there(processes, s3_server, origin, tmp_path):
    s3, plan = settings(s3_server), tmp_path / "plan"
    planned = visprep.sync(origin, "s3://engines/planned", plan=plan, s3=s3)
    done = visprep.sync(apply=plan, s3=s3, engine=processes)
    assert (done.moved, done.bytes) == (planned.moved, planned.bytes) == (len(FILES), sum(map(len, FILES.values())))


def test_what_lists_do_not_tell_is_found_out_by_the_workers(processes, many, tmp_path):
    """Nobody of this process reads the file that kills: it is only moved because nobody could compare it."""
    target = tmp_path / "target"
    shutil.copytree(many, target)
    fill(target, {"4/0704.txt": b"3333" * 6, "9/1099.txt": b"3333" * 6})
    planned = []
    place, options = Deadly(many, "0/0500.txt"), CopyOptions(dry_run=True, engine=processes)
    copy_place(place, LocalStore(target), "sync", options, lambda _: None, planned.append)
    assert [(one.action, one.file.path, one.reason) for one in planned] == [
        ("replace", "0/0500.txt", "the content cannot be compared"),
        ("replace", "4/0704.txt", "the content differs"),
        ("replace", "9/1099.txt", "the content differs"),
    ]


@pytest.mark.parametrize("fault", ["access-denied", "wrong-bytes"])
def test_an_object_that_fails_fails_alike(processes, cupboard, s3_server, origin, tmp_path, fault):
    visprep.upload(origin, "s3://engines/failing", s3=settings(s3_server))
    told = []
    for name, engine in (("here", "local"), ("there", processes)):
        with FaultyS3(s3_server) as proxy:
            proxy.fail(fault, method="GET", key="train/077", times=None)
            with pytest.raises(Incomplete) as failed:
                visprep.sync("s3://engines/failing", tmp_path / name, s3=settings(proxy.url), engine=engine)
        lines = [json.loads(line) for line in (tmp_path / name / ".visprep/journal.jsonl").read_text().splitlines()]
        told.append((failed.value.message, [(one["path"], one["reason"], one["message"]) for one in lines]))
        files = {path: data for path, data in tree(tmp_path / name).items() if path in FILES}
        assert files == {path: data for path, data in FILES.items() if path != "train/077.txt"}
        assert visprep.sync("s3://engines/failing", tmp_path / name, s3=settings(s3_server), engine=engine).moved == 1
    assert told[0] == told[1]
    assert [path for path, *_ in told[0][1]] == ["train/077.txt"]
    assert tree(tmp_path / "here") == tree(tmp_path / "there")


def test_a_failure_that_all_would_meet_ends_it(processes, s3_server, origin):
    for name, engine in (("here", "local"), ("there", processes)):
        with FaultyS3(s3_server) as proxy:
            proxy.fail("expired-token", method="PUT", key="train/", times=None)
            with pytest.raises(CredentialsError):
                visprep.upload(origin, f"s3://engines/expired-{name}", s3=settings(proxy.url), engine=engine)
            assert not any("manifest" in one.path for one in proxy.requests if one.method == "PUT")


def test_a_file_that_kills_its_worker_is_named_and_all_others_are_moved(processes, origin, tmp_path):
    place = Deadly(origin, "train/080.txt")
    with pytest.raises(Incomplete) as failed:
        copy_place(place, LocalStore(tmp_path / "target"), "sync", CopyOptions(engine=processes), lambda _: None)
    assert [(path, error.slug) for path, error in failed.value.failures] == [("train/080.txt", "worker-lost")]
    missing = {path: data for path, data in FILES.items() if path != "train/080.txt"}
    assert {path: data for path, data in tree(tmp_path / "target").items() if path in FILES} == missing
    visprep.sync(origin, tmp_path / "target", engine=processes)
    assert FILES.items() <= tree(tmp_path / "target").items()


MOVE = """
import sys
from visprep._copy import copy_place
from visprep.copying import CopyOptions
from visprep.engines import sights
from visprep.engines.processes import Processes
from visprep.stores import is_part
from visprep.stores.local import LocalStore
with Processes(2) as engine:
    origin, target = map(LocalStore, sys.argv[1:])
    copy_place(origin, target, "download", CopyOptions(engine=engine), lambda _: None)
"""


def moving(origin, target):
    return subprocess.Popen([sys.executable, "-c", MOVE, origin, target], stderr=subprocess.PIPE)


def workers_of(process):
    told = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [Path(f"/proc/{pid}") for pid in told.split()]


def in_the_middle(process, target, files):
    """Wait until so many files have come."""
    while process.poll() is None and sum(1 for _ in target.glob("?/*.txt")) < files:
        time.sleep(0.002)


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
def test_killed_it_goes_on_where_it_stopped(many, tmp_path):
    calm = tmp_path / "calm"
    copy_place(LocalStore(many), LocalStore(calm), "download", CopyOptions(), lambda _: None)
    rng, killed = random.Random(5), 0
    for number in range(kill_count(2)):
        target = tmp_path / f"{number}"
        process = moving(many, target)
        in_the_middle(process, target, rng.randrange(1, 900))
        workers = workers_of(process)
        process.kill()
        process.communicate()
        killed += (target / MARKER).exists()
        until = time.monotonic() + 20
        while any(one.exists() for one in workers) and time.monotonic() < until:
            time.sleep(0.01)
        assert [one for one in workers if one.exists()] == []
        assert moving(many, target).communicate(timeout=60)[1] == b""
        assert tree(target) == tree(calm)
        assert leftovers(target) == []
    assert killed


class Asked(Processes):
    """Notes what every worker is asked to see."""

    def check(self, *stores):
        self.sights = [sights.of(store) for store in stores]


def test_every_worker_is_to_see_a_directory_that_is_this_very_one(origin, tmp_path):
    """Two empty directories on two machines look alike, but for what is put there for that."""
    with Asked(2) as engine:
        visprep.sync(origin, tmp_path / "target", include="empty", engine=engine)
    _, target = engine.sights
    (name,) = [name for name, _ in target.names if is_part(name.removeprefix(".visprep/"))]
    assert leftovers(tmp_path / "target") == []
    (missed,) = sights.missed([sights.Question([replace(target, names=((name, None),))])])
    assert missed == f"{tmp_path / 'target'} is another directory there: {name} is missing in it, or of another size"


def test_a_bandwidth_needs_to_know_how_many_share_it(s3_server, origin):
    with Processes() as any_number, pytest.raises(UsageError) as refused:
        visprep.sync(origin, "s3://engines/x", max_bandwidth="1M", s3=settings(s3_server), engine=any_number)
    assert "--jobs" in refused.value.hint


def test_a_bandwidth_is_shared(processes, cupboard, s3_server, tmp_path):
    """Each of two workers has half of it: what is one file takes it, alone, twice as long as all of it would."""
    fill(tmp_path, {"one.bin": bytes(1_000_000)})
    begun = time.monotonic()
    visprep.sync(tmp_path, "s3://engines/slow", max_bandwidth="2M", s3=settings(s3_server), engine=processes)
    assert time.monotonic() - begun > 0.8
