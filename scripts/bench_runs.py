"""Saving a checkpoint to S3: how long the training waits, and when it is safe; and the bytes of TensorBoard's events.

It needs an S3 server that is faster than its clients and keeps its objects in memory, as does `bench_s3.py`:

    export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...
    python scripts/bench_runs.py --endpoint http://127.0.0.1:9000

s3torchconnector is run by the Python of an environment of its own, which wants the same version of PyTorch:

    python -m venv peers
    peers/bin/pip install torch==2.13.0 s3torchconnector boto3
    python scripts/bench_runs.py ... --peers-python peers/bin/python

It cannot be told of a certificate, so for an https endpoint of one's own --peers-endpoint names the same server's port
for http, which costs it less.

One that is not installed, or fails, is a row that says so. To try the script itself, moto's server is enough, with
`--gigabytes 0.05`.

- upload_file: `torch.save` to a file in memory (/dev/shm), then boto3's `upload_file`, as most trainings do
- s3torchconnector: `torch.save` to the writer of its `S3Checkpoint`
- visprep: a `Snapshot`, whose file a thread writes; without the index of a run, which is two small requests more

The state is --gigabytes of float32 in 16 tensors. Every way is a process of its own that stays for all rounds. After
one save to warm up, each round saves once in each of them in turn. `blocked` is until the training goes on, `durable`
until the server has confirmed the object, both from the call; they are medians of the rounds, the least and the
greatest in brackets. `processor` is what a save costs, of all threads, and `peak` the largest memory of the process,
with the state itself. The ratio is theirs over ours.

The events are those of 1,000 flushes of --scalars numbers each; after every one, what is new is sent to S3. Beside it
stands what it takes to send the file whole each time.

What it put into --bucket it removes.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OURS = "visprep"
#: Name of a way -> whether it is run by the Python of the peers.
WAYS = {"upload_file": False, "s3torchconnector": True, OURS: False}
#: What we are to be, in multiples of others: blocked, durable.
TARGETS = {"upload_file": (20.0, 2.0), "s3torchconnector": (10.0, 0.0)}
_TENSORS = 16
_FLUSHES = 1000
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

#: What saves: called with the number of the save, it returns the seconds until training goes on, and until it is safe.
Save = Callable[[int], tuple[float, float]]


# -- in a process of its own


def upload_file(options: argparse.Namespace, state: Any) -> Save:
    """A file, and then boto3."""
    import torch

    client = _client(options)
    folder = tempfile.TemporaryDirectory(dir=_MEMORY)

    def save(number: int) -> tuple[float, float]:
        file = f"{folder.name}/checkpoint.pt"
        begin = time.perf_counter()
        torch.save(state, file)
        client.upload_file(file, options.bucket, f"{options.prefix}/upload_file.pt")
        seconds = time.perf_counter() - begin
        Path(file).unlink()
        return seconds, seconds

    return save


def s3torchconnector(options: argparse.Namespace, state: Any) -> Save:
    """Its writer, which sends parts while `torch.save` writes."""
    import torch
    from s3torchconnector import S3Checkpoint, S3ClientConfig

    config = S3ClientConfig(force_path_style=True)
    checkpoint = S3Checkpoint("us-east-1", endpoint=options.endpoint, s3client_config=config)

    def save(number: int) -> tuple[float, float]:
        begin = time.perf_counter()
        with checkpoint.writer(f"s3://{options.bucket}/{options.prefix}/s3torchconnector.pt") as writer:
            torch.save(state, writer)
        seconds = time.perf_counter() - begin
        return seconds, seconds

    return save


def visprep(options: argparse.Namespace, state: Any) -> Save:
    """A snapshot, and a thread; the first save is read back and compared."""
    from visprep.runs.pickled import write_checkpoint
    from visprep.runs.snapshots import Snapshot
    from visprep.settings import S3Settings
    from visprep.stores.s3 import S3Store
    from visprep.wire import wait

    store = S3Store(f"s3://{options.bucket}/{options.prefix}", S3Settings(endpoint_url=options.endpoint))
    snapshot = Snapshot()

    def save(number: int) -> tuple[float, float]:
        path = f"checkpoint_step_{number:08d}.pt"
        begin = time.perf_counter()
        snapshot.take(state)
        blocked = time.perf_counter() - begin
        written: list[Any] = []
        thread = threading.Thread(target=lambda: written.append(write_checkpoint(store, path, snapshot)))
        thread.start()
        thread.join()
        seconds = time.perf_counter() - begin
        if not number and not options.sparse:
            whole = hashlib.sha256(wait(store.read(path))).hexdigest()
            if written[0].digest != f"sha256:{whole}":
                raise SystemExit("what was written is not what was to be written")
        wait(store.delete(path))
        return blocked, seconds

    return save


def _client(options: argparse.Namespace) -> Any:
    import boto3
    from botocore.config import Config

    path_style = Config(s3={"addressing_style": "path"}, max_pool_connections=20)
    return boto3.client("s3", endpoint_url=options.endpoint, region_name="us-east-1", config=path_style)


def serve(options: argparse.Namespace) -> None:
    """Save once for every line that comes in, and tell what it took; SystemExit when something is missing."""
    try:
        _serve(options)
    except ModuleNotFoundError as error:
        raise SystemExit(f"{options.way}: {error.name} is not installed") from None


def _serve(options: argparse.Namespace) -> None:
    import torch

    count = int(options.gigabytes * 2**30 / 4 / _TENSORS)
    state = {f"layer{number}": torch.full((count,), float(number)) for number in range(_TENSORS)}
    state["layer0"] = torch.randn(count)
    way = {"upload_file": upload_file, "s3torchconnector": s3torchconnector, OURS: visprep}[options.way]
    save: Save = way(options, state)
    for number, _ in enumerate(sys.stdin):
        before = time.process_time()
        blocked, durable = save(number)
        processor = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        told = {"blocked": blocked, "durable": durable, "processor": processor, "peak": peak}
        print(json.dumps(told), flush=True)


# -- the race


@dataclass
class Racer:
    """A process that saves in one way, and what its saves took."""

    name: str
    process: subprocess.Popen[str]
    saves: list[dict[str, float]] = field(default_factory=list)
    trouble: str = ""

    def save(self) -> dict[str, float]:
        """Save once; nothing when it cannot."""
        if self.trouble or not self.process.stdin or not self.process.stdout:
            return {}
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            self.process.wait()
            self.trouble = "not here, or failed: see above"
            return {}
        told: dict[str, float] = json.loads(answer)
        return told

    def middle(self, what: str) -> float:
        """The median of the rounds."""
        return statistics.median(one[what] for one in self.saves)

    def told(self, what: str) -> str:
        """That, with the least and the greatest."""
        each = [one[what] for one in self.saves]
        return f"{self.middle(what):.3f} ({min(each):.3f} to {max(each):.3f})"


def race(options: argparse.Namespace) -> bool:
    """Time all ways in turn; whether the targets are met."""
    racers = []
    for name, is_peer in WAYS.items():
        python = options.peers_python if is_peer and options.peers_python else sys.executable
        endpoint = options.peers_endpoint if is_peer and options.peers_endpoint else options.endpoint
        command = [python, __file__, *sys.argv[1:], "--way", name, "--prefix", options.prefix, "--endpoint", endpoint]
        pipe = subprocess.PIPE
        racers.append(Racer(name, subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)))
    for racer in racers:
        racer.save()
    for _ in range(options.rounds):
        for racer in racers:
            if told := racer.save():
                racer.saves.append(told)
    for racer in racers:
        if racer.process.stdin:
            racer.process.stdin.close()
        racer.process.wait()
    ours = racers[-1]
    columns = ("blocked, s", "durable, s", "processor, s", "peak, GiB", "ratio blocked", "ratio durable")
    print(f"{options.gigabytes:g} GiB", *columns, sep=" | ")
    met = True
    for racer in racers:
        if not racer.saves:
            print(f"{racer.name}: {racer.trouble}")
            continue
        row = [racer.name, *map(racer.told, ("blocked", "durable", "processor")), f"{racer.middle('peak'):.2f}"]
        if racer is not ours and ours.saves:
            for what, target in zip(("blocked", "durable"), TARGETS[racer.name], strict=True):
                ratio = racer.middle(what) / ours.middle(what)
                met = met and ratio >= target
                row.append(f"{ratio:.2f}" + (f" (target {target:g})" if target else ""))
        print(" | ".join(row))
    return met and bool(ours.saves)


# -- events


def events(options: argparse.Namespace) -> None:
    """Send an event file after each of many flushes; the bytes, and those of sending it whole."""
    from visprep.runs.event_files import EventShipper, masked_crc
    from visprep.settings import S3Settings
    from visprep.stores.s3 import S3Store

    def record(data: bytes) -> bytes:
        length = len(data).to_bytes(8, "little")
        return b"".join(
            (length, masked_crc(length).to_bytes(4, "little"), data, masked_crc(data).to_bytes(4, "little"))
        )

    store = S3Store(f"s3://{options.bucket}/{options.prefix}", S3Settings(endpoint_url=options.endpoint))
    # A scalar as a SummaryWriter writes it is some 50 bytes
    scalars = b"".join(record(b"\x09" + os.urandom(49)) for _ in range(options.scalars))
    sent = again = 0
    with tempfile.TemporaryDirectory(dir=_MEMORY) as folder:
        file = Path(folder, "events.out.tfevents.1.host.1.0")
        file.write_bytes(record(b"\x09\0\0\0\0\0\0\0\0\x1a\x0dbrain.Event:2"))
        shipper = EventShipper(Path(folder), store, "tensorboard/bench")
        begin = time.perf_counter()
        for _ in range(_FLUSHES):
            with file.open("ab") as opened:
                opened.write(scalars)
            sent += shipper.ship()
            again += file.stat().st_size
        sent += shipper.ship(whole=True)
        logged, seconds = file.stat().st_size, time.perf_counter() - begin
    print(
        f"TensorBoard, {_FLUSHES:,} flushes: {logged:,} bytes logged, {sent:,} sent ({sent / logged:.2f} times) in"
        f" {seconds:.1f} s; whole each time: {again:,} ({again / sent:.0f} times as many)"
    )


def _bucket_missing(options: argparse.Namespace) -> str:
    """Why the bucket cannot be used, in one line; empty when it is there, or was made."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        client = _client(options)
        with contextlib.suppress(ClientError):  # it is there, or making one is not allowed
            client.create_bucket(Bucket=options.bucket)
        client.list_objects_v2(Bucket=options.bucket, MaxKeys=1)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"
    except (BotoCoreError, ClientError, ValueError) as error:
        return str(error)
    return ""


def _clear(options: argparse.Namespace) -> None:
    client = _client(options)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=options.bucket, Prefix=options.prefix):
        for one in page.get("Contents", ()):
            client.delete_object(Bucket=options.bucket, Key=one["Key"])


def main() -> int:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--ca", help="the certificate to trust, for an https endpoint")
    parser.add_argument("--bucket", default="bench-runs")
    parser.add_argument("--peers-python", help="the Python that has s3torchconnector")
    parser.add_argument("--peers-endpoint", help="another port of the server, for s3torchconnector")
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scalars", type=int, default=20)
    parser.add_argument("--only", choices=("checkpoints", "events"))
    parser.add_argument("--sparse", action="store_true", help="the server keeps no contents, so compare none")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--prefix", default=f"bench-{uuid.uuid4().hex[:8]}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    if options.ca:
        os.environ |= {"AWS_CA_BUNDLE": options.ca, "SSL_CERT_FILE": options.ca}
    if options.way:
        serve(options)
        return 0
    if trouble := _bucket_missing(options):
        print(f"error: {trouble}", file=sys.stderr)
        return 3
    try:
        met = race(options) if options.only != "events" else True
        if options.only != "checkpoints":
            events(options)
    finally:
        _clear(options)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
