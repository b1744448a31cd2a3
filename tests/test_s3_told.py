"""An object whose ETag is no MD5 carries its SHA-256, and what arrives is held against that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from s3_door import Answer, Door, Seen
from visprep import wire
from visprep.digests import digest_of
from visprep.errors import WrongContent
from visprep.manifest import File
from visprep.messages import SMALL
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.ranges import LARGE
from visprep.stores.s3 import S3Store
from visprep.wire import Patience, wait

ETAG = '"0123456789abcdef0123456789abcdef-2"'
SIZES = [5, SMALL + 1, LARGE + 1]


def serving(data: bytes, told: str | None) -> Callable[[Seen], Answer]:
    """A server that has one object, with a digest in its metadata."""
    facts = {"ETag": ETAG, "Content-Type": "video/mp4"} | ({"X-Amz-Meta-Sha256": told} if told else {})

    def answer(seen: Seen) -> Answer:
        if seen.method in ("PUT", "POST"):
            return (
                200,
                {"ETag": '"e"'},
                b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
            )
        if seen.method == "HEAD":
            return 200, {**facts, "Content-Length": str(len(data))}, b""
        if "range" not in seen.headers:
            return 200, facts, data
        first, _, last = seen.headers["range"].removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        where = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        return 206, {**facts, "Content-Range": where}, part

    return answer


def damaged(data: bytes) -> bytes:
    """Other bytes, by the first bit, whatever they are."""
    return bytes([data[0] ^ 1]) + data[1:]


def place(door: Door) -> S3Store:
    return S3Store("s3://bucket", S3Settings(endpoint_url=door.url, access_key="AK", secret_key="SK"))


@pytest.mark.parametrize("size", SIZES)
def test_bytes_that_differ_from_what_their_object_carries_never_appear(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with (
        Door(answer=serving(damaged(data), digest_of(data)[7:])) as door,
        pytest.raises(WrongContent, match="sha256"),
    ):
        wait(LocalStore(tmp_path).receive(File("f.mp4", size, etag=ETAG), place(door)), Patience(base=0.001))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("told", ["right", "upper", "no digest", None])
def test_bytes_that_agree_arrive(tmp_path: Path, size: int, told: str | None) -> None:
    data = os.urandom(size)
    sha256 = digest_of(data)[7:]
    told = {"right": sha256, "upper": sha256.upper()}.get(told or "", told)
    with Door(answer=serving(data, told)) as door:
        received = wait(LocalStore(tmp_path).receive(File("f.mp4", size, etag=ETAG), place(door)))
    assert received == File("f.mp4", size, digest_of(data))
    assert (tmp_path / "f.mp4").read_bytes() == data


@pytest.mark.parametrize("size", SIZES)
def test_who_wants_a_sha256_does_not_ask_the_object(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with Door(answer=serving(data, "0" * 64)) as door:
        wait(LocalStore(tmp_path).receive(File("f.mp4", size, digest_of(data), etag=ETAG), place(door)))
    assert (tmp_path / "f.mp4").read_bytes() == data


@pytest.mark.parametrize("size", [5, SMALL + 1, 2 * SMALL])
def test_from_bucket_to_bucket_too(size: int) -> None:
    data = os.urandom(size)
    with Door(answer=serving(damaged(data), digest_of(data)[7:])) as door, Door(answer=serving(b"", None)) as target:
        ((_, outcome),) = wire.run([(0, place(target).receive(File("f.mp4", size, etag=ETAG), place(door)))])
    assert isinstance(outcome, WrongContent)
    assert not [seen for seen in target.seen if seen.method == "PUT"]
