"""What is spread over bins: units, which are a group of records each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visprep.partition.population import Ints


@dataclass(frozen=True)
class Units:
    """Units with their classes.

    `room` is what each bin still takes. `owners`, `labels` and `times` say how many records of a unit have a class;
    they are sorted by owner, then label, and labels are numbered from the rarest on.
    """

    weights: Ints
    room: Ints
    owners: Ints
    labels: Ints
    times: Ints

    @cached_property
    def starts(self) -> Ints:
        """Where the labels of each unit begin, and where the last ones end."""
        return np.searchsorted(self.owners, np.arange(len(self.weights) + 1)).astype(np.int64)

    def of(self, some: Ints) -> tuple[Ints, Ints]:
        """The places of the labels of some units, and of each the unit's place among them."""
        begin = self.starts[some]
        lengths = self.starts[some + 1] - begin
        ends = np.cumsum(lengths)
        whose = np.repeat(np.arange(len(some)), lengths)
        return (begin - ends + lengths)[whose] + np.arange(len(whose)), whose

    def tally(self, some: Ints, bins: Ints, shape: tuple[int, int]) -> Ints:
        """Records of each class in each bin, of some units that are in these bins."""
        at, whose = self.of(some)
        cells = self.labels[at] * shape[1] + bins[whose]
        counted = np.bincount(cells, weights=self.times[at], minlength=shape[0] * shape[1])
        return counted.astype(np.int64).reshape(shape)
