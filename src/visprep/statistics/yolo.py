"""YOLO datasets in numbers: their labels, and the sizes of their images where these can be had without requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from visprep.errors import StoreError
from visprep.formats import yolo_place
from visprep.formats.yolo import Row
from visprep.formats.yolo_place import YoloPlace, YoloRecord, YoloSet
from visprep.image_sizes import sizes
from visprep.looking import Looking
from visprep.render.text import counted
from visprep.statistics.boxes import BoxCounts, Objects
from visprep.statistics.counted import Counted
from visprep.statistics.histograms import sound
from visprep.stores import Store


@dataclass(frozen=True, slots=True)
class _Labels:
    """The rows of one label: class numbers, and width and height of the boxes as shares of the image."""

    numbers: tuple[int, ...]
    sides: tuple[tuple[float, float], ...]


def count(look: Looking) -> Counted:
    """The dataset at a place; an image without a label file is in its split, and has no annotations."""
    place = YoloPlace(look.store, look.listing, look.place_name)
    found = sorted(place.records(), key=lambda one: one[0].image.sort_key)
    pictures = [record.image for record, _ in found]
    labeled = [(record, one) for record, one in found if record.label]
    known = _sizes(look, [record for record, _ in labeled]) if look.near else {}
    counts = BoxCounts()
    for known_set in place.sets:
        counts.know(known_set.data.names.values())
    counts.know(place.class_names or ())
    unread = 0
    each = look.rounds.each("Reading labels", labeled, lambda item: _labels(look.store, *item), "labels")
    for (record, one), labels in zip(labeled, each, strict=True):
        if labels is None:
            unread += 1
        else:
            names = _names(place, one)
            size = known.get(record.image.path)
            counts.add(_objects(labels, names, size), [record.part or ""])
    splits = Counter(record.part or "" for record, _ in found)
    return Counted(
        "images",
        len(found),
        pictures,
        absent=sum(1 for one_set in place.sets for _ in one_set.absent),
        annotations=counts.annotations,
        empty=counts.empty,
        splits=[counts.split(name, splits[name]) for name in splits] if set(splits) - {""} else [],
        classes=counts.classes(),
        histograms=list(counts.histograms("width times height")),
        sizes=sound(known.values()),
        known_from="headers",
        notes=[f"not counted: {counted(unread, 'label')} that cannot be read"] if unread else [],
    )


def _sizes(look: Looking, records: Iterable[YoloRecord]) -> Mapping[str, tuple[int, int]]:
    """Width and height of images on this machine, as far as they tell."""
    found = sizes(look.store, (record.image for record in records))
    return {file.path: size for file, size in found if not isinstance(size, str)}


async def _labels(store: Store, record: YoloRecord, one: YoloSet | None) -> _Labels | None:
    assert record.label is not None
    try:
        rows = await yolo_place.read_label(store, record.label, one.keypoints if one else None)
    except StoreError:
        return None
    sound_rows = [row for row in rows if isinstance(row, Row)]
    return _Labels(tuple(row.label for row in sound_rows), tuple(map(_sides, sound_rows)))


def _sides(row: Row) -> tuple[float, float]:
    if row.box:
        return row.box[2], row.box[3]
    xs, ys = row.polygon[::2], row.polygon[1::2]
    return (max(xs) - min(xs), max(ys) - min(ys)) if xs else (0.0, 0.0)


def _names(place: YoloPlace, one: YoloSet | None) -> Mapping[int, str]:
    return one.data.names if one else dict(enumerate(place.class_names or ()))


def _objects(labels: _Labels, names: Mapping[int, str], size: tuple[int, int] | None) -> Objects:
    shares = tuple(width * height for width, height in labels.sides)
    areas = tuple(share * size[0] * size[1] for share in shares) if size else ()
    return Objects(tuple(names.get(number, f"class {number}") for number in labels.numbers), shares, areas)
