"""Which records a place has to show, whatever its format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from visprep.errors import StoreError, UnknownContent, UsageError, WrongContent
from visprep.formats.voc_place import VocPlace
from visprep.formats.yolo_place import YoloPlace
from visprep.manifest import File
from visprep.recordsets import RecordSet, coco, images, read_recordset
from visprep.recordsets.coco import CocoRecords
from visprep.recordsets.directories import DirectoryRecords, Place
from visprep.reporting import Subject
from visprep.reporting.coco import CocoSubject
from visprep.reporting.directories import KINDS, DirectorySubject
from visprep.reporting.labels import LabeledSubject, VocLabels, YoloLabels
from visprep.settings import S3Settings
from visprep.stores import Store


@dataclass(frozen=True, slots=True)
class Records:
    """The records of a place and what can be shown of them; `why` says what of it could not be read."""

    set: RecordSet | None
    subject: Subject | None
    why: tuple[str, ...] = ()


def read_subject(
    place: str, store: Store, listing: Sequence[File], format: str | None, layout: str | None, s3: S3Settings | None
) -> Records:
    """The records of a place of that format, as verify names it: those that can be read.

    NetworkError, CredentialsError and UnknownContent are raised; what is wrong with the data is told in `why`.
    """
    unread: list[WrongContent] = []
    try:
        if format in ("yolo", "voc"):
            return _labeled(place, store, listing, format)
        found = _read(place, format, layout, s3, unread)
    except UnknownContent:
        raise
    except (StoreError, UsageError) as problem:
        return Records(None, None, (problem.message,))
    why = tuple(problem.message for problem in unread)
    if isinstance(found, CocoRecords):
        return Records(found, CocoSubject(found, place) if found.files else None, why)
    assert isinstance(found, DirectoryRecords)
    return Records(found, DirectorySubject(found, KINDS[found.kind]), why)


def _read(
    place: str, format: str | None, layout: str | None, s3: S3Settings | None, unread: list[WrongContent]
) -> RecordSet:
    if format in ("coco", "open-images"):
        try:
            return coco.read([place], s3, unread)
        except UnknownContent:
            if format == "coco":
                raise
    return read_recordset([place], s3, layout)


def _labeled(place: str, store: Store, listing: Sequence[File], format: str) -> Records:
    here = Place.of(place, store)
    labels = (
        YoloLabels(YoloPlace(store, listing, here.parts)) if format == "yolo" else VocLabels(VocPlace(store, listing))
    )
    shown = [file for file in listing if labels.shows(file.path)]
    found = images.read([(here, shown)])
    return Records(found, LabeledSubject(DirectorySubject(found, KINDS["images"]), store, labels))
