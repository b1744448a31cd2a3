"""Units that change places until each class is near enough to its share in every bin."""

from __future__ import annotations

import itertools

import numpy as np

from visprep.partition.filling import evened
from visprep.partition.population import Ints, Mask
from visprep.partition.targets import Floats, Targets
from visprep.partition.units import Units

#: How far a class may be from its share before it costs much, of all its records; at least half a record, or one.
_NEAR = 0.005
#: What that costs, for each percentage point squared, and what a class costs that a bin lacks.
_FAR, _LACKING = 1000.0, 10.0
_ROUNDS = 100
#: Exchanges that are tried one by one when many at once make nothing better.
_TRIED = 50
#: A record of a class that has fewer than these costs no more than one of a class that has as many.
_COMMON = 200
#: One with fewer is near its share wherever it is, as long as no bin lacks it.
_RARE = 20


def exchanged(units: Units, targets: Targets, found: Ints) -> Ints:
    """The same, with bins filled up as far as units allow, and then units of equal weight exchanged between them."""
    return _Search(units, targets, found).run()


class _Search:
    """A search downhill: every step costs less than the one before."""

    def __init__(self, units: Units, targets: Targets, found: Ints) -> None:
        self.units, self.targets, self.found = units, targets, found
        self.shape = targets.wanted.shape
        self.counts = np.maximum(targets.counts, 1)[:, None].astype(np.float64)
        least = np.select([self.counts >= _COMMON, self.counts >= _RARE], [0.5, 1.0], np.inf)
        self.near = np.maximum(_NEAR * self.counts, least)
        self._count(found)
        #: How often each bin has changed, and of pairs how often each had when nothing was found for them
        self.changes = [0] * self.shape[1]
        self.tried: dict[tuple[int, int], tuple[int, int]] = {}

    def run(self) -> Ints:
        self.found = evened(self.found, self.units.weights, self.units.room, self._moved)
        self._count(self.found)
        bins = np.flatnonzero(np.bincount(self.found, minlength=self.shape[1])).tolist()
        for _ in range(_ROUNDS):
            away, lacking = self._away(self.held, slice(None))
            wrong = np.flatnonzero(((away > self.near) | lacking).any(axis=0)).tolist()
            pairs = [(one, other) for one, other in itertools.combinations(bins, 2) if one in wrong or other in wrong]
            made = [self._exchange(one, other) for one, other in pairs if not self._in_vain(one, other)]
            if not any(made):
                break
        return self.found

    def _in_vain(self, one: int, other: int) -> bool:
        """Whether nothing was found to exchange between two bins, and neither has changed since."""
        return self.tried.get((one, other)) == (self.changes[one], self.changes[other])

    def _count(self, found: Ints) -> None:
        self.held = self.targets.held + self.units.tally(np.arange(len(found)), found, self.shape)

    def _moved(self, found: Ints, giver: int, taker: int) -> Floats:
        """Of each unit of the giver what it costs to move it; of others nothing is said."""
        both = np.flatnonzero((found == giver) | (found == taker))
        self.held = self.targets.held + self.units.tally(both, found[both], self.shape)  # true of these two bins
        some = both[found[both] == giver]
        costs = np.zeros(len(found))
        costs[some] = self._summed(some, self._gains(giver, taker))[0]
        return costs

    def _away(self, held: Ints, bins: slice | list[int]) -> tuple[Floats, Mask]:
        """How far each class is from its share in some bins, and whether one lacks it."""
        return np.abs(held - self.targets.wanted[:, bins]), self.targets.present[:, bins] & (held == 0)

    def _costs(self, held: Ints, bins: list[int]) -> Floats:
        away, lacking = self._away(held, bins)
        far = np.maximum(away - self.near, 0) * 100 / np.maximum(self.counts, _COMMON)
        costs: Floats = away**2 / self.counts + _FAR * far**2 + _LACKING * lacking
        return costs

    def _gains(self, giver: int, taker: int) -> Floats:
        """Of each class what it costs to move one record of it; less than nothing where that is for the better."""
        bins = [giver, taker]
        held = self.held[:, bins]
        gains: Floats = (self._costs(held + np.array([-1, 1]), bins) - self._costs(held, bins)).sum(axis=1)
        return gains

    def _summed(self, some: Ints, gains: Floats) -> tuple[Floats, Ints]:
        """What it costs to move each of some units, and the class for whose sake one would; one too high for none."""
        at, whose = self.units.of(some)
        each = gains[self.units.labels[at]] * self.units.times[at]
        least = np.zeros(len(some))
        np.minimum.at(least, whose, each)
        main = np.full(len(some), self.shape[0], np.int64)
        hit = np.flatnonzero((each == least[whose]) & (each < 0))[::-1]
        main[whose[hit]] = self.units.labels[at[hit]]
        return np.bincount(whose, weights=each, minlength=len(some)).astype(np.float64), main

    def _candidates(self, giver: int, taker: int) -> tuple[Ints, Floats]:
        """Units to move, the best first, and what each costs: of one class no more than it is away from its share."""
        some = np.flatnonzero(self.found == giver)
        costs, main = self._summed(some, self._gains(giver, taker))
        order = np.argsort(costs, kind="stable")
        away = np.abs(self.held - self.targets.wanted)[:, [giver, taker]].max(axis=1)
        most = np.append(np.maximum(np.ceil(away), 1), np.inf)
        kept = order[_rank(main[order]) < most[main[order]]]
        return some[kept], costs[kept]

    def _exchange(self, one: int, other: int) -> bool:
        """Exchange units of equal weight between two bins: as many at once as make it better. Whether any did."""
        (ours, our_costs), (theirs, their_costs) = self._candidates(one, other), self._candidates(other, one)
        weights = self.units.weights
        first, second = (weights[units] * len(weights) + _rank(weights[units]) for units in (ours, theirs))
        _, left, right = np.intersect1d(first, second, assume_unique=True, return_indices=True)
        costs = our_costs[left] + their_costs[right]
        order = np.argsort(costs, kind="stable")[: int(np.count_nonzero(costs < -1e-9))]
        ours, theirs, bins = ours[left[order]], theirs[right[order]], [one, other]
        cost, count, chosen = self._cost(bins), len(order), 0
        while count:
            if (with_these := self._cost(bins, ours[:count], theirs[:count])) < cost - 1e-9:
                cost, chosen = with_these, count
            count //= 2
        taken = np.arange(chosen) if chosen else self._one_by_one(ours[:_TRIED], theirs[:_TRIED], bins)
        ours, theirs = ours[taken], theirs[taken]
        self.held[:, bins] += self._change(ours, theirs)
        self.found[ours], self.found[theirs] = other, one
        if not len(taken):
            self.tried[one, other] = self.changes[one], self.changes[other]
            return False
        self.changes[one] += 1
        self.changes[other] += 1
        return True

    def _one_by_one(self, ours: Ints, theirs: Ints, bins: list[int]) -> Ints:
        """Which exchanges make it better, each after those before it."""
        taken: list[int] = []
        cost = self._cost(bins)
        for at in range(len(ours)):
            these = [*taken, at]
            if (with_this := self._cost(bins, ours[these], theirs[these])) < cost - 1e-9:
                cost, taken = with_this, these
        return np.array(taken, np.int64)

    def _cost(self, bins: list[int], ours: Ints | None = None, theirs: Ints | None = None) -> float:
        """What two bins cost, were units exchanged."""
        held = self.held[:, bins]
        if ours is not None and theirs is not None:
            held = held + self._change(ours, theirs)
        # One after another: numpy's own sum may add in another order on another machine.
        return float(self._costs(held, bins).cumsum()[-1])

    def _change(self, ours: Ints, theirs: Ints) -> Ints:
        """What two bins have more of each class when units change places between them."""
        bins = np.repeat([1, 0], [len(ours), len(theirs)])
        gained = self.units.tally(np.concatenate([ours, theirs]), bins, (self.shape[0], 2))
        return gained - gained[:, ::-1]


def _rank(values: Ints) -> Ints:
    """Of each value how often it stands before."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    ranks = np.empty(len(values), np.int64)
    ranks[order] = np.arange(len(values)) - np.repeat(new, np.diff(np.append(new, len(values))))
    return ranks
