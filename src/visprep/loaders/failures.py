"""Samples that could not be had: noted for all processes of a dataset, and the limit at which training stops."""

from __future__ import annotations

import contextlib
import os
import tempfile
import weakref
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from visprep.errors import VisprepError


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be had: its index, the image, the slug of the error, and the error in words."""

    index: int
    url: str
    reason: str
    message: str


class FailureLog:
    """The failures of a dataset, over all its processes: one file, to which each of them appends."""

    def __init__(self) -> None:
        handle, self._path = tempfile.mkstemp(prefix="visprep-failures-", suffix=".jsonl")
        os.close(handle)
        self._begin()
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())

    def _begin(self) -> None:
        self._seen: dict[int, Failure] = {}
        self._offset = 0

    def add(self, failure: Failure) -> int:
        """Note a failure; how many samples have failed by now, each counted once."""
        if failure.index not in self.all():
            line = msgspec.json.encode(asdict(failure)) + b"\n"
            with contextlib.suppress(OSError), Path(self._path).open("ab", buffering=0) as log:
                log.write(line)
            self._seen.setdefault(failure.index, failure)
        return len(self.all())

    def all(self) -> dict[int, Failure]:
        """Every failure by its index."""
        with contextlib.suppress(OSError), Path(self._path).open("rb") as log:
            log.seek(self._offset)
            new = log.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._offset += len(whole)
            for line in whole.splitlines():
                failure = msgspec.json.decode(line, type=Failure)
                self._seen.setdefault(failure.index, failure)
        return self._seen

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:
        with contextlib.suppress(OSError):
            Path(path).unlink()


class TooManyFailures(VisprepError):
    """More samples failed than may."""

    slug = "too-many-failures"
