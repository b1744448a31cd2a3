"""Ctrl-C and SIGTERM that wait until a call is over, where a library cannot bear an exception in its middle."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: SIGALRM, since the command line raises an interrupt again with it. SIGINT comes last: it is the likeliest, and
#: whoever hears it has all others heard again.
_HELD = tuple(getattr(signal, name) for name in ("SIGALRM", "SIGTERM", "SIGINT") if hasattr(signal, name))
_holding = False


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Handlers of Python's are called when the block is over, also when that is by an exception.

    Ray's own code calls them within its C++: what they raise there gets lost, comes out as SystemError, or leaves Ray
    half shut down, which makes the exit code 1. Blocking signals would not do: Ray's threads hear them then.
    """
    global _holding
    if _holding or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: dict[int, FrameType | None] = {}
    before = {number: handler for number in _HELD if callable(handler := signal.getsignal(number))}
    try:
        _holding = True
        for number in before:
            signal.signal(number, lambda number, frame: came.update({number: frame}))
        yield
    finally:
        _holding = False
        for number, handler in before.items():
            signal.signal(number, handler)
        for number, frame in reversed(came.items()):
            before[signal.Signals(number)](number, frame)


def whole(work: Callable[P, R]) -> Callable[P, R]:
    """`work` as one that no interrupt comes into."""

    @functools.wraps(work)
    def unbroken(*words: P.args, **named: P.kwargs) -> R:
        with held():
            return work(*words, **named)

    return unbroken
