"""Going back to the version before, and deleting what no version that is kept needs."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from visprep import editions, wire
from visprep.errors import (
    ChangedMeanwhile,
    FileMissing,
    Incomplete,
    PlaceBusy,
    PlaceMissing,
    UsageError,
    VisprepError,
    WrongContent,
)
from visprep.journal import Failures
from visprep.manifest import File
from visprep.messages import time_in
from visprep.progress import OnProgress, Pulse
from visprep.publishing import Prefix, PublishResult, await_pointer
from visprep.stores.s3 import S3Store
from visprep.stores.swapping import knows_conditions, swap
from visprep.stores.versions import CURRENT, FILES, VERSIONS, Pointer, Version, read
from visprep.wire import wait

#: Files that are deleted before the mark of the prune is written anew.
_AT_ONCE = 1_000
#: Seconds for which a mark counts: who made it deletes nothing later, and until then nobody else begins.
_LEASE = 600
#: Of these, seconds within which the last request is answered, or given up.
_LAST = 120
#: The mark of a prune that was broken off, and told so: it deletes nothing any more.
_BROKEN_OFF = "broken off"


def roll_back(target: S3Store, *, dry_run: bool) -> PublishResult:
    """Let the version before the present one count again; UsageError when there is none."""
    pointer, etag = _published(target)
    if not pointer.history:
        raise UsageError(
            f"{target.place}: there is no version before {pointer.version.name}",
            hint="publish the place that is to count instead",
        )
    version = replace(pointer.history[0], until="")
    try:
        read(wait(target.read(version.manifest)), version, target.place)
    except WrongContent as damaged:
        hint = "publish the place again as it was"
        raise WrongContent(str(damaged), hint=hint) from None
    except FileMissing:
        hint = "publish the place again as it was"
        raise FileMissing(f"{target.place}: version {version.name} is not there any more", hint=hint) from None
    result = PublishResult(target.place, "rolled back", version.name, previous=pointer.version.name, dry_run=dry_run)
    if dry_run:
        return result
    left = replace(pointer.version, until=editions.now())
    after = replace(pointer, version=version, history=pointer.history[1:], withdrawn=(left, *pointer.withdrawn))
    guarded = wait(knows_conditions(target, version))
    wait(swap(target, after, etag, guarded=guarded))
    return replace(result, guarded=guarded)


def prune(target: S3Store, older_than: float, *, dry_run: bool, progress: OnProgress) -> PublishResult:
    """Delete versions that have not counted for `older_than` seconds, and the files that no other version names.

    Nothing that is younger goes, whoever made it: it may belong to a version that is being published. While files are
    deleted nobody can publish; what was published at the same moment is refused.
    """
    pulse = Pulse(progress)
    _published(target)
    prefix = Prefix.look(target)
    pointer, cutoff = prefix.pointer, time.time() - older_than
    if pointer is None:
        raise _nothing(target)
    gone = tuple(one for one in pointer.versions[1:] if _seconds(one.until) <= cutoff)
    kept = tuple(one for one in pointer.versions if one not in gone)
    doomed = _doomed(prefix, kept, cutoff)
    result = PublishResult(
        target.place,
        "pruned",
        pointer.version.name,
        kept=tuple(one.name for one in kept),
        deleted=tuple(one.name for one in gone),
        deleted_files=len(doomed),
        deleted_bytes=sum(file.size or 0 for file in doomed),
        dry_run=dry_run,
    )
    if dry_run or not (gone or doomed or pointer.pruning):
        return result
    if pointer.pruning not in ("", _BROKEN_OFF):
        _check_ended(target)
    mine = uuid.uuid4().hex
    history, withdrawn = (tuple(one for one in some if one in kept) for some in (pointer.history, pointer.withdrawn))
    guarded = wait(knows_conditions(target, pointer.version))
    begun = Pointer(pointer.version, history, withdrawn, mine)
    wait(swap(target, begun, prefix.etag, guarded=guarded))
    try:
        _delete(target, doomed, mine, guarded, pulse)
    except (VisprepError, KeyboardInterrupt):
        with contextlib.suppress(VisprepError):
            now, etag = _mine(target, mine)
            wait(swap(target, replace(now, pruning=_BROKEN_OFF), etag, guarded=guarded))
        raise
    now, etag = _mine(target, mine)
    wait(swap(target, replace(now, pruning=""), etag, guarded=guarded))
    return replace(result, guarded=guarded)


def _doomed(prefix: Prefix, kept: Iterable[Version], cutoff: float) -> list[File]:
    """What no version that is kept has a name for, and what is old enough: files, then what lies with versions."""
    needed: set[str] = set()
    names = set()
    for version in kept:
        names.add(version.name)
        needed.update(prefix.listing(version).keys.values())
    old = [file for file in prefix.files.values() if file.mtime is not None and file.mtime <= cutoff]
    files = [file for file in old if file.path.startswith(f"{FILES}/") and file.path not in needed]
    young = {_version_of(file) for file in prefix.files.values() if file.mtime is None or file.mtime > cutoff}
    with_versions = [
        file
        for file in old
        if file.path.startswith(f"{VERSIONS}/") and _version_of(file) not in names and _version_of(file) not in young
    ]
    return files + with_versions


def _version_of(file: File) -> str:
    """The name of the version that a key lies with; nothing for the files, which are shared."""
    return file.path.split("/")[1] if file.path.startswith(f"{VERSIONS}/") else ""


def _check_ended(target: S3Store) -> None:
    """PlaceBusy when a prune that began to delete may still do so; the times are the server's."""
    headers = wait(target.ask("s3:GetObject", "HEAD", CURRENT)).headers
    now, marked = (time_in(headers.get(name, "")) for name in ("date", "last-modified"))
    left = (marked or time.time()) + _LEASE - (now or time.time())
    if left > 0:
        hint = f"wait until it ends; if it was killed, run this again in {math.ceil(left / 60)} minutes"
        raise PlaceBusy(f"{target.place}: a prune is under way there", hint=hint)


def _delete(target: S3Store, doomed: Iterable[File], mine: str, guarded: bool, pulse: Pulse) -> None:
    files, failures, done = list(doomed), Failures(), 0
    rest = iter(files)
    while some := list(itertools.islice(rest, _AT_ONCE)):
        end = time.monotonic() + _LEASE - _LAST
        now, etag = _mine(target, mine)
        wait(swap(target, now, etag, guarded=guarded))
        for path, outcome in wire.run((file.path, _delete_until(target, file, end)) for file in some):
            done += 1
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
            pulse("Deleting", done, len(files), last=done == len(files))
    if failures:
        raise Incomplete.of(failures, len(files))


async def _delete_until(target: S3Store, file: File, end: float) -> None:
    """Delete a file, unless it is later than `end` by this machine's clock: then another prune may have begun."""
    if time.monotonic() > end:
        raise ChangedMeanwhile(f"{target.place}: this prune takes too long", hint="run the same command again")
    await target.delete(file.path)


def _mine(target: S3Store, mine: str) -> tuple[Pointer, str]:
    """The pointer, as long as it is we who prune."""
    pointer, etag = await_pointer(target)
    if pointer is None or pointer.pruning != mine:
        raise ChangedMeanwhile(f"{target.place}: another prune has begun there", hint="let that one end")
    return pointer, etag


def _published(target: S3Store) -> tuple[Pointer, str]:
    pointer, etag = await_pointer(target)
    if pointer is None:
        raise _nothing(target)
    return pointer, etag


def _nothing(target: S3Store) -> PlaceMissing:
    hint = f"visprep publish PLACE {target.place}"
    return PlaceMissing(f"{target.place}: nothing is published there", hint=hint)


def _seconds(date: str) -> float:
    """A date as seconds since the epoch; one that cannot be read is as young as can be."""
    try:
        return datetime.fromisoformat(date).timestamp()
    except ValueError:
        return float("inf")
