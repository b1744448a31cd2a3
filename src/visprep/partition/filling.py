"""Units that weigh something, poured into bins of a given room, without a look at classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from visprep.partition.parts import largest_remainder
from visprep.partition.population import Ints

#: Units of one weight from which on their bins are counted out at once.
MANY = 50

Floats = npt.NDArray[np.float64]
#: What it costs to move each unit of the first bin: asked with the bin of each unit, and the two bins.
Moved = Callable[[Ints, int, int], Floats]
#: By how much an exchange between two bins brings them nearer, and the units: one to move, or two to exchange.
_Found = tuple[int, list[int]]


def filled(weights: Ints, room: Ints) -> Ints:
    """The bin of each unit, in proportion to the room, heavy units and light ones alike.

    Bins are filled to the last record when units of one record make up for what heavier ones leave.
    """
    found = np.zeros(len(weights), np.int64)
    left = room.astype(np.int64).copy()
    pace = _Pace(left)
    for units in by_weight(weights):
        weight = int(weights[units[0]])
        if len(units) < MANY and weight > 1:
            for unit in units.tolist():
                found[unit] = pace.place(weight)
        else:
            found[units] = np.repeat(np.arange(len(room)), quotas(left, len(units)))
            pace.took(np.bincount(found[units], minlength=len(room)) * weight)
    return evened(found, weights, room)


def by_weight(weights: Ints) -> Iterator[Ints]:
    """The numbers of units of equal weight, the heaviest first, each in their order."""
    order = np.argsort(-weights, kind="stable")
    edges = np.flatnonzero(np.diff(weights[order])) + 1
    return iter(np.split(order, edges)) if len(order) else iter(())


def quotas(room: Ints, count: int) -> Ints:
    """So many units over bins, in proportion to what room they have left."""
    rest = np.maximum(room, 0).tolist()
    weights = [Fraction(one) for one in rest] if any(rest) else [Fraction(1)] * len(rest)
    return np.array(largest_remainder(weights, count), np.int64)


class _Pace:
    """Units one by one, each to the bin that is furthest behind its share of all that came until now."""

    def __init__(self, left: Ints) -> None:
        self.left = left
        self.shares = (left / max(1, int(left.sum()))).tolist()
        self.behind = [0.0] * len(left)

    def place(self, weight: int) -> int:
        self.behind = [behind + share * weight for behind, share in zip(self.behind, self.shares, strict=True)]
        fits = [at for at, room in enumerate(self.left.tolist()) if room >= weight]
        among = fits or [int(self.left.argmax())]
        best = max(among, key=lambda at: self.behind[at])
        self.behind[best] -= weight
        self.left[best] -= weight
        return best

    def took(self, weights: Ints) -> None:
        self.left -= weights


def evened(found: Ints, weights: Ints, room: Ints, moved: Moved | None = None) -> Ints:
    """The same with units moved and exchanged between bins until each is full, or no exchange brings it nearer.

    `moved` tells of each unit what it costs to move it from one bin to another, to choose between units of one weight;
    that depends on nothing but what is in these two.
    """
    found = found.copy()
    over = np.bincount(found, weights=weights, minlength=len(room)).astype(np.int64) - room
    known: dict[tuple[int, int], _Found] = {}
    while exchange := _exchange(found, weights, over, moved, known):
        giver, taker, units = exchange
        known = {pair: one for pair, one in known.items() if not {giver, taker}.intersection(pair)}
        for unit in units:
            source = int(found[unit])
            target = taker if source == giver else giver
            found[unit] = target
            over[source] -= weights[unit]
            over[target] += weights[unit]
    return found


def _exchange(
    found: Ints, weights: Ints, over: Ints, moved: Moved | None, known: dict[tuple[int, int], _Found]
) -> tuple[int, int, list[int]] | None:
    """A bin that has too much, one that has too little, and the unit to move, or the two to exchange.

    `known` is what was found of pairs of bins in which nothing changed since.
    """
    best, nearest = None, 0
    for giver in np.flatnonzero(over > 0).tolist():
        for taker in np.flatnonzero(over < 0).tolist():
            pair = giver, taker
            if pair not in known:
                known[pair] = _between(found, weights, over, moved, pair)
            if known[pair][0] > nearest:
                nearest, units = known[pair]
                best = giver, taker, units
    return best


def _between(found: Ints, weights: Ints, over: Ints, moved: Moved | None, pair: tuple[int, int]) -> _Found:
    """By how much the best exchange from the first to the second brings them nearer, and its units."""
    giver, taker = pair
    give, ours = _cheapest(np.flatnonzero(found == giver), weights, moved and moved(found, giver, taker))
    take, theirs = _cheapest(np.flatnonzero(found == taker), weights, moved and moved(found, taker, giver))
    gain = give[:, None] - np.append(0, take)
    # An exchange helps as long as it takes less than twice what is to be evened out.
    enough = 2 * min(int(over[giver]), -int(over[taker]))
    nearer = np.where((gain > 0) & (gain < enough), np.minimum(gain, enough - gain), 0)
    if not nearer.size:
        return 0, []
    row, column = np.unravel_index(int(nearer.argmax()), nearer.shape)
    return int(nearer[row, column]), [int(ours[row]), *([int(theirs[column - 1])] if column else [])]


def _cheapest(units: Ints, weights: Ints, costs: Floats | None) -> tuple[Ints, Ints]:
    """The weights of some units, and of each weight the unit that costs least to move."""
    if costs is not None:
        units = units[np.argsort(costs[units], kind="stable")]
    weighing, at = np.unique(weights[units], return_index=True)
    return weighing, units[at]
