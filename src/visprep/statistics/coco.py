"""COCO datasets in numbers: their annotation files, split by split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visprep.errors import StoreError
from visprep.formats.coco_ids import rows_of
from visprep.formats.coco_json import MISSING, JsonFile
from visprep.formats.coco_place import (
    PLAIN,
    beginning,
    candidates,
    cleaned,
    image_root,
    joined,
    kind_of,
    split_of,
    usual,
)
from visprep.looking import Looking
from visprep.manifest import File
from visprep.render.text import counted
from visprep.statistics import ClassStats, Histogram, SplitStats
from visprep.statistics import histograms as bars
from visprep.statistics.coco_columns import NONE, POLYGONS, RLE, Columns, read
from visprep.statistics.counted import Counted, by_frequency
from visprep.statistics.histograms import Floats, Ints

#: Of one split, the first of these kinds that is there tells classes and boxes: the others tell of the same objects.
_ORDER = (PLAIN, "person_keypoints", "keypoints", "stuff", "panoptic", "captions", "image_info")
_NO_LICENSE = "not said"
_MASKS = {"polygons": POLYGONS, "RLE": RLE, "none": NONE}


@dataclass
class AnnotationFile:
    """One annotation file: `kind` and `split` are as its name says, files of one `group` describe the same images."""

    path: str
    kind: str
    group: tuple[str, str]
    split: str
    columns: Columns

    @classmethod
    def of(cls, path: str, full: str, columns: Columns) -> AnnotationFile:
        """A file by its path at its place, and by its full path: a directory above may tell the split."""
        kind, group = kind_of(full)
        return cls(path, kind, group, split_of(full).name, columns)

    @cached_property
    def owners(self) -> Ints:
        """Of each annotation the row of its image, -1 where there is none; of two with one id the first."""
        return rows_of(self.columns.ids, self.columns.image_ids)


@dataclass
class _Split:
    """The files of one split, the one that tells its classes first; `names` are its images, each once."""

    name: str
    files: list[AnnotationFile]

    @property
    def main(self) -> AnnotationFile:
        return self.files[0]

    @cached_property
    def images(self) -> dict[str | tuple[str, int], tuple[Columns, int]]:
        """Each image by its name, or its id where it has none, with where it stands."""
        found: dict[str | tuple[str, int], tuple[Columns, int]] = {}
        for file in self.files:
            ids = file.columns.ids.tolist()
            for row, name in enumerate(file.columns.names):
                found.setdefault(name or (file.path, ids[row]), (file.columns, row))
        return found

    def told(self) -> SplitStats:
        columns = self.main.columns
        if "annotations" not in columns.keys or self.main.kind == "image_info":
            return SplitStats(self.name, len(self.images))
        has = np.zeros(len(columns.ids), np.bool_)
        has[self.main.owners[self.main.owners >= 0]] = True
        return SplitStats(self.name, len(self.images), len(columns.image_ids), len(has) - int(has.sum()))


def count(look: Looking) -> Counted:
    """The dataset at a place; WrongContent when no annotation file can be read."""
    listing = {file.path: file for file in look.listing}
    found = _files(look)
    above = "/".join(("", *look.place_name))
    files: list[AnnotationFile] = []
    problems: list[StoreError] = []
    for path in look.rounds.each("Reading annotations", found, _now, "files", 1):
        try:
            files.append(AnnotationFile.of(path, f"{above}/{path}", read(JsonFile(look.store, path))))
        except StoreError as problem:
            problems.append(problem)
    if problems and not files:
        raise problems[0]
    whole = of_files(files, listing)
    whole.notes += [f"not counted: {one.message}" for one in problems]
    return whole


async def _now(path: str) -> str:
    """Nothing but its turn: such a file is read piece by piece, which is work of its own."""
    return path


def _files(look: Looking) -> list[str]:
    """The annotation files of a place, but for those that `fix` set aside."""
    files = [file.path for file in candidates(look.listing)]
    unknown = [path for path in files if not usual(path)]
    each = look.rounds.each("Looking at JSON files", unknown, lambda path: beginning(look.store, path), "files")
    begins = dict(zip(unknown, each, strict=True))
    found = {path for path in files if begins.get(path, "coco") == "coco"}
    return [path for path in files if path in found and cleaned(path) not in found]


def of_files(files: Sequence[AnnotationFile], listing: Mapping[str, File] | None) -> Counted:
    """The statistics of annotation files; with a `listing`, of the pictures that they name, too."""
    splits = list(_splits(files))
    told = [one.told() for one in splits]
    annotated = [one for one in told if one.annotations is not None]
    images = [where for one in splits for where in one.images.values()]
    found = Counted(
        "images",
        sum(one.records for one in told),
        annotations=sum(one.annotations or 0 for one in annotated) if annotated else None,
        empty=sum(one.empty or 0 for one in annotated) if annotated else None,
        splits=told,
        classes=_classes([one.main for one in splits]),
        histograms=list(_histograms(splits)),
        licenses=_licenses(images),
        sizes=bars.sound([tuple(columns.sizes[row].tolist()) for columns, row in images]),
    )
    captions = [one.columns for one in _with_captions(splits)]
    if captions:
        found.texts_are, found.texts = "captions", [text for one in captions for text in one.captions]
    if unread := sum(file.columns.unread for file in files):
        found.notes.append(f"not counted: {counted(unread, 'record')} that cannot be read; visprep verify says which")
    if listing is not None:
        _find_pictures(found, splits, listing)
    return found


def _splits(files: Sequence[AnnotationFile]) -> Iterator[_Split]:
    groups: dict[tuple[str, str], list[AnnotationFile]] = {}
    for file in files:
        groups.setdefault(file.group, []).append(file)
    names = Counter(group[0].split for group in groups.values())
    for group in groups.values():
        group.sort(key=lambda file: _ORDER.index(file.kind))
        name = group[0].split  # where two are called alike, their paths tell them apart
        yield _Split(name if names[name] == 1 else group[0].path.removesuffix(".json"), group)


def _classes(files: Sequence[AnnotationFile]) -> tuple[ClassStats, ...]:
    """All classes that the files name, also those that nothing is of."""
    annotations: Counter[str] = Counter()
    records: Counter[str] = Counter()
    for file in files:
        columns = file.columns
        annotations.update(dict.fromkeys(columns.categories.values(), 0))
        numbers = {name: number for number, name in enumerate(dict.fromkeys(columns.categories.values()))}
        ids = np.array(list(columns.categories), np.int64)
        rows = rows_of(ids, columns.category_ids)
        known = np.array([numbers[name] for name in columns.categories.values()], np.int64)
        names = list(numbers)
        which = known[rows[rows >= 0]]
        for number, often in enumerate(np.bincount(which, minlength=len(names)).tolist()):
            annotations[names[number]] += often
        owned = (rows >= 0) & (file.owners >= 0)
        pairs = bars.distinct(file.owners[owned] * max(len(names), 1) + known[rows[owned]])
        for number, often in enumerate(np.bincount(pairs % max(len(names), 1), minlength=len(names)).tolist()):
            records[names[number]] += often
    return by_frequency([ClassStats(name, records[name], often) for name, often in annotations.items()])


def _histograms(splits: Sequence[_Split]) -> Iterator[Histogram]:
    boxed = [one.main for one in splits if np.isfinite(one.main.columns.sides).any()]
    if boxed:
        yield bars.per_image("boxes-per-image", "Boxes", _per_image(boxed))
        areas = np.concatenate([_areas(one.columns) for one in boxed])
        yield bars.box_areas(areas[np.isfinite(areas)], "area as the annotations say, else of the box")
        yield bars.box_shares(np.concatenate([_shares(one) for one in boxed]))
        masks = np.concatenate([one.columns.masks for one in boxed])
        if masks.any():
            counts = {name: int((masks == kind).sum()) for name, kind in _MASKS.items()}
            yield bars.tallied(
                "masks", "Masks", "annotations", {name: often for name, often in counts.items() if often}
            )
    posed = [next((file for file in one.files if (file.columns.joints >= 0).any()), None) for one in splits]
    joints = [one.columns.joints[one.columns.joints >= 0] for one in posed if one]
    if joints:
        yield bars.joints(np.concatenate(joints))
    captioned = _with_captions(splits)
    if captioned:
        yield bars.per_image("captions-per-image", "Captions", np.concatenate([_captions_of(one) for one in captioned]))
    files = {file.path: len(file.columns.image_ids) for one in splits for file in one.files}
    if len(files) > 1:
        yield bars.tallied("annotation-files", "Annotations by file", "annotations", files, most=20)


def _with_captions(splits: Sequence[_Split]) -> list[AnnotationFile]:
    found = (next((file for file in one.files if file.columns.captions), None) for one in splits)
    return [one for one in found if one]


def _per_image(files: Sequence[AnnotationFile]) -> Ints:
    """How many boxes each image has."""
    found = []
    for file in files:
        boxed = np.isfinite(file.columns.sides).all(axis=1)
        found.append(np.bincount(_known(file.owners[boxed]), minlength=len(file.columns.ids)))
    return np.concatenate(found)


def _captions_of(file: AnnotationFile) -> Ints:
    """How many captions each image has."""
    columns = file.columns
    return np.bincount(_known(rows_of(columns.ids, columns.captioned)), minlength=len(columns.ids))


def _areas(columns: Columns) -> Floats:
    of_boxes = columns.sides[:, 0] * columns.sides[:, 1]
    return np.where(np.isfinite(columns.areas), columns.areas, of_boxes)


def _shares(file: AnnotationFile) -> Floats:
    columns = file.columns
    rows = np.flatnonzero((file.owners >= 0) & np.isfinite(columns.sides).all(axis=1))
    sizes = columns.sizes[file.owners[rows]].astype(np.float64)
    rows, sizes = rows[(sizes > 0).all(axis=1)], sizes[(sizes > 0).all(axis=1)]
    found: Floats = (columns.sides[rows] / sizes).prod(axis=1)
    return found


def _licenses(images: Iterable[tuple[Columns, int]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for columns, row in images:
        id = int(columns.licenses[row])
        counts[_NO_LICENSE if id == MISSING else columns.license_names.get(id, f"license {id}")] += 1
    return {} if set(counts) <= {_NO_LICENSE} else dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _find_pictures(found: Counted, splits: Sequence[_Split], listing: Mapping[str, File]) -> None:
    """Note which of the images are there, and which are not."""
    pictures: dict[str, File] = {}
    addresses = 0
    for split in splits:
        names = [name if isinstance(name, str) else None for name in split.images]
        root = image_root(split.main.path, names, listing)
        for name in names:
            if name is not None and "://" in name:
                addresses += 1
                continue
            outside = root is None or name is None or name.startswith("/") or ".." in name.split("/")
            file = None if outside else listing.get(joined(root or "", name or ""))
            if file is None:
                found.absent += 1
            else:
                pictures[file.path] = file
    found.pictures = [pictures[path] for path in sorted(pictures)]
    if addresses:
        found.notes.append(f"{counted(addresses, 'image')} named by an address: nobody looked whether they are there")


def _known(rows: Ints) -> Ints:
    return rows[rows >= 0]
