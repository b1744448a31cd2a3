"""Files on their way into a directory: the sinks for small and for large ones, and what is checked when all is here."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path

from visprep import temporary
from visprep.descriptors import write_all
from visprep.digests import Digester, algorithm_of
from visprep.errors import AccessDenied, DiskError, DiskFull, FileMissing, StoreError, UnsafePath, WrongContent
from visprep.manifest import File
from visprep.messages import SMALL
from visprep.stores import PART_SUFFIX, Store
from visprep.wire import Sink

BLOCK = 1024 * 1024
_AGAIN = "run the same command again; if it happens again, the origin itself is damaged"


class Part:
    """The sink for a file that is being received: an unfinished file on disk, with its digests."""

    def __init__(self, path: Path, file: File) -> None:
        self._file, self._folder = file, path.parent
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
        with disk_errors(self._file.path, self._folder):
            self._open.write(data)
        self._digester.update(data)

    def restart(self) -> None:
        """Forget everything."""
        self._open.seek(0)
        self._open.truncate()
        self._digester = self._fresh()

    def close(self) -> None:
        """Everything on disk, whether whole or not."""
        with disk_errors(self._file.path, self._folder):
            self._open.close()

    def checked(self) -> File:
        """The file that arrived; WrongContent when it is not the one that was wanted."""
        return agreeing(self._file, self.position, self._digester.digest)


def agreeing(want: File, size: int, digest: Callable[[str], str]) -> File:
    """What arrived of a file, by its size and digests; WrongContent when it is not the one that was wanted."""
    if want.size is not None and size != want.size:
        raise _wrong_size(want, size)
    if want.digest:
        algorithm = algorithm_of(want.digest)
        if digest(algorithm) != want.digest:
            raise _wrong_digest(want, algorithm)
    return File(want.path, size, digest("sha256"))


def as_told(received: File, want: File, told: str | None) -> File:
    """`received` itself; WrongContent when it is not what the origin `told` with the bytes (`sha256:hex`).

    Where a SHA-256 was wanted, that one was compared, and what an object carries need not be true.
    """
    if told and algorithm_of(want.digest or "") != "sha256" and received.digest != told:
        raise _wrong_digest(want, "sha256")
    return received


class Small:
    """The sink for a small file, which is in memory until it is whole; it costs the disk nothing before."""

    __slots__ = ("_file", "pieces", "position")

    def __init__(self, file: File, pieces: Sequence[bytes] = ()) -> None:
        self._file = file
        #: What is held, in order.
        self.pieces = list(pieces)
        #: Bytes held so far.
        self.position = sum(map(len, pieces))

    def write(self, data: bytes) -> None:
        """Take the next bytes; WrongContent when there are so many that it is no small file."""
        self.pieces.append(bytes(data))
        self.position += len(data)
        if self.position > 2 * SMALL:
            raise _wrong_size(self._file, self.position)

    def restart(self) -> None:
        """Forget everything."""
        self.pieces.clear()
        self.position = 0

    def checked(self) -> File:
        """The file that arrived; WrongContent when it is not the one that was wanted."""
        want, size = self._file, self.position
        if want.size is not None and size != want.size:
            raise _wrong_size(want, size)
        hasher = hashlib.sha256()
        for piece in self.pieces:
            hasher.update(piece)
        sha256 = f"sha256:{hasher.hexdigest()}"
        if want.digest and want.digest != sha256:
            algorithm = algorithm_of(want.digest)
            digester = Digester(algorithm, size=size)
            for piece in self.pieces:
                digester.update(piece)
            if digester.digest(algorithm) != want.digest:
                raise _wrong_digest(want, algorithm)
        return File(want.path, size, sha256)


def _wrong_size(want: File, size: int) -> WrongContent:
    return WrongContent(f"{want.path}: {size} bytes arrived, {want.size} were promised", hint=_AGAIN)


def _wrong_digest(want: File, algorithm: str) -> WrongContent:
    return WrongContent(f"{want.path}: the {algorithm} of what arrived differs from the promised one", hint=_AGAIN)


async def fill(part: Path, file: File, origin: Store) -> File:
    """Bring the unfinished file `part` to its end, from where it stands; the file that arrived."""
    with disk_errors(file.path, part.parent):
        sink = Part(part, file)
    try:
        if file.size is not None and sink.position > file.size:
            sink.restart()
        told = None
        if file.size is None or sink.position < file.size:
            told = await origin.fetch(file, sink)
    except BaseException:
        with contextlib.suppress(StoreError):  # what went wrong first is what is told
            sink.close()
        if not sink.position:  # of what is not there upstream nothing is left here either
            with contextlib.suppress(OSError):
                part.unlink()
        raise
    sink.close()
    return as_told(sink.checked(), file, told)


def put(folder: str, part: str, name: str, pieces: Sequence[bytes]) -> None:
    """Write `pieces` as `folder/part` and rename it to `folder/name`; OSError, and nothing is left, when that fails."""
    unfinished = f"{folder}/{part}"
    descriptor = os.open(unfinished, _WRITE, 0o666)
    try:
        try:
            write_all(descriptor, pieces)
        finally:
            os.close(descriptor)
        into_place(unfinished, f"{folder}/{name}")
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def into_place(unfinished: str, path: str) -> None:
    """Rename a file; it also takes the place of a directory in which there is nothing but directories."""
    try:
        os.replace(unfinished, path)  # noqa: PTH105 -- a Path costs as much as the call
    except IsADirectoryError:
        if any(files for _, _, files in os.walk(path)):
            raise
        for folder, _, _ in os.walk(path, topdown=False):
            os.rmdir(folder)  # noqa: PTH106
        os.replace(unfinished, path)  # noqa: PTH105


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
        hint = "a file stands where a directory is needed, or the reverse: remove it, or `sync` with --delete"
    return kind(f"{path}: {(error.strerror or str(error)).lower()}", hint=hint)


@contextlib.contextmanager
def disk_errors(path: str, root: Path | None = None) -> Iterator[None]:
    """Turns the file system's refusals inside a `with` block into errors of ours about `path`, below `root`."""
    try:
        yield
    except OSError as error:
        told = refusal(path, error)
        if root and isinstance(told, DiskFull):
            told.hint = temporary.way_out(root, told.hint)
        raise told from error


def read_whole(source: BufferedReader, sink: Sink) -> bool:
    """Hand on a file, from where the sink stands; whether it stayed the same meanwhile, as far as its time tells."""
    before = os.fstat(source.fileno())
    source.seek(sink.position)
    # no further than the size at the start: a log that grows faster than we read has no end
    while block := source.read(min(BLOCK, max(0, before.st_size - sink.position))):
        sink.write(block)
    after = os.fstat(source.fileno())
    return before.st_mtime_ns == after.st_mtime_ns and before.st_size == after.st_size == sink.position
