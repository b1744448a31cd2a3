"""`status`: what is done at a place, what failed, what is left, and the command to go on, from visprep's own record."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from visprep.ancestors import EXTENDED, MADE_FROM, MERGED
from visprep.errors import BadRecord
from visprep.own_record import fetching, latest, locked, read_dataset, read_journal, read_manifest, read_marker
from visprep.provenance import Step
from visprep.quarantine import Quarantine
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.local import LocalStore


@dataclass(frozen=True, slots=True)
class Failed:
    """A file that failed, from the journal: why, by slug and in words, and the command that tried."""

    path: str
    reason: str
    message: str
    command: str


@dataclass(frozen=True, slots=True)
class Status:
    """How far the work on a place is.

    `state` is `complete` (a manifest, no marker), `unfinished` (a command was begun there and not ended) or
    `unrecorded` (files that visprep keeps no record of). `files` and `bytes` are those of the manifest, None without
    one; `steps` made the place what it is. Of an unfinished command there is the step it was to be, as far as the
    marker tells it, and how many files it has noted as finished. `running` is None where nobody can tell whether a
    command is at it now. `go_on` is what to type next, None when nothing is left, and when the record does not tell: a
    download that was stopped while it fetched, before it wrote, is known by no more than what it fetched. `version` is
    the one that counts at a published place, else None.
    """

    place: str
    state: str
    files: int | None
    bytes: int | None
    steps: tuple[Step, ...]
    begun: Step | None
    finished: int | None
    failed: tuple[Failed, ...]
    running: bool | None
    go_on: str | None
    version: str | None = None


def status(place: str | os.PathLike[str], *, s3: S3Settings | None = None) -> Status:
    """What is done, failed and left at a place, by its marker, journal, manifest and `dataset.json`.

    No file of the dataset is read: `verify` does that. The journal of an upload lies where it came from.
    PlaceMissing when there is no such place, BadRecord when its record is damaged.
    """
    store = open_store(os.fspath(place), s3)
    next(iter(store.list()), None)  # a place that is not there has no status
    marker, manifest, dataset = read_marker(store), read_manifest(store), read_dataset(store)
    begun, stopped = marker[0] if marker else None, fetching(store)
    finished = sum(1 for _ in latest(marker[1])) if marker else 0
    quarantine = None
    if isinstance(store, LocalStore):
        with contextlib.suppress(BadRecord):  # of another version, and then `fix` says so
            quarantine = Quarantine(store)
    if quarantine and begun is None and (how := quarantine.broken_off):  # no marker yet, or none at all
        begun = Step("fix", how)
    if quarantine and begun is not None and begun.command == "fix":
        finished = len(quarantine.aside)
    return Status(
        store.place,
        "unfinished" if begun or marker or stopped else "complete" if manifest else "unrecorded",
        len(manifest.files) if manifest else None,
        manifest.size if manifest else None,
        dataset.steps if dataset else (),
        begun,
        finished if begun or marker or stopped else None,
        tuple(_failed(store)) if marker or isinstance(store, LocalStore) else (),  # see `write_journal`
        _running(store),
        _go_on(begun, store, s3 or S3Settings()) if begun else None,
        _version(store),
    )


def _go_on(begun: Step, store: Store, s3: S3Settings) -> str | None:
    with contextlib.suppress(AttributeError, TypeError, ValueError):  # a damaged marker does not tell
        return command_of(begun, store, s3)
    return None


def _failed(store: Store) -> Iterator[Failed]:
    for entry in read_journal(store):
        command = f"{entry.get('command', '')} {entry.get('source', '')}".strip()
        yield Failed(entry.get("path", ""), entry.get("reason", ""), entry.get("message", ""), command)


def _version(store: Store) -> str | None:
    if not store.place.startswith("s3://"):
        return None
    from visprep.stores.published import version_of  # here, since a place on disk needs no wire

    return version_of(store)


def _running(store: Store) -> bool | None:
    try:
        return locked(store)
    except OSError:
        return None


def command_of(step: Step, store: Store, s3: S3Settings, taken: Mapping[str, Sequence[str]] | None = None) -> str:
    """The command that a step was begun by, so that it can be typed again.

    Of a directory that was copied only its name is recorded, since the way to it is one machine's. Where somebody knows
    it, `taken` tells what the step took: the places or files by their key in `ancestors`.
    """
    known = taken or {}
    if step.command == "fix":
        return shlex.join(["visprep", "fix", store.place, "--how", step.source])
    if step.command == "split":
        inputs = known.get(MADE_FROM) or step.origin.get("inputs", [f"path/to/{step.source}"])
        words = ["visprep", "split", *inputs, "--output", store.place]
        options = {**step.options, **({"extend": known[EXTENDED][0]} if known.get(EXTENDED) else {})}
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
        return shlex.join([*words, *_access(s3)])
    if step.command == "convert":
        return shlex.join([*_converting(step, known), "--output", store.place, *_access(s3)])
    positional = step.command in ("upload", "sync")
    copied = positional or not step.splits
    source = f"path/to/{step.source.rstrip('/')}" if copied and "://" not in step.source else step.source
    source = next(iter(known.get(MADE_FROM, ())), source)
    words = ["visprep", step.command, source, *([] if positional else ["--output"]), store.place]
    words += [
        word for name in ("include", "exclude") for glob in step.options.get(name, ()) for word in (f"--{name}", glob)
    ]
    for name in (
        "config",
        "limit",
        "layout",
        "labels",
        "classes",
        "seed",
        "licenses",
        "only-matching",
        "keep-archives",
        "expand-hierarchy",
        "original",
        "delete",
        "max-delete",
        "compare",
    ):
        value = step.options.get(name)
        if value is True:
            words.append(f"--{name}")
        elif (value or value == 0) and (name, value) != ("layout", "template"):
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)]
    words += ["--ids", "path/to/ids"] if step.options.get("ids") else []  # of the file only a digest is recorded
    columns = step.options.get("map") or {}
    words += ["--map", ",".join(f"{field}={column}" for field, column in columns.items())] if columns else []
    words += ["--mirror", ",".join(step.origin["mirrors"])] if step.origin.get("mirrors") else []
    words += ["--via", step.origin["via"]] if step.origin.get("via") else []
    words += ["--split", ",".join(step.splits)] if step.splits else []
    words += ["--revision", step.revision] if step.revision else []
    if not isinstance(store, LocalStore) or "://" in step.source or step.origin.get("via") in ("s3", "fiftyone"):
        words += _access(s3)
    return shlex.join(words)


def _converting(step: Step, known: Mapping[str, Sequence[str]]) -> list[str]:
    """The command of a conversion; files that it was given beside the place are known by their names alone."""
    options = dict(step.options)
    place = "/".join(str(one) for one in (step.source, options.pop("file", None)) if one)
    place = next(iter(known.get(MADE_FROM, ())), place if "://" in place else f"path/to/{place}")
    words = ["visprep", "convert", place]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if name == "classes":
            words += [option, "path/to/classes.txt"]
        elif name == "merge":
            merged = known.get(MERGED) or [f"path/to/{one}" for one in value]
            words += [word for one in merged for word in (option, one)]
        elif name not in ("from", "listing"):
            words += [option, *([] if value is True else [str(value)])]
    return words


def _access(s3: S3Settings) -> list[str]:
    given = {"--profile": s3.profile, "--region": s3.region, "--endpoint-url": s3.endpoint_url}
    words = [word for name, value in given.items() if value for word in (name, value)]
    return [*words, *(["--no-sign-request"] if s3.no_sign_request else [])]
