"""A training that is killed while it logs and sends: what it wrote is at the place once, and all of it."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from killing import kill_count
from run_files import joined, names, pulled, scalars
from visprep.runs.event_files import EventShipper, whole_records
from visprep.runs.log_pieces import LogShipper
from visprep.stores.s3 import S3Store

pytest.importorskip("tensorboard", reason="TensorBoard is in the dev extra")

LOGS, EVENTS = "logs/exp", "tensorboard/exp"


def test_killed_at_random_moments(tmp_path, bucket):
    """The next start goes on with what the one before left: nothing is there twice, nothing is lost."""
    store, local, rng = S3Store(f"s3://{bucket}/runs"), tmp_path / "runs", random.Random(11)
    kills = kill_count(4)
    for _ in range(kills):
        before = set(names(local / LOGS)) if local.exists() else set()
        training = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("run_files.py"), local, store.place], stderr=subprocess.PIPE
        )
        while training.poll() is None and not set(names(local / LOGS)) - before:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.5))
        training.kill()
        assert (training.communicate()[1], training.returncode) == (b"", -9)
    there = pulled(store, tmp_path / "killed")
    assert min(_unsent(there, local)) >= 0
    LogShipper(local / LOGS, store, LOGS).ship(whole=True)
    EventShipper(local / EVENTS, store, EVENTS).ship(whole=True)
    there = pulled(store, tmp_path / "whole")
    assert len(list((local / LOGS).glob("training_2*.log"))) == kills
    for name in names(local / EVENTS):
        data = (local / EVENTS / name).read_bytes()
        sent = joined(there / EVENTS, name) if (there / EVENTS / name).exists() else b""
        assert sent == data[: whole_records(data)]
    assert scalars(there / EVENTS) == scalars(local / EVENTS)
    for log in (local / LOGS).glob("*_2*"):
        pieces = sorted((there / LOGS).glob(f"{log.stem}_*"))
        assert b"".join(piece.read_bytes() for piece in pieces) == log.read_bytes()
    lines = (there / LOGS / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == sum(log.read_text().count("\n") for log in (local / LOGS).glob("metrics_2*"))


def _unsent(there, local):
    """Bytes of each local file that no piece has; the pieces of events repeat their first record."""
    rest = []
    for log in (local / LOGS).glob("*_2*"):
        rest.append(log.stat().st_size - sum(piece.stat().st_size for piece in (there / LOGS).glob(f"{log.stem}_*")))
    for name in names(local / EVENTS):
        sent = len(joined(there / EVENTS, name)) if (there / EVENTS / name).exists() else 0
        rest.append((local / EVENTS / name).stat().st_size - sent)
    return rest
