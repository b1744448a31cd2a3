"""Small COCO documents without a fault, of every kind, and what it takes to look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from visprep.formats.coco_json import JsonFile
from visprep.rules.coco import Checked, check
from visprep.stores.memory import MemoryStore

Document = dict[str, Any]
JOINTS = ["nose", "left_eye", "right_eye"]


def base(count: int = 3) -> Document:
    """Images of 640 x 480 with licenses and two categories, and no annotation."""
    images = [
        {
            "license": 4,
            "file_name": f"{number:012}.jpg",
            "coco_url": f"http://images.cocodataset.org/val2017/{number:012}.jpg",
            "height": 480,
            "width": 640,
            "date_captured": "2013-11-14 17:02:52",
            "flickr_url": f"http://farm7.staticflickr.com/{number}_z.jpg",
            "id": number,
        }
        for number in range(100, 100 + count)
    ]
    return {
        "info": {"description": "COCO 2017 Dataset", "year": 2017},
        "licenses": [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution License"}],
        "images": images,
        "annotations": [],
        "categories": [
            {"supercategory": "person", "id": 1, "name": "person"},
            {"supercategory": "animal", "id": 18, "name": "dog"},
        ],
    }


def instances(count: int = 3) -> Document:
    """Two polygons for each image; the first annotation is a crowd, as RLE."""
    document = base(count)
    for number in range(2 * count):
        x, y, w, h = 10.5 + number % 50, 20.25, 60.0, 40.5
        document["annotations"].append(
            {
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                "area": w * h,
                "iscrowd": 0,
                "image_id": 100 + number % count,
                "bbox": [x, y, w, h],
                "category_id": (1, 18)[number % 2],
                "id": number + 1,
            }
        )
    crowd = {"segmentation": {"counts": [480 * 100, 480, 480 * 539], "size": [480, 640]}, "iscrowd": 1, "area": 480}
    document["annotations"][0].update(crowd, bbox=[100, 0, 1, 480], id=900100000100)
    return document


def keypoints() -> Document:
    """Instances with three joints each."""
    document = instances()
    document["categories"][0].update(keypoints=[*JOINTS], skeleton=[[1, 2], [2, 3]])
    for annotation in document["annotations"]:
        annotation.update(keypoints=[30, 40, 2, 0, 0, 0, 35.5, 42, 1], num_keypoints=2, category_id=1)
    return document


def captions() -> Document:
    """A sentence for each image."""
    document = base()
    del document["categories"]
    document["annotations"] = [
        {"image_id": image["id"], "id": number, "caption": 'A dog, "asleep".'}
        for number, image in enumerate(document["images"], 1)
    ]
    return document


def panoptic() -> Document:
    """Two segments for each image."""
    document = base()
    for category in document["categories"]:
        category.update(isthing=1, color=[220, 20, 60])
    document["annotations"] = [
        {
            "segments_info": [
                {"id": 3226956, "category_id": 1, "iscrowd": 0, "bbox": [413, 158, 53, 138], "area": 2840},
                {"id": 6979964, "category_id": 18, "iscrowd": 0, "bbox": [384, 172, 16, 36], "area": 439},
            ],
            "file_name": f"{image['id']:012}.png",
            "image_id": image["id"],
        }
        for image in document["images"]
    ]
    return document


def written(document: Any) -> bytes:
    """As JSON, in UTF-8."""
    return document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()


def in_memory(document: Any) -> JsonFile:
    """A document as a file."""
    return JsonFile(MemoryStore(files={"a.json": written(document)}), "a.json")


def look(document: Any) -> Checked:
    """What the rules say of a document."""
    return check(in_memory(document))


def codes(document: Any) -> list[str]:
    """The codes of the findings about a document."""
    return [finding.code for finding in look(document).findings]


def on_disk(folder: Path, document: Any) -> str:
    """A document on disk; its path."""
    path = folder / "a.json"
    path.write_bytes(written(document))
    return str(path)
