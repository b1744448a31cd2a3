"""What an earlier split says of the records that are here: which is which, and what moved since."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

from visprep.errors import UsageError
from visprep.partition import Parts
from visprep.recordsets import RecordSet
from visprep.split_file import Move, Split
from visprep.split_wish import Wish

#: Why a record is in no part, where it is no fault of it: nobody asked for it.
REST = "rest"


class Earlier:
    """The records of a split that was made before, among some of those that are here, by their numbers.

    A record is known by its name. Where several inputs have one of that name now, it is that of the input that was
    split then: the same file, or else the one among these whose bytes are as they were.
    """

    def __init__(self, split: Split, records: RecordSet, numbers: Collection[int]) -> None:
        self.split, self._labels = split, records.labels
        self._named: dict[str, list[int]] = {}
        names = records.names
        for number in numbers:
            self._named.setdefault(names[number], []).append(number)
        self._members = split.part_of()
        paths, digests = {_full(one.path) for one in split.inputs}, {one.digest for one in split.inputs}
        same = [one for one in records.inputs if one.digest in digests]
        self._same = {one.label for one in same}
        self._then = self._same | {one.label for one in records.inputs if _full(one.path) in paths}

    def candidates(self, key: str) -> list[int]:
        """The records that may be the one of a key; several, where nothing tells them apart."""
        found = self._named.get(key, [])
        if not found and "/" in key:  # which may begin with the label of its input
            inner = (key[at + 1 :] for at, char in enumerate(key) if char == "/")
            named = ((name, number) for name in inner for number in self._named.get(name, ()))
            found = [number for name, number in named if key == f"{self._labels[number]}/{name}"]
        for labels in (self._then, self._same) if len(found) > 1 and key in self._members else ():
            found = [number for number in found if self._labels[number] in labels] or found
        return found

    def numbers(self) -> Mapping[str, int]:
        """Of each key the number of its record, if it is here; UsageError when nobody can tell which one it is.

        Among them are the keys of those that were not here when the split was made, and had their part before.
        """
        found = {}
        for key in self.split.placed():
            among = self.candidates(key)
            if len(among) > 1:
                was, now = (", ".join(names) for names in (self._inputs(), (self._labels[one] for one in among)))
                raise UsageError(
                    f"--extend: {now} each have a record {key!r}, and nothing tells which of them was in {was}",
                    hint="name all files as they were named then; or give such records other names",
                )
            if among:
                found[key] = among[0]
        return found

    def _inputs(self) -> Iterator[str]:
        return (one.path for one in self.split.inputs)


def moves(
    before: Split,
    records: RecordSet,
    part_of: Mapping[int, str | None],
    left: Mapping[int, str],
    otherwise: str,
) -> tuple[Move, ...]:
    """The records that are in another part than before, or in none; nothing where none is in both.

    `part_of` has the part of each record by number, None for none, `left` why others are left out, and `otherwise` says
    why one may be in another part.
    """
    here, faults, keys = Earlier(before, records, part_of), Earlier(before, records, left), records.keys
    was = {key: (part, here.candidates(key)) for key, part in before.part_of().items()}
    if not any(among for _, among in was.values()):
        return ()
    found = []
    for key, (part, among) in was.items():
        if any(part_of[number] == part for number in among):
            continue
        now = part_of[among[0]] if among else None
        gone = [left[number] for number in faults.candidates(key)] or ["not there any more"]
        why = gone[0] if not among else REST if now is None else otherwise
        found.append(Move(key=keys[among[0]] if among else key, from_=part, to=now, why=why))
    return tuple(sorted(found, key=lambda move: move.key))


def otherwise(before: Split, wish: Wish) -> tuple[str, ...]:
    """What was asked otherwise of a split, by the names of options."""
    asked = {part.name: part.asked for part in before.parts if part.asked is not None}
    pairs = {
        "parts": (asked, asked_sizes(wish.parts)),
        "seed": (before.seed, wish.seed),
        "method": (before.method, str(wish.drawn)),
        "stratify": (before.stratified, wish.stratified),
        "group-by": (before.group_by, wish.group_by),
        "near-duplicates": (before.near_duplicates is not None, wish.near_duplicates),
    }
    return tuple(name for name, (one, other) in pairs.items() if one != other)


def asked_sizes(parts: Parts) -> dict[str, float | int]:
    """What is asked of each part that does not just stay: a share, or a count."""
    return {
        part.name: int(part.size) if parts.counted else float(part.size)
        for part in parts.parts
        if part.size is not None
    }


def _full(path: str) -> str:
    """A path as it is from the root, so that it is the same however it was named."""
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100 -- a link stays where it lies
