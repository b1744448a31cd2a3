"""What every store must do, as test classes to inherit: a plug-in's store proves itself with the same tests as ours.

::

    class TestMyStore(WritableStoreContract):
        @pytest.fixture
        def fill(self, tmp_path):
            return lambda files: MyStore(tmp_path, files)

Needs pytest, from the extra `dev`.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import FileMissing, UnsafePath, WrongContent
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.memory import MemorySink, MemoryStore

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
