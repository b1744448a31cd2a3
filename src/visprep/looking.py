"""What the check of a format is given to look at, and what it must tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from visprep.asked import Request
from visprep.findings import Finding
from visprep.manifest import File
from visprep.rules import Depth
from visprep.selection import Scope
from visprep.stores import Store, archive_ending
from visprep.stores.local import LocalStore

#: `each(stage, items, work, unit, jobs)`: the work of every item, in order.
Each = Callable[..., Iterator[Any]]


@dataclass(frozen=True, slots=True)
class Looking:
    """One look at a place: its `listing`, without visprep's own record, and how closely it is looked at.

    `near` says that reading costs no request; `each(stage, items, work, unit, jobs)` gives the work of every item, in
    order.
    """

    store: Store
    listing: Sequence[File]
    depth: Depth
    each: Each
    near: bool
    request: Request = field(default_factory=Request)

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

    def bytes(self, scope: Scope) -> int:
        """The bytes that `findings` would read."""
        ...

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How much is looked at, by kind; after `findings`, what they were made from."""
        ...
