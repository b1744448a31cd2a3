"""What a local server does wrong on request, told as rules: which requests, how often, and how."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. Bytes count from the start of the body of one answer, not of the file.

    `status`, with `headers` and `body`, answers in place of the server; without `status` the headers are added to
    the server's own. A proxy sends S3's error document where there is no body; `code` is the error that it names.
    `cut` ends the connection after that many body bytes (quietly, or with a TCP reset), or goes
    silent there with `stall`; `reset` and `stall` without `cut` act before any answer. `torn` lets the server do its
    work, and resets in the middle of its answer's headers. `flip` inverts one byte, `slow` is bytes a second,
    `delay` is seconds before the answer. `upload_reset` resets the connection once that many bytes of the request's
    body have come in. `cut`, `flip` and `upload_reset` may be a share of the body instead, as 0.5 is its middle.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: float | None = None
    reset: bool = False
    flip: float | None = None
    stall: bool = False
    slow: float | None = None
    delay: float = 0
    upload_reset: float | None = None
    torn: bool = False
    code: str = ""

    @property
    def at_once(self) -> bool:
        """Whether the connection breaks or goes silent before any answer."""
        return (self.reset or self.stall) and self.cut is None

    def sized(self, sent: int | None = None, received: int | None = None) -> Fault:
        """The same fault with its shares as bytes, for an answer or a request with a body of such a size."""
        return replace(
            self,
            cut=_bytes(self.cut, sent),
            flip=_bytes(self.flip, sent),
            upload_reset=_bytes(self.upload_reset, received),
        )

    def shape(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The body as it leaves: a byte flipped, cut short, at a slow pace."""
        at = 0
        for piece in pieces:
            piece = self._flipped(piece, at)
            if self.cut is not None and at + len(piece) > self.cut:
                yield from self._paced(piece[: int(self.cut) - at])
                return
            yield from self._paced(piece)
            at += len(piece)

    def _flipped(self, piece: bytes, at: int) -> bytes:
        if self.flip is None or not at <= self.flip < at + len(piece):
            return piece
        index = int(self.flip) - at
        return piece[:index] + bytes([piece[index] ^ 0xFF]) + piece[index + 1 :]

    def _paced(self, piece: bytes) -> Iterator[bytes]:
        if not self.slow:
            yield piece
            return
        step = max(1, int(self.slow / 20))
        for start in range(0, len(piece), step):
            time.sleep(min(step, len(piece) - start) / self.slow)
            yield piece[start : start + step]


def _bytes(place: float | None, size: int | None) -> float | None:
    """A number of bytes as it is, a share (0.5) as so many of `size`."""
    return int(place * size) if isinstance(place, float) and size is not None else place


#: Nothing goes wrong.
NO_FAULT = Fault()


class _Rule:
    def __init__(
        self,
        matches: Callable[[str], object],
        after: int,
        times: int | None,
        chance: Callable[[], bool],
        fault: Fault,
    ) -> None:
        self.matches, self.after, self.left, self.chance, self.fault = matches, after, times, chance, fault
        self.hits = 0

    def takes(self, line: str) -> bool:
        """Whether this request is hit; one that is counts against `times`."""
        if self.left == 0 or not self.matches(line):
            return False
        if self.after:
            self.after -= 1
            return False
        if not self.chance():
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True


class Faulty:
    """A server with rules of failure; the first rule that fits a request decides what goes wrong with it."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._rules_lock = threading.Lock()

    def fault(
        self,
        pattern: str,
        times: int | None = 1,
        *,
        after: int = 0,
        probability: float = 1.0,
        seed: int = 0,
        **how: Any,
    ) -> None:
        """Let the next `times` requests fail (every one with None) whose "METHOD /path?query" holds `pattern`.

        `pattern` is a regular expression. The first `after` of such requests pass. With `probability`, each of the
        others draws its luck from `seed`. `how` it fails are the fields of `Fault`.
        """
        luck = random.Random(seed)
        self._add(re.compile(pattern).search, after, times, lambda: luck.random() < probability, Fault(**how))

    def _add(
        self,
        matches: Callable[[str], object],
        after: int,
        times: int | None,
        chance: Callable[[], bool],
        fault: Fault,
    ) -> None:
        with self._rules_lock:
            self._rules.append(_Rule(matches, after, times, chance, fault))

    def clear_faults(self) -> None:
        """Forget all rules: from now on nothing goes wrong."""
        with self._rules_lock:
            self._rules.clear()

    @property
    def spent(self) -> bool:
        """Whether every rule has hit at least one request, as a test that is to mean something makes sure."""
        with self._rules_lock:
            return all(rule.hits for rule in self._rules)

    def draw_fault(self, line: str) -> Fault:
        """What goes wrong with this request, `NO_FAULT` mostly."""
        with self._rules_lock:
            return next((rule.fault for rule in self._rules if rule.takes(line)), NO_FAULT)
