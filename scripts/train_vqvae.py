"""Train a small VQ-VAE on frames, from disk or S3, and keep its checkpoints, logs and TensorBoard events there.

    visprep download sample --config frames --output pokemon_frames
    python scripts/train_vqvae.py --epochs 50

It looks whether the machine is fit for it, shows its configuration and asks before it starts, unless `--yes` is given.
Ctrl-C and SIGTERM end it after a last checkpoint; after any other end `--resume` goes on from the one before.

From Python:

    from train_vqvae import CONFIG, main
    CONFIG.experiment_name = "first"
    main()
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visprep import S3Settings, doctor
from visprep.errors import MissingExtra, UsageError, VisprepError

if TYPE_CHECKING:
    from vqvae_training import Outcome

log = logging.getLogger("train_vqvae")

#: What `doctor` looks at that says nothing about a training.
_BESIDE = ("extra", "hub", "proxy", "visprep")


def _option(default: Any, help: str, *, name: str | None = None) -> Any:
    return field(default=default, metadata={"help": help, "name": name})


@dataclass(slots=True)
class Config:
    """What is trained, on what, and where it is kept. Each is an option of the command line, too."""

    use_s3: bool = _option(False, "frames come from S3, and checkpoints, logs and events go there")
    s3_bucket: str | None = _option(None, "the bucket; S3_BUCKET_NAME where it is left out")
    s3_region: str | None = _option(None, "its region; AWS_REGION, or the one of the profile, where it is left out")
    frames_dir: str = _option("pokemon_frames", "the frames: a prefix in the bucket, without S3 a directory")
    local_cache_dir: str | None = _option(
        None, "where images from S3 are kept; a temporary directory where it is left out", name="--cache-dir"
    )
    max_cache_size: int = _option(1000, "images that are kept there at most")
    experiment_name: str | None = _option(None, "the name of the run; date and time where it is left out")
    batch_size: int = _option(16, "frames in a batch")
    num_epochs: int = _option(50, "epochs in all, those before a resume included", name="--epochs")
    learning_rate: float = _option(1e-4, "step size of Adam")
    resume: str | None = _option(
        None, "go on: an experiment, a checkpoint (path or s3:// URL), or auto: where --experiment-name has come to"
    )
    runs_dir: str = _option("runs", "the directory of runs; with S3 what could not be sent waits there")
    s3_checkpoint_prefix: str = _option("checkpoints", "where checkpoints go, in the bucket and in the directory")
    s3_tensorboard_prefix: str = _option("tensorboard", "where TensorBoard events go")
    s3_logs_prefix: str = _option("logs", "where logs go")
    save_every: int = _option(0, "a checkpoint every so many steps, besides the one of each epoch")
    keep_last: int = _option(3, "checkpoints that stay, besides the best")
    image_size: int = _option(64, "frames are made so wide and high; a multiple of 4")
    codes: int = _option(128, "codes in the book")
    num_workers: int = _option(0, "processes that decode frames; 0: the one that trains")
    device: str | None = _option(None, "cpu, cuda, ...; a GPU where there is one")
    seed: int = _option(0, "of the weights, the order of frames, and all else that is drawn")

    def settings(self) -> S3Settings:
        """How S3 is reached."""
        return S3Settings(region=self.s3_region)

    def bucket(self) -> str | None:
        """The bucket, None without S3; UsageError when none is named."""
        if not self.use_s3:
            return None
        bucket = self.s3_bucket or os.environ.get("S3_BUCKET_NAME")
        if not bucket:
            raise UsageError("no bucket is named", hint="give --s3-bucket, or set S3_BUCKET_NAME")
        return bucket

    def place(self) -> str:
        """Where the run is kept."""
        bucket = self.bucket()
        return self.runs_dir if bucket is None else f"s3://{bucket}"

    def origin(self) -> tuple[str | None, str | None]:
        """The experiment that is gone on with, and the checkpoint it begins with; a None: a new one, the latest one.

        UsageError when that cannot be meant.
        """
        wanted, named = self.resume, self.experiment_name
        if wanted == "auto":
            if named is None:
                raise UsageError("--resume auto without a name", hint="give --experiment-name")
            return named, None
        if wanted is None or not ("/" in wanted or wanted.endswith(".pt")):
            if wanted and named and wanted != named:
                hint = f"name one of its checkpoints: --resume {self.place()}/checkpoints/{wanted}/checkpoint_latest.pt"
                raise UsageError(f"to begin {named!r} with what {wanted!r} has, one checkpoint is needed", hint=hint)
            return wanted or named, None
        directory, _, _ = wanted.rpartition("/")
        above, _, experiment = directory.rpartition("/")
        ours = f"{self.place()}/{self.s3_checkpoint_prefix}"
        same = above == ours if wanted.startswith("s3://") else Path(above).absolute() == Path(ours).absolute()
        return named or (experiment if same else None), wanted


#: What `main` does where it is given nothing else: set what you want, then call it.
CONFIG = Config()


def main(config: Config | None = None, *, confirm: Callable[[], bool] = lambda: True) -> Outcome | None:
    """Train as `config` says, by default CONFIG; None when `confirm` says no, once everything was shown.

    VisprepError when the machine or the frames are not fit for it, or when S3 and the disk both refuse.
    """
    config = CONFIG if config is None else config
    _check(config)
    from vqvae_training import Training  # torch is there: it was looked for

    training = Training(config)
    _show(config, training.facts())
    if not confirm():
        return None
    with _lines_on_stderr():
        return training.run()


def _check(config: Config) -> None:
    """Show what was looked at; the first problem that nothing can be done without is raised."""
    checkup = doctor(config.place() if config.use_s3 else None, s3=config.settings())
    for check in (*checkup.machine, *checkup.place_checks):
        if not check.name.startswith(_BESIDE) and (config.use_s3 or not check.name.startswith("aws")):
            hint = f" ({check.hint})" if check.hint and check.level != "ok" else ""
            print(f"{check.level:8} {check.name}: {check.message}{hint}")
    for package, without in (("torch", None), ("tensorboard", "no TensorBoard events are written")):
        there = importlib.util.find_spec(package) is not None
        print(f"{'ok' if there else 'warning':8} {package}: {'installed' if there else f'not installed; {without}'}")
        if not there and without is None:
            raise MissingExtra("train_vqvae", "torch")
    if not checkup.usable:
        print(f"warning  S3 cannot be used now: the run is kept in {config.runs_dir} until it can")


def _show(config: Config, facts: dict[str, object]) -> None:
    """Show what will be done, on stdout."""
    print("\nConfiguration")
    for name, value in (*dataclasses.asdict(config).items(), *facts.items()):
        if value is not None:
            print(f"  {name:22} {value}")
    print(flush=True)


@contextmanager
def _lines_on_stderr() -> Iterator[None]:
    """What the training logs is seen, unless whoever calls has set up logging, and sees it there."""
    handler = logging.StreamHandler() if not log.hasHandlers() else logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)
        log.removeHandler(handler)


def _ask() -> bool:
    try:
        return input("Start training? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        raise UsageError("nobody can be asked whether to start", hint="give --yes") from None


def parser() -> argparse.ArgumentParser:
    """The command line: the fields of Config, and `--yes`."""
    made = argparse.ArgumentParser(description=__doc__.partition("\n")[0], allow_abbrev=False)
    for one in dataclasses.fields(Config):
        name = one.metadata["name"] or f"--{one.name.replace('_', '-')}"
        words = one.metadata["help"] + ("" if one.default is None or one.default is False else f" ({one.default})")
        if one.default is False:
            made.add_argument(name, dest=one.name, action="store_true", help=words)
        else:
            kind = str if one.default is None else type(one.default)
            made.add_argument(
                name, dest=one.name, type=kind, default=one.default, metavar=name[-1:].upper(), help=words
            )
    made.add_argument("--yes", action="store_true", help="start without asking")
    return made


def command(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code: 0 fine, 2 wrong usage, 3 could not do it, 130 interrupted."""
    given = vars(parser().parse_args(argv))
    confirm = _ask if not given.pop("yes") else lambda: True
    try:
        outcome = main(Config(**given), confirm=confirm)
    except VisprepError as error:
        print(f"error: {error.message} [{error.slug}]", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 130 if outcome and outcome.interrupted else 0


if __name__ == "__main__":
    sys.exit(command())
