"""What a verify that was killed had found: kept beside the user's other caches, never in the place, until it has ended.

A line is written for some hundred items: a digest of each item, which holds its files with size, times, ETag or inode,
and what was found. A file that has changed since has another digest, and is looked at again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from visprep.descriptors import BINARY

#: Items that are written as one line at the most.
_ITEMS = 256
#: Seconds after which nobody goes on with a verify that was killed: then its file is removed by the next one.
_OLD = 7 * 24 * 3600
#: The packages whose versions take part in what is found.
_PACKAGES = ("visprep", "pillow", "av", "numpy", "msgspec")
#: What was not to be had the other time is asked for again.
_UNREAD = b'-unreadable"'


@dataclass(frozen=True, slots=True)
class VerifyMemory:
    """Where verify notes what it has found, so that it can go on after it was killed.

    That is a file in `folder`, made when `after` seconds have passed, which grows every few seconds, `every` or sooner,
    and is removed when the verify has ended. What takes less than `least` seconds an item is looked at again sooner
    than it is noted.
    """

    folder: Path
    after: float = 10.0
    every: float = 2.0
    least: float = 0.0005

    @contextlib.contextmanager
    def ledger(self, *asked: str) -> Iterator[Ledger]:
        """What was found for the same question, and room for more; it goes when nothing was raised."""
        versions = [_version(name) for name in _PACKAGES]
        name = hashlib.sha256(json.dumps([asked, versions]).encode()).hexdigest()[:32]
        ledger = Ledger(self.folder / f"{name}.jsonl", self)
        try:
            yield ledger
            ledger.forget()
        finally:
            ledger.close()


class _Line(msgspec.Struct):
    keys: list[str]
    found: list[msgspec.Raw]


class Ledger:
    """The file of one question; a disk that takes no more of it only means that less is remembered."""

    def __init__(self, path: Path, memory: VerifyMemory) -> None:
        self.path, self.memory, self.begun = path, memory, time.monotonic()
        self._file: int | None = None
        self._line = _Line([], [])
        self._next = 0.0
        self.known = self._read()

    def _read(self) -> dict[bytes, bytes]:
        known: dict[bytes, bytes] = {}
        same: dict[bytes, bytes] = {}  # most files have nothing wrong
        decoder = msgspec.json.Decoder(_Line)
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError):  # torn by the kill
                    one = decoder.decode(line)
                    for key, found in zip(one.keys, map(bytes, one.found), strict=True):
                        known[bytes.fromhex(key)] = same.setdefault(found, found)
        return known

    def pages(self, stage: str, do: Callable[..., Any], gives: Any) -> Pages:
        """The part for one stage of the work, where `do` gives something of the type `gives` for each item."""
        return Pages(self, stage, do.keywords if isinstance(do, functools.partial) else {}, gives)

    def note(self, key: bytes, found: bytes) -> None:
        """Write down what was found for an item, soon."""
        self._line.keys.append(key.hex())
        self._line.found.append(msgspec.Raw(found))
        now = time.monotonic()
        if len(self._line.keys) >= _ITEMS or now >= self._next:
            self._next = now + self.memory.every
            self._flush()

    def _flush(self) -> None:
        line, self._line = self._line, _Line([], [])
        with contextlib.suppress(OSError):
            self._write(msgspec.json.encode(line) + b"\n")

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._sweep()
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | BINARY, 0o600)
            line = b"\n" + line  # the last one may be torn
        os.write(self._file, line)

    def _sweep(self) -> None:
        for other in self.path.parent.glob("*.jsonl"):
            with contextlib.suppress(OSError):
                if time.time() - other.stat().st_mtime > _OLD:
                    other.unlink()

    def forget(self) -> None:
        """The verify has ended."""
        self._line = _Line([], [])
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file, with all that is known in it."""
        if self._line.keys:
            self._flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Pages:
    """What is known for one stage of the work."""

    def __init__(self, ledger: Ledger, stage: str, options: Any, gives: Any) -> None:
        self._ledger, self._begun = ledger, time.monotonic()
        self._about = f"{stage} {options!r}".encode()
        self._decoder = msgspec.json.Decoder(gives)

    @property
    def knows(self) -> bool:
        """Whether anything is known: else no digests are made."""
        return bool(self._ledger.known)

    def due(self, done: int) -> bool:
        """Whether the verify takes long enough for notes, and so many items of this stage did."""
        now, memory = time.monotonic(), self._ledger.memory
        return now >= self._ledger.begun + memory.after and now - self._begun >= done * memory.least

    def find(self, item: Any) -> tuple[Any] | None:
        """What was found for an item, when it is the same still."""
        key = self._key(item)
        found = self._ledger.known.get(key) if key else None
        if found is None:
            return None
        try:
            return (self._decoder.decode(found),)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def note(self, item: Any, result: Any) -> None:
        """Remember what was found for an item, unless it may be other the next time."""
        key, found = self._key(item), _encoded(result)
        if key and found and _UNREAD not in found and key not in self._ledger.known:
            self._ledger.note(key, found)

    def _key(self, item: Any) -> bytes | None:
        data = _encoded(item)
        return None if data is None else hashlib.blake2b(self._about + data, digest_size=16).digest()


def _encoded(value: Any) -> bytes | None:
    """Plain data as JSON; None of what has none: names that are no text."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except (UnicodeEncodeError, TypeError):
        return None


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
