"""What a reader finds in what `visprep convert` wrote: `python reading_converted.py READER FOLDER` prints JSON.

This runs in an environment with the reader, where there is no visprep. The folder is one of `converted_readers.py`. Of
each format it tells, by the names of images, the classes and corners of boxes in pixels; of tasks, their first frames.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Boxes = dict[str, list[list[Any]]]


def _boxes(dataset: Any) -> Boxes:
    """Of a dataset of supervision."""
    return {
        Path(path).stem: [
            [dataset.classes[label], *map(float, box)] for label, box in zip(one.class_id, one.xyxy, strict=True)
        ]
        for path, _, one in dataset
    }


def supervision(folder: Path) -> dict[str, Any]:
    """YOLO, a part at a time, and VOC with its corners as the first and last pixel."""
    from supervision import DetectionDataset

    place, data = folder / "yolo", str(folder / "yolo/data.yaml")
    yolo: Boxes = {}
    for part in ("train2017", "val2017"):
        yolo |= _boxes(DetectionDataset.from_yolo(str(place / f"images/{part}"), str(place / f"labels/{part}"), data))
    voc = DetectionDataset.from_pascal_voc(str(folder / "voc/JPEGImages"), str(folder / "voc/Annotations"))
    return {"yolo": yolo, "voc": _boxes(voc)}


def ultralytics(folder: Path) -> dict[str, Any]:
    """YOLO, as it is trained with."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(folder / "yolo/data.yaml"), autodownload=False)
    found: Boxes = {}
    for part in ("train", "val"):
        dataset = YOLODataset(img_path=data[part], data=data, task="detect", augment=False, hyp=get_cfg())
        for one in dataset.labels:
            height, width = one["shape"]
            found[Path(one["im_file"]).stem] = [
                [
                    data["names"][int(label[0])],
                    (float(x) - float(w) / 2) * width,
                    (float(y) - float(h) / 2) * height,
                    (float(x) + float(w) / 2) * width,
                    (float(y) + float(h) / 2) * height,
                ]
                for label, (x, y, w, h) in zip(one["cls"], one["bboxes"], strict=True)
            ]
    return {"yolo": found}


def torchvision(folder: Path) -> dict[str, Any]:
    """VOC; it wants VOCdevkit/VOC2012 above, which is a link."""
    from torchvision.datasets import VOCDetection

    found: Boxes = {}
    for part in ("train", "val"):
        for _, target in VOCDetection(str(folder / "torchvision"), "2012", part):
            one = target["annotation"]
            corners = [(o["name"], [float(o["bndbox"][name]) for name in _CORNERS]) for o in one.get("object", [])]
            found[Path(one["filename"]).stem] = [[name, x - 1, y - 1, *rest] for name, (x, y, *rest) in corners]
    return {"voc": found}


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def _frames(rows: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    return {Path(name).name: hashlib.sha256(data).hexdigest() for name, data in rows}


def datasets(folder: Path) -> dict[str, Any]:
    """Tasks as parquet; the pictures as bytes."""
    from datasets import Image, load_dataset

    table = load_dataset(str(folder / "parquet"), split="train", cache_dir=str(folder / "cache"))
    table = table.cast_column("first_frame", Image(decode=False))
    return {"parquet": _frames((row["id"], row["first_frame"]["bytes"]) for row in table)}


def webdataset(folder: Path) -> dict[str, Any]:
    """Tasks as samples."""
    from webdataset import WebDataset

    shards = sorted(str(path) for path in (folder / "webdataset").glob("*.tar"))
    samples = WebDataset(shards, shardshuffle=False)
    return {"webdataset": _frames((one["__key__"], one["first_frame.png"]) for one in samples)}


def opencv_python_headless(folder: Path) -> dict[str, Any]:
    """The videos of tasks that were made of frames: how many frames they have, and how large these are."""
    import cv2

    found: dict[str, list[int]] = {}
    for path in (folder / "clips").rglob("ground_truth.avi"):
        opened, count, size = cv2.VideoCapture(str(path)), 0, (0, 0)
        while True:
            good, frame = opened.read()
            if not good:
                break
            count, size = count + 1, (frame.shape[1], frame.shape[0])
        found[path.parent.name] = [count, *size]
    return {"clips": found}


READERS = {
    one.__name__: one for one in (supervision, ultralytics, torchvision, datasets, webdataset, opencv_python_headless)
}
if __name__ == "__main__":
    name = sys.argv[1]
    if name in ("torchvision", "ultralytics"):
        sys.path.insert(0, str(Path(__file__).parent))
        from reading_coco import imported

        imported("torchvision")
    print(json.dumps(READERS[name](Path(sys.argv[2]))))
