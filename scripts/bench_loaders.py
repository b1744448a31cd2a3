"""Images out of S3 into training: how many a second, by visprep, by others, and from a local disk.

It needs an S3 server that is faster than its clients, as does `bench_s3.py`, and takes its two ports: one that answers
at once, and one that answers 50 ms later.

    export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    python scripts/bench_loaders.py --endpoint http://127.0.0.1:9000 --slow-endpoint http://127.0.0.1:9050

The others are run by the Python of an environment of their own, which wants the same version of PyTorch:

    python -m venv peers
    peers/bin/pip install torch==2.13.0 s3torchconnector litdata obstore webdataset boto3 pillow simplejpeg
    python scripts/bench_loaders.py ... --peers-python peers/bin/python

One that is not installed is a row that says so. There are two kinds of work: `raw` gives batches of pixels as they are,
of JPEGs of 640 x 480 pixels and some 119 KB; `resize` makes 224 x 224 of images of the sizes that COCO has, as a float
tensor, normalized, by torchvision's transforms where they import, and by the same in a few lines where they do not.

- boto3: a Dataset that gets an object for each item, Pillow, DataLoader
- s3torchconnector: its map-style dataset; litdata: StreamingRawDataset, shuffled; both with simplejpeg for raw pixels
- webdataset: the same images, packed into tar files beforehand
- disk-pillow, disk-simplejpeg: a Dataset that reads a file for each item, DataLoader; for `resize` both use Pillow
- disk-visprep: our pipeline on the files of a local disk
- visprep: `CocoS3Dataset` and `make_loader`

Every loader is a process of its own that stays for all rounds. After an epoch to warm up, each round runs an epoch of
every loader in turn; an epoch has as many images as the loader manages in --seconds. The figures are medians of the
rounds, the least and the greatest in brackets; the milliseconds are those of the processor for an image, with the
workers but without the server. The ratio is ours over theirs. PyTorch itself uses one thread.

It makes its images itself, puts them into --bucket, and removes them at the end (but not with --keep).
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench_loaders_data as images
import bench_s3_data as data

OURS = "visprep"
#: Name of a loader -> whether it is run by the Python of the peers.
LOADERS = {
    "boto3": False,
    "s3torchconnector": True,
    "litdata": True,
    "webdataset": True,
    "disk-pillow": False,
    "disk-simplejpeg": False,
    "disk-visprep": False,
    OURS: False,
}
#: Whether the endpoint is the slow one, workers -> what we are to be, in multiples of others.
TARGETS: dict[tuple[bool, int], dict[str, float]] = {
    (False, 0): {"boto3": 3.5, "litdata": 1.5, "disk-visprep": 0.9},
    (False, 2): {"disk-visprep": 0.9},
    (True, 0): {"boto3": 50, "disk-visprep": 0.75},
    (True, 2): {"boto3": 25, "litdata": 1.7, "disk-visprep": 0.75},
}
#: The set of images of each kind of work.
WORK = {"raw": "one-size", "resize": "coco-sizes"}
_BATCH = 32
#: The least images of an epoch: a batch for each worker.
_LEAST = 2 * _BATCH
_PROGRAM = Path(__file__).with_name("bench_loaders_designs.py")


@dataclass
class Racer:
    """A process that runs one loader, and what it has run: images a second, and for each, of the processor, ms."""

    name: str
    process: subprocess.Popen[str]
    rates: list[float] = field(default_factory=list)
    efforts: list[float] = field(default_factory=list)
    #: Why it is out of the race.
    trouble: str = ""

    def say(self, line: str) -> dict[str, Any]:
        """Its answer; none when it has trouble."""
        if self.trouble or not self.process.stdin or not self.process.stdout:
            return {}
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.trouble = f"failed: exit code {self.process.wait()}"
            return {}
        told: dict[str, Any] = json.loads(answer)
        if "missing" in told:
            self.trouble = f"not here: {told['missing']} is not installed for its Python"
        return told

    def epoch(self) -> float:
        """Images a second of an epoch; 0 when it has trouble."""
        told = self.say("")
        if "seconds" not in told:
            return 0
        self.efforts.append(told["processor"] / told["images"] * 1000)
        return float(told["images"] / told["seconds"])

    def prepare(self, most: int, seconds: float) -> None:
        """Find out how many images make an epoch, and run one."""
        self.say(str(_LEAST))
        rate = self.epoch()
        for _ in range(2):  # the first epoch makes clients and connections, and says too little of the rate
            count = max(_LEAST, min(most, int(rate * seconds)) // _LEAST * _LEAST)
            if count > _LEAST and not self.trouble:
                self.say(str(count))
                rate = self.epoch()
        self.efforts.clear()

    def end(self) -> None:
        """End the process."""
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """While no other has the lock."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Bench:
    """The endpoints, the images, and how loaders are run on them."""

    def __init__(self, asked: argparse.Namespace, scratch: Path) -> None:
        self.asked, self.scratch = asked, scratch

    def seeded(self, work: str) -> Path:
        """The directory of the images for a kind of work, which are put to S3 as well."""
        folder = self.scratch / WORK[work]
        images.make(folder, WORK[work], self.asked.images)
        for what in ("images", "tars"):
            prefix = f"{WORK[work]}/{what}/"
            data.apart(data.seed, self.asked.endpoint, self.asked.bucket, prefix, folder / what)
        return folder

    def racer(self, name: str, work: str, slow: bool, workers: int, folder: Path) -> Racer:
        """A process for a loader."""
        argument = {
            "design": name,
            "work": work,
            "workers": workers,
            "batch": _BATCH,
            "endpoint": self.asked.slow_endpoint if slow else self.asked.endpoint,
            "bucket": self.asked.bucket,
            "prefix": f"{WORK[work]}/",
            "folder": str(folder),
            "annotations": self.asked.annotations,
        }
        python = self.asked.peers_python if LOADERS[name] else sys.executable
        log = (self.scratch / "log.txt").open("a")
        process = subprocess.Popen(
            [python, str(_PROGRAM), json.dumps(argument)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "TMPDIR": str(self.scratch)},
        )
        return Racer(name, process)

    def race(self, work: str, slow: bool, workers: int) -> list[Racer]:
        """All loaders in turn, round for round."""
        folder = self.seeded(work)
        racers = [self.racer(name, work, slow, workers, folder) for name in self.asked.only.split(",")]
        try:
            for racer in racers:
                racer.say(str(_LEAST))  # so that all have imported what they need
            with alone(self.asked.lock):
                for racer in racers:
                    racer.prepare(self.asked.images, self.asked.seconds)
                for _ in range(self.asked.rounds):
                    for racer in racers:
                        racer.rates.append(racer.epoch())
        finally:
            for racer in racers:
                racer.end()
        return racers


def show(title: str, racers: list[Racer], targets: dict[str, float]) -> None:
    """Print a table."""
    print(f"\n{title}")
    mine = next((statistics.median(one.rates) for one in racers if one.name == OURS and not one.trouble), None)
    for one in racers:
        if one.trouble:
            print(f"  {one.name:18} {one.trouble}")
            continue
        rate = statistics.median(one.rates)
        line = f"  {one.name:18} {rate:7,.0f} images/s ({min(one.rates):,.0f} to {max(one.rates):,.0f})".ljust(50)
        line += f"{statistics.median(one.efforts):5.2f} ms"
        if mine and one.name != OURS:
            line += f" {mine / rate:7.2f}x"
            if one.name in targets:
                line += f"   target: {targets[one.name]}x" + ("" if mine / rate >= targets[one.name] else "  MISSED")
        print(line)
    sys.stdout.flush()


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", help="URL of the S3 server")
    parser.add_argument("--slow-endpoint", help="the same with 50 ms more; without it, those tables are left out")
    parser.add_argument("--peers-python", default=sys.executable, help="the Python that the others are installed for")
    parser.add_argument("--bucket", default="visprep-bench", help="[default: %(default)s]")
    parser.add_argument("--work", default=",".join(WORK), help="with commas  [default: %(default)s]")
    parser.add_argument("--workers", default="0,2", help="with commas  [default: %(default)s]")
    parser.add_argument("--only", default=",".join(LOADERS), help="loaders, with commas  [default: %(default)s]")
    parser.add_argument("--delays", default="0,50", help="of 0 and 50 ms, with commas  [default: %(default)s]")
    parser.add_argument("--images", type=int, default=2048, help="of each set  [default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=0, help="of an image, for ours  [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="[default: %(default)s]")
    parser.add_argument("--seconds", type=float, default=1.5, help="of an epoch  [default: %(default)s]")
    parser.add_argument("--scratch", type=Path, help="where files go  [default: /dev/shm if it is there]")
    parser.add_argument("--lock", type=Path, help="a file that benchmarks lock which shall not disturb each other")
    parser.add_argument("--keep", action="store_true", help="leave files and objects for the next time")
    asked = parser.parse_args()
    if not asked.endpoint:
        parser.exit(2, f"{__doc__}\n--endpoint is missing\n")
    for given, known, what in ((asked.only, LOADERS, "loader"), (asked.work, WORK, "work")):
        if unknown := set(given.split(",")) - set(known):
            parser.error(f"there is no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asked


def main() -> None:
    """Seed, race, print a table for each race, and tidy up."""
    asked = options()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        os.environ.setdefault(name, "bench")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        os.environ.setdefault(name, "us-east-1")
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    scratch = (asked.scratch or memory) / f"bench-{asked.bucket}"
    scratch.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked, scratch)
    data.apart(data.prepare_bucket, asked.endpoint, asked.bucket)
    print(f"{asked.rounds} rounds, batches of {_BATCH}, {len(os.sched_getaffinity(0))} cores")
    try:
        for work in asked.work.split(","):
            for slow in [delay != "0" for delay in asked.delays.split(",")]:
                for workers in map(int, asked.workers.split(",")):
                    title = f"{work}, +{50 if slow else 0} ms, {workers} workers"
                    if slow and not asked.slow_endpoint:
                        print(f"\n{title}: needs --slow-endpoint; left out")
                        continue
                    racers = bench.race(work, slow, workers)
                    show(title, racers, TARGETS.get((slow, workers), {}))
                    print(f"  load at the end: {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        if not asked.keep:
            shutil.rmtree(scratch, ignore_errors=True)
            for kind in images.SETS:
                data.apart(data.remove, asked.endpoint, asked.bucket, f"{kind}/")


if __name__ == "__main__":
    main()
