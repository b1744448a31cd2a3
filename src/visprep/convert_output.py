"""What a converter makes, on its way into a place: documents, files of the origin, and many small files.

A converter plans first: it drafts its documents, and says which files it will link or make. `put` then looks whether
anything is in the way, and only after that touches the place. Plans are functions that can be asked twice, so that no
list of all records is ever held. A run that is killed goes on; one that is repeated does nothing.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from visprep import temporary, wire
from visprep.changes import PlaceChange, begin, drop_cache
from visprep.convert_again import check_same
from visprep.convert_looking import looking
from visprep.convert_making import (
    COPIED,
    LINKED,
    MADE,
    Outcome,
    check_temporary,
    copied,
    draft_of,
    is_costly,
    made,
    made_apart,
    spreads,
    weight,
)
from visprep.convert_strays import strays
from visprep.converting import ConvertResult, Losses, Lossy, PartlyConverted, Wish
from visprep.documents import Document, Documents
from visprep.engines import Engine, crew_for, slices
from visprep.engines.local import map_ordered
from visprep.errors import AWAY, FileMissing, VisprepError, WorkerLost, WouldOverwrite
from visprep.extraction import Extraction
from visprep.hard_links import NoLinks, try_links
from visprep.journal import Failures, journal
from visprep.manifest import File, aligned, pack_file, unpack_file
from visprep.manifest_draft import Draft
from visprep.mirrors import check_room
from visprep.origin_memory import OriginMemories
from visprep.own_record import CACHE, latest
from visprep.planned import Made, Planned, Shard
from visprep.progress import Pulse
from visprep.provenance import Step
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.spool import Spool
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["Made", "Output", "Planned", "Shard", "writing"]

#: Files that a thread compares, links or makes in one go.
_TOGETHER = 64
#: Files that another process makes in one go, and what they weigh; costly ones worth processes of this machine.
_UNIT, _UNIT_BYTES, _WORTH = 256, 64_000_000, 200
#: What is known of a planned file before anything is written.
_MISSING, _THERE = 0, 1

_Outcome: TypeAlias = "tuple[str, File | VisprepError]"


@contextlib.contextmanager
def writing(target: Store, step: Step, wish: Wish) -> Iterator[Output]:
    """The output of a conversion at `target`, whose `step` goes to dataset.json; it is to be ended by `put`.

    Nothing is left of it when the block ends before. WouldOverwrite when another dataset lies there, PlaceIncomplete
    when another conversion was begun there and not ended.
    """
    with contextlib.ExitStack() as stack:
        step = replace(step, origin={**step.origin, **wish.history})
        change = stack.enter_context(begin(target, step))
        check_same(change, target)
        if isinstance(target, LocalStore):
            home = target.root / CACHE
        else:  # what goes to S3 is drafted here
            home = stack.enter_context(temporary.directory("convert"))
        try:
            yield Output(change, target, home, wish)
        except BaseException:
            if not change.marked:
                _drop_cache(target)  # what was drafted is drafted anew
            raise


class Output:
    """What a conversion writes; made by `writing`.

    `written`, `linked`, `copied` and `kept` count files, and `temporary` bytes of drafts, as `ConvertResult` says, once
    `put` has ended.
    """

    def __init__(self, change: PlaceChange, target: Store, home: Path, wish: Wish) -> None:
        self.change, self.target, self.jobs = change, target, wish.jobs
        self.written = self.linked = self.copied = self.kept = self.temporary = 0
        self._engine = wish.engine
        self._pulse = Pulse(wish.progress)
        whose: Any = target  # documents ask no more of it than every store has
        self._extraction = Extraction(whose, change, may_replace=False, jobs=self.jobs, heard=lambda path, count: None)
        self._documents = Documents(self._extraction, home / "documents")
        self._plans: list[Callable[[], Iterable[Planned]]] = []
        self._done = Spool(pack_file, unpack_file)
        self._bad: list[tuple[str, VisprepError]] = []
        self._problem: PartlyConverted | None = None
        self._drafted: set[str] = set()
        #: How many files of an earlier run stay, and the first of them
        self._stale = 0, ""
        self._memories = OriginMemories()
        self._strays: tuple[str, ...] = ()
        again = change.repeats or bool(change.begun and change.begun.same_request(change.step))
        self._looking = looking(target, change, again=again)

    def document(self, path: str, document: Document) -> None:
        """A file that is drafted now, and put in its place after all others; WouldOverwrite when one is in the way."""
        self._documents.draft_all({path: document})

    def shard(self, path: str, document: Document, digest: Callable[[], str] | None = None, size: int = 0) -> None:
        """A large file, which is written when its turn comes and put in its place at once; see `Shard`."""
        self.plan(lambda: [Shard(path, document, digest, size)])

    def link(self, path: str, store: Store, file: File) -> None:
        """A file of the origin: another name of it where there can be one, else a copy."""
        self.plan(lambda: [Renamed(path, store, file)])

    def make(self, path: str, produce: Callable[[], bytes], *, costly: bool = False) -> None:
        """A small file whose bytes `produce` makes, in a thread of its own perhaps."""
        self.plan(lambda: [Made(path, produce, costly)])

    def plan(self, files: Callable[[], Iterable[Planned]]) -> None:
        """Any number of files, which `files` names in the same order each time it is called, and no path twice."""
        self._plans.append(files)

    def failed(self, path: str, error: VisprepError) -> None:
        """A record that cannot be converted: the rest is done, and the command ends as Incomplete."""
        self._bad.append((path, error))

    def put(self, losses: Losses | None = None, *, lossless: bool = False) -> None:
        """Write what was planned; to be called once, at the end.

        Lossy, before anything is written, when something is lost and nothing was to be; WouldOverwrite, as early, for
        files in the way. When some files failed, `result` says so: the same call then tries just these.
        """
        if lossless and losses:
            raise Lossy(losses)
        with journal(self.target, self.change.step) as failures:
            for one in self._bad:
                failures.append(one)
            marks, missing = self._look()
            if not (missing or self._documents.due or failures) and self._is_recorded():
                self.kept += self._extraction.kept
                _drop_cache(self.target)
                return
            linking = self._prepare(marks)
            self.change.mark()
            with self._memories:
                self._write(marks, missing, linking, failures)
            self._documents.put()
            if failures:
                wanted = len(marks) + len(self._extraction.files) + len(self._bad)
                self._problem = PartlyConverted.of(failures, wanted)
                self.written += self._extraction.written
                self.kept += self._extraction.kept
                return
        self._commit()

    def result(
        self,
        origin: str,
        to: str,
        kind: str,
        losses: Losses,
        *,
        images: Mapping[str, int] = {},
        notes: Iterable[str] = (),
    ) -> ConvertResult:
        """What came of it, once `put` has ended; PartlyConverted, which has that too, when some files failed."""
        stale, first = self._stale
        if stale:
            words = f"{counted(stale, 'file')} of an earlier run, which this one does not make"
            notes = (*notes, f"{words}, {'stays' if stale == 1 else 'stay'}: {first}{' for one' * (stale > 1)}")
        counts = self.written, self.linked, self.copied, self.kept
        found = ConvertResult(
            origin, self.target.place, to, kind, *counts, dict(images), temporary=self.temporary,
            losses=dict(losses.counts), notes=(*notes, *self._strays), findings=tuple(losses.findings()),
        )  # fmt: skip
        if self._problem:
            raise self._problem.having(found)
        return found

    def _planned(self) -> Iterator[Planned]:
        return itertools.chain.from_iterable(plan() for plan in self._plans)

    def _look(self) -> tuple[bytearray, int]:
        """Which of the planned files are there; WouldOverwrite when others have their names."""
        marks, in_the_way = bytearray(), []
        for some in map_ordered(self._looking.compare, _batches(self._planned()), self.jobs):
            for path, there, ours in some:
                marks.append(_THERE if isinstance(there, File) else _MISSING)
                if isinstance(there, File):
                    self._done.append(there)
                    self.kept += 1
                elif there and not ours:
                    in_the_way.append(path)
            self._pulse("Looking at what is there", len(marks), None)
        if in_the_way:
            raise WouldOverwrite.of(self.target.place, in_the_way, AWAY)
        paths = itertools.chain((one.path for one in self._planned()), self._documents.paths)
        self._strays = strays(self.target, self.change, paths)
        return marks, marks.count(_MISSING)

    def _prepare(self, marks: bytearray) -> bool:
        """Whether there can be links; DiskFull when there is no room for copies, or on S3 for a draft."""
        target = self.target
        missing = (one for one, mark in zip(self._planned(), marks, strict=True) if mark == _MISSING)
        far = near = 0

        def locals_() -> Iterator[tuple[LocalStore, str]]:
            nonlocal far, near
            for one in missing:
                if isinstance(one, Renamed) and isinstance(one.store, LocalStore):
                    near += one.origin.size or 0
                    yield one.store, one.origin.path
                elif isinstance(one, Renamed):
                    far += one.origin.size or 0

        if not isinstance(target, LocalStore):
            shards = [one.size for one in missing if isinstance(one, Shard)]
            self.temporary = self._documents.bytes + max(shards, default=0)
            check_temporary(max(shards, default=0))
            return False
        linking, files = True, locals_()
        try:
            try_links(target, files)
        except NoLinks:
            linking = False
            for _ in files:  # to know how much room they take
                pass
        need = far + (0 if linking else near) + self._documents.bytes
        check_room(target, need, "what is converted")
        return linking

    def _write(self, marks: bytearray, missing: int, linking: bool, failures: Failures) -> None:
        for done, (path, outcome) in enumerate(surviving(self._all_outcomes(marks, linking)), 1):
            self._pulse("Writing", done, missing, last=done == missing)
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
                continue
            target, file = self.target, outcome
            if isinstance(target, LocalStore):
                file = File(path, outcome.size, outcome.digest)
            self.change.note(file)
            if path in self._drafted and isinstance(target, LocalStore):
                self._drafted.remove(path)
                self.change.store_notes()  # killed between, it is known for what it is, and need not be made again
                target.adopt(path, draft_of(target, path))
            self._done.append(file)
            self.written += 1

    def _all_outcomes(self, marks: bytearray, linking: bool) -> Iterator[_Outcome]:
        """What comes of each: of those that are worth it by other processes, where the engine has some."""

        def due(wanted: Callable[[Planned], bool]) -> Iterator[Planned]:
            both = zip(self._planned(), marks, strict=True)
            return (one for one, mark in both if mark == _MISSING and wanted(one))

        apart = spreads if self._engine.spreads else is_costly
        few = itertools.islice(due(apart), _WORTH) if isinstance(self.target, LocalStore) else ()
        engine = crew_for(self._engine, sum(1 for _ in few) == _WORTH)
        if engine is None:
            yield from self._outcomes(due(lambda _: True), linking)
            return
        engine.check(self.target)
        yield from self._spread(engine, due(apart), linking)
        yield from self._outcomes(due(lambda one: not apart(one)), linking)

    def _spread(self, engine: Engine, due: Iterable[Planned], linking: bool) -> Iterator[_Outcome]:
        sent: deque[list[Planned]] = deque()

        def units() -> Iterator[list[Planned]]:
            for some in slices(due, _UNIT, _UNIT_BYTES, weight):
                sent.append(some)
                yield some

        def lost(_: Planned, error: WorkerLost) -> Outcome:
            return error, MADE

        work = partial(made_apart, self.target, linking)
        with contextlib.closing(engine.map(work, units(), lost=lost)) as found:  # type: ignore[type-var]
            for outcomes in found:
                for one, (outcome, how) in zip(sent.popleft(), outcomes, strict=True):
                    yield self._heard(one, outcome, how)

    def _outcomes(self, due: Iterable[Planned], linking: bool) -> Iterator[_Outcome]:
        """What comes of each: in threads, and with many requests at once where a file is elsewhere."""
        far: Spool[Renamed]
        stores: list[Store] = []

        def near() -> Iterator[Planned]:
            for one in due:
                if isinstance(one, Renamed) and not isinstance(one.store, LocalStore):
                    if one.store not in stores:
                        stores.append(one.store)
                    far.append(one)
                else:
                    yield one

        def pack(one: Renamed) -> tuple[object, ...]:
            return one.path, stores.index(one.store), pack_file(one.origin)

        def unpack(packed: tuple[str, int, tuple[object, ...]]) -> Renamed:
            return Renamed(packed[0], stores[packed[1]], unpack_file(packed[2]))

        far = Spool(pack, unpack)
        work = partial(made, self.target, linking)
        for some, outcomes in map_ordered(lambda batch: (batch, work(batch)), _batches(near()), self.jobs):
            for one, (outcome, how) in zip(some, outcomes, strict=True):
                yield self._heard(one, outcome, how)
        jobs = ((one, copied(self.target, one)) for one in far)
        for one, what in wire.run(jobs, self.jobs or wire.IN_FLIGHT):
            yield self._heard(one, what, COPIED)

    def _heard(self, one: Planned, outcome: File | VisprepError, how: str) -> _Outcome:
        if isinstance(outcome, File):
            self.linked += how == LINKED
            self.copied += how == COPIED
            if how == LINKED and isinstance(one, Renamed) and isinstance(one.store, LocalStore):
                self._memories.learn(one.store, one.origin.path, outcome)
            if isinstance(one, Shard):
                self._drafted.add(one.path)
        return one.path, outcome

    def _all(self) -> Iterator[File]:
        """The files of this conversion, in order of path."""
        for file in self._extraction.files.values():
            self._done.append(self._looking.as_listed(file))
        self._extraction.files.clear()
        return latest(self._done)

    def _is_recorded(self) -> bool:
        """Whether the place's record says what is there already."""
        if self.change.record is None or not self.change.repeats or self.change.resumed:
            return False
        self._stale = 0, ""
        for ours, listed in aligned(self._all(), self.change.record.files):
            if ours is None and listed is not None:
                self._stale = self._stale[0] + 1, self._stale[1] or listed.path
            elif ours is not None and (listed is None or listed.digest != ours.digest):
                return False
        return True

    def _commit(self) -> None:
        """End the change: what an unfinished command wrote otherwise goes, what the place held before stays."""
        change = self.change
        self.written += self._extraction.written
        self.kept += self._extraction.kept
        listed = change.record.files if change.record else ()
        draft, count, self._stale = Draft(self.target), 0, (0, "")
        for ours, before, noted in aligned(self._all(), listed, change.finished()):
            if ours is not None:
                draft.add(ours)
                count += 1
            elif before is not None and self._looking.holds(before.path):
                draft.add(before)
                self._stale = self._stale[0] + 1, self._stale[1] or before.path
            elif noted is not None:
                with contextlib.suppress(FileMissing):
                    change.clear([noted.path])
        steps = change.dataset.steps if change.dataset else ()
        if not (change.repeats and steps[-1].origin == change.step.origin):
            steps = (*steps, replace(change.step, counts={"files": count}))
        change.finish(draft, steps)


def _drop_cache(target: Store) -> None:
    if isinstance(target, LocalStore):
        drop_cache(target)


def _batches(files: Iterable[Planned]) -> Iterator[list[Planned]]:
    """Files that are done in one go: a large one is by itself."""
    some: list[Planned] = []
    for one in files:
        if some and (len(some) == _TOGETHER or isinstance(one, Shard) or isinstance(some[0], Shard)):
            yield some
            some = []
        some.append(one)
    if some:
        yield some
