"""Copying an object within a bucket: the server does it, and not a byte comes here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from visprep.errors import FileMissing, ServerFailed, VisprepError, WrongContent
from visprep.signing import quote_key
from visprep.stores import s3_answers, s3_uploads
from visprep.stores.s3 import S3Store
from visprep.stores.s3_answers import Part
from visprep.wire import Response, each

_MEBIBYTE = 1024 * 1024
#: What is copied in one request, in bytes. S3 takes up to 5 GiB, and says nothing until it is done: that can last
#: longer than any server may be silent.
MOST = 512 * _MEBIBYTE
#: Bytes in a part of a copy at least, and how many are copied at once.
PART, _AT_ONCE = 256 * _MEBIBYTE, 8
_MOST_PARTS = 10_000


async def copy(
    store: S3Store,
    source: str,
    target: str,
    size: int,
    sha256: str | None = None,
    *,
    most: int = MOST,
    part: int = PART,
) -> None:
    """Make the object at path `target` of the bytes at path `source`, which are `size`, in place of what was there.

    The copy tells `sha256` (64 hexadecimal digits), where it is known, and has the storage class, encryption and ACL
    of the store's settings. Above `most` bytes it is made of parts, and appears when all of them are there. FileMissing
    when there is no source, WrongContent when the copy has another size. What a server that cannot copy says to it is
    ServerFailed or AccessDenied.
    """
    digest = f"sha256:{sha256}" if sha256 else None
    if size > most:
        await _in_parts(store, source, target, size, digest, max(part, -(-size // _MOST_PARTS)))
    else:
        headers = {**store.describing(target, digest), **_from(store, source), "x-amz-metadata-directive": "REPLACE"}
        await _ask(store, "PUT", target, headers=headers, body=b"")
    there = (await store.stat(target)).size
    if there != size:
        raise WrongContent(f"{store.place}/{target}: the copy has {there} bytes, and {source} has {size}")


async def _in_parts(store: S3Store, source: str, target: str, size: int, digest: str | None, block: int) -> None:
    headers = store.describing(target, digest) | s3_uploads.CHECKED
    begun = await store.ask("s3:PutObject", "POST", target, query={"uploads": ""}, headers=headers, body=b"")
    upload = s3_answers.created(begun, store.key(target))
    parts: dict[int, Part] = {}

    async def bring(number: int) -> None:
        first = (number - 1) * block
        headers = {**_from(store, source), "x-amz-copy-source-range": f"bytes={first}-{min(first + block, size) - 1}"}
        query = {"partNumber": str(number), "uploadId": upload.id}
        answer = await _ask(store, "PUT", target, query=query, headers=headers, body=b"")
        checksum = s3_answers.field_of(answer, "ChecksumCRC32") if upload.algorithm else ""
        etag = s3_answers.field_of(answer, "ETag").strip('"')
        if not etag:
            raise ServerFailed(f"s3://{store.bucket}/{store.key(target)}: a part was copied without naming its ETag")
        parts[number] = Part(number, etag, checksum=checksum or None)

    try:
        await each(map(bring, range(1, -(-size // block) + 1)), lambda: _AT_ONCE)
        body = s3_answers.completion([parts[number] for number in sorted(parts)])
        headers = {"content-type": "application/xml"}
        try:
            await _ask(store, "POST", target, query={"uploadId": upload.id}, headers=headers, body=body)
        except FileMissing:  # a second attempt may find the upload gone since the first one worked
            there = await store.stat(target)
            if there.size != size or not digest or there.digest != digest:
                raise
    except VisprepError:
        with contextlib.suppress(VisprepError):
            await store.abort(target, upload.id)
        raise


def _from(store: S3Store, source: str) -> dict[str, str]:
    return {"x-amz-copy-source": f"/{store.bucket}/{quote_key(store.key(source))}"}


async def _ask(
    store: S3Store, method: str, path: str, *, headers: Mapping[str, str], body: bytes, query: Mapping[str, str] = {}
) -> Response:
    """The answer to a request that begins with 200 before S3 knows how it ends."""
    passing = s3_answers.passes_inside
    answer = await store.ask("s3:PutObject", method, path, query=query, headers=headers, body=body, retry=passing)
    if s3_answers.code_of(answer):
        raise store.refusal(answer, "s3:PutObject", path)
    return answer
