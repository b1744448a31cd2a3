"""What the one thread of a process does: images that are wanted come over the express lane, or the ordinary way.

The express lane costs half as much of the processor, and knows only what goes well. The rest goes through `wire`, and
with it what is wanted meanwhile, so that nobody waits for a retry that is not his own.
"""

from __future__ import annotations

import contextlib
import logging
import queue
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

from visprep import wire
from visprep.digests import is_digest_of
from visprep.errors import BadPlace, VisprepError, WrongContent
from visprep.express import Ask, express
from visprep.loaders.clients import Stores
from visprep.manifest import File
from visprep.messages import SMALL, Patience
from visprep.request_window import Window
from visprep.stores.addresses import AddressStore
from visprep.stores.memory import MemorySink

#: Seconds between two looks at what is wanted, while requests are under way: no handle of libcurl's can be woken.
_GLANCE = 0.001
#: Images that go the ordinary way at least, once one had to; doubled each time, up to the second number.
_DETOUR, _LONGEST_DETOUR = 32, 2048
#: After so many that went well in a row, the next detour is short again.
_SMOOTH = 1000


class Errand:
    """One image that is wanted; `size` in bytes and `version`, a digest or an ETag, where they are known."""

    __slots__ = ("future", "size", "url", "version")

    def __init__(self, url: str, size: int | None, version: str | None) -> None:
        self.url, self.size, self.version = url, size, version
        self.future: Future[bytes] = Future()

    def begin(self) -> bool:
        """Whether somebody still wants it."""
        return self.future.set_running_or_notify_cancel()

    def end(self, outcome: bytes | BaseException, told: str | None = None) -> None:
        """Hand over what came of it; bytes that are not what was promised, by `told` too (`sha256:hex`), are none."""
        if isinstance(outcome, bytes):
            outcome = self.fault_of(outcome, told) or outcome
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)

    def fault_of(self, data: bytes, told: str | None) -> WrongContent | None:
        """What speaks against these bytes. An ETag says nothing here: it need be no MD5, and costs as much as one."""
        if self.size is not None and len(data) != self.size:
            return WrongContent(f"{self.shown}: {len(data)} bytes arrived, {self.size} were promised")
        for digest in {self.version, told}:
            if digest and digest.startswith("sha256:") and not is_digest_of(digest, data):
                return WrongContent(
                    f"{self.shown}: the bytes are not those that were promised (SHA-256)", hint="it may be damaged"
                )
        return None

    @property
    def shown(self) -> str:
        """The address for messages: without the query, which may hold a signature."""
        return self.url.partition("?")[0] if is_web(self.url) else self.url

    @property
    def object(self) -> tuple[str, str]:
        """Bucket and key of `s3://bucket/key`; BadPlace when it lacks one of them."""
        bucket, _, key = self.url.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise BadPlace(f"{self.url!r} names no object", hint="it must be s3://bucket/key")
        return bucket, key


def is_web(url: str) -> bool:
    """Whether it is an address of the web."""
    return url.startswith(("http://", "https://"))


class Ended(Exception):
    """Nothing more is wanted at all."""


class _Watched(Window):
    """A window of a fixed size, smaller only where the server asks for it, that is left when all is to end."""

    def __init__(self, in_flight: int, ended: Callable[[], bool]) -> None:
        # More jobs than requests: one of them looks for what is wanted, and when it is full, `full` must be asked
        super().__init__(in_flight, in_flight + 2)
        self._ended = ended

    def full(self) -> None:
        """See `Window.full`."""
        if self._ended():
            raise Ended
        super().full()


class Lanes:
    """Brings what comes out of `errands`, `in_flight` at a time, until `Ended`.

    That is raised when `ended()` is true, for which somebody who waits for errands is woken by a None among them.
    """

    def __init__(
        self,
        errands: queue.SimpleQueue[Errand | None],
        stores: Stores,
        in_flight: int,
        patience: Patience | None,
        ended: Callable[[], bool],
    ) -> None:
        self._errands, self._stores, self._patience, self._ended = errands, stores, patience, ended
        self._window = _Watched(in_flight, ended)
        self._aside: deque[Errand] = deque()
        self._detour, self._smooth = _DETOUR, 0
        #: What was begun and is not ended.
        self.under_way: set[Errand] = set()

    def serve(self) -> None:
        """Bring one image after the other, for ever."""
        while True:
            first = self._next(wait=True)
            if first:
                self._express(first)
            while self._aside:
                self._ordinary()

    def _next(self, wait: bool = False) -> Errand | None:
        """The next one that is wanted; None when there is none now, or nobody wants it any more."""
        try:
            errand = self._errands.get(wait)
        except queue.Empty:
            return None
        if self._ended():
            if errand:
                errand.future.cancel()
            raise Ended
        if errand is None or not errand.begin():
            return None
        self.under_way.add(errand)
        return errand

    def _end(self, errand: Errand, outcome: bytes | BaseException, told: str | None = None) -> None:
        self.under_way.discard(errand)
        errand.end(outcome, told)

    # -- the express lane

    def _express(self, first: Errand) -> None:
        if logging.getLogger("visprep.wire").isEnabledFor(logging.INFO):
            self._aside.append(first)  # somebody wants a line for each request
            return
        with contextlib.closing(express(self._asks(first), self._window, self._patience, _GLANCE)) as answers:
            for errand, answer in answers:
                try:
                    if answer is None:
                        self._aside.append(errand)
                        continue
                    data = b"".join(answer.pieces)
                    told = self._stores.of(errand.object[0]).told(File(errand.object[1]), answer.head)
                    if errand.fault_of(data, told):
                        self._aside.append(errand)  # it may come whole at another time
                        continue
                except VisprepError:
                    self._aside.append(errand)
                    continue
                self.under_way.discard(errand)
                errand.future.set_result(data)
                self._smooth += 1

    def _asks(self, errand: Errand | None) -> Iterator[tuple[Errand, Ask] | None]:
        while not self._aside:
            if errand is None:
                errand = self._next()
            if errand is None:
                yield None
                continue
            ask = self._ask(errand)
            if ask is None:
                self._aside.append(errand)
                return
            yield errand, ask
            errand = None

    def _ask(self, errand: Errand) -> Ask | None:
        if is_web(errand.url) or (errand.size or 0) > SMALL:
            return None
        try:
            bucket, key = errand.object
            return self._stores.of(bucket).ask_for(File(key, errand.size))
        except VisprepError:
            return None  # the ordinary way finds the words

    # -- the ordinary way

    def _ordinary(self) -> None:
        self._detour = min(_LONGEST_DETOUR, self._detour * 2) if self._smooth < _SMOOTH else _DETOUR
        self._smooth = 0
        with contextlib.closing(wire.run(self._jobs(), self._window, None, self._patience)) as outcomes:
            for errand, outcome in outcomes:
                if errand is not None:
                    if isinstance(outcome, tuple):
                        self._end(errand, *outcome)
                    elif isinstance(outcome, VisprepError):
                        self._end(errand, outcome)

    def _jobs(self) -> Generator[tuple[Errand | None, Any] | None, None, None]:
        troubled = set(self._aside)
        left = self._detour
        yield None, self._look_out()
        while self._aside or left > 0 or not self.under_way.isdisjoint(troubled):
            errand = self._aside.popleft() if self._aside else self._next()
            if errand is None:
                if not self.under_way:
                    return
                yield None
                continue
            left -= 1
            yield errand, self._fetched(errand)

    async def _look_out(self) -> None:
        """Let the others look every millisecond whether more is wanted, as long as they are at work."""
        while self.under_way:
            await wire.until(lambda: self._idle() or not self._errands.empty())
            await wire.until(lambda: self._idle() or self._errands.empty())

    def _idle(self) -> bool:
        if self._ended():
            raise Ended
        return not self.under_way

    async def _fetched(self, errand: Errand) -> tuple[bytes | BaseException, str | None]:
        sink = MemorySink()
        try:
            if is_web(errand.url):
                address = quote(errand.url, safe="/%:@!$&'()*+,;=~?#[]")
                await AddressStore({errand.shown: address}).fetch(File(errand.shown, errand.size), sink)
                return sink.getvalue(), None
            bucket, key = errand.object
            told = await self._stores.of(bucket).fetch(File(key, errand.size), sink)
            return sink.getvalue(), told
        except Exception as problem:  # of ours it is that image's; any other would be, too
            return problem, None
