"""The signature against botocore's own, against moto's server with authentication on, and the bytes on the wire."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import socket
import string
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visprep.signing import Credentials, Signer, quote_key, quote_query
from visprep.wire import Request, Response, send, wait

ODD_KEYS = [
    "plain.txt",
    "with space.txt",
    " leading and trailing ",
    "plus+plus.txt",
    "100%25.txt",
    "percent%20literal",
    "a/../victim",
    "../up",
    "a/./b",
    "a//b",
    "/leading",
    "trailing/",
    "trailing.",
    "...",
    "tab\there",
    "tilde~",
    "semi;colon",
    "equals=sign",
    "question?mark",
    "hash#mark",
    "amp&er,sand",
    "quote'\"",
    "brackets[]{}()<>",
    "at@colon:dollar$!*|^`\\",
    "ünïcode/日本語.png",
    "emoji-🦩.jpg",
    "e\u0301 decomposed",
    "x" * 1024,
    "ä" * 512,
]


def test_quoting_keeps_what_s3_keeps_and_encodes_the_rest() -> None:
    assert quote_key("a/../b//c.~-_") == "a/../b//c.~-_"
    assert quote_key("ä +%?#&=;~\t") == "%C3%A4%20%2B%25%3F%23%26%3D%3B~%09"
    assert quote_query({"prefix": "a b/+", "uploads": "", "Z": "~"}) == "Z=~&prefix=a%20b%2F%2B&uploads="
    with pytest.raises(UnicodeEncodeError):
        quote_key("\udcff")


_text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
_header_value = st.text(string.ascii_letters + string.digits + " /;=+~,.-\t", min_size=1, max_size=30).filter(str.strip)
_meta = st.dictionaries(
    st.from_regex(r"x-amz-(meta-)?[a-z0-9-]{1,12}", fullmatch=True)
    | st.sampled_from(["Content-Type", "X-Amz-Meta-Case", "Content-MD5"]),
    _header_value,
    max_size=5,
)


def _botocore(
    method: str, url: str, headers: dict[str, str], body: bytes, credentials: Credentials, region: str
) -> dict[str, str]:
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials as BotoCredentials

    request = AWSRequest(method, url, headers=headers, data=body)
    theirs = BotoCredentials(credentials.access_key, credentials.secret_key, credentials.session_token)
    S3SigV4Auth(theirs, "s3", region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def _same_moment(stamp: str) -> float:
    return datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


@settings(max_examples=300, deadline=None)
@given(
    method=st.sampled_from(["GET", "PUT", "HEAD", "POST", "DELETE"]),
    host=st.sampled_from(
        [
            "http://127.0.0.1:9000",
            "https://b.s3.eu-west-1.amazonaws.com",
            "http://h:80",
            "https://h:443",
            "https://h:80",
        ]
    ),
    key=_text | st.sampled_from(ODD_KEYS),
    query=st.dictionaries(_text, _text, max_size=4),
    headers=_meta,
    body=st.binary(max_size=200),
    token=st.none() | st.from_regex(r"[A-Za-z0-9/+=]{1,60}", fullmatch=True),
    secret=st.from_regex(r"[A-Za-z0-9/+=]{1,40}", fullmatch=True),
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1"]),
)
def test_signature_equals_botocores(
    method: str,
    host: str,
    key: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    token: str | None,
    secret: str,
    region: str,
) -> None:
    url = f"{host}/bucket/{quote_key(key)}" + (f"?{quote_query(query)}" if query else "")
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    theirs = _botocore(method, url, headers, body, credentials, region)
    clock = _same_moment(theirs["x-amz-date"])
    ours = Signer(lambda: credentials, region, lambda: clock)(method, url, headers, body)
    assert {name.lower(): value for name, value in ours.items()} == theirs


def test_given_headers_pass_through_and_only_the_promised_ones_are_signed() -> None:
    signer = Signer(lambda: Credentials("AK", "SK"), "us-east-1", lambda: 0.0)
    plain = signer("GET", "http://h/b/k", {}, None)
    ranged = signer("GET", "http://h/b/k", {"Range": "bytes=0-9", "If-Range": '"x"'}, None)
    assert ranged.pop("Range") == "bytes=0-9"
    assert ranged.pop("If-Range") == '"x"'
    assert ranged == plain
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date," in plain["Authorization"]


def test_a_known_body_hash_is_used_and_an_old_signature_is_replaced() -> None:
    signer = Signer(lambda: Credentials("AK", "SK", "TOKEN"), "us-east-1", lambda: 0.0)
    url, known = "http://h/b/k", {"X-Amz-Content-Sha256": hashlib.sha256(b"body").hexdigest()}
    first = signer("PUT", url, {}, b"body")
    assert signer("PUT", url, known, b"body") == first
    assert signer("PUT", url, first, b"body") == first


def test_the_signing_key_follows_the_day_and_the_secret() -> None:
    now, secret = [86399.0], ["one"]
    signer = Signer(lambda: Credentials("AK", secret[0]), "us-east-1", lambda: now[0])

    def fresh() -> dict[str, str]:
        return Signer(lambda: Credentials("AK", secret[0]), "us-east-1", lambda: now[0])("GET", "http://h/", {}, None)

    seen = set()
    for moment, key in ((86399.0, "one"), (86400.0, "one"), (86400.0, "two"), (86399.0, "one")):
        now[0], secret[0] = moment, key
        signed = signer("GET", "http://h/", {}, None)
        assert signed == fresh()
        seen.add(signed["Authorization"])
    assert len(seen) == 3


def test_secrets_stay_out_of_reprs() -> None:
    credentials = Credentials("AKID", "very-secret", "token-secret")
    signer = Signer(lambda: credentials, "us-east-1")
    signer("GET", "http://h/", {}, None)
    for text in (repr(credentials), str(credentials), repr(signer), f"{credentials}"):
        assert "secret" not in text
    assert pickle.loads(pickle.dumps(credentials)) == credentials


class _Listener:
    """A server that answers 200 to everything and keeps the first line and headers of each request, to the byte."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.heads: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    head = line
                    while (line := stream.readline()) not in (b"\r\n", b""):
                        head += line
                    length = re.search(rb"(?i)content-length: (\d+)", head)
                    stream.read(int(length[1]) if length else 0)
                    self.heads.append(head)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[_Listener]:
    server = _Listener()
    yield server
    server.close()


def _one(request: Request) -> Response:
    async def job() -> Response:
        return await send(request)

    return wait(job())


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_request_line_is_the_signed_path_to_the_byte(listener: _Listener, method: str) -> None:
    signer = Signer(lambda: Credentials("AK", "SK"), "us-east-1")
    for key in ODD_KEYS:
        url = f"{listener.url}/bucket/{quote_key(key)}?{quote_query({'uploadId': 'a+b/c='})}"
        _one(Request(url, method, body=b"x" if method == "PUT" else None, sign=signer))
        line, _, rest = listener.heads[-1].partition(b"\r\n")
        assert line == f"{method} /bucket/{quote_key(key)}?uploadId=a%2Bb%2Fc%3D HTTP/1.1".encode()
        assert f"Host: {listener.url[7:]}\r\n".encode() in rest


def test_the_body_hash_on_the_wire_is_that_of_the_body(listener: _Listener) -> None:
    signer = Signer(lambda: Credentials("AK", "SK"), "us-east-1")
    for body in (b"", b"some bytes"):
        _one(Request(f"{listener.url}/b/k", "PUT", body=body, sign=signer))
        assert f"x-amz-content-sha256: {hashlib.sha256(body).hexdigest()}\r\n".encode() in listener.heads[-1]
        assert b"UNSIGNED" not in listener.heads[-1]


# moto checks signatures only in a process of its own, after as many unchecked calls as it is told to let pass.
_CHECKING_SERVER = """
import sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""


@pytest.fixture(scope="module")
def checking_server() -> Iterator[tuple[str, Credentials]]:
    """The address of a server that checks signatures, and credentials that it accepts."""
    pytest.importorskip("moto.server", reason="moto's server is in the demo extra")
    import boto3

    environment = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "4"}
    process = subprocess.Popen(
        [sys.executable, "-c", _CHECKING_SERVER],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout
    host, port = process.stdout.readline().split()
    url = f"http://{host}:{port}"
    keys = {"region_name": "us-east-1", "aws_access_key_id": "any", "aws_secret_access_key": "any"}
    iam = boto3.client("iam", endpoint_url=url, **keys)
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.create_user(UserName="tester")
    iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="tester")["AccessKey"]
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="bucket")
    yield url, Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    process.communicate("")


HEADER_SETS = [
    {},
    {"content-type": "image/png", "x-amz-meta-sha256": "0" * 64},
    {"x-amz-meta-note": "several   spaces  inside", "x-amz-storage-class": "STANDARD"},
    {
        "x-amz-acl": "private",
        "Content-MD5": "",
        "x-amz-checksum-sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    },
]


def test_every_odd_key_is_accepted_where_signatures_are_checked(checking_server: tuple[str, Credentials]) -> None:
    url, credentials = checking_server
    signer = Signer(lambda: credentials, "us-east-1")
    for number, key in enumerate(ODD_KEYS):
        target, body = f"{url}/bucket/{quote_key(key)}", f"content of {number}".encode()
        for headers in HEADER_SETS:
            put = _one(Request(target, "PUT", headers=headers, body=body, sign=signer))
            assert put.status == 200, (key, headers, put.body)
        read = _one(Request(target, headers={"Range": "bytes=0-6"}, sign=signer))
        assert (read.status, read.body) == (206, b"content"), (key, read.body)
        query = {"list-type": "2", "prefix": key, "encoding-type": "url", "max-keys": "5"}
        listed = _one(Request(f"{url}/bucket?{quote_query(query)}", sign=signer))
        assert (listed.status, listed.body.count(b"<Key>") >= 1) == (200, True), (key, listed.body)
        gone = _one(Request(target, "DELETE", sign=signer))
        assert gone.status == 204, (key, gone.body)


def test_a_wrong_secret_and_a_changed_request_are_refused(checking_server: tuple[str, Credentials]) -> None:
    url, credentials = checking_server
    wrong = Signer(lambda: Credentials(credentials.access_key, "wrong"), "us-east-1")
    refused = _one(Request(f"{url}/bucket/key", "PUT", body=b"x", sign=wrong))
    assert (refused.status, b"SignatureDoesNotMatch" in refused.body) == (403, True)

    good = Signer(lambda: credentials, "us-east-1")
    signed = good("PUT", f"{url}/bucket/key", {"x-amz-meta-a": "1"}, b"x")
    assert _one(Request(f"{url}/bucket/key", "PUT", headers=signed, body=b"x")).status == 200
    changed = _one(Request(f"{url}/bucket/key", "PUT", headers={**signed, "x-amz-meta-a": "2"}, body=b"x"))
    assert (changed.status, b"SignatureDoesNotMatch" in changed.body) == (403, True)
