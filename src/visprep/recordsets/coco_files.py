"""The annotation files of a record set: where each lies, what it holds, and which of it still counts."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from visprep.annotation_files import AnnotationFile
from visprep.coco_file import nearby, opened
from visprep.errors import WrongContent
from visprep.formats import coco_json
from visprep.formats.coco_ids import rows_of
from visprep.formats.coco_json import MISSING, JsonFile
from visprep.formats.coco_place import image_root, kind_of, split_of
from visprep.known_files import sha256_of, with_remembered
from visprep.manifest import MANIFEST, File
from visprep.own_record import MARKER
from visprep.recordsets import Ints, Mask
from visprep.settings import S3Settings
from visprep.stores import Store, data_files, open_store
from visprep.stores.local import LocalStore


class Home:
    """The place that annotation files lie in, with their images if these are there."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def listing(self) -> Mapping[str, File]:
        """The files of the place, by path, with the digests that are remembered of them."""
        return {file.path: file for file in with_remembered(self.store, data_files(self.store))}


@dataclass
class CocoFile:
    """An annotation file that is split, or a part of what is.

    `given` is its name as the user said it, `group` tells files apart that describe other images. `record` is of each
    image its number in the set, `owner` of each annotation the row of its image, -1 where there is none. `images` and
    `annotations` are those rows that still count; `broken` are rows that could not be read. `others` are the names of
    the splits that it is not of.
    """

    given: str
    kind: str
    group: tuple[str, str]
    home: Home
    file: AnnotationFile
    digest: str
    broken: list[tuple[str, int, WrongContent]]
    record: Ints
    owner: Ints
    images: Mask
    annotations: Mask
    others: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def root(self) -> str | None:
        """The directory of its images in its home, None when none of them is there.

        One that is called like another split has images of that one, whatever their names are.
        """
        found = image_root(self.file.path, self.file.index.images.file_names, self.home.listing)
        self.file.root = None if found and found.rpartition("/")[2] in self.others else found
        return self.file.root

    @property
    def root_if_listed(self) -> str | None:
        """The same where the home was listed already; None, too, where that would be done for nothing else."""
        return self.root if "listing" in self.home.__dict__ else None

    def image(self, row: int) -> File | None:
        """The file of an image, None when it is not there."""
        if self.root is None:
            return None
        return self.home.listing.get(self.file.image(row) or "")

    @property
    def twins(self) -> Ints:
        """The rows of images that count whose id another one before has too."""
        rows = np.flatnonzero(self.images & (self.file.index.images.ids != MISSING))
        _, firsts = np.unique(self.file.index.images.ids[rows], return_index=True)
        return np.delete(rows, firsts)


def read_file(given: str, home: Home, path: str, source: JsonFile) -> CocoFile:
    """Read an annotation file, of that path in its home; its records are numbered later."""
    near = nearby(source)
    broken: list[tuple[str, int, WrongContent]] = []
    with ThreadPoolExecutor(1) as aside:
        hashing = aside.submit(sha256_of, near.was, near.store)
        try:
            index = coco_json.index(near, broken)
        except WrongContent as problem:
            near.digest = hashing.result()
            near.check_same()
            raise _told(problem, source, given) from None
        near.digest = digest = hashing.result()
    near.check_same()
    full = given if "://" in given else os.path.abspath(given)  # noqa: PTH100 -- a link stays where it lies
    split = split_of(full)  # a directory above may tell it
    kind, group = kind_of(full)
    images, annotations = index.images, index.annotations
    return CocoFile(
        given=given,
        kind=kind,
        group=group,
        home=home,
        file=AnnotationFile(path, split, index, None),
        digest=digest,
        broken=[(key, number, _told(problem, source, given)) for key, number, problem in broken],
        record=np.arange(len(images), dtype=np.int64),
        owner=rows_of(images.ids, annotations.image_ids),
        images=np.ones(len(images), np.bool_),
        annotations=np.ones(len(annotations), np.bool_),
    )


def _told(problem: WrongContent, source: JsonFile, given: str) -> WrongContent:
    """The same, of the file as it was named: several may lie in directories of their own, and be called alike."""
    hint = problem.hint and problem.hint.replace("visprep verify", shlex.join(["visprep", "verify", given]))
    return WrongContent(f"{given}{problem.message.removeprefix(source.name)}", hint=hint)


def home_of(given: str, s3: S3Settings | None) -> tuple[Home, str, JsonFile]:
    """The place of an annotation file that was named by itself, the file's path in it, and the file.

    That is the nearest directory above with a record of visprep's, else the one that `annotations/` lies in, else the
    one of the file.
    """
    source = opened(given, s3)
    if "://" in given:
        folder, _, base = given.rpartition("/")
        above, _, last = folder.rpartition("/")
        if last == "annotations" and above.partition("://")[2]:
            return Home(open_store(above, s3)), f"annotations/{base}", source
        return Home(open_store(folder, s3)), base, source
    path = Path(os.path.abspath(given))  # noqa: PTH100 -- a link stays in the place that it lies in
    place = path.parent.parent if path.parent.name == "annotations" else path.parent
    for folder_above in path.parents:
        if any((folder_above / record).is_file() for record in (MANIFEST, MARKER)):
            place = folder_above
            break
    return Home(LocalStore(place)), path.relative_to(place).as_posix(), source
