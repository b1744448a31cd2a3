"""Files as plain data: what a place holds, and the one question asked of two lists, `diff`.

Lists are sorted by the bytes of the path (UTF-8), because that is the order in which S3 lists: then comparing
two lists of any length is one merge of two streams. For text without lone surrogates Python compares strings
in that same order, so `sorted(files)` by `path` is enough.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from visprep.errors import BadRecord

FORMAT_VERSION = 1

#: Where a place keeps visprep's own record; never listed as data, never compared.
RECORD_DIR = ".visprep"
MANIFEST = f"{RECORD_DIR}/manifest.jsonl"
DATASET = "dataset.json"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a place.

    `path` is relative, with `/`. `size` is in bytes. `digest` is `algorithm:hex` (`sha256`, `md5`, or
    `git-sha1`, the hub's name for small files), and None where nobody knows it yet. `mtime` is seconds since
    the epoch, as the store tells it; `etag` is the HTTP validator of a remote file. Only path, size and digest
    are written to a manifest.
    """

    path: str
    size: int | None = None
    digest: str | None = None
    mtime: float | None = None
    etag: str | None = None

    @property
    def sort_key(self) -> bytes:
        """The bytes of the path."""
        return self.path.encode("utf-8", "surrogateescape")


class Change(StrEnum):
    """How one path differs between what is wanted and what is there."""

    MISSING = "missing"
    EXTRA = "extra"
    SIZE = "size"
    CONTENT = "content"
    UNKNOWN = "unknown"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Difference:
    """One path in two lists: `want` is None for an extra file, `have` is None for a missing one."""

    change: Change
    want: File | None
    have: File | None

    @property
    def path(self) -> str:
        """The path that both sides speak of."""
        file = self.want or self.have
        assert file is not None  # one side is always there
        return file.path


def compare(want: File, have: File) -> Change:
    """How two files of one path differ.

    UNKNOWN means that the sizes agree (or are not known) and no digest of a common algorithm is known on both
    sides, so that nothing short of reading can tell.
    """
    if want.size is not None and have.size is not None and want.size != have.size:
        return Change.SIZE
    if want.digest and have.digest and want.digest.partition(":")[0] == have.digest.partition(":")[0]:
        return Change.SAME if want.digest == have.digest else Change.CONTENT
    return Change.UNKNOWN


def diff(want: Iterable[File], have: Iterable[File]) -> Iterator[Difference]:
    """Every path of either list with how it differs, in order of path.

    Both lists must be sorted by the bytes of the path; one that is not raises ValueError, since a merge would
    then call files missing that are there.
    """
    wanted, present = _checked(want), _checked(have)
    left, right = next(wanted, None), next(present, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left.sort_key < right.sort_key):
            yield Difference(Change.MISSING, left, None)
            left = next(wanted, None)
        elif left is None or right.sort_key < left.sort_key:
            yield Difference(Change.EXTRA, None, right)
            right = next(present, None)
        else:
            yield Difference(compare(left, right), left, right)
            left, right = next(wanted, None), next(present, None)


def _checked(files: Iterable[File]) -> Iterator[File]:
    last: bytes | None = None
    for file in files:
        key = file.sort_key
        if last is not None and key <= last:
            raise ValueError(f"files out of order: {file.path!r} came after {last.decode('utf-8', 'replace')!r}")
        last = key
        yield file


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sorted list of a place's files, and the digest of the `dataset.json` that belongs to it.

    Neither `dataset.json` nor anything under `.visprep/` is among the files.
    """

    files: tuple[File, ...]
    dataset: str | None = None

    @classmethod
    def of(cls, files: Iterable[File], dataset: str | None = None) -> Manifest:
        """A manifest of `files`, sorted, reduced to path, size and digest."""
        plain = (File(file.path, file.size, file.digest) for file in files)
        return cls(tuple(sorted(plain, key=lambda file: file.sort_key)), dataset)

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size or 0 for file in self.files)

    @property
    def digest(self) -> str:
        """`sha256:hex` of the file list alone: equal lists have equal digests, whatever `dataset.json` says."""
        total = hashlib.sha256()
        for file in self.files:
            total.update(_line(file))
        return f"sha256:{total.hexdigest()}"

    def dump(self) -> bytes:
        """The manifest as JSON Lines: a header, then one file a line."""
        header: dict[str, Any] = {"format_version": FORMAT_VERSION, "files": len(self.files), "bytes": self.size}
        if self.dataset:
            header["dataset"] = self.dataset
        return json.dumps(header).encode() + b"\n" + b"".join(map(_line, self.files))

    @classmethod
    def load(cls, data: bytes, *, name: str = MANIFEST) -> Manifest:
        """The manifest written in `data`; BadRecord, with the line, when it is damaged or of a newer format."""
        lines = data.split(b"\n")
        if lines.pop() != b"":
            raise BadRecord(f"{name}: the last line is cut off", hint=_REPAIR)
        header = _object(lines[0] if lines else b"", 1, name)
        if header.get("format_version") != FORMAT_VERSION:
            raise BadRecord(
                f"{name}: format_version {header.get('format_version')!r} is not {FORMAT_VERSION}",
                hint="another version of visprep wrote it: use that one, or delete the file and download again",
            )
        files = tuple(_file(_object(line, at, name), at, name) for at, line in enumerate(lines[1:], 2))
        if len(files) != header.get("files"):
            raise BadRecord(f"{name}: {header.get('files')} files announced, {len(files)} listed", hint=_REPAIR)
        for before, after in itertools.pairwise(files):
            if before.sort_key >= after.sort_key:
                raise BadRecord(f"{name}: {after.path!r} is out of order", hint=_REPAIR)
        dataset = header.get("dataset")
        return cls(files, dataset if isinstance(dataset, str) else None)


_REPAIR = "delete the file and run the command that made this place again"


def _line(file: File) -> bytes:
    fields = {"path": file.path, "size": file.size, "digest": file.digest}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode() + b"\n"


def _object(line: bytes, number: int, name: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:  # JSON and Unicode errors alike
        value = None
    if not isinstance(value, dict):
        raise BadRecord(f"{name}, line {number}: not a JSON object", hint=_REPAIR)
    return value


def _file(entry: dict[str, Any], number: int, name: str) -> File:
    path, size, digest = entry.get("path"), entry.get("size"), entry.get("digest")
    sound = (
        isinstance(path, str)
        and path != ""
        and (size is None or (isinstance(size, int) and size >= 0))
        and (digest is None or (isinstance(digest, str) and ":" in digest))
    )
    if not sound:
        raise BadRecord(f"{name}, line {number}: not a file entry", hint=_REPAIR)
    return File(str(path), size, digest)
