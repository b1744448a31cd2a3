"""How a cost grows with a number of things: the exponent of a curve, and a table of curves."""

from __future__ import annotations

import math
from collections.abc import Mapping


def exponent(costs: Mapping[int, float]) -> float | None:
    """The slope of the line through log(number), log(cost), by least squares; None for fewer than two costs above 0.

    1 is linear, 0 does not grow, 2 is quadratic.
    """
    points = [(math.log(number), math.log(cost)) for number, cost in costs.items() if cost > 0]
    if len(points) < 2:
        return None
    middle_x, middle_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    across = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / across


def without_start(costs: Mapping[int, float], start: float, least: float = 0.5) -> dict[int, float]:
    """What the costs are beyond those of `start`, of nothing; only where that is at least `least` times the start.

    Below, the noise of the start is what would be measured.
    """
    return {number: cost - start for number, cost in costs.items() if cost - start >= least * start}


def shown(number: float | None, digits: int = 2) -> str:
    """A number in a cell; a dash where there is none."""
    return "-" if number is None else f"{number:,.{digits}f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Rows of cells as lines of text, the first column to the left and all others to the right."""
    wide = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = []
    for row in [head, *rows]:
        first, *others = (cell.rjust(size) for cell, size in zip(row, wide, strict=True))
        cells = [row[0].ljust(len(first)), *others]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
