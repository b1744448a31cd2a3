"""Files that a conversion will make: small ones, and large ones; those that are only named anew are `Renamed`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from visprep.documents import Document
from visprep.renamed import Renamed

__all__ = ["Made", "Planned", "Shard"]


@dataclass(frozen=True, slots=True)
class Made:
    """A small file, and what makes its bytes.

    With `costly` they are made only once: what lies there is believed when an equal command noted its digest.
    """

    path: str
    produce: Callable[[], bytes]
    costly: bool = False


@dataclass(frozen=True, slots=True)
class Shard:
    """A large file, which is written one after the other, and not again when an equal command noted its digest.

    `digest` tells what that of the file would be now, for those who would see whether what it is made of changed.
    `size` is about how many bytes it will have, 0 where that is few.
    """

    path: str
    document: Document
    digest: Callable[[], str] | None = None
    size: int = 0


Planned: TypeAlias = Renamed | Made | Shard
