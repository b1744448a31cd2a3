"""A COCO dataset at a place: what is wrong with its annotation files, its images, and between them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from visprep import panoptic_check
from visprep.coco_file import judged, on_s3
from visprep.errors import StoreError, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_counts, coco_json
from visprep.formats.coco_counts import Expected
from visprep.formats.coco_json import Index, JsonFile
from visprep.formats.coco_place import (
    Split,
    begins_as_results,
    candidates,
    cleaned,
    image_root,
    images_below,
    joined,
    original,
    recognized,
    split_of,
)  # fmt: skip
from visprep.image_headers import HEAD_BYTES
from visprep.image_loading import Seen, see
from visprep.manifest import File
from visprep.rules import Depth, Rule, coco, coco_files, coco_results, image_files
from visprep.rules import files as file_rules
from visprep.rules.coco_notes import KEPT
from visprep.stores import Store

#: `each(stage, items, work, unit, jobs)`: the work of every item, in order.
Each = Callable[..., Iterator[Any]]


@dataclass(slots=True)
class AnnotationFile:
    """An annotation file that was read: its `root` is the directory of its images, None when none of them is here."""

    path: str
    split: Split
    index: Index
    root: str | None

    def image(self, number: int) -> str | None:
        """The path in the place of one of its images; None for a name that leads nowhere in it."""
        name = self.index.images.file_names[number]
        if self.root is None or not name or "://" in name or name.startswith("/") or ".." in name.split("/"):
            return None
        return joined(self.root, name)

    def where(self, number: int) -> dict[str, Any]:
        """The address of the record of one of its images."""
        images = self.index.images
        return {"pointer": f"/images/{number}", "byte": int(images.starts[number]), "image_id": int(images.ids[number])}


@dataclass
class Told:
    """What was told of each kind so far: of one kind and file no more than a thousand, and then how many more."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rules: dict[str, Rule] = field(default_factory=dict)

    def at(self, about: str, rule: Rule, path: str, message: str, **where: Any) -> Iterator[Finding]:
        """The finding, unless too many were told of `about`."""
        self.rules[rule.code] = rule
        self.counts[rule.code, about] += 1
        if self.counts[rule.code, about] <= KEPT:
            yield rule.at(path, message, **where)

    def rest(self) -> Iterator[Finding]:
        """How many were not told one by one."""
        for (code, about), count in self.counts.items():
            if count > KEPT:
                words = f"and {count - KEPT:,} more of this kind, not told one by one"
                yield self.rules[code].at(about, words, count=count - KEPT)


class CocoCheck:
    """One look at a place. `listing` are its files, `images` those of its images that are asked about."""

    def __init__(self, store: Store, listing: Sequence[File], depth: Depth, each: Each, *, near: bool) -> None:
        self.store, self.depth, self.each, self.near = store, depth, each, near
        self.files: Mapping[str, File] = {file.path: file for file in listing}
        self.annotation_files: list[AnnotationFile] = []
        self.sights: dict[str, Seen] = {}
        self.masks: set[str] = set()
        self.rotated: dict[str, Finding] = {}
        self.told = Told()
        #: How much was looked at
        self.records: dict[str, int] = {"images": 0, "annotations": 0}

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The paths of its annotation files, but for those set aside; of all JSON files, where none looks like one."""
        files = candidates(self.files.values())
        likely = tuple(one.path for one in files if recognized(self.store, (one,)))
        names = likely or tuple(one.path for one in files)
        return tuple(path for path in names if cleaned(path) not in names)

    @cached_property
    def image_paths(self) -> tuple[str, ...]:
        """The paths of all of its images."""
        return tuple(path for path in self.files if image_files.is_image(path))

    def findings(
        self, holds: Callable[[str], bool], expect: str | tuple[Expected, ...] | None, *, loader: bool
    ) -> Iterator[Finding]:
        """All that is wrong; of images, those are looked into that `holds` says."""
        self.records["images"] = sum(map(holds, self.image_paths))
        if not self.names:
            yield coco_files.NO_ANNOTATIONS.at(".", "no annotation file (*.json) is here")
        for file in candidates(self.files.values()):
            if cleaned(file.path) in self.names:
                words = f"not checked: {cleaned(file.path)} stands for it"
                yield coco_files.ANNOTATIONS_SET_ASIDE.at(file.path, words)
            elif file.path not in self.names and begins_as_results(self.store, file.path):
                yield coco_results.RESULTS_NOT_CHECKED.at(file.path, "it looks like a list of results")
        for path in self.each("Reading annotations", self.names, _now, "files", 1):
            yield from judged(self._annotations(path), loader)
        for one in self.annotation_files:
            yield from self._references(one, loader)
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
        yield from self._splits()
        yield from self.told.rest()

    def bytes(self, holds: Callable[[str], bool]) -> int:
        """The bytes that would be read."""
        self.records["images"] = sum(map(holds, self.image_paths))
        head = None if self.near or self.depth.reaches(Depth.DECODE) else HEAD_BYTES
        sizes = (self.files[path].size or 0 for path in self.image_paths if holds(path))
        images = sum(min(size, head or size) for size in sizes) if self.depth.reaches(Depth.HEADERS) else 0
        return images + sum(self.files[path].size or 0 for path in self.names)

    def _annotations(self, path: str) -> Iterator[Finding]:
        """Read an annotation file, and say what is wrong with it."""
        file = JsonFile(self.store, path)
        readable = True
        try:
            if self.depth.reaches(Depth.HEADERS):
                checked = coco.check(file, path)
                yield from checked.findings
                readable = checked.readable
            index = coco_json.index(file)
        except WrongContent:
            if readable:  # not asked so closely, or something that its rules let pass
                yield from coco.check(file, path).findings
            return
        except StoreError as problem:
            yield file_rules.FILE_UNREADABLE.at(path, problem.message)
            return
        self.records["annotations"] += len(index.annotations)
        root = image_root(path, index.images.file_names, self.files)
        self.annotation_files.append(AnnotationFile(path, split_of(path), index, root))

    def _references(self, one: AnnotationFile, loader: bool) -> Iterator[Finding]:
        """The images of a file that are not here, or that a loader cannot fetch."""
        names = one.index.images.file_names
        if loader:
            for number, name in enumerate(names):
                if name is not None and not on_s3(name):
                    words = f"image {one.index.images.ids[number]} is named {name!r}, which is no s3://bucket/key"
                    yield from self.told.at(one.path, coco_files.LOADER_FILE_NAME, one.path, words, **one.where(number))
        if one.root is None:
            if names:
                words = f"none of the {len(names):,} images that it names is here"
                yield coco_files.IMAGES_ABSENT.at(one.path, words, images=len(names))
            return
        for number, name in enumerate(names):
            path = one.image(number)
            if path is not None and path not in self.files:
                words = f"image {one.index.images.ids[number]}, {name}, is not in {one.root or 'the place'}"
                where = {**one.where(number), "file": path}
                yield from self.told.at(one.path, coco_files.IMAGE_MISSING, one.path, words, **where)

    def _masks(self, one: AnnotationFile, holds: Callable[[str], bool]) -> Iterator[Finding]:
        """The masks of panoptic annotations."""
        masks = panoptic_check.masks(one.index, self.files)
        if masks is None:
            yield coco_files.IMAGES_ABSENT.at(one.path, "none of the masks that it names is here", key="masks")
            return
        for mask in masks:
            if mask.path not in self.files:
                words = f"the mask of image {mask.image_id}, {mask.path}, is not there"
                yield from self.told.at(one.path, coco_files.MASK_MISSING, one.path, words, **mask.where())
        if self.depth.reaches(Depth.DECODE):
            there = [mask for mask in masks if mask.path in self.files and holds(mask.path)]
            self.masks.update(mask.path for mask in there)
            work = panoptic_check.looking(self.store, self.files, self.depth, one.path)
            for findings in self.each("Looking at masks", there, work, "masks"):
                yield from findings

    def _unlisted(self) -> Iterator[Finding]:
        """The images that lie with those of an annotation file, and that none names."""
        roots = {one.root: one.path for one in self.annotation_files if one.root is not None}
        if not roots:
            return
        named = {path for one in self.annotation_files for path in map(one.image, range(len(one.index.images)))}
        below = self.image_paths if "" in roots else images_below(roots, self.image_paths)
        for path in below:
            if path not in named and not path.startswith("annotations/"):
                yield from self.told.at(
                    path.rpartition("/")[0] or ".", coco_files.IMAGE_UNLISTED, path, "no annotation file names it"
                )

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
                have = len(getattr(index, row.what)) if index else None
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
        compared = self._compared()

        async def seen(path: str) -> Seen:
            return await see(self.store, self.files[path], self.depth, near=self.near, digest=path in compared)

        jobs = 1 if self.near and not self.depth.reaches(Depth.DECODE) else None  # scanning holds the interpreter
        for path, sight in zip(paths, self.each("Looking at images", paths, seen, "images", jobs), strict=True):
            self.sights[path] = sight.bare
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

    def _by_split(self) -> dict[Split, list[AnnotationFile]]:
        found: dict[Split, list[AnnotationFile]] = defaultdict(list)
        for one in self.annotation_files:
            found[one.split].append(one)
        return found

    def _pairs(self) -> Iterator[tuple[list[AnnotationFile], list[AnnotationFile]]]:
        """The files of two splits each that shall share no image."""
        splits = list(self._by_split().items())
        for number, (split, files) in enumerate(splits):
            for other, others in splits[number + 1 :]:
                if split.apart(other):
                    yield files, others

    def _compared(self) -> set[str]:
        """The images whose bytes may be those of an image of another split: they are of the same size."""
        compared: set[str] = set()
        for pair in self._pairs():
            by_size: list[dict[int, list[str]]] = [defaultdict(list), defaultdict(list)]
            for side, files in zip(by_size, pair, strict=True):
                for path in {path for one in files for path in _images_of(one) if path in self.files}:
                    side[self.files[path].size or 0].append(path)
            for size in by_size[0].keys() & by_size[1].keys() - {0}:
                compared.update(by_size[0][size], by_size[1][size])
        return compared

    def _splits(self) -> Iterator[Finding]:
        """The images that two splits share."""
        for files, others in self._pairs():
            yield from _Shared(self, files, others).findings()


class _Shared:
    """What two splits have in common."""

    def __init__(self, check: CocoCheck, files: list[AnnotationFile], others: list[AnnotationFile]) -> None:
        self.check, self.sides = check, (files, others)
        self.by_id = tuple(_first(one, lambda file, at: int(file.index.images.ids[at])) for one in self.sides)
        self.ids = self.names = 0
        self.told: set[tuple[str, int]] = set()

    def findings(self) -> Iterator[Finding]:
        """An image that is the same in both is told by itself; ids and names that are, by their number."""
        first, second = self.by_id
        for id in sorted(first.keys() & second.keys()):
            if id != coco_json.MISSING:
                yield from self._pair(first[id], second[id], "id")
        yield from self._bytes()
        names = tuple(_first(one, lambda file, at: file.index.images.file_names[at]) for one in self.sides)
        for name in sorted(names[0].keys() & names[1].keys() - {None}):
            yield from self._pair(names[0][name], names[1][name], "name")
        pair = f"{self.sides[0][0].path} and {self.sides[1][0].path}"
        for rule, count, what in (
            (coco_files.IMAGE_ID_IN_TWO_SPLITS, self.ids, "ids"),
            (coco_files.IMAGE_NAME_IN_TWO_SPLITS, self.names, "file names"),
        ):
            if count:
                words = f"{pair}: {count:,} {what} stand for another image in each"
                yield rule.at(self.sides[1][0].path, words, count=count, first=self.sides[0][0].path)

    def _pair(self, one: tuple[AnnotationFile, int], other: tuple[AnnotationFile, int], by: str) -> Iterator[Finding]:
        (file, at), (second, number) = one, other
        if (second.path, number) in self.told:
            return
        alike = file.index.images.file_names[at] == second.index.images.file_names[number]
        same_id = file.index.images.ids[at] == second.index.images.ids[number]
        digests = [self._digest(each, which) for each, which in (one, other)]
        equal = None if None in digests else digests[0] == digests[1]
        here = file.image(at)
        if (here is not None and here == second.image(number)) or equal or (alike and same_id and equal is None):
            yield from self._same(one, other, "its bytes are those" if equal else "its id and name are those")
        elif by == "id":
            self.ids += 1
        elif not same_id:
            self.names += 1

    def _bytes(self) -> Iterator[Finding]:
        firsts = _first(self.sides[0], self._digest)
        for digest, other in _first(self.sides[1], self._digest).items():
            if digest is not None and digest in firsts:
                yield from self._same(firsts[digest], other, "its bytes are those")

    def _digest(self, file: AnnotationFile, at: int) -> str | None:
        path = file.image(at)
        sight = self.check.sights.get(path or "")
        return sight.digest if sight else None

    def _same(self, one: tuple[AnnotationFile, int], other: tuple[AnnotationFile, int], why: str) -> Iterator[Finding]:
        file, (second, number) = one[0], other
        if (second.path, number) in self.told:
            return
        self.told.add((second.path, number))
        names = [each.image(which) or str(each.index.images.file_names[which]) for each, which in (one, other)]
        where = {**second.where(number), "json": second.path, "first": names[0]}
        words = f"{why} of {names[0]} in {file.split.name}"
        yield from self.check.told.at(second.path, coco_files.IMAGE_IN_TWO_SPLITS, names[1], words, **where)


def _first(files: Iterable[AnnotationFile], key: Callable[[AnnotationFile, int], Any]) -> dict[Any, Any]:
    """Each key of the images of a split, with the first image that has it."""
    found: dict[Any, tuple[AnnotationFile, int]] = {}
    for one in files:
        for number in range(len(one.index.images)):
            found.setdefault(key(one, number), (one, number))
    return found


def _images_of(one: AnnotationFile) -> Iterator[str]:
    return (path for path in map(one.image, range(len(one.index.images))) if path is not None)


def _below(home: str, path: str) -> bool:
    return path in (home, ".", "") or home.startswith(f"{path}/")


async def _now(item: Any) -> Any:
    return item
