"""Files of ours that are no data: a report, a page, metadata, a certificate. Each is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from visprep import temporary
from visprep.digests import digest_of
from visprep.errors import DiskError, UsageError
from visprep.stores import PART_SUFFIX, is_part
from visprep.stores.arrivals import disk_errors

__all__ = ["beside", "in_the_way", "write"]

#: Seconds for which a file is left alone that nobody seems to hold: it may be just made.
_YOUNG = 60


def in_the_way(file: str | os.PathLike[str]) -> Path | None:
    """The file that a new one of this name would replace; None where there is none.

    UsageError for a name that is on no disk. DiskError for a directory, for a pipe or a device, which nothing should be
    put in place of, and where there is no directory for the file; AccessDenied where nothing can be made. All of it is
    better known before the work than after it.
    """
    name = os.fspath(file)
    path = Path(name)
    if name.startswith(("s3:/", "http:/", "https:/")):  # as a path has it, with one slash
        typed = name if "://" in name else name.replace(":/", "://", 1)
        raise UsageError(f"{typed}: this can only be written to a disk", hint="name a file, and upload it after")
    with disk_errors(name):
        if path.is_dir():
            raise DiskError(f"{name}: this is a directory", hint="name a file in it")
        if not path.parent.is_dir():
            raise DiskError(f"{name}: there is no directory {path.parent}", hint="make it, or choose another file")
        if path.exists() and not path.is_file():
            raise DiskError(f"{name}: it is no regular file", hint="name a file")
        with beside(Path(os.path.realpath(path))):
            return path if path.exists() else None


def write(file: str | os.PathLike[str], pieces: Iterable[str]) -> int:
    """Write text in UTF-8, and give it its name when all of it is there; its size in bytes.

    Halves of surrogate pairs, as in names that are no Unicode, become `?`. DiskError, DiskFull and AccessDenied tell of
    this file; whatever ends `pieces` comes as it is.
    """
    target = Path(os.path.realpath(file))  # a link stays one
    size = 0
    with contextlib.ExitStack() as stack:
        with disk_errors(str(target)):
            part = stack.enter_context(beside(target))
            written = part.open("wb")
        stack.callback(_let_go, written)
        for piece in pieces:
            data = piece.encode("utf-8", "replace")
            with disk_errors(str(target)):
                size += written.write(data)
        with disk_errors(str(target)):
            written.close()
            part.replace(target)
    return size


def _let_go(written: BinaryIO) -> None:
    """Close a file. On a full disk that fails once more, for what is still held back; the first failure counts."""
    with contextlib.suppress(OSError):
        written.close()


@contextlib.contextmanager
def beside(target: Path) -> Iterator[Path]:
    """An empty file in the directory of `target`, to be written and to take its place; else it does not stay.

    It is named for the target and for nobody else, so that two commands may write the same file at once, and stores
    pass over such names. What killed commands left of the target goes first. OSError as it comes.
    """
    stem = f".{digest_of(os.fsencode(target.name))[7:19]}"
    _sweep(target.parent, stem)
    part = target.with_name(f"{stem}{secrets.token_hex(6)}{PART_SUFFIX}")
    with part.open("xb"):  # not through a link that somebody put there
        held = temporary.hold(part)
    try:
        yield part
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


def _sweep(folder: Path, stem: str) -> None:
    """Remove what begins so and nobody writes; the system lets go of a lock when its process ends, however that is."""
    with contextlib.suppress(OSError):
        for part in folder.glob(f"{stem}*{PART_SUFFIX}"):
            with contextlib.suppress(OSError):
                _drop(part)


def _drop(part: Path) -> None:
    if part.is_symlink() or not is_part(part.name) or part.stat().st_mtime > time.time() - _YOUNG:
        return
    held = temporary.hold(part)
    try:
        if held is not None or temporary.fcntl is None:  # without locks, what is open cannot be removed
            part.unlink()
    finally:
        if held is not None:
            os.close(held)
