"""Task directories at a place: what is wrong with each, and between them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import cast

from visprep import wire
from visprep.errors import MissingExtra, VisprepError
from visprep.findings import Finding
from visprep.formats import episodes, task_loading, tasks, triplets
from visprep.looking import Looking
from visprep.manifest import File
from visprep.rounds import Eye, Work
from visprep.rules import Rule, duplicates, videos
from visprep.rules import tasks as task_rules
from visprep.selection import Scope
from visprep.stores import Store
from visprep.traffic import Traffic


def recognize(look: Looking) -> TasksCheck | None:
    """The check of a place with tasks; or with links to directories, in which tasks may be, and nothing of others."""
    check = TasksCheck(look)
    if check.found.directories:
        return check
    others = any(triplets.is_member(one.path) or episodes.is_member(one.path) for one in check.found.strays)
    return check if check.found.linked and not others else None


class TasksCheck:
    """One look at the tasks of a place."""

    def __init__(self, look: Looking) -> None:
        self.look, self.store, self.depth, self.request = look, look.store, look.depth, look.request
        self.found = task_loading.with_links(self.store, tasks.find(look.listing, look.place_name))

    @property
    def homes(self) -> Iterable[str]:
        """The task directories."""
        return (directory.path for directory in self.found.directories)

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Nothing: a task is a directory."""
        return ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many tasks are looked at."""
        return {"tasks": len(self._held(scope))}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with the place, and with every task by itself and beside the others.

        MissingExtra when rules of videos were asked for by name, and there are videos that nothing here can open.
        """
        held = self._held(scope)
        self._check_able(held)
        yield from task_rules.check_place(self.found, self.request.layout, self.depth)
        read = self._read(held)
        homes = {directory.path for directory in held}
        items = ((directory, directory.path in homes) for directory in read)
        work = looking(self.request.layout)
        comparisons: defaultdict[str, task_rules.Comparison] = defaultdict(task_rules.Comparison)  # one for each place
        seen = self.look.rounds.over("Verifying", items, work, "tasks", total=len(read))
        for directory, (findings, prints) in zip(read, seen, strict=True):
            yield from findings
            yield from comparisons[self.found.place_of(directory)].add(directory, prints)

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        scales = _Scales({file.path: file for file in self.look.listing})
        for directory in self._read(self._held(scope)):
            wire.wait(task_loading.load(cast(Store, scales), directory, self.depth.value, near=self.look.near))
        self.look.reads_whole(scales.whole)
        return scales.read_so_far

    def _held(self, scope: Scope) -> tuple[tasks.TaskDirectory, ...]:
        return tuple(directory for directory in self.found.directories if scope.holds(directory.path))

    def _read(self, held: tuple[tasks.TaskDirectory, ...]) -> tuple[tasks.TaskDirectory, ...]:
        """The tasks to read: those that are looked at, and all that they are to be compared with."""
        compared = any(self._looks_for(rule) for rule in duplicates.RULES)
        return self.found.directories if compared and held else held

    def _looks_for(self, rule: Rule) -> bool:
        return self.depth.reaches(rule.depth) and self.request.looks_for(rule)

    def _check_able(self, held: tuple[tasks.TaskDirectory, ...]) -> None:
        needing = (rule.code for rule in videos.RULES if rule is not videos.VIDEO_NOT_CHECKED)
        asked = [code for code in needing if self.request.selection.names(code)]
        if asked and any(videos.check_place(replace(self.found, directories=held), self.depth)):
            raise MissingExtra(f"--select {asked[0]}", "video")


#: A task, and whether it is looked at, or only held against others.
_Item = tuple[tasks.TaskDirectory, bool]
_Checked = tuple[tuple[Finding, ...], duplicates.Prints]


def looking(layout: tasks.Layout) -> Work[_Item, _Checked]:
    """The work for tasks, that are to have a layout."""
    return Work(functools.partial(_checked, layout=layout), _files, _lost, _Checked)


async def _checked(eye: Eye, item: _Item, *, layout: tasks.Layout) -> _Checked:
    directory, held = item
    loaded = await task_loading.load(eye.store, directory, eye.depth.value, near=eye.near)
    if eye.hashes:
        for name, data in loaded.contents.items():
            if loaded.whole(name):
                eye.note(directory.files[name].path, data)
        for name, video in loaded.videos.items():
            if isinstance(video, bytes):
                eye.note(directory.files[name].path, video)
    if not held:
        return (), duplicates.prints(loaded)
    checked = task_rules.examine(loaded, layout, eye.depth)
    return checked.findings, checked.prints


def _files(item: _Item) -> Iterable[File]:
    return item[0].files.values()


def _lost(item: _Item, error: VisprepError) -> _Checked:
    path = item[0].path or "."
    return (task_rules.TASK_FILE_UNREADABLE.at(path, error.message, error=error.slug),), duplicates.Prints()


#: How a frame begins, and how it ends.
_BEGINNING = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\0\0\0\0\0\0\0\0IDAT"
_END = b"\0\0\0\0IEND\xae\x42\x60\x82"


class _Scales:
    """Stands in for a store, gives no bytes but those of plain frames, and weighs how many were asked for."""

    def __init__(self, files: Mapping[str, File]) -> None:
        self._files = files
        self.read_so_far = Traffic()
        self.whole: list[File] = []

    async def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        rest = max(0, (self._files[path].size or 0) - offset)
        if not offset and (length is None or length > rest):
            self.whole.append(self._files[path])
        count = rest if length is None else min(rest, length)
        self.read_so_far += Traffic(1, 0, count)
        if not path.endswith(tasks.FRAMES):
            return b""
        beginning = b"" if offset else _BEGINNING
        return (beginning + bytes(max(0, count - len(beginning) - len(_END))) + _END)[:count]
