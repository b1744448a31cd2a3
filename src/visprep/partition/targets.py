"""How many records of each class each bin should have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.partition.population import Ints, Mask

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """Tables with a row a class, the rarest first, and a column a bin.

    `held` is what is there already, `counts` what there is of each class in all, `wanted` what there should be.
    `present` are classes that should be in a bin, for they have as many records as there are bins or more. `turns`
    has a number a class, and one for records without any, that only the seed and the class's name decide.
    """

    held: Ints
    counts: Ints
    wanted: Floats
    present: Mask
    turns: npt.NDArray[np.uint64]
