"""The handles of libcurl: how one is set up for a request, what its complaints mean, and whose they are after a fork.

An exception in a function that libcurl calls would be printed by pycurl and then forgotten. So `Exchange.receive`
raises none, all others are methods of built-in types, and signals, whose handlers may raise anywhere in Python code
(a Ctrl-C does), wait until libcurl is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

import pycurl

from visprep.errors import ServerFailed, Stalled, Unreachable
from visprep.exchange import Exchange
from visprep.messages import SMALL, Failure, Patience, Readable, Request

# libcurl's error numbers (curl.se/libcurl/c/libcurl-errors.html), by what they mean to us.
_NO_CONNECTION = frozenset({5, 6, 7, 35, 97})
_BROKEN = frozenset({16, 18, 52, 55, 56, 65, 92, 95})
_TIMEOUT = 28
#: What it says when a function of ours takes no more of a body.
_ENOUGH = (23, "")
_REDIRECTS = 47
_TOO_LARGE = 63
_CERTIFICATE = frozenset({51, 58, 59, 60, 77, 83})

#: What grows as long as a request gets on.
_COUNTERS = (pycurl.PRETRANSFER_TIME, pycurl.SIZE_UPLOAD_T, pycurl.HEADER_SIZE, pycurl.SIZE_DOWNLOAD_T)

#: The signals by which a program is ended, woken or spoken to; the others come from faults of the program itself.
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGBREAK")
    if hasattr(signal, name)
]

#: What `signal.signal` wraps: without turning numbers into enums and back, which took a fortieth of a transfer.
_set_handler = getattr(signal.signal, "__wrapped__", signal.signal)

#: Connections kept open for the next request; libcurl's own limit follows the requests in flight down to nothing.
_KEPT = 256
_BUFFER = 256 * 1024
#: As browsers and Go order them; OpenSSL has the second one first, which costs a third more on both sides.
_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#: The longest answer to a small request that is taken in, in bytes; an error's text may be longer than the body.
_LONGEST = 4 * SMALL
_URL, _HTTPHEADER, _WRITEFUNCTION = pycurl.URL, pycurl.HTTPHEADER, pycurl.WRITEFUNCTION

#: What a handle is set up for: the method, whether a body is sent and lies in memory, whether the answer is small,
#: redirects, the CA file.
_Kind = tuple[str, bool | None, bool, bool, str | None]


class Handles:
    """The connections and handles of one thread of one process, all with the same patience."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.pid = os.getpid()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, _KEPT)
        self._spare: dict[_Kind, list[Any]] = {}
        self.look_around()
        # Of each handle in flight: what had moved when we last looked, and since when that is so
        self._moved: dict[Any, tuple[tuple[float, ...], float]] = {}
        # Those of them whose bodies are to be taken in bulk, now and then
        self._gathering: dict[Any, Exchange] = {}
        self._next_look = 0.0
        _alive[id(self)] = self

    def look_around(self) -> None:
        """Find out again which signals have handlers and whom to trust, at the beginning of a use."""
        self._signals = _Signals()
        self._trusted: str | None = None

    def start(self, exchange: Exchange) -> Any:
        """Send an exchange on its way; the handle that carries it. What its `begin` raises comes through."""
        headers, request = exchange.begin(), exchange.request
        curl = self._ready(request.method, request.url, request.body, request.small, request.follow, request.ca_bundle)
        exchange.lines, exchange.pieces = curl.lines, curl.pieces
        if exchange.gathered:
            exchange.bulk = curl.bulk = curl.bulk or BytesIO()
            curl.bulk.seek(0)
            curl.setopt(_WRITEFUNCTION, curl.bulk.write)
            self._gathering[curl] = exchange
        elif not request.small:
            curl.setopt(_WRITEFUNCTION, exchange.receive)
        self._send(curl, lines_of(headers))
        return curl

    def carry(self, method: str, url: str, lines: list[bytes], body: bytes | None, ca_bundle: str | None) -> Any:
        """Send a small request with these header lines; the handle, whose `lines` and `pieces` take the answer."""
        curl = self._ready(method, url, body, True, False, ca_bundle)
        self._send(curl, lines)
        return curl

    def _ready(
        self, method: str, url: str, body: bytes | Readable | None, small: bool, follow: bool, ca_bundle: str | None
    ) -> Any:
        """A handle for a request, to which only its headers are missing."""
        if body is None and method in ("POST", "PUT"):
            body = b""
        authorities = None
        if follow or url.startswith("https:"):
            authorities = ca_bundle or self._authorities()
        kind = (method, None if body is None else isinstance(body, bytes), small, follow, authorities)
        spare = self._spare.get(kind)
        curl = spare.pop() if spare else self._fresh(kind)
        curl.setopt(_URL, url)
        if body is not None:
            curl.setopt(pycurl.INFILESIZE_LARGE, len(body))
            if isinstance(body, bytes):
                curl.reader.__init__(body)  # as good as another one, and it copies nothing
            else:
                body.seek(0)
                _read_by(curl, body)
        return curl

    def _send(self, curl: Any, lines: list[bytes]) -> None:
        # Without it large uploads would wait for a "100 Continue" first; and pycurl takes an empty list for no change
        lines.append(b"Expect:")
        curl.setopt(_HTTPHEADER, lines)
        self._moved[curl] = ((), time.monotonic())
        self._multi.add_handle(curl)

    def perform(self) -> list[tuple[Any, tuple[int, str] | None]]:
        """Let libcurl do what can be done at once; the handles that are finished, with libcurl's complaint if any."""
        self._signals.held_back(self._multi.perform)
        ended: list[tuple[Any, tuple[int, str] | None]] = [
            (curl, _ENOUGH) for curl, exchange in self._gathering.items() if not exchange.take()
        ]
        more = 1
        while more:
            more, good, bad = self._multi.info_read()
            ended += [(curl, None) for curl in good]
            ended += [(curl, (code, text)) for curl, code, text in bad]
        return ended + [(curl, (_TIMEOUT, "nothing moves")) for curl in self._stalled()]

    def _stalled(self) -> list[Any]:
        """The handles that are connected and on which nothing moved for too long.

        libcurl's own watch (LOW_SPEED_TIME) takes the mean of some seconds, and so comes late.
        """
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + self.patience.stall / 4
        stalled = []
        for curl, (before, since) in self._moved.items():
            moved = tuple(curl.getinfo(counter) for counter in _COUNTERS)
            if moved != before:
                self._moved[curl] = (moved, now)
            elif now - since >= self.patience.stall and curl.getinfo(pycurl.PRETRANSFER_TIME) > 0:
                stalled.append(curl)
        return stalled

    def wait(self, seconds: float) -> None:
        """Wait until something moves on a connection, at most that long."""
        seconds = min(seconds, max(0.0, self._next_look - time.monotonic()))
        due = self._multi.timeout()
        if due >= 0:
            seconds = min(seconds, due / 1000)
        if self._multi.select(seconds) < 0:  # no connection is open yet, or a signal came
            time.sleep(min(seconds, 0.005))

    def release(self, curl: Any) -> None:
        """Take back the handle that carried a request, whether it is finished or not."""
        del self._moved[curl]
        self._gathering.pop(curl, None)
        self._multi.remove_handle(curl)
        curl.lines.clear()
        curl.pieces.clear()
        if curl.reader:
            curl.reader.__init__()  # lets go of the body
        elif curl.kind[1] is False:
            _read_by(curl, _NOTHING)
        self._spare.setdefault(curl.kind, []).append(curl)

    def close(self) -> None:
        """Close every connection, whatever state it is in, and the handles that carry nothing."""
        self._multi.close()
        for spare in self._spare.values():
            for curl in spare:
                curl.close()
        self._spare.clear()

    def _fresh(self, kind: _Kind) -> Any:
        """A handle with all that is the same for the requests of a kind."""
        method, sends, small, follow, authorities = kind
        curl = pycurl.Curl()
        curl.kind, curl.lines, curl.pieces, curl.reader = kind, [], [], BytesIO() if sends else None
        curl.bulk = None
        # libcurl would send /b/a/../x as /b/x, and so touch another object
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.USERAGENT, "visprep")
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        with contextlib.suppress(pycurl.error):  # a libcurl that lets the system do TLS takes no wishes
            curl.setopt(pycurl.TLS13_CIPHERS, _CIPHERS)
        curl.setopt(pycurl.BUFFERSIZE, _BUFFER)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, _BUFFER)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(self.patience.connect * 1000))
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.REDIR_PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.MAXREDIRS, 5)
        curl.setopt(pycurl.FOLLOWLOCATION, int(follow))
        curl.setopt(pycurl.HEADERFUNCTION, curl.lines.append)
        if authorities:
            curl.setopt(pycurl.CAINFO, authorities)
        if small:
            curl.setopt(pycurl.WRITEFUNCTION, curl.pieces.append)
            curl.setopt(pycurl.MAXFILESIZE_LARGE, _LONGEST)
        if method == "HEAD":
            curl.setopt(pycurl.NOBODY, 1)
        elif sends is not None:
            curl.setopt(pycurl.UPLOAD, 1)
            _read_by(curl, curl.reader or _NOTHING)
        if method not in ("GET", "HEAD"):
            curl.setopt(pycurl.CUSTOMREQUEST, method)
        return curl

    def _authorities(self) -> str:
        """The certificates to trust: SSL_CERT_FILE as everywhere else, or certifi's."""
        if self._trusted is None:
            import certifi

            self._trusted = os.environ.get("SSL_CERT_FILE") or certifi.where()
        return self._trusted


_NOTHING = BytesIO()


def _read_by(curl: Any, body: Readable | BytesIO) -> None:
    """Let a handle take its body from there."""
    curl.setopt(pycurl.READFUNCTION, body.read)
    curl.setopt(pycurl.SEEKFUNCTION, body.seek)  # or a stale connection could not be replaced in mid-body


class _Signals:
    """The signals that have a handler written in Python at this moment, as the main thread sees it.

    No other thread ever runs such handlers.
    """

    def __init__(self) -> None:
        here = threading.current_thread() is threading.main_thread()
        self._numbers = [number for number in _SIGNALS if here and callable(signal.getsignal(number))]
        self._came: dict[int, Any] = {}

    def held_back(self, call: Callable[[], Any]) -> None:
        """Make a call during which no handler runs; those of the signals that came run at its end."""
        handlers: list[tuple[int, Any]] = [(number, signal.getsignal(number)) for number in self._numbers]
        try:
            for number, _ in handlers:
                _set_handler(number, self._came.setdefault)  # written in C: nothing can interrupt it
            call()
        finally:
            _restore(handlers)
        while self._came:
            came, frame = self._came.popitem()
            dict(handlers)[came](came, frame)


def _restore(handlers: list[tuple[int, Any]]) -> None:
    """Put handlers back, all of them even when the first raises the moment it is back."""
    if handlers:
        try:
            _set_handler(*handlers[0])
        finally:
            _restore(handlers[1:])


def lines_of(headers: Mapping[str, str]) -> list[bytes]:
    """Headers as libcurl takes them: it wants `name;` for an empty value, and takes `name:` as "do not send it"."""
    return [(f"{name}: {value}" if value else f"{name};").encode() for name, value in headers.items()]


def explain(curl: Any, request: Request, code: int, text: str) -> Failure:
    """A complaint of libcurl as an error of ours."""
    host = request.host
    if code == _TIMEOUT and curl.getinfo(pycurl.PRETRANSFER_TIME) > 0:
        return Failure(Stalled(f"{host} stopped answering", hint="try again; what arrived is kept"), again=True)
    if code in _CERTIFICATE:
        hint = "set SSL_CERT_FILE (for S3: AWS_CA_BUNDLE) to the certificate of its authority"
        return Failure(Unreachable(f"TLS to {host} failed: {text}", hint=hint), again=False)
    proxy_said = curl.getinfo(pycurl.HTTP_CONNECTCODE)
    if proxy_said >= 300:
        refused = Unreachable(
            f"the proxy refuses to connect to {host} ({proxy_said})", hint="check the proxy's settings"
        )
        return Failure(refused, again=proxy_said >= 500)
    if code in _NO_CONNECTION or code == _TIMEOUT:
        hint = "check the address, the network and the proxy"
        return Failure(Unreachable(f"cannot connect to {host}: {text}", hint=hint), again=True)
    if code == _REDIRECTS:
        return Failure(ServerFailed(f"{request.shown} redirects too many times", hint="check the address"), again=False)
    if code == _TOO_LARGE:
        return Failure(ServerFailed(f"{request.shown}: the server sends more than was asked for"), again=False)
    broke = ServerFailed(f"the connection to {host} broke: {text}", hint="try again; what arrived is kept")
    return Failure(broke, again=code in _BROKEN)


def proxies() -> dict[str, str]:
    """The environment's proxies as libcurl takes them, by variable, without the user names and passwords in them."""
    lower = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    names = (*lower, *(name.upper() for name in lower[1:]))  # in capitals it does not take the first one
    return {name: os.environ[name].rpartition("@")[2] for name in names if os.environ.get(name)}


class _Idle(threading.local):
    """Handles that nobody uses at the moment, those of each thread apart."""

    def __init__(self) -> None:
        self.stacks: dict[Patience, list[Handles]] = {}


_idle = _Idle()


def borrow(patience: Patience) -> Handles:
    """Handles for this thread and process; connections of an earlier use are still open."""
    stack = _idle.stacks.setdefault(patience, [])
    while stack:
        handles = stack.pop()
        if handles.pid == os.getpid():
            handles.look_around()
            return handles
    return Handles(patience)


def give_back(handles: Handles) -> None:
    """Keep handles, none of them in flight, for the next who borrows."""
    _idle.stacks.setdefault(handles.patience, []).append(handles)


def part() -> None:
    """Close what this thread keeps, which is about to end: buffers of half a megabyte each.

    They lie in cycles, and so few objects that the collector comes late.
    """
    while _idle.stacks:
        for handles in _idle.stacks.popitem()[1]:
            if handles.pid == os.getpid():
                handles.close()


def keep_forever(thing: Any) -> None:
    """Let a thing never be destroyed, not even at the end of the process."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


# A forked child has a copy of every connection. Were the copies destroyed there, the farewell of their TLS sessions
# would go out and end the parent's. Python itself destroys what other threads held, right after the fork.
_alive: weakref.WeakValueDictionary[int, Handles] = weakref.WeakValueDictionary()
_across_fork: list[Handles | None] = []


def _before_fork() -> None:
    _across_fork[:] = [reference() for reference in _alive.valuerefs()]


def _in_child() -> None:
    keep_forever(tuple(_across_fork))
    _across_fork.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_across_fork.clear, after_in_child=_in_child)
