"""VideoThinkBench: puzzles for video models, from the Hugging Face hub.

How a task is named, and stays named:

- domain: the row's `task`, made safe for a path by `segment`; the config in lower case where a row has no task.
- id: `vtb_{split}_{id}` with the row's `id`, made safe likewise; `vtb_{split}_row{n:05d}` where a row has none. `n` is
  the number of the row within its config and split, from 0, over all shards and all rows.
- Where a domain and an id occur a second time in one config and split, `-row{n:05d}` is appended to the later one.

So a name depends on the row and on those before it in its config and split: never on rows that were skipped, on a
limit, or on which other configs were asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from visprep.errors import SourceError, SourceMissing
from visprep.formats import tasks
from visprep.manifest import File
from visprep.records import Skipped, Task
from visprep.sources import Access, Selection, Shard, Upstream, check_names
from visprep.sources.hub_tables import Names, bytes_of, configs_of, text_of
from visprep.sources.patterns import matches
from visprep.stores.hub import HubStore

#: The repository; `fnlp/VideoThinkBench` is its former name (README of github.com/tongjingqi/Thinking-with-Video).
REPOSITORY = "OpenMOSS-Team/VideoThinkBench"


@dataclass(frozen=True, slots=True)
class Config:
    """One part of the benchmark: the directory of its shards, whether it has solution images, and its row counts."""

    name: str
    folder: str
    solutions: bool
    counts: Mapping[str, int]


# Configs, their order, splits, columns and paths: the dataset's card on the hub (commit dab3f06). That the text-centric
# shards lie in the directory of that name is inferred from the README of github.com/tongjingqi/Thinking-with-Video; it
# matters only at revisions whose card lists no files. Counts: arXiv 2511.04570, appendix A.
CONFIGS: Mapping[str, Config] = MappingProxyType(
    {
        config.name: config
        for config in (
            Config("Eyeballing_Puzzles", "Vision-Centric_Reasoning", True, {"minitest": 210, "test": 1050}),
            Config("Visual_Puzzles", "Vision-Centric_Reasoning", True, {"minitest": 100, "test": 496}),
            Config("ARC_AGI_2", "Vision-Centric_Reasoning", True, {"minitest": 140, "test": 1000}),
            Config("Mazes", "Vision-Centric_Reasoning", True, {"minitest": 50, "test": 150}),
            Config("Text_Centric_Tasks", "Text-Centric_Reasoning", False, {"minitest": 250, "test": 1453}),
        )
    }
)
SPLITS = ("minitest", "test")
#: The columns that every config has; those with solutions have `solution_image` too, the others `answer`.
COLUMNS = ("task", "id", "prompt", "image")


class VideoThinkBench:
    """The source `videothinkbench`."""

    name = "videothinkbench"
    title = "VideoThinkBench: visual and textual puzzles for video models"
    license = "MIT"
    home = f"https://huggingface.co/datasets/{REPOSITORY}"
    splits = SPLITS
    default_splits = ("test",)
    configs = tuple(CONFIGS)

    @property
    def counts(self) -> Mapping[str, int]:
        """Rows of each split over all configs, as the paper counts them."""
        return {split: sum(config.counts[split] for config in CONFIGS.values()) for split in SPLITS}

    def resolve(self, selection: Selection) -> Upstream:
        """The shards of a selection, by split, then by config in the listed order, then by path.

        A config that upstream does not have at that revision is left out, unless it was asked for by name: then, and
        when a listed file does not exist, or nothing at all is left, SourceMissing.
        """
        check_names("split", selection.splits, self.splits, self.name)
        check_names("config", selection.configs, self.configs, self.name)
        store = HubStore(REPOSITORY, selection.revision)
        commit = store.commit()
        files = {file.path: file for file in store.list()}
        splits = tuple(dict.fromkeys(selection.splits or self.default_splits))
        shards = set(_shards(_listing(store.card()), files, splits, selection.configs or self.configs, commit))
        ordered = [
            shard
            for split in splits
            for config in _present(shards, split, selection.configs, commit)
            for shard in sorted(shards, key=lambda shard: shard.file.sort_key)
            if (shard.split, shard.config) == (split, config)
        ]
        return Upstream(store, tuple(ordered), commit)

    def records(self, upstream: Upstream, split: str, selection: Selection, access: Access) -> Iterator[Task | Skipped]:
        """See `Source.records`. SourceError when a column is missing that every row needs."""
        check_names("split", (split,), self.splits, self.name)
        final_needed = tasks.FINAL_FRAME in tasks.layout(selection.layout).required
        for config in CONFIGS.values():
            shards = [shard for shard in upstream.shards if (shard.split, shard.config) == (split, config.name)]
            yield from _Reading(config, split, upstream.revision, final_needed).records(shards, access)


class _Reading:
    """Turns the rows of one config and split into tasks, in one go from the first row on."""

    def __init__(self, config: Config, split: str, revision: str | None, final_needed: bool) -> None:
        self.config, self.split, self.revision, self.final_needed = config, split, revision, final_needed
        self.names = Names(f"vtb_{split}_")

    def records(self, shards: Iterable[Shard], access: Access) -> Iterator[Task | Skipped]:
        start = 0
        for shard in shards:
            table = access.schema(shard)
            if self.fillable(shard, table.columns):
                for number, row in enumerate(access.rows(shard), start):
                    yield self.record(number, row)
            else:
                yield Skipped(shard.file.path, "no final frame", table.rows)
            start += table.rows

    def fillable(self, shard: Shard, columns: tuple[str, ...]) -> bool:
        """Whether the rows of a table can become tasks; SourceError when it is not the table that we know."""
        needed = (*COLUMNS, "solution_image") if self.final_needed else COLUMNS
        missing = [column for column in needed if column not in columns]
        if missing == ["solution_image"] and not self.config.solutions:
            return False
        if missing:
            raise SourceError(
                f"{shard.file.path} of {REPOSITORY} has no column {' and no '.join(missing)}; "
                f"its columns are: {', '.join(columns)}",
                hint="upstream has changed its tables; pin an older commit with --revision",
            )
        return True

    def record(self, number: int, row: Mapping[str, Any]) -> Task | Skipped:
        """A row as a task, or why it cannot be one."""
        domain, name = self.names.take(text_of(row["task"]) or self.config.name.lower(), text_of(row["id"]), number)
        first, final = bytes_of(row["image"]), bytes_of(row.get("solution_image"))
        if first is None:
            return self.skipped(number, "no first frame")
        if final is None and self.final_needed:
            return self.skipped(number, "no final frame")
        if not text_of(row["prompt"]):
            return self.skipped(number, "no prompt")
        metadata = {
            "source": VideoThinkBench.name,
            "repository": REPOSITORY,
            "revision": self.revision,
            "split": self.split,
            "config": self.config.name,
            "task": row["task"],
            "id": row["id"],
            "row": number,
        }
        if row.get("answer") is not None:
            metadata["answer"] = row["answer"]
        return Task(domain, name, str(row["prompt"]), first, final, metadata=metadata)

    def skipped(self, number: int, reason: str) -> Skipped:
        return Skipped(f"{self.config.name}/{self.split} row {number}", reason)


def _present(shards: Iterable[Shard], split: str, asked: tuple[str, ...], commit: str) -> list[str]:
    """The wanted configs that have files of a split; SourceMissing when there are none, or not those asked for."""
    found = {shard.config for shard in shards if shard.split == split}
    there = [config for config in CONFIGS if config in found]
    missing = [config for config in asked if config not in found]
    if missing or not there:
        what = f"no files of {' and '.join(missing)} for" if missing else "no files of"
        raise SourceMissing(
            f"{REPOSITORY} has {what} the split {split!r} at {commit}",
            hint="choose other configs with --config, or another commit with --revision",
        )
    return there


def _shards(
    listing: Iterable[_Listed],
    files: Mapping[str, File],
    splits: tuple[str, ...],
    configs: tuple[str, ...],
    commit: str,
) -> Iterator[Shard]:
    """The listed files of these splits and configs; SourceMissing when one is not there."""
    for listed in listing:
        if listed.config not in configs or listed.split not in (None, *splits):
            continue
        paths = [path for path in files if matches(path, listed.pattern)]
        if not paths and listed.certain:
            raise SourceMissing(
                f"{REPOSITORY} lists {listed.pattern} as data of {listed.config}, and has no such file at {commit}",
                hint="choose other configs with --config, or another commit with --revision",
            )
        for path in paths:
            yield Shard(files[path], listed.split or ("minitest" if "minitest" in path else "test"), listed.config)


@dataclass(frozen=True, slots=True)
class _Listed:
    """A path or pattern of data files; `split` is None where none is named, `certain` says that upstream names it."""

    config: str
    split: str | None
    pattern: str
    certain: bool = True


def _listing(card: Mapping[str, Any]) -> list[_Listed]:
    """The data files that the card lists for the configs we know; where they are known to lie when it lists none."""
    listing = []
    for config in configs_of(card):
        if config.name in CONFIGS:
            patterns = list(config.patterns(REPOSITORY)) or ([(None, f"{config.folder}/**")] if config.folder else [])
            listing += [_Listed(config.name, split, pattern) for split, pattern in patterns]
    return listing or [
        _Listed(name, split, f"{lead}{config.folder}/{name}.parquet", certain=False)
        for name, config in CONFIGS.items()
        for split, lead in (("minitest", "minitest_"), ("test", ""))
    ]
