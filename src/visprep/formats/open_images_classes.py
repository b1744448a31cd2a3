"""The classes of Open Images: their names, and which of them are kinds of which.

A class is a MID (`/m/01yrx`) with a name for people (`Cat`). The hierarchy of the 600 classes that have boxes knows
kinds (`Subcategory`) and parts (`Part`): a cat is a kind of carnivore, a wheel a part of a car, and no kind of it.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from visprep.errors import UnknownName, WrongContent

__all__ = ["ROOT", "Classes", "Hierarchy", "class_names", "hierarchy"]

#: The root of the hierarchy, which the list of classes does not name.
ROOT = ("/m/0bl9f", "Entity")
#: Names that are offered in place of one that there is not.
_OFFERED = 3
#: Pieces that the commas of one name make at most.
_PIECES = 4
#: What to do about a list that is none.
_OF_A_LIST = "fetch the file again: each of its lines has a MID and a name, such as /m/01yrx,Cat"
#: What to do about a hierarchy that is none.
_OF_A_TREE = "fetch the file again: bbox_labels_600_hierarchy.json"


@dataclass(frozen=True)
class Classes:
    """Names of classes by MID, in upstream's order."""

    names: Mapping[str, str]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for mid, name in self.names.items():
            found.setdefault(name, []).append(mid)
            if name.casefold() != name:
                found.setdefault(name.casefold(), []).append(mid)
        return found

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each class in upstream's list, from 1, by MID."""
        return {mid: number for number, mid in enumerate(self.names, 1)}

    def name(self, mid: str) -> str:
        """The name of a class; its MID where it has none."""
        return self.names.get(mid) or (ROOT[1] if mid == ROOT[0] else mid)

    def mids(self, asked: Iterable[str]) -> tuple[str, ...]:
        """The MIDs of classes that are asked for by name, however it is capitalized, or by MID; each once.

        A name that several classes share means them all. Names with commas in them may have been taken apart there.
        UnknownName, with the nearest names, for others.
        """
        found: dict[str, None] = {}
        left = list(asked)
        while left:
            ends = (end for end in range(min(len(left), _PIECES), 0, -1) if self._mids(", ".join(left[:end])))
            if not (end := next(ends, 0)):
                raise UnknownName(f"there is no class {left[0]!r} in Open Images", hint=self._nearest(left[0]))
            found.update(dict.fromkeys(self._mids(", ".join(left[:end]))))
            del left[:end]
        return tuple(found)

    def _mids(self, one: str) -> list[str]:
        return [one] if one in self.names else self._by_name.get(one) or self._by_name.get(one.casefold()) or []

    def _nearest(self, asked: str) -> str:
        close = difflib.get_close_matches(asked.casefold(), self._by_name, n=2 * _OFFERED)
        names = dict.fromkeys(self.names[self._by_name[one][0]] for one in close)
        if not names:
            return f"name one of its {len(self.names):,} classes, as in --classes Cat,Dog, or its MID"
        return f"did you mean {' or '.join(list(names)[:_OFFERED])}?"


def class_names(data: bytes, name: str) -> Classes:
    """The classes of a list of MIDs and names, with a header or without; `name` is the file's, for messages.

    WrongContent, with the number of the line, for a row that is not a MID and a name, or a MID that comes twice.
    """
    names: dict[str, str] = {}
    reader = csv.reader(io.StringIO(_text(data, name), newline=""))
    try:
        for number, row in enumerate(reader):
            if not row or (number == 0 and not row[0].startswith("/")):
                continue
            if len(row) != 2 or not row[0].startswith("/") or not row[1].strip():
                raise WrongContent(
                    f"{name}, line {reader.line_num}: {','.join(row)[:60]!r} is not a MID and a name", hint=_OF_A_LIST
                )
            if names.setdefault(row[0], row[1].strip()) != row[1].strip():
                raise WrongContent(
                    f"{name}, line {reader.line_num}: {row[0]} stands there twice, with two names", hint=_OF_A_LIST
                )
    except csv.Error as problem:
        raise WrongContent(f"{name}, line {reader.line_num}: {problem}", hint=_OF_A_LIST) from None
    if not names:
        raise WrongContent(f"{name}: there is no class in it", hint=_OF_A_LIST)
    return Classes(names)


@dataclass(frozen=True)
class Hierarchy:
    """Which classes are kinds of which: `kinds` and `parents` by MID, in the order in which the file names them.

    A class may have several parents.
    """

    kinds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def expand(self, mids: Iterable[str]) -> tuple[str, ...]:
        """These classes and all that are kinds of them, however far down; each once, the asked for first."""
        found = dict.fromkeys(mids)
        waiting = list(found)
        for mid in waiting:  # grows as it goes
            new = [kind for kind in self.kinds.get(mid, ()) if kind not in found]
            found.update(dict.fromkeys(new))
            waiting += new
        return tuple(found)

    def parent(self, mid: str) -> str:
        """The class that a class is a kind of, the first where there are several; the root's for one it has not."""
        return self.parents.get(mid, (ROOT[0],))[0]


def hierarchy(data: bytes, name: str) -> Hierarchy:
    """The hierarchy that a JSON file tells; WrongContent when it is none."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise WrongContent(f"{name}: no JSON that can be read", hint=_OF_A_TREE) from None
    kinds: dict[str, dict[str, None]] = {}
    parents: dict[str, dict[str, None]] = {}
    nodes = [told]
    for node in nodes:  # grows as it goes
        mid = node.get("LabelName") if isinstance(node, dict) else None
        if not isinstance(mid, str):
            what = "an entry has no LabelName, so this is no hierarchy of classes"
            raise WrongContent(f"{name}: {what}", hint=_OF_A_TREE)
        below = {key: node.get(key, []) for key in ("Subcategory", "Part")}
        if not all(isinstance(entries, list) for entries in below.values()):
            raise WrongContent(f"{name}: what is below {mid} is no list", hint=_OF_A_TREE)
        nodes += (*below["Subcategory"], *below["Part"])
        for one in below["Subcategory"]:
            if isinstance(one, dict) and isinstance(one.get("LabelName"), str):
                kinds.setdefault(mid, {})[one["LabelName"]] = None
                parents.setdefault(one["LabelName"], {})[mid] = None
    return Hierarchy(
        {mid: tuple(found) for mid, found in kinds.items()}, {mid: tuple(found) for mid, found in parents.items()}
    )


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise WrongContent(f"{name}, line {line}: it is not UTF-8") from None
