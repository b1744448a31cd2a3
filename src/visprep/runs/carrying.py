"""Files of a run on their way to another place: what is there already stays, what is there and other is in the way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from visprep.errors import Incomplete, VisprepError, WouldOverwrite
from visprep.manifest import File
from visprep.plans import Action, Operation
from visprep.progress import OnProgress, Pulse, unheard
from visprep.runs.checkpoints import Checkpoint, read_index
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout, check_experiment
from visprep.runs.run_address import RunsPlace, below, files_below
from visprep.transfer import apply

_AWAY = "it is another run of the same name, or was changed: choose another directory, or move these files away"


@dataclass(frozen=True, slots=True)
class Carried:
    """What was fetched or sent: runs, checkpoints that are named now, files and bytes moved, files that were there.

    With `planned` it is what would be done. `passed_by` are files that are no part of a run, a hundred at most.
    """

    origin: str
    target: str
    experiments: tuple[str, ...] = ()
    checkpoints: int = 0
    moved: int = 0
    kept: int = 0
    bytes: int = 0
    planned: bool = False
    passed_by: tuple[str, ...] = ()


@dataclass
class Carrier:
    """Carries runs from one place to another, one after the other, and counts what it did."""

    origin: RunsPlace
    target: RunsPlace
    layout: RunLayout
    writer: str
    jobs: int | None = None
    dry_run: bool = False
    progress: OnProgress = unheard
    done: set[str] = field(default_factory=set)
    checkpoints: int = 0
    moved: int = 0
    kept: int = 0
    bytes: int = 0
    _arrived: int = 0

    @property
    def result(self) -> Carried:
        """What was done so far."""
        names = tuple(sorted(self.done))
        counts = self.checkpoints, self.moved, self.kept, self.bytes
        return Carried(self.origin.place, self.target.place, names, *counts, self.dry_run)

    def carry_checkpoints(self, experiment: str, wanted: Iterable[Checkpoint]) -> None:
        """Bring checkpoints that the origin's index has, and name them in the target's, each in its place by time.

        Nothing is written where all are named there. WouldOverwrite when one of the same path is another.
        """
        self.done.add(check_experiment(experiment))
        there, _ = read_index(self.target, self.layout, experiment)
        missing = [one for one in wanted if not self._named(one, there.find(one.path))]
        files = [File(one.path, one.size, one.digest) for one in missing]
        self._move(self.origin, self.target, "", files)
        self.checkpoints += len(missing)
        if self.dry_run or not missing:
            return
        committer = Committer(self.target, self.layout, experiment, keep_last=None, writer=self.writer)
        for one in missing:
            committer.commit(one, late=True)

    def _named(self, one: Checkpoint, there: Checkpoint | None) -> bool:
        if there is None:
            return False
        if there.digest != one.digest:
            raise WouldOverwrite.of(self.target.place, [one.path], hint=_AWAY)
        self.kept += 1
        return True

    def carry_files(self, experiment: str, path: str, files: Sequence[File], growing: Sequence[str] = ()) -> None:
        """Bring files that lie below a path, and that never change but for those that are `growing`.

        Of these, another one is replaced where the rest shows that it is the same run. WouldOverwrite else.
        """
        self.done.add(check_experiment(experiment))
        have = {one.path: one for one in files_below(self.target, path)}
        other = [one for one in files if one.path in have and not _same(one, have[one.path])]
        shared = any(one.path in have and _same(one, have[one.path]) for one in files)
        in_the_way = [one.path for one in other if one.path not in growing or not shared]
        if in_the_way:
            raise WouldOverwrite.of(f"{self.target.place}/{path}", in_the_way, hint=_AWAY)
        moving = [one for one in files if one.path not in have or one in other]
        self.kept += len(files) - len(moving)
        # What a listing says of a growing file may be old by now
        moving = [File(one.path) if one.path in growing else one for one in moving]
        self._move(below(self.origin, path), below(self.target, path), f"{path}/", moving)

    def _move(self, origin: RunsPlace, target: RunsPlace, prefix: str, files: Sequence[File]) -> None:
        self.moved += len(files)
        if self.dry_run:
            self.bytes += sum(one.size or 0 for one in files)
            return
        pulse, failures = Pulse(self.progress), list[tuple[str, VisprepError]]()

        def heard(count: int) -> None:
            self._arrived += count
            pulse(f"Copying {origin.place.rpartition('/')[2]}", max(self._arrived, 0), None, "bytes")

        operations = [Operation(Action.CREATE, replace(one, etag=None, mtime=None)) for one in files]
        for path, outcome in apply(operations, origin, target, jobs=self.jobs, on_bytes=heard):
            if isinstance(outcome, VisprepError):
                failures.append((f"{prefix}{path}", outcome))
            else:
                self.bytes += outcome.size or 0
        if failures:
            raise Incomplete.of(failures, len(files))


def _same(one: File, there: File) -> bool:
    """Whether two files of one name are one and the same, as far as listings tell."""
    if one.size != there.size:
        return False
    if one.digest and there.digest and one.digest.partition(":")[0] == there.digest.partition(":")[0]:
        return one.digest == there.digest
    return True

