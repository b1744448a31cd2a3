"""COCO datasets as records: images by their file names, and parts that are annotation files of the very same bytes."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial

import numpy as np

from visprep.coco_file import is_one
from visprep.engines import Engine, open_engine
from visprep.errors import UnknownContent, UsageError, WrongContent
from visprep.formats import coco_parts
from visprep.formats.coco_ids import rows_of
from visprep.formats.coco_json import MISSING, JsonFile
from visprep.formats.coco_parts import Piece
from visprep.formats.coco_place import annotation_files, candidates, cleaned, recognized
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.recordsets import GONE, Cleaning, Input, Ints, Mask, Origin, Output, coco_fields
from visprep.recordsets.coco_belonging import belonging
from visprep.recordsets.coco_cleaning import bad_images, blame
from visprep.recordsets.coco_files import CocoFile, Home, home_of, read_file
from visprep.rules.coco_annotations import ANNOTATION_IMAGE_UNKNOWN
from visprep.settings import S3Settings
from visprep.stores import Store, open_store


def read(places: Sequence[str], s3: S3Settings | None = None, unread: list[WrongContent] | None = None) -> CocoRecords:
    """The images of annotation files, or of places with such; UsageError when a file is named twice.

    With `unread`, a file of a place that cannot be read is passed over, and why is added there.
    """
    found: list[CocoFile] = []
    for place in places:
        if is_one(place):
            found.append(read_file(place, *home_of(place, s3)))
            continue
        home = Home(open_store(place, s3))
        if not recognized(home.store, candidates(home.listing.values())):
            raise UnknownContent(f"{place}: no annotation file is here", hint="name one: annotations/instances.json")
        above: dict[str, Home] = {}
        for path in annotation_files(home.store, home.listing.values()):
            if cleaned(path) in home.listing:
                continue
            given = f"{place.rstrip('/')}/{path}"
            try:
                if place.rstrip("/").endswith("annotations"):  # its images lie beside it
                    outer, path_there, source = home_of(given, s3)
                    found.append(read_file(given, above.setdefault(outer.store.place, outer), path_there, source))
                else:
                    found.append(read_file(given, home, path, JsonFile(home.store, path)))
            except WrongContent as problem:
                if unread is None:
                    raise
                unread.append(problem)
    return CocoRecords(found)


class CocoRecords:
    """The images of some annotation files. Files of one split that tell other things of its images are taken together.

    The key of an image is its `file_name`; where another split has an image of that name too, the split and the name.
    """

    kind = "coco"

    def __init__(self, files: Sequence[CocoFile]) -> None:
        self.files = tuple(files)
        self.count = 0
        self._cleaned = False
        self._names: list[str] = []
        self._splits: list[int] = []
        groups: dict[tuple[str, str], dict[tuple[str | None, int], int]] = {}
        kinds: dict[tuple[tuple[str, str], str], str] = {}
        for file in self.files:
            if (other := kinds.setdefault((file.group, file.kind), file.given)) is not file.given:
                raise UsageError(
                    f"{other} and {file.given} are the {file.kind} of the same split", hint="name one of the two"
                )
            self._number(file, groups.setdefault(file.group, {}), list(groups).index(file.group))
        splits = {file.file.split.name for file in self.files}
        for file in self.files:
            file.others = frozenset(splits - {file.file.split.name})

    def _number(self, file: CocoFile, numbers: dict[tuple[str | None, int], int], split: int) -> None:
        """Number the images of a file: those whose name another file of the split has too are the same records."""
        names = file.file.index.images.file_names
        if not numbers and len(set(names)) == len(names):
            file.record[:] = np.arange(self.count, self.count + len(names))
            numbers.update(((name, 0), self.count + row) for row, name in enumerate(names))
            self.count += len(names)
            self._names += [name or "" for name in names]
            self._splits += [split] * len(names)
            return
        seen: Counter[str | None] = Counter()
        for row, name in enumerate(names):
            which = name, seen[name]
            seen[name] += 1
            if which not in numbers:
                numbers[which] = self.count
                self.count += 1
                self._names.append(name or "")
                self._splits.append(split)
            file.record[row] = numbers[which]

    @property
    def keys(self) -> tuple[str, ...]:
        """See `RecordSet`; WrongContent for files that cannot be split as they are."""
        if not self._cleaned:
            self._check()
        if len({file.group for file in self.files}) == 1:
            return tuple(self._names)
        return tuple(
            f"{label}/{name}" if name and name in self._twice else name
            for label, name in zip(self.labels, self._names, strict=True)
        )

    @cached_property
    def _twice(self) -> set[str]:
        """The names that images of several splits have."""
        home: dict[str, int] = {}
        return {
            name for name, split in zip(self._names, self._splits, strict=True) if home.setdefault(name, split) != split
        }

    @property
    def names(self) -> tuple[str, ...]:
        """See `RecordSet`: the `file_name` as it stands."""
        return tuple(self._names)

    @cached_property
    def labels(self) -> Sequence[str]:
        """See `RecordSet`: the upstream split of each image."""
        labels = list(self._labels.values())
        return [labels[split] for split in self._splits]

    @cached_property
    def _labels(self) -> dict[tuple[str, str], str]:
        """Of each group of files the name of its split, with the directories above that tell it from another."""
        names = {file.group: file.file.split.name for file in self.files}
        found = dict(names)
        deepest = max((folder.count("/") for folder, _ in names), default=0)
        for depth in range(1, deepest + 2):
            alike = Counter(found.values())
            for (folder, rest), name in names.items():
                if alike[found[folder, rest]] > 1:
                    above = folder.removesuffix(f"/{name}").split("/")
                    found[folder, rest] = "/".join([*above[-depth:], name])
        return found

    def _check(self) -> None:
        for file in self.files:
            hint = f"--clean leaves out what is wrong; {shlex.join(['visprep', 'verify', file.given])} says all of it"
            if file.broken:
                raise WrongContent(file.broken[0][2].message, hint=hint)
            if len(file.twins):
                twin = int(file.file.index.images.ids[file.twins[0]])
                raise WrongContent(f"{file.given}: two images have the id {twin}", hint=hint)

    @cached_property
    def parts(self) -> tuple[str | None, ...]:
        """See `RecordSet`."""
        parts = list({file.group: file.file.split.part for file in self.files}.values())
        return tuple(parts[split] for split in self._splits)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """See `RecordSet`."""
        directories = self._directories if len(self._labels) > 1 else {}
        return tuple(
            Input(
                file.given,
                file.digest,
                len(file.record),
                file.root_if_listed,
                self._labels[file.group],
                directories.get(file.group, ""),
            )
            for file in self.files
        )

    @cached_property
    def _tables(self) -> tuple[tuple[str, ...], Ints]:
        """The names of the classes, and which record has which."""
        names: dict[str, int] = {}
        pairs = [np.empty(0, np.int64)]
        for file in self.files:
            for category in file.file.index.categories:
                names.setdefault(category.name, len(names))
        for file in self.files:
            known = {category.id: names[category.name] for category in file.file.index.categories}
            ids = np.array(sorted(known), np.int64)
            rows = np.flatnonzero(self._counting(file))
            at = rows_of(ids, file.file.index.annotations.category_ids[rows])
            rows, at = rows[at >= 0], at[at >= 0]
            numbers = np.array([known[id] for id in ids.tolist()], np.int64)[at]
            pairs.append(_once(file.record[file.owner[rows]] * len(names) + numbers))
        both = _once(np.concatenate(pairs))
        return tuple(names), np.column_stack(np.divmod(both, max(len(names), 1)))

    @property
    def classes(self) -> tuple[str, ...]:
        """See `RecordSet`."""
        return self._tables[0]

    @property
    def having(self) -> Ints:
        """See `RecordSet`."""
        return self._tables[1]

    def _counting(self, file: CocoFile) -> Mask:
        """The annotations of a file that count, and are of an image that does."""
        found: Mask = file.annotations & (file.owner >= 0)
        found[found] = file.images[file.owner[found]]
        return found

    def values(self, field: str) -> tuple[str | None, ...]:
        """See `RecordSet`: a key of the image record (`meta.game` within another), or `directory`."""
        return coco_fields.values(self.files, self.count, field)

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """See `RecordSet`."""
        done = np.zeros(self.count, np.bool_)
        for file in self.files:
            for row in np.flatnonzero(file.images & ~done[file.record]).tolist():
                if (there := file.image(row)) is not None:
                    done[file.record[row]] = True
                    yield int(file.record[row]), file.home.store, there

    def clean(
        self, *, jobs: int | None = None, engine: Engine | None = None, progress: OnProgress = unheard
    ) -> Cleaning:
        """See `RecordSet`: images are looked at where those of a file are there."""
        self._cleaned = True
        records: dict[int, str] = {}
        dropped: list[tuple[str, int | None, str]] = []
        others = []
        for file in self.files:
            found = blame(file)
            others += found.others
            for (key, row), codes in sorted(found.rows.items()):
                if key == "images":
                    file.images[row] = False
                    records.setdefault(int(file.record[row]), codes[0])
                else:
                    file.annotations[row] = False
                    id = int(file.file.index.annotations.ids[row])
                    dropped.append((file.given, None if id == MISSING else id, codes[0]))
        looked: set[str] = set()
        for file in self.files:
            rows = [row for row in np.flatnonzero(file.images).tolist() if int(file.record[row]) not in records]
            fresh = [row for row in rows if (path := file.image(row)) is None or path.path not in looked]
            looked.update(path.path for row in fresh if (path := file.image(row)))
            with open_engine(engine or "local", jobs=jobs) as running:
                for row, code in bad_images(file, fresh, jobs, running, progress):
                    records.setdefault(int(file.record[row]), code)
        for file in self.files:
            file.images &= ~np.isin(file.record, np.array(sorted(records), np.int64))
        self.__dict__.pop("_tables", None)
        return Cleaning(records, tuple(dropped), tuple(others))

    def empty(self) -> Mask:
        """See `RecordSet`: a caption counts only where no file of the split has categories."""
        bare: Mask = np.ones(self.count, np.bool_)
        labeled = {file.group for file in self.files if file.file.index.categories}
        for file in self.files:
            if file.file.index.categories or file.group not in labeled:
                rows = self._counting(file)
                bare[file.record[file.owner[rows]]] = False
        return bare

    def origin(self, number: int) -> Origin:
        """See `RecordSet`."""
        at, row = self._firsts[number].tolist()
        id = int(self.files[at].file.index.images.ids[row])
        return Origin(self.files[at].given, row, None if id == MISSING else id)

    @cached_property
    def _firsts(self) -> Ints:
        """Of each record the number of its first file, and its row there."""
        firsts = np.empty((self.count, 2), np.int64)
        for at, file in reversed(list(enumerate(self.files))):
            rows = np.arange(len(file.record), dtype=np.int64)
            firsts[file.record] = np.column_stack([np.full(len(rows), at), rows])
        return firsts

    def lost(self, gone: Collection[int] = ()) -> Sequence[tuple[str, int | None, str]]:
        """See `RecordSet`: their image is not in the file, or left out."""
        found = []
        numbers = np.array(sorted(gone), np.int64)
        for file in self.files:
            rows = np.flatnonzero(file.annotations & (file.owner >= 0))
            left = rows[np.isin(file.record[file.owner[rows]], numbers)]
            unknown = np.flatnonzero(file.annotations & (file.owner < 0))
            for which, why in ((unknown, ANNOTATION_IMAGE_UNKNOWN.code), (left, GONE)):
                for id in file.file.index.annotations.ids[which].tolist():
                    found.append((file.given, None if id == MISSING else id, why))
        return found

    def outputs(self, members: Mapping[str, Mask], name: str | None, how: str) -> Iterator[Output]:
        """See `RecordSet`: an annotation file for each part and kind, and the images where they are to be there too."""
        kinds = list(dict.fromkeys(file.kind for file in self.files))
        leads = self._leads(members)
        made: list[Output] = []
        for kind in kinds:
            self._check_kind([file for file in self.files if file.kind == kind], members)
        for part, mask in members.items():
            for kind in kinds:
                pieces = [self._piece(file, mask, leads) for file in self.files if file.kind == kind]
                filled = [piece for piece in pieces if piece.whole]
                if not filled and mask.any():
                    continue
                chosen = filled or pieces[:1]
                stem = "_".join(one for one in (name, kind if len(kinds) > 1 or name is None else None) if one)
                count = sum(int(piece.images.sum()) for piece in chosen)
                made.append(Output(f"{stem}_{part}.json", part, count, partial(coco_parts.chunks, chosen)))
        yield from made
        if how != "ids":
            yield from self._pictures(members, leads)

    def _check_kind(self, files: Sequence[CocoFile], members: Mapping[str, Mask]) -> None:
        """UsageError when files of one kind that have records in the same part cannot be put together."""
        if len(files) == 1:
            return
        placed = np.any(list(members.values()), axis=0)
        together = [
            file
            for file in files
            if any(
                mask[file.record[file.images]].any() and mask[other.record[other.images]].any()
                for mask in members.values()
                for other in files
                if other is not file
            )
        ]
        if together:
            names = [file.given for file in together]
            coco_parts.check_together([file.file.index for file in together], names)
            coco_parts.check_ids([self._piece(file, placed, {}) for file in together], names)

    def _leads(self, members: Mapping[str, Mask]) -> Mapping[str, str]:
        """What goes before the names of images, by the label of their files, in all parts.

        Where a part has images of several directories that is the directory. Where these tell nothing, and a name is
        there twice, it is the label. Else it is nothing.
        """
        splits = np.array(self._splits, np.int64)
        if all(len(np.unique(splits[mask])) < 2 for mask in members.values()):
            return {}
        leads = {self._labels[file.group]: self._directories[file.group] for file in self.files if file.images.any()}
        several = len(set(leads.values()))
        if several > 1 and (several == len(leads) or not self._twice):
            return leads
        return {label: label for label in leads} if self._twice else {}

    @cached_property
    def _directories(self) -> Mapping[tuple[str, str], str]:
        """Of each group of files the directory of its images, below what holds the places of all; see `belonging`."""
        return belonging(self.files)

    def _piece(self, file: CocoFile, mask: Mask, leads: Mapping[str, str]) -> Piece:
        images: Mask = file.images & mask[file.record]
        annotations = self._counting(file)
        annotations[annotations] = images[file.owner[annotations]]
        return Piece(file.file.index, images, annotations, leads.get(self._labels[file.group], ""))

    def _pictures(self, members: Mapping[str, Mask], leads: Mapping[str, str]) -> Iterator[Output]:
        """The images of each part, below a directory called like it, where its annotation file looks for them."""
        for part, mask in members.items():
            done = ~mask
            for file in self.files:
                for row in np.flatnonzero(file.images & ~done[file.record]).tolist():
                    if (there := file.image(row)) is not None:
                        done[file.record[row]] = True
                        name = file.file.index.images.file_names[row]
                        lead = leads.get(self._labels[file.group])
                        below = f"{lead}/{name}" if lead else name
                        yield Output(f"{part}/{below}", part, 1, source=(file.home.store, there))


def _once(numbers: Ints) -> Ints:
    """Sorted, and each once: what np.unique gives, which from 2.3 on hashes and is ten times slower for a million."""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
