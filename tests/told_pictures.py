"""Places of triplets and of episodes whose pictures tell which they are, on disk and in a bucket."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from loader_places import client, color, number_of
from visprep.settings import S3Settings

#: Width and height.
SIZE = (12, 16)


def png(number: int, size: tuple[int, int] = SIZE) -> bytes:
    """A PNG of one color that tells its number, up to 511: see `number_of`."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), color(number), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Told:
    """Files by path, and the number that each picture tells."""

    files: dict[str, bytes] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def add(self, path: str, size: tuple[int, int] = SIZE) -> None:
        self.numbers[path] = len(self.numbers)
        self.files[path] = png(self.numbers[path], size)

    def triplet(self, directory: str, stem: str, cloth: str = "dress", size: tuple[int, int] = SIZE) -> None:
        for path in pictures(directory, stem, cloth):
            self.add(path, size)

    def episode(self, path: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.add(f"{path}/frame_{number:03}.png")

    def on_disk(self, root: Path) -> Path:
        for path, data in self.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return root

    def in_bucket(self, endpoint: str, prefix: str = "", bucket: str | None = None) -> str:
        """The name of the bucket, a new one if none is given."""
        s3 = client(endpoint)
        if bucket is None:
            bucket = f"told-{uuid.uuid4().hex[:12]}"
            s3.create_bucket(Bucket=bucket)
        for path, data in self.files.items():
            s3.put_object(Bucket=bucket, Key=prefix + path, Body=data)
        return bucket


def pictures(directory: str, stem: str, cloth: str = "dress") -> tuple[str, str, str]:
    """The paths of person, cloth and try-on."""
    start = f"{directory}/" if directory else ""
    return (
        f"{start}initial_image/{stem}_person.png",
        f"{start}cloth_image/{stem}_cloth_{cloth}.png",
        f"{start}try_on_image/{stem}_vton.png",
    )


def seed_place(counts: Mapping[str, int]) -> Told:
    """Triplets `001`, `002`, ... in each of some directories."""
    told = Told()
    for directory, count in counts.items():
        for number in range(1, count + 1):
            told.triplet(directory, f"{number:03}")
    return told


def told_by(image: Image.Image) -> int:
    """The number of a picture that `png` made."""
    return number_of(np.asarray(image).astype(float) + 1.5)


def settings(endpoint: str) -> S3Settings:
    return S3Settings(endpoint_url=endpoint, access_key="testing", secret_key="testing", region="us-east-1")
