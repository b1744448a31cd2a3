"""Files of a run on their way to another place: what is there already stays, what is there and other is in the way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from visprep.errors import FileMissing, Incomplete, StoreError, VisprepError, WouldOverwrite, WrongContent
from visprep.manifest import File
from visprep.plans import Action, Operation
from visprep.progress import OnProgress, Pulse, unheard
from visprep.renamed import Renamed, RenamedStore
from visprep.runs.checkpoints import Checkpoint, RunIndex, read_index
from visprep.runs.committing import Committer
from visprep.runs.foreign import Foreign
from visprep.runs.layout import RunLayout, named
from visprep.runs.named_copies import make_read_only
from visprep.runs.run_address import RunsPlace, below, files_below
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import apply
from visprep.wire import wait

_AWAY = "it is of another run of the same name, or was changed: move it away, or choose another place or --experiment"
_DAMAGED = "it is damaged where it is, and all else is done: take another (`visprep runs show` lists them)"
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
    _wanted: int = 0
    _failures: list[tuple[str, VisprepError]] = field(default_factory=list)
    _damaged: list[tuple[str, VisprepError]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pulse = Pulse(self.progress)

    def end(self) -> Carried:
        """What was done. WrongContent when all that failed is damaged at the origin; Incomplete when others failed."""
        if self._damaged and not self._failures:
            more = f", nor are {len(self._damaged) - 1} more" if len(self._damaged) > 1 else ""
            raise WrongContent(f"{self._damaged[0][1].message}{more}", hint=_DAMAGED)
        if failures := self._failures + self._damaged:
            raise Incomplete.of(failures, self._wanted)
        counts = self.checkpoints, self.moved, self.kept, self.bytes
        return Carried(self.origin.place, self.target.place, tuple(sorted(self._names)), *counts)

    def carry_checkpoints(self, experiment: str, paths: Collection[str] | None = None) -> None:
        """Bring checkpoints that the origin's index names, and name them at the target, each in its place by time.

        What the target names and has already stays, and nothing is written where that is all. WouldOverwrite when it
        names another one of the same path, or what lies there is another. What fails otherwise is told by `end`.
        """
        self._names.add(experiment)
        here, there = (read_index(store, self.layout, experiment)[0] for store in (self.origin, self.target))
        wanted = {one.path: one for one in here.checkpoints if paths is None or one.path in paths}
        known = {path for path, one in wanted.items() if self._has(there, one)}
        files = {path: File(path, one.size, one.digest) for path, one in wanted.items()}
        lying = self._lying(files.values(), known)
        committer = self._committer(experiment)
        self.kept += len(known & lying)
        for path in lying - known:  # a kill left it
            self._name(committer, wanted[path])
        for path, outcome in self._brought([file for path, file in files.items() if path not in lying]):
            if outcome is None:
                self._name(committer, wanted[path])
            elif isinstance(outcome, WrongContent) and not self._is_whole(files[path]):
                told = f"{self.origin.place}/{path} is not what was saved: its size or SHA-256 is another"
                self._damaged.append((path, WrongContent(told, hint=_DAMAGED)))
            elif not isinstance(outcome, FileMissing) or self._still_named(experiment, path):
                self._failures.append((path, outcome))
        if wanted:  # a kill, or somebody, may have left the checkpoints without their copies
            committer.renew_copies()

    def _name(self, committer: Committer, one: Checkpoint) -> None:
        self._count(checkpoints=1, size=one.size)
        make_read_only(self.target, one.path)
        committer.commit(one, late=True)

    def _brought(self, files: Sequence[File]) -> Iterator[tuple[str, VisprepError | None]]:
        """Each file as soon as it is at the target, or the error."""
        self._wanted += len(files)
        arrived, total = 0, sum(file.size or 0 for file in files)

        def heard(count: int) -> None:
            nonlocal arrived
            arrived += count
            self._pulse("Copying checkpoints", max(arrived, 0), max(arrived, total), "bytes")

        operations = [Operation(Action.CREATE, file, "") for file in files]
        for path, outcome in apply(operations, self.origin, self.target, jobs=self.jobs, on_bytes=heard):
            yield path, outcome if isinstance(outcome, VisprepError) else None

    def _is_whole(self, file: File) -> bool:
        """Whether the origin has a file as it names it, as far as it tells."""
        try:
            size = wait(self.origin.stat(file.path)).size
            return size == file.size and wait(self.origin.hash(file.path, "sha256")) in (file.digest, None)
        except StoreError:
            return True

    def _still_named(self, experiment: str, path: str) -> bool:
        """Whether the origin names a checkpoint: a training that goes on may have deleted it since we looked."""
        return read_index(self.origin, self.layout, experiment)[0].find(path) is not None

    def carry_foreign(self, files: Iterable[Foreign]) -> None:
        """Bring checkpoints of other tools, and name them at the target. WouldOverwrite when one is another there.

        Those that are no checkpoints by their content are told by `end`.
        """
        committers: dict[str, Committer] = {}
        for number, one in enumerate(files, 1):
            self._names.add(one.experiment)
            self._wanted += 1
            try:
                checkpoint = one.checkpoint(self.layout)
            except WrongContent as problem:
                self._failures.append((str(one.file), problem))
                continue
            there, _ = read_index(self.target, self.layout, one.experiment)
            committer = committers.setdefault(one.experiment, self._committer(one.experiment))
            known, file = self._has(there, checkpoint), File(checkpoint.path, checkpoint.size, checkpoint.digest)
            lies = self._lies_there(file, known)
            if known and lies:
                self.kept += 1
                continue
            if not lies:
                now = Renamed(file.path, LocalStore(one.real.parent), replace(file, path=one.real.name))
                wait(self.target.receive(file, cast(Store, RenamedStore({file.path: now}))))
            self._name(committer, checkpoint)
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
        self._wanted += len(moving)
        operations = [Operation(Action.CREATE, replace(one, etag=None, mtime=None), "") for one in moving]
        for number, (name, outcome) in enumerate(apply(operations, home, target, jobs=self.jobs), 1):
            self._pulse(f"Copying {path}", number, len(moving))
            if isinstance(outcome, VisprepError):
                self._failures.append((f"{path}/{name}", outcome))
            else:
                self._count(files=1, size=outcome.size or 0)

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

    def _lying(self, files: Iterable[File], known: Collection[str]) -> set[str]:
        """The paths of those files that the target has; WouldOverwrite, which names all that are others there."""
        found, wrong = set(), []
        for file in files:
            try:
                if self._lies_there(file, file.path in known):
                    found.add(file.path)
            except WouldOverwrite:
                wrong.append(file.path)
        if wrong:
            raise WouldOverwrite.of(self.target.place, wrong, hint=_AWAY)
        return found

    def _lies_there(self, file: File, known: bool) -> bool:
        """Whether the target has a file, which its index names or not (`known`); WouldOverwrite when it is another.

        Names of ours are given once: where nothing tells what it is, a file that is not known is what a kill left.
        """
        try:
            size = wait(self.target.stat(file.path)).size
        except FileMissing:
            return False
        digest = wait(self.target.hash(file.path, "sha256")) if size == file.size else ""
        if digest is None and (known or named(file.path)):
            return known
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
