"""What is on a page of `visprep report`, as its script reads it, and places with one of everything to show."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import coco_place
from drawn import put
from image_faults import encoded, photo

_DATA = re.compile(r'<script type="application/json" id="([a-z0-9-]+)">(.*?)</script>', re.DOTALL)


class Shown:
    """The data of a page: items by name with all there is of them, findings, pairs."""

    def __init__(self, file: Path) -> None:
        self.text = file.read_text()
        held = {name: json.loads(text) for name, text in _DATA.findall(self.text)}
        head = held.pop("data")
        bodies = [body for _, some in sorted(held.items(), key=lambda one: int(one[0][6:])) for body in some]
        self.items = [{**item, **body, "count": item.get("shapes", 0)}
                      for item, body in zip(head["items"], bodies, strict=True)]  # fmt: skip
        self.classes, self.findings, self.pairs = head["classes"], head["findings"], head["pairs"]
        self.group = head["titles"]["group"]
        self._codes = head["codes"]

    @property
    def names(self) -> list[str]:
        return [one["name"] for one in self.items]

    def __getitem__(self, name: str) -> dict[str, Any]:
        (found,) = [one for one in self.items if one["name"] == name]
        return found

    def shapes(self, name: str) -> list[tuple[str, str, str]]:
        """Kind, class and details of all that is drawn on an item."""
        drawn = self[name].get("shapes", [])
        drawn = [] if isinstance(drawn, int) else drawn
        return [(one["kind"], self.classes[one["class"]], one.get("detail", "")) for one in drawn]

    def about(self, name: str) -> set[str]:
        """The codes of the findings that an item has."""
        return {self.findings[at]["code"] for at in self[name].get("findings", ())}

    @property
    def codes(self) -> dict[str, int]:
        """How many findings have each code."""
        return {code: count for code, _, count in self._codes}

    def counts(self, name: str) -> dict[str, int]:
        """How many findings of each code are about an item."""
        return {self._codes[at][0]: count for at, count in self[name].get("codes", ())}

    def section(self, name: str) -> str:
        """The words of a part of the page."""
        found = re.search(rf'<section id="{name}".*?</section>', self.text, re.DOTALL)
        return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split()) if found else ""


def opened(item: dict[str, Any], number: int = 0) -> Image.Image:
    """The picture of an item."""
    data = item["pictures"][number]["src"].removeprefix("data:image/jpeg;base64,")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def coco(place: Path) -> Path:
    """Train and val with a crowd, a box beside its outline, keypoints, captions, panoptic masks, and faults."""
    coco_place.make(place)
    with coco_place.edited(place / "annotations/instances_train2017.json") as data:
        data["annotations"][1]["bbox"] = [80.0, 8.0, 60.0, 30.0]  # beyond the picture, and not where its outline is
        data["annotations"][2] |= {"iscrowd": 1, "segmentation": {"size": [64, 96], "counts": [640, 640, 4864]}}
        del data["annotations"][4]["segmentation"]
        data["images"].append({**data["images"][0], "id": 99, "file_name": "gone.jpg"})
    for kind in ("captions", "person_keypoints"):
        told = json.dumps(coco_place.annotations([7, 8, 9], kind))
        (place / f"annotations/{kind}_val2017.json").write_text(told)
    panoptic = coco_place.annotations([7])
    panoptic["annotations"] = [
        {"image_id": 7, "file_name": "000000000007.png", "segments_info": [
            {"id": 5, "category_id": 18, "area": 800, "bbox": [10, 10, 40, 20], "iscrowd": 0},
        ]}
    ]  # fmt: skip
    (place / "annotations/panoptic_val2017.json").write_text(json.dumps(panoptic))
    mask = np.zeros((64, 96, 3), np.uint8)
    mask[10:30, 10:50, 0] = 5
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    put(place, "annotations/panoptic_val2017/000000000007.png", buffer.getvalue())
    jpeg = (place / "train2017/000000000002.jpg").read_bytes()
    put(place, "train2017/000000000002.jpg", jpeg[: len(jpeg) // 2])
    put(place, "train2017/000000000004.jpg", encoded(photo(3, *coco_place.SIZE)))  # that of 3
    return place
