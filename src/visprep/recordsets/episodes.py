"""Episodes of frames as records: a directory of frames each, which goes to a part as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from visprep.formats.episodes import Episode, find
from visprep.manifest import File
from visprep.recordsets.directories import DirectoryRecords, Place, Record
from visprep.settings import S3Settings


def read(places: Sequence[tuple[Place, Iterable[File]]], s3: S3Settings | None = None) -> DirectoryRecords:
    """The episodes of some places, of which the listings are given; directories without a frame are none."""
    found: list[tuple[Place, Episode]] = []
    for place, listing in places:
        here = find(listing, place.parts)
        found += ((place, one) for one in here if one.frames)
    found.sort(key=lambda one: [place.name for place, _ in places].index(one[0].name))
    fields = {
        "game": lambda number: found[number][1].game,
        "directory": lambda number: found[number][1].home,
    }
    return DirectoryRecords("frames", [place for place, _ in places], (_record(*one) for one in found), fields, s3)


def _record(place: Place, one: Episode) -> Record:
    own = place.parts[-1] if place.parts else "."
    # A place that is a game, or an episode, says by its own path what the paths below do not
    game = f"{one.game}/" if one.game else ""
    lead = "" if "/" in one.path else game if one.path else f"{game}{own}/"
    return Record(place, one.path or own, one.game, one.frames, one.frames, one.path, lead)
