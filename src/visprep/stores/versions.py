"""What `publish` writes beside the files: the pointer to the version that counts, and the manifest of a version.

::

    current.json                             names the manifest of the version that counts; all else never changes
    versions/{version}/manifest.jsonl        a header, then path, size, digest and key of each file, sorted by path
    versions/{version}/annotations/*.json    COCO JSON for loaders: its images are named s3://bucket/key
    files/{directory}/{stem}.{16 hex of the SHA-256}{suffix}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from visprep.digests import digest_of
from visprep.errors import BadRecord, WrongContent
from visprep.manifest import File

CURRENT = "current.json"
FILES = "files"
VERSIONS = "versions"
FORMAT_VERSION = 1
#: By this a `current.json` is known to be ours: another program may have one of its own.
_KIND = "visprep-published"
_HEX = 16
_NEWER = "another version of visprep published it: use that one"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a published place; `until` is when another took its place, empty as long as none did.

    `manifest` is the path of its manifest, `sha256` the hex digest of that; times are `2026-01-31T12:00:00Z`.
    """

    name: str
    manifest: str
    sha256: str
    published: str
    until: str = ""

    def path_of(self, path: str) -> str:
        """Where the loaders' annotation file lies that was made of the one at `path`."""
        return f"{VERSIONS}/{self.name}/{path}"


@dataclass(frozen=True, slots=True)
class Pointer:
    """What `current.json` says.

    `history` are the versions before, the latest first; `withdrawn` those that were rolled back. `pruning` names the
    prune that is under way, and until it has ended nobody may rely on a file that no version names. `write` is another
    one at each write, so that its ETag never comes back: who sees an ETag again knows that nothing happened meanwhile.
    """

    version: Version
    history: tuple[Version, ...] = ()
    withdrawn: tuple[Version, ...] = ()
    pruning: str = ""
    write: str = ""

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions that are there: the one that counts first."""
        return self.version, *self.history, *self.withdrawn

    def dump(self) -> bytes:
        """The bytes of `current.json`."""

        def plain(version: Version) -> dict[str, str]:
            return {("version" if key == "name" else key): value for key, value in asdict(version).items() if value}

        document: dict[str, Any] = {"kind": _KIND, "format_version": FORMAT_VERSION, **plain(self.version)}
        document["history"] = [plain(one) for one in self.history]
        if self.withdrawn:
            document["withdrawn"] = [plain(one) for one in self.withdrawn]
        if self.pruning:
            document["pruning"] = self.pruning
        if self.write:
            document["write"] = self.write
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def load(cls, data: bytes, place: str) -> Pointer | None:
        """What `dump` wrote, None for what somebody else did; BadRecord when it is damaged or of a newer format."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return None
        if not isinstance(document, dict) or document.get("kind") != _KIND:
            return None
        if document.get("format_version") != FORMAT_VERSION:
            told = document.get("format_version")
            raise BadRecord(f"{place}: {CURRENT} has the format_version {told!r}, not {FORMAT_VERSION}", hint=_NEWER)
        try:
            history, withdrawn = (tuple(map(_version, document.get(key, ()))) for key in ("history", "withdrawn"))
            pruning, write = (str(document.get(key, "")) for key in ("pruning", "write"))
            return cls(_version(document), history, withdrawn, pruning, write)
        except (KeyError, TypeError):
            hint = "visprep publish it again, to a prefix of its own"
            raise BadRecord(f"{place}: {CURRENT} is damaged", hint=hint) from None


def _version(told: Any) -> Version:
    name, manifest, sha256, published = (str(told[key]) for key in ("version", "manifest", "sha256", "published"))
    return Version(name, manifest, sha256, published, str(told.get("until", "")))


def key_of(path: str, digest: str) -> str:
    """Where a file with these bytes lies, below the place: other bytes lie elsewhere, so it never changes."""
    home, slash, name = path.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    if not stem:  # no suffix, or a name that begins with its only dot
        stem, dot, suffix = name, "", ""
    return f"{FILES}/{home}{slash}{stem}.{digest.partition(':')[2][:_HEX]}{dot}{suffix}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a version, in order of path, and where each lies below the place.

    `annotations` are the paths of those that loaders have a file of their own for.
    """

    files: tuple[File, ...]
    keys: dict[str, str]
    annotations: tuple[str, ...] = ()

    def below(self, within: str) -> Listing:
        """Those below a directory, which ends in a slash, by what follows on it."""
        files = tuple(
            File(one.path.removeprefix(within), one.size, one.digest)
            for one in self.files
            if one.path.startswith(within)
        )
        keys = {file.path: self.keys[within + file.path] for file in files}
        return Listing(
            files, keys, tuple(one.removeprefix(within) for one in self.annotations if one.startswith(within))
        )


def header(files: int, size: int, annotations: Iterable[str]) -> bytes:
    """The first line of a version's manifest; `annotations` are the paths that loaders have files of their own for."""
    told = {"format_version": FORMAT_VERSION, "files": files, "bytes": size, "annotations": list(annotations)}
    return json.dumps(told).encode() + b"\n"


def line(file: File, key: str) -> bytes:
    """The line of a version's manifest for one file."""
    return _ENCODER.encode(_Entry(file.path, file.size or 0, file.digest or "", key)) + b"\n"


def read(data: bytes, version: Version, place: str) -> Listing:
    """The manifest of a version; WrongContent when it is not the one that was published, BadRecord a damaged one."""
    name = f"{place}: {version.manifest}"
    if digest_of(data) != f"sha256:{version.sha256}":
        raise WrongContent(
            f"{name} is not what was published",
            hint=f"visprep publish PLACE {place} makes a new version; or visprep publish --rollback {place}",
        )
    try:
        head, *lines = data.splitlines()
        told = json.loads(head)
        entries = _DECODER.decode(b"[" + b",".join(lines) + b"]")
        if told["format_version"] != FORMAT_VERSION or told["files"] != len(entries):
            raise BadRecord(f"{name} has another format, or is cut off", hint=_NEWER)
        annotations = tuple(map(str, told["annotations"]))
    except (ValueError, KeyError, TypeError, msgspec.MsgspecError, RecursionError):
        raise BadRecord(f"{name} is damaged", hint="publish the place again") from None
    files = tuple(File(one.path, one.size, one.digest) for one in entries)
    return Listing(files, {one.path: one.key for one in entries}, annotations)


class _Entry(msgspec.Struct):
    path: str
    size: int
    digest: str
    key: str


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(list[_Entry])
