"""Some images of a COCO split: chosen by its annotations, which come first, and then only what those need.

An image of a split is chosen when it is in `ids`, has one of the `licenses`, and an annotation of one of the `classes`,
as far as any of these are asked for. Of the chosen ones a limit takes the first in upstream's order, or, with a seed,
those that come first in an order drawn from the seed and the image's id: so a larger limit adds images and drops none.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from visprep import wire
from visprep.errors import UnknownName, UsageError, VisprepError, WrongContent
from visprep.formats import coco_json
from visprep.formats.coco_json import MISSING, Index, JsonFile, Mask, Subset
from visprep.mirrors import Mirrors, check_room, is_of_mirror
from visprep.sources import Archive, Archived, Labelling, Selection
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving
from visprep.unzipping import Unzipping
from visprep.wire import RangesIgnored

#: License and attribution of every image of a subset.
NOTICE = "NOTICE.csv"
_COLUMNS = ("file_name", "license_id", "license", "license_url", "flickr_url", "coco_url")

#: Gives the mirrors of an archive, whose files go to the given directory.
Find = Callable[[Archive, LocalStore], Mirrors]


@dataclass(slots=True)
class Choice:
    """What a subset needs: files of archives, those with `images` apart, and the documents that are written here.

    `licenses` counts the images by license.
    """

    archives: list[Archive] = field(default_factory=list)
    images: list[Archive] = field(default_factory=list)
    documents: dict[str, Subset] = field(default_factory=dict)
    notice: dict[str, tuple[str, ...]] = field(default_factory=dict)
    licenses: Counter[str] = field(default_factory=Counter)


def choose(source: Archived, selection: Selection, cache: LocalStore, find: Find) -> Choice:
    """Fetch the annotations of a selection into `cache`, and choose.

    UnknownName for a class, a label or an id that there is not, UsageError when no image is left; DiskFull, before
    they are fetched, when there is no room for the annotations.
    """
    splits = dict.fromkeys(selection.splits or source.default_splits)
    labellings = _by_split(source.labellings(selection))
    with_classes = _by_split(source.labellings(replace(selection, labels=())), "instances")
    _check_labels(selection, splits, labellings, with_classes)
    deciding = {split: (with_classes if selection.classes else labellings)[split][0] for split in splits}
    needed = {one.document: one for split in splits for one in (*labellings[split], deciding[split])}
    _fetch(needed.values(), cache, find)
    indexes = {document: coco_json.index(JsonFile(cache, document)) for document in needed}
    choice, found = Choice(), set[int]()
    _check_licenses(selection, [indexes[one.document] for one in deciding.values()])
    for split in splits:
        index = indexes[deciding[split].document]
        chosen = _chosen(index, selection)
        found.update(index.images.ids.tolist())
        _note(choice, split, index, chosen)
        ids = index.images.ids[chosen]
        names = [index.images.file_names[at] or "" for at in np.flatnonzero(chosen)]
        for one in labellings[split]:
            _label(choice, one, indexes[one.document], ids, names, selection)
        if names:
            choice.images.append(source.images(split).just(f"{split}/{name}" for name in names))
    unknown = [str(one) for one in selection.ids or () if one not in found]
    if unknown:
        raise UnknownName(
            f"there is no image {', '.join(unknown[:3])}{' and others' * (len(unknown) > 3)} in these splits of COCO",
            hint="check the ids, and --split",
        )
    if not choice.notice:
        filters = [f"--{name}" for name in ("classes", "licenses", "ids") if getattr(selection, name) not in (None, ())]
        raise UsageError(
            f"no image of {', '.join(splits)} is left by {' and '.join(filters or ['--ids'])}",
            hint="each must let an image through: ask for more, or leave one out",
        )
    return choice


def _by_split(labellings: Iterable[Labelling], label: str | None = None) -> dict[str, list[Labelling]]:
    """The labellings of each split, or those of one label."""
    found: dict[str, list[Labelling]] = {}
    for one in labellings:
        if label in (None, one.label):
            found.setdefault(one.split, []).append(one)
    return found


def _check_labels(
    selection: Selection, splits: Iterable[str], labellings: Collection[str], with_classes: Collection[str]
) -> None:
    """UnknownName for a split without the labels that are asked for, UsageError for one that has no classes."""
    without = [split for split in splits if split not in labellings]
    if without:
        raise UnknownName(
            f"there is no label {', '.join(selection.labels)} in {', '.join(without)}",
            hint="leave these splits out, or ask for other labels",
        )
    without = [split for split in splits if split not in with_classes]
    if selection.classes and without:
        raise UsageError(
            f"--classes goes by instances, and there are none of {', '.join(without)}",
            hint="leave --classes out, or these splits",
        )


def _check_licenses(selection: Selection, indexes: Sequence[Index]) -> None:
    """UnknownName for a license that none of the files tells."""
    known = {one.id: one.name for index in indexes for one in index.licenses}
    used = {number for index in indexes for number in np.unique(index.images.licenses).tolist()}
    unknown = [str(one) for one in selection.licenses if one not in known.keys() | used]
    if unknown:
        there = ", ".join(f"{number} ({name})" for number, name in sorted(known.items()))
        raise UnknownName(
            f"there is no license {', '.join(unknown)} in these splits of COCO",
            hint=f"there are: {there}" if there else "leave --licenses out",
        )


def _check_classes(selection: Selection, index: Index) -> None:
    """UnknownName for a class that is asked for by its number."""
    names = {category.name for category in index.categories}
    for asked in selection.classes:
        if asked.isdecimal() and asked not in names:
            meant = next((one.name for one in index.categories if str(one.id) == asked), None)
            raise UnknownName(
                f"there is no class {asked!r}: classes are asked for by name, not by id",
                hint=f"{asked} is {meant}" if meant else "name them, as in --classes person,dog",
            )


def noted(source: Archived, selection: Selection, place: Store, present: Callable[[str], bool]) -> Choice:
    """A choice of all images of splits whose annotations lie at a place: its notice and its licenses."""
    choice, done = Choice(), set[str]()
    for one in source.labellings(selection):
        if one.split not in done and present(one.document):
            with contextlib.suppress(WrongContent):  # it is as upstream has it, and verify will tell
                index = coco_json.index(JsonFile(place, one.document))
                done.add(one.split)
                _note(choice, one.split, index, np.ones(len(index.images), np.bool_))
    return choice


def _fetch(labellings: Any, cache: LocalStore, find: Find) -> None:
    """Bring the JSON files of labellings into the cache, archive by archive."""
    wanted: dict[str, tuple[Archive, set[str]]] = {}
    for one in labellings:
        wanted.setdefault(one.archive.path, (one.archive, set()))[1].add(one.document)
    found = [find(archive.just(paths), cache) for archive, paths in wanted.values()]
    opened = [mirrors.next() for mirrors in found]
    need = sum(one.member.size for each in opened for one in each.files if not _is_there(one, cache))
    check_room(cache, need, "the annotations")
    for mirrors, present in zip(found, opened, strict=True):
        while problem := _unzip(present, cache):
            if isinstance(problem, RangesIgnored):  # of so small an archive that its directory was all of it
                present = mirrors.whole()
                continue
            mirrors.problems.append(problem)
            present = mirrors.next()


def _unzip(opened: Any, cache: LocalStore) -> VisprepError | None:
    """Unpack what is wanted of an archive, unless it is there; what another mirror may do better."""
    missing = [one for one in opened.files if not _is_there(one, cache)]
    try:
        with contextlib.closing(Unzipping(opened.zip, missing, cache).outcomes()) as outcomes:
            return next((one for _, one in surviving(outcomes) if isinstance(one, VisprepError)), None)
    except VisprepError as problem:
        if not is_of_mirror(problem):
            raise
        return problem


def _is_there(one: Any, cache: LocalStore) -> bool:
    path = cache.root / one.path
    there = path.is_file() and path.stat().st_size == one.member.size
    return there and wire.wait(cache.hash(one.path, "crc32")) == f"crc32:{one.member.crc:08x}"


def _chosen(index: Index, selection: Selection) -> Mask:
    images = index.images
    chosen: Mask = np.ones(len(images), np.bool_)
    if selection.classes:
        _check_classes(selection, index)
        chosen &= index.images_with(index.classes(selection.classes))
    if selection.licenses:
        chosen &= np.isin(images.licenses, selection.licenses)
    if selection.ids is not None:
        chosen &= np.isin(images.ids, selection.ids)
    if selection.limit is not None:
        places = np.flatnonzero(chosen).tolist()
        if selection.seed is not None:
            places.sort(key=lambda at: drawn(selection.seed, int(images.ids[at])))
        chosen[places[selection.limit :]] = False
    return chosen


def drawn(seed: int | None, image: int) -> bytes:
    """What an image is sorted by in the order that is drawn from a seed."""
    return hashlib.blake2b(f"{seed} {image}".encode(), digest_size=8).digest()


def _note(choice: Choice, split: str, index: Index, chosen: Mask) -> None:
    """Count the licenses of the chosen images, and take down whose they are."""
    licenses = {one.id: one for one in index.licenses}
    images = index.images
    for at in np.flatnonzero(chosen).tolist():
        number = int(images.licenses[at])
        known = licenses.get(number)
        name = (known and known.name) or ("no license told" if number == MISSING else f"license {number}")
        choice.licenses[name] += 1
        path = f"{split}/{images.file_names[at]}"
        told = ("" if number == MISSING else str(number), known and known.name, known and known.url)
        urls = images.flickr_urls[at], images.coco_urls[at]
        choice.notice[path] = (path, *(one or "" for one in (*told, *urls)))


def _label(choice: Choice, one: Labelling, index: Index, ids: Any, names: list[str], selection: Selection) -> None:
    """The annotations of one label for some images, and their masks."""
    classes = None
    # Captions and panoptic annotations are of whole images, and have no class
    if selection.only_matching and (index.annotations.category_ids != MISSING).any():
        known = {category.name for category in index.categories}  # keypoints only have persons
        classes = index.classes(name for name in selection.classes if name in known)
    choice.documents[one.document] = index.select(np.isin(index.images.ids, ids), classes)
    if one.masks:
        choice.archives.append(one.archive.just(f"{one.masks}/{name.rpartition('.')[0]}.png" for name in names))


def notice(choice: Choice, before: bytes | None, present: Callable[[str], bool]) -> bytes:
    """NOTICE.csv: the rows of a choice, and of the images before that are still there, by path."""
    rows: dict[str, tuple[str, ...]] = {}
    with contextlib.suppress(csv.Error, UnicodeDecodeError):
        for row in csv.reader(io.StringIO((before or b"").decode(), newline="")):
            if len(row) == len(_COLUMNS) and row[0] != _COLUMNS[0] and present(row[0]):
                rows[row[0]] = tuple(row)
    rows |= choice.notice
    written = io.StringIO(newline="")
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows[path] for path in sorted(rows))
    return written.getvalue().encode()
