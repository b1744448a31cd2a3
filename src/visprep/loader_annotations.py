"""COCO JSON as loaders want it: each image is named by where its bytes lie, and all else stays as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from visprep.errors import ChangedMeanwhile, FileMissing
from visprep.formats import coco_place
from visprep.formats.coco_edits import Piece, Top, encoded, replaced, together
from visprep.formats.coco_json import JsonFile
from visprep.manifest import File
from visprep.recordsets.coco_files import CocoFile, Home, read_file
from visprep.stores import Store

#: JSON files of unusual names into whose beginning is looked: more of them are something else, a file for each image.
_LOOKED_INTO = 1_000
_SHOWN = 3


def annotation_files(store: Store, files: Sequence[File]) -> list[CocoFile]:
    """The annotation files of a place, whose `files` have their SHA-256; WrongContent for one that cannot be read.

    One that another stands for, since `fix` wrote it without bad images, is left out.
    """
    home = Home(store)
    home.__dict__["listing"] = {file.path: file for file in files}
    coco = frozenset(coco_place.annotation_files(store, files, _LOOKED_INTO))
    found = [
        read_file(f"{store.place.rstrip('/')}/{path}", home, path, JsonFile(store, path))
        for path in sorted(coco)
        if coco_place.cleaned(path) not in coco
    ]
    for one in found:
        if one.digest != home.listing[one.file.path].digest:
            raise ChangedMeanwhile(f"{one.given} changed after it was looked at", hint="run the same command again")
    splits = {file.file.split.name for file in found}
    for file in found:
        file.others = frozenset(splits - {file.file.split.name})
    return found


def write(file: CocoFile, url_of: Callable[[str], str], path: Path) -> bool:
    """Write an annotation file whose images are named by `url_of` their paths; False where none of them is there.

    Names that are URLs already stay. FileMissing when some of the images are in the place, and some are not.
    """
    urls = dict(_urls(file, url_of))
    if not urls and any(not _is_url(name) for name in file.file.index.images.file_names):
        return False
    _check_all_there(file, urls)
    index = file.file.index

    def named(record: bytes, row: int) -> bytes:
        return replaced(record, "file_name", encoded(urls[row])) if row in urls else record

    every = np.ones(len(index.images), np.bool_)
    piece = Piece(index, every, np.ones(len(index.annotations), np.bool_), {}, {"images": [named]})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=1024 * 1024) as out:
        for chunk in Top.read(index.file, lambda key: False).chunks({"images": together([piece], "images")}, {}):
            out.write(chunk)
    index.file.check_same()
    return True


def _urls(file: CocoFile, url_of: Callable[[str], str]) -> Iterator[tuple[int, str]]:
    for row, name in enumerate(file.file.index.images.file_names):
        there = None if _is_url(name) else file.image(row)
        if there is not None:
            yield row, url_of(there.path)


def _check_all_there(file: CocoFile, urls: Mapping[int, str]) -> None:
    names = file.file.index.images.file_names
    gone = [name for row, name in enumerate(names) if row not in urls and not _is_url(name)]
    if gone:
        shown = ", ".join(str(name) for name in gone[:_SHOWN]) + (", ..." if len(gone) > _SHOWN else "")
        raise FileMissing(
            f"{file.given}: {len(gone):,} of its {len(names):,} images are not in the place: {shown}",
            hint="bring them, or leave them out of it: visprep fix PLACE --how quarantine",
        )


def _is_url(name: str | None) -> bool:
    return bool(name) and "://" in str(name)
