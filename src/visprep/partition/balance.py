"""What an assignment is like: the sizes of its parts, and how evenly the classes are spread over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.partition.assigning import Assignment
from visprep.partition.parts import LEFT_OUT, Parts
from visprep.partition.population import Ints, Population

Floats = npt.NDArray[np.float64]

#: Records from which on a class that is missing from a part is told.
TOLD = 3


@dataclass(frozen=True, slots=True)
class Absent:
    """A class that a part lacks: how many records have it in all, and whether there are at least as many as parts."""

    label: str
    part: str
    count: int
    enough: bool


@dataclass(frozen=True)
class Balance:
    """Parts and classes, as asked and as reached.

    `records` are all but those of parts that stay; `shares` are the asked ones of these, `asked` how many records that
    is, `reached` how many each part has. `per_class` is a row a class, a column a part, of records that have it,
    `counts` how many have it in all (those of parts that stay apart). `errors` are percentage points: of the class's
    records, those in the part, less the share that was asked for; 0 for parts that stay and classes nobody has.
    """

    names: tuple[str, ...]
    records: int
    left_out: int
    shares: tuple[float, ...]
    asked: Ints
    reached: Ints
    classes: tuple[str, ...]
    counts: Ints
    per_class: Ints
    errors: Floats
    absent: tuple[Absent, ...]

    def worst(self, least: int = 1) -> float:
        """The largest error of a class that at least so many records have, in percentage points; 0 without one."""
        errors = np.abs(self.errors[self.counts >= least])
        return float(errors.max()) if errors.size else 0.0


def measure(population: Population, parts: Parts, assignment: Assignment) -> Balance:
    """Hold an assignment against what was asked for.

    `absent` tells of each class of 3 or more records the parts that were to have some records and have none of it.
    """
    staying = np.array(parts.staying)
    where = assignment.parts
    reached = np.bincount(where[where != LEFT_OUT], minlength=len(staying)).astype(np.int64)
    records = len(population) - int(reached[staying].sum())
    asked = np.array(parts.wanted(records), np.int64)
    shares = np.array([float(share) for share in parts.shares(records)])
    table = np.zeros((len(population.classes), len(staying) + 1), np.int64)
    owners, labels = population.having.T
    np.add.at(table, (labels, where[owners]), 1)  # LEFT_OUT, which is -1, is the last column
    per_class = table[:, :-1]
    counts = table.sum(axis=1) - per_class[:, staying].sum(axis=1)
    errors = 100 * (per_class / np.maximum(counts, 1)[:, None] - shares)
    errors[:, staying] = 0
    errors[counts == 0] = 0
    drawn = shares > 0
    lacking = (per_class == 0) & drawn & (counts >= TOLD)[:, None]
    absent = tuple(
        Absent(population.classes[row], parts.names[column], int(counts[row]), bool(counts[row] >= drawn.sum()))
        for row, column in np.argwhere(lacking).tolist()
    )
    left = int(np.count_nonzero(where == LEFT_OUT))
    return Balance(
        parts.names,
        records,
        left,
        tuple(shares.tolist()),
        asked,
        reached,
        population.classes,
        counts,
        per_class,
        errors,
        absent,
    )
