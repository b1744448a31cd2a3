"""What users of S3 ask for: storage classes, encryption, ACLs, payers, new buckets; and what refusals tell them."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s3_door import Answer, Door, Seen, error
from visprep import errors
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores.memory import MemoryStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_buckets import create_bucket
from visprep.wire import Patience, run, wait

PART = 5 * 1024 * 1024
KEY_ID = "arn:aws:kms:us-east-1:123456789012:key/0b1c2d3e-0000-4000-8000-1234567890ab"


@pytest.fixture
def boto(s3_server: str) -> Any:
    import boto3

    return boto3.client(
        "s3", endpoint_url=s3_server, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key="SK"
    )


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return f"b-{hashlib.md5(request.node.nodeid.encode()).hexdigest()}"


def settings(url: str, **more: Any) -> S3Settings:
    return S3Settings(endpoint_url=url, access_key="AK", secret_key="SK", part_size=PART, **more)


# -- options


@pytest.mark.parametrize("size", [10, PART + 10])
def test_options_reach_the_object(boto: Any, s3_server: str, name: str, size: int) -> None:
    boto.create_bucket(Bucket=name)
    wanted = settings(s3_server, storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id=KEY_ID, acl="public-read")
    store = S3Store(f"s3://{name}/p", wanted)
    wait(store.receive(File("f", size), MemoryStore(files={"f": b"x" * size})))
    head = boto.head_object(Bucket=name, Key="p/f")
    assert head["StorageClass"] == "STANDARD_IA"
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KEY_ID)
    grants = boto.get_object_acl(Bucket=name, Key="p/f")["Grants"]
    assert [grant["Permission"] for grant in grants if grant["Grantee"].get("URI", "").endswith("AllUsers")] == ["READ"]


@pytest.mark.parametrize("size", [10, PART + 10])
def test_without_options_the_bucket_decides(s3_server: str, boto: Any, name: str, size: int) -> None:
    boto.create_bucket(Bucket=name)
    with Door(s3_server) as door:
        store = S3Store(f"s3://{name}", settings(door.url))
        wait(store.receive(File("f", size), MemoryStore(files={"f": b"x" * size})))
    sent = {header for seen in door.seen for header in seen.headers if header.startswith("x-amz")}
    assert not {header for header in sent if "encryption" in header or header.endswith(("acl", "class", "payer"))}
    assert "StorageClass" not in boto.head_object(Bucket=name, Key="f")


@pytest.mark.parametrize(
    ("given", "header"),
    [
        ({"sse": "AES256"}, ("x-amz-server-side-encryption", "AES256")),
        ({"sse": "aws:kms:dsse"}, ("x-amz-server-side-encryption", "aws:kms:dsse")),
        ({"sse_kms_key_id": "alias/mine"}, ("x-amz-server-side-encryption", "aws:kms")),
        ({"storage_class": "SOME_NEW_CLASS"}, ("x-amz-storage-class", "SOME_NEW_CLASS")),
    ],
)
def test_options_as_headers(given: dict[str, str], header: tuple[str, str]) -> None:
    with Door(answer=lambda seen: (200, {"ETag": '"e"'}, b"")) as door:
        store = S3Store("s3://bucket", settings(door.url, **given))
        wait(store.write("f", b"x"))
        wait(store.delete("f"))
    put, delete = door.seen
    assert header in put.headers.items()
    assert header[0] in put.headers["authorization"]
    assert header[0] not in delete.headers


def test_who_pays_says_so_with_every_request(s3_server: str, boto: Any, name: str) -> None:
    boto.create_bucket(Bucket=name)
    with Door(s3_server) as door:
        store = S3Store(f"s3://{name}/p", settings(door.url, request_payer=True))
        for size in (10, PART + 10):
            wait(store.receive(File("f", size), MemoryStore(files={"f": b"x" * size})))
        list(store.list())
        wait(store.stat("f"))
        wait(store.read("f"))
        store.unfinished()
        wait(store.delete("f"))
    assert {seen.headers.get("x-amz-request-payer") for seen in door.seen} == {"requester"}
    assert all("x-amz-request-payer" in seen.headers["authorization"] for seen in door.seen)


@pytest.mark.parametrize(
    "given",
    [
        {"acl": "mine"}, {"sse": "aes256"}, {"sse": ""}, {"storage_class": "standard"}, {"storage_class": ""},
        {"storage_class": "A B"}, {"storage_class": "A\r\nx-amz-acl: public-read"}, {"sse_kms_key_id": ""},
        {"sse_kms_key_id": "a\nb"}, {"sse": "AES256", "sse_kms_key_id": "alias/mine"},
    ],
)  # fmt: skip
def test_values_that_s3_cannot_mean(given: dict[str, str]) -> None:
    with pytest.raises(errors.UsageError) as caught:
        S3Settings(**given)  # type: ignore[arg-type]
    assert caught.value.hint


def test_signatures_hold_with_every_option() -> None:
    """moto checks them after so many requests that it lets pass: here none but those that make the user."""
    code = """
import boto3, moto.server, os, sys
from visprep.settings import S3Settings
from visprep.stores.s3 import S3Store
from visprep.stores.s3_buckets import create_bucket
from visprep.wire import wait
from visprep.errors import VisprepError
server = moto.server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
url = "http://%s:%d" % server.get_host_and_port()
make = dict(endpoint_url=url, region_name="eu-west-3", aws_access_key_id="a", aws_secret_access_key="b")
iam = boto3.client("iam", **make)
iam.create_user(UserName="me")
document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
iam.put_user_policy(UserName="me", PolicyName="all", PolicyDocument=document)
key = iam.create_access_key(UserName="me")["AccessKey"]
def settings(secret):
    return S3Settings(endpoint_url=url, region="eu-west-3", access_key=key["AccessKeyId"], secret_key=secret,
        storage_class="STANDARD_IA", sse="aws:kms", sse_kms_key_id="alias/my key".replace(" ", "-"),
        acl="bucket-owner-full-control", request_payer=True)
good = settings(key["SecretAccessKey"])
print(create_bucket("s3://signed-bucket", good))
store = S3Store("s3://signed-bucket/p q", good)
wait(store.write("a b", b"x"))
print([file.path for file in store.list()])
try:
    wait(S3Store("s3://signed-bucket", settings("wrong")).write("f", b"x"))
except VisprepError as error:
    print(type(error).__name__)
server.stop()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stdout.splitlines() == ["True", "['a b']", "CredentialsError"], done.stderr


# -- buckets


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-3"])
def test_a_new_bucket_is_private(boto: Any, s3_server: str, name: str, region: str) -> None:
    place = f"s3://{name}/some/prefix"
    assert create_bucket(place, settings(s3_server, region=region))
    where = boto.get_bucket_location(Bucket=name)["LocationConstraint"]
    assert where == (None if region == "us-east-1" else region)
    blocks = boto.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert len(blocks) == 4
    assert all(blocks.values())
    assert "Contents" not in boto.list_objects_v2(Bucket=name)
    assert not create_bucket(place, settings(s3_server, region=region))


def test_a_bucket_that_is_there_is_left_as_it_is(boto: Any, s3_server: str, name: str) -> None:
    boto.create_bucket(Bucket=name)
    with Door(s3_server) as door:
        assert not create_bucket(f"s3://{name}", settings(door.url))
    assert {seen.method for seen in door.seen} == {"HEAD", "GET"}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"HEAD": error(403, ""), "GET": error(403, "AccessDenied")}, "is there already: not allowed: s3:ListBucket"),
        ({"HEAD": error(404, ""), "PUT": error(409, "BucketAlreadyExists")}, "belongs to somebody else"),
        ({"HEAD": error(404, ""), "PUT": error(403, "AccessDenied")}, "s3:CreateBucket"),
    ],
)
def test_a_bucket_that_cannot_be_made(answers: dict[str, Answer], words: str) -> None:
    with (
        Door(answer=lambda seen: answers[seen.method]) as door,
        pytest.raises(errors.AccessDenied, match=words) as caught,
    ):
        create_bucket("s3://bucket", settings(door.url))
    assert caught.value.hint


def test_buckets_where_the_server_knows_less(caplog: pytest.LogCaptureFixture) -> None:
    def owned(seen: Seen) -> Answer:
        return error(404, "") if seen.method == "HEAD" else error(409, "BucketAlreadyOwnedByYou")

    with Door(answer=owned) as door:
        assert not create_bucket("s3://bucket", settings(door.url))

    def plain(seen: Seen) -> Answer:
        if seen.method == "HEAD":
            return error(404, "")
        return error(501, "NotImplemented") if "publicAccessBlock" in seen.query else (200, {}, b"")

    with Door(answer=plain) as door:
        assert create_bucket("s3://bucket", settings(door.url))
    assert "does not know Block Public Access" in caplog.text


# -- refusals

DENIED = (
    "User: arn:aws:iam::123456789012:user/me is not authorized to perform: {} on resource: &quot;{}&quot; because {}"
)


def said(code: str, message: str, status: int = 403) -> Answer:
    status, headers, body = error(status, code)
    return status, headers, body.replace(b"In words.", message.encode())


@pytest.mark.parametrize(
    ("answer", "kind", "words", "hint"),
    [
        (
            said("AccessDenied", "Access Denied"),
            errors.AccessDenied,
            "s3:PutObject on bucket/f",
            "s3:PutObject on arn:aws:s3:::bucket/f",
        ),
        (
            said("AccessDenied", DENIED.format("s3:PutObjectAcl", "arn:aws:s3:::bucket/f", "no policy allows it")),
            errors.AccessDenied,
            "s3:PutObjectAcl on bucket/f .*because no policy allows it",
            "s3:PutObjectAcl on arn:aws:s3:::bucket/f",
        ),
        (
            said("AccessDenied", DENIED.format("kms:GenerateDataKey", KEY_ID, "no policy allows it")),
            errors.AccessDenied,
            f"kms:GenerateDataKey on {KEY_ID}",
            "owner of the key for kms:GenerateDataKey",
        ),
        (error(400, "KMS.DisabledException"), errors.AccessDenied, "KMS key", "--sse-kms-key-id"),
        (error(400, "KMS.NotFoundException"), errors.AccessDenied, "KMS.NotFoundException", "region"),
        (error(400, "AccessControlListNotSupported"), errors.AccessDenied, "ACLs disabled", "leave out --acl"),
        (error(400, "InvalidStorageClass"), errors.AccessDenied, "no such storage class", "--storage-class"),
        (error(400, "InvalidEncryptionAlgorithmError"), errors.AccessDenied, "no such encryption", "--sse"),
        (error(400, "IllegalLocationConstraintException"), errors.ServerFailed, "Illegal", "--region"),
        (error(404, "NoSuchBucket"), errors.PlaceMissing, "no bucket 'bucket'", "check its name"),
    ],
)
def test_refusals_of_a_write(answer: Answer, kind: type[errors.VisprepError], words: str, hint: str) -> None:
    with Door(answer=lambda seen: answer) as door, pytest.raises(kind, match=words) as caught:
        wait(S3Store("s3://bucket", settings(door.url)).write("f", b"x"))
    assert hint in (caught.value.hint or "")
    assert len(door.seen) == 1


def test_a_denied_read_names_what_may_be_missing() -> None:
    with Door(answer=lambda seen: error(403, "AccessDenied")) as door:
        for verb in (lambda store: wait(store.read("f")), lambda store: list(store.list())):
            with pytest.raises(errors.AccessDenied) as caught:
                verb(S3Store("s3://bucket", settings(door.url)))
            assert "--request-payer" in (caught.value.hint or "")


# -- credentials that expire in the middle

EXPIRED = error(400, "ExpiredToken")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """`~/.aws/credentials`, as another tool writes it anew from time to time."""
    file = tmp_path / ".aws" / "credentials"
    file.parent.mkdir()
    write_keys(file, "AKOLD")
    return file


def write_keys(file: Path, key: str) -> None:
    file.write_text(f"[default]\naws_access_key_id={key}\naws_secret_access_key=SK-{key}\naws_session_token=ST-{key}\n")


def only_new(seen: Seen) -> Answer:
    if "AKNEW" not in seen.headers["authorization"]:
        return EXPIRED
    return 200, {"ETag": '"e"'}, b"" if seen.method == "PUT" else b"data"


def test_expired_credentials_are_looked_for_once_more(keys: Path) -> None:
    with Door(answer=lambda seen: (200, {}, b"data")) as door:
        store = S3Store("s3://bucket", S3Settings(endpoint_url=door.url))
        wait(store.read("f"))
        write_keys(keys, "AKNEW")
        door.answer = only_new
        outcomes = dict(run([(at, store.read("f")) for at in range(20)], patience=Patience(base=0.001)))
        assert set(outcomes.values()) == {b"data"}
        assert wait(store.write("f", b"x")).size == 1
        assert len(door.seen) <= 1 + 2 * 20 + 1


def test_a_refused_head_renews_too(keys: Path) -> None:
    with Door(answer=lambda seen: (200, {}, b"data")) as door:
        store = S3Store("s3://bucket", S3Settings(endpoint_url=door.url))
        wait(store.read("f"))
        write_keys(keys, "AKNEW")
        door.answer = only_new
        assert wait(store.stat("f"), Patience(base=0.001)).size == 4


def test_expired_credentials_that_stay_the_same_are_refused_at_once(keys: Path) -> None:
    with Door(answer=lambda seen: EXPIRED) as door:
        store = S3Store("s3://bucket", S3Settings(endpoint_url=door.url))
        for _ in range(2):
            with pytest.raises(errors.CredentialsError, match="expired") as caught:
                wait(store.read("f"))
        assert "aws sso login" in (caught.value.hint or "")
        assert len(door.seen) == 2
        door.answer = lambda seen: (200, {}, b"data")
        store = S3Store("s3://bucket", S3Settings(endpoint_url=door.url))
        wait(store.read("f"))
        keys.write_text("[default]\nnonsense\n")
        door.answer = lambda seen: EXPIRED
        with pytest.raises(errors.CredentialsError, match="expired"):
            wait(store.read("f"))


def test_new_credentials_that_are_refused_too_end_it(keys: Path) -> None:
    with Door(answer=lambda seen: (200, {}, b"data")) as door:
        store = S3Store("s3://bucket", S3Settings(endpoint_url=door.url))
        wait(store.read("f"))
        door.answer = lambda seen: EXPIRED
        write_keys(keys, "AKNEW")
        with pytest.raises(errors.CredentialsError, match="expired"):
            wait(store.read("f"), Patience(base=0.001))
        assert len(door.seen) == 3


def test_renewing_tells_no_secret(keys: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    test_new_credentials_that_are_refused_too_end_it(keys)
    assert "there are new ones from the profile 'default'" in caplog.text
    assert not [word for word in ("SK-", "ST-") if word in caplog.text]
