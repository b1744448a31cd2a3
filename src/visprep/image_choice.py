"""Some images of Open Images: chosen by upstream's tables, with the rows of these that are kept.

An image of a split is chosen when it is among `images`, has one of the `licenses`, and one of the asked for kinds of
labels gives it one of the `classes`, as far as any of these are asked for. That people found a class absent, or could
not agree, gives it none. Of the chosen ones a limit takes the first in upstream's order, or, with a seed, those that
come first in an order drawn from the seed and the image's id: so a larger limit adds images and drops none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from visprep.errors import UnknownName, UsageError
from visprep.formats.open_images_blocks import CsvFile, Mask, Numbers
from visprep.formats.open_images_classes import Classes, Hierarchy, class_names, hierarchy
from visprep.formats.open_images_csv import Batch, ImageIds, Wanted, image_name, image_number, read
from visprep.formats.open_images_facts import license_numbers
from visprep.formats.open_images_tables import IMAGES, Kind
from visprep.sources import Selection
from visprep.sources.open_images import OpenImages, Table
from visprep.subsets import drawn
from visprep.tables import Tables

__all__ = ["ImageChoice", "KeptRows", "choose"]


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of a table that are kept, as upstream wrote them, below its header."""

    file: CsvFile
    kind: Kind
    wanted: Wanted

    def write(self, path: Path) -> int:
        """Write them to a file, which is made or replaced; how many there are."""
        rows = 0
        with path.open("wb", buffering=1 << 20) as out:
            out.write(self.file.header)
            for batch in read(self.file, self.kind, self.wanted, ()):
                rows += len(batch)
                out.write(batch.raw())
        return rows


@dataclass(frozen=True, slots=True)
class Copied:
    """A list of upstream's as it is."""

    data: bytes

    def write(self, path: Path) -> int:
        """Write it to a file, which is made or replaced."""
        return path.write_bytes(self.data)


@dataclass(slots=True)
class ImageChoice:
    """What a selection needs: images by split (sorted), and `documents`, upstream's rows and lists, by path.

    `wanted` are the MIDs to which the rows are narrowed, None: all of them. `licenses` counts the images by license.
    """

    classes: Classes
    hierarchy: Hierarchy
    wanted: tuple[str, ...] | None = None
    images: dict[str, ImageIds] = field(default_factory=dict)
    documents: dict[str, KeptRows | Copied] = field(default_factory=dict)
    licenses: Counter[str] = field(default_factory=Counter)

    @property
    def paths(self) -> list[str]:
        """The files of the images."""
        return [f"{split}/{image_name(one)}.jpg" for split, ids in self.images.items() for one in ids.tolist()]


def choose(source: OpenImages, selection: Selection, tables: Tables) -> ImageChoice:
    """Bring the tables of a selection, and choose by them.

    UnknownName for a class, a license, an image or a split that there is not, UsageError when no image is left.
    """
    needed = source.tables(selection)
    boxable, known = source.class_list(), source.class_list(selection.labels)
    tables.fetch((boxable, known, source.hierarchy))  # small, and a wrong class shows before the large ones come
    tree = hierarchy(tables.read(source.hierarchy), source.hierarchy)
    names = class_names(tables.read(known), known)
    mids = names.mids(selection.classes)
    if selection.expand_hierarchy:
        mids = tree.expand(mids)
    choice = ImageChoice(class_names(tables.read(boxable), boxable), tree)
    choice.wanted = mids if selection.only_matching else None
    for path in dict.fromkeys((boxable, known, source.hierarchy)):
        choice.documents[f"labels/{path.rpartition('/')[2]}"] = Copied(tables.read(path))
    tables.fetch(table.path for table in needed)
    opened = {table.kept: (table, tables.open(table.path, table.kind)) for table in needed}
    for split in dict.fromkeys(table.split for table in needed):
        of_split = [one for one in opened.values() if one[0].split == split]
        chosen = _chosen(of_split, selection, mids, choice)
        choice.images[split] = chosen
        for table, file in of_split:
            classes = choice.wanted if table.kind.classes else None
            choice.documents[table.kept] = KeptRows(file, table.kind, Wanted((split,), chosen, classes))
    if not any(map(len, choice.images.values())):
        filters = [f"--{name}" for name in ("classes", "licenses") if getattr(selection, name)]
        filters += ["--ids"] if selection.images is not None else []
        raise UsageError(
            f"no image of {', '.join(choice.images)} is left by {' and '.join(filters) or 'these tables'}",
            hint="each must let an image through: ask for more, or leave one out",
        )
    return choice


def _chosen(
    tables: Iterable[tuple[Table, CsvFile]], selection: Selection, mids: tuple[str, ...], choice: ImageChoice
) -> ImageIds:
    """The images of one split, sorted; their licenses are counted."""
    (table, file), *labels = tables
    urls: dict[str, int] = {"": 0}
    told = "License" in file.columns
    batches = [
        (batch.images, batch.codes("License", urls) if told else np.zeros(len(batch), np.int64))
        for batch in read(file, IMAGES, Wanted((table.split,)), ("License",))
    ]
    images = np.concatenate([np.zeros(0, np.uint64), *(ids for ids, _ in batches)])
    licenses = np.concatenate([np.zeros(0, np.int64), *(codes for _, codes in batches)])
    chosen: Mask = np.ones(len(images), np.bool_)
    if selection.images is not None:
        chosen &= np.isin(images, _asked_for(selection.images, table.split, images))
    if selection.licenses:
        numbers = _license_numbers(list(urls), selection.licenses, table.split)
        chosen &= np.isin(numbers[licenses], selection.licenses)
    if mids:
        chosen &= np.isin(images, _with_classes(labels, mids))
    places = np.flatnonzero(chosen).tolist()
    if selection.limit is not None:
        if selection.seed is not None:
            places.sort(key=lambda at: drawn(selection.seed, int(images[at])))
        places = places[: selection.limit]
    for url, count in zip(urls, np.bincount(licenses[places], minlength=len(urls)).tolist(), strict=True):
        choice.licenses[url or "no license told"] += count
    choice.licenses = +choice.licenses
    return np.unique(images[places])


def _asked_for(asked: Mapping[str, tuple[str, ...]], split: str, there: ImageIds) -> ImageIds:
    ids = np.array(sorted(map(image_number, asked.get(split, ()))), np.uint64)
    unknown = ids[~np.isin(ids, there)].tolist()
    if unknown:
        shown = ", ".join(f"{split}/{image_name(one)}" for one in unknown[:3])
        raise UnknownName(
            f"there is no image {shown}{f' and {len(unknown) - 3} more' * (len(unknown) > 3)} in Open Images",
            hint="check the ids; of train only the images that have boxes are known",
        )
    return ids


def _license_numbers(urls: list[str], wanted: tuple[int, ...], split: str) -> Numbers:
    numbers = license_numbers(urls)
    unknown = [str(one) for one in wanted if one not in numbers.values()]
    if unknown:
        there = ", ".join(f"{number} ({url})" for url, number in sorted(numbers.items(), key=lambda one: one[1]))
        raise UnknownName(f"there is no license {', '.join(unknown)} in {split}", hint=f"there are: {there}")
    return np.array([numbers.get(url, 0) for url in urls], np.int64)


def _with_classes(labels: Iterable[tuple[Table, CsvFile]], mids: tuple[str, ...]) -> ImageIds:
    found = [np.zeros(0, np.uint64)]
    for table, file in labels:
        for batch in read(file, table.kind, Wanted(classes=mids), ("Confidence", "EstimatedYesNo")):
            found.append(batch.images[_there(batch)])
    return np.unique(np.concatenate(found))


def _there(batch: Batch) -> Mask:
    """Whether the class of each row is there in the image, as far as the row tells."""
    names = batch.columns.schema.names
    there: Mask = np.ones(len(batch), np.bool_)
    if "Confidence" in names:
        there &= ~(batch.numbers("Confidence") == 0)
    if "EstimatedYesNo" in names:
        there &= np.array([text == "yes" for text in batch.texts("EstimatedYesNo")], np.bool_)
    return there
