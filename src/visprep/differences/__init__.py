"""How two places differ: what `visprep.diff` tells, first of their files, then of what these say of records.

Each difference says its `kind`, and a `change`. `a` is the first place and `b` the second. `path` is the file that it
is about, relative to the place; of annotation files that were compared under two names, the one in A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, get_args

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class FileDifference:
    """One path that differs: `change` is `removed` (only in A), `added` (only in B) or `changed`; sizes in bytes."""

    kind: ClassVar[str] = "file"
    change: str
    path: str
    size_a: int | None
    size_b: int | None


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What a field says on both sides; None where it is not there, or null."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class DocumentDifference:
    """What an annotation file says beside its records: `info`, `licenses`, lists that visprep does not know.

    Of such lists it is only told that they differ: their values are None.
    """

    kind: ClassVar[str] = "document"
    change: str
    path: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class CategoryDifference:
    """A class that is `removed`, `added` or `changed` (its name, or another field). `name` is that in A, if it is."""

    kind: ClassVar[str] = "category"
    change: str
    path: str
    name: str
    id_a: int | None
    id_b: int | None
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageDifference:
    """An image that is `removed`, `added` or `changed`. `image` is its name in A, if it is there.

    One that several annotation files name comes or goes once, with the first of these; `annotations` is how many of its
    annotations, in all of them, went or came with it: these are not told one by one.
    """

    kind: ClassVar[str] = "image"
    change: str
    path: str
    image: str
    id_a: int | None
    id_b: int | None
    annotations: int = 0
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class AnnotationDifference:
    """An annotation that is `removed`, `added` or `changed`, of an image that both sides have.

    `what` says how it changed: its box `moved`, its `class`, or other `fields`. Boxes are x, y, width and height in
    pixels, `iou` is how much they overlap (0 to 1); None where there is no box. Of a caption that came or went,
    `fields` has the text. Classes are named; one that has no name is `#` and its number.
    """

    kind: ClassVar[str] = "annotation"
    change: str
    path: str
    image: str
    id_a: int | None
    id_b: int | None
    class_a: str | None
    class_b: str | None
    box_a: Box | None
    box_b: Box | None
    iou: float | None = None
    what: tuple[str, ...] = ()
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class RenumberedDifference:
    """So many (`count`) of the `images`, `annotations` or `categories` have another id, and were found all the same."""

    kind: ClassVar[str] = "ids"
    change: str
    path: str
    what: str
    count: int


@dataclass(frozen=True, slots=True)
class SplitDifference:
    """A record that is in another part of the dataset (`moved`), or only on one side in any (`removed`, `added`).

    `path` is the split.json, or the annotation file in B that has the image now, the first of several.
    """

    kind: ClassVar[str] = "split"
    change: str
    path: str
    record: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """A task directory that is `removed`, `added` or `changed`.

    `files` are those in it that differ, by name, `fields` what its metadata.json says otherwise.
    """

    kind: ClassVar[str] = "task"
    change: str
    path: str
    files: tuple[str, ...]
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptDifference:
    """A task whose prompt says something else; None where there is no prompt, or none that can be read."""

    kind: ClassVar[str] = "prompt"
    change: str
    path: str
    a: str | None
    b: str | None


@dataclass(frozen=True, slots=True)
class NotCompared:
    """A file that differs, and whose records could not be compared."""

    kind: ClassVar[str] = "not-compared"
    change: str
    path: str
    why: str


RecordDifference = (
    DocumentDifference
    | CategoryDifference
    | ImageDifference
    | AnnotationDifference
    | RenumberedDifference
    | SplitDifference
    | TaskDifference
    | PromptDifference
    | NotCompared
)


#: The fields of each kind of record.
_NAMES = {one.kind: tuple(name.name for name in fields(one)) for one in get_args(RecordDifference)}

#: What `visprep.diff` tells.
Difference = FileDifference | RecordDifference


def plain(difference: RecordDifference) -> dict[str, Any]:
    """A difference as plain data, its kind first; what it holds is not copied, as `asdict` would: that takes long."""
    told: dict[str, Any] = {"kind": difference.kind}
    for name in _NAMES[difference.kind]:
        value = getattr(difference, name)
        told[name] = [_plain(part) for part in value] if name == "fields" else value
    return told


def _plain(change: FieldChange) -> dict[str, Any]:
    return {"name": change.name, "a": change.a, "b": change.b}


def fields_between(
    a: Mapping[str, Any], b: Mapping[str, Any], apart: frozenset[str] = frozenset()
) -> tuple[FieldChange, ...]:
    """The fields that say something else on both sides, but for those `apart`, in the order of A, then of B."""
    names = dict.fromkeys((*a, *b))
    return tuple(
        FieldChange(name, a.get(name), b.get(name))
        for name in names
        if name not in apart and a.get(name) != b.get(name)
    )
