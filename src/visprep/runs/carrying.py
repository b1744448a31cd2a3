"""Files of a run on their way to another place: what is there already stays, what is there and other is in the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from visprep.errors import FileMissing, Incomplete, VisprepError, WouldOverwrite
from visprep.manifest import File
from visprep.plans import Action, Operation
from visprep.progress import OnProgress, Pulse, unheard
from visprep.renamed import Renamed, RenamedStore
from visprep.runs.checkpoints import Checkpoint, RunIndex, read_index
from visprep.runs.committing import Committer
from visprep.runs.foreign import Foreign
from visprep.runs.layout import RunLayout, named
from visprep.runs.run_address import RunsPlace, below, files_below
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import apply
from visprep.wire import wait

_AWAY = "it is of another run of the same name, or was changed: move it away, or choose another place or --experiment"
#: Bytes that are compared of two files at their beginning, and where the shorter one ends.
_LOOKED_AT = 1 << 20


@dataclass(frozen=True, slots=True)
class Carried:
    """What was fetched or sent: runs, checkpoints, all files and bytes that moved, and files that were there already.

    Of what a training logged and is sent to S3, only bytes are counted.
    """

    origin: str
    target: str
    experiments: tuple[str, ...] = ()
    checkpoints: int = 0
    moved: int = 0
    kept: int = 0
    bytes: int = 0


@dataclass
class Carrier:
    """Carries runs from one place to another, one after the other, and counts what it does."""

    origin: RunsPlace
    target: RunsPlace
    layout: RunLayout
    writer: str
    jobs: int | None = None
    progress: OnProgress = unheard
    checkpoints: int = 0
    moved: int = 0
    kept: int = 0
    bytes: int = 0
    _names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._pulse = Pulse(self.progress)

    @property
    def result(self) -> Carried:
        """What was done so far."""
        counts = self.checkpoints, self.moved, self.kept, self.bytes
        return Carried(self.origin.place, self.target.place, tuple(sorted(self._names)), *counts)

    def carry_checkpoints(self, experiment: str, paths: Collection[str] | None = None) -> None:
        """Bring checkpoints that the origin's index names, and name them at the target, each in its place by time.

        What the target names already stays, and nothing is written where that is all, but for copies that a kill left
        undone. WouldOverwrite when it names another one of the same path.
        """
        self._names.add(experiment)
        here, there = (read_index(store, self.layout, experiment)[0] for store in (self.origin, self.target))
        wanted = [one for one in here.checkpoints if paths is None or one.path in paths]
        missing = {one.path for one in wanted if not self._has(there, one)}
        self.kept += len(wanted) - len(missing)
        committer = self._committer(experiment)
        files = {one.path: File(one.path, one.size, one.digest) for one in wanted if one.path in missing}
        by_path = {one.path: one for one in wanted}
        failures: list[tuple[str, VisprepError]] = []
        for path, outcome in self._brought(files, sum(one.size or 0 for one in files.values())):
            if outcome is None:
                self._count(checkpoints=1, size=by_path[path].size)
                committer.commit(by_path[path], late=True)
            elif not isinstance(outcome, FileMissing) or self._still_named(experiment, path):
                failures.append((path, outcome))
        if wanted:
            committer.renew_copies()
        if failures:
            raise Incomplete.of(failures, len(missing))

    def _brought(self, files: Mapping[str, File], total: int) -> Iterator[tuple[str, VisprepError | None]]:
        """Each file as soon as it is at the target, or the error; what a kill left there is not brought again."""
        there = [path for path, file in files.items() if self._lies_there(file)]
        yield from ((path, None) for path in there)
        arrived = 0

        def heard(count: int) -> None:
            nonlocal arrived
            arrived += count
            self._pulse("Copying checkpoints", max(arrived, 0), max(arrived, total), "bytes")

        operations = [Operation(Action.CREATE, file, "") for path, file in files.items() if path not in there]
        if not operations:
            return
        for path, outcome in apply(operations, self.origin, self.target, jobs=self.jobs, on_bytes=heard):
            yield path, outcome if isinstance(outcome, VisprepError) else None

    def _still_named(self, experiment: str, path: str) -> bool:
        """Whether the origin names a checkpoint: a training that goes on may have deleted it since we looked."""
        return read_index(self.origin, self.layout, experiment)[0].find(path) is not None

    def carry_foreign(self, files: Iterable[Foreign]) -> None:
        """Bring checkpoints of other tools, and name them at the target. WouldOverwrite when one is another there."""
        committers: dict[str, Committer] = {}
        for number, one in enumerate(files, 1):
            self._names.add(one.experiment)
            checkpoint = one.checkpoint(self.layout)
            there, _ = read_index(self.target, self.layout, one.experiment)
            committer = committers.setdefault(one.experiment, self._committer(one.experiment))
            if self._has(there, checkpoint):
                self.kept += 1
                continue
            file = File(checkpoint.path, checkpoint.size, checkpoint.digest)
            if not self._lies_there(file):
                now = Renamed(file.path, LocalStore(one.real.parent), replace(file, path=one.real.name))
                wait(self.target.receive(file, cast(Store, RenamedStore({file.path: now}))))
            committer.commit(checkpoint, late=True)
            self._count(checkpoints=1, size=checkpoint.size)
            self._pulse("Copying checkpoints", number, None)
        for committer in committers.values():
            committer.renew_copies()

    def carry_files(self, experiment: str, path: str, files: Sequence[File], derived: Collection[str] = ()) -> None:
        """Bring files that lie below a path; one that is there already may be the beginning of what it is now.

        Those that are `derived` from others may be any, where others show that it is the same run. Else WouldOverwrite.
        """
        if not files:
            return
        self._names.add(experiment)
        home, target = below(self.origin, path), below(self.target, path)
        have = {one.path: one for one in files_below(self.target, path)}
        same = {one.path for one in files if one.path in have and _same(one, have[one.path])}
        same -= {one for one in derived if one in same and not _same_bytes(one, home, target)}
        other = [one for one in files if one.path in have and one.path not in same]
        grown = {one.path for one in other if one.path not in derived and _begins(have[one.path], target, one, home)}
        known = grown | {one for one in same if one not in derived}
        if wrong := [one.path for one in other if one.path not in grown and not (one.path in derived and known)]:
            raise WouldOverwrite.of(f"{self.target.place}/{path}", wrong, hint=_AWAY)
        self.kept += len(same)
        # What grows may have grown since it was listed
        moving = [File(one.path) if one.path in derived else one for one in files if one.path not in same]
        failures: list[tuple[str, VisprepError]] = []
        operations = [Operation(Action.CREATE, replace(one, etag=None, mtime=None), "") for one in moving]
        for number, (name, outcome) in enumerate(apply(operations, home, target, jobs=self.jobs), 1):
            self._pulse(f"Copying {path}", number, len(moving))
            if isinstance(outcome, VisprepError):
                failures.append((f"{path}/{name}", outcome))
            else:
                self._count(files=1, size=outcome.size or 0)
        if failures:
            raise Incomplete.of(failures, len(moving))

    def shipped(self, experiment: str, size: int) -> None:
        """Count what somebody else brought."""
        self._names.add(experiment)
        self.bytes += size

    def _has(self, there: RunIndex, one: Checkpoint) -> bool:
        """Whether an index names a checkpoint; WouldOverwrite when it names another one of the path."""
        found = there.find(one.path)
        if found is not None and found.digest != one.digest:
            raise WouldOverwrite.of(self.target.place, [one.path], hint=_AWAY)
        return found is not None

    def _lies_there(self, file: File) -> bool:
        """Whether the target has a file that its index does not name; WouldOverwrite when it is another.

        Names of ours are given once: where nothing tells what it is, such a file is what a kill left of the same one.
        """
        try:
            size = wait(self.target.stat(file.path)).size
        except FileMissing:
            return False
        digest = wait(self.target.hash(file.path, "sha256")) if size == file.size else ""
        if digest is None and named(file.path):
            return False
        if digest != file.digest:
            raise WouldOverwrite.of(self.target.place, [file.path], hint=_AWAY)
        return True

    def _committer(self, experiment: str) -> Committer:
        return Committer(self.target, self.layout, experiment, keep_last=None, writer=self.writer)

    def _count(self, *, checkpoints: int = 0, files: int = 0, size: int = 0) -> None:
        self.checkpoints += checkpoints
        self.moved += checkpoints + files
        self.bytes += size


def _same(one: File, there: File) -> bool:
    """Whether two files of one name are one and the same, as far as listings tell."""
    if one.size != there.size:
        return False
    if one.digest and there.digest and one.digest.partition(":")[0] == there.digest.partition(":")[0]:
        return one.digest == there.digest
    return True


def _same_bytes(path: str, home: RunsPlace, target: RunsPlace) -> bool:
    """Whether a file that is written anew, with a size that may stay the same, is one and the same at both."""
    for algorithm in ("sha256", "md5"):
        ours, theirs = (wait(store.hash(path, algorithm)) for store in (home, target))
        if ours and theirs:
            return ours == theirs
    return False


def _begins(short: File, its: RunsPlace, long: File, theirs: RunsPlace) -> bool:
    """Whether one file is the beginning of another, by what stands where both begin and where the short one ends."""
    size = short.size or 0
    if size > (long.size or 0):
        return False
    for begin in {0, max(size - _LOOKED_AT, 0)}:
        length = min(_LOOKED_AT, size - begin)
        if wait(its.read(short.path, begin, length)) != wait(theirs.read(long.path, begin, length)):
            return False
    return True
