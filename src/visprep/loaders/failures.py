"""Samples that could not be had: noted for all processes of a dataset, and the limit at which training stops."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from dataclasses import asdict, dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import msgspec

from visprep.errors import TooManyFailures, UsageError

#: Failures that the error names.
_SHOWN = 3
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

    The process that made it removes it in the end. Where it cannot be written, each process counts for itself.
    """

    def __init__(self) -> None:
        self._path = ""
        with contextlib.suppress(OSError):
            handle, self._path = tempfile.mkstemp(prefix="visprep-failures-", suffix=".jsonl")
            os.close(handle)
        self._begin()
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())

    def _begin(self) -> None:
        self._seen: dict[int, Failure] = {}
        self._offset = 0

    def add(self, failure: Failure) -> None:
        """Note a failure, unless that sample has failed before."""
        if failure.index in self.all():
            return
        self._seen[failure.index] = failure
        kept = asdict(failure) | {"url": failure.url[:_LONGEST], "message": failure.message[:_LONGEST]}
        with contextlib.suppress(OSError), Path(self._path).open("ab", buffering=0) as log:
            log.write(msgspec.json.encode(kept) + b"\n")

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
            with contextlib.suppress(msgspec.MsgspecError):
                failure = msgspec.json.decode(line, type=Failure)
                self._seen.setdefault(failure.index, failure)

    def check(self, most: int | None, samples: int) -> None:
        """TooManyFailures when more than `most` of so many samples have failed; None: as many as there are."""
        failed = self.all()
        if most is None or len(failed) <= most:
            return
        named = [
            f"{one.message if one.url in one.message else f'{one.url}: {one.message}'} [{one.reason}]"
            for one in list(failed.values())[:_SHOWN]
        ]
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


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            Path(path).unlink()
