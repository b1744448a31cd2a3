"""Files on their way into a directory: the sinks for small and for large ones, and what is checked when all is here."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from visprep.digests import Digester, algorithm_of
from visprep.errors import AccessDenied, DiskError, DiskFull, FileMissing, StoreError, UnsafePath, WrongContent
from visprep.exchange import SMALL
from visprep.manifest import File
from visprep.stores import PART_SUFFIX, Store

BLOCK = 1024 * 1024
_AGAIN = "run the command again; if it happens again, the origin itself is damaged"


class Part:
    """The sink for a file that is being received: an unfinished file on disk, with its digests."""

    def __init__(self, path: Path, file: File) -> None:
        self._file = file
        self._open = path.open("r+b" if path.exists() else "w+b")
        self._digester = self._fresh()
        while block := self._open.read(BLOCK):
            self._digester.update(block)

    def _fresh(self) -> Digester:
        wanted = {algorithm_of(self._file.digest)} if self._file.digest else set()
        return Digester(*(wanted | {"sha256"}), size=self._file.size)

    @property
    def position(self) -> int:
        """Bytes held so far."""
        return self._digester.position

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        with disk_errors(self._file.path):
            self._open.write(data)
        self._digester.update(data)

    def restart(self) -> None:
        """Forget everything."""
        self._open.seek(0)
        self._open.truncate()
        self._digester = self._fresh()

    def close(self) -> None:
        """Everything on disk, whether whole or not."""
        with disk_errors(self._file.path):
            self._open.close()

    def checked(self) -> File:
        """The file that arrived; WrongContent when it is not the one that was wanted."""
        want, size = self._file, self.position
        if want.size is not None and size != want.size:
            raise _wrong_size(want, size)
        if want.digest:
            algorithm = algorithm_of(want.digest)
            if self._digester.digest(algorithm) != want.digest:
                raise _wrong_digest(want, algorithm)
        return File(want.path, size, self._digester.digest("sha256"))


class Small:
    """The sink for a small file, which is in memory until it is whole; it costs the disk nothing before."""

    __slots__ = ("_file", "_pieces", "position")

    def __init__(self, file: File) -> None:
        self._file = file
        self._pieces: list[bytes] = []
        #: Bytes held so far.
        self.position = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes; WrongContent when there are so many that it is no small file."""
        self._pieces.append(bytes(data))
        self.position += len(data)
        if self.position > 2 * SMALL:
            raise _wrong_size(self._file, self.position)

    def restart(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self.position = 0

    def held(self) -> bytes:
        """What arrived so far."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


def check_small(want: File, data: bytes) -> File:
    """The file that `data` is; WrongContent when it is not the one that was wanted."""
    size = len(data)
    if want.size is not None and size != want.size:
        raise _wrong_size(want, size)
    sha256 = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if want.digest and want.digest != sha256:
        algorithm = algorithm_of(want.digest)
        digester = Digester(algorithm, size=size)
        digester.update(data)
        if digester.digest(algorithm) != want.digest:
            raise _wrong_digest(want, algorithm)
    return File(want.path, size, sha256)


def _wrong_size(want: File, size: int) -> WrongContent:
    return WrongContent(f"{want.path}: {size} bytes arrived, {want.size} were promised", hint=_AGAIN)


def _wrong_digest(want: File, algorithm: str) -> WrongContent:
    return WrongContent(f"{want.path}: the {algorithm} of what arrived differs from the promised one", hint=_AGAIN)


async def fill(part: Path, file: File, origin: Store) -> File:
    """Bring the unfinished file `part` to its end, from where it stands; the file that arrived."""
    with disk_errors(file.path):
        sink = Part(part, file)
    try:
        if file.size is not None and sink.position > file.size:
            sink.restart()
        if file.size is None or sink.position < file.size:
            await origin.fetch(file, sink)
    finally:
        sink.close()
    return sink.checked()


def put(folder: str, part: str, name: str, data: bytes) -> None:
    """Write `data` as `folder/part` and rename it to `folder/name`; OSError, and nothing is left, when that fails."""
    unfinished = f"{folder}/{part}"
    descriptor = os.open(unfinished, _WRITE, 0o666)
    try:
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, memoryview(data)[written:])
        finally:
            os.close(descriptor)
        os.replace(unfinished, f"{folder}/{name}")  # noqa: PTH105 -- a Path costs as much as the call
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
for _name in ("O_CLOEXEC", "O_NOFOLLOW", "O_BINARY", "O_NOINHERIT"):
    _WRITE |= getattr(os, _name, 0)


def part_name(name: str, file: File) -> str:
    """Equal for equal wanted content, so that a part is found again, and safe for names of any length."""
    identity = file.digest or file.etag or f"{file.size} {file.mtime}"
    told = hashlib.sha256(f"{name} {identity}".encode("utf-8", "surrogateescape"), usedforsecurity=False)
    return f".{told.hexdigest()[:24]}{PART_SUFFIX}"


_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NAMES = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP})


def refusal(path: str, error: OSError) -> StoreError:
    """A refusal of the file system as an error of ours, with the path that it is about."""
    kind: type[StoreError] = DiskError
    hint: str | None = None
    if error.errno in _FULL:
        kind, hint = DiskFull, "free some space and run the same command again; what is done stays"
    elif error.errno in _DENIED:
        kind, hint = AccessDenied, "check the owner and the permissions"
    elif error.errno == errno.ENOENT:
        kind = FileMissing
    elif error.errno in _NAMES:
        kind = UnsafePath
    elif error.errno in (errno.ENOTDIR, errno.EISDIR, errno.EEXIST):
        hint = "a file stands where a directory is needed, or the reverse"
    return kind(f"{path}: {(error.strerror or str(error)).lower()}", hint=hint)


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turns the file system's refusals inside a `with` block into errors of ours about `path`."""
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from error
