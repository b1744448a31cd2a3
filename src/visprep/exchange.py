"""One HTTP request and the attempts to have it answered: what to ask next, where the bytes go, whether to ask again.

Nothing here touches a socket: libcurl hands the header lines and the pieces of body that arrive to an `Exchange`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

from visprep.errors import ChangedMeanwhile, RateLimited, ServerFailed, VisprepError

#: The answers that are worth asking for again (RFC 9110; S3 says 503 for SlowDown).
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Progress of a body that earns a request its full number of attempts again, in bytes.
HEADWAY = 64 * 1024
#: The largest body, in bytes, of a request that says it is a small one.
SMALL = 1024 * 1024
#: How much of an error's text is kept, in bytes; nobody reads further.
ERROR_TEXT = 64 * 1024


class Sink(Protocol):
    """Where a body goes. `position` counts the bytes that it holds, so that a broken body can go on there."""

    @property
    def position(self) -> int:
        """Bytes held so far."""
        ...

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...

    def restart(self) -> None:
        """Forget everything: the next byte is byte 0."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait and how often to ask, in seconds.

    `attempts` counts all tries of one request. The pause before try n is random up to `base * 2**n`, never above
    `longest`, and never below what the server's Retry-After asks for (up to `longest`). `stall` is how long nothing
    may move on a connection, in either direction.
    """

    connect: float = 10
    stall: float = 30
    attempts: int = 5
    base: float = 0.25
    longest: float = 20


@dataclass(slots=True)
class Request:
    """One HTTP request; the URL is percent-encoded already and is sent as it is, but for %2e, which becomes %2E.

    With a `sink`, a 200 or 206 body goes there and not into the response, from `offset + sink.position` on, `length`
    bytes after `offset` at the most. `validator` is the ETag of the file that is meant: when the server has another
    by now, a whole file starts over and a part (`offset` or `length`) is ChangedMeanwhile. `checked` promises that
    the receiver compares a digest at the end, so that resuming without a validator is safe. `sign` gets
    (method, url, headers, body) at every attempt and returns the headers to send. `retry` may call an answer
    transient that is not so by its status. `follow` follows redirects; Authorization stays with the first host.
    `small` promises a body of at most `SMALL` bytes: it is handed on in one piece when all of it is here, which costs
    far less for many small files.
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    sink: Sink | None = None
    offset: int = 0
    length: int | None = None
    validator: str | None = None
    checked: bool = False
    sign: Callable[[str, str, Mapping[str, str], bytes | None], Mapping[str, str]] | None = None
    retry: Callable[[Response], bool] | None = None
    attempts: int | None = None
    ca_bundle: str | None = None
    follow: bool = False
    small: bool = False

    @property
    def host(self) -> str:
        """Where it goes, for messages: host and port, no user name."""
        return _parts(self.url)[1]

    @property
    def shown(self) -> str:
        """The URL for messages and logs: without the query, which may hold a signature, and without a password."""
        return "".join(_parts(self.url))


class Response:
    """An answer. Header names are in lower case; `body` is empty where the request had a sink that took it."""

    __slots__ = ("_head", "body", "status", "url")

    def __init__(self, status: int, headers: dict[str, str] | str, body: bytes, url: str) -> None:
        self.status, self._head, self.body, self.url = status, headers, body, url

    @property
    def headers(self) -> dict[str, str]:
        """What was told about the body; read only when somebody asks, since it costs more than most small answers."""
        if isinstance(self._head, str):
            self._head = _fields(self._head.split("\n"))
        return self._head

    @property
    def etag(self) -> str | None:
        """The header of that name, cheaper than through `headers`."""
        if isinstance(self._head, str):
            found = _ETAG.search(self._head)
            return found[1] if found else None
        return self._head.get("etag")


class RangesIgnored(ServerFailed):
    """A part of a file was asked for, and the server sends all of it; `headers` are those of its answer."""

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message, hint="this server can only be used for whole files")
        self.headers = dict(headers)

    @property
    def size(self) -> int | None:
        """Bytes of the whole, where the server told."""
        return _size(self.headers)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, and whether another one may help."""

    error: VisprepError
    again: bool


class Exchange:
    """A request with the state of its present attempt.

    `begin` starts an attempt, `lines` is filled from outside with header lines, `receive` takes the body (a small
    one is left in `pieces` instead), and `conclude` says what came of it. `on_bytes` is told how many bytes the sink
    holds more than before.
    """

    __slots__ = (
        "_asked_from", "_attempt", "_failure", "_first", "_furthest", "_into_sink", "_kept", "_on_bytes", "_over",
        "_part", "_patience", "_trouble", "_validator", "headers", "lines", "pieces", "request", "status",
    )  # fmt: skip

    def __init__(self, request: Request, patience: Patience, on_bytes: Callable[[int], None]) -> None:
        self.request = request
        self.lines: list[bytes] = []
        self.pieces: list[bytes] = []
        self._patience, self._on_bytes = patience, on_bytes
        self._attempt = 0
        self._first = True
        self._furthest = 0
        self._validator = _strong(request.validator)
        self._asked_from = 0
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self._over = False
        self._failure: Failure | None = None
        self._trouble: BaseException | None = None
        self._into_sink: bool | None = None
        self._part: re.Match[str] | None = None
        self._kept = bytearray()

    @property
    def _held(self) -> int:
        return self.request.sink.position if self.request.sink else 0

    @property
    def _is_part(self) -> bool:
        return self.request.offset > 0 or self.request.length is not None

    def begin(self) -> Mapping[str, str]:
        """Start an attempt; the headers to send. What `sign` and the sink raise comes through."""
        request, headers = self.request, self.request.headers
        if self._attempt or not request.small or self._held or self._is_part:
            headers = self._take_up()
        self._attempt += 1
        return request.sign(request.method, request.url, headers, request.body) if request.sign else headers

    def _take_up(self) -> dict[str, str]:
        """Get ready to go on where an earlier attempt, or the sink, stands; the headers that ask for the rest."""
        self._first = self._attempt == 0 and self._first
        self._reset()
        request, headers = self.request, dict(self.request.headers)
        if request.sink and self._held and not self._may_resume():
            self._on_bytes(-self._held)
            request.sink.restart()
        if self._first:
            self._furthest = self._held
        self._asked_from = request.offset + self._held
        if self._asked_from or request.length is not None:
            last = "" if request.length is None else str(request.offset + request.length - 1)
            headers["Range"] = f"bytes={self._asked_from}-{last}"
            if self._validator:
                headers["If-Range"] = self._validator
        return headers

    def _may_resume(self) -> bool:
        full = self.request.length is not None and self._held >= self.request.length
        return not full and bool(self._validator or self.request.checked)

    def receive(self, piece: bytes) -> int | None:
        """Take a piece of the body. 0 tells libcurl to stop; `conclude` then says why.

        Nothing is ever raised here: libcurl could not pass it on.
        """
        before = self._held
        try:
            if self._into_sink is None:
                self._read_headers()
                self._into_sink = self._aim()
            if not self._over:
                self._store(piece)
            self._on_bytes(self._held - before)
        except BaseException as trouble:
            self._trouble, self._over = trouble, True
        return 0 if self._over else None

    def _read_headers(self) -> None:
        if not self.lines:
            return
        lines = b"".join(self.lines).decode("latin-1").split("\n")
        self.lines.clear()
        # after a 100 or a redirect too: what came before does not count
        first = max((number for number, line in enumerate(lines) if line.startswith("HTTP/")), default=None)
        if first is not None:
            self.status, self.headers = int(lines[first].split(None, 2)[1]), {}
        self.headers |= _fields(lines if first is None else lines[first + 1 :])

    def _store(self, piece: bytes) -> None:
        sink, length = self.request.sink, self.request.length
        if not self._into_sink:
            self._kept += piece
            if self.status >= 300 and len(self._kept) >= ERROR_TEXT:
                del self._kept[ERROR_TEXT:]
                self._over = True
        elif sink is not None:
            if length is not None and sink.position + len(piece) > length:
                self._fail(ServerFailed(f"{self.request.shown}: the server sends more than was asked for"))
            else:
                sink.write(piece)

    def _fail(self, error: VisprepError, again: bool = False) -> None:
        self._failure, self._over = Failure(error, again), True

    def _aim(self) -> bool:
        """Whether this answer's body belongs into the sink; makes the sink ready for its first byte."""
        if self.request.sink is None or self.status not in (200, 206):
            return False
        if self.status == 200:
            self._from_the_start(self.request.sink)
        else:
            self._from_the_middle(self.request.sink)
        return True

    def _from_the_start(self, sink: Sink) -> None:
        """The server sends the whole file: fine unless a part was meant."""
        tag = _strong(self.headers.get("etag"))
        size, length = _size(self.headers), self.request.length
        if self._is_part and (self.request.offset or size is None or (length is not None and size > length)):
            if self._validator and tag != self._validator:
                self._fail(_changed(self.request))
            else:
                message = f"{self.request.shown}: the server does not send parts of a file"
                self._fail(RangesIgnored(message, self.headers))
            return
        if sink.position:
            sink.restart()
        if self._first:
            self._furthest = 0
        self._validator = tag

    def _from_the_middle(self, sink: Sink) -> None:
        """The server sends a part: fine when it begins where we asked, and is of the file that we mean."""
        told, tag = self.headers.get("content-range", ""), _strong(self.headers.get("etag"))
        self._part = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", told)
        if not self._part or int(self._part[1]) != self._asked_from:
            wanted = f"asked from byte {self._asked_from}, the server sent {told or 'it knows not what'}"
            self._fail(ServerFailed(f"{self.request.shown}: {wanted}"))
        elif self._validator and tag and tag != self._validator:  # it does not know If-Range
            if self._is_part:
                self._fail(_changed(self.request))
            else:
                sink.restart()
                self._validator = None
                self._fail(_changed(self.request), again=True)
        else:
            self._validator = tag or self._validator

    def _falls_short(self) -> bool:
        """Whether the server sent less than the part that was asked for, as it may."""
        if not self._into_sink or not self._part:
            return False
        ends = [] if self._part[3] == "*" else [int(self._part[3])]
        if self.request.length is not None:
            ends.append(self.request.offset + self.request.length)
        return bool(ends) and int(self._part[2]) + 1 < min(ends)

    def conclude(self, failure: Failure | None, url: str) -> Response | Failure:
        """What the attempt came to; `failure` is what went wrong with the connection. The sink's errors are raised."""
        small = self.request.small
        if small and self._attempt == 1 and not (failure or self._held or self._is_part):
            head = b"".join(self.lines).decode("latin-1")
            if head.startswith(_FINE) and head.count("HTTP/") == 1:
                return self._plain(head, url)
        self._read_headers()
        if small:
            for piece in self.pieces:
                if not self._over:
                    self.receive(piece)
        if not failure and self._into_sink is None:
            before = self._held
            self._into_sink = self._aim()  # an empty body replaces what the sink holds
            self._on_bytes(self._held - before)
        if self._trouble:
            raise self._trouble
        if self._failure:
            return self._failure
        if failure and not self._over:
            return failure
        response = Response(self.status, self.headers, bytes(self._kept), url)
        if self.status in TRANSIENT or (self.request.retry and self.request.retry(response)):
            return Failure(self._refusal(response), again=True)
        if self._falls_short():
            return Failure(ServerFailed(f"{self.request.shown}: only a part of it came"), again=True)
        return response

    def _plain(self, head: str, url: str) -> Response | Failure:
        """What a small request came to that was answered at its first attempt, and with nothing out of the ordinary."""
        self.status = 200
        body, sink = b"", self.request.sink
        if sink is None:
            body = b"".join(self.pieces)
        else:
            for piece in self.pieces:
                sink.write(piece)
            self._on_bytes(sink.position)
        response = Response(200, head, body, url)
        if self.request.retry and self.request.retry(response):
            return Failure(self._refusal(response), again=True)
        return response

    def _refusal(self, response: Response) -> VisprepError:
        host = self.request.host
        if self.status == 429 or b"SlowDown" in response.body:
            return RateLimited(f"{host} asks to slow down ({self.status})", hint="wait a while, or use fewer --jobs")
        what = f"{self.request.method} {_parts(self.request.url)[2]}"
        return ServerFailed(
            f"{host} answered {self.status} to {what}", hint="the server is in trouble; try again later"
        )

    def may_try_again(self) -> bool:
        """Whether an attempt is left; a body that got on well since the last time has them all again."""
        if self._held >= self._furthest + HEADWAY:
            self._furthest, self._attempt, self._first = self._held, 0, False
        return self._attempt < (self.request.attempts or self._patience.attempts)

    def pause(self) -> float:
        """Seconds to wait before the next attempt."""
        patience = self._patience
        chosen = random.uniform(0.1, 1.0) * patience.base * 2**self._attempt
        wanted = _retry_after(self.headers.get("retry-after", ""))
        return float(min(patience.longest, max(chosen, wanted)))


_FINE = ("HTTP/1.1 200 ", "HTTP/1.0 200 ")
_ETAG = re.compile(r"\netag:[ \t]*([^\r\n]*?)[ \t]*\r?\n", re.IGNORECASE)


def _fields(lines: list[str]) -> dict[str, str]:
    """Header lines as names in lower case and values; lines that are none do not count."""
    parted = [line.partition(":") for line in lines]
    return {name.strip().lower(): value.strip() for name, colon, value in parted if colon}


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, host with its port, path; of anything, since an error about a bad address must not fail on it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return scheme + mark, host.rpartition("@")[2], slash + path


def _changed(request: Request) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{request.shown} changed while it was being fetched", hint="run the command again")


def _size(headers: Mapping[str, str]) -> int | None:
    told = headers.get("content-length", "")
    return int(told) if told.isdigit() else None


def _strong(tag: str | None) -> str | None:
    """An ETag that promises equal bytes: a weak one, or what is none at all, does not."""
    return tag if tag and len(tag) > 2 and tag[0] == tag[-1] == '"' else None


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for: a number, or a date; 0 for what is neither."""
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
