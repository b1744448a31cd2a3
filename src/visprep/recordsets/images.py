"""Plain images as records: each by itself, in directories that may be parts, or classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from visprep.manifest import File
from visprep.recordsets.directories import DirectoryRecords, Place, Record, without_part
from visprep.rules.image_files import is_image
from visprep.settings import S3Settings


def read(places: Sequence[tuple[Place, Iterable[File]]], s3: S3Settings | None = None) -> DirectoryRecords:
    """The images of some places, of which the listings are given; all else is passed over."""
    found: list[tuple[Place, File]] = []
    strays: list[tuple[Place, File]] = []
    for place, listing in places:
        for file in listing:
            (found if is_image(file.path) else strays).append((place, file))
    fields = {"directory": lambda number: found[number][1].path.rpartition("/")[0] or "."}
    records = (_record(place, file) for place, file in found)
    return DirectoryRecords("images", [place for place, _ in places], records, fields, strays, s3)


def _record(place: Place, file: File) -> Record:
    label = without_part(file.path, file.path).rpartition("/")[0]
    return Record(place, file.path, label or None, (file,), (file,))
