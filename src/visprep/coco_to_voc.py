"""COCO to Pascal VOC: an XML file for each image, the images, and a set for each annotation file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from visprep import provenance
from visprep.coco_named import left_out
from visprep.convert_output import Made, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.formats import voc
from visprep.formats.voc_place import ANNOTATIONS, IMAGE_HOMES, SETS
from visprep.formats.voc_stems import Stems, parted
from visprep.recordsets import coco
from visprep.recordsets.coco_files import CocoFile
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.resizing import picture
from visprep.stores import Store
from visprep.voc_tables import Table, number_losses

__all__ = ["convert"]

#: Which of several files about the same images is taken: VOC knows boxes.
_KINDS = ("instances", "person_keypoints", "keypoints", "stuff", "panoptic", "image_info", "captions")


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    return _Converting(origin, target, wish).run()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an image is in VOC: the name of its files, the ending of its image, and the row that it is told by."""

    stem: str
    suffix: str
    table: Table
    row: int

    @property
    def image(self) -> str:
        return f"{IMAGE_HOMES[0]}/{self.stem}{self.suffix}"

    @property
    def annotation(self) -> str:
        return f"{ANNOTATIONS}/{self.stem}.xml"

    def xml(self) -> bytes:
        """The annotation, as it is written."""
        return voc.write(self.table.annotation(self.row, self.image.rpartition("/")[2]))


class _Converting:
    """One conversion."""

    def __init__(self, origin: Origin, target: Store, wish: Wish) -> None:
        self.origin, self.target, self.wish = origin, target, wish
        self.losses = Losses(wish.to)
        self.places: list[_Place] = []
        self.missing = 0
        self._stems = Stems()
        #: The images that have a place, by where they are
        self._known: dict[str, _Place] = {}

    def run(self) -> ConvertResult:
        """Read every annotation once, then write."""
        wish = self.wish
        files = coco.read([self.origin.given], wish.s3).files
        options = {"from": "coco", **wish.options, **({"file": self.origin.file} if self.origin.file else {})}
        inputs = {file.file.path: file.digest for file in files}
        step = provenance.step("convert", name_of(self.origin.store), options=options, origin={"inputs": inputs})
        with writing(self.target, step, wish) as output:
            chosen = self._choose(files)
            names = _names(chosen, wish)
            sets: dict[str, list[str]] = {}
            for name, file in chosen.items():
                for _, _, problem in file.broken:  # which says where in the file
                    output.failed(file.file.path, problem)
                sets[name] = self._take(Table(file, names, self.losses, wish.max_side))
            number_losses([(place.stem, place.table, place.row) for place in self.places], self.losses)
            for name, stems in sets.items():
                output.document(f"{SETS}/Main/{name}.txt", _Set(tuple(stems)))
            output.plan(self._annotations)
            output.plan(self._images)
            output.put(self.losses, lossless=wish.lossless)
        notes = [f"{counted(self.missing, 'image')} not there: annotations alone were written"] if self.missing else []
        notes += left_out(self.origin, files)
        return output.result(
            self.origin.given,
            wish.to,
            "coco",
            self.losses,
            images={name: len(stems) for name, stems in sets.items()},
            notes=notes,
        )

    def _choose(self, files: Sequence[CocoFile]) -> dict[str, CocoFile]:
        """The file of each group that has boxes, by the name of the set that it becomes; what others say is lost."""
        groups: dict[tuple[str, str], list[CocoFile]] = {}
        for file in sorted(files, key=lambda file: _KINDS.index(file.kind)):
            groups.setdefault(file.group, []).append(file)
        for first, *others in groups.values():
            for file in others:
                count = len(file.file.index.annotations)
                self.losses.lost(f"{file.kind}.annotations", file.file.path, f"beside {first.file.path}", count)
        heads = sorted((group[0] for group in groups.values()), key=lambda file: file.file.path)
        parts = Counter(file.file.split.part for file in heads)
        found: dict[str, CocoFile] = {}
        names = Stems()
        for file in heads:
            split = file.file.split
            name = split.part if split.part and parts[split.part] == 1 else split.name
            found[names.free(parted(f"{name}.txt")[0] or "default")] = file
        return found

    def _take(self, table: Table) -> list[str]:
        """The stems of the images of a file; one that another file told of in the same words is the same."""
        file, images = table.file, table.file.file.index.images
        broken = {row for key, row, _ in file.broken if key == "images"}
        stems = []
        for row, name in enumerate(images.file_names):
            if row in broken:
                continue
            stem, suffix = parted(name or "")
            there = file.image(row)
            where = f"{file.home.store.place}/{there.path}" if there else f"?{name}"
            known = self._known.get(where)
            if known and known.table is not table and known.xml() == replace(known, table=table, row=row).xml():
                stems.append(known.stem)
                continue
            self.missing += there is None
            place = _Place(self._stems.free(stem or f"image_{images.ids[row]}"), suffix, table, row)
            if place.image != f"{IMAGE_HOMES[0]}/{name}":
                self.losses.lost("images.file_name", file.file.path, f"{name!r:.80}, now {place.image}")
            self._known.setdefault(where, place)
            self.places.append(place)
            stems.append(place.stem)
        return stems

    def _annotations(self) -> Iterator[Made]:
        for place in self.places:
            yield Made(place.annotation, place.xml)

    def _images(self) -> Iterator[Renamed | Made]:
        for place in self.places:
            if there := place.table.file.image(place.row):
                store, size = place.table.file.home.store, place.table.size(place.row)
                yield picture(place.image, store, there, size or (1, 1), self.wish)


def _names(files: Mapping[str, CocoFile], wish: Wish) -> dict[str, str | None]:
    """What becomes of each class, None for one that is dropped."""
    known = list(dict.fromkeys(one.name for file in files.values() for one in file.file.index.categories))
    return wish.classes.names(known) if wish.classes else {name: name for name in known}


@dataclass(frozen=True, slots=True)
class _Set:
    """A set with these images."""

    stems: tuple[str, ...]

    def write(self, path: Path) -> None:
        path.write_bytes(voc.write_set(self.stems))
