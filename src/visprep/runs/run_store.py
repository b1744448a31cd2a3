"""A training's checkpoints, logs and TensorBoard events, kept in S3 or a directory while the training goes on.

::

    with RunStore("s3://bucket/runs", experiment="vqvae") as run:
        logging.getLogger().addHandler(run.log_handler())
        for epoch in range(epochs):
            ...
            run.save_checkpoint({"model": model.state_dict()}, step, epoch=epoch, is_best=better)
            run.end_epoch()

DistributedDataParallel: only rank 0 makes a RunStore and saves; the others load with `load_checkpoint`.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from visprep.errors import StoreError, UsageError
from visprep.messages import Patience
from visprep.runs import ending
from visprep.runs.arguments import count, directory, mapping, named_numbers, run_store, whole
from visprep.runs.background import Background
from visprep.runs.checkpoints import Checkpoint, now
from visprep.runs.destination import Destination
from visprep.runs.event_files import EventShipper
from visprep.runs.finding import Finder
from visprep.runs.layout import RunLayout, check_experiment, new_experiment
from visprep.runs.local_logs import RunLog
from visprep.runs.log_pieces import LogShipper
from visprep.runs.origins import trained_on
from visprep.runs.sender import Pace
from visprep.runs.telling import Untold, in_words
from visprep.settings import S3Settings
from visprep.stores import Store
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore

#: How long S3 is waited for before what is meant for it stays on this machine.
PATIENCE = Patience(connect=5, stall=20, attempts=4)
#: The run of each place and experiment that was opened last in this process: a notebook's cell may be run twice.
_opened: weakref.WeakValueDictionary[tuple[int, str, str], RunStore] = weakref.WeakValueDictionary()
_opening = threading.Lock()


class RunStore:
    """Where one experiment is kept: `s3://bucket/prefix` or a directory.

    Nothing here waits for S3 but `latest`, `best`, `load`, `flush`, `close`, and `save_checkpoint(wait=True)`; making
    one waits `stuck_after` seconds at most, and warns when S3 cannot be had, or does not answer by then.

    `experiment` is named by time and chance when it is left out. `fallback` is the directory where checkpoints, logs
    and events are kept while S3 cannot be had, of the same layout, and from where they are sent when it can; None:
    there is none, and what cannot be sent is an error at the next call. `keep_last` and `keep_every` say which
    checkpoints stay, besides the best: the last so many, and every nth of all saves. `dataset` is what is trained on, a
    dataset of `visprep.loaders` or a place: it is noted with each checkpoint, with the commit of the working directory.
    In memory are two copies of what is saved, at most, or small ones of 64 MiB in all.
    `log_every`, `retry_every` (whether S3 is back) and `stuck_after` (a save that is under way so long does not keep
    later ones from the fallback) are seconds. With `sigterm`, SIGTERM ends a training in good order.

    Opened again in the same process, an experiment is closed where it was open before. UsageError for names, prefixes
    and numbers that make no sense.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        experiment: str | None = None,
        fallback: str | os.PathLike[str] | None = "runs",
        s3: S3Settings | None = None,
        keep_last: int | None = 3,
        keep_every: int | None = None,
        s3_checkpoint_prefix: str = "checkpoints",
        s3_tensorboard_prefix: str = "tensorboard",
        s3_logs_prefix: str = "logs",
        log_every: float = 30.0,
        dataset: Any = None,
        patience: Patience = PATIENCE,
        retry_every: float = 30.0,
        stuck_after: float = 10.0,
        sigterm: bool = True,
    ) -> None:
        store = run_store(place, s3)
        self.place = store.place
        self.experiment = new_experiment() if experiment is None else check_experiment(experiment)
        self._layout = layout = RunLayout(s3_checkpoint_prefix, s3_tensorboard_prefix, s3_logs_prefix)
        self._writer = f"{socket.gethostname()} pid {os.getpid()} {secrets.token_hex(4)}"

        def destination(store: Store) -> Destination:
            keep = {"keep_last": count(keep_last, "keep_last"), "keep_every": count(keep_every, "keep_every")}
            return Destination(store, layout, self.experiment, writer=self._writer, patience=patience, **keep)

        self._target = destination(store)
        self._fallback: Destination | None = None
        scratch: Path | None = None
        if isinstance(store, LocalStore):
            here = store.root
        elif fallback is not None:
            aside = directory(fallback)
            self._fallback, here = destination(aside), aside.root
        else:
            here = scratch = Path(tempfile.mkdtemp(prefix="visprep-run-"))
        self._events = here / layout.events(self.experiment)
        self._log = RunLog(here / layout.logs(self.experiment))
        self._handler: logging.Handler | None = None
        self._trained_on = trained_on(dataset, s3=s3)
        self._untold = Untold()
        self._process, self._closed = os.getpid(), False
        _close_former(self)
        shippers = (
            EventShipper(self._events, store, layout.events(self.experiment), patience=patience),
            LogShipper(self._log.directory, store, layout.logs(self.experiment), patience=patience),
        )
        pace = Pace(log_every, retry_every, stuck_after)
        self._background = Background(self._target, self._fallback, shippers, self._untold, pace, scratch=scratch)
        self._finder = Finder(self._target, self._fallback, self._background, self._untold, stuck_after, s3)
        weakref.finalize(self, self._background.leave).atexit = False
        ending.with_the_process(self._background, sigterm=sigterm)
        self._background.look_first()
        self._untold.tell()

    def __repr__(self) -> str:
        return f"RunStore({self.place!r}, experiment={self.experiment!r})"

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
        """Keep `state`: dicts, lists and tensors, as `torch.load(weights_only=True)` gives back.

        It is copied at once, and written while the training goes on; with `wait` this returns when it is safe, at the
        place or in the fallback directory. UsageError, at once, for a state that could not be loaded again. Then it
        raises what went wrong with an earlier save and was not told yet: this one is taken all the same.
        ChangedMeanwhile when another process saves to this experiment; then no more is saved.
        """
        self._need("save")
        from visprep.runs import Snapshot

        step, epoch = whole(step, "step"), None if epoch is None else whole(epoch, "epoch")
        told = named_numbers(metrics)
        checkpoint = Checkpoint(
            experiment=self.experiment,
            path=self._target.committer.new_path(step, epoch),
            step=step,
            epoch=epoch,
            size=0,  # this and the digest are known when it is written
            sha256="",
            saved=now(),
            metrics=told,
            best=bool(is_best),
            trained_on=self._trained_on,
            writer=self._writer,
        )
        snapshot = self._background.saves.buffers(Snapshot)
        try:
            snapshot.take(state)
        except BaseException:
            self._background.saves.give_back(snapshot)
            raise
        save = self._background.saves.add(snapshot, checkpoint)
        if wait:
            self._background.saves.wait_for(save)
        self._untold.tell()

    def latest(self) -> Checkpoint | None:
        """The checkpoint that was saved last, by this process or an earlier one; None: there is none.

        Waits for saves that are under way; with a fallback directory, those that take longer than `stuck_after` are
        written there as well, and that is enough. Where the place cannot be had, it is the last one in the fallback
        directory that is still to be sent, and the place is asked for `stuck_after` at most. Where there is none, it is
        asked for as long as `patience` says, by default some 100 seconds, and what keeps us from looking is raised.
        """
        return self._finder.find("latest", wait=self._under_way)

    def best(self) -> Checkpoint | None:
        """The checkpoint that was last saved with `is_best`; None: there is none. See `latest`."""
        return self._finder.find("best", wait=self._under_way)

    def load(
        self,
        which: str | os.PathLike[str] | Checkpoint = "latest",
        *,
        map_location: Any = None,
        weights_only: bool = True,
    ) -> Any:
        """The state of a checkpoint, checked: "latest", "best", one of `Checkpoint`, a file's path or `s3://` URL.

        FileMissing where there is none. See `latest` for how long it waits, and `load_checkpoint` for the rest.
        """
        how = {"map_location": map_location, "weights_only": weights_only}
        if isinstance(which, Checkpoint):
            return self._finder.load_one(which, how)
        if which in ("latest", "best"):
            return self._finder.load(str(which), how, wait=self._under_way)
        return self._finder.load_file(which, how)

    def log_handler(self, level: int = logging.INFO) -> logging.Handler:
        """A handler for `logging` whose lines go to the run; the same one each time, so that adding it twice is fine.

        After `close` it takes nothing any more. A line that the disk does not take is lost, and warned of.
        """
        self._need("log")
        if self._handler is None:
            self._handler = self._log.handler(level)
        self._handler.setLevel(level)
        return self._handler

    @property
    def tensorboard_dir(self) -> Path:
        """The directory on this machine that a `SummaryWriter` writes to, made if need be; its events go to the run."""
        with disk_errors(str(self._events)):
            self._events.mkdir(parents=True, exist_ok=True)
        return self._events

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Add a line to the run's metrics. UsageError for a value that is no number; a full disk is warned of."""
        self._need("log")
        try:
            self._log.log_metrics(mapping(metrics), whole(step, "step"))
        except StoreError as error:
            self._log.failed = error
        self._warn_of_lost_lines()

    def end_epoch(self, epoch: int | None = None) -> None:
        """Send what is new of events and logs, in the background. Flush the `SummaryWriter` before.

        Raises what went wrong in the background and was not told yet.
        """
        self._need("log")
        self._warn_of_lost_lines()
        self._background.ship()
        self._untold.tell()

    def flush(self) -> None:
        """Wait until all that was saved and logged is safe, and sent if it can be; raises what was not told yet."""
        self._need("flush")
        self._background.flush()
        self._untold.tell()

    def close(self) -> None:
        """`flush`, and end; fine when it is closed already. Saving is UsageError from then on, loading is not."""
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        try:
            self._background.close()
        finally:
            ending.ended(self._background)
            if self._handler:
                self._handler.addFilter(_nothing)
            self._log.close()
        self._untold.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except Exception as another:  # what ended the training is what shall be seen
            error.add_note(f"and the run could not be ended as it should be: {in_words(another)}")

    def _need(self, what: str) -> None:
        if self._process != os.getpid():
            raise UsageError(
                f"a RunStore works in the process that made it: this one cannot {what}",
                hint="with several processes, only that of rank 0 makes a RunStore",
            )
        if self._closed:
            raise UsageError(f"{self!r} is closed: it cannot {what}", hint="make another RunStore")

    def _warn_of_lost_lines(self) -> None:
        failed, self._log.failed = self._log.failed, None
        if failed:
            self._untold.warn(f"lines of the log or the metrics are lost: {in_words(failed)}")
            self._untold.tell()

    @property
    def _under_way(self) -> bool:
        return not self._closed and self._process == os.getpid()


def _close_former(run: RunStore) -> None:
    """Close the run of the same experiment that this process has open: two would take each other for a stranger."""
    key = os.getpid(), run._target.store.place, run.experiment
    with _opening:
        former = _opened.get(key)
        _opened[key] = run
    if former:
        try:
            former.close()
        except Exception as error:
            run._untold.warn(f"{run.experiment} was open already, and closing it failed: {in_words(error)}")


def _nothing(record: logging.LogRecord) -> bool:
    return False
