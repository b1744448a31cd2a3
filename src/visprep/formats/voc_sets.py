"""The sets of a place of Pascal VOC as annotation files: which image is in which, and what of them is left behind."""

from __future__ import annotations

from collections.abc import Callable, Collection

from visprep.formats.coco_place import split_of
from visprep.formats.voc_place import VocPlace, VocRecord, VocSet, is_image

__all__ = ["Sets"]

#: What images are put together as where there are no sets, and where sets name others only.
ALL, REST = "default", "rest"
_BOTH = "trainval"


class Sets:
    """Which images, by their numbers from 1, go to which annotation file.

    Those of `ImageSets/Main` decide; where there are none, directories that are called like a part of a dataset.
    `losses` are what is said in other sets: its name, a path, an example, how many lines; `notes` say what is left out
    since it is said twice.
    """

    def __init__(self, place: VocPlace) -> None:
        self.notes: list[str] = []
        self.losses: list[tuple[str, str, str, int]] = []
        self._members: dict[str, set[int]] = {}
        self._several = len({one.root for one in place.records}) > 1
        numbers = {(one.root, one.stem): at for at, one in enumerate(place.records, 1) if not one.beside}
        for one in place.sets():
            if one.fault:
                self.losses.append(("ImageSets", one.path, f"all of {one.path}", 1))
            elif one.kind != "Main":
                self.losses.append((f"ImageSets.{one.kind}", one.path, f"line 1 of {one.path}", len(one.members)))
            elif "_" in one.name and any(member.flags for member in one.members):
                self.losses.append(("ImageSets.Main.classes", one.path, f"line 1 of {one.path}", len(one.members)))
            else:
                self._take(one, numbers)
        self._leave_both()
        self._take_rest(place)
        self.names = tuple(sorted(self._members))

    def _take(self, one: VocSet, numbers: dict[tuple[str, str], int]) -> None:
        found = self._members.setdefault(one.name.replace("/", "_"), set())
        lacking = [member for member in one.members if (one.root, member.stem) not in numbers]
        found.update(numbers[one.root, member.stem] for member in one.members if member not in lacking)
        if lacking:
            example = f"{lacking[0].stem:.60} of {one.path}, which is not there,"
            self.losses.append(("ImageSets.Main", one.path, example, len(lacking)))

    def _leave_both(self) -> None:
        """Leave out the set that is the two others together."""
        parts = [self._members.get(name) for name in ("train", "val")]
        if all(part is not None for part in parts) and self._members.get(_BOTH) == set().union(*filter(None, parts)):
            del self._members[_BOTH]
            self.notes.append(f"{_BOTH} is train and val together: no file of its own")

    def _take_rest(self, place: VocPlace) -> None:
        held: set[int] = set().union(*self._members.values())
        rest = REST if self._members else ALL
        for at, one in enumerate(place.records, 1):
            if at not in held:
                home = one.root.rpartition("/")[2]
                part = one.beside and home and split_of(f"{home}/labels.json").part
                self._members.setdefault(home if part else rest, set()).add(at)

    def holds(self, name: str) -> Callable[[int], bool]:
        """Whether an image of that number is in a set."""
        return self._members[name].__contains__

    def count(self, name: str, without: Collection[int]) -> int:
        """How many images are in a set."""
        return len(self._members[name].difference(without))

    def file_name(self, record: VocRecord, said: str | None) -> str:
        """What an image is called; one that is not there has the ending that its annotation says."""
        there = record.images[0].path if record.images else said if said and is_image(said) else ".jpg"
        name = f"{record.stem}.{there.rpartition('.')[2]}"
        return f"{record.root}/{name}" if self._several and record.root else name
