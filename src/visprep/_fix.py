"""`fix`: bad images of a dataset of COCO or Open Images put aside, in a way that can be undone, or fetched again."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from visprep import panoptic_check, wire
from visprep._verify import verify
from visprep.annotation_files import AnnotationFile
from visprep.changes import begin
from visprep.errors import (
    Incomplete,
    PlaceMissing,
    UnsafePath,
    UsageError,
    VisprepError,
    WrongContent,
)
from visprep.findings import Finding, Level
from visprep.formats import coco_json, open_images_place
from visprep.formats.coco_json import JsonFile, Subset
from visprep.formats.coco_place import candidates, cleaned, image_root, original, split_of
from visprep.image_loading import see
from visprep.image_origins import image_origins
from visprep.manifest import RECORD_DIR, File
from visprep.own_record import behind_link
from visprep.progress import OnProgress, Progress, unheard
from visprep.provenance import step
from visprep.quarantine import Quarantine
from visprep.rules import Depth, coco_files, image_files
from visprep.rules import files as file_rules
from visprep.settings import S3Settings
from visprep.stores import Store, data_files, open_store
from visprep.stores.local import LocalStore
from visprep.verify_request import one_of

HOW = ("quarantine", "refetch")
_CHANGED = frozenset({file_rules.FILE_CHANGED.code, file_rules.FILE_MISSING.code, file_rules.FILE_SIZE.code})
#: Not in the cache, which is emptied when the manifest is written: before these are taken from there.
_DRAFTS = f"{RECORD_DIR}/fixing"
_ABSENT = frozenset({coco_files.IMAGE_MISSING.code, coco_files.MASK_MISSING.code})


@dataclass(frozen=True, slots=True)
class FixResult:
    """What `fix` did: paths of images that were put aside, fetched again, or put back, and files that were written.

    `unchecked` are those fetched again of which no manifest told the bytes: that they decode is all that is known.
    `left` counts the errors that `verify` told before, and that this way to fix does nothing about.
    """

    place: str
    how: str
    quarantined: tuple[str, ...] = ()
    refetched: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    left: int = 0


def fix(
    place: str | os.PathLike[str],
    how: str | None = None,
    *,
    undo: bool = False,
    mirror: str | Sequence[str] | None = None,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> FixResult:
    """Put bad images of a dataset of COCO or Open Images on disk aside, or fetch them again.

    Bad are those that `verify` cannot decode to their last pixel. `quarantine` moves them to `.visprep/quarantine/`,
    and writes beside each annotation file that names a bad or missing image one without these, called `.cleaned.json`:
    it stands for the other from then on. With `undo` all of that is taken back, to the byte. `refetch` fetches the bad
    ones again, those that are missing, and those that are not as the manifest says, from the source that `dataset.json`
    tells of: from the mirrors that it was downloaded from, then from its own; `mirror` names web addresses, or places,
    of the same layout to use in place of these. What arrives takes its place when it decodes, and is as the manifest
    says; in place of a bad image that is what the manifest says, other bytes are taken, and the manifest follows. A
    sound image that is not as the manifest says is put aside, where `undo` finds it. What cannot be had stays as it is,
    and Incomplete is raised.

    UsageError when the place is no directory, or nothing tells where its files came from; WouldOverwrite when a file
    is in the way, or was changed since.
    """
    store = open_store(os.fspath(place), s3)
    if not isinstance(store, LocalStore):
        raise UsageError(f"{store.place}: only a directory can be fixed", hint="download it, fix it, and upload it")
    if how is not None:
        one_of("way to fix", how, HOW)
    if (undo and how == "refetch") or (how is None and not undo):
        raise UsageError("say --how quarantine, --how refetch, or --undo", hint="only a quarantine can be undone")
    if mirror and how != "refetch":
        raise UsageError("--mirror goes with --how refetch", hint="leave it out")
    if not store.root.is_dir():
        raise PlaceMissing(f"{store.place}: no such directory", hint="name the directory that holds annotations/")
    names = (mirror.split(",") if isinstance(mirror, str) else mirror) or ()
    if undo:
        with begin(store, step("fix", "quarantine")), _drafting(store):
            return FixResult(store.place, "undo", restored=Quarantine(store).undo())
    depth = "decode" if how == "quarantine" else "content"
    listing = list(data_files(store))
    as_ = "open-images" if open_images_place.layout(listing).splits else "coco"
    findings = verify(store.place, as_=as_, depth=depth, jobs=jobs, progress=progress).findings
    if how == "quarantine":
        return _put_aside(store, findings)
    origins = image_origins(store, listing, [one.strip() for one in names if one.strip()], s3)
    return _fetch_again(store, findings, origins, jobs, progress)


@contextlib.contextmanager
def _drafting(store: LocalStore) -> Iterator[LocalStore]:
    """A directory for what is not finished, which does not stay; only for who changes the place alone."""
    drafts = store.root / _DRAFTS
    if behind_link(store, _DRAFTS):
        raise UnsafePath(f"{store.place}: {_DRAFTS} leads elsewhere", hint="remove the link")
    shutil.rmtree(drafts, ignore_errors=True)  # what a kill left
    try:
        yield LocalStore(drafts)
    finally:
        shutil.rmtree(drafts, ignore_errors=True)


def _left(findings: Iterable[Finding], codes: frozenset[str], paths: set[str]) -> int:
    """How many errors are neither of these codes nor about these files."""
    return sum(
        1
        for one in findings
        if one.level is Level.ERROR
        and one.code not in codes
        and one.path not in paths
        and one.where.get("file") not in paths
    )


@dataclass(slots=True)
class _Annotations:
    """An annotation file, and of each of its images what must be there: it itself, and its mask."""

    file: AnnotationFile
    needed: list[list[str]]
    masks: set[str]

    def without(self, lacking: Callable[[str], bool]) -> Subset | None:
        """The file without the images of which something is lacking, None when nothing is."""
        kept = np.array([not any(map(lacking, paths)) for paths in self.needed], np.bool_)
        return None if kept.all() else self.file.index.select(kept)


def _annotations(store: LocalStore, listing: Sequence[File], away: Sequence[str]) -> Iterator[_Annotations]:
    """The annotation files of a place as they were written at first; `away` are files that were there before."""
    there = {file.path for file in listing}.union(away)
    # Where none of their images is left, no file tells what their names are relative to
    of_open_images = {split.document for split in open_images_place.layout(listing).splits.values()}
    for file in candidates(listing):
        if original(file.path) != file.path and original(file.path) in there:
            continue
        try:
            index = coco_json.index(JsonFile(store, file.path))
        except WrongContent:  # no annotation file, or one that must be mended by hand
            continue
        root = "" if file.path in of_open_images else image_root(file.path, index.images.file_names, there)
        one = AnnotationFile(file.path, split_of(file.path), index, root)
        needed = [[path] if (path := one.image(number)) else [] for number in range(len(index.images))]
        masks = (panoptic_check.masks(index, there) or ()) if "panoptic_" in file.path else ()
        if masks:
            numbers = {int(id): number for number, id in enumerate(index.images.ids)}
            for mask in masks:
                if mask.image_id in numbers:
                    needed[numbers[mask.image_id]].append(mask.path)
        yield _Annotations(one, needed, {mask.path for mask in masks})


def _bad(findings: Sequence[Finding]) -> list[str]:
    return sorted({one.path for one in findings if one.code in image_files.BAD})


def _put_aside(store: LocalStore, findings: Sequence[Finding]) -> FixResult:
    bad = _bad(findings)
    with begin(store, step("fix", "quarantine")) as change, _drafting(store) as drafts:
        quarantine = Quarantine(store)
        listing = list(data_files(store))
        there = {file.path for file in listing}.difference(bad)
        files: dict[str, File] = {}
        missing: set[str] = set()
        for one in _annotations(store, listing, quarantine.moved):
            if (subset := one.without(lambda path: path not in there)) is not None:
                missing.update(path for paths in one.needed for path in paths if path not in there)
                file = _drafted(drafts, cleaned(one.file.path), subset)
                files[file.path] = file
        digests = {path: str(file.digest) for path, file in files.items()}
        gone = missing.union(bad, quarantine.moved) - there
        left = _left(findings, _ABSENT | {file_rules.PLACE_INCOMPLETE.code}, gone)
        if not bad and not change.resumed and all(_digest(store, path) == digests[path] for path in files):
            return FixResult(store.place, "quarantine", left=left)
        recorded = change.record is not None
        quarantine.open(bad, digests, recorded=recorded)
        if recorded:
            change.mark()
        for path in files:
            store.adopt(path, drafts.root / path)
        for path in bad:
            quarantine.move(path)
        if recorded:
            listed = {path: file for path, file in change.listed.items() if path not in gone} | files
            steps = change.dataset.steps if change.dataset else ()
            if change.resumed and change.repeats and steps[-1].date == change.step.date:
                steps = steps[:-1]  # the one before was killed after it had written that
            counts = {"files": len(quarantine.aside)}
            change.commit(listed.values(), (*steps, replace(change.step, counts=counts)))
        quarantine.close()
    return FixResult(store.place, "quarantine", quarantined=tuple(bad), written=tuple(files), left=left)


def _drafted(drafts: LocalStore, path: str, subset: Subset) -> File:
    """Write annotations to a draft; what it is then."""
    with drafts.errors(path):
        (drafts.root / path).parent.mkdir(parents=True, exist_ok=True)
        size = subset.write(drafts.root / path)
    return File(path, size, wire.wait(drafts.hash(path, "sha256")))


def _digest(store: LocalStore, path: str) -> str | None:
    return wire.wait(store.hash(path, "sha256")) if (store.root / path).is_file() else None


def _fetch_again(
    store: LocalStore,
    findings: Sequence[Finding],
    origins: Sequence[Store],
    jobs: int | None,
    progress: OnProgress,
) -> FixResult:
    listing = list(data_files(store))
    bad = {one.path for one in findings if one.code in image_files.BAD}
    changed = {one.path for one in findings if one.code in _CHANGED}
    with begin(store, step("fix", "refetch")) as change, _drafting(store) as drafts:
        quarantine = Quarantine(store)
        wanted, sizes = _wanted(store, listing, bad | changed)
        left = _left(findings, frozenset({coco_files.IMAGE_MISSING.code}), wanted)
        if not wanted:
            return FixResult(store.place, "refetch", left=left)
        listed = change.listed
        # A bad image that is as recorded was bad when it came: other bytes are asked for
        healed = bad - changed
        known = {path: file for path, file in listed.items() if path not in healed}
        files = [known.get(path, File(path)) for path in sorted(wanted)]
        there = {file.path for file in listing}
        edited = (wanted & changed & there) - bad  # what somebody made of these is kept
        came: dict[str, File] = {}

        def take(file: File) -> None:
            if file.path in edited or (file.path in healed and file.path in listed):
                came[file.path] = file
            else:
                store.adopt(file.path, drafts.root / file.path)

        failed = _fetch(drafts, files, origins, sizes, take, jobs, progress)
        kept = sorted(edited.intersection(came))
        if kept:
            quarantine.open(kept, {path: str(came[path].digest) for path in kept}, recorded=False)
        if new := {path: file for path, file in came.items() if path not in edited}:
            # Before the images: after a kill in between they are not as the manifest says, and are fetched again
            steps = change.dataset.steps if change.dataset else ()
            change.commit((listed | new).values(), (*steps, replace(change.step, counts={"files": len(new)})))
        for path in kept:
            quarantine.move(path)
        for path in came:
            store.adopt(path, drafts.root / path)
        if kept:
            quarantine.close()
    if failed:
        raise Incomplete.of(failed, len(wanted))
    unchecked = tuple(file.path for file in files if file.digest is None)
    paths = tuple(file.path for file in files)
    return FixResult(store.place, "refetch", tuple(kept), paths, unchecked=unchecked, left=left)


def _wanted(store: LocalStore, listing: Sequence[File], wrong: set[str]) -> tuple[set[str], dict[str, tuple[int, int]]]:
    """The images to fetch, those that are `wrong` and those that lack; and the size of each that a file tells."""
    there = {file.path for file in listing}
    wanted = set(filter(image_files.is_image, wrong))
    masks: set[str] = set()
    sizes: dict[str, tuple[int, int]] = {}
    for one in _annotations(store, listing, ()):
        masks |= one.masks
        images = one.file.index.images
        for number in range(len(images)):
            if path := one.file.image(number):
                sizes[path] = int(images.widths[number]), int(images.heights[number])
        if cleaned(one.file.path) not in there:  # else it is known to be missing
            wanted.update(path for paths in one.needed for path in paths if path not in there)
    wanted -= masks  # no mirror has them one by one
    if open_images_place.layout(listing).splits:
        wanted = {path for path in wanted if not path.startswith("masks/")}
    return wanted, sizes


def _fetch(
    drafts: LocalStore,
    files: Sequence[File],
    origins: Sequence[Store],
    sizes: Mapping[str, tuple[int, int]],
    take: Callable[[File], None],
    jobs: int | None,
    progress: OnProgress,
) -> list[tuple[str, VisprepError]]:
    """Fetch images from the first of the origins that has them as they should be; what failed, and why.

    `sizes` are width and height as annotations tell them, in pixels; a picture may be stored turned.
    """

    async def arrive(file: File, origin: Store) -> None:
        received = await drafts.receive(file, origin)
        sight = await see(drafts, received, Depth.DECODE, near=True)
        for finding in sight.findings:
            if finding.code in image_files.BAD:
                await drafts.delete(file.path)
                raise WrongContent(f"{file.path}: what {origin.place} has is bad too: {finding.message}")
        told = sizes.get(file.path, (0, 0))
        if sight.size and min(told) > 0 and sorted(told) != sorted(sight.size):
            await drafts.delete(file.path)
            shape, wanted = (f"{width}x{height}" for width, height in (sight.size, told))
            raise WrongContent(f"{file.path}: what {origin.place} has is another picture: {shape}, not {wanted}")
        take(received)

    failed: dict[str, VisprepError] = {}
    left, done = list(files), 0
    for origin in origins:
        work = ((file.path, arrive(file, origin)) for file in left)
        for path, outcome in wire.run(work, jobs or wire.IN_FLIGHT):
            if isinstance(outcome, VisprepError):
                failed[path] = outcome
                continue
            failed.pop(path, None)
            done += 1
            progress(Progress("Fetching", done, len(files), "images"))
        left = [file for file in left if file.path in failed]
    return list(failed.items())
