"""`download`: a source, or another place, into a place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from visprep import sources
from visprep._copy import copy_place
from visprep.copying import CopyOptions, CopyResult
from visprep.engines import Engine, open_engine
from visprep.engines.local import check_count
from visprep.errors import UsageError
from visprep.lists import checksums_in, numbers_in, split_images_in
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.sources import Archived, Mirror, Selection, Varied
from visprep.sources.open_images import OpenImages
from visprep.stores import Store, archive_ending, is_archive, open_store

if TYPE_CHECKING:
    from visprep.archive_download import CollectResult
    from visprep.open_images_download import BucketResult
    from visprep.table_download import DownloadResult

#: The options that only some kinds of origin have.
_OF_TASKS = ("config", "layout", "revision", "map")
_OF_IMAGES = ("labels", "classes", "ids", "seed", "licenses", "only_matching", "mirror")
_OF_ARCHIVES = ("checksums", "keep_archives")
_OF_BUCKETS = ("via", "original", "expand_hierarchy")


def download(
    source: str,
    output: str | os.PathLike[str] | None = None,
    *,
    split: str | Sequence[str] | None = None,
    limit: int | None = None,
    labels: str | Sequence[str] | None = None,
    classes: str | Sequence[str] | None = None,
    ids: str | os.PathLike[str] | Sequence[int] | None = None,
    seed: int | None = None,
    licenses: str | Sequence[int] | None = None,
    only_matching: bool = False,
    config: str | Sequence[str] | None = None,
    layout: str = "template",
    revision: str | None = None,
    map: Mapping[str, str] | str = "",
    mirror: str | Sequence[str] | None = None,
    checksums: str | os.PathLike[str] | None = None,
    keep_archives: bool = False,
    via: str | None = None,
    original: bool = False,
    expand_hierarchy: bool = False,
    dry_run: bool = False,
    overwrite: bool = False,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> DownloadResult | CollectResult | BucketResult | CopyResult:
    """Bring a source (`coco`, `open-images`, `hf:org/name`) or a place (`s3://bucket/prefix`) to `output`.

    `split` and `config` name several at once with commas or as a sequence; `limit` is the number of tasks, or images,
    of each split, in upstream's order. Interrupted, the same call goes on where it stopped; repeated, it does nothing.
    Files that visprep did not write, or that changed since, are replaced only with `overwrite`. `output` is
    `data/questions` for tasks, `data/{source}` for other sources, `data/sample-vton` and the like for the other configs
    of the sample, `data/{last part}` for a place, unless given.

    Of tasks: `map` says which column fills which field, for `hf:` sources: `{"first_frame": "image"}` or
    `"first_frame=image,prompt=question"`.

    Of COCO and Open Images: `labels` are kinds of annotations. `classes`, `licenses`, `limit` and `ids` (a file with
    one a line, or of COCO numbers) choose images, and only those are fetched; `seed` draws those of a limit. With
    `only_matching` the annotations of other classes are left out. `mirror` names web addresses to use in place of the
    known ones, in turn. With `dry_run` nothing is written, and the result says what would be.

    Of COCO: `checksums` is a file as sha256sum or md5sum write it, to be believed in place of what is recorded. The
    archives stay in `archives/` with `keep_archives`.

    Of Open Images: `ids` is a list as its own downloader takes it (`train/f9e0434389a1d4dd`). The images come `via`
    `s3`, unsigned, `http` or `fiftyone`, and with `original` from where their authors put them. `expand_hierarchy`
    takes the kinds of `classes` for these too. The bucket is asked at the endpoint of `s3`, where that names one.

    `engine` does the work: `local`, or `ray` with the cluster at `ray_address`.

    UnknownName and UsageError for what does not exist, SourceError and NetworkError when upstream fails,
    NothingConverted when not one task came of it, Incomplete when some files failed.
    """
    options_of = (*_OF_TASKS, *_OF_IMAGES, *_OF_ARCHIVES, *_OF_BUCKETS)
    given = {name for name, value in locals().items() if name in options_of and _is_said(value)}
    for name, text in (
        ("split", split), ("config", config), ("labels", labels),
        ("classes", classes), ("licenses", licenses), ("mirror", mirror),
    ):  # fmt: skip
        if isinstance(text, str) and not names_in(text):
            raise UsageError(f"--{name} {text!r} names nothing", hint="leave it out, or name one")
    for name, number in (("limit", limit), ("jobs", jobs)):
        check_count(name, number)
    target = open_store(os.fspath(output or default_output(source, names_in(config))), s3)
    if is_archive(target.place):
        raise UsageError(f"{target.place}: nothing is written into an archive", hint="name a directory")
    if is_place(source):
        _refuse(source, "a place", given | ({"split"} if split else set()) | ({"limit"} if limit else set()))
        options = CopyOptions(may_replace=overwrite, jobs=jobs, dry_run=dry_run, engine=engine, ray_address=ray_address)
        return copy_place(open_store(source, s3), target, "download", options, progress)
    found: object = sources.get(source)  # of one of several kinds
    selection = Selection(
        splits=names_in(split),
        limit=limit,
        labels=names_in(labels),
        classes=names_in(classes),
        seed=seed,
        licenses=tuple(_numbers(licenses)),
        only_matching=only_matching,
    )
    mirrors = tuple(Mirror(url) for url in names_in(mirror))
    if isinstance(found, OpenImages):
        _refuse(source, "a source of a bucket", given.intersection((*_OF_TASKS, "keep_archives")))
        if checksums and via != "tar":
            raise UsageError(
                "--checksums goes with --via tar, which alone brings archives",
                hint="add --via tar, or leave --checksums out",
            )
        from visprep import open_images_download

        of_bucket = open_images_download.BucketOptions(
            via or ("http" if original else "s3"), original, mirrors, s3, overwrite, dry_run, jobs,
            checksums=checksums_in(checksums) if checksums else {}, engine=engine, ray_address=ray_address,
        )  # fmt: skip
        selection = replace(_of_list(selection, ids), expand_hierarchy=expand_hierarchy)
        return open_images_download.bring(found, selection, target, of_bucket, progress)
    if isinstance(found, Archived):
        _refuse(source, "a source of archives", given.intersection((*_OF_TASKS, *_OF_BUCKETS)))
        selection = replace(selection, ids=numbers_in(ids, "ids"))
        with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew:
            return _collect(
                found, selection, target, progress,
                mirrors=mirrors,
                checksums=checksums_in(checksums) if checksums else None,
                keep_archives=keep_archives, may_replace=overwrite, dry_run=dry_run, jobs=jobs, engine=crew,
            )  # fmt: skip
    kind = _kind(source, names_in(config))
    without = given.difference(_OF_TASKS) | ({"dry_run"} if dry_run else set())
    if kind == "tasks":
        _refuse(source, "a source of tasks", without)
    else:
        _refuse(f"{source} --config {','.join(names_in(config))}", f"a source of {kind}", without | given & {"layout"})
    from visprep import table_download  # it decodes images, which a copy of a place need not wait for

    chosen = Selection(names_in(split), names_in(config), limit, revision, layout, _columns(map))
    with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew:
        return table_download.convert(source, chosen, target, overwrite, jobs, progress, crew)


def _of_list(selection: Selection, ids: str | os.PathLike[str] | Sequence[int] | None) -> Selection:
    """The selection with the images of a list, and their splits where no others are asked for."""
    if ids is None:
        return selection
    if not isinstance(ids, (str, os.PathLike)):
        raise UsageError(
            "the ids of Open Images are no numbers", hint="name a file with one a line: train/f9e0434389a1d4dd"
        )
    images = split_images_in(ids, "ids")
    return replace(selection, images=images, splits=selection.splits or tuple(images))


def _is_said(value: object) -> bool:
    """Whether an option is anything but what it is when nobody says it; an array of numbers has no answer to that."""
    if isinstance(value, str | Sequence | Mapping):
        return len(value) > 0 and value != "template"
    return value is not None and value is not False


def _collect(
    source: Archived, selection: Selection, target: Store, progress: OnProgress, **options: object
) -> CollectResult:
    from visprep import archive_download

    chosen = archive_download.CollectOptions(**options)  # type: ignore[arg-type]
    return archive_download.collect(source, selection, target, chosen, progress)


def _refuse(source: str, kind: str, options: set[str]) -> None:
    """UsageError when there are options that say nothing about this kind of origin."""
    if options:
        words = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(options))
        raise UsageError(f"{source} is {kind}, which has no {words}", hint="leave them out")


def default_output(source: str, configs: Sequence[str] = ()) -> str:
    """Where a download goes when nobody says: see `download`."""
    if is_place(source):
        name = source.rstrip("/").rpartition("/")[2]
        return f"data/{name[: len(name) - len(archive_ending(name))] or name}"
    if _kind(source, configs) != "tasks":
        return f"data/{source}-{configs[0]}"
    return f"data/{source}" if isinstance(sources.get(source), Archived | OpenImages) else "data/questions"


def _kind(source: str, configs: Sequence[str]) -> str:
    """What a source has in the first of these configs."""
    found = sources.get(source)
    return found.kinds.get(configs[0] if configs else "", "tasks") if isinstance(found, Varied) else "tasks"


def is_place(source: str) -> bool:
    """Whether what is to be downloaded is a place, and no source."""
    on_disk = "/" in source or source in (".", "..") or is_archive(source)
    return "://" in source or (on_disk and not source.startswith("hf:"))


def names_in(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """What an option names, each once: between commas, or one by one."""
    parts = value.split(",") if isinstance(value, str) else value or ()
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _numbers(value: str | Sequence[int] | None) -> list[int]:
    """Whole numbers between commas; UsageError for anything else."""
    try:
        return [int(part) for part in (names_in(value) if isinstance(value, str) else () if value is None else value)]
    except ValueError:
        raise UsageError(f"--licenses {value}: not whole numbers between commas", hint="--licenses 4,5") from None


def _columns(value: Mapping[str, str] | str) -> dict[str, str]:
    """The column of each field; UsageError for text that is not `FIELD=COLUMN,...`."""
    if isinstance(value, Mapping):
        return dict(value)
    columns: dict[str, str] = {}
    for part in names_in(value):
        name, sign, column = (word.strip() for word in part.partition("="))
        if not sign or name in columns:
            wrong = f"names {name} twice" if sign else f"says {part!r}, where FIELD=COLUMN should be"
            raise UsageError(f"--map {value} {wrong}", hint="--map first_frame=image,prompt=question")
        columns[name] = column
    return columns
