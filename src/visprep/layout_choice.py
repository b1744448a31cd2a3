"""What of a directory of Open Images that another tool left goes to which file of a place of ours.

Every image that is there is taken. Where the tool kept upstream's tables, their rows about these images are taken as
they are; where it only wrote label files of its own, boxes are made of these. What neither tells is counted.
"""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from visprep import wire
from visprep.errors import UsageError, WrongContent
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import ROOT, Classes, Hierarchy, class_names, hierarchy
from visprep.formats.open_images_csv import ImageIds, Wanted, image_name, open_table, read
from visprep.formats.open_images_layouts import Seen
from visprep.formats.open_images_tables import FLAGS, IMAGES, KINDS, SPLITS
from visprep.image_choice import Copied, KeptRows
from visprep.manifest import File
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["ImageRows", "LayoutChoice", "box_losses", "choose"]

_HEADER = b"LabelName,DisplayName\n"
#: Kinds whose classes are all, not only those that have boxes.
_ALL_CLASSES = frozenset({"image-labels", "points"})
#: How tables of image labels are called that have only classes with boxes; FiftyOne has no others.
_BOXABLE_LABELS = ("imagelabels-boxable.csv", "labels/classifications.csv")
#: What a table tells of an image that goes into the JSON, and what one tells of a box.
_OF_IMAGES = ("License", "OriginalURL", "Author", "Rotation")
_OF_BOXES = ("Source", *FLAGS)


@dataclass(slots=True)
class ImageRows:
    """The rows of the images of a split, and for those that no table has a row with no more than id and split.

    `without` counts the latter.
    """

    split: str
    ids: ImageIds
    file: CsvFile | None
    without: int = 0

    def write(self, path: Path) -> None:
        """Write them to a file, which is made or replaced."""
        columns = self.file.columns if self.file else ["ImageID", "Subset"]
        found = [np.zeros(0, np.uint64)]
        with path.open("wb", buffering=1 << 20) as out:
            out.write(self.file.header if self.file else b"ImageID,Subset\n")
            for batch in read(self.file, IMAGES, Wanted((self.split,), self.ids), ()) if self.file else ():
                found.append(batch.images)
                out.write(batch.raw())
            missing = self.ids[~np.isin(self.ids, np.concatenate(found))].tolist()
            for number in missing:
                known = {"ImageID": image_name(number), "Subset": self.split}
                out.write(",".join(known.get(column, "") for column in columns).encode() + b"\n")
        self.without = len(missing)

    def losses(self) -> Iterator[tuple[str, int]]:
        """What is not told, and of how many images."""
        for name in _OF_IMAGES:
            told = self.file is not None and name in self.file.columns
            yield name, self.without if told else len(self.ids)


@dataclass(frozen=True, slots=True)
class _List:
    """A list of classes: what it says, and what is kept of it."""

    classes: Classes
    data: bytes


@dataclass(slots=True)
class LayoutChoice:
    """What is taken of a directory.

    `images` and `masks` are files of it by split, and number or name; `labels` are label files of splits whose boxes
    no table has. `tables` are rows of upstream's by split and kind, those of images always; `lists` are those of the
    classes, by the path where they are kept. `classes` is None where no list of them is there: then there are no rows
    of upstream's either. `unplaced` counts images of which nothing tells the split, `losses` records by what is not
    known of them.
    """

    images: dict[str, dict[int, File]] = field(default_factory=dict)
    masks: dict[str, dict[str, File]] = field(default_factory=dict)
    labels: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    tables: dict[str, dict[str, ImageRows | KeptRows]] = field(default_factory=dict)
    lists: dict[str, Copied] = field(default_factory=dict)
    classes: Classes | None = None
    hierarchy: Hierarchy = field(default_factory=Hierarchy)
    unplaced: int = 0
    losses: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def ids(self, split: str) -> ImageIds:
        """The images of a split, sorted."""
        return np.array(sorted(self.images[split]), np.uint64)


def choose(seen: Seen, origin: Store, tables: LocalStore) -> LayoutChoice:
    """Find out what is to be taken; UsageError when it is nothing, WrongContent for a table that cannot be read.

    `tables` is the directory that has those of the origin at the same paths.
    """
    return _Choosing(seen, origin, tables).choose()


class _Choosing:
    def __init__(self, seen: Seen, origin: Store, tables: LocalStore) -> None:
        self.seen, self.origin, self.tables = seen, origin, tables
        self.choice = LayoutChoice()
        self.source = OpenImages()

    def choose(self) -> LayoutChoice:
        self._place_images()
        choice = self.choice
        kinds: set[str] = set()
        narrow: list[str] = []
        for split in choice.images:
            tables = {name: file for name in KINDS if name != "images" and (file := self._table(name, split))}
            if "masks" in tables and not self._take_masks(split, tables["masks"]):
                del tables["masks"]
            if "boxes" not in tables and (files := self.seen.labels.get(split)):
                choice.labels[split] = [one for one in files if one[0] in choice.images[split]]
            kinds |= tables.keys()
            if "image-labels" in tables and tables["image-labels"].name.endswith(_BOXABLE_LABELS):
                narrow.append(split)
            ids = choice.ids(split)
            rows = {name: KeptRows(file, KINDS[name], Wanted((split,), ids)) for name, file in tables.items()}
            choice.tables[split] = {"images": ImageRows(split, ids, self._table("images", split)), **rows}
            if "boxes" not in tables and split not in choice.labels:
                choice.notes.append(f"{split}: no boxes are there, so no COCO JSON is written of it")
        if narrow:
            choice.notes.append(f"image-labels of {', '.join(narrow)} are those of the classes with boxes, not all")
        if "boxes" not in kinds and not choice.labels:
            raise UsageError(
                f"{self.origin.place}: no boxes are there, of which COCO JSON could be made",
                hint="put upstream's table of them beside the images, such as validation-annotations-bbox.csv",
            )
        self._take_lists(kinds)
        self._tell()
        return choice

    def _place_images(self) -> None:
        """Find the split of every image, as its path says, or a table that has it."""
        images = {split: dict(found) for split, found in self.seen.images.items()}
        left = images.pop("", {})
        for (holds, split), path in sorted(self.seen.tables.items(), key=lambda one: one[0][0] != "images"):
            if not left or holds not in KINDS:
                continue
            file = self._open(holds, path)
            ids = np.array(sorted(left), np.uint64)
            for batch in read(file, KINDS[holds], Wanted(images=ids), ("Subset",)):
                told = batch.texts("Subset") if holds == "images" else [split] * len(batch)
                for number, its in zip(batch.images.tolist(), told, strict=True):
                    if number in left and its in SPLITS:
                        images.setdefault(its, {})[number] = left.pop(number)
        self.choice.unplaced = len(left)
        if not any(images.values()):
            raise UsageError(
                f"{self.origin.place}: nothing there tells of which split the {len(left):,} images are",
                hint="put upstream's table of the images beside them, such as validation-images-with-rotation.csv",
            )
        self.choice.images = {split: images[split] for split in SPLITS if images.get(split)}

    def _table(self, kind: str, split: str) -> CsvFile | None:
        tables = self.seen.tables
        path = tables.get((kind, split))
        if path is None and (kind == "images" or len(self.choice.images) == 1):
            path = tables.get((kind, ""))
        return None if path is None else self._open(kind, path)

    def _open(self, kind: str, path: str) -> CsvFile:
        with self.tables.errors(path):
            return open_table(self.tables.real(path), KINDS[kind], path)

    def _take_masks(self, split: str, table: CsvFile) -> bool:
        """The files of the masks that the rows of a split name; whether there is any."""
        there = self.seen.masks.get("", {}) | self.seen.masks.get(split, {})
        rows = 0
        found: dict[str, File] = {}
        for batch in read(table, KINDS["masks"], Wanted(images=self.choice.ids(split)), ("MaskPath",)):
            rows += len(batch)
            found |= {name: there[name] for name in batch.texts("MaskPath") if name in there}
        if rows and not found:
            self.choice.losses["segmentation"] += rows
            self.choice.notes.append(f"{split}: there is a table of masks and no mask, so masks are left out")
            return False
        self.choice.losses["segmentation"] += rows - len(found)
        self.choice.masks[split] = found
        return True

    def _take_lists(self, kinds: set[str]) -> None:
        """The lists of classes and the hierarchy, by the names that they have in a place of ours."""
        choice = self.choice
        boxable, everything = self._list("boxable-classes"), self._list("classes")
        listed = boxable or everything
        if listed is None:
            self._without_list(kinds)
            return
        names = listed.classes
        tree = self._hierarchy(names)
        if boxable is None:
            known = tree is not None and tree["LabelName"] == ROOT[0]  # what is exported has another, without all
            mids = _mids(tree) | self._boxed() if known else names.names.keys()
            names = Classes({mid: name for mid, name in names.names.items() if mid in mids})
            rows = "".join(f"{mid},{_quoted(name)}\n" for mid, name in names.names.items())
            boxable = _List(names, _HEADER + rows.encode())
            which = "those of all classes that the hierarchy has" if known else "that of all classes"
            choice.notes.append(f"the list of the classes with boxes is not there: categories are numbered by {which}")
        choice.classes = names
        self._keep(self.source.class_list(), boxable)
        if kinds & _ALL_CLASSES:
            self._keep(self.source.class_list(("points",)), everything)
        if tree is not None:
            path, told = self._path("hierarchy") or "", json.dumps(tree).encode()
            data = self._data(path)
            choice.hierarchy = hierarchy(told, path)
            choice.lists[_kept(self.source.hierarchy)] = Copied(data if json.loads(data) == tree else told)
        if all(mid == name for mid, name in names.names.items()):
            choice.losses["DisplayName"] += len(names.names)

    def _boxed(self) -> set[str]:
        """The classes of the boxes that are taken."""
        tables = (one for rows in self.choice.tables.values() if isinstance(one := rows.get("boxes"), KeptRows))
        batches = (batch for one in tables for batch in read(one.file, one.kind, one.wanted, ("LabelName",)))
        return {mid for batch in batches for mid in batch.texts("LabelName")}

    def _without_list(self, kinds: set[str]) -> None:
        """UsageError where upstream's rows cannot be read without a list; of label files the JSON can be made."""
        if kinds:
            raise UsageError(
                f"{self.origin.place}: the tables name classes by MIDs, and no list of classes is there",
                hint=f"put it beside them: {self.source.tables_url}/v5/class-descriptions-boxable.csv",
            )
        self.choice.notes.append(
            "no list of classes is there, so nobody knows their MIDs: categories are numbered by name, and there is "
            "no labels/"
        )

    def _keep(self, path: str, one: _List | None) -> None:
        if one is not None:
            self.choice.lists[_kept(path)] = Copied(one.data)

    def _path(self, holds: str) -> str | None:
        return next((path for (one, _), path in sorted(self.seen.tables.items()) if one == holds), None)

    def _data(self, path: str) -> bytes:
        return wire.wait(self.tables.read(path))

    def _list(self, holds: str) -> _List | None:
        """A list of classes below a header, which versions before the sixth have not; None where none is there."""
        path = self._path(holds)
        if path is None:
            return None
        data = self._data(path)
        classes, plain = class_names(data, path), data.removeprefix(b"\xef\xbb\xbf")
        return _List(classes, _HEADER + plain if plain.startswith(b"/") else data)

    def _hierarchy(self, names: Classes) -> Any:
        """The hierarchy with MIDs, for which FiftyOne puts names; None where none is there."""
        path = self._path("hierarchy")
        if path is None:
            return None
        data = self._data(path)
        hierarchy(data, path)
        mids = {ROOT[1]: ROOT[0]} | {name: mid for mid, name in names.names.items()}
        try:
            return _with_mids(json.loads(data), mids)
        except KeyError as problem:
            why = f"it names the class {problem.args[0]!r}, which is not in the list of classes"
            hint = "take hierarchy and list of the same version, or take the hierarchy away: then it is done without"
        except RecursionError:
            why, hint = "its entries lie too deep in each other", "fetch the file again"
        raise WrongContent(f"{path}: {why}", hint=hint)

    def _tell(self) -> None:
        choice = self.choice
        if choice.unplaced:
            choice.notes.append(f"{choice.unplaced:,} images are left out: nothing tells of which split they are")
        if self.seen.twice:
            choice.notes.append(f"{self.seen.twice:,} images lie there more than once: each is taken once")
        if self.seen.others:
            why = f"which lie or are called otherwise than images of {self.seen.layout.name}"
            choice.notes.append(f"pictures left out, {why}: {self.seen.others:,}, such as {self.seen.other}")
        choice.notes += [f"{path} is a link to a directory: nothing of it is taken" for path in self.seen.links]
        if choice.labels and (self.tables.root.parent / "csv_folder").is_dir():
            above = f"{self.tables.root.parent.name}/csv_folder"
            choice.notes.append(f"{above} is not in what is converted; name the directory above for the rows in it")
        if choice.labels:
            choice.notes.append(
                "boxes are those of label files, which have only the classes that were asked for when they were made"
            )
        if choice.classes is not None and not choice.hierarchy.parents:
            choice.losses["supercategory"] += len(choice.classes.names)


def _kept(path: str) -> str:
    """Where a list of upstream's is kept."""
    return f"labels/{path.rpartition('/')[2]}"


def box_losses(columns: list[str], rows: int) -> Iterator[tuple[str, int]]:
    """What a table of boxes with these columns does not tell, and of how many."""
    return ((name, rows) for name in _OF_BOXES if name not in columns)


def _with_mids(node: Any, mids: dict[str, str]) -> Any:
    name = node["LabelName"]
    told = {**node, "LabelName": name if name.startswith("/") else mids[name]}
    for key in ("Subcategory", "Part"):
        if key in node:
            told[key] = [_with_mids(one, mids) for one in node[key]]
    return told


def _mids(node: Any) -> set[str]:
    below = (one for key in ("Subcategory", "Part") for one in node.get(key, ()))
    return functools.reduce(set.union, map(_mids, below), {node["LabelName"]})


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(one in name for one in ',"\n') else name
