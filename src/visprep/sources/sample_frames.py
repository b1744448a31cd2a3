"""Frame sequences, drawn by code: two games of 160 x 144 pixels, one frame after the other.

- `bounce`: a ball that is thrown and bounces off the floor.
- `walk`: somebody walks past blocks, and the world moves with them.

The episodes number their frames in different ways, as recordings do.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

#: Width and height of every frame, in pixels.
SIZE = (160, 144)
#: Episode -> how many frames it has, the number of the first, and the digits that numbers are filled up to.
EPISODES: Mapping[str, tuple[int, int, int]] = MappingProxyType(
    {
        "bounce/episode1": (12, 1, 3),
        "bounce/episode2": (11, 0, 1),
        "walk/episode1": (8, 1, 5),
        "walk/episode2": (12, 1, 1),
        "walk/episode3": (6, 96, 2),
    }
)

Color = tuple[int, ...]


def draw() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each episode: its path, and its files by path."""
    for episode, (count, first, digits) in EPISODES.items():
        drawn = _GAMES[episode.partition("/")[0]](random.Random(episode))
        yield (
            episode,
            {f"{episode}/frame_{first + at:0{digits}}.png": _png(drawn, at) for at in range(count)},
        )


Scene = Callable[["ImageDraw", int], None]


def _bounce(rng: random.Random) -> Scene:
    sky, floor, ball = (_color(rng, least) for least in (150, 40, 90))
    hills = [(rng.randrange(-40, 160), rng.randrange(30, 90), rng.randrange(40, 100)) for _ in range(5)]
    shades = [_color(rng, 80) for _ in hills]
    speed, left = rng.uniform(7, 11), rng.uniform(8, 20)

    def scene(pen: ImageDraw, at: int) -> None:
        pen.rectangle((0, 0, *SIZE), fill=sky)
        for (start, height, width), shade in zip(hills, shades, strict=True):
            pen.ellipse((start, 120 - height, start + width, 120 + height), fill=shade)
        pen.rectangle((0, 120, *SIZE), fill=floor)
        phase = at % 6 / 6
        x, y = left + speed * at, 112 - 320 * phase * (1 - phase)
        pen.ellipse((x - 8, y - 8, x + 8, y + 8), fill=ball, outline=(30, 30, 40))

    return scene


def _walk(rng: random.Random) -> Scene:
    sky, ground, coat = (_color(rng, least) for least in (140, 60, 60))
    blocks = [(24 * number + rng.randrange(8), rng.randrange(12, 70), _color(rng, 70)) for number in range(16)]
    speed = rng.choice((4, 6, 8))

    def scene(pen: ImageDraw, at: int) -> None:
        pen.rectangle((0, 0, *SIZE), fill=sky)
        for x, height, color in blocks:
            pen.rectangle((x - speed * at, 116 - height, x - speed * at + 16, 116), fill=color, outline=(40, 40, 50))
        pen.rectangle((0, 116, *SIZE), fill=ground)
        step = 5 if at % 2 else -5
        pen.line((76, 104, 76 - step, 118), fill=(40, 40, 50), width=4)
        pen.line((80, 104, 80 + step, 118), fill=(40, 40, 50), width=4)
        pen.rectangle((70, 84, 86, 106), fill=coat)
        pen.ellipse((71, 70, 85, 84), fill=(236, 194, 158))

    return scene


def _color(rng: random.Random, least: int) -> Color:
    return tuple(rng.randrange(least, least + 100) for _ in range(3))


def _png(scene: Scene, at: int) -> bytes:
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", SIZE)
    scene(ImageDraw.Draw(picture), at)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


_GAMES: Mapping[str, Callable[[random.Random], Scene]] = MappingProxyType({"bounce": _bounce, "walk": _walk})
