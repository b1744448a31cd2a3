"""Which kind of records some places hold, and these, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence
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

_READERS = {"tasks": of_tasks.read, "vton": of_vton.read, "frames": of_frames.read, "images": of_images.read}


def read_places(names: Sequence[str], s3: S3Settings | None = None) -> RecordSet:
    """See `recordsets.read_recordset`."""
    found = [_looked_at(name, s3) for name in names]
    for (one, _, kind), (other, _, second) in pairwise(found):
        if kind != second:
            raise UsageError(f"{one.name} holds {kind}, {other.name} holds {second}", hint="name places of one kind")
    kind = found[0][2]
    if kind == "coco":
        return coco.read(names, s3)
    for place, listing, _ in found:
        _refuse_links(place, listing)
    return _READERS[kind]([(place, listing) for place, listing, _ in found], s3)


def _looked_at(name: str, s3: S3Settings | None) -> tuple[Place, Sequence[File], str]:
    """A place, its files, and the kind of its records, in the order in which verify guesses."""
    if is_one(name):
        return Place(name, open_store(".", s3), ()), (), "coco"
    store = open_store(name, s3)
    place = Place.of(name, store)
    listing = [file for file in data_files(store) if file.path != DATASET]
    if tasks.find(listing, place.parts).directories:
        return place, listing, "tasks"
    if coco_place.recognized(store, coco_place.candidates(listing)):
        return place, listing, "coco"
    for kind, told in (("vton", triplets.is_member), ("frames", episodes.is_member), ("images", _is_picture)):
        if any(told(file.path) for file in listing):
            return place, listing, kind
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
