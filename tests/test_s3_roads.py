"""The roads to S3: proxies, own certificates, names with dots, keys without boto3; and no secret on any of them."""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from s3_door import Door, error
from test_wire import self_signed
from visprep import errors
from visprep.settings import S3Settings
from visprep.stores.s3 import S3Store
from visprep.wire import wait


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that only knows CONNECT; `lines` holds the first line of every request."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TunnelHandler)
        self.lines: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class TunnelHandler(socketserver.StreamRequestHandler):
    server: Tunnel

    def handle(self) -> None:
        line = self.rfile.readline().decode().strip()
        self.server.lines.append(line)
        while self.rfile.readline().strip():
            pass
        verb, where, _ = line.split()
        assert verb == "CONNECT"
        host, port = where.split(":")
        with socket.create_connection((host, int(port))) as upstream:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._pump, args=(upstream, self.connection))
            back.start()
            self._pump(self.connection, upstream)
            back.join()

    def _pump(self, origin: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := origin.recv(65536):
                target.sendall(data)
        for end in (origin, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunnel]:
    with Tunnel() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        monkeypatch.setenv("https_proxy", server.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield server
        server.shutdown()
        thread.join()


def test_through_a_proxy_to_a_server_with_an_own_certificate(
    tunnel: Tunnel, s3_server: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    with Door(s3_server, certificate=certificate) as door:
        untrusted = S3Store(f"s3://{bucket}/p", S3Settings(endpoint_url=door.url))
        with pytest.raises(errors.Unreachable, match="TLS") as caught:
            wait(untrusted.stat("f"))
        assert "AWS_CA_BUNDLE" in (caught.value.hint or "")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
        store = S3Store(f"s3://{bucket}/p", S3Settings(endpoint_url=door.url))
        wait(store.write("f", b"data"))
        assert wait(store.read("f")) == b"data"
        assert [file.path for file in store.list()] == ["f"]
        assert set(tunnel.lines) == {f"CONNECT 127.0.0.1:{door.port} HTTP/1.1"}
        before = len(tunnel.lines)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert wait(S3Store(f"s3://{bucket}/p", S3Settings(endpoint_url=door.url)).stat("f")).size == 4
        assert len(tunnel.lines) == before


def test_a_bucket_with_dots_in_its_name(bucket: str, s3_server: str) -> None:
    import boto3

    dotted = f"{bucket}.with.dots"
    boto3.client("s3", endpoint_url=s3_server).create_bucket(Bucket=dotted)
    store = S3Store(f"s3://{dotted}/p", S3Settings(endpoint_url=s3_server))
    wait(store.write("a b/../c", b"data"))
    assert [file.path for file in store.list()] == ["a b/../c"]
    assert wait(store.read("a b/../c")) == b"data"


CODE = """
import sys
from visprep.settings import S3Settings
from visprep.stores.s3 import S3Store
from visprep.wire import wait
store = S3Store("s3://{bucket}/p", S3Settings(endpoint_url="{url}"))
wait(store.write("f", b"data"))
assert [file.path for file in store.list()] == ["f"]
assert wait(store.read("f")) == b"data"
print(sorted(name for name in sys.modules if name.startswith("boto")))
"""


@pytest.mark.parametrize("where", ["environment", "file"])
def test_keys_that_stand_somewhere_cost_no_boto3(bucket: str, s3_server: str, where: str, tmp_path: Path) -> None:
    environment: dict[str, Any] = dict(os.environ)
    if where == "file":
        file = tmp_path / "keys"
        file.write_text("[default]\naws_access_key_id=testing\naws_secret_access_key=testing\n")
        del environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        environment["AWS_SHARED_CREDENTIALS_FILE"] = str(file)
    code = CODE.format(bucket=bucket, url=s3_server)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_secret_is_told_or_kept(
    run: Any, bucket: str, s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In output, log, manifest and record: of what works, of what is refused, and of what expires."""
    import boto3

    secrets = ("the/Secret+Key=", "the-Session-Token==")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets[0])
    monkeypatch.setenv("AWS_SESSION_TOKEN", secrets[1])
    place, log = tmp_path / "place", tmp_path / "log"
    loud = ("-vv", "--log", log)
    said = [run("download", "sample", "--output", place, "--limit", "1", *loud)]
    said += [run("upload", place, f"s3://{bucket}/p", *loud), run("ls", f"s3://{bucket}/p", *loud)]
    said += [run("doctor", f"s3://{bucket}/p", *loud)]
    assert [one.code for one in said] == [0, 0, 0, 0]
    leaky = f"<StringToSign>{secrets[0]}</StringToSign><Token>{secrets[1]}</Token>"
    for code in ("SignatureDoesNotMatch", "ExpiredToken", "AccessDenied", "Nonsense"):
        refused = error(403 if code != "Nonsense" else 400, code, leaky)
        with Door(s3_server, lambda seen, refused=refused: refused) as door:  # type: ignore[misc]
            for words in (("ls",), ("doctor",), ("upload", place)):
                said.append(run(*words, f"s3://{bucket}/q", "--endpoint-url", door.url, *loud))
                assert said[-1].code == 3
    kept = [file.read_text("utf-8", "replace") for file in tmp_path.rglob("*") if file.is_file()]
    client = boto3.client("s3", endpoint_url=s3_server)
    kept += [
        client.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read().decode("utf-8", "replace")
        for entry in client.list_objects_v2(Bucket=bucket)["Contents"]
    ]
    assert "PUT http" in log.read_text()
    everything = [*kept, *(one.out + one.err for one in said)]
    assert not [text for text in everything for secret in secrets if secret in text]
