"""What a command takes: seconds of the clock and of the processor, and its memory. What the benchmarks share."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """One run: its exit code, its seconds by the clock and of the processor (children too), its peak in megabytes.

    The peak is that of the largest process. `out` and `err` are what it said; `began` is the time it was started at.
    """

    code: int
    wall: float
    processor: float
    memory: float
    out: str
    err: str
    began: float


def timed(command: list[str], env: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end.

    A fork of a large process counts as large, so whoever calls this should be small.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - clock
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        processor = used.ru_utime + used.ru_stime
        return Run(process.returncode, wall, processor, used.ru_maxrss / 1024, out.read(), err.read(), began)
