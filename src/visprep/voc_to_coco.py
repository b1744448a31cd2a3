"""Pascal VOC to COCO: an annotation file for each set, and the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from visprep import provenance, wire
from visprep.convert_output import Made, Output, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.engines.local import map_ordered
from visprep.errors import AccessDenied, BadRecord, StoreError, WrongContent
from visprep.formats import voc_coco, voc_place
from visprep.formats.coco_scaling import scaled_annotation, shrunk
from visprep.formats.voc import VocAnnotation, VocFault
from visprep.formats.voc_coco import SUPERCATEGORIES
from visprep.formats.voc_masks import Segments, segments
from visprep.formats.voc_place import SETS, VocPlace, VocRecord
from visprep.formats.voc_sets import Sets
from visprep.formats.voc_stems import numbers
from visprep.image_loading import see
from visprep.own_record import read_dataset
from visprep.progress import Pulse
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.resizing import picture
from visprep.rules import Depth
from visprep.spool import Spool
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["convert"]

_IMAGES = "images"
_encode = msgspec.json.encode
#: name, corners, and what else the record of an annotation has.
_Object = tuple[str, tuple[float, float, float, float], dict[str, Any]]
#: The number of an image, the record of it, its objects, and its width and height in VOC.
_Row = tuple[int, dict[str, Any], list[_Object], tuple[int, int]]


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    return _Converting(origin, target, wish).run()


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of an annotation: what it says, or why it cannot be converted.

    `size` is that of the image, `segments` what its mask tells of each object, `mask_fault` why that is nothing.
    """

    annotation: VocAnnotation
    size: tuple[int, int] | None = None
    faults: tuple[VocFault, ...] = ()
    segments: Segments | None = None
    mask_fault: str | None = None
    problem: StoreError | None = None


class _Converting:
    """One conversion."""

    def __init__(self, origin: Origin, target: Store, wish: Wish) -> None:
        self.origin, self.target, self.wish = origin, target, wish
        self.store = origin.store
        self.losses = Losses(wish.to)
        self.place = VocPlace(origin.store, origin.listing)
        self.sets = Sets(self.place)
        self.ids = numbers([one.stem for one in self.place.records])
        self.rows: Spool[_Row] = Spool(lambda row: row, lambda row: row)
        self.names: set[str] = set()
        #: How many corners lie within the first pixel where they count from 0, and where they count from 1
        self.edges: Counter[int] = Counter()
        self.bad: set[int] = set()
        self.missing = 0

    def run(self) -> ConvertResult:
        """Read every annotation once, then write."""
        wish, notes = self.wish, list(self.sets.notes)
        step = provenance.step("convert", name_of(self.store), options={"from": "voc", **wish.options})
        with writing(self.target, step, wish) as output:
            self._read_all(output)
            classes = wish.classes.names(sorted(self.names)) if wish.classes else {name: name for name in self.names}
            order = _ordered(classes, wish)
            first = int(self._counts_from_1())
            if not first:
                notes.append(f"{self.edges[0]:,} of the boxes begin at 0: the corners are taken to count from there")
                self._guess()
            self._lose(first)
            for name in self.sets.names:
                document = _Instances(self.rows, self.sets.holds(name), classes, order, first)
                output.document(f"annotations/instances_{name}.json", document)
            output.plan(self._images)
            output.put(self.losses, lossless=wish.lossless)
        if self.missing:
            notes.append(f"{counted(self.missing, 'image')} not there: the JSON alone names them")
        notes += self.origin.left_out(self._used(), "which are no part of it")
        return output.result(
            self.origin.given,
            wish.to,
            "voc",
            self.losses,
            images={name: self.sets.count(name, self.bad) for name in self.sets.names},
            notes=notes,
        )

    def _used(self) -> set[str]:
        """The files that were looked at."""
        used = {path for path in self.place.files if f"/{path}".rpartition(f"/{SETS}/")[1]}
        for one in self.place.records:
            used |= {file.path for file in (one.annotation, *one.images, self.place.object_mask(one)) if file}
            used.add(self.place.mask_path(one.root, one.stem))
        return used

    def _read_all(self, output: Output) -> None:
        """Read every annotation into the spool: numbers, names and texts as they are."""
        records, pulse = self.place.records, Pulse(self.wish.progress)
        taken: dict[str, str] = {}
        jobs = self.wish.jobs or (1 if isinstance(self.store, LocalStore) else None)  # to parse holds the interpreter
        for at, (record, read) in enumerate(zip(records, map_ordered(self._read, records, jobs), strict=True), 1):
            pulse("Reading annotations", at, len(records), "files")
            if read.problem is not None:
                self.bad.add(at)
                output.failed((record.annotation or record.images[0]).path, read.problem)
                continue
            self.missing += not record.images
            self._lose_masks(record, read)
            name = self.sets.file_name(record, read.annotation.filename)
            if name in taken:
                words = f"{record.annotation_path}: its image would be {name}, as that of {taken[name]}"
                self.bad.add(at)
                output.failed(record.annotation_path, WrongContent(words, hint="give one of the two another name"))
                continue
            taken[name] = record.annotation_path
            assert read.size is not None
            new = (shrunk(read.size, self.wish.max_side) if self.wish.max_side else None) or read.size
            objects = list(self._objects(record, read, larger=new != read.size))
            self.rows.append((at, self._image(at, name, record, read, new), objects, read.size))
        for name, path, example, count in self.sets.losses:
            self.losses.lost(name, path, example, count)

    def _read(self, record: VocRecord) -> _Read:
        """An annotation, with the size of its image; of an image without one the size alone."""
        annotation, faults = VocAnnotation(), list[VocFault]()
        try:
            if record.annotation:
                annotation, faults = wire.wait(voc_place.read_annotation(self.store, record.annotation))
            size = annotation.size if annotation.size and min(annotation.size) > 0 else None
            if not size and record.images:
                near = isinstance(self.store, LocalStore)
                size = wire.wait(see(self.store, record.images[0], Depth.HEADERS, near=near)).size
        except StoreError as problem:
            return _Read(annotation, problem=problem)
        if any("its root" in fault.words for fault in faults):
            return _Read(annotation, problem=WrongContent(f"{record.annotation_path}: {faults[0].words}"))
        if not size:
            words = f"{record.annotation_path}: neither it nor an image tells the size of the image"
            return _Read(annotation, problem=WrongContent(words, hint="write <size>, or bring the image"))
        return self._segmented(record, _Read(annotation, size, tuple(faults)))

    def _segmented(self, record: VocRecord, read: _Read) -> _Read:
        """The same, with what the mask of the objects tells."""
        mask = self.place.object_mask(record)
        if mask is None:
            return read
        assert read.size is not None
        try:
            data = wire.wait(self.store.read(mask.path))
            return replace(read, segments=segments(data, read.size, [one.box for one in read.annotation.objects]))
        except StoreError as problem:
            return replace(read, mask_fault=problem.message)

    def _image(self, number: int, name: str, record: VocRecord, read: _Read, size: tuple[int, int]) -> dict[str, Any]:
        """The record of an image that will be of that size; its number is its place among all."""
        path, annotation = record.annotation_path, read.annotation
        keys, whole = voc_coco.image_keys(annotation)
        said = annotation.filename
        if said is not None and said != name.rpartition("/")[2]:
            self.losses.lost("filename", path, repr(said[:60]))
        if not whole:
            self.losses.lost("elements", path, f"the order of those in {path}")
        for image in record.images[1:]:
            self.losses.lost("images", image.path, f"{image.path}, of the same stem as {record.images[0].path},")
        for fault in read.faults:
            if fault.kind == "flag":
                self.losses.lost(f"object.{fault.words.split()[0]}", path, f"line {fault.line}", line=fault.line)
        return {"id": self.ids[number - 1], "file_name": name, "width": size[0], "height": size[1], **keys}

    def _objects(self, record: VocRecord, read: _Read, *, larger: bool) -> Iterator[_Object]:
        """The objects of an image; `larger`: than it will be, so boxes of parts cannot be passed on as they are."""
        path = record.annotation_path
        masks = read.segments.keys if read.segments else ({},) * len(read.annotation.objects)
        for one, mask in zip(read.annotation.objects, masks, strict=True):
            where, box = {"line": one.line}, one.box
            if box is None or not one.name:
                self.losses.lost("object", path, f"the one of line {one.line}, without a name or a box,", **where)
                continue
            if larger and (one.parts or any(map(voc_coco.has_box, one.others))):
                self.losses.lost("object.part", path, f"that of line {one.line}", **where)
                one = replace(one, parts=(), others=())
            keys, whole = voc_coco.object_keys(one)
            if not whole:
                self.losses.lost("object.elements", path, f"their order in line {one.line}", **where)
            self.names.add(one.name)
            least = min(box[:2])
            self.edges[0 if least < 1 else 1 if least < 2 else 2] += 1
            yield one.name, box, mask | keys

    def _lose_masks(self, record: VocRecord, read: _Read) -> None:
        """Tell what is not taken of masks: COCO knows no pixels that are not decided, and no classes of pixels."""
        mask = self.place.object_mask(record)
        if mask and read.mask_fault is not None:
            self.losses.lost("SegmentationObject", mask.path, f"{mask.path}, since {read.mask_fault},")
        elif mask and read.segments and read.segments.undecided:
            self.losses.lost("SegmentationObject.255", mask.path, mask.path)
        classes = None if record.beside else self.place.mask(record.root, record.stem)
        if classes:
            self.losses.lost("SegmentationClass", classes.path, classes.path)

    def _counts_from_1(self) -> bool:
        """Whether the first pixel is called 1: always where visprep wrote the corners, else as most boxes suggest."""
        if self.edges[0] <= self.edges[1]:
            return True
        try:
            dataset = read_dataset(self.store)
        except (AccessDenied, BadRecord):  # S3 says so of what is not there; and others have files of that name
            return False
        steps = dataset.steps if dataset else ()
        return any(step.command == "convert" and step.options.get("to") == "voc" for step in steps)

    def _guess(self) -> None:
        """Tell that nothing in the files says where corners count from."""
        for at, _, objects, _ in self.rows:
            path = self.place.records[at - 1].annotation_path
            words = f"those of {path}, whose corners are guessed to count from 0"
            self.losses.lost("object.bndbox.first", path, words, len(objects))

    def _lose(self, first: int) -> None:
        """Tell which corners do not come back to the last digit."""
        for at, image, objects, _ in self.rows:
            for _, box, _ in objects:
                if not voc_coco.box_of(box, first)[2]:
                    path = self.place.records[at - 1].annotation_path
                    self.losses.lost("object.bndbox", path, f"{image['file_name']}: more than nine decimals")

    def _images(self) -> Iterator[Renamed | Made]:
        for at, image, _, size in self.rows:
            if there := self.place.records[at - 1].images:
                yield picture(f"{_IMAGES}/{image['file_name']}", self.store, there[0], size, self.wish)


def _ordered(classes: Mapping[str, str | None], wish: Wish) -> list[str]:
    """The new names in the order of their numbers: as the lines of `--classes` go, then by name."""
    kept = sorted({name for name in classes.values() if name is not None})
    lines = wish.classes.lines if wish.classes else ()
    said = [classes.get(line.partition("=")[0].strip()) for line in lines]
    return list(dict.fromkeys([*(name for name in said if name is not None), *kept]))


@dataclass(frozen=True, slots=True)
class _Instances:
    """The annotation file of a set. Annotations are numbered over all rows, so that one has one number in every set."""

    rows: Iterable[_Row]
    holds: Callable[[int], bool]
    classes: Mapping[str, str | None]
    order: list[str]
    first: int

    def write(self, path: Path) -> None:
        with path.open("wb") as out:
            out.write(b'{"info": {}, "licenses": [], "categories": [')
            out.write(b",".join(map(_encode, self._categories())))
            out.write(b'],\n"images": [')
            for number, image in enumerate(one for at, one, *_ in self.rows if self.holds(at)):
                out.write((b",\n" if number else b"\n") + _encode(image))
            out.write(b'],\n"annotations": [')
            for number, annotation in enumerate(self._annotations()):
                out.write((b",\n" if number else b"\n") + _encode(annotation))
            out.write(b"]}\n")

    def _categories(self) -> Iterator[dict[str, Any]]:
        voc_own = all(name in SUPERCATEGORIES for name in self.order)
        for number, name in enumerate(self.order, 1):
            above = {"supercategory": SUPERCATEGORIES[name]} if voc_own else {}
            yield {"id": number, "name": name, **above}

    def _annotations(self) -> Iterator[dict[str, Any]]:
        numbers = {name: number for number, name in enumerate(self.order, 1)}
        id = 0
        for at, image, objects, size in self.rows:
            made = image["width"], image["height"]
            for name, corners, keys in objects:
                new = self.classes[name]
                if new is None:
                    continue
                id += 1
                if not self.holds(at):
                    continue
                box, area, _ = voc_coco.box_of(corners, self.first)
                record = {
                    "id": id,
                    "image_id": image["id"],
                    "category_id": numbers[new],
                    "bbox": box,
                    "area": area,
                    "iscrowd": 0,
                    **keys,
                }
                if made != size:
                    record = msgspec.json.decode(scaled_annotation(_encode(record), size, made))
                yield record
