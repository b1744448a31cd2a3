"""Which records have their part already: upstream put them there, or an earlier split did."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from visprep.earlier_split import Earlier
from visprep.errors import UsageError
from visprep.partition import LEFT_OUT, Ints, Parts
from visprep.recordsets import RecordSet
from visprep.split_file import Split
from visprep.split_wish import Wish

#: What a part is called elsewhere.
_ALIKE = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}


def placing(records: RecordSet, rows: Ints, wish: Wish) -> tuple[Parts, Ints | None]:
    """The parts, with those that stay as they are, and of each of `rows` its part if it has one, else LEFT_OUT.

    UsageError when upstream has parts and none of them is named, when the split to extend has some that are not, when
    it is of other records, or when nobody can tell which records it means.
    """
    asked = wish.parts.names
    said = [records.parts[row] for row in rows.tolist()]
    there = [part for part in dict.fromkeys(said) if part is not None]
    called = _called(there, asked)
    upstream = [part and called[part] for part in said]
    there = list(dict.fromkeys(called.values()))
    staying = [part for part in there if part not in asked] if len(there) > 1 else []
    if staying and len(staying) == len(there):
        raise UsageError(
            f"--parts {wish.parts} names none of the parts that there are: {', '.join(there)}",
            hint=f"name those to be divided anew; the others stay as they are: --parts {there[0]}=0.9,{asked[0]}=0.1",
        )
    where: Mapping[int, str] = {}
    if extends := wish.extends:
        where = _extended(extends, records, rows)
        _check_parts(extends, wish.parts)
        before = [part.name for part in extends.parts]
        staying += [name for name in before if name not in asked and name not in staying]
    parts = wish.parts.with_staying(staying) if staying else wish.parts
    numbers = {name: number for number, name in enumerate(parts.names)}
    placed = np.full(len(rows), LEFT_OUT, np.int64)
    for at, (row, part) in enumerate(zip(rows.tolist(), upstream, strict=True)):
        if row in where:
            placed[at] = numbers[where[row]]
        elif part in staying:
            placed[at] = numbers[str(part)]
    return parts, placed if (placed != LEFT_OUT).any() else None


def _called(there: Sequence[str], asked: Sequence[str]) -> dict[str, str]:
    """What each part that is there is called in what is asked: `val` is the `valid` of who names no `val`."""
    plain = {_plain(name): name for name in reversed(asked) if name not in there}
    return {part: part if part in asked else plain.get(_plain(part), part) for part in there}


def _plain(part: str) -> str:
    name = re.sub(r"\d{4}$", "", part.lower())
    return _ALIKE.get(name, name)


def _extended(extends: Split, records: RecordSet, rows: Ints) -> dict[int, str]:
    """The part of each record that the split to extend has, by number."""
    if extends.kind != records.kind:
        raise UsageError(
            f"the split to extend is one of {extends.kind}, and what is split now is {records.kind}",
            hint="--extend names the split.json of an earlier split of the same data",
        )
    was = extends.placed()
    found = {number: was[key] for key, number in Earlier(extends, records, rows.tolist()).numbers().items()}
    if not found:
        raise UsageError(
            f"of the {len(was):,} records of the split to extend none is here",
            hint="is it a split of other data? A record is known by its name",
        )
    return found


def _check_parts(extends: Split, parts: Parts) -> None:
    """UsageError when a part is not named that the split to extend was asked for."""
    before = {part.name: part for part in extends.parts}
    if missing := [name for name, part in before.items() if name not in parts.names and part.asked is not None]:
        raise UsageError(
            f"--parts {parts} does not name {', '.join(missing)}, which the split to extend has",
            hint=f"its parts are {', '.join(before)}: name them all",
        )
