"""Metadata that others read: what a place holds and where it comes from, as plain data, before anyone's format.

`contents` and the files beside it find out what there is; `provenance_facts` tells what the place's own record says;
`croissant` and `hf_card` write both down. What nobody tells is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from visprep.provenance import Step


@dataclass(frozen=True, slots=True)
class Document:
    """One file that is named by itself: its path in the place, size in bytes, and sha256 in hexadecimal digits.

    Several may be about one file: a reader reads each of them in one way.
    """

    id: str
    path: str
    media_type: str
    size: int
    sha256: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Files of one meaning: those whose path fits one of the glob patterns, how many, and their bytes."""

    id: str
    patterns: tuple[str, ...]
    media_types: tuple[str, ...]
    files: int
    bytes: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a table.

    `type` is the name that Croissant has for it (`sc:Text`). `extract` says what of the source it is: a JSON path, a
    property of a file, or a column; `transform` what becomes of that, and `form` how it is written. `many` says that
    it is a list.
    """

    name: str
    type: str
    extract: Mapping[str, str]
    transform: Mapping[str, str] | None = None
    description: str = ""
    form: str | None = None
    many: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Records of one kind: `source` is the id of the document or the files that they are read from."""

    id: str
    source: str
    of_group: bool
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Split:
    """A split: its name, how many records it has, and annotations, None where records have none."""

    name: str
    records: int
    annotations: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a place holds.

    `unit` is what a record is called, several of them. `classes` are classes, domains, difficulties or games, each with
    its annotations, or with its records where these have none. `holds` are what records have (`boxes`, `masks`,
    `keypoints`, `captions`, `prompts`, `videos`, ...). `loadable` are the files that the library `datasets` can load,
    as a pattern for each split, and `loader` is what these are: `parquet`, `images` or `webdataset`. `notes` are
    sentences on what could not be described, `untyped` on what Croissant has no types for.
    """

    kind: str
    unit: str
    documents: tuple[Document, ...] = ()
    groups: tuple[FileGroup, ...] = ()
    tables: tuple[Table, ...] = ()
    splits: tuple[Split, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    holds: frozenset[str] = frozenset()
    licenses: Mapping[str, int] = field(default_factory=dict)
    loadable: tuple[tuple[str, str], ...] = ()
    loader: str = ""
    files: int = 0
    bytes: int = 0
    notes: tuple[str, ...] = ()
    untyped: tuple[str, ...] = ()

    @property
    def records(self) -> int:
        """The records of all splits."""
        return sum(split.records for split in self.splits)

    @property
    def annotations(self) -> int | None:
        """The annotations of all splits, None where records have none."""
        counts = [split.annotations for split in self.splits if split.annotations is not None]
        return sum(counts) if counts else None


@dataclass(frozen=True, slots=True)
class Origins:
    """What is known of where a place comes from.

    `title` and `home` are those of the one source that it was downloaded from; `license` is as it was recorded.
    `created` and `changed` are the dates of the first and the last step, ISO 8601 in UTC. `digest` is that of the
    list of the files.
    """

    name: str
    steps: tuple[Step, ...] = ()
    title: str | None = None
    home: str | None = None
    license: str | None = None
    created: str | None = None
    changed: str | None = None
    digest: str | None = None


__all__ = ["Column", "Contents", "Document", "FileGroup", "Origins", "Split", "Table"]
