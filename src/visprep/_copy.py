"""Copying a place: what `upload`, `sync`, and `download` of a place, have in common."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial

from visprep import garbage_collection, plan_files, provenance
from visprep.changes import PlaceChange, begin
from visprep.copy_ends import check_bandwidth, check_ends, check_sight, is_ours, may_come, name_of, parts_at, remember
from visprep.copying import CopyOptions, CopyResult, measure
from visprep.engines import Engine, open_engine
from visprep.errors import (
    AccessDenied,
    BadRecord,
    Incomplete,
    PlaceMissing,
    TooManyDeletes,
    UsageError,
    VisprepError,
    WouldOverwrite,
)
from visprep.histories import edits_by_hand, merged
from visprep.journal import Failures, forget_journal, journal
from visprep.known_files import known_files, memory_of, sha256_of, with_promises
from visprep.manifest import DATASET, File, pack_file, unpack_file
from visprep.manifest_draft import Draft
from visprep.own_record import Listed, read_dataset
from visprep.path_conflicts import Obstacles
from visprep.plans import MOVING, Action, Compare, Operation, guard, pack_operation, plan, unpack_operation
from visprep.progress import OnProgress, Pulse
from visprep.provenance import Step
from visprep.spool import Spool
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import LARGE, apply


def copy_place(
    origin: Store,
    target: Store,
    command: str,
    options: CopyOptions,
    progress: OnProgress,
    show: Callable[[Operation], None] | None = None,
) -> CopyResult:
    """Make `target` hold every file of `origin`, with its provenance; files that only `target` has stay.

    `show` is told every operation of the plan but KEEP. WouldOverwrite before anything is changed when files are in
    the way. Files that fail are journaled, the rest is done, nothing is deleted: Incomplete.
    """
    check_ends(origin, target, delete=options.delete)
    holder = next((store for store in (target, origin) if isinstance(store, LocalStore)), target)
    step = provenance.step(command, f"{name_of(origin)}/", options=options.asked)  # a slash: sample/ is no source
    with garbage_collection.rarely(), contextlib.ExitStack() as stack:
        engine = stack.enter_context(open_engine(options.engine, jobs=options.jobs, ray_address=options.ray_address))
        check_bandwidth(engine, options.bandwidth)
        failures = stack.enter_context(journal(holder, step))
        change = stack.enter_context(begin(target, step, overwrite=options.may_replace))
        copy = _Copy(origin, target, change, options, progress, engine)
        copy.plan(show)
        if options.plan:
            plan_files.write(options.plan, copy.header, copy.operations)
        mark = copy.check()
        if options.planning:
            return copy.result
        with copy.origin_memory, copy.target_memory:
            copy.move(failures)
            if failures:
                raise Incomplete.of(failures, copy.wanted)
            copy.remove(failures)
            copy.finish()
            copy.tidy()
            if mark:
                mark.clear()
        forget_journal(holder)
    return copy.result


class _Copy:
    """One copy under way."""

    def __init__(
        self,
        origin: Store,
        target: Store,
        change: PlaceChange,
        options: CopyOptions,
        progress: OnProgress,
        engine: Engine,
    ) -> None:
        self.origin, self.target, self.change, self.engine = origin, target, change, engine
        self.options, self.pulse = options, Pulse(progress)
        self.listed = Listed.read(origin)
        self.obstacles = Obstacles(target, needed=options.delete or change.resumed)
        self.managed = bool(options.provenance or self.listed or change.record or change.dataset)
        self.steps = self._history()
        self.operations = Spool(pack_operation, unpack_operation)
        self.moved = Spool(pack_file, unpack_file)
        self.counts: Counter[Action] = Counter()
        self.states = plan_files.State(), plan_files.State()
        self.wanted = self.asked = self.markers = self.bytes = self.present = 0
        self.blind: str | None = None
        self.new_buckets: list[str] = []
        # Whether there is nothing to do or to learn, and whether the target's record says all that is true
        self.idle, self.same, self.large = True, not change.resumed, False
        holder = next((store for store in (target, origin) if isinstance(store, LocalStore)), None)
        # A prefix that has a manifest needs no memory elsewhere
        self.origin_memory = memory_of(origin, holder, needed=not self.listed)
        self.target_memory = memory_of(target, holder, needed=not self.managed)

    def _history(self) -> tuple[Step, ...]:
        """The steps that made the origin what it is; where no record is kept, a `dataset.json` may be anyone's."""
        on_disk = isinstance(self.origin, LocalStore)
        try:
            dataset = read_dataset(self.origin, None if on_disk else self.listed)
        except BadRecord:
            if self.managed:
                raise
            return ()
        self.managed = self.managed or dataset is not None
        return dataset.steps if dataset else ()

    def _is_record(self, path: str) -> bool:
        return path == DATASET and self.managed

    @property
    def result(self) -> CopyResult:
        """What was done, or is to be done."""
        kept, deleted = self.counts[Action.KEEP], self.counts[Action.DELETE]
        counts = sum(self.counts[action] for action in MOVING), kept, self.bytes, deleted, self.markers, self.asked
        plans, made = self.options.planning, next(iter(self.new_buckets), None)
        more = plans, plans and deleted > self._limit, parts_at(self.origin, self.options.admits), made
        return CopyResult(self.origin.place, self.target.place, *counts, *more)

    def plan(self, show: Callable[[Operation], None] | None) -> None:
        """Find out what is to be done; nothing is changed yet."""
        want, have = self._want(), self._have()
        if self.options.plan or self.options.apply:
            want, have = (state.watch(files) for state, files in zip(self.states, (want, have), strict=True))
        operations = plan(
            want,
            have,
            self.origin,
            self.target,
            listed=self.change.record.files if self.change.record else (),
            noted=self.change.finished(),
            by=self.options.by,
            sha256=self.managed,
            delete=self.options.delete,
            admits=self.options.admits,
            jobs=self.options.jobs,
            engine=self.engine,
        )
        if not self.options.may_replace:
            operations = guard(operations, partial(is_ours, self.target))
        refused = Spool(str, str)
        for operation in self.obstacles.watch(operations):
            self.operations.append(operation)
            action = operation.action
            self.counts[action] += 1
            self.asked += operation.requested
            self.pulse("Comparing", len(self.operations), None)
            if action is Action.KEEP:
                self.idle = self.idle and not operation.asked
                self.same = self.same and operation.recorded and self._known(operation).digest == operation.ours
            if action in (Action.KEEP, Action.LEAVE):
                continue
            self.idle = self.same = False
            if action in MOVING:
                self.bytes += operation.file.size or 0
                self.large = self.large or (operation.file.size or 0) > LARGE
            if action is Action.REFUSE:
                refused.append(operation.file.path)
            if show and action is not Action.FORGET:
                show(operation)
        self.pulse("Comparing", len(self.operations), len(self.operations), last=True)
        if refused:
            raise WouldOverwrite.of(self.target.place, refused)
        if not self.wanted:
            what = "no file is meant by --include and --exclude" if self.options.partial else "there is nothing to copy"
            raise PlaceMissing(f"{self.origin.place}: {what}", hint="check the path")

    def _want(self) -> Iterator[File]:
        """The files to copy, with all that is known of them."""
        known = known_files(self.origin, None, self.origin_memory)
        # On disk the files are the truth: people mend a prompt and upload again. Elsewhere the manifest is a promise.
        promised = self.listed if self.listed and not isinstance(self.origin, LocalStore) else None
        for file in with_promises(promised.files, known) if promised else known:
            if file.size is None and self.options.delete and isinstance(self.origin, LocalStore):
                self.blind = file.path
            if not self._is_record(file.path) and self.options.admits(file.path):
                if file.path.endswith("/") and not file.size:
                    self.markers += 1
                    continue
                self.wanted += 1
                yield file

    def _have(self) -> Iterator[File]:
        with may_come(self.options.create_bucket, self.new_buckets):  # the target need not exist yet
            for file in known_files(self.target, self.change.record, self.target_memory):
                if not self._is_record(file.path) and not (file.path.endswith("/") and not file.size):
                    self.present += 1
                    yield file

    @property
    def header(self) -> plan_files.Header:
        """What a file says of this plan."""
        places = self.origin.place, self.target.place
        return plan_files.header(places, self.options.shaping, self.states, self.operations)

    def check(self) -> plan_files.Mark | None:
        """The mark that a plan is begun; PlanStale, TooManyDeletes and the like when it may not be carried out."""
        mark = plan_files.check(self.options.apply, self.header, self.operations) if self.options.apply else None
        if self.options.planning:
            return None
        count, limit = self.counts[Action.DELETE], self._limit
        if count and self.blind is not None:
            raise AccessDenied(
                f"{self.origin.place}: {self.blind} cannot be looked into, so nobody knows what is to be deleted",
                hint="check its permissions, replace it if it is a link, or leave out --delete",
            )
        if count > limit:
            raise TooManyDeletes(
                f"{self.target.place}: {count:,} of {self.present:,} files would be deleted, and {limit:,} may be",
                hint=f"look at them with --dry-run; if they shall go: --max-delete {count}",
            )
        if count and self.options.confirm and not self.options.confirm(count):
            raise UsageError("nothing was done, since the deletion was not confirmed", hint="leave out --delete")
        if any(self.counts[action] for action in MOVING):
            check_sight(self.engine, self.origin, self.target)
        if mark:
            mark.set()
        return mark

    @property
    def _limit(self) -> int:
        """How many files may be deleted."""
        return self.present // 2 if self.options.max_delete is None else self.options.max_delete

    def move(self, failures: Failures) -> None:
        """Move what is to be moved; what fails joins `failures`."""
        total = sum(self.counts[action] for action in MOVING)
        if self.managed and total + self.counts[Action.DELETE] + self.counts[Action.CLEAR]:
            self.change.mark()
            remember(self.origin, self.target)
        whole, unit = measure(total, self.bytes, large=self.large)
        bytes_moved = bytes_done = files_done = 0

        def heard(moved: int = 0) -> None:
            nonlocal bytes_moved
            bytes_moved += moved
            done = min(max(bytes_moved, bytes_done), whole) if unit == "bytes" else files_done
            self.pulse("Copying", done, whole, unit, last=done == whole)

        if total:  # it takes time from here on, not from when the first is there
            self.pulse("Copying", 0, whole, unit, last=True)
        with contextlib.closing(self._moving(heard)) as outcomes:
            for path, outcome in outcomes:
                files_done += 1
                if isinstance(outcome, VisprepError):
                    failures.append((path, outcome))
                    continue
                self.moved.append(outcome)
                self.target_memory.learn(outcome)
                if self.managed:
                    self.change.note(outcome)
                bytes_done += outcome.size or 0
                heard()

    def _moving(self, heard: Callable[[int], None]) -> Generator[tuple[str, File | VisprepError], None, None]:
        move = partial(apply, jobs=self.options.jobs, bandwidth=self.options.bandwidth, engine=self.engine)
        for operations, store in self.obstacles.ways(self.operations):
            yield from move(operations, self.origin, store, on_bytes=heard)

    def remove(self, failures: Failures) -> None:
        """Delete what is to be deleted, now that everything else is there; Incomplete when something cannot be."""
        doomed = (one.file.path for one in self.operations if one.action in (Action.DELETE, Action.CLEAR))
        for step in (self.change.remove(doomed), self.obstacles.overcome(self.operations)):
            for failure in step:
                failures.append(failure)
            if failures:
                raise Incomplete.of(failures, self.counts[Action.DELETE])

    def finish(self) -> None:
        """Write the target's record, unless it says all that already."""
        before = self.change.dataset.steps if self.change.dataset else ()
        record = self.change.record
        if self.idle and not self.managed:
            return
        kept = (self._at_origin(one) for one in self.operations if one.action is Action.KEEP)
        if self.idle and self.same and record and not self._edits(kept) and before == self._after(before):
            return
        draft = Draft(self.target)
        origin_files = Draft(self.target) if self._edited_by_hand else None
        finals = self._finals(draft, origin_files)
        edits = self._edits(finals)
        deque(finals, 0)
        if not self.managed:
            return
        if edits and origin_files:
            made = {"files": origin_files.digest}
            self.steps = (*self.steps, provenance.step("edit", "by hand", options=made, counts=edits))
        steps = self._after(before)
        if self.same and record and before == steps:
            return
        if not self.change.marked:
            self.change.mark()
        self.change.finish(draft, steps)

    def tidy(self) -> None:
        """Drop what was broken off earlier: unfinished files, and old uploads of large files that are whole now."""
        self.obstacles.tidy()
        if isinstance(self.target, LocalStore) and self.target.parts_seen:
            self.target.sweep()
        if self.large and len(self.moved) and self.target.place.startswith("s3://"):
            from visprep.stores.s3_uploads import abort_stale

            large = (one.file.path for one in self.operations if (one.file.size or 0) > LARGE)
            with contextlib.suppress(VisprepError):  # not everyone may, and nothing depends on it
                abort_stale(self.target, large)  # type: ignore[arg-type]  # it is an S3Store

    @property
    def _edited_by_hand(self) -> bool:
        """Whether people may have changed the origin since its manifest was written."""
        return isinstance(self.origin, LocalStore) and self.listed is not None

    def _edits(self, files: Iterable[File]) -> dict[str, int]:
        """What people changed at the origin since its manifest was written, seeing the files that it has now."""
        if not self._edited_by_hand or self.listed is None:
            return {}
        return edits_by_hand((file for file in self.listed.files if self.options.admits(file.path)), files)

    def _after(self, before: tuple[Step, ...]) -> tuple[Step, ...]:
        """The steps of the target, which were `before`, after this copy."""
        steps, partial = self.steps, self.options.partial
        if not steps:
            counts = {"files": self.wanted}
            steps = (provenance.step("upload", name_of(self.origin), options=partial, counts=counts),)
        elif partial:
            steps = (*steps, provenance.step("sync", name_of(self.origin), options=partial))
        return merged(before, steps, alone=not self.counts[Action.LEAVE])

    def _finals(self, draft: Draft, origin_files: Draft | None) -> Iterator[File]:
        """The origin's files, as they are known now; all that the target holds and shall list goes to `draft`."""
        moved = self.moved.sorted(lambda file: file.sort_key)
        for one in self.operations:
            file = one.file
            if one.action is Action.LEAVE:
                draft.add(file)
                continue
            if one.action in MOVING:
                made = next(moved)
                self.origin_memory.learn(File(file.path, file.size, made.digest, file.mtime, file.etag, file.md5))
                draft.add(made)
                file = made
            elif one.action is Action.KEEP:
                kept = self._kept(one)
                draft.add(kept)
                self.same = self.same and one.recorded and kept.digest == one.ours
                file = self._at_origin(one, kept)
            self.same = self.same and one.action is Action.KEEP
            if one.action in MOVING or one.action is Action.KEEP:
                if origin_files:
                    origin_files.add(file)
                yield file

    def _kept(self, one: Operation) -> File:
        """A kept file with the digest that a manifest needs, read from its bytes where nobody can tell it."""
        known, have = self._known(one), one.have
        assert have
        asked = one.asked
        if known.digest is None and self.managed:
            digest, asked = sha256_of(have, self.target), True
            have = replace(have, digest=digest, md5=have.digest or have.md5)
            known = replace(known, digest=digest)
        if asked:  # what is known otherwise was remembered, or is listed
            self.origin_memory.learn(one.file)
            self.target_memory.learn(have)
        return known

    def _known(self, one: Operation) -> File:
        """A kept file as the manifest tells it, as far as that is known by now."""
        have = one.have
        assert have
        digest = one.ours if one.recorded and self.options.by is not Compare.content else None
        # What was not compared by content says nothing of the target
        for known in (one.file.digest if self.options.by is Compare.content else None, have.digest):
            if digest is None and known is not None and known.startswith("sha256:"):
                digest = known
        return File(one.file.path, have.size, digest, None, have.etag, made_from=have.made_from)

    def _at_origin(self, one: Operation, kept: File | None = None) -> File:
        """A kept file as the origin has it, as far as that is known."""
        if self.options.by is Compare.content:
            return kept or self._known(one)
        return one.file if (one.file.digest or "").startswith("sha256:") else File(one.file.path, one.file.size)
