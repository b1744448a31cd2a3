"""From an archive to S3: its members become objects as their bytes come, and nothing of them is ever on disk.

Small ones are put whole from memory, large ones go in parts while they are inflated. None appears before its CRC-32 was
compared. Only visprep's own files on their way, such as zips in zips, go to a directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from visprep.errors import VisprepError, WrongContent
from visprep.manifest import RECORD_DIR, File
from visprep.stores import s3_parts
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import Packed
from visprep.stores.s3 import S3Store
from visprep.stores.s3_streams import drop
from visprep.stores.unpacking import Landing
from visprep.stores.zip_directory import Member
from visprep.stores.zip_members import MemberStream, as_it_came
from visprep.wire import until, wait

if TYPE_CHECKING:
    from visprep.stores import Store

#: Inflated bytes of small files that are on their way at once.
_SENT = 48 * 1024 * 1024


class BucketLanding:
    """Where members become objects of `target`; several threads may use one.

    What is not what its archive promises is kept as an object below `aside`, where that is given, but for large files.
    What the bucket has against anything, which is no fault of whoever sent the archive, is told so by the error's
    attribute `of_target`. `scratch` is for what lies below `.visprep/`.
    """

    def __init__(self, target: S3Store, aside: str | None, scratch: LocalStore | None) -> None:
        self._target, self._aside = target, aside
        self._scratch = None if scratch is None else Landing(scratch)
        self._room = _Room(_SENT)

    async def put(self, path: str, member: Member, bring: Callable[[], memoryview | bytes]) -> File:
        """Make an object of all the bytes of a member, which `bring` gives as soon as there is memory for them."""
        await until(lambda: self._room.taken(member.size))
        try:
            data = bring()
            sha256 = f"sha256:{hashlib.sha256(data).hexdigest()}"
            if path.startswith(f"{RECORD_DIR}/"):
                self._for_now.put(path, member, data)
                return File(path, member.size, sha256)
            with self._noticing():
                put = await self._target.put(path, bytes(data), sha256)
            return _named(put, member)
        finally:
            self._room.give_back(member.size)

    async def refuse(self, path: str, member: Member, view: memoryview, error: WrongContent) -> WrongContent:
        """The error about a member whose bytes came as in `view`, when these are put aside."""
        if self._aside:
            with contextlib.suppress(VisprepError):  # what is wrong is told in any case
                await self._target.write(f"{self._aside}/{path}", as_it_came(view, member))
                error.message += f"; it was put aside in {self._aside}"
        return error

    def write(self, one: Packed, stream: Callable[[], MemberStream]) -> File:
        """Make an object of a large member, in parts; uploads of it that were broken off before are dropped."""
        if one.path.startswith(f"{RECORD_DIR}/"):
            return self._for_now.write(one, stream)
        with ThreadPoolExecutor(1, "visprep-inflate") as thread:
            origin = _Inflating(one, stream, thread)
            promised = File(one.path, one.member.size, f"crc32:{one.member.crc:08x}")
            try:
                drop(self._target, promised)
                with self._noticing(origin):
                    made = wait(s3_parts.receive(self._target, promised, cast("Store", origin), anew=True))
            except BaseException:
                drop(self._target, promised)
                raise
        return _named(made, one.member)

    @property
    def _for_now(self) -> Landing:
        assert self._scratch
        return self._scratch

    @contextlib.contextmanager
    def _noticing(self, origin: _Inflating | None = None) -> Iterator[None]:
        try:
            yield
        except VisprepError as error:
            if origin is None or error is not origin.trouble:
                vars(error)["of_target"] = True  # it may be told by another process
            raise


def _named(made: File, member: Member) -> File:
    """A file that was made of a member, which its CRC-32 tells from others of that name and size."""
    return File(made.path, member.size, made.digest, etag=made.etag, md5=f"crc32:{member.crc:08x}")


class _Inflating:
    """The bytes of one member as those of a place, in order; a thread inflates them."""

    def __init__(self, one: Packed, stream: Callable[[], MemberStream], thread: ThreadPoolExecutor) -> None:
        self._one, self._open, self._thread = one, stream, thread
        self._stream: MemberStream | None = None
        self.trouble: VisprepError | None = None

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        return File(path, self._one.member.size)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`: the next bytes, whatever the offset."""
        work = self._thread.submit(self._read, length or 0)
        await until(work.done)
        return work.result()

    def _read(self, length: int) -> bytes:
        try:
            self._stream = self._stream or self._open()
            return self._stream.read(length)
        except VisprepError as error:
            self.trouble = error
            raise


class _Room:
    """Bytes that may be in memory at once; one that is larger than all of it is alone."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, 0, threading.Lock()

    def taken(self, length: int) -> bool:
        """Take so many, if there is room for them."""
        with self._lock:
            free = not self._held or self._held + length <= self._most
            self._held += length if free else 0
            return free

    def give_back(self, length: int) -> None:
        """Have them back."""
        with self._lock:
            self._held -= length
