"""Unfinished uploads that nobody will go on with: they cost money until somebody drops them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from visprep.errors import VisprepError
from visprep.stores import s3_parts
from visprep.stores.s3 import S3Store
from visprep.wire import run, wait

#: Seconds after which an upload of ours is not on its way any more.
STALE = 24 * 3600.0


def abort_stale(store: S3Store, paths: Iterable[str], age: float = STALE) -> tuple[tuple[str, str], ...]:
    """Drop the unfinished uploads of these paths; path and upload id of each that was dropped.

    Only those go that visprep may have begun (with SHA-256 checksums, which hardly anyone else uses), longer ago than
    `age` seconds. Raises what keeps us from looking, or from dropping one.
    """
    root, now = f"{store.prefix}/" if store.prefix else "", time.time()
    found = [
        (upload.key.removeprefix(root), upload.id)
        for upload in wait(s3_parts.uploads_under(store, root))
        if upload.algorithm == "SHA256" and now - _begun(upload.initiated, now) >= age
    ]
    if not found:
        return ()
    ours = {path for path, _ in found}.intersection(paths)
    stale = tuple((path, id) for path, id in found if path in ours)
    for _, outcome in run(((path, id), store.abort(path, id)) for path, id in stale):
        if isinstance(outcome, VisprepError):
            raise outcome
    return stale


def _begun(text: str, now: float) -> float:
    """When an upload was begun, in seconds since the epoch; where that is not told, just now."""
    try:
        begun = datetime.fromisoformat(text)
    except ValueError:
        return now
    return (begun if begun.tzinfo else begun.replace(tzinfo=UTC)).timestamp()
