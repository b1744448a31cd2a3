"""`convert`: a dataset, or what another tool left, as a place of another format."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from shlex import quote
from types import MappingProxyType

from visprep import _verify, ancestors
from visprep.coco_file import is_one
from visprep.converting import Converter, ConvertResult, Lossy, Origin, Wish
from visprep.engines import Engine, open_engine
from visprep.engines.local import check_count
from visprep.errors import AccessDenied, FileMissing, PlaceMissing, UnknownContent, UnknownName, UsageError
from visprep.formats import open_images_layouts
from visprep.formats.class_map import ClassMap
from visprep.formats.directories import set_aside
from visprep.formats.task_members import file_of, is_task
from visprep.formats.tasks import VIDEO_SUFFIXES
from visprep.manifest import DATASET
from visprep.progress import OnProgress, unheard
from visprep.recordsets.ancestry import ancestors_of
from visprep.recordsets.unfinished import check_finished_around
from visprep.settings import S3Settings
from visprep.sources.patterns import PARQUET
from visprep.stores import Store, one_version, open_store
from visprep.stores.archive import ArchiveStore
from visprep.stores.local import LocalStore

__all__ = ["TARGETS", "convert"]


@dataclass(frozen=True, slots=True)
class _Way:
    """What converts a kind to a format: a function, by module and name, and the options that it has a use for."""

    function: str
    options: frozenset[str] = frozenset()


#: How a kind is recognized, in the order in which that is tried. What a directory of Open Images holds of other tools
#: goes first, since these look like nothing else.
_KINDS: Mapping[str, Callable[[Origin], bool]] = MappingProxyType(
    {
        "open-images": lambda origin: _layout(origin) is not None,
        "tasks": lambda origin: _guessed(origin) == "tasks",
        "coco": lambda origin: _guessed(origin) in ("coco", "open-images"),  # which has COCO JSON of ours
        "yolo": lambda origin: _guessed(origin) == "yolo",
        "voc": lambda origin: _guessed(origin) == "voc",
        "frames": lambda origin: _guessed(origin) == "frames",
        "parquet": lambda origin: _has(origin, ".parquet"),
        "webdataset": lambda origin: _has(origin, ".tar"),
        "videos": lambda origin: (
            _guessed(origin) is None and _has(origin, *VIDEO_SUFFIXES, *map(str.upper, VIDEO_SUFFIXES))
        ),
    }
)
_RECORDS = frozenset({"classes", "lossless"})
_SMALLER = frozenset({"max_side", "quality"})
_SHARDS = frozenset({"lossless", "shard_size", "shard_tasks"})
_CLIPS = frozenset({"lossless", "prompt"})
_COCO = _RECORDS | _SMALLER | {"image_root", "merge", "renumber", "strip_root"}
_WAYS: Mapping[tuple[str, str], _Way] = MappingProxyType(
    {
        ("coco", "coco"): _Way("visprep.coco_to_coco:convert", _COCO),
        ("coco", "voc"): _Way("visprep.coco_to_voc:convert", _RECORDS | _SMALLER),
        ("coco", "yolo"): _Way("visprep.coco_to_yolo:convert", _RECORDS | _SMALLER | {"task"}),
        ("voc", "coco"): _Way("visprep.voc_to_coco:convert", _RECORDS | _SMALLER),
        ("open-images", "coco"): _Way("visprep.open_images_import:convert"),
        ("yolo", "coco"): _Way("visprep.yolo_to_coco:convert", _RECORDS | _SMALLER),
        ("frames", "tasks"): _Way("visprep.frames_to_tasks:convert", _CLIPS | {"window"}),
        ("parquet", "tasks"): _Way("visprep.parquet_to_tasks:convert", frozenset({"lossless"})),
        ("tasks", "parquet"): _Way("visprep.tasks_to_parquet:convert", _SHARDS),
        ("tasks", "webdataset"): _Way("visprep.tasks_to_webdataset:convert", _SHARDS),
        ("videos", "tasks"): _Way("visprep.videos_to_tasks:convert", _CLIPS),
        ("webdataset", "tasks"): _Way("visprep.webdataset_to_tasks:convert", frozenset({"lossless"})),
    }
)
#: What each kind looks like, for who asks why nothing was recognized. Open Images comes last: it has many shapes.
_SHAPES: Mapping[str, str] = MappingProxyType(
    {
        "coco": "COCO (annotations/*.json)",
        "yolo": "YOLO (data.yaml, images/ and labels/)",
        "voc": "Pascal VOC (Annotations/*.xml, JPEGImages/)",
        "tasks": "tasks ({domain}_task/{task_id}/first_frame.png and so on)",
        "parquet": "parquet files of tasks (*.parquet)",
        "webdataset": "a WebDataset of tasks (*.tar)",
        "videos": "videos (*.mp4, *.avi)",
        "frames": "image sequences ({episode}/frame_{number}.png)",
        "open-images": "Open Images, with images named by 16 hex digits",
    }
)
#: The directory that annotation files lie in, beside those of the images.
_ANNOTATIONS = "annotations"
#: Annotation files of COCO that a download of Open Images has beside upstream's tables.
_OWN_COCO = re.compile(r"annotations/instances_[^/]+\.json").fullmatch
#: Files that are converted by themselves; a tar file is one when it holds samples, else a directory in an archive.
_ALONE = (PARQUET, *VIDEO_SUFFIXES)
_TAR = ".tar"
#: Directories above the named one that it is looked for as a part of.
_ABOVE = 3
#: The formats that something can be converted to.
TARGETS = tuple(sorted({to for _, to in _WAYS}))


@one_version()
def convert(
    place: str | os.PathLike[str],
    *,
    to: str,
    output: str | os.PathLike[str],
    lossless: bool = False,
    image_root: str | None = None,
    strip_root: str | None = None,
    classes: str | os.PathLike[str] | None = None,
    merge: tuple[str, ...] | list[str] = (),
    renumber: bool = False,
    max_side: int | None = None,
    quality: int | None = None,
    task: str | None = None,
    shard_size: int | None = None,
    shard_tasks: int | None = None,
    window: int | None = None,
    prompt: str | None = None,
    jobs: int | None = None,
    engine: str | Engine = "local",
    ray_address: str | None = None,
    s3: S3Settings | None = None,
    progress: OnProgress = unheard,
) -> ConvertResult:
    """Make a place at `output` of a place or a file `place`, in the format `to`.

    COCO to COCO keeps ids, unknown keys, licenses, masks, the digits of numbers, and order. `image_root`, such as
    `s3://bucket/prefix`, goes before the names of images, `strip_root` is taken away from them; `classes` is a file of
    lines `old=new`, `old` or `-old`; the files of `merge` join the one that is converted, with `renumber` under new ids
    where theirs clash. Open Images as FiftyOne, OIDv4_ToolKit, OIDv6, datumaro or its own downloader.py leave them
    become what `visprep download open-images` makes of the same images.

    Images with a side over `max_side` pixels are made smaller, JPEG with `quality` (1 to 100; else 90), and boxes,
    polygons, masks and keypoints with them; all others stay the files that they are.

    Pascal VOC has boxes, with pose, truncated, difficult and occluded; what else it says of an image or an object
    stands in COCO under the key `voc`, and goes back.

    COCO becomes YOLO for one `task`: `detect` (boxes), `segment` (polygons) or `pose` (keypoints); that which the
    annotations are good for where none is said.
    Tasks become rows of parquet files or samples of a WebDataset, and tasks again, to the byte; a file of these holds
    `shard_size` megabytes or `shard_tasks` tasks at most, 500 and 10,000 when left out.

    Videos, and episodes of frames, become tasks with their first and last frame. Videos stay the files that they are;
    of frames one is made, of each `window` of so many of an episode, or of all. `prompt` is for those that nothing
    beside them has one for.

    `place` is only read: images are hard links to its own, or copies where there can be no links, and on S3 copies that
    the server makes. `output` on S3 has the same paths and bytes as a directory would have. Interrupted, the same
    call goes on; repeated, it does nothing. What the format cannot carry is in `losses` and `findings`; with
    `lossless`, nothing is written then, and the result is `refused`.

    UnknownContent when `place` is nothing that is known; UsageError for an option that this conversion has no use for,
    or when one of the two places lies in the other; UnknownName for a class that there is not; WouldOverwrite when
    other files are in the way; WrongContent for what cannot be read; Incomplete when some records cannot, with what
    came of the rest as its `result`; PlaceIncomplete when a command was begun at `place` and not ended.

    `engine` (`local`, or `ray` with the cluster at `ray_address`) links and copies files, makes images smaller and
    writes shards and videos; what comes of it is the same. NodeUnfit where a node of the cluster cannot do that, and
    Incomplete with WorkerLost for files that killed whoever worked on them.
    """
    if to not in TARGETS:
        raise UnknownName(f"--to {to}: there is no such format", hint=f"there are: {', '.join(TARGETS)}")
    for name, count in (
        ("jobs", jobs), ("max-side", max_side), ("quality", quality),
        ("shard-size", shard_size), ("shard-tasks", shard_tasks), ("window", window),
    ):  # fmt: skip
        check_count(name, count)
    target = open_store(os.fspath(output), s3)
    if not isinstance(target, LocalStore) and not target.place.startswith("s3://"):
        hint = "name a directory, or s3://bucket/prefix"
        raise UsageError(f"{target.place}: nothing is converted into an archive", hint=hint)
    origin = _origin(os.fspath(place), s3)
    _check_finished(origin, s3)
    _check_apart(origin, target, to)
    kind, way = _way(origin, to)
    wish = Wish(
        to,
        lossless=lossless,
        image_root=image_root,
        strip_root=strip_root,
        classes=None if classes is None else ClassMap.read(os.fspath(classes)),
        merge=tuple(map(os.fspath, merge)),
        renumber=renumber,
        max_side=max_side,
        quality=quality,
        task=task,
        shard_size=shard_size,
        shard_tasks=shard_tasks,
        window=window,
        prompt=prompt,
        jobs=jobs,
        s3=s3,
        progress=progress,
        history=ancestors.told(
            made_from=ancestors_of([os.fspath(place)], s3), merged=ancestors_of(map(os.fspath, merge), s3)
        ),
    )
    _check_options(wish, kind, way)
    module, _, name = way.function.partition(":")
    converter: Converter = getattr(importlib.import_module(module), name)
    with open_engine(engine, jobs=jobs, ray_address=ray_address) as crew:
        if origin.file is None and crew.spreads:
            crew.check(origin.store)
        return _converted(converter, origin, target, replace(wish, engine=crew), kind)


def _converted(converter: Converter, origin: Origin, target: Store, wish: Wish, kind: str) -> ConvertResult:
    """What the converter makes; where that is refused, what would be lost."""
    try:
        return converter(origin, target, wish)
    except Lossy as refused:
        losses = refused.losses
        found = tuple(losses.findings())
        return ConvertResult(
            origin.given, target.place, wish.to, kind, losses=dict(losses.counts), findings=found, refused=True
        )


def _check_finished(origin: Origin, s3: S3Settings | None) -> None:
    """PlaceIncomplete when a command was begun where the origin is and not ended.

    A parquet file, tar file or video that is converted by itself is whole however that is.
    """
    if not origin.alone:
        with contextlib.suppress(AccessDenied):  # S3 says so of what is not there, to those who may not list
            check_finished_around(origin.store, s3)


def _origin(place: str, s3: S3Settings | None) -> Origin:
    """What is named, a directory, archive, place on S3, or a file; PlaceMissing or FileMissing when it is not there."""
    if is_one(place):
        if "://" not in place and not Path(place).is_file():
            raise FileMissing(f"{place}: no such file", hint="check the path")
        return _named(place, s3)
    far = "://" in place
    if (place.lower().endswith(_ALONE) and (far or Path(place).is_file())) or (far and place.endswith(_TAR)):
        return _named(place, s3, alone=True)
    store = open_store(place, s3)
    if isinstance(store, LocalStore) and not store.root.is_dir():
        what = "is a file, not a directory" if store.root.exists() else "no such directory"
        hint = f"name the directory that holds the dataset, or one file of {', '.join(('.json', _TAR, *_ALONE))}"
        raise PlaceMissing(f"{store.place}: {what}", hint=hint)
    origin = Origin(place, store)
    if place.endswith(_TAR) and any(_is_sample(file.path) for file in origin.listing):
        return _named(place, s3, alone=True)
    return origin


def _named(place: str, s3: S3Settings | None, *, alone: bool = False) -> Origin:
    home, slash, name = place.rpartition("/")
    beside = f"{name[: name.rindex('.')]}.txt" if name.lower().endswith(VIDEO_SUFFIXES) else ""
    return Origin(place, open_store(home or slash or ".", s3), name, alone=alone, beside=beside)


def _is_sample(member: str) -> bool:
    """Whether a member of an archive is that of a WebDataset of tasks, and no file of a task."""
    found = file_of(member)
    return found is not None and is_task(found[1]) and not is_task(member.rpartition("/")[2])


def _check_apart(origin: Origin, target: Store, to: str) -> None:
    if not isinstance(origin.store, LocalStore) or not isinstance(target, LocalStore):
        _check_apart_on_s3(origin, target, to)
        return
    root, place = origin.store.root, origin.store.place
    within = root.name == _ANNOTATIONS
    home = root.parent if within else root  # where the images lie that the files in annotations/ tell of
    beside = f"name a directory beside it, such as --output {os.path.relpath(home.parent / f'{home.name}-{to}')}"
    if target.root.is_relative_to(home) and (within or origin.file is None or target.root == root):
        raise UsageError(f"{target.place} lies in what is converted, {home if within else place}", hint=beside)
    if root.is_relative_to(target.root):
        raise UsageError(f"{target.place}: what is converted lies in it, {place}", hint=beside)


def _check_apart_on_s3(origin: Origin, target: Store, to: str) -> None:
    place, made = origin.store.place.rstrip("/"), target.place.rstrip("/")
    above, _, name = place.rpartition("/")
    home = above if name == _ANNOTATIONS else place
    beside = f"name a prefix beside it, such as --output {home}-{to}"
    within = origin.file is None or home != place or made == home
    if within and f"{made}/".startswith(f"{home}/"):
        raise UsageError(f"{made} lies in what is converted, {home}", hint=beside)
    if f"{place}/".startswith(f"{made}/"):
        raise UsageError(f"{made}: what is converted lies in it, {place}", hint=beside)


def _way(origin: Origin, to: str) -> tuple[str, _Way]:
    """What the origin is, and how that is converted; UnknownContent for what is unknown, UsageError for no way."""
    for kind, recognize in _KINDS.items():
        if not recognize(origin):
            continue
        if (kind, to) in _WAYS:
            return kind, _WAYS[kind, to]
        raise UsageError(f"{origin.given} is {kind}, which is not converted to {to}", hint=_around(origin, kind, to))
    raise _unknown(origin, to)


def _around(origin: Origin, kind: str, to: str) -> str:
    """What to type for a conversion that there is not: two that there are, or what the origin can become."""
    place, ways = origin.given.rstrip("/"), sorted(other for known, other in _WAYS if known == kind)
    ready = [file.path for file in origin.listing if kind == "open-images" and _OWN_COCO(file.path)]
    if ready and ("coco", to) in _WAYS:
        each = "" if len(ready) == 1 else f"; so each of the {len(ready)} in {_ANNOTATIONS}/"
        named = quote(f"{place}/{ready[0]}")
        return f"its annotation files are COCO: visprep convert {named} --to {to} --output DIR{each}"
    for middle in ways:
        if middle != kind and (middle, to) in _WAYS:
            then = f"DIR/{_ANNOTATIONS}/instances_*.json" if kind == "open-images" else "DIR"
            return f"first: visprep convert {quote(place)} --to {middle} --output DIR; then convert {then} --to {to}"
    return f"it can become: --to {', --to '.join(ways)}" if ways else "visprep verify PLACE checks it"


def _check_options(wish: Wish, kind: str, way: _Way) -> None:
    """UsageError for an option that is given and that this way has no use for."""
    given = {name for name in sorted({one for way in _WAYS.values() for one in way.options}) if getattr(wish, name)}
    for name in sorted(given - way.options):
        option = f"--{name.replace('_', '-')}"
        having = ", ".join(f"{one} to {to}" for (one, to), other in _WAYS.items() if name in other.options)
        raise UsageError(f"{option} says nothing of {kind} to {wish.to}", hint=f"it is for {having}")
    if wish.quality is not None and (wish.max_side is None or wish.quality > 100):
        why = "says nothing without --max-side" if wish.max_side is None else "is more than 100"
        raise UsageError(f"--quality {wish.quality} {why}", hint="--max-side 1024 --quality 90")
    if wish.renumber and not wish.merge:
        raise UsageError("--renumber says nothing without --merge", hint="name the file that joins: --merge FILE")


def _layout(origin: Origin) -> open_images_layouts.Layout | None:
    """The layout of a place of Open Images, of ours or of another tool, None when it is none."""
    if origin.file is not None or isinstance(origin.store, ArchiveStore):
        return None
    return open_images_layouts.recognize(file.path for file in open_images_layouts.own_files(origin.listing))


def _has(origin: Origin, *suffixes: str) -> bool:
    """Whether there are files with one of these suffixes, besides those that are set aside."""
    return any(file.path.endswith(suffixes) and not set_aside(file.path) for file in origin.listing)


def _guessed(origin: Origin) -> str | None:
    """The format of the origin, by what `verify` guesses it by."""
    if origin.file is not None:
        return None if origin.alone else "coco"
    if "guess" not in origin.told:
        origin.told["guess"] = _verify.guess(origin.store, origin.listing)
    return origin.told["guess"]


def _unknown(origin: Origin, to: str) -> UnknownContent:
    """The error about a directory that is nothing known: what could become `to`, and what was seen."""
    store = origin.store
    paths = [file.path for file in origin.listing if file.path != DATASET and not set_aside(file.path)]
    below = sorted({path.partition("/")[0] for path in paths if "/" in path})
    for folder in below:
        inside = [path.removeprefix(f"{folder}/") for path in paths if path.startswith(f"{folder}/")]
        if layout := open_images_layouts.recognize(inside):
            hint = f"name {store.place.rstrip('/')}/{folder}, which looks like a directory of {layout.name}"
            break
    else:
        root = store.root if isinstance(store, LocalStore) else PurePath()
        for above in list(root.parents)[:_ABOVE]:
            way = root.relative_to(above).as_posix()
            if layout := open_images_layouts.recognize(f"{way}/{path}" for path in paths):
                part = f"{store.place}: a part of what {layout.name} leaves"
                return UnknownContent(part, hint=f"name the directory above: {above}")
        hint = f"what can become {to}: {'; '.join(_SHAPES[kind] for kind in _SHAPES if (kind, to) in _WAYS)}"
        if ("open-images", to) in _WAYS:
            hint += ": " + "; ".join(f"{one.name}: {one.shape}" for one in open_images_layouts.LAYOUTS)
    seen = open_images_layouts.seen_there(paths)
    return UnknownContent(f"{store.place}: nothing that can be converted; there is {seen}", hint=hint)
