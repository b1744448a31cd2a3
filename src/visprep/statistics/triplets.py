"""Triplets of virtual try-on in numbers: by how difficult they are."""

from __future__ import annotations

from collections import Counter

from visprep.formats.directories import part_of, without_part
from visprep.formats.triplets import FOLDERS, Triplet, find
from visprep.looking import Looking
from visprep.statistics.counted import Counted
from visprep.statistics.histograms import tallied
from visprep.statistics.plain import classes_of, splits_of


def count(look: Looking) -> Counted:
    """The triplets of a place, each with one picture at least."""
    found = [one for one in find(look.listing, look.place_name) if one.files]
    pictures = Counter(FOLDERS[folder] for one in found for folder, files in one.pictures.items() if files)
    return Counted(
        "triplets",
        len(found),
        sorted((file for one in found for file in one.files), key=lambda file: file.sort_key),
        incomplete=sum(not one.complete for one in found),
        splits=splits_of([one.key for one in found]),
        classes=classes_of([_label(one) for one in found]),
        histograms=[tallied("triplet-files", "Pictures of triplets", "triplets", pictures)],
    )


def _label(one: Triplet) -> str:
    """How difficult it is, with the directories below: `easy/female`; else its directory, unless that is a part."""
    directory = "" if one.directory == part_of(one.key) else without_part(one.directory, one.key)
    return directory or one.difficulty or ""
