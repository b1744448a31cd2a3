"""Stores: the places where bytes live, as code.

A `Store` knows how to list, read and write files at one place, and nothing of what they mean. Its methods that
may have to wait for a network are coroutines, driven by `visprep.wire` (not by asyncio): `wire.wait` runs one,
`wire.run` runs thousands of them at once in one thread. A store holds no connection and no lock, so it can be
pickled and used after a fork.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from visprep.errors import BadPlace, UnsafePath
from visprep.manifest import RECORD_DIR, File
from visprep.settings import S3Settings
from visprep.stores.windows_names import refused_by_windows

if TYPE_CHECKING:
    from visprep.wire import Sink

#: Ends the name of a file that is still being written; such files are never listed.
PART_SUFFIX = ".visprep-part"


class Store(Protocol):
    """What every place can do. Paths are relative, with `/`.

    Failures are `StoreError`, `NetworkError` or `CredentialsError`; a read-only store raises AccessDenied for
    `receive`, `write` and `delete`.
    """

    place: str

    def list(self) -> Iterator[File]:
        """All files, sorted by the bytes of the path, with what the listing tells of size, digest, time and ETag.

        An empty directory (on S3: a marker key) appears as a path that ends in `/`, with size 0. Nothing there at
        all is PlaceMissing.
        """
        ...

    async def stat(self, path: str) -> File:
        """What can be learned of one file without reading it; FileMissing when it is not there."""
        ...

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes `offset` to `offset + length` of a file, fewer where it ends, to its end without `length`."""
        ...

    async def hash(self, path: str, algorithm: str) -> str | None:
        """`algorithm:hex` of a file as it is now, None where that could only be learned by moving all its bytes."""
        ...

    async def fetch(self, file: File, sink: Sink) -> str | None:
        """Write the bytes of `file` from `sink.position` on to `sink`.

        Returns when all bytes arrived, as many as were promised: the sha256 of the whole file, where the place told
        it with them. Checking digests is the receiver's part.
        """
        ...

    async def receive(self, file: File, origin: Store) -> File:
        """Make `file` here with the bytes that `origin` has under the same path; returns it with its sha256.

        It appears under its name only when it is whole and agrees with the size and digest of `file`, where
        those are known; otherwise WrongContent.
        """
        ...

    async def write(self, path: str, data: bytes) -> File:
        """Put `data` at `path`, whole or not at all, replacing what was there."""
        ...

    async def delete(self, path: str) -> None:
        """Remove one file; fine when it is not there."""
        ...


def open_store(place: str, s3: S3Settings | None = None) -> Store:
    """The store for a directory, an archive, or `s3://bucket/prefix`; BadPlace when the text is none of them.

    Nothing is touched yet: that a directory or bucket is missing shows at the first use. What ends in `.zip`, `.tar`,
    `.tar.gz` or `.tgz` is an archive, unless a directory has that name. Of a published place, the store has the files
    of the version that counted when it was first used.
    """
    if not place or "\0" in place:
        raise BadPlace(f"{place!r} names no place", hint="name a directory, or s3://bucket/prefix")
    if place.startswith("s3://"):
        module = importlib.import_module("visprep.stores.published")
        store: Store = module.PlaceStore(place, s3 or S3Settings())
        return store
    check_spelling(place)
    if "://" in place:
        hint = "another service that speaks S3 is reached by s3://bucket/prefix and --endpoint-url"
        raise BadPlace(f"{place!r}: places are directories or s3://bucket/prefix", hint=hint)
    if ending := archive_ending(place):
        zipped = ending == ".zip"
        module = importlib.import_module(f"visprep.stores.{'archive' if zipped else 'tar'}")
        archive: Store = module.ArchiveStore(place) if zipped else module.TarStore(place)
        return archive
    local: Store = importlib.import_module("visprep.stores.local").LocalStore(place)
    return local


#: What is meant for S3: with one slash, as `pathlib` leaves it of two, or in capitals. `./s3:/x` is a directory.
_MISSPELT = re.compile("s3:/+", re.IGNORECASE)


def meant_for_s3(place: str) -> str:
    """A place on S3 as it is to be written, of text that names one in other words."""
    found = _MISSPELT.match(place)
    return f"s3://{place[found.end() :] if found else place}"


def check_spelling(place: str) -> None:
    """BadPlace for a place on S3 that is written as none, and would be a directory called `s3:`."""
    if _MISSPELT.match(place) and not place.startswith("s3://"):
        hint = f"did you mean {meant_for_s3(place)}?"
        raise BadPlace(f"{place!r}: places are directories or s3://bucket/prefix", hint=hint)


_PINS: contextvars.ContextVar[dict[Any, Any] | None] = contextvars.ContextVar("pins", default=None)


@contextlib.contextmanager
def one_version() -> Iterator[None]:
    """Within it, or a function that it decorates, all stores see one and the same version of a published place."""
    token = _PINS.set(pins())
    try:
        yield
    finally:
        _PINS.reset(token)


def pins() -> dict[Any, Any]:
    """Where a store remembers which version it found: shared by all within `one_version`, else its own."""
    shared = _PINS.get()
    return {} if shared is None else shared


#: How the names of archives end.
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def is_archive(place: str) -> bool:
    """Whether a place on disk is an archive, by its name, and not a directory of such a name."""
    return bool(archive_ending(place))


def archive_ending(place: str) -> str:
    """How the name of an archive ends, `.tar.gz` for one; nothing where a place is none."""
    ending = next((one for one in ARCHIVES if place.lower().endswith(one)), "")
    return ending if ending and "://" not in place and not Path(place).is_dir() else ""


def data_files(store: Store) -> Iterator[File]:
    """The files of a place that are data: all but visprep's own record; empty directories are left out."""
    return (file for file in store.list() if not is_record(file.path) and not file.path.endswith("/"))


def is_record(path: str) -> bool:
    """Whether `path` belongs to visprep's own record of a place rather than to the data."""
    return path.startswith(RECORD_DIR) and (path == RECORD_DIR or path.startswith(f"{RECORD_DIR}/"))


def stays(path: str) -> bool:
    """Whether a copy leaves `path` where it is: it is visprep's own, and made or kept by visprep at each place anew.

    Of a place inside a place those are marker, journal, cache and quarantine; its manifest is a file like any other.
    So is what somebody else put under `.visprep/`.
    """
    if RECORD_DIR not in path:
        return False
    before, found, name = f"/{path}".rpartition(f"/{RECORD_DIR}/")
    if not found:
        return path == RECORD_DIR
    own = name in ("", "in-progress", "journal.jsonl") or name.partition("/")[0] in ("cache", "quarantine")  # or links
    return own or (not before and name == "manifest.jsonl")


def is_part(name: str) -> bool:
    """Whether a name is one that unfinished files have, without directories."""
    return _PART.fullmatch(name) is not None


_PART = re.compile(rf"\.[0-9a-f]{{24}}{re.escape(PART_SUFFIX)}")
_NO_NAMES = frozenset({"", ".", ".."})


def safe_path(path: str) -> str:
    """`path` itself, when it can be a file inside a place; UnsafePath when it would leave it or name nothing.

    Refused: empty, absolute, `.` or `..` or nothing between two slashes, backslash, NUL; on Windows what it cannot
    hold; and the names of unfinished files, which no listing shows, and which are removed when a command has ended.
    """
    parts = path.split("/")
    if (
        not path
        or "\\" in path
        or "\0" in path
        or not _NO_NAMES.isdisjoint(parts)
        or (os.name == "nt" and refused_by_windows(path))
    ):
        raise UnsafePath(
            f"{path!r} cannot be a file of a place on disk",
            hint="rename it at its origin, or leave it out",
        )
    if path.endswith(PART_SUFFIX) and is_part(parts[-1]):
        raise UnsafePath(
            f"{path!r} is named like an unfinished file of visprep, and those are swept",
            hint="rename it at its origin, or leave it out",
        )
    return path
