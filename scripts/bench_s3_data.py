"""The files that `bench_s3.py` moves, and what it asks S3 beside the timing: seeding, counting, comparing, removing.

boto3 does the asking, in a process of its own: the memory of this one would count as the peak of its children.
"""

from __future__ import annotations

import filecmp
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
_PIECE = 16 * 1024 * 1024
_THREADS = 16
#: What visprep writes beside the files: it is not counted.
_RECORDS = (".visprep", "dataset.json")


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """What a function of this module returns, run in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def make(folder: Path, files: int, size: int) -> None:
    """So many files of so many random bytes each, the same every time; nothing is done when they are there."""
    if count(folder) == (files, files * size):
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"{files} {size}")
    for number in range(files):
        with (folder / f"{number:06}.bin").open("wb") as file:
            for at in range(0, size, _PIECE):
                file.write(rng.randbytes(min(_PIECE, size - at)))


def count(folder: Path) -> tuple[int, int]:
    """Files and bytes of a directory, without visprep's records."""
    sizes = [path.stat().st_size for path in _data(folder)]
    return len(sizes), sum(sizes)


def _data(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            path = Path(root, name)
            if path.relative_to(folder).parts[0] not in _RECORDS:
                yield path


def same(folder: Path, other: Path) -> bool:
    """Whether two directories hold the same files, to the byte."""
    ours = {path.relative_to(folder) for path in _data(folder)}
    theirs = {path.relative_to(other) for path in _data(other)}
    return ours == theirs and all(filecmp.cmp(folder / path, other / path, shallow=False) for path in ours)


def client(endpoint: str) -> Any:
    """An S3 client; keys, region and the CA come from the environment."""
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=_THREADS, s3={"addressing_style": "path"})
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def prepare_bucket(endpoint: str, bucket: str) -> None:
    """Make the bucket unless it is there."""
    s3 = client(endpoint)
    if bucket not in {one["Name"] for one in s3.list_buckets().get("Buckets", [])}:
        s3.create_bucket(Bucket=bucket)


def listed(endpoint: str, bucket: str, prefix: str) -> dict[str, int]:
    """Size by key, of what is under a prefix (which ends in a slash), without visprep's records."""
    pages = client(endpoint).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    found = {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}
    return {key: size for key, size in found.items() if key[len(prefix) :].split("/")[0] not in _RECORDS}


def count_objects(endpoint: str, bucket: str, prefix: str) -> tuple[int, int]:
    """Objects and bytes under a prefix, without visprep's records."""
    sizes = listed(endpoint, bucket, prefix).values()
    return len(sizes), sum(sizes)


def seed(endpoint: str, bucket: str, prefix: str, folder: Path) -> None:
    """Put every file of a directory under a prefix, unless as many files and bytes are there."""
    if count_objects(endpoint, bucket, prefix) == count(folder):
        return
    s3 = client(endpoint)
    with ThreadPoolExecutor(_THREADS) as pool:
        jobs = [pool.submit(s3.upload_file, str(path), bucket, prefix + path.name) for path in _data(folder)]
        for job in jobs:
            job.result()


def same_objects(endpoint: str, bucket: str, prefix: str, folder: Path) -> bool:
    """Whether the objects under a prefix are the files of a directory, to the byte."""
    s3 = client(endpoint)

    def equal(path: Path) -> bool:
        body = s3.get_object(Bucket=bucket, Key=prefix + path.name)["Body"]
        with path.open("rb") as file:
            while ours := file.read(_PIECE):
                if ours != body.read(len(ours)):
                    return False
            return not body.read(1)

    if count_objects(endpoint, bucket, prefix) != count(folder):
        return False
    with ThreadPoolExecutor(_THREADS) as pool:
        return all(pool.map(equal, _data(folder)))


def remove(endpoint: str, bucket: str, prefix: str) -> None:
    """Delete every object under a prefix, records too."""
    s3 = client(endpoint)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        if keys := [{"Key": one["Key"]} for one in page.get("Contents", [])]:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
