"""What the outputs of a split name, told by what was split: which record, and the value of the field of its group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from visprep.manifest import File
from visprep.recordsets import Mask, RecordSet
from visprep.recordsets.coco_fields import DIRECTORY
from visprep.split_file import Split
from visprep.stores import Store


class Names:
    """Which record of the inputs a name in an output of a split means: by its key, its path, or its file name."""

    def __init__(self, records: RecordSet, pictures: Sequence[Sequence[tuple[Store, File]]], split: Split) -> None:
        keys, plain, labels = records.keys, records.names, records.labels
        directories = {one.label: one.directory for one in split.inputs}
        self._all = {key: number for number, key in enumerate(keys)}
        self._of: dict[str, dict[str, int]] = {}
        for part, members in split.members.items():
            numbers = [self._all[key] for key in members if key in self._all]
            # Of two splits with images of the same name the keys begin with the split, and the names may not
            names = {plain[number]: number for number in numbers}
            names |= {f"{labels[number]}/{plain[number]}": number for number in numbers}
            names |= {picture[1].path: number for number in numbers for picture in pictures[number][:1]}
            gained = ((directories.get(labels[number]), number) for number in numbers)
            names |= {f"{directory}/{plain[number]}": number for directory, number in gained if directory}
            self._of[part] = names | {keys[number]: number for number in numbers}
        for number, of_it in enumerate(pictures):
            for _, file in of_it[:1]:
                self._all.setdefault(file.path, number)

    def number(self, name: str, part: str) -> int | None:
        """The number of the record; None for a name that no input has."""
        found = self._of[part].get(name)
        return self._all.get(name) if found is None else found


class Groups:
    """The values of the field that a split was grouped by, of records as links and copies write them.

    Their own paths begin with the part, and may have lost what the inputs said. So the inputs are asked where each
    file came from; without them, and for files that came later, what a record says itself counts.
    """

    def __init__(self, records: RecordSet | None, split: Split) -> None:
        self._field = split.group_by
        self._of: dict[str, str | None] = {}
        self._below: defaultdict[str, set[str | None]] = defaultdict(set)
        if records is None or split.group_by is None:
            return
        values = records.values(split.group_by)
        numbers = {key: number for number, key in enumerate(records.keys)}
        members: dict[str, Mask] = {}
        for part, keys in split.members.items():
            members[part] = np.zeros(len(records.keys), np.bool_)
            members[part][[numbers[key] for key in keys if key in numbers]] = True
        owner = {(id(store), file.path): number for number, store, file in records.images()}
        for output in records.outputs(members, split.name, "copies"):
            if output.source and (number := owner.get((id(output.source[0]), output.source[1].path))) is not None:
                self._of[output.path] = values[number]
                self._below[output.path.partition("/")[2]].add(values[number])

    def value(self, path: str, own: str | None) -> str | None:
        """That of the record whose picture lies at `path`, in whatever part it is now; it says `own` itself."""
        if path in self._of:
            return self._of[path]
        part, _, below = path.partition("/")
        if len(known := self._below.get(below, ())) == 1:
            return next(iter(known))
        if own is None or self._field != DIRECTORY:
            return own
        return "." if own == part else own.removeprefix(f"{part}/")


def pictures_of(records: RecordSet) -> list[list[tuple[Store, File]]]:
    """The pictures of each record, by its number."""
    found: list[list[tuple[Store, File]]] = [[] for _ in records.keys]
    for number, store, file in records.images():
        found[number].append((store, file))
    return found
