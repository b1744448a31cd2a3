"""YOLO to COCO: an annotation file for each directory or list of images that data.yaml names, and the images."""

from __future__ import annotations

import contextlib
import posixpath
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeAlias

import msgspec

from visprep import provenance, wire
from visprep.convert_output import Made, Output, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.engines.local import map_ordered
from visprep.errors import UsageError, VisprepError, WrongContent
from visprep.formats import yolo_place
from visprep.formats.coco_place import split_of
from visprep.formats.coco_scaling import shrunk
from visprep.formats.yolo import Fault, Keypoints, Row, Wrong
from visprep.formats.yolo_coco import id_of, ids_of, read_back
from visprep.formats.yolo_place import YoloPlace, YoloRecord, YoloSet
from visprep.image_headers import HEAD_BYTES, probe
from visprep.image_loading import see
from visprep.progress import Pulse
from visprep.renamed import Renamed
from visprep.render.text import counted
from visprep.resizing import picture
from visprep.rules import Depth
from visprep.stores import Store
from visprep.stores.local import LocalStore

__all__ = ["convert"]

#: Images whose sizes and labels a thread reads in one go.
_TOGETHER = 64

Size = tuple[int, int]
#: What was read of an image: its size and rows, or the file at fault and why.
Read: TypeAlias = "tuple[Size, list[Row]] | tuple[str, VisprepError]"


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    name = posixpath.basename(name_of(origin.store).rstrip("/"))
    place = YoloPlace(origin.store, origin.listing, (name,) if name else ())
    data = place.sets[0] if place.sets else YoloSet()
    if data.fault:
        raise WrongContent(f"{data.path}: {data.fault}", hint="visprep verify --as yolo says all that is wrong with it")
    losses = Losses(wish.to)
    for key in data.data.others.keys() - {"kpt_names"}:
        losses.lost(f"data.{key}", data.path or ".", f"line {data.data.lines.get(key, 1)}")
    losses.lost("data.flip_idx", data.path or ".", "flip_idx", records=int(bool(data.data.flip)))
    lacking = list(_lacking(data))
    for path, error in lacking:
        losses.lost("images", path, f"those of {error.message.partition(': ')[2]},")
    groups = _groups(place, data)
    classes = _Classes.of(place, data, wish, groups)
    step = provenance.step("convert", name_of(origin.store), options={"from": "yolo", **wish.options})
    with writing(target, step, wish) as output:
        for path, error in lacking:
            output.failed(path, error)
        ids = ids_of(record.image.path for records in groups.values() for record in records)
        numbers = _Numbers(ids is not None)
        counts: dict[str, int] = {}
        for group, records in groups.items():
            kind = "person_keypoints" if data.keypoints else "instances"
            made = _Document(origin.store, records, group, classes, numbers, output, wish, losses)
            output.document(f"annotations/{kind}_{group}.json", made)
            output.plan(partial(_pictures, origin.store, group, made))
            counts[group] = len(records) - len(made.bad)
        output.put(losses, lossless=wish.lossless)
    others = [one.path for one in place.sets[1:]]
    return output.result(
        origin.given,
        wish.to,
        "yolo",
        losses,
        images=counts,
        notes=(*_notes(data, others), *_left_out(origin, place, groups)),
    )


def _lacking(data: YoloSet) -> Iterator[tuple[str, VisprepError]]:
    """The parts that data.yaml names and that have no image here, or not all of theirs, and what to correct."""
    path = data.path or "."
    for source in data.sources:
        named = f"{source.part}: {source.written}"
        hint = f"correct {source.part} in {path}, bring the images, or take them out of it"
        if source.path is None:
            yield path, WrongContent(f"{path}: {named} is not here", hint=hint)
            continue
        there = frozenset(source.images)
        gone = [one.written for one in source.listed or () if one.path not in there]
        if not there:
            yield path, WrongContent(f"{path}: {named} has no image", hint=hint)
        elif gone:
            words = f"{source.path}: {counted(len(gone), 'image')} not here: {gone[0]}"
            yield source.path, WrongContent(words, hint=hint)


def _left_out(origin: Origin, place: YoloPlace, groups: Mapping[str, Sequence[YoloRecord]]) -> Iterator[str]:
    known = [*(one.path for one in place.sets), *(source.path for one in place.sets for source in one.sources)]
    used = {path for path in (*known, place.class_file) if path}
    for records in groups.values():
        for record in records:
            used.add(record.image.path)
            if record.label:
                used.add(record.label.path)
    return origin.left_out(used, "which are in no part")


def _pictures(store: Store, group: str, made: _Document) -> Iterator[Renamed | Made]:
    for record in made.records:
        path = record.image.path
        if path not in made.bad:
            yield picture(f"{group}/{made.names[path]}", store, record.image, made.sizes.get(path, (1, 1)), made.wish)


def _groups(place: YoloPlace, data: YoloSet) -> dict[str, list[YoloRecord]]:
    """The images by the directory or list that names them, each once: what the annotation file is called after.

    That is the name of the directory below or above `images`, the part of a list. Without data.yaml, directories count
    that are called after a part.
    """
    found: dict[str, list[YoloRecord]] = {}
    seen: set[str] = set()
    for source in data.sources:
        group = _called(source.path) if source.path and source.listed is None else None
        for path in source.images:
            if path not in seen:
                seen.add(path)
                found.setdefault(group or source.part, []).append(_record(place, path, source.part))
    if not seen:
        for record, _ in place.records():
            group = _called(record.image.path.rpartition("/")[0])
            part = split_of(f"{group}.json").part if group else None
            found.setdefault(group if group and part else "all", []).append(record)
    if not found:
        raise UsageError(f"{place.store.place}: no image is there", hint="visprep verify --as yolo says what is wrong")
    return {group: sorted(records, key=lambda one: one.image.path) for group, records in sorted(found.items())}


def _record(place: YoloPlace, path: str, part: str) -> YoloRecord:
    return YoloRecord(place.images[path], place.label(path), part)


def _called(directory: str) -> str | None:
    """What a directory of images is called: images/val2017 and val2017/images are val2017."""
    parts = [part for part in directory.split("/") if part]
    if "images" in parts:
        at = len(parts) - 1 - parts[::-1].index("images")
        after, before = parts[at + 1 :], parts[:at]
        return after[0] if after else before[-1] if before else None
    return parts[-1] if parts else None


@dataclass(frozen=True)
class _Classes:
    """The categories, by number of the class, None for one that is dropped; and the names of keypoints."""

    ids: Sequence[int | None]
    names: Sequence[str]
    keypoints: Keypoints | None
    joints: Mapping[int, Sequence[str]]

    @classmethod
    def of(cls, place: YoloPlace, data: YoloSet, wish: Wish, groups: Mapping[str, Sequence[YoloRecord]]) -> _Classes:
        """Those that data.yaml or classes.txt names; UsageError where nothing tells how many there are."""
        if data.data.names:
            old = [data.data.names.get(number, str(number)) for number in range(max(data.data.names) + 1)]
        elif data.data.count:
            old = [str(number) for number in range(data.data.count)]
        elif place.class_names:
            old = list(place.class_names)
        else:
            words = f"{place.store.place}: neither data.yaml nor classes.txt tells what the classes are called"
            raise UsageError(words, hint="write classes.txt beside images/, a name a line")
        new = wish.classes.names(old) if wish.classes else {name: name for name in old}
        kept = [new[name] for name in old]
        if wish.classes:  # classes that come to be called alike are one
            names = list(dict.fromkeys(name for name in kept if name is not None))
            ids = [None if name is None else names.index(name) + 1 for name in kept]
        else:
            names, ids = old, list(range(1, len(old) + 1))
        joints: dict[int, Sequence[str]] = {}
        for id, given in zip(ids, _joints(data, len(ids)), strict=True):
            if id is not None and len(given) > len(joints.get(id, ())):
                joints[id] = given
        return cls(ids, names, data.keypoints, joints)

    def fit(self, told: dict[str, Any], category: int) -> bool:
        """Leave an annotation the keypoints that its class has; whether those that go were zeros."""
        most = 3 * len(self.joints.get(category, ()))
        over = told["keypoints"][most:]
        if not most:
            del told["keypoints"], told["num_keypoints"]
        elif over:
            told["keypoints"] = told["keypoints"][:most]
            told["num_keypoints"] = sum(flag > 0 for flag in told["keypoints"][2::3])
        return not any(over)

    def encoded(self) -> bytes:
        """The list of categories."""
        found: list[dict[str, object]] = []
        for id, name in enumerate(self.names, 1):
            joints = {"keypoints": self.joints[id], "skeleton": []} if id in self.joints else {}
            found.append({"id": id, "name": name, **joints})
        return msgspec.json.encode(found)


def _joints(data: YoloSet, classes: int) -> list[list[str]]:
    """The names of the keypoints of each class; none where the class has none.

    All rows have as many numbers. A class that has fewer keypoints than others is named up to its last, and has numbers
    for the rest, as ultralytics has for all where nobody names them.
    """
    if not data.keypoints:
        return [[] for _ in range(classes)]
    most = data.keypoints[0]
    told = data.data.others.get("kpt_names")
    given = [told.get(str(number)) if isinstance(told, dict) else None for number in range(classes)]
    fine = [list(map(str, one)) if isinstance(one, list) and len(one) == most else [] for one in given]
    full = any(one and one[-1] != str(most - 1) for one in fine)
    found = []
    for one in fine:
        names = one or list(map(str, range(1, most + 1)))
        while one and full and names and names[-1] == str(len(names) - 1):
            names.pop()
        found.append(names)
    return found


@dataclass
class _Numbers:
    """The ids that are given next: no two files of a place share one. `named`: those of images are told by names."""

    named: bool
    image: int = 1
    annotation: int = 1

    def of(self, path: str) -> int:
        """That of the next image."""
        number, self.image = self.image, self.image + 1
        told = id_of(path) if self.named else None
        return number if told is None else told


@dataclass
class _Document:
    """The annotation file of a group.

    Once it is written, `bad` are the images that are not in it, and `sizes` those of images that are to be smaller.
    """

    store: Store
    records: list[YoloRecord]
    group: str
    classes: _Classes
    numbers: _Numbers
    output: Output
    wish: Wish
    losses: Losses
    bad: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, Size] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """See `Document`."""
        self.names = _names([record.image.path for record in self.records], self.group)
        with path.open("wb") as out, tempfile.TemporaryFile(prefix="visprep-") as aside:
            out.write(b'{"images": [')
            self._images(out, aside)
            out.write(b'],\n"annotations": [')
            aside.seek(0)
            for block in iter(partial(aside.read, 1 << 20), b""):
                out.write(block)
            out.write(b'],\n"categories": ' + self.classes.encoded() + b"}\n")

    def _images(self, out: IO[bytes], aside: IO[bytes]) -> None:
        pulse, images, rows = Pulse(self.wish.progress), 0, 0
        rest = iter(self.records)
        batches = iter(lambda: list(islice(rest, _TOGETHER)), [])
        for done, some in enumerate(map_ordered(self._read, batches, self.wish.jobs), 1):
            pulse("Reading labels", min(done * _TOGETHER, len(self.records)), len(self.records))
            for record, found in some:
                number = self.numbers.of(record.image.path)
                if isinstance(found[1], VisprepError):
                    self.bad.add(record.image.path)
                    self.output.failed(str(found[0]), found[1])
                    continue
                size, objects = found
                assert not isinstance(size, str)
                if self.wish.max_side and (smaller := shrunk(size, self.wish.max_side)):
                    self.sizes[record.image.path], size = size, smaller
                image = {"id": number, "file_name": self.names[record.image.path], "width": size[0], "height": size[1]}
                out.write(b",\n" if images else b"\n")
                out.write(msgspec.json.encode(image))
                images += 1
                for row in objects:
                    category = self.classes.ids[row.label]
                    if category is None:
                        continue
                    told = read_back(row, size, self.classes.keypoints)
                    if self.classes.keypoints and not self.classes.fit(told, category) and record.label:
                        self.losses.lost("keypoints", record.label.path, f"line {row.line}", line=row.line)
                    head = {"id": self.numbers.annotation, "image_id": number, "category_id": category}
                    self.numbers.annotation += 1
                    aside.write(b",\n" if rows else b"\n")
                    aside.write(msgspec.json.encode({**head, **told}))
                    rows += 1

    def _read(self, some: Sequence[YoloRecord]) -> list[tuple[YoloRecord, Read]]:
        jobs = ((at, self._one(record)) for at, record in enumerate(some))
        found = dict(wire.run(jobs))
        both = ((record, found[at]) for at, record in enumerate(some))
        return [(one, (one.image.path, what) if isinstance(what, VisprepError) else what) for one, what in both]

    async def _one(self, record: YoloRecord) -> Read:
        """The size of an image and the rows of its label, or what is wrong with one of them."""
        size = None
        with contextlib.suppress(WrongContent):
            facts = probe(await self.store.read(record.image.path, 0, HEAD_BYTES))
            size = facts.size[::-1] if facts.orientation >= 5 else facts.size
        if size is None:  # its pixels may begin later, or it is none: that takes a closer look
            seen = await see(self.store, record.image, Depth.HEADERS, near=isinstance(self.store, LocalStore))
            if seen.upright is None:
                why = seen.findings[0].message if seen.findings else "nothing tells its size"
                return record.image.path, WrongContent(f"{record.image.path}: {why}")
            size = seen.upright
        if record.label is None:
            return size, []
        rows: list[Row] = []
        for row in await yolo_place.read_label(self.store, record.label, self.classes.keypoints):
            if isinstance(row, Row) and 0 <= row.label < len(self.classes.ids):
                rows.append(row)
            elif not isinstance(row, Fault) or row.wrong not in (Wrong.BLANK, Wrong.CLASS_FLOAT):
                words = row.words if isinstance(row, Fault) else f"there is no class {row.label}"
                return record.label.path, WrongContent(f"{record.label.path}: line {row.line}: {words}")
        return size, rows


def _names(paths: Sequence[str], group: str) -> dict[str, str]:
    """What each image is called in its directory: its path below images/, and below the group where all are there."""
    found = {}
    for path in paths:
        parts = path.split("/")
        if "images" in parts[:-1]:
            at = len(parts) - 1 - parts[::-1].index("images")
            parts = parts[:at] + parts[at + 1 :] if parts[:at] != [group] else parts[at + 1 :]
        found[path] = "/".join(parts)
    if len(set(found.values())) < len(found):  # images/a.jpg and a.jpg
        return {path: path for path in paths}
    prefix = f"{group}/"
    if all(name.startswith(prefix) for name in found.values()):
        return {path: name.removeprefix(prefix) for path, name in found.items()}
    return found


def _notes(data: YoloSet, others: Sequence[str | None]) -> Iterator[str]:
    if data.keypoints and not data.data.others.get("kpt_names"):
        yield f"{data.path} has no kpt_names: keypoints are called 1 to {data.keypoints[0]}"
    if others:
        yield f"{data.path} is read, and not {', '.join(map(str, others))}"
