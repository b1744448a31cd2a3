"""Which records that are the same are on different sides: by number, with the strictest kind of sameness first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

Value = Hashable | None
#: The family and the side of a record, see `apart`; a side has one family.
Home = tuple[str | None, int]


def apart(one: Home, other: Home) -> bool:
    """Whether records of the two shall share nothing: of different sides, not of different families; None is of all."""
    return one[1] != other[1] and (one[0] == other[0] or one[0] is None or other[0] is None)


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
    told: set[tuple[int, Home]] = set()
    for kind, by in kinds.items():
        looks = by if isinstance(by, Looks) else None
        nearest = _Nearest(homes, looks) if looks else None
        for there in _groups(homes, looks.values if looks else by):  # type: ignore[arg-type]
            for second, earlier in _across(there):
                if (second, earlier) in told:
                    continue
                told.add((second, earlier))
                near = nearest.of(second, earlier) if nearest else (0.0, there[earlier][0])
                distance, first = near or (None, there[earlier][0])
                yield Crossing(first, second, kind, distance)


def _across(there: Mapping[Home, Sequence[int]]) -> Iterator[tuple[int, Home]]:
    """Each record with each home before its own from which it is apart."""
    order = sorted(there, key=lambda home: home[1])
    for at, home in enumerate(order):
        before = [earlier for earlier in order[:at] if apart(earlier, home)]
        for second in there[home]:
            for earlier in before:
                yield second, earlier


class _Nearest:
    """Finds the record on a side that looks most like another one."""

    def __init__(self, homes: Sequence[Home], looks: Looks) -> None:
        self._homes, self._copies = homes, looks.copies
        self._links: dict[Value, list[tuple[float, Value]]] = defaultdict(list)
        self._first: dict[tuple[Value, Home], int] = {}
        self._found: dict[tuple[Value, Home], tuple[float, int] | None] = {}
        for first, second, distance in looks.links:
            one, other = looks.copies[first], looks.copies[second]
            self._links[one].append((distance, other))
            self._links[other].append((distance, one))
        for number, (home, copy) in enumerate(zip(homes, looks.copies, strict=True)):
            self._first.setdefault((copy, home), number)

    def of(self, number: int, home: Home) -> tuple[float, int] | None:
        """The distance of the nearest record there, and its number; None when it is linked to none of them."""
        asked = self._copies[number], home
        if asked not in self._found:  # copies are many, and what they are linked to may be many too
            linked = self._links.get(asked[0], ())
            there = ((distance, self._first[copy, home]) for distance, copy in linked if (copy, home) in self._first)
            self._found[asked] = min(there, default=None)
        return self._found[asked]


def _groups(homes: Sequence[Home], values: Sequence[Value]) -> Iterator[dict[Home, list[int]]]:
    """The records of each value that is on more than one side, by home."""
    first: dict[Value, Home] = {}
    wide: dict[Value, dict[Home, list[int]]] = {}
    for home, value in zip(homes, values, strict=True):
        if value is not None and first.setdefault(value, home) != home:
            wide[value] = defaultdict(list)
    for number, (home, value) in enumerate(zip(homes, values, strict=True)):
        if (group := wide.get(value)) is not None:
            group[home].append(number)
    yield from wide.values()
