"""`publish`: versions of a place on S3 that readers see whole, each in one moment."""

from __future__ import annotations

import os
import re

from visprep import pruning, publishing
from visprep.copy_ends import check_ends
from visprep.engines.local import check_count
from visprep.errors import BadPlace, UsageError
from visprep.progress import OnProgress, unheard
from visprep.publishing import PublishResult
from visprep.settings import S3Settings
from visprep.stores import meant_for_s3, open_store
from visprep.stores.published import PlaceStore, refuse_published, resolve
from visprep.stores.s3 import S3Store

__all__ = ["PublishResult", "publish"]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")
#: How long a version stays after it was replaced, unless it is said.
KEPT = "7d"


def publish(
    place: str | os.PathLike[str] | None = None,
    target: str | None = None,
    *,
    rollback: bool = False,
    prune: bool = False,
    older_than: str | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> PublishResult:
    """Publish `place` at `target` (`s3://bucket/prefix`): its readers see the old version or the new one, whole.

    Files are sent under keys that tell their content, so that those that did not change are there already, and no key
    ever gets other bytes. COCO annotation files are written anew for loaders, with `s3://` names. In the end one
    small object, `current.json`, is swapped. Whatever stops it before leaves the old version as it was; run again, it
    sends only what is missing. A place that is published already as it is changes nothing.

    With `rollback`, the version before counts again at `target`; with `prune`, versions go that have not counted for
    `older_than` (`7d`; units are s, m, h, d, w), and the files that no other has. Both want the target alone. With
    `dry_run` nothing changes.

    UsageError, WouldOverwrite when the prefix holds other files, FileMissing when annotations name images of which
    some are not there, ChangedMeanwhile when somebody else published meanwhile, Incomplete.
    """
    check_count("jobs", jobs)
    if rollback and prune:
        raise UsageError("--rollback and --prune cannot be done at once", hint="first one, then the other")
    if older_than is not None and not prune:
        raise UsageError("--older-than goes with --prune", hint="add --prune, or leave --older-than out")
    age = _age(KEPT if older_than is None else older_than)
    if rollback or prune:
        alone = target if place is None else os.fspath(place)
        if alone is None or (place is not None and target is not None):
            name = "--rollback" if rollback else "--prune"
            raise UsageError(
                f"{name} takes the published place alone", hint=f"visprep publish {name} s3://bucket/prefix"
            )
        store = _target(alone, s3)
        if rollback:
            return pruning.roll_back(store, dry_run=dry_run)
        return pruning.prune(store, age, dry_run=dry_run, progress=progress)
    if place is None or target is None:
        raise UsageError("publish needs two places", hint="visprep publish PLACE s3://bucket/prefix")
    origin, store = resolve(open_store(os.fspath(place), s3)), _target(target, s3)
    check_ends(origin, store)
    _check_not_below(target, s3)
    return publishing.publish(origin, store, dry_run=dry_run, jobs=jobs, progress=progress)


def _target(place: str, s3: S3Settings | None) -> S3Store:
    if not place.startswith("s3://"):
        raise BadPlace(
            f"{place!r}: places are published at s3://bucket/prefix", hint=f"did you mean {meant_for_s3(place)}?"
        )
    return S3Store(place, s3)


def _check_not_below(place: str, s3: S3Settings | None) -> None:
    """AccessDenied when the target lies below a place that is published itself."""
    home = place.rstrip("/").rpartition("/")[0]
    if home.partition("://")[2]:
        refuse_published(PlaceStore(home, s3))


def _age(text: str) -> float:
    """Seconds."""
    found = _AGE.fullmatch(text)
    if not found:
        raise UsageError(f"--older-than {text!r}: a number and one of s, m, h, d, w", hint="such as 7d")
    return float(found[1]) * _UNITS[found[2]]
