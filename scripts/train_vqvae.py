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
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visprep import S3Settings, doctor
from visprep.errors import FileMissing, MissingExtra, PlaceMissing, UnknownName, UsageError, VisprepError
from visprep.runs import RunLayout, show

if TYPE_CHECKING:
    from vqvae_training import Outcome

log = logging.getLogger("train_vqvae")

#: What `doctor` looks at that says nothing about a training.
_BESIDE = ("extra", "hub", "proxy", "visprep")
#: What hints name, for Python or visprep's own commands -> what can be typed here.
_TYPED = {
    r", set (?=AWS_ACCESS_KEY_ID)": ", or set ",
    r", or use (settings=S3Settings\(no_sign_request=True\)|--no-sign-request) \(public buckets\)": "",
    r"the endpoint \(settings=S3Settings\(endpoint_url=\.\.\.\)[^)]*\)|--endpoint-url": "AWS_ENDPOINT_URL",
    r"the region \(settings=S3Settings\(region=\.\.\.\)[^)]*\)|--region": "--s3-region",
}


def _option(default: Any, help: str, *, name: str | None = None) -> Any:
    return field(default=default, metadata={"help": help, "name": name})


@dataclass(slots=True)
class Config:
    """What is trained, on what, and where it is kept. Each is an option of the command line, too."""

    use_s3: bool = _option(False, "frames come from S3, and checkpoints, logs and events go there")
    s3_bucket: str | None = _option(None, "the bucket; S3_BUCKET_NAME, or that of --resume, where it is left out")
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
        if not bucket and self.resume and self.resume.startswith("s3://"):
            bucket = self.resume.split("/")[2]
        if not bucket:
            raise UsageError("no bucket is named", hint="give --s3-bucket, or set S3_BUCKET_NAME")
        return bucket

    def place(self) -> str:
        """Where the run is kept."""
        bucket = self.bucket()
        return self.runs_dir if bucket is None else f"s3://{bucket}"

    def layout(self) -> RunLayout:
        """The prefixes of what is kept; UsageError for those that cannot be."""
        return RunLayout(self.s3_checkpoint_prefix, self.s3_tensorboard_prefix, self.s3_logs_prefix)

    def origin(self) -> tuple[str | None, str | None]:
        """The experiment that is gone on with, and the checkpoint it begins with; a None: a new one, the latest one.

        UsageError when that cannot be meant, FileMissing for a checkpoint that is not on this machine.
        """
        wanted, named, layout = self.resume, self.experiment_name, self.layout()
        if named is not None:
            layout.checkpoints(named)
        if wanted == "auto":
            if named is None:
                raise UsageError("--resume auto without a name", hint="give --experiment-name")
            return named, None
        if wanted is None or not ("/" in wanted or wanted.endswith(".pt")):
            if wanted and named and wanted != named:
                hint = f"name one of its checkpoints: --resume {self.place()}/{layout.latest(wanted)}"
                raise UsageError(f"to begin {named!r} with what {wanted!r} has, one checkpoint is needed", hint=hint)
            return wanted or named, None
        if not wanted.startswith("s3://") and not Path(wanted).is_file():
            hint = f"see which ones there are: visprep runs show {self.place()}"
            raise FileMissing(f"there is no file {wanted}", hint=hint)
        return named or self._experiment_of(wanted), wanted

    def _experiment_of(self, checkpoint: str) -> str:
        """The experiment that a checkpoint is of; UsageError, with what to type, when the options lead elsewhere."""
        ours = f"{self.place()}/{self.layout().checkpoint_prefix}"
        in_s3 = checkpoint.startswith("s3://")
        folder = _folder(checkpoint)
        above, _, experiment = folder.rpartition("/")
        if above == (ours if in_s3 else str(Path(ours).resolve())):
            return experiment
        if in_s3:
            _, _, bucket, *prefix = above.split("/")
            typed = f"--use-s3 --s3-bucket {bucket} --s3-checkpoint-prefix {'/'.join(prefix) or 'PREFIX'}"
        else:
            runs, _, prefix = above.rpartition("/")
            typed = f"--runs-dir {runs} --s3-checkpoint-prefix {prefix}" + (", without --use-s3" * self.use_s3)
        raise UsageError(
            f"{checkpoint} is of no run in {ours}",
            hint=f"to go on with its run, give {typed}; to begin another one with it, --experiment-name",
        )

    def refuse(self, experiment: str, *, there: bool) -> None:
        """UsageError when a run that is there is to be begun, or one to be gone on with that is not."""
        begins = self.resume is None
        if self.resume is not None and ("/" in self.resume or self.resume.endswith(".pt")):
            begins = self.experiment_name is not None and _folder(self.resume).rpartition("/")[2] != experiment
            if not begins:
                return
        if there and begins:
            hint = f"go on with --resume {experiment}, or give the new one another --experiment-name"
            raise UsageError(f"the experiment {experiment!r} has checkpoints already", hint=hint)
        if not there and not begins and self.resume != "auto":
            hint = f"see which ones there are: visprep runs list {self.place()}"
            raise UsageError(f"there is no checkpoint of {self.resume!r} in {self.place()}", hint=hint)


def _folder(checkpoint: str) -> str:
    """Where a file lies, however its path was typed."""
    return checkpoint.rpartition("/")[0] if checkpoint.startswith("s3://") else str(Path(checkpoint).parent.resolve())


#: What `main` does where it is given nothing else: set what you want, then call it.
CONFIG = Config()


def main(config: Config | None = None, *, confirm: Callable[[], bool] = lambda: True) -> Outcome | None:
    """Train as `config` says, by default CONFIG; None when `confirm` says no, once everything was shown.

    VisprepError when the machine or the frames are not fit for it, or when S3 and the disk both refuse.
    """
    config = CONFIG if config is None else config
    usable = _check(config)
    from vqvae_training import Training  # torch is there: it was looked for

    training = Training(config)
    _look_at_runs(config, usable)
    _show(config, training.facts())
    if not confirm():
        return None
    with _lines_on_stderr():
        return training.run()


def _check(config: Config) -> bool:
    """Show what was looked at; whether the place can be used. What nothing can be done without is raised."""
    checkup = doctor(config.place() if config.use_s3 else None, s3=config.settings())
    for check in (*checkup.machine, *checkup.place_checks):
        if not check.name.startswith(_BESIDE) and (config.use_s3 or not check.name.startswith("aws")):
            hint = f" ({_typed(check.hint)})" if check.hint and check.level != "ok" else ""
            print(f"{check.level:8} {check.name}: {check.message}{hint}")
    for package, level, without in (
        ("torch", "problem", "nothing can be trained"),
        ("tensorboard", "warning", "no TensorBoard events are written"),
    ):
        there = importlib.util.find_spec(package) is not None
        print(f"{'ok' if there else level:8} {package}: {'installed' if there else f'not installed: {without}'}")
        if not there and level == "problem":
            raise MissingExtra("train_vqvae", "torch")
    if not checkup.usable:
        print(f"warning  S3 cannot be used now: the run is kept in {config.runs_dir} until it can")
    return checkup.usable


def _look_at_runs(config: Config, usable: bool) -> None:
    """UsageError for what the training would refuse once it has begun: nobody shall be asked in vain.

    Where S3 cannot tell, the training does.
    """
    experiment, _ = config.origin()
    if experiment is None or not usable:
        return
    try:
        there = _has_checkpoints(config, config.place(), experiment)
        waits = config.use_s3 and not there and _has_checkpoints(config, config.runs_dir, experiment)
    except VisprepError:
        return
    if not waits:  # else S3 is to get them first
        config.refuse(experiment, there=there)


def _has_checkpoints(config: Config, place: str, experiment: str) -> bool:
    try:
        return bool(show(place, experiment=experiment, layout=config.layout(), s3=config.settings()).checkpoints)
    except (UnknownName, PlaceMissing):
        return False


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


@contextmanager
def warnings_in_words() -> Iterator[None]:
    """What visprep warns of is a line for whoever typed a command: without a file and a line of code."""
    before = warnings.formatwarning

    def words(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
        ours = category.__module__.partition(".")[0] == "visprep"
        return f"warning: {_typed(str(message))}\n" if ours else before(message, category, *where, **more)

    warnings.formatwarning = words  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.formatwarning = before


def _typed(hint: str) -> str:
    """A hint with what can be typed here."""
    for words, ours in _TYPED.items():
        hint = re.sub(words, ours, hint)
    return hint


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
        with warnings_in_words():
            outcome = main(Config(**given), confirm=confirm)
    except VisprepError as error:
        print(f"error: {error.message} [{error.slug}]", file=sys.stderr)
        if error.hint:
            print(f"  {_typed(error.hint)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 130 if outcome and outcome.interrupted else 0


if __name__ == "__main__":
    sys.exit(command())
