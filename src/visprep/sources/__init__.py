"""Sources: the datasets upstream. A source tells what there is and how to read it; it moves nothing and prints nothing.

A new source costs one file with a class that satisfies `Source`, one row in `BUILTIN` or an entry point of the group
`visprep.sources` in another package, and one test class (docs/adding-a-source.md).
"""

from __future__ import annotations

import fnmatch
import importlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from visprep.errors import UnknownName, UsageError, VisprepError, close_to, did_you_mean
from visprep.manifest import File
from visprep.records import Files, Record, Skipped, Task
from visprep.sources import plugins
from visprep.stores import Store

#: name -> "module:class", sorted; nothing is imported before it is asked for. A name with a colon stands for a family:
#: what is typed in the place of the capitals is what the class is called with.
BUILTIN: Mapping[str, str] = MappingProxyType(
    {
        "coco": "visprep.sources.coco:Coco",
        "hf:ORG/NAME": "visprep.sources.hf:HubDataset",
        "open-images": "visprep.sources.open_images:OpenImages",
        "sample": "visprep.sources.sample:Sample",
        "videothinkbench": "visprep.sources.videothinkbench:VideoThinkBench",
    }
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a source is asked for; empty tuples and None mean: the source's default.

    `limit` counts the records written of each split; `layout` names the files that a task must have; `columns` says
    which column fills which field, for sources that are `Mappable`. `labels` are the kinds of annotations, for sources
    that are `Archived`; of these `classes`, `ids`, `licenses` and `limit`, drawn by `seed`, choose images, and
    `only_matching` leaves out the annotations of other classes. `images` are those of a source that knows them by
    names, by split, and `expand_hierarchy` takes the kinds of `classes` for these too.
    """

    splits: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    limit: int | None = None
    revision: str | None = None
    layout: str = "template"
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    ids: tuple[int, ...] | None = None
    seed: int | None = None
    licenses: tuple[int, ...] = ()
    only_matching: bool = False
    images: Mapping[str, tuple[str, ...]] | None = None
    expand_hierarchy: bool = False

    @property
    def chooses(self) -> bool:
        """Whether only some images of a split are asked for."""
        chosen = self.limit is not None or self.ids is not None or self.images is not None
        return chosen or bool(self.classes or self.licenses)


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip file upstream: its path at a mirror, its size and digests (algorithm -> hex) as they are recorded.

    `wanted` are patterns (`val2017/*`) of the files in it that are asked for, and `paths` their very names; all are
    where neither says any. The files of a zip within it count as lying in the directory that this zip lies in. At the
    target they lie below `folder`.
    """

    path: str
    size: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    paths: frozenset[str] = frozenset()
    folder: str = ""

    @property
    def name(self) -> str:
        """The last part of the path, without `.zip`."""
        return self.path.rpartition("/")[2].removesuffix(".zip")

    def only(self, patterns: Iterable[str]) -> Archive:
        """The same archive, of which these files are asked for."""
        return replace(self, wanted=tuple(patterns))

    def just(self, paths: Iterable[str]) -> Archive:
        """The same archive, of which the files of these names are asked for."""
        return replace(self, wanted=(), paths=frozenset(paths))

    def wants(self, path: str) -> bool:
        """Whether a file in it is asked for."""
        if path in self.paths or not (self.paths or self.wanted):
            return True
        return any(fnmatch.fnmatchcase(path, pattern) for pattern in self.wanted)


@dataclass(frozen=True, slots=True)
class Labelling:
    """The annotations of one kind of one split: the archive they lie in, the path of their JSON file in it.

    `masks` is the directory of the images that belong to them, PNG and called like the images, where there are such.
    """

    label: str
    split: str
    archive: Archive
    document: str
    masks: str | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A web address below which the archives lie; `flat`: without their folders; `loose`: the single files as well."""

    url: str
    flat: bool = False
    loose: bool = True

    def path(self, archive: Archive) -> str:
        """Where it has an archive."""
        return archive.path.rpartition("/")[2] if self.flat else archive.path


@dataclass(frozen=True, slots=True)
class Shard:
    """One upstream file with the split and config whose rows it holds."""

    file: File
    split: str
    config: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """A selection made definite.

    `store` holds the shards (None when the source draws its records), `shards` come in upstream's order, and
    `revision` is the one that was found, as upstream names it. `splits`, `columns` (field -> column) and `license` are
    for sources that learn these only here. `kind` is what its records are called, several of them.
    """

    store: Store | None = None
    shards: tuple[Shard, ...] = ()
    revision: str | None = None
    splits: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None
    kind: str = "tasks"


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What a table's footer tells: the names of its columns and the number of its rows."""

    columns: tuple[str, ...]
    rows: int


class Access(Protocol):
    """How a source gets at the content of its shards; the verb that asks supplies it, with caching and limits."""

    def schema(self, shard: Shard) -> TableSchema:
        """The columns and row count of a shard, read from its footer alone."""
        ...

    def rows(self, shard: Shard) -> Iterator[Mapping[str, Any]]:
        """The rows of a shard in order, fetched as they are pulled; an image is `{"bytes": ..., "path": ...}`."""
        ...


class Source(Protocol):
    """What a dataset must tell. `counts` gives the records of each split where they are known."""

    name: str
    title: str
    license: str
    home: str
    splits: tuple[str, ...]
    default_splits: tuple[str, ...]
    configs: tuple[str, ...]
    counts: Mapping[str, int]

    def resolve(self, selection: Selection) -> Upstream:
        """Find the upstream files of a selection: UnknownName, SourceError, NetworkError when that fails."""
        ...

    def records(self, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Record]:
        """The records of one split in upstream's order, and what had to be skipped."""
        ...


@runtime_checkable
class Archived(Protocol):
    """A source whose files are taken as they are, out of archives; `labels` are its kinds of annotations."""

    name: str
    title: str
    license: str
    home: str
    splits: tuple[str, ...]
    default_splits: tuple[str, ...]
    configs: tuple[str, ...]
    counts: Mapping[str, int]
    labels: tuple[str, ...]
    mirrors: tuple[Mirror, ...]

    def archives(self, selection: Selection) -> tuple[Archive, ...]:
        """The archives that a selection needs, each with what of it is wanted; UnknownName for what there is not."""
        ...

    def labellings(self, selection: Selection) -> tuple[Labelling, ...]:
        """The annotations that a selection asks for, split by split; UnknownName for what there is not."""
        ...

    def images(self, split: str) -> Archive:
        """The archive with the images of a split; they lie in the directory of its name."""
        ...


@runtime_checkable
class Mappable(Protocol):
    """A source that takes any table: `fields` are what a column can be chosen for."""

    fields: tuple[str, ...]


@runtime_checkable
class Varied(Protocol):
    """A source whose configs are datasets of several kinds: `kinds` says of each what its records are called."""

    kinds: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One line of `visprep sources`. `package` brings it; `problem` says why it cannot be used, where it cannot."""

    name: str
    title: str
    license: str
    home: str
    splits: tuple[str, ...]
    configs: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    package: str = "visprep"
    problem: str | None = None


def get(name: str) -> Source:
    """The source of that name, visprep's own before any plug-in's.

    UnknownName, with the nearest names, when there is none; SourceError when a plug-in's cannot be loaded, or when
    several packages bring one.
    """
    kind, colon, rest = name.partition(":")
    for own, place in BUILTIN.items():
        if own.partition(":")[:2] == (kind, colon):
            return _own(own, place, rest)
    plugin = plugins.find(name)
    if plugin is None:
        known = (*BUILTIN, *(plugin.name for plugin in plugins.found()))
        here = f"to copy the directory here, write ./{name}" if name and Path(name).is_dir() else ""
        raise UnknownName(f"there is no source {name!r}", hint=here or did_you_mean(name, known))
    loaded: Source = plugin.load()
    return loaded


def _own(name: str, place: str, rest: str) -> Source:
    module, _, attribute = place.partition(":")
    made = getattr(importlib.import_module(module), attribute)
    if ":" in name and not rest:
        raise UsageError(f"{name.partition(':')[0]}: names no dataset", hint=f"name one, as in {name}")
    source: Source = made(rest) if ":" in name else made()
    return source


def package_of(name: str) -> str | None:
    """The distribution that brings the source of that name, None for visprep's own."""
    plugin = plugins.find(name) if name not in BUILTIN and ":" not in name else None
    return plugin.package if plugin else None


def resolve(source: Source, selection: Selection) -> Upstream:
    """`Source.resolve`; SourceError, naming the package, when a plug-in's fails otherwise than it may."""
    with _watched(source.name):
        upstream = source.resolve(selection)
        if not isinstance(upstream, Upstream):
            raise TypeError(f"resolve gave a {type(upstream).__name__}, which is no visprep.sources.Upstream")
    return upstream


def records(source: Source, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Record]:
    """`Source.records`; SourceError, naming the package, when a plug-in's fails otherwise than it may."""
    with _watched(source.name):
        given = iter(source.records(upstream, split, selection, access))
    while True:
        with _watched(source.name):
            record = next(given, None)
            if record is None:
                return
            _check_record(record)
        yield record


@contextmanager
def _watched(name: str) -> Iterator[None]:
    """Whatever else than an error of ours comes out of the block is the fault of the plug-in of that name."""
    try:
        yield
    except VisprepError:
        raise
    except (Exception, SystemExit) as error:
        plugin = plugins.find(name) if package_of(name) else None
        if plugin is None:
            raise
        raise plugin.failed(error) from error


#: What a task must be made of, where that is not its own class's business.
_PARTS: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        **dict.fromkeys(("domain", "id", "prompt", "video_suffix"), (str,)),
        "first_frame": (bytes,),
        **dict.fromkeys(("final_frame", "ground_truth"), (bytes, type(None))),
        "metadata": (Mapping,),
    }
)


def _check_record(record: Any) -> None:
    """TypeError, in words, for what is no record and not Skipped, or is made of the wrong things."""
    if isinstance(record, Skipped):
        parts: Mapping[str, tuple[type, ...]] = {"reason": (str,), "count": (int,)}
    elif isinstance(record, Files):
        parts = {"key": (str,), "files": (Mapping,)}
    elif isinstance(record, Task):
        parts = _PARTS
    else:
        raise TypeError(f"records gave a {type(record).__name__}, which is neither a Task nor Skipped")
    for part, kinds in parts.items():
        value = getattr(record, part)
        if not isinstance(value, kinds):
            wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
            raise TypeError(f"{part} of a {type(record).__name__} is a {type(value).__name__}, not {wanted}")
    if isinstance(record, Files) and not all(isinstance(data, bytes) for data in record.files.values()):
        raise TypeError(f"a file of {record.key} is no bytes")


def check_names(kind: str, asked: tuple[str, ...], known: tuple[str, ...], source: str) -> None:
    """UnknownName for the first of `asked` that is not `known`: "there is no split 'train' in videothinkbench"."""
    for name in asked:
        if name not in known:
            meant = close_to(name, known)
            there = f"it has: {', '.join(known)}" if known else f"{source} has no {kind}s"
            hint = f"did you mean {meant}? {there}" if meant else there
            raise UnknownName(f"there is no {kind} {name!r} in {source}", hint=hint)
