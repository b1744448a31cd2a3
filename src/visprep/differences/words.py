"""A difference in words, one line each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from visprep.differences import (
    AnnotationDifference,
    Box,
    CategoryDifference,
    DocumentDifference,
    FieldChange,
    ImageDifference,
    NotCompared,
    PromptDifference,
    RecordDifference,
    RenumberedDifference,
    SplitDifference,
    TaskDifference,
)
from visprep.render.text import counted

#: What stands before a line.
MARKS = {"removed": "-", "added": "+"}
#: Characters of a value that are shown.
_LONGEST = 60


def mark(change: str) -> str:
    """`-` for what only A has, `+` for what only B has, `!` for what both have."""
    return MARKS.get(change, "!")


def line(one: RecordDifference) -> str:
    """What differs, without a mark and without the path of the file."""
    match one:
        case CategoryDifference():
            return f"class {one.name}{_numbered(one)}{_fields(one.fields)}"
        case ImageDifference():
            with_it = f", {counted(one.annotations, 'annotation')}" if one.annotations else ""
            name = "without a name" if one.image == "#None" else one.image
            return f"image {name}{_numbered(one)}{with_it}{_fields(one.fields)}"
        case AnnotationDifference():
            return _annotation(one)
        case RenumberedDifference():
            return f"other ids: {one.count:,} {'classes' if one.what == 'categories' else one.what}"
        case SplitDifference():
            return f"{one.record}: {one.a or 'in no part'} -> {one.b or 'in no part'}"
        case TaskDifference():
            return f"task {one.path or '.'}: {', '.join(one.files)}{_fields(one.fields)}"
        case PromptDifference():
            return f"prompt {one.path}: {_value(one.a)} -> {_value(one.b)}"
        case DocumentDifference():
            return f"header{_fields(one.fields)}"
        case NotCompared():
            return f"not compared by records: {one.why}"


def _annotation(one: AnnotationDifference) -> str:
    id = _either(one.id_a, one.id_b)
    told = " ".join(
        ["annotation", *([str(id)] if id is not None else []), f"of {one.image}" if one.image else "without an image"]
    )
    classes = list(dict.fromkeys(name for name in (one.class_a, one.class_b) if name is not None))
    if "class" in one.what:
        classes = [one.class_a or "no class", one.class_b or "no class"]
    said = [" -> ".join(classes[: 2 if "class" in one.what else 1])] if classes else []
    if "moved" in one.what:
        overlap = "" if one.iou is None else f" (IoU {one.iou:.2f})"
        said.append(f"moved {_box(one.box_a)} -> {_box(one.box_b)}{overlap}")
    elif not one.what and (box := one.box_a or one.box_b):
        said.append(_box(box))
    said += _changes(one.fields)
    return f"{told}: {', '.join(said)}" if said else told


def _numbered(one: CategoryDifference | ImageDifference) -> str:
    """The id behind a name; nothing where the record has none."""
    id = _either(one.id_a, one.id_b)
    return "" if id is None else f" ({id})"


def _fields(fields: Iterable[FieldChange]) -> str:
    told = ", ".join(_changes(fields))
    return f": {told}" if told else ""


def _changes(fields: Iterable[FieldChange]) -> list[str]:
    """Each field with its values where these are short; a long one is only named."""
    told = []
    for one in fields:
        values = _value(one.a), _value(one.b)
        short = all(len(value) <= _LONGEST for value in values) and (one.a, one.b) != (None, None)
        name = one.name or "the record"  # one that is no object, or cannot be read, has no fields
        told.append(f"{name} {values[0]} -> {values[1]}" if short else f"{name} differs")
    return told


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return json.dumps(value, ensure_ascii=False)


def _box(box: Box | None) -> str:
    return "no box" if box is None else f"[{', '.join(f'{one:.10g}' for one in box)}]"


def _either(a: int | None, b: int | None) -> int | None:
    return a if a is not None else b
