"""`gather`: from a source to parts that one can train on: download, verify, clean, split, each gone on with."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visprep import sources
from visprep._download import default_output, download, is_place, names_in
from visprep._split import DEFAULT_OUTPUT, SplitResult
from visprep._split import split as make_split
from visprep._verify import verify
from visprep.engines import Engine, open_engine
from visprep.errors import (
    FileMissing,
    Incomplete,
    NetworkError,
    PlaceMissing,
    UnknownContent,
    UsageError,
    VisprepError,
    WouldOverwrite,
)
from visprep.findings import Report
from visprep.formats import triplets
from visprep.formats.coco_place import cleaned
from visprep.progress import OnProgress, unheard
from visprep.rules import Depth, archives, coco_files, files
from visprep.settings import S3Settings
from visprep.sources import Archived, Selection
from visprep.sources.open_images import OpenImages
from visprep.split_output import check_ahead, check_apart, check_output
from visprep.split_wish import wish_of
from visprep.stores import open_store
from visprep.stores.http import HttpStore
from visprep.stores.local import LocalStore
from visprep.verify_request import one_of

if TYPE_CHECKING:
    from visprep.archive_download import CollectResult
    from visprep.copying import CopyResult
    from visprep.open_images_download import BucketResult
    from visprep.table_download import DownloadResult

#: What a hint says of an option that only download has.
_REPLACING = re.compile(r", or [^,;]*--overwrite")
#: What asks for nothing, unlike 0: it is a seed too.
_NOTHING: tuple[object, ...] = ("", (), [], {})
#: What records are called upstream -> the kind of them as a set.
_KINDS = {"tasks": "tasks", "images": "coco", "triplets": "vton", "episodes": "frames"}
#: What download is given of it all.
_OF_DOWNLOAD = frozenset(
    ("source", "output", "split", "limit", "labels", "classes", "licenses", "config", "layout", "revision", "map",
     "mirror", "checksums", "via", "engine", "ray_address", "s3")
)  # fmt: skip
#: What need not be said.
_USUAL = (("how", "ids"), ("layout", "template"), ("engine", "local"))
#: What a place lacks that is not all there, and that no cleaning can bring.
_ABSENT = frozenset({coco_files.IMAGES_ABSENT.code, coco_files.NO_ANNOTATIONS.code})
#: What is said of files as such: that they are not those which came. Leaving out records mends none of it.
_OF_FILES = frozenset(rule.code for rule in (*archives.RULES, *files.RULES))


@dataclass(frozen=True, slots=True)
class GatherResult:
    """What each step did; None for a step that was left out, or not come to.

    `stopped` is the step that found something wrong, and `go_on` is then the command to go on with, None where that
    would find the same again. `counts` are the records of each part, and `files` what the parts are written as, below
    `splits`.
    """

    source: str
    output: str
    splits: str
    download: DownloadResult | CollectResult | BucketResult | CopyResult | None = None
    report: Report | None = None
    split: SplitResult | None = None
    stopped: str | None = None
    go_on: str | None = None

    @property
    def unread(self) -> bool:
        """Whether something could not be looked at."""
        return bool(self.report and self.report.unread)

    @property
    def idle(self) -> bool:
        """Whether all was there already, and nothing was written."""
        got, made = self.download, self.split
        brought = 0 if got is None else getattr(got, "moved", getattr(got, "files", 0))
        changed = made and (made.written or made.removed or made.files_written or made.files_removed)
        return bool(made and made.split and not brought and not changed)

    @property
    def counts(self) -> dict[str, int]:
        """The records of each part."""
        made = self.split and self.split.split
        return {part.name: part.records for part in made.parts} if made else {}

    @property
    def files(self) -> dict[str, str]:
        """The files that hold the parts: the path below `splits` of each, with its part."""
        made = self.split and self.split.split
        return {one.path: one.part for one in made.outputs} if made else {}


def gather(
    source: str,
    output: str | os.PathLike[str] | None = None,
    *,
    parts: str,
    splits: str | os.PathLike[str] | None = None,
    name: str | None = None,
    skip_download: bool = False,
    split: str | Sequence[str] | None = None,
    limit: int | None = None,
    labels: str | Sequence[str] | None = None,
    classes: str | Sequence[str] | None = None,
    licenses: str | Sequence[int] | None = None,
    config: str | Sequence[str] | None = None,
    layout: str = "template",
    revision: str | None = None,
    map: Mapping[str, str] | str = "",
    mirror: str | Sequence[str] | None = None,
    checksums: str | os.PathLike[str] | None = None,
    via: str | None = None,
    depth: str | None = None,
    seed: int | None = None,
    method: str | None = None,
    stratify: bool = False,
    group_by: str | None = None,
    near_duplicates: bool = False,
    extend: str | os.PathLike[str] | None = None,
    clean: bool = False,
    drop_empty: bool = False,
    how: str = "ids",
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
    say: Callable[[str], None] = lambda _: None,
) -> GatherResult:
    """Download a source to `output`, verify it, and split it into `splits`: the functions of these names, in turn.

    `output` is as for `download`, `splits` `data/cleaned_splits` unless given. `seed` is that of the split (0), and
    draws the images of a `limit`. Interrupted, the same call goes on where it stopped; repeated, it writes nothing.
    Of COCO and Open Images, the annotation files of `split` and `labels` are split, where one of these is given; else
    all that is at `output`. With `skip_download` nothing is fetched: what is there is verified and split, and that is
    a `source` that is a place itself, unless `output` is given. All three are done by one `engine`: `local`, or `ray`
    with the cluster at `ray_address`.

    Where verify finds errors, or the parts leak, the result says so in `stopped`; with `clean` what verify finds is
    left out of the split instead, but for what no record can be blamed for, such as files that are not those which
    came. Of these it is an error too when annotations are there without their images. Errors of the
    steps are raised with the step in their message, and how to go on in their hint; UsageError, before anything is
    fetched, for what cannot be asked.
    """
    given = {key: value for key, value in locals().items() if key not in ("progress", "say", "jobs")}
    given["engine"] = engine if isinstance(engine, str) else None
    upstream = None if is_place(source) else _of_images(source)
    here = source if skip_download and is_place(source) else default_output(source, names_in(config))
    output, splits = os.fspath(output or here), os.fspath(splits or DEFAULT_OUTPUT)
    _check_apart(output, splits, s3)
    if is_place(source):
        check_apart(check_output(splits, s3), [source], s3, "--splits")
    wish = wish_of(  # before hours of fetching
        parts=parts, seed=seed or 0, method=method, extend=extend, group_by=group_by, name=name, how=how, jobs=jobs,
        s3=s3,
    )  # fmt: skip
    depth = one_of("depth", depth, tuple(Depth)) if depth else None
    if isinstance(upstream, OpenImages) and labels and {"boxes", "masks"}.isdisjoint(names_in(labels)):
        raise UsageError(f"{source}: gather splits the COCO JSON, which is made of boxes", hint="add boxes to --labels")
    given |= {"output": output, "splits": splits}
    with _step("split", given):
        _check_how(how, output, s3)
        check_ahead(check_output(splits, s3), how=how, name=name, kind=_kind(source, config), extends=wish.extends)
    result = GatherResult(source, output, splits)
    with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew:
        if not skip_download:
            say(f"download: {source} to {output}")
            with _step("download", given):
                got = download(
                    source, output, split=split, limit=limit, labels=labels, classes=classes, licenses=licenses,
                    config=config, layout=layout, revision=revision, map=map, mirror=mirror, checksums=checksums,
                    via=via, seed=seed if upstream and limit is not None else None, jobs=jobs, engine=crew, s3=s3,
                    progress=progress,
                )  # fmt: skip
            result = replace(result, download=got)
        say(f"verify: {output}")
        with _step("verify", given):
            places = _annotations(upstream, output, split, labels) or [output]
            report = verify(
                output, as_=_format(upstream), depth=depth, layout=layout, jobs=jobs, engine=crew, s3=s3,
                progress=progress,
            )  # fmt: skip
        result = replace(result, report=report)
        absent = upstream is not None and _is_absent(report, places, output)
        beyond = absent or _is_foul(report)
        if beyond or report.unread or (report.failed and not clean):
            return replace(result, stopped="verify", go_on=_after_verify(given, report, beyond=beyond))
        say(f"split: {', '.join(places)} into {splits}")
        with _step("split", given):
            made = make_split(
                places, output=splits, parts=parts, seed=seed or 0, method=method, extend=extend, stratify=stratify,
                group_by=group_by, near_duplicates=near_duplicates, clean=clean, drop_empty=drop_empty, name=name,
                how=how, layout=None if layout == "template" else layout, jobs=jobs, engine=crew, s3=s3,
                progress=progress,
            )  # fmt: skip
        result = replace(result, split=made)
        if not made.failed:
            return result
        return replace(result, stopped="split", go_on=None if clean else _command({**given, "clean": True}))


def _of_images(source: str) -> Archived | OpenImages | None:
    """The source of that name if COCO JSON tells of its images; UnknownName when there is no source of that name."""
    found: object = sources.get(source)
    return found if isinstance(found, Archived | OpenImages) else None


def _format(source: Archived | OpenImages | None) -> str | None:
    """What a download of a source is to be verified as, None: what it is taken for."""
    return "open-images" if isinstance(source, OpenImages) else "coco" if source else None


def _check_apart(output: str, splits: str, s3: S3Settings | None) -> None:
    """UsageError when one place lies in the other, or parts cannot go where they should."""
    check_output(splits, s3)
    ends = [_where(place, s3) for place in (output, splits)]
    if any(one == other or one.startswith(f"{other}/") for one, other in (ends, ends[::-1])):
        raise UsageError(
            f"the data goes to {output} and the parts to {splits}: one must not lie in the other",
            hint="choose another --splits, beside the data",
        )


def _check_how(how: str, output: str, s3: S3Settings | None) -> None:
    """UsageError when the files of the data could not be linked, for they are on no disk."""
    if how == "links" and not isinstance(open_store(output, s3), LocalStore):
        raise UsageError(f"{output}: only files of a directory can be linked", hint="--how copies, or --how ids")


def _kind(source: str, config: str | Sequence[str] | None) -> str | None:
    """The kind of the records of a source, as far as it can be known before they are there."""
    if is_place(source):
        return None
    if _of_images(source):
        return "coco"
    kinds: Mapping[str, str] = getattr(sources.get(source), "kinds", {})  # of a source with records of several kinds
    return _KINDS.get(kinds.get(next(iter(names_in(config)), next(iter(kinds), "")), ""))


def _after_verify(given: Mapping[str, Any], report: Report, *, beyond: bool) -> str | None:
    """The command to go on with after verify found what cleaning cannot mend, or is not asked to.

    None where the same would be found again: download has brought all that it can, or there is none. Of a place where
    another command was begun it is the same one, after that is finished.
    """
    if beyond and not is_unfinished(report):
        fetched = not given["skip_download"] or given["output"] == given["source"]
        return None if fetched else _command({**given, "skip_download": False})
    return _command(given if report.unread or is_unfinished(report) else {**given, "clean": True})


def is_unfinished(report: Report) -> bool:
    """Whether a command was begun at the place that was verified, and not ended."""
    return any(one.code == files.PLACE_INCOMPLETE.code for one in report.findings)


def _where(place: str, s3: S3Settings | None) -> str:
    store = open_store(place, s3)
    return str(store.root) if isinstance(store, LocalStore) else store.place.rstrip("/")


def _annotations(
    source: Archived | OpenImages | None,
    output: str,
    split: str | Sequence[str] | None,
    labels: str | Sequence[str] | None,
) -> list[str]:
    """The annotation files that are asked for by name, none where all are; FileMissing for one that is not there."""
    if source is None or not (split or labels):
        return []
    if not os.path.isdir(output):  # noqa: PTH112 -- never raises
        raise PlaceMissing(f"{output}: no such directory", hint="check the path")
    selection = Selection(splits=names_in(split), labels=names_in(labels))
    if isinstance(source, OpenImages):  # of all kinds of labels one JSON is made
        asked = dict.fromkeys(table.split for table in source.tables(selection))
        documents = {f"annotations/instances_{name}.json": name for name in asked}
    else:
        documents = {one.document: one.label for one in source.labellings(selection)}
    there = {
        path if not Path(output, cleaned(path)).is_file() else cleaned(path): what for path, what in documents.items()
    }
    missing = {path: what for path, what in there.items() if not Path(output, path).is_file()}
    if missing:
        hint = "leave out --skip-download to fetch it"
        whole = [what for what in dict.fromkeys(documents.values()) if what not in missing.values()]
        option = "--split" if isinstance(source, OpenImages) else "--labels"
        if whole and not (split if option == "--split" else labels):
            hint = f"{option} {','.join(whole)} takes what is there; {hint}"
        raise FileMissing(f"{output}: {', '.join(missing)} not there", hint=hint)
    return [f"{output.rstrip('/')}/{path}" for path in there]


def _is_absent(report: Report, places: Sequence[str], output: str) -> bool:
    """Whether the images, or masks, of annotations that are to be split are not there at all."""
    named = {os.path.relpath(place, output) for place in places}
    return any(one.code in _ABSENT and ("." in named or one.path in named | {"."}) for one in report.findings)


def _is_foul(report: Report) -> bool:
    """Whether files are not those that came, and nothing is wrong with their records that split --clean leaves out."""
    wrong = [one for one in report.findings if report.fails(one)]
    left_out: set[str] = set()
    for one in wrong:
        if one.code not in _OF_FILES:
            named = [one.where[name] for name in ("triplet", "episode") if name in one.where]
            left_out.update((one.path, *(named or _records_of(one.path, report.format))))
    of_files = (one.path for one in wrong if one.code in _OF_FILES)
    return any(left_out.isdisjoint((path, *_records_of(path, report.format))) for path in of_files)


def _records_of(path: str, format: str | None) -> tuple[str, ...]:
    """The keys of the records that a file may be of, where these have several files; none for other kinds."""
    if format == "frames":
        return (path.rpartition("/")[0] or ".",)
    return triplets.keys_of(path) if format == "vton" else ()


@contextlib.contextmanager
def _step(name: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Errors inside tell the step, and, where it was not the command that was wrong, how to go on after it."""
    try:
        yield
    except VisprepError as problem:
        problem.message = f"{name}: {problem.message}"
        if problem.hint:  # gather never replaces files of others, and has a name of its own for where parts go
            hint = _REPLACING.sub("", problem.hint)
            problem.hint = hint.replace("--output", "--splits") if name == "split" else hint
        if not isinstance(problem, UsageError):
            absent = given["skip_download"] and isinstance(problem, PlaceMissing | FileMissing) and name == "verify"
            if absent and given["output"] != given["source"] and "--skip-download" not in (problem.hint or ""):
                problem.hint = "; ".join(filter(None, (problem.hint, "leave out --skip-download to fetch it")))
            if isinstance(problem, WouldOverwrite) and name == "download":
                replacing = {key: value for key, value in given.items() if key in _OF_DOWNLOAD}
                problem.hint = f"{problem.hint}, or replace them: {_command(replacing, 'download')} --overwrite"
            then = "then, " if problem.hint and "again" not in problem.hint else ""
            if isinstance(problem, NetworkError | Incomplete):  # the same command is all that it takes
                then = ""
            again = isinstance(problem, UnknownContent) or (isinstance(problem, WouldOverwrite) and name == "split")
            # Not to be pasted: what fetches what nobody wanted fetched, and what would be refused again
            told = None if absent or again else f"{then}to go on: {_command(given)}"
            problem.hint = "; ".join(filter(None, (problem.hint, told)))
        raise


def _command(given: Mapping[str, Any], verb: str = "gather") -> str:
    """The command that asks for the same: what is given, and where it goes."""
    words = ["visprep", verb, given["source"]]
    for key, value in given.items():
        if key in ("source", "s3") or value is None or value is False or value in _NOTHING or (key, value) in _USUAL:
            continue
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [_word(key, value)])]
    s3 = given["s3"] or S3Settings()
    told = {"--profile": s3.profile, "--region": s3.region, "--endpoint-url": s3.endpoint_url}
    words += [word for option, value in told.items() if value for word in (option, value)]
    return shlex.join([*words, *(["--no-sign-request"] if s3.no_sign_request else [])])


def _word(key: str, value: Any) -> str:
    """The value of an option as it is typed; of mirrors, without passwords."""
    if isinstance(value, Mapping):
        return ",".join(f"{field}={column}" for field, column in value.items())
    if isinstance(value, str | os.PathLike) and key != "mirror":
        return os.fspath(value)
    many = names_in(value) if isinstance(value, str) else value if isinstance(value, Sequence) else [value]
    return ",".join(HttpStore(one).place if key == "mirror" else str(one) for one in many)
