"""What of a dataset goes on a page: which records are shown, their pictures, what is drawn on them, and the facts.

How it looks there is the business of `page`. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from visprep.findings import Finding
from visprep.manifest import File
from visprep.page.payload import Shape, Text
from visprep.stores import Store

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sight:
    """A picture that an item shows: `file` is None where it is not there, and `note` then says why.

    `stated` is the width and height that annotations say it has. By pictures that are `telling` duplicates are found.
    """

    label: str
    store: Store
    file: File | None
    note: str = ""
    stated: Size | None = None
    telling: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """An item before anything of it is read. `texts` are files of text by label, `known` texts that need no reading."""

    number: int
    name: str
    group: str
    kind: Literal["image", "task", "triplet", "episode"]
    store: Store
    sights: tuple[Sight, ...]
    texts: Mapping[str, File] = field(default_factory=dict)
    known: tuple[Text, ...] = ()
    video: File | None = None
    classes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Subject(Protocol):
    """The records of a place, as what can be shown of them; numbered from 0."""

    #: What a record is called, in the plural: `images`, `tasks`, `triplets`, `episodes`
    unit: str
    #: What a group is called: `Split`, `Domain`
    grouped_by: str

    @property
    def count(self) -> int:
        """How many there are."""

    @property
    def names(self) -> Sequence[str]:
        """A name for each."""

    @property
    def groups(self) -> Sequence[str]:
        """The split, part or domain of each."""

    def owner(self, finding: Finding) -> int | None:
        """The record that a finding is about; None where it is about none, or several."""

    def drafts(self, numbers: Sequence[int]) -> Iterable[Draft]:
        """What is to be shown of some records, in their order."""

    def shapes(self, number: int, sizes: Sequence[Size | None]) -> tuple[list[Shape], list[Text]]:
        """What is drawn on the pictures of a record, whose sizes are known now; and the words that came up by that."""
