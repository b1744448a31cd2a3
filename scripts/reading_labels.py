"""What readers of YOLO and VOC find in a folder, by their own API: `python reading_labels.py FOLDER` prints JSON.

This runs in an environment with the readers, where there is no visprep. The folder is one of `label_readers.py`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def ultralytics(folder: Path) -> dict[str, Any]:
    """What it takes of the data file and labels of ours, and which of the random labels it drops, or thins out."""
    from ultralytics import __version__
    from ultralytics.data.utils import check_det_dataset, img2label_paths, verify_image_label

    data = check_det_dataset(str(folder / "yolo/data.yaml"), autodownload=False)
    rows = {}
    for image in sorted((folder / "yolo/images").rglob("*.jpg")):
        _, labels, _, segments, *_, message = _verified(verify_image_label, str(image), img2label_paths, data["nc"])
        found = [[float(number) for number in row] for row in labels]
        rows[image.stem] = [message, found, [[float(n) for n in one.flatten()] for one in segments]]
    dropped, thinned = [], []
    for image in sorted((folder / "random/images").iterdir()):
        *_, corrupt, message = _verified(verify_image_label, str(image), img2label_paths, data["nc"])
        dropped += [image.stem] * bool(corrupt)
        thinned += [image.stem] * ("duplicate" in message)
    names = {str(number): name for number, name in data["names"].items()}
    return {"version": __version__, "names": names, "rows": rows, "dropped": dropped, "thinned": thinned}


def _verified(verify: Any, image: str, labels_of: Any, count: int) -> Any:
    return verify((image, labels_of([image])[0], "", False, count, 0, 0, False))


def supervision(folder: Path) -> dict[str, Any]:
    """The boxes of both formats, in pixels."""
    from supervision import DetectionDataset, __version__

    place = folder / "yolo"
    yolo = DetectionDataset.from_yolo(
        str(place / "images/val"), str(place / "labels/val"), str(place / "data.yaml"), force_masks=False
    )
    voc = DetectionDataset.from_pascal_voc(
        str(folder / "voc/VOCdevkit/VOC2012/JPEGImages"), str(folder / "voc/VOCdevkit/VOC2012/Annotations")
    )
    boxes = [
        {Path(path).stem: [[float(n) for n in box] for box in one.xyxy] for path, _, one in dataset}
        for dataset in (yolo, voc)
    ]
    return {"version": __version__, "names": yolo.classes, "classes": voc.classes, "yolo": boxes[0], "voc": boxes[1]}


def torchvision(folder: Path) -> dict[str, Any]:
    """The objects of VOC, as it hands them out."""
    from torchvision import __version__
    from torchvision.datasets import VOCDetection

    found = {}
    for image, target in VOCDetection(str(folder / "voc"), "2012", "train"):
        one = target["annotation"]
        found[one["filename"]] = [list(image.size), one["object"]]
    return {"version": __version__, "voc": found}


if __name__ == "__main__":
    answers: dict[str, Any] = {}
    for reader in (ultralytics, supervision, torchvision):
        try:
            answers[reader.__name__] = reader(Path(sys.argv[1]))
        except Exception as problem:
            answers[reader.__name__] = {"problem": f"{type(problem).__name__}: {problem}"}
    print(json.dumps(answers))
