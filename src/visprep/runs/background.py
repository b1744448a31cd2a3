"""What a run does while the training goes on: two threads, so that one may be stuck.

The sender alone talks to the run's place: it writes checkpoints, sends logs and events, and, when S3 is back, what was
kept meanwhile. The keeper writes to the fallback directory what the sender cannot take: S3 is away, or the one before is
stuck. Between them stands this state, under one lock, and who trains never waits for S3 with it.

At most two snapshots are in memory. A third is taken when one of them is safe, and a disk is fast; without a fallback
the training waits then until the place has taken one.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

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
from visprep.runs.sending_later import SendingLater, push
from visprep.runs.telling import Untold, in_words, log

#: Snapshots in memory, at most.
_BUFFERS = 2


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


@dataclass(eq=False, slots=True)
class _Save:
    snapshot: Any
    checkpoint: Checkpoint
    begun: float = field(default_factory=time.monotonic)
    users: int = 0
    safe: bool = False
    over: bool = False
    #: The fallback could not take it either; it stays in memory until its buffers are needed.
    refused: bool = False


class Background:
    """The work of one run that nobody waits for. `target` is the run's place, `fallback` a directory for S3's absence.

    `scratch` is a directory of logs and events that is removed at the end, when all of it was sent.
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
        self._target, self._fallback, self._shippers = target, fallback, shippers
        self._untold, self._pace, self._scratch = untold, pace, scratch
        self._later = (
            SendingLater(fallback.store, fallback.layout, fallback.experiment, target.store.place) if fallback else None
        )
        self._changed = threading.Condition()
        self._free: list[Any] = []
        self._made = 0
        self._waiting: deque[_Save] = deque()
        self._sending: _Save | None = None
        self._keeping: _Save | None = None
        self._pressed = False
        # Rounds of sending logs, and whatever lies in the fallback: asked for, and done
        self._asked, self._served = 1, 0
        self._due = 0.0
        self._trouble: VisprepError | None = None  # why the place could not be had, the last time that it was tried
        self._closing: float | None = None
        self._last_try = self._ended = self._gone = False
        self._told_of: set[str] = set()
        self._left_alone = False  # what lies in the fallback, as its index cannot be read
        self._warned = ""
        self._deadline: float | None = None
        works = [self._send_on] + ([self._keep_on] if fallback else [])
        self._threads = [threading.Thread(target=work, name="visprep-runs", daemon=True) for work in works]
        for thread in self._threads:
            thread.start()

    # -- for who trains

    def buffers(self, make: Callable[[], Any]) -> Any:
        """A snapshot to take a state with: one that is free, or else one more, or one that becomes free soon."""
        with self._changed:
            while not self._free and self._made >= _BUFFERS and not self._untold.lasting:
                if self._give_up_one():
                    break
                self._pressed = True
                self._changed.notify_all()
                self._changed.wait()
            self._pressed = False
            if self._free:
                return self._free.pop()
            if self._untold.lasting:
                raise self._untold.lasting
            self._made += 1
        return make()

    def give_back(self, snapshot: Any) -> None:
        """A snapshot that was not used after all."""
        with self._changed:
            self._free.append(snapshot)
            self._changed.notify_all()

    def save(self, snapshot: Any, checkpoint: Checkpoint) -> _Save:
        """Have it written, as soon as may be; the snapshot comes back by itself."""
        save = _Save(snapshot, checkpoint, users=1)
        with self._changed:
            self._waiting.append(save)
            self._changed.notify_all()
        return save

    def wait_for(self, save: _Save) -> None:
        """Return when it is safe somewhere, or failed."""
        with self._changed:
            self._changed.wait_for(lambda: save.safe or save.over or save.refused)

    def wait_for_saves(self) -> None:
        """Return when no save is under way any more."""
        with self._changed:
            self._changed.wait_for(self._settled)

    def ship(self) -> None:
        """Send logs and events soon."""
        with self._changed:
            self._asked += 1
            self._changed.notify_all()

    def flush(self) -> None:
        """Return when all that was given so far is safe, and what can be sent is sent."""
        with self._changed:
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._ended or (self._served >= asked and self._settled() and not self._left_to_send())
            )

    def look_first(self) -> None:
        """Return when the place was looked at, or that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: self._served > 0, self._pace.stuck_after)

    @property
    def later(self) -> tuple[str, ...]:
        """The paths of what lies in the fallback directory, and is to be sent."""
        return self._later.paths if self._later and not self._left_alone else ()

    def hurry(self, seconds: float) -> None:
        """Let `close` end so soon, at the latest; without a lock, so that a signal's handler may call it."""
        self._deadline = time.monotonic() + seconds

    def leave(self) -> None:
        """End when all is done, without anybody waiting."""
        with self._changed:
            if self._closing is None:
                self._closing = time.monotonic()
            self._changed.notify_all()

    def close(self) -> None:
        """End, when all is done, or at the time that `hurry` said."""
        self.leave()
        while any(thread.is_alive() for thread in self._threads):
            if self._deadline is not None and time.monotonic() > self._deadline:
                break
            with self._changed:
                self._changed.notify_all()
            for thread in self._threads:
                thread.join(0.05)
        with self._changed:
            unsafe = [save for save in (*self._waiting, self._sending) if save and not save.safe]
            left = self._trouble is not None or bool(self.later) or not self._ended
        for save in unsafe:
            self._untold.warn(f"{save.checkpoint.path} could not be saved in time")
        if left and self._fallback:
            self._untold.warn(
                f"not all was sent to {self._target.store.place}: it lies in {self._fallback.store.place}; "
                f"`visprep runs push {self._fallback.store.place} {self._target.store.place}` sends it"
            )
        elif left and self._scratch:
            self._untold.warn(f"not all logs and events were sent to {self._target.store.place}: see {self._scratch}")

    def tell(self) -> None:
        """See `Untold.tell`."""
        self._untold.tell()

    # -- with the lock held

    def _settled(self) -> bool:
        waiting = any(not save.refused for save in self._waiting)
        return not waiting and self._sending is None and self._keeping is None

    @property
    def _away(self) -> bool:
        return self._trouble is not None and self._fallback is not None

    def _left_to_send(self) -> bool:
        return bool(self.later) and not self._away and not self._untold.lasting

    def _give_up_one(self) -> bool:
        """Let go of a save that the fallback refused, for the sake of a newer one; that was told."""
        for save in self._waiting:
            if save.refused:
                self._waiting.remove(save)
                self._release(save)
                return True
        return False

    def _release(self, save: _Save) -> None:
        save.users -= 1
        if not save.users:
            save.over = True
            self._free.append(save.snapshot)
        self._changed.notify_all()

    # -- the sender

    def _send_on(self) -> None:
        while work := self._next_to_send():
            try:
                work()
            except BaseException as error:  # a fault of ours shows in the caller's thread, and does not end this one
                self._untold.fail(error)
                self._lose(VisprepError(str(error)), quiet=True)
        if self._scratch and not self._trouble:
            shutil.rmtree(self._scratch, ignore_errors=True)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _next_to_send(self) -> Callable[[], None] | None:
        with self._changed:
            while True:
                work, until = self._choose()
                if work:
                    return work
                if until is None:
                    return None
                self._changed.wait(max(until - time.monotonic(), 0) if until else None)

    def _choose(self) -> tuple[Callable[[], None] | None, float | None]:
        """What to do now, or until when to wait for something to do; neither: it is over."""
        now = time.monotonic()
        if self._untold.lasting:
            self._drop_all()
        elif self._closing is None and now >= self._due:
            return partial(self._round, self._asked), None
        elif not self._away:
            later = self.later
            if later and (self._keeping is None or any(path != self._keeping.checkpoint.path for path in later)):
                return self._send_what_was_kept, None
            if self._waiting and not later:
                self._sending = self._waiting.popleft()
                return partial(self._send, self._sending), None
        if self._closing is None:
            if self._served < self._asked:
                return partial(self._round, self._asked), None
            return None, self._due
        if self._away and not self._last_try:
            self._last_try = True
            return partial(self._round, self._asked), None
        if not self._settled():
            return None, now + 1
        if not self._away and not self._gone:
            self._gone = True
            return partial(self._round, self._asked, whole=True), None
        return None, None

    def _send(self, save: _Save) -> None:
        try:
            self._target.keep(save.snapshot, save.checkpoint)
        except ChangedMeanwhile as error:
            self._untold.fail_for_good(error)
        except VisprepError as error:
            if self._fallback:
                self._lose(error)
            else:
                self._untold.fail(error)
        except BaseException as error:
            self._untold.fail(error)
        else:
            save.safe = True
            self._have(sent=True)
        with self._changed:
            self._sending = None
            # What is not the network's fault would not go to a directory either
            if not save.safe and self._away and not self._untold.lasting and save.users == 1:
                self._waiting.appendleft(save)
                self._changed.notify_all()
            else:
                self._release(save)

    def _send_what_was_kept(self) -> None:
        assert self._fallback
        assert self._later
        target, fallback = self._target, self._fallback
        with self._changed:
            paths = set(self._later.paths)
            if self._keeping:
                paths.discard(self._keeping.checkpoint.path)
        try:
            named = {one.path for one in fallback.look().checkpoints}
            self._later.discard(paths - named)  # newer ones have pushed them out, or they were never finished
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
                done=self._sent_on,
            )
        except ChangedMeanwhile as error:
            self._untold.fail_for_good(error)
        except VisprepError as error:
            self._lose(error)
        else:
            self._have(sent=True)

    def _sent_on(self, checkpoint: Checkpoint) -> None:
        """What was sent is not needed in the fallback any more; if it stays there, that costs disk and nothing else."""
        assert self._fallback
        assert self._later
        try:
            self._later.discard([checkpoint.path])
            self._fallback.forget([checkpoint.path])
        except VisprepError as error:
            log.warning("%s was sent, and stays: %s", checkpoint.path, in_words(error))

    def _round(self, asked: int, *, whole: bool = False) -> None:
        """Look whether the place can be had, when that is in doubt, and send logs and events."""
        try:
            if self._trouble or not self._served:
                self._target.look()
                self._have()
            for shipper in self._shippers:
                self._ship(shipper, whole)
            self._have()
        except VisprepError as error:
            self._lose(error)
        finally:
            with self._changed:
                self._served = asked
                pace = self._pace.retry_every if self._trouble else self._pace.log_every
                self._due = time.monotonic() + pace
                self._changed.notify_all()

    def _ship(self, shipper: Shipper, whole: bool) -> None:
        try:
            shipper.ship(whole=whole)
        except (AccessDenied, CredentialsError, NetworkError, PlaceMissing):
            raise
        except VisprepError as error:  # of these files alone
            if (words := in_words(error)) not in self._told_of:
                self._told_of.add(words)
                self._untold.warn(f"not all logs and events are sent to {self._target.store.place}: {words}")

    def _lose(self, error: VisprepError, *, quiet: bool = False) -> None:
        """The place cannot be had. That is warned of once, until something was sent or the reason is another."""
        with self._changed:
            self._trouble = error
            self._due = time.monotonic() + self._pace.retry_every
            self._changed.notify_all()
        words = in_words(error)
        if quiet or words == self._warned:
            log.info("%s still cannot be had: %s", self._target.store.place, words)
            return
        self._warned = words
        what = (
            f"checkpoints, logs and events stay in {self._fallback.store.place}, and are sent when it can be had"
            if self._fallback
            else "logs and events are sent when it can be had"
        )
        self._untold.warn(f"{self._target.store.place} cannot be had: {words}; {what}")

    def _have(self, *, sent: bool = False) -> None:
        """The place could be had."""
        with self._changed:
            before, self._trouble = self._trouble, None
            self._changed.notify_all()
        if sent:
            self._warned = ""
        if before:
            log.info("%s can be had again", self._target.store.place)

    def _drop_all(self) -> None:
        while self._waiting:
            self._release(self._waiting.popleft())

    # -- the keeper

    def _keep_on(self) -> None:
        while save := self._next_to_keep():
            try:
                self._keep(save)
            except BaseException as error:
                self._untold.fail(error)
                self._kept(save, refused=True)

    def _next_to_keep(self) -> _Save | None:
        with self._changed:
            while True:
                if self._ended:
                    return None
                save, until = self._choose_to_keep()
                if save:
                    self._keeping = save
                    return save
                self._changed.wait(max(until - time.monotonic(), 0) if until else None)

    def _choose_to_keep(self) -> tuple[_Save | None, float | None]:
        now, stuck_after = time.monotonic(), self._pace.stuck_after
        hurried = self._deadline is not None
        save = next((save for save in self._waiting if not save.refused), None)
        if save:
            due = save.begun + stuck_after
            if self._away or self._pressed or hurried or self.later or now >= due:
                self._waiting.remove(save)
                return save, None
            return None, due
        # One that is on its way, and perhaps does not arrive before the process ends
        sending = self._sending
        if sending and self._closing is not None and not sending.safe and not sending.refused and sending.users == 1:
            due = self._closing + stuck_after
            if hurried or now >= due:
                sending.users += 1
                return sending, None
            return None, due
        return None, None

    def _keep(self, save: _Save) -> None:
        assert self._fallback
        assert self._later
        try:
            self._later.add(save.checkpoint.path)
            self._fallback.keep(save.snapshot, save.checkpoint)
        except BaseException as error:
            with contextlib.suppress(VisprepError):
                self._later.discard([save.checkpoint.path])
            if not save.safe:  # it may have arrived meanwhile
                self._untold.fail(error)
            self._kept(save, refused=True)
        else:
            self._kept(save, refused=False)

    def _kept(self, save: _Save, *, refused: bool) -> None:
        with self._changed:
            self._keeping = None
            save.refused = refused
            if not refused:
                save.safe = True
            if refused and save.users == 1 and not save.safe:
                self._waiting.appendleft(save)
                self._changed.notify_all()
            else:
                self._release(save)
