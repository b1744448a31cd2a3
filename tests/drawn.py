"""Places with triplets and with episodes, drawn for tests: small noise, each picture unlike all others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

SIZE = (24, 16)


def picture(seed: int, size: tuple[int, int] = SIZE, format: str = "PNG", **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def turned(seed: int, size: tuple[int, int]) -> bytes:
    """A picture that is to be turned by a quarter before it is shown."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return picture(seed, size, exif=exif)


def put(root: Path, path: str, data: bytes) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)


def triplet(root: Path, directory: str, stem: str, seed: int, **sizes: tuple[int, int]) -> None:
    """A sound triplet; `person`, `cloth` and `vton` may be of other sizes."""
    for number, (folder, name, word) in enumerate(
        (
            ("initial_image", f"{stem}_person.png", "person"),
            ("cloth_image", f"{stem}_cloth_dress.png", "cloth"),
            ("try_on_image", f"{stem}_vton.png", "vton"),
        )
    ):
        put(root, f"{directory}/{folder}/{name}", picture(3 * seed + number, sizes.get(word, SIZE)))


def triplets(root: Path) -> Path:
    """Four triplets: the stem 001 once in each of four directories."""
    for seed, directory in enumerate(("easy/female", "easy/male", "hard/female", "hard/male")):
        triplet(root, directory, "001", seed)
    return root


def episodes(root: Path) -> Path:
    """Two games with two episodes of three frames each."""
    seed = 0
    for game in ("game1", "game2"):
        for episode in ("episode1", "episode2"):
            for number in (1, 2, 3):
                seed += 1
                put(root, f"{game}/{episode}/frame_{number:03}.png", picture(seed))
    return root
