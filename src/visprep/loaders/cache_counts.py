"""What a cache did, counted over all its processes: each counts in a row of its own, so no count is ever lost."""

from __future__ import annotations

import mmap
import os
import secrets
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from visprep.loaders.cache_files import is_alive, start_time


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did: counts, and bytes of images. `a - b` is what it did between two moments."""

    hits: int = 0
    misses: int = 0
    hit_bytes: int = 0
    fetched_bytes: int = 0
    puts: int = 0
    refused: int = 0
    evictions: int = 0
    corrupt: int = 0
    faults: int = 0

    @property
    def requested_bytes(self) -> int:
        """Bytes that were asked for and came, from the cache or from afar."""
        return self.hit_bytes + self.fetched_bytes

    @property
    def hit_rate(self) -> float:
        """1 - bytes fetched / bytes requested; 0.0 when nothing was."""
        return self.hit_bytes / self.requested_bytes if self.requested_bytes else 0.0

    def __sub__(self, other: CacheStats) -> CacheStats:
        return CacheStats(*[getattr(self, one.name) - getattr(other, one.name) for one in fields(self)])


HITS, MISSES, HIT_BYTES, FETCHED_BYTES, PUTS, REFUSED, EVICTIONS, CORRUPT, FAULTS = range(9)
_ROWS, _WORDS = 256, 16
_PID, _START = 14, 15
#: Where row 0 has a number that no other directory has: one that was removed and made again begins at 0.
_MARK = _START
_LENGTH = _ROWS * _WORDS * 8


class Counts:
    """The counts of a cache's directory, opened by one process; to be made under the cache's lock.

    Row 0 is that of all processes that are no more; its last words tell whether anybody was warned, and which
    directory it is.
    """

    def __init__(self, directory: str) -> None:
        with Path(f"{directory}/counts").open("a+b") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, _LENGTH)
            elif os.fstat(file.fileno()).st_size < _LENGTH:
                file.truncate(_LENGTH)
            # O_APPEND keeps nobody from writing through the map
            self._memory = mmap.mmap(file.fileno(), _LENGTH)
        whole = memoryview(self._memory).cast("q")
        self._all = np.frombuffer(whole, np.int64).reshape(_ROWS, _WORDS)
        row = self._free_row()
        self.row = whole[row * _WORDS : (row + 1) * _WORDS]
        self._first = whole[:_WORDS]
        if not self._first[_MARK]:
            self._first[_MARK] = secrets.randbits(62) | 1
        if row:
            self.row[_PID], self.row[_START] = os.getpid(), start_time(os.getpid())

    def _free_row(self) -> int:
        """A row that is nobody's. When all are somebody's, the one of the dead is shared, and may miss counts."""
        for row in range(1, _ROWS):
            pid, start = self._all[row, _PID:].tolist()
            if pid == os.getpid() and start == start_time(pid):
                return row
            if not pid or not is_alive(pid, start):
                self._all[0, :_PID] += self._all[row, :_PID]
                self._all[row] = 0
                return row
        return 0

    @property
    def mark(self) -> int:
        """What tells these counts from those of another directory in the same place."""
        return self._first[_MARK]

    def total(self) -> CacheStats:
        """The sum over all processes, since the directory was made."""
        return CacheStats(*self._all[:, : FAULTS + 1].sum(axis=0).tolist())

    def first_fault(self) -> bool:
        """Whether no process of this directory has told of a fault before; asked once."""
        before, self._first[_PID] = self._first[_PID], 1
        return not before
