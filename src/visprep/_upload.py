"""`upload`: a place, with its provenance, to S3."""

from __future__ import annotations

import os

from visprep._copy import copy_place
from visprep.copying import CopyOptions, CopyResult
from visprep.engines import Engine
from visprep.engines.local import check_count
from visprep.errors import BadPlace
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import meant_for_s3, open_store


def upload(
    place: str | os.PathLike[str],
    target: str,
    *,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> CopyResult:
    """Make `target` (`s3://bucket/prefix`) hold every file of `place`, and tell what was moved.

    Files that differ are replaced, files that only the target has stay. The manifest and `dataset.json` go last;
    where the place has none, they are made. Run again after an interruption, it sends only what is missing. `engine` is
    `local`, or `ray` for the workers of the cluster at `ray_address`, of which `jobs` at most send slices of the files.
    """
    if not target.startswith("s3://"):
        raise BadPlace(f"{target!r}: upload goes to s3://bucket/prefix", hint=f"did you mean {meant_for_s3(target)}?")
    check_count("jobs", jobs)
    origin = open_store(os.fspath(place), s3)
    options = CopyOptions(jobs=jobs, engine=engine, ray_address=ray_address)
    return copy_place(origin, open_store(target, s3), "upload", options, progress)
