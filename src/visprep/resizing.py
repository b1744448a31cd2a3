"""Images that are made smaller on their way into a place."""

from __future__ import annotations

import io
from functools import partial

from PIL import Image, JpegImagePlugin

from visprep import wire
from visprep.convert_output import Made
from visprep.converting import Wish
from visprep.errors import WrongContent
from visprep.formats.coco_scaling import shrunk
from visprep.image_headers import calm, in_words, probe
from visprep.images import decode
from visprep.manifest import File
from visprep.renamed import Renamed
from visprep.stores import Store

__all__ = ["QUALITY", "picture", "resized"]

#: The quality of JPEG and WebP where none is said.
QUALITY = 90

Size = tuple[int, int]


def picture(path: str, store: Store, file: File, size: Size, wish: Wish) -> Renamed | Made:
    """An image as it is to be at `path`: the file itself, or a smaller one where it is larger than `wish.max_side`.

    `size` is the width and height that annotations say it has.
    """
    new = shrunk(size, wish.max_side) if wish.max_side else None
    if new is None:
        return Renamed(path, store, file)
    return Made(path, partial(_read_and_resized, store, file, size, new, wish.quality or QUALITY), costly=True)


def _read_and_resized(store: Store, file: File, size: Size, new: Size, quality: int) -> bytes:
    try:
        return resized(wire.wait(store.read(file.path)), size, new, quality)
    except WrongContent as problem:
        raise WrongContent(f"{file.path}: {problem.message}", hint=problem.hint) from None


def resized(data: bytes, size: Size, new: Size, quality: int) -> bytes:
    """An image of `size` as one of size `new`, in the same format, with its EXIF and color profile.

    An image whose EXIF turns it by a quarter is of `size` as stored, or as shown. JPEG keeps its chroma subsampling.
    WrongContent when it is of neither size, is animated, or cannot be decoded.
    """
    facts = probe(data)
    if facts.size not in (size, size[::-1] if facts.orientation >= 5 else size):
        told = f"it is {facts.width} x {facts.height} pixels, and its annotations say {size[0]} x {size[1]}"
        raise WrongContent(told, hint="visprep verify tells all such images")
    if facts.animated:
        raise WrongContent("it is animated, and would be one image when made smaller")
    image = decode(data)
    options: dict[str, object] = {name: image.info[name] for name in ("exif", "icc_profile") if image.info.get(name)}
    if facts.format in ("JPEG", "MPO"):
        sampling = JpegImagePlugin.get_sampling(image)
        options |= {"quality": quality, **({"subsampling": sampling} if sampling >= 0 else {})}
    elif facts.format == "WEBP":
        options["quality"] = quality
    out = io.BytesIO()
    try:
        with calm():
            small = _blendable(image).resize(new if facts.size == size else new[::-1], Image.Resampling.LANCZOS)
            small.save(out, "JPEG" if facts.format == "MPO" else facts.format, **options)
    except (OSError, ValueError) as problem:  # a format that is read and cannot be written
        raise WrongContent(f"it cannot be made smaller: {in_words(problem)}") from problem
    return out.getvalue()


def _blendable(image: Image.Image) -> Image.Image:
    """The image in a mode in which there are colors between two pixels."""
    if "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert({"1": "L", "P": "RGB", "PA": "RGBA"}.get(image.mode, image.mode))
