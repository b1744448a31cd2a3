"""A request and its answer as plain data, how patient to be between them, and where a body goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Protocol

from visprep.errors import ServerFailed, VisprepError

#: The answers that are worth asking for again (RFC 9110; S3 says 503 for SlowDown).
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: The largest body, in bytes, of a request that says it is a small one.
SMALL = 1024 * 1024


class Sink(Protocol):
    """Where a body goes. `position` counts the bytes that it holds, so that a broken body can go on there.

    One with `takes_views = True` is done with the bytes when `write` returns, and may be given a memoryview: it gets
    many pieces at once, which costs far less for large bodies.
    """

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


class Readable(Protocol):
    """A body that is not in memory. libcurl calls it in the middle of things, so it raises nothing."""

    def __len__(self) -> int: ...

    def read(self, most: int, /) -> bytes:
        """At most so many of the next bytes; too few in all end the request."""
        ...

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Begin again, for another attempt: 0, which means that it worked."""
        ...


#: What is sent with a request.
Body = bytes | Readable


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
    body: Body | None = None
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
        return parts(self.url)[1]

    @property
    def shown(self) -> str:
        """The URL for messages and logs: without the query, which may hold a signature, and without a password."""
        return "".join(parts(self.url))


class Response:
    """An answer. Header names are in lower case; `body` is empty where the request had a sink that took it.

    `attempts` says how often it was asked for: of the earlier attempts, some may have been carried out too.
    """

    __slots__ = ("_head", "attempts", "body", "status", "url")

    def __init__(self, status: int, headers: dict[str, str] | str, body: bytes, url: str, attempts: int = 1) -> None:
        self.attempts = attempts
        self.status, self._head, self.body, self.url = status, headers, body, url

    @property
    def headers(self) -> dict[str, str]:
        """What was told about the body; read only when somebody asks, since it costs more than most small answers."""
        if isinstance(self._head, str):
            self._head = fields(self._head.split("\n"))
        return self._head

    @property
    def etag(self) -> str | None:
        """The header of that name, cheaper than through `headers`."""
        return self.header("etag")

    def header(self, name: str) -> str | None:
        """One header, by its name in lower case, cheaper than through `headers`."""
        return header(self._head, name) if isinstance(self._head, str) else self._head.get(name)


class RangesIgnored(ServerFailed):
    """A part of a file was asked for, and the server sends all of it; `headers` are those of its answer."""

    def __init__(self, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(message, hint="this server can only be used for whole files")
        self.headers = dict(headers)

    @property
    def size(self) -> int | None:
        """Bytes of the whole, where the server told."""
        return size_in(self.headers)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, and whether another one may help."""

    error: VisprepError
    again: bool


def header(head: str, name: str) -> str | None:
    """One header of an answer's head, by its name in lower case."""
    lower = head.lower()
    start = lower.find(f"\n{name}:")
    return head[start + len(name) + 2 : head.index("\n", start + 1)].strip(" \t\r") if start >= 0 else None


def fields(lines: list[str]) -> dict[str, str]:
    """Header lines as names in lower case and values; lines that are none do not count."""
    parted = [line.partition(":") for line in lines]
    return {name.strip().lower(): value.strip() for name, colon, value in parted if colon}


def parts(url: str) -> tuple[str, str, str]:
    """Scheme, host with its port, path; of anything, since an error about a bad address must not fail on it."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("?")[0].partition("/")
    return scheme + mark, host.rpartition("@")[2], slash + path


def size_in(headers: Mapping[str, str]) -> int | None:
    """What Content-Length tells, None where it tells nothing."""
    return number_in(headers.get("content-length", ""))


def time_in(told: str) -> float | None:
    """The time that a header tells as a date, in seconds since 1970, None for what is none."""
    try:
        return parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):  # the second for a year that no computer counts
        return None


def number_in(told: str) -> int | None:
    """The whole number that a header tells, None for what is none: other digits than 0 to 9, or more than any size has.

    Python takes no number of thousands of digits, and `²` for a digit though for no number.
    """
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else None
