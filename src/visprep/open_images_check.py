"""A place of Open Images: upstream's rows against images, classes and masks, and COCO JSON against the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from visprep import temporary, wire
from visprep.annotation_files import AnnotationFile, Told
from visprep.coco_check import CocoCheck
from visprep.errors import StoreError, WrongContent
from visprep.findings import Finding
from visprep.formats.coco_counts import Expected
from visprep.formats.open_images_classes import Classes, class_names
from visprep.formats.open_images_csv import check_reader, image_name
from visprep.formats.open_images_place import is_table, layout
from visprep.looking import Looking
from visprep.manifest import File
from visprep.open_images_json import JsonImages, compare, compare_categories
from visprep.open_images_masks import MaskCheck
from visprep.open_images_split import ClassLists, SplitRows
from visprep.rules import Depth, coco_boxes, coco_files
from visprep.rules import files as file_rules
from visprep.rules import open_images as rules
from visprep.selection import Scope
from visprep.sources.open_images import BOXES, IMAGES, MASKS
from visprep.traffic import Traffic

#: What boxes that are none are called in the JSON: where the row is told, that is told once.
_OF_BOXES = frozenset(rule.code for rule in coco_boxes.RULES)


def recognize(look: Looking) -> OpenImagesCheck | None:
    """The check of a place with rows of Open Images: a table is named and placed as one."""
    return OpenImagesCheck(look) if any(is_table(file.path) for file in look.listing) else None


class OpenImagesCheck:
    """One look at a place."""

    #: An image is looked at by itself, and no directory is a record.
    homes: Iterable[str] = ()

    def __init__(self, look: Looking) -> None:
        self.look, self.store, self.depth = look, look.store, look.depth
        self.files: Mapping[str, File] = {file.path: file for file in look.listing}
        self.layout = layout(look.listing)
        self.told = Told()
        counts = look.request.expect
        of_coco = (
            None if counts is None or isinstance(counts, str) else tuple(one for one in counts if not _of_rows(one))
        )
        #: Images and JSON are looked at as COCO; masks are no images of it
        request = replace(look.request, expect=of_coco)
        self.coco = CocoCheck(replace(look, listing=self.layout.others, request=request))
        self.splits: dict[str, SplitRows] = {}

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Nothing: an image is one file."""
        return ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many images are looked at, and how many annotations and rows were."""
        rows = sum(count for split in self.splits.values() for count in split.counts.values())
        return {**self.coco.records(scope), "rows": rows}

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        splits = self.layout.splits.values()
        paths = [*self.layout.lists, *(path for split in splits for path in split.tables.values())]
        found = []
        if self.depth.reaches(Depth.DECODE):
            masks = (f"masks/{split.name}/{name}" for split in splits for name in split.masks)
            found = [self.files[path] for path in masks if scope.holds(path)]
        return self.coco.reads(scope) + self.look.reads_whole([*(self.files[path] for path in paths), *found])

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """All that is wrong; of images and masks, those are looked into that the scope holds."""
        check_reader()
        if not self.layout.splits:
            yield rules.TABLE_MISSING.at(".", "no table of Open Images is here: labels/validation/images.csv and so on")
            return
        with temporary.directory("tables") as folder:  # for tables of a place that is no directory
            lists: dict[str, Classes] = {}
            yield from self._lists(lists)
            boxable = next((one for path, one in lists.items() if "boxable" in path), next(iter(lists.values()), None))
            classes = ClassLists(boxable, {mid for one in lists.values() for mid in one.names} if lists else None)
            for files in self.layout.splits.values():
                self.splits[files.name] = SplitRows(self.look, files, classes, folder, self.told)
                yield from self.splits[files.name].findings()
            yield from self._as_coco(scope)
            for split in self.splits.values():
                yield from self._split(split, boxable, scope)
        yield from self._counts()
        yield from self.told.rest()

    def _lists(self, found: dict[str, Classes]) -> Iterator[Finding]:
        """The lists of classes by their paths, which are noted in `found`."""
        if not self.layout.lists:
            yield rules.TABLE_MISSING.at("labels", "no list of classes is here: *class-descriptions*.csv")
        for path in self.layout.lists:
            try:
                found[path] = class_names(wire.wait(self.look.rounds.eye.read(self.files[path])), path)
            except WrongContent as problem:
                yield rules.TABLE_MALFORMED.at(path, problem.message.removeprefix(path).lstrip(",: "))
            except StoreError as problem:
                yield file_rules.FILE_UNREADABLE.at(path, problem.message)

    def _as_coco(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with images and JSON as such, but for what the rows tell."""
        absent = {path for split in self.splits.values() for path in split.absent}
        listed = {name for name, split in self.splits.items() if split.ids is not None}
        numbers: dict[str, Mapping[int, int]] = {}
        for finding in self.coco.findings(scope):
            code = finding.code
            if code == coco_files.NO_ANNOTATIONS.code:
                continue  # of points alone there are none
            if code == coco_files.IMAGE_MISSING.code and finding.where.get("file") in absent:
                continue
            if code == coco_files.IMAGE_UNLISTED.code and finding.path.partition("/")[0] in listed:
                continue
            if code in _OF_BOXES and self._is_spoiled(finding, numbers):
                continue
            yield finding

    def _is_spoiled(self, finding: Finding, numbers: dict[str, Mapping[int, int]]) -> bool:
        """Whether it is about a box of an image of which a row is told to be wrong."""
        split = next(
            (one for one in self.splits.values() if one.files.json == finding.path and one.spoiled.get("boxes")), None
        )
        document = self._document(split) if split else None
        if split is None or document is None:
            return False
        if finding.path not in numbers:
            images = JsonImages.of(document, split.files.name)
            numbers[finding.path] = dict(zip(images.numbers.tolist(), images.ids.tolist(), strict=True))
        return numbers[finding.path].get(finding.where.get("image_id", -1)) in split.spoiled["boxes"]

    def _document(self, split: SplitRows) -> AnnotationFile | None:
        """The JSON of a split as it was read."""
        return next((one for one in self.coco.annotation_files if one.path == split.files.json), None)

    def _split(self, split: SplitRows, boxable: Classes | None, scope: Scope) -> Iterator[Finding]:
        """The JSON of a split against its rows, what is wrong with these, and with its masks."""
        document, files = self._document(split), split.files
        images = JsonImages.of(document, files.name) if document else None
        if "boxes" in files.tables and files.json is None:
            words = f"there are rows of boxes, and no {files.document}"
            yield rules.BOXES_WITHOUT_JSON.at(files.tables["boxes"], words, file=files.document)
        if document is not None and images is not None and self.depth.reaches(Depth.HEADERS):
            yield from self._images(split, document, images)
            if boxable is not None:
                yield from compare_categories(document, boxable, self.told)
                if split.sound and "boxes" in split.opened:
                    table, spoiled = split.opened["boxes"], split.spoiled.get("boxes", set())
                    yield from compare(document, images, table, split.ids, spoiled, boxable, self.told)
        yield from split.rest(images)
        spoiled = {image for kind in ("boxes", "masks") for image in split.spoiled.get(kind, ())}
        tables = {kind: table for kind, table in split.opened.items() if kind != "boxes" or split.sound}
        masks = MaskCheck(self.look, files, tables, boxable, spoiled, self.told)
        yield from masks.findings(scope, images)

    def _images(self, split: SplitRows, document: AnnotationFile, images: JsonImages) -> Iterator[Finding]:
        """The images that the JSON has and no row lists, and the other way round."""
        if split.ids is None:
            return
        path = document.path
        strange = [*images.strange, *images.rows[~np.isin(images.ids, split.ids)].tolist()]
        for at in sorted(strange):
            name = document.index.images.file_names[at]
            words = f"{split.files.tables['images']} has no row of {str(name)[:80]}"
            yield from self.told.at(path, rules.IMAGE_NOT_IN_ROWS, path, words, **document.address(at))
        there = np.array(split.files.images, np.uint64)
        listed = split.ids[np.isin(split.ids, there) & ~np.isin(split.ids, images.ids)]
        for number in listed.tolist():
            image = f"{split.files.name}/{image_name(number)}.jpg"
            words = f"{image} is there and has a row, and is not in it"
            yield from self.told.at(path, rules.IMAGE_NOT_IN_JSON, path, words, file=image)

    def _counts(self) -> Iterator[Finding]:
        """The rows that are not as many as expected; official counts are known of images, boxes and masks."""
        expect = self.look.request.expect
        wanted = [one for one in expect if _of_rows(one)] if isinstance(expect, tuple) else []
        if expect == "official":
            for split in self.splits.values():
                name, tables = split.files.name, split.files.tables
                official = {"images": IMAGES[name], "boxes": BOXES[name], "masks": MASKS[name]}
                wanted += [Expected(tables[kind], "rows", count) for kind, count in official.items() if kind in tables]
        counted = {
            split.files.tables[kind]: count for split in self.splits.values() for kind, count in split.counts.items()
        }
        for one in wanted:
            have = counted.get(one.path)
            if have != one.count:
                words = f"it has {have:,} rows" if have is not None else "there is no such table, or it was not read"
                where = {"key": "rows", "expected": one.count, "actual": have}
                yield coco_files.COUNT_UNEXPECTED.at(one.path, f"{words}, {one.count:,} are expected", **where)


def _of_rows(one: Expected) -> bool:
    return one.what == "rows"
