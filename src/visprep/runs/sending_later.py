"""Checkpoints that lie at one place and are meant for another: what is noted of them, and sending them on.

While S3 cannot be had, checkpoints go to the fallback directory. It is a place of runs like any other, with one file
more, which says what is only lent to it: the rest of what lies there is nobody's to remove.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from visprep.errors import StoreError
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint, RunIndex, kept, read_index
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout
from visprep.stores import Store
from visprep.wire import wait

#: The file beside the index of an experiment.
NOTE = "sending_later.json"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent on, in the order in which it was saved; `size` in bytes."""

    sent: tuple[Checkpoint, ...]
    size: int


def push(
    origin: Store,
    target: Store,
    layout: RunLayout,
    experiment: str,
    *,
    committer: Committer,
    only: Collection[str] | None = None,
    keep_last: int | None = None,
    keep_every: int | None = None,
    patience: Patience | None = None,
    done: Callable[[Checkpoint], None] | None = None,
    damaged: Callable[[Checkpoint, StoreError], None] | None = None,
) -> Pushed:
    """Send the checkpoints that the origin names and the target does not, the oldest first; what was sent.

    Each is checked, then named by `committer`, which is the target's. It takes its place by when it was saved, so
    that a newer one at the target stays the latest. What would go again at once, with `keep_last` and `keep_every`, is
    not sent. `only` are the paths to look at, None: all. `done` is called for each that need not be sent any more, when
    it is named or would not be kept; `damaged` for each that the origin does not have as it is named there, where it
    is given, and then the next one is sent. Broken off and called again, it goes on where it ended.
    Raises what reading, writing and naming raise, ChangedMeanwhile among it.
    """
    here = read_index(origin, layout, experiment, patience=patience)[0]
    there = read_index(target, layout, experiment, patience=patience)[0]
    stays = _stays(here, there, keep_last, keep_every)
    sent: list[Checkpoint] = []
    for checkpoint in here.checkpoints:
        if only is not None and checkpoint.path not in only:
            continue
        if checkpoint.path in stays and there.find(checkpoint.path) is None:
            file = File(checkpoint.path, checkpoint.size, checkpoint.digest)
            committer.announce(checkpoint.path)
            try:
                wait(target.receive(file, origin), patience)
            except StoreError as error:
                if not read_index(origin, layout, experiment, patience=patience)[0].find(checkpoint.path):
                    continue  # a newer one has pushed it out meanwhile
                if damaged is None or _is_whole(origin, checkpoint, patience):
                    raise
                damaged(checkpoint, error)
                continue
            committer.commit(checkpoint, late=True)
            sent.append(checkpoint)
        if done:
            done(checkpoint)
    return Pushed(tuple(sent), sum(one.size for one in sent))


def _is_whole(origin: Store, checkpoint: Checkpoint, patience: Patience | None) -> bool:
    try:
        return wait(origin.hash(checkpoint.path, "sha256"), patience) in (checkpoint.digest, None)
    except StoreError:
        return False


def _stays(here: RunIndex, there: RunIndex, keep_last: int | None, keep_every: int | None) -> frozenset[str]:
    """The paths that a target would still name, had it all checkpoints of both."""
    every = {one.path: one for one in (*here.checkpoints, *there.checkpoints)}
    together = sorted(every.values(), key=lambda one: one.saved)
    if keep_every:  # which ones these are is decided when they are named
        return frozenset(every)
    return frozenset(one.path for one in kept(together, keep_last, None))


class SendingLater:
    """The checkpoints of an experiment that a directory holds for another place, as noted in a file beside them.

    It may be used by several threads. Whatever was noted for another place than `meant_for` stays as it is.
    """

    def __init__(self, store: Store, layout: RunLayout, experiment: str, meant_for: str) -> None:
        self._store, self._path, self._meant_for = store, f"{layout.checkpoints(experiment)}/{NOTE}", meant_for
        self._lock = threading.Lock()
        self._others: dict[str, list[str]] = {}
        self._paths: list[str] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """What is noted. A note that cannot be read counts as none: the checkpoints stay where they are."""
        with self._lock:
            return tuple(self._read())

    def add(self, path: str) -> None:
        """Note one, before it is written. StoreError when that cannot be written down."""
        with self._lock:
            paths = self._read()
            if path not in paths:
                self._write([*paths, path])

    def discard(self, paths: Collection[str]) -> None:
        """Forget some that need not be sent any more. StoreError when that cannot be written down."""
        with self._lock:
            before = self._read()
            left = [path for path in before if path not in paths]
            if left != before:
                self._write(left)

    def _read(self) -> list[str]:
        if self._paths is None:
            try:
                told = json.loads(wait(self._store.read(self._path)))["places"]
                noted = {str(place): [str(path) for path in paths] for place, paths in told.items()}
            except (StoreError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                noted = {}
            self._paths = noted.pop(self._meant_for, [])
            self._others = noted
        return self._paths

    def _write(self, paths: list[str]) -> None:
        self._paths = paths
        noted = {**self._others, **({self._meant_for: paths} if paths else {})}
        if noted:
            told = {"kind": "visprep-sending-later", "format_version": FORMAT_VERSION, "places": noted}
            wait(self._store.write(self._path, json.dumps(told, indent=2).encode() + b"\n"))
        else:
            wait(self._store.delete(self._path))
