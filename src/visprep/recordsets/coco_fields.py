"""What image records say in a field: the values by which records are grouped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from visprep.errors import UsageError, WrongContent, did_you_mean
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
    """What each image record says that says something: its row, and the value as text."""
    top, *rest = field.split(".")
    said = _reader(field, top)
    images = file.file.index.images
    rows = np.flatnonzero(file.images)
    for numbers, data, base in coco_parts.runs(file.file.index.file, images, rows):
        starts, lengths = (images.starts[numbers] - base).tolist(), images.lengths[numbers].tolist()
        for number, start, length in zip(numbers.tolist(), starts, lengths, strict=True):
            try:
                own, outer = said(memoryview(data)[start : start + length])
                value = own if own is not None or not rest else _within(outer, rest)
                text = value if value is None or isinstance(value, str) else _as_text(value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
                file.file.index.file.check_same()
                why = f"/images/{number} at byte {int(images.starts[number])}: {problem}"
                raise WrongContent(f"{file.given}: {why}", hint="mend this record, or leave it out") from None
            if text:  # an empty text is how tables say nothing
                yield number, text


def _reader(*fields: str) -> Callable[[memoryview], tuple[Any, Any]]:
    """What a record says in the first field and in the last one, where these are members of it."""
    names = list(dict.fromkeys(fields))
    first, last = names[0], names[-1]
    if any(json.dumps(name, ensure_ascii=False) != f'"{name}"' for name in names):  # no key of a msgspec.Struct
        loose: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])

        def look(data: memoryview) -> tuple[Any, Any]:
            found = loose.decode(data)
            return found.get(first), found.get(last)

        return look
    members = [(f"field{number}", Any, None) for number in range(len(names))]
    renamed = {f"field{number}": name for number, name in enumerate(names)}
    quick: msgspec.json.Decoder[Any] = msgspec.json.Decoder(msgspec.defstruct("Row", members, rename=renamed, gc=False))
    both = attrgetter("field0", f"field{len(names) - 1}")
    return lambda data: both(quick.decode(data))


def _as_text(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


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
            try:
                record = file.file.index.record("images", row)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # they are names to propose, no more
                continue
            found.update(record)
            found.update(
                f"{key}.{inner}" for key, value in record.items() if isinstance(value, dict) for inner in value
            )
    return found
