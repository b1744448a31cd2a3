"""Width and height of many images on disk, mostly by their first few bytes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import StoreError, WrongContent
from visprep.image_headers import probe
from visprep.image_loading import see
from visprep.manifest import File
from visprep.rules import Depth
from visprep.stores.local import LocalStore

__all__ = ["sizes"]

#: Bytes in which most images tell their size, and images that a thread looks at in one go.
_HEAD, _TOGETHER = 4096, 500


def sizes(
    store: LocalStore, files: Iterable[File], jobs: int | None = None
) -> Iterator[tuple[File, tuple[int, int] | str]]:
    """Width and height of each image as it is stored, or what is wrong with one, in the order of the files."""

    def of(batch: list[File]) -> list[tuple[File, tuple[int, int] | str]]:
        return [(file, _size(store, file)) for file in batch]

    rest = iter(files)
    batches = iter(lambda: list(itertools.islice(rest, _TOGETHER)), [])
    return itertools.chain.from_iterable(map_ordered(of, batches, jobs))


def _size(store: LocalStore, file: File) -> tuple[int, int] | str:
    try:
        with contextlib.suppress(WrongContent):
            return probe(wire.wait(store.read(file.path, 0, _HEAD))).size
        # Its pixels may begin later, or it is none: that takes a closer look
        seen = wire.wait(see(store, file, Depth.HEADERS, near=True))
    except StoreError as problem:
        return problem.message
    return seen.size or (seen.findings[0].message if seen.findings else "its size is not told")
