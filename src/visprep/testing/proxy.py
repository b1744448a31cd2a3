"""A proxy in front of a real server that makes trouble on the way: the client talks to it as to the server itself."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from visprep.testing.blobs import PIECE
from visprep.testing.serving import Handler, LocalServer

#: The codes that S3 gives with a status, unless a fault names another (docs.aws.amazon.com, S3 "Error responses").
_S3_CODES = {400: "BadRequest", 403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}
#: Headers that speak of one connection, and not of the message.
_OF_THE_CONNECTION = frozenset({"connection", "expect", "keep-alive", "proxy-connection"})


class ProxyHandler(Handler):
    """Passes one request on, and its answer back."""

    owner: FaultyProxy  # type: ignore[misc]  # narrower than the base's ClassVar

    def answer_fault(self, status: int) -> None:
        """Answer with S3's error document, unless the fault brings a body of its own."""
        code = self.fault.code or _S3_CODES.get(status, "InternalError")
        if self.fault.body or (status < 400 and not self.fault.code):
            super().answer_fault(status)
            return
        document = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>injected</Message></Error>'
        )
        self.answer(status, document.encode(), Content_Type="application/xml")

    def respond(self) -> None:
        """Forward the request, byte for byte but for headers of the connection, and relay the answer."""
        try:
            upstream = socket.create_connection(self.owner.upstream)
        except OSError:
            self.discard_upload()
            self.answer(502, b"the server behind the proxy cannot be reached")
            return
        with upstream:
            upstream.sendall(self._head())
            try:
                for piece in self.upload():
                    upstream.sendall(piece)
            except BrokenPipeError:
                self.close_connection = True  # it answered early and did not read on: its answer still counts
            answer = http.client.HTTPResponse(upstream, method=self.command)
            answer.begin()
            self._relay(answer)

    def _head(self) -> bytes:
        kept = [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION]
        # The Host header stays as the client sent it: signatures cover it
        return "\r\n".join([self.requestline, *kept, "Connection: close", "", ""]).encode("latin-1")

    def _relay(self, answer: http.client.HTTPResponse) -> None:
        dropped = _OF_THE_CONNECTION | {"transfer-encoding"}
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in dropped}
        if answer.length is None and self.command != "HEAD":
            self.close_connection = True  # it came in chunks, or ended with the connection: so it ends here too
        promised = answer.length
        self.send(answer.status, headers, self._pieces(answer))
        if promised is not None and self.entry.sent < promised:
            self.close_connection = True

    def _pieces(self, answer: http.client.HTTPResponse) -> Iterator[bytes]:
        while piece := answer.read1(PIECE):
            yield piece


class FaultyProxy(LocalServer):
    """Stands before the server at `upstream_url` (http only); without faults it changes nothing.

    A fault with a `status` and no body answers with S3's error document: 503 says SlowDown.
    """

    handler = ProxyHandler

    def __init__(self, upstream_url: str) -> None:
        parts = urlsplit(upstream_url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{upstream_url!r}: the proxy stands before http:// servers only")
        super().__init__()
        self.upstream = (parts.hostname, parts.port or 80)
