"""Small pictures for a page: JPEG of at most 320 pixels a side, made smaller still where there is no room."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from visprep.errors import StoreError, WrongContent
from visprep.fingerprints import Rows, fingerprint
from visprep.image_headers import calm, describe, image_format, in_words, open_lazily, orientation_of
from visprep.images import to_pil
from visprep.reporting import Size

#: The longer side in pixels and the quality of a picture, the best first.
STEPS = ((320, 82), (320, 65), (256, 60), (192, 55), (128, 50), (96, 40))
#: A picture with sides up to this many pixels keeps its color at full size: drawings of a few squares need it.
_SMALL = 128
_HEAD = "data:image/jpeg;base64,"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture, `jpeg` empty where there is none and `note` says why; `size` is that of the original.

    `row` is the fingerprint of the original, where it was wanted and could be made. `turned`: its EXIF exchanged width
    and height.
    """

    jpeg: bytes = b""
    size: Size | None = None
    note: str = ""
    row: Rows | None = None
    turned: bool = False


def thumbnail(data: bytes, stated: Size | None = None, printed: bool = False) -> Thumbnail:
    """The small picture of an encoded image, upright unless annotations state the size that it has lying.

    Data that is no image, or damaged, gives one without a picture and with a note. `printed` asks for the fingerprint.
    """
    size: Size | None = None
    turned = False
    try:
        with calm(), open_lazily(data, image_format(data)) as image:
            size, orientation = image.size, orientation_of(image)
            lies = stated == size and orientation >= 5 and size[0] != size[1]
            if turned := orientation >= 5 and not lies:
                size = size[::-1]
            try:
                image.draft("RGB", (2 * STEPS[0][0],) * 2)  # a JPEG decodes to a half, a quarter or an eighth
                image.load()
            except Exception as problem:  # on damaged data Pillow raises whatever its plugin stumbles over
                raise WrongContent(f"{describe(data)} that cannot be decoded: {in_words(problem)}") from problem
            upright = image if lies or orientation == 1 else ImageOps.exif_transpose(image)
            if lies:
                upright = image.copy()
                upright.getexif().clear()
            small = to_pil(upright)
        row = fingerprint(data).row() if printed else None
        return Thumbnail(_jpeg(small, *STEPS[0]), size, row=row, turned=turned)
    except StoreError as problem:
        return Thumbnail(size=size, note=problem.message)


def _jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    shown = image.copy()
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    shown.info.clear()
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=quality, optimize=True, subsampling=0 if max(shown.size) <= _SMALL else 2)
    return out.getvalue()


def addresses(pictures: Sequence[Thumbnail], room: int) -> list[str]:
    """The pictures as `data:` addresses that have no more than `room` characters together, '' for one without.

    All of them are made smaller where they have more; where even the smallest have, the last are left out.
    """
    encoded = [one.jpeg for one in pictures]
    for side, quality in STEPS[1:]:
        if sum(map(_length, encoded)) <= room:
            break
        encoded = [_smaller(one.jpeg, side, quality) if one.jpeg else b"" for one in pictures]
    found = []
    for one in encoded:
        room -= _length(one)
        found.append(_HEAD + base64.b64encode(one).decode() if one and room >= 0 else "")
    return found


def _length(jpeg: bytes) -> int:
    return len(_HEAD) + 4 * -(-len(jpeg) // 3) if jpeg else 0


def _smaller(jpeg: bytes, side: int, quality: int) -> bytes:
    with Image.open(io.BytesIO(jpeg)) as image:
        image.load()
        made = _jpeg(image, side, quality)
    return made if len(made) < len(jpeg) else jpeg
