"""Parts of a split that are lists of names, in numbers: what split.json says of them."""

from __future__ import annotations

from visprep import split_file, wire
from visprep.looking import Looking
from visprep.split_file import SPLIT
from visprep.statistics import ClassStats, SplitStats
from visprep.statistics.counted import Counted, by_frequency

#: What the records of a split are called, by its kind.
_UNITS = {"tasks": "tasks", "vton": "triplets", "frames": "episodes"}


def count(look: Looking) -> Counted:
    """The parts of a split; BadRecord when split.json is damaged."""
    split = split_file.load(wire.wait(look.store.read(SPLIT)), SPLIT)
    return Counted(
        _UNITS.get(split.kind, "images"),
        sum(part.records for part in split.parts),
        splits=[SplitStats(part.name, part.records) for part in split.parts],
        classes=by_frequency([ClassStats(one.name, one.records) for one in split.classes]),
    )
