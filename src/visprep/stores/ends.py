"""Two stores on their way to other processes, each of which keeps them for as long as the same work goes on."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from visprep.stores import Store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore


@dataclass(frozen=True, slots=True)
class Ends:
    """Where files come from and where they go, to be pickled.

    What a process finds out about a store (connections, what is in an archive, which version is published) is kept
    there from one slice to the next.
    """

    origin: Store
    target: Store
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    def here(self) -> Ends:
        """The same, with what this process knows of the two already."""
        global _latest
        if _latest is None or _latest.number != self.number:
            for store in (self.origin, self.target):
                _look_up(store)
            _latest = self
        return _latest


_latest: Ends | None = None


def _look_up(store: Store) -> None:
    """Find out what takes a look at the whole place, before many files are asked for at once."""
    if isinstance(store, LocalStore):
        return
    if isinstance(store, ArchiveStore):
        from visprep.stores.tar import TarStore

        if isinstance(store, TarStore):
            store.recall()
        store.members()
    elif store.place.startswith("s3://"):
        from visprep.stores.published import resolve

        resolve(store)
