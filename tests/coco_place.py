"""A small COCO dataset in the official layout: pictures of noise, and annotations that fit them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from image_faults import encoded, photo

SIZE = (96, 64)
JOINTS = [f"joint{number}" for number in range(17)]


def annotations(ids: list[int], kind: str = "instances") -> dict[str, Any]:
    """The annotation file of these images: two boxes with polygons on each, or keypoints, or captions."""
    width, height = SIZE
    images = [
        {"id": id, "file_name": f"{id:012}.jpg", "width": width, "height": height, "license": 4,
         "date_captured": "2013-11-14 17:02:52"}
        for id in ids
    ]  # fmt: skip
    made: dict[str, Any] = {
        "info": {"description": "a test", "year": 2017},
        "licenses": [{"id": 4, "name": "Attribution License", "url": "http://creativecommons.org/licenses/by/2.0/"}],
        "images": images,
        "annotations": [],
    }
    if kind != "captions":
        made["categories"] = [{"id": 1, "name": "person", "supercategory": "person"}]
        if kind == "instances":
            made["categories"].append({"id": 18, "name": "dog", "supercategory": "animal"})
        else:
            made["categories"][0] |= {"keypoints": JOINTS, "skeleton": [[1, 2]]}
    for number, id in enumerate(ids):
        for which in (0, 1):
            x, y, w, h = 10.0 + 30 * which, 8.0, 20.0, 30.0
            one: dict[str, Any] = {"id": 2 * number + which + 1, "image_id": id}
            if kind == "captions":
                made["annotations"].append(one | {"caption": f"Picture {id} of noise, said in way {which}."})
                continue
            corners = [x, y, x + w, y, x + w, y + h, x, y + h]
            one |= {"category_id": 1 if which == 0 or kind != "instances" else 18, "bbox": [x, y, w, h]}
            one |= {"area": w * h, "iscrowd": 0, "segmentation": [corners]}
            if kind == "person_keypoints":
                one |= {"keypoints": [v for j in range(17) for v in (x + j, y + j, 2)], "num_keypoints": 17}
            made["annotations"].append(one)
    return made


def make(place: Path, train: int = 6, val: int = 3) -> Path:
    """Write the dataset, train2017 and val2017."""
    (place / "annotations").mkdir(parents=True)
    first = 1
    for split, count in (("train2017", train), ("val2017", val)):
        ids = list(range(first, first + count))
        first += count
        (place / split).mkdir()
        for id in ids:
            (place / split / f"{id:012}.jpg").write_bytes(encoded(photo(id, *SIZE)))
        (place / f"annotations/instances_{split}.json").write_text(json.dumps(annotations(ids)))
    return place


@contextmanager
def edited(path: Path) -> Iterator[dict[str, Any]]:
    """A JSON file to be changed in place."""
    data = json.loads(path.read_text())
    yield data
    path.write_text(json.dumps(data))
