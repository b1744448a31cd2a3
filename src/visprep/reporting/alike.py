"""Which records are the same by their pictures: all of them where they are few and here, else those that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visprep.fingerprints import Kind, Rows
from visprep.page.payload import Pair
from visprep.progress import OnProgress
from visprep.record_duplicates import Recognizable, duplicate_records
from visprep.similar import classes

#: Records whose pictures are all compared, where they are on this machine; pairs that are shown.
FEW, SHOWN = 2_000, 60
_WORDS = {Kind.BYTES: "The same bytes", Kind.PIXELS: "The same pixels", Kind.PERCEPTUAL: "They look alike"}
#: Kinds of records whose pictures are all of one kind: there only copies tell anything.
_DRAWN = ("tasks", "frames")


@dataclass(frozen=True, slots=True)
class Alike:
    """Two records that are the same, by number."""

    first: int
    second: int
    kind: Kind
    distance: float


@dataclass(frozen=True, slots=True)
class Compared:
    """The pairs that were found, and among how many records: those of which a picture could be read."""

    pairs: Sequence[Alike] = ()
    records: int = 0


def of_all(records: Recognizable, count: int, jobs: int | None, progress: OnProgress) -> Compared:
    """Those among all records, as `split --near-duplicates` finds them."""
    found = duplicate_records(records, count, jobs=jobs, progress=progress)
    pairs = [Alike(one.first, one.second, one.kind, one.distance) for one in found.pairs]
    return Compared(pairs, sum(map(bool, found.digests)))


def of_shown(prints: Sequence[tuple[int, Rows]], kind: str) -> Compared:
    """Those among records by fingerprints of their pictures, of which a record may have several; none of episodes."""
    if kind == "frames" or not prints:
        return Compared()
    rows = np.concatenate([row for _, row in prints])
    if kind in _DRAWN:
        rows["there"] &= ~rows["one_color"]
    found = classes(rows, perceptual=kind not in _DRAWN)
    seen: dict[tuple[int, int], Alike] = {}
    for pair in found.pairs:
        one, other = sorted((prints[pair.first][0], prints[pair.second][0]))
        if one != other:
            seen.setdefault((one, other), Alike(one, other, pair.kind, pair.distance))
    return Compared(list(seen.values()), len({number for number, _ in prints}))


def pairs(found: Iterable[Alike], items: Mapping[int, int]) -> tuple[Pair, ...]:
    """The pairs of which both are on the page, copies first, then the nearest."""
    order = list(Kind)
    ordered = sorted(found, key=lambda one: (order.index(one.kind), one.distance, one.first, one.second))
    shown = [one for one in ordered if one.first in items and one.second in items][:SHOWN]
    return tuple(
        Pair(
            items[one.first],
            items[one.second],
            _WORDS[one.kind],
            None if one.kind in (Kind.BYTES, Kind.PIXELS) else round(one.distance, 1),
        )
        for one in shown
    )
