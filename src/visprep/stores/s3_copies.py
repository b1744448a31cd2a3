"""Copying an object within a bucket: the server does it, and not a byte comes here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from visprep.digests import algorithm_of
from visprep.errors import AccessDenied, ChangedMeanwhile, FileMissing, ServerFailed, VisprepError, WrongContent
from visprep.manifest import File, bare_etag
from visprep.signing import quote_key
from visprep.stores import Store, s3_answers, s3_uploads
from visprep.stores.published import PlaceStore
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
    origin: S3Store | None = None,
    etag: str | None = None,
    most: int = MOST,
    part: int = PART,
) -> File:
    """Make the object at path `target` of the bytes at path `source`, which are `size`, in place of what was there.

    `source` is of `origin` where that is another prefix or bucket of the same server, and has the `etag` if one is
    told. The copy tells `sha256` (64 hexadecimal digits), where it is known, and has the storage class, encryption and
    ACL of the store's settings. Above `most` bytes it is made of parts, and appears when all of them are there.
    FileMissing when there is no source, WrongContent when the copy has another size. What a server that cannot copy is
    ServerFailed or AccessDenied.
    """
    digest = f"sha256:{sha256}" if sha256 else None
    there = _from(origin or store, source, etag)
    if size > most:
        await _in_parts(store, there, target, size, digest, max(part, -(-size // _MOST_PARTS)))
    else:
        headers = {**store.describing(target, digest), **there}
        headers["x-amz-metadata-directive"] = "REPLACE"
        await _ask(store, "PUT", target, headers=headers, body=b"")
    made = await store.stat(target)
    if made.size != size:
        raise WrongContent(f"{store.place}/{target}: the copy has {made.size} bytes, and {source} has {size}")
    return made


async def brought(store: Store, target: str, origin: Store, file: File) -> File | None:
    """A copy of a file of another place on the same server, made by that; None where it must be read for it.

    That is so where nothing tells the SHA-256 of the file, and where the server does not copy. ChangedMeanwhile when it
    is not the one any more that was listed.
    """
    if not isinstance(store, S3Store) or not isinstance(origin, S3Store) or store.settings != origin.settings:
        return None
    there = await origin.stat(file.path)
    if there.size != file.size or (file.etag and there.etag and bare_etag(file.etag) != bare_etag(there.etag)):
        raise ChangedMeanwhile(
            f"{origin.place}/{file.path} changed since it was listed", hint="run the same command again"
        )
    if there.size is None or algorithm_of(there.digest or "") != "sha256":
        return None
    if isinstance(store, PlaceStore):
        await store.check_writable()
    sha256 = (there.digest or "").removeprefix("sha256:")
    with contextlib.suppress(ServerFailed, AccessDenied):
        return await copy(store, file.path, target, there.size, sha256, origin=origin, etag=there.etag)
    return None


async def _in_parts(
    store: S3Store, source: Mapping[str, str], target: str, size: int, digest: str | None, block: int
) -> None:
    headers = store.describing(target, digest) | s3_uploads.CHECKED
    begun = await store.ask("s3:PutObject", "POST", target, query={"uploads": ""}, headers=headers, body=b"")
    upload = s3_answers.created(begun, store.key(target))
    parts: dict[int, Part] = {}

    async def bring(number: int) -> None:
        first = (number - 1) * block
        headers = {**source, "x-amz-copy-source-range": f"bytes={first}-{min(first + block, size) - 1}"}
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


def _from(store: S3Store, source: str, etag: str | None) -> dict[str, str]:
    told = {"x-amz-copy-source-if-match": etag} if etag else {}
    return {"x-amz-copy-source": f"/{store.bucket}/{quote_key(store.key(source))}", **told}


async def _ask(
    store: S3Store, method: str, path: str, *, headers: Mapping[str, str], body: bytes, query: Mapping[str, str] = {}
) -> Response:
    """The answer to a request that begins with 200 before S3 knows how it ends."""
    passing = s3_answers.passes_inside
    answer = await store.ask("s3:PutObject", method, path, query=query, headers=headers, body=body, retry=passing)
    if s3_answers.code_of(answer):
        raise store.refusal(answer, "s3:PutObject", path)
    return answer
