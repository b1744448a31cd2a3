"""Upstream's tables and lists on their way: brought whole into a directory here, and read there.

They are as large as 2.2 GB, and what a selection needs of them shows only when they are read, mostly twice.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from visprep import wire
from visprep.errors import FileMissing, NetworkError, SourceError, VisprepError, WrongContent
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_csv import open_table
from visprep.formats.open_images_tables import Kind
from visprep.manifest import File
from visprep.mirrors import check_room, is_of_mirror
from visprep.stores import Store
from visprep.stores.local import LocalStore


class Tables:
    """Files upstream, at one of the `origins`, and in `cache`; `heard` is told of bytes as they come."""

    def __init__(self, cache: LocalStore, origins: Sequence[Store], heard: Callable[[str, int], None]) -> None:
        self._cache, self._origins, self._heard = cache, tuple(origins), heard
        self._fetched: set[str] = set()

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring those that are not here, from the next origin what one does not give.

        What is here is held against what the origin tells of it, as far as it tells, and fetched anew where that
        differs; of what broke off the rest is fetched. DiskFull, before the first byte, when there is no room for
        them; SourceError when no origin has one of them, NetworkError when none answers.
        """
        wanted = set(paths)
        self._fetched |= wanted
        problems: dict[str, VisprepError] = {}
        for origin in self._origins:
            found = self._outcomes({path: origin.stat(path) for path in sorted(wanted)}, problems)
            same = {path for path, file in found.items() if self._is_here(file, origin)}
            missing = {path: file for path, file in found.items() if path not in same}
            check_room(self._cache, sum(file.size or 0 for file in missing.values()), "the tables")
            came = self._outcomes({path: self._bring(file, origin) for path, file in missing.items()}, problems)
            wanted -= same | set(came)
        for path in sorted(wanted):
            problem = problems[path]
            if isinstance(problem, NetworkError):
                raise problem
            raise SourceError(problem.message, hint="try another --mirror") from problem

    @contextlib.contextmanager
    def on_trial(self) -> Iterator[None]:
        """Drop a table that a WrongContent is about, so that the next command fetches it anew; its hint says that."""
        try:
            yield
        except WrongContent as problem:
            for path in self._fetched:
                if problem.message.startswith(path):
                    for name in (_note_of(path), path):
                        wire.wait(self._cache.delete(name))
                    problem.hint = "the same command fetches it anew; if it is the same then, try another --mirror"
            raise

    def _is_here(self, told: File, origin: Store) -> bool:
        """Whether one is here as we wrote it, and as the origin has it now; its ETag is its own among the origins'."""
        try:
            here = wire.wait(self._cache.stat(told.path))
            noted = json.loads(wire.wait(self._cache.read(_note_of(told.path))))
        except (FileMissing, ValueError, RecursionError):
            return False
        if noted["size"] != here.size or noted["mtime"] != here.mtime or told.size not in (None, here.size):
            return False
        if noted["origin"] != origin.place:
            return True
        return bool(noted["etag"] == told.etag if told.etag else noted["told"] == told.mtime)

    async def _bring(self, told: File, origin: Store) -> File:
        """Receive one, and write down how it lies here, and what the origin told of it."""
        received = await self._cache.receive(told, origin)
        here = await self._cache.stat(told.path)
        noted = {"origin": origin.place, "etag": told.etag, "told": told.mtime, "size": here.size, "mtime": here.mtime}
        await self._cache.write(_note_of(told.path), json.dumps(noted).encode())
        return received

    def _outcomes(self, jobs: dict[str, wire.Job[File]], problems: dict[str, VisprepError]) -> dict[str, File]:
        found = {}
        for path, outcome in wire.run(jobs.items(), on_bytes=lambda count: self._heard("tables", count)):
            if not isinstance(outcome, VisprepError):
                found[path] = outcome
            elif is_of_mirror(outcome):
                problems[path] = outcome
            else:
                raise outcome
        return found

    def path(self, path: str) -> Path:
        """Where one is here."""
        return self._cache.root / path

    def read(self, path: str) -> bytes:
        """All bytes of one that is small."""
        return wire.wait(self._cache.read(path))

    def open(self, path: str, kind: Kind) -> CsvFile:
        """One that is a table; WrongContent when it is not of this kind."""
        return open_table(self.path(path), kind, path)


def _note_of(path: str) -> str:
    return f"{path}.noted"
