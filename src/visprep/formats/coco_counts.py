"""How many records and images there should be: COCO's own numbers, or those of a file.

A file of counts is a JSON object whose keys are paths in the place. Of an annotation file it tells how many `images`,
`annotations` and `categories`, of a directory how many `files` of images there are::

    {"annotations/instances_val2017.json": {"images": 5000, "annotations": 36781}, "val2017": {"files": 5000}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from visprep.errors import FileMissing, UsageError

#: Images of each split: the COCO paper (2014, 2015), ultralytics' coco.yaml and xyfJASON/datasetx (2017).
IMAGES: Mapping[str, int] = {
    "train2014": 82783,
    "val2014": 40504,
    "test2014": 40775,
    "test2015": 81434,
    "train2017": 118287,
    "val2017": 5000,
    "test2017": 40670,
    "unlabeled2017": 123403,
}
_LISTS = {**IMAGES, "test-dev2017": 20288}
#: Annotations of a kind and split, and whether somebody counted them: modern-yolonas PR 56 and hotcoco's README did.
#: The others are told of in many places, and by no source that says where it has them from.
ANNOTATIONS: Mapping[str, tuple[int, bool]] = {
    "instances_train2017": (860001, True),
    "instances_val2017": (36781, True),
    "instances_train2014": (604907, False),
    "instances_val2014": (291875, False),
    "captions_train2017": (591753, False),
    "captions_val2017": (25014, False),
    "person_keypoints_train2017": (262465, False),
    "person_keypoints_val2017": (11004, False),
}
#: Categories of a kind: PaddleDetection's category.py and TensorFlow Datasets' coco.py.
CATEGORIES: Mapping[str, int] = {"instances": 80, "panoptic": 133}
_WHAT = frozenset({"images", "annotations", "categories", "files", "rows"})


@dataclass(frozen=True, slots=True)
class Expected:
    """That `path` has so many of `what`; `sure` unless nobody confirmed it."""

    path: str
    what: str
    count: int
    sure: bool = True


def official(annotation_files: Iterable[str], directories: Iterable[str]) -> Iterator[Expected]:
    """What is known of those of COCO's own files and directories that are named, by the last part of their paths."""
    for path in annotation_files:
        stem = path.rpartition("/")[2].removesuffix(".json")
        kind, _, split = stem.rpartition("_")
        if split in _LISTS:
            yield Expected(path, "images", _LISTS[split], sure=kind in ("instances", "image_info"))
        if stem in ANNOTATIONS:
            yield Expected(path, "annotations", *ANNOTATIONS[stem])
        if kind in CATEGORIES and split in IMAGES:
            yield Expected(path, "categories", CATEGORIES[kind])
    for path in directories:
        if (name := path.rpartition("/")[2]) in IMAGES:
            yield Expected(path, "files", IMAGES[name])


def from_file(path: str | os.PathLike[str]) -> tuple[Expected, ...]:
    """The counts that a file tells; FileMissing, or UsageError when it tells none."""
    try:
        told = json.loads(Path(path).read_bytes())
    except FileNotFoundError as problem:
        raise FileMissing(f"{os.fspath(path)}: no such file", hint="--expect takes official, or a file") from problem
    except (OSError, ValueError, RecursionError) as problem:
        raise UsageError(f"--expect {os.fspath(path)}: no JSON that can be read: {problem}") from problem
    found = []
    for place, counts in told.items() if isinstance(told, dict) else ():
        for what, count in counts.items() if isinstance(counts, dict) else ():
            if what in _WHAT and isinstance(count, int) and not isinstance(count, bool):
                found.append(Expected(place.rstrip("/"), what, count))
                continue
            raise UsageError(
                f"--expect {os.fspath(path)}: {place!r} says {what!r}: {count!r}",
                hint=f"a whole number of one of: {', '.join(sorted(_WHAT))}",
            )
    if not found:
        raise UsageError(
            f"--expect {os.fspath(path)}: it tells no counts",
            hint='it should look like {"annotations/instances_val.json": {"images": 500}, "val": {"files": 500}}',
        )
    return tuple(found)
