"""What every store and every source must do, as test classes to inherit: a plug-in proves itself with our own tests.

::

    class TestMyStore(WritableStoreContract):
        @pytest.fixture
        def fill(self, tmp_path):
            return lambda files: MyStore(tmp_path, files)

    class TestMySource(SourceContract):
        name = "my-source"

        @pytest.fixture
        def upstream(self, monkeypatch):
            with LocalHub() as hub:
                hub.add("org/my-dataset").commit(...)
                monkeypatch.setenv("HF_ENDPOINT", hub.url)
                yield hub

Needs pytest, from the extra `dev`.
"""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visprep import sources, wire
from visprep._download import download
from visprep._sources import list_sources
from visprep._verify import verify
from visprep.digests import digest_of
from visprep.errors import FileMissing, UnknownName, UnsafePath, WrongContent
from visprep.findings import Level
from visprep.manifest import DATASET, RECORD_DIR, File
from visprep.progress import Progress, unheard
from visprep.records import Record, Task
from visprep.shards import ShardReader
from visprep.sources import Selection, Source
from visprep.stores import Store
from visprep.stores.memory import MemorySink, MemoryStore
from visprep.table_download import DownloadResult
from visprep.testing.serving import LocalServer

#: Makes a store that holds just these files.
Fill = Callable[[Mapping[str, bytes]], Store]

FILES: Mapping[str, bytes] = {
    "a.txt": b"first",
    "a/deep/er/b.bin": bytes(range(256)) * 40,
    "a/empty": b"",
    "prompt with spaces.txt": b"space",
    "per%20cent+plus.txt": b"percent",
    "z/\u00fcml\u00e4ut-\U0001f600.txt": "\u00fc".encode(),
}


class StoreContract:
    """What every store must do, read-only ones too. Give a fixture `fill`."""

    def test_lists_every_file_in_the_order_of_the_bytes_of_its_path(self, fill: Fill) -> None:
        listed = [file for file in fill(FILES).list() if not file.path.endswith("/")]
        assert [file.path for file in listed] == sorted(FILES, key=str.encode)
        assert all(file.size in (None, len(FILES[file.path])) for file in listed)

    def test_digests_in_listings_are_true(self, fill: Fill) -> None:
        for file in fill(FILES).list():
            if file.digest:
                assert file.digest == digest_of(FILES[file.path], file.digest.partition(":")[0])

    @pytest.mark.parametrize("path", FILES)
    def test_reads_whole_files_and_ranges(self, fill: Fill, path: str) -> None:
        store, data = fill(FILES), FILES[path]
        assert wire.wait(store.read(path)) == data
        assert wire.wait(store.read(path, 2)) == data[2:]
        assert wire.wait(store.read(path, 1, 3)) == data[1:4]
        assert wire.wait(store.read(path, 0, 10**6)) == data

    def test_tells_size_without_reading(self, fill: Fill) -> None:
        assert wire.wait(fill(FILES).stat("a/deep/er/b.bin")).size == 256 * 40

    @pytest.mark.parametrize("path", FILES)
    def test_fetches_from_where_the_sink_stands(self, fill: Fill, path: str) -> None:
        store, data = fill(FILES), FILES[path]
        fresh, half = MemorySink(), MemorySink()
        half.write(data[: len(data) // 2])
        file = File(path, len(data), digest_of(data))
        wire.wait(store.fetch(file, fresh))
        wire.wait(store.fetch(file, half))
        assert fresh.getvalue() == half.getvalue() == data

    def test_hash_is_true_or_unknown(self, fill: Fill) -> None:
        store = fill(FILES)
        for algorithm in ("md5", "sha256"):
            assert wire.wait(store.hash("a.txt", algorithm)) in (None, digest_of(b"first", algorithm))

    @pytest.mark.parametrize("path", ["missing.txt", "a/missing", "a"])
    def test_a_missing_file_is_named(self, fill: Fill, path: str) -> None:
        store = fill(FILES)
        for attempt in (store.read(path), store.stat(path), store.fetch(File(path), MemorySink())):
            with pytest.raises((FileMissing, UnsafePath), match=path):
                wire.wait(attempt)

    def test_can_be_pickled(self, fill: Fill) -> None:
        again: Store = pickle.loads(pickle.dumps(fill(FILES)))  # noqa: S301 -- our own bytes
        assert wire.wait(again.read("a.txt")) == b"first"


class WritableStoreContract(StoreContract):
    """What every store that can be written to must do as well."""

    def test_writes_and_replaces(self, fill: Fill) -> None:
        store = fill(FILES)
        for data in (b"new", b"newer", b""):
            written = wire.wait(store.write("a/new.txt", data))
            assert (written.size, written.digest) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
            assert wire.wait(store.read("a/new.txt")) == data
        assert {file.path for file in store.list() if not file.path.endswith("/")} == {*FILES, "a/new.txt"}

    def test_receives_what_the_origin_has(self, fill: Fill) -> None:
        store = fill({"other": b"x"})
        origin = MemoryStore(files=dict(FILES))
        for path, data in FILES.items():
            for file in (
                File(path),
                File(path, len(data), digest_of(data)),
                File(path, len(data), digest_of(data, "md5")),
            ):
                got = wire.wait(store.receive(file, origin))
                assert (got.path, got.size, got.digest) == (path, len(data), digest_of(data))
                assert wire.wait(store.read(path)) == data

    @pytest.mark.parametrize(
        "promise",
        [File("a.txt", 4), File("a.txt", 6), File("a.txt", 5, digest_of(b"other")), File("a.txt", None, "md5:0")],
    )
    def test_receives_nothing_else_than_what_was_promised(self, fill: Fill, promise: File) -> None:
        store = fill({"other": b"x"})
        with pytest.raises(WrongContent, match=r"a\.txt"):
            wire.wait(store.receive(promise, MemoryStore(files=dict(FILES))))
        assert [file.path for file in store.list()] == ["other"]

    def test_a_failed_receive_leaves_what_was_there(self, fill: Fill) -> None:
        store = fill({"a.txt": b"old"})
        with pytest.raises(WrongContent):
            wire.wait(store.receive(File("a.txt", 5, digest_of(b"other")), MemoryStore(files=dict(FILES))))
        assert wire.wait(store.read("a.txt")) == b"old"

    def test_deletes_and_does_not_mind_deleting_again(self, fill: Fill) -> None:
        store = fill(FILES)
        for _ in range(2):
            wire.wait(store.delete("a.txt"))
        assert "a.txt" not in {file.path for file in store.list()}
        assert "a/empty" in {file.path for file in store.list()}

    def test_many_at_once(self, fill: Fill) -> None:
        store = fill({"other": b"x"})
        origin = MemoryStore(files={f"n/{number:03}": b"%d" % number for number in range(100)})
        jobs = [(file.path, store.receive(file, origin)) for file in origin.list()]
        assert all(isinstance(outcome, File) for _, outcome in wire.run(jobs, 16))
        assert sum(file.path.startswith("n/") and file.path != "n/" for file in store.list()) == 100


class _Enough(Exception):
    """What a listener raises to end a download in the middle."""


class SourceContract:
    """What every source must do. Give `name`, as it is typed after `visprep download`, and a fixture `upstream`.

    `upstream` is the server of `visprep.testing` that stands in for the original: filled with at least two tasks in
    every split, and the environment set so that the source asks it. It is None for a source that needs no server.
    `selection` is for sources that must be told more than their name.
    """

    name: str
    selection = Selection()

    @pytest.fixture(autouse=True)
    def one_date(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")

    @pytest.fixture
    def source(self) -> Source:
        return sources.get(self.name)

    def download(self, place: Path, **changed: Any) -> DownloadResult:
        """The download of `selection`, with some of its options changed."""
        asked = self.selection
        options: dict[str, Any] = {
            "split": asked.splits,
            "config": asked.configs,
            "limit": asked.limit,
            "revision": asked.revision,
            "layout": asked.layout,
            "map": asked.columns,
        }
        result = download(self.name, place, **options | changed)
        assert isinstance(result, DownloadResult)
        return result

    def read(self, source: Source, cache: Path) -> dict[str, list[Record]]:
        """The records of every split."""
        upstream = source.resolve(replace(self.selection, splits=source.splits or self.selection.splits))
        selection = replace(self.selection, splits=upstream.splits or source.splits)
        reader = ShardReader(upstream, cache, None, unheard)
        return {split: list(source.records(upstream, split, selection, reader)) for split in selection.splits}

    def test_it_is_listed_and_can_be_used(self, source: Source) -> None:
        (listed,) = [one for one in list_sources() if _family(one.name) == _family(self.name)]
        assert listed.problem is None
        assert source.name == self.name
        assert set(source.default_splits) <= set(source.splits)

    def test_it_says_what_it_is_and_whose(self, source: Source) -> None:
        for fact in (source.title, source.license, source.home):
            assert fact.strip()

    def test_it_resolves_to_the_same_every_time(self, source: Source, upstream: LocalServer | None) -> None:
        first, second = source.resolve(self.selection), sources.get(self.name).resolve(self.selection)
        assert replace(first, store=None) == replace(second, store=None)
        assert first.store is not None or first.shards == ()

    def test_it_reads_the_same_every_time(self, source: Source, upstream: LocalServer | None, tmp_path: Path) -> None:
        first = self.read(source, tmp_path)
        assert first == self.read(sources.get(self.name), tmp_path)
        assert all(any(isinstance(record, Task) for record in records) for records in first.values())

    def test_no_two_tasks_have_the_same_key(self, source: Source, upstream: LocalServer | None, tmp_path: Path) -> None:
        read = self.read(source, tmp_path)
        keys = [record.key for records in read.values() for record in records if isinstance(record, Task)]
        assert len(keys) == len(set(keys))

    def test_a_limit_takes_the_first_of_each_split(
        self, source: Source, upstream: LocalServer | None, tmp_path: Path
    ) -> None:
        assert self.download(tmp_path / "one", limit=1).tasks == len(self._splits(source))
        whole = self.download(tmp_path / "all")
        assert whole.tasks > len(self._splits(source))
        assert _data(_tree(tmp_path / "one")).items() <= _data(_tree(tmp_path / "all")).items()

    def _splits(self, source: Source) -> tuple[str, ...]:
        return source.resolve(self.selection).splits or self.selection.splits or source.default_splits

    def test_the_second_download_does_nothing(self, upstream: LocalServer | None, tmp_path: Path) -> None:
        place = tmp_path / "place"
        first = self.download(place)
        before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in place.rglob("*")}
        second = self.download(place)
        assert (second.tasks, second.files) == (first.tasks, 0)
        assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in place.rglob("*")} == before

    def test_a_connection_that_breaks_changes_nothing(self, upstream: LocalServer | None, tmp_path: Path) -> None:
        if upstream is None:
            pytest.skip("it needs no server")
        self.download(tmp_path / "calm")
        calm = list(upstream.requests)
        line = max(calm, key=lambda request: request.sent).line
        sizes = [request.sent for request in calm if request.line == line]
        upstream.fault(f"^{re.escape(line)}$", cut=sizes[0] // 2, reset=True)
        self.download(tmp_path / "cut")
        assert sum(request.line == line for request in upstream.requests[len(calm) :]) > len(sizes)
        assert _tree(tmp_path / "cut") == _tree(tmp_path / "calm")

    def test_a_download_that_is_stopped_goes_on(self, upstream: LocalServer | None, tmp_path: Path) -> None:
        def stop(progress: Progress) -> None:
            if progress.stage == "Writing":
                raise _Enough

        self.download(tmp_path / "calm")
        with pytest.raises(_Enough):
            self.download(tmp_path / "stopped", progress=stop)
        assert not (tmp_path / "stopped" / DATASET).exists()
        self.download(tmp_path / "stopped")
        assert _tree(tmp_path / "stopped") == _tree(tmp_path / "calm")

    def test_what_it_brings_is_clean_until_a_byte_flips(self, upstream: LocalServer | None, tmp_path: Path) -> None:
        self.download(tmp_path)
        layout = self.selection.layout
        clean = verify(tmp_path, depth="content", layout=layout)
        assert [finding for finding in clean.findings if finding.level is Level.ERROR] == []
        largest = max((tmp_path / path for path in _data(_tree(tmp_path))), key=lambda path: path.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 0xFF
        largest.write_bytes(data)
        damaged = verify(tmp_path, depth="content", layout=layout)
        assert damaged.failed
        assert largest.relative_to(tmp_path).as_posix() in {finding.path for finding in damaged.findings}

    @pytest.mark.parametrize("option", ["split", "config"])
    def test_what_there_is_not_is_refused(self, upstream: LocalServer | None, tmp_path: Path, option: str) -> None:
        with pytest.raises(UnknownName, match=f"{option} 'no-such-{option}'") as caught:
            self.download(tmp_path / "place", **{option: f"no-such-{option}"})
        assert caught.value.hint
        assert not (tmp_path / "place").exists()


def _family(name: str) -> str:
    """A name without what follows its colon: all of a family are listed as one."""
    return name.partition(":")[0]


def _tree(place: Path) -> dict[str, bytes]:
    """The files of a place with their bytes, but for those of visprep's record that may differ."""
    changing = tuple(f"{RECORD_DIR}/{name}" for name in ("cache/", "in-progress", "journal.jsonl"))
    files = {path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()}
    return {path: file.read_bytes() for path, file in files.items() if not path.startswith(changing)}


def _data(tree: Mapping[str, bytes]) -> dict[str, bytes]:
    """Those files that are upstream's, and not visprep's record."""
    return {path: data for path, data in tree.items() if path != DATASET and not path.startswith(f"{RECORD_DIR}/")}
