"""Sending a file to S3: in one request, or in parts that a later run can go on with.

The bytes are read in order, so that their digest is known before an upload is completed: no object ever appears
with other content than was promised. Of all files that go in parts at the same time, `_HELD` bytes are in memory, or
two parts of each if that is more.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from visprep.digests import ALGORITHMS, Digester, DigestSink, algorithm_of
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    ServerFailed,
    StoreError,
    VisprepError,
    WrongContent,
)
from visprep.manifest import File, bare_etag
from visprep.stores import s3_answers, s3_options, s3_uploads
from visprep.stores.local import LocalStore
from visprep.stores.s3_answers import Part, Upload
from visprep.wire import Job, Response, each, send, until

if TYPE_CHECKING:
    from visprep.stores import Store
    from visprep.stores.s3 import S3Store

log = logging.getLogger("visprep.stores.s3")

_MEBIBYTE = 1024 * 1024
#: S3's bounds: a part has at least 5 MiB, the last one aside, and an upload at most 10,000 parts.
_SMALLEST_PART = 5 * _MEBIBYTE
_MOST_PARTS = 10_000
_HELD = 32 * _MEBIBYTE
#: What is hashed twice in a row, in bytes.
_PIECE = 256 * 1024
#: What shows that a file read twice was the same both times.
_SAME = "crc32"
_AGAIN = "run the command again; if it happens again, the origin itself is damaged"


async def receive(store: S3Store, file: File, origin: Store, *, anew: bool = False) -> File:
    """See `Store.receive`; `anew` goes on with no upload that was begun before."""
    store.key(file.path)
    block = part_size(store.settings.part_size, file.size)
    seen: DigestSink | None = None
    if file.digest is None and type(origin) is type(store):  # it carries one where its ETag is no MD5
        file = replace(file, digest=await origin.hash(file.path, "sha256"))
    if (file.size or 0) > block and file.digest is None:
        # The object tells its digest in its metadata, and S3 wants that before the first part
        if _differs(file, await origin.stat(file.path)):
            raise ChangedMeanwhile(f"{file.path} changed after it was listed", hint="run the command again")
        if isinstance(origin, LocalStore):
            seen = DigestSink(_SAME)
            await origin.fetch(file, seen)
            file = replace(file, digest=seen.digest)
        else:
            file = replace(file, digest=await origin.hash(file.path, "sha256"))
    # One byte more than was promised, to see that a file grew.
    first = [await origin.read(file.path, 0, block if file.size is None else min(block, file.size + 1))]
    if len(first[0]) == block and ((file.size or 0) > block or await origin.read(file.path, block, 1)):
        return await _receive_parts(store, file, origin, first, block, seen, anew=anew)
    digester = _digester(file)
    digester.update(first[0])
    await _check(file, digester, origin, whole=True)
    return await store.put(file.path, first[0], digester.digest("sha256"), file.made_from)


def part_size(wanted: int, size: int | None) -> int:
    """Bytes in a part: as wanted, but more where 10,000 parts would not do, and never less than S3 takes."""
    needed = -(-(size or 0) // _MOST_PARTS)
    return max(wanted, -(-needed // _MEBIBYTE) * _MEBIBYTE, _SMALLEST_PART)


async def _receive_parts(
    store: S3Store,
    file: File,
    origin: Store,
    first: list[bytes],
    block: int,
    seen: DigestSink | None,
    *,
    anew: bool,
) -> File:
    """Send a file: while some parts are on their way, the next are read and hashed; the first is taken from a list.

    What was `seen` of the file, when its digest was computed, must be what is sent.
    """
    upload, there = await s3_uploads.begin(store, file, None if anew else first[0])
    digester = Digester(_SAME) if seen else _digester(file)
    with _Reader(file, origin, block, digester) as reader, _in_memory() as share:
        parts: dict[int, Part] = {}

        async def bring(number: int) -> None:
            data, sha256 = await reader.block(number - 1, first)
            if data:
                parts[number] = await _send(store, file.path, upload, number, data, sha256, there.get(number))

        await each(map(bring, reader.numbers()), lambda: max(2, share() // block))
        reader.check()
        try:
            await _check(file, digester, origin, whole=False, seen=seen)
        except StoreError:
            with contextlib.suppress(VisprepError):
                await store.abort(file.path, upload.id)
            raise
    whole = [parts[number] for number in sorted(parts)]
    sha256 = seen.digest if seen else digester.digest("sha256")
    sent = File(file.path, digester.position, sha256, etag=_etag_of(whole), made_from=file.made_from)
    sent = replace(sent, etag=await _complete(store, upload, whole, sent))
    if there and not await _as_asked(store, sent):
        return await receive(store, file, origin, anew=True)
    return sent


async def _as_asked(store: S3Store, sent: File) -> bool:
    """Whether an object says what it holds, and lies there as was asked.

    The upload that we went on with may have been begun for other content, or with other options, and keeps them.
    """
    try:
        headers = (await store.ask("s3:GetObject", "HEAD", sent.path)).headers
    except AccessDenied:  # who may only write sees nothing of it
        return False
    if headers.get(s3_answers.MADE_FROM) != sent.made_from:
        return False
    if s3_answers.digest_in(headers, "sha256") not in (None, sent.digest):
        return False
    return s3_options.followed(store.settings, headers)


class _Reader:
    """Reads a file block by block, and hashes it in a thread of its own; one on disk is also read there.

    What fails ends the file: `block` gives no more data, so that what was read before is still sent, and `check`
    raises it.
    """

    def __init__(self, file: File, origin: Store, size: int, digester: Digester) -> None:
        self._file, self._origin, self._size = file, origin, size
        self._threads = ThreadPoolExecutor(1, "visprep-upload")
        self._turn = 0
        self._ended = False
        self._trouble: VisprepError | None = None
        self._digester = digester

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *raised: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def numbers(self) -> Iterator[int]:
        """1, 2, ... until the file ends; one that is as long as promised is asked for more, to see whether it grew."""
        number = 1
        while not self._ended and (self._file.size is None or (number - 1) * self._size <= self._file.size):
            yield number
            number += 1

    async def block(self, at: int, known: list[bytes]) -> tuple[bytes, bytes]:
        """Block number `at` and its SHA-256, nothing after the file's end; what is `known` already is taken from it."""
        await until(lambda: self._turn == at)
        if not (known or self._ended or isinstance(self._origin, LocalStore)):
            known = [await self._read(at)]
        self._turn += 1
        work = self._threads.submit(self._work, at, known.pop() if known else None)
        await until(work.done)
        return work.result()

    async def _read(self, at: int) -> bytes:
        try:
            return await self._origin.read(self._file.path, at * self._size, self._size)
        except VisprepError as error:
            self._trouble, self._ended = error, True
            return b""

    def _work(self, at: int, data: bytes | None) -> tuple[bytes, bytes]:
        if data is None:
            data = b"" if self._ended else _at_once(self._read(at))
        one, promised = hashlib.sha256(), self._file.size
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):  # both while it is in the processor's cache
            piece = view[start : start + _PIECE]
            one.update(piece)
            self._digester.update(piece)
        self._ended = self._ended or len(data) < self._size
        if promised is not None and self._digester.position > promised:
            self._ended = True
            return b"", b""
        return data, one.digest()

    def check(self) -> None:
        """Raise what ended the file before its time."""
        if self._trouble:
            raise self._trouble


def _at_once(job: Job[bytes]) -> bytes:
    """What a coroutine returns that waits for nothing."""
    try:
        job.send(None)
    except StopIteration as end:
        data: bytes = end.value
        return data
    raise AssertionError("a directory waits for no network")


_sharing = 0
_lock = threading.Lock()


@contextlib.contextmanager
def _in_memory() -> Iterator[Callable[[], int]]:
    """What one file may have in memory, in bytes, as long as so many are on their way in this process."""
    global _sharing
    with _lock:
        _sharing += 1
    try:
        yield lambda: _HELD // _sharing
    finally:
        with _lock:
            _sharing -= 1


async def _send(
    store: S3Store, path: str, upload: Upload, number: int, data: bytes, sha256: bytes, old: Part | None
) -> Part:
    """Send a part, unless it is there already as `old`."""
    checksum = base64.b64encode(sha256).decode()
    part = Part(number, "", len(data), checksum if upload.algorithm else None)
    if old is not None and old.size == len(data) and s3_uploads.holds(old, data, checksum):
        return replace(part, etag=old.etag)
    headers = {"x-amz-content-sha256": sha256.hex()}
    if upload.algorithm:
        headers["x-amz-checksum-sha256"] = checksum
    query = {"partNumber": str(number), "uploadId": upload.id}
    return _stored(store, path, part, await send(store.request("PUT", path, query=query, headers=headers, body=data)))


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


async def _check(file: File, digester: Digester, origin: Store, *, whole: bool, seen: DigestSink | None = None) -> None:
    """WrongContent when the bytes read are not those promised, ChangedMeanwhile when the origin changed since.

    Bytes that were not read in one go (`whole`), and that no digest vouches for, may be of two versions of the file;
    those of an object of which the copy says that it was made from it, of a later one.
    """
    wrong = ""
    if file.size is not None and digester.position != file.size:
        wrong = f"the origin's size differs: {digester.position} bytes were read, {file.size} were promised"
    elif seen:
        if digester.digest(_SAME) != seen.other(_SAME):
            wrong = "what was sent differs from what was read before"
    else:
        for algorithm in _promised(file):
            if digester.digest(algorithm) != file.digest:
                wrong = f"the {algorithm} of what the origin gave differs from the promised one"
    doubtful = (not whole or bool(file.made_from)) and (seen is not None or not _promised(file))
    if (wrong or doubtful) and _differs(file, await origin.stat(file.path)):
        raise ChangedMeanwhile(f"{file.path} changed after it was listed", hint="run the command again")
    if wrong:
        raise WrongContent(f"{file.path}: {wrong}", hint=_AGAIN)


def _differs(file: File, now: File) -> bool:
    """Whether a later look at a file shows that it was written to."""
    if file.etag and now.etag:
        return bare_etag(file.etag) != bare_etag(now.etag)
    return file.mtime is not None and now.mtime is not None and file.mtime != now.mtime
