"""`export-metadata`: what a place is, as Croissant or as a dataset card of the Hugging Face hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from visprep._verify import guess
from visprep.coco_file import is_one
from visprep.errors import PlaceMissing, UsageError
from visprep.known_files import sha256_of
from visprep.manifest import File
from visprep.metadata import Document, Origins
from visprep.metadata.contents import contents
from visprep.metadata.croissant import croissant
from visprep.metadata.hf_card import hf_card
from visprep.metadata.looking import Place
from visprep.metadata.origins import origins
from visprep.metadata.written import check_replaceable, write
from visprep.own_record import unfinished
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import is_archive, one_version, open_store
from visprep.stores.local import LocalStore
from visprep.verify_request import one_of

#: What metadata can be written as.
FORMATS = ("croissant", "hf-card")


@dataclass(frozen=True, slots=True)
class ExportedMetadata:
    """What was written: `text` in the format `to`, and to the file `output`, where one was named.

    `kind` is what the place holds, `notes` are sentences on what could not be said, `unknown` what nobody tells and is
    left out (`license`, `home page`). `changed` says whether the file was written: it was not where it held the same.
    """

    place: str
    to: str
    kind: str
    text: str
    output: str | None = None
    changed: bool = False
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@one_version()
def export_metadata(
    place: str | os.PathLike[str],
    *,
    to: str,
    output: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> ExportedMetadata:
    """Describe a place for others: `to` is `croissant` (JSON-LD, version 1.0) or `hf-card` (README.md with YAML).

    Told is what the place's own record, its source and its files tell; what nobody tells is left out. Files that are
    named by themselves have their sha256, which is computed where nobody knows it. With `output`, the text is written
    to that file, in place of an older one that this command wrote and nobody changed since; any other is replaced only
    with `overwrite`.

    UnknownName for another format, UsageError for a single file, PlaceMissing, UnknownContent, WouldOverwrite;
    BadRecord for a damaged `dataset.json`.
    """
    one_of("format of metadata", to, FORMATS)
    if output is not None:
        check_replaceable(output, overwrite=overwrite)
    named = os.fspath(place)
    if is_one(named):
        raise UsageError(f"{named}: it is one file, and places are described", hint="name the directory of the dataset")
    store = open_store(named, s3)
    if isinstance(store, LocalStore):
        next(store.list(), None)  # of a file it says that it is no directory
    looked = Place(store)
    if not looked.files:
        raise PlaceMissing(f"{named}: there is nothing to describe", hint="check the path")
    held = contents(looked, guess(store, looked.files), progress)
    known = origins(store)
    archive = _archive(named) if is_archive(named) else None
    text = croissant(held, known, archive) if to == "croissant" else hf_card(held, known)
    begun = unfinished(store)
    notes = [f"{begun} was begun here and has not ended"] if begun else []
    notes += (*held.notes, *(held.untyped if to == "croissant" else ()))
    changed = output is not None and write(output, text)
    target = None if output is None else os.fspath(output)
    return ExportedMetadata(named, to, held.kind, text, target, changed, tuple(notes), _unknown(known))


def _archive(place: str) -> Document:
    """The file that a place is, as it lies beside its description."""
    path = Path(place)
    file = File(path.name, path.stat().st_size)
    digest = sha256_of(file, LocalStore(path.parent))
    kind = "application/zip" if path.name.lower().endswith(".zip") else "application/x-tar"  # packed or not
    return Document(path.name, path.name, kind, file.size or 0, digest.partition(":")[2])


def _unknown(known: Origins) -> tuple[str, ...]:
    told = {"license": known.license, "home page": known.home, "how it was made": known.steps}
    return tuple(name for name, value in told.items() if not value)
