"""Directories of Open Images as other tools leave them: which tool it was, and where what lies.

Each layout is told by the names of its files alone, as the tools' own code writes them: FiftyOne's
`fiftyone/utils/openimages.py`, `modules/downloader.py` of OIDv4_ToolKit, `oidv6/OIDv6.py`, datumaro's
`open_images` plug-in, and the `downloader.py` of Open Images itself, which only leaves images. Tables keep upstream's
names everywhere but in FiftyOne's zoo.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from visprep.formats.directories import linked, set_aside
from visprep.manifest import DATASET, File
from visprep.stores import Store

__all__ = ["LAYOUTS", "Layout", "Seen", "gather", "own_files", "recognize", "seen_there"]

#: Kinds of files, and directories, that a message names.
_NAMED = 4
_IMAGES = (".jpg", ".jpeg")
_ID = r"(?P<id>[0-9a-f]{16})"
#: People shorten validation, as upstream does in the names of one version's tables.
_SPLIT = r"(?P<split>train|validation|val|test)"
_JPG = r"\.(?i:jpe?g)"
#: What may be meant as an image, wherever it lies and whatever it is called.
_PICTURE = re.compile(r"(?:.*/)?(?:[^/]+\.jpe?g|[0-9a-f]{16}\.(?:png|webp|gif|bmp|tiff?))", re.IGNORECASE)

#: Names of upstream's tables: what they hold, with `{split}` in them.
_UPSTREAM = (
    ("images", r"(?:oidv\d+-)?{split}-images(?:-boxable|-with-labels)?(?:-with-rotation)?\.csv"),
    ("images", r"image_ids_and_rotation\.csv"),
    ("boxes", r"(?:oidv\d+-)?{split}-annotations-bbox\.csv"),
    ("masks", r"(?:oidv\d+-)?{split}-annotations-object-segmentation\.csv"),
    ("relationships", r"(?:oidv\d+-)?{split}-annotations-vrd\.csv"),
    ("image-labels", r"(?:oidv\d+-)?{split}-annotations-human-imagelabels(?:-boxable)?\.csv"),
    ("points", r"(?:oidv\d+-)?{split}-annotations-point-labels\.csv"),
    ("boxable-classes", r"(?:oidv\d+-)?class-descriptions-boxable\.csv"),
    ("classes", r"(?:oidv\d+-)?class-descriptions\.csv"),
    ("hierarchy", r"bbox_labels_600_hierarchy\.json"),
)
_UPSTREAM_NAMES = tuple(
    (holds, re.compile(pattern.replace("{split}", "(?P<split>train|validation|val|test)")))
    for holds, pattern in _UPSTREAM
)
_FIFTYONE_NAMES = MappingProxyType(
    {
        "metadata/image_ids.csv": "images",
        "labels/detections.csv": "boxes",
        "labels/segmentations.csv": "masks",
        "labels/relationships.csv": "relationships",
        "labels/classifications.csv": "image-labels",
        "labels/points.csv": "points",
        "metadata/classes.csv": "boxable-classes",
        "metadata/point_classes.csv": "classes",
        "metadata/hierarchy.json": "hierarchy",
    }
)
_OUR_NAMES = MappingProxyType(
    {
        **{f"{kind}.csv": kind for kind in ("images", "boxes", "masks", "relationships", "image-labels", "points")},
        "oidv7-class-descriptions-boxable.csv": "boxable-classes",
        "oidv7-class-descriptions.csv": "classes",
        "bbox_labels_600_hierarchy.json": "hierarchy",
    }
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tool lays its directory out: patterns of paths, and `shape`, the same for people.

    `tables` matches the directory of a table (its group `split`, where the directory tells it) and then its name, as
    one of `names` or, without these, as upstream has it. `labels` are files of the tool's own, with a box a line in
    pixels. A group `split` that did not match means: not told by the path.
    """

    name: str
    shape: str
    images: re.Pattern[str]
    tables: re.Pattern[str]
    names: Mapping[str, str] | None = None
    masks: re.Pattern[str] | None = None
    labels: re.Pattern[str] | None = None

    def table(self, path: str) -> tuple[str, str] | None:
        """What a table at this path holds, and of which split ("": not told); None when it is none."""
        found = self.tables.fullmatch(path)
        if found is None:
            return None
        split, name = _split(found), found["name"]
        if self.names is not None:
            return (self.names[name], split) if name in self.names else None
        for holds, pattern in _UPSTREAM_NAMES:
            if named := pattern.fullmatch(name):
                return holds, _split(named)
        return None

    def is_evidence(self, path: str) -> bool:
        """Whether a file shows that this tool was here; images alone never do."""
        return self.table(path) is not None or bool(self.labels and self.labels.fullmatch(path))


def _layout(name: str, shape: str, **patterns: str | Mapping[str, str]) -> Layout:
    compiled = {key: re.compile(one) if isinstance(one, str) else one for key, one in patterns.items()}
    return Layout(name, shape, **compiled)  # type: ignore[arg-type]


#: In the order in which they are tried: the last one takes what no other knows.
LAYOUTS: tuple[Layout, ...] = (
    _layout(
        "FiftyOne",
        "{split}/data/{id}.jpg with {split}/labels/detections.csv",
        images=rf"(?:{_SPLIT}/)?data/{_ID}{_JPG}",
        tables=rf"(?:{_SPLIT}/)?(?P<name>(?:labels|metadata)/[^/]+)",
        names=_FIFTYONE_NAMES,
        masks=rf"(?:{_SPLIT}/)?labels/masks/[0-9A-Fa-f]/(?P<mask>[^/]+\.png)",
    ),
    _layout(
        "visprep",
        "{split}/{id}.jpg with labels/{split}/boxes.csv",
        images=rf"{_SPLIT}/{_ID}{_JPG}",
        tables=rf"labels/(?:{_SPLIT}/)?(?P<name>[^/]+)",
        names=_OUR_NAMES,
        masks=rf"masks/{_SPLIT}/(?P<mask>[^/]+\.png)",
    ),
    _layout(
        "OIDv4_ToolKit",
        "OID/Dataset/{split}/{class}/{id}.jpg with Label/{id}.txt below the class, or OID/csv_folder/",
        images=rf"(?:OID/)?(?:[^/]+/)?{_SPLIT}/[^/]+/{_ID}{_JPG}",
        tables=r"(?:OID/)?csv_folder(?:_nl)?/(?P<name>[^/]+)",
        labels=rf"(?:OID/)?(?:[^/]+/)?{_SPLIT}/[^/]+/Labels?/{_ID}\.txt",
    ),
    _layout(
        "OIDv6",
        "{split}/{class}/{id}.jpg or multidata/{split}/{class}_{id}.jpg with labels/{id}.txt, or boxes/",
        images=rf"(?:multidata/)?{_SPLIT}/(?:[^/]+[/_])?{_ID}{_JPG}",
        tables=r"(?:boxes|metadata)/(?P<name>[^/]+)",
        labels=rf"(?:multidata/)?{_SPLIT}/(?:[^/]+/)?labels/(?:[^/]+_)?{_ID}\.txt",
    ),
    _layout(
        "datumaro",
        "images/{split}/{id}.jpg with annotations/{split}-annotations-bbox.csv",
        images=rf"images/{_SPLIT}/{_ID}{_JPG}",
        tables=r"(?:annotations/)?(?P<name>[^/]+)",
        masks=rf"masks/{_SPLIT}/(?P<mask>[^/]+\.png)",
    ),
    _layout(
        "downloader.py",
        "{id}.jpg with upstream's tables beside them or in annotations/, such as validation-annotations-bbox.csv",
        images=rf"(?:(?:.*/)?{_SPLIT}/)?(?:.*/)?{_ID}{_JPG}",
        tables=r"(?:(?:annotations|csv|labels|metadata|tables)/)?(?P<name>[^/]+)",
        masks=rf"(?:(?:.*/)?{_SPLIT}/)?(?:.*/)?(?P<mask>[0-9a-f]{{16}}_[^/]+\.png)",
    ),
)


@dataclass(slots=True)
class Seen:
    """What lies where in a directory. Splits that no path tells are called "".

    `images` are paths by split and number of the image, `tables` by what they hold and split, `masks` by split and
    name, `labels` by split and number. `twice` counts images that lie there more than once, as under two classes;
    `links` are links to directories, into which nobody looked; `others` counts pictures that lie or are called
    otherwise than images of this layout, of which `other` is the first.
    """

    layout: Layout
    images: dict[str, dict[int, File]] = field(default_factory=dict)
    tables: dict[tuple[str, str], str] = field(default_factory=dict)
    masks: dict[str, dict[str, File]] = field(default_factory=dict)
    labels: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    twice: int = 0
    links: list[str] = field(default_factory=list)
    others: int = 0
    other: str = ""

    def take(self, file: File) -> None:
        """Put a file where it belongs; others are passed by."""
        path, layout = file.path, self.layout
        if path.lower().endswith(_IMAGES) and (found := layout.images.fullmatch(path)):
            self._take_image(_split(found), int(found["id"], 16), file)
        elif layout.masks and path.endswith(".png") and (found := layout.masks.fullmatch(path)):
            self.masks.setdefault(_split(found), {})[found["mask"]] = file
        elif path.endswith(".txt"):
            if layout.labels and (found := layout.labels.fullmatch(path)):
                self.labels.setdefault(_split(found), []).append((int(found["id"], 16), path))
        elif _PICTURE.fullmatch(path):
            self.other = self.other or path
            self.others += 1
        elif table := layout.table(path):
            before = self.tables.get(table)
            if before is None or _age(before) < _age(path):
                self.tables[table] = path

    def _take_image(self, split: str, number: int, file: File) -> None:
        images = self.images.setdefault(split, {})
        before = images.get(number)
        self.twice += before is not None
        # One that broke off is shorter
        if before is None or (before.size or 0) < (file.size or 0):
            images[number] = file


def _split(found: re.Match[str]) -> str:
    """The split that a path tells, "" for none."""
    told = found.groupdict().get("split") or ""
    return "validation" if told == "val" else told


def _age(path: str) -> tuple[int, int]:
    """What of two tables of the same is the better one: of a later version, and not only of the boxable classes."""
    name = path.rpartition("/")[2]
    version = re.match(r"oidv(\d+)-", name)
    return int(version[1]) if version else 0, 0 if name.endswith("imagelabels-boxable.csv") else 1


def recognize(paths: Iterable[str]) -> Layout | None:
    """The layout that files of these paths show: the first that has images, and something that tells of them."""
    images: set[str] = set()
    evidence: set[str] = set()
    for path in paths:
        is_image = path.lower().endswith(_IMAGES)
        for layout in LAYOUTS:
            if is_image:
                if layout.name not in images and layout.images.fullmatch(path):
                    images.add(layout.name)
            elif layout.name not in evidence and layout.is_evidence(path):
                evidence.add(layout.name)
        if len(images & evidence) == len(LAYOUTS):
            break
    return next((layout for layout in LAYOUTS if layout.name in images & evidence), None)


def gather(store: Store, files: Iterable[File], layout: Layout) -> Seen:
    """What lies where in a place of this layout, of which these are `own_files`."""
    seen = Seen(layout)
    for file in files:
        if file.size is None and linked(store, (file,)):
            seen.links.append(file.path)
        else:
            seen.take(file)
    return seen


def own_files(listing: Iterable[File]) -> Iterator[File]:
    """The files of a place that may be someone's: none that are hidden, or visprep's own."""
    return (file for file in listing if file.path != DATASET and not set_aside(file.path))


def seen_there(paths: Iterable[str]) -> str:
    """What lies in a directory, for the message that it is not known: kinds of files, and where they are."""
    kinds: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for path in paths:
        folder, _, name = path.rpartition("/")
        kinds[f".{name.rpartition('.')[2]}" if "." in name else "without a suffix"] += 1
        folders[f"{folder or '.'}/"] += 1
    told = ", ".join(f"{count:,} {kind}" for kind, count in _most(kinds))
    return f"{told} in {', '.join(folder for folder, _ in _most(folders))}" if told else "no file"


def _most(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_NAMED]
