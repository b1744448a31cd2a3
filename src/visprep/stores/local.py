"""A directory as a store: sorted listing, files that appear whole or not at all, nothing outside the root.

A file is written beside its final name and renamed when it is whole and checked. The name of the unfinished file
is made from what it will hold, so that the same command, run again after a kill, finds it and goes on; a part
that belongs to other content has another name, and is swept when its file is finished.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat as stat_mode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from visprep.digests import Digester, algorithm_of, digest_of
from visprep.errors import (
    AccessDenied,
    ChangedMeanwhile,
    DiskError,
    DiskFull,
    FileMissing,
    PlaceMissing,
    StoreError,
    UnsafePath,
    WrongContent,
)
from visprep.manifest import RECORD_DIR, File
from visprep.stores import PART_SUFFIX, Store, ranges, safe_path
from visprep.wire import RangesIgnored, Sink

_BLOCK = 1024 * 1024
#: The names that `_part_name` gives.
_PART = re.compile(rf"\.[0-9a-f]{{24}}{re.escape(PART_SUFFIX)}")


class LocalStore:
    """A directory. It need not exist before something is written to it."""

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = os.fspath(place)
        if "\0" in self.place:
            raise UnsafePath(f"{self.place!r} is no name of a directory")
        self.root = Path(os.path.realpath(self.place))

    def __repr__(self) -> str:
        return f"LocalStore({self.place!r})"

    def list(self) -> Iterator[File]:
        """See `Store.list`. What is no file, or cannot be looked into, is listed and refuses to be read."""
        with _disk_errors(self.place):
            found = self.root.exists()
        if not found:
            raise PlaceMissing(f"{self.place}: no such directory", hint="check the path")
        if not self.root.is_dir():
            raise PlaceMissing(f"{self.place} is a file, not a directory", hint="name the directory that holds it")
        yield from self._walk(str(self.root), "")

    def _walk(self, directory: str, prefix: str) -> Iterator[File]:
        with _disk_errors(directory), os.scandir(directory) as scan:
            # `name/` for directories: the order in which S3 lists (a.txt before a/x, since `.` sorts before `/`)
            entries = sorted((os.fsencode(entry.name + "/" * _enterable(entry)), entry.path, entry) for entry in scan)
        for _, _, entry in entries:
            path = prefix + entry.name
            if _enterable(entry):
                inside = False
                for file in self._walk(entry.path, f"{path}/"):
                    inside = True
                    yield file
                if not inside:
                    yield File(f"{path}/", 0)
            elif not _PART.fullmatch(entry.name):
                try:
                    facts = entry.stat()
                except OSError:  # a link to nowhere, or to itself; reading it will say so
                    with _disk_errors(path):
                        facts = entry.stat(follow_symlinks=False)
                yield File(path, facts.st_size, mtime=facts.st_mtime)

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        with _disk_errors(path):
            facts = self._inside(path).stat()
            if not stat_mode.S_ISREG(facts.st_mode):
                raise UnsafePath(f"{path} is not a regular file")
            return File(path, facts.st_size, mtime=facts.st_mtime)

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        with _disk_errors(path), self._open(path) as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: here the file is read."""
        with self._open(path) as file, _disk_errors(path):
            digester = Digester(algorithm, size=os.fstat(file.fileno()).st_size)
            while block := file.read(_BLOCK):
                digester.update(block)
        return digester.digest(algorithm)

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`; ChangedMeanwhile when the file is written to while it is read."""
        with self._open(file.path) as source, _disk_errors(file.path):
            before = os.fstat(source.fileno())
            source.seek(sink.position)
            # no further than the size at the start: a log that grows faster than we read has no end
            while block := source.read(min(_BLOCK, max(0, before.st_size - sink.position))):
                sink.write(block)
            after = os.fstat(source.fileno())
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or (
                sink.position != after.st_size
            ):
                raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the command again")

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`."""
        target = self._for_writing(file.path)
        part = target.with_name(_part_name(target.name, file))
        resumed = part.exists()
        try:
            received = await self._arrive(part, file, origin)
        except WrongContent:
            part.unlink(missing_ok=True)
            if not resumed:
                raise
            received = await self._arrive(
                part, file, origin
            )  # what an earlier run left may have been the damaged bytes
        with _disk_errors(file.path):
            part.replace(target)
        return received

    async def _arrive(self, part: Path, file: File, origin: Store) -> File:
        """Fill the part, in ranges where that is worth while and the origin can; what arrived, checked."""
        one = await ranges.pinned(file, origin)
        if one and isinstance(origin, ranges.Ranged):
            with contextlib.suppress(RangesIgnored):
                digests = await ranges.fill(part, one, origin, _disk_errors)
                return _checked(file, one.size or 0, digests.__getitem__)
        return await _fill(part, file, origin)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`."""
        target = self._for_writing(path)
        digest = digest_of(data)
        part = target.with_name(_part_name(target.name, File(path, len(data), digest)))
        with _disk_errors(path):
            try:
                part.write_bytes(data)
                part.replace(target)
            except OSError:
                part.unlink(missing_ok=True)
                raise
        return File(path, len(data), digest)

    async def delete(self, path: str) -> None:
        """See `Store.delete`; a directory that becomes empty stays."""
        target = self.root / safe_path(path)
        with _disk_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not Path(os.path.realpath(target.parent)).is_relative_to(self.root):
                raise UnsafePath(f"{path} lies outside {self.place}, behind a link")
            target.unlink()

    def errors(self, path: str) -> contextlib.AbstractContextManager[None]:
        """Turns the file system's refusals inside a `with` block into errors of ours about `path`."""
        return _disk_errors(path)

    def free(self) -> int:
        """Bytes that can still be written here."""
        existing = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        facts = os.statvfs(existing)
        return facts.f_bavail * facts.f_frsize

    def _inside(self, path: str) -> Path:
        """The file at `path` with its links followed; UnsafePath when that leaves the root."""
        real = Path(os.path.realpath(self.root / safe_path(path)))
        if not real.is_relative_to(self.root):
            raise UnsafePath(
                f"{path} is a link that leaves {self.place}", hint="replace the link by the file, or name its place"
            )
        return real

    def _open(self, path: str) -> BinaryIO:
        with _disk_errors(path):
            # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever
            descriptor = os.open(self._inside(path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            if stat_mode.S_ISREG(os.fstat(descriptor).st_mode):
                return open(descriptor, "rb")  # noqa: PTH123 -- it takes over the descriptor
            os.close(descriptor)
            raise UnsafePath(
                f"{path} is no regular file, nor a link to one",
                hint="replace it by a file, or move it out of the place",
            )

    def _for_writing(self, path: str) -> Path:
        target = self.root / safe_path(path)
        with _disk_errors(path):
            parent = Path(os.path.realpath(target.parent))
            if not parent.is_relative_to(self.root):
                raise UnsafePath(f"{path} would be written outside {self.place}, through a link")
            parent.mkdir(parents=True, exist_ok=True)
        return parent / target.name

    def sweep(self) -> None:
        """Remove every unfinished file: only for the end of a command that has finished all of its own.

        A place inside this one has unfinished files of its own, which stay.
        """
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if not Path(folder, name, RECORD_DIR).exists()]
            for name in names:
                if _PART.fullmatch(name):
                    Path(folder, name).unlink(missing_ok=True)


def _enterable(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory that may be listed; any other counts as a file, and reading it says why."""
    return entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK)


class _Part:
    """The sink for a file that is being received: an unfinished file on disk, with its digests."""

    def __init__(self, path: Path, file: File) -> None:
        self._file = file
        self._open = path.open("r+b" if path.exists() else "w+b")
        self._digester = self._fresh()
        while block := self._open.read(_BLOCK):
            self._digester.update(block)

    def _fresh(self) -> Digester:
        wanted = {algorithm_of(self._file.digest)} if self._file.digest else set()
        return Digester(*(wanted | {"sha256"}), size=self._file.size)

    @property
    def position(self) -> int:
        return self._digester.position

    def write(self, data: bytes) -> None:
        with _disk_errors(self._file.path):
            self._open.write(data)
        self._digester.update(data)

    def restart(self) -> None:
        self._open.seek(0)
        self._open.truncate()
        self._digester = self._fresh()

    def close(self) -> None:
        """Everything on disk, whether whole or not."""
        with _disk_errors(self._file.path):
            self._open.close()

    def checked(self) -> File:
        """The file that arrived; WrongContent when it is not the one that was wanted."""
        return _checked(self._file, self.position, self._digester.digest)


def _checked(want: File, size: int, digest: Callable[[str], str]) -> File:
    """What arrived of a file, by its size and digests; WrongContent when it is not the one that was wanted."""
    if want.size is not None and size != want.size:
        raise WrongContent(f"{want.path}: {size} bytes arrived, {want.size} were promised", hint=_AGAIN)
    if want.digest:
        algorithm = algorithm_of(want.digest)
        if digest(algorithm) != want.digest:
            raise WrongContent(
                f"{want.path}: the {algorithm} of what arrived differs from the promised one", hint=_AGAIN
            )
    return File(want.path, size, digest("sha256"))


_AGAIN = "run the command again; if it happens again, the origin itself is damaged"


async def _fill(part: Path, file: File, origin: Store) -> File:
    with _disk_errors(file.path):
        sink = _Part(part, file)
    try:
        if file.size is not None and sink.position > file.size:
            sink.restart()
        if file.size is None or sink.position < file.size:
            await origin.fetch(file, sink)
    finally:
        sink.close()
    return sink.checked()


def _part_name(name: str, file: File) -> str:
    """Equal for equal wanted content, so that a part is found again, and safe for names of any length."""
    identity = file.digest or file.etag or f"{file.size} {file.mtime}"
    return f".{digest_of(f'{name} {identity}'.encode('utf-8', 'surrogateescape'))[7:31]}{PART_SUFFIX}"


_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NAMES = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ELOOP})


@contextlib.contextmanager
def _disk_errors(path: str) -> Iterator[None]:
    """The file system's refusals as errors of ours, with the path that they are about."""
    try:
        yield
    except OSError as error:
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
        raise kind(f"{path}: {(error.strerror or str(error)).lower()}", hint=hint) from error
