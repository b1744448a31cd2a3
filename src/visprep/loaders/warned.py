"""What datasets warn of: the data can be used, and is not all that it should be."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

#: Cases that a warning names one by one.
_NAMED = 20
#: What was told of in this process, and needs no telling when the same place is looked through again.
_told: set[str] = set()
_HERE = str(Path(__file__).parent)


class DatasetWarning(UserWarning):
    """Something of the data of a dataset is missing, doubtful or repeated; the dataset works without it."""


class LookAheadLost(UserWarning):
    """Batches are not fetched before they are asked for; all else is as it should be."""


class Doubts:
    """Cases of one kind that are warned of together: the first twenty by name, the others counted."""

    def __init__(self, what: str) -> None:
        self._what, self.count = what, 0
        self.words: list[str] = []

    def add(self, words: Callable[[A, B], str], first: A, second: B) -> None:
        """One more case; `words` is called with the rest for what the warning says of it, should it be named."""
        self.count += 1
        if self.count <= _NAMED:
            self.words.append(words(first, second))

    def tell(self) -> None:
        """Warn, if there was any."""
        if self.count > _NAMED:
            self.words.append(f"and {self.count - _NAMED:,} more {self._what}: `visprep verify` of the place names all")
        fresh = [words for words in self.words if words not in _told]
        _told.update(fresh)
        if fresh:
            warn("\n".join(fresh))


def warn(words: str, kind: type[UserWarning] = DatasetWarning) -> None:
    """A warning, shown at the line that called visprep."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(words, kind, stacklevel=level)
