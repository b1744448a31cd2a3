"""Duplicates: what of planted copies is found, how fast fingerprints are made, and how long it takes to compare them.

The rates are percent of the copies that are found again among all originals and copies of that kind, each saved as a
JPEG of quality 90. The peer is the package ImageHash (pip install ImageHash): its phash of 64 bits, of which those are
called alike that differ in 10 bits at most, compared each with each by numpy, 8 bytes at a time.

The fingerprints to compare are drawn: thumbnails with the spectrum of photos (of 38 of COCO), and a tenth of them once
more with the noise of a re-encoding. Seconds are of the processor, of one thread.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from image_faults import encoded, photo
from planted_images import OTHER, REENCODED, RESIZED, different, scene
from visprep.engines.local import cores, map_ordered
from visprep.fingerprints import ROW, Rows, fingerprint
from visprep.similar import classes

try:
    import imagehash
except ImportError:
    imagehash = None

#: Bits of 64 by which two hashes of the peer may differ.
_BITS = 10


def printed(images: Iterable[Image.Image]) -> tuple[Rows, Any]:
    """Our fingerprints, and the peer's."""
    files = [encoded(image) for image in images]
    theirs = np.array([phash(data) for data in files], np.uint64) if imagehash else np.zeros(len(files), np.uint64)
    return np.concatenate([fingerprint(data).row() for data in files]), theirs


def phash(data: bytes) -> int:
    """The hash of 64 bits that ImageHash makes of an image."""
    return int(str(imagehash.phash(Image.open(io.BytesIO(data)))), 16)


def each_with_each(hashes: Any) -> int:
    """Pairs of hashes that are near, by comparing all."""
    return sum(int((np.bitwise_count(hashes[at + 1 :] ^ one) <= _BITS).sum()) for at, one in enumerate(hashes))


def rates(images: list[Image.Image], name: str) -> None:
    """Print what is found of copies of some images."""
    ours, theirs = printed(images)
    count = len(images)
    print(f"\nfound, percent of {count} {name}{'':<20}{'visprep':>10}{'phash':>10}")
    for title, kinds in (("encoded again", REENCODED), ("resized", RESIZED)):
        found = [share(ours, theirs, printed(map(change, images)), count) for change in kinds.values()]
        worst = [min(one[side] for one in found) for side in (0, 1)]
        print(f"{f'{title}, the worst of {len(kinds)} ways':<46}{worst[0]:>10.1f}{worst[1]:>10.1f}")
    for kind, change in OTHER.items():
        mine, peer = share(ours, theirs, printed(map(change, images)), count)
        print(f"{kind:<46}{mine:>10.1f}{peer:>10.1f}")


def share(ours: Rows, theirs: Any, again: tuple[Rows, Any], count: int) -> tuple[float, float]:
    """Percent of copies that are found, ours and the peer's."""
    looks = classes(np.concatenate([ours, again[0]])).looks
    near = np.bitwise_count(theirs ^ again[1]) <= _BITS if imagehash else np.full(count, np.nan)
    return 100 * float((looks[count:] == looks[:count]).mean()), 100 * float(near.mean())


def false_pairs() -> None:
    """Print how many of a thousand images that are all different are called the same."""
    ours, theirs = printed(image for _, image in different(1_000))
    peer = each_with_each(theirs) if imagehash else float("nan")
    print(f"\npairs among 1,000 images that are all different: visprep {len(classes(ours).pairs)}, phash {peer}")


def speed(count: int) -> None:
    """Print how many images a second get a fingerprint."""
    files = [encoded(photo(number)) for number in range(40)] * (count // 40)
    print(f"\nfingerprints a second, JPEGs of 640 x 480 and {len(files[0]) // 1000} KB")
    works: list[tuple[str, Callable[[bytes], Any], int]] = [
        ("visprep, 1 thread", fingerprint, 1),
        (f"visprep, {cores()} threads", fingerprint, cores()),
    ]
    if imagehash:
        works += [("ImageHash phash, 1 thread", phash, 1)]
    for name, work, jobs in works:
        rate = []
        for _ in range(3):
            began = time.perf_counter()
            for _ in map_ordered(work, files, jobs):
                pass
            rate.append(len(files) / (time.perf_counter() - began))
        print(f"{name:<30}{sorted(rate)[1]:>8.0f}")


def collection(count: int, seed: int = 0) -> Rows:
    """Fingerprints of so many pictures, a tenth of them encoded again."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    rows["there"] = True
    axis = np.arange(16)
    spread = 17.0 * np.maximum(axis[:, None] + axis[None], 1) ** -0.85
    spread[0, 0] = 40
    waves = np.cos(np.pi * axis[:, None] * (axis[None] + 0.5) / 16).astype(np.float32)
    waves[1:] *= np.float32(np.sqrt(2))
    for at in range(0, count, 16_384):
        some = rows[at : at + 16_384]
        contrast = np.exp(rng.normal(0, 0.35, (len(some), 1, 1)))
        cells = waves.T @ (rng.normal(0, spread, (len(some), 16, 16)) * contrast).astype(np.float32) @ waves
        some["luma"] = np.clip(115 + cells, 0, 255).reshape(len(some), 256)
        some["chroma"] = np.clip(rng.normal(128, 12, (len(some), 32)), 0, 255)
        some["bytes"] = rng.integers(0, 256, (len(some), 32), dtype=np.uint8)
        some["pixels"] = rng.integers(0, 256, (len(some), 16), dtype=np.uint8)
    again = count // 10
    origin = rng.integers(0, count - again, again)
    noise = np.rint(rng.normal(0, 0.7, (again, 256)))
    rows["luma"][count - again :] = np.clip(rows["luma"][origin] + noise, 0, 255)
    rows["chroma"][count - again :] = rows["chroma"][origin]
    return rows


def growth(counts: list[int], most: int) -> None:
    """Print what comparing takes, for us and for the peer's hashes each with each."""
    titles = ("images", "seconds", "us/image", "compared/image", "found", "peak MB", "each with each, s")
    print("\n" + "".join(f"{title:>{len(title) + 3}}" for title in titles))
    for count in counts:
        rows = collection(count)
        began = time.process_time()
        found = classes(rows)
        took = time.process_time() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        hashes = np.random.default_rng(0).integers(0, 2**63, count, dtype=np.uint64)
        began = time.process_time()
        if count <= most:
            each_with_each(hashes)
        peer = f"{time.process_time() - began:.1f}" if count <= most else "-"
        cells = (f"{count:,}", f"{took:.2f}", f"{took / count * 1e6:.1f}", f"{found.compared / count:.1f}")
        cells += (f"{len(found.pairs) / (count // 10):.2%}", f"{peak:.0f}", peer)
        print("".join(f"{cell:>{len(title) + 3}}" for cell, title in zip(cells, titles, strict=True)), flush=True)


def crowds(count: int) -> None:
    """Print what comparing takes where very many are nearly the same."""
    rng = np.random.default_rng(1)
    one = np.repeat(collection(10)[:1], count)
    one["bytes"], one["pixels"] = collection(count)["bytes"], collection(count)["pixels"]
    print(f"\n{f'{count:,} images that are nearly the same':<38}{'seconds':>14}{'groups':>9}{'crowded':>9}")
    for name, noise in (("copies", 0.0), ("encoded again", 0.7), ("noise too great", 6.0)):
        rows = np.repeat(collection(10)[:1], count) if not noise else one.copy()
        if noise:
            rows["luma"] = np.clip(rows["luma"] + np.rint(rng.normal(0, noise, (count, 256))), 0, 255)
        began = time.process_time()
        found = classes(rows)
        took = time.process_time() - began
        print(f"{name:<38}{took:>14.2f}{len(np.unique(found.looks)):>9,}{found.crowded:>9,}", flush=True)


def main() -> None:
    """Print the rates, the speed, the growth, and the crowds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100, help="drawn scenes to plant copies of; 0 for none")
    parser.add_argument("--photos", type=Path, help="a directory of photos, to plant copies of too")
    parser.add_argument("--files", type=int, default=400, help="files to time; 0 for none")
    parser.add_argument("--counts", type=int, nargs="*", default=[10_000, 30_000, 100_000, 300_000, 1_000_000])
    parser.add_argument("--each", type=int, default=30_000, help="compare so many hashes each with each, at most")
    parser.add_argument("--crowd", type=int, default=50_000, help="images of a crowd; 0 for none")
    asked = parser.parse_args()
    peer = "" if imagehash else "; no peer: ImageHash is not installed"
    print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}{peer}")
    if asked.counts:
        growth(asked.counts, asked.each)
    if asked.crowd:
        crowds(asked.crowd)
    if asked.files:
        speed(asked.files)
    if asked.images:
        false_pairs()
        rates([scene(seed) for seed in range(asked.images)], "drawn scenes")
    if asked.photos:
        rates([Image.open(path).convert("RGB") for path in sorted(asked.photos.rglob("*.jpg"))], "photos")


if __name__ == "__main__":
    main()
