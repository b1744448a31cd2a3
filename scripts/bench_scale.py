"""How time and memory of commands grow with the records of a place: `verify`, the plan of `sync`, and `split`.

The place is COCO: images of one small JPEG (hard links, which take no room), one JSON file with an annotation for each
image, a manifest, and a `dataset.json`. Every run is a real command in a process of its own. Seconds are those of the
processor, which others on the machine disturb least. The exponent is that of the seconds beyond those of the same
command over one record, by least squares over the logarithms: 1 is linear. The peak is the largest resident set of the
process in MB, and its growth that from the second largest number to the largest, in bytes for each record more.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from growth import exponent, shown, table, without_start
from timing import timed
from visprep.digests import digest_of
from visprep.manifest import DATASET, MANIFEST, File, entry_line, header_line
from visprep.provenance import Dataset, Step

ANNOTATIONS = "annotations/instances_train2017.json"
#: Names that one inode has at most: ext4 gives it 65,000.
_LINKS = 50_000
SIDE = 16


@dataclass(frozen=True)
class Measure:
    """One command: its name in the table, its words, where {} stands for the place, and how many records it is run to.

    `flat` says that its memory is said not to grow with the records.
    """

    name: str
    words: tuple[str, ...]
    most: int = 10**9
    flat: bool = False


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of the clock and of the processor, and its peak in MB."""

    wall: float
    processor: float
    memory: float


MEASURES = (
    Measure("verify --depth names", ("verify", "{}", "--depth", "names")),
    Measure("verify --depth sizes", ("verify", "{}", "--depth", "sizes")),
    Measure("verify --depth headers", ("verify", "{}", "--depth", "headers"), most=100_000),
    Measure("sync --dry-run, to a new place", ("sync", "{}", "{}-new", "--dry-run"), flat=True),
    Measure("sync of equal places, first", ("sync", "{}", "{}-copy"), flat=True),
    Measure("sync --dry-run, equal places", ("sync", "{}", "{}-copy", "--dry-run"), flat=True),
    Measure("split", ("split", "{}/" + ANNOTATIONS, "--parts", "train=0.8,val=0.1,test=0.1", "--output", "{}-parts")),
)


def jpeg() -> bytes:
    """A small picture."""
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), (90, 120, 150)).save(made, "JPEG")
    return made.getvalue()


def name(number: int) -> str:
    """The name of an image, as COCO has it."""
    return f"{number:012}.jpg"


def document(count: int) -> Iterator[str]:
    """The annotation file of so many images, piece by piece."""
    yield '{"info": {"description": "generated"}, "licenses": [], "images": ['
    for number in range(1, count + 1):
        image = {"license": 1, "file_name": name(number), "height": SIDE, "width": SIDE, "id": number}
        yield ("" if number == 1 else ", ") + json.dumps(image)
    yield '], "annotations": ['
    for number in range(1, count + 1):
        box = [1, 1, 8 + number % 5, 9]
        one = {"area": box[2] * box[3], "iscrowd": 0, "image_id": number, "bbox": box, "category_id": 1 + number % 3}
        x, y, width, height = box
        one["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        yield ("" if number == 1 else ", ") + json.dumps(one | {"id": number})
    categories = [{"supercategory": "thing", "id": one, "name": f"thing{one}"} for one in (1, 2, 3)]
    yield f'], "categories": {json.dumps(categories)}}}'


def make(place: Path, count: int) -> None:
    """A place of so many images, with its record."""
    images, data = place / "train2017", jpeg()
    images.mkdir(parents=True)
    digest = digest_of(data)
    for number in range(1, count + 1):
        path = images / name(number)
        if number % _LINKS == 1 or _LINKS == 1:
            path.write_bytes(data)
            first = path
        else:
            os.link(first, path)
    annotations = place / ANNOTATIONS
    annotations.parent.mkdir()
    hashing = hashlib.sha256()
    with annotations.open("wb") as out:
        for piece in document(count):
            hashing.update(piece.encode())
            out.write(piece.encode())
    size = annotations.stat().st_size
    dataset = Dataset((Step("upload", place.name, date="2026-01-01T00:00:00Z"),), "sha256:0").dump()
    (place / DATASET).write_bytes(dataset)
    manifest = place / MANIFEST
    manifest.parent.mkdir()
    with manifest.open("wb") as out:
        out.write(header_line(count + 1, size + count * len(data), digest_of(dataset)))
        out.write(entry_line(File(ANNOTATIONS, size, f"sha256:{hashing.hexdigest()}")))
        for number in range(1, count + 1):
            out.write(entry_line(File(f"train2017/{name(number)}", len(data), digest)))


def run(measure: Measure, place: Path, show: bool) -> Cost:
    """One command, which must end well."""
    words = [word.replace("{}", str(place)) for word in measure.words]
    done = timed([sys.executable, "-m", "visprep", *words, "--quiet"])
    if done.code:
        raise SystemExit(f"{' '.join(words)} ended with {done.code}:\n{done.out[-2000:]}{done.err[-2000:]}")
    if show:
        cost = f"{done.wall:8.2f} s {done.processor:8.2f} s {done.memory:6.0f} MB"
        print(f"{place.name:>9} records  {measure.name:32} {cost}", flush=True)
    return Cost(done.wall, done.processor, done.memory)


def measured(counts: list[int], folder: Path, only: list[str]) -> dict[str, dict[int, Cost]]:
    """What every command took over places of 1 and of so many records; each place is deleted before the next."""
    runs: dict[str, dict[int, Cost]] = {}
    measures = [one for one in MEASURES if any(part in one.name for part in only)]
    copied = any("{}-copy" in one.words for one in measures)
    for count in [1, *counts]:
        place = folder / str(count)
        # Elsewhere, since what this process holds counts as its children's
        for made in (place, folder / f"{count}-copy")[: 1 + copied]:
            subprocess.run([sys.executable, __file__, "--make", made, str(count)], check=True)
        for measure in measures:
            if count <= measure.most:
                runs.setdefault(measure.name, {})[count] = run(measure, place, count > 1)
        subprocess.run(["rm", "-rf", *folder.iterdir()], check=True)
    return runs


def rows(runs: dict[str, dict[int, Cost]], counts: list[int]) -> Iterator[list[str]]:
    """The lines of the table."""
    for measure in MEASURES:
        if measure.name not in runs:
            continue
        by_count = dict(runs[measure.name])
        start = by_count.pop(1)
        seconds = {count: one.processor for count, one in by_count.items()}
        slope = exponent(without_start(seconds, start.processor))
        peaks = {count: one.memory for count, one in by_count.items()}
        *_, before, last = [1, *by_count]
        growth = (by_count[last].memory - (start if before == 1 else by_count[before]).memory) * 2**20 / (last - before)
        cells = [shown(seconds.get(count)) for count in counts] + [shown(slope)]
        cells += [shown(peaks.get(count), 0) for count in counts] + [f"{growth:,.0f}"]
        yield [measure.name + (" *" if measure.flat else ""), *cells]


def main() -> None:
    """Make the places, run the commands, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=6, help="10 to the power of this records  [default: 6]")
    parser.add_argument("--smallest", type=int, default=3, help="and from this power on  [default: 3]")
    parser.add_argument("--only", nargs="*", default=[""], help="commands whose name has one of these in it")
    parser.add_argument("--folder", help="where to make places for a while; up to 2 GB  [default: TMPDIR]")
    parser.add_argument("--make", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.make:
        make(Path(asked.make[0]), int(asked.make[1]))
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    counts = [10**power for power in range(asked.smallest, asked.largest + 1)]
    with tempfile.TemporaryDirectory(prefix="visprep-scale-", dir=asked.folder) as folder:
        runs = measured(counts, Path(folder), asked.only)
    head = ["", *(f"{count:,}" for count in counts), "exponent", *(f"{count:,}" for count in counts), "bytes/record"]
    print("\nseconds of the processor, their exponent, and the peak in MB with what it grows by a record at the end")
    print(table(head, list(rows(runs, counts))))
    print("* memory is said not to grow with the files")


if __name__ == "__main__":
    main()
