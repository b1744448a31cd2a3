"""Images that have the same bytes, as far as that is known without reading any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

from visprep.errors import BadRecord
from visprep.known_files import vouched, with_remembered
from visprep.manifest import File, bare_etag
from visprep.own_record import Listed
from visprep.statistics import CopyStats
from visprep.stores import Store
from visprep.stores.local import LocalStore


def copy_stats(store: Store, listing: Sequence[File], pictures: Sequence[File]) -> CopyStats | None:
    """How many pictures have the bytes of another one; None where digests are known of fewer than half of them.

    On disk the manifest tells, as long as a file has the size that it had, and what verify and others remember of the
    place; on S3 the manifest where the object is still the one that was written, or ETags.
    """
    digests = _digests(store, listing)
    known = [digests[one.path] for one in pictures if one.path in digests]
    if known and 2 * len(known) >= len(pictures):
        return CopyStats("manifest", len(known), len(known) - len(set(known)))
    tags = [(one.size, bare_etag(one.etag)) for one in pictures if one.etag]
    if isinstance(store, LocalStore) or not store.place.startswith("s3://") or 2 * len(tags) < len(pictures):
        return None
    return CopyStats("listing", len(tags), len(tags) - len(set(tags))) if tags else None


def _digests(store: Store, listing: Sequence[File]) -> Mapping[str, str]:
    """The digests of files, by path, as they are known."""
    listed: Listed | None = None
    with contextlib.suppress(BadRecord):
        listed = Listed.read(store)
    if isinstance(store, LocalStore):
        found = _told(with_remembered(store, iter(listing)))
        sizes = {one.path: one.size for one in listing} if listed else {}
        of_manifest = (one for one in listed.files if sizes.get(one.path) == one.size) if listed else ()
        return {**_told(of_manifest), **found}
    return _told(vouched(iter(listing), iter(listed.files))) if listed else {}


def _told(files: Iterable[File]) -> dict[str, str]:
    return {one.path: one.digest for one in files if one.digest and one.digest.startswith("sha256:")}
