"""Boxes that many small files tell of: collected as they are read, and counted at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from visprep.statistics import ClassStats, Histogram, SplitStats
from visprep.statistics import histograms as bars
from visprep.statistics.counted import by_frequency


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of one image: the class of each, and of those with a box its share of the image, and its pixels."""

    classes: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    areas: tuple[float, ...] = ()


@dataclass(slots=True)
class BoxCounts:
    """What the objects of all images come to; `classes` that are known are told though nothing is of them."""

    per_class: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)
    per_image: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    splits: dict[str, list[int]] = field(default_factory=dict)

    def know(self, classes: Iterable[str]) -> None:
        """Note classes by their names."""
        for name in classes:
            self.per_class[name] += 0

    def add(self, one: Objects, splits: Sequence[str] = ()) -> None:
        """Count an image that is annotated, though with nothing; it is in some splits."""
        self.per_class.update(one.classes)
        self.images.update(set(one.classes))
        self.per_image.append(len(one.classes))
        self.shares += one.shares
        self.areas += one.areas
        for name in splits:
            self.splits.setdefault(name, []).append(len(one.classes))

    @property
    def annotations(self) -> int:
        """How many objects there are."""
        return sum(self.per_image)

    @property
    def empty(self) -> int:
        """How many images have none."""
        return self.per_image.count(0)

    def classes(self) -> tuple[ClassStats, ...]:
        """The classes, the most frequent first."""
        return by_frequency([ClassStats(name, self.images[name], often) for name, often in self.per_class.items()])

    def split(self, name: str, records: int) -> SplitStats:
        """A split of so many records; without annotations, where none of them has any file of them."""
        counts = self.splits.get(name)
        return SplitStats(name, records) if counts is None else SplitStats(name, records, sum(counts), counts.count(0))

    def histograms(self, by: str) -> Iterator[Histogram]:
        """Boxes per image, and their sizes; `by` says what their areas are."""
        if self.per_image:
            yield bars.per_image("boxes-per-image", "Boxes", np.array(self.per_image, np.int64))
        if self.areas:
            yield bars.box_areas(np.array(self.areas), by)
        if self.shares:
            yield bars.box_shares(np.array(self.shares))
