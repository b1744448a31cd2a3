"""What the local servers have in common: a thread that serves on loopback, a log, faults, ranges of a body."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from visprep.testing.blobs import PIECE, Blob
from visprep.testing.faults import Faulty

if sys.platform == "linux":
    import fcntl
    import termios


@dataclass(slots=True)
class LoggedRequest:
    """One request as it arrived, and what came of it.

    `path` is the target of the request line to the byte, query included. Header names are in lower case. `received`
    and `sent` count body bytes; `sent` grows just before the bytes go out.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    status: int = 0
    received: int = 0
    sent: int = 0

    @property
    def range(self) -> str | None:
        """The Range header."""
        return self.headers.get("range")

    @property
    def had_token(self) -> bool:
        """Whether the request carried an Authorization header."""
        return "authorization" in self.headers

    @property
    def line(self) -> str:
        """Method and target: what the patterns of faults are searched in."""
        return f"{self.method} {self.path}"


class Handler(BaseHTTPRequestHandler):
    """One connection: reads requests, applies faults, and leaves the answer to `respond`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: ClassVar[LocalServer]

    def respond(self) -> None:
        """Answer the request in `self.entry`."""
        raise NotImplementedError

    def _serve(self) -> None:
        target = self.requestline.split(" ")[1]  # `self.path` is not what arrived: leading slashes are folded
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.entry = LoggedRequest(self.command, target, headers)
        self.owner.requests.append(self.entry)
        length = int(headers.get("content-length") or 0)
        self.fault = self.owner.draw_fault(self.entry.line).sized(received=length)
        if self.fault.delay:
            self.owner.closing.wait(self.fault.delay)
        if self.fault.at_once:
            self._break()
        elif self.fault.upload_reset is not None:
            for _ in self.upload(self.fault.upload_reset):
                pass
            self._break(reset=True)
        elif self.fault.status is not None:
            self.discard_upload()
            self.answer_fault(self.fault.status)
        else:
            self.respond()

    def answer_fault(self, status: int) -> None:
        """Answer with the status and the body that a fault asks for."""
        self.answer(status, self.fault.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 -- the names that http.server looks for

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing; `requests` is the log."""

    def upload(self, most: float | None = None) -> Iterator[bytes]:
        """The body of the request in pieces as they came, chunk marks included, `most` bytes of it at the most."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            pieces = self._chunks()
        else:
            pieces = self._counted(int(self.headers.get("Content-Length") or 0))
        for piece in pieces:
            self.entry.received += len(piece)
            yield piece
            if most is not None and self.entry.received >= most:
                return

    def _counted(self, left: int) -> Iterator[bytes]:
        while left:
            # read1 hands over what is there; read would wait for the rest of the piece
            piece = self.rfile.read1(min(left, PIECE))
            if not piece:
                raise ConnectionResetError("the client left in the middle of its upload")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            mark = self.rfile.readline(1024)
            yield mark
            if size := int(mark.split(b";")[0], 16):
                yield from self._counted(size + 2)
                continue
            while (trailer := self.rfile.readline(65536)) not in (b"\r\n", b"\n", b""):
                yield trailer
            yield trailer
            return

    def discard_upload(self) -> None:
        """Read the body of the request to its end."""
        for _ in self.upload():
            pass

    def answer(self, status: int, body: bytes | dict[str, Any] | list[Any] = b"", **headers: str) -> None:
        """Send a short answer: bytes as they are, anything else as JSON. Headers are named `X_Error_Code`."""
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.send(status, {"Content-Type": kind, "Content-Length": str(len(data)), **named}, iter([data]))

    def redirect(self, to: str) -> None:
        """Send the client elsewhere."""
        self.answer(302, Location=to)

    def send_blob(self, blob: Blob, headers: Mapping[str, str], ranges: bool = True, lengths: bool = True) -> None:
        """Send a blob, or the part of it that a Range header asks for while If-Range, if any, still agrees."""
        described = {"Content-Type": "application/octet-stream", **headers}
        span: range | None = None
        if ranges:
            described["Accept-Ranges"] = "bytes"
            span = self._asked(blob.size, described)
        if span is None:
            status, span = 200, range(blob.size)
        elif not span:
            self.answer(416, b"", Content_Range=f"bytes */{blob.size}")
            return
        else:
            status = 206
            described["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{blob.size}"
        if lengths:
            described["Content-Length"] = str(len(span))
        else:
            self.close_connection = True  # the end of the body is the end of the connection
        self.send(status, described, blob.read(span.start, span.stop))

    def _asked(self, size: int, headers: Mapping[str, str]) -> range | None:
        """The part asked for: None for all of it, empty when there is no such part."""
        condition = self.headers.get("If-Range")
        if condition is not None and condition not in (headers.get("ETag"), headers.get("Last-Modified")):
            return None
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", "").strip())
        if not found or found[0] == "bytes=-":
            return None  # several ranges at once may be answered with everything
        if not found[1]:
            return range(max(0, size - int(found[2])), size)
        start = int(found[1])
        stop = min(size, int(found[2]) + 1) if found[2] else size
        return range(start, stop) if start < size else range(0)

    def send(self, status: int, headers: Mapping[str, str], pieces: Iterator[bytes]) -> None:
        """Send an answer with whatever goes wrong with it."""
        self.entry.status = status
        self.fault = self.fault.sized(sent=int(headers.get("Content-Length") or 0))
        if self.fault.torn:
            self.wfile.write(b"HTTP/1.1 %d \r\nContent-Le" % status)
            self._break(reset=True)
            return
        self.send_response_only(status)
        for name, value in {**headers, **self.fault.headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD" or status in (204, 304):
            return
        for piece in self.fault.shape(pieces):
            self.entry.sent += len(piece)
            self.wfile.write(piece)
        if self.fault.cut is not None and self.entry.sent == self.fault.cut:
            self._break()

    def _break(self, reset: bool = False) -> None:
        """Go silent, or end the connection: with a reset, or as if all were said."""
        self.close_connection = True
        if self.fault.stall:
            self._stall()
        elif self.fault.reset or reset:
            _drain(self.connection)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _stall(self) -> None:
        """Say nothing until the client leaves or the server closes."""
        self.connection.settimeout(0.05)
        while not self.owner.closing.is_set():
            try:
                if not self.connection.recv(PIECE):
                    return
            except TimeoutError:
                continue


def _drain(connection: socket.socket) -> None:
    """Wait until what was written has arrived: a reset would take it back."""
    if sys.platform != "linux":
        time.sleep(0.05)  # there is no telling
        return
    for _ in range(200):
        if not struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]:
            return
        time.sleep(0.005)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, owner: LocalServer, handler: type[Handler], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.owner, self.tls = owner, tls
        self.open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self.tls:
            # The handshake belongs into the connection's own thread: a slow client must not block the others
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self.open.add(connection)
        self.owner.connections += 1
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        # Without the polite shutdown of the base class, which would turn a reset into an ordinary end
        self.open.discard(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error and not isinstance(error, ConnectionError | TimeoutError | ssl.SSLError):
            self.owner.problems.append(error)

    def sever(self) -> None:
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it ended by itself


class LocalServer(Faulty):
    """A server on 127.0.0.1, from `with` (or `start`) to its end (or `stop`).

    `requests` is the log, in the order of arrival; `connections` counts those accepted. An error of the server itself
    is raised by `stop`, so that a test does not pass by accident. With `certificate`, the paths of a PEM certificate
    and its key, it speaks TLS.
    """

    handler: ClassVar[type[Handler]]

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__()
        self.requests: list[LoggedRequest] = []
        self.connections = 0
        self.problems: list[BaseException] = []
        self.closing = threading.Event()
        tls = None
        if certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*certificate)
        bound: type[Handler] = type("BoundHandler", (self.handler,), {"owner": self})
        self._listener = _Listener(self, bound, tls)
        self._scheme = "https" if tls else "http"
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._listener.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def other_origin(self) -> str:
        """The same server under another name: to a browser or a careful client, somebody else."""
        return f"{self._scheme}://localhost:{self.port}"

    def start(self) -> Self:
        """Begin to serve, in a thread."""
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End all connections and stop serving; raises what went wrong in the server itself."""
        self.closing.set()
        if self._thread:
            self._listener.shutdown()
            self._thread.join()
        self._listener.sever()
        self._listener.server_close()
        if self.problems:
            raise self.problems[0]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
