"""The saves of a run on their way: what stands between who trains and the threads that write, under one lock.

At most two snapshots are in memory, or small ones of 64 MiB in all. One more is taken when one of them is safe: with a
fallback directory, as soon as a disk has taken it; without one, the training waits until the place has.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from visprep.runs.checkpoints import Checkpoint
from visprep.runs.telling import Untold

#: Snapshots in memory, at most, and their bytes up to which there may be more.
_BUFFERS = 2
_SMALL = 64 * 1024 * 1024


@dataclass(eq=False, slots=True)
class Save:
    """One checkpoint to be written, with the state that it is of; `users` count who still needs the snapshot."""

    snapshot: Any
    checkpoint: Checkpoint
    begun: float = field(default_factory=time.monotonic)
    users: int = 1
    safe: bool = False
    over: bool = False
    #: The fallback could not take it either; it stays in memory until its buffers are needed.
    refused: bool = False


class Saves:
    """The saves that wait, are sent and are kept. All but `hurry` and the methods for who trains want the lock held."""

    def __init__(self, untold: Untold) -> None:
        self.untold = untold
        self.changed = threading.Condition()
        self.waiting: deque[Save] = deque()
        self.sending: Save | None = None
        self.keeping: Save | None = None
        #: Somebody waits for a snapshot.
        self.pressed = False
        #: When it was said that no more comes, None: not yet; and when all has to be over.
        self.closing: float | None = None
        self.deadline: float | None = None
        self._waiting_since: list[float] = []
        #: The sender has ended.
        self.ended = False
        self._free: list[Any] = []
        self._made = self._largest = 0

    # -- for who trains

    def buffers(self, make: Callable[[], Any]) -> Any:
        """A snapshot to take a state with: one that is free, or else one more, or one that becomes free soon.

        Raises the error after which nothing can be saved any more.
        """
        with self.changed:
            while not self._free and self._full and not self.untold.lasting:
                if self._give_up_one():
                    break
                self.pressed = True
                self.changed.notify_all()
                self.changed.wait()
            self.pressed = False
            if self.untold.lasting:
                raise self.untold.lasting
            if self._free:
                return self._free.pop()
            self._made += 1
        return make()

    def give_back(self, snapshot: Any) -> None:
        """A snapshot that was not used after all."""
        with self.changed:
            self._free.append(snapshot)
            self.changed.notify_all()

    def add(self, snapshot: Any, checkpoint: Checkpoint) -> Save:
        """Have it written, as soon as may be; the snapshot comes back by itself."""
        save = Save(snapshot, checkpoint)
        with self.changed:
            self._largest = max(self._largest, snapshot.size)
            self.waiting.append(save)
            self.changed.notify_all()
        return save

    def wait_for(self, save: Save) -> None:
        """Return when it is safe somewhere, or failed."""
        with self.changed:
            self.changed.wait_for(lambda: save.safe or save.over or save.refused)

    def wait_for_all(self) -> None:
        """Return when all are safe somewhere, or failed."""
        with self.changed:
            since = time.monotonic()
            self._waiting_since.append(since)
            self.changed.notify_all()
            try:
                self.changed.wait_for(lambda: self._all_safe or self.ended)
            finally:
                self._waiting_since.remove(since)

    def hurry(self, seconds: float) -> None:
        """All has to be over so soon; it takes no lock, so that a signal's handler may call it."""
        self.deadline = time.monotonic() + seconds

    # -- for the threads that write

    @property
    def settled(self) -> bool:
        """Whether none is under way."""
        return self.sending is None and self.keeping is None and all(save.refused for save in self.waiting)

    @property
    def wanted(self) -> float | None:
        """Since when somebody waits until all are safe; None: nobody does."""
        return min(self._waiting_since, default=None)

    @property
    def _all_safe(self) -> bool:
        under_way = (self.sending, self.keeping, *self.waiting)
        return all(save is None or save.safe or save.over or save.refused for save in under_way)

    def requeue(self, save: Save) -> None:
        """It could not be written: it waits again, in its place."""
        place = sum(other.begun < save.begun for other in self.waiting)
        self.waiting.insert(place, save)
        self.changed.notify_all()

    def release(self, save: Save) -> None:
        """One user less; after the last one its buffers are free."""
        save.users -= 1
        if not save.users:
            save.over = True
            self._free.append(save.snapshot)
        self.changed.notify_all()

    def drop_all(self) -> None:
        """None of those that wait will be written."""
        while self.waiting:
            self.release(self.waiting.popleft())

    @property
    def _full(self) -> bool:
        return self._made >= _BUFFERS and (self._made + 1) * self._largest > _SMALL

    def _give_up_one(self) -> bool:
        """Let go of one that the fallback refused, for the sake of a newer one; that it was refused is told."""
        for save in self.waiting:
            if save.refused:
                self.waiting.remove(save)
                self.release(save)
                return True
        return False
