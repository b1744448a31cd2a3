"""Episodes of frames in numbers: by game, and by how long they are."""

from __future__ import annotations

import numpy as np

from visprep.formats.episodes import find
from visprep.looking import Looking
from visprep.statistics import histograms
from visprep.statistics.counted import Counted
from visprep.statistics.plain import classes_of, splits_of


def count(look: Looking) -> Counted:
    """The episodes of a place, each with one frame at least."""
    found = [one for one in find(look.listing, look.place_name) if one.frames]
    lengths = np.array([len(one.frames) for one in found], np.int64)
    return Counted(
        "episodes",
        len(found),
        sorted((file for one in found for file in one.frames), key=lambda file: file.sort_key),
        splits=splits_of([one.key for one in found]),
        classes=classes_of([one.game or "" for one in found]),
        histograms=[histograms.frames(lengths)],
    )
