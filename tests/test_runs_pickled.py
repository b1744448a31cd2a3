"""Snapshots on their way to a directory and to S3: whole under their name or not at all, whatever happens."""

from __future__ import annotations

import hashlib
import io
import os
import threading

import pytest

torch = pytest.importorskip("torch", reason="torch is in the torch extra")

from visprep import errors  # noqa: E402
from visprep.digests import digest_of  # noqa: E402
from visprep.runs.pickled import write_checkpoint  # noqa: E402
from visprep.runs.snapshots import Snapshot  # noqa: E402
from visprep.settings import S3Settings  # noqa: E402
from visprep.stores.local import LocalStore  # noqa: E402
from visprep.stores.memory import MemoryStore  # noqa: E402
from visprep.stores.s3 import S3Store  # noqa: E402
from visprep.testing.proxy import FaultyProxy  # noqa: E402
from visprep.wire import Patience, wait  # noqa: E402

MIB = 1024 * 1024
PATH = "checkpoints/one/checkpoint_step_00000007.0123abcd.pt"
QUICK = Patience(base=0.001, attempts=4)


def taken(count: int, value: float = 1.0) -> Snapshot:
    snapshot = Snapshot()
    snapshot.take({"weights": torch.full((count,), value), "other": torch.randn(1000), "step": 7})
    return snapshot


def image_of(snapshot: Snapshot) -> bytes:
    with snapshot.reading() as image:
        return bytes(image)


@pytest.fixture
def proxy(s3_server):
    with FaultyProxy(s3_server) as proxy:
        yield proxy


@pytest.fixture
def store(proxy, bucket):
    return S3Store(f"s3://{bucket}/runs", S3Settings(endpoint_url=proxy.url, part_size=5 * MIB))


def asked(proxy: FaultyProxy, part: str) -> list[str]:
    return [one.line for one in proxy.requests if part in one.line]


# -- a directory


def test_into_a_directory(tmp_path):
    snapshot = taken(1_000_000)
    file = write_checkpoint(LocalStore(tmp_path), PATH, snapshot)
    data = (tmp_path / PATH).read_bytes()
    assert data == image_of(snapshot)
    assert (file.path, file.size, file.digest) == (PATH, len(data), digest_of(data))
    assert os.listdir((tmp_path / PATH).parent) == [PATH.rpartition("/")[2]]


def test_a_full_disk_leaves_nothing_under_the_name(small_disk):
    with pytest.raises(errors.DiskFull):
        write_checkpoint(LocalStore(small_disk), PATH, taken(100_000))
    assert not (small_disk / PATH).exists()
    assert (
        write_checkpoint(LocalStore(small_disk), "small.pt", taken(10)).size == (small_disk / "small.pt").stat().st_size
    )


def test_where_nothing_may_be_written(tmp_path, bound):
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(errors.AccessDenied):
        write_checkpoint(LocalStore(tmp_path / "closed"), PATH, taken(10))


def test_it_may_be_written_again_and_changes_nothing(tmp_path):
    snapshot = taken(1000)
    first = write_checkpoint(LocalStore(tmp_path / "one"), PATH, snapshot)
    assert write_checkpoint(MemoryStore(), "other.pt", snapshot).digest == first.digest
    snapshot.take({"weights": torch.zeros(5)})
    assert write_checkpoint(LocalStore(tmp_path / "two"), PATH, snapshot).digest != first.digest


# -- S3


@pytest.mark.parametrize("count", [10, 1_000_000, 3_000_000])
def test_to_s3_in_one_request_or_in_parts(store, proxy, count):
    snapshot = taken(count)
    file = write_checkpoint(store, PATH, snapshot)
    data = image_of(snapshot)
    assert (file.size, file.digest) == (len(data), digest_of(data))
    assert wait(store.read(PATH)) == data
    assert torch.load(io.BytesIO(data), weights_only=True)["step"] == 7
    parts = len(asked(proxy, "partNumber="))
    assert parts == (-(-len(data) // (5 * MIB)) if len(data) > 5 * MIB else 0)
    assert store.unfinished() == ()


def test_uploads_are_begun_as_those_that_are_swept(store, proxy):
    """With checksums of the whole object, by which `stores.s3_uploads` knows its own; the server compares them."""
    proxy.fault("PUT .*partNumber=2", times=None, status=403)
    with pytest.raises(errors.AccessDenied):
        write_checkpoint(store, PATH, taken(3_000_000))
    assert len(store.unfinished()) == 1
    (begun,) = [one for one in proxy.requests if one.method == "POST"]
    assert begun.headers["x-amz-checksum-algorithm"] == "CRC32"
    assert begun.headers["x-amz-checksum-type"] == "FULL_OBJECT"


@pytest.mark.parametrize(
    "fault",
    [
        {"upload_reset": 0.5},
        {"status": 503},
        {"status": 500, "code": "InternalError"},
        {"torn": True},
    ],
    ids=["reset in a part", "slow down", "internal error", "answer lost"],
)
def test_troubles_on_the_way_do_not_show(store, proxy, fault):
    snapshot = taken(3_000_000)
    proxy.fault("PUT .*partNumber=[12]", times=3, **fault)
    file = write_checkpoint(store, PATH, snapshot, patience=QUICK)
    assert proxy.spent
    assert file.digest == digest_of(wait(store.read(PATH))) == digest_of(image_of(snapshot))


@pytest.mark.parametrize("pattern", ["POST .*uploads", "PUT .*partNumber=2", "POST .*uploadId"])
@pytest.mark.parametrize(
    ("how", "kind"),
    [({"status": 503}, errors.RateLimited), ({"status": 403, "code": "ExpiredToken"}, errors.CredentialsError)],
)
def test_what_does_not_end_leaves_no_object_and_can_be_gone_on_with(store, proxy, pattern, how, kind):
    snapshot = taken(3_000_000)
    proxy.fault(pattern, times=None, **how)
    with pytest.raises(kind):
        write_checkpoint(store, PATH, snapshot, patience=QUICK)
    with pytest.raises(errors.FileMissing):
        wait(store.stat(PATH))
    proxy.clear_faults()
    before = len(proxy.requests)
    file = write_checkpoint(store, PATH, snapshot, patience=QUICK)
    assert digest_of(wait(store.read(PATH))) == file.digest
    assert store.unfinished() == ()
    sent = [one.line for one in proxy.requests[before:] if "partNumber=" in one.line and one.method == "PUT"]
    if pattern == "POST .*uploadId":
        assert not sent, "all parts were there already"
    else:
        assert sent


def test_a_server_that_is_not_there(tmp_path, monkeypatch, bucket):
    store = S3Store(f"s3://{bucket}/runs", S3Settings(endpoint_url="http://127.0.0.1:9", part_size=5 * MIB))
    for count in (10, 3_000_000):
        with pytest.raises(errors.Unreachable):
            write_checkpoint(store, PATH, taken(count), patience=Patience(base=0.001, attempts=2))


def test_two_threads_may_write_one_snapshot_while_training_goes_on(store, tmp_path):
    weights = torch.ones(3_000_000)
    snapshot = Snapshot()
    snapshot.take({"weights": weights})
    digests = []

    def write(target):
        digests.append(write_checkpoint(target, PATH, snapshot).digest)

    threads = [threading.Thread(target=write, args=(one,)) for one in (store, LocalStore(tmp_path), MemoryStore())]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        weights += 1
    assert len(digests) == 3
    assert len(set(digests)) == 1
    assert torch.load(tmp_path / PATH)["weights"].eq(1).all()
    assert hashlib.sha256(wait(store.read(PATH))).hexdigest() == digests[0][7:]
    snapshot.take({"weights": weights})
