"""How the library tells that work goes on: it calls a function, and says nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a stage stands: `done` of `total` (None: nobody knows) in `unit`, "files", "tasks" or "bytes"."""

    stage: str
    done: int
    total: int | None
    unit: str = "files"


#: What the verbs call, in the caller's own thread, as results come back.
OnProgress = Callable[[Progress], None]


def unheard(_: Progress) -> None:
    """The listener of those who do not listen."""
