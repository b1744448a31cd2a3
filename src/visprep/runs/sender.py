"""The thread that alone writes to the place of a run.

Checkpoints, logs and events, and, when it can be had again, what was kept meanwhile.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    CredentialsError,
    NetworkError,
    PlaceMissing,
    VisprepError,
)
from visprep.runs.checkpoints import Checkpoint
from visprep.runs.destination import Destination
from visprep.runs.reaching import Reach
from visprep.runs.saves import Save, Saves
from visprep.runs.sending_later import SendingLater, push
from visprep.runs.telling import in_words, log


class Shipper(Protocol):
    """Logs or events that grow on this machine, and are sent piece by piece."""

    def ship(self, *, whole: bool = False) -> int:
        """Send what is new; the bytes that were sent."""
        ...


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: between two sendings of logs, between two looks whether S3 is back, and until a save counts as stuck."""

    log_every: float = 30.0
    retry_every: float = 30.0
    stuck_after: float = 10.0


@dataclass(frozen=True, slots=True)
class Fallback:
    """The directory for what the place cannot take, and what is noted of it."""

    at: Destination
    later: SendingLater


class Sender(threading.Thread):
    """It works in rounds, in which it sends logs and events; saves come first, unless a round is due.

    `scratch` is a directory of logs and events that is removed at the end, when all of it was sent.
    """

    def __init__(
        self,
        saves: Saves,
        target: Destination,
        fallback: Fallback | None,
        shippers: Sequence[Shipper],
        reach: Reach,
        pace: Pace,
        scratch: Path | None,
    ) -> None:
        super().__init__(name="visprep-runs", daemon=True)
        self._saves, self._target, self._fallback = saves, target, fallback
        self._shippers, self._reach, self._pace, self._scratch = shippers, reach, pace, scratch
        self._untold = saves.untold
        #: Rounds that were asked for, and the last of them that was done.
        self.asked, self.served = 1, 0
        #: It was seen whether the place can be had.
        self.looked = False
        self._due = 0.0
        self._tried_last = self._said_all = False
        self._left_alone = False  # what lies in the fallback, as its index cannot be read
        self._told_of: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether saves must go elsewhere."""
        return self._reach.trouble is not None and self._fallback is not None

    @property
    def later(self) -> tuple[str, ...]:
        """The paths of what lies in the fallback directory, and is to be sent."""
        return self._fallback.later.paths if self._fallback and not self._left_alone else ()

    @property
    def has_more(self) -> bool:
        """Whether there is something left that can be sent now."""
        return bool(self.later or self._saves.waiting) and not self.away and not self._untold.lasting

    def run(self) -> None:
        """Until all is done, after it was said that no more comes."""
        while work := self._next():
            try:
                work()
            except BaseException as error:  # a fault of ours shows where the training is, and does not end this thread
                self._untold.fail(error)
                self._reach.failed(error)
                self._due = time.monotonic() + self._pace.retry_every
            with self._saves.changed:
                self._saves.changed.notify_all()
        if self._scratch and not self._reach.trouble:
            shutil.rmtree(self._scratch, ignore_errors=True)
        with self._saves.changed:
            self._saves.ended = True
            self._saves.changed.notify_all()

    def _next(self) -> Callable[[], None] | None:
        with self._saves.changed:
            while True:
                work, until = self._choose()
                if work or until is None:
                    return work
                self._saves.changed.wait(max(until - time.monotonic(), 0))

    def _choose(self) -> tuple[Callable[[], None] | None, float | None]:
        """What to do now, or until when to wait for something to do; neither: it is over."""
        saves, now = self._saves, time.monotonic()
        closing = saves.closing is not None
        if not closing and now >= self._due:
            return partial(self._round, self.asked), None
        if self._untold.lasting:
            saves.drop_all()
        elif not self.away:
            if self._to_send():
                return self._send_later, None
            if saves.waiting and not self.later:
                saves.sending = saves.waiting.popleft()
                return partial(self._send, saves.sending), None
        if not closing:
            return (partial(self._round, self.asked), None) if self.served < self.asked else (None, self._due)
        if self.away and not self._tried_last:
            self._tried_last = True
            return partial(self._round, self.asked), None
        if not saves.settled:
            return None, now + 1
        if not self.away and not self._said_all:
            self._said_all = True
            return partial(self._round, self.asked, whole=True), None
        return None, None

    def _to_send(self) -> set[str]:
        """The paths of what lies in the fallback and is not just being written."""
        keeping = self._saves.keeping
        return set(self.later) - ({keeping.checkpoint.path} if keeping else set())

    def _send(self, save: Save) -> None:
        try:
            self._target.keep(save.snapshot, save.checkpoint)
        except ChangedMeanwhile as error:
            self._untold.fail_for_good(error)
        except VisprepError as error:
            if self._fallback:
                self._lost(error)
            else:
                self._untold.fail(error, f"{save.checkpoint.path} was not saved")
        except BaseException as error:
            self._untold.fail(error, f"{save.checkpoint.path} was not saved")
        else:
            save.safe = True
            self._reach.had(saved=True)
        with self._saves.changed:
            self._saves.sending = None
            # What is no fault of the place would go nowhere else either
            if self.away and not save.safe and save.users == 1 and not self._untold.lasting:
                self._saves.requeue(save)
            else:
                self._saves.release(save)

    def _send_later(self) -> None:
        assert self._fallback
        target, fallback = self._target, self._fallback.at
        with self._saves.changed:
            paths = self._to_send()
        try:
            named = {one.path for one in fallback.look().checkpoints}
            if unnamed := paths - named:  # newer ones have pushed them out, or they were not finished
                self._fallback.later.discard(unnamed)
                self._clear(unnamed)
        except VisprepError as error:
            self._left_alone = True
            self._untold.warn(f"what lies in {fallback.store.place} cannot be sent: {in_words(error)}")
            return
        try:
            push(
                fallback.store,
                target.store,
                target.layout,
                target.experiment,
                committer=target.committer,
                only=paths & named,
                keep_last=target.keep_last,
                keep_every=target.keep_every,
                patience=target.patience,
                done=self._sent,
                damaged=self._damaged,
            )
            target.settle()
        except ChangedMeanwhile as error:
            self._untold.fail_for_good(error)
        except VisprepError as error:
            self._lost(error)
        else:
            self._reach.had(saved=True)

    def _clear(self, unnamed: set[str]) -> None:
        assert self._fallback
        try:
            self._fallback.at.clear(unnamed)
        except VisprepError as error:
            log.warning("%s: what was not finished stays: %s", self._fallback.at.store.place, in_words(error))

    def _sent(self, checkpoint: Checkpoint) -> None:
        """What was sent is not needed in the fallback any more; if it stays there, that costs disk and nothing else."""
        assert self._fallback
        self._target.has(checkpoint)
        try:
            self._fallback.later.discard([checkpoint.path])
            self._fallback.at.forget([checkpoint.path])
        except VisprepError as error:
            log.warning("%s was sent, and stays: %s", checkpoint.path, in_words(error))

    def _damaged(self, checkpoint: Checkpoint, error: VisprepError) -> None:
        """What is not whole in the fallback stays there, and is nothing to be sent."""
        assert self._fallback
        self._untold.warn(f"{self._fallback.at.store.place}/{checkpoint.path} cannot be sent: {in_words(error)}")
        try:
            self._fallback.later.discard([checkpoint.path])
        except VisprepError as another:
            log.warning("%s stays noted: %s", checkpoint.path, in_words(another))

    def _round(self, asked: int, *, whole: bool = False) -> None:
        """Look whether the place can be had, when that is in doubt, and send logs and events."""
        try:
            if self._reach.trouble or not self.served:
                self._target.look()
                self._answered()
            for shipper in self._shippers:
                self._ship(shipper, whole)
            self._reach.had()
        except VisprepError as error:
            self._lost(error)
        finally:
            with self._saves.changed:
                self.looked, self.served = True, asked
                every = self._pace.retry_every if self._reach.trouble else self._pace.log_every
                self._due = time.monotonic() + every
                self._saves.changed.notify_all()

    def _answered(self) -> None:
        with self._saves.changed:  # whoever waits for it says meanwhile that it takes too long, or sees that it is over
            self._reach.had()
            self.looked = True
            self._saves.changed.notify_all()

    def _ship(self, shipper: Shipper, whole: bool) -> None:
        try:
            shipper.ship(whole=whole)
        except (AccessDenied, CredentialsError, NetworkError, PlaceMissing):
            raise
        except VisprepError as error:  # of these files alone
            if (words := in_words(error)) not in self._told_of:
                self._told_of.add(words)
                self._untold.warn(f"not all logs and events are sent to {self._target.store.place}: {words}")

    def _lost(self, error: VisprepError) -> None:
        self._due = time.monotonic() + self._pace.retry_every
        self._reach.lost(error)
