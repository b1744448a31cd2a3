"""Photographs with damage that shows at their beginning, their end, or in their size: for benchmark and tests.

The same ones every time, for a seed. They are encoded in several ways: plain, progressive, with tables of their own,
with EXIF and a thumbnail, with a long color profile, some as PNG.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator

from PIL import Image

from image_faults import encoded, photo

HTML = b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head><body>No.</body></html>\n"


def _exif(rng: random.Random) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x0112] = 1
    return exif.tobytes() + rng.randbytes(rng.randrange(10_000, 40_000))  # as a thumbnail behind it


def image(seed: int, suffix: str = "jpg", width: int = 640, height: int = 480) -> bytes:
    """A photograph of some 150 KB or more."""
    rng = random.Random(seed)
    picture = photo(seed, width, height)
    if suffix == "png":
        return encoded(picture.resize((width, height)), "PNG", compress_level=1)
    way = seed % 5
    options: dict[str, object] = {"quality": rng.choice((88, 90, 93, 96))}
    if way == 1:
        options["progressive"] = True
    elif way == 2:
        options["optimize"] = True
    elif way == 3:
        options["exif"] = _exif(rng)
    elif way == 4:
        options["icc_profile"] = rng.randbytes(rng.randrange(500, 70_000))
    return encoded(picture, **options)


def _zeroed_head(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((4, 16, 256, 4096, 65536))
    return bytes(size) + data[size:]


def _zeroed_tail(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((2, 3, 16, 255, 256, 257, 4096, rng.randrange(1, len(data) // 2)))
    return data[:-size] + bytes(size)


def _foreign_tail(data: bytes, rng: random.Random) -> bytes:
    size = rng.choice((16, 300, 4096, 20_000, rng.randrange(16, len(data) // 2)))
    text = (HTML * (size // len(HTML) + 1))[:size]
    return data[:-size] + rng.choice((rng.randbytes(size), text, bytes((0x20,)) * size, _video(size, rng)))


def _video(size: int, rng: random.Random) -> bytes:
    """What tables at the end of a video look like: numbers of four bytes that grow."""
    numbers, at = io.BytesIO(), rng.randrange(1 << 16)
    while numbers.tell() < size:
        at += rng.randrange(1, 3000)
        numbers.write(at.to_bytes(4, "big"))
    return numbers.getvalue()[:size]


Change = Callable[[bytes, random.Random], bytes]
#: Kind -> what makes it of a sound image.
KINDS: dict[str, Change] = {
    "wrong magic": lambda data, rng: rng.randbytes(8) + data[8:],
    "HTML": lambda data, rng: HTML,
    "zeroed head": _zeroed_head,
    "cut off": lambda data, rng: data[: rng.randrange(1, len(data) - 1)],
    "zeroed tail": _zeroed_tail,
    "foreign tail": _foreign_tail,
    "other size": lambda data, rng: image(rng.randrange(1 << 20), "jpg", 648, 480),
}


def planted(count: int, seed: int, every: int = 1) -> Iterator[tuple[str, bytes, str | None]]:
    """So many names and images, of which each `every`th has damage of a kind; the kinds take turns."""
    kinds = tuple(KINDS)
    for number in range(count):
        suffix = "png" if number % 10 == 9 else "jpg"
        data, kind = image(seed + number, suffix), None
        if number % every == every - 1:
            kind = kinds[number // every % len(kinds)]
            data = KINDS[kind](data, random.Random(seed + number))
        yield f"{number + 1:012}.{suffix}", data, kind
