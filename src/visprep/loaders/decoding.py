"""Encoded images as what a transform takes: RGB, 8 bits, whole or refused."""

from __future__ import annotations

from PIL import Image

from visprep import images


def decode(data: bytes, min_size: tuple[int, int] | None = None, *, exif: str = "keep") -> Image.Image:
    """The image as RGB; WrongContent when it is damaged, or none at all.

    With `min_size` (width, height) a JPEG may come smaller than it is stored, but not below that. `exif` says what of
    the turning that EXIF may ask for: `keep` the pixels as they are stored, as torchvision and pycocotools do, or
    `rotate` them.
    """
    image = images.decode(data)
    if exif == "keep":
        image.getexif().clear()
        image.info.pop("exif", None)
    return images.to_pil(image)
