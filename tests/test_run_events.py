"""TensorBoard's event files on their way to a place, read back by TensorBoard itself."""

from __future__ import annotations

import random
import threading

import pytest

from run_files import EMPTY, Writer, joined, names, pulled, scalars
from s3_door import Door, error
from visprep.errors import AccessDenied, UsageError, WouldOverwrite
from visprep.messages import Patience
from visprep.runs.event_files import EventShipper, masked_crc, whole_records
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.s3 import S3Store

pytest.importorskip("tensorboard", reason="TensorBoard is in the dev extra")

PATH = "tensorboard/exp"


def record(data):
    length = len(data).to_bytes(8, "little")
    return length + masked_crc(length).to_bytes(4, "little") + data + masked_crc(data).to_bytes(4, "little")


@pytest.fixture
def local(tmp_path):
    directory = tmp_path / "runs" / PATH
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def place(tmp_path):
    return LocalStore(tmp_path / "place")


@pytest.fixture
def at(tmp_path):
    return tmp_path / "place" / PATH


def test_the_checksum_is_that_of_the_format():
    assert masked_crc(b"") == 0xA282EAD8
    crc = 0xE3069283  # the standard's check value of CRC-32C
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_tensorboard_reads_the_pieces_as_one(local, bucket, tmp_path):
    """Two runs below the directory, two writers in one of them, and a record larger than a piece."""
    store = S3Store(f"s3://{bucket}/runs")
    shipper = EventShipper(local, store, PATH, piece=4096)
    assert shipper.ship() == 0
    train, val = Writer(local / "train"), Writer(local / "val")
    for step in range(60):
        if step == 30:
            train.close()
            train = Writer(local / "train", ".resumed")
        train.scalar(step, 1 / (step + 1))
        if step == 40:
            train.text(step, 50_000)
        if step % 10 == 9:
            val.scalar(step, 2.0)
        train.flush()
        val.flush()
        shipper.ship()
    train.close()
    val.close()
    shipper.ship(whole=True)
    there = pulled(store, tmp_path / "pulled") / PATH
    assert scalars(there / "train") == scalars(local / "train")
    assert len(scalars(there / "train")) == 60
    assert scalars(there / "val") == scalars(local / "val")
    for name in names(local):
        assert joined(there, name) == (local / name).read_bytes()
    assert len(names(there)) > 60
    assert shipper.ship(whole=True) == 0
    assert EventShipper(local, store, PATH).ship(whole=True) == 0
    assert EventShipper(local, S3Store(store.place, page_size=7), PATH).ship(whole=True) == 0


def test_half_a_record_waits(local, place, at):
    """Whatever of a file is on disk at the moment, only whole records are sent, and in the end all of them."""
    writer = Writer(local)
    for step in range(40):
        writer.scalar(step, float(step))
    writer.close()
    (name,) = names(local)
    data = (local / name).read_bytes()
    (local / name).write_bytes(b"")
    rng, shipper = random.Random(5), EventShipper(local, place, PATH)
    at_byte = 0
    while at_byte < len(data):
        at_byte = min(len(data), at_byte + rng.choice((1, 3, 11, 12, 13, 50, 300)))
        (local / name).write_bytes(data[:at_byte])
        shipper.ship(whole=rng.random() < 0.2)
        if (at / name).exists():
            sent = joined(at, name)
            assert data.startswith(sent)
            assert whole_records(sent) == len(sent)
            assert whole_records(data[:at_byte]) == len(sent)
    assert joined(at, name) == data
    assert scalars(at) == [(step, float(step)) for step in range(40)]


def test_a_damaged_end_is_never_sent(local, place, at):
    writer = Writer(local)
    writer.scalar(1, 1.0)
    writer.close()
    (name,) = names(local)
    whole = (local / name).read_bytes()
    shipper = EventShipper(local, place, PATH, piece=64)
    with (local / name).open("ab") as file:
        file.write(bytes(100_000))  # as a file system leaves it after a power cut
    assert shipper.ship(whole=True) > 0
    assert joined(at, name) == whole
    assert shipper.ship(whole=True) == 0
    assert scalars(at) == [(1, 1.0)]


def test_bytes_are_linear_in_what_was_logged(local):
    """1,000 flushes: each byte goes once, and with each piece the record that tells the version."""
    bodies = []

    def answer(seen):
        if seen.method == "PUT":
            bodies.append(len(seen.body))
            return 200, {"ETag": '"e"'}, b""
        return 200, {}, EMPTY

    writer = Writer(local)
    writer.flush()
    (name,) = names(local)
    head = (local / name).stat().st_size
    sent = 0
    with Door(answer=answer) as door:
        settings = S3Settings(endpoint_url=door.url, access_key="A", secret_key="S")
        shipper = EventShipper(local, S3Store("s3://bucket/p", settings), PATH)
        for step in range(1000):
            for tag in range(10):
                writer.scalar(step, 0.5, f"tag{tag}")
            writer.flush()
            sent += shipper.ship()
            assert shipper.ship() == 0
    writer.close()
    assert len(bodies) == 1000
    assert sum(bodies) == sent == (local / name).stat().st_size + 999 * head
    assert sum(1 for seen in door.seen if seen.method != "PUT") == 1  # one listing in all


def test_another_process_goes_on(local, place, at):
    """What was sent is told by what lies there: nothing twice, nothing lost, whatever the size of a piece is now."""
    writer = Writer(local)
    for step in range(30):
        writer.scalar(step, float(step))
        writer.flush()
        EventShipper(local, place, PATH, piece=random.Random(step).choice((64, 200, 10_000))).ship()
    writer.close()
    (name,) = names(local)
    assert joined(at, name) == (local / name).read_bytes()
    assert scalars(at) == [(step, float(step)) for step in range(30)]


def test_two_processes_send_the_same_file(local, bucket, tmp_path):
    """A notebook whose cells were run twice: pieces are never replaced, so nothing is there twice."""
    store, done = S3Store(f"s3://{bucket}/runs"), threading.Event()
    writer, failed = Writer(local), []

    def send():
        shipper = EventShipper(local, S3Store(f"s3://{bucket}/runs"), PATH)
        try:
            while not done.is_set():
                shipper.ship()
            shipper.ship(whole=True)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for step in range(200):
        writer.scalar(step, float(step))
        writer.flush()
    done.set()
    for thread in threads:
        thread.join()
    writer.close()
    assert not failed
    EventShipper(local, store, PATH).ship(whole=True)
    there = pulled(store, tmp_path / "pulled") / PATH
    (name,) = names(local)
    assert joined(there, name) == (local / name).read_bytes()


@pytest.mark.parametrize("answer", ["lost", "ignores", "501", "400"])
def test_answers_that_get_lost_and_servers_without_conditions(local, bucket, s3_server, tmp_path, answer):
    def trouble(seen):
        if seen.method != "PUT":
            return None
        if answer == "lost" and len(door.seen) % 3 == 0:
            door.forward(seen)
            return error(500, "InternalError")
        if answer in ("501", "400") and "if-none-match" in seen.headers:
            return error(int(answer), "NotImplemented" if answer == "501" else "InvalidArgument")
        if answer == "ignores":
            seen.headers.pop("if-none-match", None)
        return None

    writer = Writer(local)
    with Door(s3_server, trouble) as door:
        store = S3Store(f"s3://{bucket}/runs", S3Settings(endpoint_url=door.url))
        shipper = EventShipper(local, store, PATH, patience=Patience(base=0.001))
        for step in range(6):
            writer.scalar(step, float(step))
            writer.flush()
            shipper.ship()
    writer.close()
    (name,) = names(local)
    there = pulled(S3Store(f"s3://{bucket}/runs"), tmp_path / "pulled") / PATH
    assert joined(there, name) == (local / name).read_bytes()
    assert len(names(there)) == 6


def test_what_could_not_be_sent_is_sent_later(local, bucket, s3_server, tmp_path):
    denied = threading.Event()

    def answer(seen):
        return error(403, "AccessDenied") if denied.is_set() and seen.method == "PUT" else None

    writer = Writer(local)
    with Door(s3_server, answer) as door:
        store = S3Store(f"s3://{bucket}/runs", S3Settings(endpoint_url=door.url))
        shipper = EventShipper(local, store, PATH)
        for step in range(9):
            writer.scalar(step, float(step))
            writer.flush()
            if step in (3, 4):
                denied.set()
                with pytest.raises(AccessDenied):
                    shipper.ship()
                denied.clear()
            else:
                shipper.ship()
    writer.close()
    there = pulled(S3Store(f"s3://{bucket}/runs"), tmp_path / "pulled") / PATH
    assert scalars(there) == [(step, float(step)) for step in range(9)]
    assert len(names(there)) == 7


@pytest.mark.parametrize("damage", ["other bytes", "longer", "a piece is missing"])
def test_pieces_that_are_not_of_the_file(local, place, at, damage):
    """They are not gone on with, and not touched; the other files go all the same."""
    writer = Writer(local, ".a")
    shipper = EventShipper(local, place, PATH)
    for step in range(3):
        writer.scalar(step, 1.0)
        writer.flush()
        shipper.ship()
    (name,) = names(local)
    last = at / f"{name}.000002"
    if damage == "other bytes":
        last.write_bytes(last.read_bytes()[:-5] + b"other")
    elif damage == "longer":
        last.write_bytes(last.read_bytes() * 20)
    else:
        (at / f"{name}.000001").unlink()
    before = {path: (at / path).read_bytes() for path in names(at)}
    writer.scalar(3, 1.0)
    writer.close()
    other = Writer(local, ".b")
    other.scalar(1, 2.0)
    other.close()
    again = EventShipper(local, place, PATH)
    for _ in range(2):
        with pytest.raises(WouldOverwrite) as refused:
            again.ship(whole=True)
    assert refused.value.paths == (name,)
    assert {path: (at / path).read_bytes() for path in before} == before
    assert len(names(at)) == len(before) + 1


def test_pieces_that_were_pulled_are_pushed_as_they_are(local, place, at, tmp_path):
    writer = Writer(local)
    shipper = EventShipper(local, place, PATH)
    for step in range(4):
        writer.scalar(step, 1.0)
        writer.flush()
        shipper.ship()
    writer.close()
    further = LocalStore(tmp_path / "further")
    pushing = EventShipper(at, further, PATH)
    assert pushing.ship(whole=True) == sum((at / name).stat().st_size for name in names(at))
    assert pushing.ship(whole=True) == 0
    assert EventShipper(at, further, PATH).ship(whole=True) == 0
    assert {name: (further.root / PATH / name).read_bytes() for name in names(at)} == {
        name: (at / name).read_bytes() for name in names(at)
    }
    (further.root / PATH / names(at)[0]).write_bytes(b"foreign")
    with pytest.raises(WouldOverwrite):
        EventShipper(at, further, PATH).ship()


def test_files_of_the_projector_go_when_they_rest(local, place, at):
    shipper = EventShipper(local, place, PATH)
    config = local / "projector_config.pbtxt"
    config.write_text("one")
    assert shipper.ship() == 0
    config.write_text("one two")
    assert shipper.ship() == 0  # it is being written
    assert shipper.ship() == 7
    config.write_text("one two three")
    assert [shipper.ship(), shipper.ship()] == [0, 0]  # once more only at the end: bytes stay linear
    assert shipper.ship(whole=True) == 13
    assert shipper.ship(whole=True) == 0
    assert (at / config.name).read_text() == "one two three"
    assert EventShipper(local, place, PATH).ship(whole=True) == 0


def test_the_place_itself_needs_no_shipping(tmp_path):
    place = LocalStore(tmp_path)
    writer = Writer(tmp_path / PATH)
    writer.scalar(1, 1.0)
    writer.close()
    assert EventShipper(tmp_path / PATH, place, PATH).ship(whole=True) == 0
    assert len(names(tmp_path / PATH)) == 1
    with pytest.raises(UsageError):
        EventShipper(tmp_path / PATH, MemoryStore(), PATH)


def test_a_file_that_shrank_is_told(local, place):
    writer = Writer(local)
    writer.scalar(1, 1.0)
    writer.close()
    (name,) = names(local)
    shipper = EventShipper(local, place, PATH)
    shipper.ship()
    (local / name).write_bytes(record(b"brain.Event:2") + record(b"x"))
    with pytest.raises(WouldOverwrite, match="shorter"):
        shipper.ship()
