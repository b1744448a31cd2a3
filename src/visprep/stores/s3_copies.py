"""Copying an object within a bucket: the server does it, and not a byte comes here."""

from __future__ import annotations

from visprep.stores.s3 import S3Store

#: What CopyObject takes at most, in bytes; more goes in parts.
MOST = 5 * 1024**3
#: Bytes in a part of a copy: S3 copies some at a time, and much quicker than one.
PART = 256 * 1024**2


async def copy(
    store: S3Store,
    source: str,
    target: str,
    size: int,
    sha256: str | None = None,
    *,
    most: int = MOST,
    part: int = PART,
) -> None:
    """Make the object at path `target` of the bytes at path `source`, which are `size`, in place of what was there.

    The copy tells `sha256` (64 hexadecimal digits), where it is known, and has the storage class, encryption and ACL
    of the store's settings. Above `most` bytes it is made of parts. FileMissing when there is no source, WrongContent
    when the copy has another size; a server that cannot copy is ServerFailed, or AccessDenied.
    """
    raise NotImplementedError
