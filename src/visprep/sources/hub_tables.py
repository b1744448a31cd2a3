"""Datasets of the Hugging Face hub as it lays them out: which files are whose split, and what stands in their cells.

A dataset has configs, a config has splits, and a split is a list of files. The card (README.md) may say which; where
it does not, names of files and directories do.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from visprep.errors import SourceError, SourceMissing
from visprep.formats import tasks
from visprep.sources.patterns import PARQUET, is_pattern, matches, matching

#: The config of a dataset that speaks of none.
DEFAULT = "default"
#: The branch on which the hub keeps its own copy of a dataset as parquet.
CONVERTED = "refs/convert/parquet"


# What the card says


@dataclass(frozen=True, slots=True)
class CardConfig:
    """One config of a card: its name, the directory that its files are in, and its `data_files` as they stand there."""

    name: str
    folder: str
    data_files: Any
    default: bool

    def patterns(self, repository: str) -> Iterator[tuple[str | None, str]]:
        """Each path or pattern from the root of the repository, with its split where one is named.

        The card may give a path, a pattern, a list of them, a list of splits with their paths, or a mapping from split
        to path (huggingface.co/docs/hub/datasets-manual-configuration).
        """
        for number, (split, path) in enumerate(_paths(self.data_files, repository)):
            if number == _MOST:
                raise SourceError(f"the card of {repository} lists too many data files", hint="pin another --revision")
            yield split, f"{self.folder}/{path}" if self.folder else path


def configs_of(card: Mapping[str, Any]) -> list[CardConfig]:
    """The configs of a card, in its order."""
    listed = card.get("configs")
    return [
        CardConfig(
            _scalar(entry["config_name"]),
            _scalar(entry.get("data_dir")).removeprefix("./").strip("/"),
            entry.get("data_files"),
            bool(entry.get("default")),
        )
        for entry in (listed if isinstance(listed, list) else ())
        if isinstance(entry, dict) and _scalar(entry.get("config_name"))
    ]


def _scalar(value: Any) -> str:
    """A text or number of a card as text; empty for anything else, whose text could be of any length."""
    return str(value) if isinstance(value, str | int | float) and value is not False else ""


#: Lists and mappings in one another below `data_files`, and paths in all: YAML can name itself, and so never end.
_DEEPEST, _MOST = 6, 100_000


def _paths(value: Any, repository: str, split: str | None = None, depth: int = 0) -> Iterator[tuple[str | None, str]]:
    if depth > _DEEPEST:
        raise SourceError(f"the card of {repository} lists data files without an end", hint="pin another --revision")
    if isinstance(value, str):
        yield split, value.removeprefix("./")
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one, repository, split, depth + 1)
    elif isinstance(value, dict) and "path" in value:
        named = _scalar(value["split"]) if "split" in value else split
        yield from _paths(value["path"], repository, named, depth + 1)
    elif isinstance(value, dict):
        for name, paths in value.items():
            yield from _paths(paths, repository, _scalar(name), depth + 1)
    elif value is not None:
        raise SourceError(f"the card of {repository} lists {value!r} as a data file", hint="pin another --revision")


# What names say. As the `datasets` library decides it (its data_files.py, 5.2).

_KEYWORDS: Mapping[str, str] = MappingProxyType(
    {"train": "train|training", "validation": "validation|valid|dev|val", "test": "test|testing|eval|evaluation"}
)
_BREAK = "[-._ 0-9]"
_SHARD = re.compile(r"data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*")


def conventional(paths: Iterable[str], folder: str = "") -> dict[str, list[str]]:
    """The tables among `paths` in `folder`, by split, where nobody lists them.

    By the first of these that says anything: `data/{split}-00000-of-00001.parquet`, a directory that is called like a
    split, a file that is; else all of it is `train`.
    """
    lead = f"{folder}/" if folder else ""
    inside = (path.removeprefix(lead) for path in paths if path.startswith(lead))
    tables = sorted(path for path in inside if matches(path, f"**/*{PARQUET}"))
    splits = _by_shard(tables) or _by_keyword(tables, folders=True) or _by_keyword(tables, folders=False)
    splits = splits or ({"train": tables} if tables else {})
    return {split: [lead + path for path in found] for split, found in splits.items()}


def _by_shard(tables: Iterable[str]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {}
    for path in tables:
        if found := _SHARD.fullmatch(path):
            splits.setdefault(found[1], []).append(path)
    known = [split for split in _KEYWORDS if split in splits]
    return {split: splits[split] for split in (*known, *sorted(splits.keys() - set(known)))}


def _by_keyword(tables: list[str], *, folders: bool) -> dict[str, list[str]]:
    splits = {}
    for split, words in _KEYWORDS.items():
        called = re.compile(rf"(?:.*{_BREAK})?(?:{words})(?:{_BREAK}.*)" + ("?" if folders else ""))
        splits[split] = [path for path in tables if any(called.fullmatch(part) for part in _parts(path, folders))]
    return {split: found for split, found in splits.items() if found}


def _parts(path: str, folders: bool) -> list[str]:
    *above, name = path.split("/")
    return above if folders else [name]


def converted(paths: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The tables of the hub's own copy of a dataset as parquet, by config and split: `{config}/{split}/0000.parquet`.

    That copy is the branch `refs/convert/parquet` (huggingface.co/docs/dataset-viewer/parquet). A split that it holds
    only the beginning of is called `partial-{split}` there, and here. Empty when some table lies elsewhere.
    """
    configs: dict[str, dict[str, list[str]]] = {}
    for path in sorted(path for path in paths if path.endswith(PARQUET)):
        if not re.fullmatch(r"[^/]+/[^/]+/\d{4,}\.parquet", path):
            return {}
        config, split, _ = path.split("/")
        configs.setdefault(config, {}).setdefault(split, []).append(path)
    return configs


class Listing:
    """The configs of the dataset `source`, and the paths of their tables; made of its card and its files."""

    def __init__(self, source: str, card: Mapping[str, Any], files: Collection[str], revision: str | None) -> None:
        self._source, self._files, self._revision = source, files, revision
        self._configs = {config.name: config for config in configs_of(card)}
        # Of a commit nobody knows the branch; but the copy has no card, and all else on the hub does.
        is_copy = revision == CONVERTED or "README.md" not in files
        self._copies = converted(files) if is_copy and not self._configs else {}

    @property
    def names(self) -> tuple[str, ...]:
        """The configs."""
        return tuple(self._copies or self._configs or (DEFAULT,))

    @property
    def default(self) -> tuple[str, ...]:
        """The config that is meant where none is named, alone; empty when that is not said."""
        marked = (name for name, config in self._configs.items() if config.default)
        called = (name for name in self.names if name == DEFAULT)
        return self.names if len(self.names) == 1 else tuple([*marked, *called][:1])

    def tables(self, name: str) -> dict[str, list[str]]:
        """The paths of a config's tables by split; SourceError when it has none, SourceMissing for one not there."""
        config = self._configs.get(name)
        if name in self._copies:
            splits = self._copies[name]
        elif config is None or config.data_files is None:
            splits = conventional(self._files, config.folder if config else "")
        else:
            splits = self._listed(config)
        if not splits:
            raise self._no_parquet(name)
        return splits

    def _listed(self, config: CardConfig) -> dict[str, list[str]]:
        splits: dict[str, list[str]] = {}
        for split, pattern in config.patterns(self._source):
            paths = sorted(matching(self._files, pattern))
            if not paths and not is_pattern(pattern):
                raise SourceMissing(
                    f"the card of {self._source} lists {pattern} as data of {config.name}, which is not there",
                    hint="choose other configs with --config, or another commit with --revision",
                )
            tables = splits.setdefault(split or "train", [])
            tables += [path for path in paths if path.endswith(PARQUET) and path not in tables]
        return {split: tables for split, tables in splits.items() if tables}

    def _no_parquet(self, config: str) -> SourceError:
        """What to say of files that we cannot read."""
        data = [path for path in self._files if path not in ("README.md", ".gitattributes")]
        kinds = Counter(PurePosixPath(path).suffix.lower() or "without a suffix" for path in data)
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
        where = f" for the config {config}" if len(self.names) > 1 else ""
        return SourceError(
            f"{self._source} has no parquet files{where}; what it has: {said or 'nothing but its card'}",
            hint=f"the hub itself may keep a copy as parquet: try --revision {CONVERTED}"
            if self._revision != CONVERTED
            else None,
        )


# What stands in cells


def text_of(cell: Any) -> str:
    """A cell as text, empty when there is nothing to see in it."""
    return "" if cell is None else str(cell).strip()


def bytes_of(cell: Any) -> bytes | None:
    """The bytes in a cell: bytes, `{"bytes", "path"}`, or text in base64, as a `data:` URL too.

    None when it holds none, or only the name of a file elsewhere.
    """
    data = cell.get("bytes") if isinstance(cell, Mapping) else cell
    if isinstance(data, str):
        data = _from_base64(data)
    return bytes(data) if isinstance(data, bytes | bytearray | memoryview) and len(data) else None


def _from_base64(text: str) -> bytes | None:
    encoded = "".join((text.partition(",")[2] if text.startswith("data:") else text).split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


class Names:
    """Gives every row of one config and split a domain and an id that no other of its rows has.

    The id is `lead` and what upstream calls the row, made safe by `segment`; `row{n:05d}` where upstream calls it
    nothing. Where both occur a second time, `-row{n:05d}` is appended to the later one; names that differ only in case
    count as one, since many disks take them for one. `n` is the number of the row within its config and split, from 0,
    over all shards and all rows, skipped ones too: so a name depends on the row and on those before it, never on a
    limit or on which other configs were asked for.
    """

    def __init__(self, lead: str) -> None:
        self._lead = lead
        self._taken: set[tuple[str, str]] = set()

    def take(self, domain: str, given: str, number: int) -> tuple[str, str]:
        """Domain and id of row `number`, which upstream calls `given`."""
        domain = tasks.segment(domain)
        name = f"{self._lead}{tasks.segment(given) if given else f'row{number:05d}'}"
        while (key := (domain.casefold(), name.casefold())) in self._taken:
            name += f"-row{number:05d}"
        self._taken.add(key)
        return domain, name
