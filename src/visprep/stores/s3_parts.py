"""Sending a file to S3: in one request, or in parts that a later run can go on with.

No object ever appears with other content than was promised. A file on disk is not held in memory, see `s3_blocks`; of
all files from elsewhere that go in parts at the same time, `_HELD` bytes are, or two parts of each if that is more.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from visprep.digests import ALGORITHMS, Digester, algorithm_of
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    ServerFailed,
    StoreError,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File, bare_etag
from visprep.messages import Body
from visprep.stores import s3_answers, s3_options, s3_uploads
from visprep.stores.local import LocalStore
from visprep.stores.s3_answers import Part, Upload
from visprep.stores.s3_blocks import Block, Blocks, OnDisk, Passing, written
from visprep.stores.s3_memory import Held, InMemory
from visprep.wire import Response, each, send

if TYPE_CHECKING:
    from visprep.stores import Store
    from visprep.stores.s3 import S3Store

_MEBIBYTE = 1024 * 1024
#: S3's bounds: a part has at least 5 MiB, the last one aside, and an upload at most 10,000 parts.
_SMALLEST_PART = 5 * _MEBIBYTE
_MOST_PARTS = 10_000
_HELD = 32 * _MEBIBYTE
#: Parts of files on disk that are on their way at once, of all files together.
_AT_ONCE = 8
_AGAIN = "run the same command again; if it happens again, the origin itself is damaged"


async def receive(store: S3Store, file: File, origin: Store, *, anew: bool = False) -> File:
    """See `Store.receive`; `anew` goes on with no upload that was begun before."""
    store.key(file.path)
    block = part_size(store.settings.part_size, file.size)
    if file.digest is None and type(origin) is type(store):  # it carries one where its ETag is no MD5
        file = replace(file, digest=await origin.hash(file.path, "sha256"))
    if (file.size or 0) > block and file.digest is None and _differs(file, await origin.stat(file.path)):
        raise ChangedMeanwhile(f"{file.path} changed after it was listed", hint="run the same command again")
    if (file.size or 0) > block and isinstance(origin, Held):
        with InMemory(file, origin, block, _algorithms(file), signed=not store.encrypted) as in_memory:
            return await _receive_parts(store, file, origin, in_memory, file.digest, anew=anew)
    if (file.size or 0) > block and isinstance(origin, LocalStore):
        with OnDisk(file, origin, block, _algorithms(file), signed=not store.encrypted) as on_disk:
            if algorithm_of(file.digest or "") == "sha256":
                on_disk.start()
                return await _receive_parts(store, file, origin, on_disk, file.digest, anew=anew)
            # The object tells its digest in its metadata, and S3 wants that before the first part
            on_disk.read_through()
            on_disk.check()
            await _check(file, on_disk.digester, origin, whole=False)
            return await _receive_parts(store, file, origin, on_disk, on_disk.digester.digest("sha256"), anew=anew)
    if (file.size or 0) > block and file.digest is None:
        file = replace(file, digest=await origin.hash(file.path, "sha256"))
    # One byte more than was promised, to see that a file grew.
    first = await origin.read(file.path, 0, block if file.size is None else min(block, file.size + 1))
    if len(first) == block and ((file.size or 0) > block or await origin.read(file.path, block, 1)):
        with Passing(file, origin, block, _algorithms(file), first) as passing:
            return await _receive_parts(store, file, origin, passing, file.digest, anew=anew)
    digester = Digester(*_algorithms(file), size=file.size)
    digester.update(first)
    await _check(file, digester, origin, whole=True)
    return await store.put(file.path, first, digester.digest("sha256"), file.made_from)


def part_size(wanted: int, size: int | None) -> int:
    """Bytes in a part: as wanted, but more where 10,000 parts would not do, and never less than S3 takes."""
    needed = -(-(size or 0) // _MOST_PARTS)
    return max(wanted, -(-needed // _MEBIBYTE) * _MEBIBYTE, _SMALLEST_PART)


async def _receive_parts(
    store: S3Store, file: File, origin: Store, blocks: Blocks, told: str | None, *, anew: bool
) -> File:
    """Send the blocks of a file, several at a time; the object tells the digest `told`."""
    first = await blocks.take(1)
    if first is None:
        blocks.check()
    upload, there = await s3_uploads.begin(store, replace(file, digest=told), None if anew else first)
    parts: dict[int, Part] = {}

    async def bring(number: int) -> None:
        block = first if number == 1 else await blocks.take(number)
        if block is None:
            return
        with block.body() as body:
            try:
                parts[number] = await _send(store, file.path, upload, block, body, there.get(number))
            except VisprepError:  # a server that compares checksums refuses what changed
                if not block.spoiled(body):
                    raise
            blocks.spoiled = blocks.spoiled or block.spoiled(body)

    with _shared() as share:
        await each(map(bring, blocks.numbers()), lambda: share(blocks))
    blocks.check()
    try:
        await _check(file, blocks.digester, origin, whole=False, spoiled=blocks.spoiled)
    except StoreError:
        with contextlib.suppress(VisprepError):
            await store.abort(file.path, upload.id)
        raise
    whole = [parts[number] for number in sorted(parts)]
    size, sha256 = blocks.digester.position, blocks.digester.digest("sha256")
    sent = File(file.path, size, sha256, etag=_etag_of(whole), made_from=file.made_from)
    sent = replace(sent, etag=await _complete(store, upload, whole, sent, written(blocks.crc32)))
    if there and not await _as_asked(store, sent, told=any(part.checksum for part in there.values())):
        return await receive(store, file, origin, anew=True)
    return sent


async def _as_asked(store: S3Store, sent: File, *, told: bool) -> bool:
    """Whether an object says what it holds, and lies there as was asked.

    The upload that we went on with may have been begun for other content, or with other options, and keeps them. With
    `told` it must tell its digest: only CRCs say so far that its parts are ours.
    """
    try:
        headers = (await store.ask("s3:GetObject", "HEAD", sent.path)).headers
    except AccessDenied:  # who may only write sees nothing of it
        return False
    if headers.get(s3_answers.MADE_FROM) != sent.made_from:
        return False
    digest = s3_answers.digest_in(headers, "sha256")
    if digest != sent.digest and (told or digest):
        return False
    return s3_options.followed(store.settings, headers)


_sharing = 0
_lock = threading.Lock()


@contextlib.contextmanager
def _shared() -> Iterator[Callable[[Blocks], int]]:
    """How many parts of one file may be on their way, as long as so many files are in this process."""
    global _sharing
    with _lock:
        _sharing += 1
    try:
        yield lambda blocks: max(2, (_HELD // blocks.size if blocks.in_memory else _AT_ONCE) // _sharing)
    finally:
        with _lock:
            _sharing -= 1


async def _send(store: S3Store, path: str, upload: Upload, block: Block, body: Body, old: Part | None) -> Part:
    """Send a part, unless it is there already as `old`."""
    part = Part(block.number, "", block.size, block.checksum if upload.algorithm else None)
    if old is not None and s3_uploads.holds(old, block):
        return replace(part, etag=old.etag)
    # TLS guards the bytes on their way, and the server compares the CRC-32 of what it got; else their SHA-256 is signed
    guarded = store.encrypted and upload.algorithm
    headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD" if guarded else await block.signature()}
    if upload.algorithm:
        headers["x-amz-checksum-crc32"] = block.checksum
    query = {"partNumber": str(block.number), "uploadId": upload.id}
    return _stored(store, path, part, await send(store.request("PUT", path, query=query, headers=headers, body=body)))


def _stored(store: S3Store, path: str, part: Part, response: Response) -> Part:
    etag = store.checked(response, "s3:PutObject", path).headers.get("etag", "").strip('"')
    if not etag:
        raise ServerFailed(f"s3://{store.bucket}/{store.key(path)}: the server took a part without naming its ETag")
    return replace(part, etag=etag)


async def _complete(store: S3Store, upload: Upload, parts: list[Part], sent: File, checksum: str) -> str | None:
    """Make the object of the parts; its ETag. A second attempt may find the upload gone since the first one worked."""
    headers = {"content-type": "application/xml"}
    if upload.algorithm == s3_uploads.ALGORITHM:  # then the server compares that of the whole, too
        headers |= {"x-amz-checksum-crc32": checksum, "x-amz-checksum-type": s3_uploads.KIND}
    response = await store.ask(
        "s3:PutObject",
        "POST",
        sent.path,
        accept=(404,),
        query={"uploadId": upload.id},
        headers=headers,
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


def _algorithms(file: File) -> set[str]:
    return {"sha256"} | _promised(file)


def _promised(file: File) -> set[str]:
    """The algorithm of the digest that can be checked; `git-sha1` cannot without the size."""
    algorithm = algorithm_of(file.digest or "")
    known = algorithm in ALGORITHMS and (algorithm != "git-sha1" or file.size is not None)
    return {algorithm} if known else set()


async def _check(file: File, digester: Digester, origin: Store, *, whole: bool, spoiled: bool = False) -> None:
    """WrongContent when the bytes read are not those promised, ChangedMeanwhile when the origin changed since.

    `spoiled`: what was sent is not what was read. Bytes that were not read in one go (`whole`), and that no digest
    vouches for, may be of two versions of the file; those of an object of which the copy says that it was made from
    it, of a later one.
    """
    wrong = ""
    if file.size is not None and digester.position != file.size:
        wrong = f"the origin's size differs: {digester.position} bytes were read, {file.size} were promised"
    elif spoiled:
        wrong = "what was sent differs from what was read before"
    else:
        for algorithm in _promised(file):
            if digester.digest(algorithm) != file.digest:
                wrong = f"the {algorithm} of what the origin gave differs from the promised one"
    doubtful = (not whole or bool(file.made_from)) and not _promised(file)
    if (wrong or doubtful) and _differs(file, await origin.stat(file.path)):
        raise ChangedMeanwhile(f"{file.path} changed after it was listed", hint="run the same command again")
    if wrong:
        raise WrongContent(f"{file.path}: {wrong}", hint=_AGAIN)


def _differs(file: File, now: File) -> bool:
    """Whether a later look at a file shows that it was written to."""
    if file.etag and now.etag:
        return bare_etag(file.etag) != bare_etag(now.etag)
    return file.mtime is not None and now.mtime is not None and file.mtime != now.mtime
