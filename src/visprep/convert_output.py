"""What a converter makes, on its way into a place: documents, files of the origin, and many small files.

A converter plans first: it drafts its documents, and says which files it will link or make. `put` then looks whether
anything is in the way, and only after that touches the place. Plans are functions that can be asked twice, so that no
list of all records is ever held. A run that is killed goes on; one that is repeated does nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from visprep import wire
from visprep.changes import Failures, PlaceChange, begin, drop_cache, journal
from visprep.convert_again import check_same
from visprep.convert_strays import strays
from visprep.converting import ConvertResult, Losses, Lossy, PartlyConverted
from visprep.documents import Document, Documents
from visprep.drafts import Draft
from visprep.engines.local import map_ordered
from visprep.errors import AWAY, FileMissing, VisprepError, WouldOverwrite
from visprep.extraction import Extraction
from visprep.hard_links import NoLinks, is_link, links, try_links
from visprep.manifest import File, aligned, pack_file, unpack_file
from visprep.mirrors import check_room
from visprep.origin_memory import OriginMemories
from visprep.own_record import CACHE, latest
from visprep.planned import Made, Planned, Shard
from visprep.progress import OnProgress, Pulse
from visprep.provenance import Step
from visprep.renamed import Renamed, RenamedStore
from visprep.render.text import counted
from visprep.spool import Spool
from visprep.stores import Store, data_files
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["Made", "Output", "Planned", "Shard", "writing"]

#: Files that a thread compares, links or makes in one go.
_TOGETHER = 64
#: What is known of a planned file before anything is written.
_MISSING, _THERE = 0, 1
#: How a planned file came about.
_LINKED, _COPIED, _MADE = "linked", "copied", "made"

_Outcome: TypeAlias = "tuple[str, File | VisprepError]"


@contextlib.contextmanager
def writing(target: LocalStore, step: Step, *, jobs: int | None = None, progress: OnProgress) -> Iterator[Output]:
    """The output of a conversion at `target`, whose `step` goes to dataset.json; it is to be ended by `put`.

    Nothing is left of it when the block ends before. WouldOverwrite when another dataset lies there, PlaceIncomplete
    when another conversion was begun there and not ended.
    """
    with begin(target, step) as change:
        check_same(change, target)
        try:
            yield Output(change, target, jobs, progress)
        except BaseException:
            if not change.marked:
                drop_cache(target)  # what was drafted is drafted anew
            raise


class Output:
    """What a conversion writes; made by `writing`.

    `written`, `linked`, `copied` and `kept` count files, as `ConvertResult` says, once `put` has ended.
    """

    def __init__(self, change: PlaceChange, target: LocalStore, jobs: int | None, progress: OnProgress) -> None:
        self.change, self.target, self.jobs = change, target, jobs
        self.written = self.linked = self.copied = self.kept = 0
        self._pulse = Pulse(progress)
        self._extraction = Extraction(target, change, may_replace=False, jobs=jobs, heard=lambda path, count: None)
        self._documents = Documents(self._extraction, target.root / CACHE / "documents")
        self._plans: list[Callable[[], Iterable[Planned]]] = []
        self._done = Spool(pack_file, unpack_file)
        self._bad: list[tuple[str, VisprepError]] = []
        self._drafted: dict[str, Path] = {}
        self._problem: PartlyConverted | None = None
        #: How many files of an earlier run stay, and the first of them
        self._stale = 0, ""
        self._memories = OriginMemories()
        self._strays: tuple[str, ...] = ()
        #: The same was begun or ended here before, so that what it noted is believed
        self._again = change.repeats or bool(change.begun and change.begun.same_request(change.step))

    def document(self, path: str, document: Document) -> None:
        """A file that is drafted now, and put in its place after all others; WouldOverwrite when one is in the way."""
        self._documents.draft_all({path: document})

    def shard(self, path: str, document: Document, digest: Callable[[], str] | None = None) -> None:
        """A large file, which is written when its turn comes and put in its place at once; see `Shard`."""
        self.plan(lambda: [Shard(path, document, digest)])

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
                drop_cache(self.target)
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
            origin, self.target.place, to, kind, *counts, dict(images),
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
        empty = not any(True for _ in data_files(self.target))
        work = self._absent if empty else self._compared
        for some in map_ordered(work, _batches(self._planned()), self.jobs):
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

    def _absent(self, some: list[Planned]) -> list[tuple[str, File | bool, bool]]:
        return [(one.path, False, False) for one in some]

    def _compared(self, some: list[Planned]) -> list[tuple[str, File | bool, bool]]:
        return [(one.path, *self._compare(one)) for one in some]

    def _compare(self, one: Planned) -> tuple[File | bool, bool]:
        """What is there of a file: itself, something else (and whether visprep wrote that), or nothing."""
        there = self.target.root / one.path
        if not there.is_file():
            return there.exists() or there.is_symlink(), False
        have = self._extraction.hashed(File(one.path, there.stat().st_size))
        known = self.change.known(one.path)
        ours = known is not None and known.digest == have.digest
        return (have if self._is_same(one, have, ours) else True), ours

    def _is_same(self, one: Planned, have: File, ours: bool) -> bool:
        if isinstance(one, Renamed):
            near = one.store if isinstance(one.store, LocalStore) else None
            if near and is_link(self.target, one.path, near, one.origin.path):
                return True
            if near:
                return have.digest == wire.wait(near.hash(one.origin.path, "sha256"))
            if told := one.origin.digest:
                return wire.wait(self.target.hash(one.path, told.partition(":")[0])) == told
            return ours and self._again and have.size == one.origin.size
        if isinstance(one, Shard):
            return ours and self._again and (one.digest is None or have.digest == one.digest())
        if one.costly and ours:
            return self._again
        try:  # a kill may have come between a file and its note
            return have.digest == _digest(one.produce())
        except VisprepError:
            return False  # it is told when its turn comes

    def _prepare(self, marks: bytearray) -> bool:
        """Whether there can be links; DiskFull when there is no room for copies."""
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

        linking, files = True, locals_()
        try:
            try_links(self.target, files)
        except NoLinks:
            linking = False
            for _ in files:  # to know how much room they take
                pass
        need = far + (0 if linking else near) + self._documents.bytes
        check_room(self.target, need, "what is converted")
        return linking

    def _write(self, marks: bytearray, missing: int, linking: bool, failures: Failures) -> None:
        due = (one for one, mark in zip(self._planned(), marks, strict=True) if mark == _MISSING)
        for done, (path, outcome) in enumerate(surviving(self._outcomes(due, linking)), 1):
            self._pulse("Writing", done, missing, last=done == missing)
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
                continue
            file = File(path, outcome.size, outcome.digest)
            self.change.note(file)
            if draft := self._drafted.pop(path, None):
                self.change.store_notes()  # killed between, it is known for what it is, and need not be made again
                self.target.adopt(path, draft)
            self._done.append(file)
            self.written += 1

    def _outcomes(self, due: Iterable[Planned], linking: bool) -> Iterator[_Outcome]:
        """What comes of each: those on this machine in threads, those elsewhere with many requests at once."""
        far: Spool[Renamed]
        stores: list[Store] = []

        def near() -> Iterator[Renamed | Made | Shard]:
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
        for some in map_ordered(lambda batch: self._some(batch, linking), _batches(near()), self.jobs):
            for one, outcome, how in some:
                if isinstance(outcome, File):
                    self.linked += how is _LINKED
                    self.copied += how is _COPIED
                    if how is _LINKED and isinstance(one, Renamed) and isinstance(one.store, LocalStore):
                        self._memories.learn(one.store, one.origin.path, outcome)
                yield one.path, outcome
        jobs = ((one.path, self.target.receive(one.file, RenamedStore({one.path: one}))) for one in far)  # type: ignore[arg-type]
        for path, what in wire.run(jobs, self.jobs or wire.IN_FLIGHT):
            self.copied += isinstance(what, File)
            yield path, what

    def _some(self, batch: list[Planned], linking: bool) -> list[tuple[Planned, File | VisprepError, str]]:
        """What comes of a batch, and how it was done."""
        names = [one for one in batch if isinstance(one, Renamed)]
        found: list[tuple[Planned, File | VisprepError, str]]
        found = [(one, self._produced(one), _MADE) for one in batch if not isinstance(one, Renamed)]
        if linking and names:
            with contextlib.suppress(NoLinks):  # no more of one file, or another file system below
                made = links(self.target, names)
                return found + [(one, what, _LINKED) for one, (_, what) in zip(names, made, strict=True)]
        copies = RenamedStore({one.path: one for one in names})
        jobs = ((one, self.target.receive(one.file, copies)) for one in names)  # type: ignore[arg-type]
        return found + [(one, what, _COPIED) for one, what in wire.run(jobs)]

    def _produced(self, one: Made | Shard) -> File | VisprepError:
        try:
            if isinstance(one, Made):
                data = one.produce()
                made = File(one.path, len(data), _digest(data))
                self.target.keep(made, [data])  # at once: a job for each would cost more than its file
                return made
            draft = self.target.root / CACHE / "shards" / one.path
            with self.target.errors(one.path):
                draft.parent.mkdir(parents=True, exist_ok=True)
                one.document.write(draft)
                with draft.open("rb") as file:
                    digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
                size = draft.stat().st_size
            self._drafted[one.path] = draft
            return File(one.path, size, digest)
        except VisprepError as error:
            if isinstance(one, Shard):  # what there is of it is of no use, and in the way of what shall go on
                with contextlib.suppress(OSError):
                    (self.target.root / CACHE / "shards" / one.path).unlink()
            return error

    def _all(self) -> Iterator[File]:
        """The files of this conversion, in order of path."""
        for file in self._extraction.files.values():
            self._done.append(file)
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
            elif before is not None and self._stays(before):
                draft.add(before)
                self._stale = self._stale[0] + 1, self._stale[1] or before.path
            elif noted is not None:
                with contextlib.suppress(FileMissing):
                    change.clear([noted.path])
        steps = change.dataset.steps if change.dataset else ()
        if not (change.repeats and steps[-1].origin == change.step.origin):
            steps = (*steps, replace(change.step, counts={"files": count}))
        change.finish(draft, steps)

    def _stays(self, file: File) -> bool:
        there = self.target.root / file.path
        return there.is_file() or there.is_symlink()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


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
