"""The files of parts: hard links to those of the input, or copies of them, in a directory for each part.

First it is found out what is to be done, and nothing is touched; then it is done, so that a kill at any moment and the
same command again end in the same files. What an earlier split put there, and this one does not, goes only where the
input holds the same bytes still. What nobody knows, and is like a file of a record, is refused: it would be in a part
that it was never given to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from visprep import wire
from visprep.changes import PlaceChange, present_files
from visprep.engines.local import map_ordered
from visprep.errors import (
    AWAY,
    Incomplete,
    StoreError,
    UsageError,
    VisprepError,
    WouldOverwrite,
    WrongContent,
)
from visprep.formats.directories import set_aside
from visprep.hard_links import is_link, links, together, try_links
from visprep.journal import journal
from visprep.known_files import Memory, known_files, vouched
from visprep.manifest import RECORD_DIR, File, aligned
from visprep.own_record import Listed
from visprep.part_leftovers import FILED, Origins, unfinished_parts
from visprep.plans import MOVING, Action, Operation, plan
from visprep.progress import OnProgress, Pulse, unheard
from visprep.recordsets import Mask, RecordSet
from visprep.renamed import Renamed, RenamedStore
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import apply, in_threads, on_this_machine, surviving

_LINKED = frozenset({"links"})
_LEFT = "of an earlier split"


class PartFiles:
    """The files of parts at the place of `change`, for `how` to write them; made before the change is marked.

    `before` are the parts of the split that lay there before, whose files are removed where they are in no part now, or
    in another. `written`, `kept` and `removed` say how many files are to be, or were. With `ids` none are wanted.

    UsageError when links or copies are not to be had there at all, DiskError when the file system has no links or is
    another, WouldOverwrite when files are in the way, WrongContent when two records want the same path.
    """

    def __init__(
        self,
        recordset: RecordSet,
        members: Mapping[str, Mask],
        change: PlaceChange,
        *,
        how: str,
        before: Collection[str] = (),
        jobs: int | None = None,
        progress: OnProgress = unheard,
    ) -> None:
        self.recordset, self.change, self.how, self.jobs = recordset, change, how, jobs
        self.pulse = Pulse(progress)
        self.kept = self.written = self.removed = 0
        self._changed = False
        self._left = unfinished_parts(change, recordset)
        self._tops = frozenset(before) | self._left | frozenset(members if how in FILED else ())
        self._origins = Origins(recordset)
        self._wanted = self._wants(members) if how in FILED else {}
        self._todo: list[str] = []
        self._keeps: list[File] = []
        self._doomed: list[Operation] = []
        self._memories: dict[int, Memory] = {}
        self.target = change.store
        self._root = change.store.root if isinstance(change.store, LocalStore) else None
        if self._root is None and self._wanted and how in _LINKED:
            raise UsageError(f"{change.store.place}: S3 has no links", hint="--how copies, or --how ids")
        self._check_ends(members)
        self._look_up_digests()
        if self._tops:
            self._decide()
        if how in _LINKED and self._todo:
            making = (self._wanted[path] for path in self._todo)
            try_links(cast(LocalStore, self.target), ((cast(LocalStore, one.store), one.origin.path) for one in making))

    @property
    def idle(self) -> bool:
        """Whether all is there as it should be, and nothing else."""
        return not (self.written or self.removed or self._changed)

    def _wants(self, members: Mapping[str, Mask]) -> dict[str, Renamed]:
        """The files of all parts by path, sorted."""
        found: dict[str, Renamed] = {}
        for output in self.recordset.outputs(members, None, self.how):
            if output.source is None:
                continue
            one = Renamed(output.path, *output.source)
            other = found.setdefault(one.path, one)
            if _whence(other) != _whence(one):
                raise WrongContent(
                    f"{one.path} would be {other.origin.path} of {other.store.place} and {one.origin.path} of "
                    f"{one.store.place}",
                    hint="rename one of them; or --how ids",
                )
        return {one.path: one for one in sorted(found.values(), key=lambda one: one.file.sort_key)}

    @property
    def _stores(self) -> list[Store]:
        return list({id(one.store): one.store for one in self._wanted.values()}.values())

    def _check_ends(self, members: Mapping[str, Mask]) -> None:
        for store in self._stores:
            if not isinstance(store, LocalStore):
                if self.how in _LINKED:
                    raise UsageError(
                        f"{store.place}: only files of a directory can be linked", hint="--how copies, or --how ids"
                    )
                continue
            if self._root is None:
                continue
            if self._root.is_relative_to(store.root):
                raise UsageError(
                    f"the output {self.target.place} is the input {store.place}, or lies in it: "
                    f"the {self.how} would be records of it the next time",
                    hint="name another --output; or --how ids",
                )
            if any(store.root.is_relative_to(self._root / part) for part in members):
                raise UsageError(
                    f"the input {store.place} lies where a part of the output {self.target.place} goes",
                    hint="name another --output; or --how ids",
                )

    def _look_up_digests(self) -> None:
        """Give the files that are wanted the digests that are known of them without reading."""
        for store in self._stores:
            mine = [one for one in self._wanted.values() if one.store is store]
            mine.sort(key=lambda one: one.origin.sort_key)
            known: Iterator[File] = (one.origin for one in mine)
            if isinstance(store, LocalStore):
                # Nothing is begun in a directory that may be anybody's
                holder = store if self._root is None or (store.root / RECORD_DIR).is_dir() else self.target
                memory = self._memories[id(store)] = Memory(store, holder)
                known = vouched(known, memory.remembered())
            elif listed := Listed.read(store):
                known = vouched(known, iter(listed.files))
            for one, file in zip(mine, known, strict=True):
                if file.digest != one.origin.digest:
                    self._wanted[one.path] = replace(one, origin=file)

    def covers(self, path: str) -> bool:
        """Whether a path is in the directory of a part, of this split or of the one before."""
        top, below, _ = path.partition("/")
        return bool(below) and top in self._tops

    # What is to be done

    def _meant(self, files: Iterable[File]) -> Iterator[File]:
        """Those of the files that are in the directory of a part."""
        return (file for file in files if self.covers(file.path) and not file.path.endswith("/"))

    def _decide(self) -> None:
        change = self.change
        have = self._meant(self._there())
        listed = self._meant(change.record.files if change.record else ())
        noted = self._meant(change.finished())
        look = self._linking if self.how in _LINKED else self._copying
        replaced: list[Operation] = []
        strangers: list[Operation] = []
        with self._remembering():
            for done, one in enumerate(look(have, listed, noted), 1):
                self.pulse("Comparing", done, None)
                if one.action is Action.KEEP:
                    etag = one.have.etag if one.have and self._root is None else None
                    self._keeps.append(File(one.file.path, one.file.size, _digest(one), etag=etag))
                    self._changed = self._changed or one.ours != self._keeps[-1].digest
                elif one.action in MOVING:
                    self._todo.append(one.file.path)
                    replaced += [one] if one.have else []
                elif one.action is not Action.FORGET:
                    (strangers if one.ours is None else self._doomed).append(one)
            self._judge(strangers, replaced)
            self._refuse(replaced)
        self.kept, self.written, self.removed = len(self._keeps), len(self._todo), len(self._doomed)

    def _there(self) -> Iterator[File]:
        """What lies at the target, with the digests that are known: in a bucket of what has the ETag that was noted."""
        if self._root is None:
            there = vouched(iter(present_files(self.target)), self.change.finished())
            yield from vouched(there, iter(self.change.record.files)) if self.change.record else there
        elif self._root.is_dir():
            own = self._memories[id(self.target)] = Memory(self.target, self.target)
            yield from known_files(self.target, None, own)

    @contextlib.contextmanager
    def _remembering(self) -> Iterator[None]:
        """Inside, what is read of files is remembered, however it ends."""
        with contextlib.ExitStack() as stack:
            for memory in self._memories.values():
                stack.enter_context(memory)
            yield

    def _linking(self, have: Iterable[File], listed: Iterable[File], noted: Iterable[File]) -> Iterator[Operation]:
        """What makes every file of a part another name of its origin."""

        def decided(row: tuple[File | None, ...]) -> Operation | None:
            want, there, old, note = row
            known = note or old
            ours = known.digest if known else None
            if want is None:
                return Operation(Action.DELETE, there, _LEFT, there, ours) if there else None
            if there is None:
                return Operation(Action.CREATE, want, "not there", None, ours)
            if not self._is_link(want.path):
                return Operation(Action.REPLACE, want, "another file", there, ours)
            asked = want.digest is None
            if asked:
                want = replace(want, digest=wire.wait(self.target.hash(want.path, "sha256")))
            return Operation(Action.KEEP, want, "the same", there, ours, asked=asked)

        def quick(row: tuple[File | None, ...]) -> bool:
            return row[0] is None or row[1] is None or row[0].digest is not None

        rows = aligned((one.file for one in self._wanted.values()), have, listed, noted)
        for one in map_ordered(decided, rows, self.jobs, quick=quick):
            if one:
                if one.asked:
                    self._learn(one.file, self._wanted[one.file.path].origin.etag)
                yield one

    def _copying(self, have: Iterable[File], listed: Iterable[File], noted: Iterable[File]) -> Iterator[Operation]:
        """What makes every file of a part a file of its own, with the bytes of its origin."""
        wants = (one.file for one in self._wanted.values())
        routed = cast(Store, RenamedStore(self._wanted))
        found = plan(
            wants, have, routed, self.target, listed=listed, noted=noted, sha256=True, delete=True, jobs=self.jobs
        )
        for one in found:
            if one.action is Action.KEEP:
                assert one.have
                if one.asked:
                    self._learn(one.file, one.file.etag)
                    if own := self._memories.get(id(self.target)):
                        own.learn(one.have)
                if self._is_link(one.file.path):
                    one.action = Action.REPLACE
            yield one

    def _is_link(self, path: str) -> bool:
        """Whether what is at the target is a name of the very file that is wanted there."""
        one = self._wanted[path]
        here = self.target
        if not (isinstance(one.store, LocalStore) and isinstance(here, LocalStore)):
            return False
        return is_link(here, path, one.store, one.origin.path)

    def _learn(self, file: File, etag: str | None, *, linked: bool = False) -> None:
        """Remember of an origin what was found out of it."""
        one = self._wanted[file.path]
        if memory := self._memories.get(id(one.store)):
            memory.learn(replace(file, path=one.origin.path, etag=etag), linked=linked)

    # What may not be done

    def _judge(self, strangers: list[Operation], replaced: list[Operation]) -> None:
        """Take for ours what a split that did not end must have left; WouldOverwrite for what else a part would show.

        A killed split has noted all but its last files: where one was, a file with the bytes of the input is its own.
        """
        seen = [one for one in strangers if not set_aside(one.file.path) and self._origins.meant(one.file.path)]
        unknown = [*seen, *(one for one in replaced if one.ours is None)]
        left = [one for one in unknown if one.file.path.partition("/")[0] in self._left and not self._symbolic(one)]
        told = zip(left, map_ordered(self._sha256, left, self.jobs), strict=True)
        digests = {one.file.path: digest for one, digest in told}
        held = set(self._origins.held(digests))
        for one in left:
            one.ours = digests[one.file.path] if one.file.path in held else None
        self._doomed += [one for one in seen if one.ours]
        if others := sorted(one.file.path for one in seen if not one.ours):
            words = f"files lie in the directories of parts that are in no part: {_several(others)}"
            raise WouldOverwrite(f"{self.target.place}: {words}", paths=tuple(others[:10_000]), hint=AWAY)

    def _sha256(self, one: Operation) -> str | None:
        try:
            return wire.wait(self.target.hash(one.file.path, "sha256"))
        except StoreError:  # what cannot be read cannot be known to be ours
            return None

    def _refuse(self, replaced: list[Operation]) -> None:
        """WouldOverwrite when files would go that are not ours, or that are nowhere else."""
        going = [*replaced, *self._doomed]
        refused = [
            one.file.path
            for one, ours in zip(going, map_ordered(self._ours, going, self.jobs), strict=True)
            if not ours
        ]
        if refused:
            raise WouldOverwrite.of(self.target.place, sorted(refused), AWAY)
        if last := sorted(self._last_ones()):
            words = f"files of an earlier split that the input does not hold any more: {_several(last)}"
            raise WouldOverwrite(f"{self.target.place}: {words}", paths=tuple(last[:10_000]), hint=AWAY)

    def _ours(self, one: Operation) -> bool:
        """Whether visprep put a file there and nobody changed it since, or it is a name of a file of the input."""
        if one.file.path in self._wanted and self._is_link(one.file.path):
            return True
        if one.ours is None or one.have is None:
            return False
        if one.have.digest:
            return one.have.digest == one.ours
        return not self._symbolic(one) and self._sha256(one) == one.ours

    def _symbolic(self, one: Operation) -> bool:
        return self._root is not None and (self._root / one.file.path).is_symlink()

    def _last_ones(self) -> Iterator[str]:
        """Those of the files to be removed whose bytes are nowhere else, as far as the input and links tell."""
        root = self._root
        alone = {
            one.file.path: one.ours
            for one in self._doomed
            if root is None or os.lstat(root / one.file.path).st_nlink < 2
        }
        yield from alone.keys() - set(self._origins.held(alone)) if alone else ()

    # Doing it

    def carry_out(self) -> list[File]:
        """Do what is to be done, noting each file with the change; all files of the parts, with their digests.

        Incomplete when some could not be made: the rest is there, and nothing was removed.
        """
        done = list(self._keeps)
        if not (self._todo or self._doomed):
            return done
        with self._remembering(), journal(self.change.store, self.change.step) as failures:
            moving = self._links() if self.how in _LINKED else self._copies()
            words = "Linking" if self.how in _LINKED else "Copying"
            with contextlib.closing(moving):
                for count, (path, outcome) in enumerate(moving, 1):
                    if isinstance(outcome, VisprepError):
                        failures.append((path, outcome))
                        continue
                    self.change.note(outcome)
                    done.append(outcome)
                    self.pulse(words, count, self.written, last=count == self.written)
            for failure in () if failures else self.change.remove(one.file.path for one in self._doomed):
                failures.append(failure)
            if failures:
                raise Incomplete.of(failures, len(self._wanted))
        return done

    def _copies(self) -> Generator[tuple[str, File | VisprepError], None, None]:
        routed = cast(Store, RenamedStore(self._wanted))
        files = (self._wanted[path].file for path in self._todo)
        if self._root is not None and all(map(on_this_machine, self._stores)):
            outcomes = in_threads(files, routed, self.target, jobs=self.jobs)
        else:
            making = (Operation(Action.CREATE, file, "") for file in files)
            outcomes = apply(making, routed, self.target, jobs=self.jobs)
        for path, outcome in surviving(outcomes):
            if isinstance(outcome, File):
                self._learn(outcome, self._wanted[path].origin.etag)
            yield path, outcome

    def _links(self) -> Generator[tuple[str, File | VisprepError], None, None]:
        wanted, here = map(self._wanted.__getitem__, self._todo), cast(LocalStore, self.target)
        for outcomes in map_ordered(lambda batch: links(here, batch), together(wanted), self.jobs):
            for path, outcome in outcomes:
                if isinstance(outcome, File):
                    self._learn(outcome, outcome.etag, linked=True)
                    outcome = File(outcome.path, outcome.size, outcome.digest)
                yield path, outcome


def _several(paths: Sequence[str]) -> str:
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]


def _whence(one: Renamed) -> tuple[str, str]:
    """The same for the same file, however its place was named."""
    return str(one.store.root) if isinstance(one.store, LocalStore) else one.store.place, one.origin.path


def _digest(kept: Operation) -> str | None:
    """The sha256 of a file that is kept: the origin may be known by another digest."""
    told = (kept.file.digest, kept.have and kept.have.digest)
    return next((one for one in told if one and one.startswith("sha256:")), None)
