"""What a cache holds, as all its processes see it: a table in a memory-mapped file, changed under one lock.

The entries on disk are the truth and the table is a summary of them: when it is missing, damaged, or a process died
while it changed it, it is made anew from the directory. Looking things up takes no lock; what a reader sees in the
middle of a change can only lead it to note a use at the wrong entry, or where there is none any more.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from visprep.loaders.cache_files import entries, lock, path_of, sweep_temporary, unlock
from visprep.loaders.next_uses import NEVER

#: The next use of an entry of which none is known: later than any that is known.
UNKNOWN = NEVER - 1
#: That of an entry whose next use has passed: it goes before all others.
PASSED = NEVER + 1
_MARK = 0x7669737072657031
_HEADER, _WORDS, _COLUMNS = 512, 64, 5
_LEAST, _LOWEST, _HIGHEST = 1024, -(2**63), 2**63 - 1
# Words of the header
_MARKED, _SLOTS, _COUNT, _BYTES, _CHANGING, _RETIRED, _BOOT = range(7)


class Table:
    """Names with their bytes on disk, last use and next use, in memory that may be shared: a hash table by numpy."""

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        whole = memoryview(memory).cast("q")
        self._memory = memory
        self.head = whole[:_WORDS]
        slots = self.slots = self.head[_SLOTS]
        columns = [whole[_WORDS + slots * n : _WORDS + slots * (n + 1)] for n in range(_COLUMNS)]
        self._high, self._low, self.sizes, self.used, self.due = columns
        # Free slots are what a search for the oldest, or for the farthest, finds last
        self.used_array = np.frombuffer(self.used, np.int64)
        self.due_array = np.frombuffer(self.due, np.int64)
        self.sizes_array = np.frombuffer(self.sizes, np.int64)

    @staticmethod
    def clear(memory: mmap.mmap | bytearray, slots: int, boot: int = 0) -> Table:
        """An empty table in memory that holds zeros, `length(slots)` of them."""
        memoryview(memory).cast("q")[_SLOTS] = slots
        table = Table(memory)
        table.used_array[:], table.due_array[:] = _HIGHEST, _LOWEST
        table.head[_BOOT] = boot
        table.head[_MARKED] = _MARK
        return table

    @staticmethod
    def length(slots: int) -> int:
        """Bytes that a table takes."""
        return _HEADER + slots * 8 * _COLUMNS

    @property
    def count(self) -> int:
        """Entries held."""
        return self.head[_COUNT]

    @property
    def held(self) -> int:
        """What they take on disk."""
        return self.head[_BYTES]

    @property
    def crowded(self) -> bool:
        """Whether it should grow."""
        return self.count * 2 >= self.slots

    def find(self, name: bytes) -> int:
        """The slot of a name, -1 when it is not there."""
        high, low = _halves(name)
        slot = low & (self.slots - 1)
        for _ in range(self.slots):
            if not self.sizes[slot]:
                return -1
            if self._low[slot] == low and self._high[slot] == high:
                return slot
            slot = (slot + 1) & (self.slots - 1)
        return -1

    def name_at(self, slot: int) -> bytes:
        """The name in a slot."""
        return self._high[slot].to_bytes(8, "little", signed=True) + self._low[slot].to_bytes(8, "little", signed=True)

    def put(self, name: bytes, size: int, used: int, due: int) -> None:
        """Note an entry, new or again."""
        slot = self.find(name)
        if slot < 0:
            high, low = _halves(name)
            slot = low & (self.slots - 1)
            while self.sizes[slot]:
                slot = (slot + 1) & (self.slots - 1)
            self._high[slot], self._low[slot] = high, low
            self.head[_COUNT] += 1
        self.head[_BYTES] += size - self.sizes[slot]
        self.sizes[slot], self.used[slot], self.due[slot] = size, used, due

    def remove(self, slot: int) -> None:
        """Free a slot; those behind it that it pushed away move up."""
        last = self.slots - 1
        self.head[_COUNT] -= 1
        self.head[_BYTES] -= self.sizes[slot]
        ahead = slot
        while self.sizes[ahead := (ahead + 1) & last]:
            if (ahead - self._low[ahead]) & last >= (ahead - slot) & last:
                for column in (self._high, self._low, self.sizes, self.used, self.due):
                    column[slot] = column[ahead]
                slot = ahead
        self.sizes[slot] = 0
        self.unnote(slot)

    def unnote(self, slot: int) -> None:
        """Take away the use that was noted in a free slot, so that it is found last again."""
        self.used[slot], self.due[slot] = _HIGHEST, _LOWEST

    def pass_by(self, now: int) -> None:
        """Mark the entries whose next use was before draw `now`."""
        self.due_array[(self.due_array < now) & (self.due_array > _LOWEST)] = PASSED

    def copy_to(self, other: Table) -> None:
        """Note all entries in another table."""
        for slot in np.flatnonzero(self.sizes_array).tolist():
            other.put(self.name_at(slot), self.sizes[slot], self.used[slot], self.due[slot])

    def is_sound(self, length: int, boot: int) -> bool:
        """Whether it can be believed: a table of this start of the machine, whose sums agree, and nobody died in it."""
        head, slots = self.head, self.slots
        held = self.sizes_array
        return (
            head[_MARKED] == _MARK
            and length == self.length(slots)
            and head[_BOOT] == boot
            and not head[_CHANGING]
            and not head[_RETIRED]
            and head[_COUNT] == np.count_nonzero(held)
            and head[_BYTES] == held.sum()
            and held.min() >= 0
        )


def _halves(name: bytes) -> tuple[int, int]:
    return int.from_bytes(name[:8], "little", signed=True), int.from_bytes(name[8:], "little", signed=True)


def simulated(entries_at_most: int) -> Table:
    """A table in plain memory, for so many entries."""
    slots = _LEAST
    while slots < entries_at_most * 2 + 2:
        slots *= 2
    return Table.clear(bytearray(Table.length(slots)), slots)


class Index:
    """The table of a cache's directory, opened by one process. OSError when the directory cannot be used."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = self._open_lock()
        self._found: tuple[int, int] | None = None
        # flock tells processes apart, not threads
        self._threads = threading.RLock()
        with self.changing(settle=False):
            sweep_temporary(directory)

    def _open_lock(self) -> int:
        return os.open(f"{self._directory}/lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        try:  # noqa: SIM105 -- nothing of a module may be there any more when the interpreter ends
            close(self._lock)
        except (OSError, AttributeError):
            pass

    @contextlib.contextmanager
    def changing(self, *, settle: bool = True) -> Iterator[Table]:
        """The table, for this process alone until the end of the block."""
        with self._threads:
            try:
                self._acquire()
                table = self._current()
                table.head[_CHANGING] = 1
                yield table
                # Not reached when something went wrong in the middle: then the table is made anew
                table.head[_CHANGING] = 0
                if settle and table.crowded:
                    self._grow(table)
            finally:
                unlock(self._lock)

    def _acquire(self) -> None:
        while True:
            lock(self._lock)
            mine = os.fstat(self._lock)
            with contextlib.suppress(FileNotFoundError):
                there = os.stat(f"{self._directory}/lock")  # noqa: PTH116 - a Path costs as much as the call
                if (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino):
                    return
            # Somebody emptied the directory: a lock on a file that is gone would exclude nobody
            fresh = self._open_lock()
            os.close(self._lock)
            self._lock = fresh

    @property
    def table(self) -> Table:
        """The table as it was when this process last held the lock, or newer: to look, and to note a use."""
        if self._table.head[_RETIRED]:
            with self.changing(settle=False) as table:
                return table
        return self._table

    def _current(self) -> Table:
        """The table that is there now; called with the lock."""
        path = f"{self._directory}/index"
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)  # noqa: PTH116
            if self._found == (status.st_dev, status.st_ino) and not self._table.head[_CHANGING]:
                return self._table
            if self._found != (status.st_dev, status.st_ino) and (table := self._opened(path)):
                return table
        return self._remade()

    def _opened(self, path: str) -> Table | None:
        with Path(path).open("r+b") as file:
            status = os.fstat(file.fileno())
            words = np.fromfile(file, np.int64, 2)
            if len(words) < 2 or words[0] != _MARK or status.st_size != Table.length(int(words[1])):
                return None
            table = Table(mmap.mmap(file.fileno(), status.st_size))
        if not table.is_sound(status.st_size, _boot()):
            return None
        self._table, self._found = table, (status.st_dev, status.st_ino)
        return table

    def _remade(self) -> Table:
        """A table made from the directory, in the place of whatever is there."""
        if self._found:
            self._table.head[_RETIRED] = 1
        found = list(entries(self._directory))
        return self._install(len(found), found)

    def _grow(self, old: Table) -> None:
        fresh = self._install(old.count, old)
        old.head[_RETIRED] = 1
        self._table = fresh

    def _install(self, count: int, content: Table | list[tuple[bytes, int, int]]) -> Table:
        slots = _LEAST
        while slots < count * 4:
            slots *= 2
        path = f"{self._directory}/index"
        temporary = f"{path}-{uuid.uuid4().hex}"
        length = Table.length(slots)
        try:
            with Path(temporary).open("x+b") as file:
                # Room is made now: a write into a mapped hole on a full disk would end the process
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, length)
                file.truncate(length)
                table = Table.clear(mmap.mmap(file.fileno(), length), slots, _boot())
                status = os.fstat(file.fileno())
            if isinstance(content, Table):
                content.copy_to(table)
            else:
                for name, size, used in content:
                    table.put(name, size, used, UNKNOWN)
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        self._table, self._found = table, (status.st_dev, status.st_ino)
        return table

    def drop(self, table: Table, slot: int) -> None:
        """Remove an entry and its file; called with the lock."""
        path = path_of(self._directory, table.name_at(slot))
        table.remove(slot)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - a Path costs as much as the call


def _boot() -> int:
    """A number of this start of the machine: mapped pages that a power cut took half of are not believed after it."""
    try:
        return uuid.UUID(Path("/proc/sys/kernel/random/boot_id").read_text().strip()).int >> 66
    except (OSError, ValueError):
        return 0
