"""The S3 store against moto's server, and against answers that moto does not give."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from moto_servers import moto_server
from s3_door import Door, Seen, error
from visprep import errors
from visprep.credentials import settled
from visprep.digests import digest_of
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.memory import MemorySink, MemoryStore
from visprep.stores.s3 import S3Store
from visprep.wire import Patience, run, wait

ODD = [
    "plain.txt", "with space", " edges ", "plus+plus", "100%25", "percent%20", "a/../victim", "../up", "a/./b", "a//b",
    "/leading", "trailing.", "...", "tab\there", "tilde~", "semi;colon=&", "question?mark#hash", "quote'\"<>&amp;",
    "ünïcode/日本語.png", "emoji-🦩", "e\u0301", "x" * 1019, "\\back", "c:colon",
]  # fmt: skip
SECRET = "the/Secret+Key="
QUICK = Patience(base=0.001)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    pytest.importorskip("moto.server", reason="moto's server is in the demo extra")
    with moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def boto(moto: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=moto, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key=SECRET
    )


@pytest.fixture
def bucket(boto: Any, request: pytest.FixtureRequest) -> str:
    name = f"b-{hashlib.md5(request.node.nodeid.encode()).hexdigest()}"
    boto.create_bucket(Bucket=name)
    return name


def settings(url: str, **more: Any) -> S3Settings:
    return S3Settings(endpoint_url=url, access_key="AK", secret_key=SECRET, **more)


@pytest.fixture
def store(moto: str, bucket: str) -> S3Store:
    return S3Store(f"s3://{bucket}/data", settings(moto))


# -- places


@pytest.mark.parametrize(
    ("place", "bucket", "prefix", "normal"),
    [
        ("s3://bucket/a/b", "bucket", "a/b", "s3://bucket/a/b"),
        ("s3://bucket/a/b/", "bucket", "a/b", "s3://bucket/a/b"),
        ("s3://bucket", "bucket", "", "s3://bucket"),
        ("s3://bucket/", "bucket", "", "s3://bucket"),
        ("s3://images.cocodataset.org/x y", "images.cocodataset.org", "x y", "s3://images.cocodataset.org/x y"),
        ("s3:///some/prefix", "from-the-environment", "some/prefix", "s3://from-the-environment/some/prefix"),
        ("s3://", "from-the-environment", "", "s3://from-the-environment"),
    ],
)
def test_places(place: str, bucket: str, prefix: str, normal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET_NAME", "from-the-environment")
    store = open_store(place)
    assert isinstance(store, S3Store)
    assert (store.bucket, store.prefix, store.place) == (bucket, prefix, normal)


@pytest.mark.parametrize(
    "place",
    [
        "s3://Upper/x", "s3://under_score/x", "s3://ab", "s3://-a-b", "s3://a..b", "s3://127.0.0.1/x", "s3://bücket",
        "s3://" + "x" * 64, "s3://b cket", "s3://user:pw@bucket", "s3:///prefix", "s3://", "s3://bucket/\udcff",
        "http://bucket/x",
    ],
)  # fmt: skip
def test_bad_places(place: str) -> None:
    with pytest.raises(errors.BadPlace):
        S3Store(place)


@pytest.mark.parametrize(
    ("place", "given", "url"),
    [
        ("s3://b-1/p", {}, "https://b-1.s3.us-east-1.amazonaws.com/p/k%20%2B"),
        ("s3://b-1/p", {"region": "cn-north-1"}, "https://b-1.s3.cn-north-1.amazonaws.com.cn/p/k%20%2B"),
        ("s3://b.1/p", {"region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/b.1/p/k%20%2B"),
        ("s3://b-1/p", {"addressing": "path"}, "https://s3.us-east-1.amazonaws.com/b-1/p/k%20%2B"),
        ("s3://b-1/p", {"endpoint_url": "http://10.0.0.1:9000"}, "http://10.0.0.1:9000/b-1/p/k%20%2B"),
        ("s3://b-1/p", {"endpoint_url": "https://h/base/"}, "https://h/base/b-1/p/k%20%2B"),
        ("s3://b-1", {"endpoint_url": "https://h/base", "addressing": "virtual"}, "https://b-1.h/base/k%20%2B"),
        (
            "s3://b-1",
            {"endpoint_url": "https://s3.eu-west-1.amazonaws.com"},
            "https://b-1.s3.eu-west-1.amazonaws.com/k%20%2B",
        ),
    ],
)
def test_addresses(place: str, given: dict[str, str], url: str) -> None:
    assert S3Store(place, S3Settings(no_sign_request=True, **given)).request("GET", "k +").url == url


def test_an_addressing_style_that_there_is_not() -> None:
    with pytest.raises(errors.UsageError, match="'dns'"):
        wait(S3Store("s3://bucket", S3Settings(no_sign_request=True, addressing="dns")).stat("x"))


# -- listing


def test_everything_written_is_listed_in_order_and_reads_back(store: S3Store, boto: Any) -> None:
    written = {name: f"content of {name}".encode() for name in ODD}
    for name, data in written.items():
        assert wait(store.write(name, data)) == File(
            name, len(data), digest_of(data), etag=f'"{digest_of(data, "md5")[4:]}"'
        )
    paged = S3Store(store.place, store.settings, page_size=5)
    listed = list(paged.list())
    assert [file.path for file in listed] == sorted(written, key=str.encode)
    keys = {entry["Key"] for entry in boto.list_objects_v2(Bucket=store.bucket)["Contents"]}
    assert keys == {f"data/{name}" for name in ODD}
    for file in listed:
        data = written[file.path]
        assert (file.size, file.digest) == (len(data), digest_of(data, "md5"))
        assert file.mtime
        assert file.etag == f'"{digest_of(data, "md5")[4:]}"'
        assert wait(store.read(file.path)) == data
        sink = MemorySink()
        wait(store.fetch(file, sink))
        assert sink.getvalue() == data
        wait(store.delete(file.path))
    assert "Contents" not in boto.list_objects_v2(Bucket=store.bucket)


def test_a_prefix_does_not_match_its_longer_neighbor(store: S3Store, boto: Any) -> None:
    for key in ("data", "data-2/x", "data.txt", "data/in", "database/x", "other/data/x"):
        boto.put_object(Bucket=store.bucket, Key=key, Body=b"x")
    assert [file.path for file in store.list()] == ["in"]
    assert [file.path for file in S3Store(f"{store.place}/", store.settings).list()] == ["in"]
    whole = S3Store(f"s3://{store.bucket}", store.settings)
    assert [file.path for file in whole.list()] == [
        "data",
        "data-2/x",
        "data.txt",
        "data/in",
        "database/x",
        "other/data/x",
    ]


def test_folder_markers(store: S3Store, boto: Any) -> None:
    for key in ("data/", "data/empty/", "data/full/", "data/full/x"):
        boto.put_object(Bucket=store.bucket, Key=key)
    assert [(file.path, file.size) for file in store.list()] == [("empty/", 0), ("full/", 0), ("full/x", 0)]
    boto.put_object(Bucket=store.bucket, Key="marked/")
    assert list(S3Store(f"s3://{store.bucket}/marked", store.settings).list()) == []


def test_nothing_there(store: S3Store) -> None:
    with pytest.raises(errors.PlaceMissing, match=f"nothing under {store.place}/") as caught:
        list(store.list())
    assert "check the name" in (caught.value.hint or "")
    with pytest.raises(errors.PlaceMissing, match="is empty"):
        list(S3Store(f"s3://{store.bucket}", store.settings).list())
    nowhere = S3Store("s3://no-such-bucket/x", store.settings)
    with pytest.raises(errors.PlaceMissing, match="'no-such-bucket'"):
        list(nowhere.list())
    with pytest.raises(errors.PlaceMissing, match="'no-such-bucket'"):
        wait(nowhere.write("x", b""))


def test_one_page_is_asked_for_until_more_are_needed(store: S3Store, moto: str) -> None:
    for number in range(6):
        wait(store.write(str(number), b"x"))
    with Door(moto) as door:
        listing = S3Store(store.place, settings(door.url), page_size=2).list()
        assert [next(listing).path, next(listing).path] == ["0", "1"]
        assert [seen.method for seen in door.seen] == ["GET", "HEAD"]
        assert [file.path for file in listing] == ["2", "3", "4", "5"]
        assert {seen.method for seen in door.seen[2:]} == {"GET"}


def test_etags_of_encrypted_objects_are_not_taken_for_md5(store: S3Store, boto: Any) -> None:
    boto.put_object(Bucket=store.bucket, Key="data/a", Body=b"a", ServerSideEncryption="aws:kms")
    boto.put_object(Bucket=store.bucket, Key="data/b", Body=b"b", ServerSideEncryption="aws:kms")
    assert [(file.path, file.digest) for file in store.list()] == [("a", None), ("b", None)]
    assert wait(store.stat("a")).digest is None
    assert wait(store.hash("a", "md5")) is None


LISTING = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>{}</IsTruncated>'
    "<EncodingType>url</EncodingType>{}</ListBucketResult>"
)


def _entry(key: str, etag: str = "0" * 32, size: str = "1") -> str:
    date = "<LastModified>2026-01-02T03:04:05.678Z</LastModified>"
    return f"<Contents><Key>{key}</Key>{date}<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"


def test_what_a_listing_tells() -> None:
    entries = _entry("data/a+b%2Bc%09%C3%A4") + _entry("data/parts", "0" * 32 + "-2") + _entry("data/up", "A" * 32)
    with Door(answer=lambda seen: (200, {}, LISTING.format("false", entries).encode())) as door:
        files = list(S3Store("s3://bucket/data", settings(door.url)).list())
    assert [file.path for file in files] == ["a b+c\tä", "parts", "up"]
    assert [file.digest for file in files] == ["md5:" + "0" * 32, None, None]
    assert files[0].mtime == 1767323045.678
    assert files[1].etag == f'"{"0" * 32}-2"'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>hello</html>", "not S3's ListBucketResult"),
        (b"hello", "not S3's ListBucketResult"),
        (LISTING.format("true", _entry("data/a")).encode(), "cut the listing short"),
        (LISTING.format("false", _entry("data/b") + _entry("data/a")).encode(), "out of order"),
        (LISTING.format("false", _entry("data/a", size="many")).encode(), "XML that S3 would not"),
        (LISTING.format("false", "<Contents></Contents>").encode(), "XML that S3 would not"),
    ],
)
def test_listings_that_make_no_sense(body: bytes, words: str) -> None:
    with Door(answer=lambda seen: (200, {}, body)) as door, pytest.raises(errors.ServerFailed, match=words):
        list(S3Store("s3://bucket/data", settings(door.url)).list())


# -- one file


def test_stat_and_hash(store: S3Store, boto: Any) -> None:
    wait(store.write("ours.png", b"data"))
    boto.put_object(Bucket=store.bucket, Key="data/theirs", Body=b"data")
    boto.put_object(Bucket=store.bucket, Key="data/odd", Body=b"data", Metadata={"sha256": "nonsense"})
    ours, theirs = wait(store.stat("ours.png")), wait(store.stat("theirs"))
    assert (ours.path, ours.size, ours.digest) == ("ours.png", 4, digest_of(b"data"))
    assert (theirs.digest, theirs.etag) == (digest_of(b"data", "md5"), ours.etag)
    assert ours.mtime
    assert wait(store.stat("odd")).digest == digest_of(b"data", "md5")
    assert wait(store.hash("ours.png", "sha256")) == digest_of(b"data")
    assert wait(store.hash("ours.png", "md5")) == digest_of(b"data", "md5")
    assert wait(store.hash("theirs", "sha256")) is None
    assert wait(store.hash("theirs", "git-sha1")) is None
    for job in (store.stat("no"), store.read("no"), store.read("no", 0, 0), store.hash("no", "md5")):
        with pytest.raises(errors.FileMissing, match="data/no is not there"):
            wait(job)  # type: ignore[arg-type]


def test_objects_say_what_they_hold(store: S3Store, boto: Any) -> None:
    types = {
        "a.png": "image/png", "a.JPG": "image/jpeg", "a.jpeg": "image/jpeg", "a.json": "application/json",
        "a.jsonl": "application/x-ndjson", "a.txt": "text/plain", "a.mp4": "video/mp4", "a.avi": "video/x-msvideo",
        "a.bin": "application/octet-stream", "png": "application/octet-stream",
    }  # fmt: skip
    for name, kind in types.items():
        wait(store.write(name, b"x"))
        head = boto.head_object(Bucket=store.bucket, Key=f"data/{name}")
        assert (head["ContentType"], head["Metadata"]) == (kind, {"sha256": digest_of(b"x")[7:]}), name


def test_read_ranges(store: S3Store) -> None:
    wait(store.write("f", b"0123456789"))
    wait(store.write("empty", b""))
    cases = {
        (0, None): b"0123456789", (3, None): b"3456789", (0, 4): b"0123", (8, 100): b"89", (10, None): b"",
        (10, 5): b"", (99, 1): b"", (0, 0): b"", (9, 1): b"9",
    }  # fmt: skip
    for (offset, length), expected in cases.items():
        assert wait(store.read("f", offset, length)) == expected, (offset, length)
    assert wait(store.read("empty")) == wait(store.read("empty", 0, 10)) == b""


def test_read_from_a_server_that_ignores_ranges() -> None:
    with Door(answer=lambda seen: (200, {}, b"0123456789")) as door:
        store = S3Store("s3://bucket", settings(door.url))
        assert wait(store.read("f", 3, 4)) == b"3456"
        assert wait(store.read("f", 8)) == b"89"


def _held(data: bytes) -> MemorySink:
    sink = MemorySink()
    sink.write(data)
    return sink


def test_fetch_goes_on_where_it_stopped(store: S3Store, moto: str) -> None:
    data = b"0123456789"
    wait(store.write("f", data))
    file = next(store.list())
    with Door(moto) as door:
        through = S3Store(store.place, settings(door.url))
        sink = _held(data[:4])
        wait(through.fetch(file, sink))
        assert sink.getvalue() == data
        assert door.seen[-1].headers["range"] == "bytes=4-"
        assert door.seen[-1].headers["if-range"] == file.etag

        wait(through.fetch(file, _held(data)))  # whole already
        assert len(door.seen) == 1

        sink = _held(data + b"too long")
        wait(through.fetch(file, sink))
        assert sink.getvalue() == data
        assert "range" not in door.seen[-1].headers

        sink = _held(b"????")
        wait(through.fetch(File("f"), sink))  # nothing is known of these bytes, so they are not trusted
        assert sink.getvalue() == data

        sink = _held(data)
        wait(through.fetch(File("f", None, file.digest), sink))  # the size is not known: 416 tells it
        assert sink.getvalue() == data
        assert door.seen[-1].headers["range"] == "bytes=10-"

        sink = _held(data + b"too long")
        wait(through.fetch(File("f", None, file.digest), sink))
        assert sink.getvalue() == data


def test_fetch_of_empty_and_missing_files(store: S3Store) -> None:
    wait(store.write("empty", b""))
    for sink in (MemorySink(), _held(b"left over")):
        wait(store.fetch(next(store.list()), sink))
        assert sink.getvalue() == b""
    with pytest.raises(errors.FileMissing):
        wait(store.fetch(File("no", 3), MemorySink()))


def test_fetch_notices_that_the_object_changed(store: S3Store) -> None:
    wait(store.write("f", b"before"))
    listed = next(store.list())
    wait(store.write("f", b"after!"))
    for sink in (MemorySink(), _held(b"bef")):
        with pytest.raises(errors.ChangedMeanwhile, match="data/f"):
            wait(store.fetch(listed, sink))
    with pytest.raises(errors.WrongContent, match="6 bytes arrived, 5 were promised"):
        wait(store.fetch(File("f", 5), MemorySink()))


def test_delete_is_fine_when_nothing_is_there(store: S3Store) -> None:
    wait(store.write("f", b"x"))
    wait(store.delete("f"))
    wait(store.delete("f"))
    with pytest.raises(errors.FileMissing):
        wait(store.stat("f"))


@pytest.mark.parametrize("path", ["", "\udcff", "x" * 1020, "ä" * 510])
def test_keys_that_s3_does_not_take(store: S3Store, path: str) -> None:
    for job in (store.stat(path), store.write(path, b""), store.receive(File(path), MemoryStore())):
        with pytest.raises(errors.UnsafePath):
            wait(job)


# -- who asks, and where


def test_unsigned_requests_carry_no_signature(store: S3Store, boto: Any, moto: str) -> None:
    boto.put_object(Bucket=store.bucket, Key="data/f", Body=b"x", ACL="public-read")
    with Door(moto) as door:
        unsigned = S3Store(store.place, S3Settings(endpoint_url=door.url, no_sign_request=True))
        assert [file.path for file in unsigned.list()] == ["f"]
        assert wait(unsigned.read("f")) == b"x"
        signed = S3Store(store.place, settings(door.url, session_token="TOKEN"))
        assert wait(signed.read("f")) == b"x"
    for seen in door.seen[:-1]:
        assert not [name for name in seen.headers if name == "authorization" or name.startswith("x-amz")]
    assert door.seen[-1].headers["x-amz-security-token"] == "TOKEN"


def test_virtual_host_addressing(bucket: str, moto: str) -> None:
    with Door(moto) as door:
        there = S3Store(f"s3://{bucket}/data", settings(f"http://localhost:{door.port}", addressing="virtual"))
        for name in ("a b", "../up"):
            wait(there.write(name, b"x"))
        assert [file.path for file in there.list()] == ["../up", "a b"]
        assert wait(there.read("../up")) == b"x"
    assert {seen.headers["host"] for seen in door.seen} == {f"{bucket}.localhost:{door.port}"}
    assert {seen.path for seen in door.seen} == {"/", "/data/a%20b", "/data/../up"}


def test_an_endpoint_with_a_path(moto: str, bucket: str) -> None:
    def strip(seen: Seen) -> Any:
        assert seen.target.startswith("/base/")
        return door.forward(Seen(seen.method, seen.target.removeprefix("/base"), seen.headers, seen.body))

    with Door(moto) as door:
        door.answer = strip
        there = S3Store(f"s3://{bucket}/data", settings(f"{door.url}/base/"))
        wait(there.write("x", b"x"))
        assert [file.path for file in there.list()] == ["x"]


def _elsewhere(answer: Any) -> Any:
    """A server of which the bucket is in eu-west-3, and which answers so to requests signed for another region."""

    def reply(seen: Seen) -> Any:
        if seen.region == "eu-west-3":
            return (200, {}, b"data") if seen.method == "GET" else (200, {"Content-Length": "4"}, b"")
        return answer(seen)

    return reply


MALFORMED = error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>")


@pytest.mark.parametrize(
    "answer",
    [
        lambda seen: error(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-3"}),
        lambda seen: error(307, "TemporaryRedirect", Location="/x", **{"x-amz-bucket-region": "eu-west-3"}),
        lambda seen: MALFORMED,
        lambda seen: error(403, "AccessDenied", **{"x-amz-bucket-region": "eu-west-3"}),
    ],
)
def test_the_region_of_a_bucket_is_learned_once(answer: Any) -> None:
    with Door(answer=_elsewhere(answer)) as door:
        store = S3Store("s3://bucket", settings(door.url, region="us-east-1"))
        assert wait(store.read("f")) == b"data"
        assert wait(store.read("f")) == b"data"
    assert [seen.region for seen in door.seen] == ["us-east-1", "eu-west-3", "eu-west-3"]


def test_the_region_is_learned_by_many_requests_at_once() -> None:
    with Door(answer=_elsewhere(lambda seen: MALFORMED)) as door:
        store = S3Store("s3://bucket", settings(door.url, region="us-east-1"))
        outcomes = dict(run([(number, store.read(str(number))) for number in range(20)]))
    assert set(outcomes.values()) == {b"data"}


@pytest.mark.parametrize("answer", [MALFORMED, error(301, "PermanentRedirect", "<Region>eu-west-3</Region>")])
def test_a_refused_head_asks_for_the_reason(answer: Any) -> None:
    with Door(answer=_elsewhere(lambda seen: answer)) as door:
        store = S3Store("s3://bucket", settings(door.url, region="us-east-1"))
        assert wait(store.stat("f")).size == 4
    assert [(seen.method, seen.region) for seen in door.seen] == [
        ("HEAD", "us-east-1"),
        ("GET", "us-east-1"),
        ("HEAD", "eu-west-3"),
    ]


@pytest.mark.parametrize("answer", [error(400, "ExpiredToken"), error(403, "InvalidAccessKeyId")])
def test_a_refused_head_tells_of_the_credentials(answer: Any) -> None:
    with Door(answer=lambda seen: answer) as door, pytest.raises(errors.CredentialsError):
        wait(S3Store("s3://bucket", settings(door.url)).stat("f"))


def test_a_region_that_helps_nothing_ends() -> None:
    def stubborn(seen: Seen) -> Any:
        return error(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-west-9"})

    with Door(answer=stubborn) as door, pytest.raises(errors.ServerFailed, match="301") as caught:
        wait(S3Store("s3://bucket", settings(door.url, region="us-east-1")).read("f"))
    assert caught.value.hint == "the bucket is in eu-west-9: set --region"
    assert len(door.seen) == 2


@pytest.mark.parametrize(
    "answer",
    [
        error(501, "NotImplemented", "<Header>x-amz-checksum-sha256</Header>"),
        error(400, "InvalidArgument", "<Message>Unsupported header 'x-amz-checksum-sha256' received.</Message>"),
    ],
)
def test_servers_that_know_no_checksums_get_none(answer: Any) -> None:
    def plain(seen: Seen) -> Any:
        if any(name.startswith("x-amz-checksum") for name in seen.headers):
            return answer
        return 200, {"ETag": '"e"'}, b""

    with Door(answer=plain) as door:
        store = S3Store("s3://bucket", settings(door.url))
        wait(store.write("f", b"x"), QUICK)
        wait(store.write("g", b"x"), QUICK)
    assert [seen.path for seen in door.seen] == ["/bucket/f", "/bucket/f", "/bucket/g"]


# -- what goes wrong


@pytest.mark.parametrize(
    ("answer", "kind", "words", "hint"),
    [
        (
            error(403, "AccessDenied"),
            errors.AccessDenied,
            "s3:PutObject on bucket/data/f",
            "arn:aws:s3:::bucket/data/f",
        ),
        (error(403, "Something"), errors.AccessDenied, "Something", "s3:PutObject"),
        (error(403, "InvalidAccessKeyId"), errors.CredentialsError, "access key is not known", "endpoint"),
        (error(403, "SignatureDoesNotMatch"), errors.CredentialsError, "secret key does not fit", "secret key"),
        (error(400, "ExpiredToken"), errors.CredentialsError, "expired", "aws sso login"),
        (error(400, "InvalidToken"), errors.CredentialsError, "session token", "AWS_SESSION_TOKEN"),
        (error(403, "RequestTimeTooSkewed"), errors.CredentialsError, "clock", "clock"),
        (error(404, "NoSuchBucket"), errors.PlaceMissing, "'bucket'", "check its name"),
        (error(404, "NoSuchKey"), errors.FileMissing, "data/f is not there", None),
        (error(400, "InvalidBucketName"), errors.BadPlace, "'bucket'", None),
        (error(400, "KeyTooLongError"), errors.UnsafePath, "too long", "1,024"),
        (error(400, "BadDigest"), errors.WrongContent, "on their way", "try again"),
        (error(400, "XAmzContentSHA256Mismatch"), errors.WrongContent, "on their way", "try again"),
        (error(403, "InvalidObjectState"), errors.AccessDenied, "archived", "restore"),
        (error(400, "AuthorizationHeaderMalformed"), errors.ServerFailed, "Malformed: In words", "--region"),
        (error(405, "MethodNotAllowed"), errors.ServerFailed, "405 for s3://bucket/data/f: MethodNotAllowed", None),
        ((404, {}, b"<html>"), errors.FileMissing, "not there", None),
        ((400, {}, b"<html>"), errors.ServerFailed, "answered 400", "--endpoint-url"),
        ((403, {}, b""), errors.AccessDenied, "s3:PutObject", None),
    ],
)
def test_refusals_become_errors_of_ours(
    answer: Any, kind: type[errors.VisprepError], words: str, hint: str | None
) -> None:
    with Door(answer=lambda seen: answer) as door:
        store = S3Store("s3://bucket/data", settings(door.url, region="us-east-1"))
        with pytest.raises(kind, match=words) as caught:
            wait(store.write("f", b"x"))
    assert type(caught.value) is kind
    assert not hint or hint in (caught.value.hint or "")
    assert len(door.seen) == 1


@pytest.mark.parametrize(
    ("verb", "permission"),
    [
        (lambda store: wait(store.stat("f")), "s3:GetObject on bucket/data/f"),
        (lambda store: wait(store.read("f")), "s3:GetObject on bucket/data/f"),
        (lambda store: wait(store.delete("f")), "s3:DeleteObject on bucket/data/f"),
        (lambda store: list(store.list()), "s3:ListBucket on bucket"),
        (lambda store: store.unfinished(), "s3:ListBucketMultipartUploads on bucket"),
        (lambda store: wait(store.abort("f", "id")), "s3:AbortMultipartUpload on bucket/data/f"),
    ],
)
def test_a_denial_names_the_permission(verb: Any, permission: str) -> None:
    with Door(answer=lambda seen: error(403, "AccessDenied")) as door:
        with pytest.raises(errors.AccessDenied, match=permission):
            verb(S3Store("s3://bucket/data", settings(door.url)))
        with pytest.raises(errors.AccessDenied) as caught:
            verb(S3Store("s3://bucket/data", S3Settings(endpoint_url=door.url, no_sign_request=True)))
    assert "--no-sign-request" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "answer",
    [error(503, "SlowDown"), error(500, "InternalError"), error(400, "RequestTimeout"), error(409, "OperationAborted")],
)
def test_what_passes_is_tried_again(answer: Any) -> None:
    with Door(answer=lambda seen: answer if len(door.seen) < 3 else (200, {"ETag": '"e"'}, b"")) as door:
        assert wait(S3Store("s3://bucket", settings(door.url)).write("f", b"x"), QUICK).size == 1
        assert len(door.seen) == 3


def test_attempts_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with Door(answer=lambda seen: error(503, "SlowDown")) as door, pytest.raises(errors.RateLimited):
        wait(S3Store("s3://bucket", settings(door.url)).read("f"), QUICK)
    assert len(door.seen) == 2


def test_data_that_looks_like_an_error_is_data() -> None:
    document = error(200, "SlowDown")
    with Door(answer=lambda seen: document) as door:
        assert wait(S3Store("s3://bucket", settings(door.url)).read("f")) == document[2]


def test_credentials_are_looked_up_at_the_first_request() -> None:
    store = S3Store("s3://bucket/data", S3Settings(endpoint_url="http://127.0.0.1:1"))
    with pytest.raises(errors.CredentialsError):
        wait(store.stat("f"))
    outcomes = dict(run([(path, store.read(path)) for path in ("a", "b")]))
    assert {type(outcome) for outcome in outcomes.values()} == {errors.CredentialsError}


# -- processes, and secrets


def test_pickling(store: S3Store) -> None:
    wait(store.write("f", b"x"))
    again = pickle.loads(pickle.dumps(store))
    assert (again.place, again.settings) == (store.place, settled(store.settings))
    assert again.settings.region == "us-east-1"
    assert wait(again.read("f")) == b"x"


def test_a_forked_child_reads_after_its_parent_did(store: S3Store) -> None:
    wait(store.write("f", b"content"))
    assert wait(store.read("f")) == b"content"
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if wait(store.read("f")) == b"content" else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert wait(store.read("f")) == b"content"


def test_secrets_do_not_show(store: S3Store, caplog: pytest.LogCaptureFixture, moto: str) -> None:
    caplog.set_level(logging.DEBUG)
    guarded = S3Store(store.place, settings(moto, session_token="THE-TOKEN"))
    wait(guarded.write("f", b"x"))
    list(guarded.list())
    said = [repr(guarded), str(guarded), repr(guarded.settings), repr(guarded.request("GET", "f"))]
    with Door(
        answer=lambda seen: error(403, "SignatureDoesNotMatch", f"<StringToSign>{SECRET}</StringToSign>")
    ) as door:
        refused = S3Store(store.place, settings(door.url, session_token="THE-TOKEN"))
        with pytest.raises(errors.CredentialsError) as caught:
            wait(refused.read("f"))
    said += [repr(caught.value), str(caught.value.hint), caplog.text]
    assert all(SECRET not in text and "THE-TOKEN" not in text for text in said)
    assert "PUT" in caplog.text
