"""Parts of exact sizes: each group is a unit that weighs as many records as it has, and units fill the parts."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from visprep.partition.filling import filled
from visprep.partition.parts import LEFT_OUT, Parts, largest_remainder
from visprep.partition.population import Ints, Population
from visprep.partition.stable import hashes
from visprep.partition.stratified import Units, spread


def exactly(population: Population, parts: Parts, *, seed: int, stratify: bool, placed: Ints, homes: Ints) -> Ints:
    """The part of each group that has no home yet, by largest remainder; LEFT_OUT for groups that are not drawn.

    UsageError for counts of more records than there are.
    """
    draw = _Draw.of(population, parts, seed, placed, homes)
    columns = spread(_units(population, draw), seed) if stratify else filled(draw.weights, draw.needs)
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
        return cls(free, weights[free].astype(np.int64), needs, records, before)


def _units(population: Population, draw: _Draw) -> Units:
    none = np.empty(0, np.int64)
    held = np.zeros((len(population.classes), len(draw.needs)), np.int64)
    return Units(draw.weights, draw.needs, none, none, none, held)


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
