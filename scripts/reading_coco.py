"""What a reader of COCO finds in a set, by its own API: `python reading_coco.py READER PLACE SPLIT ...` prints JSON.

This runs in the environment of the reader, where there is no visprep. Every image is opened where the reader opens
images, and every mask made where it makes masks. What a user would see of warnings while it reads is told, too.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Found:
    """The images and annotations of all splits, the categories of any, what was complained about, and what to know."""

    images: int = 0
    annotations: int = 0
    categories: int = 0
    complaints: list[str] = field(default_factory=list)
    note: str = ""


def annotation_file(place: Path, split: str) -> str:
    """Where the instances of a split are."""
    return str(place / "annotations" / f"instances_{split}.json")


def indexed(coco: Callable[[str], Any], place: Path, splits: list[str]) -> Found:
    """By a class with the interface of `pycocotools.coco.COCO`, which opens no images."""
    found, categories = Found(), set()
    for split in splits:
        loaded = coco(annotation_file(place, split))
        found.images += len(loaded.imgs)
        found.annotations += sum(loaded.annToMask(one) is not None for one in loaded.anns.values())
        categories |= set(loaded.cats)
    found.categories = len(categories)
    return found


def pycocotools(place: Path, splits: list[str]) -> Found:
    """The official reader."""
    from pycocotools.coco import COCO

    return indexed(COCO, place, splits)


def faster_coco_eval(place: Path, splits: list[str]) -> Found:
    """The one in C++."""
    from faster_coco_eval import COCO

    return indexed(COCO, place, splits)


def torchvision(place: Path, splits: list[str]) -> Found:
    """CocoDetection, as a training loop walks over it."""
    from torchvision.datasets import CocoDetection

    found, categories = Found(), set()
    for split in splits:
        dataset = CocoDetection(str(place / split), annotation_file(place, split))
        for number in range(len(dataset)):
            image, targets = dataset[number]
            found.images += all(image.size)
            found.annotations += len(targets)
        categories |= set(dataset.coco.cats)
    found.categories = len(categories)
    return found


def supervision(place: Path, splits: list[str]) -> Found:
    """DetectionDataset.from_coco, with masks."""
    from supervision import DetectionDataset

    found, categories = Found(), set()
    for split in splits:
        dataset = DetectionDataset.from_coco(str(place / split), annotation_file(place, split), force_masks=True)
        for _, image, detections in dataset:
            found.images += image.size > 0
            found.annotations += len(detections)
        categories |= set(dataset.classes)
    found.categories = len(categories)
    return found


def datumaro(place: Path, splits: list[str]) -> Found:
    """Its importer of sets whose images lie in a folder for each split; several shapes of an annotation count once."""
    from datumaro import Dataset

    found = Found()
    dataset = Dataset.import_from(str(place), "mmdet_coco")
    for item in dataset:
        if item.subset in splits:
            found.images += item.media.data.size > 0
            found.annotations += len({one.id for one in item.annotations})
    found.categories = len(dataset.get_label_cat_names())
    return found


def fiftyone(place: Path, splits: list[str]) -> Found:
    """The importer without its database; it takes the size of images from the JSON, and opens none."""
    from fiftyone.utils.coco import COCODetectionDatasetImporter

    found, categories = Found(), set()
    for split in splits:
        images, labels = str(place / split), annotation_file(place, split)
        with COCODetectionDatasetImporter(
            data_path=images, labels_path=labels, label_types="segmentations"
        ) as importer:
            for path, _, label in importer:
                found.images += Path(path).is_file()
                found.annotations += len(label.detections) if label else 0
            categories |= {one["name"] for one in importer.get_dataset_info()["categories"]}
    found.categories = len(categories)
    return found


READERS = {
    reader.__name__: reader for reader in (pycocotools, faster_coco_eval, torchvision, supervision, datumaro, fiftyone)
}
#: Declarations last as long as the object that made them.
KEPT: list[Any] = []


class Heard(logging.Handler):
    """What is logged as a warning or worse, kept in `words`."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.words.append(record.getMessage())


def imported(name: str) -> str:
    """Import a reader; what to know of it.

    The package of torchvision is built for CUDA. Beside a torch for the CPU its operators do not load, and its import
    stops where it describes two of them. Reading uses neither, so it is enough that they are declared.
    """
    try:
        importlib.import_module(name)
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        from torch.library import Library

        declared = Library("torchvision", "FRAGMENT")
        for operator in (
            "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        ):
            declared.define(operator)
        KEPT.append(declared)
        importlib.import_module(name)
        return "its operators are for CUDA, and were only declared"
    return ""


def main() -> None:
    """Read the set, and print what was found as the last line."""
    name, place, *splits = sys.argv[1:]
    note = imported(name)  # before listening: what an import warns about is not about the set
    heard = Heard()
    logging.getLogger().addHandler(heard)
    with warnings.catch_warnings(record=True) as warned:
        found = READERS[name](Path(place), splits)
    found.note = note
    found.complaints = [f"{one.category.__name__}: {one.message}" for one in warned] + heard.words
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
