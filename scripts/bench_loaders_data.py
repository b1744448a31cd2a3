"""The images that `bench_loaders.py` loads: made, kept on disk, and put to S3 as they are and in tar files."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

from image_faults import encoded, photo

#: Images that differ; the others are copies of them under names of their own.
_DIFFERENT = 300
#: Images in a tar file.
SHARD = 64
#: Widths and heights as they come in COCO, so often in twenty.
_COCO = (
    *[(640, 480)] * 6,
    *[(640, 427)] * 4,
    *[(480, 640)] * 2,
    *[(640, 426), (640, 428), (427, 640), (500, 375), (375, 500), (640, 360), (612, 612), (500, 333)],
)
#: Name of a set -> the quality of its JPEGs: some 119 KB each of one size, and some 160 KB of many sizes.
SETS = {"one-size": 82, "coco-sizes": 91}


def make(folder: Path, kind: str, count: int) -> None:
    """So many JPEGs `000000.jpg`, ... in `folder/images`, and tar files of them in `folder/tars`; nothing if there."""
    images, tars = folder / "images", folder / "tars"
    if images.is_dir() and sum(1 for _ in images.iterdir()) == count:
        return
    images.mkdir(parents=True)
    tars.mkdir()
    dice = random.Random(kind)
    originals = []
    for number in range(min(count, _DIFFERENT)):
        width, height = dice.choice(_COCO) if kind == "coco-sizes" else (640, 480)
        originals.append(encoded(photo(number, width, height), quality=SETS[kind]))
    for number in range(count):
        (images / f"{number:06}.jpg").write_bytes(originals[number % len(originals)])
    for first in range(0, count, SHARD):
        with tarfile.open(tars / f"{first // SHARD:04}.tar", "w") as tar:
            for number in range(first, min(count, first + SHARD)):
                data = originals[number % len(originals)]
                member = tarfile.TarInfo(f"{number:06}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
