"""Ids of COCO JSON as columns of numbers: which row has which."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from visprep.formats.coco_json import MISSING

Ints = npt.NDArray[np.int64]


def rows_of(ids: Ints, wanted: Ints) -> Ints:
    """Of each wanted id the row of the first that has it; -1 where none has, and for what is MISSING."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    at = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
    return np.where((ordered[at] == wanted) & (wanted != MISSING), order[at], -1)
