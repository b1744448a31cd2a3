"""`sync`: make one place hold what another holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from visprep import plan_files
from visprep._copy import copy_place
from visprep.copying import CopyOptions, CopyResult
from visprep.engines.local import check_count
from visprep.errors import UnknownName, UsageError
from visprep.plans import Compare, Operation
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.archive import ArchiveStore

_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def sync(
    origin: str | os.PathLike[str] | None = None,
    target: str | os.PathLike[str] | None = None,
    *,
    delete: bool = False,
    max_delete: int | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    compare: str = "content",
    dry_run: bool = False,
    plan: str | os.PathLike[str] | None = None,
    apply: str | os.PathLike[str] | None = None,
    create_bucket: bool = False,
    max_bandwidth: float | str | None = None,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    confirm: Callable[[int], bool] | None = None,
    show: Callable[[Operation], None] | None = None,
    progress: OnProgress = unheard,
) -> CopyResult:
    """Make `target` hold every file of `origin`: what is not there, or is there with other bytes, is moved.

    With `delete`, what only `target` has is deleted at the end, when everything else went well: at most `max_delete`
    files (half of the target's), and only where `confirm(number)` says yes, if it is given. In the globs `include`
    and `exclude`, `*` matches `/` too; what they leave out is touched on neither side. `compare` is `content`, or
    `time` or `size` for less. `dry_run` only tells what would be done, and `show` every operation. `plan` writes that
    to a file, `apply` does what such a file says, and refuses when one of the places changed since. `create_bucket`
    makes the target's bucket, private, where there is none. `max_bandwidth` is in bytes per second, or a text such as
    `20M`.

    A record of the target (`dataset.json` and manifest) is kept where either side has one, and made nowhere else. Run
    again after an interruption, it moves only what is missing. TooManyDeletes, PlanStale, UsageError, Incomplete.
    """
    check_count("jobs", jobs)
    if plan and apply:
        raise UsageError("--plan writes a plan, and --apply does what one says", hint="first one, then the other")
    options = CopyOptions(
        provenance=False,
        delete=delete,
        max_delete=max_delete,
        include=tuple(include),
        exclude=tuple(exclude),
        by=_compare(compare),
        jobs=jobs,
        bandwidth=_bandwidth(max_bandwidth),
        dry_run=dry_run,
        plan=Path(plan) if plan else None,
        confirm=confirm,
    )
    ends = [os.fspath(end) for end in (origin, target) if end is not None]
    if apply:
        options, ends = _applying(Path(apply), options, ends)
    if len(ends) != 2:
        raise UsageError("sync needs two places", hint="visprep sync ORIGIN TARGET, or visprep sync --apply FILE")
    source, goal = (open_store(end, s3) for end in ends)
    if isinstance(goal, ArchiveStore):
        raise UsageError(f"{ends[1]}: a zip file can only be read", hint="name a directory or s3://bucket/prefix")
    if create_bucket and not dry_run and not plan:
        if not ends[1].startswith("s3://"):
            raise UsageError(f"{ends[1]} is in no bucket, so --create-bucket cannot make it", hint="leave it out")
        from visprep.stores.s3_buckets import create_bucket as create

        create(ends[1], s3)
    return copy_place(source, goal, "sync", options, progress, show)


def _applying(path: Path, options: CopyOptions, ends: list[str]) -> tuple[CopyOptions, list[str]]:
    """The options and places of a plan; UsageError when others are given beside it."""
    head = plan_files.read(path)
    planned = [head.origin, head.target]
    if ends and ends != planned:
        raise UsageError(
            f"{path} is a plan from {head.origin} to {head.target}", hint="leave out ORIGIN and TARGET, or make a plan"
        )
    if options.shaping != CopyOptions().shaping:
        raise UsageError("--apply does what the plan says", hint="leave out --delete, --include, --exclude, --compare")
    return replace(options.shaped(head.options), apply=head, confirm=None), planned


def _compare(text: str) -> Compare:
    try:
        return Compare(text)
    except ValueError:
        raise UnknownName(f"--compare {text}: it is content, time or size", hint="content is the default") from None


def _bandwidth(rate: float | str | None) -> float | None:
    """Bytes per second; UsageError for what is no rate."""
    if rate is None:
        return None
    text = str(rate).strip().upper().removesuffix("B/S").removesuffix("B")
    unit = text[-1:] if text[-1:] in _UNITS else ""
    try:
        number = float(text.removesuffix(unit)) * _UNITS[unit]
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise UsageError(f"--max-bandwidth {rate}: bytes a second, above 0", hint="such as 500K, 20M or 1.5G")
    return number
