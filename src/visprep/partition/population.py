"""The records that are to be divided, as numbers and names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Groups:
    """Of each record the number of its group, and of each group what it is hashed by."""

    numbers: Ints
    keys: tuple[str, ...]

    @property
    def sizes(self) -> Ints:
        """Records of each group."""
        return np.bincount(self.numbers, minlength=len(self.keys)).astype(np.int64)


@dataclass(frozen=True)
class Population:
    """Records with their classes and groups.

    `keys` are the records' names, unique and the same tomorrow. `having` are unique pairs (record, class), as numbers,
    in a table of two columns, in any order. `groups` is the number of each record's group; `group_keys` are what the
    groups are hashed by.
    """

    keys: tuple[str, ...]
    classes: tuple[str, ...]
    having: Ints
    groups: Ints
    group_keys: tuple[str, ...]

    @classmethod
    def of(
        cls,
        keys: Sequence[str],
        classes: Sequence[str] = (),
        having: Ints | None = None,
        groups: Groups | None = None,
        names: Sequence[str] | None = None,
    ) -> Population:
        """A population; without groups each record stands alone, and is hashed by its name, else by its key."""
        pairs = np.empty((0, 2), np.int64) if having is None else having
        if groups is None:
            return cls(tuple(keys), tuple(classes), pairs, np.arange(len(keys)), tuple(names or keys))
        return cls(tuple(keys), tuple(classes), pairs, groups.numbers, groups.keys)

    def __len__(self) -> int:
        return len(self.keys)
