"""What image records say in a field: the values by which records are grouped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from visprep.errors import UsageError, did_you_mean
from visprep.formats import coco_parts
from visprep.recordsets.coco_files import CocoFile

#: The field that no record needs to have: the directory of the file name.
DIRECTORY = "directory"
#: Records that are looked at for the names of fields, where one is asked for that there is not.
_LOOKED_AT = 100


def values(files: Sequence[CocoFile], count: int, field: str) -> tuple[str | None, ...]:
    """What each of `count` records says in a field, by the first file that tells; see `RecordSet.values`."""
    found: list[str | None] = [None] * count
    for file in files:
        for row, value in _said(file, field):
            number = int(file.record[row])
            if found[number] is None:
                found[number] = value
    if field == DIRECTORY and all(one is None for one in found):
        for file in files:
            for row in np.flatnonzero(file.images).tolist():
                name = file.file.index.images.file_names[row] or ""
                found[int(file.record[row])] = name.rpartition("/")[0] or None
    if all(one is None for one in found):
        there = sorted(_fields(files))
        raise UsageError(f"--group-by {field}: no image record has it", hint=did_you_mean(field, there))
    return tuple(found)


def _said(file: CocoFile, field: str) -> Iterator[tuple[int, str]]:
    top, *rest = field.split(".")
    names = dict.fromkeys((field, top))
    fields = [(f"field{number}", Any, None) for number in range(len(names))]
    renamed = {f"field{number}": name for number, name in enumerate(names)}
    row_type = msgspec.defstruct("Row", fields, rename=renamed, gc=False)
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row_type)
    images = file.file.index.images
    rows = np.flatnonzero(file.images)
    for numbers, data, base in coco_parts.runs(file.file.index.file, images, rows):
        starts, lengths = (images.starts[numbers] - base).tolist(), images.lengths[numbers].tolist()
        for number, start, length in zip(numbers.tolist(), starts, lengths, strict=True):
            row = decoder.decode(memoryview(data)[start : start + length])
            value = row.field0 if row.field0 is not None or not rest else _within(row.field1, rest)
            if value is not None:
                yield number, value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()


def _within(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _fields(files: Sequence[CocoFile]) -> set[str]:
    """The names of the fields that the first records have."""
    found = (
        {DIRECTORY}
        if any("/" in (name or "") for file in files for name in file.file.index.images.file_names)
        else set()
    )
    for file in files:
        for row in np.flatnonzero(file.images)[:_LOOKED_AT].tolist():
            record = file.file.index.record("images", row)
            found.update(record)
            found.update(
                f"{key}.{inner}" for key, value in record.items() if isinstance(value, dict) for inner in value
            )
    return found
