"""`verify_coco_dataset`: the short answers about a COCO directory, for scripts that ask before they train."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from visprep._verify import verify
from visprep.errors import StoreError
from visprep.findings import Report
from visprep.formats import coco_json
from visprep.formats.coco_json import JsonFile

#: More than so many images make a split that is there; some may be missing, as `report` would tell.
_MORE_THAN = {"train": 100_000, "val": 4_000}


class CocoDataset(dict[str, bool]):
    """The answers by their names; besides, how many images were counted, and a report that says what is wrong.

    `place` is the directory that was looked at. `counts` has, under the same names, how many images there are.
    """

    def __init__(self, place: Path, counts: dict[str, int]) -> None:
        self.place, self.counts = place, counts
        answers = {f"{part}_images": counts[f"{part}_images"] > least for part, least in _MORE_THAN.items()}
        answers["annotations"] = (place / "annotations").is_dir()
        answers |= {f"{part}_annotations": counts[f"{part}_annotations"] > least for part, least in _MORE_THAN.items()}
        super().__init__(answers)

    @cached_property
    def report(self) -> Report:
        """What `verify` finds: annotations against the names of files, counts against those of the original.

        Made when it is first asked for. PlaceMissing when there is no such directory.
        """
        return verify(self.place, as_="coco", depth="names", expect="official")


def verify_coco_dataset(data_dir: str | os.PathLike[str] = "datasets/coco", check_coco_raw: bool = True) -> CocoDataset:
    """Whether COCO 2017 is in a directory: `train2017/`, `val2017/` and `annotations/instances_*.json`.

    Returns a dict of `train_images` (more than 100,000 `.jpg` files), `val_images` (more than 4,000), `annotations`
    (the directory is there), `train_annotations` and `val_annotations` (the JSON has as many images). With
    `check_coco_raw` a directory `coco_raw` beside `data_dir` is looked at instead, where there is one. Its `report`
    says what is wrong, and what does not have the counts of the original. What is missing or damaged is False; nothing
    is raised.
    """
    place = Path(data_dir)
    raw = place.parent / "coco_raw"
    place = raw if check_coco_raw and raw.is_dir() else place
    counts = {f"{part}_images": _images(place / f"{part}2017") for part in _MORE_THAN}
    counts |= {
        f"{part}_annotations": _annotated(place / f"annotations/instances_{part}2017.json") for part in _MORE_THAN
    }
    return CocoDataset(place, counts)


def _images(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.name.endswith(".jpg") for entry in entries)
    except OSError:
        return 0


def _annotated(path: Path) -> int:
    try:
        return len(coco_json.index(JsonFile.on_disk(path)).images)
    except (StoreError, OSError):
        return 0
