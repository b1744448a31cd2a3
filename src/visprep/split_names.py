"""Which records the names in the files of a split mean, and by which pictures these are recognized."""

from __future__ import annotations

from collections.abc import Sequence

from visprep.manifest import File
from visprep.recordsets import RecordSet
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


def pictures_of(records: RecordSet) -> list[list[tuple[Store, File]]]:
    """The pictures of each record, by its number."""
    found: list[list[tuple[Store, File]]] = [[] for _ in records.keys]
    for number, store, file in records.images():
        found[number].append((store, file))
    return found
