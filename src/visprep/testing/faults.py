"""What a local server does wrong on request, told as rules: which requests, how often, and how."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. Bytes count from the start of the body of one answer, not of the file.

    `status`, with `headers` and `body`, answers in place of the server; without `status` the headers are added to
    the server's own. `cut` ends the connection after that many body bytes (quietly, or with a TCP reset), or goes
    silent there with `stall`; `reset` and `stall` without `cut` act before any answer. `flip` inverts one byte,
    `slow` is bytes a second, `delay` is seconds before the answer. `upload_reset` resets the connection once that
    many bytes of the request's body have come in.
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int | None = None
    reset: bool = False
    flip: int | None = None
    stall: bool = False
    slow: float | None = None
    delay: float = 0
    upload_reset: int | None = None

    @property
    def at_once(self) -> bool:
        """Whether the connection breaks or goes silent before any answer."""
        return (self.reset or self.stall) and self.cut is None

    def shape(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The body as it leaves: a byte flipped, cut short, at a slow pace."""
        at = 0
        for piece in pieces:
            piece = self._flipped(piece, at)
            if self.cut is not None and at + len(piece) > self.cut:
                yield from self._paced(piece[: self.cut - at])
                return
            yield from self._paced(piece)
            at += len(piece)

    def _flipped(self, piece: bytes, at: int) -> bytes:
        if self.flip is None or not at <= self.flip < at + len(piece):
            return piece
        index = self.flip - at
        return piece[:index] + bytes([piece[index] ^ 0xFF]) + piece[index + 1 :]

    def _paced(self, piece: bytes) -> Iterator[bytes]:
        if not self.slow:
            yield piece
            return
        step = max(1, int(self.slow / 20))
        for start in range(0, len(piece), step):
            time.sleep(min(step, len(piece) - start) / self.slow)
            yield piece[start : start + step]


#: Nothing goes wrong.
NO_FAULT = Fault()


class _Rule:
    def __init__(self, pattern: str, times: int | None, probability: float, seed: int, fault: Fault) -> None:
        self.pattern, self.left, self.fault = re.compile(pattern), times, fault
        self.probability, self.chance = probability, random.Random(seed)

    def takes(self, line: str) -> bool:
        """Whether this request is hit; one that is counts against `times`."""
        if self.left == 0 or not self.pattern.search(line):
            return False
        if self.probability < 1 and self.chance.random() >= self.probability:
            return False
        if self.left is not None:
            self.left -= 1
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
        probability: float = 1.0,
        seed: int = 0,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        cut: int | None = None,
        reset: bool = False,
        flip: int | None = None,
        stall: bool = False,
        slow: float | None = None,
        delay: float = 0,
        upload_reset: int | None = None,
    ) -> None:
        """Let the next `times` requests fail (every one with None) whose "METHOD /path?query" holds `pattern`.

        `pattern` is a regular expression. With `probability`, each such request draws its luck from `seed`. How
        it fails: see `Fault`.
        """
        fault = Fault(status, dict(headers or {}), body, cut, reset, flip, stall, slow, delay, upload_reset)
        with self._rules_lock:
            self._rules.append(_Rule(pattern, times, probability, seed, fault))

    def clear_faults(self) -> None:
        """Forget all rules: from now on nothing goes wrong."""
        with self._rules_lock:
            self._rules.clear()

    def draw_fault(self, line: str) -> Fault:
        """What goes wrong with this request, `NO_FAULT` mostly."""
        with self._rules_lock:
            return next((rule.fault for rule in self._rules if rule.takes(line)), NO_FAULT)
