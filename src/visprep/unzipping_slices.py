"""Unzipping by the workers of an engine: each takes a stretch of an archive and brings its files to their place."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from visprep.engines import Engine, slices
from visprep.errors import VisprepError, WorkerLost
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.remote_zip import Packed, RemoteZip
from visprep.unzipping import Unzipping

_MEBIBYTE = 1024 * 1024
#: Files and bytes of a slice at the most: some seconds of work. Of a smaller archive there are about so many slices.
_FILES, _BYTES, _SLICES = 2_000, 64 * _MEBIBYTE, 16
#: Bytes of a slice at least, where there are several.
_LEAST = 4 * _MEBIBYTE

Outcome: TypeAlias = "tuple[str, File | VisprepError]"


@dataclass(frozen=True, slots=True)
class Share:
    """What every worker is told: the archive, where its files go, and what is wrong among them."""

    archive: RemoteZip
    target: Store
    aside: str | None


def unzip(share: Share, files: Sequence[Packed]) -> list[Outcome]:
    """The path and the finished file, or the error, of each of some files of an archive; what ends all is raised."""
    found: dict[str, File | VisprepError] = {}
    with contextlib.closing(Unzipping(share.archive, files, share.target, aside=share.aside).outcomes()) as outcomes:
        found.update(outcomes)
    return [(one.path, found[one.path]) for one in files]


def cut(files: Sequence[Packed]) -> list[list[Packed]]:
    """Files of an archive in slices that lie together there."""
    ordered = sorted(files, key=lambda one: one.member.offset)
    most = min(_BYTES, max(_LEAST, sum(map(_weight, ordered)) // _SLICES))
    return list(slices(ordered, _FILES, most, _weight))


def _weight(one: Packed) -> int:
    return one.member.limit - one.member.offset


class Spreading:
    """As `Unzipping`, by an engine: `heard` is told of the bytes of each slice that came back.

    Nobody sees all of the archive, so there is no `digest` of it.
    """

    digest: str | None = None

    def __init__(self, engine: Engine, share: Share, work: list[list[Packed]], heard: Callable[[int], None]) -> None:
        self._engine, self._share, self._work, self._heard = engine, share, work, heard

    def outcomes(self) -> Generator[Outcome, None, None]:
        """See `Unzipping`."""
        results = self._engine.map(functools.partial(unzip, self._share), self._work, lost=_lost)
        for some, outcomes in zip(self._work, results, strict=True):
            self._heard(sum(map(_weight, some)))
            yield from outcomes


def _lost(file: Packed, error: WorkerLost) -> Outcome:
    return file.path, error
