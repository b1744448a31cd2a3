"""Tasks for video models, drawn by code: four domains of eight, 256x256 RGB.

The same version of visprep draws the same pictures everywhere; their PNG bytes depend on nothing but the installed
Pillow.

- `color_grid`: a grid whose colors repeat, with one cell left out; the final frame fills it.
- `maze`: a maze with a start and a goal; the final frame shows the one path between them.
- `shape_rotation`: a shape of cells; the final frame shows it turned.
- `ball_fall`: a ball above some shelves; the final frame shows it where it comes to rest.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from visprep.records import Task

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

#: Width and height of every frame, in pixels.
SIDE = 256
#: Tasks of each domain.
PER_DOMAIN = 8
# Drawn at this many times the size and then reduced, which smooths the edges.
_SCALE = 3

Color = tuple[int, int, int]
Cell = tuple[int, int]
Picture = Callable[["ImageDraw"], None]

_PAPER: Color = (250, 248, 243)
_INK: Color = (52, 58, 70)
_FAINT: Color = (206, 203, 196)
_PATH: Color = (38, 110, 214)
_START: Color = (46, 160, 90)
_GOAL: Color = (214, 62, 62)
_COLORS: Mapping[str, Color] = MappingProxyType(
    {
        "red": (222, 75, 69),
        "blue": (66, 122, 208),
        "yellow": (243, 196, 64),
        "green": (78, 168, 96),
        "purple": (144, 96, 184),
        "orange": (236, 140, 58),
    }
)


def draw(source: str, split: str) -> Iterator[Task]:
    """Every task of a split of the source, domain by domain; each is drawn when it is pulled."""
    for domain, make in DOMAINS.items():
        for index in range(PER_DOMAIN):
            # seeded by name: adding a domain or a task changes no other picture
            prompt, first, final = make(random.Random(f"{domain}/{index}"))
            yield Task(
                domain=domain,
                id=f"{domain}_{index:04d}",
                prompt=prompt,
                first_frame=_png(first),
                final_frame=_png(final),
                metadata={"source": source, "split": split, "domain": domain, "number": index},
            )


def _png(picture: Picture) -> bytes:
    from PIL import Image, ImageDraw

    canvas = Image.new("RGB", (SIDE * _SCALE, SIDE * _SCALE), _PAPER)
    picture(ImageDraw.Draw(canvas))
    out = io.BytesIO()
    canvas.reduce(_SCALE).save(out, "PNG")
    return out.getvalue()


def _box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
    """A rectangle given in pixels of the frame, in pixels of the canvas; Pillow draws its last row and column too."""
    return (
        round(left * _SCALE),
        round(top * _SCALE),
        round(right * _SCALE) - 1,
        round(bottom * _SCALE) - 1,
    )


def _disc(draw: ImageDraw, x: float, y: float, radius: float, color: Color) -> None:
    draw.ellipse(_box(x - radius, y - radius, x + radius, y + radius), fill=color)


# color_grid


def _color_grid(rng: random.Random) -> tuple[str, Picture, Picture]:
    size = rng.choice((4, 5))
    names = rng.sample(sorted(_COLORS), rng.choice((2, 3, 3)))
    slant = rng.choice((1, len(names) - 1))  # which way the diagonals run
    colors = {
        (row, column): _COLORS[names[(column + slant * row) % len(names)]]
        for row in range(size)
        for column in range(size)
    }
    hole = (rng.randrange(size), rng.randrange(size))
    prompt = (
        f"The {size} by {size} grid is colored in a repeating pattern, but one cell is still empty and outlined. "
        "Fill the empty cell with the color that completes the pattern. Nothing else changes."
    )
    return prompt, partial(_draw_grid, size, colors, hole), partial(_draw_grid, size, colors, None)


def _draw_grid(size: int, colors: Mapping[Cell, Color], hole: Cell | None, draw: ImageDraw) -> None:
    margin, gap = 20.0, 5.0
    step = (SIDE - 2 * margin + gap) / size
    for (row, column), color in colors.items():
        left, top = margin + column * step, margin + row * step
        box = _box(left, top, left + step - gap, top + step - gap)
        if (row, column) == hole:
            draw.rounded_rectangle(box, 6 * _SCALE, outline=_INK, width=2 * _SCALE)
        else:
            draw.rounded_rectangle(box, 6 * _SCALE, fill=color)


# maze


def _maze(rng: random.Random) -> tuple[str, Picture, Picture]:
    size = rng.choice((7, 8, 9, 10))
    passages = _carve(size, rng)
    start, goal = (0, rng.randrange(size)), (size - 1, rng.randrange(size))
    path = _walk(passages, start, goal)
    prompt = (
        "The picture shows a maze with a green dot and a red square. Draw a blue line that leads from the green dot "
        "to the red square through the open passages, without crossing a wall or visiting a dead end."
    )
    return (
        prompt,
        partial(_draw_maze, size, passages, start, goal, ()),
        partial(_draw_maze, size, passages, start, goal, path),
    )


def _carve(size: int, rng: random.Random) -> Mapping[Cell, list[Cell]]:
    """A maze in which exactly one path joins any two cells: for each cell the cells that it opens to."""
    passages: dict[Cell, list[Cell]] = {(row, column): [] for row in range(size) for column in range(size)}
    trail, seen = [(0, 0)], {(0, 0)}
    while trail:
        row, column = here = trail[-1]
        around = [(row - 1, column), (row, column + 1), (row + 1, column), (row, column - 1)]
        fresh = [cell for cell in around if cell in passages and cell not in seen]
        if not fresh:
            trail.pop()
            continue
        there = rng.choice(fresh)
        passages[here].append(there)
        passages[there].append(here)
        seen.add(there)
        trail.append(there)
    return passages


def _walk(passages: Mapping[Cell, list[Cell]], start: Cell, goal: Cell) -> tuple[Cell, ...]:
    """The cells from start to goal."""
    came: dict[Cell, Cell] = {start: start}
    queue = [start]
    for here in queue:
        for there in passages[here]:
            if there not in came:
                came[there] = here
                queue.append(there)
    path = [goal]
    while path[-1] != start:
        path.append(came[path[-1]])
    return tuple(reversed(path))


def _draw_maze(
    size: int, passages: Mapping[Cell, list[Cell]], start: Cell, goal: Cell, path: tuple[Cell, ...], draw: ImageDraw
) -> None:
    margin, wall = 14.0, 3.0
    step = (SIDE - 2 * margin) / size

    def middle(cell: Cell) -> tuple[float, float]:
        return margin + (cell[1] + 0.5) * step, margin + (cell[0] + 0.5) * step

    if path:
        points = [(x * _SCALE, y * _SCALE) for x, y in map(middle, path)]
        draw.line(points, fill=_PATH, width=round(step * 0.24 * _SCALE), joint="curve")
    for row in range(size + 1):
        for column in range(size + 1):
            x, y = margin + column * step, margin + row * step
            here, above, before = (row, column), (row - 1, column), (row, column - 1)
            if column < size and above not in passages.get(here, ()):
                draw.rectangle(_box(x - wall / 2, y - wall / 2, x + step + wall / 2, y + wall / 2), fill=_INK)
            if row < size and before not in passages.get(here, ()):
                draw.rectangle(_box(x - wall / 2, y - wall / 2, x + wall / 2, y + step + wall / 2), fill=_INK)
    _disc(draw, *middle(start), step * 0.28, _START)
    x, y = middle(goal)
    draw.rectangle(_box(x - step * 0.25, y - step * 0.25, x + step * 0.25, y + step * 0.25), fill=_GOAL)


# shape_rotation

_TURNS: Mapping[str, int] = MappingProxyType(
    {"90 degrees clockwise": 1, "180 degrees": 2, "90 degrees counterclockwise": 3}
)


def _shape_rotation(rng: random.Random) -> tuple[str, Picture, Picture]:
    size = 5
    words = rng.choice(sorted(_TURNS))
    cells = _blob(size, rng)
    while _turned(cells, size, _TURNS[words]) == cells:  # a shape that looks the same afterwards asks nothing
        cells = _blob(size, rng)
    name = rng.choice(sorted(_COLORS))
    prompt = (
        f"The {name} shape lies on a grid of {size} by {size} cells. Rotate it by {words} around the center of the "
        "grid, without stretching or mirroring it. The grid stays where it is."
    )
    after = _turned(cells, size, _TURNS[words])
    return prompt, partial(_draw_shape, size, cells, _COLORS[name]), partial(_draw_shape, size, after, _COLORS[name])


def _blob(size: int, rng: random.Random) -> frozenset[Cell]:
    """Six connected cells."""
    cells = {(size // 2, size // 2)}
    while len(cells) < 6:
        row, column = rng.choice(sorted(cells))
        down, right = rng.choice(((0, 1), (1, 0), (0, -1), (-1, 0)))
        if 0 <= row + down < size and 0 <= column + right < size:
            cells.add((row + down, column + right))
    return frozenset(cells)


def _turned(cells: frozenset[Cell], size: int, quarters: int) -> frozenset[Cell]:
    """The cells after so many quarter turns clockwise."""
    for _ in range(quarters):
        cells = frozenset((column, size - 1 - row) for row, column in cells)
    return cells


def _draw_shape(size: int, cells: frozenset[Cell], color: Color, draw: ImageDraw) -> None:
    margin = 18.0
    step = (SIDE - 2 * margin) / size
    for row, column in sorted(cells):
        left, top = margin + column * step, margin + row * step
        draw.rectangle(_box(left, top, left + step, top + step), fill=color)
    for line in range(size + 1):
        at = margin + line * step
        draw.rectangle(_box(at - 0.7, margin, at + 0.7, SIDE - margin), fill=_FAINT)
        draw.rectangle(_box(margin, at - 0.7, SIDE - margin, at + 0.7), fill=_FAINT)


# ball_fall


def _ball_fall(rng: random.Random) -> tuple[str, Picture, Picture]:
    radius = 13.0
    x = rng.uniform(50, SIDE - 50)
    name = rng.choice(sorted(_COLORS))
    heights = [92 + 48 * index + rng.uniform(-8, 8) for index in range(3)]
    shelves: list[tuple[float, float, float]] = []
    catches = rng.randrange(4)  # the first shelf under the ball; 3 is the floor
    for index, height in enumerate(heights):
        width = rng.uniform(60, 90)
        if index == catches:
            left = x - width * rng.uniform(0.35, 0.65)
        else:
            # well to the side: a ball that touches an edge would roll off
            left = x + radius + rng.uniform(8, 30) if x < SIDE / 2 else x - radius - rng.uniform(8, 30) - width
            if index > catches and rng.random() < 0.5:
                left = x - width / 2
        shelves.append((max(6.0, left), min(SIDE - 6.0, left + width), height))
    floor = 240.0
    rest = heights[catches] if catches < len(heights) else floor
    prompt = (
        f"A {name} ball hangs in the air above some fixed shelves and a floor. It is let go, falls straight down and "
        "comes to rest, without bouncing, on the first thing below it. The shelves do not move."
    )
    scene = partial(_draw_fall, tuple(shelves), floor, x, radius, _COLORS[name])
    return prompt, partial(scene, 34.0), partial(scene, rest - radius)


def _draw_fall(
    shelves: tuple[tuple[float, float, float], ...],
    floor: float,
    x: float,
    radius: float,
    color: Color,
    y: float,
    draw: ImageDraw,
) -> None:
    draw.rectangle(_box(0, floor, SIDE, SIDE), fill=_FAINT)
    draw.rectangle(_box(0, floor, SIDE, floor + 3), fill=_INK)
    for left, right, top in shelves:
        draw.rounded_rectangle(_box(left, top, right, top + 8), 3 * _SCALE, fill=_INK)
    _disc(draw, x, y, radius, color)


DOMAINS: Mapping[str, Callable[[random.Random], tuple[str, Picture, Picture]]] = MappingProxyType(
    {"color_grid": _color_grid, "maze": _maze, "shape_rotation": _shape_rotation, "ball_fall": _ball_fall}
)
