"""Others read the labels that visprep writes, and drop what verify calls an error: `label_readers.py --python PYTHON`.

PYTHON is one of an environment with ultralytics, supervision and torchvision; those that it lacks are skipped. A place
of YOLO and one of Pascal VOC are written and read back by each. Then come random labels, right and wrong in every way
that a row can be: ultralytics reads each, and verify; a label that the one drops and the other calls fine is a miss.
The exit code is 1 for that, or when a reader finds other numbers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visprep.formats import voc, yolo, yolo_data
from visprep.formats.voc import VocAnnotation, VocObject
from visprep.formats.yolo import Row
from visprep.rules import yolo as rules

READING = Path(__file__).with_name("reading_labels.py")
SIZE = (64, 48)
NAMES = {0: "no", 1: "big dog: #1", 2: "öre", 3: "1.0"}
BOXES = ((1, 2, 30, 40), (10.25, 0, 53.75, 48), (1 / 3, 1 / 7, 20.5, 30))
CORNERS = ((1, 1, 64, 48), (3, 4, 20, 30))
#: What verify calls an error though the newest ultralytics takes it: older ones, or others, do not, or misread it.
TAKEN = frozenset({"yolo-box-outside", "yolo-label-encoding", "yolo-not-normalized", "yolo-row-columns"})


def put(folder: Path, path: str, data: bytes) -> None:
    """Write a file."""
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(data)


def jpeg() -> bytes:
    """A small photo of noise."""
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def rows() -> dict[str, list[Row]]:
    """The labels of the place of YOLO: boxes for validation, polygons for training, and an image that shows nothing."""
    boxes = [Row(number, yolo.shares(box, SIZE)) for number, box in enumerate(BOXES)]
    points = (1.5, 2, 30, 2.125, 30, 40)
    polygon = Row(3, polygon=tuple(number / SIZE[at % 2] for at, number in enumerate(points)))
    return {"val/boxes": boxes, "train/polygon": [polygon], "train/empty": []}


def written(folder: Path) -> None:
    """Both places, as our writers make them."""
    for path, found in rows().items():
        put(folder, f"yolo/images/{path}.jpg", jpeg())
        put(folder, f"yolo/labels/{path}.txt", yolo.write(found))
    parts = {"train": ("images/train",), "val": ("images/val",)}
    data = yolo_data.YoloData(str(folder / "yolo"), parts, NAMES, len(NAMES))
    put(folder, "yolo/data.yaml", yolo_data.write(data))
    place = "voc/VOCdevkit/VOC2012"
    objects = tuple(VocObject(f"a & <{n}>", box, flags=(("difficult", n),)) for n, box in enumerate(CORNERS))
    annotation = VocAnnotation("a.jpg", SIZE, 3, objects, "VOC2012", 0)
    put(folder, f"{place}/JPEGImages/a.jpg", jpeg())
    put(folder, f"{place}/Annotations/a.xml", voc.write(annotation))
    put(folder, f"{place}/ImageSets/Main/train.txt", voc.write_set(["a"]))


def random_label(drawn: random.Random) -> bytes:
    """A label, right or wrong."""

    def number() -> str:
        if drawn.random() > 0.02:
            return f"{drawn.uniform(0.3, 0.6):.4f}"
        return drawn.choice(["0", "1", "1.005", "1.02", "-0.005", "-0.2", "nan", "inf", "1e-3", "x", "0,5", "320"])

    def row(kind: str) -> str:
        label = drawn.choice(["2", "4", "-1", "1.0", "1.5", "cat", "01"]) if drawn.random() < 0.05 else "1"
        columns = 4 if kind == "box" else 2 * drawn.randint(3, 6)
        columns = drawn.randint(0, 9) if drawn.random() < 0.03 else columns
        return drawn.choice([" "] * 9 + ["\t"]).join([label, *(number() for _ in range(columns))])

    kind = drawn.choice(["box", "polygon"])
    lines = [row(kind if drawn.random() < 0.97 else "box") for _ in range(drawn.randint(0, 4))]
    if lines and drawn.random() < 0.1:
        lines.append(drawn.choice(lines))
    if drawn.random() < 0.05:
        lines.insert(drawn.randint(0, len(lines)), drawn.choice(["", "  "]))
    mark = "\ufeff" if drawn.random() < 0.01 else ""
    return (mark + drawn.choice(["\n"] * 9 + ["\r\n"]).join(lines) + drawn.choice(["", "\n"])).encode()


def judged(folder: Path, count: int, seed: int) -> dict[str, set[str]]:
    """Random labels, each with its image, and the codes of the errors that verify finds in each."""
    drawn = random.Random(seed)
    put(folder, "random/one.jpg", jpeg())
    (folder / "random/images").mkdir()
    found = {}
    for number in range(count):
        label = random_label(drawn)
        put(folder, f"random/labels/{number}.txt", label)
        os.link(folder / "random/one.jpg", folder / f"random/images/{number}.jpg")
        findings = rules.check(yolo.read(label), "a.txt", image="a.jpg", count=len(NAMES), size=SIZE)
        found[str(number)] = {one.code for one in findings if one.level == "error"}
    return found


def close(here: Any, there: Any) -> bool:
    """Whether two nested lists have the same numbers, as far as 32 bits hold them."""
    return np.allclose(np.array(here, dtype=float), np.array(there, dtype=float), rtol=1e-6, atol=1e-5)


def faults(reader: str, found: dict[str, Any]) -> list[str]:
    """What a reader found otherwise than it was written."""
    if reader == "ultralytics":
        told, wrong = found["rows"], []
        box, polygon = rows()["val/boxes"], rows()["train/polygon"]
        wrong += ["names"] * (found["names"] != {str(number): name for number, name in NAMES.items()})
        wrong += ["boxes"] * (not close(told["boxes"][1], [[row.label, *(row.box or ())] for row in box]))
        wrong += ["polygons"] * (not close(told["polygon"][2], [row.polygon for row in polygon]))
        return wrong + ["complaints"] * any(message for message, *_ in told.values())
    if reader == "supervision":
        wrong = ["names"] * (found["names"] != list(NAMES.values()))
        corners = [(x, y, x + width, y + height) for x, y, width, height in BOXES]
        wrong += ["boxes of YOLO"] * (not close(found["yolo"]["boxes"], corners))
        first = [[left - 1, top - 1, right, bottom] for left, top, right, bottom in CORNERS]
        return wrong + ["boxes of VOC"] * (not close(found["voc"]["a"], first))
    size, objects = found["voc"]["a.jpg"]
    told = [[int(one["bndbox"][name]) for name in voc.CORNERS] for one in objects]
    names = [one["name"] for one in objects]
    wrong = ["boxes"] * (told != [list(box) for box in CORNERS]) + ["size"] * (tuple(size) != SIZE)
    return wrong + ["names"] * (names != [f"a & <{number}>" for number in range(len(CORNERS))])


def main() -> int:
    """Write, have it read, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="where the readers are")
    parser.add_argument("--count", type=int, default=2000, help="how many random labels  [default: 2000]")
    parser.add_argument("--seed", type=int, default=1, help="of the random labels  [default: 1]")
    asked = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder)
        errors = judged(folder, asked.count, asked.seed)
        env = os.environ | {"HOME": name, "YOLO_CONFIG_DIR": name, "YOLO_OFFLINE": "true", "MPLBACKEND": "agg"}
        said = subprocess.run([asked.python, READING, folder], env=env, capture_output=True, text=True, check=True)
    for reader, found in json.loads(said.stdout.splitlines()[-1]).items():
        wrong = [found["problem"]] if "problem" in found else faults(reader, found)
        missing = "problem" in found and "ModuleNotFound" in found["problem"]
        print(f"{reader:14}{found.get('version', ''):14}{'; '.join(wrong) or 'reads what was written'}")
        bad = bad or (bool(wrong) and not missing)
        if "dropped" in found:
            dropped = set(found["dropped"])
            missed = [label for label in dropped if not errors[label]]
            strict = Counter(code for label, codes in errors.items() if label not in dropped for code in codes)
            print(f"  of {asked.count:,} random labels it drops {len(dropped):,}; verify misses {len(missed)} of them")
            print(f"  taken by it, and errors to verify: {dict(strict)}")
            bad = bad or bool(missed) or not TAKEN.issuperset(strict)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
