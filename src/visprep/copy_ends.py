"""The two ends of a copy: whether they may be copied one to the other, and what the origin is called."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from visprep import wire
from visprep.engines import Engine
from visprep.errors import PlaceIncomplete, PlaceMissing, StoreError, UsageError
from visprep.manifest import DATASET, RECORD_DIR
from visprep.own_record import CACHE, unfinished
from visprep.plans import Operation
from visprep.stores import PART_SUFFIX, Store, data_files
from visprep.stores.archive import ArchiveStore
from visprep.stores.ends import Ends
from visprep.stores.local import LocalStore

if TYPE_CHECKING:
    from visprep.stores.tar import TarStore

#: What was found in an archive, in the cache of the place that it is copied to.
_CONTENTS = "archive-contents"


def check_ends(origin: Store, target: Store, *, delete: bool = False) -> None:
    """PlaceMissing, PlaceIncomplete or UsageError when `origin` cannot be copied to `target`."""
    if (archive := _tar(origin)) and isinstance(target, LocalStore):
        archive.recall(target.root / CACHE / _CONTENTS)
    if isinstance(origin, LocalStore) and not _has_data(origin):
        raise PlaceMissing(f"{origin.place}: there is nothing to copy", hint="check the path")
    if f"{_where(target)}/".startswith(f"{_where(origin)}/"):
        raise UsageError(
            f"the target {target.place} is the origin {origin.place}, or lies in it",
            hint="name another place as target",
        )
    if delete and f"{_where(origin)}/".startswith(f"{_where(target)}/"):
        raise UsageError(
            f"the origin {origin.place} lies in the target {target.place}, and would be deleted there",
            hint="leave out --delete, or name another place as target",
        )
    begun = unfinished(origin)
    if begun is not None:
        raise PlaceIncomplete(
            f"{origin.place}: {begun} was begun there and not ended",
            hint="run that command again first, so that the place is whole",
        )


@contextlib.contextmanager
def may_come(create_bucket: bool, new_buckets: list[str]) -> Iterator[None]:
    """Suppress that a place is not there. A bucket joins `new_buckets` if it is to be made, else it is PlaceMissing."""
    try:
        yield
    except PlaceMissing as missing:
        if missing.bucket and not create_bucket:
            hint = f"{missing.hint}; sync --create-bucket makes it"
            raise PlaceMissing(missing.message, hint=hint, bucket=missing.bucket) from None
        new_buckets += filter(None, [missing.bucket])


def is_ours(target: Store, operation: Operation) -> bool:
    """Whether visprep wrote the file of an operation at the target, and nobody changed it since."""
    assert operation.have
    if operation.ours is None:
        return False
    if operation.have.digest and operation.have.digest.startswith("sha256:"):
        return operation.have.digest == operation.ours
    try:
        return wire.wait(target.hash(operation.file.path, "sha256")) == operation.ours
    except StoreError:  # what cannot be read cannot be known to be ours
        return False


def check_bandwidth(engine: Engine, bandwidth: float | None) -> None:
    """UsageError when nobody knows how many workers a bandwidth is to be shared by."""
    if bandwidth and engine.spreads and not engine.jobs:
        raise UsageError(
            f"--max-bandwidth is shared by the workers of --engine {engine.name}, and nobody said how many there are",
            hint="say it with --jobs: with --max-bandwidth 80M --jobs 8, each takes 10M at most",
        )


def check_sight(engine: Engine, origin: Store, target: Store) -> None:
    """NodeUnfit when a worker does not see both ends; a target on disk holds for it what no other directory does."""
    if not engine.spreads:
        return
    ends = Ends(origin, target)
    if not isinstance(target, LocalStore):
        engine.check(ends.origin, ends.target)
        return
    record = target.root / RECORD_DIR
    seen = record / f".{secrets.token_hex(12)}{PART_SUFFIX}"  # an unfinished file, should we be killed now
    with target.errors(seen.name):
        record.mkdir(parents=True, exist_ok=True)
        seen.touch()
    try:
        engine.check(ends.origin, ends.target)
    finally:
        with contextlib.suppress(OSError):
            seen.unlink()
            record.rmdir()  # only when it is empty


def remember(origin: Store, target: Store) -> None:
    """Note at the target what is in a compressed tar file: the same copy, after a kill, need not look again."""
    if (archive := _tar(origin)) and isinstance(target, LocalStore):
        with target.errors(CACHE):
            (target.root / CACHE).mkdir(parents=True, exist_ok=True)
            archive.remember(target.root / CACHE / _CONTENTS)


def _tar(store: Store) -> TarStore | None:
    if not isinstance(store, ArchiveStore):
        return None
    from visprep.stores.tar import TarStore  # with numpy, which a copy of anything else need not wait for

    return store if isinstance(store, TarStore) else None


def _has_data(store: LocalStore) -> bool:
    """Whether there is any file to copy; PlaceMissing as `Store.list`."""
    with contextlib.suppress(OSError), os.scandir(store.root) as entries:  # to sort a large directory takes its time
        if any(entry.is_file() and entry.name != DATASET and not entry.name.endswith(PART_SUFFIX) for entry in entries):
            return True
    return any(file.path != DATASET for file in data_files(store))


def parts_at(store: Store, admits: Callable[[str], bool]) -> tuple[str, ...]:
    """The unfinished files that a listing came by, as far as they are meant; a hundred at most."""
    return tuple(filter(admits, store.parts_seen)) if isinstance(store, LocalStore) else ()


def _where(store: Store) -> str:
    """The same for every way to write the same place."""
    return str(store.root) if isinstance(store, LocalStore) else store.place.rstrip("/")


def name_of(origin: Store) -> str:
    """What a place is called in provenance: on disk only its own name, since the way to it is one machine's."""
    if isinstance(origin, ArchiveStore):
        return Path(origin.place).name
    return origin.root.name if isinstance(origin, LocalStore) else origin.place
