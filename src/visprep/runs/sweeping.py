"""What processes that are gone left among the checkpoints of an experiment: unfinished files, and unnamed ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from visprep.errors import PlaceMissing
from visprep.manifest import File
from visprep.messages import Patience
from visprep.runs.layout import BEST, INDEX, LATEST, named
from visprep.stores import is_part, s3_uploads
from visprep.stores.arrivals import disk_errors
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.wire import wait

log = logging.getLogger("visprep.runs")


def sweep(
    store: S3Store | LocalStore,
    folder: str,
    *,
    named_paths: Collection[str],
    announced: Collection[str],
    stale: float,
    patience: Patience | None = None,
) -> frozenset[str]:
    """Remove from an experiment's `folder` what nobody will finish or name; the paths of the files that were there.

    That is only what is ours for certain: checkpoints that are not among `named_paths` although a save with their mark
    was `announced`, unfinished files of a directory, and unfinished uploads that visprep began; and of these what is
    `stale` seconds older than the index. Only for who has swapped the index: what another process is about to name
    cannot be named any more. Raises what keeps us from listing or removing.
    """
    files = list(_files(store, folder))
    now = next((file.mtime for file in files if file.path == INDEX), None)
    if now is None:  # somebody removed the index
        return frozenset(named_paths)
    for file in files:
        found, path = named(file.path), f"{folder}/{file.path}"
        unnamed = found is not None and found.mark in announced and path not in named_paths
        if (unnamed or is_part(file.path)) and file.mtime is not None and now - file.mtime >= stale:
            log.info("%s: removing %s, which a process that is gone left there", store.place, path)
            if isinstance(store, LocalStore):
                with disk_errors(path):
                    (Path(store.real_folder(folder)) / file.path).unlink(missing_ok=True)
            else:
                wait(store.delete(path), patience)
    if isinstance(store, S3Store):
        _drop_uploads(store, folder, now, stale, patience)
    return frozenset(f"{folder}/{file.path}" for file in files)


def _files(store: S3Store | LocalStore, folder: str) -> Iterator[File]:
    """The files that lie in a folder itself, by their names; of a directory the unfinished ones too."""
    if isinstance(store, LocalStore):
        with disk_errors(folder), os.scandir(store.real_folder(folder)) as scan:
            for entry in scan:
                if entry.is_file(follow_symlinks=False):
                    facts = entry.stat()
                    yield File(entry.name, facts.st_size, None, facts.st_mtime)
        return
    inside = S3Store(f"s3://{store.bucket}/{store.key(folder)}", store.settings)
    try:
        yield from (file for file in inside.list(digests=False) if "/" not in file.path)
    except PlaceMissing:
        return


def _drop_uploads(store: S3Store, folder: str, now: float, stale: float, patience: Patience | None) -> None:
    root = store.key(folder) + "/"
    for upload in wait(s3_uploads.uploads_under(store, root), patience):
        name = upload.key.removeprefix(root)
        if s3_uploads.is_stale(upload, now, stale) and (named(name) or name in (LATEST, BEST)):
            log.info("%s: dropping an unfinished upload of %s/%s", store.place, folder, name)
            wait(store.abort(f"{folder}/{name}", upload.id), patience)
