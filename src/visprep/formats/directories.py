"""The listing of a place, directory by directory, without holding more of it than what is open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from visprep.manifest import DATASET, MANIFEST, RECORD_DIR, File
from visprep.stores import Store, is_record
from visprep.stores.local import LocalStore

#: Directories that are called so are parts that somebody made before.
_PART = re.compile(r"(?:train(?:ing|val)?|val|valid|validation|minival|dev|test|testing)(?:\d{4})?", re.IGNORECASE)


def closing(files: Iterable[File]) -> Iterator[tuple[str, list[File]]]:
    """Each directory (the place itself is the empty path) with its own files, once all that is below it has passed.

    `files` come sorted by the bytes of the path, as stores list them: then all that is below a directory comes in one
    run, and only the directories above the file at hand are held. visprep's own record is passed over.
    """
    opened: list[tuple[str, list[File]]] = [("", [])]
    for file in files:
        path = file.path
        if path == DATASET or is_record(path) or f"/{RECORD_DIR}/" in path:
            continue
        home, _, name = path.rpartition("/")
        while not _within(home, opened[-1][0]):
            yield opened.pop()
        top = opened[-1][0]
        if home != top:
            opened += [(home[:at], []) for at, char in enumerate(home) if char == "/" and at > len(top)]
            opened.append((home, []))
        if name:  # a path that ends in a slash is an empty directory
            opened[-1][1].append(file)
    while opened:
        yield opened.pop()


def _within(home: str, directory: str) -> bool:
    return not directory or home == directory or home.startswith(f"{directory}/")


def set_aside(path: str) -> bool:
    """Whether a file or directory is hidden, in a hidden directory, or a left-over of macOS in an archive."""
    return path.startswith(".") or "/." in path or "__MACOSX" in path.split("/")


def linked(store: Store, files: Iterable[File]) -> frozenset[str]:
    """The paths of those files that are symbolic links to directories; other places than directories have none."""
    if not isinstance(store, LocalStore):
        return frozenset()
    paths = ((file.path, store.root / file.path) for file in files)
    return frozenset(path for path, there in paths if there.is_symlink() and there.is_dir())


def places(files: Iterable[File]) -> frozenset[str]:
    """The paths of places inside this one, that is, of directories with a record of their own."""
    return frozenset(file.path.removesuffix(f"/{MANIFEST}") for file in files if file.path.endswith(f"/{MANIFEST}"))


def part_of(path: str) -> str | None:
    """The part that a path below a place says: the first directory, where it is called like one."""
    first, below, _ = path.partition("/")
    return first if below and _PART.fullmatch(first) else None


def without_part(path: str, key: str) -> str:
    """The path of a file of a record, without the directory of the part that the record is in now."""
    part = part_of(key)
    return path if part is None else path.removeprefix(f"{part}/")
