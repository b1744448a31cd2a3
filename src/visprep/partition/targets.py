"""How many records of each class each bin should have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from visprep.partition.population import Ints, Mask

Floats = npt.NDArray[np.float64]

#: Of the records with common classes, what may give way to rare ones that would be missing from a bin.
_GIVES_WAY = 0.005


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


def targets(
    held: Ints, counts: Ints, shares: Floats, drawn: Mask, commonest: Ints, turns: npt.NDArray[np.uint64]
) -> Targets:
    """Shares of each class; 1 instead of less where a rare class would else be missing, as far as there is room.

    `drawn` are the bins that are to have records, `commonest` the last class of each record (a number too high where
    it has none).
    """
    wanted = counts[:, None] * shares
    present = (counts >= drawn.sum())[:, None] & drawn
    rare = present & (wanted < 1)
    anywhere = rare.any(axis=1)
    others = np.count_nonzero(commonest > np.flatnonzero(anywhere)[-1]) if anywhere.any() else 0
    for bin_ in np.flatnonzero(rare.any(axis=0)).tolist():
        room = int(shares[bin_] * counts[anywhere].sum() + _GIVES_WAY * others)
        rows = np.flatnonzero(rare[:, bin_])
        raised = rows[max(0, len(rows) - room) :]
        wanted[rows, bin_] = 0
        wanted[raised, bin_] = 1
    rest = np.where(rare, 0, wanted)
    spare = np.maximum(counts - np.where(rare, wanted, 0).sum(axis=1), 0)
    scaled = rest * (spare / np.maximum(rest.sum(axis=1), 1e-9))[:, None]
    wanted = np.where(anywhere[:, None] & ~rare, scaled, wanted)
    return Targets(held, counts, wanted, present, turns)
