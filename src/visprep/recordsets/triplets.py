"""Triplets of virtual try-on as records: their three pictures go to a part together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from visprep.formats.directories import part_of, without_part
from visprep.formats.triplets import Triplet, find
from visprep.manifest import File
from visprep.recordsets.directories import DirectoryRecords, Place, Record
from visprep.settings import S3Settings


def read(places: Sequence[tuple[Place, Iterable[File]]], s3: S3Settings | None = None) -> DirectoryRecords:
    """The triplets of some places, of which the listings are given; one needs a picture that is named as such."""
    found: list[tuple[Place, Triplet]] = []
    for place, listing in places:
        here = find(listing, place.parts)
        found += ((place, one) for one in here if one.files)
    fields = {
        "directory": lambda number: found[number][1].directory or ".",
        "stem": lambda number: found[number][1].stem,
        "difficulty": lambda number: found[number][1].difficulty,
    }
    return DirectoryRecords("vton", [place for place, _ in places], (_record(*one) for one in found), fields, s3)


def _record(place: Place, one: Triplet) -> Record:
    # A directory that is called like a part tells no more than that
    directory = "" if one.directory == part_of(one.key) else without_part(one.directory, one.key)
    label = one.difficulty or directory or None
    return Record(place, one.key, label, one.files, (*one.persons, *one.try_ons), lead=_lead(place, one))


def _lead(place: Place, one: Triplet) -> str:
    """What the path of a place says of its triplets where their own does not: `easy/female/`, or `female/`."""
    if one.difficulty is None or one.difficulty in one.directory.casefold().split("/"):
        return ""
    for above in (place.parts[-1:], place.parts[-2:]):
        if above and above[0].casefold() == one.difficulty:
            return "/".join(above) + "/"
    return ""
