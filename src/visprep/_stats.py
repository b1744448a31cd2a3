"""`stats`: what there is at a place, in numbers."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from visprep import coco_file, garbage_collection
from visprep._verify import guess
from visprep.engines.local import Local, check_count
from visprep.errors import UnknownContent, UsageError, WrongContent
from visprep.formats import tasks as task_layouts
from visprep.looking import Looking
from visprep.manifest import DATASET, MANIFEST, File
from visprep.own_record import MARKER, read_record
from visprep.progress import OnProgress, unheard
from visprep.rounds import Eye, Rounds
from visprep.rules import Depth
from visprep.settings import S3Settings
from visprep.split_file import SPLIT
from visprep.statistics import (
    CopyStats,
    SplitStats,
    Stats,
    coco,
    episodes,
    histograms,
    open_images,
    parts,
    plain,
    sample,
    tasks,
    triplets,
    voc,
    yolo,
)
from visprep.statistics.coco_columns import read
from visprep.statistics.copies import copy_stats
from visprep.statistics.counted import Counted
from visprep.statistics.texts import text_stats
from visprep.stores import data_files, one_version, open_store
from visprep.traffic import metered
from visprep.transfer import on_this_machine

#: Images of which the pixels are looked at, where nobody says how many.
PIXELS = 500
#: What a place may be, for those who named another.
EXPECTED = (
    "expected images, {domain}_task/{task_id}/first_frame.png and so on, annotations/*.json, data.yaml with "
    "images/ and labels/, or Annotations/*.xml; visprep ls lists what there is"
)

_COUNT: Mapping[str, Callable[[Looking], Counted]] = {
    "coco": coco.count,
    "files": lambda look: Counted("files", len(look.listing)),
    "frames": episodes.count,
    "images": plain.count,
    "open-images": open_images.count,
    "splits": parts.count,
    "tasks": tasks.count,
    "voc": voc.count,
    "vton": triplets.count,
    "yolo": yolo.count,
}


@one_version()
@garbage_collection.rarely()
def stats(
    place: str | os.PathLike[str],
    *,
    layout: str | None = None,
    pixels: int | str = PIXELS,
    seed: int = 0,
    jobs: int | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> Stats:
    """Count what there is at a place, or in one COCO JSON file; nothing is written there.

    The format is guessed as verify does it; images in no format, parts of a split, and places with a record and nothing
    that is known are counted, too. `layout` names the files that a task must have; left out, it is the one that the
    place was downloaded in, else `template`. `pixels` says of how many images modes, brightness and duplicates are
    looked at: a number, `all` or `none`; of more images than that, `seed` draws them. `jobs` is how many at once.

    UnknownContent when nothing is recognized; WrongContent when no annotation file can be read; PlaceMissing,
    NetworkError and CredentialsError are raised, and MissingExtra for tables of Open Images without pyarrow.
    """
    check_count("jobs", jobs)
    most = _most(pixels)
    if layout is not None:
        task_layouts.layout(layout)
    place = os.fspath(place)
    if coco_file.is_one(place):
        return _of_file(place, s3)
    store = open_store(place, s3)
    listing = list(data_files(store))
    with metered() as meter:
        near = on_this_machine(store)
        rounds = Rounds(Eye(store, Depth.NAMES, near), Local(jobs), jobs, progress, meter)
        look = Looking([file for file in listing if file.path != DATASET], rounds)
        kind = guess(store, look.listing) or _otherwise(look)
        counted = tasks.count(look, layout) if kind == "tasks" else _COUNT[kind](look)
        pictures, looked, copies = counted.pictures, None, None
        if pictures:
            copies = copy_stats(store, listing, pictures)
            looked = sample.look(store, pictures, most, seed, jobs, progress) if most != 0 else None
    return _stats(place, kind, listing, counted, looked, copies)


def _most(pixels: int | str) -> int | None:
    """How many images to look at, None for all; UsageError for what is neither a number nor `all` nor `none`."""
    if pixels in ("all", "none"):
        return None if pixels == "all" else 0
    try:
        number = int(pixels)
    except (TypeError, ValueError):
        number = -1
    if number < 0:
        raise UsageError(f"--pixels {pixels}: a number of images, all, or none", hint=f"the default is {PIXELS}")
    return number


def _otherwise(look: Looking) -> str:
    """What a place is that is in no format; UnknownContent when it is nothing that can be counted."""
    if any(file.path == SPLIT for file in look.listing):
        return "splits"
    if any(map(plain.is_picture, look.listing)):
        return "images"
    if any(read_record(look.store, path) is not None for path in (MANIFEST, MARKER)):
        return "files"
    raise UnknownContent(f"{look.store.place}: nothing here that visprep can count", hint=EXPECTED)


def _of_file(path: str, s3: S3Settings | None) -> Stats:
    """The statistics of one annotation file, and of no pictures."""
    file = coco_file.existing(path, s3)
    full = path if "://" in path else os.path.abspath(path)  # noqa: PTH100 -- a link stays where it lies
    try:
        columns = read(file)
    except WrongContent as problem:
        raise coco_file.unread(path, problem.message.removeprefix(f"{file.name}: ")) from None
    counted = coco.of_files([coco.AnnotationFile.of(path, full, columns)], None)
    counted.notes.append("of a single file no images are looked at: name the directory of the dataset")
    return _stats(path, "coco", [file.was], counted, None, None)


def _order(split: SplitStats) -> tuple[int, str]:
    """Train, validation, test, then all others."""
    lower = split.name.lower()
    return next((at for at, word in enumerate(("train", "val", "test")) if word in lower), 3), lower


def _partial(looked: sample.Looked | None) -> bool:
    """Whether some of the images were not looked at."""
    return looked is not None and looked.stats.looked < looked.stats.images


def _stats(
    place: str,
    kind: str,
    listing: Sequence[File],
    counted: Counted,
    looked: sample.Looked | None,
    copies: CopyStats | None,
) -> Stats:
    bars = list(counted.histograms)
    sizes, known_from = counted.sizes, counted.known_from
    if not len(sizes) and looked:
        sizes, known_from = looked.sizes, "sample"
    if len(sizes):
        bars += histograms.of_sizes(sizes, sampled=known_from == "sample" and _partial(looked))
    bars += looked.histograms if looked else []
    prompts = None
    if counted.texts:
        prompts, lengths = text_stats(counted.texts_are, counted.texts)
        bars.append(lengths)
    return Stats(
        place,
        kind,
        len(listing),
        sum(file.size or 0 for file in listing),
        counted.unit,
        counted.records,
        len(counted.pictures),
        counted.absent,
        counted.incomplete,
        counted.annotations,
        counted.empty,
        tuple(sorted(counted.splits, key=_order)),
        tuple(counted.classes),
        tuple(bars),
        dict(counted.licenses),
        histograms.size_stats(sizes, known_from) if len(sizes) else None,
        prompts,
        looked.stats if looked else None,
        copies,
        tuple(counted.notes),
    )
