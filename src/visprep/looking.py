"""What the check of a format is given to look at, and what it must tell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from visprep.findings import Finding
from visprep.image_loading import reads_seen, whole
from visprep.manifest import File
from visprep.rounds import Rounds
from visprep.rules import Depth
from visprep.selection import Scope
from visprep.stores import Store, archive_ending
from visprep.stores.local import LocalStore
from visprep.traffic import Traffic
from visprep.verify_request import Request


@dataclass(frozen=True, slots=True)
class Looking:
    """One look at a place: its `listing`, without visprep's own record; `rounds` look at its files."""

    listing: Sequence[File]
    rounds: Rounds
    request: Request = field(default_factory=Request)

    @property
    def store(self) -> Store:
        """The place."""
        return self.rounds.eye.store

    @property
    def depth(self) -> Depth:
        """How closely it is looked at."""
        return self.rounds.eye.depth

    @property
    def near(self) -> bool:
        """Whether reading costs no request."""
        return self.rounds.eye.near

    def reads(self, images: Iterable[File]) -> Traffic:
        """What `Eye.see` would read of images."""
        left, eye = [], self.rounds.eye
        for file in images:
            (eye.spared.add(file.path) if file.path in eye.settled else left.append(file))
        if eye.hashes:
            self.reads_whole(left)
        return reads_seen(left, self.depth, self.near)

    def reads_whole(self, files: Iterable[File]) -> Traffic:
        """What `Eye.read` would read of files."""
        found = list(files)
        if self.rounds.eye.hashes:
            self.rounds.eye.digests.update((file.path, "") for file in found)
        return whole(found)

    @property
    def place_name(self) -> tuple[str, ...]:
        """The path of the place itself, in parts."""
        return parts_of(self.store.place, self.store)


def parts_of(name: str, store: Store) -> tuple[str, ...]:
    """The path of a place of this name, in parts; an archive is called as the directory is that it was made of."""
    full = os.path.realpath(name) if isinstance(store, LocalStore) else name
    full = full if isinstance(store, LocalStore) else full[: len(full) - len(archive_ending(name))]
    return tuple(part for part in full.split("/") if part)


class Check(Protocol):
    """A place, looked at in one format."""

    @property
    def homes(self) -> Iterable[str]:
        """The directories that hold one record each: when a file in it changed, all of it is looked at."""
        ...

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Paths that are to be looked at because of those that changed."""
        ...

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """All that is wrong with what the scope holds; others may come too."""
        ...

    def reads(self, scope: Scope) -> Traffic:
        """What `findings` would read."""
        ...

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How much is looked at, by kind; after `findings`, what they were made from."""
        ...
