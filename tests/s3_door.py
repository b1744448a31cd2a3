"""A door before an S3 server: it sees every request, may answer some itself, and lets the others through."""

from __future__ import annotations

import http.client
import http.server
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Seen:
    """One request as it came in; `target` is path and query to the byte, header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in parse_qs(urlsplit(self.target).query, True).items()}

    @property
    def region(self) -> str:
        """The region that it was signed for."""
        return self.headers["authorization"].split("/")[2]


def error(status: int, code: str, extra: str = "", **headers: str) -> Answer:
    """S3's error document."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>In words.</Message>{extra}</Error>'
    )
    return status, {"Content-Type": "application/xml", **headers}, body.encode()


def action(seen: Seen) -> str:
    """What S3 calls a request to a path-style address: the action that must be allowed."""
    on_bucket = seen.path.count("/") == 1
    if seen.method in ("GET", "HEAD"):
        listing = "s3:ListBucketMultipartUploads" if "uploads" in seen.query else "s3:ListBucket"
        reading = "s3:ListMultipartUploadParts" if "uploadId" in seen.query else "s3:GetObject"
        return listing if on_bucket else reading
    if seen.method == "DELETE":
        return "s3:AbortMultipartUpload" if "uploadId" in seen.query else "s3:DeleteObject"
    return "s3:PutObject"


class Door:
    """Used in `with`. `answer` gets each request and returns an answer, or None to let it through to `upstream`.

    With a `certificate`, the paths of the chain and its key, it speaks TLS.
    """

    def __init__(
        self,
        upstream: str | None = None,
        answer: Callable[[Seen], Answer | None] | None = None,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        self.seen: list[Seen] = []
        self.answer = answer or (lambda seen: None)
        self._upstream = upstream
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # or headers and body would go out apart, 40 ms apart

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if not self.raw_requestline or not self.parse_request():
                    self.close_connection = True
                    return
                target = self.raw_requestline.split(b" ")[1].decode("ascii")
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = Seen(self.command, target, headers, body)
                door.seen.append(seen)
                status, back, content = door.answer(seen) or door.forward(seen)
                self.send_response_only(status)
                length = back.pop("Content-Length", str(len(content)))
                for name, value in back.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", length)
                self.end_headers()
                if seen.method != "HEAD":
                    self.wfile.write(content)
                self.wfile.flush()

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 64
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def forward(self, seen: Seen) -> Answer:
        assert self._upstream, f"nobody answers {seen.method} {seen.target}"
        connection = http.client.HTTPConnection(urlsplit(self._upstream).netloc)
        try:
            connection.putrequest(seen.method, seen.target, skip_host=True, skip_accept_encoding=True)
            for name, value in seen.headers.items():
                connection.putheader(name, value)
            connection.endheaders(seen.body)
            got = connection.getresponse()
            content = got.read()
            kept = {k: v for k, v in got.getheaders() if k.lower() not in ("connection", "date", "transfer-encoding")}
            return got.status, kept, content
        finally:
            connection.close()

    def __enter__(self) -> Door:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
