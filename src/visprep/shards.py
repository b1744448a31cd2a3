"""Upstream's shards on their way to becoming records: whole and checked, or just the row groups that are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from visprep import temporary, wire
from visprep.digests import digest_of
from visprep.errors import DiskFull, VisprepError
from visprep.manifest import File
from visprep.progress import OnProgress, Progress
from visprep.sources import Shard, TableSchema, Upstream
from visprep.stores import Store
from visprep.stores.local import LocalStore


class ShardReader:
    """An `Access` that keeps what it fetched in `cache`, so that an interrupted download goes on where it stopped.

    With `limit`, a shard that holds more rows than that is read by ranges, one row group at a time, and only as far
    as its rows are pulled; otherwise it is fetched whole and checked against upstream's digest. Unless it is to `keep`
    them, each goes as soon as its rows were pulled. `disk` is the most bytes that lay in the cache at once.
    """

    def __init__(
        self, upstream: Upstream, cache: Path, limit: int | None, progress: OnProgress, *, keep: bool = True
    ) -> None:
        self._upstream, self._limit, self._progress = upstream, limit, progress
        self._cache, self._keep = cache, keep
        self.disk = self._held = 0
        self._schemas: dict[str, Any] = {}

    @property
    def _store(self) -> Store:
        assert self._upstream.store is not None  # only sources with shards ask for rows
        return self._upstream.store

    def check_space(self) -> None:
        """DiskFull, before the first byte, when the shards that are still to be fetched do not fit."""
        if self._limit is not None:
            return
        missing = [shard.file for shard in self._upstream.shards if not self._folder(shard.file).exists()]
        sizes = [file.size or 0 for file in missing]
        need, free = sum(sizes) if self._keep else max(sizes, default=0), LocalStore(self._cache).free()
        if need > free:
            hint = "free some space, choose another --output, or ask for less with --limit or --config"
            raise DiskFull(
                f"{self._cache}: {need:,} bytes are to be downloaded, {free:,} are free",
                hint=temporary.way_out(self._cache, hint),
            )

    def schema(self, shard: Shard) -> TableSchema:
        """See `Access.schema`."""
        facts = self._footer(shard)
        return TableSchema(tuple(facts.columns), facts.rows)

    def rows(self, shard: Shard) -> Iterator[Mapping[str, Any]]:
        """See `Access.rows`."""
        if self._limit is None or self._footer(shard).rows <= self._limit:
            yield from self._pulled(self._whole(shard.file))
            return
        for index in range(len(self._footer(shard).row_groups)):
            yield from self._pulled(self._row_group(shard, index))

    def _pulled(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """The rows of a file in the cache, which goes then unless it is to be kept."""
        from visprep.formats import parquet

        size = path.stat().st_size
        self._held += size
        self.disk = max(self.disk, self._held)
        try:
            yield from parquet.rows(path)
        finally:
            if not self._keep:
                path.unlink(missing_ok=True)
                self._held -= size

    def _footer(self, shard: Shard) -> Any:
        from visprep.formats import parquet

        if shard.file.path not in self._schemas:
            self._schemas[shard.file.path] = parquet.schema(parquet.RangedFile(self._store, shard.file))
        return self._schemas[shard.file.path]

    def _whole(self, file: File) -> Path:
        folder = LocalStore(self._folder(file))
        path = folder.root / file.path
        if not path.exists():
            got = 0

            def on_bytes(count: int) -> None:
                nonlocal got
                got += count
                self._progress(Progress(f"Fetching {file.path}", got, file.size, "bytes"))

            for _, outcome in wire.run([(file.path, folder.receive(file, self._store))], 1, on_bytes):
                if isinstance(outcome, VisprepError):
                    raise outcome
        return path

    def _row_group(self, shard: Shard, index: int) -> Path:
        from visprep.formats import parquet

        path = self._folder(shard.file) / f"rows-{index}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.copy_row_group(parquet.RangedFile(self._store, shard.file), index, path)
        self._progress(Progress(f"Fetching {shard.file.path}", index + 1, None, "row groups"))
        return path

    def _folder(self, file: File) -> Path:
        """Unique for a path and its content, so that another revision's shard is never taken for this one."""
        return self._cache / digest_of(f"{file.path} {file.digest or file.etag or file.size}".encode())[7:31]
