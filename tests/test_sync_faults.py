"""The fault matrix: whatever S3, the network or the disk does, a command ends well or says what it left, and the next
one ends in the bytes of an undisturbed run."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest

import visprep
from conftest import tree
from killing import kill_count, leftovers, random_kills
from visprep.digests import digest_of
from visprep.errors import CredentialsError, VisprepError
from visprep.manifest import DATASET, MANIFEST, Manifest
from visprep.own_record import JOURNAL, MARKER, read_journal
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.testing import FaultyS3
from visprep.testing.faults import Fault

#: Whether there is a `visprep.sync` to be tried too.
SYNC = True
UP = ("upload", "sync-up") if SYNC else ("upload",)
DOWN = ("download", "sync-down") if SYNC else ("download",)
BOTH = (*UP, *DOWN)

PART = 5 * 1024 * 1024
VICTIM, BIG = "b/two.png", "m/big.bin"
FILES = {
    "a/one.txt": b"one\n" * 60,
    VICTIM: random.Random(1).randbytes(5000),
    "b/\u00fc +3.txt": "\u00fc\n".encode() * 9,
    "empty": b"",
    BIG: random.Random(2).randbytes(PART + 7),
    "z/last.bin": random.Random(3).randbytes(100_000),
}
VICTIM_KEY, BIG_KEY, RECORD = "/b/two", "/m/big", ".visprep/|dataset.json"
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture(scope="module")
def cupboard(s3_server):
    """A client of the server itself, past all faults, with a bucket of this module's own."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="fault-matrix")
    return client


def objects(client, prefix):
    """Every object under a prefix, with what S3 keeps beside its bytes."""
    found = {}
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="fault-matrix", Prefix=f"{prefix}/"):
        for one in page.get("Contents", []):
            got = client.get_object(Bucket="fault-matrix", Key=one["Key"])
            path = one["Key"].removeprefix(f"{prefix}/")
            found[path] = (got["Body"].read(), got["ContentType"], got["Metadata"])
    return found


def unfinished_uploads(client, prefix):
    listed = client.list_multipart_uploads(Bucket="fault-matrix", Prefix=f"{prefix}/")
    return [one["Key"] for one in listed.get("Uploads", [])]


def fill(root, files=FILES):
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


@dataclass
class Cell:
    """One command between a directory and a prefix, through a proxy that makes trouble."""

    verb: str
    here: object
    prefix: str
    proxy: FaultyS3
    client: object
    target: object = field(init=False)

    def __post_init__(self):
        self.target = self.prefix if self.verb in UP else self.here

    @property
    def url(self):
        return f"s3://fault-matrix/{self.prefix}"

    def call(self):
        """Run the command."""
        s3 = S3Settings(endpoint_url=self.proxy.url, part_size=PART)
        if self.verb == "upload":
            visprep.upload(self.here, self.url, s3=s3)
        elif self.verb == "download":
            visprep.download(self.url, self.here, s3=s3)
        elif self.verb == "sync-up":
            visprep.sync(str(self.here), self.url, s3=s3)
        else:
            visprep.sync(self.url, str(self.here), s3=s3)

    def go(self):
        """Run the command: None when it ended well, else its error, without the frames that keep what it held."""
        try:
            self.call()
        except VisprepError as error:
            return error.with_traceback(None)
        except Exception as error:
            words = f"no error of ours: {error!r}"
            error.with_traceback(None)
        else:
            return None
        pytest.fail(words)

    def state(self):
        """All that is at the target, but for the journal and what an unfinished command keeps there."""
        if self.verb in UP:
            found = objects(self.client, self.prefix)
            found.pop(MARKER, None)
            return found
        return {path: (data,) for path, data in tree(self.here).items()} if self.here.exists() else {}

    def debris(self):
        """What a finished command must not leave."""
        left = unfinished_uploads(self.client, self.prefix) if self.verb in UP else leftovers(self.here)
        marker = self.verb in UP and MARKER in objects(self.client, self.prefix)
        return [*left, *([MARKER] if marker else []), *([JOURNAL] if (self.here / JOURNAL).exists() else [])]

    def journal(self):
        return {one["path"]: one["reason"] for one in read_journal(LocalStore(self.here))}

    def check_nothing_half(self, files=FILES):
        for path, (data, *_) in self.state().items():
            if path in files:
                assert data == files[path], path

    def check_clean(self, clean):
        assert self.state() == clean
        assert self.debris() == []


@pytest.fixture(scope="module")
def origins(cupboard, s3_server, tmp_path_factory):
    """A directory as it came to be, and what was uploaded of it, for commands to take from."""
    place = fill(tmp_path_factory.mktemp("origin") / "place")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        visprep.upload(place, "s3://fault-matrix/origin", s3=S3Settings(endpoint_url=s3_server, part_size=PART))
    return place


@pytest.fixture
def cell(cupboard, s3_server, origins, monkeypatch, tmp_path):
    """Makes cells: `cell("upload")`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with FaultyS3(s3_server) as proxy:

        def make(verb, files=None):
            if verb in DOWN:
                return Cell(verb, tmp_path / f"{next(_numbers)}" / "here", "origin", proxy, cupboard)
            place = tmp_path / f"{next(_numbers)}" / "place"
            shutil.copytree(origins, place) if files is None else fill(place, files)
            return Cell(verb, place, f"target{next(_numbers)}-{os.getpid()}", proxy, cupboard)

        yield make


@pytest.fixture(scope="module")
def clean(cupboard, s3_server, origins, tmp_path_factory):
    """What an undisturbed run of a verb leaves, and how many requests it takes."""
    known = {}

    def of(make, verb):
        if verb not in known:
            calm = make(verb)
            assert calm.go() is None
            assert calm.debris() == []
            assert {path: calm.state()[path][0] for path in FILES} == FILES
            known[verb] = calm.state(), len(calm.proxy.requests)
            calm.proxy.requests.clear()
        return known[verb]

    return of


def aimed(verb, key=VICTIM_KEY):
    """The requests that move the bytes of a key."""
    return {"method": "PUT" if verb in UP else "GET", "key": key}


# -- silence: half a minute until it counts, so that all are begun first and looked at last

SILENT = """
import sys, visprep
verb, here, url, endpoint, part = sys.argv[1:]
s3 = visprep.S3Settings(endpoint_url=endpoint, part_size=int(part))
ends = (here, url) if verb in ("upload", "sync-up") else (url, here)
getattr(visprep, verb.partition("-")[0])(*ends, s3=s3)
"""


@pytest.fixture(scope="module", autouse=True)
def silent(cupboard, s3_server, origins, tmp_path_factory):
    """Commands whose servers fall silent, under way, each in a process of its own."""
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_MAX_ATTEMPTS": "3"}
    told = {**keys, "SOURCE_DATE_EPOCH": "1700000000", "HOME": str(tmp_path_factory.mktemp("home"))}
    # As `clean_environment` leaves it, which comes later
    here = {
        name: one for name, one in os.environ.items() if not name.startswith("AWS_") and "proxy" not in name.lower()
    }
    begun = []
    with contextlib.ExitStack() as stack:
        for verb, fault in [*((verb, "stall") for verb in BOTH), *((verb, "stall-body") for verb in DOWN)]:
            proxy = stack.enter_context(FaultyS3(s3_server))
            proxy.fail(fault, **aimed(verb))
            place = tmp_path_factory.mktemp("silent") / "place"
            if verb in UP:
                shutil.copytree(origins, place)
            prefix = "origin" if verb in DOWN else f"silent{next(_numbers)}-{os.getpid()}"
            one = Cell(verb, place, prefix, proxy, cupboard)
            words = [verb, place, one.url, proxy.url, PART]
            process = subprocess.Popen(
                [sys.executable, "-c", SILENT, *map(str, words)], env=here | told, stderr=subprocess.PIPE
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            begun.append((one, process))
        yield begun


# -- faults that pass

#: name: verbs, the fault, which requests, how often
PASSING = {
    "slow down": (BOTH, "slow-down", aimed, 1),
    "slow down, everyone": (BOTH, "slow-down", lambda verb: {}, 2),
    "slow down at the listing": (BOTH, "slow-down", lambda verb: {"method": "GET", "key": "^$"}, 1),
    "slow down at the records": (BOTH, "slow-down", lambda verb: {"key": RECORD}, 2),
    "internal error": (BOTH, "internal-error", aimed, 1),
    "internal error at the listing": (BOTH, "internal-error", lambda verb: {"method": "GET", "key": "^$"}, 1),
    "reset": (BOTH, "reset", aimed, 1),
    "reset, everyone": (BOTH, "reset", lambda verb: {}, 2),
    "reset in the answer's headers": (BOTH, "reset-headers", aimed, 1),
    "reset in the answer's headers, records": (BOTH, "reset-headers", lambda verb: {"key": RECORD}, 2),
    "reset in the listing": (BOTH, "reset-body", lambda verb: {"method": "GET", "key": "^$"}, 1),
    "short listing": (BOTH, "short-body", lambda verb: {"method": "GET", "key": "^$"}, 1),
    "reset in the request": (UP, "reset-upload", aimed, 1),
    "reset in a part": (UP, "reset-upload", lambda verb: {"key": BIG_KEY, "query": "partNumber=1"}, 1),
    "reset after a part": (UP, "reset-headers", lambda verb: {"key": BIG_KEY, "query": "partNumber=2"}, 1),
    "slow down at the begin of parts": (UP, "slow-down", lambda verb: {"method": "POST", "query": "^uploads"}, 1),
    "reset after the begin of parts": (UP, "reset-headers", lambda verb: {"method": "POST", "query": "^uploads"}, 1),
    "200 with an error": (UP, "error-in-200", lambda verb: {"method": "POST", "query": "uploadId"}, 1),
    "complete, answer lost": (UP, "reset-headers", lambda verb: {"method": "POST", "query": "uploadId"}, 1),
    "reset in the body": (DOWN, "reset-body", aimed, 1),
    "short body": (DOWN, "short-body", aimed, 1),
    "reset in a large body": (DOWN, "reset-body", lambda verb: aimed(verb, BIG_KEY), 2),
    "short large body": (DOWN, "short-body", lambda verb: aimed(verb, BIG_KEY), 2),
}


def pairs(table):
    return [pytest.param(name, verb, id=f"{verb}: {name}") for name, (verbs, *_) in table.items() for verb in verbs]


@pytest.mark.parametrize(("name", "verb"), pairs(PASSING))
def test_a_fault_that_passes_leaves_no_trace(cell, clean, name, verb):
    _, fault, where, times = PASSING[name]
    calm, _ = clean(cell, verb)
    stormy = cell(verb)
    stormy.proxy.fail(fault, **where(verb), times=times)
    assert stormy.go() is None
    assert stormy.proxy.spent, "the fault met no request"
    stormy.check_clean(calm)


@pytest.mark.parametrize("verb", UP)
def test_an_upload_that_is_complete_already_counts_as_done(cell, clean, verb):
    calm, _ = clean(cell, verb)
    stormy = cell(verb)
    for fault in ("reset-headers", Fault(status=404, code="NoSuchUpload")):
        stormy.proxy.fail(fault, method="POST", query="uploadId")
    assert stormy.go() is None
    assert stormy.proxy.spent
    stormy.check_clean(calm)


# -- faults that stay with one file

#: name: verbs, the fault, which file, the reason in the journal
STAYING = {
    "slow down": (BOTH, "slow-down", VICTIM, "rate-limited"),
    "internal error": (BOTH, "internal-error", VICTIM, "server-failed"),
    "reset": (BOTH, "reset", VICTIM, "server-failed"),
    "reset in the answer's headers": (BOTH, "reset-headers", VICTIM, "server-failed"),
    "not allowed": (BOTH, "access-denied", VICTIM, "access-denied"),
    "reset in the request": (UP, "reset-upload", VICTIM, "server-failed"),
    "reset in the parts": (UP, "reset-upload", BIG, "server-failed"),
    "parts not allowed": (UP, "access-denied", BIG, "access-denied"),
    "200 with an error": (UP, "error-in-200", BIG, "server-failed"),
    "short body": (DOWN, "short-body", VICTIM, "server-failed"),
    "reset in the body": (DOWN, "reset-body", VICTIM, "server-failed"),
    "wrong bytes": (DOWN, "wrong-bytes", VICTIM, "wrong-content"),
    "wrong bytes in a large body": (DOWN, "wrong-bytes", BIG, "wrong-content"),
    "gone since it was listed": (DOWN, "no-such-key", VICTIM, "file-missing"),
}


@pytest.mark.parametrize(("name", "verb"), pairs(STAYING))
def test_a_fault_that_stays_with_one_file_fails_it_alone(cell, clean, monkeypatch, name, verb):
    _, fault, path, reason = STAYING[name]
    calm, _ = clean(cell, verb)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    where = aimed(verb, f"/{path}$")
    if fault == "error-in-200":
        where |= {"method": "POST", "query": "uploadId"}
    stormy = cell(verb)
    stormy.proxy.fail(fault, **where, times=None)
    ended = stormy.go()
    assert (ended.exit_code, ended.slug) == (3, "incomplete")
    assert stormy.journal() == {path: reason}
    stormy.check_nothing_half()
    assert {one for one in FILES if one in stormy.state()} >= {*FILES} - {path}
    assert MANIFEST not in stormy.state()
    stormy.proxy.clear_faults()
    assert stormy.go() is None
    stormy.check_clean(calm)


def test_wrong_bytes_once_never_stay(cell, clean):
    for verb in DOWN:
        calm, _ = clean(cell, verb)
        stormy = cell(verb)
        stormy.proxy.fail("wrong-bytes", **aimed(verb))
        if ended := stormy.go():
            assert (ended.exit_code, stormy.journal()) == (3, {VICTIM: "wrong-content"})
            stormy.check_nothing_half()
            assert stormy.go() is None
        stormy.check_clean(calm)


@pytest.mark.parametrize("path", [MANIFEST, DATASET])
def test_wrong_bytes_in_the_records_of_the_origin(cell, clean, path):
    for verb in DOWN:
        calm, _ = clean(cell, verb)
        stormy = cell(verb)
        stormy.proxy.fail("wrong-bytes", method="GET", key=f"{path}$")
        ended = stormy.go()
        assert ended is not None
        assert ended.exit_code == 3
        stormy.check_nothing_half()
        assert stormy.go() is None
        stormy.check_clean(calm)


class Misread(Fault):
    """Wrong bytes of the same length that are sound JSON."""

    def shape(self, pieces):
        yield b"".join(pieces).replace(b"upload", b"uplaod").replace(b'"digest": "sha256:', b'"digest": "sha257:')


@pytest.mark.parametrize("verb", DOWN)
@pytest.mark.parametrize(
    "path",
    [
        MANIFEST,
        DATASET,
    ],
)
def test_records_that_arrive_wrong_and_look_sound(cell, clean, verb, path):
    calm, _ = clean(cell, verb)
    stormy = cell(verb)
    stormy.proxy.fail(Misread(), method="GET", key=f"{path}$")
    if ended := stormy.go():
        assert ended.exit_code == 3
        stormy.check_nothing_half()
        assert stormy.go() is None
    stormy.check_clean(calm)


@pytest.mark.parametrize("verb", DOWN)
def test_wrong_bytes_of_a_place_without_a_manifest_are_caught_by_the_md5_in_the_listing(cell, cupboard, verb):
    stormy = cell(verb)
    stormy.prefix = f"raw{next(_numbers)}-{os.getpid()}"
    for path, data in FILES.items():
        cupboard.put_object(Bucket="fault-matrix", Key=f"{stormy.prefix}/{path}", Body=data)
    stormy.proxy.fail("wrong-bytes", **aimed(verb), times=None)
    ended = stormy.go()
    assert (ended.exit_code, stormy.journal()) == (3, {VICTIM: "wrong-content"})
    assert VICTIM not in stormy.state()
    stormy.proxy.clear_faults()
    assert stormy.go() is None
    assert {path: data for path, (data,) in stormy.state().items() if path in FILES} == FILES
    assert stormy.debris() == []


# -- faults that stay with everything, from the middle of the command on

FATAL = {
    "session expired": (BOTH, "expired-token", "credentials"),
    "clock skewed": (BOTH, "skewed-clock", "credentials"),
    "bucket deleted": (BOTH, "no-such-bucket", "place-missing"),
    "nothing allowed": (BOTH, "access-denied", "access-denied"),
    "slow down": (BOTH, "slow-down", "rate-limited"),
    "reset": (BOTH, "reset", "server-failed"),
}


@pytest.mark.parametrize("share", [0.4, 0.8])
@pytest.mark.parametrize(("name", "verb"), pairs(FATAL))
def test_a_fault_that_stays_with_everything_ends_the_command_with_its_reason(
    cell, clean, monkeypatch, name, verb, share
):
    _, fault, reason = FATAL[name]
    calm, requests = clean(cell, verb)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    stormy = cell(verb)
    stormy.proxy.fail(fault, after=int(requests * share), times=None)
    ended = stormy.go()
    assert ended is not None
    assert ended.exit_code == 3
    assert reason in {ended.slug, *stormy.journal().values()}
    stormy.check_nothing_half()
    stormy.proxy.clear_faults()
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    assert stormy.go() is None
    stormy.check_clean(calm)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells which files are open")
@pytest.mark.parametrize("verb", DOWN)
def test_a_command_that_is_given_up_holds_no_file_open(cell, clean, verb):
    stormy = cell(verb)
    stormy.proxy.fail("expired-token", method="GET", key="/z/last", times=None)
    for path in (VICTIM_KEY, BIG_KEY, "/a/one"):
        stormy.proxy.fail("slow-down", method="GET", key=path, times=None)
    still_open = None
    try:
        stormy.call()
    except CredentialsError as error:
        descriptors = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        named = [os.path.realpath(link) for link in descriptors]
        still_open = [name for name in named if name.startswith(str(stormy.here))]
        error.with_traceback(None)
    assert still_open == []


# -- files that change under the reader


@contextlib.contextmanager
def meanwhile(proxy, method, key, deed, number=1):
    """Do `deed` while the nth such request waits for its answer."""
    proxy.fail(Fault(delay=0.4), method=method, key=key, after=number - 1)

    def watch():
        deadline = time.monotonic() + 20
        while not proxy.spent and time.monotonic() < deadline:
            time.sleep(0.001)
        deed()

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert proxy.spent, "the moment never came"


def replace(path, data):
    path.with_name("new").write_bytes(data)
    path.with_name("new").replace(path)


CHANGES = {
    "rewritten": lambda path: path.write_bytes(FILES[VICTIM][::-1]),
    "longer": lambda path: path.write_bytes(FILES[VICTIM] * 2),
    "shorter": lambda path: path.write_bytes(FILES[VICTIM][:10]),
    "another by rename": lambda path: replace(path, FILES[VICTIM][::-1]),
    "removed": lambda path: path.unlink(),
}


def check_true(stormy):
    """What S3 holds is what the disk holds, and the manifest says just that."""
    assert stormy.debris() == []
    held = {path: data for path, (data, *_) in stormy.state().items()}
    on_disk = tree(stormy.here)
    assert {path: data for path, data in held.items() if path not in (MANIFEST, DATASET)} == on_disk
    if MANIFEST in held:  # sync makes no record where there is none
        listed = {file.path: file.digest for file in Manifest.load(held[MANIFEST]).files}
        assert listed == {path: digest_of(data) for path, data in on_disk.items()}


@pytest.mark.parametrize("verb", UP)
@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_after_it_was_looked_at(cell, verb, change):
    stormy = cell(verb)
    with meanwhile(stormy.proxy, "GET", "^$", lambda: CHANGES[change](stormy.here / VICTIM)):
        ended = stormy.go()
    if ended is None:  # it was looked at only now
        check_true(stormy)
        return
    assert (ended.exit_code, ended.slug) == (3, "incomplete")
    assert list(stormy.journal()) == [VICTIM]
    assert stormy.journal()[VICTIM] in ("changed-meanwhile", "file-missing")
    held = stormy.state()
    assert VICTIM not in held
    assert held.keys() >= {*FILES} - {VICTIM}
    assert stormy.go() is None
    check_true(stormy)


@pytest.mark.parametrize("verb", UP)
def test_files_that_grow_and_are_rewritten_all_the_time(cell, verb):
    stormy = cell(verb, files=FILES | {"log.txt": b"", "m/rewritten.bin": bytes(PART + 9)})
    stop = threading.Event()

    def write():
        log, rewritten = stormy.here / "log.txt", stormy.here / "m/rewritten.bin"
        for number in itertools.count():
            if stop.is_set():
                return
            with log.open("ab") as file:
                file.write(b"%08d\n" % number)
            rewritten.write_bytes(bytes([number % 251]) * (PART + 9))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        ended = [stormy.go() for _ in range(3)]
    finally:
        stop.set()
        writer.join()
    for one in ended:
        assert one is None or one.exit_code == 3
    held = {path: data for path, (data, *_) in stormy.state().items()}
    assert {path: held[path] for path in FILES} == FILES
    log = held.get("log.txt", b"")
    assert (stormy.here / "log.txt").read_bytes().startswith(log)
    assert len(set(held.get("m/rewritten.bin", b""))) <= 1  # of one version
    assert stormy.go() is None
    check_true(stormy)


@pytest.mark.parametrize("verb", DOWN)
@pytest.mark.parametrize("change", ["rewritten", "removed"])
@pytest.mark.parametrize("recorded", [True, False], ids=["manifest", "no manifest"])
def test_an_object_that_changes_in_the_middle_of_its_body(cell, cupboard, verb, change, recorded):
    stormy = cell(verb)
    stormy.prefix = f"moving{next(_numbers)}-{os.getpid()}"
    for path, (data, *_) in objects(cupboard, "origin").items():
        if recorded or path in FILES:
            cupboard.put_object(Bucket="fault-matrix", Key=f"{stormy.prefix}/{path}", Body=data)
    victim = {"Bucket": "fault-matrix", "Key": f"{stormy.prefix}/{VICTIM}"}

    def deed():
        if change == "removed":
            cupboard.delete_object(**victim)
        else:
            cupboard.put_object(**victim, Body=FILES[VICTIM][::-1])

    stormy.proxy.fail("reset-body", **aimed(verb))
    with meanwhile(stormy.proxy, "GET", VICTIM_KEY, deed):
        ended = stormy.go()
    known = {path: data for path, (data,) in stormy.state().items() if path in FILES}
    if ended is None:  # without a manifest, the new one may be taken whole
        assert not recorded
        assert known == FILES | {VICTIM: FILES[VICTIM][::-1]}
        return
    assert (ended.exit_code, list(stormy.journal())) == (3, [VICTIM])
    assert stormy.journal()[VICTIM] in ("wrong-content", "changed-meanwhile", "file-missing")
    assert known == {path: data for path, data in FILES.items() if path != VICTIM}
    cupboard.put_object(**victim, Body=FILES[VICTIM])
    assert stormy.go() is None
    assert {path: data for path, (data,) in stormy.state().items() if path in FILES} == FILES
    assert stormy.debris() == []


# -- a full disk


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if not sys.platform.startswith("linux") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: that takes Linux, and root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("verb", DOWN)
def test_a_full_disk(cell, clean, small_disk, verb):
    calm, _ = clean(cell, verb)
    stormy = cell(verb)
    stormy.here = small_disk / "here"
    ended = stormy.go()
    assert ended is not None
    assert ended.exit_code == 3
    assert "disk-full" in {ended.slug, *stormy.journal().values()}
    stormy.check_nothing_half()
    assert BIG not in stormy.state()
    assert stormy.go() is not None
    subprocess.run(["mount", "-o", "remount,size=30m", str(small_disk)], check=True)
    assert stormy.go() is None
    stormy.check_clean(calm)


# -- through the command line


COMMANDS = {
    "upload": lambda here, url: ("upload", here, url),
    "download": lambda here, url: ("download", url, "--output", here),
    "sync-up": lambda here, url: ("sync", here, url),
    "sync-down": lambda here, url: ("sync", url, here),
}


@pytest.mark.parametrize("verb", BOTH)
def test_the_command_line_says_what_failed_and_shows_no_secret(run, cell, clean, monkeypatch, verb):
    calm, _ = clean(cell, verb)
    stormy = cell(verb)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", stormy.proxy.url)
    command = (*COMMANDS[verb](stormy.here, stormy.url), "-vv")
    stormy.proxy.fail("access-denied", **aimed(verb), times=None)
    refused = run(*command)
    assert (refused.code, "[incomplete]" in refused.err, VICTIM in refused.err) == (3, True, True)
    permission = "s3:PutObject" if verb in UP else "s3:GetObject"
    assert f"{permission} on arn:aws:s3:::fault-matrix/{stormy.prefix}/{VICTIM}" in refused.err
    stormy.proxy.clear_faults()
    finished = run(*command)
    assert finished.code == 0
    assert without_etags(stormy.state()) == without_etags(calm)
    assert "verysecret" not in refused.err + refused.out + finished.err + finished.out


def without_etags(state):
    """The bytes of a state; the ETags in a manifest tell in how many parts an object was sent."""
    held = {path: one[0] for path, one in state.items()}
    return held | {MANIFEST: Manifest.load(held[MANIFEST])} if MANIFEST in held else held


@pytest.mark.parametrize("verb", BOTH)
def test_killed_at_random_moments(cell, s3_server, monkeypatch, tmp_path, verb):
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    files = {f"{number}.bin": random.Random(number).randbytes(20_000) for number in range(60)}
    files[BIG] = random.Random(4).randbytes(16 * 1024 * 1024 + 7)  # above the part size of the command line
    first = cell("upload", files)
    first.proxy.clear_faults()
    assert first.go() is None
    cells = []

    def of(number):
        while len(cells) <= number:
            fresh = cell(verb, files) if verb in UP else cell(verb)
            if verb in DOWN:
                fresh.prefix = first.prefix
            cells.append(fresh)
        return cells[number]

    def at_work(number):
        one = of(number)
        if verb in DOWN:
            return (one.here / MARKER).exists()
        return any(
            True for _ in one.client.list_objects_v2(Bucket="fault-matrix", Prefix=f"{one.prefix}/").get("Contents", [])
        )

    def check(number):
        assert of(number).debris() == []
        held = {path: one[0] for path, one in of(number).state().items()}
        assert {path: held[path] for path in files} == files
        if MANIFEST in held:
            assert {file.path for file in Manifest.load(held[MANIFEST]).files} == {*files}

    random_kills(
        lambda number: COMMANDS[verb](of(number).here, of(number).url),
        at_work, check, seed=5, tries=kill_count(2), longest=0.5,
    )  # fmt: skip


# -- silence, which was begun first


def test_silence_is_noticed(silent, clean, cell):
    for stormy, process in silent:
        calm, _ = clean(cell, stormy.verb)
        _, words = process.communicate(timeout=100)
        assert process.returncode == 0, words
        assert stormy.proxy.spent
        stormy.check_clean(calm)
