"""`verify` on engines: the same findings in the same order; one file that kills its worker; and after it was killed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

import coco_place
import visprep
from labeled_places import jpeg, voc, yolo
from visprep import configuration
from visprep.coco_check import CocoCheck
from visprep.digests_check import DIGESTS
from visprep.engines.local import Local
from visprep.engines.processes import Processes
from visprep.looking import Looking
from visprep.manifest import File
from visprep.progress import unheard
from visprep.rounds import Eye, Rounds
from visprep.rules import Depth
from visprep.selection import Scope
from visprep.stores.local import LocalStore
from visprep.testing.s3 import FaultyS3
from visprep.traffic import Traffic
from visprep.verify_memory import VerifyMemory

FORMATS = ("coco", "frames", "open-images", "tasks", "voc", "vton", "yolo")


@pytest.fixture(scope="module")
def processes():
    with Processes(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A place of each format, with a manifest where it is downloaded, in which some images are no more what they were.

    Every fifth lost its end, one has other bytes, and one has none.
    """
    root = tmp_path_factory.mktemp("places")
    for format in FORMATS:
        if format in ("voc", "yolo"):
            {"voc": voc, "yolo": yolo}[format](root / format)
        else:
            visprep.download("sample", config=format, output=root / format, limit=6 if format == "tasks" else None)
        images = sorted(path for ending in ("jpg", "png") for path in (root / format).rglob(f"*.{ending}"))
        for number, image in enumerate(images):
            data = image.read_bytes()
            if number % 5 == 0:
                image.write_bytes(data[:-60])
        images[1].write_bytes(data[:300] + bytes(len(data) - 300))
        images[2].write_bytes(b"")
    return root


@pytest.mark.parametrize("depth", ["headers", "content"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_findings_are_equal_on_all_engines(places, processes, format, depth):
    here, there = (visprep.verify(places / format, depth=depth, engine=one) for one in ("local", processes))
    assert here.format == format
    assert len(here.findings) > 2
    assert there == here


class Deadly(LocalStore):
    """A directory with a file that ends the process that reads it."""

    async def read(self, path, offset=0, length=None):
        if path == "val2017/000000000007.jpg":
            os._exit(9)
        return await super().read(path, offset, length)


def test_a_file_that_kills_its_worker_is_named_and_all_others_are_looked_at(tmp_path, processes):
    place = coco_place.make(tmp_path / "coco", train=6, val=1)
    image = place / "train2017/000000000002.jpg"
    image.write_bytes(image.read_bytes()[:-60])
    store = Deadly(place)
    listing = list(store.list())
    rounds = Rounds(Eye(store, Depth.DECODE, near=True), processes, None, unheard, Traffic())
    findings = list(CocoCheck(Looking(listing, rounds)).findings(Scope(None, ())))
    assert [(one.code, one.path) for one in findings] == [
        ("image-truncated", "train2017/000000000002.jpg"),
        ("image-unreadable", "val2017/000000000007.jpg"),
    ]
    assert findings[1].where == {"error": "worker-lost"}


DEADLY = """
import os, sys
def look(event, args):
    if event == "open" and str(args[0]).endswith("000000000007.jpg"):
        os.kill(os.getpid(), 9)
sys.addaudithook(look)
"""


def test_an_image_that_kills_its_decoder_ends_no_verify_of_this_machine(tmp_path):
    names = [f"{number:012}.jpg" for number in range(1, 1001)]
    images = [{"id": int(name[:-4]), "file_name": name, "width": 96, "height": 64} for name in names]
    place = tmp_path / "coco"
    for directory in ("annotations", "val2017"):
        (place / directory).mkdir(parents=True)
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "toy"}]}
    (place / "annotations" / "instances_val2017.json").write_text(json.dumps(document))
    (tmp_path / "one.jpg").write_bytes(jpeg(1, (96, 64)))
    for name in names:
        (place / "val2017" / name).hardlink_to(tmp_path / "one.jpg")
    (tmp_path / "sitecustomize.py").write_text(DEADLY)
    ended = subprocess.run(
        [sys.executable, "-m", "visprep", "verify", place, "--jobs", "2", "--json"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{Path(visprep.__file__).parents[1]}"},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (3, "")  # it could not be looked at
    (found,) = [one for one in json.loads(ended.stdout)["findings"] if one["level"] == "error"]
    assert (found["code"], found["path"]) == ("image-unreadable", "val2017/000000000007.jpg")
    assert found["where"] == {"error": "worker-lost"}


def test_progress_is_the_same_on_all_engines(places, processes):
    told = {"local": [], processes: []}
    for engine, heard in told.items():
        visprep.verify(places / "coco", depth="content", engine=engine, progress=heard.append)
    assert told["local"] == told[processes] != []


@pytest.fixture
def watched(s3_server, monkeypatch, bucket):
    with FaultyS3(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


def on_s3(bucket, count):
    """A dataset of COCO without a manifest on S3."""
    client, data = boto3.client("s3"), None
    images = [
        {"id": number, "file_name": f"{number:012}.jpg", "width": 96, "height": 64} for number in range(1, count + 1)
    ]
    document = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "toy"}]}
    client.put_object(Bucket=bucket, Key="coco/annotations/instances_val2017.json", Body=json.dumps(document).encode())
    for image in images:
        data = data or jpeg(1, (96, 64))
        body = data[:-60] if image["id"] % 10 == 0 else data
        client.put_object(Bucket=bucket, Key=f"coco/val2017/{image['file_name']}", Body=body)
    return f"s3://{bucket}/coco"


def test_what_workers_ask_of_servers_is_in_the_report(run, tmp_path, bucket, watched):
    place = on_s3(bucket, 12)
    vouched, url = coco_place.make(tmp_path / "coco"), f"s3://{bucket}/vouched"
    assert run("upload", vouched, url).code == 0
    with Processes(1) as engine:  # begun where S3 is the one of this test
        for depth in ("headers", "content"):
            here = visprep.verify(place, depth=depth)
            watched.requests.clear()
            there = visprep.verify(place, depth=depth, engine=engine)
            assert there.findings == here.findings
            assert there.traffic == here.traffic
            assert there.traffic.requests == len(watched.requests)
            assert there.traffic.bytes == sum(one.sent for one in watched.requests)
            assert there.traffic.listings == sum("list-type" in one.path for one in watched.requests)
        watched.requests.clear()
        report = visprep.verify(url, engine=engine)  # what a manifest vouches for
        assert (report.findings, report.spared) == ((), 9)
        assert not any("2017/0" in one.path for one in watched.requests)


def begin(place, folder):
    visprep.verify(place, depth="decode", jobs=4, memory=VerifyMemory(folder, after=0, every=0, least=0))


def images_asked_for(server):
    return [one.path.rpartition("/")[2] for one in server.requests if "/val2017/" in one.path]


def test_a_verify_that_was_killed_goes_on_where_it_was(tmp_path, bucket, watched):
    place, folder = on_s3(bucket, 120), tmp_path / "cache"
    whole = visprep.verify(place, depth="decode")
    watched.requests.clear()
    watched.fault("GET .*/val2017/.*[5-9]\\.jpg", times=None, delay=0.1)  # so that it is at work when it is killed
    process = multiprocessing.get_context("spawn").Process(target=begin, args=(place, folder))
    process.start()
    while len(images_asked_for(watched)) < 60 and process.is_alive():
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    watched.clear_faults()
    (ledger,) = folder.iterdir()
    with ledger.open("ab") as file:
        file.write(b'{"keys":["00')  # torn
    known = ledger.read_bytes().count(b'"findings"')
    boto3.client("s3").put_object(Bucket=bucket, Key="coco/val2017/000000000001.jpg", Body=b"<html>")
    watched.requests.clear()
    report = visprep.verify(place, depth="decode", memory=VerifyMemory(folder))
    asked = images_asked_for(watched)
    assert 0 < len(set(asked)) == len(asked) <= 120 - known + 1
    assert "000000000001.jpg" in asked
    assert [one for one in report.findings if one.path != "val2017/000000000001.jpg"] == list(whole.findings)
    assert "image-not-image" in {one.code for one in report.findings}
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_remembered_is_what_was_found(places, tmp_path, monkeypatch, format):
    """A verify that fails at its very end: all is known the next time, and nothing but the listing is left to do."""
    memory = VerifyMemory(tmp_path / "cache", after=0, least=0)
    whole = visprep.verify(places / format)

    class Failed(Exception):
        """What ends it."""

    def fail(progress):
        if progress.done == progress.total and progress.stage.startswith(("Looking at", "Verifying")):
            raise Failed

    with pytest.raises(Failed):
        visprep.verify(places / format, memory=memory, progress=fail)
    assert visprep.verify(places / format, memory=memory) == whole
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_could_not_be_read_is_asked_for_again(tmp_path):
    place = coco_place.make(tmp_path / "coco")
    (place / "val2017/000000000008.jpg").unlink()
    (place / "val2017/000000000008.jpg").symlink_to("nowhere.jpg")
    store = LocalStore(place)
    files = [file for file in store.list() if "2017/" in file.path]
    memory = VerifyMemory(tmp_path / "cache", after=0, least=0)
    seen = []

    class Counting(LocalStore):
        async def fetch(self, file, sink):
            seen.append(file.path)
            return await super().fetch(file, sink)

    def look():
        rounds = Rounds(Eye(Counting(place), Depth.CONTENT, near=True), Local(None), 1, unheard, Traffic())
        with memory.ledger("a question") as rounds.ledger:
            list(rounds.over("Reading", files, DIGESTS, "files", total=len(files)))
            raise KeyError

    for expected in (len(files), 1):
        with pytest.raises(KeyError):
            look()
        assert len(seen) == expected
        seen.clear()
    with memory.ledger("another question") as ledger:
        assert not ledger.known


def test_nothing_is_written_for_a_short_verify_and_old_notes_go(places, tmp_path):
    cache = tmp_path / "cache"
    visprep.verify(places / "coco", memory=VerifyMemory(cache))
    assert not cache.exists()
    cache.mkdir()
    for name, age in (("old", 8), ("new", 6)):
        (cache / f"{name}.jsonl").touch()
        os.utime(cache / f"{name}.jsonl", (time.time() - age * 86400,) * 2)
    visprep.verify(places / "coco", memory=VerifyMemory(cache, after=0, least=0))
    assert [path.name for path in cache.iterdir()] == ["new.jsonl"]


def test_notes_that_cannot_be_written_are_no_error(places, tmp_path):
    (tmp_path / "file").write_text("")
    report = visprep.verify(places / "coco", memory=VerifyMemory(Path(tmp_path / "file/cache"), after=0, least=0))
    assert report == visprep.verify(places / "coco")


def test_the_command_line_notes_what_it_finds_below_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert configuration.verify_memory() == VerifyMemory(tmp_path / "elsewhere/visprep/verify")
    for given in ("", "relative"):  # which the specification says to ignore
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert configuration.verify_memory() == VerifyMemory(tmp_path / ".cache/visprep/verify")


def test_engines_of_the_command_line(run, places):
    here = run("verify", places / "vton", "--engine", "local", "--json")
    assert json.loads(here.out)["counts"]["error"] > 2
    assert run("verify", places / "vton", "--engine", "cloud").code == 2
    file = places / "coco/annotations/instances_val2017.json"
    assert run("verify", file, "--engine", "ray").code == 2  # one process looks at one file


def test_names_that_are_no_text_are_looked_at_and_not_remembered(tmp_path):
    memory = VerifyMemory(tmp_path / "cache", after=0, least=0)
    with memory.ledger() as ledger:
        pages = ledger.pages("Reading", print, DIGESTS.gives)
        pages.note(File("\udcff.jpg", 1), ("sha256:00", []))
        assert pages.find(File("\udcff.jpg", 1)) is None
