"""Parts of exact sizes: each group is a unit that weighs as many records as it has, and units fill the parts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from visprep.partition.filling import filled
from visprep.partition.parts import LEFT_OUT, Parts, largest_remainder
from visprep.partition.population import Ints, Mask, Population
from visprep.partition.stable import hashes
from visprep.partition.stratified import spread
from visprep.partition.targets import Targets
from visprep.partition.units import Units


def exactly(population: Population, parts: Parts, *, seed: int, stratify: bool, placed: Ints, homes: Ints) -> Ints:
    """The part of each group that has no home yet, by largest remainder; LEFT_OUT for groups that are not drawn.

    UsageError for counts of more records than there are.
    """
    draw = _Draw.of(population, parts, seed, placed, homes)
    columns = _stratified(population, draw, seed) if stratify else filled(draw.weights, draw.needs)
    found = np.full(len(population.group_keys), LEFT_OUT, np.int64)
    found[draw.groups] = np.where(columns == len(parts.parts), LEFT_OUT, columns)
    return found


@dataclass(frozen=True)
class _Draw:
    """What is to be drawn: groups in an order that only their keys and the seed decide, and room for them.

    `needs` is how many records each part still takes, and last how many are left out.
    """

    groups: Ints
    weights: Ints
    needs: Ints
    wanted: Ints
    staying: Mask
    records: int
    before: Ints

    @classmethod
    def of(cls, population: Population, parts: Parts, seed: int, placed: Ints, homes: Ints) -> _Draw:
        staying = np.array(parts.staying)
        # What is in its part for good: what was placed, and what goes with it.
        before = np.where(placed == LEFT_OUT, homes[population.groups], placed)
        held = np.bincount(before[before != LEFT_OUT], minlength=len(staying)).astype(np.int64)
        records = len(population) - int(held[staying].sum())
        weights = np.bincount(population.groups[before == LEFT_OUT], minlength=len(population.group_keys))
        free = _ordered(population, np.flatnonzero(weights), seed)
        wanted = np.array(parts.wanted(records), np.int64)
        needs = _needs(wanted - np.where(staying, 0, held), int(weights.sum()))
        needs[:-1][staying] = 0
        return cls(free, weights[free].astype(np.int64), needs, wanted, staying, records, before)


def _stratified(population: Population, draw: _Draw, seed: int) -> Ints:
    """Classes are numbered from the rarest on, those of equal count by a hash of their names."""
    classes, bins = len(population.classes), len(draw.needs)
    records, labels = population.having.T
    inside = draw.before[records] != LEFT_OUT
    held = np.zeros((classes, bins), np.int64)
    np.add.at(held, (labels[inside], draw.before[records[inside]]), 1)
    held[:, :-1][:, draw.staying] = 0
    counts = held.sum(axis=1) + np.bincount(labels[~inside], minlength=classes)
    turns = hashes(population.classes, seed)
    order = np.array(sorted(range(classes), key=lambda at: (counts[at], turns[at], population.classes[at])), np.int64)
    ranks = np.empty(classes, np.int64)
    ranks[order] = np.arange(classes)

    places = np.full(len(population.group_keys), -1, np.int64)
    places[draw.groups] = np.arange(len(draw.groups))
    owners = places[population.groups[records[~inside]]]
    codes, times = np.unique(owners * max(classes, 1) + ranks[labels[~inside]], return_counts=True)
    units = Units(draw.weights, draw.needs, *np.divmod(codes, max(classes, 1)), times)
    shares = np.append(draw.wanted, max(0, draw.records - draw.wanted.sum())) / max(draw.records, 1)
    drawn = np.append(draw.wanted > 0, False)
    counts = counts[order]
    present = (counts >= drawn.sum())[:, None] & drawn
    goals = Targets(held[order], counts, counts[:, None] * shares, present, np.append(turns[order], hashes([""], seed)))
    return spread(units, goals)


def _ordered(population: Population, groups: Ints, seed: int) -> Ints:
    """Groups by the hash of their key; of equal ones (a field's value may be a record's key) by their records."""
    order = hashes((population.group_keys[group] for group in groups.tolist()), seed)
    found = groups[np.argsort(order, kind="stable")]
    ordered = np.sort(order)
    if (ordered[1:] == ordered[:-1]).any():
        smallest: dict[int, str] = {}
        for group, key in zip(population.groups.tolist(), population.keys, strict=True):
            smallest[group] = min(smallest.get(group, key), key)
        rank = dict(zip(groups.tolist(), order.tolist(), strict=True))
        found = np.array(sorted(groups.tolist(), key=lambda group: (rank[group], smallest[group])), np.int64)
    return found


def _needs(gaps: Ints, new: int) -> Ints:
    """Room for so many new records: what lacks in each part, and the rest left out.

    Where a part has more than its share already, the others lack more than there is, and get of it in proportion.
    """
    lacking = np.maximum(gaps, 0)
    total = int(lacking.sum())
    if total > new:
        lacking = np.array(largest_remainder([Fraction(one) for one in lacking.tolist()], new), np.int64)
    return np.append(lacking, max(0, new - total))
