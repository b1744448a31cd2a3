"""From an archive to a directory, both on this machine: what `receive` and `fetch` do together, for many small files.

One map of the archive serves all files of a batch, a folder is looked at once, and each file is one write and one
rename. Inflating, CRC, SHA-256, and the file system all let other threads work meanwhile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from visprep import wire
from visprep.digests import Digester, algorithm_of
from visprep.errors import StoreError, UnsafePath, VisprepError, WrongContent
from visprep.manifest import File
from visprep.stores.archive import ArchiveStore
from visprep.stores.arrivals import into_place, part_name
from visprep.stores.local import LocalStore
from visprep.stores.remote_zip import Packed
from visprep.stores.zip_directory import Member
from visprep.stores.zip_members import MemberStream, as_it_came

#: Members up to this size are unpacked in memory, larger ones piece by piece.
_SMALL = 16 * 1024 * 1024
#: What a large one is written in, in bytes.
_BLOCK = 1024 * 1024
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


def unpack(
    files: Sequence[File], archive: ArchiveStore, target: LocalStore, *, digests: bool = True
) -> list[tuple[str, File | VisprepError]]:
    """Make `files` at `target` with the bytes that `archive` has; of each its path and the finished file, or the error.

    A file appears under its name only when it is whole, its CRC-32 is right, and it agrees with the size and digest
    of `files`, where those are known. `digests` says whether its SHA-256 comes back.
    """
    return _Batch(files, archive, target, digests).outcomes()


class _Batch:
    """Some files on their way from an archive to a directory."""

    def __init__(self, files: Sequence[File], archive: ArchiveStore, target: LocalStore, digests: bool) -> None:
        self._files, self._archive, self._target, self._digests = files, archive, target, digests
        members = archive.members()
        self._small = {file.path: members[file.path] for file in files if _is_small(file, members.get(file.path))}
        self._content = archive.reader(list(self._small.values()))
        self._landing = Landing(target)

    def outcomes(self) -> list[tuple[str, File | VisprepError]]:
        """See `unpack`."""
        return [(file.path, self._outcome(file)) for file in self._files]

    def _outcome(self, file: File) -> File | VisprepError:
        try:
            member = self._small.get(file.path)
            if member:
                return self._unpack(file, member)
            self._archive.readable(file.path)
            return wire.wait(self._target.receive(file, self._archive))
        except VisprepError as error:
            return _light(error)

    def _unpack(self, file: File, member: Member) -> File:
        data = self._content(member)
        if file.size not in (None, member.size):
            raise WrongContent(f"{file.path}: {member.size} bytes arrived, {file.size} were promised")
        digest = _sha256(data) if self._digests or file.digest else None
        if file.digest and digest != file.digest:
            raise WrongContent(f"{file.path}: the sha256 of what arrived differs from the promised one")
        self._landing.put(file.path, member, data)
        return File(file.path, member.size, digest)


class Landing:
    """Where members that are in memory become files; several threads may use one.

    What is not what its archive promises is kept in the directory `aside` of the target, where that is given.
    """

    def __init__(self, target: LocalStore, aside: str | None = None) -> None:
        self._target, self._aside = target, aside
        self._folders: dict[str, str] = {}

    def put(self, path: str, member: Member, data: memoryview | bytes) -> None:
        """Write all the bytes of a member to `path`, where they appear whole or not at all."""
        folder, _, name = path.rpartition("/")
        try:
            where = self._folders.get(folder) or self.folder(folder)
            _write(f"{where}/{name}", f"{where}/{part_of(name, member)}", data)
        except OSError:
            with self._target.errors(path):
                raise

    def refuse(self, path: str, member: Member, view: memoryview, error: WrongContent) -> WrongContent:
        """The error about a member whose bytes came as in `view`, when these are put aside."""
        if self._aside:
            with contextlib.suppress(OSError, StoreError):  # what is wrong is told in any case
                self._put_aside(path).write_bytes(as_it_came(view, member))
                error.message += f"; it was put aside in {self._aside}"
        return error

    def give_up(self, path: str, part: Path, error: BaseException) -> None:
        """Put the unfinished file for a member aside where its bytes were wrong, else remove it."""
        if self._aside and isinstance(error, WrongContent):
            with contextlib.suppress(OSError, StoreError):
                part.replace(self._put_aside(path))
                error.message += f"; it was put aside in {self._aside}"
        part.unlink(missing_ok=True)

    def write(self, one: Packed, stream: Callable[[], MemberStream]) -> File:
        """Write a large member piece by piece, as `stream` gives it."""
        folder, _, name = one.path.rpartition("/")
        digester = Digester("sha256")
        with self._target.errors(one.path):
            where = self.folder(folder)
            part = Path(where, part_of(name, one.member))
            try:
                bytes_of = stream()
                with open(part, "wb", opener=_no_links) as out:
                    while block := bytes_of.read(_BLOCK):
                        out.write(block)
                        digester.update(block)
                part.replace(Path(where, name))
            except BaseException as error:
                self.give_up(one.path, part, error)
                raise
        return File(one.path, one.member.size, digester.digest("sha256"))

    def _put_aside(self, path: str) -> Path:
        where = self._target.root / f"{self._aside}/{path}"
        where.parent.mkdir(parents=True, exist_ok=True)
        return where

    def folder(self, folder: str) -> str:
        """The directory on disk for a folder of the archive, made where it is missing, never outside the target."""
        real = Path(os.path.realpath(self._target.root / folder))
        if not real.is_relative_to(self._target.root):
            raise UnsafePath(f"{folder} would be written outside {self._target.place}, through a link")
        real.mkdir(parents=True, exist_ok=True)
        return self._folders.setdefault(folder, str(real))


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def part_of(name: str, member: Member) -> str:
    """The name of the unfinished file for a member: hardly two of any archive have the same."""
    return part_name(name, File(name, etag=f"{member.offset:x}-{member.crc:08x}-{member.size:x}"))


def _is_small(file: File, member: Member | None) -> bool:
    """Whether to unpack a file in memory: it can be read, and nothing but its SHA-256 is to be compared."""
    return (
        member is not None
        and not member.fault
        and max(member.size, member.compressed) <= _SMALL
        and (file.digest is None or algorithm_of(file.digest) == "sha256")
    )


def _sha256(data: memoryview | bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _write(path: str, part: str, data: memoryview | bytes) -> None:
    """Put a file with these bytes at `path`, by way of `part`; neither is there when that cannot be done."""
    # Plain strings: a Path or two for each file would cost as much as the system calls.
    try:
        descriptor = os.open(part, _FLAGS, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        into_place(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _light(error: VisprepError) -> VisprepError:
    """An error without the frames that it passed, each of which may hold a map of the archive."""
    passed: BaseException | None = error
    while passed:
        passed.__traceback__ = None
        passed = passed.__cause__ or passed.__context__
    return error
