"""The threads of one process that decode: libjpeg-turbo and Pillow let go of Python's lock while they work."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch.utils.data import get_worker_info

#: More of them than so many seldom help: what follows the decoding is one thread's.
_MOST = 8


class DecodeThreads:
    """Threads that begin with the first image and end with `close`; in the child of a fork they begin anew.

    `count` of 1 is the caller's own thread. Without it there is one in a DataLoader's worker, which has company, and
    elsewhere one for each processor that this process may use, up to eight.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None
        self._pid = os.getpid()

    def pool(self) -> ThreadPoolExecutor | None:
        """The threads; None where the caller decodes by itself."""
        if self._pid != os.getpid():
            self._pool, self._pid = None, os.getpid()
        if self._pool is None:
            count = self.count or (1 if get_worker_info() else min(_MOST, _processors()))
            if count > 1:
                self._pool = ThreadPoolExecutor(count, "visprep-decode")
        return self._pool

    def close(self) -> None:
        """End the threads of this process, when what they are at is done."""
        pool, self._pool = self._pool, None
        if pool and self._pid == os.getpid():
            pool.shutdown(cancel_futures=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "_pool": None, "_pid": 0}


def when_here(source: Future[bytes], pool: ThreadPoolExecutor, work: Callable[[Future[bytes]], Any]) -> Future[Any]:
    """What `work` makes of a future, by a thread of the pool that begins as soon as that has ended."""
    outcome: Future[Any] = Future()
    # Whoever brought `source` may hold on to it, and with it to `begin`, which then must not hold what `work` does
    parts = [(pool, work, outcome)]

    def begin(ended: Future[bytes]) -> None:
        pool, work, outcome = parts.pop()
        try:
            pool.submit(_settle, outcome, work, ended)
        except RuntimeError:  # it has been closed meanwhile
            outcome.cancel()

    source.add_done_callback(begin)
    return outcome


def _settle(outcome: Future[Any], work: Callable[[Future[bytes]], Any], ended: Future[bytes]) -> None:
    if outcome.set_running_or_notify_cancel():
        try:
            made = work(ended)
        except BaseException as problem:
            outcome.set_exception(problem)
        else:
            outcome.set_result(made)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
