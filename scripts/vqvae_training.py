"""The training of `train_vqvae`: a loop that can be killed at any moment, and goes on from its last checkpoint."""

from __future__ import annotations

import logging
import math
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from visprep.errors import AccessDenied, CredentialsError, NetworkError, PlaceMissing, UsageError, VisprepError
from visprep.loaders import FrameDataset, Loader, make_loader
from visprep.runs import RunStore, random_states, set_random_states
from vqvae import VQVAE, Coded, Shape

if TYPE_CHECKING:
    from train_vqvae import Config
    from visprep.runs import Checkpoint

log = logging.getLogger("train_vqvae")


class Diverged(VisprepError):
    """The loss is no number any more: nothing that would come after is worth keeping, so it is not saved."""

    slug = "diverged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a training: losses are the means of the first and the last epoch that this process did whole."""

    experiment: str
    place: str
    steps: int
    epochs: int
    first_loss: float
    loss: float
    interrupted: bool = False


@dataclass(slots=True)
class Sized:
    """Makes an image a tensor (3 x side x side) of numbers from 0 to 1."""

    side: int

    def __call__(self, image: Any) -> torch.Tensor:
        """A tensor of an image of Pillow."""
        pixels = np.array(image.resize((self.side, self.side)))
        return torch.from_numpy(pixels).permute(2, 0, 1) / 255


@dataclass(slots=True)
class Tally:
    """The sums of an epoch under way, which are part of a checkpoint: its means are those of the whole epoch."""

    epoch: int = 0
    frames: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, coded: Coded) -> None:
        """Count a batch."""
        count = len(coded.frames)
        self.frames += count
        for name in ("loss", "reconstruction", "commitment", "perplexity"):
            self.sums[name] = self.sums.get(name, 0.0) + getattr(coded, name).item() * count

    def means(self) -> dict[str, float]:
        """The mean of each over the frames."""
        return {name: total / self.frames for name, total in self.sums.items()}


class Training:
    """Made from a Config: finds the frames and makes the model; `run` trains. VisprepError when that cannot be."""

    def __init__(self, config: Config) -> None:
        self.config = config
        _possible(config)
        self.shape = Shape(config.image_size, config.codes)
        self.device = _device(config.device)
        self.frames = _frames(config)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(config.seed)
        self.model = VQVAE(self.shape).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.learning_rate)
        self.step, self.best, self.tally = 0, math.inf, Tally()
        self.losses: list[float] = []

    def facts(self) -> dict[str, object]:
        """What was found, for people to see."""
        weights = sum(one.numel() for one in self.model.parameters())
        found = f"{self.frames.frames:,} in {self.frames.episodes:,} episodes"
        return {"place": self.config.place(), "frames": found, "weights": f"{weights:,}", "runs on": self.device}

    def run(self) -> Outcome:
        """Train to the last epoch, or until somebody interrupts; what was saved is safe when this comes back."""
        config = self.config
        experiment, checkpoint = config.origin()
        with ExitStack() as ending:
            loader = ending.enter_context(
                make_loader(self.frames, config.batch_size, seed=config.seed, num_workers=config.num_workers)
            )
            store = ending.enter_context(
                RunStore(
                    config.place(),
                    experiment=experiment,
                    fallback=config.runs_dir if config.use_s3 else None,
                    s3=config.settings(),
                    keep_last=config.keep_last,
                    s3_checkpoint_prefix=config.s3_checkpoint_prefix,
                    s3_tensorboard_prefix=config.s3_tensorboard_prefix,
                    s3_logs_prefix=config.s3_logs_prefix,
                    dataset=self.frames,
                )
            )
            ending.enter_context(_logged(store))
            self._begin(store, loader, checkpoint)
            events = ending.enter_context(_events(store, self.step))
            ending.enter_context(self._end_logged())
            interrupted = self._epochs(store, loader, events, ending.enter_context(_stops()))
        failed = f"; {len(self.frames.failures)} frames could not be read" if self.frames.failures else ""
        end = f"stopped at step {self.step}: --resume {store.experiment}" if interrupted else f"done, {self.step} steps"
        log.info("%s%s", end, failed)
        first, last = (self.losses[0], self.losses[-1]) if self.losses else (math.nan, math.nan)
        return Outcome(store.experiment, store.place, self.step, loader.epoch, first, last, interrupted)

    def _begin(self, store: RunStore, loader: Loader, checkpoint: str | None) -> None:
        """Go on where a checkpoint was taken, or from the first step on."""
        config = self.config
        newest = self._newest(store)
        config.refuse(store.experiment, there=newest is not None)
        if checkpoint is None and newest is None:
            log.info("experiment %s, from the beginning", store.experiment)
            return
        kept = store.load("latest" if checkpoint is None else checkpoint, map_location=self.device)
        self._restore(kept, loader)
        if newest is None and loader.epoch >= config.num_epochs and not self.tally.frames:
            raise UsageError(f"the checkpoint has {loader.epoch} epochs already", hint="give more --epochs")
        log.info("experiment %s, on from step %d in epoch %d", store.experiment, self.step, loader.epoch + 1)

    @contextmanager
    def _end_logged(self) -> Iterator[None]:
        """What breaks the training off is told by the log, too: later nobody has the screen any more."""
        try:
            yield
        except BaseException as error:
            log.error("broken off at step %d: %s", self.step, str(error) or type(error).__name__)
            raise

    def _newest(self, store: RunStore) -> Checkpoint | None:
        """The latest checkpoint; where nothing is gone on with, None also when S3 cannot be asked."""
        if self.config.resume is None and self.config.experiment_name is None:
            return None  # a name that was made just now
        try:
            return store.latest()
        except (NetworkError, CredentialsError, AccessDenied, PlaceMissing) as error:
            if self.config.resume is not None:
                raise
            log.warning("nobody can tell whether %s has checkpoints: %s", store.experiment, error.message)
            return None

    def _epochs(self, store: RunStore, loader: Loader, events: Any, stop: list[int]) -> bool:
        """Train epoch after epoch; whether it was interrupted."""
        config = self.config
        while loader.epoch < config.num_epochs or self.tally.frames:
            begun = time.monotonic()
            if not self.tally.frames:
                self.tally = Tally(loader.epoch)
            if loader.epoch == self.tally.epoch:  # else the checkpoint was taken at its last step
                for batch in loader:
                    if batch is None:  # all of its frames are bad
                        continue
                    self._train(batch[0].to(self.device))
                    every = config.save_every and self.step % config.save_every == 0
                    last = loader.state_dict()["delivered"] >= len(self.frames)  # the epoch's end saves, too
                    if stop or (every and not last):
                        self._save(store, loader, self.tally.epoch, wait=bool(stop))
                    if stop:
                        log.info("interrupted by %s", signal.Signals(stop[0]).name)
                        return True
            self._end_epoch(store, loader, events, time.monotonic() - begun)
        return False

    def _train(self, frames: torch.Tensor) -> None:
        self.model.train()
        coded = self.model(frames)
        if not torch.isfinite(coded.loss):
            rate = f"with a --learning-rate below {self.config.learning_rate:g}"
            hint = f"go on from the last checkpoint with --resume, or begin anew, {rate}"
            raise Diverged(f"the loss is {coded.loss.item()} at step {self.step + 1}", hint=hint)
        self.optimizer.zero_grad()
        coded.loss.backward()
        self.optimizer.step()
        self.step += 1
        self.tally.add(coded)

    def _end_epoch(self, store: RunStore, loader: Loader, events: Any, seconds: float) -> None:
        epoch = self.tally.epoch
        means = self.tally.means()
        self.losses.append(means["loss"])
        is_best = means["loss"] < self.best
        self.best, self.tally = min(self.best, means["loss"]), Tally(epoch + 1)
        log.info("epoch %d, step %d: %s, %.1f s", epoch + 1, self.step, _in_words(means), seconds)
        store.log_metrics(means, self.step)
        if events is not None:
            for name, value in means.items():
                events.add_scalar(name, value, self.step)
            events.flush()
        self._save(store, loader, epoch, means, is_best=is_best)
        store.end_epoch(epoch + 1)

    def _save(
        self,
        store: RunStore,
        loader: Loader,
        epoch: int,
        metrics: Mapping[str, float] | None = None,
        *,
        is_best: bool = False,
        wait: bool = False,
    ) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loader": loader.state_dict(),
            "random": random_states(),
            "step": self.step,
            "best": self.best,
            "tally": asdict(self.tally),
            "shape": asdict(self.shape),
        }
        store.save_checkpoint(state, self.step, epoch=epoch + 1, metrics=metrics, is_best=is_best, wait=wait)

    def _restore(self, kept: Mapping[str, Any], loader: Loader) -> None:
        """Take up the state of a checkpoint; UsageError when it is of another model or other frames."""
        ours = asdict(self.shape)
        theirs = kept.get("shape") if isinstance(kept, Mapping) else None
        if theirs != ours:
            hint = "give the options that it was trained with" if theirs else "it was written by another program"
            raise UsageError(f"the checkpoint is of another model: {theirs}, and this is {ours}", hint=hint)
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict(kept["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate  # what is asked for now counts
        loader.load_state_dict(kept["loader"])
        self.step, self.best, self.tally = kept["step"], kept["best"], Tally(**kept["tally"])
        set_random_states(kept["random"])


def _possible(config: Config) -> None:
    """UsageError for numbers that nothing can be trained with, by the names of the command line."""
    if not 0 <= config.seed < 2**32:
        raise UsageError(f"--seed {config.seed}", hint=f"it is from 0 to {2**32 - 1}")
    for name, value, least, unit in (
        ("--image-size", config.image_size, 8, 4),
        ("--codes", config.codes, 2, 1),
        ("--epochs", config.num_epochs, 1, 1),
        ("--save-every", config.save_every, 0, 1),
        ("--batch-size", config.batch_size, 1, 1),
        ("--keep-last", config.keep_last, 1, 1),
        ("--num-workers", config.num_workers, 0, 1),
    ):
        if value < least or value % unit:
            multiple = f"a multiple of {unit}, and " if unit > 1 else ""
            raise UsageError(f"{name} {value}", hint=f"it is {multiple}at least {least}")
    if not 0 < config.learning_rate < math.inf:
        raise UsageError(f"--learning-rate {config.learning_rate}", hint="it is above 0")


def _device(name: str | None) -> torch.device:
    """The device of a name, else an accelerator where there is one; UsageError when it cannot be used."""
    if name is None and torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    try:
        made = torch.zeros(1, device=name or "cpu")
        made.item()  # which a device without memory, as meta, cannot tell
        return made.device
    except (RuntimeError, AssertionError) as problem:
        words = str(problem).partition("\n")[0]
        raise UsageError(f"--device {name}: {words}", hint="leave it out, and what is there is used") from None


def _frames(config: Config) -> FrameDataset:
    """The dataset; a tenth of its frames may be bad, and are left out."""
    keywords: dict[str, Any] = {}
    if config.use_s3 or config.local_cache_dir:
        keywords = {"local_cache_dir": config.local_cache_dir, "max_cache_size": config.max_cache_size}
        keywords["cache_policy"] = "ordered"
    try:
        return FrameDataset(
            config.frames_dir if config.use_s3 else Path(config.frames_dir),
            config.bucket(),
            Sized(config.image_size),
            settings=config.settings(),
            max_failures=0.1,
            **keywords,
        )
    except VisprepError as error:
        if not config.use_s3 and error.slug in ("place-missing", "unknown-content"):
            error.hint = f"try it with a sample: visprep download sample --config frames --output {config.frames_dir}"
        raise


@contextmanager
def _logged(store: RunStore) -> Iterator[None]:
    """What the training and the run store say goes to the run's log."""
    handler = store.log_handler()
    loggers = [log, logging.getLogger("visprep.runs")]
    for one in loggers:
        one.addHandler(handler)
    try:
        yield
    finally:
        for one in loggers:
            one.removeHandler(handler)


@contextmanager
def _events(store: RunStore, step: int) -> Iterator[Any]:
    """A SummaryWriter, which takes back what an earlier process wrote after the step; None without TensorBoard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        yield None
        return
    with SummaryWriter(str(store.tensorboard_dir), purge_step=step + 1 if step else None) as writer:
        yield writer


@contextmanager
def _stops() -> Iterator[list[int]]:
    """The list that gets the number of a signal that asks to end; a second Ctrl-C ends at once.

    Signals come to the main thread alone: in another one nothing is noted.
    """
    got: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield got
        return

    def note(number: int, frame: Any) -> None:
        if got and number == signal.SIGINT:
            raise KeyboardInterrupt
        got.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_words(means: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in means.items())
