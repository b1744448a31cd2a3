"""Roads by which the images of Open Images come, each a class of its own; the rest of a download is the same for all.

A road says beforehand what it cannot do, and where the images will come from, then opens a way into a place: what
is on that way is `Singles`, and a road that fetches otherwise than one by one makes its own kind of these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from visprep.engines import Engine
from visprep.errors import UsageError
from visprep.extraction import Extraction
from visprep.image_choice import ImageChoice
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.single_images import Singles
from visprep.sources import Mirror, Selection
from visprep.sources.open_images import OpenImages
from visprep.tables import Tables

__all__ = ["ABOUT", "VIAS", "BucketOptions", "Road", "Site", "road"]

#: What an image in the bucket has, about, in bytes: 12 GiB of validation by its images.
ABOUT = 310_000
#: via -> "module:class"; nothing is imported before it is asked for.
_ROADS: Mapping[str, str] = MappingProxyType(
    {
        "s3": "visprep.roads.addresses:Bucket",
        "http": "visprep.roads.addresses:Web",
        "tar": "visprep.roads.archives:Archives",
        "fiftyone": "visprep.roads.of_fiftyone:FiftyOne",
    }
)
VIAS = tuple(_ROADS)
_ORIGINALS = "visprep.roads.addresses:Originals"


@dataclass(frozen=True, slots=True)
class BucketOptions:
    """How Open Images is brought.

    `via` is the road of the images, one of `VIAS`. With `original` they come from where their authors put them, and are
    held against the MD5 of that time. `mirrors` are used in place of the known addresses: below each lie
    `openimages/` and `open-images-dataset/`. `may_replace` allows files of others to be replaced. `checksums`
    are those of archives by name and algorithm, in place of the recorded ones. FiftyOne is given up when it brought no
    image for `patience` seconds. `engine` fetches the images, for `ray` on the cluster at `ray_address`.
    """

    via: str = "s3"
    original: bool = False
    mirrors: tuple[Mirror, ...] = ()
    s3: S3Settings | None = None
    may_replace: bool = False
    dry_run: bool = False
    jobs: int | None = None
    checksums: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    patience: float = 600.0
    engine: str | Engine = "local"
    ray_address: str | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """What a road leads to: the place, by its extraction, with the images that were chosen and upstream's tables.

    `heard` is told of bytes as they come, and `engine` is what fetches.
    """

    extraction: Extraction
    choice: ImageChoice
    tables: Tables
    heard: Callable[[str, int], None]
    engine: Engine


class Road(Protocol):
    """One way for images to come; `to_any_place` says whether it leads to S3 too, not only to a directory."""

    to_any_place: bool

    @property
    def places(self) -> list[str] | str:
        """Where the images come from, for `dataset.json`."""
        ...

    def check(self, selection: Selection) -> None:
        """UsageError for a selection that cannot come this way, MissingExtra without what it needs; nothing is read."""
        ...

    def files(self, site: Site) -> Iterator[File]:
        """The files of the images that were chosen, with the size and digest that are known of each beforehand."""
        ...

    def open(self, site: Site) -> Singles:
        """What brings them: told what is wanted by `want`, it has `bytes`, and `fetch` gives what did not come."""
        ...


def road(source: OpenImages, options: BucketOptions) -> Road:
    """The road that is asked for; UsageError when there is none."""
    if options.via not in VIAS:
        raise UsageError(f"--via {options.via}: no such road", hint=f"it is one of: {', '.join(VIAS)}")
    if options.original and options.via != "http":
        raise UsageError("--original goes with --via http: the originals are in no bucket", hint="add --via http")
    module, _, name = (_ORIGINALS if options.original else _ROADS[options.via]).partition(":")
    made: Callable[[OpenImages, BucketOptions], Road] = getattr(importlib.import_module(module), name)
    return made(source, options)
