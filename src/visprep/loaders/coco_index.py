"""The index of a COCO JSON file: built once, kept on disk, and mapped by every process that trains.

The records stay in the JSON file and are read when they are asked for, each by its place, and decoded then: no process
holds more than the numbers of the index, whose pages all of them share. The file is read, not mapped: a mapped file
that somebody cuts off kills who reads it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from visprep import wire
from visprep.descriptors import BINARY, pread
from visprep.errors import ChangedMeanwhile, DiskError, FileMissing, StoreError, UsageError, WrongContent
from visprep.formats.coco_json import JsonFile
from visprep.loaders.cache_files import lock, unlock
from visprep.loaders.called import CalledClient
from visprep.loaders.coco_columns import columns_of
from visprep.loaders.mapped_columns import Columns, Damaged, load, save
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.arrivals import disk_errors
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore

__all__ = ["CocoIndex", "index_directory"]

_COLUMNS, _JSON, _LOCK = "columns", "annotations.json", "lock"
#: Of what is as young as that, another content may have the same times.
_YOUNG = 2 * 10**9
#: Seconds after which an index that nobody opened is removed when another one is built.
_FORGOTTEN = 30 * 24 * 3600.0

Identity = tuple[int, int, int, int]


def index_directory() -> Path:
    """Where indexes are kept unless somebody says otherwise: `~/.cache/visprep/index`, or below XDG_CACHE_HOME."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return Path(given if given.startswith("/") else Path("~/.cache").expanduser(), "visprep", "index")


class _Named(msgspec.Struct):
    """Of the record of an image, how its file is called."""

    file_name: Any = None


class CocoIndex:
    """A COCO JSON file whose records can be had one by one, in any process; it pickles as the names of its files.

    `annotation_file` is a path, `s3://bucket/key` or `https://...`; what is not on this machine is fetched, once, to
    the directory of the indexes. A file that is changed later is noticed: `check_same`.

    FileMissing and what else a store raises when the file cannot be read; WrongContent, saying where, when it is no
    COCO JSON that can be trained on.
    """

    def __init__(
        self,
        annotation_file: str | os.PathLike[str],
        *,
        access: S3Settings | CalledClient | None = None,
        index_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.name = os.fspath(annotation_file)
        place = _Keep(Path(index_dir) if index_dir is not None else index_directory())
        self._path, fetched = _local(self.name, access, place)
        self._folders = [self._path.parent] if fetched else []
        self._descriptor: int | None = None
        self._is: Identity | None = None
        self._is = _identity(os.fstat(self._open()))
        self._columns: Columns | None = None
        self._mapped: Path | None = None
        self._columns = self._kept(place, fetched)
        self._checksum = self._columns.checksum
        #: Annotations whose images are not in the file, and the id of the first such image.
        self.strays: int = self._columns.notes["strays"]
        self.stray: int | None = self._columns.notes["stray"]

    def _kept(self, place: _Keep, fetched: bool) -> Columns:
        """The columns as they are kept, else made now and kept; where nothing can be kept, made for this process."""
        assert self._is is not None
        folder = place.folder([os.path.realpath(self._path), *self._is])
        young = not fetched and time.time_ns() - max(self._is[1:3]) < _YOUNG
        with place.locked(folder) as kept:
            if kept:
                with contextlib.suppress(OSError, Damaged):
                    columns = load(folder / _COLUMNS, check=True)
                    if not columns.notes["young"]:
                        self._keep_mapped(folder)
                        return columns
            arrays, notes = columns_of(JsonFile.on_disk(self._path), self.name)
            with disk_errors(self.name):
                if not _identity(os.fstat(self._open())) == _identity(self._path.stat()) == self._is:
                    raise ChangedMeanwhile(f"{self.name} changed while it was read", hint="make the dataset again")
            if kept:
                try:
                    place.sweep()
                    save(folder / _COLUMNS, arrays, {**notes, "young": young})
                    columns = load(folder / _COLUMNS, check=False)
                except (OSError, Damaged) as problem:
                    place.complain(problem)
                else:
                    self._keep_mapped(folder)
                    return columns
            return Columns(arrays, notes, 0)

    def _keep_mapped(self, folder: Path) -> None:
        self._mapped = folder / _COLUMNS
        self._folders.append(folder)

    def _of(self, name: str) -> npt.NDArray[Any]:
        """A column; in another process than the first, the file is mapped when one is first asked for."""
        if self._columns is None:
            assert self._mapped is not None
            try:
                columns = load(self._mapped, check=False)
            except (OSError, Damaged) as problem:
                words = f"{self._mapped}: the index of {self.name} is gone: {problem}"
                raise DiskError(words, hint="make the dataset again") from None
            if columns.checksum != self._checksum:
                raise ChangedMeanwhile(f"{self.name} changed since the dataset was made", hint="make the dataset again")
            self._columns = columns
            for folder in self._folders:
                with contextlib.suppress(OSError):
                    os.utime(folder)
        return self._columns.arrays[name]

    # -- the records

    def __len__(self) -> int:
        return len(self._of("ids"))

    @property
    def image_ids(self) -> npt.NDArray[np.int64]:
        """The ids of the images, in the order of the file."""
        return self._of("ids")

    @property
    def annotation_counts(self) -> npt.NDArray[np.int64]:
        """How many annotations each image has."""
        counts: npt.NDArray[np.int64] = np.diff(self._of("first"))
        return counts

    @property
    def categories(self) -> list[dict[str, Any]]:
        """All categories, with all that they say."""
        found: list[dict[str, Any]] = msgspec.json.decode(self._of("categories").tobytes())
        return found

    def file_name(self, number: int) -> str:
        """How the file of an image is called; WrongContent when its record does not say."""
        found = msgspec.json.decode(self._image(number), type=_Named).file_name
        if not isinstance(found, str) or not found:
            raise WrongContent(f"{self.name}: image {self.image_ids[number]} has no file_name, but {found!r}")
        return found

    def image(self, number: int) -> dict[str, Any]:
        """The record of an image, with all that it says."""
        found: dict[str, Any] = msgspec.json.decode(self._image(number))
        return found

    def annotations(self, number: int) -> list[dict[str, Any]]:
        """The records of the annotations of an image, in the order of the file, with all that they say."""
        first, stop = self._of("first")[number : number + 2].tolist()
        starts = self._of("own_starts")[first:stop].tolist()
        lengths = self._of("own_lengths")[first:stop].tolist()
        return [msgspec.json.decode(self._read(*span)) for span in zip(starts, lengths, strict=True)]

    def check_same(self) -> None:
        """ChangedMeanwhile when the file is not the one any more of which this is the index."""
        # Not by the time at which it was renamed or linked, which says nothing of its content
        facts = os.fstat(self._open())
        if self._is is not None and (facts.st_size, facts.st_mtime_ns, facts.st_ino) != (*self._is[:2], self._is[3]):
            raise ChangedMeanwhile(f"{self.name} changed since the dataset was made", hint="make the dataset again")

    def _image(self, number: int) -> bytes:
        return self._read(int(self._of("starts")[number]), int(self._of("lengths")[number]))

    def _read(self, start: int, length: int) -> bytes:
        with disk_errors(self.name):
            data = pread(self._open(), length, start)
        if len(data) != length:
            self.check_same()
            raise WrongContent(f"{self.name}: it ends within a record")
        return data

    def _open(self) -> int:
        """A descriptor of the JSON file; one that a fork brought along is as good, since no position is kept in it."""
        if self._descriptor is None:
            try:
                with disk_errors(self.name):
                    self._descriptor = os.open(self._path, os.O_RDONLY | BINARY)
            except FileMissing:
                if "://" not in self.name:
                    raise
                words = f"{self._path}: the copy of {self.name} is gone"
                raise DiskError(words, hint="make the dataset again") from None
            weakref.finalize(self, _close, self._descriptor)
            self.check_same()
        return self._descriptor

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptor": None, "_columns": None if self._mapped else self._columns}


class _Keep:
    """The directory in which indexes are kept, each in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, identity: list[Any]) -> Path:
        """The folder for what is so and not otherwise."""
        return self.root / hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]

    @contextlib.contextmanager
    def locked(self, folder: Path) -> Iterator[bool]:
        """Hold the folder, made when it is not there, for this process alone; whether anything can be kept there."""
        descriptor = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
            os.utime(folder)
        except OSError as problem:
            self.complain(problem)
        try:
            if descriptor is not None:
                with contextlib.suppress(OSError):  # some network file systems have no locks: two build it then
                    lock(descriptor)
            yield descriptor is not None
        finally:
            if descriptor is not None:
                with contextlib.suppress(OSError):  # a child that was forked meanwhile holds it, too
                    unlock(descriptor)
                os.close(descriptor)

    def complain(self, problem: Exception) -> None:
        """Say that nothing is kept, so that every start reads the whole file."""
        warnings.warn(
            f"{self.root}: no index can be kept there ({problem}), so every process reads the annotations anew and "
            "holds an index of its own; index_dir= names another directory",
            RuntimeWarning,
            stacklevel=5,
        )

    def sweep(self) -> None:
        """Remove what nobody opened for a month."""
        limit = time.time() - _FORGOTTEN
        for folder in self.root.iterdir():
            with contextlib.suppress(OSError):
                if folder.stat().st_mtime < limit and (folder / _LOCK).exists():
                    shutil.rmtree(folder, ignore_errors=True)


def _local(name: str, access: S3Settings | CalledClient | None, place: _Keep) -> tuple[Path, bool]:
    """The file on this machine, and whether it had to be fetched to there."""
    if "://" not in name:
        if Path(name).is_dir():
            raise UsageError(
                f"{name}: it is a directory", hint="name the JSON file: annotations/instances_val2017.json"
            )
        if not Path(name).exists():
            raise FileMissing(f"{name}: no such file", hint="check the path")
        return Path(os.path.abspath(name)), False  # noqa: PTH100 -- links stay; a worker may be elsewhere
    if name.startswith("s3://") and isinstance(access, CalledClient):
        return _by_client(name, access, place), True
    home, _, base = name.rpartition("/")
    web = name.startswith(("http://", "https://"))
    origin: Store = HttpStore(home) if web else open_store(home, access if isinstance(access, S3Settings) else None)
    file = wire.wait(origin.stat(base))
    validator = [file.etag, file.digest, file.mtime]
    fresh = [] if any(validator) else [uuid.uuid4().hex]  # nothing tells whether it is the same one
    folder = place.folder([f"{origin.place}/{base}", file.size, *validator, *fresh])
    with place.locked(folder) as kept:
        target = folder / _JSON if kept else _nowhere(name, place)
        if not target.exists() or file.size not in (None, target.stat().st_size):
            store = LocalStore(folder)
            try:
                got = wire.wait(store.receive(replace(file, path=base), origin))
            except StoreError as problem:
                raise type(problem)(f"{name}: {problem.message}", hint=problem.hint) from problem
            (folder / got.path).rename(target)
    return target, True


def _by_client(name: str, client: CalledClient, place: _Keep) -> Path:
    """The file as a client gives it that is called itself; such a one tells no more than the bytes."""
    bucket, _, key = name.removeprefix("s3://").partition("/")
    data = client.get(bucket, key)
    folder = place.folder([name, hashlib.sha256(data).hexdigest()])
    with place.locked(folder) as kept:
        target = folder / _JSON if kept else _nowhere(name, place)
        if not target.exists() or target.read_bytes() != data:
            with disk_errors(os.fspath(target)):
                part = folder / f".{uuid.uuid4().hex}"
                part.write_bytes(data)
                part.replace(target)
    return target


def _nowhere(name: str, place: _Keep) -> Path:
    raise DiskError(
        f"{place.root}: {name} must be fetched to there, and cannot be", hint="index_dir= names another directory"
    )


def _identity(facts: os.stat_result) -> Identity:
    return facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
