"""One JSON file of COCO's: an annotation file by itself, or results against their ground truth."""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

import msgspec

from visprep import temporary, wire
from visprep.errors import BadPlace, FileMissing, UsageError, WrongContent
from visprep.findings import Finding, Level, Report
from visprep.formats import coco_json
from visprep.formats.coco_json import MISSING, Index, JsonFile
from visprep.formats.coco_place import named_as_annotations
from visprep.formats.coco_scan import Records, scan
from visprep.manifest import DATASET
from visprep.render.text import counted
from visprep.rules import Depth, coco, coco_results
from visprep.rules.coco import Checked
from visprep.rules.coco_files import ANNOTATIONS_MISSING, LOADER_FILE_NAME
from visprep.rules.coco_results import RESULTS_TRUTH_LACKS, RESULTS_TRUTH_UNSOUND, Results, Truth
from visprep.settings import S3Settings
from visprep.split_file import SPLIT
from visprep.stores import check_spelling, open_store
from visprep.stores.local import LocalStore

#: What evaluation looks up of each annotation, and of those of one kind.
_NEEDS = ("image_id", "category_id", "area", "iscrowd", "bbox")
_ALSO = {"segmentation": "segmentation", "keypoints": "num_keypoints"}
_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class _Joints(msgspec.Struct):
    """What counts of a category; its rules have seen the rest."""

    id: Any
    keypoints: Any = None


def is_one(place: str) -> bool:
    """Whether a place is a JSON file, by its name, and not a directory of such a name."""
    return place.lower().endswith(".json") and ("://" in place or not Path(place).is_dir())


def opened(path: str, s3: S3Settings | None = None) -> JsonFile:
    """A JSON file on disk, in an archive's directory, or on S3; FileMissing when it is not there."""
    if "://" in path:
        home, _, name = path.rpartition("/")
        if not home.partition("://")[2]:
            raise BadPlace(f"{path!r} names no file in a bucket", hint="s3://bucket/prefix/instances.json")
        return JsonFile(open_store(home, s3), name)
    check_spelling(path)
    if Path(path).is_dir():
        raise UsageError(f"{path}: it is a directory", hint="name the JSON file: annotations/instances_val2017.json")
    return JsonFile.on_disk(path)


def nearby(file: JsonFile) -> JsonFile:
    """The file on this machine, for who reads it several times; a copy goes when nobody has it any more."""
    if isinstance(file.store, LocalStore):
        return file
    told = wire.wait(file.store.stat(file.name))
    if told.size is None:
        raise WrongContent(f"{file.name}: its store does not tell its size")
    with contextlib.ExitStack() as stack:
        store = LocalStore(stack.enter_context(temporary.directory("annotations")))
        wire.wait(store.receive(told, file.store))
        near = JsonFile(store, file.name)
        weakref.finalize(near, stack.pop_all().close)
    return near


def existing(path: str, s3: S3Settings | None = None) -> JsonFile:
    """The same; FileMissing, and what else a store raises, when it cannot be read."""
    file = opened(path, s3)
    _there(file, path)
    return file


def unread(path: str, why: str) -> WrongContent:
    """The error about a JSON file that cannot be read as annotations: why, and what to name in its place."""
    home, _, name = path.rpartition("/")
    if name in (DATASET, SPLIT):
        words = f"it is the {'record' if name == DATASET else 'split'} that visprep keeps of a place"
        return WrongContent(f"{path}: {why}; {words}", hint=f"name the place: {home or '.'}")
    hint = f"name a COCO JSON file, or the directory of the dataset; all that is wrong: visprep verify {quote(path)}"
    return WrongContent(f"{path}: {why}", hint=hint)


def _there(file: JsonFile, path: str) -> None:
    """FileMissing, and what else a store raises, when a file cannot be read."""
    try:
        wire.wait(file.store.stat(file.name))
    except FileMissing as problem:
        raise FileMissing(f"{path}: no such file", hint=problem.hint or "check the path") from problem


def check(path: str, against: str | None = None, loader: bool = False, s3: S3Settings | None = None) -> Report:
    """What is wrong with an annotation file; with `against`, with a file of results of those images.

    FileMissing and what else a store raises when one cannot be read; UsageError when a file of results comes without
    `against`.
    """
    file = opened(path, s3)
    _there(file, path)
    if against is not None:
        return _against(path, file, against, opened(against, s3))
    checked = coco.check(file, path)
    if checked.kind == "results":
        raise UsageError(
            f"{path}: it is a list, as results are", hint=f"visprep verify {path} --against FILE (the ground truth)"
        )
    findings = [*checked.findings, *unannotated(checked, path)]
    if loader and checked.readable:
        findings += not_for_loader(coco_json.index(file), path)
    return Report.of(
        path, findings, checked=dict(checked.counts), format="coco", depth=Depth.HEADERS.value, rules=coco.RULES
    )


def unannotated(checked: Checked, path: str) -> Iterator[Finding]:
    """Whether a file has no annotations, and is called as if it had some."""
    known = named_as_annotations(path) and not path.rpartition("/")[2].startswith("image_info")
    if known and checked.readable and "annotations" not in checked.keys:
        yield ANNOTATIONS_MISSING.at(path, "there is no list 'annotations' in it")


def not_for_loader(index: Index, path: str) -> Iterator[Finding]:
    """Whether a loader could not fetch images of a file from S3: one finding, and the first of them."""
    if index.file.store.place.startswith("s3://"):
        from visprep.stores.published import is_for_loaders  # here, since files on disk need no wire

        if is_for_loaders(index.file.store, index.file.name):
            return
    images = index.images
    wrong = [number for number, name in enumerate(images.file_names) if name is not None and not on_s3(name)]
    if wrong:
        first, count = wrong[0], len(wrong)
        words = f"{count:,} of {len(images):,} images are not named s3://bucket/key"
        words += f": image {images.ids[first]} is named {images.file_names[first]!r}"
        where: dict[str, Any] = {"pointer": f"/images/{first}", "byte": int(images.starts[first]), "count": count}
        where |= {"line": int(images.lines[first]), "column": int(images.columns[first])}
        yield LOADER_FILE_NAME.at(path, words, **where)


def on_s3(name: str) -> bool:
    """Whether a file name is `s3://bucket/key`."""
    bucket, _, key = name.removeprefix("s3://").partition("/")
    return name.startswith("s3://") and bool(bucket and key)


def _against(path: str, file: JsonFile, against: str, truth_file: JsonFile) -> Report:
    _there(truth_file, against)
    sound = coco.check(truth_file, against)
    errors = Counter(one.code for one in sound.findings if one.level is Level.ERROR)
    findings: list[Finding] = []
    results = Results()
    if errors:
        told = ", ".join(f"{code} ({count})" for code, count in errors.most_common(5))
        unread = "" if sound.readable else "; nothing was held against it"
        findings.append(RESULTS_TRUTH_UNSOUND.at(against, f"it has errors: {told}{unread}"))
    if sound.kind == "results":
        words = "it is a list, as results are, and no annotation file: nothing was held against it"
        findings.append(RESULTS_TRUTH_UNSOUND.at(against, words))
    elif sound.readable:
        index = coco_json.index(truth_file)
        ids, widths, heights = (
            column.tolist() for column in (index.images.ids, index.images.widths, index.images.heights)
        )
        known = {
            id: (0 if MISSING in (width, height) else width, 0 if MISSING in (width, height) else height)
            for id, width, height in zip(ids, widths, heights, strict=True)
        }
        results = coco_results.check(file, Truth(known, _joints(truth_file)), path)
        findings += results.findings
        findings += _lacks(truth_file, against, results.kinds)
    return Report.of(
        path,
        findings,
        checked={"results": results.count},
        format="coco results",
        depth=Depth.HEADERS.value,
        rules=(*coco_results.RULES, *coco.RULES),
    )


def _joints(file: JsonFile) -> dict[int, int]:
    """The categories of a file, each with its number of joints."""
    found: dict[int, int] = {}
    for event in scan(file.chunks(), {}):
        if isinstance(event, Records) and event.key == "categories":
            for _, data in event.elements():
                row = msgspec.json.decode(data, type=_Joints)
                found[int(row.id)] = len(row.keypoints) if isinstance(row.keypoints, list) else 0
    return found


def _lacks(file: JsonFile, path: str, kinds: tuple[str, ...]) -> Iterator[Finding]:
    """What evaluation needs and annotations of the ground truth do not have."""
    if not kinds or kinds[0] == "caption":
        return
    needs = (*_NEEDS, *(_ALSO[kind] for kind in kinds if kind in _ALSO))
    lacking: Counter[str] = Counter()
    first: dict[str, int] = {}
    for event in scan(file.chunks(), {"annotations": _ROWS}):
        if isinstance(event, Records) and event.key == "annotations":
            for number, row in enumerate(event.rows or (), event.first):
                for key in needs:
                    if key not in row:
                        lacking[key] += 1
                        first.setdefault(key, number)
    for key, count in lacking.items():
        where = {"pointer": f"/annotations/{first[key]}", "key": key, "count": count}
        yield RESULTS_TRUTH_LACKS.at(path, f"{counted(count, 'annotation')} without {key}", **where)
