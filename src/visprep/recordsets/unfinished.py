"""Places in which a command was begun and not ended: what is there is not all there will be."""

from __future__ import annotations

from collections.abc import Iterable

from visprep.coco_file import is_one
from visprep.errors import PlaceIncomplete
from visprep.own_record import MARKER, unfinished
from visprep.recordsets.coco_files import home_of
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.local import LocalStore


def unfinished_at(place: str, s3: S3Settings | None = None) -> tuple[str, str] | None:
    """The place, and in words the command, that was begun where a place or a COCO JSON file lies, and not ended.

    That is there, or in a directory above. None when there is none.
    """
    store = home_of(place, s3)[0].store if is_one(place) else open_store(place, s3)
    a_file = isinstance(store, LocalStore) and store.root.is_file()  # which whoever reads it tells
    for one in (*(() if a_file else (store,)), *_above(store)):
        if words := unfinished(one):
            return one.place, words
    return None


def _above(store: Store) -> Iterable[Store]:
    if not isinstance(store, LocalStore):
        return ()
    return (LocalStore(folder) for folder in store.root.parents if (folder / MARKER).is_file())


def check_finished(places: Iterable[str], s3: S3Settings | None = None) -> None:
    """PlaceIncomplete when a command was begun at one of these places, or above it, and not ended."""
    for place in places:
        if found := unfinished_at(place, s3):
            raise _incomplete(*found)


def check_finished_around(store: Store, s3: S3Settings | None = None) -> None:
    """The same of a place that is open, or of the directory that an annotation file lies in."""
    above, _, last = store.place.rpartition("/")
    far = not isinstance(store, LocalStore) and last == "annotations" and above.partition("://")[2]
    for one in (store, *_above(store), *((open_store(above, s3),) if far else ())):
        if words := unfinished(one):
            raise _incomplete(one.place, words)


def _incomplete(place: str, words: str) -> PlaceIncomplete:
    return PlaceIncomplete(
        f"{place}: {words} was begun here and not ended, so that records may be missing",
        hint=f"finish it with the same command, or remove {MARKER} there if it will never be finished",
    )
