"""The ids of Open Images' images: 16 hex digits, which are 64 bits, by which images are sorted and found."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from visprep.formats.open_images_tables import IMAGE_ID

__all__ = ["DIGITS", "ImageIds", "are_in", "image_name", "image_number", "image_numbers", "places_in"]

ImageIds = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

#: Digits of an id.
DIGITS = 16
_VALUES = np.full(256, 255, np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16, dtype=np.uint8)


def image_number(name: str) -> int:
    """The number that an image's id is; ValueError when it is not 16 hex digits in lower case."""
    if not IMAGE_ID.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no id of an image: 16 of the digits 0 to 9 and a to f")
    return int(name, 16)


def image_name(number: int) -> str:
    """The id of an image as upstream writes it."""
    return f"{number:016x}"


def image_numbers(letters: npt.NDArray[np.uint8]) -> ImageIds:
    """The numbers of ids that stand one behind the other; ValueError when one of them is none."""
    digits = _VALUES[letters]
    if (digits > 15).any():
        raise ValueError("an id of an image is not 16 hex digits")
    return np.asarray(((digits[::2] << 4) | digits[1::2]).view(">u8"), np.uint64)


def places_in(order: ImageIds | Ints, images: ImageIds | Ints) -> Ints:
    """The place of each image, an id or a number, in a sorted order; -1 for one that is not in it."""
    if not len(order):
        return np.full(len(images), -1, np.int64)
    at = np.minimum(np.searchsorted(order, images), len(order) - 1)
    return np.where(order[at] == images, at, np.int64(-1))


def are_in(images: ImageIds, wanted: ImageIds) -> npt.NDArray[np.bool_]:
    """Which of the images are wanted; those are sorted."""
    if not len(wanted):
        return np.zeros(len(images), np.bool_)
    at = np.searchsorted(wanted, images)
    return np.asarray(wanted[np.minimum(at, len(wanted) - 1)] == images, np.bool_)
