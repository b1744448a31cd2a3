"""A COCO dataset at a place: what is wrong with its annotation files, its images, and between them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from visprep import coco_splits, panoptic_check, wire
from visprep.annotation_files import AnnotationFile, Told
from visprep.coco_file import not_for_loader, unannotated
from visprep.errors import StoreError, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_counts, coco_json, coco_place, open_images_place
from visprep.formats.coco_counts import Expected
from visprep.formats.coco_json import Index, JsonFile
from visprep.formats.coco_place import (
    beginning,
    candidates,
    cleaned,
    image_root,
    images_below,
    named_as_annotations,
    original,
    split_of,
    usual,
)  # fmt: skip
from visprep.image_loading import Seen, jobs_to_see, unseen, whole
from visprep.looking import Looking
from visprep.manifest import DATASET, File
from visprep.render.text import counted
from visprep.rounds import Eye, Work
from visprep.rules import Depth, coco, coco_files, coco_results, coco_text, image_files
from visprep.rules import files as file_rules
from visprep.rules.coco import Checked
from visprep.selection import Scope
from visprep.traffic import Traffic


def recognize(look: Looking) -> CocoCheck | None:
    """The check of a place with a COCO dataset: a JSON file tells that by its name, or by how it begins."""
    return CocoCheck(look) if coco_place.recognized(look.store, candidates(look.listing)) else None


class CocoCheck:
    """One look at a place."""

    def __init__(self, look: Looking) -> None:
        self.store, self.depth, self.each, self.near = look.store, look.depth, look.rounds.each, look.near
        self.look, self.request = look, look.request
        listing: Iterable[File] = look.listing
        if any(open_images_place.is_table(file.path) for file in listing):  # its masks are no images
            listing = open_images_place.layout(listing).others
        files = (file for file in listing if not file.path.endswith("/") and file.path != DATASET)
        self.files: Mapping[str, File] = {file.path: file for file in files}
        self.annotation_files: list[AnnotationFile] = []
        self.sights: dict[str, Seen] = {}
        self.masks: set[str] = set()
        self.named_masks: set[str] = set()
        self.rotated: dict[str, Finding] = {}
        self.told = Told()

    #: An image is looked at by itself, and no directory is a record.
    homes: Iterable[str] = ()

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Nothing: an image is one file."""
        return ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many images are looked at, and how many annotations were."""
        annotations = sum(len(one.index.annotations) for one in self.annotation_files)
        return {"images": sum(map(scope.holds, self.image_paths)), "annotations": annotations}

    @cached_property
    def beginnings(self) -> Mapping[str, str | None]:
        """How the JSON files begin whose names do not tell what they are: as `coco`, `results`, or neither."""
        unknown = [file.path for file in candidates(self.files.values()) if not usual(file.path)]
        begins = self.each("Looking at JSON files", unknown, lambda path: beginning(self.store, path), "files")
        return dict(zip(unknown, begins, strict=True))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The paths of its annotation files, but for those set aside; of all JSON files, where none looks like one."""
        files = [file.path for file in candidates(self.files.values())]
        names = tuple(path for path in files if self.beginnings.get(path, "coco") == "coco") or tuple(files)
        return tuple(path for path in names if cleaned(path) not in names)

    @cached_property
    def image_paths(self) -> tuple[str, ...]:
        """The paths of all of its images."""
        return tuple(path for path in self.files if image_files.is_image(path))

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """All that is wrong; of images, those are looked into that the scope holds."""
        holds, expect = scope.holds, self.request.expect
        if not self.names:
            yield coco_files.NO_ANNOTATIONS.at(".", "no annotation file (*.json) is here")
        for file in candidates(self.files.values()):
            if cleaned(file.path) in self.names:
                words = f"not checked: {cleaned(file.path)} stands for it"
                yield coco_files.ANNOTATIONS_SET_ASIDE.at(file.path, words)
            elif file.path not in self.names and self.beginnings.get(file.path) == "results":
                yield coco_results.RESULTS_NOT_CHECKED.at(file.path, "it looks like a list of results")
        for path in self.each("Reading annotations", self.names, _now, "files", 1):
            yield from self._annotations(path)
        for one in self.annotation_files:
            yield from self._references(one, self.request.loader)
        for one in self.annotation_files:
            if one.path.rpartition("/")[2].startswith("panoptic_"):
                yield from self._masks(one, holds)
        yield from self._unlisted()
        if expect is not None:
            yield from self._counts(expect)
        if self.depth.reaches(Depth.SIZES):
            yield from self._images([path for path in self.image_paths if holds(path) and path not in self.masks])
            for one in self.annotation_files:
                yield from self._sizes(one)
            yield from self.rotated.values()
        yield from coco_splits.shared(self.annotation_files, self.sights, self.told)
        yield from self.told.rest()

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        images = self.look.reads(self.files[path] for path in self.image_paths if scope.holds(path))
        files = [self.files[path] for path in self.names]
        if self.near or not self.depth.reaches(Depth.HEADERS):
            return images + whole(files)
        self.look.reads_whole(files)  # in pieces, and once
        for size in (file.size or 0 for file in files):  # asked about before
            images += Traffic(1 + -(-size // coco_json.FAR), 0, size)
        return images

    def _annotations(self, path: str) -> Iterator[Finding]:
        """Read an annotation file, and say what is wrong with it."""
        file = JsonFile(self.store, path)
        checked, index = None, None
        try:
            if self.depth.reaches(Depth.HEADERS):
                chunks = self.look.rounds.eye.passing(path, file.chunks())
                checked, index = (coco.check(file, path), None) if self.near else _read_once(file, chunks, path)
                yield from checked.findings
                if checked.kind != "results":
                    yield from unannotated(checked, path)
            if isinstance(index, WrongContent):
                raise index
            index = index or coco_json.index(file)
        except WrongContent as problem:
            if checked is None:  # not asked so closely
                checked = coco.check(file, path)
                yield from checked.findings
            if checked.kind == "results":
                yield self._listed(path)
            elif checked.readable:
                yield file_rules.FILE_UNREADABLE.at(path, problem.message)
            return
        except StoreError as problem:
            yield file_rules.FILE_UNREADABLE.at(path, problem.message)
            return
        root = image_root(path, index.images.file_names, self.files)
        self.annotation_files.append(AnnotationFile(path, split_of(path), index, root))

    def _listed(self, path: str) -> Finding:
        """What to say of a list in place of annotations."""
        if not named_as_annotations(path) and wire.wait(beginning(self.store, path)) == "results":
            return coco_results.RESULTS_NOT_CHECKED.at(path, "it looks like a list of results")
        return coco_text.JSON_TOP.at(path, "it is a list, and no object with images", pointer="", byte=0)

    def _references(self, one: AnnotationFile, loader: bool) -> Iterator[Finding]:
        """The images of a file that are not here, or that a loader cannot fetch."""
        names = one.index.images.file_names
        if loader:
            yield from not_for_loader(one.index, one.path)
        if one.root is None:
            if names:
                words = f"it names {counted(len(names), 'image')}, and none of them is here"
                yield coco_files.IMAGES_ABSENT.at(one.path, words, images=len(names))
            return
        for number, name in enumerate(names):
            path = one.image(number)
            if path is not None and path not in self.files:
                words = f"image {one.index.images.ids[number]}, {name}, is not in {one.root or 'the place'}"
                where = {**one.address(number), "file": path}
                yield from self.told.at(one.path, coco_files.IMAGE_MISSING, one.path, words, **where)

    def _masks(self, one: AnnotationFile, holds: Callable[[str], bool]) -> Iterator[Finding]:
        """The masks of panoptic annotations."""
        masks = panoptic_check.masks(one.index, self.files)
        if masks is None:
            yield coco_files.IMAGES_ABSENT.at(one.path, "none of the masks that it names is here", key="masks")
            return
        self.named_masks.update(mask.path for mask in masks)
        for mask in masks:
            if mask.path not in self.files:
                words = f"the mask of image {mask.image_id}, {mask.path}, is not there"
                yield from self.told.at(one.path, coco_files.MASK_MISSING, one.path, words, **mask.where())
        if self.depth.reaches(Depth.DECODE):
            there = [(mask, self.files[mask.path]) for mask in masks if mask.path in self.files and holds(mask.path)]
            self.masks.update(mask.path for mask, _ in there)
            work = panoptic_check.looking(one.path)
            for findings in self.look.rounds.over("Looking at masks", there, work, "masks", total=len(there)):
                yield from findings

    def _unlisted(self) -> Iterator[Finding]:
        """The images that lie with those of an annotation file, and that none names."""
        roots = {one.root: one.path for one in self.annotation_files if one.root is not None}
        homes = {path.rpartition("/")[0] for path in self.named_masks if path in self.files}
        below = set(self.image_paths if "" in roots else images_below(roots, self.image_paths))
        left = {path for path in self.image_paths if path.rpartition("/")[0] in homes}
        left |= {path for path in below if not path.startswith("annotations/")}
        left -= self.named_masks
        for one in self.annotation_files:  # none of these names is kept: there may be millions
            left.difference_update(filter(None, map(one.image, range(len(one.index.images)))))
        for path in self.image_paths if left else ():
            home = path.rpartition("/")[0]
            if path in left:
                yield from self.told.at(home or ".", coco_files.IMAGE_UNLISTED, path, "no annotation file names it")

    def _counts(self, expect: str | tuple[Expected, ...]) -> Iterator[Finding]:
        """The counts that are not as expected."""
        homes = Counter(path.rpartition("/")[0] for path in self.image_paths)
        read = {original(one.path): one.index for one in self.annotation_files}
        if isinstance(expect, str):
            rows = tuple(coco_counts.official(read, homes))
            if not any(row.what == "files" for row in rows):
                yield coco_files.COUNT_UNEXPECTED.at(".", "no directory with the images of a split of COCO is here")
        else:
            rows = expect
        for row in rows:
            index = read.get(row.path)
            if row.what == "files":
                have: int | None = sum(count for home, count in homes.items() if _below(home, row.path))
            else:
                have = len(getattr(index, row.what)) if index and row.what != "rows" else None
            if have != row.count:
                rule = coco_files.COUNT_UNEXPECTED if row.sure else coco_files.COUNT_DOUBTFUL
                what = "images" if row.what == "files" else row.what
                words = (
                    f"it has {have:,} {what}" if have is not None else f"there is no such annotation file, or no {what}"
                )
                where = {"key": what, "expected": row.count, "actual": have}
                yield rule.at(row.path, f"{words}, {row.count:,} are expected", **where)

    def _images(self, paths: Sequence[str]) -> Iterator[Finding]:
        """Look at images, each by itself."""
        compared = coco_splits.compared(self.annotation_files, self.files)
        items = ((self.files[path], path in compared) for path in paths)
        jobs = jobs_to_see(self.depth, self.near)
        sights = self.look.rounds.over("Looking at images", items, _SEEING, "images", total=len(paths), jobs=jobs)
        same: dict[Seen, Seen] = {}  # most images have a size that others have
        for path, sight in zip(paths, sights, strict=True):
            if sight.size or sight.digest:
                bare = sight.bare
                self.sights[path] = same.setdefault(bare, bare)
            for finding in sight.findings:
                if finding.code == image_files.IMAGE_ROTATED.code:
                    self.rotated[path] = finding  # to be told unless the annotations say that it matters
                else:
                    yield finding

    def _sizes(self, one: AnnotationFile) -> Iterator[Finding]:
        """The images whose width and height are not those that a file says."""
        images = one.index.images
        for number, (width, height) in enumerate(zip(images.widths.tolist(), images.heights.tolist(), strict=True)):
            sight = self.sights.get(one.image(number) or "")
            if sight is None or sight.size is None or min(width, height) <= 0 or sight.size == (width, height):
                continue
            path = one.image(number) or ""
            turned = sight.size == (height, width)
            rule = coco_files.IMAGE_SIZE_MISMATCH
            has = f"it has {sight.size[0]} x {sight.size[1]} pixels"
            says = f"{one.path} says {width} x {height}"
            if turned and sight.orientation >= 5:
                rule, has = coco_files.IMAGE_SIZE_ROTATED, f"{has} and the EXIF orientation {sight.orientation}"
                self.rotated.pop(path, None)
            elif turned:
                says += ": width and height are exchanged"
            where = {**one.where(number), "json": one.path, "expected": [width, height], "actual": list(sight.size)}
            yield from self.told.at(one.path, rule, path, f"{has}, {says}", **where)


def _read_once(file: JsonFile, chunks: Iterator[bytes], path: str) -> tuple[Checked, Index | WrongContent]:
    """Hold a file against the rules and index it: in step, so that it is read once, and a few pieces of it are held."""
    left, right = itertools.tee(chunks)
    checking, indexing = coco.checking(file, left, path), coco_json.indexing(file, right)
    del left, right  # who has come to his end lets go of his
    checked: Checked | None = None
    found: Index | WrongContent | None = None
    while checked is None or found is None:
        try:
            if checked is None:
                next(checking)
        except StopIteration as end:
            checked = end.value
        try:
            if found is None:
                next(indexing)
        except StopIteration as end:
            found = end.value
        except WrongContent as problem:
            found = problem
    return checked, found


def _below(home: str, path: str) -> bool:
    return path in (home, ".", "") or home.startswith(f"{path}/")


async def _now(item: Any) -> Any:
    return item


async def _seen(eye: Eye, item: tuple[File, bool]) -> Seen:
    """An image, and whether the digest of its bytes is wanted."""
    return await eye.see(item[0], digest=item[1])


_SEEING = Work(_seen, lambda item: item[:1], lambda item, error: unseen(item[0], error), Seen)
