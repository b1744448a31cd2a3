"""Fingerprints of images: a few hundred bytes by which a picture is recognized when it comes again.

Three of each, from the strictest to the widest: the digest of its bytes, the digest of its pixels (upright, 8-bit RGB),
and a thumbnail, which re-encoding and resizing hardly change. `similar` finds the images that share one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """By what two images are the same, the strictest first: each implies the next, as far as there is one."""

    BYTES = "bytes"
    PIXELS = "pixels"
    PERCEPTUAL = "perceptual"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of an image: 32 bytes of SHA-256, 16 of the pixels' digest, thumbnails of its luma and chroma.

    `one_color` says that all of its pixels are equal. `telling` says that the thumbnail says enough to be compared:
    an image that is nearly uniform, or tiny, is recognized by its bytes and its pixels alone.
    """

    bytes_digest: bytes
    pixel_digest: bytes
    luma: bytes
    chroma: bytes
    one_color: bool
    telling: bool


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of an encoded image; WrongContent when it does not decode to its last pixel."""
    raise NotImplementedError
