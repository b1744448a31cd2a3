"""Which kind of records some places hold, and these, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from visprep.coco_file import is_one
from visprep.errors import UnknownContent, UnsafePath, UsageError
from visprep.formats import coco_place, episodes, tasks, triplets
from visprep.formats.directories import set_aside
from visprep.manifest import DATASET, File
from visprep.recordsets import RecordSet, coco
from visprep.recordsets import episodes as of_frames
from visprep.recordsets import images as of_images
from visprep.recordsets import tasks as of_tasks
from visprep.recordsets import triplets as of_vton
from visprep.recordsets.directories import Place
from visprep.rules.image_files import is_image
from visprep.settings import S3Settings
from visprep.stores import data_files, open_store
from visprep.stores.local import LocalStore

_READERS = {"vton": of_vton.read, "frames": of_frames.read, "images": of_images.read}


@dataclass(frozen=True, slots=True)
class _Looked:
    """A place, the kind of its records, its files, and its tasks, if these are its records."""

    place: Place
    kind: str
    listing: Sequence[File] = ()
    found: tasks.Found = field(default_factory=lambda: tasks.Found((), ()))


def read_places(names: Sequence[str], s3: S3Settings | None = None, layout: str | None = None) -> RecordSet:
    """See `recordsets.read_recordset`."""
    looked = [_look(name, s3) for name in names]
    for one, other in pairwise(looked):
        if one.kind != other.kind:
            raise UsageError(
                f"{one.place.name} holds {one.kind}, {other.place.name} holds {other.kind}",
                hint="name places of one kind",
            )
    kind = looked[0].kind
    if kind == "coco":
        return coco.read(names, s3)
    for one in looked:
        _refuse_links(one.place, one.listing)
    if kind == "tasks":
        return of_tasks.read([(one.place, one.found) for one in looked], s3, layout)
    return _READERS[kind]([(one.place, one.listing) for one in looked], s3)


def _look(name: str, s3: S3Settings | None) -> _Looked:
    """What there is at a place, guessed in the order in which verify guesses."""
    if is_one(name):
        return _Looked(Place(name, open_store(".", s3), ()), "coco")
    store = open_store(name, s3)
    place = Place.of(name, store)
    listing = [file for file in data_files(store) if file.path != DATASET]
    found = tasks.find(listing, place.parts)
    if found.directories:
        return _Looked(place, "tasks", found.strays, found)
    if coco_place.recognized(store, coco_place.candidates(listing)):
        return _Looked(place, "coco")
    for kind, told in (("vton", triplets.is_member), ("frames", episodes.is_member), ("images", _is_picture)):
        if any(told(file.path) for file in listing):
            return _Looked(place, kind, listing)
    _refuse_links(place, listing)  # all there is may be in them
    raise UnknownContent(
        f"{name}: no records that visprep knows are here",
        hint="expected annotations/*.json, {domain}_task/{task_id}/first_frame.png and so on, "
        "initial_image/{stem}_person.png and so on, {episode}/frame_{number}.png, or images",
    )


def _is_picture(path: str) -> bool:
    return is_image(path) and not set_aside(path)


def _refuse_links(place: Place, listing: Sequence[File]) -> None:
    """UnsafePath for a link to a directory: whatever is in it would be in no part, and nobody would know."""
    if isinstance(place.store, LocalStore):
        root = place.store.root
        links = [file.path for file in listing if file.size is None and not set_aside(file.path)]
        links = [path for path in links if (root / path).is_symlink() and (root / path).is_dir()]
        if links:
            more = f" (and {len(links) - 1} more)" if len(links) > 1 else ""
            raise UnsafePath(
                f"{place.name}: {links[0]}{more} is a symbolic link to a directory, which nobody looks into",
                hint="replace the link by what it shows: cp -rL LINK COPY, then rm LINK and mv COPY LINK",
            )
