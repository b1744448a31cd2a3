"""A file that became a directory, or the reverse: on disk, the new can only come when the old has gone.

Deletes come last, though, when all else is there. So such files arrive beside the place's own, under
`.visprep/cache/arrived`, and are only renamed after the deletes: nothing goes before all that replaces it is here.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace

from visprep.errors import UnsafePath, VisprepError
from visprep.own_record import CACHE
from visprep.plans import MOVING, Action, Operation
from visprep.stores import Store
from visprep.stores.local import LocalStore

_GOING = (Action.DELETE, Action.CLEAR)
_OPENING = (Action.CREATE, *_GOING)
_ARRIVED = f"{CACHE}/arrived"


class Obstacles:
    """What stands in the way of new files at a target, and is to be deleted.

    On S3 nothing does; it is only looked for where it is `needed`, since something may be deleted.
    """

    def __init__(self, target: Store, *, needed: bool) -> None:
        self._target, self._needed = target, needed and isinstance(target, LocalStore)
        # Files to be deleted whose names new files need for a directory, and new files named as directories that go
        self._files: set[str] = set()
        self._directories: set[str] = set()
        # Operations that what follows may show to be of either kind; each name begins with the one before it
        self._open: list[Operation] = []

    def watch(self, operations: Iterable[Operation]) -> Iterator[Operation]:
        """The same operations, with words for what stands in the way, and for what it stands in the way of."""
        for one in operations:
            yield self._seen(one) if self._needed and (self._open or one.action in _OPENING) else one

    def _seen(self, one: Operation) -> Operation:
        key, path = one.file.sort_key, one.file.path
        while self._open and key >= f"{self._open[-1].file.sort_key}0":  # what follows on all that begins with `name/`
            self._open.pop()
        for above in [other for other in self._open if path.startswith(f"{other.file.path}/")]:
            name = above.file.path
            if above.action in _GOING and one.action is Action.CREATE:
                self._files.add(name)
                one = replace(one, reason=f"not there, and {name} is a file until it is deleted")
            elif above.action is Action.CREATE and one.action in _GOING:
                self._directories.add(name)
                one = replace(one, reason=f"not at the origin, where {name} is a file")
            elif (
                above.action is Action.CREATE and one.action is not Action.FORGET
            ):  # it stays, and so does the directory
                self._directories.discard(name)
                self._open.remove(above)
        if one.action in _OPENING:
            self._open.append(one)
        return one

    def __contains__(self, path: str) -> bool:
        """Whether a new file has to wait for the deletes."""
        if self._files:
            at = path.find("/")
            while at >= 0:
                if path[:at] in self._files:
                    return True
                at = path.find("/", at + 1)
        return path in self._directories

    def ways(self, operations: Iterable[Operation]) -> Iterator[tuple[Iterable[Operation], Store]]:
        """The operations with the store that their files go to first: one after the other, each to be carried out."""
        if not (self._files or self._directories):
            yield operations, self._target
            return
        assert isinstance(self._target, LocalStore)
        arrived = LocalStore(self._target.root / _ARRIVED)
        if not arrived.root.is_relative_to(self._target.root):
            raise UnsafePath(f"{CACHE} leaves {self._target.place} through a link", hint="remove the link")
        yield (one for one in operations if one.file.path not in self), self._target
        yield (one for one in operations if one.file.path in self), arrived

    def overcome(self, operations: Iterable[Operation]) -> Iterator[tuple[str, VisprepError]]:
        """After the deletes: put what waited for them in its place; what could not be, and why."""
        for one in operations if self._files or self._directories else ():
            if one.action in MOVING and one.file.path in self:
                assert isinstance(self._target, LocalStore)
                try:
                    self._target.adopt(one.file.path, self._target.root / _ARRIVED / one.file.path)
                except VisprepError as error:
                    yield one.file.path, error

    def tidy(self) -> None:
        """Remove what arrived for nothing: a command that was killed may have left it."""
        if isinstance(self._target, LocalStore):
            shutil.rmtree(self._target.root / _ARRIVED, ignore_errors=True)
            with contextlib.suppress(OSError):
                (self._target.root / CACHE).rmdir()  # only when it is empty
