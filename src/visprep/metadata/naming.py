"""Names in metadata: ids that are safe in JSON-LD, glob patterns that mean one directory, and types of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from visprep.manifest import File
from visprep.metadata import FileGroup

#: How the names of files end -> what they are.
MEDIA_TYPES = {
    "avi": "video/x-msvideo",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "gif": "image/gif",
    "jpe": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "jsonl": "application/jsonlines",
    "md": "text/markdown",
    "mp4": "video/mp4",
    "parquet": "application/x-parquet",
    "png": "image/png",
    "tar": "application/x-tar",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "webp": "image/webp",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
    "zip": "application/zip",
}
UNKNOWN_TYPE = "application/octet-stream"


class Ids:
    """Ids, each given once."""

    def __init__(self) -> None:
        self._given: Counter[str] = Counter()

    def of(self, text: str) -> str:
        """An id that reads as `text`: letters, digits, `.`, `_` and `-`, with a number where it was given before."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-") or "files"
        name = plain
        while self._given[name]:
            self._given[plain] += 1
            name = f"{plain}-{self._given[plain]}"
        self._given[name] += 1
        return name


def suffix(path: str) -> str:
    """How the name of a file ends, with its dot, as it is written; nothing where there is no dot."""
    name = path.rpartition("/")[2]
    stem, dot, end = name.rpartition(".")
    return dot + end if stem else ""


def media_type(path: str) -> str:
    """What a file is, by its name."""
    return MEDIA_TYPES.get(suffix(path)[1:].lower(), UNKNOWN_TYPE)


def literal(text: str) -> str:
    """A glob pattern that fits nothing but `text`."""
    return re.sub(r"([*?[])", r"[\1]", text)


def below(directory: str, end: str) -> str:
    """A glob pattern for what lies below a directory, however deep, and ends so; the place itself is the empty path.

    Below the place itself nothing is meant that begins with a dot: visprep's own record.
    """
    return f"{literal(directory)}/*{literal(end)}" if directory else f"[!.]*{literal(end)}"


def group_below(id: str, directory: str, files: Iterable[File], description: str) -> FileGroup:
    """These files below a directory as a group."""
    held = list(files)
    ends = sorted({suffix(file.path) for file in held})
    return group(id, tuple(below(directory, end) for end in ends), held, description)


def group(id: str, patterns: tuple[str, ...], files: Iterable[File], description: str) -> FileGroup:
    """These files, which fit some patterns, as a group; the type that most of them have comes first."""
    held = list(files)
    types = Counter(media_type(file.path) for file in held).most_common()
    return FileGroup(
        id, patterns, tuple(name for name, _ in types), len(held), sum(file.size or 0 for file in held), description
    )
