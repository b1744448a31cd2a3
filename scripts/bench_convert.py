"""COCO to YOLO, to Pascal VOC, and to COCO again: what it takes here and elsewhere.

The place is drawn from a seed: 5,000 images of 640 x 480 and 36,781 annotations (instances_val2017 has as many), some
of them crowds as RLE. Every side is a whole process, from its start to its end, in turn; memory is its peak.
`visprep convert` runs as the command it is, and links the images, whose SHA-256 it takes. Datumaro is asked twice: to
copy the images, and for annotations alone, which is less. visprep writes annotations alone only of COCO to COCO, with
`--image-root`; so that is what datumaro's annotations alone are held against there, and links elsewhere.

What was written stays until the end, some 2 GB a pair with datumaro: a file that ext4 makes within minutes after
thousands were deleted takes it up to ten times as long, whoever asks for it. Let nothing be deleted before, either.

`--datumaro PYTHON` names the Python of an environment with datumaro, `--supervision PYTHON` that of one with
supervision. Supervision opens every image, so it gets fewer: `--few N`, and visprep the same ones.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench_coco import draw
from timing import Run, timed

IMAGES, ANNOTATIONS = 5_000, 36_781
PART = "train2017"
#: What of a side's name says that it writes no images.
ALONE = " alone"
#: Of each way, what visprep, datumaro and supervision are told; who cannot do it is told nothing.
#: Datumaro writes boxes alone for YOLO, and supervision polygons, so each is compared with the same of ours.
WAYS = {
    "detect": ("yolo --task detect", "yolo", ""),
    "segment": (
        "yolo --task segment",
        "",
        "as_yolo(annotations_directory_path=out + '/labels', data_yaml_path=out + '/data.yaml')",
    ),
    "voc": ("voc", "voc_detection", "as_pascal_voc(annotations_directory_path=out)"),
    "coco": ("coco", "coco_instances", "as_coco(annotations_path=out + '/instances.json')"),
}
DATUMARO = """
import sys
from datumaro import Dataset
Dataset.import_from(sys.argv[1], "coco_instances").export(sys.argv[2], {0!r}, save_media={1})
"""
SUPERVISION = """
import os, sys
from supervision import DetectionDataset
place, out = sys.argv[1:]
os.makedirs(out + "/labels")
DetectionDataset.from_coco(place + "/images/{part}", place + "/annotations/instances_{part}.json").{call}
"""


def drawn(place: Path, images: int, annotations: int) -> Path:
    """A place with so many images and annotations; drawn by another process, since a fork of a large one is large."""
    drawing = multiprocessing.Process(target=_drawn, args=(place, images, annotations))
    drawing.start()
    drawing.join()
    assert drawing.exitcode == 0
    return place


def _drawn(place: Path, images: int, annotations: int) -> None:
    """The images are one, under many names."""
    from PIL import Image

    file, pictures = place / f"annotations/instances_{PART}.json", place / "images" / PART
    for below in (file.parent, pictures):
        below.mkdir(parents=True)
    draw(file, images, annotations)
    Image.effect_noise((640, 480), 40).convert("RGB").save(place / "first.jpg")
    names = [text.split('"', 1)[0] for text in file.read_text().split('"file_name": "')[1:]]
    for name in names:
        os.link(place / "first.jpg", pictures / name)
    (place / "first.jpg").unlink()


def side(name: str, to: str, place: Path, output: Path, python: str) -> Run:
    """One conversion, to a directory that is not there."""
    mine, kind, call = WAYS[to]
    if name.startswith("visprep"):
        mine += " --image-root s3://bucket/images" * name.endswith(ALONE)
        return timed([python, "-m", "visprep", "convert", str(place), "--output", str(output), "--to", *mine.split()])
    datumaro = name.startswith("datumaro")
    code = DATUMARO.format(kind, not name.endswith(ALONE)) if datumaro else SUPERVISION.format(part=PART, call=call)
    return timed([python, "-c", code, str(place), str(output)])


def compared(to: str, place: Path, folder: Path, pythons: dict[str, str], pairs: int) -> None:
    """Every side in turn, the order turned round each time; and how many times as much as visprep the others take."""
    runs: dict[str, list[Run]] = {name: [] for name in pythons}
    for number in range(pairs):
        for name in sorted(runs, reverse=number % 2 == 0):
            output = folder / f"{place.name}-{to}-{name}-{number}"
            runs[name].append(side(name, to, place, output, pythons[name]))
    for name, some in runs.items():
        if failed := [run for run in some if run.code]:
            said = (failed[0].err or failed[0].out).strip().splitlines() or ["said nothing"]
            print(f"coco -> {to:8}{name:16} fails: {said[-1]}")
            continue
        wall, processor = (statistics.median(each) for each in zip(*((r.wall, r.processor) for r in some), strict=True))
        line = f"coco -> {to:8}{name:16}{wall:8.2f}{processor:8.2f}{max(run.memory for run in some):9.0f}"
        mine = runs.get("visprep" + ALONE * name.endswith(ALONE)) or runs["visprep"]
        if not name.startswith("visprep") and not any(run.code for run in mine):
            ratios = sorted(theirs.wall / ours.wall for theirs, ours in zip(some, mine, strict=True))
            busy = statistics.median(theirs.processor / ours.processor for theirs, ours in zip(some, mine, strict=True))
            line += f"   {statistics.median(ratios):.1f}x ({ratios[0]:.1f} to {ratios[-1]:.1f}), CPU {busy:.1f}x"
        print(line, flush=True)


def main() -> None:
    """Draw the place, run every side, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="TO", help=f"only these, of {', '.join(WAYS)}")
    parser.add_argument("--images", type=int, default=IMAGES, help="[default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS, help="[default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every side  [default: %(default)s]")
    parser.add_argument("--few", type=int, default=300, help="images that supervision gets  [default: %(default)s]")
    parser.add_argument("--datumaro", metavar="PYTHON", help="the Python of an environment with datumaro")
    parser.add_argument("--supervision", metavar="PYTHON", help="the Python of an environment with supervision")
    asked = parser.parse_args()
    if unknown := set(asked.ways) - set(WAYS):
        parser.error(f"no such way: {', '.join(sorted(unknown))}")
    ways = asked.ways or list(WAYS)
    ours = {"visprep": sys.executable}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = drawn(folder / "whole", asked.images, asked.annotations)
        print(f"{asked.images:,} images, {asked.annotations:,} annotations; medians of {asked.pairs} runs")
        print(f"{'':16}{'':16}{'wall s':>8}{'CPU s':>8}{'peak MB':>9}   others / visprep")
        for to in ways:
            sides = dict(ours)
            if asked.datumaro and WAYS[to][1]:
                sides |= {"datumaro": asked.datumaro, f"datumaro{ALONE}": asked.datumaro}
            if to == "coco":
                sides[f"visprep{ALONE}"] = sys.executable
            compared(to, place, folder, sides, asked.pairs)
        if asked.supervision:
            few = drawn(folder / "few", asked.few, asked.few * asked.annotations // asked.images)
            print(f"{asked.few:,} images:")
            for to in (to for to in ways if WAYS[to][2]):
                compared(to, few, folder, ours | {"supervision": asked.supervision}, asked.pairs)


if __name__ == "__main__":
    main()
