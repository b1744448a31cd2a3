"""Fingerprints of images: a few hundred bytes by which a picture is recognized when it comes again.

Three of each, from the strictest to the widest: the digest of its bytes, the digest of its pixels (upright, 8-bit RGB),
and a thumbnail, which re-encoding and resizing hardly change. `similar` finds the images that share one of them.

The thumbnail is 16 x 16 pixels of luma and 4 x 4 of either chroma, made from all pixels by Pillow's BILINEAR, which
weighs them with triangles that overlap. Of Pillow's filters that one moves least when an image is resized: by 0.6 gray
levels in the mean square at worst, where photographs are brought to a quarter, 4.3 with BOX. (Thumbnails in place of
hashes: Jacobs, Finkelstein and Salesin, Fast Multiresolution Image Querying, 1995.)
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from visprep.images import image_format, to_pil
from visprep.jpegs import scan

Rows = npt.NDArray[Any]

#: Pixels of a side of the thumbnail, in luma and in chroma.
SIDE, CHROMA_SIDE = 16, 4
#: A fingerprint in an array: what many of them are kept in, and compared in.
ROW = np.dtype(
    [
        ("bytes", np.uint8, 32),
        ("pixels", np.uint8, 16),
        ("luma", np.uint8, SIDE * SIDE),
        ("chroma", np.uint8, 2 * CHROMA_SIDE * CHROMA_SIDE),
        ("one_color", np.bool_),
        ("there", np.bool_),
    ]
)
#: Changes whenever other code gives another fingerprint of the same bytes: what was remembered before is not used.
VERSION = 1

#: From RGB to luma and the two chromas of JFIF, which are 0 for gray.
_LUMA = np.array([0.299, 0.587, 0.114])
_CHROMA = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


class Kind(StrEnum):
    """By what two images are the same, the strictest first: each implies the next, as far as there is one."""

    BYTES = "bytes"
    PIXELS = "pixels"
    PERCEPTUAL = "perceptual"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of an image: the SHA-256 of its bytes, half of that of its pixels, and thumbnails.

    `luma` has 256 bytes, row by row; `chroma` 16 of the blue and 16 of the red difference, 128 where there is none.
    `one_color` says that all of its pixels are equal.
    """

    bytes_digest: bytes
    pixel_digest: bytes
    luma: bytes
    chroma: bytes
    one_color: bool

    def row(self) -> Rows:
        """The same as an array of one row."""
        row = np.zeros(1, ROW)
        row["bytes"] = np.frombuffer(self.bytes_digest, np.uint8)
        row["pixels"] = np.frombuffer(self.pixel_digest, np.uint8)
        row["luma"] = np.frombuffer(self.luma, np.uint8)
        row["chroma"] = np.frombuffer(self.chroma, np.uint8)
        row["one_color"], row["there"] = self.one_color, True
        return row


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of an encoded image; WrongContent when it does not decode to its last pixel."""
    image = _pixels(data)
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    cells = np.asarray(small, dtype=np.float64)
    blocks = cells.reshape(CHROMA_SIDE, SIDE // CHROMA_SIDE, CHROMA_SIDE, -1, 3).mean(axis=(1, 3))
    one_color = bool((cells == cells[0, 0]).all()) and all(low == high for low, high in _extremes(image))
    size = b"%d x %d\n" % image.size
    return Fingerprint(
        bytes_digest=hashlib.sha256(data).digest(),
        pixel_digest=hashlib.sha256(size + image.tobytes()).digest()[:16],
        luma=_levels(cells @ _LUMA),
        chroma=_levels(np.moveaxis(blocks @ _CHROMA.T, -1, 0) + 128),
        one_color=one_color,
    )


def _pixels(data: bytes) -> Image.Image:
    """The pixels as everybody sees them: upright, 8-bit RGB, transparent ones on white, the first frame."""
    if image_format(data) == "JPEG":
        seen = scan(data, header=True)
        if seen.bits == 8 and seen.components in (1, 3) and seen.orientation == 1 and seen.width * seen.height:
            decoded = _jpeg(data, seen.width * seen.height)
            if decoded is not None:
                return decoded
    return to_pil(data)


def _jpeg(data: bytes, pixels: int) -> Image.Image | None:
    """A JPEG as libjpeg-turbo decodes it when asked for the pixels that Pillow gives, in half of the time.

    None when it warns, or is so large that Pillow should decide: what Pillow makes of such an image counts.
    """
    import simplejpeg

    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        return None
    try:
        array = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False, strict=True)
    except ValueError:
        return None
    return Image.frombuffer("RGB", (array.shape[1], array.shape[0]), array, "raw", "RGB", 0, 1)


def _extremes(image: Image.Image) -> Any:
    return image.getextrema()


def _levels(values: npt.NDArray[np.float64]) -> bytes:
    return np.rint(values).clip(0, 255).astype(np.uint8).tobytes()
