"""Checkpoints of other tools: where they are in a directory, and what their names tell."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from visprep.digests import DigestSink
from visprep.errors import UsageError, WrongContent
from visprep.manifest import File
from visprep.runs.checkpoints import Checkpoint
from visprep.runs.layout import BEST, INDEX, LATEST, RunLayout, check_experiment
from visprep.runs.run_address import is_checkpoint
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore
from visprep.wire import wait

_CONDITION = re.compile(r"(?:checkpoints?|ckpts?)[_-](.+)")
_STEP = re.compile(r"(?:step|iteration|iter)[_=-]?(\d+)")
_EPOCH = re.compile(r"(?:epoch|ep)[_=-]?(\d+)")
#: How a file of torch.save begins, and what one has near its beginning that PyTorch before 1.6 made.
_ZIP, _OLD = b"PK\x03\x04", (0x1950A86A20F9469CFC6C).to_bytes(10, "little")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A file of another tool that is a checkpoint, and the run that it becomes a part of."""

    experiment: str
    file: Path

    @property
    def real(self) -> Path:
        """The file itself, where this is a link to it."""
        return self.file.resolve()

    def checkpoint(self, layout: RunLayout) -> Checkpoint:
        """What it is as a checkpoint: it is read, for its digest. Its name tells step and epoch, else 0 and None.

        It keeps its name, but for those that copies of ours have. WrongContent when `torch.save` made no such file, or
        when its end is missing: it would become `checkpoint_latest.pt`, which any tool shall be able to load.
        """
        with disk_errors(str(self.file)), self.real.open("rb") as file:
            begins = file.read(32)
            if begins.startswith(_ZIP) and not zipfile.is_zipfile(file):
                raise WrongContent(f"{self.file}: its end is missing", hint="copy it again from where it came from")
        if not begins.startswith(_ZIP) and _OLD not in begins:
            what = "it is empty" if not begins else "it is nothing that torch.save makes"
            raise WrongContent(f"{self.file}: {what}", hint="move it elsewhere; `visprep sync` copies any file")
        name = self.file.name
        numbers = [one.search(name.lower()) for one in (_STEP, _EPOCH)]
        step, epoch = (int(found[1]) if found else None for found in numbers)
        sink = DigestSink()
        wait(LocalStore(self.real.parent).fetch(File(self.real.name), sink))
        with disk_errors(str(self.file)):
            written = datetime.fromtimestamp(self.file.stat().st_mtime, UTC)
        sha256 = sink.digest.removeprefix("sha256:")
        path = f"{layout.checkpoints(self.experiment)}/{name}"
        if name in (LATEST, BEST):
            path = layout.checkpoint(self.experiment, step=step or 0, epoch=epoch, mark=sha256[:8])
        return Checkpoint(
            experiment=self.experiment,
            path=path,
            step=step or 0,
            epoch=epoch,
            size=sink.position,
            sha256=sha256,
            saved=written.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            best="best" in name.lower(),
        )


def run_of(directory: Path) -> str:
    """The run that a directory's checkpoints are of: `easy` for `checkpoints_easy`, else its own name."""
    name = directory.resolve().name
    found = _CONDITION.fullmatch(name)
    return check_experiment(found[1] if found else name)


def found_right_in(directory: Path, experiment: str) -> list[Foreign]:
    """The checkpoints right in a directory, the oldest first; none where there is no directory."""
    with disk_errors(str(directory)):
        return sorted((Foreign(experiment, file) for file in _files(directory)), key=_age)


def found_in(directory: Path, experiment: str | None = None, apart: Collection[Path] = ()) -> list[Foreign]:
    """The checkpoints in a directory and anywhere below it, by run and then the oldest first.

    Each belongs to the run that its own directory tells. Directories whose names begin with a dot are passed by, and
    those `apart`, which belong to runs of ours. UsageError when two of one name would be of the same run.
    `experiment` is the name of the run instead of that which the directory tells, where there is but one; of several it
    is the one that is meant. UsageError when it is none of several.
    """
    with disk_errors(str(directory)):
        found: dict[str, list[Path]] = {}
        for home in _homes(directory, {os.path.realpath(one) for one in apart}):
            if files := list(_files(home)):
                found.setdefault(run_of(home), []).extend(files)
    if experiment is not None and found:
        if experiment not in found and len(found) > 1:
            told = ", ".join(sorted(found))
            raise UsageError(f"{directory} has checkpoints of several runs: {told}", hint="name one of them")
        found = {experiment: found.get(experiment) or next(iter(found.values()))}
    for name, files in found.items():
        first: dict[str, Path] = {}
        for file in files:
            if file is not first.setdefault(file.name, file):
                told = f"{first[file.name]} and {file} would both be {file.name} of the run {name!r}"
                raise UsageError(told, hint=f"push {file.parent} alone, with --experiment")
    with disk_errors(str(directory)):
        return [one for name in sorted(found) for one in sorted((Foreign(name, f) for f in found[name]), key=_age)]


def _homes(directory: Path, apart: Collection[str]) -> Iterator[Path]:
    """A directory and all below it, links followed, each once."""
    seen = {*apart}

    def refused(error: OSError) -> None:
        raise error

    for folder, names, _ in os.walk(directory, onerror=refused, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            names.clear()
            continue
        seen.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        yield Path(folder)


def _age(one: Foreign) -> tuple[int, str]:
    return one.file.stat().st_mtime_ns, one.file.name


def _files(directory: Path) -> Iterator[Path]:
    """The files that are checkpoints, but for copies of what an index names."""
    if not directory.is_dir():
        return
    indexed = (directory / INDEX).is_file()
    for one in directory.iterdir():
        if one.is_file() and is_checkpoint(one.name) and not (indexed and one.name in (LATEST, BEST)):
            yield one
