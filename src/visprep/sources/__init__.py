"""Sources: the datasets upstream. A source tells what there is and how to read it; it moves nothing and prints nothing.

A new source costs one file with a class that satisfies `Source`, one row in `BUILTIN`, and one test class.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from visprep.errors import UnknownName
from visprep.manifest import File
from visprep.records import Skipped, Task
from visprep.stores import Store

#: name -> "module:class", sorted; nothing is imported before it is asked for.
BUILTIN: Mapping[str, str] = MappingProxyType(
    {
        "sample": "visprep.sources.sample:Sample",
        "videothinkbench": "visprep.sources.videothinkbench:VideoThinkBench",
    }
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a source is asked for; empty tuples and None mean: the source's default.

    `limit` counts the records written of each split; `layout` names the files that a task must have.
    """

    splits: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    limit: int | None = None
    revision: str | None = None
    layout: str = "template"


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
    `revision` is the one that was found, as upstream names it.
    """

    store: Store | None = None
    shards: tuple[Shard, ...] = ()
    revision: str | None = None


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

    def records(self, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Task | Skipped]:
        """The records of one split in upstream's order, and what had to be skipped."""
        ...


@dataclass(frozen=True, slots=True)
class SourceSummary:
    """One line of `visprep sources`."""

    name: str
    title: str
    license: str
    home: str
    splits: tuple[str, ...]
    configs: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)


def get(name: str) -> Source:
    """The source of that name; UnknownName, with the nearest names, when there is none."""
    if name not in BUILTIN:
        raise UnknownName(f"there is no source {name!r}", hint=nearest(name, tuple(BUILTIN)))
    module, _, attribute = BUILTIN[name].partition(":")
    source: Source = getattr(importlib.import_module(module), attribute)()
    return source


def check_names(kind: str, asked: tuple[str, ...], known: tuple[str, ...], source: str) -> None:
    """UnknownName for the first of `asked` that is not `known`: "there is no split 'train' in videothinkbench"."""
    for name in asked:
        if name not in known:
            hint = f"it has: {', '.join(known)}" if known else f"{source} has no {kind}s"
            raise UnknownName(f"there is no {kind} {name!r} in {source}", hint=hint)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """A hint that names what was probably meant, else all there is."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
