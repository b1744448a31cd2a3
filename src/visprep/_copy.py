"""Copying a place: what `upload`, and `download` of a place, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from visprep import provenance, wire
from visprep.changes import (
    PlaceChange,
    begin,
    forget_journal,
    journal,
    present_files,
    read_dataset,
    read_manifest,
    unfinished,
)
from visprep.digests import DigestSink
from visprep.engines.local import map_ordered
from visprep.errors import (
    Incomplete,
    PlaceIncomplete,
    PlaceMissing,
    StoreError,
    UsageError,
    VisprepError,
    WouldOverwrite,
)
from visprep.manifest import DATASET, Change, File, Manifest, diff
from visprep.progress import OnProgress, Progress
from visprep.provenance import Step
from visprep.stores import Store, data_files
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore
from visprep.transfer import Action, Operation, apply, guard, plan, totals


@dataclass(frozen=True, slots=True)
class CopyResult:
    """What a copy did: files and bytes moved, and how many files were there already."""

    origin: str
    target: str
    moved: int
    kept: int
    bytes: int


def copy_place(
    origin: Store,
    target: Store,
    command: str,
    *,
    may_replace: bool,
    jobs: int | None,
    progress: OnProgress,
) -> CopyResult:
    """Make `target` hold every file of `origin`, with its provenance; files that only `target` has stay.

    Without `may_replace`, a file at the target that visprep did not write, or that changed since, stops the copy
    before it begins: WouldOverwrite. Files that fail are journaled, the rest is done: Incomplete.
    """
    _check_ends(origin, target)
    # The slash tells a directory called sample from the source called sample
    step = provenance.step(command, f"{_name(origin)}/")
    with journal(target if isinstance(target, LocalStore) else origin, step) as failures:
        want, steps = _wanted(origin, progress, jobs, failures)
        total = len(want) + len(failures)
        with begin(target, step, overwrite=may_replace) as change:
            have = present_files(target)
            operations = plan(want, have, origin, target)
            if not may_replace:
                operations = list(guard(operations, lambda path: _ours(change, target, path)))
                _refuse(operations, target)
            kept = [_with_sha256(one.file, target) for one in operations if one.action is Action.KEEP]
            files = {file.path: file for file in _remaining(change, have)} | {file.path: file for file in kept}
            merged = _merge(change, steps, alone={file.path for file in want} >= files.keys())
            result = CopyResult(origin.place, target.place, *_counts(operations))
            if not (result.moved or failures or change.resumed) and _recorded(change, files.values(), merged):
                return result
            change.mark()
            for path, outcome in _moving(operations, origin, target, jobs, progress):
                if isinstance(outcome, VisprepError):
                    failures.append((path, outcome))
                else:
                    change.note(outcome)
                    files[path] = outcome
            if failures:
                raise incomplete(failures, total)
            change.clear(change.noted.keys() - files.keys())
            change.commit(files.values(), merged)
    forget_journal(origin)
    return result


def incomplete(failures: list[tuple[str, VisprepError]], wanted: int) -> Incomplete:
    """The error that ends a command of which some files failed, with the first of them as examples."""
    shown = "; ".join(f"{_about(path, error)} [{error.slug}]" for path, error in failures[:3])
    more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
    hints = {error.hint for _, error in failures if error.hint and not error.hint.startswith("run the command again")}
    advice = f"{hints.pop()}; then " if len(hints) == 1 else ""
    return Incomplete(
        f"{len(failures)} of {wanted} files failed: {shown}{more}",
        failures=tuple(failures),
        hint=f"{advice}run the same command again: it tries only what is missing",
    )


def _about(path: str, error: VisprepError) -> str:
    return error.message if path in error.message else f"{path}: {error.message}"


def _check_ends(origin: Store, target: Store) -> None:
    if f"{_where(target)}/".startswith(f"{_where(origin)}/"):
        raise UsageError(
            f"the target {target.place} is the origin {origin.place}, or lies in it",
            hint="name another place as target",
        )
    begun = unfinished(origin)
    if begun is not None:
        raise PlaceIncomplete(
            f"{origin.place}: {begun} was begun there and not ended",
            hint="run that command again first, so that the place is whole",
        )


def _where(store: Store) -> str:
    """The same for every way to write the same place."""
    return str(store.root) if isinstance(store, LocalStore) else store.place.rstrip("/")


def _wanted(
    origin: Store, progress: OnProgress, jobs: int | None, failures: list[tuple[str, VisprepError]]
) -> tuple[list[File], tuple[Step, ...]]:
    """The files to copy with all that is known of them, and the steps that made them what they are.

    A file that cannot be read joins `failures`.
    """
    listing = [file for file in data_files(origin) if file.path != DATASET]
    if not listing:
        raise PlaceMissing(f"{origin.place}: there is nothing to copy", hint="check the path")
    manifest, dataset = read_manifest(origin), read_dataset(origin)
    steps = dataset.steps if dataset else ()
    if isinstance(origin, LocalStore):
        # The disk is the truth here: people mend a prompt and upload again, and that is a step of its own.
        listing = list(_hashed(origin, listing, progress, jobs, failures))
        edit = _edits(manifest, listing) if manifest else None
        if edit:
            steps = (*steps, edit)
    elif manifest:
        listing = list(_promised(manifest, listing))
    if not steps:
        steps = (provenance.step("upload", _name(origin), counts={"files": len(listing)}),)
    return listing, steps


def _name(origin: Store) -> str:
    """What a place is called in provenance: on disk only its own name, since the way to it is one machine's."""
    if isinstance(origin, ArchiveStore):
        return Path(origin.place).name
    return origin.root.name if isinstance(origin, LocalStore) else origin.place


def _hashed(
    origin: LocalStore,
    files: list[File],
    progress: OnProgress,
    jobs: int | None,
    failures: list[tuple[str, VisprepError]],
) -> Iterator[File]:
    def hashed(file: File) -> File | StoreError:
        try:
            return replace(file, digest=wire.wait(origin.hash(file.path, "sha256")))
        except StoreError as error:
            return error

    for done, (file, result) in enumerate(zip(files, map_ordered(hashed, files, jobs), strict=True), 1):
        progress(Progress("Reading", done, len(files)))
        if isinstance(result, StoreError):
            failures.append((file.path, result))
        else:
            yield result


def _promised(manifest: Manifest, listing: list[File]) -> Iterator[File]:
    """What the manifest promises, with the listing's ETags; what only the listing has as it is listed."""
    for difference in diff(manifest.files, listing):
        want, have = difference.want, difference.have
        if want is None:
            assert have is not None
            yield have
        else:
            yield replace(want, etag=have.etag, mtime=have.mtime) if have else want


def _edits(manifest: Manifest, files: list[File]) -> Step | None:
    """The step of someone who changed files by hand since the manifest was written."""
    names = {Change.MISSING: "removed", Change.EXTRA: "added", Change.SIZE: "changed", Change.CONTENT: "changed"}
    counts: dict[str, int] = {}
    for difference in diff(manifest.files, files):
        if difference.change in names:
            name = names[difference.change]
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        return None
    return provenance.step("edit", "by hand", options={"files": Manifest.of(files).digest}, counts=counts)


def _ours(change: PlaceChange, target: Store, path: str) -> bool:
    """Whether visprep wrote the file at `path` and nobody changed it since."""
    known = change.known(path)
    if known is None or known.digest is None:
        return False
    try:
        return wire.wait(target.hash(path, "sha256")) == known.digest
    except StoreError:  # what cannot be read cannot be known to be ours
        return False


def _refuse(operations: Iterable[Operation], target: Store) -> None:
    paths = tuple(one.file.path for one in operations if one.action is Action.REFUSE)
    if paths:
        raise would_overwrite(target.place, paths)


def would_overwrite(place: str, paths: tuple[str, ...]) -> WouldOverwrite:
    """The error about files that are in the way."""
    shown = ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
    return WouldOverwrite(
        f"{place}: visprep did not write these files, or they changed since: {shown}",
        paths=paths,
        hint="move them away, choose another --output, or replace them with --overwrite",
    )


def _with_sha256(file: File, store: Store) -> File:
    """A kept file with the digest that a manifest needs, read from its bytes where nobody can tell it."""
    if file.digest and file.digest.startswith("sha256:"):
        return file
    digest = wire.wait(store.hash(file.path, "sha256"))
    if digest is None:
        hashing = DigestSink()
        wire.wait(store.fetch(file, hashing))
        digest = hashing.digest
    return replace(file, digest=digest)


def _remaining(change: PlaceChange, have: list[File]) -> Iterator[File]:
    """Files of earlier steps that are still there."""
    present = {file.path for file in have}
    return (file for path, file in change.listed.items() if path in present)


def _merge(change: PlaceChange, steps: tuple[Step, ...], *, alone: bool) -> tuple[Step, ...]:
    """The steps of the target after `steps` came to it.

    A target that holds nothing but the origin's files (`alone`) has the origin's history and no other. Else what the
    target did not have comes after what it had. A step that both have is told as the target tells it.
    """
    before = change.dataset.steps if change.dataset else ()
    told = tuple(next((old for old in before if old.same_request(step)), step) for step in steps)
    return told if alone else before + tuple(step for step in told if step not in before)


def _recorded(change: PlaceChange, files: Iterable[File], steps: tuple[Step, ...]) -> bool:
    """Whether the target's own record says all this already."""
    return (
        change.manifest is not None
        and change.dataset is not None
        and change.dataset.steps == steps
        and change.manifest.files == Manifest.of(files).files
    )


def _counts(operations: list[Operation]) -> tuple[int, int, int]:
    moved, size = totals(operations)
    return moved, sum(one.action is Action.KEEP for one in operations), size


def _moving(
    operations: list[Operation], origin: Store, target: Store, jobs: int | None, progress: OnProgress
) -> Iterator[tuple[str, File | VisprepError]]:
    total = totals(operations)[0]
    for done, outcome in enumerate(apply(operations, origin, target, jobs=jobs), 1):
        progress(Progress("Copying", done, total))
        yield outcome
