"""Files by the system's own calls, which not every system has, or has alike: what we use, in one meaning everywhere."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

#: To be added to the flags of every `os.open`: bytes as they are, where Windows would change ends of lines, and nothing
#: for programs that we start.
BINARY: int = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_positioning = threading.Lock()


def pread(descriptor: int, length: int, offset: int) -> bytes:
    """Up to `length` bytes from `offset` on; threads may do so at a time, with the same descriptor."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, length, offset)
    with _positioning:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)


def write_all(descriptor: int, pieces: Sequence[bytes], *, at_once: int = 256) -> None:
    """Write all of the pieces, without joining them where the system can and they are not more than `at_once`."""
    written = os.writev(descriptor, pieces) if hasattr(os, "writev") and len(pieces) <= at_once else 0
    if written < sum(map(len, pieces)):
        rest = memoryview(b"".join(pieces))[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
