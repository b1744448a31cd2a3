"""Moving files to and from S3: s5cmd, aws, rclone, boto3 in threads, and visprep, in turn, on the same endpoint.

It needs an S3 server that is faster than its clients and keeps its objects in memory, spoken to over TLS:

    export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    python scripts/bench_s3.py --endpoint https://127.0.0.1:9443 --ca cert.pem [--slow-endpoint https://127.0.0.1:9453]

The server must know ListObjectsV2, PUT, GET with Range, multipart uploads and DeleteObjects; nginx that serves plain
files does for speed. --slow-endpoint is the same server behind a port that answers 30 ms later. To try the script
itself, moto's server is enough (its figures say nothing, since it is slower than any client):

    openssl req -x509 -nodes -days 30 -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem
    moto_server -p 9443 -c cert.pem -k key.pem
    python scripts/bench_s3.py --endpoint https://127.0.0.1:9443 --ca cert.pem --scale 0.01

It makes its files itself, puts them into --bucket, and removes all of it at the end (but not with --keep). After every
run the files are counted, by number and bytes, and what visprep moved is compared byte for byte once. Seconds are of
the whole process. The ratio is of medians, s5cmd's wall over a tool's. Write to memory (/dev/shm): on a disk, new files
cost all tools so much that they come close to each other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import bench_s3_data as data
from timing import Run, timed

#: Seconds after which a file that was written may be remembered by its times.
_SETTLED = 2.5
PEER = "s5cmd"
OURS = "visprep"
#: name: files, bytes of each
SETS = {"small": (10_000, 20 * 1024), "medium": (2_000, 160 * 1024), "large": (2, 2**30), "tiny": (20_000, 1024)}


@dataclass(frozen=True)
class Row:
    """One thing to time: a set, a way, and our target.

    The way is `down`, `up`, or `same-` of either: nothing to be done. `warm-` is the same, for the third time in
    one process of ours, without its start; of the other tools it is the whole command.
    """

    files: str
    way: str
    target: float
    slow: bool = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to be done."""
        return self.way.startswith(("same", "warm"))


ROWS = {
    "small-down": Row("small", "down", 5),
    "small-up": Row("small", "up", 5),
    "medium-down": Row("medium", "down", 2.5),
    "medium-up": Row("medium", "up", 2.5),
    "large-down": Row("large", "down", 1),
    "large-up": Row("large", "up", 1.5),
    "same-down": Row("tiny", "same-down", 2.5),
    "same-up": Row("tiny", "same-up", 2.5),
    "warm-down": Row("tiny", "warm-down", 5),
    "warm-up": Row("tiny", "warm-up", 5),
    "slow-small-down": Row("small", "down", 2.5, slow=True),
}

BOTO3 = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import boto3
from botocore.config import Config
way, folder, bucket, prefix = sys.argv[1:]
s3 = boto3.client("s3", config=Config(max_pool_connections=32, s3={"addressing_style": "path"}))
def objects():
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", [])
def down(one):
    path = os.path.join(folder, one["Key"][len(prefix):])
    if one["Size"] > 8 * 1024 * 1024:
        s3.download_file(bucket, one["Key"], path)
    else:
        with open(path, "wb") as file:
            file.write(s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read())
def up(name):
    s3.upload_file(os.path.join(folder, name), bucket, prefix + name)
here = {entry.name: entry.stat().st_size for entry in os.scandir(folder)}
there = {one["Key"][len(prefix):]: one for one in objects()}
with ThreadPoolExecutor(32) as pool:
    if way == "down":
        list(pool.map(down, [one for name, one in there.items() if here.get(name) != one["Size"]]))
    else:
        list(pool.map(up, [name for name, size in here.items() if name not in there or there[name]["Size"] != size]))
"""
WARM = """
import os, sys, time
import visprep
for _ in range(3):
    begun, used = time.perf_counter(), sum(os.times()[:4])
    result = visprep.sync(*sys.argv[1:])
    print(time.perf_counter() - begun, sum(os.times()[:4]) - used)
    assert not result.moved
"""
VISPREP = [sys.executable, "-m", "visprep"]
_RCLONE = ["rclone", "--transfers", "64", "--checkers", "64", "--fast-list", "--size-only"]
_BOTO3 = [sys.executable, "-c", BOTO3]
#: What each tool is called with, by way; what is not here is called as `down` or `up`.
TOOLS = {
    "s5cmd": {
        "down": ["s5cmd", "--log", "error", "cp", "-c", "{files}", "{url}/*", "{folder}/"],
        "up": ["s5cmd", "--log", "error", "cp", "-c", "{files}", "{folder}/", "{url}/"],
        "same-down": ["s5cmd", "--log", "error", "sync", "{url}/*", "{folder}/"],
        "same-up": ["s5cmd", "--log", "error", "sync", "{folder}/", "{url}/"],
    },
    "aws": {
        "down": ["aws", "s3", "sync", "--only-show-errors", "{url}", "{folder}"],
        "up": ["aws", "s3", "sync", "--only-show-errors", "{folder}", "{url}"],
    },
    "rclone": {
        "down": [*_RCLONE, "copy", ":s3:{bucket}/{prefix}", "{folder}"],
        "up": [*_RCLONE, "copy", "{folder}", ":s3:{bucket}/{prefix}"],
    },
    "boto3": {
        "down": [*_BOTO3, "down", "{folder}", "{bucket}", "{prefix}/"],
        "up": [*_BOTO3, "up", "{folder}", "{bucket}", "{prefix}/"],
    },
    OURS: {
        "down": [*VISPREP, "download", "{url}", "--output", "{folder}", "--quiet"],
        "up": [*VISPREP, "upload", "{folder}", "{url}", "--quiet"],
        "same-down": [*VISPREP, "sync", "{url}", "{folder}", "--quiet"],
        "same-up": [*VISPREP, "sync", "{folder}", "{url}", "--quiet"],
        "warm-down": [sys.executable, "-c", WARM, "{url}", "{folder}"],
        "warm-up": [sys.executable, "-c", WARM, "{folder}", "{url}"],
    },
}


def present(names: list[str]) -> Iterator[str]:
    """The tools that are installed; a line about each that is not."""
    for name in names:
        program = TOOLS[name]["down"][0]
        if shutil.which(program):
            yield name
        else:
            print(f"{name}: not installed; left out")
    if subprocess.run([*VISPREP, "sync", "--help"], capture_output=True, check=False).returncode:
        print("visprep has no sync yet: download and upload stand in for it")
        del TOOLS[OURS]["same-down"], TOOLS[OURS]["same-up"]


class Bench:
    """The endpoint, the folder and the bucket, and how a tool is run against them."""

    def __init__(self, asked: argparse.Namespace, scratch: Path) -> None:
        self.endpoint, self.slow, self.bucket = asked.endpoint, asked.slow_endpoint, asked.bucket
        self.scale, self.pairs, self.scratch = asked.scale, asked.pairs, scratch
        self.compared: set[str] = set()

    def size(self, files: str) -> tuple[int, int]:
        """Files of a set, and bytes of each; of large ones the bytes are scaled, of others the number."""
        number, size = SETS[files]
        return (number, int(size * self.scale)) if files == "large" else (max(1, int(number * self.scale)), size)

    def seeded(self, files: str) -> Path:
        """The directory of a set, made and put to S3 where that was not done."""
        folder = self.scratch / "origin" / files
        data.apart(data.make, folder, *self.size(files))
        data.apart(data.seed, self.endpoint, self.bucket, f"origin/{files}/", folder)
        return folder

    def row(self, row: Row, names: list[str]) -> dict[str, list[Run]]:
        """Every tool in turn, `pairs` times; a tool that fails is left out, with a line that says why."""
        origin = self.seeded(row.files)
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for turn in range(-1 if row.idle else 0, self.pairs):
            for name in [name for name in names if name in runs]:
                result, trouble = self.run(row, name, origin, turn)
                if trouble:
                    print(f"{name}: {trouble}; left out of this row")
                    del runs[name]
                elif turn >= 0:  # the turn before the first put the files in place
                    runs[name].append(result)
                if not row.idle:
                    self.tidy(row, name)
            if turn < 0:
                time.sleep(_SETTLED)
        shutil.rmtree(self.scratch / "moved", ignore_errors=True)
        return runs

    def tidy(self, row: Row, name: str) -> None:
        """Remove what a tool moved: with those of all tools at once, large files would not fit into memory."""
        shutil.rmtree(self.scratch / "moved", ignore_errors=True)
        if row.way == "up":
            data.apart(data.remove, self.endpoint, self.bucket, f"moved/{name}/")

    def run(self, row: Row, name: str, origin: Path, turn: int) -> tuple[Run, str]:
        """One run, and what is wrong with it, if anything."""
        up, fresh = row.way.endswith("up"), not row.idle
        # A copy of its own for each tool: what one leaves in a directory, another would upload
        folder = self.scratch / "moved" / f"{name}-{'up' if up else 'down'}"
        prefix = f"moved/{name}" if up else f"origin/{row.files}"
        if fresh or turn < 0:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if up:
                shutil.copytree(origin, folder, copy_function=os.link, dirs_exist_ok=True)
                data.apart(data.remove, self.endpoint, self.bucket, f"{prefix}/")
        words = {
            "url": f"s3://{self.bucket}/{prefix}",
            "bucket": self.bucket,
            "prefix": prefix,
            "folder": str(folder),
            "files": "16" if row.files == "large" else "5",
        }
        way = row.way if turn >= 0 else row.way.replace("warm", "same")
        ways = (way, way.replace("warm", "same"), "up" if up else "down")
        command = next(TOOLS[name][one] for one in ways if one in TOOLS[name])
        result = timed([_filled(part, words) for part in command], self.environment(row, name))
        if result.code:
            said = (result.err.strip() or result.out.strip() or "nothing").splitlines()[-1]
            return result, f"exit code {result.code}: {said[:200]}"
        if name == OURS and way.startswith("warm"):
            wall, processor = map(float, result.out.split()[-2:])
            result = replace(result, wall=wall, processor=processor)
        return result, self.wrong(row, name, origin, folder, f"{prefix}/")

    def wrong(self, row: Row, name: str, origin: Path, folder: Path, prefix: str) -> str:
        """What differs between what should be there and what is."""
        number, size = self.size(row.files)
        up = row.way.endswith("up")
        place = (self.endpoint, self.bucket, prefix)
        found = data.apart(data.count_objects, *place) if up else data.apart(data.count, folder)
        if found != (number, number * size):
            return f"{found[0]} files of {found[1]} bytes are there instead of {number} of {number * size}"
        kind = f"{row.files} {row.way} {row.slow}"
        if name == OURS and kind not in self.compared:
            self.compared.add(kind)
            if not (data.apart(data.same_objects, *place, origin) if up else data.apart(data.same, origin, folder)):
                return "the bytes differ"
        return ""

    def environment(self, row: Row, name: str) -> dict[str, str]:
        """The variables by which a tool finds the endpoint; rclone does not start with AWS_CA_BUNDLE."""
        endpoint = self.slow if row.slow else self.endpoint
        rclone = {"PROVIDER": "Other", "ENDPOINT": endpoint, "ENV_AUTH": "true", "REGION": os.environ["AWS_REGION"]}
        return {
            **{key: value for key, value in os.environ.items() if (name, key) != ("rclone", "AWS_CA_BUNDLE")},
            "AWS_ENDPOINT_URL": endpoint,
            "S3_ENDPOINT_URL": endpoint,
            **{f"RCLONE_S3_{key}": value for key, value in rclone.items()},
        }


def _filled(part: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        part = part.replace("{" + word + "}", value)
    return part


def show(title: str, row: Row, runs: dict[str, list[Run]], size: tuple[int, int]) -> None:
    """Print the table of one row, and how we stand to the target."""
    number, each = size
    latency = ", +30 ms" if row.slow else ""
    print(f"\n{title}: {number} x {each} bytes{latency}")
    print(f"{'':10}  wall s (min to max)     CPU s  peak MB   files/s     MB/s   {PEER}'s wall / its; CPU")
    ratios = {}
    for name, results in runs.items():
        walls = [one.wall for one in results]
        wall, processor = statistics.median(walls), statistics.median(one.processor for one in results)
        line = f"{name:10} {wall:7.2f} ({min(walls):.2f} to {max(walls):.2f}) ".ljust(34)
        line += f"{processor:7.2f} {max(one.memory for one in results):8.0f}"
        line += f" {number / wall:9.0f} {number * each / wall / 1e6:8.0f}"
        if PEER in runs:
            ratios[name] = statistics.median(one.wall for one in runs[PEER]) / wall
            cpu = statistics.median(one.processor for one in runs[PEER]) / processor
            line += f"   {ratios[name]:.2f}x; {cpu:.2f}x"
        print(line)
    if OURS in ratios:
        print(f"target: at least {row.target}x; {ratios[OURS]:.2f}x", flush=True)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", help="URL of the S3 server")
    parser.add_argument("--slow-endpoint", help="the same with 30 ms more; without it, those rows are left out")
    parser.add_argument("--ca", type=Path, help="the certificate that TLS is checked with")
    parser.add_argument("--bucket", default="visprep-bench", help="[default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every tool  [default: %(default)s]")
    parser.add_argument("--only", default=",".join(ROWS), help="rows, with commas  [default: %(default)s]")
    parser.add_argument("--peers", default=",".join(TOOLS), help="tools, with commas  [default: %(default)s]")
    parser.add_argument("--scratch", type=Path, help="where files go  [default: /dev/shm if it is there]")
    parser.add_argument("--scale", type=float, default=1, help="a share of the files, to try things out")
    parser.add_argument("--keep", action="store_true", help="leave the origin's files and objects for the next time")
    asked = parser.parse_args()
    if not asked.endpoint:
        parser.exit(2, f"{__doc__}\n--endpoint is missing\n")
    for given, known, what in ((asked.only, ROWS, "row"), (asked.peers, TOOLS, "tool")):
        if unknown := set(given.split(",")) - known.keys():
            parser.error(f"there is no {what} {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return asked


def main() -> None:
    """Seed, run all tools in turn, print a table for each row, and tidy up."""
    asked = options()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": "us-east-1",
    }.items():
        os.environ.setdefault(name, value)
    if asked.ca:
        for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "RCLONE_CA_CERT"):
            os.environ[name] = str(asked.ca.resolve())
    memory = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    scratch = (asked.scratch or memory) / f"bench-{asked.bucket}"
    bench = Bench(asked, scratch)
    data.apart(data.prepare_bucket, asked.endpoint, asked.bucket)
    names = list(present(asked.peers.split(",")))
    print(f"{asked.pairs} runs each, {len(os.sched_getaffinity(0))} cores, files in {scratch.parent}")
    try:
        for title in asked.only.split(","):
            row = ROWS[title]
            if row.slow and not asked.slow_endpoint:
                print(f"\n{title}: needs --slow-endpoint; left out")
                continue
            busy = os.getloadavg()[0]
            show(title, row, bench.row(row, names), bench.size(row.files))
            print(f"load before and after: {busy:.1f}, {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(scratch / "moved", ignore_errors=True)
        data.apart(data.remove, asked.endpoint, asked.bucket, "moved/")
        if not asked.keep:
            shutil.rmtree(scratch, ignore_errors=True)
            data.apart(data.remove, asked.endpoint, asked.bucket, "origin/")


if __name__ == "__main__":
    main()
