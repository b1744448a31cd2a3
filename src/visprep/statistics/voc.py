"""Datasets of Pascal VOC in numbers: their XML files and sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from visprep.errors import StoreError
from visprep.formats import voc_place
from visprep.formats.directories import part_of
from visprep.formats.voc import VocAnnotation
from visprep.formats.voc_place import VocPlace, VocRecord
from visprep.formats.xml_tree import NotXml
from visprep.looking import Looking
from visprep.render.text import counted
from visprep.statistics import SplitStats
from visprep.statistics.boxes import BoxCounts, Objects
from visprep.statistics.counted import Counted
from visprep.statistics.histograms import sound
from visprep.stores import Store


def count(look: Looking) -> Counted:
    """The dataset at a place: its objects by class, and the images of each set of ImageSets/Main."""
    place = VocPlace(look.store, look.listing)
    members = _members(place)
    annotated = [one for one in place.records if one.annotation]
    counts, sizes, unread = BoxCounts(), [], 0
    each = look.rounds.each("Reading annotations", annotated, lambda one: _read(look.store, one), "files")
    for record, annotation in zip(annotated, each, strict=True):
        if annotation is None:
            unread += 1
            continue
        sizes += [annotation.size] if annotation.size else []
        counts.add(_objects(annotation), members.get(record.key, ()))
    pictures = [file for one in place.records for file in one.images]
    return Counted(
        "images",
        len(place.records),
        sorted(pictures, key=lambda file: file.sort_key),
        absent=sum(not one.images for one in place.records),
        annotations=counts.annotations,
        empty=counts.empty,
        splits=_splits(place.records, members, counts),
        classes=counts.classes(),
        histograms=list(counts.histograms("width times height")),
        sizes=sound(sizes),
        notes=[f"not counted: {counted(unread, 'annotation file')} that cannot be read"] if unread else [],
    )


def _members(place: VocPlace) -> Mapping[str, Sequence[str]]:
    """The sets that each record is in, by its key; those of one class (`cat_train`) say the same again."""
    found: dict[str, list[str]] = {}
    sets = list(place.sets())
    several = len({one.root for one in sets}) > 1
    for one in sets:
        if one.kind == "Main" and one.name == one.part:
            name = f"{one.root}/{one.name}" if several else one.name
            for member in one.members:
                found.setdefault(f"{one.root}/{member.stem}".lstrip("/"), []).append(name)
    if not found:
        found = {one.key: [part] for one in place.records if (part := part_of(one.key))}
    return found


def _splits(records: Sequence[VocRecord], members: Mapping[str, Sequence[str]], counts: BoxCounts) -> list[SplitStats]:
    sizes: dict[str, int] = {}
    for one in records:
        for name in members.get(one.key, ()):
            sizes[name] = sizes.get(name, 0) + 1
    return [counts.split(name, sizes[name]) for name in sorted(sizes)]


async def _read(store: Store, record: VocRecord) -> VocAnnotation | None:
    assert record.annotation is not None
    try:
        return (await voc_place.read_annotation(store, record.annotation))[0]
    except (NotXml, StoreError):
        return None


def _objects(annotation: VocAnnotation) -> Objects:
    boxes = [one.box for one in annotation.objects if one.box]
    # VOC counts the last pixel in
    areas = tuple(max(x2 - x1 + 1, 0) * max(y2 - y1 + 1, 0) for x1, y1, x2, y2 in boxes)
    width, height = annotation.size or (0, 0)
    shares = tuple(area / (width * height) for area in areas) if width > 0 and height > 0 else ()
    return Objects(tuple(one.name for one in annotation.objects), shares, areas)
