"""Files on their way to S3, whole and in parts: what is checked, what is resumed, what is left behind."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from moto_servers import moto_server
from s3_door import Answer, Door, Seen, error
from visprep import errors
from visprep.digests import digest_of
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores.local import LocalStore
from visprep.stores.memory import MemoryStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_parts import part_size
from visprep.wire import Patience, run, wait

MIB = 1024 * 1024
PART = 5 * MIB
QUICK = Patience(base=0.001)
BIG = random.Random(2).randbytes(2 * PART + 1234)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    pytest.importorskip("moto.server", reason="moto's server is in the demo extra")
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def boto(moto: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key="SK"
    )


@pytest.fixture
def door(moto: str) -> Iterator[Door]:
    with Door(moto) as door:
        yield door


@pytest.fixture
def store(door: Door, boto: Any, request: pytest.FixtureRequest) -> S3Store:
    bucket = f"b-{hashlib.md5(request.node.nodeid.encode()).hexdigest()}"
    boto.create_bucket(Bucket=bucket)
    return S3Store(f"s3://{bucket}/data", _settings(door))


def _settings(door: Door, **more: Any) -> S3Settings:
    return S3Settings(endpoint_url=door.url, access_key="AK", secret_key="SK", part_size=PART, **more)


def _holding(data: bytes) -> MemoryStore:
    return MemoryStore(files={"f.mp4": data})


def _file(data: bytes, **more: Any) -> File:
    return replace(File("f.mp4", len(data), digest_of(data)), **more)


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def _asked(door: Door) -> list[str]:
    """The requests in words: `PUT 2` is part 2."""
    return [
        " ".join([one.method, *(key.replace("partNumber", one.query[key]) for key in one.query if key in _TELLING)])
        for one in door.seen
    ]


_TELLING = ("partNumber", "uploads")


# -- in one request


@pytest.mark.parametrize("algorithm", ["sha256", "md5", "git-sha1", None])
@pytest.mark.parametrize("sized", [True, False])
def test_small_files_go_in_one_request(store: S3Store, door: Door, algorithm: str | None, sized: bool) -> None:
    data = b"some content"
    file = File("f.mp4", len(data) if sized else None, digest_of(data, algorithm) if algorithm else None)
    received = wait(store.receive(file, _holding(data)))
    assert replace(received, etag=None) == File("f.mp4", len(data), digest_of(data))
    (put,) = door.seen
    assert (put.method, put.body) == ("PUT", data)
    assert put.headers["content-type"] == "video/mp4"
    assert put.headers["x-amz-meta-sha256"] == put.headers["x-amz-content-sha256"] == digest_of(data)[7:]
    assert put.headers["x-amz-checksum-sha256"] == base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert wait(store.stat("f.mp4")).digest == received.digest


def test_empty_files(store: S3Store) -> None:
    wait(store.receive(_file(b""), _holding(b"")))
    wait(store.receive(File("f.mp4"), _holding(b"")))
    assert wait(store.read("f.mp4")) == b""


def test_unsigned_uploads_carry_a_checksum_too(door: Door) -> None:
    door.answer = lambda seen: (200, {"ETag": '"e"'}, b"")
    wait(S3Store("s3://bucket", S3Settings(endpoint_url=door.url, no_sign_request=True)).write("f", b"data"))
    assert "authorization" not in door.seen[0].headers
    assert door.seen[0].headers["x-amz-checksum-sha256"]


@pytest.mark.parametrize("size", [PART - 1, PART, PART + 1])
def test_the_border_between_one_request_and_parts(store: S3Store, door: Door, size: int) -> None:
    data = BIG[:size]
    for file in (_file(data), File("f.mp4")):
        door.seen.clear()
        wait(store.receive(file, _holding(data)))
        assert ("POST uploads" in _asked(door)) == (size > PART)
        assert wait(store.read("f.mp4")) == data


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (File("f.mp4", 11), "12 bytes were read, 11 were promised"),
        (File("f.mp4", 13), "12 bytes were read, 13 were promised"),
        (File("f.mp4", 2 * PART), "12 bytes were read"),
        (File("f.mp4", 12, digest_of(b"other conte!")), "sha256"),
        (File("f.mp4", None, digest_of(b"other conte!", "md5")), "md5"),
    ],
)
def test_wrong_content_is_never_sent(store: S3Store, door: Door, file: File, words: str) -> None:
    with pytest.raises(errors.WrongContent, match=words):
        wait(store.receive(file, _holding(b"some content")))
    assert door.seen == []


def test_a_file_that_changed_since_it_was_listed_is_called_that(store: S3Store) -> None:
    for file in (_file(b"some contend", mtime=1.0), File("f.mp4", 3, mtime=1.0)):
        with pytest.raises(errors.ChangedMeanwhile, match=r"f\.mp4"):
            wait(store.receive(file, _holding(b"some content")))


def test_what_the_origin_says_comes_through(store: S3Store) -> None:
    with pytest.raises(errors.FileMissing):
        wait(store.receive(File("f.mp4", 3), MemoryStore()))


def test_s3_to_s3(store: S3Store, door: Door) -> None:
    wait(store.write("f.mp4", BIG[: PART + 1]))
    wait(store.write("empty", b""))
    target = S3Store(f"s3://{store.bucket}/copy", _settings(door))
    for file in store.list():
        wait(target.receive(file, store))
    assert [(file.path, file.size) for file in target.list()] == [("empty", 0), ("f.mp4", PART + 1)]
    assert wait(target.read("f.mp4")) == BIG[: PART + 1]


# -- in parts


@pytest.mark.parametrize("file", [_file(BIG), File("f.mp4"), File("f.mp4", len(BIG), digest_of(BIG, "md5"))])
def test_large_files_go_in_parts(store: S3Store, door: Door, boto: Any, file: File) -> None:
    received = wait(store.receive(file, _holding(BIG)))
    assert (received.path, received.size, received.digest) == ("f.mp4", len(BIG), digest_of(BIG))
    assert _asked(door)[:2] == ["GET uploads", "POST uploads"]
    assert sorted(_asked(door)[2:]) == ["POST", "PUT 1", "PUT 2", "PUT 3"]
    for seen in door.seen:
        assert seen.headers["x-amz-content-sha256"] == hashlib.sha256(seen.body).hexdigest()
        if seen.method == "PUT":
            assert seen.headers["x-amz-checksum-crc32"] == _crc32(seen.body)
            assert f"<ChecksumCRC32>{_crc32(seen.body)}</ChecksumCRC32>".encode() in door.seen[-1].body
    assert door.seen[-1].headers["x-amz-checksum-crc32"] == _crc32(BIG)
    assert door.seen[-1].headers["x-amz-checksum-type"] == "FULL_OBJECT"
    head = boto.head_object(Bucket=store.bucket, Key="data/f.mp4")
    assert head["ContentType"] == "video/mp4"
    assert head["Metadata"] == ({"sha256": digest_of(BIG)[7:]} if file.digest == digest_of(BIG) else {})
    assert head["ETag"] == received.etag
    assert wait(store.read("f.mp4")) == BIG
    assert store.unfinished() == ()


def test_an_odd_key_in_parts(store: S3Store) -> None:
    path = "a/../ü +%&.mp4"
    data = BIG[: PART + 1]
    wait(store.receive(File(path, len(data)), _Origin(path, data)))
    assert wait(store.read(path)) == data


class _Origin(MemoryStore):
    """One file of any name; `after` reads, `break_off` is called."""

    def __init__(self, path: str, data: bytes, after: int = 10**9, break_off: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._files[path] = (data, 1.0)
        self.reads: list[tuple[int, int | None]] = []
        self._after, self._break_off = after, break_off

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        self.reads.append((offset, length))
        if len(self.reads) > self._after and self._break_off:
            self._break_off()
        return await super().read(path, offset, length)


def test_a_few_parts_at_a_time(store: S3Store) -> None:
    data = bytes(12 * PART)
    origin = _Origin("f.mp4", data)
    seen: list[int] = []

    def counted(one: Seen) -> Answer | None:
        if one.method == "PUT":
            seen.append(len(origin.reads))
            return 200, {"ETag": f'"{hashlib.md5(one.body).hexdigest()}"'}, b""
        return _uploading(one)

    with Door(answer=counted) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(data), origin))
    assert len(seen) == 12
    assert all(read <= number + 9 for number, read in enumerate(seen)), "48 MiB are nine parts of 5 MiB"
    assert {length for _, length in origin.reads} == {PART}


def _uploading(seen: Seen) -> Answer:
    """The least that a server answers to an upload in parts; it knows no checksums."""
    if seen.method == "GET":
        return 200, {}, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>"
    if seen.method == "PUT":
        return 200, {"ETag": f'"{hashlib.md5(seen.body).hexdigest()}"'}, b""
    if seen.method == "DELETE":
        return 204, {}, b""
    if "uploads" in seen.query:
        return 200, {}, b"<InitiateMultipartUploadResult><UploadId>an-id</UploadId></InitiateMultipartUploadResult>"
    return 200, {}, b'<CompleteMultipartUploadResult><ETag>"x-3"</ETag></CompleteMultipartUploadResult>'


def test_servers_without_checksums_get_none_with_the_parts() -> None:
    with Door(answer=_uploading) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))
    parts = [seen for seen in door.seen if seen.method == "PUT"]
    assert len(parts) == 3
    assert not any("x-amz-checksum-crc32" in seen.headers for seen in parts)
    assert b"Checksum" not in door.seen[-1].body
    assert "x-amz-checksum-crc32" not in door.seen[-1].headers


@pytest.mark.parametrize(
    ("wanted", "size", "expected"),
    [
        (16 * MIB, 1, 16 * MIB),
        (16 * MIB, None, 16 * MIB),
        (1, 10, 5 * MIB),
        (16 * MIB, 160_000 * MIB, 16 * MIB),
        (16 * MIB, 160_000 * MIB + 1, 17 * MIB),
        (16 * MIB, 5 * MIB * MIB, 525 * MIB),
    ],
)
def test_part_size(wanted: int, size: int | None, expected: int) -> None:
    assert part_size(wanted, size) == expected
    assert -(-(size or 0) // expected) <= 10_000


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (_file(BIG, digest=digest_of(b"other")), errors.WrongContent),
        (_file(BIG, digest=digest_of(b"other", "md5")), errors.WrongContent),
        (_file(BIG, size=len(BIG) - 1, digest=None), errors.WrongContent),
        (_file(BIG, size=len(BIG) + 1, digest=None), errors.WrongContent),
        (_file(BIG, size=PART + 1), errors.WrongContent),
        (_file(BIG, digest=None, mtime=1.0), errors.ChangedMeanwhile),
        (_file(BIG, digest=digest_of(b"other"), mtime=1.0), errors.ChangedMeanwhile),
    ],
)
def test_wrong_content_is_aborted_before_it_appears(
    store: S3Store, door: Door, file: File, kind: type[errors.VisprepError]
) -> None:
    wait(store.write("f.mp4", b"before"))
    with pytest.raises(kind):
        wait(store.receive(file, _holding(BIG)))
    assert wait(store.read("f.mp4")) == b"before"
    assert store.unfinished() == ()
    assert "DELETE" in _asked(door) or "POST uploads" not in _asked(door)


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_on_disk_tells_its_digest_without_being_promised_one(
    store: S3Store, door: Door, tmp_path: Path, listed: bool
) -> None:
    (tmp_path / "f.mp4").write_bytes(BIG)
    origin = LocalStore(tmp_path)
    file = next(origin.list()) if listed else File("f.mp4", len(BIG))
    assert wait(store.receive(file, origin)).digest == digest_of(BIG)
    assert wait(store.stat("f.mp4")).digest == digest_of(BIG)
    for seen in door.seen:
        assert seen.headers["x-amz-content-sha256"] == hashlib.sha256(seen.body).hexdigest()


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_changes_between_its_two_readings_never_appears(
    store: S3Store, door: Door, tmp_path: Path, listed: bool
) -> None:
    (tmp_path / "f.mp4").write_bytes(BIG)
    origin = LocalStore(tmp_path)
    file = next(origin.list()) if listed else File("f.mp4", len(BIG))
    facts = (tmp_path / "f.mp4").stat()

    def overwritten(seen: Seen) -> None:
        if seen.method == "POST" and "uploads" in seen.query:
            (tmp_path / "f.mp4").write_bytes(BIG[:-1] + b"?")
            os.utime(tmp_path / "f.mp4", ns=(facts.st_atime_ns, facts.st_mtime_ns))

    door.answer = overwritten
    with pytest.raises(errors.ChangedMeanwhile if listed else errors.WrongContent):
        wait(store.receive(file, origin))
    assert "DELETE" in _asked(door)
    assert store.unfinished() == ()
    with pytest.raises(errors.FileMissing):
        wait(store.stat("f.mp4"))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_begun_upload_whose_answer_got_lost_does_not_stay(allowed: bool) -> None:
    begun: list[str] = []
    aborted: list[str] = []

    def losing(seen: Seen) -> Answer:
        if seen.method == "POST" and "uploads" in seen.query:
            begun.append(f"id-{len(begun)}")
            told = f"<InitiateMultipartUploadResult><UploadId>{begun[-1]}</UploadId></InitiateMultipartUploadResult>"
            return (200, {}, told.encode()) if len(begun) > 1 else error(500, "InternalError")
        if seen.method == "GET":
            uploads = "".join(f"<Upload><Key>f.mp4</Key><UploadId>{one}</UploadId></Upload>" for one in begun)
            listed = f"<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"
            return (200, {}, listed.encode()) if allowed else error(403, "AccessDenied")
        if seen.method == "DELETE":
            aborted.append(seen.query["uploadId"])
        return _uploading(seen)

    with Door(answer=losing) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)), QUICK)
    assert begun == ["id-0", "id-1"]
    assert aborted == (["id-0"] if allowed else [])


# -- interrupted


def _interrupted(store: S3Store, after: int = 2, data: bytes = BIG) -> None:
    """An upload whose origin fails after so many reads."""

    def break_off() -> None:
        raise errors.Stalled("the origin is gone")

    with pytest.raises(errors.Stalled):
        wait(store.receive(File("f.mp4"), _Origin("f.mp4", data, after, break_off)))


def _part(boto: Any, bucket: str, upload: str, number: int, data: bytes, key: str = "data/f.mp4") -> None:
    boto.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)


def _begun(boto: Any, bucket: str, key: str = "data/f.mp4", **more: Any) -> str:
    ours = {"ChecksumAlgorithm": "CRC32", "ChecksumType": "FULL_OBJECT"}
    begun = boto.create_multipart_upload(Bucket=bucket, Key=key, **ours, **more)
    return str(begun["UploadId"])


def test_an_interrupted_upload_goes_on(store: S3Store, door: Door, boto: Any) -> None:
    upload = _begun(boto, store.bucket, Metadata={"sha256": digest_of(BIG)[7:]})
    _part(boto, store.bucket, upload, 1, BIG[:PART])
    _part(boto, store.bucket, upload, 2, b"?" * PART)
    assert store.unfinished() == (("f.mp4", upload),)
    door.seen.clear()
    assert wait(store.receive(_file(BIG), _holding(BIG))).digest == digest_of(BIG)
    asked = _asked(door)
    assert asked[:2] + sorted(asked[2:4]) + asked[4:] == ["GET uploads", "GET", "PUT 2", "PUT 3", "POST", "HEAD"]
    assert wait(store.read("f.mp4")) == BIG
    assert store.unfinished() == ()


def test_nothing_is_sent_again_when_all_parts_are_there(store: S3Store, door: Door, boto: Any) -> None:
    upload = _begun(boto, store.bucket)
    for number in range(3):
        _part(boto, store.bucket, upload, number + 1, BIG[number * PART : (number + 1) * PART])
    door.seen.clear()
    wait(store.receive(_file(BIG), _holding(BIG)))
    assert _asked(door) == ["GET uploads", "GET", "POST", "HEAD"]
    assert wait(store.read("f.mp4")) == BIG


def test_an_upload_is_left_when_it_is_broken_off(store: S3Store, door: Door) -> None:
    many = BIG * 6  # more than is read at once
    _interrupted(store, after=10, data=many)
    ((path, _),) = store.unfinished()
    assert path == "f.mp4"
    door.seen.clear()
    wait(store.receive(_file(many), _holding(many)))
    assert not set(_asked(door)) & {f"PUT {number}" for number in range(1, 10)}
    assert wait(store.read("f.mp4")) == many


def test_an_upload_is_left_when_its_run_is_closed(store: S3Store, door: Door, boto: Any) -> None:
    """As Ctrl-C does: part 2 hangs in its retries when the run ends."""
    door.answer = lambda seen: error(503, "SlowDown") if seen.query.get("partNumber") == "2" else None
    wait(store.write("other", b""))

    def there() -> list[int]:
        uploads = boto.list_multipart_uploads(Bucket=store.bucket).get("Uploads", [])
        found = [boto.list_parts(Bucket=store.bucket, Key=one["Key"], UploadId=one["UploadId"]) for one in uploads]
        return [part["PartNumber"] for one in found for part in one.get("Parts", [])]

    async def until_the_others_are_there() -> None:
        while len(there()) < 2:
            await store.stat("other")

    jobs: list[Any] = [("big", store.receive(_file(BIG), _holding(BIG))), ("meanwhile", until_the_others_are_there())]
    outcomes = run(jobs, patience=Patience(base=60, longest=60))
    assert next(outcomes) == ("meanwhile", None)
    outcomes.close()

    assert there() == [1, 3]
    door.answer = lambda seen: None
    door.seen.clear()
    wait(store.receive(_file(BIG), _holding(BIG)))
    assert [words for words in _asked(door) if words.startswith("PUT")] == ["PUT 2"]


def test_unfinished_uploads_that_are_not_of_this_content_stay(store: S3Store, boto: Any) -> None:
    """Somebody may be at work on them; ours do not, since moto calls all of them years old."""
    _part(boto, store.bucket, _begun(boto, store.bucket), 1, b"old")
    kept = [("f.mp4.more", _begun(boto, store.bucket, "data/f.mp4.more"))]
    for more in ({"ChecksumAlgorithm": "CRC32"}, {"Metadata": {"sha256": "0" * 64}}):
        other = boto.create_multipart_upload(Bucket=store.bucket, Key="data/f.mp4", **more)["UploadId"]
        _part(boto, store.bucket, other, 1, BIG[:PART] if "ChecksumAlgorithm" in more else b"old")
        kept.append(("f.mp4", other))
    assert wait(store.receive(_file(BIG), _holding(BIG))).digest == digest_of(BIG)
    assert sorted(store.unfinished()) == sorted(kept)
    wait(store.abort(*kept[0]))
    wait(store.abort(*kept[0]))
    assert sorted(store.unfinished()) == sorted(kept[1:])


@pytest.mark.parametrize(
    ("kind", "hours", "dropped"), [("FULL_OBJECT", 25, True), ("FULL_OBJECT", 23, False), ("COMPOSITE", 25, False)]
)
def test_old_uploads_of_the_same_file_are_dropped_if_they_are_ours(kind: str, hours: int, dropped: bool) -> None:
    begun = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    told = (
        f"<Initiated>{begun}</Initiated><ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>"
    )
    entries = "".join(f"<Upload><Key>{key}</Key><UploadId>id</UploadId>{told}</Upload>" for key in ("f.mp4", "f.mp4.x"))

    def answer(seen: Seen) -> Answer:
        if seen.method == "GET" and "uploads" in seen.query:
            return 200, {}, f"<ListMultipartUploadsResult>{entries}</ListMultipartUploadsResult>".encode()
        return (200, {}, b"<ListPartsResult></ListPartsResult>") if seen.method == "GET" else _uploading(seen)

    with Door(answer=answer) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))
    gone = [(seen.path, seen.query["uploadId"]) for seen in door.seen if seen.method == "DELETE"]
    assert gone == ([("/bucket/f.mp4", "id")] if dropped else [])


def test_an_upload_without_parts_says_nothing_about_its_content(store: S3Store, boto: Any) -> None:
    """Its metadata may tell the digest of what the file was before."""
    _begun(boto, store.bucket, Metadata={"sha256": "0" * 64})
    wait(store.receive(_file(BIG), _holding(BIG)))
    assert boto.head_object(Bucket=store.bucket, Key="data/f.mp4")["Metadata"] == {"sha256": digest_of(BIG)[7:]}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"sse": "aws:kms"}, {"ServerSideEncryption": "aws:kms"}),
        ({"sse_kms_key_id": "a-key"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key"}),
        ({"sse_kms_key_id": "alias/a"}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "alias/a"}),
        ({"storage_class": "STANDARD_IA"}, {"StorageClass": "STANDARD_IA"}),
        ({}, {"StorageClass": None}),
    ],
)
def test_an_upload_that_was_begun_with_other_options_does_not_keep_them(
    store: S3Store, door: Door, boto: Any, asked: dict[str, Any], told: dict[str, Any]
) -> None:
    upload = _begun(boto, store.bucket, StorageClass="GLACIER", Metadata={"sha256": digest_of(BIG)[7:]})
    _part(boto, store.bucket, upload, 1, BIG[:PART])
    wait(S3Store(store.place, _settings(door, **asked)).receive(_file(BIG), _holding(BIG)))
    head = boto.head_object(Bucket=store.bucket, Key="data/f.mp4")
    assert {name: head.get(name) for name in told} == told


def test_who_asks_for_an_acl_begins_anew(store: S3Store, door: Door, boto: Any) -> None:
    upload = _begun(boto, store.bucket)
    _part(boto, store.bucket, upload, 1, BIG[:PART])
    wait(S3Store(store.place, _settings(door, acl="public-read")).receive(_file(BIG), _holding(BIG)))
    grants = boto.get_object_acl(Bucket=store.bucket, Key="data/f.mp4")["Grants"]
    assert "READ" in [grant["Permission"] for grant in grants]


def test_an_upload_with_the_same_options_goes_on(store: S3Store, door: Door, boto: Any) -> None:
    same = {"StorageClass": "STANDARD_IA", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key"}
    upload = _begun(boto, store.bucket, **same)
    _part(boto, store.bucket, upload, 1, BIG[:PART])
    asked = _settings(door, storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="a-key")
    door.seen.clear()
    wait(S3Store(store.place, asked).receive(_file(BIG), _holding(BIG)))
    assert "PUT 1" not in _asked(door)
    assert "POST uploads" not in _asked(door)


def test_an_upload_that_was_begun_for_other_content_does_not_keep_its_name_tag(store: S3Store, boto: Any) -> None:
    upload = _begun(boto, store.bucket, Metadata={"sha256": "0" * 64})
    _part(boto, store.bucket, upload, 1, BIG[:PART])
    wait(store.receive(_file(BIG), _holding(BIG)))
    assert wait(store.stat("f.mp4")).digest == digest_of(BIG)
    assert wait(store.read("f.mp4")) == BIG


def test_uploads_and_parts_are_listed_over_pages() -> None:
    wanted = [BIG[number * PART : (number + 1) * PART] for number in range(3)]

    def entry(number: int, checksum: bool) -> str:
        data = wanted[number - 1]
        told = f"<Size>{len(data)}</Size>" + (f"<ChecksumCRC32>{_crc32(data)}</ChecksumCRC32>" if checksum else "")
        etag = "f" * 32 if checksum else hashlib.md5(data).hexdigest()  # encrypted with KMS, it is no MD5
        return f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag>{told}</Part>"

    def paged(seen: Seen) -> Answer:
        if "uploads" in seen.query and seen.method == "GET":
            if "key-marker" not in seen.query:
                more = "<NextKeyMarker>f.mp%34</NextKeyMarker><NextUploadIdMarker>m</NextUploadIdMarker>"
                return 200, {}, _uploads("other", "true", more)
            assert (seen.query["key-marker"], seen.query["upload-id-marker"]) == ("f.mp4", "m")
            return 200, {}, _uploads("f.mp4", "false")
        if seen.method == "GET":
            if "part-number-marker" not in seen.query:
                more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker>"
                return 200, {}, f"<ListPartsResult>{more}{entry(1, True)}{entry(2, False)}</ListPartsResult>".encode()
            assert seen.query["part-number-marker"] == "2"
            return 200, {}, b"<ListPartsResult></ListPartsResult>"
        if seen.method == "HEAD":
            return 200, {"x-amz-meta-sha256": digest_of(BIG)[7:]}, b""
        return _uploading(seen)

    with Door(answer=paged) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))
    assert _asked(door) == ["GET uploads", "GET uploads", "GET", "GET", "PUT 3", "POST", "HEAD"]


def _uploads(key: str, truncated: str, more: str = "") -> bytes:
    checksum = "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType>"
    upload = f"<Upload><Key>{key}</Key><UploadId>an-id</UploadId>{checksum}</Upload>"
    facts = f"<EncodingType>url</EncodingType><IsTruncated>{truncated}</IsTruncated>{more}"
    return f"<ListMultipartUploadsResult>{facts}{upload}</ListMultipartUploadsResult>".encode()


@pytest.mark.parametrize(
    "refusal", [error(403, "AccessDenied"), error(405, "MethodNotAllowed"), error(404, "NoSuchKey")]
)
def test_who_may_not_list_uploads_begins_anew(refusal: Answer) -> None:
    with Door(answer=lambda seen: refusal if seen.method == "GET" else _uploading(seen)) as door:
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))
    assert _asked(door)[:2] == ["GET uploads", "POST uploads"]


# -- completing


def _completing(answers: list[Answer], head: Answer = (404, {}, b"")) -> Callable[[Seen], Answer]:
    """A server that answers so to the requests to complete an upload, one after the other, then well."""

    def answer(seen: Seen) -> Answer:
        if seen.method == "HEAD":
            return head
        if seen.method == "POST" and "uploadId" in seen.query and answers:
            return answers.pop(0)
        return _uploading(seen)

    return answer


@pytest.mark.parametrize("answer", [error(200, "InternalError"), error(503, "SlowDown"), error(200, "SlowDown")])
def test_completing_is_tried_again(answer: Answer) -> None:
    with Door(answer=_completing([answer, answer])) as door:
        store = S3Store("s3://bucket", _settings(door))
        assert wait(store.receive(_file(BIG), _holding(BIG)), QUICK).digest == digest_of(BIG)
    assert _asked(door).count("POST") == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(200, "InvalidPart"), errors.ServerFailed),
        (error(400, "EntityTooSmall"), errors.ServerFailed),
        (error(200, "AccessDenied"), errors.AccessDenied),
        (error(404, "NoSuchUpload"), errors.FileMissing),
    ],
)
def test_an_error_inside_a_200_is_an_error(answer: Answer, kind: type[errors.VisprepError]) -> None:
    with Door(answer=_completing([answer])) as door:
        store = S3Store("s3://bucket", _settings(door))
        with pytest.raises(kind):
            wait(store.receive(_file(BIG), _holding(BIG)), QUICK)
    assert "DELETE" not in _asked(door), "what was sent is kept for the next time"


@pytest.mark.parametrize("tagged", [True, False])
def test_a_completion_whose_answer_got_lost_is_recognized(tagged: bool) -> None:
    parts = [hashlib.md5(BIG[number * PART : (number + 1) * PART]).digest() for number in range(3)]
    etag = f'"{hashlib.md5(b"".join(parts)).hexdigest()}-3"'
    facts = {"x-amz-meta-sha256": digest_of(BIG)[7:], "ETag": '"of-its-own"'} if tagged else {"ETag": etag}
    head = (200, {**facts, "Content-Length": str(len(BIG))}, b"")
    with Door(answer=_completing([error(500, "InternalError"), error(404, "NoSuchUpload")], head)) as door:
        store = S3Store("s3://bucket", _settings(door))
        received = wait(store.receive(_file(BIG), _holding(BIG)), QUICK)
    assert (received.digest, received.etag) == (digest_of(BIG), facts["ETag"])


def test_a_part_without_an_etag_is_no_part() -> None:
    def forgetful(seen: Seen) -> Answer:
        return (200, {}, b"") if seen.method == "PUT" else _uploading(seen)

    with Door(answer=forgetful) as door, pytest.raises(errors.ServerFailed, match="ETag"):
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))


def test_a_denied_part_names_the_permission() -> None:
    def denied(seen: Seen) -> Answer:
        return error(403, "AccessDenied") if seen.method == "PUT" else _uploading(seen)

    with Door(answer=denied) as door, pytest.raises(errors.AccessDenied, match=r"s3:PutObject on bucket/f\.mp4"):
        wait(S3Store("s3://bucket", _settings(door)).receive(_file(BIG), _holding(BIG)))
