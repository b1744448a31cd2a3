"""Snapshots on their way to a place, straight from their buffers."""

from __future__ import annotations

from visprep.manifest import File
from visprep.runs.snapshots import Snapshot
from visprep.stores import Store
from visprep.wire import Patience


def write_checkpoint(store: Store, path: str, snapshot: Snapshot, *, patience: Patience | None = None) -> File:
    """Make the file of a snapshot at `path`; its size and digest (`sha256:hex`).

    It appears under its name when it is whole, and the server confirmed its checksum, or not at all. Several threads
    may write one snapshot at the same time. Raises StoreError, NetworkError or CredentialsError.
    """
    raise NotImplementedError
