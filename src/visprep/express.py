"""The express lane beside `wire`: small requests in great number, each of which is expected to end well at once.

No coroutine, no second attempt, no error in words: what does not end in a plain 200 is told as such, and its caller
sends it again through `wire`, which knows better. It costs about half as much of the processor.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from visprep.handles import Handles, borrow, give_back, keep_forever
from visprep.messages import Patience
from visprep.request_window import Window

K = TypeVar("K")


class Ask(NamedTuple):
    """A request of at most `messages.SMALL` bytes in either direction, signed already; `weight` is its bytes."""

    method: str
    url: str
    lines: list[bytes]
    body: bytes | None
    ca_bundle: str | None
    weight: int


class Answer(NamedTuple):
    """A plain 200: the text of its head, and its body in pieces."""

    head: str
    pieces: list[bytes]


def express(
    asks: Iterator[tuple[K, Ask] | None], window: Window, patience: Patience | None = None, glance: float = 1.0
) -> Generator[tuple[K, Answer | None], None, None]:
    """The key and the answer to each of `asks` as it comes, None for what came of it that is no plain 200.

    Where `asks` gives None there is nothing to begin now, and it is asked again while others are under way, after
    `glance` seconds at the latest; when there are none, that is the end. Connections are those of `wire.run` in this
    thread.
    """
    handles, whole = borrow(patience or Patience()), False
    lane: _Lane[K] = _Lane(handles, asks, window, glance)
    try:
        yield from lane.answers()
        whole = True
    finally:
        if whole:
            give_back(handles)
        elif handles.pid == os.getpid():
            handles.close()
        else:
            keep_forever(lane)


class _Lane(Generic[K]):
    """One use of the lane."""

    def __init__(self, handles: Handles, asks: Iterator[tuple[K, Ask] | None], window: Window, glance: float) -> None:
        self._handles, self._asks, self._window, self._glance = handles, asks, window, glance
        self._flying: dict[Any, tuple[K, int, int]] = {}
        self._held = 0
        self._next: tuple[K, Ask] | None = None
        self._exhausted = self._idle = False

    def answers(self) -> Generator[tuple[K, Answer | None], None, None]:
        """See `express`."""
        handles = self._handles
        arrived: list[tuple[K, Answer | None, int]] = []
        while True:
            self._fill()
            if not self._flying and not arrived:
                return
            if handles.pid != os.getpid():
                raise RuntimeError("this belongs to the process that started it; start another after the fork")
            # While the caller works on what has arrived, the next are under way
            before, arrived = arrived, [self._take_in(curl, complaint) for curl, complaint in handles.perform()]
            for key, answer, weight in before:
                yield key, answer
                self._held -= weight
            if not before and not arrived:
                handles.wait(self._glance if self._idle else 1.0)

    def _fill(self) -> None:
        """Begin as many as may be under way."""
        window, flying = self._window, self._flying
        self._idle = False
        while not self._exhausted and len(flying) < window.most:
            if len(flying) >= window.size:
                window.full()
                return
            if self._next is None:
                try:
                    self._next = next(self._asks)
                except StopIteration:
                    self._exhausted = True
                if self._next is None:
                    self._idle = not self._exhausted
                    return
            key, ask = self._next
            if self._held and self._held + ask.weight > _HELD:
                return
            self._next = None
            curl = self._handles.carry(ask.method, ask.url, ask.lines, ask.body, ask.ca_bundle)
            flying[curl] = key, ask.weight, window.halved
            self._held += ask.weight

    def _take_in(self, curl: Any, complaint: tuple[int, str] | None) -> tuple[K, Answer | None, int]:
        key, weight, halved = self._flying.pop(curl)
        head, pieces = b"".join(curl.lines).decode("latin-1"), curl.pieces[:]
        self._handles.release(curl)
        if complaint is None and head.startswith(_FINE) and head.count("HTTP/") == 1:
            self._window.ended()
            return key, Answer(head, pieces), weight
        if head.startswith(_TOO_MANY):
            self._window.slow_down(halved)
        return key, None, weight


#: Bytes of bodies in memory, until the caller has taken them in.
_HELD = 16 * 1024 * 1024
_FINE = ("HTTP/1.1 200 ", "HTTP/1.0 200 ")
_TOO_MANY = ("HTTP/1.1 503 ", "HTTP/1.1 429 ")
