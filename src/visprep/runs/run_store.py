"""A training's checkpoints, logs and TensorBoard events, kept in S3 or a directory while the training goes on.

DistributedDataParallel: only rank 0 makes a RunStore and saves; the others load with `load_checkpoint`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from visprep.settings import S3Settings

if TYPE_CHECKING:
    from visprep.runs.checkpoints import Checkpoint


class RunWarning(UserWarning):
    """S3 cannot be had, and what was meant for it lies in the fallback directory; or the other way about."""


class RunStore:
    """Where one experiment is kept: `s3://bucket/prefix` or a directory.

    Nothing here waits for S3 but `latest`, `best`, `load`, `flush`, `close`, and `save_checkpoint(wait=True)`.
    """

    experiment: str
    place: str

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        experiment: str | None = None,
        fallback: str | os.PathLike[str] | None = "runs",
        s3: S3Settings | None = None,
        keep_last: int = 3,
        keep_every: int | None = None,
        s3_checkpoint_prefix: str = "checkpoints",
        s3_tensorboard_prefix: str = "tensorboard",
        s3_logs_prefix: str = "logs",
        log_every: float = 30.0,
        dataset: Any = None,
        patience: float = 10.0,
        retry_every: float = 30.0,
        sigterm: bool = True,
    ) -> None:
        raise NotImplementedError

    def save_checkpoint(
        self,
        state: Any,
        step: int,
        *,
        epoch: int | None = None,
        metrics: Mapping[str, float] | None = None,
        is_best: bool = False,
        wait: bool = False,
    ) -> None:
        """Keep `state`, anything that `torch.save` takes and `torch.load(weights_only=True)` gives back.

        It is copied at once, and written while the training goes on; with `wait` this returns when it is safe.
        Raises what went wrong with an earlier save and was not told yet.
        """
        raise NotImplementedError

    def latest(self) -> Checkpoint | None:
        """The checkpoint that was saved last and is whole, here or by an earlier process; None: there is none."""
        raise NotImplementedError

    def best(self) -> Checkpoint | None:
        """The checkpoint that was last saved with `is_best`; None: there is none."""
        raise NotImplementedError

    def load(
        self,
        which: str | os.PathLike[str] | Checkpoint = "latest",
        *,
        map_location: Any = None,
        weights_only: bool = True,
    ) -> Any:
        """The state of a checkpoint, checked: "latest", "best", one of `Checkpoint`, a path or an `s3://` URL."""
        raise NotImplementedError

    def log_handler(self, level: int = logging.INFO) -> logging.Handler:
        """A handler for `logging` whose lines go to the run; the same one each time, so that adding it twice is fine.

        ::

            logging.getLogger().addHandler(run.log_handler())
        """
        raise NotImplementedError

    @property
    def tensorboard_dir(self) -> Path:
        """The directory on this machine that a `SummaryWriter` writes to; its events go to the run."""
        raise NotImplementedError

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a line to the run's `metrics.jsonl`."""
        raise NotImplementedError

    def end_epoch(self, epoch: int | None = None) -> None:
        """Send what is new of events and logs, in the background. Flush the `SummaryWriter` before."""
        raise NotImplementedError

    def flush(self) -> None:
        """Wait until all that was saved and logged is safe; raises what went wrong and was not told yet."""
        raise NotImplementedError

    def close(self) -> None:
        """`flush`, and end; fine when it is closed already. Saving is UsageError from then on, loading is not."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
