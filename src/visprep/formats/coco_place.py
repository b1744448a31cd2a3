"""Where a COCO dataset has what: its annotation files, and the directory of the images that each of them names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from visprep import wire
from visprep.errors import StoreError, VisprepError
from visprep.manifest import DATASET, File
from visprep.stores import Store

_KINDS = r"(?:instances|captions|person_keypoints|keypoints|panoptic|stuff|image_info)"
_OFFICIAL = re.compile(rf"(?:.*/)?{_KINDS}_([^/]+)\.json")
_USUAL = re.compile(rf"(?:.*/)?(?:{_KINDS}_[^/]+|_annotations\.coco|labels|.*coco.*)\.json", re.IGNORECASE)
_NOT_THESE = frozenset({DATASET, "split.json", "package.json", "metadata.json"})
_HEAD = re.compile(rb'"(?:images|annotations)"\s*:\s*\[')
_RESULTS = re.compile(rb'\s*\[\s*\{[^{}]*"image_id"')
#: JSON files of other names into whose beginning is looked, and bytes of it.
_TRIED, _HEAD_BYTES = 20, 64 * 1024
#: In the name of an annotation file that stands for the one beside it: `visprep fix` wrote it, without bad images.
CLEANED = ".cleaned"
#: Names by which the directory of the images is looked for.
_SAMPLE = 200
#: What a name says of the part of a dataset: the words that it may have in it, the telling ones first.
_PARTS = (
    ("minival", "val"),
    ("unlabeled", None),
    ("trainval", None),
    ("train", "train"),
    ("val", "val"),
    ("test", "test"),
)
#: What the name of an annotation file says of what it tells of the images.
KIND = re.compile(
    r"(?:^|(?<=[_.-]))(instances|captions|person_keypoints|keypoints|panoptic|stuff|image_info)(?=[_.-]|$)"
)
#: What an annotation file is called whose name tells no kind.
PLAIN = "instances"
_YEAR = re.compile(r"(?:19|20)\d\d")


@dataclass(frozen=True, slots=True)
class Split:
    """What the name of an annotation file, or of the directory it lies in, says of the part that it is."""

    name: str
    part: str | None
    year: str | None

    def apart(self, other: Split) -> bool:
        """Whether the two shall share no image: other parts of one dataset. 2014 and 2017 part the same images anew."""
        return self.part is not None and other.part is not None and self.part != other.part and self.year == other.year


def split_of(path: str) -> Split:
    """The split that an annotation file is of: `annotations/instances_val2017.json` is of `val2017`."""
    path = original(path)
    official = _OFFICIAL.fullmatch(path)
    home, _, name = path.rpartition("/")
    stem = official[1] if official else name.removesuffix(".json")
    if not official and name.lower() in ("_annotations.coco.json", "labels.json", "annotations.json") and home:
        stem = home.rpartition("/")[2]
    lower = stem.lower()
    part = next((part for word, part in _PARTS if word in lower), None)
    year = _YEAR.search(stem)
    return Split(stem, part, year[0] if year else None)


def kind_of(full: str) -> tuple[str, tuple[str, str]]:
    """What kind of annotations a file has, by its full path, and its group: such files describe the same images."""
    folder, _, base = original(full).rpartition("/")
    stem = base.removesuffix(".json")
    found = KIND.search(stem)
    rest = KIND.sub("", stem).strip("_.-") if found else split_of(full).name
    return (found[1] if found else PLAIN), (folder, rest)


def candidates(listing: Iterable[File]) -> tuple[File, ...]:
    """The files of a place that may be annotation files, by their names: JSON, and none that is known as another's."""
    return tuple(
        file for file in listing if file.path.endswith(".json") and file.path.rpartition("/")[2] not in _NOT_THESE
    )


def usual(path: str) -> bool:
    """Whether the name alone tells that a file is COCO JSON."""
    return _USUAL.fullmatch(original(path)) is not None


def original(path: str) -> str:
    """The annotation file that `path` stands for: itself, unless it is called `.cleaned.json`."""
    return path.removesuffix(f"{CLEANED}.json") + ".json" if path.endswith(f"{CLEANED}.json") else path


def cleaned(path: str) -> str:
    """What the file is called that is to stand for an annotation file."""
    return f"{path.removesuffix('.json')}{CLEANED}.json"


def recognized(store: Store, files: Collection[File]) -> bool:
    """Whether one of these files is COCO JSON: by its name, else by how it begins."""
    if any(usual(file.path) for file in files):
        return True
    return any(wire.wait(beginning(store, file.path)) == "coco" for file in sorted(files, key=_nearness)[:_TRIED])


def annotation_files(store: Store, listing: Iterable[File], most: int | None = None) -> tuple[str, ...]:
    """The paths of the files that are COCO JSON, in the order of the listing: by their names, or by how they begin.

    Of those whose names do not tell, the `most` nearest to the root are looked into.
    """
    files = candidates(listing)
    untold = sorted((file for file in files if not usual(file.path)), key=_nearness)[:most]
    found = {file.path for file in files if usual(file.path)}
    for path, begins in wire.run((file.path, beginning(store, file.path)) for file in untold):
        if isinstance(begins, VisprepError):
            raise begins
        if begins == "coco":
            found.add(path)
    return tuple(file.path for file in files if file.path in found)


def named_as_annotations(path: str) -> bool:
    """Whether a file is called as the annotations of a split are; `instances_val2017_results.json` is not."""
    return _OFFICIAL.fullmatch(path) is not None and "results" not in path.rpartition("/")[2]


async def beginning(store: Store, path: str) -> Literal["coco", "results"] | None:
    """What a file is by its first 64 KB: a list of images or annotations begins there, or one of results."""
    try:
        head = await store.read(path, 0, _HEAD_BYTES)
    except StoreError:
        return None
    return "coco" if _HEAD.search(head) else "results" if _RESULTS.match(head) else None


def _nearness(file: File) -> tuple[int, str]:
    return file.path.count("/"), file.path


def image_root(
    path: str, names: Sequence[str | None], files: Collection[str], called_like: str | None = None
) -> str | None:
    """The directory that the names of an annotation file are relative to; None when none of them is anywhere.

    That is the one below which most of them are found; of several, one that is called like the split, then one
    that is near. A directory that is called like the split is taken even when it has none of them; `called_like` is
    another name in place of the split's.
    """
    split = called_like or split_of(path).name
    step = max(1, len(names) // _SAMPLE)
    sample = [name for name in names[::step] if name and not name.startswith("/") and ".." not in name.split("/")]
    wanted: dict[str, list[str]] = {}
    for name in sample:
        wanted.setdefault(name.rpartition("/")[2], []).append(name)
    hits: Counter[str] = Counter()
    called: set[str] = set()
    for file in files:
        home, _, base = file.rpartition("/")
        if home == split or home.endswith(f"/{split}"):
            called.add(home)
        for name in wanted.get(base, ()):
            if file == name:
                hits[""] += 1
            elif file.endswith(f"/{name}"):
                hits[file[: -len(name) - 1]] += 1
    if not hits:
        return min(called) if called and sample else None
    near = path.rpartition("/")[0]

    def merit(root: str) -> tuple[bool, int, bool, int, str]:
        return root not in called, -hits[root], root != near, len(root), root

    return min(hits, key=merit)


def joined(root: str, name: str) -> str:
    """A name below a root, as a path of the place."""
    return f"{root}/{name}" if root else name


def images_below(roots: Mapping[str, object], files: Iterable[str]) -> Iterator[str]:
    """The files that lie in one of the directories, however deep."""
    for file in files:
        above = file
        while above:
            above = above.rpartition("/")[0]
            if above in roots:
                yield file
                break
