"""A process that saves checkpoints, killed at random moments: the newest complete one counts, and nothing is left."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from killing import kill_count
from run_places import FOLDER, LAYOUT
from visprep.errors import FileMissing
from visprep.runs.checkpoints import RunIndex, read_index
from visprep.settings import S3Settings
from visprep.stores import PART_SUFFIX, Store, open_store
from visprep.stores.s3 import S3Store
from visprep.wire import wait

#: Saves for ever, or until a step; notes before and after each save. Every third is so large that S3 gets it in parts.
SAVING = """
import hashlib, random, sys, uuid
from visprep.manifest import File
from visprep.errors import FileMissing
from visprep.runs.checkpoints import Checkpoint, now
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.memory import MemoryStore
from visprep.wire import wait

place, url, log, saves, large = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
store = open_store(place, S3Settings(endpoint_url=url, part_size=5 << 20) if url else None)
by = Committer(store, RunLayout(), "mine", keep_last=2, keep_every=5, writer=uuid.uuid4().hex, stale=0)
latest = by.index.latest
step = latest.step if latest else 0
by.claim()
with open(log, "a", buffering=1) as notes:
    while saves:
        step, saves = step + 1, saves - 1
        data = random.Random(step).randbytes(large if step % 3 == 0 else 50_000)
        print("begun", step, file=notes)
        path, sha256 = by.new_path(step, step // 10), hashlib.sha256(data).hexdigest()
        wait(store.receive(File(path, len(data), f"sha256:{sha256}"), MemoryStore("memory", {path: data})))
        by.commit(Checkpoint("mine", path, step, step // 10, len(data), sha256, now(), best=step % 7 == 0))
        print("named", step, file=notes)
"""


#: The same with states of torch, through what saves them.
SAVING_STATES = """
import sys, uuid
import torch
from visprep.runs.checkpoints import Checkpoint, now
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout
from visprep.runs.pickled import write_checkpoint
from visprep.runs.snapshots import Snapshot
from visprep.stores import open_store

torch.set_num_threads(1)
place, _, log, saves, _ = *sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
store, snapshot = open_store(place), Snapshot()
by = Committer(store, RunLayout(), "mine", keep_last=2, writer=uuid.uuid4().hex, stale=0)
step = by.index.latest.step if by.index.latest else 0
by.claim()
with open(log, "a", buffering=1) as notes:
    while saves:
        step, saves = step + 1, saves - 1
        print("begun", step, file=notes)
        snapshot.take({"step": step, "weights": torch.full((500_000,), float(step))})
        path = by.new_path(step)
        sent = write_checkpoint(store, path, snapshot)
        sha256 = sent.digest.partition(":")[2]
        by.commit(Checkpoint("mine", path, step, None, sent.size, sha256, now(), best=step % 7 == 0))
        print("named", step, file=notes)
"""


class Saver:
    """Processes that save, one after the other."""

    def __init__(self, place: str, url: str, log: Path, large: int, script: str = SAVING) -> None:
        self.place, self.url, self.log, self.large, self.script = place, url, log, large, script
        log.touch()

    def start(self, saves: int = -1) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", self.script, self.place, self.url, str(self.log), str(saves), str(self.large)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
        )

    def kill_after(self, seconds: float) -> None:
        """Let one process save for so many seconds, at least until it has begun, and kill it."""
        size, process = self.log.stat().st_size, self.start()
        while process.poll() is None and self.log.stat().st_size == size:
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        _, words = process.communicate()
        assert process.returncode == -signal.SIGKILL, words.decode()

    def noted(self, word: str) -> int:
        return max((int(line.split()[1]) for line in self.log.read_text().splitlines() if word in line), default=0)

    @property
    def store(self) -> Store:
        return open_store(self.place, S3Settings(endpoint_url=self.url) if self.url else None)

    def holds(self, path: str, steps: Iterable[int]) -> bool:
        """Whether a file holds what was saved at one of these steps, whole; FileMissing when it is not there."""
        data = wait(self.store.read(path))
        if self.script == SAVING:
            states = (random.Random(step).randbytes(self.large if step % 3 == 0 else 50_000) for step in steps)
            return any(data == state for state in states)
        from visprep.runs import load_checkpoint

        state = load_checkpoint(f"{self.place}/{path}")
        return state["step"] in steps and bool((state["weights"] == state["step"]).all())

    def check(self) -> RunIndex:
        """The newest complete checkpoint counts, and all that are named hold what was saved."""
        index, _ = read_index(self.store, LAYOUT, "mine")
        assert self.noted("named") <= (index.latest.step if index.latest else 0) <= self.noted("begun")
        for one in index.checkpoints:
            assert self.holds(one.path, [one.step])
        assert [one.step for one in index.checkpoints] == sorted({one.step for one in index.checkpoints})
        with contextlib.suppress(FileMissing):  # a copy may lag behind the index, and is never half, nor ahead
            assert self.holds(LAYOUT.latest("mine"), range(index.latest.step if index.latest else 0, 0, -1))
        return index

    def check_settled(self) -> None:
        """After a process that was not killed, the copies are right, and nothing lies there that is not named."""
        index = self.check()
        names = {file.path.rpartition("/")[2] for file in self.store.list()}
        copies = {"checkpoint_latest.pt": index.latest, "checkpoint_best.pt": index.best}
        assert names == {one.path.rpartition("/")[2] for one in index.checkpoints} | {*copies, "checkpoints.json"}
        for name, one in copies.items():
            assert one
            assert self.holds(f"{FOLDER}/{name}", [one.step])
        if isinstance(self.store, S3Store):
            assert not self.store.unfinished()
        else:
            assert not list(Path(self.place).rglob(f"*{PART_SUFFIX}"))


def killed_at_random(saver: Saver, seed: int, longest: float, kills: int) -> None:
    rng = random.Random(seed)
    for number in range(1, kills + 1):
        saver.kill_after(rng.uniform(0, longest))
        saver.check()
        if number % 6 == 0 or number == kills:
            ended = saver.start(saves=8)
            _, words = ended.communicate(timeout=100)
            assert ended.returncode == 0, words.decode()
            saver.check_settled()


def test_saves_to_a_directory_killed_at_random(tmp_path: Path) -> None:
    killed_at_random(Saver(str(tmp_path / "runs"), "", tmp_path / "log", 3_000_000), 11, 0.1, kill_count(6))


def test_states_killed_at_random(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is an extra")
    killed_at_random(Saver(str(tmp_path / "runs"), "", tmp_path / "log", 0, SAVING_STATES), 13, 0.1, kill_count(2))


def test_saves_to_s3_killed_at_random(s3_process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client: Any = boto3.client("s3", endpoint_url=s3_process, region_name="us-east-1")
    name = f"killed-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    killed_at_random(Saver(f"s3://{name}/runs", s3_process, tmp_path / "log", 6_000_000), 12, 0.8, kill_count(6))
