"""Hard links in one directory to files of another: tried before any is needed, made, and recognized."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable

from visprep import wire
from visprep.errors import ChangedMeanwhile, DiskError, FileMissing
from visprep.manifest import File
from visprep.own_record import CACHE
from visprep.stores.arrivals import refusal
from visprep.stores.local import LocalStore, identity

#: How systems say that there are no hard links, or not from here to there, or no more of this file.
_NO_LINKS = frozenset(
    getattr(errno, name)
    for name in ("EXDEV", "EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK")
    if hasattr(errno, name)
)
_HINT = "--how copies takes copies; or name an --output on the file system of the input, if that has hard links"
#: Where one is tried: no listing shows it, should a kill leave it there.
_TRIED = f"{CACHE}/link"


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
                    _link(target, _TRIED, origin, path)
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


def link(target: LocalStore, path: str, origin: LocalStore, file: File) -> File:
    """Make `path` another name of a file: what that is then, with its sha256, and with its times and inode.

    Its bytes are read where it is not as it was when the digest of `file` was found out. NoLinks where there are no
    hard links, ChangedMeanwhile when it is written to at this moment; other errors as those of stores.
    """
    before = wire.wait(origin.stat(file.path))
    known = file.digest if before.etag == file.etag else None
    digest = known or wire.wait(origin.hash(file.path, "sha256"))
    facts = _link(target, path, origin, file.path)
    if (facts.st_size, facts.st_mtime) != (before.size, before.mtime):
        raise ChangedMeanwhile(f"{file.path} changed while it was read", hint="run the command again")
    return File(path, facts.st_size, digest, facts.st_mtime, identity(facts))


def _link(target: LocalStore, path: str, origin: LocalStore, name: str) -> os.stat_result:
    try:
        return target.link(path, origin, name)
    except OSError as error:
        if error.errno in _NO_LINKS:
            why = (error.strerror or str(error)).lower()
            raise NoLinks(f"{target.place}: no hard link to {origin.place}/{name}: {why}", hint=_HINT) from None
        raise refusal(path, error) from error
