"""Encoded images as what a transform takes: RGB of 8 bits a channel, whole or refused.

JPEGs are decoded by libjpeg-turbo, whose warnings count as faults: Pillow passes many of them over, and fills up with
gray what is damaged. The pixels are those that Pillow gives. All other kinds are Pillow's, with the checks of `images`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from visprep import images
from visprep.errors import WrongContent
from visprep.jpegs import scan, strict_fault

#: Height x width x 3.
Pixels = npt.NDArray[np.uint8]
#: Gives the array that an image of this height and width is to be decoded into, None for a new one.
Into = Callable[[int, int], Pixels | None]

#: What brings an image upright, by its orientation in EXIF.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, min_size: tuple[int, int] | None = None, *, exif: str = "keep") -> Image.Image:
    """The image as RGB; WrongContent, saying what is wrong, when it is damaged, or none at all.

    With `min_size` (width, height) a JPEG may come smaller than it is stored, a half, a quarter and so on, but never
    below that in either direction; this saves much of the work. `exif` says what becomes of the orientation that EXIF
    tells: `keep` gives the pixels as they are stored, as torchvision and pycocotools do, `rotate` turns them upright.
    Gray, palettes and CMYK become RGB, 16 bits become 8, and see-through pixels are laid on white.
    """
    if images.image_format(data) != "JPEG":
        return _other(data, exif)
    found, turn = _jpeg(data, min_size, exif, None)
    if not isinstance(found, Image.Image):
        found = Image.frombuffer("RGB", (found.shape[1], found.shape[0]), found, "raw", "RGB", 0, 1)
    return found if turn is None else found.transpose(turn)


def decode_pixels(
    data: bytes, min_size: tuple[int, int] | None = None, *, exif: str = "keep", into: Into | None = None
) -> Pixels:
    """The same as an array of height x width x 3; decoded straight into the one that `into` gives, if it does."""
    jpeg = images.image_format(data) == "JPEG"
    found, turn = _jpeg(data, min_size, exif, into) if jpeg else (_other(data, exif), None)
    if not isinstance(found, Image.Image):
        if turn is None:
            return found
        found = Image.frombuffer("RGB", (found.shape[1], found.shape[0]), found, "raw", "RGB", 0, 1)
    array = np.asarray(found if turn is None else found.transpose(turn))
    room = into(*array.shape[:2]) if into else None
    if room is None:
        return array.copy() if not array.flags.writeable else array
    room[:] = array
    return room


def _other(data: bytes, exif: str) -> Image.Image:
    image = images.decode(data)
    if exif == "keep":
        with contextlib.suppress(Exception):  # damaged EXIF turns nothing
            image.getexif()[ExifTags.Base.Orientation] = 1
    return images.to_pil(image)


def _jpeg(
    data: bytes, min_size: tuple[int, int] | None, exif: str, into: Into | None
) -> tuple[Pixels | Image.Image, Image.Transpose | None]:
    """The pixels as they are stored, and how they are to be turned."""
    import simplejpeg

    seen = scan(data, header=True)
    turn = _TURNS.get(seen.orientation) if exif == "rotate" else None
    pixels, most = seen.width * seen.height, Image.MAX_IMAGE_PIXELS
    if seen.bits != 8 or seen.components not in (1, 3) or not pixels or (most is not None and pixels > most):
        return _by_pillow(data), turn
    width, height = min_size or (0, 0)
    if seen.orientation >= 5 and turn is not None:
        width, height = height, width
    exact = min_size is None
    room = into(seen.height, seen.width) if into and exact and turn is None else None
    try:
        array: Pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            fastdct=not exact,
            fastupsample=not exact,
            min_height=height,
            min_width=width,
            buffer=room,
            strict=True,
        )
    except ValueError as problem:
        fault = images.container_fault(data)  # the same in words that say where
        raise WrongContent(f"{images.describe(data)}, {fault or f'damaged: {problem}'}") from None
    return array if room is None else room, turn


def _by_pillow(data: bytes) -> Image.Image:
    """CMYK and what else simplejpeg does not make RGB of."""
    image = images.decode(data)
    if fault := strict_fault(data):
        raise WrongContent(f"{images.describe(data)}, damaged: {fault}")
    with contextlib.suppress(Exception):
        image.getexif()[ExifTags.Base.Orientation] = 1
    return images.to_pil(image)
