"""Objects of a bucket that are put aside: the server copies each, and what lay under its name is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from visprep.stores import Store

if TYPE_CHECKING:
    from visprep.stores.s3 import S3Store


def on_s3(target: Store) -> S3Store:
    """A place that can be written to, and is no directory."""
    from visprep.stores.s3 import S3Store  # here, since directories need none of it

    assert isinstance(target, S3Store)
    return target


async def put_object_aside(target: Store, path: str, where: str) -> None:
    """Move an object of a place to another name there, in place of what has it."""
    from visprep.stores.s3_copies import copy  # here, since directories need none of it

    bucket = on_s3(target)
    there = await bucket.stat(path)
    sha256 = there.digest.removeprefix("sha256:") if there.digest and there.digest.startswith("sha256:") else None
    await copy(bucket, path, where, there.size or 0, sha256)
    await bucket.delete(path)
