"""What a run does while the training goes on, in two threads, so that one may be stuck: the sender and the keeper."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from visprep.errors import Stalled, VisprepError
from visprep.runs.destination import Destination
from visprep.runs.keeper import Keeper
from visprep.runs.reaching import Reach
from visprep.runs.saves import Saves
from visprep.runs.sender import Fallback, Pace, Sender, Shipper
from visprep.runs.sending_later import SendingLater
from visprep.runs.telling import Untold


class Background:
    """The work of one run that nobody waits for.

    `target` is the run's place, `fallback` a directory for when it cannot be had. `scratch` is a directory of logs and
    events that is removed at the end, when all of it was sent.
    """

    def __init__(
        self,
        target: Destination,
        fallback: Destination | None,
        shippers: Sequence[Shipper],
        untold: Untold,
        pace: Pace,
        *,
        scratch: Path | None = None,
    ) -> None:
        self.saves = Saves(untold)
        self._place, self._aside = target.store.place, fallback.store.place if fallback else None
        self._experiment, self._pace, self._scratch = target.experiment, pace, scratch
        self._reach = Reach(
            self._place,
            f"checkpoints, logs and events stay in {self._aside}, and are sent when it can be had"
            if fallback
            else "logs and events are sent when it can be had",
            untold,
        )
        aside = None
        if fallback:
            later = SendingLater(fallback.store, fallback.layout, fallback.experiment, self._place)
            aside = Fallback(fallback, later)
        self._sender = Sender(self.saves, target, aside, shippers, self._reach, pace, scratch)
        self._threads: list[Sender | Keeper] = [self._sender]
        if aside:
            self._threads.append(Keeper(self.saves, aside.at, aside.later, self._away, pace.stuck_after))
        for thread in self._threads:
            thread.start()

    def _away(self) -> bool:
        return self._sender.away

    def ship(self) -> None:
        """Send logs and events soon."""
        with self.saves.changed:
            self._sender.asked += 1
            self.saves.changed.notify_all()

    def flush(self) -> None:
        """Return when all that was given so far is safe, and what can be sent is sent."""
        saves, sender = self.saves, self._sender
        with saves.changed:
            sender.asked += 1
            asked = sender.asked
            saves.changed.notify_all()
            saves.changed.wait_for(
                lambda: saves.ended or (sender.served >= asked and saves.settled and not sender.has_more)
            )

    def look_first(self) -> None:
        """Return when the place was looked at; when that takes too long, it counts as one that cannot be had."""
        seconds = self._pace.stuck_after
        with self.saves.changed:
            if not self.saves.changed.wait_for(lambda: self._sender.looked, seconds):
                self._reach.lost(Stalled(f"it has not answered within {seconds:g} s"))
                self.saves.changed.notify_all()

    def wait_for_all(self) -> None:
        """Return when all saves so far are safe, or failed; the keeper sees to those that are stuck."""
        self.saves.wait_for_all()

    @property
    def trouble(self) -> VisprepError | None:
        """Why the place cannot be had, as of when it was tried last; None: it can."""
        return self._reach.trouble

    @property
    def later(self) -> tuple[str, ...]:
        """The paths of what lies in the fallback directory, and is to be sent."""
        return self._sender.later

    def hurry(self, seconds: float) -> None:
        """Let `close` end so soon, at the latest; a signal's handler may call it."""
        self.saves.hurry(seconds)

    def tell(self) -> None:
        """See `Untold.tell`."""
        self.saves.untold.tell()

    def leave(self) -> None:
        """End when all is done, without anybody waiting."""
        with self.saves.changed:
            if self.saves.closing is None:
                self.saves.closing = time.monotonic()
            self.saves.changed.notify_all()

    def close(self) -> None:
        """End, when all is done, or at the time that `hurry` said; warns of what was not done."""
        self.leave()
        while any(thread.is_alive() for thread in self._threads):
            if self.saves.deadline is not None and time.monotonic() > self.saves.deadline:
                break
            with self.saves.changed:
                self.saves.changed.notify_all()
            for thread in self._threads:
                thread.join(0.05)
        saves, untold = self.saves, self.saves.untold
        with saves.changed:
            unsafe = [save for save in (*saves.waiting, saves.sending) if save and not save.safe]
            left = self._reach.trouble is not None or bool(self.later) or not saves.ended
        for save in unsafe:
            untold.warn(f"{save.checkpoint.path} could not be saved in time")
        if left and self._aside:
            # The directory may have runs that are to stay there
            words = ["visprep", "runs", "push", self._aside, self._place, "--experiment", self._experiment]
            untold.warn(f"not all was sent to {self._place}: it lies in {self._aside}; `{shlex.join(words)}` sends it")
        elif left and self._scratch:
            untold.warn(f"not all logs and events were sent to {self._place}: see {self._scratch}")
