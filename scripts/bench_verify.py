"""What of `verify --depth decode` is not decoding: a place of 1,000 tasks, against the decoding of its frames alone.

Both sides run in turn, each in a process of its own, with as many threads. The peer reads every frame and lets Pillow,
which visprep uses too, make its pixels; it looks at nothing else. Seconds count from after the imports. The share that
is ours is 1 - peer / visprep.

The frames are those of `../shared/real/vtb` where they are, else those of the embedded sample, enlarged to the same
1280 x 704 pixels. A thousand tasks are made of them: every frame is a file of its own bytes, by a comment in it that no
other has, so that none of them is passed over as a duplicate.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import visprep

TARGET = 0.20
SIZE = (1280, 704)
PLACE = Path(__file__).parents[2] / "shared" / "real" / "vtb"

PEER = """
import io, pathlib, sys, time
from PIL import Image
from visprep.engines.local import map_ordered
def decode(path):
    Image.open(io.BytesIO(path.read_bytes())).load()
paths = sorted(pathlib.Path(sys.argv[1]).glob("*_task/*/*.png"))
began = time.perf_counter(), time.process_time()
decoded = sum(1 for _ in map_ordered(decode, paths))
print(time.perf_counter() - began[0], time.process_time() - began[1], decoded)
"""
VISPREP = """
import sys, time
from visprep import verify
began = time.perf_counter(), time.process_time()
report = verify(sys.argv[1], depth="decode")
assert not report.findings, report.findings[0]
print(time.perf_counter() - began[0], time.process_time() - began[1], 2 * report.checked["tasks"])
"""


def frames(place: Path) -> list[tuple[bytes, bytes]]:
    """Pairs of first and final frame, as PNG."""
    pairs = [
        (first.read_bytes(), (first.parents[1] / "solutions" / first.name).read_bytes())
        for first in sorted(place.glob("*/*/puzzles/*.png"))
    ]
    if pairs:
        print(f"frames of {len(pairs)} real puzzles")
        return pairs
    from PIL import Image

    print("frames of the embedded sample, enlarged")
    with tempfile.TemporaryDirectory() as folder:
        visprep.download("sample", folder, limit=16)
        for task in sorted(Path(folder).glob("*_task/*")):
            pair = []
            for name in ("first_frame.png", "final_frame.png"):
                made = io.BytesIO()
                Image.open(task / name).resize(SIZE, Image.Resampling.BICUBIC).save(made, "PNG")
                pair.append(made.getvalue())
            pairs.append((pair[0], pair[1]))
    return pairs


def commented(png: bytes, comment: str) -> bytes:
    """The same picture in other bytes: with a comment before its end."""
    chunk = b"tEXtComment\0" + comment.encode()
    made = struct.pack(">L", len(chunk) - 4) + chunk + struct.pack(">L", zlib.crc32(chunk))
    return png[:-12] + made + png[-12:]


def make_place(place: Path, pairs: list[tuple[bytes, bytes]], count: int) -> None:
    """Write so many tasks, with prompts and metadata, and a manifest as a download leaves it."""
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        for number in range(count):
            first, final = pairs[number % len(pairs)]
            task = Path(folder, f"puzzle{number % len(pairs)}_task", f"vtb_test_{number:04}")
            task.mkdir(parents=True)
            (task / "first_frame.png").write_bytes(commented(first, f"first {number}"))
            (task / "final_frame.png").write_bytes(commented(final, f"final {number}"))
            (task / "prompt.txt").write_text(f"Solve puzzle {number}: show what comes of it, step by step.\n")
            (task / "metadata.json").write_text(json.dumps({"source": "bench", "row": number}))
        visprep.download(folder, place)


def run(code: str, place: Path) -> tuple[float, float, int]:
    """Seconds of the clock and of the processor that one side took, and the frames that it decoded."""
    ended = subprocess.run([sys.executable, "-c", code, place], check=True, capture_output=True, text=True)
    wall, processor, count = ended.stdout.split()
    return float(wall), float(processor), int(count)


def measured(place: Path, pairs: int, count: int) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Peer and visprep in turn, and first in turn."""
    for number in range(pairs):
        sides = (PEER, VISPREP) if number % 2 else (VISPREP, PEER)
        results = {code: run(code, place) for code in sides}
        assert {result[2] for result in results.values()} == {2 * count}
        yield results[PEER][:2], results[VISPREP][:2]


def main() -> None:
    """Make the place, run both in turn, and print the share that is ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000, help="tasks to make  [default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=5, help="runs of either side  [default: %(default)s]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "place")
        make_place(place, frames(PLACE), asked.tasks)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        before = os.getloadavg()[0]
        run(PEER, place)  # so that both find the files in memory
        results = list(measured(place, asked.pairs, asked.tasks))
        print(
            f"{asked.tasks} tasks, {asked.pairs} pairs, {cores} cores, load {before:.1f} and {os.getloadavg()[0]:.1f}"
        )
    for which, words in ((0, "wall s"), (1, "CPU s")):
        peer, ours = ([side[which] for side in sides] for sides in zip(*results, strict=True))
        shares = sorted(1 - mine / whole for mine, whole in zip(peer, ours, strict=True))
        said = f"decoding {statistics.median(peer):6.2f}, verify {statistics.median(ours):6.2f}"
        print(f"{words:<7} {said}, ours: {statistics.median(shares):6.1%} ({shares[0]:.1%} to {shares[-1]:.1%})")
    print(f"target: under {TARGET:.0%} is ours")


if __name__ == "__main__":
    main()
