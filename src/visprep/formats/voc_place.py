"""A dataset of Pascal VOC at a place: which annotation belongs to which image, and which sets there are.

    {root}/Annotations/{stem}.xml
    {root}/JPEGImages/{stem}.jpg                      or images/
    {root}/ImageSets/Main/train.txt                   and Segmentation, Layout, Action
    {root}/SegmentationClass/{stem}.png               and SegmentationObject

There may be several roots, as VOC2007 and VOC2012 in VOCdevkit. Annotations that lie beside their images, as labelImg
and Roboflow write them, are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from visprep import wire
from visprep.errors import StoreError
from visprep.formats import voc, xml_tree
from visprep.formats.directories import set_aside
from visprep.formats.voc import Member, VocAnnotation, VocFault
from visprep.manifest import File
from visprep.stores import Store

ANNOTATIONS, SETS = "Annotations", "ImageSets"
#: The directories that the images of a root may be in; VOC's own first.
IMAGE_HOMES = ("JPEGImages", "images", "Images")
MASKS, OBJECT_MASKS = "SegmentationClass", "SegmentationObject"
#: The endings of names that images of VOC have, by what exporters write.
SUFFIXES = frozenset({"bmp", "jpeg", "jpg", "png", "tif", "tiff", "webp"})
_HEAD = re.compile(rb"<annotation[\s>]")
#: XML files beside images into whose beginning is looked, and bytes of it.
_TRIED, _HEAD_BYTES = 20, 4096
_LONGEST_SET = 1_000_000_000


@dataclass(frozen=True, slots=True)
class VocRecord:
    """An annotation with its image, or one of them without the other.

    `root` is the directory that has Annotations/ in it, or that of the two files where they lie together; `stem` the
    name of both, without its ending and relative to the directory that they are in. `images` are all that the
    annotation may be of: one, if all is well.
    """

    root: str
    stem: str
    annotation: File | None
    images: tuple[File, ...]
    beside: bool = False

    @property
    def key(self) -> str:
        """The stable name of the record within its place."""
        return f"{self.root}/{self.stem}" if self.root else self.stem

    @property
    def annotation_path(self) -> str:
        """Where its annotation is, or would be."""
        return _joined(self.root, f"{self.stem}.xml" if self.beside else f"{ANNOTATIONS}/{self.stem}.xml")

    @property
    def image_path(self) -> str:
        """Where its image is, or would be."""
        home = f"{self.stem}.jpg" if self.beside else f"{IMAGE_HOMES[0]}/{self.stem}.jpg"
        return self.images[0].path if self.images else _joined(self.root, home)


@dataclass(frozen=True, slots=True)
class VocSet:
    """A set of images: `kind` is Main, Segmentation, Layout or Action; `name` that of the file, without `.txt`."""

    path: str
    root: str
    kind: str
    name: str
    members: tuple[Member, ...] = ()
    fault: str | None = None

    @property
    def part(self) -> str:
        """The part that it is, or is of: `train` for `train.txt` and `cat_train.txt`."""
        return self.name.rpartition("_")[2]


class VocPlace:
    """All that the listing of a place tells of VOC; sets are read."""

    def __init__(self, store: Store, listing: Iterable[File]) -> None:
        self.store = store
        self.files = {file.path: file for file in listing if not file.path.endswith("/") and not set_aside(file.path)}
        self.roots: set[str] = set()
        #: (root, stem, beside) -> annotation, images
        found: dict[tuple[str, str, bool], tuple[list[File], list[File]]] = {}
        homes: dict[str, list[File]] = {}
        for path in self.files:
            if parted := _apart(path, (ANNOTATIONS,)):
                self.roots.add(parted[0])
        for path, file in self.files.items():
            annotation = path.lower().endswith(".xml")
            if not annotation and not is_image(path):
                continue
            parted = _apart(path, (ANNOTATIONS,) if annotation else IMAGE_HOMES)
            if parted and parted[0] in self.roots:
                stem = parted[1].rpartition(".")[0]
                found.setdefault((parted[0], stem, False), ([], []))[0 if annotation else 1].append(file)
            else:
                homes.setdefault(path.rpartition("/")[0], []).append(file)
        for home, files in homes.items():
            for stem, pair in _beside(files).items():
                found[home, stem, True] = pair
        self.records = [
            VocRecord(root, stem, next(iter(annotations), None), tuple(images), beside)
            for (root, stem, beside), (annotations, images) in sorted(found.items())
        ]

    def sets(self) -> Iterator[VocSet]:
        """The sets of all roots, read."""
        for path in self.files:
            parted = _apart(path, (SETS,))
            if parted and path.endswith(".txt") and parted[0] in self.roots:
                kind, _, name = parted[1].rpartition("/")
                name = name.removesuffix(".txt")
                try:
                    members = tuple(voc.read_set(wire.wait(self.store.read(path, 0, _LONGEST_SET))))
                except StoreError as problem:
                    yield VocSet(path, parted[0], kind, name, fault=problem.message)
                else:
                    yield VocSet(path, parted[0], kind, name, members)

    def mask(self, root: str, stem: str) -> File | None:
        """The file of the mask of an image, where there is one."""
        return self.files.get(self.mask_path(root, stem))

    def object_mask(self, record: VocRecord) -> File | None:
        """The file that tells the objects of an image pixel by pixel, where there is one."""
        return None if record.beside else self.files.get(_joined(record.root, f"{OBJECT_MASKS}/{record.stem}.png"))

    @staticmethod
    def mask_path(root: str, stem: str) -> str:
        """Where the mask of an image is, or would be."""
        return _joined(root, f"{MASKS}/{stem}.png")


def _beside(files: Sequence[File]) -> dict[str, tuple[list[File], list[File]]]:
    """Annotations and images of one directory, by stem; none where no annotation lies beside its image."""
    found: dict[str, tuple[list[File], list[File]]] = {}
    for file in files:
        name = file.path.rpartition("/")[2]
        stem, _, suffix = name.rpartition(".")
        found.setdefault(stem, ([], []))[0 if suffix.lower() == "xml" else 1].append(file)
    return found if any(annotations and images for annotations, images in found.values()) else {}


def _apart(path: str, homes: Sequence[str]) -> tuple[str, str] | None:
    """A path in one of these directories as the directory above it, and what is below it."""
    parts = path.split("/")
    at = next((at for at, part in enumerate(parts[:-1]) if part in homes), None)
    return ("/".join(parts[:at]), "/".join(parts[at + 1 :])) if at is not None else None


def _joined(root: str, path: str) -> str:
    return f"{root}/{path}" if root else path


def is_image(path: str) -> bool:
    """Whether a file has the name of an image, as exporters to VOC write them."""
    return path.rpartition(".")[2].lower() in SUFFIXES


def recognized(store: Store, listing: Sequence[File]) -> bool:
    """Whether a place holds VOC: XML in Annotations/, or XML beside an image of its name that begins as VOC does."""
    paths = [file.path for file in listing if not set_aside(file.path)]
    xml = [path for path in paths if path.lower().endswith(".xml")]
    if any(_apart(path, (ANNOTATIONS,)) for path in xml):
        return True
    stems = {path.rpartition(".")[0] for path in paths if is_image(path)} if xml else set()
    tried = [path for path in xml if path.rpartition(".")[0] in stems][:_TRIED]
    return any(_begins(store, path) for path in tried)


def _begins(store: Store, path: str) -> bool:
    try:
        return _HEAD.search(wire.wait(store.read(path, 0, _HEAD_BYTES))) is not None
    except StoreError:
        return False


async def read_annotation(store: Store, file: File) -> tuple[VocAnnotation, list[VocFault]]:
    """What an annotation says, and what is wrong with how; NotXml, and what the store raises, are raised."""
    return voc.read(await store.read(file.path, 0, xml_tree.LONGEST + 1))
