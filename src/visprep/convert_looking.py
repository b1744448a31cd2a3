"""What is there already of the files that a conversion will make, and whose it is: in a directory, or on S3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, TypeAlias

from visprep import wire
from visprep.changes import PlaceChange, present_files
from visprep.convert_making import digest_when_made
from visprep.digests import algorithm_of
from visprep.errors import VisprepError
from visprep.hard_links import is_link
from visprep.manifest import File, bare_etag
from visprep.planned import Planned, Shard
from visprep.renamed import Renamed
from visprep.stores import Store, data_files
from visprep.stores.local import LocalStore

__all__ = ["Found", "Looking", "looking"]

#: What is there of a file: itself, something else (and whether visprep wrote that), or nothing.
Found: TypeAlias = "tuple[str, File | bool, bool]"


class Looking(Protocol):
    """Looks at the target; with `again` the same was begun or ended there before, so that what it noted is believed."""

    def compare(self, some: Sequence[Planned]) -> list[Found]:
        """What is there of each file."""
        ...

    def holds(self, path: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def as_listed(self, file: File) -> File:
        """A file that was found to be there, with the ETag that a manifest tells of it."""
        ...


def looking(target: Store, change: PlaceChange, *, again: bool) -> Looking:
    """What looks at a directory, or at a bucket."""
    if isinstance(target, LocalStore):
        return _AtDirectory(target, change, again)
    return _AtBucket(target, change, again)


class _AtDirectory:
    """See `Looking`."""

    def __init__(self, target: LocalStore, change: PlaceChange, again: bool) -> None:
        self._target, self._change, self._again = target, change, again
        self._empty = not any(True for _ in data_files(target))

    def compare(self, some: Sequence[Planned]) -> list[Found]:
        return [(one.path, *self._compare(one)) for one in some]

    def holds(self, path: str) -> bool:
        there = self._target.root / path
        return there.is_file() or there.is_symlink()

    def as_listed(self, file: File) -> File:
        return file

    def _compare(self, one: Planned) -> tuple[File | bool, bool]:
        there = self._target.root / one.path
        if self._empty:
            return False, False
        if not there.is_file():
            return there.exists() or there.is_symlink(), False
        have = File(one.path, there.stat().st_size, wire.wait(self._target.hash(one.path, "sha256")))
        known = self._change.known(one.path)
        ours = known is not None and known.digest == have.digest
        return (have if self._is_same(one, have, ours) else True), ours

    def _is_same(self, one: Planned, have: File, ours: bool) -> bool:
        if isinstance(one, Renamed):
            near = one.store if isinstance(one.store, LocalStore) else None
            if near and is_link(self._target, one.path, near, one.origin.path):
                return True
            if near:
                return have.digest == wire.wait(near.hash(one.origin.path, "sha256"))
            if told := one.origin.digest:
                return wire.wait(self._target.hash(one.path, algorithm_of(told))) == told
            return ours and self._again and have.size == one.origin.size
        if isinstance(one, Shard):
            return ours and self._again and (one.digest is None or have.digest == one.digest())
        if one.costly and ours:
            return self._again
        try:  # a kill may have come between a file and its note
            return have.digest == digest_when_made(one)
        except VisprepError:
            return False  # it is told when its turn comes


class _AtBucket:
    """See `Looking`: one listing, and a closer look at objects that nobody noted with the ETag that they have."""

    def __init__(self, target: Store, change: PlaceChange, again: bool) -> None:
        self._target, self._change, self._again = target, change, again
        self._there = {file.path: file for file in present_files(target)}

    def compare(self, some: Sequence[Planned]) -> list[Found]:
        known = {one.path: self._known(one.path) for one in some}
        unknown = [one for one in some if one.path in self._there and known[one.path] is None]
        jobs = ((one.path, self._target.stat(one.path)) for one in unknown)
        seen = {path: what for path, what in wire.run(jobs) if isinstance(what, File)}
        return [(one.path, *self._compare(one, known[one.path], seen.get(one.path))) for one in some]

    def holds(self, path: str) -> bool:
        return path in self._there

    def as_listed(self, file: File) -> File:
        there = self._there.get(file.path)
        return file if file.etag or there is None else replace(file, etag=there.etag)

    def _known(self, path: str) -> File | None:
        """An object that is as visprep noted it, with the digest that it noted."""
        have, known = self._there.get(path), self._change.known(path)
        if have is None or known is None or not known.etag or not have.etag or known.size != have.size:
            return None
        return replace(have, digest=known.digest) if bare_etag(known.etag) == bare_etag(have.etag) else None

    def _compare(self, one: Planned, known: File | None, seen: File | None) -> tuple[File | bool, bool]:
        listed = self._there.get(one.path)
        if listed is None:
            return False, False
        have = known or seen or listed
        noted = self._change.known(one.path)  # killed between an object and its note, one that tells its digest is ours
        ours = known is not None or (noted is not None and have.digest == noted.digest)
        sound = algorithm_of(have.digest or "") == "sha256"  # or nothing tells what a manifest must
        return (have if sound and self._is_same(one, have, ours) else True), ours

    def _is_same(self, one: Planned, have: File, ours: bool) -> bool:
        if isinstance(one, Renamed):
            if have.size != one.origin.size:
                return False
            told = one.origin.digest
            listed = self._there[one.path].digest
            if told and listed and algorithm_of(told) == algorithm_of(listed):
                return told == listed
            sha256 = wire.wait(one.store.hash(one.origin.path, "sha256"))
            return have.digest == sha256 if sha256 else ours and self._again
        if isinstance(one, Shard) and ours:
            return self._again and (one.digest is None or have.digest == one.digest())
        if not isinstance(one, Shard) and one.costly and ours:
            return self._again
        try:
            return have.digest == digest_when_made(one)
        except VisprepError:
            return False
