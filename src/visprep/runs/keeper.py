"""The thread that writes to the fallback directory what the place cannot take: it is away, or the save before is stuck.

A save that is on its way when the run is closed, and does not arrive, is written there too: whoever closes may be about
to be killed. So is one that somebody waits for who wants to know the latest.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from visprep.errors import VisprepError
from visprep.runs.destination import Destination
from visprep.runs.saves import Save, Saves
from visprep.runs.sending_later import SendingLater


class Keeper(threading.Thread):
    """`away` tells, with the lock of `saves` held, whether the place cannot be had."""

    def __init__(
        self, saves: Saves, fallback: Destination, later: SendingLater, away: Callable[[], bool], stuck_after: float
    ) -> None:
        super().__init__(name="visprep-runs-keeper", daemon=True)
        self._saves, self._fallback, self._later = saves, fallback, later
        self._away, self._stuck_after = away, stuck_after

    def run(self) -> None:
        """Until the sender has ended."""
        while save := self._next():
            try:
                self._later.add(save.checkpoint.path)
                self._fallback.keep(save.snapshot, save.checkpoint)
            except BaseException as error:
                with contextlib.suppress(VisprepError):
                    self._later.discard([save.checkpoint.path])
                self._over(save, error)
            else:
                self._over(save, None)

    def _next(self) -> Save | None:
        with self._saves.changed:
            while not self._saves.ended:
                save, until = self._choose()
                if save:
                    self._saves.keeping = save
                    return save
                self._saves.changed.wait(None if until is None else max(until - time.monotonic(), 0))
        return None

    def _choose(self) -> tuple[Save | None, float | None]:
        """What to write now, or when that is to be asked again at the latest."""
        saves, now = self._saves, time.monotonic()
        waiting = next((save for save in saves.waiting if not save.refused), None)
        if waiting:
            due = waiting.begun + self._stuck_after
            at_once = self._away() or saves.pressed or saves.deadline is not None or self._later.paths
            if at_once or now >= due:
                saves.waiting.remove(waiting)
                return waiting, None
            return None, due
        sending = saves.sending
        asked = saves.wanted if saves.closing is None else saves.closing
        if sending and asked is not None and sending.users == 1 and not (sending.safe or sending.refused):
            due = asked + self._stuck_after
            if saves.deadline is not None or now >= due:
                sending.users += 1
                return sending, None
            return None, due
        return None, None

    def _over(self, save: Save, error: BaseException | None) -> None:
        if error and not save.safe:  # else it has arrived meanwhile
            self._saves.untold.fail(error, f"{save.checkpoint.path} was not saved")
        with self._saves.changed:
            self._saves.keeping = None
            save.safe = save.safe or error is None
            save.refused = not save.safe
            if save.refused and save.users == 1:
                self._saves.requeue(save)
            else:
                self._saves.release(save)
