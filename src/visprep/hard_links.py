"""Hard links in one directory to files of another: tried before any is needed, made, and recognized."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat as stat_mode
from collections.abc import Iterable, Iterator

from visprep.errors import ChangedMeanwhile, DiskError, FileMissing, VisprepError
from visprep.manifest import File
from visprep.own_record import CACHE
from visprep.renamed import Renamed
from visprep.stores.arrivals import disk_errors, refusal
from visprep.stores.local import LocalStore, identity

#: How systems say that there are no hard links, or not from here to there, or no more of this file; EIO: rclone's do.
_NO_LINKS = frozenset(
    getattr(errno, name)
    for name in ("EXDEV", "EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK", "EIO")
    if hasattr(errno, name)
)
_HINT = "--how copies takes copies; or name an --output on the file system of the input, if that has hard links"
#: Where one is tried: no listing shows it, should a kill leave it there.
_TRIED = f"{CACHE}/link"

#: Files that a thread links in one go, and their bytes, which may have to be read.
_BATCH, _BATCH_BYTES = 256, 2**26


class NoLinks(DiskError):
    """There can be no hard link from here to there: every other file would meet the same."""


def try_links(target: LocalStore, files: Iterable[tuple[LocalStore, str]]) -> None:
    """NoLinks when not every file can get another name at the target; one of each file system is tried, and undone."""
    folders: set[str] = set()
    devices: set[int] = set()
    try:
        for origin, path in files:
            folder = f"{origin.root}/{path.rpartition('/')[0]}"
            if folder in folders:
                continue
            folders.add(folder)
            # One that is gone since is told when its link is made
            with contextlib.suppress(FileNotFoundError, FileMissing):
                device = os.stat(folder).st_dev  # noqa: PTH116 -- a Path would cost more than the call
                if device not in devices:
                    _link(target, _TRIED, str(origin.real(path)), path)
                    devices.add(device)
    finally:
        (target.root / _TRIED).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            (target.root / CACHE).rmdir()  # only when it is empty


def is_link(target: LocalStore, path: str, origin: LocalStore, name: str) -> bool:
    """Whether what is at the target is another name of a file of the origin, and no symbolic link."""
    with contextlib.suppress(OSError):
        there = os.lstat(f"{target.root}/{path}")
        return there.st_nlink > 1 and os.path.samestat(there, os.stat(f"{origin.root}/{name}"))  # noqa: PTH116
    return False


def links(target: LocalStore, files: Iterable[Renamed]) -> list[tuple[str, File | VisprepError]]:
    """Make each of these files of directories another name of its origin: what that is then, or why it could not be.

    Files have their sha256 then, with their times and inode; bytes are read where a file is not as it was when its
    digest was found out. NoLinks where there are no hard links.
    """
    done: list[tuple[str, File | VisprepError]] = []
    folder, real = None, None
    for one in files:
        assert isinstance(one.store, LocalStore)
        home, _, name = one.origin.path.rpartition("/")
        try:
            if folder != (one.store, home):
                folder, real = (one.store, home), one.store.real_folder(home)
            done.append((one.path, _made(target, one, f"{real}/{name}")))
        except NoLinks:
            raise
        except VisprepError as error:
            done.append((one.path, error))
    return done


def _made(target: LocalStore, one: Renamed, real: str) -> File:
    with disk_errors(one.origin.path):
        before = os.lstat(real)
    if not stat_mode.S_ISREG(before.st_mode):  # a link, for which the store has rules, and words
        assert isinstance(one.store, LocalStore)
        with one.store.raw(one.origin.path) as file:
            before = os.fstat(file.fileno())
        real = str(one.store.real(one.origin.path))
    digest = one.origin.digest if identity(before) == one.origin.etag else None
    if digest is None or not digest.startswith("sha256:"):
        with disk_errors(one.origin.path), open(real, "rb") as file:  # noqa: PTH123 -- a Path would cost more
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    facts = _link(target, one.path, real, one.origin.path)
    if (facts.st_size, facts.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ChangedMeanwhile(f"{one.origin.path} changed while it was read", hint="run the same command again")
    return File(one.path, facts.st_size, digest, facts.st_mtime, identity(facts))


def _link(target: LocalStore, path: str, real: str, name: str) -> os.stat_result:
    try:
        return target.link(path, real)
    except OSError as error:
        if error.errno in _NO_LINKS:
            why = (error.strerror or str(error)).lower()
            raise NoLinks(f"{target.place}: no hard link to {name} can be made there: {why}", hint=_HINT) from None
        raise refusal(path, error) from error


def together(wanted: Iterable[Renamed]) -> Iterator[list[Renamed]]:
    """Files in lists that are each worth a thread's while, and do not keep it from the next for long."""
    batch: list[Renamed] = []
    size = 0
    for one in wanted:
        batch.append(one)
        size += one.origin.size or 0
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
