"""Triplets for virtual try-on, drawn by code: a figure, a piece of clothing, and the figure wearing it.

Two triplets of 192 x 256 pixels in each of `easy/female`, `easy/male`, `hard/female` and `hard/male`, with the same
stems in all. What is hard has stripes, and more going on behind the figure.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

DIRECTORIES = ("easy/female", "easy/male", "hard/female", "hard/male")
STEMS = ("001", "002")
#: Width and height of every picture, in pixels.
SIZE = (192, 256)
_SCALE = 3  # drawn larger and then reduced, which smooths the edges

Color = tuple[int, int, int]

_COLORS: tuple[Color, ...] = (
    (222, 75, 69), (66, 122, 208), (243, 196, 64), (78, 168, 96), (144, 96, 184), (236, 140, 58), (52, 160, 170),
)  # fmt: skip
_SKIN: tuple[Color, ...] = ((244, 208, 177), (222, 171, 127), (164, 112, 76), (108, 70, 48))
#: What may be worn: the left half of its outline, from the neck down; the shoulders are at height 0.
_KINDS = {
    "shirt": ((-12, 0), (-34, 6), (-48, 46), (-34, 52), (-26, 30), (-25, 84)),
    "dress": ((-10, 0), (-28, 5), (-24, 40), (-22, 62), (-44, 132)),
    "jacket": ((-8, 0), (-36, 5), (-56, 76), (-42, 82), (-29, 40), (-31, 98)),
}


def draw() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each triplet: its key, and its files by path."""
    for directory in DIRECTORIES:
        for stem in STEMS:
            yield f"{directory}/{stem}", _triplet(directory, stem, random.Random(f"{directory}/{stem}"))


def _triplet(directory: str, stem: str, rng: random.Random) -> dict[str, bytes]:
    hard, female = directory.startswith("hard"), directory.endswith("female")
    kind = rng.choice(("dress", "shirt") if female else ("jacket", "shirt"))
    old, new, second, legs = rng.sample(_COLORS, 4)
    stripes = second if hard else None
    scene = rng.randrange(2**32)
    figure = (rng.randrange(80, 113), rng.randrange(76, 89), rng.choice(_SKIN), legs, female)
    bare = _figure(scene, hard, *figure)
    worn = bare.copy()
    x, y = figure[:2]
    _cloth(bare, "shirt", x, y, old, None)
    _cloth(worn, kind, x, y, new, stripes)
    alone = _canvas((250, 248, 243))
    _cloth(alone, kind, SIZE[0] // 2, 60, new, stripes)
    return {
        f"{directory}/initial_image/{stem}_person.png": _png(bare),
        f"{directory}/cloth_image/{stem}_cloth_{kind}.png": _png(alone),
        f"{directory}/try_on_image/{stem}_vton.png": _png(worn),
    }


def _figure(scene: int, busy: bool, x: int, y: int, skin: Color, legs: Color, female: bool) -> Image:
    """Somebody in front of something; `x` is the middle of the figure, `y` the height of the shoulders."""
    from PIL import ImageDraw

    rng = random.Random(scene)
    picture = _canvas(tuple(rng.randrange(150, 250) for _ in range(3)))
    pen = ImageDraw.Draw(picture)
    for _ in range(14 if busy else 5):
        left, top = rng.randrange(-30, SIZE[0] - 10), rng.randrange(-30, SIZE[1] - 10)
        right, bottom = left + rng.randrange(20, 110), top + rng.randrange(20, 110)
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)(
            _box(left, top, right, bottom), fill=tuple(rng.randrange(90, 250) for _ in range(3))
        )
    pen.rectangle(_box(0, 236, SIZE[0], SIZE[1]), fill=(120, 108, 98))
    hair = tuple(rng.randrange(20, 120) for _ in range(3))
    if female:
        pen.rounded_rectangle(_box(x - 21, y - 56, x + 21, y + 12), 18 * _SCALE, fill=hair)
    pen.rectangle(_box(x - 22, y + 70, x - 3, y + 160), fill=legs)
    pen.rectangle(_box(x + 3, y + 70, x + 22, y + 160), fill=legs)
    pen.rectangle(_box(x - 8, y - 16, x + 8, y + 10), fill=skin)
    for side in (-1, 1):
        arm = [(x + side * 26, y + 8), (x + side * 50, y + 92), (x + side * 40, y + 96), (x + side * 18, y + 20)]
        pen.polygon([(across * _SCALE, down * _SCALE) for across, down in arm], fill=skin)
    pen.rectangle(_box(x - 24, y + 6, x + 24, y + 76), fill=skin)
    pen.ellipse(_box(x - 17, y - 52, x + 17, y - 8), fill=skin)
    pen.pieslice(_box(x - 19, y - 56, x + 19, y - 14), 180, 360, fill=hair)
    return picture


def _cloth(picture: Image, kind: str, x: int, y: int, color: Color, stripes: Color | None) -> None:
    from PIL import Image, ImageDraw

    left = _KINDS[kind]
    right = [(-across, down) for across, down in reversed(left)]
    outline = [((x + across) * _SCALE, (y + down) * _SCALE) for across, down in (*left, *right)]
    shape = Image.new("L", picture.size)
    ImageDraw.Draw(shape).polygon(outline, fill=255)
    fabric = Image.new("RGB", picture.size, color)
    pen = ImageDraw.Draw(fabric)
    if stripes:
        for top in range(y, y + 140, 12):
            pen.rectangle(_box(0, top, SIZE[0], top + 5), fill=stripes)
    picture.paste(fabric, mask=shape)


def _canvas(color: tuple[int, ...]) -> Image:
    from PIL import Image

    return Image.new("RGB", (SIZE[0] * _SCALE, SIZE[1] * _SCALE), color)


def _box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    return left * _SCALE, top * _SCALE, right * _SCALE - 1, bottom * _SCALE - 1


def _png(picture: Image) -> bytes:
    out = io.BytesIO()
    picture.reduce(_SCALE).save(out, "PNG")
    return out.getvalue()
