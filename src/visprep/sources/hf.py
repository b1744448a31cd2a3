"""Any dataset of the Hugging Face hub that has parquet files, as tasks: `hf:ORG/NAME`.

Which column fills which field is said by the selection, or plainly by the columns' names (`visprep.sources.columns`);
a ground truth is taken unasked only of a column of bytes. An image is what the `datasets` library writes (`{"bytes",
"path"}`), bytes, or text in base64, or a list of one of these; a ground truth is an AVI or MP4 video in the same forms.

Which files: those of the asked configs, or of the one that is the default, by the dataset's card; without a card by
the hub's conventions. All splits are taken unless some are asked for.

How a task is named, and stays named:

- domain: the row's `domain`, made safe for a path by `segment`; the dataset's name where there is no such column, or
  nothing in it.
- id: `{config}_{split}_{id}` with the row's `id`, made safe likewise; `{config}_{split}_row{n:05d}` where there is no
  such column, or nothing in it. `{config}_` is left out for the config `default`. `n` is the number of the row within
  its config and split, from 0; where a name occurs a second time, be it in other case, `-row{n:05d}` is appended
  (`hub_tables.Names`).
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from visprep.errors import SourceError, UsageError
from visprep.formats import parquet, tasks
from visprep.records import Skipped, Task
from visprep.sources import Access, Selection, Shard, Upstream, check_names
from visprep.sources.columns import FIELDS, METADATA, check_fields, choose
from visprep.sources.hub_tables import DEFAULT, Listing, Names, bytes_of, text_of
from visprep.stores.hub import HubStore


class HubDataset:
    """The source `hf:ORG/NAME`."""

    title = "Any dataset of the Hugging Face hub that has parquet files"
    license = "see its card"
    splits: tuple[str, ...] = ()
    default_splits: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    counts: Mapping[str, int] = MappingProxyType({})
    fields = (*FIELDS, f"{METADATA}KEY")

    def __init__(self, repo: str) -> None:
        self.repo = repo
        self.name = f"hf:{repo}"
        self.home = f"https://huggingface.co/datasets/{repo}"

    def resolve(self, selection: Selection) -> Upstream:
        """The tables of a selection at a commit, and which column of them is what; reads their footers.

        UnknownName for a config, a split or a column that there is not, UsageError where a choice must be made,
        SourceError when it has no parquet files.
        """
        check_fields(selection.columns)
        store = HubStore(self.repo, selection.revision)
        commit, files = store.commit(), {file.path: file for file in store.list()}
        card = store.card()
        configs = self._configs(Listing(self.name, card, files, selection.revision), selection.configs)
        splits = tuple(dict.fromkeys(split for config in configs.values() for split in config))
        check_names("split", selection.splits, splits, self.name)
        splits = tuple(dict.fromkeys(selection.splits)) or splits
        shards = tuple(
            Shard(files[path], split, name)
            for split in splits
            for name, config in configs.items()
            for path in config.get(split, ())
        )
        heads = _heads(store, shards)
        tables = {path: head.columns for path, head in heads.items()}
        binary = frozenset[str].intersection(*(head.binary for head in heads.values()))
        columns = choose(selection.columns, tables, _needed(selection), self.name, binary)
        return Upstream(store, shards, commit, splits, columns, _license(card))

    def _configs(self, listing: Listing, asked: tuple[str, ...]) -> dict[str, dict[str, list[str]]]:
        """The tables of the wanted configs, by split."""
        check_names("config", asked, tuple(listing.names), self.name)
        wanted = asked or listing.default
        if not wanted:
            raise UsageError(
                f"{self.name} has several configs: {', '.join(listing.names)}",
                hint=f"choose: --config {listing.names[0]}, or several with commas",
            )
        return {name: listing.tables(name) for name in dict.fromkeys(wanted)}

    def records(self, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Task | Skipped]:
        """See `Source.records`. SourceError when a later table of a split lacks a column that the first one has."""
        check_names("split", (split,), upstream.splits, self.name)
        shards = [shard for shard in upstream.shards if shard.split == split]
        for config in dict.fromkeys(shard.config for shard in shards):
            reading = _Reading(self, config, split, upstream, _needed(selection))
            yield from reading.records((shard for shard in shards if shard.config == config), access)


def _needed(selection: Selection) -> tuple[str, ...]:
    final = tasks.FINAL_FRAME in tasks.layout(selection.layout).required
    return ("first_frame", "final_frame", "prompt") if final else ("first_frame", "prompt")


def _heads(store: HubStore, shards: Iterable[Shard]) -> dict[str, parquet.ParquetSchema]:
    """What the footer of the first table of every config and split tells, by its path."""
    first: dict[tuple[str, str], Shard] = {}
    for shard in shards:
        first.setdefault((shard.config, shard.split), shard)
    return {shard.file.path: parquet.schema(parquet.RangedFile(store, shard.file)) for shard in first.values()}


def _license(card: Mapping[str, Any]) -> str | None:
    said = card.get("license")
    names = [name for name in (said if isinstance(said, list) else [said]) if isinstance(name, str)]
    return ", ".join(names) or None


class _Reading:
    """Turns the rows of one config and split into tasks, in one go from the first row on."""

    def __init__(
        self, source: HubDataset, config: str, split: str, upstream: Upstream, needed: tuple[str, ...]
    ) -> None:
        self.source, self.config, self.split, self.needed = source, config, split, needed
        self.columns, self.revision = upstream.columns, upstream.revision
        self.names = Names(f"{split}_" if config == DEFAULT else f"{tasks.segment(config)}_{split}_")

    def records(self, shards: Iterable[Shard], access: Access) -> Iterator[Task | Skipped]:
        start = 0
        for shard in shards:
            table = access.schema(shard)
            missing = [column for column in self.columns.values() if column not in table.columns]
            if missing:
                raise SourceError(
                    f"{shard.file.path} of {self.source.name} has no column {' and no '.join(missing)}, which other "
                    f"tables of the split {self.split!r} have; its columns are: {', '.join(table.columns)}",
                    hint="choose other columns with --map, or another commit with --revision",
                )
            for number, row in enumerate(access.rows(shard), start):
                yield self.record(number, row)
            start += table.rows

    def record(self, number: int, row: Mapping[str, Any]) -> Task | Skipped:
        """A row as a task, or why it cannot be one."""
        cells = {field: _single(row[column]) for field, column in self.columns.items()}
        domain = text_of(cells.get("domain")) or self.source.repo.rpartition("/")[2]
        domain, name = self.names.take(domain, text_of(cells.get("id")), number)
        reason = self.fault(cells)
        if reason:
            return Skipped(f"{self.config}/{self.split} row {number}", reason)
        video = bytes_of(cells.get("ground_truth"))
        return Task(
            domain,
            name,
            cells["prompt"],
            bytes_of(cells["first_frame"]) or b"",
            bytes_of(cells.get("final_frame")),
            video,
            (video and _container(video)) or ".avi",
            self.metadata(number, cells),
        )

    def fault(self, cells: Mapping[str, Any]) -> str | None:
        """Why a row cannot be a task, in the same words for the same cause; None when it can."""
        for field in ("first_frame", "final_frame", "ground_truth"):
            words = field.replace("_", " ")
            cell, data = cells.get(field), bytes_of(cells.get(field))
            if data is None and (reason := _without_bytes(cell)):
                return f"the {words} {reason}"
            if data is None and field in self.needed:
                return f"no {words}"
            if data and field == "ground_truth" and not _container(data):
                return "the ground truth is neither AVI nor MP4"
        if not text_of(cells["prompt"]):
            return "no prompt"
        if not isinstance(cells["prompt"], str):
            return "the prompt is not text"
        unfit = [field for field, cell in cells.items() if field.startswith(METADATA) and not _is_plain(_plain(cell))]
        return f"{unfit[0]} is not text, a number, or a list of these" if unfit else None

    def metadata(self, number: int, cells: Mapping[str, Any]) -> dict[str, Any]:
        """What metadata.json says of a row."""
        where = {
            "source": self.source.name,
            "revision": self.revision,
            "split": self.split,
            "config": self.config,
            "row": number,
        }
        own = {"id": _plain(cells["id"])} if "id" in cells else {}
        asked = {field.removeprefix(METADATA): _plain(cell) for field, cell in cells.items() if field not in FIELDS}
        return where | own | asked


def _single(cell: Any) -> Any:
    """What a list holds that holds one thing: a column of images may be one of lists."""
    return cell[0] if isinstance(cell, list) and len(cell) == 1 else cell


def _without_bytes(cell: Any) -> str | None:
    """What to say of a cell with something in it that is no bytes; None when there is nothing in it."""
    if isinstance(cell, Mapping) and "bytes" in cell:
        return "is only the name of a file" if cell.get("path") and cell["bytes"] is None else None
    if cell is None or (isinstance(cell, bytes | str) and not cell):
        return None
    return "is text, and not base64" if isinstance(cell, str) else "holds neither bytes nor text"


def _container(video: bytes) -> str | None:
    """The suffix of a video's container, by its first bytes; None for one that a task cannot have."""
    if video[:4] == b"RIFF" and video[8:12] == b"AVI ":
        return ".avi"
    return ".mp4" if video[4:8] == b"ftyp" else None


def _plain(cell: Any) -> Any:
    """A cell as JSON can hold it: dates and decimals as text, numbers that are none as null."""
    if isinstance(cell, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(cell)
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    if isinstance(cell, list | tuple):
        return [_plain(one) for one in cell]
    if isinstance(cell, Mapping):
        return {str(key): _plain(one) for key, one in cell.items()}
    return cell


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, str | int | float | bool)
