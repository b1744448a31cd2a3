"""The log and the metrics of a training on this machine: files that only grow, one of each for every start."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visprep.errors import UsageError
from visprep.stores.arrivals import disk_errors

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def new_start() -> str:
    """A name for this start of a training, such as `20261122-051500-3f9c`: later ones sort after earlier ones."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:4]}"


def log_handler(local_dir: Path, start: str, level: int = logging.INFO) -> logging.Handler:
    """A handler that appends to `training_{start}.log`, with times in UTC; the directory is made.

    Every line is with the system when `emit` returns, so a kill loses none.
    """
    with disk_errors(str(local_dir)):
        local_dir.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(local_dir / f"training_{start}.log", encoding="utf-8", errors="backslashreplace")
    formatter = logging.Formatter(_FORMAT)
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.setLevel(level)
    return handler


class MetricLines:
    """`metrics_{start}.jsonl`: one line of JSON for every call, with `step`, `time` (seconds since the epoch)."""

    def __init__(self, local_dir: Path, start: str) -> None:
        self._path = local_dir / f"metrics_{start}.jsonl"
        self._lock = threading.Lock()
        self._descriptor: int | None = None

    def write(self, metrics: Mapping[str, Any], step: int) -> None:
        """Append a line: every value becomes a number; what is not finite becomes null, as JSON knows no NaN.

        UsageError for a value that is no number, DiskFull or another StoreError when it cannot be written.
        """
        values = {str(name): _number(name, value) for name, value in metrics.items()}
        line = json.dumps({"step": int(step), "time": round(time.time(), 3), **values}, allow_nan=False) + "\n"
        with self._lock, disk_errors(str(self._path)):
            if self._descriptor is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
                self._descriptor = os.open(self._path, flags, 0o666)
            self._put(line.encode())

    def _put(self, data: bytes) -> None:
        """All of a line or, where the disk is full, nothing of it: half a line would spoil the next one too."""
        assert self._descriptor is not None
        before = os.fstat(self._descriptor).st_size
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def _number(name: object, value: Any) -> float | int | None:
    """A value as JSON has it; tensors and arrays of one element are numbers too."""
    plain = value.item() if hasattr(value, "item") else value
    if isinstance(plain, int):  # bool too
        return plain
    try:
        number = float(plain)
    except (TypeError, ValueError):
        raise UsageError(f"the metric {name!r} is a {type(value).__name__}, and metrics are numbers") from None
    return number if math.isfinite(number) else None
