"""Tar files as places, plain and compressed: the contract, hostile archives, and what comes out of them."""

import gzip
import os
import pickle
import random
import tarfile
import tracemalloc

import pytest

from conftest import tree
from tar_forge import BLOCK, END, header, member, pax, tar, zipped
from visprep import wire
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    FileMissing,
    PlaceMissing,
    UnsafePath,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File
from visprep.stores import open_store
from visprep.stores.local import LocalStore
from visprep.stores.tar import TarStore
from visprep.stores.zip_directory import Limits
from visprep.testing.contracts import FILES, StoreContract
from visprep.transfer import in_threads


class TestPlain(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        return lambda files: placed(tmp_path / "a.tar", tar(files))


class TestCompressed(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        return lambda files: placed(tmp_path / "a.tar.gz", zipped(tar(files)))


class TestCompressedInParts(StoreContract):
    @pytest.fixture
    def fill(self, tmp_path):
        return lambda files: placed(tmp_path / "a.tgz", zipped(tar(files), members=5))


def placed(path, data, **options):
    path.write_bytes(data)
    return TarStore(path, **options)


def archives(data):
    """The same archive, plain and compressed."""
    return {"a.tar": data, "a.tar.gz": zipped(data)}


def photographs(count=60, size=40_000):
    rng = random.Random(7)
    return {
        f"validation/{rng.getrandbits(64):016x}.jpg": bytes(
            min(rng.getrandbits(8), rng.getrandbits(8)) for _ in range(rng.randrange(size // 2, size))
        )
        for _ in range(count)
    }


def listed(store):
    return [file.path for file in store.list()]


def fault_of(store, path):
    with pytest.raises(VisprepError) as caught:
        wire.wait(store.read(path))
    return caught.value


def unpacked(store, target):
    return dict(in_threads(list(store.list()), store, LocalStore(target)))


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tgz", "A.TAR.GZ", "b.TAR"])
def test_names_of_archives(tmp_path, name):
    assert isinstance(open_store(str(tmp_path / name)), TarStore)
    (tmp_path / name).mkdir()
    assert isinstance(open_store(str(tmp_path / name)), LocalStore)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar(tmp_path, form):
    files = {"a/b.txt": b"one", f"{'d' * 90}/{'e' * 90}.txt": b"two", "ä.txt": b"three"}
    if form != tarfile.USTAR_FORMAT:
        files["x" * 180 + "/" + "y" * 200] = b"four"
    for name, data in archives(tar(files, form)).items():
        store = placed(tmp_path / name, data)
        assert {path: wire.wait(store.read(path)) for path in listed(store)} == files


def test_what_the_content_is_counts_and_not_the_name(tmp_path):
    store = placed(tmp_path / "a.tar", zipped(tar(FILES)))
    assert wire.wait(store.read("a.txt")) == FILES["a.txt"]


def test_directories_and_the_archive_s_own(tmp_path):
    data = member(b"./", kind=b"5") + member(b"./full/", kind=b"5") + member(b"./full/a", b"1")
    store = placed(tmp_path / "a.tar", data + member(b"./empty/", kind=b"5") + END)
    assert listed(store) == ["empty/", "full/a"]


@pytest.mark.parametrize(
    ("made", "path", "says"),
    [
        (member(b"/etc/passwd", b"x"), "/etc/passwd", "cannot be a file of a place"),
        (member(b"../up", b"x"), "../up", "cannot be a file of a place"),
        (member(b"a/../../up", b"x"), "a/../../up", "cannot be a file of a place"),
        (member(b"c:/windows", b"x"), "c:/windows", "drive"),
        (member(b"a\\b", b"x"), "a\\b", "cannot be a file of a place"),
        (pax(path="d/" * 1000 + "x") + member(b"x", b"x"), "d/" * 1000 + "x", "more than 256 directories deep"),
        (member(b"link", kind=b"2", link=b"/etc/passwd"), "link", "it is a link"),
        (member(b"hard", kind=b"1", link=b"other"), "hard", "hard link"),
        (member(b"tty", kind=b"3"), "tty", "device"),
        (member(b"disk", kind=b"4"), "disk", "device"),
        (member(b"pipe", kind=b"6"), "pipe", "pipe"),
        (member(b"holes", b"x", b"S"), "holes", "sparse"),
        (pax(GNU__sparse__major="1") + member(b"holes", b"x"), "holes", "sparse"),
        (member(b"odd", b"x", b"Z"), "odd", "not known"),
    ],
)
def test_members_that_are_no_sound_files_are_listed_and_refuse(tmp_path, made, path, says):
    for name, data in archives(made + member(b"sound", b"fine") + END).items():
        store = placed(tmp_path / name, data)
        assert set(listed(store)) == {path, "sound"}
        problem = fault_of(store, path)
        assert isinstance(problem, UnsafePath)
        assert says in problem.message
        outcomes = unpacked(store, tmp_path / f"out-{name}")
        assert isinstance(outcomes[path], UnsafePath)
        assert tree(tmp_path / f"out-{name}") == {"sound": b"fine"}
        assert not (tmp_path / "up").exists()


def test_a_link_that_others_are_written_through_is_never_made(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    data = member(b"door", kind=b"2", link=str(outside).encode()) + member(b"door/in", b"x") + END
    unpacked(placed(tmp_path / "a.tar", data), tmp_path / "out")
    assert not list(outside.iterdir())
    assert tree(tmp_path / "out") == {"door/in": b"x"}


def test_two_members_of_one_name(tmp_path):
    for name, data in archives(member(b"a", b"1") + member(b"./a", b"2") + member(b"b", b"3") + END).items():
        store = placed(tmp_path / name, data)
        assert listed(store) == ["a", "b"]
        assert "several members" in fault_of(store, "a").message


def test_long_names_of_both_kinds_and_large_numbers(tmp_path):
    long = b"d/" * 100 + b"f"
    gnu = member(b"././@LongLink", long + b"\0", b"L") + member(b"short", b"1", magic=b"ustar  \0")
    big = header(b"big", size_field=b"\x80" + (3).to_bytes(11, "big")) + b"abc" + bytes(BLOCK - 3)
    store = placed(tmp_path / "a.tar", gnu + pax(path=b"p/" * 120 + b"q", size="2") + member(b"s", b"xy") + big + END)
    assert {path: wire.wait(store.read(path)) for path in listed(store)} == {
        long.decode(): b"1",
        "p/" * 120 + "q": b"xy",
        "big": b"abc",
    }


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "it is empty"),
        (b"hello", "it is no tar file"),
        (pax(size="9" * 5000) + member(b"a") + END, "a size is not to be read"),
        (b"PK\3\4" + bytes(600), "it is no tar file"),
        (member(b"a", b"1"), "cut off"),
        (member(b"a", b"1" * 2000)[:1500], "cut off"),
        (member(b"a", b"1")[:700], "cut off"),
        (header(b"a", 1 << 40) + b"short", "cut off"),
        (member(b"a", b"1") + END + member(b"b", b"2") + END, "goes on after the mark of its end"),
        (member(b"a", b"1") + header(b"b", checksum=1) + END, "a header is damaged"),
        (header(b"a", size_field=b"not a number") + END, "a size is not to be read"),
        (header(b"a", size_field=b"\xff" * 12) + END, "a size is not to be read"),
        (member(b"x", b"99999 path=a\n", b"x") + member(b"a") + END, "an extended header is damaged"),
        (member(b"x", b"9 path a\n", b"x") + member(b"a") + END, "an extended header is damaged"),
        (pax(path=b"a\0b") + member(b"a") + END, "NUL"),
        (header(b"x", 1 << 30, b"x") + END, "a name of"),
    ],
)
def test_what_is_wrong_with_the_archive_is_told_at_once(tmp_path, data, says):
    for name, one in archives(data).items():
        with pytest.raises(WrongContent, match=says):
            listed(placed(tmp_path / name, one))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda data: data[:-4], "cut off"),
        (lambda data: data[: len(data) // 2], "cut off"),
        (lambda data: data[:5], "cut off"),
        (lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:], "CRC-32"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "CRC-32"),
        (lambda data: data + b"what is this", "what follows its end"),
        (lambda data: data[:3] + b"\xe0" + data[4:], "it is no gzip file"),
        (lambda data: data[:100] + bytes(64) + data[164:], "inflated|CRC-32|header"),
        (lambda data: data + gzip.compress(tar({"b": b"2"})), "goes on after the mark of its end"),
    ],
)
def test_what_is_wrong_with_the_compression_is_told_at_once(tmp_path, spoil, says):
    with pytest.raises(WrongContent, match=says):
        listed(placed(tmp_path / "a.tar.gz", spoil(zipped(tar(photographs(3))))))


def test_zeros_after_the_end_are_no_harm(tmp_path):
    assert listed(placed(tmp_path / "a.tar.gz", zipped(tar({"a": b"1"})) + bytes(5000))) == ["a"]


def test_a_bomb_is_not_inflated_to_its_end(tmp_path):
    bomb = header(b"zeros", 1 << 33) + bytes(64 << 20)
    with pytest.raises(WrongContent, match="zip bomb"):
        listed(placed(tmp_path / "a.tar.gz", gzip.compress(bomb), limits=Limits(total=16 << 20)))


_MEBIBYTE = 1 << 20
_FACTS = b"".join(pax(**{f"k{number}": b"v" * (_MEBIBYTE - 100)}) for number in range(40))


@pytest.mark.parametrize("limits", [Limits(total=16 << 20), Limits(empty=16 << 20)])
@pytest.mark.parametrize(
    "bomb",
    [
        _FACTS + member(b"a") + END,
        member(b"a") + bytes(40 << 20),
        b"".join(member(b"x", b"n" * _MEBIBYTE, b"L") + member(b"a") for _ in range(40)) + END,
    ],
    ids=["facts", "zeros after the end", "names"],
)
def test_what_is_no_content_counts_against_the_limits(tmp_path, bomb, limits):
    with pytest.raises(WrongContent, match="zip bomb"):
        listed(placed(tmp_path / "a.tar.gz", gzip.compress(bomb, 9), limits=limits))


def test_many_empty_files_count_against_the_limits(tmp_path):
    empty = gzip.compress(b"".join(member(b"%d" % number) for number in range(4000)) + END, 9)
    with pytest.raises(WrongContent, match="no content of a file"):
        listed(placed(tmp_path / "a.tar.gz", empty, limits=Limits(ratio=10, empty=_MEBIBYTE)))
    assert len(listed(placed(tmp_path / "b.tar.gz", empty))) == 4000


def test_facts_that_are_not_asked_for_are_not_held(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(_FACTS + pax(path="b", GNU__sparse__major="1") + member(b"a") + member(b"c") + END)
    tracemalloc.start()
    try:
        store = TarStore(path)
        assert listed(store) == ["b", "c"]
        assert tracemalloc.get_traced_memory()[1] < 8 * _MEBIBYTE
    finally:
        tracemalloc.stop()
    assert "sparse" in fault_of(store, "b").message


def test_unpacked_from_many_places_at_once(tmp_path):
    files = photographs(200)
    store = placed(tmp_path / "a.tar.gz", zipped(tar(files)), spacing=300_000)
    outcomes = unpacked(store, tmp_path / "out")
    assert all(isinstance(outcome, File) for outcome in outcomes.values())
    assert tree(tmp_path / "out") == files
    assert len({store.segment(path) for path in files}) > 5
    again = pickle.loads(pickle.dumps(store))
    for path in random.Random(1).sample(sorted(files), 50):
        assert wire.wait(again.read(path, 1000, 5000)) == files[path][1000:6000]


def test_what_was_remembered_needs_no_second_pass(tmp_path):
    files = photographs(100)
    data = zipped(tar(files))
    path = tmp_path / "a.tar.gz"
    placed(path, data, spacing=300_000).remember(tmp_path / "noted")
    facts = path.stat()
    last = max(files, key=lambda name: data_offset(data, name))
    # All that lies before the last quarter is broken; who goes by what was noted never sees it
    with path.open("r+b") as spoiled:
        spoiled.write(bytes(len(data) // 2))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    store = TarStore(path)
    store.recall(tmp_path / "noted")
    assert listed(store) == sorted(files)
    assert wire.wait(store.read(last)) == files[last]
    os.utime(path, ns=(0, 0))
    fresh = TarStore(path)
    fresh.recall(tmp_path / "noted")
    with pytest.raises(WrongContent):
        listed(fresh)


def data_offset(data, name):
    plain = gzip.decompress(data)
    return plain.index(name.encode())


@pytest.mark.parametrize("noted", [b"", b"[]\n{}", b"no json\n\xff", b"[1, 2, 3]\n{}"])
def test_notes_that_say_nothing_are_passed_over(tmp_path, noted):
    store = placed(tmp_path / "a.tar.gz", zipped(tar({"a": b"1"})))
    (tmp_path / "noted").write_bytes(noted)
    store.recall(tmp_path / "noted")
    store.recall(tmp_path / "nothing there")
    assert listed(store) == ["a"]


def test_an_archive_that_changes_is_noticed(tmp_path):
    for name, data in archives(tar(photographs(5))).items():
        store = placed(tmp_path / name, data)
        path = listed(store)[2]
        (tmp_path / name).write_bytes(data + bytes(BLOCK))
        with pytest.raises(ChangedMeanwhile):
            store.look(0, 10)
        assert listed(store)[2] == path


def test_nothing_is_written_into_an_archive(tmp_path):
    store = placed(tmp_path / "a.tar", tar({"a": b"1"}))
    for job in (store.write("b", b""), store.delete("a"), store.receive(File("b", 0), store)):
        with pytest.raises(AccessDenied, match="read-only"):
            wire.wait(job)
    with pytest.raises(FileMissing):
        wire.wait(store.read("b"))
    with pytest.raises(PlaceMissing):
        listed(TarStore(tmp_path / "none.tar"))
