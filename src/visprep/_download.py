"""`download`: a source, or another place, into a place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from visprep._copy import copy_place
from visprep.copying import CopyOptions, CopyResult
from visprep.engines.local import check_count
from visprep.errors import UsageError
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import is_archive, open_store

if TYPE_CHECKING:
    from visprep.conversion import DownloadResult


def download(
    source: str,
    output: str | os.PathLike[str] | None = None,
    *,
    split: str | Sequence[str] | None = None,
    limit: int | None = None,
    config: str | Sequence[str] | None = None,
    layout: str = "template",
    revision: str | None = None,
    map: Mapping[str, str] | str = "",
    overwrite: bool = False,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> DownloadResult | CopyResult:
    """Bring a source (`videothinkbench`, `hf:org/name`) or a place (`s3://bucket/prefix`) to `output`.

    `split` and `config` name several at once with commas or as a sequence; `limit` is the number of tasks to write of
    each split, in upstream's order. `map` says which column fills which field of a task, for `hf:` sources:
    `{"first_frame": "image"}` or `"first_frame=image,prompt=question"`. `output` is `data/questions` for a source,
    `data/{last part}` for a place, unless given. Interrupted, the same call goes on where it stopped; repeated, it does
    nothing. Files that visprep did not write, or that changed since, are replaced only with `overwrite`.

    UnknownName and UsageError for what does not exist, SourceError and NetworkError when upstream fails,
    NothingConverted when not one task came of it, Incomplete when some files failed.
    """
    for name, number in (("limit", limit), ("jobs", jobs)):
        check_count(name, number)
    target = open_store(os.fspath(output or default_output(source)), s3)
    if _is_place(source):
        if split or limit or config or revision or map or layout != "template":
            raise UsageError(
                f"{source} is a place: --split, --limit, --config, --revision, --map and --layout are for sources",
                hint="leave them out",
            )
        options = CopyOptions(may_replace=overwrite, jobs=jobs)
        return copy_place(open_store(source, s3), target, "download", options, progress)
    from visprep import conversion  # it decodes images, which a copy of a place need not wait for

    selection = conversion.Selection(_names(split), _names(config), limit, revision, layout, _columns(map))
    return conversion.convert(source, selection, target, overwrite, jobs, progress)


def default_output(source: str) -> str:
    """Where a download goes when nobody says: `data/questions` for tasks, `data/{last part, no .zip}` for a place."""
    if _is_place(source):
        name = source.rstrip("/").rpartition("/")[2]
        return f"data/{name[:-4] if name.lower().endswith('.zip') else name}"
    return "data/questions"


def _is_place(source: str) -> bool:
    on_disk = "/" in source or source in (".", "..") or is_archive(source)
    return "://" in source or (on_disk and not source.startswith("hf:"))


def _names(value: str | Sequence[str] | None) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value or ()
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _columns(value: Mapping[str, str] | str) -> dict[str, str]:
    """The column of each field; UsageError for text that is not `FIELD=COLUMN,...`."""
    if isinstance(value, Mapping):
        return dict(value)
    columns: dict[str, str] = {}
    for part in _names(value):
        name, sign, column = (word.strip() for word in part.partition("="))
        if not sign or name in columns:
            wrong = f"names {name} twice" if sign else f"says {part!r}, where FIELD=COLUMN should be"
            raise UsageError(f"--map {value} {wrong}", hint="--map first_frame=image,prompt=question")
        columns[name] = column
    return columns
