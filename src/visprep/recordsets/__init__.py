"""Record sets: what can be split, whatever its files look like.

A record is an image with its annotations, a task, a triplet, or an episode of frames. A record set knows the names of
its records, their classes, and how parts of it are written; who goes to which part is decided elsewhere (`partition`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from visprep.engines import Engine
from visprep.findings import Finding
from visprep.manifest import File
from visprep.progress import OnProgress, unheard
from visprep.settings import S3Settings
from visprep.stores import Store

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

#: How the records of a part are written.
HOW = ("ids", "links", "copies")
#: Why an annotation is in no part whose image is left out.
GONE = "image-left-out"


@dataclass(frozen=True, slots=True)
class Input:
    """What records were read from: a file or a directory, as it was named.

    `digest` is that of a file (`sha256:hex`), and of a directory that of the names of its records. `records` are those
    in it, `images` says where its pictures are, None when they are not known to be anywhere. Inputs of one `label` tell
    of the same records. `directory` is what names of pictures gain where they come to stand with those of other inputs.
    """

    path: str
    digest: str
    records: int
    images: str | None = None
    label: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """A file that a part is written as.

    Its bytes are those of `chunks`, or of a file of a store, which is to be linked or copied.
    """

    path: str
    part: str
    records: int
    chunks: Callable[[], Iterator[bytes]] | None = None
    source: tuple[Store, File] | None = None


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is at fault in a record set, by the errors that verify finds.

    `records` are the numbers of the records that must go, each with the code of the first error about it.
    `annotations` are single annotations that were dropped: the file, the id where there is one, and the code.
    `blameless` are the errors that no record can be blamed for: leaving out records does not mend them.
    """

    records: Mapping[int, str] = field(default_factory=dict)
    annotations: Sequence[tuple[str, int | None, str]] = ()
    blameless: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stands: the file or place, as it was named, and of an image its row in the file, and its id."""

    file: str
    row: int | None = None
    image_id: int | None = None


class RecordSet(Protocol):
    """The records of one or several inputs. Records are numbered from 0, in the order of the inputs."""

    #: `coco`, `tasks`, `vton`, `frames` or `images`
    kind: str

    @property
    def keys(self) -> tuple[str, ...]:
        """A name for each record, which it keeps while others come and go; '' for one without.

        Whether no two are the same is for the reader of these to see: cleaning may leave out one of two.
        """

    @property
    def names(self) -> tuple[str, ...]:
        """What each record is called among those of its own input: its key, less what tells inputs apart.

        It stays what it is when an input is added that has a record of that name too; the key may not.
        """

    @property
    def labels(self) -> Sequence[str]:
        """Of each record the label of its input, with which its key begins where the names of two inputs clash."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, each once."""

    @property
    def having(self) -> Ints:
        """Which record has which class: pairs of numbers, of shape (m, 2), each once, sorted."""

    @property
    def parts(self) -> tuple[str | None, ...]:
        """The part that each record is in upstream, or by its directory (train/, val/, test/); None for none."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What the records were read from."""

    def values(self, field: str) -> tuple[str | None, ...]:
        """What each record says in a field, as text; None where it does not, or says an empty text.

        UsageError, with the nearest names there are, when no record has the field.
        """

    def images(self) -> Iterator[tuple[int, Store, File]]:
        """The pictures by which each record is recognized, with its number; those that are there."""

    def clean(
        self, *, jobs: int | None = None, engine: Engine | None = None, progress: OnProgress = unheard
    ) -> Cleaning:
        """Look for all that verify calls an error, without its limits on how much is told; an `engine` looks at images.

        The annotations at fault are left out of the set from then on, `having` included. The records at fault are not:
        leave them out of all parts. Annotations of such records need not be among those that are told.
        """

    def empty(self) -> Mask:
        """Which records have no annotation; none, where records are no images with annotations."""

    def origin(self, number: int) -> Origin:
        """Where a record stands; of several files the first."""

    def lost(self, gone: Collection[int] = ()) -> Sequence[tuple[str, int | None, str]]:
        """Annotations that are in no part, for they belong to no record, or to one of `gone`.

        Told are the file, the id where there is one, and why: a code, or `GONE`. Those that cleaning dropped are not
        among them.
        """

    def outputs(self, members: Mapping[str, Mask], name: str | None, how: str) -> Iterator[Output]:
        """How the members of each part are written, in the order of parts; paths are below the output place.

        UsageError when this kind of records cannot be written so.
        """


def read_recordset(places: Sequence[str], s3: S3Settings | None = None, layout: str | None = None) -> RecordSet:
    """The records of some places or files, whose kind is guessed as verify does.

    `layout` names the files that a task must have not to be cleaned away; without it, it is the one that a place was
    downloaded in, else `template`.

    UnknownContent when there are no records that can be split, UnsafePath when some have names that cannot be listed,
    or are behind a symbolic link to a directory, UsageError when the places hold records of different
    kinds, or several were named that cannot be one set; WrongContent for a file that cannot be read as what it is.
    """
    from visprep.recordsets.reading import read_places

    return read_places(places, s3, layout)


__all__ = ["GONE", "HOW", "Cleaning", "Input", "Ints", "Mask", "Origin", "Output", "RecordSet", "read_recordset"]
