"""How the tasks of two places differ: which came and went, whose prompt or metadata says something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from visprep import wire
from visprep.differences import FieldChange, PromptDifference, RecordDifference, TaskDifference, fields_between
from visprep.errors import StoreError
from visprep.formats.task_loading import TEXT_BYTES
from visprep.formats.tasks import DOMAIN_SUFFIX, FINAL_FRAME, FIRST_FRAME, METADATA, PROMPT, tidy_prompt
from visprep.stores import Store

_CORE = frozenset({FIRST_FRAME, FINAL_FRAME, PROMPT})


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task directory of which files differ: `removed`, `added` or `changed`, and the names of these files."""

    change: str
    path: str
    files: tuple[str, ...]

    def at(self, name: str) -> str:
        """The path of one of its files."""
        return f"{self.path}/{name}" if self.path else name


@dataclass(frozen=True, slots=True)
class _Open:
    """A directory whose files come by: what of it is in A and in B, as far as that tells, and what differs."""

    path: str
    a: set[str] = field(default_factory=set)
    b: set[str] = field(default_factory=set)
    differ: list[str] = field(default_factory=list)

    def change(self) -> TaskChange | None:
        """How it differs; None when it does not, or is no task's."""
        if not self.differ or not any(map(self._is_task, (self.a, self.b))):
            return None
        in_a, in_b = (bool(_CORE & names) for names in (self.a, self.b))
        change = "changed" if in_a and in_b else "removed" if in_a else "added"
        return TaskChange(change, self.path, tuple(self.differ))

    def _is_task(self, names: set[str]) -> bool:
        core = len(_CORE & names)
        *_, above = ("", *self.path.split("/")[:-1])
        return core >= 2 or (core == 1 and above.endswith(DOMAIN_SUFFIX))


class TaskDirectories:
    """Finds the task directories that differ, as the files of two places come by in order of path.

    A directory is a task's when a side has two of first frame, final frame and prompt in it, or one of them and the
    directory above is called `{domain}_task`. Files in directories below it are nobody's.
    """

    def __init__(self) -> None:
        self._found: list[TaskChange] = []
        self._open: list[_Open] = []

    def take(self, path: str, in_a: bool, in_b: bool, differs: bool) -> None:
        """One file, and which of the places have it."""
        home, _, name = path.rpartition("/")
        while self._open and not f"{home}/".startswith(f"{self._open[-1].path}/" if self._open[-1].path else ""):
            self._close()
        if not self._open or self._open[-1].path != home:
            self._open.append(_Open(home))
        top = self._open[-1]
        for there, names in ((in_a, top.a), (in_b, top.b)):
            if there and name in _CORE:
                names.add(name)
        if differs:
            top.differ.append(name)

    def changes(self) -> list[TaskChange]:
        """All of them, in order of path, when no more files come."""
        while self._open:
            self._close()
        return sorted(self._found, key=lambda one: one.path)

    def _close(self) -> None:
        if change := self._open.pop().change():
            self._found.append(change)


def differences(changes: list[TaskChange], left: Store, right: Store) -> Iterator[RecordDifference]:
    """The task directories that differ, each with its prompt where that does, in order of path."""
    for one in changes:
        fields: tuple[FieldChange, ...] = ()
        if one.change == "changed" and METADATA in one.files:
            was, now = (_object(_read(store, one.at(METADATA))) for store in (left, right))
            fields = fields_between(was, now)
        yield TaskDifference(one.change, one.path, one.files, fields)
        if PROMPT in one.files:
            before, after = (_text(_read(store, one.at(PROMPT))) for store in (left, right))
            if before != after:
                yield PromptDifference(one.change, one.at(PROMPT), before, after)


def _read(store: Store, path: str) -> bytes | None:
    """What a small file says; None where it is too long for one."""
    try:
        data = wire.wait(store.read(path, 0, TEXT_BYTES + 1))
    except StoreError:  # that side has none; what cannot be read was told when the files were compared
        return None
    return data if len(data) <= TEXT_BYTES else None


def _text(data: bytes | None) -> str | None:
    try:
        return None if data is None else tidy_prompt(data.decode())
    except UnicodeDecodeError:
        return None


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
