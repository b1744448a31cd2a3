"""Everything that visprep raises on purpose.

An error means that visprep could not look or could not act. Data that is wrong is never an error: it is a
`Finding`. Each class carries a stable `slug` (what scripts and tests compare, and where the docs file it) and
each instance may carry a `hint`: the next thing to type.

::

    VisprepError                        exit code 3
    ├── UsageError                      exit code 2: the request itself makes no sense
    │   ├── UnknownName                 a source, split, config, layout or code that there is not
    │   └── BadPlace                    text that names no place
    ├── MissingExtra                    an optional package is not installed
    ├── PlaceError                      the place itself stands in the way
    │   ├── PlaceMissing                no such directory, prefix or bucket
    │   ├── UnknownContent              nothing there that visprep knows how to read
    │   ├── PlaceBusy                   another visprep is changing it now
    │   ├── PlaceIncomplete             a command was begun there and not ended
    │   ├── WouldOverwrite              it holds files that visprep did not write, or that changed since
    │   ├── TooManyDeletes              more files would be deleted than may be
    │   ├── PlanStale                   it is not as it was when the plan was made
    │   └── BadRecord                   visprep's own record of the place cannot be read
    ├── StoreError                      one file could not be read or written
    │   ├── FileMissing                 it is not there
    │   ├── AccessDenied                it is there, but not for us
    │   ├── UnsafePath                  its name would leave the place, or cannot exist there
    │   ├── DiskFull                    no room left
    │   ├── DiskError                   the file system refused for another reason
    │   ├── WrongContent                the bytes are not the bytes that were promised
    │   └── ChangedMeanwhile            the file changed while it was read
    ├── NetworkError                    the other side did not answer as it should
    │   ├── Unreachable                 no connection: name, route, refused, TLS
    │   ├── Stalled                     connected, then silence
    │   ├── RateLimited                 429 or SlowDown until we gave up
    │   └── ServerFailed                5xx, or an answer that makes no sense
    ├── CredentialsError                none found, or not accepted
    ├── SourceError                     upstream cannot give what was asked for
    │   ├── SourceGated                 its terms must be accepted first
    │   ├── SourceMissing               no such repository or revision
    │   └── NothingConverted            not one record could be written
    ├── NotRepeatable                   a step of a dataset.json cannot be done again
    ├── NodeUnfit                       a node of a cluster cannot do the work
    ├── WorkerLost                      a worker process died of an item of its work
    ├── Incomplete                      some files failed; the rest is done
    ├── TooManyFailures                 more samples of a training failed than may
    └── DemoFailed                      a step of the demo did not end as it must
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Self

#: What to do about files in the way of a command that never replaces them.
AWAY = "move them away, or choose another --output"
#: What to do when some of many files failed.
AGAIN = "run the same command again: it tries only what is missing"
#: Files that an error names at most.
_KEPT = 10_000
#: Reasons that the message of Incomplete tells.
_SHOWN = 3


class VisprepError(Exception):
    """The root: catch this to catch everything that visprep raises on purpose."""

    slug = "visprep-error"
    exit_code = 3

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:  # where nobody catches it, Python shows it below the message
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions travel between processes; the default would drop keyword arguments.
        return _rebuild, (type(self), self.message, self.hint, self.__dict__)


def _rebuild(cls: type[VisprepError], message: str, hint: str | None, state: dict[str, Any]) -> VisprepError:
    error = cls.__new__(cls)
    VisprepError.__init__(error, message, hint=hint)
    error.__dict__.update(state)
    return error


class UsageError(VisprepError):
    """The request makes no sense, whatever the state of the world."""

    slug = "usage"
    exit_code = 2


class UnknownName(UsageError):
    """There is no source, split, config, layout or code of that name."""

    slug = "unknown-name"


class BadPlace(UsageError):
    """The text names neither a directory nor `s3://bucket/prefix`."""

    slug = "bad-place"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint of an UnknownName: the nearest of the names that there are, else all of them."""
    names = tuple(known)
    meant = close_to(name, names)
    return f"did you mean {meant}?" if meant else f"there are: {', '.join(names)}"


def close_to(name: str, known: Sequence[str]) -> str | None:
    """The one of `known` that was probably meant, however it is capitalized; None when none is close."""
    folded = {one.lower(): one for one in reversed(known)}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


class MissingExtra(VisprepError):
    """A feature needs a package that is not installed."""

    slug = "missing-extra"

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra '{extra}', which is not installed",
            hint=f"pip install 'visprep[{extra}]'",
        )


class PlaceError(VisprepError):
    """The place itself stands in the way."""

    slug = "place-error"


class PlaceMissing(PlaceError):
    """There is no such directory, prefix or bucket; `bucket` is the name of one that is not there, else None."""

    slug = "place-missing"

    def __init__(self, message: str, *, hint: str | None = None, bucket: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.bucket = bucket


class UnknownContent(PlaceError):
    """Nothing there is written in a format that visprep knows."""

    slug = "unknown-content"


class PlaceBusy(PlaceError):
    """Another visprep is changing the place at this moment."""

    slug = "place-busy"


class PlaceIncomplete(PlaceError):
    """A command was begun at the place and not ended, so what it holds is not whole."""

    slug = "place-incomplete"


class WouldOverwrite(PlaceError):
    """Files stand in the way that visprep did not write, or that changed since it wrote them."""

    slug = "would-overwrite"

    def __init__(self, message: str, *, paths: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.paths = paths

    @classmethod
    def of(cls, place: str, paths: Iterable[str], hint: str | None = None) -> WouldOverwrite:
        """The error about files of a place that are in the way; its `paths` are the first 10,000 at most.

        The hint is that of a download, unless another is given.
        """
        rest = iter(paths)
        kept = tuple(itertools.islice(rest, _KEPT))
        count = len(kept) + sum(1 for _ in rest)
        shown = ", ".join(kept[:3]) + (f" and {count - 3} more" if count > 3 else "")
        return cls(
            f"{place}: visprep did not write these files, or they changed since: {shown}",
            paths=kept,
            hint=hint or "move them away, choose another --output, or replace them with --overwrite",
        )


class TooManyDeletes(PlaceError):
    """More files would be deleted than may be."""

    slug = "too-many-deletes"


class PlanStale(PlaceError):
    """A place is not as it was when the plan was made."""

    slug = "plan-stale"


class BadRecord(PlaceError):
    """visprep's own record of a place (manifest, dataset.json, marker) cannot be read."""

    slug = "bad-record"


class StoreError(VisprepError):
    """One file could not be read or written."""

    slug = "store-error"


class FileMissing(StoreError):
    """The file is not there."""

    slug = "file-missing"


class AccessDenied(StoreError):
    """The file or place is there, but we may not touch it."""

    slug = "access-denied"


class UnsafePath(StoreError):
    """The name would leave the place, or cannot exist there."""

    slug = "unsafe-path"


class DiskFull(StoreError):
    """No room is left where the bytes should go."""

    slug = "disk-full"


class DiskError(StoreError):
    """The file system refused."""

    slug = "disk-error"


class WrongContent(StoreError):
    """The bytes that arrived are not the bytes that were promised: size, checksum or kind differ."""

    slug = "wrong-content"


class ChangedMeanwhile(StoreError):
    """The file changed while it was being read."""

    slug = "changed-meanwhile"


class NetworkError(VisprepError):
    """The other side did not answer as it should."""

    slug = "network-error"


class Unreachable(NetworkError):
    """No connection: the name, the route, the port or TLS."""

    slug = "unreachable"


class Stalled(NetworkError):
    """Connected, then nothing came for too long."""

    slug = "stalled"


class RateLimited(NetworkError):
    """The server asked us to slow down until we gave up."""

    slug = "rate-limited"


class ServerFailed(NetworkError):
    """The server kept failing, or answered something that makes no sense."""

    slug = "server-failed"


class CredentialsError(VisprepError):
    """No credentials were found, or the ones found are not accepted."""

    slug = "credentials"


class SourceError(VisprepError):
    """Upstream cannot give what was asked for."""

    slug = "source-error"


class SourceGated(SourceError):
    """The dataset's terms must be accepted, with an account, before it can be had."""

    slug = "source-gated"


class SourceMissing(SourceError):
    """Upstream has no such repository, revision or file."""

    slug = "source-missing"


class NothingConverted(SourceError):
    """Not one record could be written."""

    slug = "nothing-converted"


class NotRepeatable(VisprepError):
    """A step that `dataset.json` tells of cannot be done again, or not here."""

    slug = "not-repeatable"


class NodeUnfit(VisprepError):
    """A node of a cluster has another visprep or Python, or does not see a place."""

    slug = "node-unfit"


class WorkerLost(VisprepError):
    """A worker process died of an item, by itself and again; all other items are done."""

    slug = "worker-lost"


class Incomplete(VisprepError):
    """Some files failed; everything else is done, and the same command tries just those again.

    `failures` are the first 10,000 of them at most, path and error; the journal of a place on disk has all.
    """

    slug = "incomplete"

    def __init__(self, message: str, *, failures: tuple[Any, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.failures = failures

    @classmethod
    def of(cls, failures: Iterable[tuple[str, VisprepError]], wanted: int) -> Self:
        """The error that ends a command of which these of `wanted` files failed, with the first of them as examples."""
        kept: list[tuple[str, VisprepError]] = []
        hints: set[str] = set()
        shown: dict[tuple[str, str], tuple[str, int]] = {}  # what failed for the very same reason is told once
        count = 0
        for count, failure in enumerate(failures, 1):
            if count <= _KEPT:
                kept.append(failure)
            path, error = failure
            reason = error.message, error.slug
            if reason in shown or len(shown) < _SHOWN:
                first, alike = shown.get(reason, (path, 0))
                shown[reason] = first, alike + 1
            hint = error.hint
            if hint and len(hints) < 2 and not hint.startswith("run the same command again"):
                hints.add(hint)
        told = "; ".join(_about(*reason, *paths) for reason, paths in shown.items())
        left = count - sum(alike for _, alike in shown.values())
        more = f"; and {left} more" if left else ""
        advice = f"{hints.pop()}; then " if len(hints) == 1 else ""
        return cls(
            f"{count} of {wanted} file{'s' * (wanted != 1)} failed: {told}{more}",
            failures=tuple(kept),
            hint=advice + AGAIN,
        )


class TooManyFailures(VisprepError):
    """More samples could not be had than `max_failures` allows."""

    slug = "too-many-failures"


class DemoFailed(VisprepError):
    """A step of the demo did not end as it must."""

    slug = "demo-failed"


def _about(message: str, slug: str, path: str, alike: int) -> str:
    """One reason, with the first of the files that failed for it, and how many others did."""
    if alike > 1:
        return f"{message} [{slug}]: {path} and {alike - 1} more"
    return f"{message if path in message else f'{path}: {message}'} [{slug}]"
