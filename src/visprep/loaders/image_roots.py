"""Where the images of an annotation file are: what their names say, and the directory that relative ones are in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from visprep import wire
from visprep.errors import BadPlace, FileMissing, PlaceMissing, VisprepError
from visprep.formats.coco_place import split_of
from visprep.loaders.coco_index import CocoIndex
from visprep.manifest import File
from visprep.settings import S3Settings
from visprep.stores import Store, open_store
from visprep.stores.http import HttpStore

__all__ = ["address", "root_of"]

_WEB = ("http://", "https://")
_READ = ("s3://", *_WEB)
#: Names by which the directory of the images is looked for on disk, and elsewhere, where each look is a request.
_NAMES, _NAMES_FAR = 20, 3


def address(name: str, root: str | None) -> str:
    """Where an image is: `s3://bucket/key`, a web address, or a path on disk.

    BadPlace for what has another scheme, and for a relative name without a root.
    """
    if "://" in name:
        if not name.startswith(_READ):
            raise BadPlace(
                f"{name!r}: images can be read from disk, s3:// and https://, not from there",
                hint="put the image on S3, and its s3:// name into the file",
            )
        return name
    if name.startswith("/"):
        return name
    if root is None:
        raise BadPlace(f"{name!r} is relative, and nothing tells to what", hint="image_root= names their directory")
    if "://" not in root:
        return f"{root}/{name}"
    return f"{root.rstrip('/')}/{quote(name) if root.startswith(_WEB) else name}"


def root_of(index: CocoIndex, given: str | os.PathLike[str] | None, settings: S3Settings | None) -> str | None:
    """The place below which the relative names of a file are; None when it has none of them.

    That is `given`, else the directory near the annotation file that has most of some of them: that itself, one called
    like the split (`../train2017` of `annotations/instances_train2017.json`), or `images`. PlaceMissing when `given` is
    no directory, FileMissing when none of those images is anywhere, BadPlace when no name that was looked at says what
    can be read.
    """
    named = dict(_sample(index, _NAMES))
    names = list(named.values())
    if named and all("://" in name and not name.startswith(_READ) for name in names):
        number, name = next(iter(named.items()))
        raise BadPlace(
            f"{index.name}: images can be read from disk, s3:// and https://, and none of {len(names)} that were "
            f"looked at is there; /images/{number} is {name!r}",
            hint="put the images on S3, and their s3:// names into the file",
        )
    relative = [name for name in names if "://" not in name and not name.startswith("/")]
    if given is not None:
        return _given(os.fspath(given))
    if not relative:
        return None
    far = "://" in index.name
    home = index.name.rpartition("/")[0] if far else os.path.dirname(os.path.abspath(index.name))  # noqa: PTH100, PTH120
    above = home.rpartition("/")[0]
    apart = above.endswith("/") or not above  # a bucket has nothing above it
    roots = _candidates(home, None if apart else above, split_of(index.name.rpartition("/")[2]).name)
    hits = _far_hits(roots, relative[:_NAMES_FAR], settings) if far else _hits(roots, relative)
    best = max(roots, key=lambda root: hits.get(root, 0))
    if not hits.get(best):
        looked = f"{home}" + ("" if apart else f", {above}") + " and what is called like the split or images there"
        raise FileMissing(
            f"{index.name}: no image is where its name says: {relative[0]!r}, {looked}",
            hint="image_root= names the directory, or s3://bucket/prefix, that has the images",
        )
    return best


def _sample(index: CocoIndex, count: int) -> Iterator[tuple[int, str]]:
    """Names of images from all over the file, those that there are, each with its number."""
    for number in range(0, len(index), max(1, len(index) // count)):
        try:
            yield number, index.file_name(number)
        except VisprepError:  # a bad sample, once it is asked for
            continue


def _given(root: str) -> str:
    if "://" in root:
        address(root, None)
        return root.rstrip("/")
    if not Path(root).is_dir():
        raise PlaceMissing(f"image_root={root!r} is no directory", hint="check the path")
    return os.path.abspath(root)  # noqa: PTH100 -- a worker may have another working directory


def _candidates(home: str, above: str | None, split: str) -> list[str]:
    places = [home] if above is None else [home, above]
    return [f"{place}{below}" for place in places for below in ("", f"/{split}", "/images", f"/images/{split}")]


def _hits(roots: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    return {root: sum(_is_file(Path(root, name)) for name in names) for root in roots}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a directory that is not ours: once it is asked for, a bad sample
        return False


def _far_hits(roots: Sequence[str], names: Sequence[str], settings: S3Settings | None) -> dict[str, int]:
    """How many of the names are below each root, by one request for each, all at once."""
    stores: dict[str, Store] = {
        root: HttpStore(root) if root.startswith(_WEB) else open_store(root, settings) for root in roots
    }
    hits = dict.fromkeys(roots, 0)
    for root, outcome in wire.run((root, stores[root].stat(name)) for root in roots for name in names):
        hits[root] += isinstance(outcome, File)
        if isinstance(outcome, VisprepError) and outcome.slug in ("credentials", "unreachable"):
            raise outcome
    return hits
