"""The door: a population and parts go in, and the part of every record comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visprep.partition.exact import exactly
from visprep.partition.parts import LEFT_OUT, Method, Parts, check_method
from visprep.partition.population import Ints, Mask, Population
from visprep.partition.stable import by_hash


@dataclass(frozen=True)
class Assignment:
    """Of each record the number of its part, or LEFT_OUT.

    `torn` are the groups that lie in more than one part all the same, for records that were placed never move: their
    new records are `tying`. Such a record is where most of its group is of what was placed, in a part that takes new
    ones; where its group was placed only in parts that stay, it is drawn as if it stood without them.
    """

    parts: Ints
    torn: tuple[int, ...]
    tying: Mask


def assign(
    population: Population,
    parts: Parts,
    *,
    method: Method | None = None,
    seed: int = 0,
    stratify: bool = False,
    placed: Ints | None = None,
) -> Assignment:
    """Draw the part of every record: groups whole, the same answer for the same records in any order.

    `placed` has the part of each record that has one already and keeps it, and -1 for new ones. Without a `method` it
    is `parts.method`. `stable` hashes each group's key and never looks at other records, so `stratify` changes nothing
    there. `exact` meets the sizes by largest remainder as far as groups let it; with `stratify` it also spreads each
    class evenly. UsageError for counts with `stable`, and for counts of more records than there are.
    """
    method = Method(method or parts.method)
    check_method(parts, method)
    before = np.full(len(population), LEFT_OUT) if placed is None else np.asarray(placed, np.int64)
    homes = _homes(population, parts, before)
    if method is Method.STABLE:
        drawn = by_hash(population.group_keys, parts, seed)
    else:
        drawn = exactly(population, parts, seed=seed, stratify=stratify, placed=before, homes=homes)
    drawn = np.where(homes == LEFT_OUT, drawn, homes)
    found = np.where(before == LEFT_OUT, drawn[population.groups], before)
    torn = _torn(population, found)
    return Assignment(found, tuple(np.flatnonzero(torn).tolist()), torn[population.groups] & (before == LEFT_OUT))


def _homes(population: Population, parts: Parts, before: Ints) -> Ints:
    """Of each group the part that its new records go to, for its placed ones are there; LEFT_OUT where none is."""
    taking = ~np.array(parts.staying)
    counts = np.zeros((len(population.group_keys), len(taking)), np.int64)
    old = np.flatnonzero(before != LEFT_OUT)
    np.add.at(counts, (population.groups[old], before[old]), 1)
    counts[:, ~taking] = 0
    return np.where(counts.any(axis=1), counts.argmax(axis=1), LEFT_OUT)


def _torn(population: Population, found: Ints) -> Mask:
    """Which groups lie in more than one part."""
    groups = len(population.group_keys)
    inside = found != LEFT_OUT
    lowest = np.full(groups, np.iinfo(np.int64).max)
    highest = np.full(groups, LEFT_OUT, np.int64)
    np.minimum.at(lowest, population.groups[inside], found[inside])
    np.maximum.at(highest, population.groups[inside], found[inside])
    torn: Mask = (highest != LEFT_OUT) & (lowest != highest)
    return torn
