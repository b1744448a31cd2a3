"""Unfinished uploads of files in parts: which one to go on with, and which nobody will, and cost money."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from visprep.errors import AccessDenied, FileMissing, PlaceMissing, ServerFailed, VisprepError
from visprep.manifest import File
from visprep.stores import s3_answers, s3_options
from visprep.stores.s3_answers import Part, Upload
from visprep.stores.s3_blocks import Block
from visprep.wire import run, wait

if TYPE_CHECKING:
    from visprep.stores.s3 import S3Store

log = logging.getLogger("visprep.stores.s3")

#: Seconds after which an upload of ours is not on its way any more.
STALE = 24 * 3600.0
#: Of the unfinished uploads of one file, so many are looked at, the newest first.
_LOOKED_AT = 5
#: The checksum that our uploads are begun with, and its kind; S3 tells it of each part, also where ETags are no MD5.
_CHECKSUM, KIND = "CRC32", "FULL_OBJECT"
#: Both, as `s3_answers` tells them of an upload.
ALGORITHM = f"{_CHECKSUM} {KIND}"
#: The headers that ask for it when an upload is begun.
CHECKED = {"x-amz-checksum-algorithm": _CHECKSUM, "x-amz-checksum-type": KIND}


async def uploads_under(store: S3Store, prefix: str) -> list[Upload]:
    """The unfinished uploads of all keys that begin with `prefix`."""
    found: list[Upload] = []
    more: dict[str, str] = {}
    while True:
        query = {"uploads": "", "encoding-type": "url", "prefix": prefix, **more}
        page, more = s3_answers.uploads(await store.ask("s3:ListBucketMultipartUploads", "GET", query=query))
        found += page
        if not more:
            return found


def abort_stale(store: S3Store, paths: Iterable[str], age: float = STALE) -> tuple[tuple[str, str], ...]:
    """Drop the unfinished uploads of these paths; path and upload id of each that was dropped.

    Only those go that visprep may have begun (with CRC-32 checksums of the whole object, which hardly anyone else asks
    for), longer ago than `age` seconds. Raises what keeps us from looking, or from dropping one.
    """
    root, now = f"{store.prefix}/" if store.prefix else "", time.time()
    found = [
        (upload.key.removeprefix(root), upload.id)
        for upload in wait(uploads_under(store, root))
        if is_stale(upload, now, age)
    ]
    if not found:
        return ()
    ours = {path for path, _ in found}.intersection(paths)
    stale = tuple((path, id) for path, id in found if path in ours)
    for _, outcome in run(((path, id), store.abort(path, id)) for path, id in stale):
        if isinstance(outcome, VisprepError):
            raise outcome
    return stale


async def begin(store: S3Store, file: File, first: Block | None) -> tuple[Upload, dict[int, Part]]:
    """The upload to send parts to, with the parts that it has: an unfinished one that is ours, else a new one.

    One is ours if its first part is the `first` block of the file; None: none is wanted. All others stay, as somebody
    may be at work on them, but for those that we began long ago.
    """
    key = store.key(file.path)
    found: list[Upload] | None = None
    try:
        found = [upload for upload in await uploads_under(store, key) if upload.key == key]
        found.sort(key=lambda upload: upload.initiated, reverse=True)
        mine = await _to_go_on_with(store, file.path, found, first) if first else None
        for upload in found:
            if is_stale(upload, time.time()) and not (mine and upload is mine[0]):
                log.info("s3://%s/%s: dropping a stale unfinished upload", store.bucket, key)
                await store.abort(file.path, upload.id)
        if mine:
            log.info("s3://%s/%s: going on with an upload that has %d parts", store.bucket, key, len(mine[1]))
            return mine
    except (AccessDenied, ServerFailed, FileMissing, PlaceMissing) as error:
        log.info("s3://%s/%s: no earlier upload can be gone on with: %s", store.bucket, key, error.message)
    headers = store.describing(file.path, file.digest, file.made_from) | CHECKED
    response = await store.ask("s3:PutObject", "POST", file.path, query={"uploads": ""}, headers=headers, body=b"")
    upload = s3_answers.created(response, key)
    if response.attempts > 1 and found is not None:
        # The attempts whose answers got lost may have begun uploads that nobody would end
        known = {upload.id, *(one.id for one in found)}
        with contextlib.suppress(VisprepError):
            for lost in await uploads_under(store, key):
                if lost.key == key and lost.id not in known and lost.algorithm == upload.algorithm:
                    await store.abort(file.path, lost.id)
    return upload, {}


async def _to_go_on_with(
    store: S3Store, path: str, found: list[Upload], first: Block
) -> tuple[Upload, dict[int, Part]] | None:
    """The first of some uploads whose first part is that of our file, with its parts."""
    if not s3_options.can_be_seen(store.settings):
        return None
    ours = [upload for upload in found if upload.algorithm in (None, ALGORITHM)]
    for upload in ours[:_LOOKED_AT]:
        there = await _parts_of(store, path, upload)
        part = there.get(1)
        if part and holds(part, first):
            return upload, there
    return None


def is_stale(upload: Upload, now: float, age: float = STALE) -> bool:
    """Whether visprep began an upload (see `abort_stale`), and so long ago."""
    return upload.algorithm == ALGORITHM and upload.age(now) >= age


async def _parts_of(store: S3Store, path: str, upload: Upload) -> dict[int, Part]:
    found: list[Part] = []
    more: dict[str, str] = {}
    while True:
        query = {"uploadId": upload.id, **more}
        page, more = s3_answers.parts(await store.ask("s3:ListMultipartUploadParts", "GET", path, query=query))
        found += page
        if not more:
            return {part.number: part for part in found}


def holds(part: Part, block: Block) -> bool:
    """Whether a part has the bytes of a block, by their CRC-32, or by their MD5 where the server keeps none.

    Whoever goes on because of a CRC-32 must see in the end that the object tells the SHA-256 of the whole.
    """
    if part.size != block.size:
        return False
    if part.checksum:
        return part.checksum == block.checksum
    return block.hexdigest("md5") == part.etag
