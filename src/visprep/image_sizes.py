"""Width and height of many images on disk, mostly by their first few bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from visprep import wire
from visprep.errors import StoreError, WrongContent
from visprep.image_loading import see, size_at_once
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores.local import LocalStore

__all__ = ["sizes"]


def sizes(store: LocalStore, files: Iterable[File]) -> Iterator[tuple[File, tuple[int, int] | str]]:
    """Width and height of each image as it is stored, or what is wrong with one, in the order of the files.

    In one thread: more of them would only wait for the interpreter.
    """
    return ((file, _size(store, file)) for file in files)


def _size(store: LocalStore, file: File) -> tuple[int, int] | str:
    try:
        with contextlib.suppress(OSError, WrongContent):
            return size_at_once(str(store.real(file.path)))
        # Its pixels may begin later, or it is none: that takes a closer look
        seen = wire.wait(see(store, file, Depth.HEADERS, near=True))
    except StoreError as problem:
        return problem.message
    return seen.size or (seen.findings[0].message if seen.findings else "its size is not told")
