"""Sending a file to S3: in one request, or in parts that a later run can go on with.

The bytes are read in order, so that their digest is known before an upload is completed: no object ever appears
with other content than was promised. Of one file, at most `_HELD` bytes are in memory, or one part if that is more.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from visprep.digests import ALGORITHMS, Digester, algorithm_of
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    FileMissing,
    PlaceMissing,
    ServerFailed,
    StoreError,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File, bare_etag
from visprep.stores import s3_answers
from visprep.stores.s3_answers import Part, Upload
from visprep.wire import Response, send_all

if TYPE_CHECKING:
    from visprep.stores import Store
    from visprep.stores.s3 import S3Store

log = logging.getLogger("visprep.stores.s3")

_MEBIBYTE = 1024 * 1024
#: S3's bounds: a part has at least 5 MiB, the last one aside, and an upload at most 10,000 parts.
_SMALLEST_PART = 5 * _MEBIBYTE
_MOST_PARTS = 10_000
_HELD = 48 * _MEBIBYTE
#: The checksum that our uploads are begun with; S3 tells it of each part, also where ETags are no MD5.
_ALGORITHM = "SHA256"
_AGAIN = "run the command again; if it happens again, the origin itself is damaged"


async def receive(store: S3Store, file: File, origin: Store) -> File:
    """See `Store.receive`."""
    store.key(file.path)
    block = part_size(store.settings.part_size, file.size)
    if (file.size or 0) > block and not (file.digest or "").startswith("sha256:"):
        # The object tells its digest in its metadata, which S3 wants before the first part
        file = replace(file, digest=await origin.hash(file.path, "sha256") or file.digest)
    # One byte more than was promised, to see that a file grew.
    blocks = [await origin.read(file.path, 0, block if file.size is None else min(block, file.size + 1))]
    if len(blocks[0]) == block and ((file.size or 0) > block or await origin.read(file.path, block, 1)):
        return await _receive_parts(store, file, origin, blocks, block)
    digester = _digester(file)
    digester.update(blocks[0])
    await _check(file, digester, origin, whole=True)
    return await store.put(file.path, blocks[0], digester.digest("sha256"))


def part_size(wanted: int, size: int | None) -> int:
    """Bytes in a part: as wanted, but more where 10,000 parts would not do, and never less than S3 takes."""
    needed = -(-(size or 0) // _MOST_PARTS)
    return max(wanted, -(-needed // _MEBIBYTE) * _MEBIBYTE, _SMALLEST_PART)


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


async def _receive_parts(store: S3Store, file: File, origin: Store, blocks: list[bytes], block: int) -> File:
    """Send a file of which `blocks` are the first bytes; the list is emptied as they go."""
    upload, there = await _begin(store, file)
    digester, parts, ended = _digester(file), list[Part](), False
    while not ended:
        await _read_on(origin, file.path, blocks, digester.position, block)
        ended = not blocks or len(blocks[-1]) < block
        for data in blocks:
            digester.update(data)
        if file.size is not None and digester.position > file.size:
            break
        parts += await _send(store, file.path, upload, len(parts) + 1, blocks, there)
        blocks.clear()
    try:
        await _check(file, digester, origin, whole=False)
    except StoreError:
        with contextlib.suppress(VisprepError):
            await store.abort(file.path, upload.id)
        raise
    sent = File(file.path, digester.position, digester.digest("sha256"), etag=_etag_of(parts))
    sent = replace(sent, etag=await _complete(store, upload, parts, sent))
    if there and await store.hash(file.path, "sha256") not in (None, sent.digest):
        # The upload that we went on with was begun for other content, and still says so in its metadata.
        return await receive(store, file, origin)
    return sent


async def _read_on(origin: Store, path: str, blocks: list[bytes], position: int, block: int) -> None:
    """Read until `blocks`, which begin at `position`, are as many as may be on their way, or the file ends."""
    while len(blocks) < max(1, _HELD // block) and (not blocks or len(blocks[-1]) == block):
        data = await origin.read(path, position + len(blocks) * block, block)
        if not data:
            return
        blocks.append(data)


async def _begin(store: S3Store, file: File) -> tuple[Upload, dict[int, Part]]:
    """The upload to send parts to, with the parts that it has: the newest unfinished one, else a new one."""
    key = store.key(file.path)
    try:
        found = [upload for upload in await uploads_under(store, key) if upload.key == key]
        ours = [upload for upload in found if upload.algorithm in (None, _ALGORITHM)]
        newest = max(ours, key=lambda upload: upload.initiated, default=None)
        for stale in found:
            if stale is not newest:
                log.info("s3://%s/%s: dropping a stale unfinished upload", store.bucket, key)
                await store.abort(file.path, stale.id)
        if newest:
            there = await _parts_of(store, file.path, newest)
            log.info("s3://%s/%s: going on with an upload that has %d parts", store.bucket, key, len(there))
            return newest, there
    except (AccessDenied, ServerFailed, FileMissing, PlaceMissing) as error:
        log.info("s3://%s/%s: no earlier upload can be gone on with: %s", store.bucket, key, error.message)
    headers = {**store.describing(file.path, file.digest), "x-amz-checksum-algorithm": _ALGORITHM}
    response = await store.ask("s3:PutObject", "POST", file.path, query={"uploads": ""}, headers=headers, body=b"")
    return s3_answers.created(response, key), {}


async def _parts_of(store: S3Store, path: str, upload: Upload) -> dict[int, Part]:
    found: list[Part] = []
    more: dict[str, str] = {}
    while True:
        query = {"uploadId": upload.id, **more}
        page, more = s3_answers.parts(await store.ask("s3:ListMultipartUploadParts", "GET", path, query=query))
        found += page
        if not more:
            return {part.number: part for part in found}


async def _send(
    store: S3Store, path: str, upload: Upload, first: int, blocks: list[bytes], there: dict[int, Part]
) -> list[Part]:
    """Send the parts from number `first` on, all at once, without those that are there already."""
    parts, requests = list[Part](), []
    for number, data in enumerate(blocks, first):
        sha256 = hashlib.sha256(data)
        checksum = base64.b64encode(sha256.digest()).decode()
        old = there.get(number)
        kept = old is not None and old.size == len(data) and _holds(old, data, checksum)
        parts.append(Part(number, old.etag if old and kept else "", len(data), checksum if upload.algorithm else None))
        if kept:
            continue
        headers = {"x-amz-content-sha256": sha256.hexdigest()}
        if upload.algorithm:
            headers["x-amz-checksum-sha256"] = checksum
        query = {"partNumber": str(number), "uploadId": upload.id}
        requests.append(store.request("PUT", path, query=query, headers=headers, body=data))
    answers = iter(await send_all(requests))
    return [part if part.etag else _stored(store, path, part, next(answers)) for part in parts]


def _holds(part: Part, data: bytes, checksum: str) -> bool:
    if part.checksum:
        return part.checksum == checksum
    return hashlib.md5(data, usedforsecurity=False).hexdigest() == part.etag


def _stored(store: S3Store, path: str, part: Part, response: Response) -> Part:
    etag = store.checked(response, "s3:PutObject", path).headers.get("etag", "").strip('"')
    if not etag:
        raise ServerFailed(f"s3://{store.bucket}/{store.key(path)}: the server took a part without naming its ETag")
    return replace(part, etag=etag)


async def _complete(store: S3Store, upload: Upload, parts: list[Part], sent: File) -> str | None:
    """Make the object of the parts; its ETag. A second attempt may find the upload gone since the first one worked."""
    response = await store.ask(
        "s3:PutObject",
        "POST",
        sent.path,
        accept=(404,),
        query={"uploadId": upload.id},
        headers={"content-type": "application/xml"},
        body=s3_answers.completion(parts),
        retry=s3_answers.passes_inside,
    )
    code = s3_answers.code_of(response)
    if not code and response.status < 300:
        return s3_answers.etag_in(response)
    if code == "NoSuchUpload":
        found = await store.stat(sent.path)
        if found.size == sent.size and (found.etag == sent.etag or found.digest == sent.digest):
            return found.etag
    raise store.refusal(response, "s3:PutObject", sent.path)


def _etag_of(parts: list[Part]) -> str | None:
    """The ETag that S3 gives to an object made of these parts, unless it is encrypted with KMS."""
    if not all(re.fullmatch("[0-9a-f]{32}", part.etag) for part in parts):
        return None
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f'"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"'


def _digester(file: File) -> Digester:
    return Digester(*({"sha256"} | _promised(file)), size=file.size)


def _promised(file: File) -> set[str]:
    """The algorithm of the digest that can be checked; `git-sha1` cannot without the size."""
    algorithm = algorithm_of(file.digest or "")
    known = algorithm in ALGORITHMS and (algorithm != "git-sha1" or file.size is not None)
    return {algorithm} if known else set()


async def _check(file: File, digester: Digester, origin: Store, *, whole: bool) -> None:
    """WrongContent when the bytes read are not those promised, ChangedMeanwhile when the origin changed since.

    Bytes that were not read in one go (`whole`), and that no digest vouches for, may be of two versions of the file.
    """
    wrong = ""
    if file.size is not None and digester.position != file.size:
        wrong = f"the origin's size differs: {digester.position} bytes were read, {file.size} were promised"
    else:
        for algorithm in _promised(file):
            if digester.digest(algorithm) != file.digest:
                wrong = f"the {algorithm} of what the origin gave differs from the promised one"
    doubtful = not whole and not _promised(file)
    if (wrong or doubtful) and _differs(file, await origin.stat(file.path)):
        raise ChangedMeanwhile(f"{file.path} changed after it was listed", hint="run the command again")
    if wrong:
        raise WrongContent(f"{file.path}: {wrong}", hint=_AGAIN)


def _differs(file: File, now: File) -> bool:
    """Whether a later look at a file shows that it was written to."""
    if file.etag and now.etag:
        return bare_etag(file.etag) != bare_etag(now.etag)
    return file.mtime is not None and now.mtime is not None and file.mtime != now.mtime
