"""An annotation file that was read, and what was told of it so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from visprep.findings import Finding
from visprep.formats.coco_json import Index
from visprep.formats.coco_place import Split, joined
from visprep.rules import Rule
from visprep.rules.coco_notes import KEPT


@dataclass(slots=True)
class AnnotationFile:
    """An annotation file that was read: its `root` is the directory of its images, None when none of them is here."""

    path: str
    split: Split
    index: Index
    root: str | None

    def image(self, number: int) -> str | None:
        """The path in the place of one of its images; None for a name that leads nowhere in it."""
        name = self.index.images.file_names[number]
        if self.root is None or not name or "://" in name or name.startswith("/") or ".." in name.split("/"):
            return None
        return joined(self.root, name)

    def where(self, number: int) -> dict[str, Any]:
        """Which of its images a finding is about that names another file."""
        images = self.index.images
        return {"pointer": f"/images/{number}", "byte": int(images.starts[number]), "image_id": int(images.ids[number])}

    def address(self, number: int) -> dict[str, Any]:
        """The same, for a finding about this very file."""
        images = self.index.images
        return {**self.where(number), "line": int(images.lines[number]), "column": int(images.columns[number])}


@dataclass
class Told:
    """What was told of each kind so far: of one kind and file no more than a thousand, and then how many more."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, Rule] = field(default_factory=dict)

    def at(self, about: str, rule: Rule, path: str, message: str, **where: Any) -> Iterator[Finding]:
        """The finding, unless too many were told of `about`."""
        self.rules[rule.code] = rule
        self.counts[rule.code, about] += 1
        if self.counts[rule.code, about] <= KEPT:
            yield rule.at(path, message, **where)

    def rest(self) -> Iterator[Finding]:
        """How many were not told one by one."""
        for (code, about), count in self.counts.items():
            if count > KEPT:
                words = f"and {count - KEPT:,} more of this kind, not told one by one"
                yield self.rules[code].at(about, words, count=count - KEPT)
