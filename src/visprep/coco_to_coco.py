"""COCO to COCO: the annotation files of a place, or some that become one, with their images, and all that they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from visprep import panoptic_check, provenance, wire
from visprep.coco_file import is_one
from visprep.coco_named import left_out
from visprep.coco_shrinking import Shrinking, size_of
from visprep.convert_output import Planned, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.errors import FileMissing, UsageError
from visprep.formats.coco_edits import Edit, Elements, Key, Piece, Top, listed, rerooted, together, unrooted
from visprep.formats.coco_json import MISSING
from visprep.formats.coco_merging import (
    Classes,
    classes_of,
    join_classes,
    join_ids,
    join_licenses,
    map_classes,
    mapped,
)
from visprep.formats.coco_place import joined
from visprep.formats.coco_scan import Ints
from visprep.progress import Pulse, unheard
from visprep.recordsets import coco
from visprep.recordsets.coco_files import CocoFile
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.resizing import picture
from visprep.stores import Store

__all__ = ["convert"]

#: Lists whose elements are written one by one, and never held.
_LONG: tuple[Key, Key] = ("images", "annotations")
_Numbers = dict[tuple[Key, str], Ints]


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    return _Converting(origin, target, wish).run()


class _Converting:
    """The annotation files of one call, on their way."""

    def __init__(self, origin: Origin, target: Store, wish: Wish) -> None:
        self.origin, self.target, self.wish = origin, target, wish
        self.losses = Losses("one file of several" if wish.merge else wish.to)
        self.notes: list[str] = []
        self.files: tuple[CocoFile, ...] = ()

    def run(self) -> ConvertResult:
        """Read all files, draft those that come of them, and link their images."""
        wish = self.wish
        for option, root in (("--image-root", wish.image_root), ("--strip-root", wish.strip_root)):
            if root is not None and not root.strip("/"):
                raise UsageError(f"{option} {root!r}: no prefix", hint=f"{option} s3://bucket/prefix")
        if wish.max_side and wish.image_root is not None:
            words = "--max-side makes images smaller that are here, and --image-root says that they are elsewhere"
            raise UsageError(words, hint="convert with --max-side first, and what comes of it with --image-root")
        groups = self._groups()
        self.files = tuple(file for group in groups for file in group)
        options = {"from": "coco", **wish.options, **({"file": self.files[0].file.path} if self.origin.file else {})}
        inputs = {_name(file) if wish.merge else file.file.path: file.digest for file in self.files}
        step = provenance.step("convert", name_of(self.files[0].home.store), options=options, origin={"inputs": inputs})
        documents = {group[0].file.path: self._document(group) for group in groups}
        with writing(self.target, step, wish) as output:
            for path, document in documents.items():
                output.document(path, replace(document, pulse=Pulse(wish.progress)))
            if wish.image_root is None:
                output.plan(partial(_pictures, groups, wish))
            output.put(self.losses, lossless=wish.lossless)
            if wish.image_root is None:
                self.notes += _absent(self.files)
            self.notes += left_out(self.origin, self.files)
        return output.result(
            self.origin.given,
            wish.to,
            "coco",
            self.losses,
            images={path: document.images for path, document in documents.items()},
            notes=self.notes,
        )

    def _groups(self) -> list[list[CocoFile]]:
        """The files that are read, those together that become one; UsageError when they cannot."""
        wish, given = self.wish, self.origin.given
        files = coco.read([given], wish.s3).files
        if not wish.merge:
            return [[file] for file in files]
        if len(files) > 1:
            names = ", ".join(file.file.path for file in files[:3])
            hint = f"name one file, which the others join: visprep convert {given.rstrip('/')}/{files[0].file.path}"
            raise UsageError(f"{given}: --merge joins one file, and there are {names}", hint=hint)
        for other in wish.merge:
            if not is_one(other):
                raise UsageError(f"--merge {other}: not a JSON file", hint="name an annotation file: instances.json")
            if "://" not in other and not Path(other).is_file():
                raise FileMissing(f"--merge {other}: no such file", hint="check the path")
        joined_by = [file for other in wish.merge for file in coco.read([other], wish.s3).files]
        known: set[tuple[str, str]] = set()
        for file in (*files, *joined_by):
            if (where := (file.home.store.place, file.file.path)) in known:
                raise UsageError(f"--merge {file.given}: it is there twice", hint="leave it out, or name another file")
            known.add(where)
        return [[*files, *joined_by]]

    def _document(self, group: Sequence[CocoFile]) -> _Document:
        """What comes of one file, or of several that become one."""
        wish = self.wish
        if not (wish.merge or wish.classes or wish.image_root or wish.strip_root or wish.max_side):
            return _Document([_piece(group[0])])
        for file in group:
            if file.broken:  # what it means cannot be known, so it cannot be changed
                raise file.broken[0][2]
        tops = [Top.read(file.file.index.file, self._holds) for file in group]
        numbers: list[_Numbers] = [{} for _ in group]
        lists: dict[str, Sequence[bytes]] = {}
        if wish.merge:
            lists["licenses"] = self._join(group, tops, numbers)
        classes = self._classes(group, tops)
        if wish.merge or wish.classes:
            lists["categories"] = [one.raw for one in classes[0].entries]
        pieces = []
        for file, of, number in zip(group, classes, numbers, strict=True):
            if of.renumbers:
                _check_no_segments(file)
                number["annotations", "category_id"] = mapped(file.file.index.annotations.category_ids, of.ids)
            edits: dict[Key, list[Edit]] = {"images": self._renaming(file)}
            if wish.max_side:
                small = Shrinking(file, wish.max_side)
                edits = {"images": [*edits["images"], small.image], "annotations": [small.annotation]}
            pieces.append(_piece(file, of.dropped, number, edits))
        return _Document(
            pieces,
            tops[0],
            tuple(key for key in _LONG if any(top.member(key) for top in tops)),
            {key: held for key, held in lists.items() if held or tops[0].member(key)},
            self._others(tops, group),
        )

    def _holds(self, key: str) -> bool:
        return key == "categories" or (bool(self.wish.merge) and key == "licenses")

    def _classes(self, group: Sequence[CocoFile], tops: Sequence[Top]) -> list[Classes]:
        """What becomes of the classes of each file; all that stay are with the first."""
        found = [classes_of(top, file.file.index) for top, file in zip(tops, group, strict=True)]
        losing = [partial(self._lost, file) for file in group]
        if self.wish.classes is not None:
            names = self.wish.classes.names(one.name for file in self.files for one in file.file.index.categories)
            found = [map_classes(one, names, lost) for one, lost in zip(found, losing, strict=True)]
        given = [file.given for file in group]
        return join_classes(found, given, self.wish.renumber, losing) if len(found) > 1 else found

    def _lost(self, file: CocoFile, name: str, example: str) -> None:
        self.losses.lost(name, file.file.path, example)

    def _join(self, group: Sequence[CocoFile], tops: Sequence[Top], numbers: Sequence[_Numbers]) -> list[bytes]:
        """Give records of later files other ids where those are taken; the licenses of all."""
        names, renumber = [file.given for file in group], self.wish.renumber
        indexes = [file.file.index for file in group]
        images = join_ids([one.images.ids for one in indexes], "images", names, renumber)
        own = join_ids([one.annotations.ids for one in indexes], "annotations", names, renumber)
        licenses, moves = join_licenses(tops, names, renumber)
        for index, number, image_ids, ids, moved in zip(indexes, numbers, images, own, moves, strict=True):
            changed = np.flatnonzero(index.images.ids != image_ids)
            became = dict(zip(index.images.ids[changed].tolist(), image_ids[changed].tolist(), strict=True))
            number["images", "id"], number["annotations", "id"] = image_ids, ids
            number["annotations", "image_id"] = mapped(index.annotations.image_ids, became)
            number["images", "license"] = mapped(index.images.licenses, moved)
        if self.wish.image_root is None:
            _check_pictures(group)
        self.notes += _twice(group, images)
        return licenses

    def _renaming(self, file: CocoFile) -> list[Edit]:
        """What is done to the names of images: one prefix goes, another comes.

        The images of a place lie in directories that are called like the splits; so they do where the prefix leads.
        """
        wish, names = self.wish, [name for name in file.file.index.images.file_names if name]
        found: list[Edit] = []
        split = f"{file.file.split.name}/" if self.origin.file is None else ""
        if wish.strip_root is not None:
            root = f"{wish.strip_root.rstrip('/')}/"
            below = [name for name in names if name.startswith(root)]
            if names and not below:
                hint = f"the first is {names[0]}"
                raise UsageError(f"{file.given}: no image has a name that begins with {root}", hint=hint)
            if left := len(names) - len(below):
                self.notes.append(f"{file.given}: the names of {left:,} images do not begin with {root}")
            old = root + split if all(name.startswith(root + split) for name in below) else root
            found.append(lambda record, _: unrooted(record, old))
            names = [name.removeprefix(old) for name in names]
        if wish.image_root is not None:
            if far := next((name for name in names if "://" in name), None):
                raise UsageError(
                    f"{file.given}: an image has the name {far} already", hint="--strip-root takes it away"
                )
            lies = bool(split) and file.root is not None and f"/{file.root}/".endswith(f"/{split}")
            new = f"{wish.image_root.rstrip('/')}/{split if lies else ''}"
            found.append(lambda record, _: rerooted(record, new))
        return found

    def _others(self, tops: Sequence[Top], group: Sequence[CocoFile]) -> dict[str, bytes]:
        """What later files hold at their top and the first does not; what differs is lost."""
        more: dict[str, bytes] = {}
        known: dict[str, Any] = {}
        for top, file in zip(tops, group, strict=True):
            for one in top.members if len(tops) > 1 else ():
                if one.key in (*_LONG, "categories", "licenses"):
                    continue
                raw = top.value(one)
                said = msgspec.json.decode(raw)
                if one.key not in known:
                    known[one.key] = said
                    if top is not tops[0]:
                        more[one.key] = raw
                elif isinstance(said, dict) and isinstance(known[one.key], dict):
                    for key in (key for key in said if known[one.key].get(key) != said[key]):
                        self.losses.lost(f"{one.key}.{key}", file.file.path, f"that of {_name(file)}")
                elif said != known[one.key]:
                    count = len(said) if isinstance(said, list) else 1
                    self.losses.lost(one.key, file.file.path, f"that of {_name(file)}", count)
        return more


@dataclass(frozen=True, slots=True)
class _Document:
    """An annotation file that is to be written; without a `top`, it is the one file as it is."""

    pieces: Sequence[Piece]
    top: Top | None = None
    long: tuple[Key, ...] = ()
    lists: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    more: Mapping[str, bytes] = field(default_factory=dict)
    pulse: Pulse = field(default_factory=lambda: Pulse(unheard))

    @property
    def images(self) -> int:
        """How many images it has."""
        return sum(piece.count("images") for piece in self.pieces)

    def write(self, path: Path) -> None:
        """See `Document`; ChangedMeanwhile when a file is not the one any more that was read."""
        with path.open("wb", buffering=1024 * 1024) as out:
            done = 0
            for chunk in self._chunks():
                done += out.write(chunk)
                self.pulse("Writing annotations", done, None, "bytes")
        for piece in self.pieces:
            piece.index.file.check_same()

    def _chunks(self) -> Iterator[bytes]:
        if self.top is None:
            return self.pieces[0].index.file.chunks()
        lists: dict[str, Elements] = {key: listed(held) for key, held in self.lists.items()}
        lists.update((key, together(self.pieces, key)) for key in self.long)
        return self.top.chunks(lists, self.more)


def _piece(
    file: CocoFile,
    dropped: frozenset[int] = frozenset(),
    numbers: _Numbers | None = None,
    edits: Mapping[Key, Sequence[Edit]] | None = None,
) -> Piece:
    """A file without the annotations of some classes, and what changes in it."""
    index = file.file.index
    kept = ~np.isin(index.annotations.category_ids, np.array(sorted(dropped), np.int64))
    return Piece(index, np.ones(len(index.images), np.bool_), kept, numbers or {}, edits or {})


def _name(file: CocoFile) -> str:
    return file.given.rpartition("/")[2]


def _pictures(groups: Sequence[Sequence[CocoFile]], wish: Wish) -> Iterator[Planned]:
    """The images of all files, each once, and the masks of panoptic ones; those of a joined file with the first's."""
    seen: set[str] = set()
    for group in groups:
        root = next((file.root for file in group if file.root is not None), None)
        for file in group:
            for row, name in enumerate(file.file.index.images.file_names):
                there = file.image(row)
                path = joined(root or "", name or "") if file is not group[0] else there and there.path
                if there and path and path not in seen:
                    seen.add(path)
                    size = (wish.max_side and size_of(file, row)) or (1, 1)
                    yield picture(path, file.home.store, there, size, wish)
            for mask in (file.kind == "panoptic" and panoptic_check.masks(file.file.index, file.home.listing)) or ():
                if mask.path in file.home.listing and mask.path not in seen:
                    seen.add(mask.path)
                    yield Renamed(mask.path, file.home.store, file.home.listing[mask.path])


def _absent(files: Sequence[CocoFile]) -> Iterator[str]:
    """What there is to say of images that are not there, where their names are no addresses of their own."""
    for file in files:
        names = enumerate(file.file.index.images.file_names)
        if lacking := sum("://" not in (name or "") and file.image(row) is None for row, name in names):
            whose = "its record was written without it" if lacking == 1 else "their records were written without them"
            yield f"{file.given}: {counted(lacking, 'image')} not there: {whose}"


def _check_pictures(group: Sequence[CocoFile]) -> None:
    """UsageError when images of files that become one have the same name, and are not the same."""
    first: dict[str, tuple[CocoFile, int]] = {}
    for file in group:
        for row, name in enumerate(file.file.index.images.file_names):
            other, at = first.setdefault(name or "", (file, row))
            if other is file or not name:
                continue
            one, two = other.image(at), file.image(row)
            if one and two and not _same((other, one.path), (file, two.path)):
                hint = "convert one of them with another --image-root first, or rename its images"
                raise UsageError(f"{other.given} and {file.given} have different images called {name}", hint=hint)


def _twice(group: Sequence[CocoFile], ids: Sequence[Ints]) -> Iterator[str]:
    """What there is to say of images that several files have a record of, by their names: all records stay."""
    first: dict[str, tuple[CocoFile, int]] = {}
    count, example = 0, ""
    for file, numbers in zip(group, ids, strict=True):
        for name, id in zip(file.file.index.images.file_names, numbers.tolist(), strict=True):
            other, known = first.setdefault(name or "", (file, id))
            if other is not file and name:
                count += 1
                alike = _name(other) == _name(file)
                homes = (other.given, file.given) if alike else (_name(other), _name(file))
                example = example or f"{name} is image {known} of {homes[0]}, and image {id} of {homes[1]}"
    if count:
        records = f"{counted(count, 'image')} {'have' if count > 1 else 'has'} a record in several files"
        yield f"{records}, and keep{'s' * (count == 1)} each: {example}"


def _same(one: tuple[CocoFile, str], other: tuple[CocoFile, str]) -> bool:
    if one[0].home.store.place == other[0].home.store.place and one[1] == other[1]:
        return True
    digests = [wire.wait(file.home.store.hash(path, "sha256")) for file, path in (one, other)]
    return digests[0] is not None and digests[0] == digests[1]


def _check_no_segments(file: CocoFile) -> None:
    """UsageError for panoptic annotations: the classes of their segments stand where only their masks tell of them."""
    index = file.file.index
    panoptic = len(index.annotations) and (index.annotations.category_ids == MISSING).all()
    if panoptic and "segments_info" in index.record("annotations", 0):
        hint = "classes may be renamed there: old=new, each to a name of its own"
        raise UsageError(f"{file.given}: panoptic segments keep their classes and their ids", hint=hint)
