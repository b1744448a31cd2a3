"""Runs at a place, as a training leaves them, with bytes in place of models."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

from visprep.runs.checkpoints import Checkpoint, now
from visprep.runs.committing import Committer
from visprep.runs.event_files import EventShipper, masked_crc
from visprep.runs.layout import RunLayout
from visprep.runs.local_logs import RunLog
from visprep.runs.log_pieces import LogShipper
from visprep.runs.run_address import open_runs
from visprep.wire import wait

LAYOUT = RunLayout()
_numbers = itertools.count()


def save(place, experiment, step, data=None, *, keep_last=None, layout=LAYOUT, committer=None, **facts):
    """Save a checkpoint as a training does; as it is named."""
    store = open_runs(place)
    committer = committer or Committer(
        store, layout, experiment, keep_last=keep_last, writer=f"training {next(_numbers)}"
    )
    path = committer.new_path(step, facts.get("epoch"))
    file = wait(store.write(path, f"{experiment} {step}".encode() if data is None else data))
    facts = {"epoch": None, "saved": now(), **facts}
    sha256 = file.digest.removeprefix("sha256:")
    return committer.commit(Checkpoint(experiment, path, step, size=file.size, sha256=sha256, **facts))


class Talking:
    """A run that logs, measures and writes events on this machine, and ships them to a place when it is told to."""

    def __init__(self, place, experiment, home: Path, start="20260101-000000-abcd"):
        store = open_runs(place)
        self.logs, self.events = home / "logs" / experiment, home / "tensorboard" / experiment
        self.events.mkdir(parents=True, exist_ok=True)
        self.log = RunLog(self.logs, start)
        self.shippers = (
            LogShipper(self.logs, store, LAYOUT.logs(experiment)),
            EventShipper(self.events, store, LAYOUT.events(experiment)),
        )
        (self.events / "events.out.tfevents.1.host").write_bytes(record(b"\x1a\x0dbrain.Event:2"))
        self._handler = self.log.handler()
        self._handler.setFormatter(logging.Formatter("%(message)s"))

    def say(self, *lines):
        """Log lines, measure something, and write an event of each."""
        for line in lines:
            self._handler.handle(logging.makeLogRecord({"msg": line, "levelno": logging.INFO, "name": "training"}))
            self.log.log_metrics({"loss": 0.5}, step=len(line))
            with (self.events / "events.out.tfevents.1.host").open("ab") as file:
                file.write(record(line.encode()))

    def ship(self, *, whole=False):
        """Send what is new."""
        for one in self.shippers:
            one.ship(whole=whole)


def record(data: bytes) -> bytes:
    """A record of an event file."""
    length = len(data).to_bytes(8, "little")
    return length + masked_crc(length).to_bytes(4, "little") + data + masked_crc(data).to_bytes(4, "little")
