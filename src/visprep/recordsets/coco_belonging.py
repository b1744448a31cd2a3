"""Where the images of pooled annotation files belong: the directory that tells those of one split from another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile

from visprep.formats.coco_place import joined
from visprep.recordsets.coco_files import CocoFile
from visprep.stores.local import LocalStore

Group = tuple[str, str]


def belonging(files: Sequence[CocoFile]) -> Mapping[Group, str]:
    """Of each group of files the directory that its images are in, or would be in where none of them is there.

    So a name is the same before the images of a split are brought, and after. It is below what holds the places of all.
    """
    found = {file.group: file.root for file in files if file.root is not None}
    models = {file.home.store.place: file for file in files if file.root is not None}
    for file in files:
        if file.group not in found:
            found[file.group] = _beside(file, models.get(file.home.store.place))
    homes = {file.group: _steps(file) for file in files}
    shared = sum(1 for _ in takewhile(lambda steps: len(set(steps)) == 1, zip(*homes.values(), strict=False)))
    return {group: joined("/".join(steps[shared:]), found[group]).rstrip("/") for group, steps in homes.items()}


def _beside(file: CocoFile, model: CocoFile | None) -> str:
    """Where images belong that are not there: as those of another split are, else as in COCO."""
    name = file.file.split.name
    folder = file.file.path.rpartition("/")[0]
    if model and model.root is not None:
        above, _, last = model.root.rpartition("/")
        return joined(above, name) if last == model.file.split.name else model.root
    if (file.home.store.place + "/" + folder).rstrip("/").rpartition("/")[2] == name:
        return folder  # beside the file, in a directory of the split
    above, _, last = folder.rpartition("/")
    return joined(above if last == "annotations" else folder, name)


def _steps(file: CocoFile) -> list[str]:
    """The directories down to the place of a file."""
    store = file.home.store
    return (str(store.root) if isinstance(store, LocalStore) else store.place.rstrip("/")).split("/")
