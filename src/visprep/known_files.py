"""What is known of the files of a place without reading them: its listing, and what was found out before.

On disk, `.visprep/cache/verified.jsonl` remembers the digest of every file that was hashed, together with its size,
times and inode. On S3 the manifest tells with which ETag each object was written: one that has another ETag by now
was written by somebody else. Where a prefix has no manifest, the directory that it is copied to or from remembers.
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

from visprep import wire
from visprep.digests import DigestSink, digest_of
from visprep.errors import StoreError
from visprep.manifest import File, bare_etag, pack_file, parsed, unpack_file
from visprep.own_record import CACHE, REMEMBERED, Listed
from visprep.spool import Spool
from visprep.stores import Store, stays
from visprep.stores.local import LocalStore

#: Seconds for which a file that has just been written is not remembered: it may change again within one tick of a
#: file system's clock, and FAT's ticks are this long.
YOUNG = 2.0
_HEADER = b'{"format_version": 1}\n'
#: Bytes of the memory that are read at once.
_BLOCK = 100_000


def known_files(store: Store, listed: Listed | None, memory: Memory) -> Iterator[File]:
    """The data files of a place, sorted, each with its digest where that is known; PlaceMissing as `Store.list`.

    `listed` is what the place's manifest says, `memory` what is remembered of it. Empty directories and the marker keys
    of S3 are among the files, as `name/` with size 0.
    """
    listing = (file for file in store.list() if not stays(file.path))
    known = vouched(listing, memory.remembered())
    return known if listed is None or isinstance(store, LocalStore) else vouched(known, iter(listed.files))


def with_remembered(store: Store, files: Iterator[File]) -> Iterator[File]:
    """The files of a place as they are listed, each with its digest where the place remembers it."""
    return vouched(files, Memory(store, store).remembered())


def vouched(listing: Iterator[File], vouchers: Iterator[File]) -> Iterator[File]:
    """The listing, with the digests of those vouchers that have the same path, size and ETag."""
    voucher = next(vouchers, None)
    for file in listing if voucher else ():
        path = file.path
        while voucher is not None and voucher.path != path and voucher.sort_key < file.sort_key:
            voucher = next(vouchers, None)
        if voucher is None:
            yield file
            break
        if voucher.path == path and voucher.size == file.size and _same(voucher.etag, file):
            md5 = file.digest if file.digest and file.digest.startswith("md5:") else voucher.md5
            yield File(path, file.size, voucher.digest, file.mtime, file.etag, md5, voucher.made_from)
        else:
            yield file
    yield from listing


def with_promises(listed: Iterable[File], listing: Iterable[File]) -> Iterator[File]:
    """What the manifest promises, with the listing's ETags; what only the listing has as it is listed."""
    wants = iter(listed)
    want = next(wants, None)
    for have in listing:
        path = have.path
        while want is not None and want.path != path and want.sort_key < have.sort_key:
            yield File(want.path, want.size, want.digest)
            want = next(wants, None)
        if want is not None and want.path == path:
            md5 = have.md5
            if want.size == have.size and have.digest and have.digest.startswith("md5:") and _same(want.etag, have):
                md5 = have.digest
            yield File(path, want.size, want.digest, have.mtime, have.etag, md5)
            want = next(wants, None)
        else:
            yield have
    while want is not None:
        yield File(want.path, want.size, want.digest)
        want = next(wants, None)


def _same(etag: str | None, file: File) -> bool:
    """Whether a bare ETag is that of a file."""
    return etag is not None and file.etag is not None and (etag == file.etag or etag == bare_etag(file.etag))


class Memory:
    """What is remembered of a place, and what this run learns of it.

    It lies in the cache of `holder`: of the directory itself, or of the directory that a bucket is copied to or from
    (None: nothing is remembered). A context: at its end, however that comes, what was learned is added to what was
    remembered. A directory that cannot be written to is not remembered.
    """

    def __init__(self, store: Store, holder: Store | None) -> None:
        self._on_disk = isinstance(store, LocalStore)
        self._file: Path | None = None
        if isinstance(holder, LocalStore):
            name = "" if holder is store else f"-{digest_of(store.place.encode()).partition(':')[2][:16]}"
            self._file = holder.root / CACHE / f"{REMEMBERED}{name}.jsonl"
        self._learned = Spool(pack_file, unpack_file)
        self._since = time.time()

    def learn(self, file: File, *, linked: bool = False) -> None:
        """Remember the digests of a file that has an ETag; a file on disk only when it was old enough at our start.

        With `linked`, it got another name of ours meanwhile, which is a change without one of its bytes.
        """
        fresh = self._on_disk and file.etag and young(file.etag, self._since, 1 if linked else 2)
        if self._file and file.etag and file.digest and not fresh:
            self._learned.append(file)

    def remembered(self) -> Iterator[File]:
        """What is remembered, sorted; nothing from where on the memory is damaged."""
        if self._file is None:
            return
        try:
            with self._file.open("rb") as lines:
                if lines.readline() != _HEADER:
                    return
                while block := lines.readlines(_BLOCK):
                    if files := parsed(block):
                        yield from files
                        continue
                    for entry in json.loads(b"[" + b",".join(block) + b"]"):
                        path, size, etag = entry["path"], entry["size"], entry["etag"]
                        if not (isinstance(path, str) and isinstance(etag, str)):
                            return
                        yield File(path, size, entry.get("digest"), None, etag, entry.get("md5"))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        if self._learned and self._file:
            with contextlib.suppress(OSError, StoreError):
                self._write(self._file)

    def _write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        learned = self._learned.sorted(lambda file: file.sort_key)
        # Of one path, what was learned comes before what was remembered, and the first one counts
        everything = heapq.merge(learned, self.remembered(), key=lambda file: file.sort_key)
        number, name = tempfile.mkstemp(dir=path.parent, prefix="new-")
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


def sha256_of(file: File, store: Store) -> str:
    """`sha256:hex` of a file: as the store tells it, else of its bytes, which are read."""
    digest = wire.wait(store.hash(file.path, "sha256"))
    if digest is None:
        hashing = DigestSink()
        wire.wait(store.fetch(file, hashing))
        digest = hashing.digest
    return digest


def memory_of(store: Store, holder: Store | None, *, needed: bool) -> Memory:
    """What is remembered of a place: on disk in itself, else in `holder`, the other end, if that is on disk."""
    if isinstance(store, LocalStore):
        return Memory(store, store)
    return Memory(store, holder if needed else None)


def young(etag: str, since: float, times: int = 2) -> bool:
    """Whether a file on disk was changed so shortly before a moment that it may change again unseen.

    It has two times: of the last change of its bytes, and of that or anything else about it.
    """
    changed = max(int(part, 16) for part in etag.split("-")[:times]) / 1e9
    return since - changed < YOUNG


def _line(file: File) -> bytes:
    etag = file.etag and bare_etag(file.etag)
    fields = {"path": file.path, "size": file.size, "digest": file.digest, "etag": etag, "md5": file.md5}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode() + b"\n"
