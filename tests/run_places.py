"""Checkpoints of a few bytes, saved at a place of runs; a directory and a bucket as such places."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from visprep.messages import Patience
from visprep.runs.checkpoints import Checkpoint, RunIndex, now, read_index
from visprep.runs.committing import Committer
from visprep.runs.layout import RunLayout
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.wire import wait

LAYOUT = RunLayout()
FOLDER = "checkpoints/mine"
QUICK = Patience(connect=1, stall=2, attempts=2, base=0.001, longest=0.01)


def opened(place: Any, url: str | None = None) -> Store:
    return open_store(str(place), S3Settings(endpoint_url=url) if url else None)


def committer(store: Store, writer: str = "host-1", **options: Any) -> Committer:
    return Committer(store, LAYOUT, "mine", writer=writer, **{"patience": QUICK, **options})


def written(store: Store, path: str, step: int, **more: Any) -> Checkpoint:
    """A checkpoint that lies at its path, and is not named yet."""
    data = f"state {step}".encode()
    wait(store.write(path, data), QUICK)
    sha256 = hashlib.sha256(data).hexdigest()
    told: dict[str, Any] = {"experiment": "mine", "path": path, "step": step, "epoch": None, "size": len(data)}
    return Checkpoint(**{**told, "sha256": sha256, "saved": now(), "writer": "host-1", **more})


def save(store: Store, by: Committer, step: int, *, late: bool = False, **more: Any) -> Checkpoint:
    return by.commit(written(store, by.new_path(step), step, **more), late=late)


def index_of(store: Store) -> RunIndex:
    return read_index(store, LAYOUT, "mine")[0]


def steps(store: Store) -> list[int]:
    """The steps of the checkpoints that count, each of which is there with its own bytes."""
    found = index_of(store).checkpoints
    for one in found:
        data = wait(store.read(one.path))
        assert (data, len(data)) == (f"state {one.step}".encode(), one.size)
        assert hashlib.sha256(data).hexdigest() == one.sha256
    return [one.step for one in found]


def files(store: Store) -> dict[str, str]:
    """What lies in the experiment's directory, by name: what the checkpoints hold, and nothing of the index."""
    found = (file.path.rpartition("/")[2] for file in store.list() if file.path.startswith(f"{FOLDER}/"))
    return {name: wait(store.read(f"{FOLDER}/{name}")).decode() for name in found if name != "checkpoints.json"}


def held(store: Store) -> list[str]:
    """What the checkpoints in the directory hold, named or not, without the copies."""
    return sorted(data for name, data in files(store).items() if "_step_" in name)


def document(store: Store) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(wait(store.read(f"{FOLDER}/checkpoints.json")))
    return told
