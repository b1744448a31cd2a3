"""Zip files on a server, unpacked by ranges: small and large files, zips within, damage, and what is held in memory."""

import hashlib
import queue
import random
import threading
import time
import zipfile

import pytest

from conftest import tree
from visprep import wire
from visprep.digests import digest_of
from visprep.errors import AccessDenied, ChangedMeanwhile, UnsafePath, WrongContent
from visprep.manifest import File
from visprep.range_order import Arrival, Memory
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import DiskRanges, RemoteZip
from visprep.stores.spans import GAP, SPAN, Span, spans
from visprep.testing import Mirror
from visprep.unzipping import Unzipping
from zip_forge import Entry, deflated, write_zip

RNG = random.Random(5)
SMALL = {f"val2017/{number:03}.jpg": RNG.randbytes(100_000 + number) for number in range(60)}
LARGE = {
    "annotations/stored.bin": RNG.randbytes(9_000_001),
    "annotations/text.json": b"".join(b'{"id": %d, "x": [1.5, 2.5]}, ' % number for number in range(400_000)),
    "annotations/last.json": RNG.randbytes(5_000_000).hex().encode(),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("mirror")
    with zipfile.ZipFile(root / "mixed.zip", "w") as archive:
        for place, (name, data) in enumerate({**SMALL, **LARGE}.items()):
            archive.writestr(
                name, data, zipfile.ZIP_STORED if name.endswith("bin") or place % 2 else zipfile.ZIP_DEFLATED
            )
            if place == 30:
                archive.writestr("annotations/middle.json", LARGE["annotations/text.json"], zipfile.ZIP_DEFLATED)
    return root


@pytest.fixture(scope="module")
def expected():
    return {**SMALL, **LARGE, "annotations/middle.json": LARGE["annotations/text.json"]}


@pytest.fixture
def mirror(root):
    with Mirror(root) as mirror:
        yield mirror


def opened(mirror, name):
    store = HttpStore(mirror.url)
    archive = RemoteZip(store, wire.wait(store.stat(name)))
    return archive, wire.wait(archive.files())


def unzip(mirror, name, target, only=lambda path: True, **options):
    archive, files = opened(mirror, name)
    work = Unzipping(archive, [one for one in files if only(one.path)], LocalStore(target), **options)
    return dict(work.outcomes()), work


def test_all_of_an_archive(mirror, root, expected, tmp_path):
    outcomes, work = unzip(mirror, "mixed.zip", tmp_path / "out", algorithm="sha256")
    assert tree(tmp_path / "out") == expected
    assert outcomes == {path: File(path, len(data), digest_of(data)) for path, data in expected.items()}
    assert work.digest == f"sha256:{hashlib.sha256((root / 'mixed.zip').read_bytes()).hexdigest()}"


def test_some_of_an_archive_moves_little_more_than_that(mirror, expected, tmp_path):
    wanted = ("val2017/001.jpg", "val2017/002.jpg", "val2017/055.jpg", "annotations/last.json")
    _, work = unzip(mirror, "mixed.zip", tmp_path / "out", wanted.__contains__)
    assert tree(tmp_path / "out") == {path: expected[path] for path in wanted}
    assert work.digest is None
    moved = sum(one.sent for one in mirror.requests)
    assert moved < sum(len(expected[path]) for path in wanted) + 2 * GAP + 256 * 1024


@pytest.mark.parametrize("room", [3 * SPAN, 6 * SPAN])
def test_no_more_is_held_than_may_be(mirror, expected, tmp_path, room):
    _, work = unzip(mirror, "mixed.zip", tmp_path / "out", algorithm="md5", memory=room)
    assert tree(tmp_path / "out") == expected
    assert 0 < work._memory.most <= room


class YieldingLock:
    """A lock after which the other threads have a turn, as a system is free to give them one."""

    def __init__(self, lock=threading.Lock):
        self.lock = lock()

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *exc):
        self.lock.release()
        time.sleep(0.001)


def test_the_memory_of_a_range_is_free_once(monkeypatch):
    memory = Memory(queue.SimpleQueue(), 10 * SPAN)
    monkeypatch.setattr(threading, "Lock", YieldingLock)
    arrival = Arrival(Span(0, 100, ("unpacked",)), memory, hashed=True)
    monkeypatch.undo()
    users = [threading.Thread(target=arrival.had) for _ in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert memory.held == 0


def test_ranges_follow_each_other_without_a_gap(mirror):
    archive, files = opened(mirror, "mixed.zip")
    every = list(spans(files, archive.size))
    assert [span.start for span in every] == [0, *(span.end for span in every[:-1])]
    assert every[-1].end == archive.size
    assert sorted(one.path for span in every for one in span.files) == sorted(
        one.path for one in files if one.path in SMALL
    )


def test_connections_that_break_in_a_range_go_on(mirror, expected, tmp_path):
    mirror.fault("GET /mixed", times=5, after=2, cut=0.4, reset=True)
    _, work = unzip(mirror, "mixed.zip", tmp_path / "out", algorithm="sha256")
    assert mirror.spent
    assert tree(tmp_path / "out") == expected
    assert work.digest


def test_an_archive_that_changes_meanwhile_is_noticed(root, tmp_path):
    (tmp_path / "web").mkdir()
    path = tmp_path / "web/mixed.zip"
    path.write_bytes((root / "mixed.zip").read_bytes())
    with Mirror(tmp_path / "web") as mirror:
        archive, files = opened(mirror, "mixed.zip")
        path.write_bytes((root / "mixed.zip").read_bytes()[::-1])
        with pytest.raises(ChangedMeanwhile):
            list(Unzipping(archive, files, LocalStore(tmp_path / "out")).outcomes())


@pytest.mark.parametrize("name", ["val2017/010.jpg", "annotations/text.json", "annotations/stored.bin"])
def test_a_damaged_file_is_named_and_the_others_are_whole(root, expected, tmp_path, name):
    (tmp_path / "web").mkdir()
    with zipfile.ZipFile(root / "mixed.zip") as archive:
        found = archive.getinfo(name)
    broken = bytearray((root / "mixed.zip").read_bytes())
    broken[found.header_offset + 200 + found.compress_size // 2] ^= 0x55
    (tmp_path / "web/mixed.zip").write_bytes(broken)
    with Mirror(tmp_path / "web") as mirror:
        outcomes, _ = unzip(mirror, "mixed.zip", tmp_path / "out", algorithm="sha256")
    assert [path for path, one in outcomes.items() if isinstance(one, Exception)] == [name]
    assert isinstance(outcomes[name], WrongContent)
    assert name in outcomes[name].message
    assert tree(tmp_path / "out") == {path: data for path, data in expected.items() if path != name}


def test_what_lies_is_refused(tmp_path):
    (tmp_path / "web").mkdir()
    entries = [
        Entry(b"fine", b"1"),
        Entry(b"../out", b"2"),
        Entry(b"link", b"/etc", mode=0o120777),
        Entry(b"secret", b"3", flags=1),
        deflated(b"short", b"4" * 100, size=99),
        Entry(b"crc", b"5", crc=1),
    ]
    write_zip(tmp_path / "web/a.zip", entries)
    with Mirror(tmp_path / "web") as mirror:
        outcomes, _ = unzip(mirror, "a.zip", tmp_path / "out")
    kinds = {path: type(one) for path, one in outcomes.items()}
    assert kinds.pop("fine") is File
    assert kinds == {
        "../out": UnsafePath, "link": UnsafePath, "secret": AccessDenied, "short": WrongContent, "crc": WrongContent,
    }  # fmt: skip
    assert tree(tmp_path / "out") == {"fine": b"1"}
    assert not (tmp_path / "web/out").exists()


def test_a_directory_longer_than_the_first_look_and_numbers_of_64_bits(tmp_path):
    (tmp_path / "web").mkdir()
    with zipfile.ZipFile(tmp_path / "web/a.zip", "w") as archive:
        for number in range(70_000):  # more than a directory's 16 bits count
            archive.writestr(zipfile.ZipInfo(f"x/{number:06}"), b"")
        archive.writestr("x/last", b"here")
    with Mirror(tmp_path / "web") as mirror:
        _, files = opened(mirror, "a.zip")
        assert len(files) == 70_001
        unzip(mirror, "a.zip", tmp_path / "out", lambda path: path == "x/last")
    assert tree(tmp_path / "out") == {"x/last": b"here"}


def test_something_else_than_a_zip(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>" * 1000)
    with Mirror(tmp_path) as mirror, pytest.raises(WrongContent, match="no end record"):
        opened(mirror, "a.zip")


def test_an_archive_on_disk_is_read_the_same_way(root, expected, tmp_path):
    here = LocalStore(root)
    archive = RemoteZip(DiskRanges(here), wire.wait(here.stat("mixed.zip")))
    list(Unzipping(archive, wire.wait(archive.files()), LocalStore(tmp_path / "out")).outcomes())
    assert tree(tmp_path / "out") == expected
