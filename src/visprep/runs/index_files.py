"""Swapping the index of a run in one step, and only if nobody else changed it meanwhile: on S3 and in a directory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from visprep.digests import digest_of
from visprep.errors import FileMissing, PlaceBusy
from visprep.manifest import File
from visprep.messages import Patience
from visprep.stores import published
from visprep.stores.arrivals import disk_errors, part_name
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.stores.swapping import guards, put_if
from visprep.wire import wait

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows has no flock: there one process for each experiment is the user's care
    fcntl = None

#: Seconds to wait for another process that changes the same index, and between two looks.
_LONGEST, _PAUSE = 20.0, 0.01


class S3Index:
    """The index as an object. Where the server knows no conditional writes, two processes may not see each other."""

    def __init__(self, store: S3Store, path: str, patience: Patience | None) -> None:
        self._store, self._path, self._patience = store, path, patience
        self._guarded: bool | None = None

    def swap(self, data: bytes, etag: str) -> str | None:
        """Let it be `data` if it has that ETag still; the new one, None when somebody else changed it.

        AccessDenied when the place is published, or below one that is.
        """
        if self._guarded is None:
            published.refuse_published(self._store)
            self._guarded = wait(guards(self._store, self._path, data, etag), self._patience)
            if self._guarded is None:
                return None
        return wait(put_if(self._store, self._path, data, etag, guarded=self._guarded), self._patience)


class DirectoryIndex:
    """The index as a file: swapped by a rename, under the kernel's lock on its directory, and on disk for good."""

    def __init__(self, store: LocalStore, path: str, longest: float = _LONGEST) -> None:
        self._store, self._path, self._longest = store, path, longest

    def swap(self, data: bytes, etag: str) -> str | None:
        """See `S3Index.swap`; PlaceBusy when another process holds the lock for too long."""
        home, _, name = self._path.rpartition("/")
        with disk_errors(self._path):
            folder = Path(self._store.real_folder(home))
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder, self._longest):
                if self._etag() != etag:
                    return None
                unfinished = folder / part_name(name, File(self._path))
                try:
                    unfinished.write_bytes(data)
                    flush(unfinished)
                    unfinished.replace(folder / name)
                finally:
                    unfinished.unlink(missing_ok=True)
                flush(folder)
        return digest_of(data)

    def _etag(self) -> str:
        try:
            return digest_of(wait(self._store.read(self._path)))
        except FileMissing:
            return ""


def flush(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk; not every file system can tell."""
    if os.name == "nt" and path.is_dir():  # no directory can be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(folder: Path, longest: float) -> Iterator[None]:
    """Keep every other process from swapping: the lock needs no file and ends with the process, however that ends."""
    if fcntl is None:
        yield
        return
    descriptor, end = os.open(folder, os.O_RDONLY), time.monotonic() + longest
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise PlaceBusy(
                        f"{folder}: another process has held the lock for {longest:g} s", hint="see whether it hangs"
                    ) from None
                time.sleep(_PAUSE)
            except OSError:  # some network file systems have no locks: there it is the user's care
                break
        yield
    finally:
        os.close(descriptor)
