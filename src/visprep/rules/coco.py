"""The rules of COCO JSON: what may be wrong with one annotation file, whatever images lie beside it.

They stand in the files beside this one, by what they look at; here they are brought together, and a file is read. One
fault gives one finding: a check stays silent where another has already said what is the matter.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from visprep.findings import Finding
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_scan import Closed, Ints, Malformed, Opened, Records, Value, ended, scan
from visprep.rules import (
    Rule,
    coco_annotations,
    coco_boxes,
    coco_categories,
    coco_images,
    coco_keypoints,
    coco_masks,
    coco_panoptic,
    coco_text,
)
from visprep.rules.coco_annotations import Annotation, Annotations
from visprep.rules.coco_categories import CATEGORY_TYPE, LICENSE_FORM, Categories, Category, License, Licenses
from visprep.rules.coco_images import IMAGE_TYPE, Image, Images
from visprep.rules.coco_notes import Notes
from visprep.rules.coco_text import JSON_LIST_MISSING

__all__ = ["RULES", "Checked", "check"]

_ROOMS = (
    coco_annotations,
    coco_boxes,
    coco_categories,
    coco_images,
    coco_keypoints,
    coco_masks,
    coco_panoptic,
    coco_text,
)
#: Every kind of wrong that a COCO JSON file may have, by code.
RULES: tuple[Rule, ...] = tuple(sorted((rule for room in _ROOMS for rule in room.RULES), key=lambda rule: rule.code))

#: Key -> the type of its rows, the types of their members, and the rules that speak of other types there.
_TABLES: dict[str, tuple[type[Any], Mapping[str, Any], Rule, Mapping[str, Rule]]] = {
    "annotations": (
        Annotation,
        coco_annotations.FIELDS,
        coco_annotations.ANNOTATION_TYPE,
        coco_annotations.FORMS,
    ),
    "categories": (
        Category,
        coco_categories.CATEGORY_FIELDS,
        CATEGORY_TYPE,
        {"keypoints": coco_categories.CATEGORY_JOINTS, "skeleton": coco_categories.CATEGORY_JOINTS},
    ),
    "images": (Image, coco_images.FIELDS, IMAGE_TYPE, {}),
    "licenses": (License, coco_categories.LICENSE_FIELDS, LICENSE_FORM, {}),
}
_DECODERS = {key: msgspec.json.Decoder(list[kind]) for key, (kind, *_) in _TABLES.items()}  # type: ignore[valid-type]
#: Findings after which `coco_json.index` may refuse the file.
_UNREADABLE = frozenset({"annotation-type", "category-type", "image-type", "category-incomplete"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What looking at one file gave.

    `kind` is `instances`, `keypoints`, `captions`, `panoptic` or `images` (no annotations), by what most of its records
    are; `results` for a list, which is not looked into here; None when nothing can be told. `counts` are its `images`,
    `annotations` and `categories`; `keys` are those at its top, as far as it was read. Where `readable`,
    `coco_json.index` will take the file; else it may refuse.
    """

    findings: tuple[Finding, ...]
    kind: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    readable: bool = True
    keys: frozenset[str] = frozenset()


def check(file: JsonFile, path: str | None = None, notes: Notes | None = None) -> Checked:
    """Hold a file against the rules; findings name it `path`, its own name when left out, and are those of `notes`.

    Reads it once (images once more, where they come after their annotations), in bounded memory; whatever it holds,
    the answer is findings. What the store raises is raised.
    """
    return ended(checking(file, file.chunks(), path, notes))


def checking(
    file: JsonFile, chunks: Iterable[bytes], path: str | None = None, notes: Notes | None = None
) -> Generator[None, None, Checked]:
    """`check` in steps, of a file's bytes that somebody else reads too."""
    look = _Look(file, notes or Notes(file, path if path is not None else file.name))
    try:
        for event in scan(chunks, _DECODERS):
            look.take(event)
            yield
        look.finish()
    except Malformed as problem:
        coco_text.malformed(problem, look.notes)
    findings = tuple(look.notes.findings())
    wrong = any(one.code.startswith("json-") or one.code in _UNREADABLE for one in findings)
    readable = not (wrong or look.images.too_long)
    return Checked(findings, look.kind(), look.counts(), readable, frozenset(look.keys))


class _Look:
    """One look at one file."""

    def __init__(self, file: JsonFile, notes: Notes) -> None:
        self.file, self.notes = file, notes
        self.keys: dict[str, bool] = {}
        self.images, self.categories, self.licenses = Images(notes), Categories(notes), Licenses(notes)
        self.annotations: Annotations | None = None
        self.listed = False

    def take(self, event: Opened | Closed | Records | Value) -> None:
        """The next part of the file."""
        if isinstance(event, Records):
            self.notes.saw(event)
            if event.key in _TABLES:
                self._table(event)
            elif event.rows is None:
                coco_text.other_records(event, self.notes)
        elif isinstance(event, Opened | Value):
            if event.key in self.keys:
                coco_text.key_repeated(event.key, event.offset, self.notes)
            self.keys[event.key] = isinstance(event, Opened)
            self.listed = self.listed or (isinstance(event, Opened) and event.whole)
            if isinstance(event, Value):
                coco_text.value(event, event.key in _TABLES, self.notes)
            elif event.key == "annotations":
                self.annotations = self.annotations or Annotations(self.notes, *self._image_table())

    def _image_table(self) -> tuple[Ints | None, bool]:
        """What annotations need to know of the images, read ahead where these come later; and whether that is all."""
        if self.keys.get("images"):
            return self.images.table(), self.images.whole
        ahead = Images(Notes(self.file, ""))
        found = False
        try:
            for event in scan(self.file.chunks(), {"images": _DECODERS["images"]}):
                found = found or (isinstance(event, Opened) and event.key == "images")
                if isinstance(event, Records) and event.key == "images":
                    ahead.take(event.first, *_rows(event, Notes(self.file, "")))
        except Malformed:
            return None, False  # which will be said when it is come by
        return (ahead.table(), ahead.whole) if found else (None, True)

    def _table(self, records: Records) -> None:
        rows, passed = _rows(records, self.notes)
        marks: int | None = None
        if records.key == "annotations":
            assert self.annotations is not None
            marks = self.annotations.take(records.first, rows, passed)
        elif records.key == "images":
            self.images.take(records.first, rows, passed)
            marks = coco_images.quotes(rows)
        elif records.key == "categories":
            self.categories.take(records.first, rows, passed)
        else:
            self.licenses.take(records.first, rows, passed)
        coco_text.keys_once(records, marks, self.notes)

    def finish(self) -> None:
        """The file has been read to its end."""
        if self.listed:
            return
        self.images.finish(self.licenses.ids if self.keys.get("licenses") and self.licenses.whole else None)
        joints = self.categories.joints if self.keys.get("categories") and self.categories.whole else None
        wanted = self.annotations.finish(joints) if self.annotations else False
        missing = [key for key, needed in (("images", True), ("categories", wanted)) if needed and key not in self.keys]
        for key in missing:
            self.notes.add(JSON_LIST_MISSING, f"there is no {key!r} in the file", where={"pointer": "", "key": key})

    def kind(self) -> str | None:
        """See `Checked`."""
        if self.listed:
            return "results"
        if self.annotations and self.annotations.count:
            kinds = self.annotations.kinds
            return max(sorted(kinds), key=lambda kind: kinds[kind])
        return "images" if self.images.count else None

    def counts(self) -> dict[str, int]:
        """See `Checked`."""
        annotations = self.annotations.count if self.annotations else 0
        return {"images": self.images.count, "annotations": annotations, "categories": self.categories.count}


def _rows(records: Records, notes: Notes) -> tuple[list[Any], Mapping[int, frozenset[str]]]:
    if records.rows is not None:
        return records.rows, {}
    kind, fields, mistyped, forms = _TABLES[records.key]
    return coco_text.careful(records, fields, kind, {name: forms.get(name, mistyped) for name in fields}, notes)
