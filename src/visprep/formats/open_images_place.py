"""Where a place of Open Images has what: images by split, upstream's rows and lists, masks, and COCO JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from visprep.formats.coco_place import cleaned
from visprep.formats.open_images_tables import KINDS, SPLITS
from visprep.manifest import File

__all__ = ["Layout", "SplitFiles", "is_table", "layout"]

_TABLE = re.compile(rf"labels/({'|'.join(SPLITS)})/({'|'.join(KINDS)})\.csv")
_LIST = re.compile(r"labels/[^/]*class-descriptions[^/]*\.csv")
_IMAGE = re.compile(rf"({'|'.join(SPLITS)})/([0-9a-f]{{16}})\.jpg")
_MASK = re.compile(rf"masks/({'|'.join(SPLITS)})/(.+)")


@dataclass(slots=True)
class SplitFiles:
    """The files of one split: `tables` by kind, the numbers of its `images`, the names of its `masks`, and its JSON.

    The JSON is that which stands for the first one, where `fix` wrote such: `json`, None where there is none.
    """

    name: str
    tables: dict[str, str] = field(default_factory=dict)
    images: list[int] = field(default_factory=list)
    masks: set[str] = field(default_factory=set)
    json: str | None = None

    def table(self, kind: str) -> str:
        """Where the table of a kind belongs."""
        return f"labels/{self.name}/{kind}.csv"

    @property
    def document(self) -> str:
        """Where its COCO JSON belongs."""
        return f"annotations/instances_{self.name}.json"


@dataclass(frozen=True, slots=True)
class Layout:
    """The splits of a place that have tables, by name, and the `lists` of classes.

    `others` are all files but those of `labels/` and `masks/`.
    """

    splits: Mapping[str, SplitFiles]
    lists: tuple[str, ...]
    others: tuple[File, ...]


def is_table(path: str) -> bool:
    """Whether a file is called and placed as rows of Open Images are."""
    return path.startswith("labels/") and _TABLE.fullmatch(path) is not None


def layout(listing: Iterable[File]) -> Layout:
    """What of a listing is what."""
    files = [file for file in listing if not file.path.endswith("/")]
    paths = {file.path for file in files}
    splits = {
        name: SplitFiles(name)
        for name in SPLITS
        if any(f"labels/{name}/{kind}.csv" in paths for kind in KINDS)  # images alone are no place of ours
    }
    others = []
    for file in files:
        path = file.path
        if (found := _TABLE.fullmatch(path)) is not None:
            splits[found[1]].tables[found[2]] = path
        elif (found := _IMAGE.fullmatch(path)) is not None and found[1] in splits:
            splits[found[1]].images.append(int(found[2], 16))
        elif (found := _MASK.fullmatch(path)) is not None and found[1] in splits:
            splits[found[1]].masks.add(found[2])
            continue
        if not path.startswith("labels/"):
            others.append(file)
    for split in splits.values():
        names = (cleaned(split.document), split.document)
        split.json = next((path for path in names if path in paths), None)
    return Layout(splits, tuple(sorted(path for path in paths if _LIST.fullmatch(path))), tuple(others))
