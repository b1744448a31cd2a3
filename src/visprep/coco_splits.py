"""What two splits of a COCO dataset share, and should not: images, by their bytes, ids or names."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from visprep.annotation_files import AnnotationFile, Told
from visprep.findings import Finding
from visprep.formats import coco_json
from visprep.formats.coco_place import Split
from visprep.image_loading import Seen
from visprep.manifest import File
from visprep.render.text import counted
from visprep.rules import coco_files


def shared(files: Sequence[AnnotationFile], sights: Mapping[str, Seen], told: Told) -> Iterator[Finding]:
    """The images that two splits share; `sights` are the images that were looked at."""
    for pair in _pairs(files):
        yield from _Shared(*pair, sights, told).findings()


def compared(files: Sequence[AnnotationFile], listing: Mapping[str, File]) -> set[str]:
    """The images whose bytes may be those of an image of another split: they are of the same size."""
    found: set[str] = set()
    for pair in _pairs(files):
        by_size: list[dict[int, list[str]]] = [defaultdict(list), defaultdict(list)]
        for side, of_split in zip(by_size, pair, strict=True):
            for path in {path for one in of_split for path in _images_of(one) if path in listing}:
                side[listing[path].size or 0].append(path)
        for size in by_size[0].keys() & by_size[1].keys() - {0}:
            found.update(by_size[0][size], by_size[1][size])
    return found


def _pairs(files: Iterable[AnnotationFile]) -> Iterator[tuple[list[AnnotationFile], list[AnnotationFile]]]:
    """The files of two splits each that shall share no image."""
    by_split: dict[Split, list[AnnotationFile]] = defaultdict(list)
    for one in files:
        by_split[one.split].append(one)
    for (split, these), (other, those) in itertools.combinations(by_split.items(), 2):
        if split.apart(other):
            yield these, those


class _Shared:
    """What two splits have in common."""

    def __init__(
        self, files: list[AnnotationFile], others: list[AnnotationFile], sights: Mapping[str, Seen], told: Told
    ) -> None:
        self.sides, self.sights, self.told = (files, others), sights, told
        self.by_id = tuple(_first(one, lambda file, at: int(file.index.images.ids[at])) for one in self.sides)
        self.ids: list[tuple[AnnotationFile, int]] = []
        self.names: list[tuple[AnnotationFile, int]] = []
        self.known: set[tuple[str, int]] = set()

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
        for rule, others, what in (
            (coco_files.IMAGE_ID_IN_TWO_SPLITS, self.ids, "id"),
            (coco_files.IMAGE_NAME_IN_TWO_SPLITS, self.names, "file name"),
        ):
            if others:
                file, number = others[0]
                images = file.index.images
                such = images.ids[number] if what == "id" else images.file_names[number]
                words = f"{pair}: {counted(len(others), what)} for another image in each, such as {such}"
                where = {key: value for key, value in file.address(number).items() if key != "image_id"}
                yield rule.at(file.path, words, **where, count=len(others), first=self.sides[0][0].path)

    def _pair(self, one: tuple[AnnotationFile, int], other: tuple[AnnotationFile, int], by: str) -> Iterator[Finding]:
        (file, at), (second, number) = one, other
        if (second.path, number) in self.known:
            return
        alike = file.index.images.file_names[at] == second.index.images.file_names[number]
        same_id = file.index.images.ids[at] == second.index.images.ids[number]
        digests = [self._digest(each, which) for each, which in (one, other)]
        equal = None if None in digests else digests[0] == digests[1]
        here = file.image(at)
        if (here is not None and here == second.image(number)) or equal or (alike and same_id and equal is None):
            yield from self._same(one, other, "its bytes are those" if equal else "its id and name are those")
        elif by == "id":
            self.ids.append(other)
        elif not same_id:
            self.names.append(other)

    def _bytes(self) -> Iterator[Finding]:
        firsts = _first(self.sides[0], self._digest)
        for digest, other in _first(self.sides[1], self._digest).items():
            if digest is not None and digest in firsts:
                yield from self._same(firsts[digest], other, "its bytes are those")

    def _digest(self, file: AnnotationFile, at: int) -> str | None:
        path = file.image(at)
        sight = self.sights.get(path or "")
        return sight.digest if sight else None

    def _same(self, one: tuple[AnnotationFile, int], other: tuple[AnnotationFile, int], why: str) -> Iterator[Finding]:
        file, (second, number) = one[0], other
        if (second.path, number) in self.known:
            return
        self.known.add((second.path, number))
        names = [each.image(which) or str(each.index.images.file_names[which]) for each, which in (one, other)]
        where = {**second.where(number), "json": second.path, "first": names[0]}
        words = f"{why} of {names[0]} in {file.split.name}"
        yield from self.told.at(second.path, coco_files.IMAGE_IN_TWO_SPLITS, names[1], words, **where)


def _first(files: Iterable[AnnotationFile], key: Callable[[AnnotationFile, int], Any]) -> dict[Any, Any]:
    """Each key of the images of a split, with the first image that has it."""
    found: dict[Any, tuple[AnnotationFile, int]] = {}
    for one in files:
        for number in range(len(one.index.images)):
            found.setdefault(key(one, number), (one, number))
    return found


def _images_of(one: AnnotationFile) -> Iterator[str]:
    return (path for path in map(one.image, range(len(one.index.images))) if path is not None)
