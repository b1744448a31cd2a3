"""Others read what `visprep convert` makes: YOLO, Pascal VOC, parquet, WebDataset, and videos of image sequences.

Each reader has an environment of its own, as those of readers.py, or is taken from this one with `--here`. The exit
code is 1 when a reader finds other boxes, classes or frames or fails, 3 when none could be tried. One that is large is
skipped, unless it is asked for by name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import visprep
from readers import READERS as OF_COCO
from readers import Reader, Skipped, ended, environment, installed_here, last_words, made, private, splits_of

READING = Path(__file__).with_name("reading_converted.py")
READERS = {
    reader.name: reader
    for reader in (
        OF_COCO["supervision"],
        OF_COCO["torchvision"],
        Reader(("datasets==5.2.0", "pillow==13.0.0")),
        Reader(("webdataset==1.0.2", "numpy==2.4.6")),
        Reader(("opencv-python-headless==4.14.0.94", "numpy==2.4.6")),
        Reader(("ultralytics==8.4.190", "torch==2.13.0+cpu", "torchvision==0.28.0"), large="1.5 GB"),
    )
}
#: Readers hold boxes as floats of 32 bits: so far in pixels may they be off.
NEAR = 0.01


def converted(folder: Path) -> dict[str, Any]:
    """The places, by the command; and what is there: boxes by the names of images, first frames by those of tasks."""
    coco = made(folder)
    subprocess.run(
        [sys.executable, "-m", "visprep", "download", "sample", "-q", "--output", folder / "tasks"], check=True
    )
    for kind, to in (("coco", "yolo"), ("coco", "voc"), ("tasks", "parquet"), ("tasks", "webdataset")):
        options = {"task": "detect"} if to == "yolo" else {}
        visprep.convert(folder / kind, to=to, output=folder / to, **options)
    frames_of(folder / "sequences")
    visprep.convert(folder / "sequences", to="tasks", output=folder / "clips", window=5, prompt="What comes next?")
    (folder / "torchvision/VOCdevkit").mkdir(parents=True)
    (folder / "torchvision/VOCdevkit/VOC2012").symlink_to(folder / "voc")
    all_of_it, apart = boxes(coco, crowds=True), boxes(coco, crowds=False)
    frames = {
        file.parent.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (folder / "tasks").rglob("first_frame.png")
    }
    clips = {f"{episode}_000{window}": [5, 64, 48] for episode in ("one", "two") for window in (0, 1)}
    return {"yolo": apart, "voc": all_of_it, "parquet": frames, "webdataset": frames, "clips": clips}


def frames_of(place: Path) -> None:
    """Two episodes of ten frames, each of a color of its own."""
    from PIL import Image

    for episode in ("one", "two"):
        (place / "walk" / episode).mkdir(parents=True)
        for number in range(10):
            picture = Image.new("RGB", (64, 48), (number * 20, 90, 200))
            picture.save(place / "walk" / episode / f"frame_{number}.png")


def boxes(place: Path, *, crowds: bool) -> dict[str, list[list[Any]]]:
    """Class and corners of every box, by the names of images."""
    found: dict[str, list[list[Any]]] = {}
    for split in splits_of(place):
        document = json.loads((place / f"annotations/instances_{split}.json").read_bytes())
        names = {one["id"]: one["name"] for one in document["categories"]}
        stems = {one["id"]: Path(one["file_name"]).stem for one in document["images"]}
        found |= {stem: [] for stem in stems.values()}
        for one in document["annotations"]:
            if crowds or not one["iscrowd"]:
                x, y, width, height = one["bbox"]
                found[stems[one["image_id"]]].append([names[one["category_id"]], x, y, x + width, y + height])
    return found


def same(here: Any, there: Any) -> bool:
    """Whether both are alike: numbers nearly, boxes in any order."""
    if isinstance(here, dict) and isinstance(there, dict):
        return here.keys() == there.keys() and all(same(here[key], there[key]) for key in here)
    if isinstance(here, list) and isinstance(there, list) and all(isinstance(one, list) for one in here + there):
        return len(here) == len(there) and all(
            one[0] == other[0] and all(abs(a - b) < NEAR for a, b in zip(one[1:], other[1:], strict=True))
            for one, other in zip(sorted(here), sorted(there), strict=True)
        )
    return bool(here == there)


def verdict(reader: Reader, folder: Path, there: dict[str, Any], keep: Path | None) -> tuple[bool | None, str]:
    """Whether a reader finds what is there, None where it was not tried; and that in words."""
    try:
        if keep is None:
            installed_here(reader)
            python = Path(sys.executable)
        else:
            python = environment(reader, keep)
    except (Skipped, OSError, subprocess.CalledProcessError) as reason:
        return None, f"skipped: {reason}"
    with tempfile.TemporaryDirectory() as home:
        said = ended([python, "-I", READING, reader.module, folder], "read", Path(home))
    if said.returncode:
        return False, f"fails: {last_words(said.stderr)}"
    found = json.loads(said.stdout.splitlines()[-1])
    wrong = [kind for kind, what in found.items() if not same(what, there[kind])]
    return not wrong, f"finds something else in {', '.join(wrong)}" if wrong else f"reads {', '.join(found)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, have it read by every reader, and say what each found."""
    default = Path(tempfile.gettempdir(), f"visprep-readers-{os.getuid()}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="READER", help=f"only these, of {', '.join(READERS)}")
    parser.add_argument("--keep", type=Path, default=default, help="where environments are kept [default: %(default)s]")
    parser.add_argument("--here", action="store_true", help="make no environments: use what is installed in this one")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(READERS):
        parser.error(f"no such reader: {', '.join(sorted(unknown))}")
    verdicts = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        there = converted(folder)
        for reader in (READERS[name] for name in asked.names or READERS):
            if reader.large and not asked.here and reader.name not in asked.names:
                good, words = None, f"skipped: {reader.large} large; by its name it is tried, too"
            else:
                good, words = verdict(reader, folder, there, None if asked.here else private(asked.keep))
            verdicts.add(good)
            print(f"{reader.pins[0]:24}{words}", flush=True)
    verdicts.discard(None)
    return 3 if not verdicts else 1 if False in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
