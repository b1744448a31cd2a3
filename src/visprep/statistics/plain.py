"""Plain images in numbers: the directories that they lie in are their classes, or their parts."""

from __future__ import annotations

from collections import Counter

from visprep.formats.directories import part_of, set_aside, without_part
from visprep.looking import Looking
from visprep.manifest import File
from visprep.rules.image_files import is_image
from visprep.statistics import ClassStats, SplitStats
from visprep.statistics.counted import Counted, by_frequency


def is_picture(file: File) -> bool:
    """Whether a file is an image by its name, and not set aside."""
    return is_image(file.path) and not set_aside(file.path)


def count(look: Looking) -> Counted:
    """The images of a place that is in no format."""
    pictures = [file for file in look.listing if is_picture(file)]
    return Counted(
        "images",
        len(pictures),
        pictures,
        splits=splits_of([file.path for file in pictures]),
        classes=classes_of([without_part(file.path, file.path).rpartition("/")[0] for file in pictures]),
    )


def splits_of(keys: list[str]) -> list[SplitStats]:
    """The parts that records are in, by the directory that their key begins with; nothing where that tells none."""
    counts = Counter(part_of(key) or "" for key in keys)
    return [SplitStats(name, often) for name, often in sorted(counts.items())] if set(counts) - {""} else []


def classes_of(labels: list[str]) -> tuple[ClassStats, ...]:
    """How many records have each label; '' is none."""
    counts = Counter(filter(None, labels))
    return by_frequency([ClassStats(name, often) for name, often in counts.items()])
