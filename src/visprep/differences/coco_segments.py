"""Panoptic annotations: one for each image, whose segments are compared one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from visprep.differences import AnnotationDifference, fields_between
from visprep.differences.coco_side import APART, Document, box_of
from visprep.differences.matching import overlap

SEGMENTS = "segments_info"


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether both annotations have segments that differ, each with an id of its own."""
    return all(_by_id(one) is not None for one in (a, b)) and a[SEGMENTS] != b[SEGMENTS]


def differences(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    homes: tuple[Document, Document],
    image: str,
    other_names: Mapping[str, str],
) -> Iterator[AnnotationDifference]:
    """How the segments of two annotations differ: those of A in order, then those that only B has."""
    in_a, in_b = _by_id(a) or {}, _by_id(b) or {}
    names_a, names_b = ({one.id: one.name for one in home.index.categories} for home in homes)
    for id in dict.fromkeys((*in_a, *in_b)):
        one, other = in_a.get(id), in_b.get(id)
        class_a, class_b = _class(one, names_a), _class(other, names_b)
        box_a, box_b = (box_of(segment.get("bbox")) if segment else None for segment in (one, other))
        known = homes[0].path, image, id if one else None, id if other else None, class_a, class_b, box_a, box_b
        if one is None or other is None:
            yield AnnotationDifference("removed" if one else "added", *known)
            continue
        boxed = box_a is not None and box_b is not None
        fields = fields_between(one, other, APART if boxed else APART - {"bbox"})
        same = class_b == class_a or other_names.get(class_b or "") == class_a
        changed = ("moved", boxed and box_a != box_b), ("class", not same), ("fields", bool(fields))
        if what := tuple(word for word, holds in changed if holds):
            yield AnnotationDifference("changed", *known, overlap(box_a, box_b), what, fields)


def _class(segment: Mapping[str, Any] | None, names: Mapping[int, str]) -> str | None:
    number = segment.get("category_id") if segment else None
    if number is None:
        return None
    return names[number] if isinstance(number, int) and number in names else f"#{number}"


def _by_id(annotation: Mapping[str, Any]) -> dict[int, Mapping[str, Any]] | None:
    found: dict[int, Mapping[str, Any]] = {}
    segments = annotation.get(SEGMENTS)
    for one in segments if isinstance(segments, list) else [None]:
        if not isinstance(one, dict) or not isinstance(one.get("id"), int) or one["id"] in found:
            return None
        found[one["id"]] = one
    return found
