"""VideoThinkBench as its hub repository lays it out, small: the card and the parquet files with their features."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from visprep import wire
from visprep.formats import parquet
from visprep.sources import Shard, TableSchema, Upstream
from visprep.stores.local import LocalStore

REPOSITORY = "OpenMOSS-Team/VideoThinkBench"
VISION = ("Eyeballing_Puzzles", "Visual_Puzzles", "ARC_AGI_2", "Mazes")
TEXT = "Text_Centric_Tasks"
CONFIGS = (*VISION, TEXT)
#: Real puzzles, where this checkout has them beside it; drawn ones stand in elsewhere.
REAL = Path(__file__).parents[2] / "shared" / "real" / "vtb" / "visual_puzzles"

Row = dict[str, Any]


def shard_path(config: str, split: str) -> str:
    kind = "Text-Centric_Reasoning" if config == TEXT else "Vision-Centric_Reasoning"
    return f"{'minitest_' if split == 'minitest' else ''}{kind}/{config}.parquet"


def features(config: str) -> datasets.Features:
    named = {name: datasets.Value("string") for name in ("task", "id", "prompt")} | {"image": datasets.Image()}
    if config == TEXT:
        return datasets.Features(named | {"answer": datasets.Value("string")})
    return datasets.Features(named | {"solution_image": datasets.Image()})


def card(configs: Sequence[str] = CONFIGS) -> bytes:
    """README.md in the form of the dataset's own card."""
    lines = ["---", "license: mit", "task_categories:", "- question-answering", "size_categories:", "- 1K<n<10K"]
    lines += ["configs:"]
    for config in configs:
        lines += [f"- config_name: {config}", "  data_files:"]
        for split in ("minitest", "test"):
            lines += [f"  - split: {split}", f"    path: {shard_path(config, split)}"]
    lines += ["dataset_info:"]
    for config in configs:
        lines += [f"- config_name: {config}", "  features:"]
        for name, feature in features(config).items():
            kind = "image" if isinstance(feature, datasets.Image) else "string"
            lines += [f"  - name: {name}", f"    dtype: {kind}"]
    return "\n".join([*lines, "---", "", "# VideoThinkBench", ""]).encode()


def image(data: bytes | None) -> dict[str, Any] | None:
    """A cell of an image column."""
    return None if data is None else {"bytes": data, "path": None}


def png(seed: object, side: int = 48) -> bytes:
    """A small picture, another one for every seed."""
    rng, canvas = random.Random(str(seed)), Image.new("RGB", (side, side), "white")
    for _ in range(3):
        x, y = rng.randrange(side), rng.randrange(side)
        color = tuple(rng.randrange(256) for _ in range(3))
        ImageDraw.Draw(canvas).rectangle((x, y, x + side // 3, y + side // 3), fill=color)
    return _encode(canvas)


def noise(seed: object, side: int) -> bytes:
    """A picture of about 3 * side * side bytes, since nothing compresses it."""
    return _encode(Image.frombytes("RGB", (side, side), random.Random(str(seed)).randbytes(3 * side * side)))


def _encode(canvas: Image.Image) -> bytes:
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def row(config: str, number: int, **changed: Any) -> Row:
    made: Row = {
        "task": f"{config.lower()}_{'ab'[number % 2]}",
        "id": f"{config.lower()}-{number:02d}",
        "prompt": f"Solve number {number}.\nDraw the answer.",
        "image": image(png((config, number, "first"))),
    }
    if config == TEXT:
        made["answer"] = str(number)
    else:
        made["solution_image"] = image(png((config, number, "final")))
    return made | changed


def rows(config: str, count: int) -> list[Row]:
    """The first rows of a config: the real visual puzzles where they are at hand."""
    real = list(_real()) if config == "Visual_Puzzles" else []
    return (real + [row(config, number) for number in range(len(real), count)])[:count]


def _real() -> Iterator[Row]:
    for folder in sorted(REAL.iterdir()) if REAL.is_dir() else []:
        for entry in json.loads((folder / "data.json").read_text())[:1]:
            yield {
                "task": folder.name,
                "id": entry["id"],
                "prompt": entry["prompt"],
                "image": image((folder / entry["image"]).read_bytes()),
                "solution_image": image((folder / entry["solution_image_path"]).read_bytes()),
            }


def table(config: str, made: Sequence[Row], row_group_size: int | None = None, **options: Any) -> bytes:
    """Rows as a parquet file whose footer carries the features, as `Dataset.push_to_hub` writes it."""
    schema = features(config).arrow_schema
    out = io.BytesIO()
    pq.write_table(
        pa.Table.from_pylist(list(made), schema=schema),
        out,
        row_group_size=row_group_size or max(1, len(made)),
        **options,
    )
    return out.getvalue()


def upstream_files(
    counts: Mapping[str, int] | int = 4, row_group_size: int | None = None, **changed: Sequence[Row]
) -> dict[str, bytes]:
    """Every file of the repository; `minitest` holds the first half of each config's rows.

    `counts` are the rows of `test`, of every config or by config; `changed` replaces a config's `test` rows.
    """
    files = {"README.md": card(), ".gitattributes": b"*.parquet filter=lfs\n", "unzip_dir.sh": b"echo unzip\n"}
    for config in CONFIGS:
        count = counts if isinstance(counts, int) else counts.get(config, 2)
        made = changed.get(config) or rows(config, count)
        files[shard_path(config, "test")] = table(config, made, row_group_size)
        files[shard_path(config, "minitest")] = table(config, made[: len(made) // 2], row_group_size)
    return files


class PlainAccess:
    """An `Access` that fetches a shard whole, or by row groups with `by_groups`, into a directory."""

    def __init__(self, upstream: Upstream, folder: Path, by_groups: bool = False) -> None:
        assert upstream.store is not None
        self.store, self.folder, self.by_groups = upstream.store, folder, by_groups
        self.read: list[str] = []

    def schema(self, shard: Shard) -> TableSchema:
        facts = parquet.schema(parquet.RangedFile(self.store, shard.file))
        return TableSchema(facts.columns, facts.rows)

    def rows(self, shard: Shard) -> Iterator[Mapping[str, Any]]:
        self.read.append(shard.file.path)
        if not self.by_groups:
            wire.wait(LocalStore(self.folder).receive(shard.file, self.store))
            yield from parquet.rows(self.folder / shard.file.path)
            return
        source = parquet.RangedFile(self.store, shard.file)
        for index in range(len(parquet.schema(source).row_groups)):
            target = self.folder / f"{len(self.read)}-{index}.parquet"
            parquet.copy_row_group(source, index, target)
            yield from parquet.rows(target)
