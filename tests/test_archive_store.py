"""Zip files as places: the contract, every way in which one can lie, and what comes out of one."""

import hashlib
import io
import json
import os
import pickle
import random
import subprocess
import sys
import zipfile
import zlib

import pytest

from conftest import tree
from visprep import wire
from visprep.digests import digest_of
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    DiskError,
    FileMissing,
    PlaceMissing,
    UnsafePath,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File
from visprep.plans import Action, Operation
from visprep.stores import PART_SUFFIX, data_files, open_store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemorySink, MemoryStore
from visprep.stores.unpacking import part_of
from visprep.stores.zip_directory import Limits
from visprep.testing.contracts import FILES, StoreContract
from visprep.transfer import apply, in_threads
from zip_forge import Entry, deflate, deflated, write_zip


def pack(where, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(where, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return where


def packed(path, files, method=zipfile.ZIP_DEFLATED):
    return ArchiveStore(pack(path, files, method))


class TestStored(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        return lambda files: packed(tmp_path / "a.zip", files, zipfile.ZIP_STORED)


class TestDeflated(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        return lambda files: packed(tmp_path / "a.zip", files)


class TestWithDataDescriptors(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        class Pipe(io.RawIOBase):
            """What cannot be sought: sizes and CRCs are written after the data."""

            def __init__(self, file):
                self.file = file

            def write(self, data):
                return self.file.write(data)

        def make(files):
            with (tmp_path / "a.zip").open("wb") as file:
                pack(Pipe(file), files)
            return ArchiveStore(tmp_path / "a.zip")

        return make


def paths(store):
    return [file.path for file in store.list()]


def everything(store):
    """What an archive holds, read in the way that checks it."""
    return {file.path: wire.wait(store.read(file.path)) for file in data_files(store)}


def attempts(store, path):
    return (store.read(path), store.hash(path, "sha256"), store.fetch(File(path), MemorySink()))


NOISE = random.Random(3).randbytes(700_000)
TEXT = b"".join(b"%d %d\n" % (number, number * number) for number in range(80_000))


@pytest.mark.parametrize("data", [NOISE, TEXT, NOISE + TEXT + NOISE], ids=["noise", "text", "both"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_pieces_of_any_size_make_the_whole(tmp_path, data, method):
    store = packed(tmp_path / "a.zip", {"a": b"before", "b": data, "c": b"after"}, method)
    rng = random.Random(5)
    for most in (3_000, 100_000, 5_000_000):
        at, pieces = 0, []
        while at < len(data):
            pieces.append(wire.wait(store.read("b", at, rng.randrange(1, most))))
            at += len(pieces[-1])
        assert b"".join(pieces) == data
    for _ in range(20):
        at, length = rng.randrange(len(data)), rng.randrange(200_000)
        assert wire.wait(store.read("b", at, length)) == data[at : at + length]
    assert wire.wait(store.read("b", len(data))) == b""
    assert wire.wait(store.hash("b", "sha256")) == digest_of(data)


def test_members_read_in_turns_do_not_disturb_each_other(tmp_path):
    held = {f"{number:02}": TEXT[number:] for number in range(12)}
    store = packed(tmp_path / "a.zip", held)
    found = dict.fromkeys(held, b"")
    while any(len(found[path]) < len(held[path]) for path in held):
        for path in held:
            found[path] += wire.wait(store.read(path, len(found[path]), 400_000))
    assert found == held


def test_without_isal_it_is_slower_and_the_same(tmp_path):
    pack(tmp_path / "a.zip", {"noise": NOISE, "text": TEXT})
    code = """
import sys, zlib
sys.modules["isal"] = None
from visprep import wire
from visprep.stores import archive, zip_members
assert zip_members._zlib is zlib
store = archive.ArchiveStore(sys.argv[1])
print(*(wire.wait(store.hash(file.path, "sha256")) for file in store.list()))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.zip")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [digest_of(NOISE), digest_of(TEXT)]


def test_after_a_fork_and_in_the_middle_of_a_member(tmp_path):
    pack(tmp_path / "a.zip", {"text": TEXT})
    code = """
import os, sys, zlib
from visprep import wire
from visprep.stores.archive import ArchiveStore
store = ArchiveStore(sys.argv[1])
head = wire.wait(store.read("text", 0, 1000))
child = os.fork()
rest = wire.wait(store.read("text", 1000))
os.write(1, b"%d\\n" % zlib.crc32(head + rest))
if not child:
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
    command = [sys.executable, "-c", code, str(tmp_path / "a.zip")]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(zlib.crc32(TEXT))] * 2


def test_pickled_in_the_middle_of_a_member(tmp_path):
    store = packed(tmp_path / "a.zip", {"text": TEXT})
    assert wire.wait(store.read("text", 0, 10)) == TEXT[:10]
    assert wire.wait(pickle.loads(pickle.dumps(store)).read("text", 10)) == TEXT[10:]


def test_writing_to_an_archive_is_refused(tmp_path):
    store = packed(tmp_path / "a.zip", {"a": b"1"})
    before = (tmp_path / "a.zip").read_bytes()
    for attempt in (store.write("b", b""), store.delete("a"), store.receive(File("a"), MemoryStore(files={"a": b"2"}))):
        with pytest.raises(AccessDenied, match="read-only"):
            wire.wait(attempt)
    assert (tmp_path / "a.zip").read_bytes() == before


def test_which_places_are_archives(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    assert isinstance(open_store(str(tmp_path / "folder.zip")), LocalStore)
    assert isinstance(open_store(str(tmp_path / "later.ZIP")), ArchiveStore)
    for attempt in (lambda store: list(store.list()), lambda store: wire.wait(store.read("a"))):
        with pytest.raises(PlaceMissing, match=r"later\.ZIP"):
            attempt(open_store(str(tmp_path / "later.ZIP")))


def test_only_empty_directories_are_listed(tmp_path):
    entries = [Entry(name, mode=0o40755) for name in (b"./", b"a/", b"a/b/", b"c/", b"d/", b"d/e/")]
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [*entries, Entry(b"./a/b/x", b"1"), Entry(b"c.txt", b"2")]))
    assert paths(store) == ["a/b/x", "c.txt", "c/", "d/e/"]
    assert everything(store) == {"a/b/x": b"1", "c.txt": b"2"}
    with pytest.raises(FileMissing):
        wire.wait(store.read("c/"))


def test_an_archive_of_nothing(tmp_path):
    assert paths(ArchiveStore(write_zip(tmp_path / "a.zip", []))) == []


def unicode_extra(name, text):
    data = b"\1" + zlib.crc32(name).to_bytes(4, "little") + text.encode()
    return (0x7075).to_bytes(2, "little") + len(data).to_bytes(2, "little") + data


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        (Entry("\u00fc".encode(), flags=0x800, system=0), "\u00fc"),
        (Entry("\u00fc".encode("cp437"), system=0), "\u00fc"),
        (Entry("\u00fc".encode("cp437"), system=3), "\u00fc"),  # no UTF-8, so it must be the code page
        (Entry("\u00fc".encode(), system=0), "\u251c\u255d"),
        (Entry("\u00fc".encode(), system=19), "\u00fc"),  # macOS says nothing and writes UTF-8
        (Entry(b"\xfc", extra=b"\1\2\0\0" + unicode_extra(b"\xfc", "\u044f")), "\u044f"),
        (Entry(b"\xfc", system=0, extra=unicode_extra(b"another", "\u044f")), "\u207f"),
    ],
)
def test_names_in_every_spelling(tmp_path, entry, path):
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [entry, Entry(b"z", b"1")]))
    assert set(paths(store)) == {path, "z"}
    assert everything(store) == {path: b"", "z": b"1"}


def test_bytes_before_and_comments_after(tmp_path):
    entries = [Entry(b"a", b"1"), deflated(b"b", TEXT)]
    # The comment holds what looks like the end of another archive.
    comment = b"about " + b"PK\5\6" + bytes(18) + b" and more"
    for before in (b"", b"#!/bin/sh\nexit\n" * 500):
        store = ArchiveStore(write_zip(tmp_path / "a.zip", entries, before=before, comment=comment))
        assert everything(store) == {"a": b"1", "b": TEXT}


def test_more_members_than_a_plain_zip_can_count(tmp_path):
    entries = [Entry(b"%06d" % number) for number in range(66_000)]
    listed = paths(ArchiveStore(write_zip(tmp_path / "a.zip", entries, before=b"before")))
    assert listed == [f"{number:06}" for number in range(66_000)]
    assert zipfile.ZipFile(tmp_path / "a.zip").namelist() == listed  # the forge is not to blame
    # Some packers know no zip64, and count on from 0.
    write_zip(tmp_path / "b.zip", entries, count=66_000 % 65_536)
    assert len(paths(ArchiveStore(tmp_path / "b.zip"))) == 66_000


def test_members_and_offsets_above_4_gib(tmp_path):
    size = 2**32 + 5
    entries = [Entry(b"big", hole=size, crc=1), deflated(b"behind", TEXT), Entry(b"last", b"1")]
    store = ArchiveStore(write_zip(tmp_path / "a.zip", entries))
    assert [info.file_size for info in zipfile.ZipFile(tmp_path / "a.zip").infolist()] == [size, len(TEXT), 1]
    assert [(file.path, file.size) for file in store.list()] == [("behind", len(TEXT)), ("big", size), ("last", 1)]
    assert wire.wait(store.read("big", size - 3, 100)) == bytes(3)
    assert wire.wait(store.read("big", 2**31, 4)) == bytes(4)
    assert (wire.wait(store.read("behind")), wire.wait(store.read("last"))) == (TEXT, b"1")


SMALL = Limits(ratio=10, member=2_000, total=20_000)
ENCRYPTED = "it is encrypted"


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        (Entry(b"../up", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"a/../../up", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"/etc/passwd", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"..\\up", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"a\0b", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"a//b", b"1"), UnsafePath, "cannot be a file"),
        (Entry(b"\xff", flags=0x800), UnsafePath, "not the UTF-8"),
        (Entry(b"link", b"/etc/passwd", mode=0o120777), UnsafePath, "a link"),
        (Entry(b"pipe", mode=0o010644), UnsafePath, "not a regular file"),
        (Entry(b"folder", mode=0o040755), UnsafePath, "not a regular file"),
        (Entry(b"secret", b"1", flags=0x1), AccessDenied, ENCRYPTED),
        (Entry(b"secret", b"1", flags=0x41), AccessDenied, ENCRYPTED),
        (Entry(b"masked", b"1", flags=0x2000), AccessDenied, ENCRYPTED),
        (Entry(b"lzma", b"1", method=14), WrongContent, "method 14"),
        (Entry(b"patch", b"1", flags=0x20), WrongContent, "method 0"),
        (Entry(b"more", b"123", size=2), WrongContent, "stored in 3 bytes"),
        (Entry(b"crc", b"123", crc=7), WrongContent, "CRC-32"),
        (deflated(b"crc", TEXT, crc=7), WrongContent, "CRC-32"),
        (deflated(b"lie", bytes(100), size=10**9), WrongContent, "cannot be"),
        (deflated(b"short", TEXT, size=len(TEXT) + 1), WrongContent, "fewer bytes"),
        (deflated(b"long", TEXT, size=len(TEXT) - 1), WrongContent, "more bytes"),
        (deflated(b"long", TEXT, size=10), WrongContent, "more bytes"),
        (Entry(b"torn", deflate(TEXT)[:-9], method=8, size=len(TEXT), crc=zlib.crc32(TEXT)), WrongContent, "torn"),
        (Entry(b"junk", deflate(TEXT) + b"x", method=8, size=len(TEXT), crc=zlib.crc32(TEXT)), WrongContent, "end"),
        (Entry(b"junk", b"\xff" * 99, method=8, size=99, crc=0), WrongContent, "damaged"),
        (Entry(b"x", b"1", local={"name": b"y"}), WrongContent, "names another file"),
        (Entry(b"x", b"1", local={"name": b"xy"}), WrongContent, "names another file"),
        (Entry(b"x", b"1", local={"method": 8}), WrongContent, "another compression"),
        (Entry(b"x", b"1", local={"flags": 1}), WrongContent, "another compression"),
        (Entry(b"x", b"1", local={"size": 2}), WrongContent, "another size"),
        (Entry(b"x", b"1", local={"size": 2**33}), WrongContent, "another size"),
        (Entry(b"x", b"1", local={"compressed": 2}), WrongContent, "another compressed size"),
        (Entry(b"x", b"1", local={"crc": 2}), WrongContent, "another CRC"),
        (Entry(b"x", b"1", flags=8, local={"crc": 2}), WrongContent, "another CRC"),
        (Entry(b"x", b"1", local={"signature": b"PK\3\5"}), WrongContent, "not there"),
    ],
)
def test_a_bad_member_is_listed_and_refused_and_the_rest_is_read(tmp_path, bad, kind, said):
    entries = [Entry(b"good", b"good"), bad, Entry(b"zebra", b"zebra")]
    store = ArchiveStore(write_zip(tmp_path / "a.zip", entries))
    (name,) = set(paths(store)) - {"good", "zebra"}
    for attempt in attempts(store, name):
        with pytest.raises(kind, match=said) as caught:
            wire.wait(attempt)
        assert "a.zip" in str(caught.value)
    got = dict(in_threads(store.list(), store, LocalStore(tmp_path / "out")))
    assert type(got[name]) is kind
    assert tree(tmp_path / "out") == {"good": b"good", "zebra": b"zebra"}
    assert os.listdir(tmp_path) in (["a.zip", "out"], ["out", "a.zip"])


def test_of_two_members_with_one_name_neither_is_believed(tmp_path):
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [Entry(b"a", b"1"), Entry(b"./a", b"2"), Entry(b"b", b"3")]))
    assert paths(store) == ["a", "b"]
    for attempt in attempts(store, "a"):
        with pytest.raises(WrongContent, match="several members"):
            wire.wait(attempt)


def test_members_that_overlap(tmp_path):
    inner = write_zip(tmp_path / "inner.zip", [deflated(b"kernel", TEXT)]).read_bytes()
    covered = inner[: inner.index(b"PK\1\2")]
    # Its data are the next member, header and all: with many of them, the kernel's bytes count many times.
    quote = Entry(b"quote", size=len(covered), compressed=len(covered), crc=zlib.crc32(covered))
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [quote, deflated(b"kernel", TEXT)]))
    assert wire.wait(store.read("kernel")) == TEXT
    with pytest.raises(WrongContent, match="overlaps"):
        wire.wait(store.read("quote"))
    # Two names for the same bytes
    store = ArchiveStore(write_zip(tmp_path / "b.zip", [Entry(b"a", b"1"), Entry(b"b", b"1", offset=0)]))
    with pytest.raises(WrongContent, match="overlaps"):
        wire.wait(store.read("a"))
    with pytest.raises(WrongContent, match="names another file"):
        wire.wait(store.read("b"))
    # The extra of the local header, which the directory does not tell, makes it reach too far.
    reaching = Entry(b"reaching", b"1" * 9, local_extra=b"\0" * 8)
    hidden = Entry(b"hidden", b"2", offset=30 + 8 + 9)
    store = ArchiveStore(write_zip(tmp_path / "c.zip", [reaching, hidden]))
    for attempt in attempts(store, "reaching"):
        with pytest.raises(WrongContent, match="overlaps"):
            wire.wait(attempt)


def test_bombs_are_refused_by_what_they_claim(tmp_path):
    bomb = deflated(b"bomb", bytes(5_000))
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [bomb, deflated(b"sound", NOISE[:5_000])]), SMALL)
    assert wire.wait(store.read("sound")) == NOISE[:5_000]
    for attempt in attempts(store, "bomb"):
        with pytest.raises(WrongContent, match="zip bomb"):
            wire.wait(attempt)
    swarm = [deflated(b"%03d" % number, bytes(1_900)) for number in range(20)]
    with pytest.raises(WrongContent, match="zip bomb"):
        paths(ArchiveStore(write_zip(tmp_path / "b.zip", swarm), SMALL))
    assert len(everything(ArchiveStore(tmp_path / "b.zip"))) == 20


def test_no_byte_more_than_was_declared_is_ever_made(tmp_path):
    store = ArchiveStore(write_zip(tmp_path / "a.zip", [deflated(b"bomb", bytes(10**7), size=100, crc=0)]))
    sink = MemorySink()
    with pytest.raises(WrongContent, match="more bytes than the 100"):
        wire.wait(store.fetch(File("bomb"), sink))
    assert sink.position <= 100
    with pytest.raises(WrongContent, match="more bytes than the 100"):
        wire.wait(store.read("bomb", 50))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"count": 3}, "lists 2 members"),
        ({"disk": 1}, "several parts"),
        ({"shift": 1000}, "does not lie where"),
        ({"shift": -1}, "does not lie in|not there"),
    ],
)
def test_end_records_that_lie(tmp_path, made, said):
    entries = [Entry(b"a", b"1"), deflated(b"b", TEXT)]
    with pytest.raises(WrongContent, match=said):
        everything(ArchiveStore(write_zip(tmp_path / "a.zip", entries, **made)))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry(b"a/", b"1"), "is a directory, and has content"),
        (Entry(b"", b""), "has no name"),
        (Entry(b"a", b"1", disk=3), "does not lie in the archive"),
        (Entry(b"a", b"1", offset=10_000), "does not lie in the archive"),
        (Entry(b"a", b"1", disk=0xFFFF), "is missing"),
    ],
)
def test_directories_that_lie(tmp_path, entry, said):
    with pytest.raises(WrongContent, match=said):
        paths(ArchiveStore(write_zip(tmp_path / "a.zip", [entry, Entry(b"z")])))


def test_an_archive_that_was_cut_off_anywhere(tmp_path):
    whole = write_zip(tmp_path / "a.zip", [Entry(b"a", b"1"), deflated(b"b", b"2" * 99)], comment=b"end").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "b.zip").write_bytes(whole[:length])
        with pytest.raises(WrongContent, match=r"b\.zip"):
            paths(ArchiveStore(tmp_path / "b.zip"))


def test_no_changed_byte_makes_other_content(tmp_path):
    held = {"a": b"1", "dir/text": b"2" * 99, "empty": b""}
    entries = [Entry(b"a", held["a"]), deflated(b"dir/text", held["dir/text"]), Entry(b"empty")]
    whole = write_zip(tmp_path / "a.zip", entries).read_bytes()
    for change in (0x01, 0x80, 0xFF):
        for at in range(len(whole)):
            (tmp_path / "b.zip").unlink(missing_ok=True)  # a disk takes its time to write over a file
            (tmp_path / "b.zip").write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
            try:
                found = everything(ArchiveStore(tmp_path / "b.zip"))
            except VisprepError:
                continue
            assert found == held, f"byte {at} ^ {change}"


@pytest.mark.parametrize("content", [b"", b"PK", b"<!doctype html>" * 9, bytes(100_000)])
def test_what_is_no_zip_at_all(tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(WrongContent, match=r"a\.zip: no end record"):
        paths(ArchiveStore(tmp_path / "a.zip"))


def test_an_archive_that_is_replaced_while_it_is_read(tmp_path):
    store = packed(tmp_path / "a.zip", {"a": NOISE * 3})

    class Replacing(MemorySink):
        def write(self, data):
            super().write(data)
            pack(tmp_path / "new.zip", {"a": b"new"})
            (tmp_path / "new.zip").replace(tmp_path / "a.zip")

    with pytest.raises(ChangedMeanwhile, match=r"a\.zip changed"):
        wire.wait(store.fetch(File("a"), Replacing()))
    assert wire.wait(store.read("a")) == b"new"
    (tmp_path / "a.zip").unlink()
    with pytest.raises(PlaceMissing):
        wire.wait(store.read("a"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An archive with one member to unpack in memory, and one to unpack piece by piece."""
    held = {**FILES, "big": NOISE * 25, **{f"many/{number % 7}/{number:03}": b"%d" % number for number in range(200)}}
    return pack(tmp_path_factory.mktemp("large") / "a.zip", held), held


def create(files):
    return [Operation(Action.CREATE, file, "not there") for file in files]


@pytest.mark.parametrize("jobs", [None, 1, 5])
def test_unpacking_into_a_directory(tmp_path, large, jobs):
    archive, held = large
    store, target = ArchiveStore(archive), LocalStore(tmp_path / "out")
    moved = []
    got = dict(apply(create(store.list()), store, target, jobs=jobs, on_bytes=moved.append))
    assert tree(tmp_path / "out") == held
    assert got == {path: File(path, len(data), digest_of(data)) for path, data in held.items()}
    assert sum(moved) == sum(map(len, held.values()))


def test_unpacking_without_digests(tmp_path):
    store = packed(tmp_path / "a.zip", FILES)
    got = dict(in_threads(store.list(), store, LocalStore(tmp_path / "out"), digests=False))
    assert got == {path: File(path, len(data)) for path, data in FILES.items()}
    assert tree(tmp_path / "out") == FILES


@pytest.mark.parametrize("path", ["a.txt", "big"])
def test_unpacking_gives_nothing_else_than_what_was_promised(tmp_path, large, path):
    store, target = ArchiveStore(large[0]), LocalStore(tmp_path / "out")
    wire.wait(target.write(path, b"old"))
    size = wire.wait(store.stat(path)).size
    md5 = File(path, size, digest_of(wire.wait(store.read(path)), "md5"))
    wrong = [File(path, size + 1), File(path, size, digest_of(b"x")), File(path, size, digest_of(b"x", "md5"))]
    for promise in wrong:
        ((_, error),) = in_threads([promise], store, target)
        assert isinstance(error, WrongContent)
        assert path in str(error)
    assert tree(tmp_path / "out") == {path: b"old"}
    assert wire.wait(target.read(path)) == b"old"
    ((_, done),) = apply([Operation(Action.REPLACE, md5, "differs")], store, target)
    assert done.digest == wire.wait(store.hash(path, "sha256"))


def test_unpacking_never_leaves_the_directory(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    root.mkdir()
    (root / "leaving").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    store = packed(tmp_path / "a.zip", {"leaving/x": b"1", "leaving/deep/er": b"2", "file": b"3", "fine": b"4"})
    got = dict(in_threads(store.list(), store, LocalStore(root)))
    assert [type(got[path]) for path in sorted(got)] == [File, File, UnsafePath, UnsafePath]
    assert os.listdir(outside) == []
    assert (root / "file").read_bytes() == b"3"
    assert not (root / "file").is_symlink()


def test_no_link_is_written_through_not_even_one_with_the_name_of_a_part(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "out"
    outside.write_bytes(b"mine")
    root.mkdir()
    store = packed(tmp_path / "a.zip", {"x": b"1", "y": b"2"}, zipfile.ZIP_STORED)
    x = store.member("x")
    (root / part_of("x", x)).symlink_to(outside)
    got = dict(in_threads(store.list(), store, LocalStore(root)))
    assert (type(got["x"]), type(got["y"])) == (UnsafePath, File)
    assert outside.read_bytes() == b"mine"
    assert tree(root) == {"y": b"2"}


def test_what_stands_in_the_way_is_named_and_no_part_stays(tmp_path):
    root = tmp_path / "out"
    (root / "a").mkdir(parents=True)
    (root / "a/full").touch()
    (root / "b").write_bytes(b"mine")
    store = packed(tmp_path / "a.zip", {"a": b"1", "b/c": b"2", "d": b"3", "x" * 300: b"4"})
    got = dict(in_threads(store.list(), store, LocalStore(root)))
    kinds = {path[:3]: type(outcome) for path, outcome in got.items()}
    assert kinds == {"a": DiskError, "b/c": DiskError, "d": File, "xxx": UnsafePath}
    assert all(path in str(outcome) for path, outcome in got.items() if path != "d")
    assert not list(root.rglob(f"*{PART_SUFFIX}"))


def test_a_directory_is_copied_to_another_by_threads(tmp_path):
    origin, target = LocalStore(tmp_path / "in"), LocalStore(tmp_path / "out")
    for path, data in FILES.items():
        wire.wait(origin.write(path, data))
    operations = create([*origin.list(), File("gone")])
    got = dict(apply(operations, origin, target))
    assert isinstance(got.pop("gone"), FileMissing)
    assert got == {path: File(path, len(data), digest_of(data)) for path, data in FILES.items()}
    assert {path: data for path, data in tree(tmp_path / "out").items() if PART_SUFFIX not in path} == FILES


def test_the_command_line_takes_an_archive_for_a_place(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert run("download", "sample", "--output", tmp_path / "place").code == 0
    with zipfile.ZipFile(tmp_path / "Set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in tree(tmp_path / "place").items():
            archive.writestr(path, data)
    assert run("ls", tmp_path / "Set.zip").out == run("ls", tmp_path / "place").out
    assert run("verify", tmp_path / "Set.zip", "--depth", "content").code == 0
    assert run("download", tmp_path / "Set.zip").code == 0
    assert tree(tmp_path / "work/data/Set") == tree(tmp_path / "place")
    again = json.loads(run("download", tmp_path / "Set.zip", "--json").out)
    assert (again["moved"], again["kept"]) == (0, len(list(data_files(LocalStore(tmp_path / "place")))) - 1)


def test_an_archive_of_anything_becomes_a_place_with_a_record(run, tmp_path):
    pack("some.zip", FILES)  # a bare name, in the working directory
    assert run("download", "some.zip", "-o", tmp_path / "out").code == 0
    assert {path: data for path, data in tree(tmp_path / "out").items() if path in FILES} == FILES
    record = json.loads((tmp_path / "out/dataset.json").read_text())
    assert str(tmp_path) not in json.dumps(record)
    assert record["steps"][0]["source"] == "some.zip"


def test_one_bad_member_fails_alone_and_is_told(run, tmp_path):
    write_zip(tmp_path / "a.zip", [Entry(b"fine", b"1"), Entry(b"../up", b"2"), Entry(b"torn", b"3", crc=7)])
    ended = run("download", tmp_path / "a.zip", "-o", tmp_path / "out")
    assert ended.code == 3
    assert all(word in ended.err for word in ("[incomplete]", "unsafe-path", "wrong-content", "torn"))
    assert {path for path in tree(tmp_path / "out") if not path.startswith(".")} == {"fine"}


def test_an_archive_is_no_target(run, tmp_path):
    pack(tmp_path / "a.zip", {"a": b"1"})
    before = (tmp_path / "a.zip").read_bytes()
    for output in ("a.zip", "new.zip"):
        ended = run("download", "sample", "--output", tmp_path / output)
        assert (ended.code, "nothing is written into an archive" in ended.err) == (2, True)
    assert (tmp_path / "a.zip").read_bytes() == before
    assert not (tmp_path / "new.zip").exists()


def test_a_damaged_archive_is_an_error_and_not_a_finding(run, tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK\3\4 and no more")
    for command in (("ls",), ("verify",), ("download", "-o", tmp_path / "out")):
        ended = run(*command, tmp_path / "a.zip")
        assert (ended.code, "[wrong-content]" in ended.err) == (3, True)


def test_from_an_archive_to_s3(run, bucket, tmp_path):
    """A member above the size of a part is read in pieces, and each is inflated once."""
    held = {"large.txt": TEXT * 16, "small.txt": b"1"}
    pack(tmp_path / "a.zip", held)
    assert run("upload", tmp_path / "a.zip", f"s3://{bucket}/one").code == 0
    assert run("download", f"s3://{bucket}/one", "-o", tmp_path / "back").code == 0
    back = tree(tmp_path / "back")
    assert {path: hashlib.md5(back[path]).digest() for path in held} == {
        path: hashlib.md5(data).digest() for path, data in held.items()
    }


def test_a_pipe_is_no_archive_and_is_not_waited_for(run, tmp_path):
    os.mkfifo(tmp_path / "p.zip")
    for verb in ("verify", "ls"):
        ended = run(verb, tmp_path / "p.zip")
        assert (ended.code, ended.out, "[place-missing]" in ended.err) == (3, "", True)
        assert "not a regular file" in ended.err
