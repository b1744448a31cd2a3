"""`dataset.json`: what was done to make a place what it is, a step for every command that changed it."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from visprep.errors import BadRecord, UsageError
from visprep.manifest import DATASET

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One command that changed a place.

    `source` is the name of a source or another place; `revision` is what upstream calls the version that was
    found. `options` are those that shape the result. `origin` says where the files were fetched from and what they were
    held against, which may change while the result stays the same, and how the places that it took were made: see
    `ancestors`. `counts` says what came of it.
    """

    command: str
    source: str
    revision: str | None = None
    splits: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    license: str | None = None
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)

    def same_request(self, other: Step) -> bool:
        """Whether both steps ask for the same result, whenever, with whatever versions and from wherever they ran."""
        plain = [replace(step, origin={}, counts={}, date="", versions={}) for step in (self, other)]
        return plain[0] == plain[1]

    def other_options(self, now: Step) -> str:
        """How the options of this step differ from those of another, in words; empty where they do not."""
        told = []
        for name in sorted({*self.options, *now.options}):
            before, after = self.options.get(name), now.options.get(name)
            called = name if name in ("file", "from") else f"--{name.replace('_', '-')}"
            if name == "listing" and before != after:
                told.append("the files on S3 changed since")
            elif before != after:
                told.append(f"{called} was {_value(before)}, now {_value(after)}")
        return "; ".join(told)

    @property
    def plain(self) -> dict[str, Any]:
        """The step as `dataset.json` has it, without what is empty."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, value: Any) -> Step:
        """The step that `asdict` wrote; TypeError or ValueError when it is something else."""
        step = cls(**value)
        _check(step)
        return replace(step, splits=tuple(step.splits))


@dataclass(frozen=True, slots=True)
class Dataset:
    """The steps of a place, and the digest of its file list (without `dataset.json` itself)."""

    steps: tuple[Step, ...] = ()
    files: str = ""

    def dump(self) -> bytes:
        """`dataset.json`, the same bytes for the same content."""
        steps = [step.plain for step in self.steps]
        document = {"format_version": FORMAT_VERSION, "steps": steps, "files": self.files}
        return json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes, place: str) -> Dataset:
        """What `dump` wrote; BadRecord when it is not that."""
        try:
            document = json.loads(data)
            if document["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {document['format_version']!r}")
            return cls(tuple(Step.from_json(step) for step in document["steps"]), str(document["files"]))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadRecord(
                f"{place}: {DATASET} was not written by this version of visprep ({error})",
                hint="move it away, or name another directory",
            ) from None


def step(command: str, source: str, packages: tuple[str, ...] = (), **facts: Any) -> Step:
    """A step of now: the date (SOURCE_DATE_EPOCH decides it where it is set) and the versions that shape the bytes.

    `packages` names the distributions besides visprep whose version can change what is written.
    """
    versions = {"python": platform.python_version(), "visprep": importlib.metadata.version("visprep")}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return Step(command, source, date=_now(), versions=versions, **facts)


def _check(step: Step) -> None:
    """TypeError for a step whose fields are not of the kind that they should be: JSON may hold anything."""
    tables = (step.options, step.origin, step.counts, step.versions)
    if not isinstance(step.splits, list | tuple) or not all(isinstance(one, Mapping) for one in tables):
        raise TypeError("a step has a field of another kind")
    texts = (step.command, step.source, step.date, step.revision or "", step.license or "")
    if not all(isinstance(one, str) for one in (*texts, *step.splits, *step.versions.values())):
        raise TypeError("a step has something else where a text should be")
    if not all(type(one) is int for one in step.counts.values()):
        raise TypeError("a step has something else where a number should be")


def _value(value: object) -> str:
    return "not given" if value is None else "given" if value is True else f"{value!s:.60}"


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        seconds = int(epoch) if epoch else time.time()
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"SOURCE_DATE_EPOCH={epoch}: not a number of seconds since 1970", hint="unset it") from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
