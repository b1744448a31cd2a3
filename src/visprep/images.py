"""Images: from whatever a dataset holds (files, bytes, arrays, Hugging Face's cells) to Pillow images and to PNG.

Only formats that are told by their first bytes are read; the name of a file decides nothing. Pillow does the decoding,
with two checks added that it leaves out: the checksums and the end of a PNG, and the end of a JPEG. An image that
declares more pixels than `PIL.Image.MAX_IMAGE_PIXELS` is refused as a decompression bomb before its pixels are made.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from visprep import pngs
from visprep.errors import AccessDenied, DiskError, FileMissing, StoreError, WrongContent
from visprep.image_headers import (
    HEAD_BYTES,
    ImageFacts,
    calm,
    container_fault,
    describe,
    image_format,
    in_words,
    open_lazily,
    orientation_of,
    probe,
)

__all__ = [
    "HEAD_BYTES",
    "ImageFacts",
    "as_png",
    "container_fault",
    "convert_to_pil_image",
    "decode",
    "decode_fault",
    "describe",
    "encode_png",
    "image_format",
    "load_from_path",
    "numpy_to_pil",
    "probe",
    "to_pil",
]

#: From the scale that PNG notes a transparent color in to the scale of Pillow's pixels.
_KEY_SCALE = {"1": 255.0, "L;2": 85.0, "L;4": 17.0, "RGB;16": 1 / 256}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def decode(data: bytes) -> Image.Image:
    """The pixels of an encoded image, in the mode that it stores, not turned by EXIF; of an animation the first frame.

    WrongContent, saying what is wrong, when it is no image, is cut off or damaged, or too large to be true. Bytes
    after its end are ignored.
    """
    kind = image_format(data)
    facts = probe(data) if kind == "PNG" else None
    if fault := container_fault(data):
        raise WrongContent(f"{describe(data)}, {fault}")
    with calm(), open_lazily(data, kind) as image:
        try:
            image.load()
            early = facts is not None and _may_end_early(image, data)
        except Exception as problem:  # on damaged data Pillow raises whatever its plugin stumbles over
            raise WrongContent(f"{describe(data)} that cannot be decoded: {in_words(problem)}") from problem
    if facts:
        if early and (missing := pngs.missing_pixels(data)):
            raise WrongContent(f"{describe(data)}, {missing}")
        _scale_key(image, facts.mode)
    return image


def _may_end_early(image: Image.Image, data: bytes) -> bool:
    """Whether a PNG must be inflated once more to know that no pixel is missing: only if its last row is all zeros."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    return pngs.interlaced(data) or not any(last_row.tobytes())


def _scale_key(image: Image.Image, stored: str) -> None:
    """Bring the see-through color of a PNG to the scale of Pillow's pixels, as Pillow itself does for 8 bits only."""
    key, scale = image.info.get("transparency"), _KEY_SCALE.get(stored)
    if scale and isinstance(key, tuple):
        image.info["transparency"] = tuple(int(value * scale) for value in key)
    elif scale and isinstance(key, int):
        image.info["transparency"] = int(key * scale)


def decode_fault(data: bytes) -> str | None:
    """Why an encoded image does not decode to its last pixel; None when it does. Bytes after its end are no fault."""
    try:
        decode(data)
    except WrongContent as fault:
        return fault.message
    return None


def convert_to_pil_image(image_input: Any, mode: str = "RGB") -> Image.Image | None:
    """`image_input` as an upright Pillow image of `mode`; None when that cannot be done, whatever the reason.

    Understood: Pillow images, arrays (see `numpy_to_pil`), paths, encoded bytes, and `{"bytes": ..., "path": ...}`
    as Hugging Face gives. Transparent pixels are laid on white where `mode` has no alpha; 16 bits are scaled to 8.
    """
    try:
        return to_pil(image_input, mode)
    except StoreError:
        return None


def to_pil(image_input: Any, mode: str = "RGB") -> Image.Image:
    """Like `convert_to_pil_image`, but with the reason: WrongContent, FileMissing, AccessDenied or DiskError."""
    image = _image_of(image_input)
    try:
        with calm():
            image.load()  # before EXIF is asked for, which would swallow that a lazy image of the caller's is damaged
            upright = image if orientation_of(image) == 1 else ImageOps.exif_transpose(image)
            converted = _in_mode(upright, mode)
            return converted.copy() if converted is image_input else converted
    except StoreError:
        raise
    except Exception as problem:  # damaged pixels, as in decode, or a mode that there is not
        raise WrongContent(f"the image cannot be converted to {mode}: {in_words(problem)}") from problem


def _image_of(image_input: Any) -> Image.Image:
    if isinstance(image_input, Image.Image):
        return image_input
    if isinstance(image_input, np.ndarray):
        return numpy_to_pil(image_input)
    if isinstance(image_input, bytes | bytearray | memoryview):
        return decode(bytes(image_input))
    if isinstance(image_input, str | os.PathLike):
        return load_from_path(image_input)
    if isinstance(image_input, Mapping):
        content = image_input.get("bytes")
        content = image_input.get("path") if content is None else content
        if content is not None and not isinstance(content, Mapping):
            return _image_of(content)
    kind = "nothing" if image_input is None else f"a {type(image_input).__name__}"
    raise WrongContent(f"{kind} where an image should be")


def load_from_path(path: str | os.PathLike[str]) -> Image.Image:
    """The image in a file, upright, in the mode that it is stored in.

    FileMissing, AccessDenied or DiskError when the file cannot be read, WrongContent when it does not decode.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise FileMissing(f"{os.fspath(path)}: no such file") from problem
    except PermissionError as problem:
        raise AccessDenied(f"{os.fspath(path)}: permission denied", hint="check the owner and permissions") from problem
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise DiskError(f"{os.fspath(path)}: {problem}") from problem
    try:
        image = decode(data)
    except WrongContent as fault:
        raise WrongContent(f"{os.fspath(path)}: {fault.message}") from fault
    with calm():
        return image if orientation_of(image) == 1 else ImageOps.exif_transpose(image)


def numpy_to_pil(arr: np.ndarray[Any, Any]) -> Image.Image:
    """An array of height x width, or height x width x 1, 3 or 4 (gray, RGB, RGBA), as an 8-bit image.

    bool becomes black and white; uint8 stays; uint16 is scaled by 1/257; other integers must lie in 0..255. Floats
    count as 0..1 when none is above 1, else as 0..255, and are rounded and clipped. WrongContent for other shapes,
    other types, no pixels, NaN and infinity.
    """
    if arr.ndim == 3 and arr.shape[2] == 1:
        arr = arr[:, :, 0]
    if arr.size == 0 or not (arr.ndim == 2 or (arr.ndim == 3 and arr.shape[2] in (3, 4))):
        raise WrongContent(f"an array of shape {arr.shape} is no image: height x width [x 1, 3 or 4] is")
    return Image.fromarray(np.ascontiguousarray(_to_uint8(arr)))


def _to_uint8(arr: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    kind = arr.dtype.kind
    if arr.dtype == np.uint8:
        return arr
    if kind == "b":
        return arr.astype(np.uint8) * np.uint8(255)
    if kind == "u" and arr.dtype.itemsize == 2:
        return ((arr.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if kind in "iu":
        if arr.min() < 0 or arr.max() > 255:
            raise WrongContent(f"{arr.dtype} values from {arr.min()} to {arr.max()} have no known scale: 0 to 255 has")
        return arr.astype(np.uint8)
    if kind == "f":
        if not np.isfinite(arr).all():
            raise WrongContent("the array holds NaN or infinity")
        values = arr.astype(np.float64)
        scaled: np.ndarray[Any, Any] = np.rint(values * 255 if values.max() <= 1 else values)
        return scaled.clip(0, 255).astype(np.uint8)
    raise WrongContent(f"an array of {arr.dtype} is no image")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    image = _eight_bit(image)
    if mode in _WITH_ALPHA:
        return image.convert("RGBA").convert(mode)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The same picture with 8 bits a channel: Pillow alone would clip 16 bits, and floats, to white."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        values = values.astype(np.uint16)
    gray = numpy_to_pil(values)
    key = image.info.get("transparency")
    if isinstance(key, int):
        gray.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return gray


def as_png(data: bytes) -> bytes:
    """An encoded image of any kind as a PNG: 8-bit RGB, upright, transparent pixels on white; WrongContent if damaged.

    A PNG that is that already is returned as it is, to the byte. Otherwise only pixels are kept: no color profile, no
    text. The same input gives the same bytes with the same versions of Pillow and zlib.
    """
    image = decode(data)
    if image_format(data) == "PNG" and probe(data).plain and orientation_of(image) == 1:
        return data
    return encode_png(to_pil(image))


def encode_png(image: Image.Image) -> bytes:
    """A Pillow image as PNG bytes, pixels only; the same pixels give the same bytes."""
    bare = image.copy()
    bare.info.clear()
    buffer = io.BytesIO()
    bare.save(buffer, "PNG")
    return buffer.getvalue()
