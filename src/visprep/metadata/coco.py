"""Metadata of COCO datasets: the images, annotations and categories of each annotation file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from visprep.coco_file import nearby
from visprep.errors import WrongContent
from visprep.formats import coco_json, coco_parts, coco_place
from visprep.formats.coco_json import MISSING, Index, JsonFile
from visprep.manifest import File
from visprep.metadata import Contents, Document, FileGroup, Split, Table
from visprep.metadata.coco_columns import columns_of, kinds_in, kinds_of
from visprep.metadata.looking import Place
from visprep.metadata.naming import group_below
from visprep.metadata.pictures import picture_table
from visprep.progress import OnProgress, Pulse
from visprep.rules.image_files import is_image

#: What keys of annotations say that records have.
_HOLDS = {"bbox": "boxes", "segmentation": "masks", "keypoints": "keypoints", "caption": "captions"}


@dataclass(frozen=True, slots=True)
class _Read:
    """An annotation file: what of it is described."""

    file: File
    digest: str
    split: str
    group: tuple[str, str]
    root: str | None
    ids: bytes
    names: tuple[str | None, ...]
    images: Mapping[str, frozenset[str]]
    annotations: Mapping[str, frozenset[str]]
    categories: list[Any]
    count: int
    licenses: tuple[str | None, ...]
    classes: Mapping[str, int]

    @property
    def stem(self) -> str:
        """Its name, without its ending."""
        return self.file.path.rpartition("/")[2].removesuffix(".json")

    @property
    def homes(self) -> tuple[str, ...]:
        """The directories that its images are in: of names that are relative to the place, the first of each."""
        if self.root is None:
            return ()
        tops = dict.fromkeys((name or "").rpartition("/")[0].partition("/")[0] for name in self.names)
        return (self.root,) if self.root or "" in tops else tuple(tops)

    @property
    def pictures(self) -> tuple[object, ...]:
        """What is the same of two files that tell of the same images."""
        return self.root, self.ids, self.names


@dataclass
class _Part:
    """A split: the annotation file that tells the most of it, and the license of each image that any file names."""

    main: _Read
    images: dict[str | tuple[str, int], str | None] = field(default_factory=dict)

    @property
    def split(self) -> Split:
        """Its name, and how many images and annotations it has."""
        return Split(self.main.split, len(self.images), self.main.count if self.main.annotations else None)


@dataclass
class _Described:
    """What was described so far."""

    place: Place
    documents: list[Document] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    untyped: list[str] = field(default_factory=list)

    def table(self, one: _Read, key: Literal["images", "annotations", "categories"], id: str, words: str) -> None:
        """A list of a file as a table, with a document of its own: readers read one list of a document."""
        kinds = kinds_in(one.categories) if key == "categories" else one.images if key == "images" else one.annotations
        columns, odd = columns_of(key, kinds)
        if odd:
            self.untyped.append(
                f"{one.file.path}: Croissant has no type for what {', '.join(odd)} of its {key} is; it is left out"
            )
        if not columns:
            return
        name = one.file.path.rpartition("/")[2]
        document = self.place.document(
            one.file, self.place.ids.of(f"{name}-{key}"), f"COCO JSON, read for its {key}", one.digest
        )
        self.documents.append(document)
        unique = any(column.name == "id" for column in columns)
        table = Table(self.place.ids.of(id), document.id, False, columns, ("id",) if unique else (), words)
        self.tables.append(table)


def contents(place: Place, kind: str, progress: OnProgress) -> Contents:
    """What a COCO dataset holds; annotation files that cannot be read are told in its notes."""
    described = _Described(place)
    files = _annotation_files(place)
    read = list(_read(place, files, described.notes, Pulse(progress)))
    groups, loadable = _pictures(read, described)
    told = list(_splits(read))
    licenses = Counter(license for part in told for license in part.images.values() if license)
    classes: Counter[str] = Counter()
    for part in told:
        classes.update(part.main.classes)
    shown: dict[tuple[object, ...], str] = {}
    for one in _main_first(read):
        if one.pictures not in shown:
            shown[one.pictures] = one.split
            lies = f"; file_name is below {one.root}/" if one.root else ""
            described.table(one, "images", f"{one.split}_images", f"The images of {one.split}{lies}")
    for one in read:
        described.table(one, "annotations", one.stem, f"The annotations of {one.file.path}")
    lists: list[_Read] = []
    for one in read:
        if one.categories and all(one.categories != other.categories for other in lists):
            lists.append(one)
    for one in lists:
        named = "categories" if len(lists) == 1 else f"{one.stem}_categories"
        described.table(one, "categories", named, f"The categories, as {one.file.path} has them")
    keys = {key for one in read for key, kinds in one.annotations.items() if kinds - {"null", "empty"}}
    bare = {file.path for file in files} - {document.path for document in described.documents}
    described.documents += (place.document(file, description="COCO JSON") for file in files if file.path in bare)
    documents, others = place.rest({document.path for document in described.documents} | _told(groups, place))
    return Contents(
        kind,
        "images",
        (*described.documents, *documents),
        (*(group for _, group in groups), *others),
        tuple(described.tables),
        tuple(part.split for part in told),
        dict(classes),
        frozenset(word for key, word in _HOLDS.items() if key in keys),
        dict(licenses.most_common()),
        loadable,
        "images" if loadable else "",
        len(place.files),
        sum(file.size or 0 for file in place.files),
        tuple(described.notes),
        tuple(described.untyped),
    )


def _splits(read: list[_Read]) -> Iterator[_Part]:
    """The splits. Files of one group tell of the same images; so do files of other names that name the very same."""
    groups: dict[tuple[str, str], _Part] = {}
    seen: set[tuple[object, ...]] = set()
    for one in _main_first(read):
        if one.group not in groups and one.pictures in seen:
            continue
        seen.add(one.pictures)
        told = groups.setdefault(one.group, _Part(one))
        for row, (name, license) in enumerate(zip(one.names, one.licenses, strict=True)):
            told.images.setdefault(name or (one.file.path, row), license)
    yield from groups.values()


def _main_first(read: list[_Read]) -> list[_Read]:
    return sorted(read, key=lambda one: not one.stem.startswith("instances"))


def _annotation_files(place: Place) -> list[File]:
    """The annotation files of a place, but for those that another one stands for."""
    paths = frozenset(file.path for file in place.data)
    files = (file for file in place.data if coco_place.cleaned(file.path) not in paths)
    found = frozenset(coco_place.annotation_files(place.store, files))
    return [file for file in place.data if file.path in found]


def _read(place: Place, files: list[File], notes: list[str], pulse: Pulse) -> Iterator[_Read]:
    """Annotation files, one after the other; `notes` gets those that cannot be read."""
    paths = frozenset(file.path for file in place.data)
    for number, file in enumerate(files):
        pulse("Reading annotations", number, len(files))
        source = nearby(JsonFile(place.store, file.path))
        try:
            yield _of(place, file, source, paths)
        except WrongContent as problem:
            notes.append(f"{problem.message}; its records are not described")
    pulse("Reading annotations", len(files), len(files), last=True)


def _of(place: Place, file: File, source: JsonFile, paths: frozenset[str]) -> _Read:
    index = coco_json.index(source)
    images = kinds_of(index, "images")
    annotations = kinds_of(index, "annotations")
    categories = coco_parts.frame(index).get("categories", []) if "categories" in index.keys else []
    digest = place.sha256(file)
    source.digest = digest if source.store is place.store else None
    source.check_same()
    return _Read(
        file=file,
        digest=digest,
        split=coco_place.split_of(file.path).name,
        group=coco_place.kind_of(file.path)[1],
        root=coco_place.image_root(file.path, index.images.file_names, paths),
        ids=index.images.ids.tobytes(),
        names=index.images.file_names,
        images=images,
        annotations=annotations,
        categories=categories,
        count=len(index.annotations),
        licenses=_licenses(index),
        classes=_classes(index),
    )


def _licenses(index: Index) -> tuple[str | None, ...]:
    """The license of each image, by its name; None for those of which none is told."""
    names = {one.id: one.name or one.url for one in index.licenses}
    numbers, rows = np.unique(index.images.licenses, return_inverse=True)
    said = [None if number == MISSING else names.get(number) or f"license {number}" for number in numbers.tolist()]
    return tuple(said[row] for row in rows.tolist())


def _classes(index: Index) -> Mapping[str, int]:
    """How many annotations each class has, in the order of the categories; two of one name are one class."""
    numbers, counts = np.unique(index.annotations.category_ids, return_counts=True)
    having = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
    found: Counter[str] = Counter()
    for one in index.categories:
        found[one.name] += having.get(one.id, 0)
    return found


def _pictures(
    read: list[_Read], described: _Described
) -> tuple[list[tuple[str, FileGroup]], tuple[tuple[str, str], ...]]:
    """The images of each directory, by that directory, and for each split a pattern of those that it has alone."""
    place, groups = described.place, []
    homes: dict[str, dict[str, None]] = {}
    for one in read:
        for home in one.homes:
            homes.setdefault(home, {})[one.split] = None
    for home, splits in homes.items():
        held = [file for file in place.data if is_image(file.path) and _below(home, file.path)]
        if not held:
            continue
        named = home.replace("/", "_") or "images"
        group = group_below(place.ids.of(f"{named}-files"), home, held, f"The images of {', '.join(splits)}")
        groups.append((home, group))
        described.tables.append(picture_table(place.ids.of(f"{named}_pictures"), group, group.description))
    apart = all(home and len(homes[home]) == 1 for home, _ in groups)  # else a split would have images of another
    return groups, tuple((split, f"{home}/**") for home, _ in groups for split in homes[home]) if apart else ()


def _below(home: str, path: str) -> bool:
    return not home or path.startswith(f"{home}/")


def _told(groups: list[tuple[str, FileGroup]], place: Place) -> set[str]:
    """The images that the groups hold."""
    homes = [home for home, _ in groups]
    return {file.path for file in place.data if is_image(file.path) and any(_below(home, file.path) for home in homes)}
