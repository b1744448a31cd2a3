"""Files as plain data: what a place holds, and the one question asked of two lists, `diff`.

Lists are sorted by the bytes of the path (UTF-8), because that is the order in which S3 lists: then comparing
two lists of any length is one merge of two streams. For text without lone surrogates Python compares strings
in that same order, so `sorted(files)` by `path` is enough.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import GenericAlias
from typing import Any

from visprep.digests import ALGORITHMS, algorithm_of
from visprep.errors import BadRecord

FORMAT_VERSION = 1

#: Where a place keeps visprep's own record; never listed as data, never compared.
RECORD_DIR = ".visprep"
MANIFEST = f"{RECORD_DIR}/manifest.jsonl"
DATASET = "dataset.json"


# Not frozen, since that makes them four times as dear, and there are millions
@dataclass(slots=True, unsafe_hash=True)
class File:
    """A file of a place; one is never changed, but replaced by another.

    `path` is relative, with `/`. `size` is in bytes. `digest` is `algorithm:hex` (`sha256`, `md5`, or
    `git-sha1`, the hub's name for small files), and None where nobody knows it yet. `mtime` is seconds since
    the epoch, as the store tells it; `etag` is another whenever the content may be another: the HTTP validator of a
    remote file, on disk the times and the inode. `md5` is a second digest (`md5:hex`, or `crc32:hex`) of a file whose
    sha256 is known too. `made_from` is the bare ETag of the object that an object was copied from, where that one told
    no sha256. Only path, size and digest are written to a manifest, on S3 the two ETags too.
    """

    path: str
    size: int | None = None
    digest: str | None = None
    mtime: float | None = None
    etag: str | None = None
    md5: str | None = None
    made_from: str | None = None

    @property
    def sort_key(self) -> str:
        """What sorts as the bytes of the path do."""
        return self.path if self.path.isascii() else order(self.path)


def order(path: str) -> str:
    """What sorts as the bytes of a path do: the path itself where it is ASCII, else one character for each byte."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


def pack_file(file: File) -> tuple[Any, ...]:
    """A file as plain data."""
    return file.path, file.size, file.digest, file.mtime, file.etag, file.md5, file.made_from


def unpack_file(packed: tuple[Any, ...]) -> File:
    """The reverse of `pack_file`."""
    return File(*packed)


def bare_etag(etag: str) -> str:
    """An ETag without quotes and without the mark of a weak one, fit to be compared."""
    return etag.removeprefix("W/").strip('"')


class Change(StrEnum):
    """How one path differs between what is wanted and what is there."""

    MISSING = "missing"
    EXTRA = "extra"
    SIZE = "size"
    CONTENT = "content"
    UNKNOWN = "unknown"
    SAME = "same"


@dataclass(slots=True, unsafe_hash=True)  # not frozen, as above
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
    if want.digest and want.digest == have.digest:
        return Change.SAME
    for ours in (want.digest, want.md5):
        for theirs in (have.digest, have.md5):
            if ours and theirs and ours.partition(":")[0] == theirs.partition(":")[0]:
                return Change.SAME if ours == theirs else Change.CONTENT
    return Change.UNKNOWN


def diff(want: Iterable[File], have: Iterable[File]) -> Iterator[Difference]:
    """Every path of either list with how it differs, in order of path.

    Both lists must be sorted by the bytes of the path; one that is not raises ValueError, since a merge would
    then call files missing that are there.
    """
    for left, right in aligned(want, have):
        if left is None or right is None:
            yield Difference(Change.MISSING if left else Change.EXTRA, left, right)
        else:
            yield Difference(compare(left, right), left, right)


def aligned(*lists: Iterable[File]) -> Iterator[tuple[File | None, ...]]:
    """Every path of any list, in order: what each list has of it, None where it has nothing.

    Lists must be sorted by the bytes of the path, each path once; ValueError where one is not.
    """
    streams = [iter(files) for files in lists]
    heads = [next(stream, None) for stream in streams]
    keys = [None if head is None else head.sort_key for head in heads]
    going = [number for number, key in enumerate(keys) if key is not None]
    while going:
        lowest = keys[going[0]]
        for number in going:
            if keys[number] < lowest:  # type: ignore[operator]  # there is one
                lowest = keys[number]
        row: list[File | None] = [None] * len(streams)
        ended = False
        for number in going:
            if keys[number] == lowest:
                row[number] = before = heads[number]
                head = heads[number] = next(streams[number], None)
                if head is None:
                    ended = True
                    keys[number] = None
                    continue
                path = head.path
                keys[number] = following = path if path.isascii() else order(path)
                if following <= lowest:  # type: ignore[operator]
                    raise ValueError(f"files out of order: {path!r} came after {before and before.path!r}")
        yield tuple(row)
        if ended:
            going = [number for number in going if keys[number] is not None]


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
            total.update(entry_line(file))
        return f"sha256:{total.hexdigest()}"

    def dump(self) -> bytes:
        """The manifest as JSON Lines: a header, then one file a line."""
        return header_line(len(self.files), self.size, self.dataset) + b"".join(map(entry_line, self.files))

    @classmethod
    def load(cls, data: bytes, *, name: str = MANIFEST) -> Manifest:
        """The manifest written in `data`; BadRecord, with the line, when it is damaged or of a newer format."""
        dataset, files = read_lines(data.splitlines(keepends=True), name)
        return cls(tuple(File(file.path, file.size, file.digest) for file in files), dataset)


def header_line(files: int, size: int, dataset: str | None) -> bytes:
    """The first line of a manifest: how many files and bytes follow, and the digest of `dataset.json`."""
    header: dict[str, Any] = {"format_version": FORMAT_VERSION, "files": files, "bytes": size}
    if dataset:
        header["dataset"] = dataset
    return json.dumps(header).encode() + b"\n"


def entry_line(file: File, *, etag: bool = False) -> bytes:
    """The line of a manifest for one file, with its ETags where they are asked for and known."""
    # By hand, which takes a quarter of the time
    size = "" if file.size is None else f', "size": {file.size}'
    digest = "" if file.digest is None else f', "digest": {_quoted(file.digest)}'
    line = f'{{"path": {_quoted(file.path)}{size}{digest}}}\n'.encode()
    return with_etags(line, file) if etag else line


def with_etags(line: bytes, file: File) -> bytes:
    """The line of a file with its ETags, where they are known, made from the one without."""
    if not file.etag:
        return line
    made_from = f', "made_from": {_quoted(file.made_from)}' if file.made_from else ""
    return line[:-2] + f', "etag": {_quoted(bare_etag(file.etag))}{made_from}}}\n'.encode()


#: Text as JSON.
_quoted = json.encoder.encode_basestring_ascii


def read_lines(lines: Iterable[bytes], name: str = MANIFEST) -> tuple[str | None, Iterator[File]]:
    """The digest of `dataset.json` and the files, with their ETags, of a manifest that comes line by line.

    BadRecord, with the number of the line, as soon as one turns out to be damaged: perhaps only at the last file.
    """
    stream = iter(lines)
    header = _object(next(stream, b"\n"), 1, name)
    if header.get("format_version") != FORMAT_VERSION:
        raise BadRecord(
            f"{name}: format_version {header.get('format_version')!r} is not {FORMAT_VERSION}",
            hint="another version of visprep wrote it: use that one, or delete the file and download again",
        )
    dataset = header.get("dataset")
    return dataset if isinstance(dataset, str) else None, _entries(stream, header.get("files"), name)


def _entries(lines: Iterator[bytes], announced: Any, name: str) -> Iterator[File]:
    before, number = "", 1
    for block in iter(lambda: list(itertools.islice(lines, _BLOCK)), []):
        for file in parsed(block) or _files(block, number + 1, name):
            number += 1
            path = file.path
            key = path if path.isascii() else order(path)
            if key <= before:
                raise BadRecord(f"{name}: {file.path!r} is out of order", hint=_REPAIR)
            before = key
            yield file
    if number - 1 != announced:
        raise BadRecord(f"{name}: {announced} files announced, {number - 1} listed", hint=_REPAIR)


#: Lines that are parsed together, which takes half as long as one by one.
_BLOCK = 500
_REPAIR = "delete the file and run the command that made this place again"


@functools.cache
def _parser() -> Callable[[bytes], list[File]]:
    import msgspec  # here, since it takes longer to load than to read a short manifest without it

    entries = GenericAlias(list, (msgspec.defstruct("Entry", _ENTRY),))
    decode = msgspec.json.Decoder(entries).decode

    def parse(data: bytes) -> list[File]:
        return [File(one.path, one.size, one.digest, None, one.etag, one.md5, one.made_from) for one in decode(data)]

    return parse


_TEXT = str | None
_ENTRY: list[tuple[str, Any, Any]]
_ENTRY = [
    ("path", str, ""),
    ("size", int, -1),
    ("digest", str, ""),
    ("etag", _TEXT, None),
    ("md5", _TEXT, None),
    ("made_from", _TEXT, None),
]


def parsed(lines: list[bytes]) -> list[File] | None:
    """The files of lines that are many and hold nothing but what is usual in them; None for all others."""
    if len(lines) < _BLOCK or not lines[-1].endswith(b"\n"):
        return None
    try:
        files = _parser()(b"[" + b",".join(lines) + b"]")
    except ValueError:
        return None
    usual = all(
        file.path and file.size is not None and file.size >= 0 and file.digest and file.digest[:7] == "sha256:"
        for file in files
    )
    return files if usual and len(files) == len(lines) else None


def _files(lines: list[bytes], first: int, name: str) -> list[File]:
    return [_file(entry, number, name) for number, entry in enumerate(_objects(lines, first, name), first)]


def _objects(lines: list[bytes], first: int, name: str) -> list[dict[str, Any]]:
    """The JSON objects of some lines, the first of which has the number `first`."""
    if lines[-1].endswith(b"\n"):
        try:
            values = json.loads(b"[" + b",".join(lines) + b"]")
        except (ValueError, RecursionError):
            values = []
        if len(values) == len(lines) and all(isinstance(value, dict) for value in values):
            return values  # type: ignore[no-any-return]
    return [_object(line, number, name) for number, line in enumerate(lines, first)]


def _object(line: bytes, number: int, name: str) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise BadRecord(f"{name}: the last line is cut off", hint=_REPAIR)
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # JSON and Unicode errors alike
        value = None
    if not isinstance(value, dict):
        raise BadRecord(f"{name}, line {number}: not a JSON object", hint=_REPAIR)
    return value


def _file(entry: dict[str, Any], number: int, name: str) -> File:
    get: Callable[[str], Any] = entry.get
    path, size, digest, etag, made_from = get("path"), get("size"), get("digest"), get("etag"), get("made_from")
    usual = type(path) is type(digest) is str and type(size) is int and (etag is None or type(etag) is str)
    usual = usual and (made_from is None or type(made_from) is str)
    if usual and path and size >= 0 and digest.startswith("sha256:"):
        return File(path, size, digest, None, etag, None, made_from)
    sound = (
        isinstance(path, str)
        and path != ""
        and (size is None or (isinstance(size, int) and size >= 0))
        and (digest is None or (isinstance(digest, str) and algorithm_of(digest) in ALGORITHMS))
        and (etag is None or isinstance(etag, str))
        and (made_from is None or isinstance(made_from, str))
    )
    if not sound:
        raise BadRecord(f"{name}, line {number}: not a file entry", hint=_REPAIR)
    return File(str(path), size, digest, None, etag, None, made_from)
