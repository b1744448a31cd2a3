"""The samples of a WebDataset as tasks, each file of theirs byte for byte as it was."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from visprep import wire
from visprep.convert_output import Output, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.errors import ChangedMeanwhile, WrongContent
from visprep.formats.parquet import RangedFile
from visprep.formats.task_members import file_of, is_task
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.stores.tar_headers import headers
from visprep.stores.zip_directory import Member
from visprep.task_files import Entry, plan
from visprep.task_shards import result, step

__all__ = ["SUFFIX", "convert"]

SUFFIX = ".tar"


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`; WrongContent for an archive that is damaged, and where nothing in them is a task."""
    archives = [file for file in origin.listing if file.path.endswith(SUFFIX)]
    with (
        contextlib.closing(_Files(origin.store)) as files,
        writing(target, step(origin, wish, "webdataset"), wish) as output,
    ):
        looking = _Looking(Losses(wish.to), output)
        plan(partial(_entries, files, archives), output, looking(origin.store, archives))
        if not looking.found:
            names = "their members are called KEY.first_frame.png, KEY.prompt.txt and so on"
            raise WrongContent(f"{origin.given}: no sample in these archives is a task", hint=names)
        output.put(looking.losses, lossless=wish.lossless)
    return result(origin, wish, "webdataset", output, looking.losses)


@dataclass(slots=True)
class _Looking:
    """The first look at some archives: what is lost, what cannot be, and whether any task is `found`."""

    losses: Losses
    output: Output
    found: bool = False

    def __call__(self, store: Store, archives: Sequence[File]) -> Iterator[Entry]:
        """The entries, as `_entries` names them."""
        for archive in archives:
            for member in _members(store, archive):
                one = file_of(member.path)
                self.found = self.found or bool(one and is_task(one[1]))
                if member.fault:
                    path, fault = f"{archive.path}/{member.path}", member.fault
                    self.output.failed(path, fault.kind(f"{path}: {fault.message}", hint=fault.hint))
                elif one is None:
                    self.losses.lost("members", archive.path, f"{member.path}, which is of no sample,")
                else:
                    yield "/".join(one), bytes, _where(archive, member)


def _entries(files: _Files, archives: Sequence[File]) -> Iterator[Entry]:
    for archive in archives:
        for member in _members(files.store, archive):
            one = None if member.fault else file_of(member.path)
            if one is not None:
                reading = partial(files.read, archive.path, member.offset, member.size)
                yield "/".join(one), reading, _where(archive, member)


def _where(archive: File, member: Member) -> str:
    return f"{archive.path}, byte {member.offset}: {member.path}"


class _Files:
    """Archives, of which each thread keeps that open, where they are on disk, that it has read from last."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._last: dict[int, tuple[str, BinaryIO]] = {}

    def read(self, path: str, offset: int, size: int) -> bytes:
        """A part of an archive; ChangedMeanwhile when it has become shorter."""
        if isinstance(self.store, LocalStore):
            with self.store.errors(path):
                opened = self._open(self.store, path)
                opened.seek(offset)
                data = opened.read(size)
        else:
            data = wire.wait(self.store.read(path, offset, size)) if size else b""
        if len(data) != size:
            raise ChangedMeanwhile(f"{path} changed while it was read", hint="run the same command again")
        return data

    def _open(self, store: LocalStore, path: str) -> BinaryIO:
        me = threading.get_ident()
        last, opened = self._last.get(me, (None, None))
        if opened is None or last != path:
            if opened is not None:
                opened.close()
                del self._last[me]
            opened = io.BufferedReader(store.raw(path))
            self._last[me] = path, opened
        return opened

    def close(self) -> None:
        """Close what is open."""
        for _, opened in self._last.values():
            opened.close()
        self._last.clear()


def _members(store: Store, archive: File) -> Iterator[Member]:
    """The members of an archive that are files, or are none and have a fault."""
    near = isinstance(store, LocalStore) and io.BufferedReader(store.raw(archive.path))
    with near or RangedFile(store, archive) as source:
        for header in headers(_Stream(source, archive.size or 0), archive.path):
            member = header.member()
            if member is not None and not member.path.endswith("/"):
                yield member


@dataclass(slots=True)
class _Stream:
    """An archive, of which little more than the headers is read."""

    source: BinaryIO | RangedFile
    size: int
    position: int = 0

    def read(self, length: int) -> bytes:
        """See `Stream`."""
        self.source.seek(self.position)
        data = self.source.read(length)
        self.position += len(data)
        return data

    def skip(self, length: int) -> int:
        """See `Stream`."""
        passed = min(length, self.size - self.position)
        self.position += passed
        return passed
