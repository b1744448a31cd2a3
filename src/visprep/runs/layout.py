"""Where the artefacts of a training lie at a place, and which names an experiment may have."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import cast

from visprep.errors import UnsafePath, UsageError
from visprep.stores import safe_path

#: The file of an experiment that names its checkpoints: what it does not name does not count.
INDEX = "checkpoints.json"
LATEST, BEST = "checkpoint_latest.pt", "checkpoint_best.pt"
#: How long the name of an experiment may be, in bytes of UTF-8: file systems take 255 in a name.
_LONGEST = 200
_NAME = re.compile(r"checkpoint_(?:epoch_(\d{4,})_)?step_(\d{8,})\.([0-9a-f]{8})\.pt")


@dataclass(frozen=True, slots=True)
class RunLayout:
    """The prefixes of checkpoints, TensorBoard's events and logs below a place; each must be another.

    All methods give paths relative to the place, with `/`. UsageError for a prefix that is empty or leaves the place.
    """

    checkpoint_prefix: str = "checkpoints"
    tensorboard_prefix: str = "tensorboard"
    logs_prefix: str = "logs"

    def __post_init__(self) -> None:
        taken = set()
        for one in fields(self):
            given = getattr(self, one.name)
            try:
                prefix = safe_path(given.rstrip("/"))
                taken.add(prefix)
            except (UnsafePath, AttributeError):
                raise UsageError(
                    f"{one.name}={given!r} is no path below a place", hint="for example: runs/logs"
                ) from None
            object.__setattr__(self, one.name, prefix)
        if len(taken) < 3:
            raise UsageError(
                "checkpoints, TensorBoard's events and logs share a prefix", hint="give each prefix a name of its own"
            )

    def checkpoints(self, experiment: str) -> str:
        """The directory of an experiment's checkpoints."""
        return f"{self.checkpoint_prefix}/{check_experiment(experiment)}"

    def checkpoint(self, experiment: str, *, step: int, epoch: int | None, mark: str) -> str:
        """The path of one checkpoint; `mark`, 8 hexadecimal digits, is another for every save."""
        of_epoch = "" if epoch is None else f"epoch_{epoch:04d}_"
        return f"{self.checkpoints(experiment)}/checkpoint_{of_epoch}step_{step:08d}.{mark}.pt"

    def index(self, experiment: str) -> str:
        """The file that names the checkpoints."""
        return f"{self.checkpoints(experiment)}/{INDEX}"

    def latest(self, experiment: str) -> str:
        """The copy of the newest checkpoint, for people and other tools."""
        return f"{self.checkpoints(experiment)}/{LATEST}"

    def best(self, experiment: str) -> str:
        """The copy of the best checkpoint, for people and other tools."""
        return f"{self.checkpoints(experiment)}/{BEST}"

    def events(self, experiment: str) -> str:
        """The directory of TensorBoard's event files."""
        return f"{self.tensorboard_prefix}/{check_experiment(experiment)}"

    def logs(self, experiment: str) -> str:
        """The directory of logs and metrics."""
        return f"{self.logs_prefix}/{check_experiment(experiment)}"


def check_experiment(name: str) -> str:
    """The name itself; UsageError when it could not be the name of one directory at every place."""
    wrong, given = "", cast(object, name)
    if not isinstance(given, str):
        wrong = "it is no text"
    elif not name or name != name.strip() or name.startswith("."):
        wrong = "it is empty, begins with a dot, or has blanks at its ends"
    elif "/" in name or "\\" in name or not name.isprintable():
        wrong = "it has a slash, a backslash, or what cannot be printed"
    elif len(name.encode()) > _LONGEST:
        wrong = f"it is longer than {_LONGEST} bytes"
    if wrong:
        raise UsageError(f"{name!r} cannot name an experiment: {wrong}", hint="for example: vqvae-lr-1e-4")
    return name


def new_experiment() -> str:
    """A name from the time, in UTC, and four random hexadecimal digits: `20261122-051500-3f9c`."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def new_mark() -> str:
    """What makes the name of a checkpoint another than every other: 8 random hexadecimal digits."""
    return secrets.token_hex(4)


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a checkpoint tells."""

    step: int
    epoch: int | None
    mark: str


def named(path: str) -> Named | None:
    """What the name of one of our checkpoints tells, whatever directory it lies in; None for any other file."""
    found = _NAME.fullmatch(path.rpartition("/")[2])
    return Named(int(found[2]), int(found[1]) if found[1] else None, found[3]) if found else None
