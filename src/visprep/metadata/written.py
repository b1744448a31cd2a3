"""Writing metadata to a file: never over what somebody else wrote, or changed since."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from visprep.errors import DiskError, UsageError, WouldOverwrite
from visprep.stores import PART_SUFFIX
from visprep.stores.arrivals import disk_errors

#: Where a text says which text it is: the sha256 of itself with zeros there.
_SEAL = re.compile(r"(visprep-export-metadata:)([0-9a-f]{64})")
_OPEN = "0" * 64
#: What a text has in it before it is sealed.
SEAL = f"visprep-export-metadata:{_OPEN}"


def sealed(text: str) -> str:
    """A text that has `SEAL` in it, with its own sha256 there; `?` where a name of a file is no Unicode."""
    text = text.encode(errors="replace").decode()
    return text.replace(_OPEN, hashlib.sha256(text.encode()).hexdigest(), 1)


def _is_ours(text: str) -> bool:
    """Whether a text is as `sealed` made it."""
    found = _SEAL.search(text)
    return found is not None and sealed(_SEAL.sub(rf"\g<1>{_OPEN}", text, count=1)) == text


def check_replaceable(file: str | os.PathLike[str], *, overwrite: bool) -> None:
    """WouldOverwrite when a file is in the way that this command did not write, or that was changed since.

    UsageError for a file that is on no disk, DiskError when there is no directory for it.
    """
    path = Path(os.fspath(file))
    if "://" in os.fspath(file) or path.parts[:1] == ("s3:",):  # a path has one slash
        raise UsageError(f"{file}: metadata is written to a disk", hint="name a file, and upload it after")
    if path.is_dir() or not path.parent.is_dir():
        raise DiskError(f"{path}: this is a directory, or there is none for it", hint="choose another FILE")
    with disk_errors(str(path)):
        ours = overwrite or not path.exists() or _is_ours(path.read_bytes().decode(errors="replace"))
    if not ours:
        hint = "--overwrite replaces it; or choose another FILE"
        words = f"{path}: visprep export-metadata did not write it, or it was changed since"
        raise WouldOverwrite(words, paths=(str(path),), hint=hint)


def write(file: str | os.PathLike[str], text: str) -> bool:
    """Write the text, whole or not at all; False where the file holds just that already."""
    target = Path(os.path.realpath(file))  # a link stays one
    part = target.with_name(f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:24]}{PART_SUFFIX}")
    data = text.encode()
    with disk_errors(str(target)):
        if target.exists() and target.read_bytes() == data:
            return False
        try:
            part.write_bytes(data)
            part.replace(target)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    return True
