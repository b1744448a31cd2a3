"""A dataset of YOLO at a place: which images are in which part, and where the label of each is.

With data.yaml, the parts are what it names: directories, with all that is below them, and list files with an image a
line. Without, every image is one that has a directory called `images` above it, or a label beside it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from visprep import wire
from visprep.errors import StoreError, WrongContent
from visprep.formats import yolo, yolo_data
from visprep.formats.directories import set_aside
from visprep.formats.yolo import Keypoints, is_image, label_of
from visprep.formats.yolo_data import DataFault, YoloData
from visprep.manifest import File
from visprep.stores import Store

#: Files with the names of the classes, where there is no data.yaml: labelImg's, darknet's and Roboflow's.
CLASS_FILES = frozenset({"classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt"})
#: YAML files that are looked into, the nearest first.
_TRIED = 20
#: Text files that are no labels, by their names.
_NO_LABELS = frozenset({*CLASS_FILES, "readme.txt", "readme.roboflow.txt", "readme.dataset.txt", "notes.txt"})
#: Bytes that a list file may have: ten million images.
_LONGEST_LIST = 1_000_000_000
#: Bytes that a label may have: half a million boxes.
_LONGEST_LABEL = 64_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list file says of one image: its path at the place, None for one beyond it, as written, and its line."""

    path: str | None
    written: str
    line: int


@dataclass(frozen=True, slots=True)
class Source:
    """One directory or list file of a part.

    `path` is where it is at the place, None where it is not there; `listed` are the lines of a list file, None for a
    directory.
    """

    part: str
    written: str
    path: str | None
    images: tuple[str, ...] = ()
    listed: tuple[Listed, ...] | None = None


@dataclass(frozen=True, slots=True)
class YoloSet:
    """One dataset at a place: its data file, where it has one, and the images of its parts.

    `path` is that of the data file, None without; `root` the directory that its parts are relative to. `fault` says why
    the data file cannot be read, `faults` what is wrong with it. `elsewhere` says that its own `path` leads out of the
    place.
    """

    path: str | None = None
    data: YoloData = field(default_factory=YoloData)
    root: str = ""
    sources: tuple[Source, ...] = ()
    fault: str | None = None
    faults: tuple[DataFault, ...] = ()
    elsewhere: bool = False

    @property
    def keypoints(self) -> Keypoints | None:
        """`kpt_shape`."""
        return self.data.keypoints

    @property
    def absent(self) -> Iterator[str]:
        """The paths of images that a list names and that are not there."""
        for source in self.sources:
            there = frozenset(source.images)
            yield from (one.path for one in source.listed or () if one.path and one.path not in there)

    def parts(self) -> Mapping[str, tuple[str, ...]]:
        """The paths of the images of each part, each once, in the order in which they are named or listed."""
        found: dict[str, dict[str, None]] = {}
        for source in self.sources:
            found.setdefault(source.part, {}).update(dict.fromkeys(source.images))
        return {part: tuple(images) for part, images in found.items()}


@dataclass(frozen=True, slots=True)
class YoloRecord:
    """An image, with the file of its label where there is one."""

    image: File
    label: File | None
    part: str | None = None

    @property
    def label_path(self) -> str:
        """Where its label is, or would be."""
        return label_of(self.image.path)


class YoloPlace:
    """All that the listing of a place tells of YOLO; data files, lists and names of classes are read."""

    def __init__(self, store: Store, listing: Iterable[File], place: Sequence[str] = ()) -> None:
        self.store, self.name = store, tuple(place)
        self.files = {file.path: file for file in listing if not file.path.endswith("/") and not set_aside(file.path)}
        self.images = {path: file for path, file in self.files.items() if is_image(path)}
        self.directories: set[str] = set()
        for path in self.files:
            while (path := path.rpartition("/")[0]) and path not in self.directories:
                self.directories.add(path)
        #: The labels that an image may ask for -> the images that do.
        self.wanted: dict[str, list[str]] = {}
        for path in self.images:
            self.wanted.setdefault(label_of(path), []).append(path)
        self.sets = [self._set(path) for path in data_files(store, self.files.values())]
        self.class_names, self.class_file = self._classes()

    def records(self) -> Iterator[tuple[YoloRecord, YoloSet | None]]:
        """Every image that is in a part, or would be in one, with its label and the first dataset that has it."""
        seen: set[str] = set()
        for one in self.sets:
            for part, images in one.parts().items():
                for path in images:
                    if path not in seen:
                        seen.add(path)
                        yield YoloRecord(self.images[path], self.label(path), part), one
        if not seen:  # there is no data file, or none whose parts are here
            for path, file in self.images.items():
                label = self.label(path)
                if label or "images" in path.split("/")[:-1]:
                    yield YoloRecord(file, label, None), None

    def label(self, image: str) -> File | None:
        """The file of the label of an image; None where there is none."""
        return self.files.get(label_of(image))

    def label_files(self) -> Iterator[File]:
        """The text files that lie where labels do: in a directory called `labels`, or beside images."""
        homes = {path.rpartition("/")[0] for path in self.images}
        beside = {home for path in self.wanted if path in self.files and (home := path.rpartition("/")[0]) in homes}
        lists = {source.path for one in self.sets for source in one.sources if source.listed is not None}
        for path, file in self.files.items():
            home, _, name = path.rpartition("/")
            if not path.endswith(".txt") or name.lower() in _NO_LABELS or path in lists:
                continue
            if path in self.wanted or "labels" in home.split("/") or home in beside:
                yield file

    def _classes(self) -> tuple[tuple[str, ...] | None, str | None]:
        """The names of the classes where there is no data file, and the file that has them."""
        found = sorted((path for path in self.files if path.rpartition("/")[2] in CLASS_FILES), key=_nearness)
        if self.sets or not found:
            return None, None
        try:
            return tuple(yolo_data.classes(wire.wait(self.store.read(found[0])))), found[0]
        except StoreError:
            return None, found[0]

    def _set(self, path: str) -> YoloSet:
        try:
            data, faults = yolo_data.read(wire.wait(self.store.read(path, 0, yolo_data.LONGEST + 1)))
        except StoreError as problem:
            return YoloSet(path, fault=problem.message)
        roots = list(self._roots(path, data.path))
        root = next((root for root in roots if self._leads(root, data)), posixpath.dirname(path))
        elsewhere = (data.path or "").startswith("/") and self._within(data.path or "", "") != root
        sources = tuple(self._source(root, part, item) for part, items in data.parts.items() for item in items)
        return YoloSet(path, data, root, sources, faults=tuple(faults), elsewhere=elsewhere)

    def _roots(self, path: str, said: str | None) -> Iterator[str]:
        """Where the parts may be relative to: what the data file says, from itself or from above the place; itself."""
        home = posixpath.dirname(path)
        if said:
            yield from (root for root in (self._within(said, home), self._within(f"../{said}", "")) if root is not None)
        yield home
        yield ""

    def _within(self, written: str, home: str) -> str | None:
        """A path as a data file has it, as one of the place; None where it leads out of it."""
        full = posixpath.normpath("/".join(("", *self.name, home, written)) if written[:1] != "/" else written)
        place = "/" + "/".join(self.name)
        if full == place:
            return ""
        return full[len(place) :].lstrip("/") if full.startswith(f"{place.rstrip('/')}/") else None

    def _leads(self, root: str, data: YoloData) -> bool:
        return any(self._found(root, item) is not None for items in data.parts.values() for item in items)

    def _found(self, root: str, written: str) -> str | None:
        """Where a directory or list file is; a `../` before it is dropped where it leads to nothing, as readers do."""
        for text in (written, written.removeprefix("../")):
            path = self._within(text, root)
            if path is not None and (path in self.files or self._is_directory(path)):
                return path
        return None

    def _is_directory(self, path: str) -> bool:
        return not path or path in self.directories

    def _source(self, root: str, part: str, written: str) -> Source:
        path = self._found(root, written)
        if path is None:
            return Source(part, written, None)
        if path not in self.files:
            below = f"{path}/" if path else ""
            return Source(part, written, path, tuple(image for image in self.images if image.startswith(below)))
        try:
            text = wire.wait(self.store.read(path, 0, _LONGEST_LIST)).decode("utf-8-sig")
        except (StoreError, UnicodeDecodeError):
            return Source(part, written, None)
        listed = tuple(self._listed(text, root, posixpath.dirname(path)))
        images = (one.path for one in listed if one.path in self.images)
        return Source(part, written, path, tuple(image for image in images if image), listed)

    def _listed(self, text: str, root: str, home: str) -> Iterator[Listed]:
        """The lines of a list: `./` is beside the list; others are below the root, else beside the list."""
        for number, line in enumerate(text.splitlines(), 1):
            if name := line.strip():
                if name.startswith("./"):
                    path = self._within(name, home)
                else:
                    tries = [self._within(name, start) for start in (root, home, "")]
                    path = next((one for one in tries if one in self.images), tries[0])
                yield Listed(path, name, number)


def data_files(store: Store, files: Iterable[File]) -> list[str]:
    """The paths of the data files of a place: YAML with classes and parts, at the place or one directory below."""
    near = [
        file.path
        for file in files
        if file.path.lower().endswith((".yaml", ".yml"))
        and file.path.count("/") <= 1
        and not set_aside(file.path)
        and (file.size or 0) <= yolo_data.LONGEST
    ]
    return [path for path in sorted(near, key=_nearness)[:_TRIED] if _is_data(store, path)]


def _is_data(store: Store, path: str) -> bool:
    try:
        data = wire.wait(store.read(path, 0, yolo_data.LONGEST + 1))
    except StoreError:
        return False
    named = path.rpartition("/")[2].lower() in ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
    return named or yolo_data.looks_like_one(data)


def _nearness(path: str) -> tuple[int, bool, str]:
    return path.count("/"), not path.rpartition("/")[2].startswith("data."), path


def recognized(store: Store, listing: Sequence[File]) -> bool:
    """Whether a place holds YOLO: a data file, or a label in `labels/` for an image in `images/`."""
    paths = {file.path for file in listing}
    found = (path for path in paths if is_image(path) and label_of(path).rpartition("/")[0] != path.rpartition("/")[0])
    if any(label_of(path) in paths for path in found):
        return True
    if any(path.rpartition("/")[2] in CLASS_FILES for path in paths):
        return any(is_image(path) and label_of(path) in paths for path in paths)
    return any(_reads(store, path) for path in data_files(store, listing))


def _reads(store: Store, path: str) -> bool:
    try:
        return yolo_data.looks_like_one(wire.wait(store.read(path, 0, yolo_data.LONGEST + 1)))
    except (StoreError, WrongContent):
        return False


async def read_label(store: Store, label: File, keypoints: Keypoints | None) -> list[yolo.Row | yolo.Fault]:
    """The rows and faults of a label file; what the store raises is raised, WrongContent for more than 64 megabytes."""
    data = await store.read(label.path, 0, _LONGEST_LABEL + 1)
    if len(data) > _LONGEST_LABEL:
        raise WrongContent(f"it has more than {_LONGEST_LABEL:,} bytes, which no label has")
    return list(yolo.read(data, keypoints))
