"""Changing what `current.json` says: in one step, and only if nobody else changed it meanwhile."""

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
    return (await _put(store, path, data, {"if-match": _NO_ETAG})).status in _DOES_NOT_HOLD


async def swap(store: S3Store, pointer: Pointer, etag: str, *, guarded: bool) -> None:
    """Let `current.json` say this, if it has that ETag still; an empty one: if there is none yet.

    ChangedMeanwhile when it has not. Unless `guarded`, the server knows no conditions: it is looked at before and
    after, and somebody who writes in between is not seen in every case.
    """
    data = replace(pointer, write=uuid.uuid4().hex).dump()
    if not guarded:
        if await _etag(store) != etag:
            raise _changed(store)
        await store.write(CURRENT, data)
    else:
        condition = {"if-match": etag} if etag else {"if-none-match": "*"}
        answer = await _put(store, CURRENT, data, condition)
        if answer.status < 300:
            return
        if answer.status not in _DOES_NOT_HOLD:
            raise store.refusal(answer, "s3:PutObject", CURRENT)
    # Ours may be there all the same: the answer to a first attempt can get lost
    try:
        there = await store.read(CURRENT)
    except FileMissing:
        raise _changed(store) from None
    if there != data:
        raise _changed(store)


async def _put(store: S3Store, path: str, data: bytes, condition: Mapping[str, str]) -> Response:
    headers = {**store._headers_for(path, digest_of(data)), **condition}
    accept = (*_DOES_NOT_HOLD, *_UNKNOWN)
    return await store.ask("s3:PutObject", "PUT", path, accept=accept, headers=headers, body=data)


async def _etag(store: S3Store) -> str:
    try:
        return (await store.stat(CURRENT)).etag or ""
    except FileMissing:
        return ""


def _changed(store: S3Store) -> ChangedMeanwhile:
    return ChangedMeanwhile(
        f"{store.place}: somebody else published there meanwhile", hint="look at what is there, then run it again"
    )
