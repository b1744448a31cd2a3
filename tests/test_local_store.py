"""The local and the memory store: the contract, and what only a file system can do to us."""

import os
import shutil

import pytest

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import AccessDenied, ChangedMeanwhile, DiskError, PlaceMissing, UnsafePath, WrongContent
from visprep.manifest import File
from visprep.stores import PART_SUFFIX, open_store
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemorySink, MemoryStore
from visprep.testing.contracts import WritableStoreContract


class TestLocalStore(WritableStoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        def make(files):
            root = tmp_path / "place"
            for path, data in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
            return LocalStore(root)

        return make


class TestMemoryStore(WritableStoreContract):
    @pytest.fixture
    def fill(self):
        return lambda files: MemoryStore(files=dict(files))


class Breaking(MemoryStore):
    """An origin whose connection breaks after `after` bytes, once."""

    def __init__(self, files, after):
        super().__init__(files=files)
        self.after, self.starts = after, []

    async def fetch(self, file, sink):
        self.starts.append(sink.position)
        data = await self.read(file.path)
        if self.after is not None:
            sink.write(data[sink.position : self.after])
            self.after = None
            raise ChangedMeanwhile("broken off")
        sink.write(data[sink.position :])


def test_listing_order_is_that_of_s3(tmp_path):
    for path in ("a/x", "a.txt", "a0", "a-b/c", "A/z", "b"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    assert [file.path for file in LocalStore(tmp_path).list()] == ["A/z", "a-b/c", "a.txt", "a/x", "a0", "b"]


def test_empty_directories_are_listed_and_parts_are_not(tmp_path):
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    (tmp_path / f".{'a' * 24}{PART_SUFFIX}").write_bytes(b"half")
    assert [file.path for file in LocalStore(tmp_path).list()] == ["empty/inner/"]


def test_a_broken_transfer_goes_on_where_it_stopped(tmp_path):
    data = os.urandom(3000)
    file = File("big.bin", len(data), digest_of(data))
    origin, store = Breaking({"big.bin": data}, 1000), LocalStore(tmp_path)
    with pytest.raises(ChangedMeanwhile):
        wire.wait(store.receive(file, origin))
    assert list(store.list()) == []
    assert wire.wait(LocalStore(tmp_path).receive(file, origin)).digest == file.digest
    assert origin.starts == [0, 1000]
    assert os.listdir(tmp_path) == ["big.bin"]


def test_a_damaged_part_is_not_trusted(tmp_path):
    data = os.urandom(3000)
    file = File("big.bin", len(data), digest_of(data))
    origin, store = Breaking({"big.bin": data}, 1000), LocalStore(tmp_path)
    with pytest.raises(ChangedMeanwhile):
        wire.wait(store.receive(file, origin))
    (part,) = tmp_path.glob(f".*{PART_SUFFIX}")
    part.write_bytes(b"\0" * 1000)
    wire.wait(store.receive(file, origin))
    assert (tmp_path / "big.bin").read_bytes() == data
    assert origin.starts == [0, 1000, 0]


def test_a_part_of_other_content_is_not_used_and_can_be_swept(tmp_path):
    store = LocalStore(tmp_path)
    with pytest.raises(ChangedMeanwhile):
        wire.wait(store.receive(File("a", 4, digest_of(b"aaaa")), Breaking({"a": b"aaaa"}, 2)))
    wire.wait(store.receive(File("a", 4, digest_of(b"bbbb")), MemoryStore(files={"a": b"bbbb"})))
    store.sweep()
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"bbbb"


def test_wrong_content_leaves_no_part(tmp_path):
    with pytest.raises(WrongContent):
        wire.wait(LocalStore(tmp_path).receive(File("a", 3, digest_of(b"xyz")), MemoryStore(files={"a": b"abc"})))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "a\\..\\b", "a\0b"])
def test_paths_that_leave_the_place_are_refused(tmp_path, path):
    for store in (LocalStore(tmp_path / "in"), MemoryStore(files={"a": b""})):
        for attempt in (store.write(path, b"x"), store.receive(File(path), MemoryStore(files={"a": b""}))):
            with pytest.raises(UnsafePath):
                wire.wait(attempt)
    assert os.listdir(tmp_path) == []


def test_links_that_leave_the_place_are_refused_and_inner_ones_followed(tmp_path):
    root, outside = tmp_path / "in", tmp_path / "out"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (root / "real").write_bytes(b"real")
    (root / "leaving").symlink_to(outside / "secret")
    (root / "folder").symlink_to(outside)
    (root / "inner").symlink_to("real")
    (root / "nowhere").symlink_to("gone")
    store = LocalStore(root)
    assert [file.path for file in store.list()] == ["folder", "inner", "leaving", "nowhere", "real"]
    assert wire.wait(store.read("inner")) == b"real"
    for path in ("leaving", "folder", "folder/secret"):
        with pytest.raises(UnsafePath):
            wire.wait(store.read(path))
    with pytest.raises(UnsafePath):
        wire.wait(store.write("folder/new", b"x"))
    assert os.listdir(outside) == ["secret"]


def test_places_that_are_not_there(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for name in ("missing", "file"):
        with pytest.raises(PlaceMissing, match=name):
            list(open_store(str(tmp_path / name)).list())


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DiskError, match="a/b"):
        wire.wait(LocalStore(tmp_path).write("a/b", b"x"))


def test_a_file_that_may_not_be_read(tmp_path, bound):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "a").chmod(0)
    with pytest.raises(AccessDenied):
        wire.wait(LocalStore(tmp_path).read("a"))


def test_names_that_are_too_long_are_named(tmp_path):
    with pytest.raises(UnsafePath):
        wire.wait(LocalStore(tmp_path).write("x" * 300, b""))


def test_the_longest_names_can_be_written(tmp_path):
    name = "\u00fc" * 127
    wire.wait(LocalStore(tmp_path).receive(File(name), MemoryStore(files={name: b"x"})))
    assert os.listdir(tmp_path) == [name]


def test_a_file_that_changes_while_it_is_read(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 10)

    class Growing:
        position = 0

        def write(self, data):
            self.position += len(data)
            with (tmp_path / "a").open("ab") as file:
                file.write(b"more")

    with pytest.raises(ChangedMeanwhile, match="a"):
        wire.wait(LocalStore(tmp_path).fetch(File("a"), Growing()))


def test_a_file_written_anew_while_it_is_read_is_read_anew(tmp_path):
    """Of the same size: what was read of the one before must not stay."""
    old, new = b"a" * 3_000_000, b"b" * 3_000_000
    path = tmp_path / "a"
    path.write_bytes(old)
    os.utime(path, (1, 1))

    class Slow:
        position, data = 0, b""

        def write(self, data):
            self.data += data
            self.position = len(self.data)
            if path.stat().st_mtime == 1:
                with path.open("r+b") as file:
                    file.write(new)

        def restart(self):
            self.position, self.data = 0, b""

    sink = Slow()
    wire.wait(LocalStore(tmp_path).fetch(File("a"), sink))
    assert sink.data == new


def test_pipes_and_links_to_themselves_are_named_and_do_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    store = LocalStore(tmp_path)
    assert [file.path for file in store.list()] == ["loop", "pipe"]
    for path in ("loop", "pipe"):
        for attempt in (store.read(path), store.hash(path, "sha256"), store.fetch(File(path), MemorySink())):
            with pytest.raises(UnsafePath, match=path):
                wire.wait(attempt)


def test_deleting_does_not_follow_links_out(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").write_bytes(b"x")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    with pytest.raises(UnsafePath):
        wire.wait(LocalStore(tmp_path / "in").delete("link/file"))
    assert (tmp_path / "out" / "file").exists()


def test_sweeping_takes_only_parts_of_our_own(tmp_path):
    part = f".{'0' * 24}{PART_SUFFIX}"
    (tmp_path / "other" / ".visprep").mkdir(parents=True)
    for path in (part, f"my{PART_SUFFIX}", f"other/{part}"):
        (tmp_path / path).write_bytes(b"x")
    LocalStore(tmp_path).sweep()
    assert not (tmp_path / part).exists()
    assert (tmp_path / f"my{PART_SUFFIX}").exists()
    assert (tmp_path / "other" / part).exists()


def test_a_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/file").touch()
    with pytest.raises(DiskError):
        wire.wait(LocalStore(tmp_path).write("taken", b"x"))
    assert os.listdir(tmp_path) == ["taken"]


class Meddling(MemoryStore):
    """An origin during whose answer something happens to the target."""

    def __init__(self, files, meddle):
        super().__init__(files=files)
        self.meddle = meddle

    async def fetch(self, file, sink):
        await super().fetch(file, sink)
        self.meddle()


def test_a_small_file_is_nowhere_on_disk_before_it_is_whole(tmp_path):
    seen = []
    origin = Meddling({"a/b": b"data"}, lambda: seen.append(os.listdir(tmp_path / "a")))
    assert wire.wait(LocalStore(tmp_path).receive(File("a/b", 4), origin)).digest == digest_of(b"data")
    assert seen == [[]]
    assert (tmp_path / "a" / "b").read_bytes() == b"data"


def test_a_directory_that_becomes_a_link_is_not_trusted_any_more(tmp_path):
    outside, store = tmp_path / "out", LocalStore(tmp_path / "in")
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    wire.wait(store.write("a/first", b"1"))
    assert wire.wait(store.read("a/first", 0, 10)) == b"1"

    def swap():
        (tmp_path / "in" / "a").rename(tmp_path / "aside")
        (tmp_path / "in" / "a").symlink_to(outside)

    with pytest.raises(UnsafePath):
        wire.wait(store.receive(File("a/second", 1), Meddling({"a/second": b"2"}, swap)))
    with pytest.raises(UnsafePath):
        wire.wait(store.read("a/secret", 0, 10))
    assert os.listdir(outside) == ["secret"]


def test_a_directory_that_goes_away_is_made_again(tmp_path):
    store = LocalStore(tmp_path)
    wire.wait(store.write("a/first", b"1"))
    origin = Meddling({"a/second": b"2"}, lambda: shutil.rmtree(tmp_path / "a"))
    wire.wait(store.receive(File("a/second", 1), origin))
    assert wire.wait(store.read("a/second", 0, 1)) == b"2"


def test_a_link_is_followed_when_its_directory_is_known_too(tmp_path):
    store = LocalStore(tmp_path / "in")
    wire.wait(store.write("real", b"real"))
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "in" / "inner").symlink_to("real")
    (tmp_path / "in" / "leaving").symlink_to(tmp_path / "secret")
    assert wire.wait(store.read("inner", 0, 10)) == b"real"
    with pytest.raises(UnsafePath):
        wire.wait(store.read("leaving", 0, 10))


def test_an_origin_that_sends_far_too_much_is_stopped(tmp_path):
    with pytest.raises(WrongContent, match="promised"):
        wire.wait(LocalStore(tmp_path).receive(File("a", 1), MemoryStore(files={"a": b"x" * 3_000_000})))
    assert os.listdir(tmp_path) == []


def test_a_name_that_unfinished_files_have_is_refused(tmp_path):
    """No listing would show it, and it would be swept at the end of the command."""
    name = f".{'a' * 24}{PART_SUFFIX}"
    store, refused = LocalStore(tmp_path), pytest.raises(UnsafePath, match=name)
    with refused:
        wire.wait(store.receive(File(f"sub/{name}", 1), MemoryStore(files={"x": b"1"})))
    with refused:
        wire.wait(store.write(name, b"1"))
    assert list(tmp_path.iterdir()) == []
    for other in (f"{'a' * 24}{PART_SUFFIX}", f".{'g' * 24}{PART_SUFFIX}", f"{name}/x"):
        wire.wait(store.write(other, b"1"))
    assert len(list(store.list())) == 3


def test_a_drive_that_tells_another_time_of_an_open_file_is_put_up_with(tmp_path, monkeypatch):
    """rclone's do so from the first byte that is read until the file is closed."""
    (tmp_path / "a").write_bytes(b"data")
    facts, looks = os.fstat, []

    def lying(descriptor):
        told = list(facts(descriptor))
        looks.append(descriptor)
        return os.stat_result(told, {"st_mtime_ns": 1 if looks.count(descriptor) > 2 else 0})

    monkeypatch.setattr(os, "fstat", lying)
    sink = MemorySink()
    wire.wait(LocalStore(tmp_path).fetch(File("a", 4), sink))
    assert sink.getvalue() == b"data"
    assert len(looks) >= 4
