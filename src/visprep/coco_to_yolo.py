"""COCO to YOLO: images and labels of each split, and data.yaml; all rows of a directory are of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from visprep import provenance
from visprep.coco_named import left_out
from visprep.convert_output import Made, writing
from visprep.converting import ConvertResult, Losses, Origin, Wish
from visprep.copy_ends import name_of
from visprep.errors import UsageError
from visprep.formats import yolo_data
from visprep.formats.coco_json import MISSING, Index
from visprep.formats.coco_parts import frame
from visprep.formats.coco_scan import Records, scan
from visprep.formats.yolo import label_of
from visprep.formats.yolo_coco import Task, flips, ids_of
from visprep.formats.yolo_data import YoloData
from visprep.progress import Pulse
from visprep.recordsets import coco
from visprep.recordsets.coco_files import CocoFile
from visprep.renamed import Renamed
from visprep.resizing import picture
from visprep.stores import Store
from visprep.yolo_labels import Labels, Wanted

__all__ = ["convert"]

DATA = "data.yaml"
#: What of a category a class carries; ids are told by themselves.
_CARRIED = frozenset({"id", "name"})
_JOINTS = frozenset({"keypoints"})


def convert(origin: Origin, target: Store, wish: Wish) -> ConvertResult:
    """See `visprep.convert`."""
    files = coco.read([origin.given], wish.s3).files
    losses = Losses(wish.to)
    told = [_Told(file, frame(file.file.index)) for file in files]
    chosen, task = _chosen(told, Task(wish.task) if wish.task else None, losses)
    wanted, data = _classes(chosen, task, wish, losses)
    for one in chosen:
        one.tell(losses)
    named = {"file": chosen[0].file.file.path} if origin.file else {}
    options = {"from": "coco", "task": task.value, **wish.options, **named}
    inputs = {one.file.file.path: one.file.digest for one in chosen}
    step = provenance.step("convert", name_of(chosen[0].file.home.store), options=options, origin={"inputs": inputs})
    with writing(target, step, wish) as output:
        sheets, taken = _sheets(chosen), set[str]()
        for sheet in sheets:
            sheet.make(wanted, losses, Pulse(wish.progress), taken)
            for path, error in sheet.failures:
                output.failed(path, error)
        if not any(sheet.kept.any() for sheet in sheets):
            for _, error in (one for sheet in sheets for one in sheet.failures):
                raise error
            words = f"{origin.given}: none of its images is there, and labels without images say nothing"
            raise UsageError(words, hint="bring the images first, beside annotations/")
        number = 1
        for sheet in sorted(sheets, key=lambda sheet: sheet.directory):
            number = sheet.tell_ids(number, losses)
        parts, notes = _parts(sheets)
        notes = (*notes, *left_out(origin, files))
        output.document(DATA, _Bytes(yolo_data.write(YoloData(**data, parts=parts))))
        for sheet in sheets:
            output.plan(partial(_planned, sheet, wish))
        output.put(losses, lossless=wish.lossless)
    return output.result(
        origin.given,
        wish.to,
        "coco",
        losses,
        images={sheet.directory: int(sheet.kept.sum()) for sheet in sheets},
        notes=notes,
    )


def _planned(sheet: Labels, wish: Wish) -> Iterator[Renamed | Made]:
    for path, file, row, size in sheet.images():
        yield picture(path, sheet.source.home.store, file, size, wish)
        yield Made(label_of(path), partial(sheet.label, row))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """A document that is known already."""

    data: bytes

    def write(self, path: Path) -> None:
        path.write_bytes(self.data)


@dataclass(frozen=True)
class _Told:
    """An annotation file, and what stands in it beside images and annotations."""

    file: CocoFile
    top: Mapping[str, Any]

    @property
    def boxes(self) -> bool:
        """Whether its annotations have classes: captions and panoptic ones have none."""
        return bool((self.file.file.index.annotations.category_ids != MISSING).any())

    def tell(self, losses: Losses) -> None:
        """What stands at the top and is lost."""
        for key, value in self.top.items():
            if key != "categories":
                count = len(value) or 1 if isinstance(value, list) else 1
                losses.lost(key, self.file.file.path, f"/{key}", records=count)

    def task(self) -> Task:
        """What its annotations are good for: keypoints where its categories have such, polygons and masks, or boxes."""
        joints = any(one.get("keypoints") for one in self.top.get("categories", ()))
        found = _kinds(self.file.file.index, joints)
        return Task.POSE if "keypoints" in found else Task.SEGMENT if "segmentation" in found else Task.DETECT


class _Kind(msgspec.Struct, gc=False):
    keypoints: msgspec.Raw = msgspec.Raw(b"")
    segmentation: msgspec.Raw = msgspec.Raw(b"")


_LOOSE: msgspec.json.Decoder[list[_Kind]] = msgspec.json.Decoder(list[_Kind])
_NOTHING = frozenset({b"", b"[]", b"null", b"{}"})


def _kinds(index: Index, joints: bool) -> set[str]:
    """Which of keypoints and segmentations the annotations have; only as far as it takes to know."""
    found: set[str] = set()
    for event in scan(index.file.chunks(), {"annotations": _LOOSE}):
        if isinstance(event, Records) and event.key == "annotations":
            for row in event.rows or ():
                if joints and bytes(row.keypoints) not in _NOTHING:
                    return {"keypoints"}
                if bytes(row.segmentation) not in _NOTHING:
                    found.add("segmentation")
            if found and not joints:
                break
    return found


def _chosen(told: Sequence[_Told], task: Task | None, losses: Losses) -> tuple[list[_Told], Task]:
    """Of each split the file that becomes labels, and the task of them all; UsageError where several could."""
    groups: dict[tuple[str, str], list[tuple[_Told, Task]]] = {}
    for one in told:
        if one.boxes or not len(one.file.file.index.annotations):
            groups.setdefault(one.file.group, []).append((one, one.task()))
    for one in told:
        if one.file.group not in groups:
            groups[one.file.group] = [(one, Task.DETECT)]  # its images show nothing then
    chosen = []
    for some in groups.values():
        fit = [one for one in some if (one[1] is Task.POSE) == (task is Task.POSE)] if task else some
        fit = [one for one in fit if one[0].boxes] or fit or some
        if len(fit) > 1:
            names = " and ".join(one.file.file.path for one, _ in fit)
            hint = f"name one of them, or say --task {' or --task '.join(sorted({kind.value for _, kind in fit}))}"
            raise UsageError(f"{names} tell of the same images, and a directory of YOLO has one task", hint=hint)
        chosen.append(fit[0])
    kept = {id(one) for one, _ in chosen}
    for one in told:
        if id(one) not in kept and (count := len(one.file.file.index.annotations)):
            losses.lost("annotations", one.file.file.path, f"those of {one.file.file.path}", records=count)
    kinds = {kind for one, kind in chosen if one.boxes}
    if task is None:
        task = Task.POSE if kinds == {Task.POSE} else Task.DETECT if kinds <= {Task.DETECT} else Task.SEGMENT
    return [one for one, _ in chosen], task


def _classes(chosen: Sequence[_Told], task: Task, wish: Wish, losses: Losses) -> tuple[Wanted, dict[str, Any]]:
    """The classes, in order of the ids of the first file that has them, and what data.yaml says of them."""
    names: dict[str, None] = {}
    for one in chosen:
        names |= dict.fromkeys(each.name for each in sorted(one.file.file.index.categories, key=lambda each: each.id))
    new = wish.classes.names(names) if wish.classes else {name: name for name in names}
    kept = dict.fromkeys(name for name in new.values() if name is not None)
    if not kept:
        words = f"{chosen[0].file.given}: no class is left" if names else f"{chosen[0].file.given}: it has no category"
        raise UsageError(words, hint="YOLO needs one class at least")
    numbers = {name: number for number, name in enumerate(kept)}
    joints: dict[int, list[str]] = {}
    for one in chosen:
        path = one.file.file.path
        for each in one.top.get("categories", ()):
            name = new.get(each.get("name"))
            if name is None:
                continue
            if task is Task.POSE and each.get("keypoints"):
                joints.setdefault(numbers[name], [str(joint) for joint in each["keypoints"]])
            carried = _CARRIED | (_JOINTS if task is Task.POSE else frozenset())
            for key in each.keys() - carried:
                losses.lost(f"categories.{key}", path, f"category {each.get('id')}")
            losses.lost(
                "categories.id", path, f"category {each.get('id')}", records=each.get("id") != numbers[name] + 1
            )
    data: dict[str, Any] = {"names": {number: name for name, number in numbers.items()}, "count": len(numbers)}
    most = max(map(len, joints.values()), default=0)
    if task is Task.POSE:
        if not most:
            raise UsageError(f"{chosen[0].file.given}: no category has keypoints", hint="leave --task pose out")
        data["keypoints"] = most, 3
        sides = {flips(some) for some in joints.values()}
        data["flip"] = next((one for one in sides if len(sides) == 1 and len(one) == most), ())
        padded = {
            one: [*joints.get(one, []), *map(str, range(len(joints.get(one, [])), most))] for one in data["names"]
        }
        data["others"] = {"kpt_names": padded}
    named = ids_of(name for one in chosen for name in one.file.file.index.images.file_names) is not None
    return Wanted(task, numbers, new, most, named), data


def _sheets(chosen: Sequence[_Told]) -> list[Labels]:
    """The labels of each file, in a directory that is called like its split."""
    seen: dict[str, int] = {}
    found = []
    for one in chosen:
        name = one.file.file.split.name.replace("/", "-") or "images"
        seen[name] = seen.get(name, 0) + 1
        found.append(Labels(one.file, name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return found


def _parts(sheets: Sequence[Labels]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The directories of each part: by the names of the annotation files; what tells no part is for training."""
    found: dict[str, tuple[str, ...]] = {}
    for part in ("train", "val", "test"):
        if some := [one for one in sheets if (one.source.file.split.part or "train") == part and one.kept.any()]:
            found[part] = tuple(f"images/{one.directory}" for one in some)
    notes = []
    for part, others in (("train", ("val", "test")), ("val", ("train", "test"))):
        if part not in found:
            other = next(name for name in others if name in found)
            found[part] = found[other]
            notes.append(f"there are no images for {part}, which readers want: data.yaml names those of {other} for it")
    return {part: found[part] for part in ("train", "val", "test") if part in found}, tuple(notes)
