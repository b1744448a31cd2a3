"""Changing what a small object says: in one step, and only if nobody else changed it meanwhile."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import replace

from visprep.digests import digest_of
from visprep.errors import ChangedMeanwhile, FileMissing
from visprep.stores.s3 import S3Store
from visprep.stores.versions import CURRENT, VERSIONS, Pointer, Version
from visprep.wire import Response

#: Statuses by which servers refuse a condition that does not hold, and a header that they do not know.
_DOES_NOT_HOLD, _UNKNOWN = (404, 409, 412), (400, 501)
#: No object has this ETag.
_NO_ETAG = '"00000000000000000000000000000000"'


async def knows_conditions(store: S3Store, version: Version) -> bool:
    """Whether the server writes only if a condition holds, as S3 does: it is tried on a small file of the version.

    That file has always the same bytes, so nothing is lost where the server knows no conditions.
    """
    path, data = f"{VERSIONS}/{version.name}/version.jsonl", json.dumps({"version": version.name}).encode() + b"\n"
    await store.write(path, data)
    return await _refuses(store, path, data)


async def swap(store: S3Store, pointer: Pointer, etag: str, *, guarded: bool) -> None:
    """Let `current.json` say this, if it has that ETag still; an empty one: if there is none yet.

    ChangedMeanwhile when it has not. Unless `guarded`, the server knows no conditions: it is looked at before and
    after, and somebody who writes in between is not seen in every case.
    """
    data = replace(pointer, write=uuid.uuid4().hex).dump()
    if await put_if(store, CURRENT, data, etag, guarded=guarded) is None:
        raise ChangedMeanwhile(
            f"{store.place}: somebody else published there meanwhile",
            hint="look at what is there, then run the same command again",
        )


async def guards(store: S3Store, path: str, data: bytes, etag: str) -> bool | None:
    """`knows_conditions`, tried on the very object that shall become `data`; None when it has not that ETag any more.

    A server that knows none writes `data` by that; `put_if` sees then that it is there.
    """
    return await _refuses(store, path, data) if await _etag(store, path) == etag else None


async def put_if(store: S3Store, path: str, data: bytes, etag: str, *, guarded: bool) -> str | None:
    """Put `data` at `path` if what is there has that ETag still; an empty one: if nothing is there yet.

    The new ETag; None when somebody else changed it. What is there with these very bytes counts as ours. `guarded`: as
    for `swap`.
    """
    if not guarded:
        before, there = await _etag(store, path), None
        if before != etag:
            there = await _read(store, path)
            return there[1] if there and there[0] == data else None
        await store.write(path, data)
    else:
        answer = await _put(store, path, data, {"if-match": etag} if etag else {"if-none-match": "*"})
        if answer.status < 300:
            return answer.etag or await _etag(store, path)
        if answer.status not in _DOES_NOT_HOLD:
            raise store.refusal(answer, "s3:PutObject", path)
    # Ours may be there all the same: the answer to a first attempt can get lost
    there = await _read(store, path)
    return there[1] if there and there[0] == data else None


async def _refuses(store: S3Store, path: str, data: bytes) -> bool:
    return (await _put(store, path, data, {"if-match": _NO_ETAG})).status in _DOES_NOT_HOLD


async def _put(store: S3Store, path: str, data: bytes, condition: Mapping[str, str]) -> Response:
    headers = {**store._headers_for(path, digest_of(data)), **condition}
    accept = (*_DOES_NOT_HOLD, *_UNKNOWN)
    return await store.ask("s3:PutObject", "PUT", path, accept=accept, headers=headers, body=data)


async def _read(store: S3Store, path: str) -> tuple[bytes, str] | None:
    try:
        response = await store.ask("s3:GetObject", "GET", path)
    except FileMissing:
        return None
    return response.body, response.etag or ""


async def _etag(store: S3Store, path: str) -> str:
    try:
        return (await store.stat(path)).etag or ""
    except FileMissing:
        return ""
