"""The rows of one split of Open Images at a place, held against its images and the lists of classes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from visprep import wire
from visprep.annotation_files import Told
from visprep.errors import StoreError, WrongContent
from visprep.findings import Finding
from visprep.formats.coco_place import CLEANED
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_csv import ImageIds, image_name, open_table
from visprep.formats.open_images_place import SplitFiles
from visprep.formats.open_images_rows import lenient, rows
from visprep.formats.open_images_tables import IMAGES, KINDS
from visprep.looking import Looking
from visprep.open_images_json import JsonImages
from visprep.rules import Depth, coco_files
from visprep.rules import files as file_rules
from visprep.rules import open_images as rules
from visprep.rules.open_images_rows import RowCheck, RowNotes, columns_checked
from visprep.stores.local import LocalStore

__all__ = ["ClassLists", "SplitRows"]

#: Of an image that the JSON was written without: it alone would not make the place whole.
_NEVER_CAME = replace(
    coco_files.IMAGE_MISSING, fix="run the same download, or convert, again: it tries just what is missing"
)


@dataclass(frozen=True, slots=True)
class ClassLists:
    """The classes that have boxes, and the MIDs of all; None where no list tells them."""

    boxable: Classes | None = None
    known: Collection[str] | None = None


class SplitRows:
    """The tables of one split; those of a place that is no directory are brought to `folder` first.

    `opened` are the tables that could be opened, and `ids` the images that are listed, sorted; None where no table
    tells them. `absent` are the paths of those that are not there, each with where its row begins, and `spoiled`, by
    kind, the images of rows that are wrong. `sound` says that every row of boxes could be read.
    """

    def __init__(self, look: Looking, files: SplitFiles, lists: ClassLists, folder: Path, told: Told) -> None:
        self.look, self.files, self.lists, self.folder, self.told = look, files, lists, folder, told
        self.opened: dict[str, CsvFile] = {}
        self.ids: ImageIds | None = None
        self.absent: dict[str, int] = {}
        self.spoiled: dict[str, set[int]] = {}
        self.sound = True
        self.counts: dict[str, int] = {}
        self._notes: list[RowNotes] = []

    def findings(self) -> Iterator[Finding]:
        """What is wrong with the tables as such; what is wrong with their rows comes with `rest`."""
        needed = {"images": True, "masks": bool(self.files.masks), "boxes": self.files.json is not None}
        for kind, wanted in needed.items():
            if wanted and kind not in self.files.tables:
                path = self.files.table(kind)
                yield rules.TABLE_MISSING.at(path, f"the table of the {kind} of this split is not there", file=path)
        for kind, path in sorted(self.files.tables.items(), key=lambda one: one[0] != "images"):
            try:
                self.opened[kind] = open_table(self._here(path), lenient(KINDS[kind]), path)
                if kind == "images":
                    self._images(RowNotes(self.opened[kind], path))
                elif self.look.depth.reaches(Depth.HEADERS):
                    self._rows(kind, RowNotes(self.opened[kind], path))
                elif self.look.request.expect is not None:
                    found = rows(self.opened[kind], lenient(KINDS[kind]), ())
                    self.counts[kind] = sum(len(some.offsets) + len(some.wrong) for some in found)
            except WrongContent as problem:  # no header, or a row without an end
                self.sound = self.sound and kind != "boxes"
                self.opened.pop(kind, None)
                words = problem.message.removeprefix(path).lstrip(",: ")
                yield rules.TABLE_MALFORMED.at(path, words)
            except StoreError as problem:
                self.sound = self.sound and kind != "boxes"
                yield file_rules.FILE_UNREADABLE.at(path, problem.message)

    def rest(self, images: JsonImages | None) -> Iterator[Finding]:
        """What is wrong with rows, each with its line; `images` are those of the JSON."""
        cleaned = (self.files.json or "").endswith(f"{CLEANED}.json")
        for path, offset in self.absent.items():
            name = path.rpartition("/")[2].removesuffix(".jpg")
            rule, words = coco_files.IMAGE_MISSING, f"image {name}, {path}, is not there"
            unnamed = images is not None and images.find(np.array([int(name, 16)], np.uint64))[0] < 0
            if unnamed:
                rule = _NEVER_CAME
            if unnamed and cleaned:
                rule, words = rules.IMAGE_PUT_ASIDE, f"image {name} is not there, and not in {self.files.json}"
            self._notes[0].add(rule, offset, words, file=path)
        for notes in self._notes:
            yield from notes.findings()
        yield from self._unlisted(images)

    def _here(self, path: str) -> Path:
        """A table as a file on this machine's disk."""
        store = self.look.store
        if isinstance(store, LocalStore):
            return store.root / path
        if not (self.folder / path).is_file():
            came = wire.wait(LocalStore(self.folder).receive(wire.wait(store.stat(path)), store))
            self.look.rounds.eye.note_digest(path, came.digest)
        return self.folder / path

    def _images(self, notes: RowNotes) -> None:
        self._notes.insert(0, notes)
        name, there = self.files.name, np.array(sorted(self.files.images), np.uint64)
        seen: list[ImageIds] = [np.zeros(0, np.uint64)]
        starts = [np.zeros(0, np.int64)]
        count = 0
        for some in rows(notes.file, IMAGES, ("ImageID", "Subset")):
            count += len(some.offsets) + len(some.wrong)
            for offset, why in some.wrong:
                notes.add(rules.ROW_MALFORMED, offset, why)
            if some.batch is None:
                continue
            seen.append(some.batch.images)
            starts.append(some.offsets)
            known: dict[str, int] = {name: 0}
            for at in np.flatnonzero(some.batch.codes("Subset", known)).tolist():
                id, subset = image_name(int(some.batch.images[at])), some.batch.columns["Subset"][at].as_py()
                words = f"image {id} is of {subset[:40]!r}, and this is the table of {name}"
                notes.add(rules.ROW_SPLIT, int(some.offsets[at]), words, image_id=id)
        listed, offsets = np.concatenate(seen), np.concatenate(starts)
        order = np.argsort(listed, kind="stable")
        listed, offsets = listed[order], offsets[order]
        again = np.flatnonzero(listed[1:] == listed[:-1]) + 1
        for at in again.tolist():
            id = image_name(int(listed[at]))
            notes.add(rules.IMAGE_ROW_REPEATED, int(offsets[at]), f"image {id} has a row already", image_id=id)
        for at in np.flatnonzero(~np.isin(listed, there)).tolist():
            self.absent.setdefault(f"{name}/{image_name(int(listed[at]))}.jpg", int(offsets[at]))
        self.ids, self.counts["images"] = np.unique(listed), count

    def _rows(self, kind: str, notes: RowNotes) -> None:
        self._notes.append(notes)
        boxed = kind in ("boxes", "masks")
        classes = self.lists.boxable.names if boxed and self.lists.boxable else self.lists.known
        look = RowCheck(KINDS[kind], notes, self.ids, classes)
        for some in rows(notes.file, lenient(KINDS[kind]), columns_checked(KINDS[kind])):
            look.take(some)
        self.counts[kind] = look.count
        self.spoiled[kind] = look.spoiled
        if kind == "boxes":
            self.sound = rules.ROW_MALFORMED not in notes

    def _unlisted(self, images: JsonImages | None) -> Iterator[Finding]:
        """The images that no row lists, and the JSON does not name: of those that it names it is told."""
        if self.ids is None:
            return
        named = self.ids if images is None else np.union1d(self.ids, images.ids)
        there = np.array(sorted(self.files.images), np.uint64)
        for number in there[~np.isin(there, named)].tolist():
            path = f"{self.files.name}/{image_name(number)}.jpg"
            words = f"{self.files.tables['images']} has no row of it"
            yield from self.told.at(self.files.name, coco_files.IMAGE_UNLISTED, path, words)
