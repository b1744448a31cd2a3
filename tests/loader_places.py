"""An S3 in a process of its own, with photographs in a bucket and a COCO JSON that names them by `s3://`.

Its fixtures, `s3_process` and `photographs`, are there for every test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visprep.settings import S3Settings

_SERVER = """
import sys
from moto_servers import moto_server
with moto_server() as url:
    print(url, flush=True)
    sys.stdin.read()  # until whoever started it ends
"""
SIZES = ((64, 48), (48, 64), (80, 60), (33, 17))


@pytest.fixture(scope="session")
def s3_process() -> Iterator[str]:
    """The URL of a moto server that shares no interpreter with the test: it survives forks, and takes no GIL."""
    pytest.importorskip("moto.server", reason="moto's server is in the demo extra")
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    yield process.stdout.readline().decode().strip()
    process.terminate()  # workers that are left may hold its stdin, too
    process.communicate()


@dataclass(frozen=True)
class Photographs:
    """A bucket of `count` JPEGs (`images/0000.jpg`, ...) and `annotations`, a COCO JSON on disk that names them."""

    endpoint: str
    bucket: str
    annotations: Path
    data: tuple[bytes, ...]
    sizes: tuple[tuple[int, int], ...]

    @property
    def settings(self) -> S3Settings:
        return S3Settings(endpoint_url=self.endpoint, access_key="testing", secret_key="testing", region="us-east-1")

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(f"s3://{self.bucket}/{key(number)}" for number in range(len(self.data)))

    def client(self, **more: Any) -> Any:
        """A boto3 client of the server."""
        return client(self.endpoint, **more)

    def put(self, key: str, data: bytes, **more: Any) -> str:
        """Put an object; its URL."""
        self.client().put_object(Bucket=self.bucket, Key=key, Body=data, **more)
        return f"s3://{self.bucket}/{key}"

    def spoil(self, number: int, data: bytes = b"\xff\xd8\xff no image") -> None:
        """Put something else in an image's place."""
        self.put(key(number), data)

    def remove(self, number: int) -> None:
        """Delete an image's object."""
        self.client().delete_object(Bucket=self.bucket, Key=key(number))


def key(number: int) -> str:
    return f"images/{number:04}.jpg"


def client(endpoint: str, **more: Any) -> Any:
    import boto3

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **{**keys, **more})


def jpeg(number: int, size: tuple[int, int] = SIZES[0], quality: int = 85) -> bytes:
    """A JPEG of one color that tells its number (see `number_of`), with a little noise."""
    import simplejpeg

    width, height = size
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = color(number)
    pixels += np.random.default_rng(number).integers(0, 4, pixels.shape, np.uint8)
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality, colorsubsampling="444")
    return encoded


def color(number: int) -> tuple[int, int, int]:
    return 20 + number % 8 * 28, 20 + number // 8 % 8 * 28, 20 + number // 64 % 8 * 28


def number_of(image: Any) -> int:
    """The number of the image that `jpeg` made, told from its pixels: a Pillow image, or H x W x 3 as an array."""
    middle = np.asarray(image).reshape(-1, 3).astype(float).mean(axis=0)
    digits = [round((value - 21.5) / 28) for value in middle]
    return digits[0] + digits[1] * 8 + digits[2] * 64


def drained(loader: Any) -> list[Any]:
    """All samples of a DataLoader; its workers end here: where torch ends them after an error, that takes 5 seconds."""
    batches = iter(loader)
    try:
        return [sample for batch in batches for sample in batch]
    finally:
        if loader.num_workers:
            batches._shutdown_workers()


def fill(endpoint: str, directory: Path, count: int = 24, sizes: Sequence[tuple[int, int]] = SIZES) -> Photographs:
    """A fresh bucket with so many images, of these sizes in turn; the COCO JSON lies in `directory`."""
    s3, bucket = client(endpoint), f"photographs-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)
    chosen = tuple(sizes[number % len(sizes)] for number in range(count))
    data = tuple(jpeg(number, chosen[number]) for number in range(count))
    for number, image in enumerate(data):
        s3.put_object(Bucket=bucket, Key=key(number), Body=image)
    images = [
        {"id": 100 + number, "file_name": f"s3://{bucket}/{key(number)}", "width": width, "height": height}
        for number, (width, height) in enumerate(chosen)
    ]
    # As many as the rest of a division by three says: some images have none
    annotations = [
        {
            "id": 1000 + number * 10 + nth,
            "image_id": 100 + number,
            "category_id": 1 + nth,
            "bbox": [1 + nth, 2, 10, 12],
            "area": 120,
            "iscrowd": 0,
            "segmentation": [[1 + nth, 2, 11 + nth, 2, 11 + nth, 14, 1 + nth, 14]],
        }
        for number in range(count)
        for nth in range(number % 3)
    ]
    categories = [{"id": 1, "name": "cat", "supercategory": "animal"}, {"id": 2, "name": "dog"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    path = directory / "instances.json"
    path.write_text(json.dumps(document))
    return Photographs(endpoint, bucket, path, data, chosen)


@pytest.fixture
def photographs(s3_process: str, tmp_path: Path) -> Photographs:
    """Twenty-four photographs of four sizes in a bucket of their own."""
    return fill(s3_process, tmp_path)
