"""The blocks of a file that is in memory as a whole, where nobody changes it while it goes to S3.

Two threads learn their digests while a third one, libcurl's, sends them: one goes through the whole, the other one
through the blocks. The bytes are never copied but into what libcurl sends at once.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

from visprep.digests import Digester, crc32_of_both, fast_zlib
from visprep.manifest import File
from visprep.stores.s3_blocks import Block
from visprep.wire import until

#: What is hashed at once, in bytes: after it a thread sees whether it is still wanted.
_PIECE = 1024 * 1024


@runtime_checkable
class Held(Protocol):
    """A store whose files are in memory, and stay as they are.

    S3 objects made of them tell no SHA-256: they would have to be read through before they are sent.
    """

    def view(self, path: str) -> memoryview:
        """All bytes of a file."""
        ...


class View:
    """Some bytes in memory as the body of a request."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def __len__(self) -> int:
        return len(self._data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Begin again; 0, as libcurl wants it, or 2 when asked for anything else."""
        if offset or whence:
            return 2
        self._at = 0
        return 0

    def read(self, most: int) -> bytes:
        """The next bytes."""
        data = bytes(self._data[self._at : self._at + most])
        self._at += len(data)
        return data


class InMemory:
    """See `Blocks`. `signed`: the SHA-256 of every block is computed too."""

    in_memory = False  # what is held is not ours, and does not grow with the blocks on their way

    def __init__(self, file: File, origin: Held, size: int, algorithms: set[str], *, signed: bool) -> None:
        self._data, self.size, self._signed = origin.view(file.path), size, signed
        self._blocks = [self._data[at : at + size] for at in range(0, len(self._data), size)]
        self._found: list[tuple[int, str | None]] = []
        self._stopped = self._whole = False
        self._trouble: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, args=(one,), name="visprep-digests", daemon=True)
            for one in (self._learn_blocks, self._learn_whole)
        ]
        self.digester = Digester(*algorithms, size=len(self._data))
        self.spoiled = False

    def __enter__(self) -> InMemory:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in self._threads:
            if thread.is_alive():  # an interrupt may have come while it was started
                thread.join()

    def _work(self, learn: Callable[[], None]) -> None:
        try:
            learn()
        except BaseException as error:  # it is for `check`
            self._trouble = error

    def _learn_whole(self) -> None:
        for piece in self._pieces(self._data):
            self.digester.update(piece)
        self._whole = True

    def _learn_blocks(self) -> None:
        for block in self._blocks:
            crc32, one = 0, hashlib.sha256() if self._signed else None
            for piece in self._pieces(block):
                crc32 = fast_zlib.crc32(piece, crc32)
                if one:
                    one.update(piece)
            if self._stopped:
                return
            self._found.append((crc32, one.hexdigest() if one else None))

    def _pieces(self, data: memoryview) -> Iterator[memoryview]:
        at = 0
        while at < len(data) and not self._stopped:
            yield data[at : at + _PIECE]
            at += _PIECE

    @property
    def crc32(self) -> int:
        """That of the whole, when all blocks are known."""
        whole = 0
        for block, (crc32, _) in zip(self._blocks, self._found, strict=True):
            whole = crc32_of_both(whole, crc32, len(block))
        return whole

    def numbers(self) -> Iterator[int]:
        """See `Blocks`; at the end one more, with which the digests of the whole are waited for."""
        yield from range(1, len(self._blocks) + 2)

    async def take(self, number: int) -> Block | None:
        """See `Blocks`."""
        if number > len(self._blocks):
            await until(lambda: self._whole or self._trouble is not None)
            return None
        await until(lambda: len(self._found) >= number or self._trouble is not None)
        if self._trouble:
            return None
        data, (crc32, sha256) = self._blocks[number - 1], self._found[number - 1]
        return Block(number, len(data), crc32, sha256, functools.partial(View, data))

    def check(self) -> None:
        """See `Blocks`."""
        if self._trouble:
            raise self._trouble
