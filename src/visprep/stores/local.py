"""A directory as a store: sorted listing, files that appear whole or not at all, nothing outside the root.

A file is written beside its final name and renamed when it is whole and checked. The name of the unfinished file
is made from what it will hold, so that the same command, run again after a kill, finds it and goes on; a part
that belongs to other content has another name, and is swept when its file is finished.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat as stat_mode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from visprep.digests import Digester, digest_of
from visprep.errors import ChangedMeanwhile, PlaceMissing, StoreError, UnsafePath, WrongContent
from visprep.manifest import RECORD_DIR, File, order
from visprep.messages import SMALL
from visprep.spool import Spool
from visprep.stores import PART_SUFFIX, Store, is_part, ranges, safe_path
from visprep.stores.arrivals import (
    BLOCK,
    Small,
    agreeing,
    as_told,
    disk_errors,
    fill,
    into_place,
    part_name,
    put,
    read_whole,
)
from visprep.wire import RangesIgnored, Sink, wait

#: Directories whose real name is remembered, at most, and unfinished files.
_REMEMBERED, _PARTS = 1024, 100

# Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever
_READ_LINKS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
_READ = _READ_LINKS | _NO_LINKS
#: Bytes of a file that are read at once, when no more are asked for.
_PLAIN = 4 * 1024 * 1024


@dataclass(slots=True)
class _Folder:
    """A directory that was found to lie inside a place, by what makes sure that it is still the same one.

    `parts` are the unfinished files that were in it: no other is worth looking for.
    """

    path: str
    inode: int
    device: int
    parts: set[str]


class LocalStore:
    """A directory. It need not exist before something is written to it."""

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.place = os.fspath(place)
        if "\0" in self.place:
            raise UnsafePath(f"{self.place!r} is no name of a directory")
        self.root = Path(os.path.realpath(self.place))
        self._folders: dict[str, _Folder] = {}
        #: Unfinished files that listings came by, the first hundred.
        self.parts_seen: list[str] = []

    def __repr__(self) -> str:
        return f"LocalStore({self.place!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_folders": {}}  # another process looks for itself

    def list(self) -> Iterator[File]:
        """See `Store.list`. What is no file, or cannot be looked into, has no size and refuses to be read."""
        with disk_errors(self.place):
            found = self.root.exists()
        if not found:
            raise PlaceMissing(f"{self.place}: no such directory", hint="check the path")
        if not self.root.is_dir():
            raise PlaceMissing(f"{self.place} is a file, not a directory", hint="name the directory that holds it")
        yield from self._walk(str(self.root), "")

    def _walk(self, directory: str, prefix: str) -> Iterator[File]:
        with disk_errors(directory), os.scandir(directory) as scan:
            # `name/` for directories: the order in which S3 lists (a.txt before a/x, since `.` sorts before `/`).
            # Names alone, and not all of them in memory, since a directory may have a million.
            names, plain = Spool(str, str), True
            for entry in scan:
                name = f"{entry.name}/" if _enterable(entry) else entry.name
                plain = plain and name.isascii()
                names.append(name)
        for name in names.sorted(str if plain else order):
            path = f"{prefix}{name}"
            if name.endswith("/"):
                inside = False
                for file in self._walk(f"{directory}/{name[:-1]}", path):
                    inside = True
                    yield file
                if not inside:
                    yield File(path, 0)
            elif name.endswith(PART_SUFFIX) and is_part(name):
                if len(self.parts_seen) < _PARTS and path not in self.parts_seen:
                    self.parts_seen.append(path)
            else:
                try:
                    facts = os.stat(f"{directory}/{name}")  # noqa: PTH116 -- a Path would cost more than the call
                except FileNotFoundError:
                    if not os.path.lexists(f"{directory}/{name}"):
                        continue  # removed since
                    facts = os.lstat(f"{directory}/{name}")
                except OSError:  # a link to nowhere, or to itself; reading it will say so
                    with disk_errors(path):
                        facts = os.lstat(f"{directory}/{name}")
                size = facts.st_size if stat_mode.S_ISREG(facts.st_mode) else None
                yield File(path, size, None, facts.st_mtime, identity(facts))

    async def stat(self, path: str) -> File:
        """See `Store.stat`."""
        with disk_errors(path):
            facts = self.real(path).stat()
            if not stat_mode.S_ISREG(facts.st_mode):
                raise UnsafePath(f"{path} is not a regular file")
            return File(path, facts.st_size, None, facts.st_mtime, identity(facts))

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Store.read`."""
        data = self._read_plain(path, length) if offset == 0 and length is not None and length <= _PLAIN else None
        if data is not None:
            return data
        with disk_errors(path), self._open(path) as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def _read_plain(self, path: str, length: int) -> bytes | None:
        """The first bytes of a file that is no link, in a directory that is known; None for all that is not so."""
        if not _NO_LINKS:
            return None
        folder, _, name = safe_path(path).rpartition("/")
        real = self._known_folder(folder)
        if real is None:
            return None
        try:
            descriptor = os.open(f"{real}/{name}", _READ)
        except OSError:  # a link, or what the long way finds better words for
            return None
        try:
            facts = os.fstat(descriptor)
            if not stat_mode.S_ISREG(facts.st_mode):
                return None
            data = os.read(descriptor, length)
            while len(data) not in (length, facts.st_size) and (more := os.read(descriptor, length - len(data))):
                data += more
            return data
        except OSError:
            return None
        finally:
            os.close(descriptor)

    async def hash(self, path: str, algorithm: str) -> str | None:
        """See `Store.hash`: here the file is read."""
        with self._open(path) as file, disk_errors(path):
            digester = Digester(algorithm, size=os.fstat(file.fileno()).st_size)
            while block := file.read(BLOCK):
                digester.update(block)
        return digester.digest(algorithm)

    async def fetch(self, file: File, sink: Sink) -> None:
        """See `Store.fetch`; ChangedMeanwhile when the file is written to while it is read."""
        with self._open(file.path) as source, disk_errors(file.path):
            if read_whole(source, sink):
                return
            # Some network drives tell another time of a file once it has been read from, until it is closed
            if os.fstat(source.fileno()).st_size == sink.position:
                sink.restart()
                if read_whole(source, sink):
                    return
            raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the same command again")

    async def receive(self, file: File, origin: Store) -> File:
        """See `Store.receive`. A small file is kept in memory until it is whole, and on disk when it breaks off."""
        directory, _, name = safe_path(file.path).rpartition("/")
        part = part_name(name, file)
        # Others hand on what trickles in piece by piece, and that is worth keeping when a stalled download is killed
        if file.size is not None and file.size <= SMALL and getattr(origin, "hands_on_small_files_whole", False):
            known = self._folders.get(directory) or self._look_into(file.path)
            if part not in known.parts:
                return await self._receive_small(file, origin, part)
            known.parts.discard(part)  # it is gone after this, or the next to come looks for it on disk
        folder = self._for_writing(file.path)
        unfinished = Path(folder, part)
        resumed = unfinished.exists()
        try:
            received = await self._arrive(unfinished, file, origin)
        except WrongContent:
            unfinished.unlink(missing_ok=True)
            if not resumed:
                raise
            received = await self._arrive(unfinished, file, origin)  # an earlier run may have left the damaged bytes
        with disk_errors(file.path):
            into_place(str(unfinished), f"{folder}/{name}")
        return received

    def adopt(self, path: str, file: Path) -> None:
        """Rename a file that lies on the same file system to what it shall be here."""
        folder = self._for_writing(path)
        with disk_errors(path):
            into_place(str(file), f"{folder}/{path.rpartition('/')[2]}")

    def link(self, path: str, real: str) -> os.stat_result:
        """Make `path` another name of the file at `real`, in place of what was there; its facts then.

        OSError as the system gives it where there can be no such name: the caller knows what to do instead.
        """
        folder, name = self._for_writing(path), path.rpartition("/")[2]
        try:
            os.link(real, f"{folder}/{name}")
        except FileExistsError:
            unfinished = Path(folder, part_name(name, File(path)))
            unfinished.unlink(missing_ok=True)  # a kill may have left it
            os.link(real, unfinished)
            into_place(str(unfinished), f"{folder}/{name}")
            unfinished.unlink(missing_ok=True)  # renamed to another name of itself, a file stays
        return os.lstat(real)

    async def _receive_small(self, file: File, origin: Store, part: str) -> File:
        sink = Small(file)
        try:
            told = await origin.fetch(file, sink)
        except Exception as error:
            if sink.position and not isinstance(error, WrongContent):
                self._keep(file.path, part, b"".join(sink.pieces))
            raise
        received = as_told(sink.checked(), file, told)
        self._put(file.path, part, sink.pieces)
        return received

    def _keep(self, path: str, part: str, data: bytes) -> None:
        """Leave what arrived of a small file on disk, as far as that works, for the next who wants it."""
        with contextlib.suppress(OSError, StoreError):
            Path(self._for_writing(path), part).write_bytes(data)
            self._look_into(path).parts.add(part)

    async def _arrive(self, part: Path, file: File, origin: Store) -> File:
        """Fill the part, in ranges where that is worth while and the origin can; what arrived, checked."""
        one = await ranges.pinned(file, origin)
        if one and isinstance(origin, ranges.Ranged):
            with contextlib.suppress(RangesIgnored):
                digests, told = await ranges.fill(part, one, origin, disk_errors)
                return as_told(agreeing(file, one.size or 0, digests.__getitem__), file, told)
        return await fill(part, file, origin)

    async def write(self, path: str, data: bytes) -> File:
        """See `Store.write`."""
        digest = digest_of(data)
        self._put(path, part_name(path.rpartition("/")[2], File(path, len(data), digest)), [data])
        return File(path, len(data), digest)

    def _put(self, path: str, part: str, pieces: Sequence[bytes]) -> None:
        folder = self._for_writing(path)
        try:
            put(folder, part, path.rpartition("/")[2], pieces)
        except OSError:
            with self.errors(path):
                raise

    def keep(self, file: File, pieces: Sequence[bytes]) -> None:
        """Write a small file, all of whose bytes are here and were checked."""
        directory, _, name = safe_path(file.path).rpartition("/")
        part = part_name(name, file)
        self._put(file.path, part, pieces)
        if known := self._folders.get(directory):  # another thread may have made room for directories of its own
            known.parts.discard(part)

    def read_small(self, file: File) -> bytes:
        """What `read` gives from the start to one byte after the promised size, to see that a file grew."""
        wanted = (file.size or 0) + 1
        data = self._read_plain(file.path, wanted)
        return wait(self.read(file.path, 0, wanted)) if data is None else data

    async def delete(self, path: str) -> None:
        """See `Store.delete`; a directory that becomes empty stays."""
        target = self.root / safe_path(path)
        with disk_errors(path), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not Path(os.path.realpath(target.parent)).is_relative_to(self.root):
                raise UnsafePath(f"{path} lies outside {self.place}, behind a link")
            target.unlink()

    def errors(self, path: str) -> contextlib.AbstractContextManager[None]:
        """Turns the file system's refusals inside a `with` block into errors of ours about `path`."""
        return disk_errors(path, self.root)

    def free(self) -> int:
        """Bytes that can still be written here."""
        existing = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        return shutil.disk_usage(existing).free

    def real(self, path: str) -> Path:
        """The file at `path` with its links followed; UnsafePath when that leaves the root."""
        real = Path(os.path.realpath(self.root / safe_path(path)))
        if not real.is_relative_to(self.root):
            raise UnsafePath(
                f"{path} is a link that leaves {self.place}", hint="replace the link by the file, or name its place"
            )
        return real

    def real_folder(self, path: str) -> str:
        """A directory with its links followed, the place itself for the empty path; UnsafePath as `real`."""
        return str(self.real(path) if path else self.root)

    def raw(self, path: str) -> FileIO:
        """The file itself, to be read without a buffer between."""
        raw = self._open(path).detach()
        assert isinstance(raw, FileIO)
        return raw

    def _open(self, path: str) -> BufferedReader:
        with disk_errors(path):
            real = self.real(path)
            folder = path.rpartition("/")[0]
            if real == self.root / path and folder not in self._folders:
                self._remember(folder)
            descriptor = os.open(real, _READ_LINKS)
            if stat_mode.S_ISREG(os.fstat(descriptor).st_mode):
                return open(descriptor, "rb")  # noqa: PTH123 -- it takes over the descriptor
            os.close(descriptor)
            raise UnsafePath(
                f"{path} is no regular file, nor a link to one",
                hint="replace it by a file, or move it out of the place",
            )

    def _for_writing(self, path: str) -> str:
        """The directory for a file at `path`, made where it is missing and known to lie inside."""
        return self._known_folder(safe_path(path).rpartition("/")[0]) or self._look_into(path).path

    def _look_into(self, path: str) -> _Folder:
        """Find out about the directory for a file at `path`, which is made where it is missing."""
        with disk_errors(path):
            folder = self.root / Path(path).parent
            parent = Path(os.path.realpath(folder))
            if not parent.is_relative_to(self.root):
                raise UnsafePath(f"{path} would be written outside {self.place}, through a link")
            parent.mkdir(parents=True, exist_ok=True)
            return self._remember(path.rpartition("/")[0])

    def _known_folder(self, folder: str) -> str | None:
        """The name of a directory that was found to lie inside, if what has that name is that very directory still."""
        known = self._folders.get(folder)
        if known is not None:
            try:
                facts = os.stat(known.path)  # noqa: PTH116 -- once a file, where a Path would cost more than the call
            except OSError:
                return None
            if facts.st_ino == known.inode and facts.st_dev == known.device and known.inode:
                return known.path
        return None

    def _remember(self, folder: str) -> _Folder:
        if len(self._folders) >= _REMEMBERED:
            self._folders.clear()
        path = self.root / folder
        facts = path.stat()
        parts = {name for name in os.listdir(path) if name.endswith(PART_SUFFIX)}  # noqa: PTH208 -- as above
        self._folders[folder] = found = _Folder(str(path), facts.st_ino, facts.st_dev, parts)
        return found

    def sweep(self) -> None:
        """Remove every unfinished file: only for the end of a command that has finished all of its own.

        A place inside this one has unfinished files of its own, which stay.
        """
        folders = [str(self.root)]
        while folders:
            with contextlib.suppress(OSError), os.scandir(folders.pop()) as scan:
                for entry in scan:
                    if entry.is_dir(follow_symlinks=False):
                        if not os.path.exists(f"{entry.path}/{RECORD_DIR}"):  # noqa: PTH110 -- as above
                            folders.append(entry.path)
                    elif is_part(entry.name):
                        with disk_errors(entry.name):
                            Path(entry.path).unlink(missing_ok=True)


def identity(facts: os.stat_result) -> str:
    """What stands for an ETag on disk: another one after every change, so far as the clock of the file system tells."""
    mask = 0xFFFFFFFFFFFFFFFF  # before 1970 too
    return f"{facts.st_mtime_ns & mask:x}-{facts.st_ctime_ns & mask:x}-{facts.st_ino:x}"


def _enterable(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a directory that may be listed; any other counts as a file, and reading it says why."""
    return entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK)
