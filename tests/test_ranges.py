"""Large files received in ranges: the same bytes as in one stream, whatever breaks in between."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import ChangedMeanwhile, DiskFull, Stalled, WrongContent
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores.http import HttpStore
from visprep.stores.hub import HubStore
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.ranges import LARGE
from visprep.stores.s3 import S3Store
from visprep.testing import LocalHub, Mirror
from visprep.wire import Patience, Sink, until

MIB = 1024 * 1024
DATA = random.Random(4).randbytes(LARGE + 3 * MIB + 77)
FILE = File("big.bin", len(DATA), digest_of(DATA))
QUICK = Patience(stall=5, base=0.001, longest=0.01)


@pytest.fixture
def mirrored(tmp_path: Path) -> Iterator[Callable[..., Mirror]]:
    """`mirrored(**options)`: a mirror that has `DATA` as big.bin."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "big.bin").write_bytes(DATA)
    running: list[Mirror] = []

    def start(**options: Any) -> Mirror:
        running.append(Mirror(tmp_path / "served", **options).start())
        return running[-1]

    yield start
    for mirror in running:
        mirror.stop()


def received(target: Path, file: File, origin: Any, patience: Patience = QUICK) -> File:
    return wire.wait(LocalStore(target).receive(file, origin), patience)


def whole(target: Path) -> bool:
    """Whether the file is there, and nothing else."""
    return os.listdir(target) == ["big.bin"] and (target / "big.bin").read_bytes() == DATA


def etag(mirror: Mirror) -> str | None:
    return wire.wait(HttpStore(mirror.url).stat("big.bin"), QUICK).etag


def gets(mirror: Mirror) -> list[str | None]:
    """The ranges that were asked for."""
    return [request.range for request in mirror.requests if request.method == "GET"]


EVERYTHING = [f"bytes={start}-{min(start + 8 * MIB, len(DATA)) - 1}" for start in range(0, len(DATA), 8 * MIB)]


# -- every kind of origin


def test_from_a_mirror(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored()
    moved: list[int] = []
    job = LocalStore(tmp_path / "out").receive(FILE, HttpStore(mirror.url))
    ((_, outcome),) = wire.run([(None, job)], on_bytes=moved.append)
    assert outcome == FILE
    assert whole(tmp_path / "out")
    assert sorted(map(str, gets(mirror))) == sorted(EVERYTHING)
    assert sum(moved) == len(DATA)


def test_from_the_hub(tmp_path: Path) -> None:
    with LocalHub() as hub:
        hub.add("org/name").commit({"big.bin": DATA})
        store = HubStore("org/name", endpoint=hub.url)
        (file,) = [file for file in store.list() if file.path == "big.bin"]
        assert received(tmp_path / "out", file, store).digest == FILE.digest
        asked = {request.range for request in hub.requests if request.range}
    assert whole(tmp_path / "out")
    assert asked == set(EVERYTHING)


def test_from_s3(tmp_path: Path) -> None:
    server = pytest.importorskip("moto.server", reason="moto's server is in the demo extra")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        settings = S3Settings(endpoint_url=f"http://{host}:{port}", access_key="AK", secret_key="SK")
        import boto3

        boto3.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id="AK",
            aws_secret_access_key="SK",
        ).create_bucket(Bucket="ranges")
        store = S3Store("s3://ranges/data", settings)
        (tmp_path / "origin").mkdir()
        (tmp_path / "origin" / "big.bin").write_bytes(DATA)
        sent = wire.wait(store.receive(FILE, LocalStore(tmp_path / "origin")))
        (listed,) = store.list()
        assert listed.etag == sent.etag
        assert received(tmp_path / "out", listed, store).digest == FILE.digest
        assert whole(tmp_path / "out")
        with pytest.raises(ChangedMeanwhile):
            wire.wait(LocalStore(tmp_path / "more").receive(File("big.bin", len(DATA), etag='"other"'), store))
        with pytest.raises(WrongContent):
            wire.wait(LocalStore(tmp_path / "more").receive(File("big.bin", len(DATA) + 9, FILE.digest), store))
    finally:
        running.stop()


@pytest.mark.parametrize("algorithm", ["md5", "git-sha1"])
def test_other_digests_are_compared(mirrored: Callable[..., Mirror], tmp_path: Path, algorithm: str) -> None:
    store = HttpStore(mirrored().url)
    assert received(tmp_path / "out", File("big.bin", len(DATA), digest_of(DATA, algorithm)), store) == FILE
    with pytest.raises(WrongContent, match=algorithm):
        received(tmp_path / "not", File("big.bin", len(DATA), digest_of(b"", algorithm)), store)
    assert os.listdir(tmp_path / "not") == []


# -- servers of all kinds


def test_a_server_that_ignores_ranges_sends_one_stream(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored(ranges=False)
    assert received(tmp_path / "out", FILE, HttpStore(mirror.url)) == FILE
    assert whole(tmp_path / "out")
    assert gets(mirror)[-1] is None


def test_without_digest_and_etag_nothing_vouches_for_ranges(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored(etags=False)
    assert received(tmp_path / "out", File("big.bin", len(DATA)), HttpStore(mirror.url)) == FILE
    assert gets(mirror) == [None]


def test_the_etag_is_asked_for_where_nothing_else_is_known(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored()
    assert received(tmp_path / "out", File("big.bin", len(DATA)), HttpStore(mirror.url)) == FILE
    assert {request.headers.get("if-range") for request in mirror.requests if request.method == "GET"} == {etag(mirror)}
    assert len(gets(mirror)) == len(EVERYTHING)


def test_another_version_is_never_mixed_in(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored()
    file = File("big.bin", len(DATA), etag=etag(mirror))
    (tmp_path / "served" / "big.bin").write_bytes(DATA[::-1])
    with pytest.raises(ChangedMeanwhile, match=r"big\.bin"):
        received(tmp_path / "out", file, HttpStore(mirror.url))
    assert not (tmp_path / "out" / "big.bin").exists()


def test_connections_that_break_go_on(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored()
    mirror.fault("GET", None, cut=3 * MIB)
    assert received(tmp_path / "out", FILE, HttpStore(mirror.url)) == FILE
    assert whole(tmp_path / "out")
    assert sum(request.sent for request in mirror.requests) == len(DATA)


def test_a_wrong_byte_is_noticed(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored()
    mirror.fault("GET", 1, flip=5)
    with pytest.raises(WrongContent, match="sha256"):
        received(tmp_path / "out", FILE, HttpStore(mirror.url))
    assert os.listdir(tmp_path / "out") == []


def test_a_page_is_no_data(mirrored: Callable[..., Mirror], tmp_path: Path) -> None:
    mirror = mirrored(page=b"<!DOCTYPE html><html>Please log in</html>")
    with pytest.raises(WrongContent, match="web page"):
        received(tmp_path / "out", FILE, HttpStore(mirror.url))
    assert os.listdir(tmp_path / "out") == []


# -- broken off


class Sliced(MemoryStore):
    """An origin that sends ranges one piece at a time, and fails at byte `breaks` of the file."""

    def __init__(self, breaks: int | None = None) -> None:
        super().__init__(files={"big.bin": DATA})
        self.breaks, self.sent = breaks, 0

    async def fetch_range(self, file: File, offset: int, length: int, sink: Sink) -> None:
        while sink.position < length:
            start = offset + sink.position
            if self.breaks is not None and start <= self.breaks < start + MIB:
                raise Stalled("the origin is gone")
            piece = DATA[start : min(start + MIB, offset + length)]
            self.sent += len(piece)
            sink.write(piece)
            again = iter((False, True))
            await until(lambda again=again: next(again, True))  # type: ignore[misc]  # the others' turn


@pytest.mark.parametrize("breaks", [0, MIB, 8 * MIB, 20 * MIB, len(DATA) - 1])
@pytest.mark.parametrize("file", [FILE, File("big.bin", len(DATA), etag='"e"')], ids=["digest", "etag"])
def test_what_came_is_kept(tmp_path: Path, breaks: int, file: File) -> None:
    store, broken, good = LocalStore(tmp_path), Sliced(breaks), Sliced()
    with pytest.raises(Stalled):
        wire.wait(store.receive(file, broken))
    assert list(store.list()) == []
    assert wire.wait(LocalStore(tmp_path).receive(file, good)).digest == FILE.digest
    assert whole(tmp_path)
    assert broken.sent + good.sent == len(DATA)
    assert broken.sent or breaks == 0


def test_what_came_is_swept_when_nobody_wants_it(tmp_path: Path) -> None:
    with pytest.raises(Stalled):
        wire.wait(LocalStore(tmp_path).receive(FILE, Sliced(20 * MIB)))
    assert len(os.listdir(tmp_path)) == 1
    LocalStore(tmp_path).sweep()
    assert os.listdir(tmp_path) == []


def test_a_damaged_part_is_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(Stalled):
        wire.wait(LocalStore(tmp_path).receive(FILE, Sliced(20 * MIB)))
    (part,) = tmp_path.iterdir()
    with part.open("r+b") as file:
        file.write(b"damaged")
    assert wire.wait(LocalStore(tmp_path).receive(FILE, Sliced())) == FILE
    assert whole(tmp_path)


@pytest.mark.parametrize("size", [3, 9 * MIB, len(DATA) + 3, len(DATA) + 48, len(DATA) + 1000])
def test_parts_that_are_no_notes_of_ours(tmp_path: Path, size: int) -> None:
    with pytest.raises(Stalled):
        wire.wait(LocalStore(tmp_path).receive(FILE, Sliced(0)))
    (part,) = tmp_path.iterdir()
    part.write_bytes((DATA + bytes(1000))[:size])
    origin = Sliced()
    assert wire.wait(LocalStore(tmp_path).receive(FILE, origin)) == FILE
    assert whole(tmp_path)
    assert origin.sent == len(DATA) - (size if size < len(DATA) else 0)


@pytest.mark.parametrize("size", [len(DATA), len(DATA) + 44, len(DATA) + 50])
def test_the_size_alone_does_not_say_that_all_is_there(tmp_path: Path, size: int) -> None:
    """As after a kill between two writes of an older version, or on a disk that took a part of the notes."""
    file = File("big.bin", len(DATA), etag='"e"')
    with pytest.raises(Stalled):
        wire.wait(LocalStore(tmp_path).receive(file, Sliced(0)))
    (part,) = tmp_path.iterdir()
    os.truncate(part, size)
    assert wire.wait(LocalStore(tmp_path).receive(file, Sliced())).digest == FILE.digest
    assert whole(tmp_path)


_FULL = """
import resource, sys
from test_ranges import DATA, Sliced
from visprep import wire
from visprep.errors import DiskError
from visprep.manifest import File
from visprep.stores.local import LocalStore
resource.setrlimit(resource.RLIMIT_FSIZE, (len(DATA), resource.RLIM_INFINITY))
try:
    wire.wait(LocalStore(sys.argv[1]).receive(File("big.bin", len(DATA), etag='"e"'), Sliced()))
except DiskError as error:
    print("refused")
"""


def test_a_disk_that_is_full_where_the_notes_would_stand(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="Windows limits no file's size")
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = [sys.executable, "-c", _FULL, str(tmp_path)]
    ran = subprocess.run(child, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "refused\n"), ran.stderr
    file = File("big.bin", len(DATA), etag='"e"')
    assert wire.wait(LocalStore(tmp_path).receive(file, Sliced())).digest == FILE.digest
    assert whole(tmp_path)


def test_notes_about_other_content_do_not_count(tmp_path: Path) -> None:
    """Nothing but the size is promised, so the name of the part stays, and the server's ETag tells the versions."""

    class Tagged(Sliced):
        tag = '"one"'

        async def stat(self, path: str) -> File:
            return File(path, len(DATA), etag=self.tag)

    file, good = File("big.bin", len(DATA)), Tagged()
    good.tag = '"two"'
    with pytest.raises(Stalled):
        wire.wait(LocalStore(tmp_path).receive(file, Tagged(20 * MIB)))
    assert wire.wait(LocalStore(tmp_path).receive(file, good)) == FILE
    assert good.sent == len(DATA)


_CHILD = """
import sys
from visprep import wire
from visprep.manifest import File
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
url, target, size, digest = sys.argv[1:]
wire.wait(LocalStore(target).receive(File("big.bin", int(size), digest), HttpStore(url)))
"""


@pytest.mark.parametrize("megabytes", [4, 12, 24])
def test_after_a_kill(mirrored: Callable[..., Mirror], tmp_path: Path, megabytes: int) -> None:
    mirror, out = mirrored(), tmp_path / "out"
    mirror.fault("GET", None, slow=4 * MIB)
    arguments = [sys.executable, "-c", _CHILD, mirror.url, str(out), str(FILE.size), str(FILE.digest)]
    child = subprocess.Popen(arguments)
    try:
        while sum(request.sent for request in mirror.requests) < megabytes * MIB:
            assert child.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert list(LocalStore(out).list()) == []
    mirror.clear_faults()
    mirror.requests.clear()
    assert received(out, FILE, HttpStore(mirror.url)) == FILE
    assert whole(out)
    assert sum(request.sent for request in mirror.requests) < len(DATA) - megabytes * MIB // 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk(mirrored: Callable[..., Mirror], small_disk: Path) -> None:
    mirror = mirrored()
    with pytest.raises(DiskFull, match=r"big\.bin"):
        received(small_disk, FILE, HttpStore(mirror.url))
    assert list(LocalStore(small_disk).list()) == []
    subprocess.run(["mount", "-o", "remount,size=80m", str(small_disk)], check=True)
    mirror.requests.clear()
    assert received(small_disk, FILE, HttpStore(mirror.url)) == FILE
    assert whole(small_disk)
    assert sum(request.sent for request in mirror.requests) < len(DATA) - 10 * MIB
