"""Files of ours that are no data: a report, a page, metadata, a certificate. Each is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from visprep.digests import digest_of
from visprep.errors import DiskError, UsageError
from visprep.stores import PART_SUFFIX
from visprep.stores.arrivals import disk_errors

__all__ = ["in_the_way", "write"]


def in_the_way(file: str | os.PathLike[str]) -> Path | None:
    """The file that a new one of this name would replace; None where there is none.

    UsageError for a name that is on no disk. DiskError for a directory, for a pipe or a device, which nothing should be
    put in place of, and where there is no directory for the file; AccessDenied where nothing can be made. All of it is
    better known before the work than after it.
    """
    name = os.fspath(file)
    path = Path(name)
    if name.startswith(("s3:/", "http:/", "https:/")):  # as a path has it, with one slash
        raise UsageError(f"{name}: this can only be written to a disk", hint="name a file, and upload it after")
    with disk_errors(name):
        if path.is_dir():
            raise DiskError(f"{name}: this is a directory", hint="name a file in it")
        if not path.parent.is_dir():
            raise DiskError(f"{name}: there is no directory {path.parent}", hint="make it, or choose another file")
        if path.exists() and not path.is_file():
            raise DiskError(f"{name}: it is no regular file", hint="name a file")
        part = _part(Path(os.path.realpath(path)))
        part.touch()
        part.unlink()
        return path if path.exists() else None


def write(file: str | os.PathLike[str], pieces: Iterable[str]) -> int:
    """Write text in UTF-8, and give it its name when all of it is there; its size in bytes.

    Halves of surrogate pairs, as in names that are no Unicode, become `?`. DiskError, DiskFull and AccessDenied tell of
    this file; whatever ends `pieces` comes as it is.
    """
    target = Path(os.path.realpath(file))  # a link stays one
    part = _part(target)
    size = 0
    try:
        with contextlib.ExitStack() as stack:
            with disk_errors(str(target)):
                written = stack.enter_context(part.open("wb"))
            for piece in pieces:
                data = piece.encode("utf-8", "replace")
                with disk_errors(str(target)):
                    size += written.write(data)
            with disk_errors(str(target)):
                written.close()
        with disk_errors(str(target)):
            part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return size


def _part(target: Path) -> Path:
    """What a file is called until it is whole.

    One name for all time, so that what a killed command left does not outlive the next; stores pass over such names.
    """
    return target.with_name(f".{digest_of(os.fsencode(target.name))[7:31]}{PART_SUFFIX}")
