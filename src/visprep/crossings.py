"""Which records that are the same are on different sides: by number, with the strictest kind of sameness first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Value = Hashable | None
#: The family and the side of a record: those of one family that are on different sides are compared.
Home = tuple[str | None, int]


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two records on different sides that are the same by `kind`; `first` is on the earlier side.

    `distance` is that of two pictures that look alike, None where they are the same only through others.
    """

    first: int
    second: int
    kind: str
    distance: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Looks:
    """By looks: the `values` of connected components, and the `links` that connect `copies`, with their distances."""

    values: Sequence[Value]
    copies: Sequence[Value]
    links: Iterable[tuple[int, int, float]]


def crossings(homes: Sequence[Home], kinds: Mapping[str, Sequence[Value] | Looks]) -> Iterator[Crossing]:
    """Each record that is the same as one on an earlier side, once for each such side, by the first kind that says so.

    `kinds` are the values of the records, the strictest kind first; None is the value of none. The work grows with the
    number of records and of what is told, not with the pairs there are.
    """
    told: set[tuple[int, int]] = set()
    for kind, by in kinds.items():
        looks = by if isinstance(by, Looks) else None
        nearest = _Nearest(homes, looks) if looks else None
        for sides in _groups(homes, looks.values if looks else by):  # type: ignore[arg-type]
            for second, earlier in _across(sides):
                if (second, earlier) in told:
                    continue
                told.add((second, earlier))
                near = nearest.of(second, earlier) if nearest else (0.0, sides[earlier][0])
                distance, first = near or (None, sides[earlier][0])
                yield Crossing(first, second, kind, distance)


def _across(sides: Mapping[int, Sequence[int]]) -> Iterator[tuple[int, int]]:
    """Each record with each side before its own."""
    order = sorted(sides)
    for at, side in enumerate(order):
        for second in sides[side]:
            for earlier in order[:at]:
                yield second, earlier


class _Nearest:
    """Finds the record on a side that looks most like another one."""

    def __init__(self, homes: Sequence[Home], looks: Looks) -> None:
        self._homes, self._copies = homes, looks.copies
        self._links: dict[Value, list[tuple[float, Value]]] = defaultdict(list)
        self._first: dict[tuple[Value, Home], int] = {}
        for first, second, distance in looks.links:
            one, other = looks.copies[first], looks.copies[second]
            self._links[one].append((distance, other))
            self._links[other].append((distance, one))
        for number, (home, copy) in enumerate(zip(homes, looks.copies, strict=True)):
            self._first.setdefault((copy, home), number)

    def of(self, number: int, side: int) -> tuple[float, int] | None:
        """The distance of the nearest record there, and its number; None when it is linked to none of them."""
        home = self._homes[number][0], side
        linked = self._links.get(self._copies[number], ())
        there = ((distance, self._first[copy, home]) for distance, copy in linked if (copy, home) in self._first)
        return min(there, default=None)


def _groups(homes: Sequence[Home], values: Sequence[Value]) -> Iterator[dict[int, list[int]]]:
    """The records of each value that is on more than one side of a family, by side."""
    first: dict[tuple[str | None, Value], int] = {}
    wide: dict[tuple[str | None, Value], dict[int, list[int]]] = {}
    for (family, side), value in zip(homes, values, strict=True):
        if value is not None and first.setdefault((family, value), side) != side:
            wide[family, value] = defaultdict(list)
    for number, ((family, side), value) in enumerate(zip(homes, values, strict=True)):
        if (group := wide.get((family, value))) is not None:
            group[side].append(number)
    yield from wide.values()
