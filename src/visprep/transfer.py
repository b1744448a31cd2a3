"""Making one place hold what another holds: `plan` says what must be done and why, `apply` does it.

Nothing here deletes. A failure of one file is an outcome, not an end: the rest goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from visprep import wire
from visprep.digests import algorithm_of
from visprep.engines.local import map_ordered
from visprep.errors import CredentialsError, DiskFull, NetworkError, StoreError, VisprepError
from visprep.manifest import Change, Difference, File, diff
from visprep.stores import Store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore
from visprep.stores.unpacking import unpack

#: Requests in flight for whole files; a gentle number that no endpoint minds.
IN_FLIGHT = 32
#: Files up to a size in bytes, and how many of them may be on their way at once. What is sent to S3 is in memory: whole
#: up to 16 MiB, several parts of it beyond.
_TIERS = ((2**20, IN_FLIGHT), (2**24, 4), (float("inf"), 2))
#: What a thread does in one go: so many files, or so many bytes.
_BATCH, _BATCH_BYTES = 64, 8 * 1024 * 1024
#: After so many failures of the network in a row the other side is gone, and the rest would only wait for nothing.
_HOPELESS = 20


class Action(StrEnum):
    """What is to be done with one file at the target."""

    CREATE = "create"
    REPLACE = "replace"
    KEEP = "keep"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Operation:
    """One file, what to do with it, and why. `file` is as wanted; after KEEP its digest is known where it can be."""

    action: Action
    file: File
    reason: str


_REASONS: Mapping[Change, str] = {
    Change.MISSING: "not there",
    Change.SIZE: "the size differs",
    Change.CONTENT: "the content differs",
    Change.UNKNOWN: "the content cannot be compared",
}


def plan(want: Iterable[File], have: Iterable[File], origin: Store, target: Store) -> list[Operation]:
    """What makes `target` hold every file of `want`, in order of path; extra files there are no one's business.

    Where the two lists know no common digest, both sides are asked for one: a file on disk is read, an object on
    S3 is asked about, many at a time. Only equal content is kept: doubt means REPLACE.
    """
    differences = [difference for difference in diff(want, have) if difference.want is not None]
    doubts = ((one.path, _settle(one, origin, target)) for one in differences if _doubtful(one))
    settled: dict[str, tuple[Change, File]] = {}
    wanted = {one.path: one.want for one in differences if one.want}
    for path, outcome in wire.run(doubts, IN_FLIGHT):
        if isinstance(outcome, StoreError):  # moving it will meet the same error, and say so of this file alone
            settled[path] = Change.UNKNOWN, wanted[path]
        elif isinstance(outcome, VisprepError):
            raise outcome
        else:
            settled[path] = outcome
    return [_operation(*settled.get(one.path, (one.change, one.want))) for one in differences if one.want]


def _doubtful(difference: Difference) -> bool:
    """Whether the lists alone cannot tell; MD5s that differ may be the ETag of an encrypted object."""
    if difference.change is Change.CONTENT and difference.want:
        return algorithm_of(difference.want.digest or "") == "md5"
    return difference.change is Change.UNKNOWN


def _operation(change: Change, file: File) -> Operation:
    if change is Change.SAME:
        return Operation(Action.KEEP, file, "the same")
    return Operation(Action.CREATE if change is Change.MISSING else Action.REPLACE, file, _REASONS[change])


async def _settle(difference: Difference, origin: Store, target: Store) -> tuple[Change, File]:
    """Compare by any digest that both sides can tell; an ETag that looks like an MD5 and differs proves nothing."""
    want, have = difference.want, difference.have
    assert want is not None
    assert have is not None
    known = {algorithm_of(file.digest) for file in (want, have) if file.digest}
    for algorithm in sorted(known | {"sha256"}):  # md5 first: it is in listings, a sha256 costs a request
        ours = await _digest(want, origin, algorithm)
        theirs = await _digest(have, target, algorithm) if ours else None
        if ours and ours == theirs:
            return Change.SAME, replace(want, digest=ours) if algorithm == "sha256" else want
        if ours and theirs and algorithm == "sha256":
            return Change.CONTENT, want
    return Change.UNKNOWN, want


async def _digest(file: File, store: Store, algorithm: str) -> str | None:
    if file.digest and algorithm_of(file.digest) == algorithm:
        return file.digest
    return await store.hash(file.path, algorithm)


def guard(operations: Iterable[Operation], may_replace: Callable[[str], bool]) -> Iterator[Operation]:
    """The same operations, with REFUSE in place of every REPLACE that `may_replace(path)` does not allow."""
    for operation in operations:
        if operation.action is Action.REPLACE and not may_replace(operation.file.path):
            yield replace(operation, action=Action.REFUSE, reason="not written by visprep, or changed since")
        else:
            yield operation


def apply(
    operations: Iterable[Operation],
    origin: Store,
    target: Store,
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[tuple[str, File | VisprepError]]:
    """Carry out CREATE and REPLACE; the path and the finished file, or the error, as each ends.

    KEEP and REFUSE are passed over. Errors that would meet every other file too (no credentials, a full disk,
    a server that fails again and again) are raised. `jobs` says how many files are under way at once, or, when both
    ends are on this machine, how many threads work on them; `on_bytes` is told of bytes as they come.
    """
    moving = [one.file for one in operations if one.action in (Action.CREATE, Action.REPLACE)]
    if on_this_machine(origin) and on_this_machine(target):
        yield from surviving(in_threads(moving, origin, target, jobs=jobs, on_bytes=on_bytes))
        return
    least = -1.0
    for most, in_flight in _TIERS:
        files = [file for file in moving if least < (file.size or 0) <= most]
        moves = ((file.path, target.receive(file, origin)) for file in files)
        yield from surviving(wire.run(moves, min(jobs or in_flight, in_flight), on_bytes))
        least = most


def in_threads(
    files: Iterable[File],
    origin: Store,
    target: Store,
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    digests: bool = True,
) -> Iterator[tuple[str, File | VisprepError]]:
    """The path and the finished file, or the error, of each of `files`, with `jobs` threads (None: one a core).

    For two ends on this machine, where nothing waits but for the disk and the processor. Out of an archive, files
    come in the order in which they lie there; without `digests` they are checked by their CRC-32 alone, as unzip
    does, and come back without a SHA-256.
    """
    if isinstance(origin, ArchiveStore):
        files = origin.in_order(files)

    def work(batch: list[File]) -> list[tuple[str, File | VisprepError]]:
        if isinstance(origin, ArchiveStore) and isinstance(target, LocalStore):
            return unpack(batch, origin, target, digests=digests)
        return list(wire.run(((file.path, target.receive(file, origin)) for file in batch), 1))

    for batch in map_ordered(work, _batches(files), jobs):
        for path, outcome in batch:
            if on_bytes and isinstance(outcome, File):
                on_bytes(outcome.size or 0)
            yield path, outcome


def on_this_machine(store: Store) -> bool:
    """Whether what a store does costs disk and processor, so that threads help, rather than waiting for a network."""
    return isinstance(store, (ArchiveStore, LocalStore))


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    """The files in lists that are each worth a thread's while, and do not keep it from the next for long."""
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == _BATCH or size + (file.size or 0) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size or 0
    if batch:
        yield batch


def surviving(
    outcomes: Iterable[tuple[str, File | VisprepError]],
) -> Iterator[tuple[str, File | VisprepError]]:
    """The same outcomes, until one shows that going on is pointless: then its error is raised."""
    silence = 0
    for path, outcome in outcomes:
        if isinstance(outcome, (CredentialsError, DiskFull)):
            raise outcome
        if isinstance(outcome, NetworkError):
            silence += 1
            if silence >= _HOPELESS:
                raise outcome
        else:
            silence = 0
        yield path, outcome


def totals(operations: Iterable[Operation]) -> tuple[int, int]:
    """How many files are to be moved, and how many bytes, where sizes are known."""
    moving = [one.file for one in operations if one.action in (Action.CREATE, Action.REPLACE)]
    return len(moving), sum(file.size or 0 for file in moving)
