"""Certificates: what `leaks` looked at, how, and what it found, as a JSON file that can be held against the data again.

A certificate holds no date and no absolute path that was not given, so the same data and the same versions give the
same bytes. Its digest shows that it was damaged or edited by hand. It is no signature: who wants to can make another
one with a digest that fits. What proves it is `leaks --check`, which looks at everything again.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from visprep import whole_files
from visprep.digests import digest_of
from visprep.errors import DiskError, FileMissing, WouldOverwrite
from visprep.findings import Finding
from visprep.render.text import counted
from visprep.rules.leaks import CERTIFICATE_DAMAGED, CERTIFICATE_OUTDATED
from visprep.stores.arrivals import disk_errors

FORMAT_VERSION = 1
#: What tells a certificate from other JSON files.
KIND = "visprep leaks certificate"
#: The packages whose version can change what is found: they decode images.
_PACKAGES = ("visprep", "numpy", "pillow", "simplejpeg")
#: Hexadecimal digits that are kept of the digest of a record: they tell which records changed.
_DIGITS = 16
_LONGEST = 1 << 30
#: What tells a certificate is in its first lines.
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PartState:
    """A part as it was looked at.

    `members` are its records by key, each with the sha256 of its images (in a certificate that was read, the first
    digits of it); `digest` is that of all of them. `not_compared` is the number of images that could not be.
    """

    name: str
    kind: str
    images: int
    not_compared: int
    digest: str
    members: Mapping[str, str]

    @classmethod
    def of(cls, name: str, kind: str, images: int, not_compared: int, members: Mapping[str, str]) -> PartState:
        """A part with these members, whose digests are whole."""
        lines = (json.dumps([key, members[key]]) + "\n" for key in sorted(members))
        return cls(name, kind, images, not_compared, digest_of("".join(lines).encode()), dict(sorted(members.items())))

    @property
    def told(self) -> dict[str, Any]:
        """The part as it stands in a certificate, without its members."""
        counts = {"records": len(self.members), "images": self.images, "not_compared": self.not_compared}
        return {"name": self.name, "kind": self.kind, **counts, "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was looked at, how, and what was found.

    `places` and `against` are as they were given. `compared` counts pairs of images between parts, the pairs of
    thumbnails that were held against each other to find those that look alike, images that were `crowded`: compared
    with some only of those near to them, and places in which a command had not ended. `leaks` counts records that are
    in two parts, by the kind of what they have in common. `uncompared` are the pairs of parts that may share records.
    """

    places: tuple[str, ...]
    against: str | None
    method: Mapping[str, Any]
    parts: tuple[PartState, ...]
    compared: Mapping[str, int]
    leaks: Mapping[str, int]
    uncompared: tuple[tuple[str, str], ...]

    @property
    def result(self) -> str:
        """`leaks`, `incomplete` where not all was compared with all, or a place was unfinished, else `no leaks`."""
        if any(self.leaks.values()):
            return "leaks"
        counts = (self.compared.get(what) for what in ("crowded", "unfinished"))
        return "incomplete" if any(counts) or any(part.not_compared for part in self.parts) else "no leaks"

    def dump(self) -> bytes:
        """The certificate as a JSON file: the same bytes for the same content."""
        document = self._document()
        return json.dumps({**document, "digest": _digest(document)}, indent=2).encode() + b"\n"

    def _document(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "kind": KIND,
            "result": self.result,
            "places": list(self.places),
            "against": self.against,
            "method": {**self.method, "versions": dict(_versions())},
            "parts": [part.told for part in self.parts],
            "compared": dict(self.compared),
            "uncompared": [list(pair) for pair in self.uncompared],
            "leaks": dict(self.leaks),
            "members": {
                part.name: {key: digest.removeprefix("sha256:")[:_DIGITS] for key, digest in part.members.items()}
                for part in self.parts
            },
        }


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield name, importlib.metadata.version(name)


def _digest(document: Mapping[str, Any]) -> str:
    """The digest of a document without its own, whatever its layout."""
    return digest_of(json.dumps(document, sort_keys=True).encode())


def digest_of_record(digests: Sequence[bytes]) -> str:
    """One digest of the images of a record, whatever their order."""
    if len(digests) == 1:
        return f"sha256:{digests[0].hex()}"
    return f"sha256:{hashlib.sha256(b''.join(sorted(digests))).hexdigest()}"


def read(file: str | os.PathLike[str]) -> tuple[Certificate | None, tuple[Finding, ...]]:
    """The certificate in a file; None when it is damaged, with the findings that say so.

    FileMissing, DiskError: it cannot be read.
    """
    name = os.fspath(file)
    try:
        if not _beginning(Path(name)).lstrip("\ufeff \t\r\n").startswith("{"):  # known before all of it is read
            return None, (CERTIFICATE_DAMAGED.at(name, "it is no JSON object"),)
        with Path(name).open("rb") as opened:
            data = opened.read(_LONGEST)
    except FileNotFoundError:
        hint = "make one with: visprep leaks PLACE --certificate FILE"
        raise FileMissing(f"{name}: no such file", hint=hint) from None
    except (OSError, ValueError) as error:
        raise DiskError(f"{name}: {getattr(error, 'strerror', None) or error}".lower(), hint="check the name") from None
    try:
        document: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None, (CERTIFICATE_DAMAGED.at(name, "it is no JSON"),)
    if not isinstance(document, dict) or document.get("kind") != KIND:
        return None, (CERTIFICATE_DAMAGED.at(name, "it is no certificate of visprep leaks"),)
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        words = f"it is of version {version!r}; this visprep knows version {FORMAT_VERSION}"
        return None, (CERTIFICATE_DAMAGED.at(name, words, field="format_version"),)
    claimed = document.pop("digest", None)
    if claimed != _digest(document):
        return None, (CERTIFICATE_DAMAGED.at(name, "its digest is not that of what it says", field="digest"),)
    try:
        told = msgspec.convert(document, _Document)
        _ = [os.fsencode(place) for place in (*told.places, told.against or "")]
    except (msgspec.ValidationError, UnicodeEncodeError) as problem:
        return None, (CERTIFICATE_DAMAGED.at(name, f"it lacks a field, or has another type there: {problem}"),)
    counts = Counter(one.name for one in told.parts)
    if twice := next((part for part, count in counts.items() if count > 1), None):
        return None, (CERTIFICATE_DAMAGED.at(name, f"it has part {twice!r} twice", key=twice),)
    parts = []
    for one in told.parts:
        members = told.members.get(one.name, {})
        if len(members) != one.records:
            words = f"part {one.name!r} has {counted(len(members), 'member')}, and {counted(one.records, 'record')}"
            return None, (CERTIFICATE_DAMAGED.at(name, words, key=one.name),)
        parts.append(PartState(one.name, one.kind, one.images, one.not_compared, one.digest, members))
    return Certificate(
        told.places, told.against, told.method, tuple(parts), told.compared, told.leaks, told.uncompared
    ), ()


class _Part(msgspec.Struct):
    name: str
    kind: str
    records: int
    images: int
    not_compared: int
    digest: str


class _Document(msgspec.Struct):
    """What a certificate says."""

    places: tuple[str, ...]
    against: str | None
    method: dict[str, Any]
    parts: tuple[_Part, ...]
    compared: dict[str, int]
    leaks: dict[str, int]
    uncompared: tuple[tuple[str, str], ...]
    members: dict[str, dict[str, str]]


def check_replaceable(file: str | os.PathLike[str]) -> None:
    """WouldOverwrite when a file is in the way that is no certificate, whatever its version.

    Else errors as of `whole_files.in_the_way`.
    """
    there = whole_files.in_the_way(file)
    if there is None:
        return
    with disk_errors(str(there)):
        ours = f'"{KIND}"' in _beginning(there)
    if not ours:
        hint = "choose another FILE for --certificate, or move this one away"
        raise WouldOverwrite(f"{there}: it is no certificate of visprep leaks", paths=(str(there),), hint=hint)


def _beginning(path: Path) -> str:
    """The first of a file; DiskError for a pipe or the like, where reading would wait for whoever writes into it."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DiskError(f"{path}: it is no regular file", hint="name a file")
    with path.open("rb") as opened:
        return opened.read(_HEAD_BYTES).decode("utf-8", "replace")


def write(file: str | os.PathLike[str], certificate: Certificate) -> None:
    """The certificate at `file`, whole or not at all, in place of an older one; see `check_replaceable`."""
    check_replaceable(file)
    whole_files.write(file, [certificate.dump().decode()])


def differences(file: str, then: Certificate, now: Certificate) -> Iterator[Finding]:
    """What a certificate says, and is no longer so."""
    for name in sorted({*then.method, *now.method} - {"versions"}):
        if then.method.get(name) != now.method.get(name):
            words = f"it was made with {name} {then.method.get(name)}, and this visprep has {now.method.get(name)}"
            yield CERTIFICATE_OUTDATED.at(file, words, field=name)
    before, after = ({part.name: part for part in one.parts} for one in (then, now))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield CERTIFICATE_OUTDATED.at(file, f"part {name!r} is not there any more", key=name)
        elif name not in before:
            yield CERTIFICATE_OUTDATED.at(file, f"part {name!r} is new", key=name)
        elif before[name].told != after[name].told or _changes(before[name], after[name]):
            yield _changed(file, before[name], after[name])
    for kind, have in now.leaks.items():
        had = then.leaks.get(kind)
        if had != have:
            said = "nothing of leaks" if had is None else counted(had, "leak")
            words = f"it says {said} by {kind}, and there {'is' if have == 1 else 'are'} {have:,}"
            yield CERTIFICATE_OUTDATED.at(file, words, field=kind, then=had, now=have)
    if then.compared.get("unfinished") and not now.compared.get("unfinished"):
        yield CERTIFICATE_OUTDATED.at(
            file, "it is of a place that was unfinished, and no longer is", field="unfinished"
        )
    if before.keys() == after.keys() and then.uncompared != now.uncompared:
        yield CERTIFICATE_OUTDATED.at(file, "it says that other parts were compared than were now", field="uncompared")
    images = [[(part.name, part.images) for part in one.parts] for one in (then, now)]
    if images[0] == images[1] and then.compared.get("pairs") != now.compared.get("pairs"):
        yield CERTIFICATE_OUTDATED.at(file, "it says another number of pairs of images than there is", field="compared")


def _changed(file: str, then: PartState, now: PartState) -> Finding:
    counts = _changes(then, now)
    told = ", ".join(f"{counted(count, 'record')} {how}" for how, count in counts.items())
    if not told and then.not_compared != now.not_compared:
        told = f"{now.not_compared:,} images could not be compared, where {then.not_compared:,} could not"
    return CERTIFICATE_OUTDATED.at(
        file, f"part {then.name!r}: {told or 'its digest is another one'}", key=then.name, **counts
    )


def _changes(then: PartState, now: PartState) -> dict[str, int]:
    """How many records were added, removed and changed, those that are none left out."""
    counts: Counter[str] = Counter()
    counts["added"] = len(now.members.keys() - then.members.keys())
    counts["removed"] = len(then.members.keys() - now.members.keys())
    counts["changed"] = sum(
        _short(then.members[key]) != _short(now.members[key]) for key in then.members.keys() & now.members.keys()
    )
    return {how: count for how, count in counts.items() if count}


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_DIGITS]
