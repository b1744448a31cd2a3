"""The blocks in which a file goes to S3: what each is checked with, and where its bytes are while they are sent.

A file on disk is never in memory: it is read once for its digests and the CRC-32 of every block, and again by libcurl
as it sends. What it reads then is held against the CRC-32. Blocks of other origins are in memory until they are sent;
for those of files that are in memory as a whole see `s3_memory`.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from visprep.digests import Digester, crc32_of_both, fast_zlib
from visprep.errors import VisprepError
from visprep.manifest import File
from visprep.messages import Body
from visprep.stores import Store
from visprep.stores.arrivals import refusal
from visprep.stores.local import LocalStore
from visprep.wire import until

#: What is read and hashed at once, in bytes: it stays in the processor's cache.
_PIECE = 256 * 1024


class RawFile(Protocol):
    """A file without a buffer between, as `io.FileIO` is one."""

    def seek(self, offset: int, /) -> int:
        """Go there."""
        ...

    def read(self, most: int, /) -> bytes | None:
        """At most so many of the next bytes; none at the end."""
        ...

    def readinto(self, target: memoryview, /) -> int | None:
        """Fill `target` with the next bytes; how many there were."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class Stretch:
    """Some bytes of a file on disk, as the body of a request; `crc32` is that of what was read since `seek`."""

    def __init__(self, path: str, source: RawFile, offset: int, length: int) -> None:
        self.path, self._source, self._offset, self._length = path, source, offset, length
        self.trouble: OSError | None = None
        self.seek(0)

    def __len__(self) -> int:
        return self._length

    def seek(self, offset: int, whence: int = 0) -> int:
        """Begin again; 0, as libcurl wants it, or 2 when asked for anything else."""
        if offset or whence:
            return 2
        self.crc32, self.left, self.short = 0, self._length, False
        try:
            self._source.seek(self._offset)
        except OSError as error:
            self.trouble = error
        return 0

    def read(self, most: int) -> bytes:
        """The next bytes; none when it cannot be read, or ends before its time. It raises nothing: see `handles`."""
        try:
            data = self._source.read(min(most, self.left)) or b""
        except OSError as error:
            self.trouble, data = error, b""
        self.short = self.left > 0 and not data
        self.left -= len(data)
        self.crc32 = fast_zlib.crc32(data, self.crc32)
        return data

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


class Block:
    """One block; `number` counts from 1, `checksum` is its CRC-32 as S3 writes it."""

    def __init__(self, number: int, size: int, crc32: int, sha256: str | None, bring: Callable[[], Body]) -> None:
        self.number, self.size, self._crc32, self._sha256, self._bring = number, size, crc32, sha256, bring
        self.checksum = written(crc32)

    @contextlib.contextmanager
    def body(self) -> Iterator[Body]:
        """Its bytes, or what reads them, in a `with`."""
        body = self._bring()
        try:
            yield body
        finally:
            if isinstance(body, Stretch):
                body.close()

    def spoiled(self, body: Body) -> bool:
        """Whether other bytes were sent than were read before; an error when they could not be read."""
        if not isinstance(body, Stretch):
            return False
        if body.trouble:
            raise refusal(body.path, body.trouble)
        return body.short or (not body.left and body.crc32 != self._crc32)

    async def signature(self) -> str:
        """Its SHA-256 as `hexdigest` has it; unless it is known, a thread computes it."""
        if self._sha256 is None:
            thread = threading.Thread(target=self._learn, name="visprep-digests", daemon=True)
            thread.start()
            await until(lambda: not thread.is_alive())
        return self.hexdigest("sha256")

    def _learn(self) -> None:
        self._sha256 = self.hexdigest("sha256")

    def hexdigest(self, algorithm: str) -> str:
        """A digest of its bytes, which are read for that unless it is known."""
        if algorithm == "sha256" and self._sha256:
            return self._sha256
        one = hashlib.new(algorithm, usedforsecurity=False)
        with self.body() as body:
            if isinstance(body, bytes):
                one.update(body)
            else:
                while piece := body.read(_PIECE):
                    one.update(piece)
        return one.hexdigest()


def written(crc32: int) -> str:
    """A CRC-32 as S3 writes it."""
    return base64.b64encode(crc32.to_bytes(4, "big")).decode()


class Blocks(Protocol):
    """The blocks of one file, of `size` bytes each.

    `spoiled` is set when the file changed while it was sent.
    """

    digester: Digester
    spoiled: bool
    size: int
    in_memory: bool

    @property
    def crc32(self) -> int:
        """That of all blocks."""
        ...

    def numbers(self) -> Iterator[int]:
        """1, 2, ... until the file ends."""
        ...

    async def take(self, number: int) -> Block | None:
        """A block, whose turn it is; None after the file's end."""
        ...

    def check(self) -> None:
        """Raise what ended the file before its time."""
        ...


class OnDisk:
    """The blocks of a file on disk. They are there when `read_through` came by them; it may run in a thread.

    `signed`: the SHA-256 of every block is computed too.
    """

    in_memory = False

    def __init__(self, file: File, origin: LocalStore, size: int, algorithms: set[str], *, signed: bool) -> None:
        self._file, self._origin, self.size, self._signed = file, origin, size, signed
        self._found: list[tuple[int, int, str | None]] = []
        self._thread: threading.Thread | None = None
        self._ended = self._stopped = False
        self._trouble: BaseException | None = None
        self.digester = Digester(*algorithms, size=file.size)
        self.crc32, self.spoiled = 0, False

    def __enter__(self) -> OnDisk:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        if self._thread and self._thread.is_alive():  # an interrupt may have come while it was started
            self._thread.join()

    def start(self) -> None:
        """Read it through in a thread."""
        self._thread = threading.Thread(target=self.read_through, name="visprep-digests", daemon=True)
        self._thread.start()

    def read_through(self) -> None:
        """Learn all about it; what fails is for `check`."""
        try:
            with self._origin.raw(self._file.path) as source:
                view = memoryview(bytearray(_PIECE))
                while not self._ended and not self._stopped:
                    self._read_block(source, view)
        except OSError as error:
            self._trouble = refusal(self._file.path, error)
        except BaseException as error:
            self._trouble = error
        finally:
            self._ended = True

    def _read_block(self, source: RawFile, view: memoryview) -> None:
        one = hashlib.sha256() if self._signed else None
        held = crc32 = 0
        while held < self.size and not self._stopped:
            got = source.readinto(view[: min(_PIECE, self.size - held)]) or 0
            if not got:
                break
            piece = view[:got]
            self.digester.update(piece)
            crc32 = fast_zlib.crc32(piece, crc32)
            if one:
                one.update(piece)
            held += got
        self.crc32 = crc32_of_both(self.crc32, crc32, held)
        grew = self._file.size is not None and self.digester.position > self._file.size
        if held and not grew and not self._stopped:
            self._found.append((held, crc32, one.hexdigest() if one else None))
        self._ended = held < self.size or grew

    def numbers(self) -> Iterator[int]:
        """See `Blocks`."""
        number = 1
        while not self.spoiled and not (self._ended and number > len(self._found)):
            yield number
            number += 1

    async def take(self, number: int) -> Block | None:
        """See `Blocks`."""
        await until(lambda: self._ended or len(self._found) >= number)
        if number > len(self._found):
            return None
        size, crc32, sha256 = self._found[number - 1]
        path, offset = self._file.path, (number - 1) * self.size
        return Block(number, size, crc32, sha256, lambda: Stretch(path, self._origin.raw(path), offset, size))

    def check(self) -> None:
        """See `Blocks`."""
        if self._trouble:
            raise self._trouble


class Passing:
    """The blocks of a file that comes from elsewhere: read one after the other, and hashed in a thread."""

    in_memory = True

    def __init__(self, file: File, origin: Store, size: int, algorithms: set[str], first: bytes) -> None:
        self._file, self._origin, self.size = file, origin, size
        self._first: bytes | None = first
        self._threads = ThreadPoolExecutor(1, "visprep-upload")
        self._turn = 1
        self._ended = False
        self._trouble: VisprepError | None = None
        self.digester = Digester(*algorithms, size=file.size)
        self.crc32, self.spoiled = 0, False

    def __enter__(self) -> Passing:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def numbers(self) -> Iterator[int]:
        """See `Blocks`; one that is as long as promised is asked for more, to see whether it grew."""
        number = 1
        while not self._ended and (self._file.size is None or (number - 1) * self.size <= self._file.size):
            yield number
            number += 1

    async def take(self, number: int) -> Block | None:
        """See `Blocks`."""
        await until(lambda: self._turn == number)
        data, self._first = self._first, None
        if data is None:
            data = b"" if self._ended else await self._read(number)
        self._turn += 1
        work = self._threads.submit(self._work, number, data)
        await until(work.done)
        return work.result()

    async def _read(self, number: int) -> bytes:
        try:
            return await self._origin.read(self._file.path, (number - 1) * self.size, self.size)
        except VisprepError as error:
            self._trouble, self._ended = error, True
            return b""

    def _work(self, number: int, data: bytes) -> Block | None:
        self.digester.update(data)
        crc32 = fast_zlib.crc32(data)
        self.crc32 = crc32_of_both(self.crc32, crc32, len(data))
        self._ended = self._ended or len(data) < self.size
        if self._file.size is not None and self.digester.position > self._file.size:
            self._ended = True
            return None
        return Block(number, len(data), crc32, None, lambda: data) if data else None

    def check(self) -> None:
        """See `Blocks`."""
        if self._trouble:
            raise self._trouble
