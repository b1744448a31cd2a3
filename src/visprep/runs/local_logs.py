"""The log and the metrics of a training on this machine: files that only grow, one of each for every start."""

from __future__ import annotations

import json
import logging
import math
import os
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from visprep.descriptors import BINARY
from visprep.errors import UsageError, VisprepError
from visprep.runs.log_names import log_name
from visprep.stores.arrivals import disk_errors

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
#: Loggers that speak of every request: a log that is sent would speak of its own sending for ever.
_TALKATIVE = ("visprep.wire", "visprep.stores")


def new_start() -> str:
    """A name for this start of a training, such as `20261122-051500123-3f9c`: later ones sort after earlier ones."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S%f}"[:-3] + f"-{uuid.uuid4().hex[:4]}"


class RunLog:
    """The log and the metrics of one start of a training, in a directory of this machine, which is made when needed.

    Every line is with the system when the call that made it returns, in one piece: a kill loses none, and lines of
    several threads or forked processes do not mix.
    """

    def __init__(self, directory: Path, start: str | None = None) -> None:
        self.directory, self.start = directory, start or new_start()
        #: The last failure to write a line of the log, which no handler may raise.
        self.failed: VisprepError | None = None
        self._log = _Lines(directory / log_name("training", self.start))
        self._metrics = _Lines(directory / log_name("metrics", self.start))

    def handler(self, level: int = logging.INFO) -> logging.Handler:
        """A handler for `logging` that appends to `training_{start}.log`, with times in UTC."""
        handler = _LineHandler(self, self._log, level)
        formatter = logging.Formatter(_FORMAT)
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        return handler

    def log_metrics(self, metrics: Mapping[str, Any], step: int) -> None:
        """Append a line to `metrics_{start}.jsonl`: `step`, `logged_at` (seconds since the epoch), the metrics.

        Tensors and arrays of one element are numbers too; what is not finite becomes null, as JSON knows no NaN.
        UsageError for a value that is no number; DiskFull or another StoreError when it cannot be written.
        """
        values = {str(name): _number(name, value) for name, value in metrics.items()}
        given = {"step": int(step), "logged_at": round(time.time(), 3)}
        if taken := given.keys() & values.keys():
            raise UsageError(f"a metric cannot be called {min(taken)!r}, every line has that", hint="rename it")
        self._metrics.add(json.dumps({**given, **values}, allow_nan=False))

    def close(self) -> None:
        """Close the files; what comes later opens them again."""
        self._log.close()
        self._metrics.close()


class _Lines:
    """A file that lines are appended to, each with one call to the system. It needs no lock, which a fork may break."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def add(self, line: str) -> None:
        data = f"{line}\n".encode("utf-8", "backslashreplace")
        with disk_errors(str(self._path)):
            descriptor = self._open()
            written = os.write(descriptor, data)
            if written < len(data):
                self._complete(descriptor, data[written:], written)

    def _open(self) -> int:
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY
            opened = os.open(self._path, flags, 0o666)
            if vars(self)["_descriptor"] is not None:  # by another thread meanwhile
                os.close(opened)
            else:
                self._descriptor = opened
        assert self._descriptor is not None
        return self._descriptor

    def _complete(self, descriptor: int, rest: bytes, written: int) -> None:
        """Write the rest of a line; where the disk is full nothing of it stays, as it would spoil the next one."""
        after = os.fstat(descriptor).st_size
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except OSError:
            if os.fstat(descriptor).st_size == after:
                os.ftruncate(descriptor, after - written)
            raise

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class _LineHandler(logging.Handler):
    def __init__(self, run_log: RunLog, lines: _Lines, level: int) -> None:
        super().__init__(level)
        self._run_log, self._lines = run_log, lines

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING and record.name.startswith(_TALKATIVE):
            return
        try:
            self._lines.add(self.format(record))
        except VisprepError as error:  # a full disk ends no training
            self._run_log.failed = error
        except Exception:
            self.handleError(record)


def _number(name: object, value: Any) -> float | int | None:
    """A value as JSON has it."""
    try:
        plain = value.item() if hasattr(value, "item") else value
        number = int(plain) if isinstance(plain, int) else float(plain)  # bool too
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"the metric {name!r} is no number but of the type {type(value).__name__}") from None
    return number if math.isfinite(number) else None
