"""What `leaks` compares: the parts of a split that anyone made, and by which pictures their records are recognized.

Parts are told by a split.json of ours, by annotation files of several splits, or by directories train/, val/, test/;
where several places are named, each is one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from visprep import wire
from visprep.annotation_files import AnnotationFile, Told
from visprep.coco_file import is_one
from visprep.crossings import Home, apart
from visprep.errors import FileMissing, PlaceMissing, UnknownContent, UsageError, VisprepError, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_json, coco_place, tasks
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import joined
from visprep.manifest import File
from visprep.recordsets import RecordSet, read_recordset
from visprep.recordsets.unfinished import unfinished_at
from visprep.render.text import counted
from visprep.rules.files import PLACE_INCOMPLETE
from visprep.rules.leaks import IMAGE_NOT_COMPARED, PART_NOT_COMPARED
from visprep.settings import S3Settings
from visprep.split_file import SPLIT, Split, load
from visprep.split_members import Matched
from visprep.split_names import Groups, Names, pictures_of
from visprep.stores import Store, is_record, open_store
from visprep.stores.local import LocalStore

#: What tells a split.json of ours from other files of that name.
_OURS = (b'"format_version"', b'"members"', b'"inputs"')
#: Kinds of records that are called like their picture.
_ONE_PICTURE = frozenset({"coco", "images"})
_ORDER = {"train": 0, "val": 1, "valid": 1, "validation": 1, "dev": 1, "test": 2}


@dataclass(slots=True)
class Record:
    """A record of a part: `identity` is the same only of the same record, `value` is that of the field of its group.

    `path` is how it is told, `pictures` are those by which it is recognized, as far as they are there.
    """

    identity: str
    path: str
    pictures: list[tuple[Store, File]] = field(default_factory=list)
    value: str | None = None


@dataclass(slots=True)
class Part:
    """Records by key. Parts of different sides are compared, not those of different families; None is of every one."""

    name: str
    kind: str
    side: int = 0
    family: str | None = None
    records: dict[str, Record] = field(default_factory=dict)

    def apart(self, other: Part) -> bool:
        """Whether the two shall share nothing."""
        return apart(self.home, other.home)

    @property
    def home(self) -> Home:
        """Its family and its side."""
        return self.family, self.side


@dataclass(slots=True)
class Compared:
    """The parts to compare. `grouped_by` is the field of a split.json by which no group is in two parts.

    `faults` are the findings about pictures that are not there, and about what was not compared, and `unfinished` those
    about places.
    """

    parts: list[Part]
    grouped_by: str | None = None
    faults: list[Finding] = field(default_factory=list)
    unfinished: list[Finding] = field(default_factory=list)


def read(places: Sequence[str], against: str | None = None, s3: S3Settings | None = None) -> Compared:
    """The parts of one place; of several places each; with `against`, these on one side and that on the other.

    UsageError when there is nothing to compare; and what `read_recordset` raises.
    """
    named = [*places, *([] if against is None else [against])]
    if twice := next((place for place in named if named.count(place) > 1), None):
        raise UsageError(f"{twice}: it is named twice", hint="name two places")
    if len(named) == 1:
        return _parts(named[0], s3)
    found = Compared([])
    for number, place in enumerate(named):
        one = _Reader(place, s3, alone=False).all()
        side = number if against is None else int(number == len(places))
        part = Part(place, one.parts[0].kind if one.parts else "", side)
        for other in one.parts:
            part.records |= other.records
        found.parts.append(part)
        found.faults += one.faults
        found.unfinished += one.unfinished
    return found


def _parts(place: str, s3: S3Settings | None) -> Compared:
    found = _Reader(place, s3, alone=True).parts()
    found.parts.sort(key=lambda part: (_ORDER.get(part.name.rstrip("0123456789"), 3), part.family or ""))
    for side, part in enumerate(found.parts):
        part.side = side
    pairs = list(itertools.combinations(found.parts, 2))
    if not any(part.apart(other) for part, other in pairs):
        one = "parts of different years only" if pairs else "one part" if found.parts else "no parts"
        raise UsageError(
            f"{place}: it has {one}: no split.json, no annotation files of several splits, no directories train/, val/",
            hint=f"name a place for each part: visprep leaks {place} PLACE; or hold it against another one: "
            f"visprep leaks {place} --against PLACE",
        )
    for part, other in pairs:
        if not part.apart(other):
            words = f"it was not compared with {other.name}: they are of different years"
            found.faults.append(PART_NOT_COMPARED.at(part.name, words, parts=[part.name, other.name]))
    return found


class _Reader:
    """One place or JSON file; `alone`: no other was named, so paths are told relative to it."""

    def __init__(self, place: str, s3: S3Settings | None, *, alone: bool) -> None:
        self.place, self.s3, self.alone = place, s3, alone
        self.told = Told()
        self.faults: list[Finding] = []
        self._homes: dict[int, str] = {}
        self._places = [place]
        self._gone: defaultdict[int, list[tuple[Record, str]]] = defaultdict(list)

    def parts(self) -> Compared:
        """The place in parts."""
        if is_one(self.place):
            return self._compared([])
        store, listing = self._listing()
        if split := self._split(store, listing):
            return self._of_split(store, listing, split)
        if self._coco(store, listing):
            return self._compared(self._of_annotations(store, listing))
        return self._compared(self._of_directories(read_recordset([self.place], self.s3)))

    def all(self) -> Compared:
        """All records of the place, whatever part they are in."""
        if not is_one(self.place):
            store, listing = self._listing()
            if split := self._split(store, listing):
                return self._of_split(store, listing, split)
            if self._coco(store, listing):
                return self._compared(self._of_annotations(store, listing, every=True))
        records = read_recordset([self.place], self.s3)
        part = Part(self.place, records.kind)
        self._fill(records, lambda _: part)
        return self._compared([part])

    def _compared(self, parts: list[Part], grouped_by: str | None = None) -> Compared:
        for part in parts:
            gone = self._gone[id(part)]
            if 1 < len(gone) == len(part.records):  # one cause is told once
                self.faults.append(self._none(part))
                continue
            for record, why in gone:
                self.faults += self.told.at(part.name, IMAGE_NOT_COMPARED, record.path, why, part=part.name)
        begun = dict(filter(None, (unfinished_at(place, self.s3) for place in self._places)))
        unfinished = [PLACE_INCOMPLETE.at(place, f"{words} was begun and not ended") for place, words in begun.items()]
        return Compared(parts, grouped_by, [*self.faults, *self.told.rest()], unfinished)

    def _none(self, part: Part) -> Finding:
        """A part without any picture; where its file is one of a split, that knows where they are."""
        words = f"none of its {counted(len(part.records), 'image')} is there: only the names were compared"
        hint = f"bring the images to where {self.place} expects them"
        folder, name = os.path.split(self.place)
        if is_one(self.place):
            with contextlib.suppress(VisprepError):  # no split.json, or none of ours
                data = wire.wait(open_store(folder or ".", self.s3).read(SPLIT))
                if any(one.path == name for one in load(data, SPLIT).outputs):
                    hint = f"its split.json says where they are: {shlex.join(['visprep', 'leaks', folder or '.'])}"
        about = part.name if self.alone else self.place
        found = IMAGE_NOT_COMPARED.at(about, words, part=part.name, count=len(part.records))
        return replace(found, hint=hint)

    def _listing(self) -> tuple[Store, dict[str, File]]:
        store = open_store(self.place, self.s3)
        files = {file.path: file for file in store.list() if not is_record(file.path) and not file.path.endswith("/")}
        return store, files

    def _coco(self, store: Store, listing: Mapping[str, File]) -> bool:
        """Whether verify would take it for COCO: annotation files, and no tasks."""
        if not (files := coco_place.candidates(listing.values())):
            return False
        return not tasks.find(listing.values()).directories and coco_place.recognized(store, files)

    def _split(self, store: Store, listing: Mapping[str, File]) -> Split | None:
        """The split.json of the place, if it is one of ours."""
        if SPLIT not in listing:
            return None
        data = wire.wait(store.read(SPLIT))
        return load(data, f"{self.place}/{SPLIT}") if all(word in data for word in _OURS) else None

    def _shown(self, store: Store, path: str) -> str:
        """A path as it is told: below this place, else from where the command was typed, as the place was."""
        if (home := self._homes.get(id(store))) is None:
            home = "" if self.alone and store.place == self.place else store.place
            if home and isinstance(store, LocalStore) and not Path(self.place).is_absolute():
                near = os.path.relpath(home)
                home = home if near.startswith("..") else near.removeprefix(".")
            self._homes[id(store)] = home
        return joined(home, path)

    def _absent(self, part: Part, record: Record, why: str) -> None:
        self._gone[id(part)].append((record, why))

    # A place with a split.json

    def _of_split(self, store: Store, listing: Mapping[str, File], split: Split) -> Compared:
        parts = {part.name: Part(part.name, split.kind) for part in split.parts}
        group_by = split.group_by if self.alone else None  # nobody said that another place has none of its groups
        if split.how == "ids":
            self._listed(store, listing, split, parts)
        elif split.kind == "coco":
            for output in split.outputs:
                self._add(parts[output.part], store, listing, output.path, output.part)
        else:
            records = read_recordset([self.place], self.s3)
            self._fill(records, lambda number: parts.get(records.keys[number].partition("/")[0]), group_by)
        if split.how != "ids" and group_by:
            self._tell_groups(split, parts.values())
        self._tell_lacking(split, parts)
        return self._compared(list(parts.values()), group_by)

    def _tell_lacking(self, split: Split, parts: Mapping[str, Part]) -> None:
        """The members that no part has any more, as records without pictures."""
        words = f"{SPLIT} names it, and it is in no part"
        for name, key in Matched(split, {name: part.records for name, part in parts.items()}).nowhere():
            parts[name].records[key] = Record(f"{self.place} {key}", key)
            self.faults += self.told.at(name, IMAGE_NOT_COMPARED, key, words, part=name)

    def _listed(self, store: Store, listing: Mapping[str, File], split: Split, parts: Mapping[str, Part]) -> None:
        """The records that the outputs of a split list; their pictures are those of its inputs."""
        records = self._inputs(split)
        pictures = pictures_of(records)
        values = records.values(split.group_by) if split.group_by and self.alone else (None,) * len(records.keys)
        names = Names(records, pictures, split)
        home = " ".join(one.path for one in split.inputs)
        near = split.inputs[0].path if len(split.inputs) == 1 and split.kind != "coco" else ""
        for output in split.outputs:
            part = parts[output.part]
            for name in self._keys(store, listing, output.path):
                number = names.number(name, part.name)
                key = name if number is None else records.keys[number]
                if key in part.records:
                    continue
                part.records[key] = record = Record(f"{home} {key}", joined(near, key))
                if number is not None:
                    record.pictures, record.value = pictures[number], values[number]
                if record.pictures and split.kind in _ONE_PICTURE:
                    record.path = self._shown(record.pictures[0][0], record.pictures[0][1].path)
                elif not record.pictures:
                    self._absent(part, record, f"{output.path} names it, and it is not there")

    def _tell_groups(self, split: Split, parts: Iterable[Part]) -> None:
        """The values of what was linked or copied; its pictures are those that lie in the parts now."""
        try:
            groups = Groups(self._inputs(split), split)
        except (FileMissing, PlaceMissing, UnknownContent, UsageError):
            if split.kind == "coco":
                raise
            groups = Groups(None, split)  # records of their own directories tell it themselves, near enough
        for part in parts:
            for key, record in part.records.items():
                record.value = groups.value(record.pictures[0][1].path if record.pictures else key, record.value)

    def _inputs(self, split: Split) -> RecordSet:
        """What was split, where it was then."""
        paths = [one.path for one in split.inputs]
        self._places += paths
        try:
            records = read_recordset(paths, self.s3)
        except (FileMissing, PlaceMissing) as problem:
            raise type(problem)(
                f"{joined(self.place, SPLIT)} is of {', '.join(paths)}: {problem.message}",
                hint="run it where visprep split was run, or put back what was split",
            ) from None
        try:
            _ = records.keys
        except WrongContent:
            if not split.clean:
                raise
            records.clean()  # what was wrong was left out then, and the rest has keys only without it
        return records

    def _keys(self, store: Store, listing: Mapping[str, File], path: str) -> Iterable[str]:
        """The keys in an output of a split: those of the file itself, since that is what is trained on."""
        if path not in listing:
            raise FileMissing(f"{joined(self.place, path)}: split.json names it, and it is not there")
        if path.endswith(".txt"):
            return wire.wait(store.read(path)).decode("utf-8", "surrogateescape").splitlines()
        names = coco_json.index(JsonFile(store, path)).images.file_names
        return [name for name in names if name]

    # Annotation files

    def _of_annotations(self, store: Store, listing: Mapping[str, File], *, every: bool = False) -> list[Part]:
        """A part for each split that the names of annotation files tell; with `every`, of those that tell none too."""
        files = [file.path for file in coco_place.candidates(listing.values())]
        paths = [path for path in files if self._is_annotations(store, path)]
        parts: dict[tuple[str | None, str | None], Part] = {}
        for path in paths:
            split = coco_place.split_of(path)
            if coco_place.cleaned(path) in paths:
                continue
            if not (split.part or every):
                words = "its name tells no part: its records were compared with none"
                self.faults.append(PART_NOT_COMPARED.at(path, words))
                continue
            part = parts.setdefault((split.part, split.year), Part(split.name, "coco", family=split.year))
            if part.name != split.name and split.part:
                part.name = f"{split.part}{split.year or ''}"
            self._add(part, store, listing, path)
        return list(parts.values())

    def _is_annotations(self, store: Store, path: str) -> bool:
        begins = wire.wait(coco_place.beginning(store, path))
        return begins == "coco" or (begins is None and coco_place.usual(path))

    def _add(
        self, part: Part, store: Store, listing: Mapping[str, File], path: str, called_like: str | None = None
    ) -> None:
        """The images of an annotation file, by their paths in the place; see `coco_place.image_root`."""
        index = coco_json.index(JsonFile(store, path))
        names = index.images.file_names
        root = coco_place.image_root(path, names, listing, called_like)
        one = AnnotationFile(path, coco_place.split_of(path), index, root)
        here = name_of(store)
        for number, name in enumerate(names):
            id = int(index.images.ids[number])
            image = one.image(number)
            key = image or name or f"image {id}"
            if key in part.records:
                continue
            part.records[key] = record = Record(f"{here}/{key}", self._shown(store, key))
            if file := listing.get(image or ""):
                record.pictures.append((store, file))
            else:
                record.identity = f"{name}#{id}"
                self._absent(part, record, f"{path} names it, and it is not there")

    # Record sets

    def _of_directories(self, records: RecordSet) -> list[Part]:
        """A part for each directory train/, val/, test/."""
        found = records.parts
        parts = {name: Part(name, records.kind) for name in sorted({name for name in found if name is not None})}
        self._fill(records, lambda number: parts.get(found[number] or ""))
        return list(parts.values())

    def _fill(self, records: RecordSet, part_of: Callable[[int], Part | None], field: str | None = None) -> None:
        """Put each record into its part."""
        pictures = pictures_of(records)
        values = records.values(field) if field else None
        outside: Counter[str] = Counter()
        for number, key in enumerate(records.keys):
            if (part := part_of(number)) is None:
                home, below, _ = key.partition("/")
                outside[home if below else "."] += 1
                continue
            of_it = pictures[number]
            where = key if self.alone or is_one(self.place) else joined(self.place, key)
            record = Record(f"{self.place}/{key}", where, of_it, values[number] if values else None)
            if of_it and records.kind in _ONE_PICTURE:
                store, file = of_it[0]
                record.path, record.identity = self._shown(store, file.path), f"{name_of(store)}/{file.path}"
            elif not of_it:
                record.identity = key if records.kind == "coco" else record.identity
                self._absent(part, record, "no picture of it is there")
            part.records.setdefault(key or f"record {number}", record)
        for home, count in outside.items():
            words = f"{counted(count, 'record')} in no part, compared with none"
            self.faults.append(PART_NOT_COMPARED.at(home, words, records=count))


def name_of(store: Store) -> str:
    """What a place is called from anywhere."""
    return os.path.realpath(store.place) if isinstance(store, LocalStore) else store.place
