"""What only pixels tell, of a seeded sample of images: modes, brightness, and which of them are the same."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from visprep import wire
from visprep.engines.local import map_ordered
from visprep.errors import StoreError, VisprepError, WrongContent
from visprep.fingerprints import ROW, fingerprint
from visprep.image_loading import IMAGE_BYTES
from visprep.images import probe
from visprep.manifest import File
from visprep.progress import OnProgress, Pulse
from visprep.similar import classes
from visprep.statistics import Histogram, SampleStats
from visprep.statistics.histograms import Ints, brightness, sound, tallied
from visprep.stores import Store
from visprep.transfer import on_this_machine


@dataclass(frozen=True, slots=True)
class Looked:
    """A sample: its summary, its histograms, and the width and height of each image that decodes, upright."""

    stats: SampleStats
    histograms: list[Histogram]
    sizes: Ints


@dataclass(frozen=True, slots=True)
class _Glimpse:
    """One image: mode and format as stored, size as shown, and its fingerprint as bytes of a `ROW`."""

    mode: str
    format: str
    size: tuple[int, int]
    row: bytes


def drawn(pictures: Sequence[File], most: int | None, seed: int) -> list[File]:
    """So many of some pictures (None: all), always the same ones for the same pictures and seed, in their order."""
    if most is None or most >= len(pictures):
        return list(pictures)
    return [pictures[number] for number in sorted(random.Random(seed).sample(range(len(pictures)), most))]


def look(
    store: Store, pictures: Sequence[File], most: int | None, seed: int, jobs: int | None, progress: OnProgress
) -> Looked:
    """Look at a sample of pictures; NetworkError and CredentialsError are raised, all else counts as `unread`."""
    chosen = drawn(pictures, most, seed)
    pulse = Pulse(progress)
    found: list[_Glimpse] = []
    done = 0
    for done, one in enumerate(_glimpses(store, chosen, jobs), 1):
        found += [one] if one else []
        pulse("Looking at images", done, len(chosen), "images")
    pulse("Looking at images", done, len(chosen), "images", last=True)
    rows = np.frombuffer(b"".join(sorted(one.row for one in found)), ROW)  # far ones come in any order
    levels = rows["luma"].mean(axis=1)
    darkest, middle, brightest = np.rint(np.quantile(levels, (0, 0.5, 1))).astype(int).tolist() if found else (0, 0, 0)
    same = classes(rows)
    numbers = np.arange(len(rows))
    stats = SampleStats(
        images=len(pictures),
        looked=len(chosen),
        unread=len(chosen) - len(found),
        seed=seed,
        brightness=(darkest, middle, brightest) if found else None,
        copies=int((same.pixels != numbers).sum()),
        alike=int((same.looks != numbers).sum()),
    )
    some = len(chosen) < len(pictures)
    tallies = [
        tallied("image-modes", "Modes", "images", Counter(one.mode for one in found), sampled=some),
        tallied("image-formats", "Formats", "images", Counter(one.format for one in found), sampled=some),
    ]
    histograms = [*tallies, brightness(levels, sampled=some)] if found else []
    return Looked(stats, histograms, sound([one.size for one in found]))


def _glimpses(store: Store, chosen: Sequence[File], jobs: int | None) -> Iterator[_Glimpse | None]:
    """Each image, None for one that cannot be read or decoded; in any order from another machine."""
    if on_this_machine(store):
        yield from map_ordered(lambda file: _seen(wire.wait(_content(store, file))), chosen, jobs)
        return

    def fetched() -> Iterator[bytes | None]:
        window = wire.run(((file, _content(store, file)) for file in chosen), wire.IN_FLIGHT)
        for _, outcome in window:
            if isinstance(outcome, VisprepError):
                raise outcome
            yield outcome

    yield from map_ordered(_seen, fetched(), jobs)


async def _content(store: Store, file: File) -> bytes | None:
    if (file.size or 0) > IMAGE_BYTES:
        return None
    try:
        return await store.read(file.path, 0, None if file.size is None else file.size + 1)
    except StoreError:
        return None


def _seen(data: bytes | None) -> _Glimpse | None:
    if data is None:
        return None
    try:
        facts = probe(data)
        row = fingerprint(data).row()
    except WrongContent:
        return None
    size = facts.size[::-1] if facts.orientation >= 5 else facts.size
    return _Glimpse(facts.mode, facts.format, size, row.tobytes())
