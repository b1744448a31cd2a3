"""What is known of checkpoints: one small JSON for each experiment, which alone says what counts.

A checkpoint that the index does not name was never finished, or is on its way out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any

from visprep.digests import digest_of
from visprep.errors import BadRecord, FileMissing, PlaceMissing, UnsafePath
from visprep.messages import Patience
from visprep.runs.layout import BEST, INDEX, LATEST, RunLayout
from visprep.stores import Store, safe_path
from visprep.stores.s3 import S3Store
from visprep.wire import wait

FORMAT_VERSION = 1
_KIND = "visprep-checkpoints"
_NEWER = "it was written by a newer visprep: pip install --upgrade visprep"
_DAMAGED = (
    "each checkpoint beside it can be loaded by its path; move this file away, and the next save begins a new one"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint that counts.

    `path` is relative to the place, `size` in bytes, `sha256` 64 hexadecimal digits, `saved` a date in ISO form, UTC.
    `trained_on` says which data and which commit, `writer` which process saved it, `number` the how manieth save of its
    experiment it was, from 1. What a later version may note besides is in `more`.
    """

    experiment: str
    path: str
    step: int
    epoch: int | None
    size: int
    sha256: str
    saved: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    best: bool = False
    trained_on: Mapping[str, Any] | None = None
    writer: str = ""
    number: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """`sha256:hex`, as files have it."""
        return f"sha256:{self.sha256}"

    def to_json(self) -> dict[str, Any]:
        """Plain data, in which `file` is the name beside the index: the directory may move, and get another name.

        What JSON does not know becomes text, as `"NaN"`.
        """
        told: dict[str, Any] = {**self.more, "file": _name(self.path), "step": self.step, "epoch": self.epoch}
        told |= {"number": self.number, "size": self.size, "sha256": self.sha256, "saved": self.saved}
        told |= {"metrics": {name: _plain(float(value)) for name, value in self.metrics.items()}, "best": self.best}
        return told | {"trained_on": _plain(self.trained_on), "writer": self.writer}

    @classmethod
    def from_json(cls, told: Mapping[str, Any], experiment: str, folder: str) -> Checkpoint:
        """The reverse of `to_json`; ValueError, TypeError, KeyError or UnsafePath when it makes no sense."""
        sha256, epoch, trained_on = told["sha256"], told["epoch"], told.get("trained_on")
        if not re.fullmatch("[0-9a-f]{64}", sha256) or int(told["size"]) < 0:
            raise ValueError("no SHA-256, or no size")
        when(told["saved"])
        return cls(
            experiment,
            _path(told["file"], folder),
            int(told["step"]),
            None if epoch is None else int(epoch),
            int(told["size"]),
            sha256,
            str(told["saved"]),
            {str(name): float(value) for name, value in dict(told.get("metrics") or {}).items()},
            bool(told.get("best")),
            None if trained_on is None else dict(trained_on),
            str(told.get("writer", "")),
            int(told.get("number", 0)),
            {name: value for name, value in told.items() if name not in _OF_ONE},
        )


@dataclass(frozen=True, slots=True)
class RunIndex:
    """The checkpoints of an experiment, the oldest first.

    `saves` counts all that were ever named. `writer` is the process whose own checkpoint was named last, and `turns`
    says how often that happened, not counting what was saved elsewhere and sent later. `dropped` are the paths of those
    that are not kept and may still be there, `announced` the marks of saves that were about to begin.
    """

    experiment: str
    checkpoints: tuple[Checkpoint, ...] = ()
    saves: int = 0
    writer: str = ""
    turns: int = 0
    dropped: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def latest(self) -> Checkpoint | None:
        """The newest one, None where there is none."""
        return self.checkpoints[-1] if self.checkpoints else None

    @property
    def best(self) -> Checkpoint | None:
        """The last one that was saved as the best, None where there is none."""
        return next((one for one in reversed(self.checkpoints) if one.best), None)

    def find(self, path: str) -> Checkpoint | None:
        """The checkpoint at a path, None where it is not named."""
        return next((one for one in self.checkpoints if one.path == path), None)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as it is written. `latest` and `best` are told for others: order and marks tell them to us."""
        latest, best = self.latest, self.best
        told: dict[str, Any] = {**self.more, "kind": _KIND, "format_version": FORMAT_VERSION}
        told |= {"experiment": self.experiment, "writer": self.writer, "turns": self.turns, "saves": self.saves}
        told |= {"latest": latest and _name(latest.path), "best": best and _name(best.path)}
        told["checkpoints"] = [one.to_json() for one in self.checkpoints]
        return told | {"dropped": list(map(_name, self.dropped)), "announced": list(self.announced)}

    def dump(self) -> bytes:
        """The bytes of the file: the same from two processes only if both send the same checkpoints later."""
        return json.dumps(self.to_json(), indent=2, allow_nan=False).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes, where: str, experiment: str, folder: str) -> RunIndex:
        """The reverse of `dump`, for an index that lies in the directory `folder` of a place.

        BadRecord, which names `where`, when it is damaged or of a newer format.
        """
        try:
            told = json.loads(data)
            if not isinstance(told, dict) or told.get("kind") != _KIND:
                raise ValueError("something else")
            if told.get("format_version") != FORMAT_VERSION:
                version = told.get("format_version")
                raise BadRecord(f"{where} has the format_version {version!r}, not {FORMAT_VERSION}", hint=_NEWER)
            return cls(
                experiment,
                tuple(Checkpoint.from_json(one, experiment, folder) for one in told["checkpoints"]),
                int(told.get("saves", 0)),
                str(told.get("writer", "")),
                int(told.get("turns", 0)),
                tuple(_path(name, folder) for name in told.get("dropped", ())),
                tuple(map(str, told.get("announced", ()))),
                {name: value for name, value in told.items() if name not in _OF_ALL},
            )
        except (ValueError, TypeError, KeyError, AttributeError, UnsafePath, RecursionError) as error:
            raise BadRecord(f"{where} is damaged: {error}", hint=_DAMAGED) from None


_OF_ONE = frozenset(
    {"file", "step", "epoch", "number", "size", "sha256", "saved", "metrics", "best", "trained_on", "writer"}
)
_OF_ALL = frozenset(
    {"kind", "format_version", "experiment", "writer", "turns", "saves", "latest", "best", "checkpoints"}
    | {"dropped", "announced"}
)


def read_index(
    store: Store, layout: RunLayout, experiment: str, *, patience: Patience | None = None
) -> tuple[RunIndex, str]:
    """What is known of the checkpoints of an experiment, and an ETag of it: an empty index, and "", where nothing is.

    BadRecord when it is damaged or of a newer format; StoreError, NetworkError, CredentialsError, and PlaceMissing for
    a bucket that is not there, as the store raises them. A directory that is not there has no checkpoints yet.
    """
    path = layout.index(experiment)
    try:
        if isinstance(store, S3Store):
            response = wait(store.ask("s3:GetObject", "GET", path), patience)
            data, etag = response.body, response.etag or ""
        else:
            data = wait(store.read(path), patience)
            etag = digest_of(data)
    except FileMissing:
        return RunIndex(experiment), ""
    except PlaceMissing:
        if isinstance(store, S3Store):
            raise
        return RunIndex(experiment), ""
    return RunIndex.load(data, f"{store.place}/{path}", experiment, layout.checkpoints(experiment)), etag


def kept(checkpoints: Sequence[Checkpoint], keep_last: int | None, keep_every: int | None) -> tuple[Checkpoint, ...]:
    """Those that stay, in their order: the last `keep_last` (None: all), the best, and of all saves every nth."""
    best = next((one for one in reversed(checkpoints) if one.best), None)
    last = len(checkpoints) if keep_last is None else keep_last
    return tuple(
        one
        for position, one in enumerate(checkpoints, 1)
        if position > len(checkpoints) - last or one is best or (keep_every and one.number % keep_every == 0)
    )


def now() -> str:
    """The time as `Checkpoint.saved` has it, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def when(saved: str) -> datetime:
    """The time of a save, to be compared; ValueError or TypeError when it is none, or of no known time zone."""
    time = datetime.fromisoformat(saved)
    if time.tzinfo is None:
        raise ValueError(f"{saved!r} tells no time zone")
    return time


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _path(name: str, folder: str) -> str:
    """The path of a file beside the index; one with the name of the index or of a copy is none of the checkpoints."""
    if "/" in name or name in (INDEX, LATEST, BEST):
        raise ValueError(f"{name!r} is no name of a checkpoint")
    return safe_path(f"{folder}/{name}")


def _plain(value: Any) -> Any:
    """What a user noted, as JSON takes it: what it does not know becomes text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else "NaN" if math.isnan(number) else f"{'-' * (number < 0)}Infinity"
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value)
