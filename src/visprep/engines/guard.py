"""A process that outlives whoever started a cluster of its own, and ends what is left of that: run as a script.

Ray's processes look after each other, but take a minute until all of them have noticed that the driver was killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

#: Seconds that processes have to end in order.
_GRACE = 1.0


def guard(directory: str) -> None:
    """Wait until our standard input ends; then end all that has a file of `directory` open, and remove that."""
    with contextlib.suppress(OSError):
        sys.stdin.buffer.read()
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        until = time.monotonic() + _GRACE
        while (left := list(_users(directory))) and time.monotonic() < until:
            for process in left:
                with contextlib.suppress(OSError):
                    os.kill(process, number)
            time.sleep(0.05)
    shutil.rmtree(directory, ignore_errors=True)


def _users(directory: str) -> Iterator[int]:
    inside = os.fsencode(directory) + b"/"
    for process in Path("/proc").glob("[0-9]*"):
        if process.name not in (str(os.getpid()), str(os.getppid())):  # the driver, while it lives, ends by itself
            with contextlib.suppress(OSError):
                if _uses(process, inside):
                    yield int(process.name)


def _uses(process: Path, inside: bytes) -> bool:
    return inside in (process / "cmdline").read_bytes() or any(
        os.fsencode(one.readlink()).startswith(inside) for one in (process / "fd").iterdir()
    )


if __name__ == "__main__":
    guard(sys.argv[1])
