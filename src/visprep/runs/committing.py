"""A checkpoint that is whole gets named: by one small file that is swapped in one step, and only then by copies.

The order holds through every kill: the checkpoint is there and whole; the index names it; the copies for people are
made; the checkpoints that are not kept any more go. What a kill leaves undone, the next commit does.
"""

from __future__ import annotations

from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint, RunIndex
from visprep.runs.layout import RunLayout
from visprep.stores import Store

#: Seconds after which what nobody named, or finished, is left over.
STALE = 3600.0


class Committer:
    """Names the checkpoints of one experiment. One process does that at a time; no two threads may share a committer.

    It keeps the last `keep_last` checkpoints (None: all), the best, and with `keep_every` every nth of all saves.
    `writer` tells this process from any other: it is in the index, and in what others are told. Nothing is read or
    written before the first call. UsageError for numbers below 1, and for a store that is neither a directory nor S3.
    """

    def __init__(
        self,
        store: Store,
        layout: RunLayout,
        experiment: str,
        *,
        keep_last: int | None = 3,
        keep_every: int | None = None,
        writer: str,
        stale: float = STALE,
        patience: Patience | None = None,
    ) -> None:
        raise NotImplementedError

    @property
    def index(self) -> RunIndex:
        """What is known of the checkpoints: read at the first use, then as this committer left it."""
        raise NotImplementedError

    def new_path(self, step: int, epoch: int | None = None) -> str:
        """The path for a checkpoint that is about to be saved, another at every call; it asks nobody."""
        raise NotImplementedError

    def commit(self, checkpoint: Checkpoint, *, late: bool = False) -> Checkpoint:
        """Name a checkpoint that lies at its path, whole; as it is named, with its number.

        It becomes the latest. With `late` it takes its place by `saved`: it was saved elsewhere, earlier. Done already,
        nothing is done but what a kill may have left undone.

        When this returns, the index names it. Copies and deletions that fail are told in the log and done at the next
        commit. ChangedMeanwhile when another process saved to this experiment since we first looked, and from then on
        at every commit: the checkpoint stays where it is, and is not named. FileMissing or WrongContent when what lies
        at the path is not there, or has another size or SHA-256; BadRecord when the index is damaged; StoreError,
        NetworkError and CredentialsError as the store raises them: then it may be tried again.
        """
        raise NotImplementedError

    def settle(self) -> None:
        """Put right what a kill left undone, without a new checkpoint: copies that lag, checkpoints not kept.

        Raises what keeps us from reading the index; all else that fails is told in the log. Unfinished and unnamed
        files of processes that are gone are removed after the first commit only, since then no other can name them.
        """
        raise NotImplementedError

    def discard(self, path: str) -> None:
        """Remove a checkpoint that will not be named, and what was begun of it; UsageError when the index names it."""
        raise NotImplementedError
