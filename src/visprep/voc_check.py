"""A dataset of Pascal VOC at a place: what is wrong with its annotations, images and sets, and between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from visprep.errors import StoreError, VisprepError
from visprep.findings import Finding
from visprep.formats import voc_place
from visprep.formats.voc_place import VocPlace, VocRecord
from visprep.formats.xml_tree import NotXml
from visprep.image_loading import Seen, told_by_size, unseen, whole
from visprep.looking import Looking
from visprep.manifest import File
from visprep.rounds import Eye, Work
from visprep.rules import Depth, strays, voc, voc_sets
from visprep.rules import files as file_rules
from visprep.selection import Scope
from visprep.stores import Store
from visprep.traffic import Traffic

#: A record, and the file of its mask.
_Item = tuple[VocRecord, File | None]


@dataclass(slots=True)
class _Sight:
    """What looking at one record gave: what is wrong, and how often each class is there."""

    findings: list[Finding] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def recognize(look: Looking) -> VocCheck | None:
    """The check of a place with XML in Annotations/, or with XML of VOC beside its image."""
    return VocCheck(look) if voc_place.recognized(look.store, look.listing) else None


class VocCheck:
    """One look at a place."""

    def __init__(self, look: Looking) -> None:
        self.look, self.depth = look, look.depth
        self.place = VocPlace(look.store, look.listing)
        self.sets = list(self.place.sets())
        self.objects: int | None = None

    #: An image and its annotation are two files in two directories, and no directory is a record.
    homes: Iterable[str] = ()

    def widened(self, changed: frozenset[str]) -> Iterable[str]:
        """Nothing: what is wrong with a set is told at the set."""
        return ()

    def records(self, scope: Scope) -> Mapping[str, int]:
        """How many images are looked at, and how many objects their annotations have, as far as they were read."""
        images = sum(len(one.images) for one in self._held(scope))
        return {"images": images, **({} if self.objects is None else {"objects": self.objects})}

    def findings(self, scope: Scope) -> Iterator[Finding]:
        """What is wrong with names and sets, and with the records that the scope holds."""
        yield from strays.check_links(self.look.store, self.place.files.values(), "xml")
        if not any(one.annotation for one in self.place.records):
            yield voc_sets.NO_VOC.at(".", "no annotation is here")
            return
        tests = (one for one in self.sets if one.part == "test")
        kept_back = {f"{one.root}/{member.stem}".lstrip("/") for one in tests for member in one.members}
        yield from voc_sets.check_names(self.place.records, frozenset(kept_back))
        yield from voc_sets.check_sets(self.place, self.sets)
        held = self._held(scope)
        if self.depth.reaches(Depth.HEADERS):
            yield from self._each(held)
        else:
            yield from told_by_size((image for one in held for image in one.images), self.depth)

    def reads(self, scope: Scope) -> Traffic:
        """What would be read."""
        held = self._held(scope)
        images = [image for one in held for image in (*one.images, *filter(None, [self._mask(one)]))]
        annotations = (one.annotation for one in held if one.annotation and self.depth.reaches(Depth.HEADERS))
        return self.look.reads(images) + whole(annotations)

    def _held(self, scope: Scope) -> list[VocRecord]:
        if scope.whole:
            return self.place.records
        return [one for one in self.place.records if scope.holds(one.annotation_path) or scope.holds(one.image_path)]

    def _each(self, held: list[VocRecord]) -> Iterator[Finding]:
        names: dict[str, tuple[int, str]] = {}
        self.objects = 0
        items = ((record, self._mask(record)) for record in held)
        sights = self.look.rounds.over("Looking at images", items, _LOOKING, "images", total=len(held))
        for record, sight in zip(held, sights, strict=True):
            yield from sight.findings
            self.objects += len(sight.names)
            for name in filter(None, sight.names):
                count, path = names.get(name, (0, record.annotation_path))
                names[name] = count + 1, path
        yield from voc_sets.check_classes(names)

    def _mask(self, record: VocRecord) -> File | None:
        return None if record.beside else self.place.mask(record.root, record.stem)


async def _looked_into(eye: Eye, item: _Item) -> _Sight:
    record, mask = item
    sight = _Sight()
    seen = Seen()
    for image in reversed(record.images):  # of several, the first is held against the annotation
        seen = await _seen(eye, image, sight)
    if mask:
        of_mask = await _seen(eye, mask, sight)
        if seen.size and of_mask.size and seen.size != of_mask.size:
            words = f"it has {_shown(of_mask.size)} pixels, and {record.image_path} has {_shown(seen.size)}"
            sight.findings.append(voc_sets.VOC_MASK_SIZE.at(mask.path, words, image=record.image_path))
    if record.annotation:
        await _read(eye.store, record, record.annotation, seen, sight)
    return sight


async def _seen(eye: Eye, file: File, sight: _Sight) -> Seen:
    seen = await eye.see(file)
    sight.findings.extend(seen.findings)
    return seen


async def _read(store: Store, record: VocRecord, file: File, seen: Seen, sight: _Sight) -> None:
    """Hold an annotation against the rules, and against its image."""
    try:
        annotation, faults = await voc_place.read_annotation(store, file)
    except NotXml as problem:
        rule = voc.VOC_XML_REFUSED if problem.refused else voc.VOC_XML_DAMAGED
        where = {"line": problem.line, "column": problem.column, "image": record.image_path}
        sight.findings.append(rule.at(file.path, f"line {problem.line}: {problem.message}", **where))
        return
    except StoreError as problem:
        sight.findings.append(file_rules.FILE_UNREADABLE.at(file.path, problem.message))
        return
    sizes = {"stored": seen.size, "upright": seen.upright}
    sight.findings += voc.check(annotation, faults, file.path, image=record.image_path, **sizes)
    if record.images and not any("its root" in fault.words for fault in faults):
        sight.findings += voc_sets.check_file_name(annotation, record)
    sight.names.extend(one.name for one in annotation.objects)


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _files(item: _Item) -> Iterator[File]:
    record, mask = item
    yield from record.images
    yield from filter(None, (mask, record.annotation))


def _lost(item: _Item, error: VisprepError) -> _Sight:
    return _Sight([finding for file in _files(item) for finding in unseen(file, error).findings])


_LOOKING = Work(_looked_into, _files, _lost, _Sight)
