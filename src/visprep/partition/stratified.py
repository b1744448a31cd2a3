"""Units with classes, spread so that each bin has its share of each class."""

from __future__ import annotations

from dataclasses import dataclass

from visprep.partition.filling import filled
from visprep.partition.population import Ints


@dataclass(frozen=True)
class Units:
    """What is to be spread.

    `room` is what each bin still takes. `owners`, `labels` and `times` say how many records of a unit have a class;
    they are sorted by owner, then label. `held` has a row a class and a column a bin: records that are there already.
    `shares` are each bin's of the whole, with what is there already.
    """

    weights: Ints
    room: Ints
    owners: Ints
    labels: Ints
    times: Ints
    held: Ints


def spread(units: Units, seed: int) -> Ints:
    """The bin of each unit."""
    return filled(units.weights, units.room)
