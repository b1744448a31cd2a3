"""`rebuild`: the same dataset again, from what its `dataset.json` says, and whether it is the same."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from visprep import temporary
from visprep.ancestors import IDS
from visprep.engines.local import check_count
from visprep.errors import NotRepeatable, PlaceMissing, UsageError, VisprepError, WouldOverwrite
from visprep.manifest import Change, File
from visprep.own_record import Listed, fetching, read_dataset, unfinished
from visprep.progress import OnProgress, Progress, unheard
from visprep.provenance import Step
from visprep.rebuilding import FileLying, RebuildResult
from visprep.rebuilding.commands import Commands, command
from visprep.rebuilding.comparing import apart, astray, changes, is_whole, not_of_it, there
from visprep.rebuilding.making import Making, Stopped
from visprep.rebuilding.recipes import Recipe, differing_versions, recipes
from visprep.rebuilding.recorded import Recorded
from visprep.settings import S3Settings
from visprep.stores import Store, archive_ending, data_files, one_version, open_store
from visprep.stores.local import LocalStore

__all__ = ["rebuild"]

#: Files that are told one by one.
_TOLD = 10_000


@one_version()
def rebuild(
    dataset: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    check: bool = False,
    dry_run: bool = False,
    partly: bool = False,
    origin: Mapping[str, str] | Sequence[str] = (),
    mirror: str | None = None,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
    say: Callable[[str], None] = lambda _: None,
) -> RebuildResult:
    """Make at `output` what a `dataset.json` tells of, by the steps that it tells, and say whether it is the same.

    `dataset` is such a file, on disk or on S3, or the place that has one: then files that differ are named. With
    `check` it is made in a temporary directory, compared and removed, and the files of that place are held against the
    record, too; and what upstream does not have any more, or has otherwise, is an answer, in `changed`, and no error.
    With `dry_run` nothing is fetched: the result says what would be done, and what cannot be.

    Places that the dataset was converted or split from are made first, in a directory beside `output` that goes in the
    end. `origin` says where a place, or a file, lies now that is used instead, by its name:
    `{"photos": "/data/photos"}` or `["photos=/data/photos"]`. `mirror` is used in place of those that are recorded.
    Interrupted, the same call goes on; repeated, it writes nothing.

    NotRepeatable, before anything is fetched, when a step cannot be repeated: files were edited by hand, a source is
    unknown here, a place that was taken is not recorded. With `partly` the others are done all the same. FileMissing,
    PlaceMissing or BadRecord when there is no such record; WouldOverwrite when something else lies at `output`; else
    what the verbs raise that the steps are of.
    """
    check_count("jobs", jobs)
    place = None if output is None else os.fspath(output)
    _check_asked(place, check=check, dry_run=dry_run)
    recorded = Recorded.read(os.fspath(dataset), s3)
    target = None if place is None else _target(place, recorded, s3)
    origins = _origins(origin)
    found = recipes(recorded.dataset.steps, origins, on_disk=target is None or isinstance(target, LocalStore))
    _check_origins(origins, recorded)
    steps = tuple(Commands(target.place if target else recorded.name, s3).steps(found))
    where = recorded.store.place if recorded.store else None
    versions = differing_versions(found)
    result = RebuildResult(
        recorded.given, place, recorded.dataset.files, steps, versions=versions, partly=partly, place=where
    )
    if dry_run:
        return result
    _check_steps(result, found)
    if target and not (before := read_dataset(target)):
        _check_free(target)
    elif target and before:
        doable = [one.step for one in found if one.can and not one.passing]
        _check_before(target, before.steps, doable, [one.step for one in found if one.can])
        if len(before.steps) == len(doable) and is_whole(target, jobs):
            with _home(target, say):  # one that was killed while it removed what lies beside it
                return _compared(result, recorded, target)
    result = _held(result, recorded, jobs, progress) if check else result
    with _home(target, say) as folder:
        making = Making(folder, origins, mirror, jobs, s3, progress, say)
        made = target or open_store(os.fspath(folder() / "made" / recorded.name))
        try:
            making.make(found, made.place)
        except Stopped as stopped:
            changed = changes(command(stopped.step), stopped.problem) if check else ()
            if not changed:
                raise _told_problem(stopped) from None
            return replace(result, same=False, changed=changed, notes=tuple(making.notes))
        return _compared(replace(result, notes=tuple(making.notes)), recorded, made)


def _check_asked(output: str | None, *, check: bool, dry_run: bool) -> None:
    if check and output is not None:
        raise UsageError("--check keeps nothing, so it has no --output", hint="leave out one of the two")
    if check and dry_run:
        raise UsageError("--dry-run makes nothing that --check could compare", hint="leave out one of the two")
    if output is None and not check and not dry_run:
        hint = "--output PLACE; or --check, which makes it in a temporary directory and keeps nothing"
        raise UsageError("nobody said where the dataset is to be made", hint=hint)


def _target(place: str, recorded: Recorded, s3: S3Settings | None) -> Store:
    """The place that is made; UsageError when it is an archive, or the one that is recorded, or lies in it."""
    target = open_store(place, s3)
    if archive_ending(place):
        raise UsageError(f"{target.place}: nothing is written into an archive", hint="name a directory")
    ends = [_where(one) for one in (target, recorded.store) if one]
    if len(ends) == 2 and any(f"{one}/".startswith(f"{other}/") for one, other in (ends, ends[::-1])):
        hint = "name a place beside it; or --check, which keeps nothing"
        raise UsageError(f"{target.place}: the dataset itself lies there", hint=hint)
    return target


def _where(store: Store) -> str:
    return str(store.root) if isinstance(store, LocalStore) else store.place.rstrip("/")


def _origins(given: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Where places lie, by name; UsageError for text that is not `NAME=PLACE`."""
    if isinstance(given, Mapping):
        return dict(given)
    found: dict[str, str] = {}
    for text in [given] if isinstance(given, str) else given:
        name, _, place = text.partition("=")
        if not name or not place or name in found:
            wrong = f"names {name} twice" if name in found else "is not NAME=PLACE"
            raise UsageError(f"--origin {text} {wrong}", hint="--origin photos=/data/photos")
        found[name] = place
    return found


def _check_origins(origins: Mapping[str, str], recorded: Recorded) -> None:
    """UsageError for a name that no step takes: else what is mistaken for it would be fetched after all."""
    taken = [one for step in recipes(recorded.dataset.steps, {}, on_disk=True) for one in step.taken()]
    known = {IDS, *(one.short for one in taken)}
    if astray := sorted(origins.keys() - known - {one.ancestor.name for one in taken}):
        hint = f"what steps take: {', '.join(sorted(known - {IDS})) or 'nothing'}"
        raise UsageError(f"--origin {astray[0]}: no step takes a place of that name", hint=hint)


def _check_steps(result: RebuildResult, found: tuple[Recipe, ...]) -> None:
    """NotRepeatable when there is nothing that can be done, or not all of it, and all is asked for."""
    if not found:
        raise NotRepeatable(f"{result.dataset}: it tells of no step", hint="name the dataset.json of another place")
    if result.repeatable or (result.partly and any(one.can for one in found)):
        return
    told = [f"{f'{one.place}: ' if one.place else ''}{one.command}: {one.why}" for one in result.steps if one.why]
    hint = "--partly does the other steps" if any(one.can for one in found) else "see what each of them says"
    raise NotRepeatable(f"{result.dataset}: what cannot be repeated: {' | '.join(told)}", hint=hint)


def _check_free(target: Store) -> None:
    """WouldOverwrite when files lie there that no command of ours has begun to write: the place would hold them too."""
    if unfinished(target) is None and not fetching(target) and (there := _first(target)):
        raise not_of_it(target, there.path)


def _first(store: Store) -> File | None:
    try:
        return next(data_files(store), None)
    except PlaceMissing:
        return None


def _check_before(target: Store, before: Sequence[Step], *ways: Sequence[Step]) -> None:
    """WouldOverwrite when the target's history does not begin as the one that is repeated."""
    if not any(len(before) <= len(steps) and all(map(Step.same_request, before, steps)) for steps in ways):
        hint = "choose another --output, or delete what lies there"
        raise WouldOverwrite(f"{target.place}: a dataset lies there that was made in another way", hint=hint)


@contextlib.contextmanager
def _home(target: Store | None, say: Callable[[str], None]) -> Iterator[Callable[[], Path]]:
    """Where places lie that are only made to make others of them: beside a directory, so that they can be gone on with.

    They go in the end; those beside a directory stay when a step fails, and then it is said where.
    """
    with contextlib.ExitStack() as stack:
        if isinstance(target, LocalStore):
            beside = target.root.parent / f".{target.root.name}.visprep-rebuild"
            try:
                yield lambda: beside
            except BaseException:
                if beside.is_dir():
                    say(f"note: {beside} keeps what was made so far: the same command goes on with it; else remove it")
                raise
            shutil.rmtree(beside, ignore_errors=True)
            return
        made: list[Path] = []

        def folder() -> Path:
            if not made:
                made.append(stack.enter_context(temporary.directory("rebuild")))
            return made[0]

        yield folder


def _told_problem(stopped: Stopped) -> VisprepError:
    """The error that a step ended in; one about its options is not about those that were typed now."""
    problem = stopped.problem
    if not isinstance(problem, UsageError):
        return problem
    return NotRepeatable(f"{command(stopped.step)}: {problem.message}", hint=problem.hint)


def _held(result: RebuildResult, recorded: Recorded, jobs: int | None, progress: OnProgress) -> RebuildResult:
    """The result with the files that lie at the place and are not as recorded; as it was where no list tells of any."""
    if recorded.store is None or recorded.listed is None:
        return result
    found: list[FileLying] = []
    others = unread = 0
    for done, one in enumerate(there(recorded.store, recorded.listed, jobs), 1):
        progress(Progress("Looking at what lies there", done, None))
        unread += one.change is Change.UNKNOWN
        if other := astray(one):
            others += 1
            found += [other] if others <= _TOLD else []
    return replace(result, lying=tuple(found), astray=others, unread=unread)


def _compared(result: RebuildResult, recorded: Recorded, made: Store) -> RebuildResult:
    dataset = read_dataset(made)
    assert dataset is not None  # the last step wrote it
    listed = Listed.read(made)
    result = replace(result, rebuilt=dataset.files, same=dataset.files == recorded.dataset.files)
    result = replace(result, files=len(listed.files) if listed else None)
    if result.same or recorded.listed is None:
        return replace(result, differing=0 if result.same else None)
    others = apart(recorded, made)
    told = tuple(islice(others, _TOLD))
    return replace(result, apart=told, differing=len(told) + sum(1 for _ in others))
