"""The file that a page is: written whole or not at all, and never in place of what is no page of ours."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from visprep.digests import digest_of
from visprep.errors import DiskError, UsageError, WouldOverwrite
from visprep.page import is_page
from visprep.stores import PART_SUFFIX
from visprep.stores.arrivals import disk_errors

#: Bytes in which a page says that it is one of ours.
_HEAD_BYTES = 1024


def check_replaceable(file: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Whether a page can be written there.

    UsageError for a place in a bucket, DiskError for a directory, or where there is none for it; WouldOverwrite for a
    file that is no page of visprep's, unless it is to be overwritten.
    """
    name = os.fspath(file)
    path = Path(name)
    if name.startswith(("s3:/", "http:/", "https:/")):
        raise UsageError(f"{name}: a page is written to a disk", hint="name a file, and upload it after")
    if path.is_dir() or not path.parent.is_dir():
        raise DiskError(f"{name}: this is a directory, or there is none for it", hint="choose another --output")
    if path.exists() and not path.is_file():
        raise DiskError(f"{name}: it is no regular file", hint="choose another --output")
    with disk_errors(name):
        part = _part(path)
        part.touch()
        part.unlink()
        if overwrite or not path.exists():
            return
        with path.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    if not is_page(head):
        hint = "choose another --output, move this one away, or replace it with --overwrite"
        raise WouldOverwrite(f"{name}: it is no page of visprep report", paths=(name,), hint=hint)


def write(file: str | os.PathLike[str], pieces: Iterable[str], overwrite: bool = False) -> int:
    """The page at `file`, in place of an older one; its size in bytes. Errors as of `check_replaceable`."""
    check_replaceable(file, overwrite)
    target = Path(os.path.realpath(file))  # a link stays one
    part = _part(target)
    try:
        with disk_errors(str(target)):
            with part.open("w", encoding="utf-8", errors="replace", newline="\n") as written:
                written.writelines(pieces)
            size = part.stat().st_size
            part.replace(target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return size


def _part(target: Path) -> Path:
    """What a page is called until it is whole; stores pass over such names."""
    return target.with_name(f".{digest_of(os.fsencode(target.name))[7:31]}{PART_SUFFIX}")
