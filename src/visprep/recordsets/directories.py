"""Records that are files of a directory, zip file or prefix: their lists, and their files part by part."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visprep._verify import verify
from visprep.engines import Engine
from visprep.errors import UnsafePath, UsageError
from visprep.findings import Finding, Level
from visprep.formats.directories import part_of, without_part
from visprep.looking import parts_of
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.recordsets import HOW, Cleaning, Input, Ints, Mask, Origin, Output
from visprep.recordsets.unread import not_judged
from visprep.settings import S3Settings
from visprep.stores import Store

#: Where a line ends, for some who read the names line by line.
_ENDS = re.compile(r"[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Place:
    """What records are read from: as it was named, as a store, and its own path in parts, which may say something."""

    name: str
    store: Store
    parts: tuple[str, ...]

    @classmethod
    def of(cls, name: str, store: Store) -> Place:
        """A place by its name."""
        return cls(name, store, parts_of(name, store))


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its key, its class, if any, its files, and those among them by which it is recognized.

    `lead` is put before the paths of its files where a part is written: what the path of the place itself says of it.
    `path` is that of the directory that is all its own, None where it shares one.
    """

    place: Place
    key: str
    label: str | None
    files: tuple[File, ...]
    seen: tuple[File, ...]
    path: str | None = None
    lead: str = ""


class DirectoryRecords:
    """A `RecordSet` of such records; `fields` says what a record has in a field, for all that its path tells."""

    def __init__(
        self,
        kind: str,
        places: Sequence[Place],
        records: Iterable[Record],
        fields: Mapping[str, Callable[[int], str | None]],
        s3: S3Settings | None = None,
    ) -> None:
        self.kind, self.places, self.fields, self.s3 = kind, places, fields, s3
        self.records = tuple(records)
        self.keys = tuple(one.key for one in self.records)
        for key in self.keys:
            _check(key)
        self.classes = tuple(sorted({one.label for one in self.records if one.label is not None}))
        self.parts = tuple(part_of(one.key) for one in self.records)

    @property
    def names(self) -> tuple[str, ...]:
        """See `RecordSet`: the keys, whatever place they are from."""
        return self.keys

    @property
    def labels(self) -> Sequence[str]:
        """See `RecordSet`."""
        return [""] * len(self.records)

    @cached_property
    def having(self) -> Ints:
        """See `RecordSet`: a record has one class, or none."""
        numbers = {label: number for number, label in enumerate(self.classes)}
        pairs = [(at, numbers[one.label]) for at, one in enumerate(self.records) if one.label is not None]
        return np.array(pairs, np.int64).reshape(-1, 2)

    @cached_property
    def inputs(self) -> tuple[Input, ...]:
        """See `RecordSet`: the digest is that of the keys, sorted, a line each."""
        found = []
        for place in self.places:
            keys = sorted(one.key for one in self.records if one.place is place)
            total = hashlib.sha256()
            for key in keys:
                total.update(f"{key}\n".encode())
            found.append(Input(place.name, f"sha256:{total.hexdigest()}", len(keys), place.name))
        return tuple(found)

    def values(self, field: str) -> tuple[str | None, ...]:
        """See `RecordSet`."""
        told = self.fields.get(field)
        said = tuple(map(told, range(len(self.records)))) if told else self.read_values(field)
        values = tuple(one or None for one in said)
        if self.records and all(value is None for value in values):
            numbers = range(len(self.records))
            there = (name for name, says in self.fields.items() if any(says(at) is not None for at in numbers))
            names = sorted({*there, *self.field_names()})
            near = difflib.get_close_matches(field, names, 3) or names
            raise UsageError(f"--group-by {field}: no record has it", hint=f"there are: {', '.join(near[:20])}")
        return values

    def read_values(self, field: str) -> tuple[str | None, ...]:
        """What the files of each record say in a field that its path does not tell."""
        return (None,) * len(self.records)

    def field_names(self) -> Iterable[str]:
        """The fields that files of records have, as far as they were read."""
        return ()

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """See `RecordSet`."""
        for number, one in enumerate(self.records):
            for file in one.seen:
                yield number, one.place.store, file

    def empty(self) -> Mask:
        """See `RecordSet`."""
        return np.zeros(len(self.records), np.bool_)

    def origin(self, number: int) -> Origin:
        """See `RecordSet`."""
        return Origin(self.records[number].place.name)

    def lost(self, gone: Collection[int] = ()) -> Sequence[tuple[str, int | None, str]]:
        """See `RecordSet`: there are no annotations."""
        return ()

    def layout(self, place: Place) -> str:
        """The files that a record of a place must have, by name; it matters for tasks alone."""
        return "template"

    def clean(
        self, *, jobs: int | None = None, engine: Engine | None = None, progress: OnProgress = unheard
    ) -> Cleaning:
        """See `RecordSet`: what verify finds, which tells all there is of these kinds."""
        bad: dict[int, str] = {}
        blameless: list[Finding] = []
        for place in self.places:
            owners = self._owners(place)
            found = verify(
                place.name, as_=self.kind, layout=self.layout(place), engine=engine or "local", jobs=jobs, s3=self.s3,
                progress=progress,
            )  # fmt: skip
            for one in found.findings:
                if one.unread:  # which says nothing of the record
                    raise not_judged(one)
                if one.level is Level.ERROR:
                    number = _owner(one, owners)
                    if number is None:
                        blameless.append(one)
                    else:
                        bad.setdefault(number, one.code)
        return Cleaning(dict(sorted(bad.items())), (), tuple(blameless))

    def _owners(self, place: Place) -> dict[str, int]:
        """The record that a path belongs to: a file, the directory of a record, or its key."""
        owners: dict[str, int] = {}
        for number, one in enumerate(self.records):
            if one.place is place:
                owners.update((file.path, number) for file in one.files)
                owners[one.key] = number
                if one.path is not None:
                    owners[one.path or "."] = number
        return owners

    def outputs(self, members: Mapping[str, Mask], name: str | None, how: str) -> Iterator[Output]:
        """See `RecordSet`: a list of keys, or the files below a directory that is called like the part."""
        if how not in HOW:
            raise UsageError(f"--how {how}: it is ids, links or copies")
        for part, mask in members.items():
            numbers = np.flatnonzero(mask)
            if how == "ids":
                path = f"{name}_{part}.txt" if name else f"{part}.txt"
                yield Output(path, part, len(numbers), lambda numbers=numbers: self._lines(numbers))  # type: ignore[misc]
                continue
            for number in numbers:
                one = self.records[number]
                for file in one.files:
                    path = f"{part}/{one.lead}{without_part(file.path, one.key)}"
                    yield Output(path, part, 1, source=(one.place.store, file))

    def _lines(self, numbers: Ints) -> Iterator[bytes]:
        keys = sorted(self.keys[number] for number in numbers)
        for start in range(0, len(keys), 10_000):
            yield "".join(f"{key}\n" for key in keys[start : start + 10_000]).encode()


def _owner(finding: Finding, owners: Mapping[str, int]) -> int | None:
    """The number of the record that a finding is about."""
    for name in ("triplet", "episode"):
        if finding.where.get(name) in owners:
            return owners[finding.where[name]]
    path = finding.path
    while path:
        if path in owners:
            return owners[path]
        path = path.rpartition("/")[0]
    return owners.get(".")  # the place is itself a record


def _check(key: str) -> None:
    """UnsafePath for the name of a record that cannot stand in a list."""
    try:
        key.encode()
    except UnicodeEncodeError:
        raise UnsafePath(f"{key!r}: a name that is not UTF-8 cannot be listed", hint="rename it") from None
    if _ENDS.search(key):
        raise UnsafePath(f"{key!r}: a name with a line break cannot stand in a list of names", hint="rename it")
