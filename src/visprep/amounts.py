"""Amounts, paces and times in words, for people."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from visprep.progress import Progress

#: Seconds over which a pace is measured: what was faster long ago does not count.
_WINDOW = 30.0
#: Seconds without which no pace is told: it would be that of a moment.
_LEAST = 1.0


def size(count: float) -> str:
    """Bytes for people: `1.5 MB`, in powers of ten."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    raise AssertionError("unreachable")


def duration(seconds: float) -> str:
    """Time for people: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


class Pace:
    """How fast a stage is, by what was done lately; the clock is that of who asks, in seconds."""

    def __init__(self) -> None:
        self._seen: collections.deque[tuple[float, int]] = collections.deque()

    def note(self, now: float, done: int) -> None:
        """Take down how much is done now."""
        seen = self._seen
        if seen and done < seen[-1][1]:  # it began anew
            seen.clear()
        if len(seen) > 1 and now - seen[-2][0] < _WINDOW / 60:
            seen.pop()
        seen.append((now, done))
        while len(seen) > 2 and now - seen[1][0] >= _WINDOW:
            seen.popleft()

    @property
    def rate(self) -> float | None:
        """What is done in a second; None where nobody knows yet."""
        if not self._seen:
            return None
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - then) if now - then >= _LEAST and done > before else None


def reached(progress: Progress) -> str:
    """How far a stage is: `1.2 GB of 5.0 GB`, `1,200 of 5,000 files`, and what was asked of servers for it."""
    if progress.unit == "bytes":
        return size(progress.done) + (f" of {size(progress.total)}" if progress.total else "")
    traffic = progress.traffic
    asked = f", {traffic.requests:,} requests, {size(traffic.bytes)}" if traffic else ""
    return f"{progress.done:,}" + (f" of {progress.total:,}" if progress.total else "") + f" {progress.unit}{asked}"


def speed(progress: Progress, rate: float | None) -> str:
    """A pace: `12.3 MB/s`, `1,200/s`; empty where there is none."""
    if rate is None:
        return ""
    if progress.unit == "bytes":
        return f"{size(rate)}/s"
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def left(progress: Progress, rate: float | None) -> str:
    """What a stage will take: `3 min 20 s left`; empty where nobody knows, or where it is done."""
    if rate is None or not progress.total or progress.done >= progress.total:
        return ""
    return f"{duration((progress.total - progress.done) / rate)} left"
