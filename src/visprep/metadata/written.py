"""Writing metadata to a file: never over what somebody else wrote, or changed since."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from visprep import whole_files, wire
from visprep.errors import WouldOverwrite
from visprep.manifest import File
from visprep.metadata.looking import OWN
from visprep.stores import Store
from visprep.stores.arrivals import disk_errors

#: Where a text says which text it is: the sha256 of itself with zeros there.
_SEAL = re.compile(r"(visprep-export-metadata:)([0-9a-f]{64})")
_OPEN = "0" * 64
#: Bytes of the largest text that this command writes, by far; what is larger is of others, and not read.
_LARGEST = 64 * 1024 * 1024
#: What a text has in it before it is sealed.
SEAL = f"visprep-export-metadata:{_OPEN}"


def sealed(text: str) -> str:
    """A text that has `SEAL` in it, with its own sha256 there; `?` where a name of a file is no Unicode."""
    text = text.encode(errors="replace").decode()
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(SEAL, SEAL.replace(_OPEN, digest), 1)


def _is_ours(text: str) -> bool:
    """Whether a text is as `sealed` made it."""
    found = _SEAL.search(text)
    return found is not None and sealed(_SEAL.sub(rf"\g<1>{_OPEN}", text, count=1)) == text


def _may_be_ours(path: Path) -> bool:
    return path.stat().st_size <= _LARGEST and _is_ours(path.read_bytes().decode(errors="replace"))


def check_replaceable(file: str | os.PathLike[str], *, overwrite: bool) -> None:
    """WouldOverwrite when a file is in the way that this command did not write, or that was changed since.

    Else errors as of `whole_files.in_the_way`.
    """
    there = whole_files.in_the_way(file)
    if there is None or overwrite:
        return
    with disk_errors(str(there)):
        ours = _may_be_ours(there)
    if not ours:
        hint = "--overwrite replaces it; or choose another FILE"
        words = f"{there}: visprep export-metadata did not write it, or it was changed since"
        raise WouldOverwrite(words, paths=(str(there),), hint=hint)


def describes(store: Store, file: File) -> bool:
    """Whether a file of a place is its description, as this command wrote it; what a store raises when it is unread."""
    if file.path not in OWN or file.size is None or file.size > _LARGEST:
        return False
    return _is_ours(wire.wait(store.read(file.path)).decode(errors="replace"))


def write(file: str | os.PathLike[str], text: str) -> bool:
    """Write the text; False where the file holds just that already."""
    path = Path(os.fspath(file))
    with disk_errors(str(path)):
        data = text.encode()
        if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return False
    whole_files.write(path, [text])
    return True
