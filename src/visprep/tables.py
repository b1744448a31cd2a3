"""Upstream's tables and lists on their way: brought whole into a directory here, and read there.

They are as large as 2.2 GB, and what a selection needs of them shows only when they are read, mostly twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from visprep import wire
from visprep.errors import NetworkError, SourceError, VisprepError
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

    def fetch(self, paths: Iterable[str]) -> None:
        """Bring those that are not here, from the next origin what one does not give.

        What is here is whole, since it has its name only then; of what broke off the rest is fetched. DiskFull, before
        the first byte, when there is no room for them; SourceError when no origin has one of them, NetworkError when
        none answers.
        """
        wanted = {path for path in paths if not (self._cache.root / path).is_file()}
        problems: dict[str, VisprepError] = {}
        for origin in self._origins:
            found = self._outcomes({path: origin.stat(path) for path in sorted(wanted)}, problems)
            check_room(self._cache, sum(file.size or 0 for file in found.values()), "the tables")
            wanted -= set(
                self._outcomes({path: self._cache.receive(file, origin) for path, file in found.items()}, problems)
            )
        for path in sorted(wanted):
            problem = problems[path]
            if isinstance(problem, NetworkError):
                raise problem
            raise SourceError(problem.message, hint="try another --mirror") from problem

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
