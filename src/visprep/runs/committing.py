"""A checkpoint that is whole gets named: by one small file that is swapped in one step, and only then by copies.

The order holds through every kill: the checkpoint is there and whole; the index names it; the copies for people are
made; the checkpoints that are not kept any more go. What a kill leaves undone, the next commit does.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from visprep.errors import ChangedMeanwhile, FileMissing, UsageError, VisprepError, WrongContent
from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint, RunIndex, kept, read_index, when
from visprep.runs.index_files import DirectoryIndex, S3Index, flush
from visprep.runs.layout import BEST, INDEX, LATEST, RunLayout, named, new_mark
from visprep.runs.named_copies import is_copy, make_copy
from visprep.runs.sweeping import sweep
from visprep.stores import Store, s3_uploads
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import wait

log = logging.getLogger("visprep.runs")

#: Seconds after which what nobody named, or finished, is left over: on S3, where it is known when an upload began, and
#: in a directory, where it is known when a file was last written to.
_STALE, _STALE_ON_DISK = 3600.0, 60.0
#: That is looked for at the first save, and once more when what was too young then is so old, and a tenth of it more.
_SWEEPS, _LATER = 2, 1.1
#: How often a swap is tried while others, who only add what was saved elsewhere, come between.
_TRIES = 10
#: Marks of announced saves that are remembered: those of the next save of each of so many killed processes, or more.
_ANNOUNCED = 200
#: Marks of saves that we have begun and not named yet, of which the last are announced: no more are under way at once.
_DRAWN = 20


class Committer:
    """Names the checkpoints of one experiment. One process does that at a time; no two threads may share a committer.

    It keeps the last `keep_last` checkpoints (None: all), the best, and with `keep_every` every nth of all saves.
    `writer` tells this process from any other: it is in the index, and in what others are told. Nothing is read or
    written before the first call. What a process that is gone left, and nobody named or finished for `stale` seconds
    (None: 3600, in a directory 60), is removed at the first save, or at one after that time. UsageError for numbers
    below 1, and for a store that is neither a directory nor S3.
    """

    def __init__(
        self,
        store: Store,
        layout: RunLayout,
        experiment: str,
        *,
        keep_last: int | None = 3,
        keep_every: int | None = None,
        writer: str,
        stale: float | None = None,
        patience: Patience | None = None,
    ) -> None:
        for name, number in (("keep_last", keep_last), ("keep_every", keep_every)):
            if number is not None and number < 1:
                raise UsageError(f"{name}={number}: it must be 1 or more", hint=f"leave {name} out, or {name}=None")
        if not isinstance(store, S3Store | LocalStore):
            raise UsageError(f"{store.place} is no place for a run", hint="name a directory, or s3://bucket/prefix")
        self._store, self._layout, self._experiment = store, layout, experiment
        self._keep, self._writer = (keep_last, keep_every), writer
        usual = _STALE if isinstance(store, S3Store) else _STALE_ON_DISK
        self._stale, self._patience = usual if stale is None else stale, patience
        self._folder = layout.checkpoints(experiment)
        path = layout.index(experiment)
        self._file: S3Index | DirectoryIndex = (
            S3Index(store, path, patience) if isinstance(store, S3Store) else DirectoryIndex(store, path)
        )
        self._known: tuple[RunIndex, str] | None = None
        self._refused: ChangedMeanwhile | None = None
        #: Marks that the index announces, and no save has yet: who trains takes them while another thread commits
        self._ready: deque[str] = deque()
        self._next: tuple[str, ...] = ()
        self._drawn: tuple[str, ...] = ()
        self._alone = False
        self._sweeps, self._sweep_due = _SWEEPS, 0.0
        #: Path of a copy -> path of the checkpoint that it is a copy of
        self._copied: dict[str, str] = {}
        self._deleted: set[str] = set()
        #: Paths that the index named and somebody else removed
        self._gone: set[str] = set()

    @property
    def index(self) -> RunIndex:
        """What is known of the checkpoints: read at the first use, then as this committer left it."""
        return self._look()[0]

    def new_path(self, step: int, epoch: int | None = None) -> str:
        """The path for a checkpoint that is about to be saved, another at every call; it asks nobody.

        UsageError for a step or an epoch below 0; ChangedMeanwhile when `commit` raised it already.
        """
        if step < 0 or (epoch is not None and epoch < 0):
            raise UsageError(f"step {step}, epoch {epoch}: a checkpoint has none below 0", hint="count from 0")
        if self._refused:
            raise self._refused
        try:
            mark = self._ready.pop()
        except IndexError:
            mark = new_mark()
        self._drawn = (*self._drawn[1 - _DRAWN :], mark)
        return self._layout.checkpoint(self._experiment, step=step, epoch=epoch, mark=mark)

    def claim(self) -> None:
        """Say in the index who saves from now on, before the first save; once, and best in the background.

        It tells two trainings of one experiment before either has sent much, and makes room: what others left over is
        removed before something new is written. Raises what `commit` raises.
        """
        if not self._alone:
            self._swap(self._claimed, late=False)
            self.settle()

    def announce(self, path: str) -> None:
        """Say in the index, unless it does, that a checkpoint is about to be written: what a kill leaves is known then.

        Raises what `commit` raises.
        """
        told, index = named(path), self._look()[0]
        if told and told.mark not in index.announced and index.find(path) is None:
            self._swap(partial(self._announcing, told.mark), late=True)

    def commit(self, checkpoint: Checkpoint, *, late: bool = False) -> Checkpoint:
        """Name a checkpoint that lies at its path, whole; as it is named, with its number.

        It becomes the latest. With `late` it takes its place by `saved`: it was saved elsewhere, earlier. Done already,
        nothing is done but what a kill may have left undone.

        When this returns, the index names it. Copies and deletions that fail are told in the log and done at the next
        commit. ChangedMeanwhile when another process saved to this experiment since we first looked, and from then on
        at every commit: the checkpoint stays where it is, and is not named. FileMissing or WrongContent when what lies
        at the path is not there, or has another size or SHA-256; BadRecord when the index is damaged; StoreError,
        NetworkError and CredentialsError as the store raises them: then it may be tried again. UsageError for a
        checkpoint of another experiment, and for a `saved` that is no date.
        """
        self._expect_ours(checkpoint)
        done = self._look()[0].find(checkpoint.path)
        if done is None:
            self._check(checkpoint)
            index = self._swap(partial(self._with, checkpoint, late), late)
            done = index.find(checkpoint.path) or replace(checkpoint, number=index.saves)
        told = named(done.path)
        self._drawn = tuple(mark for mark in self._drawn if not told or mark != told.mark)
        if not late:
            self.settle()
        elif self._make_copies(only=checkpoint.path):  # whoever saves makes the copies of what it saves
            self._delete_dropped()
        return done

    def settle(self) -> None:
        """Put right what a kill left undone, without a new checkpoint: copies that lag, checkpoints not kept.

        Raises what keeps us from reading the index; all else that fails is told in the log. What processes that are
        gone left unfinished or unnamed goes after `claim` or the first commit only: then nobody else can name it.
        """
        self._look()
        if self._alone and self._sweeps and time.monotonic() >= self._sweep_due:
            self._sweeps, self._sweep_due = self._sweeps - 1, time.monotonic() + self._stale * _LATER
            self._attempt("cannot remove what was left over", self._sweep)
        if self._make_copies():
            self._delete_dropped()

    def renew_copies(self) -> None:
        """Let the copies follow the index as it is now, and do nothing else; what fails is told in the log."""
        self._known = None
        self._make_copies()

    def remove(self, paths: Collection[str]) -> None:
        """Name these checkpoints no more, and remove them, since they lie elsewhere now; fine when they are not named.

        The copies follow; they go where nothing is left that they could be copies of. Raises what `commit` raises.
        """
        before = self._named_by_copies()
        copies = [
            target
            for target, one in before.items()
            if one and one.path in paths and is_copy(self._store, one, target, self._patience)
        ]
        self._swap(partial(self._without, frozenset(paths)), late=True)
        self.settle()
        for target in copies:
            if self._named_by_copies()[target] is None:
                self._copied.pop(target, None)
                self._attempt(f"{target} is not removed", partial(self._delete, target))

    def discard(self, path: str) -> None:
        """Remove a checkpoint that will not be named, and what was begun of it; UsageError when the index names it."""
        if path.rpartition("/")[0] != self._folder or not named(path) or self._look()[0].find(path):
            raise UsageError(f"{path} is no unnamed checkpoint of {self._experiment}", hint="see the index")
        self._delete(path)
        if isinstance(self._store, S3Store):
            key = self._store.key(path)
            for upload in wait(s3_uploads.uploads_under(self._store, key), self._patience):
                if upload.key == key and upload.algorithm == s3_uploads.ALGORITHM:
                    wait(self._store.abort(path, upload.id), self._patience)

    def _look(self) -> tuple[RunIndex, str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> tuple[RunIndex, str]:
        return read_index(self._store, self._layout, self._experiment, patience=self._patience)

    def _expect_ours(self, checkpoint: Checkpoint) -> None:
        folder, _, name = checkpoint.path.rpartition("/")
        if checkpoint.experiment != self._experiment or folder != self._folder or name in (INDEX, LATEST, BEST):
            raise UsageError(f"{checkpoint.path} is no checkpoint of {self._experiment}", hint="take its new_path()")
        try:
            when(checkpoint.saved)
        except (ValueError, TypeError):
            raise UsageError(
                f"{checkpoint.saved!r} is no date in ISO form, with its time zone", hint="in UTC"
            ) from None

    def _check(self, checkpoint: Checkpoint) -> None:
        """See that what shall be named is there, as large as it says, and on disk for good."""
        there = wait(self._store.stat(checkpoint.path), self._patience)
        told = there.digest if there.digest and there.digest.startswith("sha256:") else checkpoint.digest
        if (there.size, told) != (checkpoint.size, checkpoint.digest):
            raise WrongContent(
                f"{self._store.place}/{checkpoint.path} is not what was saved: {there.size} bytes are there, "
                f"{checkpoint.size} were written",
                hint="save it again",
            )
        if isinstance(self._store, LocalStore):
            real = self._store.real(checkpoint.path)
            with self._store.errors(checkpoint.path):
                flush(real)
                flush(real.parent)

    def _with(self, checkpoint: Checkpoint, late: bool, index: RunIndex) -> RunIndex | None:
        """The index that names one more, without those that are not kept any more; None where it is named."""
        if index.find(checkpoint.path):  # it was done, but the answer got lost
            return None
        one = replace(checkpoint, number=index.saves + 1)
        ours = [other for other in index.checkpoints if other.path not in self._gone]
        place = len(ours)
        while late and place and when(ours[place - 1].saved) > when(one.saved):
            place -= 1
        ours.insert(place, one)
        stay = kept(ours, *self._keep)
        gone = [path for path in index.dropped if path not in self._deleted and path != one.path]
        staying = {other.path for other in stay}
        gone += [other.path for other in ours if other.path not in staying]
        told = named(one.path)
        announced = tuple(mark for mark in index.announced if not told or mark != told.mark)
        new = replace(index, checkpoints=stay, saves=one.number, dropped=tuple(gone), announced=announced)
        return new if late else self._claimed(new)

    def _claimed(self, index: RunIndex) -> RunIndex:
        """The index with our name on it, which announces our next save."""
        named_marks = {told.mark for one in index.checkpoints if (told := named(one.path))}
        ours = (*(mark for mark in self._drawn if mark not in named_marks), *self._ready, *self._next)
        announced = (*(mark for mark in index.announced if mark not in ours), *ours)[-_ANNOUNCED:]
        return replace(index, writer=self._writer, turns=index.turns + 1, announced=announced)

    def _announcing(self, mark: str, index: RunIndex) -> RunIndex | None:
        if mark in index.announced:
            return None
        return replace(index, announced=(*index.announced, mark)[-_ANNOUNCED:])

    def _without(self, paths: frozenset[str], index: RunIndex) -> RunIndex | None:
        gone = tuple(one.path for one in index.checkpoints if one.path in paths)
        if not gone:
            return None
        stay = tuple(one for one in index.checkpoints if one.path not in paths)
        return replace(index, checkpoints=stay, dropped=(*index.dropped, *gone))

    def _swap(self, change: Callable[[RunIndex], RunIndex | None], late: bool) -> RunIndex:
        """Change the index, unless there is nothing to change; what it says then.

        Again, where somebody came between who only added what was saved before.
        """
        if self._refused:
            raise self._refused
        first = self._look()[0]
        self._next = () if self._ready else (new_mark(),)
        for _ in range(_TRIES):
            index, etag = self._look()
            new = change(index)
            if new is None:
                return index
            now = self._file.swap(new.dump(), etag)
            if now is not None:
                self._known = new, now
                self._ready.extend(mark for mark in self._next if mark in new.announced)
                self._alone = self._alone or not late
                return new
            other, found = self._read()
            if not found and etag:
                other = self._begin_anew(index)
            elif found and self._is_anothers(first, other) and (not late or first.writer == self._writer):
                self._refused = self._two_writers(other)
                raise self._refused
            self._known = other, found
        raise ChangedMeanwhile(
            f"{self._store.place}/{self._folder}: others change the index all the time", hint="try again later"
        )

    def _is_anothers(self, before: RunIndex, now: RunIndex) -> bool:
        """Whether another process saved meanwhile, and did not only add what was saved elsewhere."""
        return now.writer != self._writer and (now.writer, now.turns) != (before.writer, before.turns)

    def _begin_anew(self, index: RunIndex) -> RunIndex:
        """An index with what is still there of ours: somebody removed the old one while we were at work."""
        log.warning("%s/%s: somebody removed the index; it is made anew", self._store.place, self._folder)
        there = []
        for one in index.checkpoints:
            try:
                wait(self._store.stat(one.path), self._patience)
                there.append(one)
            except FileMissing:
                log.warning("%s/%s is gone, too", self._store.place, one.path)
        return replace(index, checkpoints=tuple(there))

    def _two_writers(self, other: RunIndex) -> ChangedMeanwhile:
        last = f", which last saved step {other.latest.step}" if other.latest else ""
        return ChangedMeanwhile(
            f"{self._store.place}/{self._folder}: another process saves there too: {other.writer}{last}",
            hint="end one of the two, or give each an experiment of its own; of several processes of one training only "
            "rank 0 saves",
        )

    def _make_copies(self, only: str | None = None) -> bool:
        """Let the copies follow the index; whether they do."""
        fine = True
        for target, one in self._named_by_copies().items():
            if one is None or self._copied.get(target) == one.path or only not in (None, one.path):
                continue
            if one.path in self._gone:
                continue
            if self._attempt(f"{target} lags", partial(self._copy, one, target)):
                self._copied[target] = one.path
            else:
                fine = False
        return fine

    def _named_by_copies(self) -> dict[str, Checkpoint | None]:
        index, layout, experiment = self._look()[0], self._layout, self._experiment
        return {layout.latest(experiment): index.latest, layout.best(experiment): index.best}

    def _copy(self, one: Checkpoint, target: str) -> None:
        if target in self._copied or not is_copy(self._store, one, target, self._patience):
            make_copy(self._store, one, target, self._patience)

    def _delete_dropped(self) -> None:
        for path in self._look()[0].dropped:
            if path not in self._deleted and self._attempt(f"{path} is not removed", partial(self._delete, path)):
                self._deleted.add(path)

    def _delete(self, path: str) -> None:
        wait(self._store.delete(path), self._patience)

    def _sweep(self) -> None:
        index = self._look()[0]
        there = sweep(
            self._store,
            self._folder,
            named_paths={one.path for one in index.checkpoints},
            announced=[mark for mark in index.announced if mark not in (*self._ready, *self._drawn)],
            stale=self._stale,
            patience=self._patience,
        )
        self._gone = {one.path for one in index.checkpoints if one.path not in there}
        for path in sorted(self._gone):
            log.warning("%s/%s: somebody removed this checkpoint; it counts no more", self._store.place, path)

    def _attempt(self, else_told: str, job: Callable[[], object]) -> bool:
        """Do what may fail without harm, and tell so; whether it was done."""
        try:
            job()
        except VisprepError as error:
            log.warning("%s: %s: %s", self._store.place, else_told, error.message)
            return False
        return True
