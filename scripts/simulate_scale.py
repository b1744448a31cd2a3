"""What visprep does with names, as their number grows: seconds, memory and disk of each step, and what a billion cost.

Without options it runs the real code (listings against manifests, plans, spools) over a place that lists N names and
holds nothing: from 10,000 names to 10 to the power of `--largest`. Every step at every number is a process of its own.
Seconds are those of the processor; the exponent is the slope of their logarithm over that of names, by least squares: 1
is linear. Memory is the most that the
process held, without what it held before its first name; disk is the most that its unnamed temporary files took.

With `--plan`, nothing runs: the figures of docs/scale.md are computed from the constants in `scale_plan.py`, and
written into it with `--write`.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from growth import exponent, shown, table
from scale_plan import page, renewed
from visprep import garbage_collection
from visprep.digests import digest_of
from visprep.errors import FileMissing
from visprep.known_files import vouched
from visprep.manifest import MANIFEST, File, aligned, diff, header_line, pack_file, unpack_file
from visprep.manifest_draft import Draft
from visprep.objects_check import Judged
from visprep.own_record import Listed
from visprep.plans import pack_operation, plan, unpack_operation
from visprep.spool import Spool

_PAGE = Path(__file__).parents[1] / "docs/scale.md"
SIZE = 150_000
#: Digests and ETags that are drawn beforehand: so many that no block of a spool has one twice.
_DRAWN = 2**16
#: Seconds between two looks at the temporary files.
_BLINK = 0.25


class Names:
    """A place on S3 that has so many files, and a manifest that lists them. What is given to it is counted and gone."""

    place = "s3://names/many"

    def __init__(self, count: int) -> None:
        self.count, self.written = count, 0
        self.digests = [hashlib.sha256(number.to_bytes(8, "big")).hexdigest() for number in range(_DRAWN)]

    def files(self, digests: bool) -> Iterator[File]:
        """The files as a listing tells them, or with `digests`, as a command of ours left them."""
        drawn, mask = self.digests, _DRAWN - 1
        for number in range(self.count):
            digest = drawn[number & mask]
            path = f"train/{number // 10_000:05}/image-{number:010}.jpg"
            told = f"sha256:{digest}" if digests else None
            yield File(path, SIZE, told, None if digests else 1.7e9, digest[:32])

    def list(self) -> Iterator[File]:
        """What a listing tells."""
        return self.files(False)

    def lines(self) -> Iterator[bytes]:
        """The lines of the manifest, as `entry_line` has them, but for less."""
        drawn, mask = self.digests, _DRAWN - 1
        yield header_line(self.count, self.count * SIZE, digest_of(b"{}"))
        for number in range(self.count):
            digest = drawn[number & mask]
            yield (
                f'{{"path": "train/{number // 10_000:05}/image-{number:010}.jpg", "size": {SIZE}, '
                f'"digest": "sha256:{digest}", "etag": "{digest[:32]}"}}\n'
            ).encode()

    async def fetch(self, file: File, sink: Any) -> None:
        """The manifest, in pieces as they come from a network."""
        if file.path != MANIFEST:
            raise FileMissing(f"{file.path}: not there")
        piece: list[bytes] = []
        for line in self.lines():
            piece.append(line)
            if len(piece) == 100:
                sink.write(b"".join(piece))
                piece = []
        sink.write(b"".join(piece))

    async def receive(self, file: File, origin: Any) -> File:
        """Take a file, and forget it."""
        self.written = file.size or 0
        return file

    async def write(self, path: str, data: bytes) -> File:
        """Take a short one."""
        self.written = len(data)
        return File(path, len(data), digest_of(data))


def _consume(items: Iterable[Any]) -> int:
    return sum(1 for _ in items)


def listing(names: Names) -> int:
    """The names alone, which all others pay too."""
    return _consume(names.list())


def merge(names: Names) -> int:
    """Two listings as one stream."""
    return _consume(aligned(names.list(), names.list()))


def difference(names: Names) -> int:
    """What is wanted against what is there, both with digests."""
    return _consume(diff(names.files(True), names.files(True)))


def known(names: Names) -> int:
    """A listing with the digests that the manifest vouches for."""
    return _consume(file for file in vouched(names.list(), names.files(True)) if file.digest)


def written(names: Names) -> int:
    """A manifest as it is made."""
    draft = Draft.of(names, names.files(True))  # type: ignore[arg-type]
    draft.write("sha256:0")
    return draft.files


def read(names: Names) -> int:
    """A manifest that comes over a network, checked, and kept to be read again."""
    listed = Listed.read(names)  # type: ignore[arg-type]
    assert listed
    return len(listed.files)


def again(names: Names) -> int:
    """The same and read once more."""
    listed = Listed.read(names)  # type: ignore[arg-type]
    assert listed
    return _consume(listed.files)


def planned(names: Names) -> int:
    """What a sync finds out where nothing is to be done, kept to be carried out."""
    operations = Spool(pack_operation, unpack_operation)
    files = names.files
    for one in plan(files(True), files(True), names, names, listed=files(True), sha256=True):  # type: ignore[arg-type]
        operations.append(one)
    return len(operations)


def created(names: Names) -> int:
    """What a sync to a new place finds out."""
    operations = Spool(pack_operation, unpack_operation)
    for one in plan(names.files(True), (), names, names):  # type: ignore[arg-type]
        operations.append(one)
    return len(operations)


def sorting(names: Names) -> int:
    """Files that ended in whatever order, as a copy has them, brought into the order of paths."""
    spool, drawn = Spool(pack_file, unpack_file), names.digests
    step = next(one for one in (7_368_787, 7_368_791) if names.count % one)  # a prime: each number comes once
    for number in (at * step % names.count for at in range(names.count)):
        digest = drawn[number & (_DRAWN - 1)]
        path = f"train/{number // 10_000:05}/image-{number:010}.jpg"
        spool.append(File(path, SIZE, f"sha256:{digest}", None, digest[:32]))
    return _consume(spool.sorted(lambda file: file.sort_key))


def judged(names: Names) -> int:
    """What `verify` on S3 learns from listing and manifest, at no byte of the objects."""
    found = Judged.of(names.files(True), names.list())
    assert not found.replaced
    return len(found.settled)


def held(names: Names) -> int:
    """The manifest in memory, as `verify` and a published version hold it."""
    listed = Listed.read(names)  # type: ignore[arg-type]
    assert listed
    return len(listed.manifest().files)


STEPS: dict[str, Callable[[Names], int]] = {
    "names": listing, "merge of 2": merge, "diff": difference, "vouched": known, "manifest written": written,
    "manifest read": read, "and once more": again, "plan: all kept": planned, "plan: all new": created,
    "sorted": sorting, "verify: judged": judged, "manifest in memory": held,
}  # fmt: skip


def peak() -> int:
    """The most bytes that this process ever held, as Linux tells."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def unnamed() -> int:
    """Bytes on disk of the files that this process has open and that have no name."""
    total = 0
    for opened in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            told = opened.stat()
            total += told.st_blocks * 512 if told.st_nlink == 0 else 0
    return total


def measure(step: str, count: int) -> dict[str, float]:
    """One step over so many names, in this process."""
    names, most, ended = Names(count), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(_BLINK):
            most = max(most, unnamed())

    watching = threading.Thread(target=watch)
    watching.start()
    before = peak()
    began = time.perf_counter(), time.process_time()
    with garbage_collection.rarely():
        done = STEPS[step](names)
    wall, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    ended.set()
    watching.join()
    assert done == count, f"{step}: {done:,} of {count:,}"
    return {
        "seconds": wall, "processor": processor, "memory": peak() - before, "disk": most, "written": names.written
    }  # fmt: skip


def alone(step: str, count: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", step, str(count)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, float] = json.loads(ended.stdout)
    return told


def curve(largest: int, steps: list[str], budget: float) -> dict[str, dict[int, dict[str, float]]]:
    """What each step took at each number; one that would take longer than the budget is left out, and said so."""
    curves: dict[str, dict[int, dict[str, float]]] = {}
    for step in steps:
        points = curves[step] = {}
        for count in (10**power for power in range(4, largest + 1)):
            before = points.get(count // 10)
            if before and before["processor"] * 10 > budget:
                print(f"{step}: {count:,} names left out, since they would take {before['seconds'] * 10:,.0f} s")
                break
            points[count] = told = alone(step, count)
            cost = f"{told['seconds']:9.2f} s {told['processor']:9.2f} s {told['memory'] / 1e6:7.0f} MB"
            cost += f" {told['disk'] / 1e6:7.0f} MB on disk"
            print(f"{step:20} {count:>13,} {cost}", flush=True)
    return curves


def rows(curves: dict[str, dict[int, dict[str, float]]], counts: list[int]) -> Iterator[list[str]]:
    """The lines of the table."""
    for step, points in curves.items():
        if not points:
            continue
        last = max(points)
        seconds = {count: one["processor"] for count, one in points.items()}
        slope = exponent({count: cost for count, cost in seconds.items() if cost > 0.05})
        growth = points[last]["memory"] - points.get(last // 10, {"memory": 0})["memory"]
        cells = [shown(seconds.get(count)) for count in counts] + [shown(slope)]
        cells += [f"{1e6 * seconds[last] / last:.2f}", f"{points[last]['memory'] / 1e6:,.0f}"]
        yield [step, *cells, f"{growth / (last - last // 10):,.1f}", f"{points[last]['disk'] / last:,.0f}"]


def main() -> None:
    """Measure and print, or compute the figures of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=7, help="up to 10 to the power of this  [default: 7]")
    parser.add_argument("--steps", default=",".join(STEPS), help="which steps, with commas  [default: all]")
    parser.add_argument("--budget", type=float, default=900, help="seconds that one step may take  [default: 900]")
    parser.add_argument("--plan", action="store_true", help="compute the figures of docs/scale.md instead")
    parser.add_argument("--write", action="store_true", help="with --plan: write them into the page")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.plan:
        print(page())
        if asked.write:
            _PAGE.write_text(renewed(_PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    if asked.one:
        print(json.dumps(measure(asked.one[0], int(asked.one[1]))))
        return
    steps = [one.strip() for one in asked.steps.split(",")]
    if unknown := [one for one in steps if one not in STEPS]:
        parser.error(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}")
    curves = curve(asked.largest, steps, asked.budget)
    counts = [10**power for power in range(4, asked.largest + 1)]
    head = ["seconds for names", *(f"{count:,}" for count in counts)]
    head += ["exponent", "us/name", "peak MB", "+B/name", "disk B/name"]
    print("\nat the largest number: microseconds a name, peak, what that grew by a name, temporary bytes a name")
    print(table(head, list(rows(curves, counts))))
    longest = max((max(points) for points in curves.values() if points), default=0)
    print(f"measured to {longest:,} names; what is said of more is computed from the last column of each line")


if __name__ == "__main__":
    os.environ.setdefault("TMPDIR", tempfile.gettempdir())
    main()
