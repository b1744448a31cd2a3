"""What the driver sees of a place, for workers to say whether they see the same."""

from __future__ import annotations

import contextlib
import itertools
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from visprep.errors import PlaceMissing, VisprepError
from visprep.manifest import RECORD_DIR
from visprep.stores import Store

#: Names of a directory that are looked for.
_NAMES = 16
HINT = "keep the place on a disk that all nodes share, or at s3://, with credentials on every node"


@dataclass(frozen=True, slots=True)
class Sight:
    """A place, whether it is there, and some names in it, each with its bytes where it is a file of the data."""

    store: Store
    there: bool
    names: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a worker is asked."""

    sights: Sequence[Sight]


def of(store: Store) -> Sight:
    """What this process sees of a place; of a directory that is not there yet, it sees nothing. Nothing is written."""
    root = _directory(store)
    if root is None:
        return Sight(store, _listed(store))
    try:
        names = [(name, _size(root / name)) for name in _names(root)]
    except OSError:
        return Sight(store, root.exists())
    with contextlib.suppress(OSError):  # what is being done there has just been noted, and may grow
        names += [(f"{RECORD_DIR}/{name}", None) for name in _names(root / RECORD_DIR)]
    return Sight(store, True, tuple(names))


def missed(questions: Sequence[Question]) -> list[str | None]:
    """For each question what this process does not see, in words; None where it sees all."""
    return [next((told for sight in one.sights if (told := _missed(sight))), None) for one in questions]


def _missed(sight: Sight) -> str | None:
    root, place = _directory(sight.store), sight.store.place
    if root is None:
        try:
            there = _listed(sight.store)
        except VisprepError as problem:
            return f"{place}: {problem.message} [{problem.slug}]"
        return None if there or not sight.there else f"{place} is not there"
    if not sight.there:
        return None
    if not root.exists():
        return f"{place} is not there"
    for name, size in sight.names:
        path = root / name
        if not (path.exists() or path.is_symlink()) or (size is not None and _size(path) != size):
            return f"{place} is another directory there: {name} is missing in it, or of another size"
    return None


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in itertools.islice(root.iterdir(), _NAMES))


def _directory(store: Store) -> Path | None:
    root = getattr(store, "root", None)
    return root if isinstance(root, Path) else None


def _listed(store: Store) -> bool:
    try:
        return next(iter(store.list()), None) is not None
    except PlaceMissing:
        return False


def _size(path: Path) -> int | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
