"""COCO JSON of the size of instances_train2017.json: what reading, checking and cutting it take, here and elsewhere.

The file is drawn from a seed: 118,287 images, 860,001 annotations, some 443 MB, crowds as RLE. Every side runs in a
process of its own, in turn; seconds are those of the clock after the imports, memory is the peak of the process.

- load: `pycocotools.COCO(file)`, and the same of faster-coco-eval
- check: all rules of visprep.rules.coco, without a cap on what is looked at
- index: what a subset or a split needs to know
- half: a subset of every other image; the peer is json.load, a filter and json.dump

`--datumaro PYTHON` names the Python of an environment that has datumaro: it validates, and writes, 5,000 images.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import tempfile
from pathlib import Path

from timing import Run, timed

IMAGES, ANNOTATIONS = 118_287, 860_001
CATEGORIES = [id_ for id_ in range(1, 91) if id_ not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
TARGET, MEMORY = 2.5, 400

CLOCK = """
import sys, time
began = time.perf_counter()
"""
SIDES = {
    "pycocotools load": "from pycocotools.coco import COCO" + CLOCK + "COCO(sys.argv[1])",
    "faster-coco-eval load": "from faster_coco_eval import COCO" + CLOCK + "COCO(sys.argv[1])",
    "visprep check": """
from visprep.formats.coco_json import JsonFile
from visprep.rules.coco import check"""
    + CLOCK
    + "assert not check(JsonFile.on_disk(sys.argv[1])).findings",
    "visprep index": "from visprep.formats.coco_json import JsonFile, index"
    + CLOCK
    + "assert len(index(JsonFile.on_disk(sys.argv[1])).images)",
    "json half": "import json"
    + CLOCK
    + """
whole = json.load(open(sys.argv[1]))
whole["images"] = whole["images"][::2]
kept = {image["id"] for image in whole["images"]}
whole["annotations"] = [one for one in whole["annotations"] if one["image_id"] in kept]
json.dump(whole, open(sys.argv[2], "w"))
""",
    "visprep half": "from visprep.formats.coco_json import JsonFile, index"
    + CLOCK
    + """
found = index(JsonFile.on_disk(sys.argv[1]))
kept = found.images.ids == found.images.ids
kept[1::2] = False
found.select(kept).write(sys.argv[2])
""",
}
DATUMARO = {
    "validate": """
from datumaro import Dataset
from datumaro.plugins.validators import DetectionValidator"""
    + CLOCK
    + """
found = Dataset.import_from(sys.argv[1], "coco_instances")
limits = dict(few_samples_thr=1, imbalance_ratio_thr=50, far_from_mean_thr=5, dominance_ratio_thr=0.8, topk_bins=0.1)
validator = DetectionValidator(**limits)
validator.generate_reports(validator.compute_statistics(found))
""",
    "export": "from datumaro import Dataset"
    + CLOCK
    + """
Dataset.import_from(sys.argv[1], "coco_instances").export(sys.argv[2], "coco_instances", save_media=False)
""",
}
PRINT = "\nprint(time.perf_counter() - began)"


def draw(path: Path, images: int, annotations: int, seed: int = 0) -> None:
    """Write a clean file of so many images and annotations."""
    dice = random.Random(seed)
    shapes = [outline(dice) for _ in range(400)]
    ids = sorted(dice.sample(range(1, max(600_000, 2 * images)), images))
    with path.open("w", buffering=1 << 20) as out:
        info = {"description": "COCO 2017 Dataset", "url": "http://cocodataset.org", "version": "1.0", "year": 2017}
        licenses = [{"url": f"http://creativecommons.org/{n}", "id": n, "name": f"License {n}"} for n in range(1, 9)]
        out.write(f'{{"info": {json.dumps(info)},"licenses": {json.dumps(licenses)},"images": [')
        for number, id_ in enumerate(ids):
            name = f"{id_:012}.jpg"
            out.write(
                f'{"," if number else ""}{{"license": {number % 8 + 1},"file_name": "{name}",'
                f'"coco_url": "http://images.cocodataset.org/train2017/{name}","height": 480,"width": 640,'
                f'"date_captured": "2013-11-14 17:02:52",'
                f'"flickr_url": "http://farm7.staticflickr.com/6116/{id_}_da26cf2c9e_z.jpg","id": {id_}}}'
            )
        out.write('],"annotations": [')
        for number in range(annotations):
            out.write(f"{',' if number else ''}{annotation(dice, number, ids, shapes)}")
        categories = [{"supercategory": f"group {id_ % 12}", "id": id_, "name": f"class {id_}"} for id_ in CATEGORIES]
        out.write(f'],"categories": {json.dumps(categories)}}}')


def outline(dice: random.Random) -> list[tuple[float, float]]:
    """The points of a polygon that fills a box of 1 x 1."""
    count = min(200, max(4, int(dice.lognormvariate(2.87, 0.8))))
    points = [(math.cos(2 * math.pi * n / count), math.sin(2 * math.pi * n / count)) for n in range(count)]
    points = [(x * (size := dice.uniform(0.6, 1)), y * size) for x, y in points]
    (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*points, strict=True))
    return [((x - left) / (right - left), (y - top) / (bottom - top)) for x, y in points]


def annotation(dice: random.Random, number: int, ids: list[int], shapes: list[list[tuple[float, float]]]) -> str:
    """One annotation, as COCO writes it; one in 86 is a crowd."""
    category = dice.choice(CATEGORIES)
    x, y = round(dice.uniform(0, 500), 2), round(dice.uniform(0, 380), 2)
    w, h = round(dice.uniform(10, 639 - x), 2), round(dice.uniform(10, 479 - y), 2)
    crowd, id_ = 0, number + 1
    if number % 86 == 85:
        runs, left = [], 640 * 480
        while left > 2_000 and len(runs) < 150:
            runs.append(dice.randrange(1, 2_000))
            left -= runs[-1]
        mask = f'{{"counts": {json.dumps([*runs, left])},"size": [480,640]}}'
        crowd, id_ = 1, int(f"9{category:03}{number:08}")
    else:
        points = (f"{round(x + w * u, 2):g},{round(y + h * v, 2):g}" for u, v in dice.choice(shapes))
        mask = f"[[{','.join(points)}]]"
    return (
        f'{{"segmentation": {mask},"area": {w * h * 0.7:.4f},"iscrowd": {crowd},"image_id": {dice.choice(ids)},'
        f'"bbox": [{x:g},{y:g},{w:g},{h:g}],"category_id": {category},"id": {id_}}}'
    )


def ran(code: str, *arguments: Path, python: str = sys.executable) -> Run:
    """One side, to its end; its seconds stand in `out`."""
    run = timed([python, "-c", code + PRINT, *map(str, arguments)])
    assert run.code == 0, run.err
    return run


def seconds(run: Run) -> float:
    """Of the clock, without imports."""
    return float(run.out.split()[-1])


def compared(file: Path, pairs: int) -> None:
    """Every side in turn, the order turned round each time."""
    results: dict[str, list[Run]] = {name: [] for name in SIDES}
    for number in range(pairs):
        for name in sorted(SIDES, reverse=bool(number % 2)):
            results[name].append(ran(SIDES[name], file, file.with_name("half.json")))
    print(f"{'':24}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}   once for each of {pairs} runs, medians")
    for name, runs in results.items():
        wall = statistics.median(map(seconds, runs))
        processor = statistics.median(run.processor for run in runs)
        print(f"{name:24}{wall:8.2f}{processor:8.2f}{max(run.memory for run in runs):9.0f}")
    for ours, theirs in (("visprep check", "pycocotools load"), ("visprep half", "json half")):
        ratios = sorted(
            seconds(theirs_) / seconds(ours_) for ours_, theirs_ in zip(results[ours], results[theirs], strict=True)
        )
        print(f"{theirs} / {ours}: {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    peak = max(run.memory for run in results["visprep check"])
    print(f"targets: check at least {TARGET}x, under {MEMORY} MB (now {peak:.0f}); half at least 8x")


def linear(folder: Path) -> None:
    """The same checks of files that grow tenfold."""
    for count in (10_000, 100_000, 1_000_000):
        file = folder / f"{count}.json"
        draw(file, max(1, count // 7), count)
        took = seconds(ran(SIDES["visprep check"], file))
        print(f"check of {count:>9,} annotations: {took:7.2f} s, {took / count * 1e6:5.2f} us each")
        file.unlink()


def datumaro(folder: Path, python: str) -> None:
    """5,000 images and 36,781 annotations, in datumaro and here."""
    home = folder / "small"
    (home / "annotations").mkdir(parents=True)
    (home / "images" / "train2017").mkdir(parents=True)
    file = home / "annotations" / "instances_train2017.json"
    draw(file, 5_000, 36_781)
    for theirs, ours in (("validate", "visprep check"), ("export", "visprep half")):
        peer = seconds(ran(DATUMARO[theirs], home, folder / "datumaro", python=python))
        mine = seconds(ran(SIDES[ours], file, folder / "half.json"))
        words = f"datumaro imports and {theirs}s in {peer:.2f} s, {ours} takes {mine:.2f} s: {peer / mine:.1f}x"
        print(f"5,000 images: {words}")


def main() -> None:
    """Draw the file, run every side, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="[default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS, help="[default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every side  [default: %(default)s]")
    parser.add_argument("--file", type=Path, help="a file that is there already, instead of drawing one")
    parser.add_argument("--linear", action="store_true", help="check files of 10 thousand to 1 million annotations too")
    parser.add_argument("--datumaro", metavar="PYTHON", help="the Python of an environment with datumaro")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = asked.file or Path(folder, "instances.json")
        if not asked.file:
            draw(file, asked.images, asked.annotations)
        print(f"{file.stat().st_size / 1e6:,.0f} MB, {asked.images:,} images, {asked.annotations:,} annotations")
        if asked.datumaro:
            datumaro(Path(folder), asked.datumaro)
        if asked.linear:
            linear(Path(folder))
        compared(file, asked.pairs)


if __name__ == "__main__":
    main()
