"""The cache of the loaders: how often each policy hits, simulated and on a real store, and what a put and a get take.

The hit rate is 1 - bytes fetched / bytes requested, from the second epoch on. Two ways to draw an epoch: all items
shuffled, and as many draws with replacement by weights 1, 2 and 4 (a third of the items each).

- simulated: the policies alone, items of sizes as photographs have them, caches of 10, 25, 50, 75 and 90 % of the data
- store: images fetched over S3 (a server that is started here, or `--endpoint`) by `--processes` processes that share
  one cache on disk and take the batches of 32 in turn; what was fetched is counted by who fetched it, not by the cache
- speed: puts and gets of 135 KB a second, into a cache that is full, in one process and in two. `bare` are the same
  files written, renamed and read with no checksum, no bounds and no counts; `diskcache` is that package, if it is there
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from visprep.loaders.cache import ImageCache
from visprep.loaders.cache_index import simulated
from visprep.loaders.cache_policies import POLICIES
from visprep.loaders.fetch import Fetcher, ImageFile
from visprep.loaders.next_uses import next_uses
from visprep.settings import S3Settings

FRACTIONS = (0.1, 0.25, 0.5, 0.75, 0.9)
BATCH, EPOCHS, SEED = 32, 5, 42
TARGETS = {("shuffled", 0.5): 0.50, ("weighted", 0.25): 0.64}
BLOB = 135_000


def orders(how: str, items: int) -> list[np.ndarray]:
    """The draws of each epoch, and of one after them, which is only looked at."""
    draw = np.random.default_rng(SEED)
    if how == "shuffled":
        return [draw.permutation(items) for _ in range(EPOCHS + 1)]
    weights = np.array([1.0, 2.0, 4.0])[np.arange(items) % 3]
    return [draw.choice(items, items, p=weights / weights.sum()) for _ in range(EPOCHS + 1)]


def sizes(items: int, mean: int) -> np.ndarray:
    """Bytes of images: half of them within a third of the mean, a few several times as large."""
    drawn = np.random.default_rng(SEED).lognormal(0, 0.45, items)
    return (drawn / drawn.mean() * mean).astype(np.int64)


def simulate(policy: str, draws: list[np.ndarray], weight: np.ndarray, room: int) -> float:
    """The hit rate of a policy in `room` bytes."""
    table, first, clock = simulated(len(weight)), 0, itertools.count(1)
    requested = fetched = 0
    for epoch, (order, following) in enumerate(itertools.pairwise(draws)):
        for now, (item, due) in enumerate(zip(order, next_uses(order, following) + first, strict=True), first):
            name, size = int(item).to_bytes(16, "big"), int(weight[item])
            requested += size if epoch else 0
            if (slot := table.find(name)) >= 0:
                table.used[slot], table.due[slot] = next(clock), due
                continue
            fetched += size if epoch else 0
            if policy == "ordered" and now % 64 == 0:
                table.pass_by(now)
            while table.held + size > room and (victim := POLICIES[policy](table, due)) is not None:
                table.remove(victim)
            if table.held + size <= room:
                table.put(name, size, next(clock), due)
        first += len(order)
    return 1 - fetched / requested


def hit_rates(items: int) -> None:
    """The table of simulated hit rates."""
    weight = sizes(items, BLOB)
    print(
        f"simulated, {items:,} items, {EPOCHS} epochs; part of the data kept: "
        + " ".join(f"{f:6.0%}" for f in FRACTIONS)
    )
    for how, policy in itertools.product(("shuffled", "weighted"), POLICIES):
        draws = orders(how, items)
        rates = [simulate(policy, draws, weight, int(weight.sum() * part)) for part in FRACTIONS]
        print(f"  {how} {policy:50}" + " ".join(f"{rate:6.1%}" for rate in rates))
        for (named, part), target in TARGETS.items():
            if (named, policy) == (how, "ordered"):
                print(f"    target at {part:.0%}: {target:.0%}, {rates[FRACTIONS.index(part)] / target:.2f} of it")


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of an S3 in a process of its own."""
    program = (
        "import sys\nfrom moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer('127.0.0.1', 0, verbose=False)\nserver.start()\n"
        "print(*server.get_host_and_port(), flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout
    host, port = process.stdout.readline().decode().split()
    try:
        yield f"http://{host}:{port}"
    finally:
        process.communicate()


def train(
    cache: ImageCache,
    files: list[ImageFile],
    draws: list[np.ndarray],
    settings: S3Settings,
    part: int,
    of: int,
    tell: Told,
) -> None:
    """What a worker does to the store and the cache: every `of`-th batch; tells the bytes of each epoch."""
    fetcher, first = Fetcher(settings), 0
    for order, following in itertools.pairwise(draws):
        requested = fetched = 0
        uses = next_uses(order, following) + first
        for done, start in enumerate(range(part * BATCH, len(order), of * BATCH)):
            tell.wait(part, done)
            coming: dict[int, Any] = {}
            batch = range(start, min(start + BATCH, len(order)))
            # Of an item that is there twice, the last one tells when it is needed again
            after = {int(order[draw]): int(uses[draw]) for draw in batch}
            for item, due in after.items():
                data = cache.get(files[item], due)
                coming[item] = fetcher.submit(files[item]) if data is None else data
            for item, due in after.items():
                data = coming[item]
                if not isinstance(data, bytes):
                    data = coming[item] = data.result()
                    fetched += len(data)
                    cache.put(files[item], data, due, first + start - 2 * of * BATCH)
                assert data[:8] == item.to_bytes(8, "big")
            requested += sum(len(coming[int(order[draw])]) for draw in batch)
        first += len(order)
        tell.end(part, requested, fetched)
    fetcher.close()


class Told:
    """A queue for what an epoch came to, and how far each worker is.

    As in a DataLoader, no worker is more than two batches ahead of another, and they end an epoch together.
    """

    def __init__(self, context: Any, processes: int) -> None:
        self.queue, self.barrier = context.Queue(), context.Barrier(processes)
        self._at = context.Array("q", processes, lock=False)

    def wait(self, part: int, batches: int) -> None:
        """Wait until nobody is further behind than may be; `batches` is how many this worker has done."""
        self._at[part] = batches
        while batches > min(self._at) + 2:
            time.sleep(0.001)

    def end(self, part: int, requested: int, fetched: int) -> None:
        """Tell what an epoch came to, in bytes, and wait for the others to end it."""
        self._at[part] = 2**62
        self.queue.put((requested, fetched))
        self.barrier.wait()
        self._at[part] = 0
        self.barrier.wait()


def on_a_store(endpoint: str, items: int, processes: int) -> None:
    """Hit rates with a store, processes and a directory."""
    import boto3

    settings = S3Settings(endpoint_url=endpoint, access_key="testing", secret_key="testing", region="us-east-1")
    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    s3, bucket = boto3.client("s3", endpoint_url=endpoint, **keys), f"bench-cache-{os.getpid()}"
    s3.create_bucket(Bucket=bucket)
    weight = sizes(items, 20_000)
    for item in range(items):
        s3.put_object(Bucket=bucket, Key=f"{item}.jpg", Body=item.to_bytes(8, "big") + os.urandom(weight[item] - 8))
    files = [ImageFile(f"s3://{bucket}/{item}.jpg", int(weight[item])) for item in range(items)]
    print(f"on a store, {items:,} images, {processes} processes, {EPOCHS} epochs:")
    for (how, part), target in TARGETS.items():
        draws = orders(how, items)
        for policy in POLICIES:
            context = multiprocessing.get_context("fork")
            room = int(weight.sum() * part) + 32 * int(items * part)  # an entry's header is no part of the data
            cache = ImageCache(max_files=items, max_bytes=room, policy=policy)
            tell = Told(context, processes)
            workers = [
                context.Process(target=train, args=(cache, files, draws, settings, n, processes, tell))
                for n in range(processes)
            ]
            for worker in workers:
                worker.start()
            # The barrier keeps the epochs apart
            told = [tell.queue.get() for _ in range(processes * EPOCHS)][processes:]
            for worker in workers:
                worker.join()
                assert worker.exitcode == 0
            assert cache.held <= room
            rate = 1 - sum(fetched for _, fetched in told) / sum(requested for requested, _ in told)
            aim = f", target {target:.0%}: {rate / target:.2f} of it" if policy == "ordered" else ""
            counted = cache.stats()
            print(f"  {how}, {part:.0%} of the data kept, {policy}: {rate:.1%}{aim}  ({counted.evictions:,} went)")
            cache.close()


def bare(directory: Path) -> tuple[Callable[[int], None], Callable[[int], bytes]]:
    """Files and nothing else."""

    def put(item: int) -> None:
        path = f"{directory}/{item % 256:02x}/{item}"
        with open(f"{path}.{os.getpid()}", "wb", buffering=0) as file:  # noqa: PTH123
            file.write(DATA)
        os.replace(f"{path}.{os.getpid()}", path)  # noqa: PTH105

    def get(item: int) -> bytes:
        with open(f"{directory}/{item % 256:02x}/{item}", "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()

    for number in range(256):
        (directory / f"{number:02x}").mkdir(exist_ok=True)
    return put, get


def ours(directory: Path) -> tuple[Callable[[int], None], Callable[[int], bytes]]:
    """The cache, full after 400 images."""
    cache, files = ImageCache(directory, max_files=400), [ImageFile(f"s3://bucket/{item}.jpg") for item in range(600)]
    return lambda item: cache.put(files[item], DATA), lambda item: cache.get(files[item]) or b""


def theirs(directory: Path) -> tuple[Callable[[int], None], Callable[[int], bytes]]:
    """The package diskcache, with a bound that is as good as ours by count."""
    made = importlib.import_module("diskcache").Cache(
        str(directory), size_limit=400 * BLOB, eviction_policy="least-recently-used"
    )
    return lambda item: made.set(item, DATA), lambda item: made.get(item)


DATA = os.urandom(BLOB)
SIDES = {"visprep": ours, "bare": bare, "diskcache": theirs}


def work(side: str, directory: Path, seed: int, start: Any, tell: Any) -> None:
    """Puts, then gets, of one process; tells how many a second."""
    put, get = SIDES[side](directory)
    draw = np.random.default_rng(seed)
    for item in range(400):
        put(item)
    puts, gets = draw.integers(0, 600, 600).tolist(), draw.integers(0, 200, 3000).tolist()
    start.wait()
    clock = time.perf_counter()
    for item in puts:
        put(item)
    put_rate = len(puts) / (time.perf_counter() - clock)
    for item in range(200):
        put(item)
    start.wait()
    clock = time.perf_counter()
    found = sum(len(get(item)) == BLOB for item in gets)
    tell.put((put_rate, len(gets) / (time.perf_counter() - clock)))
    assert found == len(gets), (side, found)


def speed(where: Path | None, rounds: int) -> None:
    """Puts and gets a second: the median of some rounds, the sides in turn."""
    sides = [side for side in SIDES if side != "diskcache" or importlib.util.find_spec("diskcache")]
    context = multiprocessing.get_context("fork")
    told: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for _, processes, side in itertools.product(range(rounds), (1, 2), sides):
        directory = Path(tempfile.mkdtemp(dir=where))
        start, tell = context.Barrier(processes), context.Queue()
        workers = [context.Process(target=work, args=(side, directory, n, start, tell)) for n in range(processes)]
        for worker in workers:
            worker.start()
        rates = [tell.get() for _ in workers]
        for worker in workers:
            worker.join()
        told.setdefault((side, processes), []).append((sum(p for p, _ in rates), sum(g for _, g in rates)))
        shutil.rmtree(directory)
    for (side, processes), rates in told.items():
        puts, gets = (statistics.median(rate[n] for rate in rates) for n in (0, 1))
        print(f"speed, {processes} processes, {side:10} {puts:8,.0f} puts/s {gets:9,.0f} gets/s")


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="simulated, store, speed  [default: all]")
    parser.add_argument("--items", type=int, default=3000, help="simulated ones  [default: %(default)s]")
    parser.add_argument("--images", type=int, default=1200, help="those in the store  [default: %(default)s]")
    parser.add_argument("--processes", type=int, default=2, help="[default: %(default)s]")
    parser.add_argument("--endpoint", help="an S3 that takes any key, instead of one started here")
    parser.add_argument("--directory", type=Path, help="where the files of `speed` go")
    parser.add_argument("--rounds", type=int, default=3, help="of `speed`  [default: %(default)s]")
    asked = parser.parse_args()
    what = asked.what or ["simulated", "store", "speed"]
    if "simulated" in what:
        hit_rates(asked.items)
    if "store" in what:
        with contextlib.nullcontext(asked.endpoint) if asked.endpoint else server() as endpoint:
            on_a_store(endpoint, asked.images, asked.processes)
    if "speed" in what:
        speed(asked.directory, asked.rounds)


if __name__ == "__main__":
    main()
