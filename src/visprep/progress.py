"""How the library tells that work goes on: it calls a function, and says nothing itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from visprep.traffic import Traffic

#: Seconds between two messages.
_BLINK = 0.05


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stage stands: `done` of `total` (None: nobody knows) in `unit`, "files", "tasks" or "bytes".

    `traffic` is what the command has asked of servers so far, where that is counted.
    """

    stage: str
    done: int
    total: int | None
    unit: str = "files"
    traffic: Traffic | None = None


#: What the verbs call, in the caller's own thread, as results come back.
OnProgress = Callable[[Progress], None]


def unheard(_: Progress) -> None:
    """The listener of those who do not listen."""


class Pulse:
    """Tells a listener how far a stage is, no more often than people can see it."""

    def __init__(self, listener: OnProgress) -> None:
        self._listener, self._next = listener, 0.0

    def __call__(self, stage: str, done: int, total: int | None, unit: str = "files", *, last: bool = False) -> None:
        """As `Progress`; with `last` it is told in any case."""
        now = time.monotonic()
        if last or now >= self._next:
            self._next = now + _BLINK
            self._listener(Progress(stage, done, total, unit))
