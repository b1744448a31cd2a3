"""Statistics of a place, as plain data: what `stats` counts, and what the terminal, JSON and the report page show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many of each: `labels` and `counts` are of one length, in the order in which they are to be shown.

    `name` is a stable slug (`boxes-per-image`), `unit` says what is counted (`images`, `boxes`, `prompts`). `sampled`
    says that only the images of a sample were counted; `note` is a sentence on how the bars were cut, or empty.
    """

    name: str
    title: str
    unit: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    sampled: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class SplitStats:
    """One split or part: its name ("" where a place has none), records, annotations, and the records without any.

    `annotations` and `empty` are None for kinds of records that have none.
    """

    name: str
    records: int
    annotations: int | None = None
    empty: int | None = None


@dataclass(frozen=True, slots=True)
class ClassStats:
    """A class, a domain, a difficulty or a game: the records that have it, and annotations of it, None without such."""

    name: str
    records: int
    annotations: int | None = None


@dataclass(frozen=True, slots=True)
class TextCount:
    """A text, and how often it is there."""

    text: str
    count: int


@dataclass(frozen=True, slots=True)
class PromptStats:
    """Prompts or captions: `unit` says which. Lengths are in characters, without white space at the ends.

    `different` counts texts that are not the same; `frequent` are those that come more than once, the most frequent
    first, ten at the most.
    """

    unit: str
    count: int
    different: int
    shortest: int
    median: int
    longest: int
    frequent: tuple[TextCount, ...] = ()


@dataclass(frozen=True, slots=True)
class SizeStats:
    """Width and height of images in pixels: from `annotations`, their `headers`, or as the `sample` has them.

    `common` are the most frequent sizes (`640 x 480`), eight at the most; `different` is how many there are in all.
    """

    known_from: str
    count: int
    different: int
    common: tuple[TextCount, ...]
    smallest: tuple[int, int]
    median: tuple[int, int]
    largest: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SampleStats:
    """The images whose pixels were looked at: `looked` of `images`, drawn by `seed`; `unread` of them do not decode.

    `brightness` is the mean luma of each image: the least, the median and the greatest, of 0 (black) to 255; None where
    no image decoded. `copies` are images with the very pixels of another one of the sample, `alike` those that look
    like another one, copies included.
    """

    images: int
    looked: int
    unread: int
    seed: int
    brightness: tuple[int, int, int] | None = None
    copies: int = 0
    alike: int = 0


@dataclass(frozen=True, slots=True)
class CopyStats:
    """Images with the very bytes of another one: `copies` beyond the first, of `compared` images.

    `known_from` says by what they were compared without being read: `manifest` (digests) or `listing` (size and ETag).
    """

    known_from: str
    compared: int
    copies: int


@dataclass(frozen=True, slots=True)
class Stats:
    """What there is at a place.

    `kind` is the format as verify names it, or `images` for plain images, or `files` where a place has a record and
    nothing that is known. `files` and `bytes` are those of the whole place. `unit` is what a record is (`images`,
    `tasks`, `triplets`, `episodes`), and `records` how many there are. `images` counts the pictures of these that are
    there, `absent` those that annotations name and that are not. `incomplete` are tasks and triplets that lack a file
    that they must have, None for other kinds. `annotations` and `empty` are as in `SplitStats`.

    `licenses` counts images by the name of their license; `notes` are sentences on what could not be counted.
    """

    place: str
    kind: str
    files: int
    bytes: int
    unit: str = "files"
    records: int = 0
    images: int = 0
    absent: int = 0
    incomplete: int | None = None
    annotations: int | None = None
    empty: int | None = None
    splits: tuple[SplitStats, ...] = ()
    classes: tuple[ClassStats, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    licenses: Mapping[str, int] = field(default_factory=dict)
    sizes: SizeStats | None = None
    prompts: PromptStats | None = None
    sample: SampleStats | None = None
    copies: CopyStats | None = None
    notes: tuple[str, ...] = ()

    def histogram(self, name: str) -> Histogram | None:
        """The histogram of that name; None where a place has none."""
        return next((one for one in self.histograms if one.name == name), None)


__all__ = [
    "ClassStats",
    "CopyStats",
    "Histogram",
    "PromptStats",
    "SampleStats",
    "SizeStats",
    "SplitStats",
    "Stats",
    "TextCount",
]
