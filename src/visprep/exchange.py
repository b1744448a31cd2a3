"""One HTTP request and the attempts to have it answered: what to ask next, where the bytes go, whether to ask again.

Nothing here touches a socket: libcurl hands the header lines and the pieces of body that arrive to an `Exchange`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from io import BytesIO

from visprep.errors import ChangedMeanwhile, RateLimited, ServerFailed, VisprepError
from visprep.messages import (
    TRANSIENT,
    Failure,
    Patience,
    RangesIgnored,
    Request,
    Response,
    Sink,
    fields,
    number_in,
    parts,
    size_in,
    time_in,
)

#: Progress of a body that earns a request its full number of attempts again, in bytes.
HEADWAY = 64 * 1024
#: What pauses are drawn with: the generator of `random` may be a training's, which must not hang on how often we tried.
_draw = random.SystemRandom()
#: How much of an error's text is kept, in bytes; nobody reads further.
ERROR_TEXT = 64 * 1024


class Exchange:
    """A request with the state of its present attempt.

    `begin` starts an attempt, `lines` is filled from outside with header lines, `receive` takes the body (a small
    one is left in `pieces` instead, and one that is `gathered` in `bulk` until `take`), and `conclude` says what came.
    `on_bytes` is told how many bytes the sink holds more than before.
    """

    __slots__ = (
        "_asked_from", "_attempt", "_failure", "_first", "_furthest", "_into_sink", "_kept", "_on_bytes", "_over",
        "_part", "_patience", "_trouble", "_validator", "bulk", "headers", "lines", "pieces", "request", "status",
    )  # fmt: skip

    def __init__(self, request: Request, patience: Patience, on_bytes: Callable[[int], None]) -> None:
        self.request = request
        self.lines: list[bytes] = []
        self.pieces: list[bytes] = []
        self.bulk: BytesIO | None = None
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
        if request.sign is None:
            return headers
        body = request.body if isinstance(request.body, bytes) else None  # of any other the hash is known
        return request.sign(request.method, request.url, headers, body)

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

    @property
    def gathered(self) -> bool:
        """Whether the body may come into `bulk`, to be taken from there now and then."""
        return not self.request.small and getattr(self.request.sink, "takes_views", False)

    def take(self) -> bool:
        """Take in what was gathered; False where `receive` would tell libcurl to stop."""
        if self.bulk is None or not (count := self.bulk.tell()):
            return True
        self.bulk.seek(0)
        with self.bulk.getbuffer() as room, room[:count] as piece:
            return self.receive(piece) is None

    def receive(self, piece: bytes | memoryview) -> int | None:
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
        self.headers |= fields(lines if first is None else lines[first + 1 :])

    def _store(self, piece: bytes | memoryview) -> None:
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
                sink.write(piece)  # type: ignore[arg-type]  # a view only where it takes one

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
        size, length = size_in(self.headers), self.request.length
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
        self._part = re.fullmatch(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", told)
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
        self.take()
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
        response = Response(self.status, self.headers, bytes(self._kept), url, self._attempt)
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
        what = f"{self.request.method} {parts(self.request.url)[2]}"
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
        chosen = _draw.uniform(0.1, 1.0) * patience.base * 2**self._attempt
        wanted = _retry_after(self.headers.get("retry-after", ""))
        return float(min(patience.longest, max(chosen, wanted)))


_FINE = ("HTTP/1.1 200 ", "HTTP/1.0 200 ")


def _changed(request: Request) -> ChangedMeanwhile:
    return ChangedMeanwhile(f"{request.shown} changed while it was being fetched", hint="run the same command again")


def _strong(tag: str | None) -> str | None:
    """An ETag that promises equal bytes: a weak one, or what is none at all, does not."""
    return tag if tag and len(tag) > 2 and tag[0] == tag[-1] == '"' else None


def _retry_after(text: str) -> float:
    """Seconds that a Retry-After header asks for: a number, or a date; 0 for what is neither."""
    if (seconds := number_in(text)) is not None:
        return float(seconds)
    at = time_in(text)
    return 0.0 if at is None else max(0.0, at - time.time())
