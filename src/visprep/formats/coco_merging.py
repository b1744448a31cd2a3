"""Classes of COCO files renamed, dropped and made one; and the numbers of several files that become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from visprep.errors import UsageError
from visprep.formats.coco_edits import Top, encoded, replaced
from visprep.formats.coco_json import MISSING, Index
from visprep.formats.coco_scan import Ints

__all__ = ["Classes", "Entry", "classes_of", "join_classes", "join_ids", "join_licenses", "map_classes", "mapped"]

#: Is told of a key of the top, and a key within, that gets lost, and an example.
Lost = Callable[[str, str], None]
_HINT = "--renumber gives those of later files new ids"
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of a short list, `categories` or `licenses`: its bytes, and what they say."""

    raw: bytes
    said: Mapping[str, Any]

    @classmethod
    def of(cls, raw: bytes) -> Entry:
        """The entry of these bytes."""
        said = msgspec.json.decode(raw)
        return cls(raw, said if isinstance(said, dict) else {})

    def having(self, key: str, value: object) -> Entry:
        """The same with another value of a key that it has."""
        return self if self.said.get(key) == value else Entry.of(replaced(self.raw, key, encoded(value)))


@dataclass(frozen=True)
class Classes:
    """The classes of a file: the records that stay, and what becomes of the ids that there were."""

    entries: tuple[Entry, ...]
    ids: Mapping[int, int] = field(default_factory=dict)
    dropped: frozenset[int] = frozenset()

    @property
    def renumbers(self) -> bool:
        """Whether any class goes, or changes its id."""
        return bool(self.dropped) or any(old != new for old, new in self.ids.items())


def classes_of(top: Top, index: Index) -> Classes:
    """The classes of a file as they are."""
    entries = tuple(map(Entry.of, top.held.get("categories", ())))
    return Classes(entries, {one.id: one.id for one in index.categories})


def map_classes(classes: Classes, names: Mapping[str, str | None], lost: Lost) -> Classes:
    """Classes under new names, without those whose new name is None; those of one new name become one.

    That is the one which had the name before, else the first; what the others say beside is lost. UsageError when
    their keypoints differ, since those of their annotations cannot be told apart then.
    """
    goes = frozenset(int(one.said["id"]) for one in classes.entries if names[one.said["name"]] is None)
    groups: dict[str, list[Entry]] = {}
    for one in classes.entries:
        new = names[one.said["name"]]
        if new is not None:
            groups.setdefault(new, []).append(one)
    ids: dict[int, int] = {}
    keepers: dict[int, str] = {}
    for new, group in groups.items():
        keeper = next((one for one in group if one.said["name"] == new), group[0])
        keepers[int(keeper.said["id"])] = new
        for one in group:
            _check_joints(keeper, one)
            _compare(keeper, one, lost)
            ids[int(one.said["id"])] = int(keeper.said["id"])
    stays = tuple(
        one.having("name", keepers[int(one.said["id"])]) for one in classes.entries if int(one.said["id"]) in keepers
    )
    return Classes(stays, ids, goes)


def join_classes(
    all_of: Sequence[Classes], names: Sequence[str], renumber: bool, losing: Sequence[Lost]
) -> list[Classes]:
    """The classes of files that become one; all entries stand with the first. UsageError where ids or names clash.

    Classes of one name and supercategory are one, with the id of the first file that has it.
    """
    entries = list(all_of[0].entries)
    by_name = {_name(one): one for one in entries}
    by_id = {int(one.said["id"]): one for one in entries}
    fresh = fresh_ids([int(one.said["id"]) for classes in all_of for one in classes.entries])
    done = []
    for number, classes in enumerate(all_of[1:], 1):
        moved: dict[int, int] = {}
        clashes: list[str] = []
        for one in classes.entries:
            id = int(one.said["id"])
            same, there = by_name.get(_name(one)), by_id.get(id)
            if same is not None:
                if not renumber and int(same.said["id"]) != id:
                    clashes.append(f"{one.said['name']!r} is {same.said['id']} and {id}")
                _check_joints(same, one)
                _compare(same, one, losing[number])
                moved[id] = int(same.said["id"])
                continue
            if there is not None:
                clashes.append(f"{id} is {there.said['name']!r} and {one.said['name']!r}")
            new = one if there is None else one.having("id", next(fresh))
            moved[id] = int(new.said["id"])
            entries.append(new)
            by_name[_name(new)] = by_id[moved[id]] = new
        if clashes and not renumber:
            raise _clash(names[number], "categories", clashes)
        ids = {old: moved.get(new, new) for old, new in classes.ids.items()}
        done.append(replace(classes, entries=(), ids=ids))
    return [replace(all_of[0], entries=tuple(entries)), *done]


def join_licenses(
    tops: Sequence[Top], names: Sequence[str], renumber: bool
) -> tuple[list[bytes], list[dict[int, int]]]:
    """The licenses of files that become one, and of each file what becomes of the ids; UsageError where they clash."""
    read = [[Entry.of(raw) for raw in top.held.get("licenses", ())] for top in tops]
    entries = list(read[0])
    fresh = fresh_ids([id for some in read for one in some if isinstance(id := one.said.get("id"), int)])
    moves: list[dict[int, int]] = [{}]
    for number, some in enumerate(read[1:], 1):
        moved: dict[int, int] = {}
        clashes = []
        for one in some:
            id = one.said.get("id")
            there = next((other for other in entries if other.said.get("id") == id), None)
            if one.said in [other.said for other in entries]:
                continue
            if there is not None and isinstance(id, int):
                again = next((other for other in entries if _rest(other) == _rest(one)), None) if renumber else None
                clashes.append(str(id))
                moved[id] = int(again.said["id"]) if again else next(fresh)
                if again:
                    continue
                one = one.having("id", moved[id])
            entries.append(one)
        if clashes and not renumber:
            raise _clash(names[number], "licenses", clashes)
        moves.append(moved)
    return [one.raw for one in entries], moves


def join_ids(columns: Sequence[Ints], what: str, names: Sequence[str], renumber: bool) -> list[Ints]:
    """New ids for the records of files that become one; UsageError, with the first three, where some clash.

    Those of the first file that has an id keep it; of two records of one file with the same id both keep it.
    """
    done = [columns[0]]
    fresh = fresh_ids(np.concatenate(columns))
    for number, ids in enumerate(columns[1:], 1):
        taken = np.isin(ids, np.concatenate(done)) & (ids != MISSING)
        clashing = np.unique(ids[taken])
        if len(clashing) and not renumber:
            _, firsts = np.unique(ids[taken], return_index=True)
            raise _clash(names[number], what, [str(one) for one in ids[taken][np.sort(firsts)].tolist()])
        new = np.array([next(fresh) for _ in range(len(clashing))], np.int64)
        done.append(mapped(ids, dict(zip(clashing.tolist(), new.tolist(), strict=True))))
    return done


def mapped(ids: Ints, moves: Mapping[int, int]) -> Ints:
    """Ids after some of them became others."""
    old = np.array(sorted(moves), np.int64)
    if not len(old):
        return ids
    new = np.array([moves[one] for one in old.tolist()], np.int64)
    at = np.searchsorted(old, ids).clip(max=len(old) - 1)
    return np.where(old[at] == ids, new[at], ids)


def fresh_ids(taken: Iterable[int] | Ints) -> Any:
    """Ids that nobody has: those after the largest, or, where there are none, the smallest that are free."""
    have = np.unique(np.fromiter(taken, np.int64) if not isinstance(taken, np.ndarray) else taken)
    have = have[have > 0]
    most = int(have[-1]) if len(have) else 0
    yield from range(most + 1, _LARGEST + 1) if most < _LARGEST // 2 else ()
    held = set(have.tolist())
    yield from (one for one in range(1, _LARGEST) if one not in held)


def _name(one: Entry) -> tuple[str, object]:
    return one.said["name"], one.said.get("supercategory")


def _rest(one: Entry) -> dict[str, Any]:
    return {key: value for key, value in one.said.items() if key != "id"}


def _check_joints(one: Entry, other: Entry) -> None:
    if one.said.get("keypoints") != other.said.get("keypoints"):
        both = f"{one.said['name']!r} and {other.said['name']!r}"
        hint = "give them other names with --classes, or convert each by itself"
        raise UsageError(f"{both} cannot be one class: their keypoints differ", hint=hint)


def _compare(keeper: Entry, other: Entry, lost: Lost) -> None:
    """Tell what the other says beside its id and name and the keeper does not."""
    for key in other.said:
        if key not in ("id", "name") and keeper.said.get(key) != other.said[key]:
            lost(f"categories.{key}", f"category {other.said['id']}")


def _clash(name: str, what: str, clashes: Sequence[str]) -> UsageError:
    more = f" and {len(clashes) - 3:,} more" if len(clashes) > 3 else ""
    return UsageError(f"{name}: {what} whose ids are taken: {', '.join(clashes[:3])}{more}", hint=_HINT)
