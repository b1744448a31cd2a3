"""Footers, row groups and rows of parquet files, against the real pyarrow and datasets."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from visprep import wire
from visprep.errors import DiskError, FileMissing, MissingExtra, PlaceError, StoreError, WrongContent
from visprep.formats import parquet
from visprep.formats.parquet import RangedFile, RowGroup
from visprep.manifest import File
from visprep.stores.hub import HubStore
from visprep.stores.memory import MemoryStore
from visprep.testing import LocalHub
from vtb_upstream import features, image, noise, png, row, table

BLOCK = 64 * 1024
ROWS = [row("Mazes", number) for number in range(10)]
#: Ten rows in groups of three, each group of about 800 KB.
LARGE = [row("Mazes", n, image=image(noise(n, 300)), solution_image=image(noise(-n, 100))) for n in range(10)]


def ranged(data: bytes, name: str = "x.parquet") -> RangedFile:
    return RangedFile(MemoryStore(files={name: data}), File(name, len(data)))


@pytest.fixture(scope="module")
def large() -> bytes:
    return table("Mazes", LARGE, row_group_size=3)


@pytest.fixture
def remote(large: bytes):
    """A hub with one large parquet file, and the file opened for ranges."""
    with LocalHub() as hub:
        hub.add("org/data").commit({"x.parquet": large})
        store = HubStore("org/data", endpoint=hub.url)
        yield hub, RangedFile(store, next(store.list()))


def moved(hub: LocalHub) -> list[range]:
    """The byte ranges that went out."""
    spans = [request.range for request in hub.requests if "/cdn/" in request.path]
    pairs = [span.removeprefix("bytes=").split("-") for span in spans if span]
    assert len(pairs) == len(spans)
    return [range(int(start), int(end) + 1) for start, end in pairs]


class TestRangedFile:
    def test_reads_like_a_file(self) -> None:
        data = os.urandom(1_500_000)
        here, there = io.BytesIO(data), ranged(data)
        moves = [(0, 10), (5, 70_000), (1_499_990, 100), (1_500_000, 5), (1_600_000, 5), (300_000, 900_000), (7, 0)]
        for start, length in moves:
            assert here.seek(start) == there.seek(start)
            assert here.read(length) == there.read(length)
            assert here.tell() == there.tell()
        assert there.seek(-20, os.SEEK_END) == len(data) - 20
        assert there.seek(5, os.SEEK_CUR) == len(data) - 15
        assert there.read() == data[-15:]
        assert there.readable()
        assert there.seekable()
        assert not there.writable()
        with pytest.raises(ValueError, match="cannot seek"):
            there.seek(-1)

    def test_fills_buffers(self) -> None:
        there = ranged(b"0123456789")
        buffer = bytearray(4)
        there.seek(8)
        assert there.readinto(buffer) == 2
        assert buffer == b"89\0\0"
        assert io.BufferedReader(ranged(b"0123456789")).read() == b"0123456789"

    def test_small_reads_share_a_request(self, remote) -> None:
        hub, file = remote
        for start in range(0, BLOCK, 1000):
            file.seek(start)
            file.read(100)
        assert moved(hub) == [range(BLOCK)]

    def test_a_size_that_nobody_told_is_asked_for(self) -> None:
        file = RangedFile(MemoryStore(files={"x": b"12345"}), File("x"))
        assert file.seek(0, os.SEEK_END) == 5

    def test_a_file_that_is_shorter_than_promised(self) -> None:
        file = RangedFile(MemoryStore(files={"x": b"12345"}), File("x", 10))
        with pytest.raises(WrongContent, match="x: bytes 0 to 10 were asked for, 5 came"):
            file.read()


class TestSchema:
    def test_columns_rows_and_groups(self) -> None:
        facts = parquet.schema(ranged(table("Mazes", ROWS, row_group_size=4)))
        assert facts.columns == ("task", "id", "prompt", "image", "solution_image")
        assert facts.rows == 10
        assert [group.rows for group in facts.row_groups] == [4, 4, 2]
        assert all(isinstance(group, RowGroup) and group.size > 0 for group in facts.row_groups)

    def test_an_empty_table(self) -> None:
        facts = parquet.schema(ranged(table("Mazes", [])))
        assert (facts.rows, facts.columns[0]) == (0, "task")

    def test_only_the_footer_moves(self, remote, large: bytes) -> None:
        hub, file = remote
        assert parquet.schema(file).rows == 10
        assert min(span.start for span in moved(hub)) >= len(large) - 2 * BLOCK


class TestRowGroups:
    def test_a_copy_holds_its_rows_and_the_features(self, tmp_path: Path) -> None:
        source = ranged(table("Mazes", ROWS, row_group_size=4))
        copied: list[dict[str, object]] = []
        for index in range(3):
            target = tmp_path / f"{index}.parquet"
            parquet.copy_row_group(source, index, target)
            assert datasets.Features.from_arrow_schema(pq.read_schema(target)) == features("Mazes")
            copied += parquet.rows(target)
        assert copied == ROWS
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0.parquet", "1.parquet", "2.parquet"]

    def test_only_that_group_moves(self, remote, large: bytes, tmp_path: Path) -> None:
        hub, file = remote
        parquet.schema(file)
        hub.requests.clear()
        parquet.copy_row_group(file, 1, tmp_path / "1.parquet")
        assert [one["id"] for one in parquet.rows(tmp_path / "1.parquet")] == [one["id"] for one in LARGE[3:6]]
        group = pq.ParquetFile(io.BytesIO(large)).metadata.row_group(1)
        start = group.column(0).dictionary_page_offset
        end = start + sum(group.column(index).total_compressed_size for index in range(group.num_columns))
        spans = moved(hub)
        assert min(span.start for span in spans) >= start - BLOCK
        assert max(span.stop for span in spans) <= end + BLOCK
        assert sum(map(len, spans)) < end - start + 6 * BLOCK

    def test_a_broken_connection_goes_on(self, remote, tmp_path: Path) -> None:
        hub, file = remote
        hub.fault("GET /cdn/", cut=100, reset=True)
        hub.fault("GET /cdn/", cut=50_000)
        parquet.copy_row_group(file, 0, tmp_path / "0.parquet")
        assert [one["id"] for one in parquet.rows(tmp_path / "0.parquet")] == [one["id"] for one in LARGE[:3]]

    def test_a_flipped_byte_is_noticed_by_page_checksums(self, tmp_path: Path) -> None:
        data = bytearray(table("Mazes", ROWS, write_page_checksum=True, compression="none"))
        at = data.find(ROWS[3]["image"]["bytes"]) + 40
        data[at] ^= 1
        with pytest.raises(WrongContent, match=r"x\.parquet is damaged.*CRC"):
            parquet.copy_row_group(ranged(bytes(data)), 0, tmp_path / "0.parquet")
        assert list(tmp_path.iterdir()) == []

    def test_a_target_that_cannot_be_written(self, tmp_path: Path) -> None:
        source = ranged(table("Mazes", ROWS))
        with pytest.raises(StoreError, match=r"0\.parquet"):
            parquet.copy_row_group(source, 0, tmp_path / "missing" / "0.parquet")
        (tmp_path / "0.parquet").mkdir()
        with pytest.raises(DiskError):
            parquet.copy_row_group(source, 0, tmp_path / "0.parquet")
        assert [path.name for path in tmp_path.iterdir()] == ["0.parquet"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
    def test_a_full_disk(self, tmp_path: Path) -> None:
        (tmp_path / "0.parquet.visprep-part").symlink_to("/dev/full")
        with pytest.raises(StoreError, match=r"no space left"):
            parquet.copy_row_group(ranged(table("Mazes", LARGE[:1])), 0, tmp_path / "0.parquet")
        assert list(tmp_path.iterdir()) == []


class TestRows:
    def test_images_come_encoded(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        path.write_bytes(table("Mazes", ROWS, row_group_size=3))
        assert list(parquet.rows(path)) == ROWS

    def test_empty_cells(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        odd = [row("Mazes", 0, image=None, prompt=None), row("Mazes", 1, image={"bytes": None, "path": "a.png"})]
        path.write_bytes(table("Mazes", odd))
        assert list(parquet.rows(path)) == odd

    def test_no_rows(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        path.write_bytes(table("Mazes", []))
        assert list(parquet.rows(path)) == []

    def test_without_the_features_of_datasets(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        pq.write_table(pa.table({"id": ["a"], "image": [{"bytes": b"x", "path": None}], "raw": [b"y"]}), path)
        assert list(parquet.rows(path)) == [{"id": "a", "image": {"bytes": b"x", "path": None}, "raw": b"y"}]

    def test_directories_of_any_name(self, tmp_path: Path) -> None:
        folder = tmp_path / "a [b]*? %20 ü"
        folder.mkdir()
        (folder / "x[1].parquet").write_bytes(table("Mazes", ROWS[:2]))
        assert list(parquet.rows(folder / "x[1].parquet")) == ROWS[:2]

    def test_the_rest_is_not_read_when_nobody_pulls(self, tmp_path: Path) -> None:
        path = tmp_path / "x.parquet"
        whole = table("Mazes", ROWS, row_group_size=2, write_page_checksum=True)
        damaged = bytearray(whole)
        offset = pq.ParquetFile(io.BytesIO(whole)).metadata.row_group(4).column(3).data_page_offset
        damaged[offset : offset + 50] = bytes(50)
        path.write_bytes(damaged)
        taken = parquet.rows(path)
        assert [next(taken)["id"] for _ in range(2)] == [one["id"] for one in ROWS[:2]]
        taken.close()
        with pytest.raises(WrongContent, match=r"x\.parquet"):
            list(parquet.rows(path))

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileMissing, match=r"none\.parquet"):
            next(parquet.rows(tmp_path / "none.parquet"))


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _page(data: bytes) -> bytes:
    return b"<!DOCTYPE html><title>Sorry</title>" + b" " * len(data)


def _empty(data: bytes) -> bytes:
    return b""


def _footer(data: bytes) -> bytes:
    return data[:-400] + bytes(100) + data[-300:]


def _tail(data: bytes) -> bytes:
    return data[:-8] + b"\xff\xff\xff\x7fPAR1"


class TestDamage:
    @pytest.mark.parametrize("damage", [_cut, _page, _empty, _footer, _tail])
    def test_it_is_named_and_nothing_is_printed(
        self, damage, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        data = damage(table("Mazes", ROWS))
        path = tmp_path / "local.parquet"
        path.write_bytes(data)
        with pytest.raises(WrongContent, match=r"x\.parquet is damaged or not parquet") as caught:
            parquet.schema(ranged(data))
        assert "\n" not in str(caught.value)
        with pytest.raises(WrongContent, match=r"x\.parquet is damaged"):
            parquet.copy_row_group(ranged(data), 0, tmp_path / "0.parquet")
        with pytest.raises(WrongContent, match=r"local\.parquet is damaged"):
            list(parquet.rows(path))
        assert capfd.readouterr() == ("", "")
        assert [file.name for file in tmp_path.iterdir()] == ["local.parquet"]

    def test_errors_of_the_store_pass_unchanged(self) -> None:
        store = MemoryStore(files={"other": b""})
        with pytest.raises(FileMissing):
            parquet.schema(RangedFile(store, File("x.parquet", 1000)))
        with pytest.raises((StoreError, PlaceError)):
            wire.wait(store.stat("x.parquet"))


_ALONE = """
import os, sys
from pathlib import Path
beyond = []
def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        beyond.append((event, args))
sys.addaudithook(watch)
from visprep.formats import parquet
source = Path(sys.argv[1])
with source.open("rb") as file:
    assert parquet.schema(file).rows == 10
    assert "datasets" not in sys.modules
    parquet.copy_row_group(file, 0, source.with_name("copy.parquet"))
import datasets.table
threads = lambda: os.path.exists("/proc/self/task") and len(os.listdir("/proc/self/task"))
before = threads()
assert len(list(parquet.rows(source))) == 10
# One of Arrow's that holds an object of Python's ends the process, with SIGABRT, if it lets go while Python ends
assert threads() == before
assert not beyond, beyond
"""


def test_no_network_no_home_no_words(tmp_path: Path) -> None:
    home, scratch, data = tmp_path / "home", tmp_path / "scratch", tmp_path / "data"
    for folder in (home, scratch, data):
        folder.mkdir()
    (data / "x.parquet").write_bytes(table("Mazes", ROWS))
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(scratch)}
    command = [sys.executable, "-W", "error", "-c", _ALONE, str(data / "x.parquet")]
    ended = subprocess.run(command, env=environment, cwd=data, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert list(home.iterdir()) == []
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in data.iterdir()) == ["copy.parquet", "x.parquet"]


@pytest.mark.parametrize("missing", ["datasets", "pyarrow"])
def test_without_the_library(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(table("Mazes", [row("Mazes", 0, image=image(png(1)))]))
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra) as caught:
        next(parquet.rows(path))
    assert caught.value.hint == "pip install 'visprep[hf]'"
