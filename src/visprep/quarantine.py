"""`.visprep/quarantine/`: files of a place that were put aside, and what it takes to put them back to the byte.

Beside them lies `undo.json`, written before the first file is moved: so whatever moment a command is killed at, what it
did can be undone. It names the files that were to be moved, those that were written with their digests, and keeps
`dataset.json` and the manifest as they were.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from visprep import wire
from visprep.digests import digest_of
from visprep.errors import BadRecord, FileMissing, WouldOverwrite
from visprep.manifest import DATASET, MANIFEST, RECORD_DIR
from visprep.own_record import MARKER, read_record
from visprep.stores import safe_path
from visprep.stores.local import LocalStore

QUARANTINE = f"{RECORD_DIR}/quarantine"
_UNDO = f"{QUARANTINE}/undo.json"
_KEPT = {DATASET: f"{QUARANTINE}/record/dataset.json", MANIFEST: f"{QUARANTINE}/record/manifest.jsonl"}
FORMAT_VERSION = 1


class Quarantine:
    """The quarantine of a place, for the length of one command."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store
        self.there = False
        self._files: dict[str, str] = {}
        self._moved: list[str] = []
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
            self._moved = [safe_path(path) for path in told["moved"]]
            self._files = {safe_path(path): str(digest) for path, digest in told["written"].items()}
            self._after, self._recorded = told["after"], bool(told["recorded"])
        except (ValueError, TypeError, KeyError, AttributeError) as problem:
            raise BadRecord(
                f"{self.store.place}: {_UNDO} was not written by this version of visprep ({problem})",
                hint=f"move the files of {QUARANTINE} to where they belong by hand",
            ) from None
        self.there = True

    def _write(self) -> None:
        told = {
            "format_version": FORMAT_VERSION,
            "moved": self._moved,
            "written": self._files,
            "recorded": self._recorded,
            "after": self._after,
        }
        wire.wait(self.store.write(_UNDO, json.dumps(told, indent=1).encode() + b"\n"))

    def wrote(self, path: str) -> bool:
        """Whether a file is one that was written here before, and has not changed since."""
        return self._files.get(path) == self._digest(path)

    def open(self, moving: Iterable[str], writing: Iterable[str], *, recorded: bool) -> None:
        """Note what will be moved and written; the record of the place is kept as it is, unless an older one is."""
        if self._recorded and self._after not in (None, self._digest(DATASET)):
            raise WouldOverwrite(
                f"{self.store.place}: it changed since files were put into quarantine, which could not be undone then",
                paths=(DATASET,),
                hint=f"delete {QUARANTINE} there if nothing in it is needed any more",
            )
        if recorded and not self._recorded:
            for path, kept in _KEPT.items():
                if (data := read_record(self.store, path)) is not None:
                    wire.wait(self.store.write(kept, data))
            self._recorded = True
        self._moved += [path for path in moving if path not in self._moved]
        self._files |= {path: self._files.get(path, "") for path in writing}
        self._write()

    def written(self, path: str, digest: str) -> None:
        """Note the digest of a file that was written."""
        self._files[path] = digest
        self._write()

    def move(self, path: str) -> None:
        """Put a file aside; WouldOverwrite when another of that path is there already."""
        self._rename(path, f"{QUARANTINE}/{path}")

    def forget(self, paths: Iterable[str]) -> None:
        """Delete what was put aside, since a better file is in its place."""
        for path in paths:
            wire.wait(self.store.delete(f"{QUARANTINE}/{path}"))
            self._moved.remove(path)

    def give_back(self, paths: Iterable[str]) -> None:
        """Put back what was put aside."""
        for path in paths:
            if (self.store.root / QUARANTINE / path).is_symlink() or (self.store.root / QUARANTINE / path).exists():
                self._rename(f"{QUARANTINE}/{path}", path)
            self._moved.remove(path)

    def close(self) -> None:
        """Note what the place is like now; where nothing is to be undone, nothing stays."""
        if self._moved or self._files:
            self._after = self._digest(DATASET)
            self._write()
        else:
            self._sweep()

    def undo(self) -> tuple[str, ...]:
        """Put everything back as it was before; the paths of the files that were moved.

        FileMissing when there is nothing to undo; WouldOverwrite, before anything is moved, when a file is in the way,
        or one that was written is another now.
        """
        if not self.there:
            raise FileMissing(f"{self.store.place}: nothing is in quarantine there", hint="nothing needs to be undone")
        aside = [path for path in self._moved if self._is_there(f"{QUARANTINE}/{path}")]
        in_the_way = [path for path in aside if self._is_there(path)]
        in_the_way += [
            path for path, digest in self._files.items() if self._digest(path) not in (None, digest) and digest
        ]
        if self._recorded and self._after and self._after != self._digest(DATASET):
            in_the_way.append(DATASET)
        if in_the_way:
            raise WouldOverwrite.of(self.store.place, in_the_way)
        for path in aside:
            self._rename(f"{QUARANTINE}/{path}", path)
        for path in self._files:
            wire.wait(self.store.delete(path))
        for path, kept in _KEPT.items() if self._recorded else ():
            if (data := read_record(self.store, kept)) is not None:
                wire.wait(self.store.write(path, data))
        wire.wait(self.store.delete(MARKER))
        self._moved, self._files = [], {}
        self._sweep()
        return tuple(aside)

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
        data = read_record(self.store, path)
        return None if data is None else digest_of(data)

    def _rename(self, path: str, to: str) -> None:
        with self.store.errors(path):
            if self._is_there(to):
                raise WouldOverwrite.of(self.store.place, [to])
            target = Path(self.store.root, to)
            target.parent.mkdir(parents=True, exist_ok=True)
            Path(self.store.root, path).rename(target)
