"""A place that checkpoints are written to, by one thread at a time: the run's own, or the one to fall back on."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint, RunIndex, read_index
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout
from visprep.runs.named_copies import make_read_only
from visprep.stores import Store

if TYPE_CHECKING:
    from visprep.runs.snapshots import Snapshot


class Destination:
    """One experiment at one place."""

    def __init__(
        self,
        store: Store,
        layout: RunLayout,
        experiment: str,
        *,
        keep_last: int | None,
        keep_every: int | None,
        writer: str,
        patience: Patience | None,
    ) -> None:
        self.store, self.layout, self.experiment, self.patience = store, layout, experiment, patience
        self.keep_last, self.keep_every = keep_last, keep_every
        self.committer = Committer(
            store, layout, experiment, keep_last=keep_last, keep_every=keep_every, writer=writer, patience=patience
        )
        self._lock = threading.Lock()
        self._newest = ""

    def look(self, *, brief: float | None = None) -> RunIndex:
        """What is known of its checkpoints, read now; with `brief`, it has so many seconds to answer."""
        patience = self.patience
        if brief is not None:
            patience = patience or Patience()
            connect, stall = min(patience.connect, brief / 2), min(patience.stall, brief / 2)
            patience = replace(patience, connect=connect, stall=stall, attempts=1)
        return read_index(self.store, self.layout, self.experiment, patience=patience)[0]

    def keep(self, snapshot: Snapshot, checkpoint: Checkpoint) -> Checkpoint:
        """Write a checkpoint, and name it when it is whole. Raises what either raises; then it is not named."""
        from visprep.runs.pickled import write_checkpoint

        with self._lock:
            self.committer.claim()
            self.committer.announce(checkpoint.path)
        file = write_checkpoint(self.store, checkpoint.path, snapshot, patience=self.patience)
        make_read_only(self.store, checkpoint.path)
        assert file.size is not None
        assert file.digest is not None
        whole = replace(checkpoint, size=file.size, sha256=file.digest.removeprefix("sha256:"))
        with self._lock:
            # What was stuck may come after what was saved later
            named = self.committer.commit(whole, late=whole.saved < self._newest)
        self.has(named)
        return named

    def has(self, checkpoint: Checkpoint) -> None:
        """A checkpoint is named here: none that was saved before it becomes the latest any more."""
        self._newest = max(self._newest, checkpoint.saved)

    def settle(self) -> None:
        """Put right what naming earlier checkpoints left undone."""
        with self._lock:
            self.committer.settle()

    def clear(self, paths: Collection[str]) -> None:
        """Remove checkpoints that a process which is gone wrote, and did not name, with what else it left over."""
        with self._lock:
            self.committer.claim()
            for path in paths:
                self.committer.discard(path)

    def forget(self, paths: Collection[str]) -> None:
        """Remove checkpoints that are elsewhere now."""
        with self._lock:
            self.committer.remove(paths)
