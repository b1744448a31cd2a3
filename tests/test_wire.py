"""wire against real servers on loopback that misbehave on request."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from visprep import wire
from visprep.errors import (
    ChangedMeanwhile,
    CredentialsError,
    DiskFull,
    FileMissing,
    NetworkError,
    RateLimited,
    ServerFailed,
    Stalled,
    Unreachable,
    VisprepError,
)
from visprep.exchange import Exchange
from visprep.messages import TRANSIENT, Failure, size_in
from visprep.stores.memory import MemorySink
from visprep.testing import FaultyProxy, Mirror
from visprep.testing.serving import Handler, LocalServer
from visprep.wire import Patience, RangesIgnored, Request, Response, send, send_all

# Patient with machines that stand still, which those have that do other work; HASTY is for what never answers
QUICK = Patience(connect=5, stall=30, base=0.001, longest=0.01)
HASTY = replace(QUICK, stall=0.5)
DATA = bytes(range(251)) * 8_000  # 2 MB without a period that any range could share


class Keeper(Handler):
    """Keeps what is PUT or POSTed."""

    owner: Shelf  # type: ignore[misc]

    def respond(self) -> None:
        self.owner.bodies.append(b"".join(self.upload()))
        self.answer(200, b"ok")


class Shelf(LocalServer):
    handler = Keeper

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[bytes] = []


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "data.bin").write_bytes(DATA)
    (folder / "small.bin").write_bytes(b"small")
    (folder / "empty.bin").write_bytes(b"")
    return folder


@pytest.fixture
def mirror(files: Path) -> Iterator[Mirror]:
    with Mirror(files) as server:
        yield server


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with Shelf() as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder: Path) -> tuple[Path, Path]:
    import datetime
    import ipaddress

    pytest.importorskip("cryptography", reason="cryptography makes the test's certificate")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def ask(url: str, method: str = "GET", **more: Any) -> Response:
    return await send(Request(url, method, **more))


def get(url: str, patience: Patience = QUICK, **more: Any) -> Response:
    return wire.wait(ask(url, **more), patience)


def fetched(url: str, sink: MemorySink | None = None, patience: Patience = QUICK, **more: Any) -> bytes:
    sink = sink or MemorySink()
    response = wire.wait(ask(url, sink=sink, **more), patience)
    assert response.status in (200, 206)
    assert response.body == b""
    return sink.getvalue()


def holding(data: bytes) -> MemorySink:
    sink = MemorySink()
    sink.write(data)
    return sink


def etag(mirror: Mirror, path: str = "data.bin") -> str:
    return get(f"{mirror.url}/{path}", method="HEAD").headers["etag"]


# What goes wrong and is mended


@pytest.mark.parametrize("status", sorted(TRANSIENT))
def test_a_transient_answer_is_asked_for_again(mirror: Mirror, status: int) -> None:
    mirror.fault("data.bin", times=2, status=status)
    assert fetched(f"{mirror.url}/data.bin") == DATA
    assert [request.status for request in mirror.requests] == [status, status, 200]


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "end of connection"])
def test_a_broken_body_goes_on_where_it_broke(mirror: Mirror, reset: bool) -> None:
    mirror.fault("data.bin", cut=700_000, reset=reset)
    mirror.fault("data.bin", cut=300_000, reset=reset)
    assert fetched(f"{mirror.url}/data.bin") == DATA
    assert [request.range for request in mirror.requests] == [None, "bytes=700000-", "bytes=1000000-"]
    tag = etag(mirror)
    assert [request.headers.get("if-range") for request in mirror.requests[:3]] == [None, tag, tag]
    assert sum(request.sent for request in mirror.requests) == len(DATA)


def test_a_stalled_body_goes_on(mirror: Mirror) -> None:
    mirror.fault("data.bin", stall=True, cut=500_000)
    assert fetched(f"{mirror.url}/data.bin", patience=replace(QUICK, stall=3)) == DATA
    assert mirror.requests[1].range == "bytes=500000-"


def test_a_reset_before_the_answer(mirror: Mirror) -> None:
    mirror.fault("small", times=2, reset=True)
    assert get(f"{mirror.url}/small.bin").body == b"small"
    assert len(mirror.requests) == 3


def test_headway_earns_all_attempts_again(mirror: Mirror) -> None:
    mirror.fault("data.bin", times=8, cut=200_000, reset=True)
    assert fetched(f"{mirror.url}/data.bin", attempts=2) == DATA
    assert len(mirror.requests) == 9


def test_without_headway_attempts_end(files: Path) -> None:
    with Mirror(files, ranges=False) as mirror:
        mirror.fault("data.bin", times=None, cut=500_000)
        with pytest.raises(ServerFailed, match="broke"):
            fetched(f"{mirror.url}/data.bin", attempts=3)
        assert len(mirror.requests) == 4  # the first got on well, the others no further


def test_an_answer_that_the_caller_calls_transient(mirror: Mirror) -> None:
    answers = iter([True, True, False])
    assert get(f"{mirror.url}/small.bin", retry=lambda response: next(answers)).body == b"small"
    assert len(mirror.requests) == 3


def test_less_than_was_asked_for_is_asked_for_again(mirror: Mirror) -> None:
    headers = {"Content-Range": f"bytes 0-9/{len(DATA)}", "ETag": etag(mirror)}
    mirror.fault("GET /data.bin", status=206, body=DATA[:10], headers=headers)
    assert fetched(f"{mirror.url}/data.bin") == DATA
    assert mirror.requests[-1].range == "bytes=10-"


# What goes wrong and stays wrong


@pytest.mark.parametrize(("status", "kind"), [(503, ServerFailed), (429, RateLimited)])
def test_attempts_end(mirror: Mirror, status: int, kind: type[VisprepError]) -> None:
    mirror.fault("data.bin", times=None, status=status)
    with pytest.raises(kind, match=str(status)) as caught:
        get(f"{mirror.url}/data.bin?secret=1", attempts=3)
    assert len(mirror.requests) == 3
    assert "secret" not in str(caught.value)


def test_pauses_leave_the_random_numbers_of_a_training_alone(mirror: Mirror) -> None:
    mirror.fault("small", times=2, status=503)
    before = random.getstate()
    assert get(f"{mirror.url}/small.bin", attempts=3)
    assert len(mirror.requests) == 3
    assert random.getstate() == before


def test_slow_down_is_a_rate_limit(mirror: Mirror) -> None:
    with FaultyProxy(mirror.url) as proxy:
        proxy.fault("small", times=None, status=503)
        with pytest.raises(RateLimited):
            get(f"{proxy.url}/small.bin", attempts=2)


def test_silence(mirror: Mirror) -> None:
    mirror.fault("small", times=None, stall=True)
    with pytest.raises(Stalled, match=r"127\.0\.0\.1"):
        get(f"{mirror.url}/small.bin", HASTY, attempts=1)


def test_a_closed_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match=str(port)):
        get(f"http://127.0.0.1:{port}/", attempts=2)


def test_an_unknown_host() -> None:
    with pytest.raises(Unreachable, match=r"nohost\.invalid"):
        get("http://nohost.invalid/", attempts=2)


def test_an_address_that_is_none() -> None:
    with pytest.raises(NetworkError):
        get("http://[broken/", attempts=1)


def test_redirects_in_a_circle(mirror: Mirror) -> None:
    mirror.redirects["/round"] = "/round"
    with pytest.raises(ServerFailed, match="redirects too many times"):
        get(f"{mirror.url}/round", follow=True)
    assert len(mirror.requests) == 6


def test_no_other_protocol_by_redirect(mirror: Mirror) -> None:
    mirror.redirects["/out"] = "file:///etc/hostname"
    with pytest.raises(ServerFailed):
        get(f"{mirror.url}/out", follow=True)


def test_a_part_that_begins_elsewhere(mirror: Mirror) -> None:
    mirror.fault("data", status=206, body=b"xx", headers={"Content-Range": "bytes 5-6/100"})
    with pytest.raises(ServerFailed, match="from byte 3"):
        fetched(f"{mirror.url}/data.bin", offset=3)
    mirror.fault("data", status=206, body=b"xx")
    with pytest.raises(ServerFailed, match="from byte 3"):
        fetched(f"{mirror.url}/data.bin", offset=3)


def test_more_than_the_part_asked_for(mirror: Mirror) -> None:
    mirror.fault("data", status=206, body=b"x" * 50, headers={"Content-Range": "bytes 0-9/100"})
    with pytest.raises(ServerFailed, match="more than"):
        fetched(f"{mirror.url}/data.bin", length=10)


def test_ranges_ignored(files: Path) -> None:
    with Mirror(files, ranges=False) as mirror:
        for part in ({"offset": 5}, {"length": 5}, {"offset": 5, "length": 5}):
            with pytest.raises(RangesIgnored) as caught:
                fetched(f"{mirror.url}/data.bin", **part)
            assert caught.value.size == len(DATA)
        assert fetched(f"{mirror.url}/small.bin", length=5) == b"small"


def test_an_error_is_returned_with_some_of_its_text(mirror: Mirror) -> None:
    mirror.fault("data", status=400, body=b"why " * 1_000_000)
    sink = MemorySink()
    response = get(f"{mirror.url}/data.bin", sink=sink)
    assert response.status == 400
    assert response.body == b"why " * (64 * 1024 // 4)
    assert sink.position == 0
    assert get(f"{mirror.url}/none").status == 404


# Resuming what an earlier process left


def test_resume_by_etag(mirror: Mirror) -> None:
    tag = etag(mirror)
    assert fetched(f"{mirror.url}/data.bin", holding(DATA[:1000]), validator=tag) == DATA
    assert (mirror.requests[-1].range, mirror.requests[-1].headers["if-range"]) == ("bytes=1000-", tag)


@pytest.mark.parametrize("validator", ['"of another file"', 'W/"weak"', None])
def test_other_bytes_are_thrown_away(mirror: Mirror, validator: str | None) -> None:
    assert fetched(f"{mirror.url}/data.bin", holding(b"wrong" * 50), validator=validator) == DATA
    assert mirror.requests[-1].status == 200


def test_resume_without_etag_only_when_a_digest_will_tell(files: Path) -> None:
    with Mirror(files, etags=False) as mirror:
        assert fetched(f"{mirror.url}/data.bin", holding(DATA[:1000]), checked=True) == DATA
        assert mirror.requests[-1].range == "bytes=1000-"
        assert fetched(f"{mirror.url}/data.bin", holding(DATA[:1000])) == DATA
        assert mirror.requests[-1].range is None


def test_a_file_that_changes_in_the_middle_starts_over(mirror: Mirror, files: Path) -> None:
    other = DATA[::-1]
    mirror.fault("data.bin", cut=900_000)
    moved = []

    def on_bytes(count: int) -> None:
        if not moved:
            (files / "other").write_bytes(other)
            (files / "other").replace(files / "data.bin")
        moved.append(count)

    sink = MemorySink()
    outcomes = list(wire.run([(1, ask(f"{mirror.url}/data.bin", sink=sink))], on_bytes=on_bytes, patience=QUICK))
    assert isinstance(outcomes[0][1], Response)
    assert sink.getvalue() == other
    assert sum(moved) == len(other)  # what had come of the old file is taken back


def test_another_file_from_a_server_without_if_range(mirror: Mirror) -> None:
    headers = {"Content-Range": f"bytes 1000-1999/{len(DATA)}", "ETag": '"new"'}
    mirror.fault("data", status=206, body=b"x" * 1000, headers=headers)
    assert fetched(f"{mirror.url}/data.bin", holding(b"y" * 1000), validator='"old"') == DATA


def test_a_part_of_a_changed_file(mirror: Mirror) -> None:
    with pytest.raises(ChangedMeanwhile):
        fetched(f"{mirror.url}/data.bin", offset=10, length=10, validator='"old"')
    headers = {"Content-Range": "bytes 10-19/100", "ETag": '"new"'}
    mirror.fault("data", status=206, body=b"x" * 10, headers=headers)
    with pytest.raises(ChangedMeanwhile):
        fetched(f"{mirror.url}/data.bin", offset=10, length=10, validator='"old"')
    assert fetched(f"{mirror.url}/data.bin", offset=10, length=10, validator=etag(mirror)) == DATA[10:20]


def test_a_part_goes_on_where_it_broke(mirror: Mirror) -> None:
    mirror.fault("data.bin", cut=400_000, reset=True)
    assert fetched(f"{mirror.url}/data.bin", offset=100_000, length=1_000_000) == DATA[100_000:1_100_000]
    assert [request.range for request in mirror.requests] == ["bytes=100000-1099999", "bytes=500000-1099999"]


@pytest.mark.parametrize("options", [{"ranges": False}, {"etags": False}], ids=str)
@pytest.mark.parametrize("left", [0, 5000])
def test_on_bytes_tells_how_the_sink_grows(files: Path, options: dict[str, bool], left: int) -> None:
    moved: list[int] = []
    with Mirror(files, **options) as mirror:
        mirror.fault("data.bin", cut=900_000)
        sink = holding(DATA[:left])
        job = ask(f"{mirror.url}/data.bin", sink=sink, validator='"x"')
        ((_, outcome),) = wire.run([(1, job)], on_bytes=moved.append, patience=QUICK)
        assert isinstance(outcome, Response)
    assert sink.getvalue() == DATA
    assert left + sum(moved) == len(DATA)


# Pauses


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (b"7", 7, 7),
        (b"3600", 20, 20),
        (b"soon", 0, 1),
        (b"\xb2", 0, 1),
        (b"9" * 5_000, 0, 1),
        (b"Thu, 01 Jan 9999999999999 00:00:00 GMT", 0, 1),
        (b"", 0, 1),
        (b"Sat, 01 Jan 2000 00:00:00 GMT", 0, 1),
        (b"Fri, 01 Jan 2500 00:00:00 GMT", 20, 20),
    ],
)
def test_the_pause_is_what_the_server_asks_for(asked: bytes, least: float, most: float) -> None:
    exchange = Exchange(Request("http://x/"), Patience(base=0.5, longest=20), lambda _: None)
    exchange.begin()
    exchange.lines += [b"HTTP/1.1 429 Too Many Requests\r\n", b"Retry-After: " + asked + b"\r\n", b"\r\n"]
    assert isinstance(exchange.conclude(None, "http://x/"), Failure)
    assert least <= exchange.pause() <= most


@pytest.mark.parametrize(
    ("told", "number"),
    [("0", 0), ("9" * 19, int("9" * 19)), ("9" * 5_000, None), ("\xb2", None), ("-1", None), ("", None)],
)
def test_a_header_tells_a_whole_number_or_none(told: str, number: int | None) -> None:
    assert size_in({"content-length": told}) == number


def test_pauses_grow_and_differ() -> None:
    exchange = Exchange(Request("http://x/"), Patience(base=1, longest=1000), lambda _: None)
    for attempt in range(1, 6):
        exchange.begin()
        pauses = [exchange.pause() for _ in range(50)]
        assert len(set(pauses)) > 40
        assert 0 < min(pauses) < max(pauses) <= 2**attempt


# Small things


def test_empty_bodies(mirror: Mirror) -> None:
    assert get(f"{mirror.url}/empty.bin").body == b""
    assert fetched(f"{mirror.url}/empty.bin") == b""
    assert fetched(f"{mirror.url}/empty.bin", holding(b"old"), validator='"old"', retry=None) == b""
    mirror.fault("small", status=204)
    assert get(f"{mirror.url}/small.bin").status == 204


def test_head(mirror: Mirror) -> None:
    response = get(f"{mirror.url}/data.bin", method="HEAD")
    assert (response.status, response.headers["content-length"], response.body) == (200, str(len(DATA)), b"")
    assert get(f"{mirror.url}/small.bin").body == b"small"  # the handle that asked for no body is as good as new


def test_a_body_without_length_ends_with_the_connection(files: Path) -> None:
    with Mirror(files, lengths=False) as mirror:
        assert get(f"{mirror.url}/data.bin").body == DATA


@pytest.mark.parametrize("target", ["/a/../b", "/a/./b", "//a//b", "/%2E%2E/a%2Fb?x=%2e&y", "/a+b%20c~d!'()*"])
def test_the_path_is_sent_as_it_is(mirror: Mirror, target: str) -> None:
    assert get(mirror.url + target).status == 404
    assert mirror.requests[0].path == target


def test_headers_are_sent_as_they_are(mirror: Mirror) -> None:
    get(f"{mirror.url}/small.bin", headers={"X-One": "a b", "X-Empty": "", "X-Odd": "\u00fc"})
    sent = mirror.requests[0].headers
    assert (sent["x-one"], sent["x-empty"], sent["x-odd"].encode("latin-1")) == ("a b", "", "\u00fc".encode())
    assert "expect" not in sent
    get(f"{mirror.url}/small.bin")
    assert "x-one" not in mirror.requests[1].headers


def test_connections_are_kept(mirror: Mirror) -> None:
    for _ in range(5):
        get(f"{mirror.url}/small.bin")
    assert mirror.connections == 1
    mirror.fault("small", times=None, delay=0.05)
    for _ in range(2):
        outcomes_of(((number, ask(f"{mirror.url}/small.bin")) for number in range(30)), 30)
    assert mirror.connections <= 30


# Redirects, proxies, TLS


def test_a_redirect_does_not_carry_the_token_to_another_origin(mirror: Mirror) -> None:
    mirror.redirects |= {"/here": "/small.bin", "/there": f"{mirror.other_origin}/small.bin"}
    token = {"Authorization": "Bearer secret"}
    assert get(f"{mirror.url}/here", headers=token, follow=True).body == b"small"
    assert [request.had_token for request in mirror.requests] == [True, True]
    there = get(f"{mirror.url}/there", headers=token, follow=True)
    assert (there.body, there.url) == (b"small", f"{mirror.other_origin}/small.bin")
    assert [request.had_token for request in mirror.requests[2:]] == [True, False]
    assert get(f"{mirror.url}/here").status == 302


def test_a_redirected_body_resumes(mirror: Mirror) -> None:
    mirror.redirects["/moved"] = f"{mirror.other_origin}/data.bin"
    mirror.fault("GET /data.bin", cut=900_000, reset=True)
    assert fetched(f"{mirror.url}/moved", follow=True) == DATA
    assert [request.range for request in mirror.requests] == [None, None, "bytes=900000-", "bytes=900000-"]


def test_a_proxy_from_the_environment(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with FaultyProxy(mirror.url) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert get("http://far.invalid/small.bin").body == b"small"
        assert [request.path for request in proxy.requests] == ["http://far.invalid/small.bin"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert get(f"{mirror.url}/small.bin").body == b"small"
        assert len(proxy.requests) == 1


def test_a_proxy_that_refuses_a_tunnel(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", mirror.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(Unreachable, match="proxy"):
        get("https://far.invalid/", attempts=1)


def test_tls(files: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with Mirror(files, certificate=certificate) as mirror:
        with pytest.raises(Unreachable, match="TLS") as caught:
            get(f"{mirror.url}/small.bin")
        assert "SSL_CERT_FILE" in (caught.value.hint or "")
        assert mirror.connections == 1  # trying again would not help
        assert get(f"{mirror.url}/small.bin", ca_bundle=str(certificate[0])).body == b"small"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert fetched(f"{mirror.url}/data.bin") == DATA


# Uploads


def test_an_upload_is_tried_again_with_all_its_bytes(shelf: Shelf) -> None:
    shelf.fault("PUT", upload_reset=300_000)
    shelf.fault("PUT", status=503)
    assert get(f"{shelf.url}/x", method="PUT", body=DATA).body == b"ok"
    assert shelf.bodies == [DATA]
    assert shelf.requests[-1].headers["content-length"] == str(len(DATA))
    assert "expect" not in shelf.requests[-1].headers


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("body", [None, b"", b"text"])
def test_bodies_of_any_kind(shelf: Shelf, method: str, body: bytes | None) -> None:
    get(f"{shelf.url}/x", method=method, body=body)
    assert shelf.bodies == [body or b""]
    assert shelf.requests[0].method == method
    assert shelf.requests[0].headers["content-length"] == str(len(body or b""))
    assert "content-type" not in shelf.requests[0].headers


def test_an_upload_over_a_connection_that_died_in_the_meantime(shelf: Shelf) -> None:
    shelf.fault("PUT", status=200, body=b"ok", cut=2)  # closes without having said so
    for _ in range(3):  # whether libcurl notices before, or the reset comes while it sends, is chance
        assert get(f"{shelf.url}/x", method="PUT", body=DATA, attempts=2).body == b"ok"
    assert shelf.bodies[-2:] == [DATA, DATA]


def test_delete(shelf: Shelf) -> None:
    assert get(f"{shelf.url}/x", method="DELETE").status == 200
    assert "content-length" not in shelf.requests[0].headers


def test_every_attempt_is_signed(mirror: Mirror) -> None:
    signed: list[tuple[str, str]] = []

    def sign(method: str, url: str, headers: Any, body: bytes | None) -> dict[str, str]:
        signed.append((method, url))
        return {**headers, "Authorization": f"attempt {len(signed)}"}

    mirror.fault("small", times=2, status=500)
    get(f"{mirror.url}/small.bin", sign=sign, headers={"X-Kept": "yes"})
    assert signed == [("GET", f"{mirror.url}/small.bin")] * 3
    assert [request.headers["authorization"] for request in mirror.requests] == ["attempt 1", "attempt 2", "attempt 3"]
    assert mirror.requests[2].headers["x-kept"] == "yes"


# Jobs


def outcomes_of(jobs: Any, in_flight: int = 8, **more: Any) -> dict[Any, Any]:
    return dict(wire.run(jobs, in_flight, **{"patience": QUICK} | more))


def test_a_thousand_at_once(mirror: Mirror, files: Path) -> None:
    for number in range(1000):
        (files / f"{number}.txt").write_text(str(number))
    mirror.fault("txt", times=100, probability=0.2, status=503)
    moved = []

    async def job(number: int) -> bytes:
        sink = MemorySink()
        await send(Request(f"{mirror.url}/{number}.txt", sink=sink, attempts=30))
        return sink.getvalue()

    jobs = ((number, job(number)) for number in range(1000))
    outcomes = outcomes_of(jobs, 64, on_bytes=moved.append)
    assert outcomes == {number: str(number).encode() for number in range(1000)}
    assert sum(moved) == sum(len(str(number)) for number in range(1000))
    assert len(mirror.requests) == 1100
    assert mirror.connections <= 64


def test_jobs_are_pulled_as_they_end(mirror: Mirror) -> None:
    pulled = 0

    def jobs() -> Iterator[tuple[int, wire.Job[Response]]]:
        nonlocal pulled
        for number in range(20):
            pulled += 1
            yield number, ask(f"{mirror.url}/small.bin")

    for ended, _ in enumerate(wire.run(jobs(), 3, patience=QUICK), 1):
        assert pulled <= ended + 3


def test_who_has_no_job_at_the_moment_is_asked_again(mirror: Mirror) -> None:
    """None begins nothing; what was begun is on its way before its caller takes his time over an outcome."""
    arrived: list[str] = []

    async def first() -> None:
        arrived.append("first")
        await ask(f"{mirror.url}/small.bin")
        arrived.append("last")

    def jobs() -> Iterator[tuple[str, Any] | None]:
        yield "slow", first()
        yield "news", nothing()
        while "last" not in arrived:
            yield None
        yield "after", nothing()

    outcomes = wire.run(jobs())
    assert next(outcomes) == ("news", None)
    for _ in range(1000):
        if mirror.connections:
            break
        time.sleep(0.005)
    assert mirror.connections == 1
    assert [key for key, _ in outcomes] == ["slow", "after"]
    assert list(wire.run([None])) == []


async def nothing(value: Any = None) -> Any:
    return value


async def failing(error: BaseException) -> None:
    raise error


def test_jobs_that_never_await() -> None:
    assert outcomes_of((number, nothing(number)) for number in range(100)) == {number: number for number in range(100)}
    assert wire.wait(nothing("value")) == "value"
    assert outcomes_of([]) == {}


def test_jobs_that_never_await_let_the_others_move(mirror: Mirror) -> None:
    done = threading.Event()

    async def transfer() -> None:
        await send(Request(f"{mirror.url}/small.bin"))
        done.set()

    def jobs() -> Iterator[tuple[int, wire.Job[Any]]]:
        yield 0, transfer()
        for number in range(1, many):
            if done.is_set():
                return
            yield number, nothing()

    many = 2_000_000
    assert sum(1 for _ in wire.run(jobs(), 4, patience=QUICK)) < many
    assert done.is_set()


def test_an_error_is_the_outcome_of_its_job_alone(mirror: Mirror) -> None:
    error = FileMissing("gone")
    jobs = [(1, ask(f"{mirror.url}/small.bin")), (2, failing(error)), (3, ask(f"{mirror.url}/data.bin"))]
    outcomes = outcomes_of(jobs)
    assert (outcomes[1].body, outcomes[2], outcomes[3].body) == (b"small", error, DATA)
    with pytest.raises(FileMissing):
        wire.wait(failing(error))


def tidying(job: wire.Job[Any], tidied: list[str]) -> wire.Job[None]:
    async def around() -> None:
        try:
            await job
        finally:
            tidied.append("tidied")

    return around()


def test_a_bug_ends_everything_and_every_job_tidies_up(mirror: Mirror) -> None:
    mirror.fault("data", times=None, stall=True)
    tidied: list[str] = []
    jobs = [(number, tidying(ask(f"{mirror.url}/data.bin"), tidied)) for number in range(3)]
    with pytest.raises(ZeroDivisionError):
        outcomes_of([*jobs, (9, failing(ZeroDivisionError()))])
    assert tidied == ["tidied"] * 3


def test_who_stops_listening_ends_everything(mirror: Mirror) -> None:
    mirror.fault("data", times=None, stall=True)
    tidied: list[str] = []
    jobs = [(number, tidying(ask(f"{mirror.url}/data.bin"), tidied)) for number in range(3)]
    running = wire.run([*jobs, (9, nothing())], patience=QUICK)
    assert next(iter(running)) == (9, None)
    running.close()  # type: ignore[attr-defined]
    assert tidied == ["tidied"] * 3


def test_only_send_can_be_awaited() -> None:
    class Foreign:
        def __await__(self) -> Iterator[Any]:
            yield object()

    async def job() -> None:
        await Foreign()  # type: ignore[misc]

    with pytest.raises(TypeError, match="may only await what wire offers"):
        wire.wait(job())


def test_a_job_may_wait_for_another(mirror: Mirror) -> None:
    async def outer() -> bytes:
        inner = wire.wait(ask(f"{mirror.url}/small.bin"), QUICK).body
        return inner + (await send(Request(f"{mirror.url}/small.bin"))).body

    assert wire.wait(outer(), QUICK) == b"smallsmall"


def test_the_error_of_a_sink_belongs_to_its_job(mirror: Mirror) -> None:
    class Full(MemorySink):
        def write(self, data: bytes) -> None:
            raise error

    error: Exception = DiskFull("no room")
    jobs = [(1, ask(f"{mirror.url}/data.bin", sink=Full())), (2, ask(f"{mirror.url}/data.bin"))]
    outcomes = outcomes_of(jobs)
    assert (outcomes[1], outcomes[2].body) == (error, DATA)
    error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        get(f"{mirror.url}/data.bin", sink=Full())


def test_the_error_of_a_signature_belongs_to_its_job(mirror: Mirror) -> None:
    def sign(*_: Any) -> dict[str, str]:
        raise error

    error = CredentialsError("none found")
    jobs = [(1, ask(f"{mirror.url}/data.bin", sign=sign)), (2, ask(f"{mirror.url}/small.bin"))]
    outcomes = outcomes_of(jobs)
    assert (outcomes[1], outcomes[2].body) == (error, b"small")
    assert len(mirror.requests) == 1


def test_several_requests_of_one_job(mirror: Mirror) -> None:
    async def job(parts: int) -> bytes:
        sinks = [MemorySink() for _ in range(parts)]
        size = len(DATA) // parts
        requests = [
            Request(f"{mirror.url}/data.bin", sink=sink, offset=at * size, length=size) for at, sink in enumerate(sinks)
        ]
        await send_all(requests)
        return b"".join(sink.getvalue() for sink in sinks)

    mirror.fault("data", times=3, cut=70_000, reset=True)
    assert wire.wait(job(8), QUICK) == DATA
    assert wire.wait(job(1), QUICK) == DATA
    assert wire.wait(_none(), QUICK) == []


async def _none() -> list[Response]:
    return await send_all([])


def test_one_failure_ends_its_siblings_and_the_job_goes_on(mirror: Mirror) -> None:
    mirror.fault("GET /stalls", stall=True)
    mirror.fault("GET /again", times=None, status=503, headers={"Retry-After": "3600"})
    mirror.fault("GET /wrong", status=206, headers={"Content-Range": "bytes 7-8/9"}, body=b"xx", delay=0.05)
    mirror.fault("GET /small", delay=1.2)  # time enough for /again, were it still to be tried again

    async def job() -> bytes:
        names = ("stalls", "again", "wrong", "data.bin")
        with pytest.raises(ServerFailed, match="wrong"):
            await send_all([Request(f"{mirror.url}/{name}", sink=MemorySink()) for name in names])
        return (await send(Request(f"{mirror.url}/small.bin"))).body

    assert wire.wait(job(), Patience(stall=60, longest=1)) == b"small"
    assert [request.path for request in mirror.requests].count("/again") == 1


def test_a_request_that_cannot_be_made_ends_its_siblings_too(mirror: Mirror) -> None:
    def sign(*_: Any) -> dict[str, str]:
        raise CredentialsError("none found")

    async def job() -> None:
        url = f"{mirror.url}/small.bin"
        await send_all([Request(url, sign=sign), Request(url)])

    with pytest.raises(CredentialsError):
        wire.wait(job(), QUICK)
    assert mirror.requests == []


def test_a_signal_that_somebody_handles_disturbs_nothing(mirror: Mirror) -> None:
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    mirror.fault("data", slow=10_000_000)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        assert fetched(f"{mirror.url}/data.bin") == DATA
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert heard


def test_what_a_signal_handler_raises_comes_through(mirror: Mirror) -> None:
    class Enough(Exception):
        pass

    def stop(*_: object) -> None:
        raise Enough

    tidied: list[str] = []
    mirror.fault("data", times=None, slow=1_000_000)
    for pause in (0.01, 0.02, 0.03):
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, pause)
        try:
            with pytest.raises(Enough):
                wire.wait(tidying(ask(f"{mirror.url}/data.bin", sink=MemorySink()), tidied), QUICK)
            assert signal.getsignal(signal.SIGALRM) is stop
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert tidied == ["tidied"] * 3


def test_a_signal_never_tears_a_write(mirror: Mirror) -> None:
    class Enough(Exception):
        pass

    def stop(*_: object) -> None:
        raise Enough

    class Nudged(MemorySink):
        torn = False

        def write(self, data: bytes) -> None:
            self.torn = True
            signal.raise_signal(signal.SIGALRM)
            super().write(data)
            self.torn = False

    sink = Nudged()
    before = signal.signal(signal.SIGALRM, stop)
    try:
        with pytest.raises(Enough):
            get(f"{mirror.url}/data.bin", sink=sink)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert sink.position > 0
    assert not sink.torn


# Threads, forks, interrupts


def test_threads_have_their_own_connections(mirror: Mirror) -> None:
    results: list[bytes] = []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        outcomes = outcomes_of(((number, ask(f"{mirror.url}/data.bin")) for number in range(10)), 4)
        results.extend(outcome.body for outcome in outcomes.values())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [DATA] * 40


FORK = """
import os, sys, threading
from visprep import wire
url, bundle = sys.argv[1:]

async def ask():
    return (await wire.send(wire.Request(url, ca_bundle=bundle))).body

def get():
    assert wire.wait(ask()) == b"small"

def listen(go, done):
    get()
    done.release()
    go.acquire()
    get()

go, done = threading.Semaphore(0), threading.Semaphore(0)
other = threading.Thread(target=listen, args=(go, done))
other.start()
done.acquire()
get()
suspended = wire.run(((number, ask()) for number in range(2)), 1)
next(suspended)
for generation in range(2):
    child = os.fork()
    if not child:
        get()
        try:
            next(suspended)
        except RuntimeError as error:
            assert "fork" in str(error)
        else:
            raise AssertionError("the child went on with its parent's run")
        if os.fork() == 0:
            get()
            sys.exit(0)
        assert os.wait()[1] == 0
        get()
        sys.exit(0)  # an ordinary end, with all destructors
    assert os.waitpid(child, 0)[1] == 0
    get()
assert next(suspended)[1] == b"small"
assert next(suspended, None) is None
go.release()
other.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_leaves_its_parents_connections_alone(files: Path, certificate: tuple[Path, Path]) -> None:
    with Mirror(files, certificate=certificate) as mirror:
        script = [sys.executable, "-W", "ignore", "-c", FORK, f"{mirror.url}/small.bin", str(certificate[0])]
        done = subprocess.run(script, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        # the two threads, the run that is suspended, and one for each child: nobody had to connect again
        assert mirror.connections == 3 + 4


INTERRUPTED = """
import os, sys
from visprep import wire
from visprep.stores.memory import MemorySink

async def job(url):
    try:
        os.write(1, b"started\\n")
        await wire.send(wire.Request(url, sink=MemorySink()))
    finally:
        os.write(1, b"tidied\\n")

try:
    for _ in wire.run(((number, job(sys.argv[1])) for number in range(int(sys.argv[2]))), 4):
        pass
except KeyboardInterrupt:
    sys.exit(130)
print("not interrupted")
"""


def interrupt(mirror: Mirror, name: str, jobs: int, when: Callable[[], bool]) -> str:
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED, f"{mirror.url}/{name}", str(jobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not when():
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=30)
    assert (process.returncode, complained) == (130, "")
    return said


def test_ctrl_c_in_the_middle_of_a_download(mirror: Mirror) -> None:
    mirror.fault("data", times=None, slow=100_000)
    said = interrupt(mirror, "data.bin", 4, lambda: sum(request.sent for request in mirror.requests) > 50_000)
    assert sorted(said.split()) == ["started"] * 4 + ["tidied"] * 4


@pytest.mark.parametrize("moment", [1, 40, 333])
def test_ctrl_c_at_any_moment(mirror: Mirror, moment: int) -> None:
    said = interrupt(mirror, "small.bin", 1_000_000, lambda: len(mirror.requests) >= moment)
    lines = said.split()
    assert set(lines) == {"started", "tidied"}
    # Python may interrupt a `finally` too, between its beginning and its first call
    assert lines.count("started") - lines.count("tidied") in (0, 1)
