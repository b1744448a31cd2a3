"""Tasks as records: a directory each, which goes to a part as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import BadRecord, StoreError
from visprep.formats.directories import without_part
from visprep.formats.task_loading import TEXT_BYTES
from visprep.formats.tasks import DOMAIN_SUFFIX, FIRST_FRAME, LAYOUTS, METADATA, Found, TaskDirectory, json_object
from visprep.manifest import File
from visprep.own_record import read_dataset
from visprep.recordsets.directories import DirectoryRecords, Place, Record
from visprep.settings import S3Settings
from visprep.transfer import on_this_machine

#: Names of fields that are remembered, for who asked for one that there is not.
_NAMES = 10_000


class TaskRecords(DirectoryRecords):
    """The tasks of some places; besides domain and generator, what metadata.json says can be asked for."""

    def __init__(
        self,
        places: Sequence[Place],
        found: Sequence[tuple[Place, TaskDirectory]],
        s3: S3Settings | None = None,
        layout: str | None = None,
    ) -> None:
        self._given = layout
        self._domains = [one.domain for _, one in found]
        self._generators = [replace(one, path=without_part(one.path, one.path)).generator for _, one in found]
        self._names: set[str] = set()
        fields = {"domain": self._domains.__getitem__, "generator": self._generators.__getitem__}
        super().__init__("tasks", places, (_record(place, one) for place, one in found), fields, s3)

    def layout(self, place: Place) -> str:
        """The one that was asked for, else the one that the place was downloaded in."""
        if self._given is not None:
            return self._given
        try:
            dataset = read_dataset(place.store)
        except BadRecord:  # of somebody else
            dataset = None
        downloads = [one for one in (dataset.steps if dataset else ()) if one.command == "download"]
        told = {one.options["layout"] for one in downloads if one.options.get("layout") in LAYOUTS}
        return str(told.pop()) if len(told) == 1 else super().layout(place)

    def read_values(self, field: str) -> tuple[str | None, ...]:
        """What metadata.json says; None where there is none, it is no JSON, or it does not say."""
        values: list[str | None] = [None] * len(self.records)
        for number, metadata in self._metadata():
            found = _at(metadata, field)
            values[number] = None if found is None else found if isinstance(found, str) else _text(found)
            if found is None and len(self._names) < _NAMES:
                self._names.update(_names(metadata))
        return tuple(values)

    def field_names(self) -> Iterable[str]:
        """See `DirectoryRecords`."""
        return self._names

    def _metadata(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The metadata of every task that has some, with the number of the task."""
        having = [
            (number, one.place, file)
            for number, one in enumerate(self.records)
            for file in one.files
            if file.path == (f"{one.path}/{METADATA}" if one.path else METADATA)
        ]

        def read(one: tuple[int, Place, File]) -> tuple[int, dict[str, Any]] | None:
            try:
                return one[0], json_object(wire.wait(one[1].store.read(one[2].path, 0, TEXT_BYTES + 1)))
            except (StoreError, ValueError):
                return None

        async def reading(one: tuple[int, Place, File]) -> dict[str, Any]:
            try:
                return json_object(await one[1].store.read(one[2].path, 0, TEXT_BYTES + 1))
            except ValueError:
                return {}

        if all(on_this_machine(place.store) for place in self.places):
            yield from filter(None, map_ordered(read, having))
            return
        for number, outcome in wire.run(((one[0], reading(one)) for one in having), wire.IN_FLIGHT):
            if isinstance(outcome, dict):
                yield number, outcome
            elif not isinstance(outcome, StoreError):
                raise outcome


def read(places: Sequence[tuple[Place, Found]], s3: S3Settings | None = None, layout: str | None = None) -> TaskRecords:
    """The tasks that were found at some places."""
    found = [(place, one) for place, here in places for one in here.directories]
    return TaskRecords([place for place, _ in places], found, s3, layout)


def _record(place: Place, one: TaskDirectory) -> Record:
    home = f"{one.domain}{DOMAIN_SUFFIX}/" if one.domain is not None else ""
    # A place that is a domain, or a task, says by its own path what the paths below do not
    lead = "" if "/" in one.path else home if one.path else f"{home}{one.id}/"
    files = tuple(file for _, file in sorted(one.files.items()))
    seen = tuple(file for file in files if file.path == one.at(FIRST_FRAME))
    return Record(place, one.path or one.id or ".", one.domain, files, seen, one.path, lead)


def _at(metadata: Mapping[str, Any], field: str) -> Any:
    """What stands in a field; its name may have dots, or be that of a field within another."""
    if field in metadata:
        return metadata[field]
    first, dot, rest = field.partition(".")
    inside = metadata.get(first)
    return _at(inside, rest) if dot and isinstance(inside, dict) else None


def _names(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, value in metadata.items():
        if isinstance(value, dict):
            yield from _names(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
