"""`.visprep/quarantine/`: files of a place that were put aside, and what it takes to put them back to the byte.

Beside them lies `undo.json`, written before the first file is moved: so whatever moment a command is killed at, what it
did can be undone, or gone on with. It names the files that were to be moved, and those that were to be written with
their digests; `dataset.json` and the manifest are kept as they were.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visprep import wire
from visprep.errors import BadRecord, FileMissing, PlaceMissing, WouldOverwrite
from visprep.manifest import DATASET, MANIFEST, RECORD_DIR
from visprep.own_record import MARKER, read_record
from visprep.stores import safe_path
from visprep.stores.local import LocalStore

QUARANTINE = f"{RECORD_DIR}/quarantine"
_UNDO = f"{QUARANTINE}/undo.json"
_KEPT = {DATASET: f"{QUARANTINE}/record/dataset.json", MANIFEST: f"{QUARANTINE}/record/manifest.jsonl"}
FORMAT_VERSION = 2


class Quarantine:
    """The quarantine of a place, for the length of one command."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.there = False
        #: The paths of files that were moved, or were to be
        self.moved: list[str] = []
        self._files: dict[str, list[str]] = {}
        self._after: str | None = None
        self._recorded = False
        self._read()

    def _read(self) -> None:
        data = read_record(self.store, _UNDO)
        if data is None:
            return
        try:
            told: Any = json.loads(data)
            if told["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format_version {told['format_version']!r}")
            self.moved = [safe_path(path) for path in told["moved"]]
            self._files = {safe_path(path): list(map(str, digests)) for path, digests in told["written"].items()}
            self._after, self._recorded = told["after"], bool(told["recorded"])
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
            raise BadRecord(
                f"{self.store.place}: {_UNDO} was not written by this version of visprep ({problem})",
                hint=f"move the files of {QUARANTINE} to where they belong by hand",
            ) from None
        self.there = True

    def _write(self) -> None:
        told = {
            "format_version": FORMAT_VERSION,
            "moved": self.moved,
            "written": self._files,
            "recorded": self._recorded,
            "after": self._after,
        }
        wire.wait(self.store.write(_UNDO, json.dumps(told, indent=1).encode() + b"\n"))

    @property
    def aside(self) -> tuple[str, ...]:
        """The paths of the files that are in quarantine now."""
        return tuple(path for path in self.moved if self._is_there(f"{QUARANTINE}/{path}"))

    def open(self, moving: Iterable[str], writing: Mapping[str, str], *, recorded: bool) -> None:
        """Note what will be moved, and written with which digest; the place's record is kept, unless an older one is.

        WouldOverwrite, before anything is changed, when somebody else's file is in the way, or what was done before
        could not be undone any more.
        """
        if self._changed():
            raise self._refused([DATASET])
        moving = list(moving)
        if again := [path for path in moving if self._is_there(f"{QUARANTINE}/{path}")]:
            raise self._refused(again)
        files = {path: [*self._files.get(path, ()), digest] for path, digest in writing.items()}
        others = [path for path in files if path not in moving and self._is_there(path)]
        foreign = [path for path in others if self._digest(path) not in files[path]]
        if foreign:
            raise WouldOverwrite(
                f"{self.store.place}: visprep did not write {_some(foreign)}, or it changed since",
                paths=tuple(foreign),
                hint="move it away, and run the same command again",
            )
        if recorded and not self._recorded:
            for path, kept in _KEPT.items():
                if (data := read_record(self.store, path)) is not None:
                    wire.wait(self.store.write(kept, data))
            self._recorded = True
        self.moved = list(dict.fromkeys((*self.moved, *moving)))
        self._files |= files
        self._after = None
        self._write()

    def move(self, path: str) -> None:
        """Put a file aside."""
        self._rename(path, f"{QUARANTINE}/{path}")

    @property
    def broken_off(self) -> str | None:
        """The way to fix that was begun, and left files that were to be moved where they were; None where none was."""
        if self._after is not None:  # it ended; who put a file back since may do so
            return None
        aside = set(self.aside)
        left = [path for path in self.moved if path not in aside and (self.store.root / path).is_file()]
        if not left:
            return None
        return "refetch" if self._files.keys() & set(left) else "quarantine"  # only that one writes what it moves

    def close(self) -> None:
        """Note what the place is like now."""
        self._after = self._digest(DATASET)
        self._write()

    def undo(self) -> tuple[str, ...]:
        """Put everything back as it was before; the paths of the files that were moved.

        FileMissing when there is nothing to undo; WouldOverwrite, before anything is moved, when a file is in the way,
        or one that was written is another now.
        """
        if not self.there:
            self._sweep()  # a kill may have left a copy of the record, made before anything else
            raise FileMissing(f"{self.store.place}: nothing is in quarantine there", hint="nothing needs to be undone")
        aside = self.aside
        # One that was to be put aside, and was not, is no file that was written in its place
        written = {path: known for path, known in self._files.items() if path in aside or path not in self.moved}
        in_the_way = [path for path in aside if self._is_there(path) and path not in written]
        in_the_way += [path for path, known in written.items() if self._digest(path) not in (None, *known)]
        if self._changed():
            in_the_way.append(DATASET)
        if in_the_way:
            raise self._refused(in_the_way)
        for path in written:
            wire.wait(self.store.delete(path))
        for path in aside:
            self._rename(f"{QUARANTINE}/{path}", path)
        for path, kept in _KEPT.items() if self._recorded else ():
            if (data := read_record(self.store, kept)) is not None:
                wire.wait(self.store.write(path, data))
        wire.wait(self.store.delete(MARKER))
        self.moved, self._files, self._recorded, self._after = [], {}, False, None
        self._write()  # so that a kill in the midst of what follows leaves nothing that could not be undone
        self._sweep()
        self.store.sweep()  # what a kill left half written
        return aside

    def _changed(self) -> bool:
        """Whether another command changed the record of the place since; one that is put back halfway is none."""
        known = (self._after, self._digest(_KEPT[DATASET]))
        return self._recorded and self._after is not None and self._digest(DATASET) not in known

    def _refused(self, paths: list[str]) -> WouldOverwrite:
        made = [path for path in self._files if path not in self.moved]  # not what stands for a file that was kept
        drop = f"delete {', '.join([QUARANTINE, *made])}"
        drop += ", then repeat the command that made it so, for its record" if self._recorded else ""
        if DATASET in paths:
            words, hint = "another command changed the place since", f"if it is fine as it is now, {drop}"
        else:
            words = f"changed, or came back, since files were put into quarantine: {_some(paths)}"
            hint = f"move them away and use --undo again; or, if the place is fine as it is now, {drop}"
        return WouldOverwrite(f"{self.store.place}: {words}", paths=tuple(paths), hint=hint)

    def _sweep(self) -> None:
        for path in (*_KEPT.values(), _UNDO):
            wire.wait(self.store.delete(path))
        top = self.store.root / QUARANTINE
        for folder in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        for folder in (top, top.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only when it is empty

    def _is_there(self, path: str) -> bool:
        there = self.store.root / path
        return there.exists() or there.is_symlink()

    def _digest(self, path: str) -> str | None:
        try:
            return wire.wait(self.store.hash(path, "sha256"))
        except (FileMissing, PlaceMissing):
            return None

    def _rename(self, path: str, to: str) -> None:
        with self.store.errors(path):
            if self._is_there(to):
                raise self._refused([path])
            target = Path(self.store.root, to)
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(self.store.root, path).rename(target)


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
