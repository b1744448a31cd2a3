"""Fingerprinting a place: what cannot be read is told, and what was learned is not learned again."""

import base64
import json
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from visprep import S3Settings, changes, wire
from visprep.errors import AccessDenied, CredentialsError, FileMissing, WrongContent
from visprep.fingerprinting import fingerprints_of
from visprep.fingerprints import ROW, fingerprint
from visprep.manifest import File
from visprep.own_record import CACHE
from visprep.print_memory import PrintMemory
from visprep.stores import open_store
from visprep.stores.local import LocalStore
from visprep.testing.s3 import FaultyS3

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded
from planted_images import scene

COUNT = 5
MEMORY = f"{CACHE}/verified-images.jsonl"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Places with the same images, one for each test, all written long enough ago to be remembered."""
    images = [encoded(scene(number)) for number in range(COUNT)]
    roots = [tmp_path_factory.mktemp("place") for _ in range(30)]
    for root in roots:
        (root / "in").mkdir()
        (root / ".visprep").mkdir()
        for number, data in enumerate(images):
            (root / f"in/{number}.jpg").write_bytes(data)
    time.sleep(2.1)
    return iter(roots)


@pytest.fixture
def place(places):
    return next(places)


def looked(root, **options):
    store = LocalStore(root)
    return fingerprints_of(store, [file for file in store.list() if file.path.endswith(".jpg")], **options)


def test_the_rows_are_the_fingerprints_in_order(place):
    seen = []
    prints = looked(place, progress=seen.append, jobs=2)
    for number in range(COUNT):
        assert prints.rows[number] == fingerprint((place / f"in/{number}.jpg").read_bytes()).row()[0]
    assert prints.unread == {}
    assert (seen[-1].done, seen[-1].total, seen[-1].unit) == (COUNT, COUNT, "images")


def test_what_was_learned_is_remembered_and_a_changed_file_is_read_again(place):
    first = looked(place)
    assert first.remembered == 0
    again = looked(place)
    assert again.remembered == COUNT
    assert (again.rows == first.rows).all()
    (place / "in/3.jpg").write_bytes(encoded(scene(33)))
    changed = looked(place)
    assert changed.remembered == COUNT - 1
    assert np.flatnonzero(changed.rows != first.rows).tolist() == [3]
    assert looked(place).remembered == COUNT - 1  # it is too young to be remembered


def test_a_file_whose_times_alone_changed_is_not_decoded_again(place):
    """A thumbnail that the memory has, and the file has not, shows where it came from."""
    looked(place)
    memory = place / MEMORY
    header, *lines = memory.read_bytes().splitlines()
    entry = json.loads(lines[0])
    row = np.frombuffer(base64.b64decode(entry["print"]), ROW).copy()
    row["luma"][0, 0] ^= 1
    entry["print"] = base64.b64encode(row.tobytes()).decode()
    memory.write_bytes(b"\n".join([header, json.dumps(entry).encode(), *lines[1:], b""]))
    (place / "in/link.jpg").hardlink_to(place / "in/0.jpg")  # as split does with --how links
    again = looked(place)
    assert again.remembered == COUNT - 1
    assert again.rows[0] == row[0]


def test_the_memory_outlives_a_command_that_changes_the_place(place):
    looked(place)
    (place / CACHE / "other").write_text("x")
    changes.drop_cache(LocalStore(place))
    assert not (place / CACHE / "other").exists()
    assert looked(place).remembered == COUNT


def test_a_place_that_visprep_knows_nothing_of_stays_as_it_is(place, tmp_path):
    (place / ".visprep").rmdir()
    before = sorted(place.rglob("*"))
    assert looked(place).remembered == looked(place).remembered == 0
    assert sorted(place.rglob("*")) == before
    holder = LocalStore(tmp_path / "result")
    assert looked(place, holder=holder).remembered == 0
    assert looked(place, holder=holder).remembered == COUNT
    assert sorted(place.rglob("*")) == before


def test_a_result_that_would_go_to_the_files_of_others_leaves_no_memory_there(place, tmp_path):
    (place / ".visprep").rmdir()
    others = tmp_path / "others"
    others.mkdir()
    (others / "thesis.txt").write_text("mine")
    assert looked(place, holder=LocalStore(others)).remembered == 0
    assert [path.name for path in others.iterdir()] == ["thesis.txt"]
    (others / ".visprep").mkdir()
    looked(place, holder=LocalStore(others))
    assert looked(place, holder=LocalStore(others)).remembered == COUNT


def test_files_that_have_just_been_written_are_not_remembered(tmp_path):
    (tmp_path / ".visprep").mkdir()
    (tmp_path / "a.jpg").write_bytes(encoded(scene(1)))
    looked(tmp_path)
    assert looked(tmp_path).remembered == 0


def test_an_interrupted_run_keeps_what_it_learned(place):
    class Stop(Exception):
        pass

    def stop(progress):
        if progress.done == 1:
            raise Stop

    with pytest.raises(Stop):
        looked(place, progress=stop, jobs=1)
    assert looked(place).remembered == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-30],
        lambda data: data + b"\0\xff not JSON\n{}\n[]\n17\n",
        lambda data: data.replace(b'"size"', b'"seize"', 1),
    ],
)
def test_of_a_damaged_memory_the_rest_is_used(place, damage):
    first = looked(place)
    memory = place / MEMORY
    memory.write_bytes(damage(memory.read_bytes()))
    assert COUNT - 1 <= looked(place).remembered <= COUNT
    again = looked(place)
    assert again.remembered == COUNT
    assert (again.rows == first.rows).all()


def test_the_memory_of_other_fingerprints_is_not_used(place):
    looked(place)
    memory = place / MEMORY
    memory.write_bytes(memory.read_bytes().replace(b'"fingerprints": ', b'"fingerprints": 9'))
    assert looked(place).remembered == 0
    assert looked(place).remembered == COUNT


def test_the_memory_does_not_grow_for_ever(place):
    store = LocalStore(place)
    files = [file for file in store.list() if file.path.endswith(".jpg")]
    rows = looked(place).rows
    for _ in range(60):
        with PrintMemory(store, None) as memory:
            list(memory.recall({file.path: number for number, file in enumerate(files)}))
            for number, file in enumerate(files):
                memory.learn(file, rows[number : number + 1])
    assert len((place / MEMORY).read_bytes().splitlines()) < 150
    assert looked(place).remembered == COUNT


def test_a_place_that_cannot_be_written_to_is_not_remembered(place, bound):
    (place / ".visprep").chmod(0o555)
    try:
        assert looked(place).unread == {}
        assert looked(place).remembered == 0
    finally:
        (place / ".visprep").chmod(0o755)
    assert not (place / CACHE).exists()


def test_images_that_cannot_be_read_are_told_and_the_rest_goes_on(place):
    (place / "in/1.jpg").write_bytes(b"no image")
    (place / "in/2.jpg").write_bytes(encoded(scene(2))[:900])
    store = LocalStore(place)
    files = [file for file in store.list() if file.path.endswith(".jpg")]
    files.append(File("in/gone.jpg", 3, etag="1-1-1"))
    files.append(File("in/huge.jpg", 10**9))
    prints = fingerprints_of(store, files)
    assert {number: type(error) for number, error in prints.unread.items()} == {
        1: WrongContent,
        2: WrongContent,
        COUNT: FileMissing,
        COUNT + 1: WrongContent,
    }
    assert prints.rows["there"].tolist() == [True, False, False, True, True, False, False]


def test_an_image_that_became_unreadable_loses_its_fingerprint(place):
    looked(place)
    (place / "in/1.jpg").write_bytes(b"no image")
    prints = looked(place)
    assert list(prints.unread) == [1]
    assert not prints.rows["there"][1]


def test_a_file_that_is_not_ours_to_read(place, bound):
    (place / "in/4.jpg").chmod(0)
    assert [type(error) for error in looked(place).unread.values()] == [AccessDenied]


def test_in_a_zip(place, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", place)
    store = open_store(archive)
    files = [file for file in store.list() if file.path.endswith(".jpg")]
    assert (fingerprints_of(store, files).rows == looked(place).rows).all()


def upload(place, url):
    store = open_store(url)
    for file in sorted(place.rglob("*.jpg")):
        wire.wait(store.write(file.relative_to(place).as_posix(), file.read_bytes()))
    return store


def test_on_s3_and_remembered_by_etag_where_the_result_lies(place, bucket, tmp_path):
    store = upload(place, f"s3://{bucket}/p")
    holder = LocalStore(tmp_path / "result")
    first = fingerprints_of(store, list(store.list()), holder=holder)
    assert (first.rows == looked(place).rows).all()
    assert fingerprints_of(store, list(store.list()), holder=holder).remembered == COUNT
    assert fingerprints_of(store, list(store.list())).remembered == 0
    other = upload(place, f"s3://{bucket}/q")
    assert fingerprints_of(other, list(other.list()), holder=holder).remembered == 0
    wire.wait(store.write("in/2.jpg", encoded(scene(22))))
    assert fingerprints_of(store, list(store.list()), holder=holder).remembered == COUNT - 1


def test_on_s3_what_is_gone_is_told_and_what_fails_for_all_is_raised(place, bucket, s3_server):
    store = upload(place, f"s3://{bucket}/p")
    files = list(store.list())
    wire.wait(store.delete("in/0.jpg"))
    assert {number: type(error) for number, error in fingerprints_of(store, files).unread.items()} == {0: FileMissing}
    with FaultyS3(s3_server) as s3:
        s3.fail("expired-token", times=None)
        failing = open_store(f"s3://{bucket}/p", S3Settings(endpoint_url=s3.url))
        with pytest.raises(CredentialsError):
            fingerprints_of(failing, files[1:2])
