"""How many requests are in flight at once, found out while they run, and how many bytes may be in memory for them."""

from __future__ import annotations

import time
from collections.abc import Callable

_MEBIBYTE = 1024 * 1024
#: A rate is taken over so many seconds at least.
_MOMENT = 0.1
#: The share of a growth by which the rate must have grown too, for the growth to have been worth it.
_WORTH = 0.25
#: Seconds until growing is tried again after it did not help or the server asked to slow down; doubled each time.
_FIRST_REST, _LONGEST_REST = 1.0, 60.0
#: Seconds of moving bytes that a limited bandwidth may be ahead of its time.
_AHEAD = 0.05


class Window:
    """The number of requests in flight, `size`: from `start` it grows up to `most` as long as that pays.

    It doubles while the rate of finished requests grows with it, goes back where it does not, and is halved when the
    server asks to slow down; then it grows again in small steps, after a rest. `most` also bounds the jobs at work,
    those included that wait for a retry. `budget` bounds the sum of the weights of jobs at work, in bytes; a job
    that weighs more counts as three quarters of it, so that it runs alone but for light ones. `bandwidth` is the
    bytes per second that all requests together may move in both directions, None for no limit.

    One window may serve several runs of one thread, one after the other: it keeps what it found out. `clock` gives
    seconds that only grow.
    """

    def __init__(
        self,
        start: int = 32,
        most: int = 256,
        budget: int = 64 * _MEBIBYTE,
        bandwidth: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= start <= most or budget < 1 or (bandwidth is not None and bandwidth <= 0):
            raise ValueError("a window needs 1 <= start <= most, and a budget and a bandwidth above 0")
        self.most, self.budget, self.bandwidth = most, budget, bandwidth
        self.size: float = start
        #: How often it was halved: what was asked before the last time says nothing about the present size.
        self.halved = 0
        self._clock = clock
        self._rate, self._before = 0.0, 0
        self._gentle = False
        self._rest, self._next_try = _FIRST_REST, 0.0
        self._free_at = 0.0
        self._measure()

    @classmethod
    def fixed(cls, jobs: int) -> Window:
        """One that takes `jobs` jobs at a time, whatever happens and whatever they weigh."""
        window = cls(jobs, jobs)
        window.size = float("inf")
        return window

    def _measure(self) -> None:
        """Begin to take the rate anew, when as many requests have ended as may be under way from earlier."""
        self._warming, self._limited = True, False
        self._count, self._enough = 0, self.size
        self._since = 0.0

    def charge(self, weight: int) -> int:
        """What a job of some weight takes from the budget."""
        return weight if weight <= self.budget else self.budget * 3 // 4

    def full(self) -> None:
        """Note that one more request would have been sent, had the window been larger."""
        self._limited = True

    def ended(self) -> None:
        """Note that a request has ended well."""
        self._count += 1
        if self._count < self._enough:
            return
        now = self._clock()
        if self._warming:
            self._warming, self._limited = False, False
            self._count, self._since = 0, now
        elif now - self._since < _MOMENT:
            self._enough = self._count + max(1.0, self.size / 4)
        else:
            if self._limited:
                self._judge(self._count / (now - self._since), now)
            self._measure()

    def _judge(self, rate: float, now: float) -> None:
        """Stay, grow, or go back to the size before the last growth, seeing the rate of the present one."""
        if self._before and rate < self._rate * (1 + _WORTH * (self.size / self._before - 1)):
            self.size, self._before = self._before, 0
            self._wait(now)
        elif self.size < self.most and now >= self._next_try:
            size = int(self.size)
            self._rate, self._before = rate, size
            self.size = min(self.most, size + max(1, size // 8) if self._gentle else size * 2)
        else:
            self._before = 0

    def _wait(self, now: float) -> None:
        self._next_try = now + self._rest
        self._rest = min(_LONGEST_REST, self._rest * 2)

    def slow_down(self, halved: int) -> None:
        """Note that the server asks to slow down; `halved` is that of the window when the request was sent."""
        if halved == self.halved and self.size < float("inf"):
            self.halved += 1
            self.size, self._before, self._gentle = max(1, int(self.size) // 2), 0, True
            self._wait(self._clock())
            self._measure()

    def moved(self, count: int) -> None:
        """Note that so many bytes have moved."""
        if self.bandwidth:
            self._free_at = max(self._free_at, self._clock() - _AHEAD) + count / self.bandwidth

    def pause(self) -> float:
        """Seconds for which no byte may move now."""
        return max(0.0, self._free_at - self._clock()) if self.bandwidth else 0.0
