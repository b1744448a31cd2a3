"""How progress looks: bars where there is a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from visprep.amounts import Pace, duration, left, reached, speed
from visprep.progress import Progress
from visprep.render.text import printable

if TYPE_CHECKING:
    from rich.console import Console

#: Seconds between two lines, and before the first: what is done sooner needs none.
INTERVAL = 10.0


def drawing(tell: Callable[[str], None]) -> Bars | Lines:
    """Bars where stderr is a terminal that can move its cursor; else lines, told by `tell`."""
    if sys.stderr.isatty():
        from rich.console import Console

        terminal = Console(stderr=True)
        if not terminal.is_dumb_terminal:
            return Bars(terminal)
    return Lines(tell)


class Lines:
    """Progress in plain lines, for logs: one in `INTERVAL` seconds, and one at the end of a stage that had one."""

    #: Seconds between two looks at the pace of a stage.
    _LOOK = 0.5

    def __init__(self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tell, self._clock = tell, clock
        self._stages: dict[str, _Stage] = {}
        self._latest: Progress | None = None
        self._look, self._next = 0.0, clock() + INTERVAL

    def show(self, progress: Progress) -> None:
        """Take notice; a line when it is time for one."""
        latest, self._latest = self._latest, progress
        now = self._clock()
        if latest and latest.stage != progress.stage:
            if latest.done == latest.total:  # else it is one of several that take turns
                self._end(latest, now)
                del self._stages[latest.stage]  # one of the same name, later, is another one
        elif now < min(self._look, self._next):
            return
        self._look = now + self._LOOK
        stage = self._stages.setdefault(progress.stage, _Stage(now))
        stage.pace.note(now, progress.done)
        if now >= self._next:
            self._next = now + INTERVAL
            stage.told = progress
            self._tell(f"{progress.stage}: {_told(progress, stage.pace.rate)}")

    def close(self) -> None:
        """The last line."""
        if self._latest:
            self._end(self._latest, self._clock())
            self._latest = None

    def _end(self, progress: Progress, now: float) -> None:
        """Where a stage stands that goes on no more; nothing where it was over before it was told of."""
        stage = self._stages[progress.stage]
        if stage.told not in (None, progress):
            stage.told = progress
            self._tell(f"{progress.stage}: {reached(progress)} in {duration(now - stage.begun)}")


@dataclass(slots=True)
class _Stage:
    """What is known of a stage: when it began, its pace, where it stood when it was last told of."""

    begun: float
    pace: Pace = field(default_factory=Pace)
    told: Progress | None = None


def _told(progress: Progress, rate: float | None) -> str:
    return ", ".join(part for part in (reached(progress), speed(progress, rate), left(progress, rate)) if part)


class Bars:
    """Progress in bars, on the terminal that stderr is; drawn now and then, and always at the end of a stage."""

    #: Seconds between two looks at how far the work is: a hundred thousand a second would be work of their own.
    _PAUSE = 0.05

    def __init__(self, terminal: Console) -> None:
        self._terminal = terminal
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._paces: dict[str, Pace] = {}
        self._over: set[str] = set()
        self._latest: Progress | None = None
        self._next = 0.0

    def show(self, progress: Progress) -> None:
        """Take notice; draw when it is time to."""
        latest, self._latest = self._latest, progress
        now = time.monotonic()
        if latest and latest.stage != progress.stage:
            self._draw(latest, now)
            if latest.done == latest.total:
                self._over.add(latest.stage)
        elif now < self._next:
            return
        self._next = now + self._PAUSE
        self._draw(progress, now)

    def _draw(self, progress: Progress, now: float) -> None:
        if self._bars is None:
            self._bars = _bars(self._terminal)
            self._bars.start()
        # One of the same name, later, is another one
        if progress.stage in self._over and progress.done != progress.total:
            self._over.remove(progress.stage)
            self._paces.pop(progress.stage)
            self._bars.reset(self._tasks[progress.stage])
        pace = self._paces.setdefault(progress.stage, Pace())
        pace.note(now, progress.done)
        told = _told(progress, pace.rate)
        if progress.stage not in self._tasks:
            name = printable(progress.stage)
            self._tasks[progress.stage] = self._bars.add_task(name, total=progress.total, told=told)
        task = self._tasks[progress.stage]
        self._bars.update(task, completed=progress.done, total=progress.total, told=told)

    def close(self) -> None:
        """Leave the terminal as it should be."""
        if self._bars is None:
            return
        try:
            if self._latest:
                self._draw(self._latest, time.monotonic())
        except OSError:  # nobody sees it any more
            pass
        finally:
            self._bars.stop()
            self._bars = None


def _bars(terminal: Console) -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    # What does not fit into a narrow terminal is cut off: a bar of two lines is drawn wrongly when it moves
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TextColumn("{task.fields[told]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=terminal,
    )
