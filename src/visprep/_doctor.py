"""`doctor`: whether this machine, and a place, are fit for work. It tells where secrets come from, never what they are.

Nothing is asked of a network unless an S3 place is named, and nothing is left at a place.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import secrets
import shlex
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from visprep import credentials, handles
from visprep.errors import AccessDenied, MissingExtra, PlaceMissing, VisprepError
from visprep.own_record import fetching, locked, unfinished
from visprep.settings import S3Settings
from visprep.stores import PART_SUFFIX, Store, open_store, s3_answers, s3_uploads
from visprep.stores.archive import ArchiveStore
from visprep.stores.hub import has_token
from visprep.stores.local import LocalStore
from visprep.stores.s3 import S3Store
from visprep.stores.s3_answers import Upload
from visprep.transfer import LARGE
from visprep.wire import wait

#: Bytes free below which a download will hardly end well.
_ROOM = 1_000_000_000
_OK, _WARNING, _PROBLEM = "ok", "warning", "problem"
#: Extras that are of use to those who work on visprep only, or that are nothing but others.
_NOT_SHOWN = ("all", "bench", "dev")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: `level` is `ok`, `warning` or `problem`."""

    name: str
    level: str
    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Checkup:
    """All that doctor looked at: the machine, and the place where one was named."""

    place: str | None
    machine: tuple[Check, ...]
    place_checks: tuple[Check, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether the place can be used; without one, True."""
        return all(check.level != _PROBLEM for check in self.place_checks)


def doctor(place: str | os.PathLike[str] | None = None, *, s3: S3Settings | None = None) -> Checkup:
    """Look at this machine, and at a place where one is named; what is wrong is in what comes back.

    Of S3 only lists are asked for; whether it may be written to shows at the first upload. In a directory one file
    is made and removed. BadPlace when the text names no place.
    """
    settings = s3 or S3Settings()
    store = None if place is None else open_store(os.fspath(place), settings)
    asked = _checks(_python, _packages, _extras)
    asked += _checks(lambda: _aws(settings, ask=isinstance(store, S3Store)), _hub, _proxies, _disk)
    if store is None:
        return Checkup(None, asked)
    return Checkup(store.place, asked, _checks(lambda: _place(store)))


def _checks(*looks: Callable[[], Iterator[Check]]) -> tuple[Check, ...]:
    return tuple(check for look in looks for check in look())


def _python() -> Iterator[Check]:
    yield Check("python", _OK, f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")


def _packages() -> Iterator[Check]:
    yield Check("visprep", _OK, importlib.metadata.version("visprep"))
    there, absent = _installed(_required().get("", []))
    if there:
        yield Check("packages", _OK, ", ".join(there))
    if absent:
        yield Check("packages", _PROBLEM, f"not installed: {', '.join(absent)}", "install visprep again with pip")


def _extras() -> Iterator[Check]:
    for extra, names in _required().items():
        if not extra or extra in _NOT_SHOWN:
            continue
        there, absent = _installed(names)
        if absent:
            message = f"not installed (it lacks {', '.join(absent)})"
            yield Check(f"extra {extra}", _OK, message, f"where it is needed: pip install 'visprep[{extra}]'")
        else:
            yield Check(f"extra {extra}", _OK, ", ".join(there))


def _required() -> dict[str, list[str]]:
    """The distributions that visprep asks for, by extra; those of no extra under an empty name."""
    required: dict[str, list[str]] = {}
    for text in importlib.metadata.requires("visprep") or ():
        name = re.match(r"[\w.-]+", text)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", text)
        if name and name[0] != "visprep":
            required.setdefault(extra[1] if extra else "", []).append(name[0])
    return required


def _installed(names: list[str]) -> tuple[list[str], list[str]]:
    """Names with versions of what is installed, and names of what is not."""
    there, absent = [], []
    for name in names:
        try:
            there.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    return there, absent


def _aws(settings: S3Settings, *, ask: bool) -> Iterator[Check]:
    try:
        yield Check("aws credentials", _OK, _identity(settings, ask=ask))
    except VisprepError as error:
        yield Check("aws credentials", _PROBLEM if ask else _WARNING, error.message, error.hint)
    try:
        endpoint = credentials.find_endpoint(settings) or "AWS itself"
        yield Check("aws region", _OK, f"{credentials.find_region(settings)}, endpoint: {endpoint}")
    except VisprepError as error:
        yield Check("aws region", _PROBLEM if ask else _WARNING, error.message, error.hint)


def _identity(settings: S3Settings, *, ask: bool) -> str:
    if settings.no_sign_request:
        return "none are used: requests are not signed"
    found = credentials.find_identity(settings, ask=ask)
    if found is None:
        return "no keys in the environment or the AWS files; a role is looked for when an s3:// place is named"
    origin, key = found
    return f"from {origin}, access key id ...{key}" if key else f"from {origin}, when an s3:// place is named"


def _hub() -> Iterator[Check]:
    try:
        yield Check("hub token", _OK, "there is one" if has_token() else "none: only public datasets can be had")
    except MissingExtra:
        yield Check("hub token", _OK, "not looked for: the extra 'hf' is not installed")
    except VisprepError as error:
        yield Check("hub token", _WARNING, error.message, error.hint)


def _proxies() -> Iterator[Check]:
    found = ", ".join(f"{name}={value}" for name, value in handles.proxies().items())
    yield Check("proxy", _OK, found or "none")


def _disk() -> Iterator[Check]:
    yield _free("disk", Path.cwd())


def _free(name: str, directory: Path) -> Check:
    free = shutil.disk_usage(directory).free
    level, hint = (_OK, None) if free >= _ROOM else (_WARNING, "free some space before a large download")
    return Check(name, level, f"{free / 1e9:,.1f} GB free at {directory}", hint)


def _place(store: Store) -> Iterator[Check]:
    """The place, up to what makes it unusable."""
    try:
        yield from _looks(store)
        begun = unfinished(store) or ("a command" if fetching(store) else None)
    except OSError as error:
        yield Check("place", _PROBLEM, f"{store.place}: {(error.strerror or str(error)).lower()}")
    except VisprepError as error:
        yield Check("place", _PROBLEM, f"{error.message} [{error.slug}]", error.hint)
    else:
        if begun:
            message = f"{begun} was begun here and not ended"
            yield Check("unfinished change", _WARNING, message, f"visprep status {store.place}")
        else:
            yield Check("unfinished change", _OK, "none")


def _looks(store: Store) -> Iterator[Check]:
    if isinstance(store, S3Store):
        return _s3(store)
    if isinstance(store, ArchiveStore):
        return _archive(store)
    assert isinstance(store, LocalStore)  # there are no other places
    return _directory(store)


def _s3(store: S3Store) -> Iterator[Check]:
    prefix = f"{store.prefix}/" if store.prefix else ""
    query = {"list-type": "2", "encoding-type": "url", "max-keys": "1", "prefix": prefix}
    page = s3_answers.listing(wait(store.ask("s3:ListBucket", "GET", query=query)), prefix)
    if page.files:
        yield Check("listing", _OK, f"{store.place} can be listed")
    else:
        yield Check("listing", _WARNING, f"there is nothing under {store.place} yet", "check the name to read from it")
    try:
        yield _uploads(store, wait(s3_uploads.uploads_under(store, prefix)))
    except AccessDenied as error:
        yield Check("unfinished uploads", _WARNING, error.message, error.hint)


def _uploads(store: S3Store, left: Sequence[Upload]) -> Check:
    """The uploads that were neither completed nor aborted, those first that nobody will go on with."""
    if not left:
        return Check("unfinished uploads", _OK, "none")
    now = time.time()
    first, *_ = left = sorted(left, key=lambda upload: not s3_uploads.is_stale(upload, now))
    stale = sum(s3_uploads.is_stale(upload, now) for upload in left)
    names = ", ".join(upload.key.removeprefix(store.prefix).removeprefix("/") for upload in left[:3])
    message = f"{len(left)} in parts: {names}" + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    words = shlex.join(("--bucket", store.bucket, "--key", first.key, "--upload-id", first.id))
    hint = "the same upload goes on with them; each costs until it is dropped"
    if stale:
        message += f" ({stale} of visprep, a day old)"
        hint += f", as those of a day are when a file above {LARGE >> 20} MiB is uploaded to {store.place}"
    hint += f"; the first: aws s3api abort-multipart-upload {words}"
    return Check("unfinished uploads", _WARNING, message, hint)


def _archive(store: ArchiveStore) -> Iterator[Check]:
    members = store.members()
    yield Check("archive", _OK, f"{store.place} can be listed, for reading only (members: {len(members):,})")
    refused = [path for path, member in members.items() if member.fault]
    if refused:
        message = f"{len(refused):,} cannot be unpacked, the first of them {refused[0]!r}"
        yield Check("members", _WARNING, message, f"see why: visprep verify {store.place}")
    else:
        yield Check("members", _OK, "all can be unpacked, as far as the archive's directory tells")


def _directory(store: LocalStore) -> Iterator[Check]:
    root = store.root
    if not root.exists():
        above = next(parent for parent in root.parents if parent.exists())
        if not (above.is_dir() and os.access(above, os.W_OK)):
            raise PlaceMissing(f"{store.place} is not there, and cannot be made in {above}", hint="name another one")
        yield Check("directory", _WARNING, f"{store.place} is not there yet; it can be made", "check the name")
        yield _free("room", above)
        return
    next(iter(store.list()), None)  # raises what keeps us from it
    yield Check("directory", _OK, f"{store.place} can be listed")
    yield from _probed(root)
    yield _lock(store)
    yield _free("room", root)


def _probed(root: Path) -> Iterator[Check]:
    """What making a file there shows. Its name is one of those that are never listed, and swept where they are left."""
    probe = root / f".{secrets.token_hex(11)}ab{PART_SUFFIX}"
    try:
        with probe.open("xb"):
            try:
                folds = probe.with_name(probe.name.upper()).exists()
            finally:
                probe.unlink()  # only what was made: on a read-only disk even that a file is not there is refused
    except OSError as error:
        message = f"it cannot be written to ({(error.strerror or str(error)).lower()}): for reading only"
        yield Check("writing", _WARNING, message, "check the owner and the permissions")
        return
    yield Check("writing", _OK, "it can be written to")
    if folds:
        yield Check("case of names", _WARNING, "names that differ only in case are one file here", "rename such files")
    else:
        yield Check("case of names", _OK, "names that differ only in case are two files")


def _lock(store: LocalStore) -> Check:
    busy = locked(store)
    if busy is None:
        hint = "run one command at a time here"
        return Check("lock", _WARNING, "this file system has no locks: nothing keeps two commands apart", hint)
    if busy:
        return Check("lock", _WARNING, "another visprep is changing it now", "wait until it has ended")
    return Check("lock", _OK, "free")
