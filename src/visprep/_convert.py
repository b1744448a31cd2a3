"""`convert`: what another tool left, as a place of another format."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from visprep.converting import Converter, ConvertResult
from visprep.engines.local import check_count
from visprep.errors import PlaceMissing, UnknownName, UsageError
from visprep.formats import open_images_layouts
from visprep.progress import OnProgress, unheard
from visprep.stores import open_store
from visprep.stores.local import LocalStore

__all__ = ["TARGETS", "convert"]

#: How a kind of directory is recognized by the paths of its files: what stands for it then, None when it is none.
_KINDS: Mapping[str, Callable[[Iterable[str]], object | None]] = MappingProxyType(
    {"open-images": open_images_layouts.recognize}
)
#: What converts a kind to a format: a function, by module and name, which is loaded when it is needed.
_CONVERTERS: Mapping[tuple[str, str], str] = MappingProxyType({("open-images", "coco"): "visprep.importing:bring"})
#: Directories above the named one that it is looked for as a part of.
_ABOVE = 3
#: The formats that something can be converted to.
TARGETS = tuple(sorted({to for _, to in _CONVERTERS}))


def convert(
    place: str | os.PathLike[str],
    *,
    to: str,
    output: str | os.PathLike[str],
    jobs: int | None = None,
    progress: OnProgress = unheard,
) -> ConvertResult:
    """Make a place at `output` of what another tool left in the directory `place`, in the format `to` (`coco`).

    Open Images as FiftyOne, OIDv4_ToolKit, OIDv6, datumaro or its own downloader.py leave them become what `visprep
    download open-images` makes of the same images. `place` is only read: images are hard links to its own, or copies
    where there can be no links. Interrupted, the same call goes on; repeated, it does nothing.

    UsageError when `place` is nothing that is known, or when one of the two lies in the other; WouldOverwrite when
    other files are in the way; WrongContent for a table that cannot be read; Incomplete when some images cannot.
    """
    if to not in TARGETS:
        raise UnknownName(f"--to {to}: nothing is converted to that", hint=f"there is: {', '.join(TARGETS)}")
    check_count("jobs", jobs)
    origin, target = _directory(place, "what is converted"), _directory(output, "what comes of it")
    _check_apart(origin, target)
    for kind, recognize in _KINDS.items():
        found = recognize(file.path for file in open_images_layouts.candidates(origin))
        if found is not None and (kind, to) in _CONVERTERS:
            module, _, name = _CONVERTERS[kind, to].partition(":")
            converter: Converter[Any] = getattr(importlib.import_module(module), name)
            return converter(origin, found, target, jobs, progress)
    raise _unknown(origin)


def _directory(place: str | os.PathLike[str], what: str) -> LocalStore:
    store = open_store(os.fspath(place))
    if not isinstance(store, LocalStore):
        raise UsageError(f"{store.place}: {what} is a directory", hint="download it to a directory first")
    return store


def _check_apart(origin: LocalStore, target: LocalStore) -> None:
    if not origin.root.is_dir():
        what = "is a file, not a directory" if origin.root.exists() else "no such directory"
        raise PlaceMissing(f"{origin.place}: {what}", hint="name the directory that holds the images")
    beside = f"name a directory beside it, such as --output {origin.place.rstrip('/')}-coco"
    if target.root.is_relative_to(origin.root):
        raise UsageError(f"{target.place} lies in what is converted, {origin.place}", hint=beside)
    if origin.root.is_relative_to(target.root):
        raise UsageError(f"{target.place}: what is converted lies in it, {origin.place}", hint=beside)


def _unknown(origin: LocalStore) -> UsageError:
    """The error about a directory that is nothing known: what is, and what was seen."""
    paths = [file.path for file in open_images_layouts.candidates(origin)]
    below = sorted({path.partition("/")[0] for path in paths if "/" in path})
    known = "; ".join(f"{one.name}: {one.shape}" for one in open_images_layouts.LAYOUTS)
    for folder in below:
        inside = [path.removeprefix(f"{folder}/") for path in paths if path.startswith(f"{folder}/")]
        if layout := open_images_layouts.recognize(inside):
            hint = f"name {origin.place.rstrip('/')}/{folder}, which looks like a directory of {layout.name}"
            break
    else:
        for above in list(origin.root.parents)[:_ABOVE]:
            way = origin.root.relative_to(above).as_posix()
            if layout := open_images_layouts.recognize(f"{way}/{path}" for path in paths):
                part = f"{origin.place}: a part of what {layout.name} leaves"
                return UsageError(part, hint=f"name the directory above: {above}")
        hint = f"what is known, with images named by 16 hex digits: {known}"
    seen = open_images_layouts.seen_there(paths)
    return UsageError(f"{origin.place}: nothing that can be converted; there is {seen}", hint=hint)
