"""A directory of Open Images that another tool left, made into a place of ours: images, upstream's rows, and COCO JSON.

What is written is drafted first, so that whatever stands in the way shows before the target is touched. The images are
hard links to those of the directory, which itself is only read, or copies where there can be no links.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from visprep import provenance, wire
from visprep.changes import PlaceChange, begin, drop_cache
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
from visprep.formats.open_images_layouts import Layout, candidates, gather, recognize
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_tables import BOXES, IMAGES, MASKS, SPLITS, Kind
from visprep.hard_links import NoLinks, is_link, linked, links, try_links
from visprep.image_sizes import sizes
from visprep.journal import Failures, journal
from visprep.layout_choice import ImageRows, box_losses, choose
from visprep.manifest import File
from visprep.mirrors import check_room
from visprep.own_record import CACHE
from visprep.progress import OnProgress, Pulse
from visprep.renamed import Renamed, RenamedStore
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.transfer import surviving

__all__ = ["bring", "convert"]

#: Files that a thread compares or links in one go.
_TOGETHER = 64
#: Files that an error lists.
_NAMED = 10_000
#: Commands that bring a dataset of their own to a place.
_BRINGING = frozenset({"convert", "download", "split"})


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `bring`: what verb and table call it by; UsageError for a target on S3."""
    if not isinstance(target, LocalStore):
        hint = "convert to a directory, then: visprep upload DIRECTORY s3://bucket/prefix"
        raise UsageError(f"{target.place}: what comes of Open Images of other tools is a directory", hint=hint)
    assert isinstance(origin.store, LocalStore)
    layout = recognize(file.path for file in candidates(origin.store))
    assert layout is not None  # the table knew it
    return bring(origin.store, layout, target, wish.jobs, wish.progress)


def bring(
    origin: LocalStore, found: Layout, target: LocalStore, jobs: int | None, progress: OnProgress
) -> ConvertResult:
    """Make `target` the place that a download of the same images would make; errors as `convert` says."""
    check_reader()
    return _Importing(origin, found, target, jobs, progress).run()


class _Importing:
    """One directory on its way to one place."""

    def __init__(
        self, origin: LocalStore, layout: Layout, target: LocalStore, jobs: int | None, progress: OnProgress
    ) -> None:
        self.origin, self.layout, self.target, self.jobs = origin, layout, target, jobs
        self.pulse = Pulse(progress)
        self.boxes: dict[str, Converted] = {}
        self.losses: Counter[str] = Counter()
        self.labels: dict[str, LabelFiles] = {}
        self.linked = self.copied = 0

    def run(self) -> ConvertResult:
        """Bring what is missing, and write the place's record."""
        self.choice = choose(gather(self.origin, self.layout), self.origin)
        with begin(self.target, self._step()) as change:
            try:
                return self._bring(change)
            except BaseException:
                if not change.marked:
                    drop_cache(self.target)  # what was drafted is drafted anew
                raise

    def _step(self) -> provenance.Step:
        return provenance.step(
            "convert",
            name_of(self.origin),
            packages=("numpy", "pyarrow"),
            splits=tuple(self.choice.images),
            options={"to": "coco", "from": self.layout.name},
            license=OpenImages.license,
        )

    def _bring(self, change: PlaceChange) -> ConvertResult:
        self._check(change)
        self.extraction = Extraction(
            self.target, change, may_replace=False, jobs=self.jobs, heard=lambda path, count: None
        )
        self.documents = Documents(self.extraction, self.target.root / CACHE / "documents")
        with journal(self.target, change.step) as failures:
            self._measure(failures)
            self._draft_all()
            missing = list(self._missing())
            if not (missing or self.documents.due or failures) and self._is_recorded(change):
                drop_cache(self.target)
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
            if is_image and name[:-4] not in known.get(folder, ()) and (self.target.root / path).exists():
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
            order = sorted(images)
            for number, (file, size) in zip(order, sizes(self.origin, (images[one] for one in order)), strict=True):
                if isinstance(size, str):
                    hint = "bring that image again with the tool that brought it, or take it out of the directory"
                    failures.append((_image_path(split, number), WrongContent(f"{file.path}: {size}", hint=hint)))
                else:
                    found[number] = size
                done += 1
                self.pulse("Looking at images", done, total, "images")

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
            home = self.target.root / CACHE / "rows" / split
            with self.target.errors(folder):
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
            masks = Masks.read(table, self.classes.numbers, functools.partial(self._mask, split))
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

    def _mask(self, split: str, name: str) -> bytes:
        if name not in self.choice.masks[split]:
            raise FileMissing(f"{name} is not there")
        return self._read(self.choice.masks[split][name])

    def _wanted(self) -> Iterator[Renamed]:
        """The images and masks that shall be there, and where they are."""
        for split, found in self.choice.images.items():
            for number in self.sizes[split]:
                yield Renamed(_image_path(split, number), self.origin, found[number])
        for split, masks in self.choice.masks.items():
            for name, path in sorted(masks.items()):
                yield Renamed(f"masks/{split}/{name}", self.origin, File(path))

    def _missing(self) -> Iterator[Renamed]:
        """Those that are not there; WouldOverwrite when other files have their names."""
        in_the_way: list[str] = []
        for found in map_ordered(lambda some: list(map(self._compare, some)), _batches(self._wanted()), self.jobs):
            for one, there, ours in found:
                if isinstance(there, File):
                    self.extraction.files[one.path] = there
                    self.extraction.kept += 1
                    continue
                if there and not ours:
                    in_the_way.append(one.path)
                yield one
        if in_the_way:
            raise WouldOverwrite.of(self.target.place, in_the_way, AWAY)

    def _compare(self, one: Renamed) -> tuple[Renamed, File | bool, bool]:
        """What is there of a file: itself, something else (and whether visprep wrote that), or nothing."""
        there = self.target.root / one.path
        if not there.is_file():
            return one, there.exists() or there.is_symlink(), False
        if is_link(self.target, one.path, self.origin, one.origin.path):
            return one, linked(self.target, one.path), True
        have = self.extraction.hashed(File(one.path, there.stat().st_size))
        if have.digest == wire.wait(self.origin.hash(one.origin.path, "sha256")):
            return one, have, True
        known = self.extraction.change.known(one.path)
        return one, True, known is not None and known.digest == have.digest

    def _prepare(self, missing: list[Renamed]) -> bool:
        """Whether they can be links; DiskFull when there is no room for copies."""
        linking = bool(missing)
        try:
            try_links(self.target, ((self.origin, one.origin.path) for one in missing))
        except NoLinks:
            linking = False
        need = 0 if linking else sum(one.origin.size or 0 for one in missing)
        check_room(self.target, need + self.documents.bytes, "the images")
        return linking

    def _put(self, missing: list[Renamed], linking: bool, failures: Failures) -> None:
        for done, (path, outcome) in enumerate(surviving(self._outcomes(missing, linking)), 1):
            self.pulse("Linking" if linking else "Copying", done, len(missing), "files")
            if isinstance(outcome, VisprepError):
                failures.append((path, outcome))
            else:
                self.extraction.note(File(path, outcome.size, outcome.digest))

    def _outcomes(self, missing: list[Renamed], linking: bool) -> Iterator[tuple[str, File | VisprepError]]:
        left = {one.path: one for one in missing}
        if linking:
            try:
                for done in map_ordered(functools.partial(links, self.target), _batches(missing), self.jobs):
                    for path, outcome in done:
                        self.linked += not isinstance(outcome, VisprepError)
                        del left[path]
                        yield path, outcome
            except NoLinks:  # no more of one file, or another file system below
                pass
        copies = RenamedStore(left)
        jobs = ((path, self.target.receive(one.file, copies)) for path, one in left.items())  # type: ignore[arg-type]
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
        )


def _image_path(split: str, number: int) -> str:
    return f"{split}/{image_name(number)}.jpg"


def _batches(files: Iterable[Renamed]) -> Iterator[list[Renamed]]:
    rest = iter(files)
    return iter(lambda: list(itertools.islice(rest, _TOGETHER)), [])
