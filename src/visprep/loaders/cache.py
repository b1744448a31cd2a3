"""Images kept on disk for the next epoch, for all processes of a training: the one cache of all loaders."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
import time
import warnings
import weakref
from numbers import Integral
from pathlib import Path
from typing import Any

from visprep.errors import AccessDenied, DiskError, UsageError
from visprep.loaders import cache_counts as counted
from visprep.loaders.cache_counts import CacheStats, Counts
from visprep.loaders.cache_files import (
    OVERHEAD,
    CorruptEntryError,
    make_own,
    name_of,
    numbers,
    path_of,
    read_entry,
    sweep_own,
    write_temporary,
)
from visprep.loaders.cache_index import UNKNOWN, Index, Table
from visprep.loaders.cache_policies import POLICIES, PolicyName
from visprep.loaders.fetch import ImageFile

_FULL = (errno.ENOSPC, errno.EDQUOT)
#: After so many draws the entries are looked for whose next use has passed.
_PASSING = 64


class ImageCache:
    """Images on disk: at most `max_files` of them, in at most `max_bytes`, whatever number of processes use them.

    Without `directory`, it is a directory of its own among the temporary files: the process that made the cache
    removes it at `close`, at its exit, or when nothing refers to the cache. A given directory is made where it is
    missing and kept, and several runs may use it at once. A cache can be pickled, and used on both sides of a fork
    and by many threads.

    `policy` says what goes when it is full: `lru`, what was used longest ago; `static`, nothing, so that what came
    first stays; `ordered`, what is needed last, by the `next_use` that is told to `get` and `put`.

    UsageError for limits below 1 and unknown policies; AccessDenied or DiskError when the directory cannot be made
    or written to. Later faults of the disk are never raised: the first one warns, and training goes on without.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None = None,
        *,
        max_files: int = 1000,
        max_bytes: int | None = None,
        policy: PolicyName = "lru",
    ) -> None:
        if policy not in POLICIES:
            raise UsageError(f"cache_policy={policy!r}", hint=f"it is one of: {', '.join(POLICIES)}")
        for name, count in (("max_files", max_files), ("max_bytes", 1 if max_bytes is None else max_bytes)):
            if not is_count(count):
                hint = "it is a whole number, from 1 on; leave the cache out where none is wanted"
                raise UsageError(f"{name}={count!r}", hint=hint)
        if directory is not None and not _is_local(directory):
            raise UsageError(f"local_cache_dir={directory!r}", hint="it is a directory on this machine")
        self.max_files, self.max_bytes, self.policy = max_files, max_bytes, policy
        sweep_own()
        self._own: _OwnDirectory | None = None
        self._processes: dict[int, _Opened] = {}
        try:
            if directory is None:
                self._own = _OwnDirectory()
                self.directory = self._own.directory
            else:
                self.directory = str(Path(directory).expanduser().absolute())
            self._kept = self._own is None
            counts = self._open().counts
            self._before, self._mark = counts.total(), counts.mark
        except OSError as problem:
            where = directory or "among the temporary files"
            if problem.errno not in _FULL:
                kind = AccessDenied if isinstance(problem, PermissionError) else DiskError
                raise kind(
                    f"Cannot create cache directory {where}: {problem.strerror or problem}",
                    hint="choose a directory that this user may write to",
                ) from None
            self.directory, self._kept = str(directory or ""), False
            self._before, self._mark = CacheStats(), 0
            _warn(problem)

    def _open(self) -> _Opened:
        if self._kept:
            Path(self.directory).mkdir(parents=True, exist_ok=True)
        opened = _Opened(self.directory)
        # What was inherited by a fork is let go: a lock on it would be the parent's, too
        for pid in [pid for pid in self._processes if pid != os.getpid()]:
            self._processes.pop(pid, None)
        return self._processes.setdefault(os.getpid(), opened)

    def _opened(self) -> _Opened | None:
        """What this process has open of the cache; None when it cannot be used."""
        opened = self._processes.get(os.getpid())
        if opened is None and self.directory:
            with contextlib.suppress(OSError):
                opened = self._open()
        return opened

    def get(self, file: ImageFile, next_use: int | None = None) -> bytes | None:
        """The bytes of an image, checked; None when they are not here. `next_use` is when it is needed after that."""
        if (opened := self._opened()) is None:
            return None
        name = name_of(file.url, file.size, file.version)
        path = path_of(self.directory, name)
        try:
            data = read_entry(path, name)
        except FileNotFoundError:
            opened.count(counted.MISSES)
            return None
        except CorruptEntryError:
            opened.count(counted.MISSES)
            opened.count(counted.CORRUPT)
            self._forget(opened, name, path)
            return None
        except OSError as problem:
            opened.count(counted.MISSES)
            opened.fault(problem)
            return None
        opened.count(counted.HITS, 1, counted.HIT_BYTES, len(data))
        try:
            _note_use(opened, name, path, len(data) + OVERHEAD, next_use)
        except OSError as problem:
            opened.fault(problem)
        return data

    def put(self, file: ImageFile, data: bytes, next_use: int | None = None, now: int | None = None) -> None:
        """Keep the bytes of an image that was fetched, if the policy wants them.

        `next_use` is the number of the draw at which it is needed next, `now` that of the present one: entries whose
        next use was before it go first. Numbers go on from epoch to epoch.
        """
        if (opened := self._opened()) is None:
            return
        opened.count(counted.FETCHED_BYTES, len(data))
        if opened.off:
            return
        name = name_of(file.url, file.size, file.version)
        due = UNKNOWN if next_use is None else next_use
        try:
            if now is not None and self.policy == "ordered" and now - opened.passed >= _PASSING:
                opened.passed = now
                with opened.index.changing() as table:
                    table.pass_by(now)
            if not self._wants(opened.index.table, name, len(data) + OVERHEAD, due):
                opened.count(counted.REFUSED)
                return
            temporary = write_temporary(self.directory, name, data, next(numbers))
            try:
                kept = self._place(opened, temporary, name, len(data) + OVERHEAD, due)
            except BaseException:
                _unlink(temporary)
                raise
            if not kept:
                _unlink(temporary)
            opened.count(counted.PUTS if kept else counted.REFUSED)
        except FileNotFoundError:
            # Somebody removed the directory: a given one is made again, an own one was closed
            self._processes = {}
        except OSError as problem:
            opened.off = True
            opened.fault(problem)

    def _wants(self, table: Table, name: bytes, size: int, due: int) -> bool:
        """Whether an entry would be kept, by a look without the lock: it spares writing what is not."""
        if self.max_bytes is not None and size > self.max_bytes:
            return False
        if self._fits(table, size) or table.find(name) >= 0:
            return True
        return POLICIES[self.policy](table, due) is not None

    def _fits(self, table: Table, size: int) -> bool:
        return table.count < self.max_files and (self.max_bytes is None or table.held + size <= self.max_bytes)

    def _place(self, opened: _Opened, temporary: str, name: bytes, size: int, due: int) -> bool:
        path = path_of(self.directory, name)
        with opened.index.changing() as table:
            if (slot := table.find(name)) >= 0:
                table.remove(slot)
            while table.count and not self._fits(table, size):
                victim = POLICIES[self.policy](table, due)
                if victim is None:
                    if slot >= 0:
                        _unlink(path)
                    return False
                if not table.sizes[victim]:  # who took no lock noted a use where an entry had just been
                    table.unnote(victim)
                    continue
                opened.index.drop(table, victim)
                opened.count(counted.EVICTIONS)
            try:
                os.replace(temporary, path)  # noqa: PTH105 - a Path costs as much as the call
            except FileNotFoundError:
                Path(path).parent.mkdir(exist_ok=True)
                os.replace(temporary, path)  # noqa: PTH105
            table.put(name, size, time.time_ns(), due)
        return True

    def _forget(self, opened: _Opened, name: bytes, path: str) -> None:
        try:
            with opened.index.changing() as table:
                if (slot := table.find(name)) >= 0:
                    table.remove(slot)
                Path(path).unlink(missing_ok=True)
        except OSError as problem:
            opened.fault(problem)

    def stats(self) -> CacheStats:
        """What the cache did since it was made, over all processes that use its directory.

        Of a directory that somebody removed meanwhile: since it was made again.
        """
        if (opened := self._opened()) is None:
            return CacheStats()
        total = opened.counts.total()
        return total - self._before if opened.counts.mark == self._mark else total

    @property
    def count(self) -> int:
        """The images that it holds now."""
        opened = self._opened()
        return opened.index.table.count if opened else 0

    @property
    def held(self) -> int:
        """What they take on disk, in bytes."""
        opened = self._opened()
        return opened.index.table.held if opened else 0

    def close(self) -> None:
        """Let go of the files; a directory of its own is removed, in the process that made it."""
        self._processes = {}
        if self._own:
            self._own.remove()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_processes": {}, "_own": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # A copy in the process that made the directory keeps it, too
        own = _owned.get(self.directory)
        self._own = own if own and own.pid == os.getpid() else None


#: All caches of a process count in one row of their directory; in the child of a fork nobody holds it.
_counting = threading.Lock()


def _count_afresh() -> None:
    global _counting
    _counting = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_afresh)


class _Opened:
    """What one process has open of a cache."""

    def __init__(self, directory: str) -> None:
        self.index = Index(directory)
        with self.index.changing(settle=False):
            self.counts = Counts(directory)
        self.off = False
        self.passed = 0

    def count(self, word: int, number: int = 1, other: int = counted.FAULTS, more: int = 0) -> None:
        row = self.counts.row
        with _counting:
            row[word] += number
            row[other] += more

    def fault(self, problem: OSError) -> None:
        """Note that the disk refused, and tell whoever is the first of all processes to see it."""
        self.count(counted.FAULTS)
        if self.counts.first_fault():
            _warn(problem)


class _OwnDirectory:
    """A directory that is removed by the process that made it, at the latest when it ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.directory, handle = make_own()
        self.remove = weakref.finalize(self, _remove, self.directory, handle, self.pid)
        _owned[self.directory] = self


_owned: weakref.WeakValueDictionary[str, _OwnDirectory] = weakref.WeakValueDictionary()


def _remove(directory: str, handle: int, pid: int) -> None:
    # The child of a fork inherits this, and the directory is not its own
    if os.getpid() == pid:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(handle)


def _note_use(opened: _Opened, name: bytes, path: str, size: int, next_use: int | None) -> None:
    table = opened.index.table
    slot = table.find(name)
    if slot >= 0:
        table.used[slot] = time.time_ns()
        if next_use is not None:
            table.due[slot] = next_use
        return
    # On disk and not in the table: removed this moment, or never noted
    with opened.index.changing() as table:
        if table.find(name) < 0 and Path(path).exists():
            table.put(name, size, time.time_ns(), UNKNOWN if next_use is None else next_use)


def is_count(given: Any) -> bool:
    """Whether it is a whole number, from 1 on; text and True are none."""
    return isinstance(given, Integral) and given is not True and int(given) > 0


def _is_local(given: Any) -> bool:
    """Whether it can be the path of a directory here: of an address Path makes one, too (`s3:/bucket`)."""
    text = str(given) if isinstance(given, (str, os.PathLike)) else ""
    return bool(text) and "://" not in text and not text.startswith("s3:/")


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


def _warn(problem: OSError) -> None:
    warnings.warn(
        f"The image cache is not written to any more: {problem.strerror or problem}. Training goes on without it.",
        RuntimeWarning,
        stacklevel=4,
    )
