"""Images that only one place has: annotation files of several kinds name the same ones, and each is told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from visprep.coco_file import nearby
from visprep.differences.coco_images import partners
from visprep.differences.coco_side import Side
from visprep.differences.matching import Ints
from visprep.errors import WrongContent
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile
from visprep.formats.coco_place import Split, split_of


@dataclass(frozen=True)
class Pool:
    """The annotation files of one kind, on both sides."""

    left: Side
    right: Side

    @cached_property
    def partners(self) -> Ints:
        """Of each image in B the row in A, -1 for none."""
        return partners(self.left, self.right)

    @cached_property
    def both(self) -> tuple[Ints, Ints]:
        """The rows of the images that both sides have, in the order of B."""
        rows = np.flatnonzero(self.partners >= 0)
        return self.partners[rows], rows

    @cached_property
    def single(self) -> tuple[Ints, Ints]:
        """The rows of the images that only A has here, and of those that only B has."""
        return np.delete(np.arange(len(self.left.names)), self.both[0]), np.flatnonzero(self.partners < 0)


@dataclass(frozen=True)
class Alone:
    """Images of a side that have no partner in their pool.

    `told` are the rows of those that the other place does not have at all, and how many annotations each has in all
    files; an image that an earlier pool tells is not among them. `known` are the rows of those that the other place has
    in another annotation file.
    """

    told: Mapping[int, int]
    known: Ints


def alone(pools: Sequence[Pool], same: Callable[[], Iterable[JsonFile]]) -> list[tuple[Alone, Alone]]:
    """What each pool has alone, on both sides; `same` gives the annotation files that are the same in both places.

    Two images are the same by `file_name`, unless their files are of parts that share no image, as train and val.
    """
    asked = {
        split_of(document.index.file.name)
        for pool in pools
        for side, rows in zip((pool.left, pool.right), pool.single, strict=True)
        for document in (side.documents[number] for number in np.unique(side.image_document[rows]).tolist())
    }
    shared = list(_named(same(), asked)) if asked else []
    return list(zip(_of_side(pools, 0, shared), _of_side(pools, 1, shared), strict=True))


def _named(files: Iterable[JsonFile], asked: set[Split]) -> Iterator[tuple[Split, Sequence[str | None]]]:
    """The images that files name which may have some of the splits asked for; a file that cannot be read has none."""
    for file in files:
        split = split_of(file.name)
        if not all(split.apart(other) for other in asked):
            try:
                yield split, coco_json.index(nearby(file), []).images.file_names
            except WrongContent:
                continue


def _of_side(pools: Sequence[Pool], number: int, shared: list[tuple[Split, Sequence[str | None]]]) -> Iterator[Alone]:
    sides = [(pool.left, pool.right)[number] for pool in pools]
    wanted = {side.names[row] for side, pool in zip(sides, pools, strict=True) for row in pool.single[number].tolist()}
    there: dict[str, set[Split]] = {}
    for side, pool in zip(sides, pools, strict=True) if wanted else ():
        other = (pool.left, pool.right)[1 - number]
        rows = (side, pool.both[number]), (other, np.arange(len(other.names)))  # the first for images that moved
        for split, name in (found for one, some in rows for found in _splits(one, some)):
            if name and name in wanted:
                there.setdefault(name, set()).add(split)
    for split, names in shared:
        for name in wanted.intersection(names):
            there.setdefault(name or "", set()).add(split)
    firsts: dict[str, list[tuple[Split, dict[int, int], int]]] = {}
    for side, pool in zip(sides, pools, strict=True):
        yield _of_pool(side, pool.single[number], there, firsts)


def _of_pool(
    side: Side,
    rows: Ints,
    there: Mapping[str, set[Split]],
    firsts: dict[str, list[tuple[Split, dict[int, int], int]]],
) -> Alone:
    """`firsts` has for each name the images that were told so far: the split, and where their annotations count."""
    if not len(rows):
        return Alone({}, rows)
    told: dict[int, int] = {}
    known: list[int] = []
    having = np.bincount(side.owners + 1, minlength=len(side.names) + 1)
    in_file = Counter(zip(side.image_document[rows].tolist(), (side.names[row] for row in rows.tolist()), strict=True))
    paired = _paired_names(side, rows)
    for row, (split, name) in zip(rows.tolist(), _splits(side, rows), strict=True):
        count, document = int(having[row + 1]), int(side.image_document[row])
        if not name or in_file[document, name] > 1 or (document, name) in paired:
            told[row] = count  # a file that names an image twice has a record more
        elif any(not split.apart(one) for one in there.get(name, ())):
            known.append(row)
        elif first := next((one for one in firsts.get(name, ()) if not split.apart(one[0])), None):
            first[1][first[2]] += count
        else:
            told[row] = count
            firsts.setdefault(name, []).append((split, told, row))
    return Alone(told, np.array(known, np.int64))


def _paired_names(side: Side, rows: Ints) -> set[tuple[int, str | None]]:
    """The documents and names of all but some images, of the names that these have."""
    names = {side.names[row] for row in rows.tolist()}
    rest = np.delete(np.arange(len(side.names)), rows).tolist()
    return {(int(side.image_document[row]), side.names[row]) for row in rest if side.names[row] in names}


def _splits(side: Side, rows: Ints) -> Iterator[tuple[Split, str | None]]:
    """The split and the name of some images."""
    splits = [split_of(document.index.file.name) for document in side.documents]
    return ((splits[side.image_document[row]], side.names[row]) for row in rows.tolist())
