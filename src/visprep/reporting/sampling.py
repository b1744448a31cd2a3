"""Which records a page shows: those with findings first, then some of every class in every split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def choose(
    names: Sequence[str],
    groups: Sequence[str],
    having: Ints,
    size: int,
    seed: int = 0,
    first: Sequence[Iterable[int]] = (),
) -> tuple[int, ...]:
    """The numbers of at most `size` records, in ascending order; the same for the same records and seed.

    `first` are lists of records that come before all others, each list in its own order: one of each in turn, and no
    more than half of `size` together, unless all records fit. `having` are pairs, record and class. The rest is drawn
    from each class of each group in turn, by a number that the seed and the name of a record make: when records are
    added, most that were drawn are drawn again.
    """
    if len(names) <= size:
        return tuple(range(len(names)))
    chosen = dict.fromkeys(in_turn(first, size // 2))
    for number in _drawn(names, groups, having, seed):
        if len(chosen) >= size:
            break
        chosen.setdefault(number)
    return tuple(sorted(chosen))


def in_turn(lists: Sequence[Iterable[int]], most: int) -> list[int]:
    """One of each list in turn, each number once, until there are `most`."""
    found: dict[int, None] = {}
    waiting = [iter(one) for one in lists]
    while waiting and len(found) < most:
        left = []
        for one in waiting:
            number = next((number for number in one if number not in found), None)
            if number is not None and len(found) < most:
                found[number] = None
                left.append(one)
        waiting = left
    return list(found)


def _drawn(names: Sequence[str], groups: Sequence[str], having: Ints, seed: int) -> Iterable[int]:
    """All records, the first of each class of each group before the second of any."""
    lot = np.fromiter((_lot(name, seed) for name in names), np.uint64, len(names))
    order = {name: number for number, name in enumerate(sorted(set(groups)))}
    group = np.fromiter((order[one] for one in groups), np.int64, len(groups))
    bare = np.setdiff1d(np.arange(len(names)), having[:, 0])
    record = np.concatenate([having[:, 0], bare]).astype(np.int64)
    classes = np.concatenate([having[:, 1] + 1, np.zeros(len(bare), np.int64)])
    stratum = group[record] * (int(classes.max(initial=0)) + 1) + classes
    by_stratum = np.lexsort((record, lot[record], stratum))
    ordered = stratum[by_stratum]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(np.append(starts, len(ordered)))
    turn = np.arange(len(ordered)) - np.repeat(starts, sizes)
    rarest = np.repeat(sizes, sizes)  # of one turn, the class that few have comes first; of as rare ones the lot says
    sequence = by_stratum[np.lexsort((lot[record[by_stratum]], rarest, turn))]
    return dict.fromkeys(record[sequence].tolist())


def _lot(name: str, seed: int) -> int:
    key = f"{seed}\n{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
