"""A process that saves checkpoints, killed at random moments: the newest complete one counts, and nothing is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
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


class Saver:
    """Processes that save, one after the other."""

    def __init__(self, place: str, url: str, log: Path, large: int) -> None:
        self.place, self.url, self.log, self.large = place, url, log, large
        log.touch()

    def start(self, saves: int = -1) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", SAVING, self.place, self.url, str(self.log), str(saves), str(self.large)],
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

    def state(self, step: int) -> bytes:
        return random.Random(step).randbytes(self.large if step % 3 == 0 else 50_000)

    def check(self) -> RunIndex:
        """The newest complete checkpoint counts, and all that are named hold what was saved."""
        index, _ = read_index(self.store, LAYOUT, "mine")
        assert self.noted("named") <= (index.latest.step if index.latest else 0) <= self.noted("begun")
        for one in index.checkpoints:
            assert wait(self.store.read(one.path)) == self.state(one.step)
        assert [one.step for one in index.checkpoints] == sorted({one.step for one in index.checkpoints})
        try:  # a copy may lag behind the index, and is never half, nor ahead
            copied = wait(self.store.read(LAYOUT.latest("mine")))
        except FileMissing:
            return index
        assert index.latest
        assert any(copied == self.state(step) for step in range(index.latest.step, 0, -1))
        return index

    def check_settled(self) -> None:
        """After a process that was not killed, the copies are right, and nothing lies there that is not named."""
        index = self.check()
        names = {file.path.rpartition("/")[2] for file in self.store.list()}
        copies = {"checkpoint_latest.pt": index.latest, "checkpoint_best.pt": index.best}
        assert names == {one.path.rpartition("/")[2] for one in index.checkpoints} | {*copies, "checkpoints.json"}
        for name, one in copies.items():
            assert one
            assert wait(self.store.read(f"{FOLDER}/{name}")) == self.state(one.step)
        if isinstance(self.store, S3Store):
            assert not self.store.unfinished()
        else:
            assert not list(Path(self.place).rglob(f"*{PART_SUFFIX}"))


def killed_at_random(saver: Saver, seed: int, longest: float) -> None:
    rng, kills = random.Random(seed), kill_count(6)
    for number in range(kills):
        saver.kill_after(rng.uniform(0, longest))
        saver.check()
        if number % 6 == 5:
            ended = saver.start(saves=8)
            _, words = ended.communicate(timeout=100)
            assert ended.returncode == 0, words.decode()
            saver.check_settled()


def test_saves_to_a_directory_killed_at_random(tmp_path: Path) -> None:
    killed_at_random(Saver(str(tmp_path / "runs"), "", tmp_path / "log", 3_000_000), seed=11, longest=0.1)


def test_saves_to_s3_killed_at_random(s3_process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    client: Any = boto3.client("s3", endpoint_url=s3_process, region_name="us-east-1")
    name = f"killed-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name)
    killed_at_random(Saver(f"s3://{name}/runs", s3_process, tmp_path / "log", 6_000_000), seed=12, longest=0.8)
