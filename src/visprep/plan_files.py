"""A plan as a file, JSON Lines: a header that says of which two places and states it is, then one operation a line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import NoneType
from typing import Any

from visprep import whole_files
from visprep.errors import BadRecord, DiskError, PlanStale, UsageError
from visprep.manifest import File, bare_etag
from visprep.own_record import CACHE, REMEMBERED
from visprep.plans import Action, Compare, Operation
from visprep.stores import is_archive

FORMAT_VERSION = 1
_SHOWN = frozenset({Action.CREATE, Action.REPLACE, Action.DELETE, Action.CLEAR, Action.REFUSE})
_AGAIN = "make a new one with --plan"
#: Bytes of a header at most.
_LONGEST = 1 << 24
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")


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
    """What a plan is made of: two places, the options that shape it, the states of both, and what is to be done.

    Places on disk are absolute. `digest` is that of the other fields and of all operations. `file` is where it was
    read from.
    """

    origin: str
    target: str
    options: Mapping[str, Any]
    origin_state: str
    target_state: str
    operations: int
    bytes: int
    digest: str
    file: Path | None = field(default=None, compare=False)

    @property
    def told(self) -> dict[str, Any]:
        """The fields that a file has, but for the digest."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS = {
    "origin": (str,),
    "target": (str,),
    "options": (dict,),
    "origin_state": (str,),
    "target_state": (str,),
    "operations": (int,),
    "bytes": (int,),
}
_TEXT = (str, NoneType)
#: The options that a plan notes, and their types; no keys, no tokens, and not where they are found.
OPTIONS = {
    "delete": (bool,),
    "max_delete": (int, NoneType),
    "compare": (str,),
    "include": (list,),
    "exclude": (list,),
    "endpoint": _TEXT,
    "region": _TEXT,
    "storage_class": _TEXT,
    "sse": _TEXT,
    "sse_kms_key_id": _TEXT,
    "acl": _TEXT,
    "request_payer": (bool,),
    "create_bucket": (bool,),
}


def lines(operations: Iterable[Operation]) -> Iterator[bytes]:
    """One line for each operation that changes anything."""
    for one in operations:
        if one.action in _SHOWN:
            fields = {"action": one.action, "path": one.file.path, "size": one.file.size, "reason": one.reason}
            yield json.dumps(fields).encode() + b"\n"


def absolute(place: str) -> str:
    """A place as it is called from any directory."""
    return place if "://" in place else str(Path(place).absolute())


def header(
    places: tuple[str, str], options: Mapping[str, Any], states: tuple[State, State], operations: Iterable[Operation]
) -> Header:
    """The header for these operations."""
    size = sum(one.file.size or 0 for one in operations if one.action in (Action.CREATE, Action.REPLACE))
    origin, target = map(absolute, places)
    count = sum(1 for _ in lines(operations))
    head = Header(origin, target, dict(options), states[0].digest, states[1].digest, count, size, "")
    return replace(head, digest=_digest(head, lines(operations)))


def _digest(head: Header, following: Iterable[bytes]) -> str:
    total = hashlib.sha256(json.dumps(head.told, sort_keys=True).encode())
    for line in following:
        total.update(line)
    return f"sha256:{total.hexdigest()}"


def check_file(path: Path, ends: Iterable[str]) -> None:
    """UsageError when a plan cannot be written there: a device, a pipe, standard output, or a file in one of `ends`."""
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r} is no name of a file", hint="choose another FILE")
    name, real = os.path.abspath(path), os.path.realpath(path)  # noqa: PTH100
    special = os.path.exists(path) and not os.path.isfile(path)  # noqa: PTH110, PTH113 -- never raise
    if str(path) == "-" or name.startswith(_STREAMS) or special:
        raise UsageError(f"{path}: a plan is written to a file, to be read again", hint="choose another FILE")
    for end in ends:
        if "://" not in end and os.path.join(real, "").startswith(os.path.join(os.path.realpath(end), "")):  # noqa: PTH118
            raise UsageError(f"{path} lies in {end}, which would then differ from the plan", hint="choose another FILE")


def write(path: Path, head: Header, operations: Iterable[Operation]) -> None:
    """Write a plan, whole or not at all, in place of the file that was there; DiskError when that fails."""
    target = Path(os.path.realpath(path))  # a link stays one
    try:
        with whole_files.beside(target) as part:
            with part.open("wb") as out:
                first = {"format_version": FORMAT_VERSION, **head.told, "digest": head.digest}
                out.write(json.dumps(first).encode() + b"\n")
                out.writelines(lines(operations))
            part.replace(target)
    except OSError as error:
        raise DiskError(f"{path}: {(error.strerror or str(error)).lower()}", hint="choose another FILE") from None


def read(path: Path) -> Header:
    """The header of a plan whose lines are what it says; DiskError or BadRecord when it is none, or was altered."""
    count = 0

    def counted(following: Iterable[bytes]) -> Iterator[bytes]:
        nonlocal count
        for line in following:
            count += 1
            yield line

    try:
        with path.open("rb") as file:
            head = _parse(json.loads(file.readline(_LONGEST)), path)
            digest = _digest(head, counted(file))
    except OSError as error:
        raise DiskError(f"{path}: {(error.strerror or str(error)).lower()}", hint="name a file of --plan") from None
    except (ValueError, RecursionError) as error:
        raise BadRecord(f"{path}: this is no plan of visprep ({error})", hint=_AGAIN) from None
    if count != head.operations or digest != head.digest:
        raise BadRecord(f"{path}: the plan was altered, or is cut off", hint=_AGAIN)
    return head


def _parse(told: Any, path: Path) -> Header:
    """The header; ValueError when a field is missing, of another type, or unknown."""
    if not isinstance(told, dict) or told.pop("format_version", None) != FORMAT_VERSION:
        raise ValueError("another format_version")
    _check(told, {**_FIELDS, "digest": (str,)})
    options = told["options"]
    _check(options, OPTIONS)
    if not all(isinstance(glob, str) for glob in (*options["include"], *options["exclude"])):
        raise ValueError("a glob is no text")
    if options["compare"] not in tuple(Compare) or (options["max_delete"] or 0) < 0:
        raise ValueError("an option has no meaning")
    return Header(**told, file=path)


def _check(told: Mapping[str, Any], types: Mapping[str, tuple[type, ...]]) -> None:
    if told.keys() != types.keys():
        raise ValueError(f"these are missing or unknown: {', '.join(sorted(told.keys() ^ types.keys()))}")
    for name, allowed in types.items():
        if type(told[name]) not in allowed:  # True is no number
            raise ValueError(f"{name} is of another type")


def check(planned: Header, found: Header, operations: Iterable[Operation]) -> Mark:
    """The mark of a plan that may be carried out, now that `found` and `operations` are to be done; PlanStale."""
    mark = Mark(planned)
    if planned != found and not mark.allows(found, operations):
        sides = (
            (planned.origin, planned.origin_state, found.origin_state),
            (planned.target, planned.target_state, found.target_state),
        )
        changed = [place for place, before, now in sides if before != now] or ["what is known of them"]
        raise PlanStale(f"{' and '.join(changed)} changed since the plan was made", hint=_AGAIN)
    return mark


class Mark:
    """A file in the place on disk: this plan was begun, so that what differs from it now may be its own work."""

    def __init__(self, head: Header) -> None:
        self._head = head
        name = f"{REMEMBERED}-plan-{head.digest.removeprefix('sha256:')[:16]}"
        disk = [Path(place) for place in (head.target, head.origin) if "://" not in place and not is_archive(place)]
        self._path = disk[0] / CACHE / name if disk else None

    def set(self) -> None:
        """Note that the plan is begun, where that can be noted."""
        if self._path:
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()

    def clear(self) -> None:
        """The plan is carried out."""
        if self._path:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def allows(self, found: Header, operations: Iterable[Operation]) -> bool:
        """Whether the plan was begun, its origin is the same, and it names all that is still to be done."""
        if not (self._path and self._path.exists() and self._head.file):
            return False
        if self._head.origin_state != found.origin_state:
            return False
        try:
            with self._head.file.open("rb") as file:
                file.readline()
                planned = map(_deed, file)
                return all(_deed(line) in planned for line in lines(operations))  # both in order: each is used up once
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False


def _deed(line: bytes) -> tuple[str, str]:
    fields = json.loads(line)
    return fields["action"], fields["path"]
