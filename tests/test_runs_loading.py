"""Checkpoints on their way back: from disk and S3, checked before anything of them is believed."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import re
import zipfile

import boto3
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is in the torch extra")

from s3_door import Door  # noqa: E402
from visprep import errors  # noqa: E402
from visprep.digests import digest_of  # noqa: E402
from visprep.runs.loading import load_checkpoint, read_checkpoint  # noqa: E402
from visprep.runs.pickled import write_checkpoint  # noqa: E402
from visprep.runs.snapshots import Snapshot  # noqa: E402
from visprep.settings import S3Settings  # noqa: E402
from visprep.stores.local import LocalStore  # noqa: E402
from visprep.stores.memory import MemoryStore  # noqa: E402
from visprep.testing.proxy import FaultyProxy  # noqa: E402
from visprep.wire import Patience  # noqa: E402

QUICK = Patience(base=0.001, attempts=4)
#: A state whose file comes in ranges
LARGE = {"weights": torch.arange(9_000_000, dtype=torch.float32), "step": 7}


def saved(state, **how) -> bytes:
    """As `torch.save` makes it: most checkpoints are not ours."""
    target = io.BytesIO()
    torch.save(state, target, **how)
    return target.getvalue()


def hex_of(data: bytes) -> str:
    return digest_of(data).removeprefix("sha256:")


def damaged(data: bytes, inside: bytes) -> bytes:
    at = data.index(inside)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.fixture(autouse=True)
def room(monkeypatch, tmp_path):
    """A directory for temporary files, in which nothing must be left."""
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "room").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "room"))
    yield
    assert os.listdir(tmp_path / "room") == []


@pytest.fixture
def proxy(s3_server):
    with FaultyProxy(s3_server) as proxy:
        yield proxy


@pytest.fixture
def put(bucket, s3_server):
    """Puts bytes where `load_checkpoint` finds them under the URL that it returns."""

    def call(data: bytes, name: str = "checkpoint_latest.pt", **more) -> str:
        boto3.client("s3", endpoint_url=s3_server).put_object(Bucket=bucket, Key=f"runs/{name}", Body=data, **more)
        return f"s3://{bucket}/runs/{name}"

    return call


@pytest.fixture(params=["directory", "S3"])
def placed(request, tmp_path, put):
    """Puts bytes into a directory, or on S3; the place of the file."""

    def into_directory(data: bytes) -> str:
        (tmp_path / "it.pt").write_bytes(data)
        return str(tmp_path / "it.pt")

    return into_directory if request.param == "directory" else put


# -- what comes back


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before zip"])
def test_what_torch_saved_comes_back(placed, legacy):
    place = placed(saved({"a": torch.arange(5), "b": [1, "x"]}, _use_new_zipfile_serialization=not legacy))
    back = load_checkpoint(place)
    assert back["a"].tolist() == [0, 1, 2, 3, 4]
    assert back["b"] == [1, "x"]


def test_a_path_object_a_relative_path_and_a_link(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "it.pt").write_bytes(saved([1]))
    (tmp_path / "link.pt").symlink_to(tmp_path / "real" / "it.pt")
    monkeypatch.chdir(tmp_path / "real")
    assert load_checkpoint(tmp_path / "link.pt") == load_checkpoint("it.pt") == load_checkpoint("./it.pt") == [1]


def test_any_store_will_do():
    data = saved({"a": 1})
    assert read_checkpoint(MemoryStore(files={"x/it.pt": data}), "x/it.pt", sha256=hex_of(data)) == {"a": 1}


def test_large_ones_come_in_ranges_that_go_on_after_a_reset(bucket, proxy, put):
    data = saved(LARGE)
    place = put(data)
    proxy.fault("GET .*latest", times=2, cut=0.5, reset=True)
    back = load_checkpoint(place, sha256=hex_of(data), s3=S3Settings(endpoint_url=proxy.url), patience=QUICK)
    assert proxy.spent
    assert torch.equal(back["weights"], LARGE["weights"])
    asked = [one.range for one in proxy.requests if one.method == "GET"]
    assert len(asked) >= 5
    assert all(asked)


def test_ours_go_round(bucket, s3_server):
    from visprep.stores.s3 import S3Store

    snapshot = Snapshot()
    snapshot.take(LARGE)
    store = S3Store(f"s3://{bucket}/runs")
    file = write_checkpoint(store, "a/it.pt", snapshot)
    for sha256 in (file.digest, hex_of(saved([]))[:0] or None):
        back = read_checkpoint(store, "a/it.pt", sha256=sha256)
        assert torch.equal(back["weights"], LARGE["weights"])


def test_another_that_takes_its_place_while_it_is_read(bucket, s3_server, put):
    """As `checkpoint_latest.pt` is, whenever the training saves."""
    other = {"weights": LARGE["weights"] + 1, "step": 8}
    place, after = put(saved(LARGE)), saved(other)
    with Door(s3_server) as door:
        gets = []

        def replace(seen):
            if seen.method == "GET":
                gets.append(seen)
                if len(gets) == 2:
                    put(after)

        door.answer = replace
        back = load_checkpoint(place, s3=S3Settings(endpoint_url=door.url), patience=QUICK)
    assert len(gets) > 2
    assert back["step"] == 8
    assert torch.equal(back["weights"], other["weights"])


# -- what is not believed


def test_damage_is_told_where_torch_load_sees_none(placed):
    weights = torch.arange(1000.0)
    data = damaged(saved({"weights": weights}), weights.numpy().tobytes())
    assert not torch.equal(torch.load(io.BytesIO(data))["weights"], weights), "torch.load takes it"
    with pytest.raises(errors.WrongContent, match=r"archive/data/0|data/0"):
        load_checkpoint(placed(data))


def test_checksums_that_pytorch_was_told_not_to_write_are_not_compared(placed):
    torch.serialization.set_crc32_options(False)
    try:
        data = saved({"weights": torch.arange(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_checkpoint(placed(data))["weights"].tolist() == [0, 1, 2]


def test_another_content_than_that_of_the_digest(placed):
    data = saved({"a": 1})
    place = placed(data)
    assert load_checkpoint(place, sha256=hex_of(data)) == {"a": 1}
    with pytest.raises(errors.WrongContent):
        load_checkpoint(place, sha256=hex_of(b"other"))


def test_what_the_object_tells_of_itself_is_compared(put):
    data = saved({"weights": torch.arange(1000.0)}, _use_new_zipfile_serialization=False)
    wrong = damaged(data, torch.arange(1000.0).numpy().tobytes())
    assert load_checkpoint(put(data, Metadata={"sha256": hex_of(data)}))
    with pytest.raises(errors.WrongContent):
        load_checkpoint(put(wrong, Metadata={"sha256": hex_of(data)}))


WHOLE = saved({"weights": torch.arange(1000.0)})


def zip_of(**files: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as one:
        for name, data in files.items():
            one.writestr(name, data)
    return target.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>Sign in to go on</html>" * 10,
        b"version https://git-lfs.github.com/spec/v1\n",
        WHOLE[:-100],
        WHOLE[:1000],
        b"PK\3\4" + bytes(300),
        zip_of(readme=b"x"),
        zip_of(**{"archive/data.pkl": pickle.dumps({"a": 1}, 2)}),
        pickle.dumps({"a": 1}, 2),
        pickle.dumps({"a": 1}),
        saved([1], _use_new_zipfile_serialization=False)[:40],
    ],
    ids=[
        "empty",
        "html",
        "lfs",
        "cut",
        "cut short",
        "zeros",
        "a zip",
        "no version",
        "pickle",
        "newer pickle",
        "old, cut",
    ],
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_what_is_no_checkpoint(tmp_path, data, weights_only):
    (tmp_path / "it.pt").write_bytes(data)
    with pytest.raises(errors.WrongContent, match=r"it\.pt"):
        load_checkpoint(tmp_path / "it.pt", weights_only=weights_only)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before zip"])
@pytest.mark.parametrize(("inside", "name"), [(np.ones(3), "numpy"), (argparse.Namespace(lr=1), "argparse.Namespace")])
def test_what_runs_code_is_loaded_when_it_is_asked_for_and_not_before(placed, inside, name, legacy):
    place = placed(saved({"a": inside}, _use_new_zipfile_serialization=not legacy))
    with pytest.raises(errors.UsageError) as told:
        load_checkpoint(place)
    assert "weights_only=False" in told.value.hint
    assert legacy or name in told.value.message
    assert str(load_checkpoint(place, weights_only=False)["a"]) == str(inside)


def test_a_device_that_is_not_here(tmp_path):
    theirs = zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(2)})))
    with zipfile.ZipFile(tmp_path / "it.pt", "w") as ours:
        for name in theirs.namelist():
            ours.writestr(name, theirs.read(name).replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:9"))
    with pytest.raises(errors.UsageError) as told:
        load_checkpoint(tmp_path / "it.pt")
    assert "map_location='cpu'" in told.value.hint
    assert load_checkpoint(tmp_path / "it.pt", map_location="cpu")["a"].tolist() == [1, 1]


# -- what cannot be had


@pytest.mark.parametrize("place", ["", "s3://", "s3://bucket", "s3://bucket/", "runs/", "http://host/it.pt", "a\0.pt"])
def test_what_names_no_file(place):
    with pytest.raises(errors.BadPlace):
        load_checkpoint(place)


def test_what_is_not_there(tmp_path, bucket):
    for place in (tmp_path / "no.pt", tmp_path / "no" / "it.pt", f"s3://{bucket}/no.pt", "s3://no-such-bucket/it.pt"):
        with pytest.raises(errors.FileMissing, match=re.escape(str(place).rpartition("/")[2])) as raised:
            load_checkpoint(place)
        if not str(place).startswith("s3:"):
            assert str(place) in raised.value.message
            assert raised.value.hint
    with pytest.raises(errors.StoreError):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("method", "how", "kind"),
    [
        ("HEAD", {"status": 403}, errors.AccessDenied),
        ("GET", {"status": 403}, errors.AccessDenied),
        ("GET", {"status": 403, "code": "ExpiredToken"}, errors.CredentialsError),  # a HEAD has no body to tell it
        ("HEAD", {"status": 503}, errors.NetworkError),
        ("GET", {"status": 503}, errors.NetworkError),
    ],
)
def test_what_may_not_be_read(proxy, put, method, how, kind):
    proxy.fault(f"{method} .*latest", times=None, **how)
    with pytest.raises(kind):
        load_checkpoint(put(saved([1])), s3=S3Settings(endpoint_url=proxy.url), patience=QUICK)


def test_a_file_that_may_not_be_read(tmp_path, bound):
    (tmp_path / "it.pt").write_bytes(saved([1]))
    (tmp_path / "it.pt").chmod(0)
    with pytest.raises(errors.AccessDenied):
        load_checkpoint(tmp_path / "it.pt")


def test_no_room_for_temporary_files(small_disk, monkeypatch, put):
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with pytest.raises(errors.DiskFull):
        load_checkpoint(put(saved(torch.arange(100_000))))


def test_a_directory_is_left_as_it_is(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "it.pt").write_bytes(saved([1]))
    before = os.listdir(tmp_path / "place")
    read_checkpoint(LocalStore(tmp_path / "place"), "it.pt")
    assert os.listdir(tmp_path / "place") == before
