"""A plan as a file, JSON Lines: a header that says of which two places and states it is, then one operation a line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visprep.errors import BadRecord, DiskError
from visprep.manifest import File, bare_etag
from visprep.plans import Action, Operation

FORMAT_VERSION = 1
_SHOWN = frozenset({Action.CREATE, Action.REPLACE, Action.DELETE, Action.CLEAR, Action.REFUSE})
_AGAIN = "make a new one with --plan"


class State:
    """The state of a list of files as it streams by: `digest` changes with any path, size, ETag or time."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """`sha256:hex` of what passed."""
        return f"sha256:{self._hash.hexdigest()}"

    def watch(self, files: Iterable[File]) -> Iterator[File]:
        """The same files."""
        for file in files:
            version = bare_etag(file.etag) if file.etag else file.mtime
            self._hash.update(json.dumps([file.path, file.size, version]).encode() + b"\n")
            yield file


@dataclass(frozen=True, slots=True)
class Header:
    """What a plan is made of: two places, the options that shape it, the states of both, and what is to be done."""

    origin: str
    target: str
    options: Mapping[str, Any]
    origin_state: str
    target_state: str
    operations: int
    bytes: int
    digest: str


def lines(operations: Iterable[Operation]) -> Iterator[bytes]:
    """One line for each operation that changes anything."""
    for one in operations:
        if one.action in _SHOWN:
            fields = {"action": one.action, "path": one.file.path, "size": one.file.size, "reason": one.reason}
            yield json.dumps(fields).encode() + b"\n"


def header(
    places: tuple[str, str], options: Mapping[str, Any], states: tuple[State, State], operations: Iterable[Operation]
) -> Header:
    """The header for these operations."""
    total, count, size = hashlib.sha256(), 0, 0
    for line in lines(operations):
        total.update(line)
        count += 1
    size = sum(one.file.size or 0 for one in operations if one.action in (Action.CREATE, Action.REPLACE))
    digests = [state.digest for state in states]
    return Header(*places, dict(options), digests[0], digests[1], count, size, f"sha256:{total.hexdigest()}")


def write(path: Path, head: Header, operations: Iterable[Operation]) -> None:
    """Write a plan, whole or not at all; DiskError when that fails."""
    fields = {name: getattr(head, name) for name in Header.__slots__}
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "wb") as out:
                out.write(json.dumps({"format_version": FORMAT_VERSION, **fields}).encode() + b"\n")
                out.writelines(lines(operations))
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise DiskError(f"{path}: {(error.strerror or str(error)).lower()}", hint="choose another FILE") from None


def read(path: Path) -> Header:
    """The header of a plan whose lines are what it says; DiskError or BadRecord when it is none, or was altered."""
    total, count = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
            if first.pop("format_version") != FORMAT_VERSION:
                raise ValueError("another format_version")
            head = Header(**first)
            for line in file:
                total.update(line)
                count += 1
    except OSError as error:
        raise DiskError(f"{path}: {(error.strerror or str(error)).lower()}", hint="name a file of --plan") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadRecord(f"{path}: this is no plan of visprep ({error})", hint=_AGAIN) from None
    if count != head.operations or f"sha256:{total.hexdigest()}" != head.digest:
        raise BadRecord(f"{path}: the plan was altered, or is cut off", hint=_AGAIN)
    return head
