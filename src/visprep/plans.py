"""What must be done so that one place holds what another holds, and why: a stream of operations in order of path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

from visprep import wire
from visprep.digests import algorithm_of
from visprep.engines import Engine
from visprep.engines.local import map_ordered
from visprep.errors import StoreError, VisprepError, WorkerLost
from visprep.manifest import Change, File, aligned, bare_etag, compare, pack_file, unpack_file
from visprep.stores import Store
from visprep.stores.ends import Ends
from visprep.stores.local import LocalStore

#: Requests in flight where two sides are asked about files.
IN_FLIGHT = 64
#: Rows that are compared together, and the bytes that they may have to be read for that.
_ROWS, _ROW_BYTES = 512, 2**26
#: Batches of rows that are spread over the workers of an engine together.
_SPREAD = 128


class Action(StrEnum):
    """What is to be done with one file at the target."""

    CREATE = "create"
    REPLACE = "replace"
    KEEP = "keep"
    REFUSE = "refuse"
    DELETE = "delete"
    #: Only the target has it, and its manifest lists it
    LEAVE = "leave"
    #: The target's manifest lists it, and it is gone
    FORGET = "forget"
    #: An unfinished command made it, and nobody wants it
    CLEAR = "clear"


MOVING = (Action.CREATE, Action.REPLACE)


class Compare(StrEnum):
    """What counts as the same: the bytes, or size and time as rsync and s5cmd have it, or the size alone."""

    content = "content"
    time = "time"
    size = "size"


@dataclass(slots=True)  # not frozen, which would make them four times as dear
class Operation:
    """One file, what to do with it, and why.

    `file` is as wanted (for what is not wanted, as it is there), `have` as it is at the target; after KEEP, digests
    are known where they can be. `ours` is the digest of what visprep wrote there last, `recorded` whether the target's
    manifest knows the file with the ETag that it has, `asked` whether a side had to be asked about this very file, and
    `requested` whether that took a request.
    """

    action: Action
    file: File
    reason: str
    have: File | None = None
    ours: str | None = None
    recorded: bool = False
    asked: bool = False
    requested: bool = False

    @property
    def unsure(self) -> bool:
        """Whether the file is only replaced because nobody could tell whether it is the same."""
        return self.reason in (_REASONS[Change.UNKNOWN], _MD5S)


def pack_operation(one: Operation) -> tuple[Any, ...]:
    """An operation as plain data."""
    have = one.have and pack_file(one.have)
    told = one.recorded, one.asked, one.requested
    return one.action.value, pack_file(one.file), one.reason, have, one.ours, *told


def unpack_operation(packed: tuple[Any, ...]) -> Operation:
    """The reverse of `pack_operation`."""
    action, file, reason, have, *rest = packed
    return Operation(Action(action), unpack_file(file), reason, have and unpack_file(have), *rest)


#: Sure but for objects that are encrypted with KMS, whose ETags only look like MD5s.
_MD5S = "the MD5 differs"
_REASONS: Mapping[Change, str] = {
    Change.MISSING: "not there",
    Change.SIZE: "the size differs",
    Change.CONTENT: "the content differs",
    Change.UNKNOWN: "the content cannot be compared",
}


@dataclass(slots=True)
class _Row:
    """One path in the four lists that a plan is made from."""

    want: File | None
    have: File | None
    listed: File | None
    noted: File | None
    change: Change = Change.SAME
    md5s_differ: bool = False
    asked: bool = False
    requested: bool = False

    @property
    def doubtful(self) -> bool:
        """Whether the lists alone cannot tell; MD5s that differ may be the ETag of an encrypted object."""
        if self.change is Change.CONTENT:
            return not (_has_sha256(self.want) and _has_sha256(self.have))
        return self.change is Change.UNKNOWN

    @property
    def lacks_sha256(self) -> bool:
        """Whether the file is kept, and its SHA-256 is in neither list."""
        kept = self.want is not None and self.have is not None and self.change is Change.SAME
        return kept and not (_has_sha256(self.want) or _has_sha256(self.have))


def _has_sha256(file: File | None) -> bool:
    return file is not None and file.digest is not None and file.digest.startswith("sha256:")


def plan(
    want: Iterable[File],
    have: Iterable[File],
    origin: Store,
    target: Store,
    *,
    listed: Iterable[File] = (),
    noted: Iterable[File] = (),
    by: Compare = Compare.content,
    sha256: bool = False,
    delete: bool = False,
    admits: Callable[[str], bool] = bool,
    jobs: int | None = None,
    engine: Engine | None = None,
) -> Iterator[Operation]:
    """What makes `target` hold every file of `want`, in order of path, as four sorted lists tell.

    `listed` is what the target's manifest lists, `noted` what an unfinished command of ours wrote there. Files that
    only the target has are no one's business, unless `delete` says so, or the target's record must follow. What
    `admits(path)` does not admit is not touched.

    Where the two sides know no common digest, both are asked for one: a file on disk is read, an object on S3 is asked
    about, many at a time. Only equal content is kept: doubt means REPLACE. With `sha256` that of every kept file is
    found out too. Where there is a lot to ask, an `engine` that spreads work has its workers do it.
    """

    def operations(rows: Sequence[_Row]) -> list[Operation]:
        return [operation for row in rows if (operation := _operation(row, delete, admits))]

    def decided(rows: list[_Row]) -> list[Operation]:
        return operations(_settled(origin, target, sha256, rows))

    batches = _rows(aligned(want, have, listed, noted), by, sha256)
    if engine and engine.spreads:
        for rows in _spread(batches, origin, target, sha256, engine):
            yield from operations(rows)
        return
    for decisions in map_ordered(decided, batches, jobs, quick=lambda rows: not any(row.asked for row in rows)):
        yield from decisions


def _settled(origin: Store, target: Store, sha256: bool, rows: Sequence[_Row]) -> Sequence[_Row]:
    """The rows themselves; the two sides were asked about those that are to be asked about."""
    doubts = ((number, _settle(row, origin, target, sha256)) for number, row in enumerate(rows) if row.asked)
    for number, outcome in wire.run(doubts, IN_FLIGHT):
        if isinstance(outcome, StoreError):  # moving it will meet the same error, and say so of this file alone
            rows[number].change = Change.UNKNOWN
        elif isinstance(outcome, VisprepError):
            raise outcome
    return rows


def _spread(
    batches: Iterator[list[_Row]], origin: Store, target: Store, sha256: bool, engine: Engine
) -> Iterator[Sequence[_Row]]:
    """The batches in order; the workers of an engine asked about their rows, where there are many to ask about."""
    ends = Ends(origin, target)
    work = partial(_settle_slice, ends, sha256)
    while some := list(islice(batches, _SPREAD)):
        asked = [[row for row in rows if row.asked] for rows in some]
        if sum(map(bool, asked)) < 2:
            yield from (_settled(origin, target, sha256, rows) for rows in some)
            continue
        engine.check(ends.origin, ends.target)
        told = (row for rows in engine.map(work, filter(None, asked), lost=_lost) for row in rows)
        yield from ([next(told) if row.asked else row for row in rows] for rows in some)


def _settle_slice(ends: Ends, sha256: bool, rows: Sequence[_Row]) -> Sequence[_Row]:
    """The rows, in a worker, with what was found out about them."""
    ends = ends.here()
    return _settled(ends.origin, ends.target, sha256, rows)


def _lost(row: _Row, _: WorkerLost) -> _Row:
    return replace(row, change=Change.UNKNOWN)  # moving it will tell


def _rows(lists: Iterable[tuple[File | None, ...]], by: Compare, sha256: bool) -> Iterator[list[_Row]]:
    """The rows, compared as far as the lists tell, in batches that are each worth a thread's while."""
    batch: list[_Row] = []
    size = 0
    needs_sha256 = sha256 and by is Compare.content
    for want, have, listed, noted in lists:
        row = _Row(want, have, listed, noted)
        if want is not None and have is not None:
            row.change = _compared(want, have, by)
            doubtful = row.doubtful
            if doubtful and _made_from(want, have):
                row.change, doubtful = Change.SAME, False
            row.asked = doubtful or (needs_sha256 and row.lacks_sha256)
            if row.asked:
                size += want.size or 0
        batch.append(row)
        if len(batch) == _ROWS or size > _ROW_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _compared(want: File, have: File, by: Compare) -> Change:
    if by is Compare.content or want.size is None or have.size is None:
        return compare(want, have)
    if want.size != have.size:
        return Change.SIZE
    if by is Compare.time and want.mtime and have.mtime and int(want.mtime) > int(have.mtime):
        return Change.CONTENT if compare(want, have) is not Change.SAME else Change.SAME
    return Change.SAME


def _operation(row: _Row, delete: bool, admits: Callable[[str], bool]) -> Operation | None:
    want, have, listed = row.want, row.have, row.listed
    ours = row.noted or listed
    known = ours.digest if ours else None
    if want is None and have is None:
        return Operation(Action.FORGET, listed, "gone from the target", None, known) if listed else None
    if want is None:
        assert have
        meant = admits(have.path)
        if meant and row.noted and not listed and row.noted.etag in (None, bare_etag(have.etag or "")):
            return Operation(Action.CLEAR, have, "left by an unfinished command", have, known)
        if meant and delete:
            return Operation(Action.DELETE, have, "not at the origin", have, known)
        return Operation(Action.LEAVE, row.noted or listed, "only at the target", have, known) if listed else None
    if have is None:
        return Operation(Action.CREATE, want, _REASONS[Change.MISSING], None, known)
    if row.change is Change.SAME:
        recorded = listed is not None and listed.etag in (None, bare_etag(have.etag or ""))
        return Operation(Action.KEEP, want, "the same", have, known, recorded, row.asked, row.requested)
    reason = _MD5S if row.change is Change.UNKNOWN and row.md5s_differ else _REASONS[row.change]
    return Operation(Action.REPLACE, want, reason, have, known, False, row.asked, row.requested)


async def _settle(row: _Row, origin: Store, target: Store, sha256: bool) -> None:
    """Compare by any digest that both sides can tell; an ETag that looks like an MD5 and differs proves nothing."""
    assert row.want
    assert row.have
    known = {algorithm_of(digest) for file in (row.want, row.have) for digest in (file.digest, file.md5) if digest}
    same = row.change is Change.SAME
    row.change = Change.UNKNOWN
    alike = type(origin) is type(target) and not isinstance(origin, LocalStore)
    if alike and not same and row.want.etag and not _has_sha256(row.want):
        row.asked = row.requested = True
        told = await target.stat(row.have.path)
        row.have = replace(_with_sha256(row.have, told.digest), made_from=told.made_from)
        same = _made_from(row.want, row.have)
    for algorithm in sorted(known | {"sha256"}):  # md5 first: it is in listings, a sha256 costs a request
        if same:
            break
        row.want = await _told(row, row.want, origin, algorithm)
        ours = _digest(row.want, algorithm)
        if ours:
            row.have = await _told(row, row.have, target, algorithm)
            theirs = _digest(row.have, algorithm)
            same = ours == theirs
            row.md5s_differ = row.md5s_differ or bool(theirs and not same and algorithm == "md5")
            if theirs and not same and algorithm == "sha256":
                row.change = Change.CONTENT
                return
    if same:
        row.change = Change.SAME
        if sha256 and row.lacks_sha256:
            row.have = await _told(row, row.have, target, "sha256")
        if sha256 and row.lacks_sha256:
            row.want = await _told(row, row.want, origin, "sha256")


def _made_from(want: File, have: File) -> bool:
    """Whether one was copied from the other as it is now, though no digest says so."""
    return want.etag is not None and have.made_from == bare_etag(want.etag)


def _digest(file: File, algorithm: str) -> str | None:
    return next((one for one in (file.digest, file.md5) if one and algorithm_of(one) == algorithm), None)


async def _told(row: _Row, file: File, store: Store, algorithm: str) -> File:
    """The file of a row with the digest that the store tells, if it does."""
    if _digest(file, algorithm) or (algorithm == "md5" and not isinstance(store, LocalStore)):
        return file  # a listing has told what MD5 there is
    row.asked = True
    row.requested = row.requested or not isinstance(store, LocalStore)
    told = await store.hash(file.path, algorithm)
    if told is None:
        return file
    if algorithm == "sha256":
        return _with_sha256(file, told)
    return replace(file, md5=told) if file.digest else replace(file, digest=told)


def _with_sha256(file: File, told: str | None) -> File:
    if _has_sha256(file) or not told or algorithm_of(told) != "sha256":
        return file
    return replace(file, digest=told, md5=file.digest or file.md5)


def guard(operations: Iterable[Operation], may_replace: Callable[[Operation], bool]) -> Iterator[Operation]:
    """The same operations, with REFUSE in place of every REPLACE that `may_replace` does not allow."""
    for operation in operations:
        if operation.action is Action.REPLACE and not may_replace(operation):
            yield replace(operation, action=Action.REFUSE, reason="not written by visprep, or changed since")
        else:
            yield operation
