"""What linking finds out of the files of an origin, remembered there for the next command that reads it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Self

from visprep.known_files import Memory
from visprep.manifest import RECORD_DIR, File
from visprep.stores.local import LocalStore


class OriginMemories:
    """The memories of the stores that files were linked from; a context, at whose end they are stored."""

    def __init__(self) -> None:
        self._memories: dict[LocalStore, Memory] = {}
        self._stack = contextlib.ExitStack()

    def learn(self, store: LocalStore, path: str, made: File) -> None:
        """Remember what the file at `path` is by the link `made` of it, with the times that this gave it."""
        if store not in self._memories:
            known = (store.root / RECORD_DIR).is_dir()  # nothing is begun in a directory that may be anybody's
            memory = Memory(store, store if known else None)
            self._memories[store] = self._stack.enter_context(memory)
        self._memories[store].learn(replace(made, path=path), linked=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
