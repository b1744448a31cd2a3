"""The one room that opens sockets: many HTTP requests in flight over libcurl's multi interface, in one thread.

Callers write straight-line coroutines that `await send(Request(...))`; `run` drives thousands of them at once and
gives each outcome as it comes, `wait` drives one. This is not asyncio: a coroutine here may only await `send` and
`send_all`, and a coroutine that never awaits them (a local store's) costs nothing but its call.

Done here, so that nobody else needs to: retries with backoff and jitter for 408, 429, 5xx, resets, stalls and
short bodies; resuming a body where it broke; timeouts, proxies (libcurl reads the usual variables), redirects.
Any other answer is returned for the caller to interpret. A process that forks gets fresh handles in the child.
"""

from __future__ import annotations

import ctypes
import heapq
import itertools
import logging
import os
import random
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import pycurl

from visprep.errors import NetworkError, RateLimited, ServerFailed, Stalled, Unreachable, VisprepError

K = TypeVar("K")
T = TypeVar("T")

log = logging.getLogger("visprep.wire")

#: Requests in flight unless a caller says otherwise.
IN_FLIGHT = 64
#: The answers that are worth asking for again (RFC 9110; S3 says 503 for SlowDown).
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
#: Progress of a body that earns a request its full number of attempts again, in bytes.
_HEADWAY = 64 * 1024
_ERROR_BODY = 64 * 1024

# libcurl's error numbers (curl.se/libcurl/c/libcurl-errors.html), by what they mean to us.
_NO_CONNECTION = frozenset({5, 6, 7, 35})
_BROKEN = frozenset({16, 18, 52, 55, 56, 92, 95})
_TIMEOUT = 28
_CERTIFICATE = frozenset({51, 58, 59, 60, 77, 83})


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
    `longest`, and never below what the server's Retry-After asks for (up to `longest`).
    """

    connect: float = 10
    stall: float = 30
    attempts: int = 5
    base: float = 0.25
    longest: float = 20


@dataclass(slots=True)
class Request:
    """One HTTP request; the URL is percent-encoded already and is sent to the byte as it is.

    With a `sink`, a 200 or 206 body goes there and not into the response, from `offset + sink.position` on, `length`
    bytes after `offset` at the most. `validator` is the ETag that the bytes already in the sink belong to; `checked`
    promises that the receiver compares a digest at the end, so that resuming without a validator is safe. `sign` gets
    (method, url, headers, body) at every attempt and returns the headers to send. `retry` may call an answer
    transient that is not so by its status.
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


@dataclass(slots=True)
class Response:
    """An answer. Header names are in lower case; `body` is empty where the request had a sink that took it."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str


class send:  # noqa: N801 -- used as a verb: `response = await send(request)`
    """Awaitable: one request, its `Response` or a NetworkError."""

    def __init__(self, request: Request) -> None:
        self.requests: Sequence[Request] = [request]

    def __await__(self) -> Generator[Sequence[Request], list[Response], Response]:
        return (yield self.requests)[0]


class send_all:  # noqa: N801
    """Awaitable: several requests at once, their responses in the same order; the first NetworkError ends all."""

    def __init__(self, requests: Sequence[Request]) -> None:
        self.requests = requests

    def __await__(self) -> Generator[Sequence[Request], list[Response], list[Response]]:
        if not self.requests:
            return []
        return (yield self.requests)


Job = Coroutine[Sequence[Request], list[Response], T]


class _Running:
    """A job that has been started, and what it waits for."""

    def __init__(self, key: Any, job: Job[Any]) -> None:
        self.key, self.job = key, job
        self.answers: list[Response | None] = []
        self.missing = 0
        self.exchanges: list[_Exchange] = []


class _Exchange:
    """A request on its way, with the state of its present attempt."""

    def __init__(self, owner: _Running, index: int, request: Request, patience: Patience) -> None:
        self.owner, self.index, self.request = owner, index, request
        self.allowed = request.attempts or patience.attempts
        self.attempt = 0
        self.furthest = request.sink.position if request.sink else 0
        self.validator = request.validator
        self.curl: Any = None
        self.cancelled = False
        self.trouble: BaseException | None = None
        self.begin()

    def begin(self) -> None:
        """Forget the last attempt's answer."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.held = 0
        self.into_sink: bool | None = None
        self.asked_from = 0

    def on_header(self, line: bytes) -> None:
        """Note one header line; a new status line (after a redirect or a 100) starts afresh."""
        text = line.decode("latin-1").rstrip("\r\n")
        if text.startswith("HTTP/"):
            self.status, self.headers = int(text.split(" ", 2)[1]), {}
        elif ":" in text:
            name, _, value = text.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def on_body(self, data: bytes) -> int | None:
        """Take a piece of the body; an exception is kept for the loop, since pycurl would only print it."""
        try:
            if self.into_sink is None:
                self.into_sink = self.aim()
            if self.into_sink:
                assert self.request.sink is not None
                self.request.sink.write(data)
            elif self.request.sink is None or self.held < _ERROR_BODY:
                self.chunks.append(data)
                self.held += len(data)
        except BaseException as trouble:  # KeyboardInterrupt included: the loop raises it again
            self.trouble = trouble
            return 0
        return None

    def aim(self) -> bool:
        """Whether this answer's body belongs into the sink; makes the sink ready for its first byte."""
        sink = self.request.sink
        if sink is None or self.status not in (200, 206):
            return False
        if self.status == 200:
            if self.request.offset or (self.request.length is not None and self.asked_from == 0):
                raise ServerFailed(f"{_short(self.request.url)}: the server ignores ranges")
            if sink.position:
                sink.restart()  # If-Range failed or ranges are ignored: this is the whole body again
        else:
            found = re.match(r"bytes (\d+)-", self.headers.get("content-range", ""))
            if found and int(found[1]) != self.asked_from:
                raise ServerFailed(f"{_short(self.request.url)}: asked from byte {self.asked_from}, got {found[1]}")
        tag = self.headers.get("etag", "")
        self.validator = tag if tag.startswith('"') else None  # a weak ETag does not promise equal bytes
        return True

    def outgoing(self) -> dict[str, str]:
        """The headers of this attempt."""
        request, headers = self.request, dict(self.request.headers)
        held = request.sink.position if request.sink else 0
        if held and not self.validator and not request.checked and request.sink:
            request.sink.restart()
            held = 0
        self.asked_from = request.offset + held
        if self.asked_from or request.length is not None:
            last = "" if request.length is None else str(request.offset + request.length - 1)
            headers["Range"] = f"bytes={self.asked_from}-{last}"
            if held and self.validator:
                headers["If-Range"] = self.validator
        if request.sign:
            headers = dict(request.sign(request.method, request.url, headers, request.body))
        return headers

    def response(self) -> Response:
        """The answer of the last attempt."""
        return Response(self.status, self.headers, b"".join(self.chunks), self.curl.getinfo(pycurl.EFFECTIVE_URL))


class Wire:
    """A set of libcurl handles for one thread of one process; use `run` and `wait` rather than this."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self._multi = pycurl.CurlMulti()
        self._spare: list[Any] = []

    def run(
        self,
        jobs: Iterable[tuple[K, Job[T]]],
        in_flight: int = IN_FLIGHT,
        on_bytes: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[K, T | VisprepError]]:
        """The outcome of every job as it ends, with its key: what it returned, or the VisprepError it raised.

        `jobs` is pulled only as fast as jobs end, `in_flight` at a time. Any other exception is a bug or an
        interrupt: it ends everything, and every unfinished job is closed so that it can tidy up.
        """
        waiting, exhausted = iter(jobs), False
        running: set[_Running] = set()
        ready: deque[tuple[_Running, list[Response] | BaseException | None]] = deque()
        paused: list[tuple[float, int, _Exchange]] = []
        flying: dict[Any, _Exchange] = {}
        order = itertools.count()
        try:
            while True:
                while not exhausted and len(running) < in_flight:
                    try:
                        key, job = next(waiting)
                    except StopIteration:
                        exhausted = True
                        break
                    started = _Running(key, job)
                    running.add(started)
                    ready.append((started, None))
                    if len(ready) >= in_flight:
                        break
                if ready:
                    current, value = ready.popleft()
                    try:
                        if isinstance(value, BaseException):
                            requests = current.job.throw(value)
                        else:
                            requests = current.job.send(value)  # type: ignore[arg-type]  # None starts it
                    except StopIteration as stop:
                        running.discard(current)
                        yield current.key, stop.value
                        continue
                    except VisprepError as error:
                        running.discard(current)
                        yield current.key, error
                        continue
                    current.answers, current.missing = [None] * len(requests), len(requests)
                    current.exchanges = [
                        _Exchange(current, index, request, self.patience) for index, request in enumerate(requests)
                    ]
                    for exchange in current.exchanges:
                        self._start(exchange, flying, on_bytes)
                    continue
                if not running:
                    if exhausted:
                        return
                    continue
                now = time.monotonic()
                while paused and paused[0][0] <= now:
                    exchange = heapq.heappop(paused)[2]
                    if not exchange.cancelled:
                        self._start(exchange, flying, on_bytes)
                for exchange, problem in self._progress(flying, paused):
                    self._settle(exchange, problem, ready, paused, flying, order)
        finally:
            for exchange in list(flying.values()):
                self._release(exchange, flying)
            for unfinished in running:
                unfinished.job.close()

    def _start(self, exchange: _Exchange, flying: dict[Any, _Exchange], on_bytes: Callable[[int], None] | None) -> None:
        exchange.begin()
        exchange.attempt += 1
        request, curl = exchange.request, self._spare.pop() if self._spare else pycurl.Curl()
        headers = exchange.outgoing()
        curl.setopt(pycurl.URL, request.url)
        # libcurl would send /b/a/../x as /b/x, and so touch another object
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.BUFFERSIZE, 256 * 1024)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(self.patience.connect * 1000))
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, max(1, int(self.patience.stall)))
        curl.setopt(pycurl.CAINFO, request.ca_bundle or _certificates())
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        if request.follow:
            curl.setopt(pycurl.FOLLOWLOCATION, 1)
            curl.setopt(pycurl.MAXREDIRS, 5)
            curl.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        if request.method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif request.body is not None:
            curl.setopt(pycurl.UPLOAD, 1)
            curl.setopt(pycurl.INFILESIZE_LARGE, len(request.body))
            curl.setopt(pycurl.READFUNCTION, _reader(request.body))
            curl.setopt(pycurl.UPLOAD_BUFFERSIZE, 256 * 1024)
            headers.setdefault("Expect", "")
        if request.method not in ("GET", "HEAD"):
            curl.setopt(pycurl.CUSTOMREQUEST, request.method)
        curl.setopt(pycurl.HTTPHEADER, [f"{name}: {value}" if value else f"{name}:" for name, value in headers.items()])
        curl.setopt(pycurl.HEADERFUNCTION, exchange.on_header)
        if on_bytes is None:
            curl.setopt(pycurl.WRITEFUNCTION, exchange.on_body)
        else:
            curl.setopt(pycurl.WRITEFUNCTION, lambda data: (exchange.on_body(data), on_bytes(len(data)))[0])
        exchange.curl = curl
        flying[curl] = exchange
        self._multi.add_handle(curl)

    def _progress(
        self, flying: dict[Any, _Exchange], paused: list[tuple[float, int, _Exchange]]
    ) -> list[tuple[_Exchange, tuple[int, str] | None]]:
        """Let libcurl work once; the exchanges that ended, with libcurl's complaint where there is one."""
        self._multi.perform()
        ended: list[tuple[_Exchange, tuple[int, str] | None]] = []
        more = 1
        while more:
            more, good, bad = self._multi.info_read()
            ended += [(flying[curl], None) for curl in good]
            ended += [(flying[curl], (code, text)) for curl, code, text in bad]
        for exchange, _ in ended:
            if exchange.trouble is not None and not isinstance(exchange.trouble, VisprepError):
                raise exchange.trouble
        if not ended:
            until = paused[0][0] - time.monotonic() if paused else 1.0
            if flying:
                self._multi.select(max(0.0, min(until, 1.0)))
            elif until > 0:
                time.sleep(min(until, 1.0))
        return ended

    def _settle(
        self,
        exchange: _Exchange,
        problem: tuple[int, str] | None,
        ready: deque[tuple[_Running, list[Response] | BaseException | None]],
        paused: list[tuple[float, int, _Exchange]],
        flying: dict[Any, _Exchange],
        order: Iterator[int],
    ) -> None:
        """Deliver, retry, or fail an exchange that ended."""
        owner, request = exchange.owner, exchange.request
        if exchange.cancelled:
            return
        error: VisprepError | None = None
        if isinstance(exchange.trouble, VisprepError):
            error, again = exchange.trouble, False
        elif problem:
            error, again = _explain(exchange, *problem)
        else:
            if exchange.into_sink is None and exchange.status == 200:
                exchange.aim()  # an empty body replaces what the sink held
            response = exchange.response()
            again = response.status in TRANSIENT or bool(request.retry and request.retry(response))
            if again:
                error = _refusal(exchange, response)
        took = exchange.curl.getinfo(pycurl.TOTAL_TIME)
        self._release(exchange, flying)
        log.debug("%s %s %s %.3fs", request.method, _short(request.url), exchange.status or problem, took)
        if error is None:
            owner.answers[exchange.index] = response
            owner.missing -= 1
            if not owner.missing:
                owner.exchanges = []
                ready.append((owner, [answer for answer in owner.answers if answer is not None]))
            return
        here = request.sink.position if request.sink else 0
        if here >= exchange.furthest + _HEADWAY:
            exchange.furthest, exchange.attempt = here, 0
        if again and exchange.attempt < exchange.allowed:
            pause = self._pause(exchange)
            log.info("%s; trying again in %.1f s", error.message, pause)
            exchange.trouble = None
            heapq.heappush(paused, (time.monotonic() + pause, next(order), exchange))
            return
        for sibling in owner.exchanges:
            sibling.cancelled = True
            self._release(sibling, flying)
        owner.exchanges = []
        ready.append((owner, error))

    def _pause(self, exchange: _Exchange) -> float:
        patience = self.patience
        pause = random.uniform(0.1, 1.0) * patience.base * 2**exchange.attempt
        asked = exchange.headers.get("retry-after", "")
        wanted = float(asked) if asked.isdigit() else 0.0
        return float(min(patience.longest, max(pause, wanted)))

    def _release(self, exchange: _Exchange, flying: dict[Any, _Exchange]) -> None:
        curl, exchange.curl = exchange.curl, None
        if curl is not None and flying.pop(curl, None) is not None:
            self._multi.remove_handle(curl)
            curl.reset()
            self._spare.append(curl)


def _explain(exchange: _Exchange, code: int, text: str) -> tuple[NetworkError, bool]:
    """Libcurl's complaint as an error of ours, and whether another try may help."""
    host = urlsplit(exchange.request.url).netloc
    if code == _TIMEOUT and exchange.curl.getinfo(pycurl.PRETRANSFER_TIME) > 0:
        return Stalled(f"{host} stopped answering", hint="try again; what arrived is kept"), True
    if code in _NO_CONNECTION or code == _TIMEOUT:
        return Unreachable(f"cannot connect to {host}: {text}", hint="check the address, the network and the proxy"), True
    if code in _CERTIFICATE:
        return (
            Unreachable(f"TLS to {host} failed: {text}", hint="set AWS_CA_BUNDLE or SSL_CERT_FILE to its authority"),
            False,
        )
    return ServerFailed(f"the connection to {host} broke: {text}", hint="try again; what arrived is kept"), code in _BROKEN


def _refusal(exchange: _Exchange, response: Response) -> NetworkError:
    host = urlsplit(exchange.request.url).netloc
    if response.status == 429 or b"SlowDown" in response.body:
        return RateLimited(f"{host} asks to slow down ({response.status})", hint="wait a while, or use fewer --jobs")
    return ServerFailed(
        f"{host} answered {response.status} to {exchange.request.method} {urlsplit(exchange.request.url).path}",
        hint="the server is in trouble; try again later",
    )


def _reader(body: bytes) -> Callable[[int], bytes]:
    view, at = memoryview(body), 0

    def read(size: int) -> bytes:
        nonlocal at
        piece = bytes(view[at : at + size])
        at += len(piece)
        return piece

    return read


def _short(url: str) -> str:
    """A URL without its query, which may hold a signature."""
    return url.partition("?")[0]


@cache
def _certificates() -> str:
    """The authorities to trust: SSL_CERT_FILE as everywhere else, or certifi's."""
    import certifi

    return os.environ.get("SSL_CERT_FILE") or certifi.where()


class _Idle(threading.local):
    """Wires that nobody uses at the moment, a stack per thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.wires: dict[Patience, list[Wire]] = {}


_idle = _Idle()


def _borrow(patience: Patience) -> Wire:
    if _idle.pid != os.getpid():
        for wires in _idle.wires.values():
            for wire in wires:
                # The parent owns these connections. Their destructor would end its TLS sessions: never run it.
                for handle in (wire._multi, *wire._spare):
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))
        _idle.pid, _idle.wires = os.getpid(), {}
    stack = _idle.wires.setdefault(patience, [])
    return stack.pop() if stack else Wire(patience)


def run(
    jobs: Iterable[tuple[K, Job[T]]],
    in_flight: int = IN_FLIGHT,
    on_bytes: Callable[[int], None] | None = None,
    patience: Patience | None = None,
) -> Iterator[tuple[K, T | VisprepError]]:
    """See `Wire.run`; connections are kept for the next call in this thread."""
    wire = _borrow(patience or Patience())
    yield from wire.run(jobs, in_flight, on_bytes)
    # Not in a finally: a run that was broken off may have left handles in any state.
    _idle.wires.setdefault(wire.patience, []).append(wire)


def wait(job: Job[T], patience: Patience | None = None) -> T:
    """Run one job to its end: what it returns, or the error that it raises."""
    for _, outcome in run([(None, job)], 1, None, patience):
        result = outcome
    if isinstance(result, VisprepError):
        raise result
    return result
