"""What is known of the files of a place without reading them: its listing, and what was found out before.

On disk, `.visprep/cache/verified.jsonl` remembers the digest of every file that was hashed, together with its size,
times and inode. On S3 the manifest tells with which ETag each object was written: one that has another ETag by now
was written by somebody else.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from visprep.changes import MEMORY, Listed
from visprep.errors import StoreError
from visprep.manifest import File, bare_etag, pack_file, unpack_file
from visprep.spool import Spool
from visprep.stores import Store, is_record
from visprep.stores.local import LocalStore

#: Seconds for which a file that has just been written is not remembered: it may change again within one tick of a
#: file system's clock, and FAT's ticks are this long.
YOUNG = 2.0
_HEADER = b'{"format_version": 1}\n'
_BLOCK = 500


def known_files(store: Store, listed: Listed | None) -> Iterator[File]:
    """The data files of a place, sorted, each with its digest where that is known; PlaceMissing as `Store.list`.

    Empty directories and the marker keys of S3 are among them, as `name/` with size 0.

    `listed` is what the place's manifest says.
    """
    listing = (file for file in store.list() if not is_record(file.path))
    if isinstance(store, LocalStore):
        return _vouched(listing, _remembered(store))
    return _vouched(listing, iter(listed.files if listed else ()))


def _vouched(listing: Iterable[File], vouchers: Iterator[File]) -> Iterator[File]:
    """The listing, with the digests of those vouchers that have the same path, size and ETag."""
    voucher = next(vouchers, None)
    for file in listing:
        if voucher is not None and voucher.path != file.path:
            key = file.sort_key
            while voucher is not None and voucher.sort_key < key:
                voucher = next(vouchers, None)
        if (
            voucher is not None
            and voucher.path == file.path
            and voucher.size == file.size
            and voucher.etag is not None
            and file.etag is not None
            and voucher.etag == bare_etag(file.etag)
        ):
            md5 = file.digest if file.digest and file.digest.startswith("md5:") else voucher.md5
            yield File(file.path, file.size, voucher.digest, file.mtime, file.etag, md5)
        else:
            yield file


class Memory:
    """What this run learns of a directory, to be remembered at its end.

    A context: at its end, however that comes, what was learned is added to what was remembered. A directory that
    cannot be written to is not remembered.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._learned = Spool(pack_file, unpack_file)

    def learn(self, file: File | None) -> None:
        """Remember the digests of a file that has an ETag, unless it is too young."""
        if file is None or not file.etag or not file.digest or not isinstance(self._store, LocalStore):
            return
        with contextlib.suppress(ValueError):
            changed = max(int(part, 16) for part in file.etag.split("-")[:2]) / 1e9
            if time.time() - changed >= YOUNG:
                self._learned.append(file)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        if self._learned and isinstance(self._store, LocalStore):
            with contextlib.suppress(OSError, StoreError):
                self._write(self._store)

    def _write(self, store: LocalStore) -> None:
        path = store.root / MEMORY
        path.parent.mkdir(parents=True, exist_ok=True)
        learned = self._learned.sorted(lambda file: file.sort_key)
        # Of one path, what was learned comes before what was remembered, and the first one counts
        everything = heapq.merge(learned, _remembered(store), key=lambda file: file.sort_key)
        number, name = tempfile.mkstemp(dir=path.parent, prefix="verified-")
        try:
            with os.fdopen(number, "wb") as out:
                out.write(_HEADER)
                last = None
                for file in everything:
                    if file.path != last:
                        out.write(_line(file))
                    last = file.path
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _line(file: File) -> bytes:
    fields = {"path": file.path, "size": file.size, "digest": file.digest, "etag": file.etag, "md5": file.md5}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode() + b"\n"


def _remembered(store: LocalStore) -> Iterator[File]:
    """What is remembered of a directory, sorted; nothing from where on the memory is damaged."""
    try:
        with (store.root / MEMORY).open("rb") as lines:
            if lines.readline() != _HEADER:
                return
            while block := lines.readlines(_BLOCK * 200):
                for entry in json.loads(b"[" + b",".join(block) + b"]"):
                    yield File(entry["path"], entry["size"], entry.get("digest"), None, entry["etag"], entry.get("md5"))
    except (OSError, ValueError, KeyError, TypeError):
        return
