"""A directory of Open Images that another tool left, made into a place of ours: images, upstream's rows, and COCO JSON.

What is written is drafted first, so that whatever stands in the way shows before the target is touched. The images are
hard links to those of the directory, which itself is only read, or copies where there can be no links. Either may be a
place on S3: tables and drafts lie in a temporary directory then.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from visprep import provenance, temporary, wire
from visprep.changes import PlaceChange, begin, drop_cache
from visprep.convert_looking import looking
from visprep.convert_making import copied
from visprep.converting import ConvertResult, Origin, PartlyConverted, Wish
from visprep.copy_ends import name_of
from visprep.documents import Document, Documents
from visprep.engines.local import map_ordered
from visprep.errors import AWAY, FileMissing, UsageError, VisprepError, WouldOverwrite, WrongContent
from visprep.extraction import Extraction
from visprep.formats.open_images_blocks import CsvFile, Excerpt
from visprep.formats.open_images_classes import Classes
from visprep.formats.open_images_coco import Conversion, Converted, Drafting, Sizes
from visprep.formats.open_images_csv import check_reader, image_name, open_table
from visprep.formats.open_images_facts import ImageFacts
from visprep.formats.open_images_labels import LabelFiles
from visprep.formats.open_images_layouts import Layout, gather, own_files, recognize
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_tables import BOXES, IMAGES, MASKS, SPLITS, Kind
from visprep.hard_links import NoLinks, links, try_links
from visprep.image_sizes import sizes
from visprep.journal import Failures, journal
from visprep.layout_choice import ImageRows, box_losses, choose
from visprep.manifest import File
from visprep.mirrors import check_room
from visprep.own_record import CACHE
from visprep.progress import Pulse
from visprep.renamed import Renamed
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["convert"]

#: Files that a thread compares or links in one go.
_TOGETHER = 64
#: Files that an error lists.
_NAMED = 10_000
#: The layout of a place of ours.
_OURS = "visprep"
#: Commands that bring a dataset of their own to a place.
_BRINGING = frozenset({"convert", "download", "split"})


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """What verb and table call it by: the place that a download of the same images would make; errors as they say.

    UsageError for what another tool left on S3.
    """
    listing = tuple(own_files(origin.listing))
    layout = recognize(file.path for file in listing)
    assert layout is not None  # the table knew it
    check_reader()
    if not isinstance(origin.store, LocalStore) and layout.name != _OURS:
        words = f"what {layout.name} left is read from a directory: its labels are many small files"
        hint = f"visprep download {origin.store.place} DIRECTORY, then convert that"
        raise UsageError(f"{origin.store.place}: {words}", hint=hint)
    with contextlib.ExitStack() as stack:
        near = isinstance(target, LocalStore) and isinstance(origin.store, LocalStore)
        folder = None if near else stack.enter_context(temporary.directory("convert"))
        return _Importing(origin.store, listing, layout, target, folder, wish).run()


class _Importing:
    """One directory on its way to one place; `folder` is a temporary directory, where one of them is on S3."""

    def __init__(
        self,
        origin: Store,
        listing: Sequence[File],
        layout: Layout,
        target: Store,
        folder: Path | None,
        wish: Wish,
    ) -> None:
        self.origin, self.listing, self.layout, self.target, self.jobs = origin, listing, layout, target, wish.jobs
        self.temporary, self.history = folder, wish.history
        #: Where drafts are, which the next try finds at a directory
        self.folder = target.root / CACHE if isinstance(target, LocalStore) else folder or Path()
        self.pulse = Pulse(wish.progress)
        self.boxes: dict[str, Converted] = {}
        self.losses: Counter[str] = Counter()
        self.labels: dict[str, LabelFiles] = {}
        self.linked = self.copied = self.disk = 0

    def run(self) -> ConvertResult:
        """Bring what is missing, and write the place's record."""
        seen = gather(self.origin, self.listing, self.layout)
        self.choice = choose(seen, self.origin, self._tables(seen.tables.values()))
        with begin(self.target, self._step()) as change:
            try:
                return self._bring(change)
            except BaseException:
                if not change.marked:
                    self._drop_cache()  # what was drafted is drafted anew
                raise

    def _tables(self, paths: Iterable[str]) -> LocalStore:
        """Where the tables are on this machine: those on S3 are brought, since they are read more than once."""
        if isinstance(self.origin, LocalStore):
            return self.origin
        assert self.temporary
        tables = LocalStore(self.temporary / "tables")
        files = {file.path: file for file in self.listing}
        wanted = [files[path] for path in sorted(set(paths))]
        self.disk += sum(file.size or 0 for file in wanted)
        check_room(tables, self.disk, "the tables")
        for _, outcome in wire.run((file, tables.receive(file, self.origin)) for file in wanted):
            if isinstance(outcome, VisprepError):
                raise outcome
        return tables

    def _drop_cache(self) -> None:
        if isinstance(self.target, LocalStore):
            drop_cache(self.target)

    def _step(self) -> provenance.Step:
        return provenance.step(
            "convert",
            name_of(self.origin),
            packages=("numpy", "pyarrow"),
            splits=tuple(self.choice.images),
            options={"to": "coco", "from": self.layout.name},
            origin=self.history,
            license=OpenImages.license,
        )

    def _bring(self, change: PlaceChange) -> ConvertResult:
        self.extraction = Extraction(
            self.target, change, may_replace=False, jobs=self.jobs, heard=lambda path, count: None
        )
        self._check(change)
        self.documents = Documents(self.extraction, self.folder / "documents")
        with journal(self.target, change.step) as failures:
            self._measure(failures)
            self._draft_all()
            missing = list(self._missing(change))
            if not isinstance(self.target, LocalStore):
                self.disk += self.documents.bytes
            if not (missing or self.documents.due or failures) and self._is_recorded(change):
                self._drop_cache()
                return self._result()
            self.extraction.check_folders([*(one.path for one in missing), *(one.path for one in self.documents.due)])
            linking = self._prepare(missing)
            change.mark()
            self._put(missing, linking, failures)
            self.documents.put()
            if failures:
                problem = PartlyConverted.of(failures, len(self.extraction.files) + len(failures))
                raise problem.having(self._result())
        self.extraction.commit()
        return self._result()

    def _is_recorded(self, change: PlaceChange) -> bool:
        """Whether the place's record says what is there already; who edits a file edits its links."""
        listed, files = change.listed, self.extraction.files
        same = all(path in listed and listed[path].digest == file.digest for path, file in files.items())
        return change.repeats and not change.resumed and same

    def _check(self, change: PlaceChange) -> None:
        """WouldOverwrite when another dataset lies at the target.

        Directories of different datasets may have one name, which a tool gave them: the origin is the one that was
        converted before when it still has every image that came of that, however it has grown.
        """
        steps = change.dataset.steps if change.dataset else ()
        ours = change.step.command, change.step.source
        others = (one for one in steps if one.command in _BRINGING and (one.command, one.source) != ours)
        change.refuse((one.source for one in others), "choose another --output")
        known = {split: set(map(image_name, found)) for split, found in self.choice.images.items()}
        gone = []
        for path in sorted({*change.listed, *change.noted}):
            folder, _, name = path.partition("/")
            is_image = folder in SPLITS and "/" not in name and name.endswith(".jpg")
            if is_image and name[:-4] not in known.get(folder, ()) and self.extraction.lies_there(path):
                gone.append(path)
        if gone:
            shown = f"{gone[0]} and {len(gone) - 1:,} more" if len(gone) > 1 else gone[0]
            raise WouldOverwrite(
                f"{self.target.place}: of another {ours[1]}, as {self.origin.place} does not have {shown}",
                paths=tuple(gone[:_NAMED]),
                hint="choose another --output; or, if they were taken out of the directory, delete them there too",
            )

    def _measure(self, failures: Failures) -> None:
        """Width and height of every image; what is no image is left out."""
        self.sizes: dict[str, dict[int, tuple[int, int]]] = {}
        done, total = 0, sum(map(len, self.choice.images.values()))
        for split, images in self.choice.images.items():
            self.sizes[split] = found = {}
            numbers = {images[one].path: one for one in sorted(images)}  # from S3 they come in any order
            for file, size in sizes(self.origin, (images[one] for one in numbers.values())):
                number = numbers[file.path]
                if isinstance(size, str):
                    hint = "bring that image again with the tool that brought it, or take it out of the directory"
                    failures.append((_image_path(split, number), WrongContent(f"{file.path}: {size}", hint=hint)))
                else:
                    found[number] = size
                done += 1
                self.pulse("Looking at images", done, total, "images")
            self.sizes[split] = dict(sorted(found.items()))

    def _draft_all(self) -> None:
        """Draft what is kept of every split, and its COCO JSON."""
        choice = self.choice
        homes = {split: self._draft_rows(split) for split in choice.images}
        if choice.classes is None:  # of all splits together, so that a number means the same in each
            names = sorted(set().union(*(files.names for files in self.labels.values())))
            self.classes = Classes({name: name for name in names})
            self.losses["LabelName"] = self.losses["supercategory"] = len(names)
        else:
            self.classes = choice.classes
            self.documents.draft_all(choice.lists)
        for split, home in homes.items():
            if (home / "boxes.csv").exists():
                self._draft_json(split, home)

    def _draft_rows(self, split: str) -> Path:
        """Draft the tables of a split; where they are."""
        choice, folder = self.choice, f"labels/{split}"
        rows: dict[str, Document] = {f"{folder}/{name}.csv": one for name, one in choice.tables[split].items()}
        if split in choice.labels:
            files = LabelFiles(choice.labels[split], self.sizes[split], self._read, choice.classes)
            rows[f"{folder}/boxes.csv"] = self.labels[split] = files
        if choice.classes is not None:
            self.documents.draft_all(rows)
            home = self.documents.path(folder)
        else:  # they only serve to make the JSON
            home = self.folder / "rows" / split
            with LocalStore(self.folder).errors(folder):
                home.mkdir(parents=True, exist_ok=True)
                for path, one in rows.items():
                    one.write(home / path.rpartition("/")[2])
        images = choice.tables[split]["images"]
        assert isinstance(images, ImageRows)
        self.losses.update(dict(images.losses()))
        return home

    def _draft_json(self, split: str, home: Path) -> None:
        choice, masks = self.choice, None
        boxes = self._drafted(split, home, BOXES)
        if "masks" in choice.tables[split]:
            table = self._drafted(split, home, MASKS)
            masks = Masks.read(table, self.classes.numbers, functools.partial(self._masks, split))
        ids = choice.ids(split)
        conversion = Conversion(
            split,
            boxes,
            Sizes.of({image_name(number): size for number, size in self.sizes[split].items()}),
            self.classes,
            choice.hierarchy,
            ImageFacts.read(self._drafted(split, home, IMAGES)),
            masks,
            numbered=ids if len(self.sizes[split]) < len(ids) else None,
        )
        drafting = Drafting(conversion)
        self.documents.draft_all({f"annotations/instances_{split}.json": drafting})
        self.boxes[split] = done = drafting.done
        self.losses.update(dict(box_losses(boxes.columns, done.annotations)))

    def _drafted(self, split: str, home: Path, kind: Kind) -> CsvFile:
        """A table of a split as it is kept; what is wrong in it is told of the origin's own, where it is of one."""
        rows, path = self.choice.tables[split].get(kind.name), home / f"{kind.name}.csv"
        if rows is None or rows.file is None:
            return open_table(path, kind, f"labels/{split}/{kind.name}.csv")
        return Excerpt(path, rows.file)

    def _read(self, path: str) -> bytes:
        return wire.wait(self.origin.read(path))

    def _masks(self, split: str, names: Iterable[str]) -> Iterator[tuple[str, bytes | VisprepError]]:
        there = self.choice.masks[split]
        left: list[str] = []
        for name in names:
            if name in there:
                left.append(name)
            else:
                yield name, FileMissing(f"{name} is not there")
        yield from wire.run((name, self.origin.read(there[name].path)) for name in left)

    def _wanted(self) -> Iterator[Renamed]:
        """The images and masks that shall be there, and where they are."""
        for split, found in self.choice.images.items():
            for number in self.sizes[split]:
                yield Renamed(_image_path(split, number), self.origin, found[number])
        for split, masks in self.choice.masks.items():
            for name, file in sorted(masks.items()):
                yield Renamed(f"masks/{split}/{name}", self.origin, file)

    def _missing(self, change: PlaceChange) -> Iterator[Renamed]:
        """Those that are not there; WouldOverwrite when other files have their names."""
        in_the_way: list[str] = []
        again = change.repeats or bool(change.begun and change.begun.same_request(change.step))
        look = looking(self.target, change, again=again)
        for some, found in map_ordered(lambda batch: (batch, look.compare(batch)), _batches(self._wanted()), self.jobs):
            for one, (path, there, ours) in zip(some, found, strict=True):
                if isinstance(there, File):
                    self.extraction.files[path] = look.as_listed(there)
                    self.extraction.kept += 1
                    continue
                if there and not ours:
                    in_the_way.append(path)
                yield one
        if in_the_way:
            raise WouldOverwrite.of(self.target.place, in_the_way, AWAY)

    def _prepare(self, missing: list[Renamed]) -> bool:
        """Whether they can be links; DiskFull when there is no room for copies."""
        linking = False
        if missing and isinstance(self.target, LocalStore) and isinstance(self.origin, LocalStore):
            origin = self.origin
            with contextlib.suppress(NoLinks):
                try_links(self.target, ((origin, one.origin.path) for one in missing))
                linking = True
        need = 0 if linking else sum(one.origin.size or 0 for one in missing)
        check_room(self.target, need + self.documents.bytes, "the images")
        return linking

    def _put(self, missing: list[Renamed], linking: bool, failures: Failures) -> None:
        for done, (path, outcome) in enumerate(surviving(self._outcomes(missing, linking)), 1):
            self.pulse("Linking" if linking else "Copying", done, len(missing), "files")
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
            else:
                etag = None if isinstance(self.target, LocalStore) else outcome.etag
                self.extraction.note(File(path, outcome.size, outcome.digest, etag=etag))

    def _outcomes(self, missing: list[Renamed], linking: bool) -> Iterator[tuple[str, File | VisprepError]]:
        left = {one.path: one for one in missing}
        if linking:
            assert isinstance(self.target, LocalStore)
            try:
                for done in map_ordered(functools.partial(links, self.target), _batches(missing), self.jobs):
                    for path, outcome in done:
                        self.linked += not isinstance(outcome, VisprepError)
                        del left[path]
                        yield path, outcome
            except NoLinks:  # no more of one file, or another file system below
                pass
        jobs = ((path, copied(self.target, one)) for path, one in left.items())
        for path, outcome in wire.run(jobs, self.jobs or wire.IN_FLIGHT):
            self.copied += not isinstance(outcome, VisprepError)
            yield path, outcome

    def _result(self) -> ConvertResult:
        choice = self.choice
        return ConvertResult(
            self.origin.place,
            self.target.place,
            "coco",
            self.layout.name,
            files=self.extraction.written,
            linked=self.linked,
            copied=self.copied,
            kept=self.extraction.kept,
            images={split: len(found) for split, found in self.sizes.items()},
            boxes=self.boxes,
            losses=dict(sorted((choice.losses + self.losses).items())),
            notes=tuple(choice.notes),
            temporary=self.disk,
        )


def _image_path(split: str, number: int) -> str:
    return f"{split}/{image_name(number)}.jpg"


def _batches(files: Iterable[Renamed]) -> Iterator[list[Renamed]]:
    rest = iter(files)
    return iter(lambda: list(itertools.islice(rest, _TOGETHER)), [])
