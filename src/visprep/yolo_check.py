"""A dataset of YOLO at a place: what is wrong with its data file, its labels and images, and between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from visprep.errors import StoreError, VisprepError
from visprep.findings import Finding
from visprep.formats import yolo_place
from visprep.formats.yolo import Keypoints, Row, label_of
from visprep.formats.yolo_place import YoloPlace, YoloRecord, YoloSet
from visprep.image_loading import Seen, told_by_size, unseen, whole
from visprep.looking import Looking
from visprep.manifest import File
from visprep.render.text import counted
from visprep.rounds import Eye, Work
from visprep.rules import Depth, strays, yolo, yolo_data
from visprep.rules import files as file_rules
from visprep.selection import Scope
from visprep.traffic import Traffic

#: Images that ultralytics takes and nothing here can open.
_UNKNOWN = (".heic", ".pfm")

Held = tuple[YoloRecord, YoloSet | None]


def recognize(look: Looking) -> YoloCheck | None:
    """The check of a place with a data file, or with a label in `labels` for an image in `images`."""
    return YoloCheck(look) if yolo_place.recognized(look.store, look.listing) else None


class YoloCheck:
    """One look at a place."""

    def __init__(self, look: Looking) -> None:
        self.look, self.depth = look, look.depth
        self.place = YoloPlace(look.store, look.listing, look.place_name)
        self.found: list[Held] = list(self.place.records())
        self.objects: int | None = None

    #: An image and its label are two files in two directories, and no directory is a record.
    homes: Iterable[str] = ()

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """All of the place, where a data file, a list or the names of the classes changed."""
        told = {one.path for one in self.place.sets} | {self.place.class_file}
        told |= {source.path for one in self.place.sets for source in one.sources if source.listed is not None}
        return (".",) if changed & told else ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many images are looked at, and how many objects their labels have, as far as they were read."""
        return {"images": len(self._held(scope)), **({} if self.objects is None else {"objects": self.objects})}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with the data files, with names, and with the images and labels that the scope holds."""
        yield from strays.check_links(self.look.store, self.place.files.values(), "txt")
        for one in self.place.sets:
            yield from yolo_data.check(one)
            yield from yolo_data.repeated(one)
        labeled = any(record.label for record, _ in self.found)
        if not labeled and (self.place.images or not any(self.place.label_files())):
            yield yolo.NO_LABELS.at(".", "no image here has a label")
        elif not self.place.sets:
            yield yolo_data.YOLO_DATA_MISSING.at(".", "there are labels, and no data.yaml")
        yield from self._missing()
        yield from self._unused()
        held = self._held(scope)
        if self.depth.reaches(Depth.HEADERS):
            self.objects = 0
            told: set[tuple[str, str, str]] = set()  # a label that two images share is read with each of them
            named = None if self.place.class_names is None else len(self.place.class_names)
            items = (_Item.of(record, among, named) for record, among in held)
            looked = self.look.rounds.over("Looking at images", items, _LOOKING, "images", total=len(held))
            for findings, objects in looked:
                self.objects += objects
                for finding in findings:
                    shared = len(self.place.wanted.get(finding.path, ())) > 1
                    if not shared or (finding.code, finding.path, finding.message) not in told:
                        yield finding
                    if shared:
                        told.add((finding.code, finding.path, finding.message))
        else:
            yield from told_by_size((record.image for record, _ in held), self.depth)

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        held = self._held(scope)
        images = self.look.reads(record.image for record, _ in held)
        labels = (record.label for record, _ in held if record.label and self.depth.reaches(Depth.HEADERS))
        return images + whole(labels)

    def _held(self, scope: Scope) -> list[Held]:
        if scope.whole:
            return self.found
        return [one for one in self.found if scope.holds(one[0].image.path) or scope.holds(one[0].label_path)]

    def _missing(self) -> Iterator[Finding]:
        """The images without a label: together where a part has none at all."""
        has = Counter(((one.path if one else None), record.part) for record, one in self.found if record.label)
        told: set[tuple[str | None, str | None]] = set()
        for record, one in self.found:
            key = (one.path if one else None), record.part
            if record.label or (record.part == "test" and not has[key]):
                continue
            if has[key] or record.part is None or one is None:
                if has.total():  # else it is no-labels
                    words = f"its label would be {record.label_path}"
                    yield yolo.YOLO_LABEL_MISSING.at(record.image.path, words, file=record.label_path)
            elif key not in told and has.total():
                told.add(key)
                words = f"no image of {record.part} has a label: that of {record.image.path} would be"
                line = one.data.lines.get(record.part, 1)
                path = one.path or "."
                yield yolo.YOLO_LABELS_MISSING.at(path, f"{words} {record.label_path}", line=line, key=record.part)

    def _unused(self) -> Iterator[Finding]:
        """Labels without an image, or with several, or with one that is in no part."""
        if not self.place.images:
            if count := sum(1 for _ in self.place.label_files()):
                yield yolo.YOLO_LABEL_UNUSED.at(".", f"there are {counted(count, 'label')}, and no image", count=count)
            return
        held = {record.image.path for record, _ in self.found}
        told = {label_of(path) for one in self.place.sets for path in one.absent}  # with the list that names the image
        for file in self.place.label_files():
            images = self.place.wanted.get(file.path, [])
            if not images and file.path in told:
                continue
            if not images:
                yield yolo.YOLO_LABEL_UNUSED.at(file.path, f"there is no image for {file.path}")
            elif len(images) > 1:
                words = f"{' and '.join(images)} have one label: {file.path}"
                yield yolo.YOLO_STEM_SHARED.at(images[0], words, label=file.path, other=images[1])
            elif self.place.sets and images[0] not in held and self._readable():
                words = f"it has the label {file.path}, and is in no part of {self.place.sets[0].path}"
                yield yolo.YOLO_IMAGE_UNLISTED.at(images[0], words, label=file.path)

    def _readable(self) -> bool:
        """Whether it is known what is in a part: a data file that cannot be read, or names nothing, tells nothing."""
        return all(source.path for one in self.place.sets for source in one.sources) and all(
            one.sources for one in self.place.sets
        )


@dataclass(frozen=True, slots=True)
class _Item:
    """An image with its label, how many classes there are, and `kpt_shape`."""

    image: File
    label: File | None
    count: int | None
    keypoints: Keypoints | None

    @classmethod
    def of(cls, record: YoloRecord, one: YoloSet | None, named: int | None) -> _Item:
        """Of an image of a dataset; without one, `named` classes have names."""
        return cls(record.image, record.label, one.data.count if one else named, one.keypoints if one else None)

    @property
    def files(self) -> Iterator[File]:
        """What of it is read."""
        yield from filter(None, (self.image, self.label))


async def _looked_into(eye: Eye, item: _Item) -> tuple[list[Finding], int]:
    """What is wrong with an image and its label, and how many objects it has."""
    unknown = item.image.path.lower().endswith(_UNKNOWN)
    seen = Seen() if unknown else await eye.see(item.image)
    findings = [*seen.findings, *yolo.check_size(item.image.path, seen.size)]
    if item.label is None:
        return findings, 0
    try:
        rows = await yolo_place.read_label(eye.store, item.label, item.keypoints)
    except StoreError as problem:
        return [*findings, file_rules.FILE_UNREADABLE.at(item.label.path, problem.message)], 0
    path, image = item.label.path, item.image.path
    findings += yolo.check(rows, path, image=image, count=item.count, keypoints=item.keypoints, size=seen.upright)
    return findings, sum(isinstance(row, Row) for row in rows)


def _lost(item: _Item, error: VisprepError) -> tuple[list[Finding], int]:
    return [*unseen(item.image, error).findings], 0


_LOOKING = Work(_looked_into, lambda item: item.files, _lost, tuple[list[Finding], int])
