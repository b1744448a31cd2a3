"""Units with classes, spread so that each bin has its share of each class: the rarest class first.

This is iterative stratification (Sechidis et al., 2011), done for all units of a class at once. A unit is drawn with
its rarest class. Units with the same rare classes come one after another and are dealt out in turn, so that what goes
together is spread as evenly as each class alone. `exchanges` mends what is left.
"""

from __future__ import annotations

import numpy as np

from visprep.partition.exchanges import exchanged
from visprep.partition.filling import MANY, by_weight
from visprep.partition.population import Ints
from visprep.partition.targets import Floats, Targets
from visprep.partition.units import Units


def spread(units: Units, targets: Targets) -> Ints:
    """The bin of each unit; bins are full where units of one record make up for what heavier ones leave."""
    drawing = _Drawing(units, targets)
    for alike in by_weight(units.weights):
        drawing.draw(alike)
    return exchanged(units, targets, drawing.found)


class _Drawing:
    """Bins while they are filled."""

    def __init__(self, units: Units, targets: Targets) -> None:
        self.units, self.targets = units, targets
        self.found = np.zeros(len(units.weights), np.int64)
        self.held = targets.held.astype(np.float64)
        self.left = units.room.copy()
        total = max(1, int(self.left.sum()))
        self.pace = self.left / total
        #: How far each bin is behind its pace, in records.
        self.behind = np.zeros(len(self.left))
        lacking = np.maximum(targets.wanted - targets.held, 0)
        sums = lacking.sum(axis=1, keepdims=True)
        #: Of each class where its next record goes, and how many came.
        self.rates = np.where(sums > 0, lacking / np.maximum(sums, 1e-9), self.pace)
        #: Where the labels of each unit begin that more than one record has: the others cannot be spread.
        alone = np.bincount(units.owners[targets.counts[units.labels] < 2], minlength=len(units.weights))
        self.first = units.starts[:-1] + alone
        self.came = np.zeros(len(self.held))
        self.got = np.zeros_like(self.held)

    def draw(self, alike: Ints) -> None:
        """Units of one weight, in their order."""
        weight = int(self.units.weights[alike[0]])
        if weight > 1 and len(alike) < MANY:
            for unit in alike.tolist():
                self._one(unit, weight)
            return
        firsts = np.full((3, len(alike)), len(self.held), np.int64)
        begin, end = self.first[alike], self.units.starts[alike + 1]
        for place, row in enumerate(firsts):
            there = begin + place < end
            row[there] = self.units.labels[begin[there] + place]
        sorted_ = np.lexsort((*firsts[:0:-1], firsts[0]))
        edges = np.flatnonzero(np.diff(firsts[0][sorted_])) + 1
        for some in np.split(sorted_, edges):
            self._many(alike[some], int(firsts[0][some[0]]), weight)

    def _one(self, unit: int, weight: int) -> None:
        """A unit alone: to the bin that is furthest behind in the unit's classes and in size."""
        span = slice(*self.units.starts[unit : unit + 2].tolist())
        labels, times = self.units.labels[span], self.units.times[span][:, None]
        self.came[labels] += times[:, 0]
        ahead = self.got[labels] - self.rates[labels] * self.came[labels][:, None]
        counts = self.targets.counts[labels][:, None]
        self.behind += self.pace * weight
        total = max(1, len(self.found))
        cost = (times * (2 * ahead + times) / counts).sum(axis=0) + weight * (weight - 2 * self.behind) / total
        fits = self.left >= weight
        best = int(np.where(fits, cost, np.inf).argmin()) if fits.any() else int(self.left.argmax())
        self._took(np.array([unit]), np.array([best]), weight)
        self.behind[best] -= weight

    def _many(self, some: Ints, label: int, weight: int) -> None:
        """Units whose rarest class is the same: dealt out in turn, by what each bin lacks of the class."""
        if label < len(self.held):
            lacking = np.maximum(self.targets.wanted[label] - self.held[label], 0)
        else:
            lacking = np.maximum(self.left, 0).astype(np.float64)
        counts = self._quotas(lacking, len(some), weight)
        places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts.tolist() if count])
        turns = np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]
        self._took(some, np.roll(turns, int(self.targets.turns[label] % np.uint64(len(turns)))), weight)
        self.behind += self.pace * len(some) * weight - counts * weight

    def _quotas(self, lacking: Floats, count: int, weight: int) -> Ints:
        """So many units in proportion to what bins lack, none over its room; halves to the bin that is behind."""
        room = np.maximum(self.left // weight, 0)
        if not lacking.any() or (lacking * room).sum() == 0:
            lacking = room.astype(np.float64) if room.any() else self.pace
        found = np.zeros(len(room), np.int64)
        exact = lacking / lacking.sum() * count
        for _ in room:  # each round fills a bin, or is the last
            found = np.minimum(np.floor(exact + 1e-9).astype(np.int64), room)
            free = np.where(found < room, lacking, 0)
            rest = count - int(found.sum())
            if rest < len(room) or not free.any():
                break
            exact = found + free / free.sum() * rest
        behind = np.clip(self.behind / weight, -0.5, 0.5)
        while (rest := count - int(found.sum())) > 0:
            free = found < room
            if not free.any():
                found[int(self.pace.argmax())] += rest
                break
            ranked = np.argsort(-np.where(free, exact - found + behind, -np.inf), kind="stable")
            found[ranked[: min(rest, int(free.sum()))]] += 1
        return found

    def _took(self, some: Ints, bins: Ints, weight: int) -> None:
        self.found[some] = bins
        self.left -= np.bincount(bins, minlength=len(self.left)) * weight
        at, whose = self.units.of(some)
        cells, times = (self.units.labels[at], bins[whose]), self.units.times[at]
        np.add.at(self.held, cells, times)
        if weight > 1:
            np.add.at(self.got, cells, times)
