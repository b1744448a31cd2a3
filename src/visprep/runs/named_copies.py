"""The copies of the newest and the best checkpoint, for people and other tools: `checkpoint_latest.pt`, and so on."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path

from visprep.errors import FileMissing
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint
from visprep.stores import Store
from visprep.stores.arrivals import disk_errors, into_place, part_name
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_copies import copy
from visprep.wire import wait


def is_copy(store: S3Store | LocalStore, checkpoint: Checkpoint, target: str, patience: Patience | None = None) -> bool:
    """Whether what lies at `target` is a copy of a checkpoint: by the SHA-256 it tells, on disk by name or time."""
    if isinstance(store, S3Store):
        try:
            there = wait(store.stat(target), patience)
        except FileMissing:
            return False
        return (there.size, there.digest) == (checkpoint.size, checkpoint.digest)
    try:
        with disk_errors(checkpoint.path):
            ours, other = store.real(checkpoint.path).stat(), store.real(target).stat()
    except FileMissing:
        return False
    return os.path.samestat(ours, other) or (ours.st_size, ours.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def make_read_only(store: Store, path: str) -> None:
    """Let nobody write to a checkpoint on disk by mistake, as far as the file system knows that; it can still go."""
    if not isinstance(store, LocalStore) or os.name == "nt":  # there a file that is read-only cannot be deleted
        return
    with contextlib.suppress(OSError):
        real = store.real(path)
        real.chmod(stat.S_IMODE(real.stat().st_mode) & ~0o222)


def make_copy(
    store: S3Store | LocalStore, checkpoint: Checkpoint, target: str, patience: Patience | None = None
) -> None:
    """Let `target` be a copy of a checkpoint, in one step. On S3 the server copies; on disk it is a hard link.

    So on disk nobody shall write to either: the file is made read-only. Where the file system has no hard links the
    bytes are copied. StoreError and NetworkError as the store raises them.
    """
    if isinstance(store, S3Store):
        wait(copy(store, checkpoint.path, target, checkpoint.size, checkpoint.sha256), patience)
        return
    real = store.real(checkpoint.path)
    with disk_errors(target):
        if not real.exists():
            raise FileMissing(f"{store.place}/{checkpoint.path} is not there")
        make_read_only(store, checkpoint.path)
        try:
            store.link(target, str(real))
        except OSError:
            _copy_bytes(real, store.root / target, target, checkpoint)


def _copy_bytes(real: Path, there: Path, target: str, checkpoint: Checkpoint) -> None:
    unfinished = there.with_name(part_name(there.name, File(target, checkpoint.size, checkpoint.digest)))
    unfinished.unlink(missing_ok=True)  # what a kill left is read-only
    try:
        shutil.copy2(real, unfinished)  # the time tells later that it is a copy
        into_place(str(unfinished), str(there))
    finally:
        unfinished.unlink(missing_ok=True)
