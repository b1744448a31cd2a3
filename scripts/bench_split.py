"""A stratified split of COCO JSON into three files: what it takes here and elsewhere, and how even the classes are.

The file is the one of bench_coco.py: 118,287 images, 860,001 annotations, some 443 MB. Every side runs in a process of
its own, in turn; seconds are those of the clock after the imports, `started` with these. Memory is the peak of the
process, `points` the largest error of a class with at least 200 images.

- json: json.load, a plain stratified split (an image at a time, the rarest class first), three times json.dump
- iterative: the same with MultilabelStratifiedShuffleSplit of the package iterative-stratification
- orjson: the plain one with orjson, and with the garbage collector off

`--peers PYTHON` names the Python of an environment with orjson, iterative-stratification and supervision, `--datumaro
PYTHON` that of one with datumaro, which splits 5,000 images. Supervision gets 300: it holds a whole mask for every
polygon, and opens every image, so there are some for it, of a few pixels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from bench_coco import ANNOTATIONS, CLOCK, IMAGES, PRINT, draw, seconds
from timing import Run, timed

TARGET, MEMORY, DATUMARO_TARGET = 8, 400, 20

PLAIN = """
def parts_of(whole):
    having = {image["id"]: set() for image in whole["images"]}
    for one in whole["annotations"]:
        having[one["image_id"]].add(one["category_id"])
    counts = Counter(label for labels in having.values() for label in labels)
    wanted = {label: [share * count for share in SHARES] for label, count in counts.items()}
    room = [share * len(having) for share in SHARES]
    images = list(having)
    random.Random(42).shuffle(images)
    rarest = {image: min(labels, key=counts.get) for image, labels in having.items() if labels}
    images.sort(key=lambda image: counts[rarest[image]] if image in rarest else len(having))
    found = {}
    for image in images:
        lacking = wanted[rarest[image]] if image in rarest else room
        found[image] = part = max(range(3), key=lambda at: (lacking[at], room[at]))
        room[part] -= 1
        for label in having[image]:
            wanted[label][part] -= 1
    return found
"""
ITERATIVE = """
def parts_of(whole):
    ids = np.array([image["id"] for image in whole["images"]])
    rows = {id_: row for row, id_ in enumerate(ids.tolist())}
    columns = {category["id"]: column for column, category in enumerate(whole["categories"])}
    matrix = np.zeros((len(rows), len(columns)), np.int8)
    for one in whole["annotations"]:
        matrix[rows[one["image_id"]], columns[one["category_id"]]] = 1
    def halves(some, share):
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=share, random_state=42)
        left, right = next(splitter.split(some, matrix[some]))
        return some[left], some[right]
    train, rest = halves(np.arange(len(ids)), 0.2)
    val, test = halves(rest, 0.5)
    return {id_: part for part, some in enumerate((train, val, test)) for id_ in ids[some].tolist()}
"""
WRITE = """
found = parts_of(whole)
for part, name in enumerate(("train", "val", "test")):
    one = {**whole, "images": [image for image in whole["images"] if found[image["id"]] == part]}
    one["annotations"] = [some for some in whole["annotations"] if found[some["image_id"]] == part]
    with open(f"{sys.argv[2]}/{name}.json", MODE) as out:
        dump(one, out)
"""
STANDARD = (
    "import json, random\nfrom collections import Counter\nSHARES, MODE, dump = (0.8, 0.1, 0.1), 'w', json.dump\n"
)
ORJSON = (
    "import gc, orjson, random\nfrom collections import Counter\nSHARES, MODE = (0.8, 0.1, 0.1), 'wb'\n"
    "def dump(one, out):\n    out.write(orjson.dumps(one))\n"
)
PACKAGE = "import numpy as np\nfrom iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit\n"
LOAD = "whole = json.load(open(sys.argv[1]))"
SIDES = {
    "json": STANDARD + PLAIN + CLOCK + LOAD + WRITE,
    "iterative": STANDARD + PACKAGE + ITERATIVE + CLOCK + LOAD + WRITE,
    "orjson": ORJSON + PLAIN + CLOCK + "gc.disable()\nwhole = orjson.loads(open(sys.argv[1], 'rb').read())" + WRITE,
}
DATUMARO = (
    "from datumaro import Dataset"
    + CLOCK
    + """
found = Dataset.import_from(sys.argv[1], "coco_instances")
found.transform("random_split", splits=[("train", 0.8), ("val", 0.1), ("test", 0.1)], seed=42)
found.export(sys.argv[2], "coco_instances", save_media=False)
"""
)
SUPERVISION = (
    "import supervision"
    + CLOCK
    + """
found = supervision.DetectionDataset.from_coco(f"{sys.argv[1]}/images/train2017", sys.argv[3])
train, rest = found.split(0.8, random_state=42, shuffle=True)
for name, one in zip(("train", "val", "test"), (train, *rest.split(0.5, random_state=42, shuffle=True))):
    one.as_coco(annotations_path=f"{sys.argv[2]}/{name}.json")
"""
)
OURS = (
    "from visprep import split"
    + CLOCK
    + "parts = 'train=0.8,val=0.1,test=0.1'\n"
    + "split(sys.argv[1], output=sys.argv[2], parts=parts, seed=42, method='exact', stratify=True)"
)
#: In a process of its own, since a child of a large process counts as large.
POINTS = """
import json, sys
from collections import Counter
found = []
for path in sys.argv[1:]:
    whole = json.load(open(path))
    found.append((len(whole["images"]), Counter(
        label for _, label in {(one["image_id"], one["category_id"]) for one in whole["annotations"]})))
images = [count for count, _ in found]
errors = [0]
for label in set().union(*(counts for _, counts in found)):
    total = sum(counts[label] for _, counts in found)
    errors += [abs(counts[label] / total - share) for (_, counts), share in zip(found, (0.8, 0.1, 0.1)) if total >= 200]
print(json.dumps([images, 100 * max(errors)]))
"""


def ours(file: Path, output: Path) -> Run:
    """The verb, by its function in the library; `wall` is as long as the command takes with its start."""
    shutil.rmtree(output, ignore_errors=True)
    return checked(timed([sys.executable, "-c", OURS + PRINT, str(file), str(output)]))


def theirs(code: str, *arguments: Path, python: str = sys.executable) -> Run:
    """One of the others; its seconds stand in `out`."""
    shutil.rmtree(arguments[1], ignore_errors=True)
    arguments[1].mkdir()
    return checked(timed([python, "-c", code + PRINT, *map(str, arguments)]))


def checked(run: Run) -> Run:
    """The run; what it said, where it failed."""
    if run.code:
        sys.exit(run.err or run.out)
    return run


def evenness(folder: Path, prefix: str = "") -> str:
    """The sizes of the parts in a directory, and the largest error of a class."""
    files = [str(folder / f"{prefix}{name}.json") for name in ("train", "val", "test")]
    images, points = json.loads(checked(timed([sys.executable, "-c", POINTS, *files])).out)
    return f"{points:8.2f}   {' + '.join(f'{count:,}' for count in images)}"


def compared(file: Path, folder: Path, pairs: int, peers: str | None) -> None:
    """Every side in turn, the order turned round each time."""
    sides = {name: code for name, code in SIDES.items() if peers or name == "json"}
    runs: dict[str, list[Run]] = {name: [] for name in ("visprep split", *sides)}
    even: dict[str, str] = {}
    for number in range(pairs):
        for name in sorted(runs, reverse=not number % 2):
            output = folder / "parts"
            if name == "visprep split":
                runs[name].append(ours(file, output))
            else:
                python = sys.executable if name == "json" else peers or sys.executable
                runs[name].append(theirs(sides[name], file, output, python=python))
            print(f"  {name}: {seconds(runs[name][-1]):.1f} s", file=sys.stderr)
            if name not in even:
                even[name] = evenness(output, "instances_" if name == "visprep split" else "")
    print(
        f"{'':16}{'wall s':>8}{'started':>8}{'CPU s':>8}{'peak MB':>9}{'points':>8}   images   medians of {pairs} runs"
    )
    took = {
        name: [run.wall if name == "visprep split" else seconds(run) for run in some] for name, some in runs.items()
    }
    for name, some in runs.items():
        numbers = (took[name], [run.wall for run in some], [run.processor for run in some])
        middle = "".join(f"{statistics.median(some):8.2f}" for some in numbers)
        print(f"{name:16}{middle}{max(run.memory for run in some):9.0f}{even[name]}")
    for name in sides:
        ratios = sorted(other / mine for mine, other in zip(took["visprep split"], took[name], strict=True))
        print(f"{name} / visprep split: {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    peak = max(run.memory for run in runs["visprep split"])
    print(f"targets: json at least {TARGET}x, under {MEMORY} MB (now {peak:.0f})")


def small(folder: Path, code: str, name: str, python: str, images: int, annotations: int) -> None:
    """A small file, in another tool and here."""
    home = folder / name
    file = home / "annotations" / "instances_train2017.json"
    pictures = home / "images" / "train2017"
    for below in (file.parent, pictures):
        below.mkdir(parents=True)
    draw(file, images, annotations)
    paint(file, pictures)
    mine = statistics.median(seconds(ours(file, folder / "ours")) for _ in range(3))
    run = theirs(code, home, folder / "theirs", file, python=python)
    took = f"{name} {seconds(run):.2f} s and {run.memory:.0f} MB, visprep split {mine:.2f} s"
    print(f"{images:,} images: {took}: {seconds(run) / mine:.1f}x")


def paint(file: Path, images: Path) -> None:
    """An image of a few pixels for each record."""
    from PIL import Image

    Image.new("RGB", (16, 12)).save(images / "first.jpg")
    for image in json.loads(file.read_text())["images"]:
        (images / image["file_name"]).hardlink_to(images / "first.jpg")
    (images / "first.jpg").unlink()


def linear(folder: Path) -> None:
    """Files that grow tenfold."""
    for count in (10_000, 100_000, 1_000_000):
        file = folder / f"instances_{count}.json"
        draw(file, max(1, count // 7), count)
        took = seconds(ours(file, folder / "grown"))
        print(f"split of {count:>9,} annotations: {took:7.2f} s, {took / count * 1e6:6.2f} us each")
        file.unlink()


def main() -> None:
    """Draw the file, run every side, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=IMAGES, help="[default: %(default)s]")
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS, help="[default: %(default)s]")
    parser.add_argument("--pairs", type=int, default=3, help="runs of every side  [default: %(default)s]")
    parser.add_argument("--file", type=Path, help="a file that is there already, instead of drawing one")
    parser.add_argument("--linear", action="store_true", help="files of 10 thousand to 1 million annotations too")
    parser.add_argument("--peers", metavar="PYTHON", help="orjson, iterative-stratification and supervision are there")
    parser.add_argument("--datumaro", metavar="PYTHON", help="the Python of an environment with datumaro")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a directory of its own: what lies in the place that is split is refused as its output
        file = asked.file or folder / "drawn" / "annotations" / "instances_train2017.json"
        if not asked.file:
            file.parent.mkdir(parents=True)
            draw(file, asked.images, asked.annotations)
        print(f"{file.stat().st_size / 1e6:,.0f} MB, {asked.images:,} images, {asked.annotations:,} annotations")
        if asked.datumaro:
            small(folder, DATUMARO, "datumaro", asked.datumaro, 5_000, 36_781)
            print(f"target: at least {DATUMARO_TARGET}x")
        if asked.peers:
            small(folder, SUPERVISION, "supervision", asked.peers, 300, 2_200)
        if asked.linear:
            linear(folder)
        compared(file, folder, asked.pairs, asked.peers)


if __name__ == "__main__":
    main()
