"""Checkpoints of other tools: where they are in a directory, and what their names tell."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from visprep.errors import DiskError, UsageError
from visprep.runs.checkpoints import Checkpoint
from visprep.runs.layout import BEST, LATEST, RunLayout, check_experiment
from visprep.runs.run_address import ENDINGS
from visprep.stores import is_part

_CONDITION = re.compile(r"(?:checkpoints?|ckpts?)[_-](.+)")
_NUMBERS = {
    "step": re.compile(r"(?:step|iter|iteration)[_=-]?(\d+)"),
    "epoch": re.compile(r"(?:epoch|ep)[_=-]?(\d+)"),
}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of another tool that is a checkpoint, and the run that it becomes a part of."""

    experiment: str
    file: Path

    def checkpoint(self, layout: RunLayout) -> Checkpoint:
        """What it is as a checkpoint: it is read, for its digest; step and epoch are those in its name, else 0 and None."""
        name = self.file.name
        numbers = {what: int(found[1]) for what, one in _NUMBERS.items() if (found := one.search(name.lower()))}
        digest = hashlib.sha256()
        try:
            with self.file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    digest.update(block)
                facts = self.file.stat()
        except OSError as error:
            raise DiskError(f"{self.file}: {(error.strerror or str(error)).lower()}", hint="see to the disk") from None
        return Checkpoint(
            experiment=self.experiment,
            path=f"{layout.checkpoints(self.experiment)}/{name}",
            step=numbers.get("step", 0),
            epoch=numbers.get("epoch"),
            size=facts.st_size,
            sha256=digest.hexdigest(),
            saved=datetime.fromtimestamp(facts.st_mtime, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            best="best" in name.lower(),
        )


def found_in(directory: Path, experiment: str | None = None) -> list[Foreign]:
    """The checkpoints of `checkpoints_{condition}/` below a directory, or right in it, the oldest first.

    The condition is the name of the run; of a directory that is called otherwise, its own name is. UsageError when
    `experiment` names one run and there are several.
    """
    own = [Foreign(experiment or _name(directory), file) for file in _files(directory)]
    inner = [one for one in sorted(directory.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    below = [Foreign(_name(one), file) for one in inner for file in _files(one)]
    names = {one.experiment for one in below}
    if experiment is not None and below:
        if experiment not in names and len(names) > 1:
            raise UsageError(f"{directory} has checkpoints of several runs: {', '.join(sorted(names))}", hint="push one")
        wanted = experiment if experiment in names else next(iter(names))
        below = [Foreign(experiment, one.file) for one in below if one.experiment == wanted]
    return sorted(own + below, key=lambda one: (one.experiment, one.file.stat().st_mtime_ns, one.file.name))


def _name(directory: Path) -> str:
    name = directory.resolve().name
    found = _CONDITION.fullmatch(name)
    return check_experiment(found[1] if found else name)


def _files(directory: Path) -> Iterator[Path]:
    for one in sorted(directory.iterdir()):
        if one.is_file() and one.name.lower().endswith(ENDINGS) and not is_part(one.name):
            if one.name in (LATEST, BEST) and (directory / "checkpoints.json").is_file():
                continue
            yield one
