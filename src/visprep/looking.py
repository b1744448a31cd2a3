"""What the check of a format is given to look at, and what it must tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from visprep.asked import Request
from visprep.findings import Finding
from visprep.image_loading import Seen, reads_seen, see
from visprep.manifest import File
from visprep.rules import Depth
from visprep.selection import Scope
from visprep.stores import Store, archive_ending
from visprep.stores.local import LocalStore
from visprep.traffic import Traffic

#: `each(stage, items, work, unit, jobs)`: the work of every item, in order.
Each = Callable[..., Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Looking:
    """One look at a place: its `listing`, without visprep's own record, and how closely it is looked at.

    `near` says that reading costs no request; `each(stage, items, work, unit, jobs)` gives the work of every item, in
    order. Of what is `settled`, the place's record tells without reading it whether it is as it was; images of these
    are not looked into, and noted in `spared`.
    """

    store: Store
    listing: Sequence[File]
    depth: Depth
    each: Each
    near: bool
    request: Request = field(default_factory=Request)
    settled: Set[str] = frozenset()
    spared: set[str] = field(default_factory=set)

    async def see(self, file: File, *, digest: bool = False) -> Seen:
        """See `image_loading.see`."""
        if file.size and file.path in self.settled:
            self.spared.add(file.path)
            return Seen(digest=file.digest)
        return await see(self.store, file, self.depth, near=self.near, digest=digest)

    def reads(self, images: Iterable[File]) -> Traffic:
        """What `see` would read of images."""
        left = []
        for file in images:
            (self.spared.add(file.path) if file.path in self.settled else left.append(file))
        return reads_seen(left, self.depth, self.near)

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
