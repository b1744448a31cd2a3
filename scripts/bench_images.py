"""Image files: which of planted faults each reader notices, and how fast each is.

The table tells percent of files noticed; for the good ones those are false alarms. Pillow and OpenCV notice when they
raise or return nothing; visprep when it finds an error, at the depth `headers` (it walks over the marks, and makes no
pixels) and at `decode`. "named" is the share of what visprep noticed at `decode` to which it gave a code meant for that
kind.

The rates are per second and core, from files in the page cache, in one process with one thread, and with as many
threads as cores for decoding. Each pair of readers takes the same files in turn.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from image_faults import KINDS, encoded, photo, planted
from visprep.engines.local import cores, map_ordered
from visprep.image_loading import size_at_once
from visprep.rules import Depth, image_files

try:
    import cv2
    import numpy as np

    NO_OPENCV = ""
except ImportError:
    NO_OPENCV = "no column for OpenCV: it is not installed (pip install opencv-python-headless)"

Notices = Callable[[bytes], bool]


def pillow_verify(data: bytes) -> bool:
    """Whether Pillow's verify raises."""
    try:
        Image.open(io.BytesIO(data)).verify()
    except Exception:
        return True
    return False


def pillow_load(data: bytes) -> bool:
    """Whether Pillow raises when it makes the pixels."""
    try:
        Image.open(io.BytesIO(data)).load()
    except Exception:
        return True
    return False


def opencv(data: bytes) -> bool:
    """Whether OpenCV gives no picture, or raises, as it does for nothing."""
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # where its libjpeg talks of what it then passes over
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None
    except cv2.error:
        return True
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def errors(data: bytes, depth: Depth) -> list[str]:
    """The codes of the errors that visprep finds."""
    return [one.code for one in image_files.look(data, "photo.jpg", depth).findings if one.level == "error"]


READERS: dict[str, Notices] = {
    "Pillow verify": pillow_verify,
    "Pillow load": pillow_load,
    **({} if NO_OPENCV else {"OpenCV": opencv}),
    "visprep headers": lambda data: bool(errors(data, Depth.HEADERS)),
    "visprep decode": lambda data: bool(errors(data, Depth.DECODE)),
}


def catch_table(count: int) -> None:
    """Print what each notices."""
    print(f"noticed, percent of {count} files each")
    print(f"{'':<28}" + "".join(f"{name:>17}" for name in READERS) + f"{'named':>8}")
    for kind, (codes, _) in KINDS.items():
        files = list(planted(kind, count))
        shares = [100 * sum(map(notices, files)) / count for notices in READERS.values()]
        found = [seen for data in files if (seen := errors(data, Depth.DECODE))]
        named = f"{100 * sum(any(code in codes for code in seen) for seen in found) / len(found):8.0f}" if found else ""
        print(f"{kind:<28}" + "".join(f"{share:17.0f}" for share in shares) + named)


def rate(work: Callable[[Path], object], files: list[Path], jobs: int = 1) -> tuple[float, float]:
    """Files a second, and the share of the cores that was busy."""
    began, used = time.perf_counter(), time.process_time()
    done = sum(1 for _ in map_ordered(work, files, jobs))
    wall = time.perf_counter() - began
    return done / wall, (time.process_time() - used) / wall / jobs


def size_by_header(path: Path) -> object:
    """Width and height from the first 4 KB."""
    return size_at_once(str(path))


def size_by_pillow(path: Path) -> object:
    """Width and height as Pillow tells them."""
    with Image.open(path) as image:
        return image.size


def rates(files: list[Path], pairs: int) -> None:
    """Print how fast each is, peer and visprep in turn."""

    def load(path: Path) -> object:
        return Image.open(io.BytesIO(path.read_bytes())).load()

    def look(depth: Depth) -> Callable[[Path], object]:
        return lambda path: image_files.look(path.read_bytes(), path.name, depth)

    all_cores = cores()
    rows = (
        ("size", "Pillow open", size_by_pillow, size_by_header, 40_000, 1),
        ("headers", "Pillow load", load, look(Depth.HEADERS), 10_000, 1),
        ("decode", "Pillow load", load, look(Depth.DECODE), None, 1),
        (f"decode, {all_cores} threads", "Pillow load", load, look(Depth.DECODE), None, all_cores),
    )
    print(f"\n{'files a second':<20}{'peer':<14}{'peer':>10}{'visprep':>10}{'ratio':>8}{'busy':>7}  target")
    for what, peer, theirs, ours, target, jobs in rows:
        took = files * (20 if what == "size" else 1)
        results = [(rate(theirs, took, jobs), rate(ours, took, jobs)) for _ in range(pairs)]
        their_rate, our_rate = (statistics.median(one[side][0] for one in results) for side in (0, 1))
        ratio = statistics.median(mine[0] / peers[0] for peers, mine in results)
        busy = statistics.median(mine[1] for _, mine in results)
        goal = f"{target:,}/s" if target else "1.1x" + (", 95 % busy" if jobs > 1 else "")
        print(f"{what:<20}{peer:<14}{their_rate:10,.0f}{our_rate:10,.0f}{ratio:7.2f}x{busy:7.0%}  {goal}")


def main() -> None:
    """Print the catch table, then the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="files of each kind  [default: %(default)s]")
    parser.add_argument("--files", type=int, default=400, help="files to time  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=5, help="runs of either side  [default: %(default)s]")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if NO_OPENCV:
        print(NO_OPENCV)
    if asked.count:
        catch_table(asked.count)
    if not asked.files:
        return
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number in range(asked.files):
            files.append(Path(folder, f"{number}.jpg"))
            files[-1].write_bytes(encoded(photo(number % 40)))
        kilobytes = sum(file.stat().st_size for file in files) / len(files) / 1000
        print(f"\n{len(files)} JPEGs of {kilobytes:.0f} KB, {cores()} cores, load {os.getloadavg()[0]:.1f}")
        rates(files, asked.pairs)


if __name__ == "__main__":
    main()
