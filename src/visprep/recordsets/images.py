"""Plain images as records: each by itself, in directories that may be parts, or classes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from visprep.engines import Engine
from visprep.errors import UsageError
from visprep.formats.directories import set_aside, without_part
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.recordsets import Cleaning
from visprep.recordsets.directories import DirectoryRecords, Place, Record
from visprep.rules.image_files import is_image
from visprep.settings import S3Settings


class ImageRecords(DirectoryRecords):
    """The images of some places; nothing says what is wrong with such a place."""

    def clean(
        self, *, jobs: int | None = None, engine: Engine | None = None, progress: OnProgress = unheard
    ) -> Cleaning:
        """UsageError: verify does not know plain images."""
        raise UsageError("--clean: there are no rules for plain images", hint="leave it out")


def read(places: Sequence[tuple[Place, Iterable[File]]], s3: S3Settings | None = None) -> DirectoryRecords:
    """The images of some places, of which the listings are given; all else is passed over."""
    found: list[tuple[Place, File]] = []
    for place, listing in places:
        for file in listing:
            if is_image(file.path) and not set_aside(file.path):
                found.append((place, file))
    fields = {"directory": lambda number: found[number][1].path.rpartition("/")[0] or "."}
    records = (_record(place, file) for place, file in found)
    return ImageRecords("images", [place for place, _ in places], records, fields, s3)


def _record(place: Place, file: File) -> Record:
    label = without_part(file.path, file.path).rpartition("/")[0]
    return Record(place, file.path, label or None, (file,), (file,))
