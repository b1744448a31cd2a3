"""Open Images in numbers: by the COCO JSON of a split, else by upstream's table of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from visprep import temporary, wire
from visprep.errors import StoreError
from visprep.formats.open_images_classes import class_names
from visprep.formats.open_images_csv import open_table
from visprep.formats.open_images_place import Layout, SplitFiles, layout
from visprep.formats.open_images_rows import rows
from visprep.formats.open_images_tables import BOXES
from visprep.looking import Looking
from visprep.statistics import ClassStats, SplitStats, coco
from visprep.statistics import histograms as bars
from visprep.statistics.counted import Counted, by_frequency
from visprep.statistics.histograms import Floats, Ints
from visprep.stores import Store
from visprep.stores.local import LocalStore

_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")


def count(look: Looking) -> Counted:
    """The dataset at a place; MissingExtra where tables must be read and pyarrow is not there."""
    found = layout(look.listing)
    if all(split.json for split in found.splits.values()):
        return coco.count(replace(look, listing=found.others))
    return _of_tables(look, found)


@dataclass
class _Boxes:
    """The boxes of all splits: how many each class, image and split has."""

    classes: dict[str, int] = field(default_factory=dict)
    pairs: list[Ints] = field(default_factory=list)
    labels: list[Ints] = field(default_factory=list)
    shares: list[Floats] = field(default_factory=list)
    per_image: list[Ints] = field(default_factory=list)
    splits: list[SplitStats] = field(default_factory=list)

    def read(self, split: SplitFiles, path: Path) -> None:
        """Count a table; WrongContent for what is none."""
        images: list[Ints] = []
        labels: list[Ints] = []
        shares: list[Floats] = []
        for some in rows(open_table(path, BOXES, split.tables["boxes"]), BOXES, _COLUMNS):
            if some.batch is not None:
                left, right, top, bottom = (some.batch.numbers(name) for name in _COLUMNS[2:])
                labels.append(some.batch.codes("LabelName", self.classes))
                images.append(some.batch.images.astype(np.int64))
                with np.errstate(over="ignore", invalid="ignore"):  # what makes no sense is for verify to tell
                    shares.append((right - left) * (bottom - top))
        boxes = np.concatenate(images) if images else np.empty(0, np.int64)
        ids, counts = np.unique(boxes, return_counts=True)
        there = np.array(sorted(split.images), np.uint64).astype(np.int64)
        bare = len(there) - int(np.isin(there, ids).sum())
        self.per_image += [counts, np.zeros(bare, np.int64)]
        self.pairs.append(boxes)
        self.labels += labels
        self.shares += shares
        self.splits.append(SplitStats(split.name, len(ids) + bare, len(boxes), bare))


def _of_tables(look: Looking, found: Layout) -> Counted:
    boxes, notes = _Boxes(), []
    for split in found.splits.values():
        if "boxes" not in split.tables:
            boxes.splits.append(SplitStats(split.name, len(split.images)))
            notes.append(f"{split.name}: there is no table of boxes; what other tables say is not counted")
            continue
        with temporary.directory("tables") as folder:
            try:
                boxes.read(split, _near(look.store, split.tables["boxes"], folder))
            except StoreError as problem:
                boxes.splits.append(SplitStats(split.name, len(split.images)))
                notes.append(f"not counted: {problem.message}")
    homes = tuple(f"{name}/" for name in found.splits)
    pictures = [file for file in found.others if file.path.startswith(homes) and file.path.endswith(".jpg")]
    told = [one for one in boxes.splits if one.annotations is not None]
    return Counted(
        "images",
        sum(one.records for one in boxes.splits),
        pictures,
        annotations=sum(one.annotations or 0 for one in told) if told else None,
        empty=sum(one.empty or 0 for one in told) if told else None,
        splits=boxes.splits,
        classes=_classes(boxes, _names(look.store, found)),
        histograms=[
            bars.per_image("boxes-per-image", "Boxes", np.concatenate(boxes.per_image)),
            bars.box_shares(np.concatenate(boxes.shares)),
        ]
        if boxes.shares
        else [],
        notes=notes,
    )


def _near(store: Store, path: str, folder: Path) -> Path:
    """A table as a file on this machine."""
    if isinstance(store, LocalStore):
        return store.root / path
    wire.wait(LocalStore(folder).receive(wire.wait(store.stat(path)), store))
    return folder / path


def _names(store: Store, found: Layout) -> Mapping[str, str]:
    """The names of classes by what the tables call them."""
    names: dict[str, str] = {}
    for path in found.lists:
        try:
            names |= class_names(wire.wait(store.read(path)), path).names
        except StoreError:
            continue
    return names


def _classes(boxes: _Boxes, names: Mapping[str, str]) -> tuple[ClassStats, ...]:
    if not boxes.labels:
        return ()
    labels, images = np.concatenate(boxes.labels), np.concatenate(boxes.pairs)
    _, numbers = np.unique(images, return_inverse=True)
    counts = np.bincount(labels, minlength=len(boxes.classes)).tolist()
    once = bars.distinct(numbers * len(boxes.classes) + labels) % len(boxes.classes)
    records = np.bincount(once, minlength=len(boxes.classes)).tolist()
    return by_frequency([ClassStats(names.get(mid, mid), records[at], counts[at]) for mid, at in boxes.classes.items()])
