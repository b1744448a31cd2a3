"""Images with a fault planted in each, of a known kind, and odd ones that are all right: for benchmark and tests."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

_KB = 1024


def photo(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """A picture with the structure and the noise of a photo, more here and less there: some 175 KB as a JPEG."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = np.asarray(Image.fromarray(rng.integers(0, 50, (5, 6), dtype=np.uint8)).resize((width, height)))[:, :, None]
    return Image.fromarray(np.clip(smooth + rng.normal(0, 1, smooth.shape) * grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """An image as a file."""
    buffer = io.BytesIO()
    image.save(buffer, format, **({"quality": 90} if format in ("JPEG", "WEBP") else {}) | options)
    return buffer.getvalue()


def _hole(data: bytes, size: int, fill: Callable[[int], bytes], rng: random.Random) -> bytes:
    size = min(size, len(data) // 3)
    at = rng.randrange(len(data) // 3, len(data) * 2 // 3 - size // 2)
    return data[:at] + fill(size) + data[at + size :]


def _flipped(data: bytes, count: int, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for at in rng.sample(range(_pixels(data), len(data) - 2), count):
        changed[at] ^= rng.randrange(1, 256)
    return bytes(changed)


def _pixels(data: bytes) -> int:
    """Where the pixels of a JPEG begin."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _spliced(seed: int, data: bytes) -> bytes:
    other = encoded(photo(seed + 1_000))
    return data[: len(data) // 2] + other[len(other) // 2 :]


Maker = Callable[[int], bytes]
_HTML = b"<!DOCTYPE html><html><head><title>403 Forbidden</title></head><body>No.</body></html>\n"


def _of(change: Callable[[bytes, random.Random], bytes]) -> Maker:
    return lambda seed: change(encoded(photo(seed)), random.Random(seed))


def _as(format: str, **options: Any) -> Maker:
    return lambda seed: encoded(photo(seed), format, **options)


#: Kind -> (the codes of which one at the least must be found, what makes it); no codes: nothing may be found that is an
#: error. All are files named .jpg.
KINDS: dict[str, tuple[tuple[str, ...], Maker]] = {
    "good": ((), _as("JPEG")),
    "good, gray": ((), lambda seed: encoded(photo(seed).convert("L"))),
    "good, progressive": ((), _as("JPEG", progressive=True)),
    "good, CMYK": ((), lambda seed: encoded(photo(seed).convert("CMYK"))),
    "good, bytes after its end": ((), _of(lambda data, rng: data + rng.randbytes(1_000))),
    "empty": (("image-empty",), lambda _: b""),
    "HTML page": (("image-not-image",), lambda _: _HTML),
    "all zeros": (("image-not-image",), _of(lambda data, _: bytes(len(data)))),
    "cut in its header": (("image-truncated",), _of(lambda data, _: data[:200])),
    "cut, 1 % left": (("image-truncated",), _of(lambda data, _: data[: len(data) // 100])),
    "cut, 50 % left": (("image-truncated",), _of(lambda data, _: data[: len(data) // 2])),
    "cut, progressive": (("image-truncated",), lambda seed: encoded(photo(seed), progressive=True)[: 40 * _KB]),
    "cut, 64 bytes": (("image-truncated",), _of(lambda data, _: data[:-64])),
    "cut, the end mark": (("image-truncated",), _of(lambda data, _: data[:-2])),
    "last 30 % zeros": (
        ("image-truncated",),
        _of(lambda data, _: data[: len(data) * 7 // 10] + bytes(len(data) * 3 // 10)),
    ),
    "4 KB zeros inside": (("image-damaged",), _of(lambda data, rng: _hole(data, 4 * _KB, bytes, rng))),
    "4 KB random inside": (
        ("image-damaged", "image-truncated"),
        _of(lambda data, rng: _hole(data, 4 * _KB, rng.randbytes, rng)),
    ),
    "16 KB missing inside": (("image-damaged",), _of(lambda data, rng: _hole(data, 16 * _KB, lambda _: b"", rng))),
    "32 bytes flipped": (("image-damaged", "image-truncated"), _of(lambda data, rng: _flipped(data, 32, rng))),
    "1 byte flipped": (("image-damaged", "image-truncated"), _of(lambda data, rng: _flipped(data, 1, rng))),
    "two files spliced": (("image-damaged", "image-truncated"), lambda seed: _spliced(seed, encoded(photo(seed)))),
    "PNG": (("image-other-format",), _as("PNG")),
    "GIF": (("image-other-format",), _as("GIF")),
    "WebP": (("image-other-format",), _as("WEBP")),
}


def planted(kind: str, count: int) -> Iterator[bytes]:
    """So many files of a kind, the same ones every time."""
    return (KINDS[kind][1](seed) for seed in range(count))
