"""Which entry of a full cache goes for another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from visprep.loaders.cache_index import Table
from visprep.loaders.next_uses import NEVER

PolicyName = Literal["lru", "static", "ordered"]
#: The slot of the entry that goes for one with this next use; None when that one is not to be kept.
Policy = Callable[[Table, int], int | None]


def lru(table: Table, due: int) -> int | None:
    """The one that was not used for the longest time."""
    return int(table.used_array.argmin())


def static(table: Table, due: int) -> int | None:
    """None goes: what came first stays."""
    return None


def ordered(table: Table, due: int) -> int | None:
    """The one that is needed last, unless the new one is needed later still."""
    slot = int(table.due_array.argmax())
    return slot if due < min(table.due[slot], NEVER) else None


POLICIES: dict[str, Policy] = {"lru": lru, "static": static, "ordered": ordered}
