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
    folders: dict[str, str] = {}
    return ((file, _size(store, file, folders)) for file in files)


def _size(store: LocalStore, file: File, folders: dict[str, str]) -> tuple[int, int] | str:
    folder, _, name = file.path.rpartition("/")
    try:
        if folder not in folders:  # to follow its links costs more than the image
            folders[folder] = store.real_folder(folder)
        with contextlib.suppress(OSError, WrongContent):
            return size_at_once(f"{folders[folder]}/{name}")
        # It is a link, its pixels may begin later, or it is none: that takes a closer look
        seen = wire.wait(see(store, file, Depth.HEADERS, near=True))
    except StoreError as problem:
        return problem.message
    return seen.size or (seen.findings[0].message if seen.findings else "its size is not told")
