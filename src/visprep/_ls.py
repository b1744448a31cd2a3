"""`ls`: what a place holds."""

from __future__ import annotations

import os
from collections.abc import Iterator

from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores import data_files, open_store


def ls(place: str | os.PathLike[str], *, s3: S3Settings | None = None) -> Iterator[File]:
    """The files of a place, sorted by the bytes of their path, without visprep's own record of it.

    PlaceMissing when there is no such place.
    """
    return data_files(open_store(os.fspath(place), s3))
