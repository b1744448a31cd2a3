"""Samples that could not be had: noted for all processes of a dataset, and the limit at which training stops."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import weakref
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import msgspec

from visprep.descriptors import BINARY
from visprep.errors import TooManyFailures, UsageError
from visprep.loaders.cache_files import is_alive, start_time
from visprep.loaders.warned import warn

#: Failures that the error names.
_SHOWN = 3
#: So many are told of in a warning.
_MANY = 10
_PREFIX = "visprep-failures-"
_OWN = re.compile(_PREFIX + r"(\d+)-(\d+)-")
#: Characters of a message that are kept: a line must go into the file in one piece.
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be had: its index, the image, the slug of the error, and the error in words."""

    index: int
    url: str
    reason: str
    message: str


class FailureLog:
    """The failures of a dataset over all its processes, each sample once: a file to which each of them appends.

    The process that made it removes it in the end, or, if it is killed, the next that makes one. Where it cannot be
    written, each process counts for itself.
    """

    def __init__(self) -> None:
        self._begin()
        self._make()

    def _make(self) -> None:
        self._path = ""
        with contextlib.suppress(OSError):
            _sweep()
            pid = os.getpid()
            handle, self._path = tempfile.mkstemp(prefix=f"{_PREFIX}{pid}-{start_time(pid)}-", suffix=".jsonl")
            os.close(handle)
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())

    def _begin(self) -> None:
        self._seen: dict[int, Failure] = {}
        self._offset = 0
        self._warned = False

    def add(self, failure: Failure) -> None:
        """Note a failure, unless that sample has failed before."""
        if failure.index in self.all():
            return
        self._seen[failure.index] = failure
        kept = asdict(failure) | {"url": failure.url[:_LONGEST], "message": failure.message[:_LONGEST]}
        with contextlib.suppress(OSError):
            # Never made anew here: the process that removes it may have done so
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | BINARY)
            try:
                os.write(handle, msgspec.json.encode(kept) + b"\n")
            finally:
                os.close(handle)

    def all(self) -> dict[int, Failure]:
        """Every failure so far, by the index of the sample."""
        with contextlib.suppress(OSError):
            if self._path and Path(self._path).stat().st_size > self._offset:
                self._read()
        return self._seen

    def _read(self) -> None:
        with Path(self._path).open("rb") as log:
            log.seek(self._offset)
            new = log.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
                failure = msgspec.json.decode(line, type=Failure)
                self._seen.setdefault(failure.index, failure)

    def warn(self) -> None:
        """Say, once in a process, that samples fail: a training on nothing would look like any other."""
        failed = self.all()
        if self._warned or len(failed) < _MANY:
            return
        self._warned = True
        last = next(reversed(failed.values()))
        warn(
            f"{len(failed)} samples could not be had so far; one of them: {_named(last)}; dataset.failures tells all, "
            "max_failures= says how many may"
        )

    def check(self, most: int | None, samples: int) -> None:
        """TooManyFailures when more than `most` of so many samples have failed; None: as many as there are."""
        failed = self.all()
        if most is None or len(failed) <= most:
            return
        named = [_named(one) for one in list(failed.values())[:_SHOWN]]
        more = f"; and {len(failed) - _SHOWN} more" if len(failed) > _SHOWN else ""
        error = TooManyFailures(
            f"{len(failed)} of {samples} samples failed, {most} may: {'; '.join(named)}{more}",
            hint="see dataset.failures, or dataset.write_failures(path); max_failures= says how many may",
        )
        error.add_note(str(error.hint))
        raise error

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
        if not Path(self._path).exists():  # it went with the dataset that was pickled
            self._make()


def limit_of(max_failures: float | None, samples: int) -> int | None:
    """How many of so many samples may fail; None: all. UsageError when it is neither a count nor a fraction."""
    if max_failures is None:
        return None
    given: Any = max_failures  # what a configuration file says may be text
    known = isinstance(given, Real) and not isinstance(given, bool)
    if not (known and max_failures >= 0) or (isinstance(max_failures, float) and max_failures > 1):
        raise UsageError(
            f"max_failures={max_failures!r}", hint="it is a count (10), or a fraction of all samples (0.01)"
        )
    return int(max_failures * samples) if isinstance(max_failures, float) else max_failures


def _named(failure: Failure) -> str:
    shown = failure.message if failure.url in failure.message else f"{failure.url}: {failure.message}"
    return f"{shown} [{failure.reason}]"


def _sweep() -> None:
    """Remove the files of processes that are no more."""
    with os.scandir(tempfile.gettempdir()) as found:
        left = [(entry.path, told) for entry in found if (told := _OWN.match(entry.name))]
    for path, told in left:
        if not is_alive(int(told[1]), int(told[2])):
            with contextlib.suppress(OSError):
                Path(path).unlink()


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            Path(path).unlink()
