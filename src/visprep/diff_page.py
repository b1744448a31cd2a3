"""Differences as a page of HTML: pictures with what came, went and moved drawn on them, and all of it as a list."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from visprep import page
from visprep.coco_file import is_one
from visprep.differences import (
    AnnotationDifference,
    Box,
    Difference,
    FileDifference,
    ImageDifference,
    PromptDifference,
    RecordDifference,
    TaskDifference,
)
from visprep.differences.counting import Counts
from visprep.differences.words import line
from visprep.errors import StoreError
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import image_root, joined
from visprep.formats.tasks import FINAL_FRAME, FIRST_FRAME, PROMPT
from visprep.image_loading import IMAGE_BYTES
from visprep.manifest import File
from visprep.page.payload import (
    Code,
    Fact,
    FindingRow,
    FindingsSummary,
    Item,
    Payload,
    Picture,
    Shape,
    Table,
    Text,
    box,
)
from visprep.progress import unheard
from visprep.recordsets.coco_files import home_of
from visprep.render.text import printable, shortened
from visprep.reporting import Size
from visprep.reporting.pictures import Thumbnail, addresses, thumbnail
from visprep.reporting.reading import Wish, read_all
from visprep.settings import S3Settings
from visprep.stores import Store, data_files, open_store

#: Images or tasks with one sort of difference that are shown, shapes on one of them, and lines of the list.
_OF_EACH, _SHAPES, _LINES = 60, 300, 1_000
#: Characters of a line of the list.
_LONGEST = 1_000
#: Characters that the pictures may have together.
_ROOM = 12_000_000
#: Where a picture is: the number of the side, and its path there.
_At = tuple[int, str]


@dataclass
class _Record:
    """An image or a task of which something is shown; `path` is its annotation file, or its directory."""

    name: str
    path: str
    told: list[RecordDifference] = field(default_factory=list)

    @property
    def is_task(self) -> bool:
        return isinstance(self.told[0], TaskDifference | PromptDifference)


@dataclass
class _Collected:
    """What is shown of the differences that came by."""

    records: dict[tuple[str, str], _Record] = field(default_factory=dict)
    lines: list[tuple[Difference, tuple[str, str] | None]] = field(default_factory=list)
    total: int = 0
    keys: set[int] = field(default_factory=set)
    changes: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    _of_sort: dict[str, int] = field(default_factory=dict)

    def take(self, one: Difference) -> None:
        self.total += 1
        self.changes[one.change] = self.changes.get(one.change, 0) + 1
        self.kinds[one.kind] = self.kinds.get(one.kind, 0) + 1
        key = _key(one)
        if key is not None:
            self.keys.add(hash(key))
        if key is not None and not isinstance(one, FileDifference) and self._chosen(key, one):
            record = self.records.setdefault(key, _Record(key[1] or ".", key[0]))
            if len(record.told) < _SHAPES:
                record.told.append(one)
        if len(self.lines) < _LINES:
            self.lines.append((one, key))

    def _chosen(self, key: tuple[str, str], one: RecordDifference) -> bool:
        """Whether a record is shown: it is already, or there are few of the sort."""
        if key in self.records:
            return True
        what = one.what if isinstance(one, AnnotationDifference) else ()
        sort = f"{one.kind} {one.change} {' '.join(what)}"
        self._of_sort[sort] = self._of_sort.get(sort, 0) + 1
        return self._of_sort[sort] <= _OF_EACH


def as_html(
    differences: Iterable[Difference], counts: Counts, a: str, b: str, s3: S3Settings | None = None
) -> Iterator[str]:
    """The pieces of a page; `counts` counts what comes by. Pictures are read of the records that are shown."""
    collected = _Collected()
    for one in differences:
        counts.take(one)
        collected.take(one)
    records = sorted(collected.records.values(), key=lambda one: (one.path, one.name))
    sides = _Side.of(a, s3), _Side.of(b, s3)
    items = tuple(_items(records, sides))
    numbers = {(record.path, record.name): at for at, record in enumerate(records)}
    rows = tuple(_row(one, numbers.get((key[0], key[1] or ".")) if key else None) for one, key in collected.lines)
    note = f"the first {len(rows):,} of {collected.total:,}" if collected.total > len(rows) else ""
    table = tuple(
        (what, f"{gone:,}", f"{come:,}", f"{other:,}", said) for what, gone, come, other, said in counts.rows()
    )
    codes = tuple(Code(kind, "", count) for kind, count in collected.kinds.items())
    payload = Payload(
        title="Differences",
        place=f"{a} and {b}",
        kind="diff",
        facts=(Fact("A", a), Fact("B", b)),
        tables=(Table("Numbers", ("", "removed", "added", "changed", ""), table),),
        findings=FindingsSummary(dict(sorted(collected.changes.items())), rows, note, codes),
        items=items,
        total=len(collected.keys),
        how=f"up to {_OF_EACH} with each sort of difference." if len(items) < len(collected.keys) else "",
        summary="; ".join(counts.sentences()) if counts.any else "No differences.",
        titles={
            "findings": "Differences",
            "finding": "Change",
            "message": "What differs",
            "items": "Images and tasks",
            "group": "File",
        },
    )
    yield from page.render(payload)


def _key(one: Difference) -> tuple[str, str] | None:
    """The record that a difference is shown with: its file or directory, and its name."""
    match one:
        case ImageDifference() | AnnotationDifference():
            return (one.path, one.image) if one.image else None
        case TaskDifference():
            return one.path, one.path
        case PromptDifference():
            home = one.path.removesuffix(PROMPT).rstrip("/")
            return home, home
        case _:
            return None


def _row(one: Difference, item: int | None) -> FindingRow:
    told = one.path if isinstance(one, FileDifference) else line(one)
    return FindingRow(one.kind, one.change, one.path, shortened(printable(told), _LONGEST), item=item)


@dataclass
class _Side:
    """Where the pictures of one side are."""

    store: Store
    files: frozenset[str]
    document: str | None
    _roots: dict[str, str | None] = field(default_factory=dict)
    _sizes: dict[str, Mapping[str, Size]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: str, s3: S3Settings | None) -> _Side:
        """A place, or what lies around an annotation file."""
        if is_one(given):
            home, path, _ = home_of(given, s3)
            return cls(home.store, frozenset(home.listing), path)
        store = open_store(given, s3)
        return cls(store, frozenset(file.path for file in data_files(store)), None)

    def sizes(self, path: str) -> Mapping[str, Size]:
        """The width and height of images as their annotation file says them, by name; nothing without that file."""
        path = self.document or path
        if path not in self._sizes:
            self._sizes[path] = {}
            with contextlib.suppress(StoreError):
                images = coco_json.index(JsonFile(self.store, path), []).images
                told = zip(images.file_names, images.widths.tolist(), images.heights.tolist(), strict=True)
                self._sizes[path] = {name: (width, height) for name, width, height in told if name}
        return self._sizes[path]

    def picture(self, path: str, name: str, names: Sequence[str]) -> str | None:
        """The path of an image; `names` are those that are shown of its annotation file."""
        path = self.document or path
        if path not in self._roots:
            self._roots[path] = image_root(path, names, self.files)
        root = self._roots[path]
        found = None if root is None or "://" in name else joined(root, name)
        return found if found in self.files else None


def _items(records: Sequence[_Record], sides: tuple[_Side, _Side]) -> Iterator[Item]:
    names: dict[str, list[str]] = {}
    for record in records:
        names.setdefault(record.path, []).append(record.name)
    wanted: list[list[tuple[str, int, str]]] = []
    for record in records:
        wanted.append(list(_wanted_task(record, sides) if record.is_task else _wanted(record, sides, names)))
    asked = list(dict.fromkeys((side, path) for some in wanted for _, side, path in some))
    thumbnails = _thumbnails(dict.fromkeys(asked), sides)
    thumbnails |= _thumbnails(_stated(records, wanted, sides, thumbnails), sides)
    sources = dict(zip(thumbnails, addresses(list(thumbnails.values()), _ROOM), strict=True))
    for record, some in zip(records, wanted, strict=True):
        pictures = []
        for label, side, path in some:
            small = thumbnails[side, path]
            width, height = small.size or _extent(record)
            pictures.append(Picture(label, sources[side, path], width, height, small.note))
        if not pictures and not record.is_task:
            pictures.append(Picture("", "", *_extent(record), "the image is not in the place"))
        yield _item(record, tuple(pictures))


def _thumbnails(stated: Mapping[_At, Size | None], sides: tuple[_Side, _Side]) -> dict[_At, Thumbnail]:
    """The pictures at some paths, as large as annotations say that they are, where that is known."""
    wishes = [
        Wish(sides[side].store, File(path), IMAGE_BYTES, partial(thumbnail, stated=size))
        for (side, path), size in stated.items()
    ]
    found = dict(read_all(wishes, None, unheard, "Reading what is shown"))
    return {key: _seen(found[number]) for number, key in enumerate(stated)}


def _stated(
    records: Sequence[_Record],
    wanted: Sequence[Sequence[tuple[str, int, str]]],
    sides: tuple[_Side, _Side],
    thumbnails: Mapping[_At, Thumbnail],
) -> dict[_At, Size | None]:
    """How large the annotations say that images are which EXIF turned: boxes are of the image as it is said to be."""
    found: dict[_At, Size | None] = {}
    for record, some in zip(records, wanted, strict=True):
        for _, side, path in some:
            if thumbnails[side, path].turned and not record.is_task:
                sizes = (one.sizes(record.path).get(record.name) for one in (sides[side], sides[1 - side]))
                found.setdefault((side, path), next(filter(None, sizes), None))
    return found


def _seen(outcome: Thumbnail | StoreError) -> Thumbnail:
    return Thumbnail(note=outcome.message) if isinstance(outcome, StoreError) else outcome


def _wanted(
    record: _Record, sides: tuple[_Side, _Side], names: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, int, str]]:
    """The picture of an image: in B if it is there, since most is drawn where it is now, else in A."""
    for number in (1, 0):
        if path := sides[number].picture(record.path, record.name, names[record.path]):
            yield "", number, path
            return


def _wanted_task(record: _Record, sides: tuple[_Side, _Side]) -> Iterator[tuple[str, int, str]]:
    """The frames of a task on both sides; one that is the same on both is there once."""
    files = {name for one in record.told if isinstance(one, TaskDifference) for name in one.files}
    for name, words in ((FIRST_FRAME, "First frame"), (FINAL_FRAME, "Final frame")):
        path = joined(record.path, name)
        there = [number for number in (0, 1) if path in sides[number].files]
        for number in there if name in files else there[-1:]:
            yield f"{words} in {'AB'[number]}" if name in files else words, number, path


def _item(record: _Record, pictures: tuple[Picture, ...]) -> Item:
    shapes: list[Shape] = []
    texts: list[Text] = []
    tags: dict[str, None] = {}
    for one in record.told:
        if isinstance(one, AnnotationDifference):
            tags.update(dict.fromkeys(one.what or (one.change,)))
            shapes += _shapes(one)
            if one.fields or not (one.box_a or one.box_b):
                texts.append(Text("annotation", printable(line(one))))
        elif isinstance(one, PromptDifference):
            texts += [Text("Prompt in A", one.a or "none"), Text("Prompt in B", one.b or "none")]
            tags["prompt"] = None
        else:
            tags[f"{one.kind} {one.change}"] = None
            texts.append(Text(one.kind, printable(line(one))))
    kind = "task" if record.is_task else "image"
    group = record.path.rpartition("/")[0] if record.is_task else record.path
    return Item(record.name, group, kind, pictures, tuple(shapes), tuple(texts), tuple(tags))  # type: ignore[arg-type]


def _shapes(one: AnnotationDifference) -> Iterator[Shape]:
    """What is drawn of an annotation: where it was, and where it is."""
    label = (one.class_b if one.class_b is not None else one.class_a) or ""
    if "class" in one.what:
        label = printable(f"{one.class_a} -> {one.class_b}")  # what turns the writing would turn the arrow
    told = one.id_a if one.id_a is not None else one.id_b
    id = "" if told is None else f"id {told}"
    overlap = "" if one.iou is None else f"IoU {one.iou:.2f}"
    if one.change == "changed":
        moved = "moved" in one.what
        if one.box_a and moved:
            yield box(0, *one.box_a, label, state="was", detail=id)
        if one.box_b:
            detail = ", ".join(said for said in (id, overlap if moved else "") if said)
            yield box(0, *one.box_b, label, state="moved" if moved else "changed", detail=detail)
    elif there := one.box_a or one.box_b:
        yield box(0, *there, label, state=one.change, detail=id)


def _extent(record: _Record) -> tuple[int, int]:
    """As large as all boxes need it, where nothing tells how large the image is."""
    told = [one for one in record.told if isinstance(one, AnnotationDifference)]
    boxes: list[Box] = [there for one in told for there in (one.box_a, one.box_b) if there]
    width = max((x + w for x, _, w, _ in boxes), default=320.0)
    height = max((y + h for _, y, _, h in boxes), default=240.0)
    return (math.ceil(min(max(width, 1), 1e6)), math.ceil(min(max(height, 1), 1e6)))
