"""Masks of pixels as polygons along the edges of their pixels, and polygons that become one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["extent", "joined", "outlines", "surface"]

Points = tuple[float, ...]
Vertex = tuple[int, int]
#: Ways to go, and which of them to take where two edges leave a corner: the one that turns right stays at its pixel.
_RIGHT: dict[Vertex, Vertex] = {(1, 0): (0, 1), (0, 1): (-1, 0), (-1, 0): (0, -1), (0, -1): (1, 0)}


def outlines(pixels: npt.NDArray[np.bool_]) -> list[Points]:
    """The outer edges of a mask, each as x1, y1, x2, y2 and so on; its holes are left out, as polygons have none.

    Pixels that touch at a corner only are of two outlines. The pixel at column x and row y reaches from x to x + 1.
    """
    padded = np.pad(pixels, 1)
    inner = padded[1:-1, 1:-1]
    leaving: dict[Vertex, list[Vertex]] = {}
    for beside, start, way in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above: along the top, to the right
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    ):
        rows, columns = np.nonzero(inner & ~beside)
        for x, y in zip((columns + start[0]).tolist(), (rows + start[1]).tolist(), strict=True):
            leaving.setdefault((x, y), []).append(way)
    found = []
    while leaving:
        ring = _ring(leaving)
        if surface(ring) > 0:  # clockwise, where y grows downward: holes go the other way
            found.append(ring)
    return found


def _ring(leaving: dict[Vertex, list[Vertex]]) -> Points:
    """One way around, taken out of the edges that are left; only its corners."""
    first = at = min(leaving)
    way = leaving[at][0]
    corners: list[float] = []
    came: Vertex | None = None
    while True:
        ways = leaving[at]
        if came is not None:
            way = _RIGHT[came] if _RIGHT[came] in ways else ways[0]
        ways.remove(way)
        if not ways:
            del leaving[at]
        if way != came:
            corners += map(float, at)
        at, came = (at[0] + way[0], at[1] + way[1]), way
        if at == first and _RIGHT[came] not in leaving.get(at, ()):
            return tuple(corners)


def surface(points: Sequence[float]) -> float:
    """What a polygon covers, in square pixels; below 0 where it goes counterclockwise."""
    x, y = np.array(points[0::2]), np.array(points[1::2])
    return float(x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]) / 2


def extent(points: Sequence[float]) -> tuple[float, float, float, float]:
    """The box around points: its x, y, width and height."""
    left, top = min(points[0::2]), min(points[1::2])
    return left, top, max(points[0::2]) - left, max(points[1::2]) - top


def joined(polygons: Sequence[Sequence[float]]) -> Points:
    """Several polygons as one, with a bridge without width from each to the nearest corner of those before it."""
    ring = np.array(polygons[0], np.float64).reshape(-1, 2)
    for polygon in polygons[1:]:
        other = np.array(polygon, np.float64).reshape(-1, 2)
        distances = ((ring[:, None] - other[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(int(distances.argmin()), distances.shape)
        ring = np.concatenate([ring[: here + 1], other[there:], other[: there + 1], ring[here:]])
    return tuple(ring.ravel().tolist())
