"""`sync`: make one place hold what another holds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from visprep import plan_files
from visprep._copy import copy_place
from visprep.copying import CopyOptions, CopyResult
from visprep.credentials import find_endpoint, find_region
from visprep.engines import Engine
from visprep.engines.local import check_count
from visprep.errors import UnknownName, UsageError
from visprep.plans import Compare, Operation
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import open_store
from visprep.stores.archive import ArchiveStore

#: What an object is written with, what a plan notes of it, and what --apply takes from the plan.
_OF_OBJECTS = ("storage_class", "sse", "sse_kms_key_id", "acl")
_PLANNED = (*_OF_OBJECTS, "request_payer")
_GIVEN = (*_PLANNED, "region")
_NAMES = ", ".join(f"--{name.replace('_', '-')}" for name in _GIVEN)
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


def sync(
    origin: str | os.PathLike[str] | None = None,
    target: str | os.PathLike[str] | None = None,
    *,
    delete: bool = False,
    max_delete: int | None = None,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    compare: str = "content",
    dry_run: bool = False,
    plan: str | os.PathLike[str] | None = None,
    apply: str | os.PathLike[str] | None = None,
    create_bucket: bool = False,
    max_bandwidth: float | str | None = None,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    confirm: Callable[[int], bool] | None = None,
    show: Callable[[Operation], None] | None = None,
    progress: OnProgress = unheard,
) -> CopyResult:
    """Make `target` hold every file of `origin`: what is not there, or is there with other bytes, is moved.

    With `delete`, what only `target` has is deleted at the end, when everything else went well: at most `max_delete`
    files (half of the target's), and only where `confirm(number)` says yes, if it is given. `include` and `exclude`
    are globs, one or more, in which `*` matches `/` too; what they leave out is touched on neither side. `compare` is
    `content`, or `time` or `size` for less. `dry_run` only tells what would be done, and `show` every operation. `plan`
    writes that to a file, `apply` does what such a file says, and refuses when one of the places changed since, or the
    endpoint of S3 is another. `create_bucket` makes the target's bucket, private, where there is none, and without it
    such a bucket is PlaceMissing, for a plan too. `max_bandwidth` is in bytes per second, or a text such as `20M`.
    `engine` is `local`, or `ray` for the workers of the cluster at `ray_address`, each of which moves slices of the
    files; `jobs` is how many at most, and they share `max_bandwidth`.

    A record of the target (`dataset.json` and manifest) is kept where either side has one, and made nowhere else. Run
    again after an interruption, it moves only what is missing. TooManyDeletes, PlanStale, UsageError, Incomplete.
    """
    check_count("jobs", jobs)
    check_count("max-delete", max_delete, least=0)
    if plan and apply:
        raise UsageError("--plan writes a plan, and --apply does what one says", hint="first one, then the other")
    options = CopyOptions(
        provenance=False,
        delete=delete,
        max_delete=max_delete,
        include=_globs("include", include),
        exclude=_globs("exclude", exclude),
        by=_compare(compare),
        jobs=jobs,
        bandwidth=_bandwidth(max_bandwidth),
        engine=engine,
        ray_address=ray_address,
        dry_run=dry_run,
        plan=Path(plan) if plan else None,
        confirm=confirm,
        create_bucket=create_bucket,
    )
    ends = [os.fspath(end) for end in (origin, target) if end is not None]
    s3 = s3 or S3Settings()
    if apply:
        options, ends, s3 = _applying(Path(apply), options, ends, s3)
        create_bucket = create_bucket or options.noted["create_bucket"]
        options = replace(options, create_bucket=create_bucket)
    if len(ends) != 2:
        raise UsageError("sync needs two places", hint="visprep sync ORIGIN TARGET, or visprep sync --apply FILE")
    source, goal = (open_store(end, s3) for end in ends)
    if isinstance(goal, ArchiveStore):
        raise UsageError(f"{ends[1]}: an archive can only be read", hint="name a directory or s3://bucket/prefix")
    _check_ends(ends, options, s3, create_bucket)
    if options.plan:
        plan_files.check_file(options.plan, ends)
        options = replace(options, noted=_noted(ends, s3, create_bucket))
    elif create_bucket and not dry_run:
        from visprep.stores.s3_buckets import create_bucket as create

        create(ends[1], s3)
    return copy_place(source, goal, "sync", options, progress, show)


def _check_ends(ends: list[str], options: CopyOptions, s3: S3Settings, create_bucket: bool) -> None:
    """UsageError when an option is about S3 and its place is on disk."""
    remote = [_is_remote(end) for end in ends]
    if create_bucket and not remote[1]:
        raise UsageError(f"{ends[1]} is in no bucket, so --create-bucket cannot make it", hint="leave it out")
    written = [name for name in _OF_OBJECTS if getattr(s3, name)]
    if written and not remote[1]:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in written)
        raise UsageError(f"{ends[1]} is on disk, and {names} is about objects of S3", hint="leave it out")
    if options.bandwidth and not any(remote):
        raise UsageError("--max-bandwidth is about the network, and both places are on disk", hint="leave it out")


def _is_remote(place: str) -> bool:
    return place.startswith("s3://")


def _noted(ends: list[str], s3: S3Settings, create_bucket: bool) -> dict[str, Any]:
    """What a plan notes of S3: which server it is, and how objects are written; no keys."""
    remote = any(map(_is_remote, ends))
    where = {"endpoint": find_endpoint(s3) if remote else None, "region": find_region(s3) if remote else None}
    return {**where, **{name: getattr(s3, name) for name in _PLANNED}, "create_bucket": create_bucket}


def _applying(
    path: Path, options: CopyOptions, ends: list[str], s3: S3Settings
) -> tuple[CopyOptions, list[str], S3Settings]:
    """The options, places and settings of a plan; UsageError when others are given beside it."""
    head = plan_files.read(path)
    planned = [head.origin, head.target]
    if ends and [plan_files.absolute(open_store(end, s3).place) for end in ends] != planned:
        raise UsageError(
            f"{path} is a plan from {head.origin} to {head.target}", hint="leave out ORIGIN and TARGET, or make a plan"
        )
    if options.shaping != CopyOptions().shaping:
        raise UsageError("--apply does what the plan says", hint="leave out --delete, --include, --exclude, --compare")
    if any(getattr(s3, name) not in (getattr(S3Settings(), name), head.options[name]) for name in _GIVEN):
        raise UsageError("--apply does what the plan says of S3", hint=f"leave out {_NAMES}, or make a new plan")
    if any(map(_is_remote, planned)) and (endpoint := find_endpoint(s3)) != head.options["endpoint"]:
        here, there = (place or "AWS" for place in (endpoint, head.options["endpoint"]))
        raise UsageError(f"{path} is a plan for {there}, and the endpoint is {here} now", hint="see --endpoint-url")
    options = replace(options.shaped(head.options), apply=head, confirm=None)
    return options, planned, replace(s3, **{name: head.options[name] for name in _GIVEN})


def _globs(name: str, given: str | Iterable[str]) -> tuple[str, ...]:
    """The globs; a text is one."""
    globs = (given,) if isinstance(given, str) else tuple(given)
    if not all(isinstance(glob, str) for glob in globs):
        raise UsageError(f"--{name}: a glob is a text", hint="such as '*.txt'")
    return globs


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
