"""COCO JSON: an index of a file that fits in memory, and subsets of it whose records are the same bytes.

The index holds numbers for every annotation (ids, and where its bytes are) and the names of images, never the
annotations themselves: some 40 bytes each. Nothing is renumbered, and what visprep does not know is passed on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from visprep import wire
from visprep.errors import ChangedMeanwhile, UnknownName, WrongContent, did_you_mean
from visprep.formats.coco_ranges import joined, stretch
from visprep.formats.coco_scan import BLOCK, Closed, Ints, Malformed, Opened, Records, Value, ended, scan
from visprep.manifest import File
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["MISSING", "Annotations", "Category", "Images", "Index", "JsonFile", "License", "Subset", "index"]

Mask = npt.NDArray[np.bool_]
_Broken = list[tuple[str, int, WrongContent]] | None
_Listener = Callable[[Opened | Closed | Records | Value], None] | None

#: Stands in a column of numbers where a record lacks the key, or says null.
MISSING = -(2**63)
#: Characters that a file name may have, with directories, and a URL: no system takes more.
LONGEST_NAME = 4_096
#: Bytes that are asked for at once, of a file that is not on this machine.
FAR = 8 * BLOCK
#: What msgspec says of an escape such as \ud800 without the other of its pair: records come to it whole.
_HALF = "Input data was truncated", "a text in it has half of a surrogate pair, an escape such as \\ud800"
_HINT = "visprep verify says all that is wrong with it"

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63) + 1, le=2**63 - 1)]


class JsonFile:
    """A JSON file of a store, at the path `name`; what the store raises comes as it is."""

    def __init__(self, store: Store, path: str) -> None:
        self.store, self.name = store, path
        self.digest: str | None = None  # as it was read, where that is known
        self._step = BLOCK if isinstance(store, LocalStore) else FAR

    @classmethod
    def on_disk(cls, path: str | os.PathLike[str]) -> JsonFile:
        """A file on disk, by its path; links are followed."""
        real = Path(os.path.realpath(path))
        return cls(LocalStore(real.parent), real.name)

    @cached_property
    def size(self) -> int:
        """Its bytes, when it was first asked for."""
        if self.was.size is None:
            raise WrongContent(f"{self.name}: its store does not tell its size")
        return self.was.size

    @cached_property
    def was(self) -> File:
        """What its store said of it when it was first asked."""
        return wire.wait(self.store.stat(self.name))

    def check_same(self) -> None:
        """ChangedMeanwhile when it is not the file any more that it was: by its bytes, since drives invent times."""
        now = wire.wait(self.store.stat(self.name))
        if (now.size, now.etag) != (self.size, self.was.etag) and (
            now.size != self.size or not self.digest or wire.wait(self.store.hash(self.name, "sha256")) != self.digest
        ):
            raise ChangedMeanwhile(f"{self.name} changed while it was read", hint="run the same command again")

    def read(self, offset: int, length: int) -> bytes:
        """So many bytes from `offset` on; WrongContent when the file has become shorter."""
        data = wire.wait(self.store.read(self.name, offset, length))
        if len(data) != length:
            raise WrongContent(f"{self.name}: it became shorter while it was read", hint="run the same command again")
        return data

    def chunks(self) -> Iterator[bytes]:
        """All bytes, about a megabyte at a time."""
        for offset in range(0, self.size, self._step):
            data = self.read(offset, min(self._step, self.size - offset))
            yield from (data[at : at + BLOCK] for at in range(0, len(data), BLOCK))


@dataclass(frozen=True, slots=True)
class Category:
    """An entry of `categories`."""

    id: Int64
    name: str
    supercategory: str | None = None


@dataclass(frozen=True, slots=True)
class License:
    """An entry of `licenses`."""

    id: int
    name: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Images:
    """The columns of `images`, in the order of the file; MISSING, or None, where a record does not say.

    A URL of more than `LONGEST_NAME` characters, which nobody can fetch, is None too. `starts` and `lengths` tell
    where the bytes of each record are, `lines` and `columns` the same for an editor.
    """

    ids: Ints
    widths: Ints
    heights: Ints
    licenses: Ints
    file_names: tuple[str | None, ...]
    coco_urls: tuple[str | None, ...]
    flickr_urls: tuple[str | None, ...]
    starts: Ints
    lengths: Ints
    lines: Ints
    columns: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Annotations:
    """The columns of `annotations`, in the order of the file; MISSING where a record does not say.

    Captions have no `category_ids`; panoptic annotations have neither these nor `ids`.
    """

    ids: Ints
    image_ids: Ints
    category_ids: Ints
    starts: Ints
    lengths: Ints

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Index:
    """What a COCO JSON file holds, and where.

    `others` are the values at the top that are no list, decoded (`info`). `keys` are all keys at the top, in order.
    `licenses` are those that have an id.
    """

    file: JsonFile
    images: Images
    annotations: Annotations
    categories: tuple[Category, ...]
    licenses: tuple[License, ...]
    keys: tuple[str, ...]
    others: Mapping[str, Any] = field(default_factory=dict)

    def classes(self, names: Iterable[str]) -> tuple[int, ...]:
        """The category ids of class names, each once, in that order; UnknownName, with the nearest name, for others."""
        ids: dict[str, list[int]] = {}
        for category in self.categories:
            ids.setdefault(category.name, []).append(category.id)
        found: dict[int, None] = {}
        for name in names:
            if name not in ids:
                raise UnknownName(f"{self.file.name}: there is no class {name!r}", hint=did_you_mean(name, ids))
            found.update(dict.fromkeys(ids[name]))
        return tuple(found)

    def images_with(self, categories: Collection[int]) -> Mask:
        """Which images have an annotation of at least one of these categories."""
        wanted = np.isin(self.annotations.category_ids, np.array(sorted(categories), np.int64))
        return np.isin(self.images.ids, self.annotations.image_ids[wanted])

    def record(self, key: Literal["images", "annotations"], number: int) -> Any:
        """One record of `images` or `annotations`, decoded, with all that it says: read from the file again."""
        columns = self.images if key == "images" else self.annotations
        return msgspec.json.decode(self.file.read(int(columns.starts[number]), int(columns.lengths[number])))

    def select(self, images: Mask, categories: Collection[int] | None = None) -> Subset:
        """The images of a mask with their annotations; of these only such of `categories`, when those are given."""
        kept = np.isin(self.annotations.image_ids, self.images.ids[images])
        if categories is not None:
            kept &= np.isin(self.annotations.category_ids, np.array(sorted(categories), np.int64))
        return Subset(self, images, kept)


@dataclass(frozen=True)
class Subset:
    """Some images and annotations of a file, as masks over its index."""

    index: Index
    images: Mask
    annotations: Mask

    def chunks(self) -> Iterator[bytes]:
        """The subset as JSON: the file as it is, but for the records that are left out, and the commas between."""
        file, at = self.index.file, 0
        parts: list[tuple[Images | Annotations, Mask]] = [
            (self.index.images, self.images),
            (self.index.annotations, self.annotations),
        ]
        for columns, mask in sorted((one for one in parts if len(one[0])), key=lambda one: int(one[0].starts[0])):
            ends = columns.starts + columns.lengths
            yield from stretch(file.read, at, int(columns.starts[0]))
            if mask.any():
                edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
                gap = b"" if len(columns) == 1 else file.read(int(ends[0]), int(columns.starts[1] - ends[0]))
                yield from joined(file.read, columns.starts[edges[::2]], ends[edges[1::2] - 1], gap)
            at = int(ends[-1])
        yield from stretch(file.read, at, file.size)

    def write(self, path: str | os.PathLike[str]) -> int:
        """Write it to a file on disk, which is made or replaced; returns its size in bytes."""
        with Path(path).open("wb", buffering=BLOCK) as out:
            return sum(map(out.write, self.chunks()))


class _Image(msgspec.Struct, gc=False):
    id: Int64 | None = None
    width: Int64 | None = None
    height: Int64 | None = None
    license: Int64 | None = None
    file_name: str | None = None
    coco_url: str | None = None
    flickr_url: str | None = None


class _Annotation(msgspec.Struct, gc=False):
    id: Int64 | None = None
    image_id: Int64 | None = None
    category_id: Int64 | None = None


_KINDS: dict[str, Any] = {"images": _Image, "annotations": _Annotation, "categories": Category, "licenses": License}
#: The keys that become columns of numbers, and those that become the names of images.
_NUMBERS = {"images": ("id", "width", "height", "license"), "annotations": ("id", "image_id", "category_id")}
_TEXTS = ("file_name", "coco_url", "flickr_url")
#: Keys that no record depends on: what they say counts as not said where it is of another type.
_FREE = {"license": int, "supercategory": str}
_DECODERS = {key: msgspec.json.Decoder(list[kind]) for key, kind in _KINDS.items()}  # type: ignore[valid-type]
#: Records of any types: decoders that pass by what the index does not need.
_LOOSE: dict[str, msgspec.json.Decoder[Any]] = {
    key: msgspec.json.Decoder(msgspec.defstruct(key, [(name, Any, None) for name in kind.__annotations__]))
    for key, kind in _KINDS.items()
}


def index(file: JsonFile, broken: _Broken = None, listen: _Listener = None) -> Index:
    """Read a COCO JSON file once, and tell what it holds and where; `listen` hears of every part of it meanwhile.

    With `broken`, images and annotations that cannot be read are no WrongContent: they are added there, as the list,
    their number in it, and what is wrong, and all that they say is MISSING.

    WrongContent when it is no JSON, no object with `images`, or when a record has something else than a number or a
    text where the index needs one, or a file name that is too long to be; ids that are floats without a fraction count
    as whole numbers. Licenses are taken as they are; a license of an image or a supercategory may be anything.
    """
    return ended(indexing(file, file.chunks(), broken, listen))


def indexing(
    file: JsonFile, chunks: Iterable[bytes], broken: _Broken = None, listen: _Listener = None
) -> Generator[None, None, Index]:
    """`index` in steps, of a file's bytes that somebody else reads too."""
    building = _Building(file, broken)
    try:
        for event in scan(chunks, _DECODERS):
            building.take(event)
            yield listen(event) if listen else None
    except Malformed as wrong:
        where = f"line {wrong.line}, column {wrong.column}, byte {wrong.offset}"
        raise WrongContent(f"{file.name}: {wrong.message} ({where})", hint=_HINT) from None
    return building.index()


class _Building:
    """An index while it is made."""

    def __init__(self, file: JsonFile, broken: _Broken) -> None:
        self.file, self.broken = file, broken
        self.keys: dict[str, None] = {}
        self.others: dict[str, Any] = {}
        self.tables: dict[str, list[Any]] = {"categories": [], "licenses": []}
        self.columns: dict[str, list[Ints]] = {"images": [], "annotations": []}
        self.names: list[tuple[str | None, str | None, str | None]] = []

    def take(self, event: Opened | Closed | Records | Value) -> None:
        if isinstance(event, Opened | Value):
            alone = isinstance(event, Opened) and event.whole
            if event.key in self.keys or alone:
                what = "a list, not an object with images" if alone else f"{event.key!r} stands there twice"
                raise WrongContent(f"{self.file.name}: {what}", hint=_HINT)
            self.keys[event.key] = None
        if isinstance(event, Value):
            if event.key in _KINDS:
                raise WrongContent(f"{self.file.name}: {event.key!r} is no list", hint=_HINT)
            try:
                self.others[event.key] = event.decoded()
            except (ValueError, RecursionError):
                raise WrongContent(f"{self.file.name}: the value of {event.key!r} is no JSON", hint=_HINT) from None
        elif isinstance(event, Records) and event.key in _KINDS:
            rows = event.rows if event.rows is not None else list(self._one_by_one(event))
            if event.key in self.tables:
                self.tables[event.key] += rows
            else:
                self._columns(event, rows)
        elif isinstance(event, Records) and event.rows is None:
            raise WrongContent(f"{self.file.name}: an element of {event.key!r} is no JSON", hint=_HINT)

    def _columns(self, event: Records, rows: list[Any]) -> None:
        if event.key == "images":
            self.names += self._texts(rows)
        table = [_numbers(rows, name) for name in _NUMBERS[event.key]]
        starts, lengths = event.spans()
        positions = event.positions(starts) if event.key == "images" else ()
        self.columns[event.key].append(np.column_stack([*table, starts, lengths, *positions]))

    def _texts(self, rows: list[_Image]) -> list[tuple[str | None, str | None, str | None]]:
        texts = list(map(attrgetter(*_TEXTS), rows))
        if max(map(len, filter(None, chain.from_iterable(texts))), default=0) <= LONGEST_NAME:
            return texts
        for row in rows:
            if row.file_name and len(row.file_name) > LONGEST_NAME:
                why = f"the file name of image {row.id} has more than {LONGEST_NAME:,} characters"
                raise WrongContent(f"{self.file.name}: {why}", hint=_HINT)
        short = [[None if text and len(text) > LONGEST_NAME else text for text in urls] for _, *urls in texts]
        return [(name, coco, flickr) for (name, *_), (coco, flickr) in zip(texts, short, strict=True)]

    def _one_by_one(self, event: Records) -> Iterator[Any]:
        """The records of a run of which some are not of the type that they should be."""
        kind = _KINDS[event.key]
        for number, (offset, data) in enumerate(event.elements(), event.first):
            try:
                if event.key == "licenses":
                    yield from _license(data)
                else:
                    found = _LOOSE[event.key].decode(data)
                    values = msgspec.structs.asdict(found).items()
                    yield msgspec.convert({name: _meant(name, value) for name, value in values}, kind)
            except (ValueError, RecursionError) as problem:
                why = f"{self.file.name}: /{event.key}/{number} at byte {offset}: {str(problem).replace(*_HALF)}"
                if self.broken is None or event.key not in self.columns:
                    raise WrongContent(why, hint=_HINT) from None
                self.broken.append((event.key, number, WrongContent(why, hint=_HINT)))
                yield kind()

    def index(self) -> Index:
        if "images" not in self.keys:
            raise WrongContent(f"{self.file.name}: there is no list of images in it", hint=_HINT)
        ids, widths, heights, licenses, *where = _joined(self.columns["images"], 8)
        names, coco, flickr = zip(*self.names, strict=True) if self.names else ((), (), ())
        images = Images(ids, widths, heights, licenses, names, coco, flickr, *where)
        annotations = Annotations(*_joined(self.columns["annotations"], 5))
        categories, known = tuple(self.tables["categories"]), tuple(self.tables["licenses"])
        return Index(self.file, images, annotations, categories, known, tuple(self.keys), self.others)


def _numbers(rows: list[Any], name: str) -> Ints:
    """A column; MISSING where a record says nothing, or null."""
    try:
        return np.fromiter(map(attrgetter(name), rows), np.int64, len(rows))
    except TypeError:
        values = map(attrgetter(name), rows)
        return np.fromiter((MISSING if one is None else one for one in values), np.int64, len(rows))


def _joined(tables: list[Ints], columns: int) -> list[Ints]:
    whole = np.concatenate(tables) if tables else np.empty((0, columns), np.int64)
    return [np.ascontiguousarray(column) for column in whole.T]


def _license(data: bytes) -> Iterator[License]:
    """A license as far as it is one; ValueError for what is no JSON. Nothing can point to one without an id."""
    try:
        found = _LOOSE["licenses"].decode(data)
        texts = (one if isinstance(one, str) else None for one in (found.name, found.url))
        yield License(msgspec.convert(_meant("id", found.id), Int64), *texts)
    except msgspec.ValidationError:
        return


def _meant(key: str, value: Any) -> Any:
    """A float without a fraction as the number that it is: some tools write large ids so. None for what is `_FREE`."""
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return value if type(value) is _FREE.get(key, type(value)) else None
