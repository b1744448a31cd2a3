"""What counting the records of one format gives; the verb adds what is the same for all formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from visprep.manifest import File
from visprep.statistics import ClassStats, Histogram, SplitStats
from visprep.statistics.histograms import Ints


def no_sizes() -> Ints:
    """No widths and heights."""
    return np.empty((0, 2), np.int64)


@dataclass(slots=True)
class Counted:
    """The records of a place; names as in `Stats`.

    `pictures` are the files of images, each once. `sizes` are widths and heights of images, in pixels, as `known_from`
    tells them; none where only the pictures do. `texts` are prompts or captions, as `texts_are` says.
    """

    unit: str
    records: int
    pictures: Sequence[File] = ()
    absent: int = 0
    incomplete: int | None = None
    annotations: int | None = None
    empty: int | None = None
    splits: Sequence[SplitStats] = ()
    classes: Sequence[ClassStats] = ()
    histograms: list[Histogram] = field(default_factory=list)
    licenses: Mapping[str, int] = field(default_factory=dict)
    sizes: Ints = field(default_factory=no_sizes)
    known_from: str = "annotations"
    texts: Sequence[str] = ()
    texts_are: str = "prompts"
    notes: list[str] = field(default_factory=list)


def by_frequency(classes: Sequence[ClassStats]) -> tuple[ClassStats, ...]:
    """The most frequent first: by annotations where there are such, else by records."""
    return tuple(sorted(classes, key=lambda one: (-(one.annotations or 0), -one.records, one.name)))
