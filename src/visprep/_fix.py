"""`fix`: bad images of a COCO dataset put aside, in a way that can be undone, or fetched again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from visprep import sources, wire
from visprep._verify import verify
from visprep.annotation_files import AnnotationFile
from visprep.asked import one_of
from visprep.changes import begin
from visprep.digests import digest_of
from visprep.errors import Incomplete, PlaceMissing, UnknownName, UsageError, VisprepError, WouldOverwrite, WrongContent
from visprep.findings import Finding
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile, Mask
from visprep.formats.coco_place import candidates, image_root, split_of
from visprep.manifest import File
from visprep.own_record import read_dataset, read_manifest
from visprep.progress import OnProgress, Progress, unheard
from visprep.provenance import step
from visprep.quarantine import Quarantine
from visprep.rules import coco_files, image_files
from visprep.rules import files as file_rules
from visprep.settings import S3Settings
from visprep.sources import Archived, Mirror
from visprep.stores import Store, data_files, open_store
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore

HOW = ("quarantine", "refetch")
#: What makes an image bad: nothing can be made of it, or not all of it.
BAD = frozenset(
    rule.code
    for rule in (
        image_files.IMAGE_DAMAGED,
        image_files.IMAGE_EMPTY,
        image_files.IMAGE_NOT_IMAGE,
        image_files.IMAGE_OVERSIZED,
        image_files.IMAGE_TRUNCATED,
    )
)
_CHANGED = frozenset({file_rules.FILE_CHANGED.code, file_rules.FILE_SIZE.code})
#: In the name of an annotation file without the bad images.
CLEANED = ".cleaned"


@dataclass(frozen=True, slots=True)
class FixResult:
    """What `fix` did: paths of images that were put aside, fetched again, or put back, and files that were written."""

    place: str
    how: str
    quarantined: tuple[str, ...] = ()
    refetched: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


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
    """Put bad images of a COCO dataset on disk aside, or fetch them again.

    Bad are those that `verify` cannot decode to their last pixel. `quarantine` moves them to `.visprep/quarantine/`,
    and writes beside each annotation file that names a bad or missing image one without these, called `.cleaned.json`.
    With `undo` all of that is taken back, to the byte. `refetch` fetches the bad ones again, those that are missing,
    and those that are not as the manifest says, from the source that `dataset.json` tells of; `mirror` names web
    addresses, or places, of the same layout to use in place of the source's own. What cannot be had stays as it is, and
    Incomplete is raised.

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
    if not store.root.is_dir():
        raise PlaceMissing(f"{store.place}: no such directory")
    if undo:
        with begin(store, step("fix", "quarantine")):
            return FixResult(store.place, "undo", restored=Quarantine(store).undo())
    depth = "decode" if how == "quarantine" else "content"
    report = verify(store.place, as_="coco", depth=depth, jobs=jobs, progress=progress)
    if how == "quarantine":
        return _put_aside(store, report.findings)
    names = (mirror.split(",") if isinstance(mirror, str) else mirror) or ()
    return _fetch_again(store, report.findings, [one.strip() for one in names if one.strip()], jobs, s3, progress)


def _bad(findings: Sequence[Finding]) -> list[str]:
    return sorted({one.path for one in findings if one.code in BAD})


def _missing(findings: Sequence[Finding]) -> set[str]:
    return {
        str(one.where["file"]) for one in findings if one.code == coco_files.IMAGE_MISSING.code and "file" in one.where
    }


def _put_aside(store: LocalStore, findings: Sequence[Finding]) -> FixResult:
    bad, missing = _bad(findings), _missing(findings)
    with begin(store, step("fix", "quarantine")) as change:
        cleaned = dict(_cleaned(store, {*bad, *missing}))
        quarantine = Quarantine(store)
        files: dict[str, File] = {}
        for path in cleaned:
            if (store.root / path).exists() and not quarantine.wrote(path):
                raise WouldOverwrite.of(store.place, [path])
        if not bad and not cleaned:
            return FixResult(store.place, "quarantine")
        recorded = change.record is not None
        quarantine.open(bad, cleaned, recorded=recorded)
        if recorded:
            change.mark()
        for path, (file, mask) in cleaned.items():
            data = b"".join(file.index.select(mask).chunks())
            files[path] = wire.wait(store.write(path, data))
            quarantine.written(path, digest_of(data))
        for path in bad:
            quarantine.move(path)
        if recorded:
            kept = {path: file for path, file in change.listed.items() if path not in bad} | files
            steps = change.dataset.steps if change.dataset else ()
            counts = {"files": len(bad)}
            change.commit(kept.values(), (*steps, replace(change.step, counts=counts)))
        quarantine.close()
    return FixResult(store.place, "quarantine", quarantined=tuple(bad), written=tuple(cleaned))


def _cleaned(store: LocalStore, gone: set[str]) -> Iterator[tuple[str, tuple[AnnotationFile, Mask]]]:
    """The annotation files that name an image which is gone, by the name of what is to be written without it."""
    listing = list(data_files(store))
    present = {file.path for file in listing} | gone
    for file in candidates(listing):
        if file.path.endswith(f"{CLEANED}.json"):
            continue
        try:
            index = coco_json.index(JsonFile(store, file.path))
        except WrongContent:  # no annotation file, or one that must be mended by hand
            continue
        root = image_root(file.path, index.images.file_names, present)
        one = AnnotationFile(file.path, split_of(file.path), index, root)
        paths = [one.image(number) for number in range(len(index.images))]
        mask: Mask = np.array([path not in gone for path in paths], np.bool_)
        if not mask.all():
            yield f"{file.path.removesuffix('.json')}{CLEANED}.json", (one, mask)


def _fetch_again(
    store: LocalStore,
    findings: Sequence[Finding],
    mirrors: list[str],
    jobs: int | None,
    s3: S3Settings | None,
    progress: OnProgress,
) -> FixResult:
    changed = {one.path for one in findings if one.code in _CHANGED and image_files.is_image(one.path)}
    gone = {one.path for one in findings if one.code == file_rules.FILE_MISSING.code and image_files.is_image(one.path)}
    bad = sorted({*_bad(findings), *changed})
    wanted = sorted({*bad, *gone, *_missing(findings)})
    origins = _origins(store, mirrors, s3)
    if not wanted:
        return FixResult(store.place, "refetch")
    with begin(store, step("fix", "refetch")):
        quarantine = Quarantine(store)
        quarantine.open(bad, {}, recorded=False)
        for path in bad:
            quarantine.move(path)
        try:
            failed = _fetch(store, wanted, origins, jobs, progress)
        finally:
            here = [path for path in bad if (store.root / path).exists()]
            quarantine.forget(here)
            quarantine.give_back(path for path in bad if path not in set(here))
            quarantine.close()
            store.sweep()
    if failed:
        raise Incomplete.of(failed, len(wanted))
    return FixResult(store.place, "refetch", refetched=tuple(wanted))


def _origins(store: LocalStore, mirrors: list[str], s3: S3Settings | None) -> list[Store]:
    """Where the files of a place came from, as its own record tells."""
    if mirrors:
        return [HttpStore(one) if one.startswith("http") else open_store(one, s3) for one in mirrors]
    dataset = read_dataset(store)
    for one in reversed(dataset.steps if dataset else ()):
        with contextlib.suppress(UnknownName):  # of a place only the last part of its path is noted
            source = sources.get(one.source)
            if isinstance(source, Archived):
                known: tuple[Mirror, ...] = source.mirrors
                return [HttpStore(each.url) for each in known if each.loose]
    raise UsageError(
        f"{store.place}: nothing tells where its images came from",
        hint="--mirror names a web address, or a place, with the same layout; or use --how quarantine",
    )


def _fetch(
    store: LocalStore, paths: Sequence[str], origins: Sequence[Store], jobs: int | None, progress: OnProgress
) -> list[tuple[str, VisprepError]]:
    """Fetch images from the first of the origins that has them as they should be; what failed, and why."""
    manifest = read_manifest(store)
    known = {file.path: file for file in manifest.files} if manifest else {}
    failed: dict[str, VisprepError] = {}
    left, done = list(paths), 0
    for origin in origins:
        work = ((path, store.receive(known.get(path, File(path)), origin)) for path in left)
        for path, outcome in wire.run(work, jobs or wire.IN_FLIGHT):
            if isinstance(outcome, VisprepError):
                failed[path] = outcome
                continue
            failed.pop(path, None)
            done += 1
            progress(Progress("Fetching", done, len(paths), "images"))
        left = [path for path in left if path in failed]
    return list(failed.items())
