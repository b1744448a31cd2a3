"""Bringing Open Images to a place: rows of upstream's tables, the images they name, and COCO JSON made of both.

What is wanted is what the tables tell, what is there is what visprep noted when it wrote it. Of the images in the
bucket nobody published a digest: what arrives is held against its length, and must begin as an image does. Of what goes
to S3, tables and drafts lie in a temporary directory meanwhile; images never touch the disk.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from visprep import image_sizes, temporary, wire
from visprep.changes import PlaceChange, begin, drop_cache, present_files
from visprep.documents import Documents
from visprep.engines import Engine, open_engine
from visprep.errors import Incomplete, PlaceError, UsageError, VisprepError, WouldOverwrite, WrongContent
from visprep.extraction import Extraction, Part
from visprep.formats.open_images_blocks import CsvFile
from visprep.formats.open_images_coco import Conversion, Converted, Drafting, Sizes
from visprep.formats.open_images_csv import Wanted, check_reader, read
from visprep.formats.open_images_facts import ImageFacts
from visprep.formats.open_images_masks import Masks
from visprep.formats.open_images_tables import BOXES, IMAGES, MASKS
from visprep.image_choice import ImageChoice, KeptRows, choose
from visprep.journal import Failures, journal
from visprep.kept_rows import Checked, checked
from visprep.mirrors import Mirrors, check_room, put_aside
from visprep.own_record import CACHE, has_fetched
from visprep.progress import OnProgress, Pulse
from visprep.roads import ABOUT, BucketOptions, Road, Site, road
from visprep.roads.steps import step, table_mirrors, table_origins
from visprep.single_images import Singles
from visprep.sources import Archive, Selection
from visprep.sources.open_images import OpenImages
from visprep.stores import Store
from visprep.stores.local import LocalStore
from visprep.tables import Tables

__all__ = ["BucketOptions", "BucketResult", "bring"]


@dataclass(frozen=True, slots=True)
class BucketResult:
    """What a download of Open Images did, or with `planned` what it would do.

    `files` were written, `kept` were there already. `bytes` came, or may come, where sizes are not known beforehand.
    `images` counts those of each license, `boxes` is what came of the rows of each split. `others` counts images of
    the same splits from before, which are not among those of this selection, `odd` the boxes of each split that are
    turned round or go beyond their image. `disk` is what a download to S3 takes of a temporary directory, in bytes: the
    tables and the drafts.
    """

    source: str
    target: str
    files: int = 0
    kept: int = 0
    bytes: int = 0
    images: dict[str, int] = field(default_factory=dict)
    boxes: dict[str, Converted] = field(default_factory=dict)
    others: int = 0
    odd: dict[str, int] = field(default_factory=dict)
    disk: int = 0
    planned: bool = False


def bring(
    source: OpenImages, selection: Selection, target: Store, options: BucketOptions, progress: OnProgress
) -> BucketResult:
    """Bring the selected images, with the rows about them and COCO JSON; errors as `download` says."""
    source.tables(selection)  # a wrong name must show before anything else happens
    way = road(source, options)
    if (selection.only_matching or selection.expand_hierarchy) and not selection.classes:
        raise UsageError(
            "--only-matching and --expand-hierarchy go with --classes", hint="add --classes, or leave them out"
        )
    if selection.seed is not None and selection.limit is None:
        raise UsageError("--seed goes with --limit", hint="add --limit, or leave --seed out")
    if not (isinstance(target, LocalStore) or way.to_any_place):
        raise UsageError(
            f"--via {options.via} needs a directory to work in, and {target.place} is none",
            hint=f"take --via s3 or --via http, or a directory, and then: visprep upload DIRECTORY {target.place}",
        )
    if not (options.engine == "local" or way.to_any_place):
        raise UsageError(
            f"--engine {options.engine} does not go --via {options.via}", hint="take --via s3 or --via http"
        )
    check_reader()
    way.check(selection)
    with open_engine(options.engine, jobs=options.jobs, ray_address=options.ray_address) as engine:
        return _Bringing(source, selection, target, options, way, engine, progress).run()


class _Bringing:
    """One download of one selection into one place."""

    def __init__(
        self,
        source: OpenImages,
        selection: Selection,
        target: Store,
        options: BucketOptions,
        way: Road,
        engine: Engine,
        progress: OnProgress,
    ) -> None:
        self.source, self.selection, self.target, self.options, self.way = source, selection, target, options, way
        self.engine = engine
        self.pulse = Pulse(progress)
        self.moved = self.others = self.disk = 0
        self.sizes: Mapping[str, tuple[int, int]] = {}
        self.boxes: dict[str, Converted] = {}
        self.rows: dict[str, Checked] = {}

    def run(self) -> BucketResult:
        """Bring what is missing, and write the place's record."""
        with begin(
            self.target, step(self.source, self.selection, self.options, self.way), overwrite=self.options.may_replace
        ) as change:
            self.extraction = Extraction(
                self.target,
                change,
                may_replace=self.options.may_replace,
                jobs=self.options.jobs,
                heard=self._heard,
                engine=self.engine,
            )
            self.extraction.check_place(self.source.name, ("labels", "annotations", "masks"))
            self._check_kind(change)
            if change.repeats and not change.resumed and self.extraction.is_whole():
                if isinstance(self.target, LocalStore) and not self.options.dry_run:
                    drop_cache(self.target)  # what another command fetched that was killed before it began
                return self._result(None)
            change.check_bucket()
            with contextlib.ExitStack() as stack:
                stack.enter_context(self._traceless(change))
                folder = self._folder(stack)
                self.extraction.scratch = LocalStore(folder)
                self.tables = Tables(
                    LocalStore(folder / "tables"), table_origins(self.source, self.options), self._heard
                )
                stack.enter_context(self.tables.on_trial())
                self.documents = Documents(self.extraction, folder / "documents")
                choice = choose(self.source, self.selection, self.tables)
                self.documents.draft_all(choice.documents)
                self._check_labels(change, choice)
                self.rows = self._check_rows(choice)
                site = Site(self.extraction, choice, self.tables, self._heard, self.engine)
                singles = self.way.open(site)
                singles.want(self.way.files(site))
                self.others = self._count_others(change, choice)
                masks = [self._part(archive) for archive in self._mask_archives(choice)]
                for part in masks:
                    self.extraction.compare(part)
                self._plan(choice, singles, masks, folder)
                if self.options.dry_run:
                    return self._result(choice)
                change.mark()
                with journal(self.target, change.step) as failures:
                    for part in masks:
                        self.extraction.bring(part, failures)
                    for failure in sorted(singles.fetch().items()):
                        failures.append(failure)
                    self.sizes = singles.sizes
                    self._convert(choice, self._sizes(choice, failures))
                    self._weigh(folder)
                    self.documents.put()
                    if failures:
                        raise _incomplete(failures, len(choice.paths) + sum(len(part.archive.paths) for part in masks))
            self.extraction.commit()
        return self._result(choice)

    def _folder(self, stack: contextlib.ExitStack) -> Path:
        """Where tables and drafts lie meanwhile: what a directory has of them is there for the next try, too."""
        if isinstance(self.target, LocalStore) and not self.options.dry_run:
            return self.target.root / CACHE
        return stack.enter_context(temporary.directory("download"))

    def _weigh(self, folder: Path) -> None:
        """Count what lies in the temporary directory of a download to S3: nothing of it goes before the end."""
        if not isinstance(self.target, LocalStore):
            self.disk = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())

    @contextlib.contextmanager
    def _traceless(self, change: PlaceChange) -> Iterator[None]:
        """Of a command that is refused before it began, the tables it fetched do not stay; of one that failed they do.

        What was there before it stays.
        """
        fresh = not has_fetched(self.target)
        try:
            yield
        except (UsageError, PlaceError):
            if isinstance(self.target, LocalStore) and fresh and not change.marked and not change.resumed:
                drop_cache(self.target)
            raise

    def _count_others(self, change: PlaceChange, choice: ImageChoice) -> int:
        """Images of these splits from before, which the rows and the JSON that are written now do not name."""
        chosen, folders = set(choice.paths), tuple(f"{split}/" for split in choice.images)
        there = (file.path for file in present_files(self.target) if change.known(file.path))
        return sum(path.startswith(folders) and path not in chosen for path in there)

    def _check_kind(self, change: PlaceChange) -> None:
        """WouldOverwrite for originals where the bucket's images lie, and the reverse: they have the same names."""
        for one in change.downloads():
            there = bool(one.options.get("original"))
            if there != self.options.original and (one.source == self.source.name or one.command == "convert"):
                kinds = {True: "originals", False: "images of the bucket"}
                raise WouldOverwrite(
                    f"{self.target.place}: {kinds[there]} lie here, and {kinds[not there]} have the same names",
                    hint=f"{'say' if there else 'leave out'} --original as before, or choose another --output",
                )

    def _check_labels(self, change: PlaceChange, choice: ImageChoice) -> None:
        """WouldOverwrite when other images were chosen before, with labels that are not asked for now.

        The rows of these would stay, of images that the other tables do not name any more.
        """
        due = {file.path for file in self.documents.due}
        for folder in (f"labels/{split}/" for split in choice.images):
            known = sorted(path for path in change.listed if path.startswith(folder) and path not in choice.documents)
            stale = [path for path in known if self.extraction.ours_is_there(path)]
            if stale and f"{folder}images.csv" in due:
                kinds = [path.removeprefix(folder).removesuffix(".csv") for path in stale]
                raise WouldOverwrite(
                    f"{self.target.place}: {', '.join(stale)} would stay, with rows of images that were chosen before",
                    paths=tuple(stale),
                    hint=f"ask for {','.join(kinds)} in --labels too, or choose another --output",
                )

    def _check_rows(self, choice: ImageChoice) -> dict[str, Checked]:
        """The rows of each split that COCO JSON will be made of: what is wrong with them shows before images come.

        WouldOverwrite when a JSON is in the way that is not ours.
        """
        found = {}
        for split in choice.images:
            rows: dict[str, tuple[Path, CsvFile]] = {}
            for kind in (IMAGES, BOXES, MASKS):
                path = f"labels/{split}/{kind.name}.csv"
                if isinstance(kept := choice.documents.get(path), KeptRows):
                    rows[kind.name] = self.documents.path(path), kept.file
            if BOXES.name in rows:
                self.documents.check_way(_document(split))
                found[split] = checked(rows, choice.classes)
        return found

    def _mask_archives(self, choice: ImageChoice) -> Iterator[Archive]:
        """The archives of the masks, each with those that are wanted of it."""
        for split, ids in choice.images.items() if "masks" in self.selection.labels else ():
            table = self.source.table("masks", split)
            rows = read(self.tables.open(table.path, MASKS), MASKS, Wanted(None, ids, choice.wanted), ("MaskPath",))
            yield from self.source.mask_archives(split, (path for batch in rows for path in batch.texts("MaskPath")))

    def _part(self, archive: Archive) -> Part:
        mirrors = Mirrors(
            archive,
            table_mirrors(self.source, self.options),
            self.target,
            keep=False,
            may_move=self.extraction.ours,
            in_parts=self.options.dry_run,
            on_bytes=lambda count: self._heard(archive.path, count),
            may_lack=True,
        )
        return Part(mirrors, mirrors.next())

    def _plan(self, choice: ImageChoice, singles: Singles, masks: list[Part], folder: Path) -> None:
        """Count what is to be done; DiskFull, before the first byte, when there is no room for it."""
        missing = [one.member.size for part in masks for one in part.missing]
        wanted = [*singles.wanted, *(one.path for part in masks for one in part.missing)]
        self.extraction.check_folders([*wanted, *(file.path for file in self.documents.due)])
        need = singles.bytes + sum(missing)
        self.extraction.kept += sum(len(part.there) for part in masks)
        guessed = any(file.size is None for file in singles.wanted.values())
        what = f"the images, at about {ABOUT:,} bytes each" if guessed else "the images"
        if isinstance(self.target, LocalStore):
            check_room(self.target, need + self.documents.bytes, what)
        self._weigh(folder)
        if self.options.dry_run:
            due = self._json_due(choice, wanted)
            self.extraction.kept += due.count(False)
            self.extraction.written = len(singles.wanted) + len(missing) + len(self.documents.due) + due.count(True)
            self.moved = singles.to_come + sum(missing)

    def _json_due(self, choice: ImageChoice, missing: list[str]) -> list[bool]:
        """Of the COCO JSON of each split that has boxes, whether it will be written: it is made of what came."""
        rows = {file.path for file in self.documents.due}
        due = []
        for split in choice.images:
            of_split = {path for path in choice.documents if path.startswith(f"labels/{split}/")}
            if f"labels/{split}/boxes.csv" not in of_split:
                continue
            there = self.extraction.ours_is_there(f"annotations/instances_{split}.json")
            of_it = (f"{split}/", f"masks/{split}/")
            more = self.extraction.change.resumed and any(path.startswith(of_it) for path in missing)
            due.append(not there or more or not rows.isdisjoint(of_split))
        return due

    def _convert(self, choice: ImageChoice, sizes: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        """Draft the COCO JSON of every split, of the images that are there."""
        for split, found in self.rows.items():
            rows = found.tables
            masks = None
            if "masks" in rows:
                masks = Masks.read(rows["masks"], choice.classes.numbers, functools.partial(self._masks, split))
            conversion = Conversion(
                split,
                rows["boxes"],
                Sizes.of(sizes[split]),
                choice.classes,
                choice.hierarchy,
                ImageFacts.read(rows["images"]),
                masks,
                choice.wanted,
                numbered=choice.images[split],
            )
            drafting = Drafting(conversion)
            self.documents.draft_all({_document(split): drafting})
            self.boxes[split] = drafting.done

    def _masks(self, split: str, names: Iterable[str]) -> Iterator[tuple[str, bytes | VisprepError]]:
        return wire.run((name, self.target.read(f"masks/{split}/{name}")) for name in names)

    def _sizes(self, choice: ImageChoice, failures: Failures) -> dict[str, dict[str, tuple[int, int]]]:
        """Width and height of the images that are there; what is no image is put aside."""
        sizes: dict[str, dict[str, tuple[int, int]]] = {split: {} for split in choice.images}
        there = (self.extraction.files[path] for path in choice.paths if path in self.extraction.files)
        for file, size in list(image_sizes.sizes(self.target, there, self.sizes)):
            path = file.path
            split, _, name = path.partition("/")
            if isinstance(size, str):
                where = ""
                if isinstance(self.target, LocalStore):
                    put_aside(self.target, path, path)
                    where = "; it was put aside in .visprep/quarantine"
                del self.extraction.files[path]
                failures.append((path, WrongContent(f"{path}: {size}{where}")))
            else:
                sizes[split][name.removesuffix(".jpg")] = size
        return sizes

    def _heard(self, path: str, count: int) -> None:
        self.moved += count
        self.pulse(f"Fetching {path}", self.moved, None, "bytes")

    def _result(self, choice: ImageChoice | None) -> BucketResult:
        return BucketResult(
            self.source.name,
            self.target.place,
            files=self.extraction.written,
            kept=self.extraction.kept,
            bytes=self.moved,
            images=dict(sorted(choice.licenses.items())) if choice else {},
            boxes=self.boxes,
            others=self.others,
            odd={split: rows.odd for split, rows in self.rows.items() if rows.odd},
            disk=self.disk,
            planned=self.options.dry_run,
        )


def _document(split: str) -> str:
    return f"annotations/instances_{split}.json"


def _incomplete(failures: Failures, wanted: int) -> Incomplete:
    """The error that ends a download to which some images or masks did not come."""
    told = Incomplete.of(failures, wanted)
    return Incomplete(
        f"{told.message}; labels/ has the rows of all, and annotations/ what is there",
        failures=told.failures,
        hint=told.hint,
    )
