"""How many differences there are, by what they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

from visprep.differences import AnnotationDifference, Difference, ImageDifference, RenumberedDifference
from visprep.formats.coco_place import kind_of
from visprep.render.text import counted

_CHANGES = ("removed", "added", "changed")
#: What one of each kind is called, and several; kinds that are listed have the three changes.
_CALLED = {
    "document": ("header", "headers"),
    "category": ("class", "classes"),
    "image": ("image", "images"),
    "annotation": ("annotation", "annotations"),
    "split": ("record in a split", "records in splits"),
    "task": ("task", "tasks"),
    "prompt": ("prompt", "prompts"),
}
_KINDS: Mapping[str, tuple[str, ...]] = {
    "document": ("changed",),
    "category": _CHANGES,
    "image": _CHANGES,
    "annotation": (*_CHANGES, "moved", "class", "fields", "with_images"),
    "ids": ("images", "annotations", "categories"),
    "split": ("removed", "added", "moved"),
    "task": _CHANGES,
    "prompt": _CHANGES,
    "not-compared": ("not-compared",),
}


class Counts:
    """The numbers of differences that came by."""

    def __init__(self) -> None:
        self.files = dict.fromkeys(_CHANGES, 0)
        self.records: Mapping[str, Counter[str]] = {
            kind: Counter(dict.fromkeys(words, 0)) for kind, words in _KINDS.items()
        }
        self._changed: set[int] = set()

    def take(self, one: Difference) -> None:
        """One more."""
        if one.kind == "file":
            self.files[one.change] += 1
            return
        count = self.records[one.kind]
        if isinstance(one, RenumberedDifference):
            count[one.what] += one.count
            return
        if isinstance(one, ImageDifference):
            self.records["annotation"]["with_images"] += one.annotations
            if one.change == "changed" and self._counted(one):
                return
        count[one.change] += 1
        if isinstance(one, AnnotationDifference):
            count.update(one.what)

    def _counted(self, one: ImageDifference) -> bool:
        """Whether an image was counted as changed already, by another annotation file of its split."""
        image = hash((one.image, _group(one.path)))
        known = image in self._changed
        self._changed.add(image)
        return known

    @property
    def any(self) -> bool:
        """Whether anything differs."""
        return any(self.files.values()) or any(any(count.values()) for count in self.records.values())

    def sentences(self) -> list[str]:
        """The numbers in words: of files first, then of each kind of records that differ."""
        told = [f"files: {', '.join(f'{count:,} {change}' for change, count in self.files.items())}"]
        for kind, (_, called) in _CALLED.items():
            count = self.records[kind]
            if any(count.values()):
                told.append(f"{called}: {self._of(kind)}")
        for what, number in self.records["ids"].items():
            if number:
                told.append(f"other ids: {number:,} {'classes' if what == 'categories' else what}")
        if unread := self.records["not-compared"]["not-compared"]:
            told.append(f"{counted(unread, 'file')} could not be compared by records")
        return told

    def rows(self) -> list[tuple[str, int, int, int, str]]:
        """The numbers as a table: what, how many removed, added and changed, and a note."""
        found = [("files", self.files["removed"], self.files["added"], self.files["changed"], "")]
        for kind, (_, called) in _CALLED.items():
            count = self.records[kind]
            if any(count.values()):
                changed = count["moved" if kind == "split" else "changed"]
                found.append((called, count["removed"], count["added"], changed, self._note(kind)))
        return found

    def _of(self, kind: str) -> str:
        words = [word for word in _KINDS[kind] if word in (*_CHANGES, "moved")]
        if kind == "annotation":
            words.remove("moved")
        told = ", ".join(f"{self.records[kind][word]:,} {word}" for word in words)
        return told + (f" ({note})" if (note := self._note(kind)) else "")

    def _note(self, kind: str) -> str:
        count = self.records[kind]
        if kind != "annotation":
            return ""
        words = {
            "moved": "moved",
            "class": "of another class",
            "fields": "with other fields",
            "with_images": "went or came with their images",
        }
        return ", ".join(f"{count[key]:,} {said}" for key, said in words.items() if count[key])


@lru_cache(1_000)
def _group(path: str) -> tuple[str, str]:
    """What annotation files have in common that tell of the same images."""
    return kind_of(path)[1]
