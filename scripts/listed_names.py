"""A server on loopback that lists a bucket of N names, as S3 does, page by page: `python listed_names.py N [SECONDS]`.

It prints its address. Every answer waits so many seconds, as one that comes from afar. Nothing else is served.
"""

from __future__ import annotations

import http.server
import socketserver
import sys
import time
from urllib.parse import parse_qs, quote, urlsplit

_ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
    "<ETag>&quot;{etag:032x}&quot;</ETag><Size>150000</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


def path(number: int) -> str:
    """The name of a number; they sort as the numbers do."""
    return f"many/train/{number // 10_000:05}/image-{number:010}.jpg"


def first_after(key: str, count: int) -> int:
    """The first number whose name follows on a key."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if path(middle) <= key else (low, middle)
    return low


def page(query: dict[str, list[str]], count: int) -> bytes:
    """One answer."""
    told = {name: values[0] for name, values in query.items()}
    at = int(told["continuation-token"]) if "continuation-token" in told else 0
    if "start-after" in told:
        at = first_after(told["start-after"], count)
    end = min(count, at + int(told.get("max-keys", 1_000)))
    entries = [_ENTRY.format(key=quote(path(number)), etag=number * 0x9E3779B97F4A7C15) for number in range(at, end)]
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < count else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}"
        f"{''.join(entries)}</ListBucketResult>"
    ).encode()


def serve(count: int, wait: float) -> None:
    """Listen until the end of the process."""

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(b"")

        def do_GET(self) -> None:
            time.sleep(wait)
            self._answer(page(parse_qs(urlsplit(self.path).query), count))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Answer) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
