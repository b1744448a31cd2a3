"""Histograms and summaries: where the bars are cut, and how many fall into each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from visprep.statistics import Histogram, SizeStats, TextCount

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Side of the largest small and medium objects, in pixels: cocodataset.org/#detection-eval.
SMALL, MEDIUM = 32, 96
#: Sizes that are told one by one, and kinds of a tally that have a bar of their own.
_COMMON, _BARS = 8, 8

_COUNTS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (1, 2, 3, 4, 5, 10, 20, 50),
    ("0", "1", "2", "3", "4", "5-9", "10-19", "20-49", "50 and more"),
)
_SHARES: tuple[tuple[float, ...], tuple[str, ...]] = (
    (0.001, 0.01, 0.05, 0.2, 0.5),
    ("under 0.1 %", "0.1-1 %", "1-5 %", "5-20 %", "20-50 %", "over 50 %"),
)
_AREAS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (SMALL**2, MEDIUM**2),
    (f"small < {SMALL}x{SMALL}", f"medium < {MEDIUM}x{MEDIUM}", "large"),
)
_ASPECTS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (0.5, 0.8, 1.25, 2),
    ("under 0.5", "0.5-0.8", "0.8-1.25", "1.25-2", "2 and more"),
)
_PIXELS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (0.1, 0.3, 1, 3, 10),
    ("under 0.1", "0.1-0.3", "0.3-1", "1-3", "3-10", "10 and more"),
)
_BRIGHTNESS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (32, 64, 96, 128, 160, 192, 224),
    ("0-31", "32-63", "64-95", "96-127", "128-159", "160-191", "192-223", "224-255"),
)
_LENGTHS: tuple[tuple[float, ...], tuple[str, ...]] = (
    (1, 26, 51, 101, 201, 501, 1001),
    ("0", "1-25", "26-50", "51-100", "101-200", "201-500", "501-1000", "over 1000"),
)
_FRAMES: tuple[tuple[float, ...], tuple[str, ...]] = (
    (2, 10, 30, 100, 300, 1000),
    ("1", "2-9", "10-29", "30-99", "100-299", "300-999", "1000 and more"),
)
_AREA_NOTE = "cut as COCO's evaluation does"


def _cut(
    name: str,
    title: str,
    unit: str,
    values: npt.NDArray[Any],
    bars: tuple[tuple[float, ...], tuple[str, ...]],
    *,
    sampled: bool = False,
    note: str = "",
) -> Histogram:
    """How many values are below the first edge, from it to below the second, and so on."""
    edges, labels = bars
    counts = np.bincount(np.searchsorted(np.array(edges, np.float64), values, "right"), minlength=len(labels))
    return Histogram(name, title, unit, labels, tuple(counts.tolist()), sampled, note)


def tallied(
    name: str, title: str, unit: str, counts: Mapping[str, int], *, sampled: bool = False, most: int = _BARS
) -> Histogram:
    """The most frequent kinds first; those beyond `most` together."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    if len(ordered) > most:
        ordered = [*ordered[: most - 1], ("others", sum(count for _, count in ordered[most - 1 :]))]
    labels, bars = zip(*ordered, strict=True) if ordered else ((), ())
    return Histogram(name, title, unit, labels, bars, sampled)


def per_image(name: str, what: str, counts: Ints) -> Histogram:
    """How many boxes or captions images have."""
    return _cut(name, f"{what} per image", "images", counts, _COUNTS)


def joints(counts: Ints) -> Histogram:
    """Persons by how many of their keypoints are labeled."""
    bars = ((1, 6, 11, 16, 18), ("0", "1-5", "6-10", "11-15", "16-17", "18 and more"))
    return _cut("keypoints", "Labeled keypoints", "annotations", counts, bars)


def box_areas(areas: Floats, by: str) -> Histogram:
    """Small, medium and large objects by their area in pixels; `by` says what that is the area of."""
    return _cut("box-areas", "Box areas as COCO cuts them", "boxes", areas, _AREAS, note=f"{by}, {_AREA_NOTE}")


def box_shares(shares: Floats) -> Histogram:
    """Boxes by how much of their image they cover."""
    return _cut("box-shares", "Share of the image", "boxes", shares, _SHARES)


def of_sizes(sizes: Ints, *, sampled: bool) -> list[Histogram]:
    """Of widths and heights above 0: how wide images are for their height, and how many pixels they have."""
    widths, heights = sizes[:, 0].astype(np.float64), sizes[:, 1].astype(np.float64)
    return [
        _cut("image-aspect", "Width / height", "images", widths / heights, _ASPECTS, sampled=sampled),
        _cut("image-megapixels", "Megapixels", "images", widths * heights / 1e6, _PIXELS, sampled=sampled),
    ]


def brightness(levels: Floats, *, sampled: bool) -> Histogram:
    """Images by their mean luma."""
    return _cut("image-brightness", "Brightness", "images", levels, _BRIGHTNESS, sampled=sampled)


def lengths(unit: str, counts: Ints) -> Histogram:
    """Texts by how many characters they have."""
    return _cut(f"{unit.removesuffix('s')}-lengths", "Characters", unit, counts, _LENGTHS)


def frames(counts: Ints) -> Histogram:
    """Episodes by how many frames they have."""
    return _cut("frames-per-episode", "Frames per episode", "episodes", counts, _FRAMES)


def common(texts: Mapping[str, int], most: int) -> tuple[TextCount, ...]:
    """The most frequent texts."""
    ordered = sorted(texts.items(), key=lambda one: (-one[1], one[0]))
    return tuple(TextCount(text, count) for text, count in ordered[:most])


def size_stats(sizes: Ints, known_from: str) -> SizeStats:
    """The summary of widths and heights, of at least one image; the smallest and largest by their pixels."""
    areas = sizes[:, 0].astype(np.float64) * sizes[:, 1]
    middle = np.sort(sizes, axis=0)[len(sizes) // 2]
    each = Counter(map(tuple, sizes.tolist()))
    return SizeStats(
        known_from,
        len(sizes),
        len(each),
        common({f"{width} x {height}": count for (width, height), count in each.items()}, _COMMON),
        _pair(sizes[int(areas.argmin())]),
        _pair(middle),
        _pair(sizes[int(areas.argmax())]),
    )


def distinct(numbers: Ints) -> Ints:
    """Sorted, and each once: what np.unique gives, which from 2.3 on hashes and is ten times slower for a million."""
    ordered = np.sort(numbers)
    found: Ints = ordered[np.diff(ordered, prepend=ordered[:1] - 1) != 0]
    return found


def sound(sizes: Iterable[tuple[int, int]] | Ints) -> Ints:
    """Widths and heights, of shape (n, 2), without those that are no size."""
    found = np.array(list(sizes) if not isinstance(sizes, np.ndarray) else sizes, np.int64).reshape(-1, 2)
    return found[(found > 0).all(axis=1)]


def _pair(size: Ints) -> tuple[int, int]:
    return int(size[0]), int(size[1])
