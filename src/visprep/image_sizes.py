"""Width and height of many images of a place, mostly by their first few bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from visprep import wire
from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.image_loading import Seen, see, size_at_once
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["sizes"]


def sizes(
    store: Store, files: Iterable[File], known: Mapping[str, tuple[int, int]] = MappingProxyType({})
) -> Iterator[tuple[File, tuple[int, int] | str]]:
    """Width and height of each image as it is stored, or what is wrong with one.

    On disk in the order of the files, in one thread: more of them would only wait for the interpreter. Elsewhere as
    they come, but for those that are `known` already, which are not looked at.
    """
    if not isinstance(store, LocalStore):
        return _far(store, files, known)
    folders: dict[str, str] = {}
    return ((file, _size(store, file, folders)) for file in files)


def _far(
    store: Store, files: Iterable[File], known: Mapping[str, tuple[int, int]]
) -> Iterator[tuple[File, tuple[int, int] | str]]:
    unknown = []
    for file in files:
        if file.path in known:
            yield file, known[file.path]
        else:
            unknown.append(file)
    for file, seen in wire.run((file, see(store, file, Depth.HEADERS, near=False)) for file in unknown):
        yield file, seen.message if isinstance(seen, VisprepError) else _told(seen)


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
    return _told(seen)


def _told(seen: Seen) -> tuple[int, int] | str:
    return seen.size or (seen.findings[0].message if seen.findings else "its size is not told")
